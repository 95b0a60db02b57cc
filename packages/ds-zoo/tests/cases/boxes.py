"""Boxes: conversions and overlaps, beside the same written with torch's own operations."""

import torch
from ds_core import Module
from ds_core.kernels import dispatch
from ds_core.verify import Case
from ds_zoo import functional


class Formula(Module):
    """A pair of the book as a module."""

    def __init__(self, formula):
        self.pair = dispatch(formula)

    def forward(self, *inputs):
        y, saved = self.pair[0](*inputs)
        self.save(saved)
        return y

    def backward(self, grad):
        (saved,) = self.saved()
        return self.pair[1](grad, saved)


def drawn(g, *shape):
    """Boxes by their corners, most of which overlap."""
    first = torch.rand(*shape, 2, generator=g)
    return torch.cat([first, first + 0.1 + torch.rand(*shape, 2, generator=g)], -1)


def apart(g, *shape):
    """Boxes far from those drawn."""
    return drawn(g, *shape) + torch.tensor([5.0, 0.0, 5.0, 0.0])


def their_area(boxes):
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def their_iou(_, a, b):
    size = torch.min(a[..., 2:], b[..., 2:]) - torch.max(a[..., :2], b[..., :2])
    common = size.clamp(min=0).prod(-1)
    return common / (their_area(a) + their_area(b) - common)


def their_giou(_, a, b):
    size = torch.max(a[..., 2:], b[..., 2:]) - torch.min(a[..., :2], b[..., :2])
    around, overlap = size.clamp(min=0).prod(-1), their_iou(_, a, b)
    union = (their_area(a) + their_area(b)) / (1 + overlap)  # overlap = common / union
    return overlap - (around - union) / around


def case(name, inputs, reference, shown="", **more):
    return Case(
        name=name + shown,
        make=lambda: Formula(getattr(functional, name)),
        inputs=inputs,
        no_namesake="torch.nn knows no boxes",
        reference=reference,
        **more,
    )


PAIRS = [
    ("", lambda g: (drawn(g, 7), drawn(g, 7))),
    (", each with each", lambda g: (drawn(g, 3, 1), drawn(g, 5))),
    (", apart", lambda g: (drawn(g, 4), apart(g, 4))),
    (", one inside the other", lambda g: (drawn(g, 4), drawn(g, 4) * 0.1 + 0.5)),
    (", none", lambda g: (drawn(g, 0), drawn(g, 0))),
]

CASES = [
    case(
        "corners",
        lambda g: (torch.randn(2, 3, 4, generator=g),),
        lambda _, x: torch.stack(
            [
                *(x[..., i] - x[..., i + 2] / 2 for i in (0, 1)),
                *(x[..., i] + x[..., i + 2] / 2 for i in (0, 1)),
            ],
            -1,
        ),
    ),
    case(
        "centres",
        lambda g: (torch.randn(2, 3, 4, generator=g),),
        lambda _, x: torch.stack(
            [
                *((x[..., i] + x[..., i + 2]) / 2 for i in (0, 1)),
                *(x[..., i + 2] - x[..., i] for i in (0, 1)),
            ],
            -1,
        ),
    ),
    case("area", lambda g: (drawn(g, 5),), lambda _, x: their_area(x)),
    *(case("iou", inputs, their_iou, shown) for shown, inputs in PAIRS),
    *(case("giou", inputs, their_giou, shown) for shown, inputs in PAIRS),
]
