"""Containers: the composed gradient, nested, with branches, and with shared modules and weights."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import (
    BatchNorm1d,
    Concatenate,
    Dense,
    Dropout,
    FirstOutput,
    LayerNorm,
    Module,
    Recompute,
    ReLU,
    Residual,
    Sequential,
    Sum,
)
from ds_core.verify import Case
from ds_core.verify.inputs import normal
from torch import Tensor, nn

NONE = "torch.nn has no such container"


def affine(layer: Any, x: Tensor) -> Tensor:
    """The Dense layer in elementary steps, so that the expected result owes nothing to it."""
    return (x.unsqueeze(-2) * layer.weight).sum(-1) + layer.bias


def shared_dense() -> Sequential:
    layer = Dense(4, 4)
    return Sequential(layer, ReLU(), layer, ReLU(), layer)


def shared_recomputed() -> Sequential:
    layer = Recompute(Dense(4, 4))
    return Sequential(layer, ReLU(), layer, ReLU(), layer)


class Halves(Module):
    """Cuts what a layer gives in two."""

    def __init__(self, layer: Dense) -> None:
        self.layer = layer

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.layer(x)
        self.save(y.shape)
        return y[..., :2], y[..., 2:]

    def backward(self, grad: Tensor, grad_rest: Tensor | None = None) -> Any:
        (size,) = self.saved()
        whole = grad.new_zeros(size)
        whole[..., :2] = grad
        return self.layer.backward(
            whole if grad_rest is None else whole.index_add(-1, torch.arange(2, 5), grad_rest)
        )


class TheirShared(nn.Sequential):
    """The same with torch.nn."""

    def __init__(self) -> None:
        layer = nn.Linear(4, 4)
        super().__init__(layer, nn.ReLU(), layer, nn.ReLU(), layer)


def tied_weights() -> Sequential:
    """Two layers whose weights are one tensor, the second used the other way round as a square matrix."""
    first, second = Dense(4, 4), Dense(4, 4)
    second.weight = first.weight
    return Sequential(first, ReLU(), second)


def their_tied_weights() -> nn.Sequential:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def frozen_first() -> Sequential:
    module = Sequential(Dense(4, 5), ReLU(), Dense(5, 3))
    module[0].requires_grad_(False)
    return module


def shared_branches() -> Sum:
    layer = Dense(4, 4)
    return Sum(layer, Sequential(layer, ReLU(), layer), layer)


def their_shared_branches(m: Module, x: Tensor) -> Tensor:
    layer = m[0]
    once = affine(layer, x)
    return once + affine(layer, once.clamp(min=0)) + once


CASES = [
    Case(
        name="Sequential()",
        make=lambda: Sequential(),
        inputs=normal((3, 4)),
        namesake=lambda: nn.Sequential(),
    ),
    Case(
        name="Sequential(Dense, ReLU, Dense)",
        make=lambda: Sequential(Dense(4, 5), ReLU(), Dense(5, 3)),
        inputs=normal((6, 4)),
        namesake=lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)),
    ),
    Case(
        name="Sequential, empty batch",
        make=lambda: Sequential(Dense(4, 5), ReLU(), Dense(5, 3)),
        inputs=normal((0, 4)),
        namesake=lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)),
    ),
    Case(
        name="Sequential in Sequential",
        make=lambda: Sequential(Sequential(Dense(4, 5), LayerNorm(5)), Sequential(ReLU(), Dense(5, 3))),
        inputs=normal((2, 6, 4)),
        namesake=lambda: nn.Sequential(
            nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5)), nn.Sequential(nn.ReLU(), nn.Linear(5, 3))
        ),
    ),
    Case(
        name="Sequential, one layer three times",
        make=shared_dense,
        inputs=normal((6, 4)),
        namesake=TheirShared,
    ),
    Case(
        name="Sequential, tied weights",
        make=tied_weights,
        inputs=normal((6, 4)),
        namesake=their_tied_weights,
    ),
    Case(
        name="Sequential, first layer frozen",
        make=frozen_first,
        inputs=normal((6, 4)),
        namesake=lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)),
    ),
    Case(
        name="Residual(Dense)",
        make=lambda: Residual(Dense(4, 4)),
        inputs=normal((6, 4)),
        no_namesake=NONE,
        reference=lambda m, x: x + affine(m.module, x),
    ),
    Case(
        name="Residual in Residual",
        make=lambda: Residual(Sequential(Residual(Dense(4, 4)), ReLU(), Dropout(0.0), Dense(4, 4))),
        inputs=normal((2, 3, 4)),
        no_namesake=NONE,
        reference=lambda m, x: x + affine(m.module[3], (x + affine(m.module[0].module, x)).clamp(min=0)),
    ),
    Case(
        name="Sum(Dense, ReLU)",
        make=lambda: Sum(Dense(4, 4), ReLU()),
        inputs=normal((6, 4)),
        no_namesake=NONE,
        reference=lambda m, x: affine(m[0], x) + x.clamp(min=0),
    ),
    Case(
        name="Sum(Dense)",
        make=lambda: Sum(Dense(4, 4)),
        inputs=normal((6, 4)),
        no_namesake=NONE,
        reference=lambda m, x: affine(m[0], x),
    ),
    Case(
        name="Sum, one layer in every branch",
        make=shared_branches,
        inputs=normal((6, 4)),
        no_namesake=NONE,
        reference=their_shared_branches,
    ),
    Case(
        name="Concatenate(Dense, ReLU, Dense)",
        make=lambda: Concatenate(Dense(4, 2), ReLU(), Dense(4, 1)),
        inputs=normal((2, 3, 4)),
        no_namesake=NONE,
        reference=lambda m, x: torch.cat([affine(m[0], x), x.clamp(min=0), affine(m[2], x)], -1),
    ),
    Case(
        name="Concatenate(dim=0), empty batch",
        make=lambda: Concatenate(Dense(4, 3), Dense(4, 3), dim=0),
        inputs=normal((0, 4)),
        no_namesake=NONE,
        reference=lambda m, x: torch.cat([affine(m[0], x), affine(m[1], x)], 0),
    ),
    Case(
        name="Concatenate of Sum and Residual, dim=1",
        make=lambda: Concatenate(Sum(Dense(4, 4), Dense(4, 4)), Residual(Dense(4, 4)), dim=1),
        inputs=normal((2, 3, 4)),
        no_namesake=NONE,
        reference=lambda m, x: torch.cat(
            [affine(m[0][0], x) + affine(m[0][1], x), x + affine(m[1].module, x)], 1
        ),
    ),
    Case(
        name="FirstOutput of two, of which the loss sees one",
        make=lambda: Sequential(FirstOutput(Halves(Dense(3, 5))), ReLU()),
        inputs=normal((4, 3)),
        no_namesake=NONE,
        reference=lambda m, x: affine(m[0].module.layer, x)[..., :2].clamp(min=0),
    ),
    # A wrapper without a name of its own: the namesake is that of the module in it.
    Case(
        name="Recompute(Dense)",
        make=lambda: Recompute(Dense(4, 5)),
        inputs=normal((6, 4)),
        namesake=lambda: nn.Linear(4, 5),
    ),
    Case(
        name="Recompute(Sequential(Dense, BatchNorm1d, ReLU, Dense))",
        make=lambda: Recompute(Sequential(Dense(4, 5), BatchNorm1d(5), ReLU(), Dense(5, 3))),
        inputs=normal((6, 4)),
        namesake=lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)),
    ),
    Case(
        name="Recompute in Recompute, in and around Sequential, empty batch",
        make=lambda: Recompute(Sequential(Recompute(Dense(4, 5)), ReLU(), Recompute(Recompute(Dense(5, 3))))),
        inputs=normal((0, 4)),
        namesake=lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)),
    ),
    Case(
        name="Recompute, one layer three times",
        make=shared_recomputed,
        inputs=normal((6, 4)),
        namesake=TheirShared,
    ),
    Case(
        name="Recompute(Dropout(0.5))",
        make=lambda: Recompute(Sequential(Dense(4, 8), Dropout(0.5), Dense(8, 3))),
        inputs=normal((6, 4)),
        no_namesake="torch.nn.Dropout draws other numbers from the same seed",
    ),
]
