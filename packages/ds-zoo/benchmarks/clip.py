"""One training step of MiniCLIP beside transformers' CLIP: forward, contrastive loss, backward, clip, AdamW.

Both match captions with images; the referee uses its fused attention. In the last row ours takes the batch in
four parts (cached gradients), the referee the whole batch at once.
"""

from functools import partial

import torch
import transformers
from ds_core import AdamW
from ds_core.verify.benchmark import Sides, step, twin
from ds_zoo import CLIPPairs, ContrastiveLoss, MiniCLIP, MiniCLIPConfig


def clip(batch: int, config: MiniCLIPConfig, chunk: int | None = None) -> Sides:
    model = MiniCLIP(config)
    text, size = config.text_config, config.vision_config.image_size
    ids = torch.randint(4, text.vocab_size, (batch, text.max_position_embeddings))
    ids[:, -1] = text.eos_token_id
    pairs, loss = CLIPPairs(model, chunk).requires_input_grad_(False), ContrastiveLoss()

    def ours(model, pixels, ids):
        loss(pairs(pixels, ids))
        pairs.backward(loss.backward())

    def theirs(referee, pixels, ids):
        referee(input_ids=ids, pixel_values=pixels, return_loss=True).loss.backward()

    data = torch.randn(batch, 3, size, size), ids
    return step(
        *(model, twin(model, transformers.CLIPModel, attn_implementation="sdpa"), data, ours, theirs),
        update=partial(AdamW, lr=1e-4, weight_decay=0.1),
        their_update=partial(torch.optim.AdamW, lr=1e-4, weight_decay=0.1),
        their_clip=torch.nn.utils.clip_grad_norm_,
    )


MINI = MiniCLIPConfig.of_size(100, image_size=48, patch_size=8, max_position_embeddings=12, eos_token_id=3)
LARGER = MiniCLIPConfig.of_size(
    4000, image_size=64, width=192, heads=6, layers=4, max_position_embeddings=24, eos_token_id=3
)
ROWS = {
    "batch 128, images 48, width 64, 3 + 3 layers": partial(clip, 128, MINI),
    "batch 32, images 64, width 192, 4 + 4 layers": partial(clip, 32, LARGER),
    "batch 128, images 48, width 64, 3 + 3 layers, in four parts": partial(clip, 128, MINI, 32),
}
