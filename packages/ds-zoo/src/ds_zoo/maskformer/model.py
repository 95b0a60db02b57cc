"""MiniMaskFormer: an image cut into segments, each of a class, forward and backward.

No pixel is classified. Every place of a large map gets a vector, every query another one; the product of the
two says how much the place belongs to the query's segment. What the segment is, the query says once for all
of it. So things and background, one or many of a class, are all the same to the model.

Read top to bottom: the head that says what to look for, the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import torch
from ds_cnn import Conv2d
from ds_cnn import functional as cnn
from ds_core import Dense, InputGrad, LayerNorm, Module, ModuleList, ReLU
from ds_core.checks import shape
from ds_core.initializers import xavier_uniform_
from ds_core.kernels import dispatch
from ds_core.pretrained import Pretrained
from ds_transformer.positions import Sine2DPositions
from torch import Tensor

from ds_zoo import functional
from ds_zoo.backbone import Backbone
from ds_zoo.detr.layers import DETRDecoderLayer
from ds_zoo.detr.model import LearnedQueries, for_images, sum_images
from ds_zoo.heads import total
from ds_zoo.maskformer.config import MiniMaskFormerConfig, levels
from ds_zoo.maskformer.loss import MaskFormerLoss
from ds_zoo.maskformer.pixel_decoder import PixelDecoder
from ds_zoo.maskformer.pretrained import MASKFORMER

mask_logits, mask_logits_backward = dispatch(functional.mask_logits, low=True)
upsample, _ = dispatch(cnn.upsample, half=torch.float32)


class Prediction(NamedTuple):
    """What one layer of the decoder says.

    Attributes:
        class_queries_logits: scores of each class and, last, of nothing ``(B, Q, K + 1)``.
        masks_queries_logits: scores of each place of the map ``(B, Q, h, w)``.
    """

    class_queries_logits: Tensor
    masks_queries_logits: Tensor


class MiniMaskFormerOutput(NamedTuple):
    """What a MiniMaskFormer returns.

    Attributes:
        loss: a scalar; None without labels.
        class_queries_logits: scores of each class and, last, of nothing ``(B, Q, K + 1)``.
        masks_queries_logits: scores of each place of the map ``(B, Q, h, w)``, a quarter of the image's size.
        auxiliary_logits: with ``use_auxiliary_loss``: what the layers before the last one say.
        transformer_decoder_last_hidden_state: of the queries ``(B, Q, C)``; it is shown, but passes no
            gradient.
        pixel_decoder_last_hidden_state: of the places ``(B, E, h, w)``, alike.
        encoder_last_hidden_state: the backbone's smallest map, alike.
    """

    loss: Tensor | None
    class_queries_logits: Tensor
    masks_queries_logits: Tensor
    auxiliary_logits: tuple[Prediction, ...] | None = None
    transformer_decoder_last_hidden_state: Tensor | None = None
    pixel_decoder_last_hidden_state: Tensor | None = None
    encoder_last_hidden_state: Tensor | None = None


class MaskEmbedder(Module):
    """Says what the places of a query's segment look like: three dense layers.

    y = W3 relu(W2 relu(W1 x))   (and biases)

    Args:
        width: C.
        out: E.
        generator: source of initial values.

    Shape:
        x ``(..., C)`` -> ``(..., E)``.

    Source: Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation (2021),
    section 3.3.
    """

    def __init__(self, width: int, out: int, *, generator: torch.Generator | None = None) -> None:
        sizes = (width, width, width, out)
        self.layers = ModuleList(
            Dense(n, m, init=xavier_uniform_, generator=generator) for n, m in pairwise(sizes)
        )
        self.relu = ReLU()

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.relu(layer(x))
        return self.layers[-1](x)

    def backward(self, grad: Tensor) -> InputGrad:
        grad = self.layers[-1].backward(grad)
        for layer in reversed(self.layers[:-1]):
            grad = layer.backward(self.relu.backward(grad))
        return grad


class MiniMaskFormer(Pretrained):
    """Cuts images into segments: as many queries as segments at most say what they see and where.

    z_1, ..., z_L = backbone(image),   P = pixel_decoder(z_1, ..., z_L),   m = W z_L + b;
    x_l = decoder_l(x_(l-1), o, m, p), x_0 = 0;   classes_l = classify(norm(x_l)),
    masks_l = embed(norm(x_l)) P

    p are sines and cosines of each place, o the queries' own vectors; norm and heads are the same for all
    layers. W is left out where z_L has as many channels as the decoder is wide. With masked attention, layer
    l > 1 lets a query look only at the places that masks_(l-1) gives to it, at all where that is none. With
    ``multi_scale`` the layers look at the pixel decoder's maps instead, each at another, the smallest first,
    and again; each map has a W of its own.

    Padding is image like any other: the published model, too, does not tell them apart.

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        pixel_values ``(B, num_channels, H, W)``; mask_labels: of each image its segments ``(n, H', W')``, 1
        inside and 0 outside, H' and W' those of the image without its padding below and to the right;
        class_labels: of each image ``(n,)``, int64 -> :class:`MiniMaskFormerOutput`.

    Raises:
        ValueError: if a shape does not fit.
        IndexError: if a label is outside the range.
        ImportError: with labels, if scipy is missing.

    Source: Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation (2021),
    section 3; masked attention and several scales: Cheng et al., Masked-attention Mask Transformer (2022),
    sections 3.2.1 and 3.2.2.
    """

    hugging_face = MASKFORMER

    def __init__(self, config: MiniMaskFormerConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        backbone, decoder = config.backbone_config, config.decoder_config
        width, deepest = decoder.d_model, backbone.hidden_sizes[-1]
        self.backbone = Backbone(backbone, levels(backbone), generator=generator)
        self.pixel_decoder = PixelDecoder(
            *(backbone.hidden_sizes, config.fpn_feature_size, config.mask_feature_size, config.finer_masks),
            generator=generator,
        )
        self.positions = Sine2DPositions(width // 2)

        def projection(channels: int) -> Conv2d:
            return Conv2d(channels, width, 1, init=xavier_uniform_, generator=generator)

        self.input_projection = projection(deepest) if deepest != width and not config.multi_scale else None
        self.level_projections = (
            ModuleList(
                projection(config.fpn_feature_size)
                for _ in range(min(len(backbone.depths), decoder.decoder_layers))
            )
            if config.multi_scale
            else None
        )
        self.queries_embedder = LearnedQueries(decoder.num_queries, width, generator=generator)
        self.decoder = ModuleList(
            DETRDecoderLayer(
                *(width, decoder.decoder_attention_heads, decoder.decoder_ffn_dim, decoder.dropout),
                *(decoder.activation_function, decoder.attention_dropout, decoder.activation_dropout),
                generator=generator,
            )
            for _ in range(decoder.decoder_layers)
        )
        self.decoder_norm = LayerNorm(width)
        self.class_predictor = Dense(width, config.num_labels + 1, generator=generator)
        self.mask_embedder = MaskEmbedder(width, config.mask_feature_size, generator=generator)
        self.all_speak = config.use_auxiliary_loss or config.masked_attention
        self.loss = MaskFormerLoss(
            config.num_labels,
            class_weight=config.cross_entropy_weight,
            mask_weight=config.mask_weight,
            dice_weight=config.dice_weight,
            eos=config.no_object_weight,
        )

    def forward(
        self,
        pixel_values: Tensor,
        mask_labels: Sequence[Tensor] | None = None,
        class_labels: Sequence[Tensor] | None = None,
    ) -> MiniMaskFormerOutput:
        if (mask_labels is None) != (class_labels is None):
            raise ValueError("MiniMaskFormer: expected both mask_labels and class_labels, or neither")
        said, *shown = self.predict_layers(pixel_values)
        classes, masks = self.heard(said)
        loss = None
        if mask_labels is not None and class_labels is not None:
            loss = self.loss(classes, masks, labels_of(mask_labels, class_labels, pixel_values))
        *others, last = (Prediction(*pair) for pair in zip(classes, masks, strict=True))
        self.save(loss is not None, said)
        return MiniMaskFormerOutput(
            loss, *last, tuple(others) or None, *(tensor.detach() for tensor in shown)
        )

    def backward(
        self,
        grad_loss: Tensor | float | None = None,
        grad_class_queries_logits: Tensor | None = None,
        grad_masks_queries_logits: Tensor | None = None,
        grad_auxiliary_logits: Sequence[tuple[Tensor | None, Tensor | None]] | None = None,
        *_: None,
    ) -> InputGrad:
        """Adds to every parameter's ``.grad`` and returns the gradient of the images.

        Args:
            grad_loss: dL/d(loss); None for 1 where forward had labels, or for 0 beside other gradients.
            grad_class_queries_logits: dL/d(class_queries_logits).
            grad_masks_queries_logits: dL/d(masks_queries_logits).
            grad_auxiliary_logits: dL/d(both) of each of the layers before the last one.
        """
        has_loss, said = self.saved()
        given = [*(grad_auxiliary_logits or ()), (grad_class_queries_logits, grad_masks_queries_logits)]
        nothing = all(grad is None for pair in given for grad in pair)
        if nothing and not has_loss:
            raise ValueError(
                "MiniMaskFormer.backward: expected the gradient of logits: forward got no labels, so there "
                "is no loss to begin at"
            )
        if has_loss:
            grads = self.loss.backward((1.0 if nothing else 0.0) if grad_loss is None else grad_loss)
        else:
            classes, masks = self.heard(said)
            grads = (torch.zeros_like(classes), torch.zeros_like(masks))
        for whole_grad, ones in zip(grads, zip(*given, strict=True), strict=True):
            for layer, grad in enumerate(ones, len(whole_grad) - len(given)):
                if grad is not None:
                    whole_grad[layer] += grad
        return self.predict_layers_backward(*unheard(grads, said))

    def heard(self, said: Prediction) -> Prediction:
        """Returns what counts of what the layers say: all with ``use_auxiliary_loss``, else the last one."""
        if self.config.use_auxiliary_loss:
            return said
        return Prediction(said.class_queries_logits[-1:], said.masks_queries_logits[-1:])

    def predict_layers(self, pixel_values: Tensor) -> tuple[Prediction, Tensor, Tensor, Tensor]:
        """Lets the layers of the decoder say what they see: the last one, or all where that is wanted.

        Args:
            pixel_values: images ``(B, num_channels, H, W)``.

        Returns:
            class logits ``(D, B, Q, K + 1)`` and mask logits ``(D, B, Q, h, w)`` of D layers; the last one's
            normed state ``(B, Q, C)``, the places' vectors ``(B, E, h, w)``, and the backbone's last map.
        """
        self._check(pixel_values)
        # see
        maps = self.backbone(pixel_values)
        places, *pyramid = self.pixel_decoder(*maps)  # (B, E, h, w)
        looked_at = self.looked_at(maps[-1], pyramid)
        grids = [(level.shape[2], level.shape[3]) for level in looked_at]
        memories = [level.flatten(2).mT for level in looked_at]  # (B, S, C) each
        keys = [
            memory + self.positions(grid).flatten(2).mT for memory, grid in zip(memories, grids, strict=True)
        ]
        small = []
        if self.config.masked_attention:  # the places' vectors on the grids of the decoder
            small = [resized(places.detach(), grid).flatten(2) for grid in grids]  # (B, E, S) each
        # decode
        images, queries = pixel_values.shape[0], self.config.decoder_config.num_queries
        o = for_images(self.queries_embedder(queries), images, (images, queries))
        x, hidden = torch.zeros_like(o), None
        states, embeddings = [], []
        for number, layer in enumerate(self.decoder, 1):
            level = (number - 1) % len(memories)
            x = layer(x, o, memories[level], keys[level], hidden)
            if number == len(self.decoder) or self.all_speak:
                states.append(self.decoder_norm(x))
                embeddings.append(self.mask_embedder(states[-1]))
            if small:
                hidden = outside(embeddings[-1].detach() @ small[number % len(small)])
        # say
        depth = len(states)
        masks, saved = mask_logits(torch.cat(embeddings, 1), places)  # (B, D Q, h, w)
        masks = masks.unflatten(1, (depth, queries)).transpose(0, 1)  # (D, B, Q, h, w)
        self.save(saved, grids, depth)
        said = Prediction(self.class_predictor(torch.stack(states)), masks)
        return said, states[-1], places, maps[-1]

    def predict_layers_backward(self, grad_classes: Tensor, grad_masks: Tensor) -> InputGrad:
        """Returns the gradient of the images from those of what the layers said."""
        saved, grids, depth = self.saved()
        # say
        grad_embeddings, grad_places = mask_logits_backward(grad_masks.transpose(0, 1).flatten(1, 2), saved)
        grad_states = self.class_predictor.backward(grad_classes)
        said = list(zip(grad_states, grad_embeddings.chunk(depth, 1), strict=True))
        # decode
        grad_x: Any = None
        grad_o: Any = None
        grad_memories: list[Any] = [None] * len(grids)
        for number, layer in reversed(list(enumerate(self.decoder))):
            if said:
                grad_state, grad_embedding = said.pop()
                grad_state = grad_state + self.mask_embedder.backward(grad_embedding)
                grad_x = total(self.decoder_norm.backward(grad_state), grad_x)
            grad_x, own, from_memory, from_keys = layer.backward(grad_x)
            grad_o = total(own, grad_o)
            level = number % len(grids)
            grad_memories[level] = total(from_memory + from_keys, grad_memories[level])
        self.queries_embedder.backward(sum_images(grad_o, len(grad_o)))
        # see
        for _ in grids:
            self.positions.saved()  # constants
        grad_levels = [grad.mT.unflatten(2, grid) for grad, grid in zip(grad_memories, grids, strict=True)]
        grad_last, grad_pyramid = self.looked_at_backward(grad_levels)
        grads = self.pixel_decoder.backward(grad_places, *grad_pyramid)
        *others, deepest = grads if isinstance(grads, tuple) else (grads,)
        return self.backbone.backward(*others, total(deepest, grad_last))

    def looked_at(self, last: Tensor, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Returns the maps that the decoder's layers look at, in turn: of C channels, the smallest first.

        Args:
            last: the backbone's smallest map.
            pyramid: the pixel decoder's maps, the smallest first.
        """
        if self.level_projections is not None:
            return [project(level) for project, level in zip(self.level_projections, pyramid, strict=False)]
        return [last if self.input_projection is None else self.input_projection(last)]

    def looked_at_backward(self, grads: Sequence[Tensor]) -> tuple[Tensor | None, list[Tensor | None]]:
        """Returns the gradients of the backbone's smallest map and of the pixel decoder's maps.

        Args:
            grads: of the maps that were looked at.
        """
        if self.level_projections is not None:
            given = [
                project.backward(grad) for project, grad in zip(self.level_projections, grads, strict=True)
            ]
            return None, [*given, *[None] * (len(self.config.backbone_config.depths) - len(given))]
        (grad,) = grads
        return grad if self.input_projection is None else self.input_projection.backward(grad), []

    def _check(self, images: Tensor) -> None:
        channels = self.config.backbone_config.num_channels
        if images.dim() != 4 or images.shape[1] != channels or not images.shape[0]:
            raise ValueError(
                f"MiniMaskFormer: expected images (B, {channels}, H, W), at least one, got {shape(images)}"
            )

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.backbone.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(MiniMaskFormerConfig.from_fields(fields))


class Layers(Module):
    """A MiniMaskFormer that gives what its layers say, for a :class:`ds_core.Trainer`, which has the loss.

    Args:
        model: what cuts images into segments.

    Shape:
        as the model's images -> the logits that :class:`MaskFormerLoss` takes.
    """

    def __init__(self, model: MiniMaskFormer) -> None:
        self.model = model

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        said, *_ = self.model.predict_layers(pixel_values)
        self.save(said)
        classes, masks = self.model.heard(said)
        return classes, masks

    def backward(self, grad: Tensor, grad_masks: Tensor | None = None) -> InputGrad:
        assert grad_masks is not None
        (said,) = self.saved()
        return self.model.predict_layers_backward(*unheard((grad, grad_masks), said))

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.model.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)


def unheard(grads: Sequence[Tensor], said: Prediction) -> tuple[Tensor, Tensor]:
    """Adds zeros for the layers whose outputs nobody has asked for."""
    first, second = (
        torch.cat([grad.new_zeros(len(whole) - len(grad), *grad.shape[1:]), grad])
        if len(whole) > len(grad)
        else grad
        for grad, whole in zip(grads, said, strict=True)
    )
    return first, second


def resized(places: Tensor, size: tuple[int, int]) -> Tensor:
    """Makes a map smaller, or larger, by linear interpolation along both sides."""
    return upsample(places, size, "bilinear", False, (None, None))[0]


def outside(scores: Tensor) -> Tensor:
    """Says where each query may not look: outside its mask; everywhere may it where its mask is empty.

    Args:
        scores: of each place ``(B, Q, S)``.

    Returns:
        True where it may not look ``(B, Q, S)``.
    """
    inside = scores >= 0
    return ~inside & inside.any(-1, keepdim=True)


def labels_of(masks: Sequence[Tensor], classes: Sequence[Tensor], images: Tensor) -> list[dict[str, Tensor]]:
    """Returns the loss's labels, of masks as large as the images: padding belongs to no segment.

    Args:
        masks: of each image ``(n, H', W')``.
        classes: of each image ``(n,)``.
        images: ``(B, channels, H, W)``.

    Raises:
        ValueError: if a mask is larger than the images, or there are not as many of both.
    """
    height, width = images.shape[2:]
    if len(masks) != len(classes):
        raise ValueError(
            f"MiniMaskFormer: expected mask_labels and class_labels of as many images, got {len(masks)} and "
            f"{len(classes)}"
        )
    found = []
    for number, (drawn, labels) in enumerate(zip(masks, classes, strict=True)):
        if drawn.dim() != 3 or drawn.shape[1] > height or drawn.shape[2] > width:
            raise ValueError(
                f"MiniMaskFormer: image {number}: expected masks (n, H, W) of at most {(height, width)}, the "
                f"size of the images, got {shape(drawn)}"
            )
        if drawn.shape[1:] != (height, width):
            small, drawn = drawn, drawn.new_zeros(len(drawn), height, width)
            drawn[:, : small.shape[1], : small.shape[2]] = small
        found.append({"class_labels": labels, "masks": drawn})
    return found
