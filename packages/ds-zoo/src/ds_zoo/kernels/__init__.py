"""The engine room of the zoo: fast forms of the formulas in ``functional/``, see :mod:`ds_core.kernels`."""
