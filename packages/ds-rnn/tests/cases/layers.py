"""RNN, GRU and LSTM beside torch.nn's, over their options."""

import torch
from ds_core.verify import Case
from ds_rnn import GRU, LSTM, RNN
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LAYERS = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
OPTIONS = {
    "": {},
    "num_layers=2": {"num_layers": 2},
    "bidirectional": {"bidirectional": True},
    "num_layers=2, bidirectional, batch_first": {
        "num_layers": 2,
        "bidirectional": True,
        "batch_first": True,
    },
    "bias=False": {"bias": False, "num_layers": 2},
}


def drawn(kind, size, given, options):
    """Draws x (steps, batch, 4) or as batch_first has it, and the initial state if wanted."""
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    widths = [options.get("proj_size") or 5, 5][: 2 if kind == "LSTM" else 1]

    def draw(generator):
        x = torch.randn(*size, 4, generator=generator)
        if not given:
            return (x,)
        batch = () if len(size) == 1 else (size[0 if options.get("batch_first") else 1],)
        parts = tuple(torch.randn(count, *batch, width, generator=generator) for width in widths)
        return x, parts if kind == "LSTM" else parts[0]

    return draw


def case(kind, shown, size=(6, 3), given=True, **options):
    return Case(
        name=f"{kind}({shown})",
        make=lambda: LAYERS[kind](4, 5, **options),
        inputs=drawn(kind, size, given, options),
        namesake=lambda: getattr(nn, kind)(4, 5, **options),
    )


def padded(kind, **options):
    """Sequences of lengths 2, 6 and 5, against torch's packed ones."""
    lengths = torch.tensor([2, 6, 5])

    def call(theirs, x, state, lengths):
        first = options.get("batch_first", False)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=first, enforce_sorted=False)
        output, end = theirs(packed, state)
        return pad_packed_sequence(output, batch_first=first, total_length=6)[0], end

    size = (3, 6) if options.get("batch_first") else (6, 3)
    draw = drawn(kind, size, True, options)
    return Case(
        name=f"{kind} padded, {', '.join(f'{k}={v}' for k, v in options.items())}".rstrip(", "),
        make=lambda: LAYERS[kind](4, 5, **options),
        inputs=lambda generator: (*draw(generator), lengths),
        namesake=lambda: getattr(nn, kind)(4, 5, **options),
        reference=call,
    )


CASES = [
    *(case(kind, shown, **options) for kind in LAYERS for shown, options in OPTIONS.items()),
    *(
        case(kind, shown, size, given)
        for kind in LAYERS
        for shown, size, given in (
            ("no state", (6, 3), False),
            ("no batch", (6,), True),
            ("one step", (1, 3), True),
            ("one sequence", (6, 1), True),
            ("empty batch", (6, 0), True),
        )
    ),
    case("RNN", "relu", nonlinearity="relu"),
    case("RNN", "relu, num_layers=2, bidirectional", nonlinearity="relu", num_layers=2, bidirectional=True),
    case("LSTM", "proj_size=2", proj_size=2),
    case(
        "LSTM",
        "proj_size=3, num_layers=2, bidirectional",
        proj_size=3,
        num_layers=2,
        bidirectional=True,
        bias=False,
    ),
    *(padded(kind, **options) for kind in LAYERS for options in OPTIONS.values()),
    padded("LSTM", proj_size=2, bidirectional=True),
]
