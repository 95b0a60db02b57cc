"""One training step of MiniCLIP beside transformers' CLIP: time and peak memory.

Both match captions with images, from the same weights, on the same pairs; the referee uses its fused
attention and torch.optim.AdamW. The gradients are compared before anything is timed. The last row is ours
with the batch in four parts (cached gradients), beside the referee with the whole batch at once.
"""

import tempfile

import torch
import transformers
from ds_core import AdamW, clip_grad_norm_, engine
from ds_core.verify.benchmark import Comparison, compare, report
from ds_zoo import CLIPPairs, ContrastiveLoss, MiniCLIP, MiniCLIPConfig


def measure(name: str, config: MiniCLIPConfig, batch: int, chunk: int | None = None) -> Comparison:
    torch.manual_seed(0)
    model = MiniCLIP(config)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        referee = transformers.CLIPModel.from_pretrained(folder, attn_implementation="sdpa").train()
    text, vision = config.text_config, config.vision_config
    length = text.max_position_embeddings
    ids = torch.randint(4, text.vocab_size, (batch, length))
    ids[:, -1] = text.eos_token_id
    pixels = torch.randn(batch, 3, vision.image_size, vision.image_size)
    pairs, loss = CLIPPairs(model, chunk).requires_input_grad_(False), ContrastiveLoss()
    options = {"lr": 1e-4, "weight_decay": 0.1}
    optimizer = AdamW(list(model.parameters()), **options)
    their_optimizer = torch.optim.AdamW(referee.parameters(), **options)

    def our_gradients() -> None:
        model.zero_grad()
        with engine("manual"):
            loss(pairs(pixels, ids))
            pairs.backward(loss.backward())

    def their_gradients() -> None:
        their_optimizer.zero_grad()
        referee(input_ids=ids, pixel_values=pixels, return_loss=True).loss.backward()

    our_gradients()
    their_gradients()
    theirs_by_name = {name: p.grad for name, p in referee.named_parameters()}
    for key, parameter in model.named_parameters():
        expected = [theirs_by_name[part] for part in MiniCLIP.hugging_face.stored(key).names]
        whole = expected[0] if len(expected) == 1 else torch.cat(expected)
        torch.testing.assert_close(parameter.grad, whole, rtol=1e-3, atol=1e-5)

    def ours() -> None:
        our_gradients()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def theirs() -> None:
        their_gradients()
        torch.nn.utils.clip_grad_norm_(referee.parameters(), 1.0)
        their_optimizer.step()

    return compare(name, ours, theirs, seconds=4)


def main() -> None:
    mini = MiniCLIPConfig.of_size(
        100, image_size=48, patch_size=8, max_position_embeddings=12, eos_token_id=3
    )
    larger = MiniCLIPConfig.of_size(
        4000, image_size=64, width=192, heads=6, layers=4, max_position_embeddings=24, eos_token_id=3
    )
    report(
        "MiniCLIP training step: forward, contrastive loss, backward, clip, AdamW",
        [
            measure("batch 128, images 48, width 64, 3 + 3 layers", mini, 128),
            measure("batch 32, images 64, width 192, 4 + 4 layers", larger, 32),
            measure("batch 128, images 48, width 64, 3 + 3 layers, in four parts", mini, 128, 32),
        ],
    )


if __name__ == "__main__":
    main()
