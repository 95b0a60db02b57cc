"""The state of everything that draws random numbers in a training, to be written down and put back."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ds_core.module import Module


def random_state(**modules: Module) -> dict[str, Any]:
    """Returns the state of torch's, Python's and NumPy's global generators and of those that modules hold."""
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    numpy = sys.modules.get("numpy")  # not imported: not used
    if numpy is not None:
        name, keys, *rest = numpy.random.get_state()
        state["numpy"] = (name, keys.tolist(), *rest)
    state["modules"] = {name: generator.get_state() for name, generator in _generators(modules)}
    return state


def set_random_state(state: Mapping[str, Any], **modules: Module) -> None:
    """Puts a state from :func:`random_state` back; what is not in use here is passed over.

    Raises:
        ValueError: if the modules hold other generators than the state knows.
    """
    generators = dict(_generators(modules))
    if generators.keys() != state["modules"].keys():
        raise ValueError(
            f"random state: expected modules with the generators {sorted(state['modules'])}, "
            f"got {sorted(generators)}"
        )
    for name, generator in generators.items():
        generator.set_state(state["modules"][name])
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    if "cuda" in state and torch.cuda.is_available():
        for device, device_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(device_state, device)
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy" in state:
        numpy.random.set_state(state["numpy"])


@contextmanager
def kept_random_state(**modules: Module) -> Iterator[None]:
    """Leaves every generator at the end of the block where it was at the beginning."""
    state = random_state(**modules)
    try:
        yield
    finally:
        set_random_state(state, **modules)


def _generators(modules: Mapping[str, Module]) -> Iterator[tuple[str, torch.Generator]]:
    """Yields (path, generator) of all that hang on modules, each once."""
    seen: set[int] = set()
    for root, module in modules.items():
        for path, owner in module.named_modules(root):
            for name, value in vars(owner).items():
                if isinstance(value, torch.Generator) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{path}.{name}", value
