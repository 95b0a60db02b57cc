"""Crashes while writing; resuming to the same bits, in every setting; and checkpoints of something else."""

import copy
import errno
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from ds_core import Dense, Module, MSELoss, Parameter, ReLU, Sequential
from ds_core.data import DataLoader
from ds_core.kernels.matmul import table_in_force, use_table
from ds_core.layers import Dropout
from ds_core.optimizers import OPTIMIZERS, SGD, AdamW
from ds_core.random_state import seed_torch
from ds_core.schedulers import ExponentialLR, LinearLR, ReduceLROnPlateau, SequentialLR, WarmupCosine
from ds_core.training import (
    AverageWeights,
    BestCheckpoint,
    Callback,
    CheckpointError,
    CSVLog,
    EarlyStopping,
    MovingAverage,
    RunFolder,
    Trainer,
    load_checkpoint,
    save_checkpoint,
)
from ds_core.training.files import write_text
from safetensors.torch import load_file


def data(samples=40):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(samples, 6, generator=g)
    return x, x.sin().sum(1, keepdim=True)


def bits(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("seed", [0, -3, 2**63 - 1])
def test_a_seed_gives_the_numbers_that_torch_gives_for_it(seed):
    torch.manual_seed(seed)
    expected = torch.randn(5)
    torch.manual_seed(1)
    seed_torch(seed)
    assert torch.equal(torch.randn(5), expected)
    assert torch.initial_seed() == seed % 2**64


# ---- crashes while writing ----------------------------------------------------------------------------


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


# ---- resuming -----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("steps", [3, 4, 5, 8])
def test_resuming_behind_a_last_group_of_fewer_batches(tmp_path, steps):
    """Of 11 batches a step takes 3 and the fourth one 2: the epoch has ended then, and is not counted yet."""
    x, y = data(42)
    straight, resumed = make(accumulate=3), make(tmp_path, accumulate=3)
    expected = straight.fit(x, y, epochs=5, batch_size=4)
    make(tmp_path, accumulate=3).fit(x, y, steps=steps, batch_size=4)
    assert len(resumed.fit(x, y, epochs=5, batch_size=4, resume=True)) == len(expected) == 20
    assert same(bits(straight.model), bits(resumed.model))


class Thaw(Callback):
    """Thaws the first layer after some epochs, and gives it to the optimizer."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, trainer):
        if trainer.epoch == self.epoch:
            trainer.model[0].requires_grad_()
            trainer.optimizer.add_param_group({"params": trainer.model[0].parameters(), "lr": 0.02})


def thawing(out=None, schedule=None):
    g = torch.Generator().manual_seed(0)
    model = Sequential(Dense(6, 8, generator=g), ReLU(), Dense(8, 1, generator=g))
    model[0].requires_grad_(False)
    optimizer = AdamW(model[2].parameters(), lr=0.01)
    return Trainer(model, "mse", optimizer, schedule, callbacks=[Thaw(2)], progress=False, out=out)


@pytest.mark.parametrize("schedule", [None, lambda o: ExponentialLR(o, 0.9), "plateau"])
@pytest.mark.parametrize("split", [1, 2, 4])
def test_groups_that_a_callback_has_added_and_thawed_resume(tmp_path, schedule, split):
    x, y = data()
    straight, resumed = thawing(schedule=schedule), thawing(tmp_path, schedule)
    expected = straight.fit(x, y, epochs=6, validation=(x, y))
    thawing(tmp_path, schedule).fit(x, y, epochs=split, validation=(x, y))
    early = (tmp_path / "checkpoint.safetensors").read_bytes()
    history = resumed.fit(x, y, epochs=6, resume=True, validation=(x, y))
    assert history.to_dict() == expected.to_dict()
    assert same(bits(straight.model), bits(resumed.model))
    assert [len(group["params"]) for group in resumed.optimizer.param_groups] == [2, 2]

    (tmp_path / "checkpoint.safetensors").write_bytes(early)  # and back, from where there may have been none
    resumed.fit(x, y, epochs=6, resume=True, validation=(x, y))
    assert same(bits(straight.model), bits(resumed.model))


def test_other_parameters_in_the_optimizer_or_frozen_are_refused(tmp_path):
    x, y = data()
    thawing(tmp_path).fit(x, y, epochs=3)

    def refused(change, said):
        trainer = thawing(tmp_path)
        change(trainer)
        before = everything(trainer, tmp_path)
        with pytest.raises(CheckpointError, match=said):
            trainer.fit(x, y, epochs=4, resume=True)
        assert same_everything(before, everything(trainer, tmp_path))

    def turn(trainer):
        trainer.optimizer.param_groups[0]["params"].reverse()

    frozen = r"were frozen when it began:\n  frozen.model.2.bias: None in the checkpoint, True here$"
    refused(lambda trainer: trainer.model[2].bias.requires_grad_(False), frozen)
    refused(turn, r"trained\[0\]: 'model.2.weight' in the checkpoint, 'model.2.bias' here")
    path = tmp_path / "checkpoint.safetensors"
    state = load_checkpoint(path)
    save_checkpoint(path, state | {"optimizer": state["optimizer"] | {"state": {0: {}}}})  # fails behind both
    refused(lambda trainer: None, "expected a state of")


def test_a_parameter_of_nobody_in_the_optimizer_is_refused_when_it_is_saved(tmp_path):
    class Strange(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 2:
                trainer.optimizer.add_param_group({"params": [Parameter(torch.ones(3))]})

    x, y = data()
    with pytest.raises(ValueError, match=r"model's or the loss's, got one that is neither, .*3"):
        make(tmp_path, schedule="plateau", callbacks=[Strange()]).fit(x, y, steps=4, validation=(x, y))


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            trainer.stop("enough")


class StopAtOnce(Callback):
    def on_fit_start(self, trainer):
        trainer.stop("enough")


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


def own_loader():
    return DataLoader(*data(), batch_size=8, seed=3)


@pytest.mark.parametrize("source", [own_loader, plain_batches, Shuffled, torch_loader])
def test_stopped_at_the_last_step_of_an_epoch_that_has_fewer_batches(tmp_path, source):
    """It has seen the end of the epoch, so the next one is not to be taken for what is left of it."""
    straight = make(accumulate=3)  # of the five batches of an epoch
    expected = straight.fit(source(), epochs=3)
    assert expected["epoch"] == [1, 1, 2, 2, 3, 3]
    for step in range(1, 7):
        make(tmp_path, accumulate=3, callbacks=[StopAt(step)]).fit(source(), epochs=3)
        torch.manual_seed(99)
        resumed = make(tmp_path, accumulate=3)
        assert resumed.fit(source(), epochs=3, resume=True).to_dict() == expected.to_dict()
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
    """kill -9, Ctrl-C and SIGTERM at some step of a real process: in the end the bits of one in peace."""
    peace, trouble = tmp_path / "peace", tmp_path / "trouble"
    checkpoint = trouble / "checkpoint.safetensors"
    undisturbed = run_script(peace, 0, "new", tmp_path)

    process = run_script(trouble, 0.1, "new", tmp_path)
    wait_for(checkpoint.exists)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    killed_at = load_checkpoint(checkpoint)["step"]
    assert 1 <= killed_at < 60

    for number in (signal.SIGINT, signal.SIGTERM):
        before = load_checkpoint(checkpoint)["step"]
        process = run_script(trouble, 0.1, "resume", tmp_path)
        wait_for(lambda before=before: load_checkpoint(checkpoint)["step"] > before)
        process.send_signal(number)
        assert process.wait(60) == 0
        assert before < load_checkpoint(checkpoint)["step"] < 60

    assert run_script(trouble, 0, "resume", tmp_path).wait(60) == 0
    assert undisturbed.wait(60) == 0
    assert same(load_file(peace / "final.safetensors"), load_file(trouble / "final.safetensors"))
    assert (peace / "log.csv").read_text() == (trouble / "log.csv").read_text()


# ---- checkpoints of something else --------------------------------------------------------------------


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


@pytest.mark.parametrize("trained", [False, True])
def test_a_refused_resume_leaves_a_schedule_given_by_name_as_it_was(tmp_path, trained):
    x, y = data()

    def named(out=None):
        model = Dense(6, 1, generator=torch.Generator().manual_seed(0))
        return Trainer(model, "mse", "sgd", "cosine", lr=0.1, progress=False, out=out)

    named(tmp_path).fit(x, y, steps=4)
    trainer = named(tmp_path / "other")
    if trained:
        trainer.fit(x, y, steps=3)
    before, schedule = copy.deepcopy((trainer.state_dict(), trainer._rules)), trainer.schedule
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(CheckpointError, match=r"schedule\.steps: 4 in the checkpoint, 8 here"):
        trainer.fit(x, y, steps=8, resume=path)
    state = load_checkpoint(path)
    save_checkpoint(path, state | {"random": {"sources": {}}})  # fails late
    with pytest.raises(CheckpointError):
        trainer.fit(x, y, steps=4, resume=path)
    if not trained:
        with pytest.raises(CheckpointError):
            trainer.load(path)
    with pytest.raises(ValueError, match="expected steps= with schedule 'cosine'"):
        trainer.fit(((x, y) for _ in range(3)), epochs=1)
    assert trainer.schedule is schedule
    assert same_everything(before, (trainer.state_dict(), trainer._rules))


def test_a_training_from_elsewhere_that_makes_no_step_leaves_the_folder_as_it_was(tmp_path):
    x, y = data()
    there, here = tmp_path / "there", tmp_path / "here"
    callbacks = ["csv_log", "best_checkpoint"]
    for folder, lr in ((there, 0.05), (here, 0.1)):
        make(folder, lr=lr, callbacks=callbacks).fit(x, y, steps=4, validation=(x, y))
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    elsewhere = there / "checkpoint.safetensors"
    for steps, more in ((4, []), (9, [StopAtOnce()])):
        trainer = make(here, callbacks=[*callbacks, *more])
        history = trainer.fit(x, y, steps=steps, validation=(x, y), resume=elsewhere)
        assert len(history) == 4
        assert before == {path.name: path.read_bytes() for path in here.iterdir()}


def test_data_that_end_before_the_position_are_refused(tmp_path):
    x, y = data()

    class Few:
        def __init__(self, count):
            self.count = count

        def __iter__(self):
            return iter([(x, y)] * self.count)

    make(tmp_path).fit(Few(9), steps=7)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(
        ValueError, match=r"an epoch of at least 7 batches, which .* has had, got 3; give the"
    ):
        make(tmp_path).fit(Few(3), steps=12, resume=True)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before
    assert make(tmp_path).fit(Few(7), steps=9, resume=True)["epoch"] == [1] * 7 + [2] * 2


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


def test_a_training_that_ends_before_its_first_step_leaves_the_folder_as_it_was(tmp_path, capsys):
    x, y = data()
    make(tmp_path, callbacks=[CSVLog()]).fit(x, y, steps=9)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    class AtOnce(Callback):
        def on_fit_start(self, trainer):
            raise KeyboardInterrupt

    for options, steps in (({"callbacks": [AtOnce()]}, 9), ({}, 0)):
        with RunFolder(tmp_path, resume=False, overwrite=True, results=[], files={"notes": "new"}) as folder:
            callbacks = [folder, CSVLog(), *options.get("callbacks", ())]
            make(tmp_path, lr=0.1, callbacks=callbacks).fit(x, y, steps=steps)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert capsys.readouterr().out == "Interrupted after step 0. No checkpoint was written.\n"


def test_after_a_validation_that_was_interrupted_the_next_one_has_all_its_batches(tmp_path):
    x, y = data()

    class Interrupted(Module):
        def __init__(self, batch=None):
            self.batch, self.seen = batch, 0

        def forward(self, x):
            self.seen += not self.training
            if self.seen == self.batch:
                raise KeyboardInterrupt
            return x

        def backward(self, grad):
            return grad

    def trained(batch=None, **options):
        model = Sequential(Interrupted(batch), Dense(6, 1, generator=torch.Generator().manual_seed(0)))
        validation = DataLoader(x, y, batch_size=16)  # three batches
        trainer = Trainer(model, "mse", "sgd", out=tmp_path, progress=False)
        return trainer.fit(x, y, epochs=3, validation=validation, **options)

    expected = trained()
    for batch in (1, 2, 3):
        assert trained(batch).stopped == "interrupted"
        resumed = trained(resume=True)
        assert resumed.train == expected.train
        assert resumed["val_loss"] == expected["val_loss"][1:]


def test_until_the_first_checkpoint_is_written_the_folder_holds_nothing_of_the_new_training(
    tmp_path, monkeypatch
):
    """Neither log nor best weights stand beside the checkpoint of another training, whenever it is killed."""
    x, y = data()

    def run(**options):
        with RunFolder(tmp_path, resume=False, overwrite=True, results=["best.safetensors"]) as folder:
            trainer = make(tmp_path, callbacks=[folder, CSVLog(), BestCheckpoint()], **options)
            trainer.fit(x, y, validation=(x, y), steps=9, validate_every=1)
        return trainer

    def found():
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    run()
    old = found()
    assert set(old) == {"checkpoint.safetensors", "best.safetensors", "log.csv"}

    class Killed(Exception):
        pass

    def killed(self, path):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", killed)
        with pytest.raises(Killed):
            run(lr=0.1)
    assert found() == {"checkpoint.safetensors": old["checkpoint.safetensors"]}

    trainer = run(lr=0.1)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 9
    assert (tmp_path / "log.csv").read_bytes() == trainer.history.to_csv(tmp_path / "again.csv").read_bytes()
    assert load_checkpoint(tmp_path / "best.safetensors")["callbacks"][2][1]["best"] == trainer.history.best(
        "val_loss"
    )


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


@pytest.mark.parametrize("validate_every", [None, 3, 4])
def test_the_best_checkpoint_has_what_all_callbacks_remember_of_its_step(tmp_path, validate_every):
    x, y = data()
    options = {"epochs": 4, "batch_size": 8, "validation": (x[:10], y[:10]), "validate_every": validate_every}

    def trainer(out):
        others = [EarlyStopping(50), MovingAverage(0.9), AverageWeights(2)]
        return make(out, callbacks=[BestCheckpoint(), *others])

    straight, resumed = trainer(tmp_path / "a"), trainer(tmp_path / "b")
    history = straight.fit(x, y, **options)
    assert resumed.fit(x, y, resume=tmp_path / "a" / "best.safetensors", **options).train == history.train
    assert same(bits(straight.model), bits(resumed.model))
    for one, other in zip(straight.callbacks, resumed.callbacks, strict=True):
        assert str(one.state_dict()) == str(other.state_dict())


@pytest.mark.parametrize("stop", [4, 7])
def test_data_that_are_validated_with_themselves_resume(tmp_path, stop):
    x, y = data()

    def fit(out, steps, **options):
        loader = DataLoader(x, y, batch_size=8, shuffle=True)
        trainer = make(out)
        trainer.fit(loader, validation=loader, steps=steps, validate_every=2, **options)
        return bits(trainer.model)

    fit(tmp_path / "b", stop)
    assert same(fit(tmp_path / "a", 12), fit(tmp_path / "b", 12, resume=True))


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
