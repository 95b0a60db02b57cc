"""Draws vanishing-gradients.png: what reaches the input, over the steps before the last."""

from pathlib import Path

import torch
from ds_rnn import GRU, LSTM, RNN
from ds_rnn.visualize import gradient_norms, plot_gradient_norms

STEPS, BATCH, FEATURES, HIDDEN = 100, 32, 8, 64


def layer(kind, forget_bias=None):
    """Returns a layer with torch's initial values, and its forget gate opened if wanted."""
    net = kind(FEATURES, HIDDEN, generator=torch.Generator().manual_seed(1)).to(torch.float64)
    if forget_bias is not None:
        with torch.no_grad():
            net.bias_ih_l0[HIDDEN : 2 * HIDDEN] = forget_bias
            net.bias_hh_l0[HIDDEN : 2 * HIDDEN] = 0
    return net


def measure():
    """Returns a name and its gradient norms over time, for each kind of network."""
    x = torch.randn(STEPS, BATCH, FEATURES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return {
        "RNN": gradient_norms(layer(RNN), x),
        "GRU": gradient_norms(layer(GRU), x),
        "LSTM": gradient_norms(layer(LSTM), x),
        "LSTM, forget gate's bias 1": gradient_norms(layer(LSTM, 1.0), x),
        "LSTM, forget gate's bias 4": gradient_norms(layer(LSTM, 4.0), x),
    }


if __name__ == "__main__":
    norms = measure()
    for name, values in norms.items():
        factor = float(values[-61] / values[-21]) ** (1 / 40)
        print(f"{name:28} 10 steps back {values[-11]:.1e}   50: {values[-51]:.1e}   a step: {factor:.3f}")
    plot_gradient_norms(norms, Path(__file__).parent / "vanishing-gradients.png", "What reaches the input")
