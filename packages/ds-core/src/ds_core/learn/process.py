"""Running a learner's code in a process of its own, with limits of time and memory.

It is no sandbox: the code may read and write what its user may. A crash, an endless loop or too much
memory is a result like any other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds_core.learn.judge import Verdict, judge, judge_layer

READY = "ready"  # a file that says: all is loaded, now the learner's code runs
MOST_PRINTED = 2000  # characters of what the code printed that are shown


@dataclass(frozen=True)
class Limits:
    """What a try may use.

    Attributes:
        seconds: of a processor; by the clock it may take longer, on a busy machine.
        mebibytes: of memory, beyond what torch itself takes.

    Raises:
        ValueError: if there is none of one of them.
    """

    seconds: int = 20
    mebibytes: int = 2048

    def __post_init__(self) -> None:
        """Checks that code has a chance to run."""
        if min(self.seconds, self.mebibytes) < 1:
            raise ValueError(
                f"expected at least 1 second and 1 MiB for your code, got {self.seconds} and {self.mebibytes}"
            )

    @property
    def by_the_clock(self) -> float:
        """Returns the seconds after which even code that does nothing is ended."""
        return 60.0 + 5 * self.seconds


def judge_apart(name: str, text: str, limits: Limits, *, fork: bool = False, **more: Any) -> Verdict:
    """Marks a file in a process of its own.

    Args:
        name: of the exercise; of a layer of the learner's own, the call that builds it.
        text: the whole file.
        limits: of time and memory.
        fork: whether this process may be copied: torch must not have computed in it yet.
        more: ``explain=False`` not to say what a mistake looks like; for a layer of the
            learner's own ``inputs=``, the shapes of what it is given.
    """
    with tempfile.TemporaryDirectory(prefix="ds-learn-") as folder:
        place = Path(folder)
        task = json.dumps({"name": name, "text": text, **more})
        (place / "task.json").write_text(task, encoding="utf-8")
        status = (_by_fork if fork and sys.platform == "linux" else _by_start)(place, limits)
        shown = (place / "printed").read_text(encoding="utf-8", errors="replace")
        result = place / "verdict.json"
        if status == 0 and result.exists():
            verdict = Verdict(**json.loads(result.read_text(encoding="utf-8")))
            verdict.printed = shown[-MOST_PRINTED:].strip()
            return verdict
        return Verdict(name, problems=[(name, _ended(status, limits, shown))])


def _by_fork(place: Path, limits: Limits) -> int | None:
    """Marks in a copy of this process, which has torch already; returns its status, None if time was up."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            printed = os.open(place / "printed", os.O_WRONLY | os.O_CREAT, 0o600)
            for stream in (1, 2):
                os.dup2(printed, stream)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.stdout, sys.stderr = (os.fdopen(stream, "w", closefd=False) for stream in (1, 2))
            main(str(place), str(limits.seconds), str(limits.mebibytes))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    ended: list[int] = []

    def poll() -> int | None:
        if not ended:
            done, wait_status = os.waitpid(child, os.WNOHANG)
            ended.extend([os.waitstatus_to_exitcode(wait_status)] if done else [])
        return ended[0] if ended else None

    try:
        return _wait(poll, place, limits)
    finally:
        if poll() is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _by_start(place: Path, limits: Limits) -> int | None:
    """Marks in a new process; returns its exit status, None if time was up."""
    command = [
        sys.executable,
        "-P",
        "-c",
        "import sys; from ds_core.learn.process import main; main(*sys.argv[1:])",
    ]
    command += [str(place), str(limits.seconds), str(limits.mebibytes)]
    with (place / "printed").open("wb") as printed:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed)
        try:
            return _wait(child.poll, place, limits)
        finally:
            child.kill()
            child.wait()


def _wait(poll: Callable[[], int | None], place: Path, limits: Limits) -> int | None:
    """Waits for an exit status; the clock starts when the code does. Returns None if time was up."""
    begun: float | None = None
    while (status := poll()) is None:
        if begun is None and (place / READY).exists():
            begun = time.monotonic()
        if begun is not None and time.monotonic() > begun + limits.by_the_clock:
            break
        time.sleep(0.02)
    return status


def _ended(status: int | None, limits: Limits, printed: str) -> str:
    """Says how a process ended that gave no verdict."""
    if status is None or -status == getattr(signal, "SIGXCPU", None):
        return f"did not end within {limits.seconds} seconds: is there a loop that never ends?"
    last = printed.strip().splitlines()[-1:] or [""]
    if "MemoryError" in last[0] or "memory" in last[0]:
        return f"needs more than {limits.mebibytes} MiB of memory"
    if status < 0:
        return f"Python itself was ended by signal {-status} ({signal.Signals(-status).name})"
    return f"ended with status {status}: {last[0]}"


def _limit(seconds: int, mebibytes: int) -> None:
    """Limits this process, as far as the system can; what it has used so far does not count."""
    try:
        import resource
    except ImportError:  # Windows: the clock alone limits
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))  # the first one says which limit it was
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = Path("/proc/self/statm")
    if pages.exists():
        now = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + mebibytes * 2**20, -1))


def main(folder: str, seconds: str, mebibytes: str) -> None:
    """Marks the file of a folder and leaves the verdict there: the other side of :func:`judge_apart`."""
    from ds_core.learn.course import exercise_named

    place = Path(folder)
    task = json.loads((place / "task.json").read_text(encoding="utf-8"))
    exercise = None if "inputs" in task else exercise_named(task["name"])
    _limit(int(seconds), int(mebibytes))
    (place / READY).touch()
    if exercise is None:
        verdict = judge_layer(task["text"], task["name"], task["inputs"])
    else:
        verdict = judge(exercise, task["text"], explain=task.get("explain", True))
    (place / "verdict.json").write_text(json.dumps(verdict.to_dict()), encoding="utf-8")
