"""The book: the formulas of single models, each a plain pair of functions, forward and backward.

``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``
"""

from ds_zoo.functional.resize_positions import resize_positions, resize_positions_backward

__all__ = ["resize_positions", "resize_positions_backward"]
