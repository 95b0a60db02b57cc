"""Activations where it gets difficult: kinks, very large numbers, wrong input, the options of the base."""

import ds_core as ds
import pytest
import torch
from ds_core import engine
from ds_core.functional import activations as functions
from ds_core.functional.elementary import exp
from ds_core.functional.softmax import softmax, softmax_backward
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

G = torch.Generator().manual_seed(0)

ELEMENTWISE = [
    "ELU()",
    "ELU(alpha=-0.5)",
    "GELU()",
    "GELU('tanh')",
    "Hardswish()",
    "LeakyReLU()",
    "LeakyReLU(0.3)",
    "LogSigmoid()",
    "Mish()",
    "PReLU()",
    "ReLU()",
    "ReLU6()",
    "SELU()",
    "SiLU()",
    "Sigmoid()",
    "Softplus()",
    "Softplus(2.0, 1.0)",
    "Tanh()",
]
KINKS = [0.0, -0.0, -3.0, 3.0, 6.0, 0.5, 20.0, 10.0]
LARGE = [1e4, -1e4, 1e3, -1e3, 104.0, -104.0, 89.0, -89.0, 50.0, -50.0, 21.0, -21.0]
LIMITS = {torch.float32: 1e-5, torch.float64: 1e-12}


def build(library, text, dtype=torch.float32):
    return eval(f"library.{text}", {"library": library}).to(dtype=dtype)


def manual(layer, x, grad):
    with engine("manual"):
        return layer(x), layer.backward(grad)


def taped(layer, x, grad):
    x = x.clone().requires_grad_()
    with engine("autograd"):
        y = layer(x)
        y.backward(grad)
    return y.detach(), x.grad


def assert_like_namesake(text, x):
    output = build(nn, text, x.dtype)(x)
    grad = torch.linspace(0.5, 2, output.numel(), dtype=x.dtype).view(output.shape)
    expected = taped(build(nn, text, x.dtype), x, grad)
    limit = LIMITS[x.dtype]
    for run in (manual, taped):
        result = run(build(ds, text, x.dtype), x, grad)
        torch.testing.assert_close(result, expected, rtol=limit, atol=limit)
        assert all(tensor.isfinite().all() for tensor in result)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("text", ELEMENTWISE)
def test_kinks_and_large_numbers(text, dtype):
    assert_like_namesake(text, torch.tensor(KINKS + LARGE, dtype=dtype))


@pytest.mark.parametrize("text", ELEMENTWISE)
@settings(max_examples=25, deadline=None)
@given(numbers=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8))
def test_any_number(text, numbers):
    assert_like_namesake(text, torch.tensor(numbers, dtype=torch.float64))


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("text", ["Softmax(-1)", "LogSoftmax(-1)", "GLU(-1)", "Softmax(0)"])
def test_large_numbers_side_by_side(text, dtype):
    x = torch.tensor([[1e4, -1e4, 0, 1], [-1e4, -1e4, -1e4, 1], [1e4, 1e4, 1e4, 1e4]], dtype=dtype)
    assert_like_namesake(text, x)


def test_softmax_of_hidden_scores():
    x = torch.tensor([[1.0, -torch.inf, 2.0], [-torch.inf] * 3])
    with engine("manual"):
        y = ds.Softmax(-1)(x)
    torch.testing.assert_close(y, x.softmax(-1), equal_nan=True)
    assert y[1].isnan().all()


def test_nan_stays_visible():
    x = torch.tensor([torch.nan, 1.0])
    for text in [*ELEMENTWISE, "Softmax(0)", "LogSoftmax(0)", "GLU()"]:
        for name in ["manual", "autograd"]:
            with engine(name):
                assert build(ds, text)(x)[0].isnan(), text


def test_softmax_without_dim_takes_that_of_torch():
    for shape in [(4,), (4, 5), (2, 3, 4), (2, 3, 2, 2)]:
        x = torch.randn(shape, generator=G)
        with pytest.warns(UserWarning, match="no dim given"), engine("manual"):
            ours = ds.Softmax()(x)
        with pytest.warns(UserWarning, match="Implicit dimension"):
            torch.testing.assert_close(ours, nn.Softmax()(x))


def test_softmax_can_write_over_its_input():
    x = torch.randn(3, 4, generator=G)
    expected = x.softmax(-1)
    with torch.no_grad():
        y = softmax(x, out=x)
    assert y.data_ptr() == x.data_ptr()
    torch.testing.assert_close(x, expected)


def test_softmax_gradient_sums_to_nothing():
    grad, x = torch.randn(2, 3, 4, dtype=torch.float64, generator=G)
    grad_x = softmax_backward(grad, softmax(x, 0), 0)
    torch.testing.assert_close(grad_x.sum(0), torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("name", "options"),
    [("gelu", {}), ("gelu", {"approximate": "tanh"}), ("silu", {}), ("mish", {})],
)
def test_the_plain_pair_and_the_one_with_slope_agree(name, options):
    x = torch.linspace(-6, 6, 101, dtype=torch.float64).requires_grad_()
    y = getattr(functions, name)(x, **options)
    grad = torch.linspace(1, 2, 101, dtype=torch.float64)
    y.backward(grad)
    with torch.no_grad():
        quick, slope = getattr(functions, f"{name}_with_slope")(x, **options)
        grad_x = getattr(functions, f"{name}_backward")(grad, x, **options)
    torch.testing.assert_close(quick, y)
    torch.testing.assert_close(grad_x, x.grad)
    torch.testing.assert_close(slope * grad, x.grad)


def test_exp_keeps_the_precision_it_promises():
    x = torch.linspace(-87, 88, 1001)
    with torch.no_grad():
        relative = exp(x).double() / x.double().exp() - 1
    assert (relative.abs() <= 1.5 * (1 + x.abs()) * torch.finfo(torch.float32).eps).all()


def test_inplace_replaces_the_input_unless_a_backward_may_need_it():
    for name in ["ELU", "Hardswish", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SELU", "SiLU"]:
        x = torch.linspace(-4, 7, 6)
        expected = taped(getattr(nn, name)(), x, torch.ones(6))
        layer = getattr(ds, name)(inplace=True)
        with engine("manual"):
            given = x.clone()
            y = layer(given)
            assert torch.equal(given, x)
            torch.testing.assert_close((y, layer.backward(torch.ones(6))), expected)
        assert layer(given) is given
        torch.testing.assert_close(given, y)


def test_eval_and_unwanted_input_gradients_cost_nothing():
    x = torch.randn(5, generator=G)
    for text in [*ELEMENTWISE, "Softmax(0)"]:
        layer = build(ds, text)
        with engine("manual"):
            layer(x)
            layer.requires_input_grad_(False)
            assert layer.backward(x) is None
            with pytest.raises(RuntimeError, match="eval mode"):
                layer.eval().backward(x)


def test_a_frozen_prelu_has_no_gradient():
    layer = ds.PReLU().requires_grad_(False)
    _, grad_x = manual(layer, torch.tensor([-2.0, 2.0]), torch.ones(2))
    assert grad_x.tolist() == [0.25, 1]
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    ("make", "x", "error", "message"),
    [
        (lambda: ds.GELU("erf"), None, ValueError, "GELU: expected approximate 'none' or 'tanh', got 'erf'"),
        (ds.ReLU, torch.arange(3), TypeError, r"ReLU\(\): expected floating point input, got torch.int64"),
        (lambda: ds.Softmax(2), torch.ones(2, 3), IndexError, r"Softmax\(dim=2\): .* got shape \(2, 3\)"),
        (ds.GLU, torch.ones(2, 3), ValueError, r"GLU\(\): expected an even .* got shape \(2, 3\)"),
        (ds.GLU, torch.tensor(1.0), ValueError, r"GLU\(\): expected an even dimension -1, got shape \(\)"),
        (lambda: ds.PReLU(3), torch.ones(2, 4), ValueError, r"expected 3 channels .* got \(2, 4\)"),
        (ds.PReLU, torch.ones(2).double(), TypeError, "expected torch.float32 input like its parameters"),
    ],
)
def test_errors_say_what_was_expected(make, x, error, message):
    with pytest.raises(error, match=message):
        make()(x)
