"""Images as tensors: transforms that make a dataset larger than it is."""

from ds_cnn.images.crop import CenterCrop, RandomCrop
from ds_cnn.images.cutout import Cutout
from ds_cnn.images.flip import RandomHorizontalFlip, RandomVerticalFlip
from ds_cnn.images.normalize import Normalize
from ds_cnn.images.transform import Compose, Transform

__all__ = [
    "CenterCrop",
    "Compose",
    "Cutout",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "Transform",
]
