"""The mathematics of attention without state: pairs ``name(...)`` and ``name_backward(...)``."""

from ds_transformer.functional.attention import (
    AttentionGradients,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)
from ds_transformer.functional.blockwise import blockwise_attention, blockwise_attention_backward

__all__ = [
    "AttentionGradients",
    "blockwise_attention",
    "blockwise_attention_backward",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
]
