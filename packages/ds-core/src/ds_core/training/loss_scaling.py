"""Loss scaling: gradients of float16 made large enough to be told from zero.

float16 knows nothing below 6e-8, and gradients are often smaller: they would be rounded to zero. The
gradient of the loss is therefore S instead of 1, and so each gradient is S times what it is; before the
optimizer's step they are divided by S, which is a power of two, so that not a digit is lost.

Where S is too large, numbers above 65504 become infinite. Then S is halved and the step done again; where
it was not for many steps, it is doubled. So it follows the gradients as they grow smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ds_core.clipping import grad_norm


class LossScaling:
    """The scale S of the loss, which adapts.

    Args:
        scale: S at the beginning.
        patience: steps without infinite numbers after which it is doubled.

    Source: Micikevicius et al., Mixed Precision Training (2018), section 3.2.
    """

    def __init__(self, scale: float = 2.0**16, patience: int = 2000) -> None:
        self.scale = scale
        self.patience = patience
        self.clean = 0  # steps since it was last changed

    def undo(self, parameters: list[Tensor]) -> bool:
        """Divides the gradients by S, and says whether they can be used; if not, S is halved.

        With S down at 1 they are what they are: then they count as usable, and whoever checks them says so.
        """
        if not grad_norm(parameters).isfinite() and self.scale > 1:
            self.scale, self.clean = self.scale / 2, 0
            return False
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(1 / self.scale)
        self.clean += 1
        if self.clean == self.patience:
            self.scale, self.clean = self.scale * 2, 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """Returns where it is."""
        return {"scale": self.scale, "clean": self.clean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes there."""
        self.scale, self.clean = float(state["scale"]), int(state["clean"])
