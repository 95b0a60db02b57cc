"""Norms of images beside torch.nn's."""

import torch
from ds_cnn import BatchNorm2d, FrozenBatchNorm2d, InstanceNorm2d
from ds_core import GroupNorm
from ds_core.verify import Case
from torch import nn


def images(*shape, last=False):
    def inputs(g):
        x = 2 * torch.randn(shape, generator=g) + 3
        return (x.contiguous(memory_format=torch.channels_last) if last else x,)

    return inputs


def frozen():
    layer = FrozenBatchNorm2d(3)
    g = torch.Generator().manual_seed(0)
    for buffer in layer.buffers():
        buffer.copy_(torch.rand(3, generator=g) + 0.5)
    return layer


class TorchFrozen(nn.Module):
    """torch's batch norm function over buffers, as torchvision's namesake keeps them."""

    def __init__(self):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.empty(3))

    def forward(self, x):
        return nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


CASES = [
    *[
        Case(
            name=f"BatchNorm2d({options}), {algorithm}{', channels last' if last else ''}",
            make=lambda options=options, algorithm=algorithm: BatchNorm2d(3, **options, algorithm=algorithm),
            inputs=images(2, 3, 3, 2, last=last),
            namesake=lambda options=options: nn.BatchNorm2d(3, **options),
        )
        for options in ({}, {"affine": False}, {"momentum": None, "eps": 0.1})
        for algorithm, last in (("loop", False), ("vectorised", False), ("vectorised", True))
    ],
    Case(
        name="BatchNorm2d, eval",
        make=lambda: BatchNorm2d(3).eval(),
        inputs=images(2, 3, 4, 4),
        namesake=lambda: nn.BatchNorm2d(3).eval(),
    ),
    Case(
        name="InstanceNorm2d",
        make=lambda: InstanceNorm2d(3),
        inputs=images(2, 3, 4, 5),
        namesake=lambda: nn.InstanceNorm2d(3),
    ),
    Case(
        name="InstanceNorm2d(affine=True), channels last",
        make=lambda: InstanceNorm2d(3, affine=True),
        inputs=images(2, 3, 4, 5, last=True),
        namesake=lambda: nn.InstanceNorm2d(3, affine=True),
    ),
    Case(
        name="InstanceNorm2d(track_running_stats=True), unbatched",
        make=lambda: InstanceNorm2d(3, track_running_stats=True),
        inputs=images(3, 4, 5),
        namesake=lambda: nn.InstanceNorm2d(3, track_running_stats=True),
    ),
    Case(name="FrozenBatchNorm2d", make=frozen, inputs=images(2, 3, 4, 4), namesake=TorchFrozen),
    Case(
        name="GroupNorm of images",
        make=lambda: GroupNorm(2, 4),
        inputs=images(2, 4, 3, 3, last=True),
        namesake=lambda: nn.GroupNorm(2, 4),
    ),
]
