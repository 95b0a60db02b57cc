"""One training step of an MLP beside the same network of torch.nn: time and peak memory."""

from itertools import pairwise

import torch
from ds_core import Adam, CrossEntropyLoss, Dense, ReLU, Sequential, engine
from ds_core.verify.benchmark import compare, report
from torch import nn


def main() -> None:
    torch.manual_seed(0)
    sizes = [784, 512, 512, 10]
    model = Sequential(Dense(784, 512), ReLU(), Dense(512, 512), ReLU(), Dense(512, 10))
    referee = nn.Sequential(*(
        layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())
    ))[:-1]  # fmt: skip
    referee.load_state_dict(model.state_dict())
    model.requires_input_grad_(False)  # nobody wants the gradient of the data, as with torch
    loss, their_loss = CrossEntropyLoss(), nn.CrossEntropyLoss()
    optimizer, their_optimizer = Adam(model.parameters()), torch.optim.Adam(referee.parameters())
    x, y = torch.randn(128, 784), torch.randint(10, (128,))

    def ours() -> None:
        model.zero_grad()
        with engine("manual"):
            loss(model(x), y)
            model.backward(loss.backward())
        optimizer.step()

    def theirs() -> None:
        their_optimizer.zero_grad()
        their_loss(referee(x), y).backward()
        their_optimizer.step()

    ours()
    theirs()
    for mine, other in zip(model.parameters(), referee.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-6)
    report(
        "MLP 784-512-512-10, batch 128: training step with Adam", [compare("MLP", ours, theirs, medium=True)]
    )


if __name__ == "__main__":
    main()
