"""``python -m ds_rnn`` is ``ds-rnn``."""

from ds_rnn.cli import main

main()
