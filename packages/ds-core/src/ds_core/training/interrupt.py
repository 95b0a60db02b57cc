"""Ctrl-C as a wish: the step at hand is finished before training ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ctrl_c(wish: Callable[[], None]) -> Iterator[None]:
    """Calls ``wish`` at the first Ctrl-C within the block; the second one strikes as always.

    Python delivers signals to the main thread alone; in any other, the block changes nothing.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        wish()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
