"""One optimizer step beside torch.optim's, on the parameters of two models.

python packages/ds-core/benchmarks/optimizers.py
"""

from __future__ import annotations

from typing import Any

import torch
from ds_core import optimizers
from ds_core.clipping import clip_grad_norm_
from ds_core.module import Parameter
from ds_core.verify.benchmark import Comparison, compare, report
from torch import Tensor

MLP = [(512, 784), (512,), (512, 512), (512,), (10, 512), (10,)]
GPT_BLOCK = [(256,), (256,), (768, 256), (768,), (256, 256), (256,), (256,), (256,)]
GPT_BLOCK += [(1024, 256), (1024,), (256, 1024), (256,)]
GPT = [(256, 256), (128, 256), *(4 * GPT_BLOCK), (256,), (256,)]

# Options that give each rule all of its work.
RULES: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9},
    "Adagrad": {},
    "Adadelta": {},
    "RMSprop": {},
    "Adam": {},
    "AdamW": {},
    "NAdam": {},
    "RAdam": {},
    "Muon": {},
}


def parameters(shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Parameters with random gradients, the same on every call."""
    g = torch.Generator().manual_seed(0)
    made = []
    for shape in shapes:
        made.append(Parameter(torch.randn(shape, generator=g)))
        made[-1].grad = torch.randn(shape, generator=g)
    return made


def measure(model: str, shapes: list[tuple[int, ...]], rule: str, options: dict[str, Any]) -> Comparison:
    if rule == "Muon":
        shapes = [shape for shape in shapes if len(shape) == 2]
    our_params, their_params = parameters(shapes), parameters(shapes)
    ours = getattr(optimizers, rule)(our_params, **options)
    theirs = getattr(torch.optim, rule)(their_params, **options)
    ours.step()
    theirs.step()
    for p, q in zip(our_params, their_params, strict=True):
        torch.testing.assert_close(p, q)
    return compare(f"{rule}, {model}", ours.step, theirs.step, seconds=2)


def measure_clipping(model: str, shapes: list[tuple[int, ...]]) -> Comparison:
    ours, theirs = parameters(shapes), parameters(shapes)

    def their_clipping() -> None:
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)

    norm, their_norm = clip_grad_norm_(ours, 1.0), torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    torch.testing.assert_close(norm, their_norm, rtol=1e-4, atol=0)  # as exact as theirs is in float32
    # From now on the norm is within the limit: the common case in training.
    return compare(f"clip_grad_norm_, {model}", lambda: clip_grad_norm_(ours, 1.0), their_clipping, seconds=1)


def main() -> None:
    models = {"MLP 784-512-512-10": MLP, "MiniGPT, width 256, 4 layers": GPT}
    rows = []
    for model, shapes in models.items():
        rows += [measure(model, shapes, rule, options) for rule, options in RULES.items()]
        rows.append(measure_clipping(model, shapes))
    report("One optimizer step", rows)


if __name__ == "__main__":
    main()
