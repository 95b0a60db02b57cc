"""AdversarialLoss: what a discriminator's scores cost it, and what they cost the generator."""

from __future__ import annotations

from typing import Literal, final

import torch
from ds_core.kernels import dispatch
from ds_core.losses import Loss
from torch import Tensor

from ds_zoo import functional

Kind = Literal["non_saturating", "least_squares", "hinge", "wasserstein"]
Goal = Literal["real", "fake", "fool"]

# The formula, and the number it is given where the discriminator is to say "real", where it is to say "fake",
# and where the generator is to fool it.
_RULES = {
    "non_saturating": (dispatch(functional.non_saturating, half=torch.float32), (1.0, 0.0, 1.0)),
    "least_squares": (dispatch(functional.least_squares, half=torch.float32), (1.0, 0.0, 1.0)),
    "hinge": (dispatch(functional.hinge, half=torch.float32), (1.0, -1.0, 1.0)),
    "wasserstein": (dispatch(functional.wasserstein, half=torch.float32), (1.0, -1.0, 1.0)),
}
_FOOL = dispatch(functional.wasserstein, half=torch.float32)  # hinge's generator has no margin


@final
class AdversarialLoss(Loss):
    """Says what scores cost: the discriminator, for real and for made examples, or the generator.

    ===============  ==========================  ==========================  ==========================
    kind             real, discriminator         made, discriminator         made, generator
    ===============  ==========================  ==========================  ==========================
    non_saturating   mean softplus(-s)           mean softplus(s)            mean softplus(-s)
    least_squares    1/2 mean (s - 1)^2          1/2 mean s^2                1/2 mean (s - 1)^2
    hinge            mean max(0, 1 - s)          mean max(0, 1 + s)          -mean s
    wasserstein      -mean s                     mean s                      -mean s
    ===============  ==========================  ==========================  ==========================

    Args:
        kind: as above.
        smoothing: one-sided label smoothing, of the first two: real examples are to be real with probability
            1 - smoothing, so that the discriminator is never quite sure.

    Shape:
        scores ``(N, 1)`` -> a scalar.

    Raises:
        ValueError: if there is no such kind or goal, or smoothing is not in [0, 1/2), or there are no scores.

    Source: see :mod:`ds_zoo.functional.adversarial`; Salimans et al., Improved Techniques for Training GANs
    (2016), section 3.4, for the smoothing.
    """

    def __init__(self, kind: Kind = "non_saturating", smoothing: float = 0.0) -> None:
        super().__init__()
        if kind not in _RULES:
            raise ValueError(f"AdversarialLoss: expected kind to be one of {', '.join(_RULES)}, got {kind!r}")
        if not 0 <= smoothing < 0.5 or (smoothing and kind not in ("non_saturating", "least_squares")):
            raise ValueError(
                "AdversarialLoss: expected smoothing in [0, 0.5), with non_saturating or least_squares, "
                f"got {smoothing} with {kind}"
            )
        self.kind, self.smoothing = kind, smoothing

    def forward(self, scores: Tensor, goal: Goal) -> Tensor:
        if goal not in ("real", "fake", "fool"):
            raise ValueError(f"AdversarialLoss: expected goal 'real', 'fake' or 'fool', got {goal!r}")
        if not scores.numel():
            raise ValueError("AdversarialLoss: expected at least one score, got none")
        rule, (real, fake, fool) = _RULES[self.kind]
        rule = _FOOL if goal == "fool" and self.kind == "hinge" else rule
        number = {"real": real - self.smoothing, "fake": fake, "fool": fool}[goal]
        loss, saved = rule[0](scores, number)
        self.save(rule[1], saved)
        result: Tensor = loss
        return result

    def backward(self, grad: Tensor | float = 1.0) -> Tensor:
        rule_backward, saved = self.saved()
        grad_scores: Tensor = rule_backward(grad, saved)
        return grad_scores

    def extra_repr(self) -> str:
        return repr(self.kind) + (f", smoothing={self.smoothing}" if self.smoothing else "")
