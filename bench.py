"""Measures training steps and layers beside ``torch.nn`` and ``transformers``: ``hatch run bench``.

Every row of the packages' benchmarks is timed in fresh processes that do nothing else, one after another:
memory that something else had freed there would not have to be got from the system, as a training has to. In
each, ours and the referee do the row's work in turns, after a warm-up; of a turn the least time of each
counts. Printed are medians over all turns, with quartiles behind them:

    to torch     what ours takes of the referee's time, at its defaults
    to its best  of the least that the referee took in any way tried: its defaults, products of float32 at
                 "medium" precision, with that fused optimizers, images with channels last
    memory       the peak of what torch's allocator gave out, of the referee's
    share        the rate of the products that the definitions need, of the best product's on this machine
    error        of all gradients together to the referee's in float64: ours, the referee's, at its best

Both sides have one thread, unless ``--threads`` or OMP_NUM_THREADS says otherwise: how two threads get on
depends on what else a machine does.

``--beside CHECKOUT`` measures another checkout of this repository in turns: what a change costs.
``--profile`` says on which of torch's operations each side spends its time, ``--growth`` how time grows with
width, depth, context, batch, image and sequence.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import runpy
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
GROWTH = ROOT / "docs" / "benchmarks" / "growth.py"
PROCESSES = 3  # where a process's memory happens to lie makes a difference of its own
TURN = 0.1  # seconds
FACTS = ("errors", "memory", "flops", "operations")  # errors before a step has changed the weights


def benchmarks(checkout: Path) -> dict[str, Path]:
    """Lists the benchmarks of a checkout by name."""
    return {file.stem: file for file in sorted(checkout.glob("packages/*/benchmarks/*.py"))}


# ---- a process that measures ---------------------------------------------------------------------------


def serve(file: str) -> None:
    """Answers questions about a benchmark's rows: a line of JSON each, ``[question, row]``."""
    import torch
    from ds_core.verify import benchmark

    answers = os.fdopen(os.dup(1), "w")  # what a benchmark prints goes elsewhere
    os.dup2(2, 1)
    rows = runpy.run_path(file)["ROWS"]
    print(json.dumps(list(rows)), file=answers, flush=True)
    built: str | None = None
    sides: Any = None
    for line in sys.stdin:
        question, row = json.loads(line)
        if row is not None and row != built:
            sides = None  # lets go of the last one first
            torch.manual_seed(0)
            built, sides = row, rows[row]()
        answer: Any
        if question == "rate":
            answer = benchmark.product_rate()
        elif question == "turn":
            answer = benchmark.turn(sides.contenders(), TURN)
        elif question == "memory":
            answer = [benchmark.peak_memory(call) / 2**20 for call in (sides.ours, sides.theirs)]
        elif question == "errors":
            answer = sides.errors and sides.errors()
        elif question == "flops":
            answer = sides.flops()
        else:
            answer = [benchmark.operations(call) for call in (sides.ours, sides.theirs)]
        print(json.dumps(answer), file=answers, flush=True)


class Server:
    """A process that measures rows of a benchmark, with one checkout's packages, when asked."""

    def __init__(self, file: Path, checkout: Path = ROOT) -> None:
        sources = [str(source) for source in sorted(checkout.glob("packages/*/src"))]
        self.file = file
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", file],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sources)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.rows: list[str] = self._read()

    def ask(self, question: str, row: str | None = None) -> Any:
        """Returns an answer of :func:`serve`."""
        assert self.process.stdin is not None
        print(json.dumps([question, row]), file=self.process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()  # the end of its input is the end of it

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a benchmark failed: {self.file}")
        return json.loads(line)


def turns(row: str, servers: Sequence[Server], seconds: float) -> list[list[list[float]]]:
    """Returns what each turn took: of each server the milliseconds of each of a row's contenders."""
    first = [server.ask("turn", row) for server in servers]  # warm-up
    least = max(TURN * len(servers), 2 * sum(map(sum, first)) / 1e3)  # a turn has two rounds, or more
    taken = []
    for number in range(max(2, min(15, round(seconds / least)))):
        order = range(len(servers)) if number % 2 else reversed(range(len(servers)))
        answers = {side: servers[side].ask("turn", row) for side in order}
        taken.append([answers[side] for side in range(len(servers))])
    return taken


# ---- rows ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What was measured of one row.

    Attributes:
        benchmark: the name of its file.
        name: its own.
        ours_ms: median.
        to_torch: ours / theirs: first quartile, median, third quartile.
        to_best: ours / the fastest way of the referee: the same.
        memory_mib: the peaks of ours and theirs.
        share: of the best product's rate.
        errors: of ours, theirs, theirs at its best; None where nobody looked.
        operations: of both, the operations on which most of the time is spent, with their shares.
    """

    benchmark: str
    name: str
    ours_ms: float
    to_torch: list[float]
    to_best: list[float]
    memory_mib: list[float]
    share: float
    errors: list[float] | None
    operations: list[list[list[Any]]]

    @property
    def memory(self) -> float:
        """Ours / theirs; 1 if neither needs any."""
        ours, theirs = self.memory_mib
        return ours / theirs if theirs else 1.0 if not ours else math.inf


def suite(names: list[str], matching: str, seconds: float, processes: int = PROCESSES) -> Iterator[Row]:
    """Measures the rows whose ``benchmark: name`` contains a text."""
    files = benchmarks(ROOT)
    for name in names:
        looking = Server(files[name])  # what a profiler or a referee in float64 frees, a process keeps
        rate = 0.0
        for row in looking.rows:
            if matching not in f"{name}: {row}":
                continue
            rate = max(rate, looking.ask("rate"))
            facts = {question: looking.ask(question, row) for question in FACTS}
            taken = []
            for _ in range(processes):
                timing = Server(files[name])
                taken += [only for (only,) in turns(row, [timing], seconds / processes)]
                timing.close()
            yield _row(name, row, taken, facts, rate)
        looking.close()


def _row(benchmark: str, name: str, taken: list[list[float]], facts: dict[str, Any], rate: float) -> Row:
    ours, *others = ([one[i] for one in taken] for i in range(len(taken[0])))
    ours_ms = statistics.median(ours)
    return Row(
        benchmark,
        name,
        ours_ms,
        to_torch=_quartiles(ours, others[0]),
        to_best=_quartiles(ours, min(others, key=statistics.median)),
        memory_mib=facts["memory"],
        share=facts["flops"] / ours_ms / rate,
        errors=facts["errors"],
        operations=[most(operations) for operations in facts["operations"]],
    )


def _quartiles(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return statistics.quantiles([one / other for one, other in zip(ours, theirs, strict=True)], n=4)


def most(operations: dict[str, list[float]], count: int = 4) -> list[list[Any]]:
    """Returns the operations that take most, with their shares of all of them."""
    total = sum(ms for _, ms in operations.values())
    ordered = sorted(operations.items(), key=lambda item: -item[1][1])[:count]
    return [[name, ms / total] for name, (_, ms) in ordered]


def environment() -> dict[str, Any]:
    """Says where it is measured."""
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        processor = f"{about['model name']}, family {about['cpu family']}, model {about['model']}"
    except (OSError, KeyError):
        processor = platform.processor() or platform.machine()
    return {
        "processor": f"{processor}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }


# ---- what is shown -------------------------------------------------------------------------------------

HEAD = ("to torch", "quartiles", "to its best", "memory", "share", "error", "torch's", "its best's")


def cells(row: Row) -> list[str]:
    """Formats a row's columns."""
    low, middle, high = row.to_torch
    errors = [f"{error:.0e}" for error in row.errors] if row.errors else ["", "", ""]
    share = f"{row.share:.0%}" if row.share else ""
    times = [f"{middle:.2f}", f"{low:.2f}-{high:.2f}", f"{row.to_best[1]:.2f}"]
    return [*times, f"{row.memory:.2f}", share, *errors]


def show(rows: Iterator[Row]) -> Iterator[Row]:
    """Prints a benchmark's rows as they come, and hands them on."""
    for number, row in enumerate(rows):
        if number == 0:
            print(f"\n{row.benchmark:60}" + "".join(f"{title:>13}" for title in HEAD))
        print(f"{row.name:60}" + "".join(f"{cell:>13}" for cell in cells(row)), flush=True)
        yield row


def markdown(content: dict[str, Any], plot: str | None = None) -> str:
    """Returns what ``--json`` wrote as a page: a plot, tables, and the profile of each row above 1.00."""
    about, rows = content["environment"], [Row(**row) for row in content["rows"]]
    text = (
        f"# Results on {about['processor']}\n\ntorch {about['torch']}, Python {about['python']}, "
        f"threads: {about['threads']}; processes of each row: {about['processes']}; "
        f"load of the machine when the last began: {about['load']}.\n\n"
        "[What the columns mean](index.md), and what is known about the rows above 1.00.\n"
    )
    if plot:
        text += f"\n![Ratios of all rows]({plot})\n"
    for benchmark in dict.fromkeys(row.benchmark for row in rows):
        text += f"\n## {benchmark}\n\n| | {' | '.join(HEAD)} |\n| --- |{' ---: |' * len(HEAD)}\n"
        for row in rows:
            if row.benchmark == benchmark:
                text += f"| {row.name} | {' | '.join(cells(row))} |\n"
    slow = [row for row in rows if row.to_torch[1] > 1.0]
    text += (
        "\n## Where the time goes in the rows above 1.00\n\nShares of the time inside torch's operations, "
        "first ours, then the referee's.\n\n| | to torch | ours | the referee |\n| --- | ---: | --- | --- |\n"
    )
    for row in slow:
        sides = (
            ", ".join(f"`{op}` {share:.0%}" for op, share in side if share > 0.01) for side in row.operations
        )
        text += f"| {row.benchmark}: {row.name} | {row.to_torch[1]:.2f} | {' | '.join(sides)} |\n"
    return text


def plot(rows: list[Row], file: Path) -> None:
    """Draws both ratios of every row."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "bench"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.17 * len(rows)), layout="constrained")
    places = range(len(rows))
    low, middle, high = zip(*(row.to_torch for row in rows), strict=True)
    axes.hlines(places, low, high, color="tab:blue", linewidth=2, alpha=0.5)
    axes.plot(middle, places, "o", markersize=4, color="tab:blue", label="to torch.nn, its defaults")
    best = [row.to_best[1] for row in rows]
    axes.plot(best, places, "x", markersize=4, color="tab:orange", label="to torch.nn at its best")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    ticks = [0.25, 0.5, 0.75, 1, 1.5, 2, 3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(places, [f"{row.benchmark}: {row.name}" for row in rows], fontsize=6)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("ours / theirs; left of 1 ours takes less time")
    axes.grid(axis="x", linewidth=0.3)
    figure.legend(loc="outside upper center", ncols=2)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


# ---- other modes ---------------------------------------------------------------------------------------


def beside(other: Path, names: list[str], matching: str, seconds: float) -> None:
    """Prints a table of every row, measured with the packages of both checkouts; the rows are those here."""
    head = ("ratio", "quartiles", "here ms", "other ms", "here/torch", "other/torch", "here MiB", "other MiB")
    for name in names:
        file = benchmarks(ROOT)[name]
        looking = Server(file), Server(file, other)
        rows = [row for row in looking[0].rows if matching in f"{name}: {row}"]
        if rows:
            print(f"\n{name:60}" + "".join(f"{title:>13}" for title in head))
        for row in rows:
            memory = [server.ask("memory", row)[0] for server in looking]
            pairs: list[list[list[float]]] = []
            for _ in range(PROCESSES):
                timing = Server(file), Server(file, other)
                pairs += turns(row, timing, seconds / PROCESSES)
                for server in timing:
                    server.close()
            low, middle, high = statistics.quantiles([here[0] / there[0] for here, there in pairs], n=4)
            sides = list(zip(*pairs, strict=True))
            columns = [
                *(f"{middle:.2f}", f"{low:.2f}-{high:.2f}"),
                *(f"{statistics.median(times[0] for times in side):.3f}" for side in sides),
                *(f"{statistics.median(times[0] / times[1] for times in side):.2f}" for side in sides),
                *(f"{value:.2f}" for value in memory),
            ]
            print(f"{row:60}" + "".join(f"{column:>13}" for column in columns), flush=True)
        for server in looking:
            server.close()


def profile(names: list[str], matching: str) -> None:
    """Prints where the time of rows goes, by operation."""
    for name in names:
        server = Server(benchmarks(ROOT)[name])
        for row in server.rows:
            if matching not in f"{name}: {row}":
                continue
            ours, theirs = server.ask("operations", row)
            print(f"\n{f'{name}: {row}':60}{'ours':>20}{'theirs':>20}")
            both = sorted({*ours, *theirs}, key=lambda key: -ours.get(key, [0, 0])[1])
            totals = [sum(ms for _, ms in side.values()) for side in (ours, theirs)]
            for key in both:
                pair = [side.get(key, (0, 0.0)) for side in (ours, theirs)]
                if any(took > 0.01 * total for (_, took), total in zip(pair, totals, strict=True)):
                    says = [f"{took:9.3f} ms in {count:4g}" if count else "" for count, took in pair]
                    print(f"{key[:58]:60}{says[0]:>20}{says[1]:>20}")
            print(f"{'all':60}" + "".join(f"{total:12.3f} ms{'':5}" for total in totals), flush=True)
        server.close()


def growth(file: Path, seconds: float) -> None:
    """Draws how the time of both grows with a size: a panel for each, from rows named ``size number``."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "bench"
    from matplotlib import pyplot

    server = Server(GROWTH)
    panels: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for row in server.rows:
        size, number = re.fullmatch(r"(.+) (\d+)", row).groups()  # type: ignore[union-attr]
        taken = [only for (only,) in turns(row, [server], seconds)]
        ours, theirs = (statistics.median(one[i] for one in taken) for i in (0, 1))
        panels[size].append((int(number), ours, theirs))
        print(f"{row:40}{ours:12.3f} ms{theirs:12.3f} ms{ours / theirs:8.2f}", flush=True)
    server.close()
    figure, axes = pyplot.subplots(2, math.ceil(len(panels) / 2), figsize=(10, 6), layout="constrained")
    for axis, (size, points) in zip(axes.flat, panels.items(), strict=False):
        numbers, *both = zip(*points, strict=True)
        for times, label in zip(both, ("ours", "torch.nn"), strict=True):
            power = math.log(times[-1] / times[-2]) / math.log(numbers[-1] / numbers[-2])
            axis.loglog(
                numbers, times, "o-", markersize=4, label=f"{label}, at the end as {power:.1f}th power"
            )
        axis.set_xticks(numbers, map(str, numbers))
        axis.minorticks_off()
        axis.set_title(size)
        axis.set_ylabel("ms")
        axis.legend(fontsize=7)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def use_threads(asked: int | None) -> None:
    """Sets how many threads torch has where it is imported from now on, here and in other processes."""
    os.environ["OMP_NUM_THREADS"] = str(asked or os.environ.get("OMP_NUM_THREADS") or 1)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="of benchmarks; all of them if none is given")
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only rows whose 'name: row' contains it"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="roughly, of each row (default: 6)")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="of each row (default: 3)")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of both sides (default: OMP_NUM_THREADS, or 1)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results there; other rows in it stay"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw them there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write them there as a page")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="measure another checkout in turns")
    parser.add_argument("--profile", action="store_true", help="say which operations take the time")
    parser.add_argument("--growth", type=Path, metavar="FILE", help="draw how time grows with each size")
    parser.add_argument("--serve", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads: expected at least 1, got {options.threads}")
    use_threads(options.threads)
    if options.serve:
        return serve(options.serve)
    if options.growth:
        return growth(options.growth, options.seconds)
    if options.beside and not any(options.beside.glob("packages/*/src")):
        parser.error(f"--beside: expected a checkout of this repository, got {options.beside}")
    if options.processes < 1:
        parser.error(f"--processes: expected at least 1, got {options.processes}")
    for file in filter(None, (options.json, options.markdown, options.plot)):
        if not file.parent.is_dir():  # said before minutes are spent on what could not be kept
            parser.error(f"{file}: there is no folder {file.parent}")
    files = benchmarks(ROOT)
    if unknown := set(options.names) - set(files):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(files)}")
    names = [name for name in files if name in options.names or not options.names]
    if options.beside:
        return beside(options.beside.resolve(), names, options.filter, options.seconds)
    if options.profile:
        return profile(names, options.filter)
    about = environment() | {"processes": options.processes}
    rows: list[Row] = []
    failed = []
    print(f"{about['processor']}; torch {about['torch']}; threads: {about['threads']}; load {about['load']}")
    for name in names:
        try:
            for row in show(suite([name], options.filter, options.seconds, options.processes)):
                rows.append(row)
        except RuntimeError as error:  # the others are worth having
            print(error, file=sys.stderr)
            failed.append(name)
        keep(rows, about, options)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    if not rows:
        sys.exit(f"no row contains {options.filter!r}")


def keep(rows: list[Row], about: dict[str, Any], options: argparse.Namespace) -> None:
    """Writes the rows measured so far where the options say; other rows of a ``--json`` stay in it."""
    if not rows:
        return
    if options.json and options.json.exists():
        old = (Row(**row) for row in json.loads(options.json.read_text(encoding="utf-8"))["rows"])
        measured = {(row.benchmark, row.name): row for row in [*old, *rows]}
        rows = sorted(measured.values(), key=lambda row: list(benchmarks(ROOT)).index(row.benchmark))
    content = {"environment": about, "rows": [asdict(row) for row in rows]}
    if options.json:
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        page = markdown(content, options.plot and options.plot.name)
        options.markdown.write_text(page, encoding="utf-8")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
