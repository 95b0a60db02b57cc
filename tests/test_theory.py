"""What Markdown shows: formulas that GitHub renders, links and names that exist, code that runs."""

import builtins
import json
import keyword
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

ROOT = Path(__file__).parents[1]
Fresh = Callable[..., CompletedProcess[str]]
MARKDOWN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/**/*.md")])
THEORY = sorted(ROOT.glob("packages/*/theory/*.md"))
NOTEBOOKS = sorted(ROOT.glob("packages/*/examples/*.ipynb"))
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)


def pages(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", paths, ids=lambda path: str(path.relative_to(ROOT)))


def prose(text: str) -> str:
    """Returns a page without its fenced blocks, code in backticks and formulas kept."""
    return FENCE.sub("", text)


def inline_formulas(text: str) -> list[str]:
    """Returns what stands between dollars in a page's prose."""
    return re.findall(r"(?<![\\$])\$(?!\$)([^$]+?)\$", re.sub(r"`[^`\n]*`", "", prose(text)))


def forbidden(text: str) -> list[str]:
    """Returns what GitHub does not show as meant: each with the reason."""
    found = []
    if r"\operatorname" in text:
        found.append(r"\operatorname: GitHub refuses it; write \mathrm{...}")
    if "$$" in prose(text):
        found.append("$$: Markdown takes its backslashes; write a fenced block of math")
    for formula in inline_formulas(text):
        if re.search(r"\\[!-/:-@\[-`{-~]", formula):
            found.append(f"${formula}$: Markdown takes a backslash before punctuation away")
    return found


@pages(MARKDOWN)
def test_github_shows_the_formulas(page: Path) -> None:
    assert forbidden(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (r"$\operatorname{sign} x$", 1),
        ("$$\nx\n$$", 1),
        (r"$a\,b$ and $\{x\}$", 2),
        ("```math\na\\,b \\\\\n$$\n```\n", 0),
        (r"$\frac12 x$ costs \$5, `$a\,b$` is code", 0),
    ],
)
def test_what_is_forbidden_is_found(text: str, count: int) -> None:
    assert len(forbidden(text)) == count


@pages([*MARKDOWN, *NOTEBOOKS])
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


# ---- names -----------------------------------------------------------------------------------------------


@cache
def known() -> set[str]:
    """Returns every word of the packages' Python, of their settings and files, and torch's own names."""
    words = {
        *dir(builtins),
        *keyword.kwlist,
        *dir(torch),
        *dir(torch.Tensor),
        *dir(torch.nn),
        *dir(torch.optim),
    }
    words |= {*dir(torch.nn.functional), *dir(torch.optim.lr_scheduler), *dir(torch.nn.init)}
    for pattern in ("packages/*/src/**/*.py", "packages/*/theory/*.py", "packages/*/benchmarks/*.py"):
        for path in ROOT.glob(pattern):
            words |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
            words |= set(path.relative_to(ROOT).with_suffix("").parts)
    for path in [ROOT / "hatch.toml", *ROOT.glob("packages/*/pyproject.toml")]:
        words |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return words


def unknown(text: str) -> list[str]:
    """Returns the names in backticks, two letters long or longer, that the source does not have."""
    names = [
        name for code in re.findall(r"`([^`\n]+)`", prose(text)) for name in re.findall(r"[A-Za-z_]\w+", code)
    ]
    return sorted({name for name in names if name not in known()})


@pages(THEORY)
def test_names_in_backticks_are_in_the_source(page: Path) -> None:
    assert unknown(page.read_text(encoding="utf-8")) == []


def test_a_name_that_is_not_in_the_source_is_found() -> None:
    assert unknown("`LayerNorm` and `LayerNormed(x)`") == ["LayerNormed"]


# ---- code ------------------------------------------------------------------------------------------------


@cache
def source_lines() -> list[list[str]]:
    """Returns the lines of every Python file of the packages, without what indents them."""
    paths = [*ROOT.glob("packages/*/src/**/*.py"), *ROOT.glob("packages/*/theory/*.py")]
    return [[bare(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in paths]


def bare(line: str) -> str:
    """Returns a line of code without indentation and comment."""
    return re.sub(r"\s+#.*$", "", line.strip())


def in_the_source(code: str) -> bool:
    """Says whether the lines of some code follow one another in one file; `...` stands for any others."""
    wanted = [[bare(line) for line in part.splitlines() if bare(line)] for part in code.split("...\n")]

    def follows(part: list[str], lines: list[str]) -> bool:
        lines = [line for line in lines if line]
        return any(lines[i : i + len(part)] == part for i in range(len(lines) - len(part) + 1))

    return any(all(follows(part, lines) for part in wanted) for lines in source_lines())


CODE = [
    pytest.param(
        re.sub(f"^{indent}", "", code, flags=re.MULTILINE), id=f"{page.parents[1].name}-{page.stem}-{i}"
    )
    for page in THEORY
    for i, (indent, language, code) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    if language == "python"
]


@pytest.mark.parametrize("code", CODE)
def test_code_of_theory_is_the_source_or_runs(code: str, fresh: Fresh, tmp_path: Path) -> None:
    assert in_the_source(code) or fresh("code", code, tmp_path).returncode == 0


def test_code_that_is_neither_is_found(fresh: Fresh, tmp_path: Path) -> None:
    code = "nobody.wrote(this)\n"
    assert not in_the_source(code)
    assert "NameError" in fresh("code", code, tmp_path).stderr


# ---- derivations -----------------------------------------------------------------------------------------


def test_everything_public_is_derived_and_in_one_place() -> None:
    sys.path.insert(0, str(ROOT))
    import derivations

    wanted, places = derivations.public(), derivations.derived()
    assert [name for name in wanted if name not in places] == []
    assert [name for name in places if name not in known()] == []
    assert len(wanted) > 140
