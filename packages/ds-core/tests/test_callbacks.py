"""Callbacks, and the history they read and write."""

import csv
import errno
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from ds_core import Dense, Loss, MSELoss, ReLU, Sequential
from ds_core.training import (
    AverageWeights,
    BestCheckpoint,
    Callback,
    CSVLog,
    EarlyStopping,
    History,
    MovingAverage,
    Trainer,
    load_checkpoint,
    load_weights,
)


def data(samples=24):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(samples, 5, generator=g)
    return x, x.sin().sum(1, keepdim=True)


def trainer(*callbacks, lr=0.05, **options):
    g = torch.Generator().manual_seed(0)
    model = Sequential(Dense(5, 6, generator=g), ReLU(), Dense(6, 1, generator=g))
    return Trainer(model, "mse", "sgd", lr=lr, callbacks=callbacks, progress=False, **options)


class Script(Callback):
    """Makes validation losses what a test wants them to be, before other callbacks see them."""

    def __init__(self, losses):
        self.losses = losses

    def on_validation_end(self, trainer):
        column = trainer.history.validation["val_loss"]
        column[-1] = self.losses[len(column) - 1]


# ---- the moments -------------------------------------------------------------------------------------


def test_the_moments_come_in_order():
    seen = []

    class Spy(Callback):
        pass

    for moment in ("fit_start", "step_end", "validation_end", "epoch_end", "fit_end"):
        setattr(Spy, f"on_{moment}", lambda self, t, moment=moment: seen.append((moment, t.step, t.epoch)))
    x, y = data()
    trainer(Spy()).fit(x, y, epochs=2, batch_size=12, validation=(x, y))
    assert seen == [
        ("fit_start", 0, 0),
        ("step_end", 1, 0),
        ("step_end", 2, 0),
        ("validation_end", 2, 1),
        ("epoch_end", 2, 1),
        ("step_end", 3, 1),
        ("step_end", 4, 1),
        ("validation_end", 4, 2),
        ("epoch_end", 4, 2),
        ("fit_end", 4, 2),
    ]
    seen.clear()
    trainer(Spy()).fit(x, y, steps=3, batch_size=12, validation=(x, y), validate_every=2)
    assert [moment for moment, *_ in seen] == [
        "fit_start",
        "step_end",
        "validation_end",
        "step_end",
        "epoch_end",
        "step_end",
        "validation_end",
        "fit_end",
    ]


def test_a_moment_that_never_comes_is_refused():
    with pytest.raises(
        TypeError, match=r"Keras: .* on_epoch_end, on_fit_end, got on_epoch_begin; did you mean"
    ):

        class Keras(Callback):
            def on_epoch_begin(self, trainer):
                pass


def test_stop_ends_after_the_step(capsys):
    class Enough(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 3:
                trainer.stop("enough")

    x, y = data()
    t = trainer(Enough())
    t.progress = True
    history = t.fit(x, y, epochs=10, batch_size=12)
    assert len(history) == 3
    assert history.stopped == "enough"
    assert capsys.readouterr().out.endswith("Stopped after step 3: enough.\n")


# ---- early stopping ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "options", "validations"),
    [
        ([5, 4, 4, 4, 3, 2, 1], {"patience": 2}, 4),
        ([5, 4, 4, 3, 3, 2, 1], {"patience": 2}, 7),
        ([5, 4, 3.9, 3.8, 3.7, 1, 1], {"patience": 3, "min_delta": 0.5}, 5),
        ([5, math.nan, math.nan, 1, 1, 1, 1], {"patience": 2}, 3),
        ([5, 4, 3, 2, 2, 2, 2], {"patience": 1}, 5),
    ],
)
def test_early_stopping_waits_as_long_as_it_should(losses, options, validations):
    x, y = data()
    history = trainer(Script(losses), EarlyStopping(**options)).fit(
        x, y, epochs=len(losses), validation=(x, y)
    )
    assert len(history["val_loss"]) == validations
    assert (history.stopped is not None) == (validations < len(losses))


def test_early_stopping_can_watch_a_metric_that_should_grow():
    x, y = data()
    watch = EarlyStopping(patience=2, monitor="val_r2", mode="max")
    history = trainer(watch, lr=0.0, metrics=["r2"]).fit(x, y, epochs=9, validation=(x, y))
    assert len(history["val_r2"]) == 3


def test_what_ends_in_its_time_was_not_stopped(capsys):
    x, y = data()
    history = trainer(Script([1, 2, 2]), EarlyStopping(patience=2)).fit(x, y, epochs=3, validation=(x, y))
    assert history.stopped is None
    assert "Stopped" not in capsys.readouterr().out
    longer = trainer(Script([1, 2, 2]), EarlyStopping(patience=2)).fit(x, y, epochs=4, validation=(x, y))
    assert longer.stopped == "val_loss has not improved on 1 in 2 validations"


@pytest.mark.parametrize("restore", [True, False])
def test_the_best_weights_come_back_and_the_checkpoint_keeps_the_latest(tmp_path, restore):
    weights = []

    class Keep(Callback):
        def on_validation_end(self, trainer):
            weights.append(trainer.model.state_dict()["0.weight"].clone())

    x, y = data()
    t = trainer(Script([3, 2, 1, 4, 5]), EarlyStopping(2, restore_best=restore), Keep(), out=tmp_path)
    t.fit(x, y, epochs=9, validation=(x, y))
    assert torch.equal(t.model[0].weight, weights[2 if restore else 4])
    assert torch.equal(load_checkpoint(tmp_path / "checkpoint.safetensors")["model"]["0.weight"], weights[4])


class Judged(Loss):
    """A loss with a layer of its own to train."""

    def __init__(self):
        super().__init__()
        self.head, self.mse = Dense(6, 1, generator=torch.Generator().manual_seed(1)), MSELoss()

    def forward(self, features, target):
        return self.mse(self.head(features), target)

    def backward(self, grad=1.0):
        return self.head.backward(self.mse.backward(grad))


def test_a_loss_has_its_best_weights_and_averages_beside_those_of_the_model(tmp_path):
    def train(*callbacks, **options):
        model = Sequential(Dense(5, 6, generator=torch.Generator().manual_seed(0)), ReLU())
        trainer = Trainer(model, Judged(), "adam", lr=0.3, callbacks=callbacks, progress=False, **options)
        trainer.fit(x[:16], y[:16], validation=held_out, epochs=6, batch_size=8)
        return trainer

    x, y = data()
    held_out = x[16:], y[16:]
    t = train(EarlyStopping(patience=20), out=tmp_path)
    losses = t.history.validation["val_loss"]
    assert min(losses) < losses[-1]
    assert t.evaluate(*held_out)["loss"] == pytest.approx(min(losses), rel=1e-6)
    last = load_checkpoint(tmp_path / "checkpoint.safetensors")["loss"]["head.weight"]
    assert not torch.equal(t.loss.head.weight, last)
    for average in (MovingAverage(), AverageWeights(2)):
        assert not torch.equal(train(average).loss.head.weight, last)


def test_a_second_fit_begins_with_fresh_patience():
    x, y = data()
    t = trainer(EarlyStopping(2), lr=0.0)
    assert len(t.fit(x, y, epochs=9, validation=(x, y))) == 3
    assert len(t.fit(x, y, epochs=9, validation=(x, y))) == 3


def test_watching_what_is_not_there():
    x, y = data()
    with pytest.raises(ValueError, match="EarlyStopping: watches val_loss; give fit"):
        trainer(EarlyStopping()).fit(x, y, epochs=1)
    with pytest.raises(
        ValueError, match="expected monitor to be one of step, epoch, val_loss, got 'val_acc'"
    ):
        trainer(EarlyStopping(monitor="val_acc", mode="max")).fit(x, y, epochs=1, validation=(x, y))
    with pytest.raises(
        ValueError, match="expected mode 'min' or 'max', whichever is best for val_r2, got None"
    ):
        EarlyStopping(monitor="val_r2")
    with pytest.raises(ValueError, match="expected patience of at least 1, got 0"):
        EarlyStopping(patience=0)
    with pytest.raises(ValueError, match=r"expected min_delta of at least 0, got -0\.1"):
        EarlyStopping(min_delta=-0.1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: EarlyStopping(patience=2.5),
            "EarlyStopping: expected patience to be a whole number, got 2.5",
        ),
        (lambda: EarlyStopping(min_delta="a"), "EarlyStopping: expected min_delta to be a number, got 'a'"),
        (lambda: BestCheckpoint(3), "BestCheckpoint: expected path to be .*, got 3"),
        (lambda: MovingAverage("a"), "MovingAverage: expected decay to be a number, got 'a'"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(make, said):
    with pytest.raises(TypeError, match=said):
        make()


# ---- the best checkpoint -----------------------------------------------------------------------------


def test_best_checkpoint_is_that_of_the_best_validation(tmp_path):
    x, y = data()
    t = trainer(Script([3, 1, 2, 1, 5]), BestCheckpoint(), out=tmp_path)
    t.fit(x, y, epochs=5, validation=(x, y))
    best = load_checkpoint(tmp_path / "best.safetensors")
    assert best["step"] == 2
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 5
    model = trainer().model
    load_weights(tmp_path / "best.safetensors", model)
    assert torch.equal(model[0].weight, best["model"]["0.weight"])
    again = trainer()
    history = again.fit(x, y, epochs=3, validation=(x, y), resume=tmp_path / "best.safetensors")
    assert history["step"] == [1, 2, 3]
    with pytest.raises(ValueError, match="BestCheckpoint: give it a path, or the Trainer a folder"):
        trainer(BestCheckpoint()).fit(x, y, epochs=1, validation=(x, y))


# ---- the log -----------------------------------------------------------------------------------------


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("options", [{"epochs": 3}, {"steps": 11, "validate_every": 3}, {"steps": 7}])
@pytest.mark.parametrize("batch_size", [None, 5])
def test_the_log_is_the_history(tmp_path, options, batch_size):
    x, y = data()
    t = trainer(CSVLog(), out=tmp_path, clip_norm=1.0)
    history = t.fit(x, y, validation=(x, y), batch_size=batch_size, **options)
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "log.csv").read_bytes() == (tmp_path / "h.csv").read_bytes()
    rows = read(tmp_path / "log.csv")
    assert [int(row["step"]) for row in rows] == history["step"]
    assert [float(row["loss"]) for row in rows] == history["loss"]
    validated = [row for row in rows if row["val_loss"]]
    assert [int(row["step"]) for row in validated] == history.validation["step"]
    assert [float(row["val_loss"]) for row in validated] == history["val_loss"]


def test_a_full_disk_costs_the_log_and_not_the_training(tmp_path, monkeypatch):
    """A warning names the file; once there is room again, the log is whole again."""
    monkeypatch.setattr("ds_core.training.callbacks._PAUSE", 3)
    full = {3, 4, 5, 11}
    t = trainer(CSVLog(), out=tmp_path / "run")
    real = Path.open

    def limited(self, *args, **kwargs):
        if t.step in full and "log.csv" in self.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", limited)
    x, y = data()
    with pytest.warns(UserWarning, match=r"CSVLog: .*log\.csv: .*No space left.*training goes on without it"):
        history = t.fit(x, y, steps=12, batch_size=8, validation=(x, y), validate_every=4, checkpoint_every=5)
    assert len(history) == 12
    monkeypatch.undo()
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "run" / "log.csv").read_bytes() == (tmp_path / "h.csv").read_bytes()


def test_the_log_is_not_touched_before_the_first_step(tmp_path):
    x, y = data()
    (tmp_path / "log.csv").write_text("of an earlier training")
    with pytest.raises(ValueError, match="expected last dimension 5"):
        trainer(CSVLog(), out=tmp_path).fit(x[:, :2], y, steps=3)
    assert (tmp_path / "log.csv").read_text() == "of an earlier training"


def test_the_log_grows_while_training_runs(tmp_path):
    lengths = []

    class Look(Callback):
        def on_step_end(self, trainer):
            lengths.append(len(read(tmp_path / "log.csv")))

    x, y = data()
    trainer(CSVLog(tmp_path / "log.csv"), Look()).fit(x, y, epochs=4, batch_size=8)
    assert all(step - 1 <= length <= step for step, length in enumerate(lengths, 1))


def test_a_resumed_log_has_no_row_twice_and_none_missing(tmp_path):
    x, y = data()
    options = {"validation": (x, y), "batch_size": 8, "validate_every": 2}
    trainer(CSVLog(), out=tmp_path / "straight").fit(x, y, steps=12, **options)
    first = trainer(CSVLog(), out=tmp_path / "run")
    first.fit(x, y, steps=4, **options)
    kept = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    first = trainer(CSVLog(), out=tmp_path / "run")
    first.fit(x, y, steps=9, resume=True, **options)  # went on to step 9 ...
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(kept)  # ... but only step 4 was kept
    trainer(CSVLog(), out=tmp_path / "run").fit(x, y, steps=12, resume=True, **options)
    assert (tmp_path / "run" / "log.csv").read_text() == (tmp_path / "straight" / "log.csv").read_text()


def test_a_log_needs_a_place():
    x, y = data()
    with pytest.raises(ValueError, match="CSVLog: give it a path, or the Trainer a folder: out="):
        trainer(CSVLog()).fit(x, y, epochs=1)


# ---- history -----------------------------------------------------------------------------------------


def some_history(steps=60, metric=True):
    history = History()
    for step in range(1, steps + 1):
        history.record_step(step=step, epoch=1 + step // 31, loss=3 / step, lr=0.1 * (1 - step / 100))
        if step % 20 == 0:
            extra = {"val_accuracy": 1 - 1 / step} if metric else {}
            history.record_validation(step=step, epoch=1 + step // 31, val_loss=4 / step, **extra)
    return history


def test_history_answers():
    history = some_history()
    assert len(history) == 60
    assert history["val_loss"] == [4 / 20, 4 / 40, 4 / 60]
    assert history.best() == 4 / 60
    assert history.best("val_accuracy", "max") == 1 - 1 / 60
    assert history.epochs() == pytest.approx(
        [sum(3 / i for i in range(1, 31)) / 30, sum(3 / i for i in range(31, 61)) / 30]
    )
    assert json.loads(json.dumps(history.to_dict()))["train"]["lr"] == history["lr"]
    with pytest.raises(
        KeyError, match="val_f1: expected one of step, epoch, loss, lr, val_loss, val_accuracy"
    ):
        history["val_f1"]
    history.record_validation(step=61, epoch=2, val_loss=math.nan)
    assert history.best() == 4 / 60
    assert math.isnan(history["val_accuracy"][-1])  # columns stay of one length
    history.record_step(step=61, epoch=2, loss=1.0, lr=0.1, grad_norm=2.0)
    assert [math.isnan(norm) for norm in history["grad_norm"]] == [True] * 60 + [False]
    assert history.rows(60)[0]["grad_norm"] == 2.0
    with pytest.raises(KeyError):
        History().best()
    with pytest.raises(ValueError, match=r"history\.best: expected mode 'min' or 'max', got 'highest'"):
        history.best("val_accuracy", "highest")


def test_history_survives_its_state_dict():
    history, copy = some_history(), History()
    copy.load_state_dict(history.state_dict())
    assert copy.to_dict() == history.to_dict()
    assert all(isinstance(step, int) for step in copy["step"])


@pytest.mark.parametrize("options", [{}, {"baselines": {"uniform": 2.5}, "title": "A title", "log": True}])
@pytest.mark.parametrize("steps", [1, 60, 300])
def test_history_draws_what_it_holds(tmp_path, options, steps):
    pytest.importorskip("matplotlib")
    history = some_history(steps)
    figure = history.plot(tmp_path / "sub" / "loss.png", **options)
    assert (tmp_path / "sub" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")
    losses = figure.axes[0]
    drawn = {tuple(line.get_ydata()) for line in losses.lines}
    assert tuple(history["loss"]) in drawn
    if steps > 1:
        assert tuple(history["val_loss"]) in drawn
        assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    if options:
        assert (2.5, 2.5) in drawn
        assert losses.get_yscale() == "log"


def test_the_drawn_trend_is_a_mean_of_neighbours_however_large_the_beginning():
    pytest.importorskip("matplotlib")
    history = History()
    for step in range(1, 2001):
        history.record_step(step=step, epoch=1, loss=1e12 if step == 1 else 1e-9 * (step % 2), lr=0.1)
    trend = next(line for line in history.plot().axes[0].lines if "smoothed" in str(line.get_label()))
    assert (trend.get_xdata()[0], trend.get_xdata()[-1]) == (1, 2000)
    assert trend.get_ydata()[-100:] == pytest.approx(0.5e-9, rel=0.05)


def test_history_without_steps_or_matplotlib(monkeypatch):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="expected at least one step, got none"):
        History().plot()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"extra ds-core\[plot\]: pip install matplotlib"):
        some_history().plot()
