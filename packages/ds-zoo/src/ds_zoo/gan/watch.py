"""Watch: looks at what a generator makes while it learns, and says when a game goes wrong."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ds_core import Callback
from torch import Tensor

from ds_zoo.gan.game import Game
from ds_zoo.gan.judge import Judge
from ds_zoo.gan.pictures import number_in, write_animation, write_grid

if TYPE_CHECKING:
    from ds_core import Trainer

FOLDER, ANIMATION = "samples", "training.gif"
COLUMNS = 8
_MEASURED = 2000  # samples
_RECENT, _SURE = 200, 0.98  # rounds, and the share of scores on the right side at which a game is won
_ALIKE, _RARE = 0.5, 0.1  # of what it is for real images: distance between samples, share of a class


class Watch(Callback):
    """Every so many rounds: writes a picture of samples, measures them, and warns.

    The numbers go where a training's validation goes: ``variety``, how far samples are from one another, that
    of real images being 1; and with a judge ``frechet``, ``sure`` and ``least``, see :meth:`Judge.measure`.

    Args:
        game: what is played.
        real: real images, with which samples are compared.
        every: rounds.
        out: the run folder.
        judge: measures samples; None for none.

    Raises:
        ValueError: if the real images are all alike.
    """

    writes = True

    def __init__(self, game: Game, real: Tensor, every: int, out: Path, judge: Judge | None = None) -> None:
        self.game, self.every, self.out, self.judge = game, every, out, judge
        self.far = distance_between(real)
        if not self.far:
            raise ValueError(f"Watch: expected real images that differ, got {len(real)} alike")
        self.told: set[str] = set()
        self.looked = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.step:  # resumed: the picture at which it was interrupted belongs to no whole training
            for picture in (self.out / FOLDER).glob("step-*.png"):
                if number_in(picture) % self.every:
                    picture.unlink()

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step % self.every == 0:
            self.look(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if not len(trainer.history):
            return
        if trainer.step % self.every:
            self.look(trainer, measured=False)  # to a run that is resumed, this never happened
        write_animation(list((self.out / FOLDER).glob("*.png")), self.out / ANIMATION)

    def look(self, trainer: Trainer, measured: bool = True) -> None:
        """Writes a picture and, if they are to be measured, numbers."""
        count = COLUMNS**2
        images = self.game.sample(count, labels_for(count, self.game.generator.classes)).cpu()
        path = self.out / FOLDER / f"step-{trainer.step:07d}.png"
        trainer.once_begun(lambda: write_grid(images, COLUMNS, path))
        if not measured:
            return
        numbers = {"variety": distance_between(images) / self.far}
        if self.judge is not None:
            many = self.game.sample(_MEASURED, labels_for(_MEASURED, self.game.generator.classes), seed=1)
            found = self.judge.measure(many.cpu())
            numbers |= {name: found[name] for name in ("frechet", "sure", "least")}
        epoch = trainer.history["epoch"][-1]
        trainer.history.record_validation(step=trainer.step, epoch=epoch, **numbers)
        self.warn(trainer, numbers)

    def warn(self, trainer: Trainer, numbers: dict[str, float]) -> None:
        """Says once each what goes wrong, and what may help."""
        told = trainer.history["told"][-_RECENT:]
        if self.game.loss.kind != "wasserstein" and len(told) == _RECENT and sum(told) / _RECENT > _SURE:
            self._say(
                trainer,
                f"the discriminator has won: it tells {100 * sum(told) / _RECENT:.0f} % of the latest "
                "examples apart, and its gradient teaches the generator little",
                "a smaller --lr-discriminator, --smoothing 0.1, a penalty on the real ones (--penalty 1 "
                "--penalty-at real), --norm spectral or a wider generator",
            )
        rare = self.judge is not None and numbers["least"] < _RARE / len(self.judge.class_names)
        if numbers["variety"] < _ALIKE or (rare and trainer.step >= 10 * self.every):
            what = "a class is hardly made" if rare else "samples resemble one another"
            self._say(
                trainer,
                f"modes are lost: {what}",
                "a penalty on the real ones (--penalty 1 --penalty-at real), --loss wasserstein --penalty 10 "
                "--norm layer --rounds 5, a smaller --lr, or --by-class",
            )

    def _say(self, trainer: Trainer, what: str, advice: str) -> None:
        kind = what.partition(":")[0]
        if kind not in self.told:
            self.told.add(kind)
            warnings.warn(f"round {trainer.step}: {what}. What may help: {advice}", stacklevel=2)


def labels_for(count: int, classes: int) -> Tensor | None:
    """Returns each class in turn, ``(count,)``; None if there are none."""
    return torch.arange(count) % classes if classes else None


def distance_between(images: Tensor) -> float:
    """Returns the mean distance between two images, in the numbers of their pixels."""
    rows: Any = (images - images[:1]).flatten(1).double()  # of images all alike, exactly 0
    squares = rows.square().sum(1)
    apart = (squares[:, None] + squares - 2 * rows @ rows.T).clamp(min=0).sqrt()
    return float(apart.sum() / max(1, len(rows) * (len(rows) - 1)))
