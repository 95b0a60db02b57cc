"""MiniDETR: objects found as a set, forward and backward.

An image becomes a map of features, places look at each other (encoder), and a fixed number of queries look at
them and say, each for itself, what is there and where, or that there is nothing (decoder). No box is proposed
beforehand, and none is thrown away afterwards.

Read top to bottom: where queries are, the head that says a box, the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import torch
from ds_cnn import Conv2d
from ds_core import Dense, InputGrad, LayerNorm, Module, ModuleList, Parameter, ReLU, Sigmoid
from ds_core import functional as core
from ds_core.checks import check_shows, shape
from ds_core.initializers import normal_, uniform_, xavier_uniform_, zeros_
from ds_core.kernels import dispatch
from ds_core.pretrained import Pretrained
from ds_transformer.positions import Sine2DPositions
from ds_transformer.positions.angles import at_least_float32, sinusoids
from torch import Tensor

from ds_zoo.backbone import Backbone
from ds_zoo.detr.config import MiniDETRConfig
from ds_zoo.detr.layers import DETRDecoderLayer, DETREncoderLayer
from ds_zoo.detr.loss import DETRLoss, Labels
from ds_zoo.detr.pretrained import DETR
from ds_zoo.heads import total

sigmoid, _ = dispatch(core.sigmoid, half=torch.float32)

START = 0.2  # height and width of an anchor, in shares of the image


class Prediction(NamedTuple):
    """What one layer of the decoder says.

    Attributes:
        logits: scores of each class and, last, of nothing ``(B, Q, K + 1)``.
        pred_boxes: centre and size in shares of the image ``(B, Q, 4)``.
    """

    logits: Tensor
    pred_boxes: Tensor


class MiniDETROutput(NamedTuple):
    """What a MiniDETR returns.

    Attributes:
        loss: a scalar; None without labels.
        logits: scores of each class and, last, of nothing ``(B, Q, K + 1)``.
        pred_boxes: centre and size in shares of the image, its padding left out ``(B, Q, 4)``.
        auxiliary_outputs: with ``auxiliary_loss``: what the layers before the last one say.
        last_hidden_state: of the queries ``(B, Q, C)``; it is shown, but passes no gradient.
        encoder_last_hidden_state: of the places ``(B, S, C)``, alike.
    """

    loss: Tensor | None
    logits: Tensor
    pred_boxes: Tensor
    auxiliary_outputs: tuple[Prediction, ...] | None = None
    last_hidden_state: Tensor | None = None
    encoder_last_hidden_state: Tensor | None = None


# ---- queries -------------------------------------------------------------------------------------------


class LearnedQueries(Module):
    """Queries that know themselves by a vector, learned from nothing: the paper's.

    Args:
        queries: how many there are.
        width: C.
        generator: source of initial values.

    Shape:
        count n -> the first n vectors ``(n, C)``.

    Source: Carion et al., End-to-End Object Detection with Transformers (2020), section 3.2.
    """

    weight: Tensor

    def __init__(self, queries: int, width: int, *, generator: torch.Generator | None = None) -> None:
        self.weight = Parameter(normal_(torch.empty(queries, width), generator=generator))

    def forward(self, count: int) -> Tensor:
        self.save()
        return self.weight[:count]

    def backward(self, grad: Tensor) -> None:
        self.saved()
        unused = len(self.weight) - len(grad)
        self.add_grad("weight", lambda: torch.cat([grad, grad.new_zeros(unused, grad.shape[1])]))


class BoxPositions(Module):
    """Makes a vector of where a box is: sines and cosines of its centre and size, and a small network.

    o = W2 relu(W1 [z(y), z(x), z(h), z(w)] + b1) + b2,   (x, y, w, h) = sigmoid(a),
    z as in :class:`ds_transformer.Sine2DPositions`

    The box comes in as a constant.

    Args:
        width: C.
        generator: source of initial values.

    Shape:
        a ``(..., 4)`` -> ``(..., C)``; ``backward`` returns None.

    Source: Liu et al., DAB-DETR (2022), section 4.2.
    """

    def __init__(self, width: int, *, generator: torch.Generator | None = None) -> None:
        self.waves = width // 2
        self.linear1 = Dense(2 * width, width, init=xavier_uniform_, generator=generator)
        self.relu = ReLU()
        self.linear2 = Dense(width, width, init=xavier_uniform_, generator=generator)
        self.linear1.requires_input_grad_(False)

    def forward(self, a: Tensor) -> Tensor:
        boxes, _ = sigmoid(a.detach(), keep=False)
        x, y, width, height = (2 * math.pi * boxes).unbind(-1)
        waves = [sinusoids(number, self.waves, 10000.0) for number in (y, x, height, width)]
        return self.linear2(self.relu(self.linear1(torch.cat(waves, -1))))

    def backward(self, grad: Tensor) -> None:
        self.linear1.backward(self.relu.backward(self.linear2.backward(grad)))


class BoxHead(Module):
    """Says where: three dense layers.

    y = W3 relu(W2 relu(W1 x))   (and biases); the sigmoid of y is a box

    Args:
        width: C.
        generator: source of initial values.

    Shape:
        x ``(..., C)`` -> ``(..., 4)``.

    Source: Carion et al., End-to-End Object Detection with Transformers (2020), section 3.2.
    """

    def __init__(self, width: int, *, generator: torch.Generator | None = None) -> None:
        sizes = (width, width, width, 4)
        self.layers = ModuleList(Dense(n, m, generator=generator) for n, m in pairwise(sizes))
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


# ---- the model -----------------------------------------------------------------------------------------


class MiniDETR(Pretrained):
    """Finds objects in images: as many queries as objects at most say what they see, all at once.

    m = encoder(W f(image) + b, p);   x_l = decoder_l(x_(l-1), o, m, p), x_0 = 0;
    logits_l = classify(norm(x_l)),   boxes_l = sigmoid(head(norm(x_l)))

    f is the backbone, p are sines and cosines of each place, o the queries' own vectors; norm and heads are
    the same for all layers. Anchored queries begin with boxes a_0, their anchors, learned as well, and each
    layer corrects the last one's:

    boxes_l = sigmoid(head(norm(x_l)) + a_(l-1)),   a_l = logit(boxes_l),   o_l = where sigmoid(a_(l-1)) is

    What a layer is given as a_l is a constant to it: its gradient goes to its own correction alone. Modulated
    ones see less of what is further off: to the score of the place (u, v) comes -2 ((u - x)^2 / w^2 +
    (v - y)^2 / h^2), where (x, y, w, h) is the box so far, -1/2 in the middle of each of its sides.

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        pixel_values ``(B, num_channels, H, W)``; pixel_mask ``(B, H, W)``, 1 or True where the image is, 0
        where there is padding, or None; labels: of each image ``{"class_labels": (n,), "boxes": (n, 4)}``,
        the boxes as centre and size in shares of the image -> :class:`MiniDETROutput`.

    Raises:
        ValueError: if a shape does not fit.
        IndexError: if a label is outside the range.
        ImportError: with labels, if scipy is missing.

    Source: Carion et al., End-to-End Object Detection with Transformers (2020), section 3.2; anchors: Liu et
    al., DAB-DETR (2022), section 4; correction: Zhu et al., Deformable DETR (2021), section A.4; modulated:
    Gao et al., Fast Convergence of DETR with Spatially Modulated Co-Attention (2021), section 3.2.
    """

    hugging_face = DETR
    anchors: Tensor | None

    def __init__(self, config: MiniDETRConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        width, queries = config.d_model, config.query_groups * config.num_queries
        self.backbone = Backbone(config.backbone_config, generator=generator)
        self.positions = Sine2DPositions(width // 2)
        self.input_projection = Conv2d(config.backbone_config.hidden_sizes[-1], width, 1, generator=generator)
        self.encoder = ModuleList(
            DETREncoderLayer(
                *(width, config.encoder_attention_heads, config.encoder_ffn_dim, *_options(config)),
                generator=generator,
            )
            for _ in range(config.encoder_layers)
        )
        self.register_parameter("anchors", None)
        if config.anchored:
            self.anchors = Parameter(start_anchors(queries, generator))
        self.query_position_embeddings = (
            BoxPositions(width, generator=generator)
            if config.anchored
            else LearnedQueries(queries, width, generator=generator)
        )
        self.decoder = ModuleList(
            DETRDecoderLayer(
                *(width, config.decoder_attention_heads, config.decoder_ffn_dim, *_options(config)),
                generator=generator,
            )
            for _ in range(config.decoder_layers)
        )
        self.decoder_norm = LayerNorm(width)
        self.class_labels_classifier = Dense(width, config.num_labels + 1, generator=generator)
        self.bbox_predictor = BoxHead(width, generator=generator)
        if config.anchored:  # each query begins at its anchor
            for parameter in self.bbox_predictor.layers[-1].parameters():
                zeros_(parameter)
        self.sigmoid = Sigmoid()
        self.loss = DETRLoss(
            config.num_labels,
            class_cost=config.class_cost,
            bbox_cost=config.bbox_cost,
            giou_cost=config.giou_cost,
            bbox_weight=config.bbox_loss_coefficient,
            giou_weight=config.giou_loss_coefficient,
            eos=config.eos_coefficient,
        )

    def forward(
        self, pixel_values: Tensor, pixel_mask: Tensor | None = None, labels: Labels | None = None
    ) -> MiniDETROutput:
        all_layers, *states = self.predict_layers(pixel_values, pixel_mask)
        logits, boxes = (t if self.config.auxiliary_loss else t[-1:] for t in all_layers)
        loss = None if labels is None else self.loss(logits, boxes, labels)
        groups = logits.shape[1] // pixel_values.shape[0]
        said = [Prediction(*pair) for pair in zip(logits[:, ::groups], boxes[:, ::groups], strict=True)]
        self.save(loss is not None, logits, boxes, groups, len(all_layers.logits))
        return MiniDETROutput(
            loss, *said[-1], tuple(said[:-1]) or None, *(state.detach() for state in states)
        )

    def backward(
        self,
        grad_loss: Tensor | float | None = None,
        grad_logits: Tensor | None = None,
        grad_pred_boxes: Tensor | None = None,
        grad_auxiliary_outputs: Sequence[tuple[Tensor | None, Tensor | None]] | None = None,
        *_: None,
    ) -> InputGrad:
        """Adds to every parameter's ``.grad`` and returns the gradient of the images.

        Args:
            grad_loss: dL/d(loss); None for 1 where forward had labels, or for 0 beside other gradients.
            grad_logits: dL/d(logits).
            grad_pred_boxes: dL/d(pred_boxes).
            grad_auxiliary_outputs: dL/d(logits, pred_boxes) of each of the layers before the last one.
        """
        has_loss, logits, boxes, groups, depth = self.saved()
        said = [*(grad_auxiliary_outputs or ()), (grad_logits, grad_pred_boxes)]
        given = [[pair[i] for pair in said] for i in (0, 1)]
        nothing = all(grad is None for grads in given for grad in grads)
        if nothing and not has_loss:
            raise ValueError(
                "MiniDETR.backward: expected the gradient of logits or pred_boxes: forward got no labels, so "
                "there is no loss to begin at"
            )
        grads: list[Tensor] = [torch.zeros_like(logits), torch.zeros_like(boxes)]
        if has_loss:
            grads = list(self.loss.backward((1.0 if nothing else 0.0) if grad_loss is None else grad_loss))
        for whole, ones in zip(grads, given, strict=True):
            for layer, grad in enumerate(ones, len(whole) - len(ones)):
                if grad is not None:
                    whole[layer, ::groups] += grad
        unsaid = depth - len(logits)  # layers whose outputs nobody has asked for
        return self.predict_layers_backward(
            *(torch.cat([g.new_zeros(unsaid, *g.shape[1:]), g]) if unsaid else g for g in grads)
        )

    def predict_layers(
        self, pixel_values: Tensor, pixel_mask: Tensor | None = None
    ) -> tuple[Prediction, Tensor, Tensor]:
        """Lets all layers of the decoder say what they see.

        Args:
            pixel_values: images ``(B, num_channels, H, W)``.
            pixel_mask: ``(B, H, W)``, 1 or True where the image is, 0 where there is padding; None if there
                is none.

        Returns:
            logits ``(D, B G, Q, K + 1)`` and boxes ``(D, B G, Q, 4)`` of D layers; the last layer's normed
            state ``(B, Q, C)`` and the encoder's ``(B, S, C)``. In eval mode G is 1.
        """
        self._check(pixel_values, pixel_mask)
        # see
        (features,) = self.backbone(pixel_values)
        grid = (features.shape[2], features.shape[3])
        hidden = None if pixel_mask is None else padding(pixel_mask, grid)
        p = self.positions(grid if hidden is None else hidden).flatten(2).mT  # (B or 1, S, C)
        at = places(features, hidden) if self.config.modulated else None
        hidden = None if hidden is None else hidden.flatten(1)  # (B, S)
        # encode
        memory = self.input_projection(features).flatten(2).mT  # (B, S, C)
        for layer in self.encoder:
            memory = layer(memory, p, hidden)
        keys = memory + p
        # decode
        images, groups = memory.shape[0], self.config.query_groups if self.training else 1
        count = groups * self.config.num_queries
        size = (images * groups, self.config.num_queries)
        a = None if self.anchors is None else for_images(self.anchors[:count], images, size)
        o = None if a is not None else for_images(self.query_position_embeddings(count), images, size)
        x = memory.new_zeros(*size, memory.shape[2])
        states, boxes = [], []
        for layer in self.decoder:
            seen = hidden if at is None or a is None else nearness(a.view(images, -1, 4), at, hidden)
            x = layer(x, self.query_position_embeddings(a) if o is None else o, memory, keys, seen)
            states.append(self.decoder_norm(x))
            box = self.bbox_predictor(states[-1])
            boxes.append(box if a is None else box + a)
            a = None if a is None else boxes[-1].detach()
        said = Prediction(self.class_labels_classifier(torch.stack(states)), self.sigmoid(torch.stack(boxes)))
        self.save(grid, images)
        return said, states[-1][::groups], memory

    def predict_layers_backward(self, grad_logits: Tensor, grad_boxes: Tensor) -> InputGrad:
        """Returns the gradient of the images from those of what the layers said."""
        grid, images = self.saved()
        # decode
        grad_boxes = self.sigmoid.backward(grad_boxes)
        grad_states = self.class_labels_classifier.backward(grad_logits)
        grad_x: Any = None
        grad_o: Any = None
        grad_memory: Any = None
        for layer, grad_state, grad_box in zip(
            *map(reversed, (self.decoder, grad_states.unbind(0), grad_boxes.unbind(0))), strict=True
        ):
            grad_state = self.decoder_norm.backward(grad_state + self.bbox_predictor.backward(grad_box))
            grad_x, own, from_memory, from_keys = layer.backward(total(grad_state, grad_x))
            grad_memory = total(from_memory + from_keys, grad_memory)
            if self.anchors is None:
                grad_o = total(own, grad_o)  # all layers have the same
            else:
                self.query_position_embeddings.backward(own)
        if self.anchors is None:
            self.query_position_embeddings.backward(sum_images(grad_o, images))
        else:  # the first layer's boxes are its correction and the anchors
            self.add_grad("anchors", lambda: self._anchors_grad(sum_images(grad_boxes[0], images)))
        # encode
        for layer in reversed(self.encoder):
            grad_memory = layer.backward(grad_memory)
        # see
        self.positions.saved()  # a constant
        return self.backbone.backward(self.input_projection.backward(grad_memory.mT.unflatten(2, grid)))

    def _anchors_grad(self, grad: Tensor) -> Tensor:
        """Adds zeros for the groups of queries that did not take part."""
        assert self.anchors is not None
        return torch.cat([grad, grad.new_zeros(len(self.anchors) - len(grad), 4)])

    def _check(self, images: Tensor, mask: Tensor | None) -> None:
        channels = self.config.backbone_config.num_channels
        if images.dim() != 4 or images.shape[1] != channels or not images.shape[0]:
            raise ValueError(
                f"MiniDETR: expected images (B, {channels}, H, W), at least one, got {shape(images)}"
            )
        if mask is not None and mask.shape != (images.shape[0], *images.shape[2:]):
            raise ValueError(
                f"MiniDETR: expected pixel_mask {(images.shape[0], *images.shape[2:])} for images "
                f"{shape(images)}, got {shape(mask)}"
            )
        if mask is not None:
            check_shows("MiniDETR", "pixel_mask", mask)

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.backbone.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(MiniDETRConfig.from_fields(fields))


class Layers(Module):
    """A MiniDETR that gives what its layers say, for a :class:`ds_core.Trainer`, which has the loss.

    Args:
        model: the detector.

    Shape:
        as the model's inputs -> logits and boxes, as :class:`DETRLoss` takes them.
    """

    def __init__(self, model: MiniDETR) -> None:
        self.model = model

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        (logits, boxes), *_ = self.model.predict_layers(pixel_values, pixel_mask)
        return logits, boxes

    def backward(self, grad: Tensor, grad_boxes: Tensor | None = None) -> InputGrad:
        assert grad_boxes is not None
        return self.model.predict_layers_backward(grad, grad_boxes)

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.model.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)


def _options(config: MiniDETRConfig) -> tuple[Any, ...]:
    """Lists what all layers of encoder and decoder have in common."""
    return config.dropout, config.activation_function, config.attention_dropout, config.activation_dropout


def padding(pixel_mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Says which places of a map are padding: those whose first pixel is.

    Args:
        pixel_mask: ``(B, H, W)``, 1 or True where the image is.
        grid: (h, w) of the map.

    Returns:
        ``(B, h, w)``, True at padding.
    """
    rows, columns = (
        torch.tensor([place * size // n for place in range(n)], device=pixel_mask.device)
        for n, size in zip(grid, pixel_mask.shape[1:], strict=True)
    )
    return pixel_mask.index_select(1, rows).index_select(2, columns) == 0


def places(features: Tensor, hidden: Tensor | None) -> Tensor:
    """Says where the places of maps are, in shares of the image, its padding left out.

    Args:
        features: the maps ``(B, C, h, w)``.
        hidden: ``(B, h, w)``, True at padding, or None.

    Returns:
        (u, v), from left and top, and the width and height of a place, ``(B, h w, 4)``; whatever at padding.
    """
    size = (features.shape[0], *features.shape[2:])
    seen = features.new_ones(size, dtype=at_least_float32(features.dtype))  # half precision cannot count far
    if hidden is not None:
        seen = seen.masked_fill(hidden, 0.0)
    across, down = seen.cumsum(2), seen.cumsum(1)
    columns, rows = across.amax((1, 2), keepdim=True), down.amax((1, 2), keepdim=True)
    of_each = (
        (across - 0.5) / columns,
        (down - 0.5) / rows,
        (1 / columns).expand_as(seen),
        (1 / rows).expand_as(seen),
    )
    return torch.stack(of_each, -1).flatten(1, 2)


def nearness(a: Tensor, at: Tensor, hidden: Tensor | None) -> Tensor:
    """Returns what comes to a query's score of each place: the less, the further off its box.

    score = -2 ((u - x)^2 / w^2 + (v - y)^2 / h^2),   (x, y, w, h) = sigmoid(a), w and h at least a place's

    Args:
        a: ``(B, Q, 4)``; a constant.
        at: what :func:`places` returns, ``(B, S, 4)``.
        hidden: ``(B, S)``, True at padding, or None.

    Returns:
        ``(B, Q, S)``, -inf at padding.
    """
    boxes, _ = sigmoid(a.detach(), keep=False)
    (centre, size), (place, least) = boxes.unsqueeze(2).split(2, -1), at.unsqueeze(1).split(2, -1)
    score = ((place - centre) / torch.maximum(size, least)).square().sum(-1) * -2
    score = score.to(a.dtype)
    return score if hidden is None else score.masked_fill(hidden.unsqueeze(1), -torch.inf)


def start_anchors(queries: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws boxes of one size all over the image, as :class:`MiniDETR` keeps them: a = logit(box)."""
    places = uniform_(torch.empty(queries, 2), 0.1, 0.9, generator=generator)
    boxes = torch.cat([places, torch.full((queries, 2), START)], 1)
    return (boxes / (1 - boxes)).log()


def for_images(rows: Tensor, images: int, size: tuple[int, int]) -> Tensor:
    """Gives all B images the same queries:  ``(G Q, ...)`` -> ``(B G, Q, ...)``."""
    return rows.expand(images, *rows.shape).reshape(*size, rows.shape[-1])


def sum_images(grad: Tensor, images: int) -> Tensor:
    """Adds up what queries ``(B G, Q, ...)`` are in all B images ->  ``(G Q, ...)``."""
    return grad.view(images, -1, grad.shape[-1]).sum(0)
