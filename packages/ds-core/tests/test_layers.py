"""What the layers promise beyond gradients: starts, chance, running averages, and errors one can act on."""

import re
from functools import partial

import ds_core
import numpy as np
import pytest
import torch
from ds_core import (
    AlphaDropout,
    BatchNorm1d,
    Bilinear,
    CosineSimilarity,
    Dense,
    Dropout,
    DropPath,
    Embedding,
    FeatureAlphaDropout,
    Flatten,
    GroupNorm,
    Identity,
    LayerNorm,
    MSELoss,
    PairwiseDistance,
    RMSNorm,
    Unflatten,
    engine,
    functional,
)
from ds_core.functional import embedding, embedding_backward
from ds_core.initializers import INITIALIZERS, he_normal_
from ds_core.kernels import dispatch
from ds_core.kernels.embedding import EmbeddingKernel
from ds_core.layers.dropout import draw_kept
from ds_core.layers.neuron import Neuron, Perceptron
from ds_core.verify.inputs import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

NORMS = [LayerNorm(6), RMSNorm(6), GroupNorm(2, 6), BatchNorm1d(6)]


def says(text):
    """Matches a whole error message."""
    return "^" + re.escape(text) + "$"


# ---- initial weights ---------------------------------------------------------------------------------

CALLS = [
    ("Linear", (5, 3), {}),
    ("Linear", (5, 3), {"bias": False}),
    ("Linear", (1, 1), {}),
    ("Bilinear", (5, 4, 3), {}),
    ("Embedding", (7, 3), {}),
    ("Embedding", (7, 3), {"padding_idx": 2}),
    ("LayerNorm", ((3, 4),), {}),
    ("RMSNorm", (4,), {}),
    ("GroupNorm", (2, 4), {}),
    ("BatchNorm1d", (4,), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), CALLS)
def test_weights_start_with_the_bits_of_the_namesake(name, args, options):
    torch.manual_seed(5)
    theirs = getattr(nn, name)(*args, **options).state_dict()
    torch.manual_seed(5)
    ours = getattr(ds_core, name)(*args, **options).state_dict()
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key


@pytest.mark.parametrize(("name", "args", "options"), CALLS)
def test_state_dicts_travel_both_ways(name, args, options):
    theirs, ours = getattr(nn, name)(*args, **options), getattr(ds_core, name)(*args, **options)
    for value in theirs.state_dict().values():
        value.fill_(3)
    ours.load_state_dict(theirs.state_dict())
    assert all((value == 3).all() for value in ours.state_dict().values())
    for value in ours.state_dict().values():
        value.fill_(4)
    theirs.load_state_dict(ours.state_dict())
    assert all((value == 4).all() for value in theirs.state_dict().values())


WEIGHTED = [
    partial(Dense, 5, 3),
    partial(Bilinear, 5, 4, 3),
    partial(Embedding, 7, 3),
    partial(Neuron, 5),
    partial(LayerNorm, 5),
    partial(RMSNorm, 5),
    partial(GroupNorm, 2, 4),
    partial(BatchNorm1d, 4),
]
IDS = [make.func.__name__ for make in WEIGHTED]


@pytest.mark.parametrize("make", WEIGHTED, ids=IDS)
def test_every_layer_with_weights_takes_an_initializer_and_a_generator(make):
    first, again = (make(init="normal", generator=seeded(3)).weight for _ in range(2))
    other = make(init="normal", generator=seeded(4)).weight
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (make(init="zeros").weight == 0).all()
    assert (make(init=lambda w, generator: w.data.fill_(2.5)).weight == 2.5).all()
    with pytest.raises(ValueError, match=r"init: expected one of eye, he_normal, .*, got 'he'"):
        make(init="he")


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initializer_serves_a_dense_layer(name):
    layer = Dense(6, 4, init=name, generator=seeded())
    assert layer.weight.shape == (4, 6)
    assert layer.weight.isfinite().all()
    assert (layer.bias == 0).all()
    assert layer.weight.requires_grad


def test_an_initializer_with_options():
    ours = Dense(6, 4, init=partial(he_normal_, nonlinearity="tanh"), generator=seeded())
    theirs = nn.init.kaiming_normal_(torch.empty(4, 6), nonlinearity="tanh", generator=seeded())
    assert torch.equal(ours.weight, theirs)


# ---- embedding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, 7, 70, -300])
def test_embedding_names_an_id_outside_the_vocabulary(bad):
    message = f"Embedding(7, 3): token id {bad} is outside the vocabulary 0..6"
    with pytest.raises(IndexError, match=says(message)):
        Embedding(7, 3)(torch.tensor([[0, 6], [bad, 2]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
def test_embedding_wants_integers(dtype):
    message = f"Embedding(7, 3): expected integer ids (torch.int64 or torch.int32), got {dtype} of shape (2,)"
    with pytest.raises(TypeError, match=says(message)):
        Embedding(7, 3)(torch.ones(2).to(dtype))


@pytest.mark.parametrize("padding_idx", [7, -8])
def test_embedding_padding_outside_the_vocabulary(padding_idx):
    with pytest.raises(ValueError, match=r"expected padding_idx from -7 to 6, got"):
        Embedding(7, 3, padding_idx)


def test_embedding_ids_have_no_gradient():
    layer = Embedding(7, 3)
    with engine("manual"):
        y = layer(torch.tensor([1, 1, 4]))
        assert layer.backward(torch.ones_like(y)) is None
    assert layer.weight.grad.sum(1).tolist() == [0, 6, 0, 0, 3, 0, 0]


@pytest.mark.parametrize("name", ["manual", "autograd"])
def test_embedding_looks_up_the_padding_row_but_never_trains_it(name):
    layer = Embedding(4, 3, padding_idx=-2)
    assert (layer.weight[2] == 0).all()
    layer.weight.data[2] = 5.0
    with engine(name):
        y = layer(torch.tensor([2, 1, 2]))
        if name == "manual":
            layer.backward(torch.ones_like(y))
        else:
            y.sum().backward()
    assert (y[0] == 5).all()
    assert layer.weight.grad.tolist() == [[0] * 3, [1] * 3, [0] * 3, [0] * 3]


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_embedding_backward_equals_a_product_with_one_hot_rows(data):
    size = data.draw(st.integers(1, 6))
    ids = torch.tensor(data.draw(st.lists(st.integers(0, size - 1), max_size=12)), dtype=torch.int64)
    grad = torch.randn(len(ids), 3, dtype=torch.float64, generator=seeded())
    one_hot = (ids.unsqueeze(1) == torch.arange(size)).double()
    for formula in (embedding, EmbeddingKernel.forward):
        _, saved = formula(ids, torch.zeros(size, 3, dtype=torch.float64))
        backward = embedding_backward if formula is embedding else EmbeddingKernel.backward
        torch.testing.assert_close(backward(grad, saved), one_hot.T @ grad)


@pytest.mark.parametrize("option", [{"max_norm": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}])
def test_embedding_says_what_it_leaves_out(option):
    (name,) = option
    with pytest.raises(ValueError, match=rf"Embedding\(7, 3\): {name} is left out on purpose: .*got {name}="):
        Embedding(7, 3, **option)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kernels", [True, False])
def test_embedding_sums_up_half_precision_in_float32(dtype, kernels):
    layer = Embedding(2, 3, dtype=dtype)
    with engine("manual", kernels=kernels):
        layer(torch.zeros(4096, dtype=torch.int64))
        layer.backward(torch.ones(4096, 3, dtype=dtype))
    assert layer.weight.grad.dtype == dtype
    assert layer.weight.grad[0].tolist() == [4096] * 3


@pytest.mark.parametrize("make", [partial(Dense, 300, 4), partial(Bilinear, 30, 10, 4)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kernels", [True, False])
def test_affine_maps_in_half_precision(make, dtype, kernels):
    layer, exact = make(dtype=dtype, generator=seeded()), make(dtype=torch.float64)
    exact.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    sizes = [300] if type(layer) is Dense else [30, 10]
    inputs = [torch.randn(64, size, generator=seeded()).to(dtype) for size in sizes]
    grad = torch.randn(64, 4, generator=seeded(1)).to(dtype)
    results = []
    for module in (layer, exact):
        with engine("manual", kernels=kernels):
            y = module(*(x.to(module.weight.dtype) for x in inputs))
            grads = module.backward(grad.to(module.weight.dtype))
        results.append([y, module.weight.grad, module.bias.grad, *(grads if len(sizes) > 1 else [grads])])
    for ours, right in zip(*results, strict=True):
        assert ours.dtype == dtype
        assert (ours - right).abs().max() <= 4 * torch.finfo(dtype).eps * right.abs().max()


# ---- dropout -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_and_the_mean(p):
    n = 40_000
    kept = draw_kept((n,), p, torch.device("cpu"), seeded(7))
    y, _ = functional.dropout(torch.ones(n), kept, p)
    spread = (p * (1 - p) / n) ** 0.5  # standard deviation of the share kept
    assert abs(kept.float().mean().item() - (1 - p)) < 4 * spread
    assert abs(y.mean().item() - 1) < 4 * spread / (1 - p)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / (1 - p)).item()}


def test_dropout_neighbours_are_independent():
    kept = draw_kept((200, 200), 0.5, torch.device("cpu"), seeded(8))
    a, b = kept[:, :-1].double() - 0.5, kept[:, 1:].double() - 0.5
    assert abs((a * b).mean().item() * 4) < 4 / a.numel() ** 0.5  # correlation, in standard deviations of it


def test_dropout_draws_the_same_bits_from_the_same_seed():
    x = torch.randn(30, 4)

    def run(seed, dtype=torch.float32):
        layer = Dropout(0.5, generator=seeded(seed))
        return layer(x.to(dtype)), layer(x.to(dtype))

    first, second = run(1)
    assert torch.equal(first, run(1)[0])
    assert torch.equal(second, run(1)[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, run(2)[0])
    assert torch.equal(first == 0, run(1, torch.float64)[0] == 0)


def test_dropout_drops_the_same_places_from_the_gradient():
    layer, x = Dropout(0.4, generator=seeded()), torch.rand(50, 4) + 1
    with engine("manual"):
        y = layer(x)
        grad_x = layer.backward(torch.ones_like(x))
    torch.testing.assert_close(grad_x, y / x)
    assert 0 < (grad_x == 0).sum() < grad_x.numel()


def test_dropout_in_place_and_in_eval():
    x = torch.ones(20, 20)
    layer = Dropout(0.5, inplace=True)
    assert layer(x) is x
    assert (x == 0).any()
    assert layer.eval()(x) is x
    assert Dropout(0.5).eval()(x) is x


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (-0.1, "Dropout: expected a probability p from 0 to 1, got -0.1"),
        (1.1, "Dropout: expected a probability p from 0 to 1, got 1.1"),
        (float("nan"), "Dropout: expected p to be a number, got nan"),
    ],
)
def test_dropout_wants_a_probability(p, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Dropout(p)


def test_dropout_wants_floats():
    with pytest.raises(TypeError, match=r"Dropout\(p=0.5\): expected floating point input, got torch.int64"):
        Dropout()(torch.arange(3))


def test_alpha_dropout_leaves_mean_and_variance_alone():
    x = (torch.rand(200, 300, generator=seeded(1)) - 0.5) * 12**0.5  # all above SELU's lower end
    for layer in (AlphaDropout(0.3, generator=seeded(2)), nn.AlphaDropout(0.3)):
        y = layer(x)
        lowest = y.min()
        dropped = (y == lowest).float().mean().item()
        assert abs(dropped - 0.3) < 4 * (0.21 / x.numel()) ** 0.5
        assert abs(y.mean().item()) < 0.02
        assert abs(y.var().item() - 1) < 0.02
        torch.testing.assert_close(lowest, torch.tensor(-1.0596), atol=1e-4, rtol=0)


def test_feature_alpha_dropout_drops_whole_channels():
    y = FeatureAlphaDropout(0.5, generator=seeded(3))(torch.rand(20, 8, 3, 4, generator=seeded()))
    dropped = (y == y.min()).flatten(2)
    assert torch.equal(dropped.any(-1), dropped.all(-1))
    assert 0 < dropped.sum() < dropped.numel()
    with pytest.raises(
        ValueError, match=r"FeatureAlphaDropout.*expected input of shape \(N, C, ...\), got \(3,\)"
    ):
        FeatureAlphaDropout()(torch.zeros(3))


def test_alpha_dropout_in_place_and_in_eval():
    for cls in (AlphaDropout, FeatureAlphaDropout):
        x = torch.ones(20, 20)
        layer = cls(0.5, inplace=True)
        assert layer(x) is x
        assert (x != 1).all()
        assert layer.eval()(x) is x


# ---- two vectors -----------------------------------------------------------------------------------------


def test_a_vector_with_hardly_any_length_is_only_divided():
    """The gradient of nn.CosineSimilarity forgets that such a length counts as eps."""
    x1 = torch.tensor([[1e-10, 2e-10]], dtype=torch.float64)
    x2 = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    layer = CosineSimilarity()
    with engine("manual"):
        torch.testing.assert_close(layer(x1, x2), nn.CosineSimilarity()(x1, x2))
        grad_1, _ = layer.backward(torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(grad_1, torch.tensor([[0.6, 0.8]], dtype=torch.float64) / 1e-8)


@pytest.mark.parametrize(
    ("layer", "first", "second"),
    [
        (CosineSimilarity(), (4, 5), (4, 1)),
        (CosineSimilarity(), (4, 5), (3, 5)),
        (CosineSimilarity(), (5,), (5,)),
        (CosineSimilarity(-2), (4, 5), (5,)),
        (PairwiseDistance(), (4, 5), (4, 1)),
        (PairwiseDistance(), (4, 5), (3, 5)),
        (PairwiseDistance(), (), ()),
    ],
)
def test_vectors_that_cannot_be_compared(layer, first, second):
    with pytest.raises(
        ValueError, match=r"expected inputs of shapes that broadcast, with vectors of one size"
    ):
        layer(torch.ones(first), torch.ones(second))


def test_options_of_comparisons():
    for make in (lambda: PairwiseDistance(0), lambda: PairwiseDistance(-1.0)):
        with pytest.raises(ValueError, match="PairwiseDistance: expected a norm with p above 0"):
            make()
    with pytest.raises(ValueError, match="CosineSimilarity: expected eps to be 0 or more, got -1"):
        CosineSimilarity(1, -1)
    with pytest.raises(TypeError, match=r"CosineSimilarity\(dim=1, eps=1e-08\): expected inputs of one type"):
        CosineSimilarity()(torch.ones(2, 2), torch.ones(2, 2).double())
    with pytest.raises(TypeError, match="expected floating point input, got"):
        PairwiseDistance()(torch.arange(3), torch.arange(3))


def test_drop_path_drops_whole_samples():
    layer = DropPath(0.4, generator=seeded())
    y = layer(torch.ones(2000, 3, 2))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
    assert all(len(sample.unique()) == 1 for sample in y)
    assert abs((y[:, 0, 0] == 0).float().mean().item() - 0.4) < 4 * (0.24 / 2000) ** 0.5
    unscaled = DropPath(0.4, scale_by_keep=False, generator=seeded())
    assert torch.equal(unscaled(torch.ones(2000, 3, 2)), (y > 0).float())
    x = torch.ones(3, 2)
    assert DropPath(0.4).eval()(x) is x
    with pytest.raises(
        ValueError, match=r"DropPath\(.* dim=-3\): expected input with a dimension -3, got \(3, 2\)"
    ):
        DropPath(0.4, dim=-3)(x)
    with pytest.raises(ValueError, match="DropPath: expected a probability drop_prob from 0 to 1"):
        DropPath(1.5)


# ---- normalisation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [LayerNorm(500), GroupNorm(1, 500), BatchNorm1d(8), RMSNorm(500)], ids=str)
def test_norms_bring_what_they_average_over_to_mean_0_and_variance_1(norm):
    x = torch.randn(500, 8, generator=seeded()) * 4 + 3
    y = norm(x if isinstance(norm, BatchNorm1d) else x.T)
    along = 0 if isinstance(norm, BatchNorm1d) else 1
    torch.testing.assert_close(y.square().mean(along), torch.ones(8), atol=1e-4, rtol=0)
    if not isinstance(norm, RMSNorm):
        torch.testing.assert_close(y.mean(along), torch.zeros(8), atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_norm_gradients_do_not_change_what_the_norm_takes_away(norm):
    """Scaling or shifting x changes nothing, so the gradient has no part along x, nor along a constant."""
    norm = type(norm)(*((2, 6) if isinstance(norm, GroupNorm) else (6,)), eps=0.0).to(torch.float64)
    x = torch.randn(4, 6, generator=seeded(), dtype=torch.float64)
    with engine("manual"):
        norm(x)
        grad_x = norm.backward(torch.randn(4, 6, generator=seeded(1), dtype=torch.float64))
    sums = {LayerNorm: (1,), RMSNorm: (1,), GroupNorm: (2,), BatchNorm1d: (0,)}[type(norm)]
    if isinstance(norm, GroupNorm):
        x, grad_x = x.view(4, 2, 3), grad_x.view(4, 2, 3)
    assert grad_x.abs().max() > 0.1
    assert (x * grad_x).sum(sums).abs().max() < 1e-12
    if not isinstance(norm, RMSNorm):
        assert grad_x.sum(sums).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("LayerNorm", (1,), (4, 1)),
        ("LayerNorm", (2,), (4, 2)),
        ("RMSNorm", (1,), (4, 1)),
        ("GroupNorm", (3, 3), (2, 3, 1)),
        ("GroupNorm", (3, 3), (1, 3, 2)),
        ("BatchNorm1d", (3,), (2, 3)),
        ("BatchNorm1d", (3,), (1, 3, 2)),
    ],
)
def test_norms_over_one_or_two_numbers(name, args, shape):
    """Here the gradient is the rest of a cancellation of numbers of the size g / sqrt(var + eps)."""
    norm, theirs = getattr(ds_core, name)(*args), getattr(nn, name)(*args).double()
    x, grad = torch.randn(shape, generator=seeded()), torch.randn(shape, generator=seeded(1))
    leaf = x.double().requires_grad_()
    expected = theirs(leaf)
    expected.backward(grad.double())
    with engine("manual"):
        y = norm(x)
        grad_x = norm.backward(grad)
    torch.testing.assert_close(y.double(), expected.detach(), atol=1e-6, rtol=1e-6)
    size = (grad.abs().max() / (norm.eps or torch.finfo().eps) ** 0.5).item()
    assert (grad_x - leaf.grad).abs().max() <= 4e-7 * size


def test_layer_norm_far_from_zero_keeps_its_digits():
    """A variance computed as mean(x^2) - mean(x)^2 would have lost them all."""
    x = torch.randn(4, 64, generator=seeded()) + 3000
    expected = LayerNorm(64).to(torch.float64)(x.double())
    torch.testing.assert_close(LayerNorm(64)(x).double(), expected, atol=5e-4, rtol=0)


@pytest.mark.parametrize(
    "norm",
    [
        LayerNorm(6, elementwise_affine=False),
        LayerNorm(6),
        RMSNorm(6, elementwise_affine=False),
        GroupNorm(2, 6, affine=False),
        BatchNorm1d(6, affine=False),
    ],
    ids=str,
)
def test_a_norms_output_may_be_overwritten_before_its_backward(norm):
    x, grad = torch.randn(4, 6, generator=seeded()), torch.randn(4, 6, generator=seeded(1))
    with engine("manual"):
        norm(x)
        expected = norm.backward(grad)
        norm(x).zero_()
        assert torch.equal(norm.backward(grad), expected)


@pytest.mark.parametrize(
    ("norm", "shape", "expected"),
    [
        (LayerNorm(6), (2, 5), "LayerNorm(6): expected trailing dimensions (6,), got input of shape (2, 5)"),
        (
            LayerNorm((3, 6)),
            (6,),
            "LayerNorm((3, 6)): expected trailing dimensions (3, 6), got input of shape (6,)",
        ),
        (RMSNorm(6), (), "RMSNorm(6): expected trailing dimensions (6,), got input of shape ()"),
        (GroupNorm(2, 6), (6,), "GroupNorm(2, 6): expected input of shape (N, 6, ...), got (6,)"),
        (GroupNorm(2, 6), (2, 3), "GroupNorm(2, 6): expected input of shape (N, 6, ...), got (2, 3)"),
        (BatchNorm1d(6), (6,), "BatchNorm1d(6): expected input of shape (N, 6) or (N, 6, L), got (6,)"),
        (BatchNorm1d(6), (2, 5), "BatchNorm1d(6): expected input of shape (N, 6) or (N, 6, L), got (2, 5)"),
        (
            BatchNorm1d(6),
            (1, 6),
            "BatchNorm1d(6): expected more than one value per channel to normalise by, got input of shape "
            "(1, 6); use a larger batch, or eval()",
        ),
    ],
)
def test_norms_say_which_shape_they_expected(norm, shape, expected):
    with pytest.raises(ValueError, match=says(expected)):
        norm(torch.zeros(shape))


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_norms_want_the_type_of_their_weights(norm):
    with pytest.raises(TypeError, match=r"expected torch.float32 input like its parameters, got torch.int64"):
        norm(torch.ones(2, 6, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"got torch.float64 of shape \(2, 6\); convert with x.to"):
        norm(torch.ones(2, 6, dtype=torch.float64))


def test_norms_without_weights_still_want_floats():
    with pytest.raises(TypeError, match=r"expected floating point input, got torch.int64"):
        LayerNorm(6, elementwise_affine=False)(torch.ones(2, 6, dtype=torch.int64))


@pytest.mark.parametrize("norm", [LayerNorm, RMSNorm])
def test_norms_take_sizes_of_numpy(norm):
    for sizes in (np.int64(4), [np.int64(3), 4]):
        assert repr(norm(sizes)) == repr(norm(np.array(sizes).tolist()))


def test_norms_refuse_sizes_that_make_no_sense():
    with pytest.raises(ValueError, match="num_channels to be a multiple of num_groups, got 6 channels and 4"):
        GroupNorm(4, 6)
    with pytest.raises(ValueError, match=r"expected at least one size in normalized_shape, got \(\)"):
        LayerNorm(())


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
@pytest.mark.parametrize("name", ["manual", "autograd"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_running_averages_follow_the_namesakes(momentum, name, dtype, limit):
    ours, theirs = (norm(3, momentum=momentum, dtype=dtype) for norm in (BatchNorm1d, nn.BatchNorm1d))
    for step in range(5):
        x = torch.randn(4 + step, 3, 2, dtype=dtype, generator=seeded(step)) * 3 + 2
        theirs(x)
        with engine(name):
            ours(x)
        for key, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[key], value, rtol=limit, atol=limit)
    ours.eval()(x)
    assert ours.num_batches_tracked == 5
    torch.testing.assert_close(ours(x), theirs.eval()(x))
    assert not ours.running_mean.requires_grad


def test_an_empty_batch_leaves_the_running_averages_alone():
    norm = BatchNorm1d(3)
    norm(torch.randn(0, 3))
    assert (norm.running_mean == 0).all()
    assert (norm.running_var == 1).all()
    assert norm.num_batches_tracked == 1


def test_batch_norm_in_eval_takes_a_single_example():
    assert BatchNorm1d(3).eval()(torch.ones(1, 3)).shape == (1, 3)


def test_without_running_averages_there_is_nothing_to_save():
    assert list(BatchNorm1d(3, track_running_stats=False).state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernels", [True, False])
def test_the_formula_of_batch_norm_serves_images(layout, kernels):
    theirs = nn.BatchNorm2d(4)
    weight, bias = theirs.weight.detach(), theirs.bias.detach()
    batch_norm, batch_norm_backward = dispatch(functional.batch_norm)
    x = torch.randn(3, 4, 5, 6, generator=seeded()).contiguous(memory_format=layout)
    grad = torch.randn(3, 4, 5, 6, generator=seeded(1)).contiguous(memory_format=layout)
    leaf = x.clone().requires_grad_()
    expected = theirs(leaf)
    expected.backward(grad)
    with engine("manual", kernels=kernels):
        (y, mean, var), saved = batch_norm(x, weight, bias, theirs.eps)
        grad_x, grad_weight, grad_bias = batch_norm_backward(grad, saved)
    torch.testing.assert_close(y, expected.detach())
    torch.testing.assert_close(grad_x, leaf.grad)
    torch.testing.assert_close(grad_weight, theirs.weight.grad)
    torch.testing.assert_close(grad_bias, theirs.bias.grad)
    torch.testing.assert_close(0.1 * mean, theirs.running_mean)
    torch.testing.assert_close(0.9 + 0.1 * var * 90 / 89, theirs.running_var)
    assert y.is_contiguous(memory_format=layout)


HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("scale", [600, 1e-3])
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("LayerNorm", (64,)), ("RMSNorm", (64,)), ("GroupNorm", (8, 64)), ("BatchNorm1d", (64,))],
)
def test_norms_in_half_precision_are_as_exact_as_torchs(name, sizes, scale, dtype):
    x = (torch.randn(8, 64, generator=seeded()) * scale).to(dtype)
    theirs, ours = getattr(nn, name)(*sizes), getattr(ds_core, name)(*sizes, dtype=dtype)
    if name == "RMSNorm":
        theirs.eps = torch.finfo(torch.float32).eps
    grad = torch.randn(8, 64, generator=seeded(1)).to(dtype)
    leaf = x.double().requires_grad_()
    expected = theirs.double()(leaf)
    expected.backward(grad.double())
    with engine("manual"):
        y, grad_x = ours(x), ours.backward(grad)
    for mine, exact in ((y, expected.detach()), (grad_x, leaf.grad)):
        assert mine.dtype == dtype
        close = {"rtol": 2 * torch.finfo(dtype).eps, "atol": 2 * torch.finfo(dtype).eps * exact.abs().max()}
        torch.testing.assert_close(mine.double(), exact, **close)


# ---- the rest ----------------------------------------------------------------------------------------


def test_dense_says_what_it_expected():
    layer = Dense(784, 128)
    message = "Dense(784, 128): expected last dimension 784, got input of shape (32, 28, 28)"
    with pytest.raises(ValueError, match=says(message)):
        layer(torch.zeros(32, 28, 28))
    with pytest.raises(ValueError, match=r"got input of shape \(\)"):
        layer(torch.zeros(()))
    message = (
        "Dense(784, 128): expected torch.float32 input like its parameters, got torch.int64 of shape "
        "(2, 784); convert with x.to(torch.float32)"
    )
    with pytest.raises(TypeError, match=says(message)):
        layer(torch.zeros(2, 784, dtype=torch.int64))


def test_what_is_no_tensor_becomes_one_as_it_is_said():
    x = torch.zeros(2, 3)
    for value, advice in (
        ((x, x), "a tuple of 2: a tensor.*; give one of these tensors, in a Sequential by FirstOutput"),
        ([x, x], r"a list of 2: .* or torch\.stack makes one of them"),
        ([[0.0, 0.0, 0.0]], r"\]; torch\.as_tensor makes a tensor of it"),
        ("x", r"'x'$"),
    ):
        with pytest.raises(TypeError, match=rf"Dense\(3, 2\): expected input to be a tensor, got .*{advice}"):
            Dense(3, 2)(value)


def test_too_many_and_too_few_inputs_are_named():
    x = torch.zeros(2, 3)
    for call, message in (
        (
            lambda: MSELoss()(x, (x,), x),
            "MSELoss(): forward takes input, target; too many positional arguments",
        ),
        (lambda: MSELoss()(x), "forward takes input, target; missing a required argument: 'target'"),
        (lambda: Dense(3, 2)(x=x), "Dense(3, 2): forward takes input; missing a required argument: 'input'"),
    ):
        with pytest.raises(
            TypeError, match=re.escape(message) + r": it was given (x=)?a tensor of torch.float32"
        ):
            call()


def test_bilinear_says_what_it_expected():
    layer = Bilinear(3, 4, 2)
    for shapes in [((5, 4), (5, 4)), ((5, 3), (6, 4)), ((3,), (5, 4)), ((), ())]:
        with pytest.raises(ValueError, match=r"Bilinear\(3, 4, 2\): expected inputs of shape \(..., 3\) and"):
            layer(*map(torch.zeros, shapes))
    with pytest.raises(TypeError, match=r"got torch.float64"):
        layer(torch.zeros(5, 3), torch.zeros(5, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="Bilinear: expected in1_features of at least 1, got 0"):
        Bilinear(0, 4, 2)


def test_reshaping_layers_say_what_they_expected():
    with pytest.raises(ValueError, match=r"Flatten\(\): expected input with dimensions 1 to -1, got shape"):
        Flatten()(torch.zeros(3))
    with pytest.raises(ValueError, match=r"dimension 1 splits into \(2, 4\), got shape \(3, 6\)"):
        Unflatten(1, (2, 4))(torch.zeros(3, 6))
    with pytest.raises(ValueError, match=r"dimension 2 splits into \(2, 3\), got shape \(3, 6\)"):
        Unflatten(2, (2, 3))(torch.zeros(3, 6))


def test_names():
    assert Dense is ds_core.Linear
    shown = {
        "Dense(5, 3)": Dense(5, 3),
        "Dense(5, 3, bias=False)": Dense(5, 3, bias=False),
        "Bilinear(5, 4, 3, bias=False)": Bilinear(5, 4, 3, bias=False),
        "Embedding(7, 3, padding_idx=6)": Embedding(7, 3, -1),
        "Dropout(p=0.1, inplace=True)": Dropout(0.1, True),
        "Flatten()": Flatten(),
        "Flatten(0, 1)": Flatten(0, 1),
        "Unflatten(1, (2, 3))": Unflatten(1, [2, 3]),
        "Identity()": Identity(54, spare=True),
        "LayerNorm(5)": LayerNorm(5),
        "LayerNorm((4, 5), bias=False)": LayerNorm((4, 5), bias=False),
        "LayerNorm(5, elementwise_affine=False)": LayerNorm(5, elementwise_affine=False),
        "LayerNorm(5, eps=1e-12)": LayerNorm(5, 1e-12),
        "RMSNorm(5)": RMSNorm(5),
        "RMSNorm(5, eps=1e-05)": RMSNorm(5, 1e-5),
        "GroupNorm(2, 4, eps=0.1, affine=False)": GroupNorm(2, 4, 0.1, False),
        "GroupNorm(2, 4, affine=False)": GroupNorm(2, 4, affine=False),
        "GroupNorm(2, 4, bias=False)": GroupNorm(2, 4, bias=False),
        "BatchNorm1d(4)": BatchNorm1d(4),
        "BatchNorm1d(4, eps=0.1, momentum=None, affine=False, track_running_stats=False)": BatchNorm1d(
            4, 0.1, None, False, False
        ),
        "Neuron(5)": Neuron(5),
    }
    for text, module in shown.items():
        assert repr(module) == text


# ---- a single neuron ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_neuron_learns_to_double(seed):
    x = torch.randn(32, 1, generator=seeded(seed))
    neuron = Neuron(1, generator=seeded(seed))
    for _ in range(200):
        with engine("manual"):
            neuron.zero_grad()
            difference = neuron(x) - 2 * x[:, 0]
            neuron.backward(2 * difference / len(x))
            for parameter in neuron.parameters():
                parameter -= 0.1 * parameter.grad
    assert abs(neuron.weight.item() - 2) < 1e-4
    assert abs(neuron.bias.item()) < 1e-4


def separable(seed, margin=0.2):
    """Points in a square beside a random line, none closer to it than the margin."""
    g = seeded(seed)
    x = torch.rand(300, 2, generator=g) * 2 - 1
    w = torch.randn(2, generator=g)
    distance = x @ (w / w.norm())
    return x[distance.abs() > margin], (distance[distance.abs() > margin] > 0).long()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("lr", [1.0, 0.1])
def test_the_perceptron_makes_no_more_mistakes_than_its_theorem_allows(seed, lr):
    x, target = separable(seed)
    perceptron = Perceptron(2, lr).fit(x, target, epochs=1000, generator=seeded(seed))
    longest = (x.square().sum(1) + 1).sqrt().max().item()
    assert 0 < sum(perceptron.mistakes) <= (longest / 0.2) ** 2
    assert perceptron.mistakes[-1] == 0
    assert torch.equal(perceptron.predict(x), target)


def test_the_size_of_a_correction_changes_no_answer():
    x, target = separable(3)
    mistakes = [Perceptron(2, lr).fit(x, target, generator=seeded()).mistakes for lr in (0.25, 1.0, 4.0)]
    assert mistakes[0] == mistakes[1] == mistakes[2]


@pytest.mark.parametrize(
    ("target", "learned"), [([0, 0, 0, 1], True), ([0, 1, 1, 1], True), ([0, 1, 1, 0], False)]
)
def test_the_perceptron_learns_and_and_or_but_never_xor(target, learned):
    x, target = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor(target)
    perceptron = Perceptron(2).fit(x, target, epochs=50, generator=seeded())
    assert (perceptron.mistakes[-1] == 0) is learned
    assert torch.equal(perceptron.predict(x), target) is learned
    assert len(perceptron.mistakes) < 50 or not learned


def test_the_perceptron_says_what_it_expected():
    with pytest.raises(ValueError, match=r"expected classes 0 and 1, got \[-1, 1\]"):
        Perceptron(2).fit(torch.zeros(2, 2), torch.tensor([-1, 1]))
    for shape, targets in [((2, 3), 2), ((2, 2), 3), ((2,), 2)]:
        with pytest.raises(
            ValueError, match=r"expected examples of shape \(N, 2\) and targets of shape \(N,\)"
        ):
            Perceptron(2).fit(torch.zeros(shape), torch.zeros(targets))
    assert repr(Perceptron(2)) == "Perceptron(2, lr=1.0)"


@pytest.mark.parametrize("make", [lambda **o: BatchNorm1d(3, **o), lambda **o: LayerNorm(3, **o)])
def test_options_by_keyword_start_the_weights_and_misspelt_ones_are_refused(make):
    norms = [make(init="normal", generator=seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(norms[0].weight, norms[1].weight)
    assert not torch.equal(norms[0].weight, norms[2].weight)
    with pytest.raises(TypeError, match="unexpected keyword argument 'inti'"):
        make(inti="normal")
