"""Translator: a model between two tokenizers, from text to text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from ds_core.checks import check_whole, shown
from ds_core.pretrained import has_weights
from ds_core.text import Decoded, Tokenizer
from ds_core.text.pair_batches import pad
from ds_core.text.token_ids import check_texts

SOURCE_FILE, TARGET_FILE = "source_tokenizer.json", "target_tokenizer.json"


class TranslationModel(Protocol):
    """What a :class:`Translator` asks of its model, a Module."""

    def generate(
        self,
        source: Tensor,
        source_lengths: Tensor,
        max_length: int,
        beam_size: int,
        length_penalty: float,
    ) -> Decoded:
        """Writes the target tokens of each source ``(B, S)``."""

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes configuration and weights."""

    def parameters(self) -> Iterator[Tensor]:
        """Yields the weights, which say where the model computes."""


Model = TypeVar("Model", bound=TranslationModel)


class Forced(NamedTuple):
    """A sentence and its translation as a model is shown them, to see what it does on the way.

    Attributes:
        source: ``(1, S)`` int64.
        source_lengths: ``(1,)``.
        target: ``(1, T)`` int64, from ``<bos>`` to the last token before ``<eos>``.
        source_tokens: S tokens as a reader knows them.
        target_tokens: T tokens: those to be written after each of ``target``, the last of them ``<end>``.
    """

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    source_tokens: list[str]
    target_tokens: list[str]


class Translator(Generic[Model]):
    """Translates texts: tokenizes, lets the model write where it is, and puts the tokens together again.

    Args:
        model: what turns tokens into tokens.
        source_tokenizer: of the language to translate from.
        target_tokenizer: of the language to translate to.

    Example:
        >>> translator = Translator.load("runs/en-de", Seq2Seq)
        >>> translator.translate(["The cat is asleep."])
    """

    def __init__(self, model: Model, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> None:
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer

    def translate(
        self,
        texts: Sequence[str],
        *,
        beam_size: int = 5,
        length_penalty: float = 0.6,
        max_length: int | None = None,
        batch_size: int = 64,
    ) -> list[str]:
        """Translates each text.

        Args:
            texts: sentences of the source language.
            beam_size: how many beginnings to follow at once; 1 is greedy.
            length_penalty: see :func:`ds_core.text.beam_search`.
            max_length: the most tokens to write; None for twice those of the text, rounded up to eights, and
                ten more: so a translation does not depend on what else is translated.
            batch_size: how many texts at a time; those of like length together.

        Raises:
            TypeError: if it is one text, or what is to be translated is no text; says which.
            ValueError: if a text is empty or longer than the model's context, says which; or if a number is
                too small.
        """
        check_texts("Translator.translate", texts)
        check_whole("Translator.translate", batch_size=batch_size)
        if max_length is not None:
            check_whole("Translator.translate", max_length=max_length)
        sources = [self.read(text, number) for number, text in enumerate(texts)]
        order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
        device = self._device()
        written = [""] * len(sources)
        for longest, alike in groupby(order, lambda number: max_length or _longest(sources[number])):
            while numbers := list(islice(alike, batch_size)):
                ids, lengths = pad([sources[number] for number in numbers], self.source_tokenizer.pad_id)
                ids, lengths = ids.to(device), lengths.to(device)
                decoded = self.model.generate(ids, lengths, longest, beam_size, length_penalty)
                for number, tokens in zip(numbers, decoded.tokens, strict=True):
                    written[number] = self.target_tokenizer.decode(tokens)
        return written

    def read(self, text: str, number: int = 0) -> Tensor:
        """Returns the tokens of a text, ``(T,)``, int64, as :meth:`translate` reads it.

        Args:
            text: a sentence of the source language.
            number: of the text, as errors call it.

        Raises:
            TypeError: if it is no text.
            ValueError: if it is empty or longer than the model's context.
        """
        if not isinstance(text, str):
            raise TypeError(f"Translator.translate: expected text {number} to be one, got {shown(text)}")
        tokens = self.source_tokenizer.encode(text)
        context = getattr(getattr(self.model, "config", None), "max_length", None)
        if not tokens:
            raise ValueError(
                f"Translator.translate: text {number} has no tokens: {text!r}; give at least a word"
            )
        if context is not None and len(tokens) > context:
            raise ValueError(
                f"Translator.translate: text {number} has {len(tokens)} tokens, expected at most {context}, "
                f"the context of the model: {text[:60]!r}"
            )
        return torch.tensor(tokens, dtype=torch.int64)

    def forced(self, text: str, translation: str) -> Forced:
        """Returns what to show the model so that it writes this translation, and not its own.

        Raises:
            ValueError: if the text has no tokens.
        """
        read = self.source_tokenizer.encode(text)
        if not read:
            raise ValueError(f"Translator.forced: the text has no tokens: {text!r}; give at least a word")
        written = [*self.target_tokenizer.encode(translation), self.target_tokenizer.eos_id]
        device = self._device()
        return Forced(
            torch.tensor([read], device=device),
            torch.tensor([len(read)], device=device),
            torch.tensor([[self.target_tokenizer.bos_id, *written[:-1]]], device=device),
            _shown(self.source_tokenizer, read),
            _shown(self.target_tokenizer, written),
        )

    def _device(self) -> torch.device:
        """Returns where the model is."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    def save(self, folder: str | Path) -> None:
        """Writes the model and both tokenizers, for :meth:`load`."""
        folder = Path(folder)
        self.model.save_pretrained(folder)
        self.source_tokenizer.save(folder / SOURCE_FILE)
        self.target_tokenizer.save(folder / TARGET_FILE)

    @classmethod
    def load(cls, folder: str | Path, model_class: Any) -> Translator[Any]:
        """Reads what :meth:`save` wrote.

        Args:
            folder: the folder.
            model_class: the model's class, which has ``from_pretrained``.

        Raises:
            FileNotFoundError: if there is no such folder, or it holds no finished training.
            ValueError: if a file does not fit.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder; train a translator there first")
        missing = [name for name in (SOURCE_FILE, TARGET_FILE) if not (folder / name).exists()]
        if missing or not has_weights(folder):
            raise FileNotFoundError(
                f"{folder}: lacks {missing[0] if missing else 'weights'}, so this folder holds no finished "
                "training; continue it with --resume, or train anew"
            )
        tokenizers = [Tokenizer.load(folder / name) for name in (SOURCE_FILE, TARGET_FILE)]
        for name, tokenizer in zip((SOURCE_FILE, TARGET_FILE), tokenizers, strict=True):
            if not tokenizer.specials:
                raise ValueError(f"{folder / name}: expected one with special tokens, got {tokenizer}")
        model = model_class.from_pretrained(folder)
        config = getattr(model, "config", None)
        for side, name, tokenizer in zip(
            ("source", "target"), (SOURCE_FILE, TARGET_FILE), tokenizers, strict=True
        ):
            size = getattr(config, f"{side}_vocab_size", tokenizer.vocab_size)
            if tokenizer.vocab_size != size:
                raise ValueError(
                    f"{folder / name}: has {tokenizer.vocab_size} tokens, but the model knows {size}: they "
                    "are not of one training"
                )
        return cls(model, *tokenizers)


def _longest(source: Tensor) -> int:
    """Returns how many tokens the translation of a source may have, the same for those of like length."""
    return 2 * 8 * math.ceil(len(source) / 8) + 10


def _shown(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """Returns each token as a reader knows it."""
    return [
        "<end>" if place == tokenizer.eos_id else tokenizer.decode([place]).strip() or "·" for place in ids
    ]
