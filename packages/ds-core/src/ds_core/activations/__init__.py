"""Activation functions as layers: one file each, sharing :class:`Activation`."""

from ds_core.activations.activation import Activation
from ds_core.activations.celu import CELU
from ds_core.activations.elu import ELU
from ds_core.activations.gelu import GELU
from ds_core.activations.glu import GLU
from ds_core.activations.hardshrink import Hardshrink
from ds_core.activations.hardsigmoid import Hardsigmoid
from ds_core.activations.hardswish import Hardswish
from ds_core.activations.hardtanh import Hardtanh
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
from ds_core.activations.softmin import Softmin
from ds_core.activations.softplus import Softplus
from ds_core.activations.softshrink import Softshrink
from ds_core.activations.softsign import Softsign
from ds_core.activations.tanh import Tanh
from ds_core.activations.tanhshrink import Tanhshrink
from ds_core.activations.threshold import Threshold

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Activation",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]
