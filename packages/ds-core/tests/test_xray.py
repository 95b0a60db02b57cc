"""xray: its numbers are those of torch, the module does not notice, and flags fire when they should only."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from ds_core import (
    Activation,
    BatchNorm1d,
    CrossEntropyLoss,
    Dense,
    Dropout,
    Embedding,
    Module,
    MSELoss,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    engine,
    summary,
)
from ds_core.verify import Case, check_gradients, load_cases
from ds_core.xray import xray
from ds_core.xray.findings import DEAD_SHARE, EXPLODING, VANISHING
from ds_core.xray.formula import formula_of
from ds_core.xray.observe import observe
from ds_core.xray.statistics import BINS, Statistics, amount, number
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


# ---- the numbers -----------------------------------------------------------------------------------------


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


def test_a_loss_needs_a_target():
    with pytest.raises(ValueError, match=r"expected a target for MSELoss\(\)"):
        xray(mlp(), batch()[0], None, MSELoss())
    with pytest.raises(TypeError, match="expected a tensor as target, got list"):
        xray(mlp(), batch()[0], [1, 2])


# ---- arithmetic ------------------------------------------------------------------------------------------


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


# ---- the module is left alone ----------------------------------------------------------------------------


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


# ---- flags -----------------------------------------------------------------------------------------------


def kinds(view):
    return [finding.kind for finding in view.findings]


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_network_has_no_flags(seed):
    torch.manual_seed(seed)
    model = Sequential(Dense(16, 64), ReLU(), Residual(Sequential(Dense(64, 64), ReLU())), Dense(64, 3))
    view = xray(model, *batch(columns=16))
    assert view.findings == []
    assert all(layer.flags == [] for layer in view.layers)
    assert "Nothing flagged" in str(view)


def test_deep_sigmoids_let_the_gradient_vanish():
    torch.manual_seed(0)
    model = Sequential(*[layer for _ in range(8) for layer in (Dense(16, 16), Sigmoid())], Dense(16, 3))
    view = xray(model, *batch(columns=16))
    (finding,) = view.findings
    assert finding.kind == "vanishing gradient"
    below = tuple(str(i) for i in range(17) if view[str(i)].gain < VANISHING)
    assert finding.paths == below
    assert below[0] == "0"
    assert "16" not in below
    assert view["0"].flags == ["vanishing gradient"]


def test_large_weights_let_the_gradient_explode():
    model = mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(200)
    view = xray(model, *batch())
    assert "exploding gradient" in kinds(view)
    assert view["0"].gain > EXPLODING


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (VANISHING * 1.01, []),
        (VANISHING * 0.99, ["vanishing gradient"]),
        (EXPLODING * 0.99, []),
        (EXPLODING * 1.01, ["exploding gradient"]),
        (0.0, ["no gradient"]),
    ],
)
def test_thresholds_of_the_gradient(scale, expected):
    view = xray(Sequential(Dense(6, 6), Scale(scale)), batch()[0])
    assert kinds(view) == expected
    assert view["0"].gain == pytest.approx(scale, rel=1e-6)
    assert view["1"].gain == 1
    assert all(finding.paths == ("0",) for finding in view.findings)


@pytest.mark.parametrize("dead", [0, 2, 3, 12])
def test_dead_units_are_counted_and_flagged_from_a_quarter_on(dead):
    model = Sequential(Dense(6, 12), ReLU(), Dense(12, 3))
    with torch.no_grad():
        model[0].bias.fill_(1)
        model[0].weight.mul_(0.01)
        model[0].bias[:dead] = -1
    view = xray(model, *batch())
    assert (view["1"].units, view["1"].dead) == (12, dead)
    assert ("dead units" in kinds(view)) == (dead >= DEAD_SHARE * 12)
    assert ("no gradient" in kinds(view)) == (dead == 12)


def test_few_examples_do_not_prove_a_unit_dead():
    model = Sequential(Dense(6, 12), ReLU(), Dense(12, 3))
    with torch.no_grad():
        model[0].bias.fill_(-100)
    assert "dead units" not in kinds(xray(model, *batch(rows=7)))
    assert "dead units" in kinds(xray(model, *batch(rows=8)))


def test_units_of_images_are_channels():
    x = torch.randn(2, 3, 5, 5)
    x[:, 1] = -1
    view = xray(ReLU(), x)
    assert (view.root.units, view.root.dead) == (3, 1)


def test_a_reused_rectifier_counts_its_units_at_each_width():
    relu = ReLU()

    class Both(Module):
        def __init__(self):
            self.relu = relu

        def forward(self, x):
            return torch.cat([self.relu(x), self.relu(x[:, :2])], -1)

        def backward(self, grad):
            narrow = self.relu.backward(grad[:, 6:])
            wide = self.relu.backward(grad[:, :6]).clone()
            wide[:, :2] += narrow
            return wide

    x = torch.ones(8, 6)
    x[:, 0] = -1
    layer = xray(Both(), x)["relu"]
    assert (layer.units, layer.dead, layer.calls, layer.backwards) == (8, 2, 2, 2)


def test_nan_is_flagged_where_it_appears():
    class Root(Module):
        def forward(self, x):
            self.save(x)
            return x.sqrt()

        def backward(self, grad):
            (x,) = self.saved()
            return grad / (2 * x.sqrt())

    model = Sequential(Scale(1.0), Root(), Dense(6, 3))
    view = xray(model, batch()[0])
    assert kinds(view)[0] == "not finite"
    assert view.findings[0].paths[:2] == ("0", "1")  # the gradient that comes back to 0 is NaN
    assert view["1"].output.nonfinite == int((batch()[0] < 0).sum())
    assert view["0"].output.nonfinite == 0


# ---- every kind of module --------------------------------------------------------------------------------


def one_case_of_each():
    cases = {}
    for case in load_cases(Path(__file__).parent / "cases"):
        if isinstance(case, Case) and "empty" not in case.name:
            cases.setdefault(case.name.split("(")[0].split(" ")[0], case)
    return list(cases.values())


@pytest.mark.parametrize("case", one_case_of_each(), ids=lambda case: case.name)
def test_every_layer_and_loss(case):
    module = case.make()
    inputs = case.inputs(torch.Generator().manual_seed(0))
    view = xray(module, inputs)
    assert view.root.output.count > 0
    assert view.root.output_grad.count == view.root.output.count
    assert view.num_parameters == module.num_parameters()
    shown = next(module.modules())  # itself, or what a wrapper such as Recompute stands for
    assert type(shown).__name__ in str(view)  # a long label goes on in the next line
    check_page(view._repr_html_())


def test_an_empty_batch_is_no_accident():
    view = xray(mlp(), torch.empty(0, 6))
    assert view.root.output.count == 0
    assert view.findings == []
    assert view["1"].dead == 0
    check_page(view._repr_html_())
    assert "(0, 3)" in str(view)


class Pair(Module):
    """Takes two inputs and gives a sum, a difference that is a tuple's second, and indices."""

    def forward(self, a, b):
        return a + b, (a - b, a.argmax(-1))

    def backward(self, grad_sum, grads):
        grad_difference, grad_index = grads
        assert grad_index is None
        return grad_sum + grad_difference, grad_sum - grad_difference


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


class PairLoss(Module):
    def forward(self, output, target):
        first, second = output
        self.save(first, second)
        return ((first - second - target) ** 2).sum() / 2

    def backward(self, grad):
        first, second = self.saved()
        return grad * (first - second), -grad * (first - second)


def test_a_given_loss_takes_all_outputs():
    x = torch.randn(4, 3)
    view = xray(TwoOutputs(), x, torch.zeros(4, 3), PairLoss())
    assert view.loss_value == pytest.approx((x * x).sum().item() / 2, rel=1e-5)
    assert_describes(view.root.input_grad, x)


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


# ---- formulas --------------------------------------------------------------------------------------------


def test_formula_of_a_layer_is_read_from_its_docstring():
    formula = formula_of(Dense(2, 3))
    assert formula.forward == ["y = x W^T + b"]
    assert formula.backward == ["with g = dL/dy:", "dL/dW = g^T x", "dL/db = sum of g", "dL/dx = g W"]
    assert formula.short_backward == "dL/dx = g W"


def test_formula_of_a_readers_own_layer():
    class Given(Module):
        """Has an attribute.

        y = this is not used
        """

        formula = "y = x^2,   dL/dx = 2 x g"

        def forward(self, x):
            return x * x

    class Silent(Module):
        """Explains itself in words.

        The result = what comes out.

        Args:
            y = 3: not a formula.
        """

        def forward(self, x):
            return x

    class Bare(Module):
        def forward(self, x):
            return x

    class Heir(Dense):
        pass

    class Rewritten(Dense):
        def forward(self, x):
            return x

    class Long(Module):
        """Takes some lines.

        With u = x - 1, taken
        over two lines:

        y = u^2
          + u
        z = 3   (a remark)

        With g = dL/dy:   dL/dx = (2 u + 1) g
        """

        def forward(self, x):
            return x

    assert formula_of(Given()) == (["y = x^2"], ["dL/dx = 2 x g"])
    assert formula_of(Silent()) == formula_of(Bare()) == formula_of(Rewritten(1, 1)) == ([], [])
    assert formula_of(Heir(2, 3)) == formula_of(Dense(2, 3))
    assert formula_of(Long()) == (
        ["With u = x - 1, taken over two lines:", "y = u^2 + u", "z = 3 (a remark)"],
        ["With g = dL/dy:", "dL/dx = (2 u + 1) g"],
    )


# ---- how it looks ----------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Reads a page and notes unbalanced tags, anchors, links and text."""

    VOID = frozenset({"meta", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.attributes, self.text = [], [], [], set(), []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.attributes |= {name for name, _ in attributes}
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check_page(html):
    """Asserts that a page is whole, needs nothing else, and runs nothing."""
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not any(name.startswith("on") for name in page.attributes)
    assert not re.search(r"https?:|//\w|url\(|@import|<script|<link|<iframe|<img", html)
    return page


def test_the_page_is_one_whole_file(tmp_path):
    view = xray(mlp(), *batch())
    path = view.to_html(tmp_path / "xray.html")
    assert path == tmp_path / "xray.html"
    html = path.read_text(encoding="utf-8")
    page = check_page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert view._repr_html_() in html
    text = " ".join(page.text)
    for expected in ("Dense(6, 8)", "y = x W^T + b", "dL/dx = g W", "(32, 6)", f"{view.num_parameters:,}"):
        assert expected in text
    assert number(view["2"].output_grad.std) in text
    assert "prefers-color-scheme: dark" in html


def test_the_page_of_flags_links_to_the_layers():
    view = xray(Sequential(Dense(6, 6), Scale(0.0)), batch()[0])
    page = check_page(view._repr_html_())
    assert "#layer-0" in page.links
    assert "no gradient" in page.text


def test_names_and_formulas_are_escaped():
    class Evil(Module):
        """Tries.

        y = x <script>alert("formula")</script> & more,   dL/dx = <b>g</b>
        """

        def __init__(self):
            self.register_parameter('"><i>', Parameter(torch.ones(1)))

        def forward(self, x):
            return x

        def backward(self, grad):
            return grad

        def extra_repr(self):
            return '<img src="x" onerror="alert(1)">'

    model = Sequential(Dense(6, 6))
    setattr(model, '1"><u onclick="x', Evil())
    html = xray(model, batch()[0])._repr_html_()
    page = check_page(html)
    text = "".join(page.text)
    assert 'y = x <script>alert("formula")</script> & more' in text
    assert '<img src="x" onerror="alert(1)">' in text
    assert '"><i>' in text


def test_the_tables_read_forward_then_backward():
    model = Sequential(Dense(6, 8), Sigmoid(), Dense(8, 3))
    text = str(xray(model, *batch()))
    forward, backward = text.index("Forward"), text.index("Backward")
    places = [m.start() for m in re.finditer(r"\(1\) Sigmoid\(\)", text)]
    assert forward < text.index("(0) Dense(6, 8)") < places[0] < text.index("(2) Dense(8, 3)") < backward
    assert (
        backward
        < text.index("(2) Dense(8, 3)", backward)
        < places[1]
        < text.index("(0) Dense(6, 8)", backward)
    )
    assert "y = 1 / (1 + exp(-x))" in text
    assert "(loss)" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.5, "0.500"),
        (-1.2345, "-1.23"),
        (123.4, "123"),
        (999.6, "1,000"),
        (12345.6, "12,346"),
        (1e7, "1.0e7"),
        (0.00012345, "1.2e-4"),
        (math.nan, "–"),
        (-math.inf, "-inf"),
        (None, ""),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (12_345, "12.3 k"), (123_456, "123 k"), (5e15, "5,000 T")],
)
def test_amounts_are_short(count, text):
    assert amount(count) == text


# ---- observe ---------------------------------------------------------------------------------------------


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


def test_activations_of_ones_own_are_searched_for_dead_units():
    class Step(Activation):
        def forward(self, x):
            return (x > 0).to(x.dtype)

        def backward(self, grad):
            return torch.zeros_like(grad)

    view = xray(Step(), -torch.ones(8, 2))
    assert (view.root.units, view.root.dead, view.root.flags) == (2, 2, ["dead units"])


class Named(Module):
    """A layer whose child, and whose label, have a name of one's choice."""

    def __init__(self, name):
        self.name = name
        setattr(self, name, Dense(2, 2))

    def forward(self, x):
        return getattr(self, self.name)(x)

    def backward(self, grad):
        return getattr(self, self.name).backward(grad)

    def extra_repr(self):
        return self.name


@pytest.mark.parametrize("name", ["[/]", "[/b]", "[red]", "[bold", "$x", "<b>"])
def test_names_are_shown_as_they_are(name):
    """Whatever a name looks like to those who lay out text."""
    model, x = Sequential(Dense(3, 2), Named(name)), torch.randn(4, 3)
    report = check_gradients(model, x, max_entries=1)
    shown = [str(xray(model, x)), str(summary(model, (4, 3))), str(report)]
    assert report.ok
    assert all(name in text for text in shown)
    assert f"1.{name}.weight" in shown[0]
    assert f"({name})" in str(check_gradients(model[1], torch.randn(4, 2), max_entries=1)).splitlines()[0]
