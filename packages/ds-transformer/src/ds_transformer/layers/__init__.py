"""Layers: attention, and what is built from it."""

from ds_transformer.layers.decoder import DecoderCache, TransformerDecoder, TransformerDecoderLayer
from ds_transformer.layers.encoder import TransformerEncoder, TransformerEncoderLayer
from ds_transformer.layers.multihead_attention import MultiheadAttention
from ds_transformer.layers.scaled_dot_product_attention import (
    AttentionGradients,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)
from ds_transformer.layers.transformer import Transformer

__all__ = [
    "AttentionGradients",
    "DecoderCache",
    "MultiheadAttention",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
]
