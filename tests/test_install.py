"""Each package installs alone: its wheel, in a fresh environment, with no more than it declares."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
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
    "ds-core": ["cli.py", "pretrained.py", "summary.py", "pairs.py", "average_weights.py"],
    "ds-cnn": ["norms.py", "image_files.py", "package.py", "visualize.py::test_pictures_of_the_odd"],
    "ds-rnn": ["errors.py", "visualize.py", "package.py"],
    "ds-transformer": ["masks.py", "cache.py", "visualize.py::test_names_do_not_run_into_one_another"],
    "ds-zoo": ["bert_text.py", "reading.py", "pictures.py"],
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
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    run(sys.executable, "-m", "pip", "wheel", *options, *packages)
    return folder


@pytest.fixture
def python() -> Iterator[Path]:
    """Returns the interpreter of a fresh virtual environment, removed afterwards: torch fills a disk fast."""
    with tempfile.TemporaryDirectory(prefix="ds-install-", ignore_cleanup_errors=True) as folder:
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        yield Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.mark.parametrize("package", STANDS_ON)
def test_installs_alone(package: str, wheels: Path, python: Path, tmp_path: Path) -> None:
    """In an environment that has what the package declares and no more; then with what its tests need.

    Other people's libraries are links to those that these tests run with: unpacking them once more, torch
    above all, takes longer than all the rest. pip has no index here, so whoever needs more is not installed.
    """
    check_wheel(package, wheels)
    packages = {name: wheel_of(name, wheels) for name in STANDS_ON}
    assert declared(package, packages) == STANDS_ON[package]

    link(python, needed({package}, packages))
    install(python, wheels, package, "--no-index")
    assert set(distributions(python)) == needed({package}, packages)
    run(python, "-c", IMPORT_ALL, package.replace("-", "_"), cwd=tmp_path)

    link(python, needed({f"{package}[test]"}, packages))
    few = [f"packages/{package}/tests/test_{name}" for name in FEW[package]]
    said = run(python, *PYTEST, *few, cwd=ROOT)
    assert int(re.search(r"(\d+) passed", said)[1]) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("package", STANDS_ON)
def test_all_tests_pass_where_it_is_installed(
    package: str, wheels: Path, python: Path, tmp_path: Path
) -> None:
    """As a user installs it: libraries from the index, unpacked, in versions that PIP_CONSTRAINT admits."""
    install(python, wheels, package)
    assert set(distributions(python)) == needed({package}, distributions(python))
    run(python, "-c", IMPORT_ALL, package.replace("-", "_"), cwd=tmp_path)

    install(python, wheels, f"{package}[test]")
    run(python, *PYTEST, f"packages/{package}/tests", cwd=ROOT)
    run(python, *PYTEST, "-k", f"{package} or there_are", "tests/test_examples.py", cwd=ROOT)


def check_wheel(package: str, wheels: Path) -> None:
    """Checks that a wheel carries the package, its types and its licence, and nothing else."""
    module = package.replace("-", "_")
    (wheel,) = wheels.glob(f"{module}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    information = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    assert {f"{module}/__init__.py", f"{module}/py.typed", f"{information}/licenses/LICENSE"} <= names
    assert {name.split("/")[0] for name in names} == {module, information}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Runs a command as a user would who has no checkout on the path; shows what it said if it fails."""
    unset = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "COLUMNS")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in unset and not name.startswith("PYTEST_")
    }
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        said = f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
        pytest.fail(f"{' '.join(map(str, command))}\n{said}", pytrace=False)
    return done.stdout


def install(python: Path, wheels: Path, requirement: str, *options: str) -> None:
    """Installs the package, and those it depends on, from the wheels just built, and the rest as always."""
    options = ("--quiet", "--no-compile", "--find-links", str(wheels), *options)
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, requirement)
    for name, distribution in distributions(python).items():
        if name in STANDS_ON:
            assert (wheels / f"{name.replace('-', '_')}-{distribution.version}-py3-none-any.whl").exists()


def link(python: Path, names: set[str]) -> None:
    """Links other people's distributions from where the tests run to where an interpreter is."""
    site = Path(site_packages(python))
    for name in names - set(STANDS_ON):
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files} - {"..", "/", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))


def site_packages(python: Path) -> str:
    """Returns the folder where an interpreter's distributions are."""
    return run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()


def distributions(python: Path) -> dict[str, Distribution]:
    """Returns name -> distribution of all that is installed beside an interpreter."""
    found = importlib.metadata.distributions(path=[site_packages(python)])
    return {canonicalize_name(distribution.metadata["Name"]): distribution for distribution in found}


def wheel_of(package: str, wheels: Path) -> Distribution:
    """Returns what the wheel of a package says of it."""
    (wheel,) = wheels.glob(f"{package.replace('-', '_')}-*.whl")
    (distribution,) = importlib.metadata.distributions(path=[str(wheel)])
    return distribution


def requirements(distribution: Distribution, extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """Yields what a distribution requires here, alone or with extras."""
    for requirement in map(Requirement, distribution.requires or []):
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": e}) for e in ("", *extras)
        ):
            yield requirement


def declared(package: str, packages: Mapping[str, Distribution]) -> set[str]:
    """Returns a package, ours below it, and what these require themselves, each with its extras."""
    found = {package}
    for requirement in requirements(packages[package]):
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        found.add(requirement.name + extras)
        if requirement.name in packages:
            found |= declared(requirement.name, packages)
    return found


def needed(names: set[str], packages: Mapping[str, Distribution]) -> set[str]:
    """Returns these distributions and all they need in turn; those not in `packages` are looked up here."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) not in seen:
            seen.add((name, extras))
            try:
                found[name] = packages[name] if name in packages else importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError:
                continue  # then pip or a test misses it, if it matters
            waiting.extend(requirements(found[name], extras))
    return set(found)
