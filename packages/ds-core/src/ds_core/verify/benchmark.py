"""Side-by-side measurement: ours and a referee, in turns, in one process, as a ratio.

An absolute time says as much about the machine as about the code; the ratio of two that took turns on the
same machine in the same minute says something about the code.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True)
class Comparison:
    """One row: times in milliseconds (medians), memory in MiB (the most that was allocated at once).

    ``medium_ms`` is the referee's time once torch may multiply float32 matrices as it likes, where asked for.
    """

    name: str
    ours_ms: float
    theirs_ms: float
    ours_mib: float
    theirs_mib: float
    note: str = ""
    medium_ms: float | None = None

    @property
    def time_ratio(self) -> float:
        """Returns ours / theirs: below 1, ours is faster."""
        return self.ours_ms / self.theirs_ms

    @property
    def memory_ratio(self) -> float:
        """Returns ours / theirs: below 1, ours needs less."""
        return self.ours_mib / self.theirs_mib if self.theirs_mib else float("nan")


def compare(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    seconds: float = 4.0,
    note: str = "",
    medium: bool = False,
) -> Comparison:
    """Measures two callables that do the same work, in turns.

    Args:
        name: what the row is called.
        ours: runs our code once.
        theirs: runs the referee's once.
        seconds: roughly how long to measure, after a warm-up.
        note: shown at the end of the row (a chosen algorithm, say).
        medium: whether the referee also runs after ``torch.set_float32_matmul_precision("medium")``: faster
            on some processors, and less exact on some of those.

    Returns:
        Medians of the times, and the peak of what torch's allocator handed out during one call beyond what
        was in use before it.
    """
    calls = [ours, theirs, *([_at_medium(theirs)] if medium else [])]
    for _ in range(3):  # warm-up: pages, thread pools, the processor's clock
        start = time.perf_counter()
        for call in calls:
            call()
        once = time.perf_counter() - start
    rounds = max(5, min(1000, int(seconds / once)))
    times: list[list[float]] = [[] for _ in calls]
    gc.collect()
    for turn in range(rounds):
        pairs = list(zip(calls, times, strict=True))
        for call, taken in pairs if turn % 2 else reversed(pairs):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    ours_ms, theirs_ms, *medium_ms = (statistics.median(taken) * 1e3 for taken in times)
    return Comparison(
        name,
        ours_ms,
        theirs_ms,
        peak_memory(ours) / 2**20,
        peak_memory(theirs) / 2**20,
        note,
        *medium_ms,
    )


def _at_medium(call: Callable[[], object]) -> Callable[[], object]:
    """Returns a call that runs with torch's products of float32 at "medium" precision."""

    def run() -> None:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            call()
        finally:
            torch.set_float32_matmul_precision(before)

    return run


def peak_memory(call: Callable[[], object]) -> int:
    """Returns the most bytes torch's allocator gave out at once during a call, beyond those before it."""
    gc.collect()
    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]")
    in_use = peak = 0
    for _, change in changes:
        in_use += change
        peak = max(peak, in_use)
    return peak


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the profiler says of itself, below Python, from the terminal."""
    sys.stderr.flush()
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


def report(title: str, rows: Sequence[Comparison]) -> None:
    """Prints comparisons as a table, with the number of threads they ran on."""
    caption = f"{threads()}; below 1.00 ours needs less"
    if any(row.medium_ms for row in rows):
        caption += "; to medium: torch after set_float32_matmul_precision('medium')"
    table = Table(title=escape(title), caption=caption, title_justify="left")
    table.add_column("")
    medium = any(row.medium_ms for row in rows)
    columns = ["time ratio", *(["to medium"] if medium else []), "ours ms", "torch ms"]
    for column in (*columns, "memory ratio", "ours MiB", "torch MiB"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in rows:
        table.add_row(
            escape(row.name),
            f"{row.time_ratio:.2f}",
            *([f"{row.ours_ms / row.medium_ms:.2f}" if row.medium_ms else ""] if medium else []),
            f"{row.ours_ms:.3f}",
            f"{row.theirs_ms:.3f}",
            f"{row.memory_ratio:.2f}",
            f"{row.ours_mib:.2f}",
            f"{row.theirs_mib:.2f}",
            escape(row.note),
        )
    Console(width=None if Console().is_terminal else 120).print(table)


def threads() -> str:
    """Says how many threads torch uses and what OMP_NUM_THREADS is set to."""
    setting = os.environ.get("OMP_NUM_THREADS", "unset")
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads, OMP_NUM_THREADS={setting}"
