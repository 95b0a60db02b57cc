"""Gathers the site's pages: what lies in ``docs/``, and what lies with its package and is taken from there.

A page is known by where its source lies in the repository; links between sources become links between pages.
A source file that a page links to gets a page of its own, with its code.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import posixpath
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import derivations  # noqa: E402

PACKAGES = [name.replace("_", "-") for name in derivations.PACKAGES]
FENCE = re.compile(r"^( *)```.*?^\1```[ ]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)((?:\s[^)]*)?)\)")
CODE = {".py": "python", ".toml": "toml", ".yml": "yaml", ".ini": "ini", ".json": "json"}
REPOSITORY = (
    ""  # "owner/name" on GitHub, once it is public: notebooks then have a link that opens them in Colab
)
EXTRA = "extra"  # the folder of what the site takes as it is
LINKS = "repository:"
STEPS = {
    "mlp": ("An MLP", "Three examples of XOR, every number."),
    "cnn": ("A small CNN", "A drawn 7, two kernels, a pool; the window slides."),
    "lstm": ("An LSTM", "Four numbers of a wave go through one cell, and the gradient back through time."),
    "gpt": ("A tiny GPT", "Two blocks with two heads each: who looks at whom, and what comes back."),
}
XRAYS = {
    "xray-sigmoid": ("Eight layers of sigmoid", "The gradient that reaches the first layers has vanished."),
    "xray-relu": ("The same with ReLU", "Initial weights that suit the activation, and all layers learn."),
    "xray-attention": (
        "Inside of attention",
        "Scores and probabilities of a GPT, and the gradients of both.",
    ),
}
SHEETS = {
    "sheets": ("All eight sheets", "With the numbers of seed 0."),
    "solutions": ("Their solutions", "To the same numbers."),
}
HIDDEN = ("second_backward", "extra_repr", "label", "reset")


class Site:
    """The pages, by the path of their sources in the repository.

    Args:
        folder: where they are gathered for Sphinx.
        only: chooses pages by their place on the site; None for all.
    """

    def __init__(self, folder: Path, only: Callable[[str], bool] | None = None) -> None:
        self.folder, self.only = folder, only
        self.places: dict[str, str] = {}  # source in the repository -> place on the site
        self.code: dict[str, str] = {}  # the same, of source files that a page links to
        self.written: set[str] = set()
        self.problems: list[str] = []
        for page in sorted((ROOT / "docs").glob("**/*.md")):
            self.places[_relative(page)] = _relative(page).removeprefix("docs/")
        self.places |= {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
        for package in PACKAGES:
            base, short = f"packages/{package}", package.removeprefix("ds-")
            self.places |= {f"{base}/README.md": f"packages/{short}.md", base: f"packages/{short}.md"}
            self.places[f"{base}/CHANGELOG.md"] = f"changelog/{short}.md"
            self.places[f"{base}/examples"] = f"examples/{short}/index.md"
            self.places[f"{base}/examples/README.md"] = f"examples/{short}/index.md"
            self.places[f"{base}/theory"] = "theory.md"
            self.places |= dict.fromkeys((f"{base}/benchmarks", f"{base}/tests"), f"packages/{short}.md")
            for page in sorted((ROOT / base / "theory").glob("*.md")):
                self.places[_relative(page)] = f"theory/{short}/{page.name}"
            for page in sorted((ROOT / base / "examples").glob("*.ipynb")):
                self.places[_relative(page)] = f"examples/{short}/{page.name}"

    def gather(self) -> None:
        """Writes all pages; those that have not changed keep their time.

        Raises:
            ValueError: if a link or a picture leads nowhere.
        """
        layers = list(Layers(self))
        for source, place in self.places.items():
            path = ROOT / source
            if path.suffix == ".ipynb":
                self.notebook(path, place)
            elif path.suffix == ".md" and source != "README.md":
                text = self.linked(path.read_text(encoding="utf-8"), source, place)
                if source.startswith("docs/") and "{{" in text:
                    text = self.filled(text, place)
                if place.startswith("examples/"):
                    text += _toctree(Path(n).stem for n in sorted(self.places) if _inside(n, path.parent))
                self.write(place, text)
        self.theory()
        for place, text in layers:
            self.write(place, text)
        self.write("layers/index.md", layers_index())
        for place, text in reference():
            self.write(place, text)
        pages = self.steps() if self.chosen("steps/index.md") else []
        pages += self.sheets() if self.chosen("course/teacher.md") else []
        for source, place in self.code.items():
            up = "../" * (len(Path(place).parts) - 1) + posixpath.relpath(str(ROOT), str(self.folder))
            language = CODE.get(Path(source).suffix, "text")
            name = source.split("/src/")[-1]
            body = f"```{{literalinclude}} {up}/{source}\n:language: {language}\n:linenos:\n```\n"
            self.write(place, f"---\norphan: true\nnosearch: true\n---\n# {name}\n\n{body}")
        if self.problems:
            raise ValueError("\n".join(self.problems))
        for place, text in pages:
            self.write(f"{EXTRA}/{place}", text, always=True)
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and str(path.relative_to(self.folder)) not in self.written:
                path.unlink()

    def chosen(self, place: str) -> bool:
        """Says whether a page is to be written."""
        return self.only is None or self.only(place)

    def write(self, place: str, text: str, always: bool = False) -> None:
        """Writes a page if it was chosen, or always, unless it is there already."""
        if not (always or self.chosen(place)):
            return
        path = self.folder / place
        self.written.add(place)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def linked(self, text: str, source: str, place: str) -> str:
        """Returns a text whose links lead to pages of the site."""
        parts, end = [], 0
        for fence in FENCE.finditer(
            text
        ):  # code is left as it is, directives of the site's own pages are not
            parts += [LINK.sub(lambda match: self.link(match, source, place), text[end : fence.start()])]
            inside = fence.group()
            if inside.lstrip().startswith("```{"):
                inside = LINK.sub(lambda match: self.link(match, source, place), inside)
            parts.append(inside)
            end = fence.end()
        return "".join(parts) + LINK.sub(lambda match: self.link(match, source, place), text[end:])

    def link(self, match: re.Match[str], source: str, place: str) -> str:
        """Returns one link, rewritten."""
        picture, words, target, title = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match.group()
        target, _, anchor = target.partition("#")
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if picture:
            return f"![{words}]({self.picture(wanted, place)}{title})"
        if (found := self.place(wanted)) is None:
            self.problems.append(f"{source}: the link to {target} leads to nothing that the site has")
            return match.group()
        away = posixpath.relpath(found, posixpath.dirname(place) or ".")
        return f"[{words}]({away}{'#' if anchor else ''}{anchor}{title})"

    def place(self, source: str) -> str | None:
        """Returns the place of a source's page; a file of code gets one when it is asked for."""
        if source not in self.places and (ROOT / source / "__init__.py").is_file():
            source += "/__init__.py"
        if source not in self.places and (ROOT / source).is_file():
            self.code.setdefault(source, f"code/{source.split('/src/')[-1]}.md")
            return self.code[source]
        return self.places.get(source)

    def picture(self, source: str, place: str) -> str:
        """Takes a picture along and returns its path, seen from a page."""
        if not (ROOT / source).is_file():
            self.problems.append(f"{place}: there is no picture {source}")
            return source
        goal = f"pictures/{source.replace('/', '-')}"
        self.written.add(goal)
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, self.folder / goal)
        return posixpath.relpath(goal, posixpath.dirname(place) or ".")

    def notebook(self, path: Path, place: str) -> None:
        """Takes a notebook along, its links rewritten, its pictures described by the heading above them."""
        source, heading = _relative(path), path.stem
        content = json.loads(path.read_text(encoding="utf-8"))
        colab = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/{source}"
        for cell in content["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                if found := re.findall(r"^#+ (.+)$", text, re.MULTILINE):
                    heading = re.sub(r"[`$*]", "", found[-1])
                cell["source"] = self.linked(text, source, place)
            for out in cell.get("outputs", ()):
                if out["output_type"] == "stream":
                    out.pop("metadata", None)  # the format does not know it
                if "text/html" in (data := out.get("data", {})):  # an x-ray links to source and theory
                    html = "".join(data["text/html"])
                    data["text/html"] = re.sub(
                        r'"(packages/[^"#]+)#([^"]+)"', partial(self.link_of_xray, place=place), html
                    )
            if cell["cell_type"] == "code" and any(
                kind.startswith("image/") for out in cell["outputs"] for kind in out.get("data", {})
            ):
                cell["metadata"]["mystnb"] = {"image": {"alt": f"Output of the cell above: {heading}"}}
        if REPOSITORY:
            title, _, rest = "".join(content["cells"][0]["source"]).partition("\n")
            content["cells"][0]["source"] = f"{title}\n\n[Open it in Colab]({colab})\n{rest}"
        self.write(place, json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True))

    def theory(self) -> None:
        """Writes the list of all derivations, by package."""
        text = "# Theory\n\nThe derivation of every backward, from the first line to the line of code.\n"
        for package in PACKAGES:
            short = package.removeprefix("ds-")
            pages = [place for place in self.places.values() if place.startswith(f"theory/{short}/")]
            text += f"\n## {package}\n" + _toctree(place.removesuffix(".md") for place in pages)
        self.write("theory.md", text)

    def filled(self, text: str, place: str) -> str:
        """Fills a page's ``{{figure}}``s: how many of what the project has, and what was measured."""
        words = {
            "layers": str(len(derivations.public())),
            "notebooks": str(sum(place.endswith(".ipynb") for place in self.places.values())),
            "theory": str(sum(place.startswith("theory/") for place in self.places.values())),
            "benchmarks": self.benchmarks(place),
            "steps": doors(STEPS),
            "xrays": doors(XRAYS),
            "sheets": doors(SHEETS),
        }
        return re.sub(r"\{\{(\w+)\}\}", lambda match: words[match[1]], text)

    def steps(self) -> list[tuple[str, str]]:
        """Returns the pages of recorded steps and x-rays, which are complete as they are."""
        sys.path.insert(0, str(ROOT / "docs" / "steps"))
        examples = importlib.import_module("examples")
        found = []
        with tempfile.TemporaryDirectory() as folder:
            for name in STEPS:
                page = examples.EXAMPLES[name]().to_html(Path(folder) / "page.html")
                html = with_way_back(page.read_text(encoding="utf-8"), "index.html", "All steps")
                found.append((f"steps/{name}.html", html))
            for name in XRAYS:
                page = examples.XRAYS[name.removeprefix("xray-")]().to_html(
                    Path(folder) / "page.html", links=LINKS
                )
                place = f"steps/{name}.html"
                html = re.sub(
                    f'"{LINKS}([^"#]+)#([^"]+)"',
                    partial(self.link_of_xray, place=place),
                    page.read_text(encoding="utf-8"),
                )
                html = html.replace("<head>", '<head><link rel="icon" href="../_static/favicon.svg">')
                found.append((place, with_way_back(html, "index.html", "All steps")))
        return found

    @staticmethod
    def sheets() -> list[tuple[str, str]]:
        """Returns the sheets of paper and their solutions."""
        sys.path.insert(0, str(ROOT / "docs" / "course"))
        made = importlib.import_module("sheets")
        made_pages = {name: made.page(made.SHEETS, [0], name == "solutions") for name in SHEETS}
        back = ("teacher.html", "For teachers")
        return [(f"course/{name}.html", with_way_back(html, *back)) for name, html in made_pages.items()]

    def link_of_xray(self, match: re.Match[str], place: str) -> str:
        """Returns a link of an x-ray to source or theory as one from a page of the site to the page of it."""
        found = (self.place(match[1]) or "").removesuffix(".md")
        away = posixpath.relpath(f"{found}.html", posixpath.dirname(place))
        return f'"{away}#{match[2]}"' if found.startswith("theory/") else f'"{away}"'

    def benchmarks(self, place: str) -> str:
        """Returns each package's benchmarks with what they measure."""
        text = ""
        for package in PACKAGES:
            text += f"## {package}\n\n"
            for script in sorted((ROOT / "packages" / package / "benchmarks").glob("*.py")):
                about = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
                words = " ".join(_markdown(about.split("\n\n")[0]).split())
                away = posixpath.relpath(self.place(_relative(script)) or "", posixpath.dirname(place))
                text += f"- [{script.stem}]({away}): {words}\n"
            text += "\n"
        return text


# ---- layers: derivation and code side by side --------------------------------------------------------------


class Layers:
    """The page of each layer, loss, optimizer and model: its derivation, and beside it its code."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.derived = derivations.derived()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name, thing in derivations.public().items():
            yield f"layers/{name}.md", self.page(name, thing)

    def page(self, name: str, thing: Any) -> str:
        """Returns one page."""
        theory, heading = self.derived[name]
        source, place = f"packages/{theory}", f"layers/{name}.md"
        sections = section((ROOT / source).read_text(encoding="utf-8"), heading)
        sections = self.site.linked(sections, source, place)
        page = posixpath.relpath(self.site.places[source], "layers")
        first, *_ = (inspect.getdoc(thing) or "").split("\n\n")
        code = "\n\n".join(
            self.pyobject(title, file, marker, dedent) for title, file, marker, dedent in markers(thing)
        )
        module = home(thing)
        return (
            f"---\norphan: true\nhide-toc: true\n---\n# {name}\n\n{' '.join(_markdown(first).split())}\n\n"
            f"Derived in [{Path(theory).stem}]({page}), section “{_markdown(heading)}”. "
            f"Arguments, shapes and errors: {{py:obj}}`{module}.{name}`. "
            "[All pages of this kind](index.md).\n\n"
            f":::::::{{container}} pair\n::::::{{container}} derivation\n{sections}\n::::::\n"
            f"::::::{{container}} code\n{code}\n::::::\n:::::::\n"
        )

    def pyobject(self, title: str, file: str, marker: str, dedent: bool) -> str:
        """Returns the directive that pulls one function out of a source file, by its name."""
        up = posixpath.relpath(str(ROOT), str(self.site.folder / "layers"))
        return (
            f":::{{rubric}} {title}\n:::\n{file.split('/src/')[-1]}\n\n"
            f"```{{literalinclude}} {up}/{file}\n:language: python\n:pyobject: {marker}\n"
            f"{':dedent: 4' + chr(10) if dedent else ''}```\n"
        )


def section(text: str, heading: str) -> str:
    """Returns a section of a theory page, with the one before if it only goes back; headings become rubrics.

    Formulas, tables and code stay as they are.
    """
    parts = re.split(
        r"(?m)^(?=#{1,4} )", FENCE.sub(lambda match: match.group().replace("\n#", "\n\0#"), text)
    )
    at = next(i for i, part in enumerate(parts) if part.lstrip("# ").startswith(f"{heading}\n"))
    level = len(parts[at]) - len(parts[at].lstrip("#"))
    end = at + 1
    while end < len(parts) and len(parts[end]) - len(parts[end].lstrip("#")) > level:
        end += 1
    if re.search("[Bb]ackward|gradients?,", heading) and at > 1:
        at -= 1
    body = "".join(parts[at:end]).replace("\0", "")
    body = re.sub(r"(?m)^Derives `[^\n]*(\n[^\n]+)*\n+", "", body)
    return re.sub(r"(?m)^#{1,4} (.+)$", r":::{rubric} \1\n:::", body)


def markers(thing: Any) -> list[tuple[str, str, str, bool]]:
    """Returns what a layer's page shows of its source: title, file, name there, whether in a class."""
    if inspect.isfunction(thing):
        return [("The function", _file(thing), thing.__qualname__, False)]
    formulas, methods = [], []
    for method in _methods(thing):
        methods.append((f"`{method.__qualname__}`", _file(method), method.__qualname__, True))
        for formula in formulas_of(method):
            if formula not in formulas:
                formulas.append(formula)
    found = []
    for formula in formulas:
        title = "The formula" if len(formulas) == 1 else f"The formula `{formula.__name__}`"
        found.append((title, _file(formula), formula.__qualname__, False))
        back = getattr(sys.modules[formula.__module__], f"{formula.__name__}_backward", None)
        if back is not None:
            found.append(("and its backward", _file(back), back.__qualname__, False))
    return [*found, *methods]


def _methods(cls: type) -> list[FunctionType]:
    """Returns forward and backward of a layer, or all that a class without them does itself."""
    found = [getattr(cls, name, None) for name in ("forward", "backward")]
    found = [method for method in found if method is not None and method.__module__ != "ds_core.module"]
    if found:
        return found
    for base in cls.__mro__:  # the class itself, or the nearest that does something
        own = [value for value in vars(base).values() if inspect.isfunction(value)]
        own = [
            method for method in own if not method.__name__.startswith("__") and method.__name__ not in HIDDEN
        ]
        if own or "__init__" in vars(base):
            return own or [vars(base)["__init__"]]
    return []


def formulas_of(method: FunctionType) -> list[FunctionType]:
    """Returns the formulas that a method calls by what :func:`ds_core.kernels.dispatch` made of them."""
    found = []
    for name in method.__code__.co_names:
        called = method.__globals__.get(name)
        if getattr(called, "__qualname__", "").startswith(
            ("dispatch.<locals>.", "dispatch_update.<locals>.")
        ):
            inside = inspect.getclosurevars(called).nonlocals
            formula = inside.get("formula") or inside.get("formula_backward")
            book = sys.modules[formula.__module__]
            formula = getattr(book, formula.__name__.removesuffix("_backward"))
            if formula not in found:
                found.append(formula)
    return found


def layers_index() -> str:
    """Returns the list of all layers' pages, by kind."""
    groups: dict[str, list[str]] = {}
    for name, thing in derivations.public().items():
        package, part, *_ = thing.__module__.split(".")
        groups.setdefault(f"{package}.{part}", []).append(name)
    text = (
        "# Derivation beside code\n\nOne page for each layer, loss, metric, optimizer, schedule and model: "
        "on the left how its backward follows from its forward, on the right the lines that compute both, "
        "as they stand in the source.\n"
    )
    for group, names in groups.items():
        text += f"\n## {group}\n\n" + " · ".join(f"[{name}]({name}.md)" for name in sorted(names)) + "\n"
    return text


# ---- reference ---------------------------------------------------------------------------------------------


def homes() -> dict[str, list[str]]:
    """Returns module -> names: where each public thing is described."""
    modules: list[str] = []
    for package in derivations.PACKAGES:
        top = importlib.import_module(package)
        modules += [part.name for part in pkgutil.walk_packages(top.__path__, f"{package}.")] + [package]
    modules = [name for name in modules if ".cli" not in name and not name.endswith("__main__")]
    homes: dict[str, list[str]] = {}
    seen: set[int] = set()
    for name in sorted(modules, key=lambda name: (name.count(".") == 0, name.count("."), name)):
        module = importlib.import_module(name)
        package = name.split(".")[0]
        for public in getattr(module, "__all__", ()):
            thing = getattr(module, public)
            documented = inspect.isclass(thing) or inspect.isfunction(thing)
            if documented and thing.__module__.startswith(package) and id(thing) not in seen:
                seen.add(id(thing))
                homes.setdefault(name, []).append(public)
    return homes


_HOMES: dict[str, list[str]] = {}


def home(thing: Any) -> str:
    """Returns the module whose page of the reference describes a thing."""
    if not _HOMES:
        _HOMES.update(homes())
    for module, names in _HOMES.items():
        if thing.__name__ in names and getattr(sys.modules[module], thing.__name__) is thing:
            return module
    raise ValueError(f"{thing.__name__} stands on no page of the reference")


def attributes(cls: type) -> list[str]:
    """Returns the attributes that a class's docstring describes itself."""
    _, _, described = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    return re.findall(r"(?m)^    (\w+)(?: \([^)]*\))?:", described.split("\n\n")[0])


def reference() -> Iterator[tuple[str, str]]:
    """Yields the pages of the reference: a module each."""
    if not _HOMES:
        _HOMES.update(homes())
    for module, names in _HOMES.items():
        text = f"---\norphan: true\n---\n# {module}\n\n"
        above, _, last = module.rpartition(".")
        hidden = "   :no-index:\n" if inspect.isfunction(getattr(sys.modules.get(above), last, None)) else ""
        text += f"```{{eval-rst}}\n.. automodule:: {module}\n   :no-members:\n{hidden}\n"
        for name in names:
            thing = getattr(sys.modules[module], name)
            text += f".. {'autoclass' if inspect.isclass(thing) else 'autofunction'}:: {module}.{name}\n"
            if inspect.isclass(thing):
                text += f"   :members:\n   :exclude-members: {', '.join(attributes(thing))}\n"
            text += "\n"
        yield f"api/{module}.md", text + "```\n"
    text = "# Reference\n\nEverything public, from its docstrings.\n"
    for package in derivations.PACKAGES:
        names = [name for name in _HOMES if name.split(".")[0] == package]
        text += f"\n## {package}\n\n"
        for name in sorted(names):
            about, *_ = (sys.modules[name].__doc__ or "").split("\n\n")
            text += f"- [{name}]({name}.md): {' '.join(_markdown(about).split())}\n"
    yield "api/index.md", text


# ---- small things ------------------------------------------------------------------------------------------


def doors(pages: dict[str, tuple[str, str]]) -> str:
    """Returns links to complete pages of HTML, each with a word on it."""
    doors = "".join(
        f':::{{container}} door\n<p><a href="{name}.html">{title}</a></p>\n\n{about}\n:::\n'
        for name, (title, about) in pages.items()
    )
    return f"::::{{container}} doors\n{doors}::::\n"


def with_way_back(html: str, goal: str, words: str) -> str:
    """Returns a complete page of HTML with a link back to the site above all else, which is not printed."""
    link = f'<a href="{goal}" style="color: inherit">← {words}</a>'
    style = "<style>@media print { .way-back { display: none } } .way-back { padding: 0.5em 1em }</style>"
    return html.replace("<body>", f'<body><nav class="way-back" aria-label="Site">{style}{link}</nav>', 1)


def _toctree(entries: Any) -> str:
    lines = "\n".join(str(entry) for entry in entries)
    return f"\n```{{toctree}}\n:maxdepth: 1\n\n{lines}\n```\n"


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _inside(source: str, folder: Path) -> bool:
    return source.startswith(f"{_relative(folder)}/") and source.endswith(".ipynb")


def _file(thing: Any) -> str:
    return _relative(Path(inspect.getsourcefile(inspect.unwrap(thing)) or ""))


def _markdown(text: str) -> str:
    """Returns a docstring's paragraph as Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return re.sub(r"``([^`]+)``", r"`\1`", text)
