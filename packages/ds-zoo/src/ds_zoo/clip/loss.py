"""What stands on top of both towers: unit length, similarities, and the contrastive loss."""

from __future__ import annotations

import math
from typing import final

import torch
from ds_core import InputGrad, Module, Parameter
from ds_core.checks import check_dtype, check_floating, shape
from ds_core.distributed import gather_rows
from ds_core.kernels import dispatch
from ds_core.losses import Loss
from torch import Tensor

from ds_zoo import functional

unit_length, unit_length_backward = dispatch(functional.unit_length, half=torch.float32)
similarity, similarity_backward = dispatch(functional.similarity)
contrastive, contrastive_backward = dispatch(functional.contrastive, half=torch.float32)

MOST_SCALE = math.log(100)


@final
class UnitLength(Module):
    """Divides each vector by its length, so that only its direction is left.

    y = x / |x|,   dL/dx = (g - y (y.g)) / |x|

    Shape:
        x ``(..., D)`` -> the same.

    Raises:
        TypeError: if x is not floating point.
    """

    def forward(self, x: Tensor) -> Tensor:
        check_floating(self, x)
        y, saved = unit_length(x)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return unit_length_backward(grad, saved)


@final
class Similarity(Module):
    """Compares every image with every text, at a temperature that is learned.

    S = e^t I T^T,   dL/dI = e^t G T,   dL/dT = e^t G^T I,   dL/dt = sum of G S

    Args:
        log_scale: t at the start: the logarithm of one over the temperature.

    Shape:
        images ``(N, D)``, texts ``(M, D)``, both of unit length -> ``(N, M)``.

    Raises:
        ValueError: if they have other shapes.
        TypeError: if they are not floating point numbers of one dtype.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision (2021),
    figure 3.
    """

    log_scale: Tensor

    def __init__(self, log_scale: float = math.log(1 / 0.07)) -> None:
        self.log_scale = Parameter(torch.tensor(float(log_scale)))

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        if images.dim() != 2 or texts.dim() != 2 or images.shape[1] != texts.shape[1]:
            raise ValueError(
                f"{self.label()}: expected images (N, D) and texts (M, D), got {shape(images)} and "
                f"{shape(texts)}"
            )
        check_floating(self, images)
        check_dtype(self, texts, images.dtype)
        logits, saved = similarity(images, texts, self.log_scale)
        self.save(saved)
        return logits

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        grad_images, grad_texts, grad_scale = similarity_backward(grad, saved)
        self.add_grad("log_scale", grad_scale)
        return grad_images, grad_texts

    def clamp_(self) -> None:
        """Keeps the scale at most 100, after an optimizer's step; beyond, training is not stable.

        Source: Radford et al. (2021), section 2.5.
        """
        with torch.no_grad():
            self.log_scale.clamp_(max=MOST_SCALE)


@final
class ContrastiveLoss(Loss):
    """Makes every image find its text among all texts of the batch, and every text its image.

    l = -1/2N (sum_ij R_ij log P_ij + sum_ij C_ij log Q_ij),   dl/dS = (P - R + Q - C) / 2N

    P is the softmax of S over the texts, Q over the images. Pairs lie on the diagonal: R and C are 1 there.
    Where two pairs have one caption, or one image, each image goes as well with the other's caption:
    ``captions`` tells, and R and C share the 1 equally among equal ones. Without it, pairs that are right
    would be pushed apart.

    Shape:
        logits S ``(N, N)``, N at least 2; captions ``(N,)``, int64: equal numbers for equal captions and
        for captions of one image, or None if all differ -> scalar.

    Raises:
        ValueError: if there is one pair only, from which nothing is learned, or a shape does not fit.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision (2021),
    figure 3; Oord et al., Representation Learning with Contrastive Predictive Coding (2018), equation 4.
    """

    reductions = ("mean",)

    def __init__(self) -> None:
        super().__init__()

    def forward(self, logits: Tensor, captions: Tensor | None = None) -> Tensor:
        check_floating(self, logits)
        if logits.dim() != 2 or logits.shape[0] != logits.shape[1]:
            raise ValueError(
                f"ContrastiveLoss: expected logits (N, N), as many images as texts, got {shape(logits)}"
            )
        if len(logits) < 2:
            raise ValueError(
                "ContrastiveLoss: expected at least 2 pairs, to tell one from the other, got "
                f"{len(logits)}; leave out a last batch that small (drop_last=True)"
            )
        if captions is not None and len(captions) < len(logits):
            captions, _ = gather_rows(captions)  # those of other processes are compared, too
        if captions is not None and captions.shape != logits.shape[:1]:
            raise ValueError(
                f"ContrastiveLoss: expected captions ({len(logits)},), a number for each, got "
                f"{shape(captions)}"
            )
        same = None if captions is None else captions[:, None] == captions
        loss, saved = contrastive(logits, same)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return contrastive_backward(grad, saved)
