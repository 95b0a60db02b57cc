"""What a trained CLIP is good for: naming what nobody trained it to name, and finding one by the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from ds_core.checks import shape
from ds_core.functional import softmax
from ds_core.module import evaluating
from ds_core.training.files import save_tensors
from torch import Tensor

from ds_zoo.clip.model import MiniCLIP

Encode = Callable[[Sequence[str]], Tensor]  # captions -> token ids (M, T)

PLAIN = ("{}",)
# Of the published model's eighty templates for ImageNet, a few.
PHOTOS = (
    "a photo of {}.",
    "a bad photo of {}.",
    "a photo of the large {}.",
    "a photo of the small {}.",
    "itap of {}.",
)
_AT_ONCE = 256  # images or captions


class ZeroShot:
    """Sorts images into classes that are only named: the class whose caption is closest.

    p = softmax(e^t I W^T), row k of W the unit vector of class k

    Each label is put into every template; the unit vectors are averaged, and the mean has unit length again:
    an ensemble that costs nothing when images come.

    Args:
        model: any MiniCLIP.
        encode: turns captions into token ids.
        labels: at least two.
        templates: sentences with ``{}`` where the label goes.

    Raises:
        ValueError: if there are fewer than two labels, two are equal, or become so since their words are
            unknown, or a template has no ``{}``.

    Source: Radford et al. (2021), section 3.1.4.
    """

    def __init__(
        self, model: MiniCLIP, encode: Encode, labels: Sequence[str], templates: Sequence[str] = PLAIN
    ) -> None:
        if len(labels) < 2:
            raise ValueError(
                f"labels: expected at least 2, to choose from, got {list(labels)}: with one, its "
                "probability is 1 whatever the image shows; add what else it could be"
            )
        if len(set(labels)) < len(labels):
            raise ValueError(f"labels: expected different ones, got {list(labels)}")
        wrong = [template for template in templates if "{}" not in template]
        if wrong or not templates:
            raise ValueError(f"templates: expected {{}} in each, where the label goes, got {wrong}")
        self.model, self.labels = model, list(labels)
        sentences = [template.replace("{}", label) for label in labels for template in templates]
        ids = encode(sentences)
        first: dict[tuple[int, ...], str] = {}
        for label, row in zip(labels, ids.view(len(labels), -1).tolist(), strict=True):
            if (other := first.setdefault(tuple(row), label)) != label:
                raise ValueError(
                    f"labels: {other!r} and {label!r} are the same to the model: it does not know the words "
                    "in which they differ"
                )
        vectors = embed_captions(model, ids).view(len(labels), len(templates), -1)
        mean = vectors.mean(1)
        self.weight = mean / (mean * mean).sum(-1, keepdim=True).sqrt()  # (labels, D)

    def logits(self, pixel_values: Tensor) -> Tensor:
        """Returns similarities, ``(N, labels)``."""
        return self.compared(embed_images(self.model, pixel_values))

    def compared(self, images: Tensor) -> Tensor:
        """Returns similarities, ``(N, labels)``, of images as vectors of unit length ``(N, D)``."""
        scale = self.model.similarity.log_scale.detach().exp().to(images.device)
        return scale * (images @ self.weight.mT.to(images.device))

    def probabilities(self, pixel_values: Tensor) -> Tensor:
        """Returns how likely each label is, ``(N, labels)``."""
        return softmax(self.logits(pixel_values), -1)[0]

    def classify(self, pixel_values: Tensor) -> list[str]:
        """Returns the likeliest label of each image."""
        return [self.labels[place] for place in self.logits(pixel_values).argmax(1).tolist()]


def embed_images(model: MiniCLIP, pixel_values: Tensor) -> Tensor:
    """Returns images as vectors of unit length, ``(N, D)``, on the device that the images are on."""
    return _embed(model, pixel_values, lambda part: model.image_unit(model.get_image_features(part)))


def embed_captions(model: MiniCLIP, input_ids: Tensor) -> Tensor:
    """Returns captions as vectors of unit length, ``(M, D)``, on the device that their ids are on."""
    return _embed(model, input_ids, lambda part: model.text_unit(model.get_text_features(part)))


def _embed(model: MiniCLIP, inputs: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
    at = model.similarity.log_scale.device
    with torch.no_grad(), evaluating(model):
        parts = [embed(part.to(at)) for part in inputs.split(_AT_ONCE)]
    return torch.cat(parts).to(inputs.device)


def save_embeddings(path: str | Path, names: Sequence[str], vectors: Tensor) -> None:
    r"""Writes vectors, as ``embeddings`` in a safetensors file, and whose they are.

    Args:
        path: the file.
        names: N of them: paths of images, or captions; they stand in the file's metadata, one a line; a line
            feed within one as ``\n``, what is no UTF-8 as ``\udcff``.
        vectors: ``(N, D)``.

    Raises:
        ValueError: if there are not as many names as vectors.
    """
    if len(names) != len(vectors):
        raise ValueError(f"embeddings: expected a name for each of {len(vectors)} vectors, got {len(names)}")
    lines = [name.replace("\n", r"\n").encode("utf-8", "backslashreplace").decode() for name in names]
    save_tensors(Path(path), {"embeddings": vectors.contiguous()}, {"names": "\n".join(lines)})


class Found(NamedTuple):
    """How well one side finds the other.

    Attributes:
        recall: k -> share of queries with something right among the first k.
        median_rank: half of the queries find something right at this rank or before; 1 is best.
    """

    recall: dict[int, float]
    median_rank: float


def retrieval(
    similarities: Tensor, right: Tensor | None = None, ks: Sequence[int] = (1, 5, 10)
) -> tuple[Found, Found]:
    """Measures how well images find their captions and captions their images.

    A rank counts how many wrong ones are not less similar than the best right one, and one more: of a model
    that finds everything equally similar, or whose similarities are NaN, all ranks are last.

    Args:
        similarities: ``(N, M)``.
        right: bool ``(N, M)``: which captions are true of which images; None for the diagonal.
        ks: how many of the first ones are looked at.

    Returns:
        Image to text, and text to image.

    Raises:
        ValueError: if shapes do not fit, or an image or a caption has nothing that is right.

    Source: Hodosh et al., Framing Image Description as a Ranking Task (2013), section 5.
    """
    n, m = similarities.shape
    if right is None:
        if n != m:
            raise ValueError(
                f"retrieval: expected as many images as captions, got {shape(similarities)}; else say what "
                "is right"
            )
        right = torch.eye(n, dtype=torch.bool, device=similarities.device)
    if right.shape != similarities.shape:
        raise ValueError(f"retrieval: expected right of shape {shape(similarities)}, got {shape(right)}")
    return _found(similarities, right, ks, "image"), _found(similarities.mT, right.mT, ks, "caption")


def _found(similarities: Tensor, right: Tensor, ks: Sequence[int], what: str) -> Found:
    lost = (~right.any(1)).nonzero().flatten().tolist()
    if lost:
        raise ValueError(f"retrieval: nothing is right for {what} {lost[0]}")
    best = torch.where(right, similarities, -torch.inf).amax(1, keepdim=True)
    ranks = 1 + (~(similarities < best) & ~right).sum(1)
    ordered = ranks.sort().values
    middle = (len(ranks) - 1) // 2, len(ranks) // 2
    median = sum(ordered[place].item() for place in middle) / 2
    return Found({k: (ranks <= k).float().mean().item() for k in ks}, median)
