"""Training a MiniBERT: on hidden words or next sentences, then on labels; and what a run is good for."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from ds_core import AdamW, Callback, History, Module, Trainer, WarmupCosine, functional
from ds_core.data.fingerprint import fingerprint
from ds_core.finetuning import add_lora, freeze, layer_groups, merge_lora, save_lora
from ds_core.module import evaluating
from ds_core.pretrained import CONFIG_FILE
from ds_core.text import WordPieceTokenizer
from ds_core.text.tokenizer import PUBLISHED_FILE
from ds_core.training import CSVLog, RunFolder, described
from ds_core.training.files import read_json
from ds_core.training.recipe import RECIPE_FILE, make_recipe, read_recipe, recipe_text
from ds_core.verify import GradientReport, check_gradients
from rich.console import Console
from torch import Tensor

from ds_zoo.bert.baselines import BagOfWords, CommonTokens, FillIn
from ds_zoo.bert.batches import (
    LabelledBatches,
    MaskedBatches,
    Pairs,
    cut_rows,
    labelled_rows,
    next_sentence_pairs,
)
from ds_zoo.bert.fill_mask import fill_mask as guess
from ds_zoo.bert.heads import (
    BERTHead,
    MiniBERTForMaskedLM,
    MiniBERTForNextSentencePrediction,
    MiniBERTForQuestionAnswering,
    MiniBERTForSequenceClassification,
    MiniBERTForTokenClassification,
)
from ds_zoo.bert.model import PRESETS as SIZES
from ds_zoo.bert.model import MiniBERT, MiniBERTConfig
from ds_zoo.bert.sentences import check_vocabulary
from ds_zoo.data.labelled import Labelled, read_labelled
from ds_zoo.data.rows import RowBatches
from ds_zoo.data.text import BETWEEN, read_texts
from ds_zoo.runs import answered, check_all_answered, check_unchanged, finished

ADAPTER_FILE = "adapter.safetensors"
# What a run leaves behind, besides its checkpoint, its log and what describes it.
RESULTS = ("config.json", "model*.safetensors*", "best.safetensors", "loss.png", ADAPTER_FILE)
_HELD_OUT = 10  # one in so many rows of text is kept for validation


@dataclass(frozen=True)
class Recipe:
    """How to train: the defaults pre-train a mini model in minutes.

    Args:
        data: what to learn from: texts, or for labels texts with labels; a tenth is kept for validation,
            unless the data say themselves what is held out.
        also: more texts to guess words of.
        task: to guess hidden words, to tell whether a sentence is the next one, or to put labels on texts.
        base: folder of the BERT to begin with; labels need one, the others can go on with one.
        tokenizer: the place of a published one: a folder with tokenizer.json or vocab.txt; learnt from the
            texts if not given.
        vocab_size: the most tokens the tokenizer learns from the texts.
        layers: number of layers.
        heads: attention heads of a layer.
        width: numbers that describe a position.
        inner: width within the MLPs.
        context: tokens that are seen at once; of a longer text with a label the end is cut off.
        dropout: share of numbers that are dropped in training.
        whole_words: whether all pieces of a word are hidden together.
        freeze: a regular expression: parameters whose path it finds stay as they are, "embeddings" say.
        layer_decay: each layer learns at this share of the rate of the layer above it.
        lora_rank: rank of the products that learn beside the frozen layers; 0 to train the layers themselves.
        lora_alpha: how much these products count: each is multiplied by alpha / rank.
        steps: optimizer steps.
        batch_size: texts of the full context in a step, and as many shorter ones as have that many tokens.
        lr: highest learning rate, reached after the warm-up; it falls to 0 on half a cosine.
        warmup: steps of the linear warm-up; a tenth of all if not given.
        weight_decay: decay of matrices; biases and norms are not decayed.
        beta1: AdamW's first beta.
        beta2: AdamW's second beta.
        clip: largest norm of all gradients together.
        validate_every: steps between validations.
        seed: of initial weights, the order of texts, hidden words and dropout.
        engine: our own backwards, or torch's autograd.
        precision: of products of matrices; weights and all else stay float32.
    """

    data: str = "bundled:python"
    also: str | None = None
    task: Literal["words", "next", "labels"] = "words"
    base: str | None = None
    tokenizer: str | None = None
    vocab_size: int = 4000
    layers: int = 2
    heads: int = 4
    width: int = 128
    inner: int = 512
    context: int = 64
    dropout: float = 0.1
    whole_words: bool = True
    freeze: str | None = None
    layer_decay: float = 1.0
    lora_rank: int = 0
    lora_alpha: float = 16.0
    steps: int = 3000
    batch_size: int = 16
    lr: float = 1e-3
    warmup: int | None = None
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    clip: float = 1.0
    validate_every: int = 500
    seed: int = 0
    engine: Literal["manual", "autograd"] = "manual"
    precision: Literal["float32", "bf16", "fp16"] = "float32"


def _sizes(name: str) -> dict[str, Any]:
    """Returns the recipe's fields of a size in :data:`ds_zoo.bert.model.PRESETS`."""
    return {ours: SIZES[name][theirs] for ours, theirs in _FIELDS.items() if theirs in SIZES[name]}


_FIELDS = {
    "vocab_size": "vocab_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "width": "hidden_size",
    "inner": "intermediate_size",
    "context": "max_position_embeddings",
}
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {**_sizes("tiny"), "steps": 500, "batch_size": 16},
    "mini": {},
    "small": {**_sizes("small"), "steps": 20_000},
    "bert-base": {
        **_sizes("bert-base"),
        **{"steps": 1_000_000, "batch_size": 256, "lr": 1e-4, "warmup": 10_000, "beta2": 0.999},
    },
    "sentiment": {
        **{"data": "bundled:sentiment", "task": "labels", "steps": 3000, "batch_size": 12},
        **{"lr": 1e-3, "beta2": 0.999, "validate_every": 500},
    },
}


class Scored(Module):
    """A BERT with a head as the trainer wants a model: its scores first, then the loss it gives itself.

    Args:
        model: called with labels among its inputs.
    """

    def __init__(self, model: BERTHead) -> None:
        self.model = model

    def forward(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        x = self.model(*inputs)
        return x.logits, x.loss

    def backward(self, grad: Tensor | None, grad_loss: Tensor | float = 1.0) -> None:
        self.model.backward(grad_loss, grad)


class GivenLoss(Module):
    """The loss that a :class:`Scored` model gives."""

    def __init__(self) -> None:
        pass

    def forward(self, scores: Tensor, loss: Tensor, target: Tensor) -> Tensor:
        return loss

    def backward(self, grad: float = 1.0) -> tuple[None, float]:
        return None, grad

    def count(self, target: Tensor) -> int:
        """Counts what the loss is the mean of."""
        return len(target)


@dataclass(frozen=True)
class Loaded:
    """A trained model and its tokenizer."""

    model: MiniBERT | BERTHead
    tokenizer: WordPieceTokenizer
    folder: Path


@dataclass(frozen=True)
class Run:
    """What a training leaves behind."""

    model: BERTHead
    tokenizer: WordPieceTokenizer
    history: History
    baselines: dict[str, float]  # accuracy, of filling in from counts, or of "bag of words"
    out: Path
    cut: int = 0  # labelled texts of which the end was cut off

    def show(self, console: Console) -> None:
        """Prints the reached accuracy beside the baselines, and what to try next."""
        if not self.history.validation:
            console.print("\nEnded before the first validation.\n")
            return
        what, ask = _ASKED[type(self.model)]
        known = ", ".join(f"{name} {share:.1%}" for name, share in self.baselines.items())
        reached = self.history["val_accuracy"][-1]
        console.print(f"\n[bold]{reached:.1%}[/] of the {what} right ({known})", highlight=False)
        if self.cut:
            console.print(f"{self.cut:,} texts are longer than the context; their ends were cut off")
        place = shlex.quote(str(self.out))
        console.print(f"Next: ds-zoo {ask.format(place)}", highlight=False, markup=False, soft_wrap=True)


# What a run's accuracy is of, and what to ask it.
_ASKED: dict[type[BERTHead], tuple[str, str]] = {
    MiniBERTForMaskedLM: ("hidden words", 'fill-mask {} "The [MASK] statement"'),
    MiniBERTForNextSentencePrediction: ("held-out pairs", "train bert --task words --base {} --out OTHER"),
    MiniBERTForSequenceClassification: ("held-out texts", 'predict {} "It was not bad."'),
}


class _Task(NamedTuple):
    """What is trained, on what."""

    model: BERTHead
    tokenizer: WordPieceTokenizer
    batches: RowBatches
    validation: list[Any]
    baselines: dict[str, float]
    data: str  # its fingerprint
    base: str | None  # that of the weights it begins with
    cut: int = 0


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
    """Train a BERT to guess hidden words or to tell the next sentence, or one so trained to label texts.

    The run folder holds ``recipe.toml``, ``config.json`` and ``model.safetensors`` (readable by
    `transformers`), the tokenizer's files, ``log.csv``, ``loss.png`` and, to resume from,
    ``checkpoint.safetensors``; with ``lora_rank`` also ``adapter.safetensors``, which holds what was trained
    alone, while the model has it merged. It is written from the first step on, see
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
        FileNotFoundError: if the base or the data are missing.
        CheckpointError: if there is nothing to resume, it is damaged, or of other data, another tokenizer or
            other options; names them.
        ValueError: if a label held out is not among those learned, or an option is out of range or has no
            effect.
    """
    out = Path(out)
    check(recipe)
    RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS)  # refuses before anything is read
    prepare = {"words": _words, "next": _next, "labels": _labels}[recipe.task]
    task = prepare(recipe, out if resume else None)
    files = {RECIPE_FILE: recipe_text("bert", recipe), **task.tokenizer.files()}
    folder = RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS, files=files)
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    if recipe.lora_rank:
        whole = None if recipe.task == "words" else "pooler|classifier|cls"
        add_lora(
            task.model, recipe.lora_rank, recipe.lora_alpha, layers="layers", whole=whole, generator=generator
        )
    elif recipe.freeze is not None:
        freeze(task.model, recipe.freeze)
    groups = layer_groups(task.model, recipe.lr, recipe.layer_decay, weight_decay=recipe.weight_decay)
    optimizer = AdamW(groups, lr=recipe.lr, betas=(recipe.beta1, recipe.beta2))
    warmup = recipe.steps // 10 if recipe.warmup is None else recipe.warmup
    depends_on = {
        name: value
        for name, value in asdict(recipe).items()
        if name not in ("data", "also", "base", "tokenizer")
    }
    trainer = Trainer(
        Scored(task.model),
        GivenLoss(),
        optimizer,
        WarmupCosine(optimizer, warmup, recipe.steps),
        engine=recipe.engine,
        precision=recipe.precision,
        metrics=["accuracy"],
        clip_norm=recipe.clip,
        callbacks=[folder, CSVLog(out / "log.csv"), *callbacks],
        out=out,
        progress=progress,
        device=device,
        seed=recipe.seed,
        settings={
            "tokenizer": _hash(task.tokenizer.files()[PUBLISHED_FILE]),
            "texts": task.data,
            "base": task.base,
            **depends_on,
        },
    )
    with folder:
        history = trainer.fit(
            task.batches,
            validation=task.validation,
            steps=recipe.steps,
            validate_every=recipe.validate_every,
            resume=resume,
        )
        if trainer.leads and len(history):  # not where it was interrupted before the first step
            if recipe.lora_rank:
                save_lora(task.model, out / ADAPTER_FILE)
                merge_lora(task.model)
            task.model.save_pretrained(out)
            history.plot(out / "loss.png")
    return Run(task.model, task.tokenizer, history, task.baselines, out, task.cut)


def check(recipe: Recipe) -> None:
    """Checks that a recipe's fields go together.

    Raises:
        ValueError: if one of them would have no effect, or one is missing.
    """
    default = {field.name: field.default for field in fields(Recipe) if field.default is not MISSING}
    unused: list[str] = []
    if recipe.base is not None:
        unused += [*_FIELDS, "dropout", "tokenizer"]
    if recipe.task != "words":
        unused += ["whole_words"]
    if recipe.task == "labels":
        if recipe.base is None:
            raise ValueError("base: labels are learned by a BERT that can read; give the folder of one")
        if recipe.also is not None:
            raise ValueError("also: more texts are for hidden words; labels are learned from data alone")
    elif recipe.base is None and recipe.lora_rank:
        raise ValueError("lora_rank: goes with a base; a new BERT has nothing to stay as it is")
    if recipe.lora_rank and recipe.freeze is not None:
        raise ValueError("freeze: with lora_rank everything is frozen already; leave one of the two out")
    if recipe.batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {recipe.batch_size}")
    if recipe.lora_rank < 0:
        raise ValueError(f"lora_rank: expected at least 0, got {recipe.lora_rank}")
    given = [name for name in unused if name != "context" and getattr(recipe, name) != default[name]]
    if given:
        raise ValueError(
            f"{given[0]}: has no effect here: it is the base's, or of another task; leave it out"
        )


# ---- the three tasks -----------------------------------------------------------------------------------


def _words(recipe: Recipe, resumed: Path | None) -> _Task:
    """Prepares the guessing of hidden words."""
    sources = _sources(recipe)
    texts = [text for source in sources for text in source]
    generator = torch.Generator().manual_seed(recipe.seed)
    model, tokenizer, base = _begun(MiniBERTForMaskedLM, recipe, texts, resumed, generator)
    context = min(recipe.context, model.config.max_position_embeddings)
    learned, held_out = _rows(sources, tokenizer, context)
    options: dict[str, Any] = {"whole_words": recipe.whole_words, "seed": recipe.seed}
    tokens = recipe.batch_size * context
    batches = MaskedBatches(learned, tokenizer, tokens, **options)
    hidden = MaskedBatches(held_out, tokenizer, max(tokens, 4096), shuffle=False, **options)
    fill_in = FillIn([ids for ids, _ in learned], tokenizer.special_ids)
    return _Task(
        model,
        tokenizer,
        batches,
        list(hidden),
        fill_in.accuracies(*hidden.asked()),
        _hash(*texts),
        base,
    )


def _next(recipe: Recipe, resumed: Path | None) -> _Task:
    """Prepares the telling whether a sentence is the next one."""
    sources = _sources(recipe)
    texts = [text for source in sources for text in source]
    generator = torch.Generator().manual_seed(recipe.seed)
    model, tokenizer, base = _begun(MiniBERTForNextSentencePrediction, recipe, texts, resumed, generator)
    context = min(recipe.context, model.config.max_position_embeddings)
    learned, held_out = _pairs(sources, tokenizer, context, recipe.seed)
    tokens = recipe.batch_size * context
    overlap = CommonTokens(*learned, tokenizer.sep_id)
    options: dict[str, Any] = {"sep_id": tokenizer.sep_id}
    return _Task(
        model,
        tokenizer,
        LabelledBatches(*learned, tokenizer.pad_id, tokens, seed=recipe.seed, **options),
        list(LabelledBatches(*held_out, tokenizer.pad_id, max(tokens, 4096), shuffle=False, **options)),
        {"tokens in common": overlap.accuracy(*held_out)},
        _hash(*texts),
        base,
    )


def _pairs(
    sources: list[list[str]], tokenizer: WordPieceTokenizer, context: int, seed: int
) -> tuple[Pairs, Pairs]:
    """Returns pairs of sentences to learn from and, of the last paragraphs of each source, those held out."""
    learned, held_out = [], []
    for source in sources:
        paragraphs = [part for text in source for part in text.split(BETWEEN)]
        last = max(1, len(paragraphs) // _HELD_OUT)
        learned += paragraphs[:-last]
        held_out += paragraphs[-last:]
    return (
        next_sentence_pairs(learned, tokenizer, context, seed),
        next_sentence_pairs(held_out, tokenizer, context, seed),
    )


def _begun(
    head: type[Any],
    recipe: Recipe,
    texts: list[str],
    resumed: Path | None,
    generator: torch.Generator,
) -> tuple[Any, WordPieceTokenizer, str | None]:
    """Returns what pre-training begins with: a model, its tokenizer, and what tells the weights of a base."""
    if recipe.base is not None:
        return _based(head, recipe, generator)
    if resumed is not None:
        tokenizer = WordPieceTokenizer(described(resumed)[PUBLISHED_FILE])
    elif recipe.tokenizer is not None:
        tokenizer = WordPieceTokenizer.from_pretrained(recipe.tokenizer)
    else:
        tokenizer = WordPieceTokenizer.train(texts, recipe.vocab_size)
    config = MiniBERTConfig(
        **{theirs: getattr(recipe, ours) for ours, theirs in _FIELDS.items() if ours != "vocab_size"},
        vocab_size=tokenizer.vocab_size,
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.dropout,
    )
    return head(config, generator=generator), tokenizer, None


def _sources(recipe: Recipe) -> list[list[str]]:
    """Returns the texts of each data word, each paragraph once: what is held out was nowhere learned from."""
    seen: set[str] = set()
    sources: list[list[str]] = []
    for word in (recipe.data, recipe.also):
        sources.append([])
        for text in read_texts(word) if word is not None else ():
            new = [part for part in dict.fromkeys(text.split(BETWEEN)) if part.strip() and part not in seen]
            seen.update(new)
            if new:
                sources[-1].append(BETWEEN.join(new))
    return [source for source in sources if source]


Rows = list[tuple[Tensor, Tensor]]


def _rows(sources: list[list[str]], tokenizer: WordPieceTokenizer, context: int) -> tuple[Rows, Rows]:
    """Returns the rows to learn from and, the last of each source, those held out."""
    learned: Rows = []
    held_out: Rows = []
    for source in sources:
        rows = cut_rows(source, tokenizer, context)
        if len(rows) < 2:
            raise ValueError(
                f"data: expected texts of at least two rows of {context} tokens, got {len(rows)}"
            )
        last = max(1, len(rows) // _HELD_OUT)
        learned += rows[:-last]
        held_out += rows[-last:]
    return learned, held_out


def _labels(recipe: Recipe, resumed: Path | None) -> _Task:
    """Prepares the labelling of texts."""
    learned, held_out = read_labelled(recipe.data).parts(recipe.seed)
    names = tuple(sorted(set(learned.labels)))
    if len(names) < 2:
        raise ValueError(f"{recipe.data}: expected at least two different labels, got {', '.join(names)}")
    generator = torch.Generator().manual_seed(recipe.seed)
    model, tokenizer, base = _based(MiniBERTForSequenceClassification, recipe, generator, labels=names)
    context = min(recipe.context, model.config.max_position_embeddings)
    numbers = [part.numbers(names, recipe.data) for part in (learned, held_out)]
    rows = [labelled_rows(part.texts, tokenizer, context) for part in (learned, held_out)]
    (rows_learned, cut), (rows_held_out, cut_too) = rows
    tokens = recipe.batch_size * context
    bag = BagOfWords(rows_learned, numbers[0])
    return _Task(
        model,
        tokenizer,
        LabelledBatches(rows_learned, numbers[0], tokenizer.pad_id, tokens, seed=recipe.seed),
        list(LabelledBatches(rows_held_out, numbers[1], tokenizer.pad_id, max(tokens, 4096), shuffle=False)),
        {"bag of words": bag.accuracy(rows_held_out, numbers[1])},
        _hash_of_labelled(learned, held_out),
        base,
        cut + cut_too,
    )


def _based(
    head: type[Any], recipe: Recipe, generator: torch.Generator, **changes: Any
) -> tuple[Any, WordPieceTokenizer, str]:
    """Returns a model with a head on a copy of the base, the base's tokenizer, and what tells its weights."""
    assert recipe.base is not None
    loaded = load(recipe.base)
    if isinstance(loaded.model, head) and all(
        getattr(loaded.model.config, k) == v for k, v in changes.items()
    ):
        model = loaded.model
    else:
        encoder = loaded.model if isinstance(loaded.model, MiniBERT) else loaded.model.bert
        model = head.from_encoder(encoder, generator=generator, **changes)
    return model, loaded.tokenizer, fingerprint(loaded.model.parameters())


def _hash(*texts: str) -> str:
    made = hashlib.sha256()
    for text in texts:
        made.update(f"{len(text)} ".encode() + text.encode("utf-8", "surrogatepass"))
    return made.hexdigest()[:16]


def _hash_of_labelled(learned: Labelled, held_out: Labelled) -> str:
    return _hash(*learned.texts, *learned.labels, *held_out.texts, *held_out.labels)


def _unchanged(recipe: Recipe, folder: Path) -> list[list[str]]:
    """Returns the texts of each data word of a run.

    Raises:
        ValueError: if they are not those that it was trained on.
    """
    sources = _sources(recipe)
    check_unchanged(folder, "texts", _hash(*(text for source in sources for text in source)))
    return sources


# ---- what a run is good for ----------------------------------------------------------------------------

ARCHITECTURES: dict[str, type[MiniBERT] | type[BERTHead]] = {
    model.hugging_face.architecture: model  # type: ignore[misc]
    for model in (
        MiniBERT,
        MiniBERTForMaskedLM,
        MiniBERTForNextSentencePrediction,
        MiniBERTForSequenceClassification,
        MiniBERTForTokenClassification,
        MiniBERTForQuestionAnswering,
    )
}


def load(folder: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Reads model and tokenizer from a run folder, or a folder in the Hugging Face format.

    Its ``config.json`` says which head the model has; where it does not, it has none.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
        ValueError: if the model is of another kind, or has fewer vectors than the tokenizer tokens.
    """
    folder = finished(folder, "bert", (PUBLISHED_FILE, *WordPieceTokenizer.published_in))
    named = read_json(folder / CONFIG_FILE, "the configuration of a model").get("architectures") or [
        "BertModel"
    ]
    if named[0] not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"{folder / CONFIG_FILE}: expected architectures {known}, got {named[0]!r}")
    tokenizer = WordPieceTokenizer.from_pretrained(folder)
    model = ARCHITECTURES[named[0]].from_pretrained(folder)
    check_vocabulary(model, tokenizer)
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


def predict(loaded: Loaded, inputs: list[str]) -> list[dict[str, Any]]:
    """Say which label each text has, and how probable each label is.

    Args:
        loaded: what :func:`load` returns.
        inputs: the texts; of one that is longer than the context the end is cut off.

    Returns:
        ``label``, the share of each class by its name, and ``text``; the share of a class that is itself
        called "label" or "text" stands under "label (class)" or "text (class)".

    Raises:
        ValueError: if the model labels no texts, there are none, or no word of a text is known; all others
            are answered nevertheless, see :class:`ds_core.checks.Partial`.
    """
    model = _of(loaded, MiniBERTForSequenceClassification, "labels texts")
    if not inputs:
        raise ValueError("predict: expected at least one text, got none")
    failed: list[str] = []

    def known(text: str) -> str:
        loaded.tokenizer.known([text])
        return text

    texts = [text for _, _, text in answered(inputs, known, failed)]
    names = [f"{name} (class)" if name in ("label", "text") else name for name in model.config.labels]
    problem = model.config.problem_type
    rows = []
    for text, scores in zip(texts, _scores(loaded, texts), strict=True):
        if problem == "regression" or len(names) == 1:
            rows.append(
                {name: score.item() for name, score in zip(names, scores, strict=True)} | {"text": text}
            )
            continue
        if problem == "multi_label_classification":
            p, _ = functional.sigmoid(scores)
            shares = zip(model.config.labels, p.tolist(), strict=True)
            label = ", ".join(name for name, share in shares if share >= 0.5)
        else:
            p, _ = functional.softmax(scores, -1)
            label = model.config.labels[int(p.argmax())]
        rows.append({"label": label, **dict(zip(names, p.tolist(), strict=True)), "text": text})
    check_all_answered(rows, failed, inputs)
    return rows


@torch.no_grad()
def _scores(loaded: Loaded, texts: Sequence[str], size: int = 64) -> Tensor:
    """Returns the logits of each text."""
    model, device = cast(BERTHead, loaded.model), next(loaded.model.parameters()).device
    most = model.config.max_position_embeddings
    with evaluating(model):
        parts = [
            model(*(t.to(device) for t in loaded.tokenizer(texts[at : at + size], max_length=most))).logits
            for at in range(0, len(texts), size)
        ]
    return torch.cat(parts)


def fill_mask(loaded: Loaded, text: str, *, top_k: int = 5) -> list[dict[str, Any]]:
    """Guess what stands where a text says [MASK].

    Args:
        loaded: what :func:`load` returns.
        text: with "[MASK]" where words are wanted.
        top_k: how many guesses for each.

    Raises:
        ValueError: if the model guesses no words, or the text has no [MASK], or no word that is known.
    """
    model = _of(loaded, MiniBERTForMaskedLM, "guesses hidden words")
    loaded.tokenizer.known([text.replace("[MASK]", " ")])
    guesses = guess(model, loaded.tokenizer, text, top_k=top_k)
    return [
        {"probability": one.probability, "token": one.token, "text": one.text}
        for some in guesses
        for one in some
    ]


def evaluate(loaded: Loaded, *, data: str | None = None, seed: int | None = None) -> dict[str, float]:
    """Measure the accuracy: of guessed words, of next sentences, or of labels.

    Args:
        loaded: what :func:`load` returns.
        data: texts, or texts with labels; if none are given, what the run held out.
        seed: of which words are hidden, or which sentences are no next ones, if data are given; 0 if not
            given.

    Raises:
        FileNotFoundError: if the data, or the run's recipe, are missing.
        ValueError: if the model does none of these, a label is none of its own, the run's own data have
            changed since it was trained, or a seed is given without data.
    """
    if data is None and seed is not None:
        raise ValueError("eval: expected --seed with --data alone; of what a run held out its own seed tells")
    model, tokenizer, recipe = loaded.model, loaded.tokenizer, None
    seed = seed or 0
    if data is None:
        recipe = _recipe_of(loaded.folder)
        seed = recipe.seed
    context = model.config.max_position_embeddings
    options: dict[str, Any] = {"max_tokens": max(4096, context), "shuffle": False, "seed": seed}
    if isinstance(model, MiniBERTForMaskedLM):
        if recipe is None:
            rows = cut_rows(list(read_texts(cast(str, data))), tokenizer, context)
        else:
            context = min(context, recipe.context)
            _, rows = _rows(_unchanged(recipe, loaded.folder), tokenizer, context)
            options["whole_words"] = recipe.whole_words
        batches: RowBatches = MaskedBatches(rows, tokenizer, **options)
    elif isinstance(model, MiniBERTForNextSentencePrediction):
        if recipe is None:
            paragraphs = [part for text in read_texts(cast(str, data)) for part in text.split(BETWEEN)]
            pairs = next_sentence_pairs(paragraphs, tokenizer, context, seed)
        else:
            sources = _unchanged(recipe, loaded.folder)
            _, pairs = _pairs(sources, tokenizer, min(context, recipe.context), seed)
        batches = LabelledBatches(*pairs, tokenizer.pad_id, sep_id=tokenizer.sep_id, **options)
    else:
        labelling = _of(
            loaded,
            MiniBERTForSequenceClassification,
            "labels texts, guesses hidden words or tells the next sentence",
        )
        word = data if recipe is None else recipe.data
        part = read_labelled(cast(str, word))
        if recipe is not None or part.held_out is not None:
            learned, part = part.parts(seed)
            if recipe is not None:
                check_unchanged(loaded.folder, "texts", _hash_of_labelled(learned, part))
        numbers = part.numbers(labelling.config.labels, cast(str, word))
        texts, _ = labelled_rows(part.texts, tokenizer, context)
        batches = LabelledBatches(texts, numbers, tokenizer.pad_id, **options)
    trainer = Trainer(Scored(cast(BERTHead, model)), GivenLoss(), "sgd", metrics=["accuracy"], progress=False)
    results = trainer.evaluate(list(batches))
    return {name: results[name] for name in ("loss", "accuracy")}


def _recipe_of(folder: Path) -> Recipe:
    """Returns the recipe of a run.

    Raises:
        ValueError: if the folder is of no run.
    """
    if not (folder / RECIPE_FILE).is_file():
        raise ValueError(f"{folder}: is no run of ours, so it does not say what was held out; give data")
    written = read_recipe(folder / RECIPE_FILE)
    written.pop("model", None)
    return make_recipe(Recipe, written, str(folder / RECIPE_FILE))


def _of(loaded: Loaded, head: type[Any], does: str) -> Any:
    """Returns the model, if it has a head of this kind.

    Raises:
        ValueError: if it has another.
    """
    if not isinstance(loaded.model, head):
        raise ValueError(
            f"{loaded.folder}: expected a model that {does}, got a {type(loaded.model).__name__}"
        )
    return loaded.model


def verify() -> Iterator[tuple[str, GradientReport]]:
    """Checks the gradients of small random models.

    Yields:
        What was checked, and the report.
    """
    draw = torch.Generator().manual_seed(0)
    sizes: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = MiniBERTConfig(13, 8, 2, 2, 12, 6, initializer_range=0.3, **sizes)
    ids = torch.randint(1, 13, (2, 6), generator=draw)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    hidden = torch.where(torch.arange(6) % 3 == 1, ids, -100)
    tasks: dict[str, tuple[type[Any], Tensor]] = {
        "hidden words": (MiniBERTForMaskedLM, hidden),
        "labels of texts": (MiniBERTForSequenceClassification, torch.tensor([1, 0])),
        "labels of tokens": (MiniBERTForTokenClassification, ids % 2),
        "next sentence": (MiniBERTForNextSentencePrediction, torch.tensor([0, 1])),
    }
    for name, (head, labels) in tasks.items():
        model = head(config, generator=torch.Generator().manual_seed(1))
        yield name, check_gradients(Scored(model), ids, mask, None, labels, max_entries=10)
