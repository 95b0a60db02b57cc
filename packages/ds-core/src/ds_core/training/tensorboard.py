"""TensorBoard: a training's numbers as curves in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds_core.data.optional import needed
from ds_core.training.callbacks import Callback, path_in

if TYPE_CHECKING:
    from ds_core.training.trainer import Trainer

LOG_FOLDER = "tensorboard"


class TensorBoard(Callback):
    """Writes every number of the history, as it comes, where TensorBoard finds it.

    ``tensorboard --logdir FOLDER`` shows them. A resumed training goes on from its step; what had been
    written after it is hidden.

    Args:
        folder: where to; None for ``tensorboard`` in the trainer's ``out``.

    Raises:
        ValueError: if there is neither a folder nor the trainer's ``out``.
        ImportError: if the package `tensorboard` is missing.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        needed("tensorboard", "tensorboard", "the callback TensorBoard", extra="tensorboard")
        self.folder = folder

    def on_fit_start(self, trainer: Trainer) -> None:
        folder = path_in(trainer, self.folder, LOG_FOLDER, self)
        writer = needed("torch.utils.tensorboard", "tensorboard", "the callback TensorBoard", "tensorboard")
        self._writer = writer.SummaryWriter(str(folder), purge_step=trainer.step + 1)

    def on_step_end(self, trainer: Trainer) -> None:
        self._add(trainer.history.train, trainer.step)

    def on_validation_end(self, trainer: Trainer) -> None:
        self._add(trainer.history.validation, trainer.step)

    def on_fit_end(self, trainer: Trainer) -> None:
        self._writer.close()

    def _add(self, columns: dict[str, list[Any]], step: int) -> None:
        """Writes the last row."""
        for name, values in columns.items():
            if name not in ("step", "epoch"):
                self._writer.add_scalar(name, values[-1], step)
