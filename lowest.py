"""Prints the lowest version that packages' ranges admit of each library, as pip's constraints.

``python lowest.py ds-core ds-cnn > lowest.txt && python -m pip install --constraint lowest.txt ...``
"""

import sys
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


if __name__ == "__main__":
    for name, version in lowest(sys.argv[1:]).items():
        print(f"{name}=={version}")
