"""TensorBoard: a training's numbers as curves in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds_core.data.optional import needed
from ds_core.training.callbacks import Callback, path_in

if TYPE_CHECKING:
    from ds_core.training.history import History
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

    writes = True

    def __init__(self, folder: str | Path | None = None) -> None:
        needed("tensorboard", "tensorboard", "the callback TensorBoard", extra="tensorboard")
        self.folder = folder

    def on_fit_start(self, trainer: Trainer) -> None:
        folder = path_in(trainer, self.folder, LOG_FOLDER, self)
        writer = needed("torch.utils.tensorboard", "tensorboard", "the callback TensorBoard", "tensorboard")
        self._writer = writer.SummaryWriter(str(folder), purge_step=trainer.step + 1)
        self._written = len(trainer.history)

    def on_step_end(self, trainer: Trainer) -> None:
        self._write(trainer.past)

    def on_validation_end(self, trainer: Trainer) -> None:
        self._add(trainer.history.validation, -1)

    def on_fit_end(self, trainer: Trainer) -> None:
        self._write(trainer.history)
        self._writer.close()

    def _write(self, history: History) -> None:
        """Writes the rows that are not written yet."""
        for row in range(self._written, len(history)):
            self._add(history.train, row)
        self._written = len(history)

    def _add(self, columns: dict[str, list[Any]], row: int) -> None:
        for name, values in columns.items():
            if name not in ("step", "epoch"):
                self._writer.add_scalar(name, values[row], columns["step"][row])
