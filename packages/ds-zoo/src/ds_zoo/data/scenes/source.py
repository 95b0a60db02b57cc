"""Scenes: pictures of shapes without end, as a dataset, for every model that looks at images."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, overload

import torch
from PIL import Image
from torch import Tensor

from ds_zoo.data.scenes.captions import attribute_captions, captions
from ds_zoo.data.scenes.scene import TEXTURES, Pair, Plan, Scene, make_scene
from ds_zoo.data.scenes.shapes import COLOURS, KINDS, SIZES

# What a sample may hold; see :class:`Scenes`.
COLUMNS = (
    "image",
    "pixels",
    "label",
    "colour",
    "caption",
    "captions",
    "boxes",
    "labels",
    "colours",
    "masks",
    "semantic",
)
ALL_PAIRS: tuple[Pair, ...] = tuple((colour, kind) for colour in COLOURS for kind in KINDS)


class Scenes:
    """Draws pictures of shapes, with class, captions, boxes, masks and semantic map that agree.

    Scene i depends on the seed, the options and i alone, so nothing is stored, there is no last one, and
    two ranges of numbers are two data sets: train on the first million, test on what ``start`` lets follow.
    They are used as one of the package `datasets`: ``len(scenes)``, ``scenes[i]``, ``for sample in
    scenes``, ``scenes.column_names``, ``scenes.select_columns(...)``; a DataLoader takes them, too.

    Args:
        count: how many there are.
        seed: of everything.
        size: (height, width) in pixels, or one number for both; at least 16.
        objects: how many shapes are in a scene: a number, or (fewest, most); fewer where no place is left.
        pairs: the combinations of (colour, kind) that occur; None for all 64. See :func:`hold_out`.
        sizes: which sizes occur.
        textures: which backgrounds occur.
        overlap: how far shapes may cover one another, from 0 (not at all) to 0.9; of each shape three
            tenths can be seen at least.
        noise: strongest share of random pixels mixed in, from 0 to 1.
        turn: by how many radians shapes are turned at most.
        one_attribute: share of scenes whose caption names only colours or only kinds.
        columns: what a sample holds; only what is asked for is computed.
        start: number of the first scene.

    Columns:
        image: the picture, of pillow; pixels: the same, uint8 ``(3, H, W)``;
        label, colour: kind and colour of the shape of which most can be seen, -1 where there is none;
        caption: one true sentence; captions: all that there are;
        boxes ``(n, 4)``, labels ``(n,)``, colours ``(n,)``, masks ``(n, H, W)``: of each shape, the one in
        front last, see :class:`Scene`; semantic ``(H, W)`` int64: 0 for the background, 1 + kind elsewhere.

    Raises:
        ValueError: if an option is out of range or a name unknown.
        IndexError: if there is no such scene.

    Example:
        >>> scenes = Scenes(1000, size=96, objects=(1, 5), columns=("pixels", "boxes", "labels"))
        >>> scenes[0]["boxes"]
    """

    def __init__(
        self,
        count: int = 10_000,
        *,
        seed: int = 0,
        size: int | tuple[int, int] = 64,
        objects: int | tuple[int, int] = 1,
        pairs: Sequence[Pair] | None = None,
        sizes: Sequence[str] = tuple(SIZES),
        textures: Sequence[str] = TEXTURES,
        overlap: float = 0.3,
        noise: float = 0.15,
        turn: float = 0.35,
        one_attribute: float = 0.0,
        columns: Sequence[str] = COLUMNS,
        start: int = 0,
    ) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        fewest, most = (objects, objects) if isinstance(objects, int) else objects
        _expect(count >= 0 and start >= 0, "count and start", "numbers of at least 0", (count, start))
        _expect(min(height, width) >= 16, "size", "at least 16 pixels", size)
        _expect(0 <= fewest <= most, "objects", "a number, or (fewest, most)", objects)
        _expect(0 <= overlap <= 0.9, "overlap", "a number from 0 to 0.9", overlap)
        for name, value in (("noise", noise), ("one_attribute", one_attribute)):
            _expect(0 <= value <= 1, name, "a number from 0 to 1", value)
        pairs = ALL_PAIRS if pairs is None else tuple((colour, kind) for colour, kind in pairs)
        for name, given, known in (
            ("pairs", pairs, ALL_PAIRS),
            ("sizes", sizes, tuple(SIZES)),
            ("textures", textures, TEXTURES),
            ("columns", columns, COLUMNS),
        ):
            unknown = [one for one in given if one not in known]
            _expect(
                bool(given) and not unknown, name, f"some of {', '.join(map(str, known))}", unknown or given
            )
        self.count, self.seed, self.start = count, seed, start
        self.plan = Plan(
            (width, height), (fewest, most), pairs, tuple(sizes), tuple(textures), overlap, noise, turn
        )
        self.one_attribute = one_attribute
        self.column_names = list(columns)
        self.class_names = list(KINDS)
        self.format = {"type": "torch"}  # samples are tensors already, as `datasets` says it

    def __len__(self) -> int:
        return self.count

    @overload
    def __getitem__(self, number: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, number: str) -> list[Any]: ...
    def __getitem__(self, number: int | str) -> dict[str, Any] | list[Any]:
        """Returns a sample, or a whole column by its name."""
        if isinstance(number, str):
            return [sample[number] for sample in self.select_columns([number])]
        return self._sample(self.scene(number), number)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[number] for number in range(self.count))

    def scene(self, number: int) -> Scene:
        """Returns the scene of a number, with all that is known of it."""
        if not -self.count <= number < self.count:
            raise IndexError(
                f"Scenes: expected a number from 0 to {self.count - 1}, got {number}; count=... gives more"
            )
        return make_scene(self.plan, self.seed, self.start + number % self.count)

    def select_columns(self, columns: Sequence[str] | str) -> Scenes:
        """Returns the same scenes with other columns."""
        columns = [columns] if isinstance(columns, str) else list(columns)
        unknown = [one for one in columns if one not in COLUMNS]
        _expect(bool(columns) and not unknown, "columns", f"some of {', '.join(COLUMNS)}", unknown)
        other = object.__new__(type(self))
        other.__dict__ = self.__dict__ | {"column_names": columns}
        return other

    def setting(self) -> dict[str, Any]:
        """Returns what the scenes depend on, as words and numbers."""
        plan = {name: getattr(self.plan, name) for name in Plan.__dataclass_fields__}
        return {
            "count": self.count,
            "seed": self.seed,
            "start": self.start,
            "one_attribute": self.one_attribute,
            **plan,
        }

    def _sample(self, scene: Scene, number: int) -> dict[str, Any]:
        make = {
            "image": lambda: scene.image,
            "pixels": lambda: pixels(scene.image),
            "label": lambda: main_shape(scene, "kind"),
            "colour": lambda: main_shape(scene, "colour"),
            "caption": lambda: self._caption(scene, number),
            "captions": lambda: captions(scene),
            "boxes": lambda: scene.boxes,
            "labels": lambda: torch.tensor([KINDS.index(s.kind) for s in scene.shapes], dtype=torch.int64),
            "colours": lambda: torch.tensor(
                [COLOURS.index(s.colour) for s in scene.shapes], dtype=torch.int64
            ),
            "masks": lambda: scene.masks,
            "semantic": lambda: semantic(scene),
        }
        return {name: make[name]() for name in self.column_names}

    def _caption(self, scene: Scene, number: int) -> str:
        draw = random.Random(f"{self.seed}/{self.start + number % self.count}/caption")
        one = draw.random() < self.one_attribute
        return draw.choice(attribute_captions(scene) if one else captions(scene))

    def __repr__(self) -> str:
        """Shows what the scenes depend on."""
        return f"Scenes({', '.join(f'{k}={v}' for k, v in self.setting().items() if k != 'pairs')})"


def hold_out(count: int, *, seed: int = 0) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Splits the 64 combinations of colour and kind: some to learn from, ``count`` never seen together.

    Every colour and every kind is held out about equally often, so that each is met with many others.

    Args:
        count: how many are held out, from 0 to 56.
        seed: which.

    Returns:
        The combinations seen, and those held out.
    """
    _expect(0 <= count <= 56, "count", "a number from 0 to 56", count)
    draw = random.Random(f"{seed}/hold out")
    colours, kinds = list(COLOURS), list(KINDS)
    draw.shuffle(colours)
    draw.shuffle(kinds)
    diagonals = [(colours[i], kinds[(i + shift) % 8]) for shift in range(8) for i in range(8)]
    unseen = set(diagonals[:count])
    return (
        tuple(pair for pair in ALL_PAIRS if pair not in unseen),
        tuple(pair for pair in ALL_PAIRS if pair in unseen),
    )


def pixels(image: Image.Image) -> Tensor:
    """Returns a picture of mode "RGB" as uint8 ``(3, H, W)``."""
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.view(image.height, image.width, 3).permute(2, 0, 1).contiguous()


def semantic(scene: Scene) -> Tensor:
    """Returns the class of each pixel, int64 ``(H, W)``: 0 for the background, 1 + kind elsewhere."""
    found = torch.zeros(scene.image.height, scene.image.width, dtype=torch.int64)
    for shape, mask in zip(scene.shapes, scene.masks, strict=True):
        found[mask] = 1 + KINDS.index(shape.kind)
    return found


def main_shape(scene: Scene, what: str) -> int:
    """Returns the number of kind or colour of the shape of which most can be seen; -1 for none."""
    if not scene.shapes:
        return -1
    largest = scene.shapes[int(scene.masks.sum((1, 2)).argmax())]
    return KINDS.index(largest.kind) if what == "kind" else COLOURS.index(largest.colour)


def _expect(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(f"Scenes: expected {name}: {expected}, got {got}")
