"""MiniDETR and its loss, beside transformers' DETR."""

import torch
from ds_core.verify import Case
from ds_zoo.backbone import BackboneConfig
from ds_zoo.detr import DETRLoss, MiniDETR, MiniDETRConfig
from ds_zoo.detr.pretrained import to_hugging_face

BACKBONE = BackboneConfig(embedding_size=4, hidden_sizes=(4, 6, 8), depths=(1, 1, 1), layer_type="basic")
SIZES = {
    "d_model": 8,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 12,
    "decoder_ffn_dim": 12,
    "num_queries": 5,
    "dropout": 0.0,
}
LABELS = ("cat", "dog", "cow")
TARGETS = [
    {
        "class_labels": torch.tensor([2, 0]),
        "boxes": torch.tensor([[0.3, 0.4, 0.3, 0.5], [0.7, 0.6, 0.2, 0.3]]),
    },
    {"class_labels": torch.tensor([], dtype=torch.int64), "boxes": torch.zeros(0, 4)},
]


def config(**changes):
    return MiniDETRConfig(**{"backbone_config": BACKBONE, **SIZES, "labels": LABELS} | changes)


def detr(**changes):
    return lambda: MiniDETR(config(**changes), generator=torch.Generator().manual_seed(1))


def images(g):
    """Two images, of which the second one is smaller."""
    x, mask = torch.randn(2, 3, 32, 48, generator=g), torch.ones(2, 32, 48, dtype=torch.int64)
    mask[1, :, 30:] = 0
    mask[1, 20:] = 0
    return x, mask


def theirs():
    import transformers

    backbone = transformers.ResNetConfig(
        embedding_size=4,
        hidden_sizes=[4, 6, 8],
        depths=[1, 1, 1],
        layer_type="basic",
        out_features=["stage3"],
    )
    made = transformers.DetrConfig(
        backbone_config=backbone, use_timm_backbone=False, num_labels=3, auxiliary_loss=False, **SIZES
    )
    made._attn_implementation = "eager"
    model = transformers.DetrForObjectDetection(made)
    return model.requires_grad_(True)  # they freeze the backbone


def carry(state):
    """Our names in files, and then those that transformers' parts have while they run."""
    found = {}
    for name, tensor in state.items():
        names = to_hugging_face(name).names
        found |= dict(zip(names, tensor.chunk(len(names)) if len(names) > 1 else [tensor], strict=True))
    renames = (
        (".conv_encoder", ""),
        (".out_proj.", ".o_proj."),
        (".fc1.", ".mlp.fc1."),
        (".fc2.", ".mlp.fc2."),
    )
    for old, new in renames:
        found = {name.replace(old, new): tensor for name, tensor in found.items()}
    return found


def output(model, x, mask, labels=None):
    if labels is not None:
        labels = [{**one, "boxes": one["boxes"].to(x.dtype)} for one in labels]
    torch.set_default_dtype(x.dtype)  # their loss weighs classes in it, whatever the model's type
    try:
        found = model(x, pixel_mask=mask, labels=labels)
    finally:
        torch.set_default_dtype(torch.float32)
    given = (found.logits, found.pred_boxes, found.last_hidden_state, found.encoder_last_hidden_state)
    return given if labels is None else (found.loss, *given)


CASES = [
    Case(
        name="DETRLoss",
        make=lambda: DETRLoss(3),
        inputs=lambda g: (
            torch.randn(2, 2, 5, 4, generator=g),
            0.1 + 0.5 * torch.rand(2, 2, 5, 4, generator=g),
            TARGETS,
        ),
        no_namesake="transformers' is compared in the tests of MiniDETR",
    ),
    Case(
        name="DETRLoss, queries in groups",
        make=lambda: DETRLoss(3, eos=0.4, bbox_weight=2.0, class_cost=2.0),
        inputs=lambda g: (
            torch.randn(1, 6, 5, 4, generator=g),
            0.1 + 0.5 * torch.rand(1, 6, 5, 4, generator=g),
            TARGETS,
        ),
        no_namesake="transformers has no groups",
    ),
    Case(name="MiniDETR", make=detr(), inputs=images, namesake=theirs, reference=output, carry=carry),
    Case(
        name="MiniDETR, with labels",
        make=detr(),
        inputs=lambda g: (*images(g), TARGETS),
        namesake=theirs,
        reference=output,
        carry=carry,
    ),
    Case(
        name="MiniDETR, auxiliary_loss=True, group norm",
        make=detr(
            auxiliary_loss=True,
            backbone_config=BackboneConfig(3, 4, (4, 8), (1, 1), "basic", "group"),
        ),
        inputs=lambda g: (*images(g), TARGETS),
        no_namesake="transformers has no group norm, and adds no auxiliary loss as the paper's authors do",
    ),
    *(
        Case(
            name=f"MiniDETR, {name}",
            make=detr(anchored=True, query_groups=2, auxiliary_loss=True, **options),
            inputs=lambda g: (*images(g), TARGETS),
            no_namesake="transformers' DETR has neither",
            no_differences="they see the boxes that one layer hands to the next, which are constants to it",
        )
        for name, options in (
            ("anchored, in groups", {}),
            ("anchored, in groups, modulated", {"modulated": True}),
        )
    ),
]
