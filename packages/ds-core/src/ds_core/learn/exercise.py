"""What an exercise is: a piece of the real source with one body left open, and how that is checked."""

from __future__ import annotations

import functools
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
from ds_core.verify.comparison import LIMITS, apart, hint, map_tensors, relative_error, tensors
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

    entries: int

    def calls(self, path: str, names: Namespace) -> Iterator[tuple[Module, Inputs]]:
        raise NotImplementedError(f"{type(self).__name__} does not say what it checks")

    def _trials(self, path: str, names: Namespace) -> Iterator[Trial]:
        torch.manual_seed(0)
        for module, inputs in self.calls(path, names):
            yield Trial(module, inputs(seeded()), torch.float64)
            torch.manual_seed(0)

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
        output = tried.output()  # before its backward runs, which a wrong one may stop
        if len(output) != len(expected.output):
            what = f"expected {len(expected.output)} tensors, got {len(output)}"
            found.problems.append(("output", what))
            return found
        for i, (y, z) in enumerate(zip(output, expected.output, strict=True)):
            name = "output" if len(output) == 1 else f"output {i}"
            found.problems += _differences(name, y, z, tried.may_be_nan)
        if found.problems:
            return found
        with recording() as found.operations:
            mine = tried.manual()
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

    def calls(self, path: str, names: Namespace) -> Iterator[tuple[Module, Inputs]]:
        for inputs in (self.inputs, *self.also):
            yield self._module(path, names), inputs

    def _module(self, path: str, names: Namespace) -> Module:
        name = path.removesuffix("_backward")
        forward, backward = names[name], names[f"{name}_backward"]
        first, options = self.first, self.options

        def run(self: Module, *args: Any) -> Any:
            given = forward(*args, **options)
            if type(given) is not tuple or len(given) != 2:
                raise TypeError(f"expected {name} to return (result, what is saved), got {_shown(given)}")
            result, saved = given
            result = result[0] if first else result
            takes = [
                None if one is None else any(t.is_floating_point() for t in tensors(one)) for one in args
            ]
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
            of_each = iter(returned)
            laid = [None if take is False else next(of_each, None) for take in takes]
            for_nothing = [take is None and g is not None for take, g in zip(takes, laid, strict=True)]
            if any(for_nothing) or any(grad is not None for grad in of_each):
                given_to = ", ".join(one.name for one, take in zip(parameters, takes, strict=False) if take)
                raise ValueError(
                    f"expected a gradient for each of {given_to}, which is all that forward was given here, "
                    f"and None for the rest, got {sum(grad is not None for grad in returned)} gradients"
                )
            return tuple(laid)

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
        others: build more, for ``inputs``, where there are cases.
        entries: of each tensor, compared with finite differences.
    """

    make: Callable[[Any], Module]
    inputs: Inputs
    _: KW_ONLY
    also: Sequence[Inputs] = ()
    others: Sequence[Callable[[Any], Module]] = ()
    entries: int = 8

    def calls(self, path: str, names: Namespace) -> Iterator[tuple[Module, Inputs]]:
        kind = names[path.split(".")[0]]
        for inputs in (self.inputs, *self.also):
            yield self.make(kind), inputs
        for make in self.others:
            yield make(kind), self.inputs


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
        chance = torch.get_rng_state()
        with recording() as found.operations, torch.no_grad():
            given = self.use(_watched(theirs[path.split(".")[0]]), seeded())
        for call, result in expected.items():
            found.problems += _differences(call, given[call], result)
        if not torch.equal(chance, torch.get_rng_state()):
            what = "draws from torch's global generator, or seeds it: expected all chance from `generator`"
            found.problems.append((path, what))
        return found

    def numbers(self, path: str, names: Namespace) -> dict[str, Any]:
        torch.manual_seed(0)
        with torch.no_grad():
            return self.use(names[path.split(".")[0]], seeded())

    def shapes(self, path: str, library: Namespace) -> list[str]:
        return [f"{call} gives {_shown(result)}" for call, result in self.numbers(path, library).items()]


def _watched(code: Any) -> Any:
    """Returns a function that fails if it writes over a tensor that it is given, as a name in ``_`` may."""
    if inspect.isclass(code) or code.__name__.endswith("_"):
        return code

    @functools.wraps(code)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(code).bind(*args, **kwargs).arguments
        before = {name: map_tensors(torch.clone, value) for name, value in given.items()}
        result = code(*args, **kwargs)
        for name, value in given.items():
            pairs = zip(tensors(value), tensors(before[name]), strict=True)
            if any(relative_error(now, was, equal_nan=True) for now, was in pairs):
                raise ValueError(f"{code.__name__} writes over {name}, which belongs to whoever calls it")
        return result

    return call


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
        return [(name, where + _not(given[tuple(at)].item(), expected[tuple(at)].item(), guess))]
    if isinstance(given, Tensor):
        if given.dim():
            return [(name, _not(given, expected))]
        given = given.item()
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
        problems = [p for one, mine, right in found for p in _differences(one, mine, right, equal_nan)]
        plain = not any(isinstance(part, (Tensor, tuple, list, dict)) for part in expected)
        return [(name, _not(given, expected))] if plain and problems else problems  # plain ones side by side
    if isinstance(expected, float) and isinstance(given, (int, float)):
        same = abs(given - expected) <= 1e-9 * max(1.0, abs(expected))
        ratio = given / expected if expected else 0.0
        guess = f"it is {ratio:.4g} times what it should be" if f"{ratio:.4g}" not in ("0", "1") else ""
        return [] if same else [(name, _not(given, expected, guess))]
    return [] if given == expected else [(name, _not(given, expected))]


def _not(given: Any, expected: Any, guess: str = "") -> str:
    both = isinstance(given, float) and isinstance(expected, float)
    yours, right = apart(given, expected) if both else (_shown(given), _shown(expected))
    return f"yours is {yours}, it should be {right}" + (f": {guess}" if guess else "")


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
