"""Training a MiniCLIP on pairs of picture and caption, and what a run is good for."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import torch
from ds_core import AdamW, Callback, History, Module, Trainer, WarmupCosine
from ds_core.data.epochs import mixed_generator
from ds_core.drawing import check_figure
from ds_core.functional import softmax
from ds_core.text import Tokenizer, WordTokenizer
from ds_core.training import CSVLog, RunFolder
from ds_core.training.files import write_text
from ds_core.training.recipe import RECIPE_FILE, read_recipe, recipe_text
from ds_core.verify import GradientReport, check_gradients
from rich.console import Console
from torch import Tensor

from ds_zoo.clip.captions import encode_captions
from ds_zoo.clip.config import MiniCLIPConfig, MiniCLIPTextConfig, MiniCLIPVisionConfig
from ds_zoo.clip.data import Pairs, ScenePairs, all_captions, open_pairs, pair_batches
from ds_zoo.clip.loss import ContrastiveLoss
from ds_zoo.clip.model import CLIPPairs, MiniCLIP
from ds_zoo.clip.tokenizer import CLIPTokenizer
from ds_zoo.clip.visualize import MOST_DRAWN, answers, thinned
from ds_zoo.clip.zero_shot import ZeroShot, embed_captions, embed_images, retrieval, save_embeddings
from ds_zoo.data.processor import PROCESSOR_FILE, ImageProcessor, read_picture
from ds_zoo.data.scenes import (
    ALL_PAIRS,
    COLOURS,
    KINDS,
    Scenes,
    attribute_captions,
    captions,
    hold_out,
)
from ds_zoo.groups import decay_groups
from ds_zoo.runs import (
    about,
    answered,
    check_all_answered,
    check_apart,
    check_unchanged,
    finished,
    pictures_in,
)

TOKENIZER_FILE = "vocabulary.json"
ZERO_SHOT_FILE = "zero_shot.csv"
RESULTS = ("config.json", "model*.safetensors*", "best.safetensors", "loss.png", ZERO_SHOT_FILE)
SCENES = "scenes"  # the data word
_ENDLESS = 10**9  # scenes


@dataclass(frozen=True)
class Recipe:
    """How to train: the defaults learn scenes of one shape on two cores.

    Args:
        data: the pairs: "scenes", a CSV file of paths and captions, or hf:NAME.
        image_size: height and width that pictures are brought to.
        patch_size: height and width of a patch.
        stem: how a patch becomes a vector: one matrix, or a few small convolutions.
        tower: what looks at pictures: a ViT, or a ResNet, each stage of which has that many layers of blocks.
        width: of both towers and of the space they share.
        layers: of the image tower.
        text_layers: of the text tower.
        heads: attention heads of a layer.
        context: most tokens of a caption, the end included.
        truncate: whether longer captions are cut off.
        held_out: combinations of colour and kind that no scene in training has.
        one_attribute: share of scenes whose caption names the colour or the kind alone.
        tint: by how much each channel of a picture is made lighter or darker at random, from 0 to 1.
        swap: share of the scenes whose caption names no colour that get their colours exchanged.
        images: pairs to learn from; endlessly many scenes, or all there are, if not given.
        steps: optimizer steps.
        batch_size: pairs that are compared with each other.
        chunk: pairs whose towers run at a time, to save memory; all if not given.
        lr: highest learning rate, reached after the warm-up.
        min_lr: learning rate at the end of the cosine.
        warmup: steps of the linear warm-up; a twentieth of all if not given.
        weight_decay: decay of matrices; biases and norms are not decayed.
        beta1: AdamW's first beta.
        beta2: AdamW's second beta.
        clip: largest norm of all gradients together.
        validate_every: steps between validations.
        seed: of initial weights and of the order of pairs.
        engine: our own backwards, or torch's autograd.
        precision: of products of matrices; weights and all else stay float32.
    """

    data: str = SCENES
    image_size: int = 48
    patch_size: int = 8
    stem: Literal["patch", "conv"] = "conv"
    tower: Literal["vit", "resnet"] = "vit"
    width: int = 64
    layers: int = 2
    text_layers: int = 2
    heads: int = 4
    context: int = 16
    truncate: bool = False
    held_out: int = 12
    one_attribute: float = 0.5
    tint: float = 0.0
    swap: float = 0.0
    images: int | None = None
    steps: int = 6000
    batch_size: int = 128
    chunk: int | None = None
    lr: float = 2e-3
    min_lr: float = 2e-5
    warmup: int | None = None
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    clip: float = 1.0
    validate_every: int = 500
    seed: int = 0
    engine: Literal["manual", "autograd"] = "manual"
    precision: Literal["float32", "bf16", "fp16"] = "float32"


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"width": 32, "layers": 1, "text_layers": 1, "heads": 2, "steps": 500, "batch_size": 64},
    "mini": {},
    "plain": {"stem": "patch", "layers": 3},
    "resnet": {"tower": "resnet", "layers": 1},
}


@dataclass(frozen=True)
class Loaded:
    """A trained model, and how captions and pictures are prepared for it."""

    model: MiniCLIP
    tokenizer: Tokenizer
    processor: ImageProcessor
    folder: Path

    def encode(self, sentences: Sequence[str], truncate: bool = False) -> Tensor:
        """Returns the token ids of captions; what is too long is an error, or cut off."""
        most = self.model.config.text_config.max_position_embeddings
        return encode_captions(self.tokenizer, sentences, most, truncate=truncate)


@dataclass(frozen=True)
class Run:
    """What a training leaves behind."""

    model: MiniCLIP
    tokenizer: Tokenizer
    history: History
    accuracy: dict[str, float]  # of naming scenes, see scene_accuracy; empty for other data
    out: Path

    def show(self, console: Console) -> None:
        """Prints the reached loss, how scenes are named, and what to try next."""
        if not self.history.validation:
            console.print("\nEnded before the first validation.\n")
            return
        console.print(f"\nValidation loss [bold]{self.history.best('val_loss'):.3f}[/]", highlight=False)
        for name, share in self.accuracy.items():
            console.print(f"  {name:<16} {share:.1%}", highlight=False)
        if self.accuracy:
            console.print(f'Next: ds-zoo predict {self.out} image.png --labels "a red circle,a blue square"')


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
    """Train a CLIP: pictures and captions in one space.

    The run folder holds ``recipe.toml``, ``config.json`` and ``model.safetensors`` (readable by
    `transformers` unless the stem is "conv" or the tower a ResNet), ``vocabulary.json``,
    ``preprocessor_config.json``, ``log.csv``, ``loss.png``, for scenes ``zero_shot.csv`` and, to resume from,
    ``checkpoint.safetensors``.

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
        CheckpointError: if there is nothing to resume, it is damaged, or of other pairs or options.
        ValueError: if a caption is too long, there are fewer than two batches of pairs, or an option is out
            of range.
    """
    out = Path(out)
    check_options(recipe)
    learned, held_back = split_pairs(recipe)
    words = scene_words() if recipe.data == SCENES else all_captions(learned)
    tokens = WordTokenizer.train(words)
    processor = ImageProcessor.of_size(recipe.image_size)
    files = {
        RECIPE_FILE: recipe_text("clip", recipe),
        TOKENIZER_FILE: tokens.file_text(),
        PROCESSOR_FILE: processor.file_text(),
    }
    folder = RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS, files=files)

    def encode(sentences: Sequence[str]) -> Tensor:
        return encode_captions(tokens, sentences, recipe.context, truncate=recipe.truncate)

    for caption in words:  # now, not when its turn comes
        encode([caption])
    clip = MiniCLIP(make_config(recipe, tokens), generator=torch.Generator().manual_seed(recipe.seed))
    pairs = CLIPPairs(clip, recipe.chunk)
    optimizer = AdamW(
        decay_groups(pairs, recipe.weight_decay), lr=recipe.lr, betas=(recipe.beta1, recipe.beta2)
    )
    warmup = recipe.steps // 20 if recipe.warmup is None else recipe.warmup
    batches: dict[str, Any] = {"batch_size": recipe.batch_size, "width": recipe.context, "pad": tokens.pad_id}
    naming = Naming(recipe, tokens, processor) if recipe.data == SCENES else None
    depends_on = {name: value for name, value in asdict(recipe).items() if name != "data"}
    trainer = Trainer(
        pairs,
        ContrastiveLoss(),
        optimizer,
        WarmupCosine(optimizer, warmup, recipe.steps, recipe.min_lr),
        engine=recipe.engine,
        precision=recipe.precision,
        clip_norm=recipe.clip,
        callbacks=[
            *(folder, ClampScale(), CSVLog(out / "log.csv")),
            *([naming] if naming else []),
            *callbacks,
        ],
        out=out,
        progress=progress,
        device=device,
        seed=recipe.seed,
        settings={"vocabulary": tokens.vocabulary.tokens, "data": learned.print, **depends_on},
    )
    with folder:
        history = trainer.fit(
            pair_batches(
                *(learned, processor, encode),
                shuffle=len(learned) < _ENDLESS,
                seed=recipe.seed,
                tint=recipe.tint,
                swap=recipe.swap,
                colours=[tokens.vocabulary.id(colour) for colour in COLOURS] if naming else (),
                **batches,
            ),
            validation=list(pair_batches(held_back, processor, encode, shuffle=False, **batches)),
            steps=recipe.steps,
            validate_every=recipe.validate_every,
            resume=resume,
        )
        if trainer.leads and len(history):
            clip.save_pretrained(out)
            history.plot(out / "loss.png")
    return Run(clip, tokens, history, naming.latest if naming else {}, out)


def check_options(recipe: Recipe) -> None:
    """Checks what nobody else does.

    Raises:
        ValueError: names the option.
    """
    if recipe.images is not None and recipe.images < 1:
        raise ValueError(f"images: expected at least 1, got {recipe.images}")
    for name in ("tint", "swap"):
        if not 0 <= (share := getattr(recipe, name)) <= 1:
            raise ValueError(f"{name}: expected a number from 0 to 1, got {share}")
    if recipe.swap and recipe.data != SCENES:
        raise ValueError(
            f"swap: expected 0 unless data is {SCENES}, got {recipe.swap}: of other captions nobody knows "
            "which words name a colour"
        )


def make_config(recipe: Recipe, tokens: Tokenizer) -> MiniCLIPConfig:
    """Makes the size and shape of the model that a recipe asks for."""
    both: dict[str, Any] = {
        "hidden_size": recipe.width,
        "intermediate_size": 4 * recipe.width,
        "projection_dim": recipe.width,
        "num_attention_heads": recipe.heads,
    }
    text = MiniCLIPTextConfig(
        vocab_size=tokens.vocab_size,
        num_hidden_layers=recipe.text_layers,
        max_position_embeddings=recipe.context,
        pad_token_id=tokens.pad_id,
        bos_token_id=tokens.bos_id,
        eos_token_id=tokens.eos_id,
        **both,
    )
    vision = MiniCLIPVisionConfig(
        image_size=recipe.image_size,
        patch_size=recipe.patch_size,
        num_hidden_layers=recipe.layers,
        stem=recipe.stem,
        tower=recipe.tower,
        **both,
    )
    return MiniCLIPConfig(text, vision, recipe.width)


# ---- data ----------------------------------------------------------------------------------------------


class Part:
    """Some pairs of others.

    Args:
        pairs: all of them.
        numbers: which.
    """

    def __init__(self, pairs: Pairs, numbers: Sequence[int]) -> None:
        self.pairs, self.numbers, self.print = pairs, numbers, pairs.print

    def __len__(self) -> int:
        return len(self.numbers)

    def picture(self, number: int) -> Tensor:
        """Returns a picture, uint8 ``(3, H, W)``."""
        return self.pairs.picture(self.numbers[number])

    def caption(self, number: int) -> str:
        """Returns its caption."""
        return self.pairs.caption(self.numbers[number])

    def picture_id(self, number: int) -> int:
        """Returns what tells its picture from others."""
        return self.pairs.picture_id(self.numbers[number])


class NamedScenes(ScenePairs):
    """Scenes of one shape whose captions name it and say nothing else: "a red circle"."""

    def caption(self, number: int) -> str:
        (shape,) = self.scenes.scene(number).shapes
        return label_of(shape.colour, shape.kind)


def scene_pairs(recipe: Recipe | Mapping[str, Any], which: str, count: int, seed: int) -> Scenes:
    """Makes scenes of one shape, of combinations that a recipe has "seen", or of those "unseen"."""
    fields = recipe if isinstance(recipe, Mapping) else asdict(recipe)
    seen, unseen = hold_out(fields["held_out"])
    return Scenes(
        count,
        seed=seed,
        size=fields["image_size"],
        pairs=seen if which == "seen" or not unseen else unseen,
        one_attribute=fields["one_attribute"],
    )


def scene_words() -> list[str]:
    """Lists captions in which every word occurs that captions of one shape have."""
    scenes = Scenes(800, size=16, sizes=("small", "medium", "large"))
    return [
        caption
        for number in range(len(scenes))
        for scene in [scenes.scene(number)]
        for caption in captions(scene) + attribute_captions(scene)
    ]


def split_pairs(recipe: Recipe) -> tuple[Pairs, Pairs]:
    """Returns the pairs to learn from, and those kept for validation.

    Of files, pictures are drawn at random, with all their captions, until they make a tenth of the pairs, or
    a batch: no picture is in both parts.
    """
    if recipe.data == SCENES:
        count = _ENDLESS if recipe.images is None else recipe.images
        learned = scene_pairs(recipe, "seen", count, recipe.seed + 1).select_columns(["pixels", "caption"])
        return ScenePairs(learned), ScenePairs(scene_pairs(recipe, "seen", 4 * recipe.batch_size, -1))
    pairs = open_pairs(recipe.data)
    order = torch.randperm(len(pairs), generator=mixed_generator(recipe.seed)).tolist()
    pictures = [pairs.picture_id(number) for number in order]
    often, wanted = Counter(pictures), max(recipe.batch_size, len(order) // 10)
    kept, count = set[int](), 0
    for picture, times in often.items():
        if count >= wanted:
            break
        kept.add(picture)
        count += times
    learned_from, held_back = (
        [number for number, picture in zip(order, pictures, strict=True) if (picture in kept) is inside]
        for inside in (False, True)
    )
    if min(len(learned_from), len(held_back)) < recipe.batch_size:
        raise ValueError(
            f"{recipe.data}: expected at least {2 * recipe.batch_size} pairs, a batch to learn from and one "
            f"for validation, of other pictures, got {len(order)} of {len(often)} pictures; lower batch_size"
        )
    return Part(pairs, learned_from[: recipe.images]), Part(pairs, held_back)


# ---- during training -----------------------------------------------------------------------------------


class ClampScale(Callback):
    """Keeps the scale of similarities at most 100, after each step."""

    def on_step_end(self, trainer: Trainer) -> None:
        _clip(trainer.model).similarity.clamp_()


class Naming(Callback):
    """Lets a model name scenes at every validation, among all 64 combinations; fills ``zero_shot.csv``.

    Args:
        recipe: of the training.
        tokens: the model's tokenizer.
        processor: makes pixels of pictures.
        count: scenes of combinations seen, and as many of others.
    """

    writes = True

    def __init__(
        self, recipe: Recipe, tokens: Tokenizer, processor: ImageProcessor, count: int = 400
    ) -> None:
        self.recipe, self.tokens, self.processor, self.count = recipe, tokens, processor, count
        self.rows: list[dict[str, float]] = []
        self.latest: dict[str, float] = {}

    def on_validation_end(self, trainer: Trainer) -> None:
        loaded = Loaded(_clip(trainer.model), self.tokens, self.processor, Path())
        self.latest = scene_accuracy(loaded, self.recipe, self.count)
        row = {"step": trainer.step, **self.latest}
        self.rows = [one for one in self.rows if one["step"] < trainer.step] + [row]
        if trainer.progress:
            shown = ", ".join(f"{name} {share:.1%}" for name, share in self.latest.items())
            print(f"step {trainer.step}: {shown}", flush=True)
        if trainer.out is not None and len(trainer.history):
            table = StringIO()
            writer = csv.DictWriter(table, list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            write_text(trainer.out / ZERO_SHOT_FILE, table.getvalue())

    def state_dict(self) -> dict[str, Any]:
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows = [dict(row) for row in state["rows"]]
        self.latest = {name: value for row in self.rows[-1:] for name, value in row.items() if name != "step"}


def _clip(model: Module) -> MiniCLIP:
    assert isinstance(model, CLIPPairs)
    return model.model


def label_of(colour: str, kind: str) -> str:
    """Names a combination: "a red circle"."""
    return f"{'an' if colour[0] in 'aeio' else 'a'} {colour} {kind}"


def scene_accuracy(
    loaded: Loaded, recipe: Recipe | Mapping[str, Any], count: int = 1000, seed: int = -2
) -> dict[str, float]:
    """Lets a model name scenes of one shape among all 64 combinations.

    Args:
        loaded: what :func:`load` returns.
        recipe: tells which combinations it has not seen.
        count: scenes of combinations seen, and as many of the others.
        seed: of the scenes.

    Returns:
        The share named right, of combinations seen and unseen, and how often colour and kind alone are right.
    """
    fields = recipe if isinstance(recipe, Mapping) else asdict(recipe)
    labels = [label_of(colour, kind) for colour, kind in ALL_PAIRS]
    namer = ZeroShot(loaded.model, loaded.encode, labels)
    found: dict[str, float] = {}
    for which in ("seen", "unseen") if fields["held_out"] else ("seen",):
        scenes = scene_pairs(fields, which, count, seed).select_columns(["pixels", "label", "colour"])
        rows = list(scenes)
        pixels = loaded.processor([row["pixels"] for row in rows])
        named = namer.logits(pixels).argmax(1)
        kinds = torch.tensor([row["label"] for row in rows])
        colours = torch.tensor([row["colour"] for row in rows])
        right = {
            which: named == colours * len(KINDS) + kinds,
            f"{which}, colour": named // len(KINDS) == colours,
            f"{which}, kind": named % len(KINDS) == kinds,
        }
        found |= {name: share.float().mean().item() for name, share in right.items()}
    return found


# ---- what a run is good for ----------------------------------------------------------------------------


def load(folder: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Reads model, tokenizer and how pictures are prepared from a run folder, or from a published one.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training and no published CLIP.
    """
    folder = finished(folder, "clip")
    ours = (folder / TOKENIZER_FILE).is_file()
    tokenizer = Tokenizer.load(folder / TOKENIZER_FILE) if ours else CLIPTokenizer.from_pretrained(folder)
    model = MiniCLIP.from_pretrained(folder).to(device)
    if (most := model.config.text_config.vocab_size) < tokenizer.vocab_size:
        raise ValueError(
            f"{folder}: expected a tokenizer of at most {most} tokens, as the model has, got "
            f"{tokenizer.vocab_size}"
        )
    return Loaded(model, tokenizer, ImageProcessor.load(folder), folder)


def save(loaded: Loaded, folder: Path) -> str:
    """Write model, tokenizer and how pictures are prepared.

    Args:
        loaded: what :func:`load` returns.
        folder: where to; made if needed.
    """
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    loaded.processor.save(folder)
    return f"wrote {folder}"


def predict(
    loaded: Loaded,
    inputs: list[str],
    *,
    labels: str | None = None,
    template: str = "{}",
    out: str | None = None,
    embeddings: str | None = None,
) -> list[dict[str, Any]]:
    """Say how well labels fit pictures: a line for each label of each picture, the likeliest first.

    A warning names the labels of which the model does not know every word.

    Args:
        loaded: what :func:`load` returns.
        inputs: image files, or folders of some.
        labels: what it may be, separated by commas.
        template: sentences that labels are put into, with {} where the label goes, separated by |.
        out: a picture of the answer, written there.
        embeddings: a safetensors file that the pictures' vectors are written to.

    Returns:
        ``image``, ``label`` and ``score``, the label's probability, for each; without labels the images.

    Raises:
        FileExistsError: if one of the images would be written over.
        OSError, ValueError: if what is to be written has no place of its own, or none at all.
        FileNotFoundError: if there is one image file, and it is missing.
        ValueError: if an image cannot be read, or the model cannot look at it, where all others are answered
            nevertheless, see :class:`ds_core.checks.Partial`; if there are fewer than two labels, or nothing
            is asked for.
    """
    if labels is None and embeddings is None:
        raise ValueError('predict: expected --labels "a red circle,a blue square", or --embeddings FILE')
    if labels is None and (out is not None or template != "{}"):
        raise ValueError("predict: --out and --template are of the answer to --labels; none are given")
    inputs = pictures_in(inputs)
    if not inputs:
        raise ValueError("predict: expected at least one picture, got none")
    if out is not None:
        check_figure(out)
        if len(inputs) > MOST_DRAWN:
            raise ValueError(
                f"predict: --out draws at most {MOST_DRAWN} pictures, got {len(inputs)}; leave it out"
            )
    check_apart([out, embeddings], inputs)
    names = [name.strip() for name in (labels or "").split(",") if name.strip()]
    namer = None if labels is None else ZeroShot(loaded.model, loaded.encode, names, template.split("|"))
    unknown = getattr(loaded.tokenizer, "unk_id", None)
    if strange := [name for name in names if unknown in loaded.tokenizer.encode(name)]:
        warnings.warn(
            f"labels: the model does not know every word of {', '.join(map(repr, strange))}: their scores "
            "mean little",
            stacklevel=2,
        )
    files: list[str] = []
    pictures: list[Tensor] = []
    vectors: list[Tensor] = []
    failed: list[str] = []

    def look(path: str) -> tuple[Tensor, Tensor]:
        picture = read_picture(path)
        with about(path):
            return picture, embed_images(loaded.model, loaded.processor([picture]))

    for _, path, (picture, vector) in answered(inputs, look, failed):
        files.append(path)
        vectors.append(vector)
        if out is not None:
            pictures.append(thinned(picture))
    images = torch.cat(vectors)  # (N, D)
    rows: list[dict[str, Any]] = [{"image": path} for path in files]
    if namer is not None:
        shares, _ = softmax(namer.compared(images), -1)
        if out is not None:
            answers(pictures, names, shares, path=out)
        rows = [
            {"image": path, "label": names[place], "score": row[place].item()}
            for path, row in zip(files, shares, strict=True)
            for place in row.argsort(descending=True, stable=True).tolist()
        ]
    if embeddings is not None:
        save_embeddings(embeddings, files, images)
    check_all_answered(rows, failed, inputs)
    return rows


def evaluate(
    loaded: Loaded, *, data: str | None = None, among: int = 100, truncate: bool | None = None
) -> dict[str, float]:
    """Measure how well pictures find their captions and captions their pictures.

    Of scenes it is told twice: for captions of any wording, places, sizes and backgrounds included, and for
    those that name colour and kind alone; and how well scenes are named, see :func:`scene_accuracy`.

    Args:
        loaded: what :func:`load` returns.
        data: the pairs; if none are given, scenes or the part of the run's data kept for validation.
        among: pairs that each is looked for among; the mean over all such groups counts.
        truncate: whether captions that are too long are cut off; as in training if not given.

    Raises:
        ValueError: if there are fewer pairs than ``among``, that is below 2, a caption is too long, or the
            run's data have changed.
    """
    if among < 2:
        raise ValueError(f"among: expected at least 2, got {among}")
    fields = read_recipe(loaded.folder / RECIPE_FILE) if (loaded.folder / RECIPE_FILE).is_file() else {}
    fields = asdict(Recipe()) | {k: v for k, v in fields.items() if k != "model"}
    word = fields["data"] if data is None else data
    if word == SCENES:
        scenes = scene_pairs(fields, "seen", 10 * among, -3)
        named = {
            f"name, {what}": value for what, value in _recall(loaded, NamedScenes(scenes), among).items()
        }
        return _recall(loaded, ScenePairs(scenes), among) | named | scene_accuracy(loaded, fields)
    pairs = split_pairs(Recipe(**fields))[1] if data is None else open_pairs(word)
    if data is None:
        check_unchanged(loaded.folder, "data", pairs.print)
    return _recall(loaded, pairs, among, fields["truncate"] if truncate is None else truncate)


def _recall(loaded: Loaded, pairs: Pairs, among: int, truncate: bool = False) -> dict[str, float]:
    groups = len(pairs) // among
    if not groups:
        raise ValueError(f"eval: expected at least {among} pairs, got {len(pairs)}; lower --among")
    found: dict[str, list[float]] = {}
    for group in range(groups):
        numbers = range(group * among, (group + 1) * among)
        sentences = [pairs.caption(number) for number in numbers]
        images = embed_images(loaded.model, loaded.processor([pairs.picture(number) for number in numbers]))
        texts = embed_captions(loaded.model, loaded.encode(sentences, truncate))
        to_text, to_image = retrieval(images @ texts.mT, true_of(pairs, numbers, sentences))
        for way, result in (("image to text", to_text), ("text to image", to_image)):
            for k, share in result.recall.items():
                found.setdefault(f"{way}, recall@{k}", []).append(share)
            found.setdefault(f"{way}, median rank", []).append(result.median_rank)
    return {name: sum(values) / len(values) for name, values in found.items()}


def true_of(pairs: Pairs, numbers: Sequence[int], sentences: Sequence[str]) -> Tensor:
    """Says which captions are true of which pictures, bool ``(N, N)``.

    Of scenes everything is known; of other pictures all their own captions, and equal ones.
    """
    if not isinstance(pairs, ScenePairs):
        pictures = [pairs.picture_id(number) for number in numbers]
        own = set(zip(pictures, sentences, strict=True))
        return torch.tensor([[(picture, sentence) in own for sentence in sentences] for picture in pictures])
    rows = []
    for number in numbers:
        scene = pairs.scenes.scene(number)
        true = {*captions(scene), *attribute_captions(scene)}
        rows.append([sentence in true for sentence in sentences])
    return torch.tensor(rows)


def verify() -> Iterator[tuple[str, GradientReport]]:
    """Yields name and report of the gradients of small random models."""
    for stem, tower in (("patch", "vit"), ("conv", "vit"), ("patch", "resnet")):
        sizes: dict[str, Any] = {"image_size": 8, "patch_size": 4, "width": 8, "layers": 1, "heads": 2}
        config = MiniCLIPConfig.of_size(11, **sizes, stem=stem, tower=tower, eos_token_id=10)
        model = MiniCLIP(config, generator=torch.Generator().manual_seed(0))
        draw = torch.Generator().manual_seed(0)
        ids = torch.randint(10, (3, 5), generator=draw)
        ids[:, 4] = 10
        images = torch.randn(3, 3, 8, 8, generator=draw)
        yield f"MiniCLIP, {tower}, stem {stem!r}", check_gradients(model, ids, images, None, True)
