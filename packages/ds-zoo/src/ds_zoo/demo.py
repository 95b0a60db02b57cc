"""The demonstration: a MiniGPT learns English from the documentation inside every Python installation."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from ds_zoo.train_gpt import GPTRecipe, GPTRun, continue_text, train_gpt

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
    console = Console()
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


def show_result(console: Console, run: GPTRun) -> None:
    """Prints the reached loss beside the baselines."""
    if not run.history.validation:
        console.print("\nEnded before the first validation.\n")
        return
    reached = run.history.best("val_loss")
    console.print(
        f"\nValidation loss [bold]{reached:.3f}[/] nats a character "
        f"(guessing blindly {run.baselines['uniform']:.3f}, knowing the previous character "
        f"{run.baselines['bigram']:.3f}).\n"
    )


def show_files(console: Console, run: GPTRun) -> None:
    """Prints what the run folder holds and what to try next."""
    console.print(f"\nIn [bold]{escape(str(run.out))}[/]:", soft_wrap=True)
    for name, meaning in (
        ("model.safetensors, config.json", "the weights, in the Hugging Face GPT-2 format"),
        ("vocabulary.json", "the characters and their numbers"),
        ("loss.png", "the losses as a picture"),
        ("log.csv", "the losses as numbers"),
        ("checkpoint.safetensors", "everything needed to go on training"),
    ):
        console.print(f"  {name:32}{meaning}")
    console.print(
        "\nNext, try (from a checkout, with `hatch run` before it):\n"
        f'  ds-zoo generate {escape(shlex.quote(str(run.out)))} --prompt "A class " --temperature 0.5\n'
        "  ds-zoo train gpt --data YOUR.txt --out runs/mine\n"
        "  read ds_zoo/gpt.py, top to bottom: the whole model, forward and backward\n",
        highlight=False,
        soft_wrap=True,
    )
