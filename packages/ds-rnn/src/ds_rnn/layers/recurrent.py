"""Recurrent: the constructor and the checks that RNN, GRU and LSTM share."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from ds_core import Module
from ds_core.checks import check_dtype, shape
from ds_core.initializers import Init
from ds_core.random_state import generator_now
from torch import Tensor

from ds_rnn.functional.recurrence import State, Weights
from ds_rnn.layers.checks import check_sizes, state_parts
from ds_rnn.layers.weights import add_grads, add_weights, wanted, weights_of

AnyState = Any  # what a caller hands over and gets back: h, or (h, c) of an LSTM


class Recurrent(Module):
    """Base of the layers that read a sequence step by step: their weights, and what they ask of an input.

    Weights have the names and shapes of torch.nn: ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``,
    ``bias_hh_l0``, then ``..._l0_reverse`` if bidirectional, then ``..._l1``.
    """

    gates: ClassVar[int]  # how many numbers of a step's sums belong to each number of the state
    states: ClassVar[int]  # how many tensors are carried from step to step
    weight_ih_l0: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"{name}: expected proj_size of at least 0 and below hidden_size {hidden_size}, "
                f"got {proj_size}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout: expected a probability p from 0 to 1, got {dropout}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self.generator = generator  # of dropout
        gates = self.gates * hidden_size
        width = proj_size or hidden_size
        for layer, suffixes in enumerate(self.suffixes()):
            features = input_size if layer == 0 else width * len(suffixes)
            for suffix in suffixes:
                sizes: dict[str, tuple[int, ...] | None] = {
                    f"weight_ih{suffix}": (gates, features),
                    f"weight_hh{suffix}": (gates, width),
                    f"bias_ih{suffix}": (gates,) if bias else None,
                    f"bias_hh{suffix}": (gates,) if bias else None,
                }
                if proj_size:
                    sizes[f"weight_hr{suffix}"] = (proj_size, hidden_size)
                add_weights(self, sizes, hidden_size, init, generator, device, dtype)

    # ---- weights, and what is drawn ------------------------------------------------------------------

    def suffixes(self) -> list[list[str]]:
        """Lists what the names of the weights end in, of each layer and direction."""
        directions = ["", "_reverse"] if self.bidirectional else [""]
        return [[f"_l{layer}{direction}" for direction in directions] for layer in range(self.num_layers)]

    def weights(self) -> list[list[Weights]]:
        """Lists the weights of each layer and direction."""
        return [[weights_of(self, suffix) for suffix in layer] for layer in self.suffixes()]

    def wanted(self, given: bool) -> tuple[Any, ...]:
        """Says which gradients are wanted: of the input, of a given state, of each weight."""
        return self.input_grad, given, [[wanted(weights) for weights in layer] for layer in self.weights()]

    def add_grads(self, grads: list[list[Weights]]) -> None:
        """Adds the weights' gradients."""
        for suffixes, of_layer in zip(self.suffixes(), grads, strict=True):
            for suffix, of_direction in zip(suffixes, of_layer, strict=True):
                add_grads(self, of_direction, suffix)

    def masks(self, x: Tensor) -> list[Tensor]:
        """Draws what is dropped between the layers: 0 or 1 / (1 - p), ``(L, N, directions H)`` each."""
        if not self.training or self.dropout == 0:
            return []
        size = (*x.shape[:2], (2 if self.bidirectional else 1) * (self.proj_size or self.hidden_size))
        scale = 1 / (1 - self.dropout) if self.dropout < 1 else 0.0
        # Drawn in float32 whatever x is: one seed drops the same numbers at every precision.
        source = generator_now(self.generator)
        draws = [
            torch.rand(size, device=x.device, dtype=torch.float32, **source)
            for _ in range(self.num_layers - 1)
        ]
        return [(draw >= self.dropout).to(x.dtype) * scale for draw in draws]

    # ---- what a caller gives, checked, and as a caller has it -----------------------------------------

    def checked(
        self, x: Tensor, state: AnyState, lengths: Tensor | list[int] | None
    ) -> tuple[Tensor, State, Tensor | None]:
        """Checks what forward is given.

        Returns:
            x ``(L, N, F)``, the first state with a dimension N, and lengths, None if all have all steps.
        """
        if hasattr(x, "batch_sizes"):
            raise TypeError(
                f"{self.label()}: expected input to be a tensor, got a PackedSequence; give the padded "
                "tensor, and how long its sequences are as lengths="
            )
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size:
            form = "N, L" if self.batch_first else "L, N"
            raise ValueError(
                f"{self.label()}: expected input ({form}, {self.input_size}), or (L, {self.input_size}) "
                f"without a batch, got {shape(x)}"
            )
        check_dtype(self, x, self.weight_ih_l0.dtype)
        steps_first = self.steps_first(x)
        if steps_first.shape[0] == 0:
            raise ValueError(f"{self.label()}: expected a sequence of at least 1 step, got 0")
        if lengths is not None:
            lengths = self._lengths(lengths, x, steps_first.shape[0])
        return steps_first, self._state(x, steps_first.shape[1], state), lengths

    def _lengths(self, lengths: Tensor | list[int], x: Tensor, steps: int) -> Tensor | None:
        if x.dim() == 2:
            raise ValueError(f"{self.label()}: lengths are for a batch, got one sequence, {shape(x)}")
        batch = x.numel() // max(1, steps * self.input_size)
        lengths = torch.as_tensor(lengths, device=x.device)
        whole = not lengths.is_floating_point() and lengths.dtype != torch.bool
        if lengths.shape != (batch,) or not (whole or batch == 0):
            raise ValueError(
                f"{self.label()}: expected lengths ({batch},) of whole numbers, one for each sequence, got "
                f"{shape(lengths)} of {lengths.dtype}"
            )
        if torch.compiler.is_compiling():  # looking at numbers would break the graph
            return lengths
        shortest, longest = torch.stack(lengths.aminmax()).tolist() if batch else (steps, steps)
        if not 1 <= shortest <= longest <= steps:
            bad = int((lengths < 1).logical_or(lengths > steps).nonzero()[0])
            raise ValueError(
                f"{self.label()}: expected lengths from 1 to {steps}, the steps of the batch, got "
                f"{int(lengths[bad])} for sequence {bad}"
            )
        return lengths if shortest < steps else None

    def _state(self, x: Tensor, batch: int, state: AnyState) -> State:
        count = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [self.proj_size or self.hidden_size, self.hidden_size][: self.states]
        if state is None:
            return tuple(x.new_zeros(count, batch, size) for size in sizes)
        parts = state_parts(self, state, self.states)
        for part, size, name in zip(parts, sizes, "hc", strict=False):
            expected = (count, batch, size) if x.dim() == 3 else (count, size)
            if tuple(part.shape) != expected:
                raise ValueError(
                    f"{self.label()}: expected initial state {name} {expected}, one for each layer and "
                    f"direction, got {shape(part)}"
                )
            check_dtype(self, part, x.dtype)
        return tuple(part if x.dim() == 3 else part[:, None] for part in parts)

    def steps_first(self, x: Tensor) -> Tensor:
        """Lays a caller's sequences out as ``(L, N, ...)``."""
        if x.dim() == 2:
            return x[:, None]
        return x.transpose(0, 1) if self.batch_first else x

    def as_given(self, x: Tensor | None, state: State | None, batched: bool) -> tuple[Any, AnyState]:
        """Lays sequences ``(L, N, ...)`` and states out as a caller has them; None stays None."""
        if x is not None:
            x = x.squeeze(1) if not batched else x.transpose(0, 1) if self.batch_first else x
        if state is None:
            return x, None
        parts = tuple(part if batched else part.squeeze(1) for part in state)
        return x, parts[0] if len(parts) == 1 else parts

    def gradients(
        self, grad: Tensor | None, grad_state: AnyState, size: tuple[int, ...]
    ) -> tuple[Tensor, State]:
        """Returns the gradients of outputs of a size ``(L, N, ...)`` and of the last states, 0 for None."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [self.proj_size or self.hidden_size, self.hidden_size][: self.states]
        zeros = self.weight_ih_l0.new_zeros
        given: list[Tensor | None] = [None] * self.states
        if grad_state is not None:
            given = state_parts(self, grad_state, self.states, gaps=True)
        parts = [
            zeros(count, size[1], width) if part is None else part if part.dim() == 3 else part[:, None]
            for part, width in zip(given, sizes, strict=True)
        ]
        return zeros(size) if grad is None else self.steps_first(grad), tuple(parts)

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "num_layers": 1,
            "nonlinearity": "tanh",
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "proj_size": 0,
        }
        given = {name: getattr(self, name, default) for name, default in defaults.items()}
        return ", ".join(
            parts + [f"{name}={value!r}" for name, value in given.items() if value != defaults[name]]
        )
