"""One training step of MiniViT beside transformers' ViT: time and peak memory.

From the same weights, on the same images; the referee uses its fused attention and torch.optim.AdamW. The
gradients are compared before anything is timed.
"""

import tempfile

import torch
import transformers
from ds_core import AdamW, clip_grad_norm_, engine
from ds_core.verify.benchmark import Comparison, compare, report
from ds_zoo import MiniViTConfig, MiniViTForImageClassification
from ds_zoo.vit.pretrained import CLASSIFICATION


def measure(name: str, config: MiniViTConfig, batch: int) -> Comparison:
    torch.manual_seed(0)
    model = MiniViTForImageClassification(config).requires_input_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        referee = transformers.ViTForImageClassification.from_pretrained(folder).train()
    assert isinstance(config.image_size, int)
    images = torch.randn(batch, config.num_channels, config.image_size, config.image_size)
    labels = torch.randint(config.num_labels, (batch,))
    options = {"lr": 1e-4, "weight_decay": 0.05}
    optimizer = AdamW(model.parameters(), **options)
    their_optimizer = torch.optim.AdamW(referee.parameters(), **options)

    def our_gradients() -> None:
        model.zero_grad()
        with engine("manual"):
            model(images, labels)
            model.backward()

    def their_gradients() -> None:
        their_optimizer.zero_grad()
        referee(images, labels=labels).loss.backward()

    our_gradients()
    their_gradients()
    ours_by_name, theirs_by_name = {}, {}
    for made, one in ((ours_by_name, model), (theirs_by_name, referee)):
        for key, parameter in one.named_parameters():
            made[key] = parameter.grad
    for key in ("classifier.weight", "vit.layernorm.weight", "vit.embeddings.position_embeddings"):
        torch.testing.assert_close(ours_by_name[key], theirs_by_name[key], rtol=1e-3, atol=1e-6)
    assert CLASSIFICATION.architecture == type(referee).__name__

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
    labels = tuple(map(str, range(10)))
    tiny = MiniViTConfig.preset("tiny", image_size=28, num_channels=1, labels=labels)
    mini = MiniViTConfig.preset("mini", labels=labels)
    small = MiniViTConfig.preset("small", image_size=64, patch_size=8, labels=labels)
    rows = [
        measure("tiny, batch 64, 28 x 28 in patches of 4", tiny, 64),
        measure("mini, batch 32, 32 x 32 in patches of 4", mini, 32),
        measure("small, batch 16, 64 x 64 in patches of 8", small, 16),
    ]
    report("MiniViT training step: forward, backward, clip, AdamW", rows)


if __name__ == "__main__":
    main()
