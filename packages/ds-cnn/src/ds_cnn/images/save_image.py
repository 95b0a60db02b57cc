"""save_image: a tensor as a picture file."""

from __future__ import annotations

from pathlib import Path

from ds_core.checks import shape, shown
from ds_core.data.optional import needed
from ds_core.data.read_image import ENDINGS
from torch import Tensor


def save_image(image: Tensor, path: str | Path) -> None:
    """Writes an image, its numbers from 0 to 1, as 8-bit pixels; numbers beyond are cut off.

    Args:
        image: ``(3, height, width)``, or ``(1, height, width)`` for grey.
        path: the file; its ending says which format.

    Raises:
        ValueError: if the tensor is no such image, or no format has this ending.
        TypeError: if it is no tensor, or not floating point.
        ImportError: if pillow is missing.
    """
    if not isinstance(image, Tensor):
        raise TypeError(f"save_image: expected a tensor, got {shown(image)}")
    if not image.is_floating_point():
        raise TypeError(f"save_image: expected floating point numbers from 0 to 1, got {image.dtype}")
    if image.dim() != 3 or image.shape[0] not in (1, 3) or not image.numel():
        raise ValueError(f"save_image: expected an image (3 or 1, height, width), got shape {shape(image)}")
    if image.isnan().any():
        raise ValueError("save_image: expected numbers from 0 to 1, got NaN")
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"save_image: {path}: expected a name that ends with {', '.join(sorted(ENDINGS))}")
    pillow = needed("PIL.Image", "pillow", "save_image")
    channels, height, width = image.shape
    pixels = (image.detach().cpu().float().clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0)
    picture = pillow.frombytes(
        "L" if channels == 1 else "RGB", (width, height), bytes(pixels.flatten().tolist())
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
