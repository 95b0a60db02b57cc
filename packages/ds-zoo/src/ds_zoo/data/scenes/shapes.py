"""The eight kinds of shapes, the eight colours, and the mask of one shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw

KINDS = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "moon")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
SIZES = {"small": (0.12, 0.15), "medium": (0.18, 0.22), "large": (0.26, 0.31)}  # radius / side of the image

RGB = {
    "red": (212, 32, 38),
    "orange": (245, 130, 22),
    "yellow": (250, 220, 40),
    "green": (40, 158, 62),
    "cyan": (40, 200, 215),
    "blue": (38, 74, 205),
    "purple": (122, 48, 168),
    "pink": (248, 140, 190),
}
FINER = 4  # masks are drawn so many times larger, and reduced: that smooths their edges

Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """One shape in a scene; lengths are in pixels, y points down.

    Attributes:
        kind: one of ``KINDS``.
        colour: one of ``COLOURS``.
        size: "small", "medium" or "large".
        x: of the centre.
        y: of the centre.
        radius: from the centre to the outermost point.
        turn: by how much it is turned, in radians.
        rgb: the colour it is painted in, close to that of the name.
    """

    kind: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    turn: float
    rgb: tuple[int, int, int]


def _polygon(*corners: tuple[float, float]) -> tuple[Point, ...]:
    """Returns corners from (angle in turns, distance from the centre)."""
    return tuple((r * math.sin(math.tau * a), -r * math.cos(math.tau * a)) for a, r in corners)


def _heart(steps: int = 28) -> tuple[Point, ...]:
    points = []
    for step in range(steps):
        t = math.tau * step / steps
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((math.sin(t) ** 3, -(y + 2.5) / 16))
    return tuple(points)


_ARM = 0.34  # half the width of a cross's arm
# Corners of the kinds that have some, in a circle of radius 1.
CORNERS: dict[str, tuple[Point, ...]] = {
    "square": _polygon(*((k / 4 + 1 / 8, 1.0) for k in range(4))),
    "triangle": _polygon(*((k / 3, 1.0) for k in range(3))),
    "star": _polygon(*((k / 10, 0.42 if k % 2 else 1.0) for k in range(10))),
    "heart": _heart(),
    "cross": tuple(
        (sx * a, sy * b)
        for sx, sy, pairs in (
            (1, -1, ((_ARM, 0.94), (_ARM, _ARM), (0.94, _ARM))),
            (1, 1, ((0.94, _ARM), (_ARM, _ARM), (_ARM, 0.94))),
            (-1, 1, ((_ARM, 0.94), (_ARM, _ARM), (0.94, _ARM))),
            (-1, -1, ((0.94, _ARM), (_ARM, _ARM), (_ARM, 0.94))),
        )
        for a, b in pairs
    ),
}


def masks(shape: Shape) -> tuple[Image.Image, Image.Image, tuple[int, int]]:
    """Draws one shape: how much of each pixel it covers, and the same without the rim.

    Returns:
        Two pictures of mode "L", and where their upper left corner lies in the scene.
    """
    left, top = math.floor(shape.x - shape.radius) - 1, math.floor(shape.y - shape.radius) - 1
    side = math.ceil(2 * shape.radius) + 3
    centre = ((shape.x - left) * FINER, (shape.y - top) * FINER)
    radius = shape.radius * FINER
    rim = max(2, round(radius * 0.1))
    whole = Image.new("L", (side * FINER, side * FINER))
    inner = whole.copy()
    on_whole, on_inner = ImageDraw.Draw(whole), ImageDraw.Draw(inner)
    corners = CORNERS.get(shape.kind)
    if corners is not None:
        cos, sin = math.cos(shape.turn) * radius, math.sin(shape.turn) * radius
        points = [(centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in corners]
        on_whole.polygon(points, fill=255)
        on_inner.polygon(points, fill=255)
        on_inner.line([*points, points[0], points[1]], fill=0, width=2 * rim)
    else:
        _round(on_whole, shape, centre, radius, 0)
        _round(on_inner, shape, centre, radius, rim)
    return whole.reduce(FINER), inner.reduce(FINER), (left, top)


def _round(draw: ImageDraw.ImageDraw, shape: Shape, centre: Point, radius: float, rim: float) -> None:
    """Draws a circle, a ring or a moon, all around less the rim."""

    def disc(x: float, y: float, r: float, fill: int) -> None:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    x, y = centre
    disc(x, y, radius - rim, 255)
    if shape.kind == "ring":
        disc(x, y, radius * 0.52 + rim, 0)
    elif shape.kind == "moon":
        away = radius * 0.5
        disc(x + away * math.cos(shape.turn), y + away * math.sin(shape.turn), radius * 0.72 + rim, 0)
