"""Module: shared, frozen and unwanted gradients; copies, types and state."""

import copy
import itertools

import pytest
import torch
from ds_core import (
    BatchNorm1d,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    LayerNorm,
    Module,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sum,
    Tanh,
    Unflatten,
    engine,
)
from ds_core.verify.inputs import seeded
from torch.utils._python_dispatch import TorchDispatchMode

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


class Counting(TorchDispatchMode):
    """Counts the operations that really run."""

    def __init__(self):
        super().__init__()
        self.counts = {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        return operation(*args, **(kwargs or {}))

    @property
    def matmuls(self):
        return sum(self.counts.get(name, 0) for name in ("mm", "addmm", "bmm", "baddbmm"))


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


# ---- shared, frozen, unwanted -------------------------------------------------------------------------


class TiedHead(Module):
    """Looks words up and scores them with one and the same table."""

    def __init__(self, vocabulary, width):
        self.embedding = Embedding(vocabulary, width, generator=seeded())
        self.norm = LayerNorm(width)
        self.head = Dense(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids):
        return self.head(self.norm(self.embedding(ids)))

    def backward(self, grad):
        return self.embedding.backward(self.norm.backward(self.head.backward(grad)))


def test_tied_weights_collect_both_gradients():
    model = TiedHead(7, 4).to(DOUBLE)
    assert model.head.weight is model.embedding.weight
    ids = torch.randint(7, (3, 5), generator=seeded())
    grad = draw(3, 5, 7, dtype=DOUBLE)
    with engine("manual"):
        model(ids)
        model.backward(grad)
    ours = grads(model)
    model.zero_grad()
    model(ids).backward(grad)
    assert list(ours) == ["embedding.weight", "norm.weight", "norm.bias"]
    for name, theirs in grads(model).items():
        assert_same(ours[name], theirs)
    assert model.num_parameters() == 7 * 4 + 8
    assert list(dict(model.named_parameters(remove_duplicate=False))) == [*ours, "head.weight"]
    assert list(model.state_dict()) == [*ours, "head.weight"]


@pytest.mark.parametrize("name", ["manual", "autograd"])
def test_frozen_parameters_get_no_gradient(name):
    model = mlp(3, 4, 2)
    model[0].requires_grad_(False)
    x = draw(5, 3)
    with engine(name):
        y = model(x)
        if name == "manual":
            model.backward(torch.ones_like(y))
        else:
            y.sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is not None] == ["2.weight", "2.bias"]
    assert model.num_parameters(trainable_only=True) == 10
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_frozen_gradient_is_not_even_computed():
    layer, x = Scale(), torch.ones(2, dtype=DOUBLE)
    with engine("manual"):
        layer(x)
        layer.backward(x)
        assert layer.computed == 1
        layer.requires_grad_(False)
        assert layer.weight.grad is None
        layer(x)
        layer.backward(x)
        assert layer.computed == 1
        layer.requires_grad_()
        layer(x)
        layer.backward(x)
        assert layer.computed == 2


def test_freezing_saves_a_product():
    layer = Dense(3, 2)

    def products():
        with engine("manual"), Counting() as counting:
            layer(draw(5, 3))
            layer.backward(draw(5, 2))
        return counting.matmuls

    assert products() == 3
    layer.requires_grad_(False)
    assert products() == 2
    assert layer.requires_input_grad_(False) is layer
    assert products() == 1


def test_an_absent_parameter_costs_nothing():
    layer = Dense(3, 2, bias=False)
    with engine("manual"), Counting() as counting:
        layer(draw(5, 3))
        layer.backward(draw(5, 2))
    assert "sum" not in counting.counts


def unwanted(model, x, grad):
    """Checks that without the input's gradient the parameters' are the same; returns the products saved."""
    costs, found = [], []
    for wanted in (True, False):
        model.requires_input_grad_(wanted).zero_grad()
        with engine("manual"), Counting() as counting:
            model(x)
            grad_x = model.backward(grad)
        assert grad_x is not None or not wanted
        costs.append(counting.matmuls)
        found.append(grads(model))
    for name, with_it in found[0].items():
        assert_same(found[1][name], with_it)
    return costs[0] - costs[1]


SHARED = Dense(3, 3, generator=seeded())
VIEW = Flatten()


@pytest.mark.parametrize(
    ("model", "saved"),
    [
        (Dense(3, 3), 1),
        (mlp(3, 4, 3), 1),
        (Sequential(Sequential(Dense(3, 3), ReLU()), Dense(3, 3)), 1),
        (Residual(mlp(3, 4, 3)), 1),
        (Sum(Dense(3, 3), mlp(3, 4, 3)), 2),
        (Concatenate(Dense(3, 1), Dense(3, 2)), 2),
        (Sequential(SHARED, ReLU(), SHARED), 0),
        (Sequential(SHARED, ReLU(), Sequential(SHARED)), 0),
        (Sequential(Sequential(SHARED), ReLU(), Residual(SHARED)), 0),
        (Sum(SHARED, Sequential(Dense(3, 3), SHARED)), 0),
        (Sequential(Flatten(), Dense(3, 3)), 1),
        (Sequential(Identity(), Unflatten(1, (3, 1)), Sequential(Flatten(), Dense(3, 3)), ReLU()), 1),
        (Sequential(ReLU(), Dense(3, 3)), 0),
        (Sequential(VIEW, Dense(3, 3), VIEW), 0),
    ],
    ids=[
        "layer",
        "sequential",
        "nested",
        "residual",
        "sum",
        "concatenate",
        "shared",
        "shared and nested",
        "shared by two composites",
        "shared by two branches",
        "behind a view",
        "behind several",
        "not behind a rectifier",
        "nor behind a shared view",
    ],
)
def test_an_input_gradient_nobody_wants_is_not_computed(model, saved):
    """Unless the first module is met again further on, where its input gradient is needed."""
    model = copy.deepcopy(model).to(DOUBLE)
    assert unwanted(model, draw(5, 3, dtype=DOUBLE), draw(5, 3, dtype=DOUBLE)) == saved


@pytest.mark.parametrize(
    "model", [Dense(3, 3), mlp(3, 4, 3), Residual(Dense(3, 3)), Sum(ReLU(), Dense(3, 3))]
)
def test_an_input_gradient_nobody_wants_is_none(model):
    grad_x, _ = manual_grads(model.requires_input_grad_(False), draw(5, 3), draw(5, 3))
    assert grad_x is None
    grad_x, _ = manual_grads(model.requires_input_grad_(True), draw(5, 3), draw(5, 3))
    assert grad_x.shape == (5, 3)


# ---- copies, types, state -----------------------------------------------------------------------------


def test_a_deep_copy_keeps_ties_and_is_independent():
    model = TiedHead(7, 4)
    model.norm.requires_grad_(False)
    twin = copy.deepcopy(model)
    assert twin.head.weight is twin.embedding.weight
    assert twin.head.weight is not model.head.weight
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert [p.requires_grad for p in twin.parameters()] == [True, False, False]
    with torch.no_grad():
        twin.head.weight.zero_()
    assert (model.head.weight != 0).all()
    twin.norm.weight = Parameter(torch.zeros(4))
    assert (model.norm.weight == 1).all()
    twin.embedding.weight = Parameter(torch.ones(7, 4))  # still known as parameters
    assert len(list(twin.parameters())) == 4


def test_a_copy_does_not_share_the_stack():
    model = Scale()
    x = torch.ones(2, dtype=DOUBLE)
    with torch.no_grad():
        model(x)
        twin = copy.deepcopy(model)
        twin.backward(x)
        assert (pending(twin), pending(model)) == (0, 1)


def test_a_shallow_copy_shares_what_it_holds_but_not_what_it_is_given():
    model = TiedHead(7, 4)
    names = list(model.state_dict())
    twin = copy.copy(model)
    assert twin.head is model.head
    twin.extra = Parameter(torch.zeros(1))
    twin.register_buffer("table", torch.zeros(1))
    del twin.norm
    assert list(model.state_dict()) == names
    layer = Dense(4, 3)
    twin = copy.copy(layer)
    twin.bias = None
    with torch.no_grad():
        twin(torch.zeros(2, 4))
    assert (pending(twin), pending(layer)) == (1, 0)
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_to_another_type():
    model = Sequential(TiedHead(7, 4), BatchNorm1d(7))
    weight = model[0].head.weight
    with torch.no_grad():
        model[1](draw(3, 7))
    weight.grad = torch.ones(7, 4)
    assert model.to(DOUBLE) is model
    assert model[0].head.weight is model[0].embedding.weight is weight
    assert {p.dtype for p in model.parameters()} == {DOUBLE}
    assert weight.grad.dtype == DOUBLE
    assert model[1].running_mean.dtype == DOUBLE
    assert model[1].num_batches_tracked.dtype == torch.int64
    assert pending(model) == 0
    assert weight.requires_grad
    assert weight.is_leaf
    assert {p.dtype for p in model.to("cpu", torch.float32).parameters()} == {torch.float32}
    assert {p.dtype for p in model.to(dtype=DOUBLE).parameters()} == {DOUBLE}
    with pytest.raises(TypeError, match=r"Sequential.to: expected a floating point dtype, got torch.int64"):
        model.to(torch.int64)


def test_generators_stay_where_they_are():
    generator = seeded(0)
    model = Sequential(Dropout(generator=generator), Dropout(generator=generator))
    state = generator.get_state()
    model.to("cpu", DOUBLE).to(DOUBLE).to("meta")
    assert model[0].generator is model[1].generator is generator
    assert torch.equal(generator.get_state(), state)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_generators_follow_to_a_device():
    x = torch.ones(64, device="cuda")

    def dropped(seed):
        generator = seeded(seed)
        model = Sequential(Dropout(generator=generator), Dropout(generator=generator), Dropout()).cuda()
        assert model[0].generator is model[1].generator
        assert model[2].generator is None
        return model[:2](x)

    assert torch.equal(dropped(0), dropped(0))
    assert not torch.equal(dropped(0), dropped(1))


def test_state_shares_memory_and_loading_copies():
    first, second = mlp(3, 4, 2, seed=1), mlp(3, 4, 2, seed=2)
    state = first.state_dict()
    assert not any(value.requires_grad for value in state.values())
    assert second.load_state_dict(state) == ([], [])
    for name, value in second.state_dict().items():
        assert torch.equal(value, state[name])
        assert value.data_ptr() != state[name].data_ptr()
    state["0.weight"].zero_()
    assert (first[0].weight == 0).all()
    assert (second[0].weight != 0).all()


def test_loading_lists_every_problem_and_changes_nothing():
    model = Sequential(Dense(3, 4), BatchNorm1d(4))
    before = {n: v.clone() for n, v in model.state_dict().items()}
    state = {n: v + 1 for n, v in model.state_dict().items()}
    del state["0.bias"]
    state["1.weight"] = torch.zeros(5)
    state["2.weight"] = torch.zeros(2, 2)
    with pytest.raises(ValueError) as error:
        model.load_state_dict(state)
    assert str(error.value).splitlines() == [
        "Sequential.load_state_dict: 3 problems:",
        "  missing: 0.bias, shape (4,)",
        "  unexpected: 2.weight, shape (2, 2)",
        "  wrong shape: 1.weight, expected (4,), got (5,)",
    ]
    with pytest.raises(ValueError, match=r"(?s)1 problem:\n  wrong shape: 1.weight"):
        model.load_state_dict(state, strict=False)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    del state["1.weight"]
    found = model.load_state_dict(state, strict=False)
    assert found.missing_keys == ["0.bias", "1.weight"]
    assert found.unexpected_keys == ["2.weight"]
    assert torch.equal(model[0].weight.detach(), before["0.weight"] + 1)
    assert torch.equal(model[0].bias.detach(), before["0.bias"])


def test_loading_converts_the_type_and_keeps_parameters_in_place():
    model = mlp(3, 4, 2)
    weight = model[0].weight
    model.load_state_dict({n: v.double() * 2 for n, v in model.state_dict().items()})
    assert model[0].weight is weight
    assert weight.dtype == torch.float32
    assert weight.requires_grad
    assert weight.is_leaf


@pytest.mark.parametrize("make", [lambda i: ReLU(inplace=i), lambda i: Dropout(0.5, inplace=i)])
def test_an_inplace_layer_spares_what_another_one_saved(make):
    x, gradients = torch.randn(5, 3), []
    first = Dense(3, 3)
    for inplace in (False, True):
        model = Sequential(first, Tanh(), make(inplace))
        torch.manual_seed(0)
        with engine("manual"):
            model(x)
            gradients.append(model.backward(torch.ones(5, 3)))
    assert torch.equal(*gradients)


def test_buffers_that_are_shared_come_once():
    norm = BatchNorm1d(3)
    model = Sequential(norm, norm)
    assert [name for name, _ in model.named_buffers()] == [
        "0.running_mean",
        "0.running_var",
        "0.num_batches_tracked",
    ]


def test_backward_outside_the_engine_is_refused():
    layer = Dense(2, 2)
    with engine("manual"):
        y = layer(torch.ones(1, 2))
    with torch.no_grad():
        layer(torch.ones(1, 2))
    with pytest.raises(RuntimeError, match="gradients are enabled"):
        layer.backward(torch.ones_like(y))


def test_a_module_without_a_constructor_ignores_no_arguments():
    class Square(Module):
        def forward(self, x):
            return x * x

    assert Square()(torch.tensor(3.0)) == 9
    for make in (lambda: Square(3), lambda: Square(size=3)):
        with pytest.raises(TypeError, match=r"Square\(\) takes no arguments, got 1"):
            make()
