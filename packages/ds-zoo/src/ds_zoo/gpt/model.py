"""MiniGPT: the decoder-only Transformer, from token ids to logits, forward and backward.

Read top to bottom: the configuration, the model, how it generates, how its weights move.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from ds_core import GELU, Dense, Dropout, Embedding, LayerNorm, ModuleList
from ds_core.checks import check_fields, shape
from ds_core.functional.gelu import GELUForm
from ds_core.initializers import normal_
from ds_core.module import evaluating
from ds_core.pretrained import Pretrained
from ds_core.text import sample
from ds_transformer import KeyValueCache, StaticCache, TransformerEncoderLayer
from torch import Tensor

from ds_zoo.gpt.pretrained import DEFAULTS, GPT2


@dataclass(frozen=True)
class MiniGPTConfig:
    """The size and shape of a MiniGPT; names and meaning are those of ``transformers.GPT2Config``.

    The defaults are a mini model; ``n_positions=1024, n_embd=768, n_layer=12, n_head=12,
    vocab_size=50257`` is GPT-2.

    Args:
        vocab_size: number of different tokens.
        n_positions: the context: most tokens the model sees at once.
        n_embd: width.
        n_layer: number of blocks.
        n_head: attention heads in each block; must divide ``n_embd``.
        n_inner: inner width of the MLPs; None for 4 times the width.
        activation_function: "gelu" (exact) or "gelu_new" (its tanh approximation).
        embd_pdrop: dropout after the embeddings.
        resid_pdrop: dropout after attention and MLP.
        attn_pdrop: dropout of attention weights.
        layer_norm_epsilon: added to the variance in the norms.
        initializer_range: standard deviation of the initial weights.
        tie_word_embeddings: whether the head shares the token embedding's weights.

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
    """

    vocab_size: int
    n_positions: int = 64
    n_embd: int = 128
    n_layer: int = 4
    n_head: int = 4
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    embd_pdrop: float = 0.0
    resid_pdrop: float = 0.0
    attn_pdrop: float = 0.0
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"MiniGPTConfig: expected {name} of at least 1, got {getattr(self, name)}")
        for name in ("layer_norm_epsilon", "initializer_range"):
            if getattr(self, name) < 0:
                raise ValueError(f"MiniGPTConfig: expected {name} of at least 0, got {getattr(self, name)}")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"MiniGPTConfig: expected n_head to divide n_embd, "
                f"got n_embd={self.n_embd}, n_head={self.n_head}"
            )
        if self.activation_function not in GELU_FORMS:
            raise ValueError(
                f"MiniGPTConfig: expected activation_function {' or '.join(map(repr, GELU_FORMS))}, "
                f"got {self.activation_function!r}"
            )


GELU_FORMS: dict[str, GELUForm] = {"gelu": "none", "gelu_new": "tanh"}


class MiniGPT(Pretrained):
    """Predicts the next token at every position of a sequence.

    x = wte[ids] + wpe[0..T-1];   x = block_n(... block_1(x));   logits = norm(x) W_head^T

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        ids ``(B, T)`` or ``(T,)``, int64, T at most ``config.n_positions`` -> logits ``(B, T, V)``.

    Raises:
        ValueError: if the sequence is longer than the context.
        IndexError: if a token id is outside the vocabulary.

    Source: Radford et al., Language Models are Unsupervised Multitask Learners (2019).
    """

    hugging_face = GPT2

    def __init__(self, config: MiniGPTConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config

        def init(tensor: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
            return normal_(tensor, std=config.initializer_range, generator=generator)

        width = config.n_embd
        self.wte = Embedding(config.vocab_size, width, init=init, generator=generator)
        self.wpe = Embedding(config.n_positions, width, init=init, generator=generator)
        self.dropout = Dropout(config.embd_pdrop, generator=generator)
        self.blocks = ModuleList(
            TransformerEncoderLayer(
                width,
                config.n_head,
                config.n_inner or 4 * width,
                config.resid_pdrop,
                GELU(GELU_FORMS[config.activation_function]),
                config.layer_norm_epsilon,
                batch_first=True,
                norm_first=True,
                attention_dropout=config.attn_pdrop,
                activation_dropout=0.0,
                init=init,
                generator=generator,
            )
            for _ in range(config.n_layer)
        )
        self.norm = LayerNorm(width, config.layer_norm_epsilon)
        self.head = Dense(width, config.vocab_size, bias=False, init=init, generator=generator)
        if config.tie_word_embeddings:
            self.head.weight = self.wte.weight
        # Each block adds twice to the residual stream: keep its variance from growing with depth.
        for block in self.blocks:
            for projection in (block.self_attn.out_proj, block.linear2):
                std = config.initializer_range / math.sqrt(2 * config.n_layer)
                normal_(projection.weight, std=std, generator=generator)

    def forward(self, ids: Tensor, caches: list[KeyValueCache] | None = None) -> Tensor:
        past = caches[0].length if caches else 0
        length = ids.shape[-1] if ids.dim() else 0
        if not 1 <= ids.dim() <= 2 or past + length > self.config.n_positions:
            raise ValueError(
                f"MiniGPT: expected token ids (B, T) with T at most {self.config.n_positions} (the context), "
                f"got {shape(ids)}" + (f" after {past} positions" if past else "")
            )
        places = torch.arange(past, past + length, device=ids.device)
        x = self.dropout(self.wte(ids) + self.wpe(places))  # (B, T, C)
        for i, block in enumerate(self.blocks):
            x = block(x, is_causal=True, cache=caches[i] if caches else None)
        return self.head(self.norm(x))  # (B, T, V)

    def backward(self, grad: Tensor) -> None:
        grad = self.norm.backward(self.head.backward(grad))
        for block in reversed(self.blocks):
            grad = block.backward(grad)
        grad = self.dropout.backward(grad)
        self.wpe.backward(grad.sum(0) if grad.dim() == 3 else grad)  # every sequence used the same places
        self.wte.backward(grad)

    # ---- generation ----------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(
        self,
        ids: Tensor,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        use_cache: bool = True,
    ) -> Tensor:
        """Continues sequences token by token.

        With the cache each new token costs one position. Once the context is full, the later half of it is
        read again from its start, since learned positions cannot slide.

        Args:
            ids: the prompts, ``(B, T)`` or ``(T,)``, at least one token each; of a prompt longer than the
                context the end counts.
            max_new_tokens: how many to add.
            temperature: 0 for greedy; see :func:`ds_core.text.sample`, also for top_k and top_p.
            top_k: keep only the k likeliest tokens.
            top_p: keep only the nucleus.
            generator: source of chance.
            use_cache: False recomputes every position for each token: the plain form, for comparison.

        Returns:
            Prompt and continuation, ``(B, T + max_new_tokens)`` or without B as given.

        Raises:
            ValueError: if the prompt is empty or an option is out of range.
        """
        if ids.dim() == 1:
            options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
            options |= {"generator": generator, "use_cache": use_cache}
            return self.generate(ids[None], max_new_tokens, **options)[0]
        if ids.dim() != 2 or ids.shape[1] == 0:
            raise ValueError(f"MiniGPT.generate: expected a prompt of at least one token, got {shape(ids)}")
        if max_new_tokens < 0:
            raise ValueError(f"MiniGPT.generate: expected max_new_tokens >= 0, got {max_new_tokens}")
        context = self.config.n_positions
        with evaluating(self):
            caches: list[KeyValueCache] | None = None
            start = max(0, ids.shape[1] - context)  # where the window that the model sees begins
            for _ in range(max_new_tokens):
                if ids.shape[1] - start > context:
                    start, caches = ids.shape[1] - (context + 1) // 2, None
                if caches is None:
                    if use_cache:
                        caches = [StaticCache(context) for _ in self.blocks]
                    logits = self(ids[:, start:], caches)
                else:
                    logits = self(ids[:, -1:], caches)
                chosen = sample(logits[:, -1], temperature, top_k, top_p, generator)
                ids = torch.cat([ids, chosen[:, None]], dim=1)
        return ids

    # ---- weights as common currency ------------------------------------------------------------------

    def to_config(self) -> dict[str, Any]:
        return asdict(self.config)

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(MiniGPTConfig(**(DEFAULTS | fields)))
