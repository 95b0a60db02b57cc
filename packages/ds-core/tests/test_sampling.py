"""Sampling: the options do what they say, and frequencies are those of the probabilities."""

import pytest
import torch
from ds_core.text import sample


def draws(logits, n=20_000, **options):
    generator = torch.Generator().manual_seed(0)
    chosen = sample(logits.expand(n, -1), generator=generator, **options)
    return torch.bincount(chosen, minlength=logits.shape[-1]) / n


def test_frequencies_follow_softmax():
    logits = torch.tensor([0.0, 2.0, -1.0, 1.0])
    torch.testing.assert_close(draws(logits), torch.softmax(logits, 0), atol=0.015, rtol=0)
    torch.testing.assert_close(
        draws(logits, temperature=0.5), torch.softmax(logits / 0.5, 0), atol=0.015, rtol=0
    )


def test_top_k_keeps_the_k_likeliest():
    frequencies = draws(torch.tensor([0.0, 2.0, -1.0, 1.0]), top_k=2)
    expected = torch.softmax(torch.tensor([2.0, 1.0]), 0)
    torch.testing.assert_close(frequencies[[1, 3]], expected, atol=0.015, rtol=0)
    assert frequencies[[0, 2]].sum() == 0


def test_top_p_keeps_the_smallest_set_that_reaches_p():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert (draws(logits, top_p=0.5) > 0).tolist() == [True, False, False, False]
    assert (draws(logits, top_p=0.51) > 0).tolist() == [True, True, False, False]
    assert (draws(logits, top_p=0.9) > 0).tolist() == [True, True, True, False]
    assert (draws(logits, top_p=1.0) > 0).all()


def test_temperature_zero_is_greedy_and_rows_are_independent():
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 0.0, 0.0]])
    assert sample(logits, temperature=0).tolist() == [1, 0]
    assert sample(logits, top_k=1).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature of at least 0, got -1"),
        ({"top_k": 0}, "top_k of at least 1, got 0"),
        ({"top_p": 0}, "0 < top_p <= 1, got 0"),
        ({"top_p": 1.5}, "0 < top_p <= 1, got 1.5"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        sample(torch.zeros(1, 3), **options)
