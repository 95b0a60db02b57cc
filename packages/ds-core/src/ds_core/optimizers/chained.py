"""Several optimizers as one, each with parameters of its own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ds_core.optimizers.optimizer import Group, Optimizer, Result, State


class ChainedOptimizer(Optimizer):
    """Updates each parameter by the rule of the optimizer that was given it.

    So a Trainer, which knows one optimizer, trains the matrices of a model by :class:`Muon` and the rest by
    :class:`AdamW`. Groups, gradients' norm, schedule and checkpoint are those of all of them together.

    Args:
        optimizers: from now on stepped by this one; parameters and groups stay as they are.

    Raises:
        ValueError: if none is given, or two have a parameter in common.

    Example:
        >>> ChainedOptimizer(Muon(matrices, lr=0.02), AdamW(others, lr=0.002))
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        if not optimizers:
            raise ValueError(f"{self.label()}: expected at least one optimizer, got none")
        self.optimizers = optimizers
        self.defaults = {}
        self.param_groups = []
        self.state = {}
        self._rules: dict[Tensor, Optimizer] = {}
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                self._check_params(group["params"])
                self.param_groups.append(group)
                self._rules.update(dict.fromkeys(group["params"], optimizer))
            self.state.update(optimizer.state)
        self.later = tuple(name for optimizer in optimizers for name in optimizer.later)

    def add_param_group(self, param_group: Group) -> None:
        raise TypeError(
            f"{self.label()}: expected groups in the optimizers it is made of, got one more; add it to one "
            "of them before"
        )

    def step(self, closure: Callable[[], Result] | None = None) -> Result | None:
        """Updates every parameter that has a gradient; see :class:`Optimizer`.

        Raises:
            RuntimeError: if one of the optimizers has been given a group since: it would not be trained.
        """
        groups = sum(len(optimizer.param_groups) for optimizer in self.optimizers)
        if groups != len(self.param_groups):
            raise RuntimeError(
                f"{self.label()}: expected the {len(self.param_groups)} groups that its optimizers had when "
                f"it was made, got {groups}; make it anew after add_param_group"
            )
        return super().step(closure)

    def start(self, parameter: Tensor, group: Group) -> State:
        return self._rules[parameter].start(parameter, group)

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        return self._rules[parameter].update(parameter, grad, state, group)

    def _direction(self, parameter: Tensor, group: Group) -> Tensor:
        return self._rules[parameter]._direction(parameter, group)

    def check_options(self, group: Group) -> None:
        for optimizer in {id(rule): rule for rule in map(self._rules.get, group["params"]) if rule}.values():
            optimizer.check_options(group)

    def _check_same_rule(self, group: Group, saved: Group, where: str) -> None:
        for optimizer in self.optimizers:
            if any(group is own for own in optimizer.param_groups):
                optimizer._check_same_rule(group, saved, f"{where}, {optimizer.label()}")
