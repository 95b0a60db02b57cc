"""Draws norm-placement.png: gradients at the start of training, with the norm before and after each part."""

from __future__ import annotations

from pathlib import Path

import torch
from ds_core import Adam, CrossEntropyLoss, Dense, Embedding, LayerNorm, engine
from ds_core.drawing import BLUE, INK, LINE, RED, new, write
from ds_core.initializers import xavier_uniform_
from ds_transformer import TransformerEncoder, TransformerEncoderLayer
from torch import Tensor

COLOURS = {"norm before": BLUE, "norm after": RED}


def make(width: int, layers: int, norm_first: bool, generator: torch.Generator) -> TransformerEncoder:
    """Makes an encoder whose layers do not begin alike."""
    layer = TransformerEncoderLayer(
        width, 4, 4 * width, 0.0, batch_first=True, norm_first=norm_first, generator=generator
    )
    encoder = TransformerEncoder(layer, layers, LayerNorm(width) if norm_first else None)
    for parameter in encoder.parameters():
        if parameter.dim() > 1:
            xavier_uniform_(parameter, generator=generator)
    return encoder


def at_the_start(norm_first: bool, layers: int, seed: int) -> Tensor:
    """Measures ``(4, layers)``: the input's size, how alike its positions are, and two gradients.

    These are the norms of the gradients of the input, and of linear2.weight.
    """
    draw = torch.Generator().manual_seed(seed)
    batch, length, width, classes = 8, 32, 128, 100
    encoder = make(width, layers, norm_first, draw)
    head, loss = Dense(width, classes, generator=draw), CrossEntropyLoss()
    x = torch.randn(batch, length, width, generator=draw)
    target = torch.randint(0, classes, (batch * length,), generator=draw)
    sizes, alike, grads = [], [], []
    with engine("manual"):
        for layer in encoder.layers:
            sizes.append(x.square().mean().sqrt())
            same_length = x / x.norm(dim=-1, keepdim=True)
            cosines = same_length @ same_length.mT  # (batch, length, length), 1 on the diagonal
            alike.append((cosines.mean() * length - 1) / (length - 1))
            x = layer(x)
        top = x if encoder.norm is None else encoder.norm(x)
        loss(head(top).view(-1, classes), target)
        grad = head.backward(loss.backward().view(batch, length, classes))
        grad = grad if encoder.norm is None else encoder.norm.backward(grad)
        for layer in reversed(encoder.layers):
            grad = layer.backward(grad)
            grads.append(grad.norm())
    weights = [layer.linear2.weight.grad.norm() for layer in encoder.layers]
    return torch.stack([torch.stack(rows) for rows in (sizes, alike, grads[::-1], weights)])


def trained(norm_first: bool, layers: int, warm_up: int, seed: int, steps: int = 300) -> float:
    """Learns to repeat the token before, and returns the loss at the end; guessing has 3.00."""
    draw = torch.Generator().manual_seed(seed)
    batch, length, width, tokens, rate = 32, 16, 64, 20, 1e-3
    encoder = make(width, layers, norm_first, draw)
    words, places = Embedding(tokens, width, generator=draw), Embedding(length, width, generator=draw)
    head, loss = Dense(width, tokens, generator=draw), CrossEntropyLoss()
    parts = (encoder, words, places, head)
    optimizer = Adam([parameter for part in parts for parameter in part.parameters()], lr=rate)
    losses = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / max(1, warm_up))
        x = torch.randint(0, tokens, (batch, length), generator=draw)
        optimizer.zero_grad()
        with engine("manual"):
            y = encoder(words(x) + places(torch.arange(length)))
            losses.append(float(loss(head(y).view(-1, tokens), x.roll(1, 1).flatten())))
            grad = encoder.backward(head.backward(loss.backward().view(batch, length, tokens)))
            words.backward(grad)
            places.backward(grad.sum(0))
        optimizer.step()
    return sum(losses[-10:]) / 10


def draw(measured: dict[str, Tensor], path: Path) -> None:
    """Draws the gradients of all layers' inputs and weights."""
    figure = new("", 8, 3.2)
    titles = ("gradient of the layer's input", "gradient of its last weight, linear2.weight")
    for place, (axes, title) in enumerate(zip(figure.subplots(1, 2), titles, strict=True), 2):
        for name, values in measured.items():
            layers = range(1, values.shape[1] + 1)
            axes.plot(
                layers, values[place].tolist(), color=COLOURS[name], marker="o", markersize=3, label=name
            )
        axes.set_title(title, fontsize=10, color=INK)
        axes.set(xlabel="layer", ylabel="norm")
        axes.set_ylim(bottom=0)
        axes.grid(color=LINE, linewidth=0.6)
        axes.legend(frameon=False, fontsize=9)
    write(figure, path)


def main() -> None:
    """Prints what theory/norm-placement.md shows, and draws its picture."""
    placements = {"norm before": True, "norm after": False}

    def mean(norm_first: bool, layers: int) -> Tensor:
        return torch.stack([at_the_start(norm_first, layers, seed) for seed in range(5)]).mean(0)

    measured = {name: mean(first, 12) for name, first in placements.items()}
    draw(measured, Path(__file__).parent / "norm-placement.png")
    print("layer, then for each placement: size of the input, cosine of its positions, the two gradients")
    for number in range(12):
        columns = [
            f"{a:7.2f}{b:6.2f}{c:9.4f}{d:8.3f}" for a, b, c, d in (v[:, number] for v in measured.values())
        ]
        print(f"{number + 1:5}" + "  ".join(columns))
    print("\ngradient of linear2.weight in the last layer, by number of layers")
    for layers in (1, 3, 6, 12, 24):
        print(f"{layers:5}" + "".join(f"{mean(first, layers)[3, -1]:9.3f}" for first in placements.values()))
    print("\nlayers, norm, steps of warm-up: losses after 300 steps from three seeds")
    for layers in (3, 12):
        for name, first in placements.items():
            for warm_up in (0, 100):
                losses = [trained(first, layers, warm_up, seed) for seed in range(3)]
                print(
                    f"{layers:5}  {name}{warm_up:5}" + "".join(f"{loss:8.3f}" for loss in losses), flush=True
                )


if __name__ == "__main__":
    main()
