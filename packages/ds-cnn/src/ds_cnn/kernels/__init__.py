"""The engine room of ds_cnn: fast forms of its formulas, see :mod:`ds_core.kernels`."""
