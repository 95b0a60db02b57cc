"""The shipped corpus: what the script writes, and right by the rules that can be checked."""

import csv
import gzip
import re

import pytest
from ds_core.text import load_pairs
from sentences.make import FILE, LANGUAGES, make_sentences, write_sentences

with gzip.open(FILE, "rt", encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))


def test_the_script_writes_the_shipped_file(tmp_path):
    again = tmp_path / "again.csv.gz"
    write_sentences(again)
    assert gzip.decompress(again.read_bytes()) == gzip.decompress(FILE.read_bytes())


def test_another_seed_gives_other_sentences():
    first, second = (make_sentences(50, seed) for seed in (1, 2))
    assert first == make_sentences(50, 1)
    assert first != second


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_comes_twice_in_any_language(language):
    texts = [row[language] for row in ROWS]
    assert len(texts) >= 3000
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert text == text.strip()
        assert "  " not in text
        assert text[-1] in ".?"
        assert text[0].isupper() or (language == "es" and text[0] == "¿" and text[1].isupper())


@pytest.mark.parametrize(
    ("language", "wrong"),
    [
        ("en", r"\b[Aa] [aeiou]\w*"),
        ("en", r"\b[Aa]n [^aeiou]"),
        ("en", r"^(He|She|Anna|Paul) (go|eat|drink|buy|do|have) "),
        ("en", r"\b(I|we|they|We|They) (goes|eats|drinks|buys|does|is|was not a) "),
        ("de", r"\b(in dem|in das|an dem|zu dem|zu der)\b"),
        ("de", r"\bdie (Mann|Junge|Arzt|Buch|Haus|Auto|Brief)\b"),
        ("de", r"\bder (Buch|Haus|Auto|Kind|Bett|Fenster)\b"),
        ("de", r"\b(mit|bei|von|zu) den (?!\w+n\b|\w+s\b)"),
        ("de", r"weil \w+( \w+)* (ist|war|sind|waren|bin) \w+"),  # the verb ends a clause
        ("es", r"\b(de el|a el)\b(?! \w*[áéíóú]l\b)"),
        ("es", r"\b(el|un) (casa|mesa|silla|carta|llave|flor|ciudad|mujer|chica)\b"),
        ("es", r"\b(la|una) (libro|coche|sombrero|hombre|chico|perro)\b"),
        ("fr", r"\b(de le|de les|à le|à les)\b"),
        ("fr", r"\b(le|la|je|ne|de|que|me) [aeiouéèêàâœh]"),
        ("fr", r"\b(ma|ta|sa) [aeiouéèêh]"),
        ("fr", r"\b(va|vais|vont|allons|allée?s?|ir\w+|aller) dans la ville"),  # en ville
        ("fr", r"\b(le|un) (maison|table|chaise|lettre|clé|fleur|femme|fille)\b"),
        ("fr", r"\b(beau|nouveau|vieux) [aeiouéèêh]\w*[^sx]\b"),
    ],
)
def test_grammar_keeps_its_rules(language, wrong):
    found = [row[language] for row in ROWS if re.search(wrong, row[language])]
    assert found == []


def test_words_occur_where_they_should():
    """A few sentences as a speaker says them, so that the rules above cannot all pass on nonsense."""
    known = {
        "My brother often goes to school.": (
            "Mein Bruder geht oft in die Schule.",
            "Mi hermano va a la escuela a menudo.",
            "Mon frère va souvent à l'école.",
        ),
        "My mother did not drink coffee last month.": (
            "Meine Mutter hat letzten Monat keinen Kaffee getrunken.",
            "Mi madre no bebió café el mes pasado.",
            "Ma mère n'a pas bu de café le mois dernier.",
        ),
        "The girl is taller than the woman.": (
            "Das Mädchen ist größer als die Frau.",
            "La chica es más alta que la mujer.",
            "La fille est plus grande que la femme.",
        ),
    }
    rows = {row["en"]: (row["de"], row["es"], row["fr"]) for row in ROWS}
    assert {text: rows.get(text) for text in known} == known


def test_every_pair_of_languages_loads():
    pairs = load_pairs("bundled:sentences", "es", "fr")
    assert len(pairs) == len(ROWS)
    assert pairs.source[0] == ROWS[0]["es"]
