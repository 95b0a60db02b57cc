"""A torch.nn.Module of the same weights, for what takes nothing else: torch.export, ONNX, tools of others.

The one file that imports torch.nn, and the reason: nothing is computed with it here, and nothing else in the
project imports this file; it only translates what has been built and trained into the other language. What
that language has no word for runs our formulas there.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

OURS = ("ds_core", "ds_cnn", "ds_rnn", "ds_transformer", "ds_zoo")
OTHER_NAMES = {"Dense": "Linear"}
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@runtime_checkable
class Ours(Protocol):
    """What is asked of a module of ours."""

    training: bool
    _parameters: dict[str, None]
    _buffers: dict[str, bool]

    def _held_modules(self) -> Iterator[tuple[str, Any]]: ...
    def _torch_options(self) -> dict[str, Any]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def modules(self) -> Iterator[Self]: ...
    def forget(self) -> None: ...
    def label(self) -> str: ...


class Formulas(nn.Module):
    """A module of ours as one of torch: parameters, buffers and modules by the same names, our own forward.

    Gradients are torch's autograd's, through our formulas. Its modules are of this class, too.
    """

    def __init__(self, ours: Ours, made: dict[int, Formulas]) -> None:
        super().__init__()
        made[id(ours)] = self
        self._ours = ours
        self.training = ours.training
        self._parameters.update({name: getattr(ours, name) for name in ours._parameters})
        for name, persistent in ours._buffers.items():
            self._buffers[name] = getattr(ours, name)
            if not persistent:
                self._non_persistent_buffers_set.add(name)
        for name, child in ours._held_modules():
            child = next(child.modules())  # of one that recomputes, what it runs
            self._modules[name] = made.get(id(child)) or Formulas(child, made)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs our forward with the weights, buffers and modes of this module.

        Raises:
            TypeError: if a module in it was replaced, which our forward would not know.
        """
        ours = self._ours
        for mine in self.modules():
            if not isinstance(mine, Formulas):
                raise TypeError(
                    f"{ours.label()}: expected its modules as to_torch() made them, got "
                    f"{type(mine).__name__}; replace them before"
                )
        pairs: list[tuple[Ours, Any]] = list(zip(ours.modules(), self.modules(), strict=True))
        for part, mine in pairs:
            vars(part).update(mine._parameters, **mine._buffers, training=mine.training)
        try:
            return ours(*args, **kwargs)
        finally:
            ours.forget()
            for part, mine in pairs:
                mine._buffers.update({name: getattr(part, name) for name in mine._buffers})

    def extra_repr(self) -> str:
        return self._ours.label()


class Translator:
    """Translates one model: what is shared in it, modules or parameters, is shared in the other one."""

    def __init__(self) -> None:
        self.modules: dict[int, nn.Module] = {}
        self.parameters: dict[int, nn.Parameter] = {}
        self.copies: dict[int, Any] = {}  # of ours that have no namesake, as deepcopy remembers them
        self.formulas: dict[int, Formulas] = {}

    def module(self, ours: Ours, path: str) -> nn.Module:
        """Returns a module's namesake, or what runs its formulas; with copies of its weights, in its mode.

        A namesake that holds others stands only if they have namesakes, too; containers hold either.
        """
        ours = next(ours.modules())  # of one that recomputes, what it runs
        if id(ours) not in self.modules:
            try:
                self.modules[id(ours)] = self.by_namesake(ours, path)
            except NotImplementedError:
                self.modules[id(ours)] = self.by_formulas(ours)
        return self.modules[id(ours)]

    def by_namesake(self, ours: Ours, path: str) -> nn.Module:
        """Returns the namesake of a module.

        Raises:
            NotImplementedError: if there is none, for the module or for one below it; names it.
        """
        kind = namesake(ours, path)
        theirs = self.made(kind, ours, path)
        theirs.training = ours.training
        if not issubclass(kind, (nn.ParameterList, nn.ParameterDict)):
            self.fill(theirs, ours, path)
        return theirs

    def by_formulas(self, ours: Ours) -> Formulas:
        """Returns a module that runs a copy of ours."""
        for part in ours.modules():
            for name in part._parameters:
                value = getattr(part, name)
                if value is not None:
                    self.copies[id(value)] = self.parameter(value)
        mine = copy.deepcopy(ours, self.copies)
        mine.forget()
        return self.formulas.get(id(mine)) or Formulas(mine, self.formulas)

    def part(self, ours: Ours, path: str) -> nn.Module:
        """Returns the namesake of a module in a namesake.

        Raises:
            NotImplementedError: if there is none.
        """
        made = self.module(ours, path)
        if isinstance(made, Formulas):
            raise NotImplementedError(f"{path}: torch.nn has nothing that does what {ours.label()} does")
        return made

    def made(self, kind: type[nn.Module], ours: Ours, path: str) -> nn.Module:
        """Makes a namesake, as yet without weights and memory for them."""
        if issubclass(kind, nn.ParameterList):
            return kind([self.parameter(getattr(ours, name)) for name in ours._parameters])
        if issubclass(kind, nn.ParameterDict):
            return kind({name: self.parameter(getattr(ours, name)) for name in ours._parameters})
        theirs: nn.Module
        if issubclass(kind, CONTAINERS):
            theirs = kind()
            for name, child in ours._held_modules():
                theirs.add_module(name, self.module(child, f"{path}.{name}"))
            return theirs
        names = {*inspect.signature(kind).parameters} - {"device", "dtype"}
        if issubclass(kind, nn.RNNBase):  # those below it take whatever comes
            names = {*inspect.signature(nn.RNNBase).parameters} - {"device", "dtype"}
            names = names | {"nonlinearity"} if kind is nn.RNN else names
            names = names if kind is nn.LSTM else names - {"proj_size"}
        options = {name: getattr(ours, name) for name in names if hasattr(ours, name)}
        if "bias" in options and not isinstance(options["bias"], bool):
            options["bias"] = options["bias"] is not None
        for name, value in (options | ours._torch_options()).items():
            options[name] = self.part(value, f"{path}.{name}") if isinstance(value, Ours) else value
        with torch.device("meta"):
            theirs = kind(**options)
        return theirs

    def fill(self, theirs: nn.Module, ours: Ours, path: str) -> None:
        """Puts the weights, and the modules below, into their places.

        Raises:
            NotImplementedError: if the namesake has no place for one, or torch.nn no module like it.
        """
        for name in (*ours._parameters, *ours._buffers):
            value = getattr(ours, name)
            if value is not None:
                is_buffer = name in ours._buffers
                setattr(theirs, name, value.detach().clone() if is_buffer else self.parameter(value))
        for name, child in () if isinstance(theirs, CONTAINERS) else ours._held_modules():
            there, made = getattr(theirs, name, None), self.part(child, f"{path}.{name}")
            if not isinstance(there, nn.Module):
                raise NotImplementedError(
                    f"{path}: expected a {type(theirs).__name__} as torch.nn has it, got one with {name}: "
                    f"{child.label()}"
                )
            if isinstance(there, type(made)) and type(there) is not type(made):
                there._parameters.update(made._parameters)  # attention's last Linear is of a kind of its own
                there.training = made.training
            else:
                setattr(theirs, name, made)
        if isinstance(theirs, nn.RNNBase):
            theirs.flatten_parameters()

    def parameter(self, ours: Tensor) -> nn.Parameter:
        """Returns a copy of a parameter, frozen if it is."""
        if id(ours) not in self.parameters:
            self.parameters[id(ours)] = nn.Parameter(ours.detach().clone(), ours.requires_grad)
        return self.parameters[id(ours)]


def namesake(ours: Ours, path: str) -> type[nn.Module]:
    """Returns the class of torch.nn that does what a module does.

    Raises:
        NotImplementedError: if there is none; says where the module is.
    """
    for cls in type(ours).__mro__:
        theirs = getattr(nn, OTHER_NAMES.get(cls.__name__, cls.__name__), None)
        known = isinstance(theirs, type) and issubclass(theirs, nn.Module) and theirs is not nn.Module
        if known and cls.__module__.partition(".")[0] in OURS:
            if getattr(type(ours), "forward", None) is getattr(cls, "forward", None):
                return theirs  # type: ignore[return-value]
            break
    raise NotImplementedError(f"{path}: torch.nn has nothing that does what {ours.label()} does")
