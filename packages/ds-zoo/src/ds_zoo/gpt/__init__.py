"""GPT: a decoder-only Transformer that continues text."""

from ds_zoo.gpt.model import MiniGPT, MiniGPTConfig

__all__ = ["MiniGPT", "MiniGPTConfig"]
