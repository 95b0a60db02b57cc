"""One training step of MiniDETR beside transformers' DETR: forward, matching, loss, backward, clip, AdamW.

With the loss of the last layer: transformers' own auxiliary losses are those of another model.
"""

from functools import partial

import torch
import transformers
from ds_core import AdamW
from ds_core.verify.benchmark import Sides, step, twin
from ds_zoo.backbone import BackboneConfig
from ds_zoo.detr import MiniDETR, MiniDETRConfig


def detr(config: MiniDETRConfig, batch: int, size: int) -> Sides:
    model = MiniDETR(config).requires_input_grad_(False)
    referee = twin(model, transformers.DetrForObjectDetection).requires_grad_(True)  # also the backbone
    mask = torch.ones(batch, size, size, dtype=torch.int64)
    mask[0, :, size // 2 :] = 0
    labels = [
        {"class_labels": torch.randint(config.num_labels, (3,)), "boxes": 0.2 + 0.3 * torch.rand(3, 4)}
        for _ in range(batch)
    ]

    def ours(model, images, mask, labels):
        model(images, mask, labels)
        model.backward()

    def theirs(referee, images, mask, labels):
        referee(images, pixel_mask=mask, labels=labels).loss.backward()

    return step(
        *(model, referee, (torch.randn(batch, 3, size, size), mask, labels), ours, theirs),
        update=partial(AdamW, lr=1e-4, weight_decay=1e-4),
        their_update=partial(torch.optim.AdamW, lr=1e-4, weight_decay=1e-4),
        their_clip=torch.nn.utils.clip_grad_norm_,
        images=True,
    )


LABELS = tuple(map(str, range(8)))
TINY = MiniDETRConfig.preset("tiny", labels=LABELS, dropout=0.0)
SMALL = BackboneConfig(3, 32, (32, 64, 128), (1, 1, 1), "basic")
MINI = MiniDETRConfig.preset("mini", labels=LABELS, dropout=0.0, backbone_config=SMALL)
PUBLISHED = MiniDETRConfig.preset("detr-resnet-50", labels=LABELS, dropout=0.0)
ROWS = {
    "tiny, batch 16, 96 x 96": partial(detr, TINY, 16, 96),
    "mini, batch 8, 128 x 128": partial(detr, MINI, 8, 128),
    "mini, batch 2, 320 x 320": partial(detr, MINI, 2, 320),
    "detr-resnet-50, batch 1, 320 x 320": partial(detr, PUBLISHED, 1, 320),
}
