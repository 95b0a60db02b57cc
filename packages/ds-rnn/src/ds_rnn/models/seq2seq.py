"""Seq2Seq: an encoder reads a sentence, a decoder writes another.

Read top to bottom: the configuration, the model, how it writes, where it looks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from ds_core.checks import check_fields, shape
from ds_core.functional import log_softmax
from ds_core.module import evaluating
from ds_core.pretrained import Format
from ds_core.random_state import generator_now
from ds_core.text import Decoded
from ds_core.text.translation.sequence_to_sequence import SequenceToSequence, check_special_ids
from torch import Tensor

from ds_rnn.layers.recurrent import AnyState
from ds_rnn.models.decoder import DecoderState, RecurrentDecoder
from ds_rnn.models.encoder import RecurrentEncoder, layer_of


@dataclass(frozen=True)
class Seq2SeqConfig:
    """The size and shape of a :class:`Seq2Seq`.

    Args:
        source_vocab_size: how many tokens the source language has.
        target_vocab_size: how many the target language has.
        embedding_dim: width of the embeddings.
        hidden_size: width of the recurrent state, of each direction of the encoder and of the decoder.
        num_layers: layers of both recurrent networks.
        cell: "rnn", "gru" or "lstm".
        attention: "additive" (Bahdanau), "general" (Luong, multiplicative), or None for none. Luong's "dot"
            would need queries as wide as what an encoder of two directions writes.
        dropout: of embeddings, between layers, and before the last layer.
        pad_id: the token that fills short rows, on both sides.
        bos_id: the token a sentence begins with.
        eos_id: the token a sentence ends with.

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
    """

    source_vocab_size: int
    target_vocab_size: int
    embedding_dim: int = 256
    hidden_size: int = 256
    num_layers: int = 1
    cell: str = "gru"
    attention: str | None = "additive"
    dropout: float = 0.0
    pad_id: int = 0
    bos_id: int = 2
    eos_id: int = 3

    def __post_init__(self) -> None:
        check_fields(self)
        for name in (
            "source_vocab_size",
            "target_vocab_size",
            "embedding_dim",
            "hidden_size",
            "num_layers",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"Seq2SeqConfig: expected {name} of at least 1, got {getattr(self, name)}")
        check_special_ids(self)
        layer_of("Seq2SeqConfig", self.cell)
        if self.attention not in ("additive", "general", None):
            raise ValueError(
                f"Seq2SeqConfig: expected attention 'additive', 'general' or None, got {self.attention!r}"
            )


class Seq2Seq(SequenceToSequence):
    """Translates sequences: an encoder reads the source, a decoder with attention writes the target.

    memory, state = encoder(source),   logits = decoder(target before, memory, state)

    In training the decoder is shown the right tokens so far (teacher forcing). With
    :attr:`scheduled_sampling` above 0, that share of them is replaced by what the decoder itself would have
    written there, so that it learns to go on from its own mistakes.

    Args:
        config: size and shape.
        generator: source of initial values, dropout and scheduled sampling; None for torch's global one.

    Shape:
        source ``(B, S)`` int64, source_lengths ``(B,)``, target ``(B, T)`` int64 from ``<bos>`` on -> logits
        ``(B, T, V)`` of the token after each.

    Raises:
        ValueError: if a shape or a length does not fit.
        IndexError: if a token id is outside its vocabulary.

    Source: Sutskever et al., Sequence to Sequence Learning with Neural Networks (2014); Bahdanau et al.
    (2015); Luong et al. (2015); Bengio et al., Scheduled Sampling for Sequence Prediction with Recurrent
    Neural Networks (2015).
    """

    config: Seq2SeqConfig
    config_class = Seq2SeqConfig
    hugging_face = Format("ds_rnn_seq2seq", [field.name for field in fields(Seq2SeqConfig)])

    def __init__(self, config: Seq2SeqConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        self.scheduled_sampling = 0.0
        self.generator = generator
        self.encoder = RecurrentEncoder(
            config.source_vocab_size,
            config.embedding_dim,
            config.hidden_size,
            config.num_layers,
            config.cell,
            config.dropout,
            config.pad_id,
            generator=generator,
        )
        self.decoder = RecurrentDecoder(
            config.target_vocab_size,
            config.embedding_dim,
            config.hidden_size,
            2 * config.hidden_size,
            config.num_layers,
            config.cell,
            config.attention,
            config.dropout,
            config.pad_id,
            generator=generator,
        )

    def forward(self, source: Tensor, source_lengths: Tensor | list[int], target: Tensor) -> Tensor:
        if not (source.dim() == target.dim() == 2 and len(source) == len(target)):
            raise ValueError(
                f"{self.label()}: expected source (B, S) and target (B, T) of as many rows, "
                f"got {shape(source)} and {shape(target)}"
            )
        memory, state = self.encoder(source, source_lengths)
        hidden = padding(source, source_lengths)
        if self.training and self.scheduled_sampling > 0:
            target = self._with_own_tokens(target, memory, state, hidden)
        return self.decoder(target, memory, state, hidden)

    def backward(self, grad: Tensor) -> None:
        self.encoder.backward(*self.decoder.backward(grad))

    @torch.no_grad()
    def _with_own_tokens(self, target: Tensor, memory: Tensor, state: AnyState, hidden: Tensor) -> Tensor:
        """Replaces a share of the tokens by what the decoder writes there, one step after the other.

        Which tokens stand there is chosen first; then all of them go through the decoder at once, as ever. No
        gradient passes through a choice, so nothing is lost by that.
        """
        drawn = torch.rand(target.shape, device=target.device, **generator_now(self.generator))
        own = (drawn < self.scheduled_sampling) & (target != self.config.pad_id)
        mixed = target.clone()
        with evaluating(self.decoder):
            carried = self.decoder.start(memory, state, hidden)
            for t in range(1, target.shape[1]):
                logits, carried = self.decoder.step(mixed[:, t - 1], carried)
                mixed[:, t] = torch.where(own[:, t], logits.argmax(-1), target[:, t])
        return mixed

    # ---- how it writes -------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(
        self,
        source: Tensor,
        source_lengths: Tensor | list[int],
        max_length: int = 60,
        beam_size: int = 1,
        length_penalty: float = 0.6,
    ) -> Decoded:
        """Writes the target of each source.

        Args:
            source: ``(B, S)`` int64.
            source_lengths: ``(B,)``.
            max_length: the most tokens to write, ``<eos>`` included.
            beam_size: how many beginnings to follow at once; 1 is greedy.
            length_penalty: see :func:`ds_core.text.beam_search`.

        Returns:
            The tokens, their number and their scores.
        """
        with evaluating(self):
            memory, state = self.encoder(source, source_lengths)
            start = self.decoder.start(memory, state, padding(source, source_lengths))

            def step(tokens: Tensor, carried: DecoderState) -> tuple[Tensor, DecoderState]:
                logits, carried = self.decoder.step(tokens, carried)
                return log_softmax(logits)[0], carried

            return self.search(step, start, source, max_length, beam_size, length_penalty)

    @torch.no_grad()
    def attention_weights(self, source: Tensor, source_lengths: Tensor | list[int], target: Tensor) -> Tensor:
        """Returns where the decoder looks while it writes the token after each of ``target``, ``(B, T, S)``.

        Raises:
            ValueError: if the model has no attention.
        """
        with evaluating(self):
            memory, state = self.encoder(source, source_lengths)
            return self.decoder.attention_weights(target, memory, state, padding(source, source_lengths))

    def extra_repr(self) -> str:
        c = self.config
        return f"{c.cell}, attention={c.attention}, {c.source_vocab_size} to {c.target_vocab_size} tokens"


def padding(ids: Tensor, lengths: Tensor | list[int]) -> Tensor:
    """Returns ``(B, S)``, True where a row has ended.

    Raises:
        TypeError: if there are no lengths.
    """
    if lengths is None:
        raise TypeError(f"Seq2Seq: expected source_lengths ({len(ids)},), one for each source, got None")
    ends = torch.as_tensor(lengths, device=ids.device)
    return torch.arange(ids.shape[1], device=ids.device) >= ends[:, None]
