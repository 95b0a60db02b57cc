"""Many processes, on one machine or several, that train one model; `torchrun` starts them.

Each has the whole model and a part of every batch, see :class:`ds_core.training.data_parallel.DataParallel`.
What is here knows nothing of training: which process this is, what the processes tell one another, and how
gradients are added up while others are still computed.
"""

from ds_core.distributed.buckets import GradientBuckets
from ds_core.distributed.world import (
    ProcessLost,
    World,
    alone,
    gather_rows,
    gather_rows_backward,
    leads,
    restarted,
    rows_of,
    world,
)

__all__ = [
    "GradientBuckets",
    "ProcessLost",
    "World",
    "alone",
    "gather_rows",
    "gather_rows_backward",
    "leads",
    "restarted",
    "rows_of",
    "world",
]
