"""Convolution: every algorithm against torch.nn over all options, and what happens to bad input."""

import pytest
import torch
from ds_cnn import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from ds_cnn.functional import convolution_loop
from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution import ALGORITHMS, driver, select
from ds_core import engine
from ds_core.kernels import runs
from ds_core.kernels.matmul import use_table
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

LIMITS = {torch.float64: 1e-9, torch.float32: 1e-4}


def agree(ours, theirs, x, dtype, *arguments):
    """Compares output, input gradient and parameter gradients with the referee's, relative to their size."""
    theirs.load_state_dict(ours.state_dict())
    ours.to(dtype)
    theirs.to(dtype)
    x = x.to(dtype)
    with engine("manual"):
        y = ours(x, *arguments)
        grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        grad_x = ours.backward(grad)
    their_x = x.clone().requires_grad_()
    expected = theirs(their_x, *arguments)
    expected.backward(grad)
    pairs = [(y, expected.detach()), (grad_x, their_x.grad)]
    pairs += [(p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
    for found, wanted in pairs:
        assert found.shape == wanted.shape
        if wanted.numel():
            assert (found - wanted).abs().max() <= LIMITS[dtype] * max(1.0, float(wanted.abs().max()))


@st.composite
def convolutions(draw, dims=2):
    """Draws constructor arguments and an input's shape on which the kernel fits."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    if draw(st.booleans()):
        kernel = (3,) * dims
    options = {
        "stride": draw(st.integers(1, 3)),
        "dilation": draw(st.integers(1, 2)),
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding": draw(st.one_of(st.integers(0, 3), st.sampled_from(["same", "valid"]))),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    }
    if options["padding"] == "same":
        options["stride"] = 1
    sizes = [draw(st.integers(8, 11)) for _ in range(dims)]  # more than the widest reflection, so all fit
    batch = draw(st.sampled_from([(), (1,), (2,)]))
    return (*channels, kernel if dims > 1 else kernel[0]), options, (*batch, channels[0], *sizes)


def algorithms_for(module, arguments, options):
    """Names the algorithms that can do such a convolution."""
    for algorithm in ("loop", *ALGORITHMS, "auto"):
        try:
            yield module(*arguments, **options, algorithm=algorithm)
        except ValueError:
            assert algorithm.startswith("winograd") or algorithm in ("cells", "strips")


@pytest.mark.parametrize("dtype", LIMITS, ids=["float64", "float32"])
@settings(max_examples=60, deadline=None)
@given(drawn=convolutions())
def test_conv2d_equals_torch(dtype, drawn):
    arguments, options, shape = drawn
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for ours in algorithms_for(Conv2d, arguments, options):
        if ours.algorithm != "loop" or x.numel() < 300:
            agree(ours, nn.Conv2d(*arguments, **options), x, dtype)


@pytest.mark.parametrize("dtype", LIMITS, ids=["float64", "float32"])
@settings(max_examples=40, deadline=None)
@given(drawn=convolutions(dims=1))
def test_conv1d_equals_torch(dtype, drawn):
    arguments, options, shape = drawn
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for ours in algorithms_for(Conv1d, arguments, options):
        agree(ours, nn.Conv1d(*arguments, **options), x, dtype)


@pytest.mark.parametrize("dtype", LIMITS, ids=["float64", "float32"])
@settings(max_examples=60, deadline=None)
@given(drawn=convolutions(), extra=st.integers(0, 2))
def test_conv_transpose2d_equals_torch(dtype, drawn, extra):
    arguments, options, shape = drawn
    del options["padding_mode"]
    options["padding"] = options["padding"] if options["padding"] in (0, 1, 2) else 0
    options["output_padding"] = min(extra, max(options["stride"], options["dilation"]) - 1)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for ours in algorithms_for(ConvTranspose2d, arguments, options):
        if ours.algorithm != "loop" or x.numel() < 300:
            agree(ours, nn.ConvTranspose2d(*arguments, **options), x, dtype)


@pytest.mark.parametrize(("channels", "size"), [(64, 16), (128, 8), (24, 13), (256, 7)])
def test_float32_stays_close_with_many_channels(channels, size):
    ours = Conv2d(channels, channels, 3, padding=1, algorithm="winograd")
    agree(
        ours, nn.Conv2d(channels, channels, 3, padding=1), torch.randn(2, channels, size, size), torch.float32
    )


def size_of_kernel(algorithm):
    """Returns one that the algorithm can do, with stride 1."""
    return 2 if algorithm == "winograd7" else 3


def test_transpose_takes_an_output_size():
    ours, theirs = ConvTranspose2d(2, 3, 3, stride=3), nn.ConvTranspose2d(2, 3, 3, stride=3)
    agree(ours, theirs, torch.randn(2, 2, 4, 4), torch.float64, [13, 14])
    with pytest.raises(ValueError, match=r"expected output_size from \(12, 12\) to \(14, 14\)"):
        ours(torch.randn(2, 2, 4, 4).double(), [15, 12])
    with pytest.raises(ValueError, match=r"expected output_size of 2 numbers, got \(13,\)"):
        ours(torch.randn(2, 2, 4, 4).double(), [13])
    ours, theirs = ConvTranspose1d(2, 3, 3, stride=3), nn.ConvTranspose1d(2, 3, 3, stride=3)
    agree(ours, theirs, torch.randn(2, 2, 4), torch.float64, [13])
    with pytest.raises(ValueError, match=r"expected output_size from \(12,\) to \(14,\)"):
        ours(torch.randn(2, 2, 4).double(), [15])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_batch_cut_into_blocks_gives_the_same(monkeypatch, algorithm):
    torch.manual_seed(0)
    layer = Conv2d(3, 5, size_of_kernel(algorithm), padding=1, algorithm=algorithm).to(torch.float64)
    x = torch.randn(7, 3, 9, 9).double()
    grad = torch.randn_like(layer(x).detach())
    results = []
    for block in (10**9, 3000, 1):  # all images at once, some, one by one
        monkeypatch.setattr(driver, "BLOCK", block)
        layer.zero_grad()
        with engine("manual"):
            results.append((layer(x), layer.backward(grad), layer.weight.grad, layer.bias.grad))
    for some in results[1:]:
        for found, wanted in zip(some, results[0], strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["loop", *ALGORITHMS])
def test_channels_last_memory_and_strided_views(algorithm):
    size = size_of_kernel(algorithm)
    ours, theirs = Conv2d(3, 4, size, padding=1, algorithm=algorithm), nn.Conv2d(3, 4, size, padding=1)
    x = torch.randn(2, 3, 6, 6)
    agree(ours, theirs, x.contiguous(memory_format=torch.channels_last), torch.float64)
    agree(ours, theirs, torch.randn(2, 3, 6, 12)[..., ::2], torch.float64)
    agree(ours, theirs, x.transpose(2, 3), torch.float64)


def test_frozen_weights_and_unwanted_input_gradients_are_not_computed():
    layer = Conv2d(2, 3, 3)
    layer.requires_grad_(False)
    layer.requires_input_grad_(False)
    with engine("manual"):
        assert layer.backward(torch.ones_like(layer(torch.randn(1, 2, 4, 4)))) is None
    assert layer.weight.grad is None
    assert layer.bias.grad is None


def test_auto_picks_by_shape_and_pass():
    wide, narrow = (64, 64, 16, 16), (64, 3, 32, 32)

    def picked(geometry, shape, kernels=64):
        return [select(geometry, shape, kernels, step) for step in ("forward", "weight", "input")]

    with use_table("AMD family 25 with AVX2 (shipped)"):
        assert picked(Geometry((3, 3)), wide) == ["winograd"] * 3
        assert picked(Geometry((3, 3), padding=((1, 1), (1, 1))), wide) == ["winograd"] * 3
        assert picked(Geometry((3, 3)), narrow)[0] == "im2col"
        assert picked(Geometry((3, 3), stride=(2, 2)), wide) == ["im2col"] * 3
        assert picked(Geometry((1, 1)), wide) == ["shifted"] * 3
        assert picked(Geometry((3, 3), groups=64), wide) == ["shifted"] * 3
        assert picked(Geometry((3, 3), algorithm="shifted"), wide) == ["shifted"] * 3
    stem, few = (Geometry((7, 7), stride=(2, 2), padding=((3, 3), (3, 3))), (16, 3, 96, 96)), (64, 16, 32, 32)
    for name, of_few in (("AMD family 25 with AVX-512", "winograd"), ("Intel with AVX-512", "strips")):
        with use_table(f"{name} (shipped)"):
            assert picked(*stem, 16)[:2] == ["strips"] * 2
            assert picked(Geometry((3, 3), padding=((1, 1), (1, 1))), few, 16) == [of_few] * 3
    with use_table("AMD family 25 with AVX-512 (shipped)"):
        assert picked(Geometry((4, 4), stride=(2, 2)), wide) == ["winograd7"] * 3  # one tile has all outputs
        assert picked(Geometry((4, 4), stride=(2, 2)), (64, 64, 32, 32))[2] == "winograd"
        assert picked(Geometry((4, 4), stride=(2, 2)), narrow)[0] == "im2col"
        assert picked(Geometry((7, 7)), (64, 64, 7, 7), 1) == ["im2col"] * 3  # not 49 shifts of one position


def test_a_machine_that_multiplies_faster_and_copies_slower_lays_out_less():
    channels = {}
    for product in (20.0, 60.0):
        with use_table({"name": "mine", "onednn": {}, "rates": {"product": product, "copy": 2.0}}):
            chosen = [select(Geometry((3, 3)), (8, c, 32, 32), c, "forward") for c in range(1, 129)]
        channels[product] = [name.startswith("winograd") for name in chosen].index(True)
    assert channels[20.0] < channels[60.0]


@pytest.mark.parametrize(
    ("algorithm", "limit"), [("winograd", 3e-6), ("winograd3", 3e-6), ("winograd7", 1.5e-5)]
)
def test_rounding_of_wide_tiles_stays_small(algorithm, limit):
    torch.manual_seed(0)
    x, grad = torch.randn(8, 64, 14, 14), torch.randn(8, 64, 7, 7)
    results = {}
    for dtype, name in ((torch.float64, "im2col"), (torch.float32, algorithm)):
        layer = Conv2d(
            64, 64, 4, stride=2, padding=1, algorithm=name, generator=torch.Generator().manual_seed(0)
        )
        layer.to(dtype)
        with engine("manual"):
            y = layer(x.to(dtype))
            results[name] = y, layer.backward(grad.to(dtype)), layer.weight.grad
    for found, wanted in zip(results[algorithm], results["im2col"], strict=True):
        assert (found - wanted).std() < limit * wanted.std()


def test_the_teaching_version_counts_a_window_by_hand():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    weight = torch.tensor([[1.0, 0.0], [0.0, -1.0]]).view(1, 1, 2, 2)
    # Each pixel minus its lower right neighbour: 5 less, everywhere.
    y, _ = convolution_loop(x, weight, None, Geometry((2, 2)))
    assert y.flatten().tolist() == [-5.0] * 9


@pytest.mark.parametrize("module", [Conv2d, ConvTranspose2d])
def test_wrong_arguments(module):
    with pytest.raises(ValueError, match="divisible by groups=2, got 3 and 4"):
        module(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="at least 1, got 0, 4 and 1"):
        module(0, 4, 3)
    with pytest.raises(ValueError, match=r"stride to be a number or 2 of them, at least 1, got 0"):
        module(2, 2, 3, stride=0)
    with pytest.raises(
        ValueError, match=r"kernel_size to be a number or 2 of them, at least 1, got \(3, 3, 3\)"
    ):
        module(2, 2, (3, 3, 3))
    with pytest.raises(
        ValueError,
        match=f"algorithm to be one of loop, {', '.join(ALGORITHMS)}, auto, got 'fft'",
    ):
        module(2, 2, 3, algorithm="fft")
    with pytest.raises(
        ValueError, match="of twice the stride, dilation 1 and groups 1 with algorithm='winograd'"
    ):
        module(2, 2, 3, stride=2, algorithm="winograd")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("module", "options"),
    [(Conv2d, {}), (Conv2d, {"algorithm": "im2col"}), (Conv2d, {"stride": 2}), (ConvTranspose2d, {})],
)
def test_half_precision_is_as_exact_as_torch(dtype, module, options):
    ours, exact = (module(16, 16, 3, padding=1, **options, dtype=t) for t in (dtype, torch.float64))
    theirs = getattr(nn, module.__name__)(16, 16, 3, padding=1, stride=options.get("stride", 1), dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    exact.load_state_dict({n: p.double() for n, p in ours.state_dict().items()})
    x = torch.randn(2, 16, 20, 20, generator=torch.Generator().manual_seed(0)).to(dtype)
    leaf = x.clone().requires_grad_()
    y = theirs(leaf)
    y.backward(torch.ones_like(y))
    results = []
    for layer, images in ((ours, x), (exact, x.double())):
        with engine("manual"):
            out = layer(images)
            grad_x = layer.backward(torch.ones_like(out))
        results.append((out, grad_x, layer.weight.grad, layer.bias.grad))
    expected = (y.detach(), leaf.grad, theirs.weight.grad, theirs.bias.grad)
    for found, right, other in zip(*results, expected, strict=True):
        assert found.dtype == dtype
        error, allowed = ((t.double() - right).norm() for t in (found, other))
        assert error <= 1.5 * allowed + torch.finfo(dtype).eps * right.norm()


@pytest.mark.parametrize("options", [{}, {"groups": 2}, {"bias": False}])
@pytest.mark.parametrize(("module", "kernel"), [(Conv1d, 3), (Conv2d, (3, 2)), (ConvTranspose2d, 3)])
def test_parameters_start_as_in_torch(module, kernel, options):
    torch.manual_seed(0)
    ours = module(4, 6, kernel, **options)
    torch.manual_seed(0)
    theirs = getattr(nn, module.__name__)(4, 6, kernel, **options)
    for mine, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, wanted)


def test_names_and_types_are_those_of_torch():
    for module in (Conv1d, Conv2d, ConvTranspose2d):
        layer = module(2, 3, 3, device="cpu", dtype=torch.float64)
        x = torch.randn(1, 2, *[5] * (layer.weight.dim() - 2), dtype=torch.float64)
        assert layer(input=x).dtype == torch.float64


def test_a_layer_whose_formula_runs_gives_the_same():
    torch.manual_seed(0)
    layer, x = Conv2d(3, 4, 3, padding=1), torch.randn(2, 3, 5, 5)
    with engine("manual"), runs() as ran:
        y = layer(x)
    with engine("manual", kernels=False):
        torch.testing.assert_close(layer(x), y)
    assert ran["ConvolutionKernel.forward"] == ran["ConvolutionKernel: im2col"] == 1


def test_wrong_arguments_of_one_kind():
    with pytest.raises(ValueError, match="expected stride 1 with padding='same'"):
        Conv2d(2, 2, 3, stride=2, padding="same")
    with pytest.raises(ValueError, match="'same' or 'valid', got 'full'"):
        Conv2d(2, 2, 3, padding="full")
    with pytest.raises(
        ValueError, match="padding_mode to be one of zeros, reflect, replicate, circular, got 'wrap'"
    ):
        Conv2d(2, 2, 3, padding_mode="wrap")
    with pytest.raises(ValueError, match="a sequence of one, at least 1, got"):
        Conv1d(2, 2, (3, 3))
    with pytest.raises(ValueError, match="output_padding less than stride or dilation"):
        ConvTranspose2d(2, 2, 3, stride=2, output_padding=2)
    with pytest.raises(ValueError, match="padding_mode to be 'zeros', got 'reflect'"):
        ConvTranspose2d(2, 2, 3, padding_mode="reflect")


def test_wrong_input():
    layer = Conv2d(3, 4, 3, padding=1)
    with pytest.raises(
        ValueError, match=r"expected input of shape \(N, 3, H, W\) or \(3, H, W\), got \(2, 4, 8, 8\)"
    ):
        layer(torch.randn(2, 4, 8, 8))
    with pytest.raises(ValueError, match=r"got \(8, 8\)"):
        layer(torch.randn(8, 8))
    with pytest.raises(
        ValueError, match=r"at least 5 x 5 pixels, .* got input of shape \(1, 3, 2, 9\), 2 x 9 with"
    ):
        Conv2d(3, 4, 3, dilation=2)(torch.randn(1, 3, 2, 9))
    with pytest.raises(ValueError, match=r"at least 1 x 4 pixels"):
        Conv1d(3, 4, 4)(torch.randn(1, 3, 3))
    with pytest.raises(TypeError, match=r"Conv2d\(3, 4.*expected torch.float32 input .* got torch.uint8"):
        layer(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="would be 0 x 0"):
        ConvTranspose2d(3, 4, 2, padding=1)(torch.randn(1, 3, 1, 1))
    with pytest.raises(ValueError, match=r"at least one pixel, got shape \(2, 3, 0, 4\)"):
        ConvTranspose2d(3, 4, 2)(torch.randn(2, 3, 0, 4))
    with pytest.raises(ValueError, match=r"at least one pixel, got shape \(3, 0\)"):
        ConvTranspose1d(3, 4, 2)(torch.randn(3, 0))
