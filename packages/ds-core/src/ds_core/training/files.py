"""Files that are whole or not there: written aside, then renamed; and tensors in such files.

Tensors lie in the safetensors format, written and read by the library of that name: eight bytes with the
length of the header; the header, JSON, with name, dtype, shape and place of each tensor and words under
``__metadata__``; then the data. Nothing in it can run when it is read.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor


class CheckpointError(ValueError):
    """A file that is missing, cut off, foreign or made for something else; the message names it."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary file to write beside ``path``; at the end it takes that place, or vanishes on error.

    Example:
        >>> with atomic_write(Path("notes.txt")) as temporary:
        ...     temporary.write_text("whole or not at all")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):  # of a process killed while it wrote
        leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _force_to_disk(temporary)
        os.replace(temporary, path)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            _force_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors as a safetensors file, all or nothing.

    Args:
        path: the file; its folder is made if needed.
        tensors: name -> tensor; any layout in memory, on any device.
        metadata: words for the header.

    Raises:
        TypeError: if the format has no word for a dtype.
    """
    own = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu").contiguous()
        own[name] = tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
    try:
        content = safetensors.torch.save(own, dict(metadata))
    except KeyError as error:  # the library looks the dtype up
        name = next(name for name, tensor in own.items() if tensor.dtype == error.args[0])
        raise TypeError(f"{path}: a safetensors file cannot hold {name}, which is {error}") from error
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(content)


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file into tensors in main memory and the words in its header.

    The bytes are read at once: while the file is being replaced, the reader has the old one or the new one,
    never the header of one and the data of the other.

    Raises:
        CheckpointError: if there is none, or it is cut off or something else.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file")
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; expected a .safetensors file")
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    if content[8:9] not in (b"{", b""):
        raise CheckpointError(f"{path}: not a safetensors file")
    if len(content) < max(start, 9):
        raise CheckpointError(f"{path}: cut off after {len(content):,} bytes, before any data")
    try:
        header = json.loads(content[8:start])
        words = header.pop("__metadata__", {})
        ends = {name: start + entry["data_offsets"][1] for name, entry in header.items()}
        lost = [name for name, end in ends.items() if end > len(content)]
        if not lost:
            return safetensors.torch.load(content), words
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    shown = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
    raise CheckpointError(
        f"{path}: cut off after {len(content):,} of {max(ends.values()):,} bytes; lost: {shown}"
    )


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
