"""What the READMEs say is so: their Python runs as pasted, their commands exist."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(ROOT.glob("packages/ds-*"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(package / "README.md" for package in PACKAGES)]
Fresh = Callable[..., CompletedProcess[str]]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def snippets(page: Path, language: str) -> list[str]:
    """Returns the fenced blocks of a language, without what indents them."""
    found = re.findall(
        rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [re.sub(f"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


PYTHON = [
    pytest.param(code, id=f"{name}-{i}")
    for page, name in zip(PAGES, NAMES, strict=True)
    for i, code in enumerate(snippets(page, "python"))
]


@pytest.mark.parametrize("code", PYTHON)
def test_python_runs_as_pasted(code: str, fresh: Fresh, tmp_path: Path) -> None:
    done = fresh("code", code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "a snippet shows its reader something"


def test_the_first_model_learns(fresh: Fresh, tmp_path: Path) -> None:
    done = fresh("code", snippets(ROOT / "README.md", "python")[0], tmp_path)
    (share,) = re.findall(r"right ([\d.]+)%", done.stdout)
    assert float(share) > 97


def test_every_package_and_the_front_page_show_python() -> None:
    assert all(snippets(page, "python") for page in PAGES)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_table_of_theory_is_complete(package: Path) -> None:
    linked = set(
        re.findall(r"\]\(theory/([\w-]+\.md)\)", (package / "README.md").read_text(encoding="utf-8"))
    )
    pages = {page.name for page in package.glob("theory/*.md")}
    assert linked in (pages, set()) or package.name == "ds-core"  # which names some where it speaks of them


def test_models_of_the_zoo_are_named() -> None:
    zoo = ROOT / "packages" / "ds-zoo"
    models = {model.parent.name for model in zoo.glob("src/ds_zoo/*/model.py")}
    assert {"gpt", "bert", "clip"} <= models
    (row,) = re.findall(r"^\| \[ds-zoo\].*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    text = (zoo / "README.md").read_text(encoding="utf-8")
    assert {name for name in models if name not in row.lower()} == set()
    assert {name for name in models if f"(src/ds_zoo/{name}/model.py)" not in text} == set()


def test_commands_exist() -> None:
    scripts = tomllib.loads((ROOT / "hatch.toml").read_text())["envs"]["default"]["scripts"]
    programs = {
        program
        for package in PACKAGES
        for program in tomllib.loads((package / "pyproject.toml").read_text())["project"].get("scripts", {})
    }
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    used = set(re.findall(r"hatch run ([\w-]+)\b(?!:)", text))
    assert {"demo", "test"} <= used
    assert used <= set(scripts) | programs


@pytest.mark.parametrize("command", ["demo", "test"])
def test_two_commands_from_a_bare_machine(command: str) -> None:
    line = f"python -m pip install hatch && hatch run {command}\n"
    assert line in snippets(ROOT / "README.md", "sh")


def test_the_continuous_check_is_the_readme_command() -> None:
    assert "\npython -m pip install hatch && hatch run test\n" in (ROOT / ".ci" / "run").read_text()
