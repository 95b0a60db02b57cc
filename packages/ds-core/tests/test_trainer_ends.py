"""Trainer: ending early, what a person sees, names and errors."""

import io
import itertools
import math
import re
import signal
import threading

import pytest
import torch
from ds_core import Dense, Module, MSELoss, Parameter, ReLU, Sequential
from ds_core.layers import Dropout
from ds_core.losses import CrossEntropyLoss
from ds_core.metrics import Accuracy
from ds_core.optimizers import SGD, Adam
from ds_core.schedulers import StepLR
from ds_core.training import Callback, Trainer, load_checkpoint
from rich.console import Console


def data(samples=24, features=5):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(samples, features, generator=g)
    return x, x.sin().sum(1, keepdim=True)


def mlp(dropout=0.0, generator=None):
    g = torch.Generator().manual_seed(0)
    layers = [Dense(5, 7, generator=g), ReLU(), Dense(7, 1, generator=g)]
    return Sequential(*layers[:2], Dropout(dropout, generator=generator), layers[2])


def bits(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def train(*data, model=None, **options):
    """Trains with SGD and returns the model and its history."""
    names = ("engine", "clip_norm", "accumulate", "schedule", "callbacks", "metrics", "seed", "out")
    settings = {name: options.pop(name) for name in names if name in options}
    model = model or mlp()
    loss = options.pop("loss", "mse")
    optimizer = SGD(model.parameters(), lr=options.pop("lr", 0.05), momentum=0.9)
    history = Trainer(model, loss, optimizer, progress=False, **settings).fit(*data, **options)
    return model, history


# ---- ending early -------------------------------------------------------------------------------------


class At(Callback):
    """Does something after a step."""

    def __init__(self, step, action, moment="on_step_end"):
        def act(trainer):
            if trainer.step == step:
                action()

        setattr(self, moment, act)


def raise_interrupt():
    raise KeyboardInterrupt


def raise_sigterm():
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    "action", [lambda: signal.raise_signal(signal.SIGINT), raise_interrupt, raise_sigterm]
)
@pytest.mark.parametrize(
    ("moment", "step"), [("on_step_end", 5), ("on_validation_end", 6), ("on_epoch_end", 6)]
)
def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(tmp_path, capsys, action, moment, step):
    x, y = data()
    options = {"epochs": 5, "batch_size": 8, "validation": (x, y), "checkpoint_every": 100}
    handler = signal.getsignal(signal.SIGINT)
    straight, expected = train(x, y, **options)
    _, history = train(x, y, out=tmp_path, callbacks=[At(step, action, moment)], **options)
    assert history.stopped == "interrupted"
    assert len(history) == step
    assert history.validation["step"] == [3, 6][: step // 3]
    path = tmp_path / "checkpoint.safetensors"
    said = f"Interrupted after step {step}. The checkpoint of step {step} is {path}; fit(..., resume=True) "
    assert capsys.readouterr().out == said + "goes on from it.\n"
    assert signal.getsignal(signal.SIGINT) is handler
    resumed, history = train(x, y, out=tmp_path, resume=True, **options)
    assert history.to_dict() == expected.to_dict()
    assert same(bits(straight), bits(resumed))


def test_ctrl_c_without_a_folder_and_within_the_data(tmp_path, capsys):
    x, y = data()

    def batches():
        yield x, y
        yield x, y
        raise KeyboardInterrupt

    assert len(train(batches(), steps=5)[1]) == 2
    assert (
        "Interrupted after step 2. No checkpoint was written; Trainer(..., out=FOLDER)"
        in capsys.readouterr().out
    )
    train(batches(), steps=5, out=tmp_path)
    assert "The checkpoint of step 2 is" in capsys.readouterr().out
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_the_second_ctrl_c_strikes_at_once(tmp_path):
    x, y = data()

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(x, y, epochs=5, callbacks=[At(2, twice)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_somebody_handles_or_ignores_stays_theirs():
    x, y = data()
    heard = []
    for handler in (lambda *_: heard.append("mine"), signal.SIG_IGN):
        before = signal.signal(signal.SIGTERM, handler)
        try:
            _, history = train(x, y, steps=3, callbacks=[At(2, raise_sigterm)])
            assert signal.getsignal(signal.SIGTERM) is handler
        finally:
            signal.signal(signal.SIGTERM, before)
        assert len(history) == 3
    assert heard == ["mine"]


def test_training_in_a_thread_leaves_signals_alone():
    x, y = data()
    done = []
    thread = threading.Thread(target=lambda: done.append(train(x, y, epochs=2)))
    thread.start()
    thread.join()
    assert len(done) == 1


def test_a_loss_that_is_not_finite_stops_with_advice_and_keeps_the_checkpoint(tmp_path):
    x, y = data()
    with pytest.raises(FloatingPointError) as caught:
        train(x * 100, y, lr=1e6, out=tmp_path, steps=50, checkpoint_every=1, batch_size=8)
    said = str(caught.value)
    assert "at learning rate 1e+06. Try a smaller learning rate (such as 1e+05), clip_norm=1.0" in said
    step = int(said.split(",")[0].removeprefix("step "))
    assert f"The checkpoint of step {step - 1} is untouched: {tmp_path / 'checkpoint.safetensors'}" in said

    state = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert state["step"] == step - 1
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_a_batch_that_is_not_finite_is_named_as_the_cause():
    x, y = data()
    x[13, 2] = math.nan
    with pytest.raises(
        FloatingPointError, match=r"step 2, epoch 1: the loss is nan .* batch itself holds NaN"
    ):
        train(x, y, epochs=1, batch_size=12, shuffle=False)


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone():
    class Wild(MSELoss):
        def backward(self, grad=1.0):
            return super().backward(grad) * math.inf

    x, y = data()
    model = mlp()
    before = bits(model)
    with pytest.raises(FloatingPointError, match=r"the norm of the gradients is (nan|inf)"):
        train(x, y, model=model, loss=Wild(), clip_norm=1.0, epochs=1)
    assert same(before, bits(model))


def test_weights_that_are_not_finite_never_replace_a_good_checkpoint(tmp_path):
    class WildAtLast(MSELoss):
        def backward(self, grad=1.0):
            return super().backward(grad) * (math.inf if trainer.step == 3 else 1.0)

    x, y = data()
    trainer = Trainer(mlp(), WildAtLast(), "sgd", out=tmp_path, progress=False)
    with pytest.raises(
        FloatingPointError, match=r"the weight 0\.weight is nan .* The checkpoint of step 3 is untouched"
    ):
        trainer.fit(x, y, epochs=9, checkpoint_every=1)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 3


def test_nor_do_those_of_the_loss(tmp_path):
    class Scaled(MSELoss):
        def __init__(self):
            super().__init__()
            self.scale = Parameter(torch.ones(()))

    class Spoil(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 2:
                trainer.loss.scale.data.fill_(math.nan)

    x, y = data()
    trainer = Trainer(mlp(), Scaled(), "sgd", out=tmp_path, callbacks=[Spoil()], progress=False)
    with pytest.raises(
        FloatingPointError, match=r"the weight \(loss\)\.scale is nan .* of step 1 is untouched"
    ):
        trainer.fit(x, y, steps=2, batch_size=8)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 1


# ---- what a person sees -------------------------------------------------------------------------------


def test_quiet_and_plain_lines(capsys, monkeypatch):
    x, y = data()
    clock = itertools.count(0.0, 0.5)  # every look at the clock takes half a second
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    Trainer(mlp(), "mse", "sgd", lr=0.1, progress=False).fit(x, y, epochs=3)
    assert capsys.readouterr().out == ""
    Trainer(mlp(), "mse", "sgd", lr=0.1).fit(x, y, epochs=500, batch_size=12, validation=(x, y))
    lines = capsys.readouterr().out.splitlines()
    assert 8 < len(lines) < 30
    steps = [int(re.search(r"step (\d+)", line)[1]) for line in lines[:-1]]
    pauses = [later - earlier for earlier, later in itertools.pairwise(steps)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 20 * pauses[0]
    assert lines[0].startswith("epoch 2/500, step 4  loss ")
    for part in (" val_loss ", " lr 0.1 ", " steps/s ", " samples/s ", " left"):
        assert part in lines[3]
    assert lines[-1].startswith("epoch 500/500, step 1000  loss ")
    assert "\x1b" not in "".join(lines)


def test_the_epoch_shown_is_that_of_the_latest_step(capsys):
    class Enough(Callback):
        def on_epoch_end(self, trainer):
            if trainer.epoch == 2:
                trainer.stop("enough")

    Trainer(mlp(), "mse", "sgd", lr=0.1, callbacks=Enough()).fit(*data(), epochs=5, batch_size=12)
    assert capsys.readouterr().out.startswith("epoch 2/5, step 4  loss ")


def test_a_live_bar_on_a_terminal(monkeypatch, capsys):
    x, y = data()
    screen = io.StringIO()
    terminal = Console(force_terminal=True, file=screen, width=100)
    monkeypatch.setattr("ds_core.training.progress.Console", lambda: terminal)
    Trainer(mlp(), "mse", "sgd", lr=0.1).fit(x, y, epochs=3, validation=(x, y))
    shown = screen.getvalue()
    assert "epoch 3/3, step 3" in shown
    assert "val_loss" in shown
    assert "━" in shown
    assert capsys.readouterr().out == ""


def test_speed_is_measured_in_tokens_where_there_are_tokens(capsys):
    class Table(Module):
        def __init__(self):
            self.layer = Dense(1, 4)

        def forward(self, ids):
            return self.layer(ids[..., None].float()).mean(1)

        def backward(self, grad):
            return self.layer.backward(grad[:, None].expand(-1, 6, -1) / 6)

    trainer = Trainer(Table(), CrossEntropyLoss(), "sgd", lr=0.1)
    trainer.fit(torch.zeros(8, 6, dtype=torch.int64), torch.zeros(8, dtype=torch.int64), steps=2)
    assert (trainer.items, trainer.item_name) == (48, "tokens")
    assert "tokens/s" in capsys.readouterr().out


# ---- names and errors ---------------------------------------------------------------------------------


def test_names_are_found_however_they_are_written():
    model = mlp()
    for name in ("cross_entropy", "CrossEntropyLoss", "cross-entropy"):
        assert isinstance(Trainer(model, name, "sgd").loss, CrossEntropyLoss)
    assert isinstance(Trainer(model, "MSE", "Adam").optimizer, Adam)
    assert Trainer(model, "mse", "adamw", lr=0.5).optimizer.param_groups[0]["lr"] == 0.5
    with pytest.raises(ValueError, match=r"loss: expected one of .*cross_entropy.*, got 'rmse'"):
        Trainer(model, "rmse", "sgd")
    with pytest.raises(ValueError, match=r"optimizer: expected one of .*adam, adamw.*, got 'adan'"):
        Trainer(model, "mse", "adan")
    with pytest.raises(ValueError, match=r"metric: expected one of accuracy.*, got 'acc'"):
        Trainer(model, "mse", "sgd", metrics=["acc"])
    with pytest.raises(ValueError, match="metrics: expected different names, got accuracy, accuracy"):
        Trainer(model, "mse", "sgd", metrics=["accuracy", Accuracy()])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda m: Trainer(m, MSELoss("none"), "sgd"),
            "loss: expected reduction 'mean' or 'sum', got MSELoss",
        ),
        (
            lambda m: Trainer(m, "mse", SGD(m.parameters()), lr=0.1),
            "lr: goes with an optimizer given by name",
        ),
        (
            lambda m: Trainer(m, "mse", "sgd", engine="magic"),
            "expected engine 'manual' or 'autograd', got 'magic'",
        ),
        (
            lambda m: Trainer(m, "mse", "sgd", clip_norm=0),
            "clip_norm: expected a number above 0, or None, got 0",
        ),
        (lambda m: Trainer(m, "mse", "sgd", accumulate=0), "expected accumulate of at least 1, got 0"),
        (
            lambda m: Trainer(m, "mse", "sgd", StepLR(SGD(m.parameters()), 2)),
            "the schedule belongs to another optimizer",
        ),
    ],
)
def test_a_wrong_trainer(make, said):
    with pytest.raises(ValueError, match=said):
        make(mlp())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"accumulate": 2.5}, r"expected accumulate to be a whole number, got 2\.5"),
        ({"accumulate": True}, "expected accumulate to be a whole number, got True"),
        ({"seed": "1"}, "expected seed to be a whole number, got '1'"),
        (
            {"schedule": 5},
            "expected schedule to be a Scheduler of ds_core or a function or a text or None, got 5",
        ),
        ({"schedule": lambda optimizer: None}, "expected a function that makes a Scheduler, got None"),
        ({"clip_norm": "1"}, "expected clip_norm to be a number or None, got '1'"),
        ({"clip_norm": True}, "expected clip_norm to be a number or None, got True"),
        ({"callbacks": None}, "expected callbacks to be several of: a Callback or a text"),
        ({"metrics": None}, "expected metrics to be several of: a Metric or a text or a Mapping"),
        ({"settings": 3}, "expected settings to be a Mapping or None, got 3"),
        ({"out": 5}, "expected out to be a text or a Path or None, got 5"),
    ],
)
def test_a_trainer_of_the_wrong_types(options, said):
    with pytest.raises(TypeError, match=said):
        Trainer(mlp(), "mse", "sgd", **options)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({}, ValueError, "expected either epochs or steps, got epochs=None and steps=None"),
        ({"epochs": 1, "steps": 1}, ValueError, "expected either epochs or steps, got epochs=1 and steps=1"),
        ({"epochs": -1}, ValueError, "expected epochs of at least 0, got -1"),
        ({"epochs": 2.5}, TypeError, r"expected epochs to be a whole number, got 2\.5"),
        ({"steps": 1, "resume": 5}, TypeError, "fit: expected the path of a file or folder, got 5"),
        ({"steps": 1, "batch_size": "8"}, TypeError, "expected batch_size to be a whole number, got '8'"),
        ({"steps": 2.0}, TypeError, r"expected steps to be a whole number, got 2\.0"),
        (
            {"steps": 1, "checkpoint_every": 1.5},
            TypeError,
            r"expected checkpoint_every to be a whole number, got 1\.5",
        ),
        ({"steps": 1, "validation_split": 1.0}, ValueError, r"a share between 0 and 1, .*got 1\.0"),
        (
            {"steps": 1, "validate_every": 0},
            ValueError,
            "expected validate_every of at least 1, got 0",
        ),
        (
            {"steps": 1, "batch_size": 0},
            ValueError,
            "batch_size of at least 1, got 0",
        ),
        ({"steps": 1, "data": (torch.ones(3, 5),)}, TypeError, "expected tensors .* got Tensor"),
        ({"steps": 1, "data": ()}, TypeError, "expected tensors .* got nothing"),
        (
            {"steps": 1, "data": (torch.ones(3, 5), torch.ones(4, 1))},
            ValueError,
            "of one length, got 3 and 4",
        ),
        (
            {"steps": 1, "data": (torch.ones(0, 5), torch.ones(0, 1))},
            ValueError,
            "at least one sample, got none",
        ),
        ({"steps": 1, "data": ([],)}, ValueError, "at least one batch in every epoch, got none"),
        (
            {"steps": 1, "data": ([torch.ones(2, 5)],)},
            TypeError,
            "each batch to be a tuple of inputs and target, or a dict of them, got Tensor",
        ),
        (
            {"steps": 1, "data": ([(torch.ones(2, 5),)],)},
            TypeError,
            "a tuple of inputs and target, or a dict of them, got one of 1",
        ),
        ({"steps": 1, "data": ([], [])}, TypeError, "got list, list; validation data go to validation="),
        (
            {"epochs": 2, "data": (iter([(torch.ones(2, 5), torch.ones(2, 1))]),)},
            ValueError,
            "walked only once",
        ),
        ({"epochs": 1, "validation": []}, ValueError, "at least one batch in every epoch, got none"),
        ({"steps": 1, "data": (torch.ones(3, 4), torch.ones(3, 1))}, ValueError, "expected last dimension 5"),
        ({"steps": 1, "data": (torch.ones(3, 5), torch.ones(3))}, ValueError, "MSELoss.*one shape"),
    ],
)
def test_a_wrong_fit(wrong, error, said):
    given = wrong.pop("data", data())
    with pytest.raises(error, match=said):
        train(*given, **wrong)
