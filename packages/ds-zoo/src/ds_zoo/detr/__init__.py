"""DETR: objects found as a set, by queries that each name one of them."""

from ds_zoo.detr.config import MiniDETRConfig
from ds_zoo.detr.loss import DETRLoss
from ds_zoo.detr.matching import Target
from ds_zoo.detr.model import MiniDETR

__all__ = ["DETRLoss", "MiniDETR", "MiniDETRConfig", "Target"]
