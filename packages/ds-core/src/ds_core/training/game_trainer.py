"""GameTrainer: the trainer of modules that play against one another, each with an optimizer of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from torch import Tensor

from ds_core.engines import engine
from ds_core.layers import Identity
from ds_core.module import Module
from ds_core.optimizers import Optimizer
from ds_core.training.batches import Batch, to_device
from ds_core.training.settings import optimizer_settings
from ds_core.training.trainer import Trainer, _Step


class Playing(Protocol):
    """A module whose ``play`` is one round of a game."""

    def play(self, batches: Sequence[Batch], optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
        """Computes gradients, makes steps, and returns numbers; ``"loss"`` is among them."""
        ...


class Players(Optimizer):
    """Several optimizers as one: what the trainer saves, loads and shows.

    Args:
        optimizers: name -> optimizer of one player.

    Raises:
        ValueError: if there is none, or two have a parameter in common.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer]) -> None:
        if not optimizers:
            raise ValueError("Players: expected at least one optimizer, got none")
        self.optimizers = dict(optimizers)
        self.defaults: dict[str, Any] = {}
        self.param_groups = []
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                self._check_params(group["params"])
                self.param_groups.append(group)

    @property
    def state(self) -> Any:
        """Returns the state of each."""
        return {name: optimizer.state for name, optimizer in self.optimizers.items()}

    @state.setter
    def state(self, state: Any) -> None:
        for name, optimizer in self.optimizers.items():
            optimizer.state = state[name]

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of each, under its name."""
        return {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes the state of each over.

        Raises:
            ValueError: if there are other players, or a state does not fit.
        """
        if state_dict.keys() != self.optimizers.keys():
            raise ValueError(
                f"Players: expected states of {', '.join(self.optimizers)}, got {', '.join(state_dict)}"
            )
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state_dict[name])


class GameTrainer(Trainer):
    """Trains modules that play against one another: one step is one round of their game.

    What a round is, the game says, in ``game.play(batches, optimizers)``: gradients, and a step of each
    optimizer. Data, checkpoints, resuming, progress, callbacks and Ctrl-C are the :class:`Trainer`'s; a batch
    is inputs and a target as there.

    Args:
        game: the module that holds the players.
        optimizers: name -> optimizer of one player.
        batches: how many batches a round gets, such as one for each step of a critic.
        options: ``callbacks``, ``out``, ``progress``, ``device``, ``seed`` and ``settings``, as of
            :class:`Trainer`.

    Raises:
        TypeError, ValueError: as :class:`Trainer` does, and if two optimizers share a parameter.

    Example:
        >>> trainer = GameTrainer(game, {"generator": Adam(...), "discriminator": Adam(...)})
        >>> trainer.fit(images, labels, steps=1000)
    """

    def __init__(
        self, game: Module, optimizers: Mapping[str, Optimizer], *, batches: int = 1, **options: Any
    ) -> None:
        super().__init__(game, Identity(), Players(optimizers), accumulate=batches, **options)
        self.optimizers = optimizers
        self._rules["optimizer"] = {name: optimizer_settings(one) for name, one in optimizers.items()}

    def _update(self, batches: list[Batch]) -> None:
        """Plays one round; what is to be known of it is read from the device together."""
        self._midway = True
        with engine("manual"):
            here = [to_device(batch, self.device) for batch in batches]
            numbers = cast(Playing, self.model).play(here, self.optimizers)
        names = list(numbers)

        def look(step: _Step, values: list[float]) -> dict[str, float]:
            for name, value in zip(names, values, strict=True):
                self._check_finite(step, f"the number {name}", value, batches[-1])
            return {**dict(zip(names, values, strict=True)), "lr": step.lr}

        self._made(self._step(list(numbers.values()), look), batches)

    def evaluate(self, *data: Any, batch_size: int | None = None) -> dict[str, Any]:
        """A game has no loss that says how good it is.

        Raises:
            TypeError: always; says what to do.
        """
        raise TypeError("GameTrainer: a game has no validation loss; measure samples, in a callback, say")
