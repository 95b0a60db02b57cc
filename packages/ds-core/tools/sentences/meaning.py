"""What a sentence says, before any language says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Tense = str  # "present", "past" or "future"
Question = str  # "", "whether" or "where"
Determiner = str  # "the", "a", "my", "our", "2", "3", "5", or "some", which is no article in English


class Word(NamedTuple):
    """Forms of one word in one language, as the lexicon lists them; ``extra`` holds what follows a sign."""

    forms: tuple[str, ...]
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One word in the four languages. Which form is which, each language knows."""

    en: Word
    de: Word
    es: Word
    fr: Word
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Names the entry: its first English form."""
        return self.en.forms[0]


@dataclass(frozen=True)
class Pronoun:
    """I, he, she, it, we or they. If ``dropped``, it says again who has just been named."""

    key: str
    dropped: bool = False


@dataclass(frozen=True)
class Name:
    """A person or a city: the entry's one form, and its gender in ``tags``."""

    entry: Entry


@dataclass(frozen=True)
class Phrase:
    """A noun with what belongs to it: the two old books."""

    noun: Entry
    determiner: Determiner = "the"
    plural: bool = False
    adjective: Entry | None = None
    owner: Name | None = None  # instead of the determiner


NounPhrase = Pronoun | Name | Phrase


@dataclass(frozen=True)
class Adjunct:
    """A preposition and its phrase: in the garden."""

    preposition: Entry
    phrase: NounPhrase


@dataclass(frozen=True)
class Quality:
    """What somebody or something is: very old, older than the car."""

    adjective: Entry
    degree: str = ""  # "very", "too" or "more"
    than: NounPhrase | None = None


@dataclass(frozen=True)
class Clause:
    """Who does what to whom, where and when."""

    subject: NounPhrase
    verb: Entry
    object: NounPhrase | None = None
    recipient: NounPhrase | None = None
    quality: Quality | None = None
    adjuncts: tuple[Adjunct, ...] = ()
    time: Entry | None = None
    tense: Tense = "present"
    negated: bool = False
    modal: Entry | None = None


@dataclass(frozen=True)
class Sentence:
    """One or two clauses as a statement or a question."""

    clause: Clause
    question: Question = ""
    time_first: bool = False
    because: Clause | None = None


def person(phrase: NounPhrase) -> int:
    """Returns which form of a verb a subject takes: 0 I, 1 he, 2 we, 3 they."""
    if isinstance(phrase, Pronoun):
        return {"I": 0, "we": 2, "they": 3}.get(phrase.key, 1)
    return 3 if isinstance(phrase, Phrase) and phrase.plural else 1
