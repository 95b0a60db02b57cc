"""Recurrent: what RNN, GRU and LSTM share."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, Self

import torch
from ds_core import Dropout, InputGrad, Module
from ds_core.checks import check_dtype, shape
from ds_core.initializers import Init
from torch import Tensor

from ds_rnn.functional.packing import Packing, pack, packing, sort_batch, unpack, unsort_batch
from ds_rnn.functional.recurrence import (
    Gradients,
    LoopWeights,
    Recurrence,
    Saved,
    State,
    recur,
    recur_backward,
    states_before,
)
from ds_rnn.layers.checks import check_sizes, state_parts
from ds_rnn.layers.initial import add_weights

# What a caller hands over and gets back: h, or (h, c) of an LSTM.
AnyState = Any


class Run(NamedTuple):
    """What the backward of one layer in one direction needs from its forward."""

    x: Tensor  # (rows, F)
    saved: Saved


class Recurrent(Module):
    """Base of the layers that read a sequence step by step: weights, directions, layers and padding.

    A subclass says which recurrence it runs. Weights have the names and shapes of torch.nn: ``weight_ih_l0``,
    ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``, then ``..._l0_reverse`` if bidirectional, then
    ``..._l1``.
    """

    recurrence: Recurrence
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
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self.between = Dropout(dropout, generator=generator)  # the layers
        directions = 2 if bidirectional else 1
        gates = self.recurrence.gates * hidden_size
        output = proj_size or hidden_size
        for layer in range(num_layers):
            features = input_size if layer == 0 else output * directions
            for suffix in self._suffixes(layer):
                sizes: dict[str, tuple[int, ...] | None] = {
                    f"weight_ih{suffix}": (gates, features),
                    f"weight_hh{suffix}": (gates, output),
                    f"bias_ih{suffix}": (gates,) if bias else None,
                    f"bias_hh{suffix}": (gates,) if bias else None,
                }
                if proj_size:
                    sizes[f"weight_hr{suffix}"] = (proj_size, hidden_size)
                add_weights(self, sizes, hidden_size, init, generator)

    # ---- forward and its mirror ----------------------------------------------------------------------

    def forward(
        self, x: Tensor, state: AnyState = None, lengths: Tensor | list[int] | None = None
    ) -> tuple[Tensor, AnyState]:
        x, plan, batched = self._packed(x, lengths)
        steps, batch = x.shape[0], x.shape[1]
        starts = self._starts(x, state, plan, batched)  # of each layer and direction
        rows = pack(x, plan)
        ends: list[State] = []
        runs: list[Run] = []
        for layer in range(self.num_layers):
            if layer:
                rows = self.between(rows)
            read = []
            for suffix, reverse in zip(self._suffixes(layer), (False, True), strict=False):
                output, end, run = self._read(rows, starts[len(ends)], suffix, plan, reverse)
                read.append(output)
                ends.append(end)
                runs.append(run)
            rows = read[0] if len(read) == 1 else torch.cat(read, dim=1)
        self.save(runs, plan, (steps, batch), batched, state is not None)
        output = unpack(rows, plan, steps, batch)
        return self._arranged(output, batched), self._joined(ends, plan, batched)

    def backward(self, grad: Tensor | None, grad_state: AnyState = None) -> InputGrad:
        runs, plan, (steps, batch), batched, given = self.saved()
        if grad is None:
            width = len(self._suffixes(0)) * (self.proj_size or self.hidden_size)
            grad = runs[0].x.new_zeros(steps, batch, width)
        else:
            grad = self._time_first(grad, batched)
        ends = self._end_gradients(grad, grad_state, plan)
        grad_rows: Any = pack(grad, plan)
        starts: list[State] = []
        for layer in reversed(range(self.num_layers)):
            grad_reads = grad_rows.chunk(len(self._suffixes(layer)), dim=1)
            grad_rows = None
            pairs = zip(self._suffixes(layer), grad_reads, strict=True)
            for suffix, grad_read in reversed(list(pairs)):
                grads = self._unread(grad_read, ends.pop(), suffix, runs.pop())
                starts.append(grads.state)
                if layer or self.input_grad:
                    weight = getattr(self, f"weight_ih{suffix}")
                    through = grads.gates @ weight
                    grad_rows = through if grad_rows is None else grad_rows.add_(through)
            if layer:
                grad_rows = self.between.backward(grad_rows)
        grad_x = None
        if self.input_grad:
            grad_x = self._arranged(unpack(grad_rows, plan, steps, batch), batched)
        return (grad_x, self._joined(starts[::-1], plan, batched)) if given else grad_x

    def _read(
        self, rows: Tensor, start: State, suffix: str, plan: Packing, reverse: bool
    ) -> tuple[Tensor, State, Run]:
        """Runs one layer in one direction; returns its outputs, its last state, and what backward needs."""
        bias_ih, bias_hh = getattr(self, f"bias_ih{suffix}"), getattr(self, f"bias_hh{suffix}")
        weight_ih = getattr(self, f"weight_ih{suffix}")
        apart = self.recurrence.apart
        weights = LoopWeights(
            getattr(self, f"weight_hh{suffix}"),
            bias_hh if apart else None,
            getattr(self, f"weight_hr{suffix}") if self.proj_size else None,
        )
        # The inputs' product, for all steps at once.
        if bias_ih is None:
            gates = rows @ weight_ih.T
        else:
            gates = torch.addmm(bias_ih if apart else bias_ih + bias_hh, rows, weight_ih.T)
        output, end, saved = recur(
            self.recurrence, gates, start, weights, plan.sizes, reverse, self.recording
        )
        return output, end, Run(rows, saved)

    def _unread(self, grad: Tensor, grad_end: State, suffix: str, run: Run) -> Gradients:
        """Backpropagates through time, and adds to the weights' gradients; the mirror of :meth:`_read`."""
        grads = recur_backward(self.recurrence, grad, grad_end, run.saved)
        self.add_grad(f"weight_ih{suffix}", lambda: grads.gates.T @ run.x)
        self.add_grad(f"weight_hh{suffix}", lambda: grads.recurrent.T @ states_before(run.saved))
        if self.bias:
            total = cache(lambda: grads.gates.sum(0))  # of both biases, unless the two are apart
            self.add_grad(f"bias_ih{suffix}", lambda: total().clone())
            self.add_grad(
                f"bias_hh{suffix}",
                lambda: grads.recurrent.sum(0) if self.recurrence.apart else total().clone(),
            )
        if self.proj_size:
            self.add_grad(f"weight_hr{suffix}", lambda: grads.outputs.T @ unprojected(run.saved))
        return grads

    # ---- from what a caller has to packed rows, and back ---------------------------------------------

    def _packed(self, x: Tensor, lengths: Tensor | list[int] | None) -> tuple[Tensor, Packing, bool]:
        """Checks the input; returns it as ``(T, B, F)``, how it is packed, and whether it has a batch."""
        batched = x.dim() == 3
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size:
            form = "N, L" if self.batch_first else "L, N"
            raise ValueError(
                f"{self.label()}: expected input ({form}, {self.input_size}), or (L, {self.input_size}) "
                f"without a batch, got {shape(x)}"
            )
        check_dtype(self, x, self.weight_ih_l0.dtype)
        x = self._time_first(x, batched)
        if x.shape[0] == 0:
            raise ValueError(f"{self.label()}: expected a sequence of at least 1 step, got 0")
        if lengths is not None:
            lengths = self._checked_lengths(lengths, x, batched)
        return x, packing(x.shape[0], x.shape[1], lengths), batched

    def _checked_lengths(self, lengths: Tensor | list[int], x: Tensor, batched: bool) -> Tensor | None:
        """Returns the lengths as a tensor where the input is; None if all sequences have all steps."""
        steps, batch = x.shape[0], x.shape[1]
        if not batched:
            raise ValueError(f"{self.label()}: lengths are for a batch, got one sequence, {shape(x[:, 0])}")
        lengths = torch.as_tensor(lengths, device=x.device)
        if lengths.shape != (batch,) or (lengths.is_floating_point() and batch):
            raise ValueError(
                f"{self.label()}: expected lengths ({batch},) of whole numbers, one for each sequence, got "
                f"{shape(lengths)} of {lengths.dtype}"
            )
        shortest, longest = map(int, lengths.aminmax()) if batch else (steps, steps)
        if not 1 <= shortest <= longest <= steps:
            bad = int((lengths < 1).logical_or(lengths > steps).nonzero()[0])
            raise ValueError(
                f"{self.label()}: expected lengths from 1 to {steps}, the steps of the batch, got "
                f"{int(lengths[bad])} for sequence {bad}"
            )
        return lengths if shortest < steps else None

    def _time_first(self, x: Tensor, batched: bool) -> Tensor:
        if not batched:
            return x[:, None]
        return x.transpose(0, 1) if self.batch_first else x

    def _arranged(self, output: Tensor, batched: bool) -> Tensor:
        """Brings ``(T, B, F)`` into the caller's arrangement: the inverse of :meth:`_time_first`."""
        if not batched:
            return output.squeeze(1)
        return output.transpose(0, 1) if self.batch_first else output

    def _state_sizes(self) -> list[int]:
        """Returns the widths of h and, of an LSTM, c."""
        return [self.proj_size or self.hidden_size, self.hidden_size][: self.recurrence.states]

    def _starts(self, x: Tensor, state: AnyState, plan: Packing, batched: bool) -> list[State]:
        """Returns the initial state of each layer and direction, zeros if none is given."""
        count = self.num_layers * len(self._suffixes(0))
        batch = x.shape[1]
        if state is None:
            return [tuple(x.new_zeros(batch, size) for size in self._state_sizes())] * count
        parts = state_parts(self, state, self.recurrence.states)
        for part, size, name in zip(parts, self._state_sizes(), "hc", strict=False):
            expected = (count, batch, size) if batched else (count, size)
            if tuple(part.shape) != expected:
                raise ValueError(
                    f"{self.label()}: expected initial state {name} {expected}, one for each layer and "
                    f"direction, got {shape(part)}"
                )
            check_dtype(self, part, x.dtype)
        return self._each(parts, plan)

    def _end_gradients(self, grad: Tensor, grad_state: AnyState, plan: Packing) -> list[State]:
        """Returns the gradient of the last state of each layer and direction, zeros if there is none."""
        count = self.num_layers * len(self._suffixes(0))
        zeros = [grad.new_zeros(grad.shape[1], size) for size in self._state_sizes()]
        if grad_state is None:
            return [tuple(zeros)] * count
        given = state_parts(self, grad_state, self.recurrence.states, gaps=True)
        parts = [
            zero.expand(count, -1, -1) if part is None else part
            for part, zero in zip(given, zeros, strict=True)
        ]
        return self._each(parts, plan)

    def _each(self, parts: list[Tensor], plan: Packing) -> list[State]:
        """Splits ``(layers directions, B, H)``, B or none, into the states of each, sorted as packed."""
        parts = [sort_batch(part if part.dim() == 3 else part[:, None], plan, dim=1) for part in parts]
        return list(zip(*(part.unbind(0) for part in parts), strict=True))

    def _joined(self, states: list[State], plan: Packing, batched: bool) -> AnyState:
        """Stacks the states of each layer and direction: the inverse of :meth:`_each`."""
        parts = [
            unsort_batch(torch.stack(part), plan, dim=1) for part in zip(*states, strict=True)
        ]  # (layers directions, B, H)
        if not batched:
            parts = [part.squeeze(1) for part in parts]
        return parts[0] if len(parts) == 1 else tuple(parts)

    # ---- weights -------------------------------------------------------------------------------------

    def _suffixes(self, layer: int) -> list[str]:
        """Returns what the names of a layer's weights end in, for each direction."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: 2 if self.bidirectional else 1]

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.input_grad = requires_input_grad  # not of the dropout between layers
        return self

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "proj_size": 0,
        }
        parts += [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return ", ".join(parts)


def unprojected(saved: Saved) -> Tensor:
    """Returns what the LSTM's projection took in at each step, o tanh(c), ``(rows, H)``."""
    steps = reversed(saved.steps) if saved.reverse else saved.steps
    return torch.cat([step.gates[3] * step.tanh_c for step in steps])
