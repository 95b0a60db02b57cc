"""A Sphinx extension: formulas are set by KaTeX while the site is built, so that a page only shows them.

KaTeX is JavaScript; it runs in a V8 that comes as a Python package. A formula that it does not take is a
warning of the build, with its page and line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes

SCRIPT = Path(__file__).parent / "static" / "katex" / "katex.min.js"


class Setter:
    """Sets formulas in a process of its own: a V8 does not survive a fork, and Sphinx writes in forks."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self.pid = os.getpid()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self.known: dict[tuple[str, bool], str] = {}

    def html(self, formula: str, display: bool) -> str:
        """Returns a formula as HTML, with MathML for those who hear the page.

        Raises:
            ValueError: if KaTeX does not take it.
        """
        key = (formula, display)
        if key not in self.known:
            stdin, stdout = self.process.stdin, self.process.stdout
            assert stdin is not None
            assert stdout is not None
            stdin.write(json.dumps(key) + "\n")
            stdin.flush()
            answer = json.loads(stdout.readline())
            if "error" in answer:
                raise ValueError(answer["error"])
            self.known[key] = answer["html"]
        return self.known[key]


_setter: Setter | None = None


def html(formula: str, display: bool) -> str:
    """Returns a formula as HTML."""
    global _setter
    if _setter is None or _setter.pid != os.getpid():
        _setter = Setter()
    return _setter.html(formula, display)


def serve() -> None:
    """Answers each line of standard input, ``[formula, display]``, with ``{"html": ...}`` or an error."""
    from py_mini_racer import JSEvalException, MiniRacer

    engine = MiniRacer()
    engine.eval(SCRIPT.read_text(encoding="utf-8"))
    for line in sys.stdin:
        formula, display = json.loads(line)
        options = {"displayMode": display, "strict": "error", "throwOnError": True}
        try:
            answer = {"html": engine.call("katex.renderToString", formula, options)}
        except JSEvalException as error:
            answer = {"error": next((s for s in str(error).splitlines() if "Error" in s), str(error))}
        print(json.dumps(answer), flush=True)


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(_set(node, display=False))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.math_block) -> None:
    # Where the page is narrower than the formula it scrolls, with the keyboard, too.
    self.body.append(f'<div class="formula" tabindex="0">{_set(node, display=True)}</div>\n')
    raise nodes.SkipNode


def _set(node: nodes.Element, display: bool) -> str:
    from sphinx.util import logging

    try:
        return html(node.astext(), display)
    except ValueError as error:
        logging.getLogger(__name__).warning("%s", error, location=node, type="katex")
        return f"<code>{node.astext()}</code>"


def setup(app: Any) -> dict[str, bool]:
    """Makes KaTeX the setter of formulas."""
    app.add_html_math_renderer("katex", (_inline, None), (_block, None))
    app.add_css_file("katex/katex.min.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    serve()
