"""DETR in the Hugging Face format: the fields of its configuration, and its names for the same weights."""

from __future__ import annotations

import re
from typing import Any

from ds_core.pretrained import Format, Stored

from ds_zoo.backbone import timm_renames
from ds_zoo.backbone import to_hugging_face as backbone_name
from ds_zoo.heads import LABELS

BACKBONE = "model.backbone.conv_encoder.model."

# What a configuration leaves out has this value in transformers.DetrConfig.
DEFAULTS: dict[str, Any] = {
    "num_channels": 3,
    "d_model": 256,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_ffn_dim": 2048,
    "num_queries": 100,
    "activation_function": "relu",
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "auxiliary_loss": False,
    "class_cost": 1,
    "bbox_cost": 5,
    "giou_cost": 2,
    "bbox_loss_coefficient": 5,
    "giou_loss_coefficient": 2,
    "eos_coefficient": 0.1,
}

RENAMES = (
    (r"^(encoder|decoder)\.(\d+)\.", r"\1.layers.\2."),
    (r"^decoder_norm\.", "decoder.layernorm."),
    (r"\.multihead_attn\.", ".encoder_attn."),
    (r"\.linear(\d)\.", r".fc\1."),
    (r"\.norm1\.", ".self_attn_layer_norm."),
    (r"^(encoder\..*)\.norm2\.", r"\1.final_layer_norm."),
    (r"\.norm2\.", ".encoder_attn_layer_norm."),
    (r"\.norm3\.", ".final_layer_norm."),
)


def to_hugging_face(name: str) -> Stored:
    """Returns DETR's name of one of our tensors: three names where we keep query, key and value in one."""
    side, _, rest = name.partition(".")
    if side == "backbone":
        return Stored((backbone_name(rest, BACKBONE),))
    if side in ("class_labels_classifier", "bbox_predictor"):
        return Stored((name,))
    if side in ("encoder", "decoder", "decoder_norm"):
        for ours, theirs in RENAMES:
            name = re.sub(ours, theirs, name)
    before, joined, kind = f"model.{name}".partition("in_proj_")
    return Stored(tuple(f"{before}{part}_proj.{kind}" for part in "qkv") if joined else (before,))


DETR = Format(
    "detr",
    (
        *DEFAULTS,
        *LABELS,
        "backbone_config",
        "backbone",
        "use_timm_backbone",
        "anchored",
        "modulated",
        "query_groups",
    ),
    architecture="DetrForObjectDetection",
    names=to_hugging_face,
    fixed={
        "dilation": False,
        "position_embedding_type": "sine",
        "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0,
        "scale_embedding": False,
    },
    unused_fields=(
        *("is_encoder_decoder", "num_hidden_layers", "max_position_embeddings", "classifier_dropout"),
        *("init_std", "init_xavier_std", "use_pretrained_backbone", "backbone_kwargs"),
        *("mask_loss_coefficient", "dice_loss_coefficient"),  # of the head that draws masks
    ),
    unused_tensors=r"num_batches_tracked$",
    renames=(
        # As the model's parts are called while it runs, in newer versions of transformers.
        (r"^model\.backbone\.model\.", BACKBONE),
        (r"\.o_proj\.", ".out_proj."),
        (r"\.mlp\.(fc\d)\.", r".\1."),
        *timm_renames(BACKBONE),
    ),
)
