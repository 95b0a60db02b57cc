"""The book: every formula as a plain pair of functions, forward and backward, one above the other.

``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``
"""

from ds_rnn.functional.attention import (
    additive_scores,
    additive_scores_backward,
    attend,
    attend_backward,
    dot_scores,
    dot_scores_backward,
)
from ds_rnn.functional.gru import gru, gru_backward, gru_step, gru_step_backward
from ds_rnn.functional.lstm import lstm, lstm_backward, lstm_step, lstm_step_backward
from ds_rnn.functional.rnn import rnn, rnn_backward, rnn_step, rnn_step_backward

__all__ = [
    "additive_scores",
    "additive_scores_backward",
    "attend",
    "attend_backward",
    "dot_scores",
    "dot_scores_backward",
    "gru",
    "gru_backward",
    "gru_step",
    "gru_step_backward",
    "lstm",
    "lstm_backward",
    "lstm_step",
    "lstm_step_backward",
    "rnn",
    "rnn_backward",
    "rnn_step",
    "rnn_step_backward",
]
