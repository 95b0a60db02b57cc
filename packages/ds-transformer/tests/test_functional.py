"""Both forms of attention before torch's own, and before each other."""

import itertools
import math
from functools import partial

import pytest
import torch
from ds_core import engine, precision
from ds_core.verify.inputs import seeded
from ds_core.verify.operations import recording
from ds_transformer import scaled_dot_product_attention, scaled_dot_product_attention_backward
from ds_transformer.functional.dropout_factors import dropout_factors
from ds_transformer.kernels import blockwise
from ds_transformer.kernels.noise import Noise
from ds_transformer.layers.noise import draw_noise

blockwise_attention = partial(scaled_dot_product_attention, blockwise=True)
blockwise_attention_backward = scaled_dot_product_attention_backward
PAIRS = {
    "plain": (partial(scaled_dot_product_attention, blockwise=False), scaled_dot_product_attention_backward),
    "blockwise": (blockwise_attention, blockwise_attention_backward),
}
LIMITS = {torch.float64: 1e-9, torch.float32: 1e-5}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Makes blocks so small that these inputs need several in every direction, the last ones cut short."""
    monkeypatch.setattr(blockwise, "CAUSAL_QUERIES", 2)
    monkeypatch.setattr(blockwise, "KEYS", 4)
    monkeypatch.setattr(blockwise, "room", lambda: 12)  # 3 queries
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # a head for each


def draw(dtype, heads=3, key_heads=3, queries=7, keys=7, width=4, value_width=4, batch=(2,)):
    g = torch.Generator().manual_seed(0)
    sizes = (heads, queries, width), (key_heads, keys, width), (key_heads, keys, value_width)
    return [torch.randn(*batch, *size, generator=g, dtype=torch.float64).to(dtype) for size in sizes]


def masks(kind, queries, keys, dtype):
    g = torch.Generator().manual_seed(1)
    if kind is None:
        return None
    sizes = {"matrix": (queries, keys), "heads": (3, queries, keys), "padding": (2, 1, 1, keys)}
    size = sizes.get(kind.split()[-1], (2, 3, queries, keys))
    numbers = torch.randn(size, generator=g, dtype=torch.float64).to(dtype)
    if kind.startswith("additive"):
        return numbers
    mask = numbers > 0
    mask[..., 0] = True
    return mask


@pytest.mark.parametrize(
    ("threads", "heads", "expected"),
    [
        *((1, 8, [2, 2, 2, 2]), (1, 3, [2, 1])),  # 2 heads of 3 queries and 4 keys in 24 scores
        *((2, 2, [2]), (2, 3, [2, 1]), (2, 4, [2, 2]), (2, 5, [3, 2]), (2, 8, [4, 4]), (2, 9, [4, 4, 1])),
        *((4, 8, [4, 4]), (4, 16, [8, 8]), (4, 20, [8, 8, 4])),
    ],
)
def test_more_threads_have_more_heads_at_once_where_two_blocks_remain(threads, heads, expected, monkeypatch):
    monkeypatch.setattr(blockwise, "room", lambda: 24)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    query, key = torch.zeros(heads, 3, 5), torch.zeros(heads, 4, 5)
    mask = blockwise.Mask(None, (heads, 3, 4), False, 0)
    assert [len(range(heads)[n]) for n, _, _ in blockwise.blocks(query, key, mask)] == expected


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("form", PAIRS)
@pytest.mark.parametrize(
    ("mask", "is_causal", "gqa", "sizes"),
    [
        *itertools.product(
            (None, "boolean full", "additive full", "boolean matrix", "additive heads", "boolean padding"),
            (False, True),
            (False,),
            ((7, 7), (3, 9), (9, 4), (1, 6), (5, 1), (1, 1)),
        ),
        *itertools.product(
            (None, "boolean full", "additive padding"), (False, True), (True,), ((7, 7), (2, 5))
        ),
    ],
)
def test_torch_agrees(form, mask, is_causal, gqa, sizes, dtype):
    forward, backward = PAIRS[form]
    query, key, value = draw(dtype, key_heads=1 if gqa else 3, queries=sizes[0], keys=sizes[1], value_width=5)
    given = masks(mask, *sizes, dtype)
    grad = torch.randn(2, 3, sizes[0], 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    grad = grad.to(dtype)
    theirs = [x.clone().requires_grad_() for x in (query, key, value)]
    their_mask = given
    if given is not None and given.dtype != torch.bool:
        their_mask = given.clone().requires_grad_()
        theirs.append(their_mask)
    if is_causal and given is not None:  # theirs takes one or the other
        causal = torch.ones(sizes, dtype=torch.bool).tril()
        their_mask = (
            their_mask & causal if given.dtype == torch.bool else their_mask.masked_fill(~causal, -torch.inf)
        )
    expected = torch.nn.functional.scaled_dot_product_attention(
        *theirs[:3], their_mask, is_causal=is_causal and given is None, scale=0.6, enable_gqa=gqa
    )
    expected.backward(grad)
    with engine("manual"):
        out, saved = forward(query, key, value, given, is_causal=is_causal, scale=0.6, enable_gqa=gqa)
        grads = backward(grad, saved, want_mask=len(theirs) > 3)
    limit = LIMITS[dtype]
    torch.testing.assert_close(out, expected, rtol=limit, atol=limit)
    for ours, leaf in zip(grads, theirs, strict=False):
        torch.testing.assert_close(ours, leaf.grad, rtol=limit, atol=limit)

    leaves = [x.clone().requires_grad_() for x in (query, key, value)]  # autograd, through our own forward
    with engine("autograd"):
        taped, _ = forward(*leaves, given, is_causal=is_causal, scale=0.6, enable_gqa=gqa)
        taped.backward(grad)
    torch.testing.assert_close(out, taped.detach(), rtol=limit, atol=limit)
    for ours, leaf in zip(grads, leaves, strict=False):
        torch.testing.assert_close(ours, leaf.grad, rtol=limit, atol=limit)


@pytest.mark.parametrize("form", PAIRS)
@pytest.mark.parametrize("boolean", [True, False])
def test_a_query_that_may_look_nowhere_gets_zeros_and_gives_none(form, boolean):
    forward, backward = PAIRS[form]
    query, key, value = draw(torch.float64)
    mask = torch.ones(7, 7, dtype=torch.bool)
    mask[2] = mask[6] = False
    mask[3, :5] = False
    given = mask if boolean else torch.zeros(7, 7, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    with engine("manual"):
        out, saved = forward(query, key, value, given)
        grads = backward(torch.ones_like(out), saved)
    assert out[:, :, [2, 6]].eq(0).all()
    assert grads.query[:, :, [2, 6]].eq(0).all()
    assert all(grad.isfinite().all() for grad in grads[:3])
    expected = torch.nn.functional.scaled_dot_product_attention(query[:, :, 3:4], key, value, mask[3:4])
    torch.testing.assert_close(out[:, :, 3:4], expected)
    with engine("manual"):
        out, saved = forward(query, key, value, torch.zeros(7, 7, dtype=torch.bool))
        grads = backward(torch.ones_like(out), saved)
    assert all(x.eq(0).all() for x in (out, *grads[:3]))
    leaves = [x.clone().requires_grad_() for x in (query, key, value)]
    forward(*leaves, given)[0].sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)


@pytest.mark.parametrize("form", PAIRS)
@pytest.mark.parametrize("sizes", [(0, 5, 5), (2, 0, 5), (2, 5, 0)], ids=str)
def test_nothing_to_do(form, sizes):
    batch, queries, keys = sizes
    forward, backward = PAIRS[form]
    query, key, value = draw(torch.float64, batch=(batch,), queries=queries, keys=keys)
    with engine("manual"):
        out, saved = forward(query, key, value)
        grads = backward(torch.ones_like(out), saved)
    assert out.shape == query.shape
    assert out.eq(0).all()
    for x, grad in zip((query, key, value), grads, strict=False):
        assert torch.equal(grad, torch.zeros_like(x))
    assert forward(query.requires_grad_(), key, value)[0].shape == query.shape


@pytest.mark.parametrize("form", PAIRS)
def test_keys_that_came_before_count_as_past(form):
    forward, _ = PAIRS[form]
    query, key, value = draw(torch.float64)
    with engine("manual"):
        whole, _ = forward(query, key, value, is_causal=True)
        for begin in range(7):
            for end in range(begin + 1, 8):
                part, _ = forward(
                    query[:, :, begin:end], key[:, :, :end], value[:, :, :end], is_causal=True, past=begin
                )
                torch.testing.assert_close(part, whole[:, :, begin:end])


@pytest.mark.parametrize("form", PAIRS)
def test_dropout_keeps_the_mean_and_its_gradient_is_that_of_what_was_kept(form):
    forward, backward = PAIRS[form]
    query, key, value = draw(torch.float64, queries=40, keys=50)

    def run(*inputs, p=0.3, seed=5):
        return forward(*inputs, dropout_p=p, generator=seeded(seed))

    leaves = [x.clone().requires_grad_() for x in (query, key, value)]
    grad = torch.randn(2, 3, 40, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected, _ = run(*leaves)
    expected.backward(grad)
    with engine("manual"):
        out, saved = run(query, key, value)
        grads = backward(grad, saved)
        torch.testing.assert_close(out, expected.detach())
        for ours, leaf in zip(grads, leaves, strict=False):
            torch.testing.assert_close(ours, leaf.grad)
        assert torch.equal(run(query, key, value)[0], out)
        assert not torch.equal(run(query, key, value, seed=6)[0], out)
        plain = partial(PAIRS["plain"][0], query, key, value)  # which drops the same, and is quicker here
        torch.testing.assert_close(plain(dropout_p=0.3, generator=seeded(5))[0], out)
        mean = torch.stack([plain(dropout_p=0.3, generator=seeded(seed))[0] for seed in range(300)]).mean(0)
        torch.testing.assert_close(mean, run(query, key, value, p=0.0)[0], rtol=0, atol=0.12)
        assert run(query, key, value, p=1.0)[0].eq(0).all()


def test_dropout_is_even_and_no_two_rows_or_columns_are_alike():
    query = torch.empty(4, 256, 8)
    for p in (0.1, 0.5, 0.9):
        noise = draw_noise(query, 256, torch.Generator().manual_seed(0))
        factors = dropout_factors(*noise, p, torch.empty(0, dtype=torch.float64))
        assert set(factors.unique().tolist()) == {0.0, 1 / (1 - p)}
        z = ((factors > 0).double() - (1 - p)) / math.sqrt(p * (1 - p))  # (4, 256, 256), mean 0, variance 1
        assert abs(z.mean() * 512) < 4
        for by in (z, z.mT):
            assert abs((by.sum(-1) / 16).var() - 1) < 0.2
            assert (by @ by.mT / 16).triu(1).abs().max() < 7
        four = z[0, :128, :128] * z[0, 128:, :128] * z[0, :128, 128:] * z[0, 128:, 128:]
        assert abs(four.mean() * 128) < 5  # nor do the corners of rectangles know of one another
        ones = torch.ones(4, 256, 256, dtype=torch.float64)
        assert torch.equal(Noise(*noise, p).drop(ones), factors)
    assert dropout_factors(*noise, 1.0, query).eq(0).all()
    assert dropout_factors(*noise, 0.0, query).eq(1).all()


@pytest.mark.parametrize("form", PAIRS)
def test_large_scores_do_not_overflow(form):
    forward, backward = PAIRS[form]
    query, key, value = (100 * x for x in draw(torch.float32))
    with engine("manual"):
        out, saved = forward(query, key, value)
        grads = backward(torch.ones_like(out), saved)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(out, theirs, rtol=1e-4, atol=1e-3)
    assert all(grad.isfinite().all() for grad in grads[:3])


@pytest.mark.parametrize("form", PAIRS)
@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("low", [-1e4, -1e9, None])  # None: the lowest number there is
def test_a_mask_that_adds_much_to_a_whole_row_says_nothing_of_its_keys(form, dtype, low):
    """So does that of a text which is nothing but padding: the row's scores lie far out, all alike."""
    forward, backward = PAIRS[form]
    query, key, value = draw(dtype, keys=9)
    mask = torch.zeros(7, 9, dtype=dtype)
    mask[:, 6:] = mask[[2, 6]] = torch.finfo(dtype).min if low is None else low
    grad = torch.randn((*value.shape[:2], 7, 4), generator=torch.Generator().manual_seed(2)).to(dtype)
    leaves = [x.clone().requires_grad_() for x in (query, key, value, mask)]
    expected = torch.nn.functional.scaled_dot_product_attention(*leaves)
    expected.backward(grad)
    with engine("manual"):
        out, saved = forward(query, key, value, mask)
        grads = backward(grad, saved, want_mask=True)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-3 if low == -1e4 else 1e-5)
    for ours, leaf in zip(grads, leaves, strict=True):
        torch.testing.assert_close(ours, leaf.grad, rtol=1e-4, atol=2e-3 if low == -1e4 else 1e-4)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("size", [1.0, 100.0])  # of scores, small ones and others
def test_a_row_without_keys_bears_any_gradient(pair, size):
    forward, backward = PAIRS[pair]
    query, key, value = draw(torch.float32)
    mask = torch.ones(7, 7, dtype=torch.bool)
    mask[[1, 5]] = False
    with engine("manual"):
        out, saved = forward(query * size, key, value, mask)
        grads = backward(torch.full_like(out, 1e30), saved)
    assert (out[..., [1, 5], :] == 0).all()
    assert all(grad.isfinite().all() for grad in grads[:3])
    assert (grads[0][..., [1, 5], :] == 0).all()


@pytest.mark.parametrize("hidden", [None, "first block", "last block", "some rows"])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("places", [(8,), (0,), (4, 5), (4, 5, 6, 7, 8), (0, 8), ()])
@pytest.mark.parametrize("by", [3000.0, -3000.0, 30.0])
def test_small_and_large_scores_in_the_blocks_of_a_row(by, places, noisy, hidden):
    """2^x cannot take all scores as they are: those of some blocks of keys, and whatever else is hidden."""
    query, key, value = draw(torch.float64, queries=5, keys=9, value_width=3)
    query[..., 0] = 1.0
    key[..., 0] = 0.0
    key[..., list(places), 0] = by
    mask = torch.ones(5, 9, dtype=torch.bool)  # True: may look
    if hidden == "some rows":
        mask[1:3] = False
    elif hidden:
        mask[2:4, {"first block": slice(0, 4), "last block": slice(8, 9)}[hidden]] = False
    grad = torch.arange(2 * 3 * 5 * 3).view(2, 3, 5, 3).cos().double()
    found = {}
    for form in PAIRS:
        forward, backward = PAIRS[form]
        with engine("manual"):
            drops = {"dropout_p": 0.3, "generator": seeded(5)} if noisy else {}
            out, saved = forward(query, key, value, mask, **drops)
            found[form] = out, *backward(grad, saved)[:3]
    for mine, wanted in zip(found["blockwise"], found["plain"], strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-9, atol=1e-13 * abs(by))
    if not noisy and hidden != "some rows":
        theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
        torch.testing.assert_close(found["blockwise"][0], theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("is_causal", [False, True])
def test_what_is_hidden_may_be_no_number(is_causal, number):
    query, key, value = draw(torch.float64)
    mask = torch.ones(7, 7, dtype=torch.bool)
    if not is_causal:
        mask[:, 5] = False
    rows = slice(0, 5) if is_causal else slice(None)  # those that do not see key 5
    found = []
    for hidden in (0.0, number):
        key[..., 5, :] = hidden
        with engine("manual"):
            out, _ = blockwise_attention(query, key, value, mask, is_causal=is_causal)
        found.append(out[..., rows, :])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_scores_that_float32_takes_as_they_are_do_not_overflow_in_float16():
    query, key, value = draw(torch.float32)
    query[..., 0], key[..., 0] = 1.0, 35.0  # scores of about 17: e^17 is 400 times what float16 holds
    found = {}
    for kind in ("float32", "fp16"):
        with engine("manual"), precision(kind):
            out, saved = blockwise_attention(query, key, value)
            found[kind] = out, *blockwise_attention_backward(out.cos(), saved)[:3]
    for low, wanted in zip(found["fp16"], found["float32"], strict=True):
        torch.testing.assert_close(low, wanted, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("laid", ["heads apart", "heads of a token side by side"])
def test_a_single_block_writes_gradients_into_no_memory_but_its_own(laid, is_causal, monkeypatch):
    for name in ("CAUSAL_QUERIES", "KEYS"):
        monkeypatch.setattr(blockwise, name, 16)
    monkeypatch.setattr(blockwise, "room", lambda: 100)
    parts = torch.randn(2, 9, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if laid != "heads apart":
        parts = parts.transpose(1, 2).contiguous().transpose(1, 2)
    given = [part.contiguous() if laid == "heads apart" else part for part in parts.split(3, 1)]
    before = [part.clone() for part in given]
    found = {}
    for form in ("plain", "blockwise"):
        forward, backward = PAIRS[form]
        with engine("manual"):
            out, saved = forward(*given, is_causal=is_causal)
            found[form] = backward(torch.arange(out.numel()).view(out.shape).cos().double(), saved)[:3]
    for grad, wanted in zip(found["blockwise"], found["plain"], strict=True):
        torch.testing.assert_close(grad, wanted, rtol=1e-9, atol=1e-12)
    for part, was in zip(given, before, strict=True):
        assert torch.equal(part, was)


@pytest.mark.parametrize(("size", "looks"), [(0.1, False), (100.0, True), (torch.nan, True)])
def test_scores_of_short_queries_and_keys_are_not_looked_at(size, looks, monkeypatch):
    monkeypatch.setattr(blockwise, "KEYS", 16)
    monkeypatch.setattr(blockwise, "room", lambda: 256)
    looked = []
    small = blockwise._small
    monkeypatch.setattr(blockwise, "_small", lambda scores: looked.append(1) or small(scores))
    query, key, value = draw(torch.float32, heads=2, key_heads=2, queries=48, keys=48, batch=())
    query[0, 3, 1] = size
    results = []
    for form in ("plain", "blockwise"):
        with engine("manual"):
            results.append(PAIRS[form][0](query, key, value)[0])
    torch.testing.assert_close(*results, equal_nan=True)
    assert bool(looked) == looks


def test_blockwise_never_holds_all_scores(monkeypatch):
    monkeypatch.setattr(blockwise, "CAUSAL_QUERIES", 16)
    monkeypatch.setattr(blockwise, "KEYS", 32)
    monkeypatch.setattr(blockwise, "room", lambda: 256)  # of each of two threads
    query, key, value = draw(torch.float32, heads=1, key_heads=1, queries=256, keys=256, batch=())
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    with engine("manual"), Watch():
        out, saved = blockwise_attention(query, key, value, is_causal=True)
        blockwise_attention_backward(out, saved)
    assert (
        largest == query.numel()
    )  # (256, 4): beside blocks of 512 scores, nothing is larger than the inputs


@pytest.mark.parametrize("form", PAIRS)
def test_elementary_operations_only(form):
    forward, backward = PAIRS[form]
    query, key, value = draw(torch.float32)
    mask = masks("boolean full", 7, 7, torch.float32)
    with recording() as operations, engine("manual"):
        out, saved = forward(query, key, value, mask, 0.1, is_causal=True)
        backward(out, saved)
    assert operations.outside() == []


@pytest.mark.parametrize("form", PAIRS)
def test_errors(form):
    forward, _ = PAIRS[form]
    x = torch.zeros(2, 4, 5, 8)
    with pytest.raises(ValueError, match=r"as many values as keys, got key \(2, 4, 5, 8\) and value"):
        forward(x, x, torch.zeros(2, 4, 6, 8))
    for p in (-0.1, 1.5):
        with pytest.raises(ValueError, match=f"expected dropout_p from 0 to 1, got {p}"):
            forward(x, x, x, dropout_p=p)
    with pytest.raises(ValueError, match="expected past of at least 0, got -1"):
        forward(x, x, x, is_causal=True, past=-1)
    with pytest.raises(TypeError, match=r"of one floating point dtype, got torch.float32, torch.float64 and"):
        forward(x, x.double(), x)
    with pytest.raises(TypeError, match=r"of one floating point dtype, got torch.int64"):
        forward(*[x.long()] * 3)
    with pytest.raises(ValueError, match="query and key of one width, got 8 and 7"):
        forward(x, x[..., :7], x)
    with pytest.raises(ValueError, match=r"as many dimensions, got \(2, 4, 5, 8\), \(4, 5, 8\)"):
        forward(x, x[0], x[0])
    with pytest.raises(ValueError, match="the leading dimensions of the key"):
        forward(x, x[:, :2], x[:, :2])
    with pytest.raises(ValueError, match="heads that those of the key divide"):
        forward(x, x[:, :3], x[:, :3], enable_gqa=True)
    with pytest.raises(ValueError, match=r"broadcasts to \(2, 4, 5, 5\), queries by keys, got \(5, 6\)"):
        forward(x, x, x, torch.ones(5, 6, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"torch.bool \(True: may look\) or torch.float32 .* got torch.int64"):
        forward(x, x, x, torch.ones(5, 5, dtype=torch.int64))
