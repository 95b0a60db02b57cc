"""Epochs: data walked again and again, in an order that seed and epoch decide, with a position."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import torch

Batch = TypeVar("Batch")


class Epochs(ABC, Generic[Batch]):
    """Base of what gives batches: each ``for`` over it is one epoch, and it knows where it is.

    A subclass says what the batches of an epoch are, in :meth:`batches`, and what decides this, in
    :meth:`setting`.
    """

    _epoch = 0  # where we are: the batches of this epoch before this one have been yielded
    _batch = 0
    _resumed = False  # the next iteration goes on from here instead of beginning an epoch

    @abstractmethod
    def batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """Yields the batches of an epoch, from number ``first`` on."""

    @abstractmethod
    def setting(self) -> dict[str, Any]:
        """Returns what decides which samples are in which batch."""

    @abstractmethod
    def __len__(self) -> int:
        """Counts the batches of an epoch."""

    def fingerprint(self) -> str | None:
        """Returns what tells these data from others, see :mod:`ds_core.data.fingerprint`; None if unknown."""
        return None

    def __iter__(self) -> Iterator[Batch]:
        """Yields the next epoch, or what is left of the one that :meth:`load_state_dict` went back to."""
        if self._batch and not self._resumed:  # the last epoch was left before its end
            self._epoch, self._batch = self._epoch + 1, 0
        self._resumed = False
        epoch, batch = self._epoch, self._batch
        for values in self.batches(epoch, batch):
            batch += 1
            self._epoch, self._batch = epoch, batch
            yield values
        self._epoch, self._batch = epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Returns the position: the epoch, and how many of its batches have been yielded."""
        return {"epoch": self._epoch, "batch": self._batch, **self.setting()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to a position: the next iteration begins with the batch after the last one yielded then.

        Raises:
            ValueError: if it is a position in other batches: samples, batch size, order or seed differ.
        """
        for name, here in self.setting().items():
            if state.get(name) != here:
                raise ValueError(
                    f"{type(self).__name__}.load_state_dict: expected {name} {here} as in this loader, "
                    f"got {state.get(name)}"
                )
        self._epoch, self._batch = int(state["epoch"]), int(state["batch"])
        self._resumed = True

    def __repr__(self) -> str:
        """Shows the settings."""
        return f"{type(self).__name__}(" + ", ".join(f"{k}={v}" for k, v in self.setting().items()) + ")"


def mixed_generator(*numbers: int) -> torch.Generator:
    """Returns a generator seeded by all these numbers together.

    They are mixed by a hash: seed + epoch would give neighbouring seeds the same orders.
    """
    mixed = random.Random(", ".join(map(str, numbers))).getrandbits(32)
    return torch.Generator().manual_seed(mixed)
