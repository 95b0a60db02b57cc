"""Groups of parameters: each parameter in one, with its decay and its rate."""

from ds_core import Dense, LayerNorm, ModuleDict
from ds_zoo.groups import backbone_groups, decay_groups


def model():
    return ModuleDict(
        {"backbone": Dense(3, 4), "norm": LayerNorm(4), "head": Dense(4, 2), "places": Dense(5, 4)}
    )


def has(group, parameter):
    return any(parameter is one for one in group["params"])


def test_matrices_decay_unless_they_are_spared():
    made = model()
    decaying, others = decay_groups(made, 0.1, ("places.weight",))
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert has(decaying, made["head"].weight)
    assert has(others, made["head"].bias)
    assert has(others, made["norm"].weight)
    assert has(others, made["places"].weight)
    assert len(decaying["params"]) + len(others["params"]) == len(list(made.parameters()))


def test_the_backbone_has_its_own_rate_and_what_is_frozen_is_left_out():
    made = model()
    groups = backbone_groups(made, 1.0, 0.1, 0.01)
    assert [group["lr"] for group in groups] == [0.1, 0.1, 1.0, 1.0]
    assert has(groups[0], made["backbone"].weight)
    assert has(groups[1], made["backbone"].bias)
    made["backbone"].requires_grad_(False)
    assert [group["lr"] for group in backbone_groups(made, 1.0, 0.1, 0.01)] == [1.0, 1.0]
