"""What decoding takes and gives: the state of a decoder, row by row, and the sentences found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

# One step of a decoder: the latest tokens (rows,) and the state -> log-probabilities (rows, V), new state.
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
# Takes rows of a state: the state and an index (rows,) into the old rows -> the state of the new rows.
Reorder = Callable[[Any, Tensor], Any]


class Decoded(NamedTuple):
    """The sentences that decoding found.

    Attributes:
        tokens: ``(B, T)`` int64, without ``<bos>``, each with its ``<eos>`` if it was reached, then padded.
        lengths: ``(B,)`` int64, how many tokens, ``<eos>`` included.
        scores: ``(B,)``, what was maximised: log p(sentence), or that over the length penalty.
    """

    tokens: Tensor
    lengths: Tensor
    scores: Tensor


def reorder_state(state: Any, index: Tensor) -> Any:
    """Takes rows, along dimension 0, of every tensor in a state: in tuples, lists and dicts, however nested.

    Anything with a method ``reorder(index)``, which returns the new state, takes its rows itself.

    Args:
        state: the state; None stays None.
        index: which of the old rows each new row takes, ``(rows,)`` int64. Rows may come twice or not at all.

    Raises:
        TypeError: if there is something else in the state.
    """
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state.index_select(0, index)
    if hasattr(state, "reorder"):  # a cache of keys and values, say
        return state.reorder(index)
    if isinstance(state, dict):
        return {key: reorder_state(value, index) for key, value in state.items()}
    if isinstance(state, (tuple, list)):
        taken = [reorder_state(value, index) for value in state]
        if hasattr(state, "_fields"):  # a named tuple
            return type(state)(*taken)
        return type(state)(taken)
    raise TypeError(
        "reorder_state: expected tensors, tuples, lists and dicts of them, or None, got "
        f"{type(state).__name__}; pass reorder= to say how its rows are taken"
    )
