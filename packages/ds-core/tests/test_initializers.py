"""Initializers: the namesakes' bits, the moments of the formulas, orthogonality, and what they refuse."""

import math

import pytest
import torch
from ds_core import Dense, initializers
from ds_core.initializers import (
    INITIALIZERS,
    calculate_gain,
    constant_,
    eye_,
    fans,
    he_normal_,
    he_uniform_,
    initialize,
    lecun_normal_,
    lecun_uniform_,
    orthogonal_,
    sparse_,
    torch_linear_,
    trunc_normal_,
    uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from ds_core.verify.inputs import seeded
from torch.nn import init as theirs

SHAPES = [(7, 5), (5, 7), (1, 1), (4, 3, 2, 2), (64, 33)]


NAMESAKES = [
    ("uniform_", "uniform_", {}),
    ("uniform_", "uniform_", {"a": -2.0, "b": 0.5}),
    ("normal_", "normal_", {"mean": 1.0, "std": 3.0}),
    ("trunc_normal_", "trunc_normal_", {}),
    ("trunc_normal_", "trunc_normal_", {"std": 0.02}),
    ("trunc_normal_", "trunc_normal_", {"mean": 1.0, "std": 2.0, "a": 0.5, "b": 3.0}),
    ("xavier_uniform_", "xavier_uniform_", {}),
    ("xavier_uniform_", "xavier_uniform_", {"gain": 2.0}),
    ("xavier_normal_", "xavier_normal_", {"gain": 0.5}),
    ("he_uniform_", "kaiming_uniform_", {}),
    ("kaiming_uniform_", "kaiming_uniform_", {}),
    ("kaiming_normal_", "kaiming_normal_", {"mode": "fan_out"}),
    ("he_uniform_", "kaiming_uniform_", {"a": math.sqrt(5)}),
    ("he_uniform_", "kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "tanh"}),
    ("he_normal_", "kaiming_normal_", {}),
    ("he_normal_", "kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "namesake", "options"), NAMESAKES)
def test_the_bits_of_the_namesake(name, namesake, options, shape, dtype):
    tensor = torch.empty(shape, dtype=dtype)
    ours = getattr(initializers, name)(tensor, **options, generator=seeded())
    expected = getattr(theirs, namesake)(torch.empty(shape, dtype=dtype), **options, generator=seeded())
    assert ours is tensor
    assert torch.equal(ours, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_orthogonal_is_the_namesakes_matrix(shape, dtype):
    """Both are the Gram-Schmidt of the same random numbers, theirs by a library's QR decomposition."""
    ours = orthogonal_(torch.empty(shape, dtype=dtype), 1.5, generator=seeded())
    expected = theirs.orthogonal_(torch.empty(shape, dtype=dtype), 1.5, generator=seeded())
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(ours, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
@pytest.mark.parametrize(
    "shape", [(5, 7), (7, 5), (1, 6), (6, 1), (200, 200), (8, 3, 3, 3), (30, 3, 3, 3)], ids=str
)
def test_orthogonal_rows_or_columns(shape, gain):
    w = orthogonal_(torch.empty(shape, dtype=torch.float64), gain, seeded()).flatten(1)
    few = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    torch.testing.assert_close(few, gain**2 * torch.eye(len(few), dtype=torch.float64), atol=1e-12, rtol=0)


def test_orthogonal_is_uniform_over_rotations():
    """The first column points in every direction alike: its entries have mean 0 and mean square 1/n."""
    columns = torch.stack([orthogonal_(torch.empty(4, 4), generator=seeded(s))[:, 0] for s in range(2000)])
    assert columns.mean(0).abs().max() < 5 / math.sqrt(4 * 2000)
    assert (columns.square().mean(0) - 1 / 4).abs().max() < 5 * 0.18 / math.sqrt(2000)  # sd of a square: 0.18


STD = {  # of a weight (out, in) = (300, 200)
    "he_normal": math.sqrt(2 / 200),
    "he_uniform": math.sqrt(2 / 200),
    "lecun_normal": math.sqrt(1 / 200),
    "lecun_uniform": math.sqrt(1 / 200),
    "normal": 1.0,
    "orthogonal": math.sqrt(1 / 300),
    "torch_linear": math.sqrt(1 / 200 / 3),
    "trunc_normal": 0.8796,  # sqrt(1 - 4 phi(2) / (Phi(2) - Phi(-2)))
    "xavier_normal": math.sqrt(2 / 500),
    "xavier_uniform": math.sqrt(2 / 500),
}


@pytest.mark.parametrize("name", STD)
def test_moments(name):
    w = initialize(torch.empty(300, 200, dtype=torch.float64), name, seeded(4))
    n = w.numel()
    assert abs(w.mean().item()) < 4 * STD[name] / math.sqrt(n)
    assert abs(w.std().item() / STD[name] - 1) < 4 * 0.75 / math.sqrt(n)  # of a normal: 1 / sqrt(2 n)


@pytest.mark.parametrize("name", STD)
def test_a_forward_pass_keeps_its_size(name):
    """What fan_in is for: with weights of variance 1 / fan_in the output's mean square is the input's."""
    x = torch.randn(2000, 200, generator=seeded(5))
    y = x @ initialize(torch.empty(300, 200), name, seeded(6)).T
    torch.testing.assert_close(y.square().mean().sqrt().item(), STD[name] * math.sqrt(200), rtol=0.03, atol=0)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("he_uniform", math.sqrt(6 / 200)),
        ("lecun_uniform", math.sqrt(3 / 200)),
        ("torch_linear", math.sqrt(1 / 200)),
        ("xavier_uniform", math.sqrt(6 / 500)),
        ("uniform", None),
        ("trunc_normal", 2.0),
    ],
)
def test_bounds_are_kept_and_reached(name, bound):
    w = initialize(torch.empty(300, 200, dtype=torch.float64), name, seeded(7))
    low, high = (0.0, 1.0) if bound is None else (-bound, bound)
    assert low <= w.min()
    assert w.max() <= high
    assert w.max() - w.min() > 0.999 * (high - low)


@pytest.mark.parametrize(("a", "b"), [(-2.0, 2.0), (0.0, 1.0), (1.5, 2.5), (4.0, 5.0), (-math.inf, 0.0)])
def test_truncated_normal_has_the_moments_of_its_formula(a, b):
    """mean = (phi(a) - phi(b)) / (Phi(b) - Phi(a)), with phi the bell and Phi the area below it."""
    w = trunc_normal_(torch.empty(60_000, dtype=torch.float64), 0.0, 1.0, a, b, seeded(8))
    bell = [0.0 if math.isinf(z) else math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (a, b)]
    area = (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2))) / 2
    mean = (bell[0] - bell[1]) / area
    assert ((w >= a) & (w <= b)).all()
    assert abs(w.mean().item() - mean) < 4 * w.std().item() / math.sqrt(len(w))


def test_truncated_normal_wants_bounds_in_order():
    with pytest.raises(
        ValueError, match="trunc_normal: expected bounds a < b, got 2.0 and -2.0".replace(".", r"\.")
    ):
        trunc_normal_(torch.empty(3), a=2.0, b=-2.0)


@pytest.mark.parametrize(("sparsity", "zeros"), [(0.0, 0), (0.1, 1), (0.45, 5), (1.0, 10)])
def test_sparse_empties_the_same_number_of_places_in_every_column(sparsity, zeros):
    w = sparse_(torch.empty(10, 400), sparsity, std=2.0, generator=seeded())
    assert ((w == 0).sum(0) == zeros).all()
    if 0 < zeros < 10:
        assert abs(w[w != 0].std().item() - 2) < 0.15
        assert ((w == 0).sum(1) > 400 * sparsity * 0.5).all()  # and not always the same ones


def test_constants():
    w = torch.empty(2, 3)
    assert (constant_(w, 0.25) == 0.25).all()
    assert (initialize(w, "zeros") == 0).all()
    assert (initialize(w, "ones") == 1).all()
    assert torch.equal(initialize(w, "eye"), torch.eye(2, 3))


GAINS = ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "conv1d", "conv2d", "conv3d"]
GAINS += ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


@pytest.mark.parametrize("name", GAINS)
def test_gains_are_the_namesakes(name):
    assert calculate_gain(name) == theirs.calculate_gain(name)


@pytest.mark.parametrize("slope", [0, 0.2, math.sqrt(5)])
def test_gain_of_a_leaky_relu(slope):
    assert calculate_gain("leaky_relu", slope) == theirs.calculate_gain("leaky_relu", slope)


def test_fans_count_a_convolutions_positions():
    assert fans(torch.empty(8, 4)) == (4, 8)
    assert fans(torch.empty(8, 4, 3, 5)) == (60, 120)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_same_seed_gives_the_same_bits_and_no_gradient_is_recorded(name):
    first, again = (initialize(torch.empty(6, 5).requires_grad_(), name, seeded(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.is_leaf
    state = torch.get_rng_state()
    initialize(torch.empty(6, 5), name, seeded(1))
    assert torch.equal(torch.get_rng_state(), state)  # the global generator was left alone


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0)], ids=str)
def test_weights_without_entries(name, shape):
    assert initialize(torch.empty(shape), name, seeded()).shape == shape


@pytest.mark.parametrize(
    "function", [xavier_uniform_, xavier_normal_, he_uniform_, he_normal_, lecun_uniform_, lecun_normal_]
)
def test_vectors_have_no_fans(function):
    with pytest.raises(ValueError, match=r"expected a weight of at least 2 dimensions .* got shape \(3,\)"):
        function(torch.empty(3))


def test_what_is_refused():
    for function in (orthogonal_, torch_linear_):
        with pytest.raises(ValueError, match="at least 2 dimensions"):
            function(torch.empty(3))
    for function, name in ((eye_, "eye"), (sparse_, "sparse")):
        with pytest.raises(
            ValueError, match=rf"{name}: expected a matrix \(out, in\), got shape \(2, 3, 4\)"
        ):
            function(torch.empty(2, 3, 4))
    with pytest.raises(ValueError, match="sparse: expected sparsity from 0 to 1, got 2"):
        sparse_(torch.empty(2, 3), 2)
    with pytest.raises(ValueError, match=r"calculate_gain: expected one of linear, .*, got 'gelu'"):
        calculate_gain("gelu")
    with pytest.raises(ValueError, match="he: expected mode 'fan_in' or 'fan_out', got 'fan'"):
        he_normal_(torch.empty(2, 3), mode="fan")
    with pytest.raises(ValueError, match=r"init: expected one of eye, .*, zeros, got 'kaiming'"):
        initialize(torch.empty(2, 3), "kaiming")


def test_a_function_of_ones_own_fills_the_weight():
    def ramp(weight, generator=None):
        return weight.copy_(torch.arange(6.0).view(2, 3))

    assert Dense(3, 2, init=ramp).weight.flatten().tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="expected a function that fills the weight it is given, got a new"):
        Dense(3, 2, init=lambda weight, generator: torch.ones_like(weight))


def test_none_is_torchs_default_for_linear_maps():
    ours = initialize(torch.empty(5, 4), None, seeded())
    assert torch.equal(ours, theirs.kaiming_uniform_(torch.empty(5, 4), a=math.sqrt(5), generator=seeded()))
    assert torch.equal(uniform_(torch.empty(5, 4), -0.5, 0.5, seeded()), ours)
