"""A corpus of sentences in English, German, Spanish and French, and the grammar that makes it.

``python -m sentences``, in the folder ``tools``, writes ``ds_core/data/bundled/sentences.csv.gz``.
:mod:`situations` says what may be said, in no language; :mod:`english`, :mod:`german`, :mod:`spanish` and
:mod:`french` say it. Lexicon, grammar and sentences are the project's own work; the sentences are given
to the public domain (CC0 1.0).
"""

from sentences.make import make_sentences

__all__ = ["make_sentences"]
