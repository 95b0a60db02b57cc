"""Dataset: what loading gives, tensors together with what their numbers mean."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(eq=False)
class Dataset:
    """Holds inputs and targets, and what is known about them.

    Attributes:
        x: inputs ``(N, ...)`` float32: ``(N, features)`` for tables, ``(N, C, H, W)`` in [0, 1] for images.
        y: targets ``(N,)`` int64 for classes, ``(N,)`` or ``(N, outputs)`` float32 for numbers; None if there
            are none.
        feature_names: one for each column of x; empty for images.
        class_names: the name of each class in y; None for numbers, or if unknown.
        source: where the data come from.
        notes: everything that was left out, filled in, or turned from words into numbers.
    """

    x: Tensor
    y: Tensor | None
    feature_names: list[str] = field(default_factory=list)
    class_names: list[str] | None = None
    source: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Returns (x, y), or (x,) without targets."""
        return (self.x,) if self.y is None else (self.x, self.y)

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        """Shows the tensors, the names and the notes, a line or a few each."""
        lines = [("x", f"{tuple(self.x.shape)} {_dtype(self.x)}")]
        if self.feature_names:
            lines.append(("", listed(self.feature_names)))
        if self.y is not None:
            lines.append(("y", f"{tuple(self.y.shape)} {_dtype(self.y)}"))
        if self.class_names is not None:
            lines.append(("", f"{len(self.class_names)} classes: {listed(self.class_names)}"))
        lines += [("note", note) for note in self.notes]
        wrapped = [
            textwrap.fill(text, 100, initial_indent=f"  {word:<5}", subsequent_indent=" " * 7)
            for word, text in lines
        ]
        return "\n".join([f"Dataset({self.source})", *wrapped])


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def listed(names: list[str], most: int = 20) -> str:
    """Writes names in a row, the first ones if they are many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
