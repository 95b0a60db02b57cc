"""Label maps: for each picture another one, whose every pixel says a class by its number or its colour."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import torch
from ds_core.data.hugging_face import read_stored_image
from ds_core.data.optional import needed
from ds_core.data.read_image import ENDINGS, read_image
from PIL import Image
from torch import Tensor

from ds_zoo.data.annotated.dataset import columns_of, open_dataset
from ds_zoo.data.annotated.image import AnnotatedImage, Remarks, box_of, text_of

TABLE_FILE, VOID_NAME, VOID_NUMBER = "classes.csv", "void", 255
PICTURES = ("images", "JPEGImages")
MAPS = ("labels", "annotations", "masks", "semantic", "SegmentationClass")
FORMATS = ("BMP", "GIF", "PNG", "TIFF")  # what keeps every pixel as it is
COLOURS = (("red", "green", "blue"), ("r", "g", "b"))


class ClassTable(NamedTuple):
    """Which number, or which colour, stands for which class.

    Attributes:
        names: of the classes, in order.
        classes: number or colour (256 (256 red + green) + blue) -> the place of its class; None for void.
        coloured: whether they are colours.
    """

    names: tuple[str, ...]
    classes: dict[int, int | None]
    coloured: bool = False

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a table: a CSV file with the columns name and id, or name, red, green and blue.

        A class called "void" stands for pixels of which nobody knows the class. A name may have several rows.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a column is missing, a number is none, or a number or colour has two classes; or if
                it is no UTF-8 text.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; expected a table of classes")
        rows = csv.DictReader(StringIO(text_of(path)), skipinitialspace=True)
        columns = [(name or "").strip().lower() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        colours = next((three for three in COLOURS if set(three) <= set(columns)), None)
        if "name" not in columns or ("id" not in columns and colours is None):
            raise ValueError(
                f"{path}: expected the columns name and id, or name, red, green and blue, got "
                f"{', '.join(columns) or 'none'}"
            )
        table = cls._of(path, list(rows), colours)
        if not table.names:
            raise ValueError(f"{path}: expected classes, got none")
        return table

    @classmethod
    def _of(cls, path: Path, rows: list[dict[str, str]], colours: tuple[str, ...] | None) -> Self:
        names: list[str] = []
        classes: dict[int, int | None] = {}
        for line, row in enumerate(rows, 2):
            name = (row["name"] or "").strip()
            try:
                parts = [int(row[column] or "") for column in colours or ("id",)]
            except (ValueError, TypeError):
                parts = []
            if not name or not parts or min(parts) < 0 or (colours and max(parts) > 255):
                what = "a colour of three numbers from 0 to 255" if colours else "an id from 0 on"
                raise ValueError(f"{path}, line {line}: expected a name and {what}, got {row}")
            code = sum(part << shift for part, shift in zip(reversed(parts), (0, 8, 16), strict=False))
            if code in classes:
                raise ValueError(f"{path}, line {line}: {parts} stands for two classes")
            if name.lower() == VOID_NAME:
                classes[code] = None
                continue
            if name not in names:
                names.append(name)
            classes[code] = names.index(name)
        return cls(tuple(names), classes, colours is not None)


class Pairs(Protocol):
    """Pictures and label maps by number.

    Attributes:
        source: what messages call them.
        print: what tells them from others.
    """

    source: str
    print: str

    def __len__(self) -> int: ...

    def where(self, number: int) -> str:
        """Returns what messages call a pair."""

    def picture(self, number: int) -> Tensor:
        """Returns a picture, uint8 ``(3, H, W)``."""

    def label_map(self, number: int) -> Path | bytes:
        """Returns the file of a label map, or what is in it."""


class FolderPairs:
    """Pictures and label maps in two folders, ``images`` and ``labels``, by the same names.

    Args:
        folder: holds both.
        maps: the folder of the label maps; None for the one of ``MAPS`` that is there.

    Raises:
        FileNotFoundError: if a folder, or the picture of a label map, is missing.
        ValueError: if there is no label map, or two files share a name.
    """

    def __init__(self, folder: str | Path, maps: str | Path | None = None) -> None:
        self.source = str(folder)
        pictures = _listed(_there(Path(folder), PICTURES))
        found = _listed(Path(maps) if maps is not None else _there(Path(folder), MAPS))
        if not found:
            raise ValueError(f"{folder}: expected label maps, got none")
        alone = [stem for stem in found if stem not in pictures]
        if alone:
            raise FileNotFoundError(
                f"{found[alone[0]]}: its picture is missing, and so are those of {len(alone) - 1} others"
            )
        remarks = Remarks(str(folder))
        for stem, file in pictures.items():
            if stem not in found:
                remarks.add("pictures without a label map are left out", file.name)
        remarks.warn()
        self.files = [(pictures[stem], found[stem]) for stem in sorted(found)]
        seen = [(picture.name, file.name, file.stat().st_size) for picture, file in self.files]
        self.print = hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.files)

    def where(self, number: int) -> str:
        return str(self.files[number][1])

    def picture(self, number: int) -> Tensor:
        return read_image(self.files[number][0], str(self.files[number][0]))

    def label_map(self, number: int) -> Path:
        return self.files[number][1]


class DatasetPairs:
    """Pictures and label maps in two columns of a data set of the package `datasets`.

    Args:
        name: a name on the hub, or a folder.
        split: which part; None if there is only one.
        column: of the label maps; None for "annotation", "label" or "mask", or the only other column of
            pictures.

    Raises:
        ValueError: if the data set cannot be had, or has no such columns.
        ImportError: if the package `datasets` is missing.
    """

    def __init__(self, name: str, split: str | None = None, column: str | None = None) -> None:
        data, self.source = open_dataset(name, split)
        pictures = columns_of(data, "Image")
        usual = [c for c in ("annotation", "label", "mask", "segmentation_mask") if c in pictures]
        others = [c for c in pictures if c != "image"]
        map_column = column or (usual[0] if len(usual) == 1 else others[0] if len(others) == 1 else None)
        rest = [c for c in pictures if c != map_column]
        if map_column not in pictures or ("image" not in rest and len(rest) != 1):
            raise ValueError(
                f"{self.source}: expected a column of pictures and one of label maps, got "
                f"{', '.join(pictures) or 'none'}; name the label maps' behind #"
            )
        self.columns = ("image" if "image" in rest else rest[0], map_column)
        library = needed("datasets", "datasets", "label maps")
        self.data = data.select_columns(list(self.columns))
        for one in self.columns:
            self.data = self.data.cast_column(one, library.Image(decode=False))
        if not len(self.data):
            raise ValueError(f"{self.source}: expected label maps, got none")
        self.print = hashlib.sha256(f"{self.source} {data._fingerprint}".encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.data)

    def where(self, number: int) -> str:
        return f"{self.source}, row {number}"

    def picture(self, number: int) -> Tensor:
        return read_stored_image(self.data[number][self.columns[0]], self.where(number), "RGB")

    def label_map(self, number: int) -> Path | bytes:
        stored = self.data[number][self.columns[1]] or {}
        content, path = stored.get("bytes"), stored.get("path") or ""
        if content is None and (not path or "://" in path):
            raise ValueError(f"{self.where(number)}: expected a label map, got none")
        return Path(path) if content is None else content


class LabelMapImages:
    """Pictures every pixel of which has a class, or is void; each class on a picture is one region.

    Args:
        pairs: where they come from.
        table: which number or colour stands for which class; None for the numbers that occur, which are then
            the names, too; 255 is void then.

    Raises:
        ValueError: if there is no class. So does reading an image whose label map is damaged, has another
            size, or a number or colour that the table does not name; names the file.
    """

    sizes: list[tuple[int, int]] | None = None

    def __init__(self, pairs: Pairs, table: ClassTable | None = None) -> None:
        self.pairs = pairs
        if table is None:
            seen = {code for codes in self._all_codes() for code in codes.unique().tolist()}
            numbers = sorted(seen - {VOID_NUMBER})
            classes: dict[int, int | None] = {number: place for place, number in enumerate(numbers)}
            table = ClassTable(tuple(map(str, numbers)), classes | {VOID_NUMBER: None})
            if not numbers:
                raise ValueError(f"{pairs.source}: expected classes, but all pixels are void")
        self.table, self.class_names = table, table.names
        self.stuff: frozenset[int] | None = frozenset(range(len(table.names)))
        self.print = hashlib.sha256(f"{pairs.print} {table}".encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> AnnotatedImage:
        where = self.pairs.where(number)
        pixels = self.pairs.picture(number)
        codes = read_codes(self.pairs.label_map(number), where, coloured=self.table.coloured)
        if codes.shape != pixels.shape[1:]:
            raise ValueError(
                f"{where}: expected a label map of {pixels.shape[2]} x {pixels.shape[1]} pixels, as its "
                f"picture has, got {codes.shape[1]} x {codes.shape[0]}"
            )
        labels: dict[int, Tensor] = {}
        for code in codes.unique().tolist():
            if code not in self.table.classes:
                said = [code >> 16, code >> 8 & 255, code & 255] if self.table.coloured else code
                raise ValueError(
                    f"{where}: {int((codes == code).sum())} pixels are {said}, which no class is; name it, "
                    f"or call it {VOID_NAME}"
                )
            label = self.table.classes[code]
            if label is not None:
                mask = codes == code
                labels[label] = labels[label] | mask if label in labels else mask
        masks = torch.stack(list(labels.values())) if labels else torch.zeros(0, *codes.shape).bool()
        boxes = torch.tensor([box_of(mask) for mask in masks]).view(-1, 4)
        return AnnotatedImage(pixels, boxes, torch.tensor(list(labels), dtype=torch.int64), masks, key=where)

    def _all_codes(self) -> Iterator[Tensor]:
        for number in range(len(self.pairs)):
            yield read_codes(self.pairs.label_map(number), self.pairs.where(number), coloured=False)


def read_codes(content: Path | bytes, name: str, *, coloured: bool) -> Tensor:
    """Reads a label map: the number of each pixel, or its colour.

    A picture with a palette has both. A grey one in colours, of equal parts, may stand for numbers.

    Args:
        content: the file, or what is in it.
        name: what messages call it.
        coloured: whether colours are wanted, as 256 (256 red + green) + blue.

    Returns:
        int64 ``(H, W)``.

    Raises:
        ValueError: names it, if it cannot be read, or has colours where numbers are wanted.
    """
    try:
        with Image.open(
            BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS
        ) as image:
            return _codes(image, coloured)
    except Exception as error:  # damage makes a decoder raise anything
        raise ValueError(
            f"{name}: cannot be read as a label map ({error or type(error).__name__})"
        ) from error


def _codes(image: Any, coloured: bool) -> Tensor:
    deep = image.mode in ("I;16", "I;16B", "I;16L", "I")
    if coloured and not deep:
        red, green, blue = _bytes(image.convert("RGB"), 3).unbind(-1)
        return (red << 16) + (green << 8) + blue
    if deep:
        wide = image.convert("I")
        return torch.frombuffer(bytearray(wide.tobytes()), dtype=torch.int32).view(*image.size[::-1]).long()
    if image.mode in ("P", "L"):
        return _bytes(image, 1)[..., 0]
    if image.mode == "1":
        return _bytes(image.convert("L"), 1)[..., 0] // 255
    red, green, blue = _bytes(image.convert("RGB"), 3).unbind(-1)
    if not (torch.equal(red, green) and torch.equal(red, blue)):
        raise ValueError("it has colours, expected numbers; give a table of colours")
    return red


def _bytes(image: Any, channels: int) -> Tensor:
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.view(image.height, image.width, channels).long()


def _there(folder: Path, names: tuple[str, ...]) -> Path:
    """Returns the first of some folders that is there."""
    found = [folder / name for name in names if (folder / name).is_dir()]
    if not found:
        raise FileNotFoundError(f"{folder}: expected a folder {' or '.join(names)} in it")
    return found[0]


def _listed(folder: Path) -> dict[str, Path]:
    """Lists pictures below a folder by their names without ending."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in ENDINGS:
            if file.stem in found:
                raise ValueError(f"{folder}: two files are called {file.stem}: {found[file.stem]} and {file}")
            found[file.stem] = file
    return found
