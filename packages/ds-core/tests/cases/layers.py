"""The layers beside their torch.nn namesakes: every option, and the shapes that are easily forgotten."""

from __future__ import annotations

import inspect
from typing import Any

import ds_core
import torch
from ds_core.kernels import dispatch
from ds_core.layers.neuron import Neuron
from ds_core.verify import Case
from ds_core.verify.inputs import Inputs, normal
from torch import Tensor, nn


def channels_last(*shape: int) -> Inputs:
    """Draws images (n, C, H, W) whose channels lie side by side in memory."""
    return lambda g: (torch.randn(shape, generator=g).contiguous(memory_format=torch.channels_last),)


def swapped(*shape: int) -> Inputs:
    """Draws an input whose last two dimensions lie in memory the other way round."""
    return lambda g: (torch.randn(shape, generator=g).transpose(-1, -2),)


def integers(*shape: int, high: int, dtype: torch.dtype = torch.int64) -> Inputs:
    """Draws ids from 0 to high - 1."""
    return lambda g: (torch.randint(high, shape, generator=g, dtype=dtype),)


def randomized(module: ds_core.Module) -> ds_core.Module:
    """Moves every parameter and running average away from 0 and 1, where mistakes hide."""
    g = torch.Generator().manual_seed(1)
    for value in [*module.parameters(), *module.buffers()]:
        if value.is_floating_point():
            value.data.copy_(torch.rand(value.shape, generator=g) + 0.5)
    return module


def case(
    inputs: Inputs,
    name: str,
    *args: Any,
    shown: str = "",
    evaluate: bool = False,
    no_differences: str = "",
    **options: Any,
) -> Case:
    """Makes the case of one call, the same here and in torch.nn."""
    call = ", ".join([*map(str, args), *(f"{key}={value}" for key, value in options.items())])
    return Case(
        name=f"{name}({call}){'.eval()' if evaluate else ''}{', ' + shown if shown else ''}",
        make=lambda: randomized(getattr(ds_core, name)(*args, **options)).train(not evaluate),
        inputs=inputs,
        namesake=lambda: getattr(nn, name)(*args, **options),
        no_differences=no_differences,
    )


KINK = "the two points of a pair are one, where a distance has no slope"


def two(first: tuple[int, ...], second: tuple[int, ...]) -> Inputs:
    """Draws two inputs."""
    return lambda g: (torch.randn(first, generator=g), torch.randn(second, generator=g))


def alpha_dropped(x: Tensor, kept: Tensor, p: float) -> Tensor:
    """What AlphaDropout makes of numbers, written as torch does: a product with the mask, and a sum."""
    lowest = -ds_core.activations.selu.ALPHA * ds_core.activations.selu.SCALE
    a = 1 / ((1 - p) * (1 + p * lowest**2)) ** 0.5
    kept = kept.to(x.dtype)
    return a * (x * kept + lowest * (1 - kept)) - a * p * lowest


frozen_batch_norm, frozen_batch_norm_backward = dispatch(ds_core.functional.frozen_batch_norm)


class FixedStatistics(ds_core.Module):
    """Batch norm by statistics that are given: what eval mode does, with a backward."""

    def __init__(self) -> None:
        self.weight, self.bias = (ds_core.Parameter(torch.tensor([1.5, -0.5, 2.0])) for _ in range(2))
        self.register_buffer("mean", torch.tensor([0.5, 0.0, -1.0]))
        self.register_buffer("var", torch.tensor([0.5, 2.0, 1.0]))

    def forward(self, input: Tensor) -> Tensor:
        y, saved = frozen_batch_norm(input, self.mean, self.var, self.weight, self.bias, 0.1)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> Any:
        (saved,) = self.saved()
        wanted = self.wants("input", "weight", "bias")
        grad_x, grad_weight, grad_bias = frozen_batch_norm_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        return grad_x


# ---- affine maps -------------------------------------------------------------------------------------

CASES = [
    case(normal((4, 5)), "Linear", 5, 3),
    case(normal((2, 3, 4, 5)), "Linear", 5, 3, shown="four dimensions"),
    case(normal((5,)), "Linear", 5, 3, shown="unbatched"),
    case(normal((0, 5)), "Linear", 5, 3, shown="empty batch"),
    case(normal((4, 0, 5)), "Linear", 5, 3, shown="empty sequence"),
    case(swapped(2, 5, 4), "Linear", 5, 3, shown="swapped in memory"),
    case(normal((4, 5)), "Linear", 5, 3, bias=False),
    case(normal((4, 1)), "Linear", 1, 1),
    case(normal((1, 1)), "Linear", 1, 1, shown="one example"),
    case(normal((4, 3), (4, 5)), "Bilinear", 3, 5, 2),
    case(normal((2, 4, 3), (2, 4, 5)), "Bilinear", 3, 5, 2, shown="three dimensions"),
    case(normal((3,), (5,)), "Bilinear", 3, 5, 2, shown="unbatched"),
    case(normal((0, 3), (0, 5)), "Bilinear", 3, 5, 2, shown="empty batch"),
    case(normal((4, 3), (4, 5)), "Bilinear", 3, 5, 2, bias=False),
    case(normal((4, 1), (4, 1)), "Bilinear", 1, 1, 1),
    Case(
        name="Neuron(5)",
        make=lambda: Neuron(5),
        inputs=normal((4, 5)),
        no_namesake="torch.nn has no single neuron",
        reference=lambda m, x: (x * m.weight).sum(-1) + m.bias,
    ),
    Case(
        name="Neuron(5, ReLU()), three dimensions",
        make=lambda: Neuron(5, ds_core.ReLU()),
        inputs=normal((2, 4, 5)),
        no_namesake="torch.nn has no single neuron",
        reference=lambda m, x: ((x * m.weight).sum(-1) + m.bias).clamp(min=0),
    ),
    Case(
        name="Neuron(1), unbatched",
        make=lambda: Neuron(1),
        inputs=normal((1,)),
        no_namesake="torch.nn has no single neuron",
        reference=lambda m, x: (x * m.weight).sum(-1) + m.bias,
    ),
]

# ---- looking up, dropping, reshaping -----------------------------------------------------------------

CASES += [
    case(integers(4, 6, high=7), "Embedding", 7, 3),
    case(integers(4, 6, high=7, dtype=torch.int32), "Embedding", 7, 3, shown="int32"),
    case(integers(high=7), "Embedding", 7, 3, shown="a single id"),
    case(integers(0, 6, high=7), "Embedding", 7, 3, shown="empty batch"),
    case(integers(2, 3, 4, high=1), "Embedding", 1, 1, shown="one id, three dimensions"),
    *(
        case(
            integers(4, 6, high=3),
            "Embedding",
            *(3, 5, padding_idx),
            no_differences="the padding row's gradient is withheld",
        )
        for padding_idx in (0, -1)
    ),
    case(normal((4, 5)), "Dropout", p=0.0),
    case(normal((4, 5)), "Dropout", p=1.0),
    case(normal((4, 5)), "Dropout", p=1.0, inplace=True),
    case(normal((4, 5)), "Dropout", p=0.4, evaluate=True),
    case(normal((0, 5)), "Dropout", p=1.0, shown="empty batch"),
    *(
        Case(
            name=f"Dropout({p}, inplace={inplace})",
            make=lambda p=p, inplace=inplace: ds_core.Dropout(p, inplace),
            inputs=normal((4, 3, 5)),
            no_namesake="torch.nn draws other random numbers",
            reference=lambda m, x: x * (torch.rand(x.shape, device=x.device) >= m.p) / (1 - m.p),
        )
        for p in (0.1, 0.5)
        for inplace in (False, True)
    ),
    *(case(normal((4, 5)), name, p=0.0) for name in ("AlphaDropout", "FeatureAlphaDropout")),
    *(case(normal((4, 5)), name, p=1.0) for name in ("AlphaDropout", "FeatureAlphaDropout")),
    *(
        Case(
            name=f"{name}({p}, inplace={inplace})",
            make=lambda name=name, p=p, inplace=inplace: getattr(ds_core, name)(p, inplace),
            inputs=normal((4, 3, 5)),
            no_namesake="torch.nn draws other random numbers",
            reference=lambda m, x, size=size: alpha_dropped(x, torch.rand(size, device=x.device) >= m.p, m.p),
        )
        for name, size in (("AlphaDropout", (4, 3, 5)), ("FeatureAlphaDropout", (4, 3, 1)))
        for p, inplace in ((0.1, False), (0.5, True))
    ),
    *(
        case(two(first, second), "CosineSimilarity", **options, shown=f"{first}, {second}")
        for first, second, options in (
            ((4, 5), (4, 5), {}),
            ((4, 5, 3), (4, 5, 3), {"dim": -1, "eps": 0.1}),
            ((3, 1, 5), (1, 4, 5), {"dim": 2}),
            ((4, 5), (5,), {"dim": 1}),
            ((5,), (5,), {"dim": 0}),
            ((0, 5), (0, 5), {}),
        )
    ),
    case(
        lambda g: (torch.zeros(2, 3), torch.randn(2, 3, generator=g)), "CosineSimilarity", no_differences=KINK
    ),
    *(
        case(two(first, second), "PairwiseDistance", **options, shown=f"{first}, {second}")
        for first, second, options in (
            ((4, 5), (4, 5), {}),
            ((4, 5), (5,), {"p": 1.0, "keepdim": True}),
            ((3, 1, 5), (4, 5), {"p": 3.5, "eps": 0.1}),
            ((4, 5), (4, 5), {"p": float("inf")}),
            ((4, 5), (4, 5), {"p": 0.5}),
            ((5,), (5,), {}),
            ((0, 5), (0, 5), {}),
        )
    ),
    *(
        case(
            lambda g: (torch.ones(2, 3), torch.ones(2, 3)),
            "PairwiseDistance",
            p=p,
            eps=0.0,
            no_differences=KINK,
        )
        for p in (1.0, 2.0, float("inf"))
    ),
    *(
        Case(
            name=f"DropPath({drop_prob}, scale_by_keep={scaled}, dim={dim})",
            make=lambda dim=dim, drop_prob=drop_prob, scaled=scaled: ds_core.DropPath(
                drop_prob, scaled, dim=dim
            ),
            inputs=normal((7, 3, 5)),
            no_namesake="torch.nn has none",
            reference=lambda m, x, shape=shape: (
                x * (torch.rand(shape, device=x.device) >= m.drop_prob) / (1 - m.drop_prob * m.scale_by_keep)
            ),
        )
        for drop_prob, scaled, dim, shape in (
            (0.3, True, 0, (7, 1, 1)),
            (0.5, False, -2, (1, 3, 1)),
            (0.0, True, 0, (7, 1, 1)),
        )
    ),
    case(normal((2, 3, 4)), "Flatten"),
    case(normal((2, 3, 4, 5)), "Flatten", 2, 3),
    case(normal((2, 3, 4)), "Flatten", 0, -2),
    case(normal(()), "Flatten", 0, shown="a single number"),
    case(normal((0, 3, 4)), "Flatten", shown="empty batch"),
    case(swapped(2, 3, 4), "Flatten", shown="swapped in memory"),
    case(normal((2, 6)), "Unflatten", 1, (2, 3)),
    case(normal((2, 6, 5)), "Unflatten", -2, (3, -1)),
    case(normal((0, 6)), "Unflatten", 1, (1, 6), shown="empty batch"),
    case(swapped(2, 3, 6), "Unflatten", 1, (2, 3), shown="swapped in memory"),
    case(normal((2, 3)), "Identity"),
    case(normal((2, 3)), "Identity", 54, unused=True),
]

# ---- normalisation -----------------------------------------------------------------------------------

# Where a mean runs over one or two numbers, the gradient is what a cancellation leaves; a large eps leaves
# enough of it to compare in float32. test_layers.py has these shapes with the usual eps.

CASES += [
    case(normal((4, 5)), "LayerNorm", 5),
    case(normal((2, 3, 4, 5)), "LayerNorm", (4, 5)),
    case(normal((4, 5)), "LayerNorm", (4, 5), shown="unbatched"),
    case(normal((5,)), "LayerNorm", 5, shown="unbatched"),
    case(normal((0, 5)), "LayerNorm", 5, shown="empty batch"),
    case(swapped(2, 5, 4), "LayerNorm", 5, shown="swapped in memory"),
    case(channels_last(2, 3, 4, 5), "LayerNorm", (3, 4, 5), shown="channels last in memory"),
    case(channels_last(2, 3, 4, 5), "LayerNorm", (3, 4, 5), elementwise_affine=False, shown="channels last"),
    case(normal((4, 5)), "LayerNorm", 5, eps=0.1),
    case(normal((4, 5)), "LayerNorm", 5, bias=False),
    case(normal((4, 5)), "LayerNorm", 5, elementwise_affine=False),
    case(normal((2, 3, 5)), "LayerNorm", 5, evaluate=True),
    case(normal((4, 64), shift=30.0), "LayerNorm", 64, shown="mean 30"),
    case(normal((4, 5)), "RMSNorm", 5),
    case(normal((2, 3, 4, 5)), "RMSNorm", (4, 5)),
    case(normal((5,)), "RMSNorm", 5, shown="unbatched"),
    case(normal((0, 5)), "RMSNorm", 5, shown="empty batch"),
    case(normal((4, 1)), "RMSNorm", 1, eps=0.5),
    case(normal((4, 5)), "RMSNorm", 5, eps=0.1),
    case(normal((4, 5), scale=1e-3), "RMSNorm", 5, shown="close to zero"),
    case(normal((4, 5)), "RMSNorm", 5, elementwise_affine=False),
    case(normal((2, 3, 5)), "RMSNorm", 5, evaluate=True),
    case(normal((3, 6)), "GroupNorm", 2, 6),
    case(normal((3, 6, 4)), "GroupNorm", 2, 6, shown="three dimensions"),
    case(normal((3, 6, 4, 2)), "GroupNorm", 1, 6),
    case(normal((3, 6, 4, 2)), "GroupNorm", 6, 6),
    case(normal((1, 6, 1)), "GroupNorm", 3, 6, eps=0.5, shown="one example"),
    case(normal((0, 6, 4)), "GroupNorm", 2, 6, shown="empty batch"),
    case(swapped(3, 4, 6, 2), "GroupNorm", 2, 4, shown="swapped in memory"),
    case(channels_last(2, 6, 4, 5), "GroupNorm", 2, 6, shown="channels last"),
    case(channels_last(2, 6, 4, 5), "GroupNorm", 6, 6, shown="channels last"),
    case(channels_last(2, 6, 4, 5), "GroupNorm", 1, 6, shown="channels last"),
    case(channels_last(2, 6, 4, 5), "GroupNorm", 3, 6, affine=False, shown="channels last"),
    case(channels_last(6, 64, 40, 40), "GroupNorm", 4, 64, shown="channels last, several blocks"),
    case(normal((3, 6, 4)), "GroupNorm", 2, 6, eps=0.1),
    case(normal((3, 6, 4)), "GroupNorm", 2, 6, affine=False),
    case(normal((3, 6, 4)), "GroupNorm", 2, 6, evaluate=True),
]

for shape, shown in {
    (6, 3): "",
    (4, 3, 5): "three dimensions",
    (0, 3): "empty batch",
    (4, 3, 0): "empty sequence",
}.items():
    CASES.append(case(normal(shape), "BatchNorm1d", 3, shown=shown))
    CASES.append(case(normal(shape), "BatchNorm1d", 3, shown=shown, evaluate=True))
CASES += [
    case(swapped(4, 5, 3), "BatchNorm1d", 3, shown="swapped in memory"),
    case(normal((1, 3, 2)), "BatchNorm1d", 3, eps=0.5, shown="one example"),
    case(normal((6, 1)), "BatchNorm1d", 1, eps=0.5),
    case(normal((6, 3)), "BatchNorm1d", 3, eps=0.1),
    case(normal((6, 3)), "BatchNorm1d", 3, momentum=None),
    case(normal((6, 3)), "BatchNorm1d", 3, momentum=1.0),
    case(normal((6, 3), shift=30.0), "BatchNorm1d", 3, shown="mean 30"),
    case(normal((4, 2, 70_000)), "BatchNorm1d", 2, shown="several blocks of examples"),
]
for options in ({"affine": False}, {"track_running_stats": False}):
    CASES.append(case(normal((4, 3, 5)), "BatchNorm1d", 3, **options))
    CASES.append(case(normal((4, 3, 5)), "BatchNorm1d", 3, **options, evaluate=True))

if "bias" in inspect.signature(nn.BatchNorm1d).parameters:  # newer versions of torch have it
    CASES += [
        case(normal((6, 3)), "BatchNorm1d", 3, bias=False),
        case(normal((4, 3, 5)), "BatchNorm1d", 3, bias=False, evaluate=True),
        case(normal((3, 6, 4)), "GroupNorm", 2, 6, bias=False),
    ]


def normalized_on_paper(m: ds_core.Module, x: Tensor) -> Tensor:
    """Normalises each channel by the definition, for the options that older versions of torch lack."""
    mean, var = x.mean(0), x.var(0, correction=0)
    return (x - mean) / (var + m.eps).sqrt() * m.weight


CASES.append(
    Case(
        name="BatchNorm1d(3, bias=False), by the definition",
        make=lambda: randomized(ds_core.BatchNorm1d(3, bias=False)),
        inputs=normal((6, 3)),
        no_namesake="older versions of torch have no bias=False",
        reference=normalized_on_paper,
    )
)

CASES += [
    Case(
        name=f"FixedStatistics(), {len(shape)} dimensions",
        make=FixedStatistics,
        inputs=normal(shape),
        no_namesake="torch.nn has it in eval mode only",
        reference=lambda m, x: torch.batch_norm(x, m.weight, m.bias, m.mean, m.var, False, 0.0, 0.1, False),
    )
    for shape in ((4, 3), (2, 3, 5), (2, 3, 4, 2))
]
