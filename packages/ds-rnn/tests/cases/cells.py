"""Cells beside torch.nn's, and the loop over them beside torch.nn's layers."""

import torch
from ds_core.verify import Case
from ds_rnn import GRUCell, LSTMCell, RNNCell, Unrolled
from torch import nn

CELLS = {"RNNCell": RNNCell, "GRUCell": GRUCell, "LSTMCell": LSTMCell}


def state(name, *size):
    """Returns a draw of h, or of (h, c)."""
    if name == "LSTMCell":
        return lambda generator: tuple(torch.randn(size, generator=generator) for _ in range(2))
    return lambda generator: torch.randn(size, generator=generator)


def inputs(name, x, h=None):
    def draw(generator):
        drawn = (torch.randn(x, generator=generator),)
        return drawn if h is None else (*drawn, state(name, *h)(generator))

    return draw


SHAPES = {
    "": ((3, 4), None),
    "with a state": ((3, 4), (3, 5)),
    "without a batch": ((4,), (5,)),
    "one sequence": ((1, 4), (1, 5)),
    "empty batch": ((0, 4), (0, 5)),
}


def unrolled_keys(weights):
    """Turns the keys of an unrolled cell into those of a layer."""
    return {key.removeprefix("cell.") + "_l0": value for key, value in weights.items()}


CASES = [
    *(
        Case(
            name=f"{name} {shown}".rstrip(),
            make=lambda cell=cell: cell(4, 5),
            inputs=inputs(name, x, h),
            namesake=lambda name=name: getattr(nn, name)(4, 5),
        )
        for name, cell in CELLS.items()
        for shown, (x, h) in SHAPES.items()
    ),
    *(
        Case(
            name=f"{name}(bias=False), all of size 1",
            make=lambda cell=cell: cell(1, 1, bias=False),
            inputs=inputs(name, (1, 1), (1, 1)),
            namesake=lambda name=name: getattr(nn, name)(1, 1, bias=False),
        )
        for name, cell in CELLS.items()
    ),
    Case(
        name="RNNCell(relu)",
        make=lambda: RNNCell(4, 5, nonlinearity="relu"),
        inputs=inputs("RNNCell", (3, 4), (3, 5)),
        namesake=lambda: nn.RNNCell(4, 5, nonlinearity="relu"),
    ),
    *(
        Case(
            name=f"Unrolled({name}) {shown}".rstrip(),
            make=lambda cell=cell: Unrolled(cell(4, 5)),
            inputs=inputs(name, x, h),
            namesake=lambda name=name: getattr(nn, name.removesuffix("Cell"))(4, 5),
            # A layer's state has a dimension for layers.
            reference=lambda theirs, x, start=None: unlayered(theirs(x, layered(start))),
            carry=unrolled_keys,
        )
        for name, cell in CELLS.items()
        for shown, (x, h) in {
            "": ((6, 3, 4), None),
            "with a state": ((6, 3, 4), (3, 5)),
            "one step": ((1, 2, 4), (2, 5)),
        }.items()
    ),
]


def layered(start):
    if start is None:
        return None
    return tuple(part[None] for part in start) if isinstance(start, tuple) else start[None]


def unlayered(result):
    output, end = result
    return output, tuple(part[0] for part in end) if isinstance(end, tuple) else end[0]
