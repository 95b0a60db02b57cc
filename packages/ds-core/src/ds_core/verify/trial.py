"""Trial: one module and its input, evaluated again and again from the same start, for each referee."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ds_core.engines import engine, keep_for_second
from ds_core.losses.loss import Loss
from ds_core.module import Module, begin_training
from ds_core.random_state import seed_torch
from ds_core.verify.comparison import largest, map_tensors, tensors

Named = dict[str, Tensor | None]

_FEW = 5  # entries of a parameter without a gradient that are looked at
_FLAT = 1e-7  # slopes below are rounding


@dataclass
class Outcome:
    """What one forward and its backward gave."""

    output: list[Tensor]
    inputs: Named  # gradient of each tensor among the inputs
    parameters: Named  # gradient of each parameter
    buffers: dict[str, Tensor]  # running statistics afterwards
    given: list[tuple[str, Tensor, Tensor]] = field(default_factory=list)  # (name, now, before)
    left: list[str] = field(default_factory=list)  # what forward saved and backward did not take
    one_gradient: bool = False  # returned by a backward, not a loss's, of several inputs


class Trial:
    """A copy of a module with its inputs and the gradient from above.

    The loss is sum(output * upstream), upstream being fixed random numbers, so that every entry of the
    output counts; a scalar :class:`Loss` is itself the loss.

    Args:
        module: stays as it is: all happens on a copy.
        inputs: positional; floating point tensors are converted to ``dtype``.
        dtype: floating point type of everything.
        seed: of upstream, and of torch's global random numbers at every start.
        device: where to compute; None for where each tensor is.

    Raises:
        TypeError: if the output is neither a tensor nor a tuple of them.
    """

    def __init__(
        self,
        module: Module,
        inputs: tuple[Any, ...],
        dtype: torch.dtype,
        seed: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self.module = module.copy().to(device, dtype)
        if module.training:
            begin_training(self.module)
        copies = map_tensors(lambda t: t.detach().clone(), inputs)
        self.inputs = map_tensors(lambda t: t.to(device, dtype if t.is_floating_point() else t.dtype), copies)
        self.device = device
        self.names = _input_names(module, inputs)
        self.dtype = dtype
        # The mean of nothing is NaN, and rightly so; anywhere else NaN is a mistake.
        self.may_be_nan = any(t.numel() == 0 for t in tensors(inputs))
        self._generators = [
            (value, value.get_state())
            for m in self.module.modules()
            for value in vars(m).values()
            if isinstance(value, torch.Generator)
        ]
        self._seed = seed
        buffers = [(m, name, getattr(m, name)) for m in self.module.modules() for name in m._buffers]
        self._buffers = [(m, name, None if b is None else b.clone()) for m, name, b in buffers]
        self.upstream = self._upstream()

    def named_inputs(self) -> list[tuple[str, Tensor]]:
        """Lists the tensors among the inputs, by name."""
        return list(zip(self.names, tensors(self.inputs), strict=True))

    def floating(self) -> list[Tensor]:
        """Lists the floating point tensors among the inputs."""
        return [t for t in tensors(self.inputs) if t.is_floating_point()]

    def depends_on(self, tensor: Tensor, eps: float, most: int) -> bool:
        """Says whether differences find that the loss depends on a parameter without a gradient."""
        if self.dtype != torch.float64 or not tensor.is_floating_point() or not tensor.numel():
            return False
        entries = list(range(min(tensor.numel(), most, _FEW)))
        return bool(entries) and largest(self.differences(tensor.detach(), entries, eps)) > _FLAT

    @torch.no_grad()  # it may be called where operations are recorded, and is no part of what is checked
    def restart(self) -> None:
        """Puts random states, running statistics and gradients back to where they began."""
        seed_torch(self._seed)
        for generator, state in self._generators:
            generator.set_state(state)
        for module, name, value in self._buffers:
            setattr(module, name, None if value is None else value.clone())
        self.module.zero_grad()

    def _upstream(self) -> list[Tensor | None]:
        """Draws dL/d(output) for every output; None for one that no gradient reaches."""
        self.restart()
        with engine("autograd"):
            output = self.module(*map_tensors(torch.clone, map_tensors(_leaf, self.inputs)))
        outputs, draw = tensors(output), torch.Generator().manual_seed(self._seed)
        if not outputs:
            raise TypeError(
                f"{self.module.label()}: expected a tensor or a tuple of tensors as output, "
                f"got {type(output).__name__}"
            )
        self.is_loss = isinstance(self.module, Loss) and isinstance(output, Tensor) and output.dim() == 0
        if self.is_loss:
            return [torch.ones_like(outputs[0]).detach()]
        reached = [y.requires_grad for y in outputs]
        draws = [torch.randn(y.shape, generator=draw, dtype=torch.float64).to(y) for y in outputs]
        return [w if hit or not any(reached) else None for w, hit in zip(draws, reached, strict=True)]

    def loss(self, output: list[Tensor]) -> Tensor:
        """Returns sum(output * upstream)."""
        pairs = zip(output, self.upstream, strict=True)
        return torch.stack([(y * w).sum() for y, w in pairs if w is not None]).sum()

    # ---- three ways to a gradient ----------------------------------------------------------------

    def manual(self, *, kernels: bool = True) -> Outcome:
        """Our own forward and backward, with fast kernels or by formulas alone."""
        self.restart()
        with engine("manual", kernels=kernels):
            outcome = self.backward(self.forward(self.inputs))
            outcome.left = [f"{len(m._stack)} left in {m.label()}" for m in self.module.modules() if m._stack]
        return outcome

    def forward(self, inputs: Any) -> tuple[Any, Any, Any]:
        """Runs forward on a copy of the inputs; returns what :meth:`backward` takes."""
        given = map_tensors(torch.clone, inputs)
        return inputs, given, self.module(*given)

    def backward(self, call: tuple[Any, Any, Any], *scale: float) -> Outcome:
        """Runs backward for one forward; a loss takes ``scale`` as the gradient from above."""
        inputs, given, output = call
        before = [y.clone() for y in tensors(output)]
        draws = iter([None if w is None else w.clone() for w in self.upstream])
        above = map_tensors(lambda _: next(draws), output)
        arguments = scale if self.is_loss else above if isinstance(output, tuple) else (above,)
        grads = self.module.backward(*arguments)
        returned = _align(self.module, inputs, grads)
        outcome = Outcome(
            before,
            dict(zip(self.names, returned, strict=True)),
            {n: None if p.grad is None else p.grad.clone() for n, p in _named(self.module)},
            {n: b.clone() for n, b in self.module.named_buffers()},
            one_gradient=isinstance(grads, Tensor)
            and sum(isinstance(one, Tensor) for one in inputs) > 1
            and not isinstance(self.module, Loss),
        )
        for now, was in zip(tensors(above), [w for w in self.upstream if w is not None], strict=True):
            outcome.given.append(("the gradient from above", now, was))
        outcome.given += [("the output", now, was) for now, was in zip(tensors(output), before, strict=True)]
        if not any(getattr(m, "inplace", False) for m in self.module.modules()):
            names = [f"the input {name}" for name in self.names]
            outcome.given += zip(names, tensors(given), tensors(inputs), strict=True)
        return outcome

    def tape(
        self, module: Any, call: Callable[..., Any] | None = None, wanted: list[bool] | None = None
    ) -> Outcome:
        """Torch's autograd through a forward: our own, or the namesake's.

        Args:
            module: whose parameters get gradients.
            call: what is called with the inputs; None for the module.
            wanted: which tensors among the inputs get a gradient; None for all that can have one.
        """
        self.restart()
        choice = iter(wanted or [True] * len(self.names))
        with engine("autograd"):
            leaves = map_tensors(lambda t: _leaf(t) if next(choice) else t, self.inputs)
            # Clones, because a layer that works in place may not write over a leaf.
            output = tensors((call or module)(*map_tensors(torch.clone, leaves)))
            if len(output) != len(self.upstream):
                raise ValueError(f"expected {len(self.upstream)} outputs, got {len(output)}")
            loss = self.loss(output)
            if loss.requires_grad:
                loss.backward()
        return Outcome(
            [y.detach() for y in output],
            {n: leaf.grad for n, leaf in zip(self.names, tensors(leaves), strict=True)},
            {n: p.grad for n, p in _named(module)},
            dict(module.named_buffers()) if hasattr(module, "named_buffers") else {},
        )

    def differences(self, tensor: Tensor, entries: list[int], eps: float) -> Tensor:
        """Central finite differences of the loss by some entries of a parameter or input, ``(entries,)``.

        Every second one runs by formulas alone, the others with kernels.
        """
        slopes = []
        for number, entry in enumerate(entries):
            with engine("manual", kernels=number % 2 == 0):
                place = torch.unravel_index(torch.tensor(entry), tensor.shape)
                value = tensor[place].item()
                tensor[place] = value + eps
                higher = self.output()
                tensor[place] = value - eps
                lower = self.output()
                tensor[place] = value
                # The difference first, then the sum: this way large outputs cost no precision.
                slopes.append(self.loss([a - b for a, b in zip(higher, lower, strict=True)]) / (2 * eps))
        return torch.stack(slopes) if slopes else tensor.new_empty(0)

    # ---- second gradients: of s = sum(v * dL/dx), v being fixed random numbers ---------------------

    def offers_second(self) -> bool:
        """Says whether the module, and all in it, has second gradients, and takes one input to one output."""
        return _offers_second(self.module) and len(self.names) == len(self.inputs) == len(self.upstream) == 1

    def direction(self) -> Tensor:
        """Draws v, shaped like x."""
        draw = torch.Generator().manual_seed(self._seed + 1)
        (x,) = self.inputs
        return torch.randn(x.shape, generator=draw, dtype=torch.float64).to(x)

    def second(self, kernels: bool = True) -> Named:
        """Our own second gradients: ds/dg, ds/dx, and ds/dp of every parameter p."""
        self.restart()
        with engine("manual", kernels=kernels), keep_for_second():
            first = self.backward(self.forward(self.inputs))
            for parameter in self.module.parameters():
                parameter.grad = None  # of the first backward: here s is differentiated, not the loss
            grad_of_grad = self.module.second_backward(self.direction())
            grad_x = self.module.backward(torch.zeros_like(first.output[0]))
        return {"g": grad_of_grad, self.names[0]: grad_x, **{n: p.grad for n, p in _named(self.module)}}

    def second_tape(self) -> Named:
        """The same by torch's autograd, through its own first gradients."""
        self.restart()
        (x,), (g,) = map_tensors(_leaf, self.inputs), map_tensors(_leaf, tuple(self.upstream))
        with engine("autograd"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using backward.. with create_graph=True")
            self.module(x.clone()).backward(g, create_graph=True, inputs=[x])
            first, x.grad = x.grad, None
            if first is not None:  # else y does not depend on x: an empty batch
                (first * self.direction()).sum().backward()
        return {"g": g.grad, self.names[0]: x.grad, **{n: p.grad for n, p in _named(self.module)}}

    def second_differences(self, tensor: Tensor, entries: list[int], eps: float) -> Tensor:
        """Central finite differences of our own first gradient, of s, by some entries of g, x or p."""
        slopes = []
        for entry in entries:
            place = torch.unravel_index(torch.tensor(entry), tensor.shape)
            value = tensor[place].item()
            first = []
            for moved in (value + eps, value - eps):
                with engine("manual"):
                    tensor[place] = moved
                    self.restart()
                    first.append(self.backward(self.forward(self.inputs)).inputs[self.names[0]])
            higher, lower = first
            assert higher is not None
            assert lower is not None
            with torch.no_grad():
                tensor[place] = value
            slopes.append(((higher - lower) * self.direction()).sum() / (2 * eps))
        return torch.stack(slopes) if slopes else tensor.new_empty(0)

    def output(self) -> list[Tensor]:
        """Our forward alone."""
        self.restart()
        with engine("manual"):
            return [y.clone() for y in tensors(self.module(*map_tensors(torch.clone, self.inputs)))]


def _offers_second(module: Module) -> bool:
    own = type(module).second_backward is not Module.second_backward
    return own and all(map(_offers_second, module.children()))


def _leaf(t: Tensor) -> Tensor:
    """Returns a copy that collects a gradient, if it can have one."""
    return t.clone().requires_grad_(t.is_floating_point())


def _named(module: Any) -> list[tuple[str, Tensor]]:
    """Lists parameters under all their names; none for a plain function."""
    if not hasattr(module, "named_parameters"):
        return []
    return list(module.named_parameters(remove_duplicate=False))


def _align(module: Module, inputs: tuple[Any, ...], returned: Any) -> list[Tensor | None]:
    """Lays what backward returned beside the tensors among the inputs; None where there is none."""
    if not isinstance(returned, tuple) or (len(inputs) == 1 and not isinstance(inputs[0], Tensor)):
        returned = (returned,)
    if len(returned) > len(inputs):
        raise ValueError(f"{module.label()}.backward: {len(returned)} gradients for {len(inputs)} inputs")
    found: list[Tensor | None] = []

    def walk(given: Any, grad: Any) -> None:
        if isinstance(given, Tensor):
            found.append(grad)
        elif isinstance(given, (tuple, list)):
            for i, part in enumerate(given):
                walk(part, grad[i] if grad is not None and i < len(grad) else None)

    walk(inputs, returned)
    return found


def _input_names(module: Module, inputs: tuple[Any, ...]) -> list[str]:
    """Names every tensor among the inputs as ``forward`` does: ``x``, ``state[0]``."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, p in inspect.signature(module.forward).parameters.items() if p.kind in kinds]
    names += [f"input {i}" for i in range(len(names), len(inputs))]

    def walk(name: str, given: Any) -> Iterator[str]:
        if isinstance(given, Tensor):
            yield name
        elif isinstance(given, (tuple, list)):
            fields = getattr(given, "_fields", None)
            for i, part in enumerate(given):
                yield from walk(f"{name}.{fields[i]}" if fields else f"{name}[{i}]", part)

    return [found for name, given in zip(names, inputs, strict=False) for found in walk(name, given)]
