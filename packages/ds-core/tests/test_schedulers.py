from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from ds_core import schedulers
from ds_core.module import Parameter
from ds_core.optimizers import SGD, Adagrad, Adam
from ds_core.schedulers import (
    SCHEDULERS,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    InverseSquareRootLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
    WarmupCosine,
)
from ds_core.verify import load_cases

CASES = load_cases(Path(__file__).parent / "cases" / "schedulers.py")
theirs = torch.optim.lr_scheduler


def parameters():
    return [Parameter(torch.zeros(2)) for _ in range(3)]


def sgd(lr=0.1):
    return SGD(parameters(), lr=lr, momentum=0.9)


def their_sgd(lr=0.1):
    return torch.optim.SGD(parameters(), lr=lr, momentum=0.9)


def numbers(optimizer):
    """All that a schedule may change."""
    return [
        [group["lr"], group.get("momentum", 0), *group.get("betas", ())] for group in optimizer.param_groups
    ]


def run(scheduler, steps, metric=None):
    """The rates before and after each step."""
    rates = [numbers(scheduler.optimizer)]
    for t in range(steps):
        scheduler.optimizer.step()
        scheduler.step(*([metric(t)] if metric else []))
        rates.append(numbers(scheduler.optimizer))
    return rates


# ---- the same numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hundred_steps_equal_the_namesakes(case):
    ours, namesake = case.make(parameters()), case.namesake(parameters())
    mine, yours = run(ours, 100, case.metric), run(namesake, 100, case.metric)
    torch.testing.assert_close(torch.tensor(mine), torch.tensor(yours), rtol=1e-9, atol=1e-12)
    assert ours.get_last_lr() == pytest.approx(namesake.get_last_lr(), rel=1e-9, abs=1e-12)
    assert len({str(row) for row in mine}) > 1  # something has changed


def test_warm_restarts_at_fractions_of_an_epoch():
    ours = CosineAnnealingWarmRestarts(sgd(), 3, 2, 0.01)
    namesake = theirs.CosineAnnealingWarmRestarts(their_sgd(), 3, 2, 0.01)
    for epoch in [0, 0.25, 2.9, 3, 3.5, 8.99, 9, 20.75, 21, 0.5, 1]:
        ours.step(epoch)
        namesake.step(epoch)
        assert ours.get_last_lr() == pytest.approx(namesake.get_last_lr(), rel=1e-12)
    ours.step()
    namesake.step()
    assert ours.get_last_lr() == pytest.approx(namesake.get_last_lr(), rel=1e-12)
    with pytest.raises(ValueError, match="CosineAnnealingWarmRestarts: expected epoch >= 0, got -1"):
        ours.step(-1)


def test_warmup_cosine_at_its_corners():
    rates = [row[0][0] for row in run(WarmupCosine(sgd(lr=1.0), 4, 10, min_lr=0.1), 12)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[7] == pytest.approx(0.55)  # half way down
    assert rates[9] > 0.1
    assert rates[10:] == pytest.approx([0.1, 0.1, 0.1])


def test_inverse_square_root_at_its_highest():
    rates = [row[0][0] for row in run(InverseSquareRootLR(sgd(lr=2.0), 25, 4), 63)]
    assert rates[:4] == pytest.approx([0.05, 0.1, 0.15, 0.2])  # 2 / sqrt(25 * 4) at the fourth update
    assert max(rates) == rates[3]
    assert rates[15] == pytest.approx(0.1)  # four times as many updates, half the rate
    assert rates[63] == pytest.approx(0.05)


@pytest.mark.parametrize("warmup", [1, 7, 40])
def test_inverse_square_root_has_the_shape_that_transformers_gives_it(warmup):
    """Theirs counts from 0 and has the optimizer's rate as its highest."""
    transformers = pytest.importorskip("transformers")
    ours = run(InverseSquareRootLR(sgd(lr=0.3), 64, warmup), 99)
    highest = 0.3 / math.sqrt(64 * warmup)
    namesake = transformers.get_inverse_sqrt_schedule(their_sgd(lr=highest), warmup, timescale=warmup)
    yours = run(namesake, 100)[1:]
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(yours), rtol=1e-9, atol=1e-12)


def test_one_cycle_refuses_steps_beyond_its_end():
    scheduler = OneCycleLR(sgd(), 1.0, total_steps=5)
    for _ in range(5):
        scheduler.step()
    with pytest.raises(ValueError, match="OneCycleLR: expected at most total_steps = 5 steps, got 6"):
        scheduler.step()


def test_one_cycle_with_a_rise_of_no_length_starts_at_the_top():
    scheduler = OneCycleLR(sgd(), 1.0, total_steps=10, pct_start=0.1)
    assert scheduler.get_last_lr() == [1.0]


@pytest.mark.parametrize("steps", [3, 6, 12])
def test_a_line_to_zero_ends_there_and_can_be_resumed(steps):
    optimizer = sgd(lr=1e-3)
    scheduler = LinearLR(optimizer, 0.1, 0.0, steps)
    for _ in range(steps + 1):
        scheduler.step()
    assert scheduler.get_last_lr() == [0.0]
    sgd(lr=1e-3).load_state_dict(optimizer.state_dict())


def test_sequences_nest():
    """A sequence inside a sequence gives what one flat sequence gives."""
    optimizer = sgd()
    inner = SequentialLR(optimizer, [LinearLR(optimizer, 0.1, 1.0, 4), ExponentialLR(optimizer, 0.9)], [4])
    nested = SequentialLR(optimizer, [ConstantLR(optimizer, 0.5, 99), inner], [3])
    flat_optimizer = sgd()
    parts = [
        ConstantLR(flat_optimizer, 0.5, 99),
        LinearLR(flat_optimizer, 0.1, 1.0, 4),
        ExponentialLR(flat_optimizer, 0.9),
    ]
    assert run(nested, 15) == run(SequentialLR(flat_optimizer, parts, [3, 7]), 15)


def test_a_schedule_after_a_cyclic_one_starts_from_the_optimizers_rate():
    def rates(s, optimizer):
        low, cyclic = s.ConstantLR(optimizer, 0.5, 2), s.CyclicLR(optimizer, 0.01, 0.05, 2)
        return run(s.SequentialLR(optimizer, [low, cyclic, s.StepLR(optimizer, 2)], [2, 6]), 10)

    torch.testing.assert_close(rates(schedulers, sgd()), rates(theirs, their_sgd()))


# ---- going on ----------------------------------------------------------------------------------------


def saved(scheduler):
    """A state as it comes back from a JSON file."""
    return json.loads(json.dumps(scheduler.state_dict()))


@pytest.mark.parametrize(
    "case", [case for case in CASES if " and " not in case.name], ids=lambda case: case.name
)
def test_a_loaded_state_goes_on(case):
    first = case.make(parameters())
    run(first, 33, case.metric)
    second = case.make(parameters())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(saved(first))
    assert second.get_last_lr() == first.get_last_lr()
    assert run(second, 50, case.metric) == run(first, 50, case.metric)


CARRIED = {
    "StepLR": lambda s, o: s.StepLR(o, 4),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 12]),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.9),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.5, 9),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.1, 1.0, 9),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 9),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.5, 20),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, 15, 2.0),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.1, 0.5, 5, 2),
    "ReduceLROnPlateau": lambda s, o: s.ReduceLROnPlateau(o, patience=2, cooldown=1),
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda t: 0.9**t),
    "SequentialLR": lambda s, o: s.SequentialLR(o, [s.LinearLR(o), s.StepLR(o, 3)], [5]),
}


@pytest.mark.parametrize("name", CARRIED)
def test_states_carry_over_to_the_namesake_and_back(name):
    make = CARRIED[name]
    metric = (lambda t: 1.0) if name == "ReduceLROnPlateau" else None
    ours, yours = make(schedulers, sgd()), make(theirs, their_sgd())
    run(ours, 8, metric)
    yours.optimizer.load_state_dict(ours.optimizer.state_dict())
    if name == "OneCycleLR":  # theirs keeps its corners in the optimizer's groups, beside the rates
        yours = make(theirs, yours.optimizer)
    yours.load_state_dict({**yours.state_dict(), **saved(ours)})
    yours.optimizer.load_state_dict({**yours.optimizer.state_dict(), **rates_only(ours, yours)})
    run(ours, 3, metric)
    run(yours, 3, metric)
    back = make(schedulers, sgd())
    back.optimizer.load_state_dict(yours.optimizer.state_dict())
    back.load_state_dict(yours.state_dict())
    torch.testing.assert_close(run(back, 8, metric), run(ours, 8, metric), rtol=1e-12, atol=1e-15)


def rates_only(ours, yours):
    """Their groups with our rates and momenta."""
    groups = yours.optimizer.state_dict()["param_groups"]
    return {
        "param_groups": [
            {**group, "lr": mine["lr"], "momentum": mine["momentum"]}
            for group, mine in zip(groups, ours.optimizer.param_groups, strict=True)
        ]
    }


@pytest.mark.parametrize(
    "name", [name for name in CARRIED if name not in ("ReduceLROnPlateau", "SequentialLR")]
)
def test_last_epoch_goes_on_with_a_loaded_optimizer(name):
    """A scheduler made anew with last_epoch = t - 1, on an optimizer that is at t, goes on from there."""
    first = CARRIED[name](schedulers, sgd())
    run(first, 8)  # t = 8, where the staircase of StepLR has just dropped
    optimizer = sgd()
    optimizer.load_state_dict(first.optimizer.state_dict())

    class Resuming:
        """The schedules, with last_epoch=7."""

        def __getattr__(self, name):
            return lambda *args: getattr(schedulers, name)(*args, last_epoch=7)

    second = CARRIED[name](Resuming(), optimizer)
    torch.testing.assert_close(run(second, 9), run(first, 9), rtol=1e-12, atol=1e-15)


def test_last_epoch_needs_an_initial_lr():
    with pytest.raises(ValueError, match="StepLR: last_epoch=3: expected an optimizer that had a scheduler"):
        StepLR(sgd(), 2, last_epoch=3)


def test_a_group_added_later_joins_with_its_own_rate():
    optimizer = sgd()
    scheduler = ExponentialLR(optimizer, 0.5)
    scheduler.step()
    optimizer.add_param_group({"params": [Parameter(torch.zeros(1))], "lr": 8.0})
    scheduler.step()
    assert scheduler.get_last_lr() == [0.025, 4.0]
    per_group = LambdaLR(optimizer, [lambda t: 1.0, lambda t: 1.0])
    optimizer.add_param_group({"params": [Parameter(torch.zeros(1))]})
    with pytest.raises(ValueError, match="LambdaLR: expected lr_lambda as one value or 3"):
        per_group.step()


def test_a_rate_of_zero_for_a_while():
    """torch's own divides by the factor at the end; until then the two agree."""
    optimizer, theirs = sgd(lr=0.5), torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    ours = SequentialLR(optimizer, [ConstantLR(optimizer, 1.0, 9), ConstantLR(optimizer, 0.0, 3)], [2])
    parts = [
        torch.optim.lr_scheduler.ConstantLR(theirs, factor, count) for factor, count in ((1.0, 9), (0.0, 3))
    ]
    beside = torch.optim.lr_scheduler.SequentialLR(theirs, parts, [2])
    for _ in range(4):
        optimizer.step(), theirs.step(), ours.step(), beside.step()
        assert ours.get_last_lr() == beside.get_last_lr()
    ours.step()
    assert ours.get_last_lr() == [0.5]


# ---- what is wrong is named --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: StepLR(o, 0), "StepLR: expected step_size > 0, got 0"),
        (lambda o: ConstantLR(o, -1), r"ConstantLR: expected factor in \[0, 1\], got -1"),
        (lambda o: LinearLR(o, 0), r"LinearLR: expected start_factor in \(0, 1\], got 0"),
        (lambda o: LinearLR(o, 0.5, 1.5), r"LinearLR: expected end_factor in \[0, 1\], got 1.5"),
        (lambda o: CosineAnnealingLR(o, 0), "CosineAnnealingLR: expected T_max > 0, got 0"),
        (lambda o: CosineAnnealingWarmRestarts(o, 0), "expected T_0 as a whole number > 0, got 0"),
        (lambda o: CosineAnnealingWarmRestarts(o, 3, 0), "expected T_mult as a whole number > 0, got 0"),
        (lambda o: OneCycleLR(o, 1.0), "OneCycleLR: expected total_steps > 0, or epochs and steps_per_epoch"),
        (lambda o: OneCycleLR(o, 1.0, 0), "got total_steps=0, epochs=None, steps_per_epoch=None"),
        (lambda o: OneCycleLR(o, 1.0, 9, pct_start=2), r"expected pct_start in \[0, 1\], got 2"),
        (lambda o: OneCycleLR(o, 1.0, 9, anneal_strategy="x"), "anneal_strategy 'cos' or 'linear', got 'x'"),
        (
            lambda o: OneCycleLR(o, [1.0, 2.0], 9),
            "OneCycleLR: expected max_lr as one value or 1, one for each",
        ),
        (lambda o: PolynomialLR(o, 5, -1.0), "PolynomialLR: expected power >= 0, got -1.0"),
        (lambda o: CyclicLR(o, 0.1, 1.0, 0), "CyclicLR: expected step_size_up > 0, got 0"),
        (lambda o: CyclicLR(o, 0.1, 1.0, 5, -1), "CyclicLR: expected step_size_down >= 0, got -1"),
        (
            lambda o: CyclicLR(o, 0.1, 1.0, mode="x"),
            "CyclicLR: expected mode 'triangular' or 'triangular2' or 'exp_range', got 'x'",
        ),
        (lambda o: CyclicLR(o, 0.1, 1.0, scale_mode="x"), "scale_mode 'cycle' or 'iterations', got 'x'"),
        (
            lambda o: CyclicLR(o, [0.1, 0.2], 1.0),
            "CyclicLR: expected base_lr as one value or 1, one for each",
        ),
        (
            lambda o: ReduceLROnPlateau(o, "down"),
            "ReduceLROnPlateau: expected mode 'min' or 'max', got 'down'",
        ),
        (lambda o: ReduceLROnPlateau(o, factor=1.0), "ReduceLROnPlateau: expected factor < 1, got 1.0"),
        (
            lambda o: ReduceLROnPlateau(o, threshold_mode="x"),
            "expected threshold_mode 'rel' or 'abs', got 'x'",
        ),
        (lambda o: ReduceLROnPlateau(o, min_lr=[0, 0]), "expected min_lr as one value or 1, one for each"),
        (lambda o: LambdaLR(o, [math.sin, math.cos]), "LambdaLR: expected lr_lambda as one value or 1"),
        (lambda o: SequentialLR(o, [], []), "SequentialLR: expected at least one scheduler"),
        (lambda o: SequentialLR(o, [StepLR(o, 1)], [5]), "expected 0 milestones for 1 schedulers, got .5."),
        (lambda o: SequentialLR(o, [ReduceLROnPlateau(o)], []), "that need no metric, got ReduceLROnPlateau"),
        (lambda o: SequentialLR(o, [StepLR(sgd(), 1)], []), "expected schedulers of its own optimizer"),
        (
            lambda o: SequentialLR(o, [StepLR(o, 1), StepLR(o, 2), StepLR(o, 3)], [20, 5]),
            "expected milestones in their order, got .20, 5.",
        ),
        (
            lambda o: MultiStepLR(o, [1.5, 3]),
            "MultiStepLR: expected milestones as whole numbers, got .1.5, 3.",
        ),
        (lambda o: ConstantLR(o, 0.5, -1), "ConstantLR: expected total_iters >= 0, got -1"),
        (lambda o: LinearLR(o, total_iters=-1), "LinearLR: expected total_iters >= 0, got -1"),
        (lambda o: PolynomialLR(o, -1), "PolynomialLR: expected total_iters >= 0, got -1"),
        (lambda o: OneCycleLR(o, 1.0, 9, div_factor=0), "OneCycleLR: expected div_factor > 0, got 0"),
        (lambda o: ReduceLROnPlateau(o, patience=-1), "expected patience >= 0, got -1"),
        (lambda o: InverseSquareRootLR(o, 0), "InverseSquareRootLR: expected d_model >= 1, got 0"),
        (lambda o: InverseSquareRootLR(o, 8, 0), "InverseSquareRootLR: expected warmup_steps >= 1, got 0"),
        (lambda o: WarmupCosine(o, -1, 5), "WarmupCosine: expected warmup_steps >= 0, got -1"),
        (
            lambda o: WarmupCosine(o, 5, 5),
            "WarmupCosine: expected total_steps above the 5 of the warm-up, got 5",
        ),
        (lambda o: WarmupCosine(o, 0, 5, -1), "WarmupCosine: expected min_lr >= 0, got -1"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(sgd())


def test_momentum_to_cycle_is_needed():
    with pytest.raises(
        ValueError, match="expected an optimizer with momentum or betas, or cycle_momentum=False"
    ):
        OneCycleLR(Adagrad(parameters()), 1.0, 9)
    with pytest.raises(ValueError, match="CyclicLR: expected an optimizer with momentum or betas"):
        CyclicLR(Adagrad(parameters()), 0.1, 1.0)


def test_an_optimizer_is_needed():
    with pytest.raises(TypeError, match=r"StepLR: expected optimizer to be an Optimizer of .*, got .*list"):
        StepLR(parameters(), 3)
    with pytest.raises(TypeError, match=r"an Optimizer of ds_core, got SGD \( Parameter Group 0 .* \(SGD\)$"):
        StepLR(their_sgd(), 3)


def test_a_state_of_something_else_is_named():
    with pytest.raises(ValueError, match="CosineAnnealingWarmRestarts: expected a state with last_epoch"):
        CosineAnnealingWarmRestarts(sgd(), 3).load_state_dict(StepLR(sgd(), 3).state_dict())


def test_names_lead_to_the_classes():
    assert len(set(SCHEDULERS.values())) == len(SCHEDULERS)
    assert {kind.__name__ for kind in SCHEDULERS.values()} | {"Scheduler", "SCHEDULERS"} == set(
        schedulers.__all__
    )


def test_multi_step_takes_any_iterable():
    assert run(MultiStepLR(sgd(), iter([2, 1])), 3) == run(MultiStepLR(sgd(), (1, 2)), 3)


def test_plateau_takes_a_tensor_and_counts_nan_as_worse():
    scheduler = ReduceLROnPlateau(Adam(parameters(), lr=1.0), patience=1)
    scheduler.step(torch.tensor(1.0))
    scheduler.step(float("nan"))
    assert scheduler.get_last_lr() == [1.0]
    scheduler.step(float("nan"))
    assert scheduler.get_last_lr() == [0.1]
    assert scheduler.best == 1.0
