"""The state of everything that draws random numbers in a training, to be saved and restored."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ds_core.module import Module

# What draws: a generator, or a module with those that it and the modules below hold as attributes.
Source = Module | torch.Generator


def random_state(*, world: bool = True, **sources: Source) -> dict[str, Any]:
    """Returns the state of all that draws random numbers.

    Args:
        world: whether torch's, Python's and NumPy's global generators belong to it.
        sources: modules and generators, by a name; a generator that several hold is the first one's.
    """
    state: dict[str, Any] = {"sources": {name: one.get_state() for name, one in generators_of(sources)}}
    if not world:
        return state
    state |= {"torch": torch.get_rng_state(), "python": random.getstate()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    numpy = sys.modules.get("numpy")  # not imported: not used
    if numpy is not None:
        name, keys, *rest = numpy.random.get_state()
        state["numpy"] = (name, keys.tolist(), *rest)
    return state


def set_random_state(state: Mapping[str, Any], *, world: bool = True, **sources: Source) -> None:
    """Puts a state from :func:`random_state` back; what is not in use here is passed over.

    Args:
        state: the state.
        world: whether to touch global generators; they are also left alone if the state has none.
        sources: as for :func:`random_state`.

    Raises:
        ValueError: if there are other generators than the state knows; nothing has been changed then.
    """
    generators = dict(generators_of(sources))
    if generators.keys() != state["sources"].keys():
        raise ValueError(
            f"random state: expected modules with the generators {sorted(state['sources'])}, "
            f"got {sorted(generators)}"
        )
    for name, generator in generators.items():
        generator.set_state(state["sources"][name])
    if not world or "torch" not in state:
        return
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    if "cuda" in state and torch.cuda.is_available():
        for device, device_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(device_state, device)
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy" in state:
        numpy.random.set_state(state["numpy"])


def seed_torch(seed: int) -> None:
    """Seeds torch's global generators, as ``torch.manual_seed`` does, in a hundredth of its time.

    For accelerators that are not yet in use torch writes down, at each call, who asked for it: a millisecond.
    Where there is none, it is not asked.
    """
    if any(device.is_available() for device in (torch.cuda, torch.backends.mps, torch.xpu)):
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def kept_random_state(*, world: bool = True, **sources: Source) -> Iterator[None]:
    """Leaves every generator at the end of the block where it was at the beginning."""
    state = random_state(world=world, **sources)
    try:
        yield
    finally:
        set_random_state(state, world=world, **sources)


def generator_now(generator: torch.Generator | None) -> dict[str, Any]:
    """Returns what to draw with, as keywords: the generator, but none in a step that is compiled.

    There it would break the graph, and ``generator=None`` would ask for sizes that do not change. Torch's
    global one is drawn from.
    """
    return {} if torch.compiler.is_compiling() else {"generator": generator}


@contextmanager
def lent_generator(generator: torch.Generator, *modules: Module) -> Iterator[None]:
    """Lets modules that would draw from torch's global generator draw from another one in the block.

    These are the modules, and those below, whose attribute ``generator`` is None.
    """
    borrowers = [
        part
        for root in modules
        for part in root.modules()
        if "generator" in vars(part) and part.generator is None  # type: ignore[attr-defined]
    ]
    for part in borrowers:
        part.generator = generator
    try:
        yield
    finally:
        for part in borrowers:
            part.generator = None


def generators_of(sources: Mapping[str, Source]) -> Iterator[tuple[str, torch.Generator]]:
    """Yields (path, generator), each generator once."""
    seen: set[int] = set()
    for root, source in sources.items():
        if isinstance(source, torch.Generator):
            found = [(root, source)]
        else:
            found = [
                (f"{path}.{name}", value)
                for path, owner in source.named_modules(prefix=root)
                for name, value in vars(owner).items()
                if isinstance(value, torch.Generator)
            ]
        for name, generator in found:
            if id(generator) not in seen:
                seen.add(id(generator))
                yield name, generator
