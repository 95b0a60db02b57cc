"""A step, of an LSTM, say, taken along whole sequences, and backpropagation through time below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

State = tuple[Tensor, ...]  # (h,), or (h, c) of an LSTM; (B, P) and (B, H)


class Weights(NamedTuple):
    """Of one layer in one direction, or their gradients."""

    ih: Tensor  # (gates H, F)
    hh: Tensor  # (gates H, P)
    bias_ih: Tensor | None = None  # (gates H,)
    bias_hh: Tensor | None = None
    hr: Tensor | None = None  # (P, H), an LSTM's projection; without it P = H


AllWeights = Sequence[Sequence[Weights]]  # of each layer and direction
Masks = Sequence[Tensor]  # (T, B, directions P) each
Read = tuple[Tensor, State]  # h after each step (T, B, ...), and the last state; or their gradients
Step = Callable[..., tuple[State, Any]]  # (x, state, weights) -> state, saved
StepBackward = Callable[..., tuple[Tensor, State, Weights]]  # (grad_state, saved) -> grads


class Saved(NamedTuple):
    """What backpropagation through time needs."""

    steps: list[list[list[Any]]]  # what each step saved, of each layer and direction, in the order of time
    there: Tensor | None  # (T, B, 1), whether a sequence has that step; None if all have all
    masks: Masks


def recurrence(
    step: Step, x: Tensor, state: State, weights: AllWeights, lengths: Tensor | None, masks: Masks
) -> tuple[Read, Saved]:
    """Reads sequences, layer on layer; two directions of a layer put their outputs side by side.

    Args:
        step: the first function of a step's pair.
        x: ``(T, B, F)``.
        state: before the first step, ``(layers directions, B, P)`` and, of an LSTM, ``(..., H)``.
        weights: of each layer and direction.
        lengths: ``(B,)``: what comes later in a sequence is padding, its output 0; None if all have T.
        masks: dropout of each layer's output but the last's, 0 or 1 / (1 - p), ``(T, B, directions P)``.

    Returns:
        h after each step of the last layer ``(T, B, directions P)``, and the last states, shaped like state.
    """
    there = None
    if lengths is not None:
        there = torch.arange(len(x), device=x.device)[:, None, None] < lengths[:, None]  # (T, B, 1)
        x = torch.where(there, x, 0)  # whatever stands in the padding
    starts, ends, steps = list(zip(*state, strict=True)), [], []
    for layer, directions in enumerate(weights):
        reads = [
            _read(step, x, starts[layer * len(directions) + d], w, there, reverse=d == 1)
            for d, w in enumerate(directions)
        ]
        x = torch.cat([output for output, _, _ in reads], dim=2)  # (T, B, directions P)
        x = x * masks[layer] if layer < len(masks) else x
        ends += [end for _, end, _ in reads]
        steps.append([taken for _, _, taken in reads])
    return (x, tuple(map(torch.stack, zip(*ends, strict=True)))), Saved(steps, there, masks)


def recurrence_backward(
    step_backward: StepBackward, grads: Read, saved: Saved
) -> tuple[Tensor, State, AllWeights]:
    """Returns the gradients of x, the first states and the weights.

    Source: Werbos, Backpropagation Through Time: What It Does and How to Do It (1990).
    """
    steps, there, masks = saved
    grad, grad_state = grads
    ends = list(zip(*grad_state, strict=True))
    reads: list[list[Any]] = [[] for _ in steps]
    for layer, taken in reversed(list(enumerate(steps))):
        grad = grad * masks[layer] if layer < len(masks) else grad  # x = x masks
        parts = grad.chunk(len(taken), dim=2)  # x = cat(outputs)
        reads[layer] = [
            _read_backward(step_backward, (parts[d], ends[layer * len(taken) + d]), taken[d], there, d == 1)
            for d in range(len(taken))
        ]
        grad = torch.stack([grad_x for grad_x, _, _ in reads[layer]]).sum(0)  # both directions read x
    starts = [start for each in reads for _, start, _ in each]
    return grad, tuple(map(torch.stack, zip(*starts, strict=True))), [[w for *_, w in each] for each in reads]


def _read(
    step: Step, x: Tensor, state: State, weights: Weights, there: Tensor | None, reverse: bool
) -> tuple[Tensor, State, list[Any]]:
    """h_t, c_t = step(x_t, h_(t-1), c_(t-1)),   t = 1 ... T;   from T to 1 in reverse."""
    outputs, steps = [], []
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        after, saved = step(x[t], state, weights)
        state = _where(there, t, after, state)  # a sequence that is not there keeps its state
        outputs.append(state[0])
        steps.append(saved)
    output = torch.stack(outputs[::-1] if reverse else outputs)
    output = output if there is None else torch.where(there, output, 0)
    return output, state, steps[::-1] if reverse else steps


def _read_backward(
    step_backward: StepBackward, grads: Read, steps: list[Any], there: Tensor | None, reverse: bool
) -> tuple[Tensor, State, Weights]:
    """dL/dh_t = (dL/dh_t of the output) + (dL/dh_t through the step after it),   dL/dW = sum over t."""
    grad, grad_state = grads
    grad = grad if there is None else torch.where(there, grad, 0)  # output = where(there, output, 0)
    zeros = tuple(map(torch.zeros_like, grad_state))
    grad_xs: list[Tensor] = []
    total: Any = None
    for t in range(len(grad)) if reverse else reversed(range(len(grad))):
        grad_state = (grad[t] + grad_state[0], *grad_state[1:])  # outputs.append(state[0])
        grad_after = _where(there, t, grad_state, zeros)  # state = where(there, after, state)
        grad_x, grad_before, grad_weights = step_backward(grad_after, steps[t])
        grad_state = _where(there, t, grad_before, grad_state)
        grad_xs.append(grad_x)
        total = grad_weights if total is None else _sum(total, grad_weights)
    return torch.stack(grad_xs if reverse else grad_xs[::-1]), grad_state, total


def _where(there: Tensor | None, t: int, yes: State, no: State) -> State:
    if there is None:
        return yes
    return tuple(torch.where(there[t], a, b) for a, b in zip(yes, no, strict=True))


def _sum(a: Weights, b: Weights) -> Weights:
    return Weights._make(None if x is None or y is None else x + y for x, y in zip(a, b, strict=True))


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Returns x W^T + b."""
    return x @ weight.T if bias is None else x @ weight.T + bias


def sigmoid(x: Tensor) -> Tensor:
    """Returns 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, in which nothing overflows."""
    return (1 + torch.tanh(x / 2)) / 2
