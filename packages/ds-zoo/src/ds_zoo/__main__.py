"""``python -m ds_zoo``: the command line without its script."""

from ds_zoo.cli import main

main()
