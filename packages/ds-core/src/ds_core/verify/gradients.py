"""check_gradients: our backward before two referees, torch's autograd and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from ds_core.checks import check_number, check_whole
from ds_core.engines import engine
from ds_core.module import Module, _check_module, check_found, usual_cause
from ds_core.verify.comparison import LIMITS, apart, hint, largest, map_tensors, relative_error
from ds_core.verify.report import GradientReport, GradientRow
from ds_core.verify.trial import Named, Outcome, Trial
from ds_core.xray.observe import same_random_state


def check_gradients(
    module: Module,
    *inputs: Any,
    dtype: torch.dtype = torch.float64,
    eps: float = 1e-6,
    max_entries: int = 50,
    seed: int = 0,
    looser: float = 1.0,
) -> GradientReport:
    """Compares a module's backward with torch's autograd and with central finite differences.

    The loss is L = sum(output * fixed random numbers), so every entry of the output counts; a scalar
    ``Loss`` is itself L. For each entry p_i of each parameter and input the differences are
    (L(p_i + eps) - L(p_i - eps)) / (2 eps), which needs nothing but the forward.

    A module that offers second gradients has those compared, too, as rows ``second: ...``: the gradients of
    s = sum(dL/dx * fixed random numbers), by g = dL/dy, x and parameters.

    Beyond the numbers it sees that backward takes back all that forward saved, writes over nothing it was
    given or forward returned, adds up over several calls, keeps nothing of earlier ones, and works with
    parameters frozen or the input gradient unwanted.
    All this happens on a copy: the module keeps its weights, gradients, saves and random state.

    Args:
        module: a layer, loss or model in training mode; a part of it in eval mode stays so.
        inputs: its positional inputs; floating point ones are converted to ``dtype``. An input for which
            backward returns None (a target, a mask) is left out, unless it is the first. Where forward takes
            several tensors, a backward other than a loss's that returns one gradient has left out the rest.
        dtype: in which type to compute: torch.float64, or torch.float32, too coarse for differences.
        eps: half the width of a difference.
        max_entries: how many entries of each tensor, drawn at random, are compared with finite differences
            at most (0: none); all of them are compared with autograd.
        seed: of the random numbers in the loss and of torch's global ones in the module.
        looser: factor on the limits, :data:`ds_core.verify.LIMITS`.

    Returns:
        A report to ``print``; ``report.ok`` is the verdict.

    Raises:
        ValueError: if ``dtype`` is another one, or another number is out of range.
        RuntimeError: if the module is in eval mode, or backward takes more than forward saved.
        TypeError: if ``module`` is no Module, or holds weights that are not found, or its output is neither a
            tensor nor a tuple of them.

    Example:
        >>> print(check_gradients(Dense(5, 3), torch.randn(4, 5)))
    """
    _check_module(module, "check_gradients: expected a Module")
    check_found(module)
    check_whole("check_gradients", 0, max_entries=max_entries)
    check_whole("check_gradients", -(2**63), seed=seed)
    for name, number in {"eps": eps, "looser": looser}.items():
        check_number("check_gradients", **{name: number})
        if number <= 0:
            raise ValueError(f"check_gradients: expected {name} above 0, got {number}")
    if dtype not in LIMITS:
        raise ValueError(f"check_gradients: expected dtype {' or '.join(map(str, LIMITS))}, got {dtype}")
    with same_random_state(module):
        return compare(Trial(module, inputs, dtype, seed), eps, max_entries, looser)


def compare(trial: Trial, eps: float = 1e-6, max_entries: int = 50, looser: float = 1.0) -> GradientReport:
    """Compares the three ways to each gradient; see :func:`check_gradients`."""
    module = trial.module
    report = GradientReport(module.label(), trial.dtype, LIMITS[trial.dtype].times(looser))
    tape, ours = trial.tape(module), trial.manual()
    for i, (y, expected) in enumerate(zip(ours.output, tape.output, strict=True)):
        row = GradientRow("output" if len(ours.output) == 1 else f"output {i}", tuple(y.shape))
        row.tape = relative_error(y, expected, equal_nan=trial.may_be_nan)
        report.add(row, "NaN, or not the same under both engines")
    targets = [(n, t, ours.inputs[n], tape.inputs[n]) for n, t in trial.named_inputs()]
    # Which inputs have no gradient is the module's to say, except for the first; one that forward can do
    # without may be left out without a word.
    optional = {p.name for p in signature(module.forward).parameters.values() if p.default is not p.empty}
    by_design = {
        n
        for i, (n, _, g, _) in enumerate(targets)
        if g is None and (i or not module.input_grad) and (i == 0 or n in optional or not ours.one_gradient)
    }
    targets += [(n, p, ours.parameters[n], tape.parameters[n]) for n, p in module.named_parameters()]
    scale = largest(torch.ones(()), *(theirs for *_, theirs in targets if theirs is not None))
    sizes = _sizes([*ours.output, *(tensor for _, tensor, *_ in targets)])
    if any(t.dim() for t in trial.floating()) and all(len(t) == 1 for t in trial.floating() if t.dim()):
        report.notes.append("there is one example: a mean over them cannot be told from a sum; give several")
    draw = torch.Generator().manual_seed(0)
    for name, tensor, mine, theirs in targets:
        if mine is None and (theirs is None or name in by_design or largest(theirs) == 0):
            if theirs is None and tensor.requires_grad and trial.depends_on(tensor, eps, max_entries):
                row = GradientRow(name, tuple(tensor.shape))
                report.add(row, f"backward gives it no gradient, and {_OFF_THE_TAPE}")
            continue
        row = GradientRow(name, tuple(tensor.shape))
        if mine is None:
            left_out = ours.one_gradient and name in ours.inputs
            why = f": it returned one for {len(trial.names)} inputs" if left_out else ""
            report.add(row, f"backward gives it no gradient{why}")
        elif (mine.shape, mine.dtype) != (tensor.shape, tensor.dtype):
            what = f"{mine.dtype} of shape {tuple(mine.shape)}, expected {tensor.dtype} of shape {row.shape}"
            report.add(row, f"its gradient is {what}{usual_cause(mine.shape, tensor.shape)}")
        else:
            off_the_tape = theirs is None
            theirs = torch.zeros_like(tensor) if theirs is None else theirs
            row.tape = relative_error(mine, theirs, scale)
            problem = _blame(mine, theirs, "torch's autograd says", sizes, trial.upstream)
            if trial.dtype == torch.float64 and max_entries > 0:
                entries = torch.randperm(tensor.numel(), generator=draw)[:max_entries]
                seen = mine.detach().clone().reshape(-1)
                seen[entries] = trial.differences(tensor, entries.tolist(), eps)
                row.differences = relative_error(mine.reshape(-1)[entries], seen[entries], scale)
                row.entries = len(entries)
                # Where autograd agrees with ours, both engines' forwards share what is wrong.
                problem = problem or _blame(
                    mine, seen.view(mine.shape), _ONLY_DIFFERENCES, sizes, trial.upstream
                )
                if off_the_tape and row.differences <= report.limits.differences:
                    problem = f"differences agree with it, but {_OFF_THE_TAPE}"
            report.add(row, problem)
    if report.ok and trial.module.input_grad and trial.offers_second():
        _compare_second(trial, report, eps, max_entries)
    written = [name for name, now, before in ours.given if not _same(now, before)]
    report.problems += [(name, "forward or backward wrote over it") for name in written]
    if ours.left:
        why = "was a branch forgotten, or is there a save() without its saved()?"
        what = f"forward saved more than backward took: {'; '.join(ours.left)}: {why}"
        report.problems.append(("backward", what))
    if report.ok:  # else these would only repeat what is wrong
        for what, way in OTHER_WAYS.items():
            # What a first call left is far off; autograd's own rounding, at inputs nobody chose, may be more.
            limit = report.limits.tape * (10 if way is _later else 1)
            report.problems += _wrong_when(what, trial, ours, limit, scale)
    return report


def _compare_second(trial: Trial, report: GradientReport, eps: float, max_entries: int) -> None:
    """Compares second gradients with autograd applied twice, and with differences of our first gradient."""
    tape, ours, plain = trial.second_tape(), trial.second(), trial.second(kernels=False)
    trained = [(name, p) for name, p in trial.module.named_parameters() if p.requires_grad]
    tensors = [("g", trial.upstream[0]), *trial.named_inputs(), *trained]
    draw, scale = torch.Generator().manual_seed(0), largest(*(t for t in tape.values() if t is not None))
    for name, tensor in tensors:
        assert tensor is not None
        mine, formulas, theirs = (
            torch.zeros_like(tensor) if g is None else g for g in (ours[name], plain[name], tape[name])
        )
        row = GradientRow(f"second: {name}", tuple(tensor.shape))
        row.tape = max(relative_error(one, theirs, scale) for one in (mine, formulas))
        said = "torch's autograd says"
        problem = _blame(mine, theirs, said) or _blame(formulas, theirs, said)
        if trial.dtype == torch.float64 and max_entries > 0:
            entries = torch.randperm(tensor.numel(), generator=draw)[:max_entries]
            seen = mine.detach().clone().reshape(-1)
            seen[entries] = trial.second_differences(tensor, entries.tolist(), eps)
            row.differences = relative_error(mine.reshape(-1)[entries], seen[entries], scale)
            row.entries = len(entries)
            problem = problem or _blame(mine, seen.view(mine.shape), _ONLY_DIFFERENCES)
        report.add(row, problem)


def _sizes(tensors: list[Tensor]) -> set[int]:
    """Returns how many of anything there are: entries of a dimension, of a tensor, of all its others."""
    sizes = {size for t in tensors for size in t.shape}
    return sizes | {n for t in tensors for n in (t.numel(), *(t.numel() // max(1, s) for s in t.shape))}


def _same(now: Tensor, before: Tensor) -> bool:
    """Says whether a tensor is what it was; NaN may have been there."""
    return torch.equal(now, before) or bool(((now == before) | (now.isnan() & before.isnan())).all())


_ONLY_DIFFERENCES = "autograd too, but differences say"
_OFF_THE_TAPE = "autograd sees nothing of it: does forward use its .data, or detach()?"


def _blame(
    ours: Tensor,
    theirs: Tensor,
    referee: str,
    sizes: Collection[int] = (),
    above: Collection[Tensor | None] = (),
) -> str:
    """Says where a gradient is worst and, if it can, why; empty where there is nothing to blame."""
    if relative_error(ours, theirs) <= LIMITS[ours.dtype].tape:
        return ""
    worst = int((ours - theirs).abs().nan_to_num(math.inf).argmax())
    place = torch.unravel_index(torch.tensor(worst), ours.shape)
    where = f"at {[int(i) for i in place]} " if place else ""
    guess = hint(ours, theirs, sizes, above)
    mine, right = apart(ours[place].item(), theirs[place].item())
    text = f"{where}backward gives {mine}, {referee} {right}"
    return text + (f": {guess}" if guess else "")


# ---- other ways to call the module, which must give the same gradients -------------------------------

Problems = list[tuple[str, str]]  # (name, what is wrong with it)
# (name, what came, what should have come)
Pairs = Iterator[tuple[str, Tensor | None, Tensor | None]]


def _wrong_when(what: str, trial: Trial, ours: Outcome, limit: float, scale: float) -> list[tuple[str, str]]:
    """Calls the module in one of the other ways; returns (name, what is wrong)."""
    problems = []
    try:
        with engine("manual"):
            trial.restart()
            for name, got, expected in OTHER_WAYS[what](trial, ours):
                if got is None or expected is None:
                    if got is not expected:
                        problems.append((name, f"{what}: it has {'no' if got is None else 'a'} gradient"))
                elif relative_error(got, expected, scale) > limit:
                    problems.append((name, f"{what}: {hint(got, expected) or 'other numbers'}"))
    except Exception as error:  # a reader's backward may fail in any way: the report shows it
        problems.append(("backward", f"{what}: {type(error).__name__}: {error}"))
    return problems


def _pair(got: Named, expected: Named) -> Pairs:
    """Yields what stands under the same name."""
    for name in expected:
        yield name, got[name], expected[name]


def _twice(trial: Trial, ours: Outcome) -> Pairs:
    """Two forwards, then two backwards: gradients add up, whatever was kept or handed out before."""
    other = _others(trial, ours)
    first = trial.backward(trial.forward(trial.inputs))
    trial.module.zero_grad()
    second = trial.backward(trial.forward(other))
    trial.restart()
    call, call_other = trial.forward(trial.inputs), trial.forward(other)
    again_other = trial.backward(call_other)
    again = trial.backward(call)
    yield from _pair(again.inputs, first.inputs)
    yield from _pair(again_other.inputs, second.inputs)
    for name, g in first.parameters.items():
        h = second.parameters[name]
        yield name, again.parameters[name], g if h is None else h if g is None else g + h
    for given in again.given + again_other.given:  # an aliased gradient adds up in what it is an alias of
        if not _same(*given[1:]):
            yield given


def _others(trial: Trial, ours: Outcome) -> Any:
    """Returns inputs that differ wherever they may: not in targets, masks and the like."""
    differs = iter(g is not None for g in ours.inputs.values())
    return map_tensors(lambda t: t * 0.7 if next(differs) else t, trial.inputs)


def _later(trial: Trial, ours: Outcome) -> Pairs:
    """The gradients of other inputs are theirs, not those of what came first and was kept."""
    inputs = trial.inputs
    try:
        trial.inputs = _others(trial, ours)
        expected = trial.tape(trial.module)
        trial.restart()
        got = trial.backward(trial.forward(trial.inputs))
    finally:
        trial.inputs = inputs
    for mine, theirs in ((got.inputs, expected.inputs), (got.parameters, expected.parameters)):
        both: Named = {name: g for name, g in theirs.items() if not (g is None or mine[name] is None)}
        yield from _pair(mine, both)


def _scaled(trial: Trial, ours: Outcome) -> Pairs:
    """The gradient from above reaches the input."""
    if trial.is_loss:
        thrice = {name: None if g is None else 3 * g for name, g in ours.inputs.items()}
        yield from _pair(trial.backward(trial.forward(trial.inputs), 3.0).inputs, thrice)


def _input_unwanted(trial: Trial, ours: Outcome) -> Pairs:
    """Without input gradient the parameters still get theirs."""
    wanted = trial.module.input_grad
    try:
        trial.module.requires_input_grad_(False)
        yield from _pair(trial.backward(trial.forward(trial.inputs)).parameters, ours.parameters)
    finally:
        trial.module.requires_input_grad_(wanted)


def _frozen(trial: Trial, ours: Outcome) -> Pairs:
    """Without trainable parameters the input still gets its gradient, and they get none."""
    trainable = [p for p in trial.module.parameters() if p.requires_grad]
    try:
        trial.module.requires_grad_(False)
        outcome = trial.backward(trial.forward(trial.inputs))
        yield from _pair(outcome.inputs, ours.inputs)
        yield from _pair(outcome.parameters, dict.fromkeys(ours.parameters))
    finally:
        for p in trainable:
            p.requires_grad_()


OTHER_WAYS: dict[str, Callable[[Trial, Outcome], Pairs]] = {
    "called twice before two backwards": _twice,
    "called again with other inputs": _later,
    "with 3.0 as the gradient from above": _scaled,
    "with the input gradient unwanted": _input_unwanted,
    "with all parameters frozen": _frozen,
}
