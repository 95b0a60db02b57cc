"""The book: every formula as a plain pair of functions, forward and backward, one above the other.

``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``
"""

from ds_core.functional.batch_norm import (
    batch_norm,
    batch_norm_backward,
    frozen_batch_norm,
    frozen_batch_norm_backward,
)
from ds_core.functional.bilinear import bilinear, bilinear_backward
from ds_core.functional.distance import cosine, cosine_backward, distance, distance_backward
from ds_core.functional.embedding import embedding, embedding_backward
from ds_core.functional.group_norm import group_norm, group_norm_backward
from ds_core.functional.layer_norm import layer_norm, layer_norm_backward, layer_norm_second_backward
from ds_core.functional.linear import linear, linear_backward
from ds_core.functional.rms_norm import rms_norm, rms_norm_backward

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "bilinear",
    "bilinear_backward",
    "cosine",
    "cosine_backward",
    "distance",
    "distance_backward",
    "embedding",
    "embedding_backward",
    "frozen_batch_norm",
    "frozen_batch_norm_backward",
    "group_norm",
    "group_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "layer_norm_second_backward",
    "linear",
    "linear_backward",
    "rms_norm",
    "rms_norm_backward",
]
