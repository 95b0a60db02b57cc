"""MiniMaskFormer, its pixel decoder and its loss, beside transformers' MaskFormer."""

from functools import partial

import torch
from ds_core.initializers import normal_
from ds_core.verify import Case
from ds_zoo.backbone import BackboneConfig
from ds_zoo.maskformer import (
    DecoderConfig,
    MaskFormerLoss,
    MiniMaskFormer,
    MiniMaskFormerConfig,
    PixelDecoder,
)
from ds_zoo.maskformer.pretrained import to_hugging_face

BACKBONE = BackboneConfig(3, 4, (4, 6, 8), (1, 1, 1), "basic", "batch")
DECODER = DecoderConfig(8, 4, 2, 2, 12, dropout=0.0)
LABELS = ("cat", "dog", "cow")


def config(**changes):
    sizes = {"backbone_config": BACKBONE, "decoder_config": DECODER, "fpn_feature_size": 32}
    return MiniMaskFormerConfig(**sizes | {"mask_feature_size": 5, "labels": LABELS} | changes)


def maskformer(**changes):
    """Begins where no norm gets zeros alone, as that of the first layer does: there all is bent."""

    def make():
        draw = torch.Generator().manual_seed(1)
        model = MiniMaskFormer(config(**changes), generator=draw)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += normal_(torch.empty_like(parameter), std=0.2, generator=draw)
        return model

    return make


def images(g):
    return (torch.randn(2, 3, 32, 48, generator=g),)


def segments(height=32, width=48):
    """Two segments on the first image, none on the second one."""
    masks = torch.zeros(2, height, width)
    masks[0, : height // 2, : width // 3] = 1
    masks[1, height // 2 :, width // 4 :] = 1
    classes = torch.tensor([2, 0])
    return [masks, masks[:0]], [classes, classes[:0]]


def theirs():
    import transformers

    backbone = transformers.ResNetConfig(
        embedding_size=4,
        hidden_sizes=[4, 6, 8],
        depths=[1, 1, 1],
        layer_type="basic",
        out_features=["stage1", "stage2", "stage3"],
    )
    decoder = transformers.DetrConfig(
        d_model=8,
        num_queries=4,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=12,
        dropout=0.0,
    )
    made = transformers.MaskFormerConfig(
        backbone_config=backbone,
        decoder_config=decoder,
        fpn_feature_size=32,
        mask_feature_size=5,
        num_labels=3,
    )
    made._attn_implementation = "eager"
    model = transformers.MaskFormerForInstanceSegmentation(made)
    model.load_state_dict = partial(model.load_state_dict, strict=False)  # their loss has a buffer as well
    return model


def carry(state):
    """Our names in files, and then those that transformers' parts have while they run."""
    found = {}
    for name, tensor in state.items():
        names = to_hugging_face(name).names
        found |= dict(zip(names, tensor.chunk(len(names)) if len(names) > 1 else [tensor], strict=True))
    for old, new in ((".out_proj.", ".o_proj."), (".fc1.", ".mlp.fc1."), (".fc2.", ".mlp.fc2.")):
        found = {name.replace(old, new): tensor for name, tensor in found.items()}
    return found


def output(model, x, masks=None, classes=None):
    model.criterion.empty_weight[-1] = model.criterion.eos_coef  # exact in float64, too
    found = model(x, mask_labels=masks, class_labels=classes)
    given = (
        found.class_queries_logits,
        found.masks_queries_logits,
        found.transformer_decoder_last_hidden_state,
        found.pixel_decoder_last_hidden_state,
        found.encoder_last_hidden_state,
    )
    return given if masks is None else (found.loss, *given)


def pyramid(theirs, *maps):
    found = theirs(maps, output_hidden_states=True)
    return found.last_hidden_state, theirs.fpn.stem(maps[-1]), *found.hidden_states


def pixel_decoder():
    from transformers.models.maskformer.modeling_maskformer import MaskFormerPixelDecoder

    return MaskFormerPixelDecoder(in_features=6, feature_size=32, mask_feature_size=5, lateral_widths=[3, 4])


CASES = [
    Case(
        name="PixelDecoder",
        make=lambda: PixelDecoder((3, 4, 6), 32, 5, generator=torch.Generator().manual_seed(1)),
        inputs=lambda g: tuple(
            torch.randn(2, c, h, w, generator=g) for c, h, w in ((3, 9, 12), (4, 5, 6), (6, 2, 3))
        ),
        namesake=pixel_decoder,
        reference=pyramid,
        carry=lambda state: {
            name if name.startswith("mask_projection") else f"fpn.{name}": tensor
            for name, tensor in state.items()
        },
    ),
    Case(
        name="MaskFormerLoss",
        make=lambda: MaskFormerLoss(3, eos=0.4, dice_weight=2.0, class_weight=3.0),
        inputs=lambda g: (
            torch.randn(2, 2, 4, 4, generator=g),
            torch.randn(2, 2, 4, 3, 4, generator=g),
            [{"class_labels": c, "masks": m} for m, c in zip(*segments(6, 8), strict=True)],
        ),
        no_namesake="transformers' is compared in the tests of MiniMaskFormer",
    ),
    Case(
        name="MiniMaskFormer",
        make=maskformer(),
        inputs=images,
        namesake=theirs,
        reference=output,
        carry=carry,
    ),
    Case(
        name="MiniMaskFormer, with labels",
        make=maskformer(),
        inputs=lambda g: (*images(g), *segments()),
        namesake=theirs,
        reference=output,
        carry=carry,
        looser=1.5,
        why="in float32 the formulas alone are up to 1.2e-5 from gradients in float64, the kernels 0.6e-5",
    ),
    Case(
        name="MiniMaskFormer, use_auxiliary_loss=True, group norm",
        make=maskformer(
            use_auxiliary_loss=True,
            backbone_config=BackboneConfig(3, 8, (8, 8), (1, 1), "basic", "group"),
        ),
        inputs=lambda g: (*images(g), *segments()),
        no_namesake="transformers has no group norm; its auxiliary loss is compared in the tests",
    ),
    Case(
        name="MiniMaskFormer, masked_attention=True",
        make=maskformer(masked_attention=True),
        inputs=images,
        no_namesake="transformers' MaskFormer looks everywhere",
    ),
    Case(
        name="MiniMaskFormer, multi_scale=True, finer_masks=2",
        make=maskformer(
            multi_scale=True,
            finer_masks=2,
            backbone_config=BackboneConfig(3, 8, (8, 8), (1, 1), "basic", "group"),
        ),
        inputs=images,
        no_namesake="transformers' MaskFormer looks at the backbone's smallest map alone",
    ),
]
