"""A real browser for tests: Debian's chromium without a window, driven through its DevTools pipe.

with Browser() as browser:
    page = browser.open(path, width=400, dark=True)
    page.press("ArrowRight")
    assert page.evaluate("document.title") == "..."
    assert page.problems == []
    assert page.barriers() == []

What keeps people from reading a page is found by axe-core, which lies in ``axe/`` with its licence.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = Path(__file__).parent / "axe" / "axe.min.js"
MISSING = "needs a browser: none of chromium, chromium-browser, google-chrome is installed"

_KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Tab": ("Tab", 9, "\t"),
    " ": ("Space", 32, " "),
    "Escape": ("Escape", 27, ""),
    "End": ("End", 35, ""),
    "Home": ("Home", 36, ""),
    "PageUp": ("PageUp", 33, ""),
    "PageDown": ("PageDown", 34, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
}

_AUDIT = """axe.run({resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})
  .then(result => result.violations.filter(v => ['serious', 'critical'].includes(v.impact))
  .map(v => v.id + ': ' + v.nodes.slice(0, 2).map(n => n.html.slice(0, 160)).join(' | ')))"""


class Browser:
    """A browser of its own, with an empty profile, for the length of a ``with`` block."""

    def __init__(self) -> None:
        if CHROMIUM is None:
            raise RuntimeError(MISSING)
        self._profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        (ours_in, theirs_out), (theirs_in, ours_out) = map(_far_pipe, range(2))
        command = [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-extensions", "--hide-scrollbars", "--mute-audio"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={self._profile.name}", "--remote-debugging-pipe", "about:blank"),
        ]

        def give_pipes() -> None:
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        self._process = subprocess.Popen(
            command, preexec_fn=give_pipes, pass_fds=(3, 4), stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out, self._rest, self._count = ours_in, ours_out, b"", 0
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def open(
        self, url: str | Path, width: int = 1200, height: int = 900, dark: bool = False, wait: bool = True
    ) -> Page:
        """Opens a page, a file or an address, in a tab of its own, and waits until it has loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        page.go(url.resolve().as_uri() if isinstance(url, Path) else url, wait)
        return page

    def call(self, method: str, session: str | None = None, timeout: float = 240, **params: Any) -> Any:
        """Calls a method of the DevTools protocol and returns its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data, number = json.dumps(message).encode() + b"\0", self._count
        while data:
            data = data[os.write(self._out, data) :]
        end = time.monotonic() + timeout
        while True:
            answer = self.receive(end - time.monotonic())
            if answer is None:
                raise TimeoutError(f"the browser did not answer {method} within {timeout} s")
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """Reads one message, notes what it says of a page, and returns it; None after some seconds."""
        while b"\0" not in self._rest:
            if seconds <= 0 or not select.select([self._in], [], [], seconds)[0]:
                return None
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("the browser ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if (page := self._pages.get(message.get("sessionId", ""))) and "method" in message:
            page.note(message["method"], message["params"])
        return message


class Page:
    """One tab.

    Attributes:
        problems: what the console reported as an error or a warning, exceptions, and failed requests.
        requests: the addresses that the page asked for, its own first.
    """

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._loaded = False

    def call(self, method: str, **params: Any) -> Any:
        """Calls a method of the DevTools protocol for this tab."""
        return self._browser.call(method, self._session, **params)

    def note(self, event: str, params: dict[str, Any]) -> None:
        """Notes an event of the tab."""
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(arg.get("value", arg)) for arg in params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def go(self, url: str, wait: bool = True, timeout: float = 240) -> None:
        """Goes to an address and waits until it has loaded."""
        self._loaded = False
        self.call("Page.navigate", url=url)
        end = time.monotonic() + timeout
        while wait and not self._loaded:
            if self._browser.receive(end - time.monotonic()) is None:
                raise TimeoutError(f"{url} did not load within {timeout} s")

    def resize(self, width: int, height: int) -> None:
        """Changes the size of the window's inside."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def evaluate(self, script: str) -> Any:
        """Returns the value of an expression of JavaScript; waits for a promise."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait_for(self, script: str, timeout: float = 30) -> Any:
        """Waits until an expression is true, and returns its value."""
        end = time.monotonic() + timeout
        while not (value := self.evaluate(script)):
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {timeout} s: {script}")
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        """Clicks the middle of the first element that a CSS selector finds, as a mouse does."""
        place = self.evaluate(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        self.drag([tuple(place)])

    def drag(self, points: list[tuple[float, float]]) -> None:
        """Presses the mouse at the first point, moves along the others, and lets go at the last."""
        button = {"button": "left", "clickCount": 1}
        x, y = points[0]
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **button)
        for x, y in points[1:]:
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, **button)

    def press(self, key: str, shift: bool = False) -> None:
        """Presses a key: a letter, or ``Tab``, ``Enter``, ``ArrowRight`` and so on."""
        code, number, text = _KEYS.get(key, (f"Key{key.upper()}", ord(key.upper()[0]), key))
        shown = key if key != " " else " "
        params = {"key": shown, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 * shift}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **params)
        self.call("Input.dispatchKeyEvent", type="keyUp", **params)

    def screenshot(self, path: str | Path, whole: bool = False) -> None:
        """Writes a picture of what is shown, or of the whole page."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(picture["data"]))

    def barriers(self) -> list[str]:
        """Returns what axe-core finds serious or critical: what keeps people from using the page."""
        if not self.evaluate("'axe' in window"):
            self.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
        found: list[str] = self.evaluate(_AUDIT)
        return found

    def close(self) -> None:
        """Closes the tab."""
        self._browser.call("Target.closeTarget", targetId=self._target)


def _far_pipe(_: int) -> tuple[int, int]:
    """Returns (read, write) of a pipe, with numbers that 3 and 4 do not overwrite."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return ends[0], ends[1]
