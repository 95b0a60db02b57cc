"""Attention: the checks that additive and multiplicative attention share."""

from __future__ import annotations

from typing import Self

import torch
from ds_core import Dense, Identity, InputGrad, Module
from ds_core.checks import check_dtype, shape
from torch import Tensor


class Attention(Module):
    """Lets each query take a mean of the values, weighted by how well it matches their keys.

    s_ij = score(q_i, k_j),   a_i = softmax_j(s_ij),   c_i = sum_j a_ij v_j

    Base of the two kinds, which differ in the score. A key is projected by ``key_proj`` first, the same for
    every query. A decoder that attends once for each word does that once for each sentence: see :meth:`look`.

    Shape:
        query ``(B, T, query_dim)``, or ``(B, query_dim)`` for one step; key ``(B, S, key_dim)``; value
        ``(B, S, D)``; key_padding_mask ``(B, S)``, True where there is only padding -> context ``(B, T, D)``
        or ``(B, D)``, weights ``(B, T, S)`` or ``(B, S)``. Where all keys are padding, both are 0.

    Raises:
        ValueError: if a shape does not fit.
        TypeError: if a type does not.
    """

    query_dim: int
    key_dim: int
    key_proj: Dense | Identity

    def look(
        self, query: Tensor, keys: Tensor, value: Tensor, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attends with keys that ``key_proj`` has already projected.

        Args:
            query: ``(B, T, query_dim)``.
            keys: ``key_proj(key)``, ``(B, S, ...)``.
            value: ``(B, S, D)``.
            hidden: ``(B, S)``, True where there is only padding; None for nowhere.

        Returns:
            The contexts ``(B, T, D)`` and the weights ``(B, T, S)``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no look")

    def look_backward(
        self, grad_context: Tensor, grad_weights: Tensor | None = None
    ) -> tuple[InputGrad, Tensor, Tensor]:
        """Returns the gradients of query, projected keys and value: the mirror of :meth:`look`."""
        raise NotImplementedError(f"{type(self).__name__} has no look_backward")

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the projections, too."""
        for module in self.modules():
            module.input_grad = requires_input_grad
        return self

    def check(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
        """Checks what forward is given."""
        fits = (
            query.dim() in (2, 3)
            and query.shape[-1] == self.query_dim
            and key.dim() == value.dim() == 3
            and key.shape[-1] == self.key_dim
            and key.shape[:2] == value.shape[:2]
            and len(query) == len(key)
        )
        if not fits:
            raise ValueError(
                f"{self.label()}: expected query (B, T, {self.query_dim}) or (B, {self.query_dim}), key "
                f"(B, S, {self.key_dim}) and value (B, S, D), got {shape(query)}, {shape(key)} "
                f"and {shape(value)}"
            )
        parameter = next(self.parameters(), query)
        for x in (query, key, value):
            check_dtype(self, x, parameter.dtype)
        if mask is not None and (mask.shape != key.shape[:2] or mask.dtype != torch.bool):
            raise ValueError(
                f"{self.label()}: expected key_padding_mask {shape(key[:, :, 0])} of torch.bool, got "
                f"{shape(mask)} of {mask.dtype}"
            )

    def extra_repr(self) -> str:
        return f"{self.query_dim}, {self.key_dim}"
