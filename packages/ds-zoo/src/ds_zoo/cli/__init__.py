"""The command line of the zoo: one grammar for every model, see :mod:`ds_zoo.cli.models`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ds_core.cli import clear_errors, new_command_line
from ds_core.cli.commands import plain_command

from ds_zoo import __version__
from ds_zoo.cli import commands
from ds_zoo.cli.demo import demo

if TYPE_CHECKING:
    from typer import Typer


def command_line() -> Typer:
    """Makes the command line; :func:`main` runs it.

    Raises:
        ImportError: if the package `typer` is missing.
    """
    about = "Train and use models whose every gradient is written by hand."
    return new_command_line(
        "ds-zoo",
        __version__,
        about,
        {
            "demo": partial(plain_command, demo, "demo"),
            "list": partial(plain_command, commands.list_models, "list"),
            "data": partial(plain_command, commands.show_data, "data"),
            "train": commands.train,
            **{name: partial(commands.of_a_run, name) for name in commands.OF_A_RUN},
            "import": partial(plain_command, commands.import_model, "import"),
            "verify": partial(plain_command, commands.verify, "verify"),
        },
    )


def main() -> None:
    """Runs ``ds-zoo``."""
    with clear_errors():
        app = command_line()
    app()
