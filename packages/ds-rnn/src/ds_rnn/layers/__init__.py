"""Layers that read whole sequences."""

from ds_rnn.layers.gru import GRU
from ds_rnn.layers.lstm import LSTM
from ds_rnn.layers.rnn import RNN

__all__ = ["GRU", "LSTM", "RNN"]
