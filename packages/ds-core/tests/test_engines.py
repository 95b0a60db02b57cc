"""What forwards save and backwards take, and the two engines that do it."""

import copy
import gc
import itertools
import warnings
import weakref

import pytest
import torch
from ds_core import (
    BatchNorm1d,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    LayerNorm,
    Module,
    MSELoss,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sum,
    engine,
)
from ds_core.verify.inputs import seeded
from torch import nn

DOUBLE = torch.float64


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def mlp(*sizes, seed=0):
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [Dense(fan_in, fan_out, generator=seeded(seed)), ReLU()]
    return Sequential(*layers[:-1])


def grads(module):
    return {name: p.grad for name, p in module.named_parameters()}


def manual_grads(module, x, grad):
    """One manual step from cleared gradients: the gradients of the input and of the parameters."""
    module.zero_grad()
    with engine("manual"):
        module(x)
        grad_x = module.backward(grad)
    return grad_x, grads(module)


def tape_grads(module, x, grad):
    """The same by torch's autograd."""
    module.zero_grad()
    leaf = x.clone().requires_grad_()
    with engine("autograd"):
        module(leaf).backward(grad)
    return leaf.grad, grads(module)


def assert_same(ours, theirs, tolerance=1e-12):
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


def pending(module):
    """How many forwards below a module wait for their backward."""
    return sum(len(part._stack) for part in module.modules())


class Scale(Module):
    """y = w x, the smallest layer with a parameter; counts how often its gradient is computed."""

    def __init__(self, start=1.0):
        self.weight = Parameter(torch.tensor(start, dtype=DOUBLE))
        self.computed = 0

    def forward(self, x):
        self.save(x)
        return self.weight * x

    def backward(self, grad):
        (x,) = self.saved()
        self.add_grad("weight", lambda: self.compute(grad, x))
        return self.weight * grad if self.input_grad else None

    def compute(self, grad, x):
        self.computed += 1
        return (grad * x).sum()


# ---- the save stack -----------------------------------------------------------------------------------


def test_a_layer_called_several_times_goes_back_in_the_opposite_order():
    layer = Dense(3, 3, generator=seeded()).to(DOUBLE)
    xs = [draw(n, 3, seed=n, dtype=DOUBLE) for n in (1, 2, 5)]
    upstream = [draw(n, 3, seed=10 + n, dtype=DOUBLE) for n in (1, 2, 5)]
    with engine("manual"):
        for x in xs:
            layer(x)
        got = [layer.backward(g) for g in reversed(upstream)][::-1]
    ours = grads(layer)
    assert pending(layer) == 0
    layer.zero_grad()
    leaves = [x.clone().requires_grad_() for x in xs]
    torch.autograd.backward([layer(x) for x in leaves], upstream)
    for grad_x, leaf in zip(got, leaves, strict=True):
        assert_same(grad_x, leaf.grad)
    for name, theirs in grads(layer).items():
        assert_same(ours[name], theirs)


class Unrolled(Module):
    """A recurrent cell over time, h = relu(A h + B x): the same two layers at every step."""

    def __init__(self, width, features):
        self.recurrent = Dense(width, width, generator=seeded(1))
        self.input = Dense(features, width, generator=seeded(2))
        self.relu = ReLU()

    def forward(self, xs):
        self.save(xs.shape)
        h = xs.new_zeros(xs.shape[1], self.recurrent.in_features)
        for x in xs:
            h = self.relu(self.recurrent(h) + self.input(x))
        return h

    def backward(self, grad):
        (shape,) = self.saved()
        grad_xs = []
        for _ in range(shape[0]):
            grad = self.relu.backward(grad)
            grad_xs.append(self.input.backward(grad))
            grad = self.recurrent.backward(grad)
        return torch.stack(grad_xs[::-1])


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_recurrent_cell_needs_no_special_case(steps):
    cell, x, grad = Unrolled(4, 3).to(DOUBLE), draw(steps, 2, 3, dtype=DOUBLE), draw(2, 4, dtype=DOUBLE)
    ours, theirs = manual_grads(cell, x, grad), tape_grads(cell, x, grad)
    assert_same(ours[0], theirs[0])
    for name in theirs[1]:
        assert_same(ours[1][name], theirs[1][name])


def test_backward_without_forward_says_why():
    layer, x, grad = Dense(3, 2), draw(4, 3), draw(4, 2)
    with engine("manual"):
        layer(x)
        layer.backward(grad)
        why = "each forward allows one backward, the latest forward first, in the same engine block"
        with pytest.raises(RuntimeError, match=rf"Dense\(3, 2\): backward without a matching forward: {why}"):
            layer.backward(grad)
        layer.eval()(x)
        why = "it is in eval mode, where forward saves nothing; call train\\(\\) first"
        with pytest.raises(RuntimeError, match=rf"Dense\(3, 2\): backward without a matching forward: {why}"):
            layer.backward(grad)


def test_backward_while_the_tape_records_says_why():
    layer = Dense(3, 2)
    layer(draw(4, 3))
    with pytest.raises(RuntimeError, match="gradients are enabled, so torch's autograd records instead"):
        layer.backward(draw(4, 2))


def test_eval_saves_nothing_and_forgets():
    model = Sequential(mlp(3, 4, 2), Residual(Dropout(0.5)))
    with engine("manual"):
        model(draw(5, 3))
        assert pending(model) == 4
        model.eval()
        assert pending(model) == 0
        model(draw(5, 3))
        assert pending(model) == 0
    assert not any(part.training for part in model.modules())
    assert all(part.training for part in model.train().modules())


def test_the_tape_leaves_the_stacks_empty():
    model = mlp(3, 4, 2)
    model(draw(5, 3))
    assert pending(model) == 0


def test_zero_grad_forgets_and_sets_gradients_to_none():
    model = mlp(3, 4, 2)
    with torch.no_grad():
        for _ in range(3):
            model(draw(5, 3))
        model.backward(draw(5, 2))
        assert pending(model) == 6
        model.zero_grad()
    assert pending(model) == 0
    assert all(p.grad is None for p in model.parameters())


def test_a_forward_without_backward_is_forgotten_at_the_end_of_the_block():
    model = mlp(3, 4, 2)
    x = draw(5, 3)
    alive = weakref.ref(x)
    with engine("manual"):
        model(x)
        assert pending(model) == 3
    del x
    gc.collect()
    assert pending(model) == 0
    assert alive() is None
    with engine("manual"), pytest.raises(RuntimeError, match=r"what is left at the end of .* is forgotten"):
        model.backward(draw(5, 2))
    with pytest.raises(ValueError, match="expected last dimension 3"), engine("manual"):
        model(draw(5, 3))[:, :1] + model(draw(5, 1))
    assert pending(model) == 0


def test_an_inner_block_forgets_its_own_forwards_only():
    model = Scale()
    x = torch.ones(2, dtype=DOUBLE)
    with engine("manual"):
        model(x)
        with engine("manual"):
            model(5 * x)
            model(7 * x)
            assert pending(model) == 3
        assert pending(model) == 1
        with engine("autograd"):
            model(9 * x)
        assert pending(model) == 1
        model.backward(x)
    assert model.weight.grad == 2  # of the outer forward


def test_an_inner_block_may_take_back_an_outer_forward():
    model = Scale()
    x = torch.ones(2, dtype=DOUBLE)
    with engine("manual"):
        model(x)
        with engine("manual"):
            model.backward(x)
            model(3 * x)
            model(4 * x)
        assert pending(model) == 0
        model(5 * x)
        assert pending(model) == 1
    assert pending(model) == 0


def test_a_forward_outside_any_block_is_kept_by_a_block():
    model = Scale()
    x = torch.ones(2, dtype=DOUBLE)
    with torch.no_grad():
        model(x)
        with engine("manual"):
            model(3 * x)
        assert pending(model) == 1


def test_forgotten_forwards_are_noticed(monkeypatch):
    monkeypatch.setattr("ds_core.module._MANY_PENDING", 5)
    layer = Dense(3, 2)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            layer(draw(1, 3))
        with pytest.raises(UserWarning, match=r"Dense\(3, 2\): 5 forwards wait for their backward"):
            layer(draw(1, 3))


def test_an_unknown_engine():
    with (
        pytest.raises(ValueError, match="engine: expected 'manual' or 'autograd', got 'tape'"),
        engine("tape"),
    ):
        pass


def test_modules_without_forward_or_backward_say_so():
    class Empty(Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward"):
        Empty()(1)
    with pytest.raises(NotImplementedError, match="Empty has no backward"):
        Empty().backward(1)


# ---- two engines, one code ----------------------------------------------------------------------------

MODELS = [
    mlp(6, 5, 3),
    Sequential(
        Dense(6, 6), BatchNorm1d(6), ReLU(), Residual(Sequential(LayerNorm(6), mlp(6, 12, 6))), Dense(6, 3)
    ),
    Sequential(Concatenate(Dense(6, 2), Sum(ReLU(), Dense(6, 6))), Dense(8, 3)),
]


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("model", MODELS, ids=["mlp", "residual", "branches"])
def test_both_engines_fill_the_same_gradients(model, dtype):
    model = copy.deepcopy(model).to(dtype)
    x, grad = draw(7, 6, dtype=dtype), draw(7, 3, dtype=dtype)
    ours, theirs = manual_grads(model, x, grad), tape_grads(model, x, grad)
    tolerance = 1e-12 if dtype == DOUBLE else 1e-5
    assert_same(ours[0], theirs[0], tolerance)
    assert list(ours[1]) == list(theirs[1])
    for name in theirs[1]:
        assert_same(ours[1][name], theirs[1][name], tolerance)


def test_gradients_accumulate_over_steps_and_engines():
    model, grad = mlp(3, 4, 2).to(DOUBLE), draw(5, 2, dtype=DOUBLE)
    xs = [draw(5, 3, seed=s, dtype=DOUBLE) for s in range(3)]
    separate = [manual_grads(model, x, grad)[1] for x in xs]
    model.zero_grad()
    with engine("manual"):
        model(xs[0])
        model.backward(grad)
    model(xs[1]).backward(grad)  # torch's autograd adds to the same place
    with engine("manual"):
        model(xs[2])
        model.backward(grad)
    for name, total in grads(model).items():
        assert_same(total, sum(part[name] for part in separate))


class TheirResidual(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return x + self.module(x)


def residual_nets():
    ours = Sequential(
        Dense(6, 8),
        *(Residual(Sequential(LayerNorm(8), Dense(8, 16), ReLU(), Dense(16, 8))) for _ in range(3)),
        LayerNorm(8),
        Dense(8, 2),
    )
    theirs = nn.Sequential(
        nn.Linear(6, 8),
        *(
            TheirResidual(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)))
            for _ in range(3)
        ),
        nn.LayerNorm(8),
        nn.Linear(8, 2),
    )
    return ours, theirs


def test_a_residual_net_has_the_gradients_names_and_order_of_torch():
    ours, theirs = residual_nets()
    assert [(n, p.shape) for n, p in ours.named_parameters()] == [
        (n, p.shape) for n, p in theirs.named_parameters()
    ]
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [n for n, _ in ours.named_children()] == [n for n, _ in theirs.named_children()]
    ours.load_state_dict(theirs.state_dict())
    ours, theirs = ours.to(DOUBLE), theirs.to(DOUBLE)
    x, grad = draw(7, 6, dtype=DOUBLE), draw(7, 2, dtype=DOUBLE)
    leaf = x.clone().requires_grad_()
    theirs(leaf).backward(grad)
    grad_x, found = manual_grads(ours, x, grad)
    assert_same(grad_x, leaf.grad)
    for name, parameter in theirs.named_parameters():
        assert_same(found[name], parameter.grad)


@pytest.mark.slow
def test_a_whole_manual_step_compiles():
    model, loss = Sequential(Flatten(), mlp(6, 8, 2), LayerNorm(2)), MSELoss()
    x, target = draw(5, 2, 3), draw(5, 2, seed=1)

    def step(x, target):
        with torch.no_grad():
            value = loss(model(x), target)
            model.backward(loss.backward())
        return value

    expected, wanted = step(x, target), {n: g.clone() for n, g in grads(model).items()}
    model.zero_grad()
    assert_same(torch.compile(step)(x, target), expected, 1e-5)
    for name, grad in grads(model).items():
        assert_same(grad, wanted[name], 1e-5)


def test_state_travels_to_torch_and_back():
    ours, theirs = residual_nets()
    theirs.load_state_dict(ours.state_dict())
    x = draw(5, 6)
    torch.testing.assert_close(theirs(x), ours(x))
    _, fresh = residual_nets()
    ours.load_state_dict(fresh.state_dict())
    torch.testing.assert_close(fresh(x), ours(x))
