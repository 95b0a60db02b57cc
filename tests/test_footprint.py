"""What is reported of a package's weight: closures of requirements, pages of figures, tests' seconds."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def footprint() -> ModuleType:
    specification = importlib.util.spec_from_file_location("footprint", ROOT / "footprint.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_what_a_requirement_brings(footprint: ModuleType) -> None:
    requires = {
        "ds-rnn": ["ds-core>=0.2", 'ds-core[plot]; extra == "plot"', 'odd; python_version < "3"'],
        "ds-core": ["torch>=2", "rich", 'matplotlib; extra == "plot"', 'typer; extra == "cli"'],
        "torch": ["sympy"],
        "sympy": [],
        "rich": [],
        "matplotlib": ["Some_Thing.x"],
        "some-thing-x": ["matplotlib"],
    }
    alone = {"ds-rnn", "ds-core", "torch", "sympy", "rich"}
    assert footprint.brought("ds-rnn", requires) == alone
    assert footprint.brought("ds-rnn[plot]", requires) == alone | {"matplotlib", "some-thing-x"}


def test_a_page_gives_its_figures_back(footprint: ModuleType) -> None:
    figures = {"ds-core": {"MiB": 1234.4, "import above torch, s": 0.05}, "ds-cnn": {"MiB": 12.0}}
    page = footprint.PAGE + footprint.table(figures, {})
    assert footprint.read_table(page) == {
        "ds-core": {"MiB": 1234.0, "import above torch, s": 0.05},
        "ds-cnn": {"MiB": 12.0},
    }


def test_growth_is_shown(footprint: ModuleType) -> None:
    kept = {"MiB": 10.0, "tests, s": 10.0}
    assert footprint.cell("MiB", {"MiB": 10.9}, kept) == "11"
    assert footprint.cell("MiB", {"MiB": 1100.0}, kept) == "1,100 (was 10)"
    assert footprint.cell("tests, s", {"tests, s": 14.0}, kept) == "14.00"  # times vary
    assert footprint.cell("tests, s", {"tests, s": 16.0}, kept) == "16.00 (was 10.00)"


def test_seconds_of_tests_are_those_of_their_package(footprint: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    for folder in ("packages/ds-cnn/tests", "tests"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "test_one.py").write_text("def test_one():\n    sum(range(10**6))\n")
    command = [sys.executable, "-m", "pytest", "-q", "--junit-xml=tests.xml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    seconds = footprint.seconds_of_tests(tmp_path / "tests.xml")
    assert set(seconds) == {"ds-cnn", "all together"}
    assert all(second > 0 for second in seconds.values())
