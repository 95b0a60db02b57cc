"""Writes the corpus: situations drawn until there are enough, and said in each language."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

from sentences import english, french, german, spanish
from sentences.meaning import Sentence
from sentences.situations import Situations

LANGUAGES: dict[str, Callable[[Sentence], str]] = {
    "en": english.sentence,
    "de": german.sentence,
    "es": spanish.sentence,
    "fr": french.sentence,
}
ROWS = 6000
SEED = 0
FILE = Path(__file__).parents[2] / "src" / "ds_core" / "data" / "bundled" / "sentences.csv.gz"


def make_sentences(rows: int = ROWS, seed: int = SEED) -> list[dict[str, str]]:
    """Returns sentences in four languages, no two alike in any of them.

    So each sentence has one translation: what would be ambiguous in one of the languages is left out.

    Args:
        rows: how many.
        seed: same seed, same sentences.
    """
    situations = Situations(seed)
    seen: dict[str, set[str]] = {language: set() for language in LANGUAGES}
    made: list[dict[str, str]] = []
    while len(made) < rows:
        meaning = situations.draw()
        row = {language: written(say(meaning), meaning, language) for language, say in LANGUAGES.items()}
        if any(text in seen[language] for language, text in row.items()):
            continue
        for language, text in row.items():
            seen[language].add(text)
        made.append(row)
    return made


def written(text: str, meaning: Sentence, language: str) -> str:
    """Adds the capital and the mark at the end."""
    text = text[0].upper() + text[1:]
    if not meaning.question:
        return text + "."
    if language == "es":
        return f"¿{text}?"
    return text + (" ?" if language == "fr" else "?")


def write_sentences(path: Path = FILE) -> None:
    """Writes the CSV file, gzipped, without a date, so that the same sentences are the same bytes."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(LANGUAGES), lineterminator="\n")
    writer.writeheader()
    writer.writerows(make_sentences())
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
