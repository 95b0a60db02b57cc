"""The engine room: fast forms of the formulas in ``functional/``, and the rule that picks between the two.

A formula is a pair of plain functions, ``name(...) -> (result, saved)`` and ``name_backward(grad, saved) ->
grads``. A kernel replaces the whole pair, and stands in the file of the same name: that of
``ds_core/functional/layer_norm.py`` in ``ds_core/kernels/layer_norm.py``.

    @kernel(functional.layer_norm)
    class LayerNormKernel:
        @staticmethod
        def forward(x, weight, bias, eps, dims): ...          # -> result, saved
        @staticmethod
        def backward(grad, saved, *, wanted=None): ...        # -> grads
        @staticmethod
        def second_backward(grad_grad, grad, saved): ...      # of a formula with second gradients, as it

A layer calls neither directly, but what :func:`dispatch` makes of a formula, and need not know which one ran:
what a forward saved carries its side, so that a backward never meets the other one's.

The rule: the formula runs under torch's autograd, under ``torch.compile`` (unless the kernel says that it can
be traced) and inside ``engine("manual", kernels=False)``; otherwise the kernel for this device and type, if
there is one.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ds_core.kernels.low import Low, LowProducts

__all__ = [
    "HALF",
    "Kernel",
    "alike",
    "branch",
    "declared",
    "dispatch",
    "dispatch_update",
    "kernel",
    "kernels_of",
    "runs",
    "update_kernel",
]

Formula = Callable[..., tuple[Any, Any]]
KernelClass = TypeVar("KernelClass", bound=type)

HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Kernel:
    """A fast form of a pair, and where it serves."""

    name: str
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[..., Any] | None  # None for an optimizer's update
    second_backward: Callable[..., Any] | None  # None where the formula has none
    devices: tuple[str, ...]  # device types; empty for all
    dtypes: tuple[torch.dtype, ...]  # empty for all
    traceable: bool
    forward_keeps: bool  # whether forward takes keep=: False where no backward will follow
    backward_wants: bool  # whether backward takes wanted=: which gradients are wanted
    branches: tuple[str, ...]  # the forms it chooses from by size, see branch()


class Saved(NamedTuple):
    """What a forward saved, and which side made it."""

    kernel: Kernel | None  # None for the formula
    values: Any
    narrow: torch.dtype | None  # the half precision type it was called with, where it computed in a wider one
    products: Low | None = None  # how it multiplied matrices


class _Switch(threading.local):
    """Of each thread: whether kernels may run, and in which type they multiply matrices."""

    def __init__(self) -> None:  # of each thread, too: the compiler asks whether an attribute is there
        self.kernels = True
        self.precision: Low | None = None  # wished for; see ds_core.precision
        self.products: Low | None = None  # in force: inside a pair whose products are low


switch = _Switch()

# Of every open block of runs(): how often each kernel's and each formula's forward and backward ran.
_counters: list[Counter[str]] = []
_kernels: dict[Formula, list[Kernel]] = defaultdict(list)
# Names of the pairs whose products are low ones where the precision is.
low_pairs: set[str] = set()


def kernel(
    formula: Formula,
    *,
    device: str | Collection[str] = "cpu",
    dtypes: Collection[torch.dtype] = (torch.float32, torch.float64),
    traceable: bool = False,
    branches: Collection[str] = (),
) -> Callable[[KernelClass], KernelClass]:
    """Declares a class with static ``forward`` and ``backward`` as the fast form of a formula.

    ``forward`` takes what the formula takes, and ``keep=`` if it saves time to know that no backward will
    follow. ``backward`` takes the gradient and what ``forward`` saved, which nobody else looks at, and
    ``wanted=`` if it can leave out gradients that nobody wants: a bool for each, or None for all. A pair with
    second gradients is replaced with them: ``second_backward`` takes what the formula's takes.

    Args:
        formula: the first function of the pair it replaces.
        device: the types of device it serves, as ``"cpu"``; an empty collection for all.
        dtypes: of the first argument.
        traceable: whether it may run inside ``torch.compile``.
        branches: names of the forms it chooses from by size; it calls ``branch(name)`` where it takes one, so
            that the tests see whether both sides of each threshold have a case.
    """
    devices = (device,) if isinstance(device, str) else tuple(device)

    def declare(cls: KernelClass) -> KernelClass:
        forward, backward = cls.forward, cls.backward  # type: ignore[attr-defined]
        keeps = "keep" in inspect.signature(forward).parameters
        wants = "wanted" in inspect.signature(backward).parameters
        _kernels[formula].append(
            Kernel(
                *(cls.__name__, forward, backward, getattr(cls, "second_backward", None)),
                *(devices, tuple(dtypes), traceable),
                *(keeps, wants, tuple(f"{cls.__name__}: {name}" for name in branches)),
            )
        )
        return cls

    return declare


def update_kernel(formula: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declares a function as the fast form of an optimizer's update, on every device and for every type.

    ``name(parameter, grad, state, **options) -> (parameter, state)``; it may work in their memory.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        _kernels[formula].append(
            Kernel(function.__name__, function, None, None, (), (), False, False, False, ())
        )
        return function

    return declare


def kernels_of(formula: Formula) -> list[Kernel]:
    """Returns the kernels of a formula, after importing the file of the formula's name in ``kernels/``."""
    module = formula.__module__.replace(".functional.", ".kernels.")
    folder = module.rpartition(".")[0]
    if folder.endswith(".kernels") and importlib.util.find_spec(folder) and importlib.util.find_spec(module):
        importlib.import_module(module)
    return _kernels[formula]


class runs:
    """Counts what runs in a block: ``with runs() as counts`` gives ``{"LayerNormKernel.forward": 2}``.

    A formula that runs counts under its own name, ``"layer_norm"`` and ``"layer_norm_backward"``.
    """

    def __enter__(self) -> Counter[str]:
        self.counts: Counter[str] = Counter()
        _counters.append(self.counts)
        return self.counts

    def __exit__(self, *_: object) -> None:
        _counters[:] = [counts for counts in _counters if counts is not self.counts]  # equal ones stay


def branch(name: str) -> None:
    """Counts that a kernel takes one of the forms it declared: ``branch("AttentionKernel: blockwise")``."""
    for counts in _counters:
        counts[name] += 1


def declared(package: str) -> list[Kernel]:
    """Lists the kernels of a package's formulas."""
    book = importlib.import_module(f"{package}.functional")
    for name in book.__all__:
        kernels_of(getattr(book, name))
    ours = [formula for formula in _kernels if formula.__module__.split(".")[0] == package]
    return [found for formula in ours for found in _kernels[formula]]


def dispatch(
    formula: Formula, *, half: torch.dtype | None = None, second: bool = False, low: bool = False
) -> tuple[Callable[..., Any], ...]:
    """Returns a formula's pair, each call of which runs by a kernel where there is one.

    The forward also takes ``keep=``: False says that no backward will follow; and ``hints=``: more keyword
    arguments of a kernel's forward, which say how to go about it and which the formula does not get. The
    backward also takes ``wanted=``: which of the gradients it returns are wanted; the others are None.

    Args:
        formula: the first function of a pair ``name``, ``name_backward`` in one module.
        half: the type in which float16 and bfloat16 are computed (casts before, casts after); None for their
            own.
        second: whether the pair's ``name_second_backward`` is wanted, too.
        low: whether its products of float32 matrices are low ones where :func:`ds_core.precision` says so.

    Example:
        >>> layer_norm, layer_norm_backward = dispatch(functional.layer_norm, half=torch.float32)
    """
    book, name = sys.modules[formula.__module__], formula.__name__
    formula_backward = getattr(book, f"{name}_backward")
    kernels = kernels_of(formula)
    if low:
        low_pairs.add(name)

    def forward(
        *args: Any, keep: bool = True, hints: Mapping[str, Any] | None = None, **options: Any
    ) -> tuple[Any, Saved]:
        narrow = None
        if half is not None and args[0].dtype in HALF:
            narrow = args[0].dtype
            args, options = _cast(args, half), {key: _cast(value, half) for key, value in options.items()}
        products = switch.precision if low and args[0].dtype == torch.float32 else None
        chosen = _pick(kernels, args[0]) if kernels else None
        if chosen is None:
            result, values = _run(formula, args, options, products, None)
            for counts in _counters:
                counts[name] += 1
        else:
            if chosen.forward_keeps:
                options["keep"] = keep
            result, values = _run(chosen.forward, args, {**options, **(hints or {})}, products, chosen)
            for counts in _counters:
                counts[f"{chosen.name}.forward"] += 1
        saved = Saved(chosen, values, narrow, products)
        return result if narrow is None else _cast(result, narrow), saved

    def backward(grad: Any, saved: Saved, *, wanted: tuple[bool, ...] | None = None, **options: Any) -> Any:
        chosen, values, narrow, products = saved
        if narrow is not None:
            grad, options = _cast(grad, half), {key: _cast(value, half) for key, value in options.items()}
        if chosen is None:
            grads = _own(_run(formula_backward, (grad, values), options, products, None), grad)
            for counts in _counters:
                counts[f"{name}_backward"] += 1
        else:
            if chosen.backward_wants:
                options["wanted"] = wanted
            assert chosen.backward is not None
            grads = _run(chosen.backward, (grad, values), options, products, chosen)
            for counts in _counters:
                counts[f"{chosen.name}.backward"] += 1
        if wanted is not None:
            grads = tuple(g if want else None for g, want in zip(grads, wanted, strict=True))
        return grads if narrow is None else _cast(grads, narrow)

    if not second:
        return forward, backward
    if without := [one.name for one in kernels if one.second_backward is None]:
        raise TypeError(f"{name}: expected its kernels to have a second_backward, {without[0]} has none")
    # Its second gradient may stand in a file of its own: it is a third pass.
    formula_second = getattr(sys.modules[formula.__module__.rpartition(".")[0]], f"{name}_second_backward")

    def second_backward(grad_grad: Any, grad: Any, saved: Saved) -> Any:
        chosen, values, narrow, products = saved
        run = formula_second if chosen is None else chosen.second_backward
        assert run is not None
        for counts in _counters:
            counts[f"{name if chosen is None else chosen.name}.second_backward"] += 1
        if narrow is not None:
            grad_grad, grad = _cast(grad_grad, half), _cast(grad, half)
        grads = _run(run, (grad_grad, grad, values), {}, products, chosen)
        return grads if narrow is None else _cast(grads, narrow)

    return forward, backward, second_backward


def dispatch_update(formula: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an optimizer's update, each call of which runs by a kernel where there is one."""
    kernels = kernels_of(formula)

    def update(parameter: Tensor, grad: Tensor, state: Any, **options: Any) -> Any:
        chosen = _pick(kernels, parameter) if kernels else None
        for counts in _counters:
            counts[formula.__name__ if chosen is None else f"{chosen.name}.forward"] += 1
        return (formula if chosen is None else chosen.forward)(parameter, grad, state, **options)

    return update


def _own(grads: Any, grad: Any) -> Any:
    """Copies a gradient that is the very one that was given: what goes into a ``.grad`` must be its own.

    A sum over no dimension, as of a bias whose input has no batch, gives back what it sums.
    """
    if not (isinstance(grads, tuple) and isinstance(grad, Tensor)):
        return grads
    return tuple(g.clone() if isinstance(g, Tensor) and g is grad else g for g in grads)


def _pick(kernels: list[Kernel], x: Tensor) -> Kernel | None:
    """Returns the kernel that runs for an input, None where the formula does."""
    if torch.is_grad_enabled() or not switch.kernels:
        return None
    for candidate in kernels:
        if (
            (not candidate.dtypes or x.dtype in candidate.dtypes)
            and (not candidate.devices or ("cpu" if x.is_cpu else x.device.type) in candidate.devices)
            and (candidate.traceable or not torch.compiler.is_compiling())
        ):
            return candidate
    return None


def _run(
    function: Callable[..., Any],
    args: Sequence[Any],
    options: Mapping[str, Any],
    products: Low | None,
    chosen: Kernel | None,
) -> Any:
    """Calls one side of a pair, with its products in the type that is in force."""
    if products is None:
        return function(*args, **options)
    if chosen is None:
        with LowProducts(products):
            return function(*args, **options)
    before, switch.products = switch.products, products
    try:
        return function(*args, **options)
    finally:
        switch.products = before


def _cast(value: Any, dtype: torch.dtype | None) -> Any:
    """Converts floating point tensors, in tuples and lists too, and leaves everything else as it is."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, (tuple, list)):
        return alike(value, [_cast(part, dtype) for part in value])
    return value


def alike(values: Any, parts: list[Any]) -> Any:
    """Returns the parts as values are: in a tuple, a list or a named tuple of the same kind."""
    return type(values)(*parts) if hasattr(values, "_fields") else type(values)(parts)
