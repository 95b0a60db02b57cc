"""DataLoader: batches in order, shuffled, resumed, fetched ahead and transformed."""

import gc
import json
import os
import threading
import time

import datasets
import pytest
import torch
from ds_core.data import (
    DataLoader,
    Dataset,
)
from hypothesis import settings

varied = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module", autouse=True)
def no_network():
    """Datasets are read from local files only, and draw no progress bars."""
    datasets.disable_progress_bars()


class Rows:
    """An indexable dataset whose samples are tuples; ``bad`` ones raise."""

    def __init__(self, size=10, bad=()):
        self.size, self.bad, self.fetched = size, bad, []

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if index in self.bad:
            raise OSError(f"sample {index} is broken")
        self.fetched.append(index)
        return torch.tensor([index, -index]), index


def seen(loader):
    return [batch[-1].tolist() for batch in loader]


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("DataLoader")]


X, Y = torch.arange(20.0).view(10, 2), torch.arange(10)
KINDS = {
    "tensors": lambda **k: DataLoader(X, Y, **k),
    "dataset": lambda **k: DataLoader(Dataset(X, Y), **k),
    "rows": lambda **k: DataLoader(Rows(), **k),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
every_prefetch = pytest.mark.parametrize("prefetch", [0, 1, 5])


@every_kind
@every_prefetch
def test_batches_in_order(make, prefetch):
    loader = make(batch_size=4, prefetch=prefetch)
    assert len(loader) == 3
    assert seen(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert seen(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    dropping = make(batch_size=4, drop_last=True, prefetch=prefetch)
    assert len(dropping) == 2
    assert seen(dropping) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    whole = make(batch_size=None, prefetch=prefetch)
    assert len(whole) == 1
    assert seen(whole) == [list(range(10))]


@every_kind
@every_prefetch
def test_shuffled_epochs_differ_and_repeat_with_the_seed(make, prefetch):
    def epochs(seed):
        loader = make(batch_size=4, shuffle=True, seed=seed, prefetch=prefetch)
        return [seen(loader) for _ in range(3)]

    first = epochs(0)
    assert first == epochs(0)
    assert first != epochs(1)
    orders = [[sample for batch in epoch for sample in batch] for epoch in first]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(10)) for order in orders)
    # All ways of fetching see one order.
    assert first == [seen(reference) for reference in [DataLoader(X, Y, batch_size=4, shuffle=True)] * 3]


def test_a_batch_has_samples_of_one_group():
    groups = torch.tensor([0, 1, 0, 0, 1, 0, 1, 0, 0, 0])
    loader = DataLoader(Y, batch_size=3, groups=groups)
    assert seen(loader) == [[0, 2, 3], [5, 7, 8], [9], [1, 4, 6]]
    assert len(loader) == 4
    assert len(DataLoader(Y, batch_size=3, groups=groups, drop_last=True)) == 3
    shuffled = DataLoader(Y, batch_size=3, groups=groups, shuffle=True)
    first, second = seen(shuffled), seen(shuffled)
    assert first != second
    for epoch in (first, second):
        assert sorted(sample for batch in epoch for sample in batch) == list(range(10))
        assert all(len({int(groups[sample]) for sample in batch}) == 1 for batch in epoch)
    resumed = DataLoader(Y, batch_size=3, groups=groups, shuffle=True)
    walk = iter(resumed)
    next(walk)
    again = DataLoader(Y, batch_size=3, groups=groups, shuffle=True)
    again.load_state_dict(resumed.state_dict())
    assert seen(again) == first[1:]
    with pytest.raises(ValueError, match=r"expected groups \(10,\)"):
        DataLoader(Y, groups=torch.zeros(9))


def test_neighbouring_seeds_share_no_epochs():
    def orders(seed):
        loader = DataLoader(torch.arange(50), batch_size=None, shuffle=True, seed=seed)
        return {tuple(seen(loader)[0]) for _ in range(4)}

    assert len(orders(0) | orders(1) | orders(2) | orders(2**40)) == 16


def test_inputs_and_targets_stay_together():
    for x, y in DataLoader(X, Y, batch_size=3, shuffle=True):
        assert torch.equal(x[:, 0], 2.0 * y)
    for x, y in KINDS["rows"](batch_size=3, shuffle=True):
        assert torch.equal(x, torch.stack([y, -y], 1))


def test_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    seen(DataLoader(Y, shuffle=True))
    assert torch.equal(torch.random.get_rng_state(), state)


@every_kind
@every_prefetch
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("stop", range(13))  # over more than three epochs of four batches
def test_resuming_continues_with_the_very_next_batch(make, prefetch, shuffle, stop):
    options = {"batch_size": 3, "shuffle": shuffle, "seed": 7}
    straight = make(**options)
    expected = [seen(straight) for _ in range(5)]

    loader = make(prefetch=prefetch, **options)
    epochs, count, state = [], 0, loader.state_dict()
    while count < stop:
        epochs.append([])
        for batch in loader:
            epochs[-1].append(batch[-1].tolist())
            count += 1
            state = loader.state_dict()
            if count == stop:
                break
    state = json.loads(json.dumps(state))  # it can be written down

    resumed = make(prefetch=prefetch, **options)
    seen(resumed)  # whatever it did before
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    rest = [seen(resumed)]
    if epochs:
        rest = [epochs.pop() + rest[0]]
    epochs += rest
    epochs += [seen(resumed) for _ in range(5 - len(epochs))]
    assert epochs == expected


def test_position_after_a_whole_epoch_is_the_beginning_of_the_next():
    loader = DataLoader(Y, batch_size=3, shuffle=True)
    first = seen(loader)
    state = loader.state_dict()
    second = seen(loader)
    assert second != first
    loader.load_state_dict(state)
    assert seen(loader) == second


def test_an_epoch_left_early_is_over():
    loader = DataLoader(Y, batch_size=3, shuffle=True)
    expected = [seen(loader), seen(loader)]
    loader = DataLoader(Y, batch_size=3, shuffle=True)
    assert next(iter(loader))[0].tolist() == expected[0][0]
    assert seen(loader) == expected[1]


def test_one_loop_within_another():
    loader = DataLoader(Y, batch_size=5)
    pairs = [(a.tolist()[0], b.tolist()[0]) for (a,) in loader for (b,) in loader]
    assert pairs == [(0, 0), (0, 5), (5, 0), (5, 5)]


def test_a_position_in_other_batches_is_refused():
    state = DataLoader(Y, batch_size=3, seed=1).state_dict()
    for options, words in [
        ({"batch_size": 4, "seed": 1}, "expected batch_size 4 as in this loader, got 3"),
        ({"batch_size": 3, "seed": 2}, "seed 2 .* got 1"),
        ({"batch_size": 3, "seed": 1, "shuffle": True}, "shuffle True .* got False"),
        ({"batch_size": 3, "seed": 1, "drop_last": True}, "drop_last True .* got False"),
    ]:
        with pytest.raises(ValueError, match=words):
            DataLoader(Y, **options).load_state_dict(state)
    with pytest.raises(ValueError, match=r"samples 9 .* got 10"):
        DataLoader(Y[:9], batch_size=3, seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match=r"samples 10 .* got None"):
        DataLoader(Y).load_state_dict({})


def test_prefetch_works_ahead_and_no_further():
    rows = Rows(20)
    batches = iter(DataLoader(rows, batch_size=2, prefetch=3))
    next(batches)
    deadline = time.monotonic() + 5
    while len(rows.fetched) < 8 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert rows.fetched == list(range(8))  # the one yielded and three more
    assert threading.main_thread() not in our_threads()
    assert len(our_threads()) == 1
    batches.close()
    assert not our_threads()


def test_an_error_in_the_thread_reaches_the_loop_in_its_place():
    loader = DataLoader(Rows(10, bad={5}), batch_size=2, prefetch=4)
    batches = iter(loader)
    assert [next(batches)[-1].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match="sample 5 is broken"):
        next(batches)
    assert not our_threads()
    assert loader.state_dict()["batch"] == 2


@pytest.mark.parametrize("way", ["break", "exception", "forgotten", "end"])
def test_no_thread_outlives_its_loop(way):
    loader = DataLoader(Rows(50), batch_size=2, prefetch=3)
    try:
        for _ in loader:
            if way == "break":
                break
            if way == "exception":
                raise KeyError
            if way == "forgotten":
                batches = iter(loader)
                next(batches)
                assert len(our_threads()) == 2
                del batches
                break
    except KeyError:
        pass
    gc.collect()
    assert not our_threads()


def test_dict_samples_and_their_columns():
    rows = [{"a": i, "b": [i, i + 1], "c": i / 2, "d": "text"} for i in range(5)]
    ((b, a, c),) = DataLoader(rows, columns=["b", "a", "c"], batch_size=None)
    assert b.shape == (5, 2)
    assert (a.dtype, c.dtype) == (torch.int64, torch.float32)
    assert a.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="columns among a, b, c, d, got 'z'"):
        next(iter(DataLoader(rows, columns=["z"])))
    with pytest.raises(TypeError, match="numbers or tensors in column 'd', got str"):
        next(iter(DataLoader(rows)))


@every_prefetch
def test_hugging_face_dataset(prefetch):
    data = datasets.Dataset.from_dict(
        {"x": [[i / 2, 1.0] for i in range(10)], "label": list(range(10)), "text": ["word"] * 10}
    )
    loader = DataLoader(data, columns=["x", "label"], batch_size=4, shuffle=True, prefetch=prefetch)
    for x, label in loader:
        assert x.dtype == torch.float32
        assert torch.equal(x[:, 0], label / 2)
    assert seen(DataLoader(data, columns=["label"], batch_size=None)) == [list(range(10))]
    with pytest.raises(ValueError, match="columns among x, label, text, got 'y'"):
        DataLoader(data, columns=["y"])
    own = data.with_transform(lambda rows: {"twice": [2 * value for value in rows["label"]]})
    assert seen(DataLoader(own, columns=["twice"], batch_size=5))[1] == [10, 12, 14, 16, 18]
    with pytest.raises(TypeError, match="a dict of them; choose one of train, test"):
        DataLoader(datasets.DatasetDict(train=data, test=data))


@every_kind
@every_prefetch
def test_a_transform_changes_batches_and_follows_seed_epoch_and_place(make, prefetch):
    def noisy(x, y, generator):
        return x + torch.rand(x.shape, generator=generator), 10 * y

    def epochs(seed=0, resume_at=None):
        loader = make(batch_size=4, shuffle=True, seed=seed, prefetch=prefetch, transform=noisy)
        batches = [[list(batch) for batch in loader] for _ in range(2)]
        if resume_at is not None:
            loader.load_state_dict({**loader.state_dict(), "epoch": 1, "batch": resume_at})
            return list(loader)
        return batches

    first, again, other = epochs(), epochs(), epochs(seed=1)
    flat = [batch for epoch in first for batch in epoch]
    for (x, y), (same_x, same_y) in zip(flat, [batch for epoch in again for batch in epoch], strict=True):
        assert torch.equal(x, same_x)
        assert torch.equal(y, same_y)
    assert sorted(torch.cat([y for _, y in first[0]]).tolist()) == list(range(0, 100, 10))
    noise = [(x - x.floor()).flatten()[:4].tolist() for x, _ in flat]
    assert len({tuple(values) for values in noise}) == len(flat)  # no two batches draw the same
    assert not torch.equal(first[0][0][0], other[0][0][0])
    # Where training goes on in the middle of an epoch, the numbers are those it would have had.
    (x, _), *_ = epochs(resume_at=1)
    assert torch.equal(x, first[1][1][0])


def test_a_transform_may_return_one_tensor():
    loader = DataLoader(X, batch_size=None, transform=lambda x, generator: x + 1)
    ((x,),) = loader
    assert torch.equal(x, X + 1)


class Dying(Rows):
    """Ends the process that reads it, once."""

    def __init__(self, once):
        super().__init__()
        self.once = once

    def __getitem__(self, number):
        if not self.once.exists():
            self.once.touch()
            os._exit(1)
        return super().__getitem__(number)


def test_a_worker_that_dies_is_said_and_replaced_in_the_next_epoch(tmp_path):
    loader = DataLoader(Dying(tmp_path / "died"), batch_size=4, workers=1)
    with pytest.raises(RuntimeError, match="a process that prepares batches has died"):
        list(loader)
    assert len(list(loader)) == 3
    loader.close()


def test_what_workers_cannot_have_a_copy_of_is_said():
    loader = DataLoader(Y, batch_size=5, workers=1, transform=lambda y, generator: y)
    with pytest.raises(TypeError, match=r"transform that other processes can have a copy of, .*lambda"):
        list(loader)


def test_loader_refuses():
    for words, error, call in [
        ("at least one sample", ValueError, lambda: DataLoader(torch.zeros(0, 2))),
        ("at least one sample", ValueError, lambda: DataLoader([])),
        ("one length, got 10 and 9", ValueError, lambda: DataLoader(X, Y[:9])),
        (
            "batch_size of at least 1, got 0",
            ValueError,
            lambda: DataLoader(Y, batch_size=0),
        ),
        ("prefetch of at least 0", ValueError, lambda: DataLoader(Y, prefetch=-1)),
        (
            "no batch: 10 samples, batch_size 11",
            ValueError,
            lambda: DataLoader(Y, batch_size=11, drop_last=True),
        ),
        ("for samples with names", ValueError, lambda: DataLoader(Y, columns=["y"])),
        ("got nothing", TypeError, lambda: DataLoader()),
        ("got list, list; torch.as_tensor", TypeError, lambda: DataLoader([1], [2])),
        ("got generator", TypeError, lambda: DataLoader(i for i in range(3))),
        (
            "need samples that are dicts, got tuple",
            ValueError,
            lambda: next(iter(DataLoader(Rows(), columns=["a"]))),
        ),
        (
            r"one shape throughout place 0 of the samples, got \(1,\) and \(2,\)",
            ValueError,
            lambda: next(iter(DataLoader([(torch.ones(1), 0), (torch.ones(2), 1)]))),
        ),
        ("as many values in each sample", ValueError, lambda: next(iter(DataLoader([(1, 2), (3,)])))),
        ("columns among b, got 'a'", ValueError, lambda: next(iter(DataLoader([{"a": 1}, {"b": 1}])))),
        (r"write \['a'\]", TypeError, lambda: DataLoader([{"a": 1}], columns="a")),
        ("groups as a tensor", TypeError, lambda: DataLoader(Y, groups=[0] * 10)),
        (
            "transform to return a tensor or a tuple of them, got None",
            TypeError,
            lambda: next(iter(DataLoader(Y, transform=lambda y, generator: None))),
        ),
    ]:
        with pytest.raises(error, match=words):
            call()


def test_repr():
    shown = "DataLoader(samples=10, batch_size=4, shuffle=True, seed=3, drop_last=False)"
    assert repr(DataLoader(Y, batch_size=4, shuffle=True, seed=3)) == shown
