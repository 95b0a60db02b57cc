"""What every model's ``load`` asks of a run folder first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ds_core.pretrained import has_weights


def finished(folder: str | Path, model: str, files: Sequence[str] = ()) -> Path:
    """Checks that a folder holds a finished training, and returns it.

    Args:
        folder: a run folder, or one in the Hugging Face format.
        model: its name on the command line.
        files: one of these must be there, too; a message names the first.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder; train one with `ds-zoo train {model} --out {folder}`"
        )
    if not has_weights(folder) or (files and not any((folder / name).exists() for name in files)):
        lacks = f"weights or {files[0]}" if files else "weights"
        raise FileNotFoundError(
            f"{folder}: lacks {lacks}, so it holds no finished training; continue it with --resume, or train "
            "anew"
        )
    return folder
