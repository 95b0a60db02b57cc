"""What several of these tests share: fresh interpreters, quickly."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import PIPE, CompletedProcess

import pytest

PROGRAM = Path(__file__).with_name("fresh.py")
LIBRARIES = ["torch", "numpy", "matplotlib.pyplot", "sklearn.datasets", "rich.progress", "IPython"]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """Returns a function that runs code, a file, or a notebook's cells in a fresh interpreter.

    Where processes fork safely, those of a session share the wait for libraries: see `fresh.py`.
    """
    forks = sys.platform == "linux"
    command = [sys.executable, str(PROGRAM), *(LIBRARIES if forks else [])]
    folder = tmp_path_factory.mktemp("fresh")
    server = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) if forks else None

    def run(
        kind: str, what: str | Sequence[str], cwd: Path, arguments: Sequence[object] = (), seconds: int = 600
    ) -> CompletedProcess[str]:
        stdout, stderr = folder / "stdout", folder / "stderr"
        stdout.write_bytes(b"")
        stderr.write_bytes(b"")
        request = {
            "kind": kind,
            "what": what,
            "folder": str(cwd),
            "arguments": [str(word) for word in arguments],
            "environment": dict(os.environ),
            "seconds": seconds,
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        line = json.dumps(request) + "\n"
        if server is None:
            code = subprocess.run(command, input=line, text=True, timeout=seconds).returncode
        else:
            server.stdin.write(line)
            server.stdin.flush()
            code = int(server.stdout.readline())
        return CompletedProcess([kind], code, stdout.read_text("utf-8"), stderr.read_text("utf-8"))

    yield run
    if server is not None:
        server.communicate()
