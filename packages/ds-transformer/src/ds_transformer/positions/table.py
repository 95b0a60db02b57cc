"""PositionTable: numbers for positions 0, 1, 2, ..., computed once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Build = Callable[[int, torch.dtype, torch.device], Tensor]


class PositionTable:
    """Keeps a row for every position asked for so far, for each type and device.

    When more are needed, the table grows to at least twice its length, so that decoding, which asks for one
    position after the other, seldom waits for it.

    Args:
        build: ``build(length, dtype, device)`` makes the rows of positions 0 ... length - 1.
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self._tables: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def rows(self, past: int, length: int, like: Tensor) -> Tensor:
        """Returns a view of the rows of positions past ... past + length - 1.

        Args:
            past: the first position.
            length: how many.
            like: a tensor of the type and on the device that the rows shall have.
        """
        key, end = (like.dtype, like.device), past + length
        table = self._tables.get(key)
        if table is None or len(table) < end:
            size = end if table is None else max(end, 2 * len(table))
            # Not an inference tensor, wherever it is asked for first: training may be next.
            with torch.inference_mode(False), torch.no_grad():
                table = self._build(size, *key)
            # What torch.export calls with are stand-ins for tensors, of no use in any other call.
            if not torch.compiler.is_compiling() or torch.compiler.is_dynamo_compiling():
                self._tables[key] = table
        return table[past:end]
