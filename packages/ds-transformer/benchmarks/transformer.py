"""Encoder layer, decoder layer and Transformer beside torch.nn's: forward and backward, 4096 tokens.

The referee is torch.nn in training mode with its fused attention: there is no dropout, and nobody asks for
the weights.
"""

import warnings
from functools import partial

import ds_transformer as ds
import torch
from ds_core.verify.benchmark import Sides, layer
from torch import nn

warnings.filterwarnings("ignore", message="enable_nested_tensor")
TOKENS = 4096  # in a batch


def block(name: str, width: int, context: int, *layers: int) -> Sides:
    arguments = (width, width // 64, *layers, 4 * width, 0.0)
    ours, theirs = (getattr(side, name)(*arguments, batch_first=True) for side in (ds, nn))
    x = torch.randn(TOKENS // context, context, width)
    if name == "TransformerEncoderLayer":
        return layer(ours, theirs, x)
    hidden = torch.ones(context, context, dtype=torch.bool).triu(1)
    causal = {"tgt_mask": hidden, "tgt_is_causal": True}
    return layer(ours, theirs, x, torch.randn_like(x), options={"tgt_is_causal": True}, their_options=causal)


ROWS = {
    **{
        f"encoder layer, width {width}, context {context}": partial(
            block, "TransformerEncoderLayer", width, context
        )
        for width in (256, 512)
        for context in (128, 512, 2048)
    },
    **{
        f"decoder layer, causal, width 256, context {context}": partial(
            block, "TransformerDecoderLayer", 256, context
        )
        for context in (128, 512, 2048)
    },
    **{
        f"Transformer, 3 + 3 layers, width 256, context {context}": partial(
            block, "Transformer", 256, context, 3, 3
        )
        for context in (128, 512)
    },
}
