"""ds_cnn: convolutional networks, with every gradient written by hand."""

from ds_cnn import layers, models
from ds_cnn.layers import *
from ds_cnn.models import *

__version__ = "0.2.0"

__all__: list[str] = []
__all__ += layers.__all__
__all__ += models.__all__
