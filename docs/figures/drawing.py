"""What the schematic figures share: boxes, arrows, grids and words, as SVG for light pages and dark ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

# Colours, light and dark: what goes forward is blue, what comes back orange, what is learned green.
COLOURS = {
    "paper": ("#ffffff", "#161a21"),
    "ink": ("#1d2430", "#e6e8ec"),
    "soft": ("#5d6675", "#a3abb9"),
    "line": ("#9aa2af", "#5a6372"),
    "pale": ("#eef0f3", "#262c36"),
    "forward": ("#2257b8", "#8ab4ff"),
    "forward-pale": ("#dbe7fb", "#1f335c"),
    "backward": ("#a84a06", "#ffae6b"),
    "backward-pale": ("#fbe5d3", "#55300f"),
    "learned": ("#1c6e46", "#77d9a6"),
    "learned-pale": ("#d9f0e3", "#163d2a"),
}
# What is filled with a pale colour is framed with the strong one.
KINDS = ("plain", "forward", "backward", "learned")


def _style(dark: bool) -> str:
    of = {name: pair[dark] for name, pair in COLOURS.items()}
    rules = [
        f".paper{{fill:{of['paper']}}}",
        f"text{{fill:{of['ink']}}}",
        f".soft{{fill:{of['soft']}}}",
        f".plain{{fill:{of['pale']};stroke:{of['line']}}}",
        f".wire{{stroke:{of['soft']}}}",
        f".tip{{fill:{of['soft']}}}",
    ]
    for kind in KINDS[1:]:
        rules += [
            f".{kind}{{fill:{of[kind + '-pale']};stroke:{of[kind]}}}",
            f".wire-{kind}{{stroke:{of[kind]}}}",
            f".tip-{kind}{{fill:{of[kind]}}}",
            f".of-{kind}{{fill:{of[kind]}}}",
            f".full-{kind}{{fill:{of[kind]}}}",
        ]
    return "".join(rules)


class Figure:
    """One figure; coordinates are in pixels from the upper left.

    Args:
        title: what it is called.
        description: what it shows, for those who cannot see it.
        width: in pixels.
        height: in pixels.
    """

    def __init__(self, title: str, description: str, width: int, height: int) -> None:
        self.title, self.description, self.width, self.height = title, description, width, height
        self.parts: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        kind: str = "",
        size: int = 14,
        at: str = "middle",
        bold: bool = False,
    ) -> None:
        """Writes words; letters between asterisks are set as mathematics: ``*dW* = *g*ᵀ *x*``."""
        pieces = words.split("*")
        inside = "".join(
            f'<tspan class="math">{escape(piece)}</tspan>' if i % 2 else escape(piece)
            for i, piece in enumerate(pieces)
        )
        shown = {"soft": "soft", "": ""}.get(kind, f"of-{kind}")
        style = (f' class="{shown}"' if shown else "") + (' font-weight="600"' if bold else "")
        self.parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" text-anchor="{at}"{style}>{inside}</text>'
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        words: str = "",
        *,
        kind: str = "plain",
        size: int = 14,
        radius: int = 7,
    ) -> None:
        """Draws a box with words in its middle; several lines stand apart by ``|``."""
        self.parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
            f'rx="{radius}" class="{kind}"/>'
        )
        lines = words.split("|") if words else []
        for i, line in enumerate(lines):
            middle = y + height / 2 + 0.35 * size + (i - (len(lines) - 1) / 2) * 1.3 * size
            self.text(x + width / 2, middle, line, size=size if i == 0 else min(size, 12))

    def circle(
        self, x: float, y: float, radius: float, words: str = "", *, kind: str = "plain", size: int = 15
    ) -> None:
        """Draws a circle, a place where two things meet."""
        self.parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" class="{kind}"/>')
        if words:
            self.text(x, y + 0.35 * size, words, size=size)

    def line(self, *points: tuple[float, float], kind: str = "", dashed: bool = False) -> None:
        """Draws a line through points."""
        path = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<path d="{path}" class="{_wire(kind)}"{dashes}/>')

    def arrow(
        self,
        *points: tuple[float, float],
        kind: str = "",
        words: str = "",
        dashed: bool = False,
        above: float = 7,
    ) -> None:
        """Draws a line through points with a tip at its end, and words above its middle."""
        (x1, y1), (x2, y2) = points[-2], points[-1]
        turn = math.atan2(y2 - y1, x2 - x1)
        base = (x2 - 8 * math.cos(turn), y2 - 8 * math.sin(turn))
        self.line(*points[:-1], base, kind=kind, dashed=dashed)
        side = (4.5 * math.sin(turn), -4.5 * math.cos(turn))
        corners = [(x2, y2), (base[0] + side[0], base[1] + side[1]), (base[0] - side[0], base[1] - side[1])]
        path = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in corners) + "Z"
        self.parts.append(f'<path d="{path}" class="{"tip-" + kind if kind else "tip"}"/>')
        if words:
            first, last = points[0], points[-1]
            self.text(
                (first[0] + last[0]) / 2,
                (first[1] + last[1]) / 2 - above,
                words,
                kind=kind or "soft",
                size=13,
            )

    def grid(
        self,
        x: float,
        y: float,
        rows: int,
        columns: int,
        cell: float = 20,
        *,
        kind: str | Callable[[int, int], str] = "plain",
        words: Callable[[int, int], str] | None = None,
        size: int = 11,
    ) -> None:
        """Draws a matrix; kind and words may depend on row and column."""
        for i in range(rows):
            for j in range(columns):
                own = kind(i, j) if callable(kind) else kind
                self.parts.append(
                    f'<rect x="{_n(x + j * cell)}" y="{_n(y + i * cell)}" '
                    f'width="{_n(cell)}" height="{_n(cell)}" class="{own}"/>'
                )
                if words and words(i, j):
                    self.text(
                        x + (j + 0.5) * cell, y + (i + 0.5) * cell + 0.35 * size, words(i, j), size=size
                    )

    def svg(self) -> str:
        """Returns the file."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" aria-labelledby="title description">\n'
            f'<title id="title">{escape(self.title)}</title>\n'
            f'<desc id="description">{escape(self.description)}</desc>\n'
            "<style>text{font-family:system-ui,'Segoe UI',Roboto,Helvetica,Arial,sans-serif}"
            ".math{font-family:Cambria,'STIX Two Math','Times New Roman',serif;font-style:italic}"
            "path[class^=wire]{fill:none;stroke-width:1.6}rect,circle{stroke-width:1.2}"
            f"{_style(False)}@media (prefers-color-scheme:dark){{{_style(True)}}}</style>\n"
            f'<rect class="paper" width="{self.width}" height="{self.height}" rx="10"/>\n'
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )


def _n(value: float) -> str:
    """Writes a coordinate with at most one digit behind the point."""
    return f"{value:.1f}".removesuffix(".0")


def _wire(kind: str) -> str:
    return f"wire-{kind}" if kind else "wire"


def chain(
    figure: Figure,
    x: float,
    y: float,
    boxes: Sequence[tuple[str, str]],
    *,
    width: float,
    height: float = 34,
    gap: float = 22,
) -> list[float]:
    """Stacks boxes from the bottom up, with arrows between them, and returns the upper edge of each."""
    tops = []
    for i, (words, kind) in enumerate(boxes):
        top = y - (i + 1) * height - i * gap
        figure.box(x, top, width, height, words, kind=kind)
        if i:
            figure.arrow((x + width / 2, top + height + gap), (x + width / 2, top + height))
        tops.append(top)
    return tops
