"""Convolutional networks people know."""

from ds_cnn.models.lenet import LeNet5
from ds_cnn.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
)
from ds_cnn.models.vgg import SmallVGG

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "LeNet5",
    "ResNet",
    "SmallVGG",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
]
