"""Judge: a small network that says what samples show, and how far they are from real images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ds_cnn import Conv2d, MaxPool2d
from ds_core import (
    Adam,
    Callback,
    CrossEntropyLoss,
    Dense,
    Flatten,
    Module,
    ReLU,
    Sequential,
    Trainer,
    WarmupCosine,
)
from ds_core.checks import shape
from ds_core.module import evaluating
from ds_core.training.files import CheckpointError, load_tensors, save_tensors
from torch import Tensor

from ds_zoo.gan.data import Centred, some
from ds_zoo.gan.quality import frechet_distance, precision_recall
from ds_zoo.vit.data import LabelledImages

JUDGE_FILE = "classifier.safetensors"
SURE = 0.9  # a sample of which the classifier is surer shows something
_FEATURES, _BATCH, _EPOCHS, _STEPS, _RATE = 64, 64, 3, 500, 2e-3  # it learns for either, whichever is longer
_REAL = 10_000  # real images, at most, to which samples are compared


class Judge:
    """A classifier of real images, by whose last hidden layer samples are compared with real images.

    Args:
        network: images to features, and to scores of the classes by its last layer.
        class_names: one for each class.
        accuracy: on real images that it has not learned from.
        real: features of such images ``(N, F)``.
    """

    def __init__(
        self, network: Sequential, class_names: tuple[str, ...], accuracy: float, real: Tensor
    ) -> None:
        self.network, self.class_names, self.accuracy, self.real = network, class_names, accuracy, real

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features ``(N, F)`` and probabilities of the classes ``(N, classes)``."""
        return _look(self.network, images)

    def measure(self, images: Tensor, *, lie_among: bool = False) -> dict[str, float]:
        """Says how good samples are.

        Args:
            images: ``(N, C, H, W)``, numbers in [-1, 1].
            lie_among: whether precision and recall are measured, too.

        Returns:
            ``frechet``; ``sure``, the share of which the classifier is surer than 0.9; ``least``, the share
            of the rarest class; ``precision`` and ``recall``, if asked for; and the share of each class as
            ``share of NAME``.
        """
        features, chances = self.look(images)
        counts = chances.argmax(1).bincount(minlength=len(self.class_names)) / len(images)
        shares = {f"share of {name}": float(n) for name, n in zip(self.class_names, counts, strict=True)}
        numbers = {
            "frechet": frechet_distance(self.real, features),
            "sure": float((chances.amax(1) > SURE).double().mean()),
            "least": float(counts.min()),
        }
        if lie_among:
            numbers["precision"], numbers["recall"] = precision_recall(self.real[: len(images)], features)
        return numbers | shares

    def save(self, path: Path) -> None:
        """Writes it as one file."""
        words = {"classes": json.dumps(self.class_names), "accuracy": repr(self.accuracy)}
        save_tensors(path, self.network.state_dict(), words)


def load_judge(path: Path, test: LabelledImages) -> Judge | None:
    """Reads a classifier; None where there is none, or it is one of other images.

    Args:
        path: the file.
        test: real images for samples to be compared with.
    """
    if not path.is_file():
        return None
    tensors, words = load_tensors(path)
    network = new_classifier(test.shape(), len(test.class_names), seed=0)
    try:
        network.load_state_dict(tensors)
        names, accuracy = tuple(json.loads(words["classes"])), float(words["accuracy"])
    except (KeyError, ValueError, CheckpointError):
        return None
    images, _ = some(test, _REAL)
    return Judge(network, names, accuracy, _look(network, images)[0]) if names == test.class_names else None


def train_judge(
    learned: LabelledImages, test: LabelledImages, seed: int = 0, callbacks: Sequence[Callback] = ()
) -> Judge:
    """Trains a classifier on real images, for a minute or so, and measures it on others.

    Args:
        learned: images to learn from.
        test: others.
        seed: of initial weights and order.
        callbacks: called besides.

    Raises:
        KeyboardInterrupt: if it was interrupted.
    """
    network = new_classifier(learned.shape(), len(learned.class_names), seed)
    loader = learned.loader(_BATCH, shuffle=True, seed=seed, transform=Centred())
    optimizer = Adam(network.parameters(), _RATE)
    steps = max(_EPOCHS * len(loader), _STEPS)
    schedule = WarmupCosine(optimizer, steps // 20, steps, _RATE / 100)
    loss = CrossEntropyLoss()
    trainer = Trainer(network, loss, optimizer, schedule, progress=False, callbacks=callbacks, seed=seed)
    if trainer.fit(loader, steps=steps).stopped is not None:
        raise KeyboardInterrupt  # a classifier that has learned half measures nothing
    images, labels = some(test, _REAL)
    features, chances = _look(network, images)
    accuracy = float((chances.argmax(1) == labels).double().mean())
    return Judge(network, learned.class_names, accuracy, features)


def new_classifier(size: tuple[int, int, int], classes: int, seed: int) -> Sequential:
    """Makes a network of two convolutions and two dense layers.

    Args:
        size: channels, height and width of images.
        classes: how many there are.
        seed: of the initial weights.

    Raises:
        ValueError: if a side has less than 4 pixels, as both are halved twice.
    """
    channels, height, width = size
    if min(height, width) < 4:
        raise ValueError(
            "classifier: expected images of at least 4 x 4 pixels, which it halves twice, got "
            f"{height} x {width}; give --image-size, or --no-judge"
        )
    draw: dict[str, Any] = {"generator": torch.Generator().manual_seed(seed)}
    layers: list[Module] = [
        *(Conv2d(channels, 16, 3, padding=1, **draw), ReLU(), MaxPool2d(2)),
        *(Conv2d(16, 32, 3, padding=1, **draw), ReLU(), MaxPool2d(2)),
        *(Flatten(), Dense(32 * (height // 4) * (width // 4), _FEATURES, **draw), ReLU()),
        Dense(_FEATURES, classes, **draw),
    ]
    return Sequential(*layers)


@torch.no_grad()
def _look(network: Sequential, images: Tensor) -> tuple[Tensor, Tensor]:
    if len(images) == 0:
        raise ValueError(f"Judge: expected at least one image, got shape {shape(images)}")
    *below, last = network
    features, chances = [], []
    with evaluating(network):
        for x in images.split(256):
            for layer in below:
                x = layer(x)
            features.append(x)
            chances.append(CrossEntropyLoss().probabilities(last(x)))
    return torch.cat(features), torch.cat(chances)
