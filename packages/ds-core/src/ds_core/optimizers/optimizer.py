"""Optimizer: what all update rules share. Each rule itself is one short ``update`` in a file of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor

from ds_core.checks import checked_constructor, did_you_mean
from ds_core.kernels.elementary import number

# Tensors, or (name, tensor) pairs, or groups: dicts with such a list under "params" and options of their own.
Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]
Group = dict[str, Any]
State = dict[str, Any]
Result = TypeVar("Result")

# Ranges of options, whichever rules have them: decay rates of the averages in Adam and its kin are below 1.
_NON_NEGATIVE = (
    "lr",
    "lr_decay",
    "weight_decay",
    "momentum",
    "momentum_decay",
    "initial_accumulator_value",
    "alpha",
    "rho",
    "eps",
)
_BELOW_ONE = ("betas",)
# Kept as Python numbers, which cost nothing to compute with; saved as the scalar tensors torch.optim keeps.
_NUMBERS = ("step", "mu_product")
# Options that choose among torch.optim's implementations; two change more than how a step is computed.
_IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")
_REFUSED = {
    "capturable": "steps are counted in Python, which a captured CUDA graph would not repeat; torch.compile "
    "takes a whole training step",
    "differentiable": "a step is not recorded; write the update with plain tensors to go back through it",
}
# What a saved group says of its parameters and of implementations.
_NOT_LOADED = ("params", "param_names", *_IMPLEMENTATION)
# What schedulers write into a group, ours and torch's.
_OF_SCHEDULERS = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr")
# Which of two rules an optimizer follows: a state brings it along, and may not change it.
_RULE = "decoupled_weight_decay"
# Options that states of torch.optim may lack.
_OURS = (_RULE, "maximize", "ns_precision")


class Optimizer:
    """Base of the optimizers: changes parameters, in place, so that the loss falls.

    A subclass gives :meth:`update`, the rule for one parameter, and in ``start`` the state the rule keeps.
    The state has the parameter's shape, type and device; after ``model.double()`` it follows. What rules have
    in common is done here, before ``update`` sees the gradient g of a parameter p:

        maximize:                 g = -g
        weight decay, coupled:    g = g + weight_decay p
        weight decay, decoupled:  p = p - lr weight_decay p

    Args:
        params: tensors, (name, tensor) pairs, or groups: dicts with such a list under ``"params"`` and
            options of their own, e.g. ``{"params": biases, "weight_decay": 0}``.
        defaults: lr and the rule's other options, for groups that do not give their own. A tensor of one
            number is read once; write ``group["lr"]`` to change it later. ``foreach`` and ``fused``, which
            choose among implementations in ``torch.optim``, are without effect: the result is the same.

    Raises:
        TypeError: if ``params`` holds anything else, or numbers that are not floating point, or an option is
            not a number.
        ValueError: if there are no parameters, one occurs twice or is not a leaf, or an option is out of
            range.
        NotImplementedError: if ``capturable`` or ``differentiable`` is True; says what to do instead.
    """

    decoupled_weight_decay = False  # for all groups that have no such option of their own
    later: tuple[str, ...] = ()  # what a parameter's state may hold besides what ``start`` returns

    def __init_subclass__(cls, **options: Any) -> None:
        """Makes a rule's constructor check its arguments."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = checked_constructor(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, params: Params, **defaults: Any) -> None:
        self.defaults = self._options(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, State] = {}
        if isinstance(params, Tensor):
            raise TypeError(f"{self.label()}: expected a list of parameters, got one tensor; write [tensor]")
        if not isinstance(params, Iterable):
            raise TypeError(
                f"{self.label()}: expected parameters, as from model.parameters(), "
                f"got {type(params).__name__}"
            )
        given: list[Any] = list(params)
        if not given:
            raise ValueError(
                f"{self.label()}: expected at least one parameter, got none (a used-up generator?)"
            )
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        """Returns a parameter's new value and state: the formula, or its kernel, which works in place.

        Args:
            parameter: p, any shape.
            grad: g, of the same shape; not to be written to.
            state: what ``start``, or the last update, returned.
            group: the options that hold for this parameter.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def start(self, parameter: Tensor, group: Group) -> State:
        """Returns the state with which a parameter enters its first update."""
        return {}

    def step(self, closure: Callable[[], Result] | None = None) -> Result | None:
        """Updates every parameter that has a gradient.

        Args:
            closure: computes loss and gradients anew, and returns the loss.

        Returns:
            What the closure returned.
        """
        loss = closure() if closure is not None else None
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        state = self._state_of(parameter, group)
                        updated = self.update(parameter, self._direction(parameter, group), state, group)
                        if updated is None:
                            raise TypeError(
                                f"{self.label()}.update: expected (parameter, state) to be returned, got None"
                            )
                        value, state = updated
                        if value is not parameter:
                            parameter.copy_(value)
                        self.state[parameter] = state
        return loss

    def _state_of(self, parameter: Tensor, group: Group) -> State:
        """Returns a parameter's state, new at its first update; where the parameter went, it has followed."""
        state = self.state.get(parameter)
        if state is None:
            state = self.state[parameter] = self.start(parameter, group)
        elif _left_behind(state, parameter):
            for name, value in state.items():
                if isinstance(value, Tensor) and value.is_floating_point():
                    state[name] = value.to(parameter)
        return state

    def _direction(self, parameter: Tensor, group: Group) -> Tensor:
        """Returns g, with ``maximize`` and weight decay done."""
        grad: Tensor = parameter.grad  # type: ignore[assignment]  # step has asked
        if group.get("maximize"):
            grad = -grad
        decay = group.get("weight_decay")
        if not decay:
            return grad
        if group.get("decoupled_weight_decay", self.decoupled_weight_decay):
            parameter.mul_(number(1 - group["lr"] * decay, parameter))
            return grad
        return grad.add(parameter, alpha=decay)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients, or fills them with zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad.zero_()

    # ---- parameter groups ----------------------------------------------------------------------------

    def add_param_group(self, param_group: Group) -> None:
        """Adds parameters with options of their own, for example layers thawed during fine-tuning.

        Args:
            param_group: parameters under ``"params"``, and any options that differ from the defaults.

        Raises:
            TypeError, ValueError: as the constructor does.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"{self.label()}: expected a group as a dict with 'params', got {param_group!r}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(f"{self.label()}: expected parameters in a fixed order, got a set; use a list")
        given: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        group: Group = self.defaults | self._options(param_group)
        if given and all(isinstance(item, tuple) for item in given):
            group["param_names"] = [name for name, _ in given]
            given = [parameter for _, parameter in given]
        group["params"] = given
        if any(("param_names" in group) != ("param_names" in other) for other in self.param_groups):
            raise ValueError(f"{self.label()}: expected names for all parameter groups or for none")
        self._check_params(given)
        self._check_names(param_group)
        self.check_options(group)
        self.param_groups.append(group)

    def regroup(self, state_dict: Mapping[str, Any], parameters: Sequence[Tensor]) -> None:
        """Has as many groups as a saved state: those added since it was made go, those it has beyond come.

        Args:
            state_dict: as :meth:`state_dict` returns it.
            parameters: of its groups, in their order.

        Raises:
            TypeError, ValueError: as the constructor does.
        """
        saved_groups = state_dict["param_groups"]
        for saved in saved_groups[len(self.param_groups) :]:
            self.add_param_group({**saved, "params": [parameters[index] for index in saved["params"]]})
        del self.param_groups[len(saved_groups) :]

    def _options(self, given: Group) -> Group:
        """Returns options as the rule takes them: numbers, and none that choose among implementations.

        Raises:
            NotImplementedError: for one that would change the result; says what to do instead.
        """
        for name, reason in _REFUSED.items():
            if given.get(name):
                raise NotImplementedError(
                    f"{self.label()}: expected {name}=False, got {given[name]}: {reason}"
                )
        return {name: _plain(name, value) for name, value in given.items() if name not in _IMPLEMENTATION}

    def _check_names(self, param_group: Group) -> None:
        """Checks that what a group has beside the options, such as a name, is no option misspelt."""
        for name in param_group:
            advice = did_you_mean(name, self.defaults)
            if advice and name not in (*self.defaults, *_NOT_LOADED, *_OF_SCHEDULERS):
                raise ValueError(
                    f"{self.label()}: expected options among {', '.join(self.defaults)}, got {name!r}{advice}"
                )

    def _check_params(self, params: list[Any]) -> None:
        """Checks that parameters are distinct leaf tensors of real numbers that no group has yet."""
        seen = {id(parameter) for group in self.param_groups for parameter in group["params"]}
        for index, parameter in enumerate(params):
            where = f"{self.label()}: parameter {index} of the group"
            if not isinstance(parameter, Tensor):
                raise TypeError(f"{where}: expected a tensor, got {type(parameter).__name__}")
            if not parameter.is_floating_point():
                advice = "; give torch.view_as_real of it" if parameter.is_complex() else ""
                raise TypeError(f"{where}: expected floating point numbers, got {parameter.dtype}{advice}")
            if not parameter.is_leaf:
                raise ValueError(f"{where}: expected a leaf tensor, got the result of a computation")
            if id(parameter) in seen:
                raise ValueError(
                    f"{where}: expected each tensor once, got one of {tuple(parameter.shape)} twice"
                )
            seen.add(id(parameter))

    def check_options(self, group: Group) -> None:
        """Checks that a group's options are in their ranges.

        Raises:
            TypeError: if an option is not a number.
            ValueError: if it is out of range; says the range.
        """
        for name in (*_NON_NEGATIVE, *_BELOW_ONE):
            if name not in group:
                continue
            given = group[name]
            limit, expected = (1, f"{name} in [0, 1)") if name in _BELOW_ONE else (math.inf, f"{name} >= 0")
            for value in given if isinstance(given, (tuple, list)) else (given,):
                if not isinstance(value, Real):
                    raise TypeError(
                        f"{self.label()}: expected {name} as a number, got {type(value).__name__}"
                    )
                if not 0 <= float(value) < limit:
                    raise ValueError(f"{self.label()}: expected {expected}, got {given}")
        if "betas" in group and len(group["betas"]) != 2:
            raise ValueError(f"{self.label()}: expected 2 betas, got {group['betas']}")

    # ---- saving and loading --------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns what is needed to go on later, in torch.optim's layout, tensors sharing their memory.

        Returns:
            ``{"state": {index: {...}}, "param_groups": [...]}`` with each parameter as its index, counted
            through all groups.
        """
        parameters = (parameter for group in self.param_groups for parameter in group["params"])
        index = {id(parameter): i for i, parameter in enumerate(parameters)}
        return {
            "state": {
                index[id(parameter)]: {
                    key: torch.tensor(value, dtype=torch.float64) if key in _NUMBERS else value
                    for key, value in state.items()
                }
                for parameter, state in self.state.items()
                if state
            },
            "param_groups": [
                {**group, "params": [index[id(p)] for p in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes options and state over, all or nothing, from here or from the ``torch.optim`` namesake.

        Args:
            state_dict: as :meth:`state_dict` returns it; tensors are copied, to each parameter's type and
                device.

        Raises:
            ValueError: if the groups differ in number or size, a state tensor in shape, or the state is one
                of another rule.
        """
        states = state_dict["state"]
        saved_groups = [
            {name: _plain(name, value) for name, value in group.items()}
            for group in state_dict["param_groups"]
        ]
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved_groups]
        where = f"{self.label()}.load_state_dict"
        if sizes != saved_sizes:
            raise ValueError(f"{where}: expected groups of {sizes} parameters, got {saved_sizes}")
        for index, (group, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            self._check_same_rule(group, saved, f"{where}: group {index}")
        strangers = set(states).difference(*(group["params"] for group in saved_groups))
        if strangers:
            raise ValueError(f"{where}: expected states of the groups' parameters, got {strangers}")
        loaded: dict[Tensor, State] = {}
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            for parameter, index in zip(group["params"], saved["params"], strict=True):
                if index not in states:
                    continue
                expected = set(self.start(parameter, {**group, **saved}))
                if not expected <= set(states[index]) <= expected | set(self.later):
                    raise ValueError(
                        f"{where}: parameter {index}: expected a state of {_listed(expected)}, "
                        f"got {_listed(states[index])}"
                    )
                loaded[parameter] = {
                    key: self._loaded(key, value, parameter, index) for key, value in states[index].items()
                }
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            group.update({key: saved[key] for key in saved if key not in _NOT_LOADED})
        self.state = loaded

    def _check_same_rule(self, group: Group, saved: Group, where: str) -> None:
        """Checks that saved options are those of this rule, and in range.

        Raises:
            TypeError, ValueError: says which are missing, unknown or out of range.
        """
        missing = [name for name in self.defaults if name not in saved and name not in _OURS]
        unknown = [name for name in saved if name not in (*group, *_NOT_LOADED, *_OF_SCHEDULERS)]
        if missing or unknown:
            raise ValueError(
                f"{where}: expected the state of {self.label()}, got that of another rule: "
                + "; ".join(
                    f"{what} {', '.join(names)}"
                    for what, names in (("it lacks", missing), ("it has", unknown))
                    if names
                )
            )
        if saved.get(_RULE, group.get(_RULE)) != group.get(_RULE):
            raise ValueError(
                f"{where}: expected {_RULE}={group.get(_RULE)} as in this {self.label()}, got {saved[_RULE]}"
            )
        self.check_options({**group, **saved, "params": group["params"]})

    def _loaded(self, key: str, value: Any, parameter: Tensor, index: int) -> Any:
        """Returns one entry of a saved state as this optimizer keeps it."""
        if key in _NUMBERS:
            return int(value) if key == "step" else float(value)
        if not isinstance(value, Tensor):
            return value
        if value.shape != parameter.shape:
            raise ValueError(
                f"{self.label()}.load_state_dict: parameter {index}: expected {key} of shape "
                f"{tuple(parameter.shape)}, got {tuple(value.shape)}"
            )
        return value.detach().to(device=parameter.device, dtype=parameter.dtype, copy=True)

    # ---- what a reader sees --------------------------------------------------------------------------

    def label(self) -> str:
        """Returns the name error messages begin with."""
        return type(self).__name__

    def __repr__(self) -> str:
        """Shows the options of each group, one group a line."""
        lines = []
        for group in self.param_groups:
            options = [f"{key}={value}" for key, value in group.items() if not key.startswith("param")]
            lines.append(f"  {len(group['params'])} parameters: " + ", ".join(options))
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def _left_behind(state: State, parameter: Tensor) -> bool:
    """Says whether a state is of another type or device than its parameter: one number of it tells."""
    for value in state.values():
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.dtype != parameter.dtype or value.device != parameter.device
    return False


def _plain(name: str, value: Any) -> Any:
    """Returns an option with numbers in the place of tensors of one number; parameters stay."""
    if name == "params":
        return value
    if isinstance(value, tuple):
        return tuple(_plain(name, part) for part in value)
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
