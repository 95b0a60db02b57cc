"""ds_transformer: attention and all that is built from it, with every gradient written by hand."""

from ds_transformer import cache, layers, masks, models, positions
from ds_transformer.cache import *
from ds_transformer.layers import *
from ds_transformer.masks import *
from ds_transformer.models import *
from ds_transformer.positions import *
from ds_transformer.visualize.watching import attention_maps

__version__ = "0.2.0"

__all__ = ["attention_maps"]
__all__ += cache.__all__
__all__ += layers.__all__
__all__ += masks.__all__
__all__ += models.__all__
__all__ += positions.__all__
