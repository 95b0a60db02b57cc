"""Convolution as one story, in five files.

``loop`` says what it is, pixel by pixel, and what its two gradients are. ``im2col`` lays every window into
the row of a matrix and multiplies once. ``shifted`` shifts the image instead, and lays out nothing.
``winograd`` multiplies less. ``choice`` picks one, and ``convolution`` runs it.
"""

from ds_cnn.functional.convolution.choice import check_algorithm, choose
from ds_cnn.functional.convolution.convolution import (
    convolve,
    convolve_backward_input,
    convolve_backward_weight,
)
from ds_cnn.functional.convolution.geometry import Geometry

__all__ = [
    "Geometry",
    "check_algorithm",
    "choose",
    "convolve",
    "convolve_backward_input",
    "convolve_backward_weight",
]
