"""SpectralNorm of convolutions: of a transposed one the outputs are in the weight's second dimension."""

from ds_cnn import Conv2d, ConvTranspose1d, ConvTranspose2d
from ds_core import SpectralNorm
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
        name=f"SpectralNorm({ours.__name__}{args})",
        make=lambda ours=ours, args=args: SpectralNorm(ours(*args)),
        inputs=normal(shape),
        namesake=lambda theirs=theirs, args=args: spectral_norm(theirs(*args)),
        carry=carry,
        no_differences="u and v are held fixed in the backward, and move with W in the forward",
    )
    for ours, theirs, args, shape in [
        (Conv2d, nn.Conv2d, (3, 4, 3, 2, 1), (2, 3, 5, 5)),
        (ConvTranspose2d, nn.ConvTranspose2d, (3, 4, 3, 2, 1), (2, 3, 4, 4)),
        (ConvTranspose2d, nn.ConvTranspose2d, (4, 6, 2, 1, 0, 0, 2, False), (2, 4, 3, 3)),
        (ConvTranspose1d, nn.ConvTranspose1d, (2, 3, 4), (2, 2, 5)),
    ]
]
