"""The commands: ``train MODEL``, what a run is good for, ``import``, ``list``, ``data`` and ``verify``."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from ds_core.cli import clear_errors
from ds_core.cli.commands import function_command, train_command
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from ds_zoo.cli.models import MODELS, module, name_of

# Command -> the function of a model's module, and what `--help` says of it.
OF_A_RUN = {
    "eval": ("evaluate", "Measure how good a trained model is."),
    "generate": ("generate", "Let a trained model make something."),
    "predict": ("predict", "Ask a trained model about inputs."),
    "fill-mask": ("fill_mask", "Let a trained model fill in what is masked."),
    "export": ("save", "Write a trained model in the Hugging Face format."),
}


def add_to(app: typer.Typer) -> None:
    """Gives the command line all of them."""
    app.command("list")(list_models)
    train = typer.Typer(cls=TrainGroup, help="Train a model of the zoo.", no_args_is_help=True)
    app.add_typer(train, name="train", subcommand_metavar="MODEL [OPTIONS]")
    for command, (function, about) in OF_A_RUN.items():
        group = typer.Typer(cls=_group(command, function), help=about, no_args_is_help=True)
        epilog = f"Options depend on the model: ds-zoo {command} RUN --help"
        app.add_typer(group, name=command, subcommand_metavar="RUN [OPTIONS]", epilog=epilog)
    app.command("import")(import_model)
    app.command("verify")(verify)


class TrainGroup(TyperGroup):
    """Makes ``train NAME`` when it is asked for: no model is imported that is not trained."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(MODELS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in MODELS:
            return None
        return train_command("ds-zoo", cmd_name, module(cmd_name))


def _group(command: str, function: str) -> type[TyperGroup]:
    """Makes a command whose first argument is a run, and whose others are those of the run's model."""

    class OfARun(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return []

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            with clear_errors():
                name = name_of(cmd_name)
                run = module(name)
                if not hasattr(run, function):
                    able = [other for other in MODELS if hasattr(module(other), function)]
                    raise ValueError(
                        f"{cmd_name}: holds a {name}, which has no `{command}`; it is for {', '.join(able)}"
                    )
                load: Callable[[str], Any] = partial(_load, run, cmd_name)
                return function_command(getattr(run, function), load, cmd_name)

    return OfARun


def _load(run: Any, folder: str, device: str) -> Any:
    from ds_core.cli import pick_device

    return run.load(Path(folder), pick_device(device))


def list_models() -> None:
    """List the models, their presets, and what each can be asked."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "what it does", "presets", "commands"):
        table.add_column(column, style="bold" if column == "model" else "", overflow="fold")
    for name, model in MODELS.items():
        able = [command for command, (function, _) in OF_A_RUN.items() if hasattr(module(name), function)]
        table.add_row(name, model.about, ", ".join(module(name).PRESETS), ", ".join(able))
    Console(emoji=False).print(table)


def import_model(
    source: Annotated[str, typer.Argument(metavar="ID_OR_DIR", help="A name on the hub, or a folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
) -> None:
    """Take over a published model, so that every command knows it."""
    with clear_errors():
        run = module(name_of(source))
        if out.exists() and any(out.iterdir()):
            raise FileExistsError(f"{out}: is not empty; give a new folder")
        run.save(run.load(Path(source)), out)
        typer.echo(f"wrote {out}; try: ds-zoo generate {shlex.quote(str(out))}")


def verify(
    model: Annotated[str | None, typer.Argument(help="Only this model.", show_default=False)] = None,
) -> None:
    """Check the hand-written gradients of small random models against torch's tape and finite differences."""
    with clear_errors():
        console, wrong = Console(emoji=False), 0
        for name in [model] if model else MODELS:
            for what, report in module(name).verify():
                console.print(f"{'right' if report.ok else 'WRONG'}  {name}: {what}", highlight=False)
                if not report.ok:
                    wrong += 1
                    console.print(str(report), highlight=False, markup=False)
    if wrong:
        raise typer.Exit(1)
