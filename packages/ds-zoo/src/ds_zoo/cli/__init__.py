"""The command line of the zoo: one grammar for every model, see :mod:`ds_zoo.cli.models`."""

from ds_core.cli import new_command_line

from ds_zoo import __version__
from ds_zoo.cli import commands, demo

app = new_command_line("ds-zoo", __version__, "Train and use models whose every gradient is written by hand.")
app.command("demo")(demo.demo)
commands.add_to(app)
