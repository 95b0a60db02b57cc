"""What can be done to a whole module for a while, and copies of it."""

import copy

import pytest
import torch
from ds_core import Dense, Dropout, Residual, Sequential, engine, evaluating
from ds_core.module import replaced


def model():
    torch.manual_seed(0)
    return Sequential(Dense(3, 4), Residual(Dropout(0.5)), Dense(4, 2))


def modes(module):
    return [part.training for part in module.modules()]


def pending(module):
    return sum(len(part._stack) for part in module.modules())


def test_evaluating_puts_each_part_back_in_its_mode():
    module, other = model(), model()
    module[1].eval()
    before = modes(module)
    with evaluating(module, other):
        assert not any(modes(module) + modes(other))
        with evaluating(module):
            pass
        assert not any(modes(module))
    assert modes(module) == before
    assert all(modes(other))


def test_evaluating_keeps_what_waits_for_its_backward():
    module, x = model(), torch.randn(5, 3)
    with engine("manual"):
        module(x)
        waiting = pending(module)
        with evaluating(module):
            first, second = module(x), module(x)
        assert torch.equal(first, second)
        assert pending(module) == waiting > 0
        module.backward(torch.ones(5, 2))


def test_evaluating_ends_with_an_error_too():
    module = model()
    with pytest.raises(ValueError, match="expected last dimension"), evaluating(module):
        module(torch.ones(2, 7))
    assert all(modes(module))


def test_a_replaced_method_runs_and_is_gone_afterwards():
    module, x = model(), torch.randn(2, 3)
    plain = module.eval()(x)
    layer = module[2]
    original = layer.forward
    with replaced(layer, forward=lambda x: 2 * original(x)):
        torch.testing.assert_close(module(x), 2 * plain)
        with replaced(layer, forward=lambda x: 0 * original(x), backward=lambda grad: grad):
            assert not module(x).any()
            assert layer.backward("as it is") == "as it is"
        torch.testing.assert_close(module(x), 2 * plain)
    assert torch.equal(module(x), plain)
    assert not {"forward", "backward"} & vars(layer).keys()


def test_a_replaced_method_is_gone_after_an_error():
    layer = Dense(3, 2)
    with pytest.raises(ZeroDivisionError), replaced(layer, forward=lambda x: 1 / 0):
        layer(torch.ones(1, 3))
    assert layer(torch.ones(1, 3)).shape == (1, 2)


def test_a_copy_has_the_original_methods():
    layer = Dense(3, 2)
    with replaced(layer, forward=lambda x: x):
        other, deep = layer.copy(), copy.deepcopy(layer)
        assert other(torch.ones(1, 3)).shape == (1, 2)
        assert deep(torch.ones(1, 3)).shape == (1, 3)
