"""Measures what each package weighs, each in a fresh environment: ``hatch run footprint``.

Printed as Markdown: the wheel's size; what an installation brings, in all and besides torch and what torch
needs; what importing takes above ``import torch``, and what all its names take; what each extra adds; and
with ``--tests``, a file that ``hatch run test --junit-xml=FILE`` wrote, the seconds of each package's tests.
The README's first example must run there, too. Beside a figure stands the one kept in ``docs/footprint.md``
if they differ by more than a tenth, times by more than a half; ``--write`` keeps those of this run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent
KEPT = ROOT / "docs" / "footprint.md"
PACKAGES = ("ds-core", "ds-cnn", "ds-rnn", "ds-transformer", "ds-zoo")
Figures = dict[str, dict[str, float]]  # package -> what is measured -> how much
PAGE = """# What an installation brings

Each package alone, in an environment of its own, with the torch for processors: what
`hatch run footprint --write` found. An import's time is the processor's, once torch is imported; a name is
loaded when it is first asked for, and `from ds_core import *` asks for all.

"""

# What is installed: name -> MiB of its files.
INSTALLED = """
import importlib.metadata, json, os
sizes = {}
for distribution in importlib.metadata.distributions():
    files = (str(file.locate()) for file in distribution.files or ())
    name = distribution.metadata["Name"].lower().replace("_", "-").replace(".", "-")
    sizes[name] = sum(os.path.getsize(f) for f in files if os.path.isfile(f)) / 2**20
print(json.dumps(sizes))
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Runs a command as a user would, without this process's path; returns what it printed."""
    ours = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def import_seconds(python: Path, module: str, rounds: int = 3) -> list[float]:
    """Returns the processor's time for a module's import once torch is imported, and for all its names."""
    started, clock = "import time, torch; start = time.process_time()", "time.process_time() - start"
    timed = f"import {module}; print({clock}); from {module} import *; print({clock})"
    run(python, "-c", f"from {module} import *")  # compiles it
    pairs = [run(python, "-c", f"{started}; {timed}").split() for _ in range(rounds)]
    return [statistics.median(map(float, times)) for times in zip(*pairs, strict=True)]


def measure(package: str, wheels: Path, requires: dict[str, list[str]]) -> dict[str, float]:
    """Installs a package alone in a fresh environment and returns its figures."""
    (wheel,) = wheels.glob(f"{package.replace('-', '_')}-*.whl")
    with tempfile.TemporaryDirectory(prefix="ds-footprint-") as folder:
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        python = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        install = (sys.executable, "-m", "pip", "--python", python, "install", "-qq", "--no-compile")
        run(*install, "--find-links", wheels, package)
        sizes = json.loads(run(python, "-c", INSTALLED))
        ours = set(sizes) - brought("torch", requires)
        bare, full = import_seconds(python, package.replace("-", "_"))
        found = {
            "wheel, KiB": wheel.stat().st_size / 1024,
            "distributions": len(sizes),
            "besides torch's": len(ours),
            "MiB": sum(sizes.values()),
            "besides torch's, MiB": sum(sizes[name] for name in ours),
            "import above torch, s": bare,
            "all its names above torch, s": full,
        }
        readme = (ROOT / "packages" / package / "README.md").read_text(encoding="utf-8")
        first, *_ = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        run(python, "-c", first, cwd=Path(folder))
    for extra in extras(package):
        more = brought(f"{package}[{extra}]", requires) - set(sizes)
        found[f"`[{extra}]`, more distributions"] = len(more)
    return found


def extras(package: str) -> list[str]:
    """Returns the extras that users install."""
    file = ROOT / "packages" / package / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    return [extra for extra in project["optional-dependencies"] if extra != "test"]


def resolved(wheels: Path) -> dict[str, list[str]]:
    """Returns what each distribution requires, of all that pip would install for our packages and extras."""
    everything = [f"{package}[{','.join(extras(package))}]" for package in PACKAGES]
    options = ("-qq", "--dry-run", "--ignore-installed", "--report", "-", "--find-links", wheels)
    report = json.loads(run(sys.executable, "-m", "pip", "install", *options, *everything))
    found = (entry["metadata"] for entry in report["install"])
    return {canonicalize_name(one["name"]): one.get("requires_dist", []) for one in found}


def brought(requirement: str, requires: dict[str, list[str]]) -> set[str]:
    """Returns the names of all distributions that a requirement brings, its own among them."""
    seen: set[tuple[str, str]] = set()  # each name once without an extra, and once with each
    waiting = [Requirement(requirement)]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        for extra in {"", *one.extras} - {extra for other, extra in seen if other == name}:
            seen.add((name, extra))
            lines = map(Requirement, requires[name])
            waiting += [line for line in lines if not line.marker or line.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def seconds_of_tests(file: Path) -> dict[str, float]:
    """Returns the seconds of each package's tests, by a report in JUnit's format."""
    seconds: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(file).iter("testcase"):
        match = re.match(r"packages\.(ds-[a-z]+)\.", case.get("classname", ""))
        seconds[match[1] if match else "all together"] += float(case.get("time", 0))
    return seconds


def table(figures: Figures, kept: Figures) -> str:
    """Formats the figures, a package a column, beside the kept ones from which they differ."""
    lines = ["| | " + " | ".join(figures) + " |", "| --- |" + " ---: |" * len(figures)]
    for row in dict.fromkeys(row for found in figures.values() for row in found):
        cells = [cell(row, figures[package], kept.get(package, {})) for package in figures]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def read_table(text: str) -> Figures:
    """Reads the figures of a page's table."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    (_, *packages), _, *rows = [[word.strip() for word in words] for words in lines]
    found: Figures = {package: {} for package in packages}
    for row, *cells in rows:
        for package, value in zip(packages, cells, strict=True):
            if value:
                found[package][row] = float(value.replace(",", ""))
    return found


def cell(row: str, figures: dict[str, float], kept: dict[str, float]) -> str:
    """Formats one figure, and the kept one if it is another by a tenth, or a time by a half."""
    digits, part, least = (2, 0.5, 0.1) if row.endswith(", s") else (0, 0.1, 0.5)
    value, before = figures.get(row), kept.get(row)
    text = "" if value is None else f"{value:,.{digits}f}"
    if value is None or before is None or abs(value - before) <= max(part * before, least):
        return text
    return f"{text} (was {before:,.{digits}f})"


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", nargs="*", default=PACKAGES, metavar="PACKAGE")
    parser.add_argument("--write", action="store_true", help=f"write {KEPT.relative_to(ROOT)}")
    parser.add_argument("--tests", type=Path, metavar="FILE", help="JUnit's report of a run of all tests")
    options = parser.parse_args()
    if unknown := set(options.packages) - set(PACKAGES):
        parser.error(f"no package {', '.join(sorted(unknown))}; there are {', '.join(PACKAGES)}")
    with tempfile.TemporaryDirectory() as folder:
        every = [str(ROOT / "packages" / name) for name in PACKAGES]
        run(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", folder, *every)
        requires = resolved(Path(folder))
        figures = {package: measure(package, Path(folder), requires) for package in options.packages}
    if options.tests:
        for package, seconds in sorted(seconds_of_tests(options.tests).items()):
            figures.setdefault(package, {})["tests, s"] = seconds
    kept = read_table(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    print(table(figures, kept))
    if options.write:
        now = {package: kept.get(package, {}) | figures.get(package, {}) for package in kept | figures}
        KEPT.write_text(PAGE + table(now, {}), encoding="utf-8")


if __name__ == "__main__":
    main()
