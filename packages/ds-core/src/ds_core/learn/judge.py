"""Marking a learner's code: what it may use, what the referees say, and which mistake gives such numbers."""

from __future__ import annotations

import ast
import contextlib
import linecache
import sys
import traceback
import types
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ds_core.learn import cut
from ds_core.learn.exercise import Exercise, Findings, Namespace, same
from ds_core.learn.mutants import Mutant, mutants
from ds_core.module import Module
from ds_core.verify.allowed import ALLOWED
from ds_core.verify.comparison import LIMITS
from ds_core.verify.gradients import check_gradients
from ds_core.verify.inputs import normal, seeded
from ds_core.verify.operations import record_operations
from ds_core.verify.report import GradientReport, GradientRow
from ds_core.verify.source import ready_made

FILE = "<your file>"
# Elementary, too, though nothing in the library happens to need them.
_ALSO = (
    *("addr", "all", "argmin", "argsort", "ceil", "cosh", "count_nonzero", "cumprod", "diag_embed"),
    *("diagonal", "dot", "eye", "floor", "floor_divide", "fmod", "heaviside", "index_fill", "index_put"),
    *("isinf", "isnan", "linspace", "logical_and", "logical_not", "logical_or", "masked_scatter", "max"),
    *("min", "mv", "nan_to_num", "prod", "repeat", "roll", "round", "sinh", "take", "topk", "trace"),
    *("tril", "trunc", "zero"),
)
ALSO = {f"aten.{name}" for name in _ALSO}
# What a file may import besides what it came with.
PLAIN = {
    "__future__",
    "collections",
    "dataclasses",
    "functools",
    "itertools",
    "math",
    "operator",
    "torch",
    "typing",
}
HIDING = {"eval", "exec", "compile", "globals", "vars"}  # what they run, or lead to, is not in the text
# Names by which code makes torch's autograd record; nobody needs them for a gradient written by hand.
RECORDING = {
    "enable_grad",
    "set_grad_enabled",
    "requires_grad_",
    "register_hook",
    "inference_mode",
    "compile",
}

Row = tuple[str, list[int], float, float | None, int]  # of the table of gradients


@dataclass
class Verdict:
    """What becomes of a try.

    Attributes:
        exercise: its name.
        passed: whether all is right.
        written: False where the body is still open.
        problems: (what it is about, what is wrong).
        looks_like: the mistake that gives the very same numbers, in words; empty if none does.
        rows: of the table of gradients: name, shape, errors against autograd and differences, entries.
        printed: what the code printed.
    """

    exercise: str
    passed: bool = False
    written: bool = True
    problems: list[tuple[str, str]] = field(default_factory=list)
    looks_like: str = ""
    rows: list[Row] = field(default_factory=list)
    printed: str = ""

    def report(self) -> GradientReport | None:
        """Returns the table of gradients, None where there is none."""
        if not self.rows:
            return None
        rows = [GradientRow(row[0], tuple(row[1]), row[2], row[3], row[4]) for row in self.rows]
        problems = [(about, what) for about, what in self.problems]
        return GradientReport(self.exercise, torch.float64, LIMITS[torch.float64], rows, problems)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as numbers, texts and lists."""
        return asdict(self)


def judge(exercise: Exercise, text: str, *, explain: bool = True) -> Verdict:
    """Marks a file.

    Args:
        exercise: which.
        text: the whole file.
        explain: whether to look for the mistake that gives the same numbers.
    """
    verdict = Verdict(exercise.name)
    verdict.problems = list(_forbidden(exercise, text))
    if verdict.problems:
        return verdict
    with _quiet_start():
        library = run(exercise.solution, "library")
        theirs: Namespace | None = None
        try:
            theirs = run(text, "yours")
            found = exercise.check.examine(exercise.path, theirs, library)
        except NotImplementedError as error:
            verdict.written = "is not written yet" not in str(error)
            verdict.problems = [(exercise.path, _crash(error) if verdict.written else str(error))]
            return verdict
        except (Exception, SystemExit) as error:  # a learner's code may fail in any way
            verdict.problems = [(exercise.path, _crash(error))]
            if explain and theirs is not None:
                verdict.looks_like = _explain(exercise, theirs)
            return verdict
        verdict.problems = found.problems + list(_outside(exercise, found, library))
        if found.report is not None:
            verdict.rows = _rows(found.report)
        verdict.passed = not verdict.problems
        if explain and not verdict.passed:
            verdict.looks_like = _explain(exercise, theirs)
    return verdict


def run(text: str, name: str) -> Namespace:
    """Runs a file as a module of its own; returns its names."""
    module = types.ModuleType(f"ds_learn_{name}")
    sys.modules[module.__name__] = module  # dataclasses and annotations look for it there
    file = FILE if name == "yours" else f"<{name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def judge_layer(text: str, call: str, inputs: list[list[int]]) -> Verdict:
    """Marks a layer of the learner's own: its gradients, and what it executes.

    Args:
        text: the file that defines it.
        call: what builds it, ``"Scale(3)"``.
        inputs: the shapes of its inputs, which are drawn at random.
    """
    verdict = Verdict(call)
    with _quiet_start():
        try:
            layer = eval(compile(call, "<call>", "eval"), run(text, "yours"))
            if not isinstance(layer, Module):
                raise TypeError(f"expected what the call builds to be a Module, got {layer!r}")
            x = normal(*map(tuple, inputs))(seeded())
            report = check_gradients(layer, *x)
            operations = record_operations(layer, *x)
        except (Exception, SystemExit) as error:
            verdict.problems = [(call, _crash(error))]
            return verdict
    verdict.problems = [*report.problems]
    verdict.problems += [
        ("forward", f"executes {name}, which is not elementary")
        for name in operations.outside({*ALLOWED, *ALSO})
    ]
    verdict.rows = _rows(report)
    verdict.passed = not verdict.problems
    return verdict


def killed(exercise: Exercise, mutant: Mutant) -> Verdict | None:
    """Returns what the referees say of a mutant, None if they let it pass."""
    verdict = judge(exercise, mutant.text, explain=False)
    return None if verdict.passed else verdict


def _forbidden(exercise: Exercise, text: str) -> Iterator[tuple[str, str]]:
    """Yields what a file may not do, as far as its text shows."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        where = f"line {error.lineno}" if error.lineno else exercise.path
        there = f": {error.text.strip()}" if error.text else ""
        yield where, f"Python does not understand it: {error.msg}{there}"
        return
    except ValueError as error:  # what Python before 3.11.4 says of a null byte
        yield exercise.path, f"Python does not understand it: {error}"
        return
    try:
        body = cut.find(tree, exercise.path)
    except ValueError:
        again = f"ds-learn start {exercise.name} --again"
        yield exercise.path, f"is not in the file; to begin with a new file: {again}"
        return
    for line, name in ready_made(text):
        yield f"line {line}", f"uses {name}: here everything is written from elementary operations"
    given = cut.imports(exercise.given)
    for name in sorted(cut.imports(text) - given):
        if name.split(".")[0] not in PLAIN:
            yield "imports", f"{name} did not come with the file: write it yourself, from what is there"
    for name in sorted(_hiding(tree) - _hiding(ast.parse(exercise.given))):
        yield exercise.path, f"uses {name}: write out what is computed"
    right = cut.find(ast.parse(exercise.solution), exercise.path)
    used = {n.attr for n in ast.walk(body) if isinstance(n, ast.Attribute)} & RECORDING
    for name in sorted(used - {n.attr for n in ast.walk(right) if isinstance(n, ast.Attribute)}):
        yield exercise.path, f"uses {name}: the gradient is to be written by hand, without torch's autograd"


def _hiding(tree: ast.AST) -> set[str]:
    """Returns the names in a text by which code runs that the text does not show."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    inner = names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    within = {name for name in inner if name[:2] == name[-2:] == "__" and name.strip("_")}  # __builtins__
    return (names & HIDING) | (within - {"__name__"})


def _outside(exercise: Exercise, found: Findings, library: Namespace) -> Iterator[tuple[str, str]]:
    """Yields the operations that are not on the list, nor in the library's own code for this."""
    outside = found.operations.outside()
    if outside:
        own = exercise.check.examine(exercise.path, library, library).operations
        outside = found.operations.outside(
            {*ALLOWED, *ALSO, *(name.removesuffix("_") for name in own.counts)}
        )
    for name in outside:
        yield exercise.path, f"executes {name}, which is not elementary: write it from what is"
    if found.operations.taped:
        yield exercise.path, "lets torch's autograd record: the gradient is to be written by hand"


def _explain(exercise: Exercise, theirs: Namespace) -> str:
    """Returns in words the mistake that gives the same numbers, made in the library's code; empty if none.

    Where no single one gives them all, the one for each number that is wrong: there may be several mistakes.
    """
    mine, right = _numbers(exercise, theirs), _numbers(exercise, run(exercise.solution, "library"))
    if same(mine, right):
        return ""
    made: list[tuple[str, Any]] = []
    for mutant in mutants(exercise.solution, exercise.path):
        with contextlib.suppress(Exception):
            made.append((mutant.what, _numbers(exercise, run(mutant.text, "mutant"))))
            if same(mine, made[-1][1]):
                return mutant.what
    if isinstance(mine, str) or isinstance(right, str):
        return ""
    causes: dict[str, None] = {}
    for name, number in mine.items():
        if name in right and not same(number, right[name]):
            alike = (
                what
                for what, one in made
                if isinstance(one, dict) and name in one and same(number, one[name])
            )
            causes |= dict.fromkeys([*alike][:1])
    return ", and ".join([*causes][:2])


def _numbers(exercise: Exercise, names: Namespace) -> dict[str, Any] | str:
    """Returns what code gives, by name, or how it fails."""
    try:
        return exercise.check.numbers(exercise.path, names)
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"


def _rows(report: GradientReport) -> list[Row]:
    return [(row.name, list(row.shape), row.tape, row.differences, row.entries) for row in report.rows]


def _crash(error: BaseException) -> str:
    """Says how code failed, and at which of its lines."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        text = "needs more memory than it may have"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    if not frames:
        return text
    return f"line {frames[-1].lineno}, `{frames[-1].line}`: {text}"


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Runs a block from a fixed state of chance, without warnings."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        yield
