"""Spanish: subject pronouns mostly left out, a before persons, ser and estar, al and del."""

from __future__ import annotations

import re

from sentences.meaning import (
    Adjunct,
    Clause,
    Entry,
    Name,
    NounPhrase,
    Phrase,
    Pronoun,
    Quality,
    Sentence,
    person,
)

# I and we are heard in the verb; who else it is, is not.
_SUBJECT = {"I": "", "he": "él", "she": "ella", "it": "", "we": "", "they": "ellos"}
_DIRECT = {"I": "me", "he": "lo", "she": "la", "it": "lo", "we": "nos", "they": "los"}
_INDIRECT = {"I": "me", "he": "le", "she": "le", "it": "le", "we": "nos", "they": "les"}
_REFLEXIVE = ("me", "se", "nos", "se")
_FUTURE = ("é", "á", "emos", "án")
# Masculine, feminine, and their plurals.
_ARTICLES = {
    "the": ("el", "la", "los", "las"),
    "a": ("un", "una", "unos", "unas"),
    "my": ("mi", "mi", "mis", "mis"),
    "our": ("nuestro", "nuestra", "nuestros", "nuestras"),
}
_NUMBERS = {"2": "dos", "3": "tres", "5": "cinco"}
_DEGREES = {"": "", "very": "muy", "too": "demasiado"}


def sentence(meaning: Sentence) -> str:
    """Says a sentence, without capital and full stop."""
    c = meaning.clause
    if meaning.question:
        said = question(meaning)
    elif meaning.time_first:
        said = [time(c), *clause(c, with_time=False)]
    else:
        said = clause(c)
    if meaning.because is not None:
        said += ["porque", *clause(meaning.because)]
    text = " ".join(filter(None, said))
    return re.sub(r"\bde el\b", "del", re.sub(r"\ba el\b", "al", text))


def question(meaning: Sentence) -> list[str]:
    """Says a question: the verb before the subject."""
    c = meaning.clause
    asked = "dónde" if meaning.question == "where" else ""
    front, back = verb(c)
    return [asked, *front, subject_of(c), *back, *after(c), time(c)]


def clause(c: Clause, with_time: bool = True) -> list[str]:
    """Says subject, verb and all that follows."""
    front, back = verb(c)
    early = time(c) if with_time and _is_early(c.time) else ""
    late = time(c) if with_time and not early else ""
    return [subject_of(c), early, *front, *back, *after(c), late]


def subject_of(c: Clause) -> str:
    """Says the subject, if it must be said."""
    if isinstance(c.subject, Pronoun):
        return "" if c.subject.dropped else _SUBJECT[c.subject.key]
    return noun_phrase(c.subject)


def verb(c: Clause) -> tuple[list[str], list[str]]:
    """Returns negation, pronouns and finite verb; and what of the verb follows, a subject perhaps between."""
    who = person(c.subject)
    infinitive = c.verb.es.forms[0].removesuffix("se")
    pronoun = _REFLEXIVE[who] if c.verb.es.forms[0].endswith("rse") else ""
    if isinstance(c.object, Pronoun):
        pronoun = _DIRECT[c.object.key]
    if isinstance(c.recipient, Pronoun):
        pronoun = _INDIRECT[c.recipient.key]
    elif c.recipient is not None:
        pronoun = _INDIRECT["they" if person(c.recipient) == 3 else "he"]
    negation = "no" if c.negated else ""
    tail = [extra[1:] for extra in c.verb.es.extra if extra[0] == "+"]
    if c.modal is not None:
        return [negation, finite(c.modal, c.tense, who)], [infinitive + pronoun, *tail]
    return [negation, pronoun, finite(c.verb, c.tense, who)], tail


def finite(entry: Entry, tense: str, who: int) -> str:
    """Returns the form of a verb for a tense and a person."""
    forms = entry.es.forms
    if tense == "present":
        return forms[1 + who]
    if tense == "past":
        return forms[5 + who]
    stem, _, rest = forms[9].partition(" ")
    return f"{stem}{_FUTURE[who]} {rest}".strip()


def after(c: Clause) -> list[str]:
    """Says what follows the verb, but for the time."""
    said = []
    if c.object is not None and not isinstance(c.object, Pronoun):
        text = noun_phrase(c.object)
        personal = isinstance(c.object, Name) or (
            isinstance(c.object, Phrase) and {"person", "kin"} & set(c.object.noun.tags)
        )
        said.append(f"a {text}" if personal else text)
    if c.recipient is not None and not isinstance(c.recipient, Pronoun):
        said.append("a " + noun_phrase(c.recipient))
    if c.quality is not None:
        said.append(quality(c.quality, c.subject))
    return said + [adjunct(part) for part in c.adjuncts]


def time(c: Clause) -> str:
    """Says when."""
    return "" if c.time is None else c.time.es.forms[0]


def _is_early(when: Entry | None) -> bool:
    return when is not None and "@early" in when.es.extra


def _place(said: NounPhrase) -> int:
    """Returns which form agrees with a subject: 0 masculine, 1 feminine, and 2 and 3 in the plural."""
    if isinstance(said, Pronoun):
        return {"she": 1, "we": 2, "they": 2}.get(said.key, 0)
    if isinstance(said, Name):
        return int("f" in said.entry.tags)
    return (said.noun.es.forms[0] == "f") + 2 * said.plural


def quality(said: Quality, subject: NounPhrase) -> str:
    """Says an adjective after the verb."""
    adjective = said.adjective.es.forms[_place(subject)]
    if said.than is None:
        return f"{_DEGREES[said.degree]} {adjective}".strip()
    return f"más {adjective} que {noun_phrase(said.than)}"


def adjunct(said: Adjunct) -> str:
    """Says a preposition and its phrase."""
    return f"{said.preposition.es.forms[0]} {noun_phrase(said.phrase)}"


def noun_phrase(said: NounPhrase) -> str:
    """Says who or what."""
    if isinstance(said, Pronoun):
        return _SUBJECT[said.key]
    if isinstance(said, Name):
        return said.entry.es.forms[0]
    return phrase(said)


def phrase(said: Phrase) -> str:
    """Says a noun with what belongs to it."""
    place = _place(said)
    word = said.noun.es.forms[1 + said.plural]
    if said.adjective is not None:
        word += " " + said.adjective.es.forms[place]
    determiner = "the" if said.owner is not None else said.determiner
    if determiner == "some":
        article = ""
    elif determiner == "the" and "@el" in said.noun.es.extra and not said.plural:
        article = "el"  # el agua, though feminine
    elif determiner in _ARTICLES:
        article = _ARTICLES[determiner][place]
    else:
        article = _NUMBERS[determiner]
    owner = "" if said.owner is None else f"de {said.owner.entry.es.forms[0]}"
    return " ".join(filter(None, [article, word, owner]))
