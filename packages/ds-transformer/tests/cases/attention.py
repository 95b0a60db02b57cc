"""MultiheadAttention beside torch.nn's, option by option."""

import torch
from ds_core.verify import Case
from ds_core.verify.inputs import normal
from ds_transformer import ALiBi, MultiheadAttention, RelativePositionBias, RotaryPositions
from torch import nn


class TorchAttention(nn.MultiheadAttention):
    """torch.nn.MultiheadAttention, called as ours is: with one input, two or three."""

    def forward(self, query, key=None, value=None, *arguments, **options):
        key = query if key is None else key
        return super().forward(query, key, key if value is None else value, *arguments, **options)


def case(name, inputs, *arguments, namesake=True, call=None, size=(12, 3), **options):
    """A case of attention of some width and heads; ``call`` are the arguments of forward after the inputs."""
    call = call or {}
    ours = {k: options.pop(k) for k in ("blockwise", "num_kv_heads", "rotary", "score_bias") if k in options}

    class Ours(MultiheadAttention):
        def forward(self, *x):
            y, weights = super().forward(*x, **call)
            return y if weights is None else (y, weights)

    Ours.__name__ = "MultiheadAttention"

    def reference(theirs, *x):
        y, weights = theirs(*x, **call)
        return y if weights is None else (y, weights)

    def make():
        built = {k: v() if callable(v) else v for k, v in ours.items()}
        return Ours(*size, *arguments, **options, **built)

    return Case(
        name=f"MultiheadAttention: {name}",
        make=make,
        inputs=inputs if callable(inputs) else normal(*inputs),
        namesake=(lambda: TorchAttention(*size, *arguments, **options)) if namesake is True else None,
        no_namesake="" if namesake is True else namesake,
        reference=reference if namesake is True else None,
    )


def hidden(*size, seed=1):
    """A boolean mask, True = hidden, that leaves every row something to see."""
    mask = torch.rand(size, generator=torch.Generator().manual_seed(seed)) > 0.6
    mask[..., 0] = False
    return mask


SELF = [(5, 2, 12)]
SELF_FIRST = [(2, 5, 12)]
CROSS = [(2, 5, 12), (2, 4, 12)]
THREE = [(5, 2, 12), (4, 2, 12), (4, 2, 12)]
QUIET = {"need_weights": False}
DROPOUT = "torch draws dropout's numbers in another order"

CASES = [
    case("with averaged weights", SELF),
    case("weights of each head", SELF, call={"average_attn_weights": False}),
    case("weights not needed", SELF, call=QUIET),
    case("batch_first", SELF_FIRST, batch_first=True),
    case("no batch", [(5, 12)]),
    case("no batch, batch_first, three inputs", [(5, 12), (4, 12), (4, 12)], batch_first=True),
    case("no bias", SELF, bias=False),
    case("one position", [(1, 3, 12)]),
    case("cross-attention", CROSS, batch_first=True),
    case("query, key and value", THREE),
    case("query, key and value, no bias", THREE, bias=False),
    case("kdim and vdim", [(5, 2, 12), (4, 2, 7), (4, 2, 10)], kdim=7, vdim=10),
    case(
        "kdim and vdim, no bias, batch_first",
        [(2, 5, 12), (2, 4, 7)],
        bias=False,
        kdim=7,
        vdim=7,
        batch_first=True,
    ),
    case("vdim alone", [(5, 2, 12), (4, 2, 12), (4, 2, 5)], vdim=5),
    case("add_bias_kv", SELF, add_bias_kv=True),
    case("add_zero_attn", SELF, add_zero_attn=True),
    case(
        "add_bias_kv, add_zero_attn, kdim, blockwise",
        [(5, 2, 12), (4, 2, 7), (4, 2, 7)],
        kdim=7,
        vdim=7,
        add_bias_kv=True,
        add_zero_attn=True,
        call=QUIET,
        blockwise=True,
    ),
    case("boolean attn_mask", SELF, call={"attn_mask": hidden(5, 5)}),
    case("boolean attn_mask for each head", SELF, call={"attn_mask": hidden(6, 5, 5)}),
    case("boolean attn_mask for each head, no batch", [(5, 12)], call={"attn_mask": hidden(3, 5, 5)}),
    case("key_padding_mask", SELF, call={"key_padding_mask": hidden(2, 5)}),
    case("key_padding_mask, no batch", [(5, 12)], call={"key_padding_mask": hidden(5)}),
    case("both masks", SELF, call={"attn_mask": hidden(5, 5), "key_padding_mask": hidden(2, 5, seed=2)}),
    case(
        "both masks, cross, blockwise",
        CROSS,
        batch_first=True,
        blockwise=True,
        call={"attn_mask": hidden(6, 5, 4), "key_padding_mask": hidden(2, 4, seed=2), **QUIET},
    ),
    case(
        "both masks, add_bias_kv, add_zero_attn",
        THREE,
        add_bias_kv=True,
        add_zero_attn=True,
        call={"attn_mask": hidden(5, 4), "key_padding_mask": hidden(2, 4, seed=2)},
    ),
    case(
        "causal",
        SELF,
        call={
            "is_causal": True,
            "attn_mask": hidden(5, 5).zero_().logical_or(torch.ones(5, 5, dtype=torch.bool).triu(1)),
        },
    ),
    case(
        "causal, blockwise",
        SELF,
        blockwise=True,
        call={"is_causal": True, "attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1), **QUIET},
    ),
    case("blockwise", SELF, blockwise=True, call=QUIET),
    case("blockwise cross-attention", THREE, blockwise=True, call=QUIET),
    case("as many scores as still stay together", [(255, 2), (257, 2)], size=(2, 1), call=QUIET),
    case("as few scores as are cut into blocks", [(256, 2), (256, 2)], size=(2, 1), call=QUIET),
    case(
        "more queries in a block of fewer keys", [(491, 1), (400, 1)], size=(1, 1), blockwise=True, call=QUIET
    ),
    case(
        "as many more as are cut into blocks", [(492, 1), (400, 1)], size=(1, 1), blockwise=True, call=QUIET
    ),
    case("whole blocks", [(256, 1), (768, 1)], size=(1, 1), blockwise=True, call=QUIET),
    case(
        "blocks cut short in every direction", [(257, 5), (769, 5)], size=(5, 5), blockwise=True, call=QUIET
    ),
    case(
        "whole blocks, causal, dropout",
        [(256, 2), (768, 2)],
        size=(2, 1),
        blockwise=True,
        dropout=0.3,
        namesake=DROPOUT,
        call={"is_causal": True, **QUIET},
    ),
    case("dropout", SELF, namesake=DROPOUT, dropout=0.3),
    case("dropout, blockwise", SELF, namesake=DROPOUT, dropout=0.3, blockwise=True, call=QUIET),
    case(
        "one key and value head",
        SELF,
        namesake="torch.nn's has as many heads of key and value as of query",
        num_kv_heads=1,
        blockwise=False,
        call={"is_causal": True},
    ),
    case(
        "one key and value head, cross, blockwise",
        CROSS,
        batch_first=True,
        num_kv_heads=1,
        blockwise=True,
        namesake="torch.nn's has as many heads of key and value as of query",
        call=QUIET,
    ),
    case(
        "rotary positions",
        SELF_FIRST,
        batch_first=True,
        namesake="torch.nn's knows no positions",
        rotary=lambda: RotaryPositions(4),
        call={"is_causal": True},
    ),
    case(
        "ALiBi",
        SELF,
        namesake="torch.nn's knows no positions",
        score_bias=lambda: ALiBi(3),
        call={"is_causal": True, "key_padding_mask": hidden(2, 5)},
    ),
    case(
        "T5's relative positions",
        SELF,
        namesake="torch.nn's knows no positions",
        score_bias=lambda: RelativePositionBias(3, 8, 6),
    ),
    case(
        "T5's relative positions, blockwise, extra keys",
        SELF,
        namesake="torch.nn's knows no positions",
        call=QUIET,
        score_bias=lambda: RelativePositionBias(3, 8, 6),
        blockwise=True,
        add_bias_kv=True,
        add_zero_attn=True,
    ),
]
