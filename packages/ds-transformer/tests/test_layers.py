"""What attention and the layers promise beyond their gradients: caches, what is hidden, weights, errors."""

import pytest
import torch
from ds_core import GELU, Dense, LayerNorm, Recompute, engine
from ds_core.checks import checked_together
from ds_transformer import (
    ALiBi,
    DecoderCache,
    GrowingCache,
    MultiheadAttention,
    RelativePositionBias,
    RotaryPositions,
    StaticCache,
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
    causal_mask,
    padding_mask,
)
from torch import nn

CACHES = {"growing": GrowingCache, "static": lambda: StaticCache(6)}


def rand(*size):
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)), dtype=torch.float64)


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


# ---- caches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("chunks", [[6], [1] * 6, [3, 1, 2]], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"num_kv_heads": 1}, {"add_bias_kv": True}, "rotary", "alibi", "t5"], ids=str
)
def test_cache_equals_recomputing(cache, chunks, options):
    positions = {
        "rotary": {"rotary": RotaryPositions(4)},
        "alibi": {"score_bias": ALiBi(3)},
        "t5": {"score_bias": RelativePositionBias(3, 8, 6)},
    }
    options = positions.get(options, options) if isinstance(options, str) else options
    attention = MultiheadAttention(12, 3, batch_first=True, **options).to(torch.float64).eval()
    x, cache = rand(2, 6, 12), CACHES[cache]()
    with torch.no_grad():
        parts = [attention(part, is_causal=True, cache=cache) for part in x.split(chunks, dim=1)]
        whole, weights = attention(x, is_causal=True)
    close(torch.cat([y for y, _ in parts], 1), whole)
    close(parts[-1][1][:, -1], weights[:, -1])
    assert cache.length == 6


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_decoder_writing_position_by_position_equals_the_whole(norm_first, batch_first):
    layer = TransformerDecoderLayer(8, 2, 16, batch_first=batch_first, norm_first=norm_first)
    decoder = TransformerDecoder(layer, 3, LayerNorm(8)).to(torch.float64).eval()
    for number, part in enumerate(decoder.layers):  # which begin alike
        for parameter in part.parameters():
            parameter.data += 0.1 * rand(*parameter.shape, number + 1)[..., 0]
    tgt, memory = (rand(2, 5, 8), rand(2, 4, 8)) if batch_first else (rand(5, 2, 8), rand(4, 2, 8))
    padding = padding_mask([4, 2])
    dim = 1 if batch_first else 0
    caches = [DecoderCache(GrowingCache(), GrowingCache()) for _ in range(3)]
    with torch.no_grad():
        whole = decoder(tgt, memory, memory_key_padding_mask=padding, tgt_is_causal=True)
        steps = [
            decoder(x, memory, memory_key_padding_mask=padding, tgt_is_causal=True, caches=caches)
            for x in tgt.split(1, dim)
        ]
    close(torch.cat(steps, dim), whole)
    assert [(cache.own.length, cache.memory.length) for cache in caches] == [(5, 4)] * 3

    turned = [cache.reorder(torch.tensor([1, 0, 1])) for cache in caches]
    index = torch.tensor([1, 0, 1])
    with torch.no_grad():
        further = decoder(
            steps[0].index_select(1 - dim, index),
            memory.index_select(1 - dim, index),
            memory_key_padding_mask=padding[index],
            caches=turned,
        )
        expected = decoder(steps[0], memory, memory_key_padding_mask=padding, caches=caches)
    close(further, expected.index_select(1 - dim, index))


def test_cache_errors():
    attention = MultiheadAttention(4, 1, batch_first=True)
    with (
        pytest.raises(RuntimeError, match=r"a cache is for generating: call eval\(\) first"),
        engine("manual"),
    ):
        attention(rand(1, 4, 4).float(), cache=GrowingCache())
    attention.eval()
    with pytest.raises(ValueError, match="at most 3 positions, got 4"), torch.no_grad():
        attention(rand(1, 4, 4).float(), cache=StaticCache(3))
    x, cache = rand(2, 4, 4).float(), GrowingCache()
    with pytest.raises(ValueError, match="with a cache, give the query alone, got it as key, too"):
        attention(x, x, x, cache=GrowingCache())
    with torch.no_grad():
        attention(x[:1], rand(1, 3, 4).float(), cache=cache)
        with pytest.raises(ValueError, match="expected a cache of 2 sequences, as the query has, got 1"):
            attention(x, rand(2, 3, 4).float(), cache=cache)
    encoder = TransformerEncoder(TransformerEncoderLayer(4, 1, 8), 2).eval()
    with pytest.raises(ValueError, match="expected 2 caches, one for each layer, got 1"):
        encoder(rand(3, 1, 4).float(), caches=[GrowingCache()])


def test_what_attention_cannot_use_is_refused():
    x = rand(2, 5, 8).float()
    with pytest.raises(ValueError, match="expected a key with the value, got None"):
        MultiheadAttention(8, 2, batch_first=True)(x, value=x)
    with pytest.raises(ValueError, match="rotary positions are of self-attention: give the query alone"):
        MultiheadAttention(8, 2, batch_first=True, rotary=RotaryPositions(4))(x, x, x)
    for bias in (ALiBi(4), ALiBi(1), RelativePositionBias(1)):
        heads = bias.num_heads
        with pytest.raises(ValueError, match=rf"a score_bias of 2 heads, \(2, 5, 5\), got \({heads}, 5, 5\)"):
            MultiheadAttention(8, 2, batch_first=True, score_bias=bias)(x)
    attention = MultiheadAttention(8, 2, batch_first=True)
    for blockwise in (False, True):
        attention.blockwise = blockwise
        with engine("manual"):
            y, _ = attention(x, need_weights=False)
            with pytest.raises(ValueError, match="forward was called with need_weights=False"):
                attention.backward(y, torch.ones(2, 5, 5))


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("make", [lambda: ALiBi(2), lambda: RelativePositionBias(2, 8, 6)])
def test_a_score_bias_may_be_of_another_type(make, kernels):
    x = rand(2, 5, 8)
    narrow = MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64, score_bias=make())
    wide = narrow.copy().to(torch.float64)
    grads = []
    for attention in (narrow, wide):
        with engine("manual", kernels=kernels):
            y, _ = attention(x)
            grads.append((attention.backward(y), *(p.grad.double() for p in attention.parameters())))
    for ours, expected in zip(*grads, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


# ---- what is hidden --------------------------------------------------------------------------------------


@pytest.mark.parametrize("blockwise", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_no_position_sees_a_later_one(blockwise, norm_first):
    layer = TransformerEncoderLayer(
        8, 2, 16, batch_first=True, norm_first=norm_first, blockwise=blockwise
    ).eval()
    x = rand(1, 6, 8).float()
    changed = x.clone()
    changed[:, 4:] += 1
    before, after = layer(x, is_causal=True), layer(changed, is_causal=True)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4:], after[:, 4:])
    close(layer.to(torch.float64)(x.double(), causal_mask(6)), layer(x.double(), is_causal=True))


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("blockwise", [False, True])
def test_where_all_is_hidden_nothing_is_taken(need_weights, blockwise):
    attention = MultiheadAttention(8, 2, batch_first=True, blockwise=blockwise)
    with torch.no_grad():
        attention.out_proj.bias.fill_(0.5)
    x = rand(2, 5, 8).float()
    padding = torch.tensor([[False] * 5, [True] * 5])
    with engine("manual"):
        y, weights = attention(x, key_padding_mask=padding, need_weights=need_weights)
        grad = attention.backward(torch.ones_like(y))
    assert torch.equal(y[1], torch.full((5, 8), 0.5))
    assert weights is None or weights[1].eq(0).all()
    assert grad[1].eq(0).all()
    assert grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in attention.parameters())


def test_padding_does_not_matter():
    model = Transformer(8, 2, 2, 2, 16, batch_first=True).to(torch.float64).eval()
    src, tgt = rand(2, 4, 8), rand(2, 5, 8)
    hidden = padding_mask([4, 2])
    masks = {"src_key_padding_mask": hidden, "memory_key_padding_mask": hidden, "tgt_is_causal": True}
    with torch.no_grad():
        both = model(src, tgt, **masks)
        alone = model(src[1:, :2], tgt[1:, :3], tgt_is_causal=True)
        unbatched = model(src[1, :2], tgt[1, :3], tgt_is_causal=True)
    close(both[1:, :3], alone)
    close(unbatched, alone[0])


# ---- weights and layers ----------------------------------------------------------------------------------


def test_weights_move_both_ways():
    pairs = [
        (MultiheadAttention(8, 2), nn.MultiheadAttention(8, 2)),
        (
            MultiheadAttention(8, 2, kdim=3, add_bias_kv=True),
            nn.MultiheadAttention(8, 2, kdim=3, add_bias_kv=True),
        ),
        (TransformerEncoderLayer(8, 2, 16), nn.TransformerEncoderLayer(8, 2, 16)),
        (TransformerDecoderLayer(8, 2, 16), nn.TransformerDecoderLayer(8, 2, 16)),
        (Transformer(8, 2, 1, 2, 16), nn.Transformer(8, 2, 1, 2, 16)),
    ]
    for ours, theirs in pairs:
        ours.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        assert [name for name, _ in ours.named_parameters()] == list(ours.state_dict())


def test_weights_start_as_those_of_torch_do():
    torch.manual_seed(0)
    ours, theirs = Transformer(64, 4, 2, 2, 128), nn.Transformer(64, 4, 2, 2, 128)
    for name, value in theirs.state_dict().items():
        mine = ours.state_dict()[name]
        assert mine.std(correction=0).item() == pytest.approx(
            value.std(correction=0).item(), rel=0.12, abs=1e-7
        ), name
        assert mine.abs().max().item() == pytest.approx(value.abs().max().item(), rel=0.12, abs=1e-7), name
    attention, their_attention = MultiheadAttention(64, 4), nn.MultiheadAttention(64, 4)
    for name, value in their_attention.state_dict().items():
        assert attention.state_dict()[name].std().item() == pytest.approx(
            value.std().item(), rel=0.1, abs=1e-7
        ), name


def test_layers_of_a_stack_are_copies_that_share_the_generator():
    generator = torch.Generator().manual_seed(3)
    layer = TransformerEncoderLayer(8, 2, 16, 0.5, GELU("tanh"), generator=generator)
    encoder = TransformerEncoder(layer, 3)
    assert len({id(p) for p in encoder.parameters()}) == 3 * len(list(layer.parameters()))
    assert all(part.dropout1.generator is generator for part in encoder.layers)
    assert all(part.activation.approximate == "tanh" for part in encoder.layers)
    x = rand(5, 2, 8).float()
    generator.manual_seed(3)
    once = encoder(x)
    generator.manual_seed(3)
    assert torch.equal(encoder(x), once)


def test_frozen_projections_collect_no_gradient():
    attention = MultiheadAttention(8, 2)
    attention.in_proj_weight.requires_grad_(False)
    with engine("manual"):
        y, _ = attention(rand(3, 2, 8).float())
        attention.requires_input_grad_(False)
        assert attention.backward(y) is None
    assert attention.in_proj_weight.grad is None
    assert attention.in_proj_bias.grad is not None


def test_custom_encoder_and_decoder_are_used():
    encoder = TransformerEncoder(TransformerEncoderLayer(8, 2, 16, 0.0), 1)
    model = Transformer(8, 2, custom_encoder=encoder, num_decoder_layers=1, dim_feedforward=16)
    assert model.encoder is encoder
    expected = nn.Transformer.generate_square_subsequent_mask(4)
    assert torch.equal(Transformer.generate_square_subsequent_mask(4), expected)


# ---- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiheadAttention(10, 3), "num_heads divides, got embed_dim=10, num_heads=3"),
        (lambda: MultiheadAttention(8, 4, num_kv_heads=3), "num_kv_heads that divides num_heads"),
        (lambda: MultiheadAttention(8, 4, dropout=1.5), "dropout from 0 to 1, got 1.5"),
        (lambda: TransformerEncoderLayer(10, 3), "num_heads divides, got embed_dim=10, num_heads=3"),
        (
            lambda: TransformerEncoderLayer(8, 2, activation="swish"),
            "'relu' or 'gelu' or a Module, got 'swish'",
        ),
        (lambda: TransformerEncoder(TransformerEncoderLayer(8, 2), 0), "num_layers of at least 1, got 0"),
        (lambda: Transformer(10, 3), "num_heads divides, got embed_dim=10"),
    ],
)
def test_arguments_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


X = torch.zeros(2, 5, 8)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (
            (torch.zeros(2, 5, 9),),
            {},
            r"MultiheadAttention\(8, 2, batch_first=True\): expected query .*got \(2, 5, 9\)",
        ),
        ((torch.zeros(8),), {}, r"or \(T, 8\) without a batch, got \(8,\)"),
        (
            (X, torch.zeros(2, 4, 7)),
            {},
            r"expected key \(B, T, 8\).* got \(2, 4, 7\) beside query \(2, 5, 8\)",
        ),
        ((X, torch.zeros(4, 8)), {}, r"expected key .* got \(4, 8\) beside query \(2, 5, 8\)"),
        ((X, torch.zeros(3, 4, 8)), {}, r"query and key of one batch size, got \(2, 5, 8\) and \(3, 4, 8\)"),
        (
            (X, X, torch.zeros(2, 4, 8)),
            {},
            r"as many values as keys, got key \(2, 5, 8\) and value \(2, 4, 8\)",
        ),
        ((X,), {"attn_mask": torch.zeros(5, 4).bool()}, r"attn_mask \(5, 5\) or \(4, 5, 5\), got \(5, 4\)"),
        ((X,), {"key_padding_mask": torch.zeros(5, 2).bool()}, r"key_padding_mask \(2, 5\) .*got \(5, 2\)"),
    ],
)
def test_shapes_that_do_not_fit(inputs, options, message):
    with pytest.raises(ValueError, match=message):
        MultiheadAttention(8, 2, batch_first=True)(*inputs, **options)


def test_types_that_do_not_fit():
    attention = MultiheadAttention(8, 2)
    with pytest.raises(TypeError, match=r"expected torch.float32 .* got torch.int64"):
        attention(torch.ones(2, 5, 8, dtype=torch.int64))
    for name in ("attn_mask", "key_padding_mask"):
        with pytest.raises(
            TypeError, match=rf"expected {name} of torch.bool \(True: hidden\) .* got torch.int64"
        ):
            attention(X, **{name: torch.zeros(5, 5, dtype=torch.int64)})


def test_a_memory_that_does_not_fit():
    layer = TransformerDecoderLayer(8, 2, 16, batch_first=True)
    with pytest.raises(ValueError, match=r"query and key of one batch size, got \(2, 5, 8\) and \(3, 4, 8\)"):
        layer(X, torch.zeros(3, 4, 8))
    with pytest.raises(ValueError, match=r"expected key .* got \(2, 4, 6\)"):
        layer(X, torch.zeros(2, 4, 6))
    with pytest.raises(
        ValueError, match=r"src and tgt of one batch size, got src \(3, 5, 8\) and tgt \(2, 5, 8\)"
    ):
        Transformer(8, 2, 1, 1, 16, batch_first=True)(torch.zeros(3, 5, 8), X)
    with pytest.raises(
        ValueError, match=r"the last of them 8, and both alike, got src \(2, 5, 8\) and tgt \(5, 8\)"
    ):
        Transformer(8, 2, 1, 1, 16, batch_first=True)(X, X[0])


def test_backward_without_forward():
    for layer in (MultiheadAttention(8, 2), TransformerEncoderLayer(8, 2, 16), Dense(8, 8)):
        with pytest.raises(RuntimeError, match="backward without a matching forward"), engine("manual"):
            layer.backward(X)


def test_functions_and_layers_of_torch_are_refused_by_name():
    for make in (TransformerEncoderLayer, TransformerDecoderLayer, Transformer):
        with pytest.raises(
            TypeError, match="expected activation to be a text or a Module of ds_core, got <function relu"
        ):
            make(8, 2, activation=torch.nn.functional.relu)
    with pytest.raises(
        TypeError, match="TransformerEncoder: expected encoder_layer to be a Module of ds_core, got T"
    ):
        TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 1)


@pytest.mark.parametrize("make", [TransformerEncoderLayer, TransformerDecoderLayer, Transformer])
def test_misspelt_options_are_refused(make):
    with pytest.raises(TypeError, match="unexpected keyword argument 'atention_dropout'"):
        make(8, 2, atention_dropout=0.1)


def test_one_position_has_the_gradient_of_all_where_it_alone_is_read():
    x, only = torch.randn(3, 5, 8, dtype=torch.float64), torch.tensor([4, 0, 2])
    layer = TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True, norm_first=True).double()
    found, grad = [], torch.randn(3, 1, 8, dtype=torch.float64)
    for alone in (True, False):
        layer.zero_grad()
        with engine("manual"):
            if alone:
                y = layer(x, is_causal=True, only=only)
                grad_x = layer.backward(grad)
            else:
                y = layer(x, is_causal=True)[range(3), only][:, None]
                every = torch.zeros_like(x)
                every[range(3), only] = grad[:, 0]
                grad_x = layer.backward(every)
        found.append([y, grad_x, *(p.grad.clone() for p in layer.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_one_position_that_there_is_not():
    x, first = torch.randn(2, 5, 8), torch.tensor([0, 0])
    layer = TransformerEncoderLayer(8, 2, 12, batch_first=True).eval()
    cases = [
        (IndexError, "only from 0 to 4, .* got \\[0, 5\\]", x, {"only": torch.tensor([0, 5])}),
        (IndexError, "got \\[-1, 0\\]", x, {"only": torch.tensor([-1, 0])}),
        (IndexError, "got \\[5, 5\\]", x, {"only": 5}),
        (ValueError, "a batch of sequences", x[0], {"only": 0}),
        (ValueError, r"integers \(B,\), .*only \(3,\)", x, {"only": torch.tensor([0, 0, 0])}),
        (ValueError, "of torch.float32", x, {"only": torch.zeros(2)}),
        (ValueError, "a batch of sequences", x[0], {"only": first}),
        (ValueError, "without src_mask", x, {"only": first, "src_mask": torch.zeros(5, 5)}),
        (ValueError, "without src_mask and cache", x, {"only": first, "cache": GrowingCache()}),
    ]
    for error, message, src, options in cases:
        with pytest.raises(error, match=message):
            layer(src, **options)
    with pytest.raises(TypeError, match=r"only to be a whole number, got 1\.7"):
        layer(x, only=1.7)
    turning = TransformerEncoderLayer(8, 2, 12, batch_first=True, rotary=RotaryPositions(4))
    with pytest.raises(ValueError, match="neither rotary nor score_bias"):
        turning(x, only=first)


@pytest.mark.parametrize("causal", [False, True])
def test_one_position_where_attention_recomputes(causal):
    x, only = torch.randn(3, 5, 8, dtype=torch.float64), torch.tensor([4, 0, 2])
    layer = TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True).double()
    again = layer.copy()
    again.self_attn = Recompute(again.self_attn)
    found = []
    for one in (layer, again):
        with engine("manual"):
            y = one(x, is_causal=causal, only=only)
            found.append([y, one.backward(torch.ones_like(y)), *(p.grad for p in one.parameters())])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


def test_one_position_that_there_is_not_is_told_later_where_numbers_are_checked_together():
    x = torch.randn(2, 5, 8)
    layer = TransformerEncoderLayer(8, 2, 12, batch_first=True).eval()
    with checked_together() as doubts:
        assert layer(x, only=torch.tensor([7, -1])).shape == (2, 1, 8)
    (doubt,) = doubts
    assert doubt.wrong
    with pytest.raises(IndexError, match=r"only from 0 to 4, .* got \[7, -1\]"):
        raise doubt.error()


def test_a_mask_that_does_not_fit_is_refused_for_one_position_as_for_all():
    x, only = torch.randn(3, 5, 8), torch.tensor([4, 0, 2])
    layer = TransformerEncoderLayer(8, 2, 12, batch_first=True).eval()
    for mask, error, message in (
        (torch.zeros(5, dtype=torch.bool), ValueError, "key_padding_mask for each of 3 sequences"),
        (torch.zeros(3, 1, dtype=torch.bool), ValueError, r"key_padding_mask .*, got \(3, 1\)"),
        (torch.zeros(3, 4, dtype=torch.bool), ValueError, r"key_padding_mask .*, got \(3, 4\)"),
        (torch.zeros(3, 5, dtype=torch.int64), TypeError, "key_padding_mask .*, got torch.int64"),
    ):
        for options in ({}, {"only": only}):
            with pytest.raises(error, match=message):
                layer(x, src_key_padding_mask=mask, is_causal=True, **options)


@pytest.mark.parametrize("batch_first", [False, True])
def test_one_position_for_all_asks_nothing_of_the_device(batch_first):
    x = torch.randn(3, 4, 8)
    layer = TransformerEncoderLayer(8, 2, 12, batch_first=batch_first).eval()
    with checked_together() as doubts:
        y = layer(x, is_causal=True, only=2)
    assert not doubts
    assert torch.equal(y, layer(x, is_causal=True, only=torch.full((3 if batch_first else 4,), 2)))
