"""How good translations are: BLEU, and how many are right to the letter."""

from __future__ import annotations

from collections.abc import Sequence

from ds_core.data.optional import needed
from ds_core.text.token_ids import check_texts


def sacre_bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Returns the BLEU of the package `sacrebleu`, with its own settings, from 0 to 100.

    BLEU = BP exp(mean over n = 1 ... 4 of log p_n),   p_n the share of n-grams that the reference has, too

    Args:
        translations: what a model wrote.
        references: what a person wrote, one for each.

    Raises:
        TypeError: if it is one text, not a list.
        ValueError: if there are not as many of one as of the other.
        ImportError: if the package `sacrebleu` is missing.

    Source: Papineni et al., BLEU (2002); Post, A Call for Clarity in Reporting BLEU Scores (2018).
    """
    _check_pairs("sacre_bleu", translations, references)
    library = needed("sacrebleu", "sacrebleu", "sacre_bleu", "translate")
    return float(library.corpus_bleu(list(translations), [list(references)]).score)


def exact_share(translations: Sequence[str], references: Sequence[str]) -> float:
    """Returns the share of translations that are the reference to the letter, from 0 to 1.

    Raises:
        TypeError: if it is one text, not a list.
        ValueError: if there are not as many of one as of the other, or none.
    """
    _check_pairs("exact_share", translations, references)
    pairs = list(zip(translations, references, strict=True))
    return sum(ours == theirs for ours, theirs in pairs) / len(pairs)


def _check_pairs(name: str, translations: Sequence[str], references: Sequence[str]) -> None:
    check_texts(name, translations)
    check_texts(name, references)
    if len(translations) != len(references) or not references:
        raise ValueError(
            f"{name}: expected one reference for each translation, and at least one, got {len(translations)} "
            f"translations and {len(references)} references"
        )
