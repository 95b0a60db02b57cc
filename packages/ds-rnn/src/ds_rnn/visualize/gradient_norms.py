"""gradient_norms: how much of the last step's gradient reaches each step before it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from ds_core import engine
from ds_core.checks import shape
from ds_core.drawing import INK, curves, new, write
from torch import Tensor

from ds_rnn.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gradient_norms(layer: Recurrent, x: Tensor) -> Tensor:
    """Returns the norm of dL/dx_t for every step t, where only the output of the last step counts.

    L = sum over the batch of g . h_T with random g of norm 1: what is left of dL/dx_t says how much the
    network could learn at step T from what it read at step t.

    Args:
        layer: RNN, GRU or LSTM of one direction; it stays as it is.
        x: ``(L, N, F)``, or ``(N, L, F)`` if the layer is batch_first.

    Returns:
        ``(L,)``, the mean over the batch.

    Raises:
        TypeError: if the layer is none of these.
        ValueError: if it reads in two directions, or x has no batch.

    Source: Pascanu et al., On the Difficulty of Training Recurrent Neural Networks (2013), section 2.
    """
    if not isinstance(layer, Recurrent):
        raise TypeError(f"gradient_norms: expected an RNN, GRU or LSTM, got {type(layer).__name__}")
    if layer.bidirectional:  # its second half is at its beginning where the first is at its end
        raise ValueError(f"gradient_norms: expected a layer of one direction, got {layer.label()}")
    if x.dim() != 3:
        form = "N, L" if layer.batch_first else "L, N"
        raise ValueError(f"gradient_norms: expected x ({form}, {layer.input_size}), got {shape(x)}")
    layer = layer.copy().train()
    layer.requires_input_grad_(True)
    time = 1 if layer.batch_first else 0
    with engine("manual"):
        output, _ = layer(x)
        grad = torch.zeros_like(output)
        last = grad.select(time, -1)
        drawn = torch.randn(last.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        last.copy_(drawn / (drawn * drawn).sum(-1, keepdim=True).sqrt())
        grad_x = layer.backward(grad)
    norms: Tensor = (grad_x * grad_x).sum(-1).sqrt()
    return norms.mean(1 - time)


def plot_gradient_norms(
    norms: Mapping[str, Tensor], path: str | Path | None = None, title: str = ""
) -> Figure:
    """Draws gradient norms over the distance to the last step, a curve for each name, in log scale.

    Args:
        norms: name -> what :func:`gradient_norms` gave.
        path: where the picture is written; None for not at all.
        title: above the picture.

    Raises:
        ImportError: if matplotlib is missing.
    """
    figure = new(title, 8, 4.2)
    axes = figure.subplots()
    for name, values in norms.items():
        distance = torch.arange(len(values)).flip(0)
        axes.semilogy(distance, values, label=name, linewidth=1.6)
    axes.set_xlabel("steps before the last")
    axes.set_ylabel("norm of the gradient of the input")
    curves(axes)
    axes.legend(frameon=False, labelcolor=INK)
    return write(figure, path)
