"""Packages that only some kinds of data need, asked for when they are."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, package: str, what: str, extra: str = "data", of: str = "ds-core") -> Any:
    """Imports a module of a package that an extra of ours brings.

    Raises:
        ImportError: says what needs it, which extra brings it, and how to install it alone.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs the package {package}, of the extra {of}[{extra}]: pip install {package}"
        ) from error
