"""Measures what each package weighs, each in a fresh environment: ``hatch run footprint``.

Printed as Markdown: the wheel's size, what an installation brings (distributions, MiB, and how much of it
is torch), what importing takes above ``import torch``, and whether the README's example runs there; then
what each extra adds. Beside each figure stands what ``docs/footprint.json`` says, if it differs by more
than a tenth; ``--write`` writes that file.
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
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
KEPT = ROOT / "docs" / "footprint.json"
PACKAGES = ("ds-core", "ds-cnn", "ds-rnn", "ds-transformer", "ds-zoo")

# What is installed: name -> MiB of its files.
INSTALLED = """
import importlib.metadata, json, os
sizes = {}
for distribution in importlib.metadata.distributions():
    files = (str(file.locate()) for file in distribution.files or ())
    sizes[distribution.metadata["Name"]] = sum(os.path.getsize(f) for f in files if os.path.isfile(f)) / 2**20
print(json.dumps(sizes))
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Runs a command without this process's path; returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def seconds(python: Path, statement: str) -> float:
    """Returns how long a fresh interpreter takes for a statement."""
    start = time.perf_counter()
    run(python, "-c", statement)
    return time.perf_counter() - start


def import_seconds(python: Path, module: str, rounds: int = 7) -> float:
    """Returns the median of how much longer the module's import takes than torch's, in turns."""
    for name in ("torch", module):
        seconds(python, f"import {name}")  # compiled, and in the disk's cache
    turns = [(seconds(python, f"import {module}"), seconds(python, "import torch")) for _ in range(rounds)]
    return statistics.median(ours - torch for ours, torch in turns)


def measure(package: str, wheels: Path) -> dict[str, float]:
    """Installs a package alone in a fresh environment and returns its figures."""
    (wheel,) = wheels.glob(f"{package.replace('-', '_')}-*.whl")
    with tempfile.TemporaryDirectory(prefix="ds-footprint-") as folder:
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        python = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile")
        run(*install, "--find-links", wheels, package)
        sizes = json.loads(run(python, "-c", INSTALLED))
        found = {
            "wheel, KiB": wheel.stat().st_size / 1024,
            "distributions": len(sizes),
            "MiB": sum(sizes.values()),
            "without torch, MiB": sum(size for name, size in sizes.items() if name != "torch"),
            "import above torch, s": import_seconds(python, package.replace("-", "_")),
        }
        readme = (ROOT / "packages" / package / "README.md").read_text(encoding="utf-8")
        for code in re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
            run(python, "-c", code, cwd=Path(folder))
        for extra in extras(package):
            more = planned(f"{package}[{extra}]", wheels) - set(sizes)
            found[f"`[{extra}]`, more distributions"] = len(more)
    return found


def extras(package: str) -> list[str]:
    """Returns the extras that users install."""
    file = ROOT / "packages" / package / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    return [extra for extra in project["optional-dependencies"] if extra != "test"]


def planned(requirement: str, wheels: Path) -> set[str]:
    """Returns the names of all that pip would install for a requirement in an empty environment."""
    options = ("--quiet", "--dry-run", "--ignore-installed", "--report", "-", "--find-links", wheels)
    report = json.loads(run(sys.executable, "-m", "pip", "install", *options, requirement))
    return {entry["metadata"]["name"] for entry in report["install"]}


def table(figures: dict[str, dict[str, float]], kept: dict[str, dict[str, float]]) -> str:
    """Formats the figures, a package a column, beside the kept ones where they differ by a tenth."""
    rows: dict[str, Any] = {row: None for found in figures.values() for row in found}
    lines = ["| | " + " | ".join(figures) + " |", "| --- |" + " ---: |" * len(figures)]
    for row in rows:
        cells = []
        for package, found in figures.items():
            value, before = found.get(row), kept.get(package, {}).get(row)
            text = "" if value is None else f"{value:.2f}" if row.endswith(", s") else f"{value:,.0f}"
            if value is not None and before is not None and abs(value - before) > max(0.1 * before, 0.05):
                text += f" (was {before:,.2f})" if row.endswith(", s") else f" (was {before:,.0f})"
            cells.append(text)
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", nargs="*", default=PACKAGES, metavar="PACKAGE")
    parser.add_argument("--write", action="store_true", help=f"write {KEPT.relative_to(ROOT)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        every = [str(ROOT / "packages" / name) for name in PACKAGES]
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, *every)
        figures = {package: measure(package, Path(folder)) for package in options.packages}
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    print(table(figures, kept))
    if options.write:
        KEPT.parent.mkdir(exist_ok=True)
        rounded = {p: {row: round(value, 2) for row, value in rows.items()} for p, rows in figures.items()}
        KEPT.write_text(json.dumps(kept | rounded, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
