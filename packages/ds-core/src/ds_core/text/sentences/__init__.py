"""A corpus of sentences in English, German, Spanish and French, and the grammar that makes it.

``sentences.csv`` is written by ``python -m ds_core.text.sentences``. :mod:`situations` says what may be said,
in no language; :mod:`english`, :mod:`german`, :mod:`spanish` and :mod:`french` say it. Lexicon, grammar and
sentences are the project's own work; the sentences are given to the public domain (CC0 1.0).
"""

from ds_core.text.sentences.make import make_sentences

__all__ = ["make_sentences"]
