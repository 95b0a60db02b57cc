"""What would never end, or come to nothing, is refused at once: arguments, logits, endless data."""

import itertools
import math
import signal
from dataclasses import dataclass, replace

import pytest
import torch
from ds_core import MSELoss, Trainer
from ds_core.checks import check_fields, check_shows
from ds_core.data import (
    DataLoader,
    StandardScaler,
    load_csv,
    load_image_folder,
    make_housing,
    make_moons,
    make_spirals,
    one_hot,
    read_csv,
    read_idx,
    train_test_split,
)
from ds_core.initializers import (
    calculate_gain,
    he_normal_,
    normal_,
    orthogonal_,
    trunc_normal_,
    uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from ds_core.layers import Dense
from ds_core.text import (
    PairBatches,
    Pairs,
    RandomWindows,
    Vocabulary,
    WordTokenizer,
    beam_search,
    bigram_loss,
    greedy_search,
    load_pairs,
    sample,
    sequential_windows,
    split_text,
    text_streams,
    uniform_loss,
)

nan, inf = math.nan, math.inf


@pytest.fixture(autouse=True)
def hang():
    """Ends a test that hangs, by an error."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def strike(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, strike)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# ---- initializers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda w: trunc_normal_(w, std=nan), "trunc_normal: expected a finite std, got nan"),
        (lambda w: trunc_normal_(w, mean=inf), "trunc_normal: expected a finite mean, got inf"),
        (lambda w: trunc_normal_(w, std=0.0), "trunc_normal: expected std above 0, got 0"),
        (lambda w: trunc_normal_(w, std=-1.0), "trunc_normal: expected std above 0, got -1"),
        (lambda w: trunc_normal_(w, a=nan), "trunc_normal: expected bounds a < b, got nan"),
        (lambda w: trunc_normal_(w, a=inf, b=inf), "trunc_normal: expected bounds a < b"),
        (lambda w: trunc_normal_(w, std=5e-324, a=1e300, b=inf), "trunc_normal: expected std of the size"),
        (lambda w: uniform_(w, 0.0, inf), "uniform: expected a finite b, got inf"),
        (lambda w: uniform_(w, nan, 1.0), "uniform: expected a finite a, got nan"),
        (lambda w: uniform_(w, 2.0, 1.0), "uniform: expected bounds a <= b, got 2.0 and 1.0"),
        (lambda w: normal_(w, std=nan), "normal: expected a finite std, got nan"),
        (lambda w: normal_(w, std=-1.0), "normal: expected std of at least 0, got -1"),
        (lambda w: xavier_normal_(w, gain=nan), "xavier: expected a finite gain of at least 0, got nan"),
        (lambda w: xavier_uniform_(w, gain=-1.0), "xavier: expected a finite gain of at least 0, got -1"),
        (lambda w: he_normal_(w, a=nan), "calculate_gain: expected a finite param, got nan"),
        (lambda w: orthogonal_(w, gain=inf), "orthogonal: expected a finite gain, got inf"),
        (lambda w: calculate_gain("leaky_relu", inf), "calculate_gain: expected a finite param, got inf"),
    ],
)
def test_initializers_refuse_numbers_that_are_none(call, words):
    before = torch.zeros(4, 4)
    w = before.clone()
    with pytest.raises(ValueError, match=words):
        call(w)
    assert torch.equal(w, before)


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0.0, 1.0, 30.0, 1e4),
        (0.0, 1.0, -inf, -8.0),
        (0.0, 1e-30, 1.0, 2.0),
        (5.0, 0.1, -1.0, 0.0),
        (0.0, 1.0, 0.6, 1e6),
        (0.0, 1.0, 1.0, 1.0001),
        (0.0, 1e6, -1.0, 1.0),
    ],
)
def test_trunc_normal_ends_however_far_away_the_bounds_are(mean, std, a, b):
    w = trunc_normal_(torch.empty(4000), mean, std, a, b, torch.Generator().manual_seed(0))
    assert a <= w.min() <= w.max() <= b
    low, high = (a - mean) / std, (b - mean) / std
    if max(abs(low), abs(high)) < 40 or math.isinf(low):  # where the bell's formulas have not underflowed
        phi = [0.0 if math.isinf(x) else math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in (low, high)]
        share = (math.erfc(-high / math.sqrt(2)) - math.erfc(-low / math.sqrt(2))) / 2
        if low > 0:  # the same, without cancellation
            share = (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2))) / 2
        expected = mean + std * (phi[0] - phi[1]) / share
        assert abs(w.mean().item() - expected) < 5 * std / math.sqrt(len(w)) * 1.2 + 1e-6


# ---- sampling ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0, 1e-45, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0.0, nan, 1.0], "got a row with NaN"),
        ([0.0, inf, 1.0], r"got a row with \+inf, or with nothing but -inf"),
        ([-inf, -inf, -inf], r"got a row with \+inf, or with nothing but -inf"),
        ([nan, inf, -inf], "got a row with NaN"),
    ],
)
def test_sample_refuses_what_is_no_distribution(temperature, dtype, row, words):
    logits = torch.tensor([[0.0, 1.0, 2.0], row], dtype=dtype)
    with pytest.raises(ValueError, match=words):
        sample(logits, temperature)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-46, 1e-40, 1e-10, 1e-4])
def test_sample_at_a_tiny_temperature_is_greedy(dtype, temperature):
    logits = torch.tensor([[1.0, 3.0, -2.0], [-inf, -5.0, -inf], [-60000.0, 0.0, 60000.0]], dtype=dtype)
    assert sample(logits, temperature).tolist() == [1, 1, 2]
    tie = torch.tensor([[4.0, 1.0, 4.0]], dtype=dtype).expand(200, 3)
    drawn = sample(tie, temperature, generator=torch.Generator().manual_seed(0))
    assert drawn.unique().tolist() == [0, 2]


def test_sample_keeps_its_distribution_in_half_precision():
    logits = torch.zeros(4000, 3000, dtype=torch.float16)
    drawn = sample(logits, generator=torch.Generator().manual_seed(0)).double()
    assert abs(drawn.mean().item() - 1499.5) < 5 * 3000 / math.sqrt(12 * 4000)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": nan}, "finite temperature of at least 0, got nan"),
        ({"temperature": inf}, "finite temperature of at least 0, got inf"),
        ({"temperature": -1}, "finite temperature of at least 0, got -1"),
        ({"top_k": 2.5}, "top_k to be a whole number, got 2.5"),
        ({"top_p": nan}, "finite top_p of at least 0, got nan"),
        ({"top_p": 1.5}, "0 < top_p <= 1, got 1.5"),
        ({"temperature": "1"}, "temperature to be a number, got '1'"),
    ],
)
def test_sample_refuses_options(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        sample(torch.zeros(1, 3), **options)
    with pytest.raises(ValueError, match=r"floating point logits \(N, V\), got torch.int64 \(1, 3\)"):
        sample(torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"logits \(N, V\), got torch.float32 \(3,\)"):
        sample(torch.zeros(3))


@pytest.mark.parametrize("search", [greedy_search, beam_search])
@pytest.mark.parametrize("place", [0, 3])
def test_searches_refuse_a_model_that_says_nan(search, place):
    def step(tokens, state):
        log_p = torch.full((len(tokens), 5), -1.0)
        log_p[-1, place] = nan
        return log_p, state

    with pytest.raises(ValueError, match=f"{search.__name__}: expected log-probabilities from step, got NaN"):
        search(step, None, batch_size=2, bos_id=1, eos_id=2, max_length=4)


@pytest.mark.parametrize("search", [greedy_search, beam_search])
@pytest.mark.parametrize("place", [0, 2])  # which may end a sentence
def test_searches_refuse_logits(search, place):
    def step(tokens, state):
        logits = torch.zeros(len(tokens), 5)
        logits[:, place] = 3.5
        return logits, state

    with pytest.raises(ValueError, match=rf"{search.__name__}: .* none above 0, got 3.5; logits lack"):
        search(step, None, batch_size=2, bos_id=1, eos_id=2, max_length=4)


# ---- data that never end -------------------------------------------------------------------------------


class Endless:
    """Batches without end, which say so."""

    endless = True

    def __iter__(self):
        return itertools.repeat((torch.ones(2, 3), torch.ones(2, 1)))


def trainer():
    return Trainer(Dense(3, 1), MSELoss(), "sgd", lr=0.1, progress=False)


BATCH = (torch.ones(2, 3), torch.ones(2, 1))
ENDLESS = [
    lambda: Endless(),
    lambda: itertools.cycle([BATCH]),
    lambda: itertools.repeat(BATCH),
    lambda: itertools.count(),
    lambda: RandomWindows(torch.arange(10), 3, 2),
]


@pytest.mark.parametrize("make", ENDLESS)
def test_endless_data_are_for_steps_not_for_epochs(make):
    teacher = trainer()
    before = teacher.model.state_dict()["weight"].clone()
    with pytest.raises(
        ValueError, match=r"data: expected batches that come to an end, got an endless .*steps="
    ):
        teacher.fit(make(), epochs=1)
    with pytest.raises(ValueError, match=r"got an endless .*validation="):
        teacher.fit([BATCH], steps=1, validation=make())
    with pytest.raises(ValueError, match=r"got an endless .*in a list"):
        teacher.evaluate(make())
    assert torch.equal(teacher.model.state_dict()["weight"], before)


def test_what_ends_is_not_taken_for_endless():
    assert trainer().fit(itertools.repeat(BATCH, 3), epochs=1)["step"] == [1, 2, 3]
    assert trainer().fit(Endless(), steps=4)["step"] == [1, 2, 3, 4]
    teacher = trainer()
    with pytest.raises(ValueError, match="walked 2 times, got generator, which can be walked only once"):
        teacher.fit((BATCH for _ in range(3)), epochs=2)
    assert not len(teacher.history)  # refused before anything was learnt
    assert len(teacher.fit((BATCH for _ in range(3)), epochs=1)) == 3


# ---- configurations ------------------------------------------------------------------------------------


def test_check_fields():
    @dataclass
    class Config:
        size: int = 1
        share: float = 0.5
        inner: int | None = None
        name: str = "a"
        tied: bool = True

        def __post_init__(self):
            check_fields(self)

    good = Config(share=1, inner=3)
    for change, error, words in [
        ({"size": 1.5}, TypeError, "Config: expected size to be a whole number, got 1.5"),
        ({"size": True}, TypeError, "expected size to be a whole number, got True"),
        ({"size": None}, TypeError, "expected size to be a whole number, got None"),
        ({"share": "0.5"}, TypeError, "expected share to be a number, got '0.5'"),
        ({"share": nan}, ValueError, "expected share to be finite, got nan"),
        ({"inner": "x"}, TypeError, "expected inner to be a whole number or None, got 'x'"),
        ({"name": 3}, TypeError, "expected name to be a text, got 3"),
        ({"tied": 1}, TypeError, "expected tied to be True or False, got 1"),
    ]:
        with pytest.raises(error, match=words):
            replace(good, **change)


# ---- whatever is given ---------------------------------------------------------------------------------

X, Y, IDS = torch.rand(10, 3), torch.arange(10) % 2, torch.arange(50)
PAIRS = Pairs(["a b", "c"], ["d", "e f"])
WORDS = WordTokenizer.train(["a b c", "d e f"])


def forget(tokens, state):
    return torch.zeros(len(tokens), 5), state


def streams(**options):
    return list(text_streams(**options))


def pair_batches(**options):
    return PairBatches(PAIRS, WORDS, WORDS, **options)


SEARCH = {"step": forget, "state": None, "batch_size": 2, "bos_id": 1, "eos_id": 2, "max_length": 4}
# What is called, with arguments that are right, and of these the ones to be whole numbers and numbers.
CALLS = [
    (lambda **kw: DataLoader(X, Y, **kw), {}, ["batch_size", "prefetch", "seed"], []),
    (lambda **kw: train_test_split(X, Y, **kw), {}, ["seed"], ["test_size"]),
    (lambda **kw: one_hot(Y, **kw), {}, ["classes"], []),
    (make_moons, {}, ["samples", "seed"], ["noise"]),
    (make_spirals, {}, ["samples", "classes", "seed"], ["noise"]),
    (make_housing, {}, ["samples", "seed"], []),
    (RandomWindows, {"ids": IDS, "context": 3, "batch_size": 2}, ["context", "batch_size", "seed"], []),
    (sequential_windows, {"ids": IDS, "context": 3, "batch_size": 2}, ["context", "batch_size"], []),
    (split_text, {"ids": IDS, "context": 3}, ["context"], ["validation"]),
    (
        lambda **kw: list(text_streams(**kw)),
        {"ids": IDS, "batch_size": 2, "steps": 3},
        ["batch_size", "steps"],
        [],
    ),
    (
        lambda **kw: PairBatches(PAIRS, WORDS, WORDS, **kw),
        {"batch_size": 2},
        ["batch_size", "max_length", "seed"],
        [],
    ),
    (sample, {"logits": torch.zeros(2, 5)}, ["top_k"], ["temperature", "top_p"]),
    (greedy_search, SEARCH, ["batch_size", "bos_id", "eos_id", "max_length", "pad_id"], []),
    (beam_search, SEARCH, ["batch_size", "bos_id", "eos_id", "max_length", "beam_size"], ["length_penalty"]),
    (uniform_loss, {"vocab_size": 3}, ["vocab_size"], []),
    (bigram_loss, {"train": Y, "validation": Y, "vocab_size": 3}, ["vocab_size"], []),
    (lambda **kw: Vocabulary.build([["a"]], **kw), {}, ["min_count", "max_size"], []),
]
ARGUMENTS = [
    pytest.param(call, right, name, whole, id=f"{number} {name}")
    for number, (call, right, wholes, reals) in enumerate(CALLS)
    for name, whole in [*((name, True) for name in wholes), *((name, False) for name in reals)]
]


@pytest.mark.parametrize(("call", "right", "name", "whole"), ARGUMENTS)
def test_arguments_that_are_no_numbers_are_named(call, right, name, whole):
    call(**right)
    nonsense = ["3", (1,), [2.0], {}, b"x", object(), torch.tensor([1, 2]), True, nan, inf, -inf]
    for bad in [*nonsense, *([1.5, 2**70] if whole else [])]:
        with pytest.raises((TypeError, ValueError), match=rf"expected (a finite )?{name}\b") as caught:
            call(**right | {name: bad})
        assert "ds_core" in caught.traceback[-1].path.parts


@pytest.mark.parametrize("bad", [3, 0.5, None, b"x", (1,), object()])
def test_what_is_no_path_no_column_and_no_tensor_is_named(bad, tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    for call, words in [
        (lambda: read_csv(bad), "read_csv: expected the path"),
        (lambda: read_idx(bad), "read_idx: expected the path"),
        (lambda: load_image_folder(bad), "ImageFolder: expected the path"),
        (lambda: load_pairs(bad, "a", "y"), "load_pairs: expected a file"),
        (lambda: StandardScaler().fit(bad), "StandardScaler: expected a tensor"),
        (lambda: sample(bad), "sample: expected logits"),
        (lambda: split_text(bad, 3), "split_text: expected token ids"),
        (lambda: PairBatches(bad, WORDS, WORDS, batch_size=1), "PairBatches: expected Pairs"),
        (lambda: one_hot(bad), "one_hot: expected a tensor"),
        (lambda: bigram_loss(bad, Y, 3), "bigram_loss: expected token ids"),
    ]:
        with pytest.raises(TypeError, match=words):
            call()
    if bad is not None:
        with pytest.raises(TypeError, match="target: expected the name of a column, or a list of them"):
            load_csv(tmp_path / "t.csv", target=bad)
        with pytest.raises(TypeError, match="columns: expected the name of a column, or a list of them"):
            load_csv(tmp_path / "t.csv", columns=bad)


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.int32, torch.int16, torch.uint8, torch.uint16, torch.float32, torch.float16]
)
def test_a_mask_of_numbers_says_what_is_there(dtype):
    check_shows("who", "mask", torch.tensor([[1, 1, 0], [1, 0, 0]]).to(dtype))
    check_shows("who", "mask", torch.ones(2, 3, dtype=dtype))
    check_shows("who", "mask", torch.ones(0, 3, dtype=dtype))
    wrong = [
        [0, 0],
        [1, 2],
        [1, -1] if dtype.is_signed else [2, 2],
        [1, 0.5] if dtype.is_floating_point else [3, 0],
    ]
    for row in wrong if dtype != torch.uint16 else ():  # of which torch finds no least number to tell
        with pytest.raises(ValueError, match="who: expected mask of 1 where something is"):
            check_shows("who", "mask", torch.tensor([row]).to(dtype))
