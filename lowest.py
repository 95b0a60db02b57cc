"""Prints the lowest version that packages' ranges admit of each library, as pip's constraints.

``python lowest.py ds-core ds-cnn > lowest.txt && python -m pip install --constraint lowest.txt ...``
"""

import argparse
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent


def lowest(packages: list[str]) -> dict[str, str]:
    """Returns library -> lowest version with which these packages install, their extras included."""
    found: dict[str, str] = {}
    for package in packages:
        file = ROOT / "packages" / package / "pyproject.toml"
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        for line in sum(project["optional-dependencies"].values(), project["dependencies"]):
            requirement = Requirement(line)
            if not (ROOT / "packages" / requirement.name).is_dir():
                (low,) = (part.version for part in requirement.specifier if part.operator == ">=")
                found[requirement.name] = max(found.get(requirement.name, low), low, key=Version)
    return dict(sorted(found.items()))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    known = sorted(file.parent.name for file in ROOT.glob("packages/*/pyproject.toml"))
    parser.add_argument("packages", nargs="+", choices=known, metavar="PACKAGE", help=", ".join(known))
    for name, version in lowest(parser.parse_args().packages).items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
