"""Runs code as a fresh interpreter does, without its wait for other people's libraries.

With names of modules as arguments, this program imports them once, then answers requests, one a line, each
in a process forked for it: an interpreter that has loaded libraries and run nothing. Without arguments it
answers one request itself, which is as good and slower. Our own packages are never among the modules, so that
each request imports them.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
import traceback
import types
from collections.abc import Iterator


def main() -> None:
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError):  # not every package needs all of them
            importlib.import_module(name)
    for request in map(json.loads, requests(forks=len(sys.argv) > 1)):
        prepare(request)
        {"code": run_code, "file": run_file, "cells": run_cells}[request["kind"]](request["what"])


def requests(forks: bool) -> Iterator[str]:
    """Yields one request, in a process of its own; the forking one writes how each ended."""
    for line in sys.stdin:
        child = os.fork() if forks else 0
        if child == 0:
            yield line
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def prepare(request: dict) -> None:
    """Makes this process what the request asks for: its streams, folder, environment and arguments."""
    for stream, path in enumerate((os.devnull, request["stdout"], request["stderr"])):
        file = os.open(path, os.O_WRONLY if stream else os.O_RDONLY)
        os.dup2(file, stream)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv[1:] = request["arguments"]
    sys.path[0] = ""
    if hasattr(signal, "alarm"):
        signal.alarm(request["seconds"])


def run_code(code: str) -> None:
    """Runs what `python -c` would."""
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv[0] = "-c"
    exec(compile(code, "<string>", "exec"), module.__dict__)


def run_file(path: str) -> None:
    """Runs what `python path` would."""
    sys.argv[0], sys.path[0] = path, os.path.dirname(path)
    runpy.run_path(path, run_name="__main__")


def run_cells(cells: list[str]) -> None:
    """Runs what a notebook's kernel would, figures drawn too; ends at the first cell that raises."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def enable_gui(self, gui: str | None = None) -> None:
            """Has no windows to look after, like a kernel."""

        def showtraceback(self, *args: object, **options: object) -> None:
            """Shows errors in cells, and in drawing their figures, where warnings are shown."""
            print(f"In code cell {number}:", file=sys.stderr)
            traceback.print_exc()

    once = {"print_figure_kwargs": {}}  # as it is, each figure is drawn twice: once to see how large it is
    shell = Shell.instance(config=Config(HistoryManager={"enabled": False}, InlineBackend=once))
    shell.run_line_magic("matplotlib", "inline")
    for number, cell in enumerate(cells, 1):
        result = shell.run_cell(cell, store_history=True)
        if not result.success:
            error = result.error_before_exec or result.error_in_exec
            sys.exit(f"Code cell {number} ended with {error!r}:\n{cell}")


if __name__ == "__main__":
    main()
