"""``python -m ds_core.learn`` is ``ds-learn``."""

from ds_core.learn.cli import main

main()
