"""Optimizers: one file each, sharing :class:`Optimizer`."""

from ds_core.optimizers.adadelta import Adadelta
from ds_core.optimizers.adagrad import Adagrad
from ds_core.optimizers.adam import Adam
from ds_core.optimizers.adamw import AdamW
from ds_core.optimizers.chained import ChainedOptimizer
from ds_core.optimizers.lion import Lion
from ds_core.optimizers.muon import Muon
from ds_core.optimizers.nadam import NAdam
from ds_core.optimizers.optimizer import Optimizer
from ds_core.optimizers.radam import RAdam
from ds_core.optimizers.rmsprop import RMSprop
from ds_core.optimizers.sgd import SGD

# For `optimizer="adam"`.
OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adadelta": Adadelta,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamw": AdamW,
    "lion": Lion,
    "muon": Muon,
    "nadam": NAdam,
    "radam": RAdam,
    "rmsprop": RMSprop,
    "sgd": SGD,
}

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "ChainedOptimizer",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
]
