"""GPT: a decoder-only Transformer that continues text."""

from ds_zoo.gpt.model import MiniGPT, MiniGPTConfig, MiniGPTOutput
from ds_zoo.gpt.perplexity import Perplexity, perplexity

__all__ = ["MiniGPT", "MiniGPTConfig", "MiniGPTOutput", "Perplexity", "perplexity"]
