"""Means of weights: what they are, and that a resumed training has the same."""

import pytest
import torch
from ds_core import Dense
from ds_core.training import AverageWeights, Callback, MovingAverage, Trainer


class Witness(Callback):
    """Notes the weights after each epoch and after each step."""

    def __init__(self):
        self.seen, self.steps = [], []

    def on_step_end(self, trainer):
        self.steps.append(trainer.model.weight.detach().clone())

    def on_epoch_end(self, trainer):
        self.seen.append(trainer.model.weight.detach().clone())


def train(out, epochs, *callbacks, resume=False):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=draw)
    model = Dense(3, 1, generator=draw)
    y = x @ torch.ones(3, 1) + torch.randn(40, 1, generator=draw)
    trainer = Trainer(model, "mse", "sgd", lr=0.2, out=out, progress=False, callbacks=callbacks)
    trainer.fit(x, y, epochs=epochs, batch_size=4, resume=resume)
    return model


@pytest.mark.parametrize(("count", "of"), [(1, 1), (3, 3), (9, 5)])
def test_it_is_the_mean_of_the_last_epochs(tmp_path, count, of):
    witness = Witness()
    model = train(tmp_path, 5, AverageWeights(count), witness)
    expected = torch.stack(witness.seen[-of:]).mean(0)
    torch.testing.assert_close(model.weight.detach(), expected)
    assert not torch.equal(witness.seen[-1], witness.seen[-2])


def test_a_resumed_training_averages_the_same(tmp_path):
    whole = train(tmp_path / "whole", 6, AverageWeights(3))
    train(tmp_path / "parts", 4, AverageWeights(3))  # leaves averaged weights, but a checkpoint of the last
    resumed = train(tmp_path / "parts", 6, AverageWeights(3), resume=True)
    assert torch.equal(whole.weight, resumed.weight)


def test_weights_of_an_earlier_fit_do_not_count():
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    witness = Witness()
    trainer = Trainer(
        Dense(3, 1), "mse", "sgd", lr=0.2, progress=False, callbacks=[AverageWeights(2), witness]
    )
    for epochs in (5, 2, 3):
        trainer.fit(x, x.sum(1, keepdim=True), epochs=epochs)
        torch.testing.assert_close(trainer.model.weight.detach(), torch.stack(witness.seen[-2:]).mean(0))


def test_it_needs_epochs(tmp_path):
    x = torch.ones(4, 2)
    trainer = Trainer(Dense(2, 1), "mse", "sgd", callbacks=AverageWeights(2), progress=False)
    with pytest.raises(ValueError, match="AverageWeights: averages the last of the epochs planned"):
        trainer.fit(x, x[:, :1], steps=4)


def test_at_least_one_epoch():
    with pytest.raises(ValueError, match="expected epochs of at least 1, got 0"):
        AverageWeights(0)


@pytest.mark.parametrize("decay", [0.2, 0.8, 0.9999])
def test_the_moving_average_is_its_formula(tmp_path, decay):
    witness, moving = Witness(), MovingAverage(decay)
    model = train(tmp_path, 2, witness, moving)
    expected = witness.steps[0]
    for step, weight in enumerate(witness.steps[1:], 2):
        d = min(decay, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * weight
    torch.testing.assert_close(model.weight.detach(), expected)
    torch.testing.assert_close(moving.average["weight"], expected)
    assert not torch.equal(witness.steps[-1], expected)


def test_a_resumed_training_has_the_same_moving_average(tmp_path):
    whole = train(tmp_path / "whole", 4, MovingAverage(0.9))
    train(tmp_path / "parts", 2, MovingAverage(0.9))  # leaves the mean, but a checkpoint of the last step
    resumed = train(tmp_path / "parts", 4, MovingAverage(0.9), resume=True)
    assert torch.equal(whole.weight, resumed.weight)


def test_the_average_moves():
    with pytest.raises(ValueError, match=r"expected a decay between 0 and 1, got 1\.0"):
        MovingAverage(1.0)


@pytest.mark.parametrize("kind", [MovingAverage(0.9), AverageWeights(2)])
def test_what_a_checkpoint_keeps_goes_where_the_parameters_are(kind):
    """As from main memory to a CUDA device, so from one type to another."""
    x, y = torch.randn(8, 3), torch.randn(8, 1)
    trainer = Trainer(Dense(3, 1), "mse", "sgd", lr=0.1, progress=False, callbacks=kind)
    trainer.fit(x, y, epochs=3)
    elsewhere = {name: p.detach().double() for name, p in trainer.model.named_parameters()}
    kind.load_state_dict({"average": elsewhere, "kept": [[2, elsewhere]]})
    kind.on_fit_start(trainer)
    kind.on_step_end(trainer)
    kind.on_epoch_end(trainer)
    kind.on_fit_end(trainer)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in trainer.model.parameters())
