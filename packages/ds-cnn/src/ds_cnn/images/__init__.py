"""Images: from files to tensors and back."""

from ds_cnn.images.load_image import load_image
from ds_cnn.images.save_image import save_image

__all__ = ["load_image", "save_image"]
