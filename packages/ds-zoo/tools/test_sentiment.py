"""The shipped sentences: what the script writes, balanced, and held out as they say."""

import csv
import gzip
import re
from collections import Counter

import pytest
from sentiment.make import COLUMNS, EACH, FILE, LABELS, make_sentences, write_sentences
from sentiment.templates import KINDS, NEGATIONS, is_held_out, templates
from sentiment.words import ADJECTIVES

with gzip.open(FILE, "rt", encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))
MADE = make_sentences()
PARTS = {part: [s for s in MADE if s.part == part] for part in EACH}


def words(text):
    return re.findall(r"\w+", text.lower())


def test_the_script_writes_the_shipped_file(tmp_path):
    again = tmp_path / "again.csv.gz"
    assert write_sentences(again) == len(ROWS)
    assert gzip.decompress(again.read_bytes()) == gzip.decompress(FILE.read_bytes())
    assert [{column: getattr(s, column) for column in COLUMNS} for s in MADE] == ROWS
    assert make_sentences(1) != MADE


def test_several_thousand_sentences_no_two_alike():
    assert len(PARTS["training"]) == sum(EACH["training"].values())
    assert len(PARTS["held-out"]) == sum(EACH["held-out"].values())
    assert len({s.text for s in MADE}) == len(MADE)
    for text in (s.text for s in MADE):
        assert text[0].isupper()
        assert text.endswith(".")
        assert not re.search(r"[{}|]|  ", text)


@pytest.mark.parametrize("part", EACH)
def test_no_template_tells_the_label(part):
    for kind in KINDS:
        labels = Counter(s.label for s in PARTS[part] if s.kind == kind)
        assert labels[LABELS[0]] == labels[LABELS[1]] >= 300
    said = {(s.template, s.label) for s in PARTS[part]}
    assert all((template, label) in said for template, _ in said for label in LABELS)


def test_the_parts_share_no_template_but_all_parts_of_templates():
    used = {part: {s.template for s in some} for part, some in PARTS.items()}
    assert not {t.text for t in used["training"]} & {t.text for t in used["held-out"]}
    assert len({t.text for t in templates()}) == len(list(templates())) > 8000
    assert len(used["training"]) > 3000
    assert len(used["held-out"]) > 1000
    trained = {c for template in used["training"] for c in template.combinations}
    asked = {c for template in used["held-out"] for c in template.combinations}
    assert not any(map(is_held_out, trained))
    assert all(template.combinations - trained for template in used["held-out"])
    assert len(asked - trained) > 50
    assert {part for c in asked for part in c} <= {part for c in trained for part in c}


def test_the_held_out_part_shares_no_pair_of_word_and_negation():
    pairs = {part: {pair for s in some for pair in s.pairs} for part, some in PARTS.items()}
    assert not pairs["training"] & pairs["held-out"]
    assert len(pairs["held-out"]) > 90
    # The same, seen in the texts alone, where the two stand together.
    adjectives = "|".join((*ADJECTIVES[0], *ADJECTIVES[1]))
    together = re.compile(rf"\b({'|'.join(NEGATIONS[:7])}) (?:very |really |truly )?({adjectives})\b")
    seen = {part: {m for s in some for m in together.findall(s.text.lower())} for part, some in PARTS.items()}
    assert len(seen["training"]) > 150
    assert len(seen["held-out"]) > 40
    assert not seen["training"] & seen["held-out"]


def test_the_words_of_the_held_out_part_are_known():
    known = {word for s in PARTS["training"] for word in words(s.text)}
    assert {word for s in PARTS["held-out"] for word in words(s.text)} <= known


def test_a_contrast_held_out_has_a_twin_of_the_same_words_and_the_opposite_label():
    bags = {}
    for s in PARTS["held-out"]:
        if s.kind == "contrast":
            bags.setdefault(tuple(sorted(words(s.text))), []).append(s.label)
    assert sum(map(len, bags.values())) == EACH["held-out"]["contrast"]
    for labels in bags.values():
        assert labels.count(LABELS[0]) == labels.count(LABELS[1])
