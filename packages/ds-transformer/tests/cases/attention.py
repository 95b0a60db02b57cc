"""Attention and the block, beside torch.nn's."""

import torch
from ds_core.verify import Case
from ds_transformer import CausalSelfAttention, TransformerBlock
from torch import nn


class TorchCausalAttention(nn.MultiheadAttention):
    """torch.nn.MultiheadAttention, fed one sequence as query, key and value under a causal mask."""

    def forward(self, x):
        mask = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).triu(1)
        return super().forward(x, x, x, attn_mask=mask, need_weights=False)[0]


class TorchBlock(nn.TransformerEncoderLayer):
    """torch.nn.TransformerEncoderLayer, pre-norm, under a causal mask."""

    def forward(self, x):
        return super().forward(x, nn.Transformer.generate_square_subsequent_mask(x.shape[-2], dtype=x.dtype))


def torch_block(dropout=0.0, bias=True):
    return TorchBlock(8, 2, 32, dropout, "gelu", batch_first=True, norm_first=True, bias=bias)


CASES = [
    Case(
        name="CausalSelfAttention",
        make=lambda: CausalSelfAttention(12, 3),
        inputs=lambda g: (torch.randn(2, 5, 12, generator=g),),
        namesake=lambda: TorchCausalAttention(12, 3, batch_first=True),
    ),
    Case(
        name="CausalSelfAttention(bias=False), unbatched",
        make=lambda: CausalSelfAttention(6, 1, bias=False),
        inputs=lambda g: (torch.randn(4, 6, generator=g),),
        namesake=lambda: TorchCausalAttention(6, 1, bias=False, batch_first=True),
    ),
    Case(
        name="CausalSelfAttention, one position",
        make=lambda: CausalSelfAttention(8, 4),
        inputs=lambda g: (torch.randn(3, 1, 8, generator=g),),
        namesake=lambda: TorchCausalAttention(8, 4, batch_first=True),
    ),
    Case(
        name="CausalSelfAttention(dropout=0.3)",
        make=lambda: CausalSelfAttention(8, 2, dropout=0.3),
        inputs=lambda g: (torch.randn(2, 5, 8, generator=g),),
        no_namesake="torch draws dropout's numbers in another order",
    ),
    Case(
        name="TransformerBlock",
        make=lambda: TransformerBlock(8, 2),
        inputs=lambda g: (torch.randn(2, 5, 8, generator=g),),
        namesake=torch_block,
    ),
    Case(
        name="TransformerBlock(bias=False), one sequence of length 1",
        make=lambda: TransformerBlock(8, 2, bias=False),
        inputs=lambda g: (torch.randn(1, 1, 8, generator=g),),
        namesake=lambda: torch_block(bias=False),
    ),
    Case(
        name="TransformerBlock(dropout, approximate='tanh')",
        make=lambda: TransformerBlock(8, 2, 12, 0.2, 0.2, "tanh"),
        inputs=lambda g: (torch.randn(2, 5, 8, generator=g),),
        no_namesake="torch draws dropout's numbers in another order",
    ),
]
