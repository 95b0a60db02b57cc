"""Windows of text to learn the next token from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ds_core.checks import check_number, check_whole, seeded, shape
from ds_core.data.fingerprint import fingerprint


def split_text(ids: Tensor, context: int, validation: float = 0.1) -> tuple[Tensor, Tensor]:
    """Cuts a text in two: the beginning to train on, the end to validate on.

    Args:
        ids: token ids ``(T,)``.
        context: length of the windows each part must hold at least one of.
        validation: the share of the end.

    Raises:
        ValueError: if the text is empty or either part is shorter than one window and its next token.
    """
    _check_ids("split_text", ids)
    check_whole("split_text", context=context)
    check_number("split_text", validation=validation)
    if len(ids) == 0:
        raise ValueError("split_text: the text is empty")
    if not 0 < validation < 1:
        raise ValueError(f"split_text: expected a validation share between 0 and 1, got {validation}")
    cut = round(len(ids) * (1 - validation))
    for name, part in (("training", ids[:cut]), ("validation", ids[cut:])):
        if len(part) < context + 1:
            raise ValueError(
                f"split_text: the {name} part has {len(part)} of the text's {len(ids)} tokens, but one "
                f"window of context {context} and its next token need {context + 1}; "
                "give more text or a shorter context"
            )
    return ids[:cut], ids[cut:]


class RandomWindows:
    """Endless batches of windows from random places of a text; the target is the text one token on.

    Args:
        ids: token ids ``(T,)``, of any whole type; they may lie in a file mapped into memory.
        context: tokens in a window.
        batch_size: windows in a batch.
        seed: of the places; same seed, same batches.

    Yields:
        Inputs and targets, ``(batch_size, context)`` int64 each.

    Raises:
        ValueError: if the text is shorter than one window and its next token, or a number is below 1.
    """

    endless = True  # there is no epoch to wait for

    def __init__(self, ids: Tensor, context: int, batch_size: int, seed: int = 0) -> None:
        _check_ids("RandomWindows", ids)
        check_whole("RandomWindows", context=context, batch_size=batch_size)
        if len(ids) < context + 1:
            raise ValueError(f"RandomWindows: expected at least {context + 1} tokens, got {len(ids)}")
        self.batch_size = batch_size
        self._ids = ids
        self._windows = ids.unfold(0, context + 1, 1)  # (T - context, context + 1), a view
        self._generator = seeded("RandomWindows", seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            places = torch.randint(len(self._windows), (self.batch_size,), generator=self._generator)
            window = self._windows[places].long()
            yield window[:, :-1].contiguous(), window[:, 1:].contiguous()

    def fingerprint(self) -> str:
        """Returns what tells this text from others, see :mod:`ds_core.data.fingerprint`."""
        return fingerprint([self._ids])

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the position: the state of the random places."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes to a position."""
        self._generator.set_state(state["generator"])


def sequential_windows(ids: Tensor, context: int, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """Cuts a text into windows that follow one another, for validation; a rest too short for one is left out.

    Returns:
        Batches of inputs and targets, ``(up to batch_size, context)`` each.

    Raises:
        ValueError: if the text is shorter than one window and its next token, or a number is below 1.
    """
    _check_ids("sequential_windows", ids)
    check_whole("sequential_windows", context=context, batch_size=batch_size)
    if len(ids) < context + 1:
        raise ValueError(f"sequential_windows: expected at least {context + 1} tokens, got {len(ids)}")
    count = (len(ids) - 1) // context
    inputs = ids[: count * context].view(count, context)
    targets = ids[1 : count * context + 1].view(count, context)
    return list(zip(inputs.split(batch_size), targets.split(batch_size), strict=True))


def text_streams(ids: Tensor, batch_size: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cuts a text into parallel streams, and yields them chunk by chunk, one epoch.

    Row b of a chunk goes on where row b of the chunk before ended, so a recurrent network can keep its state
    from chunk to chunk: truncated backpropagation through time. What does not fill the last chunk is left
    out.

    Args:
        ids: token ids ``(T,)``, of any whole type; they may lie in a file mapped into memory.
        batch_size: B, the number of streams.
        steps: tokens in a chunk.

    Yields:
        Inputs and targets, ``(B, steps)`` int64 each; the target is the text one token on.

    Raises:
        ValueError: if the text is shorter than one chunk of all streams and a next token, or a number is
            below 1.
    """
    _check_ids("text_streams", ids)
    check_whole("text_streams", batch_size=batch_size, steps=steps)
    length = (len(ids) - 1) // batch_size
    if length < steps:
        raise ValueError(
            f"text_streams: expected at least {batch_size * steps + 1} tokens for {batch_size} streams of "
            f"{steps} steps, got {len(ids)}"
        )
    inputs, targets = (ids[shift : shift + batch_size * length].view(batch_size, length) for shift in (0, 1))
    for begin in range(0, length - steps + 1, steps):
        yield inputs[:, begin : begin + steps].long(), targets[:, begin : begin + steps].long()


def _check_ids(who: str, ids: Tensor) -> None:
    if not isinstance(ids, Tensor) or ids.is_floating_point() or ids.dim() != 1:
        got = f"{ids.dtype} {shape(ids)}" if isinstance(ids, Tensor) else type(ids).__name__
        raise TypeError(f"{who}: expected token ids (T,), integers, got {got}")
