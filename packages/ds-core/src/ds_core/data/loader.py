"""DataLoader: data in batches, epoch after epoch, in an order that a seed decides."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pickle import PicklingError
from typing import Any

import torch
from torch import Tensor

from ds_core.checks import check_whole, shape, shown
from ds_core.data.dataset import Dataset
from ds_core.data.epochs import Epochs, mixed_generator
from ds_core.data.fingerprint import fingerprint
from ds_core.data.hugging_face import read_stored_image
from ds_core.data.optional import needed

# Which samples a batch takes: neighbours as they lie, or any by number.
Rows = slice | Tensor

# Called as ``transform(*tensors, generator=generator)``.
Transform = Callable[..., Tensor | tuple[Tensor, ...]]


class DataLoader(Epochs[tuple[Tensor, ...]]):
    """Cuts data into batches of tensors, shuffled anew for each epoch if wanted.

    Each ``for`` over the loader is one epoch. The order of epoch e depends on the seed and e alone: the same
    seed gives the same batches, to the bit, whatever happened in between.

    Args:
        data: tensors of equal length ``(N, ...)``; or a :class:`Dataset`; or one object with ``len(data)``
            and ``data[i]``, whose samples are tuples or dicts of tensors or numbers, or one of these: a
            dataset of the package `datasets`, say.
        columns: of samples that are dicts, which to take and in which order; None for all.
        batch_size: samples in a batch; None for all of them.
        shuffle: whether each epoch has its own order.
        seed: of these orders.
        drop_last: leaves out the last batch of an epoch if it is not full.
        prefetch: how many batches a background thread prepares ahead. It pays where samples are costly to
            fetch (images decoded from disk) or to transform; tensors need none.
        workers: how many processes prepare batches, instead of a thread; each keeps a copy of data and
            transform. They stay from epoch to epoch, and the batches are the same, to the bit.
        groups: the number of each sample's group, int64 ``(N,)``: a batch then has samples of one group
            only, as images of like shape; None for no groups.
        transform: makes of each batch the one that is yielded: augmentations of images, say. It is called
            with the batch's tensors and, as ``generator=``, a source of random numbers that the seed, the
            epoch and the place of the batch decide. It returns a tensor or a tuple of them, and must not
            write into those it is given.

    Yields:
        Tuples with one tensor ``(batch, ...)`` for each of ``data``, or for each column. Unshuffled batches
        of tensors are views of the data.

    Raises:
        ValueError: if there are no samples, lengths differ, a column is unknown, or no full batch exists.
        TypeError: if the data are something else; of an epoch, if workers cannot have a copy of them.
        RuntimeError: of an epoch, if a worker dies; the next one starts others.

    Example:
        >>> loader = DataLoader(x, y, batch_size=64, shuffle=True, seed=0)
        >>> for xb, yb in loader:
        ...     ...
        >>> def noisy(xb, yb, generator):
        ...     return xb + 0.1 * torch.randn(xb.shape, generator=generator), yb
        >>> loader = DataLoader(x, y, transform=noisy)
    """

    def __init__(
        self,
        *data: Any,
        columns: Sequence[str] | None = None,
        batch_size: int | None = 32,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        prefetch: int = 0,
        workers: int = 0,
        groups: Tensor | None = None,
        transform: Transform | None = None,
    ) -> None:
        self._source = _source(data, columns)
        self.samples = len(self._source)
        if not self.samples:
            raise ValueError("DataLoader: expected at least one sample, got none")
        if batch_size is not None:
            check_whole("DataLoader", batch_size=batch_size)
        check_whole("DataLoader", 0, prefetch=prefetch, workers=workers)
        check_whole("DataLoader", -(2**63), seed=seed)
        if groups is not None and not isinstance(groups, Tensor):
            raise TypeError(f"DataLoader: expected groups as a tensor, got {shown(groups)}")
        if groups is not None and groups.shape != (self.samples,):
            raise ValueError(
                f"DataLoader: expected groups ({self.samples},), one for each sample, got {shape(groups)}"
            )
        if transform is not None and not callable(transform):
            raise TypeError(f"DataLoader: expected transform to be a function of tensors, got {transform!r}")
        self.batch_size = batch_size or self.samples
        self.shuffle = bool(shuffle)  # numpy's comparisons give others
        self.seed = seed
        self.drop_last = drop_last
        self.groups = groups
        self.prefetch = prefetch or 2 * workers
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self.transform = transform
        if not len(self):
            raise ValueError(
                f"DataLoader: drop_last leaves no batch: {self.samples} samples, batch_size {batch_size}"
            )

    def __len__(self) -> int:
        """Counts the batches of an epoch."""
        sizes = [self.samples] if self.groups is None else self.groups.unique(return_counts=True)[1].tolist()
        return sum(n // self.batch_size if self.drop_last else -(-n // self.batch_size) for n in sizes)

    def _rows(self, epoch: int, first: int) -> Iterator[Rows]:
        """Yields which samples each batch of an epoch takes, from batch ``first`` on."""
        draw, order = mixed_generator(self.seed, epoch), None
        if self.shuffle:
            order = torch.randperm(self.samples, generator=draw)
        if self.groups is not None:
            batches = self._by_group(torch.arange(self.samples) if order is None else order)
            places = torch.randperm(len(batches), generator=draw).tolist() if order is not None else None
            yield from (batches[place] for place in (places or range(len(batches)))[first:])
            return
        for start in range(first * self.batch_size, len(self) * self.batch_size, self.batch_size):
            rows = slice(start, min(start + self.batch_size, self.samples))
            yield rows if order is None else order[rows]

    def _by_group(self, order: Tensor) -> list[Tensor]:
        """Cuts samples, in this order, into batches of one group each."""
        assert self.groups is not None
        parts = [order[self.groups[order] == group] for group in self.groups.unique()]
        batches = [rows for part in parts for rows in part.split(self.batch_size)]
        return [rows for rows in batches if len(rows) == self.batch_size or not self.drop_last]

    def _take(self, rows: Rows, epoch: int, batch: int) -> tuple[Tensor, ...]:
        """Returns one batch, transformed."""
        values = self._source.take(rows)
        if self.transform is None:
            return values
        changed = self.transform(*values, generator=mixed_generator(self.seed, epoch, batch))
        several = (changed,) if isinstance(changed, Tensor) else changed
        if not isinstance(several, (tuple, list)):
            raise TypeError(
                f"DataLoader: expected transform to return a tensor or a tuple of them, got {shown(changed)}"
            )
        return tuple(several)

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, ...]]:
        """Yields the batches from ``first`` on; up to ``prefetch`` of them are fetched ahead.

        The thread that does so ends with this generator, whether that comes to its end, is closed or is
        forgotten.
        """
        batches = enumerate(self._rows(epoch, first), first)
        if not self.prefetch:
            for batch, rows in batches:
                yield self._take(rows, epoch, batch)
            return
        with self._helpers() as ask:
            waiting: deque[Future[tuple[Tensor, ...]]] = deque()
            for batch, rows in batches:
                waiting.append(ask(rows, epoch, batch))
                if len(waiting) > self.prefetch:
                    yield waiting.popleft().result()  # an error over there is raised here
            while waiting:
                yield waiting.popleft().result()

    @contextmanager
    def _helpers(self) -> Iterator[Callable[[Rows, int, int], Future[tuple[Tensor, ...]]]]:
        """Gives a function that has a batch prepared: by a thread of this epoch, or by lasting processes."""
        if self.workers:
            if self._pool is None:
                context = get_context("spawn")  # a copy of a process with threads may hang
                self._pool = ProcessPoolExecutor(self.workers, context, _begin, (self,))
            pool = self._pool

            def ask(rows: Rows, epoch: int, batch: int) -> Future[tuple[Tensor, ...]]:
                with _deaf_children():
                    try:  # the first call starts a process, which gets a copy of the loader
                        return pool.submit(_prepare, rows, epoch, batch)
                    except (PicklingError, TypeError, AttributeError) as error:
                        self.close()
                        raise TypeError(
                            "DataLoader: expected data and a transform that other processes can have a copy "
                            f"of, got: {error}; put functions at the top of a module and open files when "
                            "they are read, or use prefetch=, a thread"
                        ) from error

            try:
                yield ask
            except BrokenProcessPool as error:
                self.close()
                raise RuntimeError(
                    "DataLoader: a process that prepares batches has died. What it said stands above; if it "
                    "said nothing, memory may have been short, as each has a copy of the data. A script must "
                    "do its work under `if __name__ == '__main__':`; what a notebook defines is not found"
                ) from error
            return
        thread = ThreadPoolExecutor(1, thread_name_prefix="DataLoader")
        try:
            yield lambda rows, epoch, batch: thread.submit(self._take, rows, epoch, batch)
        finally:
            thread.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Ends the processes, if there are any; the next epoch starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __getstate__(self) -> dict[str, Any]:
        """Returns what a copy needs: all but the processes."""
        return vars(self) | {"_pool": None}

    def fingerprint(self) -> str | None:
        return fingerprint(self._source.tensors) if isinstance(self._source, _Tensors) else None

    def setting(self) -> dict[str, Any]:
        names = ("samples", "batch_size", "shuffle", "seed", "drop_last")
        return {name: getattr(self, name) for name in names}


_here: DataLoader  # in a process that prepares batches: the loader


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Lets processes that start in here never hear Ctrl-C: it is for the training, which ends its helpers."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # and there, too
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(loader: DataLoader) -> None:
    global _here
    _here = loader
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where nothing can be blocked
    torch.set_num_threads(1)


def _prepare(rows: Rows, epoch: int, batch: int) -> tuple[Tensor, ...]:
    return _here._take(rows, epoch, batch)


# ---- where batches come from ---------------------------------------------------------------------------


def _source(data: tuple[Any, ...], columns: Sequence[str] | None) -> _Tensors | _Samples:
    if isinstance(columns, str):
        raise TypeError(f"DataLoader: expected several columns, got a text; write [{columns!r}]")
    if len(data) == 1 and isinstance(data[0], Dataset):
        data = data[0].tensors
    if data and all(isinstance(item, Tensor) for item in data):
        if columns is not None:
            raise ValueError("DataLoader: columns are for samples with names, got tensors")
        return _Tensors(data)
    if len(data) == 1 and isinstance(data[0], Mapping):
        raise TypeError(
            f"DataLoader: expected one dataset, got a dict of them; choose one of {', '.join(data[0])}"
        )
    if len(data) == 1 and hasattr(data[0], "__getitem__") and hasattr(data[0], "__len__"):
        return _Samples(data[0], columns)
    got = ", ".join(type(item).__name__ for item in data) or "nothing"
    raise TypeError(
        f"DataLoader: expected tensors, or one dataset with len() and indexing, got {got}; "
        "torch.as_tensor turns arrays and lists into tensors"
    )


class _Tensors:
    """Batches out of tensors."""

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        lengths = [len(tensor) if tensor.dim() else 0 for tensor in tensors]
        if len(set(lengths)) != 1:
            raise ValueError(
                f"DataLoader: expected tensors of one length, got {' and '.join(map(str, lengths))}"
            )
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0]) if self.tensors[0].dim() else 0

    def take(self, rows: Rows) -> tuple[Tensor, ...]:
        return tuple(t[rows if isinstance(rows, slice) else rows.to(t.device)] for t in self.tensors)


class _Samples:
    """Batches out of an indexable dataset, its samples stacked column by column."""

    def __init__(self, dataset: Any, columns: Sequence[str] | None) -> None:
        self.images: list[str] = []  # columns that come as files
        if hasattr(dataset, "column_names") and dataset.format["type"] is None:
            # Of the package `datasets`, in no form yet: as tensors, and no column is read in vain.
            columns = list(dataset.column_names if columns is None else columns)
            _check_columns(columns, dataset.column_names)
            dataset, self.images = _undecoded(dataset.select_columns(columns))
            dataset = dataset.with_format("torch")
        self.dataset = dataset
        self.columns = columns

    def __len__(self) -> int:
        return len(self.dataset)

    def take(self, rows: Rows) -> tuple[Tensor, ...]:
        numbers = list(range(rows.start, rows.stop)) if isinstance(rows, slice) else rows.tolist()
        several = getattr(self.dataset, "__getitems__", None)  # a whole batch at once, where it exists
        samples = several(numbers) if several else [self.dataset[number] for number in numbers]
        first = samples[0]
        if isinstance(first, Mapping):
            names = list(first) if self.columns is None else self.columns
            for sample in samples:
                _check_columns(names, list(sample))
            samples = [self._decoded(sample, number) for sample, number in zip(samples, numbers, strict=True)]
            return tuple(stacked([sample[name] for sample in samples], f"column {name!r}") for name in names)
        if self.columns is not None:
            raise ValueError(f"DataLoader: columns need samples that are dicts, got {type(first).__name__}")
        if isinstance(first, tuple):
            lengths = {len(sample): None for sample in samples}
            if len(lengths) > 1:
                raise ValueError(
                    "DataLoader: expected as many values in each sample, got "
                    + " and ".join(map(str, list(lengths)[:2]))
                )
            return tuple(
                stacked(list(values), f"place {place} of the samples")
                for place, values in enumerate(zip(*samples, strict=True))
            )
        return (stacked(samples, "the samples"),)

    def _decoded(self, sample: Mapping[str, Any], number: int) -> Mapping[str, Any]:
        """Returns a sample with its images as tensors, uint8 ``(3 or 1, H, W)``."""
        if not self.images:
            return sample
        pixels = {
            name: read_stored_image(sample[name], f"DataLoader: column {name!r}, sample {number}", None)
            for name in self.images
        }
        return {**sample, **pixels}


def _undecoded(dataset: Any) -> tuple[Any, list[str]]:
    """Returns a dataset of the package `datasets` that leaves files of images to us, and their columns."""
    library = needed("datasets", "datasets", "DataLoader")
    images = [name for name, kind in dataset.features.items() if isinstance(kind, library.Image)]
    for name in images:
        dataset = dataset.cast_column(name, library.Image(decode=False))
    return dataset, images


def _check_columns(columns: Sequence[str], there: Sequence[str]) -> None:
    for name in columns:
        if name not in there:
            raise ValueError(f"DataLoader: expected columns among {', '.join(there)}, got {name!r}")


def stacked(values: list[Any], what: str) -> Tensor:
    """Returns values of samples, numbers or tensors, as one tensor.

    Raises:
        TypeError: if they are something else, or no one type holds them all.
        ValueError: if their shapes differ.
    """
    try:
        tensors = [torch.as_tensor(value) for value in values]
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"DataLoader: expected numbers or tensors in {what}, got {type(values[0]).__name__}; choose "
            f"other columns, or let the dataset turn it into tensors ({error})"
        ) from error
    shapes = {shape(tensor): None for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(
            f"DataLoader: expected one shape throughout {what}, got {' and '.join(list(shapes)[:2])}"
        )
    together = torch.stack(tensors)  # of several types, in one that should hold them all
    for tensor, taken in zip(tensors, together, strict=True):
        back = taken.to(tensor.dtype)
        if tensor.dtype != together.dtype and bool(((back != tensor) & ~tensor.isnan()).any()):
            raise TypeError(
                f"DataLoader: expected one type throughout {what}, got {tensor.dtype} among others, which "
                f"{together.dtype} does not hold"
            )
    return together
