"""WordPieceTokenizer: words in BERT's pieces, read from a published vocabulary or learnt from a text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from ds_core.checks import check_whole
from ds_core.data.optional import needed
from ds_core.text.token_ids import check_texts, utf8
from ds_core.text.tokenizer import PUBLISHED_FILE, SETTINGS_FILE, Tokenizer
from ds_core.training.files import read_json

WORDS_FILE = "vocab.txt"
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Encoded(NamedTuple):
    """Texts as a model reads them: ``model(*tokenizer(texts))``; all of them int64.

    Attributes:
        input_ids: token ids, ``(B, T)``, filled up with [PAD].
        attention_mask: 1 at tokens and 0 at what fills up, ``(B, T)``.
        token_type_ids: 0 for the first text and 1 for the second, ``(B, T)``.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor


class WordPieceTokenizer(Tokenizer):
    """Cuts words into the longest pieces of a vocabulary; the package `tokenizers` does the work.

    A text becomes [CLS] pieces [SEP], two texts [CLS] pieces [SEP] pieces [SEP]. A word that cannot be cut
    into pieces of the vocabulary is [UNK].

    Args:
        model: the JSON of a `tokenizers.Tokenizer`; see :meth:`from_pretrained` and :meth:`train`.

    Raises:
        ValueError: if the JSON is no tokenizer's, or lacks one of BERT's special tokens.
        ImportError: if the package `tokenizers` is missing.

    Source: Wu et al., Google's Neural Machine Translation System (2016), section 4.1.
    """

    kind = "wordpiece"
    published_as = "WordPiece"
    published_in = (WORDS_FILE,)
    specials = False  # those of all other kinds

    def __init__(self, model: str) -> None:
        library = needed("tokenizers", "tokenizers", "WordPieceTokenizer", extra="text")
        try:
            self._model = library.Tokenizer.from_str(model)
        except Exception as error:  # the library has no more exact one
            raise ValueError(f"WordPieceTokenizer: expected a tokenizer's JSON ({error})") from error
        self._model.no_truncation()  # published files carry one setting's; how long texts are is said below
        self._model.no_padding()
        found = {token: self._model.token_to_id(token) for token in SPECIALS}
        absent = [token for token, number in found.items() if number is None]
        if absent:
            raise ValueError(f"WordPieceTokenizer: the vocabulary lacks {', '.join(absent)}")
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = found.values()

    @classmethod
    def _from_folder(cls, folder: Path) -> Self:
        settings: dict[str, Any] = {}
        if (folder / SETTINGS_FILE).is_file():
            settings = read_json(folder / SETTINGS_FILE, "a tokenizer's settings")
        try:
            # Lines end with "\n": what else ends a line elsewhere, such as U+2028, may be a word here.
            words = (folder / WORDS_FILE).read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
            return cls._from_words(
                words,
                lowercase=settings.get("do_lower_case", True),
                strip_accents=settings.get("strip_accents"),
                handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
            )
        except (ValueError, TypeError) as error:
            raise ValueError(f"{folder / WORDS_FILE}: not a vocabulary of BERT ({error})") from error

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 4000, *, lowercase: bool = True) -> Self:
        """Learns the pieces from texts.

        Args:
            texts: the training part.
            vocab_size: the most pieces there may be, the five special tokens among them.
            lowercase: whether capitals become small letters, and accents go.

        Raises:
            TypeError: if it is one text, or ``vocab_size`` is not whole.
            ValueError: if ``vocab_size`` is not above 5.
        """
        check_texts("WordPieceTokenizer.train", texts)
        check_whole("WordPieceTokenizer.train", 0, vocab_size=vocab_size)
        if vocab_size <= len(SPECIALS):
            raise ValueError(
                f"WordPieceTokenizer: expected vocab_size above {len(SPECIALS)}, got {vocab_size}"
            )
        empty = cls._from_words(list(SPECIALS), lowercase=lowercase)
        trainer = needed("tokenizers", "tokenizers", "WordPieceTokenizer", extra="text").trainers
        texts = list(texts)
        # The library numbers letters within words in the order of a hash, and so breaks ties between equally
        # frequent pairs by chance. Given beforehand, they have an order.
        normalize = empty._model.normalizer.normalize_str
        letters = sorted({letter for text in texts for letter in normalize(text) if not letter.isspace()})
        first = [*SPECIALS, *(f"##{letter}" for letter in letters)]
        options = {"vocab_size": max(vocab_size, len(first)), "special_tokens": first, "show_progress": False}
        empty._model.train_from_iterator(texts, trainer.WordPieceTrainer(**options))
        pieces = empty._model.get_vocab()
        words = sorted(pieces, key=pieces.__getitem__)[: max(vocab_size, len(first))]
        return cls._from_words(words, lowercase=lowercase)

    @classmethod
    def _from_words(cls, words: Sequence[str], **normalizing: Any) -> Self:
        """Makes the tokenizer of a vocabulary: what stands in which line has that number."""
        library = needed("tokenizers", "tokenizers", "WordPieceTokenizer", extra="text")
        numbers = {word: number for number, word in enumerate(words)}
        if len(numbers) < len(words):
            twice = next(word for number, word in enumerate(words) if numbers[word] != number)
            raise ValueError(
                f"WordPieceTokenizer: expected every word once, got {twice!r} in lines "
                f"{words.index(twice) + 1} and {numbers[twice] + 1}"
            )
        absent = [token for token in SPECIALS if token not in numbers]
        if absent:
            raise ValueError(f"WordPieceTokenizer: the vocabulary lacks {', '.join(absent)}")
        model = library.Tokenizer(library.models.WordPiece(numbers, unk_token="[UNK]"))
        model.normalizer = library.normalizers.BertNormalizer(**normalizing)
        model.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
        model.post_processor = library.processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])],
        )
        model.decoder = library.decoders.WordPiece()
        model.add_special_tokens(list(SPECIALS))
        return cls(model.to_str())

    @property
    def vocab_size(self) -> int:
        size: int = self._model.get_vocab_size()
        return size

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Lists the ids of [PAD], [UNK], [CLS], [SEP] and [MASK]."""
        return (self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id)

    def __call__(
        self, texts: Sequence[str], seconds: Sequence[str] | None = None, *, max_length: int | None = None
    ) -> Encoded:
        """Turns texts, or pairs of them, into what a model reads.

        Args:
            texts: the texts, or the first of each pair.
            seconds: the second of each pair, as many.
            max_length: the most tokens, special ones included; of longer texts the end is cut off, of a pair
                that of the longer one. None for no limit.

        Raises:
            ValueError: if there are no texts, a text holds half a character, the seconds are not as many, or
                ``max_length`` leaves no room.
        """
        encodings = self._encodings(texts, seconds, max_length)
        length = max(len(encoding.ids) for encoding in encodings)

        def filled(name: str, filler: int) -> Tensor:
            rows = [getattr(encoding, name) for encoding in encodings]
            return torch.tensor([row + [filler] * (length - len(row)) for row in rows])

        return Encoded(filled("ids", self.pad_id), filled("attention_mask", 0), filled("type_ids", 0))

    def words(self, texts: Sequence[str], *, max_length: int | None = None) -> Tensor:
        """Returns of each token the number of the word it is a piece of, -1 at special tokens, ``(B, T)``."""
        encodings = self._encodings(texts, None, max_length)
        length = max(len(encoding.ids) for encoding in encodings)
        rows = [[-1 if word is None else word for word in encoding.word_ids] for encoding in encodings]
        return torch.tensor([row + [-1] * (length - len(row)) for row in rows])

    def pieces(self, texts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """Returns of each text its token ids, without [CLS] and [SEP], and the number of each one's word.

        Raises:
            ValueError: if a text holds half a character.
        """
        for text in texts:
            utf8("WordPieceTokenizer", text)
        self._model.no_truncation()
        encodings = self._model.encode_batch(list(texts), add_special_tokens=False)
        return [
            (torch.tensor(e.ids, dtype=torch.int64), torch.tensor(e.word_ids, dtype=torch.int64))
            for e in encodings
        ]

    def known(self, texts: Sequence[str]) -> list[Tensor]:
        """Returns of each text its token ids, without [CLS] and [SEP], if at least one word of it is known.

        Raises:
            ValueError: shows the first text of which none is.
        """
        pieces, special = [ids for ids, _ in self.pieces(texts)], set(self.special_ids)
        for text, ids in zip(texts, pieces, strict=True):
            if special.issuperset(ids.tolist()):
                raise ValueError(f"WordPieceTokenizer: no word is known of the text {text[:60]!r}")
        return pieces

    def _encodings(
        self, texts: Sequence[str], seconds: Sequence[str] | None, max_length: int | None
    ) -> list[Any]:
        if isinstance(texts, str) or not texts:
            raise ValueError(f"WordPieceTokenizer: expected a list of texts, at least one, got {texts!r}")
        if seconds is not None and len(seconds) != len(texts):
            raise ValueError(
                f"WordPieceTokenizer: expected as many second texts as first ones, {len(texts)}, got "
                f"{len(seconds)}"
            )
        for text in (*texts, *(seconds or ())):
            utf8("WordPieceTokenizer", text)
        least = 2 if seconds is None else 3
        if max_length is not None and max_length <= least:
            raise ValueError(f"WordPieceTokenizer: expected max_length above {least}, got {max_length}")
        self._model.no_truncation()
        if max_length is not None:
            self._model.enable_truncation(max_length)
        given = list(texts) if seconds is None else list(zip(texts, seconds, strict=True))
        encodings: list[Any] = self._model.encode_batch(given)
        return encodings

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text, without [CLS] and [SEP]."""
        (found,) = self.pieces([text])
        ids: list[int] = found[0].tolist()
        return ids

    def _text(self, ids: list[int]) -> str:
        around = (self.pad_id, self.cls_id, self.sep_id)
        text: str = self._model.decode([i for i in ids if i not in around], skip_special_tokens=False)
        return text

    def _content(self) -> Any:
        self._model.no_truncation()
        return json.loads(self._model.to_str())

    @classmethod
    def _from_content(cls, content: Any) -> Self:
        return cls(json.dumps(content))

    def token(self, number: int) -> str:
        """Returns a token as it stands in the vocabulary: ``##ing`` for a piece inside a word."""
        found: str = self._model.id_to_token(number)
        return found

    def files(self) -> dict[str, str]:
        """Returns name -> text of the files that hold it, as `transformers` reads them."""
        content = self._content()
        names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIALS, strict=True))
        normalizer = content.get("normalizer") or {}
        settings = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": normalizer.get("lowercase", True),
            "strip_accents": normalizer.get("strip_accents"),
            "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
            **{f"{name}_token": token for name, token in names.items()},
        }
        vocabulary: dict[str, int] = self._model.get_vocab()
        words = sorted(vocabulary, key=lambda word: vocabulary[word])
        return {
            PUBLISHED_FILE: json.dumps(content, ensure_ascii=False),
            SETTINGS_FILE: json.dumps(settings, indent=2) + "\n",
            WORDS_FILE: "".join(f"{word}\n" for word in words),
        }
