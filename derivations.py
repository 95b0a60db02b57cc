"""Says where everything public that has mathematics of its own is derived: ``hatch run derivations``.

A section of a theory page says it of itself, in a line below its heading: Derives `LayerNorm`, `RMSNorm`.
For every public layer, activation, loss, metric, optimizer, schedule, model and search the command prints
page and section; it ends with an error if one has none.
"""

import argparse
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

from ds_core import Module
from ds_core.metrics import Metric
from ds_core.optimizers import Optimizer
from ds_core.schedulers import Scheduler

ROOT = Path(__file__).parent
PACKAGES = ("ds_core", "ds_cnn", "ds_rnn", "ds_transformer", "ds_zoo")
KINDS = (Module, Metric, Optimizer, Scheduler)
SEARCHES = ("greedy_search", "beam_search", "sample")
# What others are made from: no formula of their own.
BASES = {
    *("Activation", "Loss", "ClassLoss", "MarginLoss", "PointwiseLoss", "Metric", "Optimizer", "Scheduler"),
    *("ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "SequenceModel", "SequenceToSequence"),
}


def public() -> dict[str, Any]:
    """Returns name -> class or function of all that must be derived."""
    found: dict[str, Any] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for part in pkgutil.walk_packages(module.__path__, f"{package}."):
            if part.name.endswith("__main__") or ".cli" in part.name or ".verify" in part.name:
                continue
            part_of = importlib.import_module(part.name)
            for name in getattr(part_of, "__all__", ()):
                thing = getattr(part_of, name)
                is_kind = inspect.isclass(thing) and issubclass(thing, KINDS) and name not in BASES
                if (is_kind or name in SEARCHES) and thing.__module__.startswith(package):
                    found.setdefault(thing.__name__, thing)
    return found


def derived() -> dict[str, tuple[str, str]]:
    """Returns name -> (page, section) of what the theory pages say they derive."""
    found = {}
    for page in sorted(ROOT.glob("packages/*/theory/*.md")):
        heading = ""
        for paragraph in page.read_text(encoding="utf-8").split("\n\n"):
            for line in paragraph.splitlines():
                if line.startswith("#"):
                    heading = line.lstrip("# ")
            if paragraph.startswith("Derives "):
                for name in re.findall(r"`(\w+)`", paragraph):
                    found.setdefault(name, (str(page.relative_to(ROOT / "packages")), heading))
    return found


def main(words: list[str] | None = None) -> int:
    """Prints the list; returns 1 if something is derived nowhere."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args(words)
    wanted, places = public(), derived()
    for name, thing in wanted.items():
        package = thing.__module__.split(".")[0]
        page, section = places.get(name, ("derived nowhere", ""))
        print(f"{package:15} {name:34} {page:50} {section}")
    missing = [name for name in wanted if name not in places]
    print(f"\n{len(wanted) - len(missing)} of {len(wanted)} are derived")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
