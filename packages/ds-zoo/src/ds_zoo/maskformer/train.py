"""Training a MiniMaskFormer on images and masks, from pixels to a run folder, and what a run is good for."""

from __future__ import annotations

import json as json_file
import math
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from ds_core import AdamW, Callback, History, Trainer, WarmupCosine
from ds_core.checks import check_whole
from ds_core.data.epochs import mixed_generator
from ds_core.drawing import FIGURES
from ds_core.initializers import normal_
from ds_core.module import evaluating
from ds_core.training import CSVLog, MovingAverage, RunFolder
from ds_core.training.files import write_text
from ds_core.training.recipe import RECIPE_FILE, make_recipe, read_recipe, recipe_text
from ds_core.verify import GradientReport, check_gradients
from PIL import Image
from rich.console import Console
from torch import Tensor

from ds_zoo.backbone import BackboneConfig
from ds_zoo.data.annotated.average_precision import Found, average_precision, coco_results
from ds_zoo.data.annotated.batches import PROCESSOR_FILE, Preparation, detection_batches, prepared
from ds_zoo.data.annotated.changes import Change, Colour, Crop, Flip, Scale
from ds_zoo.data.annotated.drawing import ENDINGS, write_picture
from ds_zoo.data.annotated.image import AnnotatedImage, AnnotatedImages, Part, box_of
from ds_zoo.data.annotated.source import SceneImages, open_annotated
from ds_zoo.data.scenes import Scenes
from ds_zoo.detr.matching import solver
from ds_zoo.detr.visualize import draw_query_attention, surest
from ds_zoo.groups import backbone_groups
from ds_zoo.maskformer.config import DecoderConfig, MiniMaskFormerConfig
from ds_zoo.maskformer.data import VOID, class_maps, classes_of, targets_of
from ds_zoo.maskformer.metrics import PanopticQuality, SemanticScores
from ds_zoo.maskformer.model import Layers, MiniMaskFormer
from ds_zoo.maskformer.segments import (
    Said,
    Segmentation,
    class_scores,
    instances,
    panoptic,
    semantic,
    whole_images,
)
from ds_zoo.maskformer.visualize import draw_matching, draw_segments, query_attention
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

# What a run leaves behind, besides its checkpoint, its log and what describes it.
MATCHING_FILE = "matching.png"
RESULTS = (
    *("config.json", "model*.safetensors*", "best.safetensors", "loss.png", "found.png"),
    MATCHING_FILE,
)
SCENES = "scenes"  # the data word
HELD_OUT = 10**7  # number of the first scene that no training sees
SHOWN = 6  # images in a picture of what was found

Kind = Literal["panoptic", "instance", "semantic"]


@dataclass(frozen=True)
class Recipe:
    """How to train: the defaults learn scenes of up to five shapes on two cores.

    Args:
        data: the images and masks: "scenes", drawn as they are needed; coco:FILE.json, panoptic:FILE.json,
            labelmaps:FOLDER or hf:NAME.
        validation: held-out data of the same classes; a share of the data, or other scenes, if not given.
        classes: a CSV table of label maps' classes, name and id or name and red, green, blue; a folder's
            classes.csv if not given, or else the numbers that occur.
        image_size: pixels of the shorter side.
        longest: most pixels of the longer side; twice the shorter one if not given.
        objects: most shapes in a scene.
        stem: channels of the backbone's first stage; each further stage has twice as many.
        stages: of the backbone, up to four; each halves the map.
        blocks: of each stage.
        width: C, numbers that describe a query.
        layers: of the decoder.
        heads: attention heads of a layer.
        inner: inner width of the layers.
        queries: most segments of an image.
        pyramid: channels of the pixel decoder, a multiple of 32.
        embedding: numbers by which queries and places are compared.
        masked_attention: whether queries look only where the layer before saw their segment.
        multi_scale: whether the decoder's layers look at the pixel decoder's maps in turn, smallest first.
        finer: by how much masks are finer than a quarter of the image's size.
        auxiliary: whether every layer is told what is wrong, or the last one alone.
        nothing: weight of the class "nothing".
        class_weight: of the class in the loss.
        mask_weight: of the focal loss.
        dice_weight: of the dice loss.
        dropout: share of numbers that are dropped in training.
        flip: whether images are mirrored at random; shapes in scenes are what they are either way.
        zoom: by how much images are made larger or smaller at random.
        crop: least share of each side that random crops keep; 1 for no crops.
        colour: strength of random changes of colour.
        steps: optimizer steps.
        batch_size: images in a forward and backward.
        lr: highest learning rate, reached after the warm-up.
        backbone_lr: of the backbone, as a share of it.
        min_lr: learning rate at the end of the cosine.
        warmup: steps of the linear warm-up.
        weight_decay: decay of matrices; biases and norms are not decayed.
        clip: largest norm of all gradients together.
        ema: decay of the moving average of weights, which the model gets at the end; 0 for none.
        held_out: share of the images kept for validation.
        held_out_scenes: how many scenes are, all of them others than those learned from.
        validate_every: steps between validations; a tenth of all if not given.
        workers: processes that read and change images.
        seed: of initial weights, order, changes and what is dropped.
        engine: our own backwards, or torch's autograd.
        precision: of products of matrices; weights and all else stay float32.
    """

    data: str = SCENES
    validation: str | None = None
    classes: str | None = None
    image_size: int = 96
    longest: int | None = None
    objects: int = 5
    stem: int = 32
    stages: int = 3
    blocks: int = 1
    width: int = 128
    layers: int = 3
    heads: int = 4
    inner: int = 256
    queries: int = 16
    pyramid: int = 64
    embedding: int = 32
    masked_attention: bool = True
    multi_scale: bool = True
    finer: int = 2
    auxiliary: bool = True
    nothing: float = 0.4
    class_weight: float = 2.0
    mask_weight: float = 20.0
    dice_weight: float = 1.0
    dropout: float = 0.0
    flip: bool = False
    zoom: float = 0.0
    crop: float = 1.0
    colour: float = 0.0
    steps: int = 9400
    batch_size: int = 8
    lr: float = 5e-4
    backbone_lr: float = 1.0
    min_lr: float = 1e-5
    warmup: int = 100
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.998
    held_out: float = 0.2
    held_out_scenes: int = 200
    validate_every: int | None = None
    workers: int = 0
    seed: int = 0
    engine: Literal["manual", "autograd"] = "manual"
    precision: Literal["float32", "bf16", "fp16"] = "float32"


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"stem": 16, "width": 64, "inner": 128},
    "mini": {},
    "plain": {"masked_attention": False, "multi_scale": False, "finer": 1, "embedding": 64},
    "photographs": {
        **{"stages": 4, "image_size": 192, "flip": True, "zoom": 0.3, "crop": 0.6},
        **{"colour": 0.3, "dropout": 0.1, "steps": 2500, "lr": 4e-4},
    },
}


@dataclass(frozen=True)
class Loaded:
    """A trained model, and how pictures are prepared for it."""

    model: MiniMaskFormer
    preparation: Preparation
    folder: Path


@dataclass(frozen=True)
class Run:
    """What a training leaves behind."""

    model: MiniMaskFormer
    history: History
    scores: dict[str, float]  # on images held out; empty if training ended before it could be measured
    out: Path

    def show(self, console: Console) -> None:
        """Prints what was reached, and what to try next."""
        if not self.scores:
            console.print("\nEnded before the first step.\n")
            return
        alone = self.scores.get("pq_things")
        things = "" if alone is None else f", of things alone {alone:.3f}"
        console.print(
            f"\nOn images held out: mean IoU [bold]{self.scores['mean_iou']:.3f}[/], PQ "
            f"[bold]{self.scores['pq']:.3f}[/]{things}\n",
            highlight=False,
        )
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
    """Train a MaskFormer to cut images into segments.

    The run folder holds ``recipe.toml``, ``config.json``, ``model.safetensors`` and
    ``preprocessor_config.json``, ``log.csv``, ``matching.png`` (which query now learns which segment of an
    image held out), ``loss.png``, ``found.png`` (what is found on some images held out) and, to resume from,
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
        CheckpointError: if there is nothing to resume, it is damaged, or of other images or other options;
            names them.
        ValueError: if images cannot be read, or an option is out of range.
    """
    out = Path(out)
    learned, held_out = open_images(recipe)
    preparation = preparation_of(recipe)
    solver()  # before anything is written: is what matching needs there?
    config = config_of(recipe, learned)
    texts = {
        RECIPE_FILE: recipe_text("maskformer", recipe),
        PROCESSOR_FILE: preparation.file_text("MaskFormerImageProcessor"),
    }
    folder = RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS, files=texts)
    model = MiniMaskFormer(config, generator=torch.Generator().manual_seed(recipe.seed))
    backbone_lr = recipe.backbone_lr * recipe.lr
    spared = ("queries_embedder.weight",)
    groups = backbone_groups(model, recipe.lr, backbone_lr, recipe.weight_decay, spared)
    optimizer = AdamW(groups, lr=recipe.lr)
    targets = partial(targets_of, stuff=learned.stuff)
    segments: dict[str, Any] = {"targets": targets, "masked": False}
    loader = detection_batches(
        learned,
        preparation,
        recipe.batch_size,
        **segments,
        changes=random_changes(recipe, preparation),
        shuffle=recipe.data != SCENES,  # each scene is new as it is
        seed=recipe.seed,
        workers=recipe.workers,
        drop_last=len(learned) >= recipe.batch_size,
    )
    validation = detection_batches(held_out, preparation, recipe.batch_size, **segments)
    depends_on = {name: value for name, value in asdict(recipe).items() if name not in ("data", "workers")}
    trainer = Trainer(
        Layers(model).requires_input_grad_(False),
        model.loss,
        optimizer,
        WarmupCosine(optimizer, recipe.warmup, recipe.steps, recipe.min_lr),
        engine=recipe.engine,
        precision=recipe.precision,
        clip_norm=recipe.clip,
        callbacks=[
            *(folder, CSVLog(out / "log.csv"), Matching(preparation, held_out, targets)),
            *([MovingAverage(recipe.ema)] if recipe.ema else []),
            *callbacks,
        ],
        out=out,
        progress=progress,
        device=device,
        seed=recipe.seed,
        settings={"images": learned.print, **depends_on},
    )
    every = max(1, recipe.steps // 10) if recipe.validate_every is None else recipe.validate_every
    scores: dict[str, float] = {}
    try:
        with folder:
            history = trainer.fit(
                loader,
                validation=validation,
                steps=recipe.steps,
                validate_every=every,
                resume=resume,
            )
            if trainer.leads and len(history):  # not where it was interrupted before the first step
                model.save_pretrained(out)
                history.plot(out / "loss.png")
                loaded = Loaded(model.eval(), preparation, out)
                scores = measure(loaded, held_out)
                picture(loaded, held_out).save(out / "found.png")
    finally:
        loader.close()
    return Run(model, history, scores, out)


def config_of(recipe: Recipe, images: AnnotatedImages) -> MiniMaskFormerConfig:
    """Returns the size and shape of the model: the classes are those of the images' pixels."""
    labels, fused = classes_of(images)
    sizes = tuple(recipe.stem << stage for stage in range(recipe.stages))
    return MiniMaskFormerConfig(
        BackboneConfig(3, recipe.stem, sizes, (recipe.blocks,) * recipe.stages, "basic", "group"),
        DecoderConfig(
            *(recipe.width, recipe.queries, recipe.layers, recipe.heads, recipe.inner),
            dropout=recipe.dropout,
        ),
        recipe.pyramid,
        recipe.embedding,
        no_object_weight=recipe.nothing,
        use_auxiliary_loss=recipe.auxiliary,
        dice_weight=recipe.dice_weight,
        cross_entropy_weight=recipe.class_weight,
        mask_weight=recipe.mask_weight,
        labels=labels,
        masked_attention=recipe.masked_attention,
        multi_scale=recipe.multi_scale,
        finer_masks=recipe.finer,
        label_ids_to_fuse=fused,
    )


def preparation_of(recipe: Recipe) -> Preparation:
    """Returns how pictures become numbers: sides are padded until the smallest map has whole places."""
    if recipe.data == SCENES:
        return Preparation(None, None, (0.5,) * 3, (0.25,) * 3, 2 << recipe.stages)
    return Preparation(
        recipe.image_size, recipe.longest or 2 * recipe.image_size, multiple=2 << recipe.stages
    )


def random_changes(recipe: Recipe, preparation: Preparation) -> list[Change]:
    """Returns what happens to images while a model learns from them."""
    changes: list[Change] = [preparation.fit()]
    if recipe.zoom:
        changes.append(Scale(1 - recipe.zoom, 1 + recipe.zoom))
    if recipe.crop != 1:
        changes.append(Crop(recipe.crop))
    if recipe.flip:
        changes.append(Flip())
    if recipe.colour:
        changes.append(Colour(recipe.colour))
    return changes


def open_images(recipe: Recipe) -> tuple[AnnotatedImages, AnnotatedImages]:
    """Opens the images to learn from, and those held out."""
    images: AnnotatedImages
    if recipe.data == SCENES:
        check_whole("train maskformer", steps=recipe.steps, batch_size=recipe.batch_size)
        images = scenes(recipe, recipe.steps * recipe.batch_size, 0)
        if recipe.classes is not None and recipe.validation is None:
            raise ValueError("classes: a table of classes is for label maps alone, got scenes")
        if recipe.validation is None:
            return images, scenes(recipe, recipe.held_out_scenes, HELD_OUT)
    else:
        images = open_annotated(recipe.data, masks=True, classes=recipe.classes)
    if recipe.validation is not None:
        held_out = open_annotated(recipe.validation, masks=True, classes=recipe.classes)
        if classes_of(held_out) != classes_of(images):
            raise ValueError(
                f"{recipe.validation}: expected the classes {', '.join(images.class_names)}, got "
                f"{', '.join(held_out.class_names)}"
            )
        return images, held_out
    if not 0 < recipe.held_out < 1:
        raise ValueError(f"held_out: expected a share between 0 and 1, got {recipe.held_out}")
    if len(images) < 2:
        raise ValueError(
            f"{recipe.data}: expected two images at least, one of them held out; got {len(images)}"
        )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(recipe.seed)).tolist()
    aside = min(max(1, round(recipe.held_out * len(images))), len(images) - 1)
    return Part(images, sorted(order[aside:])), Part(images, sorted(order[:aside]))


def scenes(recipe: Recipe, count: int, start: int) -> SceneImages:
    """Returns scenes as a recipe wants them."""
    drawn = Scenes(count, seed=recipe.seed, size=recipe.image_size, objects=(1, recipe.objects), start=start)
    return SceneImages(drawn, ("masks",))


# ---- during training -----------------------------------------------------------------------------------


class Matching(Callback):
    """Draws at every validation which query would learn from which segment; fills ``matching.png``.

    Args:
        preparation: how pictures become numbers.
        images: held out; the first of them is drawn.
        targets: what is learned from an image.
    """

    writes = True

    def __init__(
        self,
        preparation: Preparation,
        images: AnnotatedImages,
        targets: Callable[[AnnotatedImage], dict[str, Tensor]],
    ) -> None:
        self.preparation, self.images, self.targets = preparation, images, targets

    def on_validation_end(self, trainer: Trainer) -> None:
        assert isinstance(trainer.model, Layers)
        model = trainer.model.model
        device = next(model.parameters()).device
        image = self.preparation.fit()(self.images[0], mixed_generator(0))
        target = {name: t.to(device) for name, t in self.targets(image).items()}
        if trainer.out is None or not len(target["class_labels"]) or not len(trainer.history):
            return
        pixels, _ = self.preparation.batch([image])
        with torch.no_grad(), evaluating(model):
            output = model(pixels.to(device), [target["masks"]], [target["class_labels"]])
        assert model.loss.matched is not None
        last = int(model.loss.matched.images.max())
        size = (pixels.shape[2], pixels.shape[3])
        (said,) = whole_images(output, size, [image.size], [image.size])
        drawn = draw_matching(
            image.pixels, said.masks_queries_logits[0], target["masks"], model.loss.matched, image=last
        )
        drawn.save(trainer.out / MATCHING_FILE)


# ---- what a run is good for ----------------------------------------------------------------------------


def load(folder: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Reads a model, and how pictures are prepared for it, from a run folder or one of `transformers`.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
    """
    folder = finished(folder, "maskformer")
    return Loaded(MiniMaskFormer.from_pretrained(folder).to(device), Preparation.load(folder), folder)


def save(loaded: Loaded, folder: Path) -> str:
    """Write model and how pictures are prepared, as `transformers` reads them.

    Args:
        loaded: what :func:`load` returns.
        folder: where to; made if needed.
    """
    loaded.model.save_pretrained(folder)
    write_text(Path(folder) / PROCESSOR_FILE, loaded.preparation.file_text("MaskFormerImageProcessor"))
    return f"wrote {folder}"


def look(loaded: Loaded, image: AnnotatedImage) -> Any:
    """Returns what a model says of an image, its masks as large as the image."""
    device = next(loaded.model.parameters()).device
    fitted = loaded.preparation.fit()(image, mixed_generator(0))
    pixels, _ = loaded.preparation.batch([fitted])
    with torch.no_grad(), evaluating(loaded.model):
        output = loaded.model(pixels.to(device))
    (said,) = whole_images(output, (pixels.shape[2], pixels.shape[3]), [fitted.size], [image.size])
    return Said(*(t.cpu() for t in said))


def found_on(loaded: Loaded, image: AnnotatedImage, kind: Kind, threshold: float) -> Segmentation:
    """Cuts an image into segments; background and the like among them, unless things alone are wanted."""
    outputs = look(loaded, image)
    stuff = loaded.model.config.label_ids_to_fuse
    if kind == "panoptic":
        return panoptic(outputs, threshold=threshold, label_ids_to_fuse=stuff)[0]
    if kind == "instance":
        return instances(outputs, threshold=threshold)[0].without(stuff)
    return Segmentation.of_classes(class_scores(outputs)[0])


def measure(
    loaded: Loaded, images: AnnotatedImages, threshold: float = 0.5, *, masks: bool = False
) -> dict[str, float]:
    """Compares what a model finds on images with what is there.

    Args:
        loaded: the model.
        images: with masks.
        threshold: of a segment's score.
        masks: whether the average precision of things' masks and each class's IoU are taken, too.

    Returns:
        "mean_iou", "pixel_accuracy", "boundary_f", "pq", "sq", "rq" over all classes, and "pq_things", the
        PQ over those of which an image may have several, if some are there or found. With masks "iou NAME" of
        each class that occurs and, if things are there, what :func:`average_precision` returns.

    Raises:
        ImportError: with masks, if `pycocotools` is missing.
    """
    labels, fused = loaded.model.config.labels, loaded.model.config.label_ids_to_fuse
    scores, quality = SemanticScores(len(labels), void=VOID), PanopticQuality(len(labels))
    things = PanopticQuality(len(labels))
    answers: list[tuple[AnnotatedImage, Found]] = []
    for number in range(len(images)):
        image = images[number]
        classes, numbers, segments = class_maps(image, images.stuff)
        outputs = look(loaded, image)
        scores.update(semantic(outputs)[0].cpu(), classes)
        (found,) = panoptic(outputs, threshold=threshold, label_ids_to_fuse=fused)
        painted = found.segmentation.cpu()
        quality.update(painted, found.segments, numbers, segments)
        of_things = [[s for s in all_ if s.label_id not in fused] for all_ in (found.segments, segments)]
        things.update(painted, of_things[0], numbers, of_things[1])
        if masks:
            answers.append(things_of(image, instances(outputs, threshold=0.0)[0], images.stuff))
    more = {"pq_things": things.compute()["pq"]} if things.some() else {}
    if masks:
        of_classes = zip(labels, scores.iou().tolist(), strict=True)
        more |= {f"iou {label}": iou for label, iou in of_classes if not math.isnan(iou)}
        if any(len(image.without_crowds().labels) for image, _ in answers):
            more |= average_precision(answers, images.class_names, masks=True)
    return {**scores.compute(), **quality.compute(), **more}


def things_of(
    image: AnnotatedImage, found: Segmentation, stuff: Collection[int] | None
) -> tuple[AnnotatedImage, Found]:
    """Returns the things of an image and those found, as classes are counted in the data."""
    first, left_out = (1, {0}) if stuff is None else (0, stuff)
    objects = objects_of(found.without(left_out))
    kept = torch.tensor([label not in (stuff or ()) for label in image.labels.tolist()], dtype=torch.bool)
    return image.select(kept), objects._replace(labels=objects.labels - first)


def evaluate(
    loaded: Loaded, *, data: str | None = None, classes: str | None = None, threshold: float = 0.5
) -> dict[str, float]:
    """Measure how well a model cuts images into segments and finds things (by COCO's average precision).

    Args:
        loaded: what :func:`load` returns.
        data: images with masks, as for training; if none are given, those that the run held out.
        classes: a CSV table of label maps' classes, as for training.
        threshold: what the score of a segment must reach.
    """
    check_threshold(threshold)
    if classes is not None and data in (None, SCENES):
        raise ValueError("eval: expected --classes with --data of label maps alone")
    if data is None:
        recipe = recipe_of(loaded.folder)
        learned, images = open_images(recipe)
        if recipe.validation is None:
            check_unchanged(loaded.folder, "images", learned.print)
    elif data == SCENES:
        images = scenes(Recipe(), 200, HELD_OUT)
    else:
        images = open_annotated(data, masks=True, classes=classes)
    known, (given, _) = loaded.model.config.labels, classes_of(images)
    if known != given:
        raise ValueError(f"data: expected the classes {', '.join(known)}, got {', '.join(given)}")
    return {"images": len(images)} | measure(loaded, images, threshold, masks=True)


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


def predict(
    loaded: Loaded,
    inputs: list[str],
    *,
    kind: Kind = "panoptic",
    threshold: float = 0.5,
    out: str | None = None,
    json: str | None = None,
    attention: str | None = None,
) -> list[dict[str, Any]]:
    """Cut images into segments, and say which there are: a line for each.

    Args:
        loaded: what :func:`load` returns.
        inputs: image files, or folders of some.
        kind: every pixel to one segment, things one by one, or a class for every pixel.
        threshold: what the score of a segment must reach; a class for every pixel needs none.
        out: where the coloured image with its legend is written; of several images, a folder.
        json: where the segments are written as COCO's results, masks as run lengths; image_id is the place of
            the image among all, category_id that of the class.
        attention: where a picture is written of what the surest queries look at; of several images, a folder.

    Raises:
        FileExistsError: if one of the images would be written over.
        OSError, ValueError: if what is to be written has no place of its own, or none at all.
        ValueError: if an image cannot be read, or the model cannot look at it; all others are answered
            nevertheless, see :class:`ds_core.checks.Partial`.
    """
    check_threshold(threshold)
    inputs, labels = pictures_in(inputs), loaded.model.config.labels
    rows: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    failed: list[str] = []

    def look_at(path: str) -> tuple[AnnotatedImage, Segmentation]:
        image = AnnotatedImage.read(path)
        with about(path):
            return image, found_on(loaded, image, kind, threshold)

    drawn = places_of(out, inputs, ENDINGS)
    looked_at = places_of(attention, inputs, FIGURES)
    check_apart([*drawn, *looked_at, json], inputs)
    for number, path, (image, found) in answered(inputs, look_at, failed):
        areas = [int((found.segmentation == segment.id).sum()) for segment in found.segments]
        rows += [
            {"image": path, "label": labels[s.label_id], "score": round(s.score, 4), "pixels": area}
            for s, area in zip(found.segments, areas, strict=True)
        ]
        if json is not None:
            results += coco_results(objects_of(found), number, range(len(labels)), masks=True)
        if out is not None:
            write_picture(draw_segments(image.pixels, found, labels), drawn[number])
        if attention is not None:
            what_queries_see(loaded, image, looked_at[number])
    if json is not None:
        write_text(Path(json), json_file.dumps(results) + "\n")
    check_all_answered(rows, failed, inputs)
    return rows


def check_threshold(threshold: float) -> None:
    """Checks that a score can reach it.

    Raises:
        ValueError: if not.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold: expected a number from 0 to 1, got {threshold}")


def objects_of(found: Segmentation) -> Found:
    """Returns segments as objects, with masks and the boxes around them."""
    masks = found.masks.cpu()
    return Found(
        torch.tensor([segment.score for segment in found.segments]),
        torch.tensor([segment.label_id for segment in found.segments], dtype=torch.int64),
        torch.tensor([box_of(mask) for mask in masks]).view(-1, 4),
        masks,
    )


def what_queries_see(loaded: Loaded, image: AnnotatedImage, path: Path) -> None:
    """Draws what the queries look at that are surest to see something."""
    model = loaded.model
    pixels = prepared([image], loaded.preparation)[0].to(next(model.parameters()).device)
    maps = query_attention(model, pixels)[0].cpu()
    with torch.no_grad(), evaluating(model):
        logits = model(pixels).class_queries_logits
    chosen, titles = surest(logits[0].cpu(), model.config.labels)
    draw_query_attention(loaded.preparation.shown(pixels[0].cpu()), maps[chosen], titles, path=path)


def picture(loaded: Loaded, images: AnnotatedImages, count: int = SHOWN) -> Image.Image:
    """Draws what is found on some images, side by side."""
    drawn = []
    for number in range(min(count, len(images))):
        image = images[number]
        found = found_on(loaded, image, "panoptic", 0.5)
        drawn.append(draw_segments(image.pixels, found, loaded.model.config.labels))
    width = max(one.width for one in drawn)
    height = max(one.height for one in drawn)
    columns = min(3, len(drawn))
    sheet = Image.new("RGB", (columns * width, -(-len(drawn) // columns) * height), "white")
    for number, one in enumerate(drawn):
        sheet.paste(one, (number % columns * width, number // columns * height))
    return sheet


def verify() -> Iterator[tuple[str, GradientReport]]:
    """Yields name and report of the gradients of small random models, loss included."""
    for masked in (False, True):
        config = MiniMaskFormerConfig(
            BackboneConfig(3, 8, (8, 8), (1, 1), "basic", "group"),
            DecoderConfig(8, 4, 2, 2, 12, dropout=0.0),
            *(32, 5),
            use_auxiliary_loss=True,
            masked_attention=masked,
        )
        draw = torch.Generator().manual_seed(0)
        model = MiniMaskFormer(config, generator=draw)
        for parameter in model.parameters():  # so that the first layer's norm gets more than zeros
            parameter.data += normal_(torch.empty_like(parameter), std=0.2, generator=draw)
        images = torch.randn(2, 3, 24, 32, generator=draw)
        masks = torch.zeros(3, 24, 32)
        masks[0, :12], masks[1, 12:, :16], masks[2, 4:20, 16:] = 1, 1, 1
        classes = torch.tensor([0, 1, 1])
        labels: tuple[list[Tensor], list[Tensor]] = ([masks, masks[:1]], [classes, classes[:1]])
        yield f"MiniMaskFormer, masked_attention={masked}", check_gradients(model, images, *labels)
