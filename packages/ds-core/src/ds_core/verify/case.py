"""Cases: what is verified against which namesake, listed in plain files beside the tests.

A case file holds one list, ``CASES``. Namesakes (``torch.nn``, ``torch.optim``, ``transformers``) are built
there and only there: the packages themselves never import them.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ds_core.module import Module


@dataclass(frozen=True)
class _AnyCase:
    """What all cases share: a name, and either a namesake or the reason why there is none."""

    name: str
    _: KW_ONLY
    no_namesake: str = ""
    looser: float = 1.0
    why: str = ""

    def __post_init__(self) -> None:
        if getattr(self, "namesake", None) is None and not self.no_namesake:
            raise ValueError(f"{self.name}: give a namesake, or say in no_namesake why there is none")
        if self.looser != 1.0 and not self.why:
            raise ValueError(f"{self.name}: say in why the limits are {self.looser} times looser")


@dataclass(frozen=True)
class Case(_AnyCase):
    """A layer, loss or model, its input, and its namesake.

    A module made in eval mode saves nothing, so only its output is compared.

    Args:
        name: what the table shows: ``"Dense(bias=False)"``.
        make: builds ours; its numbers are converted to the run's type.
        inputs: draws the positional inputs from a generator. Floating point tensors are converted to the
            run's type; integer and boolean tensors, None and numbers are passed on as they are. Tensors
            may sit in tuples and lists.
        namesake: builds theirs, which then loads our weights; None only with ``no_namesake``.
        no_namesake: why there is none: ``"torch.nn has no focal loss"``.
        reference: ``reference(module, *inputs)`` gives the expected output, in elementary torch, from our
            module's parameters; or, where there is a namesake, calls that one if plain positional arguments
            are not enough: ``lambda theirs, x: theirs(x, need_weights=False)``.
        no_differences: why finite differences have no say: ``"the padding row's gradient is withheld"``.
        carry: turns our state_dict into theirs where the names differ; also applied to the gradients.
        looser: factor on every limit, 1 unless ``why`` says otherwise.
        why: why the limits are looser.
    """

    _: KW_ONLY
    make: Callable[[], Module]
    inputs: Callable[[torch.Generator], tuple[Any, ...]]
    namesake: Callable[[], Any] | None = None
    reference: Callable[..., Any] | None = None
    no_differences: str = ""
    carry: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict


@dataclass(frozen=True)
class OptimizerCase(_AnyCase):
    """An optimizer and its namesake, fed the same gradients for 100 steps of one small problem.

    Args:
        name: what the table shows: ``"Adam(amsgrad=True)"``.
        make: builds ours from a list of parameters: two matrices, two vectors, a scalar, and a vector
            that never gets a gradient. It may take only some, or lay them out in groups.
        namesake: builds theirs from an equal list; None only with ``no_namesake``. Anything with a
            ``step()`` serves, so a reference written in the case file does too.
        no_namesake: why there is none.
        looser: factor on the limit, 1 unless ``why`` says otherwise.
        why: why the limit is looser.
    """

    _: KW_ONLY
    make: Callable[[list[Tensor]], Any]
    namesake: Callable[[list[Tensor]], Any] | None = None


@dataclass(frozen=True)
class SchedulerCase(_AnyCase):
    """A schedule and its namesake: the numbers in ``optimizer.param_groups`` over 100 steps.

    Args:
        name: what the table shows: ``"StepLR(5)"``.
        make: builds ours, with its optimizer, from a list of parameters:
            ``lambda params: StepLR(SGD(params, lr=0.1), 5)``.
        namesake: builds theirs the same way; None only with ``no_namesake``.
        no_namesake: why there is none.
        metric: for schedules that watch a validation loss: its value after each step.
        looser: factor on the limit, 1 unless ``why`` says otherwise.
        why: why the limit is looser.
    """

    _: KW_ONLY
    make: Callable[[list[Tensor]], Any]
    namesake: Callable[[list[Tensor]], Any] | None = None
    metric: Callable[[int], float] | None = None


AnyCase = Case | OptimizerCase | SchedulerCase


def load_cases(*paths: str | Path) -> list[AnyCase]:
    """Reads the ``CASES`` of case files, or of all case files in folders, in alphabetical order.

    Args:
        paths: ``.py`` files or folders of them.

    Raises:
        FileNotFoundError: if a path does not exist or a folder holds no case file.
        ValueError: if a file has no list ``CASES``, or it holds something else than cases.
    """
    return [case for path in paths for file in case_files(Path(path)) for case in _load(file)]


def case_files(path: Path) -> Iterable[Path]:
    """Lists the case files at a path."""
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    files = [path] if path.is_file() else sorted(f for f in path.glob("*.py") if f.name[0] != "_")
    if not files:
        raise FileNotFoundError(f"no case files (*.py with a list CASES) in {path}")
    return files


def _load(file: Path) -> list[AnyCase]:
    name = ".".join(file.resolve().with_suffix("").parts[-4:])  # ds-core.tests.cases.layers
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file}: expected a Python file with a list CASES")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    cases = getattr(module, "CASES", None)
    if not isinstance(cases, list) or not all(isinstance(case, _AnyCase) for case in cases):
        raise ValueError(f"{file}: expected a list CASES of Case, OptimizerCase or SchedulerCase")
    return cases
