"""The commands: ``train MODEL``, what a run is good for, ``import``, ``list``, ``data`` and ``verify``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from ds_core.cli import clear_errors, group_of
from ds_core.cli.commands import function_command, make_group, train_command
from ds_core.devices import pick_device
from ds_core.pretrained import fetched
from rich.console import Console
from rich.table import Table

from ds_zoo.cli.models import MODELS, module, name_of

# Command -> the function of a model's module, and what `--help` says of it.
OF_A_RUN = {
    "eval": ("evaluate", "Measure how good a trained model is."),
    "generate": ("generate", "Let a trained model make something."),
    "predict": ("predict", "Ask a trained model about inputs."),
    "fill-mask": ("fill_mask", "Let a trained model fill in what is masked."),
    "export": ("save", "Write a trained model in the Hugging Face format."),
}


def train() -> Any:
    """Makes the command ``train``; no model is imported but the one that is trained."""

    def make(name: str) -> Any:
        return train_command("ds-zoo", name, module(name)) if name in MODELS else None

    group = group_of(list(MODELS), make)
    return make_group("train", "Train a model of the zoo.", group, subcommand_metavar="MODEL [OPTIONS]")


def of_a_run(command: str) -> Any:
    """Makes a command whose first argument is a run, and whose options are those of the run's model."""
    function, about = OF_A_RUN[command]

    def make(folder: str) -> Any:
        with clear_errors():
            name = name_of(folder)
            model = module(name)
            if not hasattr(model, function):
                able = [other for other in MODELS if hasattr(module(other), function)]
                raise ValueError(
                    f"{folder}: holds a {name}, which has no `{command}`; it is for {', '.join(able)}"
                )

        def load(device: str) -> Any:
            return model.load(Path(folder), pick_device(device, "--device"))

        run = getattr(model, function)
        return function_command(_into_a_new_folder(run) if command == "export" else run, load, folder)

    epilog = f"What else it takes depends on the model: ds-zoo {command} RUN --help"
    group = group_of([], make)
    return make_group(command, about, group, subcommand_metavar="RUN [OPTIONS]", epilog=epilog)


def _into_a_new_folder(save: Callable[[Any, Path], str]) -> Callable[[Any, Path], str]:
    """Makes a function that writes a model into a folder refuse one that holds something."""

    @wraps(save)
    def saved(loaded: Any, folder: Path) -> str:
        check_new(folder)
        return save(loaded, folder)

    return saved


def check_new(folder: Path) -> None:
    """Checks that nothing is written over.

    Raises:
        FileExistsError: if it is a file, or a folder that holds something.
    """
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: is there already; give a new folder")


def list_models() -> None:
    """List the models, their presets, and what each can be asked."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "what it does", "presets", "commands"):
        table.add_column(column, style="bold" if column == "model" else "", overflow="fold")
    for name, model in MODELS.items():
        able = [command for command, (function, _) in OF_A_RUN.items() if hasattr(module(name), function)]
        table.add_row(name, model.about, ", ".join(module(name).PRESETS), ", ".join(able))
    console = Console(emoji=False)
    console.print(table)
    console.print("\nTo train one, and what its data may be: ds-zoo train MODEL --help", markup=False)


def show_data(
    name: str, *, out: Path | None = None, count: int = 1000, size: int = 96, shapes: int = 5, seed: int = 0
) -> None:
    """Show texts, of a file or folder, csv:FILE, hf:NAME[SPLIT] or bundled:NAME, or some scenes.

    Args:
        name: the data word.
        out: write its texts to this file; of scenes, images, captions, boxes and masks to this folder.
        count: how many scenes are written.
        size: height and width of scenes.
        shapes: most shapes in a scene.
        seed: of scenes.
    """
    if name == "scenes":
        _show_scenes(out, count, size, shapes, seed)
        return
    from ds_zoo.data.text import BETWEEN, about_texts, read_texts

    console = Console(emoji=False)
    if out is not None:
        from ds_core.training.files import write_text

        if out.exists():
            raise FileExistsError(f"{out}: exists already; give a new name")
        write_text(out, BETWEEN.join(read_texts(name)))
        console.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)
        return
    for line in about_texts(name):
        console.print(line, markup=False, highlight=False)


def _show_scenes(out: Path | None, count: int, size: int, shapes: int, seed: int) -> None:
    from ds_zoo.data.scenes import Scenes, write_scenes

    console = Console(emoji=False)
    scenes = Scenes(count, seed=seed, size=size, objects=(1, shapes))
    if out is not None:
        write_scenes(scenes, out)
        console.print(f"wrote {count:,} scenes to {out}", markup=False, highlight=False, soft_wrap=True)
        return
    console.print("scenes of shapes, drawn as they are needed; some captions:", highlight=False)
    for number in range(min(8, count)):
        console.print(f"  {scenes[number]['caption']}", markup=False, highlight=False, soft_wrap=True)


def import_model(source: str, *, out: Path) -> None:
    """Take over a published model, so that every command knows it.

    Args:
        source: a folder in the Hugging Face format, or a name on the hub, such as gpt2, which
            `huggingface_hub` fetches.
        out: folder of the run.
    """
    folder = fetched(source)
    name = name_of(folder)
    check_new(out)
    model = module(name)
    model.save(model.load(folder), out)
    Console(emoji=False).print(
        f"{out} holds a {name} now; what it can be asked: ds-zoo list", markup=False, soft_wrap=True
    )


def verify(model: str | None = None) -> None:
    """Check hand-written gradients against torch's autograd and finite differences, on small random models.

    Args:
        model: only this one.
    """
    console, wrong = Console(emoji=False), 0
    for name in [model] if model else MODELS:
        for what, report in module(name).verify():
            console.print(f"{'right' if report.ok else 'WRONG'}  {name}: {what}", highlight=False)
            if not report.ok:
                wrong += 1
                console.print(str(report), highlight=False, markup=False)
    if wrong:
        raise SystemExit(1)
