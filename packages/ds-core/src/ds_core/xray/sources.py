"""Where a layer is written, and where its backward is derived."""

from __future__ import annotations

import inspect
import os
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """A place in a file.

    Attributes:
        file: the file.
        anchor: the place in it: ``L12`` of a source, the heading of a page.
        words: what it is called: ``dense.py, line 20``.
    """

    file: Path
    anchor: str
    words: str

    def link(self, folder: Path, base: str | None) -> str | None:
        """Writes it as a link from a page in a folder; None if there is no way from there.

        Args:
            folder: where the page will stand.
            base: what a repository's own paths are put behind, as ``https://.../blob/main/``; None to link to
                the file itself.
        """
        if base is not None:
            inside = re.search(r"packages/[^/]+/(src|theory)/.*", self.file.as_posix())
            return f"{base}{inside[0]}#{self.anchor}" if inside else None
        try:
            return f"{Path(os.path.relpath(self.file, folder)).as_posix()}#{self.anchor}"
        except ValueError:  # another drive
            return None


def source_of(cls: type) -> Place | None:
    """Finds where a class is written; None if that is in no file, as in a notebook."""
    return _written(cls)


@cache  # Python parses the whole file for it
def _written(cls: type) -> Place | None:
    try:
        file, (_, line) = inspect.getsourcefile(cls), inspect.getsourcelines(cls)
    except (TypeError, OSError):
        return None
    if file is None or not Path(file).is_file():
        return None
    return Place(Path(file).resolve(), f"L{line}", f"{Path(file).name}, line {line}")


def theory_of(cls: type) -> Place | None:
    """Finds the section that derives a class, in a checkout: the one that says "Derives" of its name.

    An installed package has no theory beside it: None.
    """
    source = source_of(cls)
    if source is None:
        return None
    folder = next((up / "theory" for up in source.file.parents if (up / "theory").is_dir()), None)
    return None if folder is None else _derivations(folder).get(cls.__name__)


@cache
def _derivations(folder: Path) -> dict[str, Place]:
    """Returns where the pages of a folder say what they derive."""
    found: dict[str, Place] = {}
    for page in sorted(folder.glob("*.md")):
        heading = ""
        for paragraph in page.read_text(encoding="utf-8").split("\n\n"):
            for line in paragraph.splitlines():
                heading = line.lstrip("# ") if line.startswith("#") else heading
            if paragraph.startswith("Derives "):
                place = Place(page, _anchor(heading), f"{page.stem}: {heading}")
                for name in re.findall(r"`(\w+)`", paragraph):
                    found.setdefault(name, place)
    return found


def _anchor(heading: str) -> str:
    """Writes a heading as GitHub does where it is linked to."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
