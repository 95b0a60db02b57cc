"""Fills the templates: two parts that share no template, and no pair of a word and what negates it."""

from __future__ import annotations

import csv
import gzip
import io
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentiment.templates import KINDS, NEGATIONS, Template, templates
from sentiment.words import ADJECTIVES, DEGREES, DETERMINERS, NOUNS, THINGS, VERBS

# Sentences of each kind, in the order of KINDS: to learn from, most say plainly what they mean. If as many
# turned a word round as did not, no word would tell anything, and nothing would begin to be learned.
EACH = {
    "training": dict(zip(KINDS, (14_000, 6000, 2500, 4500, 3000, 2500), strict=True)),
    "held-out": dict.fromkeys(KINDS, 600),
}
LABELS = ("negative", "positive")
COLUMNS = ("text", "label", "part", "kind")
FILE = Path(__file__).parents[2] / "src" / "ds_zoo" / "data" / "bundled" / "sentiment.csv.gz"
SLOT = re.compile(r"\{(adj|also|verb|base|noun)(?:\|([a-z ]+))?\}", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """A sentence and what it is made of."""

    text: str
    label: str  # of LABELS
    part: str  # of EACH
    template: Template
    pairs: tuple[tuple[str, str], ...]  # (negation, the word it turns round)

    @property
    def kind(self) -> str:
        return self.template.kind


def make_sentences(seed: int = 0) -> list[Sentence]:
    """Returns the sentences of both parts, each part shuffled; of each kind as many praise as complain.

    Every sentence with two sides comes twice, the sides exchanged: the same words with the opposite meaning.

    Args:
        seed: same seed, same sentences.
    """
    draw = random.Random(seed)
    made: list[Sentence] = []
    every = list(templates())
    for part, numbers in EACH.items():
        some: dict[str, Sentence] = {}
        for kind, number in numbers.items():
            fitting = [t for t in every if t.kind == kind and t.held_out == (part == "held-out")]
            enough = len(some) + number
            while len(some) < enough:
                for sentence in _filled(draw.choice(fitting), part, draw):
                    some.setdefault(sentence.text, sentence)
        mixed = list(some.values())
        draw.shuffle(mixed)
        made += mixed
    return made


def is_held_out(negation: str, place: int) -> bool:
    """Says whether the pair of a negation and the word at a place of its list is held out: a fifth is."""
    return (place + 2 * NEGATIONS.index(negation)) % 5 == 0


def _filled(template: Template, part: str, draw: random.Random) -> list[Sentence]:
    """Returns a template filled twice, so that it praises and that it complains."""
    while True:
        places = dict(zip(("adj", "also"), draw.sample(range(20), 2), strict=True))
        places["ADJ"] = draw.randrange(20)
        places |= {name: draw.randrange(10) for name in ("verb", "VERB", "noun", "NOUN")}
        places |= {"base": places["verb"], "BASE": places["VERB"]}
        exchanged = places
        if re.search("{[A-Z]", template.text):  # so that the twin has the same words
            exchanged = {name: places.get(name.swapcase(), place) for name, place in places.items()}
        if _allowed(template, part, places) and _allowed(template, part, exchanged):
            break
    thing = f"{draw.choice(DETERMINERS)} {draw.choice(THINGS)}"
    degree = draw.choice(DEGREES)
    return [
        _said(template, part, good, chosen, thing, degree)
        for good, chosen in ((True, places), (False, exchanged))
    ]


def _allowed(template: Template, part: str, places: Mapping[str, int]) -> bool:
    """Says whether all pairs of a sentence belong to the part."""
    pairs = [(match[2], places[match[1]]) for match in SLOT.finditer(template.text) if match[2]]
    return all(is_held_out(*pair) == (part == "held-out") for pair in pairs)


def _said(
    template: Template, part: str, good: bool, places: Mapping[str, int], thing: str, degree: str
) -> Sentence:
    """Says it; ``good`` is the side of the small-lettered words."""
    pairs = []

    def word(match: re.Match[str]) -> str:
        name, negation = match[1], match[2]
        side = int(good != name.islower())
        adjectives = [(w, w) for w in ADJECTIVES[side]]
        lists: Mapping[str, Sequence[Sequence[str]]] = {
            **dict.fromkeys(("adj", "also"), adjectives),
            "verb": VERBS[side],
            "base": [(base, base) for base, _ in VERBS[side]],
            "noun": [(w, w) for w in NOUNS[side]],
        }
        key, form = lists[name.lower()][places[name]]
        if negation:
            pairs.append((negation, key))
        return form

    text = SLOT.sub(word, template.text).replace("{t}", thing).replace("{d}", degree) + "."
    return Sentence(
        text[0].upper() + text[1:], LABELS[good == template.praises], part, template, tuple(pairs)
    )


def write_sentences(path: Path = FILE) -> int:
    """Writes the CSV file, gzipped, without a date, so that the same sentences are the same bytes.

    Returns:
        How many sentences there are.
    """
    made = make_sentences()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(sentence, column) for column in COLUMNS] for sentence in made)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    return len(made)
