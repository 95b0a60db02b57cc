"""Tensors that modules do not keep, as they can be made again."""

from copy import deepcopy
from typing import NamedTuple
from weakref import ref

import pytest
import torch
from ds_core import (
    BatchNorm1d,
    Dense,
    LayerNorm,
    LeakyReLU,
    Module,
    ReLU,
    RMSNorm,
    Sequential,
    Sigmoid,
    engine,
    keep_for_second,
)
from ds_core.kernels import remade
from ds_core.kernels.remade import LEAST, Remade, follow, held, remember, taken
from ds_core.verify.trial import Trial


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


class Saves(Module):
    """Saves what it is given."""

    def forward(self, x):
        self.save(x)
        return x

    def backward(self, grad):
        (x,) = self.saved()
        return grad * x


@pytest.fixture
def small(monkeypatch):
    """Has small tensors made again, too."""
    monkeypatch.setattr(remade, "LEAST", 1)


def gradients(model, x):
    outcome = Trial(model, (x,), torch.float32).manual()
    return [*outcome.inputs.values(), *outcome.parameters.values()]


NORMS = {
    "layer": lambda: LayerNorm(512),
    "layer, no weights": lambda: LayerNorm(512, elementwise_affine=False),
    "rms": lambda: RMSNorm(512),
    "batch": lambda: BatchNorm1d(512),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("after", [None, ReLU, LeakyReLU, Sigmoid])
def test_gradients_are_the_same_to_the_bit(norm, after, monkeypatch):
    layers = [NORMS[norm](), *([] if after is None else [after()]), Dense(512, 3)]
    model, x = Sequential(*layers), torch.randn(300, 512)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn(parameter.shape) / 4)
    ours = gradients(model, x)
    monkeypatch.setattr(remade, "LEAST", 1e9)
    assert all(map(torch.equal, ours, gradients(model, x)))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rectifier", [None, ReLU, LeakyReLU])
def test_nobody_keeps_what_came_between(norm, rectifier):
    norm, rectifier, last = NORMS[norm](), rectifier and rectifier(), Dense(512, 3)
    with engine("manual"):
        between = norm(torch.randn(300, 512))
        between = between if rectifier is None else rectifier(between)
        watching = ref(between.untyped_storage()), ref(between)
        last(between)
        del between
        assert [one() for one in watching] == [None, None]


def test_what_is_small_is_kept():
    norm, last = LayerNorm(512), Dense(512, 3)
    with engine("manual"):
        last(norm(torch.randn(2, 512)))
        assert last._stack[-1].whole


@torch.no_grad()
@pytest.mark.parametrize("norm", [name for name in NORMS if name != "batch"])
def test_where_nothing_is_recorded_nothing_is_remembered(norm):
    before, y = len(remade._known), NORMS[norm]().eval()(torch.randn(300, 512))
    assert len(remade._known) == before, y.shape


def test_formulas_make_nothing_again():
    norm, last = LayerNorm(512), Dense(512, 3)
    with engine("manual", kernels=False):
        last(norm(torch.randn(300, 512)))
        assert last._stack[-1].whole


def test_it_is_made_once_for_all_who_hold_it(small):
    made = []
    x, layers = torch.arange(4.0), [Saves(), Saves(), Saves()]
    with engine("manual"):
        y = x * 2
        remember(y, lambda: made.append(1) or x * 2)
        for layer in layers:
            layer(y)
        recipe = layers[0]._stack[-1].values[0]
        assert all(layer._stack[-1].values[0] is recipe for layer in layers)
        for number, layer in enumerate(layers):
            assert layer.backward(torch.ones(4)).tolist() == [0, 2, 4, 6]
            assert made == [1]
            assert (recipe.tensor is None) == (number == 2)


def test_what_was_changed_since_is_kept_as_it_is(small):
    x, layer = torch.arange(4.0), Saves()
    with engine("manual"):
        y = x * 2
        remember(y, lambda: x * 2)
        y += 1
        layer(y)
        assert layer.backward(torch.ones(4)).tolist() == [1, 3, 5, 7]


def test_what_is_changed_later_is_made_as_it_was(small):
    x, layer = torch.arange(4.0), Saves()
    with engine("manual"):
        y = x * 2
        remember(y, lambda: x * 2)
        layer(y)
        y += 1
        assert layer.backward(torch.ones(4)).tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("rectifier", [None, ReLU])
@pytest.mark.parametrize("changed", ["input", "weight", "bias"])
def test_a_changed_source_is_an_error_where_it_is_wanted(changed, rectifier):
    norm, last, x = BatchNorm1d(512), Dense(512, 3), torch.randn(300, 512)
    with engine("manual"):
        between = norm(x)
        last(between if rectifier is None else rectifier()(between))
        {"input": x, "weight": norm.weight, "bias": norm.bias}[changed].add_(1)
        with pytest.raises(RuntimeError, match=r"Dense\(512, 3\): a tensor that .* was changed in place"):
            last.backward(torch.ones(300, 3))


def test_a_changed_weight_of_other_norms_is_an_error_too():
    for norm in (LayerNorm(512), RMSNorm(512)):
        last = Dense(512, 3)
        with engine("manual"):
            last(norm(torch.randn(300, 512)))
            norm.weight.add_(1)
            with pytest.raises(RuntimeError, match=r"Dense\(512, 3\): a tensor that .* was changed in place"):
                last.backward(torch.ones(300, 3))


@pytest.mark.parametrize("rectifier", [None, ReLU])
def test_what_is_carried_into_the_next_step_is_kept_as_it_is(rectifier):
    norm, last, x = LayerNorm(512), Dense(512, 3), torch.randn(300, 512)
    with engine("manual"):
        carried = norm(x) if rectifier is None else rectifier()(norm(x))
    before = carried.clone()
    with torch.no_grad():
        norm.weight.mul_(2)  # as an optimizer does
    with engine("manual"):
        last(carried)
        last.backward(torch.ones(300, 3))
    torch.testing.assert_close(last.weight.grad, torch.ones(3, 300) @ before)


def test_tuples_and_lists_keep_their_kind(small):
    x = torch.arange(4.0)
    y, z = x * 2, x * 3
    remember(y, lambda: x * 2)
    values = (Pair(y, z), [y, (z, 5, None)], "text")
    kept = held(values)
    assert isinstance(kept[0], Pair)
    assert isinstance(kept[0].first, Remade)
    assert isinstance(kept[1], list)
    assert kept[0].second is z
    assert kept[1][1] is values[1][1]
    again = taken(kept)
    assert isinstance(again[0], Pair)
    assert torch.equal(again[0].first, y)
    assert again[0].first is again[1][0]
    assert again[0].first is not y
    assert again[1][1] == (z, 5, None)
    assert again[2] == "text"


def test_values_without_such_a_tensor_are_the_same_object(small):
    x = torch.arange(4.0)
    values = (x, [x])
    assert held(values) is values
    y = x * 2
    remember(y, lambda: x * 2)
    assert held(values) is values


def test_functions_follow_one_another(small):
    x = torch.arange(-2.0, 2.0)
    y = x * 2
    remember(y, lambda: x * 2)
    z = y + 1
    follow(z, y, lambda y: y + 1)
    w = z.abs()
    follow(w, z, torch.abs)
    (kept,) = held((w,))
    assert torch.equal(kept.make(), w)
    lost = x + 5
    follow(lost, x, lambda x: x + 5)  # nobody said how to make x
    assert held((lost,))[0] is lost


def test_it_is_forgotten_with_the_tensor(small):
    before, x = len(remade._known), torch.arange(4.0)
    y = x * 2
    remember(y, lambda: x * 2)
    assert len(remade._known) == before + 1
    del y
    assert len(remade._known) == before


def test_only_plain_tensors_with_a_count_of_changes(small):
    before = len(remade._known)
    with torch.inference_mode():
        y = torch.ones(LEAST)
        remember(y, lambda: y)
    z = torch.nn.Parameter(torch.ones(LEAST))
    remember(z, lambda: z)
    assert len(remade._known) == before


def test_a_copy_made_between_forward_and_backward_goes_on():
    model, x = Sequential(LayerNorm(512), Dense(512, 3)), torch.randn(300, 512)
    with engine("manual"):
        grad = torch.ones_like(model(x))
        other = deepcopy(model)
        assert torch.equal(other.backward(grad), model.backward(grad))
        for one, two in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(one.grad, two.grad)


def test_second_gradients(monkeypatch):
    model, x = Sequential(LayerNorm(512), LeakyReLU(), Dense(512, 3)), torch.randn(300, 512)

    def both():
        model.zero_grad()
        with engine("manual"), keep_for_second():
            score = model(x)
            grad_x = model.backward(torch.ones_like(score))
            model.second_backward(grad_x)
            model.backward(torch.zeros_like(score))
        return [parameter.grad.clone() for parameter in model.parameters()]

    ours = both()
    monkeypatch.setattr(remade, "LEAST", 1e9)
    assert all(map(torch.equal, ours, both()))
