"""Checkpoints: one safetensors file each, tensors as they are and everything else as JSON in its header.

One file, because a pair could be torn apart: a reader finds the old checkpoint or the new one, never half of
each. It is written beside its final place, forced to the disk and then renamed, so that a crash at any
moment leaves the previous one whole. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ds_core.module import Incompatible, Module
from ds_core.training.files import CHECKSUM, CheckpointError, load_tensors, save_tensors

_FORMAT = "ds_core checkpoint 2"


# ---- whole states --------------------------------------------------------------------------------------


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Writes a state, all or nothing.

    Args:
        path: the file; its folder is made if needed.
        state: dicts, lists and tuples, nested, of tensors, numbers, strings, booleans and None. A tensor that
            occurs several times (tied weights) is written once.

    Raises:
        TypeError: if the state holds anything else; says where.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = _pack(state, "", tensors, {})
    save_tensors(path, tensors, {"format": _FORMAT, "state": json.dumps(skeleton, allow_nan=False)})


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a state written by :func:`save_checkpoint`; its tensors lie in main memory.

    Raises:
        CheckpointError: if the file is missing, foreign, cut off or damaged: not a single bit may be another.
    """
    tensors, metadata = load_tensors(path)
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path}: a safetensors file, but not a checkpoint written by this version of ds_core; "
            "if it holds a model's weights, read it with load_weights"
        )
    if CHECKSUM not in metadata:
        raise CheckpointError(f"{path}: damaged checkpoint: it has lost its checksum ({CHECKSUM})")
    try:
        state = _unpack(json.loads(metadata["state"]), tensors)
        if not isinstance(state, dict):
            raise TypeError(f"expected a dict, got {type(state).__name__}")
    except KeyError as error:
        raise CheckpointError(f"{path}: damaged checkpoint: its list of contents lacks {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint: its list of contents: {error}") from error
    return state


def _pack(value: Any, path: str, tensors: dict[str, Tensor], names: dict[Any, str]) -> Any:
    """Turns a state into JSON; its tensors go to ``tensors`` and leave their names behind.

    What JSON has no word for becomes a dict with one key: "$tensor", "$tuple", "$float" (inf and NaN), or
    "$items" (a dict whose keys are not plain strings).
    """
    if isinstance(value, Tensor):
        if value.numel() and _memory(value) in names:
            return {"$tensor": names[_memory(value)]}
        name = path
        while name in tensors:  # {"a.b": x, "a": {"b": y}} has two ways to the same name
            name += "'"
        tensors[name] = value
        names[_memory(value)] = name
        return {"$tensor": name}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Integral):  # of other libraries, numpy's
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else {"$float": repr(number)}
    if isinstance(value, (list, tuple)):
        items = [_pack(item, _join(path, i), tensors, names) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping):
        pairs = [
            [_pack(key, path, tensors, names), _pack(item, _join(path, key), tensors, names)]
            for key, item in value.items()
        ]
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return dict(pairs)
        return {"$items": pairs}
    raise TypeError(f"checkpoint: cannot store {path}, a {type(value).__name__}")


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Turns what :func:`_pack` returned back into the state."""
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$float" in value:
        return float(value["$float"])
    if "$tuple" in value:
        return tuple(_unpack(value["$tuple"], tensors))
    if "$items" in value:
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in value["$items"]}
    return {key: _unpack(item, tensors) for key, item in value.items()}


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _memory(tensor: Tensor) -> tuple[Any, ...]:
    """Says what a tensor looks at: two with the same answer are one."""
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


# ---- weights alone -------------------------------------------------------------------------------------


def save_weights(path: str | Path, module: Module, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a module's ``state_dict`` as a plain safetensors file, all or nothing.

    Tied weights are written once, under their first name, as the format demands.

    Args:
        path: the file; its folder is made if needed.
        module: the module.
        metadata: more words for the header.
    """
    state = module.state_dict()
    first = _first_names(state)
    kept = {name: tensor for name, tensor in state.items() if first[name] == name}
    tied = {name: first[name] for name in state if first[name] != name}
    save_tensors(path, kept, {"format": "pt", **tied, **(metadata or {})})


def load_weights(path: str | Path, module: Module, strict: bool = True) -> Incompatible:
    """Copies weights from a safetensors file, or from the model in a checkpoint, into a module.

    Args:
        path: the file.
        module: the module; where it ties weights, the file need only hold one of them.
        strict: whether missing and unexpected names are errors; wrong shapes always are.

    Returns:
        The names that were missing and those that were unexpected.

    Raises:
        CheckpointError: if the file is missing, cut off or foreign, or does not fit the module: lists every
            missing, unexpected and mis-shaped name. The module is unchanged then.
    """
    tensors, metadata = load_tensors(path)
    if metadata.get("format") == _FORMAT:
        tensors = load_checkpoint(path).get("model", {})
    for name, first in _first_names(module.state_dict()).items():
        if name == first:
            continue
        if name not in tensors and first in tensors:
            tensors[name] = tensors[first]
        elif first not in tensors and name in tensors:
            tensors[first] = tensors[name]
        elif name in tensors and not torch.equal(tensors[name], tensors[first]):
            raise CheckpointError(
                f"{path}: {first} and {name} differ, but the {type(module).__name__} ties them"
            )
    try:
        return module.load_state_dict(tensors, strict)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Maps each name to the first name of the same tensor: its own, unless the weight is tied."""
    names: dict[Any, str] = {}
    return {
        name: names.setdefault(_memory(tensor), name) if tensor.numel() else name
        for name, tensor in state.items()
    }
