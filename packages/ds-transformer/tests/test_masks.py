"""Masks: True is hidden, counted out one by one."""

import pytest
import torch
from ds_core.verify import record_operations
from ds_transformer.masks import causal_mask, padding_mask, prefix_mask, sliding_window_mask


def drawn(mask):
    """Writes a mask as lines: a dot is seen, an x hidden."""
    assert mask.dtype == torch.bool
    return ["".join("x" if hidden else "." for hidden in row) for row in mask.tolist()]


def test_causal():
    assert drawn(causal_mask(3)) == [".xx", "..x", "..."]
    assert drawn(causal_mask(1)) == ["."]
    assert drawn(causal_mask(2, past=2)) == ["...x", "...."]
    assert drawn(causal_mask(1, past=3)) == ["...."]  # one token after a cache sees all
    assert drawn(causal_mask(2, 4)) == [".xxx", "..xx"]
    assert drawn(causal_mask(2, 2, 5)) == ["..", ".."]
    assert causal_mask(0).shape == (0, 0)
    assert causal_mask(0, past=3).shape == (0, 3)


def test_causal_is_what_torch_takes_for_it():
    square = torch.nn.Transformer.generate_square_subsequent_mask(7)
    assert torch.equal(causal_mask(7), square == float("-inf"))


def test_padding():
    assert drawn(padding_mask(torch.tensor([2, 0, 3]))) == ["..x", "xxx", "..."]
    assert drawn(padding_mask([1, 2], 4)) == [".xxx", "..xx"]
    assert drawn(padding_mask(torch.tensor([1], dtype=torch.int32))) == ["."]
    assert padding_mask([]).shape == (0, 0)
    assert padding_mask([], 3).shape == (0, 3)
    assert padding_mask([0, 0]).shape == (2, 0)


def test_prefix():
    assert drawn(prefix_mask(4, 2)) == ["..xx", "..xx", "...x", "...."]
    assert torch.equal(prefix_mask(4, 0), causal_mask(4))
    assert torch.equal(prefix_mask(4, 1), causal_mask(4))  # all see the first token anyway
    assert not prefix_mask(4, 4).any()
    assert drawn(prefix_mask(1, 0)) == drawn(prefix_mask(1, 1)) == ["."]
    assert prefix_mask(0, 0).shape == (0, 0)


def test_prefix_for_each_sequence_of_a_batch():
    mask = prefix_mask(5, torch.tensor([0, 3, 5]))
    assert mask.shape == (3, 5, 5)
    for one, prefix in zip(mask, (0, 3, 5), strict=True):
        assert torch.equal(one, prefix_mask(5, prefix))
    assert torch.equal(prefix_mask(5, [0, 3, 5]), mask)
    assert prefix_mask(5, torch.empty(0, dtype=torch.int64)).shape == (0, 5, 5)


def test_sliding_window():
    assert drawn(sliding_window_mask(4, 2)) == [".xxx", "..xx", "x..x", "xx.."]
    assert drawn(sliding_window_mask(4, 2, causal=False)) == ["..xx", "...x", "x...", "xx.."]
    assert (
        drawn(sliding_window_mask(3, 1)) == drawn(sliding_window_mask(3, 1, False)) == [".xx", "x.x", "xx."]
    )
    assert torch.equal(sliding_window_mask(4, 9), causal_mask(4))
    assert torch.equal(sliding_window_mask(4, 4), causal_mask(4))
    assert not sliding_window_mask(4, 9, causal=False).any()
    assert drawn(sliding_window_mask(1, 1)) == ["."]
    assert sliding_window_mask(0, 1).shape == (0, 0)


def test_masks_together_hide_what_either_hides():
    both = prefix_mask(6, 2) | sliding_window_mask(6, 4, causal=False)
    for t in range(6):
        for s in range(6):
            seen = (s <= t or s < 2) and abs(t - s) < 4
            assert bool(both[t, s]) is not seen


def test_layers_take_them_as_they_are():
    attention = torch.nn.MultiheadAttention(4, 2, batch_first=True)
    x = torch.randn(2, 5, 4)
    prefixes = prefix_mask(5, torch.tensor([1, 4])).repeat_interleave(2, 0)
    _, weights = attention(x, x, x, attn_mask=prefixes, average_attn_weights=False)
    assert torch.equal(weights == 0, prefixes.view(2, 2, 5, 5))
    _, weights = attention(x, x, x, key_padding_mask=padding_mask([5, 3]))
    assert torch.equal(weights[1] == 0, padding_mask([5, 3])[1].expand(5, 5))


def test_they_execute_nothing_but_elementary_operations():
    calls = [
        lambda: causal_mask(4, past=2),
        lambda: padding_mask(torch.tensor([2, 3])),
        lambda: prefix_mask(4, 2),
        lambda: prefix_mask(4, torch.tensor([2, 3])),
        lambda: sliding_window_mask(4, 2),
        lambda: sliding_window_mask(4, 2, causal=False),
    ]
    for call in calls:
        assert record_operations(call).outside() == []


def test_errors():
    with pytest.raises(
        ValueError, match=r"causal_mask: expected .* at least 0, got queries=-1, past=0, keys=2"
    ):
        causal_mask(-1, 2)
    with pytest.raises(ValueError, match="past=-2"):
        causal_mask(3, past=-2)
    with pytest.raises(ValueError, match=r"padding_mask: expected lengths from 0 to 2, got \[1, 3\]"):
        padding_mask([1, 3], 2)
    with pytest.raises(ValueError, match=r"padding_mask: expected lengths from 0 to 3, got \[-1, 3\]"):
        padding_mask(torch.tensor([-1, 3]))
    with pytest.raises(ValueError, match=r"padding_mask: expected lengths \(B,\), got shape \(1, 2\)"):
        padding_mask(torch.tensor([[1, 2]]))
    with pytest.raises(TypeError, match=r"padding_mask: expected lengths to be integers, got torch.float32"):
        padding_mask(torch.tensor([1.0]))
    with pytest.raises(TypeError, match=r"got torch.bool"):
        padding_mask(torch.tensor([True]))
    with pytest.raises(ValueError, match="prefix_mask: expected a prefix from 0 to 4, got 5"):
        prefix_mask(4, 5)
    with pytest.raises(ValueError, match=r"prefix_mask: expected a prefix from 0 to 4, got \[-1, 2\]"):
        prefix_mask(4, torch.tensor([-1, 2]))
    with pytest.raises(ValueError, match=r"expected a number or prefixes \(B,\), got shape \(1, 1\)"):
        prefix_mask(4, torch.tensor([[1]]))
    with pytest.raises(TypeError, match=r"prefix_mask: expected prefix to be integers, got torch.float32"):
        prefix_mask(4, 1.5)
    with pytest.raises(ValueError, match="prefix_mask: expected length of at least 0, got length=-1"):
        prefix_mask(-1, 0)
    with pytest.raises(ValueError, match="sliding_window_mask: expected a window of at least 1, got 0"):
        sliding_window_mask(4, 0)


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("causal_mask: expected queries", lambda: causal_mask(2.5)),
        ("causal_mask: expected past", lambda: causal_mask(2, past=0.5)),
        ("padding_mask: expected length", lambda: padding_mask([1, 2], 2.5)),
        ("prefix_mask: expected length", lambda: prefix_mask(2.5, 1)),
        ("sliding_window_mask: expected window", lambda: sliding_window_mask(4, 2.5)),
    ],
)
def test_sizes_are_whole_numbers(what, call):
    with pytest.raises(TypeError, match=f"{what} to be a whole number, got [0-9].5"):
        call()
