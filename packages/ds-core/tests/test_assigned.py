"""What is assigned to a module is found, or refused with what to write instead."""

import pytest
import torch
from ds_core import Dense, Module, ModuleDict, ModuleList, Parameter, ReLU, Sequential, Trainer, engine
from ds_core.verify import check_gradients
from torch import nn


class Holder(Module):
    pass


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (nn.Parameter(torch.ones(2)), r"write ds_core\.Parameter"),
        (nn.Linear(2, 2), "a module of torch, Linear"),
        (nn.Sequential(nn.ReLU()), "a module of torch, Sequential"),
        ([Dense(2, 2)], r"a list.*write ModuleList"),
        ((ReLU(), None), r"a tuple.*write ModuleList"),
        ({"a": Dense(2, 2)}, r"a dict.*write ModuleDict"),
        ([Parameter(torch.ones(2))], "parameters in a list.*write ParameterList"),
        ({"w": Parameter(torch.ones(2))}, "parameters in a dict.*write ParameterDict"),
        ([nn.Linear(2, 2)], "a module of torch, Linear"),
        ({"a": nn.Linear(2, 2)}, "a module of torch, Linear"),
        ([[Dense(2, 2)], [Dense(2, 2)]], r"a list.*write ModuleList"),
        ({"a": (1, {"b": Dense(2, 2)})}, r"a dict.*write ModuleDict"),
        ([nn.Parameter(torch.ones(2))], r"write ds_core\.Parameter"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_weights_that_would_be_lost_are_refused(value, advice):
    holder = Holder()
    with pytest.raises(TypeError, match=f"Holder.part.*{advice}"):
        holder.part = value
    assert not hasattr(holder, "part")


@pytest.mark.parametrize("value", [Dense(2, 2), Parameter(torch.ones(2)), torch.ones(2), "word", 1])
@pytest.mark.parametrize("name", ["forget", "label", "type", "copy", "backward"])
def test_no_attribute_takes_the_place_of_a_method(name, value):
    with pytest.raises(ValueError, match=f"Holder: expected a name that means nothing else, got '{name}'"):
        setattr(Holder(), name, value)


class Stacked(Module):
    def __init__(self):
        self.layers = []
        for _ in range(2):
            self.layers.append(Dense(3, 3))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_a_list_filled_after_it_was_assigned_is_found_out_before_training():
    message = r"Stacked\.layers: got modules in a list.*write ModuleList"
    model = Sequential(Stacked(), Dense(3, 1))
    with pytest.raises(TypeError, match=message):
        Trainer(model, "mse", "sgd", lr=0.1)
    with pytest.raises(TypeError, match=message):
        check_gradients(model, torch.randn(2, 3))


def test_a_gradient_for_what_is_no_parameter_is_refused():
    class Shift(Module):
        def __init__(self):
            self.bias, self.none = torch.zeros(3), None

        def forward(self, x):
            self.save()
            return x + self.bias

        def backward(self, grad):
            self.saved()
            self.add_grad("none", lambda: grad.sum(0))
            self.add_grad("bias", lambda: grad.sum(0))
            return grad

    layer = Shift()
    with engine("manual"), pytest.raises(TypeError, match=r"Shift\(\).*bias to be a parameter.*Parameter\("):
        layer.backward(layer(torch.randn(2, 3)))


@pytest.mark.parametrize(
    "value",
    [[1, 2], (), {"a": 1}, [[1], {"b": (2, torch.ones(2))}], [torch.ones(2)], Dense, nn.Linear, "text", None],
)
def test_anything_else_may_be_assigned(value):
    holder = Holder()
    holder.part = value
    assert holder.part is value


def test_a_module_dict_is_found_and_saved():
    heads = ModuleDict({"boxes": Dense(3, 4)})
    heads.update([("labels", Dense(3, 2)), ("boxes", Dense(3, 5))])
    assert list(heads) == list(heads.keys()) == ["boxes", "labels"]
    assert len(heads) == 2
    assert "boxes" in heads
    assert "masks" not in heads
    assert set(heads.state_dict()) == {"boxes.weight", "boxes.bias", "labels.weight", "labels.bias"}
    with engine("manual"):
        assert heads["boxes"](torch.ones(1, 3)).shape == (1, 5)
    assert dict(heads.items())["labels"] is next(reversed(list(heads.values())))
    del heads["labels"]
    assert list(heads) == ["boxes"]
    with pytest.raises(KeyError, match="expected one of 'boxes', got 'labels'"):
        heads["labels"]


@pytest.mark.parametrize("name", ["", "a.b", "forward", "items", "training"])
def test_names_that_would_hide_something_are_refused(name):
    with pytest.raises(ValueError, match="ModuleDict: expected a name"):
        ModuleDict({name: ReLU()})


def test_only_modules_may_stand_in_containers():
    with pytest.raises(TypeError, match="got a module of torch, Linear"):
        ModuleDict({"a": nn.Linear(1, 1)})
    with pytest.raises(TypeError, match="got a module of torch, Linear"):
        ModuleList([nn.Linear(1, 1)])
