"""attention_map: which words of the source a decoder looks at while it writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ds_core.drawing import FROM_ZERO, INK, PLAIN, dress, new, shades, write
from ds_core.text.translation import Translator
from torch import Tensor

from ds_rnn.models import Seq2Seq

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_map(
    translator: Translator[Seq2Seq],
    text: str,
    translation: str | None = None,
    *,
    beam_size: int = 5,
    path: str | Path | None = None,
) -> Figure:
    """Draws where a decoder looks: a row for each token written, a column for each token read.

    Args:
        translator: with a model that has attention.
        text: what to translate.
        translation: what to watch it write; None for its own translation.
        beam_size: for its own translation.
        path: where the picture is written (``map.png``); None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ValueError: if the model has no attention, or a text has no tokens.
        ImportError: if matplotlib is missing.
    """
    if translation is None:
        (translation,) = translator.translate([text], beam_size=beam_size)
    forced = translator.forced(text, translation)
    weights = translator.model.attention_weights(forced.source, forced.source_lengths, forced.target)[0]
    return write(draw_map(weights, forced.source_tokens, forced.target_tokens), path)


def draw_map(weights: Tensor, columns: list[str], rows: list[str]) -> Figure:
    """Draws weights ``(rows, columns)`` from 0 to 1 as shades, with the tokens along both sides."""
    figure = new("", 1.6 + 0.42 * len(columns), 1.2 + 0.34 * len(rows))
    axes = figure.subplots()
    shades(axes, weights, FROM_ZERO, 0, 1, aspect="auto")
    dress(axes)
    axes.set_xticks(range(len(columns)), columns, rotation=50, ha="left", rotation_mode="anchor", **PLAIN)
    axes.set_yticks(range(len(rows)), rows, **PLAIN)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    return figure
