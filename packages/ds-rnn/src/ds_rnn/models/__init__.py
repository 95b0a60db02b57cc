"""Models that read and write sequences."""

from ds_rnn.models.decoder import RecurrentDecoder
from ds_rnn.models.encoder import RecurrentEncoder
from ds_rnn.models.recurrent_language_model import RecurrentLanguageModel
from ds_rnn.models.seq2seq import Seq2Seq, Seq2SeqConfig
from ds_rnn.models.sequence_classifier import SequenceClassifier
from ds_rnn.models.sequence_model import SequenceModel
from ds_rnn.models.sequence_tagger import SequenceTagger

__all__ = [
    "RecurrentDecoder",
    "RecurrentEncoder",
    "RecurrentLanguageModel",
    "Seq2Seq",
    "Seq2SeqConfig",
    "SequenceClassifier",
    "SequenceModel",
    "SequenceTagger",
]
