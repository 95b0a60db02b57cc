"""The command line: ``ds-rnn train-translator`` and ``ds-rnn translate``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from ds_core.text import Pairs, load_pairs
from ds_core.translation import (
    Translator,
    TranslatorRecipe,
    exact_share,
    sacre_bleu,
    train_translator,
)
from rich.console import Console

from ds_rnn import __version__
from ds_rnn.models import Seq2Seq, Seq2SeqConfig
from ds_rnn.seeing import attention_map

app = typer.Typer(
    help="Recurrent networks whose every gradient is written by hand.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Cell(str, Enum):
    """What reads and writes step by step."""

    rnn = "rnn"
    gru = "gru"
    lstm = "lstm"


class Attention(str, Enum):
    """How the decoder looks at the source."""

    additive = "additive"
    general = "general"
    none = "none"


class Tokens(str, Enum):
    """What one token is."""

    word = "word"
    character = "character"
    subword = "subword"


@contextmanager
def clear_errors() -> Iterator[None]:
    """Shows what is wrong with the user's input as one message, not as a traceback; exit status 2.

    A warning about it, such as of empty lines, is one message, too.
    """
    console = Console(stderr=True)

    def show(message: Warning | str, *where: Any, **more: Any) -> None:
        console.print(f"[bold yellow]Note:[/] {message}", highlight=False, soft_wrap=True)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = show
            yield
    except (OSError, ValueError, IndexError, ImportError) as error:
        console.print(f"[bold red]Error:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error


def show_version(wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        typer.echo(f"ds-rnn {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Recurrent networks whose every gradient is written by hand."""


@app.command("train-translator")
def train_translator_command(
    data: Annotated[
        str,
        typer.Option(
            help="A CSV or TSV file with a column for each language, hf:NAME[SPLIT], or bundled:sentences.",
            show_default=False,
        ),
    ],
    source: Annotated[str, typer.Option("--from", help="Column to translate from.", show_default=False)],
    target: Annotated[str, typer.Option("--to", help="Column to translate to.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False)],
    validation: Annotated[
        str | None, typer.Option(help="Pairs to measure on while training; else a twentieth of the data.")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Pairs to translate at the end; BLEU is printed.")] = None,
    tokenizer: Annotated[
        Tokens, typer.Option(help="What one token is.", rich_help_panel="Model")
    ] = Tokens.subword,
    vocab_size: Annotated[
        int, typer.Option(help="Most tokens of each language.", rich_help_panel="Model")
    ] = 6000,
    cell: Annotated[Cell, typer.Option(help="What is recurrent.", rich_help_panel="Model")] = Cell.gru,
    attention: Annotated[
        Attention,
        typer.Option(help="Bahdanau's, Luong's, or none.", rich_help_panel="Model"),
    ] = Attention.additive,
    embedding: Annotated[int, typer.Option(help="Width of a token.", rich_help_panel="Model")] = 256,
    hidden: Annotated[int, typer.Option(help="Width of the state.", rich_help_panel="Model")] = 384,
    layers: Annotated[int, typer.Option(help="Recurrent layers.", rich_help_panel="Model")] = 1,
    dropout: Annotated[float, typer.Option(min=0, max=0.99, help="Dropout.", rich_help_panel="Model")] = 0.3,
    epochs: Annotated[
        int, typer.Option(min=1, help="Walks through the data.", rich_help_panel="Training")
    ] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs a step.", rich_help_panel="Training")] = 64,
    lr: Annotated[float, typer.Option(help="Highest learning rate.", rich_help_panel="Training")] = 1e-3,
    scheduled_sampling: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the model's own tokens it must go on from.",
            rich_help_panel="Training",
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same weights.", rich_help_panel="Training")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run.", rich_help_panel="Training")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew in a used folder.", rich_help_panel="Training")
    ] = False,
) -> None:
    """Train an encoder and a decoder, with attention between them, to translate."""
    with clear_errors():
        pairs = load_pairs(data, source, target)
        held_out = None if validation is None else load_pairs(validation, source, target)
        tests = None if test is None else load_pairs(test, source, target)
        recipe = TranslatorRecipe(
            tokenizer=tokenizer.value,
            vocab_size=vocab_size,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            seed=seed,
        )

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

        run = train_translator(
            pairs, make, out, validation=held_out, recipe=recipe, resume=resume, overwrite=overwrite
        )
        console = Console()
        if run.history.stopped is not None:
            console.print("To go on, give the same command with --resume.")
        if tests is not None:
            show_scores(console, run.translator, tests)
        console.print(f'Try it: ds-rnn translate {out} "{pairs.source[0]}"', highlight=False)


@app.command("translate")
def translate_command(
    run: Annotated[Path, typer.Argument(help="Folder of a training.", show_default=False)],
    texts: Annotated[list[str], typer.Argument(help="What to translate.", show_default=False)],
    beam_size: Annotated[int, typer.Option(min=1, help="Beginnings followed at once; 1 is greedy.")] = 5,
    length_penalty: Annotated[float, typer.Option(min=0, help="0 favours short sentences.")] = 0.6,
    heat_map: Annotated[
        Path | None, typer.Option(help="A PNG of where the decoder looked, of the first text.")
    ] = None,
) -> None:
    """Translate texts with what a training left behind."""
    with clear_errors():
        translator = Translator.load(run, Seq2Seq)
        written = translator.translate(texts, beam_size=beam_size, length_penalty=length_penalty)
        for text in written:
            typer.echo(text)
        if heat_map is not None:
            attention_map(translator, texts[0], written[0], path=heat_map)
            Console(stderr=True).print(f"wrote {heat_map}", highlight=False)


def show_scores(console: Console, translator: Translator[Seq2Seq], tests: Pairs) -> None:
    """Translates held-out pairs, and prints BLEU and the share that is right to the letter."""
    written = translator.translate(tests.source)
    console.print(
        f"Test, {len(tests):,} pairs: sacreBLEU [bold]{sacre_bleu(written, tests.target):.1f}[/], "
        f"exactly right {exact_share(written, tests.target):.1%}",
        highlight=False,
    )
