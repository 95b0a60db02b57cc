"""Conv1d: kernels that slide along sequences."""

from __future__ import annotations

from ds_cnn.layers.convolution import Convolution


class Conv1d(Convolution):
    """Slides kernels along sequences; :class:`~ds_cnn.layers.conv2d.Conv2d` of images with one row.

    y[o, i] = b[o] + sum over c, u of W[o, c, u] x[c, i stride + u]

    With G = dL/dy:   dL/dW[o, c, u] = sum over i of G[o, i] x[c, i stride + u],
    dL/dx[c, i stride + u] += W[o, c, u] G[o, i],   dL/db[o] = sum over i of G[o, i], summed over the batch.

    Args: as for Conv2d, with one number each.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> ``(N, O, L')`` or ``(O, L')``, with
        ``L' = floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1``; weight
        ``(O, C / groups, kernel_size)``, bias ``(O,)``.

    Raises:
        ValueError: if x has other dimensions or channels, or is shorter, padded, than the kernel.
        TypeError: if x has another dtype than the weight.

    Source: Waibel et al., Phoneme recognition using time-delay neural networks (1989), section II.
    """

    layout = ("C", "L")
