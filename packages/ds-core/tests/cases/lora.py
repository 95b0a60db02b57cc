"""Low-rank adaptation beside its formula in elementary torch: torch.nn has none."""

import torch
from ds_core import Dense, LoRADense, LoRAWeight, Sequential, Tanh
from ds_core.verify import Case
from ds_core.verify.inputs import normal

WHY = "torch.nn has no low-rank adaptation"


def moved(module):
    """Moves B away from zeros, where A would have no gradient."""
    draw = torch.Generator().manual_seed(1)
    for part in module.modules():
        if hasattr(part, "lora_B"):
            part.lora_B.data.normal_(generator=draw)
    return module


def adapted(layer, x):
    weight = layer.base.weight + layer.alpha / layer.rank * layer.lora_B @ layer.lora_A
    y = x @ weight.T
    return y if layer.base.bias is None else y + layer.base.bias


CASES = [
    Case(
        name="LoRADense(Dense(5, 3), rank=2, alpha=3)",
        make=lambda: moved(LoRADense(Dense(5, 3), 2, 3.0)),
        inputs=normal((2, 4, 5)),
        reference=adapted,
        no_namesake=WHY,
    ),
    Case(
        name="LoRADense(Dense(1, 4, bias=False), rank=3), one example",
        make=lambda: moved(LoRADense(Dense(1, 4, bias=False), 3)),
        inputs=normal((1,)),
        reference=adapted,
        no_namesake=WHY,
    ),
    Case(
        name="LoRADense(dropout=0.5) inside a network",
        make=lambda: moved(Sequential(Dense(4, 5), Tanh(), LoRADense(Dense(5, 3), 1, dropout=0.5))),
        inputs=normal((6, 4)),
        no_namesake=WHY,
    ),
    Case(
        name="LoRADense, empty batch",
        make=lambda: moved(LoRADense(Dense(5, 3), 2)),
        inputs=normal((0, 5)),
        reference=adapted,
        no_namesake=WHY,
    ),
    Case(
        name='LoRAWeight(Dense(5, 3), "weight", rank=2)',
        make=lambda: moved(LoRAWeight(Dense(5, 3), "weight", 2, 3.0)),
        inputs=normal((2, 4, 5)),
        reference=adapted,
        no_namesake=WHY,
    ),
]
