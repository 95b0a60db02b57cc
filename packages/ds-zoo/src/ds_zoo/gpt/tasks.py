"""How a small MiniGPT learns the tasks of :mod:`ds_zoo.data.tasks`, each within two minutes or so."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from ds_core import AdamW, CrossEntropyLoss, History, Trainer, WarmupCosine
from ds_core.text import CharacterTokenizer

from ds_zoo.data.tasks import LineBatches, Task, make_task, solved
from ds_zoo.gpt.model import MiniGPT, MiniGPTConfig
from ds_zoo.groups import decay_groups


@dataclass(frozen=True)
class TaskRecipe:
    """How to learn a task.

    Args:
        steps: optimizer steps.
        lines: how many to learn from.
        layers: number of blocks.
        heads: attention heads of a block.
        width: numbers that describe a position.
        tokens: in a batch, about.
        lr: highest learning rate, after a twentieth of the steps; it falls to 0 on half a cosine.
        weight_decay: decay of matrices.
        spread: standard deviation of the initial weights. GPT-2's 0.02 is for large widths: in a small model
            all scores of attention begin so close to 0 that it takes long until a head looks anywhere.
    """

    steps: int = 1600
    lines: int = 8000
    layers: int = 2
    heads: int = 4
    width: int = 64
    tokens: int = 500
    lr: float = 3e-3
    weight_decay: float = 0.01
    spread: float = 0.02


RECIPES = {
    "arithmetic": TaskRecipe(steps=3000, lines=9000, tokens=1000, weight_decay=0.1),
    "grammar": TaskRecipe(steps=1000, spread=0.1),
    "pattern": TaskRecipe(steps=1200),
    "reversal": TaskRecipe(),
    "retrieval": TaskRecipe(steps=2400, lines=20_000, tokens=1200, spread=0.1),
}


@dataclass(frozen=True)
class Learned:
    """What was learned."""

    model: MiniGPT
    tokenizer: CharacterTokenizer
    task: Task
    history: History
    share: float  # of the held-out lines that the model ends rightly, letter for letter


def learn_task(
    name: str,
    recipe: TaskRecipe | None = None,
    *,
    held_out: int = 500,
    seed: int = 0,
    progress: bool = False,
) -> Learned:
    """Trains a small MiniGPT on a task; only what follows the prompt of a line is learned.

    Args:
        name: one of :data:`ds_zoo.data.tasks.TASKS`.
        recipe: how; the task's own of :data:`RECIPES` if not given.
        held_out: lines that are asked at the end, none of them learned from.
        seed: of lines, initial weights and their order.
        progress: whether to show it.

    Raises:
        ValueError: if there is no such task, or it has not so many different lines.
    """
    recipe = recipe or RECIPES.get(name, TaskRecipe())
    task = make_task(name, recipe.lines, held_out, seed=seed)
    tokenizer = CharacterTokenizer.from_text(task.text)
    config = MiniGPTConfig(
        vocab_size=tokenizer.vocab_size,
        n_positions=max(len(str(line)) for line in (*task.training, *task.held_out)),
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        initializer_range=recipe.spread,
    )
    model = MiniGPT(config, generator=torch.Generator().manual_seed(seed))
    optimizer = AdamW(decay_groups(model, recipe.weight_decay), lr=recipe.lr, betas=(0.9, 0.99))
    trainer = Trainer(
        model,
        CrossEntropyLoss(dim=-1),
        optimizer,
        WarmupCosine(optimizer, recipe.steps // 20, recipe.steps),
        clip_norm=1.0,
        progress=progress,
        seed=seed,
    )
    batches = LineBatches(task.training, tokenizer, recipe.tokens, seed=seed)
    history = trainer.fit(batches, steps=recipe.steps)
    return Learned(model, tokenizer, task, history, solved(model, tokenizer, task.held_out))
