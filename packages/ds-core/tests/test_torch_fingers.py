"""What hands used to torch.nn reach for: methods of Module and of containers, beside their namesakes."""

import collections

import pytest
import torch
from ds_core import Dense, ModuleList, Parameter, ParameterDict, ParameterList, ReLU, Sequential, engine


def small():
    return Sequential(Dense(2, 3), Sequential(ReLU(), Dense(3, 1)))


def theirs():
    nn = torch.nn
    return nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))


@pytest.mark.parametrize("prefix", ["", "net"])
@pytest.mark.parametrize("recurse", [True, False])
def test_names_are_those_of_torch(prefix, recurse):
    ours, other = small(), theirs()
    for layer, namesake in ((ours, other), (ours[0], other[0])):
        expected = [name for name, _ in namesake.named_parameters(prefix, recurse)]
        assert [name for name, _ in layer.named_parameters(prefix, recurse)] == expected
        assert len(list(layer.parameters(recurse))) == len(expected)
    assert list(ours.state_dict(prefix="net.")) == list(other.state_dict(prefix="net."))


def test_apply_visits_children_first():
    seen, expected = [], []
    small().apply(lambda module: seen.append(type(module).__name__.replace("Dense", "Linear")))
    theirs().apply(lambda module: expected.append(type(module).__name__))
    assert seen == expected


def test_paths_lead_to_modules_and_parameters():
    model = small()
    assert model.get_submodule("1.1") is model[1][1]
    assert model.get_submodule("") is model
    assert model.get_parameter("1.1.bias") is model[1][1].bias
    new = Dense(3, 1)
    model.set_submodule("1.1", new)
    assert model[1][1] is new
    with pytest.raises(
        AttributeError, match=r"expected '1\.7' to be the path of a module, but 1 has no '7'; it has 0, 1"
    ):
        model.get_submodule("1.7")
    with pytest.raises(AttributeError, match=r"but ReLU\(\) has no parameters"):
        model.get_parameter("1.0.weight")
    with pytest.raises(TypeError, match="expected a Module, got int"):
        model.set_submodule("1.1", 3)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("half", torch.float16),
        ("bfloat16", torch.bfloat16),
        ("double", torch.float64),
        ("float", torch.float32),
    ],
)
def test_types_by_name(name, dtype):
    model = getattr(small().to(torch.float16), name)()
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert {p.dtype for p in small().type(dtype).cpu().parameters()} == {dtype}


def test_zeros_instead_of_none():
    model = small()
    with engine("manual"):
        y = model(torch.randn(4, 2))
        model.backward(torch.ones_like(y))
    model.zero_grad(set_to_none=False)
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_assigned_state_is_the_given_tensors():
    model, other = small(), small().double()
    first = model[0].weight
    model.load_state_dict(other.state_dict(), assign=True)
    assert model[0].weight is first  # the same parameter, as an optimizer knows it
    assert model[0].weight.dtype == torch.float64
    assert model[0].weight.data_ptr() == other[0].weight.data_ptr()
    x = torch.randn(4, 2, dtype=torch.float64)
    assert torch.equal(model(x), other(x))


def test_containers_change_as_lists_do():
    a, b, c, d = (Dense(2, 2) for _ in range(4))
    model = Sequential(a, b)
    model.insert(1, c).extend([d])
    assert list(model) == [a, c, b, d]
    model[-1] = c
    del model[0]
    assert list(model) == [c, b, c]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    with pytest.raises(TypeError, match="expected a Module at place 0, got int"):
        model[0] = 3
    with pytest.raises(TypeError, match="ModuleList: expected a Module at place 1, got str"):
        ModuleList([a]).extend(["b"])


def test_sequential_with_names():
    model = Sequential(collections.OrderedDict(first=Dense(2, 3), last=Dense(3, 1)))
    assert list(model.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert model(torch.randn(5, 2)).shape == (5, 1)
    model[-1] = Dense(3, 7)
    assert model.last is model[1]
    with pytest.raises(ValueError, match="a name without dots"):
        Sequential({"a.b": Dense(2, 2)})
    with pytest.raises(ValueError, match="expected a name that means nothing else, got 'forward'"):
        Sequential({"forward": Dense(2, 2)})


def test_parameters_in_lists_and_dicts():
    listed = ParameterList([Parameter(torch.ones(2)), Parameter(torch.zeros(3))])
    named = ParameterDict({"scale": Parameter(torch.ones(2))})
    assert [tuple(p.shape) for p in listed] == [(2,), (3,)]
    assert list(listed.state_dict()) == ["0", "1"]
    assert list(named.state_dict()) == ["scale"]
    assert named["scale"] is named.scale
    with pytest.raises(TypeError, match=r"expected a tensor made by ds_core\.Parameter at 0, got Tensor"):
        ParameterList([torch.ones(2)])
    with pytest.raises(KeyError, match="expected one of 'scale', got 'shift'"):
        named["shift"]
    with pytest.raises(ValueError, match="a name that means nothing else, got 'forward'"):
        named["forward"] = Parameter(torch.ones(1))


def test_a_name_with_a_dot_is_refused():
    model = small()
    with pytest.raises(ValueError, match=r"expected a name without dots, got 'a\.b'"):
        model.add_module("a.b", Dense(2, 2))
    model.add_module("extra", None)
    assert model.extra is None


@pytest.mark.parametrize("name", ["register_forward_hook", "register_full_backward_hook"])
def test_hooks_are_refused_with_what_to_do_instead(name):
    with pytest.raises(NotImplementedError, match=r"there are no hooks; `ds_core\.xray` and its `observe`"):
        getattr(Dense(2, 2), name)(print)
