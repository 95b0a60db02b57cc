"""Mixed precision: products of matrices in a small type, all else in float32.

    bf16    bfloat16: the range of float32, three digits; the factors of products are rounded to it
    fp16    float16: four digits, but nothing above 65504 or below 6e-8, so that gradients need loss scaling

Weights, gradients, optimizer state and activations are float32's. What runs in which type:

    low       products of matrices: Dense, Bilinear, LoRA, convolutions, attention's Q K^T and W V, recurrent
              layers' sums, scores of masks; forward and backward
    float32   sums and means, norms, softmax, activations, losses, dropout, embeddings, pooling, positions,
              clipping, the optimizers

A layer's pair is low if its ``dispatch`` says so; a product that stands outside of one is not. Theory:
``theory/mixed-precision.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from ds_core.kernels import switch
from ds_core.kernels.matmul import low

PrecisionName = Literal["float32", "bf16", "fp16"]

_TYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def precision(name: PrecisionName) -> Iterator[None]:
    """Computes the products of matrices in a type, in this thread; everything else stays float32.

    Products of float64 are left alone.

    Args:
        name: ``"float32"``, ``"bf16"`` or ``"fp16"``.

    Raises:
        ValueError: if it is another.

    Example:
        >>> with precision("bf16"), engine("manual"):
        ...     loss = loss_fn(model(x), y)
        ...     model.backward(loss_fn.backward())
    """
    if name not in _TYPES:
        raise ValueError(f"precision: expected 'float32', 'bf16' or 'fp16', got {name!r}")
    dtype = _TYPES[name]
    before, switch.precision = switch.precision, None if dtype is None else low(dtype)
    try:
        yield
    finally:
        switch.precision = before
