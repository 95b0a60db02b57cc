"""Learning-rate schedules: one file each, sharing :class:`Scheduler`."""

from ds_core.schedulers.constant import ConstantLR
from ds_core.schedulers.cosine_annealing import CosineAnnealingLR
from ds_core.schedulers.cosine_warm_restarts import CosineAnnealingWarmRestarts
from ds_core.schedulers.cyclic import CyclicLR
from ds_core.schedulers.exponential import ExponentialLR
from ds_core.schedulers.inverse_square_root import InverseSquareRootLR
from ds_core.schedulers.lambda_lr import LambdaLR
from ds_core.schedulers.linear import LinearLR
from ds_core.schedulers.multi_step import MultiStepLR
from ds_core.schedulers.one_cycle import OneCycleLR
from ds_core.schedulers.polynomial import PolynomialLR
from ds_core.schedulers.reduce_on_plateau import ReduceLROnPlateau
from ds_core.schedulers.scheduler import Scheduler
from ds_core.schedulers.sequential import SequentialLR
from ds_core.schedulers.step import StepLR
from ds_core.schedulers.warmup_cosine import WarmupCosine

# For `scheduler="warmup_cosine"`.
SCHEDULERS: dict[str, type[Scheduler]] = {
    "constant": ConstantLR,
    "cosine": CosineAnnealingLR,
    "cosine_restarts": CosineAnnealingWarmRestarts,
    "cyclic": CyclicLR,
    "exponential": ExponentialLR,
    "inverse_square_root": InverseSquareRootLR,
    "lambda": LambdaLR,
    "linear": LinearLR,
    "multi_step": MultiStepLR,
    "one_cycle": OneCycleLR,
    "plateau": ReduceLROnPlateau,
    "polynomial": PolynomialLR,
    "sequential": SequentialLR,
    "step": StepLR,
    "warmup_cosine": WarmupCosine,
}

__all__ = [
    "SCHEDULERS",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "InverseSquareRootLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "Scheduler",
    "SequentialLR",
    "StepLR",
    "WarmupCosine",
]
