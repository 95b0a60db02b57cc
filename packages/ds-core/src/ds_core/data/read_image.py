"""read_image: one picture as pixels, or a clear message about what is wrong with it."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ds_core.data.optional import needed

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
# What those files hold. Pillow knows some forty formats more, old and rarely tested; PostScript among them,
# which is a program, run by another program.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_ORIENTATION = 0x0112  # the tag that says how a camera was held
_UPRIGHT = {  # its value -> what undoes it
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def read_image(
    content: Path | bytes,
    name: str,
    mode: Literal["RGB", "L"] | None = "RGB",
    size: int | tuple[int, int] | None = None,
) -> Tensor:
    """Decodes a PNG, JPEG, BMP, GIF, WebP, PPM or TIFF.

    A camera's rotation is undone, and what is transparent shows white. Of pictures that move, the first one.

    Args:
        content: the file, or what is in it.
        name: what messages call it.
        mode: "RGB" for three channels, "L" for one of grey; None for "L" if the picture is grey, else "RGB".
        size: (height, width) to which it is resized, or one number for both; None for its own.

    Returns:
        uint8 ``(channels, height, width)``.

    Raises:
        ValueError: names it, if it is damaged, of another format, has more than 8 bits a channel, which
            pillow would cut off without a word, or more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
        ImportError: if pillow is missing.
    """
    pillow = needed("PIL.Image", "pillow", "an image")
    try:
        with _opened(pillow, content) as image:
            return _pixels(pillow, image, mode, size)
    except Exception as error:  # damage makes a decoder raise anything
        raise ValueError(
            f"{name}: cannot be read as an image ({error or type(error).__name__}); expected a whole "
            f"{', '.join(_FORMATS[:-1])} or {_FORMATS[-1]} file"
        ) from error


def check_image_options(mode: str, size: object, bad: str = "error") -> None:
    """Checks the options that all readers of images share.

    Raises:
        ValueError: names the option.
    """
    if mode not in ("RGB", "L"):
        raise ValueError(f"mode: expected 'RGB' or 'L', got {mode!r}")
    if bad not in ("error", "skip"):
        raise ValueError(f"bad: expected 'error' or 'skip', got {bad!r}")
    sides = size if isinstance(size, (tuple, list)) else (size, size)
    whole = [isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in sides]
    if size is not None and whole != [True, True]:
        raise ValueError(
            f"size: expected (height, width) in pixels, one number for both, or None, got {size!r}"
        )


def _opened(pillow: Any, content: Path | bytes) -> Any:
    """Opens a picture whose header is in order, and decodes nothing yet."""

    def again() -> Any:
        return pillow.open(BytesIO(content) if isinstance(content, bytes) else content, formats=_FORMATS)

    image = again()
    most = pillow.MAX_IMAGE_PIXELS
    if most is not None and image.width * image.height > most:
        raise ValueError(
            f"{image.width:,} x {image.height:,} pixels, more than PIL.Image.MAX_IMAGE_PIXELS = {most:,}"
        )
    if image.mode[0] in "IF" or any(_is_deep(image.format, tile[3]) for tile in image.tile):
        raise ValueError(f"more than 8 bits a channel (mode {image.mode}), expected 8")
    if image.format != "PNG":
        return image
    image.verify()  # the sums that PNG keeps of its parts; it leaves nothing to decode
    return again()


def _is_deep(format: str, layout: Any) -> bool:
    """Says whether a channel has more than 8 bits in the file, whatever the picture's mode says."""
    if format == "PPM":
        return isinstance(layout, tuple) and layout[1] > 255  # the largest number
    return format in ("PNG", "TIFF") and ";16" in str(layout)


def _orientation(image: Any) -> int:
    """Returns how the camera was held, from 1 to 8; 0 if the picture does not say.

    Pillow takes EXIF data that it cannot read for none.
    """
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    if exif.strip(b"\0"):
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
        start = struct.unpack(f"{order}I", exif[4:8])[0] if order and len(exif) >= 8 else len(exif)
        tags = struct.unpack(f"{order}H", exif[start : start + 2])[0] if start + 2 <= len(exif) else None
        if tags is None or start + 2 + 12 * tags > len(exif):
            raise ValueError("its EXIF data are damaged, so it is unknown how the camera was held")
    turn = image.getexif().get(_ORIENTATION, 0)
    if not isinstance(turn, int) or not 0 <= turn <= 8:
        raise ValueError(f"its EXIF data are damaged: expected an orientation from 1 to 8, got {turn!r}")
    return turn


def _pixels(pillow: Any, image: Any, mode: str | None, size: int | tuple[int, int] | None) -> Tensor:
    """Decodes an opened picture."""
    turn = _orientation(image)
    if turn in _UPRIGHT:
        image = image.transpose(pillow.Transpose[_UPRIGHT[turn]])
    mode = mode or ("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        # Transparent pixels may have any colour in the file: they are not meant to be seen.
        image = image.convert("RGBA")
        paper = pillow.new("RGBA", image.size, "white")
        image = pillow.alpha_composite(paper, image)
    image = image.convert(mode)
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        image = image.resize((width, height))
    raw = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return raw.view(image.height, image.width, len(mode)).permute(2, 0, 1)
