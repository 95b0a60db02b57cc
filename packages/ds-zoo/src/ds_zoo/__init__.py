"""ds_zoo: models people know, each forward and backward written by hand, and a command line to train them.

A model's folder is imported when one of its names is first used.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_MODELS = ("gpt", "bert", "vit", "clip", "gan", "detr", "maskformer")

if TYPE_CHECKING:
    from ds_zoo.bert import *
    from ds_zoo.clip import *
    from ds_zoo.detr import *
    from ds_zoo.gan import *
    from ds_zoo.gpt import *
    from ds_zoo.maskformer import *
    from ds_zoo.vit import *
else:

    def __getattr__(name: str) -> Any:
        if not name.startswith("_") and find_spec(f"ds_zoo.{name}") is not None:
            return import_module(f"ds_zoo.{name}")
        if name == "__all__":
            return [public for model in _MODELS for public in import_module(f"ds_zoo.{model}").__all__]
        if not name.startswith("_"):
            for model in _MODELS:
                found = import_module(f"ds_zoo.{model}")
                if name in found.__all__:
                    return getattr(found, name)
        raise AttributeError(f"module 'ds_zoo' has no attribute {name!r}")
