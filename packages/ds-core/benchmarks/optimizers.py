"""One optimizer step beside torch.optim's, on the parameters of two models."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch
from ds_core import optimizers
from ds_core.clipping import clip_grad_norm_
from ds_core.module import Parameter
from ds_core.verify.benchmark import Sides
from torch import Tensor

MLP = [(512, 784), (512,), (512, 512), (512,), (10, 512), (10,)]
GPT_BLOCK = [(256,), (256,), (768, 256), (768,), (256, 256), (256,), (256,), (256,)]
GPT_BLOCK += [(1024, 256), (1024,), (256, 1024), (256,)]
GPT = [(256, 256), (128, 256), *(4 * GPT_BLOCK), (256,), (256,)]
MODELS = {"MLP 784-512-512-10": MLP, "MiniGPT, width 256, 4 layers": GPT}
RULES = ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "NAdam", "RAdam", "Muon")


def parameters(shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Parameters with random gradients, the same on every call."""
    g = torch.Generator().manual_seed(0)
    made = []
    for shape in shapes:
        made.append(Parameter(torch.randn(shape, generator=g)))
        made[-1].grad = torch.randn(shape, generator=g)
    return made


def rule(name: str, shapes: list[tuple[int, ...]]) -> Sides:
    options: dict[str, Any] = {"momentum": 0.9} if name == "SGD" else {}  # gives it all of its work
    if name == "Muon":
        shapes = [shape for shape in shapes if len(shape) == 2]
    mine, other = parameters(shapes), parameters(shapes)
    make = getattr(torch.optim, name)
    ours, theirs = getattr(optimizers, name)(mine, **options), make(other, **options)
    ours.step()
    theirs.step()
    for p, q in zip(mine, other, strict=True):
        torch.testing.assert_close(p, q)
    ways = [way for way in ("fused", "foreach") if way in inspect.signature(make).parameters]
    best = [make(parameters(shapes), **options, **{way: True}) for way in ways]
    return Sides(ours.step, theirs.step, [one.step for one in best])


def clipping(shapes: list[tuple[int, ...]]) -> Sides:
    ours, theirs = parameters(shapes), parameters(shapes)

    def their_clipping(**options: bool) -> Tensor:
        return torch.nn.utils.clip_grad_norm_(theirs, 1.0, **options)

    # as exact as theirs is in float32; from now on the norm is within the limit, the common case in training
    torch.testing.assert_close(clip_grad_norm_(ours, 1.0), their_clipping(), rtol=1e-4, atol=0)
    return Sides(
        lambda: clip_grad_norm_(ours, 1.0),
        their_clipping,
        [their_clipping, partial(their_clipping, foreach=True)],
    )


ROWS = {
    f"{name}, {model}": partial(rule, name, shapes) for model, shapes in MODELS.items() for name in RULES
} | {f"clip_grad_norm_, {model}": partial(clipping, shapes) for model, shapes in MODELS.items()}
