"""What the playground trains: data, model, loss and optimizer by name, in a thread of its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor

from ds_core.activations import GELU, LeakyReLU, ReLU, Sigmoid, Tanh
from ds_core.containers import Sequential
from ds_core.data import make_moons
from ds_core.engines import engine
from ds_core.initializers import he_normal_, normal_, xavier_normal_, zeros_
from ds_core.layers import Dense
from ds_core.learn.play.broken import Broken, ways_to_break
from ds_core.losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from ds_core.module import Module
from ds_core.optimizers import SGD, Adam, RMSprop
from ds_core.verify import check_gradients
from ds_core.xray.observe import observe

GRID = 48  # points of the boundary along each side
REACH = 1.6  # the picture goes from -REACH to REACH both ways
MOST_LAYERS, MOST_UNITS, MOST_POINTS = 5, 16, 1000
CURVE = 400  # points of the loss curve
FRAME = 1 / 20  # seconds between two frames


def _circles(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    y = torch.arange(samples) % 2
    turn = 2 * math.pi * torch.rand(samples, generator=generator)
    x = torch.stack([turn.cos(), turn.sin()], 1) * (0.4 + 0.7 * y[:, None])
    return x + 0.08 * torch.randn(samples, 2, generator=generator), y


def _spirals(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    y = torch.arange(samples) % 2
    along = torch.rand(samples, generator=generator)
    turn = 2.6 * math.pi * along + math.pi * y
    x = torch.stack([turn.cos(), turn.sin()], 1) * (0.1 + 1.2 * along[:, None])
    return x + 0.04 * torch.randn(samples, 2, generator=generator), y


def _moons(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    moons = make_moons(samples, seed=int(torch.randint(1 << 30, (1,), generator=generator)))
    assert moons.y is not None
    return (moons.x - moons.x.mean(0)) * 0.85, moons.y


def _squares(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    x = 2.4 * torch.rand(samples, 2, generator=generator) - 1.2
    return x + 0.08 * x.sign(), (x[:, 0] * x[:, 1] > 0).long()


def _blobs(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    y = torch.arange(samples) % 2
    x = 0.3 * torch.randn(samples, 2, generator=generator) + (1.2 * y[:, None] - 0.6)
    return x.clamp(-1.5, 1.5), y


DATA: Final[dict[str, Callable[[int, torch.Generator], tuple[Tensor, Tensor]]]] = {
    "moons": _moons,
    "circles": _circles,
    "spirals": _spirals,
    "squares": _squares,
    "blobs": _blobs,
}
ACTIVATIONS: Final = {"ReLU": ReLU, "Tanh": Tanh, "Sigmoid": Sigmoid, "GELU": GELU, "LeakyReLU": LeakyReLU}
LOSSES: Final = {
    "CrossEntropyLoss": CrossEntropyLoss,
    "BCEWithLogitsLoss": BCEWithLogitsLoss,
    "MSELoss": MSELoss,
}
OPTIMIZERS: Final[dict[str, Callable[..., Any]]] = {
    "SGD": SGD,
    "SGD with momentum": lambda p, lr: SGD(p, lr, momentum=0.9),
    "RMSprop": RMSprop,
    "Adam": Adam,
}
STARTS: Final[dict[str, Any]] = {
    "like torch": None,
    "He": he_normal_,
    "Xavier": xavier_normal_,
    "zeros": zeros_,
    "far too large": lambda tensor, generator=None: normal_(tensor, std=5.0, generator=generator),
}
DEFAULTS: Final[dict[str, Any]] = {
    "data": "moons",
    "layers": [8, 8],
    "activation": "Tanh",
    "loss": "CrossEntropyLoss",
    "optimizer": "Adam",
    "lr": 0.03,
    "start": "like torch",
    "batch": 64,
    "seed": 0,
}


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """Returns settings with defaults for what is missing.

    Raises:
        ValueError: names the setting that is none, and what is expected.
    """
    settings = {**DEFAULTS, **given}
    choices = {
        "data": [*DATA, "drawn"],
        "activation": ACTIVATIONS,
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "start": STARTS,
    }
    for name, allowed in choices.items():
        if settings[name] not in allowed:
            raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {settings[name]!r}")
    layers = settings["layers"]
    if not (
        isinstance(layers, list)
        and len(layers) <= MOST_LAYERS
        and all(isinstance(n, int) and 1 <= n <= MOST_UNITS for n in layers)
    ):
        raise ValueError(
            f"layers: expected at most {MOST_LAYERS} numbers from 1 to {MOST_UNITS}, got {layers!r}"
        )
    for name, low, high in (("lr", 0.0, 100.0), ("batch", 1, MOST_POINTS), ("seed", 0, 1 << 30)):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"{name}: expected a number from {low} to {high}, got {value!r}")
    if unknown := set(settings) - set(DEFAULTS):
        raise ValueError(f"expected the settings {', '.join(DEFAULTS)}, got {', '.join(sorted(unknown))}")
    return settings


class Session:
    """A model in training, and what there is to see of it.

    Its methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._running = self._over = False
        self._drawn: list[tuple[float, float, int]] = []
        self._frame: dict[str, Any] = {}
        self._number = 0
        self.reset({})
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._thread.start()

    # ---- what one may ask ----------------------------------------------------------------------------------

    def reset(self, settings: dict[str, Any]) -> None:
        """Begins anew: new data, new weights."""
        self.settings = checked(settings)
        with self._changed:
            self._running = False
            made = torch.Generator().manual_seed(int(self.settings["seed"]))
            if self.settings["data"] == "drawn":
                points = self._drawn
                self.x = torch.tensor([[x, y] for x, y, _ in points]).view(-1, 2)
                self.y = torch.tensor([label for *_, label in points], dtype=torch.long)
            else:
                self.x, self.y = DATA[self.settings["data"]](240, made)
            self.model = self._model(made)
            self.loss = LOSSES[self.settings["loss"]]()
            self.optimizer = OPTIMIZERS[self.settings["optimizer"]](
                self.model.parameters(), self.settings["lr"]
            )
            self.order, self.steps, self.every = made, 0, 1
            self.curve: list[float] = []
            self._show()

    def run(self, running: bool) -> None:
        """Goes on, or pauses."""
        with self._changed:
            self._running = running and len(self.x) > 0
            self._show()

    def step(self) -> None:
        """Takes one step, and pauses."""
        with self._changed:
            self._running = False
            if len(self.x):
                self._step()
            self._show()

    def draw(self, points: list[list[float]]) -> None:
        """Takes points that were drawn: x, y and class of each."""
        with self._changed:
            self._drawn = [(float(x), float(y), int(bool(label))) for x, y, label in points[:MOST_POINTS]]
        self.reset({**self.settings, "data": "drawn"})

    def break_(self, place: int, how: str) -> None:
        """Breaks the backward of one layer; ``how`` "" mends it."""
        with self._changed:
            if not 0 <= place < len(self.model):
                raise ValueError(f"expected a layer from 0 to {len(self.model) - 1}, got {place}")
            layers = [part.layer if isinstance(part, Broken) else part for part in self.model]
            if how:
                layers[place] = Broken(layers[place], how)
            self.model = Sequential(*layers)
            self._show()

    def referee(self) -> list[dict[str, Any]]:
        """Lets the referees judge every layer, each with an input of its own."""
        with self._changed:
            layers = [part.copy() for part in self.model]
        found = []
        for place, layer in enumerate(layers):
            inside = layer.layer if isinstance(layer, Broken) else layer
            width = inside.in_features if isinstance(inside, Dense) else 4
            report = check_gradients(
                layer, torch.randn(5, width, generator=torch.Generator().manual_seed(place)), max_entries=8
            )
            found.append({"layer": f"{place} {inside.label()}", "ok": report.ok, "text": str(report)})
        return found

    def frame(self, after: int, seconds: float = 1.0) -> dict[str, Any]:
        """Returns the newest frame, waiting a little for one that is newer than the number given."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > after or self._over, seconds)
            return {**self._frame, "number": self._number}

    def close(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join(5)

    # ---- how it is done -----------------------------------------------------------------------------------

    def _model(self, generator: torch.Generator) -> Sequential:
        widths = [2, *self.settings["layers"], 2 if self.settings["loss"] == "CrossEntropyLoss" else 1]
        start, layers = STARTS[self.settings["start"]], list[Module]()
        for i, (before, after) in enumerate(pairwise(widths)):
            layers += [ACTIVATIONS[self.settings["activation"]]()] if i else []
            layers.append(Dense(before, after, init=start, generator=generator))
        return Sequential(*layers)

    def _target(self, y: Tensor) -> Tensor:
        if self.settings["loss"] == "CrossEntropyLoss":
            return y
        y = y.float()[:, None]
        return 2 * y - 1 if self.settings["loss"] == "MSELoss" else y

    def _chance(self, output: Tensor) -> Tensor:
        """Returns how sure the model is of class 1, from 0 to 1."""
        if self.settings["loss"] == "CrossEntropyLoss":
            return 1 / (1 + torch.exp(output[:, 0] - output[:, 1]))
        if self.settings["loss"] == "MSELoss":
            return ((output[:, 0] + 1) / 2).clamp(0, 1)
        return 1 / (1 + torch.exp(-output[:, 0]))

    def _step(self) -> None:
        chosen = torch.randperm(len(self.x), generator=self.order)[: int(self.settings["batch"])]
        with engine("manual"):
            loss = self.loss(self.model(self.x[chosen]), self._target(self.y[chosen]))
            self.model.backward(self.loss.backward())
        self.optimizer.step()
        self.model.zero_grad()
        if self.steps % self.every == 0:
            self.curve.append(loss.item())
            if len(self.curve) > CURVE:
                self.curve, self.every = self.curve[::2], 2 * self.every
        self.steps += 1

    def _train(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._running or self._over)
                if self._over:
                    return
                end = time.monotonic() + FRAME / 2
                self._step()
                while time.monotonic() < end:
                    self._step()
                self._show()
            time.sleep(FRAME / 2)  # others get their turn

    def _show(self) -> None:
        """Makes a frame of what is now."""
        seen: dict[str, dict[str, Any]] = {}

        def made(path: str, part: Module, inputs: Any, output: Tensor) -> None:
            seen.setdefault(path, {})["out"] = _size(output)

        def met(path: str, part: Module, grads: Any, grad_x: Any) -> None:
            seen.setdefault(path, {})["grad"] = _size(grads[0])

        loss = accuracy = None
        line = torch.linspace(-REACH, REACH, GRID)
        places = torch.stack([line.repeat(GRID), line.flip(0).repeat_interleave(GRID)], 1)
        with engine("manual"):
            if len(self.x):
                grads = [None if p.grad is None else p.grad.clone() for p in self.model.parameters()]
                with observe(self.model, made, met):
                    output = self.model(self.x)
                    loss = self.loss(output, self._target(self.y)).item()
                    self.model.backward(self.loss.backward())
                for parameter, grad in zip(self.model.parameters(), grads, strict=True):
                    parameter.grad = grad
                accuracy = ((self._chance(output) > 0.5).long() == self.y).float().mean().item()
            chance = self._chance(self.model.eval()(places))
            self.model.train()
        layers = []
        for i, part in enumerate(self.model):
            inside = part.layer if isinstance(part, Broken) else part
            layers.append(
                {
                    "label": inside.label(),
                    "broken": part.how if isinstance(part, Broken) else "",
                    "ways": ways_to_break(inside),
                    **seen.get(str(i), {}),
                }
            )
        self._frame = {
            "running": self._running,
            "steps": self.steps,
            "loss": _plain(loss),
            "accuracy": accuracy,
            "curve": [_plain(value) for value in self.curve],
            "every": self.every,
            "grid": (255 * chance.nan_to_num(0.5)).round().int().tolist(),
            "points": [
                [round(a, 3), round(b, 3), c]
                for (a, b), c in zip(self.x.tolist(), self.y.tolist(), strict=True)
            ],
            "layers": layers,
            "settings": self.settings,
        }
        self._number += 1
        self._changed.notify_all()


def _size(values: Tensor) -> list[float]:
    """Returns the root mean square of each unit."""
    sizes = values.square().mean(0).sqrt().nan_to_num(0, posinf=0)
    return [float(f"{v:.3g}") for v in sizes.tolist()]


def _plain(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
