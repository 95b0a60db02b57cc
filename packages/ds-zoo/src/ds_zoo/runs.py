"""What models have in common that use a run: is it finished, have its data changed, where goes a picture?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ds_core.pretrained import has_weights
from ds_core.training.checkpoint import load_checkpoint
from ds_core.training.trainer import CHECKPOINT_FILE


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


def check_unchanged(folder: Path, name: str, data: str) -> None:
    """Checks that a run's data are those it was trained on: of others, what is held out may be learned.

    A folder without its checkpoint does not tell.

    Args:
        folder: the run folder.
        name: of the setting by which the checkpoint knows the data.
        data: what it is now.

    Raises:
        ValueError: if it is another.
    """
    if not (folder / CHECKPOINT_FILE).is_file():
        return
    there = load_checkpoint(folder / CHECKPOINT_FILE)["settings"]["settings"].get(name, data)
    if there != data:
        raise ValueError(
            f"{folder}: its data have changed since it was trained, and with them what is held out: some of "
            "it may have been learned. Give data of their own with --data"
        )


def place_of(out: str | Path, number: int, pictures: Sequence[str]) -> Path:
    """Returns where what is drawn of a picture goes, whose folder is made if needed.

    Args:
        out: a file; a folder if there are several pictures.
        number: of the picture.
        pictures: all that are asked about; if two have one name, all get their numbers besides.

    Raises:
        NotADirectoryError: if there are several pictures, and ``out`` is a file.
        ValueError: if there is one, and ``out`` is a folder, or no picture's name.
    """
    place = Path(out)
    if len(pictures) > 1:
        if place.is_file():
            raise NotADirectoryError(f"{out}: is a file; expected a folder for {len(pictures)} pictures")
        stems = [Path(picture).stem for picture in pictures]
        alone = len(set(stems)) == len(stems)
        place /= f"{stems[number]}.png" if alone else f"{stems[number]}-{number + 1}.png"
    elif place.is_dir() or not place.suffix:
        raise ValueError(f"{out}: expected the name of a picture, as found.png")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
