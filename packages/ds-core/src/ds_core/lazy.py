"""Names that are imported when they are first asked for: importing a package costs next to nothing."""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class LazyPackage(ModuleType):
    """A package that imports each of its public names, and each of its modules, on first use."""

    _homes: dict[str, str]  # public name -> module of the package

    def __getattr__(self, name: str) -> Any:
        if name in self._homes:
            value = getattr(import_module(f"{self.__name__}.{self._homes[name]}"), name)
            self.__dict__[name] = value  # the next time it is found without this
            return value
        if not name.startswith("_") and find_spec(f"{self.__name__}.{name}") is not None:
            return import_module(f"{self.__name__}.{name}")
        # With name and object Python itself asks "Did you mean: ...?", as of a module that is no package.
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._homes and isinstance(value, ModuleType):
            return  # Python sets what it imported on the package above; a public name of that name goes first
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._homes})


def lazy(package: str, names: Mapping[str, str]) -> None:
    """Makes a package import its public names when they are first asked for, and sets its ``__all__``.

    Args:
        package: whose ``__init__.py`` calls this, as ``__name__``.
        names: the public names in each of its modules, separated by spaces: ``{"layers": "Dense Dropout"}``.
    """
    module = sys.modules[package]
    homes = {name: home for home, line in names.items() for name in line.split()}
    module.__dict__.update(_homes=homes, __all__=list(homes))
    module.__class__ = LazyPackage
