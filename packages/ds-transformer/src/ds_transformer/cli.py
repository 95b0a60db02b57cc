"""The command line: ``ds-transformer train-translator`` and ``ds-transformer translate``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from ds_core.cli import new_command_line
from ds_core.cli.translator import Tokens, TrainingOptions, add_translate, train_and_test
from ds_core.schedulers import InverseSquareRootLR
from ds_core.text.translation import Translator, TranslatorRecipe

from ds_transformer import __version__
from ds_transformer.models import TransformerTranslator, TransformerTranslatorConfig
from ds_transformer.visualize import draw_attention

app = new_command_line("ds-transformer", __version__, "Transformers whose every gradient is written by hand.")
common = TrainingOptions(epochs=18, lr=1.5e-3)


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
    shared: Annotated[
        bool,
        typer.Option(
            "--shared/--separate",
            help="Whether both languages have the same tokens and embeddings.",
            rich_help_panel="Model",
        ),
    ] = True,
    width: Annotated[int, typer.Option(min=2, help="Numbers a position.", rich_help_panel="Model")] = 192,
    heads: Annotated[int, typer.Option(help="Attention heads.", rich_help_panel="Model")] = 4,
    layers: Annotated[
        int, typer.Option(help="Layers of the encoder, and of the decoder.", rich_help_panel="Model")
    ] = 3,
    inner: Annotated[
        int, typer.Option(help="Inner width of the network at each position.", rich_help_panel="Model")
    ] = 512,
    dropout: Annotated[float, typer.Option(min=0, max=0.99, help="Dropout.", rich_help_panel="Model")] = 0.2,
    norm_first: Annotated[
        bool,
        typer.Option(
            "--norm-first/--norm-last",
            help="Whether parts of a layer normalise what they read, or the sum.",
            rich_help_panel="Model",
        ),
    ] = True,
    max_length: Annotated[
        int,
        typer.Option(help="The context; longer sentences are left out.", rich_help_panel="Model"),
    ] = 256,
    epochs: int = common.epochs,
    batch_size: int = common.batch_size,
    lr: float = common.lr,
    warmup: Annotated[
        int,
        typer.Option(
            min=1,
            help="Steps to the highest learning rate, which then falls with the root of the steps.",
            rich_help_panel="Training",
        ),
    ] = 1000,
    average: Annotated[
        int,
        typer.Option(
            min=1,
            help="The final weights are the mean over so many last epochs.",
            rich_help_panel="Training",
        ),
    ] = 5,
    seed: int = common.seed,
    resume: bool = common.resume,
    overwrite: bool = common.overwrite,
) -> None:
    """Train a Transformer to translate, by the recipe of Attention Is All You Need."""

    def make(source_size: int, target_size: int) -> TransformerTranslator:
        config = TransformerTranslatorConfig(
            source_size,
            target_size,
            width,
            heads,
            layers,
            layers,
            inner,
            dropout,
            norm_first=norm_first,
            share_embeddings=shared,
            max_length=max_length,
        )
        return TransformerTranslator(config, generator=torch.Generator().manual_seed(seed))

    train_and_test(
        "ds-transformer",
        make,
        lambda: TranslatorRecipe(
            tokenizer=tokenizer.value,
            vocab_size=vocab_size,
            shared=shared,
            epochs=epochs,
            batch_size=batch_size,
            max_length=max_length,
            lr=lr * math.sqrt(width * warmup),  # what the schedule divides by where it is highest
            average_epochs=average,
            betas=(0.9, 0.98),
            eps=1e-9,
            seed=seed,
        ),
        schedule=lambda optimizer: InverseSquareRootLR(optimizer, width, warmup),
        data=data,
        source=source,
        target=target,
        out=out,
        validation=validation,
        test=test,
        resume=resume,
        overwrite=overwrite,
    )


def draw(translator: Translator[TransformerTranslator], text: str, written: str, path: Path) -> Any:
    """Writes where each head of each layer looked at the source."""
    forced = translator.forced(text, written)
    maps = translator.model.attention_weights(forced.source, forced.source_lengths, forced.target).cross
    return draw_attention(
        maps[0], forced.source_tokens, forced.target_tokens, title="Where the decoder looks", path=path
    )


add_translate(app, TransformerTranslator, draw)
