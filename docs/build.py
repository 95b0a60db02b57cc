"""Builds the site into ``build/site/html``: ``hatch run docs``; ``hatch run docs-serve`` also shows it."""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pages import ROOT, Site

FOLDER = ROOT / "build" / "site"


def build(folder: Path = FOLDER, jobs: int | None = None, quiet: bool = False) -> int:
    """Gathers the pages and builds them; every warning is an error. Returns Sphinx's exit code."""
    from sphinx.cmd.build import main as sphinx

    Site(folder / "source").gather()
    arguments = ["-W", "--keep-going", "-b", "html", "-j", str(jobs or os.cpu_count() or 1)]
    arguments += ["-q"] if quiet else []
    places = [folder / "doctrees", folder / "source", folder / "html"]
    return sphinx([*arguments, "-c", str(ROOT / "docs"), "-d", *map(str, places)])


def serve(folder: Path, port: int) -> None:
    """Shows the site to this machine's browsers until it is interrupted."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder / "html"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/   (Ctrl-C ends)", flush=True)
        server.serve_forever()


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the build")
    parser.add_argument("--serve", action="store_true", help="shows it afterwards")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--jobs", type=int, default=None, help="processes; one for each processor if not given"
    )
    options = parser.parse_args()
    start = time.monotonic()
    code = build(options.out.resolve(), options.jobs)
    html = options.out / "html"
    pages = list(html.rglob("*.html"))
    print(f"{len(pages)} pages in {time.monotonic() - start:.0f} s: {html / 'index.html'}")
    if options.serve:
        try:
            serve(options.out.resolve(), options.port)
        except KeyboardInterrupt:
            print()
    return code


if __name__ == "__main__":
    sys.exit(main())
