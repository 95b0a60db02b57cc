"""MiniViT and its head, beside transformers' ViT."""

from functools import cache

import torch
from ds_core.verify import Case
from ds_zoo import MiniViT, MiniViTConfig, MiniViTForImageClassification
from ds_zoo.vit.model import PatchEmbedding, patches
from ds_zoo.vit.pretrained import to_hugging_face

SIZES = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "image_size": 6,
    "patch_size": 2,
    "num_channels": 2,
    "initializer_range": 0.3,
}
DROPS = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "drop_path_rate": 0.5}


def images(high=6, wide=6, rows=2):
    return lambda g: (torch.randn(rows, 2, high, wide, generator=g),)


def namesake(architecture, *, model_options=(), **options):
    def make():
        import transformers

        # Its "eager" attention computes the softmax in float32, whatever the type.
        config = transformers.ViTConfig(**SIZES | options, attn_implementation="sdpa")
        return getattr(transformers, architecture)(config, **dict(model_options))

    return make


@cache
def renames():
    """What the modules of transformers are called from some version on; its files keep the old names."""
    if any(name.startswith("encoder.") for name in namesake("ViTModel")().state_dict()):
        return ()
    return (
        ("encoder.layer.", "layers."),
        ("attention.attention.query.", "attention.q_proj."),
        ("attention.attention.key.", "attention.k_proj."),
        ("attention.attention.value.", "attention.v_proj."),
        ("attention.output.dense.", "attention.o_proj."),
        ("intermediate.dense.", "mlp.fc1."),
        ("output.dense.", "mlp.fc2."),
    )


def carry(state):
    """Our tensors under the names of transformers' modules."""
    theirs = {}
    for name, tensor in state.items():
        names = to_hugging_face(name).names
        for old, new in renames():
            names = [part.replace(old, new) for part in names]
        theirs |= dict(zip(names, tensor.chunk(len(names)), strict=True))
    return theirs


def classifier(name, labels, many=("a", "b", "c"), problem=None, **options):
    def reference(theirs, images, labels):
        output = theirs(images, labels=labels if labels.dtype == torch.int64 else labels.to(images.dtype))
        return output.loss, output.logits

    return Case(
        name=f"MiniViTForImageClassification, {name}",
        make=lambda: MiniViTForImageClassification(MiniViTConfig(**SIZES, labels=many, problem_type=problem)),
        inputs=lambda g: (*images()(g), labels),
        namesake=namesake("ViTForImageClassification", num_labels=len(many), problem_type=problem),
        reference=reference,
        carry=carry,
    )


CASES = [
    Case(
        name="PatchEmbedding(2, 5, (2, 3))",
        make=lambda: PatchEmbedding(2, 5, (2, 3)),
        inputs=images(5, 7),
        no_namesake="it is the product that the reference computes",
        reference=lambda m, x: patches(x, (2, 3)) @ m.projection.weight.flatten(1).T + m.projection.bias,
    ),
    Case(
        name="MiniViT",
        make=lambda: MiniViT(MiniViTConfig(**SIZES)),
        inputs=images(),
        namesake=namesake("ViTModel"),
        reference=lambda theirs, x: theirs(x).to_tuple()[:2],
        carry=carry,
    ),
    *(
        Case(
            name=f"MiniViT, images of {high} x {wide}",
            make=lambda: MiniViT(MiniViTConfig(**SIZES), add_pooling_layer=False),
            inputs=lambda g, high=high, wide=wide: (*images(high, wide)(g), True),
            namesake=namesake("ViTModel", model_options={"add_pooling_layer": False}),
            reference=lambda theirs, x, _: theirs(x, interpolate_pos_encoding=True).last_hidden_state,
            carry=carry,
        )
        for high, wide in ((10, 4), (2, 8))
    ),
    Case(
        name="MiniViT(qkv_bias=False, relu, pooler of another width), one image of one patch",
        make=lambda: MiniViT(
            MiniViTConfig(
                **SIZES | {"image_size": 2}, qkv_bias=False, hidden_act="relu", pooler_output_size=5
            )
        ),
        inputs=images(2, 2, 1),
        namesake=namesake("ViTModel", image_size=2, qkv_bias=False, hidden_act="relu", pooler_output_size=5),
        reference=lambda theirs, x: theirs(x).to_tuple()[:2],
        carry=carry,
    ),
    Case(
        name="MiniViT(mean of patches, dropout, drop_path), patches of 2 x 3",
        make=lambda: MiniViT(MiniViTConfig(**SIZES | DROPS | {"patch_size": (2, 3)}, pooling="mean")),
        inputs=images(rows=3),
        no_namesake="torch draws the numbers of dropout in another order",
    ),
    Case(
        name="MiniViT(stem='conv'), images of 8 x 12",
        make=lambda: MiniViT(MiniViTConfig(**SIZES | {"image_size": 8, "patch_size": 4}, stem="conv")),
        inputs=lambda g: (*images(8, 12)(g), True),
        no_namesake="transformers has no such stem",
    ),
    classifier("one of three", torch.tensor([2, 0])),
    classifier("any of three", torch.tensor([[1.0, 0, 1], [0, 0, 1]])),
    classifier("a number", torch.tensor([2.0, -1]), many=("stars",)),
    Case(
        name="MiniViTForImageClassification(mean of patches), logits alone",
        make=lambda: MiniViTForImageClassification(MiniViTConfig(**SIZES, pooling="mean")),
        inputs=images(),
        no_namesake="transformers has no mean of patches",
    ),
]
