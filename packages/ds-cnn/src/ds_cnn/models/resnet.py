"""ResNet: blocks that add to what they are given, so that depth does not hurt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import torch
from ds_core import Dense, InputGrad, Module, ReLU, Sequential
from ds_core.initializers import he_normal_, zeros_
from ds_core.pretrained import Pretrained
from torch import Tensor

from ds_cnn.layers import BatchNorm2d, Conv2d, FrozenBatchNorm2d, GlobalAvgPool2d, MaxPool2d
from ds_cnn.models.resnet_hugging_face import DEFAULTS, RESNET

Norm = Callable[[int], Module]


def conv(
    inputs: int, outputs: int, size: int, stride: int = 1, generator: torch.Generator | None = None
) -> Conv2d:
    """Returns a convolution as ResNets have them: padded to keep the size, without bias, He's start."""
    init = partial(he_normal_, mode="fan_out", nonlinearity="relu")
    return Conv2d(inputs, outputs, size, stride, size // 2, bias=False, init=init, generator=generator)


class BasicBlock(Module):
    """Two 3x3 convolutions, whose result is added to what they were given.

    y = relu(x + norm(conv(relu(norm(conv(x)))))),   dL/dx = g + (g through the branch), g = dL/dy where y > 0

    Args:
        inputs: channels that come in.
        width: channels of the convolutions.
        stride: of the first convolution.
        norm: makes a norm for a number of channels.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, inputs, H, W)`` -> ``(N, width, H / stride, W / stride)``. Where that is another shape than
        x's, x goes through a 1x1 convolution and a norm (``downsample``) before it is added.

    Source: He et al., Deep Residual Learning for Image Recognition (2016), figure 2 and section 3.3.
    """

    expansion = 1  # channels that come out, per channel of width

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int = 1,
        norm: Norm = BatchNorm2d,
        generator: torch.Generator | None = None,
    ) -> None:
        self.conv1 = conv(inputs, width, 3, stride, generator)
        self.bn1 = norm(width)
        self.relu = ReLU()
        self.conv2 = conv(width, width, 3, 1, generator)
        self.bn2 = norm(width)
        self.downsample = shortcut(inputs, width, stride, norm, generator)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.relu(normed(self.conv1, self.bn1, x))
        branch = normed(self.conv2, self.bn2, branch)
        return self.relu(branch + projected(self.downsample, x))

    def backward(self, grad: Tensor) -> InputGrad:
        grad = self.relu.backward(grad)
        branch = self.conv2.backward(self.bn2.backward(grad))
        branch = self.conv1.backward(self.bn1.backward(self.relu.backward(branch)))
        return branch + (grad if self.downsample is None else self.downsample.backward(grad))


class Bottleneck(Module):
    """A 3x3 convolution between two of 1x1, which make it narrow; the result is added to what came in.

    y = relu(x + norm(conv(relu(norm(conv(relu(norm(conv(x))))))))),
    dL/dx = g + (g through the branch), g = dL/dy where y > 0

    Args:
        inputs: channels that come in.
        width: channels of the 3x3 convolution; four times as many come out.
        stride: of the 3x3 convolution (the paper strides in the first 1x1; everybody else here).
        norm: makes a norm for a number of channels.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, inputs, H, W)`` -> ``(N, 4 width, H / stride, W / stride)``. Where that is another shape than
        x's, x goes through a 1x1 convolution and a norm (``downsample``) before it is added.

    Source: He et al., Deep Residual Learning for Image Recognition (2016), figure 5 and section 4.1.
    """

    expansion = 4

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int = 1,
        norm: Norm = BatchNorm2d,
        generator: torch.Generator | None = None,
    ) -> None:
        outputs = width * self.expansion
        self.conv1 = conv(inputs, width, 1, 1, generator)
        self.bn1 = norm(width)
        self.relu = ReLU()
        self.conv2 = conv(width, width, 3, stride, generator)
        self.bn2 = norm(width)
        self.conv3 = conv(width, outputs, 1, 1, generator)
        self.bn3 = norm(outputs)
        self.downsample = shortcut(inputs, outputs, stride, norm, generator)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.relu(normed(self.conv1, self.bn1, x))
        branch = self.relu(normed(self.conv2, self.bn2, branch))
        branch = normed(self.conv3, self.bn3, branch)
        return self.relu(branch + projected(self.downsample, x))

    def backward(self, grad: Tensor) -> InputGrad:
        grad = self.relu.backward(grad)
        branch = self.conv3.backward(self.bn3.backward(grad))
        branch = self.conv2.backward(self.bn2.backward(self.relu.backward(branch)))
        branch = self.conv1.backward(self.bn1.backward(self.relu.backward(branch)))
        return branch + (grad if self.downsample is None else self.downsample.backward(grad))


def normed(conv: Module, norm: Module, x: Tensor) -> Tensor:
    """Returns norm(conv(x)); a frozen norm makes one convolution of the two."""
    return norm.after(conv, x) if isinstance(norm, FrozenBatchNorm2d) else norm(conv(x))


def projected(downsample: Module | None, x: Tensor) -> Tensor:
    """Returns what is added to a branch: x, brought to the shape of the sum if it has another one."""
    if downsample is None:
        return x
    if type(downsample) is Sequential and len(downsample) == 2 and "forward" not in vars(downsample):
        first, norm = downsample
        return normed(first, norm, x)
    return downsample(x)


def shortcut(
    inputs: int, outputs: int, stride: int, norm: Norm, generator: torch.Generator | None
) -> Sequential | None:
    """Returns what brings a block's input to the shape of its output, None where it has it already."""
    if stride == 1 and inputs == outputs:
        return None
    return Sequential(conv(inputs, outputs, 1, stride, generator), norm(outputs))


BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(Pretrained):
    """A stem, stages of residual blocks at ever smaller sizes, the mean of each channel, a dense layer.

    y = dense(mean(layer4(layer3(layer2(layer1(stem(x)))))))

    The names and shapes of its weights are torchvision's.

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        layers: blocks of each stage, of which there are four, or fewer.
        num_classes: how many numbers come out; None for no head, where :meth:`features` alone is wanted.
        in_channels: of the images.
        widths: channels of each stage, before the block's expansion.
        stem: "imagenet" (7x7 with stride 2, then a pool with stride 2) or "small" (3x3, stride 1).
        zero_init_residual: whether the last norm of each block starts at 0, so that the block starts as the
            identity.
        norm: makes a norm for a number of channels: ``FrozenBatchNorm2d`` for detectors.
        labels: names of the classes, which ``config.json`` keeps; None for LABEL_0, LABEL_1, ...
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, in_channels, H, W)`` -> ``(N, num_classes)``.

    Raises:
        ValueError: if an argument is out of range, or there are more or fewer labels than classes.

    Source: He et al., Deep Residual Learning for Image Recognition (2016), table 1, and section 4.2 for small
    images; Goyal et al., Accurate, Large Minibatch SGD (2017), section 5.1, for the start at 0.
    """

    hugging_face = RESNET

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int | None = 1000,
        *,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512),
        stem: str = "imagenet",
        zero_init_residual: bool = False,
        norm: Norm = BatchNorm2d,
        labels: Sequence[str] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if not 1 <= len(layers) <= 4 or len(widths) < len(layers) or min(layers) < 1:
            raise ValueError(
                f"ResNet: expected up to four stages of at least one block, got layers {tuple(layers)} and "
                f"widths {tuple(widths)}"
            )
        widths = widths[: len(layers)]
        if stem not in ("imagenet", "small"):
            raise ValueError(f"ResNet: expected stem 'imagenet' or 'small', got {stem!r}")
        self.block, self.blocks, self.widths, self.stem = block, tuple(layers), tuple(widths), stem
        self.in_channels, self.num_classes = in_channels, num_classes
        self.labels = tuple(labels) if labels is not None else unnamed(num_classes or 0)
        if len(self.labels) != (num_classes or 0):
            raise ValueError(f"ResNet: expected {num_classes} labels, got {len(self.labels)}")
        large = stem == "imagenet"
        self.conv1 = conv(in_channels, widths[0], 7 if large else 3, 2 if large else 1, generator)
        self.bn1 = norm(widths[0])
        self.relu = ReLU()
        self.maxpool = MaxPool2d(3, 2, 1) if large else None
        channels = widths[0]
        for stage, (count, width) in enumerate(zip(layers, widths, strict=True), 1):
            parts: list[Module] = []
            for i in range(count):
                stride = 2 if stage > 1 and i == 0 else 1
                parts.append(block(channels, width, stride, norm, generator))
                channels = width * block.expansion
            self.add_module(f"layer{stage}", Sequential(*parts))
        self.avgpool = GlobalAvgPool2d()
        self.fc = None if num_classes is None else Dense(channels, num_classes, generator=generator)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, (BasicBlock, Bottleneck)):
                    last = module.bn2 if isinstance(module, BasicBlock) else module.bn3
                    zeros_(last.weight)  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Tensor:
        if self.fc is None:
            raise RuntimeError("ResNet: has no dense layer (num_classes=None); call features")
        (deepest,) = self.features(x, [len(self.blocks)])
        return self.fc(self.avgpool(deepest))

    def backward(self, grad: Tensor) -> InputGrad:
        assert self.fc is not None
        return self.features_backward([self.avgpool.backward(self.fc.backward(grad))])

    def features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """Returns the feature maps after some stages, for detectors; deeper stages do not run.

        Args:
            x: ``(N, in_channels, H, W)``.
            levels: which stages, in order, from 1 on; None for all.

        Returns:
            A map ``(N, channels, H', W')`` for each level; H' and W' halve from one stage to the next.

        Raises:
            ValueError: if the levels are not from 1 to the number of stages, in order.
        """
        last = len(self.blocks)
        levels = range(1, last + 1) if levels is None else levels
        if not levels or list(levels) != sorted(set(levels)) or levels[0] < 1 or levels[-1] > last:
            raise ValueError(
                f"ResNet.features: expected levels from 1 to {last} in order, got {list(levels)}"
            )
        self.save(tuple(levels))
        x = normed(self.conv1, self.bn1, x)
        if self.maxpool is not None:
            x = self.maxpool(x)
        x = self.relu(x)  # after the pooling: the largest of a window is the same, and there are fewer
        maps = []
        for level, stage in enumerate(self._stages()[: levels[-1]], 1):
            x = stage(x)
            if level in levels:
                maps.append(x)
        return maps

    def features_backward(self, grads: Sequence[Tensor]) -> InputGrad:
        """Returns the gradient of x from those of the feature maps, in the order of :meth:`features`.

        Raises:
            ValueError: if there are more or fewer gradients than maps, or one is None.
        """
        (levels,) = self.saved()
        if len(grads) != len(levels) or any(grad is None for grad in grads):
            raise ValueError(
                f"ResNet.features_backward: expected a gradient for each of the {len(levels)} maps of levels "
                f"{list(levels)}, zeros where a map was not used, got {len(grads)}, of which "
                f"{sum(grad is None for grad in grads)} None"
            )
        wanted = dict(zip(levels, grads, strict=True))
        grad: Any = None
        for level, stage in reversed(list(enumerate(self._stages()[: levels[-1]], 1))):
            if level in wanted:
                grad = wanted[level] if grad is None else grad + wanted[level]
            grad = stage.backward(grad)
        grad = self.relu.backward(grad)
        if self.maxpool is not None:
            grad = self.maxpool.backward(grad)
        grad = self.bn1.backward(grad)
        return self.conv1.backward(grad)

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the stem, too, the only layer that sees the images."""
        self.conv1.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)

    def _stages(self) -> list[Sequential]:
        return [getattr(self, f"layer{stage}") for stage in range(1, len(self.blocks) + 1)]

    # ---- weights as common currency ------------------------------------------------------------------

    def to_config(self) -> dict[str, Any]:
        if self.stem != "imagenet":
            raise ValueError(
                f"ResNet: the Hugging Face format knows the stem 'imagenet' only, got {self.stem!r}; "
                "write the weights alone with ds_core.save_weights"
            )
        if self.fc is None:
            raise ValueError(
                "ResNet: the Hugging Face format has a dense layer, this one has none (num_classes=None)"
            )
        # Layers may have been replaced since: the last one, to tell other classes apart.
        classes: int = getattr(self.fc, "out_features", len(self.labels))
        labels = self.labels if len(self.labels) == classes else unnamed(classes)
        fields = {
            "num_channels": self.conv1.in_channels,
            "embedding_size": self.widths[0],
            "hidden_sizes": [width * self.block.expansion for width in self.widths],
            "depths": list(self.blocks),
            "layer_type": next((name for name, block in BLOCKS.items() if block is self.block), "other"),
            "id2label": {str(number): label for number, label in enumerate(labels)},
            "label2id": {label: number for number, label in enumerate(labels)},
        } | dict(RESNET.fixed)
        with torch.device("meta"):  # what will be read: it has no memory
            read = {path: part.label() for path, part in self.from_config(fields).named_modules() if path}
        for path, part in self.named_modules():
            if path and part.label() != read.get(path):
                raise ValueError(
                    f"ResNet: the Hugging Face format has {read.get(path, 'nothing')} for {path}, this one "
                    f"{part.label()}; write the weights alone with ds_core.save_weights"
                )
        return fields

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        config = DEFAULTS | fields
        if config["layer_type"] not in BLOCKS:
            raise ValueError(f"expected layer_type {' or '.join(BLOCKS)}, got {config['layer_type']!r}")
        block = BLOCKS[config["layer_type"]]
        widths = [size // block.expansion for size in config["hidden_sizes"]]
        if widths[:1] != [config["embedding_size"]]:
            raise ValueError(
                f"expected embedding_size {widths[0]}, the width of the first stage, got "
                f"{config['embedding_size']}"
            )
        names = config.get("id2label") or dict(enumerate(unnamed(config.get("num_labels", 2))))
        if sorted(map(int, names)) != list(range(len(names))):
            raise ValueError(f"expected id2label to number labels from 0 on, got {names}")
        labels = [names[number] for number in sorted(names, key=int)]
        return cls(
            block,
            config["depths"],
            len(labels),
            in_channels=config["num_channels"],
            widths=widths,
            labels=labels,
        )

    def extra_repr(self) -> str:
        return f"{self.block.__name__}, {self.blocks}, num_classes={self.num_classes}, stem={self.stem!r}"


def unnamed(classes: int) -> tuple[str, ...]:
    """Returns the names that `transformers` gives to labels without any."""
    return tuple(f"LABEL_{number}" for number in range(classes))


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """Returns the ResNet of 18 layers with weights, 11.7 million of them; options as for ResNet."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """Returns the ResNet of 34 layers with weights, 21.8 million of them; options as for ResNet."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """Returns the ResNet of 50 layers with weights, 25.6 million of them; options as for ResNet."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """Returns the ResNet of 101 layers with weights, 44.5 million of them; options as for ResNet."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, **options)
