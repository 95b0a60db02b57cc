"""For tests: sentences that a translator's command learns in seconds, also in two processes."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import together

WORDS = {"the": "die", "cat": "katze", "dog": "hündin", "sees": "sieht", "hears": "hört", "a": "eine"}
SENTENCES = [
    f"{one} {who} {does} {other} {whom}"
    for one in ("the", "a")
    for who in ("cat", "dog")
    for does in ("sees", "hears")
    for other in ("the", "a")
    for whom in ("cat", "dog")
]
Train = Callable[..., Any]  # train(data, out, *options), and what became of it


def write_pairs(path: Path, texts: list[str]) -> Path:
    """Writes texts and their translations, word by word, as a CSV; returns its path."""
    rows = [f"{text},{' '.join(WORDS[word] for word in text.split())}" for text in texts]
    path.write_text("en,de\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def losses_of_one_and_two(train: Train, folder: Path) -> tuple[list[float], list[float]]:
    """Returns each step's loss of texts of several lengths, in one process and in two."""
    texts = [" ".join(text.split()[:length]) for text in SENTENCES[::4] for length in (1, 2, 3, 5)]
    data = write_pairs(folder / "pairs.csv", texts)
    one = _losses(train, data, folder / "one")
    return one, together(2, _losses, train, data, folder / "two")[0]


def _losses(train: Train, data: Path, out: Path) -> list[float]:
    result = train(data, out, "--epochs", 2, "--batch-size", 7, "--quiet")
    assert result.exit_code == 0, result.output
    with (out / "log.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]
