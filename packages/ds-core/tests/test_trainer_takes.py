"""Trainer: what it takes by name, and data of every kind, in fit, evaluate and predict alike."""

import inspect
import math
import sys

import numpy as np
import pytest
import torch
from ds_core import (
    LOSSES,
    Dense,
    GaussianNLLLoss,
    Module,
    MSELoss,
    Parameter,
    ReLU,
    Sequential,
    Softplus,
    xray,
)
from ds_core.data import Dataset
from ds_core.metrics import MAE
from ds_core.optimizers import SGD
from ds_core.schedulers import CosineAnnealingLR, LinearLR, StepLR, WarmupCosine
from ds_core.training import (
    CheckpointError,
    EarlyStopping,
    GameTrainer,
    MovingAverage,
    TensorBoard,
    Trainer,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def data(samples=24, features=5):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(samples, features, generator=g)
    return x, x.sin().sum(1, keepdim=True)


def mlp():
    g = torch.Generator().manual_seed(0)
    return Sequential(Dense(5, 7, generator=g), ReLU(), Dense(7, 1, generator=g))


class Sum(Module):
    """Two inputs, which are not the same to it."""

    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.first, self.second = Dense(2, 1, generator=g), Dense(3, 1, generator=g)

    def forward(self, a, b):
        return self.first(a) - self.second(b)

    def backward(self, grad):
        grad_b = self.second.backward(-grad)
        return self.first.backward(grad), grad_b


def make(model=None, schedule=None, **options):
    return Trainer(model or mlp(), "mse", "sgd", schedule, lr=0.05, progress=False, **options)


class Samples:
    """Samples by number, as a data set of torch gives them."""

    def __init__(self, *columns, names=None):
        self.columns, self.names = columns, names

    def __len__(self):
        return len(self.columns[0])

    def __getitem__(self, number):
        if number >= len(self):
            raise IndexError
        sample = tuple(column[number] for column in self.columns)
        return dict(zip(self.names, sample, strict=True)) if self.names else sample


# ---- data ------------------------------------------------------------------------------------------------


def same_everywhere(given, alone, expected, model=mlp):
    """Compares what fit, evaluate and predict make of data; ``alone`` is what predict gets."""
    trainer = make(model())
    history = trainer.fit(*given, epochs=2, batch_size=8, shuffle=False)
    assert history["loss"] == expected[0]
    assert trainer.evaluate(*given)["loss"] == expected[1]
    torch.testing.assert_close(trainer.predict(*alone, batch_size=8), expected[2], rtol=0, atol=0)


def results(*data, model=mlp, batches=True):
    """Returns what fit, evaluate and predict make of tensors; evaluate of batches of 8, or of all at once."""
    trainer = make(model())
    losses = trainer.fit(*data, epochs=2, batch_size=8, shuffle=False)["loss"]
    cut = [tuple(part[i : i + 8] for part in data) for i in range(0, 24, 8)]
    measured = trainer.evaluate(*([cut] if batches else data))["loss"]
    return losses, measured, trainer.predict(*data[:-1], batch_size=8)


def test_data_of_every_kind_give_the_same_bits():
    x, y = data()
    expected = results(x, y)
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    arrays = (x.double().numpy(), y.double().numpy())
    dicts = [{"x": xb, "y": yb} for xb, yb in zip(x.split(8), y.split(8), strict=True)]
    kinds = [
        ([loader], [loader]),
        ([DataLoader(Samples(x, y, names=("pixels", "label")), batch_size=8)],) * 2,
        ([dicts], [dicts]),
        ([[{"labels": d["y"], "x": d["x"].numpy()} for d in dicts]], [dicts]),
        ([[(xb.numpy(), yb.numpy()) for xb, yb in loader]],) * 2,
        ([[list(batch) for batch in loader]], [[xb for xb, _ in loader]]),
    ]
    for given, alone in kinds:
        same_everywhere(given, alone, expected)
    whole = results(x, y, batches=False)
    for given in ([TensorDataset(x, y)], [Dataset(x, y)], [Samples(x, y)]):
        same_everywhere(given, given, whole)
    for given in (arrays, [arrays], [(x, y.double().numpy())]):
        same_everywhere(given, arrays[:1], whole)
    assert make().predict(arrays[0][::-1]).shape == (24, 1)  # whatever its strides


def test_several_inputs_go_to_the_model_by_their_names():
    x, y = data()
    a, b = x[:, :2], x[:, 2:]
    expected = results(a, b, y, model=Sum)
    loader = DataLoader(Samples(b, y, a, names=("b", "target", "a")), batch_size=8)
    same_everywhere([loader], [loader], expected, model=Sum)
    whole = results(a, b, y, model=Sum, batches=False)
    same_everywhere([Samples(b, y, a, names=("b", "target", "a"))], [(a, b)], whole, model=Sum)


def test_whole_numbers_stay_whole_and_other_numbers_take_the_type_of_the_model():
    x, _ = data()
    seen = []

    class Look(Module):
        def __init__(self):
            self.layer = Dense(5, 3, dtype=torch.float64)

        def forward(self, x):
            seen.append(x.dtype)
            return self.layer(x)

        def backward(self, grad):
            return self.layer.backward(grad)

    labels = np.arange(24) % 3
    trainer = Trainer(Look(), "cross_entropy", "adam", progress=False)
    trainer.fit(x.numpy(), labels, steps=1, validation=(x.numpy(), labels))
    assert set(seen) == {torch.float64}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([np.array([["a"], ["b"]]), torch.zeros(2, 1)], "expected numbers, got an array of <U1"),
        ([[{"x": torch.zeros(2, 5), "z": torch.zeros(2)}]], "one target, called target or .* got x, z"),
        ([[{"x": torch.zeros(2, 5), "y": 1, "label": 2}]], "one target, called target or .* got x, y, label"),
        ([[{"y": torch.zeros(2)}]], "hold inputs and one target"),
        ([torch.zeros(2, 5)], "expected tensors or arrays .* got Tensor"),
        ([3, "x"], "got int, str; validation data go to validation="),
    ],
)
def test_data_that_are_nothing_of_this_are_refused(given, said):
    with pytest.raises(TypeError, match=said):
        make().fit(*given, steps=1)


def test_predict_says_what_it_cannot_take():
    with pytest.raises(ValueError, match="at least one batch"):
        make().predict([])
    with pytest.raises(TypeError, match="got int"):
        make().predict(3)


# ---- validation_split ------------------------------------------------------------------------------------


def test_validation_split_sets_a_share_aside_by_the_seed():
    x, y = data()
    seen = []

    class Look(MAE):
        def update(self, prediction, target):
            seen.append(target)
            super().update(prediction, target)

    def held_out(seed):
        seen.clear()
        trainer = make(metrics=Look(), seed=seed)
        trainer.fit(x, y.numpy(), steps=4, batch_size=6, validation_split=0.25)
        assert len(trainer.history["val_loss"]) > 0
        return torch.cat(seen)[:6]

    first = held_out(1)
    assert torch.equal(first, held_out(1))
    assert not torch.equal(first, held_out(2))
    trained = make()
    trained.fit(x, y, epochs=1, batch_size=1, validation_split=0.25)
    assert trained.step == 18


def test_validation_split_is_refused_where_it_cannot_be():
    x, y = data()
    with pytest.raises(ValueError, match="either validation or validation_split, got both"):
        make().fit(x, y, epochs=1, validation=(x, y), validation_split=0.2)
    with pytest.raises(ValueError, match="divides tensors and arrays"):
        make().fit([(x, y)], epochs=1, validation_split=0.2)
    with pytest.raises(ValueError, match="leave samples in both parts"):
        make().fit(x, y, epochs=1, validation_split=-0.5)


# ---- by name ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("cosine", lambda o: CosineAnnealingLR(o, 12)),
        ("CosineLR", lambda o: CosineAnnealingLR(o, 12)),
        ("linear", lambda o: LinearLR(o, 1.0, 0.0, 12)),
        ("warmup-cosine", lambda o: WarmupCosine(o, 1, 12)),
    ],
)
def test_a_schedule_by_name_goes_over_all_steps_of_each_fit(name, same):
    x, y = data()
    expected = make(schedule=same).fit(x, y, epochs=4, batch_size=8)["lr"]
    trainer = make(schedule=name)
    assert trainer.fit(x, y, epochs=4, batch_size=8)["lr"] == expected
    assert trainer.fit(x, y, steps=12, batch_size=8)["lr"] == expected  # anew
    assert trainer.fit(x, y, steps=2, batch_size=8)["lr"][0] == expected[0]


def test_a_schedule_by_name_is_resumed_and_another_length_refused(tmp_path):
    x, y = data()
    whole = make(schedule="cosine").fit(x, y, steps=8, batch_size=8)["lr"]

    class Enough(EarlyStopping):
        def on_fit_start(self, trainer):
            pass

        def on_step_end(self, trainer):
            if trainer.step == 3:
                trainer.stop("enough")

    make(schedule="cosine", out=tmp_path, callbacks=Enough()).fit(x, y, steps=8, batch_size=8)
    resumed = make(schedule="cosine", out=tmp_path)
    assert resumed.fit(x, y, steps=8, batch_size=8, resume=True)["lr"] == whole
    with pytest.raises(CheckpointError, match=r"schedule\.steps: 8 in the checkpoint, 9 here"):
        make(schedule="cosine", out=tmp_path).fit(x, y, steps=9, batch_size=8, resume=True)
    loaded = make(schedule="cosine")
    loaded.load(tmp_path / "checkpoint.safetensors")
    assert loaded.step == 8
    with pytest.raises(CheckpointError, match="schedule"):
        make(schedule="linear").load(tmp_path / "checkpoint.safetensors")


def test_a_schedule_by_name_needs_to_know_the_steps_and_its_arguments():
    x, y = data()
    with pytest.raises(
        ValueError, match=r"schedule: expected its arguments with 'step'.*StepLR.*step_size=\.\.\."
    ):
        make(schedule="step")
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        make(schedule="cosin")
    with pytest.raises(ValueError, match="expected steps= with schedule 'cosine'"):
        make(schedule="cosine").fit((batch for batch in [(x, y)]), epochs=1)
    with pytest.raises(ValueError, match="give validation="):
        make(schedule="plateau").fit(x, y, epochs=1)
    assert len(make(schedule="plateau").fit(x, y, epochs=2, validation=(x, y))["val_loss"]) == 2
    assert isinstance(make(schedule=lambda o: StepLR(o, 3)).schedule, StepLR)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": "cros_entropy"}, "loss: expected one of .* did you mean 'cross_entropy'"),
        ({"optimizer": "adamv"}, "optimizer: expected one of .* did you mean 'adam"),
        ({"metrics": "acuracy"}, "metric: expected one of .* did you mean 'accuracy'"),
        ({"callbacks": ["early_stoping"]}, "callback: expected one of .* did you mean 'early_stopping'"),
    ],
)
def test_unknown_names_are_answered_with_the_closest(options, said):
    with pytest.raises(ValueError, match=said):
        Trainer(**{"model": mlp(), "loss": "mse", "optimizer": "sgd", "progress": False, **options})


class MeanAndVariance(Module):
    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.mean, self.variance = Dense(5, 1, generator=g), Dense(5, 1, generator=g)
        self.positive = Softplus()

    def forward(self, x):
        return self.mean(x), self.positive(self.variance(x))

    def backward(self, grad_mean, grad_variance):
        grad = self.variance.backward(self.positive.backward(grad_variance))
        return self.mean.backward(grad_mean) + grad if self.input_grad else None


@pytest.mark.parametrize("engine_name", ["manual", "autograd"])
def test_the_target_goes_where_the_loss_has_it(engine_name):
    x, y = data()
    y = y.abs()  # a variance, too, by its values
    model = MeanAndVariance()
    trainer = Trainer(model, "gaussian_nll", "sgd", lr=0.01, engine=engine_name, progress=False)
    expected = nn.functional.gaussian_nll_loss(model.mean(x), y, model.positive(model.variance(x))).item()
    assert trainer.evaluate(x, y)["loss"] == pytest.approx(expected)
    assert xray(model, x, y, GaussianNLLLoss()).loss_value == pytest.approx(expected)
    history = trainer.fit(x, y, epochs=20, batch_size=None)
    assert history["loss"][0] == pytest.approx(expected)
    assert history["loss"][-1] < expected


@pytest.mark.parametrize("made", [torch.ones(2), 1.0], ids=["no scalar", "no tensor"])
def test_a_loss_is_a_tensor_of_one_number(made):
    class Odd(MSELoss):
        def forward(self, input, target):
            return made

    trainer = Trainer(mlp(), Odd(), "sgd", lr=0.05, progress=False)
    for use in (lambda: trainer.fit(*data(), epochs=1), lambda: trainer.evaluate(*data())):
        with pytest.raises(
            TypeError, match=r"Odd\(\): expected forward to give a loss, a tensor of one number"
        ):
            use()


def test_losses_by_name_are_those_with_a_target():
    for loss in LOSSES.values():
        assert "target" in inspect.signature(loss.forward).parameters


def test_an_optimizer_of_something_else_is_refused():
    """It would make its steps, and the model would learn nothing."""
    model = mlp()
    optimizer = SGD(model.parameters())
    with pytest.raises(ValueError, match="expected parameters of the model, got 4 of 4 that are not its own"):
        Trainer(mlp(), "mse", optimizer)
    model[2] = Dense(7, 1)
    with pytest.raises(ValueError, match=r"got 2 of 4 that are not its own, the first \(1, 7\)"):
        Trainer(model, "mse", optimizer)
    with pytest.raises(ValueError, match="2 of 4"):
        GameTrainer(model, {"one": optimizer})


def test_a_model_has_something_to_train_and_returns_tensors():
    model = mlp()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="expected a model with parameters to train"):
        make(model)

    class Names(Module):
        def __init__(self):
            self.inner = mlp()

        def forward(self, x):
            return {"logits": self.inner(x)}

    with pytest.raises(
        TypeError, match="predict: expected the model to return a tensor or a tuple of tensors"
    ):
        make(Names()).predict(data()[0])


class Weighted(Module):
    """The mean square, times a weight that is learnt."""

    def __init__(self):
        self.weight = Parameter(torch.ones(()))
        self.inner = MSELoss()

    def forward(self, prediction, target):
        loss = self.inner(prediction, target)
        self.save(loss)
        return self.weight * loss

    def backward(self, grad=1.0):
        (loss,) = self.saved()
        self.add_grad("weight", grad * loss)
        return self.inner.backward(grad * self.weight)


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_an_optimizer_by_name_trains_the_loss_too(engine):
    found = []
    for by_name in (True, False):
        model, loss = mlp(), Weighted()
        optimizer = "sgd" if by_name else SGD([*model.parameters(), loss.weight], lr=0.1)
        lr = {"lr": 0.1} if by_name else {}
        Trainer(model, loss, optimizer, engine=engine, progress=False, **lr).fit(*data(), steps=3)
        found.append(float(loss.weight.detach()))
    assert found[0] == found[1] != 1.0


def test_a_model_is_a_module():
    for model, said in ((torch.nn.Linear(5, 1), "got Linear"), (Dense, "got <class 'ds_core.*Dense'>")):
        with pytest.raises(TypeError, match=f"expected model to be a Module of ds_core, {said}"):
            Trainer(model, "mse", "sgd")


@pytest.mark.parametrize(
    ("numbers", "error", "said"),
    [
        ({"loss": 1.0}, TypeError, "play: expected loss as a tensor of one number and shape .*, got 1.0"),
        ({"loss": torch.ones(2)}, TypeError, "got a tensor of torch.float32"),
        ({"loss": torch.tensor(0.0), "step": torch.tensor(1.0)}, ValueError, "another name than 'step'"),
        ({"loss": torch.tensor(0.0), "lr": torch.tensor(1.0)}, ValueError, "another name than 'lr'"),
        ({"gap": torch.tensor(1.0)}, ValueError, "play: expected 'loss' among the numbers .*, got 'gap'"),
        ({}, ValueError, "expected 'loss' among the numbers it returns, got none"),
        (torch.tensor(1.0), TypeError, "play: expected a dict of numbers to be returned, got a tensor"),
        ({"loss": torch.tensor(math.nan)}, FloatingPointError, "gradients that the game clips"),
    ],
)
def test_what_a_game_returns_is_checked(numbers, error, said):
    class Game(Module):
        def __init__(self):
            self.player = mlp()

        def play(self, batches, optimizers):
            return numbers

    game = Game()
    trainer = GameTrainer(game, {"one": SGD(game.player.parameters())}, progress=False)
    with pytest.raises(error, match=said):
        trainer.fit(*data(), steps=1)


def test_a_game_plays_and_its_optimizers_are_some():
    model = mlp()
    with pytest.raises(TypeError, match=r"with a method play\(batches, optimizers\), got Sequential"):
        GameTrainer(model, {"one": SGD(model.parameters())})
    model.play = print
    with pytest.raises(TypeError, match="Players: expected an Optimizer as 'one', got 'adam'"):
        GameTrainer(model, {"one": "adam"})


def test_no_metric_takes_the_place_of_the_loss():
    with pytest.raises(ValueError, match="expected another name than 'loss'"):
        make(metrics={"loss": MAE()})


def test_numbers_of_numpy_are_numbers(tmp_path):
    x, y = data()

    def fit(out, whole, number, **options):
        model = mlp()
        optimizer = SGD(model.parameters(), lr=number(0.25), momentum=number(0.5))
        trainer = Trainer(
            model,
            "mse",
            optimizer,
            clip_norm=number(2),
            accumulate=whole(2),
            seed=whole(3),
            settings={"n": whole(4)},
            progress=False,
            out=out,
        )
        trainer.fit(x, y, batch_size=whole(4), **options)
        return trainer.predict(x)

    fit(tmp_path, np.int64, np.float32, epochs=np.int64(1))
    straight = fit(None, int, float, epochs=2)
    assert torch.equal(fit(tmp_path, int, float, epochs=2, resume=True), straight)
    assert torch.equal(fit(None, np.int64, np.float32, epochs=2), straight)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 2**64}, "expected seed to be a whole number, got 1844"),
        ({"accumulate": 0}, "expected accumulate of at least 1, got 0"),
        ({"clip_norm": 0}, "clip_norm: expected a number above 0, or None, got 0"),
    ],
)
def test_numbers_out_of_range_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        make(**options)


def test_callbacks_by_name(tmp_path):
    x, y = data()
    trainer = make(callbacks=["csv_log", "early_stopping", MovingAverage(), "best-checkpoint"], out=tmp_path)
    trainer.fit(x, y, epochs=2, validation_split=0.25)
    assert {"log.csv", "best.safetensors"} <= {path.name for path in tmp_path.iterdir()}
    assert [type(c).__name__ for c in make(callbacks="moving_average").callbacks] == ["MovingAverage"]
    with pytest.raises(TypeError, match=r"callbacks to be several of: a Callback .*got .*EarlyStopping"):
        make(callbacks=[EarlyStopping])


# ---- where it runs, and what it shows --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "cpu"), (False, False, "cpu")]
)
def test_device_auto(monkeypatch, cuda, mps, expected):
    moved = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    model = mlp()
    monkeypatch.setattr(type(model), "to", lambda self, device: moved.append(str(device)) or self)
    make(model, device="auto")
    assert moved[0] == expected


def test_tensorboard_holds_the_history(tmp_path):
    x, y = data()
    options = {"steps": 6, "batch_size": 8, "validation": (x, y)}
    trainer = make(callbacks="tensorboard", out=tmp_path)
    history = trainer.fit(x, y, **options)
    shown = EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    for name in ("loss", "lr", "val_loss"):
        points = shown.Scalars(name)
        steps = history.validation["step"] if name == "val_loss" else history["step"]
        assert [point.step for point in points] == steps
        assert [point.value for point in points] == pytest.approx(history[name], rel=1e-6)
    with pytest.raises(ValueError, match="TensorBoard: give it a path, or the Trainer a folder"):
        make(callbacks="tensorboard").fit(x, y, **options)


def test_tensorboard_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"ds-core\[tensorboard\].*pip install tensorboard"):
        TensorBoard()


def test_a_notebook_has_one_bar(monkeypatch, capsys):
    x, y = data()
    shown = []

    class Output:
        def update(self, data, raw):
            shown.append(("update", data["text/plain"]))

    def display(data, raw, display_id):
        assert (raw, display_id) == (True, True)
        shown.append(("new", data["text/plain"]))
        return Output()

    monkeypatch.setattr("rich.console.Console.is_jupyter", True, raising=False)
    monkeypatch.setattr(
        "ds_core.training.progress.Console",
        lambda: type("C", (), {"is_jupyter": True, "is_interactive": True}),
    )
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("ds_core.training.progress._REFRESH_NOTEBOOK", 0.0)
    Trainer(mlp(), "mse", "sgd", lr=0.05).fit(x, y, epochs=4, batch_size=8)
    kinds = [kind for kind, _ in shown]
    assert kinds == ["new"] + ["update"] * 11
    assert shown[-1][1].count("━") == 32
    assert "loss" in shown[-1][1]
    assert "╌" in shown[0][1]
    assert capsys.readouterr().out == ""
