from __future__ import annotations

import math

import pytest
import torch
from ds_core.clipping import clip_grad_norm_, clip_grad_value_
from ds_core.module import Parameter
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPES = [(4, 3), (7,), (), (0, 2), (2, 3, 4)]


def parameters(dtype=torch.float64, scale=1.0):
    """Parameters with gradients, one that is not laid out in rows, and one parameter without."""
    g = torch.Generator().manual_seed(0)
    params = [Parameter(torch.zeros(shape, dtype=dtype)) for shape in SHAPES]
    for p in params:
        p.grad = scale * torch.randn(p.shape, generator=g, dtype=torch.float64).to(dtype)
    across = Parameter(torch.zeros(5, 6, dtype=dtype))
    across.grad = torch.randn(6, 5, generator=g, dtype=torch.float64).to(dtype).T
    return [*params, across, Parameter(torch.zeros(3, dtype=dtype))]


def grads(params):
    return [p.grad for p in params if p.grad is not None]


@pytest.mark.parametrize("norm_type", [2, 2.0, 1, 3.5, 0.5, math.inf])
@pytest.mark.parametrize("max_norm", [0, 0.1, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_norm_equals_torch(norm_type, max_norm, dtype):
    ours, theirs = parameters(dtype), parameters(dtype)
    if norm_type == math.inf:  # theirs fails on gradients without numbers
        ours, theirs = ([p for p in params if p.numel()] for params in (ours, theirs))
    norm = clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert norm.shape == ()
    torch.testing.assert_close(norm, expected)
    torch.testing.assert_close(grads(ours), grads(theirs))


def test_limit_and_kind_may_be_what_float_takes():
    """As in torch: "inf" is written in many a recipe."""
    ours, theirs = ([p for p in parameters() if p.numel()] for _ in range(2))
    clip_grad_norm_(ours, torch.tensor(0.5), "inf")
    torch.nn.utils.clip_grad_norm_(theirs, torch.tensor(0.5), "inf")
    torch.testing.assert_close(grads(ours), grads(theirs))


def test_norm_of_many_numbers_is_exact():
    p = Parameter(torch.zeros(3_000_001))
    p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    exact = p.grad.double().square().sum().sqrt().item()
    assert clip_grad_norm_(p, math.inf).item() == pytest.approx(exact, rel=2e-6)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.sampled_from([1.0, 2.0, math.inf]))
@settings(max_examples=30, deadline=None)
def test_afterwards_the_norm_is_at_most_the_limit_and_the_direction_the_same(scale, max_norm, norm_type):
    params = [p for p in parameters(scale=scale) if p.numel()]
    before = [g.clone() for g in grads(params)]
    norm = clip_grad_norm_(params, max_norm, norm_type)
    assert clip_grad_norm_(params, math.inf, norm_type) <= max_norm * (1 + 1e-9) or norm <= max_norm
    factor = min(1.0, max_norm / (norm.item() + 1e-6))
    torch.testing.assert_close(grads(params), [g * factor for g in before])


def test_one_tensor_a_generator_and_nothing_at_all():
    p = Parameter(torch.zeros(2))
    p.grad = torch.tensor([3.0, 4.0])
    assert clip_grad_norm_(p, 10.0).item() == 5.0
    assert clip_grad_norm_((q for q in [p]), 1.0).item() == 5.0
    torch.testing.assert_close(p.grad, torch.tensor([0.6, 0.8]))
    assert clip_grad_norm_([], 1.0).item() == 0.0
    assert clip_grad_norm_([Parameter(torch.zeros(2))], 1.0).item() == 0.0
    empty = Parameter(torch.zeros(0))
    empty.grad = torch.zeros(0)
    assert clip_grad_norm_(empty, 1.0, math.inf).item() == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nonfinite_gradients(bad):
    def broken():
        params = parameters()
        params[1].grad[2] = bad
        return params

    params = broken()
    before = [g.clone() for g in grads(params)]
    with pytest.raises(
        RuntimeError, match=f"clip_grad_norm_: expected a finite norm of the gradients, got {bad}"
    ):
        clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    torch.testing.assert_close(grads(params), before, equal_nan=True)
    theirs = broken()
    clip_grad_norm_(params, 1.0)
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    torch.testing.assert_close(grads(params), grads(theirs), equal_nan=True)


def test_value_equals_torch():
    ours, theirs = parameters(), parameters()
    clip_grad_value_(ours, 0.5)
    torch.nn.utils.clip_grad_value_(theirs, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(grads(ours), grads(theirs), strict=True))
    assert max(g.abs().max() for g in grads(ours) if g.numel()) == 0.5


def test_wrong_limits_are_named():
    with pytest.raises(ValueError, match="clip_grad_norm_: expected max_norm >= 0, got -1"):
        clip_grad_norm_(parameters(), -1)
    with pytest.raises(ValueError, match="clip_grad_norm_: expected norm_type > 0, got 0"):
        clip_grad_norm_(parameters(), 1, norm_type=0)
    with pytest.raises(ValueError, match="clip_grad_value_: expected clip_value >= 0, got nan"):
        clip_grad_value_(parameters(), math.nan)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("norm_type", [1, 2, 3.5, math.inf])
def test_half_precision_has_room_for_the_squares(dtype, norm_type):
    p, q = Parameter(torch.zeros(1000, dtype=dtype)), Parameter(torch.zeros(1000))
    p.grad = (600 * torch.randn(1000, generator=torch.Generator().manual_seed(0))).to(dtype)
    q.grad = p.grad.float()
    norm, exact = clip_grad_norm_([p], 1.0, norm_type), clip_grad_norm_([q], 1.0, norm_type)
    torch.testing.assert_close(norm.float(), exact)
    torch.testing.assert_close(p.grad.float(), q.grad, rtol=torch.finfo(dtype).eps, atol=1e-6)
