"""Layers for images and sequences: convolution, pooling, normalisation, resampling, padding."""

from ds_cnn.layers.adaptive_avg_pool2d import AdaptiveAvgPool2d
from ds_cnn.layers.adaptive_max_pool2d import AdaptiveMaxPool2d
from ds_cnn.layers.avg_pool2d import AvgPool2d
from ds_cnn.layers.batch_norm2d import BatchNorm2d
from ds_cnn.layers.conv1d import Conv1d
from ds_cnn.layers.conv2d import Conv2d
from ds_cnn.layers.conv_transpose1d import ConvTranspose1d
from ds_cnn.layers.conv_transpose2d import ConvTranspose2d
from ds_cnn.layers.dropout1d import Dropout1d
from ds_cnn.layers.dropout2d import Dropout2d
from ds_cnn.layers.frozen_batch_norm2d import FrozenBatchNorm2d
from ds_cnn.layers.global_pool import GlobalAvgPool2d, GlobalMaxPool2d
from ds_cnn.layers.instance_norm2d import InstanceNorm2d
from ds_cnn.layers.lp_pool2d import LPPool2d
from ds_cnn.layers.max_pool2d import MaxPool2d
from ds_cnn.layers.pads import (
    CircularPad1d,
    CircularPad2d,
    ConstantPad1d,
    ConstantPad2d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReplicationPad1d,
    ReplicationPad2d,
    ZeroPad1d,
    ZeroPad2d,
)
from ds_cnn.layers.pixel_shuffle import PixelShuffle, PixelUnshuffle
from ds_cnn.layers.pools1d import (
    AdaptiveAvgPool1d,
    AdaptiveMaxPool1d,
    AvgPool1d,
    LPPool1d,
    MaxPool1d,
)
from ds_cnn.layers.upsample import Upsample

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm2d",
    "CircularPad1d",
    "CircularPad2d",
    "ConstantPad1d",
    "ConstantPad2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Dropout1d",
    "Dropout2d",
    "FrozenBatchNorm2d",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "InstanceNorm2d",
    "LPPool1d",
    "LPPool2d",
    "MaxPool1d",
    "MaxPool2d",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "Upsample",
    "ZeroPad1d",
    "ZeroPad2d",
]
