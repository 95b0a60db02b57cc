"""Images: from files to tensors, and from tensors to more varied tensors."""

from ds_cnn.images import augment
from ds_cnn.images.augment import *
from ds_cnn.images.load_image import load_image
from ds_cnn.images.save_image import save_image

__all__ = ["load_image", "save_image"]
__all__ += augment.__all__
