"""Attention, beside the same put together from torch.nn's parts."""

import torch
from ds_core.verify import Case
from ds_rnn.attention import AdditiveAttention, MultiplicativeAttention
from torch import nn


class TorchAttention(nn.Module):
    """Scores by a function of query and projected key, then softmax and a weighted mean."""

    def forward(self, query, key, value, key_padding_mask=None):
        scores = self.scores(query if query.dim() == 3 else query[:, None], self.key_proj(key))
        if key_padding_mask is not None:
            scores = scores.masked_fill(key_padding_mask[:, None], float("-inf"))
        weights = scores.softmax(-1).nan_to_num(0)
        context = torch.einsum("bts,bsd->btd", weights, value)
        return (context, weights) if query.dim() == 3 else (context[:, 0], weights[:, 0])


class TorchAdditive(TorchAttention):
    def __init__(self, query_dim, key_dim, attention_dim, bias=True):
        super().__init__()
        self.query_proj = nn.Linear(query_dim, attention_dim, bias=False)
        self.key_proj = nn.Linear(key_dim, attention_dim, bias)
        self.v = nn.Parameter(torch.empty(attention_dim))

    def scores(self, query, keys):
        return (self.query_proj(query)[:, :, None] + keys[:, None]).tanh() @ self.v


class TorchMultiplicative(TorchAttention):
    def __init__(self, query_dim, key_dim, kind="general"):
        super().__init__()
        self.key_proj = nn.Identity() if kind == "dot" else nn.Linear(key_dim, query_dim, bias=False)

    def scores(self, query, keys):
        return torch.einsum("btd,bsd->bts", query, keys)


def drawn(query, key, value, lengths=None):
    """Draws inputs of these shapes; keys from each length on are padding."""

    def draw(generator):
        inputs = [torch.randn(shape, generator=generator) for shape in (query, key, value)]
        if lengths is None:
            return tuple(inputs)
        return (*inputs, torch.arange(key[1]) >= torch.tensor(lengths)[:, None])

    return draw


INPUTS = {
    "": drawn((3, 4, 5), (3, 6, 7), (3, 6, 2)),
    "padded": drawn((3, 4, 5), (3, 6, 7), (3, 6, 2), [6, 1, 4]),
    "one step": drawn((3, 5), (3, 6, 7), (3, 6, 2), [6, 1, 4]),
    "all of size 1": drawn((1, 1, 5), (1, 1, 7), (1, 1, 1), [1]),
    "empty batch": drawn((0, 4, 5), (0, 6, 7), (0, 6, 2)),
}
ALL_HIDDEN = drawn((2, 3, 5), (2, 4, 7), (2, 4, 2), [0, 3])
REASON = "torch's softmax of nothing is NaN, and so is its gradient"

CASES = [
    *(
        Case(
            name=f"AdditiveAttention {shown}".rstrip(),
            make=lambda: AdditiveAttention(5, 7, 3),
            inputs=draw,
            namesake=lambda: TorchAdditive(5, 7, 3),
        )
        for shown, draw in INPUTS.items()
    ),
    Case(
        name="AdditiveAttention(bias=False)",
        make=lambda: AdditiveAttention(5, 7, bias=False),
        inputs=INPUTS["padded"],
        namesake=lambda: TorchAdditive(5, 7, 5, bias=False),
    ),
    *(
        Case(
            name=f"MultiplicativeAttention {shown}".rstrip(),
            make=lambda: MultiplicativeAttention(5, 7),
            inputs=draw,
            namesake=lambda: TorchMultiplicative(5, 7),
        )
        for shown, draw in INPUTS.items()
    ),
    Case(
        name="MultiplicativeAttention(dot)",
        make=lambda: MultiplicativeAttention(5, kind="dot"),
        inputs=drawn((3, 4, 5), (3, 6, 5), (3, 6, 2), [6, 1, 4]),
        namesake=lambda: TorchMultiplicative(5, 5, "dot"),
    ),
    Case(
        name="AdditiveAttention, all keys hidden",
        make=lambda: AdditiveAttention(5, 7, 3),
        inputs=ALL_HIDDEN,
        no_namesake=REASON,
    ),
    Case(
        name="MultiplicativeAttention, all keys hidden",
        make=lambda: MultiplicativeAttention(5, 7),
        inputs=ALL_HIDDEN,
        no_namesake=REASON,
    ),
]
