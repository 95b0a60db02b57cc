"""Sphinx's settings for the site. `hatch run docs` gathers the pages and builds it; see build.py."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from ds_core import Module
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import formulas  # noqa: E402

project = "DeepScratch"
author = "the DeepScratch authors"
project_copyright = "the DeepScratch authors; MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "katex"]

root_doc = "index"
exclude_patterns: list[str] = []
suppress_warnings = ["mystnb.unknown_mime_type"]

# Markdown as GitHub shows it, and directives on the site's own pages.
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline", "deflist"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
myst_dmath_allow_space = True
myst_dmath_allow_digits = True
nb_execution_mode = "off"  # notebooks are kept with their outputs
nb_merge_streams = True

# Docstrings.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Shape", "notes_style"), "Update"]
napoleon_use_rtype = False
add_module_names = False
default_role = "code"

# How it looks. Nothing is loaded from elsewhere: text is in the reader's own fonts, formulas are in KaTeX's.
html_theme = "furo"
html_title = "DeepScratch"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_favicon = str(HERE / "static" / "favicon.svg")
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": False}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

ROLE = re.compile(r"(``.*?``|:[\w:]+:`[^`]*`|`[^`]*`_?)", re.DOTALL)


def _plain(text: str) -> str:
    """Returns a line whose stars, bars and last underscores are what they look like."""
    parts = ROLE.split(text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"(?<!\\)([*|])", r"\\\1", parts[i])
        parts[i] = re.sub(r"(?<=\w)_(?!\w)", r"\\_", parts[i])
    return "".join(parts)


def readable(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Sets the formulas of a docstring, which are plain text, as formulas, and leaves its words alone."""
    out: list[str] = []
    in_section = False  # what is indented below Args: belongs to it; above, it is code
    for paragraph in "\n".join(lines).split("\n\n"):
        heading = re.match(r"\w+:\n", paragraph)
        in_section = in_section or heading is not None
        if paragraph.lstrip().startswith(">>>") or re.match(r"Examples?:", paragraph):
            out.append(paragraph)
        elif paragraph.startswith("    ") and not in_section:
            out.append(f"::\n\n{paragraph}")
        elif not heading and not paragraph.startswith(" ") and (found := formulas.split(paragraph)):
            words, tex = found
            body = "\n".join(f"   {line}" for line in tex.splitlines())
            out += [_plain(words)] * bool(words) + [f".. math::\n   :no-wrap:\n\n{body}"]
        else:
            out.append("\n".join(map(_plain, paragraph.split("\n"))))
    lines[:] = "\n\n".join(out).split("\n")


def attribute(thing: Any, name: str, *default: Any) -> Any:
    """Returns an attribute of a class; of a module, so that what its `__init__` takes is shown.

    Sphinx asks `__new__` first, and that of modules takes anything.
    """
    return getattr(object if name == "__new__" and issubclass(thing, Module) else thing, name, *default)


def reachable(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Lets the keyboard reach what scrolls on a narrow page; names the level of the menu's headings."""
    for wide in ("<pre", '<div class="table-wrapper', '<div class="output text_html'):
        if "body" in context:
            tag, _, rest = wide.partition(" ")
            context["body"] = context["body"].replace(wide, f'{tag} tabindex="0"{" " * bool(rest)}{rest}')
    menu = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = menu.replace('role="heading"', 'role="heading" aria-level="2"')


class TypesLinked(SphinxPostTransform):
    """Links the types in signatures to where they are described: ours, by one look into a table.

    Sphinx looks for each name in every module, which takes longer than all the rest.
    """

    default_priority = 5  # before references are looked up
    table: ClassVar[
        dict[str, tuple[str, str]]
    ] = {}  # full name, and last name if only one has it -> page, anchor

    def run(self, **_: Any) -> None:
        """Replaces references by links or by their words."""
        if not self.table:
            self.table.update(self.described())
        for signature in self.document.findall(addnodes.desc_signature):
            for reference in list(signature.findall(addnodes.pending_xref)):
                found = self.table.get(reference["reftarget"])
                if found is None:
                    reference.replace_self(reference.children)
                    continue
                page, anchor = found
                link = nodes.reference("", "", *reference.children, internal=True)
                away = self.app.builder.get_relative_uri(self.env.current_document.docname, page)
                link["refuri"] = f"{away}#{anchor}"
                reference.replace_self(link)

    def described(self) -> dict[str, tuple[str, str]]:
        """Returns where each class and function is described."""
        objects = self.env.domains.python_domain.objects
        full = {name: (entry.docname, entry.node_id) for name, entry in objects.items()}
        last = Counter(name.rpartition(".")[2] for name, entry in objects.items() if entry.objtype == "class")
        short = {
            name.rpartition(".")[2]: full[name]
            for name, entry in objects.items()
            if entry.objtype == "class" and last[name.rpartition(".")[2]] == 1
        }
        return short | full


def setup(app: Any) -> None:
    """Connects what this file adds."""
    app.add_post_transform(TypesLinked)
    app.config.html_extra_path = [str(extra)] if (extra := Path(app.srcdir) / "extra").is_dir() else []
    app.add_autodoc_attrgetter(type, attribute)
    app.connect("autodoc-process-docstring", readable, priority=400)
    app.connect("html-page-context", reachable, priority=900)  # after the theme has made its menu
