"""Commands made from what they call: an option for each field of a recipe, or each parameter of a function.

So a model states its options once: in the fields of its recipe, in the parameters of its functions, and in
their docstrings, of which the lines under ``Args`` are shown by ``--help``.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints

from rich.console import Console
from rich.markup import escape

from ds_core.checks import Partial
from ds_core.cli import clear_errors, read_standard_input
from ds_core.data.optional import needed
from ds_core.devices import KINDS, pick_device
from ds_core.distributed import leads, world
from ds_core.training import History, described, to_resume
from ds_core.training.recipe import RECIPE_FILE, field_kinds, make_recipe, read_recipe, read_recipe_text
from ds_core.training.trainer import CHECKPOINT_FILE

STANDARD_INPUT = "-"


class Run(Protocol):
    """What a training leaves behind."""

    history: History
    out: Path

    def show(self, console: Console) -> None:
        """Prints what was reached, and what to try next."""


class Trainable(Protocol):
    """A module, or anything else, that trains a model by a recipe; see :func:`train_command`.

    Attributes:
        Recipe: a frozen dataclass, see :mod:`ds_core.training.recipe`.
        PRESETS: name -> the fields in which it differs from the recipe's defaults.
        train: ``train(recipe, out, resume=, overwrite=, progress=, device=)`` fills the run folder ``out``.
    """

    Recipe: Any
    PRESETS: Any
    train: Any


# ---- words of a docstring ------------------------------------------------------------------------------


def explained(target: Any) -> tuple[str, dict[str, str]]:
    """Returns the first sentence of a docstring, and what it says of each argument, ready to be shown.

    Of a class, what its bases say of their arguments is added.
    """
    arguments: dict[str, str] = {}
    for one in reversed(target.__mro__) if inspect.isclass(target) else [target]:
        text = inspect.cleandoc(one.__doc__ or "")
        summary = re.split(r"(?<=\.)\s", text, maxsplit=1)[0].replace("\n", " ")
        section = re.split(r"\n(?=\S)", text.partition("\nArgs:\n")[2], maxsplit=1)[0]
        for name, said in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            sentence = re.sub(r":\w+:`([^`]*)`", r"\1", " ".join(said.split())).replace("``", "")
            arguments[name] = sentence[:1].upper() + sentence[1:]
    return summary, arguments


# ---- options -------------------------------------------------------------------------------------------


def _typer() -> Any:
    return needed("typer", "typer", "a command line", extra="cli")


def _choice(kind: Any) -> Any:
    """Returns what `typer` understands for a type: an enumeration in place of a ``Literal``."""
    if get_origin(kind) is Literal:
        return StrEnum("Choice", {word: word for word in get_args(kind)})
    return kind


def recipe_options(recipe: type[Any], panel: str) -> list[inspect.Parameter]:
    """Returns an option for each field of a recipe; one that is not given is None.

    A field's metadata may have a name for its option, ``{"option": "--from"}``.
    """
    typer, (_, said), kinds = _typer(), explained(recipe), field_kinds(recipe)
    options = []
    for field in fields(recipe):
        kind, _ = kinds[field.name]
        required = field.default is MISSING
        default = "required" if required else f"default: {_shown(field.default)}"
        names = [field.metadata["option"]] if "option" in field.metadata else []
        text = said.get(field.name, "") + ("" if field.default is None else f" [{default}]")
        option = typer.Option(*names, help=escape(text), show_default=False, rich_help_panel=panel)
        options.append(_parameter(field.name, Annotated[_choice(kind) | None, option], None))
    return options


def _shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def function_options(function: Callable[..., Any], skipped: int = 0) -> list[inspect.Parameter]:
    """Returns what a function takes after those skipped: by position arguments, by keyword options.

    The option of a parameter that is called as a word of Python's, such as ``class_``, has no underscore.
    """
    typer, (_, said), hints = _typer(), explained(function), get_type_hints(function)
    made = []
    for parameter in list(inspect.signature(function).parameters.values())[skipped:]:
        name, hint, default = parameter.name, hints[parameter.name], parameter.default
        optional = get_origin(hint) in (Union, types.UnionType)
        kind = next(one for one in get_args(hint) if one is not type(None)) if optional else hint
        text = escape(said.get(name, ""))
        chosen = _choice(kind) | None if optional else _choice(kind)
        if parameter.kind is parameter.KEYWORD_ONLY:
            names = [f"--{name[:-1]}"] if name.endswith("_") else []
            what = typer.Option(*names, help=text, show_default=default is not None)
        else:
            metavar = name.upper() + ("..." if get_origin(kind) is list else "")
            what = typer.Argument(help=text, metavar=metavar, show_default=False)
        made.append(_parameter(name, Annotated[chosen, what], default))
    return made


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def make_command(
    run: Callable[..., None], parameters: list[inspect.Parameter], name: str, text: str, **options: Any
) -> Any:
    """Makes a command that calls ``run`` with what it was given, by keyword; words of choices are plain.

    Args:
        run: what the command does.
        parameters: what it may be given.
        name: of the command.
        text: what ``--help`` says of it.
        options: of `typer`'s ``command``.
    """
    typer = _typer()

    def call(**given: Any) -> None:
        run(**{key: str(v) if isinstance(v, StrEnum) else v for key, v in given.items()})

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.command(name, help=escape(text), **options)(call)
    return typer.main.get_command(app)


def plain_command(function: Callable[..., None], name: str) -> Any:
    """Makes a command that calls a function."""

    def run(**given: Any) -> None:
        with clear_errors():
            function(**given)

    return make_command(run, function_options(function), name, explained(function)[0])


def make_group(name: str, text: str, group: Any, **options: Any) -> Any:
    """Makes a command that has commands: a class of :func:`ds_core.cli.group_of` with what is said of it."""
    app = _typer().Typer(
        cls=group,
        name=name,
        help=escape(text),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        **options,
    )
    app.callback()(lambda: None)
    return _typer().main.get_command(app)


# ---- train ---------------------------------------------------------------------------------------------


def train_command(program: str, name: str, model: Trainable) -> Any:
    """Makes the command ``train NAME`` of a program: an option for each field of the model's recipe.

    Args:
        program: the name of the command line.
        name: of the model.
        model: what trains it.
    """
    typer, panel = _typer(), "Run"

    def option(kind: Any, help: str, *names: str, default: Any = None) -> Any:
        shown = default is not None and not isinstance(default, bool)
        return Annotated[kind, typer.Option(*names, help=help, show_default=shown, rich_help_panel=panel)]

    presets = Literal[*model.PRESETS]  # type: ignore[valid-type]
    head = [
        _parameter("out", option(Path, "Folder of the run."), inspect.Parameter.empty),
        _parameter("preset", option(_choice(presets) | None, "Where to begin: a set of options."), None),
        _parameter("config", option(Path | None, "A recipe in TOML, that of another run say."), None),
        _parameter("resume", option(bool, "Continue the run in the folder.", "--resume"), False),
        _parameter("overwrite", option(bool, "Start anew in a used folder.", "--overwrite"), False),
        _parameter("device", option(str, f"Where to compute: {KINDS}.", default="auto"), "auto"),
        _parameter("quiet", option(bool, "Print nothing but errors.", "--quiet"), False),
    ]

    def run(
        out: Path,
        preset: str | None,
        config: Path | None,
        resume: bool,
        overwrite: bool,
        device: str,
        quiet: bool,
        **given: Any,
    ) -> None:
        with clear_errors():
            chosen = {key: value for key, value in given.items() if value is not None}
            world()  # each process that trains has a device of its own
            recipe = resolve_recipe(name, model, chosen, preset, config, out if resume else None)
            if not resume and to_resume(out) and _began(name, model, out) == recipe:
                resume, overwrite = True, False
            done = model.train(
                recipe,
                out,
                resume=resume,
                overwrite=overwrite,
                progress=not quiet and leads(),
                device=pick_device(device, "--device"),
            )
            console = Console(emoji=False, quiet=quiet or not leads())
            if done.history.stopped == "interrupted":
                if len(done.history):  # else there is nothing to go on with
                    again = f"To go on: {program} train {name} --out {out} --resume"
                    console.print(again, highlight=False, markup=False, soft_wrap=True)
            else:
                done.show(console)
                show_files(console, out)

    text, _ = explained(model.train)
    parameters = [*head, *recipe_options(model.Recipe, "Recipe")]
    return make_command(run, parameters, name, text, no_args_is_help=True)


def _began(name: str, model: Trainable, out: Path) -> Any:
    """Returns the recipe by which the training in a folder was begun."""
    there = read_recipe_text(described(out)[RECIPE_FILE], str(out / CHECKPOINT_FILE))
    _check_model(name, there, str(out))
    return make_recipe(model.Recipe, there, str(out))


# What may be in a run's folder, as a reader is told.
_FILES = {
    "model.safetensors": "the weights; with config.json in the Hugging Face format",
    RECIPE_FILE: "how it was trained",
    "loss.png": "the losses as a picture",
    "log.csv": "the losses as numbers",
    "samples.txt": "what it wrote at each validation",
    "checkpoint.safetensors": "everything needed to go on training",
}


def show_files(console: Console, out: Path) -> None:
    """Prints what a run's folder holds."""
    console.print(f"\nIn {out}:", highlight=False, markup=False, soft_wrap=True)
    for file, meaning in _FILES.items():
        if (out / file).exists():
            console.print(f"  {file:24}{meaning}", highlight=False, markup=False, soft_wrap=True)


def resolve_recipe(
    name: str,
    model: Trainable,
    given: Mapping[str, Any],
    preset: str | None = None,
    config: Path | None = None,
    resumed: Path | None = None,
) -> Any:
    """Returns the recipe that is meant: defaults, then the preset's fields, the file's, and those given.

    A resumed run keeps its own; what is given besides must agree with it, except for the place of the data,
    whose content the checkpoint knows.

    Args:
        name: of the model.
        model: what trains it.
        given: field -> value, as given on the command line.
        preset: its name.
        config: a recipe's file.
        resumed: the folder of the run that is resumed.

    Raises:
        ValueError: if a field is unknown, has a wrong type, or differs from that of the run that is resumed.
    """
    written = {} if config is None else read_recipe(config)
    _check_model(name, written, str(config))
    preset = preset or written.pop("preset", None)
    if preset is not None and preset not in model.PRESETS:
        raise ValueError(f"{config}: preset: expected one of {', '.join(model.PRESETS)}, got {preset!r}")
    chosen = {**(model.PRESETS[preset] if preset else {}), **written, **given}
    if "data" in chosen:
        chosen["data"] = absolute(chosen["data"])
    if resumed is None:
        return make_recipe(model.Recipe, chosen, str(config or f"train {name}"))
    there = read_recipe_text(described(resumed)[RECIPE_FILE], str(resumed / RECIPE_FILE))
    _check_model(name, there, str(resumed))
    recipe = make_recipe(model.Recipe, there, str(resumed / RECIPE_FILE))
    if (resumed / RECIPE_FILE).is_file():  # somebody may have changed it
        chosen = read_recipe(resumed / RECIPE_FILE) | chosen
        _check_model(name, chosen, str(resumed / RECIPE_FILE))
    make_recipe(model.Recipe, there | chosen | {"data": recipe.data}, str(config or f"train {name}"))
    other = [
        f"{key} = {getattr(recipe, key)!r} in its checkpoint, {value!r} given"
        for key, value in chosen.items()
        if key != "data" and value != getattr(recipe, key)
    ]
    if other:
        raise ValueError(
            f"{resumed}: a run is resumed as it was begun: {'; '.join(other)}. Leave it out, or begin a new "
            "run"
        )
    return replace(recipe, data=chosen.get("data", recipe.data))


def _check_model(name: str, written: dict[str, Any], where: str) -> None:
    if written.pop("model", name) != name:
        raise ValueError(f"{where}: expected the recipe of a {name}, got that of another model")


def absolute(data: str) -> str:
    """Returns a data word in which the path of what exists is absolute: ``csv:/home/a.csv``."""
    kind, colon, what = data.partition(":")
    for before, path in ((f"{kind}{colon}", what), ("", data)):
        if path and Path(path).exists():
            return f"{before}{Path(path).resolve()}"
    return data


# ---- commands of a run ---------------------------------------------------------------------------------


def function_command(
    function: Callable[..., Any], load: Callable[[str], Any], name: str, **options: Any
) -> Any:
    """Makes a command from a function whose first parameter is a loaded run, and prints what it returns.

    A text is printed, a dict and a list line by line, dicts in a list as a table: the names of its columns,
    then a line for each, with tabs between. Where an argument or ``--prompt`` is "-", it is read from the
    standard input; in a list its lines take the place of "-". Where the function raises
    :class:`ds_core.checks.Partial`, the answers there are come first, then the error.

    Args:
        function: what to call.
        load: gives the run, from the name of a device.
        name: of the command.
        options: of `typer`'s ``command``.
    """
    typer, hints = _typer(), get_type_hints(function)
    text, _ = explained(function)
    where = Annotated[str, typer.Option(help=f"Where to compute: {KINDS}.")]
    parameters = [*function_options(function, 1), _parameter("device", where, "auto")]
    by_position = {
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.KEYWORD_ONLY
    } | {"prompt"}

    def run(device: str, **given: Any) -> None:
        with clear_errors():
            for key in by_position & given.keys():
                if given[key] == STANDARD_INPUT and hints[key] in (str, str | None):
                    given[key] = read_standard_input()
                elif isinstance(given[key], list):
                    given[key] = [line for word in given[key] for line in _lines(word)]
            try:
                show(function(load(device), **given))
            except Partial as error:
                show(error.result)
                raise

    return make_command(run, parameters, name, text, **options)


def _lines(word: str) -> list[str]:
    return read_standard_input().split("\n") if word == STANDARD_INPUT else [word]


def show(result: Any) -> None:
    """Prints what a command returns: a text, a dict of numbers, or a list of dicts."""
    typer = _typer()
    if isinstance(result, dict):
        width = max(map(len, result), default=0)
        for key, value in result.items():
            typer.echo(f"{key:{width}}  {_number(value)}")
    elif isinstance(result, list):
        if result and isinstance(result[0], dict):
            typer.echo("\t".join(map(_cell, result[0])))
        for row in result:
            typer.echo("\t".join(map(_cell, row.values())) if isinstance(row, dict) else str(row))
    elif result is not None:
        typer.echo(str(result))


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:z.4g}" if abs(value) < 1000 else f"{value:.6g}"


def _cell(value: Any) -> str:
    """Writes a value so that it ends neither its column nor its line."""
    return _number(value).translate(_ENDS)


_ENDS = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r"})
