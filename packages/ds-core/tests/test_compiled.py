"""``Trainer(compile=...)``: the same steps as one program, compiled once for batches of any size."""

import shutil

import pytest
import torch
from ds_core import (
    CrossEntropyLoss,
    Dense,
    Dropout,
    Embedding,
    LayerNorm,
    Recompute,
    ReLU,
    Sequential,
    Trainer,
)
from ds_core.training import compiled
from ds_core.training.compiled import check_compiler

CPU = torch.device("cpu")


def make(compile="aot_eager", dropout=0.0, seed=0, **options):
    g = torch.Generator().manual_seed(1)
    model = Sequential(
        Embedding(11, 6, generator=g),
        LayerNorm(6),
        Dense(6, 9, generator=g),
        ReLU(),
        Dropout(dropout),
        Dense(9, 11, generator=g),
    ).double()
    torch._dynamo.reset()
    loss = CrossEntropyLoss(dim=-1)
    return Trainer(model, loss, "adamw", compile=compile, progress=False, seed=seed, **options)


def ragged(sizes):
    g = torch.Generator().manual_seed(2)
    return [(ids, ids.flip(1)) for ids in (torch.randint(11, size, generator=g) for size in sizes)]


SIZES = [(4, 7), (4, 7), (3, 5), (5, 6), (2, 9), (4, 7), (6, 3), (7, 8)]


def test_compiled_steps_are_those_of_the_formulas_and_ragged_batches_share_a_program():
    plain, fast = make(compile=False, clip_norm=0.5), make(clip_norm=0.5)
    expected, history = (trainer.fit(ragged(SIZES), epochs=2) for trainer in (plain, fast))
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-10)
    for mine, theirs in zip(fast.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)
    assert 1 <= fast.compilations <= 3
    assert plain.compilations == 0


def test_dropout_draws_for_batches_of_any_size():
    trainer = make(dropout=0.3)
    history = trainer.fit(ragged(SIZES), epochs=2)
    assert make(dropout=0.3).fit(ragged(SIZES), epochs=2)["loss"] == history["loss"]
    assert make(dropout=0.3, seed=1).fit(ragged(SIZES), epochs=2)["loss"] != history["loss"]
    assert trainer.compilations <= 3


def test_a_block_that_is_recomputed_compiles():
    x = torch.randn(11, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def losses(compile):
        g = torch.Generator().manual_seed(1)
        block = Sequential(Dense(4, 6, generator=g), LayerNorm(6), ReLU())
        model = Sequential(Recompute(block), Dense(6, 1, generator=g)).double()
        torch._dynamo.reset()
        trainer = Trainer(model, "mse", "adamw", compile=compile, progress=False)
        return trainer.fit(x, x[:, :1].sin(), epochs=2, batch_size=4)["loss"]

    assert losses("aot_eager") == pytest.approx(losses(False), rel=1e-10)


def test_accumulated_steps_compile_and_resume_bit_for_bit(tmp_path):
    options = {"accumulate": 2, "dropout": 0.3}
    whole, first, again = make(**options), make(out=tmp_path, **options), make(out=tmp_path, **options)
    data = ragged([(4, 7)] * 6)
    expected = whole.fit(data, steps=5)
    first.fit(data, steps=3)
    assert again.fit(data, steps=5, resume=True).to_dict() == expected.to_dict()
    for mine, theirs in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_what_compile_asks_for(monkeypatch):
    with pytest.raises(ValueError, match=r"compile: expected True, False or one of .*inductor.*, got 'gcc'"):
        make(compile="gcc")
    with pytest.raises(ValueError, match="compile: expected False with torch's autograd"):
        make(engine="autograd")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"torch.compile needs a C\+\+ compiler .* leave compile out"):
        make(compile=True)
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"torch.compile needs the package triton"):
        check_compiler(torch.device("cuda"))
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    check_compiler(CPU)
