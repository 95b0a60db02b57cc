"""load_image: one picture from a file; for folders of them see :func:`ds_core.data.load`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ds_core.data.read_image import check_image_options, read_image
from torch import Tensor


def load_image(
    path: str | Path, *, size: int | tuple[int, int] | None = None, mode: Literal["RGB", "L"] = "RGB"
) -> Tensor:
    """Loads a PNG, JPEG, BMP, GIF, WebP, PPM or TIFF as numbers from 0 to 1.

    A camera's rotation is undone, and what is transparent shows white. Whole data sets are loaded by
    ``ds_core.data.load("imagefolder:FOLDER")``, ``"idx:FOLDER"`` and ``"hf:NAME"``, in the same way.

    Args:
        path: the file.
        size: (height, width) to which it is resized, or one number for both; None for its own.
        mode: "RGB" for three channels, "L" for one of grey.

    Returns:
        ``(3 or 1, height, width)`` float32 in [0, 1].

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: names the file, if it cannot be read as an image.
        ImportError: if pillow is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: " + ("is a folder" if path.is_dir() else "no such file"))
    check_image_options(mode, size)
    return read_image(path, str(path), mode, size).float().div_(255)
