"""Training a translator on pairs of sentences, from texts to a run folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ds_core.checks import check_whole
from ds_core.data.optional import needed
from ds_core.losses import CrossEntropyLoss
from ds_core.optimizers import Adam
from ds_core.schedulers import Scheduler, WarmupCosine
from ds_core.text import (
    CharacterTokenizer,
    PairBatches,
    Pairs,
    SubwordTokenizer,
    Tokenizer,
    WordTokenizer,
)
from ds_core.text.translation.translator import SOURCE_FILE, TARGET_FILE, Translator
from ds_core.training import AverageWeights, Callback, CSVLog, History, RunFolder, Trainer

# What a run leaves behind, besides its checkpoint and its log.
RESULTS = (*("config.json", "model*.safetensors*", "best.safetensors", "loss.png"),)

TokenizerName = Literal["word", "character", "subword"]

TOKENIZERS: dict[str, Any] = {
    "word": WordTokenizer,
    "character": CharacterTokenizer,
    "subword": SubwordTokenizer,
}


@dataclass(frozen=True)
class TranslatorRecipe:
    """How to train a translator.

    Args:
        tokenizer: what one token is: "word", "character" or "subword".
        vocab_size: the most tokens of each language; None for no limit (not for "subword").
        shared: whether both languages have one tokenizer.
        epochs: how often to walk through the pairs.
        batch_size: pairs in a step.
        max_length: pairs with more tokens on either side are left out, with a warning; None to keep all.
        lr: highest learning rate, reached after the warm-up.
        warmup_steps: steps of the linear warm-up.
        label_smoothing: how much of the target is spread over all tokens.
        average_epochs: the final weights are the mean of those after each of this many last epochs; 1 for
            those of the last alone.
        clip_norm: largest norm of all gradients together.
        betas: Adam's.
        eps: Adam's.
        seed: of initial weights, batches and dropout.
        engine: "manual" or "autograd".
        precision: of products of matrices, see :mod:`ds_core.precision`.

    Raises:
        ValueError: if there is no such tokenizer, or a number of epochs or pairs is below 1.
    """

    tokenizer: TokenizerName = "subword"
    vocab_size: int | None = 6000
    shared: bool = False
    epochs: int = 10
    batch_size: int = 64
    max_length: int | None = None
    lr: float = 1e-3
    warmup_steps: int = 200
    label_smoothing: float = 0.1
    average_epochs: int = 1
    clip_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    seed: int = 0
    engine: Literal["manual", "autograd"] = "manual"
    precision: Literal["float32", "bf16", "fp16"] = "float32"

    def __post_init__(self) -> None:
        if self.tokenizer not in TOKENIZERS:
            raise ValueError(f"tokenizer: expected {' or '.join(TOKENIZERS)}, got {self.tokenizer!r}")
        # Said before a run is overwritten, and before the schedule speaks, of its steps.
        numbers = {name: getattr(self, name) for name in ("epochs", "batch_size", "average_epochs")}
        check_whole("TranslatorRecipe", **numbers)


@dataclass(frozen=True)
class TranslatorRun:
    """What a training leaves behind."""

    translator: Translator[Any]
    history: History
    out: Path


def train_tokenizers(pairs: Pairs, recipe: TranslatorRecipe) -> tuple[Tokenizer, Tokenizer]:
    """Learns the tokens of both languages from the training part."""
    kind = TOKENIZERS[recipe.tokenizer]
    size: dict[str, Any] = {} if recipe.vocab_size is None else {"max_size": recipe.vocab_size}
    if recipe.tokenizer == "subword" and size:
        size = {"vocab_size": recipe.vocab_size}
    if recipe.shared:
        both = kind.train([*pairs.source, *pairs.target], **size)
        return both, both
    return kind.train(pairs.source, **size), kind.train(pairs.target, **size)


def train_translator(
    pairs: Pairs,
    make_model: Callable[[int, int], Any],
    out: str | Path,
    *,
    validation: Pairs | None = None,
    recipe: TranslatorRecipe | None = None,
    schedule: Callable[[Any], Scheduler] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    device: torch.device | str = "cpu",
    files: Mapping[str, str] | None = None,
) -> TranslatorRun:
    """Trains a model to translate, and fills a run folder.

    The folder holds ``config.json``, ``model.safetensors``, the tokenizers, ``log.csv``, ``loss.png`` and, to
    resume from, ``checkpoint.safetensors``. It is written from the first step on, see
    :class:`ds_core.training.RunFolder`; what is refused changes nothing.

    Args:
        pairs: what to learn from.
        make_model: makes the model from the two sizes of vocabulary, ``make_model(source, target)``; it is
            called with source, source_lengths and target, see :class:`ds_core.text.PairBatch`, and has
            ``generate`` and ``save_pretrained``.
        out: the run folder, made if needed.
        validation: pairs to measure on after each epoch; None to keep a twentieth of ``pairs`` for that.
        recipe: how to train.
        schedule: makes the schedule from the optimizer; None for a warm-up and then half a cosine down to a
            hundredth.
        resume: continue an interrupted run in ``out``: same pairs, same options.
        overwrite: start anew in ``out`` even if it holds a run.
        progress: whether to show it.
        callbacks: called besides, see :class:`ds_core.Callback`.
        device: where to compute.
        files: name -> text of what describes the run besides its tokenizers, see
            :class:`ds_core.training.RunFolder`.

    Raises:
        FileExistsError: if ``out`` holds a run and neither ``resume`` nor ``overwrite`` is given.
        NotADirectoryError: if ``out`` is a file.
        CheckpointError: if there is nothing to resume, it is damaged, or of other pairs or other options;
            names them.
        ValueError: if there are too few pairs, or an option is out of range.
    """
    recipe = recipe or TranslatorRecipe()
    out = Path(out)
    needed("matplotlib", "matplotlib", "loss.png", "plot")  # said now, not after the last step
    RunFolder(
        out, resume=resume, overwrite=overwrite, results=(*RESULTS, SOURCE_FILE, TARGET_FILE)
    )  # may refuse
    if validation is None:
        if len(pairs) < 2:
            raise ValueError(
                f"train_translator: expected at least 2 pairs, one to learn from and one to measure on, got "
                f"{len(pairs)}; give more, or validation pairs of their own"
            )
        pairs, validation = pairs.split(test_size=0.05, seed=recipe.seed)
    tokenizers = train_tokenizers(pairs, recipe)
    described = {
        **(files or {}),
        **dict(zip((SOURCE_FILE, TARGET_FILE), (one.file_text() for one in tokenizers), strict=True)),
    }
    folder = RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS, files=described)
    sizes: dict[str, Any] = {"batch_size": recipe.batch_size, "max_length": recipe.max_length}
    batches = PairBatches(pairs, *tokenizers, **sizes, seed=recipe.seed)
    held_out = PairBatches(validation, *tokenizers, **sizes, shuffle=False)
    for what, part in ((pairs, batches), (validation, held_out)):
        if part.left_out:
            warnings.warn(
                f"{what.origin}: left out {part.left_out:,} of {len(what):,} pairs, of more than "
                f"{recipe.max_length} tokens on a side",
                stacklevel=2,
            )
    model = make_model(*(tokenizer.vocab_size for tokenizer in tokenizers))
    optimizer = Adam(model.parameters(), lr=recipe.lr, betas=recipe.betas, eps=recipe.eps)
    steps = recipe.epochs * len(batches)
    if schedule is None:
        warmup = min(recipe.warmup_steps, steps // 4)
        scheduler: Scheduler = WarmupCosine(optimizer, warmup, steps, recipe.lr / 100)
    else:
        scheduler = schedule(optimizer)
    trainer = Trainer(
        model,
        CrossEntropyLoss(ignore_index=tokenizers[1].pad_id, label_smoothing=recipe.label_smoothing, dim=-1),
        optimizer,
        scheduler,
        engine=recipe.engine,
        precision=recipe.precision,
        clip_norm=recipe.clip_norm,
        callbacks=[folder, CSVLog(out / "log.csv"), AverageWeights(recipe.average_epochs), *callbacks],
        out=out,
        progress=progress,
        device=device,
        seed=recipe.seed,
        settings={
            "tokenizers": [json.dumps([tokenizer.kind, tokenizer._content()]) for tokenizer in tokenizers],
            **(asdict(model.config) if is_dataclass(getattr(model, "config", None)) else {}),
            **asdict(recipe),
        },
    )
    with folder:
        history = trainer.fit(
            batches,
            validation=list(held_out),
            epochs=recipe.epochs,
            resume=resume,
        )
        translator = Translator(model.eval(), *tokenizers)
        if trainer.leads and len(history):  # not where it was interrupted before the first step
            translator.save(out)
            history.plot(out / "loss.png")
    return TranslatorRun(translator, history, out)
