"""Finding layers by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ds_core import Module
from ds_core.checks import shown


def chosen(model: Module, layers: str | Sequence[str], who: str) -> list[str]:
    """Returns the paths of layers as a list, once each is found to be one.

    Raises:
        ValueError: lists the layers there are, if one is unknown or none is given.
        TypeError: if they are not paths.
    """
    names = list(layers) if isinstance(layers, Iterable) and not isinstance(layers, str) else [layers]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{who}: expected the path of a layer, such as 'layer1.0', got {shown(name)}")
    known = [path for path, _ in model.named_modules() if path]
    if not names:
        raise ValueError(f"{who}: expected at least one layer; there are {', '.join(known)}")
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"{who}: no layer {name!r}; {hint}there are {', '.join(known)}")
    return names
