"""CLIP in the Hugging Face format: the fields of its configuration, and its names for the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ds_core.pretrained import CONFIG_FILE, Format, Stored, known_fields
from ds_core.training.files import read_json

from ds_zoo.clip.config import MiniCLIPConfig, MiniCLIPTextConfig, MiniCLIPVisionConfig

# What a configuration leaves out has this value in transformers.
BOTH: dict[str, Any] = {
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
}
TEXT_DEFAULTS: dict[str, Any] = BOTH | {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "pad_token_id": 1,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
}
VISION_DEFAULTS: dict[str, Any] = BOTH | {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
}
WHOLE_DEFAULTS: dict[str, Any] = {"projection_dim": 512, "logit_scale_init_value": 2.6592}

# What older files hold besides, and no CLIP looks at.
UNUSED = (
    *("initializer_factor", "dropout", "use_bfloat16", "tf_legacy_loss", "tie_word_embeddings"),
    *("_commit_hash", "tokenizer_class", "return_unused_kwargs"),
)

RENAMES = (
    ("similarity.log_scale", "logit_scale"),
    ("text.text_", "text_"),
    ("vision.vision_", "vision_"),
    ("vision.visual_", "visual_"),
    ("text_model.token.", "text_model.embeddings.token_embedding."),
    ("text_model.position.", "text_model.embeddings.position_embedding."),
    ("text_model.norm.", "text_model.final_layer_norm."),
    ("vision_model.class_embedding", "vision_model.embeddings.class_embedding"),
    ("vision_model.position", "vision_model.embeddings.position_embedding.weight"),
    ("vision_model.patch.", "vision_model.embeddings.patch_embedding."),
    ("vision_model.pre_norm.", "vision_model.pre_layrnorm."),  # the file's own spelling
    ("vision_model.post_norm.", "vision_model.post_layernorm."),
    ("model.layers.", "model.encoder.layers."),
    ("norm1.", "layer_norm1."),
    ("norm2.", "layer_norm2."),
    ("linear1.", "mlp.fc1."),
    ("linear2.", "mlp.fc2."),
)


def to_hugging_face(name: str) -> Stored:
    """Returns CLIP's name of one of our tensors: three names where we keep query, key and value in one."""
    for ours, theirs in RENAMES:
        name = name.replace(ours, theirs)
    before, joined, kind = name.partition("self_attn.in_proj_")
    if joined:
        return Stored(tuple(f"{before}self_attn.{part}_proj.{kind}" for part in "qkv"))
    return Stored((name,))


def clip_format(kind: str, fields: tuple[str, ...], architecture: str, unused_tensors: str = "") -> Format:
    """Returns what the folder of a CLIP, or of one of its towers, looks like."""
    numbers = r"embeddings\.position_ids$"  # 0, 1, 2 ... in files of before 2023
    return Format(
        kind,
        fields,
        architecture=architecture,
        names=to_hugging_face,
        unused_fields=UNUSED,
        unused_tensors=rf"{numbers}|{unused_tensors}" if unused_tensors else numbers,
    )


CLIP = clip_format(
    "clip",
    (*WHOLE_DEFAULTS, "text_config", "vision_config", "text_config_dict", "vision_config_dict"),
    "CLIPModel",
)
TEXT = clip_format("clip_text_model", tuple(TEXT_DEFAULTS), "CLIPTextModelWithProjection")
VISION = clip_format(
    "clip_vision_model", (*VISION_DEFAULTS, "stem", "tower"), "CLIPVisionModelWithProjection"
)


def text_config(fields: Mapping[str, Any]) -> MiniCLIPTextConfig:
    """Makes the text tower's configuration from fields of a file."""
    return MiniCLIPTextConfig(**TEXT_DEFAULTS | dict(fields))


def vision_config(fields: Mapping[str, Any]) -> MiniCLIPVisionConfig:
    """Makes the image tower's configuration from fields of a file."""
    return MiniCLIPVisionConfig(**VISION_DEFAULTS | dict(fields))


def whole_config(fields: Mapping[str, Any]) -> MiniCLIPConfig:
    """Makes the configuration of both from the fields of ``config.json``.

    Older files say what the towers are twice; as in transformers, ``text_config_dict`` and what it leaves
    out then come before ``text_config``.

    Raises:
        ValueError: if a tower's part names what the tower does not have.
    """
    towers = []
    for name, form, defaults in (
        ("text_config", TEXT, TEXT_DEFAULTS),
        ("vision_config", VISION, VISION_DEFAULTS),
    ):
        given = {"model_type": form.model_type} | dict(fields.get(name) or {})
        if (again := fields.get(f"{name}_dict")) is not None:
            given |= defaults | dict(again)
        try:
            towers.append(known_fields(given, form, name))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    rest = {name: fields.get(name, default) for name, default in WHOLE_DEFAULTS.items()}
    return MiniCLIPConfig(text_config(towers[0]), vision_config(towers[1]), **rest)


def is_whole(folder: str | Path) -> bool:
    """Says whether a folder holds both towers."""
    path = Path(folder) / CONFIG_FILE
    return (
        path.is_file() and read_json(path, "the configuration of a CLIP").get("model_type") == CLIP.model_type
    )
