"""One step of RNN, GRU and LSTM beside torch.nn's: forward, and backward to all weights.

64 steps, batch 64, from 128 to 256 numbers. The input is data, whose gradient nobody wants.
"""

from functools import partial
from typing import Any

import ds_rnn as ds
import torch
from ds_core.verify.benchmark import Sides, layer
from torch import nn

STEPS, BATCH, INPUT, HIDDEN = 64, 64, 128, 256


def recurrent(name: str, layers: int = 1, **options: Any) -> Sides:
    ours, theirs = (getattr(side, name)(INPUT, HIDDEN, layers, **options) for side in (ds, nn))
    return layer(ours.requires_input_grad_(False), theirs, torch.randn(STEPS, BATCH, INPUT), wanted=0)


ROWS = {
    **{name: partial(recurrent, name) for name in ("RNN", "GRU", "LSTM")},
    "LSTM, 2 layers, bidirectional": partial(recurrent, "LSTM", 2, bidirectional=True),
}
