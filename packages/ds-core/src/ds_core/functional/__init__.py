"""The book: every formula as a plain pair of functions, forward and backward, one above the other.

``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``; an optimizer's update is one
function, ``name(parameter, grad, state, ...) -> (parameter, state)``.
"""

from ds_core.functional.adadelta import adadelta
from ds_core.functional.adagrad import adagrad
from ds_core.functional.adam import adam
from ds_core.functional.alpha_dropout import alpha_dropout, alpha_dropout_backward
from ds_core.functional.batch_norm import (
    batch_norm,
    batch_norm_backward,
    frozen_batch_norm,
    frozen_batch_norm_backward,
)
from ds_core.functional.bce import bce, bce_backward
from ds_core.functional.bce_with_logits import bce_with_logits, bce_with_logits_backward
from ds_core.functional.bilinear import bilinear, bilinear_backward
from ds_core.functional.cosine_embedding import cosine_embedding, cosine_embedding_backward
from ds_core.functional.cosine_similarity import cosine_similarity, cosine_similarity_backward
from ds_core.functional.cross_entropy import cross_entropy, cross_entropy_backward
from ds_core.functional.ctc import ctc, ctc_backward
from ds_core.functional.dice import dice, dice_backward
from ds_core.functional.dropout import dropout, dropout_backward
from ds_core.functional.elu import celu, celu_backward, elu, elu_backward
from ds_core.functional.embedding import embedding, embedding_backward
from ds_core.functional.focal import focal, focal_backward
from ds_core.functional.gaussian_nll import gaussian_nll, gaussian_nll_backward
from ds_core.functional.gelu import gelu, gelu_backward
from ds_core.functional.glu import glu, glu_backward
from ds_core.functional.group_norm import group_norm, group_norm_backward
from ds_core.functional.hardsigmoid import hardsigmoid, hardsigmoid_backward
from ds_core.functional.hardswish import hardswish, hardswish_backward
from ds_core.functional.hardtanh import hardtanh, hardtanh_backward
from ds_core.functional.huber import huber, huber_backward, smooth_l1, smooth_l1_backward
from ds_core.functional.kl_div import kl_div, kl_div_backward
from ds_core.functional.l1 import l1, l1_backward
from ds_core.functional.layer_norm import layer_norm, layer_norm_backward, layer_norm_second_backward
from ds_core.functional.leaky_relu import (
    leaky_relu,
    leaky_relu_backward,
    leaky_relu_second_backward,
    prelu,
    prelu_backward,
)
from ds_core.functional.linear import linear, linear_backward
from ds_core.functional.linear_second import linear_second_backward
from ds_core.functional.lion import lion
from ds_core.functional.lora import lora, lora_backward, lora_weight, lora_weight_backward
from ds_core.functional.margin_ranking import margin_ranking, margin_ranking_backward
from ds_core.functional.mish import mish, mish_backward
from ds_core.functional.mse import mse, mse_backward
from ds_core.functional.muon import muon
from ds_core.functional.nadam import nadam
from ds_core.functional.nll import nll, nll_backward
from ds_core.functional.pairwise_distance import pairwise_distance, pairwise_distance_backward
from ds_core.functional.poisson_nll import poisson_nll, poisson_nll_backward
from ds_core.functional.radam import radam
from ds_core.functional.relu import relu, relu6, relu6_backward, relu_backward
from ds_core.functional.rms_norm import rms_norm, rms_norm_backward
from ds_core.functional.rmsprop import rmsprop
from ds_core.functional.sgd import sgd
from ds_core.functional.shrink import (
    hardshrink,
    hardshrink_backward,
    softshrink,
    softshrink_backward,
    tanhshrink,
    tanhshrink_backward,
)
from ds_core.functional.sigmoid import sigmoid, sigmoid_backward
from ds_core.functional.silu import silu, silu_backward
from ds_core.functional.softmax import (
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
    softmin,
    softmin_backward,
)
from ds_core.functional.softplus import log_sigmoid, log_sigmoid_backward, softplus, softplus_backward
from ds_core.functional.softsign import softsign, softsign_backward
from ds_core.functional.spectral_norm import spectral_norm, spectral_norm_backward
from ds_core.functional.tanh import tanh, tanh_backward
from ds_core.functional.threshold import threshold, threshold_backward
from ds_core.functional.triplet_margin import triplet_margin, triplet_margin_backward

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "alpha_dropout",
    "alpha_dropout_backward",
    "batch_norm",
    "batch_norm_backward",
    "bce",
    "bce_backward",
    "bce_with_logits",
    "bce_with_logits_backward",
    "bilinear",
    "bilinear_backward",
    "celu",
    "celu_backward",
    "cosine_embedding",
    "cosine_embedding_backward",
    "cosine_similarity",
    "cosine_similarity_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "ctc",
    "ctc_backward",
    "dice",
    "dice_backward",
    "dropout",
    "dropout_backward",
    "elu",
    "elu_backward",
    "embedding",
    "embedding_backward",
    "focal",
    "focal_backward",
    "frozen_batch_norm",
    "frozen_batch_norm_backward",
    "gaussian_nll",
    "gaussian_nll_backward",
    "gelu",
    "gelu_backward",
    "glu",
    "glu_backward",
    "group_norm",
    "group_norm_backward",
    "hardshrink",
    "hardshrink_backward",
    "hardsigmoid",
    "hardsigmoid_backward",
    "hardswish",
    "hardswish_backward",
    "hardtanh",
    "hardtanh_backward",
    "huber",
    "huber_backward",
    "kl_div",
    "kl_div_backward",
    "l1",
    "l1_backward",
    "layer_norm",
    "layer_norm_backward",
    "layer_norm_second_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "leaky_relu_second_backward",
    "linear",
    "linear_backward",
    "linear_second_backward",
    "lion",
    "log_sigmoid",
    "log_sigmoid_backward",
    "log_softmax",
    "log_softmax_backward",
    "lora",
    "lora_backward",
    "lora_weight",
    "lora_weight_backward",
    "margin_ranking",
    "margin_ranking_backward",
    "mish",
    "mish_backward",
    "mse",
    "mse_backward",
    "muon",
    "nadam",
    "nll",
    "nll_backward",
    "pairwise_distance",
    "pairwise_distance_backward",
    "poisson_nll",
    "poisson_nll_backward",
    "prelu",
    "prelu_backward",
    "radam",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "rmsprop",
    "sgd",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "smooth_l1",
    "smooth_l1_backward",
    "softmax",
    "softmax_backward",
    "softmin",
    "softmin_backward",
    "softplus",
    "softplus_backward",
    "softshrink",
    "softshrink_backward",
    "softsign",
    "softsign_backward",
    "spectral_norm",
    "spectral_norm_backward",
    "tanh",
    "tanh_backward",
    "tanhshrink",
    "tanhshrink_backward",
    "threshold",
    "threshold_backward",
    "triplet_margin",
    "triplet_margin_backward",
]
