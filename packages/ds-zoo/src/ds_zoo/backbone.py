"""Backbones of detectors: a ResNet that gives maps of features, and what published files call its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from ds_cnn import BatchNorm2d, FrozenBatchNorm2d, ResNet
from ds_cnn.models.resnet import BLOCKS, Norm
from ds_cnn.models.resnet_hugging_face import DEFAULTS, RESNET
from ds_cnn.models.resnet_hugging_face import to_hugging_face as resnet_names
from ds_core import GroupNorm, InputGrad, Module
from ds_core.checks import check_fields
from ds_core.pretrained import Format, known_fields
from torch import Tensor

NORMS = ("frozen", "group", "batch")
GROUP_CHANNELS = 8  # in a group of the group norm
NAMED: dict[str, dict[str, Any]] = {
    "resnet18": {"depths": (2, 2, 2, 2), "layer_type": "basic", "hidden_sizes": (64, 128, 256, 512)},
    "resnet34": {"depths": (3, 4, 6, 3), "layer_type": "basic", "hidden_sizes": (64, 128, 256, 512)},
    "resnet50": {},
    "resnet101": {"depths": (3, 4, 23, 3)},
}


@dataclass(frozen=True)
class BackboneConfig:
    """The size and shape of a ResNet that gives maps of features; names are those of ``transformers``.

    Args:
        num_channels: of the images.
        embedding_size: channels of the stem.
        hidden_sizes: channels that come out of each stage; the maps are 4, 8, 16 and 32 times smaller than
            the image.
        depths: blocks of each stage; up to four.
        layer_type: of block, "basic" or "bottleneck".
        norm: "frozen" for batch norms that stay as they are, with published weights; "group" for group norms,
            to learn from scratch by small batches; "batch".

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
        TypeError: if a field is of another type.
    """

    num_channels: int = 3
    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    layer_type: str = "bottleneck"
    norm: str = "frozen"

    def __post_init__(self) -> None:
        check_fields(self)
        if not 1 <= len(self.depths) <= 4 or len(self.depths) != len(self.hidden_sizes):
            raise ValueError(
                f"BackboneConfig: expected as many depths as hidden_sizes, one to four, got "
                f"{self.depths} and {self.hidden_sizes}"
            )
        for name, known in (("layer_type", tuple(BLOCKS)), ("norm", NORMS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"BackboneConfig: expected {name} {' or '.join(map(repr, known))}, got "
                    f"{getattr(self, name)!r}"
                )
        if min(self.depths + self.hidden_sizes + (self.num_channels,)) < 1:
            raise ValueError(f"BackboneConfig: expected numbers of at least 1, got {self}")
        if self.embedding_size != self.widths[0]:
            raise ValueError(
                f"BackboneConfig: expected embedding_size {self.widths[0]}, the width of the first stage, "
                f"got {self.embedding_size}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Returns the channels of the convolutions of each stage."""
        return tuple(size // BLOCKS[self.layer_type].expansion for size in self.hidden_sizes)

    def to_fields(self, levels: tuple[int, ...]) -> dict[str, Any]:
        """Returns ``backbone_config`` of ``config.json``; the norm only where it is not the published one.

        Args:
            levels: the stages whose maps the model takes.
        """
        fields = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        if fields["norm"] == "frozen":
            del fields["norm"]
        return {"model_type": "resnet", **fields, "out_features": [f"stage{level}" for level in levels]}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], levels: tuple[int, ...] | None = None) -> Self:
        """Makes the configuration from the fields of a detector's ``config.json``.

        The backbone stands there in ``backbone_config``, or is named as timm does: ``backbone="resnet50"``.

        Args:
            fields: of the detector.
            levels: the stages whose maps the model takes; None for the last one.

        Raises:
            ValueError: if it is no ResNet, or has what ours does not have.
        """
        given = dict(fields.get("backbone_config") or {})
        if not given or given.get("model_type") == "timm_backbone":
            name = given.get("backbone") or fields.get("backbone") or "resnet50"
            if name not in NAMED:
                raise ValueError(f"backbone: expected {', '.join(NAMED)}, got {name!r}")
            return cls(**{"num_channels": fields.get("num_channels", 3), **NAMED[name]})
        given = known_fields(given, BACKBONE, "backbone")
        features = given.pop("out_features", None)
        config: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in (DEFAULTS | given).items()
        }
        made = cls(**config)
        wanted = [f"stage{level}" for level in levels or (len(made.depths),)]
        if features is not None and features != wanted:
            raise ValueError(f"backbone: expected out_features {wanted}, got {features}")
        return made


BACKBONE = Format(
    "resnet",
    (*DEFAULTS, "norm", "out_features"),
    fixed=RESNET.fixed,
    unused_fields=("out_indices", "stage_names"),
)


class Backbone(Module):
    """Turns images into maps of features, ever smaller and wider.

    Args:
        config: size and shape.
        levels: the stages whose maps come out, in order, from 1 on; None for the last one.
        generator: source of initial values.

    Shape:
        images ``(B, num_channels, H, W)`` -> a tuple with a map ``(B, hidden_sizes[level - 1], H', W')`` for
        each level; ``backward`` takes as many gradients.

    Source: He et al., Deep Residual Learning for Image Recognition (2016), table 1.
    """

    def __init__(
        self,
        config: BackboneConfig,
        levels: tuple[int, ...] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.levels = levels or (len(config.depths),)
        norms: dict[str, Norm] = {"frozen": FrozenBatchNorm2d, "batch": BatchNorm2d, "group": group_norm}
        self.model = ResNet(
            BLOCKS[config.layer_type],
            config.depths,
            None,
            in_channels=config.num_channels,
            widths=config.widths,
            norm=norms[config.norm],
            generator=generator,
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.features(images, self.levels))

    def backward(self, *grads: Tensor) -> InputGrad:
        return self.model.features_backward(grads)

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.model.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)


def group_norm(channels: int) -> GroupNorm:
    """Makes a group norm for a number of channels, in groups of 8, or in one where that does not divide."""
    return GroupNorm(channels // GROUP_CHANNELS if channels % GROUP_CHANNELS == 0 else 1, channels)


# ---- names in files ------------------------------------------------------------------------------------

# How timm, and we, call what transformers calls otherwise: the patterns turn their names into transformers'.
_PLACES = (
    (r"layer(\d)\.(\d+)\.downsample\.0\.", "shortcut.convolution."),
    (r"layer(\d)\.(\d+)\.downsample\.1\.", "shortcut.normalization."),
    *((rf"layer(\d)\.(\d+)\.conv{k}\.", f"layer.{k - 1}.convolution.") for k in (1, 2, 3)),
    *((rf"layer(\d)\.(\d+)\.bn{k}\.", f"layer.{k - 1}.normalization.") for k in (1, 2, 3)),
)


def to_hugging_face(name: str, folder: str) -> str:
    """Returns transformers' name of one of a backbone's tensors.

    Args:
        name: ours, as "model.layer1.0.conv1.weight".
        folder: what comes before it there, as "model.backbone.conv_encoder.model."
    """
    (theirs,) = resnet_names(name.removeprefix("model.")).names
    return folder + theirs.removeprefix("resnet.")


def timm_renames(folder: str) -> tuple[tuple[str, str], ...]:
    """Returns the patterns that turn timm's names of a backbone's tensors into transformers'.

    Args:
        folder: what comes before the name, as "model.backbone.conv_encoder.model."
    """
    start = "^" + re.escape(folder)
    found = [
        (f"{start}conv1\\.", f"{folder}embedder.embedder.convolution."),
        (f"{start}bn1\\.", f"{folder}embedder.embedder.normalization."),
    ]
    for pattern, place in _PLACES:
        for stage in range(4):
            found.append(
                (
                    start + pattern.replace(r"layer(\d)", f"layer{stage + 1}", 1),
                    f"{folder}encoder.stages.{stage}.layers.\\1.{place}",
                )
            )
    return tuple(found)
