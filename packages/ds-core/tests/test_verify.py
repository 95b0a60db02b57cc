"""The referees themselves: they pass what is right, catch what is wrong, and name the culprit."""

import copy
import math

import pytest
import torch
from ds_core import BatchNorm1d, Dense, Dropout, Module, MSELoss, Parameter, Residual, Sequential, engine
from ds_core.kernels.matmul import use_table
from ds_core.optimizers import SGD
from ds_core.schedulers import StepLR
from ds_core.verify import (
    ALLOWED,
    Case,
    OptimizerCase,
    SchedulerCase,
    check_gradients,
    load_cases,
    record_operations,
)
from ds_core.verify.__main__ import main
from ds_core.verify.comparison import hint, relative_error
from ds_core.verify.runner import run, without_case


class Affine(Module):
    """y = weight * x + bias, number by number; the right one, from which the wrong ones differ by a line."""

    def __init__(self):
        self.weight = Parameter(torch.tensor([0.5, -1.0, 2.0]))
        self.bias = Parameter(torch.tensor([0.1, 0.2, 0.3]))

    def forward(self, x):
        self.save(x)
        return self.weight * x + self.bias

    def backward(self, grad):
        (x,) = self.saved()
        self.add_grad("weight", lambda: (grad * x).sum(0))
        self.add_grad("bias", lambda: grad.sum(0))
        return self.weight * grad


X = torch.tensor([[1.0, 2.0, -1.0], [0.5, -3.0, 4.0]])


def test_a_readers_own_layer_passes():
    report = check_gradients(Affine(), X)
    assert report.ok
    assert [(row.name, row.shape) for row in report.rows] == [
        ("output", (2, 3)),
        ("x", (2, 3)),
        ("weight", (3,)),
        ("bias", (3,)),
    ]
    assert [row.entries for row in report.rows] == [0, 6, 3, 3]
    text = str(report)
    assert "Affine()" in text
    assert "weight" in text
    assert "Every gradient is right" in text
    assert "\x1b" not in text  # plain where there is no terminal


def wrong(**methods):
    return type("Wrong", (Affine,), methods)()


def wrong_sign(self, grad):
    return -Affine.backward(self, grad)


def wrong_factor(self, grad):
    (x,) = self.saved()
    self.add_grad("weight", lambda: (grad * x).mean(0))
    self.add_grad("bias", lambda: grad.sum(0))
    return self.weight * grad


def missing_term(self, grad):
    (x,) = self.saved()
    self.add_grad("weight", lambda: grad[0] * x[0])
    self.add_grad("bias", lambda: grad.sum(0))
    return self.weight * grad


def forgotten_bias(self, grad):
    (x,) = self.saved()
    self.add_grad("weight", lambda: (grad * x).sum(0))
    return self.weight * grad


def forgotten_input(self, grad):
    Affine.backward(self, grad)


def not_a_number(self, grad):
    return (Affine.backward(self, grad) - math.inf) * 0


def wrong_shape(self, grad):
    return Affine.backward(self, grad).sum(0)


def wrong_type(self, grad):
    return Affine.backward(self, grad).float()


def saves_twice(self, x):
    self.save(x)
    return Affine.forward(self, x)


def keeps_in_an_attribute(self, x):
    self.kept = x
    return Affine.forward(self, x)


def takes_from_the_attribute(self, grad):
    self.saved()
    self.add_grad("weight", lambda: (grad * self.kept).sum(0))
    self.add_grad("bias", lambda: grad.sum(0))
    return self.weight * grad


def keeps_the_first(self, x):
    self.kept = getattr(self, "kept", x)
    return Affine.forward(self, x)


def overwrites_gradients(self, grad):
    (x,) = self.saved()
    if self.weight.requires_grad:
        self.weight.grad = (grad * x).sum(0)
    self.add_grad("bias", lambda: grad.sum(0))
    return self.weight * grad


def reuses_its_memory(self, grad):
    (x,) = self.saved()
    self.memory = getattr(self, "memory", torch.zeros(3, dtype=grad.dtype))
    self.add_grad("weight", lambda: self.memory.copy_((grad * x).sum(0)))
    self.add_grad("bias", lambda: grad.sum(0))
    return self.weight * grad


def writes_over_the_gradient(self, grad):
    (x,) = self.saved()
    self.add_grad("weight", lambda: (grad * x).sum(0))
    self.add_grad("bias", lambda: grad.sum(0))
    return grad.mul_(self.weight)


def ignores_freezing(self, grad):
    (x,) = self.saved()
    self.weight.grad = (grad * x).sum(0) + (0 if self.weight.grad is None else self.weight.grad)
    self.add_grad("bias", lambda: grad.sum(0))
    return self.weight * grad


def needs_the_input_gradient(self, grad):
    grad_x = Affine.backward(self, grad) if self.input_grad else None
    return grad_x * 1


def other_forward_without_tape(self, x):
    y = Affine.forward(self, x)
    return y if torch.is_grad_enabled() else y + 1e-3


def writes_over_its_input(self, x):
    y = Affine.forward(self, x.clone())
    return y if torch.is_grad_enabled() else x.copy_(y)


@pytest.mark.parametrize(
    ("module", "culprit", "says"),
    [
        (wrong(backward=wrong_sign), "x", "sign"),
        (wrong(backward=wrong_factor), "weight", "0.5 times"),
        (wrong(backward=missing_term), "weight", "torch's autograd says"),
        (wrong(backward=forgotten_bias), "bias", "no gradient"),
        (wrong(backward=forgotten_input), "x", "no gradient"),
        (wrong(backward=not_a_number), "x", "nan"),
        (wrong(backward=wrong_shape), "x", "shape (3,), expected torch.float64 of shape (2, 3)"),
        (wrong(backward=wrong_type), "x", "float32"),
        (wrong(forward=saves_twice), "backward", "saved more than backward took: 1 left in Wrong()"),
        (wrong(forward=keeps_in_an_attribute, backward=takes_from_the_attribute), "weight", "called twice"),
        (
            wrong(forward=keeps_the_first, backward=takes_from_the_attribute),
            "weight",
            "called again with other",
        ),
        (wrong(backward=overwrites_gradients), "weight", "called twice"),
        (wrong(backward=reuses_its_memory), "weight", "called twice"),
        (wrong(backward=writes_over_the_gradient), "the gradient from above", "wrote over it"),
        (wrong(backward=ignores_freezing), "weight", "frozen: it has a gradient"),
        (wrong(backward=needs_the_input_gradient), "backward", "unwanted: TypeError"),
        (wrong(forward=other_forward_without_tape), "output", "both engines"),
        (wrong(forward=writes_over_its_input), "the input x", "wrote over it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_layer_is_caught_and_its_culprit_named(module, culprit, says):
    report = check_gradients(module, X)
    assert not report.ok
    found = dict(reversed(report.problems))
    assert culprit in found
    assert says in found[culprit]
    assert f"✗ {culprit}" in str(report)


def test_an_aliased_gradient_is_caught():
    class Shift(Module):
        def __init__(self):
            self.bias = Parameter(torch.zeros(2, 3))

        def forward(self, x):
            return x + self.bias

        def backward(self, grad):
            self.add_grad("bias", lambda: grad)  # the very tensor that is returned and was given
            return grad

    report = check_gradients(Shift(), X)
    assert [name for name, _ in report.problems] == ["x", "the gradient from above"]


def test_finite_differences_judge_where_the_tape_shares_the_mistake():
    class Detached(Module):
        def forward(self, x):
            self.save(x)
            return x * x.detach()

        def backward(self, grad):
            (x,) = self.saved()
            return x * grad  # the tape says so, too: but the derivative of x^2 is 2 x

    report = check_gradients(Detached(), X)
    _, row = report.rows
    assert row.tape == 0
    assert row.differences == pytest.approx(0.5)
    assert "0.5 times" in dict(report.problems)["x"]


def test_a_report_is_text_in_a_notebook_too(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert "finite differences" in str(check_gradients(Dense(3, 2), torch.randn(4, 3)))


def test_a_loss_must_pass_on_the_gradient_from_above():
    class Deaf(MSELoss):
        def backward(self, grad=1.0):
            return super().backward(1.0)

    assert check_gradients(MSELoss(), X, X + 1).ok
    assert check_gradients(MSELoss("none"), X, X + 1).ok
    ((name, what),) = check_gradients(Deaf(), X, X + 1).problems
    assert name == "input"
    assert "with 3.0 as the gradient from above" in what


def test_the_module_stays_as_it_was():
    module = Sequential(Dense(3, 4), Affine4())
    with engine("manual"):
        module.backward(torch.ones_like(module(X)))
    with torch.no_grad():
        module(X)  # saved, and no backward took it yet
    before, chance = copy.deepcopy(module), torch.get_rng_state()
    assert check_gradients(module, X).ok
    assert torch.equal(torch.get_rng_state(), chance)
    assert [len(m._stack) for m in module.modules()] == [len(m._stack) for m in before.modules()]
    for p, q in zip(module.parameters(), before.parameters(), strict=True):
        assert p.dtype == torch.float32
        assert torch.equal(p, q)
        assert torch.equal(p.grad, q.grad)


class Affine4(Affine):
    def __init__(self):
        self.weight = Parameter(torch.tensor([0.5, -1.0, 2.0, 1.5]))
        self.bias = Parameter(torch.zeros(4))


class Noise(Module):
    """Multiplies by random numbers, from its own generator or the global one, and counts its calls."""

    def __init__(self, generator=None):
        self.generator = generator
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        noise = torch.rand(x.shape, generator=self.generator, dtype=x.dtype) * self.calls
        self.save(noise)
        return x * noise

    def backward(self, grad):
        (noise,) = self.saved()
        return grad * noise


@pytest.mark.parametrize("own", [True, False])
def test_chance_and_buffers_start_again_for_every_evaluation(own):
    module = Noise(torch.Generator().manual_seed(1) if own else None)
    assert check_gradients(module, X).ok
    assert module.calls == 0
    if own:
        expected = torch.rand(3, generator=torch.Generator().manual_seed(1))
        assert torch.equal(torch.rand(3, generator=module.generator), expected)


class Swap(Module):
    """(a, (b, c)) -> (c * b, (a * b, a.argmax())): nested inputs and outputs, one without gradient."""

    def forward(self, a, others):
        b, c = others
        self.save(a, b, c)
        return c * b, (a * b, a.argmax())

    def backward(self, grad, others):
        a, b, c = self.saved()
        grad_ab, _ = others
        return grad_ab * b, (grad * c + grad_ab * a, grad * b)


def test_nested_inputs_and_outputs():
    report = check_gradients(Swap(), X, (X.cos(), X.sin()))
    assert report.ok
    names = ["output 0", "output 1", "output 2", "a", "others[0]", "others[1]"]
    assert [row.name for row in report.rows] == names


def test_tied_frozen_and_integer():
    class Tied(Module):
        def __init__(self):
            self.first, self.second = Dense(3, 3, bias=False), Dense(3, 3, bias=False)
            self.second.weight = self.first.weight
            self.idle = Parameter(torch.ones(3), requires_grad=False)

        def forward(self, x, place):
            self.save(place)
            return self.second(self.first(x))[place]

        def backward(self, grad):
            (place,) = self.saved()
            whole = grad.new_zeros(2, 3).index_add_(0, place, grad)
            return self.first.backward(self.second.backward(whole)), None

    report = check_gradients(Tied(), X, torch.tensor([1, 1, 0]))
    assert report.ok
    assert [row.name for row in report.rows] == ["output", "x", "first.weight"]


def test_empty_batch_and_large_tensors():
    assert check_gradients(Residual(Dense(3, 3)), torch.empty(0, 3)).ok
    assert check_gradients(MSELoss(), torch.empty(0, 3), torch.empty(0, 3)).ok  # NaN: the mean of nothing
    report = check_gradients(Dense(30, 20), torch.randn(2, 30), max_entries=7)
    assert report.ok
    first = [row for row in report.rows if "second" not in row.name]
    assert [row.entries for row in first] == [0, 7, 7, 7]
    assert {row.entries for row in report.rows} == {0, 7}


def test_float32_and_bad_arguments():
    report = check_gradients(Dense(3, 2), X, dtype=torch.float32)
    assert report.ok
    assert all(row.differences is None for row in report.rows)
    with pytest.raises(ValueError, match="expected dtype"):
        check_gradients(Dense(3, 2), X, dtype=torch.float16)
    with pytest.raises(RuntimeError, match="eval mode"):
        check_gradients(Dense(3, 2).eval(), X)
    for module in (torch.nn.Linear(3, 2), Dense):
        with pytest.raises(TypeError, match="check_gradients: expected a Module, got"):
            check_gradients(module, X)
    for options in ({"eps": 0.0}, {"eps": math.nan}, {"looser": -1.0}, {"max_entries": -1}):
        with pytest.raises(ValueError, match=f"check_gradients: expected .*{next(iter(options))}"):
            check_gradients(Dense(3, 2), X, **options)
    with pytest.raises(TypeError, match="expected max_entries to be a whole number, got None"):
        check_gradients(Dense(3, 2), X, max_entries=None)

    class Nothing(Module):
        def forward(self, x):
            return {"y": x}

    with pytest.raises(TypeError, match="expected a tensor or a tuple of tensors as output, got dict"):
        check_gradients(Nothing(), X)


# ---- operations --------------------------------------------------------------------------------------


def test_operations_are_those_really_executed():
    def step(x):
        with engine("manual"):
            layer.backward(layer(x))

    layer = Dense(3, 3)
    with use_table("torch"):
        operations = record_operations(step, X)
    assert operations.counts["aten.addmm"] == 1
    assert operations.counts["aten.mm"] == 2
    assert operations.outside() == []
    assert operations.outside({"aten.mm"}) == sorted(set(operations.counts) - {"aten.mm"})
    assert "matrix product" in str(operations)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: torch.softmax(x, -1), "aten._softmax"),
        (lambda x: x.softmax(-1), "aten._softmax"),
        (torch.nn.ReLU(inplace=True), "aten.relu_"),
        (torch.nn.functional.gelu, "aten.gelu"),
        (lambda x: x.sigmoid_(), "aten.sigmoid_"),
        (lambda x: x.var(0), "aten.var"),
        (lambda x: torch.linalg.solve(x[:, :2], x), "aten._linalg_solve_ex"),
        (torch.nn.LayerNorm(3), "aten.native_layer_norm"),
        (torch.nn.Dropout(), "aten.bernoulli_"),
        (lambda x: torch.nn.functional.mse_loss(x, x), "aten.mse_loss"),
        (lambda x: torch.nn.functional.conv1d(x.T, x[:, :, None]), "aten.convolution"),
        (lambda x: torch.nn.functional.embedding(x.argmin(1), x.T), "aten.embedding"),
        (torch.logsumexp, "aten.logsumexp"),
        (torch.fft.fft, "aten._fft_r2c"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_named_operations_are_outside_the_list(function, name):
    arguments = (0,) if function is torch.logsumexp else ()
    operations = record_operations(function, X.clone().requires_grad_(False), *arguments)
    assert name in operations.outside()
    assert "✗ not on the list" in str(operations)


def test_every_entry_of_the_list_has_a_reason_and_is_an_operation():
    for name, reason in ALLOWED.items():
        assert reason
        namespace, _, operation = name.partition(".")
        assert hasattr(getattr(torch.ops, namespace), operation), name


def test_a_product_with_an_activation_in_it_is_outside_the_list():
    x = X.detach()

    def by_onednn():
        torch.ops.mkldnn._linear_pointwise(x, x, None, "gelu", [], "tanh")

    def by_mkl():
        torch._addmm_activation(x[:, 0], x, x.T, use_gelu=True)

    for product, name in [(by_onednn, "mkldnn._linear_pointwise"), (by_mkl, "aten._addmm_activation")]:
        fused = record_operations(product)
        assert name in fused.outside()
        assert "✗ not on the list" in str(fused)


# ---- comparison --------------------------------------------------------------------------------------


def test_relative_error():
    reference = torch.tensor([0.0, -4.0, 2.0])
    assert relative_error(reference + 1, reference) == 0.25
    assert relative_error(reference, reference) == 0
    noise, zero = torch.full((2,), 1e-5), torch.zeros(2)
    assert relative_error(noise, zero) == pytest.approx(1e-4)  # beside 10 % of 1
    assert relative_error(noise, zero, scale=100.0) == pytest.approx(1e-6)
    assert relative_error(noise.double(), zero.double()) == pytest.approx(1e-2)  # beside 0.1 % of 1
    assert relative_error(reference[:2], reference) == math.inf
    assert relative_error(torch.tensor([math.nan]), torch.tensor([math.nan])) == math.inf
    assert relative_error(torch.tensor([math.nan]), torch.tensor([math.nan]), equal_nan=True) == 0
    assert relative_error(torch.tensor([1.0]), torch.tensor([math.nan]), equal_nan=True) == math.inf
    assert relative_error(torch.tensor([math.inf, 1.0]), torch.tensor([math.inf, 1.0])) == 0
    assert relative_error(torch.tensor([math.inf]), torch.tensor([-math.inf])) == math.inf
    assert relative_error(torch.empty(0), torch.empty(0)) == 0


def test_hint():
    reference = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    assert hint(-reference, reference) == "the sign is wrong"
    assert hint(reference / 8, reference) == "it is 0.125 times what it should be"
    assert hint(reference.T, reference) == "it is transposed"
    assert hint(reference * 0, reference) == "it is all zeros"
    assert hint(reference + 1, reference) == "all its numbers are too large by 1"
    assert hint(reference.square() + reference, reference) == ""
    assert hint(reference, reference * math.nan) == ""


def test_a_hint_knows_how_many_there_are():
    reference = torch.tensor([[1.0, 2.0, 5.0], [3.0, -4.0, 7.0]])
    said = "it is 4 times what it should be: is the mean over 4 missing?"
    assert hint(reference * 4, reference, {2, 3, 4}) == said
    said = "it is 0.25 times what it should be: is it divided by 4 once too often?"
    assert hint(reference / 4, reference, {2, 3, 4}) == said
    assert hint(reference / 8, reference, {2, 3, 4}) == "it is 0.125 times what it should be"


def test_a_hint_names_cases_orders_and_scales():
    reference = torch.tensor([[1.0, 2.0, 5.0], [3.0, -4.0, 7.0]])
    forgotten = torch.where(reference > 4, 0, reference)
    assert hint(forgotten, reference) == "2 of 6 numbers are 0 and should not be: is a case forgotten?"
    assert hint(reference, forgotten) == "2 of 6 numbers should be 0: is a mask or a case forgotten?"
    assert hint(reference.flip(1), reference) == "it runs backwards along dimension 1"
    scaled = reference * torch.tensor([1.5, 0.5, 3.0])
    assert "each entry of dimension 1 is off by a factor of its own" in hint(scaled, reference)
    other = torch.where(reference == 7, 8, reference)
    assert hint(other, reference) == "1 of 6 numbers are wrong, the others right"
    assert hint(reference * torch.nan, reference) == "it holds NaN or infinite numbers"


# ---- cases -------------------------------------------------------------------------------------------


def batch(g):
    return (torch.randn(4, 3, generator=g),)


RIGHT = Case("Dense(3, 2)", make=lambda: Dense(3, 2), inputs=batch, namesake=lambda: torch.nn.Linear(3, 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_case_passes(dtype):
    result = run(RIGHT, dtype)
    assert result.ok
    assert result.tape is not None
    assert result.namesake is not None
    assert (result.differences is None) == (dtype == torch.float32)
    assert result.operations.counts["aten.addmm"] > 0


def test_a_case_without_namesake_needs_a_reason():
    with pytest.raises(ValueError, match="say in no_namesake why"):
        Case("Affine", make=Affine, inputs=batch)
    with pytest.raises(ValueError, match="say in why"):
        Case("Affine", make=Affine, inputs=batch, no_namesake="it is ours", looser=10.0)
    assert run(Case("Affine", make=Affine, inputs=batch, no_namesake="it is ours")).namesake is None


def test_a_plain_function_serves_as_reference():
    def formula(module, x):
        return module.weight * x + module.bias

    case = Case("Affine", make=Affine, inputs=batch, no_namesake="it is ours", reference=formula)
    assert run(case).namesake == pytest.approx(0, abs=1e-15)
    case = Case(
        "Affine", make=Affine, inputs=batch, no_namesake="it is ours", reference=lambda m, x: m.weight * x
    )
    numbers = "not the namesake's: other numbers"
    assert run(case).problems == [f"output: {numbers}", f"bias: {numbers}"]


def test_weights_and_gradients_are_carried_under_other_names():
    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = torch.nn.Parameter(torch.zeros(3, 2))  # (in, out), as some have it

        def forward(self, x):
            return x @ self.kernel

    def carry(state):
        return {"kernel": state["weight"].T}

    case = Case("Dense", make=lambda: Dense(3, 2, bias=False), inputs=batch, namesake=Theirs, carry=carry)
    assert run(case).problems == []


class Softmaxed(Module):
    """Has the right gradient, but by a named operation."""

    def forward(self, x):
        y = torch.softmax(x, -1)
        self.save(y)
        return y

    def backward(self, grad):
        (y,) = self.saved()
        return y * (grad - (grad * y).sum(-1, keepdim=True))


class Momentless(SGD):
    """Forgets the momentum."""

    def update(self, parameter, grad, state, group):
        return parameter - group["lr"] * grad, state


WRONG = [
    (
        Case("named", make=Softmaxed, inputs=batch, namesake=lambda: torch.nn.Softmax(-1)),
        "executes aten._softmax",
    ),
    (
        Case("gradient", make=lambda: wrong(backward=wrong_sign), inputs=batch, no_namesake="wrong"),
        "x: at ",
    ),
    (
        Case("shape", make=lambda: Dense(3, 2), inputs=batch, namesake=lambda: torch.nn.Linear(3, 4)),
        "RuntimeError: Error(s) in loading state_dict",
    ),
    (
        Case("crash", make=lambda: Dense(4, 2), inputs=batch, namesake=lambda: torch.nn.Linear(4, 2)),
        "ValueError: Dense(4, 2): expected last dimension 4",
    ),
    (
        OptimizerCase(
            "optimizer",
            make=lambda params: Momentless(params, lr=0.01, momentum=0.9),
            namesake=lambda params: torch.optim.SGD(params, lr=0.01, momentum=0.9),
        ),
        "parameter 0, step 2",
    ),
    (
        SchedulerCase(
            "schedule",
            make=lambda params: StepLR(SGD(params, lr=0.1), 7),
            namesake=lambda params: torch.optim.lr_scheduler.StepLR(torch.optim.SGD(params, lr=0.1), 8),
        ),
        "lr",
    ),
]


@pytest.mark.parametrize(("case", "says"), WRONG, ids=[case.name for case, _ in WRONG])
def test_a_wrong_case_is_caught(case, says):
    result = run(case)
    assert not result.ok
    assert says in result.problems[0]


def test_a_part_in_eval_mode_stays_so():
    model = Sequential(Dense(3, 4), BatchNorm1d(4), Dropout(0.5))
    model[1].running_mean.fill_(5.0)
    for part in model[1:]:
        part.eval()
    report = check_gradients(model, X)
    assert report.ok, report
    with pytest.raises(RuntimeError, match="in eval mode"):
        check_gradients(model.eval(), X)


def test_eval_mode_compares_the_output():
    case = Case("eval", make=lambda: Dense(3, 2).eval(), inputs=batch, namesake=lambda: torch.nn.Linear(3, 2))
    result = run(case)
    assert result.ok
    assert (result.tape, result.differences) == (0, None)
    assert result.namesake is not None
    sly = wrong(forward=other_forward_without_tape).eval()
    case = Case("eval", make=lambda: sly, inputs=batch, no_namesake="wrong")
    assert run(case).problems == ["output: not the same under both engines"]


def test_what_is_public_must_be_in_a_case():
    missing = without_case("ds_core", [RIGHT])
    assert "ds_core.Dense" not in missing
    assert "ds_core.Linear" not in missing  # another name for the same
    assert "ds_core.MSELoss" in missing
    assert not {"ds_core.Module", "ds_core.Loss", "ds_core.Activation", "ds_core.ModuleList"} & set(missing)
    inside = Case(
        "s", make=lambda: Sequential(Residual(Dense(3, 3))), inputs=batch, no_namesake="a container"
    )
    assert {"ds_core.Sequential", "ds_core.Residual"} <= set(missing) - set(without_case("ds_core", [inside]))


CASE_FILE = """
import torch
from ds_core import Dense
from ds_core.verify import Case

CASES = [
    Case(
        "Dense",
        make=lambda: Dense(3, 2),
        inputs=lambda g: (torch.randn(4, 3, generator=g),),
        namesake=lambda: torch.nn.Linear(3, 2),
    )
]
"""


@pytest.fixture
def case_file(tmp_path):
    file = tmp_path / "dense.py"
    file.write_text(CASE_FILE)
    return file


def test_loading_cases(case_file):
    assert [case.name for case in load_cases(case_file)] == ["Dense"]
    assert [case.name for case in load_cases(case_file.parent)] == ["Dense"]
    with pytest.raises(FileNotFoundError, match="no such file or folder: nowhere"):
        load_cases("nowhere")
    (case_file.parent / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no case files"):
        load_cases(case_file.parent / "empty")
    case_file.write_text("CASES = [1]")
    with pytest.raises(ValueError, match="expected a list CASES of Case"):
        load_cases(case_file)


def test_command_line(case_file, capsys):
    assert main([str(case_file)]) == 0
    out = capsys.readouterr().out
    assert "Dense" in out
    assert "1 of 1 cases pass" in out
    assert main([str(case_file.parent / "*.py"), "--dtype", "float32"]) == 0
    case_file.write_text(CASE_FILE.replace("Linear(3, 2)", "Linear(3, 2, bias=False)"))
    assert main([str(case_file)]) == 1
    assert "0 of 1 cases pass" in capsys.readouterr().out


def test_command_line_asks_for_every_public_class_of_a_whole_package(case_file, tmp_path, capsys):
    folder = tmp_path / "ds-core" / "tests" / "cases"
    folder.mkdir(parents=True)
    case_file.rename(folder / "dense.py")
    assert main([str(folder)]) == 1
    out = capsys.readouterr().out
    assert "1 of 1 cases pass" in out
    assert "ds_core.ReLU is public, but in no case" in out
    assert "ds_core.Dense is public" not in out
    assert main([str(folder / "dense.py")]) == 0
    assert main([str(folder), "--match", "dense"]) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["nowhere"], "no such file or folder: nowhere"), (["FILE", "--match", "xyz"], "no case has 'xyz'")],
)
def test_command_line_says_what_is_wrong(arguments, says, case_file, capsys):
    with pytest.raises(SystemExit) as stop:
        main([str(case_file) if argument == "FILE" else argument for argument in arguments])
    assert stop.value.code == 2
    assert says in capsys.readouterr().err
