"""SubwordTokenizer: frequent words whole, rare ones in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Self

from ds_core.checks import check_whole
from ds_core.data.optional import needed
from ds_core.text.token_ids import PROBES, check_texts, utf8
from ds_core.text.tokenizer import Tokenizer
from ds_core.text.vocabulary import Vocabulary


class SubwordTokenizer(Tokenizer):
    """Cuts words into pieces learnt by byte-pair encoding; the package `tokenizers` does the work.

    Training begins with the 256 bytes of UTF-8 and joins the most frequent pair of neighbours into a new
    token, again and again. So nothing is ever unknown, and every text comes back as it was. Trained on both
    languages, one tokenizer serves source and target.

    Args:
        model: the JSON of a `tokenizers.Tokenizer`, as :meth:`train` makes it.

    Raises:
        ValueError: if the JSON is that of another model.
        ImportError: if the package `tokenizers` is missing.

    Source: Sennrich et al., Neural Machine Translation of Rare Words with Subword Units (2016).
    """

    kind = "subword"

    def __init__(self, model: str) -> None:
        library = needed("tokenizers", "tokenizers", "SubwordTokenizer", extra="text")
        try:
            self._model = library.Tokenizer.from_str(model)
        except Exception as error:  # the library has no more exact one
            raise ValueError(
                f"SubwordTokenizer: expected the JSON of a tokenizers.Tokenizer, got another ({error})"
            ) from error
        self._model.encode_special_tokens = True  # "<eos>" in a text is five characters, and no end
        specials = [self._model.token_to_id(special) for special in Vocabulary.specials]
        if specials != list(range(len(specials))) or any(
            self.decode(self.encode(text)) != text for text in PROBES
        ):
            raise ValueError(
                "SubwordTokenizer: expected a model as train makes it, which gives texts back, got another"
            )

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 8000, min_count: int = 2) -> Self:
        """Learns the pieces from sentences.

        Args:
            texts: the sentences of the training part.
            vocab_size: the most tokens there may be: at least 260, the special tokens and the bytes.
            min_count: how often a pair must occur to be joined.

        Raises:
            TypeError: if it is one text, or a number is not whole.
            ValueError: if a number is too small.
        """
        check_texts("SubwordTokenizer.train", texts)
        check_whole("SubwordTokenizer.train", 0, vocab_size=vocab_size, min_count=min_count)
        least = len(Vocabulary.specials) + 256
        if vocab_size < least:
            raise ValueError(
                f"SubwordTokenizer: expected vocab_size of at least {least}, the special tokens and the "
                f"bytes, got {vocab_size}"
            )
        library = needed("tokenizers", "tokenizers", "SubwordTokenizer", extra="text")
        model = library.Tokenizer(library.models.BPE())
        model.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_count,
            special_tokens=list(Vocabulary.specials),
            initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        model.train_from_iterator((f" {text}" for text in texts), trainer)
        return cls(model.to_str())

    @property
    def vocab_size(self) -> int:
        size: int = self._model.get_vocab_size()
        return size

    def encode(self, text: str) -> list[int]:
        utf8("SubwordTokenizer", text)
        # With a space before it, the first word is cut like the others.
        ids: list[int] = self._model.encode(f" {text}").ids if text else []
        return ids

    def _text(self, ids: list[int]) -> str:
        text: str = self._model.decode(ids, skip_special_tokens=False)
        return text.removeprefix(" ")  # the one that encode puts there

    def _content(self) -> Any:
        return json.loads(self._model.to_str())

    @classmethod
    def _from_content(cls, content: Any) -> Self:
        return cls(json.dumps(content))
