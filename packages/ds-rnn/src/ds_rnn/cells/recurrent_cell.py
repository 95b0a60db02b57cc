"""RecurrentCell: what RNNCell, GRUCell and LSTMCell share."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import InputGrad, Module
from ds_core.checks import check_dtype, check_features, shape
from ds_core.initializers import Init
from torch import Tensor

from ds_rnn.functional.recurrence import LoopWeights, Recurrence
from ds_rnn.layers.checks import check_sizes, state_parts
from ds_rnn.layers.initial import add_weights


class RecurrentCell(Module):
    """Base of the cells: one step of a recurrence, with the weights of torch.nn.

    A cell called again and again, each time with the state it gave, is a recurrent network; its backward,
    called as often, is backpropagation through time. :class:`Unrolled` does just that.
    """

    recurrence: Recurrence
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        gates = self.recurrence.gates * hidden_size
        sizes: dict[str, tuple[int, ...] | None] = {
            "weight_ih": (gates, input_size),
            "weight_hh": (gates, hidden_size),
            "bias_ih": (gates,) if bias else None,
            "bias_hh": (gates,) if bias else None,
        }
        add_weights(self, sizes, hidden_size, init, generator)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        check_features(self, x, self.input_size, self.weight_ih)
        if x.dim() not in (1, 2):
            raise ValueError(
                f"{self.label()}: expected input (N, {self.input_size}), or ({self.input_size},) without "
                f"a batch, got {shape(x)}"
            )
        batched = x.dim() == 2
        rows = x if batched else x[None]  # (N, F)
        parts = self._parts(rows, state, batched)
        apart = self.recurrence.apart
        weights = LoopWeights(self.weight_hh, self.bias_hh if apart else None)
        if self.bias_ih is None or self.bias_hh is None:
            gates = rows @ self.weight_ih.T
        else:
            bias = self.bias_ih if apart else self.bias_ih + self.bias_hh
            gates = torch.addmm(bias, rows, self.weight_ih.T)
        after, saved = self.recurrence.step(gates, parts, weights)
        self.save(rows, saved, batched, state is not None)
        return self._given(after, batched)

    def backward(self, *grad: Tensor | None) -> InputGrad:
        x, saved, batched, given = self.saved()
        gaps = [None] * (self.recurrence.states - len(grad))
        above = tuple(
            x.new_zeros(len(x), self.hidden_size) if part is None else part if batched else part[None]
            for part in (*grad, *gaps)
        )
        grad_gates = x.new_empty(len(x), len(self.weight_hh))
        grad_recurrent = torch.empty_like(grad_gates) if self.recurrence.apart else grad_gates
        before = self.recurrence.step_backward(
            above, saved, LoopWeights(self.weight_hh), grad_gates, grad_recurrent
        )
        self.add_grad("weight_ih", lambda: grad_gates.T @ x)
        self.add_grad("weight_hh", lambda: grad_recurrent.T @ saved.h_before)
        self.add_grad("bias_ih", lambda: grad_gates.sum(0))
        self.add_grad("bias_hh", lambda: grad_recurrent.sum(0))
        grad_x = None
        if self.input_grad:
            grad_x = grad_gates @ self.weight_ih
            grad_x = grad_x if batched else grad_x[0]
        return (grad_x, self._given(before, batched)) if given else grad_x

    def _parts(self, rows: Tensor, state: Any, batched: bool) -> tuple[Tensor, ...]:
        """Returns h, or h and c, ``(N, H)`` each; zeros if none is given."""
        count = self.recurrence.states
        if state is None:
            return tuple(rows.new_zeros(len(rows), self.hidden_size) for _ in range(count))
        parts = state_parts(self, state, count)
        expected = (len(rows), self.hidden_size) if batched else (self.hidden_size,)
        if any(tuple(part.shape) != expected for part in parts):
            what = "state" if count == 1 else "a pair (h, c), each"
            shapes = ", ".join(shape(part) for part in parts)
            raise ValueError(f"{self.label()}: expected {what} {expected}, got {shapes}")
        for part in parts:
            check_dtype(self, part, rows.dtype)
        return tuple(part if batched else part[None] for part in parts)

    def _given(self, state: tuple[Tensor, ...], batched: bool) -> Any:
        """Returns the state as a caller has it: h, or (h, c)."""
        parts = tuple(part if batched else part[0] for part in state)
        return parts[0] if len(parts) == 1 else parts

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias_ih is not None else ", bias=False")
