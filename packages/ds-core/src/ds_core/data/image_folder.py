"""Folders of images, one folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ds_core.checks import as_path
from ds_core.data.dataset import Dataset
from ds_core.data.optional import needed
from ds_core.data.read_image import ENDINGS, check_image_options, read_image


def load_image_folder(
    path: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    bad: Literal["error", "skip"] = "error",
) -> Dataset:
    """Loads the images in a folder's subfolders, each of which is a class named by the subfolder.

    Classes and images come in alphabetic order. A camera's rotation is undone, and what is transparent shows
    white. Files with other endings than those of PNG, JPEG, BMP, GIF, WebP, PPM and TIFF are left out, with a
    note.

    Args:
        path: the folder; its subfolders may have subfolders in turn.
        size: (height, width) to which every image is resized, or one number for both; None if they are equal.
        mode: "RGB" for three channels, "L" for one of grey.
        bad: what to do about an image that cannot be read: "error", or "skip" it, with a note.

    Shape:
        x ``(N, 3 or 1, height, width)`` float32 in [0, 1]; y ``(N,)`` int64.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: names the file, if an image is bad or of another size; or says that there are no classes
            or no images.
        ImportError: if pillow is missing.
    """
    path = as_path("load_image_folder", path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path}: " + ("is a file, not a folder" if path.exists() else "no such folder")
        )
    check_image_options(mode, size, bad)
    needed("PIL.Image", "pillow", "load('imagefolder:...')")
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and folder.name[0] != ".")
    if not folders:
        raise ValueError(f"{path}: expected one subfolder of images for each class, got none")
    files = [(file, label) for label, folder in enumerate(folders) for file in sorted(folder.rglob("*"))]
    files = [(file, label) for file, label in files if file.is_file() and file.name[0] != "."]
    images: list[Tensor] = []
    labels: list[int] = []
    skipped: list[str] = []
    for file, label in files:
        if file.suffix.lower() not in ENDINGS:
            continue
        try:
            pixels = read_image(file, str(file), mode, size)
        except ValueError as error:
            if bad == "error":
                raise ValueError(f"{error}; pass bad='skip' to leave it out") from error
            skipped.append(str(file.relative_to(path)))
            continue
        if images and pixels.shape != images[0].shape:
            raise ValueError(
                f"{file}: expected an image of {_size(images[0])} like the first one, got {_size(pixels)}; "
                "pass size=(height, width) to resize all"
            )
        images.append(pixels)
        labels.append(label)
    if not images:
        raise ValueError(
            f"{path}: expected images ({', '.join(sorted(ENDINGS))}) in the subfolders, got none"
            + (f" that can be read: {', '.join(skipped)}" if skipped else "")
        )
    notes = []
    if skipped:
        notes.append(f"skipped {len(skipped):,} images that cannot be read: {', '.join(skipped)}")
    if others := sum(file.suffix.lower() not in ENDINGS for file, _ in files):
        notes.append(f"left out {others:,} files that are no images")
    if empty := [folder.name for label, folder in enumerate(folders) if label not in labels]:
        notes.append(f"classes without images: {', '.join(empty)}")
    return Dataset(
        torch.stack(images).float().div_(255),
        torch.tensor(labels),
        class_names=[folder.name for folder in folders],
        source=f"imagefolder:{path}",
        notes=notes,
    )


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[2]} pixels"
