"""Embedding: a learned vector for each id."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.checks import shape
from ds_core.functional.embedding import embedding, embedding_backward
from ds_core.initializers import Init, initialize
from ds_core.module import Module, Parameter


class Embedding(Module):
    """Looks up a row of a learned table for every id.

    y = W[ids],   dL/dW[v] = sum of g over the places where ids = v;   ids have no gradient

    Args:
        num_embeddings: V, the size of the vocabulary.
        embedding_dim: D, the size of each vector.
        padding_idx: an id whose vector starts as zeros and collects no gradient; negative counts from V.
        init: how W starts: a name or function of :mod:`ds_core.initializers`; None for N(0, 1).
        generator: source of the initial values; None for torch's global one.

    Shape:
        ids ``(...)``, int64 or int32 -> y ``(..., D)``; weight ``(V, D)``.

    Raises:
        ValueError: if ``padding_idx`` is outside the vocabulary.
        TypeError: if ids are not int64 or int32.
        IndexError: if an id is outside the vocabulary.

    Source: Bengio et al., A Neural Probabilistic Language Model (2003), section 2.
    """

    weight: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"{type(self).__name__}({num_embeddings}, {embedding_dim}): expected padding_idx from "
                f"{-num_embeddings} to {num_embeddings - 1}, got {padding_idx}"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(torch.empty(num_embeddings, embedding_dim))
        initialize(self.weight, init or "normal", generator)
        if padding_idx is not None:
            with torch.no_grad():
                self.weight[padding_idx] = 0

    def forward(self, ids: Tensor) -> Tensor:
        self._check_ids(ids)
        self.save(ids)
        return embedding(ids, self.weight, self.padding_idx)

    def backward(self, grad: Tensor) -> None:
        (ids,) = self.saved()
        self.add_grad("weight", lambda: embedding_backward(grad, ids, self.num_embeddings, self.padding_idx))

    def _check_ids(self, ids: Tensor) -> None:
        if ids.dtype not in (torch.int64, torch.int32):
            raise TypeError(
                f"{self.label()}: expected integer ids (torch.int64 or torch.int32), got {ids.dtype} of "
                f"shape {shape(ids)}"
            )
        if ids.numel() == 0 or torch.compiler.is_compiling():  # a compiled graph cannot stop to look
            return
        for bad in ids.aminmax():
            if not 0 <= bad < self.num_embeddings:
                raise IndexError(
                    f"{self.label()}: token id {int(bad)} is outside the vocabulary "
                    f"0..{self.num_embeddings - 1}"
                )

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
