"""Each package is whole: its files, its version, its ranges, and the workflow that checks it."""

import importlib
import re
import sys
import tomllib
from importlib.metadata import metadata, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ["ds-core", "ds-cnn", "ds-rnn", "ds-transformer", "ds-zoo"]


def ours(package: str) -> dict[str, Requirement]:
    """Returns those of our packages that a package depends on itself, without its extras."""
    lines = [Requirement(line) for line in requires(package) or []]
    return {line.name: line for line in lines if line.name in PACKAGES and line.marker is None}


def with_those_below(package: str) -> set[str]:
    """Returns a package and all of ours below it."""
    return {package}.union(*(with_those_below(below) for below in ours(package)))


def others(package: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Returns what a package and ours below it require of other people's, alone or with extras."""
    found: set[str] = set()
    for line in map(Requirement, requires(package) or []):
        if line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            line.marker = None
            found |= others(line.name, frozenset(line.extras)) if line.name in PACKAGES else {str(line)}
    return found


def test_the_environment_of_the_zoo_has_what_its_command_line_declares() -> None:
    zoo = tomllib.loads((ROOT / "hatch.toml").read_text(encoding="utf-8"))["envs"]["zoo"]
    assert set(zoo["dependencies"]) == others("ds-zoo", frozenset({"cli", "detection"}))
    folders = [f"{{root}}/packages/{name}/src" for name in sorted(with_those_below("ds-zoo"))]
    assert sorted(zoo["env-vars"]["PYTHONPATH"].split("{;}")) == sorted(folders)


@pytest.mark.parametrize("module", ["ds_rnn.cli", "ds_transformer.cli", "ds_zoo.cli", "ds_core.learn.cli"])
def test_a_command_line_without_typer_names_the_extra(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(module).main
    for name in ("typer", "typer.core"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "needs the package typer, of the extra ds-core[cli]: pip install typer" in capsys.readouterr().err


def test_there_are_these_packages() -> None:
    assert sorted(path.name for path in (ROOT / "packages").glob("[!.]*")) == sorted(PACKAGES)


PAGES = [
    page
    for pattern in ("*.md", "docs/**/*.md", "packages/**/*.md", "packages/**/*.ipynb")
    for page in sorted(ROOT.glob(pattern))
    if page.name != "CHANGELOG.md"
]


def test_instructions_install_from_a_checkout_with_all_that_is_needed_of_ours() -> None:
    """An index may hold another's package of the same name: until ours are there, none is fetched from it."""
    instructions = {
        (page.name, words.replace("\\", ""))
        for page in PAGES
        for words in re.findall(r"pip install ([^`\n]*)", page.read_text(encoding="utf-8"))
    }
    assert len(instructions) > 30
    for page, words in instructions:
        folders = re.findall(r"(?<!\S)\"?\./packages/(ds-[a-z]+)", words)
        assert sorted(re.findall(r"ds-[a-z]+", words)) == sorted(folders), f"{page}: {words}"
        assert set(folders) == set().union(*map(with_those_below, folders)), f"{page}: {words}"


@pytest.mark.parametrize("package", PACKAGES)
def test_files(package: str) -> None:
    folder = ROOT / "packages" / package
    for name in ("README.md", "CHANGELOG.md", f"src/{package.replace('-', '_')}/py.typed"):
        assert (folder / name).is_file(), name
    for name in ("tests", "examples", "theory", "benchmarks"):
        assert any((folder / name).iterdir()), f"{name} is empty, so git loses it"
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("package", PACKAGES)
def test_version(package: str) -> None:
    here = importlib.import_module(package.replace("-", "_")).__version__
    assert version(package) == here
    assert f"\n## [{here}]" in (ROOT / "packages" / package / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("package", PACKAGES)
def test_metadata(package: str) -> None:
    says = metadata(package)
    assert says["License-Expression"] == "MIT"
    assert says["Requires-Python"] == ">=3.11"
    assert {"test"} <= set(says.get_all("Provides-Extra"))


@pytest.mark.parametrize("package", PACKAGES)
def test_ranges_between_our_packages(package: str) -> None:
    for name, requirement in ours(package).items():
        assert requirement.specifier.contains(version(name)), requirement
        assert any(part.operator == "<" for part in requirement.specifier), f"{requirement} has no upper end"


@pytest.mark.parametrize("package", PACKAGES)
def test_workflow_runs_when_it_or_a_package_below_changes(package: str) -> None:
    file = ROOT / ".github" / "workflows" / f"{package.replace('ds-', 'ci-')}.yml"
    workflow = yaml.safe_load(file.read_text())
    triggers = workflow[True]  # YAML reads the key `on` as a truth value
    folders = {path.split("/")[1] for path in triggers["push"]["paths"] if path.startswith("packages/")}
    assert folders == with_those_below(package)
    assert triggers["pull_request"]["paths"] == triggers["push"]["paths"]
    (job,) = workflow["jobs"].values()
    assert set(job["with"]["packages"].split()) == with_those_below(package)
    assert job["with"]["packages"].split()[-1] == package
