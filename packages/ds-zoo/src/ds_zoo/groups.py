"""Groups of parameters for an optimizer: what decays, and what has a rate of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ds_core import Module
from torch import Tensor


def decay_groups(model: Module, weight_decay: float, spared: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Splits parameters in two groups: matrices, which decay, and the rest, which does not.

    Args:
        model: whose parameters; those that are frozen are left out.
        weight_decay: of the matrices.
        spared: endings of the paths of matrices that do not decay either, such as positions.
    """
    return _split(_learning(model), weight_decay, spared)


def backbone_groups(
    model: Module, lr: float, backbone_lr: float, weight_decay: float, spared: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Splits parameters as :func:`decay_groups` does, with a rate of its own for ``model.backbone``.

    Args:
        model: whose parameters; those that are frozen, and groups of none, are left out.
        lr: of what is not in the backbone.
        backbone_lr: of the backbone.
        weight_decay: of the matrices.
        spared: endings of the paths of matrices that do not decay either.
    """
    groups = []
    for inside, rate in ((True, backbone_lr), (False, lr)):
        part = [(name, p) for name, p in _learning(model) if name.startswith("backbone.") == inside]
        groups += [group | {"lr": rate} for group in _split(part, weight_decay, spared) if group["params"]]
    return groups


def _learning(model: Module) -> Iterable[tuple[str, Tensor]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def _split(
    named: Iterable[tuple[str, Tensor]], weight_decay: float, spared: tuple[str, ...]
) -> list[dict[str, Any]]:
    decaying: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in named:
        (decaying if parameter.dim() >= 2 and not name.endswith(spared) else others).append(parameter)
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
