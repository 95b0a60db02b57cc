"""The book: every formula as a plain pair of functions, forward and backward, one above the other.

``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``
"""

from ds_core.functional.layer_norm import layer_norm, layer_norm_backward, layer_norm_second_backward

__all__ = ["layer_norm", "layer_norm_backward", "layer_norm_second_backward"]
