"""What positions promise beyond their gradients: agreement with published programs, caches, errors."""

import math

import pytest
import torch
from ds_core import engine
from ds_core.verify import record_operations
from ds_transformer.functional import rotate, rotate_backward
from ds_transformer.positions import (
    ALiBi,
    LearnedPositions,
    RelativePositionBias,
    RotaryPositions,
    Sine2DPositions,
    SinusoidalPositions,
    alibi_slopes,
    relative_position_bucket,
    sinusoidal_table,
)
from transformers import LlamaConfig
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.detr.modeling_detr import DetrSinePositionEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.t5.modeling_t5 import T5Attention


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ---- sinusoidal --------------------------------------------------------------------------------------


def test_a_shift_of_sinusoids_is_a_rotation():
    table = sinusoidal_table(50, 16, dtype=torch.float64)
    shift = 7
    theta = 10000 ** (-torch.arange(0, 16, 2, dtype=torch.float64) / 16)
    cos, sin = (shift * theta).cos(), (shift * theta).sin()
    here_sin, here_cos = table[:-shift, ::2], table[:-shift, 1::2]
    torch.testing.assert_close(table[shift:, ::2], here_sin * cos + here_cos * sin)
    torch.testing.assert_close(table[shift:, 1::2], here_cos * cos - here_sin * sin)


def test_similarity_of_sinusoids_depends_on_the_distance_alone():
    table = sinusoidal_table(30, 64, dtype=torch.float64)
    similarity = table @ table.T
    for distance in (0, 1, 9):
        along = similarity.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along))
    torch.testing.assert_close(similarity.diagonal(), torch.full((30,), 32.0, dtype=torch.float64))


def test_sinusoidal_table_starts_at_0_and_has_the_type_asked_for():
    assert sinusoidal_table(2, 4)[0].tolist() == [0, 1, 0, 1]
    assert sinusoidal_table(2, 4)[1].tolist() == pytest.approx(
        [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)]
    )
    assert sinusoidal_table(0, 4).shape == (0, 4)
    low, high = sinusoidal_table(600, 8, dtype=torch.bfloat16), sinusoidal_table(600, 8)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(
        low.float(), high, rtol=0, atol=4e-3
    )  # the angles were not rounded to bfloat16


def test_dropout_of_the_sum():
    x = torch.ones(2, 50, 8)

    def run(seed):
        return SinusoidalPositions(8, 0.5, generator=torch.Generator().manual_seed(seed))(x)

    expected = x + sinusoidal_table(50, 8)
    kept = run(1) != 0
    torch.testing.assert_close(run(1)[kept], (2 * expected)[kept])
    assert 0.3 < kept.double().mean() < 0.7
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(SinusoidalPositions(8, 0.5).eval()(x), expected)


# ---- rotary ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "past"), [(torch.float32, 0), (torch.float32, 3000), (torch.bfloat16, 5), (torch.float64, 2)]
)
def test_rotary_gives_the_numbers_of_llama(dtype, past):
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, max_position_embeddings=8192)
    theirs = LlamaRotaryEmbedding(config)
    q, k = (randn(2, 4, 9, 16, seed=seed, dtype=dtype) for seed in (0, 1))
    cos, sin = theirs(q, torch.arange(past, past + 9)[None])
    expected_q, expected_k = apply_rotary_pos_emb(q, k, cos, sin)
    ours = RotaryPositions(16).eval()
    # Theirs rounds the angles to float32 always, ours only where x is not finer.
    limit = {torch.float32: 1e-6, torch.bfloat16: 2**-7, torch.float64: 1e-6}[dtype]
    torch.testing.assert_close(ours(q, past), expected_q, rtol=limit, atol=limit)
    torch.testing.assert_close(ours(k, past), expected_k, rtol=limit, atol=limit)


def test_rotary_backward_gives_the_gradients_of_llama():
    theirs = LlamaRotaryEmbedding(LlamaConfig(hidden_size=64, num_attention_heads=4))
    q, k, grad_q, grad_k = (randn(2, 4, 9, 16, seed=seed, dtype=torch.float32) for seed in range(4))
    leaf_q, leaf_k = q.clone().requires_grad_(), k.clone().requires_grad_()
    outputs = apply_rotary_pos_emb(leaf_q, leaf_k, *theirs(q, torch.arange(9)[None]))
    torch.autograd.backward(outputs, (grad_q, grad_k))
    rotary = RotaryPositions(16)
    with engine("manual"):
        rotary(q)
        rotary(k)
        torch.testing.assert_close(rotary.backward(grad_k), leaf_k.grad)  # the keys came last
        torch.testing.assert_close(rotary.backward(grad_q), leaf_q.grad)


def test_one_module_for_queries_and_keys_of_other_lengths():
    rotary = RotaryPositions(8)
    q, k = randn(1, 2, 8), randn(1, 7, 8, seed=1)
    with engine("manual"):
        turned_q, turned_k = rotary(q, 5), rotary(k)
        torch.testing.assert_close(rotary.backward(turned_k), k)  # turned back
        torch.testing.assert_close(rotary.backward(turned_q), q)


@pytest.mark.parametrize("interleaved", [False, True])
def test_the_product_depends_on_the_distance_alone(interleaved):
    rotary = RotaryPositions(8, interleaved=interleaved).eval()
    q, k = randn(8), randn(8, seed=1)
    scores = rotary(q.expand(20, 8)) @ rotary(k.expand(20, 8)).T
    for distance in (-9, -1, 0, 4):
        along = scores.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along))
    assert scores.diagonal(4)[0] != pytest.approx(float(scores.diagonal(-4)[0]))
    shifted = rotary(q.expand(20, 8), 31) @ rotary(k.expand(20, 8), 31).T
    torch.testing.assert_close(shifted, scores)


def test_interleaved_is_the_other_order_of_the_same_pairs():
    x = randn(3, 5, 6)
    regrouped = torch.cat((x[..., ::2], x[..., 1::2]), -1)
    neighbours, halves = RotaryPositions(6, interleaved=True), RotaryPositions(6)
    expected = halves(regrouped, 2).unflatten(-1, (2, 3)).transpose(-1, -2).flatten(-2)
    torch.testing.assert_close(neighbours(x, 2), expected)


@pytest.mark.parametrize("interleaved", [False, True])
def test_functional_rotation_pair(interleaved):
    x, angle = randn(2, 5, 6), randn(5, 3, seed=1)
    cos, sin = angle.cos(), angle.sin()
    with torch.no_grad():
        for given in (x, x.transpose(0, 1).contiguous().transpose(0, 1)):  # any strides
            y, saved = rotate(given, cos, sin, interleaved)
            assert y.is_contiguous()
            torch.testing.assert_close(y.square().sum(-1), x.square().sum(-1))  # a rotation keeps lengths
            torch.testing.assert_close(rotate_backward(y, saved), x)
    assert not torch.allclose(y, x)


def test_rotary_spares_memory_and_work():
    rotary, x = RotaryPositions(64), randn(2, 4, 32, 64)
    rotary(x)
    with engine("manual"):
        counts = record_operations(rotary, x).counts
    # Two products and two sums of products straight into the result; the tables are there already.
    assert counts["aten.mul"] + counts["aten.addcmul"] == 4
    made = {"aten.cat", "aten.stack", "aten.clone", "aten.cos", "aten.sin", "aten.neg"} & set(counts)
    assert not made


# ---- tables that are kept ----------------------------------------------------------------------------


@pytest.mark.parametrize("module", [SinusoidalPositions(8), RotaryPositions(8), LearnedPositions(12, 8)])
@pytest.mark.parametrize("chunks", [[1] * 12, [5, 1, 6]])
def test_piece_by_piece_gives_the_same(module, chunks):
    module.to(torch.float64).eval()
    x = randn(2, 12, 8)
    places = [sum(chunks[:i]) for i in range(len(chunks))]
    parts = [module(part, past) for part, past in zip(x.split(chunks, 1), places, strict=True)]
    assert torch.equal(torch.cat(parts, 1), module(x))


def test_tables_are_made_once_and_grow_by_doubling(monkeypatch):
    rotary, built = RotaryPositions(4).eval(), []
    build = rotary._table._build
    monkeypatch.setattr(rotary._table, "_build", lambda n, *kind: built.append(n) or build(n, *kind))
    for past in range(100):
        rotary(randn(1, 4), past)
    assert built == [1, 2, 4, 8, 16, 32, 64, 128]
    rotary(randn(100, 4))
    rotary(randn(2, 4, dtype=torch.float32))
    assert built[8:] == [2]  # each type has its own


@pytest.mark.parametrize("make", [lambda: SinusoidalPositions(4), lambda: RotaryPositions(4)])
def test_a_table_made_for_inference_serves_training(make):
    module = make()
    x = randn(3, 4)
    with torch.inference_mode():
        expected = module.eval()(x).clone()
    leaf = x.clone().requires_grad_()
    y = module.train()(leaf)
    torch.testing.assert_close(y.detach(), expected)
    y.sum().backward()
    assert leaf.grad is not None


@pytest.mark.parametrize("make", [lambda: ALiBi(2), lambda: RelativePositionBias(2)])
def test_a_bias_made_for_inference_serves_training(make):
    module = make()
    with torch.inference_mode():
        module(3, 3)
    scores = randn(2, 3, 3, dtype=torch.float32).requires_grad_()
    (scores * module(3, 3)).sum().backward()
    torch.testing.assert_close(scores.grad, module(3, 3).detach())


def test_a_bias_follows_the_numbers_it_is_asked_for():
    for module in (ALiBi(2).eval(), RelativePositionBias(2).eval()):
        whole = module(6, 6)
        assert torch.equal(module(6, 6), whole)
        assert torch.equal(module(2, 6, 4), whole[:, 4:])
        assert torch.equal(module(1, 3, 2), whole[:, 2:3, :3])
        assert module.to(torch.float64)(6, 6).dtype == torch.float64
    assert Sine2DPositions(2).to(torch.float64)((2, 2)).dtype == torch.float64


def test_nothing_is_carried_but_what_is_trained():
    assert list(LearnedPositions(5, 4).state_dict()) == ["weight"]
    assert list(RelativePositionBias(2).state_dict()) == ["relative_attention_bias.weight"]
    for module in (SinusoidalPositions(4), RotaryPositions(4), ALiBi(2), Sine2DPositions(2)):
        module.load_state_dict({})
        assert not list(module.parameters())


def test_learned_positions_add_up_and_leave_other_rows_alone():
    module = LearnedPositions(6, 3).to(torch.float64)
    grad = randn(4, 2, 3)
    with engine("manual"):
        for past in (1, 2):
            module(randn(4, 2, 3), past)
        module.backward(grad)
        module.backward(grad)
    rows = grad.sum(0)
    expected = torch.zeros(6, 3, dtype=torch.float64)
    expected[1:3] += rows
    expected[2:4] += rows
    torch.testing.assert_close(module.weight.grad, expected)


def test_initial_values_come_from_the_seed():
    for make in (lambda **kw: LearnedPositions(5, 4, **kw), lambda **kw: RelativePositionBias(2, **kw)):
        first, second = (next(make(generator=torch.Generator().manual_seed(s)).parameters()) for s in (3, 3))
        assert torch.equal(first, second)
        assert (next(make(init="zeros").parameters()) == 0).all()


# ---- biases ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 2, 3, 5, 8, 12, 16, 20, 112])
def test_alibi_has_the_slopes_of_bloom(heads):
    """Bloom adds slope times key position: other by one number for each query, to which softmax is blind."""
    length = 6
    theirs = build_alibi_tensor(torch.ones(1, length), heads, torch.float32).view(heads, 1, length)
    slopes = torch.tensor(alibi_slopes(heads))
    torch.testing.assert_close(theirs[:, 0, 1], slopes)
    ours = ALiBi(heads)(length, length)
    behind = torch.ones(length, length).tril().bool()
    moved = ours + slopes.view(-1, 1, 1) * torch.arange(length).view(1, -1, 1)
    torch.testing.assert_close(moved[:, behind], theirs.expand(heads, length, length)[:, behind])


def test_alibi_fades_to_both_sides():
    bias = ALiBi(8)(5, 5)
    assert bias[0].tolist()[2] == [-1, -0.5, 0, -0.5, -1]
    assert torch.equal(bias, bias.transpose(1, 2))
    assert bias[7].tolist()[0] == [-h / 256 for h in range(5)]


@pytest.mark.parametrize("two_ways", [True, False])
@pytest.mark.parametrize(
    ("buckets", "furthest"), [(32, 128), (4, 8), (16, 20), (64, 1000), (320, 800), (10, 77)]
)
def test_buckets_are_those_of_t5(two_ways, buckets, furthest):
    distance = torch.arange(-2000, 2001)
    expected = T5Attention._relative_position_bucket(distance, two_ways, buckets, furthest)
    ours = relative_position_bucket(distance, two_ways, buckets, furthest)
    assert torch.equal(ours, expected)
    assert ours.dtype == torch.int64
    assert ours.amin() == 0
    assert ours.amax() == buckets - 1


def test_buckets_as_the_paper_tells_them():
    bucket = relative_position_bucket(torch.tensor([0, -1, -7, -8, -127, -128, -9999, 1, 7, 8, 9999]))
    assert bucket.tolist() == [0, 1, 7, 8, 15, 15, 15, 17, 23, 24, 31]
    one_way = relative_position_bucket(torch.tensor([5, 1, 0, -1, -15, -16, -9999]), bidirectional=False)
    assert one_way.tolist() == [0, 0, 0, 1, 15, 16, 31]


def test_the_table_of_buckets_collects_all_that_share_one():
    module = RelativePositionBias(2, 4, 3).to(torch.float64)
    with engine("manual"):
        bias = module(3, 3)
        assert module.backward(torch.ones_like(bias)) is None
    # Of nine pairs three are at 0, two at -1, one at -2, two at +1, one at +2; -1 and -2 share a bucket.
    assert module.relative_attention_bias.weight.grad[:, 0].tolist() == [3, 3, 0, 3]
    assert module.buckets(3, 3).tolist() == [[0, 3, 3], [1, 0, 3], [1, 1, 0]]


# ---- two dimensions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("normalize", "scale"), [(True, 2 * math.pi), (True, 1.0), (False, None)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sine_2d_gives_the_numbers_of_detr(normalize, scale, dtype):
    mask = torch.ones(2, 7, 9, dtype=torch.bool)
    mask[0, :, :], mask[1, :4, :6] = False, False
    theirs = DetrSinePositionEmbedding(16, 10000, normalize, scale)
    expected = theirs(torch.Size((2, 3, 7, 9)), "cpu", dtype, ~mask)
    ours = Sine2DPositions(16, normalize=normalize, **({} if scale is None else {"scale": scale})).to(dtype)
    torch.testing.assert_close(ours(mask), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        ours((7, 9)), theirs(torch.Size((1, 3, 7, 9)), "cpu", dtype), rtol=1e-5, atol=1e-5
    )


def test_sine_2d_height_comes_first_and_padding_does_not_count():
    full = Sine2DPositions(4)((3, 5))
    assert full.shape == (1, 8, 3, 5)
    assert torch.equal(full[:, :4], full[:, :4, :, :1].expand(1, 4, 3, 5))  # the same along a row
    assert torch.equal(full[:, 4:], full[:, 4:, :1].expand(1, 4, 3, 5))  # the same down a column
    mask = torch.ones(1, 6, 8, dtype=torch.bool)
    mask[:, :3, :5] = False
    torch.testing.assert_close(Sine2DPositions(4)(mask)[..., :3, :5], full)


# ---- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda: SinusoidalPositions(6), lambda: LearnedPositions(9, 6), lambda: RotaryPositions(6)]
)
def test_wrong_sequences(make):
    module = make()
    name = type(module).__name__
    with pytest.raises(
        ValueError, match=rf"{name}\(.*6\): expected a sequence \(..., T, 6\), got .*\(2, 3, 5\)"
    ):
        module(torch.randn(2, 3, 5))
    with pytest.raises(ValueError, match=r"expected a sequence \(..., T, 6\), got input of shape \(6,\)"):
        module(torch.randn(6))
    with pytest.raises(TypeError, match=r"expected floating point input, got torch.int64 of shape \(2, 6\)"):
        module(torch.ones(2, 6, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected past of at least 0, got -1"):
        module(torch.randn(2, 6), -1)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (lambda: SinusoidalPositions(6), (torch.randn(2, 6),)),
        (lambda: LearnedPositions(9, 6), (torch.randn(2, 6),)),
        (lambda: RotaryPositions(6), (torch.randn(2, 6),)),
        (lambda: ALiBi(2), (2, 3)),
        (lambda: RelativePositionBias(2), (2, 3)),
        (lambda: Sine2DPositions(2), ((2, 3),)),
    ],
)
def test_backward_takes_one_forward(make, arguments):
    module = make()
    with engine("manual"):
        grad = torch.ones_like(module(*arguments))
        module.backward(grad)
        with pytest.raises(RuntimeError, match="backward without a matching forward"):
            module.backward(grad)


def test_a_context_that_is_exceeded():
    positions = LearnedPositions(8, 4)
    positions(torch.randn(2, 8, 4))
    with pytest.raises(
        ValueError,
        match=r"LearnedPositions\(8, 4\): expected at most 8 positions, got 9: 6 past and 3 in an input",
    ):
        positions(torch.randn(2, 3, 4), 6)
    with pytest.raises(
        TypeError, match=r"expected torch.float32 input like its parameters, got torch.float64"
    ):
        positions(randn(2, 3, 4))


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"SinusoidalPositions\(7\): expected an even width"):
        SinusoidalPositions(7)
    with pytest.raises(ValueError, match=r"sinusoidal_table: expected an even width of at least 2, .* got 3"):
        sinusoidal_table(4, 3)
    with pytest.raises(TypeError, match=r"sinusoidal_table: expected a floating point dtype, got"):
        sinusoidal_table(3, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match="sinusoidal_table: expected a length of at least 0, got -1"):
        sinusoidal_table(-1, 4)
    with pytest.raises(ValueError, match=r"RotaryPositions\(5\): expected an even width"):
        RotaryPositions(5)
    with pytest.raises(ValueError, match=r"RotaryPositions\(4\): expected a base above 0, got -2"):
        RotaryPositions(4, -2)
    with pytest.raises(ValueError, match=r"Sine2DPositions\(3\): expected an even width"):
        Sine2DPositions(3)
    with pytest.raises(
        ValueError, match="LearnedPositions: expected max_length and d_model of at least 1, got 0, 4"
    ):
        LearnedPositions(0, 4)
    with pytest.raises(ValueError, match="expected at least 1 head, got 0"):
        ALiBi(0)
    with pytest.raises(ValueError, match="RelativePositionBias: expected at least 1 head, got 0"):
        RelativePositionBias(0)
    with pytest.raises(ValueError, match=r"expected an even num_buckets of at least 4 .* got num_buckets=7"):
        RelativePositionBias(2, 7)
    with pytest.raises(ValueError, match=r"num_buckets of at least 2 .* got num_buckets=1"):
        RelativePositionBias(2, 1, bidirectional=False)
    with pytest.raises(ValueError, match=r"max_distance above the 8 exact buckets, .* max_distance=8"):
        RelativePositionBias(2, 32, 8)


@pytest.mark.parametrize("make", [lambda: ALiBi(2), lambda: RelativePositionBias(2)])
def test_wrong_counts(make):
    with pytest.raises(
        ValueError, match=r"\(2.*expected queries, keys and past of at least 0, got .*past=-1"
    ):
        make()(3, 3, -1)


def test_wrong_images():
    with pytest.raises(
        TypeError, match=r"Sine2DPositions\(4\): expected a mask of torch.bool.* got torch.float32"
    ):
        Sine2DPositions(4)(torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match=r"expected a mask \(B, H, W\), got shape \(2, 3\)"):
        Sine2DPositions(4)(torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"expected a size \(H, W\), got \(1, 2, 3\)"):
        Sine2DPositions(4)((1, 2, 3))


def test_names_that_errors_show():
    assert repr(RotaryPositions(8, 500.0, True)) == "RotaryPositions(8, base=500, interleaved=True)"
    assert repr(RelativePositionBias(2, bidirectional=False)).startswith(
        "RelativePositionBias(2, 32, 128, bidirectional=False"
    )
    assert repr(Sine2DPositions(4, normalize=False)) == "Sine2DPositions(4, normalize=False)"
    assert repr(ALiBi(4)) == "ALiBi(4)"
