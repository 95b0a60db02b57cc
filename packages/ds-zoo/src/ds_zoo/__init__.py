"""ds_zoo: models people know, each forward and backward written by hand, and a command line to train them."""

from ds_zoo.gpt import MiniGPT, MiniGPTConfig

__version__ = "0.2.0"

__all__ = ["MiniGPT", "MiniGPTConfig"]
