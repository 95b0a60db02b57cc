"""The command line: ``ds-zoo train``, ``ds-zoo generate``, ``ds-zoo demo``."""

import typer
from ds_core.cli import new_command_line

from ds_zoo import __version__
from ds_zoo.cli import demo, gpt

app = new_command_line("ds-zoo", __version__, "Train and use models whose every gradient is written by hand.")
train = typer.Typer(help="Train a model of the zoo.", no_args_is_help=True)
app.add_typer(train, name="train")
train.command("gpt")(gpt.train)
app.command("generate")(gpt.generate)
app.command("demo")(demo.demo)
