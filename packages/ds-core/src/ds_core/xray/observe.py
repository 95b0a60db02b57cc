"""Watching modules at work: every forward and backward below a module, in the order they happen.

No hooks: for the time of a ``with`` block each module's own ``forward`` and ``backward`` are replaced by
ones that call the originals and then report.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from ds_core.module import Module, replaced

Report = Callable[[str, Module, tuple[Any, ...], Any], None]


@contextmanager
def observe(
    module: Module,
    on_forward: Report | None = None,
    on_backward: Report | None = None,
    *,
    path: str = "",
    without: Module | None = None,
) -> Iterator[list[str]]:
    """Reports every forward and backward of a module and of all below it while the block runs.

    A module reachable under several paths is reported under the one it was called by: among the paths below
    the module now at work, each in turn. Its backward carries the path of the forward it undoes. A child
    that its parent never calls is not seen.

    Args:
        module: what to watch.
        on_forward: called as ``(path, module, inputs, output)`` after each forward; ``inputs`` are all
            arguments, which an in-place layer has overwritten by then.
        on_backward: called as ``(path, module, output_grads, input_grad)`` after each backward.
        path: name of the module itself, the beginning of every path.
        without: a module whose parts are watched by others, and passed over where they are found here, too.

    Yields:
        The paths of the modules now at work, outermost first: a list that changes as they run.

    Example:
        >>> with observe(model, lambda path, module, inputs, output: print(path, output.shape)):
        ...     model(x)
    """
    running: list[str] = []
    paths: dict[int, list[str]] = defaultdict(list)
    modules: dict[int, Module] = {}
    others = set() if without is None else set(without.modules())
    for name, part in module._walk(path):
        if part not in others:
            paths[id(part)].append(name)
            modules[id(part)] = part
    turns: Counter[tuple[int, str]] = Counter()
    unanswered: dict[int, list[str]] = defaultdict(list)  # paths of forwards that wait for their backward

    def called_by(part: Module) -> str:
        """Finds the path by which a module is being called."""
        caller = running[-1] if running else path
        below = [name for name in paths[id(part)] if not caller or name.startswith(f"{caller}.")]
        candidates = below or paths[id(part)]
        turns[id(part), caller] += 1
        return candidates[(turns[id(part), caller] - 1) % len(candidates)]

    def watched_forward(part: Module, original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            name = called_by(part)
            running.append(name)
            try:
                output = original(*args, **kwargs)
            finally:
                running.pop()
            unanswered[id(part)].append(name)
            if on_forward is not None:
                on_forward(name, part, (*args, *kwargs.values()), output)
            return output

        return forward

    def watched_backward(part: Module, original: Callable[..., Any]) -> Callable[..., Any]:
        def backward(*args: Any, **kwargs: Any) -> Any:
            name = unanswered[id(part)].pop() if unanswered[id(part)] else called_by(part)
            running.append(name)
            try:
                input_grad = original(*args, **kwargs)
            finally:
                running.pop()
            if on_backward is not None:
                on_backward(name, part, (*args, *kwargs.values()), input_grad)
            return input_grad

        return backward

    with ExitStack() as stack:
        for part in modules.values():
            stand_ins = {"forward": watched_forward(part, part.forward)}
            stand_ins["backward"] = watched_backward(part, part.backward)
            stack.enter_context(replaced(part, **stand_ins))
        yield running


@contextmanager
def same_random_state(module: Module) -> Iterator[None]:
    """Puts torch's global random state back after the block, on every device the module lives on."""
    devices = {t.device for t in (*module.parameters(), *module.buffers()) if t.is_cuda}
    with torch.random.fork_rng(list(devices)):
        yield


def tensors(value: Any) -> Iterator[Tensor]:
    """Yields every tensor in a value: itself, or inside tuples, lists, mappings and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, Mapping):
        yield from tensors(list(value.values()))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from tensors([getattr(value, field.name) for field in fields(value)])
