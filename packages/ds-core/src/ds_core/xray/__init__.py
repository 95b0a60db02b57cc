"""Looking inside: every number of one step, forward and backward, and what a model is made of."""

from ds_core.xray.report import XRay
from ds_core.xray.run import xray
from ds_core.xray.summary import Summary, summary
from ds_core.xray.trace import Trace, trace

__all__ = ["Summary", "Trace", "XRay", "summary", "trace", "xray"]
