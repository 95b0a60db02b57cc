"""The mathematics of attention without state: pairs ``name(...)`` and ``name_backward(...)``."""

from ds_transformer.functional.attention import (
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)

__all__ = ["scaled_dot_product_attention", "scaled_dot_product_attention_backward"]
