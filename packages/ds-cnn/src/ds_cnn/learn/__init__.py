"""The exercises of ds-cnn: convolution by loops and by products, pooling, padding, a residual block."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import Sequential
from ds_core.learn import Chapter, Exercise, Layer, Pair, Results
from ds_core.verify.inputs import Inputs, normal

from ds_cnn.functional.geometry import Geometry
from ds_cnn.functional.regions import Windows

PLAIN = Geometry((3, 2))
STRIDED = Geometry((3, 3), (2, 1), ((1, 1), (1, 0)), (1, 1), 2)
POOLS = Windows((2, 2), (2, 1), (1, 0))


def _images(geometry: Geometry, *, loop: bool = False) -> Inputs:
    """Draws images, kernels and biases for a geometry; small ones for loops."""
    size = (1, 2, 4, 4) if loop else (2, 4, 5, 5)
    channels = size[1] // geometry.groups
    tall, wide = geometry.kernel
    drawn = normal(size, (2, channels, tall, wide), (2,))
    return lambda g: (*drawn(g), geometry)


def _bare(geometry: Geometry, *, loop: bool = False) -> Inputs:
    return lambda g: (*_images(geometry, loop=loop)(g)[:2], None, geometry)


def _places(positions: Any, g: torch.Generator) -> dict[str, Any]:
    ways = [(7, 3), (7, 3, 2), (8, 3, 1, 1), (8, 3, 2, 1), (9, 3, 2, 0, 2)]
    ways += [(8, 3, 3, 1, 1, True), (6, 2, 3, 1, 1, True), (5, 2, 4, 0, 1, True)]
    return {f"positions{way}": positions(*way) for way in ways}


def _rows(windows: Any, g: torch.Generator) -> dict[str, Any]:
    x = torch.randn(2, 4, 5, 5, generator=g, dtype=torch.float64)
    return {"a kernel (3, 2)": windows(x, PLAIN), "two groups, stride (2, 1), padding": windows(x, STRIDED)}


def _collected(windows_backward: Any, g: torch.Generator) -> dict[str, Any]:
    found = {}
    for name, geometry in (("a kernel (3, 2)", PLAIN), ("two groups, stride (2, 1), padding", STRIDED)):
        tall, wide = geometry.output_size((5, 5))
        seen = 4 // geometry.groups * geometry.kernel[0] * geometry.kernel[1]
        grad = torch.randn(geometry.groups, 2 * tall * wide, seen, generator=g, dtype=torch.float64)
        found[name] = windows_backward(grad, 2, (5, 5), geometry)
    return found


def _sources(sources: Any, g: torch.Generator) -> dict[str, Any]:
    like = torch.zeros(())
    return {
        f"{mode}, 5 pixels, {before} before, {after} after": sources(5, before, after, mode, like)
        for mode in ("reflect", "replicate", "circular")
        for before, after in ((2, 3), (0, 4))
    }


CHAPTERS = [
    Chapter(
        20,
        "Convolution",
        [
            Exercise(
                "positions",
                "how often a kernel fits",
                "ds_cnn.functional.geometry:positions",
                Results(_places),
                hint="How much room is left once the kernel is at its first place? Each stride of it is "
                "one more.",
                theory="convolution.md#The definition",
                formula="room = size + 2 padding - dilation (kernel - 1) - 1; room // stride + 1. With "
                "ceil_mode one "
                "more if a rest is left, unless it would begin beyond the image.",
            ),
            Exercise(
                "convolution-loop",
                "the definition, by loops",
                "ds_cnn.functional.convolution:convolution_loop",
                Pair(_images(PLAIN, loop=True), also=[_bare(STRIDED, loop=True)], entries=6),
                hint="For every image, kernel and place: multiply the kernel with what it sees, and add "
                "up. window "
                "says what\nkernel o sees at (i, j).",
                theory="convolution.md#The definition",
                formula="y[n, o, i, j] = sum of weight[o] * padded[n, *window(o, i, j, weight, geometry)], "
                "then + bias "
                "as (O, 1, 1).",
            ),
            Exercise(
                "convolution-loop-backward",
                "three gradients, by loops",
                "ds_cnn.functional.convolution:convolution_loop_backward",
                Pair(_images(PLAIN, loop=True), also=[_bare(STRIDED, loop=True)], entries=6),
                hint="Each number of y came from one product: hand its gradient to both factors, each "
                "times the other.",
                theory="convolution.md#Its two gradients, from the definition",
            ),
            Exercise(
                "im2col",
                "what each place sees, as a row",
                "ds_cnn.functional.geometry:windows",
                Results(_rows),
                hint="`see` gives (N, C, H', W', kernel). Make groups of the channels, then bring each "
                "place's numbers "
                "together.",
                theory="convolution.md#im2col: one large matrix product",
                formula="see(pad_zeros(x)) with channels as (groups, C / groups); order (groups, N, H', "
                "W', C / groups, "
                "kernel); flatten to (groups, N H' W', C / groups * kernel).",
            ),
            Exercise(
                "col2im",
                "each pixel collects its copies",
                "ds_cnn.functional.geometry:windows_backward",
                Results(_collected),
                hint="Let `see` look at the numbers of the pixels themselves: then you know where each "
                "copy came from.",
                theory="convolution.md#im2col: one large matrix product",
                formula="places = see(arange of the padded image), flat; by channel (N, C, H' W' kernel); "
                "index_add "
                "into zeros (N, C, padded pixels); cut the padding off.",
            ),
            Exercise(
                "convolution-backward",
                "the same as two matrix products",
                "ds_cnn.functional.convolution:convolution_backward",
                Pair(_images(PLAIN), also=[_bare(STRIDED)]),
                hint="Y = X W^T for each group. What was dense's backward? windows_backward takes rows "
                "back to pixels.",
                theory="convolution.md#im2col: one large matrix product",
            ),
        ],
    ),
    Chapter(
        21,
        "Pooling, padding, residual blocks",
        [
            Exercise(
                "max-pool-backward",
                "the winner takes it all",
                "ds_cnn.functional.max_pool:max_pool_backward",
                Pair(lambda g: (torch.randn(2, 3, 5, 4, generator=g), POOLS)),
                hint="where says which pixel was the largest. One pixel may win in several regions.",
                theory="pooling.md#Pooling",
            ),
            Exercise(
                "avg-pool-loop-backward",
                "equal shares",
                "ds_cnn.functional.avg_pool:avg_pool_loop_backward",
                Pair(
                    lambda g: (torch.randn(1, 2, 5, 4, generator=g), POOLS),
                    also=[lambda g: (torch.randn(1, 1, 5, 4, generator=g), POOLS, False)],
                    entries=8,
                ),
                hint="each(grad_x, regions) walks over the regions. What was each divided by?",
                theory="pooling.md#Pooling",
                formula="grad_x[c][region] += grads[c, i, j] / count, count being what the forward divided "
                "by.",
            ),
            Exercise(
                "global-avg-pool-backward",
                "one number for a whole channel",
                "ds_cnn.functional.global_avg_pool:global_avg_pool_backward",
                Pair(normal((2, 3, 4, 5))),
                hint="Every pixel of a channel has the same part in its mean.",
                theory="pooling.md#Pooling",
            ),
            Exercise(
                "padding-sources",
                "mirror, edge and other side",
                "ds_cnn.functional.pad:sources",
                Results(_sources),
                hint="Positions run from -before to size + after - 1. Where does each mode lead one that "
                "is outside?",
                theory="pooling.md#Pads",
                formula="replicate: clamp to 0 ... size - 1; circular: the remainder by size; reflect: "
                "|p|, and where "
                "that is beyond the end 2 (size - 1) - |p|.",
            ),
            Exercise(
                "pad-backward",
                "copies hand their gradients back",
                "ds_cnn.functional.pad:pad_backward",
                Pair(
                    lambda g: (torch.randn(1, 2, 4, 3, generator=g), (2, 1, 1, 3), "reflect"),
                    also=[lambda g: (torch.randn(1, 2, 4, 3, generator=g), (2, 1, -1, 3), "zeros")],
                ),
                hint="`sources` says which row, and which column, each new one is a copy of.",
                theory="pooling.md#Pads",
            ),
            Exercise(
                "pixel-shuffle",
                "pixels from channels",
                "ds_cnn.functional.pixel_shuffle:pixel_shuffle",
                Results(
                    lambda shuffle, g: {
                        f"{size}, factor {r}": shuffle(torch.randn(size, generator=g), r)[0]
                        for size, r in (((2, 8, 3, 2), 2), ((9, 2, 2), 3))
                    }
                ),
                hint="Cut the channels into (C, r, r), bring one r behind the rows and one behind the "
                "columns.",
                theory="pooling.md#Pixels from channels",
                formula="y[c, i r + u, j r + v] = x[c r^2 + u r + v, i, j]; the result and the factor are "
                "returned.",
            ),
            Exercise(
                "residual-block-backward",
                "ResNet's block, from the bottom up",
                "ds_cnn.models.resnet:BasicBlock.backward",
                Layer(
                    lambda kind: Sequential(kind(2, 2), kind(2, 3, 2)), normal((2, 2, 3, 3)), entries=4
                ),  # without a downsample and with one
                hint="Read the forward from its last line to its first. The gradient comes back on two ways.",
                theory="residual-connections.md#The blocks",
                formula="g through the last relu goes both to the branch (bn2, conv2, relu, bn1, conv1) "
                "and to the "
                "shortcut (downsample, where there is one); both are added.",
            ),
        ],
    ),
]
