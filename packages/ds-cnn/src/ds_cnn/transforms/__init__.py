"""Transforms: images changed at random, as a network should not mind; and steps that prepare images.

Each is a small object, called with a batch ``(N, C, H, W)`` or one image ``(C, H, W)``. In a batch every
image draws its own numbers. Give ``DataLoader(transform=...)`` one of them, or several in a Compose.
"""

from ds_cnn.transforms.center_crop import CenterCrop
from ds_cnn.transforms.color_jitter import ColorJitter
from ds_cnn.transforms.compose import Compose
from ds_cnn.transforms.cutout import Cutout
from ds_cnn.transforms.mixup import CutMix, MixUp
from ds_cnn.transforms.normalize import Normalize
from ds_cnn.transforms.rand_augment import RandAugment
from ds_cnn.transforms.random_affine import RandomAffine
from ds_cnn.transforms.random_choice import RandomChoice
from ds_cnn.transforms.random_crop import RandomCrop
from ds_cnn.transforms.random_erasing import RandomErasing
from ds_cnn.transforms.random_horizontal_flip import RandomHorizontalFlip
from ds_cnn.transforms.random_vertical_flip import RandomVerticalFlip
from ds_cnn.transforms.resize import Resize
from ds_cnn.transforms.transform import Transform

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "MixUp",
    "Normalize",
    "RandAugment",
    "RandomAffine",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "Resize",
    "Transform",
]
