"""The folder of a run: it belongs to one training, and another takes it over only if told to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ds_core.distributed import leads, restarted
from ds_core.training.callbacks import LOG_FILE, Callback
from ds_core.training.checkpoint import load_checkpoint
from ds_core.training.files import CheckpointError, write_text
from ds_core.training.trainer import CHECKPOINT_FILE

if TYPE_CHECKING:
    from ds_core.training.trainer import Trainer

try:
    import fcntl
except ImportError:  # not on Windows: there, folders are not locked
    fcntl = None  # type: ignore[assignment]


class RunFolder(Callback):
    """Keeps a folder for one run: refuses, before anything is written, what would harm another.

    Give it to the trainer as its first callback, inside ``with RunFolder(...) as folder:``. With the first
    step of a new training the results and the log of an earlier one are removed, just before its checkpoint
    is replaced: from then on the folder holds the new run alone. Until then nothing is changed, so a training
    that is refused, or fails at once, harms nothing.

    What describes the run, its recipe and its tokenizer, say, is kept in each checkpoint, and written as
    files as soon as there is one: a resumed run has the files of its checkpoint, see :func:`described`.

    Several processes may go on with one run at the same time, since they compute the same; but while one of
    them trains, no other may begin anew in the folder.

    Args:
        folder: where the run is, or will be.
        resume: whether to go on with the run there.
        overwrite: whether to begin anew although there is one.
        results: names of what a training leaves there at its end, as patterns: ``"*.safetensors"``.
        files: name -> text of the files that describe the run.

    Raises:
        FileExistsError: if there is a run and neither ``resume`` nor ``overwrite`` is given.
        NotADirectoryError: if the folder is a file.
        ValueError: if both ``resume`` and ``overwrite`` are given.
    """

    writes = True

    def __init__(
        self,
        folder: Path,
        *,
        resume: bool,
        overwrite: bool,
        results: Iterable[str],
        files: Mapping[str, str] | None = None,
    ) -> None:
        if resume and overwrite:
            raise ValueError(f"{folder}: expected either --resume or --overwrite, got both")
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f"{folder}: is a file; expected a folder for the results, or a new name for one"
            )
        self.folder = folder
        self.resume = resume
        self.files = dict(files or {})
        self.results = (*results, *self.files)
        self._written = False
        self._lock: int | None = None
        there = any(any(folder.glob(pattern)) for pattern in (CHECKPOINT_FILE, *self.results))
        if there and leads() and not (resume or overwrite):  # of several processes the first may have begun
            raise FileExistsError(
                f"{folder}: holds a run already; continue it with --resume, start anew with --overwrite, "
                "or give another folder"
            )

    def on_validation_end(self, trainer: Trainer) -> None:
        self._take_over()

    def on_step_end(self, trainer: Trainer) -> None:
        self._take_over()
        trainer.once_begun(self._describe)

    def on_fit_end(self, trainer: Trainer) -> None:
        if len(trainer.history):
            self._describe()

    def _describe(self) -> None:
        """Writes the files that describe the run, once."""
        if not self._written:
            self._written = True
            for name, text in self.files.items():
                write_text(self.folder / name, text)

    def state_dict(self) -> dict[str, Any]:
        return {"files": dict(self.files)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.files = dict(state["files"])

    def _take_over(self) -> None:
        """Makes the folder this run's, with the first step."""
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder, alone=not self.resume)
        if not self.resume:
            patterns = (*self.results, LOG_FILE)
            for path in [path for pattern in patterns for path in self.folder.glob(pattern)]:
                path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Lets others begin in the folder; so does the end of the process, whatever ends it."""
        if self._lock is not None and self._lock >= 0:
            os.close(self._lock)
        self._lock = None


def described(folder: str | Path) -> dict[str, str]:
    """Returns name -> text of the files that describe a run, as its checkpoint keeps them.

    Raises:
        CheckpointError: if the folder has no checkpoint, or a damaged one, or it keeps no such files.
    """
    path = Path(folder) / CHECKPOINT_FILE
    for name, memory in load_checkpoint(path).get("callbacks", []):
        if name == RunFolder.__name__ and memory.get("files"):
            files: dict[str, str] = memory["files"]
            return files
    raise CheckpointError(f"{path}: does not say how its run was trained")


def to_resume(out: str | Path) -> bool:
    """Says whether a script goes on: `torchrun` has started it again, and the checkpoint it wrote is there.

    Args:
        out: the trainer's folder.

    Example:
        >>> trainer.fit(x, y, epochs=10, resume=to_resume("run"))
    """
    return restarted() and (Path(out) / CHECKPOINT_FILE).exists()


def _locked(folder: Path, alone: bool) -> int:
    """Opens a folder and locks it, shared with other processes or not; -1 where there are no locks.

    Args:
        folder: the folder.
        alone: whether no other process may be using it.

    Raises:
        BlockingIOError: if another process is using it.
    """
    if fcntl is None:
        return -1
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if alone:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BlockingIOError(
            f"{folder}: another process trains there at this moment; wait for its end, or give another folder"
        ) from error
    except OSError:  # a file system without locks
        os.close(descriptor)
        return -1
    return descriptor
