"""IDX files, the format of MNIST and Fashion-MNIST: a short header, then numbers."""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal, cast

import torch
from torch import Tensor

from ds_core.checks import as_path
from ds_core.data.dataset import Dataset, listed
from ds_core.data.unpack import DAMAGE, most_unpacked, too_large

# The third byte of a file -> the type of its numbers.
_TYPES = {
    0x08: torch.uint8,
    0x09: torch.int8,
    0x0B: torch.int16,
    0x0C: torch.int32,
    0x0D: torch.float32,
    0x0E: torch.float64,
}


_MOST_DIMENSIONS, _MOST_NUMBERS = 16, 2**40


def read_idx(path: str | Path) -> Tensor:
    """Reads an IDX file, compressed by gzip or not.

    The format: two zero bytes, one for the type, one for the number of dimensions, then each dimension in 4
    bytes, then the numbers; all with the highest byte first.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: names the file, if it is cut off, too long, damaged or something else, or would become a
            hundred times larger when unpacked.
    """
    path = as_path("read_idx", path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: " + ("is a folder" if path.is_dir() else "no such file"))
    size = path.stat().st_size
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file: IO[bytes] = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if compressed else raw
        try:
            dtype, sizes = _header(file, path)
            expected = math.prod(sizes) * dtype.itemsize
            if compressed and expected > most_unpacked(size):
                raise too_large(path, size)
            got = size - 4 - 4 * len(sizes)
            if compressed or got == expected:  # otherwise there is no need to read it
                data = bytearray(file.read(expected))
                got = len(data) + len(file.read(1))  # which also has gzip compare its checksum
        except DAMAGE as error:
            raise ValueError(f"{path}: cut off or damaged ({error})") from error
    if got != expected:
        what = "more" if compressed and got > expected else f"{got:,}"
        raise ValueError(
            f"{path}: {'cut off' if got < expected else 'too long'}: expected {expected:,} bytes for "
            f"{' x '.join(map(str, sizes))} numbers, got {what}"
        )
    if not expected:
        return torch.empty(sizes, dtype=dtype)
    numbers = torch.frombuffer(data, dtype=torch.uint8).view(-1, dtype.itemsize)
    return numbers.flip(1).contiguous().view(dtype).view(sizes)  # lowest byte first, as processors have it


def _header(file: IO[bytes], path: Path) -> tuple[torch.dtype, list[int]]:
    """Returns the type of the numbers, and the sizes of the dimensions."""
    kind = file.read(4)
    if len(kind) < 4 or kind[:2] != b"\0\0" or kind[2] not in _TYPES:
        raise ValueError(f"{path}: not an IDX file")
    words = file.read(4 * kind[3])
    if len(words) < 4 * kind[3]:
        raise ValueError(f"{path}: cut off within its header")
    sizes = [int.from_bytes(words[place : place + 4], "big") for place in range(0, len(words), 4)]
    if len(sizes) > _MOST_DIMENSIONS or math.prod(max(size, 1) for size in sizes) > _MOST_NUMBERS:
        raise ValueError(
            f"{path}: expected up to {_MOST_DIMENSIONS} dimensions of up to {_MOST_NUMBERS:,} numbers, got "
            f"{len(sizes)} of {listed([str(size) for size in sizes], 6)}"
        )
    return _TYPES[kind[2]], sizes


def load_idx(
    path: str | Path,
    *,
    split: Literal["train", "test"] | None = None,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Loads images and their labels from IDX files.

    Args:
        path: a folder with files named as MNIST's (``train-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte``,
            with or without ``.gz``); or a file of images, whose labels lie beside it under such a name.
        split: of a folder, "train" (None) or "test", the files called t10k.
        class_names: one for each class, which IDX files do not hold.

    Shape:
        x ``(N, 1, height, width)`` float32 in [0, 1]; y ``(N,)`` int64, None if no labels lie beside a file.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: names the file, if it is damaged, not images or not labels; or if lengths differ or a
            label has no name.

    Example:
        >>> load_idx("/usr/share/datasets/fashion-mnist", split="test")
    """
    path = as_path("load_idx", path)
    if path.is_dir():
        if split not in ("train", "test", None):
            raise ValueError(f"{path}: expected split 'train' or 'test', got {split!r}")
        images_file = _beside(
            path, "t10k-images-idx3-ubyte" if split == "test" else "train-images-idx3-ubyte"
        )
    elif split is not None:
        raise ValueError(f"{path}: split is for a folder; this is {'a file' if path.exists() else 'not one'}")
    else:
        images_file = path
    images = read_idx(images_file)
    if images.dim() != 3 or images.dtype != torch.uint8 or not images.numel():
        raise ValueError(
            f"{images_file}: expected images, N x height x width bytes, got "
            f"{' x '.join(map(str, images.shape))} numbers of {images.dtype}"
        )
    labels_name = images_file.name.replace("images-idx3", "labels-idx1").removesuffix(".gz")
    y = None
    if path.is_dir() or (
        labels_name != images_file.name.removesuffix(".gz") and _any(path.parent, labels_name)
    ):
        labels_file = _beside(images_file.parent, labels_name)
        labels = read_idx(labels_file)
        if labels.shape != images.shape[:1] or labels.is_floating_point():
            raise ValueError(
                f"{labels_file}: expected {len(images):,} labels, one for each image, got "
                f"{' x '.join(map(str, labels.shape))} numbers of {labels.dtype}"
            )
        y = labels.long()
        most = math.inf if class_names is None else len(class_names) - 1
        if bad := [label for label in (int(y.min()), int(y.max())) if not 0 <= label <= most]:
            raise ValueError(f"{labels_file}: expected labels from 0 to {most}, got {bad[0]}")
    return Dataset(
        images[:, None].float().div_(255),
        y,
        class_names=None if class_names is None else list(class_names),
        source=f"idx:{images_file}",
    )


def _any(folder: Path, name: str) -> Path | None:
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.is_file()), None)


def _beside(folder: Path, name: str) -> Path:
    file = _any(folder, name)
    if file is None:
        there = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
        raise FileNotFoundError(f"{folder}: expected {name} or {name}.gz in it, got {there}")
    return file
