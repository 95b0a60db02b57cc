"""How pictures become the pixels a tower looks at: resized, cropped, and normalised, as a file says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from ds_core.checks import shape
from ds_core.data.read_image import read_image
from ds_core.training.files import read_json, write_text
from PIL import Image
from torch import Tensor

PROCESSOR_FILE = "preprocessor_config.json"
MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the pictures that the published CLIP learned from
STD = (0.26862954, 0.26130258, 0.27577711)
BICUBIC = 3  # pillow's number


@dataclass(frozen=True)
class ImageProcessor:
    """Makes pixels of pictures: x = (picture / 255 - mean) / std, after resizing and cropping.

    Args:
        size: length of the shorter side in pixels, the other one following; or (height, width); None to leave
            sizes as they are.
        crop: (height, width) that is cut out of the middle; what lies outside is black; None for no crop.
        mean: of each channel.
        std: of each channel.
        resample: how to resize, pillow's number: 0 nearest, 2 bilinear, 3 bicubic.
        rescale: what pixels from 0 to 255 are multiplied by.

    Raises:
        ValueError: if a size is below 1, or there are not three means and deviations.

    Source: ``transformers.CLIPImageProcessor`` with pillow.
    """

    size: int | tuple[int, int] | None = 224
    crop: tuple[int, int] | None = (224, 224)
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    resample: int = BICUBIC
    rescale: float = 1 / 255

    def __post_init__(self) -> None:
        sides = [self.size] if isinstance(self.size, int) else list(self.size or ())
        if any(side < 1 for side in (*sides, *(self.crop or ()))):
            raise ValueError(
                f"ImageProcessor: expected sizes of at least 1, got size={self.size}, crop={self.crop}"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                "ImageProcessor: expected three means and three deviations above 0, got "
                f"mean={self.mean}, std={self.std}"
            )
        if self.resample not in range(6):
            raise ValueError(f"ImageProcessor: expected resample from 0 to 5, got {self.resample}")

    @classmethod
    def of_size(cls, side: int) -> Self:
        """Makes one for a tower that looks at squares of so many pixels, with the published mean."""
        return cls(side, (side, side))

    def __call__(self, images: Sequence[Tensor | Image.Image]) -> Tensor:
        """Returns the pixels of pictures: of pillow, or uint8 ``(3, H, W)``, as float32 ``(N, 3, H', W')``.

        Raises:
            ValueError: if a picture is something else, or they come out in different sizes.
        """
        if not len(images):
            raise ValueError("ImageProcessor: expected at least one picture, got none")
        sized = [self.sized(image) for image in images]
        if len({image.shape for image in sized}) > 1:
            raise ValueError(
                "ImageProcessor: pictures of different sizes do not make a batch: "
                f"{' and '.join(sorted({shape(image) for image in sized})[:2])}; give a crop"
            )
        return self.normalised(torch.stack(sized))

    def normalised(self, pixels: Tensor) -> Tensor:
        """Returns pixels from 0 to 255, uint8 ``(N, 3, H, W)``, as the tower wants them, float32."""
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (self.mean, self.std))
        return (pixels * self.rescale - mean) / std

    def sized(self, image: Tensor | Image.Image) -> Tensor:
        """Returns a picture resized and cropped, uint8 ``(3, H', W')``; see :meth:`__call__`."""
        if isinstance(image, Tensor):
            if image.dtype != torch.uint8 or image.dim() != 3 or len(image) != 3:
                raise ValueError(
                    f"ImageProcessor: expected uint8 (3, H, W), got {image.dtype} {shape(image)}"
                )
            height, width = image.shape[1:]
            if self._wanted(height, width) == (height, width):
                return self._cropped(image)
            flat = image.permute(1, 2, 0).contiguous()
            image = Image.frombytes("RGB", (width, height), bytes(flat.flatten().tolist()))
        picture = image.convert("RGB")
        width, height = picture.size
        wanted = self._wanted(height, width)
        if wanted != (height, width):
            picture = picture.resize((wanted[1], wanted[0]), Image.Resampling(self.resample))
        raw = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        return self._cropped(raw.view(picture.height, picture.width, 3).permute(2, 0, 1))

    def _wanted(self, height: int, width: int) -> tuple[int, int]:
        """Returns the size after resizing: the shorter side as asked for, the longer one in proportion."""
        if self.size is None:
            return height, width
        if not isinstance(self.size, int):
            return self.size
        short, long = sorted((height, width))
        longer = int(self.size * long / short)
        return (self.size, longer) if height <= width else (longer, self.size)

    def _cropped(self, pixels: Tensor) -> Tensor:
        if self.crop is None:
            return pixels
        for dim, side in ((1, self.crop[0]), (2, self.crop[1])):
            have = pixels.shape[dim]
            if have < side:  # black around it
                before = math.ceil((side - have) / 2)
                around = list(pixels.shape)
                around[dim] = side
                wide = pixels.new_zeros(around)
                wide.narrow(dim, before, have).copy_(pixels)
                pixels = wide
            else:
                pixels = pixels.narrow(dim, (have - side) // 2, side)
        return pixels

    # ---- files -----------------------------------------------------------------------------------------

    def to_fields(self) -> dict[str, Any]:
        """Returns the fields of ``preprocessor_config.json``."""
        fields: dict[str, Any] = {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": self.size is not None,
            "do_center_crop": self.crop is not None,
            "do_rescale": True,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "resample": self.resample,
            "rescale_factor": self.rescale,
        }
        if isinstance(self.size, int):
            fields["size"] = {"shortest_edge": self.size}
        elif self.size is not None:
            fields["size"] = {"height": self.size[0], "width": self.size[1]}
        if self.crop is not None:
            fields["crop_size"] = {"height": self.crop[0], "width": self.crop[1]}
        return fields

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Makes one of the fields of ``preprocessor_config.json``; what is left out is as published.

        Raises:
            ValueError: if a field is of a form that is not known.
        """
        size = _size(fields.get("size", 224)) if fields.get("do_resize", True) else None
        crop = _size(fields.get("crop_size", 224)) if fields.get("do_center_crop", True) else None
        normal = fields.get("do_normalize", True)
        return cls(
            size,
            (crop, crop) if isinstance(crop, int) else crop,
            tuple(fields.get("image_mean", MEAN)) if normal else (0.0, 0.0, 0.0),
            tuple(fields.get("image_std", STD)) if normal else (1.0, 1.0, 1.0),
            fields.get("resample", BICUBIC),
            fields.get("rescale_factor", 1 / 255) if fields.get("do_rescale", True) else 1.0,
        )

    def save(self, folder: str | Path) -> None:
        """Writes ``preprocessor_config.json``."""
        write_text(Path(folder) / PROCESSOR_FILE, self.file_text())

    def file_text(self) -> str:
        """Returns what :meth:`save` writes."""
        return json.dumps(self.to_fields(), indent=2) + "\n"

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads ``preprocessor_config.json`` in a folder.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is damaged.
        """
        path = Path(folder) / PROCESSOR_FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        try:
            return cls.from_fields(read_json(path, "how pictures are prepared"))
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"{path}: not how pictures are prepared ({error})") from error


def _size(given: Any) -> int | tuple[int, int]:
    """Returns the size a file names: a number, in old ones, or words."""
    if isinstance(given, int):
        return given
    if isinstance(given, Mapping):
        if set(given) == {"shortest_edge"}:
            return int(given["shortest_edge"])
        if set(given) == {"height", "width"}:
            return int(given["height"]), int(given["width"])
    raise ValueError(f"expected a size: a number, shortest_edge, or height and width, got {given!r}")


def read_picture(path: str | Path) -> Tensor:
    """Reads an image file, uint8 ``(3, H, W)``; see :func:`ds_core.data.read_image.read_image`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it cannot be read; names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: " + ("is a folder" if path.is_dir() else "no such file"))
    return read_image(path, str(path))
