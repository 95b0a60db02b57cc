"""train_test_split: some samples set aside, to see how a model does on what it has not seen."""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import Tensor

from ds_core.checks import check_number, seeded, shape


def train_test_split(
    *tensors: Tensor, test_size: float = 0.2, seed: int = 0, stratify: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Divides samples at random into a training and a test part.

    Args:
        tensors: each ``(N, ...)``; all are divided alike.
        test_size: the share of the test part, below 1, rounded up to whole samples; as an int, their number.
        seed: of the choice; same seed, same parts.
        stratify: ``(N,)`` class indices, usually the targets: each class then has its share in both parts, to
            within one sample.

    Returns:
        ``x_train, x_test, y_train, y_test, ...``: two for each tensor.

    Raises:
        ValueError: if lengths differ, a part would be empty, or a class to stratify has only one sample.
        TypeError: if something else than tensors is given, or ``stratify`` holds no class indices.

    Example:
        >>> x_train, x_test, y_train, y_test = train_test_split(x, y, stratify=y)
    """
    everything = tensors if stratify is None else (*tensors, stratify)
    for tensor in everything:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"train_test_split: expected tensors, got {type(tensor).__name__}")
    lengths = [len(tensor) if tensor.dim() else 0 for tensor in everything]
    if not tensors or len(set(lengths)) != 1:
        got = " and ".join(map(str, lengths)) or "none"
        raise ValueError(f"train_test_split: expected tensors of one length, got {got}")
    check_number("train_test_split", test_size=test_size)
    samples = lengths[0]
    whole = isinstance(test_size, Integral)
    tests = int(test_size) if whole else math.ceil(test_size * samples - 1e-9)
    if not 0 < tests < samples:
        raise ValueError(
            "train_test_split: expected test_size to leave samples in both parts: a share between 0 and 1, "
            f"or a whole number below the {samples} samples, got {test_size}"
        )
    generator = seeded("train_test_split", seed)
    order = torch.randperm(samples, generator=generator)
    if stratify is not None:
        order = order[_spread(stratify.cpu()[order], tests)]
    test, train = order[:tests], order[tests:]
    if stratify is not None:  # as they come from _spread, the parts are sorted by class
        test = test[torch.randperm(len(test), generator=generator)]
        train = train[torch.randperm(len(train), generator=generator)]
    return tuple(part for t in tensors for part in (t[train.to(t.device)], t[test.to(t.device)]))


def _spread(labels: Tensor, tests: int) -> Tensor:
    """Returns an order in which the first ``tests`` samples hold each class's share.

    Each class gives the whole part of its share; what is then missing comes from the largest remainders.
    """
    if labels.dim() != 1 or labels.is_floating_point():
        raise TypeError(
            f"train_test_split: expected class indices (N,) to stratify, got {labels.dtype} of shape "
            f"{shape(labels)}"
        )
    classes, inverse, counts = labels.unique(return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"train_test_split: cannot stratify: class {int(classes[counts.argmin()])} has only one sample"
        )
    share = counts.double() * tests / len(labels)
    quota = share.floor().long()
    missing = tests - int(quota.sum())
    quota[(share - quota).argsort(descending=True, stable=True)[:missing]] += 1
    by_class = inverse.argsort(stable=True)
    starts = counts.cumsum(0) - counts
    place = torch.arange(len(labels)) - starts.repeat_interleave(counts)  # within its class
    chosen = place < quota.repeat_interleave(counts)
    return torch.cat([by_class[chosen], by_class[~chosen]])
