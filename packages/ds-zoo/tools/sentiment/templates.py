"""The ways of saying what one thinks: templates, made of parts.

A clause is who judges and with which verb, and what negates it; a template is a clause and what is said
before it, or two clauses and what joins them. Two parts that meet are a *combination*, and a fifth of all
combinations is held out: a template that has one of these is held out, the others are there to learn from. So
the two parts of the data share no template, but every part of a template.

In a text ``{adj}``, ``{verb}`` (past), ``{base}`` and ``{noun}`` are words of one side, ``{also}`` is a
further adjective of it; ``{ADJ}``, ``{VERB}`` and ``{NOUN}`` are of the other side. ``{adj|not}`` is a word
that "not" turns round: the two are a pair, and pairs are held out, too. ``{t}`` is what is spoken of, ``{d}``
a degree or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

KINDS = ("plain", "negated", "negated twice", "contrast", "contrast and negation", "unsaid")
NEGATIONS = (
    *("not", "never", "hardly", "by no means", "far from", "anything but", "in no way", "nobody", "nothing"),
)

# Who judges, with a verb that an adjective or noun follows, and what negates that verb.
JUDGE: Mapping[str, Mapping[str, str]] = {
    "{t} was": {"not": "{t} was not", "never": "{t} was never"},
    "{t} turned out to be": {
        "not": "{t} did not turn out to be",
        "never": "{t} never turned out to be",
    },
    "I found {t}": {"not": "I did not find {t}", "never": "I never found {t}", "nobody": "nobody found {t}"},
    "we considered {t}": {
        "not": "we did not consider {t}",
        "never": "we never considered {t}",
        "nobody": "nobody considered {t}",
    },
    "all of us called {t}": {
        "not": "we did not call {t}",
        "never": "we never called {t}",
        "nobody": "nobody called {t}",
    },
}
BEFORE_THE_WORD = ("hardly", "by no means", "far from", "anything but", "in no way")
# Who feels, with a verb that praises or complains.
FEEL = {"I": "I", "we": "we", "my friends": "my friends", "everybody": "everybody"}
BEFORE_THE_VERB = ("never", "hardly", "by no means", "in no way")
# What others say, what was expected, how it began: it does not count.
JUDGE_ASIDE: Mapping[str, Mapping[str, str]] = {
    "others found {t}": {"not": "others did not find {t}"},
    "I had expected {t} to be": {"not": "I had not expected {t} to be"},
    "everybody told me that {t} was": {"nobody": "nobody told me that {t} was"},
    "some people call {t}": {"not": "some people do not call {t}"},
    "the critics had called {t}": {"never": "the critics had never called {t}"},
    "at first {t} seemed": {"not": "at first {t} did not seem"},
}
FEEL_ASIDE: Mapping[str, Mapping[str, str]] = {
    "others {verb} {t}": {"not": "others did not {base|not} {t}"},
    "I should have {verb} {t}": {"not": "I should not have {verb|not} {t}"},
    "the critics {verb} {t}": {"never": "the critics never {verb|never} {t}"},
    "at first I {verb} {t}": {"not": "at first I did not {base|not} {t}"},
    "some people {verb} {t}": {"not": "some people did not {base|not} {t}"},
}

# Said before a clause: without effect, or denying it.
OPENINGS = (
    *("", "to be honest, ", "all in all, ", "frankly, ", "on the whole, "),
    *("I would say that ", "I must say that ", "it is clear that ", "it is true that "),
)
DENIALS = {
    "I would not say that ": "not",
    "it is not true that ": "not",
    "I do not believe that ": "not",
    "nobody could say that ": "nobody",
    "nobody can claim that ": "nobody",
}
# Two words of which one counts, where one would do.
TWO_WORDS = (
    *("{x}, not {X|not}", "not {X|not} but {x}", "{x} rather than {X}", "{x} instead of {X}"),
    *("more {x} than {X}", "less {X} than {x}"),
)
# Two clauses that agree, and two of which the second counts.
AGREE = ("{1}, and {2}", "{1}, for {2}", "{1}, since {2}")
ASIDE = (
    *("{1}, but {2}", "{1}, yet {2}", "{1}, but in the end {2}", "although {1}, {2}", "{2}, although {1}"),
    *("even though {1}, {2}", "{2}, even though {1}", "while {1}, {2}"),
)
# What is left to say where the word is understood: after a judgement, and after a feeling.
UNSAID = {
    "judge": (
        {
            "it was not": "not",
            "it was not at all": "not",
            "in the end it was not": "not",
            "it never was": "never",
        },
        ("it was", "it really was", "in the end it was", "it was all the same"),
    ),
    "feel": (
        {
            "I did not": "not",
            "I did not at all": "not",
            "in the end I did not": "not",
            "I never did": "never",
        },
        ("I did", "I really did", "in the end I did", "I did all the same"),
    ),
}

_LISTS = (
    *((*JUDGE, *FEEL, "something"), NEGATIONS, OPENINGS, tuple(DENIALS), TWO_WORDS, AGREE, ASIDE),
    *((*JUDGE_ASIDE, *FEEL_ASIDE), *(tuple(part) for both in UNSAID.values() for part in both)),
)
_PLACES = {part: place for parts in _LISTS for place, part in enumerate(parts)}
Combination = tuple[str, str]


@dataclass(frozen=True)
class Clause:
    """Says something of ``{t}``: what its word says, or the opposite."""

    text: str
    word: str  # "adj", "noun", "verb" or "base"
    judge: str
    negation: str | None = None

    @property
    def combinations(self) -> frozenset[Combination]:
        return frozenset({(self.judge, self.negation)} if self.negation else ())


@dataclass(frozen=True)
class Template:
    """A sentence but for its words."""

    kind: str  # of KINDS
    text: str
    praises: bool  # if its small-lettered words are good
    combinations: frozenset[Combination]

    @property
    def held_out(self) -> bool:
        return any(map(is_held_out, self.combinations))


def is_held_out(combination: Combination) -> bool:
    """Says whether two parts of a template meet in the held-out part alone: a fifth does."""
    one, other = combination
    return "" not in combination and (_PLACES[one] + 2 * _PLACES[other]) % 5 == 4


def clauses() -> Iterator[Clause]:
    """Yields the clauses that count."""
    for judge, negated in JUDGE.items():
        for word in ("adj", "noun"):
            degree = "{d}" * (word == "adj")
            yield Clause(f"{judge} {degree}{{{word}}}", word, judge)
            for negation, verb in negated.items():
                yield Clause(f"{verb} {{{word}|{negation}}}", word, judge, negation)
            for negation in BEFORE_THE_WORD:
                yield Clause(f"{judge} {negation} {{{word}|{negation}}}", word, judge, negation)
    for who in FEEL:
        yield Clause(f"{who} {{verb}} {{t}}", "verb", who)
        if who == "everybody":
            yield Clause("nobody {verb|nobody} {t}", "verb", who, "nobody")
            continue
        yield Clause(f"{who} did {{base}} {{t}}", "base", who)
        yield Clause(f"{who} did not {{base|not}} {{t}}", "verb", who, "not")
        for negation in BEFORE_THE_VERB:
            yield Clause(f"{who} {negation} {{verb|{negation}}} {{t}}", "verb", who, negation)
    yield Clause("there was something {adj} about {t}", "adj", "something")
    yield Clause("there was nothing {adj|nothing} about {t}", "adj", "something", "nothing")


def clauses_aside() -> Iterator[Clause]:
    """Yields the clauses that do not count."""
    for judge, negated in JUDGE_ASIDE.items():
        for word in ("adj", "noun"):
            yield Clause(f"{judge} {{{word}}}", word, judge)
            for negation, verb in negated.items():
                yield Clause(f"{verb} {{{word}|{negation}}}", word, judge, negation)
    for judge, negated in FEEL_ASIDE.items():
        yield Clause(judge, "verb", judge)
        for negation, text in negated.items():
            yield Clause(text, "verb", judge, negation)


def templates() -> Iterator[Template]:
    """Yields all templates, each once."""
    every, aside = list(clauses()), list(clauses_aside())
    for clause in every:
        for opening in OPENINGS:
            kind = "negated" if clause.negation else "plain"
            together = clause.combinations | {(opening, clause.judge)}
            yield Template(kind, opening + clause.text, not clause.negation, together)
        for denial, negation in DENIALS.items():
            together = clause.combinations | {(denial, clause.judge)}
            if clause.negation:
                together |= {(denial, clause.negation)}
                yield Template("negated twice", denial + clause.text, True, together)
            else:
                text = clause.text.replace("{d}", "")
                text = text.replace(f"{{{clause.word}}}", f"{{{clause.word}|{negation}}}")
                yield Template("negated", denial + text, False, together)
    yield from _two_words()
    for first in every:
        for second in every:
            if first.negation or second.negation or first.word == second.word:
                continue
            for join in AGREE:
                together = frozenset({(first.judge, second.judge), (join, first.judge)})
                yield Template("plain", _joined(join, first.text, second.text), True, together)
    for first in aside:
        for second in every:
            if first.word == second.word and not (first.negation and second.negation):
                yield from _set_aside(first, second)
        yield from _unsaid(first)


def _two_words() -> Iterator[Template]:
    for judge in JUDGE:
        yield Template("plain", f"{judge} {{adj}} and {{also}}", True, frozenset())
        for two in TWO_WORDS:
            for word in ("adj", "noun"):
                text = two.replace("{x}", f"{{{word}}}").replace("{X", "{" + word.upper())
                yield Template("contrast", f"{judge} {text}", True, frozenset({(judge, two)}))


def _set_aside(first: Clause, second: Clause) -> Iterator[Template]:
    """Yields templates of two clauses of which the second counts: it says the opposite."""
    together = first.combinations | second.combinations | {(first.judge, second.judge)}
    contrast = not first.negation and not second.negation
    kind = "contrast" if contrast else "contrast and negation"
    text = first.text.replace(f"{{{first.word}}}", f"{{{first.word.upper()}}}") if contrast else first.text
    for join in ASIDE:
        joined = _joined(join, text, second.text)
        yield Template(kind, joined, not second.negation, together | {(join, first.judge)})


def _unsaid(first: Clause) -> Iterator[Template]:
    """Yields templates whose second clause only says whether it was so."""
    negations, affirmations = UNSAID["feel" if first.word == "verb" else "judge"]
    for but in (", but ", ", yet ", ", and yet "):
        if first.negation:
            for rest in affirmations:
                together = first.combinations | {(first.judge, rest)}
                yield Template("unsaid", first.text + but + rest, True, together)
            continue
        for rest, negation in negations.items():
            text = first.text.replace(f"{{{first.word}}}", f"{{{first.word}|{negation}}}")
            yield Template("unsaid", text + but + rest, False, frozenset({(first.judge, rest)}))


def _joined(join: str, first: str, second: str) -> str:
    """Joins two clauses; what is spoken of is named in the one that comes first."""
    if join.startswith("{2}"):
        first = first.replace("{t}", "it")
    else:
        second = second.replace("{t}", "it")
    return join.replace("{1}", first).replace("{2}", second)
