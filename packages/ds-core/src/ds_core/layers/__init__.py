"""Layers: one file each."""

from ds_core.layers.alpha_dropout import AlphaDropout, FeatureAlphaDropout
from ds_core.layers.batch_norm import BatchNorm1d
from ds_core.layers.bilinear import Bilinear
from ds_core.layers.cosine_similarity import CosineSimilarity
from ds_core.layers.dense import Dense, Linear
from ds_core.layers.drop_path import DropPath
from ds_core.layers.dropout import Dropout
from ds_core.layers.embedding import Embedding
from ds_core.layers.flatten import Flatten, Unflatten
from ds_core.layers.group_norm import GroupNorm
from ds_core.layers.identity import Identity
from ds_core.layers.layer_norm import LayerNorm
from ds_core.layers.lora import LoRADense, LoRAWeight
from ds_core.layers.neuron import Neuron, Perceptron
from ds_core.layers.pairwise_distance import PairwiseDistance
from ds_core.layers.rms_norm import RMSNorm
from ds_core.layers.spectral_norm import SpectralNorm

__all__ = [
    "AlphaDropout",
    "BatchNorm1d",
    "Bilinear",
    "CosineSimilarity",
    "Dense",
    "DropPath",
    "Dropout",
    "Embedding",
    "FeatureAlphaDropout",
    "Flatten",
    "GroupNorm",
    "Identity",
    "LayerNorm",
    "Linear",
    "LoRADense",
    "LoRAWeight",
    "Neuron",
    "PairwiseDistance",
    "Perceptron",
    "RMSNorm",
    "SpectralNorm",
    "Unflatten",
]
