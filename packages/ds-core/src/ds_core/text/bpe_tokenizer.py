"""BPETokenizer: GPT-2's tokenizer of running text, byte-pair encoding of UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from ds_core.checks import check_whole
from ds_core.data.optional import needed
from ds_core.text.token_ids import PROBES, check_texts, utf8
from ds_core.text.tokenizer import PUBLISHED_FILE, SETTINGS_FILE, Tokenizer
from ds_core.training.files import read_json

END = "<|endoftext|>"


class BPETokenizer(Tokenizer):
    """Cuts running text into pieces learnt by byte-pair encoding; the package `tokenizers` does the work.

    The text is cut into words with the space before them; of their bytes the pair of neighbours that was
    joined first in training is joined, again and again. Nothing is ever unknown, and every text comes back as
    it was. ``<|endoftext|>``, if there is one, stands between documents; in a text these are characters.

    Args:
        model: the JSON of a `tokenizers.Tokenizer`; see :meth:`train` and :meth:`from_pretrained`.

    Attributes:
        end_id: id of ``<|endoftext|>``; None if the vocabulary has none.

    Raises:
        ValueError: if the JSON is not a tokenizer's, or of one that does not give texts back.
        ImportError: if the package `tokenizers` is missing.

    Source: Sennrich et al., Neural Machine Translation of Rare Words with Subword Units (2016); Radford et
    al., Language Models are Unsupervised Multitask Learners (2019), section 2.2.
    """

    kind = "bpe"
    published_as = "BPE"
    published_in = ("vocab.json", "merges.txt")
    specials = False

    def __init__(self, model: str) -> None:
        library = needed("tokenizers", "tokenizers", "BPETokenizer", extra="text")
        try:
            self._model = library.Tokenizer.from_str(model)
        except Exception as error:  # the library has no more exact one
            raise ValueError(f"BPETokenizer: expected a tokenizer's JSON ({error})") from error
        self._model.encode_special_tokens = True
        self._model.no_truncation()
        self._model.no_padding()
        if any(self.decode(self.encode(text)) != text for text in PROBES):
            raise ValueError(
                "BPETokenizer: expected a byte-level one, which gives every text back as it was, got another"
            )
        self.end_id: int | None = self._model.token_to_id(END)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 4096, min_count: int = 2) -> Self:
        """Learns the pieces from texts.

        Args:
            texts: the training part.
            vocab_size: the most tokens there may be: at least 257, the bytes and ``<|endoftext|>``.
            min_count: how often a pair must occur to be joined.

        Raises:
            TypeError: if it is one text, or a number is not whole.
            ValueError: if a number is too small.
        """
        check_texts("BPETokenizer.train", texts)
        check_whole("BPETokenizer.train", 0, vocab_size=vocab_size, min_count=min_count)
        if vocab_size < 257:
            raise ValueError(
                f"BPETokenizer: expected vocab_size of at least 257, the bytes and {END}, got {vocab_size}"
            )
        library = needed("tokenizers", "tokenizers", "BPETokenizer", extra="text")
        model = cls._byte_level(library.models.BPE())
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_count,
            special_tokens=[END],
            initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        model.train_from_iterator(texts, trainer)
        return cls(model.to_str())

    @classmethod
    def _from_folder(cls, folder: Path) -> Self:
        library = needed("tokenizers", "tokenizers", "BPETokenizer", extra="text")
        files = [folder / name for name in cls.published_in]
        vocabulary = read_json(files[0], "a vocabulary")
        try:
            model = cls._byte_level(library.models.BPE(vocabulary, read_merges(files[1])))
            if END in vocabulary:
                model.add_special_tokens([END])
            return cls(model.to_str())
        except Exception as error:  # the library has no more exact one
            raise ValueError(f"{files[1]}: not the merges of {files[0].name} ({error})") from error

    @staticmethod
    def _byte_level(model: Any) -> Any:
        library = needed("tokenizers", "tokenizers", "BPETokenizer", extra="text")
        whole = library.Tokenizer(model)
        whole.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        whole.decoder = library.decoders.ByteLevel()
        return whole

    @property
    def vocab_size(self) -> int:
        size: int = self._model.get_vocab_size()
        return size

    def encode(self, text: str) -> list[int]:
        utf8("BPETokenizer", text)
        ids: list[int] = self._model.encode(text, add_special_tokens=False).ids
        return ids

    def token(self, number: int) -> str:
        """Returns the text of one token; U+FFFD stands for half a character."""
        return self.decode([number])

    def files(self) -> dict[str, str]:
        """Returns name -> text of the files that hold it, as `transformers` reads them."""
        settings = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False}
        if self.end_id is not None:
            settings |= {"bos_token": END, "eos_token": END, "unk_token": END}
        return {
            PUBLISHED_FILE: json.dumps(self._content(), ensure_ascii=False),
            SETTINGS_FILE: json.dumps(settings, indent=2) + "\n",
        }

    def _text(self, ids: list[int]) -> str:
        text: str = self._model.decode(ids, skip_special_tokens=False)
        return text

    def _content(self) -> Any:
        return json.loads(self._model.to_str())

    @classmethod
    def _from_content(cls, content: Any) -> Self:
        return cls(json.dumps(content))


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Reads which pieces are joined, the first ones first: two a line, as in ``merges.txt``.

    Raises:
        ValueError: if a line holds anything else.
    """
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    rules = [line.rstrip("\r").split(" ") for line in lines if line.strip()]
    rules = [rule for rule in rules if rule[0] != "#version:"]
    wrong = next((rule for rule in rules if len(rule) != 2), None)
    if wrong is not None:
        raise ValueError(f"expected two pieces a line, got {' '.join(wrong)!r}")
    return [(first, second) for first, second in rules]
