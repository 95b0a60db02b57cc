"""Fine-tuning: freeze layers, let lower ones learn slower, or train small products beside them (LoRA)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ds_core.layers.dense import Dense
from ds_core.layers.lora import LoRA, LoRADense, LoRAWeight
from ds_core.module import Module, unwrapped
from ds_core.recompute import Recompute
from ds_core.training.files import CheckpointError, load_tensors, save_tensors

__all__ = ["add_lora", "freeze", "layer_groups", "load_lora", "merge_lora", "save_lora"]

Model = TypeVar("Model", bound=Module)

JOINT_PROJECTION = "in_proj_weight"  # of attention: queries, keys and values in one


def freeze(model: Model, *names: str) -> Model:
    """Freezes the parameters whose path matches, and thaws all others.

    Args:
        model: whose parameters.
        names: regular expressions, searched in each path: ``freeze(model, "embeddings", "layers.[0-3]")``.

    Raises:
        ValueError: if one of them is no regular expression, or found in no path.
    """
    paths = dict(model.named_parameters())
    wanted = [_pattern("freeze", name) for name in names]
    for name, pattern in zip(names, wanted, strict=True):
        if not any(pattern.search(path) for path in paths):
            raise ValueError(f"freeze: expected {name!r} in the path of a parameter; they are {_few(paths)}")
    for path, parameter in paths.items():
        frozen = any(pattern.search(path) for pattern in wanted)
        parameter.requires_grad_(not frozen)
        if frozen:
            parameter.grad = None
    return model


def layer_groups(
    model: Module,
    lr: float,
    decay: float = 0.95,
    *,
    layers: str = r"(?:^|\.)(?:layers|blocks)\.(\d+)\.",
    bottom: str = r"(?:^|\.)(?:embeddings|wte|wpe)\.",
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Returns groups of parameters for an optimizer, in which lower layers learn slower.

    With n layers, what lies above them has the rate lr, layer i (from 0) the rate lr decay^(n - i), and the
    embeddings lr decay^(n + 1). Frozen parameters are left out; vectors (biases, norms) are not decayed.

    Args:
        model: whose parameters.
        lr: the highest rate.
        decay: from layer to layer, above 0 and at most 1.
        layers: a regular expression with one group, the number of the layer, in a parameter's path.
        bottom: a regular expression for what lies below all layers.
        weight_decay: of matrices.

    Raises:
        ValueError: if ``decay`` is out of range, no parameter is in a layer, or a word is no regular
            expression.

    Source: Howard and Ruder, Universal Language Model Fine-tuning (2018), section 3.2.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"layer_groups: expected decay above 0 and at most 1, got {decay}")
    paths = dict(model.named_parameters())
    in_layer, lowest = _pattern("layer_groups", layers), _pattern("layer_groups", bottom)
    found = {path: in_layer.search(path) for path in paths}
    numbers = {path: int(match[1]) for path, match in found.items() if match}
    if not numbers:
        raise ValueError(f"layer_groups: expected {layers!r} in the path of a parameter; got {_few(paths)}")
    count = 1 + max(numbers.values())
    groups: dict[tuple[int, bool], list[Tensor]] = {}
    for path, parameter in paths.items():
        if parameter.requires_grad:
            below = count - numbers[path] if path in numbers else (count + 1) * bool(lowest.search(path))
            groups.setdefault((below, parameter.dim() > 1), []).append(parameter)
    return [
        {"params": groups[key], "lr": lr * decay ** key[0], "weight_decay": weight_decay * key[1]}
        for key in sorted(groups)
    ]


# ---- LoRA ------------------------------------------------------------------------------------------------


def add_lora(
    model: Model,
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    *,
    layers: str = r"attn",
    whole: str | None = None,
    generator: torch.Generator | None = None,
) -> Model:
    """Freezes a model and puts LoRA beside its layers: a :class:`LoRADense` or :class:`LoRAWeight` each.

    Args:
        model: changed in place; a parameter that is shared is not adapted.
        rank: of each product.
        alpha: how much the products count: each is multiplied by alpha / rank.
        dropout: before the products of Dense layers.
        layers: a regular expression, searched in each layer's path; adapted are the Dense layers and the
            joint projections of attention that it finds. ``""`` finds all.
        whole: a regular expression, searched in parameters' paths: what is trained as a whole, such as a new
            head; None for nothing. Its layers are not adapted.
        generator: source of initial values and dropout; None for torch's global one.

    Raises:
        ValueError: if the model has LoRA already, no layer is found, or a word is no regular expression.

    Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021).
    """
    if any(isinstance(part, LoRA) for part in model.modules()):
        raise ValueError("add_lora: the model has LoRA already; merge_lora it first")
    adapted = _pattern("add_lora", layers)
    trained = _pattern("add_lora", r"(?!)" if whole is None else whole)  # of None nothing
    kept = [p for path, p in model.named_parameters() if trained.search(path)]
    if whole is not None and not kept:
        raise ValueError(f"add_lora: expected {whole!r} in the path of a parameter")
    paths = [path for path, layer in _adaptable(model, kept) if adapted.search(path)]
    if not paths:
        every = [path for path, _ in _adaptable(model, kept)]
        raise ValueError(f"add_lora: expected {layers!r} in the path of a layer; they are {_few(every)}")
    model.requires_grad_(False)
    for path in sorted(paths, key=len, reverse=True):  # what lies inside another first
        _adapt(model, path, rank, alpha, dropout, generator)
    for parameter in kept:
        parameter.requires_grad_()
    return model


def merge_lora(model: Model) -> Model:
    """Adds each product to its weight, in place: the model computes the same, and its layers are as before.

    Everything stays frozen or not as it is; ``requires_grad_()`` thaws the model.

    Raises:
        ValueError: if the model is itself an adapted layer.
    """
    if isinstance(unwrapped(model), LoRA):
        raise ValueError("merge_lora: expected the model around the adapted layer; merged() is for one alone")
    for path, part in reversed(list(model.named_modules())):  # what lies inside another first
        if isinstance(part, LoRA):
            _replace(model, path, part.merged())
    return model


def save_lora(model: Module, path: str | Path) -> None:
    """Writes what is trained, and nothing else: the products, and parameters trained as a whole.

    Args:
        model: with LoRA.
        path: a safetensors file.

    Raises:
        ValueError: if the model has no LoRA, or its parts differ in alpha or dropout, which are written once.
    """
    parts = [part for part in model.modules() if isinstance(part, LoRA)]
    if not parts:
        raise ValueError("save_lora: the model has no LoRA; add_lora puts it there")
    tensors = {name: parameter.detach() for name, parameter in _plain_names(model) if parameter.requires_grad}
    dropouts = [part.dropout.p for part in parts if isinstance(part, LoRADense)]
    for name, values in (("alpha", [part.alpha for part in parts]), ("dropout", dropouts)):
        if len(set(values)) > 1:
            raise ValueError(
                f"save_lora: expected one {name} for all parts, as add_lora gives, got {sorted(set(values))}"
            )
    words = {"alpha": parts[0].alpha, "dropout": max(dropouts, default=0.0)}
    save_tensors(path, tensors, {"lora": json.dumps(words)})


def load_lora(model: Model, path: str | Path) -> Model:
    """Freezes a model and puts what :func:`save_lora` wrote beside its layers.

    Args:
        model: changed in place; of the same shape as the one the products were trained beside.
        path: the file.

    Raises:
        CheckpointError: if there is none, it is damaged or does not fit; the model stays as it was then.
        ValueError: if the model has LoRA already.
    """
    if any(isinstance(part, LoRA) for part in model.modules()):
        raise ValueError("load_lora: the model has LoRA already; merge_lora it first")
    tensors, words = load_tensors(path)
    try:
        settings = json.loads(words["lora"])
        alpha, dropout = float(settings["alpha"]), float(settings["dropout"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not a file of save_lora ({error!r})") from error
    layers = dict(_adaptable(model, []))
    ranks = {n.removesuffix(".lora_A"): t.shape[0] for n, t in tensors.items() if n.endswith(".lora_A")}
    adapted = {f"{layer}.lora_{part}" for layer in ranks for part in "AB"}
    parameters = dict(model.named_parameters())
    problems = [f"no such layer: {layer}" for layer in ranks if layer not in layers]
    for name, tensor in tensors.items():
        if name in adapted:
            layer, _, part = name.rpartition(".lora_")
            if layer in layers:
                rows, columns = _weight(layers[layer]).shape
                expected = (ranks[layer], columns) if part == "A" else (rows, ranks[layer])
                if tensor.shape != expected:
                    problems.append(f"wrong shape: {name}, expected {expected}, got {tuple(tensor.shape)}")
        elif name not in parameters:
            problems.append(f"no such parameter: {name}")
        elif tensor.shape != parameters[name].shape:
            own = tuple(parameters[name].shape)
            problems.append(f"wrong shape: {name}, expected {own}, got {tuple(tensor.shape)}")
    problems += [f"missing: {name}" for name in sorted(adapted - tensors.keys())]
    if problems or not ranks:
        raise CheckpointError("\n  ".join([f"{path}: does not fit the model:", *problems[:20]]))
    model.requires_grad_(False)
    for layer in sorted(ranks, key=len, reverse=True):
        _adapt(model, layer, ranks[layer], alpha, dropout, None)
    with torch.no_grad():
        for name, parameter in _plain_names(model):
            if name in tensors:
                parameter.copy_(tensors[name])
                parameter.requires_grad_()
    return model


def _adaptable(model: Module, apart: list[Tensor]) -> Iterator[tuple[str, Module]]:
    """Yields path and layer of what can be adapted: Dense layers and attention's joint projections."""
    count: dict[int, int] = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        count[id(parameter)] = count.get(id(parameter), 0) + 1
    trained = {id(parameter) for parameter in apart}
    for path, layer in model.named_modules():
        joint = getattr(layer, JOINT_PROJECTION, None)
        if path and (isinstance(layer, Dense) or (isinstance(joint, Tensor) and joint.dim() == 2)):
            weight = _weight(layer)
            if count.get(id(weight)) == 1 and id(weight) not in trained:
                yield path, layer


def _weight(layer: Module) -> Tensor:
    weight: Tensor = getattr(layer, "weight" if isinstance(layer, Dense) else JOINT_PROJECTION)
    return weight


def _adapt(
    model: Module, path: str, rank: int, alpha: float, dropout: float, generator: torch.Generator | None
) -> None:
    """Puts LoRA in the place of a layer."""
    layer = model.get_submodule(path)
    if isinstance(layer, Dense):
        adapted: LoRA = LoRADense(layer, rank, alpha, dropout, generator=generator)
    else:
        inner = [p for p in layer.parameters() if p.requires_grad]  # of layers inside, adapted before
        adapted = LoRAWeight(layer, JOINT_PROJECTION, rank, alpha, generator=generator)
        for parameter in inner:
            parameter.requires_grad_()
    _replace(model, path, adapted.train(layer.training))


def _replace(model: Module, path: str, layer: Module) -> None:
    """Puts a layer at a path; what recomputes the one there recomputes it."""
    above, _, name = path.rpartition(".")
    parent = model.get_submodule(above)
    if isinstance(getattr(parent, name), Recompute):
        layer = Recompute(layer).requires_input_grad_(layer.input_grad)
    setattr(parent, name, layer)


def _plain_names(model: Module) -> Iterator[tuple[str, Tensor]]:
    """Yields parameters under the names they would have without LoRA, its own as ``layer.lora_A``."""
    bases = [f"{path}.base" if path else "base" for path, m in model.named_modules() if isinstance(m, LoRA)]
    for path, parameter in model.named_parameters():
        name = path
        for base in sorted(bases, key=len, reverse=True):
            if path.startswith(base + "."):
                name = name[: len(base) - len(".base")] + name[len(base) :]
        yield name, parameter


def _pattern(who: str, written: str) -> re.Pattern[str]:
    """Returns a regular expression.

    Raises:
        ValueError: names the function, if it is none.
    """
    try:
        return re.compile(written)
    except re.error as error:
        raise ValueError(f"{who}: {written!r} is no regular expression ({error})") from error


def _few(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
