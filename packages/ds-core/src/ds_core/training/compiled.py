"""A step through ``torch.compile``: the formulas, forward and backward, as one program of their own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import torch


class Compiled:
    """A function compiled when it is first called, that counts how often it was.

    It is compiled again where a guess of the compiler's no longer fits: once when the batches turn out to
    have different sizes, from then on for any size.

    Args:
        function: what to compile.
        device: where it computes.
        backend: True for torch's own compiler, or the name of a backend of ``torch.compile``.

    Attributes:
        compilations: how many graphs were compiled so far.

    Raises:
        ValueError: if there is no such backend, or what torch's compiler needs is missing on this machine.
    """

    def __init__(
        self, function: Callable[..., Any], device: torch.device, backend: bool | str = True
    ) -> None:
        name = "inductor" if backend is True else str(backend)
        if name == "inductor":
            check_compiler(device)
        known = torch.compiler.list_backends(exclude_tags=())
        if name not in known:
            raise ValueError(
                "Trainer: compile: expected True, False or one of "
                f"{', '.join(torch.compiler.list_backends())}, got {backend!r}"
            )
        self.compilations = 0
        self._backend = name
        try:
            self._function = torch.compile(function, backend=self._counted)
        except RuntimeError as error:  # not for this Python, or this system
            raise ValueError(f"Trainer: compile: torch.compile does not work here: {error}") from error

    def __call__(self, *args: Any) -> Any:
        """Calls it."""
        return self._function(*args)

    def _counted(self, graph: Any, inputs: Any) -> Any:
        self.compilations += 1
        return torch._dynamo.lookup_backend(self._backend)(graph, inputs)


def check_compiler(device: torch.device) -> None:
    """Checks that this machine has what torch's compiler writes for.

    Raises:
        ValueError: says what is missing, and what to do.
    """
    if device.type == "cuda":
        missing = "" if importlib.util.find_spec("triton") else "the package triton (pip install triton)"
    else:
        names = [os.environ.get("CXX", ""), *(("cl",) if sys.platform == "win32" else ("g++", "clang++"))]
        found = any(name and shutil.which(name) for name in names)
        missing = "" if found else f"a C++ compiler ({' or '.join(filter(None, names))}; CXX names another)"
    if missing:
        raise ValueError(
            f"Trainer: compile: torch.compile needs {missing} to make programs for {device.type}, and there "
            "is none here; leave compile out: kernels written by hand run then"
        )
