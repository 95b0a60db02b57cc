"""The glass box: every number of one step, forward and backward, layer by layer."""

from ds_core.glassbox.run import xray
from ds_core.glassbox.view import XRay

__all__ = ["XRay", "xray"]
