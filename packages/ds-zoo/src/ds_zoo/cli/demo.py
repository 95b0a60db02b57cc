"""``ds-zoo demo``: a MiniGPT learns English from the documentation inside every Python installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from ds_core.cli import clear_errors
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from ds_zoo.cli.gpt import show_files, show_result
from ds_zoo.gpt.train import GPTRecipe, GPTRun, continue_text, train_gpt

PROMPT = "The "


def python_documentation() -> str:
    """Returns the language reference that Python's ``help()`` shows: some 465,000 characters of English."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def run_demo(
    out: str | Path = "runs/demo", steps: int = 1000, seed: int = 0, *, progress: bool = True
) -> GPTRun:
    """Trains, shows the losses beside two baselines, writes some text, and says where everything is.

    Args:
        out: the run folder.
        steps: optimizer steps.
        seed: of everything random.
        progress: whether to show the progress of training.
    """
    console = Console(emoji=False)
    text = python_documentation()
    console.print(
        f"Learning to write English, character by character, from Python's own documentation "
        f"({len(text):,} characters).\n"
        "Every gradient comes from a backward written by hand; torch's tape is off.\n"
    )
    run = train_gpt(
        text,
        out,
        recipe=GPTRecipe(steps=steps, seed=seed, validate_every=max(1, steps // 10)),
        overwrite=True,
        progress=progress,
        tie_word_embeddings=False,
    )
    show_result(console, run)
    sample = continue_text(run.model, run.tokenizer, PROMPT, 400, seed=seed)
    console.print(Panel(Text(sample), title="what it writes now", title_align="left"))
    show_files(console, run)
    return run


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/demo"),
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 1000,
    seed: Annotated[int, typer.Option(help="Same seed, same weights.")] = 0,
) -> None:
    """Train a small GPT on Python's own documentation, in about a minute, and let it write."""
    with clear_errors():
        run_demo(out, steps, seed)
