"""Batches: data of any kind, walked epoch after epoch, with a position that can be saved and gone back to.

Anything that can be iterated gives batches. If it has ``state_dict`` and ``load_state_dict``, these tell and
set the position: the state taken after a batch makes the next iteration begin with the batch after it. Of
anything else the position is a count, and the way back is to skip as many batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count, cycle, islice, repeat
from operator import length_hint
from typing import Any

import torch
from torch import Tensor

from ds_core.checks import check_whole
from ds_core.data.fingerprint import fingerprint
from ds_core.data.loader import DataLoader, stacked
from ds_core.random_state import kept_random_state, random_state, set_random_state

# The inputs of the model, then the target of the loss.
Batch = Sequence[Any]

# Under which name a batch with names holds the target.
TARGETS = ("target", "targets", "label", "labels", "y")


class Named(dict[str, Any]):
    """Inputs that go to the model by their names, as the one input of a batch."""


class Batches:
    """Walks data epoch after epoch, and knows where it is.

    Args:
        data: anything that can be iterated.
        world: whether the order may come from the global random generators, to be drawn anew when going back.
        dtype: of floating point numbers in arrays.
        whole: whether each group has as many batches as it should; those left over at an epoch's end, too few
            for one, are passed over.
    """

    def __init__(
        self,
        data: Iterable[Any],
        world: bool = True,
        dtype: torch.dtype = torch.float32,
        whole: bool = False,
    ) -> None:
        self.data: Any = data
        self.world = world
        self.dtype = dtype
        self.whole = whole
        self.batch = 0  # how many of this epoch have been given out
        self._ended = False  # has the last group met the end of the epoch? Then data know of the next one
        self._skip = 0  # how many to pass over to get back to a position
        self._stateful = has_position(data)
        self._epoch_start: dict[str, Any] = {}

    def groups(self, size: int) -> Iterator[list[Batch]]:
        """Yields the rest of the epoch, ``size`` batches at a time.

        The last group may have fewer, unless groups are to be whole.

        Raises:
            ValueError: if the epoch has no batch at all, too few for one group that is to be whole, or fewer
                than the position says.
            TypeError: if a batch is not inputs and a target.
        """
        batches = self._rest()
        while group := [_inputs_and_target(batch, self.dtype) for batch in islice(batches, size)]:
            if self.whole and len(group) < size:
                if self.batch == 0:
                    raise ValueError(
                        f"data: expected at least {size} batches in every epoch, as many as a step takes, "
                        f"got {len(group)}; give smaller batches, or more data"
                    )
                break
            self.batch += len(group)
            self._ended = len(group) < size
            yield group
        if self.batch == 0:
            raise ValueError(
                "data: expected at least one batch in every epoch, got none; what can be walked only once, "
                "such as a generator, should be a list or a loader"
            )
        self.batch, self._ended = 0, False

    def part(self, batch: Batch, rows: slice) -> Batch:
        """Returns some samples of a batch that :meth:`groups` gave: as the data divide it, if they say how.

        Raises:
            ValueError: if it cannot be divided.
        """
        if hasattr(self.data, "part"):
            part: Batch = self.data.part(batch, rows)
            return part
        count = samples(batch)
        return [part_of(item, rows, count) for item in batch]

    def steps(self, size: int) -> int | None:
        """Counts the groups of an epoch; None if the data does not know its length."""
        try:
            return len(self.data) // size if self.whole else -(-len(self.data) // size)
        except TypeError:
            return None

    def _rest(self) -> Iterator[Any]:
        """Iterates from the present position."""
        if self._stateful:
            return iter(()) if self._ended else iter(self.data)
        if not self._skip:
            self._epoch_start = random_state(world=self.world)
            return iter(self.data)
        with kept_random_state(world=self.world):
            set_random_state(self._epoch_start, world=self.world)
            batches = iter(self.data)
            found = sum(1 for _ in islice(batches, self._skip))
        if found < self._skip:
            raise ValueError(
                f"data: expected an epoch of at least {self._skip} batches, which the resumed training has "
                f"had, got {found}; give the data of before"
            )
        self._skip = 0
        return batches

    @cached_property
    def fingerprint(self) -> str | None:
        """What tells these data from others; None if nothing does."""
        return fingerprint_of(self.data)

    def state_dict(self) -> dict[str, Any]:
        """Returns the position after the latest group."""
        if self._stateful:
            return {"batch": self.batch, "ended": self._ended, "data": self.data.state_dict()}
        return {"batch": self.batch, "epoch_start": self._epoch_start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to a position."""
        self.batch = state["batch"]
        if self._stateful:
            self._ended = state.get("ended", False)  # unknown to checkpoints of before
            self.data.load_state_dict(state["data"])
        else:
            self._skip = self.batch
            self._epoch_start = state["epoch_start"]


def as_batches(
    data: tuple[Any, ...],
    batch_size: int | None,
    shuffle: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Iterable[Any]:
    """Turns data of any kind into an iterable of batches.

    Args:
        data: inputs and target as tensors or arrays, ``(x, y)`` or ``(x1, x2, y)`` or ``((x1, x2), y)``; or
            one thing: a tuple of these, a dataset of tensors or of samples, or any iterable of batches.
        batch_size: of tensors and of samples, as are the next two; an iterable has its own. See
            :class:`DataLoader`.
        shuffle: whether each epoch has its own order.
        seed: of these orders.
        dtype: of floating point numbers in arrays.

    Raises:
        TypeError: if it is none of these, or a number is not whole.
    """
    if batch_size is not None:
        check_whole("data", batch_size=batch_size)
    tensors = as_tensors(data, dtype)
    if tensors is not None and len(tensors) > 1:
        several_batches = batch_size is not None and batch_size < tensors[0].shape[:1].numel()
        return DataLoader(*tensors, batch_size=batch_size, shuffle=shuffle and several_batches, seed=seed)
    if tensors is None and len(data) == 1:
        if _has_samples(data[0]):
            return _of_samples(data[0], batch_size, shuffle, seed)
        if hasattr(data[0], "column_names"):
            return _Stream(data[0], batch_size)
        if isinstance(data[0], Iterable):
            return data[0]
    several = data[0] if len(data) == 1 and isinstance(data[0], tuple) else data
    got = ", ".join(type(item).__name__ for item in several) or "nothing"
    advice = "; validation data go to validation=" if len(data) == 2 else ""
    raise TypeError(
        "data: expected tensors or arrays (the inputs, then the target), a dataset, or one iterable of "
        f"batches, got {got}{advice}"
    )


def input_batches(
    data: tuple[Any, ...], batch_size: int | None, dtype: torch.dtype = torch.float32
) -> Iterator[Batch]:
    """Yields the inputs of each batch of data, for a model that is to predict.

    Args:
        data: the inputs as tensors or arrays, or as one tuple of them; or one of the other things that
            :func:`as_batches` takes, whose target is passed over. A batch that is one tensor is the input.
        batch_size: of tensors and of samples.
        dtype: of floating point numbers in arrays.

    Raises:
        TypeError: if it is none of these.
    """
    whole = hasattr(data[0], "tensors") if len(data) == 1 else False  # with the target, where there is one
    tensors = as_tensors(data, dtype)
    if tensors is not None:
        yield from DataLoader(*(tensors[:-1] or tensors if whole else tensors), batch_size=batch_size)
        return
    for batch in as_batches(data, batch_size):
        if hasattr(batch, "inputs_and_target"):
            batch = batch.inputs_and_target()
        if isinstance(batch, Mapping):
            yield _named({name: batch[name] for name in batch if name not in TARGETS}, dtype)
        elif isinstance(batch, (tuple, list)) and batch:
            yield [_as_tensor(part, dtype) for part in batch[:-1] or batch]
        else:
            yield [_as_tensor(batch, dtype)]


def as_tensors(data: tuple[Any, ...], dtype: torch.dtype) -> list[Tensor] | None:
    """Returns the tensors, in their order, that data consist of: given as such, as arrays or in a dataset.

    Args:
        data: as for :func:`as_batches`.
        dtype: of floating point numbers in arrays.

    Returns:
        The tensors; None if the data are something else.

    Raises:
        TypeError: if an array holds no numbers.
    """
    if len(data) == 1 and not isinstance(data[0], Tensor) and hasattr(data[0], "tensors"):
        data = tuple(data[0].tensors)
    elif len(data) == 1 and isinstance(data[0], tuple):
        data = data[0]
    flat = [part for item in data for part in (item if isinstance(item, tuple) else (item,))]
    if not flat or not all(isinstance(part, Tensor) or _is_array(part) for part in flat):
        return None
    return [_as_tensor(part, dtype) for part in flat]


def _is_array(value: Any) -> bool:
    """Says whether a value is an array of numpy or turns itself into one, as a table of pandas does."""
    return hasattr(value, "__array__") and not isinstance(value, Tensor)


def _as_tensor(value: Any, dtype: torch.dtype) -> Any:
    """Returns an array as a tensor of its own; anything else as it is.

    Raises:
        TypeError: if the array holds something else than numbers.
    """
    if not _is_array(value):
        return value
    array = value.__array__()
    try:
        tensor = torch.from_numpy(array.copy())
    except TypeError as error:
        raise TypeError(
            f"data: expected numbers, got an array of {array.dtype}; `ds_core.data.load` turns tables with "
            "texts into tensors"
        ) from error
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _has_samples(data: Any) -> bool:
    """Says whether data are samples to be had by number, rather than batches one after the other."""
    by_number = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    return by_number and (hasattr(data, "column_names") or not isinstance(data, Iterable))


def _of_samples(data: Any, batch_size: int | None, shuffle: bool, seed: int) -> DataLoader:
    """Returns batches of samples, with names if the samples have some."""
    named = hasattr(data, "column_names") or (len(data) and isinstance(data[0], Mapping))
    kind: Callable[..., DataLoader] = _NamedLoader if named else DataLoader
    return kind(data, batch_size=batch_size, shuffle=shuffle, seed=seed)


class _Stream:
    """Yields batches of a stream of the package `datasets` as dicts: name of a column -> tensor."""

    def __init__(self, data: Any, batch_size: int | None) -> None:
        if batch_size is None:
            raise ValueError(
                "data: expected a batch_size with a stream, which does not know its end, got None"
            )
        self._data, self._batch_size = data, batch_size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for rows in self._data.iter(self._batch_size):
            yield {name: stacked(list(values), f"column {name!r}") for name, values in rows.items()}


class _NamedLoader(DataLoader):
    """Yields batches as dicts: name of a column -> tensor."""

    def __init__(self, data: Any, **options: Any) -> None:
        self._names = list(data.column_names if hasattr(data, "column_names") else data[0])
        super().__init__(data, columns=self._names, **options)

    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        for values in super().batches(epoch, first):
            yield dict(zip(self._names, values, strict=True))


def fingerprint_of(data: Any) -> str | None:
    """Returns the fingerprint of a list of tensors, or of data that have one; None for others."""
    if hasattr(data, "fingerprint"):
        made: str | None = data.fingerprint()
        return made
    return fingerprint(tensors_of(data)) if isinstance(data, (list, tuple)) else None


def check_ends(data: Any, epochs: int, advice: str) -> None:
    """Checks that data come to an end, as often as they are walked through, as far as that can be seen.

    Raises:
        ValueError: if they are endless, as :class:`ds_core.text.RandomWindows` says of itself, or can be
            walked through only once.
    """
    name = type(data).__name__
    repeats = isinstance(data, repeat) and length_hint(data, 0) == 0
    if getattr(data, "endless", False) or isinstance(data, (count, cycle)) or repeats:
        raise ValueError(f"data: expected batches that come to an end, got an endless {name}; {advice}")
    if epochs > 1 and isinstance(data, Iterator):
        raise ValueError(
            f"data: expected what can be walked {epochs} times, got {name}, which can be walked only once; "
            "give a list or a loader"
        )


def has_position(data: Any) -> bool:
    """Says whether data can tell where they are and go there."""
    return hasattr(data, "state_dict") and hasattr(data, "load_state_dict")


def _inputs_and_target(batch: Any, dtype: torch.dtype) -> Batch:
    """Returns a batch as its inputs and, last, its target; arrays in it as tensors."""
    if hasattr(batch, "inputs_and_target"):
        batch = batch.inputs_and_target()
    if isinstance(batch, Mapping):
        found = [name for name in batch if name in TARGETS]
        if len(found) != 1 or len(batch) < 2:
            raise TypeError(
                f"data: expected a batch with names to hold inputs and one target, called "
                f"{' or '.join(TARGETS)}, got {', '.join(map(str, batch)) or 'nothing'}"
            )
        inputs = _named({name: batch[name] for name in batch if name != found[0]}, dtype)
        return [*inputs, _as_tensor(batch[found[0]], dtype)]
    if isinstance(batch, (tuple, list)) and len(batch) > 1:
        return [_as_tensor(part, dtype) for part in batch]
    raise TypeError(
        "data: expected each batch to be a tuple of inputs and target, or a dict of them, got "
        + (f"one of {len(batch)}" if isinstance(batch, (tuple, list)) else type(batch).__name__)
    )


def _named(inputs: dict[str, Any], dtype: torch.dtype) -> list[Any]:
    """Returns inputs that have names: one alone goes by its place, several go by name."""
    tensors = {name: _as_tensor(value, dtype) for name, value in inputs.items()}
    return list(tensors.values()) if len(tensors) == 1 else [Named(tensors)]


def samples(batch: Any) -> int:
    """Counts the samples of a batch: the length of the first tensor in it; 1 if there is none."""
    return next((len(tensor) for tensor in tensors_of(batch) if tensor.dim()), 1)


def count_items(batches: Sequence[Batch]) -> tuple[int, str]:
    """Counts what speed is measured in: tokens, where the input is sequences of integers, else samples."""
    first = next(tensors_of(batches[0]), None)
    if first is not None and first.dim() == 2 and not first.is_floating_point():
        return sum(next(tensors_of(batch)).numel() for batch in batches), "tokens"
    return sum(samples(batch) for batch in batches), "samples"


def all_finite(batch: Batch) -> bool:
    """Says whether no tensor in a batch holds NaN or infinity."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors_of(batch))


def to_device(value: Any, device: torch.device) -> Any:
    """Moves the tensors in a batch, however nested.

    To a CUDA device by way of pinned memory, from where they travel while it computes.
    """
    if isinstance(value, Tensor):
        pinned = device.type == "cuda" and value.is_cpu
        return value.pin_memory().to(device, non_blocking=True) if pinned else value.to(device)
    if isinstance(value, (tuple, list)):
        several = [to_device(item, device) for item in value]
        return several if isinstance(value, list) else tuple(several)
    if isinstance(value, dict):
        moved = {key: to_device(item, device) for key, item in value.items()}
        return Named(moved) if isinstance(value, Named) else moved
    return value


def part_of(batch: Any, rows: slice, count: int) -> Any:
    """Returns some samples of a batch: rows of the tensors and places of the lists in it, however nested.

    What is neither, such as a flag, belongs to every sample.

    Args:
        batch: what data yield.
        rows: which samples.
        count: how many the batch has.

    Raises:
        ValueError: if a tensor or a list has another length; says what to do.
    """
    if isinstance(batch, list) or (isinstance(batch, Tensor) and batch.dim()):
        if len(batch) != count:
            raise ValueError(
                f"data: expected a batch of {count} samples to have as many in each tensor and list, "
                f"got {len(batch)}; several processes divide it, so give the data a method part(batch, rows) "
                "that returns some samples of a batch"
            )
        return batch[rows]
    if isinstance(batch, tuple):
        return tuple(part_of(item, rows, count) for item in batch)
    if isinstance(batch, dict):
        parts = {key: part_of(item, rows, count) for key, item in batch.items()}
        return Named(parts) if isinstance(batch, Named) else parts
    return batch


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Yields the tensors in a batch, however nested."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_of(item)
