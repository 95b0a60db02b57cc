"""ds-cnn: convolutional networks with every gradient written by hand."""

from ds_cnn.layers import Conv1d, Conv2d, ConvTranspose2d

__version__ = "0.1.0"

__all__ = ["Conv1d", "Conv2d", "ConvTranspose2d"]
