"""The scripts at the root: each says what it does, and refuses what it does not know."""

import ast
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(file.name for file in ROOT.glob("*.py") if file.name != "conftest.py")
each = pytest.mark.parametrize("script", SCRIPTS)


def run(script: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Runs a script as ``python SCRIPT WORDS``; returns its exit status."""
    monkeypatch.setattr("sys.argv", [script, *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    return ended.value.code


@each
def test_help_says_what_it_does(script, monkeypatch, capsys) -> None:
    assert run(script, ["--help"], monkeypatch) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: {script}")
    about = ast.get_docstring(ast.parse((ROOT / script).read_text(encoding="utf-8")))
    assert about.split()[0].rstrip("s") in shown  # Builds ..., or Build ...


@each
def test_an_unknown_option_is_refused(script, monkeypatch, capsys) -> None:
    assert run(script, ["--nonsense"], monkeypatch) == 2
    assert capsys.readouterr().err.startswith(f"usage: {script}")


@pytest.mark.parametrize("script", ["footprint.py", "lowest.py"])
def test_an_unknown_package_is_refused(script, monkeypatch, capsys) -> None:
    assert run(script, ["ds-nothing"], monkeypatch) == 2
    assert "ds-nothing" in capsys.readouterr().err
