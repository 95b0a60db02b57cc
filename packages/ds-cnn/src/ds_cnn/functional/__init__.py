"""The mathematics of the layers, without state: each operation a pair ``name`` / ``name_backward``."""
