"""PyTorch's own samples of arguments and inputs of its modules, for every class of ours that has the name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import ds_cnn
import ds_core
import ds_rnn
import ds_transformer
import pytest
import torch
from ds_core.verify import Case
from ds_core.verify.runner import run
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

pytest.importorskip("expecttest", reason="PyTorch's samples are made with it")
from torch.testing._internal.common_modules import module_db

PACKAGES = (ds_core, ds_cnn, ds_rnn, ds_transformer)

# What some samples ask for, and why they are no sample of ours.
REFUSED = {
    "a PackedSequence": "sequences of several lengths come padded, with `lengths`",
    "a function as activation": "activations come by name, or as modules, which have a backward",
}


def namesake(cls: type) -> type | None:
    return next((getattr(p, cls.__name__) for p in PACKAGES if hasattr(p, cls.__name__)), None)


DATABASE = {
    info.name.removeprefix("nn."): info for info in module_db if namesake(info.module_cls) is not None
}


def refused(values: list[Any], options: dict[str, Any]) -> bool:
    given = [*values, *options.values()]
    functions = [x for x in given if callable(x) and not isinstance(x, (torch.nn.Module, Tensor))]
    return bool(functions) or any(isinstance(x, PackedSequence) for x in given)


def samples(name: str) -> Iterator[Case]:
    """Makes a case of each sample that has inputs."""
    info = DATABASE[name]
    theirs, ours = info.module_cls, namesake(info.module_cls)
    for training in (True, False) if info.train_and_eval_differ else (True,):
        torch.manual_seed(0)
        drawn = info.module_inputs_func(
            info, device="cpu", dtype=torch.float64, requires_grad=True, training=training
        )
        for i, sample in enumerate(drawn):
            made, given = sample.constructor_input, sample.forward_input
            if given is None or refused([*made.args, *given.args], made.kwargs | given.kwargs):
                continue
            made_case = case(f"{name}, {i}, training={training}", ours, theirs, made, given, training)
            if not none_at_the_same_places(made_case):
                yield made_case


def none_at_the_same_places(case: Case) -> bool:
    """Says whether torch's result has a NaN, the root of a negative number, say; ours is compared at once."""
    inputs = case.inputs(torch.Generator())
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = case.namesake().double()
        theirs.load_state_dict(state := case.make().double().state_dict())
        expected = case.reference(theirs, *inputs)
        if not isinstance(expected, Tensor) or not expected.isnan().any():
            return False
        ours = case.make().double()
        ours.load_state_dict(state)
        torch.testing.assert_close(ours(*inputs), expected, equal_nan=True)
    return True


class Normalised(ds_core.Module):
    """CTC of what is made to be log probabilities: torch's gradient holds for those alone."""

    def __init__(self, loss: ds_core.Module) -> None:
        self.normalise, self.loss = ds_core.LogSoftmax(-1), loss

    def forward(self, log_probs: Tensor, *given: Any) -> Any:
        return self.loss(self.normalise(log_probs), *given)

    def backward(self, grad: Any = 1.0) -> Any:
        return self.normalise.backward(self.loss.backward(grad))


class TheirNormalised(torch.nn.Module):
    def __init__(self, loss: torch.nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, log_probs: Tensor, *given: Any) -> Any:
        return self.loss(log_probs.log_softmax(-1), *given)


def translated(value: Any) -> Any:
    """Makes a layer of ours of one of torch that another is to be made of."""
    if not isinstance(value, torch.nn.TransformerEncoderLayer):
        return value
    attention, bias = value.self_attn, value.linear1.bias is not None
    return ds_transformer.TransformerEncoderLayer(
        attention.embed_dim,
        attention.num_heads,
        value.linear1.out_features,
        value.dropout.p,
        {"relu": "relu", "gelu": "gelu"}[value.activation.__name__],
        value.norm1.eps,
        attention.batch_first,
        value.norm_first,
        bias,
    )


def case(name: str, ours: Any, theirs: Any, made: Any, given: Any, training: bool) -> Case:
    inputs, options = (given.args, given.kwargs) if given.args else (tuple(given.kwargs.values()), {})

    class Called(ours):
        def forward(self, *inputs: Any) -> Any:
            return super().forward(*inputs, **options)

    Called.__name__ = ours.__name__

    def make() -> ds_core.Module:
        module = (Called if options else ours)(*map(translated, made.args), **made.kwargs)
        return (Normalised(module) if ours is ds_core.CTCLoss else module).train(training)

    def namesake() -> torch.nn.Module:
        module = theirs(*made.args, **made.kwargs)
        return (TheirNormalised(module) if ours is ds_core.CTCLoss else module).train(training)

    return Case(
        name=name,
        make=make,
        inputs=lambda g: detached(inputs),
        namesake=namesake,
        reference=lambda module, *inputs: module(*inputs, **options),
        no_differences="torch's gradients are asked here",
    )


def detached(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(detached(part) for part in value)
    return value.detach().clone() if isinstance(value, Tensor) else value


def problems(cases: list[Case]) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [f"{case.name}: {problem}" for case in cases for problem in run(case).problems]


def test_most_of_our_layers_are_sampled() -> None:
    assert len(DATABASE) > 75


@pytest.mark.parametrize("name", DATABASE)
def test_some_samples(name: str) -> None:
    cases = list(samples(name))
    assert problems([cases[0], cases[-1]] if cases else []) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", DATABASE)
def test_all_samples(name: str) -> None:
    assert problems(list(samples(name))) == []
