"""Sentences that praise or complain, and the grammar that makes them.

``python -m sentiment``, in the folder ``tools``, writes ``ds_zoo/data/bundled/sentiment.csv.gz``.
:mod:`words` has the words, :mod:`templates` the ways of saying it, :mod:`make` fills the ones with the
others. Templates, words and sentences are the project's own work; the sentences are given to the public
domain (CC0 1.0).
"""

from sentiment.make import make_sentences

__all__ = ["make_sentences"]
