"""A small server for the playground's page: of this machine, for one who has the token.

It listens on the loopback address alone, so no other machine reaches it. A page of another site that a
browser here has open could still send requests to it: each must carry the token, which that page does not
know, and name this address as its host, which a name of that page's making (DNS rebinding) is not.
"""

from __future__ import annotations

import json
import secrets
import threading
import webbrowser
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ds_core.learn.play.session import ACTIVATIONS, DATA, LOSSES, OPTIMIZERS, STARTS, Session

LARGEST = 200_000  # bytes of a request


class Playground:
    """A session and its server, for the length of a ``with`` block.

    Attributes:
        url: where the page is, with the token.

    Example:
        >>> with Playground() as playground:
        ...     print(playground.url)
    """

    def __init__(self, port: int = 0) -> None:
        self.session = Session()
        self.token = secrets.token_urlsafe(24)
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/?token={self.token}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Playground:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.session.close()

    def do(self, asked: dict[str, Any]) -> Any:
        """Does what the page asks for.

        Raises:
            ValueError: if that is nothing it can do.
        """
        action = asked.get("action")
        if action in ("run", "pause"):
            self.session.run(action == "run")
        elif action == "step":
            self.session.step()
        elif action == "reset":
            self.session.reset(dict(asked.get("settings", {})))
        elif action == "draw":
            self.session.draw(list(asked["points"]))
        elif action == "break":
            self.session.break_(int(asked["layer"]), str(asked["how"]))
        elif action == "referee":
            return self.session.referee()
        else:
            raise ValueError(f"expected an action, got {action!r}")
        return None


def play(port: int = 0, *, open_browser: bool = True) -> None:
    """Starts the playground and opens its page; Ctrl+C ends it.

    Args:
        port: of the loopback address; 0 for any that is free.
        open_browser: whether the page is opened; its address is printed in any case.
    """
    with Playground(port) as playground:
        print(f"The playground is at {playground.url}\nCtrl+C ends it.", flush=True)
        if open_browser:
            webbrowser.open(playground.url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


def _handler(playground: Playground) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Prints nothing: the token is in every line."""

        def handle(self) -> None:
            with suppress(ConnectionError):  # the page was closed
                super().handle()

        def allowed(self) -> bool:
            """Answers what does not come from our page with a 403."""
            here = {f"127.0.0.1:{playground.port}", f"localhost:{playground.port}"}
            origin = self.headers.get("Origin")
            token = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
            fine = (
                self.headers.get("Host") in here
                and (origin is None or origin.removeprefix("http://") in here)
                and secrets.compare_digest(token.encode(), playground.token.encode())
            )
            if not fine:
                self.answer(
                    403, "text/plain", b"The address of the playground is the one that was printed.\n"
                )
            return fine

        def answer(self, status: int, kind: str, body: bytes, policy: str = "default-src 'none'") -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": f"{kind}; charset=utf-8",
                "Content-Length": str(len(body)),
                "Content-Security-Policy": policy,
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
            }.items():
                self.send_header(name, value)
            try:
                self.end_headers()
                self.wfile.write(body)
            except ConnectionError:  # the page was closed while it waited
                self.close_connection = True

        def json(self, value: Any, status: int = 200) -> None:
            self.answer(status, "application/json", json.dumps(value, allow_nan=False).encode())

        def do_GET(self) -> None:
            if not self.allowed():
                return
            address = urlsplit(self.path)
            if address.path == "/":
                nonce = secrets.token_urlsafe(12)
                policy = (
                    f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; "
                    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                    "frame-ancestors 'none'"
                )
                self.answer(200, "text/html", page(nonce).encode(), policy)
            elif address.path == "/frame":
                after = parse_qs(address.query).get("after", ["0"])[0]
                self.json(playground.session.frame(int(after) if after.isdigit() else 0))
            else:
                self.answer(404, "text/plain", b"There is nothing here.\n")

        def do_POST(self) -> None:
            if not self.allowed():
                return
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > LARGEST:
                self.close_connection = True
                self.answer(413, "text/plain", b"Too long.\n")
                return
            try:
                asked = json.loads(self.rfile.read(int(length)))
                if not isinstance(asked, dict):
                    raise ValueError("expected a JSON object")
                self.json({"result": playground.do(asked)})
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                self.json({"error": str(error)}, 400)

    return Handler


def page(nonce: str) -> str:
    """Returns the page, its script allowed by a word used once."""
    folder = files("ds_core.learn.play")
    text = {
        name: folder.joinpath(f"play.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")
    }
    choices = {
        "data": [*DATA, "drawn"],
        "activation": [*ACTIVATIONS],
        "loss": [*LOSSES],
        "optimizer": [*OPTIMIZERS],
        "start": [*STARTS],
    }
    whole = text["html"].replace("/*STYLE*/", text["css"]).replace("NONCE", nonce)
    return whole.replace("/*SCRIPT*/", f"const CHOICES = {json.dumps(choices)};\n{text['js']}")
