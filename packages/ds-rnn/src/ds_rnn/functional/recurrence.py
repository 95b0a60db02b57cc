"""A recurrence run over a whole sequence, and backpropagation through time below it.

What the input says to the gates needs no state: one matrix product gives it for all steps at once, before the
loop. In the loop remains one product with the state, and the gates' few elementwise steps. Backwards it is
the same: the loop finds the gradients of the gates, and then one product gives the weights' gradients over
all steps.

Sequences lie *packed*, as in torch's PackedSequence: a batch sorted by length, the longest first; then all
rows of step 0, all of step 1, and so on, ``(rows, ...)``. ``sizes`` says how many each step has: a sequence
that has ended has no row any more, so no work is done on padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

# (h,), or (h, c) of an LSTM; (B, H) each.
State = tuple[Tensor, ...]


class LoopWeights(NamedTuple):
    """The weights inside the loop."""

    hh: Tensor  # (gates H, H)
    bias_hh: Tensor | None = None  # (gates H,), if it is added inside the loop
    hr: Tensor | None = None  # (P, H), the LSTM's projection


@dataclass(frozen=True)
class Recurrence:
    """One kind of recurrence.

    Attributes:
        gates: how many numbers of a step's gates belong to each number of the state.
        states: how many tensors are carried from step to step.
        step: ``step(gates, state, weights, out)`` -> the new state, and what the backward needs.
        step_backward: ``step_backward(grad, saved, weights, grad_gates, grad_recurrent)`` -> the gradient of
            the state before; writes the gradients of the two contributions to the gates.
        apart: whether what the input and what the state say to the gates is more than added up, so that the
            two have gradients of their own and the recurrent bias belongs into the loop.
    """

    gates: int
    states: int
    step: Callable[..., tuple[State, Any]]
    step_backward: Callable[..., State]
    apart: bool = False


class Saved(NamedTuple):
    """What backpropagation through time needs from the forward."""

    steps: list[Any]  # of each step, in the order in which they were taken
    weights: LoopWeights
    sizes: Sequence[int]
    reverse: bool


class Gradients(NamedTuple):
    """What backpropagation through time gives."""

    gates: Tensor  # (rows, gates H), of what the input says
    recurrent: Tensor  # (rows, gates H), of what the state says; the same tensor unless the two are apart
    outputs: Tensor  # (rows, P), of h after each step, by all ways
    state: State  # of the initial state


def recur(
    recurrence: Recurrence,
    gates: Tensor,
    state: State,
    weights: LoopWeights,
    sizes: Sequence[int],
    reverse: bool = False,
    keep: bool = True,
) -> tuple[Tensor, State, Saved]:
    """Runs a recurrence over packed sequences.

    h_t, c_t = step(a_t, h_(t-1), c_(t-1)),   t = 1 ... T;   from T to 1 in reverse

    Args:
        recurrence: which one.
        gates: a, what the inputs say to the gates, ``(rows, gates H)``; written over, unless torch's tape
            records.
        state: before the first step, ``(B, H)`` each.
        weights: inside the loop.
        sizes: how many sequences each step has, never rising.
        reverse: whether time runs backwards, from the end of each sequence.
        keep: whether the backward will be wanted.

    Returns:
        h after each step ``(rows, P)``, the state after the last step of each sequence, and what the backward
        needs.
    """
    taped = torch.is_grad_enabled()
    outputs = gates.new_empty(len(gates), state[0].shape[1])
    written, steps = [], []
    carry = Carry(state)
    for rows in spans(sizes, reverse):
        before = carry.take(rows.stop - rows.start)
        after, saved = recurrence.step(gates[rows], before, weights, None if taped else outputs[rows])
        carry.give(after)
        if taped:
            written.append(after[0])
        elif keep:
            steps.append(saved)
    if taped:
        outputs = torch.cat(written[::-1] if reverse else written)
    return outputs, carry.all(), Saved(steps, weights, sizes, reverse)


def recur_backward(
    recurrence: Recurrence, grad_outputs: Tensor, grad_state: State, saved: Saved
) -> Gradients:
    """Backpropagation through time: the steps of :func:`recur` taken back, the last one first.

    dL/dh_t = (dL/dh_t directly) + (dL/dh_t through step t + 1)

    Args:
        recurrence: as in the forward.
        grad_outputs: of h after each step, ``(rows, P)``.
        grad_state: of the last states, ``(B, H)`` each.
        saved: from the forward.

    Source: Werbos, Backpropagation Through Time: What It Does and How to Do It (1990).
    """
    grad_gates = grad_outputs.new_empty(len(grad_outputs), len(saved.weights.hh))
    grad_recurrent = torch.empty_like(grad_gates) if recurrence.apart else grad_gates
    grad_h = torch.empty_like(grad_outputs)
    carry = Carry(grad_state)
    for rows, step in zip(spans(saved.sizes, not saved.reverse), reversed(saved.steps), strict=True):
        through_h, *others = carry.take(rows.stop - rows.start)
        total = torch.add(grad_outputs[rows], through_h, out=grad_h[rows])
        carry.give(
            recurrence.step_backward(
                (total, *others), step, saved.weights, grad_gates[rows], grad_recurrent[rows]
            )
        )
    return Gradients(grad_gates, grad_recurrent, grad_h, carry.all())


def states_before(saved: Saved) -> Tensor:
    """Returns h before each step, ``(rows, P)``."""
    return torch.cat([step.h_before for step in (reversed(saved.steps) if saved.reverse else saved.steps)])


def spans(sizes: Sequence[int], reverse: bool) -> Iterator[slice]:
    """Yields which packed rows belong to each step, in the order of time or against it."""
    end = 0
    steps = [slice(end, end := end + size) for size in sizes]
    return reversed(steps) if reverse else iter(steps)


class Carry:
    """The state on its way through the steps, while sequences leave and join.

    Walking forward in time, sequences end, the last rows of the batch first: what they leave behind is put
    aside. Walking backward in time, they join in, with what was waiting for them. A gradient walks the other
    way, so what was left by the one joins the other.

    Args:
        waiting: what each sequence begins with, ``(B, ...)`` each.
    """

    def __init__(self, waiting: State) -> None:
        self.waiting = waiting
        self.now = tuple(tensor[:0] for tensor in waiting)
        self.left: list[State] = []
        self.begun = False

    def take(self, size: int) -> State:
        """Returns the state of the first ``size`` sequences."""
        have = len(self.now[0])
        if not self.begun:
            self.begun = True
            self.now = tuple(tensor[:size] for tensor in self.waiting)
        elif size < have:
            self.left.append(tuple(tensor[size:] for tensor in self.now))
            self.now = tuple(tensor[:size] for tensor in self.now)
        elif size > have:
            joined = zip(self.now, self.waiting, strict=True)
            self.now = tuple(torch.cat([tensor, new[have:size]]) for tensor, new in joined)
        return self.now

    def give(self, state: State) -> None:
        """Takes the state back, one step on."""
        self.now = state

    def all(self) -> State:
        """Returns what each sequence ended with."""
        if not self.left:
            return self.now
        return tuple(torch.cat(parts) for parts in zip(self.now, *reversed(self.left), strict=True))
