"""Losses: one file each, sharing :class:`Loss`."""

from ds_core.losses.bce import BCELoss
from ds_core.losses.bce_with_logits import BCEWithLogitsLoss
from ds_core.losses.class_loss import ClassLoss
from ds_core.losses.cosine_embedding import CosineEmbeddingLoss
from ds_core.losses.cross_entropy import CrossEntropyLoss
from ds_core.losses.ctc import CTCLoss
from ds_core.losses.dice import DiceLoss
from ds_core.losses.focal import FocalLoss
from ds_core.losses.gaussian_nll import GaussianNLLLoss
from ds_core.losses.huber import HuberLoss, SmoothL1Loss
from ds_core.losses.kl_div import KLDivLoss
from ds_core.losses.l1 import L1Loss
from ds_core.losses.loss import Loss
from ds_core.losses.margin_loss import MarginLoss
from ds_core.losses.margin_ranking import MarginRankingLoss
from ds_core.losses.mse import MSELoss
from ds_core.losses.nll import NLLLoss
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.losses.poisson_nll import PoissonNLLLoss
from ds_core.losses.triplet_margin import TripletMarginLoss

# For `loss="mse"`: those of outputs and one target.
LOSSES: dict[str, type[Loss]] = {
    "bce": BCELoss,
    "bce_with_logits": BCEWithLogitsLoss,
    "cosine_embedding": CosineEmbeddingLoss,
    "cross_entropy": CrossEntropyLoss,
    "dice": DiceLoss,
    "focal": FocalLoss,
    "gaussian_nll": GaussianNLLLoss,
    "huber": HuberLoss,
    "kl_div": KLDivLoss,
    "l1": L1Loss,
    "margin_ranking": MarginRankingLoss,
    "mse": MSELoss,
    "nll": NLLLoss,
    "poisson_nll": PoissonNLLLoss,
    "smooth_l1": SmoothL1Loss,
}

__all__ = [
    "LOSSES",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "ClassLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "MarginLoss",
    "MarginRankingLoss",
    "NLLLoss",
    "PointwiseLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "TripletMarginLoss",
]
