"""The models beside transformers' and torch.nn's."""

import torch
from ds_cnn import BasicBlock, Bottleneck, LeNet5, ResNet, SmallVGG
from ds_cnn.models.resnet_hugging_face import to_hugging_face
from ds_core.verify import Case
from torch import nn
from transformers import ResNetConfig, ResNetForImageClassification

WIDTHS = (4, 6, 8, 8)


class TheirResNet(ResNetForImageClassification):
    def __init__(self, block, depths):
        expansion = 4 if block == "bottleneck" else 1
        config = ResNetConfig(
            embedding_size=WIDTHS[0],
            hidden_sizes=[width * expansion for width in WIDTHS],
            depths=list(depths),
            layer_type=block,
            num_labels=5,
        )
        super().__init__(config)

    def forward(self, x):
        return super().forward(x).logits


class TheirBlock(nn.Module):
    """A basic block of torch.nn with torchvision's names."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Sequential(
            nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x):
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + self.downsample(x)).relu()


class TheirBottleneck(nn.Module):
    """A bottleneck of torch.nn with torchvision's names, where no downsampling is needed."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(4 * width, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)

    def forward(self, x):
        branch = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return (x + self.bn3(self.conv3(branch))).relu()


def images(*shape):
    return lambda g: (torch.randn(shape, generator=g),)


def lenet():
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )


def vgg():
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Identity(), nn.Linear(6, 10)),
    )


def named_theirs(state):
    return {to_hugging_face(name).names[0]: value for name, value in state.items()}


CASES = [
    Case(
        name="BasicBlock(3, 4, stride=2)",
        make=lambda: BasicBlock(3, 4, 2),
        inputs=images(2, 3, 6, 6),
        namesake=lambda: TheirBlock(3, 4, 2),
    ),
    Case(
        name="Bottleneck(8, 2)",
        make=lambda: Bottleneck(8, 2),
        inputs=images(2, 8, 4, 5),
        namesake=lambda: TheirBottleneck(2),
    ),
    *[
        Case(
            name=f"ResNet of {block.__name__}s",
            make=lambda block=block: ResNet(block, (1, 2, 1, 1), 5, widths=WIDTHS),
            inputs=images(4, 3, 40, 33),
            namesake=lambda name=name: TheirResNet(name, (1, 2, 1, 1)),
            carry=named_theirs,
        )
        for block, name in ((BasicBlock, "basic"), (Bottleneck, "bottleneck"))
    ],
    Case(name="LeNet5", make=LeNet5, inputs=images(1, 1, 28, 28), namesake=lenet),
    Case(
        name="SmallVGG",
        make=lambda: SmallVGG(widths=(4, 6), depth=1),
        inputs=images(2, 3, 8, 8),
        namesake=vgg,
    ),
]
