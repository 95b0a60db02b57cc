"""The referees as a tool: is this gradient right, and what does this code really execute?

``check_gradients(layer, x)`` compares a hand-written backward with torch's autograd and finite differences;
``record_operations(layer, x)`` lists what is executed. ``python -m ds_core.verify FOLDER`` runs both, and
the namesakes, over whole packages.
"""

from ds_core.verify.allowed import ALLOWED
from ds_core.verify.case import Case, OptimizerCase, SchedulerCase, load_cases
from ds_core.verify.comparison import LIMITS, Limits
from ds_core.verify.gradients import check_gradients
from ds_core.verify.operations import Operations, record_operations
from ds_core.verify.report import GradientReport

__all__ = [
    "ALLOWED",
    "LIMITS",
    "Case",
    "GradientReport",
    "Limits",
    "Operations",
    "OptimizerCase",
    "SchedulerCase",
    "check_gradients",
    "load_cases",
    "record_operations",
]
