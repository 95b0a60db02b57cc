"""What the command lines of all packages share: how they begin, how they explain mistakes, and one grammar.

`typer` is imported by what makes a command line, so that the rest can be used without it.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.markup import escape

from ds_core.data.optional import needed

if TYPE_CHECKING:
    from typer import Typer

# Name -> what makes a command of `typer`.
Commands = Mapping[str, Callable[[], Any]]


def new_command_line(program: str, version: str, description: str, commands: Commands) -> Typer:
    """Makes a command line that knows ``--help``, ``--version`` and some commands.

    Args:
        program: its name, as in a shell.
        version: of the package.
        description: one sentence, shown by ``--help``.
        commands: name -> what makes the command, when it is asked for.

    Raises:
        ImportError: if the package `typer` is missing.
    """
    typer: Any = needed("typer", "typer", f"the command line {program}", extra="cli")
    app: Typer = typer.Typer(
        cls=group_of(list(commands), lambda name: commands[name]() if name in commands else None),
        help=description,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    def show(wanted: bool) -> None:
        if wanted:
            typer.echo(f"{program} {version}")
            raise typer.Exit

    option = typer.Option(False, "--version", callback=show, is_eager=True, help="Show the version.")

    def main(version: bool = option) -> None:
        pass

    app.callback(help=description)(main)
    return app


def group_of(names: Sequence[str], make: Callable[[str], Any]) -> Any:
    """Returns a class of `typer` groups whose commands are made when they are asked for.

    Args:
        names: of the commands that ``--help`` lists.
        make: returns the command of a name, which need not be among them; None if there is none.

    Raises:
        ImportError: if the package `typer` is missing.
    """
    group: Any = needed("typer.core", "typer", "a command line", extra="cli").TyperGroup

    class Group(group):  # type: ignore[misc]
        def list_commands(self, ctx: Any) -> list[str]:
            return list(names)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return make(cmd_name)

    return Group


@contextmanager
def clear_errors() -> Iterator[None]:
    """Shows what is wrong with the user's input as one message, not as a traceback; exit status 2.

    So is a training whose numbers are no longer finite, and what needs more memory than there is. A warning,
    such as of empty lines, is one message, too.

    Raises:
        SystemExit: in place of an error that the user can mend.
    """
    console = Console(stderr=True, emoji=False)

    def show(message: Warning | str, *where: Any, **more: Any) -> None:
        console.print(f"[bold yellow]Note:[/] {escape(str(message))}", highlight=False, soft_wrap=True)

    def end(message: str, error: BaseException) -> NoReturn:
        console.print(f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from error

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = show
            yield
    except BrokenPipeError:  # whoever reads has enough, as head has: typer ends without a word
        raise
    except (OSError, ValueError, IndexError, ImportError, FloatingPointError) as error:
        end(str(error), error)
    except (MemoryError, RuntimeError) as error:
        told = str(error) or "out of memory"  # Python's own says nothing
        if "out of memory" not in told and "can't allocate memory" not in told:
            raise
        asked = re.search(r"allocate ([\d.]+ ?\w+)", told)
        wanted = f" for {asked[1]} more" if asked else ""
        less = "less at a time needs less: a smaller batch, shorter texts, smaller images or a smaller model"
        end(f"there is not enough memory{wanted}; {less}", error)


def read_standard_input() -> str:
    """Returns all of the standard input, a text in UTF-8, without the line end at its end.

    Every line ends with a line feed, as in a file that Python opens.

    Raises:
        ValueError: if it is not UTF-8, or there is nothing.
    """
    raw = sys.stdin.buffer.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"standard input: not UTF-8 text (byte {error.start})") from error
    if not text.strip():
        raise ValueError("standard input: expected a text, got nothing")
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
