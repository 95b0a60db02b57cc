"""Data: splits, scales, batches and every kind of file, whole and broken."""

import gc
import gzip
import io
import json
import math
import struct
import subprocess
import sys
import threading
import time

import datasets
import numpy as np
import pytest
import sklearn.datasets
import sklearn.preprocessing
import torch
from ds_core.data import (
    DataLoader,
    Dataset,
    MinMaxScaler,
    StandardScaler,
    load,
    load_csv,
    make_housing,
    make_moons,
    make_spirals,
    one_hot,
    read_csv,
    read_idx,
    train_test_split,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

varied = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module", autouse=True)
def no_network():
    """Datasets are read from local files only, and draw no progress bars."""
    datasets.disable_progress_bars()


def test_importing_needs_no_optional_package():
    code = (
        "import sys, ds_core, ds_core.data, ds_core.metrics;"
        "print([m for m in ('datasets', 'PIL', 'sklearn', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


# ---- train_test_split ----------------------------------------------------------------------------------


def test_split_keeps_every_sample_once_and_pairs_together():
    x, y = torch.arange(10.0)[:, None], torch.arange(10)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25)
    assert (len(x_train), len(x_test)) == (7, 3)  # rounded up
    assert torch.equal(x_train[:, 0].long(), y_train)
    assert torch.equal(x_test[:, 0].long(), y_test)
    assert sorted([*y_train.tolist(), *y_test.tolist()]) == list(range(10))
    assert y_train.tolist() != sorted(y_train.tolist())


def test_split_follows_the_seed():
    y = torch.arange(100)
    first, again, other = (train_test_split(y, seed=seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(train_test_split(y, test_size=7)[1]) == 7


@varied
@given(st.lists(st.integers(2, 12), min_size=1, max_size=5), st.floats(0.05, 0.95), st.integers(0, 5))
def test_stratified_split_gives_each_class_its_share(counts, test_size, seed):
    y = torch.repeat_interleave(torch.arange(len(counts)) * 3, torch.tensor(counts))
    total = len(y)
    if not 0 < math.ceil(test_size * total - 1e-9) < total:
        return
    place = torch.arange(total)
    train, test, _, y_test = train_test_split(place, y, test_size=test_size, seed=seed, stratify=y)
    assert len(test) == math.ceil(test_size * total - 1e-9)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(total))
    for label, count in enumerate(counts):
        assert abs(int((y_test == 3 * label).sum()) - len(test) * count / total) < 1


def test_stratified_parts_are_in_random_order():
    y = torch.arange(200) % 2
    _, test = train_test_split(y, test_size=100, stratify=y)
    assert 0 < test.diff().abs().sum() < 99  # neither sorted by class nor alternating
    assert test.sum() == 50


def test_split_refuses():
    x, y = torch.zeros(5), torch.zeros(4)
    for words, call in [
        ("one length, got 5 and 4", lambda: train_test_split(x, y)),
        ("one length, got none", lambda: train_test_split()),
        ("one length, got 5 and 4", lambda: train_test_split(x, stratify=y.long())),
        ("got 0.0", lambda: train_test_split(x, test_size=0.0)),
        ("whole number below the 5 samples, got 5", lambda: train_test_split(x, test_size=5)),
        ("got 1.5", lambda: train_test_split(x, test_size=1.5)),
        ("got -1", lambda: train_test_split(x, test_size=-1)),
        ("class 2 has only one", lambda: train_test_split(x, stratify=torch.tensor([0, 0, 2, 1, 1]))),
        ("samples in both parts", lambda: train_test_split(torch.zeros(1))),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="expected tensors, got list"):
        train_test_split([1, 2])
    with pytest.raises(TypeError, match=r"class indices \(N,\) to stratify, got torch.float32"):
        train_test_split(x, stratify=x)


# ---- scalers and one_hot -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (StandardScaler(), sklearn.preprocessing.StandardScaler()),
        (MinMaxScaler(), sklearn.preprocessing.MinMaxScaler()),
        (MinMaxScaler((-1.0, 3.0)), sklearn.preprocessing.MinMaxScaler((-1, 3))),
    ],
)
def test_scalers_equal_their_namesakes(ours, theirs, dtype):
    generator = torch.Generator().manual_seed(0)
    train = (torch.randn(50, 4, generator=generator) * torch.tensor([1, 100, 0.01, 1]) + 3).to(dtype)
    test = train[:20] * 1.5
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    theirs.fit(train.double().numpy())
    scaled = ours.fit(train).transform(test)
    assert scaled.dtype == dtype
    np.testing.assert_allclose(scaled, theirs.transform(test.double().numpy()), rtol=1e-5, atol=tolerance)
    torch.testing.assert_close(ours.inverse_transform(scaled), test)
    torch.testing.assert_close(ours.fit_transform(train), ours.fit(train).transform(train))


def test_scalers_of_more_dimensions_and_of_a_single_one():
    x = torch.randn(20, 2, 3, generator=torch.Generator().manual_seed(1))
    scaled = StandardScaler().fit_transform(x)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(2, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(2, 3))
    prices = torch.tensor([1.0, 2.0, 4.0])
    torch.testing.assert_close(MinMaxScaler().fit_transform(prices), torch.tensor([0, 1 / 3, 1]))


def test_a_constant_column_is_an_error_unless_allowed():
    x = torch.tensor([[1.0, 0.1, 5.0], [2.0, 0.1, 5.0], [4.0, 0.1, 5.0]])
    for scaler in (StandardScaler(), MinMaxScaler()):
        with pytest.raises(ValueError, match=r"the same in columns 1, 2; .* constant='allow'"):
            scaler.fit(x)
    standard = StandardScaler(constant="allow").fit(x)
    assert torch.equal(standard.transform(x)[:, 1:], torch.zeros(3, 2))
    # A value that differs after all moves by as much as it differs.
    torch.testing.assert_close(standard.transform(x + 0.5)[:, 1:], torch.full((3, 2), 0.5))
    stretched = MinMaxScaler((-1, 1), constant="allow").fit(x)
    assert torch.equal(stretched.transform(x)[:, 1:], torch.full((3, 2), -1.0))
    torch.testing.assert_close(stretched.inverse_transform(stretched.transform(x)), x)


def test_scalers_refuse():
    for words, error, call in [
        ("call fit with the training part first", RuntimeError, lambda s: s.transform(torch.ones(2, 2))),
        ("call fit", RuntimeError, lambda s: s.inverse_transform(torch.ones(2, 2))),
        ("floating point input, got torch.int64", TypeError, lambda s: s.fit(torch.arange(3))),
        ("at least one sample to fit", ValueError, lambda s: s.fit(torch.ones(0, 2))),
        ("infinite ones in column 1", ValueError, lambda s: s.fit(torch.tensor([[1, math.nan], [2, 1]]))),
        ("same in the only column", ValueError, lambda s: s.fit(torch.ones(3))),
        (
            r"shape \(N, 2\) as in fit, got \(3, 4\)",
            ValueError,
            lambda s: s.fit(torch.randn(9, 2)).transform(torch.ones(3, 4)),
        ),
    ]:
        for scaler in (StandardScaler(), MinMaxScaler()):
            with pytest.raises(error, match=words) as caught:
                call(scaler)
            assert str(caught.value).startswith(type(scaler).__name__)
    with pytest.raises(ValueError, match=r"range \(low, high\)"):
        MinMaxScaler((1, 1))
    with pytest.raises(ValueError, match="expected constant"):
        StandardScaler(constant="skip")


@pytest.mark.parametrize("shape", [(7,), (2, 3), (), (0,)])
def test_one_hot_equals_its_namesake(shape):
    labels = torch.randint(4, shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one_hot(labels, 4), torch.nn.functional.one_hot(labels, 4).float())
    if labels.numel():
        assert torch.equal(one_hot(labels), torch.nn.functional.one_hot(labels).float())
    assert one_hot(labels.int(), 4, dtype=torch.int64).dtype == torch.int64


def test_one_hot_refuses():
    with pytest.raises(ValueError, match="indices 0 to 2, got 3"):
        one_hot(torch.tensor([0, 3]), 3)
    with pytest.raises(ValueError, match="indices 0 to 2, got -1"):
        one_hot(torch.tensor([-1, 0]), 3)
    with pytest.raises(ValueError, match="number of classes"):
        one_hot(torch.tensor([], dtype=torch.int64))
    for labels in (torch.tensor([0.0]), torch.tensor([True])):
        with pytest.raises(TypeError, match="integer class indices"):
            one_hot(labels)


# ---- DataLoader ----------------------------------------------------------------------------------------


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


def test_loader_refuses():
    for words, error, call in [
        ("at least one sample", ValueError, lambda: DataLoader(torch.zeros(0, 2))),
        ("at least one sample", ValueError, lambda: DataLoader([])),
        ("one length, got 10 and 9", ValueError, lambda: DataLoader(X, Y[:9])),
        (
            "batch_size of at least 1, or None for all samples, got 0",
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
    ]:
        with pytest.raises(error, match=words):
            call()


def test_repr():
    shown = "DataLoader(samples=10, batch_size=4, shuffle=True, seed=3, drop_last=False)"
    assert repr(DataLoader(Y, batch_size=4, shuffle=True, seed=3)) == shown


# ---- CSV -----------------------------------------------------------------------------------------------


@pytest.fixture
def csv(tmp_path):
    """Writes a CSV file and returns its path."""

    def write(content, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


HOUSES = """rooms,town,age,price
3,Ulm,10,1.5
4,"Aa, upper",,2.5
5,Ulm,30,3.5
"""


def test_csv_numbers_and_text(csv):
    data = load(f"csv:{csv(HOUSES)}", target="price", missing="drop", text={"town": "one_hot"})
    assert data.x.tolist() == [[3, 1, 10], [5, 1, 30]]
    assert data.feature_names == ["rooms", "town=Ulm", "age"]
    assert (data.x.dtype, data.y.dtype) == (torch.float32, torch.float32)
    assert data.y.tolist() == [1.5, 3.5]
    assert data.class_names is None
    assert "dropped 1 of 3 rows with missing values (age 1)" in data.notes
    assert "town: text, as 1 columns of 0 and 1" in data.notes
    assert len(data) == 2


@pytest.mark.parametrize(("missing", "value"), [("mean", 50.0), ("median", 30.0)])
def test_csv_gaps_are_filled_and_noted(csv, missing, value):
    path = csv("a,b,y\n1,10,0\n2,NA,1\n3,110,2\n4,30,3\n")
    data = load_csv(path, target="y", missing=missing)
    assert data.x[:, 1].tolist() == [10, value, 110, 30]
    assert f"b: filled 1 missing values with the {missing}, {value:g}" in data.notes


@pytest.mark.parametrize("word", ["", " ", "NA", "n/a", "NaN", "null", "NULL", "?"])
def test_csv_words_for_a_gap(csv, word):
    with pytest.raises(
        ValueError, match=r"missing \(a 1\), the first one of 'a' in line 3; pass missing='drop'"
    ):
        load_csv(csv(f"a,b\n1,2\n{word},4\n"))


def test_csv_gaps_in_columns_not_used_do_not_matter(csv):
    data = load_csv(csv(HOUSES), target="price", columns=["rooms"])
    assert data.x.tolist() == [[3], [4], [5]]
    assert data.notes == ["price: target, numbers"]


def test_csv_columns_in_the_order_asked_for(csv):
    path = csv("a,b,c\n1,2,3\n4,5,6\n")
    assert load_csv(path, columns=["c", "a"]).x.tolist() == [[3, 1], [6, 4]]
    assert load_csv(path, columns="b").x.tolist() == [[2], [5]]
    data = load_csv(path)
    assert data.y is None
    assert data.tensors == (data.x,)
    several = load_csv(path, target=["c", "b"])
    assert several.y.tolist() == [[3, 2], [6, 5]]
    assert load_csv(path, target=["c"]).y.shape == (2, 1)


def test_csv_classes(csv):
    path = csv("x,kind,digit\n1,wasp,10\n2,ant,9\n3,wasp,10\n")
    data = load_csv(path, target="kind", columns=["x"])
    assert data.y.tolist() == [1, 0, 1]
    assert data.y.dtype == torch.int64
    assert data.class_names == ["ant", "wasp"]
    digits = load_csv(path, target="digit", columns=["x"], classes=True)
    assert digits.y.tolist() == [1, 0, 1]
    assert digits.class_names == ["9", "10"]  # as numbers, not as texts
    numbers = load_csv(path, target="digit", columns=["x"])
    assert numbers.y.tolist() == [10, 9, 10]
    assert numbers.notes == ["digit: target, numbers; pass classes=True if they are class labels"]
    with pytest.raises(ValueError, match="expected numbers in the target 'kind', got 'wasp'"):
        load_csv(path, target="kind", columns=["x"], classes=False)
    with pytest.raises(ValueError, match="expected one target column of classes"):
        load_csv(path, target=["digit"], columns=["x"], classes=True)
    with pytest.raises(ValueError, match="expected numbers in column 'kind', got 'wasp' in line 2"):
        load_csv(path, target=["digit", "kind"])


def test_csv_text_as_index_or_one_hot(csv):
    path = csv("size,code,y\nbig,1,0\nsmall,2,1\nbig,2,2\n")
    index = load_csv(path, target="y", text="index")
    assert index.x.tolist() == [[0, 1], [1, 2], [0, 2]]
    assert "size: text, as its place in alphabetic order: 0 big, 1 small" in index.notes
    both = load_csv(path, target="y", text={"size": "index", "code": "one_hot"})
    assert both.feature_names == ["size", "code=1", "code=2"]
    assert both.x.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 1]]


def test_csv_text_must_be_asked_for(csv):
    with pytest.raises(
        ValueError, match=r"data\.csv: expected numbers, got 'Ulm' in column 'town', line 2; pass"
    ):
        load_csv(csv(HOUSES), target="price", missing="drop")
    with pytest.raises(ValueError, match="expected numbers, got 'Ulm' in column 'town'"):
        load_csv(csv(HOUSES), target="price", missing="drop", text={"rooms": "index"})
    with pytest.raises(
        ValueError, match="column 'b' is text and misses a value in line 2; a text is not made up"
    ):
        load_csv(csv("a,b\n1,\n2,x\n"), missing="mean", text="one_hot")
    names = "\n".join(f"{i},name{i}" for i in range(1001))
    with pytest.raises(ValueError, match="'who' has 1,001 different texts, too many for one-hot"):
        load_csv(csv(f"a,who\n{names}\n"), text="one_hot")
    assert load_csv(csv(f"a,who\n{names}\n"), text="index").x.shape == (1001, 2)


def test_csv_a_stray_text_names_line_and_column(csv):
    path = csv("a,b\n1,2\n\n3,oops\n5,6\n7,8\n")
    words = (
        r"expected a number as in 3 other rows, got 'oops' in column 'b', line 4; correct it, or pass text="
    )
    for text in ("error", "one_hot"):
        with pytest.raises(ValueError, match=words):
            load_csv(path, text=text)
    assert load_csv(path, text={"b": "one_hot"}).feature_names == ["a", "b=2", "b=6", "b=8", "b=oops"]
    with pytest.raises(ValueError, match=r"got '1_000' in column 'a', line 2"):  # Python would read it
        load_csv(csv("a\n1_000\n2\n"))


def test_csv_targets_are_never_made_up(csv):
    path = csv("a,y\n1,2\n2,\n")
    with pytest.raises(ValueError, match="target 'y' is missing in line 3; targets are not made up"):
        load_csv(path, target="y", missing="mean")
    assert load_csv(path, target="y", missing="drop").y.tolist() == [2]


def test_csv_columns_or_rows_without_values(csv):
    with pytest.raises(ValueError, match="column 'b' has no value at all"):
        load_csv(csv("a,b\n1,\n2,\n"), missing="drop")
    with pytest.raises(ValueError, match=r"every row misses some value \(a 1, b 1\); nothing is left"):
        load_csv(csv("a,b\n1,\n,2\n"), missing="drop")


@pytest.mark.parametrize("number", ["inf", "-Infinity", "1e39"])
def test_csv_numbers_beyond_float32(csv, number):
    with pytest.raises(ValueError, match=rf"finite float32 number, got '{number}' in column 'a', line 3"):
        load_csv(csv(f"a\n1\n{number}\n"))


def test_csv_unknown_columns(csv):
    path = csv(HOUSES)
    for options, words in [
        (
            {"target": "prise"},
            "target: no column 'prise'; did you mean 'price'\\? The columns are rooms, town, age, price",
        ),
        ({"columns": ["zzz"]}, "columns: no column 'zzz'; The columns are rooms"),
        ({"text": {"twon": "index"}}, "text: no column 'twon'; did you mean 'town'"),
        ({"columns": ["age", "age"]}, "each column once, got age, age"),
        ({"columns": ["age"], "target": "age"}, "column 'age' is the target"),
        ({"target": ["rooms", "town", "age", "price"]}, "at least one feature column"),
        ({"missing": "zero"}, "missing: expected 'error', 'drop', 'mean' or 'median', got 'zero'"),
        ({"text": "hash"}, "text: expected 'error', 'one_hot' or 'index', got 'hash'"),
    ]:
        with pytest.raises(ValueError, match=words):
            load_csv(path, **options)


def test_csv_formats(csv):
    expected = [[1.0, 2.5], [3.0, 4.0]]
    for content in [
        "\ufeffa,b\n1,2.5\n3,4\n",  # byte order mark
        "a,b\r\n1,2.5\r\n3,4",  # Windows line ends, none at the end
        ' a , b \n 1 ,"2.5"\n\n3,4\n\n',  # spaces, quotes, blank lines
    ]:
        data = load_csv(csv(content))
        assert data.x.tolist() == expected
        assert data.feature_names == ["a", "b"]
    assert "skipped 2 blank lines" in data.notes
    assert load_csv(csv("a;b\n1;2.5\n3;4\n"), delimiter=";").x.tolist() == expected
    headless = load_csv(csv("1,2.5\n3,4\n"), header=False, target="column2")
    assert headless.feature_names == ["column1"]
    assert headless.y.tolist() == [2.5, 4.0]
    latin = load_csv(csv("größe,y\n1,2\n", encoding="latin-1"), encoding="latin-1")
    assert latin.feature_names == ["größe", "y"]
    unnamed = load_csv(csv(",b\n1,2.5\n3,4\n"))
    assert unnamed.feature_names == ["column1", "b"]


def test_csv_quoted_cells(csv):
    table = read_csv(csv('word,n\n"a, ""b""\nc",1\nd,2\n'))
    assert table.columns == {"word": ['a, "b"\nc', "d"], "n": ["1", "2"]}
    assert [table.where(row) for row in range(2)] == ["line 2", "line 4"]  # the first one is two lines long


def test_csv_broken_files(csv, tmp_path):
    for content, words in [
        ("", "data.csv: the file is empty"),
        ("\n\n", "data.csv: the file is empty"),
        ("a,b\n", "expected rows below the header, got none"),
        ("a,b\n1,2\n3\n", r"data\.csv, line 3: expected 2 cells as in the first line, got 1"),
        ("a,b\n1,2\n\n3,4,5\n", r"line 4: expected 2 cells as in the first line, got 3"),
        (
            "1,2\n3,4\n",
            r"line 1: expected the columns' names, got only numbers \(1, 2, ...\); pass header=False",
        ),
        ("a,b,a\n1,2,3\n", "line 1: expected different names, got 2 columns 'a'"),
        ('a,b\n1,2\n3,"4\n', r"data\.csv, line 3: unexpected end of data"),
        ('a,b\n1,"2"3\n', r"data\.csv, line 2: .*expected after"),
        ("a,größe\n1,2\n".encode("latin-1"), r"data\.csv, after line 1: not utf-8-sig text .*'latin-1'"),
    ]:
        with pytest.raises(ValueError, match=words):
            load_csv(csv(content))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: no such file"):
        load_csv(tmp_path / "nowhere.csv")
    with pytest.raises(FileNotFoundError, match="is a folder, not a CSV file"):
        load_csv(tmp_path)


def test_dataset_prints_what_matters(csv):
    data = load_csv(csv(HOUSES), target="town", missing="median")
    lines = repr(data).splitlines()
    assert lines[0].startswith("Dataset(")
    assert lines[1:] == [
        "  x    (3, 3) float32",
        "       rooms, age, price",
        "  y    (3,) int64",
        "       2 classes: Aa, upper, Ulm",
        "  note age: filled 1 missing values with the median, 20",
        "  note town: target, texts as 2 classes in alphabetic order",
    ]
    many = Dataset(torch.zeros(1, 30), None, [f"f{i}" for i in range(30)])
    assert repr(many).endswith("f19 and\n       10 more")


# ---- Hugging Face --------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """Saves columns as a local dataset and returns its folder."""

    def save(columns, features=None, name="saved"):
        data = datasets.Dataset.from_dict(columns, features=datasets.Features(features) if features else None)
        data.save_to_disk(tmp_path / name)
        return tmp_path / name

    return save


def test_hf_table_with_class_labels(saved):
    folder = saved(
        {"a": [1, 2, 3], "b": [0.5, None, math.nan], "s": ["x", "y", "x"], "label": [1, 0, 1]},
        {
            "a": datasets.Value("int64"),
            "b": datasets.Value("float64"),
            "s": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
        },
    )
    data = load(f"hf:{folder}", target="label", missing="mean", text="one_hot")
    assert data.feature_names == ["a", "b", "s=x", "s=y"]
    assert data.x.tolist() == [[1, 0.5, 1, 0], [2, 0.5, 0, 1], [3, 0.5, 1, 0]]
    assert data.y.tolist() == [1, 0, 1]
    assert data.y.dtype == torch.int64
    assert data.class_names == ["cat", "dog"]
    assert "b: filled 2 missing values with the mean, 0.5" in data.notes
    assert load(f"hf:{folder}", target="label", columns=["a"], classes=False).y.dtype == torch.float32
    with pytest.raises(ValueError, match=r"missing \(b 2\), the first one of 'b' in row 1"):
        load(f"hf:{folder}", target="label", columns=["b"])
    with pytest.raises(
        ValueError, match=r"target: no column 'labels'; did you mean 'label'\? The columns are a, b"
    ):
        load(f"hf:{folder}", target="labels")
    with pytest.raises(ValueError, match="has no splits; leave split out"):
        load(f"hf:{folder}", split="train")


def test_hf_a_label_of_minus_one_is_missing(saved):
    label = datasets.ClassLabel(names=["cat", "dog"])
    folder = saved({"a": [1, 2], "label": [1, -1]}, {"a": datasets.Value("int64"), "label": label})
    with pytest.raises(ValueError, match=r"missing \(label 1\), the first one of 'label' in row 1"):
        load(f"hf:{folder}", target="label")
    assert load(f"hf:{folder}", target="label", missing="drop").y.tolist() == [1]


def test_hf_splits(tmp_path):
    part = datasets.Dataset.from_dict({"a": [1, 2], "y": [3, 4]})
    other = datasets.Dataset.from_dict({"a": [5], "y": [6]})
    datasets.DatasetDict(train=part, test=other).save_to_disk(tmp_path / "both")
    assert load(f"hf:{tmp_path}/both", target="y", split="test").x.tolist() == [[5]]
    for split in (None, "val"):
        with pytest.raises(ValueError, match=f"split to be one of train, test, got {split!r}"):
            load(f"hf:{tmp_path}/both", target="y", split=split)
    datasets.DatasetDict(train=part).save_to_disk(tmp_path / "one")
    assert load(f"hf:{tmp_path}/one", target="y").x.tolist() == [[1], [2]]


def test_hf_images_and_arrays(saved, tmp_path):
    pixels = [np.full((4, 6, 3), shade, dtype=np.uint8) for shade in (0, 51, 255)]
    columns = {"image": [Image.fromarray(p) for p in pixels], "y": [0, 1, 0], "v": [[1.0, 2.0]] * 3}
    kinds = {
        "image": datasets.Image(),
        "y": datasets.ClassLabel(names=["dark", "light"]),
        "v": datasets.Sequence(datasets.Value("float32")),
    }
    folder = saved(columns, kinds)
    data = load(f"hf:{folder}", columns="image", target="y")
    assert data.x.shape == (3, 3, 4, 6)
    torch.testing.assert_close(data.x.amax((1, 2, 3)), torch.tensor([0, 0.2, 1]))
    assert data.class_names == ["dark", "light"]
    small = load(f"hf:{folder}", columns="image", target="y", size=(2, 3), mode="L")
    assert small.x.shape == (3, 1, 2, 3)
    assert load(f"hf:{folder}", columns=["v"], target="y").x.tolist() == [[1, 2]] * 3
    with pytest.raises(ValueError, match=r"'image' holds images or arrays, .* pass columns=\['image'\]"):
        load(f"hf:{folder}", target="y")
    with pytest.raises(ValueError, match="not made up: pass missing='drop'"):
        load(f"hf:{folder}", columns="image", missing="mean")

    ragged = saved({"v": [[1.0], [1.0, 2.0]]}, name="ragged")
    with pytest.raises(ValueError, match="arrays of numbers of one shape in column 'v'"):
        load(f"hf:{ragged}")
    uneven = saved(
        {"image": [Image.new("L", (2, 2)), Image.new("L", (3, 2))]},
        {"image": datasets.Image()},
        name="uneven",
    )
    with pytest.raises(
        ValueError, match=r"row 1: expected an image like the first one, \(3, 2, 2\), got \(3, 2, 3\)"
    ):
        load(f"hf:{uneven}")
    broken = saved({"image": [{"bytes": b"junk", "path": None}]}, {"image": datasets.Image()}, name="broken")
    with pytest.raises(ValueError, match=r"row 0: cannot be read as an image .* pass bad='skip'"):
        load(f"hf:{broken}")
    with pytest.raises(ValueError, match="expected images, got only rows whose image cannot be read: 0"):
        load(f"hf:{broken}", bad="skip")
    gap = saved({"image": [columns["image"][0], None]}, {"image": datasets.Image()}, name="gap")
    with pytest.raises(ValueError, match=r"missing \(image 1\), the first one of 'image' in row 1"):
        load(f"hf:{gap}")
    assert load(f"hf:{gap}", missing="drop").x.shape == (1, 3, 4, 6)


def test_hf_bad_images_are_skipped_if_asked(saved):
    def picture(shade, mode="RGB"):
        file = io.BytesIO()
        Image.new(mode, (2, 2), shade).save(file, "PNG")
        return file.getvalue()

    cut_off = picture((9, 9, 9))[:50]
    contents = [picture((51, 51, 51)), b"no picture", cut_off, picture(7, "I;16"), picture((255,) * 3), None]
    folder = saved(
        {"image": [c and {"bytes": c, "path": None} for c in contents], "y": [0, 1, 2, 3, 4, 5]},
        {"image": datasets.Image(), "y": datasets.Value("int64")},
    )
    with pytest.raises(ValueError, match=r"row 1: cannot be read as an image .* pass bad='skip'"):
        load(f"hf:{folder}", columns="image", target="y", missing="drop")
    data = load(f"hf:{folder}", columns="image", target="y", missing="drop", bad="skip")
    assert data.y.tolist() == [0, 4]
    torch.testing.assert_close(data.x.amax((1, 2, 3)), torch.tensor([0.2, 1]))
    assert "skipped 3 rows whose image cannot be read: 1, 2, 3" in data.notes
    with pytest.raises(ValueError, match=r"missing .* in row 5"):  # a gap is no bad image, and keeps its row
        load(f"hf:{folder}", columns="image", target="y", bad="skip")
    with pytest.raises(ValueError, match="bad: expected 'error' or 'skip', got 'ignore'"):
        load(f"hf:{folder}", bad="ignore")


def test_hf_that_cannot_be_loaded(monkeypatch):
    def load_dataset(*_):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ValueError, match="hf:some/name: cannot be loaded: no network"):
        load("hf:some/name")


def test_hf_by_name_and_configuration(monkeypatch):
    asked = []

    def load_dataset(*arguments):
        asked.append(arguments)
        return datasets.DatasetDict(train=datasets.Dataset.from_dict({"a": [1], "y": [2]}))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load("hf:org/name", config="small", target="y", split="train").y.tolist() == [2]
    assert asked == [("org/name", "small")]


# ---- image folders -------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    """A folder of two classes with images of one size, in different modes."""
    folder = tmp_path / "pictures"
    for name in ("dog", "cat"):
        (folder / name / "more").mkdir(parents=True)
    Image.new("RGB", (6, 4), (255, 0, 0)).save(folder / "cat" / "b.png")
    Image.new("L", (6, 4), 51).save(folder / "cat" / "a.PNG")
    Image.new("RGBA", (6, 4), (0, 0, 255, 255)).save(folder / "dog" / "more" / "c.png")
    Image.new("P", (6, 4)).save(folder / "dog" / "d.gif")
    return folder


def test_image_folder(pictures):
    (pictures / "cat" / "notes.txt").write_text("no image")
    (pictures / "cat" / ".hidden.png").write_text("not looked at")
    (pictures / ".cache").mkdir()
    data = load(f"imagefolder:{pictures}")
    assert data.x.shape == (4, 3, 4, 6)
    assert data.x.dtype == torch.float32
    assert data.class_names == ["cat", "dog"]
    assert data.y.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(data.x[0], torch.full((3, 4, 6), 0.2))  # a.PNG, grey
    assert data.x[1, :, 0, 0].tolist() == [1, 0, 0]  # b.png, red
    assert data.notes == ["left out 1 files that are no images"]
    grey = load(f"imagefolder:{pictures}", mode="L", size=3)
    assert grey.x.shape == (4, 1, 3, 3)


def test_image_pixels_and_camera_rotation(tmp_path):
    (tmp_path / "all" / "one").mkdir(parents=True)
    image = Image.new("L", (3, 2))
    image.putdata(range(0, 60, 10))
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held on its side: show it turned right
    image.save(tmp_path / "all" / "one" / "a.png", exif=turned)
    data = load(f"imagefolder:{tmp_path}/all", mode="L")
    upright = torch.tensor([[0, 10, 20], [30, 40, 50]]).rot90(-1)
    torch.testing.assert_close(data.x[0, 0] * 255, upright.float())


def test_image_folder_bad_images(pictures):
    (pictures / "dog" / "broken.jpg").write_bytes(b"junk")
    whole = (pictures / "cat" / "b.png").read_bytes()
    (pictures / "cat" / "short.png").write_bytes(whole[:40])
    Image.new("I;16", (6, 4)).save(pictures / "dog" / "deep.png")
    with pytest.raises(ValueError, match=r"short\.png: cannot be read as an image .* pass bad='skip'"):
        load(f"imagefolder:{pictures}")
    data = load(f"imagefolder:{pictures}", bad="skip")
    assert len(data) == 4
    (note,) = data.notes
    assert note.startswith("skipped 3 images that cannot be read")
    for name in ("short.png", "broken.jpg", "deep.png"):
        assert name in note
    (pictures / "cat" / "short.png").unlink()
    (pictures / "dog" / "broken.jpg").write_text("a text that calls itself a picture")
    with pytest.raises(ValueError, match=r"broken\.jpg: cannot be read as an image"):
        load(f"imagefolder:{pictures}")
    (pictures / "dog" / "broken.jpg").unlink()
    with pytest.raises(ValueError, match=r"deep\.png: .*more than 8 bits a channel \(mode I;16"):
        load(f"imagefolder:{pictures}")


def test_image_folder_of_bad_images_only(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "a" / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"got none that can be read: a.empty\.png, a.text\.png"):
        load(f"imagefolder:{tmp_path}", bad="skip")


def test_images_cut_off_anywhere_are_bad_not_black(tmp_path):
    (tmp_path / "a").mkdir()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (16, 16, 3), generator=generator, dtype=torch.uint8).numpy()
    for ending in ("png", "jpg", "bmp", "gif"):
        path = tmp_path / "a" / f"picture.{ending}"
        Image.fromarray(noise).save(path)
        whole = path.read_bytes()
        assert len(load(f"imagefolder:{tmp_path}")) == 1
        for share in (0.1, 0.5, 0.8):
            path.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(ValueError, match=rf"picture\.{ending}: cannot be read as an image"):
                load(f"imagefolder:{tmp_path}")
        path.unlink()


def test_what_is_transparent_shows_white(tmp_path):
    (tmp_path / "a").mkdir()
    half = Image.new("RGBA", (2, 1), (200, 0, 0, 0))  # red, under nothing one could see
    half.putpixel((1, 0), (0, 0, 255, 255))
    half.save(tmp_path / "a" / "1.png")
    half.convert("LA").save(tmp_path / "a" / "2.png")
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([200, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "a" / "3.png", transparency=0)
    images = load(f"imagefolder:{tmp_path}").x
    assert torch.equal(images[:, :, 0, 0], torch.ones(3, 3))
    assert images[0, :, 0, 1].tolist() == images[2, :, 0, 1].tolist() == [0, 0, 1]
    assert load(f"imagefolder:{tmp_path}", mode="L").x[:, 0, 0, 0].tolist() == [1, 1, 1]


def test_image_folder_refuses(pictures, tmp_path):
    Image.new("RGB", (5, 4)).save(pictures / "dog" / "z.png")
    with pytest.raises(
        ValueError, match=r"z\.png: expected an image of 4 x 6 pixels like the first .* got 4 x 5"
    ):
        load(f"imagefolder:{pictures}")
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        load(f"imagefolder:{tmp_path}/nowhere")
    with pytest.raises(FileNotFoundError, match="is a file, not a folder"):
        load(f"imagefolder:{pictures}/cat/b.png")
    with pytest.raises(ValueError, match="one subfolder of images for each class, got none"):
        load(f"imagefolder:{pictures}/cat/more")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"expected images \(.*\.png.*\) in the subfolders, got none"):
        load(f"imagefolder:{tmp_path}/empty")
    for options, words in [({"mode": "CMYK"}, "mode: expected"), ({"bad": "ignore"}, "bad: expected")]:
        with pytest.raises(ValueError, match=words):
            load(f"imagefolder:{pictures}", **options)


def test_image_folder_class_without_images_keeps_its_number(pictures):
    (pictures / "bird").mkdir()
    data = load(f"imagefolder:{pictures}")
    assert data.class_names == ["bird", "cat", "dog"]
    assert data.y.tolist() == [1, 1, 2, 2]
    assert data.notes == ["classes without images: bird"]


# ---- scikit-learn --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine"])
def test_sklearn_bundled(name):
    theirs = getattr(sklearn.datasets, f"load_{name}")()
    data = load(f"sklearn:{name}")
    np.testing.assert_array_equal(data.x, theirs.data.astype(np.float32))
    np.testing.assert_array_equal(data.y, theirs.target.astype(data.y.numpy().dtype))
    assert data.feature_names == [str(name) for name in theirs.feature_names]
    if name in ("diabetes", "linnerud"):
        assert data.y.dtype == torch.float32
        assert data.class_names is None
    else:
        assert data.y.dtype == torch.int64
        assert data.class_names == [str(name) for name in theirs.target_names]


def test_sklearn_columns_and_refusals():
    data = load("sklearn:wine", columns=["hue", "alcohol"])
    whole = load("sklearn:wine")
    assert torch.equal(data.x[:, 1], whole.x[:, 0])
    assert data.feature_names == ["hue", "alcohol"]
    with pytest.raises(ValueError, match="no column 'hew'; did you mean 'hue'"):
        load("sklearn:wine", columns=["hew"])
    with pytest.raises(ValueError, match=r"one of breast_cancer, .*, got 'irys'; did you mean 'iris'\?"):
        load("sklearn:irys")


# ---- IDX -----------------------------------------------------------------------------------------------


def idx(array, code=0x08):
    """Writes an array in IDX format."""
    header = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10


@pytest.fixture
def mnist(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for prefix, count in (("train", 2), ("t10k", 1)):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:count])))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.array([7, 1], dtype=np.uint8)[:count]))
    return folder


def test_idx_folder_and_file(mnist):
    train = load(f"idx:{mnist}")
    np.testing.assert_allclose(train.x[:, 0], IMAGES / np.float32(255))
    assert train.x.shape == (2, 1, 3, 4)
    assert train.y.tolist() == [7, 1]
    assert train.y.dtype == torch.int64
    assert load(f"idx:{mnist}", split="test").y.tolist() == [7]
    by_file = load(f"idx:{mnist}/t10k-images-idx3-ubyte.gz")
    assert by_file.y.tolist() == [7]
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    assert load(f"idx:{mnist}/t10k-images-idx3-ubyte.gz").y is None
    named = load(f"idx:{mnist}", class_names=[str(i) for i in range(8)])
    assert named.class_names[7] == "7"


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, "u1"), (9, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_idx_types(tmp_path, code, dtype):
    array = np.array([[1, 2, 3], [-4, 100, 0]]).astype(dtype)
    (tmp_path / "numbers").write_bytes(idx(array, code))
    read = read_idx(tmp_path / "numbers")
    np.testing.assert_array_equal(read, array)
    assert read.numpy().dtype == np.dtype(dtype)


def test_idx_broken_files(tmp_path):
    whole = idx(IMAGES)
    for content, words in [
        (whole[:-1], "data: cut off: expected 24 bytes for 2 x 3 x 4 numbers, got 23"),
        (whole + b"x", "data: too long: expected 24 bytes .* got 25"),
        (whole[:9], "data: cut off within its header"),
        (b"", "data: not an IDX file"),
        (b"\x89PNG", "data: not an IDX file"),
        (b"\0\0\x07\x01" + whole[4:], "data: not an IDX file"),
        (gzip.compress(whole)[:-12], "data: cut off or damaged"),
        (gzip.compress(whole)[:20] + b"junkjunkjunk", "data: cut off or damaged"),
    ]:
        (tmp_path / "data").write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_idx(tmp_path / "data")
    with pytest.raises(FileNotFoundError, match="nowhere: no such file"):
        read_idx(tmp_path / "nowhere")
    (tmp_path / "data").write_bytes(idx(IMAGES[:0]))
    assert read_idx(tmp_path / "data").shape == (0, 3, 4)


def test_idx_refuses(mnist, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected train-images-idx3-ubyte or .*gz in it, got mnist"):
        load(f"idx:{tmp_path}")
    with pytest.raises(ValueError, match="expected split 'train' or 'test', got 'val'"):
        load(f"idx:{mnist}", split="val")
    with pytest.raises(ValueError, match="split is for a folder"):
        load(f"idx:{mnist}/train-images-idx3-ubyte.gz", split="test")
    with pytest.raises(
        ValueError, match="labels-idx1-ubyte: expected images, N x height x width bytes, got 2"
    ):
        load(f"idx:{mnist}/train-labels-idx1-ubyte")
    with pytest.raises(ValueError, match="expected labels from 0 to 4, got 7"):
        load(f"idx:{mnist}", class_names=list("abcde"))
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, dtype=np.uint8)))
    with pytest.raises(ValueError, match="expected 2 labels, one for each image, got 3"):
        load(f"idx:{mnist}")
    (mnist / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="expected train-labels-idx1-ubyte"):
        load(f"idx:{mnist}")


# ---- load ----------------------------------------------------------------------------------------------


def test_load_by_kind(csv, tmp_path):
    path = csv("a\n1\n")
    for spec, words in [
        ("cvs:x", r"KIND one of csv, hf, idx, imagefolder, sklearn, got 'cvs:x'; did you mean 'csv:x'\?"),
        ("zip:x", "KIND one of csv, hf, idx, imagefolder, sklearn, got 'zip:x'$"),
        ("csv:", "got 'csv:'"),
        ("iris", "got 'iris'"),
        (str(path), "for a file write 'csv:.*data.csv'"),
        (str(tmp_path), "for a folder write 'imagefolder:"),
    ]:
        with pytest.raises(ValueError, match=words):
            load(spec)
    with pytest.raises(TypeError, match=r"load\('sklearn:...'\): no option 'missing'; it has columns"):
        load("sklearn:iris", missing="drop")
    with pytest.raises(TypeError, match="no option 'path'"):
        load(f"csv:{path}", path="other.csv")


@pytest.mark.parametrize(
    ("package", "module", "make"),
    [
        ("datasets", "datasets", lambda folder: f"hf:{folder}"),
        ("pillow", "PIL.Image", lambda folder: f"imagefolder:{folder}"),
        ("scikit-learn", "sklearn.datasets", lambda folder: "sklearn:iris"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path, package, module, make):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs the package {package}: pip install 'ds-core\[data\]'"):
        load(make(tmp_path))


# ---- made-up data --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_moons, make_spirals, make_housing])
def test_made_up_data_follow_their_seed_and_say_what_they_are(make):
    data, again, other = make(100), make(100), make(100, seed=1)
    assert torch.equal(data.x, again.x)
    assert torch.equal(data.y, again.y)
    assert not torch.equal(data.x, other.x)
    assert data.x.isfinite().all()
    assert data.source.startswith("synthetic")
    assert len(data) == len(data.y) == 100
    assert data.x.shape[1] == len(data.feature_names)


def test_moons_and_spirals_are_where_their_formulas_say():
    moons = make_moons(500, noise=0.0)
    assert moons.y.bincount().tolist() == [250, 250]
    middle = torch.tensor([[0.0, 0.0], [1.0, 0.5]])[moons.y]
    torch.testing.assert_close((moons.x - middle).norm(dim=1), torch.ones(500))
    assert (moons.x[moons.y == 0, 1] >= 0).all()
    assert (moons.x[moons.y == 1, 1] <= 0.5).all()
    spirals = make_spirals(300, classes=4, noise=0.0)
    assert spirals.y.bincount().tolist() == [75] * 4
    radius = spirals.x.norm(dim=1)
    assert radius.max() <= 1 + 1e-6
    angle = torch.atan2(spirals.x[:, 1], spirals.x[:, 0]) - 2 * math.pi * (spirals.y / 4 + 0.75 * radius)
    torch.testing.assert_close(angle.cos(), torch.ones(300))
    for make, words in [
        (lambda: make_moons(1), "each of 2 classes, got 1"),
        (lambda: make_spirals(3, classes=4), "each of 4 classes, got 3"),
        (lambda: make_spirals(3, classes=0), "each of 0 classes"),
        (lambda: make_housing(9), "at least 10 districts"),
    ]:
        with pytest.raises(ValueError, match=words):
            make()


def test_housing_looks_like_a_census_and_can_be_learned():
    data = make_housing(3000)
    assert data.feature_names[:8] == [
        "longitude",
        "latitude",
        "housing_median_age",
        "total_rooms",
        "total_bedrooms",
        "population",
        "households",
        "median_income",
    ]
    assert all(name.startswith("ocean_proximity=") for name in data.feature_names[8:])
    assert any("total_bedrooms: filled" in note for note in data.notes)
    assert (data.x[:, 3] >= data.x[:, 4]).float().mean() > 0.95  # more rooms than bedrooms
    assert data.y.min() >= 15_000
    assert data.y.max() <= 500_001
    # A straight line explains part of the price, not all of it: something is left for a network.
    x = StandardScaler().fit_transform(data.x[:, :8].double())
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    y = data.y.double()
    residual = y - x @ torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    explained = 1 - residual.square().sum() / (y - y.mean()).square().sum()
    assert 0.5 < explained < 0.85
