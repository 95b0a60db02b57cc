"""Attention of a decoder over an encoder's outputs, additive and multiplicative."""

from ds_rnn.attention.additive import AdditiveAttention
from ds_rnn.attention.attention import Attention
from ds_rnn.attention.multiplicative import MultiplicativeAttention

__all__ = ["AdditiveAttention", "Attention", "MultiplicativeAttention"]
