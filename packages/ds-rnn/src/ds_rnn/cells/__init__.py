"""Cells: one step of a recurrence each, and the loop over a sequence."""

from ds_rnn.cells.gru_cell import GRUCell
from ds_rnn.cells.lstm_cell import LSTMCell
from ds_rnn.cells.rnn_cell import RNNCell
from ds_rnn.cells.unrolled import Unrolled

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "Unrolled"]
