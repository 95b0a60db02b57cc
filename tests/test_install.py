"""Each package installs alone: its wheel, in a fresh environment, with no more than it declares."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

# What each package stands on. A new dependency is a decision: it is made here as well as in pyproject.toml.
CORE = {"ds-core", "torch", "safetensors[torch]", "rich"}
STANDS_ON = {
    "ds-core": CORE,
    "ds-cnn": CORE | {"ds-cnn"},
    "ds-rnn": CORE | {"ds-rnn"},
    "ds-transformer": CORE | {"ds-transformer"},
    "ds-zoo": CORE | {"ds-cnn", "ds-transformer", "ds-zoo", "pillow"},
}

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")

# Which of a package's own tests run where it is installed alone: some of its referees, errors, files and
# pictures, in seconds. The rest runs there with `-m slow`, and in the package's workflow.
FEW = {
    "ds-core": "test_cli or test_pretrained or test_summary or test_pairs or test_average",
    "ds-cnn": "test_norms or test_image_files or test_pictures or test_package",
    "ds-rnn": "test_errors or test_package or test_visualize",
    "ds-transformer": "test_masks or test_visualize or test_cache",
    "ds-zoo": "test_bert_text or mistakes or test_generate",
}

# Imports every module of a package from where it is installed, so that none needs an extra to be imported.
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
assert package.__file__.startswith(sys.prefix), package.__file__
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    if not name.endswith(".__main__"):
        importlib.import_module(name)
for name in package.__all__:
    getattr(package, name)
print(len(names), "modules")
"""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the wheels of all five packages, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheels")
    packages = [str(ROOT / "packages" / name) for name in STANDS_ON]
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, *packages)
    return folder


@pytest.fixture
def python() -> Iterator[Path]:
    """Returns the interpreter of a fresh virtual environment, removed afterwards: torch fills a disk fast."""
    with tempfile.TemporaryDirectory(prefix="ds-install-", ignore_cleanup_errors=True) as folder:
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        yield Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def test_each_installs_alone(wheels: Path, python: Path, tmp_path: Path) -> None:
    """One after the other in one environment, from which what a package brought goes before the next comes.

    Only what all of them need, torch above all, stays: it takes longer to install than all the rest. In the
    second round the libraries that tests need stay, too; of our own packages there are only those declared.
    """
    stay: set[str] = set()
    for package in STANDS_ON:
        check_wheel(package, wheels)
        install(python, wheels, package)
        installed = distributions(python)
        assert set(installed) == needed(STANDS_ON[package], installed)
        run(python, "-c", IMPORT_ALL, package.replace("-", "_"), cwd=tmp_path)
        stay = stay or set(installed) - set(STANDS_ON)
        remove(python, set(installed) - stay)

    for package in STANDS_ON:
        install(python, wheels, f"{package}[test]")
        ours = set(distributions(python)) & set(STANDS_ON)
        assert ours == STANDS_ON[package] & set(STANDS_ON)
        said = run(python, *PYTEST, "-k", FEW[package], f"packages/{package}/tests", cwd=ROOT)
        assert int(re.search(r"(\d+) passed", said)[1]) >= 20
        remove(python, ours)


def check_wheel(package: str, wheels: Path) -> None:
    """Checks that a wheel carries the package, its types and its licence, and nothing else."""
    module = package.replace("-", "_")
    (wheel,) = wheels.glob(f"{module}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    information = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    assert {f"{module}/__init__.py", f"{module}/py.typed", f"{information}/licenses/LICENSE"} <= names
    assert {name.split("/")[0] for name in names} == {module, information}


@pytest.mark.slow
@pytest.mark.parametrize("package", STANDS_ON)
def test_all_tests_pass_where_it_is_installed(package: str, wheels: Path, python: Path) -> None:
    install(python, wheels, f"{package}[test]")
    run(python, *PYTEST, f"packages/{package}/tests", cwd=ROOT)
    run(python, *PYTEST, "-k", f"{package} or there_are", "tests/test_examples.py", cwd=ROOT)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Runs a command as a user would who has no checkout on the path; shows what it said if it fails."""
    unset = ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "COLUMNS")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        said = f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
        pytest.fail(f"{' '.join(map(str, command))}\n{said}", pytrace=False)
    return done.stdout


def install(python: Path, wheels: Path, requirement: str) -> None:
    """Installs the package, and those it depends on, from the wheels just built, and the rest as always."""
    options = ["--quiet", "--no-compile", "--find-links", str(wheels)]
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, requirement)
    for name, distribution in distributions(python).items():
        if name in STANDS_ON:
            assert (wheels / f"{name.replace('-', '_')}-{distribution.version}-py3-none-any.whl").exists()


def remove(python: Path, names: set[str]) -> None:
    """Removes distributions from where an interpreter is."""
    run(sys.executable, "-m", "pip", "--python", python, "uninstall", "--quiet", "--yes", *sorted(names))


def distributions(python: Path) -> dict[str, Distribution]:
    """Returns name -> distribution of all that is installed beside an interpreter."""
    where = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    found = importlib.metadata.distributions(path=[where])
    return {canonicalize_name(distribution.metadata["Name"]): distribution for distribution in found}


def needed(names: set[str], installed: dict[str, Distribution]) -> set[str]:
    """Returns these distributions and all they need in turn; what our own packages need is given by hand."""
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = frozenset(requirement.extras)
        found.add(name)
        if name in STANDS_ON or name not in installed or (name, extras) in seen:
            continue
        seen.add((name, extras))
        for line in installed[name].requires or []:
            child = Requirement(line)
            if child.marker is None or any(child.marker.evaluate({"extra": e}) for e in extras | {""}):
                waiting.append(child)
    return found
