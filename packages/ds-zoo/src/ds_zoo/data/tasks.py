"""Five small tasks for a language model, as lines of text whose ending is the answer.

=============  ==========================================  ======
task           a line                                      answer
=============  ==========================================  ======
``arithmetic`` ``47+85=132``                               the sum
``grammar``    ``the dog near the trees=barks``            the verb that agrees with the first noun
``pattern``    ``kvakvakv=ak``                             the next two letters
``reversal``   ``stone=enots``                             the letters from the end
``retrieval``  ``b7g2d9g2``                                the digit that stood behind the last letter
=============  ==========================================  ======

Lines are drawn at random from a seed; no line that is held out is among those to learn from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

import torch
from ds_core import Module
from ds_core.module import evaluating
from ds_core.text import Tokenizer

from ds_zoo.data.rows import RowBatches

_IGNORED = -100  # a target that does not count

_SUBJECTS = {"dog": "bark", "cat": "sleep", "bird": "sing", "child": "play", "king": "rule", "ship": "sink"}
_MANY = {"child": "children"}
_PLACES = ("near", "behind", "with", "above")
_KEYS = ascii_lowercase[:8]  # of retrieval: few, so that a small model meets each often enough
_OTHERS = ("tree", "house", "river", "wall", "horse", "tower")


@dataclass(frozen=True)
class Line:
    """A question and its answer."""

    prompt: str  # ends with "=", or, of retrieval, with the letter asked about
    answer: str

    def __str__(self) -> str:
        """Returns the line, its end included."""
        return f"{self.prompt}{self.answer}\n"


@dataclass(frozen=True)
class Task:
    """Lines to learn from, and others to be asked about."""

    name: str
    training: list[Line]
    held_out: list[Line]

    @property
    def text(self) -> str:
        """Returns what a language model learns from."""
        return "".join(map(str, self.training))


def _arithmetic(draw: random.Random) -> Line:
    a, b = draw.randrange(100), draw.randrange(100)
    return Line(f"{a}+{b}=", str(a + b))


def _grammar(draw: random.Random) -> Line:
    (noun, verb), many = draw.choice(list(_SUBJECTS.items())), draw.random() < 0.5
    said = f"the {_MANY.get(noun, noun + 's') if many else noun}"
    for _ in range(draw.randrange(3)):
        said += f" {draw.choice(_PLACES)} the {draw.choice(_OTHERS)}{draw.choice(('', 's'))}"
    return Line(f"{said}=", verb if many else f"{verb}s")


def _pattern(draw: random.Random) -> Line:
    part = "".join(draw.sample(ascii_lowercase, draw.randint(2, 4)))
    shown = 2 * len(part) + draw.randrange(len(part))
    line = part * 4
    return Line(f"{line[:shown]}=", line[shown : shown + 2])


def _reversal(draw: random.Random) -> Line:
    word = "".join(draw.choices(ascii_lowercase, k=draw.randint(3, 6)))
    return Line(f"{word}=", word[::-1])


def _retrieval(draw: random.Random) -> Line:
    letters = draw.sample(_KEYS, draw.randint(2, 4))
    digits = [str(draw.randrange(10)) for _ in letters]
    wanted = draw.randrange(len(letters))
    shown = "".join(map("".join, zip(letters, digits, strict=True)))
    return Line(shown + letters[wanted], digits[wanted])


TASKS: dict[str, Callable[[random.Random], Line]] = {
    "arithmetic": _arithmetic,
    "grammar": _grammar,
    "pattern": _pattern,
    "reversal": _reversal,
    "retrieval": _retrieval,
}


def make_task(name: str, lines: int = 8000, held_out: int = 500, *, seed: int = 0) -> Task:
    """Makes a task.

    Args:
        name: one of :data:`TASKS`.
        lines: to learn from.
        held_out: to be asked about; none of them is among the others.
        seed: same seed, same lines.

    Raises:
        ValueError: if there is no such task, or it has not so many different lines.
    """
    if name not in TASKS:
        raise ValueError(f"make_task: expected one of {', '.join(TASKS)}, got {name!r}")
    draw, seen, tries = random.Random(f"{name} {seed}"), dict[Line, None](), 0
    while len(seen) < lines + held_out:
        seen[TASKS[name](draw)] = None
        tries += 1
        if tries > 100 * (lines + held_out):
            raise ValueError(f"make_task: {name} has only {len(seen):,} different lines")
    made = list(seen)
    return Task(name, made[held_out:], made[:held_out])


class LineBatches(RowBatches):
    """Lines, a row each; only what follows the prompt is to be learned.

    Args:
        lines: to learn from.
        tokenizer: of their characters.
        max_tokens: in a batch.
        shuffle: whether every epoch has an order of its own.
        seed: of these orders.

    Yields:
        Token ids and what follows each, -100 within the prompt, ``(B, T)`` both.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        tokenizer: Tokenizer,
        max_tokens: int = 1000,
        *,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        rows = [torch.tensor(tokenizer.encode(str(line))) for line in lines]
        super().__init__(rows, 0, max_tokens, shuffle=shuffle, seed=seed)
        self.prompts = torch.tensor([len(line.prompt) for line in lines])

    def batch(self, numbers: list[int], generator: torch.Generator) -> tuple[Any, ...]:
        ids, mask = self.padded([self.rows[number] for number in numbers])
        asked = torch.arange(ids.shape[1]) < self.prompts[numbers][:, None]
        return ids[:, :-1], ids.masked_fill(asked | (mask == 0), _IGNORED)[:, 1:]


@torch.no_grad()
def solved(model: Module, tokenizer: Tokenizer, lines: Sequence[Line]) -> float:
    """Returns the share of lines that a model ends rightly, letter for letter, when it takes the likeliest.

    That is so if at each letter of the right answer this letter is the likeliest; so one forward is enough.

    Args:
        model: a language model.
        tokenizer: of characters, whose ids it was trained with.
        lines: the questions.
    """
    rows = [tokenizer.encode(str(line)) for line in lines]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    with evaluating(model):
        guesses = model(ids[:, :-1]).argmax(-1)  # (B, T - 1)
    right = 0
    for line, row, guessed in zip(lines, rows, guesses.tolist(), strict=True):
        begin = len(line.prompt)
        right += guessed[begin - 1 : len(row) - 1] == row[begin:]
    return right / len(lines)
