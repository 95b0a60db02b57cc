"""Resampling, pads and dropout of channels: all options, and what happens to bad input."""

import math

import pytest
import torch
from ds_cnn import Dropout2d, PixelShuffle, PixelUnshuffle, ReflectionPad2d, Upsample, ZeroPad2d
from ds_core import engine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

SIZES = st.tuples(st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=80, deadline=None)
@given(
    old=SIZES,
    new=SIZES,
    scale=st.one_of(st.none(), st.sampled_from([0.5, 1.0, 1.7, 2.0, 3.3])),
    mode=st.sampled_from(["nearest", "bilinear", "bicubic"]),
    corners=st.sampled_from([None, True, False]),
    antialias=st.booleans(),
)
def test_upsample_equals_torch(old, new, scale, mode, corners, antialias):
    if scale is not None and min(old) * scale < 1:
        return
    to = {"size": new} if scale is None else {"scale_factor": scale}
    if mode == "nearest":
        corners, antialias = None, False
    if (new[1] if scale is None else int(old[1] * scale)) == 1:
        antialias = False  # to one column torch repeats the first pixel: see the test below
    ours = Upsample(**to, mode=mode, align_corners=corners, antialias=antialias)

    def theirs(x):
        return nn.functional.interpolate(x, **to, mode=mode, align_corners=corners, antialias=antialias)

    x = torch.randn(2, 3, *old, dtype=torch.float64)
    with engine("manual"):
        y = ours(x)
        grad = torch.randn_like(y)
        grad_x = ours.backward(grad)
    their_x = x.clone().requires_grad_()
    expected = theirs(their_x)
    expected.backward(grad)
    torch.testing.assert_close(y, expected.detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(grad_x, their_x.grad, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_antialias_to_one_column_is_that_to_one_row(mode, width):
    column = torch.randn(2, 3, 5, width, dtype=torch.float64)
    ours = Upsample((3, 1), mode=mode, antialias=True)(column)
    row = nn.functional.interpolate(column.mT, (1, 3), mode=mode, antialias=True)
    torch.testing.assert_close(ours, row.mT, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1.01, 1.3, 2.01, 2.3, (1.3, 2.3), (2.3, 0.5), (2.3, 3.0)])
def test_nearest_by_a_fraction_equals_torch(scale):
    x = torch.randn(2, 3, 3, 5, dtype=torch.float64)
    ours, their_x = Upsample(scale_factor=scale), x.clone().requires_grad_()
    with engine("manual"):
        y = ours(x)
        grad = torch.randn_like(y)
        grad_x = ours.backward(grad)
    expected = nn.Upsample(scale_factor=scale)(their_x)
    expected.backward(grad)
    assert torch.equal(y, expected.detach())
    torch.testing.assert_close(grad_x, their_x.grad)


@pytest.mark.parametrize("scale", [1.01, 1.3, 2.01, 2.3])
def test_nearest_by_a_fraction_equals_torch_on_sequences(scale):
    """Of theirs the result alone: their backward is that of another one where the length stays or doubles."""
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    assert torch.equal(Upsample(scale_factor=scale)(x), nn.Upsample(scale_factor=scale)(x))
    ours, again = Upsample(scale_factor=scale), x.clone().requires_grad_()
    with engine("manual"):
        y = ours(x)
        grad = torch.randn_like(y)
        grad_x = ours.backward(grad)
    with engine("autograd"):
        ours(again).backward(grad)
    torch.testing.assert_close(grad_x, again.grad)


def test_whole_channels_are_dropped():
    layer = Dropout2d(0.4, generator=torch.Generator().manual_seed(0))
    y = layer(torch.ones(50, 40, 3, 3))
    sums = y.sum((2, 3))
    torch.testing.assert_close(sums[sums > 0], torch.full_like(sums[sums > 0], 9 / 0.6))
    assert abs(float((sums == 0).float().mean()) - 0.4) < 0.05
    again = Dropout2d(0.4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(torch.ones(50, 40, 3, 3)), y)
    x = torch.randn(2, 3, 4, 4)
    assert layer.eval()(x) is x


@pytest.mark.parametrize("options", [{"size": (7,)}, {"scale_factor": (2.5,)}, {"scale_factor": (0.5,)}])
def test_sequences_take_a_sequence_of_one_number(options):
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    for mode in ("nearest", "linear"):
        layer = Upsample(mode=mode, **options)
        torch.testing.assert_close(layer(x), nn.Upsample(mode=mode, **options)(x))
        torch.testing.assert_close(layer.to_torch()(x), layer(x))


def test_bad_input():
    with pytest.raises(ValueError, match="expected size or scale_factor"):
        Upsample()
    with pytest.raises(ValueError, match="one of nearest, linear, bilinear, bicubic, got 'cubic'"):
        Upsample(2, mode="cubic")
    with pytest.raises(ValueError, match="align_corners with mode='linear', 'bilinear' or 'bicubic' only"):
        Upsample(2, align_corners=True)
    with pytest.raises(ValueError, match="antialias with mode='bilinear' or 'bicubic' only"):
        Upsample(2, antialias=True)
    with pytest.raises(ValueError, match=r"scale_factor above 0, one, got \(2, 2\)"):
        Upsample(scale_factor=(2, 2), mode="linear")
    with pytest.raises(ValueError, match=r"Upsample.*shape \(N, C, L\), got \(1, 2, 3, 4\)"):
        Upsample(2, mode="linear")(torch.randn(1, 2, 3, 4))
    with pytest.raises(ValueError, match=r"expected one number for a sequence, got \(2, 3\)"):
        Upsample((2, 3))(torch.randn(1, 2, 3))
    with pytest.raises(ValueError, match=r"expected two numbers for images, got \(2,\)"):
        Upsample((2,))(torch.randn(1, 2, 3, 4))
    with pytest.raises(ValueError, match="expected finite scale_factor above 0, one or two, got inf"):
        Upsample(scale_factor=math.inf)
    with pytest.raises(ValueError, match=r"Upsample.*\(N, C, H, W\), got \(3, 4\)"):
        Upsample(2)(torch.randn(3, 4))
    with pytest.raises(ValueError, match=r"from 0 to 2 pixels of padding for a dimension of 3 .*got 3 and 0"):
        ReflectionPad2d((3, 0, 0, 0))(torch.randn(1, 1, 3, 3))
    with pytest.raises(ValueError, match=r"leaves something, got \(1, 1, 3, 3\)"):
        ZeroPad2d(-2)(torch.randn(1, 1, 3, 3))
    with pytest.raises(ValueError, match=r"\(left, right, top, bottom\), got \(1, 2\)"):
        ZeroPad2d((1, 2))
    with pytest.raises(ValueError, match="C divisible by 4, got"):
        PixelShuffle(2)(torch.randn(1, 3, 2, 2))
    with pytest.raises(ValueError, match="H and W divisible by 2, got"):
        PixelUnshuffle(2)(torch.randn(1, 3, 3, 2))
    with pytest.raises(ValueError, match=r"Dropout2d.*got \(2, 3\)"):
        Dropout2d()(torch.randn(2, 3))


@pytest.mark.parametrize("name", ["manual", "formula", "autograd"])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_infinity_stays_among_its_neighbours(mode, name):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 4, 5, generator=g)
    x[0, 0, 1, 2], x[0, 1, 3, 0] = torch.inf, -torch.inf
    for options in ({"size": (7, 3)}, {"scale_factor": 2}, {"size": (9, 9)}):
        ours, theirs = Upsample(**options, mode=mode), nn.Upsample(**options, mode=mode)
        grad = torch.randn(theirs(x).shape, generator=g)
        grad[0, 1, 2, 1] = torch.inf
        leaf = x.clone().requires_grad_()
        expected = theirs(leaf)
        expected.backward(grad)
        mine = x.clone().requires_grad_(name == "autograd")
        with engine("autograd" if name == "autograd" else "manual", kernels=name != "formula"):
            y = ours(mine)
            grad_x = ours.backward(grad) if name != "autograd" else y.backward(grad) or mine.grad
        for mine, right in ((y, expected), (grad_x, leaf.grad)):
            known = ~right.isnan()  # torch takes a neighbour beyond the edge times 0, which makes a NaN
            torch.testing.assert_close(mine[known], right[known])
            assert known.sum() > known.numel() // 2


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_what_keeps_its_size_is_copied(mode, kernels):
    x = torch.randn(1, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    x[0, 0, 1, 2] = torch.inf
    for options in ({"size": (4, 5)}, {"scale_factor": 1}, {"scale_factor": 1.1}):
        layer = Upsample(**options, mode=mode)
        if options == {"scale_factor": 1.1} and mode == "bicubic":
            continue  # it takes the places that the factor says
        with engine("manual", kernels=kernels):
            y = layer(x)
            grad_x = layer.backward(x)
        assert torch.equal(y, x)
        assert y.data_ptr() != x.data_ptr()
        assert torch.equal(grad_x, x)


def test_the_nearest_pixel_is_found_in_whole_numbers():
    for old, new in [(9, 49), (3, 147), (49, 9), (57, 209), (1000, 999)]:
        x = torch.arange(float(old)).view(1, 1, 1, old)
        assert Upsample(size=(1, new))(x).flatten().tolist() == [i * old // new for i in range(new)]
