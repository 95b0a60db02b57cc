"""ds_cnn: convolutional networks, with every gradient written by hand."""

from typing import TYPE_CHECKING

from ds_core.lazy import lazy

__version__ = "0.2.0"

if TYPE_CHECKING:
    from ds_cnn.layers import *
    from ds_cnn.models import *
else:
    lazy(
        __name__,
        {
            "layers": (
                "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d AdaptiveMaxPool2d AvgPool1d "
                "AvgPool2d BatchNorm2d CircularPad1d CircularPad2d ConstantPad1d ConstantPad2d Conv1d "
                "Conv2d ConvTranspose1d ConvTranspose2d Dropout1d Dropout2d FrozenBatchNorm2d "
                "GlobalAvgPool2d GlobalMaxPool2d InstanceNorm2d LPPool1d LPPool2d MaxPool1d MaxPool2d "
                "PixelShuffle PixelUnshuffle ReflectionPad1d ReflectionPad2d ReplicationPad1d "
                "ReplicationPad2d Upsample ZeroPad1d ZeroPad2d"
            ),
            "models": "BasicBlock Bottleneck LeNet5 ResNet resnet101 resnet18 resnet34 resnet50 SmallVGG",
        },
    )
