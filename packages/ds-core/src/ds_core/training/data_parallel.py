"""DataParallel: what several processes that train one model do together in each step."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ds_core.distributed import GradientBuckets, World, rows_of
from ds_core.module import Module
from ds_core.random_state import Source, generators_of, seed_torch
from ds_core.training.batches import Batch, Batches, samples, tensors_of


class DataParallel:
    """Several processes train one model: each computes with its rows of every batch; gradients add up.

    All of them walk through the same batches in the same order, hold the same weights and make the same
    steps. What the loss of a batch is the mean of, such as tokens, need not be the same in each: gradients
    are weighted by it before they are added, so that the sum is the gradient of the whole batch.

    Random numbers in the model, as dropout draws, are others in each process. Those of process 0 go on as
    they do where there is no other; the others' follow anew in each step from seed, process and step, so a
    checkpoint of process 0 is enough to go on from. Buffers, such as running statistics, are those that
    process 0 has found in its rows.

    Args:
        world: the processes.
        modules: the model and the loss.
        data: what all of them walk through.
        step: at which training begins or goes on.

    Raises:
        RuntimeError: if another process is at another step.
    """

    def __init__(
        self,
        world: World,
        modules: Sequence[Module],
        data: Batches,
        step: int,
    ) -> None:
        self.world, self.modules, self.data = world, modules, data
        self._buckets: dict[str, GradientBuckets] = {}
        self._seen = 0.0  # what tells the batches of this step from others
        steps = world.text(str(step))
        if steps != str(step):
            raise RuntimeError(
                f"{world}: is at step {step}, process 0 at step {steps}: expected one folder, which all "
                "machines share"
            )
        world.give_([tensor for module in modules for tensor in (*module.parameters(), *module.buffers())])

    def part(self, batch: Batch) -> Batch | None:
        """Returns this process's rows of a batch; None if there are fewer rows than processes, and none left.

        Raises:
            ValueError: if a batch cannot be divided.
        """
        self._seen += _sign(batch)
        count = samples(batch)
        rows = rows_of(count, self.world.rank, self.world.size)
        return self.data.part(batch, rows) if rows.stop > rows.start else None

    def buckets(self, parameters: Sequence[Tensor], whose: str = "") -> GradientBuckets:
        """Returns what adds up the gradients of these parameters, made anew if they were others before.

        Args:
            parameters: what is trained at this step: a callback may have thawed some.
            whose: they are, if several optimizers take turns.
        """
        known, wanted = self._buckets.get(whose), {id(parameter): parameter for parameter in parameters}
        if known is None or {id(parameter) for parameter in known.parameters} != wanted.keys():
            ordered = {id(p): p for module in self.modules for p in module.parameters() if id(p) in wanted}
            known = GradientBuckets(list((ordered | wanted).values()), self.modules, self.world)
            self._buckets[whose] = known
        return known

    def add_up(self, buckets: GradientBuckets) -> None:
        """Adds up the gradients over all processes, and gives all of them the buffers of process 0.

        Args:
            buckets: the gradients.

        Raises:
            RuntimeError: if another process has seen other batches.
        """
        seen, self._seen = self._seen, 0.0
        (mean,) = buckets.finish(seen / self.world.size)
        if abs(mean - seen) > 1e-9 * max(1.0, abs(seen)):
            raise RuntimeError(
                f"{self.world}: got another batch than others: expected all of them to walk through "
                "the same data in the same order; give a seed to what shuffles them"
            )
        self.world.give_(_buffers(self.modules))

    @contextmanager
    def drawing(
        self, seed: int, step: int, device: torch.device, sources: Mapping[str, Source]
    ) -> Iterator[None]:
        """Gives the model random numbers of this process's own in the block; process 0 goes on with its own.

        Args:
            seed: of the training.
            step: that is to be made.
            device: where the model is.
            sources: the generators that are drawn from, besides torch's global one.
        """
        if not self.world.rank:
            yield
            return
        for name, generator in generators_of(sources):
            generator.manual_seed(_mixed(seed, self.world.rank, step, name))
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            seed_torch(_mixed(seed, self.world.rank, step))
            yield

    def from_first(self, make: Callable[[], Mapping[str, float]]) -> dict[str, float]:
        """Returns what process 0 makes; the others wait for it."""
        made = json.dumps(make()) if not self.world.rank else None
        numbers: dict[str, float] = json.loads(self.world.text(made))
        return numbers

    def agreed(self, reason: str | None) -> str | None:
        """Returns the reason for which training is to end, if any process has one: that of the first."""
        given = torch.zeros(self.world.size)
        given[self.world.rank] = float(reason is not None)
        places = self.world.sum_(given).nonzero().flatten().tolist()
        return self.world.text(reason, places[0]) if places else None


def _mixed(*parts: Any) -> int:
    """Returns a seed that all of these decide together."""
    return random.Random(", ".join(map(str, parts))).getrandbits(32)


def _sign(batch: Batch) -> float:
    """Returns a number that is likely another for another batch: some of what is in its tensors."""
    found = 0.0
    for tensor in tensors_of(batch):
        flat = tensor.reshape(-1)
        places = {0, len(flat) // 3, len(flat) // 2, len(flat) - 1} if len(flat) else set()
        values = [] if tensor.device.type != "cpu" else [float(flat[place]) for place in sorted(places)]
        found += len(flat) + sum(value * (1 + place) for place, value in enumerate(values) if value == value)
    return found


def _buffers(modules: Sequence[Module]) -> list[Tensor]:
    """Returns the buffers that are saved with the modules."""
    parts = {id(part): part for module in modules for part in module.modules()}
    named = ((part, name) for part in parts.values() for name, kept in part._buffers.items() if kept)
    found = (getattr(part, name) for part, name in named)
    return [buffer for buffer in found if buffer is not None and buffer.numel()]
