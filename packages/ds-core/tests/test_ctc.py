"""CTC beside torch.nn's, behind the log-softmax that it is meant for; and what it refuses."""

import math
import random

import ds_core as ds
import pytest
import torch
from torch import nn


def drawn(seed):
    """Draws sizes, scores, labels, lengths and options; some targets are too long."""
    rng, g = random.Random(seed), torch.Generator().manual_seed(seed)
    times, batch, classes, most = rng.randint(1, 9), rng.randint(1, 4), rng.randint(2, 5), rng.randint(0, 5)
    blank = rng.randrange(classes)
    labels = [label for label in range(classes) if label != blank]
    targets = torch.tensor([[rng.choice(labels) for _ in range(most)] for _ in range(batch)])
    inputs = torch.tensor([rng.randint(rng.randint(0, 1), times) for _ in range(batch)])
    lengths = torch.tensor([rng.randint(0, most) for _ in range(batch)])
    options = {
        "blank": blank,
        "reduction": rng.choice(["mean", "sum", "none"]),
        "zero_infinity": rng.random() < 0.5,
    }
    x = torch.randn(times, batch, classes, dtype=torch.float64, generator=g)
    return x, targets.long().view(batch, most), inputs, lengths, options


def test_two_hundred_random_targets_are_as_with_torch():
    hopeless = 0
    for seed in range(200):
        x, targets, inputs, lengths, options = drawn(seed)
        theirs = x.clone().requires_grad_()
        wanted = nn.CTCLoss(**options)(theirs.log_softmax(2), targets, inputs, lengths)
        grad = torch.randn(wanted.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(seed))
        wanted.backward(grad)
        model, loss = ds.LogSoftmax(2), ds.CTCLoss(**options)
        with ds.engine("manual"):
            got = loss(model(x), targets, inputs, lengths)
            ours = model.backward(loss.backward(grad))
        hopeless += int(not wanted.isfinite().all())
        torch.testing.assert_close(got, wanted.detach(), equal_nan=True)
        torch.testing.assert_close(ours, theirs.grad, equal_nan=True)
    assert 20 < hopeless < 100


def test_all_paths_one_by_one():
    """Three times, two classes and the blank: 27 paths, written out."""
    x = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).log_softmax(1)

    def said(path):
        return [k for t, k in enumerate(path) if k and (not t or path[t - 1] != k)]

    for target in ([], [1], [2], [1, 2], [1, 1], [1, 2, 1]):
        paths = [(i, j, k) for i in range(3) for j in range(3) for k in range(3)]
        p = sum(math.exp(sum(x[t, k] for t, k in enumerate(path))) for path in paths if said(path) == target)
        loss = ds.CTCLoss(reduction="sum")(x, torch.tensor(target, dtype=torch.int64), 3, len(target))
        assert float(loss) == pytest.approx(-math.log(p))


def test_labels_one_after_the_other_and_no_batch():
    x = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0)).log_softmax(2)
    padded, joined = torch.tensor([[1, 2, 3], [2, 0, 0]]), torch.tensor([1, 2, 3, 2])
    loss = ds.CTCLoss(reduction="none")
    both = loss(x, padded, [6, 5], [3, 1])
    assert torch.equal(both, loss(x, joined, (6, 5), (3, 1)))
    with ds.engine("manual"):
        alone = loss(x[:5, 1], torch.tensor([2]), 5, 1)
        assert loss.backward(torch.tensor(2.0)).shape == (5, 4)
    assert alone.shape == ()
    torch.testing.assert_close(alone, both[1])


def test_a_long_sequence_does_not_underflow():
    x = torch.full((2000, 1, 3), -50.0)
    loss = ds.CTCLoss(reduction="sum")(x, torch.tensor([[1, 2]]), [2000], [2])
    assert loss.isfinite()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"log_probs": torch.zeros(6)}, ValueError, r"log_probs \(T, B, C\)"),
        ({"log_probs": torch.zeros(0, 2, 4)}, ValueError, "T at least 1"),
        ({"targets": torch.ones(3, 3, dtype=torch.int64)}, ValueError, r"targets \(2, S\)"),
        ({"targets": torch.tensor([1, 2, 3])}, ValueError, r"targets \(2, S\)|target_lengths"),
        (
            {"targets": torch.tensor([[1, 4, 3], [2, 0, 0]])},
            IndexError,
            "from 0 to 3 other than the blank, 0, got 4",
        ),
        ({"targets": torch.tensor([[1, 0, 3], [2, 0, 0]])}, IndexError, "got 0"),
        ({"input_lengths": [7, 5]}, ValueError, "input_lengths from 0 to 6"),
        ({"input_lengths": [6]}, ValueError, "input_lengths of 2 sequences, got 1"),
        ({"input_lengths": [5.7, 5]}, TypeError, "input_lengths of an integer type"),
        ({"target_lengths": torch.tensor([2.5, 1.0])}, TypeError, "target_lengths of an integer type"),
        ({"targets": torch.full((2, 3), 1.5)}, TypeError, "targets of an integer type, got torch.float32"),
        ({"log_probs": torch.zeros(6, 2, 4).long()}, TypeError, "floating point"),
        ({"target_lengths": [4, 1]}, ValueError, "target_lengths from 0 to 3"),
        ({"target_lengths": [-1, 1]}, ValueError, "target_lengths from 0 to 3"),
    ],
)
def test_what_is_refused(changed, error, message):
    given = {
        "log_probs": torch.zeros(6, 2, 4),
        "targets": torch.tensor([[1, 2, 3], [2, 0, 0]]),
        "input_lengths": [6, 5],
        "target_lengths": [3, 1],
    }
    with pytest.raises(error, match=message):
        ds.CTCLoss()(**given | changed)


def test_no_sequence_at_all():
    none = torch.zeros(0, 2, dtype=torch.int64)
    assert float(ds.CTCLoss(reduction="sum")(torch.zeros(5, 0, 4), none, [], [])) == 0
    assert math.isnan(ds.CTCLoss()(torch.zeros(5, 0, 4), none, [], []))  # the mean of nothing


def test_a_blank_that_is_no_class():
    with pytest.raises(ValueError, match="blank=4 among 4 classes"):
        ds.CTCLoss(blank=4)(torch.zeros(3, 1, 4), torch.tensor([[1]]), [3], [1])
    with pytest.raises(ValueError, match="blank of at least 0"):
        ds.CTCLoss(blank=-1)
