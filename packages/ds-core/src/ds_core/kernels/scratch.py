"""Memory into which kernels write again and again."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST = 1_200_000  # numbers of each name that are kept from one call of a kernel to the next
SHAPES = 64  # in which the memory of a name was seen, and may be seen again


class Scratch(threading.local):
    """Keeps, for each thread, the memory of what is needed only while a kernel runs.

    A system hands out large pieces of memory page by page, at the first touch, and takes them back at once:
    where this was measured, a product of 38 MB took 22 ms into new memory, 6 into memory used before.

    Args:
        largest: numbers of each name that are kept from one use to the next; None for any number, where all
            of it is let go soon.
    """

    def __init__(self, largest: int | None = None) -> None:
        self.largest = largest
        self.memory: dict[tuple[str, torch.dtype, torch.device], _Memory] = {}

    def __call__(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Returns a tensor of any content; it is valid until the next call with the name.

        Args:
            name: of the use.
            shape: of the tensor.
            like: has its type and device; of a subclass of Tensor nothing is kept.
        """
        if type(like) is not Tensor:  # one that only stands for numbers, as in a FakeTensorMode
            return like.new_empty(tuple(shape))
        shape, key = tuple(shape), (name, like.dtype, like.device)
        memory = self.memory.get(key)
        if memory is not None and shape in memory.views:
            return memory.views[shape]
        size = math.prod(shape)
        # Made in inference mode, it could not be written to outside; leaving it switches autograd on.
        with torch.inference_mode(False), torch.no_grad():
            if memory is None or memory.numbers.numel() < size:
                memory = _Memory(torch.empty(size, dtype=like.dtype, device=like.device), {})
                if self.largest is None or size <= self.largest:
                    self.memory[key] = memory
            if len(memory.views) == SHAPES:
                memory.views.clear()
            view = memory.views[shape] = memory.numbers[:size].view(shape)
        return view

    def release(self) -> None:
        """Gives back this thread's memory."""
        if not torch.compiler.is_compiling():  # where nothing of it is used
            self.memory.clear()


class _Memory(NamedTuple):
    """A piece of memory, and how it was seen: to look that up is quicker than to cut it and shape it."""

    numbers: Tensor
    views: dict[tuple[int, ...], Tensor]


scratch = Scratch(LARGEST)  # from one call to the next
