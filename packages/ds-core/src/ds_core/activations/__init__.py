"""Activation functions as layers: one file each, sharing :class:`Activation`."""

from ds_core.activations.activation import Activation
from ds_core.activations.elu import ELU
from ds_core.activations.gelu import GELU
from ds_core.activations.glu import GLU
from ds_core.activations.hardswish import Hardswish
from ds_core.activations.leaky_relu import LeakyReLU
from ds_core.activations.log_sigmoid import LogSigmoid
from ds_core.activations.log_softmax import LogSoftmax
from ds_core.activations.mish import Mish
from ds_core.activations.prelu import PReLU
from ds_core.activations.relu import ReLU
from ds_core.activations.relu6 import ReLU6
from ds_core.activations.selu import SELU
from ds_core.activations.sigmoid import Sigmoid
from ds_core.activations.silu import SiLU
from ds_core.activations.softmax import Softmax
from ds_core.activations.softplus import Softplus
from ds_core.activations.tanh import Tanh

__all__ = [
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Activation",
    "Hardswish",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "Sigmoid",
    "SiLU",
    "Softmax",
    "Softplus",
    "Tanh",
]
