"""Decoder: one more token of each sequence, in as few operations as it takes.

What :meth:`MiniGPT.forward` computes with caches when each sequence gets one token, without the modules
around each operation: at a batch of one they take longer than the mathematics. No gradient, no dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from ds_core import Dense, LayerNorm
from ds_core.kernels import matmul, switch
from ds_transformer import KeyValueCache, MultiheadAttention
from torch import Tensor

# tanh's argument in GELU's approximation is x (SLOPE + SLOPE CUBIC x^2).
SLOPE, CUBIC = (2 / torch.pi) ** 0.5, 0.044715


class Product(NamedTuple):
    """A Dense layer: y = x W^T + b."""

    weight: Tensor  # W^T, (in, out)
    bias: Tensor  # b, (out,); one zero without a bias


class Norm(NamedTuple):
    """A LayerNorm: y = (x - mean) / sqrt(var + eps) w + b."""

    weight: Tensor
    bias: Tensor
    eps: float


class Block(NamedTuple):
    """A block's weights."""

    norm1: Norm
    projection: Product  # to queries, keys and values, side by side
    joined: Product
    norm2: Norm
    linear1: Product
    linear2: Product


class Decoder:
    """Reads the weights of a model once, and then token by token.

    Args:
        model: a model that :meth:`serves`; its weights must not be replaced while the decoder is in use.
    """

    def __init__(self, model: Any) -> None:
        self.heads = model.config.n_head
        self.exact = model.blocks[0].activation.approximate == "none"
        self.tokens, self.places = model.wte.weight, model.wpe.weight
        self.unread = self.tokens.new_zeros(())  # what a product would be added to
        self.average = self.tokens.new_full((self.tokens.shape[1], 1), 1 / self.tokens.shape[1])
        self.blocks = [
            Block(
                norm_of(block.norm1),
                Product(block.self_attn.in_proj_weight.mT, block.self_attn.in_proj_bias),
                product_of(block.self_attn.out_proj),
                norm_of(block.norm2),
                product_of(block.linear1),
                product_of(block.linear2),
            )
            for block in model.blocks
        ]
        self.norm, self.head = norm_of(model.norm), product_of(model.head)

    @staticmethod
    def serves(model: Any) -> bool:
        """Says whether a model is as it was made, so that nobody misses a module that is passed over.

        Not where LoRA adapts a layer, something watches or replaces a forward, kernels are switched off, or
        the types are other than float32 and float64.
        """
        parts = list(model.modules())
        kinds = {type(part) for block in model.blocks for part in (block.linear1, block.linear2)}
        return (
            switch.kernels
            and not any("forward" in vars(part) for part in parts)
            and kinds | {type(model.head)} == {Dense}
            and all(type(block.self_attn) is MultiheadAttention for block in model.blocks)
            and all(isinstance(block.self_attn.in_proj_weight, Tensor) for block in model.blocks)
            and all(type(block.self_attn.out_proj) is Dense for block in model.blocks)
            and {p.dtype for p in model.parameters()} in ({torch.float32}, {torch.float64})
        )

    def __call__(
        self, ids: Tensor, places: Tensor, caches: Sequence[KeyValueCache], hidden: Tensor | None
    ) -> Tensor:
        """Scores the next token.

        Args:
            ids: of each sequence the latest token, ``(B,)``.
            places: where it stands, ``(B,)``.
            caches: of each block; they get one position more.
            hidden: ``(B, 1, S)``, True at positions that fill up short sequences, or None for none.

        Returns:
            Logits ``(B, V)``.
        """
        x = self.tokens[ids].add_(self.places[places])  # (B, C)
        for block, cache in zip(self.blocks, caches, strict=True):
            x.add_(self._attend(self._normalized(x, block.norm1), block, cache, hidden))
            x.add_(self._think(self._normalized(x, block.norm2), block))
        return times(self._normalized(x, self.norm), self.head)

    def _normalized(self, x: Tensor, norm: Norm) -> Tensor:
        """Returns (x - mean) / sqrt(var + eps) w + b; a product takes means quicker than a sum does."""
        centred = x - matmul.mm(x, self.average)  # (B, C) less (B, 1)
        scale = matmul.mm(centred * centred, self.average).add_(norm.eps).rsqrt_()
        return torch.addcmul(norm.bias, centred.mul_(scale), norm.weight)

    def _attend(self, x: Tensor, block: Block, cache: KeyValueCache, hidden: Tensor | None) -> Tensor:
        """Looks at what the cache holds, and at x itself."""
        rows, width = x.shape
        qkv = times(x, block.projection).view(rows, 3, self.heads, 1, -1)  # (B, 3, H, 1, D)
        keys, values = cache.extend(qkv[:, 1], qkv[:, 2])  # (B, H, S, D)
        n, size = rows * self.heads, keys.shape[-1]
        query, keys, values = (
            qkv[:, 0].reshape(n, 1, size),
            keys.view(n, -1, size),
            values.view(n, -1, size),
        )
        scores = torch.baddbmm(self.unread, query, keys.mT, beta=0, alpha=size**-0.5)  # (B H, 1, S)
        if hidden is not None:
            scores.view(rows, self.heads, -1).masked_fill_(hidden, -torch.inf)
        weights = scores.sub_(scores.amax(-1, keepdim=True)).exp_()
        weights.div_(weights.sum(-1, keepdim=True))
        return times(torch.bmm(weights, values).view(rows, width), block.joined)

    def _think(self, x: Tensor, block: Block) -> Tensor:
        """Runs the small network: GELU(u) = u (1 + t) / 2, the half being taken with the last product."""
        u = times(x, block.linear1)  # (B, 4 C)
        if self.exact:
            t = (u * 0.5**0.5).erf_()
        else:
            t = (u * u).mul_(SLOPE * CUBIC).add_(SLOPE).mul_(u).tanh_()
        return times(torch.addcmul(u, u, t), block.linear2, alpha=0.5)


def times(x: Tensor, product: Product, alpha: float = 1) -> Tensor:
    """Returns alpha x W^T + b."""
    return matmul.addmm(product.bias, x, product.weight, alpha=alpha)


def product_of(layer: Any) -> Product:
    """Reads a Dense layer."""
    return Product(layer.weight.mT, layer.weight.new_zeros(1) if layer.bias is None else layer.bias)


def norm_of(layer: LayerNorm) -> Norm:
    """Reads a LayerNorm."""
    assert layer.weight is not None  # MiniGPT's have both
    assert layer.bias is not None
    return Norm(layer.weight, layer.bias, layer.eps)
