"""Text as numbers: tokenizers, windows to train on, and baselines to beat."""

from ds_core.text.baselines import bigram_loss, uniform_loss
from ds_core.text.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer, load_tokenizer
from ds_core.text.windows import RandomWindows, sequential_windows, split_text

__all__ = [
    "ByteTokenizer",
    "CharTokenizer",
    "RandomWindows",
    "Tokenizer",
    "bigram_loss",
    "load_tokenizer",
    "sequential_windows",
    "split_text",
    "uniform_loss",
]
