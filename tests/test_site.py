"""The site: its links, formulas and code markers; and pages in a browser, narrow and wide, light and dark."""

import ast
import functools
import http.server
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs"), str(ROOT / "packages" / "ds-core" / "tools")]

import browser
import formulas
import katex
import pages

import derivations

SAMPLE = {
    *("index.md", "course/index.md", "course/04-two-layers.md", "layers/index.md", "layers/LayerNorm.md"),
    *("theory.md", "theory/core/normalization.md", "api/index.md", "api/ds_core.losses.md"),
    *("benchmarks/index.md", "examples/core/01_perceptron.ipynb", "steps/index.md"),
    "code/ds_core/layers/dense.py.md",
}
LESSONS = sorted((ROOT / "docs" / "course").glob("[0-9]*.md"))


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> pages.Site:
    """Returns the site's pages, gathered for Sphinx: a link or a picture that leads nowhere is an error."""
    site = pages.Site(tmp_path_factory.mktemp("site") / "source")
    site.gather()
    return site


def text_of(path: Path) -> str:
    """Returns a page's Markdown, a notebook's text cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return text


def markdown(site: pages.Site) -> Iterator[Path]:
    yield from (path for path in site.folder.rglob("*") if path.suffix in (".md", ".ipynb"))


# ---- what can be checked without a browser ---------------------------------------------------------------


def slugs(text: str) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#{1,4} (.+)$", pages.FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def lost(folder: Path, page: Path) -> list[str]:
    """Returns the links of a page that lead to no page of the site, or to no heading of it."""
    found = []
    for picture, _, target, _ in pages.LINK.findall(pages.FENCE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.is_file() or (anchor and not picture and anchor not in slugs(text_of(goal))):
            found.append(f"{page.relative_to(folder)}: {target}")
    return found


def test_every_link_leads_to_a_page_and_a_heading(gathered: pages.Site) -> None:
    assert [fault for page in markdown(gathered) for fault in lost(gathered.folder, page)] == []


def test_links_in_the_outputs_of_notebooks_lead_to_pages(gathered: pages.Site) -> None:
    found = []
    for notebook in gathered.folder.rglob("*.ipynb"):
        outputs = [
            out for cell in json.loads(notebook.read_text())["cells"] for out in cell.get("outputs", ())
        ]
        for html in ("".join(out.get("data", {}).get("text/html", ())) for out in outputs):
            found += [notebook.parent / link for link in re.findall(r'href="([^"#:]+\.\w+)[#"]', html)]
    assert found
    assert [goal for goal in found if goal.suffix != ".html" or not goal.with_suffix(".md").is_file()] == []


def test_pages_that_are_complete_have_a_way_back(gathered: pages.Site) -> None:
    extra = gathered.folder / pages.EXTRA
    places = list(extra.rglob("*.html"))
    assert len(places) == len(pages.STEPS) + len(pages.XRAYS) + len(pages.SHEETS)
    for page in places:
        (goal,) = re.findall(r'<body><nav class="way-back".*?<a href="([^"]+)"', page.read_text())
        there = (gathered.folder / page.relative_to(extra)).with_name(goal)
        assert there.with_suffix(".md").is_file()


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A b, `c`\n\n[1](a.md#a-b-c) [2](a.md#b) [3](b.md) [4](https://x.y)\n")
    assert lost(tmp_path, tmp_path / "a.md") == ["a.md: a.md#b", "a.md: b.md"]


def refused(math: list[tuple[str, bool]]) -> list[str]:
    """Returns what KaTeX does not take."""
    found = []
    for formula, display in math:
        try:
            katex.html(formula, display)
        except ValueError as error:
            found.append(f"{formula}: {error}")
    return found


def test_every_formula_of_the_pages_is_set(gathered: pages.Site) -> None:
    math = []
    for page in markdown(gathered):
        text = text_of(page)
        math += [(formula, True) for formula in re.findall(r"(?ms)^ *```math\n(.*?)^ *```", text)]
        prose = re.sub(r"`[^`\n]*`", "", pages.FENCE.sub("", text))
        math += [
            (formula, False)
            for formula in re.findall(r"(?<![\\$\w])\$(?![\s$])([^$]+?)(?<!\s)\$(?!\d)", prose)
        ]
    assert len(math) > 2000
    assert refused(math) == []


def test_formulas_of_docstrings_are_set() -> None:
    found, plain = [], []
    for module, names in pages.homes().items():
        for name in names:
            thing = getattr(sys.modules[module], name)
            for paragraph in (thing.__doc__ or "").split("\n\n"):
                if split := formulas.split(paragraph):
                    found.append((split[1], True))
                elif re.search(r"dL/d\w+ = ", paragraph):
                    plain.append(name)
    assert len(found) > 250
    assert refused(found) == []
    assert len(plain) < 20, plain  # formulas inside sentences stay in them


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("y = x W^T + b", r"y = x W^{\top} + b"),
        ("dL/dx = g / (1 + |x|)^2", r"\frac{\partial L}{\partial x} = \frac{g}{(1 + | x |)^{2}}"),
        ("m^ = m / (1 - beta1^t)", r"\hat m = \frac{m}{1 - \beta_{1}^{t}}"),
        ("y = sqrt(mean x^2 + eps)", r"y = \sqrt{\operatorname{mean} x^{2} + \epsilon}"),
        ("Streams in two numbers, x = 2.", None),
    ],
)
def test_plain_formulas_become_tex(text: str, formula: str | None) -> None:
    assert formulas.tex(text) == formula


def test_a_formula_that_is_none_is_found() -> None:
    assert len(refused([(r"\frac{1", True), ("x", False)])) == 1


def test_what_docstrings_refer_to_is_there() -> None:
    found: dict[str, set[str]] = {}
    there = {"torch"}
    for file in ROOT.glob("packages/*/src/**/*.py"):
        there |= {*file.with_suffix("").parts}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                there.add(node.name)
            elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
                there.add(node.id if isinstance(node, ast.Name) else node.attr)
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.Module)):
                for role in re.findall(r":\w+:`~?([\w.]+)`", ast.get_docstring(node) or ""):
                    found.setdefault(role.rpartition(".")[2], set()).add(file.name)
    assert len(found) > 150
    assert {name: files for name, files in found.items() if name not in there} == {}


def test_every_layers_page_shows_code_that_is_there() -> None:
    backwards = 0
    for name, thing in derivations.public().items():
        shown = pages.markers(thing)
        assert shown, f"{name}: its page shows no code"
        for _, file, marker, _ in shown:
            assert in_file(ROOT / file, marker), f"{name}: {marker} is not in {file}"
        backwards += any("backward" in marker for _, _, marker, _ in shown)
    assert backwards > 120


def test_a_marker_of_nothing_is_found() -> None:
    file = ROOT / "packages/ds-core/src/ds_core/layers/dense.py"
    assert in_file(file, "Dense.forward")
    assert not in_file(file, "Dense.sideways")


@functools.cache
def names_in(file: Path) -> frozenset[str]:
    def walk(body: list[ast.stmt], before: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield before + node.name
                yield from walk(node.body, f"{before}{node.name}.")

    return frozenset(walk(ast.parse(file.read_text(encoding="utf-8")).body, ""))


def in_file(file: Path, marker: str) -> bool:
    return marker in names_in(file)


# ---- the course ------------------------------------------------------------------------------------------


def test_lessons_are_numbered_and_complete() -> None:
    assert [page.name[:2] for page in LESSONS] == [f"{i:02}" for i in range(1, len(LESSONS) + 1)]
    for page in LESSONS:
        text = page.read_text(encoding="utf-8")
        for part in (
            "**Time:**",
            "**You need:**",
            "**Notebook",
            "**Theory:**",
            "**Exercises:**",
            "## What you can",
        ):
            assert part in text, f"{page.name} lacks {part}"
        assert 2 <= len(exercises_of(page)) <= 4, page.name


def test_every_notebook_is_in_the_course() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in LESSONS)
    notebooks = [path.name for path in ROOT.glob("packages/*/examples/*.ipynb")]
    assert [name for name in notebooks if name not in text] == []


def exercises_of(page: Path) -> list[str]:
    (line,) = re.findall(r"\*\*Exercises:\*\* (.*)", page.read_text(encoding="utf-8"))
    return re.findall(r"`([\w-]+)`", line)


def test_notebooks_link_to_colab_once_the_repository_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, place = ROOT / "packages/ds-core/examples/01_perceptron.ipynb", "examples/core/01_perceptron.ipynb"
    pages.Site(tmp_path).notebook(path, place)
    assert "colab" not in text_of(tmp_path / place)
    monkeypatch.setattr(pages, "REPOSITORY", "somebody/deepscratch")
    pages.Site(tmp_path).notebook(path, place)
    link = "https://colab.research.google.com/github/somebody/deepscratch/blob/main/packages/ds-core/examples"
    assert text_of(tmp_path / place).startswith(
        f"# One neuron\n\n[Open it in Colab]({link}/01_perceptron.ipynb)\n"
    )


def test_exercises_of_lessons_exist() -> None:
    learn = pytest.importorskip("ds_core.learn.course", reason="needs the exercises of ds-learn")
    known = {exercise.name for exercise in learn.exercises()}
    assert [name for page in LESSONS for name in exercises_of(page) if name not in known] == []


def test_code_of_lessons_runs(fresh: Any, tmp_path: Path) -> None:
    for page in LESSONS:
        blocks = re.findall(r"(?ms)^```python\n(.*?)^```", page.read_text(encoding="utf-8"))
        if blocks:
            done = fresh("code", "\n".join(blocks), tmp_path)
            assert done.returncode == 0, done.stderr


# ---- in a browser ----------------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def served(html: Path) -> tuple[http.server.ThreadingHTTPServer, str]:
    handler = functools.partial(Quiet, directory=str(html))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


SOURCE_OF_A_FORMULA = r"""(() => {
  const copy = (document.querySelector('article') ?? document.body).cloneNode(true);
  copy.querySelectorAll('.katex, pre, code, script').forEach(e => e.remove());
  const found = copy.textContent.match(/\\[a-zA-Z]+[{ ]|\$[^$\n]{1,60}\$|```|:\w+:`|\{\w+\}`/);
  return found ? found[0] : '';
})()"""

# Each formula is hundreds of elements, in which axe-core looks for minutes; screen readers get it as MathML.
FORMULAS_AS_WORDS = "document.querySelectorAll('.katex').forEach(e => e.replaceChildren('formula'))"


def show(page: browser.Page, width: int, shade: str) -> None:
    """Shows a page in a window of a width, light or dark."""
    page.resize(width, 900)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": shade}])


def faults(chromium: browser.Browser, base: str, path: str) -> tuple[list[str], float]:
    """Returns what is wrong with a page, narrow and dark, then wide and light; and its seconds of loading."""
    begin = time.monotonic()
    page = chromium.open(f"{base}/{path}", width=400, dark=True)
    seconds = time.monotonic() - begin
    found = []
    if source := page.evaluate(SOURCE_OF_A_FORMULA):
        found.append(f"{path}: {source!r} is left as source")
    looks = ((400, "dark"), (1280, "light"))
    for width, shade in looks:
        show(page, width, shade)
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
            found.append(f"{path}: is {wide} wide where there are {width}")
    page.evaluate(FORMULAS_AS_WORDS)
    for width, shade in looks:
        show(page, width, shade)
        found += [f"{path}, {shade}: {barrier}" for barrier in page.barriers()]
    found += [f"{path}: {problem}" for problem in page.problems]
    found += [f"{path}: asks {url}" for url in page.requests if not url.startswith((base, "data:"))]
    page.close()
    return found, seconds


def build(source: Path, html: Path, doctrees: Path, *options: str) -> str:
    """Builds pages with warnings as errors, and returns what Sphinx says of them."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-j", "auto"]
    command += [*options, "-c", str(ROOT / "docs"), "-d", str(doctrees), str(source), str(html)]
    return subprocess.run(command, capture_output=True, text=True).stderr


def test_the_reference_shows_what_a_module_is_made_with(tmp_path: Path) -> None:
    page = tmp_path / "source" / "index.md"
    page.parent.mkdir()
    page.write_text("# Dense\n\n```{eval-rst}\n.. autoclass:: ds_core.Dense\n```\n")
    assert build(page.parent, tmp_path / "html", tmp_path / "doctrees") == ""
    text = re.sub(r"<[^>]+>", "", (tmp_path / "html" / "index.html").read_text(encoding="utf-8"))
    assert "Dense(in_features: int, out_features: int, bias: bool = True" in text


@pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.MISSING)
def test_a_sample_of_pages_in_a_browser(tmp_path: Path) -> None:
    site = pages.Site(tmp_path / "source", only=SAMPLE.__contains__)
    site.gather()
    missing = "suppress_warnings=toc.not_readable,toc.not_included,myst.xref_missing,mystnb.unknown_mime_type"
    assert build(site.folder, tmp_path / "html", tmp_path / "doctrees", "-D", missing) == ""
    look(tmp_path / "html")


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.MISSING)
def test_every_page_in_a_browser() -> None:
    folder = ROOT / "build" / "site"
    pages.Site(folder / "source").gather()
    assert build(folder / "source", folder / "html", folder / "doctrees") == ""
    look(folder / "html")


def look(html: Path) -> None:
    """Opens every page that is there but those of source code, which are all alike: of them one."""
    paths = sorted(path.relative_to(html).as_posix() for path in html.rglob("*.html"))
    code = [path for path in paths if path.startswith("code/")]
    server, base = served(html)
    found: list[str] = []
    with browser.Browser() as chromium:
        times = {}
        for path in [path for path in paths if path not in code[1:]]:
            new, times[path] = faults(chromium, base, path)
            found += new
        page = chromium.open(f"{base}/search.html?q=softmax")
        page.wait_for("document.querySelectorAll('#search-results li').length")
        page.close()
    server.shutdown()
    for path in sorted(times, key=lambda path: -(html / path).stat().st_size)[:3]:
        print(f"{path}: {(html / path).stat().st_size / 1024:.0f} KiB, {times[path]:.2f} s")
    assert found == []
