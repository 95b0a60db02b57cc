"""What layers share with torch.nn beyond numbers: how they start, half precision, emptiness."""

import copy

import pytest
import torch
from ds_core import engine
from ds_transformer import (
    ALiBi,
    LearnedPositions,
    MultiheadAttention,
    RelativePositionBias,
    RotaryPositions,
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from torch import nn

PAIRS = {
    "attention": (lambda: MultiheadAttention(12, 3), lambda: nn.MultiheadAttention(12, 3)),
    "attention, no bias": (
        lambda: MultiheadAttention(12, 3, bias=False),
        lambda: nn.MultiheadAttention(12, 3, bias=False),
    ),
    "attention, widths": (
        lambda: MultiheadAttention(12, 3, kdim=5, vdim=7),
        lambda: nn.MultiheadAttention(12, 3, kdim=5, vdim=7),
    ),
    "attention, extra keys": (
        lambda: MultiheadAttention(12, 3, add_bias_kv=True),
        lambda: nn.MultiheadAttention(12, 3, add_bias_kv=True),
    ),
    "encoder layer": (
        lambda: TransformerEncoderLayer(8, 2, 12),
        lambda: nn.TransformerEncoderLayer(8, 2, 12),
    ),
    "decoder layer": (
        lambda: TransformerDecoderLayer(8, 2, 12),
        lambda: nn.TransformerDecoderLayer(8, 2, 12),
    ),
    "encoder": (
        lambda: TransformerEncoder(TransformerEncoderLayer(8, 2, 12), 2),
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12), 2),
    ),
    "decoder": (
        lambda: TransformerDecoder(TransformerDecoderLayer(8, 2, 12), 2),
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 12), 2),
    ),
    "transformer": (lambda: Transformer(8, 2, 2, 2, 12), lambda: nn.Transformer(8, 2, 2, 2, 12)),
    "positions": (lambda: LearnedPositions(5, 6), lambda: nn.Embedding(5, 6)),
}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_same_seed_gives_the_same_weights(pair):
    made = []
    for make in pair:
        torch.manual_seed(0)
        made.append(make().state_dict())
    ours, theirs = made
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    "make",
    [
        lambda **made: MultiheadAttention(12, 3, 0.0, True, False, False, None, None, False, *made.values()),
        lambda **made: MultiheadAttention(12, 3, add_bias_kv=True, kdim=5, **made),
        lambda **made: TransformerEncoderLayer(8, 2, 12, **made),
        lambda **made: TransformerDecoderLayer(8, 2, 12, **made),
        lambda **made: Transformer(8, 2, 1, 1, 12, **made),
        lambda **made: LearnedPositions(5, 6, **made),
        lambda **made: RelativePositionBias(3, **made),
    ],
)
def test_device_and_type_are_those_asked_for(make):
    made = make(device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in made.parameters()} == {("meta", torch.float64)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize(
    ("make", "theirs", "inputs"),
    [
        (MultiheadAttention, nn.MultiheadAttention, 3),
        (TransformerEncoderLayer, nn.TransformerEncoderLayer, 1),
        (TransformerDecoderLayer, nn.TransformerDecoderLayer, 2),
    ],
)
def test_half_precision_is_no_worse_than_torch(make, theirs, inputs, scale, dtype):
    """Errors beside the same weights in float64, of output and gradients."""
    torch.manual_seed(0)
    wide = {} if make is MultiheadAttention else {"dim_feedforward": 64, "dropout": 0.0, "activation": "gelu"}
    ours = make(32, 4, batch_first=True, **wide).to(dtype)
    theirs = theirs(32, 4, batch_first=True, **wide)
    theirs.load_state_dict(ours.state_dict())
    exact, theirs = copy.deepcopy(theirs).double(), theirs.to(dtype)
    given = [(scale * torch.randn(2, 40, 32)).to(dtype) for _ in range(inputs)]
    grad = torch.randn(2, 40, 32).to(dtype)

    def taped(module):
        like = next(module.parameters())
        leaves = [x.to(like.dtype, copy=True).requires_grad_() for x in given]
        y = module(*leaves)
        y = y[0] if isinstance(y, tuple) else y
        y.backward(grad.to(like))
        return [y.detach(), *(x.grad for x in leaves), *(p.grad for p in module.parameters())]

    with engine("manual"):
        y = ours(*given)
        grads = ours.backward(grad)
    mine = [y[0] if isinstance(y, tuple) else y, *(grads if isinstance(grads, tuple) else [grads])]
    mine += [p.grad for p in ours.parameters()]
    for own, other, right in zip(mine, taped(theirs), taped(exact), strict=True):
        assert own.dtype == dtype
        error, their_error = ((x.double() - right).norm() for x in (own, other))
        assert error <= 1.5 * their_error + 1e-3 * right.norm() + 1e-6


@pytest.mark.parametrize("size", [(0, 5, 8), (3, 0, 8)], ids=str)
@pytest.mark.parametrize("name", ["manual", "autograd"])
def test_empty_batches_and_sequences_pass(size, name):
    attention = MultiheadAttention(8, 2, batch_first=True, add_bias_kv=size[1] > 0)
    x = torch.zeros(size)
    theirs, their_weights = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=size[1] > 0)(x, x, x)
    with engine(name):
        x.requires_grad_(name == "autograd")
        y, weights = attention(x, is_causal=True, key_padding_mask=torch.zeros(size[:2], dtype=torch.bool))
        assert y.shape == theirs.shape
        assert weights.shape == their_weights.shape
        if name == "manual":
            assert attention.backward(y, weights).shape == size
        else:
            (y.sum() + weights.sum()).backward()
            assert x.grad.shape == size


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: TransformerEncoderLayer(12, 3, 16, 0.0, batch_first=True), 1),
        (lambda: TransformerDecoderLayer(12, 3, 16, 0.0, batch_first=True, norm_first=True), 2),
        (lambda: MultiheadAttention(12, 3, num_kv_heads=1, add_bias_kv=True, batch_first=True), 2),
        (lambda: MultiheadAttention(12, 3, rotary=RotaryPositions(4), score_bias=ALiBi(3)), 1),
        (lambda: LearnedPositions(8, 12), 1),
    ],
    ids=["encoder layer", "decoder layer", "grouped heads, extra keys", "rotary, ALiBi", "learned positions"],
)
def test_a_manual_step_compiles_without_a_break(make, inputs):
    model = make().to(torch.float64)
    given = [torch.randn(2, 5, 12, dtype=torch.float64) for _ in range(inputs)]

    def step(*given):
        with torch.no_grad():
            y = model(*given)
            y = y[0] if isinstance(y, tuple) else y
            return y, model.backward(y)

    def results(step):
        model.zero_grad()
        y, grads = step(*given)
        grads = grads if isinstance(grads, tuple) else (grads,)
        return [y, *grads, *(p.grad for p in model.parameters())]

    plain = results(step)
    torch.compiler.reset()
    compiled = results(torch.compile(step, backend="aot_eager", fullgraph=True))
    for mine, other in zip(compiled, plain, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
