"""torch.compile of our hand-written step beside torch.compile of torch.nn's model: forward and backward.

Ours is one program of forward, loss and backward. Where torch.nn has nothing to compare with, the referee is
our own eager step: ResNet-18 and LSTM. The first call, which compiles, is not part of what is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ds_cnn import resnet18
from ds_core import CrossEntropyLoss, Module, MSELoss, engine
from ds_core.verify.benchmark import Sides
from ds_rnn import LSTM
from ds_transformer import TransformerEncoderLayer
from ds_zoo import MiniGPTConfig
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))  # torch.compile imports the module of what it compiles by name
from precision import gpt, mlp


def forward_backward(model: Module, loss: Module, x: Any, y: Any) -> Callable[[], Any]:
    model.requires_input_grad_(False)

    def run() -> Any:
        output = model(x)
        value = loss(output[0] if isinstance(output, tuple) else output, y)
        model.backward(loss.backward())
        return value

    return run


def ours(model: Module, loss: Module, x: Any, y: Any, compiled: bool = True) -> Callable[[], Any]:
    run = forward_backward(model, loss, x, y)
    fast = torch.compile(run) if compiled else run

    def step() -> Any:
        model.zero_grad()
        with torch.no_grad() if compiled else engine("manual"):
            return fast()

    return step


def theirs(model: nn.Module, loss: nn.Module, x: Any, y: Any) -> Callable[[], Any]:
    fast = torch.compile(model)

    def step() -> Any:
        model.zero_grad()
        loss(fast(x), y).backward()

    return step


def classes(model: nn.Module) -> Callable[[Any], Any]:
    """Returns a model whose scores of all positions lie one below the other, as torch's loss wants them."""
    return nn.Sequential(model, nn.Flatten(0, 1)) if hasattr(model, "wte") else model


def beside_torch(make: Callable[[], tuple[Module, nn.Module, Any]]) -> Sides:
    model, referee, (x, y) = make()
    mine = ours(model, CrossEntropyLoss(dim=-1), x, y)
    return Sides(mine, theirs(classes(referee), nn.CrossEntropyLoss(), x, y.flatten()))


def encoder(width: int, context: int) -> Sides:
    arguments = (width, width // 64, 4 * width, 0.0)
    model, referee = (
        side(*arguments, batch_first=True) for side in (TransformerEncoderLayer, nn.TransformerEncoderLayer)
    )
    referee.load_state_dict(model.state_dict())
    x = torch.randn(2048 // context, context, width)
    y = torch.randn_like(x)
    return Sides(ours(model, MSELoss(), x, y), theirs(referee, nn.MSELoss(), x, y))


def beside_eager(make: Callable[[], tuple[Module, Module, Any, Any]]) -> Sides:
    return Sides(*(ours(*make(), compiled=compiled) for compiled in (True, False)))


def resnet() -> tuple[Module, Module, Any, Any]:
    torch.manual_seed(0)
    return resnet18(10), CrossEntropyLoss(), torch.randn(8, 3, 64, 64), torch.randint(10, (8,))


def lstm() -> tuple[Module, Module, Any, Any]:
    torch.manual_seed(0)
    return LSTM(64, 128), MSELoss(), torch.randn(16, 32, 64), torch.randn(16, 32, 128)


ROWS = {
    "MLP 784-512-512-10, batch 128": partial(beside_torch, partial(mlp, [784, 512, 512, 10], 128)),
    "MiniGPT width 128, 4 layers, batch 12 of 64": partial(
        beside_torch, partial(gpt, MiniGPTConfig(65, 64, 128, 4, 4), 12)
    ),
    "encoder layer, width 256, context 128": partial(encoder, 256, 128),
    "ResNet-18, 8 images of 64 x 64, beside our eager step": partial(beside_eager, resnet),
    "LSTM 64-128, 16 steps of 32, beside our eager step": partial(beside_eager, lstm),
}
