"""World: the processes that `torchrun` has started, and what they tell one another.

Nothing is ever unpickled: tensors and texts travel.
"""

from __future__ import annotations

import atexit
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ds_core.engines import autograd_records

# For another process that evaluates or saves; of one that dies all hear at once.
_PATIENCE = timedelta(hours=2)


class ProcessLost(ConnectionError):
    """Another process of the training has ended, or cannot be reached any more."""


@dataclass(frozen=True)
class World:
    """Several processes of which this is one.

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
        words: the group through which numbers in main memory go.
    """

    rank: int
    size: int
    words: Any = None

    def __str__(self) -> str:
        """Says which process this is."""
        return f"process {self.rank} of {self.size}"

    def sum_(self, tensor: Tensor) -> Tensor:
        """Puts in place of a tensor its sum over all processes, and returns it."""
        self._hearing(dist.all_reduce, tensor, group=self._group(tensor))
        return tensor

    def sum_later(self, tensor: Tensor) -> Callable[[], None]:
        """Begins what :meth:`sum_` does, and returns what waits for its end.

        All processes begin the same sums in the same order.
        """
        work = self._hearing(dist.all_reduce, tensor, group=self._group(tensor), async_op=True)
        return lambda: self._hearing(work.wait)

    def give_(self, tensors: Iterable[Tensor]) -> None:
        """Puts in place of tensors those of process 0, bit for bit."""
        by_device: dict[torch.device, list[Tensor]] = {}
        for tensor in tensors:
            by_device.setdefault(tensor.device, []).append(tensor)
        for several in by_device.values():
            flat = torch.cat([_bytes(tensor) for tensor in several])
            self._hearing(dist.broadcast, flat, 0, group=self._group(flat))
            if self.rank:
                for tensor, part in zip(
                    several, flat.split([_bytes(t).numel() for t in several]), strict=True
                ):
                    tensor.detach().copy_(part.clone().view(tensor.dtype).view(tensor.shape))

    def text(self, text: str | None, source: int = 0) -> str:
        """Returns the text that one process gives; what the others give does not count."""
        sent = list((text or "").encode()) if self.rank == source else []
        length = torch.tensor([len(sent)])
        self._hearing(dist.broadcast, length, source, group=self.words)
        content = torch.zeros(int(length), dtype=torch.uint8)
        if self.rank == source:
            content = torch.tensor(sent, dtype=torch.uint8)
        self._hearing(dist.broadcast, content, source, group=self.words)
        return bytes(content.tolist()).decode()

    def _group(self, tensor: Tensor) -> Any:
        return self.words if tensor.device.type == "cpu" else None

    def _hearing(self, say: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Calls what needs the others.

        Raises:
            ProcessLost: if one of them has ended.
        """
        try:
            return say(*args, **options)
        except RuntimeError as error:
            said = re.sub(r"^\[[^]]*\] |\. This is typically.*", "", str(error), flags=re.DOTALL)
            raise ProcessLost(
                f"{self}: another process has ended, or cannot be reached any more; if it has said why, that "
                f"stands elsewhere ({said})"
            ) from error


# ---- which process is this? ----------------------------------------------------------------------------


class _Blocks(threading.local):
    """The blocks that a thread is in; another one may validate meanwhile, or train among all processes."""

    apart = False  # within alone()


_blocks = _Blocks()


def world() -> World | None:
    """Returns the processes among which this is one; None if there is no other.

    At the first call it joins those that `torchrun` has started, through gloo for what lies in main memory
    and nccl for what lies on a CUDA device. Where a script has joined them itself, with
    ``torch.distributed.init_process_group``, they are these.

    Raises:
        ProcessLost: if the others cannot be found.
    """
    if _blocks.apart or not dist.is_available():
        return None
    if not dist.is_initialized():
        if _started() < 2:
            return None
        _join()
    return _joined() if dist.get_world_size() > 1 else None


@contextmanager
def alone() -> Iterator[None]:
    """Makes this thread, in the block, one that knows of no other processes: it does its work by itself."""
    before, _blocks.apart = _blocks.apart, True
    try:
        yield
    finally:
        _blocks.apart = before


def leads() -> bool:
    """Says whether this process writes and shows: the only one, or the first of several."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return _started() < 2 or int(os.environ["RANK"]) == 0


def restarted() -> bool:
    """Says whether `torchrun` has started this process again, after one of the processes had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _started() -> int:
    """Counts the processes that `torchrun`, or what speaks as it does, has started; 1 if it did not."""
    told = all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
    return int(os.environ["WORLD_SIZE"]) if told else 1


def _join() -> None:
    """Joins the processes that `torchrun` has started; each gets a CUDA device, if there are any."""
    backend, place = "gloo", int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available() and dist.is_nccl_available() and place < torch.cuda.device_count():
        torch.cuda.set_device(place)
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:  # nobody answers, or the address is none
        raise ProcessLost(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']}: cannot find the others at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} ({error})"
        ) from error
    atexit.register(_leave)
    try:
        _joined().sum_(torch.zeros(1, device="cpu"))  # now all have found each other, and the first may end
    except ProcessLost:
        _leave()
        raise


def _leave() -> None:
    _joined.cache_clear()
    if dist.is_initialized():
        dist.destroy_process_group()


@cache
def _joined() -> World:
    words = dist.new_group(backend="gloo") if dist.get_backend() == "nccl" else None
    return World(dist.get_rank(), dist.get_world_size(), words)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


# ---- parts of a batch ----------------------------------------------------------------------------------


def rows_of(count: int, rank: int, size: int) -> slice:
    """Says which of so many rows are a process's: neighbours; the first processes may have one more."""
    least, more = divmod(count, size)
    start = rank * least + min(rank, more)
    return slice(start, start + least + (rank < more))


def gather_rows(x: Tensor) -> tuple[Tensor, slice]:
    """Lays the rows of all processes below one another: for a loss that compares each with all others.

    y = [x_0; x_1; ...; x_(P-1)]

    Args:
        x: those of this process, ``(n, ...)``; n may differ between processes, but every one gives some.

    Returns:
        y ``(N, ...)``, and which of its rows are x; x itself where there is one process.

    Raises:
        RuntimeError: if torch's autograd is to record it.
    """
    here = world()
    if here is None:
        return x, slice(0, len(x))
    if x.requires_grad and autograd_records():
        raise RuntimeError(
            "gather_rows: torch's autograd knows nothing of other processes; use engine 'manual'"
        )
    counts = torch.zeros(here.size, dtype=torch.int64)
    counts[here.rank] = len(x)
    before = here.sum_(counts).cumsum(0) - counts
    rows = slice(int(before[here.rank]), int(before[here.rank]) + len(x))
    y = x.new_zeros(int(counts.sum()), *x.shape[1:])
    y[rows] = x
    return here.sum_(y), rows  # each row comes from one process, and zeros from the others


def gather_rows_backward(grad: Tensor, saved: slice) -> Tensor:
    """Turns the gradients of y that all processes have found into that of x: their sum, at x's rows.

    dL/dx_p = sum_q (dL_q/dy)_p   with L = sum_q L_q, since every process computes with all of y.

    Args:
        grad: dL_q/dy ``(N, ...)``, that of this process.
        saved: what :func:`gather_rows` returned with y.
    """
    here = world()
    return grad[saved] if here is None else here.sum_(grad.clone())[saved]  # y = [x_0; ...]
