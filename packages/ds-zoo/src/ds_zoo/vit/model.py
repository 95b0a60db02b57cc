"""MiniViT: the Transformer that reads an image as a sequence of patches, forward and backward.

Read top to bottom: the configuration and its presets, the patches, the embeddings, the pooling, the encoder,
the head that classifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Self, TypeVar

import torch
from ds_core import Dense, Dropout, LayerNorm, Module, ModuleList, Parameter
from ds_core.checks import check_fields, shape
from ds_core.initializers import normal_
from ds_core.kernels import dispatch
from ds_core.pretrained import Pretrained
from ds_transformer import TransformerEncoderLayer, attention_maps
from torch import Tensor

from ds_zoo import functional
from ds_zoo.activations import ACTIVATIONS
from ds_zoo.heads import PROBLEMS, Head, HeadOutput, LabelLoss, initial, label_fields, labels_of, total
from ds_zoo.stem import check_stem, stem
from ds_zoo.vit.pretrained import CLASSIFICATION, DEFAULTS, ENCODER

POOLINGS = ("cls", "mean")
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": dict(zip(SIZES, (64, 4, 4, 128), strict=True)),
    "mini": dict(zip(SIZES, (128, 6, 4, 256), strict=True)),
    "small": dict(zip(SIZES, (192, 12, 3, 768), strict=True)),
    "vit-base-16": dict(zip(SIZES, (768, 12, 12, 3072), strict=True)) | {"image_size": 224, "patch_size": 16},
}

resize_positions, resize_positions_backward = dispatch(functional.resize_positions, half=torch.float32)


@dataclass(frozen=True)
class MiniViTConfig:
    """The size and shape of a MiniViT; names and meaning are those of ``transformers.ViTConfig``.

    Args:
        hidden_size: C, the width.
        num_hidden_layers: number of layers.
        num_attention_heads: heads in each layer; must divide ``hidden_size``.
        intermediate_size: inner width of the MLPs.
        image_size: of the images, in pixels: (height, width), or one number for both.
        patch_size: of a patch, alike; what remains of an image at the right and at the bottom is not seen.
        stem: how a patch becomes a vector: "patch", one matrix as published, or "conv", a few small
            convolutions (patch sizes 2, 4, 8 ... that divide the image), see :func:`ds_zoo.stem.stem`;
            `transformers` has no such model.
        num_channels: of the images: 3 for colour, 1 for grey.
        hidden_act: "gelu" (exact), "gelu_new" or "gelu_pytorch_tanh" (its tanh approximation), "quick_gelu",
            "relu", "silu" or "tanh".
        hidden_dropout_prob: dropout after the embeddings, attention and MLP.
        attention_probs_dropout_prob: dropout of attention weights.
        drop_path_rate: share of the images for which the last layer is left out in training, growing evenly
            from 0 in the first one (stochastic depth).
        layer_norm_eps: added to the variance in the norms.
        initializer_range: standard deviation of the initial weights.
        qkv_bias: whether queries, keys and values have a bias.
        pooling: what stands for the whole image: "cls", a token of its own that comes first, or "mean", the
            mean of all patches, without such a token.
        pooler_output_size: width of the pooler; None for C.
        pooler_act: its activation.
        labels: what a head that classifies tells apart; its outputs are in this order.
        problem_type: what labels of images are: "regression" (numbers), "single_label_classification" (one of
            several) or "multi_label_classification" (any of several); None to conclude it from the labels
            given.

    Raises:
        ValueError: if a number is out of range or the name of an option is unknown.
        TypeError: if a field is of another type.

    Example:
        >>> MiniViTConfig.preset("tiny", image_size=28, patch_size=4, num_channels=1)
    """

    hidden_size: int = 128
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    intermediate_size: int = 256
    image_size: int | tuple[int, int] = 32
    patch_size: int | tuple[int, int] = 4
    num_channels: int = 3
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    drop_path_rate: float = 0.0
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    qkv_bias: bool = True
    stem: str = "patch"
    pooling: str = "cls"
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
    problem_type: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in (*SIZES, "num_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"MiniViTConfig: expected {name} of at least 1, got {getattr(self, name)}")
        for name in ("image_size", "patch_size"):
            sides = pair(getattr(self, name))
            if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
                raise ValueError(
                    f"MiniViTConfig: expected {name} in pixels, one number or (height, width), got "
                    f"{getattr(self, name)}"
                )
        check_stem("MiniViTConfig", self.stem, pair(self.patch_size))
        if self.stem == "conv" and uneven(pair(self.image_size), pair(self.patch_size)):
            raise ValueError(
                f"MiniViTConfig: expected patch_size to divide image_size with stem='conv', got image_size="
                f"{self.image_size}, patch_size={self.patch_size}"
            )
        if min(self.grid) < 1:
            raise ValueError(
                f"MiniViTConfig: expected images of at least one patch, got image_size={self.image_size}, "
                f"patch_size={self.patch_size}"
            )
        for name in ("layer_norm_eps", "initializer_range"):
            if getattr(self, name) < 0:
                raise ValueError(f"MiniViTConfig: expected {name} of at least 0, got {getattr(self, name)}")
        if not 0 <= self.drop_path_rate < 1:
            raise ValueError(
                f"MiniViTConfig: expected drop_path_rate from 0 to below 1, got {self.drop_path_rate}"
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"MiniViTConfig: expected num_attention_heads to divide hidden_size, got "
                f"hidden_size={self.hidden_size}, num_attention_heads={self.num_attention_heads}"
            )
        acts = tuple(ACTIVATIONS)
        options = {
            "hidden_act": acts,
            "pooler_act": acts,
            "pooling": POOLINGS,
            "problem_type": (*PROBLEMS, None),
        }
        for name, known in options.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"MiniViTConfig: expected {name} {' or '.join(map(repr, known))}, "
                    f"got {getattr(self, name)!r}"
                )
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"MiniViTConfig: expected different labels, at least one, got {self.labels}")

    @property
    def grid(self) -> tuple[int, int]:
        """Returns how many patches an image has: (rows, columns)."""
        return grid_of(pair(self.image_size), pair(self.patch_size))

    @property
    def num_labels(self) -> int:
        """Counts the labels."""
        return len(self.labels)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Returns a configuration by name: "tiny", "mini", "small" or "vit-base-16", the published base ViT.

        Args:
            name: of the preset.
            changes: fields that differ.

        Raises:
            ValueError: if the name is unknown.
        """
        if name not in PRESETS:
            raise ValueError(f"MiniViTConfig: expected a preset of {', '.join(PRESETS)}, got {name!r}")
        return cls(**PRESETS[name] | changes)

    def to_fields(self) -> dict[str, Any]:
        """Returns the fields of ``config.json``; those that `transformers` has no word for only if needed."""
        fields = asdict(self)
        fields |= label_fields(fields.pop("labels"))
        unneeded = {"drop_path_rate": 0.0, "pooling": "cls", "stem": "patch"}
        return {name: value for name, value in fields.items() if unneeded.get(name) != value}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Makes the configuration from the fields of ``config.json``.

        Raises:
            ValueError: if labels are not numbered from 0 on.
        """
        fields = DEFAULTS | fields
        labels = labels_of(fields)
        for name in ("image_size", "patch_size"):
            if isinstance(fields[name], list):
                fields[name] = tuple(fields[name])
        return cls(**fields, labels=labels)


class MiniViTOutput(NamedTuple):
    """What a MiniViT without a head returns.

    Attributes:
        last_hidden_state: a vector for each token, ``(B, T, C)``: for the whole image, if it has such a
            token, then for each patch, row by row; that of the first token alone, ``(B, 1, C)``, if no other
            was wanted.
        pooler_output: a vector for each image, ``(B, C)``; None without a pooler.
        hidden_states: if asked for: what the embeddings gave and then each layer, ``(B, T, C)`` each.
        attentions: if asked for: of each layer who looked at whom, ``(B, H, T, T)``.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class PatchEmbedding(Module):
    """Cuts images into patches and makes a vector of each: a convolution whose stride is its kernel.

    y_l = W p_l + b,   p_l being all numbers of patch l in a row

    No pixel is in two patches, so the convolution is this one product: ``patches(x, size)`` times W laid out
    as ``(C, channels * height * width)``.

    Args:
        channels: of the images.
        width: C.
        size: height and width of a patch.
        bias: whether there is b.
        spread: standard deviation of the initial weights.
        kind: "patch", or "conv" for a few small convolutions in its place, see :func:`ds_zoo.stem.stem`.
        generator: source of initial values.

    Shape:
        x ``(B, channels, H, W)`` -> ``(B, L, C)``, the patches row by row.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        size: tuple[int, int],
        bias: bool = True,
        *,
        spread: float = 0.02,
        kind: str = "patch",
        generator: torch.Generator | None = None,
    ) -> None:
        init = initial(spread)
        self.projection = stem(kind, channels, width, size, bias=bias, init=init, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        y = self.projection(x)  # (B, C, h, w)
        self.save(y.shape[2:])
        return y.flatten(2).mT  # (B, L, C)

    def backward(self, grad: Tensor) -> Tensor | None:
        (grid,) = self.saved()
        return self.projection.backward(grad.mT.unflatten(2, grid))

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.projection.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)


class ViTEmbeddings(Module):
    """Turns images into vectors: what each patch shows, and where it is.

    x = dropout([c; W p_1 + b; ...; W p_L + b] + E),   c being the token for the whole image, if there is one

    For images of another size the part of E that belongs to patches is resized as an image is.

    Args:
        config: size and shape.
        generator: source of initial values and dropout.

    Shape:
        images ``(B, channels, H, W)`` -> x ``(B, T, C)``.

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words (2020), section 3.1 and, on other sizes, 3.2.
    """

    cls_token: Tensor | None
    position_embeddings: Tensor

    def __init__(self, config: MiniViTConfig, *, generator: torch.Generator | None = None) -> None:
        width, spread = config.hidden_size, config.initializer_range
        self.image_size, self.grid = pair(config.image_size), config.grid
        self.patch_size, self.channels = pair(config.patch_size), config.num_channels
        self.whole = config.stem == "conv"  # whether images must be of whole patches
        self.extra = int(config.pooling == "cls")  # tokens that come before the patches
        token = Parameter(torch.zeros(1, 1, width)) if self.extra else None
        self.register_parameter("cls_token", token)
        self.position_embeddings = Parameter(torch.zeros(1, self.extra + self.grid[0] * self.grid[1], width))
        for parameter in (self.cls_token, self.position_embeddings):
            if parameter is not None:
                normal_(parameter, std=spread, generator=generator)
        self.patch_embeddings = PatchEmbedding(
            config.num_channels, width, self.patch_size, spread=spread, kind=config.stem, generator=generator
        )
        self.dropout = Dropout(config.hidden_dropout_prob, generator=generator)

    def forward(self, images: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        self._check(images, interpolate_pos_encoding)
        grid = grid_of((images.shape[2], images.shape[3]), self.patch_size)
        positions, saved = self.position_embeddings, None
        if grid != self.grid:
            positions, saved = resize_positions(positions, self.grid, grid, self.extra)
        x = self.patch_embeddings(images)  # (B, L, C)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1)  # (B, T, C)
        self.save(saved)
        return self.dropout(x + positions)

    def backward(self, grad: Tensor) -> Tensor | None:
        (saved,) = self.saved()
        grad = self.dropout.backward(grad)
        grad_positions = grad.sum(0, keepdim=True)  # every image used the same places
        if self.cls_token is not None:
            self.add_grad("cls_token", grad_positions[:, :1].clone())
        if saved is not None:
            grad_positions = resize_positions_backward(grad_positions, saved)
        self.add_grad("position_embeddings", grad_positions)
        return self.patch_embeddings.backward(grad[:, self.extra :])

    def _check(self, images: Tensor, other_sizes: bool) -> None:
        height, width = self.image_size
        if images.dim() != 4 or images.shape[1] != self.channels:
            raise ValueError(
                f"MiniViT: expected images (B, {self.channels}, {height}, {width}), got {shape(images)}"
            )
        if tuple(images.shape[2:]) == self.image_size:
            return
        if not other_sizes:
            raise ValueError(
                f"MiniViT: expected images of {height} x {width} pixels, got {shape(images)}; resize them, "
                "or pass interpolate_pos_encoding=True to resize the positions instead"
            )
        if min(grid_of((images.shape[2], images.shape[3]), self.patch_size)) < 1:
            raise ValueError(
                f"MiniViT: expected images of at least one patch of {self.patch_size}, got {shape(images)}"
            )
        if self.whole and uneven((images.shape[2], images.shape[3]), self.patch_size):
            raise ValueError(
                f"MiniViT: expected images of whole patches of {self.patch_size} with stem='conv', got "
                f"{shape(images)}"
            )

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.patch_embeddings.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)


class Pooling(Module):
    """Takes one vector for the whole image: that of the first token, or the mean of all.

    Args:
        kind: "cls" or "mean".

    Shape:
        x ``(B, T, C)`` -> ``(B, C)``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        self.save(x.shape)
        return x[:, 0] if self.kind == "cls" else x.mean(1)

    def backward(self, grad: Tensor) -> Tensor:
        (size,) = self.saved()
        if self.kind == "mean":
            return (grad / size[1]).unsqueeze(1).expand(size)
        grad_x = grad.new_zeros(size)
        grad_x[:, 0] = grad
        return grad_x

    def extra_repr(self) -> str:
        return repr(self.kind)


class ViTPooler(Module):
    """Reads the whole image off its tokens.

    y = act(W pool(x) + b)

    Args:
        config: size and shape.
        generator: source of initial values.

    Shape:
        x ``(B, T, C)`` -> y ``(B, pooler_output_size)``.
    """

    def __init__(self, config: MiniViTConfig, *, generator: torch.Generator | None = None) -> None:
        self.pool = Pooling(config.pooling)
        self.dense = dense(config, config.pooler_output_size or config.hidden_size, generator)
        self.activation = ACTIVATIONS[config.pooler_act]()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.dense(self.pool(x)))

    def backward(self, grad: Tensor | None) -> Tensor | None:
        """Returns dL/dx; of None, for a result that nobody used, None."""
        if grad is None:
            for part in (self.activation, self.dense, self.pool):
                part.saved()
            return None
        grad_x: Tensor = self.pool.backward(self.dense.backward(self.activation.backward(grad)))
        return grad_x


class MiniViT(Pretrained):
    """Reads images as sequences of patches, each of which sees all others.

    x = embeddings(images);   x = layer_n(... layer_1(x));   last = norm(x);   pooled = act(W pool(last) + b)

    The layers normalise first: x1 = x + attention(norm1(x)), y = x1 + mlp(norm2(x1)).

    Args:
        config: size and shape.
        add_pooling_layer: whether there is a pooler.
        generator: source of initial values, dropout and stochastic depth; None for torch's global one.

    Shape:
        pixel_values ``(B, num_channels, H, W)``, of ``config.image_size``, or of any size with
        ``interpolate_pos_encoding`` -> :class:`MiniViTOutput`. With ``pooled_only`` the last layer computes
        only what is pooled, unless hidden states or attentions are asked for.

    Raises:
        ValueError: if images have other channels or another size.
        TypeError: if they have another dtype than the weights.

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale
    (2020), section 3.1; mean of patches: Beyer et al., Better plain ViT baselines for ImageNet-1k (2022).
    """

    hugging_face = ENCODER

    def __init__(
        self,
        config: MiniViTConfig,
        *,
        add_pooling_layer: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        self.config = config
        self.embeddings = ViTEmbeddings(config, generator=generator)
        self.layers = ModuleList(
            encoder_layer(config, number, generator) for number in range(config.num_hidden_layers)
        )
        self.layernorm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.pooler = ViTPooler(config, generator=generator) if add_pooling_layer else None

    def forward(
        self,
        pixel_values: Tensor,
        interpolate_pos_encoding: bool = False,
        *,
        pooled_only: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> MiniViTOutput:
        shown = output_hidden_states or output_attentions
        short = pooled_only and self.config.pooling == "cls" and not shown
        with attention_maps(self) if output_attentions else nullcontext() as maps:
            x = self.embeddings(pixel_values, interpolate_pos_encoding)  # (B, T, C)
            states = [x] if output_hidden_states else []
            for number, layer in enumerate(self.layers, 1):
                x = layer(x, only=0 if short and number == len(self.layers) else None)
                if output_hidden_states:
                    states.append(x)
        last = self.layernorm(x)
        return MiniViTOutput(
            last,
            None if self.pooler is None else self.pooler(last),
            tuple(states) or None,
            tuple(maps.values()) if maps is not None else None,
        )

    def backward(
        self,
        grad_last_hidden_state: Tensor | None = None,
        grad_pooler_output: Tensor | None = None,
        grad_hidden_states: Sequence[Tensor | None] | None = None,
        grad_attentions: None = None,
    ) -> Tensor | None:
        """Adds to every parameter's ``.grad`` and returns the gradient of the images.

        Outputs that nobody used have the gradient None.
        """
        if grad_attentions is not None:
            raise NotImplementedError("MiniViT.backward: attention weights are shown, but pass no gradient")
        grads = list(grad_hidden_states or [None] * (len(self.layers) + 1))
        grad = grad_last_hidden_state
        if self.pooler is not None:
            grad = total(grad, self.pooler.backward(grad_pooler_output))
        if grad is None:
            raise ValueError("MiniViT.backward: expected the gradient of last_hidden_state or pooler_output")
        grad = self.layernorm.backward(grad)
        for layer, more in zip(reversed(self.layers), reversed(grads[1:]), strict=True):
            grad = layer.backward(grad if more is None else grad + more)
        grad = grad if grads[0] is None else grad + grads[0]
        grad_images: Tensor | None = self.embeddings.backward(grad)
        return grad_images

    def features(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Returns what stands for each image, ``(B, C)``: the vector that a head reads."""
        x = self(pixel_values, interpolate_pos_encoding, pooled_only=True).last_hidden_state
        return x[:, 0] if self.config.pooling == "cls" else x.mean(1)

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.embeddings.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        fields = dict(fields)
        add_pooling_layer = fields.pop("add_pooling_layer", True)
        return cls(MiniViTConfig.from_fields(fields), add_pooling_layer=add_pooling_layer)


class MiniViTForImageClassification(Head):
    """Puts a label on an image: one of several, any of several, or a number.

    logits = W pool(last_hidden_state) + b; the loss is that of :class:`ds_zoo.heads.LabelLoss`.

    With ``pooling="cls"`` the last layer computes that token alone: nobody reads the others.

    Args:
        config: size and shape.
        generator: source of initial values, dropout and stochastic depth; None for torch's global one.

    Shape:
        as :class:`MiniViT`, and labels ``(B,)``, int64, for one of several, ``(B, L)`` else, or ``(B,)`` for
        one number -> :class:`HeadOutput` with logits ``(B, L)``.

    Raises:
        IndexError: if a label is outside the range.

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words (2020), section 3.1.
    """

    hugging_face = CLASSIFICATION

    def __init__(self, config: MiniViTConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        self.vit = MiniViT(config, add_pooling_layer=False, generator=generator)
        self.pool = Pooling(config.pooling)
        self.classifier = dense(config, config.num_labels, generator)
        self.loss = LabelLoss(config.problem_type)

    @classmethod
    def from_encoder(
        cls, encoder: MiniViT, *, generator: torch.Generator | None = None, **changes: Any
    ) -> Self:
        """Puts a new head on a copy of an encoder, to fine-tune both.

        Args:
            encoder: its weights are copied, and their type and device are the head's; a pooler is left out.
            generator: source of the head's initial values and of what is dropped.
            changes: fields of the configuration that differ, as ``labels=("cat", "dog")``.
        """
        head = cls(replace(encoder.config, **changes), generator=generator)
        state = {name: t for name, t in encoder.state_dict().items() if not name.startswith("pooler.")}
        like = next(encoder.parameters())
        head.to(like.device, like.dtype).vit.load_state_dict(state)
        return head

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
        **options: bool,
    ) -> HeadOutput:
        x = self.vit(pixel_values, interpolate_pos_encoding, **{"pooled_only": True} | options)
        logits = self.classifier(self.pool(x.last_hidden_state))  # (B, L)
        return self.finish(self.loss, logits, labels, x)

    def backward(
        self,
        grad_loss: Tensor | float | None = None,
        grad_logits: Tensor | None = None,
        grad_hidden_states: Sequence[Tensor | None] | None = None,
        grad_attentions: None = None,
    ) -> Tensor | None:
        grad = self.pool.backward(self.classifier.backward(self.grad_of_logits(grad_loss, grad_logits)))
        grad_images: Tensor | None = self.vit.backward(grad, None, grad_hidden_states, grad_attentions)
        return grad_images

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.vit.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(MiniViTConfig.from_fields(fields))


Model = TypeVar("Model", MiniViT, MiniViTForImageClassification)


def at_size(model: Model, image_size: int | tuple[int, int], *, antialias: bool = True) -> Model:
    """Returns a copy of a model for images of another size, to be fine-tuned there.

    It is of the same type, on the same device, in the same mode, and what is frozen stays so.

    Args:
        model: stays as it is.
        image_size: in pixels, (height, width), or one number for both.
        antialias: whether every old place counts where there are fewer new ones.
    """
    resized = model.copy()
    vit = resized if isinstance(resized, MiniViT) else resized.vit
    config = replace(model.config, image_size=image_size)
    resized.config = vit.config = config
    old, embeddings = vit.embeddings.position_embeddings, vit.embeddings
    positions, _ = resize_positions(old.detach(), embeddings.grid, config.grid, embeddings.extra, antialias)
    embeddings.position_embeddings = Parameter(positions, old.requires_grad)
    embeddings.image_size, embeddings.grid = pair(config.image_size), config.grid
    return resized


def patches(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Lays the numbers of each patch in a row: ``(B, channels, H, W)`` -> ``(B, L, channels * h * w)``."""
    high, wide = size
    rows, columns = grid_of((images.shape[2], images.shape[3]), size)
    cut = images[:, :, : rows * high, : columns * wide]
    tiles = cut.unflatten(3, (columns, wide)).unflatten(2, (rows, high))  # (B, channels, rows, h, columns, w)
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def encoder_layer(
    config: MiniViTConfig, number: int, generator: torch.Generator | None
) -> TransformerEncoderLayer:
    """Makes one of the layers, the first of which has the number 0 and is never left out."""
    layer = TransformerEncoderLayer(
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        config.hidden_dropout_prob,
        ACTIVATIONS[config.hidden_act](),
        config.layer_norm_eps,
        batch_first=True,
        norm_first=True,
        drop_path=config.drop_path_rate * number / max(1, config.num_hidden_layers - 1),
        attention_dropout=config.attention_probs_dropout_prob,
        activation_dropout=0.0,
        init=initial(config.initializer_range),
        generator=generator,
    )
    if not config.qkv_bias:
        layer.self_attn.in_proj_bias = None
    return layer


def dense(config: MiniViTConfig, out_features: int, generator: torch.Generator | None) -> Dense:
    """Makes a Dense layer on the model's width, initialised as all of ViT's are."""
    init = initial(config.initializer_range)
    return Dense(config.hidden_size, out_features, init=init, generator=generator)


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns (height, width) of a size that may be one number for both."""
    return (size, size) if isinstance(size, int) else size


def uneven(image: tuple[int, int], patch: tuple[int, int]) -> bool:
    """Says whether something remains of an image beside whole patches."""
    return any(side % part for side, part in zip(image, patch, strict=True))


def grid_of(image: tuple[int, int], patch: tuple[int, int]) -> tuple[int, int]:
    """Returns how many whole patches fit into an image: (rows, columns)."""
    return image[0] // patch[0], image[1] // patch[1]
