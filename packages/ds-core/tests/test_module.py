"""The engine's promises: the save stack, shared and frozen weights, two engines, and weights as currency."""

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
    Embedding,
    Flatten,
    LayerNorm,
    Module,
    MSELoss,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sum,
    Tanh,
    engine,
)
from ds_core.containers import ModuleList
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

DOUBLE = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


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
    """The same by torch's tape."""
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


# ---- the save stack ----------------------------------------------------------------------------------


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
        why = "each forward allows one backward, the latest forward first"
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


# ---- shared, frozen, unwanted ------------------------------------------------------------------------


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


# ---- two engines, one code ---------------------------------------------------------------------------

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
    model(xs[1]).backward(grad)  # torch's tape adds to the same place
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


# ---- parameters, buffers, children -------------------------------------------------------------------


class Zoo(Module):
    """One of everything that a module may hold."""

    def __init__(self):
        self.first = Parameter(torch.ones(2))
        self.note = "plain attributes are none of its business"
        self.tensor = torch.ones(5)
        self.layer = Dense(2, 3)
        self.register_parameter("absent", None)
        self.second = Parameter(torch.ones(3), requires_grad=False)
        self.register_buffer("kept", torch.zeros(4))
        self.register_buffer("dropped", torch.zeros(4), persistent=False)
        self.register_buffer("later", None)
        self.register_buffer("count", torch.tensor(3))
        self.layers = ModuleList([ReLU(), Dense(3, 1, bias=False)])


class TheirZoo(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.ones(2))
        self.layer = nn.Linear(2, 3)
        self.register_parameter("absent", None)
        self.second = nn.Parameter(torch.ones(3), requires_grad=False)
        self.register_buffer("kept", torch.zeros(4))
        self.register_buffer("dropped", torch.zeros(4), persistent=False)
        self.register_buffer("later", None)
        self.register_buffer("count", torch.tensor(3))
        self.layers = nn.ModuleList([nn.ReLU(), nn.Linear(3, 1, bias=False)])


def test_everything_is_found_under_the_names_and_in_the_order_of_torch():
    ours, theirs = Zoo(), TheirZoo()
    for method in ("named_parameters", "named_buffers", "named_children", "named_modules"):
        assert [n for n, _ in getattr(ours, method)()] == [n for n, _ in getattr(theirs, method)()], method
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert len(list(ours.children())) == 2
    assert len(list(ours.modules())) == 5
    assert len(list(ours.buffers())) == 3
    assert ours.num_parameters() == 2 + 3 + 9 + 3
    assert ours.num_parameters(trainable_only=True) == 2 + 9 + 3
    assert all(p.is_leaf and p.requires_grad for n, p in ours.named_parameters() if n != "second")


def test_a_shared_module_is_listed_once_and_saved_under_every_name():
    layer, theirs = Dense(2, 2), nn.Linear(2, 2)
    ours, theirs = Sequential(layer, Sequential(layer)), nn.Sequential(theirs, nn.Sequential(theirs))
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()] == ["", "0", "1"]
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.num_parameters() == 6


def test_assigning_and_deleting():
    module = Zoo()
    with pytest.raises(
        TypeError, match=r"Zoo.first is a parameter: assign a Parameter or None, .* got Tensor"
    ):
        module.first = torch.zeros(2)
    module.first = Parameter(torch.zeros(2))
    assert next(module.parameters()) is module.first
    module.absent = Parameter(torch.zeros(1))
    assert "absent" in dict(module.named_parameters())
    module.absent = None
    assert "absent" not in dict(module.named_parameters())
    module.kept = torch.ones(4)
    assert (module.state_dict()["kept"] == 1).all()
    for name in ("first", "kept", "layer"):
        delattr(module, name)
    assert list(module.state_dict()) == ["second", "count", "layers.1.weight"]
    with pytest.raises(TypeError, match=r"Parameter: expected a floating point tensor, got torch.int64"):
        Parameter(torch.arange(3))


def test_a_parameter_is_still_one_after_it_was_frozen():
    layer = Dense(3, 2)
    weight = layer.weight.requires_grad_(False)
    layer.weight = None
    layer.weight = weight
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias"]


def test_module_lists_and_slices():
    layers = [Dense(3, 3), ReLU(), Dense(3, 2)]
    model, names = Sequential(*layers), ModuleList(layers)
    assert len(model) == 3
    assert model[0] is layers[0]
    assert model[-1] is layers[2]
    assert list(model) == layers
    assert list(reversed(model)) == layers[::-1]
    assert isinstance(model[:2], Sequential)
    assert list(model[:2]) == layers[:2]
    assert type(names[1:]) is ModuleList
    assert list(names[1:].state_dict()) == ["1.weight", "1.bias"]
    assert list(names[::-1]) == layers[::-1]
    with pytest.raises(IndexError):
        model[3]
    assert list(ModuleList().append(layers[1])) == [layers[1]]
    with pytest.raises(TypeError, match="ModuleList: expected a Module at place 1, got str"):
        ModuleList([ReLU(), "relu"])
    x, grad = draw(4, 3), draw(4, 3)
    with engine("manual"):  # a slice shares its layers with the whole
        model[:2](x)
        model[:2].backward(grad)
    assert layers[0].weight.grad is not None
    assert layers[2].weight.grad is None


def test_containers_say_what_they_expected():
    with pytest.raises(
        ValueError, match=r"Residual: expected Dense to keep the shape \(4, 3\), got \(4, 2\)"
    ):
        Residual(Dense(3, 2))(draw(4, 3))
    for container in (Sum, Concatenate):
        with pytest.raises(ValueError, match="expected at least one branch"):
            container()


def test_repr_is_a_tree():
    model = Sequential(
        Dense(3, 4), Residual(Sequential(LayerNorm(4), ReLU())), Concatenate(Dense(4, 1), dim=0)
    )
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Dense(3, 4)\n"
        "  (1): Residual(\n"
        "    (module): Sequential(\n"
        "      (0): LayerNorm(4)\n"
        "      (1): ReLU()\n"
        "    )\n"
        "  )\n"
        "  (2): Concatenate(dim=0\n"
        "    (0): Dense(4, 1)\n"
        "  )\n"
        ")"
    )
    assert repr(Sequential()) == "Sequential()"
    assert model.label() == "Sequential()"


# ---- copies, types, state ----------------------------------------------------------------------------


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


def test_state_travels_to_torch_and_back():
    ours, theirs = residual_nets()
    theirs.load_state_dict(ours.state_dict())
    x = draw(5, 6)
    torch.testing.assert_close(theirs(x), ours(x))
    _, fresh = residual_nets()
    ours.load_state_dict(fresh.state_dict())
    torch.testing.assert_close(fresh(x), ours(x))


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
