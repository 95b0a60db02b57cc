from __future__ import annotations

from copy import deepcopy
from inspect import signature
from pathlib import Path

import pytest
import torch
from ds_core import optimizers
from ds_core.activations import ReLU
from ds_core.containers import Sequential
from ds_core.engines import engine
from ds_core.functional.muon import orthogonalize
from ds_core.layers import Dense
from ds_core.losses import MSELoss
from ds_core.module import Parameter
from ds_core.optimizers import (
    OPTIMIZERS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    Muon,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
)
from ds_core.schedulers import StepLR
from ds_core.verify import load_cases

CASES = load_cases(Path(__file__).parent / "cases" / "optimizers.py")
SHAPES = [(4, 3), (2, 5), (3,), (5,), (), (2,)]

# Options under which every kind of state there is gets kept.
WITH_STATE = {
    "SGD": {"momentum": 0.9, "lr": 0.01},
    "Adagrad": {},
    "Adadelta": {},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "NAdam": {},
    "RAdam": {},
    "Muon": {},
}


def parameters(dtype=torch.float64, matrices_only=False):
    g = torch.Generator().manual_seed(0)
    shapes = [s for s in SHAPES if len(s) == 2 or not matrices_only]
    return [Parameter(torch.randn(s, generator=g, dtype=torch.float64).to(dtype)) for s in shapes]


def copies(params):
    return [Parameter(p.detach().clone()) for p in params]


def descend(optimizer, params, steps, seed=1):
    """Steps along random gradients; the last parameter never gets one."""
    g = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in params[:-1]:
            p.grad = torch.randn(p.shape, generator=g, dtype=torch.float64).to(p.dtype)
        optimizer.step()


def largest_difference(ours, theirs):
    return max(((a - b).abs() / b.abs().clamp(min=1)).max().item() for a, b in zip(ours, theirs, strict=True))


# ---- the same numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=str)
def test_hundred_updates_equal_the_namesakes(case, dtype, limit):
    ours = parameters(dtype)
    theirs = copies(ours)
    start = copies(ours)
    descend(case.make(ours), ours, steps=100)
    descend(case.namesake(theirs), theirs, steps=100)
    assert largest_difference(ours, theirs) <= limit
    assert largest_difference(ours[:2], start[:2]) > 1e-4  # it has moved
    assert torch.equal(ours[-1], start[-1])  # and what has no gradient has not


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@pytest.mark.parametrize("name_of_engine", ["manual", "autograd"])
def test_fits_a_small_problem_under_both_engines(name, name_of_engine):
    rates = {"sgd": 0.3, "adadelta": 1.0, "adagrad": 0.1, "rmsprop": 0.003, "lion": 0.003, "muon": 0.01}
    for seed in range(3):
        g = torch.Generator().manual_seed(seed)
        x = torch.randn(64, 3, generator=g)
        y = torch.sin(x @ torch.randn(3, 2, generator=g))
        model = Sequential(Dense(3, 32, generator=g), ReLU(), Dense(32, 2, generator=g))
        loss = MSELoss()
        params = [p for p in model.parameters() if p.dim() == 2 or name != "muon"]
        optimizer = OPTIMIZERS[name](params, lr=rates.get(name, 0.01))
        losses = []
        for _ in range(300):
            optimizer.zero_grad()
            with engine(name_of_engine):
                value = loss(model(x), y)
                if name_of_engine == "manual":
                    model.backward(loss.backward())
                else:
                    value.backward()
            optimizer.step()
            losses.append(value.item())
        assert losses[-1] < 0.2 * losses[0]


def test_a_constant_gradient_does_not_make_the_centred_rmsprop_nan():
    p = Parameter(torch.ones(1000))
    optimizer = RMSprop([p], lr=1e-3, alpha=0.5, centered=True)
    for _ in range(200):
        p.grad = torch.linspace(0.1, 3, 1000)
        optimizer.step()
        assert p.isfinite().all()


@pytest.mark.parametrize("shape", [(8, 8), (16, 40), (40, 16), (1, 7), (7, 1)])
def test_orthogonalize_brings_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalize(matrix, steps=7).float()
    singular = torch.linalg.svdvals(result)
    assert singular.min() > 0.6
    assert singular.max() < 1.25
    # The singular vectors stay: in their basis the result is diagonal.
    inner = u.T @ result @ v.T
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 0.05


def test_orthogonalize_does_the_same_in_float32():
    matrix = torch.randn(24, 40, generator=torch.Generator().manual_seed(0))
    exact = orthogonalize(matrix.double(), precision="float64")
    found = orthogonalize(matrix, precision="float32")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5)
    torch.testing.assert_close(orthogonalize(matrix).double(), exact, rtol=0, atol=0.03)


def test_orthogonalize_of_zero_is_zero():
    assert torch.equal(orthogonalize(torch.zeros(3, 2)), torch.zeros(3, 2, dtype=torch.bfloat16))


# ---- what steps share --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_gradients_are_left_alone(name, decay):
    params = parameters(matrices_only=name == "muon")
    optimizer = OPTIMIZERS[name](params, weight_decay=decay)
    for p in params:
        p.grad = torch.randn_like(p)
    before = [p.grad.clone() for p in params]
    optimizer.step()
    optimizer.step()
    assert all(torch.equal(p.grad, g) for p, g in zip(params, before, strict=True))
    assert all(p.requires_grad and p.is_leaf for p in params)


def test_parameters_without_gradient_keep_value_and_have_no_state():
    a, b = parameters()[:2]
    optimizer = Adam([a, b], weight_decay=0.1)
    a.grad = torch.ones_like(a)
    before = b.detach().clone()
    optimizer.step()
    assert torch.equal(b, before)
    assert list(optimizer.state) == [a]


def test_coupled_decay_is_divided_by_the_gradient_size_and_decoupled_is_not():
    """With a gradient of 1 and of 100, Adam's coupled decay differs, AdamW's does not."""
    shrunk = {}
    for kind in (Adam, AdamW):
        p = Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
        q = Parameter(p.detach().clone())
        for parameter, decay in ((p, 0.5), (q, 0.0)):
            optimizer = kind([parameter], lr=0.01, weight_decay=decay)
            for sign in (1, -1) * 20:
                parameter.grad = torch.tensor([1.0, 100.0], dtype=torch.float64) * sign
                optimizer.step()
        shrunk[kind] = q - p  # what the decay alone has done
    small, large = shrunk[Adam].tolist()
    assert small > 20 * large > 0
    assert shrunk[AdamW][0].item() == pytest.approx(shrunk[AdamW][1].item(), rel=0.05)


def test_zero_grad():
    p = parameters()[0]
    optimizer = SGD([p])
    p.grad = torch.ones_like(p)
    held = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert torch.equal(p.grad, torch.zeros_like(p))
    assert torch.equal(held, torch.zeros_like(p))  # filled where it is: whoever holds it sees it
    optimizer.zero_grad()
    assert p.grad is None


def test_closure_is_called_and_its_loss_returned():
    p = Parameter(torch.tensor(3.0))
    optimizer = SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = p * p
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert p.item() == 0.0
    assert optimizer.step() is None


# ---- parameter groups --------------------------------------------------------------------------------


def test_parameters_as_tensors_pairs_groups_and_generators():
    a, b, c = parameters()[:3]
    assert SGD(p for p in (a, b)).param_groups[0]["params"] == [a, b]
    named = SGD([("a", a), ("b", b)])
    assert named.param_groups[0]["param_names"] == ["a", "b"]
    assert named.param_groups[0]["params"] == [a, b]
    grouped = SGD([{"params": a}, {"params": [b, c], "lr": 5.0}], lr=0.1)
    assert [group["lr"] for group in grouped.param_groups] == [0.1, 5.0]
    assert grouped.param_groups[0]["params"] == [a]
    named_groups = SGD([{"params": [("a", a)]}, {"params": [("b", b)]}])
    assert [group["param_names"] for group in named_groups.param_groups] == [["a"], ["b"]]


def test_add_param_group_takes_defaults_and_trains():
    a, b = parameters()[:2]
    optimizer = SGD([a], lr=1.0, momentum=0.5)
    optimizer.add_param_group({"params": b, "lr": 2.0})
    assert optimizer.param_groups[1]["momentum"] == 0.5
    before = b.detach().clone()
    b.grad = torch.ones_like(b)
    optimizer.step()
    assert torch.equal(b, before - 2.0)


def test_wrong_parameters_are_named():
    a, b = parameters()[:2]
    with pytest.raises(ValueError, match="SGD: expected at least one parameter, got none"):
        SGD([])
    with pytest.raises(
        TypeError, match=r"Adam: expected a list of parameters, got one tensor; write \[tensor\]"
    ):
        Adam(a)
    with pytest.raises(
        TypeError, match=r"Adam: expected parameters, as from model.parameters\(\), got Dense"
    ):
        Adam(Dense(2, 2))
    with pytest.raises(TypeError, match="Adam: parameter 1 of the group: expected a tensor, got float"):
        Adam([a, 3.0])
    for numbers in (torch.ones(2, dtype=torch.complex64), torch.arange(2)):
        with pytest.raises(TypeError, match="parameter 0 of the group: expected floating point numbers, got"):
            Adam([numbers])
    with pytest.raises(ValueError, match="parameter 0 of the group: expected a leaf tensor, got the result"):
        Adam([a * 2])
    with pytest.raises(
        ValueError, match=r"parameter 1 of the group: expected each tensor once, got one of \(4, 3\)"
    ):
        Adam([a, a])
    with pytest.raises(ValueError, match="expected each tensor once"):
        Adam([{"params": [a, b]}, {"params": [b]}])
    with pytest.raises(TypeError, match="expected parameters in a fixed order, got a set"):
        Adam([{"params": {a, b}}])
    with pytest.raises(TypeError, match=r"expected a group as a dict with 'params', got \{'lr': 1\}"):
        Adam([a]).add_param_group({"lr": 1})
    with pytest.raises(ValueError, match="expected names for all parameter groups or for none"):
        Adam([("a", a)]).add_param_group({"params": [b]})
    with pytest.raises(ValueError, match=r"Muon: expected matrices, got a parameter of shape \(3,\)"):
        Muon([Parameter(torch.ones(3))])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"lr": -1}, "SGD: expected lr >= 0, got -1"),
        ("SGD", {"lr": float("nan")}, "SGD: expected lr (>= 0|to be a number or a tensor), got nan"),
        ("SGD", {"momentum": -0.1}, "SGD: expected momentum >= 0, got -0.1"),
        ("SGD", {"nesterov": True}, "SGD: nesterov: expected momentum > 0 and dampening = 0"),
        (
            "SGD",
            {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
            "SGD: nesterov: expected momentum > 0",
        ),
        ("Adagrad", {"lr_decay": -1.0}, "Adagrad: expected lr_decay >= 0, got -1.0"),
        ("Adagrad", {"initial_accumulator_value": -1}, "Adagrad: expected initial_accumulator_value >= 0"),
        ("RMSprop", {"alpha": -1}, "RMSprop: expected alpha >= 0, got -1"),
        ("Adadelta", {"rho": 1.5}, r"Adadelta: expected rho in \[0, 1\], got 1.5"),
        ("Adadelta", {"rho": -1}, "Adadelta: expected rho >= 0, got -1"),
        ("RAdam", {"betas": (0.9, 1.0)}, r"RAdam: expected betas in \[0, 1\), got \(0.9, 1.0\)"),
        ("Adam", {"eps": -1e-8}, "Adam: expected eps >= 0, got -1e-08"),
        ("Adam", {"betas": (0.9, 1.0)}, r"Adam: expected betas in \[0, 1\), got \(0.9, 1.0\)"),
        ("Adam", {"betas": (0.9, 0.99, 0.999)}, r"Adam: expected 2 betas, got \(0.9, 0.99, 0.999\)"),
        ("AdamW", {"weight_decay": -0.1}, "AdamW: expected weight_decay >= 0, got -0.1"),
        ("NAdam", {"momentum_decay": -0.1}, "NAdam: expected momentum_decay >= 0, got -0.1"),
        ("Lion", {"betas": (-0.1, 0.9)}, r"Lion: expected betas in \[0, 1\), got \(-0.1, 0.9\)"),
        ("Muon", {"adjust_lr_fn": "no"}, "Muon: expected adjust_lr_fn None, 'original' or 'match_rms_adamw'"),
        ("Muon", {"ns_coefficients": (1, 2)}, r"Muon: expected 3 ns_coefficients, got \(1, 2\)"),
        ("Muon", {"ns_precision": "half"}, "Muon: expected ns_precision 'bfloat16' or 'float32', got 'half'"),
        ("Muon", {"ns_steps": 100}, r"Muon: expected ns_steps in \[0, 100\), got 100"),
    ],
)
def test_wrong_options_are_named(name, options, message):
    kind = getattr(optimizers, name)
    with pytest.raises(ValueError, match=message):
        kind([Parameter(torch.ones(2, 2))], **options)
    with pytest.raises(ValueError, match=message):  # in a group of their own, too
        kind([{"params": [Parameter(torch.ones(2, 2))], **options}])


def test_an_option_misspelt_in_a_group_is_named():
    p = Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="got 'weight_dacay'; did you mean 'weight_decay'"):
        AdamW([{"params": [p], "weight_dacay": 0}])
    with pytest.raises(ValueError, match="got 'learning_momentum'; did you mean 'momentum'"):
        SGD([Parameter(torch.ones(2))]).add_param_group({"params": [p], "learning_momentum": 0.9})
    kept = SGD([{"params": [p], "name": "head", "initial_lr": 1.0, "max_momentum": 0.9}]).param_groups[0]
    assert [kept["name"], kept["initial_lr"], kept["max_momentum"]] == ["head", 1.0, 0.9]


def test_options_of_the_wrong_kind_are_named():
    with pytest.raises(TypeError, match=r"Adam: expected lr to be a number or a tensor, got '0\.1'"):
        Adam(parameters(), lr="0.1")
    with pytest.raises(TypeError, match="nonesuch"):
        Adam(parameters(), nonesuch=True)


NAMESAKES = [SGD, Adadelta, Adagrad, RMSprop, Adam, AdamW, NAdam, RAdam, Muon]


@pytest.mark.parametrize("cls", NAMESAKES, ids=lambda cls: cls.__name__)
def test_arguments_are_those_of_the_namesake(cls):
    ours = signature(cls).parameters.values()
    theirs = signature(getattr(torch.optim, cls.__name__)).parameters.values()
    expected = [(argument.name, argument.kind, argument.default) for argument in theirs]
    assert [(argument.name, argument.kind, argument.default) for argument in ours][
        : len(expected)
    ] == expected


@pytest.mark.parametrize("cls", NAMESAKES, ids=lambda cls: cls.__name__)
def test_choices_among_implementations_change_nothing_or_are_refused(cls):
    arguments = signature(cls).parameters
    plain, other = parameters(matrices_only=True), parameters(matrices_only=True)
    free = {name: True for name in ("foreach", "fused") if name in arguments}
    descend(cls(plain), plain, 3)
    optimizer = cls(other, **free)
    descend(optimizer, other, 3)
    assert largest_difference(other, plain) == 0
    assert not {"foreach", "fused"} & optimizer.param_groups[0].keys()
    for name in ("capturable", "differentiable"):
        group = {"params": parameters(matrices_only=True), name: True}
        with pytest.raises(
            NotImplementedError, match=rf"{cls.__name__}: expected {name}=False, got True: .*;"
        ):
            cls([group])
        if name in arguments:
            cls(other, **{name: False})
            with pytest.raises(NotImplementedError, match=f"{cls.__name__}: expected {name}=False, got True"):
                cls(other, **{name: True})


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_tensor_as_learning_rate_is_its_number(name):
    ours, theirs = parameters(), parameters()
    optimizer = getattr(optimizers, name)(ours, lr=torch.tensor(0.01, dtype=torch.float64))
    namesake = getattr(torch.optim, name)(theirs, lr=torch.tensor(0.01, dtype=torch.float64), foreach=False)
    schedules = StepLR(optimizer, 2, 0.5), torch.optim.lr_scheduler.StepLR(namesake, 2, 0.5)
    for _ in range(4):
        for params, rule, schedule in zip((ours, theirs), (optimizer, namesake), schedules, strict=True):
            descend(rule, params, 1)
            schedule.step()
    assert largest_difference(ours, theirs) < 1e-14
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0025)
    fresh = getattr(optimizers, name)(parameters())
    fresh.load_state_dict(namesake.state_dict())
    assert type(fresh.param_groups[0]["lr"]) is float
    with pytest.raises(TypeError, match=f"{name}: expected lr as a number, got Tensor"):
        getattr(optimizers, name)(ours, lr=torch.ones(2))
    with pytest.raises(ValueError, match=f"{name}: expected lr >= 0, got -1.0"):
        getattr(optimizers, name)([{"params": ours, "lr": torch.tensor(-1.0)}])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_rule_takes_a_tensor_as_learning_rate(name):
    optimizer = OPTIMIZERS[name]([Parameter(torch.ones(2, 2))], lr=torch.tensor(0.5))
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_names_lead_to_the_classes():
    assert {kind.__name__.lower(): kind for kind in OPTIMIZERS.values()} == OPTIMIZERS
    others = {"ChainedOptimizer", "Optimizer", "OPTIMIZERS"}
    assert {kind.__name__ for kind in OPTIMIZERS.values()} | others == set(optimizers.__all__)


def test_repr_shows_the_groups():
    text = repr(SGD([{"params": parameters()}, {"params": Parameter(torch.ones(1)), "lr": 3}]))
    assert text.startswith("SGD(\n  6 parameters: lr=0.001, momentum=0,")
    assert "  1 parameters: lr=3," in text


def test_a_rule_of_ones_own_is_a_few_lines():
    class SignSGD(Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr)

        def update(self, parameter, grad, state, group):
            return parameter - group["lr"] * grad.sign(), state

    p = Parameter(torch.zeros(2))
    p.grad = torch.tensor([5.0, -3.0])
    SignSGD([p]).step()
    assert p.tolist() == pytest.approx([-0.1, 0.1])


def test_a_rule_that_returns_nothing_says_so():
    class Silent(Optimizer):
        def update(self, parameter, grad, state, group):
            parameter.sub_(grad)

    p = Parameter(torch.zeros(2))
    p.grad = torch.ones(2)
    with pytest.raises(TypeError, match=r"Silent\.update: expected \(parameter, state\) to be returned"):
        Silent([p], lr=0.1).step()


# ---- saving and loading ------------------------------------------------------------------------------


def pair(name, steps_ours=0, steps_theirs=0):
    """Ours and theirs on equal parameters, in two groups, one of them after some steps."""
    ours = parameters(matrices_only=name == "Muon")
    ours = [*ours, Parameter(torch.ones(3, 2, dtype=torch.float64))]
    theirs = copies(ours)
    a = getattr(optimizers, name)([{"params": ours[:1]}, {"params": ours[1:]}], **WITH_STATE[name])
    b = getattr(torch.optim, name)([{"params": theirs[:1]}, {"params": theirs[1:]}], **WITH_STATE[name])
    descend(a, ours, steps_ours)
    descend(b, theirs, steps_theirs)
    return ours, theirs, a, b


@pytest.fixture
def _double():
    """Theirs keeps NAdam's product of momenta in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", WITH_STATE)
@pytest.mark.usefixtures("_double")
def test_theirs_goes_on_from_our_state(name):
    ours, theirs, a, b = pair(name, steps_ours=7)
    a.param_groups[1]["lr"] = 0.05
    b.load_state_dict(deepcopy(a.state_dict()))  # theirs goes on with the very tensors it is given
    assert b.param_groups[1]["lr"] == 0.05
    with torch.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            q.copy_(p)
    descend(a, ours, 7, seed=2)
    descend(b, theirs, 7, seed=2)
    assert largest_difference(ours, theirs) < 1e-12


@pytest.mark.parametrize("name", WITH_STATE)
@pytest.mark.usefixtures("_double")
def test_ours_goes_on_from_their_state(name):
    ours, theirs, a, b = pair(name, steps_theirs=7)
    b.param_groups[1]["lr"] = 0.05
    a.load_state_dict(b.state_dict())
    assert a.param_groups[1]["lr"] == 0.05
    assert "foreach" not in a.param_groups[0]
    with torch.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            p.copy_(q)
    descend(a, ours, 7, seed=2)
    descend(b, theirs, 7, seed=2)
    assert largest_difference(ours, theirs) < 1e-12


@pytest.mark.parametrize("name", WITH_STATE)
@pytest.mark.usefixtures("_double")
def test_our_state_has_their_layout(name):
    _, _, a, b = pair(name, steps_ours=3, steps_theirs=3)
    ours, theirs = a.state_dict(), b.state_dict()
    used = {index for index, state in theirs["state"].items() if state.get("step") != 0}  # Adagrad: all
    assert set(ours["state"]) == used
    for index in used:
        assert set(ours["state"][index]) == set(theirs["state"][index])
        for key, value in theirs["state"][index].items():
            torch.testing.assert_close(
                ours["state"][index][key], value, rtol=1e-12, atol=0, check_dtype=False
            )
    for mine, yours in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        switches = {"foreach", "fused", "capturable", "differentiable"}
        added = {"ns_precision"}
        assert {k: v for k, v in yours.items() if k not in switches} == {
            k: v for k, v in mine.items() if k not in added
        }


@pytest.mark.parametrize("name", [*WITH_STATE, "Lion"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_loaded_state_goes_on_bit_for_bit(name, dtype):
    options = WITH_STATE.get(name, {})
    params = parameters(dtype, matrices_only=name == "Muon")
    first = getattr(optimizers, name)(params, **options)
    descend(first, params, 5)
    others = copies(params)
    second = getattr(optimizers, name)(others, **options)
    second.load_state_dict(first.state_dict())
    descend(first, params, 5, seed=2)
    descend(second, others, 5, seed=2)
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))


def test_loading_copies_and_converts():
    params = parameters(torch.float64)
    first = Adam(params)
    descend(first, params, 2)
    singles = [Parameter(p.detach().float()) for p in params]
    second = Adam(singles)
    second.load_state_dict(first.state_dict())
    assert second.state[singles[0]]["exp_avg"].dtype == torch.float32
    assert second.state[singles[0]]["step"] == 2
    descend(second, singles, 1)
    assert first.state[params[0]]["step"] == 2


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kernels", [True, False])
def test_the_state_follows_parameters_that_become_of_another_type(name, kernels):
    params = [Parameter(p.detach()) for p in parameters(torch.float32, matrices_only=name == "muon")]
    optimizer = OPTIMIZERS[name](params, **({"momentum": 0.9} if name in ("sgd", "rmsprop") else {}))
    with engine("manual", kernels=kernels):
        descend(optimizer, params, 2)
        doubles = [Parameter(p.detach().double()) for p in params]
        expected = type(optimizer)(doubles)
        expected.load_state_dict(optimizer.state_dict())
        for p in params:
            p.data, p.grad = p.data.double(), None
        descend(optimizer, params, 2)
        descend(expected, doubles, 2)
    assert all(torch.equal(p, q) for p, q in zip(params, doubles, strict=True))


def test_loading_what_does_not_fit_names_the_difference_and_changes_nothing():
    a, b = parameters()[:2]
    optimizer = Adam([a, b], lr=0.5)
    with pytest.raises(
        ValueError, match=r"Adam.load_state_dict: expected groups of \[2\] parameters, got \[1\]"
    ):
        optimizer.load_state_dict(Adam([a]).state_dict())
    other = Adam([b, a], lr=0.1)
    for p in (a, b):
        p.grad = torch.ones_like(p)
    other.step()
    with pytest.raises(ValueError, match=r"parameter 0: expected exp_avg of shape \(4, 3\), got \(2, 5\)"):
        optimizer.load_state_dict(other.state_dict())
    mistaken = SGD([a, b], momentum=0.9)
    mistaken.step()
    with pytest.raises(
        ValueError, match="expected the state of Adam, got that of another rule: it lacks betas, eps"
    ):
        optimizer.load_state_dict(mistaken.state_dict())
    state = other.state_dict()
    del state["state"][0]["exp_avg"]
    with pytest.raises(
        ValueError,
        match="parameter 0: expected a state of exp_avg, exp_avg_sq, step, got exp_avg_sq, step",
    ):
        optimizer.load_state_dict(state)
    state = other.state_dict()
    state["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"expected lr >= 0, got -1"):
        optimizer.load_state_dict(state)
    state = Adam([a, b]).state_dict() | {"state": {"0": {}}}  # as JSON writes the indices
    with pytest.raises(ValueError, match=r"expected states of the groups' parameters, got \{'0'\}"):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert not optimizer.state


@pytest.mark.parametrize("steps", [0, 1])
def test_no_rule_takes_the_state_of_another(steps):
    """Of all pairs, before the first step and after it; SGD and Muon with momentum, which keep one alike."""

    def made(name, value):
        p = Parameter(torch.full((3, 2), value))
        options = {"momentum": 0.9} if name in ("SGD", "RMSprop", "Muon") else {}
        return getattr(optimizers, name)([p], lr=0.01, **options), p

    rules = [rule.__name__ for rule in optimizers.OPTIMIZERS.values()]
    for saved in rules:
        one, p = made(saved, 1.0)
        for _ in range(steps):
            p.grad = torch.ones_like(p)
            one.step()
        for loaded in rules:
            other, _ = made(loaded, 1.0)
            before = repr(other)
            if saved == loaded:
                other.load_state_dict(one.state_dict())
                continue
            with pytest.raises(ValueError, match=rf"{loaded}\.load_state_dict: group 0: expected "):
                other.load_state_dict(one.state_dict())
            assert repr(other) == before
            assert not other.state


def test_lion_steps_by_lr_everywhere():
    p = Parameter(torch.zeros(3))
    p.grad = torch.tensor([1e-6, -50.0, 0.0])
    Lion([p], lr=0.25).step()
    assert p.tolist() == [-0.25, 0.25, 0.0]
