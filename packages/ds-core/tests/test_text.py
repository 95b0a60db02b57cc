"""Tokenizers, windows and baselines."""

import math

import pytest
import torch
from ds_core.text import (
    ByteTokenizer,
    CharacterTokenizer,
    RandomWindows,
    Tokenizer,
    Vocabulary,
    bigram_loss,
    sequential_windows,
    split_text,
    uniform_loss,
)


@pytest.mark.parametrize("make", [lambda: CharacterTokenizer.from_text("hello wörld ✓"), ByteTokenizer])
def test_tokenizers_round_trip(tmp_path, make):
    tokenizer = make()
    ids = tokenizer.encode("wörld ✓")
    assert all(0 <= place < tokenizer.vocab_size for place in ids)
    assert not tokenizer.specials
    assert tokenizer.decode(torch.tensor(ids)) == "wörld ✓"
    assert tokenizer.decode(ids) == "wörld ✓"
    tokenizer.save(tmp_path / "t.json")
    again = Tokenizer.load(tmp_path / "t.json")
    assert again.kind == tokenizer.kind
    assert type(again) is type(tokenizer)
    assert again.encode("wörld ✓") == ids


def test_characters_have_the_ids_of_their_order():
    tokenizer = CharacterTokenizer.from_text("bca")
    assert (tokenizer.vocab_size, tokenizer.encode("abc")) == (3, [0, 1, 2])
    assert tokenizer.decode([2, 0, 3 - 2]) == "cab"  # 0 to 3 are characters, and end nothing
    sentences = CharacterTokenizer(Vocabulary(["a", "b", "c"]))
    assert (sentences.vocab_size, sentences.encode("abc")) == (7, [4, 5, 6])


def test_tokenizer_errors(tmp_path):
    with pytest.raises(ValueError, match="'x' at position 1 is not among the 2 of"):
        CharacterTokenizer.from_text("ab").encode("axb")
    with pytest.raises(ValueError, match="empty vocabulary"):
        CharacterTokenizer.from_text("")
    with pytest.raises(ValueError, match="every token once"):
        CharacterTokenizer(Vocabulary(["a", "a"]), specials=False)
    with pytest.raises(ValueError, match="tokens of one character, got 'ab'"):
        CharacterTokenizer(Vocabulary(["ab"]))
    assert ByteTokenizer().decode([0xFF]) == "\ufffd"
    (tmp_path / "t.json").write_text('{"kind": "word"}')
    with pytest.raises(ValueError, match=r"t\.json: not a tokenizer file"):
        Tokenizer.load(tmp_path / "t.json")
    (tmp_path / "t.json").write_text("[1")
    with pytest.raises(ValueError, match=r"t\.json: not a tokenizer file"):
        Tokenizer.load(tmp_path / "t.json")


def test_split_text_keeps_order_and_refuses_what_is_too_short():
    train, validation = split_text(torch.arange(100), context=5)
    assert train.tolist() == list(range(90))
    assert validation.tolist() == list(range(90, 100))
    with pytest.raises(ValueError, match="the text is empty"):
        split_text(torch.arange(0), 5)
    with pytest.raises(ValueError, match="validation part has 5 of the text's 50 tokens"):
        split_text(torch.arange(50), 5)


def test_random_windows_shift_by_one_and_resume():
    windows = RandomWindows(torch.arange(50), context=7, batch_size=4, seed=1)
    stream = iter(windows)
    x, y = next(stream)
    assert x.shape == y.shape == (4, 7)
    assert torch.equal(x + 1, y)
    state = windows.state_dict()
    following = [next(stream)[0] for _ in range(3)]
    resumed = RandomWindows(torch.arange(50), context=7, batch_size=4, seed=99)
    resumed.load_state_dict(state)
    for expected, (x, _) in zip(following, resumed, strict=False):
        assert torch.equal(x, expected)
    with pytest.raises(ValueError, match="at least 8 tokens, got 7"):
        RandomWindows(torch.arange(7), 7, 1)
    places = {int(x[0, 0]) for x, _ in [next(stream) for _ in range(500)]}
    assert places == set(range(43))  # the first and the last window come too


def test_sequential_windows_cover_the_text_once():
    batches = sequential_windows(torch.arange(23), context=4, batch_size=2)
    assert [x.shape[0] for x, _ in batches] == [2, 2, 1]
    assert torch.cat([x.flatten() for x, _ in batches]).tolist() == list(range(20))
    assert torch.cat([y.flatten() for _, y in batches]).tolist() == list(range(1, 21))


def test_baselines():
    assert uniform_loss(7) == pytest.approx(math.log(7))
    alternating = torch.tensor([0, 1] * 500)
    assert bigram_loss(alternating, alternating, 2) == pytest.approx(-math.log(500 / 501), abs=1e-3)
    noise = torch.randint(5, (20_000,), generator=torch.Generator().manual_seed(0))
    assert bigram_loss(noise[:10_000], noise[10_000:], 5) == pytest.approx(math.log(5), abs=0.01)
