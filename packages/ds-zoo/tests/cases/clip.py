"""MiniCLIP, its towers and what stands on top of them, beside transformers' CLIP."""

import torch
from ds_core.verify import Case
from ds_zoo.activations import QuickGELU
from ds_zoo.clip import (
    CLIPPairs,
    ContrastiveLoss,
    MiniCLIP,
    MiniCLIPConfig,
    MiniCLIPTextConfig,
    MiniCLIPTextModelWithProjection,
    MiniCLIPVisionConfig,
    MiniCLIPVisionModelWithProjection,
    Similarity,
    UnitLength,
)
from ds_zoo.clip.pretrained import to_hugging_face

TOWER = {
    "hidden_size": 8,
    "intermediate_size": 12,
    "projection_dim": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TEXT = TOWER | {"vocab_size": 11, "max_position_embeddings": 6, "eos_token_id": 10}
VISION = TOWER | {"image_size": 8, "patch_size": 4}


ONE = {"num_hidden_layers": 1}


def config():
    return MiniCLIPConfig(MiniCLIPTextConfig(**TEXT | ONE), MiniCLIPVisionConfig(**VISION | ONE), 6)


def captions(g, rows=3):
    ids = torch.randint(1, 9, (rows, 5), generator=g)
    ids[torch.arange(rows), 4 - torch.arange(rows)] = 10
    mask = (torch.arange(5) <= 4 - torch.arange(rows)[:, None]).long()
    return ids, mask


def images(g, rows=3, side=8):
    return torch.randn(rows, 3, side, side, generator=g)


def both(g, rows=3):
    ids, mask = captions(g, rows)
    return ids, images(g, rows), mask


def carry(state):
    theirs = {}
    for name, tensor in state.items():
        names = to_hugging_face(name).names
        theirs |= dict(zip(names, tensor.chunk(len(names)) if len(names) > 1 else [tensor], strict=True))
    return theirs


def text(**options):
    def make():
        import transformers

        made = transformers.CLIPTextConfig(**TEXT | options, bos_token_id=9)
        return exact(transformers.CLIPTextModelWithProjection(made))

    return make


def vision(**options):
    def make():
        import transformers

        return exact(
            transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**VISION | options))
        )

    return make


def whole():
    import transformers

    made = transformers.CLIPConfig(
        text_config=TEXT | ONE | {"bos_token_id": 9}, vision_config=VISION | ONE, projection_dim=6
    )
    return exact(transformers.CLIPModel(made))


def exact(model):
    """Lets torch compute attention: transformers' own way always rounds its softmax to float32."""
    model.set_attn_implementation("sdpa")
    return model


def tower(part):
    """Compares what a tower gives: its embedding, its last hidden state, and what that was read off from."""

    def reference(theirs, *given):
        embeds, last = theirs(*given).to_tuple()[:2]
        return embeds, last, getattr(theirs, part)(*given).pooler_output

    return reference


def whole_output(theirs, ids, pixels, mask, return_loss=False):
    """Lists what transformers gives in the order of ours; its versions differ in the towers' pooler."""
    output = theirs(ids, pixels, mask, return_loss=return_loss)
    text, image = theirs.text_model(ids, mask), theirs.vision_model(pixels)
    return (
        *output.to_tuple()[:-2],
        (theirs.text_projection(text.pooler_output), *text.to_tuple()),
        (theirs.visual_projection(image.pooler_output), *image.to_tuple()),
    )


def contrastive(loss, logits, captions=None):
    same = torch.eye(len(logits)) if captions is None else captions[:, None] == captions
    same = same.to(logits.dtype)
    rows = same / same.sum(1, keepdim=True)
    one = -(rows * torch.log_softmax(logits, 1)).sum(1).mean()
    other = -(rows * torch.log_softmax(logits.T, 1)).sum(1).mean()
    return (one + other) / 2


CASES = [
    Case(
        name="QuickGELU",
        make=QuickGELU,
        inputs=lambda g: (4 * torch.randn(3, 50, generator=g),),
        namesake=lambda: __import__("transformers").activations.QuickGELUActivation(),
    ),
    Case(
        name="QuickGELU, large",
        make=QuickGELU,
        inputs=lambda g: (torch.tensor([-1e4, -60.0, -1.0, 0.0, 1e-9, 1.0, 60.0, 1e4]),),
        namesake=lambda: __import__("transformers").activations.QuickGELUActivation(),
        no_differences="of 1e4 they see the rounding alone",
    ),
    Case(
        name="UnitLength",
        make=UnitLength,
        inputs=lambda g: (torch.randn(4, 6, generator=g),),
        no_namesake="torch.nn has none; beside torch.nn.functional.normalize",
        reference=lambda ours, x: torch.nn.functional.normalize(x, dim=-1),
    ),
    Case(
        name="Similarity",
        make=lambda: Similarity(1.3),
        inputs=lambda g: (torch.randn(4, 6, generator=g), torch.randn(5, 6, generator=g)),
        no_namesake="torch.nn has none",
        reference=lambda ours, images, texts: ours.log_scale.exp() * (images @ texts.T),
    ),
    Case(
        name="ContrastiveLoss",
        make=ContrastiveLoss,
        inputs=lambda g: (3 * torch.randn(5, 5, generator=g),),
        no_namesake="transformers has it as a function",
        reference=contrastive,
    ),
    Case(
        name="ContrastiveLoss, equal captions",
        make=ContrastiveLoss,
        inputs=lambda g: (3 * torch.randn(5, 5, generator=g), torch.tensor([4, 0, 4, 1, 4])),
        no_namesake="transformers has none",
        reference=contrastive,
    ),
    Case(
        name="MiniCLIPTextModelWithProjection",
        make=lambda: MiniCLIPTextModelWithProjection(MiniCLIPTextConfig(**TEXT)),
        inputs=captions,
        namesake=text(),
        reference=tower("text_model"),
        carry=carry,
    ),
    Case(
        name="MiniCLIPTextModelWithProjection, old files",
        make=lambda: MiniCLIPTextModelWithProjection(
            MiniCLIPTextConfig(**TEXT | {"eos_token_id": 2, "hidden_act": "gelu"})
        ),
        inputs=lambda g: captions(g)[:1],
        namesake=text(eos_token_id=2, hidden_act="gelu"),
        reference=tower("text_model"),
        carry=carry,
    ),
    Case(
        name="MiniCLIPVisionModelWithProjection",
        make=lambda: MiniCLIPVisionModelWithProjection(MiniCLIPVisionConfig(**VISION)),
        inputs=lambda g: (images(g, 2),),
        namesake=vision(),
        reference=tower("vision_model"),
        carry=carry,
    ),
    Case(
        name="MiniCLIPVisionModelWithProjection, convolutions first",
        make=lambda: MiniCLIPVisionModelWithProjection(MiniCLIPVisionConfig(**VISION | {"stem": "conv"})),
        inputs=lambda g: (images(g, 2),),
        no_namesake="transformers' CLIP has none",
    ),
    Case(
        name="MiniCLIPVisionModelWithProjection, a ResNet",
        make=lambda: MiniCLIPVisionModelWithProjection(
            MiniCLIPVisionConfig(**VISION | {"tower": "resnet", "num_hidden_layers": 1})
        ),
        inputs=lambda g: (images(g, 2),),
        no_namesake="transformers' CLIP has none",
    ),
    Case(
        name="MiniCLIP",
        make=lambda: MiniCLIP(config()),
        inputs=both,
        namesake=whole,
        reference=whole_output,
        carry=carry,
    ),
    Case(
        name="MiniCLIP, return_loss=True",
        make=lambda: MiniCLIP(config()),
        inputs=lambda g: (*both(g), True),
        no_differences="those of MiniCLIP and of ContrastiveLoss are seen in their own cases",
        namesake=whole,
        reference=whole_output,
        carry=carry,
    ),
    Case(
        name="CLIPPairs, all at once",
        make=lambda: CLIPPairs(MiniCLIP(config())),
        inputs=lambda g: (images(g), *captions(g)),
        no_differences="those of MiniCLIP and of ContrastiveLoss are seen in their own cases",
        namesake=whole,
        reference=lambda theirs, pixels, ids, mask: theirs(ids, pixels, mask).logits_per_image,
        carry=lambda state: carry({name.removeprefix("model."): t for name, t in state.items()}),
    ),
    Case(
        name="CLIPPairs(chunk=2)",
        make=lambda: CLIPPairs(MiniCLIP(config()), chunk=2),
        inputs=lambda g: (images(g), *captions(g)),
        no_differences="those of MiniCLIP and of ContrastiveLoss are seen in their own cases",
        namesake=whole,
        reference=lambda theirs, pixels, ids, mask: theirs(ids, pixels, mask).logits_per_image,
        carry=lambda state: carry({name.removeprefix("model."): t for name, t in state.items()}),
    ),
]
