"""``python -m ds_core.verify packages/*/tests/cases``: every referee on everything, in one table."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import defaultdict
from glob import glob
from pathlib import Path

import torch
from rich.console import Console, Group
from rich.progress import track
from rich.text import Text

from ds_core.devices import KINDS, pick_device
from ds_core.verify.allowed import ALLOWED
from ds_core.verify.case import load_cases
from ds_core.verify.comparison import LIMITS
from ds_core.verify.report import table, verdict
from ds_core.verify.runner import Result, package_of, run, unproven, without_case


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ds_core.verify",
        description="Check layers, losses, models, optimizers and schedules against their referees.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a case file or a folder of them")
    parser.add_argument("--match", default="", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument(
        "--dtype", choices=["float64", "float32"], default="float64", help="of all numbers (default: float64)"
    )
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help=f"where to compute: {KINDS}")
    options = parser.parse_args(arguments)
    try:
        device = pick_device(options.device, "--device")
        if device.type == "mps" and options.dtype == "float64":
            raise ValueError("--device mps: Apple's has no float64; give --dtype float32, too")
        # Where the shell does not expand packages/*/tests/cases, it is done here.
        paths = [Path(found) for path in options.paths for found in sorted(glob(path)) or [path]]
        cases = load_cases(*paths)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    chosen = [case for case in cases if options.match.lower() in case.name.lower()]
    if not chosen:
        parser.error(f"no case has {options.match!r} in its name")
    dtype = getattr(torch, options.dtype)
    progress = Console(stderr=True)
    live = track(chosen, "Verifying", console=progress, transient=True, disable=not progress.is_terminal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tests show them; here they would tear the table apart
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # the namesakes' convolutions, too, are float32's
        results = [run(case, dtype, device=device) for case in live]
    # Only whole packages can be complete.
    whole = [path for path in paths if path.is_dir() and not options.match]
    packages = [package for path in whole if (package := package_of(path))]
    missing = [f"{name} is public" for package in packages for name in without_case(package, cases)]
    missing += [f"{name} is declared" for package in packages for name in unproven(package, cases)]
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(_show(results, missing, dtype, device))
    reasons: dict[str, list[str]] = defaultdict(list)
    for case in chosen:
        if case.no_namesake:
            reasons[case.no_namesake].append(case.name)
    for reason, names in reasons.items():
        console.print(Text(f"No namesake, {reason}: {'; '.join(names)}", style="dim"))
    executed = {name.removesuffix("_") for result in results for name in result.operations.counts}
    unused = sorted(set(ALLOWED) - executed)
    if unused and len(packages) > 1:
        console.print(Text(f"Allowed, but executed by no case: {' '.join(unused)}", style="dim"))
    return 0 if not missing and all(result.ok for result in results) else 1


def _show(results: list[Result], missing: list[str], dtype: torch.dtype, device: torch.device) -> Group:
    """Draws the table and what follows from it."""
    place = "" if device.type == "cpu" else f" on {device}"
    title = f"Largest relative errors, {str(dtype).removeprefix('torch.')}{place}"
    columns = (
        "name",
        "torch's\nautograd",
        "finite\ndifferences",
        "namesake",
        "kernel and\nformula",
        "operations\nin the list",
    )
    shown = table(title, *columns)
    for result in results:
        errors = (result.tape, result.differences, result.namesake)
        cells = [verdict(error, limit) for error, limit in zip(errors, result.limits, strict=True)]
        cells.append(verdict(result.kernel, result.limits.tape))
        if result.operations.outside():
            cells.append(Text("no ✗", style="bold red"))
        elif result.operations.counts:
            cells.append(Text("yes ✓", style="green"))
        else:
            cells.append(Text("-", style="dim"))
        shown.add_row(Text(result.name, style="" if result.ok else "bold red"), *cells)
    failed = [result for result in results if not result.ok]
    lines = [Text(f"✗ {r.name}: {problem}", style="bold red") for r in failed for problem in r.problems]
    lines += [Text(f"✗ {name}, but in no case", style="bold red") for name in missing]
    limits = LIMITS[dtype]
    fast = sum(result.kernel is not None for result in results)
    summary = f"{len(results) - len(failed)} of {len(results)} cases pass, {fast} of them with kernels: "
    summary += f"autograd up to {limits.tape:g}, "
    if dtype == torch.float64:
        summary += f"finite differences up to {limits.differences:g}, "
    style = "bold red" if failed or missing else "bold green"
    return Group(shown, *lines, Text(f"{summary}namesake up to {limits.namesake:g}.", style=style))


if __name__ == "__main__":
    sys.exit(main())
