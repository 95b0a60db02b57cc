"""KeyValueCache: what attention remembers while a text is generated position by position."""

from __future__ import annotations

import torch
from torch import Tensor


class KeyValueCache:
    """Keeps keys and values of past positions, so that a new token costs one position and not all.

    Args:
        capacity: how many positions fit; the memory is taken at the first use.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._memory = torch.empty(0)

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Appends new positions and returns all so far.

        Args:
            key: ``(N, T, D)``.
            value: ``(N, T, D)``.

        Returns:
            Keys and values ``(N, S, D)`` with S = positions so far, T included.

        Raises:
            ValueError: if they do not fit.
        """
        end = self.length + key.shape[-2]
        if end > self.capacity:
            raise ValueError(f"KeyValueCache: expected at most {self.capacity} positions, got {end}")
        if self._memory.numel() == 0:
            self._memory = key.new_empty(2, key.shape[0], self.capacity, key.shape[-1])
        self._memory[0, :, self.length : end] = key
        self._memory[1, :, self.length : end] = value
        self.length = end
        return self._memory[0, :, :end], self._memory[1, :, :end]
