"""The book: every formula as a plain pair of functions, forward and backward, one above the other.

``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``
"""

from ds_transformer.functional.attention import attention, attention_backward
from ds_transformer.functional.extra_keys import extra_keys, extra_keys_backward
from ds_transformer.functional.learned_positions import learned_positions, learned_positions_backward
from ds_transformer.functional.one_position import one_position, one_position_backward
from ds_transformer.functional.projection import projection, projection_backward
from ds_transformer.functional.rotary import rotate, rotate_backward

__all__ = [
    "attention",
    "attention_backward",
    "extra_keys",
    "extra_keys_backward",
    "learned_positions",
    "learned_positions_backward",
    "one_position",
    "one_position_backward",
    "projection",
    "projection_backward",
    "rotate",
    "rotate_backward",
]
