"""What attention promises beyond its gradients: the cache, causality, errors."""

import pytest
import torch
from ds_core import engine
from ds_transformer import CausalSelfAttention, StaticCache, TransformerBlock
from ds_transformer.functional import scaled_dot_product_attention, scaled_dot_product_attention_backward


def test_no_position_sees_a_later_one():
    block = TransformerBlock(8, 2).eval()
    x = torch.randn(1, 6, 8)
    changed = x.clone()
    changed[:, 4:] += 1
    assert torch.equal(block(x)[:, :4], block(changed)[:, :4])
    assert not torch.equal(block(x)[:, 4:], block(changed)[:, 4:])


@pytest.mark.parametrize("chunks", [[6], [1] * 6, [3, 1, 2]])
def test_cache_equals_recomputing(chunks):
    attention = CausalSelfAttention(12, 3).to(torch.float64).eval()
    x = torch.randn(2, 6, 12, dtype=torch.float64)
    cache = StaticCache(6)
    with torch.no_grad():
        parts = [attention(part, cache) for part in x.split(chunks, dim=1)]
        torch.testing.assert_close(torch.cat(parts, 1), attention(x), rtol=1e-12, atol=1e-12)
    assert cache.length == 6


def test_cache_that_is_full_says_so():
    attention = CausalSelfAttention(4, 1).eval()
    with pytest.raises(ValueError, match="at most 3 positions, got 4"), torch.no_grad():
        attention(torch.randn(1, 4, 4), StaticCache(3))


def test_functional_pair_against_torch():
    q, k, v = (torch.randn(6, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    grad = torch.randn(6, 5, 4, dtype=torch.float64)
    bias = torch.randn(5, 5, dtype=torch.float64)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    expected.backward(grad)
    with torch.no_grad():
        out, saved = scaled_dot_product_attention(q, k, v, bias)
        grads = scaled_dot_product_attention_backward(grad, saved)
    torch.testing.assert_close(out, expected)
    for ours, theirs in zip(grads, (q, k, v), strict=True):
        torch.testing.assert_close(ours, theirs.grad, rtol=1e-10, atol=1e-12)


def test_dropout_is_the_same_for_the_same_seed_and_off_in_eval():
    def run(seed):
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(seed)
        return CausalSelfAttention(8, 2, dropout=0.5, generator=generator)(torch.ones(1, 9, 8))

    assert torch.equal(run(1), run(1))
    attention = CausalSelfAttention(8, 2, dropout=0.5).eval()
    x = torch.randn(1, 9, 8)
    assert torch.equal(attention(x), attention(x))


def test_weights_carry_the_names_of_torch():
    ours, theirs = CausalSelfAttention(8, 2), torch.nn.MultiheadAttention(8, 2)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    block, layer = TransformerBlock(8, 2, 16), torch.nn.TransformerEncoderLayer(8, 2, 16)
    block.load_state_dict(layer.state_dict())
    layer.load_state_dict(block.state_dict())


def test_errors():
    with pytest.raises(ValueError, match="num_heads divides, got embed_dim=10, num_heads=3"):
        CausalSelfAttention(10, 3)
    with pytest.raises(
        ValueError, match=r"CausalSelfAttention\(8, 2\): expected last dimension 8, got .*\(2, 5, 9\)"
    ):
        CausalSelfAttention(8, 2)(torch.randn(2, 5, 9))
    with pytest.raises(ValueError, match=r"expected a sequence \(..., T, 8\)"):
        CausalSelfAttention(8, 2)(torch.randn(8))
    with pytest.raises(TypeError, match=r"expected torch.float32 .* got torch.int64"):
        CausalSelfAttention(8, 2)(torch.ones(1, 2, 8, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="backward without a matching forward"), engine("manual"):
        TransformerBlock(8, 2).backward(torch.ones(1, 2, 8))
