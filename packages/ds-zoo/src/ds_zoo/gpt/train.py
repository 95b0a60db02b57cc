"""Training a MiniGPT on a text, from characters to a run folder, and what a run is good for."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from ds_core import (
    AdamW,
    Callback,
    ChainedOptimizer,
    CrossEntropyLoss,
    History,
    Muon,
    Optimizer,
    Trainer,
    WarmupCosine,
)
from ds_core.checks import shown
from ds_core.cli import read_standard_input
from ds_core.cli.commands import STANDARD_INPUT
from ds_core.data.optional import needed
from ds_core.text import (
    BPETokenizer,
    CharacterTokenizer,
    RandomWindows,
    Tokenizer,
    bigram_loss,
    sequential_windows,
    split_text,
    uniform_loss,
    unigram_loss,
)
from ds_core.text.tokenizer import PUBLISHED_FILE, VOCABULARY_FILE
from ds_core.training import CheckpointError, CSVLog, RunFolder, described
from ds_core.training.files import write_text
from ds_core.training.recipe import RECIPE_FILE, read_recipe, recipe_text
from ds_core.training.trainer import CHECKPOINT_FILE
from ds_core.verify import GradientReport, check_gradients
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from torch import Tensor

from ds_zoo.data.corpus import make_tokenizer, read_corpus
from ds_zoo.data.text import read_pieces, read_text
from ds_zoo.gpt.model import MiniGPT, MiniGPTConfig
from ds_zoo.gpt.perplexity import perplexity, perplexity_of
from ds_zoo.groups import decay_groups
from ds_zoo.runs import about, answered, check_all_answered, check_unchanged, finished

TOKENIZER_FILES = (VOCABULARY_FILE, PUBLISHED_FILE, "vocab.json", "vocab.txt")
SAMPLES_FILE = "samples.txt"
MEASURED = 1_000_000  # tokens of the validation part that are measured
COUNTED = 20_000_000  # tokens that baselines are counted on
MOST_BIGRAMS = 1024  # tokens of a vocabulary whose pairs are counted
# What a run leaves behind, besides its checkpoint, its log and what describes it.
RESULTS = ("config.json", "model*.safetensors*", "best.safetensors", "loss.png", SAMPLES_FILE)


@dataclass(frozen=True)
class Recipe:
    """How to train: the defaults are nanoGPT's setting for a processor without an accelerator.

    Args:
        data: the text to learn from; its last tenth is kept for validation.
        tokenizer: what one token is: "character", "byte", "bpe" or "wordpiece" (pieces of words, learnt from
            the text), or the place of a published one: a folder with tokenizer.json, or vocab.json and
            merges.txt, or vocab.txt.
        vocab_size: most tokens that are learnt, with "bpe" and "wordpiece".
        layers: number of blocks.
        heads: attention heads of a block.
        width: numbers that describe a position.
        context: tokens that are seen at once.
        dropout: share of numbers that are dropped in training, behind embeddings, attention and MLPs.
        attention_dropout: share of attention weights that are dropped.
        tie: whether token embedding and head share their weights.
        steps: optimizer steps.
        batch_size: windows in a step.
        optimizer: "adamw", or "muon" for the blocks' matrices and AdamW for all else: more is learnt from
            each token, for some more work in each step.
        lr: highest learning rate, reached after the warm-up; with "muon" that of AdamW.
        muon_lr: with "muon", that of the blocks' matrices.
        min_lr: learning rate at the end of the cosine, of all.
        warmup: steps of the linear warm-up; a twentieth of all if not given.
        weight_decay: decay of matrices; biases and norms are not decayed.
        beta1: AdamW's first beta.
        beta2: AdamW's second beta.
        clip: largest norm of all gradients together.
        validate_every: steps between validations.
        prompt: how the samples begin that are written at each validation.
        seed: of initial weights, windows and dropout.
        engine: our own backwards, or torch's autograd.
        precision: of products of matrices; weights and all else stay float32.
        compile: whether steps go through torch.compile: the first takes long, the others less.
    """

    data: str = "bundled:python"
    tokenizer: str = "character"
    vocab_size: int = 4096
    layers: int = 4
    heads: int = 4
    width: int = 128
    context: int = 64
    dropout: float = 0.0
    attention_dropout: float = 0.0
    tie: bool = False
    steps: int = 2000
    batch_size: int = 12
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    muon_lr: float = 0.02
    min_lr: float = 1e-4
    warmup: int | None = None
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    clip: float = 1.0
    validate_every: int = 250
    prompt: str | None = None
    seed: int = 0
    engine: Literal["manual", "autograd"] = "manual"
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    compile: bool = False


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"layers": 2, "heads": 2, "width": 64, "context": 32, "steps": 500},
    "mini": {},
    "small": {
        **{"layers": 4, "heads": 3, "width": 192, "context": 256, "dropout": 0.05},
        **{"optimizer": "muon", "steps": 4500, "batch_size": 8, "lr": 2e-3, "min_lr": 2e-5},
        **{"warmup": 100, "validate_every": 500},
    },
    "gpt2": {
        **{
            "layers": 12,
            "heads": 12,
            "width": 768,
            "context": 1024,
            "dropout": 0.1,
            "attention_dropout": 0.1,
        },
        **{"tie": True, "steps": 600_000, "lr": 6e-4, "min_lr": 6e-5, "warmup": 2000, "beta2": 0.95},
    },
}


@dataclass(frozen=True)
class Loaded:
    """A trained model and its tokenizer."""

    model: MiniGPT
    tokenizer: Tokenizer
    folder: Path


@dataclass(frozen=True)
class Run:
    """What a training leaves behind."""

    model: MiniGPT
    tokenizer: Tokenizer
    history: History
    baselines: dict[str, float]  # loss in nats of "uniform" and "bigram" guessing
    out: Path

    def show(self, console: Console) -> None:
        """Prints the reached loss beside the baselines, a sample, and what to try next."""
        if not self.history.validation:
            console.print("\nEnded before the first validation.\n")
            return
        guesses = {"uniform": "guessing blindly", "bigram": "knowing the previous token"}
        known = ", ".join(f"{guesses.get(name, name)} {loss:.3f}" for name, loss in self.baselines.items())
        reached = self.history.best("val_loss")
        console.print(f"\nValidation loss [bold]{reached:.3f}[/] nats a token ({known}).", highlight=False)
        sample = generate(Loaded(self.model, self.tokenizer, self.out))
        console.print(Panel(Text(sample), title="what it writes now", title_align="left"))
        console.print(f"Next: ds-zoo generate {shlex.quote(str(self.out))}", markup=False, soft_wrap=True)


def make_optimizer(gpt: MiniGPT, recipe: Recipe) -> Optimizer:
    """Returns AdamW over the whole model, or Muon over the blocks' matrices and AdamW over the rest."""
    betas = (recipe.beta1, recipe.beta2)
    if recipe.optimizer == "adamw":
        return AdamW(decay_groups(gpt, recipe.weight_decay), lr=recipe.lr, betas=betas)
    matrices = [p for name, p in gpt.named_parameters() if name.startswith("blocks.") and p.dim() == 2]
    known = {id(p) for p in matrices}
    others = [p for p in gpt.parameters() if id(p) not in known]
    # Decay shrinks by rate times decay, and Muon's rate is ten times AdamW's: a tenth shrinks as much.
    decay = recipe.weight_decay / 10
    return ChainedOptimizer(
        Muon(matrices, lr=recipe.muon_lr, weight_decay=decay, ns_precision="float32"),
        AdamW(others, lr=recipe.lr, betas=betas, weight_decay=0.0),
    )


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    device: torch.device | str = "cpu",
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train a GPT to continue a text.

    The run folder holds ``recipe.toml``, ``config.json`` and ``model.safetensors`` (readable by
    `transformers`), the tokenizer's ``vocabulary.json``, ``log.csv``, ``loss.png``, ``samples.txt`` and, to
    resume from, ``checkpoint.safetensors``. It is written from the first step on, see
    :class:`ds_core.training.RunFolder`; what is refused changes nothing.

    Args:
        recipe: how to train.
        out: the run folder, made if needed.
        resume: continue an interrupted run in ``out``, with the recipe it has.
        overwrite: start anew in ``out`` even if it holds a run.
        progress: whether to show it.
        device: where to compute.
        callbacks: called besides, see :class:`ds_core.Callback`.

    Raises:
        FileExistsError: if ``out`` holds a run and neither ``resume`` nor ``overwrite`` is given.
        CheckpointError: if there is nothing to resume, it is damaged, or of another text or other options;
            names them.
        ValueError: if the text is too short for the context, the prompt has what its tokenizer does not know,
            or an option is out of range.
    """
    out = Path(out)
    needed("matplotlib", "matplotlib", "loss.png", "plot")  # said now, not after the last step
    RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS)  # refuses before anything is read
    if resume:
        kept = described(out).get(VOCABULARY_FILE, "")
        tokens = Tokenizer.from_file_text(kept, f"{out / CHECKPOINT_FILE}: {VOCABULARY_FILE}")
    else:
        tokens = make_tokenizer(recipe.tokenizer, read_pieces(recipe.data), recipe.vocab_size)
    files = {RECIPE_FILE: recipe_text("gpt", recipe), VOCABULARY_FILE: tokens.file_text()}
    folder = RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS, files=files)
    try:
        corpus = read_corpus(recipe.data, tokens, progress=progress)
    except ValueError as error:
        if resume:
            raise CheckpointError(
                f"{out}: was begun with another text than {recipe.data} ({error})"
            ) from error
        raise
    config = MiniGPTConfig(
        vocab_size=tokens.vocab_size,
        n_positions=recipe.context,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        embd_pdrop=recipe.dropout,
        resid_pdrop=recipe.dropout,
        attn_pdrop=recipe.attention_dropout,
        tie_word_embeddings=recipe.tie,
    )
    prompt = recipe.prompt or some_prompt(tokens, recipe.context)
    length = len(tokens.encode(prompt))
    if not 1 <= length <= recipe.context:  # said now, not at the first validation
        raise ValueError(f"prompt: expected from 1 to {recipe.context} tokens (the context), got {length}")
    part, validation = split_text(corpus.ids, config.n_positions)
    validation = validation[:MEASURED].long()
    baselines = {"uniform": uniform_loss(tokens.vocab_size)}
    guess = bigram_loss if tokens.vocab_size <= MOST_BIGRAMS else unigram_loss
    baselines[guess.__name__.removesuffix("_loss")] = guess(part[-COUNTED:], validation, tokens.vocab_size)

    warmup = recipe.steps // 20 if recipe.warmup is None else recipe.warmup
    gpt = MiniGPT(config, generator=torch.Generator().manual_seed(recipe.seed))
    optimizer = make_optimizer(gpt, recipe)
    depends_on = {name: value for name, value in asdict(recipe).items() if name not in ("data", "tokenizer")}
    samples = Samples(tokens, prompt, recipe.seed)
    trainer = Trainer(
        gpt,
        CrossEntropyLoss(dim=-1),
        optimizer,
        WarmupCosine(optimizer, warmup, recipe.steps, recipe.min_lr),
        engine=recipe.engine,
        precision=recipe.precision,
        compile=recipe.compile,
        clip_norm=recipe.clip,
        callbacks=[folder, CSVLog(out / "log.csv"), samples, *callbacks],
        out=out,
        progress=progress,
        device=device,
        seed=recipe.seed,
        settings={
            "tokenizer": _described_tokenizer(tokens),
            "text": corpus.text,
            **depends_on,
        },
    )
    with folder:
        history = trainer.fit(
            RandomWindows(part, config.n_positions, recipe.batch_size, recipe.seed),
            validation=sequential_windows(validation, config.n_positions, 64),
            steps=recipe.steps,
            validate_every=recipe.validate_every,
            resume=resume,
        )
        if trainer.leads and len(history):  # not where it was interrupted before the first step
            gpt.save_pretrained(out)
            history.plot(out / "loss.png", baselines=baselines)
    return Run(gpt, tokens, history, baselines, out)


def _described_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns what a checkpoint knows its tokenizer by."""
    if isinstance(tokenizer, CharacterTokenizer):
        return {"kind": tokenizer.kind, "vocabulary": "".join(tokenizer.vocabulary.tokens)}
    content = tokenizer.file_text().encode("utf-8", "surrogatepass")
    return {"kind": tokenizer.kind, "vocabulary": hashlib.sha256(content).hexdigest()[:16]}


class Samples(Callback):
    """Lets a language model write at every validation, and keeps what it wrote in ``samples.txt``.

    Args:
        tokenizer: the model's.
        prompt: how each sample begins.
        seed: of what is written.
        length: tokens of a sample.
    """

    writes = True

    def __init__(self, tokenizer: Tokenizer, prompt: str, seed: int, length: int = 120) -> None:
        self.tokenizer, self.prompt, self.seed, self.length = tokenizer, prompt, seed, length
        self.written: list[tuple[int, float, str]] = []

    def on_validation_end(self, trainer: Trainer) -> None:
        assert isinstance(trainer.model, MiniGPT)
        options = {"temperature": 0.8, "seed": self.seed}
        (text,) = continue_texts(trainer.model, self.tokenizer, [self.prompt], self.length, **options)
        loss = trainer.history["val_loss"][-1]
        self.written = [one for one in self.written if one[0] < trainer.step] + [(trainer.step, loss, text)]
        if trainer.progress:
            shown = " ".join(text.split())
            print(f"step {trainer.step}, val_loss {loss:.3f}: {shown}", flush=True)
        if trainer.out is not None and len(trainer.history):
            self._write(trainer.out / SAMPLES_FILE)

    def _write(self, path: Path) -> None:
        parts = [f"--- step {step}, val_loss {loss:.4f}\n{text}\n\n" for step, loss, text in self.written]
        write_text(path, "".join(parts))

    def state_dict(self) -> dict[str, Any]:
        return {"written": list(self.written)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.written = [tuple(one) for one in state["written"]]


# ---- what a run is good for ----------------------------------------------------------------------------


def load(folder: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Reads model and tokenizer from a run folder.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
    """
    folder = finished(folder, "gpt", TOKENIZER_FILES)
    model = MiniGPT.from_pretrained(folder)
    tokenizer = Tokenizer.from_pretrained(folder)
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"{folder}: its tokenizer has {tokenizer.vocab_size} tokens, but the model's embedding has "
            f"{model.config.vocab_size}: they are not of one training"
        )
    return Loaded(model.to(device), tokenizer, folder)


def save(loaded: Loaded, folder: Path) -> str:
    """Write model and tokenizer as `transformers` reads them.

    Args:
        loaded: what :func:`load` returns.
        folder: where to; made if needed.
    """
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return f"wrote {folder}"


def generate(
    loaded: Loaded,
    *,
    prompt: str | None = None,
    prompts: str | None = None,
    length: int = 300,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    beams: int = 1,
    length_penalty: float = 1.0,
    stop: list[str] | None = None,
    seed: int = 0,
) -> str:
    """Let a trained model continue a text, or several side by side.

    Args:
        loaded: what :func:`load` returns.
        prompt: the beginning of the text; "-" reads it from the standard input. "The " if not given.
        prompts: in its place a file with a prompt in each line, "-" for the standard input; a line of three
            hyphens stands between the texts. Lines that cannot be continued are named after them.
        length: tokens to add, at most.
        temperature: 0: always the likeliest; 1: as learned. 0.8 if not given, and there are no beams.
        top_k: choose among the k likeliest tokens.
        top_p: choose among those that make up p.
        min_p: choose among those at least this share as likely as the likeliest.
        repetition_penalty: above 1 against tokens that the text already has.
        beams: above 1: the likeliest text that so many beams find, without chance.
        length_penalty: of beams: above 0 in favour of longer texts.
        stop: end a text as soon as it has written this; may be given several times.
        seed: same seed, same text.
    """
    if prompt is not None and prompts is not None:
        raise ValueError("generate: expected either a prompt or a file of prompts, got both")
    context = loaded.model.config.n_positions
    failed: list[str] = []
    if prompts is not None:
        content = read_standard_input() if prompts == STANDARD_INPUT else read_text(prompts)
        lines = [line for line in content.split("\n") if line]
        if not lines:
            raise ValueError(f"{prompts}: expected a prompt in each line, got nothing")
    else:
        lines = [some_prompt(loaded.tokenizer, context) if prompt is None else prompt]

    def fitting(line: str) -> str:
        with about(shown(line)):
            tokens = len(loaded.tokenizer.encode(line))
            if not 1 <= tokens <= context:
                raise ValueError(f"expected a prompt of 1 to {context} tokens (the context), got {tokens}")
        return line

    given = list(answered(lines, fitting, failed))
    texts = continue_texts(
        loaded.model,
        loaded.tokenizer,
        [text for _, _, text in given],
        length,
        temperature=(1.0 if beams > 1 else 0.8) if temperature is None else temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        num_beams=beams,
        length_penalty=length_penalty,
        stop_strings=stop or (),
        seed=[seed + number for number, _, _ in given],
    )
    written = "\n---\n".join(texts)
    check_all_answered(written, failed, lines)
    return written


def some_prompt(tokenizer: Tokenizer, context: int) -> str:
    """Returns a beginning of a text that the tokenizer knows and that fits into the context."""
    for prompt in ("The ", "the ", "\n"):
        with suppress(ValueError):
            if 1 <= len(tokenizer.encode(prompt)) <= context:
                return prompt
    return tokenizer.decode([0])


def continue_texts(
    model: MiniGPT, tokenizer: Tokenizer, prompts: Sequence[str], length: int, **options: Any
) -> list[str]:
    """Returns each prompt and at most ``length`` tokens more.

    Where a tokenizer has a token that ends documents, it ends a text, and is left out.

    Args:
        model: continues.
        tokenizer: whose ids it was trained with.
        prompts: the beginnings.
        length: the most tokens to add.
        options: of :meth:`MiniGPT.generate`.

    Raises:
        ValueError: if a prompt is empty, has characters the model does not know, or is longer than the
            context.
    """
    if not all(prompts):
        raise ValueError("prompt: expected at least one character, got none")
    end = tokenizer.end_id if isinstance(tokenizer, BPETokenizer) else None
    found: list[Tensor] = model.generate(
        [torch.tensor(tokenizer.encode(prompt)) for prompt in prompts],
        length,
        tokenizer=tokenizer,
        stop_tokens=() if end is None else (end,),
        **options,
    )
    rows = [ids.tolist() for ids in found]
    return [tokenizer.decode(row[:-1] if row[-1] == end else row) for row in rows]


def evaluate(loaded: Loaded, *, data: str | None = None, stride: int | None = None) -> dict[str, float]:
    """Measure the loss on a text.

    Args:
        loaded: what :func:`load` returns.
        data: the text; if none is given, the part of the run's own data that it was not trained on.
        stride: tokens by which a window slides, so that all tokens but the first see at least the rest of the
            context; if not given, windows stand side by side, as in training, and what does not fill the last
            one is left out.

    Returns:
        How many tokens were predicted, the mean loss in nats, and the perplexity.

    Raises:
        ValueError: if the text is too short, or it is the run's own, and another than it was trained on.
    """
    if data is None and not (loaded.folder / RECIPE_FILE).is_file():
        raise ValueError(f"{loaded.folder}: was not trained here; say on what to measure it: --data")
    recipe = read_recipe(loaded.folder / RECIPE_FILE) if data is None else {}
    context = loaded.model.config.n_positions
    corpus = read_corpus(recipe["data"] if data is None else data, loaded.tokenizer)
    ids = corpus.ids
    if data is None:
        check_unchanged(loaded.folder, "text", corpus.text)
        _, ids = split_text(ids, context)
    ids = ids[:MEASURED].long()
    if stride is not None:
        measured = perplexity(loaded.model, ids, stride=stride)
        return {"tokens": measured.tokens, "loss": measured.loss, "perplexity": measured.perplexity}
    trainer = Trainer(loaded.model, CrossEntropyLoss(dim=-1), "sgd", lr=0.0, progress=False)
    windows = sequential_windows(ids, context, 64)
    loss = trainer.evaluate(windows)["loss"]
    tokens = sum(targets.numel() for _, targets in windows)
    return {"tokens": tokens, "loss": loss, "perplexity": perplexity_of(loss)}


def verify() -> Iterator[tuple[str, GradientReport]]:
    """Yields name and report of the gradients of small random models."""
    for tie in (True, False):
        config = MiniGPTConfig(11, n_positions=6, n_embd=8, n_layer=2, n_head=2, tie_word_embeddings=tie)
        model = MiniGPT(config, generator=torch.Generator().manual_seed(0))
        ids = torch.randint(11, (3, 6), generator=torch.Generator().manual_seed(0))
        yield f"MiniGPT, {'tied' if tie else 'free'} head", check_gradients(model, ids)
