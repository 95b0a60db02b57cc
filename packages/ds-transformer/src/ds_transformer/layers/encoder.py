"""TransformerEncoderLayer and TransformerEncoder: positions look at one another, layer upon layer."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from ds_core import Dropout, DropPath, InputGrad, LayerNorm, Module, Sequential
from ds_core.checks import check_numbers, check_whole, shape
from ds_core.kernels import dispatch
from ds_core.module import unwrapped
from torch import Tensor

from ds_transformer import functional
from ds_transformer.cache import KeyValueCache
from ds_transformer.layers.multihead_attention import MultiheadAttention
from ds_transformer.layers.transformer_layer import (
    TransformerLayer,
    TransformerOptions,
    TransformerStack,
    sorted_options,
)

one_position, one_position_backward = dispatch(functional.one_position)


class TransformerEncoderLayer(TransformerLayer):
    """Lets positions look at one another, then think each for itself; each part is added to what was there.

    norm first:   x1 = x + attention(norm1(x)),   y = x1 + f(norm2(x1))
    norm last:    x1 = norm1(x + attention(x)),   y = norm2(x1 + f(x1))
    where f(x) = linear2(activation(linear1(x)))

    With a causal mask it is the block of a GPT.

    Args:
        d_model: C, the width.
        nhead: H, attention heads.
        dim_feedforward: inner width of f.
        dropout: share of numbers set to zero in training after attention, inside f and after f, and of
            attention weights.
        activation: "relu", "gelu" or a Module, which is copied.
        layer_norm_eps: added to the variance in both norms.
        batch_first: whether sequences are ``(B, T, C)`` and not ``(T, B, C)``.
        norm_first: whether each part normalises what it reads, and not the sum.
        bias: whether projections and norms have biases.
        device: of the parameters.
        dtype: of the parameters.
        num_kv_heads: see :class:`MultiheadAttention`.
        rotary: see :class:`MultiheadAttention`.
        score_bias: see :class:`MultiheadAttention`.
        drop_path: share of the sequences for which each of the two parts is left out in training; see
            :class:`ds_core.DropPath`.
        options: see :class:`TransformerOptions`; ``init`` is of the projections.

    Shape:
        src ``(B, T, C)`` or ``(T, C)``, or ``(T, B, C)`` unless ``batch_first`` -> the same; src_mask
        ``(T, T)`` or ``(B H, T, T)``, src_key_padding_mask ``(B, T)``: True at what is hidden, or numbers
        added to the scores. Where a head reads one position of each sequence, integers ``only`` ``(B,)``, or
        one for all: src ``(B, T, C)`` -> ``(B, 1, C)``, what all positions would give there, at the cost of
        keys and values.

    Raises:
        ValueError: if an option is out of range or a shape does not fit, or ``only`` is given beside a
            src_mask, a cache, or positions that attention knows.
        IndexError: if ``only`` names a position that there is not.
        TypeError: if it is not whole.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.1; norm first: Xiong et al., On Layer
    Normalization in the Transformer Architecture (2020).
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Module = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        num_kv_heads: int | None = None,
        rotary: Module | None = None,
        score_bias: Module | None = None,
        drop_path: float = 0.0,
        **options: Unpack[TransformerOptions],
    ) -> None:
        self.norm_first = norm_first
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        attention, network = sorted_options(dropout, **options)
        self.self_attn = MultiheadAttention(
            d_model,
            nhead,
            bias=bias,
            batch_first=batch_first,
            num_kv_heads=num_kv_heads,
            rotary=rotary,
            score_bias=score_bias,
            **attention,
            **made,
        )
        self.add_feed_forward(d_model, dim_feedforward, activation, bias, **made, **network)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **made)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **made)
        self.dropout1, self.dropout2 = (
            self._noise(dropout, drop_path, batch_first, network["generator"]) for _ in range(2)
        )

    def _noise(
        self, dropout: float, drop_path: float, batch_first: bool, generator: torch.Generator | None
    ) -> Module:
        """Makes what drops numbers, and whole sequences if wanted, of what a part gives."""
        numbers = Dropout(dropout, generator=generator)
        if not drop_path:
            return numbers
        if not batch_first:
            raise ValueError("TransformerEncoderLayer: expected batch_first=True with drop_path")
        return Sequential(numbers, DropPath(drop_path, dim=-3, generator=generator))

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
        *,
        cache: KeyValueCache | None = None,
        only: Tensor | int | None = None,
    ) -> Tensor:
        x, picked = src, None
        if only is not None:
            only = self._checked_only(only, src, src_mask, cache)
            if is_causal:
                src_mask, is_causal = self._ahead(only, src), False
            x, picked = one_position(src, only, self._time)

        def attend(x: Tensor) -> Tensor:
            given = (x,) if only is None else (one_position(x, only, self._time)[0], x)
            y, _ = self.self_attn(
                *given,
                key_padding_mask=src_key_padding_mask,
                need_weights=False,
                attn_mask=src_mask,
                is_causal=is_causal,
                cache=cache,
            )
            return self.dropout1(y)

        self.save(picked)
        if self.norm_first:
            x = x + attend(self.norm1(src))
            return x + self.dropout2(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + attend(src))
        return self.norm2(x + self.dropout2(self.feed_forward(x)))

    def backward(self, grad: Tensor) -> InputGrad:
        (picked,) = self.saved()

        def unpicked(grad: Tensor) -> Tensor:
            return grad if picked is None else one_position_backward(grad, picked)

        def unattend(grad: Tensor) -> Tensor:
            grads = self.self_attn.backward(self.dropout1.backward(grad))
            return grads if picked is None else unpicked(grads[0]) + grads[1]

        if self.norm_first:
            grad = grad + self.norm2.backward(self.feed_forward_backward(self.dropout2.backward(grad)))
            return unpicked(grad) + self.norm1.backward(unattend(grad))
        grad = self.norm2.backward(grad)
        grad = self.norm1.backward(grad + self.feed_forward_backward(self.dropout2.backward(grad)))
        return unpicked(grad) + unattend(grad)

    @property
    def _attention(self) -> Any:
        return unwrapped(self.self_attn)  # of one that recomputes, what it runs

    @property
    def _time(self) -> int:
        return int(self._attention.batch_first)

    def _checked_only(
        self, only: Tensor | int, src: Tensor, src_mask: Tensor | None, cache: KeyValueCache | None
    ) -> Tensor:
        """Checks what is given with ``only``, and returns it as int64 ``(B,)``."""
        attention, batch = self._attention, 1 - self._time
        knows = attention.rotary is not None or attention.score_bias is not None
        if src_mask is not None or cache is not None or knows:
            raise ValueError(
                f"{self.label()}: only one position can be wanted without src_mask and cache, and where "
                "attention has neither rotary nor score_bias"
            )
        sure = src.dim() == 3 and isinstance(only, int) and 0 <= only < src.shape[self._time]
        if not isinstance(only, Tensor):
            if not sure:
                check_whole(self.label(), -(2**63), only=only)
            only = torch.full(src.shape[batch : batch + 1], only, dtype=torch.int64, device=src.device)
        if sure:  # without a question to the device
            return only
        whole = only.dtype in (torch.int64, torch.int32)
        if src.dim() != 3 or only.shape != (src.shape[batch],) or not whole:
            raise ValueError(
                f"{self.label()}: expected with only a batch of sequences, and a position of each, integers "
                f"(B,), got src {shape(src)} and only {shape(only)} of {only.dtype}"
            )
        length = src.shape[self._time]
        later = check_numbers(
            ((only < 0) | (only >= length)).any(),
            lambda: IndexError(
                f"{self.label()}: expected only from 0 to {length - 1}, the positions of src, got "
                f"{only.tolist()}"
            ),
        )
        return only.long().clamp(0, length - 1) if later else only.long()

    def _ahead(self, only: Tensor, src: Tensor) -> Tensor:
        """Hides from each position the keys after it, for every head: ``(B H, 1, T)``."""
        ahead = torch.arange(src.shape[self._time], device=src.device) > only[:, None, None]
        return ahead.repeat_interleave(self._attention.num_heads, 0)


class TransformerEncoder(TransformerStack):
    """Reads a sequence with several encoder layers, one after the other.

    y = norm(layer_n(... layer_1(x)))

    Args:
        encoder_layer: copied ``num_layers`` times; all copies begin with the same weights.
        num_layers: n.
        norm: at the end; None for none. It is needed where the layers normalise first.
        enable_nested_tensor: without effect: padding is computed, too, and masked.
        mask_check: without effect, as it belongs to ``enable_nested_tensor``.

    Shape:
        src as in :class:`TransformerEncoderLayer` -> the same.

    Raises:
        ValueError: if ``num_layers`` is below 1 or there are not as many caches.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.1.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        self.add_layers(encoder_layer, num_layers, norm)
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def _torch_options(self) -> dict[str, Any]:
        return {"encoder_layer": self.layers[0], "enable_nested_tensor": False}  # what is padding stays as is

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
        *,
        caches: list[KeyValueCache] | None = None,
    ) -> Tensor:
        x = src
        for layer, cache in self.with_caches(caches):
            x = layer(x, mask, src_key_padding_mask, bool(is_causal), cache=cache)
        return x if self.norm is None else self.norm(x)

    def backward(self, grad: Tensor) -> InputGrad:
        if self.norm is not None:
            grad = self.norm.backward(grad)
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad
