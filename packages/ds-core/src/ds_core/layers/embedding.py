"""Embedding: a learned vector for each id."""

from __future__ import annotations

from typing import Self, final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_numbers, shape
from ds_core.initializers import Init, initialize
from ds_core.kernels import dispatch
from ds_core.module import Module, Parameter

embedding, embedding_backward = dispatch(functional.embedding)


@final
class Embedding(Module):
    """Looks up a row of a learned table for every id.

    y = W[ids],   dL/dW[v] = sum of g over the places where ids = v;   ids have no gradient

    Args:
        num_embeddings: V, the size of the vocabulary.
        embedding_dim: D, the size of each vector.
        padding_idx: an id whose vector starts as zeros and collects no gradient; negative counts from V.
        max_norm: left out on purpose, as the next three are; asked for, an error says what to do instead.
        norm_type: says nothing without ``max_norm``.
        scale_grad_by_freq: see ``max_norm``.
        sparse: see ``max_norm``.
        device: of the table.
        dtype: of the table.
        init: initial W: a name or function of :mod:`ds_core.initializers`; None for N(0, 1).
        generator: source of the initial values; None for torch's global one.

    Shape:
        ids ``(...)``, int64 or int32 -> y ``(..., D)``; weight ``(V, D)``.

    Raises:
        ValueError: if ``padding_idx`` is outside the vocabulary, or an option is one left out.
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
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"{type(self).__name__}({num_embeddings}, {embedding_dim}): expected padding_idx from "
                f"{-num_embeddings} to {num_embeddings - 1}, got {padding_idx}"
            )
        refused = {
            "max_norm": (max_norm, "a forward changes no weights; rescale rows after the optimizer's step"),
            "scale_grad_by_freq": (scale_grad_by_freq, "count the ids and weigh the loss instead"),
            "sparse": (sparse, "the gradient is a plain tensor"),
        }
        for option, (given, why) in refused.items():
            if given:
                raise ValueError(
                    f"{type(self).__name__}({num_embeddings}, {embedding_dim}): {option} is left out on "
                    f"purpose: {why}; got {option}={given!r}"
                )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        initialize(self.weight, init or "normal", generator)
        if padding_idx is not None:
            with torch.no_grad():
                self.weight[padding_idx] = 0

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """Makes a layer of a given table, whose memory it shares.

        Args:
            embeddings: the table ``(V, D)``, floating point.
            freeze: whether it stays as it is in training.
            padding_idx: as for the class; its row stays what it is.
            max_norm: as for the class, as are the next three.
            norm_type: see ``max_norm``.
            scale_grad_by_freq: see ``max_norm``.
            sparse: see ``max_norm``.

        Raises:
            ValueError: if the table has other dimensions, or an option is one left out.
        """
        if embeddings.dim() != 2:
            raise ValueError(f"{cls.__name__}.from_pretrained: expected (V, D), got {shape(embeddings)}")
        options = (padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        with torch.device("meta"):
            layer = cls(len(embeddings), embeddings.shape[1], *options)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def forward(self, input: Tensor) -> Tensor:
        y, saved = embedding(self._checked(input), self.weight, self.padding_idx)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> None:
        (saved,) = self.saved()
        wide = torch.float64 if grad.dtype == torch.float64 else torch.float32  # half: long sums stand still
        self.add_grad("weight", lambda: embedding_backward(grad.to(wide), saved).to(self.weight.dtype))

    def _checked(self, ids: Tensor) -> Tensor:
        if ids.dtype not in (torch.int64, torch.int32):
            raise TypeError(
                f"{self.label()}: expected integer ids (torch.int64 or torch.int32), got {ids.dtype} of "
                f"shape {shape(ids)}"
            )
        if ids.numel() == 0 or torch.compiler.is_compiling():  # a compiled graph cannot stop to look
            return ids
        low, high = ids.aminmax()

        def error() -> IndexError:
            return IndexError(
                f"{self.label()}: token id {int(low if low < 0 else high)} is outside the vocabulary "
                f"0..{self.num_embeddings - 1}"
            )

        later = check_numbers((low < 0) | (high >= self.num_embeddings), error)
        return ids.clamp(0, self.num_embeddings - 1) if later else ids

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
