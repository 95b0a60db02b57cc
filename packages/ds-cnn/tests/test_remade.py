"""Images between a batch norm and a convolution, which are made again and not kept."""

from weakref import ref

import pytest
import torch
from ds_cnn import BatchNorm2d, Conv2d, ConvTranspose2d, MaxPool2d, resnet18
from ds_core import LeakyReLU, ReLU, Sequential, engine
from ds_core.kernels import remade
from ds_core.verify.trial import Trial

LAST = {
    "3x3": lambda: Conv2d(32, 4, 3, padding=1),
    "1x1": lambda: Conv2d(32, 4, 1),
    "strided": lambda: Conv2d(32, 4, 4, 2, 1),
    "reflected": lambda: Conv2d(32, 4, 3, padding=1, padding_mode="reflect"),
    "transposed": lambda: ConvTranspose2d(32, 4, 4, 2, 1),
    "pool": lambda: MaxPool2d(2),
}


def gradients(model, x):
    outcome = Trial(model, (x,), torch.float32).manual()
    return [*outcome.inputs.values(), *outcome.parameters.values()]


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("rectifier", [ReLU, LeakyReLU])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_the_same_to_the_bit(last, rectifier, layout, monkeypatch):
    model = Sequential(BatchNorm2d(32), rectifier(), LAST[last]())
    x = torch.randn(6, 32, 30, 30).contiguous(memory_format=layout)
    ours = gradients(model, x)
    monkeypatch.setattr(remade, "LEAST", 1e9)
    assert all(map(torch.equal, ours, gradients(model, x)))


@pytest.mark.parametrize("last", ["3x3", "1x1", "strided", "transposed"])
def test_nobody_keeps_what_came_between(last):
    norm, rectifier, last = BatchNorm2d(32), ReLU(), LAST[last]()
    x = torch.randn(6, 32, 30, 30).contiguous(memory_format=torch.channels_last)
    with engine("manual"):
        between = rectifier(norm(x))
        storage = ref(between.untyped_storage())
        last(between)
        del between
        assert storage() is None


def test_gradients_of_a_resnet_are_the_same_to_the_bit(monkeypatch):
    model, x = resnet18(10, stem="small"), torch.randn(4, 3, 32, 32)
    ours = gradients(model, x)
    monkeypatch.setattr(remade, "LEAST", 1e9)
    assert all(map(torch.equal, ours, gradients(model, x)))
