"""ViT: a Transformer that reads an image as a sequence of patches."""

from ds_zoo.vit.model import MiniViT, MiniViTConfig, MiniViTForImageClassification, at_size

__all__ = ["MiniViT", "MiniViTConfig", "MiniViTForImageClassification", "at_size"]
