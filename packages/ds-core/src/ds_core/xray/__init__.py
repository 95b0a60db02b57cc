"""Looking inside: every number of one step, forward and backward, and what a model is made of."""

from ds_core.xray.report import XRay
from ds_core.xray.run import xray
from ds_core.xray.summary import Summary, summary

__all__ = ["Summary", "XRay", "summary", "xray"]
