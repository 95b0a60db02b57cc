"""The two towers of CLIP: one reads a caption, one looks at an image; each ends in one vector.

Read top to bottom: what both share, the text tower, the image tower.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import torch
from ds_cnn import BasicBlock, ResNet
from ds_core import Embedding, GroupNorm, InputGrad, LayerNorm, Module, ModuleList, Parameter
from ds_core.checks import check_shows, shape
from ds_core.initializers import normal_
from ds_core.kernels import dispatch
from ds_transformer import TransformerEncoderLayer, attention_maps
from ds_transformer.functional import one_position as one_position_formula
from torch import Tensor

from ds_zoo import functional
from ds_zoo.activations import ACTIVATIONS
from ds_zoo.clip.config import HIGHEST, MiniCLIPTextConfig, MiniCLIPVisionConfig, TowerConfig
from ds_zoo.heads import initial, total
from ds_zoo.stem import stem

resize_positions, resize_positions_backward = dispatch(functional.resize_positions, half=torch.float32)
one_position, one_position_backward = dispatch(one_position_formula)


class TowerOutput(NamedTuple):
    """What a tower returns.

    Attributes:
        last_hidden_state: a vector for each token or patch, ``(B, T, C)``; that of the one that stands for
            all alone, ``(B, 1, C)``, if no other was wanted.
        pooler_output: one vector, ``(B, C)``.
        hidden_states: if asked for: what the embeddings gave and then each layer, ``(B, T, C)`` each.
        attentions: if asked for: of each layer who looked at whom, ``(B, H, T, T)``.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class Tower(Module):
    """Base of both towers: layers that normalise first.

    x1 = x + attention(norm1(x)),   y = x1 + mlp(norm2(x1))
    """

    causal: bool
    layers: ModuleList

    def add_layers(self, config: TowerConfig, generator: torch.Generator | None) -> None:
        """Makes the layers, with the initial weights of the paper.

        Source: Radford et al. (2021), section 2.5; Radford et al., Language Models are Unsupervised Multitask
        Learners (2019), for what the residual layers are divided by.
        """
        width, deep = config.hidden_size, (2 * config.num_hidden_layers) ** -0.5
        self.layers = ModuleList(
            TransformerEncoderLayer(
                width,
                config.num_attention_heads,
                config.intermediate_size,
                0.0,
                ACTIVATIONS[config.hidden_act](),
                config.layer_norm_eps,
                batch_first=True,
                norm_first=True,
                attention_dropout=config.attention_dropout,
                init=initial(width**-0.5 * deep),
                generator=generator,
            )
            for _ in range(config.num_hidden_layers)
        )
        for layer in self.layers:
            for weight, std in (
                (layer.self_attn.out_proj.weight, width**-0.5),
                (layer.linear1.weight, (2 * width) ** -0.5),
            ):
                normal_(weight, std=std, generator=generator)

    def run_layers(
        self,
        x: Tensor,
        hidden: Tensor | None,
        only: Tensor | int | None,
        output_hidden_states: bool,
        output_attentions: bool,
    ) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
        """Returns what the last layer gave; if asked for, x and what each gave, and who looked at whom.

        The last one gives no more than one position of each sequence, if ``only`` says which.
        """
        states = [x] if output_hidden_states else []
        with attention_maps(self) if output_attentions else nullcontext() as maps:
            for number, layer in enumerate(self.layers, 1):
                last = number == len(self.layers)
                x = layer(x, None, hidden, self.causal, only=only if last else None)
                if output_hidden_states:
                    states.append(x)
        return x, tuple(states) or None, None if maps is None else tuple(maps.values())

    def run_layers_backward(self, grad: Tensor, grads: Sequence[Tensor | None] | None) -> Tensor:
        """Returns the gradient of x; ``grads`` are those of each hidden state, None where nobody used it."""
        more = list(grads or [None] * (len(self.layers) + 1))
        grad = total(grad, more.pop())
        for layer, extra in zip(reversed(self.layers), reversed(more), strict=True):
            grad = total(layer.backward(grad), extra)
        return grad


class CLIPTextTower(Tower):
    """Reads captions from left to right; the vector at the end of a caption stands for all of it.

    x = E[ids] + P[0..T-1];   x = norm(layer_n(... layer_1(x)));   pooled = x at the end-of-text token

    Args:
        config: size and shape.
        generator: source of initial values and dropout.

    Shape:
        input_ids ``(B, T)``, int64; attention_mask ``(B, T)``: 0 at what fills up short captions, None for
        none -> :class:`TowerOutput`. With ``pooled_only`` the last layer computes only what is pooled, unless
        hidden states or attentions are asked for.

    Raises:
        ValueError: if a caption is longer than the model reads, or shapes differ.
        IndexError: if a token id is outside the vocabulary.

    Source: Radford et al. (2021), section 2.4.
    """

    causal = True

    def __init__(self, config: MiniCLIPTextConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        width, init = config.hidden_size, initial(config.initializer_range)
        self.token = Embedding(config.vocab_size, width, init=init, generator=generator)
        self.position = Embedding(config.max_position_embeddings, width, init=init, generator=generator)
        self.add_layers(config, generator)
        self.norm = LayerNorm(width, config.layer_norm_eps)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        pooled_only: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> TowerOutput:
        self._check(input_ids, attention_mask)
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.token(input_ids) + self.position(places)  # (B, T, C)
        hidden = None if attention_mask is None else attention_mask == 0
        end = self.ends(input_ids)
        only = end if pooled_only and not (output_hidden_states or output_attentions) else None
        x, states, maps = self.run_layers(x, hidden, only, output_hidden_states, output_attentions)
        last = self.norm(x)
        end = end if only is None else torch.zeros_like(end)  # the only one
        pooled, picked = one_position(last, end, 1)  # (B, 1, C)
        self.save(last.shape, picked)
        return TowerOutput(last, pooled[:, 0], states, maps)

    def backward(
        self,
        grad_last_hidden_state: Tensor | None = None,
        grad_pooler_output: Tensor | None = None,
        grad_hidden_states: Sequence[Tensor | None] | None = None,
        grad_attentions: None = None,
    ) -> None:
        """Adds to every parameter's ``.grad``; outputs that nobody used have the gradient None."""
        no_gradient(self, grad_attentions)
        size, picked = self.saved()
        grad = grad_last_hidden_state
        if grad_pooler_output is not None:  # each was read off at one place
            grad = total(grad, one_position_backward(grad_pooler_output[:, None], picked))
        last = None if grad is None else self.norm.backward(grad)
        grad = self.run_layers_backward(given(self, last, grad_hidden_states, size), grad_hidden_states)
        if grad_last_hidden_state is None and grad_pooler_output is None:
            self.norm.saved()
        self.position.backward(grad.sum(0))  # every caption used the same places
        self.token.backward(grad)

    def ends(self, input_ids: Tensor) -> Tensor:
        """Returns where each caption ends: its first end-of-text token, ``(B,)``."""
        if self.config.eos_token_id == HIGHEST:
            return input_ids.argmax(1)
        return (input_ids == self.config.eos_token_id).int().argmax(1)

    def _check(self, ids: Tensor, mask: Tensor | None) -> None:
        most = self.config.max_position_embeddings
        if ids.dim() != 2 or not 1 <= ids.shape[1] <= most:
            raise ValueError(
                f"MiniCLIP: expected token ids (B, T) with T from 1 to {most} (max_position_embeddings), got "
                f"{shape(ids)}"
            )
        if mask is not None and mask.shape != ids.shape:
            raise ValueError(
                f"MiniCLIP: expected attention_mask of the shape {shape(ids)} of input_ids, got {shape(mask)}"
            )
        if mask is not None:
            check_shows("MiniCLIP", "attention_mask", mask)


class CLIPVisionTower(Tower):
    """Looks at images: patches and one vector more look at one another; that one stands for the image.

    x = norm([c; patches W] + P);   x = layer_n(... layer_1(x));   pooled = norm'(x_0)

    Args:
        config: size and shape.
        generator: source of initial values and dropout.

    Shape:
        pixel_values ``(B, channels, H, W)``; another size than ``config.image_size`` only with
        ``interpolate_pos_encoding``, which stretches the positions' vectors -> :class:`TowerOutput`. With
        ``pooled_only`` the last layer computes only what is pooled, unless hidden states or attentions are
        asked for.

    Raises:
        ValueError: if images have another size or other channels.
        TypeError: if pixels have another dtype than the weights.

    Source: Dosovitskiy et al., An Image Is Worth 16x16 Words (2020), section 3.1; Radford et al. (2021),
    section 2.4, for the norm before the layers.
    """

    causal = False

    def __init__(self, config: MiniCLIPVisionConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        width = config.hidden_size
        self.class_embedding = Parameter(torch.empty(width))
        self.patch = stem(
            config.stem,
            config.num_channels,
            width,
            (config.patch_size, config.patch_size),
            bias=False,
            init=initial(config.initializer_range),
            generator=generator,
        )
        self.side = config.image_size // config.patch_size
        self.position = Parameter(torch.empty(self.side**2 + 1, width))
        normal_(self.class_embedding, std=width**-0.5, generator=generator)
        normal_(self.position, std=config.initializer_range, generator=generator)
        self.pre_norm = LayerNorm(width, config.layer_norm_eps)
        self.add_layers(config, generator)
        self.post_norm = LayerNorm(width, config.layer_norm_eps)

    def forward(
        self,
        pixel_values: Tensor,
        *,
        interpolate_pos_encoding: bool = False,
        pooled_only: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> TowerOutput:
        check_pixels(self.config, pixel_values, interpolate_pos_encoding)
        x = self.patch(pixel_values)  # (B, C, H', W')
        size = x.shape
        x = x.flatten(2).mT  # (B, H' W', C)
        first = self.class_embedding.expand(x.shape[0], 1, -1)
        positions, resized = self.position, None
        if size[2:] != (self.side, self.side):
            positions, resized = resize_positions(positions, (self.side, self.side), tuple(size[2:]), 1)
        x = torch.cat([first, x], 1) + positions  # (B, 1 + H' W', C)
        short = pooled_only and not (output_hidden_states or output_attentions)
        x, only = self.pre_norm(x), 0 if short else None
        last, states, maps = self.run_layers(x, None, only, output_hidden_states, output_attentions)
        self.save(size, resized, last.shape[1])
        pooled = self.post_norm(last[:, 0])
        return TowerOutput(last, pooled, states, maps)

    def backward(
        self,
        grad_last_hidden_state: Tensor | None = None,
        grad_pooler_output: Tensor | None = None,
        grad_hidden_states: Sequence[Tensor | None] | None = None,
        grad_attentions: None = None,
    ) -> InputGrad:
        """Returns the gradient of the pixels; outputs that nobody used have the gradient None."""
        no_gradient(self, grad_attentions)
        size, resized, length = self.saved()
        grad = grad_last_hidden_state
        if grad_pooler_output is None:
            self.post_norm.saved()
        else:
            top = self.post_norm.backward(grad_pooler_output)[:, None]  # (B, 1, C)
            rest = top.new_zeros(()).expand(size[0], length - 1, size[1])
            grad = total(grad, torch.cat([top, rest], 1))
        grad = given(self, grad, grad_hidden_states, (size[0], length, size[1]))
        grad = self.pre_norm.backward(self.run_layers_backward(grad, grad_hidden_states))
        places = grad.sum(0)  # every image used the same
        self.add_grad("position", places if resized is None else resize_positions_backward(places, resized))
        self.add_grad("class_embedding", lambda: grad[:, 0].sum(0))
        self.patch.requires_input_grad_(self.input_grad)
        return self.patch.backward(grad[:, 1:].mT.reshape(size))


class CLIPResNetTower(Module):
    """Looks at images with a ResNet; the mean of its last map stands for the image.

    x = features(image);   pooled = norm(mean of x over all places)

    Its norms are group norms of one group: batch norms would mix the parts of a batch taken in several.

    Args:
        config: size and shape.
        generator: source of initial values.

    Shape:
        pixel_values ``(B, channels, H, W)``; another size than ``config.image_size`` only with
        ``interpolate_pos_encoding`` -> :class:`TowerOutput` with a vector for each place, without attentions;
        ``pooled_only`` is without effect.

    Raises:
        ValueError: if images have another size or other channels, or hidden states or attentions are asked
            for, of which there are none.

    Source: Radford et al. (2021), section 2.4, whose pooling is attention; He et al., Deep Residual Learning
    for Image Recognition (2016).
    """

    def __init__(self, config: MiniCLIPVisionConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        width = config.hidden_size
        self.resnet = ResNet(
            BasicBlock,
            [config.num_hidden_layers] * 4,
            1,
            in_channels=config.num_channels,
            widths=(width // 4, width // 2, width, width),
            norm=partial(GroupNorm, 1),
            generator=generator,
        )
        self.resnet.fc = None  # the tower takes the maps before it
        self.post_norm = LayerNorm(width, config.layer_norm_eps)

    def forward(
        self,
        pixel_values: Tensor,
        *,
        interpolate_pos_encoding: bool = False,
        pooled_only: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> TowerOutput:
        if output_hidden_states or output_attentions:
            raise ValueError("CLIPResNetTower: has neither hidden states of tokens nor attentions to show")
        check_pixels(self.config, pixel_values, interpolate_pos_encoding)
        (x,) = self.resnet.features(pixel_values, [4])  # (B, C, H', W')
        self.save(x.shape)
        last = x.flatten(2).mT  # (B, H' W', C)
        return TowerOutput(last, self.post_norm(last.mean(1)))

    def backward(
        self,
        grad_last_hidden_state: Tensor | None = None,
        grad_pooler_output: Tensor | None = None,
        grad_hidden_states: None = None,
        grad_attentions: None = None,
    ) -> InputGrad:
        """Returns the gradient of the pixels; outputs that nobody used have the gradient None."""
        (size,) = self.saved()
        length, grad = size[2] * size[3], grad_last_hidden_state
        if grad_pooler_output is None:
            self.post_norm.saved()
        else:
            mean = self.post_norm.backward(grad_pooler_output)[:, None] / length  # (B, 1, C)
            grad = total(grad, mean.expand(-1, length, -1))
        grad = given(self, grad, None, (size[0], length, size[1]))
        self.resnet.requires_input_grad_(self.input_grad)
        return self.resnet.features_backward([grad.mT.reshape(size)])


def check_pixels(config: MiniCLIPVisionConfig, pixels: Tensor, interpolate: bool) -> None:
    """Checks channels and size of images."""
    if pixels.dim() != 4 or pixels.shape[1] != config.num_channels:
        raise ValueError(
            f"MiniCLIP: expected pixel_values (B, {config.num_channels}, H, W), got {shape(pixels)}"
        )
    side = config.image_size
    if not interpolate and pixels.shape[2:] != (side, side):
        raise ValueError(
            f"MiniCLIP: expected images of {side} x {side} pixels, got {pixels.shape[2]} x "
            f"{pixels.shape[3]}; resize them, or pass interpolate_pos_encoding=True"
        )
    if min(pixels.shape[2:]) < config.patch_size:
        raise ValueError(
            f"MiniCLIP: expected images of at least one patch, {config.patch_size} pixels, got "
            f"{pixels.shape[2]} x {pixels.shape[3]}"
        )


def given(
    tower: Module, grad: Tensor | None, grads: Sequence[Tensor | None] | None, size: Sequence[int]
) -> Tensor:
    """Returns the gradient at the top of the layers, zeros where only hidden states have one.

    Raises:
        ValueError: if no output has a gradient.
    """
    if grad is not None:
        return grad
    known = [g for g in grads or () if g is not None]
    if not known:
        raise ValueError(
            f"{type(tower).__name__}.backward: expected the gradient of last_hidden_state or pooler_output"
        )
    return known[0].new_zeros(size)


def no_gradient(tower: Module, grad_attentions: object) -> None:
    """Checks that attention weights were only shown."""
    if grad_attentions is not None and any(g is not None for g in grad_attentions):  # type: ignore[attr-defined]
        raise NotImplementedError(
            f"{type(tower).__name__}.backward: attention weights are shown, but pass no gradient"
        )
