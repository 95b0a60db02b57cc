"""The models of the command line: a model is one folder, ``ds_zoo/NAME/``, and one line in :data:`MODELS`.

``ds_zoo/NAME/train.py``, or the module that the line names, is imported when a command needs it. It has:

``Recipe``
    a frozen dataclass of plain fields (int, float, str, bool, a ``Literal`` of words; or one of these or
    None, with None for its default): the data word ``data``, the model's sizes, ``steps`` or ``epochs``,
    ``batch_size``, ``lr``, ``seed``, ``engine`` and whatever it can be told. Each field is an option of
    ``ds-zoo train NAME``, its help is the field's line under ``Args`` in the docstring.
``PRESETS``
    name -> the fields in which it differs from ``Recipe()``; one of them is ``{}``.
``train(recipe, out, *, resume, overwrite, progress, device) -> Run``
    fills the run folder ``out``. ``Run`` has ``history``, ``out`` and ``show(console)``, which prints what
    was reached and what to try next. Give ``RunFolder(out, ..., files={RECIPE_FILE: recipe_text(NAME,
    recipe)})``
    as the trainer's first callback, with the texts of the tokenizer's files besides, and the recipe's fields,
    but for ``data``, to ``Trainer(settings=...)``: then a run can be resumed from its checkpoint alone, and
    with nothing else. ``ds_zoo/gpt/train.py`` is the pattern.
``load(folder, device) -> Loaded``
    reads a run folder, or a folder in the Hugging Face format; ``Loaded`` is whatever the rest needs.
``save(loaded, folder)``
    writes it in the Hugging Face format, with its tokenizer; for ``import`` and ``export``.
``verify()``
    yields name and report of ``check_gradients`` on small random models, in seconds.

And those of these that make sense for it, each a command ``ds-zoo COMMAND RUN``:

``evaluate(loaded, *, data=None, ...) -> dict[str, float]``        ``eval``
``generate(loaded, *, ...) -> str``                                ``generate``
``predict(loaded, inputs: list[str], *, ...) -> list[dict]``       ``predict``, a dict for each answer
``fill_mask(loaded, text: str, *, ...) -> list[dict]``             ``fill-mask``, a dict for each proposal

Their keyword parameters are the command's options; the docstring's first sentence and its ``Args`` are the
help. What they return is printed. What is wrong with the input is a ValueError or an OSError that says so.
"""

from __future__ import annotations

import difflib
import importlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from ds_core.pretrained import CONFIG_FILE
from ds_core.training.recipe import RECIPE_FILE, read_recipe
from ds_core.training.trainer import CHECKPOINT_FILE


class Model(NamedTuple):
    """A line of the registry.

    Attributes:
        about: what it does, for ``ds-zoo list``.
        model_type: the word in ``config.json`` by which ``import`` knows it.
        module: what trains it, below ``ds_zoo``, where it is not ``NAME.train``.
    """

    about: str
    model_type: str
    module: str | None = None


MODELS = {
    "clip": Model("compares pictures and captions (CLIP)", "clip"),
    "gpt": Model("continues text (GPT-2)", "gpt2"),
    "vit": Model("says what an image shows (ViT)", "vit"),
    "detr": Model("finds objects in images (DETR)", "detr"),
    "maskformer": Model("cuts images into segments (MaskFormer)", "maskformer"),
    "bert": Model("guesses hidden words, labels texts (BERT)", "bert"),
    "gan": Model("makes images, by fully connected layers (GAN)", "gan"),
    "dcgan": Model("makes images, by convolutions (DCGAN)", "dcgan", "gan.dcgan"),
}


def module(name: str) -> Any:
    """Imports the module of a model.

    Raises:
        ValueError: if there is no such model.
    """
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"expected a model of {', '.join(MODELS)}, got {name!r}{hint}")
    return importlib.import_module(f"ds_zoo.{MODELS[name].module or f'{name}.train'}")


def name_of(folder: str | Path) -> str:
    """Returns the name of the model in a folder: by its recipe, or else by its configuration.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no finished training.
        ValueError: if its model is none of the zoo.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected one that `ds-zoo train` filled")
    if (folder / RECIPE_FILE).is_file():
        name = read_recipe(folder / RECIPE_FILE).get("model")
        if name not in MODELS:
            raise ValueError(f"{folder / RECIPE_FILE}: expected a model of {', '.join(MODELS)}, got {name!r}")
        return str(name)
    if (folder / CONFIG_FILE).is_file():
        return _by_type(folder / CONFIG_FILE)
    begun = (folder / CHECKPOINT_FILE).is_file()
    advice = "continue it with --resume" if begun else "train one there"
    raise FileNotFoundError(f"{folder}: holds no finished training; {advice}")


def _by_type(path: Path) -> str:
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not the configuration of a model ({error})") from error
    for name, model in MODELS.items():
        if model.model_type == kind:
            return name
    known = ", ".join(model.model_type for model in MODELS.values())
    raise ValueError(f"{path}: expected model_type to be one of {known}, got {kind!r}")
