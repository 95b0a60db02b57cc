"""Packages that only some kinds of data need, asked for when they are."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, package: str, what: str, extra: str = "data") -> Any:
    """Imports a module of an optional package.

    Raises:
        ImportError: says what needs it and how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{what} needs the package {package}: pip install 'ds-core[{extra}]'") from error
