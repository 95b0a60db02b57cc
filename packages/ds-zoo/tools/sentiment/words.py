"""The words: what is spoken of, and what praises or complains."""

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
        ("applaud", "applauded"), ("cherish", "cherished"),
    ],
    [
        ("hate", "hated"), ("dislike", "disliked"), ("regret", "regretted"), ("despise", "despised"),
        ("detest", "detested"), ("criticise", "criticised"), ("loathe", "loathed"), ("resent", "resented"),
        ("condemn", "condemned"), ("deplore", "deplored"),
    ],
)  # fmt: skip
NOUNS = (
    _words(
        "a pleasure,a joy,a delight,a success,a treat,a triumph,a masterpiece,a gem,a blessing,a highlight",
        ",",
    ),
    _words(
        "a disappointment,a failure,a disaster,a bore,a mistake,a waste of time,a nightmare,a mess,"
        "a torture,a shame",
        ",",
    ),
)
