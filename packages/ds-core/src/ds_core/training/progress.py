"""Progress: a live bar on a terminal, plain lines at a growing distance anywhere else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ds_core.training.callbacks import Callback

if TYPE_CHECKING:
    from ds_core.training.trainer import Trainer

_REFRESH = 0.2  # seconds between two pictures of the bar
_FIRST_LINE = 2.0  # seconds until the first plain line, and at least between two
_LINE_SHARE = 0.05  # the next comes when the time passed has grown by this much: some 200 lines in a day
_RECENT = 50  # steps over which the shown loss is averaged


class ProgressDisplay(Callback):
    """Shows where training is: loss, validation, learning rate, speed and the time left.

    On a terminal two lines are redrawn in place. Elsewhere (a file, a pipe, a notebook) a line is printed
    after two seconds, then another whenever at least two seconds and a twentieth of the time so far have
    passed.
    """

    def __init__(self) -> None:
        console = Console()
        self._live: Live | None = None
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
        pause = max(_FIRST_LINE, _LINE_SHARE * (now - self._started)) if self._live is None else _REFRESH
        if (
            now - self._drawn >= pause and trainer.step != trainer.total_steps
        ):  # the end comes with on_fit_end
            self._drawn = now
            self._draw(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        self._draw(trainer)
        self.close()

    def close(self) -> None:
        """Gives the terminal back; harmless when done before."""
        if self._live is not None:
            self._live.stop()

    def _draw(self, trainer: Trainer) -> None:
        if self._live is None:
            print(
                "  ".join(filter(None, (self._place(trainer), self._numbers(trainer), self._time(trainer)))),
                flush=True,
            )
        else:
            self._live.update(self._bar(trainer), refresh=True)

    def _bar(self, trainer: Trainer) -> RenderableType:
        """Lays the numbers out below a bar."""
        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(trainer.total_steps, trainer.step, width=32, pulse=trainer.total_steps is None)
        line.add_row(self._place(trainer), bar, self._time(trainer))
        return Group(line, Text(self._numbers(trainer), style="dim"))

    def _place(self, trainer: Trainer) -> str:
        """Says ``step 120/2000`` or ``epoch 3/10, step 120``."""
        if trainer.total_epochs is None:
            return f"step {trainer.step}/{trainer.total_steps}"
        epoch = min(trainer.epoch + 1, trainer.total_epochs)
        return f"epoch {epoch}/{trainer.total_epochs}, step {trainer.step}"

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
