"""Training a MiniDETR on images with boxes, and what a run is good for."""

from __future__ import annotations

import csv
import json as json_file
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import torch
from ds_core import AdamW, Callback, History, LambdaLR, Module, Trainer
from ds_core.checks import check_whole
from ds_core.data.epochs import mixed_generator
from ds_core.drawing import FIGURES
from ds_core.module import evaluating
from ds_core.training import CSVLog, RunFolder
from ds_core.training.files import write_text
from ds_core.training.recipe import RECIPE_FILE, make_recipe, read_recipe, recipe_text
from ds_core.verify import GradientReport, check_gradients
from rich.console import Console

from ds_zoo.backbone import BackboneConfig
from ds_zoo.data.annotated import (
    AnnotatedImage,
    AnnotatedImages,
    Colour,
    Crop,
    Fit,
    Flip,
    Part,
    Preparation,
    Scale,
    SceneImages,
    average_precision,
    detection_batches,
    draw_objects,
    open_annotated,
    prepared,
    targets_of,
)
from ds_zoo.data.annotated.average_precision import Found, coco_results
from ds_zoo.data.annotated.batches import PROCESSOR_FILE
from ds_zoo.data.annotated.coco import coco_module
from ds_zoo.data.annotated.drawing import ENDINGS, write_picture
from ds_zoo.data.scenes import Scenes
from ds_zoo.detr.config import MiniDETRConfig
from ds_zoo.detr.detect import detect, detected
from ds_zoo.detr.matching import solver
from ds_zoo.detr.model import Layers, MiniDETR
from ds_zoo.detr.visualize import draw_matching, draw_query_attention, query_attention, surest
from ds_zoo.groups import backbone_groups
from ds_zoo.runs import (
    about,
    answered,
    check_all_answered,
    check_apart,
    check_unchanged,
    finished,
    pictures_in,
    places_of,
)

SCENES = "scenes"  # the data word
MEASURED_FILE, MATCHING_FILE = "measured.csv", "matching.png"
RESULTS = (
    *("config.json", "model*.safetensors*", "best.safetensors", "loss.png"),
    *(MEASURED_FILE, MATCHING_FILE),
)


@dataclass(frozen=True)
class Recipe:
    """How to train: the defaults learn scenes of one to five shapes from nothing, on two cores.

    The paper's queries know nothing of places and need long to learn them. ``anchored`` gives each a box to
    begin with, which every layer corrects; ``groups`` gives each object several queries to learn from.

    Args:
        data: "scenes", drawn as they are needed; coco:FILE.json, panoptic:FILE.json, voc:FOLDER,
            imagefolder:FOLDER with metadata.jsonl, or hf:NAME.
        validation: held-out data of the same classes; a tenth of the data, or other scenes, if not given.
        start: folder of a DETR to begin with, ours or of transformers; the sizes below are then its own.
        image_size: height and width of scenes.
        shapes: most shapes in a scene.
        shortest: pixels of images' shorter side; their own if not given.
        longest: most pixels of images' longer side.
        channels: of the backbone's first stage; each further one has twice as many.
        stages: of the backbone: with 3 the map is 16 times smaller than the image, with 4 it is 32 times.
        blocks: of each stage.
        width: C, of encoder and decoder.
        layers: of the encoder.
        decoder_layers: of the decoder.
        heads: attention heads of a layer.
        inner: inner width of the layers.
        queries: most objects that can be found in an image.
        groups: groups of queries that learn side by side; one is used afterwards.
        anchored: whether queries begin at boxes of their own, which every layer corrects.
        modulated: whether such queries see the image the less, the further off their box.
        nothing: weight of the class "nothing" in the loss.
        dropout: share of numbers that are dropped in training.
        flip: whether images are mirrored at random.
        zoom: by what factor images become smaller or larger at random, at most; 1 for none.
        crop: share of each side that a random part keeps at least; 1 for the whole image.
        colour: strength of random changes of colour, from 0 to 1.
        freeze: whether the backbone stays as it is.
        steps: optimizer steps.
        batch_size: images in a forward and backward.
        accumulate: batches in an optimizer step.
        lr: learning rate, reached after the warm-up.
        backbone_lr: the backbone's own.
        warmup: steps of the linear warm-up.
        fall: share of all steps at the end in which the learning rate falls to zero on a line.
        weight_decay: decay of matrices; biases and norms are not decayed.
        clip: largest norm of all gradients together.
        validate_every: steps between validations.
        measured: images of the held-out data that the average precision is taken from.
        workers: processes that read and change images.
        seed: of initial weights, order and changes.
        engine: our own backwards, or torch's autograd.
        precision: of products of matrices; weights and all else stay float32.
    """

    data: str = SCENES
    validation: str | None = None
    start: str | None = None
    image_size: int = 96
    shapes: int = 5
    shortest: int | None = None
    longest: int | None = None
    channels: int = 32
    stages: int = 3
    blocks: int = 1
    width: int = 128
    layers: int = 2
    decoder_layers: int = 3
    heads: int = 4
    inner: int = 256
    queries: int = 16
    groups: int = 4
    anchored: bool = True
    modulated: bool = False
    nothing: float = 0.1
    dropout: float = 0.0
    flip: bool = False
    zoom: float = 1.0
    crop: float = 1.0
    colour: float = 0.0
    freeze: bool = False
    steps: int = 3600
    batch_size: int = 32
    accumulate: int = 1
    lr: float = 5e-4
    backbone_lr: float = 5e-4
    warmup: int = 200
    fall: float = 0.25
    weight_decay: float = 1e-4
    clip: float = 1.0
    validate_every: int = 360
    measured: int = 200
    workers: int = 0
    seed: int = 0
    engine: Literal["manual", "autograd"] = "manual"
    precision: Literal["float32", "bf16", "fp16"] = "float32"


_PLAIN: dict[str, Any] = {"anchored": False, "groups": 1}
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        **{"channels": 16, "width": 64, "layers": 1, "decoder_layers": 2, "inner": 128, "groups": 2},
        **{"steps": 2000, "batch_size": 16, "validate_every": 500, "measured": 100},
    },
    "mini": {},
    "plain": _PLAIN,
    "photographs": {  # few, of many small objects
        **{"modulated": True, "stages": 2, "shortest": 160, "queries": 40, "batch_size": 8, "workers": 1},
        **{"flip": True, "zoom": 1.3, "crop": 0.7, "colour": 0.3},
        **{"steps": 3800, "lr": 4e-4, "backbone_lr": 4e-4, "warmup": 100, "fall": 0.3, "validate_every": 380},
    },
    "detr-resnet-50": {
        **_PLAIN,
        **{
            "start": "facebook/detr-resnet-50",
            "shortest": 800,
            "longest": 1333,
            "dropout": 0.1,
            "flip": True,
        },
        **{"crop": 0.6, "batch_size": 2, "accumulate": 8, "lr": 1e-4, "backbone_lr": 1e-5, "clip": 0.1},
        **{"workers": 4},
    },
}


@dataclass(frozen=True)
class Loaded:
    """A trained model, and how pictures are prepared for it."""

    model: MiniDETR
    preparation: Preparation
    folder: Path


@dataclass(frozen=True)
class Run:
    """What a training leaves behind."""

    model: MiniDETR
    preparation: Preparation
    history: History
    measured: dict[str, float]  # on held-out images, see average_precision; empty without a validation
    out: Path

    def show(self, console: Console) -> None:
        """Prints what was reached, and what to try next."""
        if not self.measured:
            console.print("\nEnded before the first validation.\n")
            return
        shown = ", ".join(f"{name} [bold]{self.measured[name]:.3f}[/]" for name in ("AP", "AP50"))
        console.print(f"\n{shown} on held-out images\n", highlight=False)
        folder = shlex.quote(str(self.out))
        for command in (f"predict {folder} IMAGE.png --out found.png", f"eval {folder}"):
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
    """Train a DETR: what is in an image, and where.

    The run folder holds ``recipe.toml``, ``config.json``, ``model.safetensors`` and
    ``preprocessor_config.json`` (readable by `transformers` if the backbone's norms are frozen and the
    queries the paper's), ``log.csv``, ``measured.csv`` with the average precision at each validation,
    ``matching.png`` with the queries that now learn from an image's objects, ``loss.png`` and, to resume
    from, ``checkpoint.safetensors``.

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
        CheckpointError: if there is nothing to resume, it is damaged, or of other images or other options.
        ValueError: if images cannot be read, or an option is out of range.
        ImportError: if scipy or pycocotools is missing.
    """
    out = Path(out)
    learned, held_out = split(recipe)
    solver(), coco_module("cocoeval")  # before anything is written: is what is needed there?
    model = make_model(recipe, learned.class_names)
    preparation = make_preparation(recipe)
    files = {RECIPE_FILE: recipe_text("detr", recipe), PROCESSOR_FILE: preparation.file_text()}
    folder = RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS, files=files)
    if recipe.freeze:
        model.backbone.requires_grad_(False)
    optimizer = AdamW(parameter_groups(model, recipe), lr=recipe.lr)
    batches = detection_batches(
        learned,
        preparation,
        recipe.batch_size,
        changes=random_changes(recipe, preparation),
        shuffle=recipe.data != SCENES,  # of which there are enough never to see one again
        seed=recipe.seed,
        workers=recipe.workers,
        drop_last=len(learned) >= recipe.batch_size,
    )
    measuring = Measuring(preparation, Part(held_out, list(range(min(len(held_out), recipe.measured)))))
    depends_on = {name: value for name, value in asdict(recipe).items() if name not in ("data", "workers")}
    trainer = Trainer(
        Layers(model),
        model.loss,
        optimizer,
        LambdaLR(optimizer, lambda step: share_of_rate(step, recipe)),
        engine=recipe.engine,
        precision=recipe.precision,
        clip_norm=recipe.clip,
        accumulate=recipe.accumulate,
        callbacks=[folder, CSVLog(out / "log.csv"), measuring, *callbacks],
        out=out,
        progress=progress,
        device=device,
        seed=recipe.seed,
        settings={"images": learned.print, **depends_on},
    )
    validation = list(detection_batches(measuring.images, preparation, recipe.batch_size))
    if not any(len(target["boxes"]) for _, _, targets in validation for target in targets):
        raise ValueError(
            f"{recipe.validation or recipe.data}: expected an object on at least one of the "
            f"{len(measuring.images)} images held out; give others as validation, or another seed"
        )
    try:
        with folder:
            history = trainer.fit(
                batches,
                validation=validation,
                steps=recipe.steps,
                validate_every=recipe.validate_every,
                resume=resume,
            )
            if trainer.leads and len(history):
                model.save_pretrained(out)
                history.plot(out / "loss.png")
    finally:
        batches.close()
    return Run(model, preparation, history, measuring.latest, out)


# ---- what a recipe asks for ----------------------------------------------------------------------------


def make_model(recipe: Recipe, class_names: Sequence[str]) -> MiniDETR:
    """Makes the model: a new one, or one that begins with another's weights and new classes."""
    generator = torch.Generator().manual_seed(recipe.seed)
    if recipe.start is not None:
        begun = MiniDETR.from_pretrained(recipe.start)
        config = replace(
            begun.config,
            labels=tuple(class_names),
            auxiliary_loss=True,
            dropout=recipe.dropout,
            eos_coefficient=recipe.nothing,
        )
        model = MiniDETR(config, generator=generator)
        state = begun.state_dict()
        if config.labels != begun.config.labels:
            new = model.state_dict()
            state |= {name: t for name, t in new.items() if name.startswith("class_labels_classifier.")}
        model.load_state_dict(state)
        return model
    sizes = tuple(recipe.channels * 2**stage for stage in range(recipe.stages))
    config = MiniDETRConfig(
        BackboneConfig(3, recipe.channels, sizes, (recipe.blocks,) * recipe.stages, "basic", "group"),
        recipe.width,
        *(recipe.layers, recipe.decoder_layers, recipe.heads, recipe.heads, recipe.inner, recipe.inner),
        num_queries=recipe.queries,
        dropout=recipe.dropout,
        auxiliary_loss=True,
        eos_coefficient=recipe.nothing,
        labels=tuple(class_names),
        anchored=recipe.anchored,
        modulated=recipe.modulated,
        query_groups=recipe.groups,
    )
    return MiniDETR(config, generator=generator)


def make_preparation(recipe: Recipe) -> Preparation:
    """Says how pictures become numbers: as the model that training begins with has it, or as asked for."""
    begun = Preparation()
    if recipe.start is not None and Path(recipe.start).is_dir():
        begun = Preparation.load(recipe.start)
    shortest = begun.shortest if recipe.shortest is None else recipe.shortest
    longest = begun.longest if recipe.longest is None else recipe.longest
    return replace(begun, shortest=shortest, longest=longest)


def split(recipe: Recipe) -> tuple[AnnotatedImages, AnnotatedImages]:
    """Returns the images to learn from, and those held out."""
    if recipe.measured < 1:
        raise ValueError(f"measured: expected at least 1 image, got {recipe.measured}")
    images: AnnotatedImages
    if recipe.data == SCENES:
        check_whole(
            "train detr", steps=recipe.steps, batch_size=recipe.batch_size, accumulate=recipe.accumulate
        )
        count = recipe.steps * recipe.batch_size * recipe.accumulate
        images = scene_images(recipe, count, recipe.seed + 1)
        if recipe.validation is None:
            return images, scene_images(recipe, recipe.measured, -1)
    else:
        images = open_annotated(recipe.data)
    if recipe.validation is not None:
        held_out = open_annotated(recipe.validation, names=tuple(images.class_names))
        if held_out.class_names != images.class_names:
            raise ValueError(
                f"{recipe.validation}: expected the classes {', '.join(images.class_names)}, got "
                f"{', '.join(held_out.class_names)}"
            )
        return images, held_out
    order = torch.randperm(len(images), generator=mixed_generator(recipe.seed)).tolist()
    kept = max(1, len(order) // 10)
    if len(order) < 2:
        raise ValueError(
            f"{recipe.data}: expected two images at least, one of them held out; got {len(order)}"
        )
    return Part(images, order[kept:]), Part(images, order[:kept])


def scene_images(recipe: Recipe, count: int, seed: int) -> SceneImages:
    """Makes scenes as a recipe wants them."""
    return SceneImages(Scenes(count, seed=seed, size=recipe.image_size, objects=(1, recipe.shapes)))


def random_changes(recipe: Recipe, preparation: Preparation) -> list[Any]:
    """Lists what happens to images while a model learns from them."""
    changes: list[Any] = [Flip()] if recipe.flip else []
    if recipe.crop != 1:
        changes.append(Crop(recipe.crop, 0.5))
    changes.append(preparation.fit())
    if recipe.zoom < 1:
        raise ValueError(f"zoom: expected a factor of at least 1, got {recipe.zoom}")
    if recipe.zoom > 1:
        changes.append(Scale(1 / recipe.zoom, recipe.zoom))
        if recipe.longest is not None:
            changes.append(Fit(None, recipe.longest))
    if recipe.colour:  # last, when there are fewest pixels
        changes.append(Colour(recipe.colour))
    return changes


def parameter_groups(model: MiniDETR, recipe: Recipe) -> list[dict[str, Any]]:
    """Sorts parameters: those of the backbone have a rate of their own, and only matrices decay."""
    spared = ("anchors", "query_position_embeddings.weight")
    return backbone_groups(model, recipe.lr, recipe.backbone_lr, recipe.weight_decay, spared)


def share_of_rate(step: int, recipe: Recipe) -> float:
    """Returns the share of the learning rate at a step: it rises on a line, stays, and falls on a line."""
    rise = min(1.0, (step + 1) / max(1, recipe.warmup))
    left = (recipe.steps - step) / max(1.0, recipe.fall * recipe.steps)
    return max(0.0, min(rise, left))


# ---- during training -----------------------------------------------------------------------------------


class Measuring(Callback):
    """Takes the average precision at every validation; fills ``measured.csv`` and ``matching.png``.

    Args:
        preparation: how pictures become numbers.
        images: held out.
    """

    writes = True

    def __init__(self, preparation: Preparation, images: AnnotatedImages) -> None:
        self.preparation, self.images = preparation, images
        self.rows: list[dict[str, float]] = []
        self.latest: dict[str, float] = {}

    def on_validation_end(self, trainer: Trainer) -> None:
        pairs = detected(_detr(trainer.model), self.preparation, self.images)
        self.latest = average_precision(pairs, self.images.class_names)
        row = {"step": float(trainer.step), **{name: self.latest[name] for name in ("AP", "AP50", "AP75")}}
        self.rows = [one for one in self.rows if one["step"] < trainer.step] + [row]
        if trainer.progress:
            print(f"step {trainer.step}: AP {row['AP']:.3f}, AP50 {row['AP50']:.3f}", flush=True)
        if trainer.out is not None and len(trainer.history):
            table = StringIO()
            writer = csv.DictWriter(table, list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            write_text(trainer.out / MEASURED_FILE, table.getvalue())
            self._draw_matching(trainer, trainer.out / MATCHING_FILE)

    def _draw_matching(self, trainer: Trainer, path: Path) -> None:
        """Draws which query would now learn from which object of the first image that has some."""
        model = _detr(trainer.model)
        device = next(model.parameters()).device
        images = (self.images[number] for number in range(len(self.images)))
        image = next((one for one in images if len(one.without_crowds().labels)), None)
        if image is None:
            return
        pixels, mask = (t.to(device) for t in prepared([image], self.preparation))
        target = {name: t.to(device) for name, t in targets_of(image).items()}
        with torch.no_grad(), evaluating(model):
            output = model(pixels, mask, [target])
        assert model.loss.matched is not None
        last = int(model.loss.matched.images.max())
        drawn = draw_matching(
            image.pixels, output.pred_boxes[0], target["boxes"], model.loss.matched, image=last
        )
        drawn.save(path)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows = [dict(row) for row in state["rows"]]


def _detr(model: Module) -> MiniDETR:
    assert isinstance(model, Layers)
    return model.model


# ---- what a run is good for ----------------------------------------------------------------------------


def load(folder: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Reads a model, and how pictures are prepared for it, from a run folder.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
    """
    folder = finished(folder, "detr")
    return Loaded(MiniDETR.from_pretrained(folder).to(device), Preparation.load(folder), folder)


def save(loaded: Loaded, folder: Path) -> str:
    """Write model and preparation as `transformers` reads them.

    Args:
        loaded: what :func:`load` returns.
        folder: where to; made if needed.
    """
    loaded.model.save_pretrained(folder)
    write_text(Path(folder) / PROCESSOR_FILE, loaded.preparation.file_text())
    return f"wrote {folder}"


def predict(
    loaded: Loaded,
    inputs: list[str],
    *,
    threshold: float = 0.5,
    out: str | None = None,
    json: str | None = None,
    attention: str | None = None,
) -> list[dict[str, Any]]:
    """Find objects in pictures.

    A warning says on how many of them nothing was found, and how sure the model was of the surest.

    Args:
        loaded: what :func:`load` returns.
        inputs: image files, or folders of some.
        threshold: how sure the model must be, from 0 to 1.
        out: where the picture with boxes, labels and scores is written; of several pictures, a folder.
        json: where what was found is written as COCO's results; image_id is the place of the picture among
            all, category_id that of the class.
        attention: where a picture is written of what the surest queries look at; of several pictures, a
            folder.

    Raises:
        FileExistsError: if one of the pictures would be written over.
        OSError, ValueError: if what is to be written has no place of its own, or none at all.
        ValueError: if a picture cannot be read, or the model cannot look at it; all others are answered
            nevertheless, see :class:`ds_core.checks.Partial`.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold: expected a number from 0 to 1, got {threshold}")
    inputs, names = pictures_in(inputs), loaded.model.config.labels
    rows: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    failed: list[str] = []
    bare: list[str] = []  # on which nothing was found

    def look(path: str) -> tuple[AnnotatedImage, Found]:
        image = AnnotatedImage.read(path)
        with about(path):
            return image, detect(loaded.model, loaded.preparation, [image], 0.0)[0]

    drawn = places_of(out, inputs, ENDINGS)
    looked_at = places_of(attention, inputs, FIGURES)
    check_apart([*drawn, *looked_at, json], inputs)
    for number, path, (image, seen) in answered(inputs, look, failed):
        sure = seen.scores > threshold
        found = Found(seen.scores[sure], seen.labels[sure], seen.boxes[sure])
        if not len(found.scores):
            bare.append(f"{path}, where the surest of all is {_surest(seen, names)}")
        results += coco_results(found, number, range(len(names)))
        for score, label, box in zip(*(t.tolist() for t in found[:3]), strict=True):
            left, top, right, bottom = (round(side, 1) for side in box)
            rows.append(
                {
                    "image": path,
                    "label": names[label],
                    "score": round(score, 3),
                    **{"left": left, "top": top, "right": right, "bottom": bottom},
                }
            )
        if out is not None:
            labels, scores = found.labels.tolist(), found.scores.tolist()
            picture = draw_objects(image.pixels, found.boxes, labels, names, scores)
            write_picture(picture, drawn[number])
        if attention is not None:
            what_queries_see(loaded, image, looked_at[number])
    if json is not None:
        write_text(Path(json), json_file.dumps(results) + "\n")
    if bare:
        warnings.warn(
            f"nothing is surer than {threshold} on {len(bare)} of {len(inputs)} pictures (first: {bare[0]}); "
            "a lower threshold shows more",
            stacklevel=2,
        )
    check_all_answered(rows, failed, inputs)
    return rows


def _surest(seen: Found, names: Sequence[str]) -> str:
    """Says what a model was surest of: ``"circle" with 0.31``."""
    if not len(seen.scores):
        return "nothing"
    surest = int(seen.scores.argmax())
    return f'"{names[int(seen.labels[surest])]}" with {float(seen.scores[surest]):.2f}'


def what_queries_see(loaded: Loaded, image: AnnotatedImage, path: Path) -> None:
    """Draws what the queries look at that are surest to see something."""
    model = loaded.model
    device = next(model.parameters()).device
    pixels, mask = (t.to(device) for t in prepared([image], loaded.preparation))
    maps = query_attention(model, pixels, mask)[0].cpu()
    with torch.no_grad(), evaluating(model):
        logits = model(pixels, mask).logits
    chosen, titles = surest(logits[0].cpu(), model.config.labels)
    draw_query_attention(loaded.preparation.shown(pixels[0].cpu()), maps[chosen], titles, path=path)


def evaluate(
    loaded: Loaded, *, data: str | None = None, images: int = 500, batch_size: int = 16
) -> dict[str, float]:
    """Measure how well a model finds objects: COCO's average precision.

    Classes are told apart by their names. What the model finds of a class that the data do not have, as a
    published model's of COCO does, is not counted.

    Args:
        loaded: what :func:`load` returns.
        data: images with boxes, as for training; if none are given, those that the run held out, or scenes
            that it has not seen.
        images: at most so many.
        batch_size: images at a time.
    """
    if min(images, batch_size) < 1:
        raise ValueError(f"eval: expected at least 1, got {images=} and {batch_size=}")
    source: AnnotatedImages
    if data is None:
        recipe = recipe_of(loaded.folder)
        if recipe.data == SCENES and recipe.validation is None:
            source = scene_images(recipe, images, -2)
        else:
            learned, source = split(recipe)
            if recipe.validation is None:
                check_unchanged(loaded.folder, "images", learned.print)
    elif data == SCENES:
        source = scene_images(Recipe(), images, -2)
    else:
        source = open_annotated(data, names=loaded.model.config.labels)
    names, labels = list(source.class_names), loaded.model.config.labels
    if strange := [name for name in names if name not in labels]:
        raise ValueError(
            f"data: expected classes of {', '.join(labels)}, which the model knows, got {', '.join(strange)}"
        )
    numbers = [names.index(label) if label in names else -1 for label in labels]
    chosen = Part(source, list(range(min(images, len(source)))))
    pairs = (
        (image, found.renumbered(numbers))
        for image, found in detected(loaded.model, loaded.preparation, chosen, batch_size)
    )
    return {"images": float(len(chosen)), **average_precision(pairs, names)}


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
    """Yields name and report of the gradients of small random models, their loss included."""
    backbone = BackboneConfig(3, 4, (4, 8), (1, 1), "basic", "group")
    config = MiniDETRConfig(backbone, 8, 1, 2, 2, 2, 12, 12, 4, dropout=0.0, auxiliary_loss=True)
    model = MiniDETR(config, generator=torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():  # at the start queries are zero, and a norm of zeros is too steep for differences
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=draw)
    labels = [
        {"class_labels": torch.tensor([1, 0]), "boxes": 0.2 + 0.3 * torch.rand(2, 4, generator=draw)},
        {"class_labels": torch.tensor([1]), "boxes": 0.2 + 0.3 * torch.rand(1, 4, generator=draw)},
    ]
    yield (
        "MiniDETR with its loss",
        check_gradients(model, torch.randn(2, 3, 24, 24, generator=draw), None, labels, max_entries=2),
    )
