"""The command line: ``ds-rnn train translator``, ``ds-rnn translate`` and ``ds-rnn eval``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds_core.cli import clear_errors
from ds_core.cli.translator import translator_command_line
from ds_core.text.translation import Translator

from ds_rnn import __version__, train
from ds_rnn.models import Seq2Seq

if TYPE_CHECKING:
    from typer import Typer


def draw(translator: Translator[Seq2Seq], text: str, written: str, path: Path) -> Any:
    """Writes where the decoder looked."""
    from ds_rnn.visualize import attention_map

    return attention_map(translator, text, written, path=path)


def command_line() -> Typer:
    """Makes the command line; :func:`main` runs it."""
    about = "Recurrent networks whose every gradient is written by hand."
    return translator_command_line("ds-rnn", __version__, about, train, Seq2Seq, draw)


def main() -> None:
    """Runs ``ds-rnn``."""
    with clear_errors():
        app = command_line()
    app()
