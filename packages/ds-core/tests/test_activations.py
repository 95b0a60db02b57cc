"""Activations where it gets difficult: kinks, very large numbers, wrong input, the options of the base."""

import ds_core as ds
import pytest
import torch
from ds_core import engine, functional
from ds_core.kernels import elementary
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
    "CELU()",
    "CELU(0.5)",
    "Hardshrink()",
    "Hardsigmoid()",
    "Hardtanh()",
    "Hardtanh(-3.0, 0.5)",
    "Softshrink()",
    "Softshrink(3.0)",
    "Softsign()",
    "Tanhshrink()",
    "Threshold(0.5, 20.0)",
]
KINKS = [-0.5, 1.0, -1.0, 0.0, -0.0, -3.0, 3.0, 6.0, 0.5, 20.0, 10.0]
LARGE = [1e4, -1e4, 1e3, -1e3, 104.0, -104.0, 89.0, -89.0, 50.0, -50.0, 21.0, -21.0]
LIMITS = {torch.float32: 1e-5, torch.float64: 1e-12}


class HardsigmoidInDouble(nn.Hardsigmoid):
    """nn.Hardsigmoid, whose slope, a sixth, is a float32 also in float64: there as it is defined."""

    def forward(self, input):
        if input.dtype == torch.float64:
            return nn.functional.relu6(input + 3) / 6
        return super().forward(input)


def build(library, text, dtype=torch.float32):
    if library is nn and text == "Hardsigmoid()":
        return HardsigmoidInDouble()
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
@pytest.mark.parametrize("text", ["Softmax(-1)", "Softmin(-1)", "LogSoftmax(-1)", "GLU(-1)", "Softmax(0)"])
def test_large_numbers_side_by_side(text, dtype):
    x = torch.tensor([[1e4, -1e4, 0, 1], [-1e4, -1e4, -1e4, 1], [1e4, 1e4, 1e4, 1e4]], dtype=dtype)
    assert_like_namesake(text, x)


def test_softmax_of_hidden_scores():
    x = torch.tensor([[1.0, -torch.inf, 2.0], [-torch.inf] * 3])
    with engine("manual"):
        y = ds.Softmax(-1)(x)
    torch.testing.assert_close(y, x.softmax(-1), equal_nan=True)
    assert y[1].isnan().all()


EXTREMES = {
    dtype: torch.tensor(
        [
            *(torch.inf, -torch.inf, torch.finfo(dtype).max, torch.finfo(dtype).min, torch.finfo(dtype).tiny),
            *(
                0.0,
                6e4,
                -6e4,
                300.0,
                -300.0,
                88.0,
                -88.0,
                25.0,
                -25.0,
                12.0,
                -12.0,
                11.0,
                8.0,
                -8.0,
                5.6,
                5.5,
            ),
        ],
        dtype=dtype,
    )
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


def formula_only(layer, x, grad):
    with engine("manual", kernels=False):
        return layer(x), layer.backward(grad)


@pytest.mark.parametrize("dtype", EXTREMES)
@pytest.mark.parametrize("text", ELEMENTWISE)
def test_infinity_and_the_ends_of_each_type(text, dtype):
    x = EXTREMES[dtype]
    expected, slope = taped(build(nn, text, dtype), x, torch.ones_like(x))
    eps = torch.finfo(dtype).eps
    for run in (manual, formula_only, taped):
        y, grad = run(build(ds, text, dtype), x, torch.ones_like(x))
        assert (y.dtype, grad.dtype) == (dtype, dtype)
        for mine, theirs in ((y, expected), (grad, slope)):
            known = theirs.isfinite() | (theirs.isinf() & x.isinf())  # not where torch.nn is NaN or overflows
            torch.testing.assert_close(mine[known], theirs[known], rtol=4 * eps, atol=max(4 * eps, 1e-12))
            assert not mine[x.isfinite() & ~theirs.isnan()].isnan().any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("text", [*ELEMENTWISE, "Softmax(-1)", "Softmin(-1)", "LogSoftmax(-1)", "GLU()"])
def test_half_precision_is_as_precise_as_that_of_torch(text, dtype):
    x = torch.randn(64, 32, generator=G) * 4
    grad = torch.randn(build(ds, text)(x).shape, generator=G)
    exact = taped(build(nn, text, torch.float64), x.to(dtype).double(), grad.to(dtype).double())
    theirs = taped(build(nn, text, dtype), x.to(dtype), grad.to(dtype))
    for run in (manual, formula_only, taped):
        ours = run(build(ds, text, dtype), x.to(dtype), grad.to(dtype))
        for mine, other, truth in zip(ours, theirs, exact, strict=True):
            allowed = 1.1 * (other - truth).abs().max() + torch.finfo(dtype).eps * 1e-2
            assert (mine - truth).abs().max() <= allowed


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("text", ["Threshold(0.1, 20.0)", "Hardtanh(-0.3, 0.7)", "Softshrink(0.3)"])
def test_a_threshold_is_not_rounded_to_half_precision(text, dtype):
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    x = x[x.isfinite()]  # every number there is
    exact = taped(build(nn, text, torch.float64), x.double(), torch.ones_like(x, dtype=torch.float64))
    for run in (manual, formula_only, taped):
        for mine, truth in zip(run(build(ds, text, dtype), x, torch.ones_like(x)), exact, strict=True):
            torch.testing.assert_close(mine, truth.to(dtype), rtol=0, atol=0)


OFF = ["ReLU()", "ReLU6()", "PReLU()", "Hardtanh(-1, 6)", "Hardsigmoid()", "Threshold(0, 1)", "Hardshrink(4)"]


@pytest.mark.parametrize("text", [*OFF, "Softshrink(4)"])
def test_an_infinite_gradient_does_not_pass_where_the_slope_is_0(text):
    x = torch.tensor([-5.0, 2.0, -4.0, 7.0])
    for run in (manual, formula_only, taped):
        ours, theirs = build(ds, text), build(nn, text)
        _, grad = run(ours, x, torch.full((4,), torch.inf))
        _, expected = taped(theirs, x, torch.full((4,), torch.inf))
        torch.testing.assert_close(grad, expected)
        if text == "PReLU()":
            torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize("text", ELEMENTWISE)
def test_values_at_infinity_are_those_of_torch(text):
    x = torch.tensor([torch.inf, -torch.inf])
    expected = build(nn, text)(x).detach()
    if text == "GELU()":  # with AVX-512, torch 2.13 makes NaN of infinity too
        expected[0] = torch.inf
    for run in (manual, formula_only, taped):
        y, _ = run(build(ds, text), x, torch.ones(2))
        torch.testing.assert_close(y, expected, equal_nan=True)


def test_gates_at_infinity():
    x = torch.tensor([[1.0, -torch.inf], [1.0, torch.inf], [torch.inf, 0.0]])
    expected = taped(nn.GLU(), x, torch.ones(3, 1))
    for run in (manual, formula_only):
        torch.testing.assert_close(run(ds.GLU(), x, torch.ones(3, 1)), expected)
    y, grad = taped(ds.GLU(), x[:2], torch.ones(2, 1))
    torch.testing.assert_close((y, grad), (expected[0][:2], expected[1][:2]))


def test_nan_stays_visible():
    x = torch.tensor([torch.nan, 1.0])
    for text in [*ELEMENTWISE, "Softmax(0)", "Softmin(0)", "LogSoftmax(0)", "GLU()"]:
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
    y = elementary.softmax(x, out=x)
    assert y.data_ptr() == x.data_ptr()
    torch.testing.assert_close(x, expected)


def test_softmax_of_nothing_but_hidden_scores_can_be_zeros():
    x = torch.tensor([[1.0, -torch.inf], [-torch.inf, -torch.inf]], requires_grad=True)
    y, saved = functional.softmax(x, hidden_to_zero=True)
    assert y.tolist() == [[1, 0], [0, 0]]
    y.backward(torch.tensor([[2.0, 3.0], [4.0, 5.0]]))
    assert x.grad.tolist() == [[0, 0], [0, 0]]
    assert functional.softmax_backward(torch.ones(2, 2), saved).tolist() == [[0, 0], [0, 0]]
    assert torch.equal(elementary.softmax(x.detach(), hidden_to_zero=True), y)


def test_softmax_gradient_sums_to_nothing():
    grad, x = torch.randn(2, 3, 4, dtype=torch.float64, generator=G)
    grad_x = functional.softmax_backward(grad, functional.softmax(x, 0)[1])
    torch.testing.assert_close(grad_x.sum(0), torch.zeros(4, dtype=torch.float64))


def test_exp_keeps_the_precision_it_promises():
    x = torch.linspace(-87, 88, 1001)
    relative = elementary.exp(x).double() / x.double().exp() - 1
    assert (relative.abs() <= 1.5 * (1 + x.abs()) * torch.finfo(torch.float32).eps).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_times_one_or_zero_choose(dtype):
    x = torch.tensor([1.0, -1.0, 0.0, -0.0, 1e-40, torch.inf, -torch.inf, torch.nan], dtype=dtype)
    grad = torch.tensor([torch.inf] * 7 + [2.0], dtype=dtype)
    kept = torch.where(x > 0, grad, 0)
    kept[7] = 2.0  # a NaN counts as on: what comes of it is NaN anyway
    product = (elementary.bits(x) > 0).to(elementary.bits(x).dtype) * elementary.bits(grad)
    assert torch.equal(product.view(dtype), kept)


def test_inplace_replaces_the_input_unless_a_backward_may_need_it():
    names = ["ELU", "Hardswish", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SELU", "SiLU"]
    for name in [*names, "CELU", "Hardsigmoid", "Hardtanh"]:
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
        (lambda: ds.CELU(0), None, ValueError, "CELU: expected an alpha other than 0"),
        (
            lambda: ds.Hardtanh(1, 1),
            None,
            ValueError,
            "Hardtanh: expected min_val below max_val, got 1 and 1",
        ),
        (lambda: ds.Softshrink(-1), None, ValueError, "Softshrink: expected lambd to be 0 or more, got -1"),
        (ds.Softsign, torch.arange(3), TypeError, r"Softsign\(\): expected floating point input"),
        (lambda: ds.Softmin(2), torch.ones(2, 3), IndexError, r"Softmin\(dim=2\): .* got shape \(2, 3\)"),
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_number_as_a_tensor_computes_the_same(dtype):
    x = torch.randn(100, dtype=torch.float64).to(dtype)
    for value in (0.1, -3, 1e-8, 1 / 3, float("inf")):
        number = elementary.number(value, x)
        assert torch.equal(x * number, x * value)
        assert torch.equal(x + number, x + value)
        assert torch.equal(x / number, x / value)
    assert isinstance(elementary.number(0.1, x), torch.Tensor) == (dtype in (torch.float32, torch.float64))


def test_a_number_that_is_a_tensor_already_may_change():
    rate, x = torch.tensor(0.5), torch.ones(3)
    assert torch.equal(x * elementary.number(rate, x), x / 2)
    rate.fill_(0.25)
    assert torch.equal(x * elementary.number(rate, x), x / 4)


def test_a_number_from_inference_mode_serves_outside_it():
    with torch.inference_mode():
        elementary.number(0.123, torch.ones(1))
    x = torch.ones(3, requires_grad=True)
    (x * elementary.number(0.123, x)).sum().backward()
