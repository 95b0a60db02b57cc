"""Layers for images: convolution, pooling, normalisation, resampling, padding."""

from ds_cnn.layers.conv1d import Conv1d
from ds_cnn.layers.conv2d import Conv2d
from ds_cnn.layers.conv_transpose2d import ConvTranspose2d

__all__ = [
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
]
