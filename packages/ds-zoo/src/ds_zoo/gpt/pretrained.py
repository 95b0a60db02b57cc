"""GPT-2 in the Hugging Face format: the fields of its configuration, and its names for the same weights."""

from __future__ import annotations

from typing import Any

from ds_core.pretrained import Format, Stored

# What a configuration leaves out has this value in transformers.GPT2Config.
DEFAULTS: dict[str, Any] = {
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": None,
    "activation_function": "gelu_new",
    "embd_pdrop": 0.1,
    "resid_pdrop": 0.1,
    "attn_pdrop": 0.1,
    "layer_norm_epsilon": 1e-5,
    "initializer_range": 0.02,
    "tie_word_embeddings": True,
}

# GPT-2's last token, with which texts begin and end unless the configuration says otherwise.
END_OF_TEXT = 50256

RENAMES = (
    ("blocks.", "h."),
    ("self_attn.in_proj_", "attn.c_attn."),
    ("self_attn.out_proj.", "attn.c_proj."),
    ("linear1.", "mlp.c_fc."),
    ("linear2.", "mlp.c_proj."),
    ("norm1.", "ln_1."),
    ("norm2.", "ln_2."),
)


def to_hugging_face(name: str) -> Stored:
    """Returns GPT-2's name of one of our tensors, and whether GPT-2 stores it transposed ``(in, out)``."""
    if name == "head.weight":
        return Stored(("lm_head.weight",))
    if name.startswith("norm."):
        return Stored(("transformer.ln_f." + name.removeprefix("norm."),))
    transposed = name.endswith("weight") and any(part in name for part in ("_proj", "linear"))
    for ours, theirs in RENAMES:
        name = name.replace(ours, theirs)
    return Stored(("transformer." + name,), transposed)


GPT2 = Format(
    "gpt2",
    DEFAULTS,
    architecture="GPT2LMHeadModel",
    names=to_hugging_face,
    fixed={"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
    # Of heads that classify; the context once more; and whether scores are computed in float32, as ours are;
    # and whether it decodes, which it always does.
    unused_fields=(
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "n_ctx",
        "reorder_and_upcast_attn",
        "is_decoder",
    ),
    unused_tensors=r"\.attn\.(masked_)?bias$",  # the causal mask, a constant
    prefix="transformer.",
)
