"""``python -m ds_core.kernels.tune``: measures which products go to oneDNN here, and the rates."""

from __future__ import annotations

import argparse
import errno
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from torch import Tensor

from ds_core.kernels.matmul import (
    ALL,
    FORMS,
    TORCH,
    Rates,
    Rule,
    Table,
    bmm,
    mm,
    processor,
    table_in_force,
    tuned_name,
    tuned_path,
    use_table,
)
from ds_core.training.files import atomic_write
from ds_core.verify.report import table as new_table

# n, k, m: steps of an LSTM and an MLP, blocks of a Transformer, convolutions as products.
SIZES = [
    (32, 64, 64),
    (32, 128, 128),
    (128, 512, 10),
    (256, 27, 64),
    (32, 128, 512),
    (512, 64, 64),
    (32, 256, 1024),
    (1024, 147, 64),
    (1536, 128, 128),
    (128, 512, 512),
    (1024, 576, 64),
    (128, 784, 512),
    (1536, 128, 384),
    (1536, 512, 128),
    (2048, 256, 256),
    (512, 512, 512),
    (196, 2304, 256),
    (512, 784, 512),
    (1024, 1024, 512),
    (2048, 256, 1024),
]
# N, n, k, m: attention's two products, Winograd's sixteen.
BATCHES = [
    (64, 32, 32, 32),
    (48, 64, 32, 64),
    (48, 128, 32, 128),
    (48, 128, 128, 32),
    (16, 256, 64, 64),
    (16, 256, 256, 64),
    (8, 512, 64, 512),
    (16, 256, 128, 128),
    (16, 64, 512, 512),
    (8, 256, 256, 256),
    (4, 1024, 256, 256),
]
# A rule is not worth other bits unless the products it sends to oneDNN take this much less, in the mean.
GAIN = 0.95
# Products of this many operations run at the rate that a processor has for their form and sides.
LARGE = 1e7
# Products of few and of many columns, as of convolutions: n, k and both m.
NARROW = (2304, 144, 16, 128)
# On a quiet machine a large product gets all the time of its threads; on a busy one, times say nothing.
QUIET = 0.8


@dataclass(frozen=True)
class Measured:
    """One product by both."""

    form: str
    size: tuple[int, ...]  # (N,) n, k, m
    torch_us: float
    onednn_us: float

    @property
    def flops(self) -> int:
        """Returns the arithmetic, of a batch all of it."""
        return 2 * math.prod(self.size)

    @property
    def side(self) -> int:
        """Returns the least of n, k and m."""
        return min(self.size[-3:])

    @property
    def ratio(self) -> float:
        """Returns oneDNN's time over torch's."""
        return self.onednn_us / self.torch_us


def measure(form: str, size: tuple[int, ...], seconds: float = 0.3) -> Measured:
    """Measures one product by both in turns, and returns the medians.

    Args:
        form: one of those of :mod:`ds_core.kernels.matmul`.
        size: n, k and m, for batches N before them.
        seconds: roughly how long.
    """
    a, b = operands(form, size)
    product: Callable[[Tensor, Tensor], Tensor] = bmm if form == "batched" else mm
    times: dict[str, list[float]] = {"torch": [], "onednn": []}
    end = time.perf_counter() + seconds
    turn = 0
    with torch.no_grad():
        while turn < 7 or (time.perf_counter() < end and turn < 500):
            for name in times if turn % 2 else reversed(times):
                with use_table(TORCH.name if name == "torch" else ALL.name):
                    start = time.perf_counter()
                    product(a, b)
                    taken = time.perf_counter() - start
                if turn > 1:  # the first two warm up
                    times[name].append(taken)
            turn += 1
    return Measured(form, size, *(statistics.median(times[name]) * 1e6 for name in ("torch", "onednn")))


def operands(form: str, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Draws two factors that lie in memory as a form says."""
    *batch, n, k, m = size
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(*batch, *((k, n) if form == "tn" else (n, k)), generator=generator)
    b = torch.randn(*batch, *((m, k) if form == "nt" else (k, m)), generator=generator)
    return a.mT if form == "tn" else a, b.mT if form == "nt" else b


def rule_from(rows: Sequence[Measured]) -> Rule | None:
    """Returns the rule under which the measured products of a form take least time, in the geometric mean.

    None if those it would send to oneDNN do not gain 5 %.
    """

    def chosen(rule: Rule) -> list[float]:
        return [math.log(row.ratio) for row in rows if row.flops >= rule.flops and row.side >= rule.side]

    candidates = [Rule(row.flops, side) for row in rows for side in sorted({row.side for row in rows})]
    # Of equals the one that sends least there.
    best = min(candidates, key=lambda rule: (sum(chosen(rule)), -rule.flops, -rule.side))
    gains = chosen(best)
    return best if gains and statistics.mean(gains) <= math.log(GAIN) else None


def rates_from(rows: Sequence[Measured], seconds: float = 0.3) -> Rates:
    """Returns the machine's rates: that of the slower large products, that of copies, what few columns cost.

    A convolution's products have few columns, and those are the slower ones: three of four are faster.
    Copied are runs of 64 numbers that lie apart, as what a convolution sees, into memory used before, and as
    many for each thread as its own cache holds. Of m columns, a product takes the time of m + narrow.
    """
    x = torch.randn(1024 * torch.get_num_threads(), 2, 64)[:, 0]
    copied = torch.empty(x.shape)
    n, k, few, many = NARROW
    a, b = torch.randn(n, k), torch.randn(k, many)
    parts = b[:, :few].contiguous(), b
    with torch.no_grad(), use_table(TORCH.name):
        (copy,) = medians([lambda: copied.copy_(x)], seconds)  # alone: others would empty the cache
        took = medians([lambda: mm(a, parts[0]), lambda: mm(a, parts[1])], seconds)
    large = [row for row in rows if row.flops >= LARGE] or rows
    speeds = sorted(row.flops / min(row.torch_us, row.onednn_us) for row in large)
    one = (took[1] - took[0]) / (many - few)  # a column's time
    narrow = took[0] / one - few if one > 0 else 0.0
    return Rates(speeds[len(speeds) // 4] / 1e3, x.numel() / copy / 1e9, min(max(0.0, narrow), 4.0 * few))


def block_from(rules: Mapping[str, Rule], seconds: float = 0.3) -> float:
    """Returns how many numbers a block has: those of an unknown machine, or two or four times as many.

    The fewest that take at most 2 % more time a number than any. Of scores of attention: a product that makes
    them, powers of two, a product that takes them.
    """
    keys, width = 768, 64
    k, v = torch.randn(width, keys), torch.randn(keys, width)

    def work(numbers: float) -> Callable[[], object]:
        q, scores = torch.randn(int(numbers) // keys, width), torch.empty(int(numbers) // keys, keys)
        return lambda: mm(mm(q, k, out=scores).exp2_(), v)

    sizes = [Rates().block * times for times in (1, 2, 4)]
    with torch.no_grad(), use_table(Table("block", rules).content()):
        took = medians([work(size) for size in sizes], seconds)
    each = [taken / size for taken, size in zip(took, sizes, strict=True)]
    return next(size for size, one in zip(sizes, each, strict=True) if one <= 1.02 * min(each))


def medians(works: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Does several things in turns, and returns the median of the seconds that each takes."""
    times: list[list[float]] = [[] for _ in works]
    end = time.perf_counter() + seconds * len(works)
    while len(times[0]) < 5 or time.perf_counter() < end:
        for work, taken in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def share_of_processor(seconds: float = 0.5) -> float:
    """Returns which part of its threads' time a large product really gets: 1 on an otherwise idle machine."""
    a, b = operands("nn", SIZES[-1])
    mm(a, b)
    start, used = time.perf_counter(), time.process_time()
    while time.perf_counter() < start + seconds:
        mm(a, b)
    return (time.process_time() - used) / (time.perf_counter() - start) / torch.get_num_threads()


def write(path: Path, rules: dict[str, Rule], rates: Rates, rows: Sequence[Measured]) -> Table:
    """Writes a tuned table, all or nothing."""
    table = Table(tuned_name(rules, rates), rules, rates)
    content = table.content() | {
        "processor": asdict(processor()),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "measured": [
            f"{row.form} {'x'.join(map(str, row.size))}: {row.torch_us:.0f} us torch's, {row.ratio:.2f} times"
            for row in rows
        ],
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return table


def _check_place(path: Path) -> None:
    """Raises an OSError if no file can be written there; one that is there stays as it is."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected a file, got a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=path.parent):
        pass


def _products() -> Iterator[tuple[str, tuple[int, ...]]]:
    for form in FORMS:
        for size in BATCHES if form == "batched" else SIZES:
            yield form, size


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="hatch run tune",
        description="Measures which matrix products oneDNN computes faster than torch.mm on this machine, "
        "and keeps the answer for this processor, torch and number of threads. The machine should do "
        "nothing else meanwhile.",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="for this number of threads; else torch's")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each product (default: %(default)s)")
    parser.add_argument("--anyway", action="store_true", help="keep the table even if the machine is busy")
    parser.add_argument("--output", type=Path, metavar="PATH", help="another place for the table")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        if options.threads < 1:
            parser.error(f"--threads: expected at least 1, got {options.threads}")
        torch.set_num_threads(options.threads)
    path = options.output or tuned_path()
    try:
        _check_place(path)
    except OSError as error:
        parser.error(f"--output: {error}")
    use_table("onednn")
    if table_in_force()["name"] != "onednn":
        return 1  # the warning has said why
    console, progress = Console(emoji=False), Console(stderr=True)
    before = share_of_processor()
    live = track(
        list(_products()), "Measuring", console=progress, transient=True, disable=not progress.is_terminal
    )
    rows = [measure(form, size, options.seconds) for form, size in live]
    share = min(before, share_of_processor())
    if share < QUIET and not options.anyway:
        progress.print(
            f"[bold red]Nothing kept:[/] others use the processor, a large product got {share:.0%} of its "
            "threads' time. Try again when it is quiet, or with --threads for fewer; --anyway keeps what was "
            "measured.",
            highlight=False,
            soft_wrap=True,
        )
        return 1
    rules = {form: rule for form in FORMS if (rule := rule_from([row for row in rows if row.form == form]))}
    rates = rates_from(rows)._replace(block=block_from(rules))

    here = processor()
    shown = new_table(
        f"Products on {here.vendor} family {here.family}, {here.capability}, torch {torch.__version__}, "
        f"threads: {torch.get_num_threads()}",
        *("form", "size", "torch µs", "oneDNN µs", "ratio", "goes to"),
    )
    for row in rows:
        rule = rules.get(row.form)
        sent = rule is not None and row.flops >= rule.flops and row.side >= rule.side
        size = " × ".join(map(str, row.size))
        times = f"{row.torch_us:.0f}", f"{row.onednn_us:.0f}", f"{row.ratio:.2f}"
        shown.add_row(row.form, size, *times, "oneDNN" if sent else "torch")
    console.print(shown)
    for form in FORMS:
        rule = rules.get(form)
        says = f"oneDNN from {rule.flops:.2g} operations and sides of {rule.side}" if rule else "torch"
        console.print(f"{form:8} {says}", highlight=False)
    console.print(
        f"{rates.product:.0f} operations of a product, {rates.copy:.1f} numbers moved in a nanosecond; "
        f"products run at half the rate with {rates.narrow:.0f} columns; blocks of {rates.block:,.0f} scores",
        highlight=False,
    )
    try:
        written = write(path, rules, rates, rows)
    except OSError as error:  # after the table is shown: what was measured is not lost
        progress.print(f"[bold red]Not kept:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 1
    console.print(f"Kept as {written.name} in {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
