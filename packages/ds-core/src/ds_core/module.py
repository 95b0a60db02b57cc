"""Module: the one base class of every layer, loss and model.

A module is two methods that mirror each other. ``forward`` computes the output and saves what ``backward``
will need; ``backward`` takes it back, adds to each parameter's ``.grad`` and returns the gradient of the
input. Everything else here is bookkeeping: finding parameters, moving them, saving and loading them.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import torch
from torch import Tensor

from ds_core.checks import check_inputs, checked_constructor, explain_backward, explain_call, shown
from ds_core.engines import note_backward, note_push, note_second
from ds_core.kernels.remade import Remade, held, taken

# This many forwards of one layer without a backward look like a forgotten eval(), not like a long sequence.
_MANY_PENDING = 10_000

# What backward returns: a Tensor (a tuple of them for several inputs), or None where nobody wants the
# gradient or there is none. Not a union, so that backwards nest as freely as forwards do.
InputGrad = Any


def Parameter(data: Tensor, requires_grad: bool = True) -> Tensor:
    """Makes a tensor a leaf that collects a gradient; assigned to a module's attribute, it is a parameter.

    Args:
        data: the initial values, any shape, floating point.
        requires_grad: False for a parameter that starts out frozen.

    Raises:
        TypeError: if ``data`` is not floating point: an integer has no gradient.
    """
    if not data.is_floating_point():
        raise TypeError(f"Parameter: expected a floating point tensor, got {data.dtype}")
    leaf = data.detach().requires_grad_()
    leaf._is_parameter = True  # type: ignore[attr-defined]  # still known as one once it is frozen
    return leaf.requires_grad_(requires_grad)


class Incompatible(NamedTuple):
    """What a non-strict ``load_state_dict`` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


@dataclass(slots=True, eq=False)
class Entry:
    """What one forward pushed onto its module's stack.

    Attributes:
        values: what it saved.
        watched: every tensor among them, with how often it had been changed in place by then.
        whole: whether all of it is there; else some tensors are to be made again.
        output: what the gradient of what forward gave must be like, once that is known.
        through_second: what ``second_backward`` adds to the gradient of the input.
    """

    values: tuple[Any, ...]
    watched: list[tuple[Tensor, int]]
    whole: bool = True
    output: Any = None
    through_second: Tensor | None = None

    def complete(self) -> tuple[Any, ...]:
        """Returns the values, those that were not kept made again."""
        if not self.whole:
            self.values, self.whole = taken(self.values), True
        return self.values

    def __deepcopy__(self, memo: dict[int, Any]) -> Entry:
        """Copies the values; the copies' changes in place have not been counted."""
        return Entry(copy.deepcopy(self.complete(), memo), [], output=self.output)


class Module:
    """Base class of every layer, loss and model.

    Assign tensors made by :func:`Parameter`, other modules, and tensors given to :meth:`register_buffer`
    as attributes; they are found in the order in which they were defined.

    Example:
        >>> class Scale(Module):
        ...     def __init__(self):
        ...         self.weight = Parameter(torch.ones(()))
        ...     def forward(self, x):
        ...         self.save(x)
        ...         return self.weight * x
        ...     def backward(self, grad):
        ...         (x,) = self.saved()
        ...         self.add_grad("weight", lambda: (grad * x).sum())
        ...         return self.weight * grad
    """

    training: bool = True
    recorded_eval: bool = False  # in eval mode within a model in training: it evaluates, and is recorded
    input_grad: bool = True  # False: nobody wants the gradient of this module's input
    passes_on: ClassVar[bool] = False  # True: its output is its input, in another shape perhaps
    _parameters: dict[str, None]  # names in definition order; the tensors are ordinary attributes
    _buffers: dict[str, bool]  # name -> saved in state_dict?
    _stack: list[Entry]
    _second: list[tuple[Any, Any]]  # (gradient, saved values) of each backward that a second one will follow

    def __init_subclass__(cls, **options: Any) -> None:
        """Makes a class's own ``backward`` check the gradient it is given, and its constructor the arguments.

        A class with a ``backward`` of its own inherits no ``second_backward``.

        See :func:`_checked` and :func:`ds_core.checks.checked_constructor`.
        """
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = checked_constructor(cls.__init__)  # type: ignore[method-assign]
        if "backward" in vars(cls):
            cls.backward = _checked(cls.backward)  # type: ignore[method-assign]
            inherited = cls.second_backward is not Module.second_backward
            if inherited and "second_backward" not in vars(cls):  # the derivative of another backward
                cls.second_backward = Module.second_backward  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Prepares the bookkeeping, so that a subclass need not call ``super().__init__()``."""
        if (args or kwargs) and cls.__init__ is object.__init__:  # which would pass over them
            raise TypeError(f"{cls.__name__}() takes no arguments, got {len(args) + len(kwargs)}")
        self = super().__new__(cls)
        object.__setattr__(self, "_parameters", {})
        object.__setattr__(self, "_buffers", {})
        object.__setattr__(self, "_stack", [])
        object.__setattr__(self, "_second", [])
        return self

    # ---- the forward and its mirror ------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the output and, through :meth:`save`, keeps what :meth:`backward` needs."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, grad: Any) -> InputGrad:
        """Turns the gradient of the output into that of the input, adding to parameters' ``.grad``.

        Args:
            grad: dL/d(output), shaped like the output; one argument per output.

        Returns:
            dL/d(input), shaped like the input: a tuple for several inputs, None where there is none.

        Raises:
            RuntimeError: if no forward waits for its backward.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def second_backward(self, grad_grad: Tensor) -> Any:
        """Turns the gradient of what backward returned into that of what it was given: a second derivative.

        It walks in the order of forward, adds to parameters' ``.grad``, and leaves in the layers what one
        more ordinary backward collects: the way through the values that forward saved. All of it inside
        :func:`ds_core.keep_for_second`.

        Args:
            grad_grad: dP/d(input gradient) of some P, shaped like the input.

        Returns:
            dP/d(output gradient), shaped like the output.

        Raises:
            NotImplementedError: if the module does not offer second gradients.
        """
        raise NotImplementedError(
            f"{self.label()} offers no second gradients; layers that do have a second_backward of their own"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs :meth:`forward`."""
        stack = self._stack
        height = len(stack)
        if not torch.compiler.is_compiling():
            if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
                raise RuntimeError(
                    f"{self.label()}: torch.autocast changes types where a backward written by hand does not "
                    "expect it; instead of it, use ds_core.precision('bf16') or Trainer(precision='bf16')"
                )
            if len(args) > 1 or kwargs:
                check_inputs(self, args, kwargs)
        try:
            output = self.forward(*args, **kwargs)
        except Exception as error:
            explain_call(self, args, kwargs, error)
            raise
        if len(stack) > height:
            stack[-1].output = (
                (output.shape, output.dtype, output.device) if isinstance(output, Tensor) else _likes(output)
            )
        return output

    @property
    def recording(self) -> bool:
        """Says whether our stack records: in training mode, unless torch's autograd does.

        And, where ``recorded_eval`` says so, in eval mode: of a layer that stays as it is while the model
        around it is trained, such as a pretrained batch norm. The trainer sees to that.
        """
        return (self.training or self.recorded_eval) and not torch.is_grad_enabled()

    def save(self, *values: Any) -> None:
        """Pushes what backward will need; does nothing unless our stack records."""
        if self.recording:
            note_push(self)
            watched: list[tuple[Tensor, int]] = []
            kept = values
            if not torch.compiler.is_compiling():  # reading the count would break the graph
                kept = held(values)
                _watch(kept, watched)
            self._stack.append(Entry(kept, watched, kept is values))
            if len(self._stack) == _MANY_PENDING:
                warnings.warn(
                    f"{self.label()}: {_MANY_PENDING} forwards wait for their backward and hold memory; "
                    "call eval() for inference, or zero_grad() to forget them",
                    stacklevel=3,
                )

    def saved(self) -> tuple[Any, ...]:
        """Pops what the latest forward saved.

        Raises:
            RuntimeError: if no forward waits for its backward, or what it saved was changed in place since;
                says why and what to do.
        """
        if self._stack and not torch.is_grad_enabled():
            entry = self._stack.pop()
            for tensor, version in entry.watched:
                if tensor._version != version:
                    raise RuntimeError(
                        f"{self.label()}: a tensor that forward saved for backward was changed in place "
                        f"since (one of shape {tuple(tensor.shape)}); write y = y + 1 instead of y += 1 for "
                        "what a layer gave or took"
                    )
            values = entry.complete()
            entry.values, entry.watched = (), []  # whoever is done with them frees them
            return values
        if not self.training:
            why = "it is in eval mode, where forward saves nothing; call train() first"
        elif torch.is_grad_enabled():
            why = (
                "gradients are enabled, so torch's autograd records instead; use `with engine('manual'):` "
                "around forward and backward, or call .backward() on the loss"
            )
        else:
            why = (
                "each forward allows one backward, the latest forward first, in the same engine block, if it "
                "has called save(); what is left at the end of `with engine('manual'):` is forgotten"
            )
        raise RuntimeError(f"{self.label()}: backward without a matching forward: {why}")

    def kept_for_second(self) -> tuple[Any, ...]:
        """Pops what the earliest forward's backward kept for a second one: its gradient and what it used.

        Raises:
            RuntimeError: if no backward kept anything.
        """
        if self._second:
            grad, values = self._second.pop()
            return (grad, *values)
        raise RuntimeError(
            f"{self.label()}: second_backward without a backward that kept anything: run forward and "
            "backward inside `with keep_for_second():`, and second_backward once for each"
        )

    def save_again(self, *values: Any, grad_x: Tensor | None) -> None:
        """Pushes what :meth:`second_backward` leaves for one more backward.

        Args:
            values: as forward saved them.
            grad_x: what that backward adds to the gradient of the input it returns.
        """
        self.save(*values)
        self._stack[-1].through_second = grad_x

    def owes_backward(self) -> bool:
        """Says whether :meth:`second_backward` left anything but zeros for one more backward."""
        return any(part._stack and part._stack[-1].through_second is not None for part in self.modules())

    def wants(self, *names: str) -> tuple[bool, ...]:
        """Says for each name whether its gradient is wanted: ``"input"``, or a parameter's name."""
        wanted = []
        for name in names:
            parameter = None if name == "input" else getattr(self, name)
            wanted.append(
                self.input_grad if name == "input" else parameter is not None and parameter.requires_grad
            )
        return tuple(wanted)

    def add_grad(self, name: str, grad: Tensor | Callable[[], Tensor] | None) -> None:
        """Adds to a parameter's ``.grad``; an absent or frozen parameter costs nothing.

        Args:
            name: the attribute that holds the parameter.
            grad: the gradient, a tensor of the parameter's shape that nobody else holds; a function that
                returns it, called only if it is wanted; or None if nobody wants it.

        Raises:
            ValueError: if the gradient has another shape than the parameter; says what is usually behind it.
            TypeError: if the attribute is no parameter, which nobody would train or save.
        """
        parameter = getattr(self, name)
        if parameter is not None and name not in self._parameters:
            raise TypeError(
                f"{self.label()}.add_grad: expected {name} to be a parameter, got {shown(parameter)}; write "
                f"self.{name} = Parameter(...) in the constructor"
            )
        if parameter is None or not parameter.requires_grad or grad is None:
            return
        if not isinstance(grad, Tensor):
            grad = grad()
        if grad.shape != parameter.shape:
            cause = usual_cause(grad.shape, parameter.shape)
            raise ValueError(
                f"{self.label()}: expected the gradient of {name} to have the parameter's shape "
                f"{tuple(parameter.shape)}, got {tuple(grad.shape)}{cause}"
            )
        if parameter.grad is None:
            parameter.grad = grad
        else:
            parameter.grad += grad

    def forget(self) -> None:
        """Drops what forwards of this module and its children saved and no backward took back."""
        for module in self.modules():
            module._stack.clear()
            module._second.clear()

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Says whether backward must compute the gradient of this module's own input.

        A model's input is data, whose gradient nobody wants: skipping it saves the first layer about a
        third of its work. Composites pass this on to the layers that see the input.
        """
        self.input_grad = requires_input_grad
        return self

    # ---- finding parameters, buffers and children ----------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        """Stores an attribute, and remembers the name if it holds a parameter.

        Raises:
            TypeError: for what would not be found and saved: a torch.nn.Parameter, a torch.nn.Module,
                or modules and parameters in a list, tuple or dict; says what to write. And for what is no
                parameter, module or tensor in the place of one; None may stand in any.
            ValueError: if the name holds a dot, or is that of a method of every module, such as ``forget``.
        """
        advice = _lost_in(value)
        if advice:
            raise TypeError(f"{type(self).__name__}.{name}: {advice}")
        if callable(getattr(Module, name, None)) and (isinstance(value, Module) or not callable(value)):
            raise ValueError(f"{type(self).__name__}: expected a name that means nothing else, got {name!r}")
        if "." in name:
            raise ValueError(f"{type(self).__name__}: expected a name without dots, got {name!r}")
        if isinstance(value, Tensor) and getattr(value, "_is_parameter", False):
            self._parameters[name] = None
            self._buffers.pop(name, None)
        elif name in self._parameters and value is not None:
            raise TypeError(
                f"{type(self).__name__}.{name} is a parameter: assign a Parameter or None, or write new "
                f"values with `.copy_()` under torch.no_grad(); got {type(value).__name__}"
            )
        elif isinstance(value, Module):
            self._buffers.pop(name, None)
            if not isinstance(vars(self).get(name, self), Module):
                vars(self).pop(name)  # it was no module before: it comes after those that are
        elif isinstance(vars(self).get(name), Module) and value is not None:
            raise TypeError(
                f"{type(self).__name__}.{name} is a module: assign a Module or None; "
                f"got {type(value).__name__}"
            )
        elif name in self._buffers and not isinstance(value, Tensor) and value is not None:
            raise TypeError(
                f"{type(self).__name__}.{name} is a buffer: assign a tensor or None; "
                f"got {type(value).__name__}"
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        """Removes an attribute and its registration."""
        self._parameters.pop(name, None)
        self._buffers.pop(name, None)
        object.__delattr__(self, name)

    def _check_name(self, name: str, *kinds: type) -> None:
        """Checks that something can be registered under a name.

        Args:
            name: the name.
            kinds: what may already stand there, besides None, and is replaced then.

        Raises:
            TypeError: if it is not a string.
            ValueError: if it is empty, holds a dot, or is that of a method or of another attribute.
        """
        where = type(self).__name__
        if not isinstance(name, str):
            raise TypeError(f"{where}: expected a name as a string, got {type(name).__name__}")
        if "." in name:
            raise ValueError(f"{where}: expected a name without dots, got {name!r}")
        there = getattr(self, name, None) if name else name
        if there is not None and not (name in vars(self) and isinstance(there, kinds)):
            raise ValueError(f"{where}: expected a name that means nothing else, got {name!r}")

    def register_parameter(self, name: str, param: Tensor | None) -> None:
        """Adds a parameter under a name; None reserves the place.

        Raises:
            TypeError: if it is neither made by :func:`Parameter` nor None.
            ValueError: if the name is empty, holds a dot, or is that of a method or of another attribute.
        """
        self._check_name(name, *([Tensor] if name in self._parameters else []))
        if param is not None and not getattr(param, "_is_parameter", False):
            raise TypeError(
                f"{type(self).__name__}.register_parameter: expected a tensor made by ds_core.Parameter, or "
                f"None, as {name!r}, got {type(param).__name__}"
            )
        setattr(self, name, param)
        self._parameters[name] = None

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a module under a name; None if there is none yet.

        Raises:
            TypeError: if it is neither a Module nor None.
            ValueError: if the name is empty, holds a dot, or is that of a method or of another attribute.
        """
        self._check_name(name, Module)
        if module is not None:
            _check_module(module, f"{type(self).__name__}: expected a Module or None as {name!r}")
        setattr(self, name, module)

    register_module = add_module

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that moves and is saved with the module but is not trained.

        Args:
            name: attribute name.
            tensor: any shape and dtype; None for "not yet".
            persistent: whether ``state_dict`` contains it.

        Raises:
            TypeError: if it is neither a tensor nor None.
            ValueError: if the name is empty, holds a dot, or is that of a method or of another attribute.
        """
        self._check_name(name, *([Tensor] if name in self._buffers else []))
        if tensor is not None and (not isinstance(tensor, Tensor) or hasattr(tensor, "_is_parameter")):
            got = "a parameter" if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(
                f"{type(self).__name__}.register_buffer: expected a tensor or None as {name!r}, got {got}"
            )
        setattr(self, name, tensor)
        self._buffers[name] = persistent

    def _held_modules(self) -> Iterator[tuple[str, Module]]:
        """Yields (name, module) of all places that hold a module, in definition order."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yields (name, module) of the direct children, each once, in definition order."""
        return _each_once(self._held_modules())

    def children(self) -> Iterator[Module]:
        """Yields the direct children."""
        for _, child in self.named_children():
            yield child

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yields (path, module) of this module and all below it.

        Args:
            memo: modules that are left out; those that come are added to it.
            prefix: stands before every path, with a dot between.
            remove_duplicate: whether a shared one comes once, rather than by each of its paths.
        """
        if not remove_duplicate:
            yield from self._walk(prefix)
            return
        for path, module in _each_once(self._walk(prefix)):
            if memo is None or module not in memo:
                if memo is not None:
                    memo.add(module)
                yield path, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yields this module and all below it, each once, or as often as it is used."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def get_submodule(self, target: str) -> Module:
        """Returns the module at a path such as ``"layers.0.norm"``; ``""`` is this module itself.

        Raises:
            AttributeError: if there is none; says up to where the path leads and what there is.
        """
        found = unwrapped(self)  # the same as in named_modules()
        for i, name in enumerate(target.split(".") if target else []):
            children = dict(found._held_modules())
            if name not in children:
                where = ".".join(target.split(".")[:i]) or type(self).__name__
                raise AttributeError(
                    f"{type(self).__name__}: expected {target!r} to be the path of a module, but {where} "
                    f"has no {name!r}; it has {', '.join(children) or 'no modules'}"
                )
            found = unwrapped(children[name])
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts a module at a path, in the place of the one there.

        Args:
            target: the path.
            module: what comes there.
            strict: whether there must be one already; the module above must be there in any case.

        Raises:
            AttributeError: if there is no module to replace, or none above it.
            TypeError: if it is not a Module.
            ValueError: if the path is empty, or its last name is that of a method or of another attribute.
        """
        where = f"{type(self).__name__}.set_submodule"
        _check_module(module, f"{where}: expected a Module")
        if not target:
            raise ValueError(f"{where}: expected the path of a module below it, got {target!r}")
        if strict:
            self.get_submodule(target)
        above, _, name = target.rpartition(".")
        self.get_submodule(above).add_module(name, module)

    def get_parameter(self, target: str) -> Tensor:
        """Returns the parameter at a path such as ``"layers.0.weight"``.

        Raises:
            AttributeError: if there is none; says what there is.
        """
        return self._get_tensor("parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """Returns the buffer at a path such as ``"norm.running_mean"``.

        Raises:
            AttributeError: if there is none; says what there is.
        """
        return self._get_tensor("buffer", target)

    def _get_tensor(self, kind: str, target: str) -> Tensor:
        above, _, name = target.rpartition(".")
        module = self.get_submodule(above)
        there = dict(module._named_tensors(kind, recurse=False))
        if name not in there:
            raise AttributeError(
                f"{type(self).__name__}: expected {target!r} to be the path of a {kind}, but "
                f"{module.label()} has {', '.join(there) or f'no {kind}s'}"
            )
        return there[name]

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Calls a function with every module below, then with this one, to initialise weights, say."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yields every path to every module, shared ones as often as they are reachable."""
        yield prefix, self
        for name, child in self._held_modules():
            yield from child._walk(f"{prefix}.{name}" if prefix else name)

    def _named_tensors(
        self, kind: str, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yields (path, tensor) along every path; shared tensors come as often as they are reachable."""
        for path, module in self._walk(prefix) if recurse else [(prefix, self)]:
            for name in module._parameters if kind == "parameter" else module._buffers:
                value = getattr(module, name)
                if value is not None:
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yields (path, parameter).

        Args:
            prefix: stands before every path, with a dot between.
            recurse: whether those of the modules below come, too.
            remove_duplicate: whether a shared one comes once, rather than by each of its paths.
        """
        found = self._named_tensors("parameter", prefix, recurse)
        yield from _each_once(found) if remove_duplicate else found

    def parameters(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yields every parameter once, in definition order."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yields (path, buffer); arguments as for :meth:`named_parameters`."""
        found = self._named_tensors("buffer", prefix, recurse)
        yield from _each_once(found) if remove_duplicate else found

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yields every buffer once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def num_parameters(self, trainable_only: bool = False) -> int:
        """Counts numbers in parameters, shared ones once."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not trainable_only)

    # ---- mode, gradients, place ----------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switches this module and all below it to training (True) or evaluation (False).

        Raises:
            ValueError: if ``mode`` is neither.
        """
        if not isinstance(mode, bool):
            raise ValueError(f"{type(self).__name__}.train: expected True or False, got {mode!r}")
        for module in self.modules():
            module.training, module.recorded_eval = mode, False
            if not mode:
                module._stack.clear()
                module._second.clear()
        return self

    def eval(self) -> Self:
        """Switches to evaluation: no dropout, running statistics, nothing saved for backward."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Sets every parameter's ``.grad`` to None and forgets forwards that never met their backward.

        Args:
            set_to_none: False writes zeros into gradients that are there instead.
        """
        for module in self.modules():
            for name in module._parameters:
                parameter = getattr(module, name)
                if parameter is None or parameter.grad is None:
                    continue
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad.zero_()
            module._stack.clear()
            module._second.clear()

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freezes (False) or thaws (True) every parameter below."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
            if not requires_grad:
                parameter.grad = None
        return self

    def to(
        self,
        device: torch.device | str | int | torch.dtype | Tensor | None = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
    ) -> Self:
        """Moves parameters and buffers to a device and floating point type, in place.

        A generator draws on its own device alone: in the place of one that dropout draws from comes one of
        the new device, seeded by a number that the old one draws.

        Args:
            device: where to; a dtype given here is taken as ``dtype``, and a tensor as its device and type.
            dtype: floating point type of floating point tensors; integer buffers keep theirs.
            non_blocking: whether copies between a device and pinned memory may go on after this returns.

        Raises:
            TypeError: if ``dtype`` is not floating point.
            NotImplementedError: if there is nothing to move: the module is on "meta".
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        elif isinstance(device, Tensor):
            dtype, device = device.dtype, device.device
        where = f"{type(self).__name__}.to"
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"{where}: expected a floating point dtype, got {dtype}")
        place = None if device is None else torch.device(device)
        if place is not None and place.type != "meta":
            for name, tensor in (*self.named_parameters(), *self.named_buffers()):
                if tensor.is_meta:
                    raise NotImplementedError(
                        f"{where}: expected values to move, got {name} on 'meta', where there are none; call "
                        f"to_empty(device={str(place)!r}) and write values into the parameters then"
                    )
        self._change(
            lambda tensor: tensor.to(
                device=place, dtype=dtype if tensor.is_floating_point() else None, non_blocking=non_blocking
            )
        )
        if place is not None:
            self._move_generators(place)
        return self

    def to_empty(self, *, device: torch.device | str | int | None, recurse: bool = True) -> Self:
        """Gives parameters and buffers memory on a device, in which nothing has been written yet.

        A large model is made without memory first, under ``with torch.device("meta")``, and gets it and its
        weights where they are to be.

        Args:
            device: where; None for where they are.
            recurse: whether those of the modules below get it, too.

        Example:
            >>> with torch.device("meta"):
            ...     model = Sequential(Dense(784, 128), ReLU(), Dense(128, 10))
            >>> model.to_empty(device="cpu").load_state_dict(weights)
        """
        place = None if device is None else torch.device(device)
        self._change(lambda tensor: torch.empty_like(tensor, device=place), recurse)
        if place is not None:
            self._move_generators(place)
        return self

    def _change(self, change: Callable[[Tensor], Tensor], recurse: bool = True) -> None:
        """Replaces every parameter's values and gradient, and every buffer; shared ones stay shared."""
        self.forget()
        changed: dict[Tensor, Tensor] = {}
        for module in self.modules() if recurse else (self,):
            for name in (*module._parameters, *module._buffers):
                tensor = getattr(module, name)
                if tensor is None:
                    continue
                if tensor not in changed:
                    changed[tensor] = (
                        _with_values(tensor, change(tensor.detach()), change)
                        if name in module._parameters
                        else change(tensor)
                    )
                if changed[tensor] is not tensor:
                    setattr(module, name, changed[tensor])

    def _move_generators(self, device: torch.device) -> None:
        """Gives those modules that shared a generator one on the device to share."""
        moved: dict[torch.Generator, torch.Generator] = {}
        for module in self.modules():
            for name, old in list(vars(module).items()):
                if isinstance(old, torch.Generator) and device.type not in (old.device.type, "meta"):
                    if old not in moved:
                        seed = torch.randint(2**62, (), generator=old, device=old.device)
                        moved[old] = torch.Generator(device).manual_seed(int(seed))
                    setattr(module, name, moved[old])

    def cpu(self) -> Self:
        """Moves parameters and buffers to the processor."""
        return self.to("cpu")

    def cuda(self, device: int | torch.device | str | None = None) -> Self:
        """Moves parameters and buffers to a CUDA device, the current one if none is named."""
        return self.to(f"cuda:{device}" if isinstance(device, int) else device or "cuda")

    def float(self) -> Self:
        """Turns floating point parameters and buffers into float32."""
        return self.to(torch.float32)

    def double(self) -> Self:
        """Turns floating point parameters and buffers into float64."""
        return self.to(torch.float64)

    def half(self) -> Self:
        """Turns floating point parameters and buffers into float16."""
        return self.to(torch.float16)

    def bfloat16(self) -> Self:
        """Turns floating point parameters and buffers into bfloat16."""
        return self.to(torch.bfloat16)

    def type(self, dst_type: torch.dtype) -> Self:
        """Turns floating point parameters and buffers into a floating point type.

        Raises:
            TypeError: if it is none.
        """
        if not isinstance(dst_type, torch.dtype):
            raise TypeError(f"{type(self).__name__}.type: expected a dtype, got {dst_type!r}")
        return self.to(dst_type)

    def copy(self, share_generators: bool = False) -> Self:
        """Returns an equal module that shares nothing: without gradients, and with nothing saved in it yet.

        Weights, buffers, frozen and tied parameters, modes and generators are those of the original.

        Args:
            share_generators: whether both draw from the same generators, in turn; if not, each draws the same
                numbers from its own.
        """
        memo: dict[int, Any] = {}
        for part in self.modules():
            memo |= {id(part._stack): [], id(part._second): []}
            if share_generators:
                values = vars(part).values()
                memo |= {id(value): value for value in values if isinstance(value, torch.Generator)}
        for parameter in self.parameters():
            memo[id(parameter)] = Parameter(parameter.detach().clone(), parameter.requires_grad)
        other = copy.deepcopy(self, memo)
        for part in other.modules():  # a method :func:`replaced` for a while would be the original's
            for name in ("forward", "backward"):
                vars(part).pop(name, None)
        return other

    def __copy__(self) -> Self:
        """Returns a module of the same parameters, buffers and modules, with nothing saved in it yet.

        What is assigned to one, or deleted from it, leaves the other as it is.
        """
        other = type(self).__new__(type(self))
        own = {"_parameters": dict(self._parameters), "_buffers": dict(self._buffers)}
        vars(other).update(vars(self) | own | {"_stack": [], "_second": []})
        return other

    # ---- weights as common currency ------------------------------------------------------------------

    def state_dict(
        self, *, destination: dict[str, Tensor] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """Returns name -> tensor of all parameters and persistent buffers, sharing their memory.

        Args:
            destination: a dict to add them to; a new one if None.
            prefix: stands before every name as it is, its dot included, as in ``torch.nn``: ``"encoder."``.
            keep_vars: whether the parameters themselves come, which require gradients.
        """
        state = {} if destination is None else destination
        for path, module in self._walk():
            above = f"{prefix}{path}." if path else prefix
            saved = [name for name, persistent in module._buffers.items() if persistent]
            for name in (*module._parameters, *saved):
                tensor = getattr(module, name)
                if tensor is not None:
                    state[above + name] = tensor if keep_vars else tensor.detach()
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False
    ) -> Incompatible:
        """Copies values into parameters and buffers, all or nothing.

        Args:
            state_dict: name -> tensor, as from :meth:`state_dict` here or of the ``torch.nn`` namesake.
            strict: whether missing and unexpected names are errors; wrong shapes always are.
            assign: whether parameters and buffers take the given tensors' memory, type and device instead of
                copying their values into their own; their gradients are gone then.

        Returns:
            The names that were missing and those that were unexpected.

        Raises:
            TypeError: if ``state_dict`` is no mapping.
            ValueError: lists every missing, unexpected and mis-shaped name; nothing has been changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"{type(self).__name__}.load_state_dict: expected a dict of tensors, as from state_dict(), "
                f"got {type(state_dict).__name__}"
            )
        state, own = state_dict, self.state_dict()
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        problems = []
        if strict:
            problems += [f"missing: {name}, shape {tuple(own[name].shape)}" for name in missing]
            problems += [f"unexpected: {name}, {_described(state[name])}" for name in unexpected]
        for name, mine in own.items():
            if name not in state:
                continue
            if not isinstance(state[name], Tensor):
                problems.append(f"no tensor: {name}, got {_described(state[name])}")
            elif mine.is_meta and not assign:
                problems.append(
                    f"nowhere to copy to: {name} is on 'meta'; pass assign=True, or call to_empty(device=...)"
                )
            elif state[name].shape != mine.shape:
                problems.append(
                    f"wrong shape: {name}, expected {tuple(mine.shape)}, got {tuple(state[name].shape)}"
                )
        if problems:
            count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
            raise ValueError("\n  ".join([f"{type(self).__name__}.load_state_dict: {count}:", *problems]))
        given = {name: state[name].detach() for name in own if name in state}
        if assign:
            self._assign(given)
        else:
            with torch.no_grad():
                for name, values in given.items():
                    own[name].copy_(values)
        return Incompatible(missing, unexpected)

    def _assign(self, given: Mapping[str, Tensor]) -> None:
        """Gives parameters and buffers tensors of their own; shared parameters stay shared."""
        self.forget()
        owners, changed = dict(self._walk()), dict[Tensor, Tensor]()
        for path, values in given.items():
            above, _, name = path.rpartition(".")
            module = owners[above]
            if name not in module._parameters:
                setattr(module, name, values)
                continue
            parameter = getattr(module, name)
            changed[parameter] = _with_values(changed.get(parameter, parameter), values)
            setattr(module, name, changed[parameter])

    def to_torch(self) -> Any:
        """Returns a torch.nn.Module that does the same, with copies of the weights, in the same mode.

        For what takes nothing else, such as ``torch.export`` and ONNX. Layers become their ``torch.nn``
        namesakes; what has none runs our formulas, differentiated by torch's autograd. ``state_dict`` has
        the same names, and what is shared or frozen here is so there.

        Example:
            >>> program = torch.export.export(model.eval().to_torch(), (x,))

            For batches of any size, of a model that runs our formulas, shown two examples or more, as torch
            takes one for a size that stays; its forward takes ``*args``, so that there is one pair of
            parentheses more than a Sequential needs:

            >>> sizes = (({0: torch.export.Dim("batch")},),)
            >>> program = torch.export.export(model.eval().to_torch(), (x,), dynamic_shapes=sizes)
        """
        from ds_core.export import Translator  # the one that needs torch.nn

        return Translator().module(self, type(self).__name__)

    def _torch_options(self) -> dict[str, Any]:
        """Returns arguments of the ``torch.nn`` namesake's constructor that attributes do not say by name.

        Raises:
            NotImplementedError: if the namesake cannot do what this does.
        """
        return {}

    # ---- what torch has and this has not ----------------------------------------------------------------

    def _no_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """Says what to do instead of registering a hook.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"{self.label()}: there are no hooks; `ds_core.xray` and its `observe` look at what passes "
            "through a layer, a module of your own around it changes what passes, and to_torch() gives a "
            "torch.nn.Module, which has them"
        )

    register_forward_hook = register_forward_pre_hook = _no_hooks
    register_full_backward_hook = register_full_backward_pre_hook = register_backward_hook = _no_hooks

    def _no_state_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """Says what to do instead of registering a hook on weights that are saved or loaded.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"{self.label()}: there are no hooks; change the dict that state_dict() returned, or the one "
            "that load_state_dict() is about to get"
        )

    register_state_dict_pre_hook = register_state_dict_post_hook = _no_state_hooks
    register_load_state_dict_pre_hook = register_load_state_dict_post_hook = _no_state_hooks

    def reset_parameters(self) -> None:
        """Says what to do instead of drawing the weights anew.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"{self.label()}: weights are drawn where a layer is made, and not again; make it anew, or load "
            "the state_dict of a copy() from before the training"
        )

    # ---- what a reader sees --------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Returns the constructor arguments worth showing, as ``784, 128``."""
        return ""

    def label(self) -> str:
        """Returns the module's name and arguments on one line, as error messages show it."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def __repr__(self) -> str:
        """Shows the module as a tree, one child a line."""
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self._held_modules()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        if not lines:
            return head + ")"
        return head + "\n  " + "\n  ".join(lines) + "\n)"


@contextmanager
def kept_modes(*modules: Module) -> Iterator[None]:
    """Puts every part of modules back, at the end, in the mode in which it was found."""
    parts = [part for module in modules for part in module.modules()]
    modes = [(part.training, part.recorded_eval) for part in parts]
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training, part.recorded_eval = mode


def begin_training(*modules: Module) -> None:
    """Puts modules in training, as their owner means it.

    A part in eval mode within a module in training, a pretrained batch norm say, is so on purpose: it stays,
    and is recorded, as its gradient is wanted. A module that is itself in eval mode is trained with all its
    parts.
    """
    for module in modules:
        if not module.training:
            module.train()
        for part in module.modules():
            part.recorded_eval = not part.training


@contextmanager
def evaluating(*modules: Module) -> Iterator[None]:
    """Puts modules in evaluation for a while, and each part back in its mode; what forwards saved stays.

    Example:
        >>> with torch.no_grad(), evaluating(model):
        ...     outputs = model(x)
    """
    with kept_modes(*modules):
        for module in modules:
            for part in module.modules():
                part.training = part.recorded_eval = False
        yield


@contextmanager
def replaced(module: Module, **methods: Callable[..., Any]) -> Iterator[None]:
    """Gives one module another ``forward`` or ``backward`` for a while.

    The new ones get the arguments without the module. They can be replaced again inside; whatever was there
    before is back at the end.

    Args:
        module: whose methods; those of modules below it stay.
        methods: ``forward=`` or ``backward=``, or both.

    Example:
        >>> with replaced(layer, forward=lambda x: 2 * x):
        ...     model(x)
    """
    before = {name: vars(module)[name] for name in methods if name in vars(module)}
    vars(module).update(methods)
    try:
        yield
    finally:
        for name in methods:
            vars(module).pop(name, None)
        vars(module).update(before)


Named = TypeVar("Named", bound=object)


def _each_once(pairs: Iterator[tuple[str, Named]]) -> Iterator[tuple[str, Named]]:
    """Yields the pairs whose second part has not been seen before."""
    seen: set[int] = set()
    for path, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield path, value


def _with_values(
    parameter: Tensor, values: Tensor, change: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Returns a parameter with other values: itself, or a new one if it leaves or enters "meta".

    Its gradient is changed, too, or gone if nobody says how.
    """
    grad, parameter.grad = parameter.grad, None
    if parameter.is_meta == values.is_meta:
        parameter.data = values
    else:  # memory and no memory cannot be exchanged
        parameter = Parameter(values, parameter.requires_grad)
    if grad is not None and change is not None:
        parameter.grad = change(grad)
    return parameter


def _described(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


# ---- what is checked around a forward and its backward ---------------------------------------------------


def _checked(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a class's backward: each gradient it is given must have the shape of what forward gave.

    There are no more of them than outputs, and None for outputs that a backward's ``*_`` passes over. Inside
    :func:`ds_core.keep_for_second` it also keeps what a second backward will need. At its end it tells
    whoever listens, see :func:`ds_core.engines.on_backward`.
    """
    taken = _taken(backward)

    @wraps(backward)
    def checked(self: Module, *grads: Any, **named: Any) -> Any:
        entry = self._stack[-1] if self._stack else None
        if taken is not None:
            _check_passed_over(self, taken, grads)
        if entry is not None:
            if entry.output is not None:
                if isinstance(entry.output, list):
                    _check_count(self, len(entry.output), grads)
                    _check_grads(self, entry.output, grads)
                elif grads:
                    _check_grads(self, entry.output, grads[0])
                entry.output = None  # once: a base class's backward may follow
            if type(self).second_backward is not Module.second_backward and note_second(self):
                self._second.append((grads[0], entry.complete()))
        try:
            grad_x = backward(self, *grads, **named)
        except Exception as error:
            explain_backward(self, grads, error)
            raise
        note_backward(self)
        if entry is None or entry.through_second is None or grad_x is None:
            return grad_x
        return grad_x + entry.through_second

    return checked


def unwrapped(module: Module) -> Module:
    """Returns what is found under a module's name: of one that recomputes, what it runs; else the module."""
    return next(module.modules())


def gradients_taken(module: Module) -> int | None:
    """Returns how many gradients a module's backward takes, before outputs it passes over; None for all."""
    return _taken(inspect.unwrap(type(unwrapped(module)).backward))


def _taken(backward: Callable[..., Any]) -> int | None:
    """Returns how many gradients come before a backward's ``*_``; None if it has none."""
    code = backward.__code__
    has_rest = code.co_flags & inspect.CO_VARARGS
    passes_over = has_rest and code.co_varnames[code.co_argcount + code.co_kwonlyargcount] == "_"
    return code.co_argcount - 1 if passes_over else None


def _check_count(module: Module, outputs: int, grads: tuple[Any, ...]) -> None:
    """Raises a ValueError if there are more gradients than outputs."""
    if len(grads) > outputs:
        raise ValueError(
            f"{module.label()}: expected at most {outputs} gradients, one for each output of forward, "
            f"got {len(grads)}"
        )


def _check_passed_over(module: Module, taken: int, grads: tuple[Any, ...]) -> None:
    """Raises a ValueError if there is a gradient after those that a backward takes."""
    for place, grad in enumerate(grads[taken:], taken):
        if grad is not None:
            raise ValueError(
                f"{module.label()}: expected None as gradient {place} from 0: that output is for looking at, "
                f"and no gradient flows through it; got {shown(grad)}"
            )


def _check_grads(module: Module, expected: Any, grad: Any) -> None:
    """Raises an error if a gradient is not like its output: in shape, type or device; None passes.

    A number passes where the output is one.

    Raises:
        TypeError: if it is no tensor, or one of another type.
        ValueError: if it has another shape, or is on another device.
    """
    if isinstance(expected, tuple):
        shape, dtype, device = expected
        if grad is None or (not shape and isinstance(grad, (int, float))):
            return
        if not isinstance(grad, Tensor):
            raise TypeError(
                f"{module.label()}: expected a gradient as a tensor of shape {tuple(shape)}, as forward's, "
                f"got {shown(grad)}"
            )
        if grad.shape != shape:
            raise ValueError(
                f"{module.label()}: expected a gradient of the shape {tuple(shape)} of what forward "
                f"gave, got {tuple(grad.shape)}"
            )
        if grad.dtype != dtype:
            raise TypeError(
                f"{module.label()}: expected a gradient of {dtype} like what forward gave, got "
                f"{grad.dtype}; convert with grad.to({dtype})"
            )
        if grad.device != device:
            raise ValueError(
                f"{module.label()}: expected a gradient on {device} like what forward gave, got one "
                f"on {grad.device}"
            )
    elif isinstance(grad, (tuple, list)) and isinstance(expected, list):
        for like, part in zip(expected, grad, strict=False):
            _check_grads(module, like, part)


def _likes(output: Any) -> Any:
    """Returns what an output's gradient must be like: shape, type and device; else None.

    That of several outputs is a list, nested as they are.
    """
    if isinstance(output, Tensor):
        return output.shape, output.dtype, output.device
    return [_likes(part) for part in output] if isinstance(output, (tuple, list)) else None


def _watch(values: Any, found: list[tuple[Tensor, int]]) -> None:
    """Adds each tensor in nested tuples and lists, with how often it was changed in place so far.

    Of one that is not kept, those that it is made of.
    """
    for value in values:
        if isinstance(value, Tensor):
            if not value.is_inference():  # nobody counts for those
                found.append((value, value._version))
        elif isinstance(value, (tuple, list)):
            _watch(value, found)
        elif isinstance(value, Remade):
            found.extend(value.watched)


def check_found(module: Module) -> None:
    """Checks that all that a module holds is found: a list may have been filled after it was assigned.

    Raises:
        TypeError: if modules or parameters are in a list, tuple or dict; says what to write.
    """
    for part in module.modules():
        for name, value in vars(part).items():
            if advice := _lost_in(value):
                raise TypeError(f"{type(part).__name__}.{name}: {advice}")


def _lost_in(value: Any) -> str:
    """Says what to write instead, where an assigned value holds weights that would not be found."""
    kind = type(value).__name__
    if isinstance(value, Tensor):
        if type(value) is not Tensor and kind == "Parameter":
            return "got torch's own Parameter, which is not found here; write ds_core.Parameter(tensor)"
    elif isinstance(value, (list, tuple, dict)):
        parts = list(value.values() if isinstance(value, dict) else value)
        if any(isinstance(part, Module) for part in parts):
            holder = "ModuleDict" if isinstance(value, dict) else "ModuleList"
            return f"got modules in a {kind}, which are not found there; write {holder}(...)"
        if any(getattr(part, "_is_parameter", False) for part in parts if isinstance(part, Tensor)):
            holder = "ParameterDict" if isinstance(value, dict) else "ParameterList"
            return f"got parameters in a {kind}, which are not found there; write {holder}(...)"
        return next(filter(None, map(_lost_in, parts)), "")
    return _of_torch(value)


def _of_torch(value: Any) -> str:
    """Says what to write instead of a module of torch; empty for anything else."""
    if isinstance(value, (Module, type)) or not (hasattr(value, "_modules") and hasattr(value, "_buffers")):
        return ""
    return (
        f"got a module of torch, {type(value).__name__}, which is not found here and has no backward of its "
        "own; use the layer of the same name from here, and load_state_dict for its weights, or put this "
        "model's to_torch() into one of torch"
    )


def _check_module(value: Any, expected: str) -> None:
    """Raises a TypeError that begins with what was expected, if a value is not a Module."""
    if not isinstance(value, Module):
        raise TypeError(f"{expected}, {_lost_in(value) or f'got {type(value).__name__}'}")


def usual_cause(got: torch.Size, expected: torch.Size) -> str:
    """Says what is usually behind a gradient of a wrong shape; empty if nothing fits."""
    if got == expected:  # then something else is wrong
        return ""
    if len(got) == 2 and got == expected[::-1]:
        return ": it is transposed; swap the two factors of the product, and transpose the other one"
    if got.numel() == expected.numel():
        return ": the numbers are as many; was a dimension of size 1 kept or dropped?"
    if len(got) > len(expected) and got[len(got) - len(expected) :] == expected:
        return ": it has a row per example; sum over the batch"
    if got.numel() < expected.numel():
        return ": it was summed over too much"
    return ""
