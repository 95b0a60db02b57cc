"""What the command lines of translators share: options, one training from file to score, and ``translate``.

Every model adds the options of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ds_core.cli import clear_errors
from ds_core.schedulers import Scheduler
from ds_core.text import Pairs, load_pairs
from ds_core.text.translation.score import exact_share, sacre_bleu
from ds_core.text.translation.train import TranslatorRecipe, train_translator
from ds_core.text.translation.translator import Translator

if TYPE_CHECKING:
    from typer import Typer

# Draws where a model looked: a translator, the text, its translation, and where to write the picture.
Draw = Callable[[Translator[Any], str, str, Path], Any]


class Tokens(StrEnum):
    """What one token is."""

    word = "word"
    character = "character"
    subword = "subword"


class TrainingOptions:
    """The options of ``train-translator`` that any model has, as defaults of the command's parameters.

    Example:
        >>> options = TrainingOptions(epochs=10, lr=1e-3)
        >>> @app.command("train-translator")
        ... def train(data: str = options.data, epochs: int = options.epochs, ...):
    """

    def __init__(self, epochs: int, lr: float) -> None:
        import typer

        def option(default: Any, *names: str, panel: str | None = None, **more: Any) -> Any:
            return typer.Option(
                default, *names, rich_help_panel=panel, show_default=default is not ..., **more
            )

        model, training = "Model", "Training"
        self.data = option(
            ...,
            help="A CSV or TSV file with a column for each language, hf:NAME[SPLIT], or bundled:sentences.",
        )
        self.source = option(..., "--from", help="Column to translate from.")
        self.target = option(..., "--to", help="Column to translate to.")
        self.out = option(..., help="Folder for the results.")
        self.validation = option(
            None, help="Pairs to measure on while training; else a twentieth of the data."
        )
        self.test = option(None, help="Pairs to translate at the end; BLEU is printed.")
        self.tokenizer = option(Tokens.subword, help="What one token is.", panel=model)
        self.vocab_size = option(6000, help="Most tokens of each language.", panel=model)
        self.epochs = option(epochs, min=1, help="Walks through the data.", panel=training)
        self.batch_size = option(64, min=1, help="Pairs a step.", panel=training)
        self.lr = option(lr, help="Highest learning rate.", panel=training)
        self.seed = option(0, help="Same seed, same weights.", panel=training)
        self.resume = option(False, "--resume", help="Continue an interrupted run.", panel=training)
        self.overwrite = option(False, "--overwrite", help="Start anew in a used folder.", panel=training)


def train_and_test(
    program: str,
    make_model: Callable[[int, int], Any],
    recipe: Callable[[], TranslatorRecipe],
    *,
    data: str,
    source: str,
    target: str,
    out: Path,
    validation: str | None,
    test: str | None,
    schedule: Callable[[Any], Scheduler] | None = None,
    resume: bool,
    overwrite: bool,
) -> None:
    """Does what ``train-translator`` says: loads, trains, translates the test part, tells what to try.

    Args:
        program: the name of the command line.
        make_model: see :func:`train_translator`.
        recipe: makes the recipe; what is wrong with it is explained like any other mistake.
        data: see :func:`ds_core.text.load_pairs`.
        source: column to translate from.
        target: column to translate to.
        out: the run folder.
        validation: pairs to measure on while training, or None.
        test: pairs to translate at the end, or None.
        schedule: see :func:`train_translator`.
        resume: see :func:`train_translator`.
        overwrite: see :func:`train_translator`.
    """
    with clear_errors():
        pairs = load_pairs(data, source, target)
        held_out, tests = (
            None if part is None else load_pairs(part, source, target) for part in (validation, test)
        )
        run = train_translator(
            pairs,
            make_model,
            out,
            validation=held_out,
            recipe=recipe(),
            schedule=schedule,
            resume=resume,
            overwrite=overwrite,
        )
        console = Console(emoji=False)
        if run.history.stopped is not None:
            console.print("To go on, give the same command with --resume.")
            return
        if tests is not None:
            show_scores(console, run.translator, tests)
        console.print(
            f'Try it: {program} translate {out} "{pairs.source[0]}"',
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def show_scores(console: Console, translator: Translator[Any], tests: Pairs) -> None:
    """Translates held-out pairs, and prints BLEU and the share that is right to the letter."""
    written = translator.translate(tests.source)
    console.print(
        f"Test, {len(tests):,} pairs: sacreBLEU [bold]{sacre_bleu(written, tests.target):.1f}[/], "
        f"exactly right {exact_share(written, tests.target):.1%}",
        highlight=False,
    )


def add_translate(app: Typer, model_class: Any, draw: Draw) -> None:
    """Gives a command line the command ``translate``.

    Args:
        app: the command line.
        model_class: the class of the models it trains, which has ``from_pretrained``.
        draw: writes the picture of ``--heat-map``.
    """
    import typer

    run_folder = typer.Argument(..., help="Folder of a training.", show_default=False)
    what = typer.Argument(..., help="What to translate.", show_default=False)
    beams = typer.Option(5, min=1, help="Beginnings followed at once; 1 is greedy.")
    penalty = typer.Option(0.6, min=0, help="0 favours short sentences.")
    picture = typer.Option(None, help="A PNG of where the decoder looked, of the first text.")

    @app.command("translate")
    def translate(
        run: Path = run_folder,
        texts: list[str] = what,
        beam_size: int = beams,
        length_penalty: float = penalty,
        heat_map: Path | None = picture,
    ) -> None:
        """Translate texts with what a training left behind."""
        with clear_errors():
            translator = Translator.load(run, model_class)
            written = translator.translate(texts, beam_size=beam_size, length_penalty=length_penalty)
            for text in written:
                typer.echo(text)
            if heat_map is not None:
                draw(translator, texts[0], written[0], heat_map)
                typer.echo(f"wrote {heat_map}", err=True)
