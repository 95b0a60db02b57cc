"""Losses: one file each, sharing :class:`Loss`."""

from ds_core.losses.loss import Loss
from ds_core.losses.mse import MSELoss

__all__ = ["Loss", "MSELoss"]
