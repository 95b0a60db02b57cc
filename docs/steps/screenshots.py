"""The two screenshots of the README: ``python docs/steps/screenshots.py`` writes them to ``assets/``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from ds_core import Dense, ReLU, Residual, Sequential
from ds_core.xray import xray

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "packages" / "ds-core" / "tools"), str(Path(__file__).parent)]

from browser import Browser
from examples import mlp


def main() -> None:
    """Writes them."""
    torch.manual_seed(1)
    model = Sequential(Dense(8, 24), ReLU(), Residual(Sequential(Dense(24, 24), ReLU())), Dense(24, 3))
    view = xray(model, torch.randn(64, 8), torch.randint(0, 3, (64,)))
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        page = browser.open(view.to_html(Path(folder) / "xray.html"), width=1000, height=700)
        page.evaluate("document.querySelector('.flow').scrollIntoView()")
        page.screenshot(ROOT / "assets" / "xray.png")
        page = browser.open(mlp().to_html(Path(folder) / "step.html"), width=1000, height=640)
        wanted = "p => data.stops[p.stop]?.rows[p.row]?.name === 'grad_weight'"
        page.evaluate(
            f"go(ways.lines.findIndex({wanted})); state.chosen = {{ part: 'result', at: 3 }}; draw()"
        )
        page.screenshot(ROOT / "assets" / "step.png")


if __name__ == "__main__":
    main()
