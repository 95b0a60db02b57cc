"""ds_core: layers, losses, optimizers and training, with every gradient written by hand."""

from ds_core import activations, containers, finetuning, layers, losses, optimizers, schedulers, training
from ds_core.activations import *
from ds_core.clipping import clip_grad_norm_, clip_grad_value_
from ds_core.containers import *
from ds_core.engines import engine, keep_for_second
from ds_core.finetuning import *
from ds_core.layers import *
from ds_core.losses import *
from ds_core.module import InputGrad, Module, Parameter, evaluating
from ds_core.optimizers import *
from ds_core.recompute import Recompute
from ds_core.schedulers import *
from ds_core.training import *
from ds_core.xray import summary, xray

__version__ = "0.2.0"

__all__ = [
    "InputGrad",
    "Module",
    "Parameter",
    "Recompute",
    "clip_grad_norm_",
    "clip_grad_value_",
    "engine",
    "evaluating",
    "keep_for_second",
    "summary",
    "xray",
]
__all__ += activations.__all__
__all__ += containers.__all__
__all__ += finetuning.__all__
__all__ += layers.__all__
__all__ += losses.__all__
__all__ += optimizers.__all__
__all__ += schedulers.__all__
__all__ += training.__all__
