"""One training step of RNN, GRU and LSTM beside torch.nn's: time and peak memory.

64 steps, batch 64, from 128 to 256 numbers; forward, and backward to all weights. Both start from the same
weights, and the gradients are compared first. The input is data, whose gradient nobody wants.
"""

import torch
from ds_core import engine
from ds_core.verify.benchmark import Comparison, compare, report
from ds_rnn import GRU, LSTM, RNN
from torch import nn

STEPS, BATCH, INPUT, HIDDEN = 64, 64, 128, 256


def measure(name: str, model, referee) -> Comparison:
    referee.load_state_dict(model.state_dict())
    model.requires_input_grad_(False)
    x = torch.randn(STEPS, BATCH, INPUT)
    grad = torch.randn_like(referee(x)[0])

    def ours() -> None:
        model.zero_grad()
        with engine("manual"):
            model(x)
            model.backward(grad)

    def theirs() -> None:
        referee.zero_grad()
        output, _ = referee(x)
        output.backward(grad)

    ours()
    theirs()
    for mine, other in zip(model.parameters(), referee.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-4)
    return compare(name, ours, theirs, medium=True)


def main() -> None:
    torch.manual_seed(0)
    report(
        f"{STEPS} steps, batch {BATCH}, {INPUT} to {HIDDEN}: training step beside torch.nn",
        [
            measure("RNN", RNN(INPUT, HIDDEN), nn.RNN(INPUT, HIDDEN)),
            measure("GRU", GRU(INPUT, HIDDEN), nn.GRU(INPUT, HIDDEN)),
            measure("LSTM", LSTM(INPUT, HIDDEN), nn.LSTM(INPUT, HIDDEN)),
            measure(
                "LSTM, 2 layers, bidirectional",
                LSTM(INPUT, HIDDEN, 2, bidirectional=True),
                nn.LSTM(INPUT, HIDDEN, 2, bidirectional=True),
            ),
        ],
    )


if __name__ == "__main__":
    main()
