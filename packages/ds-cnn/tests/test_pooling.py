"""Pooling: loops and vectorised against torch.nn over all options, and what happens to bad input."""

import ds_cnn
import numpy as np
import pytest
import torch
from ds_cnn import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    GlobalMaxPool2d,
    LPPool2d,
    MaxPool2d,
)
from ds_core import engine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

LIMITS = {torch.float64: 1e-9, torch.float32: 1e-4}
DTYPES = pytest.mark.parametrize("dtype", LIMITS, ids=["float64", "float32"])


def agree(ours, theirs, x):
    """Compares output and input gradient with the referee's."""
    with engine("manual"):
        y = ours(x)
        grad = torch.randn(y.shape, dtype=x.dtype)
        grad_x = ours.backward(grad)
    their_x = x.clone().requires_grad_()
    expected = theirs(their_x)
    expected.backward(grad)
    torch.testing.assert_close(y, expected.detach(), rtol=LIMITS[x.dtype], atol=LIMITS[x.dtype])
    torch.testing.assert_close(grad_x, their_x.grad, rtol=LIMITS[x.dtype], atol=LIMITS[x.dtype])


@st.composite
def images(draw):
    """Draws images, in either memory layout, some with equal pixels."""
    shape = (*draw(st.sampled_from([(), (1,), (2,)])), 2, draw(st.integers(5, 9)), draw(st.integers(5, 9)))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    if draw(st.booleans()):
        x = x.round()
    if x.dim() == 4 and draw(st.booleans()):
        x = x.contiguous(memory_format=torch.channels_last)
    return x


@st.composite
def windows(draw):
    """Draws what max and average pooling have in common."""
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return {
        "kernel_size": kernel,
        "stride": draw(st.one_of(st.none(), st.integers(1, 3))),
        "padding": tuple(draw(st.integers(0, size // 2)) for size in kernel),
        "ceil_mode": draw(st.booleans()),
    }


@DTYPES
@settings(max_examples=60, deadline=None)
@given(x=images(), options=windows(), dilation=st.integers(1, 2))
def test_max_pool_equals_torch(dtype, x, options, dilation):
    options["dilation"] = dilation
    spans = [dilation * (k - 1) + 1 for k in options["kernel_size"]]
    assume(all(s <= p for s, p in zip(spans, x.shape[-2:], strict=True)))
    for algorithm in ("loop", "vectorised"):
        agree(MaxPool2d(**options, algorithm=algorithm), nn.MaxPool2d(**options), x.to(dtype))
    y, where = MaxPool2d(**options, return_indices=True)(x)
    their_y, their_where = nn.MaxPool2d(**options, return_indices=True)(x)
    assert torch.equal(y, their_y)
    assert torch.equal(where, their_where)


@DTYPES
@settings(max_examples=60, deadline=None)
@given(x=images(), options=windows(), include=st.booleans(), divisor=st.sampled_from([None, 3]))
def test_avg_pool_equals_torch(dtype, x, options, include, divisor):
    options |= {"count_include_pad": include, "divisor_override": divisor}
    for algorithm in ("loop", "vectorised"):
        agree(AvgPool2d(**options, algorithm=algorithm), nn.AvgPool2d(**options), x.to(dtype))


@DTYPES
@settings(max_examples=40, deadline=None)
@given(x=images(), options=windows(), p=st.sampled_from([1, 2, 3.5]))
def test_lp_pool_equals_torch(dtype, x, options, p):
    del options["padding"]
    x = (x.abs() + 0.1).to(dtype)
    for algorithm in ("loop", "vectorised"):
        agree(LPPool2d(p, **options, algorithm=algorithm), nn.LPPool2d(p, **options), x)


@DTYPES
@settings(max_examples=40, deadline=None)
@given(x=images(), height=st.integers(1, 10), width=st.integers(1, 10))
def test_adaptive_pools_equal_torch(dtype, x, height, width):
    for ours, theirs in (
        (AdaptiveAvgPool2d, nn.AdaptiveAvgPool2d),
        (AdaptiveMaxPool2d, nn.AdaptiveMaxPool2d),
    ):
        for algorithm in ("loop", "vectorised"):
            agree(ours((height, width), algorithm=algorithm), theirs((height, width)), x.to(dtype))
    y, where = AdaptiveMaxPool2d((height, width), return_indices=True)(x)
    their_y, their_where = nn.AdaptiveMaxPool2d((height, width), return_indices=True)(x)
    assert torch.equal(y, their_y)
    assert torch.equal(where, their_where)


def test_a_number_that_is_none_comes_through():
    x = torch.randn(1, 1, 4, 4)
    x[0, 0, 1, 2] = float("nan")
    ours, theirs = MaxPool2d(2, return_indices=True)(x), nn.MaxPool2d(2, return_indices=True)(x)
    torch.testing.assert_close(ours[0], theirs[0], equal_nan=True)
    assert torch.equal(ours[1], theirs[1])


@pytest.mark.parametrize("kernels", [True, False])
def test_a_window_of_minus_infinity_keeps_its_gradient(kernels):
    x = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    x[0, 0, :3, :3] = x[0, 1, 4:, 2:] = -torch.inf
    ours, theirs = MaxPool2d(3, 2, 1, return_indices=True), nn.MaxPool2d(3, 2, 1, return_indices=True)
    leaf = x.clone().requires_grad_()
    expected, places = theirs(leaf)
    expected.backward(torch.ones_like(expected))
    with engine("manual", kernels=kernels):
        y, where = ours(x)
        grad_x = ours.backward(torch.ones_like(y))
    assert torch.equal(y, expected)
    assert torch.equal(where, places)
    assert torch.equal(grad_x, leaf.grad)
    mine = x.clone().requires_grad_()
    ours(mine)[0].sum().backward()
    assert torch.equal(mine.grad, leaf.grad)


@pytest.mark.parametrize("size", [(None, 7), (5, None), (None, None), None])
@pytest.mark.parametrize("algorithm", ["loop", "vectorised"])
def test_none_keeps_the_size_of_the_input(size, algorithm):
    x = torch.randn(1, 2, 10, 9)
    for ours, theirs in (
        (AdaptiveAvgPool2d, nn.AdaptiveAvgPool2d),
        (AdaptiveMaxPool2d, nn.AdaptiveMaxPool2d),
    ):
        agree(ours(size, algorithm=algorithm), theirs(size if size is not None else (None, None)), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("module", "arguments"),
    [("MaxPool2d", (3, 2, 1)), ("AvgPool2d", (5, 3, 2)), ("AdaptiveAvgPool2d", (3,)), ("LPPool2d", (2, 4))],
)
def test_half_precision_is_as_exact_as_torch(dtype, module, arguments):
    ours, theirs = getattr(ds_cnn, module)(*arguments), getattr(nn, module)(*arguments)
    x = (torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)).abs() * 40).to(dtype)
    leaf, wide = x.clone().requires_grad_(), x.double().requires_grad_()
    results = []
    for batch in (leaf, wide):
        y = theirs(batch)
        y.backward(torch.ones_like(y))
        results.append((y.detach(), batch.grad))
    with engine("manual"):
        y = ours(input=x)
        results.append((y, ours.backward(torch.ones_like(y))))
    for other, right, found in zip(*results, strict=True):
        assert found.dtype == dtype
        error, allowed = ((t.double() - right).norm() for t in (found, other))
        assert error <= 1.5 * allowed + torch.finfo(dtype).eps * right.norm()


def test_the_gradient_of_a_silent_window_is_zero():
    layer, x = LPPool2d(2, 2), torch.zeros(1, 1, 2, 2)
    with engine("manual"):
        layer(x)
        assert torch.equal(layer.backward(torch.ones(1, 1, 1, 1)), x)


def test_indices_come_without_a_gradient_of_their_own():
    layer, x = MaxPool2d(2, return_indices=True), torch.arange(16.0).view(1, 1, 4, 4)
    with engine("manual"):
        _, where = layer(x)
        grad_x = layer.backward(torch.ones(1, 1, 2, 2), None)
    assert where.flatten().tolist() == grad_x.flatten().nonzero().flatten().tolist() == [5, 7, 13, 15]


@pytest.mark.parametrize("shape", [(0, 2, 4, 4), (0, 2, 5, 7)])
def test_empty_batch(shape):
    for layer in (MaxPool2d(2), AvgPool2d(2), LPPool2d(2, 2), AdaptiveAvgPool2d(2), AdaptiveMaxPool2d(2)):
        with engine("manual"):
            y = layer(torch.randn(shape))
            assert y.shape == (0, 2, 2, shape[3] // 2 if not hasattr(layer.regions, "counts") else 2)
            assert layer.backward(y).shape == shape


def test_bad_input():
    with pytest.raises(
        ValueError, match=r"MaxPool2d.*at least as large, padded, as a window, got .*\(1, 1, 2, 4\)"
    ):
        MaxPool2d(3)(torch.randn(1, 1, 2, 4))
    with pytest.raises(
        ValueError, match=r"expected input of shape \(N, C, H, W\) or \(C, H, W\), got \(3, 4\)"
    ):
        AvgPool2d(2)(torch.randn(3, 4))
    with pytest.raises(TypeError, match=r"expected floating point input, got torch.int64"):
        MaxPool2d(2)(torch.ones(1, 1, 4, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"padding of at most half of kernel_size 2, got 2"):
        MaxPool2d(2, padding=2)
    with pytest.raises(ValueError, match="one of vectorised, loop, got 'fast'"):
        GlobalMaxPool2d(algorithm="fast")
    with pytest.raises(ValueError, match="norm_type above 0, got 0"):
        LPPool2d(0, 2)
    with pytest.raises(ValueError, match="divisor_override other than 0"):
        AvgPool2d(2, divisor_override=0)
    with pytest.raises(ValueError, match="algorithm='vectorised' with return_indices"):
        MaxPool2d(2, return_indices=True, algorithm="loop")
    with pytest.raises(ValueError, match="output_size to be a number or 2 of them, at least 1, got 0"):
        AdaptiveAvgPool2d(0)


def test_an_infinite_gradient_goes_to_the_largest_pixel_alone():
    x, grad = torch.randn(1, 2, 4, 4), torch.ones(1, 2, 2, 2)
    grad[0, 0, 1, 0] = torch.inf
    leaf, layer = x.clone().requires_grad_(), MaxPool2d(2)
    nn.MaxPool2d(2)(leaf).backward(grad)
    with engine("manual"):
        layer(x)
        assert torch.equal(layer.backward(grad), leaf.grad)


@pytest.mark.parametrize("size", [(3, 3), (4, 5), (1, 1), (6, 6)])
@pytest.mark.parametrize("name", ["manual", "formula", "autograd"])
def test_infinity_stays_in_its_bins(name, size):
    g = torch.Generator().manual_seed(0)
    x, grad = torch.randn(2, 3, 6, 6, generator=g), torch.randn(2, 3, *size, generator=g)
    x[0, 0, 2, 3], x[1, 2, 0, 0], grad[1, 1, 0, 0] = torch.inf, -torch.inf, torch.inf
    theirs, leaf = nn.AdaptiveAvgPool2d(size), x.clone().requires_grad_()
    expected = theirs(leaf)
    expected.backward(grad)
    ours, mine = ds_cnn.AdaptiveAvgPool2d(size), x.clone().requires_grad_(name == "autograd")
    if name == "autograd":
        y = ours(mine)
        y.backward(grad)
        grad_x = mine.grad
    else:
        with engine("manual", kernels=name == "manual"):
            y = ours(mine)
            grad_x = ours.backward(grad)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(grad_x, leaf.grad)


# ---- sequences -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "MaxPool1d(3, 2, 1, return_indices=True)",
        "MaxPool1d(2, padding=1, dilation=3, return_indices=True, ceil_mode=True)",
        "AdaptiveMaxPool1d((4,), return_indices=True)",
    ],
)
def test_where_the_largest_of_a_sequence_is(text):
    ours, theirs = eval(f"ds_cnn.{text}"), eval(f"nn.{text}")
    x = torch.randn(2, 3, 11, generator=torch.Generator().manual_seed(0))
    x[0, 0, :5] = 1.0  # the first of equals
    for some in (x, x[0]):
        assert all(map(torch.equal, ours(some), theirs(some)))


@pytest.mark.parametrize("engine_name", ["manual", "autograd"])
def test_a_window_with_no_pixel_is_refused(engine_name):
    for layer, x in (
        (MaxPool2d((1, 2), 1, (0, 1), (1, 5)), torch.zeros(1, 1, 3, 4)),
        (ds_cnn.MaxPool1d(3, padding=1, dilation=2, ceil_mode=True), torch.zeros(2, 1)),
    ):
        with (
            engine(engine_name),
            pytest.raises(ValueError, match="every window to have a pixel"),
        ):
            layer(x)
    seen, x = MaxPool2d((1, 2), 1, (0, 1), (1, 4)), torch.randn(1, 1, 3, 4)
    agree(seen, nn.MaxPool2d((1, 2), 1, (0, 1), (1, 4)), x)


@pytest.mark.parametrize("engine_name", ["manual", "autograd"])
def test_padding_of_nothing(engine_name):
    with engine(engine_name):
        assert ds_cnn.ConstantPad2d(2, 3.0)(torch.zeros(5, 0, 4)).eq(3.0).all()
        assert ds_cnn.ZeroPad1d(2)(torch.zeros(5, 0)).shape == (5, 4)
        with pytest.raises(
            ValueError, match=r"0, 2, -2\)\): expected input of which the padding leaves something"
        ):
            ds_cnn.ZeroPad2d((0, 0, 2, -2))(torch.zeros(1, 1, 4))
        with pytest.raises(
            ValueError, match=r"leaves something, got \(5, 4, 2\)"
        ):  # as it came, without a row
            ds_cnn.ZeroPad1d(-1)(torch.zeros(5, 4, 2))


def test_sequences_that_do_not_fit():
    with pytest.raises(ValueError, match=r"MaxPool1d\(.*: expected input of shape \(N, C, L\)"):
        ds_cnn.MaxPool1d(2)(torch.zeros(1, 2, 3, 4))
    with pytest.raises(ValueError, match="at least as long, padded, as a window"):
        ds_cnn.AvgPool1d(5)(torch.zeros(2, 4))
    with pytest.raises(TypeError, match="floating point"):
        ds_cnn.LPPool1d(2, 2)(torch.zeros(2, 4, dtype=torch.int64))
    for wrong in (lambda: ds_cnn.MaxPool1d((2, 2)), lambda: ds_cnn.AvgPool1d(0)):
        with pytest.raises(ValueError, match="kernel_size to be a number or a sequence of one, at least 1"):
            wrong()
    with pytest.raises(ValueError, match="output_size"):
        ds_cnn.AdaptiveAvgPool1d(0)
    with pytest.raises(ValueError, match="padding of at most half of kernel_size 3, got 2"):
        ds_cnn.MaxPool1d(3, padding=2)
    with pytest.raises(ValueError, match="norm_type above 0"):
        ds_cnn.LPPool1d(0, 2)
    for pool in (ds_cnn.LPPool1d, LPPool2d):  # x to the power of infinity is 0, or infinite
        with pytest.raises(
            ValueError, match=r"expected finite norm_type above 0, got inf; .* MaxPool.d of x"
        ):
            pool(float("inf"), 2)
    with pytest.raises(ValueError, match=r"one number or \(left, right\)"):
        ds_cnn.ZeroPad1d((1, 2, 3))
    for wrong in (lambda: ds_cnn.ZeroPad1d(1.5), lambda: ds_cnn.ZeroPad2d((1, 2, 3.5, 4))):
        with pytest.raises(TypeError, match=r"expected padding to be a whole number.*, got"):
            wrong()
    with pytest.raises(ValueError, match=r"expected input of shape \(N, C, L\)"):
        ds_cnn.ReflectionPad1d(1)(torch.zeros(3))
    with pytest.raises(ValueError, match="from 0 to 2 pixels of padding"):
        ds_cnn.ReflectionPad1d(3)(torch.zeros(1, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda two: ds_cnn.Conv2d(3, 2, two, two, two),
        lambda two: ds_cnn.ConvTranspose2d(3, 2, two, two),
        lambda two: MaxPool2d(two),
        lambda two: ds_cnn.AvgPool2d((two, 2)),
        lambda two: ds_cnn.AdaptiveAvgPool2d(two),
        lambda two: ds_cnn.AdaptiveMaxPool2d((None, two)),
        lambda two: ds_cnn.Upsample(two),
        lambda two: ds_cnn.Upsample(scale_factor=two),
        lambda two: ds_cnn.ZeroPad2d(two),
        lambda two: ds_cnn.ReflectionPad2d((two, 0, 1, 2)),
    ],
)
def test_numbers_of_numpy_are_numbers(make):
    x, plain, of_numpy = torch.randn(2, 3, 4, 5), make(2), make(np.int64(2))
    of_numpy.load_state_dict(plain.state_dict())
    assert repr(of_numpy) == repr(plain)
    assert torch.equal(of_numpy(x), plain(x))
