"""Encoder and decoder layers, stacks of them and the whole Transformer, beside torch.nn's."""

import itertools

import torch
from ds_core import GELU, LayerNorm
from ds_core.verify import Case
from ds_core.verify.inputs import normal
from ds_transformer import (
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from torch import nn

CAUSAL = torch.ones(5, 5, dtype=torch.bool).triu(1)
PADDED = torch.tensor([[False] * 5, [False, False, False, True, True]])
PADDED_MEMORY = torch.tensor([[False, False, True, True], [False] * 4])
DROPOUT = "torch draws dropout's numbers in another order"
OURS = "torch.nn's has no such option"


def case(name, ours, theirs, arguments, sizes, call=None, namesake=True, **options):
    """A case of ours and theirs, made with the same arguments and called with the same masks."""
    call = call or {}
    extra = {k: options.pop(k) for k in ("attention_dropout", "blockwise", "num_kv_heads") if k in options}

    class Called(ours):
        def forward(self, *x):
            return super().forward(*x, **call)

    Called.__name__ = ours.__name__

    return Case(
        name=f"{ours.__name__}: {name}",
        make=lambda: (Called if call else ours)(*arguments, **options, **extra),
        inputs=normal(*sizes),
        namesake=(lambda: theirs(*arguments, **options)) if namesake is True else None,
        no_namesake="" if namesake is True else namesake,
        reference=(lambda module, *x: module(*x, **call)) if namesake is True else None,
    )


def encoder_layer(name, sizes=((2, 5, 8),), call=None, batch_first=True, dropout=0.0, **options):
    ours, theirs = TransformerEncoderLayer, nn.TransformerEncoderLayer
    return case(name, ours, theirs, (8, 2, 12, dropout), sizes, call, batch_first=batch_first, **options)


def one_position(name, size=(2, 5, 8), call=None, batch_first=True, **options):
    """A case of an encoder layer that gives one position of each sequence, beside all that torch's gives."""
    call, only = call or {}, torch.tensor([3, 0])
    causal = call.get("is_causal", False)

    class OnePosition(TransformerEncoderLayer):
        def forward(self, src):
            return super().forward(src, **call, only=only)

    def reference(theirs, src):
        every = theirs(src, **call, src_mask=CAUSAL if causal else None)
        return every[[0, 1], only][:, None] if batch_first else every[only, [0, 1]][None]

    arguments = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0, "batch_first": batch_first}
    return Case(
        name=f"TransformerEncoderLayer: one position, {name}",
        make=lambda: OnePosition(**arguments, **options),
        inputs=normal(size),
        namesake=lambda: nn.TransformerEncoderLayer(**arguments, **options),
        reference=reference,
    )


def decoder_layer(name, sizes=((2, 5, 8), (2, 4, 8)), call=None, batch_first=True, dropout=0.0, **options):
    ours, theirs = TransformerDecoderLayer, nn.TransformerDecoderLayer
    return case(name, ours, theirs, (8, 2, 12, dropout), sizes, call, batch_first=batch_first, **options)


def transformer(name, sizes=((2, 4, 8), (2, 5, 8)), call=None, batch_first=True, dropout=0.0, **options):
    arguments = (8, 2, 2, 2, 12, dropout)
    return case(name, Transformer, nn.Transformer, arguments, sizes, call, batch_first=batch_first, **options)


def stack(name, ours, layer, theirs, their_layer, sizes, norm, call=None, norm_first=False):
    call = call or {}
    return Case(
        name=f"{ours.__name__}: {name}",
        make=lambda: ours(
            layer(8, 2, 12, 0.0, batch_first=True, norm_first=norm_first), 2, LayerNorm(8) if norm else None
        ),
        inputs=normal(*sizes),
        namesake=lambda: theirs(
            their_layer(8, 2, 12, 0.0, batch_first=True, norm_first=norm_first),
            2,
            nn.LayerNorm(8) if norm else None,
        ),
    )


ENCODER = (TransformerEncoder, TransformerEncoderLayer, nn.TransformerEncoder, nn.TransformerEncoderLayer)
DECODER = (TransformerDecoder, TransformerDecoderLayer, nn.TransformerDecoder, nn.TransformerDecoderLayer)

MASKS = {"src_mask": CAUSAL, "src_key_padding_mask": PADDED}
DECODER_MASKS = {
    "tgt_mask": CAUSAL,
    "memory_mask": torch.tensor([[False, True, False, False]] * 5),
    "tgt_key_padding_mask": PADDED,
    "memory_key_padding_mask": PADDED_MEMORY,
}

CASES = [
    *(
        encoder_layer(
            f"norm_first={first}, {activation}, bias={bias}",
            norm_first=first,
            activation=activation,
            bias=bias,
        )
        for first, activation, bias in itertools.product((False, True), ("relu", "gelu"), (True, False))
    ),
    *(encoder_layer(f"masks, norm_first={first}", call=MASKS, norm_first=first) for first in (False, True)),
    encoder_layer("causal", call={"src_mask": CAUSAL, "is_causal": True}),
    encoder_layer("time first, masks", [(5, 2, 8)], call=MASKS, batch_first=False),
    encoder_layer("no batch", [(5, 8)]),
    encoder_layer("one position", [(1, 1, 8)], norm_first=True, layer_norm_eps=1e-3),
    encoder_layer("dropout", namesake=DROPOUT, dropout=0.2),
    encoder_layer(
        "dropout, norm first, blockwise", namesake=DROPOUT, dropout=0.2, norm_first=True, blockwise=True
    ),
    encoder_layer("drop_path, dropout", [(5, 3, 8)], namesake=DROPOUT, dropout=0.2, drop_path=0.4),
    encoder_layer("drop_path, norm first", [(5, 3, 8)], namesake=DROPOUT, drop_path=0.4, norm_first=True),
    encoder_layer("blockwise, masks", call=MASKS, blockwise=True),
    *(
        one_position(f"norm_first={first}, {kind}", call=call, norm_first=first)
        for first in (False, True)
        for kind, call in (
            ("all seen", {}),
            ("padding", {"src_key_padding_mask": PADDED}),
            ("causal", {"is_causal": True}),
            ("causal, padding", {"is_causal": True, "src_key_padding_mask": PADDED}),
        )
    ),
    one_position("time first, causal", (5, 2, 8), {"is_causal": True}, batch_first=False),
    encoder_layer("one key and value head", namesake=OURS, num_kv_heads=1, activation=GELU("tanh")),
    *(
        decoder_layer(
            f"norm_first={first}, {activation}, bias={bias}",
            norm_first=first,
            activation=activation,
            bias=bias,
        )
        for first, activation, bias in itertools.product((False, True), ("relu", "gelu"), (True, False))
    ),
    *(
        decoder_layer(f"masks, norm_first={first}", call=DECODER_MASKS, norm_first=first)
        for first in (False, True)
    ),
    decoder_layer("time first, masks", [(5, 2, 8), (4, 2, 8)], call=DECODER_MASKS, batch_first=False),
    decoder_layer("no batch", [(5, 8), (4, 8)]),
    decoder_layer("causal, blockwise", call={"tgt_mask": CAUSAL, "tgt_is_causal": True}, blockwise=True),
    decoder_layer("one position, one memory", [(1, 1, 8), (1, 1, 8)]),
    decoder_layer("dropout", namesake=DROPOUT, dropout=0.2, norm_first=True),
    *(
        stack(f"norm={norm}, norm_first={first}", *ENCODER, [(2, 5, 8)], norm, norm_first=first)
        for norm, first in ((False, False), (True, False), (True, True))
    ),
    *(
        stack(f"norm={norm}, norm_first={first}", *DECODER, [(2, 5, 8), (2, 4, 8)], norm, norm_first=first)
        for norm, first in ((False, False), (True, False), (True, True))
    ),
    *(
        transformer(f"norm_first={first}, {activation}", norm_first=first, activation=activation)
        for first, activation in itertools.product((False, True), ("relu", "gelu"))
    ),
    transformer(
        "all masks, time first",
        [(4, 2, 8), (5, 2, 8)],
        batch_first=False,
        call={**DECODER_MASKS, "src_mask": CAUSAL[:4, :4], "src_key_padding_mask": PADDED_MEMORY},
    ),
    transformer("no batch, no bias", [(4, 8), (5, 8)], bias=False),
    transformer("dropout", namesake=DROPOUT, dropout=0.1, attention_dropout=0.0),
]
