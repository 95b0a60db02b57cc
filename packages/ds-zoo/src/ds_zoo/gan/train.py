"""Training a generator against a discriminator on images, and what a run is good for."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from ds_core import Adam, Callback, GameTrainer, History
from ds_core.training import CSVLog, RunFolder
from ds_core.training.recipe import RECIPE_FILE, make_recipe, read_recipe, recipe_text
from ds_core.verify import GradientReport, check_gradients
from rich.console import Console
from torch import Tensor

from ds_zoo.gan.data import Centred, read_parts, some
from ds_zoo.gan.game import Game
from ds_zoo.gan.judge import JUDGE_FILE, Judge, load_judge, train_judge
from ds_zoo.gan.loss import AdversarialLoss, Kind
from ds_zoo.gan.model import Norm, interpolate
from ds_zoo.gan.pictures import check_png, draw_game, write_grid
from ds_zoo.gan.pretrained import GANConfig, MiniDCGAN, MiniGAN
from ds_zoo.gan.quality import NEIGHBOURS
from ds_zoo.gan.watch import ANIMATION, COLUMNS, FOLDER, Watch, labels_for
from ds_zoo.runs import check_unchanged, finished
from ds_zoo.vit.data import LabelledImages

# What a run leaves behind, besides its checkpoint, its log and what describes it.
RESULTS = ("config.json", "model*.safetensors*", JUDGE_FILE, "loss.png", f"{FOLDER}/*.png", ANIMATION)
_TRIES = 50  # batches of samples among which one of a class is looked for
_BATCH = 256


@dataclass(frozen=True)
class GameRecipe:
    """How two players learn from images.

    Args:
        data: the images, as idx:FOLDER, imagefolder:FOLDER, hf:NAME[SPLIT], scenes or sklearn:digits.
        names: of the classes, with commas between them, where the data have none.
        channels: 3 for colour, 1 for grey; what suits the data if not given.
        image_size: height and width in pixels to which images are resized; their own if not given.
        latent: numbers of noise for an image.
        width: of the hidden layers; of convolutions, channels of the one next to the image.
        norm: of the discriminator; "spectral" divides each weight by its largest singular value; a penalty
            goes with "layer" or "none".
        by_class: whether both players are told the class of an image.
        loss: what scores cost.
        smoothing: by how much the discriminator's goal for real images is below 1.
        penalty: weight of the gradient penalty; 0 for none. With the Wasserstein loss, 10 is WGAN-GP.
        penalty_at: where the penalty is taken: between real and made images, or at the real ones (R1).
        rounds: steps of the discriminator for each of the generator.
        ema: decay of the moving average of the generator's weights.
        steps: of the generator.
        batch_size: images in a forward and backward.
        lr: learning rate of the generator.
        lr_discriminator: learning rate of the discriminator; the generator's if not given.
        beta1: Adam's first beta.
        beta2: Adam's second beta.
        held_out: share of the images by which samples are measured, where the data have no part for it.
        judge: whether a classifier is trained first, which measures samples.
        validate_every: steps between pictures, and between measurements.
        workers: processes that read images.
        seed: of initial weights, order and noise.
        precision: of products of matrices; weights and all else stay float32.
    """

    model: ClassVar[type[MiniGAN] | type[MiniDCGAN]]

    data: str = "sklearn:digits"
    names: str | None = None
    channels: int | None = None
    image_size: int | None = None
    latent: int = 64
    width: int = 256
    norm: Norm = "none"
    by_class: bool = False
    loss: Kind = "non_saturating"
    smoothing: float = 0.0
    penalty: float = 0.0
    penalty_at: Literal["between", "real"] = "between"
    rounds: int = 1
    ema: float = 0.999
    steps: int = 3000
    batch_size: int = 64
    lr: float = 2e-4
    lr_discriminator: float | None = None
    beta1: float = 0.5
    beta2: float = 0.999
    held_out: float = 0.1
    judge: bool = True
    validate_every: int = 500
    workers: int = 0
    seed: int = 0
    precision: Literal["float32", "bf16"] = "float32"


@dataclass(frozen=True)
class Recipe(GameRecipe):
    """How to train: fully connected players, which learn digits of 8 x 8 pixels in a minute.

    Args:
        depth: hidden layers.
    """

    model: ClassVar[type[MiniGAN] | type[MiniDCGAN]] = MiniGAN

    penalty: float = 0.1
    penalty_at: Literal["between", "real"] = "real"
    depth: int = 2


WASSERSTEIN: dict[str, Any] = {
    **{"loss": "wasserstein", "penalty": 10.0, "penalty_at": "between", "rounds": 5},
    **{"beta1": 0.0, "beta2": 0.9, "norm": "layer"},
}
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "fashion": {"width": 512, "steps": 20_000, "validate_every": 1000},
    "wgan-gp": {**WASSERSTEIN, "norm": "none"},
    "by-class": {"by_class": True},
}


@dataclass(frozen=True)
class Loaded:
    """A trained model."""

    model: MiniGAN | MiniDCGAN
    folder: Path


@dataclass(frozen=True)
class Run:
    """What a training leaves behind."""

    model: MiniGAN | MiniDCGAN
    history: History
    out: Path

    def show(self, console: Console) -> None:
        """Prints what was measured, at first and at last, and what to try next."""
        measured = self.history.validation
        for name in ("frechet", "sure", "least", "variety"):
            if name in measured:
                first, last = measured[name][0], measured[name][-1]
                console.print(f"{_MEANING[name]}: {first:.3g} at first, {last:.3g} at last", highlight=False)
        folder = shlex.quote(str(self.out))
        for command in (f"generate {folder} --out grid.png", f"eval {folder}"):
            console.print(f"Next: ds-zoo {command}", markup=False, soft_wrap=True)


_MEANING = {
    "frechet": "Frechet distance of samples from real images",
    "sure": "Share of samples that the classifier is sure of",
    "least": "Share of the rarest class",
    "variety": "Distance between samples, that of real images being 1",
}


def train(
    recipe: GameRecipe,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    device: torch.device | str = "cpu",
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train a generator to make images like those given.

    The run folder holds ``recipe.toml``, ``config.json``, ``model.safetensors`` (the generator's averaged
    weights, and the discriminator), ``classifier.safetensors``, pictures in ``samples``, ``training.gif``,
    ``log.csv``, ``loss.png`` and, to resume from, ``checkpoint.safetensors``. It is written from the first
    step on, see :class:`ds_core.training.RunFolder`; what is refused changes nothing.

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
        ValueError: if images cannot be read or are too small, or an option is out of range.
    """
    out = Path(out)
    for name in ("validate_every", "rounds"):
        if getattr(recipe, name) < 1:
            raise ValueError(f"{name}: expected at least 1, got {getattr(recipe, name)}")
    if recipe.penalty and recipe.norm in ("batch", "spectral"):
        raise ValueError(
            f"penalty: expected norm 'layer' or 'none' with it, got {recipe.norm!r}, which offers no second "
            "gradients"
        )
    learned, test = parts_of(recipe)
    model = new_model(recipe, learned)
    loss = AdversarialLoss(recipe.loss, recipe.smoothing)
    game = Game(
        model.generator,
        model.discriminator,
        loss,
        penalty=recipe.penalty,
        penalty_at=recipe.penalty_at,
        decay=recipe.ema,
    )
    rates = {
        "generator": recipe.lr,
        "discriminator": recipe.lr if recipe.lr_discriminator is None else recipe.lr_discriminator,
    }
    optimizers = {
        name: Adam(getattr(game, name).parameters(), rate, (recipe.beta1, recipe.beta2))
        for name, rate in rates.items()
    }
    files = {RECIPE_FILE: recipe_text(model.hugging_face.model_type, recipe)}
    folder = RunFolder(out, resume=resume, overwrite=overwrite, results=RESULTS, files=files)
    loader = learned.loader(
        min(recipe.batch_size, len(learned)),
        shuffle=True,
        seed=recipe.seed,
        drop_last=True,
        workers=recipe.workers,
        transform=Centred(),
    )
    if len(loader) < recipe.rounds:
        raise ValueError(
            f"rounds: expected at most {len(loader)}, the batches of an epoch, as each step of the "
            f"discriminator takes another, got {recipe.rounds}; a smaller --batch-size makes more of them"
        )
    judge = judge_of(out if resume else None, learned, test, recipe.seed) if recipe.judge else None
    if judge is not None and progress:
        print(
            f"The classifier is right about {100 * judge.accuracy:.1f} % of images it has not seen.",
            flush=True,
        )
    real, _ = some(test, COLUMNS**2)
    watch = Watch(game, real, recipe.validate_every, out, judge)
    depends_on = {name: value for name, value in asdict(recipe).items() if name not in _NOT_DEPENDED_ON}
    trainer = GameTrainer(
        game,
        optimizers,
        batches=recipe.rounds,
        callbacks=[folder, watch, CSVLog(out / "log.csv"), *callbacks],
        out=out,
        progress=progress,
        device=device,
        seed=recipe.seed,
        precision=recipe.precision,
        settings={"images": learned.print, **depends_on},
    )
    try:
        with folder:
            history = trainer.fit(
                loader, steps=recipe.steps, checkpoint_every=recipe.validate_every, resume=resume
            )
            model.generator.load_state_dict(game.average.state_dict())
            if trainer.leads and len(history):  # not where it was interrupted before the first step
                model.save_pretrained(out)
                draw_game(history, out / "loss.png")
                if judge is not None:
                    judge.save(out / JUDGE_FILE)
    finally:
        loader.close()
    return Run(model.eval(), history, out)


_NOT_DEPENDED_ON = ("data", "names", "workers", "steps")


def parts_of(recipe: GameRecipe) -> tuple[LabelledImages, LabelledImages]:
    """Reads the images of a recipe: those to learn from, and those by which samples are measured."""
    return read_parts(
        recipe.data,
        size=recipe.image_size,
        channels=recipe.channels,
        names=recipe.names,
        held_out=recipe.held_out,
        seed=recipe.seed,
    )


def new_model(recipe: GameRecipe, images: LabelledImages) -> MiniGAN | MiniDCGAN:
    """Makes both players, their initial weights drawn from the recipe's seed."""
    channels, height, width = images.shape()
    config = GANConfig(
        recipe.latent,
        channels,
        height,
        width,
        recipe.width,
        getattr(recipe, "depth", 0),
        recipe.norm,
        recipe.by_class,
        images.class_names,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        model: MiniGAN | MiniDCGAN = recipe.model(config)
    return model


def judge_of(folder: Path | None, learned: LabelledImages, test: LabelledImages, seed: int) -> Judge:
    """Returns the classifier that a folder holds, or one that is trained now."""
    found = None if folder is None else load_judge(folder / JUDGE_FILE, test)
    return train_judge(learned, test, seed) if found is None else found


# ---- what a run is good for ----------------------------------------------------------------------------


def load(folder: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Reads both players from a run folder.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
    """
    return load_as(MiniGAN, folder, device)


def load_as(kind: type[MiniGAN] | type[MiniDCGAN], folder: str | Path, device: torch.device | str) -> Loaded:
    """Reads a model of a kind from a run folder; :func:`load` says what is raised."""
    folder = finished(folder, kind.hugging_face.model_type)
    return Loaded(kind.from_pretrained(folder).to(device), folder)


def save(loaded: Loaded, folder: Path) -> str:
    """Write configuration and weights.

    Args:
        loaded: what :func:`load` returns.
        folder: where to; made if needed.
    """
    loaded.model.save_pretrained(folder)
    return f"wrote {folder}"


def generate(
    loaded: Loaded,
    *,
    out: Path,
    class_: str | None = None,
    interpolate: int = 0,
    count: int = 64,
    columns: int | None = None,
    seed: int = 0,
) -> str:
    """Make images, side by side in one picture.

    Args:
        loaded: what :func:`load` returns.
        out: the picture, a PNG.
        class_: only images of this class: where the players were not told it, those that the classifier
            takes for one.
        interpolate: steps from one image to another in each row; 0 for images that have nothing to do with
            one another.
        count: how many images; with steps, as many more as the last row lacks.
        columns: images in a row; 8, or as many as there are steps, if not given.
        seed: same seed, same images.
    """
    if interpolate and columns not in (None, interpolate):
        raise ValueError(
            f"generate: expected --columns or --interpolate, whose {interpolate} steps are a row, got both"
        )
    columns = interpolate or (8 if columns is None else columns)
    if count < 1 or columns < 1 or interpolate == 1:
        raise ValueError(
            "generate: expected at least 1 image in at least 1 column, and 0 or at least 2 steps, got "
            f"{count} in {columns}, and {interpolate}"
        )
    check_png(out)
    if interpolate and class_ is not None and not loaded.model.config.by_class:
        raise ValueError("generate: expected --class or --interpolate: the players were not told the classes")
    if interpolate:
        images = walks(loaded, -(-count // interpolate), interpolate, class_, seed)
    else:
        images = samples(loaded, count, class_, seed)
    write_grid(images, columns, out)
    return f"wrote {out}"


def samples(loaded: Loaded, count: int, class_: str | None = None, seed: int = 0) -> Tensor:
    """Makes images.

    Args:
        loaded: what :func:`load` returns.
        count: how many.
        class_: of this class; None for any.
        seed: of the noise.

    Returns:
        ``(count, C, H, W)``, numbers in [-1, 1].

    Raises:
        ValueError: if there is no such class, or none of the samples is taken for one.
    """
    config = loaded.model.config
    draw = torch.Generator().manual_seed(seed)
    wanted = None if class_ is None else number_of(class_, config.labels)
    if wanted is None or config.by_class:
        labels = labels_for(count, config.classes) if wanted is None else torch.full((count,), wanted)
        return _make(loaded, torch.randn(count, config.latent, generator=draw), labels)
    judge = judge_for(loaded)
    found: list[Tensor] = []
    for _ in range(_TRIES):
        images = _make(loaded, torch.randn(_BATCH, config.latent, generator=draw))
        found.append(images[judge.look(images)[1].argmax(1) == wanted])
        if sum(map(len, found)) >= count:
            break
    if sum(map(len, found)) < count:
        raise ValueError(
            f"class {class_}: expected {count} images, got {sum(map(len, found))} among {_TRIES * _BATCH:,} "
            "samples; the generator hardly makes it"
        )
    return torch.cat(found)[:count]


def walks(loaded: Loaded, rows: int, steps: int, class_: str | None = None, seed: int = 0) -> Tensor:
    """Makes images on the way from one to another: ``(rows * steps, C, H, W)``."""
    config = loaded.model.config
    ends = torch.randn(rows, 2, config.latent, generator=torch.Generator().manual_seed(seed))
    noise = torch.cat([interpolate(a, b, steps) for a, b in ends])
    labels = None
    if config.by_class:
        kinds = torch.arange(rows) % config.classes
        if class_ is not None:
            kinds = torch.full((rows,), number_of(class_, config.labels))
        labels = kinds.repeat_interleave(steps)
    return _make(loaded, noise, labels)


@torch.no_grad()
def _make(loaded: Loaded, noise: Tensor, labels: Tensor | None = None) -> Tensor:
    like = next(loaded.model.parameters())
    parts = [
        loaded.model(
            noise[i : i + _BATCH].to(like), None if labels is None else labels[i : i + _BATCH].to(like.device)
        )
        for i in range(0, len(noise), _BATCH)
    ]
    return torch.cat(parts).cpu()


def number_of(name: str, labels: Sequence[str]) -> int:
    """Returns the number of a class.

    Raises:
        ValueError: if there is no such class; lists those there are.
    """
    if name not in labels:
        close = difflib.get_close_matches(name.lower(), [label.lower() for label in labels], 1)
        hint = f"; did you mean {next(one for one in labels if one.lower() == close[0])}?" if close else ""
        raise ValueError(f"class: expected one of {', '.join(labels)}, got {name!r}{hint}")
    return list(labels).index(name)


def judge_for(loaded: Loaded) -> Judge:
    """Returns the classifier of a run; where it has none, one is trained and kept in its folder.

    Raises:
        ValueError: if the folder is of no run: it does not say on what the model was trained.
    """
    if not (loaded.folder / RECIPE_FILE).is_file():
        raise ValueError(
            f"{loaded.folder}: has no {RECIPE_FILE}, so nobody knows the images from which a classifier "
            "would learn the classes, which the players were not told"
        )
    return kept_judge(loaded.folder, *parts_of(recipe_of(loaded)))


def kept_judge(folder: Path, learned: LabelledImages, test: LabelledImages) -> Judge:
    """Returns the classifier that a folder holds; where there is none, one is trained and written there."""
    judge = load_judge(folder / JUDGE_FILE, test)
    if judge is None:
        judge = train_judge(learned, test)
        judge.save(folder / JUDGE_FILE)
    return judge


def evaluate(
    loaded: Loaded, *, data: str | None = None, count: int = 2000, seed: int = 1
) -> dict[str, float]:
    """Measure how good samples are, by a classifier of real images.

    The Frechet distance stands beside that of real images that the generator has learned from and that of
    noise, all from images that it has not seen. Precision is the share of samples that lie among real images,
    recall the share of real images that lie among samples.

    Args:
        loaded: what :func:`load` returns.
        data: images, as for training; if none are given, the run's.
        count: how many samples.
        seed: of the samples.
    """
    if count < 10:
        raise ValueError(f"count: expected at least 10 samples, got {count}")
    recipe = recipe_of(loaded, data)
    learned, test = parts_of(recipe)
    if data is None:
        check_unchanged(loaded.folder, "images", learned.print)
    config = loaded.model.config
    size = config.channels, config.height, config.width
    if test.shape() != size:
        raise ValueError(f"{recipe.data}: expected images of {size}, as samples are, got {test.shape()}")
    if len(test) <= NEIGHBOURS:
        raise ValueError(
            f"{recipe.data}: expected more than {NEIGHBOURS} images to measure samples by, as precision and "
            f"recall look at so many neighbours, got {len(test)}; give --data with more"
        )
    judge = kept_judge(loaded.folder, learned, test) if data is None else train_judge(learned, test)
    found = judge.measure(samples(loaded, count, seed=seed), lie_among=True)
    real, _ = some(learned, count)
    noise = 2 * torch.rand(real.shape, generator=torch.Generator().manual_seed(seed)) - 1
    return {
        "samples": count,
        "accuracy of the classifier": judge.accuracy,
        "frechet": found.pop("frechet"),
        "frechet of real images": judge.measure(real)["frechet"],
        "frechet of noise": judge.measure(noise)["frechet"],
        **found,
    }


def recipe_of(loaded: Loaded, data: str | None = None) -> GameRecipe:
    """Returns what a run's recipe says of its images, or the same of others.

    Raises:
        ValueError: if the folder is of no run: it does not say on what the model was trained.
    """
    path = loaded.folder / RECIPE_FILE
    if path.is_file():
        known = {field.name for field in fields(GameRecipe)}
        given = {name: value for name, value in read_recipe(path).items() if name in known}
    elif data is not None:
        given = {"channels": loaded.model.config.channels, "image_size": loaded.model.config.height}
    else:
        raise ValueError(f"{loaded.folder}: has no {RECIPE_FILE}, so nobody knows its images; give --data")
    return make_recipe(GameRecipe, given if data is None else given | {"data": data}, str(path))


def verify() -> Iterator[tuple[str, GradientReport]]:
    """Yields name and report of the gradients of small random models."""
    draw = torch.Generator().manual_seed(0)
    z, images, labels = (
        torch.randn(3, 4, generator=draw),
        torch.randn(3, 1, 4, 4, generator=draw),
        torch.arange(3),
    )
    config = GANConfig(4, 1, 4, 4, inner=5, depth=1, norm="layer", by_class=True, labels=("a", "b", "c"))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = MiniGAN(config)
    yield "MiniGAN's generator, by class", check_gradients(model.generator, (z, labels))
    yield "MiniGAN's discriminator, by class", check_gradients(model.discriminator, (images, labels))
