"""Sheets of paper: a forward and a backward by hand, with numbers drawn from a seed, and their solutions.

    python docs/course/sheets.py --out FOLDER                        # all sheets, with the numbers of seed 0
    python docs/course/sheets.py layer-norm --seeds 1-30 --out FOLDER    # thirty different ones

writes ``sheets.html`` and ``solutions.html``, a page of paper each: open them in a browser and print. The
same seed gives the same numbers. Solutions are computed by the library's own formulas, not here.
"""

from __future__ import annotations

import argparse
import html
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch
from ds_cnn import Conv2d
from ds_core import SGD, Parameter, engine
from ds_core.functional import (
    cross_entropy,
    cross_entropy_backward,
    layer_norm,
    layer_norm_backward,
    linear,
    linear_backward,
    relu,
    relu_backward,
    softmax,
)
from ds_rnn import RNN
from ds_transformer.functional import attention, attention_backward
from torch import Tensor


@dataclass
class Sheet:
    """One exercise for paper.

    Attributes:
        title: what it is about.
        about: what happens, in words and formulas.
        given: the numbers, by name.
        wanted: what is to be worked out, in words.
        answers: the numbers that come out, by name, in the order of the work.
        logs: names of given numbers that are logarithms of whole ones, and are written so.
    """

    title: str
    about: str
    given: dict[str, Tensor]
    wanted: str
    answers: dict[str, Tensor]
    logs: tuple[str, ...] = field(default=())


class Draw:
    """Small whole numbers that a pencil can work with."""

    def __init__(self, seed: int, name: str) -> None:
        self._random = random.Random(f"{name} {seed}")

    def whole(self, *shape: int, low: int = -3, high: int = 3, zero: bool = False) -> Tensor:
        """Returns whole numbers, without 0 unless it is allowed."""
        numbers = [n for n in range(low, high + 1) if n or zero]
        flat = [self._random.choice(numbers) for _ in range(torch.Size(shape).numel())]
        return torch.tensor(flat, dtype=torch.float64).view(shape)

    def order(self, values: list[float]) -> Tensor:
        """Returns numbers in another order."""
        return torch.tensor(self._random.sample(values, len(values)), dtype=torch.float64)


def neuron(draw: Draw) -> Sheet:
    """A weighted sum, and half a squared error."""
    x, w, b, t = draw.whole(1, 3), draw.whole(1, 3), draw.whole(1), draw.whole(1, high=6)
    y, saved = linear(x, w, b)
    _, grad_w, grad_b = linear_backward(y - t, saved)
    assert grad_b is not None
    given = {"x": x[0], "w": w[0], "b": b, "t": t}
    step = (w - 0.1 * grad_w, b - 0.1 * grad_b)
    answers = {"y": y[0], "L": (y - t)[0] ** 2 / 2, "dL/dy": (y - t)[0], "dL/dw": grad_w[0], "dL/db": grad_b}
    return Sheet(
        "One neuron",
        "y = w · x + b, and the loss is L = ½ (y − t)².",
        given,
        "Work out y, L and the gradients of y, w and b. Then take a step of rate 0.1: what are w and b, "
        "and what is y now?",
        answers | {"new w": step[0][0], "new b": step[1], "new y": linear(x, *step)[0][0]},
    )


def two_layers(draw: Draw) -> Sheet:
    """Two linear maps with a ReLU between them."""
    while True:  # one of the two units is to be alive, and one may be dead
        x, w1, b1 = (
            draw.whole(1, 2),
            draw.whole(2, 2, low=-2, high=2),
            draw.whole(2, low=-1, high=1, zero=True),
        )
        w2, b2, t = draw.whole(1, 2, low=-2, high=2), draw.whole(1, low=-1, high=1, zero=True), draw.whole(1)
        a, first = linear(x, w1, b1)
        h, kept = relu(a)
        y, second = linear(h, w2, b2)
        if (a > 0).any() and (a != 0).all() and (y != t).all():
            break
    grad_h, grad_w2, grad_b2 = linear_backward(y - t, second)
    grad_a = relu_backward(grad_h, kept)
    grad_x, grad_w1, grad_b1 = linear_backward(grad_a, first)
    assert grad_b1 is not None
    assert grad_b2 is not None
    return Sheet(
        "Two layers",
        "a = W₁ x + b₁,  h = max(a, 0),  y = w₂ · h + b₂,  L = ½ (y − t)².",
        {"x": x[0], "W₁": w1, "b₁": b1, "w₂": w2[0], "b₂": b2, "t": t},
        "Go forward to L, a line for each layer. Then back: the gradient of each quantity, from the last "
        "to the first.",
        {
            **{"a": a[0], "h": h[0], "y": y[0], "L": (y - t)[0] ** 2 / 2, "dL/dy": (y - t)[0]},
            **{"dL/dw₂": grad_w2[0], "dL/db₂": grad_b2, "dL/dh": grad_h[0], "dL/da": grad_a[0]},
            **{"dL/dW₁": grad_w1, "dL/db₁": grad_b1, "dL/dx": grad_x[0]},
        },
    )


def classes(draw: Draw) -> Sheet:
    """Softmax and cross-entropy, with scores whose exponentials are whole."""
    z, target = draw.whole(1, 3, low=1, high=6).log(), draw.whole(1, low=1, high=3).long() - 1
    loss, saved = cross_entropy(z, target)
    return Sheet(
        "From scores to a gradient",
        f"p = softmax(z), and L = −log p of the right class, which is number {int(target) + 1}.",
        {"z": z[0]},
        "Work out p, L (as a logarithm) and dL/dz. What do the three numbers of dL/dz add up to, and why?",
        {"p": softmax(z)[0][0], "exp(−L)": (-loss).exp(), "dL/dz": cross_entropy_backward(1.0, saved)[0]},
        logs=("z",),
    )


def norm(draw: Draw) -> Sheet:
    """A layer norm whose deviation is whole."""
    middle, reach = float(draw.whole(1)), float(draw.whole(1, low=1))
    x = draw.order([middle - reach, middle - reach, middle + reach, middle + reach])[None]
    g = draw.whole(1, 4)
    y, saved = layer_norm(x, None, None, 0.0)
    grad_x, _, _ = layer_norm_backward(g, saved)
    return Sheet(
        "A norm",
        "n = (x − mean x) / σ, where σ² is the mean of (x − mean x)². What comes back is g = dL/dn.",
        {"x": x[0], "g": g[0]},
        "Work out mean, σ and n; then dL/dx = (g − mean g − n · mean(g n)) / σ. What does it add up to, and "
        "what is its product with n? Say why both must be so.",
        {"mean x": x.mean()[None], "σ": x.std(correction=0)[None], "n": y[0], "mean g": g.mean()[None]}
        | {"mean (g n)": (g * y).mean()[None], "dL/dx": grad_x[0]},
    )


def convolution(draw: Draw) -> Sheet:
    """A kernel of 2 by 2 on a picture of 3 by 3."""
    x, kernel, g = (
        draw.whole(3, 3, low=0, high=2, zero=True),
        draw.whole(2, 2, low=-2, high=2),
        draw.whole(2, 2),
    )
    layer = Conv2d(1, 1, 2, bias=False).to(torch.float64)
    with torch.no_grad():
        layer.weight.copy_(kernel)
    with engine("manual"):
        y = layer(x[None, None])
        grad_x = layer.backward(g[None, None])
    assert layer.weight.grad is not None
    assert grad_x is not None
    return Sheet(
        "A convolution",
        "The kernel slides over the picture, without padding: y[i, j] = Σ W[u, v] x[i + u, j + v]. What "
        "comes back is g = dL/dy.",
        {"x": x, "W": kernel, "g": g},
        "Work out y. Then dL/dW: each weight met four pixels. Then dL/dx: which pixel was seen four times, "
        "which once?",
        {"y": y[0, 0], "dL/dW": layer.weight.grad[0, 0], "dL/dx": grad_x[0, 0]},
    )


def time(draw: Draw) -> Sheet:
    """Three steps of a recurrent network of one unit."""
    x, w, v = draw.whole(3, 1, 1, low=1), draw.whole(1, low=1, high=2), draw.whole(1, low=1, high=3)
    rnn = RNN(1, 1, nonlinearity="relu", bias=False).to(torch.float64)
    with torch.no_grad():
        rnn.weight_ih_l0.fill_(float(w))
        rnn.weight_hh_l0.fill_(float(v) / 2)
    with engine("manual"):
        h, _ = rnn(x)
        g = torch.zeros_like(h)
        g[-1] = 1
        grad_x = rnn.backward(g)
    assert grad_x is not None
    assert rnn.weight_ih_l0.grad is not None
    assert rnn.weight_hh_l0.grad is not None
    return Sheet(
        "Through time",
        "h₀ = 0 and hₜ = max(w xₜ + v hₜ₋₁, 0) for t = 1, 2, 3. The loss is L = h₃.",
        {"x": x.flatten(), "w": w, "v": v / 2},
        "Work out h₁, h₂, h₃. Then back: dL/dxₜ for each t, and dL/dw and dL/dv, each a sum of what every "
        "step adds. By what factor does the gradient change with each step back?",
        {"h": h.flatten(), "dL/dx": grad_x.flatten(), "dL/dw": rnn.weight_ih_l0.grad[0]}
        | {"dL/dv": rnn.weight_hh_l0.grad[0]},
    )


def looking(draw: Draw) -> Sheet:
    """Attention of two queries to two keys, with scores that are logarithms."""
    q, k = draw.order([1.0, 2.0])[:, None], draw.order([1.0, 2.0, 3.0])[:2, None].log()
    v, g = draw.whole(2, 2), draw.whole(2, 2, low=-1, high=2, zero=True)
    (y, _), saved = attention(q, k, v, scale=1.0)
    _, grad_k, grad_v, _ = attention_backward((g, None), saved)
    p = softmax(q @ k.T)[0]
    return Sheet(
        "Attention",
        "A = q kᵀ (no scale), P = softmax of each row of A, Y = P V. What comes back is g = dL/dY.",
        {"q": q, "k": k, "V": v, "g": g},
        "Work out P and Y. Then back: dL/dV = Pᵀ g, dL/dP = g Vᵀ, and dL/dA = P · (dL/dP − row sum of "
        "P · dL/dP). What do the rows of dL/dA add up to?",
        {"P": p, "Y": y, "dL/dV": grad_v, "dL/dP": g @ v.T}
        | {"dL/dA": p * (g @ v.T - (p * (g @ v.T)).sum(1, keepdim=True)), "dL/dk": grad_k},
        logs=("k",),
    )


def momentum(draw: Draw) -> Sheet:
    """Three steps of SGD with momentum down a parabola."""
    p, c = draw.whole(1, low=2, high=6), draw.whole(1)
    while (p == c).all():  # at the bottom already, nothing would move
        c = draw.whole(1)
    parameter = Parameter(p.clone())
    optimizer = SGD([parameter], lr=0.1, momentum=0.5)
    path = []
    for _ in range(3):
        parameter.grad = parameter.detach() - c
        optimizer.step()
        path.append(parameter.detach().clone())
    return Sheet(
        "Three steps downhill",
        "L = ½ (p − c)². SGD of rate 0.1 with momentum 0.5: b = 0.5 b + g (at the first step b = g), "
        "p = p − 0.1 b.",
        {"p": p, "c": c},
        "Take three steps. At which do you go further than without momentum, and by how much?",
        {f"p after step {i + 1}": value for i, value in enumerate(path)},
    )


SHEETS: dict[str, Callable[[Draw], Sheet]] = {
    "neuron": neuron,
    "two-layers": two_layers,
    "classes": classes,
    "layer-norm": norm,
    "momentum": momentum,
    "convolution": convolution,
    "through-time": time,
    "attention": looking,
}

STYLE = """
:root { color-scheme: light dark; }
body { font: 12pt/1.5 Georgia, "Times New Roman", serif; max-width: 46em; margin: 2em auto; padding: 0 1em; }
section { break-after: page; margin-bottom: 3em; }
h1 { font-size: 1.5em; margin: 0 0 .2em; }
.line { display: flex; gap: 2em; justify-content: space-between; border-bottom: 1px solid; }
dl { display: flex; flex-wrap: wrap; gap: .8em 2em; align-items: center; }
dl > div { display: flex; gap: .5em; align-items: center; }
dt { font-style: italic; } dt::after { content: " ="; } dd { margin: 0; }
table { border-collapse: collapse; border-left: 2px solid; border-right: 2px solid; border-radius: 6px; }
td { padding: .1em .5em; text-align: center; border: 0; }
"""


def sheet(name: str, seed: int) -> Sheet:
    """Returns a sheet with the numbers of a seed, none of whose gradients is nothing but zeros."""
    draw = Draw(seed, name)
    made = SHEETS[name](draw)
    while not all(value.any() for label, value in made.answers.items() if label.startswith("dL/d")):
        made = SHEETS[name](draw)
    return made


def written(value: float, log: bool = False) -> str:
    """Writes a number as a pencil would: whole, as a fraction, or with four digits after the point."""
    if log:
        return f"ln {round(torch.tensor(value, dtype=torch.float64).exp().item())}"
    fraction = Fraction(value).limit_denominator(400)
    if abs(float(fraction) - value) > 1e-9:
        return f"{value:.4f}".replace("-", "−")
    return str(fraction).replace("-", "−")


def table(numbers: Tensor, log: bool = False) -> str:
    """Returns a number, a vector or a matrix as HTML."""
    cells = [
        [written(v, log) for v in row]
        for row in numbers.reshape(-1, numbers.shape[-1] if numbers.dim() else 1).tolist()
    ]
    if numbers.numel() == 1:
        return cells[0][0]
    return (
        "<table>" + "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in cells) + "</table>"
    )


def listed(numbers: dict[str, Tensor], logs: tuple[str, ...] = ()) -> str:
    """Returns named numbers as HTML."""
    pairs = (
        f"<div><dt>{html.escape(name)}</dt><dd>{table(value, name in logs)}</dd></div>"
        for name, value in numbers.items()
    )
    return f"<dl>{''.join(pairs)}</dl>"


def page(names: Iterable[str], seeds: Iterable[int], solved: bool) -> str:
    """Returns the sheets, or their solutions, as one page of HTML."""
    parts = []
    for seed in seeds:
        for name in names:
            made = sheet(name, seed)
            head = "Solution" if solved else "Name"
            body = listed(made.answers) if solved else f"<p>{html.escape(made.wanted)}</p>"
            parts.append(
                f'<section><p class="line"><span>{head}:</span><span>{name}, {seed}</span></p>'
                f"<h1>{made.title}</h1>"
                f"<p>{html.escape(made.about)}</p>{listed(made.given, made.logs)}{body}</section>"
            )
    title = "Solutions" if solved else "Sheets"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def main() -> None:
    """Writes what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="SHEET", help=f"of {', '.join(SHEETS)}; all if none is named"
    )
    parser.add_argument("--seeds", default="0", help="one, 7, or several, 1-30")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the two pages")
    options = parser.parse_args()
    if unknown := set(options.names) - set(SHEETS):
        parser.error(f"there is no sheet {', '.join(sorted(unknown))}; there are {', '.join(SHEETS)}")
    if not re.fullmatch(r"\d+(-\d+)?", options.seeds):
        parser.error(f"--seeds: expected a number such as 7, or several such as 1-30, got {options.seeds!r}")
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if not seeds:
        parser.error(f"--seeds: expected the smaller number first, got {options.seeds!r}")
    options.out.mkdir(parents=True, exist_ok=True)
    for solved, name in ((False, "sheets.html"), (True, "solutions.html")):
        text = page(options.names or SHEETS, seeds, solved)
        (options.out / name).write_text(text, encoding="utf-8")
        print(options.out / name)


if __name__ == "__main__":
    main()
