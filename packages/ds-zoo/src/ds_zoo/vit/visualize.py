"""What a ViT looks at, what it has learned about places; its patch filters are `ds_cnn.visualize.filters`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from ds_cnn.visualize.pictures import bare, show
from ds_core.drawing import BOTH_SIDES, HEAT, SOFT, explain, new, shades, write
from ds_core.module import evaluating
from torch import Tensor

from ds_zoo.vit.model import MiniViT, MiniViTForImageClassification, grid_of, pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_rollout(
    model: MiniViT | MiniViTForImageClassification, pixel_values: Tensor, *, residual: float = 0.5
) -> Tensor:
    """Follows attention through all layers: how much of each patch is in what stands for the whole image.

    R = (r I + (1 - r) A_n) ... (r I + (1 - r) A_1),   A_l being layer l's attention, the mean of its heads

    A layer adds what it looked at to what was there, so a token keeps the share r of itself. The row of R
    that belongs to the image's own token, or the mean of the rows of all patches, says where the image's
    vector comes from. It does not know what values and MLPs do: it shows where information could flow.

    Args:
        model: runs in eval mode.
        pixel_values: ``(B, channels, H, W)``, of any size.
        residual: r.

    Returns:
        ``(B, rows, columns)``, one number for each patch, which add up to 1.

    Raises:
        ValueError: if r is not between 0 and 1.

    Source: Abnar and Zuidema, Quantifying Attention Flow in Transformers (2020), section 3.
    """
    if not 0 <= residual <= 1:
        raise ValueError(f"attention_rollout: expected residual from 0 to 1, got {residual}")
    vit = model.vit if isinstance(model, MiniViTForImageClassification) else model
    with torch.no_grad(), evaluating(vit):
        maps = vit(pixel_values, True, output_attentions=True).attentions
    rolled = torch.eye(maps[0].shape[-1], dtype=maps[0].dtype, device=maps[0].device)
    for attention in maps:
        mixed = (1 - residual) * attention.mean(1)  # (B, T, T)
        rolled = residual * rolled + mixed @ rolled
    extra = vit.embeddings.extra
    row = rolled[:, 0, 1:] if extra else rolled.mean(1)  # (B, L)
    grid = grid_of((pixel_values.shape[2], pixel_values.shape[3]), pair(vit.config.patch_size))
    return (row / row.sum(1, keepdim=True)).unflatten(1, grid)


def draw_rollout(images: Tensor, rollout: Tensor, *, path: str | Path | None = None) -> Figure:
    """Draws images, and below each how much of every patch is in the image's vector.

    Args:
        images: ``(B, 3 or 1, H, W)``, from 0 to 1.
        rollout: ``(B, rows, columns)``, of :func:`attention_rollout`.
        path: where the picture is written; None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ValueError: if there are not as many images as maps.
        ImportError: if matplotlib is missing.
    """
    if len(images) != len(rollout) or not len(images):
        raise ValueError(
            f"draw_rollout: expected as many images as maps, got {len(images)} and {len(rollout)}"
        )
    figure = new("Where the image's vector comes from", max(3.0, 1.3 * len(images) + 0.8), 3.0)
    grid = figure.subplots(2, len(images), squeeze=False)
    most = float(rollout.max())
    for image, one, upper, lower in zip(images, rollout, *grid, strict=True):
        bare(upper)
        show(upper, image)
        bare(lower)
        drawn = shades(lower, one, HEAT, 0.0, most)
    explain(figure, drawn, list(grid.flat), "share")
    return write(figure, path)


def position_similarity(model: MiniViT | MiniViTForImageClassification) -> Tensor:
    """Compares the vectors of places, each with each, by the cosine of their angle.

    Returns:
        ``(rows, columns, rows, columns)``, from -1 to 1.
    """
    vit = model.vit if isinstance(model, MiniViTForImageClassification) else model
    table = vit.embeddings.position_embeddings.detach()[0, vit.embeddings.extra :]  # (L, C)
    unit = table / table.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
    rows, columns = vit.config.grid
    return (unit @ unit.T).view(rows, columns, rows, columns)


def draw_position_similarity(
    model: MiniViT | MiniViTForImageClassification, *, path: str | Path | None = None
) -> Figure:
    """Draws for each place of the grid of patches how similar its vector is to those of all places.

    A model that has learned that images are flat shows a bright spot that moves with the place, and often its
    row and its column.

    Args:
        model: whose positions.
        path: where the picture is written; None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ImportError: if matplotlib is missing.
    """
    similar = position_similarity(model)
    rows, columns = similar.shape[:2]
    figure = new("Similarity of the vectors of places", 0.7 * columns + 1.4, 0.7 * rows + 0.8)
    grid = figure.subplots(rows, columns, squeeze=False)
    for i in range(rows):
        for j in range(columns):
            bare(grid[i, j])
            drawn = shades(grid[i, j], similar[i, j], BOTH_SIDES, -1.0, 1.0)
    figure.supxlabel("column of the patch", fontsize=9, color=SOFT)
    figure.supylabel("row of the patch", fontsize=9, color=SOFT)
    explain(figure, drawn, list(grid.flat), "cosine")
    return write(figure, path)
