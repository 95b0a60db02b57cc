"""Norms of images: what cases cannot show."""

import pytest
import torch
from ds_cnn import BatchNorm2d, Conv2d, FrozenBatchNorm2d, InstanceNorm2d
from ds_core import Module, Sequential, engine, keep_for_second
from ds_core.kernels import runs
from ds_core.module import replaced
from ds_core.xray import trace
from torch import nn


@pytest.mark.parametrize("module", ["BatchNorm2d", "InstanceNorm2d"])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_averages_follow_torch(module, momentum):
    options = {"momentum": momentum, "track_running_stats": True}
    ours = {"BatchNorm2d": BatchNorm2d, "InstanceNorm2d": InstanceNorm2d}[module](3, **options)
    theirs = getattr(nn, module)(3, **options)
    for _ in range(3):
        x = torch.randn(4, 3, 5, 2) * 3 + 1
        torch.testing.assert_close(ours(x), theirs(x))
    for (name, found), (_, wanted) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        torch.testing.assert_close(found, wanted, msg=name)
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_instance_norm_of_no_pixels_leaves_the_running_averages():
    layer = InstanceNorm2d(2, track_running_stats=True)
    assert layer(torch.zeros(3, 2, 0, 4)).shape == (3, 2, 0, 4)
    assert layer.running_mean.tolist() == [0, 0]
    assert layer.running_var.tolist() == [1, 1]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4, 5)])
def test_an_instance_norm_that_stays_in_eval_is_trained_around(shape):
    ours = InstanceNorm2d(3, affine=True, track_running_stats=True).double()
    theirs = nn.InstanceNorm2d(3, affine=True, track_running_stats=True).double()
    theirs.running_mean.normal_()
    ours.load_state_dict(theirs.state_dict())
    ours.eval().recorded_eval = True  # as a trainer says of a layer that its owner put into eval mode
    x, grad = torch.randn(2, *shape, dtype=torch.float64)
    their_x = x.clone().requires_grad_()
    theirs.eval()(their_x).backward(grad)
    with engine("manual"):
        ours(x)
        torch.testing.assert_close(ours.backward(grad), their_x.grad)
    for name in ("weight", "bias"):
        torch.testing.assert_close(getattr(ours, name).grad, getattr(theirs, name).grad)


def test_loop_keeps_the_same_running_averages():
    fast, plain = BatchNorm2d(2), BatchNorm2d(2, algorithm="loop")
    x = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(fast(x), plain(x))
    torch.testing.assert_close(fast.running_mean, plain.running_mean)
    torch.testing.assert_close(fast.running_var, plain.running_var)


def test_memory_layout_is_kept():
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    layer = BatchNorm2d(3)
    with engine("manual"):
        y = layer(x)
        grad_x = layer.backward(torch.ones_like(y))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert grad_x.is_contiguous(memory_format=torch.channels_last)


def test_a_mean_far_from_zero_does_not_spoil_the_variance():
    x = torch.randn(8, 2, 6, 6) + 1000.0
    torch.testing.assert_close(BatchNorm2d(2)(x), nn.BatchNorm2d(2)(x), rtol=1e-3, atol=1e-3)


def test_bad_input():
    with pytest.raises(
        ValueError, match=r"BatchNorm2d\(3\): expected input of shape \(N, 3, H, W\), got \(2, 3\)"
    ):
        BatchNorm2d(3)(torch.randn(2, 3))
    with pytest.raises(ValueError, match="more than one value per channel"):
        BatchNorm2d(3)(torch.randn(1, 3, 1, 1))
    with pytest.raises(ValueError, match="more than one value per channel"):
        InstanceNorm2d(3)(torch.randn(4, 3, 1, 1))
    with pytest.raises(
        ValueError, match=r"expected input of shape \(N, 3, H, W\) or \(3, H, W\), got \(1, 4, 2, 2\)"
    ):
        FrozenBatchNorm2d(3)(torch.randn(1, 4, 2, 2))
    with pytest.raises(ValueError, match="one of vectorised, loop, got 'slow'"):
        BatchNorm2d(3, algorithm="slow")


def frozen_pair(outputs=6, dtype=torch.float64, **options):
    conv = Conv2d(4, outputs, 3, padding=1, dtype=dtype, **{"bias": False} | options)
    norm = FrozenBatchNorm2d(6, dtype=dtype)
    for name, numbers in norm.named_buffers():
        numbers.uniform_(0.5, 2) if name == "running_var" else numbers.normal_()
    return conv, norm


def step_of(norm, conv, x, grad, **options):
    """Returns what comes out, and all gradients; and what ran."""
    conv.zero_grad()
    with engine("manual", **options), runs() as ran:
        y = norm.after(conv, x)
        grad_x = conv.backward(norm.backward(grad))
    return [y, grad_x, *(parameter.grad for parameter in conv.parameters())], ran


@pytest.mark.parametrize(
    "options", [{}, {"groups": 2, "stride": 2}, {"padding_mode": "reflect"}, {"algorithm": "loop"}]
)
def test_a_frozen_norm_joins_the_convolution_before_it(options):
    conv, norm = frozen_pair(**options)
    x = torch.randn(3, 4, 9, 8, dtype=torch.float64)
    grad = torch.randn_like(norm(conv(x).detach()))
    found, ran = step_of(norm, conv, x, grad)
    assert not any("frozen" in name.lower() for name in ran)
    apart, ran = step_of(norm, conv, x, grad, kernels=False)
    assert {"frozen_batch_norm", "frozen_batch_norm_backward"} <= set(ran)
    for one, other in zip(found, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_norm_and_a_convolution_that_do_not_fit_stay_apart():
    def joined(conv, norm, size=(1, 4, 9, 8)):
        x = torch.randn(size, dtype=norm.weight.dtype)
        with engine("manual"), runs() as ran:
            y = norm.after(conv, x)
            torch.testing.assert_close(y, norm(conv(x)))
            norm.forget(), conv.forget()
        return ran["FrozenBatchNormKernel.forward"] == 1

    conv, norm = frozen_pair()
    assert joined(conv, norm, (1, 4, 9, 4))  # 216 weights, 216 outputs
    assert not joined(conv, norm, (1, 4, 7, 5))  # 210
    assert not joined(conv, norm, (4, 20, 20))
    assert not joined(Sequential(conv), norm)
    assert not joined(*frozen_pair(bias=True))
    assert not joined(*(layer.to(torch.bfloat16) for layer in frozen_pair()))
    for layer, name in ((conv, "forward"), (conv, "backward"), (norm, "forward"), (norm, "backward")):
        with replaced(layer, **{name: getattr(layer, name)}):
            assert not joined(conv, norm), (layer, name)
    assert joined(conv, norm)
    x = torch.randn(1, 4, 9, 8, dtype=torch.float64)
    with engine("manual"), pytest.raises(ValueError, match=r"expected input of shape \(N, 6, H, W\)"):
        norm.after(frozen_pair(outputs=5)[0], x)
    with engine("manual"), pytest.raises(TypeError, match="float64"):
        norm.after(frozen_pair(dtype=torch.float32)[0], x.float())
    with engine("manual"), pytest.raises(ValueError, match="expected input of shape"):
        norm.after(conv, x[0, 0])
    by_autograd = norm.after(conv, x)  # the tape has both
    (wanted,) = torch.autograd.grad(by_autograd.square().sum(), conv.weight)
    (found, _, grad), _ = step_of(norm, conv, x, 2 * by_autograd.detach())
    torch.testing.assert_close(found, by_autograd.detach())
    torch.testing.assert_close(grad, wanted)


def test_a_frozen_norm_in_eval_mode_saves_nothing():
    conv, norm = frozen_pair()
    conv.eval(), norm.eval()
    with engine("manual"):
        norm.after(conv, torch.randn(1, 4, 9, 9, dtype=torch.float64))
        with pytest.raises(RuntimeError, match="eval mode"):
            norm.backward(torch.zeros(1, 6, 9, 9, dtype=torch.float64))


def test_no_scaled_weights_are_kept():
    conv, norm = frozen_pair()
    with engine("manual"):
        norm.after(conv, torch.randn(1, 4, 9, 9, dtype=torch.float64))
        kept = [tensor for tensor, _ in conv._stack[-1].watched if tensor.shape == conv.weight.shape]
    assert [tensor is conv.weight for tensor in kept] == [True]


@pytest.mark.parametrize("options", [{}, {"groups": 2, "stride": 2}, {"algorithm": "loop"}])
@pytest.mark.parametrize("kernels", [True, False])
def test_a_scaled_convolution_and_its_gradients_equal_torchs(options, kernels):
    conv = Conv2d(4, 6, 3, padding=1, bias=False, dtype=torch.float64, **options)
    x, scale, shift = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 4, 5, 5), (6,), (6,)))
    weight, their_x = conv.weight.detach().requires_grad_(), x.clone().requires_grad_()
    way = {"stride": conv.stride, "padding": 1, "groups": conv.groups}
    y = nn.functional.conv2d(their_x, weight, **way) * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
    grad = torch.randn_like(y).requires_grad_()
    v = torch.randn_like(x)
    grad_x, grad_weight = torch.autograd.grad((y * grad).sum(), (their_x, weight), create_graph=True)
    of_grad, of_weight = torch.autograd.grad((grad_x * v).sum(), (grad, weight))
    with engine("manual", kernels=kernels), keep_for_second():
        torch.testing.assert_close(conv(x, scale, shift), y.detach())
        torch.testing.assert_close(conv.backward(grad.detach()), grad_x.detach())
        torch.testing.assert_close(conv.weight.grad, grad_weight.detach())
        conv.weight.grad = None
        torch.testing.assert_close(conv.second_backward(v), of_grad)
        torch.testing.assert_close(conv.weight.grad, of_weight)
        conv.forget()


@pytest.mark.parametrize(
    ("bias", "numbers", "error", "said"),
    [
        (False, {"scale": torch.ones(1)}, ValueError, r"scale of shape \(6,\), .* got \(1,\)"),
        (False, {"shift": torch.ones(6, 1)}, ValueError, r"shift of shape \(6,\), .* got \(6, 1\)"),
        (False, {"scale": torch.ones(6).double()}, TypeError, r"scale of torch.float32 like the weight"),
        (True, {"shift": torch.ones(6)}, ValueError, r"expected no shift, as there is a bias"),
    ],
)
def test_a_scale_and_a_shift_that_cannot_be(bias, numbers, error, said):
    conv = Conv2d(4, 6, 3, bias=bias)
    with engine("manual"), pytest.raises(error, match=said):
        conv(torch.randn(2, 4, 5, 5), **numbers)
    assert not conv._stack


def test_a_scaled_convolution_may_have_a_bias():
    conv, x, scale = Conv2d(4, 6, 3), torch.randn(2, 4, 5, 5), torch.randn(6)
    y = nn.functional.conv2d(x, conv.weight * scale.view(-1, 1, 1, 1), conv.bias)
    torch.testing.assert_close(conv(x, scale), y)


class Scaled(Module):
    """A reader's own use of a scale."""

    def __init__(self):
        self.conv = Conv2d(1, 2, 3)

    def forward(self, x):
        return self.conv(x, torch.tensor([2.0, 3.0]))

    def backward(self, grad):
        return self.conv.backward(grad)


@pytest.mark.parametrize("model", [Conv2d(1, 2, 3), Scaled()])
def test_a_trace_tells_of_convolutions_what_they_gave(model):
    x, target = torch.randn(2, 1, 4, 4), torch.randn(2, 2, 2, 2)
    stops = trace(model, x, target).stops
    rows = {row.name: row for stop in stops if stop.function.startswith("convolution") for row in stop.rows}
    told = isinstance(model, Conv2d)
    assert ("sum over c, u, v" in rows["y"].code) == told
    assert ("stride + u" in rows["grad_x"].code) == told  # else the lines are as they stand
    torch.testing.assert_close(rows["y"].value, model(x).detach())
