"""MaskFormer: an image cut into segments, by queries that each name one of them and draw its mask."""

from ds_zoo.maskformer.config import DecoderConfig, MiniMaskFormerConfig
from ds_zoo.maskformer.loss import MaskFormerLoss
from ds_zoo.maskformer.model import MiniMaskFormer
from ds_zoo.maskformer.pixel_decoder import PixelDecoder

__all__ = ["DecoderConfig", "MaskFormerLoss", "MiniMaskFormer", "MiniMaskFormerConfig", "PixelDecoder"]
