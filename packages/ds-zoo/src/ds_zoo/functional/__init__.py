"""The book: the formulas of single models, each a plain pair of functions, forward and backward.

``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``
"""

from ds_zoo.functional.contrastive import contrastive, contrastive_backward
from ds_zoo.functional.quick_gelu import quick_gelu, quick_gelu_backward
from ds_zoo.functional.resize_positions import resize_positions, resize_positions_backward
from ds_zoo.functional.similarity import similarity, similarity_backward
from ds_zoo.functional.unit_length import unit_length, unit_length_backward

__all__ = [
    "contrastive",
    "contrastive_backward",
    "quick_gelu",
    "quick_gelu_backward",
    "resize_positions",
    "resize_positions_backward",
    "similarity",
    "similarity_backward",
    "unit_length",
    "unit_length_backward",
]
