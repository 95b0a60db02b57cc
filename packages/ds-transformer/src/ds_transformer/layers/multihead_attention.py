"""MultiheadAttention: every position looks at others, in several heads side by side."""

from __future__ import annotations

from typing import Any, final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_transformer import functional
from ds_transformer.cache import KeyValueCache
from ds_transformer.functional.projection import join_heads, split_heads
from ds_transformer.layers.attention_weights import PARTS, AttentionWeights
from ds_transformer.layers.noise import draw_noise

projection, projection_backward = dispatch(functional.projection, low=True)
extra_keys, extra_keys_backward = dispatch(functional.extra_keys)
attention, attention_backward = dispatch(functional.attention, half=torch.float32, low=True)


@final
class MultiheadAttention(AttentionWeights):
    """Lets every position of a sequence take from others what matches it, in several heads side by side.

    Q = q W_Q^T,   K = k W_K^T,   V = v W_V^T,   each cut into H heads;
    y = concat_heads(softmax(Q K^T / sqrt(D) + mask) V) W_O^T   (and biases)

    Called with a query alone it is self-attention, with query and key cross-attention (the values are the
    keys); ``backward`` returns the gradient of what was given: of one tensor, or a tuple of two or three.

    Shape:
        query ``(B, T, C)`` or ``(T, C)``, or ``(T, B, C)`` unless ``batch_first``; key ``(B, S, kdim)`` and
        value ``(B, S, vdim)`` alike -> output like the query, and weights ``(B, T, S)``, or ``(B, H, T, S)``
        if not averaged, or None.
        in_proj_weight ``(3C, C)``; or, where widths differ, q_proj_weight ``(C, C)``, k_proj_weight
        ``(C, kdim)``, v_proj_weight ``(C, vdim)``; in_proj_bias ``(3C,)``; out_proj.weight ``(C, C)``. With
        fewer heads of key and value, those parts have C H_kv / H rows.

    Raises:
        ValueError: if C is not a multiple of H, or a shape does not fit, or a key is given where there is to
            be none.
        TypeError: if x has another dtype than the weights, or a mask is neither boolean nor of that dtype.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.2.2.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        *,
        cache: KeyValueCache | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Attends.

        Args:
            query: who looks.
            key: what is looked at; None for the query, where no value is given either.
            value: what is taken from there; None for the key.
            key_padding_mask: ``(B, S)`` or ``(S,)``: True at keys that nobody may see, or numbers added to
                their scores.
            need_weights: whether the weights are returned.
            attn_mask: ``(T, S)`` or ``(B H, T, S)``: True where a query may not see a key, or numbers added
                to the scores.
            average_attn_weights: whether the returned weights are the mean over heads.
            is_causal: whether no query sees a later key, besides what masks hide.
            cache: keys and values of earlier positions, to which those of a query that comes alone are added;
                in cross-attention it is filled by the first call, and later ones read neither key nor value.
        """
        inputs = self._given(query, key, value, cache)
        itself = len(inputs) == 1
        past = cache.length if cache is not None and itself else 0

        # project
        products = self._products(inputs)
        if cache is not None and cache.length and not itself:  # it holds all keys and values
            products = products[:1]
        projected = [projection(*product, self.batch_first) for product in products]
        q, *kv = [part for parts, _ in projected for part in parts]  # (B, H, T, D), (B, H_kv, S, D) twice
        # rotate
        if self.rotary is not None and itself:
            q, kv[0] = self.rotary(q, past), self.rotary(kv[0], past)
        # cache
        if cache is not None:
            kv = list(cache.extend(*kv) if kv else cache.held())
            if len(kv[0]) != len(q):
                raise ValueError(
                    f"{self.label()}: expected a cache of {len(q)} sequences, as the query has, got "
                    f"{len(kv[0])}"
                )
        # mask
        keys = kv[0].shape[2]
        (k, v), extra = extra_keys(*kv, self.bias_k, self.bias_v, self.add_zero_attn)
        bias = None if self.score_bias is None else self.score_bias(q.shape[2], keys, past)
        mask = self._mask(q, keys, k.shape[2] - keys, past, key_padding_mask, attn_mask, is_causal, bias)
        # attend
        p = self.dropout if self.training else 0.0
        noise = draw_noise(q, k.shape[2], self.generator) if p > 0 else None
        is_causal = is_causal and k.shape[2] == keys
        hints = {"blockwise": self.blockwise, "need_weights": need_weights}
        (out, weights), attended = attention(q, k, v, mask, None, is_causal, past, noise, p, hints=hints)
        # join
        projections = tuple(saved for _, saved in projected)
        averaged = average_attn_weights if need_weights else None
        bias_dtype = None if bias is None else bias.dtype
        self.save(projections, extra, attended, len(inputs), query.dim() == 3, averaged, bias_dtype)
        y = self.out_proj(join_heads(out, self.batch_first)).view(query.shape)
        if not need_weights:
            return y, None
        weights = weights.mean(1) if average_attn_weights else weights
        return y, weights if query.dim() == 3 else weights.squeeze(0)

    def backward(self, grad: Tensor, grad_weights: Tensor | None = None) -> InputGrad:
        projections, extra, attended, given, batched, averaged, bias_dtype = self.saved()
        # join
        grad = self.out_proj.backward(self._batched(grad))
        grad_out = split_heads(grad, self.num_heads, self.batch_first)
        if grad_weights is not None:
            if averaged is None:
                raise ValueError(
                    f"{self.label()}: got a gradient of the weights, but forward was called with "
                    "need_weights=False"
                )
            g = grad_weights.unsqueeze(-3) / self.num_heads if averaged else grad_weights
            grad_weights = g.expand(*g.shape[:-3], self.num_heads, *g.shape[-2:])
            grad_weights = grad_weights if batched else grad_weights.unsqueeze(0)
        # attend
        learned = self.score_bias is not None and any(True for _ in self.score_bias.parameters())
        wanted = (True, True, True, learned)
        grad_q, *grad_kv, grad_mask = attention_backward((grad_out, grad_weights), attended, wanted=wanted)
        del attended, grad, grad_out, grad_weights  # a layer's peak comes with the projections
        # mask
        grad_k, grad_v, grad_bias_k, grad_bias_v = extra_keys_backward(tuple(grad_kv), extra)
        self.add_grad("bias_k", grad_bias_k)
        self.add_grad("bias_v", grad_bias_v)
        if self.score_bias is not None:
            size = (self.num_heads, grad_q.shape[2], grad_k.shape[2])
            self.score_bias.backward(
                None if grad_mask is None else grad_mask[..., : size[-1]].sum_to_size(size).to(bias_dtype)
            )
        # rotate
        if self.rotary is not None and given == 1:
            grad_k = self.rotary.backward(grad_k)
            grad_q = self.rotary.backward(grad_q)
        # project
        grads = self._project_backward([grad_q, grad_k, grad_v], projections, given)
        if not batched:
            grads = [None if g is None else g.squeeze(0 if self.batch_first else 1) for g in grads]
        return grads[0] if given == 1 else tuple(grads)

    def _project_backward(self, grads: list[Tensor], projections: tuple[Any, ...], given: int) -> list[Any]:
        """Adds to the gradients of weights and biases, and returns those of the given inputs."""
        names = (
            ["in_proj_weight"] * 3 if self.in_proj_weight is not None else [f"{c}_proj_weight" for c in "qkv"]
        )
        found: list[Any] = []
        for saved, parts, name in zip(projections, PARTS[len(projections)], names, strict=False):
            wanted = self.wants("input", name, "in_proj_bias")
            found.append(projection_backward(tuple(grads[i] for i in parts), saved, wanted=wanted))
        grad_inputs, grad_weights, grad_biases = (list(each) for each in zip(*found, strict=True))
        if self.in_proj_weight is not None:
            self.add_grad("in_proj_weight", lambda: cat(grad_weights))
        else:
            for name, grad in zip(names, grad_weights, strict=True):
                self.add_grad(name, grad)
        self.add_grad("in_proj_bias", lambda: cat(grad_biases))
        if not self.input_grad:
            return [None] * given
        return [*grad_inputs[: given - 1], sum(grad_inputs[given:], grad_inputs[given - 1])]


def cat(parts: list[Tensor]) -> Tensor:
    """Joins tensors, without a copy where there is one only."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)
