"""Files that are whole or not there: written aside, then renamed; and tensors in such files.

Tensors lie in the safetensors format, written and read by the library of that name: eight bytes with the
length of the header; the header, JSON, with name, dtype, shape and place of each tensor and words under
``__metadata__``; then the data. Nothing in it can run when it is read. One of the words is ``sha256``, the
hash of the whole file with zeros in the place of these 64 characters: a single wrong bit is noticed.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor


class CheckpointError(ValueError):
    """A file that is missing, cut off, foreign or made for something else; the message names it."""


CHECKSUM = "sha256"
_ZEROS = b"0" * 64  # what stands in the checksum's place while it is computed
_LEFTOVER = 3600.0  # seconds after which a file half written is abandoned: no single write takes an hour


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary file to write beside ``path``; at the end it takes that place, or vanishes on error.

    Several processes may write the same file at once: each time one of them wins, whole.

    Raises:
        OSError: if the disk is full or anything else goes wrong; names ``path``, which is as it was.

    Example:
        >>> with atomic_write(Path("notes.txt")) as temporary:
        ...     temporary.write_text("all or nothing")
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):  # of a process that was killed
            _remove_if_old(leftover)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            yield temporary
            _force_to_disk(temporary)
            os.replace(temporary, path)
            if os.name == "posix":  # elsewhere a folder cannot be opened
                _force_to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"cannot write it: {os.strerror(error.errno)}", str(path)) from error


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file, all or nothing.

    Raises:
        OSError: as :func:`atomic_write` does.
    """
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path, what: str) -> dict[str, Any]:
    """Reads a JSON file that holds one object, in UTF-8 with or without a byte order mark.

    Args:
        path: the file.
        what: it is expected to be, as messages call it: "the configuration of a GPT-2".

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: names the file, if it is cut off, damaged, nested without end, or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: " + ("is a folder" if path.is_dir() else "no such file"))
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_refuse)
        if not isinstance(content, dict):
            raise ValueError(f"expected a JSON object, {{...}}, got {type(content).__name__}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not {what} ({error})") from error
    return content


def _refuse(word: str) -> None:
    raise ValueError(f"JSON has no number {word}")


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors as a safetensors file with a checksum, all or nothing.

    Args:
        path: the file; its folder is made if needed.
        tensors: name -> tensor; any layout in memory, on any device.
        metadata: words for the header.

    Raises:
        TypeError: if the format does not know a dtype.
    """
    own: dict[str, Tensor] = {}
    taken: set[int] = set()  # memory: the library wants each tensor to have its own
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu").contiguous()
        whole = tensor.untyped_storage().nbytes() == tensor.nbytes
        own[name] = tensor if whole and tensor.data_ptr() not in taken else tensor.clone()
        taken.add(own[name].data_ptr())
    try:
        content = safetensors.torch.save(own)
    except KeyError as error:  # the library looks the dtype up
        name = next(name for name, tensor in own.items() if tensor.dtype == error.args[0])
        raise TypeError(f"{path}: a safetensors file cannot hold {name}, which is {error}") from error
    header, data = _with_words(content, {**metadata, CHECKSUM: _ZEROS.decode()})
    place = _checksum_place(header)
    assert place is not None
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        file.write(header[:place] + _checksum(header, place, data) + header[place + len(_ZEROS) :])
        file.write(data)


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file into tensors in main memory and the words in its header.

    The bytes are read at once: while the file is being replaced, the reader has the old one or the new one,
    never the header of one and the data of the other.

    Raises:
        CheckpointError: if there is none, it is cut off or something else, or its bytes are not those that
            were written; of a file without checksum, as other programs write them, the last cannot be told.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; expected a .safetensors file")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    start = 8 + int.from_bytes(content[:8], "little")
    if content[8:9] not in (b"{", b""):
        raise CheckpointError(f"{path}: not a safetensors file")
    if len(content) < max(start, 9):
        raise CheckpointError(f"{path}: cut off after {len(content):,} bytes, before any data")
    try:
        header = json.loads(content[8:start])
        words = header.pop("__metadata__", None) or {}
        ends = {name: start + entry["data_offsets"][1] for name, entry in header.items()}
        lost = [name for name, end in ends.items() if end > len(content)]
        tensors = {} if lost else safetensors.torch.load(content)
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    if lost:
        shown = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        raise CheckpointError(
            f"{path}: cut off after {len(content):,} of {max(ends.values()):,} bytes; lost: {shown}"
        )
    place = _checksum_place(content[:start])
    if place is not None and words.get(CHECKSUM, "").encode() != _checksum(content, place):
        raise CheckpointError(
            f"{path}: damaged: its bytes are not those that were written (another {CHECKSUM}); take another "
            "copy. If a program changed it on purpose, let that leave out the word in the header"
        )
    return tensors, words


def _with_words(content: bytes, words: Mapping[str, str]) -> tuple[bytes, memoryview]:
    """Puts words into the header of a safetensors file, in the order of the alphabet.

    The library writes them in an order drawn by lot: the same content would be other bytes each time.

    Returns:
        Everything before the data, and the data.
    """
    begin = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:begin])
    header = {"__metadata__": dict(sorted(words.items())), **entries}
    written = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written, memoryview(content)[begin:]


def _checksum_place(content: bytes) -> int | None:
    """Returns where in a safetensors file the 64 characters of the checksum begin; None if it has none."""
    sign = f'"{CHECKSUM}":"'.encode()  # within a string of JSON, its quotes would have backslashes
    place = content.find(sign)
    return None if place < 0 else place + len(sign)


def _checksum(content: bytes, place: int, data: memoryview | bytes = b"") -> bytes:
    """Returns the hash of a file's bytes, with zeros at ``place``, in 64 characters."""
    view = memoryview(content)
    made = hashlib.sha256(view[:place])
    made.update(_ZEROS)
    made.update(view[place + len(_ZEROS) :])
    made.update(data)
    return made.hexdigest().encode()


def _remove_if_old(path: Path) -> None:
    """Removes a temporary file, unless another process may still be writing it."""
    with suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > _LEFTOVER:
            path.unlink()


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
