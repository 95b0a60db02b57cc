"""A recurrence along whole sequences, fast.

What the input says to the gates needs no state: one matrix product gives it for all steps at once, before the
loop. In the loop remains one product with the state, and the gates' few elementwise steps. Backwards it is
the same: the slopes of the gates are found for many steps at once, the loop multiplies them by what comes
back, and then one product gives the weights' gradients over all steps.

Sequences lie *packed*, as in torch's PackedSequence: a batch sorted by length, the longest first; then all
rows of step 0, all of step 1, and so on, ``(rows, ...)``. ``sizes`` says how many each step has: a sequence
that has ended has no row any more, so no work is done on padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from ds_core.kernels import matmul
from ds_core.kernels.elementary import parts
from torch import Tensor

from ds_rnn.functional.recurrence import AllWeights, Masks, Read, State, Weights
from ds_rnn.kernels.packing import Packing, packing

# From this many steps on, the weights of what the state says are laid out anew, column by column, once for
# all: a product with them takes 0.55 to 0.95 of the time then, and the copy that of one to seven products.
TURNED_FROM = 32
# Numbers of the gates of the steps whose slopes are found together: with a quarter as many a backward takes
# 1.05 to 1.3 times as long, with four times as many just as long.
ROOM = 1 << 19


@dataclass(frozen=True, eq=False)
class Recurrence:
    """One kind of recurrence."""

    # step(sums, state, weights, out, room) -> the new state. sums, what the input says, become the gates; out
    # takes h and room, (B, H), what else the backward needs, where given.
    step: Callable[..., State]
    # slopes(taken, grad_gates, apart) -> what step_backward multiplies by, for some steps' rows. The last two
    # are memory for the gradients of what the state says, and of the last gate's input where that is another.
    slopes: Callable[..., tuple[Tensor, ...]]
    # step_backward(grad_state, weights, *slopes) -> the gradient of the state before. Where the slopes lie in
    # the memory of gradients, these are there afterwards.
    step_backward: Callable[..., State]
    # Whether the backward needs gates, and what is in their room; otherwise h, which lies in their memory.
    gated: bool = True
    # Whether what the input and what the state say to the last gate is more than added up, so that the two
    # have gradients of their own and the recurrent bias belongs into the loop.
    two_gradients: bool = False


class Taken(NamedTuple):
    """What a recurrence needs of some steps it has taken, for their slopes."""

    gates: Tensor  # (rows, gates H)
    room: Tensor  # (rows, H)
    before: list[State]  # before each of the steps


class Run(NamedTuple):
    """What the backward of one layer in one direction needs."""

    x: Tensor  # (rows, F)
    taken: Taken
    weights: Weights
    mask: Tensor | None  # (rows, P), of the dropout before the layer
    outputs: Tensor  # (rows, P), h after each step


class Saved(NamedTuple):
    """What the backward needs."""

    recurrence: Recurrence
    runs: list[list[Run]]  # of each layer and direction
    plan: Packing


# ---- sequences -----------------------------------------------------------------------------------------


def read(
    recurrence: Recurrence,
    x: Tensor,
    state: State,
    weights: AllWeights,
    lengths: Tensor | None = None,
    masks: Masks = (),
    *,
    keep: bool = True,
) -> tuple[Read, Saved]:
    """Does what :func:`ds_rnn.functional.recurrence.recurrence` does."""
    plan = packing(x.shape[0], x.shape[1], lengths)
    starts = list(zip(*(plan.sort(part).unbind(0) for part in state), strict=True))
    rows, mask = plan.pack(x), None
    ends: list[State] = []
    runs = []
    for layer, directions in enumerate(weights):
        outputs, taken = [], []
        for w, reverse in zip(directions, (False, True), strict=False):
            output, end, steps = _read(recurrence, rows, starts[len(ends)], w, plan.sizes, reverse, keep)
            outputs.append(output)
            ends.append(end)
            taken.append(Run(rows, steps, w, mask, output))
        runs.append(taken)
        rows = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
        if layer < len(masks):
            mask = plan.pack(masks[layer])
            rows = rows * mask
    end = tuple(plan.unsort(torch.stack(part)) for part in zip(*ends, strict=True))
    return (plan.unpack(rows), end), Saved(recurrence, runs, plan)


def read_backward(
    grads: Read, saved: Saved, wanted: tuple[Any, ...] | None
) -> tuple[Tensor | None, State, list[list[Weights]]]:
    """Does what :func:`ds_rnn.functional.recurrence.recurrence_backward` does.

    Args:
        grads: of the outputs and the last states.
        saved: from :func:`read`.
        wanted: whether the gradient of x is wanted, those of the first states, and those of each layer's
            and direction's weights; None for all.
    """
    recurrence, runs, plan = saved
    want_x, _, want_weights = wanted or (True, True, None)
    grad_rows = plan.pack(grads[0])
    ends = list(zip(*(plan.sort(part).unbind(0) for part in grads[1]), strict=True))
    starts: list[State] = []
    grad_weights = []
    for layer in reversed(range(len(runs))):
        parts = grad_rows.chunk(len(runs[layer]), dim=1)
        through, of_layer = None, []
        for direction in reversed(range(len(parts))):
            run = runs[layer].pop()  # let go once it has been gone through
            grad_gates, apart, grad_h, start = _read_backward(
                recurrence, parts[direction], ends.pop(), run, plan.sizes, direction == 1
            )
            starts.append(start)
            want = want_weights and want_weights[layer][direction]
            of_layer.append(_weights(grad_gates, apart, grad_h, run, direction == 1, want))
            if layer or want_x:
                if through is None:
                    through = matmul.mm(grad_gates, run.weights.ih)
                else:
                    matmul.addmm(through, grad_gates, run.weights.ih, out=through)
        grad_weights.append(of_layer[::-1])
        if through is not None:
            grad_rows = through if run.mask is None else through.mul_(run.mask)
    grad_x = plan.unpack(grad_rows) if want_x else None
    start = tuple(plan.unsort(torch.stack(part)) for part in zip(*reversed(starts), strict=True))
    return grad_x, start, grad_weights[::-1]


def _read(
    recurrence: Recurrence,
    rows: Tensor,
    state: State,
    weights: Weights,
    sizes: list[int],
    reverse: bool,
    keep: bool,
) -> tuple[Tensor, State, Taken]:
    """Runs one layer in one direction; returns h after each step, the last states, and what is kept."""
    gates = _gates(recurrence, rows, weights)
    outputs = gates.new_empty(len(gates), state[0].shape[1]) if recurrence.gated else gates
    room = gates.new_empty(len(gates) if keep and recurrence.gated else 0, state[-1].shape[1])
    rooms = room.split(sizes) if len(room) else [None] * len(sizes)
    if len(sizes) >= TURNED_FROM and sizes[0] > 1:
        weights = weights._replace(hh=weights.hh.T.contiguous().T)
    steps = []
    carry = Carry(state)
    each = list(zip(gates.split(sizes), outputs.split(sizes), rooms, strict=True))
    for sums, out, place in reversed(each) if reverse else each:
        before = carry.take(len(sums))
        carry.give(recurrence.step(sums, before, weights, out, place))
        if keep:
            steps.append(before)
    return outputs, carry.all(), Taken(gates, room, steps[::-1] if reverse else steps)


def _read_backward(
    recurrence: Recurrence, grad: Tensor, grad_end: State, run: Run, sizes: list[int], reverse: bool
) -> tuple[Tensor, Tensor | None, Tensor, State]:
    """Runs it back.

    Returns:
        The gradients of what the state says ``(rows, gates H)``, of what the input says to the last gate
        ``(rows, H)`` if that is another, of h after each step ``(rows, P)`` where it is a projection, and of
        the first states.
    """
    grad_gates, apart = _memory(recurrence, grad, run)
    keep = run.weights.hr is not None  # else one step's is written over by the next
    grad_h = grad.new_empty(len(grad) if keep else max(sizes, default=0), grad.shape[1])
    carry = Carry(grad_end)
    gates, room, before = run.taken
    for rows, steps in blocks(sizes, grad_gates.shape[1], not reverse):
        some = sizes[steps]
        taken = Taken(gates[rows], room[rows], before[steps])
        slopes = recurrence.slopes(taken, grad_gates[rows], None if apart is None else apart[rows])
        totals = grad_h[rows].split(some) if keep else [grad_h[:size] for size in some]
        each = list(zip(totals, *(x.split(some) for x in (grad[rows], *slopes)), strict=True))
        for total, of_output, *of_step in each if reverse else reversed(each):
            through_h, *others = carry.take(len(total))
            torch.add(of_output, through_h, out=total)
            carry.give(recurrence.step_backward((total, *others), run.weights, *of_step))
    return grad_gates, apart, grad_h, carry.all()


# ---- one step ------------------------------------------------------------------------------------------


def one_step(
    recurrence: Recurrence, x: Tensor, state: State, weights: Weights
) -> tuple[State, tuple[Recurrence, Run]]:
    """Does what a step's formula does."""
    gates = _gates(recurrence, x, weights)
    room = gates.new_empty(len(gates), state[-1].shape[1]) if recurrence.gated else gates
    after = recurrence.step(gates, state, weights, None, room)
    return after, (recurrence, Run(x, Taken(gates, room, [state]), weights, None, after[0]))


def one_step_backward(
    grad: State, saved: tuple[Recurrence, Run], wanted: tuple[Any, ...] | None
) -> tuple[Tensor | None, State, Weights]:
    """Does what the backward of a step's formula does."""
    recurrence, run = saved
    want_x, _, want_weights = wanted or (True, True, None)
    grad_gates, apart = _memory(recurrence, grad[0], run)
    slopes = recurrence.slopes(run.taken, grad_gates, apart)
    before = recurrence.step_backward(grad, run.weights, *slopes)
    grad_weights = _weights(grad_gates, apart, grad[0], run, False, want_weights)
    return matmul.mm(grad_gates, run.weights.ih) if want_x else None, before, grad_weights


# ---- what both share -----------------------------------------------------------------------------------


def _gates(recurrence: Recurrence, rows: Tensor, weights: Weights) -> Tensor:
    """Returns what the input says to the gates, for all steps at once, ``(rows, gates H)``."""
    if weights.bias_ih is None or weights.bias_hh is None or recurrence.two_gradients:
        return matmul.linear(rows, weights.ih, weights.bias_ih)
    return matmul.linear(rows, weights.ih, weights.bias_ih + weights.bias_hh)


def _memory(recurrence: Recurrence, grad: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
    """Returns memory for the gradients that slopes are multiplied into."""
    grad_gates = grad.new_empty(len(run.x), len(run.weights.hh))
    return grad_gates, torch.empty_like(run.taken.room) if recurrence.two_gradients else None


def _weights(
    grad_gates: Tensor, apart: Tensor | None, grad_h: Tensor, run: Run, reverse: bool, want: Any
) -> Weights:
    """Returns the gradients of the weights; ``want`` says of each whether it is wanted, None for all.

    Afterwards the gradients of the gates are those of what the input says.
    """
    ih, hh, bias_ih, bias_hh, hr = want or (weight is not None for weight in run.weights)
    grad_hh = _by_state(grad_gates, run, reverse) if hh else None
    grad_bias_hh = grad_gates.sum(0) if bias_hh else None
    if apart is not None:
        grad_gates[:, -apart.shape[1] :] = apart
    same = bias_hh and apart is None
    return Weights._make(
        (
            matmul.mm(grad_gates.T, run.x) if ih else None,
            grad_hh,
            (grad_bias_hh if same else grad_gates.sum(0)) if bias_ih else None,
            grad_bias_hh,
            matmul.mm(grad_h.T, run.taken.gates.chunk(4, 1)[3] * run.taken.room) if hr else None,  # m
        )
    )


def _by_state(grad: Tensor, run: Run, reverse: bool) -> Tensor:
    """Returns grad^T h, h being the state before each step, ``(gates H, P)``.

    Of sequences of one length that is what the last step left: the outputs, and the first state.
    """
    states = [before[0] for before in run.taken.before]
    first, rows = states[-1 if reverse else 0], len(run.outputs)
    size = len(first)
    if size * len(states) != rows:
        return matmul.mm(grad.T, in_rows(states))
    begin, after, before = (
        (grad[rows - size :], grad[: rows - size], run.outputs[size:])
        if reverse
        else (grad[:size], grad[size:], run.outputs[: rows - size])
    )
    product = matmul.mm(begin.T, first)
    return matmul.addmm(product, after.T, before, out=product)


def in_rows(steps: list[Tensor]) -> Tensor:
    """Puts the rows of all steps one below the other."""
    return steps[0] if len(steps) == 1 else torch.cat(steps)


def blocks(sizes: list[int], width: int, reverse: bool) -> Iterator[tuple[slice, slice]]:
    """Cuts the steps into blocks whose gates stay in a cache, in the order of time or against it.

    Yields:
        Which packed rows a block has, and which steps.
    """
    ends = [0, *accumulate(sizes)]
    for steps in parts(len(sizes), max(sizes, default=0) * width, ROOM)[:: -1 if reverse else 1]:
        yield slice(ends[steps.start], ends[steps.stop]), steps


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
