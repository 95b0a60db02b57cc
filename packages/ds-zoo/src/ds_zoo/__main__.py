"""Runs the command line as ``python -m ds_zoo``."""

from ds_zoo.cli import app

app(prog_name="ds-zoo")
