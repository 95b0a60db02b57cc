"""Sine2DPositions: waves along both sides of an image."""

from __future__ import annotations

import math
from typing import final

import torch
from ds_core import Module
from ds_core.checks import shape
from torch import Tensor

from ds_transformer.positions.angles import at_least_float32, check_angles, sinusoids


@final
class Sine2DPositions(Module):
    """Describes each place of an image by sines and cosines of its height, then of its width.

    z_(2i) = sin(v temperature^(-2i / F)),   z_(2i+1) = cos(v temperature^(-2i / F)),   P = [z(y), z(x)]

    y counts the rows down to the place that are not padding, itself included, x the columns. Normalised,
    they run from just above 0 to ``scale``, whatever the size of the image: y scale / (y_last + 1e-6).
    There is nothing to learn.

    Args:
        num_pos_feats: F, numbers for each of height and width, an even number; C = 2 F.
        temperature: how much slower the last pair would turn than the first.
        normalize: whether positions are measured in shares of the image.
        scale: what the last row and column count as; only if normalised.

    Shape:
        mask ``(B, H, W)``, bool, True where there is only padding; or a size (H, W) without padding, for
        which B = 1 -> ``(B, C, H, W)``; backward takes its gradient and returns None.

    Raises:
        ValueError: if F is odd, or the mask is not three-dimensional, or the size not two numbers.
        TypeError: if the mask is not boolean.

    Source: Carion et al., End-to-End Object Detection with Transformers (2020), section A.4, and the authors'
    program for the normalisation.
    """

    _like: Tensor

    def __init__(
        self,
        num_pos_feats: int = 64,
        temperature: float = 10000.0,
        normalize: bool = True,
        scale: float = 2 * math.pi,
    ) -> None:
        check_angles(f"Sine2DPositions({num_pos_feats})", num_pos_feats, temperature)
        self.num_pos_feats, self.temperature = num_pos_feats, temperature
        self.normalize, self.scale = normalize, scale
        # Moves with the model, and so knows in which type and where it computes.
        self.register_buffer("_like", torch.empty(0), persistent=False)

    def forward(self, mask: Tensor | tuple[int, int]) -> Tensor:
        dtype, device = self._like.dtype, self._like.device
        if isinstance(mask, Tensor):
            self._check(mask)
        elif len(mask) != 2:
            raise ValueError(f"{self.label()}: expected a size (H, W), got {tuple(mask)}")
        else:
            mask = torch.zeros(1, *mask, dtype=torch.bool, device=device)
        self.save()
        seen = (mask == 0).to(at_least_float32(dtype))  # (B, H, W)
        y, x = seen.cumsum(1), seen.cumsum(2)
        if self.normalize:
            y = y / (y[:, -1:] + 1e-6) * self.scale
            x = x / (x[:, :, -1:] + 1e-6) * self.scale
        halves = [sinusoids(place, self.num_pos_feats, self.temperature) for place in (y, x)]  # (B, H, W, F)
        return torch.cat(halves, -1).permute(0, 3, 1, 2).to(dtype)  # (B, C, H, W)

    def backward(self, grad: Tensor) -> None:
        self.saved()

    def _check(self, mask: Tensor) -> None:
        if mask.dtype != torch.bool:
            raise TypeError(
                f"{self.label()}: expected a mask of torch.bool, True where there is only padding, "
                f"got {mask.dtype} of shape {shape(mask)}"
            )
        if mask.dim() != 3:
            raise ValueError(f"{self.label()}: expected a mask (B, H, W), got shape {shape(mask)}")

    def extra_repr(self) -> str:
        return f"{self.num_pos_feats}" + ("" if self.normalize else ", normalize=False")
