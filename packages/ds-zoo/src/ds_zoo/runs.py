"""What models have in common that use a run: is it finished, have its data changed, where goes a picture?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ds_core.checks import Partial
from ds_core.data.read_image import ENDINGS
from ds_core.pretrained import has_weights
from ds_core.training.checkpoint import load_checkpoint
from ds_core.training.trainer import CHECKPOINT_FILE
from rich.console import Console
from rich.progress import track


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


def pictures_in(inputs: Sequence[str]) -> list[str]:
    """Returns image files; in place of a folder the pictures in it, by name, those of its subfolders not."""
    found: list[str] = []
    for path in inputs:
        files = sorted(Path(path).iterdir()) if path and Path(path).is_dir() else []
        inside = [str(file) for file in files if file.suffix.lower() in ENDINGS and file.name[0] != "."]
        found += inside or [path]
    return found


@contextmanager
def about(one: str) -> Iterator[None]:
    """Lets an error in the block name the input that it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{one}: {error}") from error


T = TypeVar("T")


def answered(
    inputs: Sequence[str], answer: Callable[[str], T], failed: list[str]
) -> Iterator[tuple[int, str, T]]:
    """Answers about inputs one by one, past those about which nothing can be said.

    How far it is with several is shown on the standard error, if that is a terminal.

    Args:
        inputs: image files, say.
        answer: says what is asked about one; its errors name it, see :func:`about`.
        failed: takes what is wrong with each that cannot be answered; see :func:`check_all_answered`.

    Yields:
        number, input and answer.

    Raises:
        FileNotFoundError: if there is one input, and no such file.
        ValueError: if none can be answered.
    """
    console = Console(stderr=True)
    shown = len(inputs) > 1 and console.is_terminal
    live = track(inputs, "Answering", console=console, transient=True) if shown else inputs
    for number, one in enumerate(live):
        try:
            said = answer(one)
        except (OSError, ValueError) as error:
            if len(inputs) == 1:
                raise
            failed.append(str(error))
            continue
        yield number, one, said
    if failed and len(failed) == len(inputs):
        raise ValueError("\n".join(failed))


def check_all_answered(answers: Any, failed: Sequence[str], inputs: Sequence[str]) -> None:
    """Checks that there is an answer about every input.

    Raises:
        Partial: says what is wrong with the others; holds the answers there are.
    """
    if failed:
        missing = f"{len(failed)} of {len(inputs)} could not be answered"
        raise Partial("\n".join([missing, *failed]), answers)


def places_of(out: str | Path | None, pictures: Sequence[str], endings: Collection[str]) -> list[Path]:
    """Returns where what is drawn of each picture goes; nothing if ``out`` is None.

    Args:
        out: a file; a folder if there are several pictures.
        pictures: all that are asked about; if two have one name, all get their numbers besides.
        endings: of the files that can be drawn, as ".png".

    Raises:
        NotADirectoryError: if there are several pictures, and ``out`` is a file.
        ValueError: if there is one, and ``out`` is a folder, or no picture's name.
    """
    if out is None:
        return []
    place = Path(out)
    if len(pictures) == 1:
        if place.is_dir() or place.suffix.lower() not in endings:
            known = ", ".join(sorted(endings))
            raise ValueError(
                f"{out}: expected the name of a picture, as found.png; what it may end with: {known}"
            )
        return [place]
    if place.is_file():
        raise NotADirectoryError(f"{out}: is a file; expected a folder for {len(pictures)} pictures")
    stems = [Path(picture).stem for picture in pictures]
    alone = len(set(stems)) == len(stems)
    return [
        place / (f"{stem}.png" if alone else f"{stem}-{number}.png") for number, stem in enumerate(stems, 1)
    ]


def check_apart(places: Iterable[str | Path | None], pictures: Sequence[str]) -> None:
    """Checks, before anything is computed, that each file to be written has a place of its own.

    Args:
        places: of the files; None for one that is not wanted.
        pictures: that are asked about.

    Raises:
        FileExistsError: if a picture that is asked about would be written over.
        IsADirectoryError: if a place is a folder.
        ValueError: if a file would be written over another one.
    """
    asked, taken = {Path(picture).resolve() for picture in pictures}, set[Path]()
    for place in (Path(place).resolve() for place in places if place is not None):
        if place in asked:
            raise FileExistsError(f"{place}: is one of the pictures that are asked about; give another name")
        if place in taken:
            raise ValueError(f"{place}: would be written twice; give each option a name of its own")
        if place.is_dir():
            raise IsADirectoryError(f"{place}: is a folder; expected the name of a file")
        taken.add(place)
