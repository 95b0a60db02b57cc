"""The book: every formula of images as a plain pair of functions, forward and backward, one above the other.

``name(...) -> (result, saved)`` and ``name_backward(grad, saved) -> grads``

Where the definition is a loop, it stands first, as ``name_loop``, and below it the same in one expression.
"""

from ds_cnn.functional.avg_pool import avg_pool, avg_pool_backward, avg_pool_loop, avg_pool_loop_backward
from ds_cnn.functional.batch_norm_loop import batch_norm_loop, batch_norm_loop_backward
from ds_cnn.functional.conv_transpose import (
    conv_transpose,
    conv_transpose_backward,
    conv_transpose_loop,
    conv_transpose_loop_backward,
)
from ds_cnn.functional.convolution import (
    convolution,
    convolution_backward,
    convolution_loop,
    convolution_loop_backward,
)
from ds_cnn.functional.convolution_second import (
    convolution_loop_second_backward,
    convolution_second_backward,
)
from ds_cnn.functional.global_avg_pool import global_avg_pool, global_avg_pool_backward
from ds_cnn.functional.instance_norm import instance_norm, instance_norm_backward
from ds_cnn.functional.lp_pool import lp_pool, lp_pool_backward, lp_pool_loop, lp_pool_loop_backward
from ds_cnn.functional.max_pool import max_pool, max_pool_backward, max_pool_loop, max_pool_loop_backward
from ds_cnn.functional.pad import pad, pad_backward
from ds_cnn.functional.pixel_shuffle import (
    pixel_shuffle,
    pixel_shuffle_backward,
    pixel_unshuffle,
    pixel_unshuffle_backward,
)
from ds_cnn.functional.upsample import upsample, upsample_backward

__all__ = [
    "avg_pool",
    "avg_pool_backward",
    "avg_pool_loop",
    "avg_pool_loop_backward",
    "batch_norm_loop",
    "batch_norm_loop_backward",
    "conv_transpose",
    "conv_transpose_backward",
    "conv_transpose_loop",
    "conv_transpose_loop_backward",
    "convolution",
    "convolution_backward",
    "convolution_loop",
    "convolution_loop_backward",
    "convolution_loop_second_backward",
    "convolution_second_backward",
    "global_avg_pool",
    "global_avg_pool_backward",
    "instance_norm",
    "instance_norm_backward",
    "lp_pool",
    "lp_pool_backward",
    "lp_pool_loop",
    "lp_pool_loop_backward",
    "max_pool",
    "max_pool_backward",
    "max_pool_loop",
    "max_pool_loop_backward",
    "pad",
    "pad_backward",
    "pixel_shuffle",
    "pixel_shuffle_backward",
    "pixel_unshuffle",
    "pixel_unshuffle_backward",
    "upsample",
    "upsample_backward",
]
