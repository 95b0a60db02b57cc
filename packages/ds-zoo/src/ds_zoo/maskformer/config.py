"""The size and shape of a MiniMaskFormer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ds_core.checks import check_fields
from ds_core.pretrained import known_fields

from ds_zoo.activations import ACTIVATIONS
from ds_zoo.backbone import BackboneConfig
from ds_zoo.heads import label_fields, labels_of
from ds_zoo.maskformer.pixel_decoder import GROUPS
from ds_zoo.maskformer.pretrained import DECODER, DECODER_DEFAULTS, DEFAULTS

# What transformers.MaskFormerConfig has no word for, and what it means there.
OWN: dict[str, Any] = {
    **{"masked_attention": False, "multi_scale": False, "finer_masks": 1},
    "label_ids_to_fuse": (),
}


@dataclass(frozen=True)
class DecoderConfig:
    """The size and shape of a MaskFormer's decoder; names are those of ``transformers.DetrConfig``.

    Args:
        d_model: C, the width; a multiple of 4.
        num_queries: Q, the most segments that can be found in an image.
        decoder_layers: D.
        decoder_attention_heads: must divide C.
        decoder_ffn_dim: inner width of the layers.
        activation_function: "relu", "gelu", "silu", ....
        dropout: after attention and the rest of each layer.
        attention_dropout: of attention weights.
        activation_dropout: inside each layer.

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
        TypeError: if a field is of another type.
    """

    d_model: int = 256
    num_queries: int = 100
    decoder_layers: int = 6
    decoder_attention_heads: int = 8
    decoder_ffn_dim: int = 2048
    activation_function: str = "relu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        whole = ("d_model", "num_queries", "decoder_layers", "decoder_attention_heads", "decoder_ffn_dim")
        for name in whole:
            if getattr(self, name) < 1:
                raise ValueError(f"DecoderConfig: expected {name} of at least 1, got {getattr(self, name)}")
        if self.d_model % self.decoder_attention_heads:
            raise ValueError(
                f"DecoderConfig: expected decoder_attention_heads to divide d_model={self.d_model}, got "
                f"{self.decoder_attention_heads}"
            )
        if self.d_model % 4:
            raise ValueError(
                f"DecoderConfig: expected d_model to be a multiple of 4, for sines and cosines of height and "
                f"width, got {self.d_model}"
            )
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"DecoderConfig: expected {name} from 0 to 1, got {getattr(self, name)}")
        if self.activation_function not in ACTIVATIONS:
            raise ValueError(
                f"DecoderConfig: expected activation_function {' or '.join(map(repr, ACTIVATIONS))}, got "
                f"{self.activation_function!r}"
            )

    def to_fields(self) -> dict[str, Any]:
        """Returns ``decoder_config`` of ``config.json``."""
        return {"model_type": "detr", **asdict(self)}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Makes the configuration from ``decoder_config`` of ``config.json``.

        Raises:
            ValueError: if it is no DETR's, or has what ours does not have.
        """
        return cls(**DECODER_DEFAULTS | known_fields({"model_type": "detr"} | fields, DECODER, "decoder"))


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "backbone_config": BackboneConfig(3, 16, (16, 32, 64), (1, 1, 1), "basic"),
        "decoder_config": DecoderConfig(64, 16, 3, 4, 128),
        "fpn_feature_size": 64,
        "mask_feature_size": 64,
    },
    "mini": {
        "backbone_config": BackboneConfig(3, 32, (32, 64, 128), (2, 2, 2), "basic"),
        "decoder_config": DecoderConfig(128, 24, 3, 4, 256),
        "fpn_feature_size": 64,
        "mask_feature_size": 64,
    },
    "maskformer-resnet-50": {},
}


@dataclass(frozen=True)
class MiniMaskFormerConfig:
    """The size and shape of a MiniMaskFormer; names are those of ``transformers.MaskFormerConfig``.

    Args:
        backbone_config: of the ResNet, all of whose stages are used.
        decoder_config: of the decoder.
        fpn_feature_size: channels of the pixel decoder, a multiple of 32.
        mask_feature_size: E, the numbers by which queries and places are compared.
        no_object_weight: weight of the class "nothing".
        use_auxiliary_loss: whether every layer of the decoder says what it sees and is told what is wrong.
        dice_weight: of the dice loss, in matching and in the loss.
        cross_entropy_weight: of the class in the loss; it counts 1 in matching.
        mask_weight: of the focal loss, in matching and in the loss.
        labels: the classes, in the order of the outputs; "nothing" comes after them.
        masked_attention: whether queries look at those places alone that the layer before gave to them.
        multi_scale: whether the decoder's layers look at the pixel decoder's maps in turn, the smallest
            first, or all at the backbone's smallest.
        finer_masks: by how much masks are finer than a quarter of the image's size, along each side.
        label_ids_to_fuse: the classes of which an image has one segment at most, as background or sky.

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
        TypeError: if a field is of another type.

    Example:
        >>> MiniMaskFormerConfig.preset("tiny", labels=("cat", "dog"))
    """

    backbone_config: BackboneConfig = field(default_factory=BackboneConfig)
    decoder_config: DecoderConfig = field(default_factory=DecoderConfig)
    fpn_feature_size: int = 256
    mask_feature_size: int = 256
    no_object_weight: float = 0.1
    use_auxiliary_loss: bool = False
    dice_weight: float = 1.0
    cross_entropy_weight: float = 1.0
    mask_weight: float = 20.0
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
    masked_attention: bool = False
    multi_scale: bool = False
    finer_masks: int = 1
    label_ids_to_fuse: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        if self.fpn_feature_size < 1 or self.fpn_feature_size % GROUPS:
            raise ValueError(
                f"MiniMaskFormerConfig: expected fpn_feature_size to be a multiple of {GROUPS}, the groups "
                f"of its norms, got {self.fpn_feature_size}"
            )
        for name in ("mask_feature_size", "finer_masks"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"MiniMaskFormerConfig: expected {name} of at least 1, got {getattr(self, name)}"
                )
        for name in ("no_object_weight", "dice_weight", "cross_entropy_weight", "mask_weight"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"MiniMaskFormerConfig: expected {name} of at least 0, got {getattr(self, name)}"
                )
        if not self.labels:
            raise ValueError("MiniMaskFormerConfig: expected at least one label, got none")
        if any(not 0 <= label < self.num_labels for label in self.label_ids_to_fuse):
            raise ValueError(
                f"MiniMaskFormerConfig: expected label_ids_to_fuse from 0 to {self.num_labels - 1}, got "
                f"{self.label_ids_to_fuse}"
            )

    @property
    def num_labels(self) -> int:
        """Counts the labels."""
        return len(self.labels)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Returns a configuration by name: "tiny", "mini" or "maskformer-resnet-50", the published one.

        Args:
            name: of the preset.
            changes: fields that differ.

        Raises:
            ValueError: if the name is unknown.
        """
        if name not in PRESETS:
            raise ValueError(f"MiniMaskFormerConfig: expected a preset of {', '.join(PRESETS)}, got {name!r}")
        return cls(**PRESETS[name] | changes)

    def to_fields(self) -> dict[str, Any]:
        """Returns the fields of ``config.json``; those that `transformers` has no word for only if needed."""
        fields = {name: value for name, value in asdict(self).items() if OWN.get(name) != value}
        fields |= label_fields(fields.pop("labels"))
        backbone = self.backbone_config
        fields["backbone_config"] = backbone.to_fields(levels(backbone))
        return fields | {"decoder_config": self.decoder_config.to_fields()}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Makes the configuration from the fields of ``config.json``.

        Raises:
            ValueError: if labels are not numbered from 0 on, or backbone or decoder is none of ours.
        """
        fields = DEFAULTS | fields
        given = fields.pop("backbone_config", None)
        if not given:
            raise ValueError("expected backbone_config: where it is left out, the backbone is no ResNet")
        depth = len(given.get("depths", DEFAULT_DEPTHS))
        backbone = BackboneConfig.from_fields({"backbone_config": given}, tuple(range(1, depth + 1)))
        decoder = DecoderConfig.from_fields(fields.pop("decoder_config", None) or {})
        labels = labels_of(fields, apart=False)
        fused = tuple(fields.pop("label_ids_to_fuse", ()))
        return cls(backbone, decoder, **fields, labels=labels, label_ids_to_fuse=fused)


DEFAULT_DEPTHS = BackboneConfig().depths


def levels(backbone: BackboneConfig) -> tuple[int, ...]:
    """Lists the stages of a backbone: all of them."""
    return tuple(range(1, len(backbone.depths) + 1))
