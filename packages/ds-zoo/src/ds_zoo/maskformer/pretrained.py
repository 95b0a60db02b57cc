"""MaskFormer in the Hugging Face format: the fields of its configuration, and its names for weights."""

from __future__ import annotations

import re
from typing import Any

from ds_core.pretrained import Format, Stored

from ds_zoo.backbone import to_hugging_face as backbone_name
from ds_zoo.heads import LABELS

BACKBONE = "model.pixel_level_module.encoder."

# What a configuration leaves out has this value in transformers.MaskFormerConfig ...
DEFAULTS: dict[str, Any] = {
    "fpn_feature_size": 256,
    "mask_feature_size": 256,
    "no_object_weight": 0.1,
    "use_auxiliary_loss": False,
    "dice_weight": 1.0,
    "cross_entropy_weight": 1.0,
    "mask_weight": 20.0,
}
# ... and in its decoder_config.
DECODER_DEFAULTS: dict[str, Any] = {
    "d_model": 256,
    "num_queries": 100,
    "decoder_layers": 6,
    "decoder_attention_heads": 8,
    "decoder_ffn_dim": 2048,
    "activation_function": "relu",
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}

RENAMES = (
    (r"^pixel_decoder\.(stem|layers)", r"model.pixel_level_module.decoder.fpn.\1"),
    (r"^pixel_decoder\.", "model.pixel_level_module.decoder."),
    (r"^queries_embedder\.", "model.transformer_module.queries_embedder."),
    (r"^input_projection\.", "model.transformer_module.input_projection."),
    (r"^decoder\.(\d+)\.", r"model.transformer_module.decoder.layers.\1."),
    (r"^decoder_norm\.", "model.transformer_module.decoder.layernorm."),
    (r"^mask_embedder\.layers\.(\d)\.", r"mask_embedder.\1.0."),
    (r"\.multihead_attn\.", ".encoder_attn."),
    (r"\.linear(\d)\.", r".fc\1."),
    (r"\.norm1\.", ".self_attn_layer_norm."),
    (r"\.norm2\.", ".encoder_attn_layer_norm."),
    (r"\.norm3\.", ".final_layer_norm."),
)


def to_hugging_face(name: str) -> Stored:
    """Returns MaskFormer's name of one of our tensors: three names where query, key and value are in one."""
    side, _, rest = name.partition(".")
    if side == "backbone":
        return Stored((backbone_name(rest, BACKBONE),))
    for ours, theirs in RENAMES:
        name = re.sub(ours, theirs, name)
    before, joined, kind = name.partition("in_proj_")
    return Stored(tuple(f"{before}{part}_proj.{kind}" for part in "qkv") if joined else (before,))


MASKFORMER = Format(
    "maskformer",
    (
        *(*DEFAULTS, *LABELS, "backbone_config", "decoder_config"),
        *("masked_attention", "multi_scale", "finer_masks", "label_ids_to_fuse"),
    ),
    architecture="MaskFormerForInstanceSegmentation",
    names=to_hugging_face,
    unused_fields=(
        *("init_std", "init_xavier_std", "output_auxiliary_logits", "num_attention_heads"),
        *("num_hidden_layers", "hidden_size", "backbone", "use_pretrained_backbone", "use_timm_backbone"),
        "backbone_kwargs",
    ),
    unused_tensors=r"num_batches_tracked$|^criterion\.empty_weight$",
    renames=(  # as transformers' parts are called while they run
        (r"\.o_proj\.", ".out_proj."),
        (r"\.mlp\.(fc\d)\.", r".\1."),
    ),
)

DECODER = Format(
    "detr",
    tuple(DECODER_DEFAULTS),
    fixed={
        "position_embedding_type": "sine",
        "dilation": False,
        "decoder_layerdrop": 0.0,
        "scale_embedding": False,
        # transformers would hand the normed state of each layer to the next one, which no one published
        "auxiliary_loss": False,
    },
    unused_fields=(
        # of what a whole DETR has besides
        *("backbone_config", "backbone", "use_timm_backbone", "use_pretrained_backbone", "backbone_kwargs"),
        *("num_channels", "encoder_layers", "encoder_ffn_dim", "encoder_attention_heads"),
        *("encoder_layerdrop", "class_cost", "bbox_cost", "giou_cost", "mask_loss_coefficient"),
        *("dice_loss_coefficient", "bbox_loss_coefficient", "giou_loss_coefficient", "eos_coefficient"),
        *("is_encoder_decoder", "num_hidden_layers", "max_position_embeddings", "classifier_dropout"),
        *("init_std", "init_xavier_std", "hidden_size", "num_attention_heads"),
    ),
)
