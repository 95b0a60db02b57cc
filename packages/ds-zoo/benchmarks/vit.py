"""One training step of MiniViT beside transformers' ViT: forward, backward, clip, AdamW.

The referee uses its fused attention.
"""

from functools import partial
from typing import Any

import torch
import transformers
from ds_core import AdamW
from ds_core.verify.benchmark import Sides, step, twin
from ds_zoo import MiniViTConfig, MiniViTForImageClassification


def vit(preset: str, batch: int, channels: int, size: int, **options: Any) -> Sides:
    labels = tuple(map(str, range(10)))
    config = MiniViTConfig.preset(preset, labels=labels, image_size=size, num_channels=channels, **options)
    model = MiniViTForImageClassification(config).requires_input_grad_(False)

    def ours(model, images, labels):
        model(images, labels)
        model.backward()

    def theirs(referee, images, labels):
        referee(images, labels=labels).loss.backward()

    data = torch.randn(batch, channels, size, size), torch.randint(config.num_labels, (batch,))
    return step(
        *(model, twin(model, transformers.ViTForImageClassification), data, ours, theirs),
        update=partial(AdamW, lr=1e-4, weight_decay=0.05),
        their_update=partial(torch.optim.AdamW, lr=1e-4, weight_decay=0.05),
        their_clip=torch.nn.utils.clip_grad_norm_,
    )


ROWS = {
    "tiny, batch 64, 28 x 28 in patches of 4": partial(vit, "tiny", 64, 1, 28),
    "mini, batch 32, 32 x 32 in patches of 4": partial(vit, "mini", 32, 3, 32),
    "small, batch 16, 64 x 64 in patches of 8": partial(vit, "small", 16, 3, 64, patch_size=8),
}
