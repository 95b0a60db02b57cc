"""What a CLIP has learned, as pictures: who is similar to whom, where embeddings lie, and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from ds_core.drawing import BLUE, INK, PLAIN, RED, SOFT, dress, new, write
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST_DRAWN = 200  # pictures beside their answers: matplotlib draws no figure of 65,536 pixels
_SIDE = 200  # pixels of a picture in a figure, at least


def thinned(picture: Tensor) -> Tensor:
    """Returns every so many-th row and column of a picture ``(3, H, W)``: enough to be drawn small."""
    step = max(1, max(picture.shape[1:]) // _SIDE)
    return picture[:, ::step, ::step].clone()


def similarity_matrix(
    similarities: Tensor,
    images: Sequence[Tensor],
    captions: Sequence[str],
    *,
    path: str | Path | None = None,
) -> Figure:
    """Draws the similarity of every image to every caption; the pairs lie on the diagonal.

    Args:
        similarities: ``(N, M)``, cosines.
        images: N pictures, uint8 ``(3, H, W)``.
        captions: M of them.
        path: where the picture is written; None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ImportError: if matplotlib is missing; says how to install it.
        ValueError: if there are not as many pictures and captions as rows and columns.
    """
    n, m = similarities.shape
    if (n, m) != (len(images), len(captions)):
        raise ValueError(
            f"similarity_matrix: expected {n} images and {m} captions, got {len(images)} and {len(captions)}"
        )
    figure = new("Which caption fits which picture", 3 + 0.62 * m, 1.8 + 0.55 * n)
    axes = figure.add_subplot()
    axes.imshow(similarities.float().numpy(), cmap="Blues", aspect="auto")
    limit = similarities.max() - 0.4 * (similarities.max() - similarities.min())
    for i in range(n):
        for j in range(m):
            value = similarities[i, j].item()
            colour = "white" if value > limit else INK
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
        box = axes.inset_axes((-0.09 / max(1, m / 8), 1 - (i + 0.95) / n, 0.08 / max(1, m / 8), 0.9 / n))
        box.imshow(images[i].permute(1, 2, 0).numpy())
        box.set_axis_off()
    axes.set_xticks(range(m), captions, rotation=35, ha="right", fontsize=8, color=INK, **PLAIN)
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    return write(figure, path)


def flat_map(vectors: Tensor) -> Tensor:
    """Puts vectors on a plane, along the two directions in which they differ most: ``(N, D)`` -> ``(N, 2)``.

    The directions are the first two eigenvectors of the covariance, found by multiplying two random vectors
    with it again and again, and keeping them perpendicular.

    Raises:
        ValueError: if there are fewer than three vectors.

    Source: Pearson, On Lines and Planes of Closest Fit to Systems of Points in Space (1901).
    """
    if len(vectors) < 3:
        raise ValueError(f"flat_map: expected at least three vectors, got {len(vectors)}")
    x = (vectors - vectors.mean(0)).double()
    basis = torch.randn(x.shape[1], 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(300):
        first, second = (x.mT @ (x @ basis)).unbind(1)
        first = first / first.square().sum().sqrt().clamp(min=1e-30)
        second = second - (second @ first) * first
        basis = torch.stack([first, second / second.square().sum().sqrt().clamp(min=1e-30)], 1)
    return (x @ basis).to(vectors.dtype)


def embedding_map(
    images: Tensor,
    captions: Tensor,
    words: Sequence[str],
    colours: Sequence[str] | None = None,
    *,
    path: str | Path | None = None,
) -> Figure:
    """Draws where images and captions lie: those of images as dots, those of captions as their words.

    Both are centred first, each around its own mean: a trained CLIP keeps the two apart.

    Args:
        images: ``(N, D)``.
        captions: ``(M, D)``.
        words: of the captions, M.
        colours: of the dots, N names of matplotlib; None for one.
        path: where the picture is written; None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ImportError: if matplotlib is missing; says how to install it.

    Source: for the gap between the two, Liang et al., Mind the Gap (2022).
    """
    places = flat_map(torch.cat([images - images.mean(0), captions - captions.mean(0)]))
    dots, names = places[: len(images)], places[len(images) :]
    figure = new("Pictures (dots) and captions (words) on one plane", 8, 6)
    axes = figure.add_subplot()
    axes.scatter(dots[:, 0], dots[:, 1], s=9, c=colours or BLUE, alpha=0.6, linewidths=0)
    for (x, y), word in zip(names.tolist(), words, strict=True):
        axes.text(x, y, word, fontsize=7.5, color=INK, ha="center", va="center", **PLAIN)
    axes.set_xticks([])
    axes.set_yticks([])
    dress(axes, across="the direction they differ most in", down="the next one")
    return write(figure, path)


def answers(
    images: Sequence[Tensor],
    labels: Sequence[str],
    probabilities: Tensor,
    *,
    path: str | Path | None = None,
    most: int = 5,
) -> Figure:
    """Draws pictures, and beside each how likely a model finds its labels.

    Args:
        images: N pictures, uint8 ``(3, H, W)``.
        labels: L of them.
        probabilities: ``(N, L)``.
        path: where the picture is written; None for not at all.
        most: at most so many labels beside each.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ImportError: if matplotlib is missing; says how to install it.
    """
    n, shown = len(images), min(most, len(labels))
    figure = new("", 6.4, max(1.2, 1.3 * n))
    grid = figure.subplots(n, 2, squeeze=False, width_ratios=(1, 3))
    for (left, right), image, row in zip(grid, images, probabilities, strict=True):
        left.imshow(image.permute(1, 2, 0).numpy())
        left.set_axis_off()
        order = row.argsort(descending=True)[:shown].flip(0).tolist()
        right.barh(range(shown), row[order].tolist(), color=[*[SOFT] * (shown - 1), RED], height=0.7)
        right.set_yticks(range(shown), [labels[k] for k in order], fontsize=8, color=INK, **PLAIN)
        right.set_xlim(0, 1.15)
        right.set_xticks([])
        for place, k in enumerate(order):
            right.text(
                row[k].item() + 0.01, place, f"{row[k].item():.1%}", va="center", fontsize=8, color=INK
            )
        for side in right.spines.values():
            side.set_visible(False)
    return write(figure, path)
