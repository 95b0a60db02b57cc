"""BERT: an encoder that reads texts in both directions, and the heads that put it to use."""

from ds_zoo.bert.fill_mask import fill_mask
from ds_zoo.bert.heads import (
    MiniBERTForMaskedLM,
    MiniBERTForNextSentencePrediction,
    MiniBERTForQuestionAnswering,
    MiniBERTForSequenceClassification,
    MiniBERTForTokenClassification,
)
from ds_zoo.bert.masking import mask_tokens
from ds_zoo.bert.model import MiniBERT, MiniBERTConfig
from ds_zoo.bert.sentences import SentenceEncoder

__all__ = [
    "MiniBERT",
    "MiniBERTConfig",
    "MiniBERTForMaskedLM",
    "MiniBERTForNextSentencePrediction",
    "MiniBERTForQuestionAnswering",
    "MiniBERTForSequenceClassification",
    "MiniBERTForTokenClassification",
    "SentenceEncoder",
    "fill_mask",
    "mask_tokens",
]
