"""Activations by the names that ``config.json`` has for them."""

from __future__ import annotations

from collections.abc import Callable

from ds_core import GELU, Module, ReLU, SiLU, Tanh

ACTIVATIONS: dict[str, Callable[[], Module]] = {
    "gelu": GELU,
    "gelu_new": lambda: GELU("tanh"),
    "gelu_pytorch_tanh": lambda: GELU("tanh"),
    "relu": ReLU,
    "silu": SiLU,
    "tanh": Tanh,
}
