"""CLIPTokenizer: the published CLIP's tokenizer of captions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ds_core.data.optional import needed
from ds_core.text import BPETokenizer, Tokenizer
from ds_core.text.bpe_tokenizer import read_merges
from ds_core.text.token_ids import utf8
from ds_core.text.tokenizer import PUBLISHED_FILE, SETTINGS_FILE
from ds_core.training.files import read_json

VOCABULARY_FILE, MERGES_FILE = BPETokenizer.published_in

START, END = "<|startoftext|>", "<|endoftext|>"
LAST = "</w>"  # behind the last piece of a word
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


class CLIPTokenizer(Tokenizer):
    """Cuts captions in small letters into pieces learnt by byte-pair encoding; `tokenizers` does the work.

    Capitals become small letters, and a row of spaces one. Words, single digits and rows of other signs are
    cut apart; of the UTF-8 bytes of each, the last one marked with ``</w>``, the pair of neighbours that was
    joined first in training is joined, again and again. Capitals and the number of spaces do not come back.

    Args:
        vocabulary: id of each piece, of ``<|startoftext|>`` and of ``<|endoftext|>``.
        merges: which pieces are joined, the first ones first.

    Attributes:
        bos_id: ``<|startoftext|>``, which comes before each caption.
        eos_id: ``<|endoftext|>``, which ends it; also fills it up, and stands for what is unknown.

    Raises:
        ValueError: if the vocabulary lacks one of the two, or a piece that is joined.
        ImportError: if the package `tokenizers` is missing.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision (2021),
    section 2.4.
    """

    kind = "clip"

    def __init__(self, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
        library = needed("tokenizers", "tokenizers", "CLIPTokenizer", extra="text")
        absent = [token for token in (START, END) if token not in vocabulary]
        if absent:
            raise ValueError(f"CLIPTokenizer: the vocabulary lacks {' and '.join(absent)}")
        self.vocabulary, self.merges = dict(vocabulary), [(first, second) for first, second in merges]
        self.bos_id, self.eos_id = vocabulary[START], vocabulary[END]
        self.pad_id = self.unk_id = self.eos_id
        try:
            pieces = library.models.BPE(
                self.vocabulary,
                self.merges,
                continuing_subword_prefix="",
                end_of_word_suffix=LAST,
                unk_token=END,
            )
        except Exception as error:  # the library has no more exact one
            raise ValueError(f"CLIPTokenizer: not the merges of this vocabulary ({error})") from error
        normalizers, cutters = library.normalizers, library.pre_tokenizers
        self._model = library.Tokenizer(pieces)
        self._model.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(library.Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._model.pre_tokenizer = cutters.Sequence(
            [
                cutters.Split(library.Regex(WORDS), behavior="removed", invert=True),
                cutters.ByteLevel(add_prefix_space=False),
            ]
        )
        self._model.decoder = library.decoders.ByteLevel()
        self._model.add_special_tokens([START, END])

    @classmethod
    def from_pretrained(cls, place: str | Path) -> Self:
        """Reads ``vocab.json`` and ``merges.txt``, or else ``tokenizer.json``.

        Raises:
            FileNotFoundError: if the folder has neither.
            ValueError: names a file that is damaged or of another kind.
        """
        folder = Path(place)
        if (folder / VOCABULARY_FILE).is_file() and (folder / MERGES_FILE).is_file():
            vocabulary = read_json(folder / VOCABULARY_FILE, "a vocabulary")
            try:
                return cls(vocabulary, read_merges(folder / MERGES_FILE))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{folder / MERGES_FILE}: {error}") from error
        path = folder / PUBLISHED_FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder}: no tokenizer: neither {VOCABULARY_FILE} and {MERGES_FILE} nor {PUBLISHED_FILE}"
            )
        model = read_json(path, "a tokenizer").get("model", {})
        if not isinstance(model, dict) or model.get("end_of_word_suffix") != LAST:
            raise ValueError(
                f"{path}: expected pieces with {LAST} at the end of words, got another tokenizer"
            )
        try:
            return cls._from_content(model)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error

    def files(self) -> dict[str, str]:
        """Returns ``vocab.json``, ``merges.txt`` and what `transformers` wants to know of them."""
        lines = ["#version: 0.2", *(" ".join(pair) for pair in self.merges)]
        settings = {"tokenizer_class": "CLIPTokenizer", "bos_token": START}
        settings |= dict.fromkeys(("eos_token", "unk_token", "pad_token"), END)
        return {
            VOCABULARY_FILE: json.dumps(self.vocabulary, ensure_ascii=False),
            MERGES_FILE: "\n".join(lines) + "\n",
            SETTINGS_FILE: json.dumps(settings, indent=2) + "\n",
        }

    @property
    def vocab_size(self) -> int:
        size: int = self._model.get_vocab_size()
        return size

    def encode(self, text: str) -> list[int]:
        utf8("CLIPTokenizer", text)
        ids: list[int] = self._model.encode(text, add_special_tokens=False).ids
        return ids

    def _text(self, ids: list[int]) -> str:
        text: str = self._model.decode(ids, skip_special_tokens=False)
        return text.replace(LAST, " ").strip()

    def _content(self) -> Any:
        return {"vocab": self.vocabulary, "merges": self.merges}

    @classmethod
    def _from_content(cls, content: Any) -> Self:
        pairs = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in content["merges"]]
        return cls(content["vocab"], [(first, second) for first, second in pairs])
