"""Sentences and translations: from files and data sets, through tokenizers, into batches of like length."""

import pytest
import torch
from ds_core.text import (
    CharacterTokenizer,
    PairBatches,
    Pairs,
    SubwordTokenizer,
    Tokenizer,
    Vocabulary,
    WordTokenizer,
    load_pairs,
)
from hypothesis import given, settings
from hypothesis import strategies as st

TEXTS = ["A cat sees the dog.", "The dog's bone, the cat's milk!", "Don't wake l'enfant at 10:30 - ¿qué?"]
KINDS = {
    "word": lambda: WordTokenizer.train(TEXTS),
    "character": lambda: CharacterTokenizer.train(TEXTS),
    "subword": lambda: SubwordTokenizer.train(TEXTS * 3, vocab_size=300),
}


# ---- vocabularies and tokenizers -----------------------------------------------------------------------


def test_a_vocabulary_lists_the_frequent_first():
    vocabulary = Vocabulary.build([["b", "a", "b"], ["c", "b", "a", "<unk>"]])
    assert vocabulary.tokens == ["b", "a", "c"]
    assert [vocabulary.id(token) for token in ("b", "a", "c", "d", "<eos>")] == [4, 5, 6, 1, 3]
    assert vocabulary.token(4) == "b"
    assert len(vocabulary) == 7
    assert "a" in vocabulary
    assert "d" not in vocabulary
    assert Vocabulary.build([["b", "a", "b"]], min_count=2).tokens == ["b"]
    assert Vocabulary.build([["b", "a", "b", "c"]], max_size=6).tokens == ["b", "a"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vocabulary(["a", "a"]), "expected every token once.*got 'a' again"),
        (lambda: Vocabulary(["<pad>"]), "got '<pad>' again"),
        (lambda: Vocabulary.build([], min_count=0), "expected min_count of at least 1, got 0"),
        (lambda: Vocabulary.build([], max_size=4), "expected max_size above the 4 special tokens"),
    ],
)
def test_a_bad_vocabulary_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    with pytest.raises(IndexError, match="expected an id from 0 to 4, got 5"):
        Vocabulary(["a"]).token(5)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_come_back_and_files_too(kind, tmp_path):
    tokenizer = KINDS[kind]()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    for again in (tokenizer, Tokenizer.load(path), type(tokenizer).load(path)):
        assert type(again) is type(tokenizer)
        for text in TEXTS:
            assert again.decode(again.encode(text)) == text
            assert again.encode(text) == tokenizer.encode(text)
            assert all(4 <= place < again.vocab_size for place in again.encode(text))
    ids = tokenizer.encode("The cat")
    assert tokenizer.decode([2, *ids, 3, *ids, 0]) == "The cat"  # up to <eos>
    assert tokenizer.decode(torch.tensor([*ids, 0, 0])) == "The cat"
    with pytest.raises(IndexError, match="expected ids from 0 to"):
        tokenizer.decode([tokenizer.vocab_size])


def test_unknown_words_are_known_to_be_unknown():
    words, characters, pieces = (make() for make in KINDS.values())
    assert words.encode("The elephant sees.")[1] == words.unk_id
    assert "<unk>" in words.decode(words.encode("The elephant sees."))
    assert characters.encode("Z") == [characters.unk_id]
    assert pieces.decode(pieces.encode("Zürich 🐘")) == "Zürich 🐘"  # bytes know everything


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aB3 .,;!?'’-()\"¿%éß", max_size=30))
def test_words_put_together_are_the_text(text):
    single = " ".join(text.split())
    assert WordTokenizer.join(WordTokenizer.split(single)) == single


def test_a_foreign_file_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{"kind": "syllable", "content": []}')
    with pytest.raises(ValueError, match=r"tokenizer\.json: not a tokenizer file.*'syllable'"):
        Tokenizer.load(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="not a tokenizer file"):
        Tokenizer.load(path)
    KINDS["word"]().save(path)
    with pytest.raises(ValueError, match="expected kind character, got 'word'"):
        CharacterTokenizer.load(path)
    with pytest.raises(ValueError, match="260"):
        SubwordTokenizer.train(TEXTS, vocab_size=259)


# ---- loading -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mark"), [("p.csv", ","), ("p.tsv", "\t")])
def test_files_with_named_columns_load(tmp_path, name, mark):
    path = tmp_path / name
    rows = [
        ["id", "en", "fr"],
        ["1", '"Yes, sir"' if mark == "," else "Yes, sir", "Oui"],
        ["2", " NA ", "null"],
    ]
    path.write_text("\n".join(mark.join(row) for row in rows), encoding="utf-8")
    pairs = load_pairs(path, "fr", "en")
    assert (pairs.source, pairs.target) == (["Oui", "null"], ["Yes, sir", "NA"])  # NA is a text here
    assert load_pairs(f"csv:{path}" if mark == "," else path, "en", "fr").target == ["Oui", "null"]


def test_empty_lines_and_sentences_are_skipped_with_a_word_or_refused(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("en,de\na,b\n\nc,\n  ,d\ne,f\n\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="skipped 2") as warned:
        pairs = load_pairs(path, "en", "de")
    assert pairs.source == ["a", "e"]
    messages = " | ".join(str(warning.message) for warning in warned)
    assert "skipped 2 blank lines (line 3" in messages
    assert "skipped 2 rows without a sentence in 'en' or 'de' (line 4, line 5)" in messages
    assert len(pairs.notes) == 2
    with pytest.raises(ValueError, match=r"2 blank lines \(line 3.*pass empty='skip'"):
        load_pairs(path, "en", "de", empty="error")


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("en,de\na,b\n", ("en", "fr"), "'fr'"),
        ("en,de\na,b\nc\n", ("en", "de"), "line 3"),
        ("en,de\n,b\n", ("en", "de"), "no row has a sentence in both"),
        ("", ("en", "de"), "empty"),
        ('en,de\n"a,b\n', ("en", "de"), "line 2"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_wrong_with_a_file_is_said(tmp_path, content, arguments, message):
    path = tmp_path / "p.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_pairs(path, *arguments)


def test_an_unknown_column_lists_those_there_are(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("en,de\na,b\n")
    with pytest.raises(ValueError, match=r"(?s)'fr'.*en.*de"):
        load_pairs(path, "en", "fr")
    with pytest.raises(FileNotFoundError):
        load_pairs(tmp_path / "nowhere.csv", "en", "de")
    with pytest.raises(ValueError, match="expected bundled:sentences, got"):
        load_pairs("bundled:poems", "en", "de")
    with pytest.raises(ValueError, match="expected empty to be 'skip' or 'error'"):
        load_pairs(path, "en", "de", empty="keep")
    with pytest.raises(ValueError, match="split and config are for 'hf:' data"):
        load_pairs(path, "en", "de", split="train")


@pytest.mark.parametrize("nested", [True, False])
def test_data_sets_load_from_a_folder(tmp_path, nested):
    datasets = pytest.importorskip("datasets")
    rows = [{"en": "yes", "de": "ja"}, {"en": "no", "de": "nein"}]
    content = {"translation": rows} if nested else {key: [row[key] for row in rows] for key in ("en", "de")}
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(content)}).save_to_disk(tmp_path / "set")
    for name, options in (
        (f"hf:{tmp_path / 'set'}", {"split": "train"}),
        (f"hf:{tmp_path / 'set'}[train]", {}),
    ):
        pairs = load_pairs(name, "en", "de", **options)
        assert (pairs.source, pairs.target) == (["yes", "no"], ["ja", "nein"])
    with pytest.raises(ValueError, match="'night'"):
        load_pairs(f"hf:{tmp_path / 'set'}[night]", "en", "de")
    with pytest.raises(ValueError, match="'fr'"):
        load_pairs(f"hf:{tmp_path / 'set'}", "en", "fr", split="train")


def test_pairs_split_without_overlap():
    pairs = Pairs([str(n) for n in range(50)], [str(-n) for n in range(50)], "numbers")
    train, test = pairs.split(test_size=0.2, seed=1)
    assert (len(train), len(test)) == (40, 10)
    assert sorted([*train.source, *test.source], key=int) == pairs.source
    assert all(target == str(-int(source)) for source, target in zip(test.source, test.target, strict=True))
    assert pairs.split(0.2, 1)[1].source == test.source
    assert pairs[:3].source == ["0", "1", "2"]
    with pytest.raises(TypeError, match=r"expected a slice, as in pairs\[:100\], got 0"):
        next(iter(pairs))
    with pytest.raises(ValueError, match="got 1 sentences and 2 translations"):
        Pairs(["a"], ["b", "c"])


# ---- batches -------------------------------------------------------------------------------------------


def words(count, seed=0):
    """Makes pairs of sentences of 1 to 12 words; the number of each is its first word."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 12, (count, 2), generator=draw).tolist()
    source = [" ".join([f"n{n}", *["w"] * a]) for n, (a, _) in enumerate(lengths)]
    target = [" ".join([f"n{n}", *["w"] * b]) for n, (_, b) in enumerate(lengths)]
    pairs = Pairs(source, target)
    return pairs, WordTokenizer.train([*source, *target])


def contents(loader, tokenizer):
    """Returns the pairs of an epoch as texts, in order, and checks padding and lengths."""
    seen = []
    for batch in loader:
        for source, size, target, target_size in zip(*batch, strict=True):
            assert source[size:].eq(0).all()
            assert target[target_size:].eq(0).all()
            assert target[0] == 2
            assert target[target_size - 1] == 3
            seen.append((tokenizer.decode(source[:size]), tokenizer.decode(target)))
        assert batch.source.shape[1] == batch.source_lengths.max()
    return seen


@pytest.mark.parametrize("limit", [{"batch_size": 7}, {"max_tokens": 60}])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_pair_comes_once_an_epoch(limit, shuffle):
    pairs, tokenizer = words(100)
    loader = PairBatches(pairs, tokenizer, tokenizer, shuffle=shuffle, **limit)
    first, second = contents(loader, tokenizer), contents(loader, tokenizer)
    everything = sorted(zip(pairs.source, pairs.target, strict=True))
    assert sorted(first) == sorted(second) == everything
    assert (first != second) == shuffle
    again = PairBatches(pairs, tokenizer, tokenizer, shuffle=shuffle, **limit)
    assert contents(again, tokenizer) == first  # same seed
    sizes = list(loader)
    assert len(sizes) == len(loader)
    if "max_tokens" in limit:
        assert all(max(batch.source.numel(), batch.target.numel()) <= 60 for batch in sizes)
    else:
        assert all(len(batch.source) <= 7 for batch in sizes)


def test_pairs_of_like_length_lie_together():
    pairs, tokenizer = words(400)
    padding = [
        sum(int(batch.source.eq(0).sum()) for batch in loader) / sum(batch.source.numel() for batch in loader)
        for loader in (PairBatches(pairs, tokenizer, tokenizer, batch_size=20),)
    ]
    assert padding[0] < 0.05  # in any order it would be about 0.4


def test_a_position_can_be_kept_and_taken_up():
    pairs, tokenizer = words(60)
    make = lambda: PairBatches(pairs, tokenizer, tokenizer, batch_size=8, seed=3)  # noqa: E731
    whole = make()
    list(whole)
    wanted = [batch.source for batch in whole]
    begun, resumed = make(), make()
    list(begun)
    walk = iter(begun)
    for _ in range(3):
        next(walk)
    resumed.load_state_dict(begun.state_dict())
    rest = [batch.source for batch in resumed]
    assert all(torch.equal(*both) for both in zip(rest, wanted[3:], strict=True))
    other = PairBatches(pairs, tokenizer, tokenizer, batch_size=9)
    with pytest.raises(ValueError, match="expected batch_size 9 as in this loader, got 8"):
        other.load_state_dict(begun.state_dict())


def test_long_pairs_can_be_left_out():
    pairs, tokenizer = words(100)
    loader = PairBatches(pairs, tokenizer, tokenizer, batch_size=8, max_length=6)
    assert loader.left_out > 0
    assert len(contents(loader, tokenizer)) + loader.left_out == 100
    assert all(batch.source.shape[1] <= 6 and batch.target.shape[1] <= 6 for batch in loader)


def test_what_the_trainer_sees():
    pairs, tokenizer = words(10)
    batch = next(iter(PairBatches(pairs, tokenizer, tokenizer, batch_size=4)))
    source, lengths, before, after = batch.inputs_and_target()
    assert torch.equal(before, batch.target[:, :-1])
    assert torch.equal(after, batch.target[:, 1:])
    assert source is batch.source
    assert lengths is batch.source_lengths


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected either batch_size or max_tokens, got batch_size=None and max_tokens=None"),
        ({"batch_size": 2, "max_tokens": 9}, "expected either batch_size or max_tokens"),
        ({"batch_size": 0}, "expected batch_size of at least 1"),
        ({"max_tokens": 4}, "does not fit into max_tokens=4; pass max_length=4"),
        ({"batch_size": 2, "max_length": 1}, "all 10 are longer than max_length=1"),
    ],
)
def test_batches_that_cannot_be_are_refused(options, message):
    pairs, tokenizer = words(10)
    with pytest.raises(ValueError, match=message):
        PairBatches(pairs, tokenizer, tokenizer, **options)
    with pytest.raises(ValueError, match="the translation of pair 0 has no tokens: ' '"):
        PairBatches(Pairs(["a"], [" "]), tokenizer, tokenizer, batch_size=1)
    with pytest.raises(ValueError, match="expected at least one pair, got none"):
        PairBatches(Pairs([], []), tokenizer, tokenizer, batch_size=1)
