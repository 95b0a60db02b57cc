"""Layers for images: convolution, pooling, normalisation, resampling, padding."""

from ds_cnn.layers.adaptive_avg_pool2d import AdaptiveAvgPool2d
from ds_cnn.layers.adaptive_max_pool2d import AdaptiveMaxPool2d
from ds_cnn.layers.avg_pool2d import AvgPool2d
from ds_cnn.layers.batch_norm2d import BatchNorm2d
from ds_cnn.layers.conv1d import Conv1d
from ds_cnn.layers.conv2d import Conv2d
from ds_cnn.layers.conv_transpose2d import ConvTranspose2d
from ds_cnn.layers.dropout2d import Dropout2d
from ds_cnn.layers.frozen_batch_norm2d import FrozenBatchNorm2d
from ds_cnn.layers.global_pool import GlobalAvgPool2d, GlobalMaxPool2d
from ds_cnn.layers.instance_norm2d import InstanceNorm2d
from ds_cnn.layers.lp_pool2d import LPPool2d
from ds_cnn.layers.max_pool2d import MaxPool2d
from ds_cnn.layers.pads import CircularPad2d, ConstantPad2d, ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from ds_cnn.layers.pixel_shuffle import PixelShuffle, PixelUnshuffle
from ds_cnn.layers.upsample import Upsample

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "CircularPad2d",
    "ConstantPad2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout2d",
    "FrozenBatchNorm2d",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "InstanceNorm2d",
    "LPPool2d",
    "MaxPool2d",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Upsample",
    "ZeroPad2d",
]
