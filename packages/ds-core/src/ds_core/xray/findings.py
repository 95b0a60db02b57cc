"""What deserves a second look, by thresholds that are stated here and shown with every view."""

from __future__ import annotations

from ds_core.xray.statistics import number
from ds_core.xray.view import Finding, LayerView, View

# All layers learn at one rate, so a layer whose gradient is a thousand times smaller than the one that
# enters stands still while the others learn, and one that gets a thousand times more is thrown about. Norms
# of whole gradients are compared, since the size of their single numbers depends on how many there are.
VANISHING = 1e-3
EXPLODING = 1e3

# A unit that is 0 for this many values is not 0 by chance: of 8 fair coins all show tails once in 2^8 throws.
# Some dead units are usual (what follows a rectifier sees numbers of one sign, so a tenth of a fresh layer
# may be 0 for all of them); a quarter is not.
ENOUGH_VALUES = 8
DEAD_SHARE = 0.25


ADVICE = {
    "not finite": "Training cannot go on from NaN or infinity. Look at the first layer named: a logarithm or "
    "root of 0, a division by 0, or numbers that grew too large.",
    "exploding gradient": "One step would throw these layers far off. Smaller initial weights, "
    "normalisation, or clipping by norm help.",
    "vanishing gradient": "These layers hardly learn. Rectifiers with He initialisation, normalisation, or "
    "residual connections keep the gradient alive.",
    "no gradient": "These layers learn nothing from this batch: something after them passes nothing back.",
    "dead units": "A unit that is 0 for the whole batch passes no gradient, so the weights that feed it stay "
    "as they are. A smaller rate, He initialisation, or LeakyReLU help.",
}


def thresholds() -> str:
    """States in one sentence when something is flagged."""
    return (
        f"A gradient is flagged if its norm is under 1/{1 / VANISHING:.0f} or over {EXPLODING:.0f} times "
        f"that of the gradient that enters; an activation if {DEAD_SHARE:.0%} or more of its units are 0 "
        f"for the whole batch (of {ENOUGH_VALUES} values a unit or more); NaN and infinity always."
    )


def find(view: View) -> list[Finding]:
    """Flags the layers of a view and returns the findings, most serious first.

    Composites are left out where the layers inside them say the same.
    """
    kinds: dict[str, list[LayerView]] = {kind: [] for kind in ADVICE}
    for layer in view.layers:
        if layer.children and not layer.parameters:
            continue
        for kind in _kinds(layer):
            layer.flags.append(kind)
            kinds[kind].append(layer)
    return [
        Finding(kind, tuple(layer.path for layer in layers), _message(kind, layers), ADVICE[kind])
        for kind, layers in kinds.items()
        if layers
    ]


def _kinds(layer: LayerView) -> list[str]:
    numbers = [layer.output, layer.output_grad, layer.input_grad, *(p.grad for p in layer.parameters)]
    if any(s is not None and s.nonfinite for s in numbers):
        return ["not finite"]
    kinds = []
    if layer.gain is not None:
        if layer.gain == 0:
            kinds.append("no gradient")
        elif layer.gain < VANISHING:
            kinds.append("vanishing gradient")
        elif layer.gain > EXPLODING:
            kinds.append("exploding gradient")
    if layer.units and layer.dead and layer.output is not None:
        enough = layer.output.count >= ENOUGH_VALUES * layer.units
        if enough and layer.dead >= DEAD_SHARE * layer.units:
            kinds.append("dead units")
    return kinds


def _message(kind: str, layers: list[LayerView]) -> str:
    first, last = name(layers[0]), name(layers[-1])
    where = first if len(layers) == 1 else f"{len(layers)} layers, from {first} to {last}"
    if kind == "not finite":
        return f"NaN or infinity in {where}"
    if kind == "dead units":
        dead, units = sum(layer.dead or 0 for layer in layers), sum(layer.units or 0 for layer in layers)
        return f"{dead} of {units} units are dead in {where}"
    if kind == "no gradient":
        return f"a gradient of exactly 0 reaches {where}"
    gains = {layer.gain or 0.0: layer for layer in layers}
    worst = min(gains) if kind == "vanishing gradient" else max(gains)
    share = f"{number(worst)} times the gradient that enters reaches {name(gains[worst])}"
    return share if len(layers) == 1 else f"{where}: {share}"


def name(layer: LayerView) -> str:
    """Writes a layer with its place: ``0 Dense(784, 128)``."""
    return f"{layer.path} {layer.label}".strip()
