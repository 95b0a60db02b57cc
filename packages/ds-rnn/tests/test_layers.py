"""What recurrent layers do over all their options: torch.nn's numbers, padding, the plain loop, long
sequences."""

import pytest
import torch
from ds_core import Dropout, engine
from ds_rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell, Unrolled
from ds_rnn.kernels import recurrence
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

LAYERS = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def flat(value):
    """Lists the tensors of a nested result."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [] if value is None else [tensor for part in value for tensor in flat(part)]


def close(ours, theirs, dtype=torch.float64):
    for mine, other in zip(flat(ours), flat(theirs), strict=True):
        limit = TOLERANCE[dtype] * max(1.0, float(other.abs().max()) if other.numel() else 1.0)
        torch.testing.assert_close(mine, other, rtol=0, atol=limit)


options = st.fixed_dictionaries(
    {
        "num_layers": st.integers(1, 3),
        "bidirectional": st.booleans(),
        "batch_first": st.booleans(),
        "bias": st.booleans(),
    }
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("kind", LAYERS)
@settings(max_examples=15, deadline=None)
@given(
    options=options,
    sizes=st.tuples(*[st.integers(1, 5)] * 4),
    state=st.booleans(),
    special=st.booleans(),
    seed=st.integers(0, 99),
)
def test_numbers_and_gradients_are_torchs(kind, dtype, options, sizes, state, special, seed):
    steps, batch, features, hidden = sizes
    if special and kind == "RNN":
        options = {**options, "nonlinearity": "relu"}
    if special and kind == "LSTM" and hidden > 1:
        options = {**options, "proj_size": hidden - 1}
    torch.manual_seed(seed)
    theirs = getattr(nn, kind)(features, hidden, **options, dtype=dtype)
    ours = LAYERS[kind](features, hidden, **options).to(dtype)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, v.shape) for k, v in theirs.state_dict().items()
    ]
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(
        (batch, steps, features) if options["batch_first"] else (steps, batch, features), dtype=dtype
    )
    output, end = theirs(x)
    start = [torch.randn_like(part) for part in flat(end)] if state else []
    leaves = [tensor.clone().requires_grad_() for tensor in (x, *start)]
    given_state = (leaves[1] if kind != "LSTM" else tuple(leaves[1:])) if state else None
    output, end = theirs(leaves[0], given_state)
    above = [torch.randn_like(part) for part in (output, *flat(end))]
    sum((y * g).sum() for y, g in zip((output, *flat(end)), above, strict=True)).backward()
    with engine("manual"):
        arguments = (start[0] if kind != "LSTM" else tuple(start),) if state else ()
        mine = ours(x, *arguments)
        back = ours.backward(above[0], above[1] if kind != "LSTM" else tuple(above[1:]))
    close(mine, (output.detach(), [part.detach() for part in flat(end)]), dtype)
    close(back, [leaf.grad for leaf in leaves], dtype)
    close([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()], dtype)
    theirs.load_state_dict(ours.state_dict())  # and the other way round


@pytest.mark.parametrize("kind", LAYERS)
@settings(max_examples=10, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    layers=st.integers(1, 2),
    both=st.booleans(),
    seed=st.integers(0, 99),
)
def test_each_padded_sequence_is_read_as_if_alone(kind, lengths, layers, both, seed):
    draw = generator(seed)
    net = LAYERS[kind](3, 4, layers, bidirectional=both, generator=draw).to(torch.float64)
    steps, batch = 6, len(lengths)
    x = torch.randn(steps, batch, 3, generator=draw, dtype=torch.float64)
    with engine("manual"):
        output, end = net(x, lengths=torch.tensor(lengths))
        g = torch.randn(output.shape, generator=draw, dtype=torch.float64)
        grad_end = [torch.randn(part.shape, generator=draw, dtype=torch.float64) for part in flat(end)]
        above = tuple(grad_end) if kind == "LSTM" else grad_end[0]
        grad_x = net.backward(g, above)
    together = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    for n, length in enumerate(lengths):
        with engine("manual"):
            alone, alone_end = net(x[:length, n])
            ends = tuple(part[:, n] for part in grad_end)
            grad = net.backward(g[:length, n], ends if kind == "LSTM" else ends[0])
        close(output[:length, n], alone)
        assert output[length:, n].eq(0).all()
        close([part[:, n] for part in flat(end)], alone_end)
        close(grad_x[:length, n], grad)
        assert grad_x[length:, n].eq(0).all()
    close(together, [p.grad for p in net.parameters()])


@pytest.mark.parametrize(("layer", "cell"), [(RNN, RNNCell), (GRU, GRUCell), (LSTM, LSTMCell)])
def test_the_fast_form_is_the_plain_loop(layer, cell):
    fast = layer(5, 6, generator=generator()).to(torch.float64)
    plain = Unrolled(cell(5, 6)).to(torch.float64)
    plain.cell.load_state_dict({k.removesuffix("_l0"): v for k, v in fast.state_dict().items()})
    x = torch.randn(30, 4, 5, generator=generator(1), dtype=torch.float64)
    g = torch.randn(30, 4, 6, generator=generator(2), dtype=torch.float64)
    results = []
    for net in (plain, fast):
        with engine("manual"):
            output, end = net(x)
            results.append([output, *flat(end), net.backward(g), *(p.grad for p in net.parameters())])
    for mine, other in zip(*results, strict=True):
        close(mine.reshape(other.shape), other)


@pytest.mark.parametrize("kind", LAYERS)
def test_chunks_truncate_the_gradient_unless_it_is_handed_on(kind):
    theirs = getattr(nn, kind)(3, 4, dtype=torch.float64)
    ours = LAYERS[kind](3, 4).to(torch.float64)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(10, 2, 3, generator=generator(), dtype=torch.float64)
    g = torch.randn(10, 2, 4, generator=generator(1), dtype=torch.float64)

    first, state = theirs(x[:6])
    detached = tuple(s.detach() for s in state) if kind == "LSTM" else state.detach()
    second, _ = theirs(x[6:], detached)
    (torch.cat([first, second]) * g).sum().backward()
    with engine("manual"):
        one, state = ours(x[:6])
        two, _ = ours(x[6:], state)
        _, grad_state = ours.backward(g[6:])
        ours.backward(g[:6])  # truncated: grad_state stays here
    close(torch.cat([one, two]), torch.cat([first, second]).detach())
    close([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])

    ours.zero_grad()
    theirs.zero_grad()
    (theirs(x)[0] * g).sum().backward()
    with engine("manual"):
        _, state = ours(x[:6])
        ours(x[6:], state)
        _, grad_state = ours.backward(g[6:])
        ours.backward(g[:6], grad_state)
    close([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


def test_dropout_lies_between_layers_and_only_in_training():
    net = GRU(3, 4, 2, dropout=0.5, generator=generator()).to(torch.float64)
    x = torch.randn(5, 2, 3, generator=generator(1), dtype=torch.float64)
    grads = []
    for name in ("manual", "autograd"):
        net.zero_grad()
        net.generator.manual_seed(3)
        with engine(name):
            output, _ = net(x)
            if name == "manual":
                net.backward(output.clone())
            else:
                (output * output).sum().div(2).backward()
        grads.append([output.detach(), *(p.grad for p in net.parameters())])
    close(*grads)
    whole = net.eval()(x)[0]
    assert not torch.allclose(grads[0][0], whole.detach())
    plain = GRU(3, 4, 2).to(torch.float64).eval()
    plain.load_state_dict(net.state_dict())
    close(plain(x)[0].detach(), whole.detach())


@pytest.mark.parametrize("kind", LAYERS)
def test_with_dropout_the_numbers_are_torchs_behind_the_same_mask(kind):
    ours = LAYERS[kind](3, 4, 2, dropout=0.5, bidirectional=True, generator=generator()).to(torch.float64)
    below, above = (getattr(nn, kind)(size, 4, bidirectional=True, dtype=torch.float64) for size in (3, 8))
    for theirs, layer in ((below, "_l0"), (above, "_l1")):
        theirs.load_state_dict(
            {k.replace(layer, "_l0"): v for k, v in ours.state_dict().items() if layer in k}
        )
    x = torch.randn(5, 2, 3, generator=generator(1), dtype=torch.float64)
    g = torch.randn(5, 2, 8, generator=generator(2), dtype=torch.float64)
    ours.generator.manual_seed(3)
    with engine("manual"):
        output, _ = ours(x)
        grad_x = ours.backward(g)
    mask = Dropout(0.5, generator=generator(3))(torch.ones(10, 8, dtype=torch.float64)).view(5, 2, 8)
    assert 0 < int(mask.eq(0).sum()) < mask.numel()
    leaf = x.clone().requires_grad_()
    theirs, _ = above(below(leaf)[0] * mask)
    (theirs * g).sum().backward()
    close(output, theirs.detach())
    close(grad_x, leaf.grad)
    close([p.grad for p in ours.parameters()], [p.grad for net in (below, above) for p in net.parameters()])


def test_everything_dropped_is_torchs():
    for kind, layer in LAYERS.items():
        ours, theirs = layer(3, 4, 3, dropout=1.0), getattr(nn, kind)(3, 4, 3, dropout=1.0)
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(5, 2, 3, generator=generator(1))
        close(ours(x)[0].detach(), theirs(x)[0].detach(), torch.float32)


def test_the_example_in_the_theory_of_the_lstm():
    cell = LSTMCell(1, 1, init="zeros").to(torch.float64)
    one, zero, two = (torch.full((1, 1), value, dtype=torch.float64) for value in (1.0, 0.0, 2.0))
    with torch.no_grad():
        cell.weight_ih[2] = 1.0
        h, c = cell(one, (zero, two))
        grad_x, _ = cell.backward(one, zero)
    assert [round(float(number), 4) for number in (h, c, grad_x)] == [0.4406, 1.3808, 0.0235]


def test_what_nobody_uses_of_a_state_needs_no_gradient():
    net, cell = LSTM(3, 4), LSTMCell(3, 4)
    x = torch.randn(5, 2, 3, generator=generator())
    zeros, ones = torch.zeros(2, 4), torch.ones(2, 4)
    with engine("manual"):
        for short, full in (((ones,), (ones, zeros)), ((None, ones), (zeros, ones))):
            backs = []
            for above in (short, full):
                cell(x[0])
                backs.append(cell.backward(*above))
            assert torch.equal(*backs)
        backs = []
        for above in ((None, ones[None]), (zeros[None], ones[None])):
            net(x)
            backs.append(net.backward(torch.ones(5, 2, 4), above))
        assert torch.equal(*backs)


def test_frozen_weights_and_unwanted_input_gradients_cost_nothing():
    net = LSTM(3, 4, 2, bidirectional=True).requires_input_grad_(False)
    net.weight_ih_l0.requires_grad_(False)
    x = torch.randn(5, 2, 3)
    with engine("manual"):
        output, _ = net(x)
        assert net.backward(torch.ones_like(output)) is None
    assert net.weight_ih_l0.grad is None
    assert all(p.grad is not None for n, p in net.named_parameters() if n != "weight_ih_l0")


@pytest.mark.parametrize("kind", LAYERS)
def test_evaluation_saves_nothing(kind):
    net = LAYERS[kind](3, 4, 2).eval()
    with engine("manual"):
        output, _ = net(torch.randn(5, 2, 3))
    with pytest.raises(RuntimeError, match="eval mode"):
        net.backward(torch.ones_like(output))


def test_the_same_seed_gives_the_same_weights():
    for layer in (*LAYERS.values(), RNNCell, GRUCell, LSTMCell):
        first, second = (layer(3, 4, generator=generator(7)).state_dict() for _ in range(2))
        assert all(torch.equal(first[key], second[key]) for key in first)
        bound = 4**-0.5
        assert all(bool((value.abs() <= bound).all()) for value in first.values())
        zero = layer(3, 4, init="zeros").state_dict()
        assert not any(bool(value.any()) for value in zero.values())


@pytest.mark.parametrize("lengths", [None, (5, 7, 1)])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_blocks_of_steps_and_weights_laid_out_anew_change_nothing(name, lengths, monkeypatch):
    layer = LAYERS[name](3, 4, num_layers=2, bidirectional=True, batch_first=True, dtype=torch.float64)
    x, g = torch.randn(3, 7, 3, dtype=torch.float64), torch.randn(3, 7, 8, dtype=torch.float64)
    options = {} if lengths is None else {"lengths": torch.tensor(lengths)}

    def passed():
        layer.zero_grad()
        with engine("manual"):
            y, _ = layer(x, **options)
            grad_x = layer.backward(g)
        return [y, grad_x, *(parameter.grad for parameter in layer.parameters())]

    expected = passed()
    monkeypatch.setattr(recurrence, "TURNED_FROM", 2)
    for room in (1, 40, 1000):  # a step, a few and all of them together
        monkeypatch.setattr(recurrence, "ROOM", room)
        assert len(list(recurrence.blocks([3] * 7, 4, False))) == {1: 7, 40: 3, 1000: 1}[room]
        torch.testing.assert_close(passed(), expected, rtol=1e-12, atol=1e-12)
