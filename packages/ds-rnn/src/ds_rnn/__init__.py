"""ds_rnn: recurrent networks, with every gradient written by hand."""

__version__ = "0.1.0"

__all__: list[str] = []
