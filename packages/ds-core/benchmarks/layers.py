"""Each layer, activation and loss alone, forward and backward, beside its torch.nn namesake."""

from collections.abc import Callable

import ds_core as ds
import torch
from ds_core.verify.benchmark import Comparison, compare, report
from torch import nn

ROWS, WIDTH = 512, 512


def measure_layer(name: str, ours: ds.Module, theirs: nn.Module, *inputs: torch.Tensor) -> Comparison:
    """Forward and backward, gradients of parameters and of floating point inputs included."""
    theirs.load_state_dict(ours.state_dict())
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    grad = torch.randn_like(theirs(*inputs))

    def run_ours() -> None:
        ours.zero_grad()
        with ds.engine("manual"):
            ours(*inputs)
            ours.backward(grad)

    def run_theirs() -> None:
        theirs.zero_grad()
        for leaf in leaves:
            leaf.grad = None
        theirs(*leaves).backward(grad)

    return compare(name, run_ours, run_theirs, seconds=1.5)


def measure_loss(name: str, ours: ds.Module, theirs: nn.Module, *inputs: torch.Tensor) -> Comparison:
    """Forward and backward to the prediction."""
    prediction = inputs[0].clone().requires_grad_()

    def run_ours() -> None:
        with ds.engine("manual"):
            ours(*inputs)
            ours.backward()

    def run_theirs() -> None:
        prediction.grad = None
        theirs(prediction, *inputs[1:]).backward()

    return compare(name, run_ours, run_theirs, seconds=1.5)


def layers() -> list[Comparison]:
    x = torch.randn(ROWS, WIDTH)
    pairs: list[tuple[Callable[[], ds.Module], Callable[[], nn.Module]]] = [
        (lambda: ds.Dense(WIDTH, WIDTH), lambda: nn.Linear(WIDTH, WIDTH)),
        (lambda: ds.LayerNorm(WIDTH), lambda: nn.LayerNorm(WIDTH)),
        (lambda: ds.RMSNorm(WIDTH), lambda: nn.RMSNorm(WIDTH)),
        (lambda: ds.GroupNorm(8, WIDTH), lambda: nn.GroupNorm(8, WIDTH)),
        (lambda: ds.BatchNorm1d(WIDTH), lambda: nn.BatchNorm1d(WIDTH)),
        (lambda: ds.Dropout(0.5), lambda: nn.Dropout(0.5)),
    ]
    rows = [measure_layer(ours().label(), ours(), theirs(), x) for ours, theirs in pairs]
    ids = torch.randint(8000, (4096,))
    rows.append(measure_layer("Embedding(8000, 256)", ds.Embedding(8000, 256), nn.Embedding(8000, 256), ids))
    bilinear = (ds.Bilinear(64, 64, 64), nn.Bilinear(64, 64, 64))
    rows.append(measure_layer("Bilinear(64, 64, 64)", *bilinear, torch.randn(256, 64), torch.randn(256, 64)))
    return rows


def activations() -> list[Comparison]:
    x = torch.randn(ROWS, WIDTH)
    names = [
        *(
            "ReLU",
            "ReLU6",
            "LeakyReLU",
            "PReLU",
            "ELU",
            "SELU",
            "GELU",
            "SiLU",
            "Mish",
            "Sigmoid",
            "LogSigmoid",
        ),
        *(
            "Tanh",
            "Hardswish",
            "Softplus",
            "GLU",
            "Hardtanh",
            "Hardsigmoid",
            "CELU",
            "Softsign",
            "Tanhshrink",
        ),
        *("Softshrink", "Hardshrink"),
    ]
    rows = [measure_layer(name, getattr(ds, name)(), getattr(nn, name)(), x) for name in names]
    rows.append(measure_layer("GELU('tanh')", ds.GELU("tanh"), nn.GELU("tanh"), x))
    for name in ("Softmax", "Softmin", "LogSoftmax"):
        rows.append(measure_layer(name, getattr(ds, name)(-1), getattr(nn, name)(-1), x))
    return rows


def losses() -> list[Comparison]:
    x, target = torch.randn(ROWS, WIDTH), torch.randn(ROWS, WIDTH)
    share, index = torch.rand(ROWS, WIDTH), torch.randint(WIDTH, (ROWS,))
    inputs = {
        "CrossEntropyLoss": (x, index),
        "NLLLoss": (x.log_softmax(-1), index),
        "MSELoss": (x, target),
        "L1Loss": (x, target),
        "SmoothL1Loss": (x, target),
        "HuberLoss": (x, target),
        "PoissonNLLLoss": (x, target.abs()),
        "GaussianNLLLoss": (x, target, share),
        "BCELoss": (share, share),
        "BCEWithLogitsLoss": (x, share),
    }
    return [
        measure_loss(name, getattr(ds, name)(), getattr(nn, name)(), *args) for name, args in inputs.items()
    ]


def main() -> None:
    torch.manual_seed(0)
    report(f"Layers, forward and backward, ({ROWS}, {WIDTH})", layers())
    report(f"Activations, forward and backward, ({ROWS}, {WIDTH})", activations())
    report(f"Losses, forward and backward, ({ROWS}, {WIDTH})", losses())


if __name__ == "__main__":
    main()
