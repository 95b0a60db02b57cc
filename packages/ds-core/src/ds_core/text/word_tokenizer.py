"""WordTokenizer: one token for each word and each punctuation mark."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ds_core.text.token_ids import check_text
from ds_core.text.vocabulary_tokenizer import VocabularyTokenizer

_TOKEN = re.compile(
    r"""
      (?<!\w)(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu)['’](?=\w)  # what French cuts short: l' in l'eau
    | (?<=\w)['’]s\b                                          # 's in the cat's
    | \d+(?:[.,:]\d+)+                                        # 3,000 and 10:30
    | \w+(?:-\w+)*(?:['’](?!s\b)\w+)*                         # t-shirt, don't
    | \S                                                      # anything else, a character at a time
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CLOSING = frozenset(".,;:!?)]}…%")  # no space before
_OPENING = frozenset("([{¿¡")  # no space after
_GLUE = "￭"  # marks a side of a token that has no space, though one is usual
_GAP = "▁"  # marks a side of a token that has a space, though none is usual
_MARKS = frozenset((_GLUE, _GAP))
_MARKED = re.compile(f"([{_GLUE}{_GAP}]?)(.+?)([{_GLUE}{_GAP}]?)", re.DOTALL)


class WordTokenizer(VocabularyTokenizer):
    """Cuts a sentence into words and punctuation marks, and puts it together again as it was.

    ``l'eau`` becomes ``l'`` and ``eau``, ``cat's`` becomes ``cat`` and ``'s``. Where there are spaces is
    known by rule: none before a comma, none after an opening bracket. A token that stands otherwise carries
    a mark, such as the ``▁!`` of French, so that :meth:`join` undoes :meth:`split`, but for the kind and
    number of spaces.

    Args:
        vocabulary: the tokens that are known.

    Example:
        >>> WordTokenizer.split("The cat's asleep.")
        ['The', 'cat', "'s", 'asleep', '.']
    """

    kind = "word"

    @staticmethod
    def split(text: str) -> list[str]:
        found = list(_TOKEN.finditer(text))
        tokens = [match.group() for match in found]
        for i in range(1, len(found)):
            left, right = found[i - 1].group(), found[i].group()
            space = found[i - 1].end() < found[i].start()
            if space != _space_is_usual(left, right):
                mark = _GAP if space else _GLUE
                after_left = _is_word(right) or (right not in _CLOSING and left in _OPENING)
                if after_left and left not in _MARKS:  # "▁￭" would be read as "￭" with a gap before it
                    tokens[i - 1] += mark
                else:
                    tokens[i] = mark + tokens[i]
        return tokens

    @staticmethod
    def join(tokens: Sequence[str]) -> str:
        text, left, after = "", "", ""
        for token in tokens:
            before, core, next_after = _parts(token)
            mark = before or after
            space = mark == _GAP if mark else _space_is_usual(left, core)
            text += (" " if space and text else "") + core
            left, after = core, next_after
        return text

    def encode(self, text: str) -> list[int]:
        check_text("WordTokenizer", text)
        # Better with the wrong space than not at all.
        return self._ids([t if t in self.vocabulary else _parts(t)[1] for t in self.split(text)])


def _space_is_usual(left: str, right: str) -> bool:
    cut_short = len(left) > 1 and left[-1] in "'’"
    return not (cut_short or left in _OPENING or right in _CLOSING or right.lower() in ("'s", "’s"))


def _is_word(token: str) -> bool:
    return token[0].isalnum() or token[0] == "_"


def _parts(token: str) -> tuple[str, str, str]:
    """Returns the mark before, the token without marks, and the mark after."""
    match = _MARKED.fullmatch(token)
    assert match is not None
    return match[1], match[2], match[3]
