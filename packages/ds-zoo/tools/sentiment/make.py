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

from sentiment.templates import (
    ADJECTIVES,
    DEGREES,
    DETERMINERS,
    HELD_OUT,
    NEGATIONS,
    NOUNS,
    THINGS,
    TRAINING,
    VERBS,
)

EACH = {"training": 100, "held-out": 50}  # sentences of a template
PLAIN = 300  # of a plain one to learn from: most of what is said is said plainly
LABELS = ("negative", "positive")
COLUMNS = ("text", "label", "part", "kind")
FILE = Path(__file__).parents[2] / "src" / "ds_zoo" / "data" / "bundled" / "sentiment.csv.gz"
SLOT = re.compile(r"\{(adj|also|more|verb|base|noun)(?:\|([a-z ]+))?\}", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """A sentence and what it is made of."""

    text: str
    label: str  # of LABELS
    part: str  # of EACH
    kind: str
    template: str
    pairs: tuple[tuple[str, str], ...]  # (negation, the word it turns round)


def make_sentences(seed: int = 0) -> list[Sentence]:
    """Returns the sentences of both parts, each part shuffled; of each template as many praise as complain.

    Every sentence with two sides comes twice, the sides exchanged: the same words with the opposite meaning.

    Args:
        seed: same seed, same sentences.
    """
    draw = random.Random(seed)
    made: list[Sentence] = []
    for part, templates in (("training", TRAINING), ("held-out", HELD_OUT)):
        some = [s for kind in templates for t in templates[kind] for s in _filled(t, kind, part, draw)]
        draw.shuffle(some)
        made += some
    return made


def is_held_out(negation: str, place: int) -> bool:
    """Says whether the pair of a negation and the word at a place of its list is held out: a fifth is."""
    return (place + 2 * NEGATIONS.index(negation)) % 5 == 0


def _filled(template: str, kind: str, part: str, draw: random.Random) -> list[Sentence]:
    """Returns the sentences of one template, no two alike."""
    seen: dict[str, Sentence] = {}
    wanted = PLAIN if (kind, part) == ("plain", "training") else EACH[part]
    while len(seen) < wanted:
        places = dict(zip(("adj", "also", "more"), draw.sample(range(20), 3), strict=True))
        places["ADJ"] = draw.randrange(20)
        places |= {name: draw.randrange(8) for name in ("verb", "VERB", "noun", "NOUN")}
        places |= {"base": places["verb"], "BASE": places["VERB"]}
        if not _allowed(template, part, places):
            continue
        thing = f"{draw.choice(DETERMINERS)} {draw.choice(THINGS)}"
        degree = draw.choice(DEGREES)
        exchanged = places
        if re.search("{[A-Z]", template):  # so that the twin has the same words
            exchanged = {name: places.get(name.swapcase(), place) for name, place in places.items()}
        for good, chosen in ((True, places), (False, exchanged)):
            if _allowed(template, part, chosen):
                sentence = _said(template, kind, part, good, chosen, thing, degree)
                seen.setdefault(sentence.text, sentence)
    return list(seen.values())


def _allowed(template: str, part: str, places: Mapping[str, int]) -> bool:
    """Says whether all pairs of a sentence belong to the part."""
    pairs = [(match[2], places[match[1]]) for match in SLOT.finditer(template) if match[2]]
    return all(is_held_out(*pair) == (part == "held-out") for pair in pairs)


def _said(
    template: str, kind: str, part: str, good: bool, places: Mapping[str, int], thing: str, degree: str
) -> Sentence:
    """Says it; ``good`` is the side of the small-lettered words."""
    pairs = []

    def word(match: re.Match[str]) -> str:
        name, negation = match[1], match[2]
        side = int(good != name.islower())
        adjectives = [(w, w) for w in ADJECTIVES[side]]
        lists: Mapping[str, Sequence[Sequence[str]]] = {
            **dict.fromkeys(("adj", "also", "more"), adjectives),
            "verb": VERBS[side],
            "base": [(base, base) for base, _ in VERBS[side]],
            "noun": [(w, w) for w in NOUNS[side]],
        }
        key, form = lists[name.lower()][places[name]]
        if negation:
            pairs.append((negation, key))
        return form

    text = SLOT.sub(word, template[2:]).replace("{t}", thing).replace("{d}", degree)
    label = LABELS[good == (template[0] == "+")]
    return Sentence(text[0].upper() + text[1:], label, part, kind, template, tuple(pairs))


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
