"""Runs the packages' benchmarks one after another: ``hatch run bench``, or ``hatch run bench gpt mlp``.

``hatch run bench --beside OTHER_CHECKOUT`` measures two checkouts of this repository in turns: a process for
each, one of which runs at a time, for a tenth of a second or one step. What else the machine does then
meets both alike. Of each turn the least time counts. Printed are, for every row that both have, the medians
of the turns, what each takes of torch.nn's time, and the ratio of the two checkouts with its quartiles.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
PROCESSES = 3  # of each checkout, one after another


def benchmarks(checkout: Path) -> dict[str, Path]:
    """Lists the benchmarks of a checkout by name."""
    return {file.stem: file for file in sorted(checkout.glob("packages/*/benchmarks/*.py"))}


def serve(file: str) -> None:
    """Sets up every row of a benchmark, then measures whichever row standard input asks for.

    It first writes the rows' names as JSON; then, for each line ``turn NAME``, the least of the milliseconds
    ``[ours, theirs]`` took in one turn, and for ``memory NAME`` the peaks in MiB. On one thread it counts
    the time of the processor, which what else runs on the machine does not lengthen.
    """
    import torch
    from ds_core.verify import benchmark

    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter

    answers = os.fdopen(os.dup(1), "w")  # what a benchmark prints goes elsewhere
    os.dup2(2, 1)
    rows: dict[str, tuple[Any, Any]] = {}

    def collect(name: str, ours: Any, theirs: Any, **_: Any) -> Any:
        rows.setdefault(name, (ours, theirs))
        return benchmark.Comparison(name, *4 * (float("nan"),))

    vars(benchmark).update(compare=collect, report=lambda *_: None)
    runpy.run_path(file, run_name="__main__")
    print(json.dumps(list(rows)), file=answers, flush=True)
    for line in sys.stdin:
        what, _, name = line.strip().partition(" ")
        if what == "turn":
            times: tuple[list[float], list[float]] = ([], [])
            end = time.perf_counter() + 0.1
            while not times[0] or time.perf_counter() < end:
                for call, taken in zip(rows[name], times, strict=True):
                    begin = clock()
                    call()
                    taken.append((clock() - begin) * 1e3)
            answer = [min(taken) for taken in times]
        else:
            answer = [benchmark.peak_memory(call) / 2**20 for call in rows[name]]
        print(json.dumps(answer), file=answers, flush=True)


class Server:
    """A process that measures the rows of one checkout's benchmark, when asked."""

    def __init__(self, checkout: Path, file: Path) -> None:
        sources = [str(source) for source in sorted(checkout.glob("packages/*/src"))]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", file],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sources)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"a benchmark failed: {' '.join(map(str, self.process.args[2:]))}")  # type: ignore[index]
        return json.loads(line)

    def ask(self, question: str) -> list[float]:
        assert self.process.stdin is not None
        print(question, file=self.process.stdin, flush=True)
        answer: list[float] = self.read()
        return answer

    def close(self) -> None:
        self.process.communicate()  # the end of its input is the end of it


def beside(other: Path, names: list[str], matching: str, seconds: float) -> None:
    """Prints a table of every row that both checkouts have."""
    head = ("ratio", "spread", "here ms", "other ms", "here/torch", "other/torch", "here MiB", "other MiB")
    mine, others = benchmarks(ROOT), benchmarks(other)
    for name in names:
        if name not in others:
            print(f"\n{name}: only here")
            continue
        turns: dict[str, list[tuple[list[float], list[float]]]] = {}
        memory: dict[str, list[float]] = {}
        for _ in range(PROCESSES):  # where a process's memory happens to lie makes a difference of its own
            servers = Server(ROOT, mine[name]), Server(other, others[name])
            here, there = (server.read() for server in servers)
            for row in here:
                if row in there and matching in row:
                    turns.setdefault(row, []).extend(measure(row, servers, seconds / PROCESSES))
                    memory[row] = [server.ask(f"memory {row}")[0] for server in servers]
            for server in servers:
                server.close()
        print(f"\n{name:44}" + "".join(f"{title:>13}" for title in head))
        for row, pairs in turns.items():
            print(f"{row:44}" + "".join(f"{value:>13}" for value in columns(pairs, memory[row])), flush=True)


def measure(
    row: str, servers: tuple[Server, Server], seconds: float
) -> list[tuple[list[float], list[float]]]:
    """Returns what each turn of the two took."""
    start = time.perf_counter()
    for server in servers:
        server.ask(f"turn {row}")  # warm-up
    once = time.perf_counter() - start
    turns = []
    for turn in range(max(3, min(15, round(seconds / once)))):
        taken = [servers[side].ask(f"turn {row}") for side in ((0, 1) if turn % 2 else (1, 0))]
        turns.append((taken[0], taken[1]) if turn % 2 else (taken[1], taken[0]))
    return turns


def columns(turns: list[tuple[list[float], list[float]]], memory: list[float]) -> list[str]:
    """Formats the columns of a row: medians, and the quartiles of the ratio."""
    ratios = [here / other for (here, _), (other, _) in turns]
    low, middle, high = statistics.quantiles(ratios, n=4)
    sides = list(zip(*turns, strict=True))
    return [
        f"{middle:.2f}",
        f"{low:.2f}-{high:.2f}",
        *(f"{statistics.median(ours for ours, _ in side):.3f}" for side in sides),
        *(f"{statistics.median(ours / theirs for ours, theirs in side):.2f}" for side in sides),
        *(f"{value:.2f}" for value in memory),
    ]


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="of benchmarks; all of them if none is given")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="measure another checkout in turns")
    parser.add_argument("--matching", default="", metavar="TEXT", help="only rows that contain it")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row, both checkouts together")
    parser.add_argument("--serve", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve)
    files = benchmarks(ROOT)
    if unknown := set(options.names) - set(files):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(files)}")
    names = [name for name in files if name in options.names or not options.names]
    if options.beside:
        return beside(options.beside.resolve(), names, options.matching, options.seconds)
    failed = []
    for name in names:
        print(f"\n{files[name].relative_to(ROOT)}", flush=True)
        if subprocess.run([sys.executable, files[name]]).returncode:
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
