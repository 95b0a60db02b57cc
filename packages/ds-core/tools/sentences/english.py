"""English: do-support, third person -s, a or an."""

from __future__ import annotations

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

_NUMBERS = {"2": "two", "3": "three", "5": "five"}
_OBJECT = {"I": "me", "he": "him", "she": "her", "it": "it", "we": "us", "they": "them"}
_BE = {"present": ("am", "is", "are", "are"), "past": ("was", "was", "were", "were")}


def sentence(meaning: Sentence) -> str:
    """Says a sentence, without capital and full stop."""
    c = meaning.clause
    if meaning.question:
        return question(meaning)
    said = clause(c)
    if meaning.time_first and c.time is not None:
        said = [time(c), *clause(c, with_time=False)]
    if meaning.because is not None:
        said += ["because", *clause(meaning.because)]
    return " ".join(filter(None, said))


def question(meaning: Sentence) -> str:
    """Says a question: the auxiliary before the subject."""
    c = meaning.clause
    asked = "where" if meaning.question == "where" else ""
    auxiliary, rest = verb(c, ask=True)
    return " ".join(filter(None, [asked, auxiliary, noun_phrase(c.subject), *rest, *after(c), time(c)]))


def clause(c: Clause, with_time: bool = True) -> list[str]:
    """Says subject, verb and all that follows."""
    auxiliary, main = verb(c)
    late = with_time and not _is_early(c.time)
    return [noun_phrase(c.subject), auxiliary, *main, *after(c), time(c) if late else ""]


def verb(c: Clause, ask: bool = False) -> tuple[str, list[str]]:
    """Returns the finite auxiliary, empty if there is none, and the rest of the verb."""
    who, adverb = person(c.subject), time(c) if _is_early(c.time) and not ask else ""
    negated = c.negated
    base, third, past = (c.modal or c.verb).en.forms
    tail = [extra[1:] for extra in c.verb.en.extra if extra[0] == "+"]
    following = [c.verb.en.forms[0]] if c.modal else []
    is_modal = base in ("can", "must") and not (base == "must" and c.tense == "past")
    if c.tense == "future":
        return "will", ["not" if negated else "", adverb, base, *following, *tail]
    if is_modal:
        auxiliary = "cannot" if negated and base == "can" else base
        return auxiliary, ["not" if negated and base == "must" else "", adverb, *following, *tail]
    if base == "be":
        return _BE[c.tense][who], ["not" if negated else "", adverb, *following, *tail]
    if negated or ask:
        auxiliary = "did" if c.tense == "past" else "does" if who == 1 else "do"
        return auxiliary, [
            "not" if negated else "",
            adverb,
            "have to" if base == "must" else base,
            *following,
            *tail,
        ]
    finite = past if c.tense == "past" else third if who == 1 else base
    return "", [adverb, finite, *following, *tail]


def after(c: Clause) -> list[str]:
    """Says what follows the verb, but for the time."""
    said = [noun_phrase(part, is_object=True) for part in (c.recipient, c.object) if part is not None]
    if c.quality is not None:
        said.append(quality(c.quality))
    return said + [adjunct(part) for part in c.adjuncts]


def time(c: Clause) -> str:
    """Says when."""
    return "" if c.time is None else c.time.en.forms[0]


def _is_early(when: Entry | None) -> bool:
    return when is not None and "@early" in when.en.extra


def quality(said: Quality) -> str:
    """Says an adjective after the verb."""
    positive, *comparative = said.adjective.en.forms
    if said.than is None:
        return f"{said.degree} {positive}".strip()
    more = comparative[0] if comparative else f"more {positive}"
    return f"{more} than {noun_phrase(said.than)}"


def adjunct(said: Adjunct) -> str:
    """Says a preposition and its phrase."""
    return f"{said.preposition.en.forms[0]} {noun_phrase(said.phrase, is_object=True, place=True)}"


def noun_phrase(said: NounPhrase, is_object: bool = False, place: bool = False) -> str:
    """Says who or what."""
    if isinstance(said, Pronoun):
        return _OBJECT[said.key] if is_object else said.key
    if isinstance(said, Name):
        return said.entry.key
    return phrase(said, place)


def phrase(said: Phrase, place: bool = False) -> str:
    """Says a noun with what belongs to it."""
    word = said.noun.en.forms[1 if said.plural else 0]
    if said.adjective is not None:
        word = f"{said.adjective.en.forms[0]} {word}"
    if said.owner is not None:
        article = f"{said.owner.entry.key}'s"
    elif place and "@bare" in said.noun.en.extra:
        article = ""
    elif said.determiner == "a":
        article = "an" if word[0] in "aeiou" else "a"
    elif said.determiner == "some":
        article = ""
    else:
        article = _NUMBERS.get(said.determiner, said.determiner)
    return " ".join(filter(None, [article, word]))
