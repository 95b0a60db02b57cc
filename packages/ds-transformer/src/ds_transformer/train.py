"""Training a Transformer that translates: its recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ds_core.cli.translator import Run, TranslatorOptions, train_run
from ds_core.schedulers import InverseSquareRootLR
from ds_core.text.translation import TranslatorRecipe

from ds_transformer.models import TransformerTranslator, TransformerTranslatorConfig


@dataclass(frozen=True, kw_only=True)
class Recipe(TranslatorOptions):
    """How to train a Transformer that translates.

    Args:
        shared: whether both languages have the same tokens and embeddings.
        width: numbers that describe a position.
        heads: attention heads.
        layers: layers of the encoder, and of the decoder.
        inner: inner width of the network at each position.
        dropout: share of numbers that are dropped in training.
        norm_first: whether parts of a layer normalise what they read, or the sum.
        max_length: the context; longer sentences are left out.
        warmup: steps to the highest learning rate, which then falls with the root of the steps.
        average: the final weights are the mean of those after each of this many last epochs.
    """

    epochs: int = 18
    lr: float = 1.5e-3
    shared: bool = field(default=True, metadata={"option": "--shared/--separate"})
    width: int = 192
    heads: int = 4
    layers: int = 3
    inner: int = 512
    dropout: float = 0.2
    norm_first: bool = field(default=True, metadata={"option": "--norm-first/--norm-last"})
    max_length: int = 256
    warmup: int = 1000
    average: int = 5


PRESETS: dict[str, dict[str, Any]] = {
    "mini": {"width": 64, "layers": 2, "inner": 256, "epochs": 8, "warmup": 400},
    "base": {},
}


def train(recipe: Recipe, out: Path, **how: Any) -> Run:
    """Train a Transformer to translate, by the recipe of Attention Is All You Need.

    Args:
        recipe: how to train.
        out: the run folder.
        how: what else :func:`ds_core.text.translation.train_translator` takes.
    """
    for name in ("width", "warmup", "average"):
        if getattr(recipe, name) < 1:
            raise ValueError(f"{name}: expected at least 1, got {getattr(recipe, name)}")

    def make(source_size: int, target_size: int) -> TransformerTranslator:
        config = TransformerTranslatorConfig(
            source_size,
            target_size,
            recipe.width,
            recipe.heads,
            recipe.layers,
            recipe.layers,
            recipe.inner,
            recipe.dropout,
            norm_first=recipe.norm_first,
            share_embeddings=recipe.shared,
            max_length=recipe.max_length,
        )
        return TransformerTranslator(config, generator=torch.Generator().manual_seed(recipe.seed))

    told = TranslatorRecipe(
        **recipe.common()
        | {
            "shared": recipe.shared,
            "max_length": recipe.max_length,
            "lr": recipe.lr * math.sqrt(recipe.width * recipe.warmup),  # divided by that where it is highest
            "average_epochs": recipe.average,
            "betas": (0.9, 0.98),
            "eps": 1e-9,
        },
    )
    schedule = lambda optimizer: InverseSquareRootLR(optimizer, recipe.width, recipe.warmup)  # noqa: E731
    return train_run("ds-transformer", recipe, make, told, out, schedule=schedule, **how)
