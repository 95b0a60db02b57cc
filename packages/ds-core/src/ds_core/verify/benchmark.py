"""Side-by-side measurement: ours and a referee do the same work, in turns, in one process.

An absolute time says as much about the machine as about the code; the ratio of two that took turns on the
same machine in the same minute says something about the code.

A benchmark is a file that states its rows once: ``ROWS``, from a row's name to a function that builds its
:class:`Sides`. Most are built by :func:`step` or :func:`layer`. ``hatch run bench`` measures them.
"""

from __future__ import annotations

import copy
import gc
import inspect
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from ds_core.clipping import clip_grad_norm_
from ds_core.engines import engine
from ds_core.kernels import matmul
from ds_core.kernels.scratch import scratch
from ds_core.module import Module
from ds_core.pretrained import Pretrained

__all__ = ["Sides", "layer", "peak_memory", "step", "twin"]

Call = Callable[[], object]
Pass = Callable[..., Any]

TOLERANCE = 1e-2  # of float32 gradients of whole models, where a ReLU may fall on the other side of 0


@dataclass(frozen=True)
class Sides:
    """Callables that do the same work once.

    Attributes:
        ours: by our code.
        theirs: by the referee, as one writes it first.
        best: by the referee, in ways that may be faster: a fused optimizer, images with channels last.
        errors: how far ours, the referee and the referee at its best are from the referee in float64:
            ``|g - g64| / |g64|`` over all gradients g together. None where nobody looks.
    """

    ours: Call
    theirs: Call
    best: Sequence[Call] = ()
    errors: Callable[[], tuple[float, float, float]] | None = None

    def contenders(self) -> list[Call]:
        """Lists ours, the referee, and all ways in which it may be at its best."""
        return [self.ours, self.theirs, *map(at_medium, self.best or [self.theirs])]

    def flops(self) -> int:
        """Counts the arithmetic of matrix products and convolutions, as the definitions need it.

        What one side does inside an operation of its own (torch's LSTM), or saves (our Winograd), the other
        side's count has.
        """
        counts = []
        for call in (self.ours, self.theirs):
            counter = FlopCounterMode(display=False)
            counter.mod_tracker = _NoModules()  # type: ignore[assignment]
            with counter, matmul.use_table("torch"), _as_it_stands():
                call()
            counts.append(counter.get_total_flops())
        return max(counts)


def _as_it_stands() -> AbstractContextManager[object]:
    """Has what torch.compile made run as it is: under a counter it would be compiled in pieces, for good."""
    stance = getattr(torch.compiler, "set_stance", None)  # of torch 2.6 on
    return nullcontext() if stance is None else stance("force_eager")


class _NoModules:
    """In place of torch's look at which module works: its hooks fail at the gradient of a gradient."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def step(
    model: Module,
    referee: Any,
    inputs: Sequence[Any],
    ours: Pass,
    theirs: Pass,
    *,
    update: Callable[..., Any] | None = None,
    their_update: Callable[..., Any] | None = None,
    their_clip: Callable[..., Any] | None = None,
    wanted: int = 0,
    images: bool = False,
) -> Sides:
    """Returns one training step of two modules with the same weights: forward, backward, clip, update.

    Args:
        model: ours.
        referee: that of `torch.nn` or `transformers`.
        inputs: of both passes; tensors, also in lists and dicts.
        ours: ``ours(model, *inputs)``: forward and backward; returns the gradients of the wanted inputs.
        theirs: ``theirs(referee, *inputs)``.
        update: makes our optimizer of parameters; None for none.
        their_update: makes theirs; if it takes ``fused``, the fused one is the referee at its best.
        their_clip: clips the norm of theirs to 1, as ours is then.
        wanted: of how many of the first inputs the gradient is wanted, too.
        images: whether the referee is also tried with channels last.
    """
    parameters = list(model.parameters())
    optimizer = update(parameters) if update else None

    def ours_once() -> None:
        model.zero_grad()
        with engine("manual"):
            ours(model, *inputs)
        if their_clip:
            clip_grad_norm_(parameters, 1.0)
        if optimizer:
            optimizer.step()

    def theirs_once(module: Any, options: dict[str, bool]) -> Call:
        leaves = _leaves(inputs, wanted, torch.channels_last if module is not referee else None)
        weights = list(module.parameters())
        their_optimizer = their_update(weights, **options) if their_update else None

        def run() -> None:
            for one in (*weights, *leaves[:wanted]):
                one.grad = None
            theirs(module, *leaves)
            if their_clip:
                their_clip(weights, 1.0)
            if their_optimizer:
                their_optimizer.step()

        return run

    def gradients(dtype: torch.dtype) -> list[Tensor]:
        referee.to(dtype)
        leaves = _leaves(_cast(inputs, dtype), wanted)
        referee.zero_grad()
        torch.set_default_dtype(dtype)  # of the constants that a loss makes for itself
        try:
            theirs(referee, *leaves)
        finally:
            torch.set_default_dtype(torch.float32)
        found = [leaf.grad for leaf in leaves[:wanted]]
        found += [_gradient(*parts) for parts in _counterparts(model, referee).values()]
        referee.to(torch.float32)
        return found

    def errors() -> tuple[float, float, float]:
        exact = gradients(torch.float64)
        model.zero_grad()
        with engine("manual"):
            of_inputs = ours(model, *inputs)
        mine = [] if not wanted else list(of_inputs) if isinstance(of_inputs, tuple) else [of_inputs]
        ours_by_name = dict(model.named_parameters())
        mine = mine[:wanted] + [ours_by_name[name].grad for name in _counterparts(model, referee)]
        error = _distance(mine, exact)
        if not error <= TOLERANCE:
            raise ValueError(f"the two sides do not do the same: their gradients differ by {error:.1e}")
        theirs32 = _distance(gradients(torch.float32), exact)
        with _medium():
            return error, theirs32, _distance(gradients(torch.float32), exact)

    fused = their_update is not None and "fused" in inspect.signature(their_update).parameters
    modules = [referee]
    if images:
        modules.append(copy.deepcopy(referee).to(memory_format=torch.channels_last))
    best = [theirs_once(module, {"fused": True} if fused else {}) for module in modules]
    return Sides(ours_once, theirs_once(referee, {}), best, errors)


def layer(
    model: Module,
    referee: Any,
    *inputs: Tensor,
    options: dict[str, Any] | None = None,
    their_options: dict[str, Any] | None = None,
    wanted: int | None = None,
    images: bool = False,
) -> Sides:
    """Returns forward and backward of one layer and its namesake, to parameters and inputs.

    Args:
        model: ours, whose weights the namesake gets.
        referee: that of `torch.nn`.
        inputs: of both.
        options: of our forward.
        their_options: of theirs.
        wanted: of how many of the first inputs the gradient is wanted; None for all in floating point.
        images: whether ours gets its images with channels last, as our layers hand them on, the referee
            contiguous ones, and the referee at its best either.
    """
    referee.load_state_dict(model.state_dict())
    mine, other = options or {}, their_options or {}
    shape = _first(referee(*inputs, **other)).shape

    def ours(module: Module, *given: Tensor) -> Any:
        module(*given[:-1], **mine)
        return module.backward(given[-1])

    def theirs(module: Any, *given: Tensor) -> None:
        _first(module(*given[:-1], **other)).backward(given[-1])

    given = [*inputs, torch.randn(shape)]
    if images:
        given = [one.contiguous(memory_format=torch.channels_last) for one in given]
    if wanted is None:
        wanted = sum(one.is_floating_point() for one in inputs)
    return step(model, referee, given, ours, theirs, wanted=wanted, images=images)


def twin(model: Pretrained, kind: Any, **options: Any) -> Any:
    """Returns the same model of `transformers`, with the same weights, ready to be trained."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return kind.from_pretrained(folder, **options).train()


def _first(result: Any) -> Tensor:
    """Returns the output of a layer, of a recurrent one without its last state."""
    output: Tensor = result[0] if isinstance(result, tuple) else result
    return output


def _leaves(inputs: Sequence[Any], wanted: int, layout: torch.memory_format | None = None) -> list[Any]:
    """Copies the inputs for the referee: contiguous, or images as said; the wanted ones collect gradients."""

    def own(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.contiguous(memory_format=layout if layout and value.dim() == 4 else _CONTIGUOUS)
        return value

    copies = [own(value) for value in inputs]
    return [value.clone().requires_grad_() if i < wanted else value for i, value in enumerate(copies)]


_CONTIGUOUS = torch.contiguous_format


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Converts floating point tensors, also in lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _cast(one, dtype) for key, one in value.items()}
    return [_cast(one, dtype) for one in value] if isinstance(value, (list, tuple)) else value


def _counterparts(model: Module, referee: Any) -> dict[str, tuple[list[Any], bool]]:
    """Returns the referee's parameters of each of ours, by its Hugging Face name if it has one.

    `transformers` calls some by another name than its files do: those are left out.
    """
    theirs, found = dict(referee.named_parameters()), {}
    form = getattr(model, "hugging_face", None)
    for name, _ in model.named_parameters():
        names, transposed = ((name,), False) if form is None or name in theirs else form.stored(name)
        names = [one if one in theirs or form is None else form.copies.get(one, one) for one in names]
        if form is None or all(one in theirs for one in names):
            found[name] = [theirs[one] for one in names], transposed
    return found


def _gradient(parts: Sequence[Any], transposed: bool) -> Tensor | None:
    """Puts the gradients of the parts of one of our parameters together."""
    if all(part.grad is None for part in parts):
        return None
    grads = [part.grad.mT if transposed else part.grad for part in parts]
    return grads[0] if len(grads) == 1 else torch.cat(grads)


def _distance(some: Sequence[Tensor | None], exact: Sequence[Tensor | None]) -> float:
    """Returns ``|g - g64| / |g64|`` of all together; no gradient is one of zeros."""
    away = size = 0.0
    for one, other in zip(some, exact, strict=True):
        if other is not None:
            size += float(other.double().square().sum())
        if one is not None:
            away += float((one.double() - (0 if other is None else other.double())).square().sum())
        elif other is not None:
            away += float(other.double().square().sum())
    return (away / size) ** 0.5 if size else away**0.5


# ---- measuring -----------------------------------------------------------------------------------------


def turn(calls: Sequence[Call], seconds: float) -> list[float]:
    """Returns the least milliseconds that each call took while all of them took turns, in either order.

    On one thread it counts the time of the processor, which what else runs on the machine does not lengthen.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: list[list[float]] = [[] for _ in calls]
    end, forward = time.perf_counter() + seconds, True
    while len(times[0]) < 2 or time.perf_counter() < end:
        pairs = list(zip(calls, times, strict=True))
        for call, taken in pairs if forward else reversed(pairs):
            begin = clock()
            call()
            taken.append((clock() - begin) * 1e3)
        forward = not forward
    return [min(taken) for taken in times]


def product_rate(side: int = 1024) -> float:
    """Returns the operations in a millisecond of the best product this machine has: torch's or oneDNN's."""
    a, b = torch.randn(side, side), torch.randn(side, side)

    def run(table: str) -> Call:
        def call() -> None:
            with torch.no_grad(), matmul.use_table(table):
                matmul.mm(a, b)

        return call

    calls = [run("torch")]
    if matmul._exact():
        calls.append(run("onednn"))
    turn(calls, 0.05)  # warm-up
    return 2.0 * side**3 / min(turn(calls, 0.5))


def at_medium(call: Call) -> Call:
    """Returns a call that runs with torch's products of float32 at "medium" precision."""

    def run() -> None:
        with _medium():
            call()

    return run


@contextmanager
def _medium() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def peak_memory(call: Call) -> int:
    """Returns the most bytes torch's allocator gave out at once during a call, beyond those before it."""
    gc.collect()
    scratch.release()
    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]")
    in_use = peak = 0
    for _, change in changes:
        in_use += change
        peak = max(peak, in_use)
    return peak


def operations(call: Call, seconds: float = 0.3) -> dict[str, tuple[float, float]]:
    """Returns, of each of torch's operations, how often a call runs it and its own milliseconds there."""
    call()
    count, end = 0, time.perf_counter() + seconds
    with _quiet(), profile(activities=[ProfilerActivity.CPU]) as recorded:
        while not count or time.perf_counter() < end:
            call()
            count += 1
    return {
        event.key.removeprefix("aten::"): (event.count / count, event.self_cpu_time_total / count / 1e3)
        for event in recorded.key_averages()
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the profiler says of itself, below Python, from the terminal."""
    sys.stderr.flush()
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
