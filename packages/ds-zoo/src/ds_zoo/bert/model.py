"""MiniBERT: the encoder that reads a text in both directions, token ids to vectors, forward and backward.

Read top to bottom: the configuration, the embeddings, the encoder, the pooler. What is put on top of it, to
guess words or to classify, is in ``heads.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import torch
from ds_core import Dense, Dropout, Embedding, LayerNorm, Module, ModuleList, Tanh
from ds_core.checks import check_fields, check_shows, shape
from ds_core.pretrained import Pretrained
from ds_transformer import TransformerEncoderLayer, attention_maps
from torch import Tensor

from ds_zoo.activations import ACTIVATIONS
from ds_zoo.bert.pretrained import DEFAULTS, ENCODER
from ds_zoo.heads import PROBLEMS, initial, label_fields, labels_of, total

PRESETS: dict[str, dict[str, int]] = {
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 256,
        "max_position_embeddings": 64,
    },
    "mini": {},
    "small": {
        "vocab_size": 8000,
        "hidden_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "intermediate_size": 1024,
    },
    "bert-base": {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 512,
    },
}


@dataclass(frozen=True)
class MiniBERTConfig:
    """The size and shape of a MiniBERT; names and meaning are those of ``transformers.BertConfig``.

    The defaults are a mini model; :meth:`preset` has others, "bert-base" is the published one.

    Args:
        vocab_size: number of different tokens.
        hidden_size: C, the width.
        num_hidden_layers: number of layers.
        num_attention_heads: heads in each layer; must divide ``hidden_size``.
        intermediate_size: inner width of the MLPs.
        max_position_embeddings: most tokens the model sees at once.
        type_vocab_size: number of token types: of the first and the second text, say.
        hidden_act: "gelu" (exact), "gelu_new" or "gelu_pytorch_tanh" (its tanh approximation), or "relu".
        hidden_dropout_prob: dropout after the embeddings, attention and MLP.
        attention_probs_dropout_prob: dropout of attention weights.
        classifier_dropout: dropout before a head that classifies; None for ``hidden_dropout_prob``.
        layer_norm_eps: added to the variance in the norms.
        initializer_range: standard deviation of the initial weights.
        pad_token_id: the token that fills up short texts, whose vector is not trained; None for none.
        tie_word_embeddings: whether the head that guesses words shares the token embedding's weights.
        labels: what a head that classifies tells apart; its outputs are in this order.
        problem_type: what labels of whole texts are: "regression" (numbers),
            "single_label_classification" (one of several) or "multi_label_classification" (any of several);
            None to conclude it from the labels given.

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
        TypeError: if a field is of another type.
    """

    vocab_size: int
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 512
    max_position_embeddings: int = 128
    type_vocab_size: int = 2
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = True
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
    problem_type: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
        for name in (*sizes, "intermediate_size", "max_position_embeddings", "type_vocab_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"MiniBERTConfig: expected {name} of at least 1, got {getattr(self, name)}")
        for name in ("layer_norm_eps", "initializer_range"):
            if getattr(self, name) < 0:
                raise ValueError(f"MiniBERTConfig: expected {name} of at least 0, got {getattr(self, name)}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"MiniBERTConfig: expected num_attention_heads to divide hidden_size, got "
                f"hidden_size={self.hidden_size}, num_attention_heads={self.num_attention_heads}"
            )
        for name, known in (("hidden_act", tuple(ACTIVATIONS)), ("problem_type", (*PROBLEMS, None))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"MiniBERTConfig: expected {name} {' or '.join(map(repr, known))}, "
                    f"got {getattr(self, name)!r}"
                )
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"MiniBERTConfig: expected different labels, at least one, got {self.labels}")

    @classmethod
    def preset(cls, name: str, **fields: Any) -> Self:
        """Returns the configuration of a size.

        Args:
            name: "tiny", "mini", "small" or "bert-base".
            fields: those that differ; ``vocab_size``, where the size does not say it.

        Raises:
            ValueError: if there is no such size.
        """
        if name not in PRESETS:
            raise ValueError(f"MiniBERTConfig: expected preset {' or '.join(PRESETS)}, got {name!r}")
        return cls(**{**PRESETS[name], **fields})

    @property
    def num_labels(self) -> int:
        """Counts the labels."""
        return len(self.labels)

    def to_fields(self) -> dict[str, Any]:
        """Returns the fields of ``config.json``."""
        fields = asdict(self)
        return fields | label_fields(fields.pop("labels"))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Makes the configuration from the fields of ``config.json``.

        Raises:
            ValueError: if labels are not numbered from 0 on.
        """
        fields = DEFAULTS | fields
        labels = labels_of(fields)
        return cls(**fields, labels=labels)


class MiniBERTOutput(NamedTuple):
    """What a MiniBERT without a head returns.

    Attributes:
        last_hidden_state: a vector for each token, ``(B, T, C)``; that of the first alone, ``(B, 1, C)``, if
            no other was wanted.
        pooler_output: a vector for each text, ``(B, C)``; None without a pooler.
        hidden_states: if asked for: what the embeddings gave and then each layer, ``(B, T, C)`` each.
        attentions: if asked for: of each layer who looked at whom, ``(B, H, T, T)``.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class BERTEmbeddings(Module):
    """Turns tokens into vectors: the sum of what they are, where they are and which text they belong to.

    x = dropout(norm(E_word[ids] + E_type[types] + E_position[0..T-1]))

    Args:
        config: size and shape.
        generator: source of initial values and dropout.

    Shape:
        ids and types ``(B, T)``, int64 -> x ``(B, T, C)``.

    Raises:
        IndexError: if a token id or type is outside its vocabulary.

    Source: Devlin et al., BERT (2018), figure 2.
    """

    def __init__(self, config: MiniBERTConfig, *, generator: torch.Generator | None = None) -> None:
        width, init = config.hidden_size, initial(config.initializer_range)
        self.word = Embedding(config.vocab_size, width, config.pad_token_id, init=init, generator=generator)
        self.position = Embedding(config.max_position_embeddings, width, init=init, generator=generator)
        self.token_type = Embedding(config.type_vocab_size, width, init=init, generator=generator)
        self.norm = LayerNorm(width, config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob, generator=generator)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.word(input_ids) + self.token_type(token_type_ids) + self.position(places)  # (B, T, C)
        return self.dropout(self.norm(x))

    def backward(self, grad: Tensor) -> None:
        grad = self.norm.backward(self.dropout.backward(grad))
        self.position.backward(grad.sum(0))  # every text used the same places
        self.token_type.backward(grad)
        self.word.backward(grad)


class BERTPooler(Module):
    """Reads the whole text off its first token.

    y = tanh(W x_0 + b)

    Args:
        config: size and shape.
        generator: source of initial values.

    Shape:
        x ``(B, T, C)`` -> y ``(B, C)``.
    """

    def __init__(self, config: MiniBERTConfig, *, generator: torch.Generator | None = None) -> None:
        self.dense = dense(config, config.hidden_size, generator)
        self.activation = Tanh()

    def forward(self, x: Tensor) -> Tensor:
        self.save(x.shape)
        return self.activation(self.dense(x[:, 0]))

    def backward(self, grad: Tensor | None) -> Tensor | None:
        """Returns dL/dx; of None, for a result that nobody used, None."""
        (size,) = self.saved()
        if grad is None:
            self.activation.saved()
            self.dense.saved()
            return None
        grad_x = grad.new_zeros(size)
        grad_x[:, 0] = self.dense.backward(self.activation.backward(grad))
        return grad_x


class MiniBERT(Pretrained):
    """Reads texts in both directions: each token's vector knows the tokens before and after it.

    x = embeddings(ids, types);   x = layer_n(... layer_1(x));   pooled = tanh(W x_0 + b)

    The layers normalise last: x1 = norm1(x + attention(x)), y = norm2(x1 + mlp(x1)).

    Args:
        config: size and shape.
        add_pooling_layer: whether there is a pooler.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        input_ids ``(B, T)``, int64, T at most ``config.max_position_embeddings``; attention_mask ``(B, T)``:
        0 at what fills up short texts, 1 elsewhere, None for 1; token_type_ids ``(B, T)``: 0 for the first
        text, 1 for the second, None for 0 -> :class:`MiniBERTOutput`. With ``pooled_only`` the last layer
        computes only what is pooled, the first token, unless hidden states or attentions are asked for.

    Raises:
        ValueError: if the text is longer than the model sees, or shapes differ.
        IndexError: if a token id or type is outside its vocabulary.

    Source: Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers (2018), section 3.
    """

    hugging_face = ENCODER

    def __init__(
        self,
        config: MiniBERTConfig,
        *,
        add_pooling_layer: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        self.config = config
        self.embeddings = BERTEmbeddings(config, generator=generator)
        self.layers = ModuleList(
            TransformerEncoderLayer(
                config.hidden_size,
                config.num_attention_heads,
                config.intermediate_size,
                config.hidden_dropout_prob,
                ACTIVATIONS[config.hidden_act](),
                config.layer_norm_eps,
                batch_first=True,
                attention_dropout=config.attention_probs_dropout_prob,
                activation_dropout=0.0,
                init=initial(config.initializer_range),
                generator=generator,
            )
            for _ in range(config.num_hidden_layers)
        )
        self.pooler = BERTPooler(config, generator=generator) if add_pooling_layer else None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        pooled_only: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> MiniBERTOutput:
        self._check(input_ids, attention_mask, token_type_ids)
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        hidden = None if attention_mask is None else attention_mask == 0
        with attention_maps(self) if output_attentions else nullcontext() as maps:
            x = self.embeddings(input_ids, types)  # (B, T, C)
            states = [x] if output_hidden_states else []
            short = pooled_only and not (output_hidden_states or output_attentions)
            for number, layer in enumerate(self.layers, 1):
                only = 0 if short and number == len(self.layers) else None
                x = layer(x, src_key_padding_mask=hidden, only=only)
                if output_hidden_states:
                    states.append(x)
        return MiniBERTOutput(
            x,
            None if self.pooler is None else self.pooler(x),
            tuple(states) or None,
            tuple(maps.values()) if maps is not None else None,
        )

    def backward(
        self,
        grad_last_hidden_state: Tensor | None = None,
        grad_pooler_output: Tensor | None = None,
        grad_hidden_states: Sequence[Tensor | None] | None = None,
        grad_attentions: None = None,
    ) -> None:
        """Adds to every parameter's ``.grad``; outputs that nobody used have the gradient None."""
        if grad_attentions is not None:
            raise NotImplementedError("MiniBERT.backward: attention weights are shown, but pass no gradient")
        grads = list(grad_hidden_states or [None] * (len(self.layers) + 1))
        grad = total(grad_last_hidden_state, grads.pop())
        if self.pooler is not None:
            grad = total(grad, self.pooler.backward(grad_pooler_output))
        if grad is None:
            raise ValueError("MiniBERT.backward: expected the gradient of last_hidden_state or pooler_output")
        for layer, more in zip(reversed(self.layers), reversed(grads), strict=True):
            grad = layer.backward(grad) if more is None else layer.backward(grad) + more
        self.embeddings.backward(grad)

    def _check(self, ids: Tensor, mask: Tensor | None, types: Tensor | None) -> None:
        most = self.config.max_position_embeddings
        if ids.dim() != 2 or not 1 <= ids.shape[1] <= most:
            raise ValueError(
                f"MiniBERT: expected token ids (B, T) with T from 1 to {most} (max_position_embeddings), "
                f"got {shape(ids)}"
            )
        for name, other in (("attention_mask", mask), ("token_type_ids", types)):
            if other is not None and other.shape != ids.shape:
                raise ValueError(
                    f"MiniBERT: expected {name} of the shape {shape(ids)} of input_ids, got {shape(other)}"
                )
        if mask is not None:
            check_shows("MiniBERT", "attention_mask", mask)

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        fields = dict(fields)
        add_pooling_layer = fields.pop("add_pooling_layer", True)
        return cls(MiniBERTConfig.from_fields(fields), add_pooling_layer=add_pooling_layer)


def dense(config: MiniBERTConfig, out_features: int, generator: torch.Generator | None) -> Dense:
    """Makes a Dense layer on the model's width, initialised as all of BERT's are."""
    init = initial(config.initializer_range)
    return Dense(config.hidden_size, out_features, init=init, generator=generator)
