"""French: elision, partitive articles, ne ... pas, participles that agree."""

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

_SUBJECT = {"I": "je", "he": "il", "she": "elle", "it": "il", "we": "nous", "they": "ils"}
_DIRECT = {"I": "me", "he": "le", "she": "la", "it": "le", "we": "nous", "they": "les"}
_INDIRECT = {"I": "me", "he": "lui", "she": "lui", "it": "lui", "we": "nous", "they": "leur"}
_STRESSED = {"I": "moi", "he": "lui", "she": "elle", "it": "lui", "we": "nous", "they": "eux"}
_REFLEXIVE = ("me", "se", "nous", "se")
_FUTURE = ("ai", "a", "ons", "ont")
_AVOIR = ("ai", "a", "avons", "ont")
_ETRE = ("suis", "est", "sommes", "sont")
# Masculine, feminine, and their plurals.
_ARTICLES = {
    "the": ("le", "la", "les", "les"),
    "a": ("un", "une", "des", "des"),
    "some": ("de le", "de la", "des", "des"),
    "my": ("mon", "ma", "mes", "mes"),
    "our": ("notre", "notre", "nos", "nos"),
}
_NUMBERS = {"2": "deux", "3": "trois", "5": "cinq"}
_DEGREES = {"": "", "very": "très", "too": "trop"}
_VOWEL = "[aeiouhâàéèêîôœAEIOUHÉ]"  # no h of ours is aspirated


def sentence(meaning: Sentence) -> str:
    """Says a sentence, without capital and full stop."""
    c = meaning.clause
    if meaning.question:
        said = question(meaning)
    elif meaning.time_first:
        said = [time(c) + ",", *clause(c, with_time=False)]
    else:
        said = clause(c)
    if meaning.because is not None:
        said += ["parce que", *clause(meaning.because)]
    return fuse(" ".join(filter(None, said)))


def fuse(text: str) -> str:
    """Cuts short what stands before a vowel, and draws prepositions and articles together."""
    text = re.sub(rf"\b(le|la|je|ne|de|que|se|me) (?={_VOWEL})", lambda m: m[1][:-1] + "'", text)
    for apart, fused in (("à le", "au"), ("à les", "aux"), ("de le", "du"), ("de les", "des")):
        text = re.sub(rf"(?<!\w){apart}\b", fused, text)
    return text


def question(meaning: Sentence) -> list[str]:
    """Says a question, with est-ce que."""
    c = meaning.clause
    if meaning.question == "where":
        return ["où", finite(c.verb, c.tense, person(c.subject)), noun_phrase(c.subject)]
    return ["est-ce que", *clause(c)]


def clause(c: Clause, with_time: bool = True) -> list[str]:
    """Says subject, verb and all that follows."""
    early = time(c) if with_time and _is_early(c.time) else ""
    late = time(c) if with_time and not early else ""
    return [noun_phrase(c.subject), *verb(c, early), *after(c), late]


def verb(c: Clause, adverb: str = "") -> list[str]:
    """Says the verb with its pronouns and negation, and an adverb that follows the finite verb."""
    who = person(c.subject)
    infinitive = c.verb.fr.forms[0]
    pronoun = _REFLEXIVE[who] if infinitive.startswith("se ") else ""
    if isinstance(c.object, Pronoun):
        pronoun = _DIRECT[c.object.key]
    if isinstance(c.recipient, Pronoun):
        pronoun = _INDIRECT[c.recipient.key]
    ne, no = ("ne", "pas") if c.negated else ("", "")
    tail = [extra[1:] for extra in c.verb.fr.extra if extra[0] == "+"]
    if c.modal is not None:
        modal, participle = conjugated(c.modal, c, who)
        return [ne, modal, no, adverb, participle, pronoun, infinitive.removeprefix("se "), *tail]
    main, participle = conjugated(c.verb, c, who)
    return [ne, pronoun, main, no, adverb, participle, *tail]


def conjugated(entry: Entry, c: Clause, who: int) -> tuple[str, str]:
    """Returns the finite verb, and the participle if there is one."""
    forms = entry.fr.forms
    if c.tense != "past" or len(forms) > 8:
        return finite(entry, c.tense, who), ""
    participle, auxiliary = forms[5:7]
    if auxiliary == "être" or forms[0].startswith("se "):
        return _ETRE[who], participle + ("", "e", "s", "es")[_place(c.subject)]
    if isinstance(c.object, Pronoun):  # it agrees with an object that has come before it
        participle = agreeing(participle, _place(c.object))
    return _AVOIR[who], participle


def agreeing(participle: str, place: int) -> str:
    """Returns a participle's form for a gender and number."""
    ending = ("", "e", "s", "es")[place]
    return participle + (ending[:-1] if participle[-1] == "s" and ending == "s" else ending)


def finite(entry: Entry, tense: str, who: int) -> str:
    """Returns the form of a verb for a tense and a person; the past is the imperfect."""
    forms = entry.fr.forms
    if tense == "present":
        return forms[1 + who]
    return forms[7] + _FUTURE[who] if tense == "future" else forms[8 + who]


def after(c: Clause) -> list[str]:
    """Says what follows the verb, but for the time."""
    said = []
    if c.object is not None and not isinstance(c.object, Pronoun):
        said.append(noun_phrase(c.object, no=c.negated))
    if c.recipient is not None and not isinstance(c.recipient, Pronoun):
        said.append("à " + noun_phrase(c.recipient))
    if c.quality is not None:
        said.append(quality(c.quality, c.subject))
    return said + [adjunct(part) for part in c.adjuncts]


def time(c: Clause) -> str:
    """Says when."""
    return "" if c.time is None else c.time.fr.forms[0]


def _is_early(when: Entry | None) -> bool:
    return when is not None and "@early" in when.fr.extra


def _place(said: NounPhrase) -> int:
    """Returns which form agrees with a phrase: 0 masculine, 1 feminine, and 2 and 3 in the plural."""
    if isinstance(said, Pronoun):
        return {"she": 1, "we": 2, "they": 2}.get(said.key, 0)
    if isinstance(said, Name):
        return int("f" in said.entry.tags)
    return (said.noun.fr.forms[0] == "f") + 2 * said.plural


def quality(said: Quality, subject: NounPhrase) -> str:
    """Says an adjective after the verb."""
    adjective = said.adjective.fr.forms[_place(subject)]
    if said.than is None:
        return f"{_DEGREES[said.degree]} {adjective}".strip()
    return f"plus {adjective} que {noun_phrase(said.than, stressed=True)}"


def adjunct(said: Adjunct) -> str:
    """Says a preposition and its phrase; en ville has no article."""
    preposition = said.preposition.fr.forms[0]
    if preposition == "en" and isinstance(said.phrase, Phrase):
        return f"en {said.phrase.noun.fr.forms[1]}"
    return f"{preposition} {noun_phrase(said.phrase, stressed=True)}"


def noun_phrase(said: NounPhrase, no: bool = False, stressed: bool = False) -> str:
    """Says who or what; ``no``: after pas, where an article that is not definite is de."""
    if isinstance(said, Pronoun):
        return _STRESSED[said.key] if stressed else _SUBJECT[said.key]
    if isinstance(said, Name):
        return said.entry.fr.forms[0]
    return phrase(said, no)


def phrase(said: Phrase, no: bool = False) -> str:
    """Says a noun with what belongs to it."""
    place = _place(said)
    word = said.noun.fr.forms[1 + said.plural]
    before = False
    if said.adjective is not None:
        forms = said.adjective.fr.forms
        before = "@before" in said.adjective.fr.extra
        adjective = forms[place]
        if before:
            adjective = forms[4] if place == 0 and len(forms) > 4 and re.match(_VOWEL, word) else adjective
            word = f"{adjective} {word}"
        else:
            word = f"{word} {adjective}"
    determiner = "the" if said.owner is not None else said.determiner
    if (no and determiner in ("a", "some")) or (determiner == "some" and said.plural and before):
        article = "de"
    elif determiner == "my" and place == 1 and re.match(_VOWEL, word):
        article = "mon"
    elif determiner in _ARTICLES:
        article = _ARTICLES[determiner][place]
    else:
        article = _NUMBERS[determiner]
    owner = "" if said.owner is None else f"de {said.owner.entry.fr.forms[0]}"
    return " ".join(filter(None, [article, word, owner]))
