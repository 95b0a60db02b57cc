"""Training a MiniViT on labelled images, from pixels to a run folder, and what a run is good for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from ds_cnn.transforms import (
    CutMix,
    MixUp,
    RandAugment,
    RandomAffine,
    RandomChoice,
    RandomCrop,
    RandomHorizontalFlip,
)
from ds_core import AdamW, Callback, CrossEntropyLoss, History, Trainer, WarmupCosine, functional
from ds_core.data import train_test_split
from ds_core.drawing import check_figure
from ds_core.metrics import Accuracy, ConfusionMatrix
from ds_core.module import evaluating
from ds_core.training import CSVLog, MovingAverage, RunFolder
from ds_core.training.recipe import RECIPE_FILE, make_recipe, read_recipe, recipe_text
from ds_core.verify import GradientReport, check_gradients
from rich.console import Console

from ds_zoo.data.processor import PROCESSOR_FILE, ImageProcessor
from ds_zoo.groups import decay_groups
from ds_zoo.heads import Logits
from ds_zoo.runs import about, answered, check_all_answered, check_unchanged, finished, pictures_in
from ds_zoo.vit.data import SCENES, Augment, LabelledImages, load_processor, processor_of, read_images
from ds_zoo.vit.model import MiniViTConfig, MiniViTForImageClassification, pair

# What a run leaves behind, besides its checkpoint, its log and what describes it.
SPARED = ("position_embeddings", "cls_token")  # matrices that do not decay
RESULTS = ("config.json", "model*.safetensors*", "best.safetensors", "loss.png")
SAMPLES_OF_VALIDATION = 256


@dataclass(frozen=True)
class Recipe:
    """How to train: a setting with which a Transformer learns from some ten thousand small images.

    A convolution knows that neighbours belong together and that a thing moved is the same thing; a ViT has to
    learn it, so the data must say it: by flips, crops and changed colours.

    Args:
        data: the images to learn from, as imagefolder:FOLDER, hf:NAME[SPLIT], idx:FOLDER or scenes.
        channels: 3 for colour, 1 for grey; what suits the data if not given.
        image_size: height and width in pixels to which images are resized; their own if not given.
        patch: height and width of a patch.
        stem: how a patch becomes a vector: one matrix, or a few small convolutions.
        width: numbers that describe a patch.
        layers: number of layers.
        heads: attention heads of a layer.
        inner: inner width of the MLPs.
        pooling: what stands for the image: "mean" of the patches, or a token of its own, "cls".
        spread: standard deviation of the initial weights.
        dropout: share of numbers that are dropped in training.
        drop_path: share of images for which the last layer is left out.
        flip: whether images are mirrored at random.
        pad: pixels around an image from which a random crop is taken.
        turn: degrees by which images are turned at random, and up to half of which they are sheared.
        zoom: share by which they are made larger or smaller.
        changes: random changes of each image, of colour and place (RandAugment).
        strength: of these changes, from 0 to 1.
        mix: two images in one, by mixup or by cutmix: alpha of the shares; 0 for none.
        label_smoothing: how much of each label is spread over all classes.
        epochs: how often all images are seen.
        batch_size: images in a forward and backward.
        accumulate: batches in an optimizer step.
        lr: highest learning rate, reached after the warm-up.
        min_lr: learning rate at the end of the cosine.
        warmup: steps of the linear warm-up; a twentieth of all if not given.
        weight_decay: decay of matrices; biases and norms are not decayed.
        beta2: AdamW's second beta.
        clip: largest norm of all gradients together.
        ema: decay of the moving average of weights, which the model gets at the end; 0 for none.
        held_out: share of the images kept for validation.
        images: how many of the others to learn from; all if not given.
        validate_every: steps between validations; an epoch if not given.
        workers: processes that read and change images.
        seed: of initial weights, order, changes and what is dropped.
        engine: our own backwards, or torch's autograd.
        precision: of products of matrices; weights and all else stay float32.
    """

    data: str = "sklearn:digits"
    channels: int | None = None
    image_size: int | None = None
    patch: int = 4
    stem: Literal["patch", "conv"] = "patch"
    width: int = 64
    layers: int = 4
    heads: int = 4
    inner: int = 128
    pooling: Literal["mean", "cls"] = "mean"
    spread: float = 0.06
    dropout: float = 0.0
    drop_path: float = 0.0
    flip: bool = False
    pad: int = 0
    turn: float = 0.0
    zoom: float = 0.0
    changes: int = 0
    strength: float = 0.3
    mix: float = 0.0
    label_smoothing: float = 0.1
    epochs: int = 20
    batch_size: int = 64
    accumulate: int = 1
    lr: float = 1e-3
    min_lr: float = 1e-5
    warmup: int | None = None
    weight_decay: float = 0.05
    beta2: float = 0.99
    clip: float = 1.0
    ema: float = 0.99
    held_out: float = 0.1
    images: int | None = None
    validate_every: int | None = None
    workers: int = 0
    seed: int = 0
    engine: Literal["manual", "autograd"] = "manual"
    precision: Literal["float32", "bf16", "fp16"] = "float32"


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "digits": {
        **{"patch": 2, "stem": "conv", "layers": 3, "spread": 0.125, "pad": 1, "turn": 10.0, "zoom": 0.1},
        **{"epochs": 80, "ema": 0.995},
    },
    "fashion": {
        **{"stem": "conv", "layers": 3, "spread": 0.125, "flip": True, "lr": 2e-3, "label_smoothing": 0.05},
        **{"epochs": 11, "ema": 0.999, "held_out": 0.02},
    },
    "mini": {
        **{"width": 128, "layers": 6, "inner": 256, "spread": 0.04, "drop_path": 0.1},
        **{"flip": True, "pad": 4, "changes": 2, "mix": 0.8, "epochs": 100, "ema": 0.999},
    },
    "small": {
        **{"width": 192, "layers": 12, "heads": 3, "inner": 768, "spread": 0.02, "drop_path": 0.1},
        **{"flip": True, "pad": 4, "changes": 2, "mix": 0.8, "epochs": 200, "ema": 0.999},
    },
    "vit-base-16": {
        **{"image_size": 224, "patch": 16, "width": 768, "layers": 12, "heads": 12, "inner": 3072},
        **{"pooling": "cls", "spread": 0.02, "drop_path": 0.1, "flip": True, "pad": 16, "changes": 2},
        **{"strength": 0.9, "mix": 0.8, "epochs": 300, "batch_size": 64, "accumulate": 16, "workers": 8},
        **{"ema": 0.9999},
    },
}


@dataclass(frozen=True)
class Loaded:
    """A trained model, and how pictures are prepared for it."""

    model: MiniViTForImageClassification
    processor: ImageProcessor
    folder: Path


@dataclass(frozen=True)
class Run:
    """What a training leaves behind."""

    model: MiniViTForImageClassification
    processor: ImageProcessor
    history: History
    accuracy: float | None  # on the images held out; None if training ended before it could be measured
    chance: float  # the share of the most frequent class
    out: Path

    def show(self, console: Console) -> None:
        """Prints what was reached beside a blind guess, and what to try next."""
        if self.accuracy is None:
            console.print("\nEnded before the first validation.\n")
            return
        console.print(
            f"\nAccuracy [bold]{100 * self.accuracy:.2f} %[/] on images held out (always the most frequent "
            f"class: {100 * self.chance:.1f} %)\n",
            highlight=False,
        )
        folder = shlex.quote(str(self.out))
        for command in (f"predict {folder} IMAGE.png", f"eval {folder}"):
            console.print(f"Next: ds-zoo {command}", markup=False, soft_wrap=True)


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
    """Train a ViT to say what an image shows.

    The run folder holds ``recipe.toml``, ``config.json``, ``model.safetensors`` and
    ``preprocessor_config.json`` (readable by `transformers` if the pooling is "cls"), ``log.csv``,
    ``loss.png`` and, to resume from, ``checkpoint.safetensors``. It is written from the first step on, see
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
        CheckpointError: if there is nothing to resume, it is damaged, or of other images or other options;
            names them.
        ValueError: if images cannot be read, are all of one class, or an option is out of range.
    """
    out = Path(out)
    for name in ("accumulate", "images"):
        if (number := getattr(recipe, name)) is not None and number < 1:
            raise ValueError(f"{name}: expected at least 1, got {number}")
    images = read_images(recipe.data, size=_size(recipe), channels=recipe.channels)
    if len(found := images.labels.unique()) < 2:
        raise ValueError(
            f"{recipe.data}: expected images of two classes at least, to tell them apart, got only "
            f"{images.class_names[int(found[0])]!r}"
        )
    channels, *size = images.shape()
    learned, held_out = split(images, recipe)
    processor = processor_of(learned, (size[0], size[1]))
    files = {RECIPE_FILE: recipe_text("vit", recipe), PROCESSOR_FILE: processor.file_text()}
    folder = RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS, files=files)
    config = MiniViTConfig(
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=recipe.inner,
        image_size=(size[0], size[1]) if size[0] != size[1] else size[0],
        patch_size=recipe.patch,
        stem=recipe.stem,
        num_channels=channels,
        hidden_dropout_prob=recipe.dropout,
        drop_path_rate=recipe.drop_path,
        initializer_range=recipe.spread,
        pooling=recipe.pooling,
        labels=images.class_names,
    )
    model = MiniViTForImageClassification(config, generator=torch.Generator().manual_seed(recipe.seed))
    optimizer = AdamW(
        decay_groups(model, recipe.weight_decay, SPARED), lr=recipe.lr, betas=(0.9, recipe.beta2)
    )
    loader = learned.loader(
        recipe.batch_size,
        shuffle=True,
        seed=recipe.seed,
        workers=recipe.workers,
        transform=Augment(processor, *random_changes(recipe, (size[0], size[1]), config.num_labels)),
    )
    validation = held_out.loader(SAMPLES_OF_VALIDATION, transform=Augment(processor))
    steps = recipe.epochs * -(-len(loader) // recipe.accumulate)
    warmup = steps // 20 if recipe.warmup is None else recipe.warmup
    depends_on = {name: value for name, value in asdict(recipe).items() if name not in ("data", "workers")}
    means = [MovingAverage(recipe.ema)] if recipe.ema else []
    trainer = Trainer(
        Logits(model).requires_input_grad_(False),
        CrossEntropyLoss(label_smoothing=recipe.label_smoothing),
        optimizer,
        WarmupCosine(optimizer, warmup, steps, recipe.min_lr),
        engine=recipe.engine,
        precision=recipe.precision,
        metrics=["accuracy"],
        clip_norm=recipe.clip,
        accumulate=recipe.accumulate,
        callbacks=[folder, CSVLog(out / "log.csv"), *means, *callbacks],
        out=out,
        progress=progress,
        device=device,
        seed=recipe.seed,
        settings={"data": images.print, **depends_on},
    )
    accuracy = None
    try:
        with folder:
            history = trainer.fit(
                loader,
                validation=validation,
                epochs=recipe.epochs,
                validate_every=recipe.validate_every,
                resume=resume,
            )
            if trainer.leads and len(history):  # not where it was interrupted before the first step
                model.save_pretrained(out)
                history.plot(out / "loss.png")
                accuracy = trainer.evaluate(validation)["accuracy"]
    finally:
        loader.close()
    chance = held_out.labels.bincount().max().item() / len(held_out)
    return Run(model, processor, history, accuracy, chance, out)


def _size(recipe: Recipe) -> tuple[int, int] | None:
    return None if recipe.image_size is None else (recipe.image_size, recipe.image_size)


def _as_prepared(word: str, processor: ImageProcessor, test: bool = False) -> LabelledImages:
    """Reads images for a processor: files in their own size, scenes drawn in that which it makes."""
    size = processor.size if word == SCENES and isinstance(processor.size, tuple) else None
    return read_images(word, size=size, channels=processor.channels, test=test)


def split(images: LabelledImages, recipe: Recipe) -> tuple[LabelledImages, LabelledImages]:
    """Sets images aside, each class by its share: those to learn from, and those held out."""
    rows = torch.arange(len(images))
    try:
        learned, held_out = train_test_split(
            rows, test_size=recipe.held_out, seed=recipe.seed, stratify=images.labels
        )
    except ValueError:  # a class with a single image
        learned, held_out = train_test_split(rows, test_size=recipe.held_out, seed=recipe.seed)
    return images.part(learned[: recipe.images]), images.part(held_out)


def random_changes(recipe: Recipe, size: tuple[int, int], classes: int) -> list[Any]:
    """Returns what happens to images, of a size (height, width), while a model learns from them."""
    changes: list[Any] = []
    if recipe.flip:
        changes.append(RandomHorizontalFlip())
    if recipe.turn or recipe.zoom:
        scale = (1 - recipe.zoom, 1 + recipe.zoom)
        changes.append(
            RandomAffine(recipe.turn, scale=scale, shear=recipe.turn / 2, interpolation="bilinear")
        )
    if recipe.pad:
        changes.append(RandomCrop(size, padding=recipe.pad))
    if recipe.changes:
        changes.append(RandAugment(recipe.changes, recipe.strength))
    if recipe.mix:
        options: dict[str, Any] = {"alpha": recipe.mix, "num_classes": classes}
        changes.append(RandomChoice(MixUp(**options), CutMix(**options)))
    return changes


# ---- what a run is good for ----------------------------------------------------------------------------


def load(folder: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Reads a model, and how pictures are prepared for it, from a run folder.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
    """
    folder = finished(folder, "vit")
    model = MiniViTForImageClassification.from_pretrained(folder)
    size = pair(model.config.image_size)
    return Loaded(model.to(device), load_processor(folder, size, model.config.num_channels), folder)


def save(loaded: Loaded, folder: Path) -> str:
    """Write model and how pictures are prepared, as `transformers` reads them.

    Args:
        loaded: what :func:`load` returns.
        folder: where to; made if needed.
    """
    loaded.model.save_pretrained(folder)
    loaded.processor.save(folder)
    return f"wrote {folder}"


def predict(loaded: Loaded, inputs: list[str], *, top: int = 3) -> list[dict[str, Any]]:
    """Say what images show: a line for each label of each image, the likeliest first.

    Args:
        loaded: what :func:`load` returns.
        inputs: image files, or folders of some.
        top: how many labels of each.

    Returns:
        ``image``, ``label`` and ``score`` for each, see :func:`scores`.

    Raises:
        ValueError: if an image cannot be read, or the model cannot look at it; all others are answered
            nevertheless, see :class:`ds_core.checks.Partial`.
    """
    if top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    inputs, labels = pictures_in(inputs), loaded.model.config.labels
    found: list[dict[str, Any]] = []
    failed: list[str] = []

    def look(path: str) -> torch.Tensor:
        picture = loaded.processor.read(path)
        with about(path):
            return scores(loaded.model, loaded.processor([picture]))[0]

    for _, path, of_labels in answered(inputs, look, failed):
        best = of_labels.topk(min(top, len(labels)))
        for score, number in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            found.append({"image": path, "label": labels[number], "score": round(score, 4)})
    check_all_answered(found, failed, inputs)
    return found


def scores(model: MiniViTForImageClassification, pixels: torch.Tensor) -> torch.Tensor:
    """Returns the probability of each label for prepared images, ``(B, L)``; of a regression, its numbers."""
    device = next(model.parameters()).device
    with torch.no_grad(), evaluating(model):
        logits = model(pixels.to(device)).logits.cpu()
    problem = model.config.problem_type
    if problem == "regression" or model.config.num_labels == 1:
        return logits
    if problem == "multi_label_classification":
        return functional.sigmoid(logits)[0]
    return functional.softmax(logits, -1)[0]


def evaluate(
    loaded: Loaded, *, data: str | None = None, picture: str | None = None, batch_size: int = 256
) -> dict[str, float]:
    """Measure how often a model is right.

    Args:
        loaded: what :func:`load` returns.
        data: labelled images, as for training; if none are given, those that the run held out.
        picture: where the confusion matrix is drawn; "confusion.png" in the run folder if not given.
        batch_size: images at a time.

    Raises:
        OSError, ValueError: if the picture cannot be drawn there.
        ValueError: if the images have other classes, those of the run have changed, or the model does not
            choose one of several labels.
    """
    model, processor = loaded.model, loaded.processor
    place = loaded.folder / "confusion.png" if picture is None else picture
    check_figure(place)
    problem = model.config.problem_type or "single_label_classification"
    if problem != "single_label_classification" or model.config.num_labels == 1:
        raise ValueError(
            f"eval: expected one of several labels for each image, got a model of "
            f"{len(model.config.labels)} labels and problem_type {model.config.problem_type!r}"
        )
    if data is None:
        recipe = recipe_of(loaded.folder)
        everything = _as_prepared(recipe.data, processor)
        check_unchanged(loaded.folder, "data", everything.print)
        _, images = split(everything, recipe)
    else:
        images = _as_prepared(data, processor, test=True)
    images = images.prepared(processor)
    names = model.config.labels
    if len(images.class_names) > len(names) or set(images.class_names) - set(names):
        unknown = sorted(set(images.class_names) - set(names))
        raise ValueError(f"data: expected classes among {', '.join(names)}, got {', '.join(unknown)}")
    order = torch.tensor([names.index(name) for name in images.class_names])
    one, five, confused = Accuracy(), Accuracy(k=min(5, len(names))), ConfusionMatrix(classes=len(names))
    losses = 0.0
    for pixels, labels in images.loader(batch_size):
        chances, target = scores(model, processor.normalised(pixels)), order[labels]
        for metric in (one, five, confused):
            metric.update(chances, target)
        losses -= chances.gather(1, target[:, None]).clamp(min=1e-12).log().sum().item()
    confused.plot(place, names)
    return {
        "images": len(images),
        "accuracy": float(one.compute()),
        "top-5": float(five.compute()),
        "loss": losses / len(images),
    }


def recipe_of(folder: Path) -> Recipe:
    """Returns the recipe of a run.

    Raises:
        ValueError: if the folder is of no run: it does not say on what the model was trained.
    """
    if not (folder / RECIPE_FILE).is_file():
        raise ValueError(f"{folder}: has no {RECIPE_FILE}, so nobody knows its images; give --data")
    fields = read_recipe(folder / RECIPE_FILE)
    fields.pop("model", None)
    return make_recipe(Recipe, fields, str(folder / RECIPE_FILE))


def verify() -> Iterator[tuple[str, GradientReport]]:
    """Yields name and report of the gradients of small random models."""
    for pooling in ("cls", "mean"):
        config = MiniViTConfig(8, 2, 2, 12, 4, 2, 2, initializer_range=0.3, pooling=pooling)
        model = MiniViTForImageClassification(config, generator=torch.Generator().manual_seed(0))
        images = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
        yield f"MiniViT, pooling {pooling}", check_gradients(Logits(model), images)
