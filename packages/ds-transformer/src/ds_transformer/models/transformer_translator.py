"""TransformerTranslator: an encoder reads a sentence, a decoder that looks at all of it writes another.

Read top to bottom: the configuration, the model, how it writes, where it looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from ds_core import Dense, Embedding
from ds_core.checks import check_fields, check_numbers, shape
from ds_core.functional import log_softmax
from ds_core.initializers import normal_
from ds_core.module import evaluating
from ds_core.pretrained import Format
from ds_core.text import Decoded
from ds_core.text.translation.sequence_to_sequence import SequenceToSequence, check_special_ids
from torch import Tensor

from ds_transformer.cache import GrowingCache
from ds_transformer.layers.decoder import DecoderCache
from ds_transformer.layers.transformer import Transformer
from ds_transformer.layers.transformer_layer import ACTIVATIONS
from ds_transformer.masks import padding_mask
from ds_transformer.positions.sinusoidal import SinusoidalPositions
from ds_transformer.visualize.watching import attention_maps

State = tuple[Tensor, Tensor, Any]


@dataclass(frozen=True)
class TransformerTranslatorConfig:
    """The size and shape of a :class:`TransformerTranslator`.

    The defaults suit some ten thousand pairs; ``d_model=512, nhead=8, num_encoder_layers=6,
    num_decoder_layers=6, dim_feedforward=2048, norm_first=False`` is the paper's base model.

    Args:
        source_vocab_size: how many tokens the source language has.
        target_vocab_size: how many the target language has.
        d_model: C, the width, an even number.
        nhead: attention heads; must divide the width.
        num_encoder_layers: layers that read.
        num_decoder_layers: layers that write.
        dim_feedforward: inner width of the network at each position.
        dropout: of the embeddings, after each part of a layer, and of attention weights.
        activation: "relu" or "gelu".
        norm_first: whether each part of a layer normalises what it reads, and not the sum.
        share_embeddings: whether both languages have one embedding; they then need one tokenizer.
        max_length: the context: the most tokens of a source or a target.
        pad_id: the token that fills short rows, on both sides.
        bos_id: the token a sentence begins with.
        eos_id: the token a sentence ends with.

    Raises:
        ValueError: if a number is out of range, the name of an option is unknown, or embeddings cannot be
            shared.
    """

    source_vocab_size: int
    target_vocab_size: int
    d_model: int = 256
    nhead: int = 4
    num_encoder_layers: int = 3
    num_decoder_layers: int = 3
    dim_feedforward: int = 512
    dropout: float = 0.1
    activation: str = "relu"
    norm_first: bool = True
    share_embeddings: bool = False
    max_length: int = 256
    pad_id: int = 0
    bos_id: int = 2
    eos_id: int = 3

    def __post_init__(self) -> None:
        check_fields(self)
        name = type(self).__name__
        for option in (
            "source_vocab_size",
            "target_vocab_size",
            "d_model",
            "nhead",
            "num_encoder_layers",
            "num_decoder_layers",
            "dim_feedforward",
            "max_length",
        ):
            if getattr(self, option) < 1:
                raise ValueError(f"{name}: expected {option} of at least 1, got {getattr(self, option)}")
        check_special_ids(self)
        if self.d_model % 2 or self.d_model % self.nhead:
            raise ValueError(
                f"{name}: expected an even d_model that nhead divides, got d_model={self.d_model}, "
                f"nhead={self.nhead}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"{name}: expected dropout from 0 to below 1, got {self.dropout}")
        if self.activation not in ACTIVATIONS:
            expected = " or ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"{name}: expected activation {expected}, got {self.activation!r}")
        if self.share_embeddings and self.source_vocab_size != self.target_vocab_size:
            raise ValueError(
                f"{name}: shared embeddings need one vocabulary, got {self.source_vocab_size} source and "
                f"{self.target_vocab_size} target tokens"
            )


class TranslatorAttention(NamedTuple):
    """Where a :class:`TransformerTranslator` looks; each ``(B, layers, heads, queries, keys)``.

    Attributes:
        encoder: from each source token to the source, ``(B, L, H, S, S)``.
        decoder: from each target token to those up to it, ``(B, L, H, T, T)``.
        cross: from each target token to the source, ``(B, L, H, T, S)``.
    """

    encoder: Tensor
    decoder: Tensor
    cross: Tensor


class TransformerTranslator(SequenceToSequence):
    """Translates sequences: an encoder reads the source, a decoder writes the target, by attention alone.

    x = sqrt(C) E_source[source] + P,   y = sqrt(C) E_target[target before] + P,   P the sinusoidal positions
    logits = Transformer(x, y) E_target^T

    So the rows of E_target serve twice, as what a token is read as and as what it is recognised by; with
    ``share_embeddings`` they are those of the source, too.

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        source ``(B, S)`` int64, source_lengths ``(B,)``, target ``(B, T)`` int64 from ``<bos>`` on -> logits
        ``(B, T, V)`` of the token after each. ``backward`` returns nothing: ids have no gradient.

    Raises:
        ValueError: if a shape or a length does not fit, or a sentence exceeds the context.
        IndexError: if a token id is outside its vocabulary.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3; Press and Wolf, Using the Output
    Embedding to Improve Language Models (2017), for the shared weights.
    """

    config: TransformerTranslatorConfig
    config_class = TransformerTranslatorConfig
    hugging_face = Format(
        "ds_transformer_translator", [field.name for field in fields(TransformerTranslatorConfig)]
    )

    def __init__(
        self, config: TransformerTranslatorConfig, *, generator: torch.Generator | None = None
    ) -> None:
        self.config = config
        width = config.d_model
        self.scale = math.sqrt(
            width
        )  # the last layer wants small weights, the positions want large embeddings

        def init(tensor: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
            return normal_(tensor, std=1 / self.scale, generator=generator)

        self.source_embedding = Embedding(config.source_vocab_size, width, init=init, generator=generator)
        self.target_embedding = Embedding(config.target_vocab_size, width, init=init, generator=generator)
        if config.share_embeddings:
            self.target_embedding.weight = self.source_embedding.weight
        self.positions = SinusoidalPositions(width, config.dropout, generator=generator)  # of both languages
        self.transformer = Transformer(
            width,
            config.nhead,
            config.num_encoder_layers,
            config.num_decoder_layers,
            config.dim_feedforward,
            config.dropout,
            config.activation,
            batch_first=True,
            norm_first=config.norm_first,
            generator=generator,
        )
        self.head = Dense(width, config.target_vocab_size, bias=False, init=init, generator=generator)
        self.head.weight = self.target_embedding.weight

    def forward(self, source: Tensor, source_lengths: Tensor | list[int], target: Tensor) -> Tensor:
        hidden = self._check(source, source_lengths, target)
        x = self.positions(self.source_embedding(source) * self.scale)  # (B, S, C)
        y = self.positions(self.target_embedding(target) * self.scale)  # (B, T, C)
        # Padding of the target comes last, where no earlier position sees it: it needs no mask of its own.
        y = self.transformer(
            x, y, src_key_padding_mask=hidden, memory_key_padding_mask=hidden, tgt_is_causal=True
        )
        return self.head(y)

    def backward(self, grad: Tensor) -> None:
        grad_x, grad_y = self.transformer.backward(self.head.backward(grad))
        self.target_embedding.backward(self.positions.backward(grad_y) * self.scale)
        self.source_embedding.backward(self.positions.backward(grad_x) * self.scale)

    def encode(self, source: Tensor, hidden: Tensor) -> Tensor:
        """Returns what the encoder makes of sources ``(B, S)``, some places hidden: ``(B, S, C)``."""
        x = self.positions(self.source_embedding(source) * self.scale)
        return self.transformer.encoder(x, src_key_padding_mask=hidden)

    def decode(
        self, target: Tensor, memory: Tensor, hidden: Tensor, caches: list[DecoderCache] | None = None
    ) -> Tensor:
        """Returns the logits ``(B, T, V)`` of the token after each of ``target``.

        Args:
            target: ``(B, T)``; with caches, only what comes after the tokens that they hold.
            memory: what :meth:`encode` returned.
            hidden: ``(B, S)``, True at padding of the source.
            caches: one for each layer of the decoder.
        """
        past = caches[0].own.length if caches else 0
        y = self.positions(self.target_embedding(target) * self.scale, past)
        y = self.transformer.decoder(
            y, memory, memory_key_padding_mask=hidden, tgt_is_causal=True, caches=caches
        )
        return self.head(y)

    def _check(
        self, source: Tensor, source_lengths: Tensor | list[int], target: Tensor | None = None
    ) -> Tensor:
        """Checks shapes of inputs and the context; returns ``(B, S)``, True at padding of the source."""
        if source.dim() != 2 or (target is not None and (target.dim() != 2 or len(source) != len(target))):
            raise ValueError(
                f"{self.label()}: expected source (B, S) and target (B, T) of as many rows, "
                f"got {shape(source)}" + ("" if target is None else f" and {shape(target)}")
            )
        for name, ids in (("source", source), ("target", target)):
            if ids is not None and not 1 <= ids.shape[1] <= self.config.max_length:
                raise ValueError(
                    f"{self.label()}: expected a {name} of 1 to {self.config.max_length} tokens "
                    f"(the context), got {ids.shape[1]}"
                )
        lengths = torch.as_tensor(source_lengths, device=source.device)
        if lengths.shape != source.shape[:1]:
            raise ValueError(f"{self.label()}: expected {len(source)} source lengths, got {shape(lengths)}")
        check_numbers(
            (lengths < 1).any(),
            lambda: ValueError(
                f"{self.label()}: expected source lengths of at least 1, got {lengths.tolist()}"
            ),
        )
        return padding_mask(lengths, source.shape[1])

    # ---- how it writes -------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(
        self,
        source: Tensor,
        source_lengths: Tensor | list[int],
        max_length: int = 60,
        beam_size: int = 1,
        length_penalty: float = 0.6,
        *,
        use_cache: bool = True,
    ) -> Decoded:
        """Writes the target of each source.

        Args:
            source: ``(B, S)`` int64.
            source_lengths: ``(B,)``.
            max_length: the most tokens to write, ``<eos>`` included; never more than the context.
            beam_size: how many beginnings to follow at once; 1 is greedy.
            length_penalty: see :func:`ds_core.text.beam_search`.
            use_cache: False computes every position anew for each token: the plain form, for comparison.

        Returns:
            The tokens, their number and their scores.
        """
        hidden = self._check(source, source_lengths)

        # The state is what there is to see of the source, and what was written: in caches, or as tokens.
        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            memory, hidden, caches = state
            logits = self.decode(tokens[:, None], memory, hidden, caches)  # (rows, 1, V)
            return log_softmax(logits[:, -1])[0], state

        def step_anew(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            memory, hidden, before = state
            written = tokens[:, None] if before is None else torch.cat([before, tokens[:, None]], 1)
            logits = self.decode(written, memory, hidden)  # (rows, T, V)
            return log_softmax(logits[:, -1])[0], (memory, hidden, written)

        with evaluating(self):
            caches = [DecoderCache(GrowingCache(), GrowingCache()) for _ in self.transformer.decoder.layers]
            return self.search(
                step if use_cache else step_anew,
                (self.encode(source, hidden), hidden, caches if use_cache else None),
                source,
                min(max_length, self.config.max_length),
                beam_size,
                length_penalty,
            )

    # ---- where it looks ------------------------------------------------------------------------------

    @torch.no_grad()
    def attention_weights(
        self, source: Tensor, source_lengths: Tensor | list[int], target: Tensor
    ) -> TranslatorAttention:
        """Returns where each head of each layer looks while the token after each of ``target`` is written."""
        encoder, decoder = self.transformer.encoder, self.transformer.decoder
        with evaluating(self), attention_maps(self) as maps:
            self(source, source_lengths, target)
            return TranslatorAttention(
                torch.stack([maps[layer.self_attn] for layer in encoder.layers], 1),
                torch.stack([maps[layer.self_attn] for layer in decoder.layers], 1),
                torch.stack([maps[layer.multihead_attn] for layer in decoder.layers], 1),
            )

    def extra_repr(self) -> str:
        c = self.config
        return f"{c.d_model}, {c.nhead} heads, {c.source_vocab_size} to {c.target_vocab_size} tokens"
