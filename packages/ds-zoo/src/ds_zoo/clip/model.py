"""MiniCLIP: two towers that put pictures and captions in one space, forward and backward.

What the towers are is in ``towers.py``, what compares them in ``loss.py``; here they come together.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from ds_core import Dense, InputGrad, Module, Recompute
from ds_core.distributed import gather_rows, gather_rows_backward
from ds_core.pretrained import Pretrained
from torch import Tensor

from ds_zoo.clip.config import MiniCLIPConfig, MiniCLIPTextConfig, MiniCLIPVisionConfig
from ds_zoo.clip.loss import ContrastiveLoss, Similarity, UnitLength
from ds_zoo.clip.pretrained import CLIP, TEXT, VISION, is_whole, text_config, vision_config, whole_config
from ds_zoo.clip.towers import CLIPResNetTower, CLIPTextTower, CLIPVisionTower
from ds_zoo.heads import initial, total


class TextOutput(NamedTuple):
    """What a text tower with its projection returns; see :class:`TowerOutput` for the rest.

    Attributes:
        text_embeds: ``(B, D)``, not of unit length.
    """

    text_embeds: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None
    pooler_output: Tensor


class VisionOutput(NamedTuple):
    """What an image tower with its projection returns; see :class:`TowerOutput` for the rest.

    Attributes:
        image_embeds: ``(B, D)``, not of unit length.
    """

    image_embeds: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None
    pooler_output: Tensor


class MiniCLIPOutput(NamedTuple):
    """What a MiniCLIP returns.

    Attributes:
        loss: the contrastive loss, a scalar; None if it was not asked for.
        logits_per_image: similarities, ``(N, M)``: a row for each image.
        logits_per_text: the same, ``(M, N)``: a row for each caption.
        text_embeds: captions ``(M, D)``, of unit length.
        image_embeds: images ``(N, D)``, of unit length.
        text_model_output: what the text tower gave.
        vision_model_output: what the image tower gave.
    """

    loss: Tensor | None
    logits_per_image: Tensor
    logits_per_text: Tensor
    text_embeds: Tensor
    image_embeds: Tensor
    text_model_output: TextOutput
    vision_model_output: VisionOutput


class MiniCLIPTextModelWithProjection(Pretrained):
    """Reads captions, and puts each at a place in the space that images are in, too.

    e = pooled W^T

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        as :class:`CLIPTextTower` -> :class:`TextOutput`.

    Raises:
        ValueError: if a caption is longer than the model reads, or shapes differ.
        IndexError: if a token id is outside the vocabulary.

    Source: Radford et al. (2021), figure 3.
    """

    hugging_face = TEXT

    def __init__(self, config: MiniCLIPTextConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        self.text_model = CLIPTextTower(config, generator=generator)
        self.text_projection = projection(config.hidden_size, config.projection_dim, generator)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: bool) -> TextOutput:
        x = self.text_model(input_ids, attention_mask, **options)
        embeds = self.text_projection(x.pooler_output)  # (B, D)
        return TextOutput(embeds, x.last_hidden_state, x.hidden_states, x.attentions, x.pooler_output)

    def backward(
        self,
        grad_text_embeds: Tensor | None = None,
        grad_last_hidden_state: Tensor | None = None,
        grad_hidden_states: Any = None,
        grad_attentions: Any = None,
        grad_pooler_output: Tensor | None = None,
    ) -> None:
        """Adds to every parameter's ``.grad``; outputs that nobody used have the gradient None."""
        pooled = project_backward(self.text_projection, grad_text_embeds, grad_pooler_output)
        self.text_model.backward(grad_last_hidden_state, pooled, grad_hidden_states, grad_attentions)

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(text_config(fields))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Reads a folder of this tower, or of a whole CLIP, of which the other half is left out."""
        if not is_whole(folder):
            return super().from_pretrained(folder)
        tower = MiniCLIP.from_pretrained(folder).text
        alone = cls(tower.config)
        alone.load_state_dict(tower.state_dict())
        return alone.eval()


class MiniCLIPVisionModelWithProjection(Pretrained):
    """Looks at images, and puts each at a place in the space that captions are in, too.

    e = pooled W^T

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        as :class:`CLIPVisionTower` -> :class:`VisionOutput`.

    Raises:
        ValueError: if images have another size or other channels.

    Source: Radford et al. (2021), figure 3.
    """

    hugging_face = VISION

    def __init__(self, config: MiniCLIPVisionConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        tower = CLIPVisionTower if config.tower == "vit" else CLIPResNetTower
        self.vision_model = tower(config, generator=generator)
        self.visual_projection = projection(config.hidden_size, config.projection_dim, generator)

    def forward(self, pixel_values: Tensor, **options: bool) -> VisionOutput:
        self.vision_model.requires_input_grad_(self.input_grad)
        x = self.vision_model(pixel_values, **options)
        embeds = self.visual_projection(x.pooler_output)  # (B, D)
        return VisionOutput(embeds, x.last_hidden_state, x.hidden_states, x.attentions, x.pooler_output)

    def backward(
        self,
        grad_image_embeds: Tensor | None = None,
        grad_last_hidden_state: Tensor | None = None,
        grad_hidden_states: Any = None,
        grad_attentions: Any = None,
        grad_pooler_output: Tensor | None = None,
    ) -> InputGrad:
        """Returns the gradient of the pixels; outputs that nobody used have the gradient None."""
        pooled = project_backward(self.visual_projection, grad_image_embeds, grad_pooler_output)
        return self.vision_model.backward(grad_last_hidden_state, pooled, grad_hidden_states, grad_attentions)

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(vision_config(fields))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Reads a folder of this tower, or of a whole CLIP, of which the other half is left out."""
        if not is_whole(folder):
            return super().from_pretrained(folder)
        tower = MiniCLIP.from_pretrained(folder).vision
        alone = cls(tower.config)
        alone.load_state_dict(tower.state_dict())
        return alone.eval()


class MiniCLIP(Pretrained):
    """Puts images and captions in one space, those that belong together close to each other.

    I = unit(visual(image) V^T),   T = unit(text(caption) U^T),   S = e^t I T^T

    Args:
        config: size and shape.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        input_ids ``(M, T)``, int64; pixel_values ``(N, channels, H, W)``; attention_mask ``(M, T)``: 0 at
        what fills up short captions, None for none -> :class:`MiniCLIPOutput`. For the loss, N = M.

    Raises:
        ValueError: if a caption is longer than the model reads, images have another size, shapes differ, or
            the loss is asked for with one pair alone.
        IndexError: if a token id is outside the vocabulary.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision (2021).
    """

    hugging_face = CLIP

    def __init__(self, config: MiniCLIPConfig, *, generator: torch.Generator | None = None) -> None:
        self.config = config
        width = config.projection_dim
        text = replace(config.text_config, projection_dim=width)
        vision = replace(config.vision_config, projection_dim=width)
        self.text = MiniCLIPTextModelWithProjection(text, generator=generator)
        self.vision = MiniCLIPVisionModelWithProjection(vision, generator=generator)
        self.text_unit, self.image_unit = UnitLength(), UnitLength()
        self.similarity = Similarity(config.logit_scale_init_value)
        self.loss = ContrastiveLoss()

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor,
        attention_mask: Tensor | None = None,
        return_loss: bool = False,
        *,
        interpolate_pos_encoding: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> MiniCLIPOutput:
        self.vision.requires_input_grad_(self.input_grad)
        shown = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
        image = self.vision(pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, **shown)
        text = self.text(input_ids, attention_mask, **shown)
        images, texts = (
            self.image_unit(image.image_embeds),
            self.text_unit(text.text_embeds),
        )  # (N, D), (M, D)
        logits = self.similarity(images, texts)  # (N, M)
        loss = self.loss(logits) if return_loss else None
        self.save(return_loss, logits)
        return MiniCLIPOutput(loss, logits, logits.mT, texts, images, text, image)

    def backward(
        self,
        grad_loss: Tensor | float | None = None,
        grad_logits_per_image: Tensor | None = None,
        grad_logits_per_text: Tensor | None = None,
        grad_text_embeds: Tensor | None = None,
        grad_image_embeds: Tensor | None = None,
        grad_text_model_output: Any = None,
        grad_vision_model_output: Any = None,
    ) -> InputGrad:
        """Returns None and the gradient of the pixels; outputs that nobody used have the gradient None.

        Where the loss was asked for and nothing is given, backward begins there, with 1.
        """
        with_loss, logits = self.saved()
        others = (
            *(grad_logits_per_image, grad_logits_per_text, grad_text_embeds, grad_image_embeds),
            *(grad_text_model_output, grad_vision_model_output),
        )
        grad = torch.zeros_like(logits) if grad_logits_per_image is None else grad_logits_per_image
        if grad_logits_per_text is not None:
            grad = grad + grad_logits_per_text.mT
        if with_loss:
            if grad_loss is None:
                grad_loss = 1.0 if all(other is None for other in others) else 0.0
            grad = grad + self.loss.backward(grad_loss)
        grad_images, grad_texts = self.similarity.backward(grad)
        grad_texts = self.text_unit.backward(total(grad_texts, grad_text_embeds))
        grad_images = self.image_unit.backward(total(grad_images, grad_image_embeds))
        grad_embeds, *more = grad_text_model_output or (None,)
        self.text.backward(total(grad_texts, grad_embeds), *more)
        grad_embeds, *more = grad_vision_model_output or (None,)
        return None, self.vision.backward(total(grad_images, grad_embeds), *more)

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Returns a vector for each caption, ``(M, D)``, not of unit length."""
        y: Tensor = self.text(input_ids, attention_mask, pooled_only=True).text_embeds
        return y

    def get_image_features(self, pixel_values: Tensor, *, interpolate_pos_encoding: bool = False) -> Tensor:
        """Returns a vector for each image, ``(N, D)``, not of unit length."""
        y: VisionOutput = self.vision(
            pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, pooled_only=True
        )
        return y.image_embeds

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(whole_config(fields))


class CLIPPairs(Module):
    """Runs a MiniCLIP on pairs for training, in a memory that does not grow with what the towers keep.

    The similarities of all pairs need the embeddings of all, but not what the towers kept to compute them.
    With ``chunk`` the towers run twice: first to get the embeddings, some pairs at a time, keeping nothing;
    then, once the gradient of each embedding is known, again, each time with the backward at once. The
    gradients are those of the whole batch (this is called cached gradients).

    Args:
        model: what is trained.
        chunk: pairs at a time; None for all at once.

    Shape:
        pixel_values ``(N, channels, H, W)``, input_ids ``(N, T)``, attention_mask ``(N, T)`` or None ->
        similarities ``(N, N)``, for :class:`ContrastiveLoss`.

    Raises:
        ValueError: if there are not as many captions as images, or ``chunk`` is below 1.

    Source: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup (2021).
    """

    def __init__(self, model: MiniCLIP, chunk: int | None = None) -> None:
        if chunk is not None and chunk < 1:
            raise ValueError(f"CLIPPairs: expected chunk of at least 1, or None, got {chunk}")
        self.model = model
        self.chunk = chunk

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        if len(pixel_values) != len(input_ids):
            raise ValueError(
                f"CLIPPairs: expected a caption for each image, got {len(pixel_values)} images and "
                f"{len(input_ids)} captions"
            )
        model, step = self.model, self.chunk or len(input_ids)
        model.vision.requires_input_grad_(self.input_grad)
        masks = [None] * len(input_ids) if attention_mask is None else list(attention_mask.split(step))
        pairs = zip(input_ids.split(step), masks, strict=False)
        images = torch.cat(
            [self._often(model.vision)(x, pooled_only=True).image_embeds for x in pixel_values.split(step)]
        )
        texts = torch.cat([self._often(model.text)(*x, pooled_only=True).text_embeds for x in pairs])
        # Of several processes, each compares all pairs.
        images, rows = gather_rows(model.image_unit(images))
        texts, _ = gather_rows(model.text_unit(texts))
        self.save(step, rows)
        return model.similarity(images, texts)  # (N, N)

    def backward(self, grad: Tensor) -> InputGrad:
        """Returns the gradient of the pixels; see :meth:`Module.backward`."""
        step, rows = self.saved()
        model = self.model
        grad_images, grad_texts = (gather_rows_backward(g, rows) for g in model.similarity.backward(grad))
        grad_images, grad_texts = model.image_unit.backward(grad_images), model.text_unit.backward(grad_texts)
        for part in reversed(grad_texts.split(step)):
            self._often(model.text).backward(part)
        grads = [self._often(model.vision).backward(part) for part in reversed(grad_images.split(step))]
        return torch.cat(grads[::-1]) if self.input_grad else None

    def _often(self, tower: Module) -> Module:
        """Returns the tower, or what runs it a second time instead of keeping anything."""
        return tower if self.chunk is None else Recompute(tower)


def projection(width: int, out: int, generator: torch.Generator | None) -> Dense:
    """Makes the map into the space of both towers."""
    return Dense(width, out, bias=False, init=initial(width**-0.5), generator=generator)


def project_backward(layer: Dense, grad: Tensor | None, more: Tensor | None) -> Tensor | None:
    """Returns the gradient of the pooled vector, None where nobody used it."""
    if grad is None:
        layer.saved()
        return more
    return total(layer.backward(grad), more)
