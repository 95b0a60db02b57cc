"""Training MiniDCGAN, whose players are convolutions; the rest stands in :mod:`ds_zoo.gan.train`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from ds_core.verify import GradientReport, check_gradients

from ds_zoo.gan.model import Norm
from ds_zoo.gan.pretrained import GANConfig, MiniDCGAN, MiniGAN
from ds_zoo.gan.train import (
    WASSERSTEIN,
    GameRecipe,
    Loaded,
    evaluate,
    generate,
    load_as,
    save,
    train,
)

__all__ = ["PRESETS", "Recipe", "evaluate", "generate", "load", "save", "train", "verify"]


@dataclass(frozen=True)
class Recipe(GameRecipe):
    """How to train: players of convolutions, as the authors of DCGAN trained theirs."""

    model: ClassVar[type[MiniGAN] | type[MiniDCGAN]] = MiniDCGAN

    latent: int = 100
    width: int = 32
    norm: Norm = "batch"


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "fashion": {"steps": 14_000, "validate_every": 1000},
    "wgan-gp": WASSERSTEIN,
    "spectral": {"norm": "spectral", "loss": "hinge"},
    "by-class": {"by_class": True},
}


def load(folder: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Reads both players from a run folder.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
    """
    return load_as(MiniDCGAN, folder, device)


def verify() -> Iterator[tuple[str, GradientReport]]:
    """Yields name and report of the gradients of small random models."""
    draw = torch.Generator().manual_seed(0)
    z, images = torch.randn(3, 4, generator=draw), torch.randn(3, 1, 8, 8, generator=draw)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = MiniDCGAN(GANConfig(4, 1, 8, 8, inner=2, norm="batch"))
    yield "MiniDCGAN's generator", check_gradients(model.generator, z)
    yield "MiniDCGAN's discriminator", check_gradients(model.discriminator, images)
