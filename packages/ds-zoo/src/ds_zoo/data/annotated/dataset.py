"""Pictures and objects in a data set of the package `datasets`, on the hub or in a folder."""

from __future__ import annotations

import hashlib
from typing import Any

from ds_core.data.hugging_face import open_hugging_face, read_column, read_stored_image
from ds_core.data.optional import needed

from ds_zoo.data.annotated.image import AnnotatedImage
from ds_zoo.data.annotated.metadata import classes_of, image_of, objects_of


class DatasetImages:
    """Pictures and, in a column of objects, their boxes and categories, as `datasets` keeps them.

    A row of the column is ``{"bbox": [[left, top, width, height], ...], "category": [0, ...]}``, or a list of
    ``{"bbox": ..., "category": ...}``; where there is ``"iscrowd"``, 1 stands for a crowd.

    Args:
        name: a name on the hub, or a folder.
        split: which part; None if there is only one.
        column: of the objects; None for "objects", or the only one with a bbox.
        classes: their names in order, where the data set does not know them; None for all that occur, sorted.

    Raises:
        ValueError: if the data set cannot be had, has no such columns, a row is damaged, or a class unknown;
            names the row.
        ImportError: if the package `datasets` is missing.
    """

    stuff: frozenset[int] | None = None
    sizes: list[tuple[int, int]] | None = None

    def __init__(
        self,
        name: str,
        split: str | None = None,
        column: str | None = None,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        data, self.source = open_dataset(name, split)
        kinds = data.features
        pictures = columns_of(data, "Image")
        fit = [c for c in kinds if "bbox" in _inside(kinds[c])]
        column = column or ("objects" if "objects" in fit else fit[0] if len(fit) == 1 else None)
        if column is None or column not in fit or ("image" not in pictures and len(pictures) != 1):
            raise ValueError(
                f"{self.source}: expected a column of pictures and one of objects with bbox and category, "
                f"got {', '.join(kinds)}; name the objects' behind #"
            )
        self.rows = [
            objects_of(row, f"{self.source}, row {number}")
            for number, row in enumerate(read_column(data, column, self.source))
        ]
        names = _class_names(_inside(kinds[column]))
        if names is not None:  # a number stands for its place among them
            self.rows = [
                (boxes, [names[c] if c in range(len(names)) else c for c in categories], crowd)
                for boxes, categories, crowd in self.rows
            ]
        self.class_names = classes_of(self.rows, self.source, classes if names is None else names)
        picture = "image" if "image" in pictures else pictures[0]
        library = needed("datasets", "datasets", "annotated images")
        self.data = data.select_columns([picture]).cast_column(picture, library.Image(decode=False))
        self.column = picture
        self.print = hashlib.sha256(repr((self.source, self.rows, self.class_names)).encode()).hexdigest()[
            :16
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> AnnotatedImage:
        where = f"{self.source}, row {number}"
        pixels = read_stored_image(self.data[number][self.column], where, "RGB")
        return image_of(pixels, self.rows[number], self.class_names, where)


def open_dataset(name: str, split: str | None) -> tuple[Any, str]:
    """Opens a data set of the package `datasets`, and returns what messages call it besides."""
    return open_hugging_face(name, split, None, "annotated images")


def columns_of(data: Any, kind: str) -> list[str]:
    """Lists the columns of a kind, as `datasets` calls it."""
    return [name for name, feature in data.features.items() if type(feature).__name__ == kind]


def _inside(feature: Any) -> dict[str, Any]:
    """Returns what is in each object of a column; nothing if it holds none."""
    feature = feature[0] if isinstance(feature, list) else getattr(feature, "feature", feature)
    return feature if isinstance(feature, dict) else {}


def _class_names(fields: dict[str, Any]) -> tuple[str, ...] | None:
    """Returns the names of the categories, if the data set knows them."""
    for name in ("category", "categories", "label"):
        feature = fields.get(name)
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if names is not None:
            return tuple(names)
    return None
