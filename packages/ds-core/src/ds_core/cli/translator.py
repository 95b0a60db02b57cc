"""What the command lines of translators share: their options, training, translating."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from ds_core.checks import Partial
from ds_core.cli import clear_errors, group_of, new_command_line
from ds_core.cli.commands import Trainable, absolute, function_command, make_group, train_command
from ds_core.devices import pick_device
from ds_core.drawing import check_figure
from ds_core.engines import EngineName
from ds_core.text import Pairs, load_pairs
from ds_core.text.translation.score import exact_share, sacre_bleu
from ds_core.text.translation.train import TokenizerName, TranslatorRecipe, train_translator
from ds_core.text.translation.translator import Translator
from ds_core.training import History
from ds_core.training.recipe import RECIPE_FILE, read_recipe, recipe_text

if TYPE_CHECKING:
    from typer import Typer

NAME = "translator"


@dataclass(frozen=True, kw_only=True)
class TranslatorOptions:
    """The options of training any translator.

    Args:
        data: a CSV or TSV file with a column for each language, hf:NAME[SPLIT], or bundled:sentences.
        source: column to translate from.
        target: column to translate to.
        validation: pairs to measure on while training; a twentieth of the data if not given.
        test: pairs to translate at the end; BLEU is printed.
        tokenizer: what one token is.
        vocab_size: most tokens of each language.
        epochs: walks through the data.
        batch_size: pairs in a step.
        lr: highest learning rate.
        seed: of initial weights, batches and dropout.
        engine: our own backwards, or torch's autograd.
        precision: of products of matrices; weights and all else stay float32.
    """

    data: str
    source: str = field(metadata={"option": "--from"})
    target: str = field(metadata={"option": "--to"})
    validation: str | None = None
    test: str | None = None
    tokenizer: TokenizerName = "subword"
    vocab_size: int = 6000
    epochs: int = 10
    batch_size: int = 64
    lr: float = 1e-3
    seed: int = 0
    engine: Literal["manual", "autograd"] = "manual"
    precision: Literal["float32", "bf16", "fp16"] = "float32"

    def pairs(self, data: str) -> Pairs:
        """Loads the pairs of a data word."""
        return load_pairs(data, self.source, self.target)

    def common(self) -> dict[str, Any]:
        """Returns what a :class:`TranslatorRecipe` has under the same names."""
        engine: EngineName = self.engine
        names = ("tokenizer", "vocab_size", "epochs", "batch_size", "lr", "seed", "precision")
        return {name: getattr(self, name) for name in names} | {"engine": engine}


@dataclass(frozen=True)
class Run:
    """What the training of a translator leaves behind."""

    program: str
    options: TranslatorOptions
    translator: Translator[Any]
    history: History
    out: Path

    def show(self, console: Console) -> None:
        """Prints how well the test part is translated, and what to try next."""
        if self.options.test is not None:
            scores = measure(self.translator, self.options.pairs(self.options.test))
            console.print(
                f"Test, {scores['pairs']:,} pairs: sacreBLEU [bold]{scores['sacreBLEU']:.1f}[/], "
                f"exactly right {scores['exactly right']:.1%}",
                highlight=False,
            )
        text = self.options.pairs(self.options.data).source[0]
        line = f'Try it: {self.program} translate {self.out} "{text}"'
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def train_run(
    program: str,
    options: TranslatorOptions,
    make_model: Callable[[int, int], Any],
    recipe: TranslatorRecipe,
    out: Path,
    **how: Any,
) -> Run:
    """Loads the pairs and trains a translator on them; see :func:`train_translator`.

    Args:
        program: the name of the command line.
        options: what it was told.
        make_model: makes the model from the two sizes of vocabulary.
        recipe: how to train.
        out: the run folder.
        how: what else :func:`train_translator` takes.
    """
    held_out = None if options.validation is None else options.pairs(options.validation)
    if options.test is not None:
        options.pairs(options.test)  # what is wrong with it is said now
    files = {RECIPE_FILE: recipe_text(NAME, options)}
    pairs = options.pairs(options.data)
    run = train_translator(pairs, make_model, out, validation=held_out, recipe=recipe, files=files, **how)
    return Run(program, options, run.translator, run.history, run.out)


def measure(translator: Translator[Any], pairs: Pairs) -> dict[str, Any]:
    """Translates pairs; returns their number, BLEU, and the share that is right to the letter."""
    written = translator.translate(pairs.source)
    return {
        "pairs": len(pairs),
        "sacreBLEU": sacre_bleu(written, pairs.target),
        "exactly right": exact_share(written, pairs.target),
    }


# ---- the command line ----------------------------------------------------------------------------------

# Draws where a model looked: a translator, the text, its translation, and where to write the picture.
Draw = Callable[[Translator[Any], str, str, Path], Any]


def translator_command_line(
    program: str, version: str, about: str, model: Trainable, model_class: Any, draw: Draw
) -> Typer:
    """Makes a command line with ``train translator``, ``translate`` and ``eval``.

    Args:
        program: its name.
        version: of the package.
        about: one sentence, shown by ``--help``.
        model: what trains it.
        model_class: the class of the models, which has ``from_pretrained``.
        draw: writes the picture of ``--heat-map``.
    """

    def translate(
        translator: Translator[Any],
        texts: list[str],
        *,
        beam_size: int = 5,
        length_penalty: float = 0.6,
        heat_map: Path | None = None,
    ) -> list[str]:
        """Translate texts with what a training left behind, a line for each, empty where one cannot be.

        Args:
            translator: what was trained.
            texts: what to translate; "-" reads lines from the standard input.
            beam_size: beginnings followed at once; 1 is greedy.
            length_penalty: 0 favours short sentences.
            heat_map: a PNG of where the decoder looked, of the first text that can be translated.
        """
        if heat_map is not None:
            check_figure(heat_map)
        failed: dict[int, str] = {}
        for number, text in enumerate(texts):
            try:
                translator.read(text, number)
            except ValueError as error:
                failed[number] = str(error)
        good = [number for number in range(len(texts)) if number not in failed]
        if not good:
            raise ValueError("\n".join(failed.values()))
        written = [""] * len(texts)
        found = translator.translate(
            [texts[number] for number in good], beam_size=beam_size, length_penalty=length_penalty
        )
        for number, line in zip(good, found, strict=True):
            written[number] = line
        if heat_map is not None:
            draw(translator, texts[good[0]], found[0], heat_map)
        if failed:
            told = "\n".join(failed.values())
            raise Partial(f"{len(failed)} of {len(texts)} could not be translated\n{told}", written)
        return written

    def of_a_run(command: str, text: str, make_function: Callable[[str], Callable[..., Any]]) -> Any:
        def make(folder: str) -> Any:
            def load(device: str) -> Any:
                translator = Translator.load(folder, model_class)
                translator.model.to(pick_device(device, "--device"))
                return translator

            with clear_errors():
                function = make_function(folder)
            return function_command(function, load, folder)

        epilog = f"What else it takes: {program} {command} RUN --help"
        group = group_of([], make)
        return make_group(command, text, group, subcommand_metavar="RUN [OPTIONS]", epilog=epilog)

    def evaluator(folder: str) -> Callable[..., Any]:
        def evaluate(translator: Translator[Any], *, data: str | None = None) -> dict[str, Any]:
            """Measure BLEU, and the share of translations that are right to the letter.

            Args:
                translator: what was trained.
                data: pairs to translate; if not given, those the run was tested on, or else its --validation.
            """
            recipe = read_recipe(Path(folder) / RECIPE_FILE)
            word = data or recipe.get("test") or recipe.get("validation")
            if word is None:
                raise ValueError(f"{folder}: was trained without test pairs; give some with --data")
            return measure(translator, load_pairs(absolute(word), recipe["source"], recipe["target"]))

        return evaluate

    def trained(name: str) -> Any:
        return train_command(program, NAME, model) if name == NAME else None

    group = group_of([NAME], trained)
    train = partial(make_group, "train", "Train a model.", group, subcommand_metavar="MODEL [OPTIONS]")
    commands: dict[str, Callable[[], Any]] = {
        "train": train,
        "translate": partial(of_a_run, "translate", "Translate texts.", lambda _: translate),
        "eval": partial(of_a_run, "eval", "Measure how good a translator is.", evaluator),
    }
    return new_command_line(program, version, about, commands)
