"""Translation: what any model that turns sentences into sentences needs around it."""

from ds_core.translation.score import exact_share, sacre_bleu
from ds_core.translation.train import TranslatorRecipe, TranslatorRun, train_translator
from ds_core.translation.translator import Translator

__all__ = [
    "Translator",
    "TranslatorRecipe",
    "TranslatorRun",
    "exact_share",
    "sacre_bleu",
    "train_translator",
]
