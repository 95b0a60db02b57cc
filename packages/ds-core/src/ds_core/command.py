"""What the command lines of all packages share: how they begin, and how they explain mistakes.

`typer` is needed by those who call :func:`new_command_line` and by nobody else.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from typer import Typer


def new_command_line(program: str, version: str, description: str) -> Typer:
    """Makes a command line that knows ``--help`` and ``--version``; commands come with ``@app.command()``.

    Args:
        program: its name, as in a shell.
        version: of the package.
        description: one sentence, shown by ``--help``.
    """
    import typer

    app = typer.Typer(
        help=description, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )

    def show(wanted: bool) -> None:
        if wanted:
            typer.echo(f"{program} {version}")
            raise typer.Exit

    option = typer.Option(False, "--version", callback=show, is_eager=True, help="Show the version.")

    @app.callback(help=description)
    def main(version: bool = option) -> None:
        pass

    return app


@contextmanager
def clear_errors() -> Iterator[None]:
    """Shows what is wrong with the user's input as one message, not as a traceback; exit status 2.

    A warning about it, such as of empty lines, is one message, too.

    Raises:
        SystemExit: in place of an error that the user can mend.
    """
    console = Console(stderr=True)

    def show(message: Warning | str, *where: Any, **more: Any) -> None:
        console.print(f"[bold yellow]Note:[/] {escape(str(message))}", highlight=False, soft_wrap=True)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = show
            yield
    except (OSError, ValueError, IndexError, ImportError) as error:
        console.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from error
