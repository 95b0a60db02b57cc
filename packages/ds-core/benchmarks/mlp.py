"""One training step of an MLP beside the same network of torch.nn."""

from itertools import pairwise

import torch
from ds_core import Adam, CrossEntropyLoss, Dense, Module, ReLU, Sequential
from ds_core.verify.benchmark import Sides, step
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def mlp() -> Sides:
    sizes = (784, 512, 512, 10)
    model = Sequential(Dense(784, 512), ReLU(), Dense(512, 512), ReLU(), Dense(512, 10))
    referee = nn.Sequential(*(
        layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())
    ))[:-1]  # fmt: skip
    referee.load_state_dict(model.state_dict())
    model.requires_input_grad_(False)  # nobody wants the gradient of the data, as with torch
    loss = CrossEntropyLoss()

    def ours(model: Module, x: Tensor, y: Tensor) -> None:
        loss(model(x), y)
        model.backward(loss.backward())

    def theirs(referee: nn.Module, x: Tensor, y: Tensor) -> None:
        cross_entropy(referee(x), y).backward()

    data = torch.randn(128, 784), torch.randint(10, (128,))
    return step(model, referee, data, ours, theirs, update=Adam, their_update=torch.optim.Adam)


ROWS = {"784-512-512-10, batch 128, Adam": mlp}
