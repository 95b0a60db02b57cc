"""The convolutions beside torch.nn's, by every algorithm."""

from ds_cnn import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from ds_core.verify import Case
from ds_core.verify.inputs import normal
from torch import nn


def conv2d(name, shape, *arguments, algorithms=("loop", "im2col", "shifted", "auto"), **options):
    """One case for each algorithm."""
    return [
        Case(
            name=f"Conv2d, {name}, {algorithm}",
            make=lambda algorithm=algorithm: Conv2d(*arguments, **options, algorithm=algorithm),
            inputs=normal(shape),
            namesake=lambda: nn.Conv2d(*arguments, **options),
        )
        for algorithm in algorithms
    ]


def in_blocks(algorithm, channels, size, kernel):
    """Two images, each of which alone fills a block."""
    return Case(
        name=f"Conv2d, a block for each image, {algorithm}",
        make=lambda: Conv2d(channels, 1, kernel, algorithm=algorithm),
        inputs=normal((2, channels, size, size)),
        namesake=lambda: nn.Conv2d(channels, 1, kernel),
        no_differences="smaller cases have them",
    )


def transposed(name, shape, *arguments, algorithm="auto", **options):
    return Case(
        name=f"ConvTranspose2d, {name}",
        make=lambda: ConvTranspose2d(*arguments, **options, algorithm=algorithm),
        inputs=normal(shape),
        namesake=lambda: nn.ConvTranspose2d(*arguments, **options),
    )


def transposed1d(name, shape, *arguments, algorithm="auto", **options):
    return Case(
        name=f"ConvTranspose1d, {name}",
        make=lambda: ConvTranspose1d(*arguments, **options, algorithm=algorithm),
        inputs=normal(shape),
        namesake=lambda: nn.ConvTranspose1d(*arguments, **options),
    )


def conv1d(name, shape, *arguments, algorithm="auto", **options):
    return Case(
        name=f"Conv1d, {name}",
        make=lambda: Conv1d(*arguments, **options, algorithm=algorithm),
        inputs=normal(shape),
        namesake=lambda: nn.Conv1d(*arguments, **options),
    )


WITH_WINOGRAD = ("loop", "im2col", "strips", "shifted", "winograd", "winograd3", "auto")

CASES = [
    *conv2d("3x3", (2, 3, 6, 5), 3, 4, 3, algorithms=WITH_WINOGRAD),
    *conv2d(
        "3x3, same size, no bias", (2, 2, 5, 9), 2, 3, 3, padding="same", bias=False, algorithms=WITH_WINOGRAD
    ),
    *conv2d("more padding than kernel", (1, 2, 3, 2), 2, 2, 3, padding=(3, 4), algorithms=WITH_WINOGRAD),
    *conv2d(
        "stride, padding, dilation",
        (2, 2, 9, 8),
        2,
        3,
        (3, 2),
        stride=(2, 3),
        padding=(2, 1),
        dilation=(2, 1),
    ),
    *conv2d("a stride that leaves pixels over", (1, 2, 8, 8), 2, 2, 3, stride=3, padding=1),
    *conv2d("1x1", (2, 3, 4, 4), 3, 5, 1),
    *conv2d("groups", (2, 4, 5, 5), 4, 6, 3, padding=1, groups=2),
    *conv2d("depthwise", (2, 3, 5, 6), 3, 3, 3, padding=1, groups=3),
    *conv2d("depthwise, two kernels a channel, stride 2", (2, 2, 6, 6), 2, 4, 3, stride=2, groups=2),
    *conv2d("unbatched, one pixel", (2, 1, 1), 2, 3, 1),
    *conv2d("empty batch", (0, 2, 4, 4), 2, 3, 3),
    *conv2d("reflect", (2, 2, 5, 4), 2, 3, 3, padding=(2, 1), padding_mode="reflect", algorithms=("auto",)),
    *conv2d("replicate", (2, 2, 5, 4), 2, 3, 3, padding=2, padding_mode="replicate", algorithms=("auto",)),
    *conv2d(
        "circular, even kernel",
        (2, 2, 5, 4),
        2,
        3,
        2,
        padding="same",
        padding_mode="circular",
        algorithms=("auto",),
    ),
    *conv2d(
        "4x4, stride 2",
        (2, 3, 7, 6),
        *(3, 4, 4),
        stride=2,
        padding=1,
        algorithms=("loop", "im2col", "strips", "cells", "winograd", "winograd3", "winograd7"),
    ),
    *conv2d(
        "2x2, no padding", (2, 3, 4, 5), 3, 4, 2, algorithms=("strips", "winograd", "winograd3", "winograd7")
    ),
    *conv2d(
        "twice the stride, each way its own",
        (2, 3, 8, 9),
        *(3, 2, (6, 4)),
        stride=(3, 2),
        padding=(1, 2),
        algorithms=("strips", "winograd", "winograd3", "winograd7"),
    ),
    *conv2d("7x7, stride 2", (2, 3, 9, 8), *(3, 4, 7), stride=2, padding=3, algorithms=("strips", "auto")),
    *conv2d("columns left out", (2, 2, 8, 9), *(2, 3, (3, 2)), stride=(1, 3), algorithms=("strips", "auto")),
    *conv2d(
        "whole cells, each way its own",
        (2, 16, 9, 8),
        *(16, 3, (6, 2)),
        stride=(3, 2),
        padding=(1, 2),
        algorithms=("cells", "auto"),
    ),
    *conv2d(
        "one position",
        (2, 3, 5, 4),
        3,
        2,
        4,
        stride=2,
        algorithms=("im2col", "strips", "cells", "winograd", "winograd3", "winograd7"),
    ),
    in_blocks("im2col", 96, 20, 5),
    in_blocks("strips", 96, 70, 3),
    in_blocks("cells", 96, 20, 5),
    in_blocks("shifted", 512, 35, 2),
    in_blocks("winograd", 64, 70, 3),
    in_blocks("winograd3", 64, 70, 3),
    in_blocks("winograd7", 64, 70, 2),
    Case(
        name="Conv2d, many kernels, winograd",
        make=lambda: Conv2d(260, 270, 3, padding=1, algorithm="winograd"),
        inputs=normal((1, 260, 5, 4)),
        namesake=lambda: nn.Conv2d(260, 270, 3, padding=1),
        no_differences="smaller cases have them",
    ),
    Case(
        name="Conv2d, many kernels of twice the stride, winograd3",
        make=lambda: Conv2d(200, 260, 4, stride=2, padding=1, algorithm="winograd3"),
        inputs=normal((1, 200, 6, 4)),
        namesake=lambda: nn.Conv2d(200, 260, 4, stride=2, padding=1),
        no_differences="smaller cases have them",
    ),
    conv1d("stride and dilation", (2, 3, 11), 3, 4, 3, stride=2, padding=1, dilation=2),
    conv1d("groups, loop", (2, 4, 7), 4, 4, 2, groups=2, algorithm="loop"),
    conv1d("unbatched, same, shifted", (3, 7), 3, 4, 4, padding="same", algorithm="shifted"),
    conv1d("circular", (2, 3, 6), 3, 4, 3, padding=2, padding_mode="circular"),
    transposed1d("", (2, 3, 5), 3, 4, 3),
    transposed1d("no bias, unbatched", (3, 4), 3, 2, (2,), 2, bias=False),
    transposed1d(
        "all options",
        (2, 4, 5),
        *(4, 6, 3),
        stride=3,
        padding=2,
        output_padding=1,
        groups=2,
        dilation=2,
    ),
    transposed1d("loop", (2, 2, 4), 2, 3, 3, 2, 1, algorithm="loop"),
    transposed1d("empty batch", (0, 2, 4), 2, 3, 3),
    transposed1d("one step", (1, 2, 1), 2, 1, 1),
    transposed("stride 2", (2, 3, 4, 3), 3, 2, 3, stride=2, padding=1, output_padding=1),
    transposed("3x3, winograd", (2, 3, 5, 6), 3, 2, 3, padding=1, algorithm="winograd"),
    transposed("4x4, stride 2, winograd", (2, 3, 5, 6), 3, 2, 4, stride=2, padding=1, algorithm="winograd"),
    transposed("4x4, stride 2, winograd3", (2, 3, 5, 6), 3, 2, 4, stride=2, padding=1, algorithm="winograd3"),
    transposed("4x4, stride 2, winograd7", (2, 3, 5, 6), 3, 2, 4, stride=2, padding=1, algorithm="winograd7"),
    transposed("3x3, strips", (2, 3, 5, 6), 3, 2, 3, padding=1, algorithm="strips"),
    transposed("4x4, stride 2, strips", (2, 3, 5, 6), 3, 2, 4, stride=2, padding=1, algorithm="strips"),
    transposed("4x4, stride 2, cells", (2, 3, 5, 6), 3, 2, 4, stride=2, padding=1, algorithm="cells"),
    transposed("a kernel as large as the image", (2, 3, 1, 1), 3, 2, (4, 3), padding=(0, 1)),
    transposed("loop, groups", (2, 4, 3, 3), 4, 6, 2, stride=2, groups=2, algorithm="loop"),
    transposed(
        "shifted, no bias", (2, 2, 3, 4), 2, 3, (2, 3), stride=(3, 2), bias=False, algorithm="shifted"
    ),
    *(
        transposed(
            f"1x1, a row and a column more, {algorithm}",
            *((2, 3, 4, 5), 3, 2, 1),
            output_padding=1,
            dilation=2,
            algorithm=algorithm,
        )
        for algorithm in ("im2col", "shifted", "auto")
    ),
    transposed("output padding by dilation", (1, 2, 3, 3), 2, 2, 2, padding=1, output_padding=1, dilation=2),
    transposed("unbatched", (2, 3, 3), 2, 3, 2),
    transposed("empty batch", (0, 2, 3, 3), 2, 3, 2),
]
