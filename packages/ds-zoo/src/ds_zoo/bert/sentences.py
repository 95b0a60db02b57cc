"""SentenceEncoder: one vector for each text, so that texts of one meaning lie close together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from ds_core.checks import shape
from ds_core.module import evaluating
from ds_core.text import WordPieceTokenizer
from ds_core.training.files import read_json
from torch import Tensor

from ds_zoo.bert.model import MiniBERT

Pooling = Literal["mean", "cls"]
MODULES_FILE = "modules.json"
LENGTH_FILE = "sentence_bert_config.json"
POOLINGS: dict[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


class Hit(NamedTuple):
    """A text that a search found.

    Attributes:
        score: how close it is to what was searched: the cosine of the angle between the two vectors.
        place: where it stands in the list.
        text: the text.
    """

    score: float
    place: int
    text: str


class SentenceEncoder:
    """Turns texts into vectors and finds those closest in meaning.

    v = sum of x_t over the text's tokens / their number ("mean"), or x_0 ("cls");   v / |v|

    Args:
        model: makes a vector of each token.
        tokenizer: whose ids the model was trained with.
        pooling: how the vectors of tokens become one of the text: "mean" or "cls".
        normalize: whether vectors get the length 1.
        max_length: the most tokens of a text, the rest is cut off; None for what the model sees at once.

    Raises:
        ValueError: if the tokenizer has more tokens than the model, or an option is out of range.

    Source: Reimers and Gurevych, Sentence-BERT (2019), section 3.
    """

    def __init__(
        self,
        model: MiniBERT,
        tokenizer: WordPieceTokenizer,
        *,
        pooling: Pooling = "mean",
        normalize: bool = True,
        max_length: int | None = None,
    ) -> None:
        if pooling not in ("mean", "cls"):
            raise ValueError(f"SentenceEncoder: expected pooling 'mean' or 'cls', got {pooling!r}")
        most = model.config.max_position_embeddings
        if max_length is not None and not 3 <= max_length <= most:
            raise ValueError(f"SentenceEncoder: expected max_length from 3 to {most}, got {max_length}")
        check_vocabulary(model, tokenizer)
        self.model, self.tokenizer = model, tokenizer
        self.pooling, self.normalize, self.max_length = pooling, normalize, max_length or most

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Reads a published folder: of sentence-transformers (``modules.json``), or of a BERT alone.

        What the modules say is followed: the kind of pooling, whether vectors are normalised, how long a
        text may be. Without them it is the mean, normalised.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if a file is damaged, or names a module or a pooling that is not here.
        """
        folder = Path(folder)
        if not (folder / MODULES_FILE).is_file():
            return cls(MiniBERT.from_pretrained(folder), WordPieceTokenizer.from_pretrained(folder))
        places: dict[str, Path] = {}
        for module in _read_list(folder / MODULES_FILE):
            kind = str(module.get("type")).rpartition(".")[2]
            if kind not in ("Transformer", "Pooling", "Normalize") or kind in places:
                raise ValueError(
                    f"{folder / MODULES_FILE}: expected one Transformer, one Pooling and perhaps Normalize, "
                    f"got {module.get('type')!r}"
                )
            places[kind] = folder / str(module.get("path"))
        if not places.keys() >= {"Transformer", "Pooling"}:
            raise ValueError(f"{folder / MODULES_FILE}: expected a Transformer and a Pooling")
        inner = places["Transformer"]
        tokenizer = WordPieceTokenizer.from_pretrained(inner)
        settings: dict[str, Any] = {}
        if (inner / LENGTH_FILE).is_file():
            settings = read_json(inner / LENGTH_FILE, "a sentence encoder's settings")
        if settings.get("do_lower_case") and tokenizer.encode("A CAT") != tokenizer.encode("a cat"):
            raise ValueError(
                f"{inner / LENGTH_FILE}: expected do_lower_case=false, or a tokenizer that makes capitals "
                "small itself, got true: no text is changed before it is cut into tokens"
            )
        return cls(
            MiniBERT.from_pretrained(inner),
            tokenizer,
            pooling=_pooling(places["Pooling"] / "config.json"),
            normalize="Normalize" in places,
            max_length=settings.get("max_seq_length"),
        )

    @torch.no_grad()
    def encode(self, texts: str | Sequence[str], *, batch_size: int = 32) -> Tensor:
        """Returns a vector for each text, ``(N, C)``, or ``(C,)`` for one given alone.

        Texts of like length are read together, so that little is filled up.

        Raises:
            ValueError: if ``batch_size`` is below 1.
        """
        if isinstance(texts, str):
            return self.encode([texts])[0]
        if batch_size < 1:
            raise ValueError(f"SentenceEncoder.encode: expected batch_size of at least 1, got {batch_size}")
        weight = self.model.embeddings.word.weight
        vectors = weight.new_empty(len(texts), self.model.config.hidden_size)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with evaluating(self.model):
            for start in range(0, len(texts), batch_size):
                batch = order[start : start + batch_size]
                ids, mask, types = (
                    t.to(weight.device)
                    for t in self.tokenizer([texts[i] for i in batch], max_length=self.max_length)
                )
                vectors[batch] = self._pool(self.model(ids, mask, types).last_hidden_state, mask)
        return vectors

    def _pool(self, x: Tensor, mask: Tensor) -> Tensor:
        """Makes one vector of those of a text's tokens, ``(B, T, C)`` -> ``(B, C)``."""
        if self.pooling == "cls":
            vectors = x[:, 0]
        else:
            counted = mask[:, :, None].to(x.dtype)
            vectors = (x * counted).sum(1) / counted.sum(1)  # [CLS] and [SEP] count, so never by 0
        return normalized(vectors) if self.normalize else vectors

    def similarity(self, texts: str | Sequence[str], others: str | Sequence[str]) -> Tensor:
        """Returns the cosine between the vectors of each text and each other one, ``(N, M)``."""
        ours, theirs = (
            normalized(self.encode([given] if isinstance(given, str) else given)) for given in (texts, others)
        )
        return ours @ theirs.T

    def search(
        self, query: str, texts: Sequence[str], *, top_k: int = 5, vectors: Tensor | None = None
    ) -> list[Hit]:
        """Finds the texts closest in meaning to a question.

        Args:
            query: what is searched.
            texts: where.
            top_k: at most so many are returned, the closest first.
            vectors: what :meth:`encode` made of ``texts``, if it was kept from before; None to do it now.

        Raises:
            ValueError: if ``top_k`` is below 1, or the vectors are not as many as the texts.
        """
        if top_k < 1:
            raise ValueError(f"SentenceEncoder.search: expected top_k of at least 1, got {top_k}")
        if vectors is None:
            vectors = self.encode(texts)
        if len(vectors) != len(texts):
            raise ValueError(
                f"SentenceEncoder.search: expected a vector for each of the {len(texts)} texts, got "
                f"{shape(vectors)}"
            )
        scores = normalized(vectors) @ normalized(self.encode(query)[None])[0]  # (N,)
        best = scores.argsort(descending=True, stable=True)[:top_k].tolist()
        return [Hit(scores[i].item(), i, texts[i]) for i in best]


def normalized(vectors: Tensor) -> Tensor:
    """Returns vectors ``(N, C)`` with the length 1; one of zeros stays."""
    return vectors / vectors.square().sum(-1, keepdim=True).sqrt().clamp(min=1e-12)


def check_vocabulary(model: Any, tokenizer: WordPieceTokenizer) -> None:
    """Checks that a model has a vector for each token of a tokenizer.

    Raises:
        ValueError: if there are fewer.
    """
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ValueError(
            f"{type(model).__name__}: expected a tokenizer of at most {model.config.vocab_size} tokens, as "
            f"many as the model has vectors for, got one of {tokenizer.vocab_size}"
        )


def _read_list(path: Path) -> list[dict[str, Any]]:
    """Reads a JSON file that holds a list of objects."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error})") from error
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise ValueError(f"{path}: expected a list of objects")
    return content


def _pooling(path: Path) -> Pooling:
    """Returns which pooling a configuration asks for."""
    fields = read_json(path, "the configuration of a pooling")
    asked = [name for name, value in fields.items() if name.startswith("pooling_mode_") and value]
    if len(asked) != 1 or asked[0] not in POOLINGS:
        raise ValueError(f"{path}: expected {' or '.join(POOLINGS)}, got {', '.join(asked) or 'none'}")
    return POOLINGS[asked[0]]
