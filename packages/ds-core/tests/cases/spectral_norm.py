"""SpectralNorm beside torch.nn.utils.parametrizations.spectral_norm."""

from ds_core import Dense, SpectralNorm
from ds_core.verify import Case
from ds_core.verify.inputs import normal
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

NAMES = {
    "layer.weight": "parametrizations.weight.original",
    "layer.bias": "bias",
    "u": "parametrizations.weight.0._u",
    "v": "parametrizations.weight.0._v",
}


def carry(state):
    return {NAMES[name]: value for name, value in state.items()}


CASES = [
    Case(
        name=f"SpectralNorm(Dense(5, 3, bias={bias}))",
        make=lambda bias=bias: SpectralNorm(Dense(5, 3, bias=bias)),
        inputs=normal((4, 5)),
        namesake=lambda bias=bias: spectral_norm(nn.Linear(5, 3, bias=bias)),
        carry=carry,
        no_differences="u and v are held fixed in the backward, and move with W in the forward",
    )
    for bias in (True, False)
]
