"""GradientBuckets: gradients are added up over the processes while the layers below still compute theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ds_core.distributed.world import World
from ds_core.engines import on_backward
from ds_core.module import Module, unwrapped

LIMIT = 25 << 20  # bytes of a bucket: fewer sums with little to wait for each
FIRST = 1 << 20  # of the first one, so that sending begins early


@dataclass
class Bucket:
    """Parameters whose gradients travel as one tensor.

    Attributes:
        members: places of the parameters.
        missing: how many gradients are not complete yet.
        flat: the gradients, one behind another, once they are on their way.
        wait: waits until ``flat`` is the sum.
    """

    members: list[int]
    missing: int = 0
    flat: Tensor | None = None
    wait: Callable[[], None] = field(default=lambda: None)


class GradientBuckets:
    """Adds up gradients over processes, g = sum_p g_p, bucket by bucket, from the last layer to the first.

    A parameter's gradient is complete when a backward has ended and none of the modules that hold the
    parameter has a forward that waits for its own: each layer has a stack of these, so nothing need be
    counted, and a weight that two layers share, or one layer used twice, is complete after the last use.
    What is complete leaves in buckets, always in the same order, since the processes have to begin the same
    sums in the same order. What no module tells of leaves at the end: gradients of torch's autograd, of
    parameters that one process did not need, or that a backward far above adds to. A gradient that changed
    after it had left is noticed; then all are sent again, now and henceforth at the end of each step.

    Args:
        parameters: what is trained, in the order in which the forward uses it.
        modules: that hold them.
        world: the processes.
        limit: bytes of a bucket.
        first: bytes of the first bucket.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        modules: Sequence[Module],
        world: World,
        limit: int = LIMIT,
        first: int = FIRST,
    ) -> None:
        self.parameters, self.world = list(parameters), world
        place = {id(parameter): number for number, parameter in enumerate(self.parameters)}
        parts = list({id(part): part for module in modules for part in module.modules()}.values())
        own = {id(part): [place[id(p)] for p in _held(part) if id(p) in place] for part in parts}
        self._holders: list[list[Module]] = [[] for _ in self.parameters]
        for part in parts:
            for number in own[id(part)]:
                self._holders[number].append(part)
        # A module may finish what its children began: spectral norm, an adapter.
        self._told_by = {
            id(part): own[id(part)]
            + [number for child in part.children() for number in own[id(unwrapped(child))]]
            for part in parts
        }
        self.buckets = [Bucket(members) for members in self._cut(limit, first)]
        self._bucket_of = {number: bucket for bucket in self.buckets for number in bucket.members}
        self._at_the_end = False
        self._begin()

    def _cut(self, limit: int, first: int) -> Iterator[list[int]]:
        """Yields the places of each bucket's parameters, the last parameter first; of one type and device."""
        members: list[int] = []
        size, most = 0, first
        for number in reversed(range(len(self.parameters))):
            parameter = self.parameters[number]
            if members:
                other = self.parameters[members[-1]]
                if size >= most or (other.dtype, other.device) != (parameter.dtype, parameter.device):
                    yield members
                    members, size, most = [], 0, limit
            members.append(number)
            size += parameter.nbytes
        if members:
            yield members

    def _begin(self) -> None:
        """Forgets the step before."""
        self._left = 0  # how many buckets are on their way
        self._complete = [False] * len(self.parameters)
        self._sent: dict[int, tuple[Tensor | None, int]] = {}
        for bucket in self.buckets:
            bucket.missing, bucket.flat = len(bucket.members), None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Sends what becomes complete within the block: the last backward before :meth:`finish`."""
        if self._at_the_end:
            yield
            return
        with on_backward(self._note):
            yield

    def _note(self, module: Module) -> None:
        """Looks which gradients are complete now that a module's backward has ended."""
        for number in () if module._stack else self._told_by.get(id(module), ()):
            if (
                not self._complete[number]
                and self.parameters[number].grad is not None
                and not any(holder._stack for holder in self._holders[number])
            ):
                self._complete[number] = True
                self._bucket_of[number].missing -= 1
        while self._left < len(self.buckets) and not self.buckets[self._left].missing:
            self._send()

    def _send(self) -> None:
        """Sends the next bucket; the gradients stay as they are until :meth:`finish`."""
        bucket = self.buckets[self._left]
        self._left += 1
        grads = [self.parameters[number].grad for number in bucket.members]
        for number, grad in zip(bucket.members, grads, strict=True):
            self._sent[number] = grad, 0 if grad is None else grad._version
        rows = [
            self.parameters[number].new_zeros(self.parameters[number].numel())
            if grad is None
            else grad.reshape(-1)
            for number, grad in zip(bucket.members, grads, strict=True)
        ]
        bucket.flat = torch.cat(rows)
        bucket.wait = self.world.sum_later(bucket.flat)

    @torch.no_grad()
    def finish(self, *numbers: float) -> list[float]:
        """Sends the rest and waits: then each ``.grad`` is the sum, None where no process has any.

        Args:
            numbers: what is added up besides.

        Returns:
            Their sums.
        """
        while self._left < len(self.buckets):
            self._send()
        there = [float(parameter.grad is not None) for parameter in self.parameters]
        told = self.world.sum_(
            torch.tensor([self._changed(), *numbers, *there], dtype=torch.float64)
        ).tolist()
        late, sums, there = told[0], told[1 : len(numbers) + 1], told[len(numbers) + 1 :]
        for bucket in self.buckets:
            bucket.wait()
        if late:
            self._at_the_end = True
            self._begin()
            while self._left < len(self.buckets):
                self._send()
            for bucket in self.buckets:
                bucket.wait()
        for bucket in self.buckets:
            assert bucket.flat is not None
            sizes = [self.parameters[number].numel() for number in bucket.members]
            for number, row in zip(bucket.members, bucket.flat.split(sizes), strict=True):
                parameter = self.parameters[number]
                parameter.grad = row.view(parameter.shape) if there[number] else None
        self._begin()
        return sums

    def _changed(self) -> float:
        """Says whether a gradient has changed since it was sent."""
        now = ((self.parameters[number].grad, sent) for number, sent in self._sent.items())
        return float(
            any(
                grad is not was or (grad is not None and grad._version != version)
                for grad, (was, version) in now
            )
        )


def _held(module: Module) -> list[Tensor]:
    """Returns the parameters that a module holds itself."""
    named = (getattr(module, name) for name in module._parameters)
    return [parameter for parameter in named if parameter is not None]
