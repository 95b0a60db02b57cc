"""Runs cases: every referee on every layer, loss, model, optimizer and schedule, one row each."""

from __future__ import annotations

import importlib.util
import inspect
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ds_core import kernels
from ds_core.engines import engine
from ds_core.module import Module, Parameter
from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler
from ds_core.verify.case import AnyCase, Case, OptimizerCase, SchedulerCase
from ds_core.verify.comparison import LIMITS, Limits, hint, largest, map_tensors, relative_error
from ds_core.verify.gradients import compare
from ds_core.verify.operations import Operations, recording
from ds_core.verify.trial import Outcome, Trial

STEPS = 100  # of an optimizer or schedule
SHAPES = [(6, 4), (3, 6), (6,), (3,), (), (2,)]  # of the parameters of an optimizer


@dataclass
class Result:
    """One case's row: the largest relative error against each referee, None where it does not apply."""

    name: str
    limits: Limits
    tape: float | None = None
    differences: float | None = None
    namesake: float | None = None
    kernel: float | None = None  # None where no kernel ran
    operations: Operations = field(default_factory=Operations)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every referee agrees."""
        return not self.problems


def run(
    case: AnyCase,
    dtype: torch.dtype = torch.float64,
    max_entries: int = 8,
    in_all: int | None = None,
    device: torch.device | str = "cpu",
) -> Result:
    """Runs one case; a failure of any kind is a row that says so.

    Args:
        case: what to run.
        dtype: torch.float64, or torch.float32, too coarse for finite differences.
        max_entries: how many entries of each tensor are compared with finite differences, at most.
        in_all: how many of all tensors together, at most, but one of each; None for no limit.
        device: where ours and its referees compute; cases draw their inputs on the processor.
    """
    device = torch.device(device)
    result = Result(case.name, LIMITS[dtype].times(case.looser))
    there = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(there, device_type=device.type if there else "cuda"):
        torch.manual_seed(0)
        try:
            if isinstance(case, Case):
                _run_module(case, dtype, device, max_entries, in_all, result)
            elif isinstance(case, OptimizerCase):
                _run_optimizer(case, dtype, device, result)
            elif isinstance(case, SchedulerCase):
                _run_scheduler(case, result)
        except Exception as error:  # whatever goes wrong in one case, the others are to be seen, too
            result.problems.append(f"{type(error).__name__}: {error}")
    outside = result.operations.outside()
    if outside:
        result.problems.append(f"executes {', '.join(outside)}")
    return result


def _run_module(
    case: Case,
    dtype: torch.dtype,
    device: torch.device,
    max_entries: int,
    in_all: int | None,
    result: Result,
) -> None:
    trial = Trial(case.make(), case.inputs(torch.Generator().manual_seed(0)), dtype, device=device)
    if trial.module.training:
        if in_all is not None:
            tensors = len(list(trial.named_inputs())) + len(list(trial.module.named_parameters()))
            max_entries = min(max_entries, max(1, in_all // max(1, tensors)))
        report = compare(trial, max_entries=0 if case.no_differences else max_entries, looser=case.looser)
        result.tape = max(row.tape for row in report.rows)
        result.differences = max(
            (e for row in report.rows if (e := row.differences) is not None), default=None
        )
        result.problems += [f"{name}: {what}" for name, what in report.problems]
        with recording() as result.operations, kernels.runs() as ran:
            ours = trial.manual()
        if any(name.endswith(".forward") for name in ran):
            _compare_formula(trial, ours, result)
    else:  # nothing is saved for our backward: the output is all there is to compare
        ours = trial.tape(trial.module)
        pairs = zip(trial.output(), ours.output, strict=True)
        result.tape = max(relative_error(y, z, equal_nan=trial.may_be_nan) for y, z in pairs)
        if result.tape > result.limits.tape:
            result.problems.append("output: not the same under both engines")
    if result.ok:
        _compare_namesake(case, trial, ours, result)
    # Construction, a first call with nothing cached yet, autograd's forward and inference may take other
    # branches than the training step.
    with recording() as others:
        first = case.make().to(device, dtype)
        with engine("manual"):
            first(*map_tensors(torch.clone, trial.inputs))
        trial.restart()
        with engine("autograd"):
            trial.forward(trial.inputs)
        trial.module.eval()
        trial.output()
    result.operations.counts += others.counts


def _compare_formula(trial: Trial, ours: Outcome, result: Result) -> None:
    """Compares what kernels gave with what their formulas give alone."""
    plain = trial.manual(kernels=False)
    mine = {**ours.inputs, **ours.parameters, **ours.buffers}
    theirs = {**plain.inputs, **plain.parameters, **plain.buffers}
    scale = largest(torch.ones(()), *(g for g in theirs.values() if g is not None))
    outputs = zip(ours.output, plain.output, strict=True)
    errors = {"output": max(relative_error(y, z, equal_nan=trial.may_be_nan) for y, z in outputs)}
    for name, grad in theirs.items():
        given = mine[name]
        if grad is not None and given is not None:
            errors[name] = relative_error(given, grad, scale)
        elif grad is not given:
            errors[name] = math.inf
    result.problems += [
        f"{name}: the kernel's is not the formula's, by {error:.1e}"
        for name, error in errors.items()
        if error > result.limits.tape
    ]
    result.kernel = max(errors.values())


def _compare_namesake(case: Case, trial: Trial, ours: Outcome, result: Result) -> None:
    """Carries our weights over, and compares outputs, gradients and running statistics."""
    if case.namesake is None and case.reference is None:
        return
    trial.restart()
    weights = trial.module.state_dict()
    module: Any = trial.module if case.namesake is None else case.namesake()
    if case.namesake is not None and hasattr(module, "load_state_dict"):
        module.to(trial.device, trial.dtype).train(trial.module.training)
        module.load_state_dict(case.carry(weights))
    call = None if case.reference is None else partial(case.reference, module)
    inputs = {n: g for n, g in ours.inputs.items() if g is not None and trial.module.training}
    theirs = trial.tape(module, call, [name in inputs for name in trial.names])
    outputs = [("output", y, z) for y, z in zip(ours.output, theirs.output, strict=True)]
    result.namesake = _worst(outputs, 1.0, result, equal_nan=trial.may_be_nan)
    if trial.module.training:
        trained = [
            (n, p) for n, p in trial.module.named_parameters(remove_duplicate=False) if p.requires_grad
        ]
        mine = {n: _or_zeros(ours.parameters[n], p) for n, p in trained}
        if module is not trial.module:
            mine |= {n: b for n, b in ours.buffers.items() if n in weights}
            mine = case.carry(mine)
        known = {**theirs.buffers, **theirs.parameters}
        targets = [(n, g, theirs.inputs[n]) for n, g in inputs.items()]
        targets += [(n, g, known[n]) for n, g in mine.items()]
        pairs = [(n, g, _or_zeros(h, g)) for n, g, h in targets]
        scale = largest(torch.ones(()), *(h for *_, h in pairs))
        result.namesake = max(result.namesake, _worst(pairs, scale, result))


def _or_zeros(grad: Tensor | None, like: Tensor) -> Tensor:
    """Reads a missing gradient as zeros."""
    return torch.zeros_like(like) if grad is None else grad


def _worst(
    pairs: list[tuple[str, Tensor, Tensor]], scale: float, result: Result, equal_nan: bool = False
) -> float:
    """Returns the largest relative error, and reports each that is too large."""
    errors = [0.0]
    for name, mine, theirs in pairs:
        errors.append(relative_error(mine, theirs, scale, equal_nan=equal_nan))
        if mine.shape != theirs.shape:
            result.problems.append(f"{name}: shape {tuple(mine.shape)}, the namesake's {tuple(theirs.shape)}")
        elif errors[-1] > result.limits.namesake:
            result.problems.append(f"{name}: not the namesake's: {hint(mine, theirs) or 'other numbers'}")
    return max(errors)


# ---- optimizers and schedules ------------------------------------------------------------------------


def _run_optimizer(
    case: OptimizerCase, dtype: torch.dtype, device: torch.device, result: Result, steps: int = STEPS
) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)

    start = [draw(*shape) for shape in SHAPES]
    x, target = (draw(8, n) for n in (4, 3))
    mine, theirs, plain = ([Parameter(p.clone()) for p in start] for _ in range(3))
    ours, namesake = case.make(mine), case.namesake(theirs) if case.namesake else None
    by_formula = case.make(plain)
    result.namesake = None if namesake is None else 0.0
    for step in range(1, steps + 1):
        w1, w2, b1, b2, scale, _idle = mine
        for p in mine:
            p.grad = None
        with torch.enable_grad():
            hidden = (x @ w1.T + b1).tanh()
            ((hidden @ w2.T + b2) * scale - target).square().mean().backward()
        for p, *others in zip(mine, theirs, plain, strict=True):
            for q in others:  # the same ones: only the rule is compared
                q.grad = None if p.grad is None else p.grad.clone()
        with recording() as operations, kernels.runs() as ran:
            ours.step()
        with recording() as others_too, engine("manual", kernels=False):
            by_formula.step()
        result.operations.counts += operations.counts + others_too.counts
        names = [f"parameter {i}, step {step}" for i in range(len(mine))]
        if ran and result.ok:
            errors = map(relative_error, mine, plain)
            worst = max((error, name) for error, name in zip(errors, names, strict=True))
            result.kernel = max(result.kernel or 0.0, worst[0])
            if worst[0] > result.limits.namesake:
                result.problems.append(f"{worst[1]}: the kernel's is not the formula's, by {worst[0]:.1e}")
        if namesake is not None and result.ok:
            namesake.step()
            pairs = list(zip(names, mine, theirs, strict=True))
            result.namesake = max(result.namesake or 0.0, _worst(pairs, 1.0, result))
    if not all(p.isfinite().all() for p in mine) or all(map(torch.equal, mine, start)):
        result.problems.append(f"after {STEPS} steps the parameters are not finite, or where they were")


def _run_scheduler(case: SchedulerCase, result: Result) -> None:
    parameters = [[Parameter(torch.zeros(3)), Parameter(torch.zeros(2))] for _ in range(2)]
    ours = _numbers(case, case.make(parameters[0]))
    if case.namesake is not None:
        theirs = _numbers(case, case.namesake(parameters[1]))
        result.namesake = _worst([(name, ours[name], theirs[name]) for name in ours], 0.0, result)


def _numbers(case: SchedulerCase, scheduler: Any) -> dict[str, Tensor]:
    """Returns what a schedule makes of the rates and momenta of each group, ``(STEPS + 1, ...)`` each."""
    rows: dict[str, list[Any]] = defaultdict(list)
    for step in range(STEPS + 1):
        for i, group in enumerate(scheduler.optimizer.param_groups):
            for key in ("lr", "momentum", "betas"):
                if key in group:
                    rows[f"{key} of group {i}"].append(group[key])
        scheduler.optimizer.step()
        scheduler.step(*(() if case.metric is None else (case.metric(step),)))
    return {name: torch.tensor(row, dtype=torch.float64) for name, row in rows.items()}


# ---- completeness ------------------------------------------------------------------------------------


def package_of(folder: Path) -> str | None:
    """Returns the import name of the package whose cases lie in ``ds-core/tests/cases``; None elsewhere."""
    name = folder.resolve().parent.parent.name.replace("-", "_")
    return name if name.isidentifier() and importlib.util.find_spec(name) else None


def without_case(package: str, cases: Iterable[AnyCase]) -> list[str]:
    """Lists the public layers, losses, models, optimizers and schedules of a package that no case makes.

    Args:
        package: its import name; what is public stands in its ``__all__``.
        cases: all that there are.
    """
    module = importlib.import_module(package)
    made = {made for case in cases for made in _classes(case)}
    return sorted(
        f"{package}.{name}"
        for name in module.__all__
        if inspect.isclass(thing := getattr(module, name))
        and issubclass(thing, (Module, Optimizer, Scheduler))
        and thing not in made
        and not _abstract(thing)
    )


def unproven(package: str, cases: Iterable[AnyCase]) -> list[str]:
    """Lists the formulas, kernels and branches of kernels of a package that no case runs.

    Args:
        package: its import name; its formulas stand in the ``__all__`` of ``package.functional``.
        cases: all that there are; each is run once with kernels and once by formulas alone.
    """
    if importlib.util.find_spec(f"{package}.functional") is None:
        return []
    book = importlib.import_module(f"{package}.functional")
    expected = {name for name in book.__all__ if not name.endswith("_second_backward")}
    for declared in kernels.declared(package):
        expected |= {f"{declared.name}.forward", *declared.branches}
        for what in ("backward", "second_backward"):
            expected |= {f"{declared.name}.{what}"} if getattr(declared, what) is not None else set()
    ran: Counter[str] = Counter()
    for case in cases:
        if isinstance(case, Case):
            trial = Trial(case.make(), case.inputs(torch.Generator().manual_seed(0)), torch.float32)
            for fast in (True, False):
                with kernels.runs() as counts:
                    if trial.module.training:
                        trial.manual(kernels=fast)
                        if trial.module.input_grad and trial.offers_second():
                            trial.second(kernels=fast)
                    else:
                        with engine("manual", kernels=fast):
                            trial.output()
                ran += counts
        elif isinstance(case, OptimizerCase):
            with kernels.runs() as counts:
                unused = Result(case.name, LIMITS[torch.float32])
                _run_optimizer(case, torch.float32, torch.device("cpu"), unused, steps=1)
            ran += counts
    return sorted(expected - set(ran))


def _classes(case: AnyCase) -> list[type]:
    """Lists the classes of what a case makes and of all that takes part in it."""
    if isinstance(case, Case):
        module = case.make()
        return [type(module), *(type(part) for part in module.modules())]
    thing = case.make([Parameter(torch.zeros(shape)) for shape in SHAPES])
    held = [value if isinstance(value, (list, tuple)) else [value] for value in vars(thing).values()]
    return [type(thing), *(type(part) for parts in held for part in parts)]


def _abstract(thing: type) -> bool:
    """Says whether a class is only a base: it leaves a method of its own to others, or has no forward."""
    own = [value for value in vars(thing).values() if inspect.isfunction(value)]
    unwritten = any("NotImplementedError" in function.__code__.co_names for function in own)
    return unwritten or (issubclass(thing, Module) and thing.forward is Module.forward)
