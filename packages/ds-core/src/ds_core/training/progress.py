"""Progress: a live bar on a terminal and in a notebook, plain lines at a growing distance anywhere else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ds_core.data.optional import needed
from ds_core.training.callbacks import Callback

if TYPE_CHECKING:
    from ds_core.training.trainer import Trainer

_REFRESH = 0.2  # seconds between two pictures of the bar
_REFRESH_NOTEBOOK = 1.0  # each picture travels to a browser
_FIRST_LINE = 2.0  # seconds until the first plain line
_GROWTH = 1.5  # the next line comes when this many times as long has passed ...
_LONGEST = 600.0  # ... but not after a longer pause than this: some 150 lines in a day
_WIDTH = 32  # characters of the bar
_RECENT = 50  # steps over which the shown loss is averaged


class ProgressDisplay(Callback):
    """Shows where training is: loss, validation, learning rate, speed and the time left.

    On a terminal and in a notebook two lines are redrawn in place. Elsewhere (a file, a pipe) a line is
    printed after two seconds, and another whenever half as much time again has passed, or ten minutes.
    """

    writes = True

    def __init__(self) -> None:
        console = Console()
        self._live: Live | None = None
        self._output: Any = None  # of a notebook, once there is one
        self._in_notebook = console.is_jupyter
        if console.is_interactive and not console.is_jupyter:
            self._live = Live(console=console, auto_refresh=False)

    def on_fit_start(self, trainer: Trainer) -> None:
        self._started = self._drawn = time.monotonic()
        self._first_step = trainer.step
        self._items = 0
        if self._live is not None:
            self._live.start()

    def on_step_end(self, trainer: Trainer) -> None:
        now = time.monotonic()
        self._items += trainer.items
        if now - self._drawn >= self._pause() and trainer.step != trainer.total_steps:
            self._drawn = now  # the end comes with on_fit_end
            self._draw(trainer)

    def _pause(self) -> float:
        """Returns for how many seconds to show nothing new."""
        if self._live is not None:
            return _REFRESH
        if self._in_notebook:
            return _REFRESH_NOTEBOOK
        return min(max(_FIRST_LINE, (_GROWTH - 1) * (self._drawn - self._started)), _LONGEST)

    def on_fit_end(self, trainer: Trainer) -> None:
        self._draw(trainer)
        self.close()

    def close(self) -> None:
        """Gives the terminal back; harmless when done before."""
        if self._live is not None:
            self._live.stop()

    def _draw(self, trainer: Trainer) -> None:
        if self._live is not None:
            self._live.update(self._bar(trainer), refresh=True)
        elif self._in_notebook:
            self._show(trainer)
        else:
            parts = (self._place(trainer), self._numbers(trainer), self._time(trainer))
            print("  ".join(filter(None, parts)), flush=True)

    def _show(self, trainer: Trainer) -> None:
        """Writes the bar and the numbers below it over those that the notebook shows."""
        display = needed("IPython.display", "ipython", "progress in a notebook", extra="notebook")
        share = trainer.step / trainer.total_steps if trainer.total_steps else 0.0
        bar = ("━" * round(_WIDTH * min(share, 1.0))).ljust(_WIDTH, "╌")
        text = f"{self._place(trainer)}  {bar}  {self._time(trainer)}\n{self._numbers(trainer)}"
        if self._output is None:
            self._output = display.display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._output.update({"text/plain": text}, raw=True)

    def _bar(self, trainer: Trainer) -> RenderableType:
        """Lays the numbers out below a bar."""
        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(trainer.total_steps, trainer.step, width=_WIDTH, pulse=trainer.total_steps is None)
        line.add_row(self._place(trainer), bar, self._time(trainer))
        return Group(line, Text(self._numbers(trainer), style="dim"))

    def _place(self, trainer: Trainer) -> str:
        """Says ``step 120/2000`` or ``epoch 3/10, step 120``."""
        if trainer.total_epochs is None:
            return f"step {trainer.step}/{trainer.total_steps}"
        epoch = trainer.history.train.get("epoch", [0])[-1]  # that of the latest step
        return f"epoch {min(epoch, trainer.total_epochs)}/{trainer.total_epochs}, step {trainer.step}"

    def _numbers(self, trainer: Trainer) -> str:
        """Says ``loss 2.134  val_loss 2.201  lr 0.001  35 steps/s  4,480 tokens/s``."""
        history, seconds = trainer.history, time.monotonic() - self._started
        parts = []
        if len(history):
            recent = history["loss"][-_RECENT:]
            parts.append(f"loss {sum(recent) / len(recent):.4g}")
        for name, column in history.validation.items():
            if name not in ("step", "epoch"):
                parts.append(f"{name} {column[-1]:.4g}")
        if len(history):
            parts.append(f"lr {history['lr'][-1]:.3g}")
        if seconds > 0 and trainer.step > self._first_step:
            parts.append(f"{_rate((trainer.step - self._first_step) / seconds)} steps/s")
            parts.append(f"{_rate(self._items / seconds)} {trainer.item_name}/s")
        return "  ".join(parts)

    def _time(self, trainer: Trainer) -> str:
        """Says ``0:45 left``, or ``in 1:30`` at the end or where the end is not known."""
        seconds, made = time.monotonic() - self._started, trainer.step - self._first_step
        if trainer.total_steps is None or trainer.done:
            return f"in {_clock(seconds)}"
        return f"{_clock(seconds / made * (trainer.total_steps - trainer.step))} left" if made else ""


def _rate(number: float) -> str:
    """Writes about three figures, without an exponent: ``0.0412``, ``35.1``, ``4,480``."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _clock(seconds: float) -> str:
    """Writes ``1:02:03`` or ``2:03``."""
    minutes, seconds = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
