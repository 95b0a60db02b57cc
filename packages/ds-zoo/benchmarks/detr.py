"""One training step of MiniDETR beside transformers' DETR, matching and loss included: time and memory.

From the same weights, on the same images and labels, with the loss of the last layer: transformers' own
auxiliary losses are those of another model. The gradients are compared before anything is timed.
"""

import tempfile

import torch
import transformers
from ds_core import AdamW, clip_grad_norm_, engine
from ds_core.verify.benchmark import Comparison, compare, report
from ds_zoo.backbone import BackboneConfig
from ds_zoo.detr import MiniDETR, MiniDETRConfig

SMALL = BackboneConfig(3, 32, (32, 64, 128), (1, 1, 1), "basic")


def measure(name: str, config: MiniDETRConfig, batch: int, size: int) -> Comparison:
    torch.manual_seed(0)
    model = MiniDETR(config).requires_input_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        referee = transformers.DetrForObjectDetection.from_pretrained(folder).train()
    referee.requires_grad_(True)  # theirs freezes the backbone
    images = torch.randn(batch, 3, size, size)
    mask = torch.ones(batch, size, size, dtype=torch.int64)
    mask[0, :, size // 2 :] = 0
    labels = [
        {
            "class_labels": torch.randint(config.num_labels, (3,)),
            "boxes": 0.2 + 0.3 * torch.rand(3, 4),
        }
        for _ in range(batch)
    ]
    options = {"lr": 1e-4, "weight_decay": 1e-4}
    optimizer = AdamW(model.parameters(), **options)
    their_optimizer = torch.optim.AdamW(referee.parameters(), **options)

    def our_gradients() -> None:
        model.zero_grad()
        with engine("manual"):
            model(images, mask, labels)
            model.backward()

    def their_gradients() -> None:
        their_optimizer.zero_grad()
        referee(images, pixel_mask=mask, labels=labels).loss.backward()

    our_gradients()
    their_gradients()
    pairs = (
        (model.class_labels_classifier.weight, referee.class_labels_classifier.weight),
        (model.input_projection.weight, referee.model.input_projection.weight),
        (model.query_position_embeddings.weight, referee.model.query_position_embeddings.weight),
    )
    for ours_, theirs_ in pairs:
        torch.testing.assert_close(ours_.grad, theirs_.grad, rtol=1e-3, atol=1e-6)

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
    labels = tuple(map(str, range(8)))
    tiny = MiniDETRConfig.preset("tiny", labels=labels, dropout=0.0)
    mini = MiniDETRConfig.preset("mini", labels=labels, dropout=0.0, backbone_config=SMALL)
    rows = [
        measure("tiny, batch 16, 96 x 96", tiny, 16, 96),
        measure("mini, batch 8, 128 x 128", mini, 8, 128),
        measure("mini, batch 2, 320 x 320", mini, 2, 320),
    ]
    report("MiniDETR training step: forward, matching, loss, backward, clip, AdamW", rows)


if __name__ == "__main__":
    main()
