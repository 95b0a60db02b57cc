"""The exercises of ds-zoo: images beside texts, boxes, matching, masks, whole models."""

from __future__ import annotations

from typing import Any, get_type_hints

import torch
from ds_core.learn import Chapter, Exercise, Layer, Pair, Results
from ds_core.verify.inputs import normal


def _boxes(g: torch.Generator) -> tuple[Any, ...]:
    """Draws corners of boxes of which some overlap, some lie apart and some contain one another."""
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 4.0, 4.0], [1.0, 0.0, 3.0, 5.0]])
    b = torch.tensor([[1.0, 0.5, 3.0, 2.5], [2.0, 2.5, 3.0, 4.0], [1.0, 1.0, 2.0, 3.0], [0.0, 2.0, 2.0, 3.0]])
    return a + torch.rand(4, 4, generator=g) / 5, b + torch.rand(4, 4, generator=g) / 5


def _crossed(g: torch.Generator) -> tuple[Any, ...]:
    """Draws two boxes beside three; one lies apart in x alone, one in y alone."""
    b = torch.tensor([[5.0, 0.5, 6.0, 1.5], [0.5, 5.0, 1.5, 6.0], [1.0, 1.0, 3.0, 3.0]])
    return _boxes(g)[0][::2, None], b + torch.rand(3, 4, generator=g) / 5


def _costs(box_costs: Any, g: torch.Generator) -> dict[str, Any]:
    boxes, targets = torch.rand(2, 5, 4, generator=g), torch.rand(2, 3, 4, generator=g)
    return {
        "l1 = 5, overlap = 2": box_costs(boxes, targets, 5.0, 2.0),
        "l1 = 0, overlap = 1": box_costs(boxes, targets, 0.0, 1.0),
        "one image": box_costs(boxes[0], targets[0], 1.0, 0.5),
    }


def _beliefs(class_costs: Any, g: torch.Generator) -> dict[str, Any]:
    p, labels = torch.rand(2, 5, 4, generator=g), torch.tensor([[0, 3, 1], [2, 2, 0]])
    return {"two images": class_costs(p, labels, 2.0), "one image": class_costs(p[0], labels[0], 1.0)}


def _masked(mask_tokens: Any, g: torch.Generator) -> dict[str, Any]:
    ids = torch.randint(5, 60, (8, 30), generator=g)
    ids[:, 0] = 1
    words = torch.arange(30).repeat(8, 1) // 2
    words[:, 0] = -1
    found = {}
    for name, more in (("each token", {}), ("whole words", {"words": words}), ("half", {"probability": 0.5})):
        chance = torch.Generator().manual_seed(3)
        found[name] = mask_tokens(ids, mask_id=3, vocab_size=60, special_ids=[1], generator=chance, **more)
    return {name: tuple(masked) for name, masked in found.items()}


def _gpt(kind: Any) -> Any:
    config = get_type_hints(kind.__init__)["config"]  # the one of the learner's file, which has its own
    return kind(config(5, n_positions=4, n_embd=4, n_layer=2, n_head=2, initializer_range=0.5))


CHAPTERS = [
    Chapter(
        50,
        "Images beside texts",
        [
            Exercise(
                "unit-length-backward",
                "a direction has no length",
                "ds_zoo.functional.unit_length:unit_length_backward",
                Pair(normal((3, 4)), also=[normal((2, 3, 5))]),
                hint="What points along y changes the length alone, and that is divided away.",
                theory="clip.md#Unit length",
            ),
            Exercise(
                "similarity-backward",
                "a temperature that is learned",
                "ds_zoo.functional.similarity:similarity_backward",
                Pair(lambda g: (*normal((3, 4), (5, 4))(g), torch.tensor(0.7))),
                hint="e^t has the slope e^t: what does one t see of all the similarities?",
                theory="clip.md#Similarity and its temperature",
            ),
            Exercise(
                "contrastive",
                "every image its text, every text its image",
                "ds_zoo.functional.contrastive:contrastive",
                Pair(normal((4, 4)), also=[lambda g: (torch.randn(3, 3, generator=g), _same())]),
                hint="log_softmax over the texts, and over the images; the slope is what is saved.",
                theory="clip.md#The contrastive loss",
                formula="l = -(sum R log P + sum C log Q) / 2N, saved: (P - R + Q - C) / 2N; R is A with "
                "rows that sum "
                "to 1, C with columns that do.",
            ),
        ],
    ),
    Chapter(
        51,
        "Boxes, matching, masks",
        [
            Exercise(
                "corners-backward",
                "from centre and size to corners",
                "ds_zoo.functional.boxes:corners_backward",
                Pair(normal((3, 4)), also=[normal((2, 3, 4))]),
                hint="left = x - w/2, right = x + w/2: x moves both, w pulls them apart.",
                theory="detr.md#GIoU and its gradient",
            ),
            Exercise(
                "area-backward",
                "a product of two sides",
                "ds_zoo.functional.boxes:area_backward",
                Pair(lambda g: (_boxes(g)[0],), also=[lambda g: (_boxes(g)[0].view(2, 2, 4),)]),
                hint="If the width grows, the area grows by the height. Which corner makes the box wider?",
                theory="detr.md#GIoU and its gradient",
            ),
            Exercise(
                "intersection-backward",
                "the edge that limits moves the area",
                "ds_zoo.functional.boxes:intersection_backward",
                Pair(_boxes, also=[_crossed]),
                hint="Of the two left edges the larger one limits, of the two right edges the smaller one; "
                "share gives "
                "a gradient to\nthe larger of two.",
                theory="detr.md#GIoU and its gradient",
                formula="d(size) = g times the other side where the boxes overlap; left: share(a, b), right: "
                "share(-a, -b); the left edge counts negative.",
            ),
            Exercise(
                "giou-backward",
                "overlap that pulls boxes together",
                "ds_zoo.functional.boxes:giou_backward",
                Pair(_boxes, also=[_crossed]),
                hint="GIoU = I / U + U / C - 1. Three slopes, by I, by U and by C; _areas_backward goes on "
                "to the boxes.",
                theory="detr.md#GIoU and its gradient",
            ),
            Exercise(
                "box-costs",
                "what it costs to take a box for an object",
                "ds_zoo.detr.matching:box_costs",
                Results(_costs),
                hint="Each query with each object: (..., Q, 1, 4) beside (..., 1, n, 4). giou wants corners.",
                theory="detr.md#Matching and the loss",
                formula="l1 times the sum of |b - t| over the four numbers, less overlap times GIoU(b, t).",
            ),
            Exercise(
                "class-costs",
                "what it costs not to believe",
                "ds_zoo.detr.matching:class_costs",
                Results(_beliefs),
                hint="Every query's probability of each object's class: gather along the classes.",
                theory="detr.md#Matching and the loss",
                formula="-weight p[..., q, labels[n]]: the labels, expanded over the queries, are the index.",
            ),
            Exercise(
                "mask-logits-backward",
                "queries meet places",
                "ds_zoo.functional.mask_logits:mask_logits_backward",
                Pair(normal((2, 3, 4), (2, 4, 3, 2))),
                hint="With places as columns, M = e P is a plain product for each image.",
                theory="maskformer.md#A class for a mask, not for a pixel",
            ),
        ],
    ),
    Chapter(
        52,
        "Whole models",
        [
            Exercise(
                "mask-tokens",
                "what BERT learns from",
                "ds_zoo.bert.masking:mask_tokens",
                Results(_masked),
                hint="Draw in this order: chance for each token, of words if given; fate; random ids. "
                "Special ones are "
                "never chosen.",
                theory="bert.md#What it learns from",
                formula="chosen = allowed and chance < probability; fate < 0.8 [MASK], < 0.9 a random id, "
                "else as it "
                "is; labels: the token where chosen, NO_TARGET elsewhere.",
            ),
            Exercise(
                "patch-embedding-backward",
                "from tokens back to an image",
                "ds_zoo.vit.model:PatchEmbedding.backward",
                Layer(lambda kind: kind(2, 3, (2, 2), spread=0.5), normal((2, 2, 4, 6)), entries=4),
                hint="The forward flattened the grid and put channels last: undo both, then the "
                "projection's backward.",
                theory="vit.md#Patches as a convolution, and as one product",
                formula="(B, L, C) -> (B, C, L) -> (B, C, h, w), then self.projection.backward",
            ),
            Exercise(
                "gpt-backward",
                "the GPT's backward",
                "ds_zoo.gpt.model:MiniGPT.backward",
                Layer(_gpt, lambda g: (torch.randint(5, (2, 4), generator=g),), entries=1),
                hint="Read the forward from its last line to its first: head, norm, blocks, dropout, "
                "positions, tokens. "
                "\nForward was given ids alone here: `grad` is that of the logits, `places` is 1.",
                theory="gpt.md#Backward",
                formula="g = norm.backward(head.backward(grad)); blocks in reverse; dropout; wpe gets the "
                "sum over the "
                "batch, since all sequences used the same places; wte gets g.",
            ),
        ],
    ),
]


def _same() -> torch.Tensor:
    return torch.tensor([[True, False, True], [False, True, False], [False, False, True]])
