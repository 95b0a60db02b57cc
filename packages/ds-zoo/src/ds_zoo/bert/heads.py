"""What is put on top of MiniBERT: five heads, each a model that takes labels and gives a loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from ds_core import (
    CrossEntropyLoss,
    Dense,
    Dropout,
    LayerNorm,
    Module,
)
from ds_core.checks import shape
from torch import Tensor

from ds_zoo.activations import ACTIVATIONS
from ds_zoo.bert.model import MiniBERT, MiniBERTConfig, dense
from ds_zoo.bert.pretrained import (
    MASKED_LM,
    NEXT_SENTENCE,
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
)
from ds_zoo.heads import Head, HeadOutput, LabelLoss, total

NO_TARGET = -100  # the label of a place that does not count


class QuestionAnsweringOutput(NamedTuple):
    """What :class:`MiniBERTForQuestionAnswering` returns; see :class:`MiniBERTOutput` for the last two.

    Attributes:
        loss: a scalar; None without labels.
        start_logits: how likely the answer begins at each token, ``(B, T)``.
        end_logits: how likely it ends there, ``(B, T)``.
        hidden_states: if asked for.
        attentions: if asked for.
    """

    loss: Tensor | None
    start_logits: Tensor
    end_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class BERTHead(Head):
    """Base of a MiniBERT with a head.

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.
    """

    pooled: ClassVar[bool]  # whether the head reads the pooler's vector of the text, or each token's
    bert: MiniBERT
    config: MiniBERTConfig

    def add_encoder(self, config: MiniBERTConfig, generator: torch.Generator | None) -> None:
        """Makes the part below the head."""
        self.config = config
        self.bert = MiniBERT(config, add_pooling_layer=self.pooled, generator=generator)

    @classmethod
    def from_encoder(
        cls, encoder: MiniBERT, *, generator: torch.Generator | None = None, **changes: Any
    ) -> Self:
        """Puts a new head on a copy of an encoder, to fine-tune both.

        Args:
            encoder: its weights are copied, and their type and device are the head's; a pooler that it lacks
                and the head reads is new.
            generator: source of the head's initial values and of dropout.
            changes: fields of the configuration that differ, as ``labels=("negative", "positive")``.
        """
        like = next(encoder.parameters())
        head = cls(replace(encoder.config, **changes), generator=generator).to(like.device, like.dtype)
        own = head.bert.state_dict()
        new = {name: t for name, t in own.items() if name.startswith("pooler.")}
        copied = {name: t for name, t in encoder.state_dict().items() if name in own or "pooler." not in name}
        head.bert.load_state_dict(new | copied)
        return head

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(MiniBERTConfig.from_fields(fields))


class MaskedLMHead(Module):
    """Guesses the token at each place: back from vectors to scores over the vocabulary.

    logits = norm(act(x W^T + b)) E^T + c,   E being the table of word vectors

    Args:
        config: size and shape.
        words: E, ``(V, C)``; None for a table of its own.
        generator: source of initial values.

    Shape:
        x ``(B, T, C)`` -> logits ``(B, T, V)``.
    """

    def __init__(
        self, config: MiniBERTConfig, words: Tensor | None, *, generator: torch.Generator | None = None
    ) -> None:
        self.dense = dense(config, config.hidden_size, generator)
        self.activation = ACTIVATIONS[config.hidden_act]()
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.decoder: Dense = dense(config, config.vocab_size, generator)
        if words is not None:
            self.decoder.weight = words

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.norm(self.activation(self.dense(x))))

    def backward(self, grad: Tensor) -> Tensor:
        grad = self.activation.backward(self.norm.backward(self.decoder.backward(grad)))
        grad_x: Tensor = self.dense.backward(grad)
        return grad_x


class MiniBERTForMaskedLM(BERTHead):
    """Guesses hidden tokens from what stands left and right of them: BERT's pre-training.

    loss = mean of -log softmax(logits)[label] over the places whose label is not -100

    With ``sparse_prediction`` the head looks at those places alone: the same loss and gradients, less work
    where few tokens were hidden.

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        as :class:`MiniBERT`, and labels ``(B, T)``, int64: the right token, or -100 where none was hidden ->
        :class:`HeadOutput` with logits ``(B, T, V)``, or ``(M, V)`` at the M places that have a label.

    Raises:
        IndexError: if a label is neither a token nor -100.

    Source: Devlin et al., BERT (2018), section 3.1, task 1.
    """

    hugging_face = MASKED_LM
    pooled = False

    def __init__(self, config: MiniBERTConfig, *, generator: torch.Generator | None = None) -> None:
        self.add_encoder(config, generator)
        words = self.bert.embeddings.word.weight if config.tie_word_embeddings else None
        self.cls = MaskedLMHead(config, words, generator=generator)
        self.loss = CrossEntropyLoss(dim=-1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        sparse_prediction: bool = False,
        **options: bool,
    ) -> HeadOutput:
        x = self.bert(input_ids, attention_mask, token_type_ids, **options)
        states, places = x.last_hidden_state, None
        if sparse_prediction and labels is not None:
            labels = labels.flatten()
            places = (labels != NO_TARGET).nonzero().squeeze(1)
            states, labels = states.flatten(0, 1).index_select(0, places), labels[places]  # (M, C), (M,)
        self.save(places, x.last_hidden_state.shape)
        logits = self.cls(states)  # (B, T, V) or (M, V)
        return self.finish(self.loss, logits, labels, x)

    def backward(
        self, grad_loss: Tensor | float | None = None, grad_logits: Tensor | None = None, *_: None
    ) -> None:
        grad = self.cls.backward(self.grad_of_logits(grad_loss, grad_logits))
        places, size = self.saved()
        if places is not None:
            grad = grad.new_zeros(size).flatten(0, 1).index_copy(0, places, grad).view(size)
        self.bert.backward(grad)


class NextSentenceHead(Module):
    """Scores whether the second text follows the first.

    logits = p W^T + b

    Args:
        config: size and shape.
        generator: source of initial values.

    Shape:
        p ``(B, C)`` -> logits ``(B, 2)``: of "it follows" and of "it does not".
    """

    def __init__(self, config: MiniBERTConfig, *, generator: torch.Generator | None = None) -> None:
        self.seq_relationship = dense(config, 2, generator)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.seq_relationship(pooled)

    def backward(self, grad: Tensor) -> Tensor:
        grad_pooled: Tensor = self.seq_relationship.backward(grad)
        return grad_pooled


class MiniBERTForNextSentencePrediction(BERTHead):
    """Says whether the second of two texts follows the first: BERT's other pre-training.

    loss = mean of -log softmax(logits)[label]

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        as :class:`MiniBERT`, and labels ``(B,)``, int64: 0 where it follows, 1 where not ->
        :class:`HeadOutput` with logits ``(B, 2)``.

    Raises:
        IndexError: if a label is neither 0 nor 1.

    Source: Devlin et al., BERT (2018), section 3.1, task 2.
    """

    hugging_face = NEXT_SENTENCE
    pooled = True

    def __init__(self, config: MiniBERTConfig, *, generator: torch.Generator | None = None) -> None:
        self.add_encoder(config, generator)
        self.cls = NextSentenceHead(config, generator=generator)
        self.loss = CrossEntropyLoss(dim=-1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **options: bool,
    ) -> HeadOutput:
        x = self.bert(input_ids, attention_mask, token_type_ids, **{"pooled_only": True} | options)
        logits = self.cls(x.pooler_output)  # (B, 2)
        return self.finish(self.loss, logits, labels, x)

    def backward(
        self, grad_loss: Tensor | float | None = None, grad_logits: Tensor | None = None, *_: None
    ) -> None:
        grad = self.grad_of_logits(grad_loss, grad_logits)
        self.bert.backward(grad_pooler_output=self.cls.backward(grad))


class MiniBERTForSequenceClassification(BERTHead):
    """Puts a label on a whole text: one of several, any of several, or a number.

    logits = dropout(pooled) W^T + b; the loss is the cross-entropy (one of several labels), the mean binary
    cross-entropy (any of several) or the mean squared error (numbers): ``config.problem_type`` says which.
    Where it does not, a single label means numbers, integers mean one of several, other types any of several.

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        as :class:`MiniBERT`, and labels ``(B,)``, int64, for one of several, ``(B, L)`` else, or ``(B,)`` for
        one number -> :class:`HeadOutput` with logits ``(B, L)``.

    Raises:
        IndexError: if a label is outside the range.

    Source: Devlin et al., BERT (2018), section 4.1.
    """

    hugging_face = SEQUENCE_CLASSIFICATION
    pooled = True

    def __init__(self, config: MiniBERTConfig, *, generator: torch.Generator | None = None) -> None:
        self.add_encoder(config, generator)
        self.dropout = Dropout(classifier_dropout(config), generator=generator)
        self.classifier = dense(config, config.num_labels, generator)
        self.loss = LabelLoss(config.problem_type)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **options: bool,
    ) -> HeadOutput:
        x = self.bert(input_ids, attention_mask, token_type_ids, **{"pooled_only": True} | options)
        logits = self.classifier(self.dropout(x.pooler_output))  # (B, L)
        return self.finish(self.loss, logits, labels, x)

    def backward(
        self, grad_loss: Tensor | float | None = None, grad_logits: Tensor | None = None, *_: None
    ) -> None:
        grad = self.grad_of_logits(grad_loss, grad_logits)
        grad = self.dropout.backward(self.classifier.backward(grad))
        self.bert.backward(grad_pooler_output=grad)


class MiniBERTForTokenClassification(BERTHead):
    """Puts a label on each token: of names, of parts of speech.

    logits = dropout(x) W^T + b; loss = mean of -log softmax(logits)[label] where the label is not -100

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        as :class:`MiniBERT`, and labels ``(B, T)``, int64, -100 at tokens that do not count ->
        :class:`HeadOutput` with logits ``(B, T, L)``.

    Raises:
        IndexError: if a label is outside the range.

    Source: Devlin et al., BERT (2018), section 5.3.
    """

    hugging_face = TOKEN_CLASSIFICATION
    pooled = False

    def __init__(self, config: MiniBERTConfig, *, generator: torch.Generator | None = None) -> None:
        self.add_encoder(config, generator)
        self.dropout = Dropout(classifier_dropout(config), generator=generator)
        self.classifier = dense(config, config.num_labels, generator)
        self.loss = CrossEntropyLoss(dim=-1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **options: bool,
    ) -> HeadOutput:
        x = self.bert(input_ids, attention_mask, token_type_ids, **options)
        logits = self.classifier(self.dropout(x.last_hidden_state))  # (B, T, L)
        return self.finish(self.loss, logits, labels, x)

    def backward(
        self, grad_loss: Tensor | float | None = None, grad_logits: Tensor | None = None, *_: None
    ) -> None:
        grad = self.grad_of_logits(grad_loss, grad_logits)
        self.bert.backward(self.dropout.backward(self.classifier.backward(grad)))


class MiniBERTForQuestionAnswering(BERTHead):
    """Finds where in a text the answer to a question stands: its first and its last token.

    (start, end) = x W^T + b;   loss = (-log softmax(start)[first] - log softmax(end)[last]) / 2, the mean

    Args:
        config: size and shape; its labels do not matter, and become "start" and "end" if they are not two.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        as :class:`MiniBERT`, question first, and labels ``(B, 2)``, int64: the answer's first and last token;
        one at T or beyond was cut off and does not count -> :class:`QuestionAnsweringOutput`.

    Raises:
        IndexError: if a label is negative and not -100.

    Source: Devlin et al., BERT (2018), section 4.2.
    """

    hugging_face = QUESTION_ANSWERING
    pooled = False

    def __init__(self, config: MiniBERTConfig, *, generator: torch.Generator | None = None) -> None:
        if config.num_labels != 2:  # as many outputs are expected of a folder that says so
            config = replace(config, labels=("start", "end"))
        self.add_encoder(config, generator)
        self.qa_outputs = dense(config, 2, generator)
        self.loss = CrossEntropyLoss(dim=-1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **options: bool,
    ) -> QuestionAnsweringOutput:
        x = self.bert(input_ids, attention_mask, token_type_ids, **options)
        start, end = self.qa_outputs(x.last_hidden_state).unbind(-1)  # (B, T) each
        loss = None
        if labels is not None:
            if labels.shape != (len(input_ids), 2):
                raise ValueError(
                    f"MiniBERTForQuestionAnswering: expected labels ({len(input_ids)}, 2), the first and the "
                    f"last token of each answer, got {shape(labels)}"
                )
            first, last = labels.masked_fill(labels >= start.shape[1], NO_TARGET).unbind(1)
            loss = (self.loss(start, first) + self.loss(end, last)) / 2
        self.save(labels is not None)
        return QuestionAnsweringOutput(loss, start, end, x.hidden_states, x.attentions)

    def backward(
        self,
        grad_loss: Tensor | float | None = None,
        grad_start_logits: Tensor | None = None,
        grad_end_logits: Tensor | None = None,
        *_: None,
    ) -> None:
        (labelled,) = self.saved()
        given = [g for g in (grad_start_logits, grad_end_logits) if g is not None]
        if not labelled and (not given or grad_loss is not None):
            raise ValueError(
                "MiniBERTForQuestionAnswering.backward: expected grad_start_logits or grad_end_logits alone: "
                "forward got no labels, so there is no loss to begin at"
            )
        grad_start, grad_end = grad_start_logits, grad_end_logits
        if labelled:
            half = (grad_loss if grad_loss is not None else 0.0 if given else 1.0) / 2
            grad_end = total(self.loss.backward(half), grad_end)  # the later forward first
            grad_start = total(self.loss.backward(half), grad_start)
        parts = [torch.zeros_like(given[0]) if g is None else g for g in (grad_start, grad_end)]
        self.bert.backward(self.qa_outputs.backward(torch.stack(parts, dim=-1)))


def classifier_dropout(config: MiniBERTConfig) -> float:
    """Returns the dropout before a head that classifies."""
    given = config.classifier_dropout
    return config.hidden_dropout_prob if given is None else given
