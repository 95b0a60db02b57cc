"""One pass of images through a network as in evaluation, and of one score's gradient back through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from ds_core import Module, engine
from ds_core.checks import shape
from ds_core.layers.batch_norm import BatchNorm
from ds_core.layers.dropout import DropoutBase
from ds_core.module import replaced
from ds_core.xray.observe import observe
from torch import Tensor

from ds_cnn.transforms.transform import check_images


@dataclass
class Passage:
    """What a pass forward and back met.

    Attributes:
        images: what went in, ``(N, C, H, W)``.
        scores: what came out, ``(N, classes)``.
        classes: whose score each image's gradient is of, ``(N,)``.
        grad: the gradient of that score by the image, like ``images``; None if the model gives none.
        outputs: of the layers watched, what they gave, by path.
        output_grads: the gradient of the score by it.
    """

    images: Tensor
    scores: Tensor
    classes: Tensor
    grad: Tensor | None
    outputs: dict[str, Tensor] = field(default_factory=dict)
    output_grads: dict[str, Tensor] = field(default_factory=dict)


def as_batch(images: Tensor, who: str) -> Tensor:
    """Returns images ``(N, C, H, W)``, from these or from one ``(C, H, W)``.

    Raises:
        ValueError: if it is neither, or there are none.
        TypeError: if it is no tensor, or not floating point.
    """
    check_images(who, images)
    if not images.numel():
        raise ValueError(f"{who}: expected images, got {shape(images)}")
    return (images if images.dim() == 4 else images.unsqueeze(0)).detach()


def pass_through(
    model: Module,
    images: Tensor,
    target: int | Sequence[int] | Tensor | None,
    layers: Sequence[str],
    who: str,
) -> Passage:
    """Runs images forward, and the gradient of one score of each image backward.

    Everything happens on a copy: the model, its gradients, buffers and mode stay as they are.

    Args:
        model: gives scores ``(N, classes)``.
        images: ``(N, C, H, W)``.
        target: whose score: a class for all images or one for each; None for the highest score.
        layers: paths of the layers to watch.
        who: asks, for error messages.

    Raises:
        ValueError: if the output is not finite scores, a class is unknown, a layer is never called or no
            gradient comes to it, or the model has layers that compute otherwise in evaluation than in
            training and whose backward is unknown there.
    """
    images = as_batch(images, who)
    outputs: dict[str, Tensor] = {}
    output_grads: dict[str, Tensor] = {}

    def on_forward(path: str, part: Module, inputs: tuple[Any, ...], output: Any) -> None:
        if path in layers:
            outputs[path] = output.clone()  # a later layer may work in place

    def on_backward(path: str, part: Module, grads: tuple[Any, ...], input_grad: Any) -> None:
        if path in layers:  # of a layer called several times, the latest call comes first
            output_grads.setdefault(path, grads[0].clone())

    with as_in_evaluation(model) as copy, engine("manual"), observe(copy, on_forward, on_backward):
        scores = copy(images.clone())
        if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(images):
            got = shape(scores) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(f"{who}: expected a model that gives scores ({len(images)}, classes), got {got}")
        if not scores.isfinite().all():
            raise ValueError(f"{who}: expected finite scores, got NaN or infinity, as of images or weights")
        _check_calls(layers, outputs, who)
        _check_agreement(model, images, scores, who)
        classes = _classes(target, scores, who)
        scores = scores.clone()
        # The sum of one score of each image: no image has a part in another one's.
        grad = copy.backward(torch.zeros_like(scores).scatter_(1, classes.unsqueeze(1), 1))
    for name in layers:
        if name not in output_grads:
            raise ValueError(f"{who}: the scores have no gradient for what the model's layer {name!r} gives")
    return Passage(images, scores, classes, grad, outputs, output_grads)


@contextmanager
def as_in_evaluation(model: Module) -> Iterator[Module]:
    """Gives a copy that computes as in evaluation, and yet saves what its backward needs.

    In evaluation nothing is saved, so the copy is in training mode, but its dropout drops nothing, and its
    batch norms use their running averages, by which they are plain scalings: dL/dx = s dL/dy with
    s = W / sqrt(running_var + eps). Its parameters are frozen: only inputs get gradients.
    """
    copy = model.copy().train().requires_grad_(False)
    with ExitStack() as stack:
        for part in copy.modules():
            part.input_grad = True
            if isinstance(part, DropoutBase):
                part.p = 0.0
            elif isinstance(part, BatchNorm) and part.running_var is not None:
                part.training = False
                stack.enter_context(replaced(part, backward=_Scaling(part)))
        yield copy


class _Scaling:
    """The backward of a batch norm in evaluation."""

    def __init__(self, norm: BatchNorm) -> None:
        if norm.running_var is None:
            raise ValueError(f"{norm.label()}: expected running averages, there are none")
        self.scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            self.scale = self.scale * norm.weight

    def __call__(self, grad: Tensor) -> Tensor:
        return grad * self.scale.view(-1, *[1] * (grad.dim() - 2))


def _check_calls(layers: Sequence[str], outputs: dict[str, Tensor], who: str) -> None:
    """Checks that every layer was called."""
    for name in layers:
        if name not in outputs:
            raise ValueError(f"{who}: the model never calls its layer {name!r}")


def _check_agreement(model: Module, images: Tensor, scores: Tensor, who: str) -> None:
    """Checks that the copy says what the model itself says in evaluation."""
    expected = model.copy().eval()(images.clone())
    limit = 1e-3 * float(expected.abs().amax()) + 1e-6
    if float((scores - expected).abs().amax()) > limit:
        raise ValueError(
            f"{who}: the model has layers, other than batch norm and dropout, that compute otherwise in "
            "evaluation than in training; how gradients pass through them in evaluation is not known"
        )


def _classes(target: int | Sequence[int] | Tensor | None, scores: Tensor, who: str) -> Tensor:
    """Returns one class for each image, ``(N,)``."""
    if target is None:
        return scores.argmax(1)
    count, classes = scores.shape
    expected = f"{who}: expected target to be a class, or one for each of {count} images, got {target}"
    try:
        given = torch.as_tensor(target, device=scores.device)
    except (TypeError, ValueError, RuntimeError) as error:  # a name, say
        raise TypeError(expected) from error
    if given.is_floating_point() or given.dtype == torch.bool or given.shape not in ((), (count,)):
        raise ValueError(expected)
    given = given.long().expand(count)
    if int(given.min()) < 0 or int(given.max()) >= classes:
        raise ValueError(f"{who}: expected target classes from 0 to {classes - 1}, got {target}")
    return given
