"""The engine room of ds_cnn: fast forms of its formulas on processors, see :mod:`ds_core.kernels`.

Most work on images with pixels last: the channels of a pixel lie side by side in memory, so a pixel is a row
of numbers, and what layers hand on to each other stays in that layout.
"""
