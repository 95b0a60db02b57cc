"""ds_rnn: recurrent networks and what reads and writes with them, every gradient written by hand."""

from typing import TYPE_CHECKING

from ds_core.lazy import lazy

__version__ = "0.2.0"

if TYPE_CHECKING:
    from ds_rnn.attention import *
    from ds_rnn.cells import *
    from ds_rnn.layers import *
    from ds_rnn.models import *
else:
    lazy(
        __name__,
        {
            "attention": "AdditiveAttention Attention MultiplicativeAttention",
            "cells": "GRUCell LSTMCell RNNCell Unrolled",
            "layers": "GRU LSTM RNN",
            "models": (
                "RecurrentDecoder RecurrentEncoder RecurrentLanguageModel Seq2Seq Seq2SeqConfig "
                "SequenceClassifier SequenceModel SequenceTagger"
            ),
        },
    )
