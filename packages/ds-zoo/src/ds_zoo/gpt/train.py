"""Training a MiniGPT on a text, from characters to a run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from ds_core import AdamW, Callback, CrossEntropyLoss, History, Module, Trainer, WarmupCosine
from ds_core.engines import EngineName
from ds_core.pretrained import has_weights
from ds_core.text import (
    ByteTokenizer,
    CharacterTokenizer,
    RandomWindows,
    Tokenizer,
    bigram_loss,
    sequential_windows,
    split_text,
    uniform_loss,
)
from ds_core.training import CSVLog, RunFolder
from torch import Tensor

from ds_zoo.gpt.model import MiniGPT, MiniGPTConfig

TOKENIZER_FILE = "vocabulary.json"
# What a run leaves behind, besides its checkpoint and its log.
RESULTS = (TOKENIZER_FILE, "config.json", "model*.safetensors*", "best.safetensors", "loss.png")


@dataclass(frozen=True)
class GPTRecipe:
    """How to train: the numbers of nanoGPT's setting for a processor without an accelerator.

    Args:
        steps: optimizer steps.
        batch_size: windows in a step.
        lr: highest learning rate, reached after the warm-up.
        min_lr: where the cosine ends.
        warmup_steps: steps of the linear warm-up; None for a twentieth of all.
        weight_decay: of matrices; biases and norms are not decayed.
        betas: AdamW's.
        clip_norm: largest norm of all gradients together.
        validate_every: steps between validations.
        seed: of initial weights, windows and dropout.
        engine: "manual" or "autograd".
    """

    steps: int = 2000
    batch_size: int = 12
    lr: float = 1e-3
    min_lr: float = 1e-4
    warmup_steps: int | None = None
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float = 1.0
    validate_every: int = 250
    seed: int = 0
    engine: EngineName = "manual"


@dataclass(frozen=True)
class GPTRun:
    """What a training leaves behind."""

    model: MiniGPT
    tokenizer: Tokenizer
    history: History
    baselines: dict[str, float]  # loss in nats of "uniform" and "bigram" guessing
    out: Path


def read_text(path: str | Path) -> str:
    """Reads a UTF-8 text file, with or without a byte order mark, which is no part of the text.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is a folder, is empty, or is not UTF-8.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; give a plain text file to learn from")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give one plain text file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start})") from error
    if not text:
        raise ValueError(f"{path}: the file is empty; there is nothing to learn from")
    return text


def make_tokenizer(kind: str, text: str) -> Tokenizer:
    """Makes a tokenizer of a kind, "character" or "byte", for a text.

    Raises:
        ValueError: if the kind is another word.
    """
    if kind == CharacterTokenizer.kind:
        return CharacterTokenizer.from_text(text)
    if kind == ByteTokenizer.kind:
        return ByteTokenizer()
    raise ValueError(f"tokenizer: expected 'character' or 'byte', got {kind!r}")


def _characters(tokenizer: Tokenizer) -> str | None:
    """Returns the characters that a tokenizer knows, in order; None if it knows bytes."""
    return "".join(tokenizer.vocabulary.tokens) if isinstance(tokenizer, CharacterTokenizer) else None


def decay_groups(model: Module, weight_decay: float) -> list[dict[str, object]]:
    """Splits parameters in two groups: matrices, which decay, and vectors, which do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def train_gpt(
    text: str,
    out: str | Path,
    *,
    tokenizer: str = "character",
    recipe: GPTRecipe | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    **model: object,
) -> GPTRun:
    """Trains a MiniGPT to continue a text and fills a run folder.

    The folder holds ``config.json`` and ``model.safetensors`` (readable by ``transformers``), the tokenizer's
    ``vocabulary.json``, ``log.csv``, ``loss.png`` and, to resume from, ``checkpoint.safetensors``. It is
    written from the first step on, see :class:`ds_core.training.RunFolder`; what is refused changes nothing.

    Args:
        text: what to learn from; its last tenth is kept for validation.
        out: the run folder, made if needed.
        tokenizer: "character" or "byte".
        recipe: how to train.
        resume: continue an interrupted run in ``out``: same text, same options.
        overwrite: start anew in ``out`` even if it holds a run.
        progress: whether to show it.
        callbacks: called besides, see :class:`ds_core.Callback`.
        model: fields of :class:`MiniGPTConfig`, but for vocab_size.

    Returns:
        Model, tokenizer, history and baselines.

    Raises:
        FileExistsError: if ``out`` holds a run and neither ``resume`` nor ``overwrite`` is given.
        CheckpointError: if there is nothing to resume, it is damaged, or of another text or other options;
            names them.
        ValueError: if the text is too short for the context, or an option is out of range.
    """
    recipe = recipe or GPTRecipe()
    out = Path(out)
    folder = RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS)
    tokens = make_tokenizer(tokenizer, text)
    config = MiniGPTConfig(vocab_size=tokens.vocab_size, **model)  # type: ignore[arg-type]
    train, validation = split_text(torch.tensor(tokens.encode(text)), config.n_positions)
    baselines = {
        "uniform": uniform_loss(tokens.vocab_size),
        "bigram": bigram_loss(train, validation, tokens.vocab_size),
    }

    warmup = recipe.steps // 20 if recipe.warmup_steps is None else recipe.warmup_steps
    gpt = MiniGPT(config, generator=torch.Generator().manual_seed(recipe.seed))
    optimizer = AdamW(decay_groups(gpt, recipe.weight_decay), lr=recipe.lr, betas=recipe.betas)
    trainer = Trainer(
        gpt,
        CrossEntropyLoss(dim=-1),
        optimizer,
        WarmupCosine(optimizer, warmup, recipe.steps, recipe.min_lr),
        engine=recipe.engine,
        clip_norm=recipe.clip_norm,
        callbacks=[folder, CSVLog(out / "log.csv"), *callbacks],
        out=out,
        progress=progress,
        seed=recipe.seed,
        settings={
            "tokenizer": {"kind": tokens.kind, "vocabulary": _characters(tokens)},
            "text": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            **asdict(config),
            **asdict(recipe),
        },
    )
    with folder:
        history = trainer.fit(
            RandomWindows(train, config.n_positions, recipe.batch_size, recipe.seed),
            validation=sequential_windows(validation, config.n_positions, 64),
            steps=recipe.steps,
            validate_every=recipe.validate_every,
            resume=resume,
        )
        if len(history):  # not where it was interrupted before the first step
            tokens.save(out / TOKENIZER_FILE)
            gpt.save_pretrained(out)
            history.plot(out / "loss.png", baselines=baselines)
    return GPTRun(gpt, tokens, history, baselines, out)


def load_run(folder: str | Path) -> tuple[MiniGPT, Tokenizer]:
    """Reads model and tokenizer from a run folder.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; train one with `ds-zoo train gpt --out {folder}`")
    if not (has_weights(folder) and (folder / TOKENIZER_FILE).exists()):
        raise FileNotFoundError(
            f"{folder}: lacks weights or {TOKENIZER_FILE}, so it holds no finished training; continue it "
            "with --resume, or train anew"
        )
    return MiniGPT.from_pretrained(folder), Tokenizer.load(folder / TOKENIZER_FILE)


def continue_text(
    model: MiniGPT,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    *,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> str:
    """Returns the prompt and ``length`` tokens more; see :meth:`MiniGPT.generate`.

    Raises:
        ValueError: if the prompt is empty or has characters the model does not know.
    """
    if not prompt:
        raise ValueError("prompt: expected at least one character, got none")
    ids: Tensor = model.generate(
        torch.tensor(tokenizer.encode(prompt)),
        length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        generator=torch.Generator().manual_seed(seed),
    )
    return tokenizer.decode(ids)
