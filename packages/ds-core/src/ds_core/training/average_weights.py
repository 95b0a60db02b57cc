"""AverageWeights, MovingAverage: the mean of weights along the way, steadier than any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ds_core.training.callbacks import Callback, named_weights

if TYPE_CHECKING:
    from ds_core.training.trainer import Trainer


class AverageWeights(Callback):
    """Gives model and loss, when training ends, the mean of the weights after each of the last epochs.

    W = (1/k) (W_(n-k+1) + ... + W_n)

    Near its end training still moves to and fro around a good place, the more so the higher the learning rate
    is; the mean lies nearer to it. The checkpoint keeps the weights of the last step, so a resumed training
    goes on from there.

    Args:
        epochs: k, of the n that are planned; a training that ends earlier has fewer of them, or none.

    Raises:
        ValueError: if ``epochs`` is below 1, or a number of steps is planned.

    Source: Vaswani et al., Attention Is All You Need (2017), section 6.1, averages its last 5 checkpoints;
    Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging (1992).
    """

    def __init__(self, epochs: int) -> None:
        if epochs < 1:
            raise ValueError(f"AverageWeights: expected epochs of at least 1, got {epochs}")
        self.epochs = epochs
        self.kept: dict[int, dict[str, Tensor]] = {}  # epoch -> weights

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.total_epochs is None:
            raise ValueError("AverageWeights: averages the last of the epochs planned; give fit(epochs=...)")
        if trainer.step == 0:
            self.kept = {}

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.total_epochs is not None and trainer.epoch > trainer.total_epochs - self.epochs:
            self.kept[trainer.epoch] = {name: p.detach().clone() for name, p in named_weights(trainer)}

    def on_fit_end(self, trainer: Trainer) -> None:
        last = [weights for epoch, weights in self.kept.items() if epoch > trainer.epoch - self.epochs]
        if len(last) > 1:
            with torch.no_grad():
                for name, parameter in named_weights(trainer):
                    # Those of a checkpoint lie in main memory.
                    parameter.copy_(torch.stack([weights[name].to(parameter) for weights in last]).mean(0))

    def state_dict(self) -> dict[str, Any]:
        return {"kept": [[epoch, weights] for epoch, weights in self.kept.items()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.kept = {epoch: dict(weights) for epoch, weights in state["kept"]}


class MovingAverage(Callback):
    """Gives model and loss, when training ends, a mean of the weights after all steps, the latest most.

    M_t = d_t M_(t-1) + (1 - d_t) W_t,   d_t = min(d, (1 + t) / (10 + t))

    Weights of 1 / (1 - d) steps ago still count a third as much as the latest. At the beginning, when they
    change fast, the mean forgets faster. While training goes on the model has its own weights, and so have
    validations and checkpoints, so a resumed training goes on from there; :attr:`average` is the mean so far.

    Args:
        decay: d.

    Raises:
        ValueError: if ``decay`` is not between 0 and 1.

    Source: Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging (1992); with a moving
    mean: Tarvainen and Valpola, Mean teachers are better role models (2017), section 2.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"MovingAverage: expected a decay between 0 and 1, got {decay}")
        self.decay = decay
        self.average: dict[str, Tensor] = {}  # name of a parameter, a loss's as (loss).weight -> its mean

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.step == 0:
            self.average = {}
        for name, parameter in named_weights(trainer):
            if name in self.average:  # a checkpoint's, which lies in main memory
                self.average[name] = self.average[name].to(parameter)

    def on_step_end(self, trainer: Trainer) -> None:
        decay = min(self.decay, (1 + trainer.step) / (10 + trainer.step))
        with torch.no_grad():
            for name, parameter in named_weights(trainer):
                if name in self.average:
                    self.average[name].lerp_(parameter, 1 - decay)
                else:
                    self.average[name] = parameter.detach().clone()

    def on_fit_end(self, trainer: Trainer) -> None:
        with torch.no_grad():
            for name, parameter in named_weights(trainer):
                if name in self.average:
                    parameter.copy_(self.average[name])

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.average = {name: mean.clone() for name, mean in state["average"].items()}
