"""Compares the arguments of what has a namesake in torch with the namesake's: ``hatch run signatures``.

Constructors, ``forward`` and every other public method, functions: names, order, defaults. Arguments that
only ours has are no difference where they come by keyword alone. Every other difference is explained in
``EXPLAINED``; the command prints all of them, and ends with an error if one has no explanation there, or an
explanation no difference.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter
from types import ModuleType
from typing import Any

import torch
from ds_core import Module
from torch import nn

THEIRS = (nn, torch.optim, torch.optim.lr_scheduler, nn.init, nn.utils)
PACKAGES = ("ds_core", "ds_core.initializers", "ds_cnn", "ds_rnn", "ds_transformer")
OTHER_NAMES = {"Dense": "Linear"}

# A difference, as a regular expression over "Name.method: what", and why it is there.
EXPLAINED = {
    r"\.__init__: no (size_average|reduce)$": "Deprecated in torch for years: `reduction` says it.",
    r"^PoissonNLLLoss\.__init__: (eps|reduction) by keyword only$": (
        "Between them and the others torch has `size_average` and `reduce`, deprecated, which are not taken."
    ),
    r"^Hardtanh\.__init__: no (min|max)_value$": "Deprecated in torch: `min_val` and `max_val` are meant.",
    r"^\w+\.__init__: no \*args, \*\*kwargs$": "torch ignores what it is given; nothing is ignored here.",
    r"^Embedding\.__init__: no _(weight|freeze)$": "Private in torch; `from_pretrained` is for that.",
    r"^Embedding\.__init__: (device|dtype) by keyword only$": "Private arguments come before them in torch.",
    r"^Parameter: data=None": "An empty parameter is of no use here: a tensor is asked for.",
    r"^Module\.(state_dict|to): no \*args, \*\*kwargs$": (
        "torch sorts them by hand: the ones here are all but `memory_format`, which no layer here reads."
    ),
    r"^(ModuleDict|ParameterDict)\.update: (no|values)": "One method of both; torch has a name for each.",
    r"^Sequential\.extend: (no|modules)": "The method of ModuleList, which takes its modules by that name.",
    r"^\w+\.step: no epoch$": "Deprecated in torch: a schedule counts its steps itself.",
    r"^Conv2d\.forward: (scale|shift) besides$": "What a frozen norm behind it does, at no cost.",
    r"^(GRU|LSTM|RNN)\.forward: lengths besides$": (
        "What a PackedSequence says: with `lengths`, padding is neither read nor written."
    ),
    r"^MultiheadAttention\.forward: (key|value)=none in torch, None here$": "None for self-attention.",
    r"^Transformer\w*\.__init__: activation=": "The same function, by its name.",
    r"^(constant|eye|ones|zeros)_: generator besides$": (
        "All initializers are called alike; these draw nothing, and leave it alone."
    ),
    r"^sparse_: sparsity=none in torch": "So that it can be an `init` by name, as the others can.",
}


@dataclass(frozen=True)
class Pair:
    """One function, method or constructor of ours, and its namesake."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]


def pairs() -> Iterator[Pair]:
    """Yields all that is public and has a namesake."""
    seen = set()
    for package in map(importlib.import_module, PACKAGES):
        for name, thing in public(package):
            other = OTHER_NAMES.get(name, name)
            theirs = next((getattr(module, other) for module in THEIRS if hasattr(module, other)), None)
            if thing in seen or not callable(theirs) or isinstance(theirs, ModuleType):
                continue
            seen.add(thing)
            if not inspect.isclass(thing) or not inspect.isclass(theirs):
                yield Pair(name, thing, theirs)
                continue
            yield Pair(f"{name}.__init__", thing.__init__, theirs.__init__)
            base = Module if issubclass(thing, Module) and thing is not Module else object
            for method in dir(thing):
                own, other = getattr(thing, method), getattr(theirs, method, None)
                inherited = own is getattr(base, method, None)
                if method[0] != "_" and inspect.isroutine(own) and inspect.isroutine(other) and not inherited:
                    yield Pair(f"{name}.{method}", own, other)


def public(package: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yields (name, function or class) of what a package of ours offers."""
    for name in getattr(package, "__all__", dir(package)):
        thing = getattr(package, name)
        if getattr(thing, "__module__", "").startswith("ds_") and callable(thing) and name[0] != "_":
            yield name, thing


def arguments(function: Callable[..., Any]) -> dict[str, Parameter]:
    """Returns name -> parameter, without ``self``; keywords that a TypedDict lists come one by one."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("self", "cls"):
            continue
        if parameter.kind is Parameter.VAR_KEYWORD and "Unpack" in str(parameter.annotation):
            hints = typing.get_type_hints(inspect.unwrap(function))
            for option in typing.get_type_hints(typing.get_args(hints[name])[0]):
                found[option] = Parameter(option, Parameter.KEYWORD_ONLY, default=None)
        else:
            found[name] = parameter
    return found


def namesake_arguments(pair: Pair) -> dict[str, Parameter]:
    """Returns what the namesake takes: of RNN, GRU and LSTM, which take anything, what they read."""
    theirs = arguments(pair.theirs)
    if pair.name not in ("RNN.__init__", "GRU.__init__", "LSTM.__init__"):
        return theirs
    theirs = {name: p for name, p in arguments(nn.RNNBase.__init__).items() if name != "mode"}
    if pair.name != "LSTM.__init__":
        del theirs["proj_size"]
    if pair.name == "RNN.__init__":  # the fourth by position
        first = dict(list(theirs.items())[:3])
        kind = Parameter("nonlinearity", Parameter.POSITIONAL_OR_KEYWORD, default="tanh")
        theirs = {**first, "nonlinearity": kind, **theirs}
    return theirs


def differences(pair: Pair) -> list[str]:
    """Lists how the arguments of ours are others than the namesake's."""
    ours, theirs = arguments(pair.ours), namesake_arguments(pair)
    found = []
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    open_ours, open_theirs = (
        {p.kind for p in side.values() if p.kind in variadic} for side in (ours, theirs)
    )
    if open_theirs - open_ours:
        found.append("no *args, **kwargs")
    ours = {name: p for name, p in ours.items() if p.kind not in variadic}
    theirs = {name: p for name, p in theirs.items() if p.kind not in variadic}
    found += [f"no {name}" for name in theirs if name not in ours and not open_ours]
    for name, own in ours.items():
        other, keyword = theirs.get(name), own.kind is Parameter.KEYWORD_ONLY
        if other is None:
            found += [] if keyword or open_theirs else [f"{name} besides"]
            continue
        if keyword and other.kind is not Parameter.KEYWORD_ONLY:
            found.append(f"{name} by keyword only")
        if shown(own) != shown(other) and not (keyword and own.default is None):
            found.append(f"{name}={shown(other)} in torch, {shown(own)} here")
    positional = [
        [
            name
            for name, p in side.items()
            if name in ours and name in theirs and p.kind != Parameter.KEYWORD_ONLY
        ]
        for side in (ours, theirs)
    ]
    if positional[0] != [name for name in positional[1] if name in positional[0]]:
        found.append(f"other order: {', '.join(positional[0])}")
    return found


def shown(parameter: Parameter) -> str:
    """Writes a default."""
    default = parameter.default
    if default is Parameter.empty:
        return "none"
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        return str(float(default))
    return getattr(default, "__name__", repr(default))


def explanation(difference: str) -> str | None:
    """Returns why there is a difference; None if nobody says."""
    return next((why for pattern, why in EXPLAINED.items() if re.search(pattern, difference)), None)


def main(words: list[str] | None = None) -> int:
    """Prints the table; returns 1 if a difference has no explanation, or the other way round."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args(words)
    compared = list(pairs())
    found = [f"{pair.name}: {difference}" for pair in compared for difference in differences(pair)]
    for pair in compared:
        taken = ", ".join(
            name if p.default is Parameter.empty else f"{name}={shown(p)}"
            for name, p in arguments(pair.ours).items()
        )
        print(f"{pair.name}({taken})")
        for difference in differences(pair):
            print(f"    {difference}: {explanation(f'{pair.name}: {difference}') or 'UNEXPLAINED'}")
    missing = [difference for difference in found if explanation(difference) is None]
    idle = [pattern for pattern in EXPLAINED if not any(re.search(pattern, text) for text in found)]
    print(f"\n{len(compared)} namesakes, {len(found)} differences, {len(missing)} of them unexplained")
    print("".join(f"explained, but there is no such difference: {pattern}\n" for pattern in idle), end="")
    return 1 if missing or idle else 0


if __name__ == "__main__":
    sys.exit(main())
