"""Convolution, batch norm and pooling alone, forward and backward, beside torch.nn.

Each side gets its images in the memory layout that its own layers hand on: channels last here, contiguous in
torch. The last column says which algorithm ``auto`` chose, and how the others that apply would have done.
"""

import torch
from ds_cnn import AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d
from ds_cnn.kernels.convolution import ALGORITHMS, select
from ds_core import Module, engine
from ds_core.verify.benchmark import Comparison, compare, report
from torch import nn


def measure(name: str, ours: Module, theirs: nn.Module, x: torch.Tensor, seconds: float = 1.5) -> Comparison:
    """Forward and backward, with the gradients of parameters and input, once they are found equal."""
    theirs.load_state_dict(ours.state_dict())
    leaf = x.clone().requires_grad_()
    mine = x.contiguous(memory_format=torch.channels_last)
    grad = torch.randn_like(theirs(x))
    my_grad = grad.contiguous(memory_format=torch.channels_last)

    def run_ours() -> torch.Tensor:
        ours.zero_grad()
        with engine("manual"):
            ours(mine)
            return ours.backward(my_grad)

    def run_theirs() -> None:
        theirs.zero_grad()
        leaf.grad = None
        theirs(leaf).backward(grad)

    run_theirs()
    torch.testing.assert_close(run_ours(), leaf.grad, rtol=1e-3, atol=1e-4 * float(leaf.grad.abs().max()))
    return compare(name, run_ours, run_theirs, seconds=seconds)


def convolutions() -> list[Comparison]:
    rows = []
    for name, size, arguments, options in (
        ("3x3, 16 channels, 32x32", 32, (16, 16, 3), {"padding": 1}),
        ("3x3, 64 channels, 32x32", 32, (64, 64, 3), {"padding": 1}),
        ("3x3, 128 channels, 16x16", 16, (128, 128, 3), {"padding": 1}),
        ("3x3, 256 channels, 8x8", 8, (256, 256, 3), {"padding": 1}),
        ("3x3, 256 channels, 14x14", 14, (256, 256, 3), {"padding": 1}),
        ("3x3, 512 channels, 4x4", 4, (512, 512, 3), {"padding": 1}),
        ("4x4 stride 2, 64 to 128, 14x14", 14, (64, 128, 4), {"padding": 1, "stride": 2}),
        ("3x3 stride 2, 64 to 128, 32x32", 32, (64, 128, 3), {"padding": 1, "stride": 2}),
        ("1x1, 64 channels, 32x32", 32, (64, 64, 1), {}),
        ("1x1, 256 channels, 16x16", 16, (256, 256, 1), {}),
        ("7x7 stride 2, 3 to 64, 112x112", 112, (3, 64, 7), {"padding": 3, "stride": 2}),
        ("3x3 depthwise, 64 channels, 32x32", 32, (64, 64, 3), {"padding": 1, "groups": 64}),
    ):
        x = torch.randn(16 if size > 100 else 64, arguments[0], size, size)
        theirs = nn.Conv2d(*arguments, **options, bias=False)
        others, auto = [], select(Conv2d(*arguments, **options, bias=False).geometry, arguments[0])
        for algorithm in ALGORITHMS:
            try:
                ours = Conv2d(*arguments, **options, bias=False, algorithm=algorithm)
            except ValueError:
                continue
            if algorithm == auto:
                row, chosen = measure(name, ours, theirs, x), algorithm
            elif not (ours.groups > 4 and algorithm == "im2col"):
                other = measure(f"{name}, {algorithm}", ours, theirs, x, 0.5)
                others.append(f"{algorithm} {other.time_ratio:.2f}")
        note = f"{chosen}; {', '.join(others)}" if others else chosen
        rows.append(Comparison(name, row.ours_ms, row.theirs_ms, row.ours_mib, row.theirs_mib, note))
    return rows


def norms_and_pools() -> list[Comparison]:
    shapes = ((64, 64, 32, 32), (64, 128, 16, 16), (64, 512, 4, 4))
    rows = [
        measure(f"BatchNorm2d, {shape}", BatchNorm2d(shape[1]), nn.BatchNorm2d(shape[1]), torch.randn(shape))
        for shape in shapes
    ]
    for arguments in ((2,), (3, 2, 1)):
        for ours, theirs in ((MaxPool2d, nn.MaxPool2d), (AvgPool2d, nn.AvgPool2d)):
            name = f"{ours.__name__}{arguments}, (64, 64, 32, 32)"
            rows.append(measure(name, ours(*arguments), theirs(*arguments), torch.randn(64, 64, 32, 32)))
    return rows


if __name__ == "__main__":
    torch.manual_seed(0)
    report("Convolution: forward and backward, batch 64 (16 for 7x7)", convolutions())
    report("Norms and pools: forward and backward", norms_and_pools())
