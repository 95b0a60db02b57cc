"""Devices: one way to name where to compute, for every command, recipe and trainer."""

from __future__ import annotations

import torch

KINDS = "auto, cpu, cuda, cuda:0, cuda:1, ..., mps"


def pick_device(device: torch.device | str, who: str = "device") -> torch.device:
    """Returns the device of a name.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` (the second one), ``"mps"`` (Apple's); ``"auto"`` is
            a CUDA device if there is one, else the processor: Apple's is taken where it is asked for.
        who: asks for it, as errors say.

    Raises:
        ValueError: if the name is another, or this machine has no such device.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"{who}: expected one of {KINDS}, got {device!r}") from error
    if found.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"{who}: expected one of {KINDS}, got {str(device)!r}")
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if found.type == "cuda" and not torch.cuda.is_available():
        count["cuda"] = 0
    if (found.index or 0) >= count[found.type]:
        there = f"{count[found.type]} of them" if count[found.type] else "none"
        raise ValueError(f"{who}: {found} was asked for, but torch finds {there} on this machine")
    return found
