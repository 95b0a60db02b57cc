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


class ImageFolder:
    """Images in a folder's subfolders, each of which is a class, decoded only when they are asked for.

    It goes into a :class:`DataLoader` as it is: a folder may hold far more than memory. Classes and images
    come in alphabetic order; a link to a file outside the folder is an error.

    Args:
        path: the folder; its subfolders may have subfolders in turn.
        size: (height, width) to which every image is resized, or one number for both; None for its own.
        mode: "RGB" for three channels, "L" for one of grey.

    Attributes:
        files: each image's path and the number of its class.
        class_names: the subfolders' names.
        others: how many files were left out, as they have no ending of an image.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if there are no classes or no images, or a file lies elsewhere; names it. So does reading
            an image that is bad.
        ImportError: if pillow is missing.

    Example:
        >>> loader = DataLoader(ImageFolder("pets", size=64), batch_size=32, shuffle=True, workers=2)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        size: int | tuple[int, int] | None = None,
        mode: Literal["RGB", "L"] = "RGB",
    ) -> None:
        path = as_path("ImageFolder", path)
        if not path.is_dir():
            raise FileNotFoundError(
                f"{path}: "
                + ("is a file, not a folder" if path.exists() else "no such folder")
                + "; expected one with a subfolder of images for each class"
            )
        check_image_options(mode, size)
        needed("PIL.Image", "pillow", "load('imagefolder:...')")
        folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and folder.name[0] != ".")
        if not folders:
            raise ValueError(f"{path}: expected one subfolder of images for each class, got none")
        found = [(file, label) for label, folder in enumerate(folders) for file in sorted(folder.rglob("*"))]
        found = [(file, label) for file, label in found if file.is_file() and file.name[0] != "."]
        self.path, self.size, self.mode = path, size, mode
        self.class_names = [folder.name for folder in folders]
        self.files = [(file, label) for file, label in found if file.suffix.lower() in ENDINGS]
        self.others = len(found) - len(self.files)
        if not self.files:
            raise ValueError(
                f"{path}: expected images ({', '.join(sorted(ENDINGS))}) in the subfolders, got none"
            )
        root = path.resolve()
        for file, _ in self.files:
            if not file.resolve().is_relative_to(root):
                raise ValueError(f"{file}: leads out of the folder {path}, to {file.resolve()}")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """Returns an image, uint8 ``(3 or 1, height, width)``, and its class.

        Raises:
            ValueError: if it cannot be read; names the file.
        """
        file, label = self.files[number]
        return read_image(file, str(file), self.mode, self.size), label


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
    check_image_options(mode, size, bad)
    listing = ImageFolder(path, size=size, mode=mode)
    images: list[Tensor] = []
    labels: list[int] = []
    skipped: list[str] = []
    for file, label in listing.files:
        try:
            pixels = read_image(file, str(file), mode, size)
        except ValueError as error:
            if bad == "error":
                raise ValueError(f"{error}; pass bad='skip' to leave it out") from error
            skipped.append(str(file.relative_to(listing.path)))
            continue
        if images and pixels.shape != images[0].shape:
            raise ValueError(
                f"{file}: expected an image of {_size(images[0])} like the first one, got {_size(pixels)}; "
                "pass size=(height, width) to resize all"
            )
        images.append(pixels)
        labels.append(label)
    if not images:
        raise ValueError(f"{path}: expected images, got none that can be read: {', '.join(skipped)}")
    notes = []
    if skipped:
        notes.append(f"skipped {len(skipped):,} images that cannot be read: {', '.join(skipped)}")
    if listing.others:
        notes.append(f"left out {listing.others:,} files that are not images")
    if empty := [name for label, name in enumerate(listing.class_names) if label not in labels]:
        notes.append(f"classes without images: {', '.join(empty)}")
    return Dataset(
        torch.stack(images).float().div_(255),
        torch.tensor(labels),
        class_names=listing.class_names,
        source=f"imagefolder:{path}",
        notes=notes,
    )


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[2]} pixels"
