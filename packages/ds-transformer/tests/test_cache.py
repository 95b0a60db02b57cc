"""Caches: the same as laying all positions end to end, whatever the pieces they come in."""

from __future__ import annotations

import pytest
import torch
from ds_core.text import beam_search
from ds_transformer.cache import GrowingCache, KeyValueCache, StaticCache

CACHES = pytest.mark.parametrize("make", [GrowingCache, lambda: StaticCache(12)], ids=["growing", "static"])


def pieces(*lengths, lead=(2, 3), widths=(4, 4)):
    """Draws keys and values, (..., T, D) each, for every length T."""
    return [tuple(torch.randn(*lead, length, width) for width in widths) for length in lengths]


def joined(parts):
    return [torch.cat(tensors, -2) for tensors in zip(*parts, strict=True)]


@CACHES
@pytest.mark.parametrize("lengths", [[12], [1] * 12, [3, 1, 1, 5, 2], [0, 4, 0, 1, 7]], ids=str)
@pytest.mark.parametrize("lead", [(), (2,), (2, 3), (0, 3), (1, 2, 2)], ids=str)
def test_all_so_far_are_the_pieces_end_to_end(make, lengths, lead):
    cache, parts = make(), pieces(*lengths, lead=lead)
    returned = []
    for i, (key, value) in enumerate(parts):
        assert cache.length == sum(lengths[:i])
        returned.append(cache.extend(key, value))
    assert cache.length == 12
    for i, found in enumerate(returned):  # also after all that came later
        assert all(map(torch.equal, found, joined(parts[: i + 1])))


@CACHES
def test_keys_and_values_may_differ_in_width_and_are_copies(make):
    cache, parts = make(), pieces(2, 3, widths=(4, 7))
    expected = joined(parts)
    for key, value in parts:
        keys, values = cache.extend(key, value)
        key.zero_()
        value.zero_()
    assert torch.equal(keys, expected[0])
    assert torch.equal(values, expected[1])


@CACHES
@pytest.mark.parametrize("index", [[1, 0, 2], [0, 0, 0, 2, 1, 1], [2], []], ids=str)
def test_reordering_selects_rows(make, index):
    rows, cache = torch.tensor(index, dtype=torch.int64), make()
    before = pieces(3, 2, lead=(3, 2))
    for key, value in before:
        kept = cache.extend(key, value)
    taken = cache.reorder(rows)
    assert type(taken) is type(cache)
    assert taken.length == 5
    expected = [t.index_select(0, rows) for t in joined(before)]
    (one,) = pieces(1, lead=(len(index), 2))
    found = taken.extend(*one)
    assert all(map(torch.equal, found, joined([expected, one])))
    # The old one goes on for itself: neither sees what the other is given.
    assert cache.length == 5
    assert all(map(torch.equal, kept, joined(before)))
    (other,) = pieces(1, lead=(3, 2))
    assert all(map(torch.equal, cache.extend(*other), joined([*before, other])))
    assert all(map(torch.equal, found, joined([expected, one])))


@CACHES
def test_reordering_nothing_gives_nothing(make):
    cache = make()
    other = cache.reorder(torch.tensor([0, 0, 1]))
    assert other.length == 0
    other.extend(*pieces(2)[0])
    assert cache.length == 0
    assert other.length == 2


def test_the_growing_cache_copies_seldom():
    cache, moves, place = GrowingCache(), 0, 0
    for key, value in pieces(*[1] * 1000, lead=(1,)):
        keys, _ = cache.extend(key, value)
        moves += keys.data_ptr() != place
        place = keys.data_ptr()
    assert moves == 11  # at 1, 2, 4, ..., 512 positions and one


def test_the_static_cache_stays_where_it_is():
    cache = StaticCache(50)
    places = {cache.extend(key, value)[0].data_ptr() for key, value in pieces(*[5] * 10)}
    assert len(places) == 1


@CACHES
def test_beam_search_carries_caches_along(make):
    """A model whose next token depends on all before it, read from the cache or told from the beginning."""
    generator = torch.Generator().manual_seed(2)
    words, size, rows = 9, 8, 3
    keys, values = torch.randn(2, words, size, generator=generator, dtype=torch.float64)
    head = torch.randn(size, words, generator=generator, dtype=torch.float64) / 2
    source = torch.randn(rows, size, generator=generator, dtype=torch.float64)

    def log_p(key, value, source):  # (rows, S, size) twice, (rows, size)
        weights = (key @ source[:, :, None]).softmax(1)
        seen = (weights * value).sum(1) + source - value[:, -1] - value.mean(1)
        return (seen @ head).log_softmax(-1)

    def cached(tokens, state):
        source, caches = state
        key, value = caches["layer"][0].extend(keys[tokens][:, None], values[tokens][:, None])
        return log_p(key, value, source), state

    def recomputed(tokens, state):
        source, history = state
        history = torch.cat([history, tokens[:, None]], 1)
        return log_p(keys[history], values[history], source), (source, history)

    options = {"batch_size": rows, "bos_id": 1, "eos_id": 2, "beam_size": 4, "max_length": 9}
    found = beam_search(cached, (source, {"layer": [make()]}), **options)
    expected = beam_search(recomputed, (source, torch.zeros(rows, 0, dtype=torch.int64)), **options)
    assert torch.equal(found.tokens, expected.tokens)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-12, atol=1e-12)
    assert found.lengths.unique().numel() == rows  # sentences have left the search one by one
    assert found.lengths.max() == 9


# ---- what is wrong is named --------------------------------------------------------------------------


def test_more_than_fits_is_refused_and_changes_nothing():
    cache, parts = StaticCache(4), pieces(3, 2, 1)
    cache.extend(*parts[0])
    with pytest.raises(ValueError, match=r"StaticCache\(4\): expected at most 4 positions, got 5"):
        cache.extend(*parts[1])
    assert cache.length == 3
    assert all(map(torch.equal, cache.extend(*parts[2]), joined([parts[0], parts[2]])))


@CACHES
@pytest.mark.parametrize(
    ("lead", "widths"),
    [((3, 3), (4, 4)), ((1, 3), (4, 4)), ((2,), (4, 4)), ((2, 3), (5, 4)), ((2, 3), (4, 1))],
)
def test_other_shapes_than_before_are_named(make, lead, widths):
    cache = make()
    cache.extend(*pieces(2)[0])
    wrong = pieces(1, lead=lead, widths=widths)[0]
    message = r"Cache\(.*\): expected keys \(2, 3, T, 4\) and values \(2, 3, T, 4\) like those before, got "
    with pytest.raises(ValueError, match=message + rf".*, {widths[0]}\) and .*, {widths[1]}\)"):
        cache.extend(*wrong)
    assert cache.length == 2


@CACHES
def test_keys_and_values_that_do_not_match_are_named(make):
    key, value = pieces(3)[0]
    message = r"expected keys \(..., T, D\) and as many values, got \(2, 3, 3, 4\) and \(2, 3, 2, 4\)"
    with pytest.raises(ValueError, match=message):
        make().extend(key, value[..., :2, :])
    with pytest.raises(ValueError, match=r"got \(4,\) and \(4,\)"):
        make().extend(torch.zeros(4), torch.zeros(4))


@CACHES
def test_other_types_than_before_are_named(make):
    cache = make()
    key, value = pieces(1)[0]
    with pytest.raises(TypeError, match=r"of torch\.float32, got torch\.float32 and torch.float64"):
        cache.extend(key, value.double())
    cache.extend(key, value)
    with pytest.raises(TypeError, match=r"of torch\.float32, got torch\.float64 and torch.float64"):
        cache.extend(key.double(), value.double())


def test_a_capacity_is_at_least_1():
    with pytest.raises(TypeError, match=r"StaticCache: expected capacity to be a whole number, got 2.5"):
        StaticCache(2.5)
    with pytest.raises(ValueError, match="StaticCache: expected capacity of at least 1, got 0"):
        StaticCache(0)


def test_the_base_takes_no_memory():
    with pytest.raises(NotImplementedError, match="KeyValueCache does not say how much room"):
        KeyValueCache().extend(*pieces(1)[0])
