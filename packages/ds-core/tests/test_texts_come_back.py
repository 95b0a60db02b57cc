"""Texts are cut into tokens and come back as they were; ids that are none are refused."""

import re

import pytest
import torch
from ds_core.text import (
    BPETokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    SubwordTokenizer,
    Vocabulary,
    WordPieceTokenizer,
    WordTokenizer,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

varied = settings(deadline=None, max_examples=300)

# Letters and marks of every kind that the rules know, and the marks that WordTokenizer makes itself.
sentence = st.text(st.sampled_from("aZé9'’-.,!?([{¿%…\"▁￭ _«»🙂́"), max_size=12)


@varied
@given(sentence)
@example("▁Hello ▁world!")
@example("a ￭b")
@example("▁￭▁ ￭￭a▁")
@example("(▁) ▁( ￭)")
def test_word_tokens_give_the_text_back(text):
    text = re.sub(" +", " ", text).strip()  # what the docstring leaves open
    tokens = WordTokenizer.split(text)
    assert WordTokenizer.join(tokens) == text
    tokenizer = WordTokenizer.train([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.fixture(scope="module")
def subwords():
    return SubwordTokenizer.train(["hello world", "def f(x):\n    return x"] * 4, vocab_size=300)


@varied
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
@example(" hello")
@example("    return x")
@example("  ")
@example("")
@example("▁Ġ<eos> <pad>")
@example("\ufeffa\r\n\0")
def test_subword_and_byte_tokens_give_every_text_back(subwords, text):
    assert subwords.decode(subwords.encode(text)) == text
    assert ByteTokenizer().decode(ByteTokenizer().encode(text)) == text


def test_the_first_word_is_cut_like_the_others(subwords):
    assert subwords.encode("world") == subwords.encode("hello world")[len(subwords.encode("hello")) :]
    assert subwords.encode(" world") != subwords.encode("world")
    assert subwords.encode("") == []


def everyone():
    texts = ["a cat", "a dog"]
    return [
        CharacterTokenizer.from_text("a cat"),
        ByteTokenizer(),
        WordTokenizer.train(texts),
        CharacterTokenizer.train(texts),
        SubwordTokenizer.train(texts, vocab_size=260),
    ]


@pytest.mark.parametrize("tokenizer", everyone(), ids=lambda tokenizer: type(tokenizer).__name__)
def test_ids_that_are_none_are_refused(tokenizer):
    name, size = type(tokenizer).__name__, tokenizer.vocab_size
    for bad in (-1, size, 10**6, -(2**40)):
        for ids in ([0, bad], torch.tensor([0, bad])):
            with pytest.raises(IndexError, match=f"{name}: expected ids from 0 to {size - 1}, got {bad}"):
                tokenizer.decode(ids)
    for ids in ([1.0], torch.tensor([1.5]), ["a"], [None], torch.tensor([[1, 2]]), 3, torch.tensor(3), None):
        with pytest.raises(TypeError, match=rf"(?s){name}: expected token ids \(T,\), whole numbers"):
            tokenizer.decode(ids)
    assert tokenizer.decode([]) == tokenizer.decode(torch.tensor([], dtype=torch.int64)) == ""


@pytest.mark.parametrize("kind", [ByteTokenizer, SubwordTokenizer])
def test_half_a_character_is_refused(subwords, kind):
    tokenizer = subwords if kind is SubwordTokenizer else kind()
    with pytest.raises(ValueError, match=rf"{kind.__name__}: .* got '\\ud83d' at position 2"):
        tokenizer.encode("ab\ud83d")


@pytest.mark.parametrize(
    "kind", [CharacterTokenizer, WordTokenizer, SubwordTokenizer, BPETokenizer, WordPieceTokenizer]
)
def test_one_text_is_no_list_of_texts(kind):
    """Each of its characters would be a text, and nothing longer be learnt."""
    with pytest.raises(TypeError, match=rf"{kind.__name__}.train: expected a list of texts, got one text"):
        kind.train("the cat sat on the mat")


def test_vocabularies_hold_texts():
    for bad in ("abc", [1], ["a", None], ["a", ""]):
        with pytest.raises(TypeError, match="Vocabulary: expected a list of tokens"):
            Vocabulary(bad)
