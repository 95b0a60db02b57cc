"""trace: what it writes down of a step is what happened, and the module does not notice."""

import json

import pytest
import torch
from ds_core import (
    SGD,
    BatchNorm1d,
    CrossEntropyLoss,
    Dense,
    Dropout,
    Module,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    engine,
)
from ds_core.xray import trace


def mlp():
    torch.manual_seed(0)
    return Sequential(Dense(3, 4), ReLU(), Residual(Dense(4, 4)), Dense(4, 2))


X, Y = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 1, 0, 1])


def test_the_numbers_are_those_of_a_step():
    model = mlp()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = trace(model, X, Y, lr=0.1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    loss_fn = CrossEntropyLoss()
    with engine("autograd"):
        loss = loss_fn(model(X), Y)
        loss.backward()
    assert seen.loss == pytest.approx(loss.item(), rel=1e-6)
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    SGD(model.parameters(), 0.1).step()
    for stop in seen.stops:
        for row in stop.rows:
            name = row.name.removeprefix("grad_")
            if stop.way == "backward" and row.name in ("grad_weight", "grad_bias"):
                assert torch.allclose(row.value, grads[f"{stop.layer}.{name}"], atol=1e-6)
            if stop.way == "update":
                assert torch.allclose(row.value, model.state_dict()[f"{stop.layer}.{name}"], atol=1e-6)
    assert [s.way for s in seen.stops].count("update") == 6
    assert seen.loss_after == pytest.approx(CrossEntropyLoss()(model(X), Y).item(), rel=1e-6)
    assert seen.loss_after < seen.loss


def test_a_part_in_eval_mode_stays_so():
    model = Sequential(Dense(3, 4), BatchNorm1d(4), Dense(4, 2))
    model[1].running_mean.fill_(5.0)
    model[1].eval()
    seen = trace(model, X, Y, lr=0.1)
    loss_fn, optimizer = CrossEntropyLoss(), SGD(model.parameters(), 0.1)
    loss = loss_fn(model(X), Y)
    loss.backward()
    optimizer.step()
    assert seen.loss == pytest.approx(loss.item(), rel=1e-6)
    assert seen.loss_after == pytest.approx(loss_fn(model(X), Y).item(), rel=1e-6)


def test_the_loss_after_is_of_the_same_random_numbers():
    for generator in (None, torch.Generator()):
        seen = trace(Sequential(Dense(3, 8), Dropout(0.5, generator=generator), Dense(8, 2)), X, Y, lr=0.0)
        assert seen.loss_after == pytest.approx(seen.loss, rel=1e-6)


def test_a_step_that_ends_at_infinity_is_still_written(tmp_path):
    seen = trace(Sequential(Dense(3, 1)), X, X[:, :1], lr=1e30)
    data = json.loads(seen.to_json(tmp_path / "step.json").read_text(encoding="utf-8"))
    assert data["loss"] == pytest.approx(seen.loss)
    assert data["loss_after"] == "inf"


def test_the_stops_are_in_the_order_of_the_step():
    stops = [(s.way, s.layer, s.function) for s in trace(mlp(), X, Y).stops if s.way != "update"]
    assert stops == [
        ("forward", "0", "linear"),
        ("forward", "1", "relu"),
        ("forward", "2.module", "linear"),
        ("forward", "2", ""),  # x + f(x), which no formula of its own says
        ("forward", "3", "linear"),
        ("forward", "(loss)", "cross_entropy"),
        ("backward", "(loss)", "cross_entropy_backward"),
        ("backward", "3", "linear_backward"),
        ("backward", "2.module", "linear_backward"),
        ("backward", "2", ""),
        ("backward", "1", "relu_backward"),
        ("backward", "0", "linear_backward"),
    ]


def test_what_a_line_began_with_is_what_it_was_then():
    """Weights move afterwards, and gradients are added up in place."""
    seen = trace(mlp(), X, Y, lr=0.1)
    for stop in seen.stops:
        for row in stop.rows:
            if row.tree[0] == "@" and stop.function == "linear":
                assert torch.allclose(
                    row.operands["x"]
                    @ row.operands["weight.T" if "weight.T" in row.operands else "weight"].T,
                    row.value,
                    atol=1e-6,
                )


def test_names_in_a_page_cannot_break_out_of_it(tmp_path):
    class Evil(Module):
        """Tries.

        y = </script><script>alert(1)</script> x
        """

        def __init__(self):
            self.weight = Parameter(torch.ones(2))

        def forward(self, x):
            self.save()
            return self.weight * x

        def backward(self, grad):
            self.saved()
            return grad

        def extra_repr(self):
            return "</script><img src=x onerror=alert(1)>"

    seen = trace(Sequential(Evil()), torch.randn(3, 2), torch.randn(3, 2), title="</title><b>", words=["<i>"])
    html = seen.to_html(tmp_path / "step.html").read_text(encoding="utf-8")
    assert html.count("<script") == html.count("</script>") == 2
    assert "<img" not in html
    assert "</title><b>" not in html
    data = json.loads(seen.to_json(tmp_path / "step.json").read_text(encoding="utf-8"))
    assert data["words"] == ["<i>"]
    assert all("<script" not in clause for layer in data["layers"] for clause in layer["forward"])


def test_refusals():
    with pytest.raises(ValueError, match="expected a target"):
        trace(mlp(), X, None)
    with pytest.raises(ValueError, match="expected an input of at least one sample"):
        trace(mlp(), X[:0], Y[:0])
    with pytest.raises(ValueError, match="take a smaller model"):
        trace(Sequential(Dense(3, 20_000), Dense(20_000, 2)), X, Y)
    large = Module()  # without a forward: it need not run to be counted
    large.weight = Parameter(torch.zeros(200_001))
    with pytest.raises(ValueError, match="got 200,001: take a smaller model"):
        trace(large, X, Y)
    for module in (torch.nn.Linear(3, 2), ReLU):
        with pytest.raises(TypeError, match="trace: expected a Module, got"):
            trace(module, X, Y)
