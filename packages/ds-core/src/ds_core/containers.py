"""Modules made of modules. Each backward is its forward read from the bottom up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar, overload

import torch
from torch import Tensor

from ds_core.module import InputGrad, Module

__all__ = [
    "Concatenate",
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

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> Self:
        """Adds a module at the end.

        Raises:
            TypeError: if it is not a Module.
        """
        place = len(self)
        setattr(self, str(place), self._checked_module(place, module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end; errors as for :meth:`append`."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Adds a module before the one at a place; those behind move on by one, and so do their names.

        Raises:
            TypeError: if it is not a Module.
        """
        modules = list(self.children())
        modules.insert(index, self._checked_module(index, module))
        self._rename(modules)
        return self

    def _checked_module(self, place: int, module: Module) -> Module:
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__}: expected a Module at place {place}, got {type(module).__name__}"
            )
        return module

    def _rename(self, modules: list[Module]) -> None:
        """Keeps these modules alone, under the names of their places."""
        for name, _ in list(self.named_children()):
            delattr(self, name)
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def __setitem__(self, index: int, module: Module) -> None:
        """Puts a module in the place of another, counted from the end if negative.

        Raises:
            TypeError: if it is not a Module.
            IndexError: if there is no such place.
        """
        names = [name for name, _ in self.named_children()]
        setattr(self, names[index], self._checked_module(index, module))

    def __delitem__(self, index: int | slice) -> None:
        """Removes a module, or a slice of them; those behind move up, and so do their names."""
        modules = list(self.children())
        del modules[index]
        self._rename(modules)

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Any]:
        return self.children()

    def __reversed__(self) -> Iterator[Any]:
        """Yields the modules from last to first, the order of backward."""
        return reversed(list(self.children()))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Returns one module, or a container of the same kind with a slice of them."""
        chosen = list(self.children())[index]
        if isinstance(chosen, Module):
            return chosen
        return Sequential(*chosen) if isinstance(self, Sequential) else ModuleList(chosen)


class ModuleDict(Module):
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

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds modules, or replaces those of the same names."""
        for name, module in modules.items() if isinstance(modules, Mapping) else modules:
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"ModuleDict: expected a Module under {name!r}, got {type(module).__name__}")
        if not name or "." in name or (name not in self and hasattr(self, name)):
            raise ValueError(
                f"ModuleDict: expected a name without dots that means nothing else, got {name!r}"
            )
        setattr(self, name, module)

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(
                f"ModuleDict: expected one of {', '.join(map(repr, self)) or 'no name'}, got {name!r}"
            )
        return getattr(self, name)

    def __delitem__(self, name: str) -> None:
        self[name]  # raises where there is none
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in dict(self.named_children())

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.named_children()))

    def __len__(self) -> int:
        return len(dict(self.named_children()))

    def keys(self) -> Iterable[str]:
        """Returns the names, in order."""
        return dict(self.named_children()).keys()

    def values(self) -> Iterable[Any]:
        """Returns the modules, in order."""
        return dict(self.named_children()).values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Returns (name, module), in order."""
        return dict(self.named_children()).items()


class ParameterList(Module):
    """Holds parameters in order, under the names "0", "1", ...

    Args:
        parameters: tensors made by :func:`ds_core.Parameter`.

    Raises:
        TypeError: if one is not a parameter.
    """

    def __init__(self, parameters: Iterable[Tensor] = ()) -> None:
        for parameter in parameters:
            self.append(parameter)

    def append(self, parameter: Tensor) -> Self:
        """Adds a parameter at the end."""
        setattr(self, str(len(self)), _checked_parameter(self, len(self), parameter))
        return self

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Tensor]:
        return (getattr(self, name) for name in self._parameters)

    def __getitem__(self, index: int) -> Tensor:
        return list(self)[index]


class ParameterDict(Module):
    """Holds parameters under names.

    Args:
        parameters: name -> tensor made by :func:`ds_core.Parameter`.

    Raises:
        TypeError: if one is not a parameter.
        ValueError: if a name is empty, holds a dot, or is that of a method or attribute.
    """

    def __init__(self, parameters: Mapping[str, Tensor] | None = None) -> None:
        for name, parameter in (parameters or {}).items():
            self[name] = parameter

    def __setitem__(self, name: str, parameter: Tensor) -> None:
        if not name or (name not in self._parameters and hasattr(self, name)):
            raise ValueError(f"ParameterDict: expected a name that means nothing else, got {name!r}")
        setattr(self, name, _checked_parameter(self, name, parameter))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._parameters:
            there = ", ".join(map(repr, self)) or "no name"
            raise KeyError(f"ParameterDict: expected one of {there}, got {name!r}")
        parameter: Tensor = getattr(self, name)
        return parameter

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)


def _checked_parameter(owner: Module, place: int | str, parameter: Tensor) -> Tensor:
    if not getattr(parameter, "_is_parameter", False):
        raise TypeError(
            f"{type(owner).__name__}: expected a tensor made by ds_core.Parameter at {place!r}, "
            f"got {type(parameter).__name__}"
        )
    return parameter


class Sequential(ModuleList):
    """Feeds each module's output to the next.

    y = f_n(... f_2(f_1(x)))

    Args:
        modules: f_1 ... f_n; or one mapping, an ``OrderedDict`` say, of names to them.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                if not name or hasattr(self, name):
                    raise ValueError(
                        f"{type(self).__name__}: expected a name that means nothing else, got {name!r}"
                    )
                setattr(self, name, self._checked_module(len(self), module))
        else:
            super().__init__(modules)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x

    def backward(self, grad: Any) -> Any:
        for module in reversed(self):
            grad = module.backward(grad)
        return grad

    def second_backward(self, grad_grad: Any) -> Any:
        for module in self:
            grad_grad = module.second_backward(grad_grad)
        return grad_grad

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the first module, too."""
        return _pass_on(self, list(self)[:1], requires_input_grad)


def _pass_on(container: Container, facing: list[Module], requires_input_grad: bool) -> Container:
    """Sets ``requires_input_grad_`` for a container and the modules that see its input.

    A module that is also used elsewhere in the container must give its gradient there, so it is left alone.
    """
    container.input_grad = requires_input_grad
    used = Counter(id(module) for child in container.children() for module in child.modules())
    for module in facing:
        if all(used[id(part)] == 1 for part in module.modules()):
            module.requires_input_grad_(requires_input_grad)
    return container


class _Branches(ModuleList):
    """What modules fed with one and the same input share: the sum of their input gradients."""

    def __init__(self, *modules: Module) -> None:
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
        modules: the branches f_1 ... f_n.
    """

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self
        y: Tensor = first(x)
        for module in others:
            y = y + module(x)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        return self._backward_branches([grad] * len(self))


class Concatenate(_Branches):
    """Lays what branches make of the same input side by side.

    y = [f_1(x), ..., f_n(x)] along ``dim``

    Args:
        modules: the branches f_1 ... f_n.
        dim: along which dimension.
    """

    def __init__(self, *modules: Module, dim: int = -1) -> None:
        super().__init__(*modules)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        outputs = [module(x) for module in self]
        self.save([y.shape[self.dim] for y in outputs])
        return torch.cat(outputs, self.dim)

    def backward(self, grad: Tensor) -> InputGrad:
        (sizes,) = self.saved()
        return self._backward_branches(list(grad.split(sizes, self.dim)))

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
        y = self.module(x)
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
