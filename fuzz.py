"""Throws bad values and types at everything public and counts what meets them: ``hatch run fuzz``.

Every layer, loss and model, optimizer, schedule and metric is made with one bad argument, called with one
bad input, and given a bad gradient: texts, lists and arrays for tensors, fractions for sizes, sizes below
zero, NaN, other shapes, types and devices. What is good comes from the cases that ``hatch run verify``
checks; a number of another type that a layer without parameters computes with as it is, is not bad. Four
things may follow:

    clear       an error that a ``raise`` of ours raised, and that says what was expected and what came
    raw         any other error: one from inside
    as torch    no error, and none from the namesake in torch either
    nonsense    no error, where there should be one

The command prints their shares and lists all that is raw or nonsense, once for each place it comes from.
"""

import argparse
import importlib
import inspect
import linecache
import math
import random
import signal
import sys
import traceback
import typing
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal

import numpy as np
import torch
from ds_core import Module, Parameter, engine
from ds_core.losses import Loss
from ds_core.metrics import METRICS
from ds_core.optimizers import Optimizer
from ds_core.schedulers import Scheduler
from ds_core.verify import Case, load_cases
from torch import Tensor, nn

ROOT = Path(__file__).parent
OUTCOMES = ("clear", "raw", "as torch", "nonsense")
SECONDS = 20  # of the processor's time, after which a call counts as hanging

# Whole numbers that may be below zero.
MAY_BE_NEGATIVE = ("dim", "axis", "start_dim", "end_dim", "index", "idx", "seed", "epoch", "diagonal")


@dataclass
class Trial:
    """One bad thing.

    Attributes:
        name: what it is, such as ``Dense.forward: x=<list>``.
        run: does it.
        reference: does the same in torch, where there is a namesake.
        may_pass: whether it may turn out to be nothing bad, and does not count then.
    """

    name: str
    run: Callable[[], Any]
    reference: Callable[[], Any] | None = None
    may_pass: bool = False


@dataclass
class Outcome:
    """What a trial came to: one of OUTCOMES, and what was said where."""

    kind: str
    trial: Trial
    said: str = ""


# ---- what is thrown --------------------------------------------------------------------------------------

VALUES = (
    *(None, -1, 2.5, math.nan, math.inf, "3", [1, 2], {}, 10**30, True, object(), print),
    *(np.array([1.0, 2.0]), torch.tensor([1.5, 2.5]), torch.float32, -3),
)


def leaves(hint: Any) -> Iterator[Any]:
    """Yields what may stand for an annotation."""
    if typing.get_origin(hint) in (typing.Union, UnionType):
        for part in typing.get_args(hint):
            yield from leaves(part)
    elif typing.get_origin(hint) is Literal:
        yield from (type(word) for word in typing.get_args(hint))
    else:
        yield typing.get_origin(hint) or hint


def is_bad(value: Any, hint: Any, name: str) -> bool:
    """Says whether a value should meet an error as an argument."""
    kinds = list(leaves(hint))
    if any(kind in (Any, object, inspect.Parameter.empty) for kind in kinds):
        return False
    if isinstance(value, float) and float in kinds:
        return math.isnan(value)
    if isinstance(value, int) and not isinstance(value, bool) and int in kinds:
        return value >= 2**63 or (value < 0 and not name.endswith(MAY_BE_NEGATIVE))
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        return value >= 2**63
    if value is None:
        return type(None) not in kinds
    if callable(value):
        return not any(kind is Callable or str(kind).startswith("collections.abc.Callable") for kind in kinds)
    if isinstance(value, list):
        return not any(kind in (tuple, list) or "abc" in str(kind) for kind in kinds)
    if isinstance(value, dict):
        return not any(kind in (dict,) or "abc" in str(kind) for kind in kinds)
    if isinstance(value, str):
        return not any(kind in (str, torch.device, Path) for kind in kinds)
    return not any(inspect.isclass(kind) and isinstance(value, kind) for kind in kinds)


def shown(value: Any) -> str:
    """Writes a value in a few characters."""
    if isinstance(value, Tensor):
        return f"<{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)} {value.device.type}>"
    if isinstance(value, np.ndarray):
        return "<array>"
    text = repr(value)
    return text if len(text) < 30 else f"<{type(value).__name__}>"


# ---- constructors ----------------------------------------------------------------------------------------


def calls(makers: list[Callable[[], Any]], classes: set[type]) -> dict[type, tuple[Any, tuple, dict]]:
    """Returns of each class the first call of its constructor, among all that makers make."""
    found: dict[type, tuple[Any, tuple, dict]] = {}
    before = {cls: vars(cls).get("__init__") for cls in classes}

    def spy(cls: type) -> None:
        original = cls.__init__

        def init(self: Any, *args: Any, **options: Any) -> None:
            original(self, *args, **options)
            if type(self) is cls:
                found.setdefault(cls, (make, args, options))

        cls.__init__ = init

    for cls in sorted(classes, key=lambda cls: len(cls.__mro__)):
        spy(cls)
    try:
        for make in makers:
            make()
    finally:
        for cls, init in before.items():
            if init is None:
                del cls.__init__
            else:
                cls.__init__ = init
    return found


def hints_of(function: Any) -> dict[str, Any]:
    """Returns the annotations of a function; Any for those that cannot be read."""
    function = inspect.unwrap(function)
    hints = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        try:
            hints[name] = eval(hint, function.__globals__) if isinstance(hint, str) else hint
        except NameError:
            hints[name] = Any
    return hints


def use(thing: Any, inputs: tuple[Any, ...]) -> Any:
    """Does with something what it is for."""
    if isinstance(thing, Module):
        with engine("manual"):
            output = thing(*inputs)
            if thing.training and isinstance(output, Tensor):
                thing.backward(torch.ones_like(output))
        return output
    if isinstance(thing, Optimizer):
        for group in thing.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        return thing.step()
    if isinstance(thing, Scheduler):
        thing.optimizer.step()
        return thing.step(*([1.0] if "Plateau" in type(thing).__name__ else []))
    return thing(*inputs)


def constructors(cases: list[Any], classes: set[type]) -> Iterator[Trial]:
    """Yields constructors with one bad argument each."""
    inputs = {}

    def maker(case: Any) -> Callable[[], Any]:
        def make() -> Any:
            if isinstance(case, Case):
                return case.make()
            return case.make([Parameter(torch.randn(2, 3)), Parameter(torch.randn(3))])

        inputs[make] = case.inputs if isinstance(case, Case) else lambda g: ()
        return make

    for cls, (make, args, options) in calls([maker(case) for case in cases], classes).items():
        try:
            bound = inspect.signature(cls).bind(*args, **options)
        except TypeError:
            continue
        hints = hints_of(cls.__init__)
        theirs = next((getattr(m, cls.__name__) for m in THEIRS if hasattr(m, cls.__name__)), None)
        for name, parameter in inspect.signature(cls).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            for value in VALUES:
                if is_bad(value, hints.get(name, Any), name):
                    given = {**bound.arguments, name: value}
                    draw = inputs[make]
                    yield Trial(
                        f"{cls.__name__}({name}={shown(value)})",
                        partial(_made, cls, given, draw),
                        None if theirs is None else partial(_made, theirs, given, draw),
                    )


THEIRS = (nn, torch.optim, torch.optim.lr_scheduler)


def _made(cls: Any, given: dict[str, Any], draw: Callable[..., Any]) -> Any:
    signature = inspect.signature(cls)
    if isinstance(given.get("optimizer"), Optimizer) and cls.__module__.startswith("torch"):
        sgd = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.1, momentum=0.9)
        given = {**given, "optimizer": sgd}
    args, options = [], {}
    for name, value in given.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            args += value
        elif signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            options |= value
        else:
            options[name] = value
    if args:
        thing = cls(*options.values(), *args)
    else:
        thing = cls(**options)
    inputs = draw(torch.Generator().manual_seed(0))
    if isinstance(thing, nn.Module):
        return thing(*inputs)
    if isinstance(thing, (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)):
        return thing.step(*([1.0] if "Plateau" in cls.__name__ else []))
    return use(thing, inputs if len(inputs) else ())


# ---- calls and gradients ---------------------------------------------------------------------------------


def replaced(value: Any) -> Iterator[tuple[Any, bool]]:
    """Yields what does not belong in the place of an input or a gradient, and whether it may somewhere."""
    if not isinstance(value, Tensor):
        return
    for bad in (value.numpy(), value.tolist(), "text", None, object(), 1.5, {}, value.to(torch.complex64)):
        yield bad, False
    yield value.to("meta"), False
    if value.is_floating_point():
        for dtype in (torch.int64, torch.float64, torch.bool, torch.float16):
            yield value.to(dtype), True
    else:
        for dtype in (torch.float32, torch.float64):
            yield value.to(dtype), True
        yield value.long() - 10**6, True
        yield value.long() + 10**6, True
    if value.dim():
        yield torch.cat([value, value[..., :1]], -1) if value.shape[-1] else value.new_ones(3, 7), True
        yield value[0] if len(value) else value[None], True
        yield value.reshape(-1), True
        yield value.sum(), True
    yield value.expand(3, 1, 2, *value.shape).clone(), True


def forwards(case: Case) -> Iterator[Trial]:
    """Yields calls of a module with one bad input each."""
    module, inputs = case.make(), case.inputs(torch.Generator().manual_seed(0))
    names = list(inspect.signature(module.forward).parameters)
    hints = hints_of(type(module).forward)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = case.namesake() if case.namesake is not None and case.reference is None else None

    alike = next(module.parameters(), None) is not None  # of one type
    alone = sum(isinstance(value, Tensor) for value in inputs) == 1

    def run(given: tuple[Any, ...]) -> Any:
        module.forget()
        with engine("manual"):
            return module(*given)

    for place, value in enumerate(inputs):
        name = names[min(place, len(names) - 1)]
        for bad, may_pass in replaced(value):
            if bad is None and not is_bad(bad, hints.get(name, Tensor), name):
                continue
            if isinstance(bad, (list, dict)) and not is_bad(bad, hints.get(name, Tensor), name):
                continue
            if isinstance(bad, Tensor) and bad.is_meta and alone and not alike:
                continue  # nothing is elsewhere
            if isinstance(bad, Tensor) and bad.dtype != value.dtype and may_pass and not alike:
                continue  # a number of another type, computed with as it is
            given = (*inputs[:place], bad, *inputs[place + 1 :])
            reference = None if theirs is None else partial(theirs, *given)
            said = f"{type(module).__name__}.forward({name}={shown(bad)})"
            yield Trial(said, partial(run, given), reference, may_pass)
    yield Trial(f"{type(module).__name__}.forward: no input", partial(run, ()))
    yield Trial(
        f"{type(module).__name__}.forward: too many", partial(run, (*inputs, *inputs, *inputs, *inputs))
    )


def backwards(case: Case) -> Iterator[Trial]:
    """Yields backwards of a module with one bad gradient each."""
    module, inputs = case.make(), case.inputs(torch.Generator().manual_seed(0))
    if not module.training:
        return
    name = type(module).__name__

    def run(change: Callable[[list[Tensor]], list[Any]], times: int = 1) -> Any:
        module.zero_grad()
        with engine("manual"):
            output = module(*inputs)
            outputs = list(output) if isinstance(output, (tuple, list)) else [output]
            grads = change([torch.ones_like(y) if isinstance(y, Tensor) else y for y in outputs])
            for _ in range(times):
                result = module.backward(*grads)
        return result

    with engine("manual"):
        module.zero_grad()
        output = module(*inputs)
    first = output[0] if isinstance(output, (tuple, list)) else output
    if not isinstance(first, Tensor):
        return
    for bad, _ in replaced(torch.ones_like(first)):
        if bad is None or (first.dim() == 0 and isinstance(bad, float)):  # nobody wants it; a factor
            continue
        if (
            isinstance(bad, Tensor)
            and bad.shape == first.shape
            and bad.dtype == first.dtype
            and not bad.is_meta
        ):
            continue  # it is not bad
        change = lambda grads, bad=bad: [bad, *grads[1:]]  # noqa: E731
        yield Trial(f"{name}.backward({shown(bad)})", partial(run, change))
    yield Trial(f"{name}.backward twice", partial(run, lambda grads: grads, 2))
    yield Trial(f"{name}.backward: too many", partial(run, lambda grads: grads * 9))
    if isinstance(module, Loss) or first.dim() == 0:  # of a loss, the gradient is 1 if none is given
        return
    yield Trial(f"{name}.backward: none", partial(run, lambda grads: []))


def metric_trials() -> Iterator[Trial]:
    """Yields metrics with one bad argument each, in constructor and call."""
    scores = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    for make in METRICS.values():
        cls = type(make())
        hints = hints_of(cls.__init__)
        for name in inspect.signature(cls).parameters:
            for value in VALUES:
                if is_bad(value, hints.get(name, Any), name):
                    yield Trial(
                        f"{cls.__name__}({name}={shown(value)})",
                        lambda cls=cls, name=name, value=value: cls(**{name: value})(
                            scores, scores.argmax(1)
                        ),
                    )
        for bad, may_pass in replaced(scores):
            said = f"{cls.__name__}.update({shown(bad)})"
            yield Trial(said, partial(make(), bad, scores.argmax(1)), None, may_pass)


# ---- what follows ----------------------------------------------------------------------------------------


class Hangs(Exception):
    """Took too long."""


def judge(trial: Trial) -> Outcome | None:
    """Runs a trial and says what it came to; None if it was nothing bad."""
    try:
        _timed(trial.run)
    except Exception as error:
        return Outcome("clear" if is_clear(error) else "raw", trial, _told(error))
    if trial.reference is not None:
        try:
            _timed(trial.reference)
            return Outcome("as torch", trial)
        except Exception as error:
            return Outcome("nonsense", trial, f"torch: {_told(error)}")
    return None if trial.may_pass else Outcome("nonsense", trial)


def is_clear(error: Exception) -> bool:
    """Says whether a line of ours raised an error, which says where, and what was expected or came."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if "unexpected keyword" in str(error) or "positional argument" in str(error):
        return True  # Python's own, which names the method, what it takes and what was given
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    if "/src/ds_" not in frame.filename or not line.startswith("raise"):
        return False
    return ":" in str(error) and len(str(error)) > 20


def _told(error: Exception) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/src/ds_" in f.filename]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{where}: {type(error).__name__}: {str(error).splitlines()[0][:110] if str(error) else ''}"


def _timed(run: Callable[[], Any]) -> Any:
    def stop(*_: Any) -> None:
        raise Hangs(f"took more than {SECONDS} seconds")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def all_trials(cases: list[Any]) -> Iterator[Callable[[], Iterator[Trial]]]:
    """Yields what yields trials, class by class."""
    classes = set()
    for package in ("ds_core", "ds_cnn", "ds_rnn", "ds_transformer", "ds_zoo"):
        module = importlib.import_module(package)
        things = [getattr(module, name) for name in module.__all__]
        classes |= {t for t in things if inspect.isclass(t) and issubclass(t, (Module, Optimizer, Scheduler))}
    yield partial(constructors, cases, classes)
    yield metric_trials
    for case in cases:
        if (
            isinstance(case, Case)
            and type(case.make()).__module__.startswith("ds_")
            and ".tests." not in type(case.make()).__module__
        ):
            yield partial(forwards, case)
            yield partial(backwards, case)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Throw bad values at everything public.")
    parser.add_argument("--count", type=int, default=12_000, help="how many, drawn at random; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--match", default="", help="only those whose name contains this")
    options = parser.parse_args(arguments)
    outcomes = fuzz(options.count, options.seed, options.match)
    print(report(outcomes))
    return 0 if passes(outcomes) else 1


def fuzz(
    count: int = 0, seed: int = 0, match: str = "", folders: str = "packages/*/tests/cases"
) -> list[Outcome]:
    """Runs trials, drawn at random.

    Args:
        count: how many; 0 for all.
        seed: of the draw.
        match: what the name must contain.
        folders: of the cases.
    """
    cases = load_cases(*sorted(ROOT.glob(folders)))
    torch.manual_seed(seed)
    trials = [trial for make in all_trials(cases) for trial in make() if match in trial.name]
    if count and count < len(trials):
        trials = random.Random(seed).sample(trials, count)
    return [outcome for trial in trials if (outcome := judge(trial))]


def passes(outcomes: list[Outcome]) -> bool:
    """Says whether 95 % of what met an error met a clear one, and nothing was nonsense."""
    counts = Counter(outcome.kind for outcome in outcomes)
    return counts["clear"] >= 0.95 * (len(outcomes) - counts["as torch"]) and not counts["nonsense"]


def report(outcomes: list[Outcome]) -> str:
    """Writes the shares, and what is raw or nonsense, most frequent first."""
    counts = Counter(outcome.kind for outcome in outcomes)
    lines = [f"{len(outcomes):,} bad inputs"]
    lines += [f"  {kind:<9} {counts[kind]:6,}  {counts[kind] / len(outcomes):6.1%}" for kind in OUTCOMES]
    for kind in ("nonsense", "raw"):
        places = Counter(
            (o.said if kind == "raw" else o.trial.name.split("=")[0]) for o in outcomes if o.kind == kind
        )
        lines.append(f"{kind}:")
        for place, times in places.most_common():
            example = next(
                o for o in outcomes if place in (o.said, o.trial.name.split("=")[0]) and o.kind == kind
            )
            lines.append(f"  {times:4} {example.trial.name}   {example.said}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
