"""Checkpoints: whole or not at all, and a resumed training equals one never interrupted, bit for bit."""

import copy
import errno
import hashlib
import json
import math
import os
import random
import signal
import struct
import subprocess
import sys
import textwrap
import time
from contextlib import suppress

import pytest
import torch
from ds_core import Dense, Module, MSELoss, ReLU, Sequential
from ds_core.kernels.matmul import table_in_force, use_table
from ds_core.layers import Dropout
from ds_core.optimizers import OPTIMIZERS, SGD, AdamW
from ds_core.schedulers import ExponentialLR, LinearLR, ReduceLROnPlateau, SequentialLR, WarmupCosine
from ds_core.training import (
    BestCheckpoint,
    Callback,
    CheckpointError,
    CSVLog,
    EarlyStopping,
    Trainer,
    load_checkpoint,
    load_tensors,
    load_weights,
    save_checkpoint,
    save_tensors,
    save_weights,
)
from ds_core.training.files import write_text
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def data(samples=40):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(samples, 6, generator=g)
    return x, x.sin().sum(1, keepdim=True)


def bits(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Tied(Module):
    """Two layers that share one square weight."""

    def __init__(self):
        self.first = Dense(4, 4)
        self.second = Dense(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x))


# ---- states ------------------------------------------------------------------------------------------


keys = st.text(max_size=4) | st.integers(-5, 5)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.lists(st.floats(width=32), max_size=3).map(torch.tensor)
)
states = st.dictionaries(
    keys,
    st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a.view(torch.int32), b.view(torch.int32))
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def test_names_that_meet_keep_their_tensors_apart(tmp_path):
    state = {"a.b": torch.zeros(1), "a": {"b": torch.ones(2)}, "": [torch.zeros(3)], 0: torch.zeros(0)}
    save_checkpoint(tmp_path / "c.safetensors", state)
    assert equal(load_checkpoint(tmp_path / "c.safetensors"), state)


@given(state=states)
def test_any_state_comes_back_as_it_was(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("state") / "c.safetensors"
    save_checkpoint(path, state)
    assert equal(load_checkpoint(path), state)


def test_every_dtype_and_odd_memory_layouts_come_back(tmp_path):
    base = torch.arange(24.0).view(4, 6)
    state = {
        "transposed": base.T,
        "part": base[1:3, 2:],
        "other part": base[2:, :3],
        "expanded": torch.ones(1).expand(5),
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 4),
        "infinite": math.inf,
        **{
            str(t): torch.tensor([1, 0]).to(t)
            for t in (torch.bfloat16, torch.float64, torch.bool, torch.uint8)
        },
    }
    save_checkpoint(tmp_path / "c", state)
    loaded = load_checkpoint(tmp_path / "c")
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            assert loaded[name].dtype == value.dtype
            assert torch.equal(loaded[name], value)
    assert loaded["infinite"] == math.inf
    assert math.isnan(
        (save_checkpoint(tmp_path / "n", {"x": math.nan}), load_checkpoint(tmp_path / "n"))[1]["x"]
    )


def test_what_cannot_be_stored_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"cannot store callbacks\.0\.when, a function"):
        save_checkpoint(tmp_path / "c", {"callbacks": [{"when": math.sqrt.__class__ and (lambda: 0)}]})
    assert os.listdir(tmp_path) == []


def test_files_are_those_of_the_safetensors_library(tmp_path):
    tensors = {
        f"{dtype}": torch.randn(3, 5).to(dtype)
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64)
    }
    integers = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.uint16)
    tensors |= {f"{dtype}": torch.tensor([[0, 1], [1, 0]]).to(dtype) for dtype in integers}
    tensors |= {
        "float8": torch.randn(7).to(torch.float8_e4m3fn),
        "none": torch.empty(2, 0),
        "ünicode": torch.ones(()),
    }

    def as_bytes(named):
        return {
            name: (t.dtype, t.shape, bytes(t.reshape(-1).view(torch.uint8).tolist()))
            for name, t in named.items()
        }

    words = {"who": "we", "format": "pt"} | {f"word {i}": '"sha256":"\n' for i in range(20)}
    save_tensors(tmp_path / "ours", tensors, words)
    save_tensors(tmp_path / "again", tensors, words)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "again").read_bytes()
    assert as_bytes(load_file(tmp_path / "ours")) == as_bytes(tensors)
    with safe_open(tmp_path / "ours", framework="pt") as file:
        found = file.metadata()
    content = (tmp_path / "ours").read_bytes()
    checksum = hashlib.sha256(content.replace(found["sha256"].encode(), b"0" * 64)).hexdigest()
    assert found == {**words, "sha256": checksum}
    save_file(tensors, tmp_path / "theirs", {"who": "they"})
    loaded, words = load_tensors(tmp_path / "theirs")
    assert as_bytes(loaded) == as_bytes(tensors)
    assert words == {"who": "they"}
    with pytest.raises(
        TypeError, match=r"ours: a safetensors file cannot hold z, which is torch\.complex128"
    ):
        save_tensors(tmp_path / "ours", {"z": torch.ones(1, dtype=torch.complex128)}, {})


def test_tied_weights_are_written_once_and_come_back_tied(tmp_path):
    tied, other = Tied(), Tied()
    save_weights(tmp_path / "w.safetensors", tied)
    assert sorted(load_file(tmp_path / "w.safetensors")) == ["first.bias", "first.weight", "second.bias"]
    load_weights(tmp_path / "w.safetensors", other)
    assert same(bits(tied), bits(other))
    assert other.first.weight is other.second.weight

    save_checkpoint(tmp_path / "c.safetensors", {"model": tied.state_dict()})
    assert len(load_file(tmp_path / "c.safetensors")) == 3
    fresh = Tied()
    load_weights(tmp_path / "c.safetensors", fresh)
    assert same(bits(tied), bits(fresh))


def test_tied_weights_under_either_name_and_never_two_different_ones(tmp_path):
    state = {name: tensor.clone() for name, tensor in Tied().state_dict().items()}
    weight = state.pop("first.weight")
    save_file(state, tmp_path / "w")
    tied = Tied()
    load_weights(tmp_path / "w", tied)
    assert torch.equal(tied.first.weight, weight)
    before = bits(tied)
    save_file({**state, "first.weight": weight + 1}, tmp_path / "w")
    with pytest.raises(
        CheckpointError, match=r"w: first\.weight and second\.weight differ, but the Tied ties them"
    ):
        load_weights(tmp_path / "w", tied)
    assert same(bits(tied), before)


def test_weights_travel_to_torch_and_back(tmp_path):
    ours, theirs = Dense(3, 2), torch.nn.Linear(3, 2)
    save_weights(tmp_path / "w.safetensors", ours)
    theirs.load_state_dict(load_file(tmp_path / "w.safetensors"))
    assert same(bits(ours), theirs.state_dict())
    with pytest.raises(CheckpointError, match=r"(?s)w\.safetensors: Dense.*2 problems.*wrong shape: weight"):
        load_weights(tmp_path / "w.safetensors", Dense(4, 3))
    missing, unexpected = load_weights(tmp_path / "w.safetensors", Dense(3, 2, bias=False), strict=False)
    assert (missing, unexpected) == ([], ["bias"])


# ---- damaged and foreign files -----------------------------------------------------------------------


def test_every_cut_is_noticed(tmp_path):
    """Wherever a file is cut off, reading says so, names the file and what is lost."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    save_checkpoint(whole, {"a": torch.ones(4), "b": torch.ones(2), "n": 1})
    content = whole.read_bytes()
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"cut: cut off after [\d,]+|cut: not a safetensors file"):
            load_checkpoint(cut)
    with pytest.raises(CheckpointError, match=r"cut: cut off after [\d,]+ of [\d,]+ bytes; lost: b"):
        load_checkpoint(cut)
    cut.write_bytes(content[:-24])
    with pytest.raises(CheckpointError, match="lost: a, b"):
        load_checkpoint(cut)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cut off after 0 bytes"),
        (b"PK\x03\x04" + bytes(100), "not a safetensors file"),
        (b"step,loss\n1,2.0\n2,1.5\n", "not a safetensors file"),
        (struct.pack("<Q", 10) + b"{nonsense}", "not a safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "a safetensors file, but not a checkpoint"),
        (struct.pack("<Q", 2**60) + b"{}", "cut off"),
    ],
)
def test_foreign_files_are_refused(tmp_path, content, said):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"f: {said}"):
        load_checkpoint(tmp_path / "f")


def test_weights_are_no_checkpoint_and_pickles_stay_closed(tmp_path):
    save_weights(tmp_path / "w", Dense(2, 2))
    with pytest.raises(CheckpointError, match=r"w: a safetensors file, but not a checkpoint .* load_weights"):
        load_checkpoint(tmp_path / "w")
    torch.save({"a": torch.ones(2)}, tmp_path / "p")
    with pytest.raises(CheckpointError, match="p: not a safetensors file"):
        load_checkpoint(tmp_path / "p")
    with pytest.raises(CheckpointError, match="gone: no such file"):
        load_checkpoint(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)


def test_a_missing_tensor_and_a_broken_list_of_contents_are_named(tmp_path):
    skeleton = {"model": {"$tensor": "model"}}
    words = {"format": "ds_core checkpoint 2", "state": json.dumps(skeleton)}
    save_tensors(tmp_path / "f", {"other": torch.ones(1)}, words)
    with pytest.raises(CheckpointError, match="f: damaged checkpoint: its list of contents lacks 'model'"):
        load_checkpoint(tmp_path / "f")
    for state in ("{", "[1]", '{"a": {"$tensor": []}}', '{"a": {"$float": []}}', "[" * 100_000, "1" * 5000):
        save_tensors(tmp_path / "f", {"other": torch.ones(1)}, {**words, "state": state})
        with pytest.raises(CheckpointError, match="f: damaged checkpoint: its list of contents"):
            load_checkpoint(tmp_path / "f")
    save_file({"other": torch.ones(1)}, tmp_path / "f", words)
    with pytest.raises(CheckpointError, match="f: damaged checkpoint: it has lost its checksum"):
        load_checkpoint(tmp_path / "f")


def test_every_flipped_bit_is_noticed(tmp_path):
    """In the header as in the data; and none is a raw error, or takes long."""
    trainer = Trainer(Sequential(Dense(4, 5), ReLU(), Dense(5, 1)), "mse", "adam", progress=False)
    trainer.fit(torch.randn(8, 4), torch.randn(8, 1), epochs=2)
    trainer.save(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    draw = random.Random(0)
    places = [draw.randrange(8 * len(content)) for _ in range(100)]
    places += [draw.randrange(8 * begin) for _ in range(200)] + list(range(64))
    for place in places:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        (tmp_path / "flipped").write_bytes(flipped)
        began = time.monotonic()
        with pytest.raises(CheckpointError, match="flipped: "):
            trainer.load(tmp_path / "flipped")
        assert time.monotonic() - began < 1
    trainer.load(tmp_path / "whole")


def rewritten(draw, state):
    """Puts something else somewhere into a state, whose checksum will be right: a wrong program's work."""
    places = []

    def collect(value):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                collect(value[key])

    collect(state)
    owner, key = draw.choice([place for place in places if not isinstance(place[0], tuple)])
    if isinstance(owner, dict) and draw.random() < 0.3:
        del owner[key]
    else:
        owner[key] = draw.choice(
            [None, -1, 3.5, "x", [], {}, [1], {"x": 1}, torch.ones(2), torch.ones(2, dtype=torch.int32), True]
        )


def test_three_hundred_damaged_checkpoints(tmp_path):
    """None ends in a raw error, none is taken for whole, none takes a second."""

    def trainer():
        g = torch.Generator().manual_seed(0)
        model = Sequential(Dense(4, 5, generator=g), ReLU(), Dropout(0.1), Dense(5, 1, generator=g))
        return Trainer(model, "mse", "adam", lambda o: WarmupCosine(o, 1, 9), progress=False)

    made = trainer()
    made.fit(torch.randn(8, 4), torch.randn(8, 1), epochs=2)
    made.save(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    draw = random.Random(1)

    def damaged(kind):
        start = draw.randrange(len(content))
        end = min(len(content), start + draw.randrange(1, 400))
        noise = draw.randbytes(end - start)
        if kind == "rewritten":
            state = load_checkpoint(tmp_path / "whole")
            rewritten(draw, state)
            save_checkpoint(tmp_path / "damaged", state)
            return (tmp_path / "damaged").read_bytes()
        return {
            "cut": content[:start],
            "hole": content[:start] + bytes(end - start) + content[end:],
            "noise": content[:start] + noise + content[end:],
            "lost": content[:start] + content[end:],
            "twice": content[:end] + content[start:],
            "more": content + noise,
            "header": draw.randrange(2 ** draw.randrange(1, 64)).to_bytes(8, "little") + content[8:],
            "brackets": content[:8] + b"[{"[draw.randrange(2) :][:1] * (begin - 8) + content[begin:],
        }[kind]

    kinds = ["cut", "hole", "noise", "lost", "twice", "more", "header", "brackets"] + ["rewritten"] * 4
    other = trainer()
    for number in range(300):
        bad = damaged(kinds[number % len(kinds)])
        (tmp_path / "damaged").write_bytes(bad)
        before, began = other.state_dict(), time.monotonic()
        if kinds[number % len(kinds)] == "rewritten" or bad == content:
            with suppress(CheckpointError):  # or another number, as good as the first
                other.load(tmp_path / "damaged")
        else:
            with pytest.raises(CheckpointError, match="damaged: "):
                other.load(tmp_path / "damaged")
        assert time.monotonic() - began < 1
        other = trainer() if other.state_dict()["step"] != before["step"] else other


def test_bytes_of_another_time_or_place_are_noticed(tmp_path):
    """A block of zeros, of another file, or twice the same one: what disks and copies do."""
    for name in ("whole", "other"):
        save_checkpoint(tmp_path / name, {"a": torch.randn(4000), "n": 1})
    content, other = ((tmp_path / name).read_bytes() for name in ("whole", "other"))
    for place in range(0, len(content), 512):
        rest = content[place + 512 :]
        for block in (bytes(512), other[place : place + 512], b""):
            damaged = content[:place] + block[: len(content) - place] + rest
            if damaged != content:
                (tmp_path / "damaged").write_bytes(damaged)
                with pytest.raises(CheckpointError, match="damaged: "):
                    load_checkpoint(tmp_path / "damaged")


def test_others_may_read_it_as_any_file(tmp_path):
    save_weights(tmp_path / "w", Dense(2, 2))
    (tmp_path / "plain").touch()
    assert (tmp_path / "w").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path):
    names = [".[c].safetensors.1.tmp", ".[c].safetensors.2.tmp", ".other.safetensors.1.tmp"]
    for name, age in zip(names, (2 * 3600, 60, 2 * 3600), strict=True):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    save_checkpoint(tmp_path / "[c].safetensors", {"n": 1})  # the second may be another process's, at work
    assert sorted(os.listdir(tmp_path)) == [*names[1:], "[c].safetensors"]


# ---- crashes while writing ---------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["safetensors.torch.save", "os.fsync", "os.replace"])
def test_a_failure_while_writing_leaves_the_previous_checkpoint(tmp_path, monkeypatch, where):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"n": 1, "a": torch.ones(3)})

    def disk_full(*args, **kwargs):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(where, disk_full)
        with pytest.raises(OSError, match="no space left"):
            save_checkpoint(path, {"n": 2, "a": torch.ones(3)})
    assert load_checkpoint(path)["n"] == 1
    assert os.listdir(tmp_path) == ["c.safetensors"]
    save_checkpoint(path, {"n": 3})
    assert load_checkpoint(path) == {"n": 3}


def test_a_full_disk_is_said_with_the_name_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"n": 1})

    def disk_full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", disk_full)
    with pytest.raises(OSError, match=r"cannot write it: No space left on device: '.*c\.safetensors'"):
        save_checkpoint(path, {"n": 2})
    with pytest.raises(OSError, match=r"No space left on device: '.*notes\.txt'"):
        write_text(tmp_path / "notes.txt", "words")
    assert load_checkpoint(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["c.safetensors"]


def test_read_and_killed_while_writing(tmp_path):
    """A process that does nothing but write checkpoints is read meanwhile, and killed: the file is whole."""
    script = textwrap.dedent("""
        import itertools, sys, torch
        from ds_core.training import save_checkpoint
        for n in itertools.count():
            state = {"n": n, "a": torch.full((30_000,), n), "b": {"c": torch.full((9,), n)}}
            save_checkpoint(sys.argv[1], state)
    """)
    path = tmp_path / "run" / "c.safetensors"
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], env=environment())
    try:
        wait_for(path.exists)
        for _ in range(100):  # while it is being replaced under the reader
            state = load_checkpoint(path)
            assert (state["a"] == state["n"]).all()
            assert (state["b"]["c"] == state["n"]).all()
    finally:
        process.kill()
        process.wait()
    state = load_checkpoint(path)
    assert (state["a"] == state["n"]).all()
    assert (state["b"]["c"] == state["n"]).all()


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


# ---- resuming ----------------------------------------------------------------------------------------


def make(
    out=None,
    engine="manual",
    optimizer="sgd",
    schedule="cosine",
    own_generator=False,
    p=0.3,
    lr=0.05,
    steps=30,
    dtype=torch.float32,
    **options,
):
    """A training with everything that has a memory: dropout, momentum, schedule, shuffling."""
    g = torch.Generator().manual_seed(0)
    noise = torch.Generator().manual_seed(7) if own_generator else None
    model = Sequential(
        Dense(6, 8, generator=g),
        ReLU(),
        Dropout(p, generator=noise),
        Dense(8, 8, generator=g),
        Dropout(0.2),
        Dense(8, 1, generator=g),
    ).to(dtype)
    if optimizer == "sgd":
        chosen = SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-3)
    else:
        chosen = AdamW(model.parameters(), lr=0.01, amsgrad=True)
    if schedule == "cosine":
        scheduler = WarmupCosine(chosen, 3, steps, 1e-3)
    else:
        scheduler = ReduceLROnPlateau(chosen, patience=0, factor=0.5)
    return Trainer(
        model, MSELoss(), chosen, scheduler, engine=engine, clip_norm=1.0, progress=False, out=out, **options
    )


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
@pytest.mark.parametrize("split", [3, 5, 10, 13])  # within, and at the end of, an epoch of five steps
def test_stopping_and_resuming_changes_no_bit(tmp_path, engine, optimizer, schedule, split):
    x, y = data()
    options = {"validation": (x[:10], y[:10]), "batch_size": 8, "validate_every": 1}
    kind = {"engine": engine, "optimizer": optimizer, "schedule": schedule, "own_generator": split == 3}
    straight = make(**kind)
    expected = straight.fit(x, y, steps=17, **options)

    make(tmp_path, **kind).fit(x, y, steps=split, **options)
    torch.manual_seed(random.randrange(1000))  # the world in between does not matter
    resumed = make(tmp_path, **kind)
    history = resumed.fit(x, y, steps=17, resume=True, **options)

    assert same(bits(straight.model), bits(resumed.model))
    assert history.to_dict() == expected.to_dict()
    assert resumed.optimizer.param_groups[0]["lr"] == straight.optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_and_chained_schedules_resume(tmp_path, name):
    x, y = data()

    def trainer(out=None):
        g = torch.Generator().manual_seed(0)
        model = Sequential(Dense(6, 8, bias=False, generator=g), ReLU(), Dense(8, 1, bias=False, generator=g))
        return Trainer(
            model,
            "mse",
            name,
            lambda o: SequentialLR(o, [LinearLR(o, total_iters=4), ExponentialLR(o, 0.9)], [4]),
            progress=False,
            out=out,
        )

    straight, resumed = trainer(), trainer(tmp_path)
    straight.fit(x, y, steps=14)
    trainer(tmp_path).fit(x, y, steps=6)
    resumed.fit(x, y, steps=14, resume=True)
    assert same(bits(straight.model), bits(resumed.model))


def test_resuming_by_epochs_with_accumulation(tmp_path):
    x, y = data(42)
    options = {"validation": (x[:10], y[:10]), "batch_size": 4}
    straight = make(accumulate=3)
    expected = straight.fit(x, y, epochs=5, **options)
    make(tmp_path, accumulate=3).fit(x, y, epochs=2, **options)
    resumed = make(tmp_path, accumulate=3)
    assert resumed.fit(x, y, epochs=5, resume=True, **options).to_dict() == expected.to_dict()
    assert same(bits(straight.model), bits(resumed.model))
    again = make(tmp_path, accumulate=3)
    assert len(again.fit(x, y, epochs=5, resume=True, **options)) == len(expected)  # nothing left to do
    assert same(bits(straight.model), bits(again.model))


class Stream:
    """Endless random batches, with a position."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(5)

    def __iter__(self):
        while True:
            x = torch.randn(4, 6, generator=self.generator)
            yield x, x.sum(1, keepdim=True)

    def state_dict(self):
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.generator.set_state(state["generator"])


def plain_batches():
    x, y = data()
    return list(zip(x.split(8), y.split(8), strict=True))


class Shuffled:
    """Batches in an order drawn from torch's global generator, without a position."""

    def __iter__(self):
        batches = plain_batches()
        for i in torch.randperm(len(batches)):
            yield batches[i]


def torch_loader():
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data()), batch_size=8, shuffle=True)


@pytest.mark.parametrize("source", [Stream, plain_batches, Shuffled, torch_loader])
@pytest.mark.parametrize("split", [3, 5, 7])
def test_resuming_in_data_of_every_kind(tmp_path, source, split):
    straight = make()
    expected = straight.fit(source(), steps=12)
    make(tmp_path).fit(source(), steps=split)
    torch.manual_seed(99)
    resumed = make(tmp_path)
    assert resumed.fit(source(), steps=12, resume=True).to_dict() == expected.to_dict()
    assert same(bits(straight.model), bits(resumed.model))


class Centred(MSELoss):
    """A loss with a memory: it divides by the running mean of what it has seen."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(()))

    def forward(self, x, target):
        if self.training:
            self.mean.lerp_(((x - target) ** 2).mean().detach(), 0.1)
        return super().forward(x, target) / self.mean

    def backward(self, grad=1.0):
        return super().backward(grad) / self.mean


def test_a_loss_with_a_memory_resumes(tmp_path):
    def trainer(out=None):
        return Trainer(make().model, Centred(), "sgd", lr=0.05, progress=False, out=out)

    straight, resumed = trainer(), trainer(tmp_path)
    straight.fit(*data(), steps=9)
    trainer(tmp_path).fit(*data(), steps=4)
    resumed.fit(*data(), steps=9, resume=True)
    assert same(bits(straight.model), bits(resumed.model))
    assert same(bits(straight.loss), bits(resumed.loss))


class Noisy(Module):
    """Adds noise from Python's and NumPy's global generators."""

    def forward(self, x):
        import numpy

        return x + random.random() + float(numpy.random.rand())

    def backward(self, grad):
        return grad


def test_python_and_numpy_random_numbers_resume(tmp_path):
    numpy = pytest.importorskip("numpy")
    x, y = data()

    def trainer(out=None):
        model = Sequential(Noisy(), Dense(6, 1, generator=torch.Generator().manual_seed(0)))
        return Trainer(model, "mse", "sgd", lr=0.01, progress=False, out=out)

    random.seed(1)
    numpy.random.seed(1)
    straight = trainer()
    straight.fit(x, y, steps=9)
    random.seed(1)
    numpy.random.seed(1)
    trainer(tmp_path).fit(x, y, steps=4)
    random.seed(2)
    numpy.random.seed(2)
    resumed = trainer(tmp_path)
    resumed.fit(x, y, steps=9, resume=True)
    assert same(bits(straight.model), bits(resumed.model))


SCRIPT = """
import sys, time
sys.path[:0] = {path!r}
import torch
from ds_core import Dense, ReLU, Sequential
from ds_core.kernels.matmul import table_in_force, use_table
from ds_core.layers import Dropout
from ds_core.optimizers import SGD
from ds_core.schedulers import WarmupCosine
from ds_core.training import *

out, pause, resume = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "resume"

class Slow(Callback):
    def on_step_end(self, trainer):
        time.sleep(pause)

g = torch.Generator().manual_seed(0)
x = torch.randn(50, 6, generator=g)
y = x.sin().sum(1, keepdim=True)
model = Sequential(Dense(6, 16, generator=g), ReLU(), Dropout(0.3), Dense(16, 1, generator=g))
optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
schedule = WarmupCosine(optimizer, 5, 60, 1e-3)
trainer = Trainer(model, "mse", optimizer, schedule, out=out, callbacks=[Slow(), CSVLog()], progress=False)
trainer.fit(x, y, validation=(x[:9], y[:9]), steps=60, batch_size=8, checkpoint_every=1, resume=resume)
save_weights(out + "/final.safetensors", model)
"""


def run_script(out, pause, how, tmp_path):
    script = tmp_path / "train.py"
    if not script.exists():
        script.write_text(SCRIPT.format(path=sys.path))
    return subprocess.Popen([sys.executable, str(script), str(out), str(pause), how], env=environment())


def test_killed_then_interrupted_then_finished(tmp_path):
    """kill -9 and Ctrl-C at some step of a real process: in the end the bits of one left in peace."""
    peace, trouble = tmp_path / "peace", tmp_path / "trouble"
    checkpoint = trouble / "checkpoint.safetensors"
    undisturbed = run_script(peace, 0, "new", tmp_path)

    process = run_script(trouble, 0.1, "new", tmp_path)
    wait_for(checkpoint.exists)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    killed_at = load_checkpoint(checkpoint)["step"]
    assert 1 <= killed_at < 60

    process = run_script(trouble, 0.1, "resume", tmp_path)
    wait_for(lambda: load_checkpoint(checkpoint)["step"] > killed_at)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert killed_at < load_checkpoint(checkpoint)["step"] < 60

    assert run_script(trouble, 0, "resume", tmp_path).wait(60) == 0
    assert undisturbed.wait(60) == 0
    assert same(load_file(peace / "final.safetensors"), load_file(trouble / "final.safetensors"))
    assert (peace / "log.csv").read_text() == (trouble / "log.csv").read_text()


# ---- checkpoints of something else -------------------------------------------------------------------


def test_resume_needs_a_checkpoint(tmp_path):
    x, y = data()
    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors: no such file"):
        make(tmp_path).fit(x, y, steps=3, resume=True)
    with pytest.raises(ValueError, match="no folder for checkpoints; give out="):
        make().fit(x, y, steps=3, resume=True)


def everything(trainer, folder):
    """What a refused resume may not change: the trainer's state, and the files, to the byte."""
    state = copy.deepcopy(trainer.state_dict())
    files = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else None
    history = copy.deepcopy((trainer.history.to_dict(), trainer.history.stopped))
    generators = [torch.get_rng_state(), random.getstate()]
    modes = [module.training for module in trainer.model.modules()]
    return state, files, history, generators, modes, trainer.total_steps, trainer.total_epochs


def same_everything(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_everything(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_everything, a, b))
    return a == b


def test_resume_refuses_another_training_and_changes_nothing(tmp_path):
    """What differs is named; the disk and the trainer, which may have trained before, stay as they are."""
    x, y = data()
    folder = tmp_path / "run"
    validation = (x[:10], y[:10])
    make(folder, settings={"text": "a", "size": 3}).fit(x, y, steps=3, batch_size=8, validation=validation)

    def refused(said, changed=None, trained=True, arrays=(x, y), **fit):
        options = {"settings": {"text": "a", "size": 3}} | (changed or {})
        trainer = options.pop("trainer", None) or make(folder, **options)
        if trained:
            trainer.fit(x, y, steps=2, batch_size=4, validation=validation)
            make(folder, settings={"text": "a", "size": 3}).fit(
                x, y, steps=3, batch_size=8, validation=validation
            )
        before = everything(trainer, folder)
        fit = {"batch_size": 8, "validation": validation} | fit
        with pytest.raises(
            CheckpointError, match=r"(?s)checkpoint\.safetensors: does not fit this training: .*" + said
        ):
            trainer.fit(*arrays, steps=5, resume=True, **fit)
        assert same_everything(before, everything(trainer, folder))

    for trained in (False, True):
        refused(
            r"settings.text: 'a' in the checkpoint, 'b' here\n  settings.size: 3 .* 4 here$",
            {"settings": {"text": "b", "size": 4}},
            trained,
        )
        refused("model.2: 'Dropout\\(p=0.3\\)' .* 'Dropout\\(p=0.1\\)' here$", {"p": 0.1}, trained)
        refused("optimizer.rule: 'SGD' in the checkpoint, 'AdamW' here", {"optimizer": "adamw"}, trained)
        refused(r"optimizer.groups\[0\].lr: 0.05 in the checkpoint, 0.1 here$", {"lr": 0.1}, trained)
        refused("schedule.name: 'WarmupCosine' .* 'ReduceLROnPlateau' here", {"schedule": "p"}, trained)
        refused("schedule.total_steps: 30 in the checkpoint, 60 here$", {"steps": 60}, trained)
        refused("engine: 'manual' in the checkpoint, 'autograd' here$", {"engine": "autograd"}, trained)
        refused("seed: 0 in the checkpoint, 1 here$", {"seed": 1}, trained)
        refused("accumulate: 1 in the checkpoint, 2 here$", {"accumulate": 2}, trained)
        refused("dtype: 'float32' .* 'float64' here", {"dtype": torch.float64}, False)
        refused("data: '.*' in the checkpoint, '.*' here$", None, trained, (x + 1, y))
        refused("validation: '.*' here$", None, trained, validation=(x[:10], y[:10] + 1))
        refused("DataLoader.*expected batch_size 4 as in this loader, got 8", None, trained, batch_size=4)
        refused("DataLoader.*expected shuffle False as in this loader", None, trained, shuffle=False)
    same_settings = {"settings": {"text": "a", "size": 3}, "out": folder, "progress": False}
    other = Trainer(Dense(6, 1), "mse", "sgd", lr=0.05, **same_settings)
    refused("model: 'Sequential\\(\\)' in the checkpoint, 'Dense\\(6, 1\\)' here", {"trainer": other}, False)

    # What fails late, when much has been loaded, is put back as well.
    good = load_checkpoint(folder / "checkpoint.safetensors")
    for part in good:
        state = copy.deepcopy(good)
        state[part] = {"random": {"sources": {}}, "step": None, "products": "no such"}.get(part, {"x": 1})
        save_checkpoint(folder / "checkpoint.safetensors", state)
        refused("", None, False)
        del state[part]
        save_checkpoint(folder / "checkpoint.safetensors", state)
        refused(f"the state lacks {part}$", None, False)
    state = copy.deepcopy(good)
    state["model"]["0.weight"] = torch.zeros(3)
    save_checkpoint(folder / "checkpoint.safetensors", state)
    refused("wrong shape: 0.weight", None, False)


def test_a_refused_resume_makes_no_folder(tmp_path):
    x, y = data()
    with pytest.raises(CheckpointError, match="no such file"):
        make(tmp_path / "new", callbacks=[CSVLog()]).fit(x, y, steps=3, resume=True)
    with pytest.raises(ValueError, match="fit: expected either epochs or steps"):
        make(tmp_path / "new", callbacks=[CSVLog()]).fit(x, y)
    with pytest.raises(ValueError, match="BestCheckpoint: watches val_loss; give fit"):
        make(tmp_path / "new", callbacks=[CSVLog(), BestCheckpoint()]).fit(x, y, steps=3)
    assert not (tmp_path / "new").exists()


def test_a_training_begun_anew_replaces_the_checkpoint_with_its_first_step(tmp_path):
    """Killed after that, it is not the earlier training that goes on."""
    x, y = data()
    make(tmp_path).fit(x, y, steps=9)

    class Killed(Exception):
        pass

    class Kill(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 2:
                raise Killed

    with pytest.raises(Killed):
        make(tmp_path, lr=0.1, callbacks=[Kill()]).fit(x, y, steps=9, checkpoint_every=100)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 1
    with pytest.raises(CheckpointError, match=r"lr: 0.1 in the checkpoint, 0.05 here"):
        make(tmp_path).fit(x, y, steps=9, resume=True)
    resumed, straight = make(tmp_path, lr=0.1), make(lr=0.1)
    resumed.fit(x, y, steps=9, resume=True)
    straight.fit(x, y, steps=9)
    assert same(bits(resumed.model), bits(straight.model))


def test_the_table_of_products_is_that_of_the_checkpoint(tmp_path):
    x, y = data()
    seen = []

    class See(Callback):
        def on_step_end(self, trainer):
            seen.append(table_in_force()["name"])

    with use_table("torch"):
        make(tmp_path, callbacks=[See()]).fit(x, y, steps=3)
    with use_table("onednn"):
        make(tmp_path, callbacks=[See()]).fit(x, y, steps=5, resume=True)
        assert table_in_force()["name"] == "onednn"
        make(callbacks=[See()]).fit(x, y, steps=1)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["products"]["name"] == "torch"
    assert seen == ["torch"] * 5 + ["onednn"]


def test_callbacks_remember_what_is_theirs_wherever_they_stand(tmp_path):
    x, y = data()
    validation = {"validation": (x[:10], y[:10]), "validate_every": 1}
    make(tmp_path, callbacks=[EarlyStopping(50), EarlyStopping(60)]).fit(x, y, steps=4, **validation)
    first, second = EarlyStopping(50), EarlyStopping(60)
    make(tmp_path, callbacks=[CSVLog(), first, BestCheckpoint(), second]).fit(
        x, y, steps=4, resume=True, **validation
    )
    assert first.best == second.best < math.inf


def test_resume_from_a_file_of_ones_choice(tmp_path):
    x, y = data()
    first = make()
    first.fit(x, y, steps=4)
    first.save(tmp_path / "mine")
    second, straight = make(), make()
    second.fit(x, y, steps=8, resume=tmp_path / "mine")
    straight.fit(x, y, steps=8)
    assert same(bits(second.model), bits(straight.model))


def test_early_stopping_resumes_with_its_patience(tmp_path):
    x, y = data()
    options = {"validation": (x[:10], y[:10]), "validate_every": 2, "batch_size": 8}

    def trainer(out=None):
        return make(
            out, schedule="plateau", callbacks=[EarlyStopping(patience=3), CSVLog(out and out / "log.csv")]
        )

    straight = trainer(tmp_path / "a")
    expected = straight.fit(x, y, steps=200, **options)
    assert len(expected) < 200  # it did stop
    trainer(tmp_path / "b").fit(x, y, steps=len(expected) - 3, **options)
    resumed = trainer(tmp_path / "b")
    history = resumed.fit(x, y, steps=200, resume=True, **options)
    assert history["loss"] == expected["loss"]
    assert same(bits(straight.model), bits(resumed.model))
    once_more = trainer(tmp_path / "b")
    assert len(once_more.fit(x, y, steps=200, resume=True, **options)) == len(expected)  # already ended
