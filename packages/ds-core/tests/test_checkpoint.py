"""Checkpoints: states as they were, damaged and foreign files."""

import hashlib
import json
import math
import os
import random
import struct
import time
from contextlib import suppress

import pytest
import torch
from ds_core import Dense, Module, ReLU, Sequential
from ds_core.layers import Dropout
from ds_core.schedulers import WarmupCosine
from ds_core.training import (
    CheckpointError,
    Trainer,
    load_checkpoint,
    load_tensors,
    load_weights,
    save_checkpoint,
    save_tensors,
    save_weights,
)
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


# ---- states -------------------------------------------------------------------------------------------


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
    state |= {(1, ("b", math.inf)): torch.ones(1), math.inf: {(): None}}  # keys of any kind that hashes
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
        "whole": base,
        "the same memory in another shape": base.view(-1),
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


# ---- damaged and foreign files ------------------------------------------------------------------------


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
        (struct.pack("<Q", 21) + b'{"__metadata__":null}', "a safetensors file, but not a checkpoint"),
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
