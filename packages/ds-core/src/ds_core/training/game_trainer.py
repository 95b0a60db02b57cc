"""GameTrainer: the trainer of modules that play against one another, each with an optimizer of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from ds_core.checks import check_whole, shown
from ds_core.engines import engine
from ds_core.layers import Identity
from ds_core.module import Module
from ds_core.optimizers import Optimizer
from ds_core.optimizers.optimizer import Group
from ds_core.precision import precision
from ds_core.training.batches import Batch, samples, to_device
from ds_core.training.history import COUNTS
from ds_core.training.settings import optimizer_settings
from ds_core.training.trainer import Trainer, _Step

_OPTIONS = ("callbacks", "out", "progress", "device", "seed", "settings", "precision")


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
        TypeError: if one is no optimizer.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer]) -> None:
        if not optimizers:
            raise ValueError("Players: expected at least one optimizer, got none")
        self.optimizers: dict[str, Optimizer] = {}
        self.defaults: dict[str, Any] = {}
        for name, optimizer in optimizers.items():
            if not isinstance(optimizer, Optimizer):
                raise TypeError(f"Players: expected an Optimizer as {name!r}, got {shown(optimizer)}")
            for group in optimizer.param_groups:
                self._check_params(group["params"])
            self.optimizers[name] = optimizer

    @property
    def param_groups(self) -> list[Group]:  # type: ignore[override]  # those of each, whenever they are asked for
        """Returns the groups of each, one after the other."""
        return [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]

    def add_param_group(self, param_group: Group) -> None:
        raise TypeError(
            "Players: expected a group in the optimizer of one player, got one more for all of them; "
            "add it to trainer.optimizers[NAME]"
        )

    def regroup(self, state_dict: Mapping[str, Any], parameters: Sequence[Tensor]) -> None:
        """Regroups each; the parameters are those of all of them."""
        self._check_players(state_dict)
        rest = list(parameters)
        for name, optimizer in self.optimizers.items():
            optimizer.regroup(state_dict[name], rest)
            del rest[: sum(len(group["params"]) for group in optimizer.param_groups)]

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
        self._check_players(state_dict)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state_dict[name])

    def _check_players(self, state_dict: Mapping[str, Any]) -> None:
        if state_dict.keys() != self.optimizers.keys():
            raise ValueError(
                f"Players: expected states of {', '.join(self.optimizers)}, got {', '.join(state_dict)}"
            )


class _Together:
    """An optimizer whose steps the processes make together: gradients are added up first.

    Args:
        optimizer: whose everything else this has.
        share: how much the gradients of this process count.
        add_up: adds them up.
    """

    def __init__(self, optimizer: Optimizer, share: float, add_up: Callable[[], Any]) -> None:
        self._optimizer, self._share, self._add_up = optimizer, share, add_up

    def step(self) -> None:
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad *= self._share
        self._add_up()
        self._optimizer.step()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)


class GameTrainer(Trainer):
    """Trains modules that play against one another: one step is one round of their game.

    Where `torchrun` has started several processes, each plays with its rows of every batch, and before an
    optimizer makes a step the gradients of its parameters are added up, weighted by the number of samples. So
    a game's losses are means over the samples, and the batches of a round have equally many.

    What a round is, the game says, in ``game.play(batches, optimizers)``: gradients, and a step of each
    optimizer. That a number is not finite is seen when these steps are made: then only the checkpoint is that
    of before. Data, checkpoints, resuming, progress, callbacks and Ctrl-C are the :class:`Trainer`'s; a batch
    is inputs and a target as there.

    Args:
        game: the module that holds the players.
        optimizers: name -> optimizer of one player.
        batches: how many batches a round gets, such as one for each step of a critic; those left over at an
            epoch's end, too few for a round, are passed over.
        options: ``callbacks``, ``out``, ``progress``, ``device``, ``seed``, ``settings`` and ``precision``
            (not ``"fp16"``: the game makes its gradients itself), as of :class:`Trainer`; no others.

    Raises:
        TypeError, ValueError: as :class:`Trainer` does, and if two optimizers share a parameter.

    Example:
        >>> trainer = GameTrainer(game, {"generator": Adam(...), "discriminator": Adam(...)})
        >>> trainer.fit(images, labels, steps=1000)
    """

    _whole_groups = True
    _remedies = "gradients that the game clips"

    def __init__(
        self, game: Module, optimizers: Mapping[str, Optimizer], *, batches: int = 1, **options: Any
    ) -> None:
        if unknown := options.keys() - set(_OPTIONS):
            raise TypeError(
                f"GameTrainer: expected options of {', '.join(_OPTIONS)}, got {', '.join(sorted(unknown))}: "
                "a game makes its gradients and its steps itself"
            )
        if options.get("precision") not in (None, "float32", "bf16"):
            raise ValueError(
                f"GameTrainer: precision: expected 'float32' or 'bf16', got {options['precision']!r}: a game "
                "makes its gradients itself"
            )
        check_whole("GameTrainer", batches=batches)
        super().__init__(game, Identity(), Players(optimizers), accumulate=batches, **options)
        if not hasattr(game, "play"):
            raise TypeError(
                "GameTrainer: expected a module with a method play(batches, optimizers), got "
                + type(game).__name__
            )
        self.optimizers = optimizers
        self._rules["optimizer"] = {name: optimizer_settings(one) for name, one in optimizers.items()}

    def _update(self, batches: list[Batch]) -> None:
        """Plays one round; what is to be known of it is read from the device together."""
        self._midway = True
        parts, optimizers = self._shared_out(batches)
        with self._drawing(), precision(self.precision), engine("manual"):
            here = [to_device(batch, self.device) for batch in parts]
            numbers = cast(Playing, self.model).play(here, optimizers)
        self._check_numbers(numbers)
        names = list(numbers)

        def look(step: _Step, values: list[float]) -> dict[str, float]:
            for name, value in zip(names, values, strict=True):
                self._check_finite(step, f"the number {name}", value, batches[-1])
            return {**dict(zip(names, values, strict=True)), "lr": step.lr}

        self._made(self._step(self._means(list(numbers.values())), look), batches)

    def _check_numbers(self, numbers: Mapping[str, Tensor]) -> None:
        """Checks that what a round returns can be recorded.

        Raises:
            TypeError: if it is no dict, or something in it no tensor of one number.
            ValueError: if there is no loss, or a name is that of a column which the trainer writes itself.
        """
        if not isinstance(numbers, Mapping):
            raise TypeError(
                f"{self.model.label()}.play: expected a dict of numbers to be returned, got {shown(numbers)}"
            )
        if "loss" not in numbers:
            raise ValueError(
                f"{self.model.label()}.play: expected 'loss' among the numbers it returns, got "
                + (", ".join(map(repr, numbers)) or "none")
            )
        for name, number in numbers.items():
            if not isinstance(number, Tensor) or number.numel() != 1 or number.dim():
                raise TypeError(
                    f"{self.model.label()}.play: expected {name} as a tensor of one number and shape (), "
                    f"got {shown(number)}"
                )
            if name in (*COUNTS, "lr"):
                raise ValueError(
                    f"{self.model.label()}.play: expected another name than {name!r}, "
                    "which the trainer records"
                )

    def _shared_out(self, batches: list[Batch]) -> tuple[list[Batch], Mapping[str, Optimizer]]:
        """Returns what this process plays with: of several, its part of each batch, and steps made together.

        Raises:
            ValueError: if there are fewer samples than processes, or the batches differ in their number.
        """
        if self._parallel is None:
            return batches, self.optimizers
        if len(sizes := sorted(set(map(samples, batches)))) > 1:
            raise ValueError(
                "GameTrainer: expected the batches of a round to have equally many samples, as several "
                f"processes weigh them alike, got {sizes[0]} and {sizes[-1]}; leave smaller ones out"
            )
        parts = [part for part in map(self._parallel.part, batches) if part is not None]
        if len(parts) < len(batches):
            raise ValueError(
                f"GameTrainer: expected batches of at least a sample for each process, got none for "
                f"{self._parallel.world}"
            )
        self._share = sum(map(samples, parts)) / sum(map(samples, batches))
        together = {}
        for name, one in self.optimizers.items():
            trained = [p for group in one.param_groups for p in group["params"]]
            buckets = self._parallel.buckets(trained, name)
            together[name] = _Together(one, self._share, partial(self._parallel.add_up, buckets))
        return parts, cast(Mapping[str, Optimizer], together)

    def _means(self, numbers: list[Tensor]) -> list[Tensor]:
        """Returns the numbers of a round, over all samples of all processes."""
        if self._parallel is None:
            return numbers
        here = torch.stack([number.detach().to(self.device, torch.float64) for number in numbers])
        return list(self._parallel.world.sum_(self._share * here))

    def _held_out(self, validation: Any) -> Any:
        """A game cannot be validated; :meth:`evaluate` says so."""
        return self.evaluate(validation)

    def evaluate(self, *data: Any, batch_size: int | None = None) -> dict[str, Any]:
        """A game has no loss that says how good it is.

        Raises:
            TypeError: always; says what to do.
        """
        raise TypeError("GameTrainer: a game has no validation loss; measure samples, in a callback, say")
