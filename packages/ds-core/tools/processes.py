"""For tests: several processes that train together, as `torchrun` starts them, but forked: that is quick."""

import os
import pickle
import secrets
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch

_LONG = 300.0  # seconds after which to give up: on a machine with much else to do, little takes long


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """Returns what `torchrun` would tell a process."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in told.items()}}


def free_port() -> int:
    """Returns a port on which nobody listens, none of those that the system itself gives to connections.

    Of these another test's processes might get it before ours do.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port


def started(size: int, function: Callable[..., Any], *args: Any) -> list[tuple[Any, Connection]]:
    """Starts processes; each calls a function and sends back ``(error, result)``, as bytes.

    Returns:
        Of each the process, and where it answers.
    """
    fork, port, found = get_context("fork"), free_port(), []
    for rank in range(size):
        here, there = fork.Pipe(duplex=False)
        told = environment(rank, size, port)
        process = fork.Process(target=_run, args=(told, there, function, args), daemon=True)
        process.start()
        there.close()
        found.append((process, here))
    return found


def together(size: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """Calls a function in so many processes, and returns what each returns."""
    results = []
    for process, answers in started(size, function, *args):
        assert answers.poll(_LONG), "a process gives no answer"
        error, result = pickle.loads(answers.recv_bytes())
        assert error is None, error
        results.append(result)
        process.join(_LONG)
    return results


def _run(told: dict[str, str], answers: Connection, function: Callable[..., Any], args: Any) -> None:
    os.environ.update(told)
    torch.set_num_threads(1)  # the threads of the process it was forked from are not here
    try:
        answers.send_bytes(pickle.dumps((None, function(*args))))
    except BaseException:
        answers.send_bytes(pickle.dumps((traceback.format_exc(), None)))
        raise
