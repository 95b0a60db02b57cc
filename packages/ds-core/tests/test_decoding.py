"""Greedy and beam search, on small models whose best sentence can be found by trying all."""

import itertools
import math
from typing import NamedTuple

import pytest
import torch
from ds_core.text import beam_search, greedy_search, reorder_state
from torch import Tensor

BOS, EOS, PAD, SIZE = 2, 3, 0, 6


class Tables(NamedTuple):
    """A model's state: for each row the table of log p(next | last), and how far it is."""

    table: Tensor  # (rows, SIZE, SIZE)
    step: Tensor  # (rows,)


def model(batch, seed, sharpness=1.0):
    """Draws a different bigram model for every sentence, in which padding and <bos> never follow."""
    logits = sharpness * torch.randn(
        batch, SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    logits[:, :, [PAD, BOS]] = -torch.inf
    return Tables(logits.log_softmax(-1), torch.zeros(batch, dtype=torch.int64))


def step(tokens, state):
    assert len(tokens) == len(state.table) == len(state.step)
    rows = torch.arange(len(tokens))
    return state.table[rows, tokens], Tables(state.table, state.step + 1)


def penalty(length, alpha):
    return ((5 + length) / 6) ** alpha


def best_of_all(table, longest, alpha):
    """Returns the best finished sentence and its score, by trying all."""
    best = (-math.inf, [])
    for length in range(1, longest + 1):
        for words in itertools.product(range(1, SIZE), repeat=length - 1):
            if {BOS, EOS} & set(words):
                continue
            sentence = [*words, EOS]
            log_p = sum(float(table[a, b]) for a, b in zip([BOS, *sentence], sentence, strict=False))
            best = max(best, (log_p / penalty(length, alpha), sentence))
    return best


COMMON = {"bos_id": BOS, "eos_id": EOS, "pad_id": PAD}


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_best_sentence_of_all(alpha, seed):
    start = model(3, seed)
    found = beam_search(
        step, start, batch_size=3, beam_size=400, max_length=4, length_penalty=alpha, **COMMON
    )
    for row in range(3):
        score, sentence = best_of_all(start.table[row], 4, alpha)
        assert found.tokens[row, : found.lengths[row]].tolist() == sentence
        assert float(found.scores[row]) == pytest.approx(score)
        assert found.tokens[row, found.lengths[row] :].eq(PAD).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(seed):
    start = model(4, seed, sharpness=2.0)
    greedy = greedy_search(step, start, batch_size=4, max_length=8, **COMMON)
    narrow = beam_search(step, start, batch_size=4, beam_size=1, max_length=8, length_penalty=0.0, **COMMON)
    for row in range(4):
        sentence, last, log_p = [], BOS, 0.0
        while len(sentence) < 8 and last != EOS:
            value, place = start.table[row, last].max(0)
            log_p, last = log_p + float(value), int(place)
            sentence.append(last)
        assert greedy.tokens[row, : greedy.lengths[row]].tolist() == sentence
        assert float(greedy.scores[row]) == pytest.approx(log_p)
        if sentence[-1] == EOS:
            assert narrow.tokens[row, : narrow.lengths[row]].tolist() == sentence


@pytest.mark.parametrize("beam_size", [1, 2, 3, 5])
def test_sentences_of_a_batch_do_not_know_each_other(beam_size):
    start = model(6, 7)
    options = {"beam_size": beam_size, "max_length": 9, **COMMON}
    together = beam_search(step, start, batch_size=6, **options)
    for row in range(6):
        alone = beam_search(step, Tables(*(part[row : row + 1] for part in start)), batch_size=1, **options)
        count = int(alone.lengths[0])
        assert together.lengths[row] == count
        assert torch.equal(together.tokens[row, :count], alone.tokens[0, :count])
        torch.testing.assert_close(together.scores[row], alone.scores[0])


def test_a_wider_beam_is_never_worse_here_and_better_somewhere():
    start = model(40, 11)
    options = {"batch_size": 40, "max_length": 12, "length_penalty": 0.0, **COMMON}
    narrow, wide = (beam_search(step, start, beam_size=size, **options) for size in (1, 30))
    assert (wide.scores >= narrow.scores - 1e-9).all()
    assert (wide.scores > narrow.scores + 1e-9).any()


def test_the_length_penalty_favours_long_sentences():
    start = model(40, 5)
    options = {"batch_size": 40, "max_length": 15, "beam_size": 10, **COMMON}
    short, long = (beam_search(step, start, length_penalty=alpha, **options) for alpha in (0.0, 1.5))
    assert long.lengths.sum() > short.lengths.sum()


@pytest.mark.parametrize("search", [greedy_search, beam_search])
def test_what_does_not_end_is_cut(search):
    table = torch.full((2, SIZE, SIZE), -torch.inf, dtype=torch.float64)
    table[0, :, 4] = 0.0  # always goes on
    table[1, BOS, 5], table[1, 5, EOS] = 0.0, 0.0
    start = Tables(table, torch.zeros(2, dtype=torch.int64))
    found = search(step, start, batch_size=2, max_length=5, **COMMON)
    assert found.tokens.tolist() == [[4] * 5, [5, EOS, PAD, PAD, PAD]]
    assert found.lengths.tolist() == [5, 2]


@pytest.mark.parametrize("search", [greedy_search, beam_search])
def test_bad_numbers_are_named(search):
    with pytest.raises(ValueError, match="expected max_length of at least 1, got 0"):
        search(step, model(1, 0), batch_size=1, max_length=0, **COMMON)
    with pytest.raises(ValueError, match="expected batch_size of at least 1, got 0"):
        search(step, model(1, 0), batch_size=0, max_length=3, **COMMON)


def test_a_negative_length_penalty_is_refused():
    with pytest.raises(ValueError, match="expected a finite length_penalty of at least 0, got -1"):
        beam_search(step, model(1, 0), batch_size=1, max_length=3, length_penalty=-1, **COMMON)


def test_states_of_any_form_are_reordered():
    rows = torch.tensor([2, 0, 0])
    x = torch.arange(6).view(3, 2)
    state = {"a": (x, [x + 10, None]), "b": Tables(x, x[:, 0])}
    taken = reorder_state(state, rows)
    assert taken["a"][0].tolist() == [[4, 5], [0, 1], [0, 1]]
    assert taken["a"][1][0].tolist() == [[14, 15], [10, 11], [10, 11]]
    assert taken["a"][1][1] is None
    assert isinstance(taken["b"], Tables)
    assert taken["b"].step.tolist() == [4, 0, 0]

    class Counted:
        """A state that takes its rows itself."""

        def __init__(self, rows):
            self.rows = rows

        def reorder(self, index):
            return Counted(self.rows + index.tolist())

    assert reorder_state({"c": [Counted([7])]}, rows)["c"][0].rows == [7, 2, 0, 0]
    with pytest.raises(TypeError, match="got str; pass reorder="):
        reorder_state({"a": "b"}, rows)


@pytest.mark.parametrize("beam_size", [2, 3, 5])
def test_bad_sentences_that_end_early_do_not_stop_a_good_one(beam_size):
    """A sure model: at each step one token has 0.98, and ending too soon is likelier than all the others."""
    words, end = 6, 3

    def step(tokens, place):
        log_p = torch.full((len(tokens), 10), 0.001, dtype=torch.float64)
        log_p[:, end] = 0.013
        log_p[:, 5] = 0.98
        log_p[place[:, 0] == words] = 0.001
        log_p[place[:, 0] == words, end] = 0.991
        return log_p.log(), place + 1

    place = torch.zeros(1, 1, dtype=torch.int64)
    options = {"batch_size": 1, "bos_id": 2, "eos_id": end, "max_length": 20}
    found = beam_search(step, place, beam_size=beam_size, length_penalty=0.6, **options)
    assert (
        found.tokens.tolist()
        == greedy_search(step, place, **options).tokens.tolist()
        == [[5] * words + [end]]
    )
