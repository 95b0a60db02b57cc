"""What an exercise is: a piece of the real source with one body left open, and how that is checked."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ds_core.learn import cut
from ds_core.module import Module
from ds_core.verify.comparison import LIMITS, hint, relative_error, tensors
from ds_core.verify.gradients import compare
from ds_core.verify.inputs import Inputs, seeded
from ds_core.verify.operations import Operations, recording
from ds_core.verify.report import GradientReport
from ds_core.verify.trial import Trial

Namespace = dict[str, Any]
Problem = tuple[str, str]  # what it is about, and what is wrong with it


@dataclass
class Findings:
    """What the referees say of a piece of code.

    Attributes:
        problems: (what it is about, what is wrong), empty if all is right.
        report: of the gradients, where there are any.
        operations: what was executed.
    """

    problems: list[Problem] = field(default_factory=list)
    report: GradientReport | None = None
    operations: Operations = field(default_factory=Operations)


class Check(Protocol):
    """How the code of an exercise is checked against the library's."""

    def examine(self, path: str, theirs: Namespace, library: Namespace) -> Findings:
        """Asks the referees."""

    def numbers(self, path: str, names: Namespace) -> dict[str, Any]:
        """Returns what the code gives, by name, to be compared with what mistakes give."""

    def shapes(self, path: str, library: Namespace) -> list[str]:
        """Lists what comes in and what must come out."""


@dataclass(frozen=True)
class Exercise:
    """One step of the course.

    Args:
        name: as in ``ds-learn start NAME``.
        title: what is written here, in a few words.
        opens: the function or method to write: ``"ds_core.functional.linear:linear_backward"``.
        check: who decides whether it is right.
        hint: the first one; it stands in the file.
        theory: the section that derives it: ``"dense.md#Dense"``, in the package's folder ``theory``, or
            ``"ds-transformer/decoding.md#..."`` in another's.
        formula: the second hint, where the docstring that is taken out does not say it.
    """

    name: str
    title: str
    opens: str
    check: Check
    _: KW_ONLY
    hint: str
    theory: str
    formula: str = ""

    @property
    def module(self) -> str:
        """Returns the module it is cut from."""
        return self.opens.partition(":")[0]

    @property
    def path(self) -> str:
        """Returns the place in the module: ``"linear_backward"``, ``"Neuron.backward"``."""
        return self.opens.partition(":")[2]

    @property
    def package(self) -> str:
        """Returns the package: ``"ds_core"``."""
        return self.module.split(".")[0]

    @cached_property
    def solution(self) -> str:
        """Returns the file with the library's own body."""
        return self._head() + cut.cut(inspect.getsource(importlib.import_module(self.module)), self.path)

    @cached_property
    def given(self) -> str:
        """Returns the file with the body left open."""
        return cut.leave_open(self.solution, self.path, self.hint)

    def formula_hint(self) -> str:
        """Returns the second hint."""
        return self.formula or cut.docstring(self.solution, self.path)

    def _head(self) -> str:
        return f'''"""{self.name}: {self.title}

Write the body of {self.path}, then run:  ds-learn check {self.name}
From {self.module}
"""

'''


class Chapter(NamedTuple):
    """Exercises that belong together.

    Attributes:
        number: its place in the course, over all packages.
        title: what it is about.
        exercises: in order.
    """

    number: float
    title: str
    exercises: Sequence[Exercise]


# ---- gradients -------------------------------------------------------------------------------------------


class _Differentiated:
    """What checks of gradients share: a module, its inputs, and three ways to its gradients."""

    inputs: Inputs
    also: Sequence[Inputs]
    entries: int

    def module(self, path: str, names: Namespace) -> Module:
        raise NotImplementedError(f"{type(self).__name__} does not say what it checks")

    def _trials(self, path: str, names: Namespace) -> Iterator[Trial]:
        for inputs in (self.inputs, *self.also):
            torch.manual_seed(0)
            yield Trial(self.module(path, names), inputs(seeded()), torch.float64)

    def examine(self, path: str, theirs: Namespace, library: Namespace) -> Findings:
        first: Findings | None = None  # its report is shown if all is right
        for right, tried in zip(self._trials(path, library), self._trials(path, theirs), strict=True):
            found = self._compared(right, tried)
            if found.problems:
                return found
            first = first or found
            if found is not first:
                first.operations.counts += found.operations.counts
                first.operations.taped += found.operations.taped
        assert first is not None
        return first

    def _compared(self, right: Trial, tried: Trial) -> Findings:
        expected = right.tape(right.module)
        found = Findings()
        with recording() as found.operations:
            mine = tried.manual()
        for i, (y, z) in enumerate(zip(mine.output, expected.output, strict=True)):
            name = "output" if len(mine.output) == 1 else f"output {i}"
            found.problems += _differences(name, y, z, tried.may_be_nan)
        if found.problems:
            return found
        found.report = compare(tried, max_entries=self.entries)
        found.problems += found.report.problems
        known = {name for name, _ in found.problems}
        given = right.manual().inputs
        found.problems += [
            (name, "backward gives it no gradient")
            for name, grad in given.items()
            if grad is not None and mine.inputs[name] is None and name not in known
        ]
        return found

    def numbers(self, path: str, names: Namespace) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for i, trial in enumerate(self._trials(path, names)):
            numbers: dict[str, Any]
            try:
                outcome = trial.manual()
                numbers = {"output": outcome.output, **outcome.inputs, **outcome.parameters}
            except Exception as error:  # the other calls may tell more
                numbers = {"failure": f"{type(error).__name__}: {error}"}
            found |= {f"{name} of call {i}": value for name, value in numbers.items()}
        return found

    def shapes(self, path: str, library: Namespace) -> list[str]:
        trial = next(self._trials(path, library))
        outcome = trial.manual()
        lines = [f"{name} {_shape(t)}" for name, t in trial.named_inputs()]
        lines += [f"result {_shape(y)}" for y in outcome.output]
        grads = {**outcome.inputs, **outcome.parameters}
        return lines + [f"gradient of {name} {_shape(g)}" for name, g in grads.items() if g is not None]


@dataclass(frozen=True)
class Pair(_Differentiated):
    """A formula: ``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``.

    Args:
        inputs: draws the positional arguments of the forward; the floating point ones, from the first on,
            get the gradients that the backward returns.
        also: draws them for more calls, where there are cases.
        options: the other arguments of the forward.
        first: whether of several results only the first has a gradient.
        entries: of each tensor, compared with finite differences.
    """

    inputs: Inputs
    _: KW_ONLY
    also: Sequence[Inputs] = ()
    options: dict[str, Any] = field(default_factory=dict)
    first: bool = False
    entries: int = 20

    def module(self, path: str, names: Namespace) -> Module:
        name = path.removesuffix("_backward")
        forward, backward = names[name], names[f"{name}_backward"]
        first, options = self.first, self.options

        def run(self: Module, *args: Any) -> Any:
            result, saved = forward(*args, **options)
            result = result[0] if first else result
            takes = [one is None or any(t.is_floating_point() for t in tensors(one)) for one in args]
            self.save(saved, takes, isinstance(result, tuple))
            return result

        def back(self: Module, *grads: Tensor) -> Any:
            saved, takes, several = self.saved()
            given = backward(grads if several else grads[0], saved)
            returned = list(given) if type(given) is tuple else [given]
            for one in returned:
                if isinstance(one, int | float | list):
                    raise TypeError(
                        f"expected a gradient as a tensor, several as a tuple, got {type(one).__name__}"
                    )
            if any(grad is not None for grad in returned[sum(takes) :]):
                given_to = ", ".join(one.name for one, take in zip(parameters, takes, strict=False) if take)
                raise ValueError(
                    f"expected a gradient for each of {given_to}, which is all that forward was given here, "
                    f"and None for the rest, got {len(returned)} gradients"
                )
            of_each = iter(returned)
            return tuple(next(of_each, None) if one else None for one in takes)

        parameters = list(inspect.signature(forward).parameters.values())
        signature = inspect.Signature(
            [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *parameters]
        )
        run.__signature__ = signature  # type: ignore[attr-defined]  # the report names inputs by it
        made: Module = type(name, (Module,), {"forward": run, "backward": back})()
        return made


@dataclass(frozen=True)
class Layer(_Differentiated):
    """A method of a layer or model.

    Args:
        make: builds one from the class: ``lambda Neuron: Neuron(3)``.
        inputs: draws its positional inputs.
        also: draws them for more calls, where there are cases.
        entries: of each tensor, compared with finite differences.
    """

    make: Callable[[Any], Module]
    inputs: Inputs
    _: KW_ONLY
    also: Sequence[Inputs] = ()
    entries: int = 8

    def module(self, path: str, names: Namespace) -> Module:
        return self.make(names[path.split(".")[0]])


# ---- results ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """What a function, or the class of a method, gives: the library's own result is what is right.

    Args:
        use: calls it, and returns a name for each call -> its result: numbers, texts, tensors, or tuples,
            lists and dicts of them.
    """

    use: Callable[[Any, torch.Generator], dict[str, Any]]

    def examine(self, path: str, theirs: Namespace, library: Namespace) -> Findings:
        found = Findings()
        expected = self.numbers(path, library)
        with recording() as found.operations, torch.no_grad():
            given = self.use(theirs[path.split(".")[0]], seeded())
        for call, result in expected.items():
            found.problems += _differences(call, given[call], result)
        return found

    def numbers(self, path: str, names: Namespace) -> dict[str, Any]:
        torch.manual_seed(0)
        with torch.no_grad():
            return self.use(names[path.split(".")[0]], seeded())

    def shapes(self, path: str, library: Namespace) -> list[str]:
        return [f"{call} gives {_shown(result)}" for call, result in self.numbers(path, library).items()]


def _differences(name: str, given: Any, expected: Any, equal_nan: bool = False) -> list[Problem]:
    """Says where one result is not the other."""
    if isinstance(expected, Tensor):
        if not isinstance(given, Tensor):
            return [(name, f"expected a tensor of shape {tuple(expected.shape)}, got {_shown(given)}")]
        if given.shape != expected.shape:
            return [(name, f"expected the shape {tuple(expected.shape)}, got {tuple(given.shape)}")]
        if given.dtype != expected.dtype:
            return [(name, f"expected {expected.dtype}, got {given.dtype}")]
        limit = LIMITS.get(expected.dtype, LIMITS[torch.float64]).namesake
        if relative_error(given, expected, equal_nan=equal_nan) <= limit:
            return []
        guess = hint(given.double(), expected.double(), set(expected.shape))
        place = int((given.double() - expected.double()).abs().nan_to_num(torch.inf).argmax())
        at = [int(i) for i in torch.unravel_index(torch.tensor(place), expected.shape)]
        where = f"at {at} " if at else ""
        seen = f"{where}yours is {_number(given[tuple(at)])}, it should be {_number(expected[tuple(at)])}"
        return [(name, seen + (f": {guess}" if guess else ""))]
    if isinstance(expected, dict) and isinstance(given, dict):
        if given.keys() != expected.keys():
            return [
                (name, f"expected the keys {', '.join(map(str, expected))}, got {', '.join(map(str, given))}")
            ]
        return [
            p
            for key in expected
            for p in _differences(f"{name}, {key}", given[key], expected[key], equal_nan)
        ]
    if isinstance(expected, (tuple, list)) and isinstance(given, (tuple, list)):
        if len(given) != len(expected):
            return [(name, f"expected {len(expected)} parts, got {len(given)}")]
        several = len(expected) > 1 and any(isinstance(part, Tensor) for part in expected)
        parts = enumerate(zip(given, expected, strict=True))
        found = [(f"{name}[{i}]" if several else name, *pair) for i, pair in parts]
        if not any(isinstance(part, (Tensor, tuple, list, dict)) for part in expected):
            return [] if list(given) == list(expected) else [(name, _not(given, expected))]
        return [p for one, mine, right in found for p in _differences(one, mine, right, equal_nan)]
    if isinstance(expected, float) and isinstance(given, (int, float)):
        same = abs(given - expected) <= 1e-9 * max(1.0, abs(expected))
        ratio = given / expected if expected else 0.0
        guess = "" if same or not ratio else f": it is {ratio:.4g} times what it should be"
        return [] if same else [(name, _not(given, expected) + guess)]
    return [] if given == expected else [(name, _not(given, expected))]


def _not(given: Any, expected: Any) -> str:
    return f"yours is {_shown(given)}, it should be {_shown(expected)}"


def _number(value: Tensor) -> str:
    return f"{value.item():.6g}" if value.is_floating_point() else str(value.item())


def _shown(value: Any) -> str:
    """Shows a result in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor {_shape(value)}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)) and any(isinstance(part, Tensor) for part in value):
        return "(" + ", ".join(map(_shown, value)) + ")"
    text = repr(value)
    return text if len(text) <= 80 else text[:76] + " ..."


def _shape(t: Tensor) -> str:
    return f"({', '.join(map(str, t.shape))}{',' if t.dim() == 1 else ''})"


def same(one: Any, other: Any) -> bool:
    """Says whether two results are the same numbers."""
    return type(one) is type(other) and not _differences("", one, other, equal_nan=True)
