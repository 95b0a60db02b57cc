"""Training a translator made of recurrent networks: its recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from ds_core.cli.translator import Run, TranslatorOptions, train_run
from ds_core.text.translation import TranslatorRecipe

from ds_rnn.models import Seq2Seq, Seq2SeqConfig


@dataclass(frozen=True, kw_only=True)
class Recipe(TranslatorOptions):
    """How to train an encoder and a decoder, with attention between them.

    Args:
        cell: what reads and writes step by step.
        attention: how the decoder looks at the source: Bahdanau's, Luong's, or not at all.
        embedding: width of a token.
        hidden: width of the state.
        layers: recurrent layers.
        dropout: share of numbers that are dropped in training.
        scheduled_sampling: share of the model's own tokens that it must go on from.
    """

    cell: Literal["rnn", "gru", "lstm"] = "gru"
    attention: Literal["additive", "general", "none"] = "additive"
    embedding: int = 256
    hidden: int = 384
    layers: int = 1
    dropout: float = 0.3
    scheduled_sampling: float = 0.0


PRESETS: dict[str, dict[str, Any]] = {"mini": {"embedding": 64, "hidden": 128, "epochs": 5}, "base": {}}


def train(recipe: Recipe, out: Path, **how: Any) -> Run:
    """Train an encoder and a decoder, with attention between them, to translate.

    Args:
        recipe: how to train.
        out: the run folder.
        how: what else :func:`ds_core.text.translation.train_translator` takes.
    """
    if not 0 <= recipe.scheduled_sampling <= 1:
        raise ValueError(f"scheduled_sampling: expected a share from 0 to 1, got {recipe.scheduled_sampling}")

    def make(source_size: int, target_size: int) -> Seq2Seq:
        config = Seq2SeqConfig(
            source_size,
            target_size,
            recipe.embedding,
            recipe.hidden,
            recipe.layers,
            recipe.cell,
            None if recipe.attention == "none" else recipe.attention,
            recipe.dropout,
        )
        model = Seq2Seq(config, generator=torch.Generator().manual_seed(recipe.seed))
        model.scheduled_sampling = recipe.scheduled_sampling
        return model

    return train_run("ds-rnn", recipe, make, TranslatorRecipe(**recipe.common()), out, **how)
