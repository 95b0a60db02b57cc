"""Scene: what is in one picture, drawn from a seed and a number, and the picture of it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ds_zoo.data.scenes.shapes import RGB, SIZES, Shape, masks

TEXTURES = ("plain", "shaded", "striped", "checkered", "dotted", "cloudy")
_TRIES = 20  # places tried for a shape before it is left out
_LEAST_VISIBLE = 0.3  # of a shape's area

Pair = tuple[str, str]  # colour and kind
RGBColour = tuple[int, int, int]


@dataclass(frozen=True)
class Plan:
    """What scenes are made of; see :class:`Scenes` for the meaning of each."""

    size: tuple[int, int]  # width, height
    objects: tuple[int, int]
    pairs: tuple[Pair, ...]
    sizes: tuple[str, ...]
    textures: tuple[str, ...]
    overlap: float
    noise: float
    turn: float


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture with all that is known about it.

    Attributes:
        image: the picture, mode "RGB".
        shapes: from the one behind to the one in front.
        masks: where each can be seen, bool ``(n, H, W)``: no two share a pixel.
        boxes: around what can be seen, ``(n, 4)``: left, top, right, bottom in pixels, right and bottom being
            the first column and row outside.
        texture: of the background.
    """

    image: Image.Image
    shapes: tuple[Shape, ...]
    masks: Tensor
    boxes: Tensor
    texture: str

    def overlapping(self, behind: int, front: int) -> bool:
        """Says whether one shape hides a part of another."""
        return bool((self.masks[front] & whole_mask(self.shapes[behind], self.image.size)).any())


def make_scene(plan: Plan, seed: int, number: int) -> Scene:
    """Makes the scene of a number; it depends on the plan, the seed and the number alone."""
    draw = random.Random(f"{seed}/{number}")
    shapes = _placed(plan, draw)
    texture = draw.choice(plan.textures)
    ground = _ground(texture, plan.size, draw)
    grain = draw.randbytes(3 * plan.size[0] * plan.size[1]) if plan.noise else b""
    strength = draw.uniform(0, plan.noise)
    while True:
        drawn = [masks(shape) for shape in shapes]
        whole = [_on_canvas(mask, place, plan.size) for mask, _, place in drawn]
        seen = _visible(whole)
        hidden = [
            i
            for i, (a, b) in enumerate(zip(seen, whole, strict=True))
            if a is not b and a.sum() < _LEAST_VISIBLE * b.sum()
        ]
        if not hidden:
            break
        del shapes[hidden[0]]
    image = ground
    for shape, (mask, inner, place) in zip(shapes, drawn, strict=True):
        red, green, blue = (c * 3 // 5 for c in shape.rgb)
        image.paste((red, green, blue), place, mask)
        image.paste(shape.rgb, place, inner)
    if grain:
        image = Image.blend(image, Image.frombytes("RGB", plan.size, grain), strength)
    width, height = plan.size
    stacked = torch.stack(seen) if seen else torch.zeros(0, height, width, dtype=torch.bool)
    boxes = torch.tensor([_box(mask) for mask in seen], dtype=torch.float32).view(-1, 4)
    return Scene(image, tuple(shapes), stacked, boxes, texture)


# ---- where shapes lie ----------------------------------------------------------------------------------


def _placed(plan: Plan, draw: random.Random) -> list[Shape]:
    """Draws shapes and their places, the ones in front last; one that finds no place is left out."""
    width, height = plan.size
    side = min(plan.size)
    shapes: list[Shape] = []
    for _ in range(draw.randint(*plan.objects)):
        colour, kind = draw.choice(plan.pairs)
        rgb = _near(RGB[colour], 14, draw)
        turn = draw.uniform(-plan.turn, plan.turn)
        if kind == "moon":  # which has no upright position
            turn = draw.uniform(-math.pi, math.pi)
        for _ in range(_TRIES):
            size = draw.choice(plan.sizes)
            radius = draw.uniform(*SIZES[size]) * side
            x, y = (draw.uniform(radius + 1, length - radius - 1) for length in (width, height))
            if all(
                math.hypot(x - s.x, y - s.y) >= (1 - plan.overlap) * (radius + s.radius) + 1 for s in shapes
            ):
                shapes.append(Shape(kind, colour, size, x, y, radius, turn, rgb))
                break
    return shapes


def whole_mask(shape: Shape, size: tuple[int, int]) -> Tensor:
    """Returns which pixels a shape covers by half at least, bool ``(H, W)``, whatever lies before it."""
    mask, _, place = masks(shape)
    return _on_canvas(mask, place, size)


def _on_canvas(mask: Image.Image, place: tuple[int, int], size: tuple[int, int]) -> Tensor:
    canvas = Image.new("L", size)
    canvas.paste(mask, place)
    return torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8).view(size[1], size[0]) >= 128


def _visible(whole: Sequence[Tensor]) -> list[Tensor]:
    """Takes from each mask what later ones cover."""
    seen: list[Tensor] = []
    covered: Tensor | None = None
    for mask in reversed(whole):
        seen.insert(0, mask if covered is None else mask & ~covered)
        covered = mask if covered is None else mask | covered
    return seen


def _box(mask: Tensor) -> tuple[int, int, int, int]:
    columns, rows = mask.any(0).nonzero().flatten().tolist(), mask.any(1).nonzero().flatten().tolist()
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


# ---- how it is painted ---------------------------------------------------------------------------------


def _near(colour: RGBColour, most: int, draw: random.Random) -> RGBColour:
    """Returns a colour a little lighter, darker, redder ... than one."""
    red, green, blue = (min(255, max(0, c + draw.randint(-most, most))) for c in colour)
    return red, green, blue


def _ground(texture: str, size: tuple[int, int], draw: random.Random) -> Image.Image:
    """Paints the background: two muted colours, close to each other, in some texture."""
    grey = draw.randint(70, 235)
    first = _near((grey, grey, grey), 10, draw)
    step = draw.choice((-1, 1)) * draw.randint(14, 30)
    second = _near((grey + step, grey + step, grey + step), 10, draw)
    width, height = size
    if texture == "shaded":
        corners = bytes((*first, *_near(first, 30, draw), *_near(second, 30, draw), *second))
        return Image.frombytes("RGB", (2, 2), corners).resize(size, Image.Resampling.BILINEAR)
    if texture == "cloudy":
        puffs = [first if draw.random() < 0.5 else second for _ in range(49)]
        return Image.frombytes("RGB", (7, 7), bytes(sum(puffs, ()))).resize(size, Image.Resampling.BICUBIC)
    if texture == "checkered":
        n = draw.randint(5, 9)
        fields = [second if (k // n + k % n) % 2 else first for k in range(n * n)]
        return Image.frombytes("RGB", (n, n), bytes(sum(fields, ()))).resize(size, Image.Resampling.NEAREST)
    image = Image.new("RGB", size, first)
    if texture == "plain":
        return image
    on = ImageDraw.Draw(image)
    gap = min(size) / draw.randint(5, 9)
    if texture == "striped":
        lean = draw.uniform(-1, 1) * width
        upright = draw.random() < 0.5
        for k in range(-math.ceil(width / gap) - 1, math.ceil(2 * max(size) / gap) + 1):
            line = ((k * gap, -1), (k * gap + lean, height))
            on.line(line if upright else [(y, x) for x, y in line], fill=second, width=max(1, round(gap / 2)))
    else:  # dotted
        r = gap / 4
        for row in range(math.ceil(height / gap) + 1):
            for column in range(math.ceil(width / gap) + 1):
                x, y = (column + row % 2 / 2) * gap, row * gap
                on.ellipse((x - r, y - r, x + r, y + r), fill=second)
    return image
