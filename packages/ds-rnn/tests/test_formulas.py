"""What formulas and kernels owe a layer: compiled steps, half precision, weights that start as torch's."""

import pytest
import torch
from ds_core import engine
from ds_core.kernels import runs
from ds_rnn import GRU, LSTM, RNN, AdditiveAttention, GRUCell, LSTMCell, MultiplicativeAttention, RNNCell
from torch import nn

KINDS = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM, "RNNCell": RNNCell, "GRUCell": GRUCell, "LSTMCell": LSTMCell}


def first(output):
    """Returns h of what a layer or cell gives."""
    return output[0] if isinstance(output, tuple) else output


def draw(*size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("make", "x", "lengths"),
    [
        (lambda: LSTM(3, 4, bidirectional=True, proj_size=2), draw(2, 2, 3), ()),
        (lambda: GRU(3, 4), draw(2, 2, 3), (None, torch.tensor([1, 2]))),
        (lambda: RNNCell(3, 4, nonlinearity="relu"), draw(2, 3), ()),
    ],
    ids=["LSTM", "GRU, padded", "RNNCell"],
)
def test_a_manual_step_compiles_whole(make, x, lengths):
    model = make().to(torch.float64)

    def step(x, *lengths):
        with torch.no_grad():
            output = first(model(x, *lengths))
            return model.backward(output * output)

    results = []
    for run in (step, torch.compile(step, backend="aot_eager", fullgraph=True)):
        model.zero_grad()
        results.append([run(x, *lengths), *(p.grad for p in model.parameters())])
    for mine, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, mine, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_no_less_exact_than_torchs(kind, scale, dtype):
    ours, theirs, exact = (
        KINDS[kind](8, 16, dtype=dtype),
        getattr(nn, kind)(8, 16, dtype=dtype),
        getattr(nn, kind)(8, 16, dtype=torch.float64),
    )
    theirs.load_state_dict(ours.state_dict())
    exact.load_state_dict(ours.state_dict())
    x = (scale * draw(*((20, 4) if "Cell" not in kind else (4,)), 8)).to(dtype)
    above = draw(*x.shape[:-1], 16, seed=1).to(dtype)

    def torchs(module, kind):
        leaf = x.clone().to(kind).requires_grad_()
        output = first(module(leaf))
        output.backward(above.to(kind))
        return [output.detach(), leaf.grad, *(p.grad for p in module.parameters())]

    with engine("manual"):
        mine = [first(ours(x)), ours.backward(above), *(p.grad for p in ours.parameters())]
    assert {tensor.dtype for tensor in mine} == {dtype}
    for our, their, right in zip(mine, torchs(theirs, dtype), torchs(exact, torch.float64), strict=True):
        largest = right.abs().max().clamp(min=1e-12)  # a cell begins with h = 0: no gradient of weight_hh
        error, limit = (float((y.double() - right).abs().max() / largest) for y in (our, their))
        assert error <= max(limit, 2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_start_as_torchs(kind):
    options = [{}, {"bias": False}]
    if "Cell" not in kind:
        options.append({"num_layers": 2, "bidirectional": True})
    if kind == "LSTM":
        options.append({"proj_size": 2})
    for chosen in options:
        states = []
        for make in (KINDS[kind], getattr(nn, kind)):
            torch.manual_seed(0)
            states.append(make(3, 4, **chosen).state_dict())
        assert list(states[0]) == list(states[1])
        assert all(map(torch.equal, states[0].values(), states[1].values()))


@pytest.mark.parametrize("kind", [*KINDS, "AdditiveAttention", "MultiplicativeAttention"])
def test_weights_are_made_where_and_as_wanted(kind):
    make = {
        **KINDS,
        "AdditiveAttention": AdditiveAttention,
        "MultiplicativeAttention": MultiplicativeAttention,
    }
    model = make[kind](3, 4, device="meta", dtype=torch.float16)
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.float16)}


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("kernels", [True, False])
def test_whatever_stands_in_the_padding_changes_nothing(kind, kernels):
    net = KINDS[kind](3, 4, 2, bidirectional=True).to(torch.float64)
    x, lengths, results = draw(5, 2, 3), torch.tensor([5, 2]), []
    for filling in (0.0, float("nan"), float("inf")):
        x[2:, 1] = filling
        net.zero_grad()
        with engine("manual", kernels=kernels):
            output, _ = net(x, lengths=lengths)
            results.append([output, net.backward(output), *(p.grad for p in net.parameters())])
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))
        assert all(bool(tensor.isfinite().all()) for tensor in other)


def test_two_biases_have_gradients_of_their_own():
    for model, size in ((LSTMCell(3, 4), (2, 3)), (LSTM(3, 4), (1, 2, 3)), (RNN(3, 4), (1, 2, 3))):
        for kernels in (True, False):
            model.zero_grad()
            with engine("manual", kernels=kernels):
                model.backward(torch.ones_like(first(model(draw(*size).float()))))
            biases = [p.grad for name, p in model.named_parameters() if "bias" in name]
            assert torch.equal(*biases)
            assert biases[0].data_ptr() != biases[1].data_ptr()


def test_a_frozen_weights_gradient_is_not_computed():
    net = LSTM(3, 4).requires_input_grad_(False)
    with engine("manual"), runs() as ran:
        assert net.backward(torch.ones_like(net(torch.zeros(2, 2, 3))[0])) is None
    assert ran == {"LSTMKernel.forward": 1, "LSTMKernel.backward": 1}
