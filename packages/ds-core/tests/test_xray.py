"""xray: every number of a step, right, and a module that does not notice."""

import math
from typing import NamedTuple

import pytest
import torch
from ds_core import (
    BatchNorm1d,
    CrossEntropyLoss,
    Dense,
    Dropout,
    Embedding,
    Module,
    MSELoss,
    Recompute,
    ReLU,
    Residual,
    Sequential,
    Softmax,
    engine,
)
from ds_core.xray import trace, xray
from ds_core.xray.statistics import BINS, Statistics
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode


def mlp():
    torch.manual_seed(0)
    return Sequential(Dense(6, 8), ReLU(), Dense(8, 7), ReLU(), Dense(7, 3))


def batch(rows=32, columns=6, classes=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, columns, generator=generator)
    return x, torch.randint(0, classes, (rows,), generator=generator)


class Scale(Module):
    """Multiplies by a number.

    y = s x,   dL/dx = s g
    """

    def __init__(self, scale):
        self.scale = scale

    def forward(self, x):
        return self.scale * x

    def backward(self, grad):
        return self.scale * grad


# ---- the numbers --------------------------------------------------------------------------------------


def assert_describes(statistics, tensor):
    x = tensor.detach().double()
    assert statistics.count == x.numel()
    expected = (x.mean(), x.std(correction=0), x.min(), x.max(), x.norm(), x.norm() / math.sqrt(x.numel()))
    given = (statistics.mean, statistics.std, statistics.min, statistics.max, statistics.norm, statistics.rms)
    for ours, theirs in zip(given, expected, strict=True):
        assert ours == pytest.approx(theirs.item(), rel=1e-5, abs=1e-6 * x.abs().max().item())


def test_every_number_is_that_of_torch():
    model = mlp()
    x, y = batch()
    view = xray(model, x, y)

    theirs = torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3)
    )
    theirs.load_state_dict(model.state_dict())
    values = [x.clone().requires_grad_()]
    for layer in theirs:
        values.append(layer(values[-1]))
    for value in values:
        value.retain_grad()
    loss = torch.nn.functional.cross_entropy(values[-1], y)
    loss.backward()

    assert view.loss_value == pytest.approx(loss.item(), rel=1e-6)
    for i, layer in enumerate(theirs):
        ours = view[str(i)]
        assert_describes(ours.output, values[i + 1])
        assert_describes(ours.output_grad, values[i + 1].grad)
        assert_describes(ours.input_grad, values[i].grad)
        assert ours.gain == pytest.approx(
            (values[i + 1].grad.norm() / values[-1].grad.norm()).item(), rel=1e-4
        )
        assert ours.input_shapes == [tuple(values[i].shape)]
        assert ours.output_shapes == [tuple(values[i + 1].shape)]
        for parameter, expected in zip(ours.parameters, layer.parameters(), strict=True):
            assert_describes(parameter.weight, expected)
            assert_describes(parameter.grad, expected.grad)
            assert parameter.ratio == pytest.approx((expected.grad.norm() / expected.norm()).item(), rel=1e-4)
    assert_describes(view.loss.input_grad, values[-1].grad)
    assert view.num_parameters == model.num_parameters()


def test_histogram_counts_every_number_once_in_its_bin():
    x = torch.tensor([-1.0, -0.99, 0.0, 0.5, 1.0, 1.0])
    counts = Statistics.of(x).histogram
    assert len(counts) == BINS
    edges = torch.linspace(-1, 1, BINS + 1)
    for i, count in enumerate(counts):
        last = i == BINS - 1
        inside = (x >= edges[i]) & ((x <= edges[i + 1]) if last else (x < edges[i + 1]))
        assert count == int(inside.sum())


def test_statistics_leave_out_nan_and_infinity_and_say_so():
    s = Statistics.of(torch.tensor([1.0, math.nan, 3.0]), torch.tensor([math.inf]))
    assert (s.count, s.nonfinite, s.mean, s.min, s.max) == (4, 2, 2.0, 1.0, 3.0)
    empty = Statistics.of(torch.empty(0, 3))
    assert (empty.count, sum(empty.histogram)) == (0, 0)
    assert math.isnan(empty.mean)
    constant = Statistics.of(torch.full((5,), 2.0))
    assert sum(constant.histogram) == 5
    assert constant.std == 0


def test_without_target_the_gradient_that_enters_is_a_fixed_random_one():
    x, _ = batch()
    model = Sequential(Dense(6, 3), Softmax(-1))
    first, second = xray(model, x), xray(model, x)
    drawn = torch.randn(32, 3, generator=torch.Generator().manual_seed(0)) / (32 * 3)
    assert_describes(first.root.output_grad, drawn)
    assert first.root.output_grad == second.root.output_grad
    assert first["0"].output_grad.norm > 0
    assert first.loss is None
    assert "no target" in first.entering

    y = torch.softmax(torch.nn.functional.linear(x, model[0].weight, model[0].bias), -1)
    weight, bias = torch.autograd.grad((y * drawn).sum(), (model[0].weight, model[0].bias))
    assert_describes(first["0"].parameters[0].grad, weight)
    assert_describes(first["0"].parameters[1].grad, bias)


def test_the_loss_follows_the_type_of_the_target():
    x, y = batch()
    model = mlp()
    assert xray(model, x, y).loss.label == CrossEntropyLoss().label()
    assert xray(model, x, torch.zeros(32, 3)).loss.label == MSELoss().label()
    view = xray(model, x, torch.zeros(32, 3), MSELoss(reduction="sum"))
    assert view.loss_value == pytest.approx((model(x) ** 2).sum().item(), rel=1e-5)


def test_classes_in_the_last_dimension_of_a_sequence():
    model = Sequential(Embedding(11, 4), Dense(4, 5))
    ids, y = torch.arange(6).view(2, 3), torch.tensor([[0, 1, 2], [3, 4, 0]])
    view = xray(model, ids, y)
    expected = torch.nn.functional.cross_entropy(model(ids).reshape(-1, 5), y.reshape(-1))
    assert view.loss_value == pytest.approx(expected.item(), rel=1e-5)
    assert view["0"].input_grad is None


def test_a_loss_without_reduction_is_summed():
    x, _ = batch()
    model, target = Dense(6, 3), torch.zeros(32, 3)
    each, summed = (xray(model, x, target, MSELoss(reduction=r)) for r in ("none", "sum"))
    assert each.loss_value is None
    assert each.root.output_grad == summed.root.output_grad


def test_module_and_loss_are_modules_of_ours():
    x, target = batch()
    for module in (torch.nn.Linear(6, 3), ReLU, lambda x: x):
        with pytest.raises(TypeError, match="xray: expected a Module, got"):
            xray(module, x, target)
    with pytest.raises(TypeError, match="xray: expected a Module as loss, got function"):
        xray(mlp(), x, target, lambda y, target: y.mean())


def test_a_loss_may_be_given_by_its_name():
    x, target = batch()
    for name in ("cross_entropy", "CrossEntropyLoss"):
        expected = xray(mlp(), x, target, CrossEntropyLoss())
        view = xray(mlp(), x, target, loss=name)
        assert (view.loss.label, view.loss_value) == (expected.loss.label, expected.loss_value)
    by_name, given = (trace(mlp(), x[:2], target[:2], loss) for loss in ("cross_entropy", CrossEntropyLoss()))
    assert (by_name.loss, by_name.loss_after) == (given.loss, given.loss_after)
    for look in (xray, trace):
        with pytest.raises(ValueError, match=r"loss: expected one of .*, got 'cross_entopy'; did you mean"):
            look(mlp(), x, target, "cross_entopy")
    with pytest.raises(ValueError, match=r"expected a target for CrossEntropyLoss\(\)"):
        xray(mlp(), x, loss="cross_entropy")


def test_a_loss_needs_a_target():
    with pytest.raises(ValueError, match=r"expected a target for MSELoss\(\)"):
        xray(mlp(), batch()[0], None, MSELoss())
    with pytest.raises(TypeError, match="expected a tensor as target, got list"):
        xray(mlp(), batch()[0], [1, 2])


# ---- arithmetic ---------------------------------------------------------------------------------------


def test_flops_of_a_dense_layer_by_hand():
    rows, inside, outside = 32, 6, 8
    layer = xray(Dense(inside, outside), torch.randn(rows, inside)).root
    product = 2 * rows * inside * outside
    assert layer.forward_flops.products == product
    assert layer.forward_flops.elementwise == rows * outside  # + b
    assert layer.backward_flops.products == 2 * product  # dL/dW and dL/dx
    assert layer.backward_flops.elementwise == rows * outside  # the sum for dL/db

    first = Dense(inside, outside).requires_input_grad_(False)
    assert xray(first, torch.randn(rows, inside)).root.backward_flops.products == product


def test_flops_of_products_are_those_torch_counts():
    class Products(Module):
        """Uses every kind of matrix product."""

        def forward(self, x):  # (5, 4, 4)
            self.save(x)
            y = x @ x  # bmm
            y = torch.baddbmm(y, x, x)
            return y + x[0] @ x[1] + torch.addmm(x[0], x[1], x[2]) + torch.mv(x[0], x[1, 0])

        def backward(self, grad):
            (x,) = self.saved()
            return grad @ x

    x = torch.randn(5, 4, 4)
    view = xray(Products(), x)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Products().forward(x)
    mv = 2 * 4 * 4  # which torch's counter leaves out
    assert view.forward_flops.products == counter.get_total_flops() + mv
    assert view.backward_flops.products == 2 * 5 * 4 * 4 * 4


def test_flops_are_attributed_to_the_layer_at_work():
    view = xray(mlp(), *batch())
    assert view.root.forward_flops.total == 0
    assert view["1"].forward_flops.products == 0
    assert view["1"].forward_flops.elementwise >= 32 * 8
    assert view.forward_flops.products == 2 * 32 * (6 * 8 + 8 * 7 + 7 * 3)
    assert view.backward_flops.products == 2 * view.forward_flops.products
    assert view.loss.forward_flops.elementwise > 0


# ---- the module is left alone -------------------------------------------------------------------------


def test_nothing_changes():
    generator = torch.Generator().manual_seed(5)
    model = Sequential(
        Dense(6, 8), BatchNorm1d(8), Dropout(0.5), Dropout(0.5, generator=generator), Dense(8, 3)
    )
    model[4].weight.requires_grad_(False)
    model[2].eval()
    x, y = batch()
    loss = CrossEntropyLoss()
    with engine("manual"):
        model(x)
        stacks = [len(m._stack) for m in model.modules()]
        model[0].weight.grad = torch.ones(8, 6)
        state = {name: value.clone() for name, value in model.state_dict().items()}
        random, own, kept = torch.get_rng_state(), generator.get_state(), x.clone()
        modes = [m.training for m in model.modules()]
        before = {id(m): dict(vars(m)) for m in (*model.modules(), loss)}
        view = xray(model, x, y, loss)
        assert {id(m): dict(vars(m)) for m in (*model.modules(), loss)} == before
        assert [m.training for m in model.modules()] == modes
        assert [len(m._stack) for m in model.modules()] == stacks
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert torch.equal(model[0].weight.grad, torch.ones(8, 6))
        assert model[4].bias.grad is None
        assert torch.equal(torch.get_rng_state(), random)
        assert torch.equal(generator.get_state(), own)
        assert torch.equal(x, kept)
    assert view["4"].parameters[0].frozen
    assert view["4"].parameters[0].grad is None
    assert view["4"].parameters[1].grad is not None


def test_the_same_under_either_engine():
    x, y = batch()
    with engine("autograd"):
        recorded = str(xray(mlp(), x, y))
    with engine("manual"):
        assert str(xray(mlp(), x, y)) == recorded


def test_the_input_is_safe_from_layers_that_work_in_place():
    x, _ = batch()
    kept = x.clone()
    view = xray(Sequential(Scale(1.0), ReLU(inplace=True)), x)
    assert torch.equal(x, kept)
    assert view["0"].output.min < 0  # measured before the next layer wrote over it
    xray(ReLU(inplace=True), x)
    assert torch.equal(x, kept)


# ---- several inputs, outputs and calls -----------------------------------------------------------------


class Pair(Module):
    """Takes two inputs and gives a sum, a difference that is a tuple's second, and indices."""

    def forward(self, a, b):
        return a + b, (a - b, a.argmax(-1))

    def backward(self, grad_sum, grads):
        grad_difference, grad_index = grads
        assert grad_index is None
        return grad_sum + grad_difference, grad_sum - grad_difference


def test_a_part_in_eval_mode_stays_so():
    x, y = batch()
    model = Sequential(Dense(6, 8), BatchNorm1d(8), Dense(8, 3))
    model[1].running_mean.fill_(5.0)
    model[1].eval()
    expected = CrossEntropyLoss()(model(x), y).item()
    assert xray(model, x, y).loss.output.mean == pytest.approx(expected, rel=1e-6)
    assert xray(model.eval(), x, y).loss.output.mean != pytest.approx(expected, rel=1e-2)  # all in training


def test_several_inputs_and_outputs():
    a, b = torch.randn(2, 4, 3).unbind()
    view = xray(Pair(), (a, b))
    assert view.inputs == [(4, 3), (4, 3)]
    assert view.root.output_shapes == [(4, 3), (4, 3), (4,)]
    assert view.root.output.count == 12 + 12 + 4
    assert view.root.input_grad.count == 24


class TwoOutputs(Module):
    def forward(self, x):
        return x * 2, x * 3

    def backward(self, first, second):
        return first * 2 + second * 3


def test_a_target_goes_with_the_first_of_several_outputs():
    x, target = torch.randn(4, 3), torch.zeros(4, 3)
    view = xray(TwoOutputs(), x, target)
    assert view.loss_value == pytest.approx((4 * x * x).mean().item(), rel=1e-5)
    assert_describes(view.root.input_grad, 2 * (2 * (2 * x) / x.numel()))


class Named(NamedTuple):
    loss: Tensor | None
    logits: Tensor
    further: tuple[Tensor | None, Tensor]
    indices: Tensor
    seen: Tensor


class Outputs(Module):
    """Outputs as models of the zoo have: absent, in tuples, whole numbers, and one only to be looked at."""

    def forward(self, x):
        return Named(None, 2 * x, (None, 3 * x), x.argmax(-1), x + 1)

    def backward(self, grad_loss, grad_logits, grad_further, grad_indices=None, *_: None):
        assert grad_loss is grad_indices is grad_further[0] is None
        return 2 * grad_logits + 3 * grad_further[1]


def test_each_gradient_goes_to_its_output():
    x, target = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    for module in (Outputs(), Recompute(Outputs())):
        view = xray(module, x, target)
        expected = torch.nn.functional.cross_entropy(2 * x, target).item()
        assert view.loss_value == pytest.approx(expected, rel=1e-5)
        chances = (2 * x).softmax(-1) - torch.nn.functional.one_hot(target, 3)
        assert_describes(view.root.input_grad, 2 * chances / 4)
        assert trace(module, x, target).loss == pytest.approx(expected, rel=1e-5)
        draw = torch.Generator().manual_seed(0)
        r, s = (torch.randn(4, 3, generator=draw) / 12 for _ in range(2))
        assert_describes(xray(module, x).root.input_grad, 2 * r + 3 * s)


class PairLoss(Module):
    def forward(self, first, second, target):
        self.save(first, second)
        return ((first - second - target) ** 2).sum() / 2

    def backward(self, grad):
        first, second = self.saved()
        return grad * (first - second), -grad * (first - second)


def test_a_given_loss_takes_all_outputs_as_in_training():
    x, target = torch.randn(4, 3), torch.zeros(4, 3)
    view = xray(TwoOutputs(), x, target, PairLoss())
    assert view.loss_value == pytest.approx((x * x).sum().item() / 2, rel=1e-5)
    assert_describes(view.root.input_grad, x)
    assert trace(TwoOutputs(), x, target, PairLoss()).loss == view.loss_value
    assert xray(Sequential(Dense(3, 3)), x, target, MSELoss()).loss_value is not None


class Pull(Module):
    """A loss made of another one, and with a layer of the model's."""

    def __init__(self, head):
        self.head, self.loss = head, MSELoss()

    def forward(self, y, target):
        return self.loss(self.head(y), target)

    def backward(self, grad):
        return self.head.backward(self.loss.backward(grad))


def test_what_model_and_loss_share_has_the_gradient_of_both(tmp_path):
    x, target = torch.randn(4, 3), torch.zeros(4, 3)
    model = Sequential(Dense(3, 3))
    loss = Pull(model[0])
    with engine("manual"):
        expected = loss(model(x), target)
        model.backward(loss.backward(torch.ones(())))
    weight = model[0].weight.grad
    model.zero_grad()
    view = xray(model, x, target, loss)
    assert view.loss_value == pytest.approx(expected.item())
    assert_describes(next(p for p in view["0"].parameters if p.name == "weight").grad, weight)
    assert view["0"].calls == view["0"].backwards == 2
    seen = trace(model, x, target, loss, lr=0.01)
    assert seen.loss_after < seen.loss == pytest.approx(view.loss_value)
    assert "(loss).loss" in seen.to_html(tmp_path / "step.html").read_text(encoding="utf-8")


def test_a_part_that_recomputes_and_has_buffers():
    block = Sequential(Dense(6, 8), BatchNorm1d(8), ReLU(), Dense(8, 3))
    x, y = batch()
    bare, sparing = xray(block, x, y), xray(Recompute(block), x, y)
    assert sparing.forward_flops == bare.forward_flops
    assert sparing.loss_value == bare.loss_value


def test_a_layer_without_backward_shows_its_forward():
    class Half(Module):
        def forward(self, x):
            return x / 2

    view = xray(Sequential(Half(), Dense(6, 3)), *batch())
    assert view["0"].output is not None
    assert view["0"].output_grad is None
    assert view["1"].output_grad is not None
    assert view.notes == ["Half has no backward, so the backward pass ends there."]
    assert "Half has no backward" in str(view)
    assert "Half has no backward" in view._repr_html_()


class Unrolled(Module):
    """Runs one cell several times, and uses a second layer's weight without calling that layer."""

    def __init__(self):
        self.cell = Dense(4, 4, bias=False)
        self.silent = Dense(4, 4, bias=False)

    def forward(self, x):
        for _ in range(3):
            x = self.cell(x)
        return x @ self.silent.weight.T

    def backward(self, grad):
        grad = grad @ self.silent.weight
        for _ in range(3):
            grad = self.cell.backward(grad)
        return grad


def test_repeated_calls_are_described_together_and_silent_layers_listed():
    model, x = Unrolled(), torch.randn(5, 4)
    view = xray(model, x)
    w = model.cell.weight
    outputs = [x @ w.T, x @ w.T @ w.T, x @ w.T @ w.T @ w.T]
    assert (view["cell"].calls, view["cell"].backwards) == (3, 3)
    assert_describes(view["cell"].output, torch.stack(outputs))
    assert view["cell"].forward_flops.products == 3 * 2 * 5 * 4 * 4
    assert view["silent"].calls == 0
    assert view.num_parameters == 32
    assert "not called" in str(view)


def test_layers_nest_as_they_call_each_other():
    model = Sequential(Dense(6, 6), Residual(Sequential(Dense(6, 6), ReLU())), Dense(6, 3))
    view = xray(model, *batch())
    assert [(layer.path, layer.depth) for layer in view.layers] == [
        ("", 0),
        ("0", 1),
        ("1", 1),
        ("1.module", 2),
        ("1.module.0", 3),
        ("1.module.1", 3),
        ("2", 1),
        ("(loss)", 0),
    ]
    assert [layer.path for layer in view.root.walk(backwards=True)] == [
        "",
        "2",
        "1",
        "1.module",
        "1.module.1",
        "1.module.0",
        "0",
    ]
    with pytest.raises(KeyError, match="no layer at '7'"):
        view["7"]


def test_tied_weights_count_once():
    model = Sequential(Embedding(10, 4), Dense(4, 10, bias=False))
    model[1].weight = model[0].weight
    view = xray(model, torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6]))
    assert view.num_parameters == 40
    assert view["1"].parameters[0].tied_to == "0.weight"
    assert view["0"].parameters[0].grad == view["1"].parameters[0].grad
