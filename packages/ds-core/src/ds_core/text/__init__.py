"""Text as numbers: tokenizers, windows or pairs to train on, decoding, and baselines to beat."""

from ds_core.text.baselines import bigram_loss, uniform_loss, unigram_loss
from ds_core.text.beam_search import beam_search
from ds_core.text.bpe_tokenizer import BPETokenizer
from ds_core.text.byte_tokenizer import ByteTokenizer
from ds_core.text.character_tokenizer import CharacterTokenizer
from ds_core.text.decoded import Decoded, reorder_state
from ds_core.text.greedy_search import greedy_search
from ds_core.text.pair_batches import PairBatch, PairBatches
from ds_core.text.pairs import Pairs, load_pairs
from ds_core.text.sampling import penalize_repetition, sample
from ds_core.text.subword_tokenizer import SubwordTokenizer
from ds_core.text.tokenizer import Tokenizer
from ds_core.text.vocabulary import Vocabulary
from ds_core.text.windows import RandomWindows, sequential_windows, split_text, text_streams
from ds_core.text.word_piece_tokenizer import WordPieceTokenizer
from ds_core.text.word_tokenizer import WordTokenizer

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "CharacterTokenizer",
    "Decoded",
    "PairBatch",
    "PairBatches",
    "Pairs",
    "RandomWindows",
    "SubwordTokenizer",
    "Tokenizer",
    "Vocabulary",
    "WordPieceTokenizer",
    "WordTokenizer",
    "beam_search",
    "bigram_loss",
    "greedy_search",
    "load_pairs",
    "reorder_state",
    "penalize_repetition",
    "sample",
    "sequential_windows",
    "split_text",
    "text_streams",
    "uniform_loss",
    "unigram_loss",
]
