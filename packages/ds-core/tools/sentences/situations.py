"""What may be said: situations that make sense, drawn at random, before any language says them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from sentences.lexicon import ADJECTIVES, NAMES, NOUNS, PLACES, PREPOSITIONS, TIMES, VERBS
from sentences.meaning import (
    Adjunct,
    Clause,
    Determiner,
    Entry,
    Name,
    NounPhrase,
    Phrase,
    Pronoun,
    Quality,
    Sentence,
    Tense,
)

_THINGS = "book newspaper letter key bag coat hat umbrella telephone photo cup bottle lamp"
_MASS = ["bread", "cheese", "fish", "rice", "soup", "water", "milk", "coffee", "tea", "juice", "wine"]
_PERSONS = [
    "man",
    "woman",
    "boy",
    "girl",
    "child",
    "teacher",
    "doctor",
    "neighbour",
    "student",
    "nurse",
    "waiter",
]
_KIN = ["brother", "sister", "mother", "father", "uncle", "aunt", "grandmother", "son", "daughter"]
# Who does what to what.
_OBJECTS = {
    "buy": f"{_THINGS} house car bicycle flower bread cheese fish milk coffee apple egg orange tomato cake",
    "sell": "house car bicycle flower bread cheese fish apple egg orange tomato cake book newspaper",
    "eat": "bread cheese fish rice soup apple egg orange tomato cake",
    "drink": "water milk coffee tea juice wine",
    "read": "book newspaper letter",
    "look for": f"{_THINGS} dog cat",
    "find": f"{_THINGS} dog cat",
    "lose": "key bag hat umbrella telephone photo letter book",
    "forget": "key bag hat umbrella telephone photo letter book",
    "repair": "car bicycle lamp telephone computer chair",
    "wash": "car shirt cup plate bottle",
    "clean": "kitchen car window table lamp",
    "open": "door window box bottle letter",
    "close": "door window box bottle book",
    "carry": "box bag chair table bottle lamp",
    "visit": "museum church city",
}
_GIFTS = [
    "book",
    "newspaper",
    "letter",
    "key",
    "photo",
    "flower",
    "cake",
    "umbrella",
    "bottle",
    "cup",
    "apple",
]
_OF_PERSONS = ["help", "call", "wait for", "see"]
_DONE_THERE = {
    "work": "kitchen garden school library museum office restaurant hotel market hospital",
    "sleep": "kitchen living_room garden park hotel",
    "sing": "kitchen garden park church theatre school",
    "dance": "kitchen living_room garden park restaurant theatre",
    "play": "garden park school beach street",
}
_GOALS = [place for place in PLACES if place != "street"]
# Why somebody does something somewhere.
_REASONS = [
    ("sleep", "tired ill"),
    ("sing", "happy"),
    ("dance", "happy"),
    ("play", "happy"),
    ("hospital", "ill"),
    ("church", "sad happy"),
    ("park", "happy sad tired"),
    ("beach", "happy sad"),
    ("lake", "happy sad"),
    ("hotel", "tired"),
]
_TOO = ["big", "small", "old", "expensive", "heavy", "hot", "cold", "long", "short", "fast", "slow", "young"]


class Situations:
    """Draws situations.

    Args:
        seed: same seed, same situations.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.kinds: list[Callable[[], Sentence]] = [
            *[self.doing] * 6,
            *[self.meeting] * 2,
            *[self.giving] * 3,
            *[self.being_busy] * 2,
            *[self.going] * 3,
            *[self.describing] * 3,
            self.comparing,
            *[self.placing] * 2,
            *[self.wanting] * 3,
            *[self.asking] * 2,
            self.asking_where,
            *[self.explaining] * 2,
        ]

    def draw(self) -> Sentence:
        """Returns the next situation."""
        return self.random.choice(self.kinds)()

    # ---- what happens --------------------------------------------------------------------------------

    def doing(self) -> Sentence:
        """Anna buys a red coat."""
        verb = self.random.choice(list(_OBJECTS))
        thing = self.thing(self.random.choice(_words(_OBJECTS[verb])))
        return self.told(self.somebody(), VERBS[verb], object=thing)

    def meeting(self) -> Sentence:
        """The doctor helps my brother."""
        one, other = self.two()
        return self.told(one, VERBS[self.random.choice(_OF_PERSONS)], object=other)

    def giving(self) -> Sentence:
        """Paul gives the letter to the teacher."""
        verb = VERBS[self.random.choice(["give", "show", "bring", "send"])]
        gift = self.thing(self.random.choice(_GIFTS))
        one, other = self.two()
        return self.told(one, verb, object=gift, recipient=other)

    def being_busy(self) -> Sentence:
        """The children play in the garden."""
        verb = self.random.choice(list(_DONE_THERE))
        place = self.random.choice(_words(_DONE_THERE[verb]))
        return self.told(self.somebody(), VERBS[verb], adjuncts=(self.there(place),))

    def going(self) -> Sentence:
        """We go to the market on Saturdays."""
        place = self.random.choice(_GOALS)
        goal = Adjunct(PLACES[place][1], Phrase(NOUNS[place]))
        return self.told(self.somebody(), VERBS["go"], adjuncts=(goal,))

    def told(self, subject: NounPhrase, verb: Entry, **parts: Any) -> Sentence:
        """Puts what somebody does into a time, and perhaps denies it."""
        tense: Tense = self.random.choice(["present", "past", "future"])
        fitting = [entry for entry in TIMES.values() if tense in entry.tags]
        time = self.random.choice([None, *fitting[:7]])
        if tense != "future" and (subject == Pronoun("we") or verb.key == "read"):
            time = time or fitting[0]  # nothing else would tell the present from the past
        early = time is not None and "@early" in time.en.extra
        every = time is not None and time.key.startswith("every")
        thing = parts.get("object")
        counted = isinstance(thing, Phrase) and thing.determiner.isdigit()
        denied = self.random.random() < 0.15 and not (early or every or counted)
        clause = Clause(
            subject,
            verb,
            time=time,
            tense=tense,
            negated=denied,
            **parts,
        )
        first = time is not None and not early and self.random.random() < 0.2
        return Sentence(clause, time_first=first)

    def wanting(self) -> Sentence:
        """The nurse must find the key."""
        modal = VERBS[self.random.choice(["can", "must", "want to"])]
        verb = self.random.choice(list(_OBJECTS))
        thing = self.thing(self.random.choice(_words(_OBJECTS[verb])))
        time = self.random.choice([None, None, TIMES["today"], TIMES["tomorrow"], TIMES["this evening"]])
        return Sentence(Clause(self.somebody(), VERBS[verb], object=thing, modal=modal, time=time))

    def asking(self) -> Sentence:
        """Does Eva read the newspaper?"""
        told = self.doing().clause if self.random.random() < 0.7 else self.going().clause
        if told.subject in (Pronoun("I"), Pronoun("we")):
            return self.asking()
        asked = Clause(told.subject, told.verb, object=told.object, adjuncts=told.adjuncts, tense=told.tense)
        return Sentence(asked, question="whether")

    def explaining(self) -> Sentence:
        """My aunt sleeps in the living room because she is ill."""
        what, moods = self.random.choice(_REASONS)
        if what in _DONE_THERE:
            verb, where = VERBS[what], self.there(self.random.choice(_words(_DONE_THERE[what])))
        else:
            verb, where = VERBS["go"], Adjunct(PLACES[what][1], Phrase(NOUNS[what]))
        subject = self.somebody()
        if isinstance(subject, Phrase) and subject.noun.key in ("child", "girl"):
            return self.explaining()  # "er" or "es", "sie" or "es"?
        if isinstance(subject, Phrase) and subject.noun.key in _FEMALE:
            subject = Phrase(subject.noun, subject.determiner)  # of several women, "they" would not tell
        mood = Quality(ADJECTIVES[self.random.choice(moods.split())])
        tense: Tense = self.random.choice(["present", "past"])
        spoken = isinstance(subject, Pronoun) and subject.key in ("I", "we")
        same = subject if spoken else Pronoun(_pronoun(subject), dropped=True)
        because = Clause(same, VERBS["be_in_state"], quality=mood, tense=tense)
        return Sentence(Clause(subject, verb, adjuncts=(where,), tense=tense), because=because)

    # ---- what there is -------------------------------------------------------------------------------

    def describing(self) -> Sentence:
        """The soup is too hot."""
        adjective = self.random.choice(
            [a for a in ADJECTIVES.values() if ".mood" not in a.tags and a.key != "new"]
        )
        noun = NOUNS[self.random.choice(_nouns(adjective))]
        subject = Phrase(
            noun, self.pointer(noun), plural=noun.key in _words(_THINGS) and self.random.random() < 0.3
        )
        degrees = [""] if adjective.key in _ABSOLUTE else ["", "very"]
        degree = self.random.choice([*degrees, "too"] if adjective.key in _TOO else degrees)
        tense: Tense = self.random.choice(["present", "present", "past"])
        return Sentence(Clause(subject, _be(adjective), quality=Quality(adjective, degree), tense=tense))

    def comparing(self) -> Sentence:
        """The train is faster than the bus."""
        graded = [
            a
            for a in ADJECTIVES.values()
            if len(a.de.forms) > 1 and "@estar" not in a.es.extra and a.key != "new"
        ]
        adjective = self.random.choice(graded)
        one, other = self.random.sample(_nouns(adjective), 2)
        subject, than = Phrase(NOUNS[one], self.pointer(NOUNS[one])), Phrase(NOUNS[other])
        return Sentence(Clause(subject, _be(adjective), quality=Quality(adjective, "more", than)))

    def placing(self) -> Sentence:
        """Our umbrella is under the table."""
        return Sentence(self.place_of(self.thing_with("lies", "stands")))

    def place_of(self, noun: Entry) -> Clause:
        """Says where a thing is: lying or standing, German must know."""
        verb = VERBS["lie" if "lies" in noun.tags else "stand"]
        preposition = self.random.choice(["on", "under", "behind", "in front of", "next to"])
        by = self.random.choice(["table", "chair", "bed", "sofa", "box", "lamp"])
        if by == noun.key:
            by = "door"
            preposition = "behind"
        if by == "lamp" and preposition in ("on", "under"):
            preposition = "next to"
        where = Adjunct(PREPOSITIONS[preposition], Phrase(NOUNS[by]))
        tense: Tense = self.random.choice(["present", "present", "past"])
        return Clause(Phrase(noun, self.pointer(noun)), verb, adjuncts=(where,), tense=tense)

    def asking_where(self) -> Sentence:
        """Where is my hat?"""
        clause = self.place_of(self.thing_with("lies", "stands"))
        return Sentence(Clause(clause.subject, clause.verb, tense=clause.tense), question="where")

    # ---- who and what --------------------------------------------------------------------------------

    def somebody(self) -> NounPhrase:
        """Returns somebody who does something."""
        if self.random.random() < 0.35:
            return Pronoun(self.random.choice(["I", "he", "she", "we", "they"]))
        return self.person()

    def two(self) -> tuple[NounPhrase, NounPhrase]:
        """Returns somebody who does something, and somebody else."""
        one, other = self.somebody(), self.person()
        alike = isinstance(one, Phrase) and isinstance(other, Phrase) and one.noun is other.noun
        return self.two() if alike or one == other else (one, other)

    def person(self) -> NounPhrase:
        """Returns a name, a relative of ours, or anybody."""
        kind = self.random.random()
        if kind < 0.3:
            return Name(self.random.choice(list(NAMES.values())))
        if kind < 0.6:
            mine: Determiner = self.random.choice(["my", "our"])
            return Phrase(NOUNS[self.random.choice(_KIN)], mine)
        return Phrase(NOUNS[self.random.choice(_PERSONS)], plural=self.random.random() < 0.2)

    def thing(self, key: str) -> Phrase:
        """Returns a thing, pointed at in some way, and perhaps described."""
        noun = NOUNS[key]
        if key in _MASS:
            return Phrase(noun, self.random.choice(["the", "some"]))
        fitting = [a for a in ADJECTIVES.values() if key in _nouns(a) and "@estar" not in a.es.extra]
        adjective = self.random.choice(fitting) if fitting and self.random.random() < 0.3 else None
        if self.random.random() < 0.15:
            count: Determiner = self.random.choice(["the", "2", "3", "5"])
            return Phrase(noun, count, plural=True, adjective=adjective)
        if self.random.random() < 0.12:
            return Phrase(noun, owner=Name(self.random.choice(list(NAMES.values()))))
        return Phrase(noun, self.pointer(noun, indefinite=True), adjective=adjective)

    def thing_with(self, *tags: str) -> Entry:
        """Returns a small thing that has one of these tags."""
        keys = _THINGS.split()
        return NOUNS[self.random.choice([key for key in keys if set(tags) & set(NOUNS[key].tags)])]

    def pointer(self, noun: Entry, indefinite: bool = False) -> Determiner:
        """Returns how a thing is pointed at."""
        choices = ["the", "the", "my", "our"] if _is_owned(noun) else ["the"]
        return self.random.choice([*choices, *(["a", "a"] if indefinite else [])])

    def there(self, place: str) -> Adjunct:
        """Returns being at a place."""
        return Adjunct(PLACES[place][0], Phrase(NOUNS[place]))


_ABSOLUTE = ("closed", "open", "broken", "red", "blue", "green", "black", "white", "yellow", "empty", "full")
_PUBLIC = [
    "door",
    "window",
    "church",
    "museum",
    "city",
    "school",
    "library",
    "restaurant",
    "hotel",
    "market",
    "street",
    "tree",
    "train",
    "bus",
    "lake",
    "beach",
]


def _words(text: str) -> list[str]:
    """Returns the entries a line names."""
    return [word.replace("_", " ") for word in text.split()]


def _nouns(adjective: Entry) -> list[str]:
    """Returns the nouns that an adjective fits."""
    return [tag for tag in adjective.tags if tag in NOUNS]


def _is_owned(noun: Entry) -> bool:
    return noun.key not in _PUBLIC and "person" not in noun.tags and noun.key not in _MASS


def _be(adjective: Entry) -> Entry:
    """Returns the being of a quality, or of a state, which Spanish tells apart."""
    return VERBS["be_in_state" if "@estar" in adjective.es.extra else "be"]


def _pronoun(said: NounPhrase) -> str:
    """Returns the pronoun that says again who has been named."""
    if isinstance(said, Pronoun):
        return said.key
    if isinstance(said, Name):
        return "she" if "f" in said.entry.tags else "he"
    if said.plural:
        return "they"
    return "she" if said.noun.key in _FEMALE else "he"


_FEMALE = ["woman", "girl", "nurse", "sister", "mother", "aunt", "grandmother", "daughter"]
