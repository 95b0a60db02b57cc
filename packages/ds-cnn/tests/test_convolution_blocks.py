"""Every algorithm on blocks of images and of rows, whatever the geometry, equals the formula on the whole."""

import random
from dataclasses import replace

import pytest
import torch
from ds_cnn.functional.convolution import convolution, convolution_backward
from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution import ConvolutionKernel, driver, selection, winograd
from ds_cnn.kernels.convolution.algorithm import divided, half_round, turned
from ds_cnn.kernels.convolution.selection import ALGORITHMS, select_both
from ds_core.kernels import runs
from ds_core.kernels.matmul import use_table


def geometries(algorithm, number):
    """Yields geometries that the algorithm supports, with images on which they have a position."""
    draw = random.Random(number)

    def two(low, high):
        return draw.randint(low, high), draw.randint(low, high)

    while number:
        kernel, stride, dilation = two(1, 4), two(1, 3), two(1, 2)
        if algorithm.startswith("winograd"):
            dilation = (1, 1)
            if draw.random() < 0.5:
                kernel, stride = (3, 3), (1, 1)
            else:
                kernel = 2 * stride[0], 2 * stride[1]
        groups = draw.choice((1, 1, 2)) if not algorithm.startswith("winograd") else 1
        geometry = Geometry(kernel, stride, (two(-1, 5), two(-1, 3)), dilation, groups)
        size = draw.randint(4, 19), draw.randint(4, 9)
        if ALGORITHMS[algorithm].supports(geometry) and min(geometry.output_size(size)) > 0:
            number -= 1
            yield geometry, size


@pytest.mark.parametrize("room", [1, 300, 3000])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_blocks_of_images_and_rows(algorithm, room, monkeypatch):
    monkeypatch.setattr(driver, "BLOCK", room)
    monkeypatch.setattr(winograd, "MANY", room)
    monkeypatch.setattr(winograd, "LARGEST", room)
    several = banded = 0
    for geometry, size in geometries(algorithm, 40):
        x = torch.randn(3, 4, *size, dtype=torch.float64)
        weight = torch.randn(6, 4 // geometry.groups, *geometry.kernel, dtype=torch.float64)
        bias = torch.randn(6, dtype=torch.float64)
        y, saved = convolution(x, weight, bias, geometry)
        grad = torch.randn_like(y)
        grads = convolution_backward(grad, saved)
        fast = ALGORITHMS[algorithm]
        parts = driver.blocks(fast, geometry, x.shape, 0)
        several += len(parts) > 1
        banded += any(part.rows.stop - part.rows.start < y.shape[2] for part in parts)
        ours = (
            driver.convolve(x, weight, bias, geometry, fast),
            driver.convolve_backward_input(grad, weight, geometry, size, fast),
            driver.convolve_backward_weight(grad, x, geometry, fast),
        )
        for got, wanted in zip(ours, (y, *grads[:2]), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)
    assert several > 5 or room > 300
    assert banded > 5 or room > 1


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("room", [300, 3000, 600_000])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_images_divided_among_threads(algorithm, room, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(driver, "BLOCK", room)
    monkeypatch.setattr(winograd, "MANY", room)
    monkeypatch.setattr(winograd, "LARGEST", room)
    fast, shared = ALGORITHMS[algorithm], 0
    for n, (geometry, size) in enumerate(geometries(algorithm, 19)):
        x = torch.randn(n, 4, *size, dtype=torch.float64)
        weight = torch.randn(6, 4 // geometry.groups, *geometry.kernel, dtype=torch.float64)
        y, saved = convolution(x, weight, None, geometry)
        grad = torch.randn_like(y)
        grads = convolution_backward(grad, saved)
        parts = driver.blocks(fast, geometry, x.shape, 0)
        images = [i for part in parts if part.rows.start == 0 for i in range(n)[part.images]]
        assert sorted(images) == list(range(n))
        counts = [len(range(n)[part.images]) for part in parts]
        shared += bool(counts) and all(divided(count) == threads for count in counts)
        ours = (
            driver.convolve(x, weight, None, geometry, fast),
            driver.convolve_backward_input(grad, weight, geometry, size, fast),
            driver.convolve_backward_weight(grad, x, geometry, fast),
            *driver.convolve_and_backward_weight(x, weight, grad, geometry, fast, fast),
            *driver.convolve_and_backward_weight(x, weight, grad, geometry, ALGORITHMS["im2col"], fast),
        )
        for got, wanted in zip(ours, (y, *grads[:2], y, grads[1], y, grads[1]), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)
    assert shared > 3 or not fast.divides


@pytest.mark.parametrize("algorithm", ["im2col", "strips", "winograd", "winograd7"])
def test_blocks_are_larger_for_threads_that_have_images_of_their_own(algorithm, monkeypatch):
    fast, geometry, shape = ALGORITHMS[algorithm], Geometry((3, 3), padding=((1, 1), (1, 1))), (12, 4, 20, 20)
    if algorithm == "winograd7":
        geometry = Geometry((4, 4), (2, 2), ((1, 1), (1, 1)))
    one = fast.workspace(geometry, *shape[1:2], shape[2:])

    def blocks(threads, images, room):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        monkeypatch.setattr(driver, "BLOCK", room)
        return len(driver.blocks(fast, geometry, (images, *shape[1:]), 0))

    assert blocks(1, 12, 3 * one) == 4
    assert blocks(2, 12, 3 * one) == (2 if fast.divides else 4)
    assert blocks(4, 12, 3 * one) == (3 if fast.divides else 4)  # one image for each thread, no more memory
    assert blocks(2, 11, 3 * one) == 4  # cannot be divided
    assert blocks(1, 12, 12 * one) == 1  # the room is part of what is remembered


# ---- both gradients in one go ----------------------------------------------------------------------------


@pytest.mark.parametrize("room", [300, 3000, 600_000])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_both_gradients_from_one_layout(algorithm, room, monkeypatch):
    """Also where pixels are cut off, and where only some kernels of Winograd's fit in memory."""
    monkeypatch.setattr(driver, "BLOCK", room)
    several = cut = 0
    for geometry, size in geometries(algorithm, 60):
        if geometry.stride != (1, 1) or geometry.dilation != (1, 1) or geometry.groups != 1:
            continue
        back = turned(geometry)
        if not ALGORITHMS[algorithm].supports(back):
            continue
        x = torch.randn(3, 4, *size, dtype=torch.float64)
        weight = torch.randn(6, 4, *geometry.kernel, dtype=torch.float64)
        y, saved = convolution(x, weight, None, geometry)
        grad = torch.randn_like(y)
        several += len(driver.blocks(ALGORITHMS[algorithm], back, grad.shape, 0)) > 1
        cut += min(min(padding) for padding in back.padding) < 0
        fast, kernels = ALGORITHMS[algorithm], half_round(weight)
        monkeypatch.setattr(winograd, "MANY", room if several % 2 else 10**9)
        grad_x, grad_kernels = driver.convolve_and_backward_weight(grad, kernels, x, back, fast, fast)
        for got, wanted in zip(
            (grad_x, half_round(grad_kernels)), convolution_backward(grad, saved)[:2], strict=True
        ):
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)
    assert cut
    assert several > 1 or room > 300


def test_a_convolution_hands_both_gradients_back_in_one_go_where_that_is_faster():
    same = ((1, 1), (1, 1))
    with use_table("AMD family 26 with AVX-512 (shipped)"):
        assert select_both(Geometry((3, 3), padding=same), (16, 16, 24, 24), 16).algorithm == "strips"
        assert select_both(Geometry((3, 3), padding=same), (64, 64, 32, 32), 64).algorithm == "winograd"
        for geometry, shape, kernels in (
            (Geometry((3, 3), (2, 2)), (16, 16, 24, 24), 16),
            (Geometry((3, 3), dilation=(2, 2)), (16, 16, 24, 24), 16),
            (Geometry((3, 3), groups=4), (16, 16, 24, 24), 16),
            (Geometry((3, 3), algorithm="im2col"), (16, 16, 24, 24), 16),  # as it was asked
            (Geometry((1, 1)), (16, 16, 24, 24), 16),  # nothing is laid out
            (Geometry((3, 3), padding=same), (64, 256, 8, 8), 256),  # many weights
            (Geometry((3, 3), padding=same), (1, 64, 4, 4), 64),  # few images
            (Geometry((3, 3), padding=same), (0, 64, 8, 8), 64),
        ):
            assert select_both(geometry, shape, kernels) is None


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 2), (1, 0)), ((3, 3), (2, 4))])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (5, 1)])
def test_both_gradients_equal_the_formulas(kernel, padding, monkeypatch):
    geometry = Geometry(kernel, padding=padding)
    x, weight = (
        torch.randn(5, 3, 12, 11, dtype=torch.float64),
        torch.randn(4, 3, *kernel, dtype=torch.float64),
    )
    y, saved = convolution(x, weight, None, geometry)
    grad = torch.randn_like(y)
    both = select_both(geometry, x.shape, 4) or turned(geometry)
    for name in ALGORITHMS:
        if not ALGORITHMS[name].supports(both):
            continue
        with monkeypatch.context() as patched:
            patched.setattr(
                selection, "_fastest_of_both", lambda *_, name=name: replace(both, algorithm=name)
            )
            with runs() as counts:
                found = ConvolutionKernel.backward(grad, saved)
        assert counts["ConvolutionKernel: both gradients"] == 1
        assert found[1].is_contiguous()
        for got, wanted in zip(found[:2], convolution_backward(grad, saved)[:2], strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)
