"""Translation: what any model that turns sentences into sentences needs around it."""

from ds_core.text.translation.score import exact_share, sacre_bleu
from ds_core.text.translation.sequence_to_sequence import SequenceToSequence
from ds_core.text.translation.train import TranslatorRecipe, TranslatorRun, train_translator
from ds_core.text.translation.translator import Translator

__all__ = [
    "SequenceToSequence",
    "Translator",
    "TranslatorRecipe",
    "TranslatorRun",
    "exact_share",
    "sacre_bleu",
    "train_translator",
]
