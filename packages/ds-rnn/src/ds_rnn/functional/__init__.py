"""The mathematics of the layers: pure functions, each forward with its backward below it."""
