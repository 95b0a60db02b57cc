"""Ctrl-C and SIGTERM as a request: the current step is finished before training ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Ctrl-C, and what a cluster or a container sends some seconds before it kills.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(request: Callable[[], None]) -> Iterator[None]:
    """Calls ``request`` at the first Ctrl-C or SIGTERM within the block; the second one acts as usual.

    Python delivers signals to the main thread alone; in any other, the block changes nothing. Nor does it
    where a signal is ignored or handled already.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [n for n in _SIGNALS if before[n] in (signal.SIG_DFL, signal.default_int_handler)]
    if threading.current_thread() is not threading.main_thread():
        ours = []

    def put_back() -> None:
        for number in ours:
            signal.signal(number, before[number])

    def first(number: int, frame: FrameType | None) -> None:
        put_back()
        request()

    for number in ours:
        signal.signal(number, first)
    try:
        yield
    finally:
        put_back()
