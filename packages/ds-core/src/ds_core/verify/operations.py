"""record_operations: what code really executes, below every Python name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from rich.console import RenderableType
from rich.text import Text
from torch.utils._python_dispatch import TorchDispatchMode

from ds_core.engines import autograd_records
from ds_core.verify.allowed import ALLOWED
from ds_core.verify.report import Printed, table


class Operations(Printed):
    """ATen operations and how often each was executed; ``print`` shows them with what they are.

    Attributes:
        counts: name -> times.
        taped: how many of them ran where torch's autograd records.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.taped = 0

    def outside(self, allowed: Collection[str] = ALLOWED) -> list[str]:
        """Lists the operations that are not in a collection of names, by default ``ALLOWED``.

        An operation that works in place, ``aten.add_``, counts as the one that does not, ``aten.add``.
        """
        return sorted(name for name in self.counts if name.removesuffix("_") not in allowed)

    def __rich__(self) -> RenderableType:
        shown = table("Operations executed", "operation", "times", "what it is")
        shown.columns[2].justify = "left"
        for name, times in self.counts.most_common():
            reason = ALLOWED.get(name.removesuffix("_"))
            style = "" if reason else "bold red"
            shown.add_row(
                Text(name, style=style), str(times), Text(reason or "✗ not on the list", style=style)
            )
        return shown


class _Recorder(TorchDispatchMode):
    """Counts every operation on its way to the machine."""

    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self.operations = operations

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations.counts[_name(func)] += 1
        self.operations.taped += autograd_records()
        return func(*args, **(kwargs or {}))


@cache
def _name(operation: Any) -> str:
    """Names an operation, whichever of its overloads it is."""
    return str(operation.overloadpacket)


@contextmanager
def recording() -> Iterator[Operations]:
    """Records the operations of a block."""
    operations = Operations()
    with _Recorder(operations):
        yield operations


def record_operations(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Operations:
    """Calls a function and lists the ATen operations that it really executes.

    ATen is the layer of torch where everything ends that is not plain Python: ``torch.softmax`` shows as
    ``aten._softmax`` by whatever name it was called. The engine is the one in force: under torch's autograd
    the operations of its own backward are recorded, too.

    Args:
        function: a module, or any function.
        args: what it is called with.
        kwargs: what it is called with.

    Returns:
        The operations with their counts; ``.outside()`` lists those that are not on the list.

    Example:
        >>> print(record_operations(Dense(5, 3), torch.randn(4, 5)))
    """
    with recording() as operations:
        function(*args, **kwargs)
    return operations
