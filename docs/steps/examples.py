"""The four steps that one can walk through, of an MLP, a small CNN, an LSTM and a tiny GPT; and three x-rays.

``python docs/steps/examples.py FOLDER`` writes their pages, and beside each step its numbers as JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from ds_cnn import Conv2d, MaxPool2d
from ds_core import CrossEntropyLoss, Dense, Flatten, Module, MSELoss, ReLU, Sequential, Sigmoid, Tanh
from ds_core.xray import Trace, XRay, trace, xray
from ds_rnn import LSTM
from ds_zoo.gpt import MiniGPT, MiniGPTConfig
from torch import Tensor

TEXT = "the sea and the see "


def mlp() -> Trace:
    """Two inputs, three hidden units, two classes, and a batch of three: small enough for every number."""
    torch.manual_seed(4)
    model = Sequential(Dense(2, 3), Tanh(), Dense(3, 2))
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return trace(
        model,
        x,
        torch.tensor([1, 1, 0]),
        CrossEntropyLoss(),
        lr=0.5,
        title="An MLP takes one step",
        about="Three examples of XOR go through two layers, and their gradient comes back.",
    )


def cnn() -> Trace:
    """One drawn 7, two kernels, a pool and a dense layer."""
    torch.manual_seed(2)
    image = torch.zeros(1, 1, 6, 6)
    image[0, 0, 1, 1:5] = 1
    image[0, 0, [2, 3, 4], [4, 3, 3]] = 1
    model = Sequential(Conv2d(1, 2, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Dense(18, 3))
    return trace(
        model,
        image,
        torch.tensor([2]),
        CrossEntropyLoss(),
        title="A small CNN takes one step",
        about="A drawn 7 goes through two kernels of 3 by 3 pixels, a rectifier, a pool and a dense layer.",
    )


class LastStep(Module):
    """An LSTM that reads a sequence, and a Dense layer on what it knows at the end."""

    def __init__(self, inputs: int, hidden: int) -> None:
        self.rnn = LSTM(inputs, hidden)
        self.head = Dense(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.rnn(x)  # (T, B, H)
        self.save(len(output))
        return self.head(output[-1])

    def backward(self, grad: Tensor) -> Tensor | None:
        (steps,) = self.saved()
        grad = self.head.backward(grad)
        grads = grad.new_zeros(steps, *grad.shape)
        grads[-1] = grad
        return self.rnn.backward(grads)


def lstm() -> Trace:
    """Four numbers of a wave, three units: what comes next?"""
    torch.manual_seed(1)
    wave = torch.sin(torch.arange(5) * 1.2).view(5, 1, 1)
    return trace(
        LastStep(1, 3),
        wave[:4],
        wave[4],
        MSELoss(),
        title="An LSTM takes one step",
        about="Four numbers of a wave go through one cell, again and again; it guesses the fifth.",
        words=["t = 0", "t = 1", "t = 2", "t = 3"],
    )


def gpt() -> Trace:
    """A GPT of two blocks reads eight letters."""
    torch.manual_seed(0)
    letters = sorted(set(TEXT))
    ids = torch.tensor([letters.index(letter) for letter in TEXT])
    config = MiniGPTConfig(
        len(letters), n_positions=8, n_embd=8, n_layer=2, n_head=2, n_inner=16, initializer_range=0.3
    )
    return trace(
        MiniGPT(config),
        ids[None, :8],
        ids[None, 1:9],
        CrossEntropyLoss(dim=-1),
        title="A tiny GPT takes one step",
        about="Two blocks with two heads of attention each read eight letters, and guess the one after each.",
        words=["␣" if letter == " " else letter for letter in TEXT[:8]],
    )


EXAMPLES = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "gpt": gpt}


def deep(activation: type[Module], init: str) -> XRay:
    """Eight layers between two activations, on random points of three classes."""
    torch.manual_seed(0)
    layers = [part for _ in range(8) for part in (Dense(32, 32, init=init), activation())]
    return xray(Sequential(*layers, Dense(32, 3)), torch.randn(64, 32), torch.randint(0, 3, (64,)))


def attention() -> XRay:
    """A tiny GPT, down to the scores and probabilities of its attention."""
    torch.manual_seed(0)
    config = MiniGPTConfig(16, n_positions=6, n_embd=8, n_layer=1, n_head=2, initializer_range=0.4)
    ids = torch.randint(0, 16, (1, 7))
    return xray(MiniGPT(config), ids[:, :6], ids[:, 1:])


XRAYS = {
    "sigmoid": lambda: deep(Sigmoid, "xavier_uniform"),
    "relu": lambda: deep(ReLU, "he_uniform"),
    "attention": attention,
}


def main(folder: Path) -> None:
    """Writes every page and its numbers."""
    for name, make in EXAMPLES.items():
        made = make()
        page = made.to_html(folder / f"{name}.html")
        made.to_json(folder / f"{name}.json")
        print(f"{page}: {page.stat().st_size / 1000:.0f} kB, {len(made.stops)} stops")
    for name, seen in XRAYS.items():
        page = seen().to_html(folder / f"xray-{name}.html")
        print(f"{page}: {page.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
