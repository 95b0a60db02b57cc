"""CLIP: pictures and captions in one space, learned from pairs."""

from ds_zoo.clip.config import MiniCLIPConfig, MiniCLIPTextConfig, MiniCLIPVisionConfig
from ds_zoo.clip.loss import ContrastiveLoss, Similarity, UnitLength
from ds_zoo.clip.model import (
    CLIPPairs,
    MiniCLIP,
    MiniCLIPTextModelWithProjection,
    MiniCLIPVisionModelWithProjection,
)

__all__ = [
    "CLIPPairs",
    "ContrastiveLoss",
    "MiniCLIP",
    "MiniCLIPConfig",
    "MiniCLIPTextConfig",
    "MiniCLIPTextModelWithProjection",
    "MiniCLIPVisionConfig",
    "MiniCLIPVisionModelWithProjection",
    "Similarity",
    "UnitLength",
]
