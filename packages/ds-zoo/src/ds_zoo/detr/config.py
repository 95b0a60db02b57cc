"""The size and shape of a MiniDETR."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ds_core.checks import check_fields

from ds_zoo.activations import ACTIVATIONS
from ds_zoo.backbone import BackboneConfig
from ds_zoo.detr.pretrained import DEFAULTS
from ds_zoo.heads import label_fields, labels_of

SMALL = BackboneConfig(embedding_size=16, hidden_sizes=(16, 32, 64), depths=(1, 1, 1), layer_type="basic")


def _shape(width: int, layers: int, heads: int, inner: int, queries: int) -> dict[str, Any]:
    """Lists the fields of encoder and decoder, which are of one shape."""
    sides = ("encoder", "decoder")
    return {
        "d_model": width,
        "num_queries": queries,
        **{f"{side}_layers": layers for side in sides},
        **{f"{side}_attention_heads": heads for side in sides},
        **{f"{side}_ffn_dim": inner for side in sides},
    }


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": _shape(64, 2, 4, 128, 16) | {"backbone_config": SMALL},
    "mini": _shape(128, 3, 4, 256, 24)
    | {
        "backbone_config": BackboneConfig(
            embedding_size=32, hidden_sizes=(32, 64, 128), depths=(2, 2, 2), layer_type="basic"
        )
    },
    "detr-resnet-50": _shape(256, 6, 8, 2048, 100) | {"backbone_config": BackboneConfig()},
}
# What transformers.DetrConfig has no word for, and what it means there.
OWN: dict[str, Any] = {"anchored": False, "modulated": False, "query_groups": 1}


@dataclass(frozen=True)
class MiniDETRConfig:
    """The size and shape of a MiniDETR; names and meaning are those of ``transformers.DetrConfig``.

    Args:
        backbone_config: of the ResNet.
        d_model: C, the width; a multiple of 4.
        encoder_layers: of the encoder.
        decoder_layers: of the decoder.
        encoder_attention_heads: must divide C.
        decoder_attention_heads: must divide C.
        encoder_ffn_dim: inner width of the encoder's layers.
        decoder_ffn_dim: inner width of the decoder's layers.
        num_queries: Q, the most objects that can be found in an image.
        activation_function: "relu", "gelu", "silu", ....
        dropout: after attention and the rest of each layer.
        attention_dropout: of attention weights.
        activation_dropout: inside each layer.
        auxiliary_loss: whether every layer of the decoder says what it sees and is told what is wrong.
        class_cost: weight of the class in matching.
        bbox_cost: of the distance of boxes.
        giou_cost: of their overlap.
        bbox_loss_coefficient: weight of the distance in the loss.
        giou_loss_coefficient: of the overlap.
        eos_coefficient: weight of the class "nothing".
        labels: the classes, in the order of the outputs; "nothing" comes after them. The published model has
            "N/A" for each number without a class.
        anchored: whether each query begins at a box of its own, its anchor, which every layer corrects.
        modulated: whether a query sees the image the less, the further off its box; they must be anchored.
        query_groups: G, groups of queries that learn side by side; only the first one is used afterwards.

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
        TypeError: if a field is of another type.

    Example:
        >>> MiniDETRConfig.preset("tiny", labels=("cat", "dog"))
    """

    backbone_config: BackboneConfig = field(default_factory=BackboneConfig)
    d_model: int = 256
    encoder_layers: int = 6
    decoder_layers: int = 6
    encoder_attention_heads: int = 8
    decoder_attention_heads: int = 8
    encoder_ffn_dim: int = 2048
    decoder_ffn_dim: int = 2048
    num_queries: int = 100
    activation_function: str = "relu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    auxiliary_loss: bool = False
    class_cost: float = 1.0
    bbox_cost: float = 5.0
    giou_cost: float = 2.0
    bbox_loss_coefficient: float = 5.0
    giou_loss_coefficient: float = 2.0
    eos_coefficient: float = 0.1
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
    anchored: bool = False
    modulated: bool = False
    query_groups: int = 1

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("d_model", "encoder_layers", "decoder_layers", "num_queries", "query_groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"MiniDETRConfig: expected {name} of at least 1, got {getattr(self, name)}")
        for side in ("encoder", "decoder"):
            heads, inner = getattr(self, f"{side}_attention_heads"), getattr(self, f"{side}_ffn_dim")
            if heads < 1 or self.d_model % heads:
                raise ValueError(
                    f"MiniDETRConfig: expected {side}_attention_heads to divide d_model={self.d_model}, got "
                    f"{heads}"
                )
            if inner < 1:
                raise ValueError(f"MiniDETRConfig: expected {side}_ffn_dim of at least 1, got {inner}")
        if self.d_model % 4:
            raise ValueError(
                f"MiniDETRConfig: expected d_model to be a multiple of 4, for sines and cosines of height "
                f"and width, got {self.d_model}"
            )
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"MiniDETRConfig: expected {name} from 0 to 1, got {getattr(self, name)}")
        if self.modulated and not self.anchored:
            raise ValueError(
                "MiniDETRConfig: expected anchored=True with modulated=True: without a box nothing is far off"
            )
        weights = ("class_cost", "bbox_cost", "giou_cost", "bbox_loss_coefficient", "giou_loss_coefficient")
        for name in (*weights, "eos_coefficient"):
            if getattr(self, name) < 0:
                raise ValueError(f"MiniDETRConfig: expected {name} of at least 0, got {getattr(self, name)}")
        if self.activation_function not in ACTIVATIONS:
            raise ValueError(
                f"MiniDETRConfig: expected activation_function {' or '.join(map(repr, ACTIVATIONS))}, got "
                f"{self.activation_function!r}"
            )
        if not self.labels:
            raise ValueError("MiniDETRConfig: expected at least one label, got none")

    @property
    def num_labels(self) -> int:
        """Counts the labels."""
        return len(self.labels)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Returns a configuration by name: "tiny", "mini" or "detr-resnet-50", the published one.

        Args:
            name: of the preset.
            changes: fields that differ.

        Raises:
            ValueError: if the name is unknown.
        """
        if name not in PRESETS:
            raise ValueError(f"MiniDETRConfig: expected a preset of {', '.join(PRESETS)}, got {name!r}")
        return cls(**PRESETS[name] | changes)

    def to_fields(self) -> dict[str, Any]:
        """Returns the fields of ``config.json``; those that `transformers` has no word for only if needed."""
        fields = {name: value for name, value in asdict(self).items() if OWN.get(name) != value}
        for name, value in fields.items():  # transformers takes no 1.0 where it has 1
            if type(DEFAULTS.get(name)) is int and value == int(value):
                fields[name] = int(value)
        fields |= label_fields(fields.pop("labels"))
        backbone = self.backbone_config
        fields["backbone_config"] = backbone.to_fields((len(backbone.depths),))
        return fields | {"num_channels": backbone.num_channels}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Makes the configuration from the fields of ``config.json``.

        Raises:
            ValueError: if labels are not numbered from 0 on, or the backbone is none of ours.
        """
        fields = DEFAULTS | fields
        backbone = BackboneConfig.from_fields(fields)
        for name in ("num_channels", "backbone", "use_timm_backbone", "backbone_config"):
            fields.pop(name, None)
        labels = labels_of(fields, apart=False)
        return cls(backbone, **fields, labels=labels)
