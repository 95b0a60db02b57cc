"""Resampling, pads and dropout of channels beside torch.nn's."""

import torch
from ds_cnn import (
    CircularPad1d,
    CircularPad2d,
    ConstantPad1d,
    ConstantPad2d,
    Dropout1d,
    Dropout2d,
    PixelShuffle,
    PixelUnshuffle,
    ReflectionPad1d,
    ReflectionPad2d,
    ReplicationPad1d,
    ReplicationPad2d,
    Upsample,
    ZeroPad1d,
    ZeroPad2d,
)
from ds_core.verify import Case
from ds_core.verify.inputs import normal
from torch import nn


def case(ours, theirs, shape, *arguments, **options):
    text = ", ".join([*map(str, arguments), *(f"{name}={value}" for name, value in options.items())])
    return Case(
        name=f"{ours.__name__}({text}) of {shape}",
        make=lambda: ours(*arguments, **options),
        inputs=normal(shape),
        namesake=lambda: theirs(*arguments, **options),
    )


def channels_last(shape, **options):
    return Case(
        name=f"Upsample({options}) of {shape}, channels last",
        make=lambda: Upsample(**options),
        inputs=lambda g: (torch.randn(shape, generator=g).contiguous(memory_format=torch.channels_last),),
        namesake=lambda: nn.Upsample(**options),
    )


def antialiased(shape, **options):
    return Case(
        name=f"Upsample({options}, antialias=True) of {shape}",
        make=lambda: Upsample(**options, antialias=True),
        inputs=normal(shape),
        namesake=nn.Identity,  # torch.nn.Upsample itself has no such option
        reference=lambda _, x: nn.functional.interpolate(x, **options, antialias=True),
    )


CASES = [
    case(Upsample, nn.Upsample, (2, 3, 3, 4), scale_factor=2),
    case(Upsample, nn.Upsample, (1, 2, 3, 5), size=(7, 2)),
    channels_last((2, 3, 3, 4), scale_factor=2),
    channels_last((2, 3, 3, 4), size=(3, 12)),
    channels_last((2, 3, 3, 4), size=(5, 6)),
    case(Upsample, nn.Upsample, (2, 3, 3, 4), size=(9, 4)),
    case(Upsample, nn.Upsample, (2, 3, 3, 4), size=(3, 8)),
    case(Upsample, nn.Upsample, (2, 3, 3, 4), size=(3, 4)),
    case(Upsample, nn.Upsample, (2, 3, 3, 4), scale_factor=(2.0, 1.5), mode="bilinear"),
    case(Upsample, nn.Upsample, (2, 2, 3, 4), size=(5, 9), mode="bilinear", align_corners=True),
    case(Upsample, nn.Upsample, (2, 2, 6, 5), size=(3, 1), mode="bilinear", align_corners=False),
    case(Upsample, nn.Upsample, (0, 2, 3, 3), scale_factor=2),
    case(Upsample, nn.Upsample, (2, 3, 5), scale_factor=2),
    case(Upsample, nn.Upsample, (2, 3, 5), size=7, mode="linear"),
    case(Upsample, nn.Upsample, (1, 2, 5), scale_factor=1.5, mode="linear", align_corners=True),
    case(Upsample, nn.Upsample, (2, 1, 6), size=(3,), mode="linear", align_corners=False),
    case(Upsample, nn.Upsample, (0, 2, 4), scale_factor=(0.5,), mode="linear"),
    case(Upsample, nn.Upsample, (2, 2, 3, 4), size=(7, 5), mode="bicubic"),
    case(Upsample, nn.Upsample, (1, 2, 5, 1), scale_factor=(0.6, 3.0), mode="bicubic"),
    case(Upsample, nn.Upsample, (2, 1, 4, 3), size=(2, 6), mode="bicubic", align_corners=True),
    antialiased((2, 2, 9, 5), size=(4, 7), mode="bicubic"),
    antialiased((1, 2, 3, 8), scale_factor=0.4, mode="bicubic", align_corners=False),
    antialiased((2, 1, 8, 7), size=(3, 2), mode="bilinear"),
    case(PixelShuffle, nn.PixelShuffle, (2, 8, 3, 2), 2),
    case(PixelShuffle, nn.PixelShuffle, (9, 2, 2), 3),
    case(PixelUnshuffle, nn.PixelUnshuffle, (2, 2, 4, 6), 2),
    case(ZeroPad2d, nn.ZeroPad2d, (2, 2, 3, 4), (1, 2, 0, 3)),
    case(ZeroPad2d, nn.ZeroPad2d, (2, 2, 4, 4), (-1, 2, 1, -2)),
    case(ConstantPad2d, nn.ConstantPad2d, (2, 3, 4), 1, value=2.5),
    case(ReflectionPad2d, nn.ReflectionPad2d, (2, 2, 4, 5), (3, 2, 1, 3)),
    case(ReplicationPad2d, nn.ReplicationPad2d, (2, 3, 4), (5, 0, 2, 1)),
    case(CircularPad2d, nn.CircularPad2d, (2, 2, 3, 4), (4, 1, 0, 3)),
    case(ZeroPad1d, nn.ZeroPad1d, (2, 3, 4), (1, 2)),
    case(ZeroPad1d, nn.ZeroPad1d, (3, 4), (-1, 2)),
    case(ConstantPad1d, nn.ConstantPad1d, (2, 3, 4), 1, value=2.5),
    case(ReflectionPad1d, nn.ReflectionPad1d, (2, 3, 5), (3, 2)),
    case(ReplicationPad1d, nn.ReplicationPad1d, (3, 4), (5, 0)),
    case(CircularPad1d, nn.CircularPad1d, (2, 3, 4), (4, 1)),
    Case(
        name="Dropout1d(p=0.5)",
        make=lambda: Dropout1d(),
        inputs=normal((2, 5, 4)),
        no_namesake="torch draws dropout's numbers in another order",
    ),
    case(Dropout1d, nn.Dropout1d, (2, 5, 3), 0.0),
    case(Dropout1d, nn.Dropout1d, (5, 3), 1.0),
    Case(
        name="Dropout2d(p=0.5)",
        make=lambda: Dropout2d(),
        inputs=normal((2, 5, 2, 3)),
        no_namesake="torch draws dropout's numbers in another order",
    ),
    case(Dropout2d, nn.Dropout2d, (2, 5, 3), 0.0),
]
