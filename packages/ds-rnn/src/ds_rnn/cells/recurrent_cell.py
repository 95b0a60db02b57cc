"""RecurrentCell: the constructor and the checks that RNNCell, GRUCell and LSTMCell share."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from ds_core import Module
from ds_core.checks import check_dtype, check_features, shape
from ds_core.initializers import Init
from torch import Tensor

from ds_rnn.functional.recurrence import State, Weights
from ds_rnn.layers.checks import check_sizes, state_parts
from ds_rnn.layers.weights import add_grads, add_weights, wanted


class RecurrentCell(Module):
    """Base of the cells: one step of a recurrence, with the weights of torch.nn.

    A cell called again and again, each time with the state it gave, is a recurrent network; its backward,
    called as often, is backpropagation through time. :class:`Unrolled` does just that.
    """

    gates: ClassVar[int]  # how many numbers of a step's sums belong to each number of the state
    states: ClassVar[int]  # how many tensors are carried from step to step
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = self.gates * hidden_size
        sizes: dict[str, tuple[int, ...] | None] = {
            "weight_ih": (gates, input_size),
            "weight_hh": (gates, hidden_size),
            "bias_ih": (gates,) if bias else None,
            "bias_hh": (gates,) if bias else None,
        }
        add_weights(self, sizes, hidden_size, init, generator, device, dtype)

    def weights(self) -> Weights:
        """Returns the weights."""
        return Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def wanted(self, given: bool) -> tuple[Any, ...]:
        """Says which gradients are wanted: of the input, of a given state, of each weight."""
        return self.input_grad, given, wanted(self.weights())

    def add_grads(self, grads: Weights) -> None:
        """Adds the weights' gradients."""
        add_grads(self, grads)

    def checked(self, x: Tensor, state: Any) -> tuple[Tensor, State]:
        """Checks what forward is given; returns x and the state, zeros if none is given, with a batch."""
        check_features(self, x, self.input_size, self.weight_ih)
        if x.dim() not in (1, 2):
            raise ValueError(
                f"{self.label()}: expected input (N, {self.input_size}), or ({self.input_size},) without "
                f"a batch, got {shape(x)}"
            )
        batched = x.dim() == 2
        rows = x if batched else x[None]  # (N, F)
        if state is None:
            return rows, tuple(rows.new_zeros(len(rows), self.hidden_size) for _ in range(self.states))
        parts = state_parts(self, state, self.states)
        expected = (len(rows), self.hidden_size) if batched else (self.hidden_size,)
        if any(tuple(part.shape) != expected for part in parts):
            what = "state" if self.states == 1 else "a pair (h, c), each"
            shapes = ", ".join(shape(part) for part in parts)
            raise ValueError(f"{self.label()}: expected {what} {expected}, got {shapes}")
        for part in parts:
            check_dtype(self, part, rows.dtype)
        return rows, tuple(part if batched else part[None] for part in parts)

    def gradients(self, grads: tuple[Tensor | None, ...], size: int) -> State:
        """Returns the gradients of the states, ``(N, H)`` each, 0 for None."""
        zeros = self.weight_hh.new_zeros
        return tuple(
            zeros(size, self.hidden_size) if grad is None else grad if grad.dim() == 2 else grad[None]
            for grad in grads
        )

    def as_given(self, state: State, batched: bool) -> Any:
        """Returns the state as a caller has it: h, or (h, c), with a batch or without."""
        parts = tuple(part if batched else part[0] for part in state)
        return parts[0] if len(parts) == 1 else parts

    def extra_repr(self) -> str:
        bias = "" if self.bias_ih is not None else ", bias=False"
        relu = "" if getattr(self, "nonlinearity", "tanh") == "tanh" else ", nonlinearity='relu'"
        return f"{self.input_size}, {self.hidden_size}{bias}{relu}"
