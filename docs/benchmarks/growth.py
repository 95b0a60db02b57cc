"""How time grows with width, depth, context, batch, image and sequence, beside torch.nn.

``hatch run bench --growth docs/benchmarks/growth.svg`` measures the rows, each named by a size and a
number, and draws them.
"""

from functools import partial

import ds_core as ds
import torch
from ds_cnn import Conv2d
from ds_core.verify.benchmark import Sides, layer
from ds_rnn import LSTM
from ds_transformer import TransformerEncoderLayer
from torch import nn


def dense(width: int = 128, depth: int = 4, batch: int = 128) -> Sides:
    parts = [(ds.Dense(width, width), ds.ReLU()) for _ in range(depth)]
    theirs = [(nn.Linear(width, width), nn.ReLU()) for _ in range(depth)]
    ours = ds.Sequential(*(one for pair in parts for one in pair))
    return layer(ours, nn.Sequential(*(one for pair in theirs for one in pair)), torch.randn(batch, width))


def convolution(size: int) -> Sides:
    x = torch.randn(8, 32, size, size)
    return layer(Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1), x, images=True)


def sequence(length: int) -> Sides:
    return layer(LSTM(64, 64), nn.LSTM(64, 64), torch.randn(length, 16, 64))


def attention(context: int) -> Sides:
    arguments = (64, 2, 128, 0.0)
    pair = (
        side(*arguments, batch_first=True) for side in (TransformerEncoderLayer, nn.TransformerEncoderLayer)
    )
    return layer(*pair, torch.randn(2, context, 64))


ROWS = {
    **{f"width of a dense layer {n}": partial(dense, width=n) for n in (64, 128, 256, 512, 1024)},
    **{f"depth of dense layers {n}": partial(dense, depth=n) for n in (1, 2, 4, 8, 16)},
    **{f"batch of dense layers {n}": partial(dense, batch=n) for n in (16, 64, 256, 1024, 4096)},
    **{f"context of an encoder layer {n}": partial(attention, n) for n in (64, 128, 256, 512, 1024)},
    **{f"side of an image, 3x3 convolution {n}": partial(convolution, n) for n in (8, 16, 32, 64)},
    **{f"sequence of an LSTM {n}": partial(sequence, n) for n in (16, 32, 64, 128, 256)},
}
