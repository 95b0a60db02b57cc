"""One training step of MiniMaskFormer, matching and losses included, beside transformers': time and memory.

From the same weights, on the same images and masks; batch norms learn in both, and the last layer alone is
told what is wrong, since transformers' auxiliary loss looks at other states. The referee uses its fused
attention and torch.optim.AdamW. The loss and some gradients are compared before anything is timed.
"""

import tempfile
from dataclasses import replace

import torch
import transformers
from ds_core import AdamW, clip_grad_norm_, engine
from ds_core.verify.benchmark import Comparison, compare, report
from ds_zoo import MiniMaskFormer, MiniMaskFormerConfig


def measure(name: str, preset: str, batch: int, size: int) -> Comparison:
    config = MiniMaskFormerConfig.preset(preset, labels=tuple(map(str, range(9))))
    config = replace(
        config,
        backbone_config=replace(config.backbone_config, norm="batch"),
        decoder_config=replace(config.decoder_config, dropout=0.0),
    )
    torch.manual_seed(0)
    model = MiniMaskFormer(config).requires_input_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        published = replace(config, backbone_config=replace(config.backbone_config, norm="frozen"))
        model.config = published
        model.save_pretrained(folder)
        model.config = config
        referee = transformers.MaskFormerForInstanceSegmentation.from_pretrained(folder).train()
    images = torch.randn(batch, 3, size, size)
    masks = [(torch.rand(4, size // 8, size // 8) > 0.7).float() for _ in range(batch)]
    masks = [m.repeat_interleave(8, 1).repeat_interleave(8, 2) for m in masks]
    classes = [torch.randint(config.num_labels, (4,)) for _ in range(batch)]
    options = {"lr": 1e-4, "weight_decay": 0.05}
    optimizer = AdamW(model.parameters(), **options)
    their_optimizer = torch.optim.AdamW(referee.parameters(), **options)

    def our_gradients() -> torch.Tensor:
        model.zero_grad()
        with engine("manual"):
            loss = model(images, masks, classes).loss
            model.backward()
        assert loss is not None
        return loss

    def their_gradients() -> torch.Tensor:
        their_optimizer.zero_grad()
        loss = referee(images, mask_labels=masks, class_labels=classes).loss
        loss.backward()
        return loss.detach()

    torch.testing.assert_close(our_gradients(), their_gradients(), rtol=1e-4, atol=1e-5)
    ours_by_name, theirs_by_name = (
        {key: parameter.grad for key, parameter in one.named_parameters()} for one in (model, referee)
    )
    for ours_key, theirs_key in (
        ("class_predictor.weight", "class_predictor.weight"),
        ("pixel_decoder.stem.0.weight", "model.pixel_level_module.decoder.fpn.stem.0.weight"),
        ("queries_embedder.weight", "model.transformer_module.queries_embedder.weight"),
    ):
        expected = theirs_by_name[theirs_key]
        error = (ours_by_name[ours_key] - expected).abs().max() / expected.abs().max()
        assert error < 1e-3, ours_key

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
    rows = [
        measure("tiny, batch 16, 96 x 96", "tiny", 16, 96),
        measure("mini, batch 8, 192 x 192", "mini", 8, 192),
    ]
    report("MiniMaskFormer training step: forward, matching, losses, backward, clip, AdamW", rows)


if __name__ == "__main__":
    main()
