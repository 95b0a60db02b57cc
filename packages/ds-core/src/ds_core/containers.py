"""Modules made of modules. Each backward is its forward read from the bottom up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Self, TypeVar, overload

import torch
from torch import Tensor

from ds_core.checks import how_to_get_a_tensor, shown
from ds_core.module import InputGrad, Module, Parameter, _check_module, _lost_in

__all__ = [
    "Concatenate",
    "FirstOutput",
    "ModuleDict",
    "ModuleList",
    "ParameterDict",
    "ParameterList",
    "Residual",
    "Sequential",
    "Sum",
]

Container = TypeVar("Container", bound=Module)


class ModuleList(Module):
    """Holds modules in order, under the names "0", "1", ...; the owner calls them.

    Args:
        modules: the modules.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self.extend(modules or ())

    def append(self, module: Module) -> Self:
        """Adds a module at the end.

        Raises:
            TypeError: if it is not a Module.
        """
        place = len(self)
        while str(place) in vars(self):  # a slice of a Sequential keeps its names, which begin later
            place += 1
        self.add_module(str(place), self._checked_module(place, module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end; errors as for :meth:`append`, and where there is nothing to go through."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}: expected modules as a list of them, got {shown(modules)}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Adds a module before the one at a place; those behind move on by one, and so do their names.

        Raises:
            TypeError: if it is not a Module.
            IndexError: if there is no such place; the end is one.
        """
        modules = list(self)
        if not -len(modules) <= index <= len(modules):
            raise self._no_place(index)
        modules.insert(index, self._checked_module(index, module))
        self._rename(modules)
        return self

    def pop(self, key: int | slice) -> Any:
        """Removes a module, or a slice of them, and returns it; those behind move up, as do their names."""
        module = self[key]
        del self[key]
        return module

    def _checked_module(self, place: int, module: Module) -> Module:
        _check_module(module, f"{type(self).__name__}: expected a Module at place {place}")
        return module

    def _no_place(self, index: int) -> IndexError:
        return IndexError(f"{type(self).__name__}: expected a place among {len(self)} modules, got {index}")

    def _rename(self, modules: list[Module]) -> None:
        """Keeps these modules alone, under the names of their places."""
        for name, _ in list(self._held_modules()):
            delattr(self, name)
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def __setitem__(self, index: int, module: Module) -> None:
        """Puts a module in the place of another, counted from the end if negative.

        Raises:
            TypeError: if it is not a Module.
            IndexError: if there is no such place.
        """
        names = [name for name, _ in self._held_modules()]
        if not -len(names) <= index < len(names):
            raise self._no_place(index)
        setattr(self, names[index], self._checked_module(index, module))

    def __delitem__(self, index: int | slice) -> None:
        """Removes a module, or a slice of them; those behind move up, and so do their names."""
        modules = list(self)
        if not isinstance(index, slice) and not -len(modules) <= index < len(modules):
            raise self._no_place(index)
        del modules[index]
        self._rename(modules)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Any]:
        """Yields the modules in order, one that stands at several places at each of them."""
        return (value for value in vars(self).values() if isinstance(value, Module))

    def __reversed__(self) -> Iterator[Any]:
        """Yields the modules from last to first, the order of backward."""
        return reversed(list(self))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Returns one module, or a container with a slice of them; in a Sequential they keep their names.

        Raises:
            IndexError: if there is no such place.
        """
        if isinstance(index, slice):
            held = list(self._held_modules())[index]
            return Sequential(dict(held)) if isinstance(self, Sequential) else ModuleList(dict(held).values())
        modules = list(self)
        if not -len(modules) <= index < len(modules):
            raise self._no_place(index)
        return modules[index]

    def __add__(self, other: Iterable[Module]) -> Any:
        """Returns a container of the same kind with the modules of both."""
        modules = [*self, *other]
        return Sequential(*modules) if isinstance(self, Sequential) else ModuleList(modules)

    def __iadd__(self, other: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        return self.extend(other)


class _ByName(Module):
    """What modules or parameters under names share with a dict."""

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        self.update(values or {})

    def _held(self) -> dict[str, Any]:
        """Returns name -> module or parameter, in order."""
        raise NotImplementedError

    def _put(self, name: str, value: Any) -> None:
        """Checks a name and a value, and takes them."""
        raise NotImplementedError

    def update(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Adds values, or replaces those of the same names.

        Args:
            values: name -> value, or pairs of them.
        """
        for name, value in values.items() if isinstance(values, (Mapping, _ByName)) else values:
            self._put(name, value)

    def pop(self, key: str) -> Any:
        """Removes what stands under a name, and returns it."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Removes all."""
        for name in self.keys():
            del self[name]

    def get(self, key: str, default: Any = None) -> Any:
        """Returns what stands under a name, or something else if nothing does."""
        return self._held().get(key, default)

    def keys(self) -> Iterable[str]:
        """Returns the names, in order."""
        return self._held().keys()

    def values(self) -> Iterable[Any]:
        """Returns what stands under the names, in order."""
        return self._held().values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Returns pairs of a name and what stands under it, in order."""
        return self._held().items()

    def __setitem__(self, name: str, value: Any) -> None:
        self._put(name, value)

    def __getitem__(self, name: str) -> Any:
        held = self._held()
        if name not in held:
            there = ", ".join(map(repr, held)) or "no name"
            raise KeyError(f"{type(self).__name__}: expected one of {there}, got {name!r}")
        return held[name]

    def __delitem__(self, name: str) -> None:
        self[name]  # raises where there is none
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self._held()

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._held())

    def __len__(self) -> int:
        return len(self._held())


class ModuleDict(_ByName):
    """Holds modules under names; the owner calls them.

    Args:
        modules: name -> module, or pairs of them.

    Raises:
        TypeError: if a value is not a Module.
        ValueError: if a name is empty, holds a dot, or is that of a method or attribute.

    Example:
        >>> heads = ModuleDict({"boxes": Dense(64, 4), "labels": Dense(64, 10)})
        >>> heads["boxes"](x)
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__(modules)

    def _held(self) -> dict[str, Module]:
        return dict(self._held_modules())

    def _put(self, name: str, value: Module) -> None:
        _check_module(value, f"ModuleDict: expected a Module under {name!r}")
        self.add_module(name, value)


class ParameterList(Module):
    """Holds parameters in order, under the names "0", "1", ...

    Args:
        values: tensors; those that are not parameters yet become ones, sharing their memory.

    Raises:
        TypeError: if one is no floating point tensor.
    """

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        self.extend(values if values is not None else ())

    def append(self, value: Tensor) -> Self:
        """Adds a parameter at the end."""
        place = len(self)
        self.register_parameter(str(place), _parameter_of(self, place, value))
        return self

    def extend(self, values: Iterable[Tensor]) -> Self:
        """Adds parameters at the end; errors as for the constructor, and where it is no list of them."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(f"ParameterList: expected tensors as a list of them, got {shown(values)}")
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Tensor]) -> Self:
        """Adds parameters at the end."""
        return self.extend(values)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Tensor]:
        return (getattr(self, name) for name in self._parameters)

    def __setitem__(self, index: int, value: Tensor) -> None:
        """Puts a parameter in the place of another, counted from the end if negative.

        Raises:
            IndexError: if there is no such place.
        """
        name = str(range(len(self))[self._checked_index(index)])
        self.register_parameter(name, _parameter_of(self, index, value))

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Returns one parameter, or a ParameterList with a slice of them.

        Raises:
            IndexError: if there is no such place.
        """
        if isinstance(index, slice):
            return ParameterList(list(self)[index])
        return list(self)[self._checked_index(index)]

    def _checked_index(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ParameterList: expected a place among {len(self)} parameters, got {index}")
        return index

    def extra_repr(self) -> str:
        return _shown(enumerate(self))


class ParameterDict(_ByName):
    """Holds parameters under names.

    Args:
        parameters: name -> tensor, or pairs of them; those that are not parameters yet become ones, sharing
            their memory.

    Raises:
        TypeError: if one is no floating point tensor.
        ValueError: if a name is empty, holds a dot, or is that of a method or attribute.
    """

    def __init__(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] | None = None) -> None:
        super().__init__(parameters)

    def _held(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self._parameters}

    def _put(self, name: str, value: Tensor) -> None:
        self.register_parameter(name, _parameter_of(self, name, value))

    def extra_repr(self) -> str:
        return _shown(self.items())


def _parameter_of(owner: Module, place: int | str, value: Tensor) -> Tensor:
    """Returns a tensor as a parameter, itself if it is one.

    Raises:
        TypeError: if it is no floating point tensor, or a parameter of torch's own.
    """
    where = f"{type(owner).__name__}: expected a floating point tensor at {place!r}"
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = f"one of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{where}, got {got}")
    if _lost_in(value):
        raise TypeError(f"{where}, {_lost_in(value)}")
    return value if getattr(value, "_is_parameter", False) else Parameter(value)


def _shown(parameters: Iterable[tuple[int | str, Tensor]]) -> str:
    return ", ".join(f"{name}: {tuple(parameter.shape)}" for name, parameter in parameters)


class Sequential(ModuleList):
    """Feeds each module's output to the next.

    y = f_n(... f_2(f_1(x)))

    Args:
        modules: f_1 ... f_n; or one mapping, an ``OrderedDict`` say, of names to them.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for place, (name, module) in enumerate(modules[0].items()):
                self.add_module(name, self._checked_module(place, module))
        else:
            _check_one_by_one(self, modules)
            super().__init__(modules)  # type: ignore[arg-type]

    def forward(self, input: Any) -> Any:
        x = input
        for module in self:
            x = module(x)
        if not len(self):  # the identity, of which nobody else knows that it was called
            self.save()
        return x

    def backward(self, grad: Any) -> Any:
        if not len(self):
            self.saved()
        for module in reversed(self):
            if grad is None and module.passes_on:  # nobody wants the gradient of its input, nor of its output
                module.saved()
            else:
                grad = module.backward(grad)
        return grad

    def second_backward(self, grad_grad: Any) -> Any:
        if not len(self):
            self.kept_for_second()
            self.save_again(grad_x=None)
        for module in self:
            grad_grad = module.second_backward(grad_grad)
        return grad_grad

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the first module, too, and for the one behind what only passes its input on."""
        _pass_on(self, list(self)[:1], requires_input_grad)
        for module, behind in pairwise(self):
            if not module.passes_on or module.input_grad != requires_input_grad:
                break
            _pass_on(self, [behind], requires_input_grad)
        return self


def _check_one_by_one(container: Module, modules: tuple[Any, ...]) -> None:
    """Checks that modules came as arguments, not as one list of them.

    Raises:
        TypeError: if they did; says what to write.
    """
    if len(modules) == 1 and isinstance(modules[0], (list, tuple)):
        name, kind = type(container).__name__, type(modules[0]).__name__
        raise TypeError(f"{name}: expected modules one by one, got a {kind} of them; write {name}(*modules)")


def _output(container: Module, module: Module, x: Any) -> Tensor:
    """Returns what a module of a container gives.

    Raises:
        TypeError: if it is no tensor.
    """
    y = module(x)
    if not isinstance(y, Tensor):
        raise TypeError(
            f"{type(container).__name__}: expected {type(module).__name__} to give a tensor, got "
            + shown(y)
            + how_to_get_a_tensor(y)
        )
    return y


def _pass_on(container: Container, facing: list[Module], requires_input_grad: bool) -> Container:
    """Sets ``requires_input_grad_`` for a container and the modules that see its input.

    A module that is also used elsewhere in the container must give its gradient there, so it is left alone.
    """
    container.input_grad = requires_input_grad
    used = Counter(id(module) for _, child in container._held_modules() for module in child.modules())
    for module in facing:
        if all(used[id(part)] == 1 for part in module.modules()):
            module.requires_input_grad_(requires_input_grad)
    return container


class _Branches(ModuleList):
    """What modules fed with one and the same input share: the sum of their input gradients."""

    def __init__(self, *modules: Module) -> None:
        _check_one_by_one(self, modules)
        super().__init__(modules)
        if not modules:
            raise ValueError(f"{type(self).__name__}: expected at least one branch")

    def _backward_branches(self, grads: list[Tensor]) -> InputGrad:
        total = None
        for module, grad in zip(reversed(self), reversed(grads), strict=True):
            grad_x = module.backward(grad)
            if self.input_grad:
                total = grad_x if total is None else total + grad_x
        return total

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for every branch, too."""
        return _pass_on(self, list(self), requires_input_grad)


class Sum(_Branches):
    """Adds up what branches make of the same input.

    y = f_1(x) + ... + f_n(x)

    Args:
        modules: the branches f_1 ... f_n, whose outputs have one shape.
    """

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self
        total = _output(self, first, x)
        for module in others:
            y = _output(self, module, x)
            if y.shape != total.shape:
                raise ValueError(
                    f"Sum: expected branches that give one shape, got {tuple(total.shape)} from "
                    f"{type(first).__name__} and {tuple(y.shape)} from {type(module).__name__}"
                )
            total = total + y
        return total

    def backward(self, grad: Tensor) -> InputGrad:
        return self._backward_branches([grad] * len(self))


class Concatenate(_Branches):
    """Lays what branches make of the same input side by side.

    y = [f_1(x), ..., f_n(x)] along ``dim``

    Args:
        modules: the branches f_1 ... f_n, whose outputs differ in ``dim`` alone.
        dim: along which dimension.
    """

    def __init__(self, *modules: Module, dim: int = -1) -> None:
        super().__init__(*modules)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        outputs = [_output(self, module, x) for module in self]
        if not all(self._fit(outputs[0], y) for y in outputs):
            raise ValueError(
                f"Concatenate: expected branches whose outputs differ in dimension {self.dim} alone, got "
                + ", ".join(str(tuple(y.shape)) for y in outputs)
            )
        self.save([y.shape[self.dim] for y in outputs])
        return torch.cat(outputs, self.dim)

    def backward(self, grad: Tensor) -> InputGrad:
        (sizes,) = self.saved()
        return self._backward_branches(list(grad.split(sizes, self.dim)))

    def _fit(self, first: Tensor, other: Tensor) -> bool:
        """Says whether two outputs can be laid side by side."""
        if first.dim() != other.dim() or not -first.dim() <= self.dim < first.dim():
            return False
        expected = list(first.shape)
        expected[self.dim] = other.shape[self.dim]
        return list(other.shape) == expected

    def extra_repr(self) -> str:
        return "" if self.dim == -1 else f"dim={self.dim}"


class Residual(Module):
    """Adds a module's output to its input.

    y = x + f(x),   dL/dx = g + f'(x)^T g

    Args:
        module: f, whose output has the shape of its input.

    Source: He et al., Deep Residual Learning (2015), equation 1.
    """

    def __init__(self, module: Module) -> None:
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        y = _output(self, self.module, x)
        if y.shape != x.shape:
            raise ValueError(
                f"{type(self).__name__}: expected {type(self.module).__name__} to keep the shape "
                f"{tuple(x.shape)}, got {tuple(y.shape)}"
            )
        return x + y

    def backward(self, grad: Tensor) -> InputGrad:
        grad_x = self.module.backward(grad)
        return grad + grad_x if self.input_grad else None

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the module, too."""
        return _pass_on(self, [self.module], requires_input_grad)


class FirstOutput(Module):
    """Gives a module's first output, and passes the others over.

    y = y_1,   (y_1, y_2, ...) = f(x)

    So what also returns a state or attention weights stands in a :class:`Sequential`, or is trained with a
    loss of one input.

    Args:
        module: f, which returns a tuple, and whose backward takes the gradient of y_1 alone.

    Raises:
        TypeError: if the module returns anything but a tuple.

    Example:
        >>> Sequential(FirstOutput(GRU(8, 16)), Dense(16, 2))
    """

    def __init__(self, module: Module) -> None:
        self.module = module

    def forward(self, *inputs: Any, **options: Any) -> Any:
        outputs = self.module(*inputs, **options)
        if not isinstance(outputs, tuple) or not outputs:
            raise TypeError(f"{self.label()}: expected a module that returns a tuple, got {shown(outputs)}")
        return outputs[0]

    def backward(self, grad: Any) -> Any:
        return self.module.backward(grad)

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the module, too."""
        return _pass_on(self, [self.module], requires_input_grad)
