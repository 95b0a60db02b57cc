"""One training step of ResNet-18 on small images beside the same network of torch.nn: time and peak memory.

The referee is written the way one writes a ResNet in torch: torch.nn layers, its cross-entropy, and
torch.optim.SGD with momentum. Both start from the same weights, and the gradients are compared first.
"""

import torch
from ds_cnn import resnet18
from ds_core import SGD, CrossEntropyLoss, engine
from ds_core.verify.benchmark import Comparison, compare, report
from torch import nn


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


def measure(batch: int, size: int) -> Comparison:
    torch.manual_seed(0)
    model, referee = resnet18(10, stem="small").requires_input_grad_(False), TorchResNet18()
    referee.load_state_dict(model.state_dict())
    x, y = torch.randn(batch, 3, size, size), torch.randint(10, (batch,))
    loss, their_loss = CrossEntropyLoss(), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    their_optimizer = torch.optim.SGD(referee.parameters(), lr=0.01, momentum=0.9)

    def our_gradients() -> None:
        model.zero_grad()
        with engine("manual"):
            loss(model(x), y)
            model.backward(loss.backward())

    def their_gradients() -> None:
        their_optimizer.zero_grad()
        their_loss(referee(x), y).backward()

    our_gradients()
    their_gradients()
    theirs_by_name = dict(referee.named_parameters())
    for name, parameter in model.named_parameters():
        theirs = theirs_by_name[name].grad
        difference = float((parameter.grad - theirs).norm() / theirs.norm())
        if difference > 1e-2:
            raise SystemExit(f"{name}: the gradients differ by {difference:.1e} of their size")

    def ours() -> None:
        our_gradients()
        optimizer.step()

    def theirs() -> None:
        their_gradients()
        their_optimizer.step()

    return compare(f"batch {batch}, {size}x{size}", ours, theirs, seconds=30, medium=True)


if __name__ == "__main__":
    report("ResNet-18 training step: forward, backward, SGD with momentum", [measure(64, 32)])
