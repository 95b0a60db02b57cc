"""MiniGPT: the decoder-only Transformer, from token ids to logits, forward and backward.

Read top to bottom: the configuration, what the model returns, the model. How it continues a text is in
``generate.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import torch
from ds_core import GELU, CrossEntropyLoss, Dense, Dropout, Embedding, LayerNorm, ModuleList
from ds_core.checks import check_fields, check_shows, shape
from ds_core.functional.gelu import GELUForm
from ds_core.initializers import normal_
from ds_core.pretrained import Pretrained
from ds_transformer import KeyValueCache, StaticCache, TransformerEncoderLayer, attention_maps
from torch import Tensor

from ds_zoo.gpt.generate import Generates
from ds_zoo.gpt.pretrained import DEFAULTS, END_OF_TEXT, GPT2
from ds_zoo.heads import total

GELU_FORMS: dict[str, GELUForm] = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
# Sizes with a name: what differs from the configuration's own defaults, which are "mini".
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"n_positions": 32, "n_embd": 64, "n_layer": 2, "n_head": 2},
    "mini": {},
    "small": {"n_positions": 256, "n_embd": 192, "n_layer": 4, "n_head": 3},
    "gpt2": DEFAULTS,
}
NO_TARGET = -100  # the label of a token that does not count


@dataclass(frozen=True)
class MiniGPTConfig:
    """The size and shape of a MiniGPT; names and meaning are those of ``transformers.GPT2Config``.

    The defaults are a mini model; :meth:`preset` knows others, GPT-2 among them.

    Args:
        vocab_size: number of different tokens.
        n_positions: the context: most tokens the model sees at once.
        n_embd: width.
        n_layer: number of blocks.
        n_head: attention heads in each block; must divide ``n_embd``.
        n_inner: inner width of the MLPs; None for 4 times the width.
        activation_function: "gelu" (exact), or "gelu_new" or "gelu_pytorch_tanh" (its tanh approximation).
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

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Returns a size by its name: "tiny", "mini", "small" or "gpt2".

        Args:
            name: of the size.
            changes: fields that differ from it; all but "gpt2" need vocab_size.

        Raises:
            ValueError: if there is no preset of that name.

        Example:
            >>> MiniGPTConfig.preset("small", vocab_size=65)
        """
        if name not in PRESETS:
            raise ValueError(f"MiniGPTConfig: expected a preset {', '.join(PRESETS)}, got {name!r}")
        return cls(**(PRESETS[name] | changes))


class MiniGPTOutput(NamedTuple):
    """What a MiniGPT returns if it is called by names.

    Attributes:
        loss: a scalar; None without labels.
        logits: the scores of the next token at every position, ``(B, T, V)``, or at the last ones.
        past_key_values: if asked for or given: what the next call takes as ``past_key_values``, a cache for
            each block.
        hidden_states: if asked for: what the embeddings gave, what each block but the last gave, and what the
            final norm gave, ``(B, T, C)`` each.
        attentions: if asked for: of each block who looked at whom, ``(B, H, T, S)``.
    """

    loss: Tensor | None
    logits: Tensor
    past_key_values: list[KeyValueCache] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class MiniGPT(Generates, Pretrained):
    """Predicts the next token at every position of a sequence.

    x = wte[ids] + wpe[0..T-1];   x = block_n(... block_1(x));   logits = norm(x) W_head^T

    ``model(ids)`` gives the logits; called by names, ``model(input_ids=ids, labels=ids)``, it gives a
    :class:`MiniGPTOutput`, with the loss -log softmax(logits_t)[ids_t+1], the mean over all t that count.

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        ids ``(B, T)`` or ``(T,)``, int64, T at most ``config.n_positions`` -> logits ``(B, T, V)``.

    Raises:
        ValueError: if the sequence is longer than the context, or shapes differ.
        IndexError: if a token id, or a label but -100, is outside the vocabulary.

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
        self.loss = CrossEntropyLoss(dim=-1)
        # Each block adds twice to the residual stream: keep its variance from growing with depth.
        for block in self.blocks:
            for projection in (block.self_attn.out_proj, block.linear2):
                std = config.initializer_range / math.sqrt(2 * config.n_layer)
                normal_(projection.weight, std=std, generator=generator)

    def forward(
        self,
        ids: Tensor | None = None,
        *,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: list[KeyValueCache] | None = None,
        use_cache: bool = False,
        logits_to_keep: int = 0,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> Tensor | MiniGPTOutput:
        """Scores the next token at every position.

        Args:
            ids: the tokens; given alone, the result is the logits alone.
            input_ids: the tokens by name; the result has names then, too.
            attention_mask: ``(B, past + T)``, 0 at what fills up short texts, 1 elsewhere; None for 1.
            labels: like the tokens: the text itself. The label of a token is compared with what was said at
                the one before it; -100 does not count.
            position_ids: like the tokens, where each stands in its text; None to count from the first one,
                be it filling or not.
            past_key_values: what an earlier call returned so: its tokens come before these.
            use_cache: whether to return such.
            logits_to_keep: at how many positions, the last ones, to score the next token; 0 for all. To
                write a text, 1 is enough.
            output_hidden_states: whether to return what each block gave.
            output_attentions: whether to return who looked at whom.
        """
        given = (attention_mask, labels, position_ids, past_key_values)
        asked = use_cache or output_hidden_states or output_attentions
        by_name = ids is None or asked or any(each is not None for each in given)
        ids = self._only(ids, input_ids)
        if past_key_values is None and use_cache:
            past_key_values = [StaticCache(self.config.n_positions) for _ in self.blocks]
        past = past_key_values[0].length if past_key_values else 0
        self._check(ids, past, attention_mask, labels, position_ids)
        if logits_to_keep < 0 or (logits_to_keep and labels is not None):
            raise ValueError(
                f"MiniGPT: expected logits_to_keep of at least 0, and 0 with labels, got {logits_to_keep}"
            )
        if position_ids is None:
            position_ids = torch.arange(past, past + ids.shape[-1], device=ids.device)  # (T,)
        hidden = None if attention_mask is None else attention_mask == 0

        with attention_maps(self) if output_attentions else nullcontext() as maps:
            x = self.dropout(self.wte(ids) + self.wpe(position_ids))  # (B, T, C)
            states = [x] if output_hidden_states else []
            for i, block in enumerate(self.blocks):
                cache = past_key_values[i] if past_key_values else None
                x = block(x, src_key_padding_mask=hidden, is_causal=True, cache=cache)
                if output_hidden_states and block is not self.blocks[-1]:
                    states.append(x)
        x = self.norm(x)
        unread = max(0, x.shape[-2] - logits_to_keep) if logits_to_keep else 0  # whose scores nobody wants
        logits = self.head(x[..., unread:, :])  # (B, T, V)

        loss = None if labels is None else self.loss(logits, shifted(labels))
        self.save(by_name, loss is not None, position_ids.dim(), unread)
        if not by_name:
            return logits
        return MiniGPTOutput(
            loss,
            logits,
            past_key_values,
            (*states, x) if output_hidden_states else None,
            tuple(maps.values()) if maps is not None else None,
        )

    def backward(
        self,
        grad: Tensor | float | None = None,
        grad_logits: Tensor | None = None,
        grad_past_key_values: None = None,
        grad_hidden_states: Sequence[Tensor | None] | None = None,
        grad_attentions: None = None,
    ) -> None:
        """Adds to every parameter's ``.grad``.

        After a call with ids alone it takes the gradient of the logits. After a call by names it takes those
        of the outputs, None where nobody used one; with labels, ``backward()`` alone begins at the loss.

        Args:
            grad: of the first output: of the logits, or, called by names, of the loss.
            grad_logits: called by names.
            grad_past_key_values: has none.
            grad_hidden_states: of each of them.
            grad_attentions: has none: attention weights are shown, but pass no gradient.
        """
        by_name, has_loss, places, unread = self.saved()
        if grad_attentions is not None or grad_past_key_values is not None:
            raise NotImplementedError("MiniGPT.backward: attentions and caches pass no gradient")
        grads = list(grad_hidden_states or [None] * (len(self.blocks) + 1))
        if not by_name:
            grad, grad_logits = None, grad  # the only output
        if has_loss and (grad is not None or (grad_logits is None and grad_hidden_states is None)):
            grad_logits = total(self.loss.backward(1.0 if grad is None else grad), grad_logits)
        elif has_loss:
            self.loss.saved()  # nobody used it
        elif grad is not None:
            raise ValueError("MiniGPT.backward: got a gradient of the loss, but forward got no labels")

        top: Tensor | None = None
        if grad_logits is None:
            self.head.saved()  # nobody used the logits
        else:
            top = self.head.backward(grad_logits)
            grad_logits = None  # let go: of a large vocabulary it is the largest tensor there is
            if unread:
                rest = top.new_zeros(*top.shape[:-2], unread, top.shape[-1])
                top = torch.cat([rest, top], -2)
        top = total(top, grads.pop())
        if top is None:  # begin at a state further down
            top = next((torch.zeros_like(more) for more in grads if more is not None), None)
        if top is None:
            raise ValueError("MiniGPT.backward: expected the gradient of at least one output, got none")
        g: Tensor = self.norm.backward(top)
        del top
        for block, more in zip(reversed(self.blocks), reversed(grads), strict=True):
            g = total(block.backward(g), more)
        g = self.dropout.backward(g)  # (B, T, C)
        # Without position ids of their own all sequences used the same places.
        self.wpe.backward(g.sum(0) if g.dim() > places + 1 else g)
        self.wte.backward(g)

    def _only(self, ids: Tensor | None, input_ids: Tensor | None) -> Tensor:
        """Returns the one of the two that is given."""
        if (ids is None) == (input_ids is None):
            raise TypeError("MiniGPT: expected token ids, as the first argument or as input_ids=, once")
        return input_ids if ids is None else ids  # type: ignore[return-value]

    def _check(
        self, ids: Tensor, past: int, mask: Tensor | None, labels: Tensor | None, places: Tensor | None
    ) -> None:
        length = ids.shape[-1] if ids.dim() else 0
        if not 1 <= ids.dim() <= 2 or past + length > self.config.n_positions:
            raise ValueError(
                f"MiniGPT: expected token ids (B, T) with T at most {self.config.n_positions} (the context), "
                f"got {shape(ids)}" + (f" after {past} positions" if past else "")
            )
        for name, other, width in (
            ("attention_mask", mask, past + length),
            ("labels", labels, length),
            ("position_ids", places, length),
        ):
            if other is not None and other.shape != (*ids.shape[:-1], width):
                raise ValueError(
                    f"MiniGPT: expected {name} of the shape {(*ids.shape[:-1], width)} of input_ids"
                    + (" and what came before" if width > length else "")
                    + f", got {shape(other)}"
                )
        if mask is not None:
            check_shows("MiniGPT", "attention_mask", mask)

    # ---- weights as common currency ------------------------------------------------------------------

    def to_config(self) -> dict[str, Any]:
        fields = asdict(self.config)
        if self.config.vocab_size <= END_OF_TEXT:  # else transformers would take texts to end with it
            fields |= {"bos_token_id": None, "eos_token_id": None}
        return fields

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(MiniGPTConfig(**(DEFAULTS | fields)))


def shifted(labels: Tensor) -> Tensor:
    """Moves labels one place back, to where each is predicted; the last place has no target."""
    return torch.cat([labels[..., 1:], torch.full_like(labels[..., :1], NO_TARGET)], -1)
