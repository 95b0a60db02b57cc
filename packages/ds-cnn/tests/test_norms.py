"""Norms of images: what cases cannot show."""

import pytest
import torch
from ds_cnn import BatchNorm2d, FrozenBatchNorm2d, InstanceNorm2d
from ds_core import engine
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
