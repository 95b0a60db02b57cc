"""The engine room: fast forms of the formulas in ``functional/``; see :mod:`ds_core.kernels`."""
