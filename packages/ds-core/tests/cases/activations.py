"""The activations beside their torch.nn namesakes: all options, and shapes that are easily forgotten."""

import ds_core as ds
import torch
from ds_core.verify import Case
from torch import nn

SHAPES = [(4, 5), (), (1,), (0, 5), (2, 3, 4)]


def smooth(*shape):
    """Numbers around 0, a few of them large."""
    return lambda g: (torch.randn(shape, generator=g) * 3,)


def away_from(*kinks):
    """The same, but none closer than 0.1 to a kink, where finite differences see two slopes."""

    def inputs_of(*shape):
        def inputs(g):
            (x,) = smooth(*shape)(g)
            for kink in kinks:
                distance = x - kink
                x = torch.where(distance.abs() < 0.1, kink + torch.where(distance < 0, -0.1, 0.1), x)
            return (x,)

        return inputs

    return inputs_of


def transposed(*shape):
    """An input whose last two dimensions lie in memory the other way round."""
    return lambda g: (away_from(0)(*shape)(g)[0].transpose(-1, -2),)


class HardsigmoidInDouble(nn.Hardsigmoid):
    """nn.Hardsigmoid, whose slope, a sixth, is a float32 also in float64: there as it is defined."""

    def forward(self, input):
        if input.dtype == torch.float64:
            return nn.functional.relu6(input + 3) / 6
        return super().forward(input)


THEIRS = {"Hardsigmoid": HardsigmoidInDouble}


def cases(text, inputs_of=smooth, shapes=SHAPES[:1], shown=""):
    """Makes a case for each shape of the call that the name shows: ``GELU("tanh")``."""
    name, arguments = text[:-1].split("(", 1)
    args, options = eval(f"(lambda *a, **k: (a, k))({arguments})")
    return [
        Case(
            name=f"{text} on {shape}{shown}",
            make=lambda: getattr(ds, name)(*args, **options),
            inputs=inputs_of(*shape),
            namesake=lambda: THEIRS.get(name, getattr(nn, name))(*args, **options),
        )
        for shape in shapes
    ]


CASES = [
    *cases("ReLU()", away_from(0), SHAPES),
    *cases("ReLU6()", away_from(0, 6), SHAPES),
    *cases("LeakyReLU()", away_from(0), SHAPES),
    *cases("LeakyReLU(negative_slope=0.3)", away_from(0)),
    *cases("PReLU()", away_from(0), SHAPES),
    *cases("PReLU(num_parameters=5)", away_from(0), [(4, 5), (1, 5), (0, 5), (2, 5, 3), (2, 5, 2, 3)]),
    *cases("PReLU(1, init=0.7)", away_from(0)),
    *cases("ELU()", away_from(0), SHAPES),
    *cases("ELU(alpha=0.7)", away_from(0)),
    *cases("ELU(alpha=-0.7)", away_from(0)),
    *cases("SELU()", away_from(0), SHAPES),
    *cases("GELU()", smooth, SHAPES),
    *cases('GELU(approximate="tanh")', smooth, SHAPES),
    *cases("SiLU()", smooth, SHAPES),
    *cases("Mish()", smooth, SHAPES),
    *cases("Sigmoid()", smooth, SHAPES),
    *cases("LogSigmoid()", smooth, SHAPES),
    *cases("Tanh()", smooth, SHAPES),
    *cases("Hardswish()", away_from(-3, 3), SHAPES),
    *cases("Hardtanh()", away_from(-1, 1), SHAPES),
    *cases("Hardtanh(min_val=-2.5, max_val=0.5)", away_from(-2.5, 0.5)),
    *cases("Hardsigmoid()", away_from(-3, 3), SHAPES),
    *cases("CELU()", away_from(0), SHAPES),
    *cases("CELU(alpha=0.5)", away_from(0)),
    *cases("CELU(alpha=-4.0)", away_from(0)),
    *cases("Softsign()", away_from(0), SHAPES),
    *cases("Threshold(0.5, -2.0)", away_from(0.5), SHAPES),
    *cases("Threshold(threshold=-1, value=3)", away_from(-1)),
    *cases("Tanhshrink()", smooth, SHAPES),
    *cases("Softshrink()", away_from(-0.5, 0.5), SHAPES),
    *cases("Softshrink(lambd=2)", away_from(-2, 2)),
    *cases("Softshrink(0)", away_from(0)),
    *cases("Hardshrink()", away_from(-0.5, 0.5), SHAPES),
    *cases("Hardshrink(lambd=2)", away_from(-2, 2)),
    *cases("Hardshrink(-1)"),
    *cases("Softplus()", smooth, SHAPES),
    *cases("Softplus(beta=2.0, threshold=1.0)", away_from(0.5)),
    *cases("Softplus(beta=0.5, threshold=40)"),
    *cases("Softplus(2, -100)"),
    *cases("Softplus(threshold=-0.5)", away_from(-0.5)),
    *cases("Softmax(dim=0)", smooth, SHAPES[:4]),
    *cases("Softmax(dim=-1)", smooth, SHAPES),
    *cases("Softmax(dim=1)", smooth, [(2, 3, 4), (2, 1, 4)]),
    *cases("Softmin(dim=0)", smooth, SHAPES[:4]),
    *cases("Softmin(dim=-1)", smooth, SHAPES),
    *cases("Softmin(dim=1)", smooth, [(2, 3, 4), (2, 1, 4)]),
    *cases("LogSoftmax(dim=0)", smooth, SHAPES[:4]),
    *cases("LogSoftmax(dim=-1)", smooth, SHAPES),
    *cases("LogSoftmax(dim=1)", smooth, [(2, 3, 4), (2, 1, 4)]),
    *cases("GLU()", smooth, [(4, 6), (2,), (0, 6), (2, 3, 4)]),
    *cases("GLU(dim=0)", smooth, [(4, 3), (2,)]),
    *cases("GLU(dim=1)", smooth, [(2, 4, 3)]),
]

INPLACE = ["ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "SiLU", "Mish", "Hardswish"]
INPLACE += ["Hardtanh", "Hardsigmoid", "CELU"]
for name in INPLACE:
    CASES += cases(f"{name}(inplace=True)", away_from(-3, -1, 0, 1, 3, 6))
CASES += cases("Threshold(0.0, 1.0, inplace=True)", away_from(0))

for text in [
    "ReLU()",
    "GELU()",
    "Softmax(dim=-1)",
    "GLU(dim=0)",
    "LogSoftmax(dim=0)",
    "PReLU(num_parameters=3)",
]:
    CASES += cases(text, transposed, [(4, 5, 3)], " transposed")
