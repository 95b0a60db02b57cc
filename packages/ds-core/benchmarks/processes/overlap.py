"""Two processes against one: throughput, and how much of the communication backward hides, with a picture.

python packages/ds-core/benchmarks/processes/overlap.py [--processes 2] [--rows 512] [--out FOLDER]

One process makes steps with all rows, then several, each with its part, once adding gradients up while the
layers below compute and once at the end. Every process has one thread. ``overlap.json`` and ``overlap.png``
go to the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ds_core import SGD, Dense, MSELoss, Sequential, Tanh
from ds_core.distributed import GradientBuckets, World, rows_of, world
from torch import Tensor

WIDTH, DEPTH = 1024, 12
WARM = 2
Interval = tuple[float, float]


@dataclass(frozen=True)
class Timed(World):
    """Processes that note when each sum began and ended."""

    sums: list[list[float]] = field(default_factory=list)

    def sum_later(self, tensor: Tensor) -> Callable[[], None]:
        work = dist.all_reduce(tensor, async_op=True)
        noted = [time.perf_counter()]
        self.sums.append(noted)
        work.get_future().add_done_callback(lambda _: noted.append(time.perf_counter()))
        return lambda: work.wait() and None


def network() -> Sequential:
    """Makes the network: Dense layers with Tanh between, 4 MiB of weights each."""
    draw = torch.Generator().manual_seed(0)
    layers = [layer for _ in range(DEPTH) for layer in (Dense(WIDTH, WIDTH, generator=draw), Tanh())]
    return Sequential(*layers).requires_input_grad_(False)


def measured(rows: int, hidden: bool, steps: int) -> dict[str, Any]:
    """Makes steps; returns how long one takes, and of that in the middle by time what happened when.

    That is by the clock and by the processor, which what else runs on the machine does not lengthen.

    Args:
        rows: of all processes together.
        hidden: whether gradients are added up while others are still computed.
        steps: how many count.
    """
    here = world()
    own = slice(0, rows) if here is None else rows_of(rows, here.rank, here.size)
    draw = torch.Generator().manual_seed(1)
    x, y = (torch.randn(rows, WIDTH, generator=draw)[own] for _ in range(2))
    model, loss = network(), MSELoss()
    optimizer = SGD(model.parameters(), lr=0.01)
    timed = None if here is None else Timed(here.rank, here.size)
    buckets = None if timed is None else GradientBuckets(list(model.parameters()), [model], timed)
    traces = []
    for number in range(WARM + steps):
        if here is not None:
            here.sum_(torch.zeros(1))  # all begin together
        if number == WARM:
            processor = time.process_time()
        begin = time.perf_counter()
        optimizer.zero_grad()
        with torch.no_grad():
            loss(model(x), y)
            forward = time.perf_counter()
            with buckets.listening() if buckets is not None and hidden else nullcontext():
                model.backward(loss.backward(len(x) / rows))
        backward = time.perf_counter()
        if buckets is not None:
            buckets.finish()
        together = time.perf_counter()
        optimizer.step()
        end = time.perf_counter()
        sums = [] if timed is None else [(a - begin, b - begin) for a, b in timed.sums]
        if timed is not None:
            timed.sums.clear()
        traces.append(
            {
                "forward": (0.0, forward - begin),
                "backward": (forward - begin, backward - begin),
                "wait": (backward - begin, together - begin),
                "optimizer": (together - begin, end - begin),
                "sums": sums,
                "seconds": end - begin,
            }
        )
    processor = (time.process_time() - processor) / steps
    traces = sorted(traces[WARM:], key=lambda trace: trace["seconds"])
    seconds = statistics.median(trace["seconds"] for trace in traces)
    return {"seconds": seconds, "processor": processor, "trace": traces[len(traces) // 2]}


def union(intervals: list[Interval]) -> float:
    """Returns how long any of the intervals lasts."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def hidden_share(trace: dict[str, Any]) -> float:
    """Returns which share of the time in which gradients travel lies before backward's end."""
    end = trace["backward"][1]
    sums = [(a, b) for a, b in trace["sums"]]
    return union([(a, min(b, end)) for a, b in sums if a < end]) / union(sums)


def launched(processes: int, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs this file in so many processes; returns what the first one measures, hidden and not."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*(launch if processes > 1 else [sys.executable]), __file__, "--worker"]
    command += ["--rows", str(given.rows), "--steps", str(given.steps)]
    ran = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]


def draw(trace: dict[str, Any], late: dict[str, Any], path: Path) -> None:
    """Draws one step of the first process, gradients hidden behind backward and not."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    colours = {"forward": "#4c78a8", "backward": "#f58518", "wait": "#cccccc", "optimizer": "#54a24b"}
    for panel, one, title in zip(
        panels, (trace, late), ("added up while layers below compute", "added up at the end"), strict=True
    ):
        for name, colour in colours.items():
            begin, end = one[name]
            panel.broken_barh([(1e3 * begin, 1e3 * (end - begin))], (1.1, 0.8), color=colour, label=name)
        bars = [(1e3 * begin, 1e3 * (end - begin)) for begin, end in one["sums"]]
        for number, bar in enumerate(bars):
            panel.broken_barh([bar], (0.1 + 0.25 * (number % 3), 0.22), color="#b279a2", edgecolor="white")
        panel.set_yticks([0.5, 1.5], ["gradients travel", "the process"])
        panel.set_title(title, loc="left", fontsize=10)
    panels[1].set_xlabel("milliseconds since the step began")
    panels[0].legend(ncols=4, fontsize=8, loc="upper right", bbox_to_anchor=(1, 1.3), frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--worker", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.worker:
        here = world()
        for hidden in (True, False) if here is not None else (True,):
            found = measured(given.rows, hidden, given.steps)
            if here is None or here.rank == 0:
                print(json.dumps(found), flush=True)
        return
    (one,), (hidden, late) = launched(1, given), launched(given.processes, given)
    result = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "processes": given.processes,
        "rows": given.rows,
        "parameters": DEPTH * (WIDTH + 1) * WIDTH,
        "seconds": {"one": one["seconds"], "hidden": hidden["seconds"], "at the end": late["seconds"]},
        "processor": {
            "one": one["processor"],
            "hidden": hidden["processor"],
            "at the end": late["processor"],
        },
        "throughput_ratio": one["seconds"] / hidden["seconds"],
        "throughput_ratio_by_processor": one["processor"] / hidden["processor"],
        "share_hidden": hidden_share(hidden["trace"]),
        "trace": hidden["trace"],
        "trace_at_the_end": late["trace"],
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "overlap.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(hidden["trace"], late["trace"], given.out / "overlap.png")
    print(
        json.dumps({name: value for name, value in result.items() if not name.startswith("trace")}, indent=1)
    )


if __name__ == "__main__":
    main()
