"""Module: how parameters, buffers and children are found."""

import pytest
import torch
from ds_core import (
    Concatenate,
    Dense,
    LayerNorm,
    Module,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sum,
    Unflatten,
    engine,
)
from ds_core.containers import ModuleList
from ds_core.verify.inputs import seeded
from torch import nn

DOUBLE = torch.float64


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def grads(module):
    return {name: p.grad for name, p in module.named_parameters()}


def tape_grads(module, x, grad):
    """The same by torch's autograd."""
    module.zero_grad()
    leaf = x.clone().requires_grad_()
    with engine("autograd"):
        module(leaf).backward(grad)
    return leaf.grad, grads(module)


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
    for value in (torch.zeros(2), 5, torch.relu):
        with pytest.raises(TypeError, match=r"Zoo\.layer is a module: assign a Module or None; got"):
            module.layer = value
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
    for container in (Sequential, Sum, Concatenate):
        with pytest.raises(TypeError, match=rf"got a list of them; write {container.__name__}\(\*modules\)"):
            container([ReLU(), ReLU()])


class Two(Module):
    def forward(self, x):
        return x, x


def test_containers_take_tensors_that_fit():
    x = draw(4, 3)
    for container in (Residual, Sum, Concatenate):
        with pytest.raises(
            TypeError, match=r"expected Two to give a tensor, got a tuple of 2: a tensor.*; give one"
        ):
            container(Two())(x)
    with pytest.raises(
        TypeError, match=r"Dense.*expected input to be a tensor, got a tuple of 2.*; give one"
    ):
        Sequential(Two(), Dense(3, 2))(x)
    narrow, wide = Dense(3, 1), Dense(3, 2)
    with pytest.raises(ValueError, match=r"Sum: expected .* one shape, got \(4, 1\) from Dense and \(4, 2\)"):
        Sum(narrow, wide)(x)  # would have been broadcast
    assert Concatenate(narrow, wide)(x).shape == (4, 3)
    for dim in (0, 2, -3):
        with pytest.raises(ValueError, match=rf"differ in dimension {dim} alone, got \(4, 1\), \(4, 2\)"):
            Concatenate(narrow, wide, dim=dim)(x)
    with pytest.raises(ValueError, match=r"differ in dimension -1 alone, got \(4, 1\), \(4, 3, 1\)"):
        Concatenate(narrow, Unflatten(1, (3, 1)))(x)


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
