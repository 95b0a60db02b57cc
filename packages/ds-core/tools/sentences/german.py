"""German: four cases, three genders, the verb second in main clauses and last in others."""

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

_CASES = {"nom": 0, "acc": 1, "dat": 2, "gen": 3}
_PRONOUNS = {
    "I": ("ich", "mich", "mir"),
    "he": ("er", "ihn", "ihm"),
    "she": ("sie", "sie", "ihr"),
    "it": ("es", "es", "ihm"),
    "we": ("wir", "uns", "uns"),
    "they": ("sie", "sie", "ihnen"),
}
# Gender or plural -> the four cases.
_THE = {
    "m": ("der", "den", "dem", "des"),
    "f": ("die", "die", "der", "der"),
    "n": ("das", "das", "dem", "des"),
    "p": ("die", "die", "den", "der"),
}
# The endings of ein, kein, mein, unser; "-" stands for none.
_A = {"m": "- en em es", "f": "e e er er", "n": "- - em es", "p": "e e en er"}
# The endings of an adjective: after der, after ein and its like, and with nothing before it.
_AFTER_THE = {"m": "e en en en", "f": "e e en en", "n": "e e en en", "p": "en en en en"}
_AFTER_A = {"m": "er en en en", "f": "e e en en", "n": "es es en en", "p": "en en en en"}
_ALONE = {"m": "er en em en", "f": "e e er er", "n": "es es em en", "p": "e e en er"}
_STEMS = {"a": "ein", "my": "mein", "our": "unser", "no": "kein"}
_NUMBERS = {"2": "zwei", "3": "drei", "5": "fünf"}
_FUSED = {
    "in dem": "im",
    "in das": "ins",
    "an dem": "am",
    "zu dem": "zum",
    "zu der": "zur",
}
_DEGREES = {"": "", "very": "sehr", "too": "zu"}
_WILL = ("werde", "wird", "werden", "werden")


def sentence(meaning: Sentence) -> str:
    """Says a sentence, without capital and full stop."""
    c = meaning.clause
    if meaning.question:
        said = ["wo" if meaning.question == "where" else "", *_verb_first(c)]
    elif meaning.time_first:
        said = [time(c), *_verb_first(c, without_time=True)]
    else:
        said = [noun_phrase(c.subject, "nom"), *_verb_first(c, without_subject=True)]
    text = " ".join(filter(None, said))
    if meaning.because is not None:
        text += ", " + because(meaning.because)
    for apart, fused in _FUSED.items():
        text = re.sub(rf"\b{apart}\b", fused, text)
    return text


def because(c: Clause) -> str:
    """Says a reason, with its verb last."""
    finite, end = verb(c)
    if end and end[-1].endswith("."):  # a prefix finds its verb again: aufsteht
        end = [*end[:-1], end[-1][:-1] + finite]
    else:
        end = [*end, finite]
    said = ["weil", noun_phrase(c.subject, "nom"), *middle(c), *end]
    return " ".join(filter(None, said))


def _verb_first(c: Clause, without_subject: bool = False, without_time: bool = False) -> list[str]:
    """Says a main clause from its finite verb on."""
    finite, end = verb(c)
    subject = "" if without_subject else noun_phrase(c.subject, "nom")
    return [finite, subject, *middle(c, without_time), *(word.removesuffix(".") for word in end)]


def verb(c: Clause) -> tuple[str, list[str]]:
    """Returns the finite verb and what of the verb stands at the end; of a prefix, with a dot."""
    who = person(c.subject)
    infinitive, first, third, participle, auxiliary, *past = c.verb.de.forms
    prefix = infinitive.partition(".")[0] + "." if "." in infinitive else ""
    tail = [extra[1:] for extra in c.verb.de.extra if extra[0] == "+"]
    whole = infinitive.replace(".", "")
    if c.modal is not None:
        m_infinitive, m_first, m_third, _, _, *m_past = c.modal.de.forms
        if c.tense == "future":
            return _WILL[who], [*tail, whole, m_infinitive]
        if c.tense == "past":
            return m_past[who >= 2], [*tail, whole]
        return (m_first, m_third, m_infinitive, m_infinitive)[who], [*tail, whole]
    if c.tense == "future":
        return _WILL[who], [*tail, whole]
    if c.tense == "past" and past:
        return past[who >= 2], tail
    if c.tense == "past":
        have = {"haben": ("habe", "hat", "haben"), "sein": ("bin", "ist", "sind")}[auxiliary]
        return have[min(who, 2)], [*tail, participle.replace(".", "")]
    plural = "sind" if whole == "sein" else whole.removeprefix(prefix[:-1])
    return (first, third, plural, plural)[who], [*tail, *([prefix] if prefix else [])]


def middle(c: Clause, without_time: bool = False) -> list[str]:
    """Says what stands between the finite verb and the end."""
    governs = next((extra[1:] for extra in c.verb.de.extra if extra[0] == "@"), "acc")
    no_object = c.negated and isinstance(c.object, Phrase) and c.object.determiner in ("a", "some")
    objects = []
    if c.recipient is not None:
        objects.append(noun_phrase(c.recipient, "dat"))
    if c.object is not None:
        if governs == "auf":
            objects.append("auf " + noun_phrase(c.object, "acc"))
        else:
            objects.append(noun_phrase(c.object, governs, negated=no_object))
    when = "" if without_time else time(c)
    negation = "nicht" if c.negated and not no_object else ""
    last = [quality(c.quality)] if c.quality is not None else []
    last += [adjunct(part) for part in c.adjuncts]
    if (isinstance(c.object, Pronoun) and governs != "auf") or isinstance(c.recipient, Pronoun):
        return [objects[0], when, *(objects[1:]), negation, *last]
    if negation and governs == "auf":
        return [when, negation, *objects, *last]
    if negation:
        return [*objects, when, negation, *last]
    return [when, *objects, *last]


def time(c: Clause) -> str:
    """Says when."""
    return "" if c.time is None else c.time.de.forms[0]


def quality(said: Quality) -> str:
    """Says an adjective after the verb, where it has no ending."""
    positive, *comparative = said.adjective.de.forms
    if said.than is None:
        return f"{_DEGREES[said.degree]} {positive}".strip()
    return f"{comparative[0]} als {noun_phrase(said.than, 'nom')}"


def adjunct(said: Adjunct) -> str:
    """Says a preposition and its phrase, in the case it asks for."""
    preposition, case = said.preposition.de.forms
    return f"{preposition} {noun_phrase(said.phrase, case)}"


def noun_phrase(said: NounPhrase, case: str, negated: bool = False) -> str:
    """Says who or what, in a case."""
    if isinstance(said, Pronoun):
        return _PRONOUNS[said.key][_CASES[case]]
    if isinstance(said, Name):
        return said.entry.de.forms[0]
    return phrase(said, case, negated)


def phrase(said: Phrase, case: str, negated: bool = False) -> str:
    """Says a noun with what belongs to it."""
    gender = "p" if said.plural else said.noun.de.forms[0]
    place = _CASES[case]
    if said.owner is not None:
        article, endings = said.owner.entry.de.forms[0] + "s", _ALONE
    elif negated:
        article, endings = _inflected("kein", gender, place), _AFTER_A
    elif said.determiner == "the":
        article, endings = _THE[gender][place], _AFTER_THE
    elif said.determiner == "some":
        article, endings = "", _ALONE
    elif said.determiner in _NUMBERS:
        article, endings = _NUMBERS[said.determiner], _ALONE
    else:
        article, endings = _inflected(_STEMS[said.determiner], gender, place), _AFTER_A
    adjective = ""
    if said.adjective is not None:
        stem = next((extra[1:] for extra in said.adjective.de.extra), said.adjective.de.forms[0])
        adjective = stem + endings[gender].split()[place]
    return " ".join(filter(None, [article, adjective, noun(said.noun, said.plural, case)]))


def _inflected(stem: str, gender: str, place: int) -> str:
    return stem + _A[gender].split()[place].strip("-")


def noun(entry: Entry, plural: bool, case: str) -> str:
    """Returns a noun's form: the -n of the dative plural, the -n of weak nouns."""
    _, singular, many = entry.de.forms
    if plural:
        return many if case != "dat" or many[-1] in "ns" else many + "n"
    weak = next((extra[1:] for extra in entry.de.extra), "")
    return singular if case == "nom" else singular + weak
