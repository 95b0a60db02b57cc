"""ByteTokenizer: one token for each byte."""

from __future__ import annotations

from typing import Self

from ds_core.text.token_ids import utf8
from ds_core.text.tokenizer import Tokenizer


class ByteTokenizer(Tokenizer):
    """One token for each of the 256 bytes of UTF-8, so that nothing is ever unknown; no special tokens.

    Bytes that are not valid UTF-8 become U+FFFD.

    Example:
        >>> ByteTokenizer().encode("é")
        [195, 169]
    """

    kind = "byte"
    specials = False

    @property
    def vocab_size(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        return list(utf8("ByteTokenizer", text))

    def _text(self, ids: list[int]) -> str:
        return bytes(ids).decode("utf-8", errors="replace")

    def _content(self) -> None:
        return None

    @classmethod
    def _from_content(cls, content: None) -> Self:
        return cls()
