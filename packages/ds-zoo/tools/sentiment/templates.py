"""The words, and the ways of saying what one thinks: those to learn from and those held out.

A template's mark says what it means when its small-lettered words are good ones: + praise, - complaint.
``{adj}``, ``{verb}`` (past), ``{base}`` and ``{noun}`` are words of one side, ``{also}`` and ``{more}`` are
further adjectives of it; ``{ADJ}``, ``{VERB}``, ``{BASE}`` and ``{NOUN}`` are of the other side.
``{adj|not}`` is a word that "not" turns round: the two are a pair, and a pair is in one part or in the other.
``{t}`` is what is spoken of, ``{d}`` a degree or nothing.
"""

from __future__ import annotations


def _words(text: str, between: str = " ") -> list[str]:
    return text.split(between)


THINGS = _words(
    "film book play concert song novel hotel meal soup phone course museum trip game story "
    "lecture show exhibition restaurant garden wine dress bicycle speech"
)
DETERMINERS = ("the", "this", "our")
DEGREES = ("", "", "very ", "really ", "truly ")

# Good words, then bad ones. Of a verb the base comes first, by which a pair knows it.
ADJECTIVES = (
    _words(
        "good great wonderful excellent lovely brilliant superb pleasant delightful impressive "
        "perfect fine remarkable enjoyable splendid beautiful marvellous charming fantastic "
        "terrific"
    ),
    _words(
        "bad awful terrible poor dreadful horrible dull boring disappointing unpleasant mediocre "
        "miserable weak lousy tedious annoying ugly dismal hopeless appalling"
    ),
)
VERBS = (
    [
        ("like", "liked"), ("love", "loved"), ("enjoy", "enjoyed"), ("admire", "admired"),
        ("adore", "adored"), ("praise", "praised"), ("recommend", "recommended"), ("treasure", "treasured"),
    ],
    [
        ("hate", "hated"), ("dislike", "disliked"), ("regret", "regretted"), ("despise", "despised"),
        ("detest", "detested"), ("criticise", "criticised"), ("loathe", "loathed"), ("resent", "resented"),
    ],
)  # fmt: skip
NOUNS = (
    _words("a pleasure,a joy,a delight,a success,a treat,a triumph,a masterpiece,a gem", ","),
    _words("a disappointment,a failure,a disaster,a bore,a mistake,a waste of time,a nightmare,a mess", ","),
)
NEGATIONS = _words("not,never,hardly,by no means,far from,anything but,in no way,nobody,nothing", ",")

# kind -> templates
TRAINING = {
    "plain": (
        "+ {t} was {d}{adj}.",
        "+ I found {t} {d}{adj}.",
        "+ In my opinion {t} was {d}{adj}.",
        "+ All in all, {t} was {d}{adj}.",
        "+ I would say that {t} was {adj}.",
        "+ {t} was {adj} and {also}.",
        "+ I {verb} {t}.",
        "+ We {verb} {t} from beginning to end.",
        "+ Everybody {verb} {t}.",
        "+ My friends {verb} {t}.",
        "+ {t} was {noun}.",
        "+ For me {t} was {noun}.",
        "+ To be honest, {t} was {noun}.",
        "+ I {verb} {t}, it was {d}{adj}.",
        "+ {t} was {d}{adj}, and I {verb} it.",
        "+ {t} was {noun}, it was {adj} and {also}.",
        "+ We {verb} {t}, for it was {adj} and {also}.",
        "+ Everybody {verb} {t}, it was {noun}.",
        "+ {t} was {noun}, and my friends {verb} it.",
        "+ Everything about {t} was {adj}, {also} and {more}.",
    ),
    "negated": (
        "- {t} was not {d}{adj|not}.",
        "- {t} was not {adj|not} at all.",
        "- {t} was never {adj|never}.",
        "- {t} was hardly {adj|hardly}.",
        "- {t} was by no means {adj|by no means}.",
        "- {t} was far from {adj|far from}.",
        "- {t} was anything but {adj|anything but}.",
        "- {t} was in no way {adj|in no way}.",
        "- In no way was {t} {adj|in no way}.",
        "- There was nothing {adj|nothing} about {t}.",
        "- I did not find {t} {adj|not}.",
        "- I would not say that {t} was {adj|not}.",
        "- My friends did not call {t} {adj|not}.",
        "- Nobody found {t} {adj|nobody}.",
        "- Nobody {verb|nobody} {t}.",
        "- I never {verb|never} {t}.",
        "- I did not {base|not} {t}.",
        "- We did not {base|not} {t} at all.",
        "- {t} was not {noun|not}.",
        "- {t} was anything but {noun|anything but}.",
        "- For me {t} was hardly {noun|hardly}.",
    ),
    "negated twice": (
        "+ I would not say that {t} was not {adj|not}.",
        "+ Nobody could say that {t} was not {adj|not}.",
        "+ It is not true that {t} was not {adj|not}.",
        "+ It is not true that I did not {base|not} {t}.",
        "+ It is not true that {t} was not {noun|not}.",
        "+ There was nobody who did not {base|not} {t}.",
    ),
    "contrast": (
        "+ {t} was {adj}, not {ADJ|not}.",
        "+ {t} was not {ADJ|not} but {adj}.",
        "+ {t} was not {NOUN|not}, it was {noun}.",
        "+ {t} was {adj} rather than {ADJ}.",
        "+ I expected {t} to be {ADJ}, but it was {adj}.",
        "+ We had expected {NOUN}, but {t} was {noun}.",
        "+ I thought that I would {BASE} {t}, but I {verb} it.",
        "+ The beginning was {ADJ}, but on the whole {t} was {adj}.",
        "+ Although the beginning was {ADJ}, {t} was {adj}.",
        "+ {t} was {adj}, although the beginning was {ADJ}.",
        "+ At first {t} seemed {ADJ}, but in the end it was {adj}.",
        "+ Everybody told me that {t} was {ADJ}, yet I found it {adj}.",
        "+ Some people call {t} {ADJ}, I call it {adj}.",
        "+ Others {VERB} {t}, but I {verb} it.",
        "+ I {verb} {t}, although others {VERB} it.",
        "+ Although I had expected {NOUN}, {t} was {noun}.",
    ),
    "unsaid": (
        "- I expected {t} to be {adj|not}, but it was not.",
        "+ I did not expect {t} to be {adj|not}, but it was.",
        "- Some people call {t} {adj|not}, but it was not.",
        "+ Nobody told me that {t} was {adj|nobody}, but it was.",
        "- Others {verb|not} {t}, but I did not.",
        "+ Others did not {base|not} {t}, but I did.",
        "- I thought that I would {base|not} {t}, but in the end I did not.",
        "+ I did not want to {base|not} {t}, but in the end I did.",
    ),
}
HELD_OUT = {
    "plain": (
        "+ Everybody found {t} {d}{adj}.",
        "+ To be honest, I {verb} {t}.",
        "+ In my opinion {t} was {noun}.",
        "+ All in all, {t} was {adj} and {also}.",
        "+ My friends call {t} {adj}.",
    ),
    "negated": (
        "- All in all, {t} was not {d}{adj|not}.",
        "- I found {t} far from {adj|far from}.",
        "- We found {t} anything but {adj|anything but}.",
        "- In my opinion {t} was in no way {adj|in no way}.",
        "- To be honest, {t} was hardly {adj|hardly}.",
        "- For me {t} was by no means {noun|by no means}.",
        "- To be honest, there was nothing {adj|nothing} about {t}.",
        "- Nobody would say that {t} was {adj|nobody}.",
        "- My friends never {verb|never} {t}.",
        "- Others did not {base|not} {t} at all.",
    ),
    "negated twice": (
        "+ It is not true that {t} was never {adj|never}.",
        "+ Nobody could say that I did not {base|not} {t}.",
        "+ There was nobody who did not find {t} {adj|not}.",
    ),
    "contrast": (
        "+ I found {t} {adj} rather than {ADJ}.",
        "+ Everybody expected {t} to be {ADJ}, yet it was {adj}.",
        "+ I thought that {t} would be {ADJ}, but in the end it was {adj}.",
        "+ Others found {t} {ADJ}, but I found it {adj}.",
        "+ Although others {VERB} {t}, I {verb} it.",
        "+ {t} was {noun}, although I had expected {NOUN}.",
        "+ {t} seemed {ADJ} at first, but in the end I found it {adj}.",
        "+ On the whole {t} was {adj}, although it seemed {ADJ} at first.",
    ),
    "unsaid": (
        "- Everybody expected {t} to be {adj|not}, but it was not.",
        "+ Nobody expected {t} to be {adj|nobody}, but it was.",
        "- Others found {t} {adj|not}, but I did not.",
        "+ At first I did not {base|not} {t}, but in the end I did.",
    ),
}
