"""One training step of ResNet-18 on small images beside the same network of torch.nn.

The referee is written the way one writes a ResNet in torch: torch.nn layers, its cross-entropy, and
torch.optim.SGD with momentum.
"""

from functools import partial

import torch
from ds_cnn import resnet18
from ds_core import SGD, CrossEntropyLoss
from ds_core.verify.benchmark import Sides, step
from torch import nn
from torch.nn.functional import cross_entropy


class Block(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride > 1 or inputs != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        branch = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(branch + (x if self.downsample is None else self.downsample(x)))


class TorchResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        inputs = 64
        for stage, width in enumerate((64, 128, 256, 512), 1):
            blocks = Block(inputs, width, 1 if stage == 1 else 2), Block(width, width, 1)
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            inputs = width
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def resnet(batch: int, size: int) -> Sides:
    model, referee = resnet18(10, stem="small").requires_input_grad_(False), TorchResNet18()
    referee.load_state_dict(model.state_dict())
    loss = CrossEntropyLoss()

    def ours(model, x, y):
        loss(model(x), y)
        model.backward(loss.backward())

    def theirs(referee, x, y):
        cross_entropy(referee(x), y).backward()

    data = torch.randn(batch, 3, size, size), torch.randint(10, (batch,))
    update, their_update = (partial(sgd, lr=0.01, momentum=0.9) for sgd in (SGD, torch.optim.SGD))
    return step(model, referee, data, ours, theirs, update=update, their_update=their_update, images=True)


ROWS = {"ResNet-18, batch 64, 32x32, SGD with momentum": partial(resnet, 64, 32)}
