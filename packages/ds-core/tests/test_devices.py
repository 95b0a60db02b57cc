"""Devices: what a name means, and a device that computes ahead of what is read from it."""

import math

import pytest
import torch
from ds_core import Dense, Dropout, ReLU, Sequential, Trainer
from ds_core.devices import pick_device
from ds_core.training import AverageWeights, MovingAverage, load_checkpoint
from ds_core.training import trainer as trainer_module
from ds_core.training.batches import to_device
from ds_core.training.reading import Reading
from ds_core.verify.__main__ import main as verify

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def data(samples=12):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(samples, 3, generator=g)
    return x, x.sum(1, keepdim=True)


def make(**options):
    g = torch.Generator().manual_seed(1)
    model = Sequential(Dense(3, 8, generator=g), ReLU(), Dropout(0.2), Dense(8, 1, generator=g))
    return Trainer(model, "mse", "adamw", progress=False, **options)


def bits(trainer):
    return [p.detach().clone() for p in trainer.model.parameters()]


@pytest.fixture
def ahead(monkeypatch):
    """Lets the processor be treated as a device that computes ahead."""
    monkeypatch.setattr(Trainer, "_computes_ahead", True)


# ---- names -----------------------------------------------------------------------------------------------


def test_names_of_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name, expected in {"auto": "cuda", "cpu": "cpu", "cuda:1": "cuda:1", "mps": "mps"}.items():
        assert pick_device(name) == torch.device(expected)
    assert pick_device(torch.device("cuda", 1)).index == 1
    with pytest.raises(ValueError, match="--device: cuda:2 was asked for, but torch finds 2 of them"):
        pick_device("cuda:2", "--device")
    for wrong in ("gpu", "meta", "cuda:x", ""):
        with pytest.raises(ValueError, match=r"Trainer: device: expected one of auto, cpu, cuda.*, got"):
            make(device=wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    for absent in ("cuda", "cuda:1", "mps"):
        with pytest.raises(ValueError, match=f"{absent} was asked for, but torch finds none on this machine"):
            pick_device(absent)


def test_a_checkpoint_goes_on_on_the_kind_of_device_it_was_made_on(tmp_path):
    make(out=tmp_path).fit(*data(), steps=2)
    state = load_checkpoint(tmp_path / "checkpoint.safetensors")
    state["settings"]["device"] = "cuda"
    with pytest.raises(ValueError, match="device: 'cuda' in the checkpoint, 'cpu' here"):
        make().load_state_dict(state)


def test_verify_names_the_device(tmp_path, capsys):
    cases = tmp_path / "cases.py"
    cases.write_text(
        "import torch\nfrom ds_core import Dense\nfrom ds_core.verify import Case\n"
        "from ds_core.verify.inputs import normal\n"
        "CASES = [Case('Dense', make=lambda: Dense(3, 2), inputs=normal((4, 3)),\n"
        "    namesake=lambda: torch.nn.Linear(3, 2))]\n"
    )
    assert verify([str(cases), "--device", "cpu", "--dtype", "float32"]) == 0
    for device, said in (("cuda:77", "cuda:77 was asked for"), ("tpu", "expected one of auto, cpu")):
        with pytest.raises(SystemExit):
            verify([str(cases), "--device", device])
        assert said in capsys.readouterr().err


# ---- computing ahead -------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_a_device_that_computes_ahead_learns_and_records_the_same(monkeypatch, clip_norm):
    options = {"clip_norm": clip_norm, "metrics": "r2"}
    fit = {"epochs": 3, "batch_size": 5, "validation": data(4)}
    plain, late = make(**options), make(**options)
    expected = plain.fit(*data(), **fit)
    monkeypatch.setattr(Trainer, "_computes_ahead", True)
    got = late.fit(*data(), **fit)
    for name, column in expected.to_dict()["train"].items():
        assert got[name] == pytest.approx(column, rel=1e-5)
    assert got.validation.keys() == expected.validation.keys()
    for mine, theirs in zip(bits(late), bits(plain), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("ahead")
def test_a_step_is_read_while_the_next_is_computed(monkeypatch):
    happened = []

    class Slow(Reading):
        def values(self):
            happened.append("read")
            return super().values()

    monkeypatch.setattr(trainer_module, "Reading", Slow)
    trainer = make()
    step = trainer.optimizer.step
    monkeypatch.setattr(trainer.optimizer, "step", lambda: happened.append("step") or step())
    trainer.fit(*data(), steps=4, batch_size=3)
    assert happened == ["step", "step", "read", "step", "read", "step", "read", "read"]


@pytest.mark.usefixtures("ahead")
def test_who_looks_at_the_history_sees_all_of_it_and_the_log_has_every_row(tmp_path):
    seen = []

    class Watch(trainer_module.Callback):
        def on_step_end(self, trainer):
            seen.append((len(trainer.past), len(trainer.history)))

    trainer = make(callbacks=[Watch(), "csv_log", "tensorboard"], out=tmp_path)
    trainer.fit(*data(), steps=4, batch_size=3, checkpoint_every=100)
    assert seen == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5


@pytest.mark.usefixtures("ahead")
@pytest.mark.parametrize(("bad", "saved"), [(1, None), (2, 1), (4, 3)])
def test_what_is_not_finite_never_reaches_a_checkpoint(tmp_path, bad, saved):
    """Nothing but the check itself stands in its way: the weights of the step after it are NaN, too."""
    x, y = data()
    batches = [(x[i : i + 3].clone(), y[i : i + 3]) for i in range(0, 12, 3)]
    batches[bad - 1][0][0, 0] = math.nan
    trainer = make(out=tmp_path)
    with pytest.raises(FloatingPointError, match=f"step {bad}, epoch 1: the loss is nan.*batch itself"):
        trainer.fit(batches, epochs=2, checkpoint_every=1)
    path = tmp_path / "checkpoint.safetensors"
    if saved is None:
        assert not path.exists()
    else:
        state = load_checkpoint(path)
        assert state["step"] == saved == len(state["history"]["train"]["loss"])
        assert all(weight.isfinite().all() for weight in state["model"].values())
    trainer.history  # noqa: B018  # what was wrong has been said once


@pytest.mark.usefixtures("ahead")
def test_a_training_that_computes_ahead_resumes_bit_for_bit(tmp_path):
    fit = {"batch_size": 5, "checkpoint_every": 2}
    whole, first = make(clip_norm=0.5), make(clip_norm=0.5, out=tmp_path)
    history = whole.fit(*data(), steps=7, **fit)
    first.fit(*data(), steps=4, **fit)
    again = make(clip_norm=0.5, out=tmp_path)
    resumed = again.fit(*data(), steps=7, resume=True, **fit)
    assert resumed.to_dict() == history.to_dict()
    assert all(map(torch.equal, bits(again), bits(whole)))


# ---- on a CUDA device ------------------------------------------------------------------------------------


@cuda
def test_batches_travel_through_pinned_memory():
    batch = (torch.ones(3), [torch.zeros(2, dtype=torch.int64)], {"mask": torch.tensor(True)}, "word")
    x, (y,), named, word = to_device(batch, torch.device("cuda"))
    assert x.is_cuda
    assert y.is_cuda
    assert named["mask"].is_cuda
    assert word == "word"
    assert Reading([torch.tensor(0.1, device="cuda"), torch.tensor(True, device="cuda")]).values()[1] == 1.0


@cuda
@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_a_cuda_device_learns_as_the_processor_does_and_resumes_bit_for_bit(tmp_path, engine):
    fit = {"batch_size": 5, "checkpoint_every": 2}

    def fresh(**options):
        trainer = make(engine=engine, clip_norm=0.5, **options)
        trainer.model[2].p = 0.0
        return trainer

    processor, whole = fresh(), fresh(device="cuda")
    expected = processor.fit(*data(), steps=7, **fit)
    history = whole.fit(*data(), steps=7, **fit)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    for dropout in (0.0, 0.3):
        whole, first, again = fresh(device="cuda"), *(fresh(device="cuda", out=tmp_path) for _ in range(2))
        for trainer in (whole, first, again):
            trainer.model[2].p = dropout
        history = whole.fit(*data(), steps=7, **fit)
        first.fit(*data(), steps=4, **fit)
        resumed = again.fit(*data(), steps=7, resume=True, **fit)
        assert resumed.to_dict() == history.to_dict()
        assert all(map(torch.equal, bits(again), bits(whole)))


@cuda
def test_no_step_waits_for_a_cuda_device():
    x, y = data(600)
    trainer = make(device="cuda", clip_norm=0.5)
    trainer.fit(x, y, steps=3)
    with trainer._in_training():
        for batches in trainer._data.groups(1):
            torch.cuda.set_sync_debug_mode("error")
            try:
                trainer._update(batches)
            finally:
                torch.cuda.set_sync_debug_mode("default")


@cuda
@pytest.mark.parametrize("kind", [MovingAverage, AverageWeights])
def test_averages_of_a_checkpoint_come_to_the_device(tmp_path, kind):
    x, y = data()
    for epochs, resume in ((2, False), (3, True)):
        trainer = make(device="cuda", out=tmp_path, callbacks=kind(2 if kind is AverageWeights else 0.9))
        trainer.fit(x, y, epochs=epochs, resume=resume)
    assert all(p.is_cuda and p.isfinite().all() for p in trainer.model.parameters())
