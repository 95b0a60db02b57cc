"""Pooling beside torch.nn's, by loops and vectorised."""

import torch
from ds_cnn import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    LPPool1d,
    LPPool2d,
    MaxPool1d,
    MaxPool2d,
)
from ds_core.verify import Case
from ds_core.verify.inputs import normal
from torch import nn


def both(ours, theirs, shape, *arguments, positive=False, **options):
    """One case by loops and one vectorised."""
    text = ", ".join([*map(str, arguments), *(f"{name}={value}" for name, value in options.items())])

    def inputs(g):
        x = torch.randn(shape, generator=g)
        return (x.abs() + 0.1 if positive else x,)

    return [
        Case(
            name=f"{ours.__name__}({text}) of {shape}, {algorithm}",
            make=lambda algorithm=algorithm: ours(*arguments, **options, algorithm=algorithm),
            inputs=inputs,
            namesake=lambda: theirs(*arguments, **options),
        )
        for algorithm in ("loop", "vectorised")
    ]


def with_infinite_pixels(g):
    """Images with windows of nothing but minus infinity, at the edge, where the padding is as small."""
    x = torch.randn(1, 2, 6, 6, generator=g)
    x[0, 0, :3, :3] = -torch.inf
    return (x,)


class Global(nn.Sequential):
    def __init__(self, pool):
        super().__init__(pool(1), nn.Flatten())


CASES = [
    *both(MaxPool2d, nn.MaxPool2d, (2, 3, 6, 4), 2),
    *both(MaxPool2d, nn.MaxPool2d, (2, 2, 7, 9), (3, 2), stride=2, padding=1),
    *both(MaxPool2d, nn.MaxPool2d, (1, 2, 8, 7), 3, stride=2, padding=1, dilation=2, ceil_mode=True),
    *both(MaxPool2d, nn.MaxPool2d, (0, 2, 4, 4), 2),
    *both(MaxPool2d, nn.MaxPool2d, (2, 5, 5), 3, stride=1),
    *both(MaxPool2d, nn.MaxPool2d, (1, 2, 17, 18), 16),
    Case(
        name="MaxPool2d, several blocks of images",
        make=lambda: MaxPool2d(3, 2, 1),
        inputs=normal((3, 2, 256, 300)),
        namesake=lambda: nn.MaxPool2d(3, 2, 1),
    ),
    *both(AdaptiveMaxPool2d, nn.AdaptiveMaxPool2d, (1, 2, 4, 3), (None, 2)),
    *both(AdaptiveAvgPool2d, nn.AdaptiveAvgPool2d, (2, 4, 3), (2, None)),
    *[
        Case(
            name=f"MaxPool2d of infinite pixels, {algorithm}",
            make=lambda algorithm=algorithm: MaxPool2d(3, 2, 1, algorithm=algorithm),
            inputs=with_infinite_pixels,
            namesake=lambda: nn.MaxPool2d(3, 2, 1),
            no_differences="a step from minus infinity leads nowhere",
        )
        for algorithm in ("loop", "vectorised")
    ],
    *both(AvgPool2d, nn.AvgPool2d, (2, 3, 6, 4), 2),
    *both(AvgPool2d, nn.AvgPool2d, (2, 2, 7, 6), 3, stride=2, padding=1, ceil_mode=True),
    *both(AvgPool2d, nn.AvgPool2d, (2, 2, 7, 6), 3, stride=2, padding=1, count_include_pad=False),
    *both(AvgPool2d, nn.AvgPool2d, (2, 5, 5), (2, 3), stride=1, divisor_override=4),
    *both(LPPool2d, nn.LPPool2d, (2, 2, 6, 5), 2, 2, positive=True),
    *both(LPPool2d, nn.LPPool2d, (2, 2, 5, 6), 3, (2, 3), stride=2, ceil_mode=True, positive=True),
    *both(AdaptiveAvgPool2d, nn.AdaptiveAvgPool2d, (2, 3, 7, 5), (3, 2)),
    *both(AdaptiveAvgPool2d, nn.AdaptiveAvgPool2d, (2, 3, 4), 6),
    *both(AdaptiveMaxPool2d, nn.AdaptiveMaxPool2d, (2, 3, 7, 5), (3, 2)),
    *both(AdaptiveMaxPool2d, nn.AdaptiveMaxPool2d, (2, 3, 4), 6),
    *[
        Case(
            name=f"{ours.__name__}, {algorithm}",
            make=lambda ours=ours, algorithm=algorithm: ours(algorithm=algorithm),
            inputs=normal((2, 3, 4, 5)),
            namesake=lambda theirs=theirs: Global(theirs),
        )
        for ours, theirs in (
            (GlobalAvgPool2d, nn.AdaptiveAvgPool2d),
            (GlobalMaxPool2d, nn.AdaptiveMaxPool2d),
        )
        for algorithm in ("loop", "vectorised")
    ],
]

# ---- sequences -------------------------------------------------------------------------------------------


def sequence(ours, theirs, shape, *arguments, positive=False, **options):
    text = ", ".join([*map(str, arguments), *(f"{name}={value}" for name, value in options.items())])

    def inputs(g):
        x = torch.randn(shape, generator=g)
        return (x.abs() + 0.1 if positive else x,)

    return Case(
        name=f"{ours.__name__}({text}) of {shape}",
        make=lambda: ours(*arguments, **options),
        inputs=inputs,
        namesake=lambda: theirs(*arguments, **options),
    )


CASES += [
    sequence(MaxPool1d, nn.MaxPool1d, (2, 3, 7), 2),
    sequence(MaxPool1d, nn.MaxPool1d, (3, 9), (3,), 2, padding=1, dilation=2, ceil_mode=True),
    sequence(AvgPool1d, nn.AvgPool1d, (2, 3, 7), 3, 2, padding=1, count_include_pad=False),
    sequence(AvgPool1d, nn.AvgPool1d, (2, 8), 3, 2, ceil_mode=True),
    sequence(LPPool1d, nn.LPPool1d, (2, 3, 7), 2, 3, 2, ceil_mode=True, positive=True),
    sequence(AdaptiveAvgPool1d, nn.AdaptiveAvgPool1d, (2, 3, 7), 3),
    sequence(AdaptiveMaxPool1d, nn.AdaptiveMaxPool1d, (3, 7), 5),
]
