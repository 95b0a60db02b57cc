"""The size and shape of a MiniCLIP: of its text tower, its image tower, and of both together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from ds_core.checks import check_fields

from ds_zoo.activations import ACTIVATIONS
from ds_zoo.stem import check_stem

TOWERS = ("vit", "resnet")
HIGHEST = 2  # as eos_token_id: what files of before 2023 say; the last token is the one of the highest id


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """What both towers have; names and meaning are those of ``transformers``.

    Args:
        hidden_size: C, the width.
        intermediate_size: inner width of the MLPs.
        projection_dim: D, the width that text and image are compared in.
        num_hidden_layers: number of layers.
        num_attention_heads: heads in each layer; must divide ``hidden_size``.
        hidden_act: "quick_gelu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu" or "tanh".
        layer_norm_eps: added to the variance in the norms.
        attention_dropout: dropout of attention weights.
        initializer_range: standard deviation of the initial embeddings.
    """

    hidden_size: int = 64
    intermediate_size: int = 256
    projection_dim: int = 64
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        check_fields(self)
        name = type(self).__name__
        for size in (f.name for f in fields(self) if f.type == "int" and not f.name.endswith("_id")):
            if getattr(self, size) < 1:
                raise ValueError(f"{name}: expected {size} of at least 1, got {getattr(self, size)}")
        for number in ("layer_norm_eps", "initializer_range"):
            if getattr(self, number) < 0:
                raise ValueError(f"{name}: expected {number} of at least 0, got {getattr(self, number)}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"{name}: expected num_attention_heads to divide hidden_size, got "
                f"hidden_size={self.hidden_size}, num_attention_heads={self.num_attention_heads}"
            )
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(
                f"{name}: expected hidden_act {' or '.join(map(repr, ACTIVATIONS))}, got {self.hidden_act!r}"
            )

    def to_fields(self) -> dict[str, Any]:
        """Returns the fields of ``config.json``."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class MiniCLIPTextConfig(TowerConfig):
    """The size and shape of the text tower: see :class:`TowerConfig`, and these.

    Args:
        vocab_size: number of different tokens.
        max_position_embeddings: most tokens of a caption.
        pad_token_id: the token that fills up short captions.
        bos_token_id: the token that begins captions.
        eos_token_id: the token that ends captions, where the text is read off; 2, as files from before 2023
            have it whatever their vocabulary, for the token of the highest id.

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
        TypeError: if a field is of another type.
    """

    vocab_size: int
    max_position_embeddings: int = 32
    pad_token_id: int | None = 1
    bos_token_id: int | None = 49406
    eos_token_id: int = 49407


@dataclass(frozen=True, kw_only=True)
class MiniCLIPVisionConfig(TowerConfig):
    """The size and shape of the image tower: see :class:`TowerConfig`, and these.

    Args:
        num_channels: channels of an image.
        image_size: height and width it is made for.
        patch_size: height and width of a patch; must divide ``image_size``, or the rest is not looked at.
        stem: how a patch becomes a vector: "patch", one matrix as published, or "conv", a few small
            convolutions (patch sizes 2, 4, 8 ...), see :func:`ds_zoo.stem.stem`; `transformers` has no such
            tower.
        tower: "vit", or "resnet" for :class:`ds_zoo.clip.towers.CLIPResNetTower`: hidden_size is the number
            of channels at the end, num_hidden_layers that of blocks in each stage, and what belongs to
            patches and attention is not used; `transformers` has no such tower.

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
        TypeError: if a field is of another type.
    """

    num_channels: int = 3
    image_size: int = 64
    patch_size: int = 8
    stem: str = "patch"
    tower: str = "vit"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size < self.patch_size:
            raise ValueError(
                f"MiniCLIPVisionConfig: expected image_size of at least patch_size={self.patch_size}, got "
                f"{self.image_size}"
            )
        check_stem("MiniCLIPVisionConfig", self.stem, (self.patch_size, self.patch_size))
        if self.tower not in TOWERS:
            raise ValueError(
                f"MiniCLIPVisionConfig: expected tower {' or '.join(map(repr, TOWERS))}, got {self.tower!r}"
            )
        if self.tower == "resnet" and self.hidden_size % 4:
            raise ValueError(
                f"MiniCLIPVisionConfig: expected hidden_size to be a multiple of 4 with tower='resnet', got "
                f"{self.hidden_size}"
            )

    def to_fields(self) -> dict[str, Any]:
        """Returns the fields of ``config.json``; stem and tower only where they are not as published."""
        published = {"stem": "patch", "tower": "vit"}
        return {name: value for name, value in asdict(self).items() if published.get(name) != value}


@dataclass(frozen=True)
class MiniCLIPConfig:
    """The size and shape of a MiniCLIP; names and meaning are those of ``transformers.CLIPConfig``.

    Args:
        text_config: of the text tower.
        vision_config: of the image tower.
        projection_dim: D, the width that text and image are compared in; what the towers say counts only for
            a tower alone.
        logit_scale_init_value: logarithm of one over the temperature at the start.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if a field is of another type.
    """

    text_config: MiniCLIPTextConfig
    vision_config: MiniCLIPVisionConfig
    projection_dim: int = 64
    logit_scale_init_value: float = 2.6592

    def __post_init__(self) -> None:
        if self.projection_dim < 1:
            raise ValueError(
                f"MiniCLIPConfig: expected projection_dim of at least 1, got {self.projection_dim}"
            )

    @classmethod
    def of_size(
        cls,
        vocab_size: int,
        *,
        image_size: int = 64,
        patch_size: int = 8,
        width: int = 64,
        layers: int = 3,
        heads: int = 4,
        stem: str = "patch",
        tower: str = "vit",
        **text: Any,
    ) -> Self:
        """Makes a configuration with two towers of the same width and depth.

        Args:
            vocab_size: number of different tokens.
            image_size: see :class:`MiniCLIPVisionConfig`.
            patch_size: see :class:`MiniCLIPVisionConfig`.
            width: of both towers and of the embeddings; the MLPs are four times as wide.
            layers: of each tower.
            heads: in each layer.
            stem: see :class:`MiniCLIPVisionConfig`.
            tower: see :class:`MiniCLIPVisionConfig`.
            text: more fields of :class:`MiniCLIPTextConfig`.
        """
        both: dict[str, Any] = {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "projection_dim": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
        }
        return cls(
            MiniCLIPTextConfig(vocab_size=vocab_size, **both, **text),
            MiniCLIPVisionConfig(
                image_size=image_size, patch_size=patch_size, stem=stem, tower=tower, **both
            ),
            width,
        )

    def to_fields(self) -> dict[str, Any]:
        """Returns the fields of ``config.json``."""
        return {
            "text_config": {"model_type": "clip_text_model"} | self.text_config.to_fields(),
            "vision_config": {"model_type": "clip_vision_model"} | self.vision_config.to_fields(),
            "projection_dim": self.projection_dim,
            "logit_scale_init_value": self.logit_scale_init_value,
        }
