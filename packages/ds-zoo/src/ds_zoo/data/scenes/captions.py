"""Captions: true sentences about a scene, several wordings of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ds_zoo.data.scenes.scene import Scene
from ds_zoo.data.scenes.shapes import Shape

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def captions(scene: Scene) -> list[str]:
    """Returns true captions of a scene, each of which names colour and kind of what it is about."""
    shapes = scene.shapes
    if not shapes:
        return ["an empty picture", "nothing", "a picture of nothing", f"a {scene.texture} background"]
    if len(shapes) == 1:
        return _of_one(shapes[0], scene)
    all_of_them = listed(counted(_pairs(shapes)))
    found = [
        all_of_them,
        f"a picture of {all_of_them}",
        f"there {'is' if all_of_them.startswith(('a ', 'an ')) else 'are'} {all_of_them}",
        f"{_number(len(shapes))} shapes: {all_of_them}",
        f"{all_of_them} on a {scene.texture} background",
    ]
    counts = Counter(_pairs(shapes))
    for i, one in enumerate(shapes):
        for j, other in enumerate(shapes):
            if i != j and counts[_pair(one)] == counts[_pair(other)] == 1:  # nobody can tell twins apart
                found += [f"{a(one)} {word} {a(other)}" for word in _relations(scene, i, j)]
    return found


def attribute_captions(scene: Scene) -> list[str]:
    """Returns captions that name one thing of each shape only: its colour or its kind."""
    if not scene.shapes:
        return captions(scene)
    kinds = listed(counted(shape.kind for shape in scene.shapes))
    colours = listed(counted(f"{shape.colour} shape" for shape in scene.shapes))
    return [kinds, colours, f"a picture of {kinds}", f"a picture of {colours}"]


def a(shape: Shape, *, size: bool = False) -> str:
    """Names one shape: "a red circle", "an orange star", "a small red circle"."""
    words = f"{shape.size} {_pair(shape)}" if size and shape.size != "medium" else _pair(shape)
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def place(shape: Shape, width: int, height: int) -> str:
    """Says where a shape's centre lies: in which of the nine fields of the picture."""
    down = "top" if shape.y < height / 3 else "bottom" if shape.y > height * 2 / 3 else ""
    across = "left" if shape.x < width / 3 else "right" if shape.x > width * 2 / 3 else ""
    if not across:
        return f"at the {down}" if down else "in the middle"
    return f"at the {down} {across}" if down else f"on the {across}"


def counted(names: Iterable[str]) -> list[str]:
    """Counts equal names: "a red circle", "two blue stars"."""
    return [
        f"{_number(n)} {name}{'es' if name.endswith('s') else 's'}"
        if n > 1
        else f"{'an' if name[0] in 'aeio' else 'a'} {name}"
        for name, n in Counter(names).items()
    ]


def listed(parts: list[str]) -> str:
    """Joins parts: "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _of_one(shape: Shape, scene: Scene) -> list[str]:
    where, pair = place(shape, *scene.image.size), _pair(shape)
    return [
        a(shape),
        pair,
        f"a picture of {a(shape)}",
        f"there is {a(shape)}",
        f"{'an' if shape.kind[0] in 'aeio' else 'a'} {shape.kind} that is {shape.colour}",
        a(shape, size=True),
        f"{a(shape)} {where}",
        f"{a(shape, size=True)} {where}",
        f"{a(shape)} on a {scene.texture} background",
    ]


def _relations(scene: Scene, i: int, j: int) -> list[str]:
    """Says how shape i lies to shape j."""
    one, other = scene.shapes[i], scene.shapes[j]
    dx, dy = one.x - other.x, one.y - other.y
    apart = 0.5 * (one.radius + other.radius)
    words = []
    if abs(dx) > abs(dy) and abs(dx) >= apart:
        words.append("left of" if dx < 0 else "right of")
    if abs(dy) > abs(dx) and abs(dy) >= apart:
        words.append("above" if dy < 0 else "below")
    if scene.overlapping(min(i, j), max(i, j)):
        words.append("in front of" if i > j else "behind")
    return words


def _pair(shape: Shape) -> str:
    return f"{shape.colour} {shape.kind}"


def _pairs(shapes: Iterable[Shape]) -> list[str]:
    return [_pair(shape) for shape in shapes]


def _number(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)
