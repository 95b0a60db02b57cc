"""Data: splits, scales, and sets that are made up."""

import math
import subprocess
import sys

import numpy as np
import pytest
import sklearn.datasets
import sklearn.preprocessing
import torch
from ds_core.data import (
    MinMaxScaler,
    StandardScaler,
    make_housing,
    make_moons,
    make_spirals,
    one_hot,
    train_test_split,
)
from hypothesis import given, settings
from hypothesis import strategies as st

varied = settings(deadline=None, max_examples=60)


def test_importing_needs_no_optional_package():
    code = (
        "import sys, ds_core, ds_core.data, ds_core.metrics;"
        "print([m for m in ('datasets', 'PIL', 'sklearn', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


# ---- train_test_split ---------------------------------------------------------------------------------


def test_split_keeps_every_sample_once_and_pairs_together():
    x, y = torch.arange(10.0)[:, None], torch.arange(10)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25)
    assert (len(x_train), len(x_test)) == (7, 3)  # rounded up
    assert torch.equal(x_train[:, 0].long(), y_train)
    assert torch.equal(x_test[:, 0].long(), y_test)
    assert sorted([*y_train.tolist(), *y_test.tolist()]) == list(range(10))
    assert y_train.tolist() != sorted(y_train.tolist())


def test_split_takes_numbers_of_numpy():
    x = torch.arange(10.0)
    for theirs, ours in ((np.int64(1), 1), (np.float32(0.3), 0.3), (np.float64(0.3), 0.3)):
        parts = zip(train_test_split(x, test_size=theirs), train_test_split(x, test_size=ours), strict=True)
        assert all(torch.equal(one, other) for one, other in parts)


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
        ("a share between 0 and 1, .*got 1.0", lambda: train_test_split(x, test_size=1.0)),
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


# ---- scalers and one_hot ------------------------------------------------------------------------------


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


# ---- made-up data -------------------------------------------------------------------------------------


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
        (lambda: make_spirals(3, classes=0), "expected classes of at least 1, got 0"),
        (lambda: make_housing(9), "samples of at least 10"),
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
