"""Several optimizers as one: each parameter by its own rule, one state, one Trainer."""

import copy

import pytest
import torch
from ds_core import Dense, MSELoss, OneCycleLR, ReLU, Sequential, Trainer, WarmupCosine
from ds_core.data import DataLoader
from ds_core.optimizers import SGD, Adagrad, Adam, AdamW, ChainedOptimizer, Muon
from torch.nn import Parameter


def network():
    g = torch.Generator().manual_seed(0)
    return Sequential(Dense(3, 8, generator=g), ReLU(), Dense(8, 2, generator=g))


def split(model):
    params = list(model.parameters())
    return [p for p in params if p.dim() == 2], [p for p in params if p.dim() != 2]


def rules(model):
    matrices, others = split(model)
    return Muon(matrices, lr=0.02, ns_precision="float32"), AdamW(others, lr=0.01, weight_decay=0.1)


def improve(model, optimizers, steps):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        for optimizer in optimizers:
            optimizer.step()


def equal(model, other):
    return all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))


def test_each_parameter_follows_its_own_rule():
    model, alone = network(), network()
    chained = ChainedOptimizer(*rules(model))
    improve(model, [chained], 5)
    improve(alone, rules(alone), 5)
    assert equal(model, alone)
    assert not equal(model, network())
    chained.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_goes_on_from_a_saved_state():
    model = network()
    first = ChainedOptimizer(*rules(model))
    improve(model, [first], 3)
    other, state = copy.deepcopy(model), copy.deepcopy(first.state_dict())
    second = ChainedOptimizer(*rules(other))
    second.load_state_dict(state)
    improve(model, [first], 3)
    improve(other, [second], 3)
    assert equal(model, other)


def test_takes_over_what_its_optimizers_have_learned():
    model, alone = network(), network()
    optimizers, referees = rules(model), rules(alone)
    improve(model, optimizers, 2)
    improve(alone, referees, 2)
    improve(model, [ChainedOptimizer(*optimizers)], 2)
    improve(alone, referees, 2)
    assert equal(model, alone)


def test_a_state_of_other_rules_is_refused_and_changes_nothing():
    model = network()
    matrices, others = split(model)
    chained = ChainedOptimizer(*rules(model))
    stranger = ChainedOptimizer(SGD(matrices, lr=0.1, momentum=0.9), AdamW(others))
    improve(model, [stranger], 1)
    with pytest.raises(ValueError, match=r"group 0, Muon: expected the state of Muon"):
        chained.load_state_dict(stranger.state_dict())
    assert not chained.state
    with pytest.raises(ValueError, match=r"expected groups of \[2, 2\] parameters, got \[4\]"):
        chained.load_state_dict(Adam(model.parameters()).state_dict())


def test_a_schedule_moves_the_momentum_of_each():
    model = network()
    matrices, others = split(model)
    chained = ChainedOptimizer(SGD(matrices, momentum=0.9), AdamW(others))
    schedule = OneCycleLR(chained, [0.1, 0.2], 10, base_momentum=0.8, max_momentum=0.95)
    assert [chained.param_groups[0]["momentum"], chained.param_groups[1]["betas"][0]] == [0.95, 0.95]
    for _ in range(2):
        schedule.step()
    assert [chained.param_groups[0]["momentum"], chained.param_groups[1]["betas"][0]] == [0.8, 0.8]
    with pytest.raises(ValueError, match="expected an optimizer with momentum or betas"):
        OneCycleLR(ChainedOptimizer(SGD(matrices), Adagrad(others)), 0.1, 10)


def test_wrong_use():
    with pytest.raises(ValueError, match="ChainedOptimizer: expected at least one optimizer"):
        ChainedOptimizer()
    p = Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match="expected each tensor once"):
        ChainedOptimizer(Muon([p]), AdamW([p]))
    adam = AdamW([p])
    chained = ChainedOptimizer(adam)
    adam.add_param_group({"params": [Parameter(torch.ones(1))]})
    with pytest.raises(RuntimeError, match=r"expected the 1 groups .* got 2; make it anew"):
        chained.step()
    with pytest.raises(TypeError, match="expected groups in the optimizers it is made of"):
        ChainedOptimizer(AdamW([p])).add_param_group({"params": [Parameter(torch.ones(1))]})


def test_a_trainer_resumes_with_the_same_bits(tmp_path):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(32, 3, generator=g)
    y = torch.sin(x[:, :2])

    def trainer(out, model):
        optimizer = ChainedOptimizer(*rules(model))
        schedule = WarmupCosine(optimizer, 2, 12)
        return Trainer(model, MSELoss(), optimizer, schedule, clip_norm=0.5, out=out, progress=False)

    def batches():
        return DataLoader(list(zip(x, y, strict=True)), batch_size=8, shuffle=True, seed=0)

    whole, stopped, resumed = network(), network(), network()
    history = trainer(tmp_path / "whole", whole).fit(batches(), steps=12)
    assert history["loss"][-1] < history["loss"][0]
    trainer(tmp_path / "parts", stopped).fit(batches(), steps=6)
    trainer(tmp_path / "parts", resumed).fit(batches(), steps=12, resume=True)
    assert equal(whole, resumed)
    assert not equal(whole, stopped)
