"""Several processes that train one model find what one process finds with the same batches."""

from typing import Any

import pytest
import torch
from ds_core import (
    CrossEntropyLoss,
    Dense,
    Embedding,
    LayerNorm,
    Module,
    Trainer,
)
from processes import together
from torch import Tensor


class Tied(Module):
    """A layer used twice, and one weight in two layers."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.tokens = Embedding(11, 8, generator=draw)
        self.dense = Dense(8, 8, generator=draw)
        self.norm = LayerNorm(8)
        self.head = Dense(8, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.norm(self.dense(self.dense(self.tokens(ids)))))

    def backward(self, grad: Tensor) -> None:
        g = self.norm.backward(self.head.backward(grad))
        self.tokens.backward(self.dense.backward(self.dense.backward(g)))


def texts() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randint(11, (45, 6), generator=draw), torch.randint(11, (45, 6), generator=draw)
    return x, y.masked_fill(x == 3, -100)  # so many targets count that no two parts have the same number


def trained(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Trains, and returns history and weights."""
    model, (x, y) = Tied().to(torch.float64), texts()
    options = {"clip_norm": 0.5, "lr": 1e-2, "progress": False, **options}
    trainer = Trainer(model, CrossEntropyLoss(dim=-1), "adamw", **options)
    history = trainer.fit(x, y, validation=(x, y), epochs=2, batch_size=11)  # the last one has a single text
    return history.to_dict(), {name: weight.detach() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("options", [{}, {"accumulate": 3}, {"engine": "autograd"}])
def test_several_processes_do_what_one_does(size: int, options: dict[str, Any]) -> None:
    history, weights = trained(options)
    found = together(size, trained, options)
    for other_history, other_weights in found:
        for kind in ("train", "validation"):
            for name, values in history[kind].items():
                assert other_history[kind][name] == pytest.approx(values, rel=1e-6)
        for name, weight in weights.items():
            torch.testing.assert_close(other_weights[name], weight, rtol=1e-6, atol=1e-6)
            assert torch.equal(other_weights[name], found[0][1][name])
