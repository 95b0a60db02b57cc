"""ViT in the Hugging Face format: the fields of its configuration, and its names for the same weights."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ds_core.pretrained import Format, Stored

from ds_zoo.heads import LABELS

# What a configuration leaves out has this value in transformers.ViTConfig.
DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 16,
    "num_channels": 3,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "qkv_bias": True,
    "pooler_output_size": None,
    "pooler_act": "tanh",
    "problem_type": None,
}
OWN = ("pooling", "drop_path_rate", "stem")  # what transformers.ViTConfig has no word for

RENAMES = (
    ("layers.", "encoder.layer."),
    ("self_attn.out_proj.", "attention.output.dense."),
    ("norm1.", "layernorm_before."),
    ("linear1.", "intermediate.dense."),
    ("linear2.", "output.dense."),
    ("norm2.", "layernorm_after."),
)


def to_hugging_face(name: str) -> Stored:
    """Returns ViT's name of one of our tensors: three names where we keep query, key and value in one."""
    for ours, theirs in RENAMES:
        name = name.replace(ours, theirs)
    before, joined, kind = name.partition("self_attn.in_proj_")
    if joined:
        parts = ("query", "key", "value")
        return Stored(tuple(f"{before}attention.attention.{part}.{kind}" for part in parts))
    return Stored((name,))


def vit_format(architecture: str, unused_tensors: str, *, encoder: bool = False) -> Format:
    """Returns what the folder of a ViT with some head looks like.

    Args:
        architecture: the class of `transformers` that reads it.
        unused_tensors: a regular expression: of other heads, which published files carry along.
        encoder: whether it is a ViT without a head, whose names have no prefix.
    """
    return Format(
        "vit",
        (*DEFAULTS, *OWN, *LABELS),
        architecture=architecture,
        names=to_hugging_face,
        unused_fields=("encoder_stride",),  # of another head
        unused_tensors=unused_tensors,
        prefix="" if encoder else "vit.",
        renames=((r"^vit\.", ""),) if encoder else (),
        inferred=_pooler if encoder else None,
    )


def _pooler(names: Collection[str]) -> dict[str, Any]:
    """Says whether there is a pooler: a file of a ViT with a head that classifies has none."""
    return {"add_pooling_layer": "pooler.dense.weight" in names}


MASKED = r"embeddings\.mask_token$|^decoder\."  # of the head that guesses hidden patches
ENCODER = vit_format("ViTModel", rf"{MASKED}|^classifier\.", encoder=True)
CLASSIFICATION = vit_format("ViTForImageClassification", rf"{MASKED}|^(vit\.)?pooler\.")
