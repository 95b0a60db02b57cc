"""Activation functions as layers: one file each, sharing :class:`Activation`."""

from ds_core.activations.activation import Activation
from ds_core.activations.relu import ReLU

__all__ = ["Activation", "ReLU"]
