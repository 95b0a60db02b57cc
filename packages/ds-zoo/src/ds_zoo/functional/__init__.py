"""The book: the formulas of single models, each a plain pair of functions, forward and backward.

``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``
"""

from ds_zoo.functional.adversarial import (
    hinge,
    hinge_backward,
    least_squares,
    least_squares_backward,
    non_saturating,
    non_saturating_backward,
    wasserstein,
    wasserstein_backward,
)
from ds_zoo.functional.boxes import (
    area,
    area_backward,
    centres,
    centres_backward,
    corners,
    corners_backward,
    giou,
    giou_backward,
    iou,
    iou_backward,
)
from ds_zoo.functional.contrastive import contrastive, contrastive_backward
from ds_zoo.functional.gradient_penalty import gradient_penalty, gradient_penalty_backward
from ds_zoo.functional.mask_logits import mask_logits, mask_logits_backward
from ds_zoo.functional.quick_gelu import quick_gelu, quick_gelu_backward
from ds_zoo.functional.resize_positions import resize_positions, resize_positions_backward
from ds_zoo.functional.similarity import similarity, similarity_backward
from ds_zoo.functional.unit_length import unit_length, unit_length_backward

__all__ = [
    "area",
    "area_backward",
    "centres",
    "centres_backward",
    "contrastive",
    "contrastive_backward",
    "corners",
    "corners_backward",
    "giou",
    "giou_backward",
    "gradient_penalty",
    "gradient_penalty_backward",
    "hinge",
    "hinge_backward",
    "iou",
    "iou_backward",
    "least_squares",
    "least_squares_backward",
    "mask_logits",
    "mask_logits_backward",
    "non_saturating",
    "non_saturating_backward",
    "quick_gelu",
    "quick_gelu_backward",
    "resize_positions",
    "resize_positions_backward",
    "similarity",
    "similarity_backward",
    "unit_length",
    "unit_length_backward",
    "wasserstein",
    "wasserstein_backward",
]
