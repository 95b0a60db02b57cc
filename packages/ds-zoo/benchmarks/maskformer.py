"""One training step of MiniMaskFormer beside transformers': forward, matching, losses, backward, clip, AdamW.

Batch norms learn in both, and the last layer alone is told what is wrong, since transformers' auxiliary loss
looks at other states. The referee uses its fused attention.
"""

from dataclasses import replace
from functools import partial

import torch
import transformers
from ds_core import AdamW
from ds_core.verify.benchmark import Sides, step, twin
from ds_zoo import MiniMaskFormer, MiniMaskFormerConfig


def maskformer(preset: str, batch: int, size: int) -> Sides:
    config = MiniMaskFormerConfig.preset(preset, labels=tuple(map(str, range(9))))
    config = replace(
        config,
        backbone_config=replace(config.backbone_config, norm="batch"),
        decoder_config=replace(config.decoder_config, dropout=0.0),
    )
    model = MiniMaskFormer(config).requires_input_grad_(False)
    model.config = replace(config, backbone_config=replace(config.backbone_config, norm="frozen"))
    referee = twin(model, transformers.MaskFormerForInstanceSegmentation)  # which reads only frozen ones
    model.config = config
    masks = [(torch.rand(4, size // 8, size // 8) > 0.7).float() for _ in range(batch)]
    masks = [m.repeat_interleave(8, 1).repeat_interleave(8, 2) for m in masks]
    classes = [torch.randint(config.num_labels, (4,)) for _ in range(batch)]

    def ours(model, images, masks, classes):
        model(images, masks, classes)
        model.backward()

    def theirs(referee, images, masks, classes):
        referee(images, mask_labels=masks, class_labels=classes).loss.backward()

    return step(
        *(model, referee, (torch.randn(batch, 3, size, size), masks, classes), ours, theirs),
        update=partial(AdamW, lr=1e-4, weight_decay=0.05),
        their_update=partial(torch.optim.AdamW, lr=1e-4, weight_decay=0.05),
        their_clip=torch.nn.utils.clip_grad_norm_,
        images=True,
    )


ROWS = {
    "tiny, batch 16, 96 x 96": partial(maskformer, "tiny", 16, 96),
    "mini, batch 8, 192 x 192": partial(maskformer, "mini", 8, 192),
}
