"""Reading: numbers on their way from a device, where nothing waits for them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Reading:
    """Numbers of a step, read from the device all at once.

    From a CUDA device they travel into pinned memory while the processor goes on: only :meth:`values` waits,
    and by then they have usually arrived.

    Args:
        values: tensors of one number each.
    """

    def __init__(self, values: Sequence[Tensor]) -> None:
        self._arrived: torch.cuda.Event | None = None
        if not values:
            self._numbers = torch.empty(0)
            return
        device = values[0].device
        wide = torch.float32 if device.type == "mps" else torch.float64  # Apple's has no float64
        self._numbers = torch.stack([value.detach().to(device, wide) for value in values])
        if self._numbers.is_cuda:
            here = torch.empty_like(self._numbers, device="cpu", pin_memory=True)
            here.copy_(self._numbers, non_blocking=True)
            self._numbers, self._arrived = here, torch.cuda.current_stream(device).record_event()

    def values(self) -> list[float]:
        """Returns the numbers; waits for them if they have not arrived."""
        if self._arrived is not None:
            self._arrived.synchronize()
        numbers: list[float] = self._numbers.tolist()
        return numbers
