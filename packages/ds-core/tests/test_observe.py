"""observe: every forward and backward, in the order of events."""

import pytest
import torch
from ds_core import (
    BatchNorm1d,
    Dense,
    Dropout,
    Module,
    ReLU,
    Residual,
    Sequential,
    engine,
)
from ds_core.xray.observe import observe


def mlp():
    torch.manual_seed(0)
    return Sequential(Dense(6, 8), ReLU(), Dense(8, 7), ReLU(), Dense(7, 3))


def test_observe_reports_in_the_order_of_events():
    relu = ReLU()
    model = Sequential(Dense(3, 3), relu, Residual(Dense(3, 3)), relu)
    events = []
    with (
        engine("manual"),
        observe(
            model,
            lambda path, module, inputs, output: events.append((path, type(module).__name__, output.shape)),
            lambda path, module, grads, grad: events.append((path, grads[0].shape, grad.shape)),
        ) as running,
    ):
        model.backward(model(torch.randn(2, 3)))
        assert running == []
    shape = (2, 3)
    assert events == [
        ("0", "Dense", shape),
        ("1", "ReLU", shape),
        ("2.module", "Dense", shape),
        ("2", "Residual", shape),
        ("3", "ReLU", shape),
        ("", "Sequential", shape),
        ("3", shape, shape),
        ("2.module", shape, shape),
        ("2", shape, shape),
        ("1", shape, shape),
        ("0", shape, shape),
        ("", shape, shape),
    ]


def test_observe_names_a_shared_layer_by_who_calls_it():
    shared = Sequential(Dense(3, 3))
    model = Sequential(Residual(shared), Residual(shared))
    seen, back = [], []
    with (
        engine("manual"),
        observe(model, lambda path, *_: seen.append(path), lambda path, *_: back.append(path)),
    ):
        model.backward(model(torch.randn(2, 3)))
    assert [path for path in seen if path.endswith("module.0")] == ["0.module.0", "1.module.0"]
    assert [path for path in back if path.endswith("module.0")] == ["1.module.0", "0.module.0"]


def test_observe_knows_who_is_at_work():
    class Inner(Module):
        def forward(self, x):
            noted.append(list(running))
            return x

    noted = []
    model = Sequential(Residual(Inner()))
    with observe(model, path="model") as running:
        model(torch.ones(1))
    assert noted == [["model", "model.0", "model.0.module"]]


def test_observe_ends_cleanly_after_an_error_and_nests():
    model = mlp()
    calls = []
    with pytest.raises(ValueError, match="expected last dimension"), observe(model):
        model(torch.ones(2, 7))
    with observe(model, lambda path, *_: calls.append(("outer", path))):
        with observe(model[0], lambda path, *_: calls.append(("inner", path))):
            model[0](torch.ones(2, 6))
        model.copy()[0](torch.ones(2, 6))  # not observed
        model[0](torch.ones(2, 6))
    assert calls == [("outer", "0"), ("inner", ""), ("outer", "0")]
    assert not any({"forward", "backward"} & set(vars(m)) for m in model.modules())


def test_a_twin_is_equal_and_apart():
    model = Sequential(Dense(3, 3), BatchNorm1d(3), Dropout(0.5, generator=torch.Generator().manual_seed(1)))
    model[0].bias.requires_grad_(False)
    model.append(Dense(3, 3))
    model[3].weight = model[0].weight
    model[0].weight.grad = torch.ones(3, 3)
    with engine("manual"):
        model(torch.randn(4, 3))
        other = model.copy()
        assert [len(m._stack) for m in other.modules()] == [0] * 5
        assert all(
            torch.equal(a, b)
            for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True)
        )
        x = torch.randn(4, 3)
        assert torch.equal(other(x), model(x))
    assert other[3].weight is other[0].weight
    assert other[0].weight is not model[0].weight
    assert other[0].weight.grad is None
    assert not other[0].bias.requires_grad
    assert list(dict(other.named_parameters())) == list(dict(model.named_parameters()))
