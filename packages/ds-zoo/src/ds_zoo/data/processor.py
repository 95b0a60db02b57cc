"""How pictures become the pixels a model looks at: resized, cropped, and normalised, as a file says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from ds_core.checks import shape
from ds_core.data.read_image import read_image
from ds_core.training.files import read_json, write_text
from PIL import Image
from torch import Tensor

PROCESSOR_FILE = "preprocessor_config.json"
MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the pictures that the published CLIP learned from
STD = (0.26862954, 0.26130258, 0.27577711)
BILINEAR, BICUBIC = 2, 3  # pillow's numbers
_FOLDER = "is a folder; expected an image file (`predict` takes a folder that has some, too)"

# What a file leaves out, by the model it belongs to; as in transformers.
PUBLISHED: dict[str, dict[str, Any]] = {
    "CLIPImageProcessor": {
        **{"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True},
        **{"image_mean": MEAN, "image_std": STD, "resample": BICUBIC},
    },
    "ViTImageProcessor": {
        **{"size": {"height": 224, "width": 224}, "crop_size": 224, "do_center_crop": False},
        **{"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5), "resample": BILINEAR},
    },
    "DeiTImageProcessor": {  # of ViTs trained by distillation
        **{"size": {"height": 256, "width": 256}, "crop_size": 224, "do_center_crop": True},
        **{"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5), "resample": BICUBIC},
    },
}


@dataclass(frozen=True)
class ImageProcessor:
    """Makes pixels of pictures: x = (picture / 255 - mean) / std, after resizing and cropping.

    Args:
        size: length of the shorter side in pixels, the other one following; or (height, width); None to leave
            sizes as they are.
        crop: (height, width) that is cut out of the middle; what lies outside is black; None for no crop.
        mean: of each channel: three for colour, one for grey.
        std: of each channel.
        resample: how to resize, pillow's number: 0 nearest, 2 bilinear, 3 bicubic.
        rescale: what pixels from 0 to 255 are multiplied by.
        kind: what its file calls it: "CLIPImageProcessor", "ViTImageProcessor" or "DeiTImageProcessor".

    Raises:
        ValueError: if a size is below 1, there are not as many deviations as means, or a name is unknown.

    Source: ``CLIPImageProcessor``, ``ViTImageProcessor`` and ``DeiTImageProcessor`` of `transformers`, with
    pillow.
    """

    size: int | tuple[int, int] | None = 224
    crop: tuple[int, int] | None = (224, 224)
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    resample: int = BICUBIC
    rescale: float = 1 / 255
    kind: str = "CLIPImageProcessor"

    def __post_init__(self) -> None:
        sides = [self.size] if isinstance(self.size, int) else list(self.size or ())
        if any(side < 1 for side in (*sides, *(self.crop or ()))):
            raise ValueError(
                f"ImageProcessor: expected sizes of at least 1, got size={self.size}, crop={self.crop}"
            )
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean) or min(self.std) <= 0:
            raise ValueError(
                "ImageProcessor: expected three means and three deviations above 0, or one of each for grey, "
                f"got mean={self.mean}, std={self.std}"
            )
        if self.resample not in range(6):
            raise ValueError(f"ImageProcessor: expected resample from 0 to 5, got {self.resample}")
        if self.kind not in PUBLISHED:
            raise ValueError(f"ImageProcessor: expected {' or '.join(PUBLISHED)} as kind, got {self.kind!r}")

    @classmethod
    def of_size(cls, side: int) -> Self:
        """Makes one for a tower that looks at squares of so many pixels, with the published mean."""
        return cls(side, (side, side))

    @property
    def channels(self) -> int:
        """Counts the channels: 3 for colour, 1 for grey."""
        return len(self.mean)

    @property
    def mode(self) -> Literal["RGB", "L"]:
        """Returns pillow's word for colour or grey."""
        return "L" if self.channels == 1 else "RGB"

    def read(self, path: str | Path) -> Tensor:
        """Reads an image file in its own size, uint8 ``(channels, H, W)``.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it cannot be read; names it.
        """
        return read_picture(path, self.mode)

    def __call__(self, images: Sequence[Tensor | Image.Image]) -> Tensor:
        """Returns the pixels of pictures, as float32 ``(N, C, H', W')``.

        Args:
            images: of pillow, or uint8 ``(C, H, W)``; C is 3 for colour and 1 for grey.

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
        """Returns pixels from 0 to 255, uint8 ``(N, C, H, W)``, as the model wants them, float32."""
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (self.mean, self.std))
        return (pixels * self.rescale - mean) / std

    def sized(self, image: Tensor | Image.Image) -> Tensor:
        """Returns a picture resized and cropped, uint8 ``(C, H', W')``; see :meth:`__call__`."""
        if isinstance(image, Tensor):
            if image.dtype != torch.uint8 or image.dim() != 3 or len(image) != self.channels:
                raise ValueError(
                    f"ImageProcessor: expected uint8 ({self.channels}, H, W), got {image.dtype} "
                    f"{shape(image)}"
                )
            height, width = image.shape[1:]
            if self._wanted(height, width) == (height, width):
                return self._cropped(image)
            flat = image.permute(1, 2, 0).contiguous()
            image = Image.frombytes(self.mode, (width, height), flat.numpy().tobytes())
        picture = image.convert(self.mode)
        width, height = picture.size
        wanted = self._wanted(height, width)
        if wanted != (height, width):
            picture = picture.resize((wanted[1], wanted[0]), Image.Resampling(self.resample))
        raw = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        return self._cropped(raw.view(picture.height, picture.width, self.channels).permute(2, 0, 1))

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
            "image_processor_type": self.kind,
            "do_convert_rgb": self.mode == "RGB",
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
    def from_fields(cls, fields: Mapping[str, Any], kind: str = "CLIPImageProcessor") -> Self:
        """Makes one of the fields of ``preprocessor_config.json``.

        Args:
            fields: what is left out, or null, is as published; a step whose ``do_...`` is null is left out.
            kind: by whose publication, where the fields do not say: "CLIPImageProcessor" or
                "ViTImageProcessor".

        Raises:
            ValueError: if a field is of a form that is not known, or the kind is.
        """
        fields = {name: value for name, value in fields.items() if value is not None or name[:3] == "do_"}
        named = fields.get("image_processor_type", fields.get("feature_extractor_type", kind))
        kind = re.sub("FeatureExtractor$|ImageProcessor(Fast|Pil)$", "ImageProcessor", str(named))
        if kind not in PUBLISHED:
            raise ValueError(f"expected image_processor_type {' or '.join(PUBLISHED)}, got {named!r}")
        fields = {"do_resize": True, "do_rescale": True, "do_normalize": True, **PUBLISHED[kind], **fields}
        size = _size(fields["size"])
        if isinstance(fields["size"], int) and kind != "CLIPImageProcessor":
            size = (fields["size"],) * 2  # old files: a square
        crop = _size(fields["crop_size"])
        mean, std = tuple(fields["image_mean"]), tuple(fields["image_std"])
        return cls(
            size if fields["do_resize"] else None,
            ((crop, crop) if isinstance(crop, int) else crop) if fields["do_center_crop"] else None,
            mean if fields["do_normalize"] else (0.0,) * len(mean),
            std if fields["do_normalize"] else (1.0,) * len(mean),
            fields["resample"],
            fields.get("rescale_factor", 1 / 255) if fields["do_rescale"] else 1.0,
            kind,
        )

    def save(self, folder: str | Path) -> None:
        """Writes ``preprocessor_config.json``."""
        write_text(Path(folder) / PROCESSOR_FILE, self.file_text())

    def file_text(self) -> str:
        """Returns what :meth:`save` writes."""
        return json.dumps(self.to_fields(), indent=2) + "\n"

    @classmethod
    def load(cls, folder: str | Path, kind: str = "CLIPImageProcessor") -> Self:
        """Reads ``preprocessor_config.json`` in a folder.

        Args:
            folder: where it is.
            kind: see :meth:`from_fields`.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is damaged.
        """
        path = Path(folder) / PROCESSOR_FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        try:
            return cls.from_fields(read_json(path, "how pictures are prepared"), kind)
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"{path}: not how pictures are prepared ({error})") from error


def _size(given: Any) -> int | tuple[int, int]:
    """Returns the size a file names: a number, in old ones, or words."""
    if isinstance(given, int):
        return given
    if isinstance(given, list) and len(given) == 2:
        return int(given[0]), int(given[1])
    if isinstance(given, Mapping):
        if set(given) == {"shortest_edge"}:
            return int(given["shortest_edge"])
        if set(given) == {"height", "width"}:
            return int(given["height"]), int(given["width"])
    raise ValueError(f"expected a size: a number, shortest_edge, or height and width, got {given!r}")


def read_picture(path: str | Path, mode: Literal["RGB", "L"] = "RGB") -> Tensor:
    """Reads an image file, uint8 ``(3, H, W)``, or ``(1, H, W)`` for "L".

    See :func:`ds_core.data.read_image.read_image`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it cannot be read; names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: " + (_FOLDER if path.is_dir() else "no such file"))
    return read_image(path, str(path), mode)
