"""ds_transformer: attention and all that is built from it, with every gradient written by hand."""

from ds_transformer.attention import CausalSelfAttention
from ds_transformer.block import TransformerBlock
from ds_transformer.cache import GrowingCache, KeyValueCache, StaticCache

__version__ = "0.1.0"

__all__ = ["CausalSelfAttention", "GrowingCache", "KeyValueCache", "StaticCache", "TransformerBlock"]
