"""BERT in the Hugging Face format: the fields of its configuration, and its names for the same weights."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ds_core.pretrained import Format, Stored

from ds_zoo.heads import LABELS

# What a configuration leaves out has this value in transformers.BertConfig.
DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "classifier_dropout": None,
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
    "problem_type": None,
}

RENAMES = (
    ("embeddings.word.", "embeddings.word_embeddings."),
    ("embeddings.position.", "embeddings.position_embeddings."),
    ("embeddings.token_type.", "embeddings.token_type_embeddings."),
    ("embeddings.norm.", "embeddings.LayerNorm."),
    ("layers.", "encoder.layer."),
    ("self_attn.out_proj.", "attention.output.dense."),
    ("norm1.", "attention.output.LayerNorm."),
    ("linear1.", "intermediate.dense."),
    ("linear2.", "output.dense."),
    ("norm2.", "output.LayerNorm."),
    ("cls.dense.", "cls.predictions.transform.dense."),
    ("cls.norm.", "cls.predictions.transform.LayerNorm."),
    ("cls.decoder.", "cls.predictions.decoder."),
)


def to_hugging_face(name: str) -> Stored:
    """Returns BERT's name of one of our tensors: three names where we keep query, key and value in one."""
    for ours, theirs in RENAMES:
        name = name.replace(ours, theirs)
    before, joined, kind = name.partition("self_attn.in_proj_")
    if joined:
        return Stored(tuple(f"{before}attention.self.{part}.{kind}" for part in ("query", "key", "value")))
    return Stored((name,))


def bert_format(architecture: str, unused_tensors: str, *, encoder: bool = False) -> Format:
    """Returns what the folder of a BERT with some head looks like.

    Args:
        architecture: the class of `transformers` that reads it.
        unused_tensors: a regular expression: of other heads, which published files carry along.
        encoder: whether it is BERT without a head, whose names have no prefix.
    """
    # Files of 2018 call a norm's weight gamma and its bias beta.
    renames = ((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))
    return Format(
        "bert",
        (*DEFAULTS, *LABELS),
        architecture=architecture,
        names=to_hugging_face,
        fixed={"position_embedding_type": "absolute"},
        # Of another library's pooler, and of published multilingual files.
        unused_fields=(
            "directionality",
            "pooler_fc_size",
            "pooler_num_attention_heads",
            "pooler_num_fc_layers",
            "pooler_size_per_head",
            "pooler_type",
        ),
        unused_tensors=rf"embeddings\.(position|token_type)_ids$|{unused_tensors}",
        prefix="" if encoder else "bert.",
        renames=(*renames, (r"^bert\.", "")) if encoder else renames,
        # Two names of one bias; where a file's differ, transformers adds the first.
        copies={"cls.predictions.decoder.bias": "cls.predictions.bias"},
        inferred=_pooling if encoder else None,
    )


def _pooling(names: Collection[str]) -> dict[str, Any]:
    """Says whether there is a pooler: a file of a BERT with a head for each token has none."""
    return {"add_pooling_layer": "pooler.dense.weight" in names}


ENCODER = bert_format("BertModel", r"^(cls|classifier|qa_outputs)\.", encoder=True)
MASKED_LM = bert_format("BertForMaskedLM", r"^(bert\.)?pooler\.|^cls\.seq_relationship\.")
NEXT_SENTENCE = bert_format("BertForNextSentencePrediction", r"^cls\.predictions\.")
SEQUENCE_CLASSIFICATION = bert_format("BertForSequenceClassification", r"^cls\.")
TOKEN_CLASSIFICATION = bert_format("BertForTokenClassification", r"^(bert\.)?pooler\.|^cls\.")
QUESTION_ANSWERING = bert_format("BertForQuestionAnswering", r"^(bert\.)?pooler\.|^cls\.")
