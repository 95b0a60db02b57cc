"""ds_core: layers, losses, optimizers and training, with every gradient written by hand."""

from ds_core import activations, containers, layers, losses
from ds_core.activations import *
from ds_core.containers import *
from ds_core.engines import engine
from ds_core.layers import *
from ds_core.losses import *
from ds_core.module import Module, Parameter

__version__ = "0.1.0"

__all__ = ["Module", "Parameter", "engine"]
__all__ += activations.__all__
__all__ += containers.__all__
__all__ += layers.__all__
__all__ += losses.__all__
