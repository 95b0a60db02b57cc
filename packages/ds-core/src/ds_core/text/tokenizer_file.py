"""Tokenizers as files: JSON that says which kind it is, and a sum that tells when it was damaged."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ds_core.training.files import read_json

T = TypeVar("T")


def tokenizer_text(kind: str, content: Any) -> str:
    """Returns what a tokenizer is made from as the text of a file, for :func:`read_tokenizer`."""
    return json.dumps({"kind": kind, "content": content, "sum": _sum(kind, content)}, ensure_ascii=False)


def read_tokenizer(path: str | Path, kinds: Mapping[str, Callable[[Any], T]]) -> T:
    """Reads a file whose text :func:`tokenizer_text` made.

    Args:
        path: the file.
        kinds: name of a kind -> what makes a tokenizer from its content.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: names the file, if it is damaged or none of these kinds.
    """
    return made_tokenizer(read_json(path, "a tokenizer file"), kinds, str(path))


def made_tokenizer(saved: Mapping[str, Any], kinds: Mapping[str, Callable[[Any], T]], where: str) -> T:
    """Makes a tokenizer of what was in its file.

    Args:
        saved: the JSON of the file.
        kinds: name of a kind -> what makes a tokenizer from its content.
        where: the file was, for errors.

    Raises:
        ValueError: if it is damaged or none of these kinds.
    """
    try:
        kind, content = saved.get("kind"), saved.get("content")
        if not isinstance(kind, str) or kind not in kinds:
            raise ValueError(f"expected kind {' or '.join(kinds)}, got {kind!r}")
        if saved.get("sum") != _sum(kind, content):
            raise ValueError(f"damaged: expected the sum {_sum(kind, content)}, got {saved.get('sum')!r}")
        return kinds[kind](content)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{where}: not a tokenizer file ({error})") from error


def _sum(kind: Any, content: Any) -> int:
    return zlib.crc32(json.dumps([kind, content], sort_keys=True).encode())
