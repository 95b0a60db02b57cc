"""What a training depends on, to be kept in its checkpoint: one that is resumed must depend on the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

from ds_core.module import Module
from ds_core.optimizers import Optimizer
from ds_core.schedulers import Scheduler

_SHOWN = 5  # how many differences are listed
_LONGEST = 60  # characters of a value


def module_settings(module: Module) -> dict[str, str]:
    """Returns path -> name and arguments, as shown by ``print(module)``, of a module and all below it."""
    return {path: part.label() for path, part in module.named_modules()}


def optimizer_settings(optimizer: Optimizer) -> dict[str, Any]:
    """Returns the rule and the options of each group; the learning rate is that before any schedule."""
    groups = []
    for group in optimizer.param_groups:
        options = {name: value for name, value in group.items() if name != "param_names" and _is_plain(value)}
        options["lr"] = float(options.pop("initial_lr", group["lr"]))
        groups.append(options)
    return {"rule": type(optimizer).__name__, "groups": groups}


def schedule_settings(schedule: Scheduler | None) -> dict[str, Any] | None:
    """Returns the name and the arguments of a schedule, and of those it is made of; None for none."""
    if schedule is None:
        return None
    settings: dict[str, Any] = {"name": type(schedule).__name__}
    for name, value in vars(schedule).items():
        if name in schedule.progress or name.startswith("_"):
            continue
        if isinstance(value, (list, tuple)) and value and all(isinstance(one, Scheduler) for one in value):
            settings[name] = [schedule_settings(one) for one in value]
        elif _is_plain(value):
            settings[name] = value
    return settings


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Lists what differs between settings in a checkpoint and those here, one a line; "" if nothing does."""
    found = list(_differences(there, here, ""))
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "".join(f"\n  {line}" for line in [*found[:_SHOWN], *more])


def _differences(there: Any, here: Any, path: str) -> Iterator[str]:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for name in dict.fromkeys([*there, *here]):
            where = ".".join(part for part in (path, str(name)) if part)
            yield from _differences(there.get(name), here.get(name), where)
    elif isinstance(there, (list, tuple)) and isinstance(here, (list, tuple)) and len(there) == len(here):
        for place, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _differences(one, other, f"{path}[{place}]")
    elif there != here:
        yield f"{path}: {_shown(there)} in the checkpoint, {_shown(here)} here"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _is_plain(value: Any) -> bool:
    """Says whether a value is one that a checkpoint can hold, and no tensor."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (Real, str))
