"""BERT: an encoder that reads texts in both directions, and the heads that put it to use."""

from ds_zoo.bert.heads import (
    MiniBERTForMaskedLM,
    MiniBERTForNextSentencePrediction,
    MiniBERTForQuestionAnswering,
    MiniBERTForSequenceClassification,
    MiniBERTForTokenClassification,
)
from ds_zoo.bert.model import MiniBERT, MiniBERTConfig

__all__ = [
    "MiniBERT",
    "MiniBERTConfig",
    "MiniBERTForMaskedLM",
    "MiniBERTForNextSentencePrediction",
    "MiniBERTForQuestionAnswering",
    "MiniBERTForSequenceClassification",
    "MiniBERTForTokenClassification",
]
