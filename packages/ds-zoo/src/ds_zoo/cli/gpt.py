"""``ds-zoo train gpt`` and ``ds-zoo generate``."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from ds_core.cli import clear_errors
from rich.console import Console
from rich.markup import escape

from ds_zoo.gpt.train import GPTRecipe, GPTRun, continue_text, load_run, read_text, train_gpt


class TokenizerKind(StrEnum):
    """What one token is."""

    character = "character"
    byte = "byte"


class Engine(StrEnum):
    """Who computes the gradients."""

    manual = "manual"
    autograd = "autograd"


def train(
    data: Annotated[Path, typer.Option(help="A plain UTF-8 text file to learn from.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False)],
    tokenizer: Annotated[TokenizerKind, typer.Option(help="What one token is.")] = TokenizerKind.character,
    layers: Annotated[int, typer.Option(help="Number of blocks.", rich_help_panel="Model")] = 4,
    heads: Annotated[int, typer.Option(help="Attention heads a block.", rich_help_panel="Model")] = 4,
    width: Annotated[int, typer.Option(help="Numbers a position.", rich_help_panel="Model")] = 128,
    context: Annotated[int, typer.Option(help="Tokens seen at once.", rich_help_panel="Model")] = 64,
    dropout: Annotated[float, typer.Option(min=0, max=0.99, rich_help_panel="Model", help="Dropout.")] = 0.0,
    tie: Annotated[
        bool, typer.Option(help="Share the weights of token embedding and head.", rich_help_panel="Model")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.", rich_help_panel="Training")] = 2000,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows a step.", rich_help_panel="Training")] = 12,
    lr: Annotated[float, typer.Option(help="Highest learning rate.", rich_help_panel="Training")] = 1e-3,
    min_lr: Annotated[float, typer.Option(help="Where the cosine ends.", rich_help_panel="Training")] = 1e-4,
    warmup: Annotated[
        int | None,
        typer.Option(
            min=0, help="Steps of warm-up; a twentieth of all if not given.", rich_help_panel="Training"
        ),
    ] = None,
    weight_decay: Annotated[
        float, typer.Option(help="Decay of matrices, not of biases and norms.", rich_help_panel="Training")
    ] = 0.1,
    beta1: Annotated[float, typer.Option(help="AdamW's first beta.", rich_help_panel="Training")] = 0.9,
    beta2: Annotated[float, typer.Option(help="AdamW's second beta.", rich_help_panel="Training")] = 0.99,
    clip: Annotated[float, typer.Option(help="Largest gradient norm.", rich_help_panel="Training")] = 1.0,
    validate_every: Annotated[
        int, typer.Option(min=1, help="Steps between validations.", rich_help_panel="Training")
    ] = 250,
    seed: Annotated[int, typer.Option(help="Same seed, same weights.", rich_help_panel="Training")] = 0,
    engine: Annotated[
        Engine, typer.Option(help="Our backwards, or torch's tape.", rich_help_panel="Training")
    ] = Engine.manual,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run.", rich_help_panel="Training")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew in a used folder.", rich_help_panel="Training")
    ] = False,
) -> None:
    """Train a GPT on a text file.

    The last tenth of the text is kept for validation. The defaults are nanoGPT's for a plain CPU.
    """
    with clear_errors():
        run = train_gpt(
            read_text(data),
            out,
            tokenizer=tokenizer.value,
            recipe=GPTRecipe(
                steps=steps,
                batch_size=batch_size,
                lr=lr,
                min_lr=min_lr,
                warmup_steps=warmup,
                weight_decay=weight_decay,
                betas=(beta1, beta2),
                clip_norm=clip,
                validate_every=validate_every,
                seed=seed,
                engine=engine.value,
            ),
            resume=resume,
            overwrite=overwrite,
            n_positions=context,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            embd_pdrop=dropout,
            resid_pdrop=dropout,
            attn_pdrop=dropout,
            tie_word_embeddings=tie,
        )
        console = Console(emoji=False)
        show_result(console, run)
        if run.history.stopped is not None:
            console.print("To go on, give the same command with --resume.")
        show_files(console, run)


def generate(
    run: Annotated[Path, typer.Argument(help="A folder that `ds-zoo train gpt` filled.", show_default=False)],
    prompt: Annotated[str, typer.Option(help="The beginning of the text.")] = "The ",
    length: Annotated[int, typer.Option(min=0, help="Tokens to add.")] = 300,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest; 1: as learned.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Choose among the k likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Choose among those that make up p.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same text.")] = 0,
) -> None:
    """Let a trained model continue a text."""
    with clear_errors():
        model, tokenizer = load_run(run)
        options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        typer.echo(continue_text(model, tokenizer, prompt, length, **options))


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
        "  read ds_zoo/gpt/model.py, top to bottom: the whole model, forward and backward\n",
        highlight=False,
        soft_wrap=True,
    )
