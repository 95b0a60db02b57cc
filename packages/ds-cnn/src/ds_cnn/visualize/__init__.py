"""Pictures of what a convolutional network has learned, and of what it looks at.

Each function returns tensors, and ``.plot("file.png")`` draws them.
"""

from ds_cnn.visualize.feature_maps import FeatureMaps, feature_maps
from ds_cnn.visualize.filters import Filters, filters
from ds_cnn.visualize.grad_cam import GradCAM, grad_cam
from ds_cnn.visualize.saliency import Saliency, saliency

__all__ = [
    "FeatureMaps",
    "Filters",
    "GradCAM",
    "Saliency",
    "feature_maps",
    "filters",
    "grad_cam",
    "saliency",
]
