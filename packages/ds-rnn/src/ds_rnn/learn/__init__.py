"""The exercises of ds-rnn: steps of RNN, LSTM and GRU, backpropagation through time, attention."""

from __future__ import annotations

import torch
from ds_core.learn import Chapter, Exercise, Layer, Pair
from ds_core.verify.inputs import Inputs, normal

from ds_rnn.cells import LSTMCell, RNNCell
from ds_rnn.functional.recurrence import Weights


def _step(gates: int, states: int, nonlinearity: str | None = None) -> Inputs:
    """Draws x (3, 2), a state of width 4 and the weights of a step."""
    drawn = normal((3, 2), *[(3, 4)] * states, (4 * gates, 2), (4 * gates, 4), *[(4 * gates,)] * 2, scale=0.7)

    def inputs(g: torch.Generator) -> tuple[object, ...]:
        x, *rest = drawn(g)
        step = (x, tuple(rest[:states]), Weights(*rest[states:]))
        return step if nonlinearity is None else (*step, nonlinearity)

    return inputs


def _projected(g: torch.Generator) -> tuple[object, ...]:
    """Draws what an LSTM's step with a projection takes: h has width 3, c width 4."""
    x, h, c, ih, hh, bias_ih, bias_hh, hr = normal(
        (2, 2), (2, 3), (2, 4), (16, 2), (16, 3), (16,), (16,), (3, 4), scale=0.7
    )(g)
    return x, (h, c), Weights(ih, hh, bias_ih, bias_hh, hr)


def _hidden(g: torch.Generator) -> tuple[object, ...]:
    hidden = torch.tensor([[False, False, True, True], [False, True, False, False]])
    return torch.randn(2, 3, 4, generator=g), torch.randn(2, 4, 5, generator=g), hidden


CHAPTERS = [
    Chapter(
        30,
        "Step by step through time",
        [
            Exercise(
                "rnn-step",
                "one step of a recurrent network",
                "ds_rnn.functional.rnn:rnn_step",
                Pair(_step(1, 1), also=[_step(1, 1, "relu")]),
                hint="affine(x, weight, bias) is x W^T + b. The new state is a tuple with one tensor.",
                theory="backpropagation-through-time.md#The gradient of the state",
                formula="a = W_ih x + b_ih + W_hh h + b_hh;   h' = tanh(a), or max(a, 0); SavedStep(x, h, "
                "h', weights, "
                "nonlinearity).",
            ),
            Exercise(
                "rnn-step-backward",
                "one step back",
                "ds_rnn.functional.rnn:rnn_step_backward",
                Pair(_step(1, 1), also=[_step(1, 1, "relu")]),
                hint="First dL/da. Then everything that a is made of: x, h, two weights and two biases. "
                "What is "
                "returned: dL/dx,\n(dL/dh,) and Weights of gradients.",
                theory="backpropagation-through-time.md#The gradient of the weights",
                formula="dL/da = dL/dh' (1 - h'^2), or where h' > 0; dL/dx = dL/da W_ih, dL/dh = dL/da W_hh, "
                "dL/dW_ih = (dL/da)^T x, dL/dW_hh = (dL/da)^T h, dL/db = sum of dL/da, for both biases.",
            ),
            Exercise(
                "through-time",
                "backpropagation through time",
                "ds_rnn.cells.unrolled:Unrolled.backward",
                Layer(
                    lambda kind: kind(RNNCell(2, 3)),
                    normal((4, 2, 2)),
                    also=[normal((3, 2, 2), (2, 3))],
                    others=[lambda kind: kind(LSTMCell(2, 3))],
                    entries=4,
                ),
                hint="From the last step to the first. A state's gradient comes from its output and from "
                "the step "
                "after it.\nThe first step was given a state only if `given`: otherwise its backward "
                "returns dL/dx "
                "alone.",
                theory="backpropagation-through-time.md#The gradient of the weights",
                formula="for t = T ... 1:   dL/dx_t, dL/dh_(t-1) = cell.backward(grad[t] + dL/dh_t)",
            ),
            Exercise(
                "lstm-step",
                "gates and a memory",
                "ds_rnn.functional.lstm:lstm_step",
                Pair(_step(4, 2), also=[_projected]),
                hint="One affine map gives all four gates: cut it into i, f, g, o.",
                theory="lstm-and-gru.md#LSTM",
                formula="i, f, o by sigmoid, g by tanh; c' = f c + i g, h' = o tanh(c'), times W_hr^T with "
                "a projection; "
                "SavedStep(x, state, (i, f, g, o), tanh(c'), weights).",
            ),
            Exercise(
                "lstm-step-backward",
                "back through the gates",
                "ds_rnn.functional.lstm:lstm_step_backward",
                Pair(_step(4, 2), also=[_projected]),
                hint="dL/dc' has two parts: what comes in, and what comes through h'. Then each gate; then "
                "one affine "
                "map.",
                theory="lstm-and-gru.md#LSTM",
                formula="do = dm tanh(c'), dc' += dm o (1 - tanh(c')^2); df = dc' c, di = dc' g, dg = dc' "
                "i, dc = dc' f; "
                "da = (di i (1 - i), df f (1 - f), dg (1 - g^2), do o (1 - o)).",
            ),
            Exercise(
                "gru-step-backward",
                "back through reset and update",
                "ds_rnn.functional.gru:gru_step_backward",
                Pair(_step(3, 1)),
                hint="What the input says (a) and what the state says (m) get different gradients: r gates "
                "m_n alone.",
                theory="lstm-and-gru.md#GRU",
                formula="dn = dh' (1 - z), dz = dh' (h - n); da_n = dn (1 - n^2), dr = da_n m_n, dm_n = "
                "da_n r; "
                "da = (dr r (1 - r), dz z (1 - z), da_n), dm the same with dm_n; dh = dh' z + dm W_hh.",
            ),
        ],
    ),
    Chapter(
        31,
        "Attention over an encoder",
        [
            Exercise(
                "dot-scores-backward",
                "how well queries match keys",
                "ds_rnn.functional.attention:dot_scores_backward",
                Pair(normal((2, 3, 5), (2, 4, 5))),
                hint="S = Q K^T for each sequence of the batch.",
                theory="attention.md#Backward",
            ),
            Exercise(
                "additive-scores-backward",
                "a small network that compares",
                "ds_rnn.functional.attention:additive_scores_backward",
                Pair(normal((2, 3, 5), (2, 4, 5), (5,))),
                hint="Every query meets every key: (B, T, S, A). What is summed over for the query, the "
                "key, v?",
                theory="attention.md#Backward",
            ),
            Exercise(
                "attend",
                "weights, and the mean of the values",
                "ds_rnn.functional.attention:attend",
                Pair(_hidden, also=[normal((2, 3, 4), (2, 4, 5))]),
                hint="What is hidden has a score of minus infinity. Two results: contexts and weights.",
                theory="attention.md#Two scores",
                formula="a = softmax(scores, -inf where hidden), c = a V; ((c, a), (a, value)).",
            ),
            Exercise(
                "attend-backward",
                "back through a weighted mean",
                "ds_rnn.functional.attention:attend_backward",
                Pair(_hidden, also=[normal((2, 3, 4), (2, 4, 5))]),
                hint="The values, then the weights (from c and from a itself), then softmax.",
                theory="attention.md#Backward",
            ),
        ],
    ),
]
