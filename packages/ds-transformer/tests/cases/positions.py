"""Positions, beside transformers' and beside their definitions put together from torch.nn's parts."""

import math

import torch
from ds_core.verify import Case
from ds_transformer.positions import (
    ALiBi,
    LearnedPositions,
    RelativePositionBias,
    RotaryPositions,
    Sine2DPositions,
    SinusoidalPositions,
)
from torch import nn
from transformers.models.t5.modeling_t5 import T5Attention


class TorchSinusoidal(nn.Module):
    """Sines in even columns, cosines in odd ones, one number at a time."""

    def forward(self, x, past=0):
        width = x.shape[-1]
        table = torch.zeros(x.shape[-2:], dtype=x.dtype, device=x.device)
        for t in range(len(table)):
            for i in range(width // 2):
                angle = (past + t) / 10000 ** (2 * i / width)
                table[t, 2 * i], table[t, 2 * i + 1] = math.sin(angle), math.cos(angle)
        return x + table


class TorchLearned(nn.Embedding):
    def forward(self, x, past=0):
        return x + super().forward(torch.arange(past, past + x.shape[-2], device=x.device))


class TorchRotary(nn.Module):
    """A pair is a complex number, and turning it a multiplication by e^(i angle)."""

    def __init__(self, base=10000.0, interleaved=False):
        super().__init__()
        self.base, self.interleaved = base, interleaved

    def forward(self, x, past=0):
        *_, length, width = x.shape
        like = {"dtype": x.dtype, "device": x.device}
        positions = torch.arange(past, past + length, **like)
        theta = self.base ** (-torch.arange(0, width, 2, **like) / width)
        turn = torch.polar(torch.ones(length, width // 2, **like), torch.outer(positions, theta))
        if self.interleaved:
            pairs = x.unflatten(-1, (width // 2, 2))
            return torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turn).flatten(-2)
        turned = torch.complex(*x.chunk(2, -1)) * turn
        return torch.cat((turned.real, turned.imag), -1)


class TorchALiBi(nn.Module):
    """Slopes as the paper lists them, distances one by one."""

    def __init__(self, slopes):
        super().__init__()
        self.slopes = slopes
        self.like = nn.Buffer(torch.zeros(()), persistent=False)

    def forward(self, queries, keys, past=0):
        rows = [[[-m * abs(past + t - s) for s in range(keys)] for t in range(queries)] for m in self.slopes]
        return torch.tensor(rows, dtype=self.like.dtype).view(len(rows), queries, keys)


class T5Bias(nn.Module):
    """What transformers' T5Attention does for its bias, without the rest of it."""

    def __init__(self, num_heads, num_buckets=32, max_distance=128, bidirectional=True):
        super().__init__()
        self.relative_attention_bias = nn.Embedding(num_buckets, num_heads)
        self.relative_attention_num_buckets = num_buckets
        self.relative_attention_max_distance = max_distance
        self.is_decoder = not bidirectional
        self._relative_position_bucket = T5Attention._relative_position_bucket

    def forward(self, queries, keys, past=0):
        return T5Attention.compute_bias(self, queries, keys, past_seen_tokens=past)[0]


class TorchSine2D(nn.Module):
    """DETR's 2-D sine, every number by its formula."""

    def __init__(self, features, temperature=10000.0, normalize=True, scale=2 * math.pi):
        super().__init__()
        self.features, self.temperature = features, temperature
        self.normalize, self.scale = normalize, scale
        self.like = nn.Buffer(torch.zeros(()), persistent=False)

    def forward(self, mask):
        mask = torch.zeros(1, *mask, dtype=torch.bool) if isinstance(mask, tuple) else mask
        result = torch.zeros(len(mask), 2 * self.features, *mask.shape[1:], dtype=self.like.dtype)
        for b, c, h, w in torch.cartesian_prod(*map(torch.arange, result.shape)).tolist():
            feature, wide = c % self.features, c >= self.features
            line = ~(mask[b, h] if wide else mask[b, :, w])
            place = float(line[: (w if wide else h) + 1].sum())
            if self.normalize:
                place = place / (float(line.sum()) + 1e-6) * self.scale
            angle = place / self.temperature ** (2 * (feature // 2) / self.features)
            result[b, c, h, w] = math.cos(angle) if feature % 2 else math.sin(angle)
        return result


def sequence(*shape, past=0):
    return lambda g: (torch.randn(shape, generator=g), past)


def corners(*sizes, height=4, width=5):
    """Masks of images of these sizes in the corner of a larger one."""
    mask = torch.ones(len(sizes), height, width, dtype=torch.bool)
    for image, (h, w) in zip(mask, sizes, strict=True):
        image[:h, :w] = False
    return mask


SEQUENCES = {
    "": sequence(2, 5, 6),
    "after a past": sequence(2, 3, 6, past=4),
    "unbatched": sequence(5, 6),
    "heads": sequence(2, 3, 4, 6, past=1),
    "one position": sequence(1, 1, 6, past=6),
    "no position": sequence(2, 0, 6),
    "empty batch": sequence(0, 3, 6),
}
COUNTS = {
    "": (5, 5),
    "after a past": (3, 9, 6),
    "one query": (1, 8, 7),
    "across": (4, 9),
    "one of each": (1, 1),
    "far apart": (2, 200, 150),
    "no query": (0, 4),
}

CASES = [
    *(
        Case(
            name=f"SinusoidalPositions {shown}".rstrip(),
            make=lambda: SinusoidalPositions(6),
            inputs=draw,
            namesake=TorchSinusoidal,
        )
        for shown, draw in SEQUENCES.items()
    ),
    Case(
        name="SinusoidalPositions(dropout=0.4)",
        make=lambda: SinusoidalPositions(6, 0.4),
        inputs=SEQUENCES["after a past"],
        no_namesake="dropout's numbers are drawn in its own order",
    ),
    *(
        Case(
            name=f"LearnedPositions {shown}".rstrip(),
            make=lambda: LearnedPositions(7, 6),
            inputs=draw,
            namesake=lambda: TorchLearned(7, 6),
        )
        for shown, draw in SEQUENCES.items()
    ),
    *(
        Case(
            name=f"RotaryPositions{'(interleaved)' if interleaved else ''} {shown}".rstrip(),
            make=lambda interleaved=interleaved: RotaryPositions(6, interleaved=interleaved),
            inputs=draw,
            namesake=lambda interleaved=interleaved: TorchRotary(interleaved=interleaved),
        )
        for interleaved in (False, True)
        for shown, draw in SEQUENCES.items()
    ),
    Case(
        name="RotaryPositions(2, base=100), one pair",
        make=lambda: RotaryPositions(2, 100.0),
        inputs=sequence(3, 4, 2, past=2),
        namesake=lambda: TorchRotary(100.0),
    ),
    *(
        Case(
            name=f"ALiBi(4) {shown}".rstrip(),
            make=lambda: ALiBi(4),
            inputs=lambda g, counts=counts: counts,
            namesake=lambda: TorchALiBi([1 / 4, 1 / 16, 1 / 64, 1 / 256]),
        )
        for shown, counts in COUNTS.items()
    ),
    Case(
        name="ALiBi(3)",
        make=lambda: ALiBi(3),
        inputs=lambda g: (4, 6, 2),
        namesake=lambda: TorchALiBi([1 / 16, 1 / 256, 1 / 4]),
    ),
    Case(
        name="ALiBi(16)",
        make=lambda: ALiBi(16),
        inputs=lambda g: (2, 3, 1),
        namesake=lambda: TorchALiBi([0.5 ** ((h + 1) / 2) for h in range(16)]),
    ),
    *(
        Case(
            name=f"RelativePositionBias(bidirectional={two_ways}) {shown}".rstrip(),
            make=lambda two_ways=two_ways: RelativePositionBias(3, bidirectional=two_ways),
            inputs=lambda g, counts=counts: counts,
            namesake=lambda two_ways=two_ways: T5Bias(3, bidirectional=two_ways),
        )
        for two_ways in (True, False)
        for shown, counts in COUNTS.items()
    ),
    Case(
        name="RelativePositionBias(1, 4, 3)",
        make=lambda: RelativePositionBias(1, 4, 3),
        inputs=lambda g: (6, 6),
        namesake=lambda: T5Bias(1, 4, 3),
    ),
    *(
        Case(
            name=f"Sine2DPositions {shown}".rstrip(),
            make=lambda: Sine2DPositions(4),
            inputs=lambda g, given=given: (given,),
            namesake=lambda: TorchSine2D(4),
        )
        for shown, given in {
            "": corners((4, 5), (2, 3), (1, 1)),
            "of an image that is all padding": corners((0, 0), (3, 4)),
            "of a size": (3, 4),
            "of one place": (1, 1),
            "of an empty batch": corners(),
        }.items()
    ),
    Case(
        name="Sine2DPositions(normalize=False)",
        make=lambda: Sine2DPositions(6, 20.0, normalize=False),
        inputs=lambda g: (corners((4, 5), (2, 3)),),
        namesake=lambda: TorchSine2D(6, 20.0, normalize=False),
    ),
    Case(
        name="Sine2DPositions(scale=1), one pair",
        make=lambda: Sine2DPositions(2, scale=1.0),
        inputs=lambda g: (corners((3, 5)),),
        namesake=lambda: TorchSine2D(2, scale=1.0),
    ),
]
