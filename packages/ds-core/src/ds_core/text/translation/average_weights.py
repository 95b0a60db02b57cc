"""AverageWeights: the mean of the last epochs' weights, steadier than any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ds_core.training import Callback

if TYPE_CHECKING:
    from ds_core.training import Trainer


class AverageWeights(Callback):
    """Gives the model, when training ends, the mean of the weights after each of the last epochs.

    W = (1/k) (W_(n-k+1) + ... + W_n)

    Near its end training still moves to and fro around a good place, the more so the higher the learning rate
    is; the mean lies nearer to it. The checkpoint keeps the weights of the last step, so a resumed training
    goes on from there.

    Args:
        epochs: k, of the n that are planned; a training that ends earlier has fewer of them, or none.

    Raises:
        ValueError: if ``epochs`` is below 1.

    Source: Vaswani et al., Attention Is All You Need (2017), section 6.1, averages its last 5 checkpoints;
    Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging (1992).
    """

    def __init__(self, epochs: int) -> None:
        if epochs < 1:
            raise ValueError(f"AverageWeights: expected epochs of at least 1, got {epochs}")
        self.epochs = epochs
        self.kept: dict[int, dict[str, Tensor]] = {}  # epoch -> weights

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.total_epochs is not None and trainer.epoch > trainer.total_epochs - self.epochs:
            parameters = trainer.model.named_parameters()
            self.kept[trainer.epoch] = {name: p.detach().clone() for name, p in parameters}

    def on_fit_end(self, trainer: Trainer) -> None:
        last = [weights for epoch, weights in self.kept.items() if epoch > trainer.epoch - self.epochs]
        if len(last) > 1:
            with torch.no_grad():
                for name, parameter in trainer.model.named_parameters():
                    parameter.copy_(torch.stack([weights[name] for weights in last]).mean(0))

    def state_dict(self) -> dict[str, Any]:
        return {"kept": [[epoch, weights] for epoch, weights in self.kept.items()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.kept = {epoch: dict(weights) for epoch, weights in state["kept"]}
