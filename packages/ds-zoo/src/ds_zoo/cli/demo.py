"""``ds-zoo demo``: a MiniGPT learns English from the documentation inside every Python installation."""

from __future__ import annotations

from pathlib import Path

from ds_core.cli.commands import show_files
from rich.console import Console

from ds_zoo.gpt.train import Recipe, Run, train


def run_demo(
    out: str | Path = "runs/demo", steps: int = 1000, seed: int = 0, *, progress: bool = True
) -> Run:
    """Trains, shows the losses beside two baselines, writes some text, and says where everything is.

    Args:
        out: the run folder.
        steps: optimizer steps.
        seed: of everything random.
        progress: whether to show the progress of training.
    """
    console = Console(emoji=False)
    console.print(
        "Learning to write English, character by character, from Python's own documentation.\n"
        "Every gradient comes from a backward written by hand; torch's autograd is off.\n"
    )
    recipe = Recipe(steps=steps, seed=seed, validate_every=max(1, steps // 10), prompt="The ")
    run = train(recipe, out, overwrite=True, progress=progress)
    run.show(console)
    show_files(console, run.out)
    return run


def demo(*, out: Path = Path("runs/demo"), steps: int = 1000, seed: int = 0) -> None:
    """Train a small GPT on Python's own documentation, in about a minute, and let it write.

    Args:
        out: folder of the run.
        steps: optimizer steps.
        seed: same seed, same weights.
    """
    run_demo(out, steps, seed)
