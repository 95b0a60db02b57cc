"""``python -m ds_transformer`` is ``ds-transformer``."""

from ds_transformer.cli import main

main()
