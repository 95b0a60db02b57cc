"""Each layer, activation and loss alone, forward and backward, beside its torch.nn namesake."""

from dataclasses import replace
from functools import partial
from typing import Any

import ds_core as ds
import torch
from ds_core.verify.benchmark import Sides, layer, step
from torch import Tensor, nn

N, WIDTH = 512, 512  # rows and columns of the input


def alone(name: str, *arguments: Any) -> Sides:
    return layer(getattr(ds, name)(*arguments), getattr(nn, name)(*arguments), torch.randn(N, WIDTH))


def dense() -> Sides:
    return layer(ds.Dense(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), torch.randn(N, WIDTH))


def dropout() -> Sides:
    return replace(alone("Dropout", 0.5), errors=None)  # each draws numbers of its own


def embedding() -> Sides:
    return layer(ds.Embedding(8000, 256), nn.Embedding(8000, 256), torch.randint(8000, (4096,)))


def bilinear() -> Sides:
    pair = ds.Bilinear(64, 64, 64), nn.Bilinear(64, 64, 64)
    return layer(*pair, torch.randn(256, 64), torch.randn(256, 64))


def loss(name: str, *inputs: Tensor) -> Sides:
    """Forward, and backward to the prediction."""

    def ours(module: ds.Module, *given: Tensor) -> Tensor:
        module(*given)
        return module.backward()

    def theirs(module: nn.Module, *given: Tensor) -> None:
        module(*given).backward()

    return step(getattr(ds, name)(), getattr(nn, name)(), inputs, ours, theirs, wanted=1)


LAYERS: dict[str, tuple[Any, ...]] = {
    "LayerNorm": (WIDTH,),
    "RMSNorm": (WIDTH,),
    "GroupNorm": (8, WIDTH),
    "BatchNorm1d": (WIDTH,),
    "GELU": ("tanh",),
    "Softmax": (-1,),
    "Softmin": (-1,),
    "LogSoftmax": (-1,),
}
ACTIVATIONS = (
    *("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Sigmoid"),
    *("LogSigmoid", "Tanh", "Hardswish", "Softplus", "GLU", "Hardtanh", "Hardsigmoid", "Softsign"),
    *("Tanhshrink", "Softshrink", "Hardshrink"),
)


def losses() -> dict[str, tuple[Tensor, ...]]:
    x, target = torch.randn(N, WIDTH), torch.randn(N, WIDTH)
    share, index = torch.rand(N, WIDTH), torch.randint(WIDTH, (N,))
    return {
        "CrossEntropyLoss": (x, index),
        "NLLLoss": (x.log_softmax(-1), index),
        **dict.fromkeys(("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"), (x, target)),
        "PoissonNLLLoss": (x, target.abs()),
        "GaussianNLLLoss": (x, target, share),
        "BCELoss": (share, share.flip(0)),
        "BCEWithLogitsLoss": (x, share),
    }


ROWS = {
    "Dense(512, 512)": dense,
    **{
        f"{name}({', '.join(map(repr, arguments))})": partial(alone, name, *arguments)
        for name, arguments in LAYERS.items()
    },
    "Dropout(0.5)": dropout,
    "Embedding(8000, 256)": embedding,
    "Bilinear(64, 64, 64)": bilinear,
    **{name: partial(alone, name) for name in ACTIVATIONS},
    **{name: partial(loss, name, *inputs) for name, inputs in losses().items()},
}
