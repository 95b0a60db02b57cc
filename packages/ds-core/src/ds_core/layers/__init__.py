"""Layers: one file each."""

from ds_core.layers.dense import Dense, Linear

__all__ = ["Dense", "Linear"]
