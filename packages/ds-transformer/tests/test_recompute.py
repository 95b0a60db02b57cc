"""Blocks in ds_core's Recompute: the same bits, from their inputs alone."""

from __future__ import annotations

import pytest
import torch
from ds_core import Recompute, Sequential, engine
from ds_core.xray.observe import tensors
from ds_transformer import TransformerEncoderLayer


@pytest.mark.parametrize("blockwise", [False, True])
@pytest.mark.parametrize("seed", [None, 5], ids=["global generator", "its own generator"])
def test_blocks_with_dropout_give_the_same_bits(seed, blockwise):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    blocks = [
        TransformerEncoderLayer(
            16, 4, 32, 0.2, attention_dropout=0.3, blockwise=blockwise, generator=generator
        )
        for _ in range(3)
    ]
    bare = Sequential(*blocks)
    recomputed = Sequential(*map(Recompute, bare.copy()))
    assert list(recomputed.state_dict()) == list(bare.state_dict())
    seen = []
    for model in (bare, recomputed):
        torch.manual_seed(0)
        results = []
        for _ in range(2):
            with engine("manual"):
                x, grad = torch.randn(2, 2, 7, 16)
                output = model(x)
                kept = [
                    t
                    for t in tensors([entry.values for m in model.modules() for entry in m._stack])
                    if t.is_floating_point()
                ]
                results += [output, model.backward(grad), torch.rand(2)]
        assert (len(kept) == 3) == (model is recomputed)  # the three inputs, and no more
        seen.append([*results, *(p.grad for p in model.parameters())])
    assert all(map(torch.equal, *seen))
    assert not torch.equal(seen[0][0], seen[0][3])
