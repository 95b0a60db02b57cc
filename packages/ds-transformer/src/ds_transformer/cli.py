"""The command line: ``ds-transformer train translator``, ``ds-transformer translate`` and ``eval``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds_core.cli import clear_errors
from ds_core.cli.translator import translator_command_line
from ds_core.text.translation import Translator

from ds_transformer import __version__, train
from ds_transformer.models import TransformerTranslator

if TYPE_CHECKING:
    from typer import Typer


def draw(translator: Translator[TransformerTranslator], text: str, written: str, path: Path) -> Any:
    """Writes where each head of each layer looked at the source."""
    from ds_transformer.visualize import draw_attention

    forced = translator.forced(text, written)
    maps = translator.model.attention_weights(forced.source, forced.source_lengths, forced.target).cross
    return draw_attention(
        maps[0], forced.source_tokens, forced.target_tokens, title="Where the decoder looks", path=path
    )


def command_line() -> Typer:
    """Makes the command line; :func:`main` runs it."""
    about = "Transformers whose every gradient is written by hand."
    return translator_command_line("ds-transformer", __version__, about, train, TransformerTranslator, draw)


def main() -> None:
    """Runs ``ds-transformer``."""
    with clear_errors():
        app = command_line()
    app()
