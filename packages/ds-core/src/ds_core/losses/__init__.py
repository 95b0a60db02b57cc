"""Losses: one file each, sharing :class:`Loss`."""

from ds_core.losses.bce import BCELoss
from ds_core.losses.bce_with_logits import BCEWithLogitsLoss
from ds_core.losses.class_loss import ClassLoss
from ds_core.losses.cosine_embedding import CosineEmbeddingLoss
from ds_core.losses.cross_entropy import CrossEntropyLoss
from ds_core.losses.dice import DiceLoss
from ds_core.losses.focal import FocalLoss
from ds_core.losses.huber import HuberLoss, SmoothL1Loss
from ds_core.losses.kl_div import KLDivLoss
from ds_core.losses.l1 import L1Loss
from ds_core.losses.loss import Loss
from ds_core.losses.margin_loss import MarginLoss
from ds_core.losses.margin_ranking import MarginRankingLoss
from ds_core.losses.mse import MSELoss
from ds_core.losses.nll import NLLLoss
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.losses.triplet_margin import TripletMarginLoss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "ClassLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "MarginLoss",
    "MarginRankingLoss",
    "NLLLoss",
    "PointwiseLoss",
    "SmoothL1Loss",
    "TripletMarginLoss",
]
