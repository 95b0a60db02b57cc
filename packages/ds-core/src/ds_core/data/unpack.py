"""What gzip may unpack: a few bytes can stand for a thousand times as many."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

DAMAGE = (EOFError, OSError, zlib.error)  # what unpacking raises when a file is cut off or damaged
_FREE = 2**25  # bytes that harm nobody
_MOST_GROWTH = 100  # images of digits and tables shrink to a fifth or a tenth


def most_unpacked(size: int) -> int:
    """Returns how many bytes a file of this size may become."""
    return max(_FREE, _MOST_GROWTH * size)


def too_large(path: Path, size: int) -> ValueError:
    """Returns the error that says a file would become larger than that."""
    return ValueError(
        f"{path}: expected at most {most_unpacked(size):,} bytes when its {size:,} are unpacked, got more; "
        "unpack it with gzip first if you trust it"
    )


def unpacked(path: Path) -> bytes:
    """Reads a gzipped file.

    Raises:
        ValueError: names the file, if it is cut off, damaged or would become too large.
    """
    size = path.stat().st_size
    try:
        with gzip.open(path) as file:
            content = file.read(most_unpacked(size) + 1)
    except DAMAGE as error:
        raise ValueError(f"{path}: cut off or damaged ({error})") from error
    if len(content) > most_unpacked(size):
        raise too_large(path, size)
    return content
