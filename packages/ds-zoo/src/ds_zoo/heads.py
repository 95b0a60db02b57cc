"""What the heads of different models share: names of labels, their loss, and where a backward begins."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple, Self, overload

import torch
from ds_core import BCEWithLogitsLoss, CrossEntropyLoss, InputGrad, Module, MSELoss
from ds_core.checks import shown
from ds_core.initializers import Init, normal_
from ds_core.losses import Loss
from ds_core.pretrained import Pretrained
from torch import Tensor

LABELS = ("num_labels", "id2label", "label2id")  # how ``config.json`` names the labels
PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")


class HeadOutput(NamedTuple):
    """What a head returns.

    Attributes:
        loss: a scalar; None without labels.
        logits: the scores, as each head says.
        hidden_states: if asked for: what the embeddings gave and then each layer.
        attentions: if asked for: of each layer who looked at whom.
    """

    loss: Tensor | None
    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class Head(Pretrained):
    """Base of models with a head, which take labels and give a loss.

    Without labels a head gives logits and ``backward`` takes their gradient, ``grad_logits=``; with labels it
    gives the loss, too, and ``backward()`` alone begins there.
    """

    def finish(self, loss_fn: Loss, logits: Tensor, labels: Tensor | None, x: Any) -> HeadOutput:
        """Returns logits and, with labels, the loss."""
        loss = None if labels is None else loss_fn(logits, labels)
        self.save(None if labels is None else loss_fn)
        return HeadOutput(loss, logits, x.hidden_states, x.attentions)

    def grad_of_logits(self, grad_loss: Tensor | float | None, grad_logits: Tensor | None) -> Tensor:
        """Returns the gradient of the logits: what the loss makes of its own, and what is given besides."""
        (loss_fn,) = self.saved()
        if loss_fn is None:
            if grad_logits is None or grad_loss is not None:
                raise ValueError(
                    f"{type(self).__name__}.backward: expected grad_logits alone: forward got no labels, so "
                    "there is no loss to begin at"
                )
            return grad_logits
        if grad_loss is None:
            grad_loss = 1.0 if grad_logits is None else 0.0
        grad: Tensor = loss_fn.backward(grad_loss)
        return grad if grad_logits is None else grad + grad_logits

    def backward(self, grad_loss: Tensor | float | None = None, grad_logits: Tensor | None = None) -> Any:
        """Adds to every parameter's ``.grad``.

        Args:
            grad_loss: dL/d(loss); None for 1, or for 0 beside ``grad_logits``.
            grad_logits: dL/d(logits), besides.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def label(self) -> str:
        """Returns the class's name: it has no arguments worth showing."""
        return type(self).__name__


class LabelLoss(Loss):
    """The loss for labels of any kind: one of several, any of several, or numbers.

    The cross-entropy, the mean binary cross-entropy, or the mean squared error: ``problem_type`` says which.
    Where it does not, a single label means numbers, integers mean one of several, other types any of several.

    Args:
        problem_type: one of ``PROBLEMS``, or None.

    Shape:
        logits ``(B, L)``; labels ``(B,)``, int64, for one of several, ``(B, L)`` else, or ``(B,)`` for one
        number -> a scalar.
    """

    def __init__(self, problem_type: str | None = None) -> None:
        super().__init__()
        self.problem_type = problem_type
        self.number, self.one_of, self.any_of = MSELoss(), CrossEntropyLoss(dim=-1), BCEWithLogitsLoss()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        problem = self._problem(logits, labels)
        chosen: Loss = self.one_of
        if problem != "single_label_classification":
            chosen = self.number if problem == "regression" else self.any_of
            labels = labels.to(logits.dtype)
            labels = labels[:, None] if labels.dim() == 1 and logits.shape[-1] == 1 else labels
        self.save(chosen)
        return chosen(logits, labels)

    def backward(self, grad: Tensor | float = 1.0) -> Any:
        (chosen,) = self.saved()
        return chosen.backward(grad)

    def _problem(self, logits: Tensor, labels: Tensor) -> str:
        if self.problem_type is not None:
            return self.problem_type
        if logits.shape[-1] == 1:
            return "regression"
        whole = labels.dtype in (torch.int64, torch.int32)
        return "single_label_classification" if whole else "multi_label_classification"


class Logits(Module):
    """A head that gives its logits alone, for a :class:`ds_core.Trainer`, which has a loss of its own.

    Args:
        head: the model.

    Shape:
        as the head's inputs -> its logits.
    """

    def __init__(self, head: Head) -> None:
        self.head = head

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.head(*inputs).logits

    def backward(self, grad: Tensor) -> InputGrad:
        return self.head.backward(None, grad)

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.head.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)


def label_fields(labels: tuple[str, ...]) -> dict[str, Any]:
    """Returns the fields of ``config.json`` that name labels."""
    return {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }


def labels_of(fields: dict[str, Any], *, apart: bool = True) -> tuple[str, ...]:
    """Takes the names of labels out of the fields of ``config.json``.

    Args:
        fields: of the file.
        apart: whether those of one name, as two of ImageNet's, get their numbers besides: "crane (134)",
            "crane (517)".

    Raises:
        ValueError: if labels are not numbered from 0 on.
    """
    count, names, _ = (fields.pop(name, None) for name in LABELS)
    if names is None:
        names = {str(number): f"LABEL_{number}" for number in range(2 if count is None else count)}
    if sorted(map(int, names)) != list(range(len(names))) or count not in (None, len(names)):
        raise ValueError(f"expected id2label to number num_labels={count} labels from 0 on, got {names}")
    often = Counter(names.values()) if apart else {}
    return tuple(
        f"{names[number]} ({number})" if often.get(names[number], 1) > 1 else names[number]
        for number in sorted(names, key=int)
    )


@overload
def total(first: Tensor, second: Tensor | None) -> Tensor: ...
@overload
def total(first: Tensor | None, second: Tensor) -> Tensor: ...
@overload
def total(first: Tensor | None, second: Tensor | None) -> Tensor | None: ...
def total(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Adds two gradients of the same numbers, either of which may be None.

    Raises:
        ValueError: if they are not of one shape and type.
    """
    if first is None or second is None:
        return first if second is None else second
    if not isinstance(first, Tensor) or (first.shape, first.dtype) != (second.shape, second.dtype):
        raise ValueError(
            f"expected gradients of one shape and type, to be added, got {shown(first)} and {shown(second)}"
        )
    return first + second


def initial(spread: float) -> Init:
    """Returns what draws initial weights: a normal distribution of this standard deviation."""

    def init(tensor: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return normal_(tensor, std=spread, generator=generator)

    return init
