"""The command line: ``ds-rnn train-translator`` and ``ds-rnn translate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from ds_core.cli import new_command_line
from ds_core.cli.translator import Tokens, TrainingOptions, add_translate, train_and_test
from ds_core.text.translation import Translator, TranslatorRecipe

from ds_rnn import __version__
from ds_rnn.models import Seq2Seq, Seq2SeqConfig
from ds_rnn.visualize import attention_map

app = new_command_line("ds-rnn", __version__, "Recurrent networks whose every gradient is written by hand.")
common = TrainingOptions(epochs=10, lr=1e-3)


class Cell(StrEnum):
    """What reads and writes step by step."""

    rnn = "rnn"
    gru = "gru"
    lstm = "lstm"


class Attention(StrEnum):
    """How the decoder looks at the source."""

    additive = "additive"
    general = "general"
    none = "none"


@app.command("train-translator")
def train_translator_command(
    data: str = common.data,
    source: str = common.source,
    target: str = common.target,
    out: Path = common.out,
    validation: str | None = common.validation,
    test: str | None = common.test,
    tokenizer: Tokens = common.tokenizer,
    vocab_size: int = common.vocab_size,
    cell: Annotated[Cell, typer.Option(help="What is recurrent.", rich_help_panel="Model")] = Cell.gru,
    attention: Annotated[
        Attention,
        typer.Option(help="Bahdanau's, Luong's, or none.", rich_help_panel="Model"),
    ] = Attention.additive,
    embedding: Annotated[int, typer.Option(help="Width of a token.", rich_help_panel="Model")] = 256,
    hidden: Annotated[int, typer.Option(help="Width of the state.", rich_help_panel="Model")] = 384,
    layers: Annotated[int, typer.Option(help="Recurrent layers.", rich_help_panel="Model")] = 1,
    dropout: Annotated[float, typer.Option(min=0, max=0.99, help="Dropout.", rich_help_panel="Model")] = 0.3,
    epochs: int = common.epochs,
    batch_size: int = common.batch_size,
    lr: float = common.lr,
    scheduled_sampling: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the model's own tokens it must go on from.",
            rich_help_panel="Training",
        ),
    ] = 0.0,
    seed: int = common.seed,
    resume: bool = common.resume,
    overwrite: bool = common.overwrite,
) -> None:
    """Train an encoder and a decoder, with attention between them, to translate."""

    def make(source_size: int, target_size: int) -> Seq2Seq:
        model = Seq2Seq(
            Seq2SeqConfig(
                source_size,
                target_size,
                embedding,
                hidden,
                layers,
                cell.value,
                None if attention is Attention.none else attention.value,
                dropout,
            ),
            generator=torch.Generator().manual_seed(seed),
        )
        model.scheduled_sampling = scheduled_sampling
        return model

    train_and_test(
        "ds-rnn",
        make,
        lambda: TranslatorRecipe(
            tokenizer=tokenizer.value,
            vocab_size=vocab_size,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            seed=seed,
        ),
        data=data,
        source=source,
        target=target,
        out=out,
        validation=validation,
        test=test,
        resume=resume,
        overwrite=overwrite,
    )


def draw(translator: Translator[Seq2Seq], text: str, written: str, path: Path) -> Any:
    """Writes where the decoder looked."""
    return attention_map(translator, text, written, path=path)


add_translate(app, Seq2Seq, draw)
