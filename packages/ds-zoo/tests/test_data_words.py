"""Data words, texts of every source, and corpora as tokens: in memory, in files, interrupted and resumed."""

import gzip
import json

import pytest
import torch
from ds_core.text import BPETokenizer, ByteTokenizer, CharacterTokenizer, RandomWindows, WordPieceTokenizer
from ds_zoo.data import corpus
from ds_zoo.data.corpus import make_tokenizer, read_corpus
from ds_zoo.data.text import read_pieces, read_texts
from ds_zoo.data.words import parse

TEXTS = ["the first text,\nof two lines", "a second one"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def places(tmp_path):
    """The same two texts, in every form there is."""
    datasets = pytest.importorskip("datasets")
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "a.txt").write_text(TEXTS[0])
    (tmp_path / "folder" / "below" / "b.md").write_text(TEXTS[1])
    (tmp_path / "folder" / "c.bin").write_bytes(b"\xff")
    rows = [f'"{text}",{number}' for number, text in enumerate(TEXTS)]
    (tmp_path / "table.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress((tmp_path / "table.csv").read_bytes()))
    (tmp_path / "other.csv").write_text("\n".join(["review,label", *rows]))
    data = datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1]})
    data.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(str(tmp_path / "splits"))
    (tmp_path / "parquet").mkdir()
    data.to_parquet(str(tmp_path / "parquet" / "train.parquet"))
    return tmp_path


@pytest.mark.parametrize(
    "word",
    [
        "{}/folder",
        "csv:{}/table.csv",
        "csv:{}/table.csv.gz",
        "csv:{}/other.csv#review",
        "hf:{}/saved",
        "hf:{}/saved#text",
        "hf:{}/splits[test]",
        "hf:{}/parquet[train]",
    ],
)
def test_every_source_gives_the_same_texts(places, word):
    word = word.format(places)
    assert list(read_texts(word)) == TEXTS
    assert "".join(read_pieces(word)) == "\n\n".join(TEXTS)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{}/nowhere", "no such file or folder; data may be a text file or folder, csv:FILE"),
        ("", "got nothing"),
        ("cvs:{}/table.csv", "did you mean csv:"),
        ("csv:", "expected something after csv:"),
        ("csv:{}/nowhere.csv", "no such file"),
        ("csv:{}/other.csv", "which column holds the texts"),
        ("csv:{}/table.csv#nothing", "no column 'nothing'; the columns are text, label"),
        ("bundled:nothing", "expected one of python"),
        ("hf:{}/splits[dev]", "expected split to be one of train, test, got 'dev'"),
        ("hf:{}/splits", "expected split to be one of train, test"),
        ("hf:{}/nowhere", "cannot be loaded"),
        ("hf:{}/saved#label", "expected texts in column 'label', got 0"),
        ("idx:{}/folder", "expected texts: a text file or folder, csv:FILE, hf:NAME[SPLIT] or bundled:NAME"),
        ("sklearn:digits", "expected texts: a text file or folder"),
        ("{}/empty.txt", "the file is empty"),
        ("{}/binary.txt", "not UTF-8 text"),
    ],
)
def test_mistakes_are_explained(places, word, message):
    (places / "empty.txt").write_text("")
    (places / "binary.txt").write_bytes(b"a\xff\xfe")
    for read in (read_texts, read_pieces):
        with pytest.raises((ValueError, FileNotFoundError), match=message.replace("[", r"\[")):
            list(read(word.format(places)))


def test_words_are_taken_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse("hf:imdb[train]#text") == ("hf", "imdb", "train", "text")
    assert str(parse("hf:imdb[train]#text")) == "hf:imdb[train]#text"
    (tmp_path / "a:b").write_text("x")
    assert parse("a:b") == ("text", "a:b", None, None)
    (tmp_path / "c#d.csv").write_text("x")
    assert parse("csv:c#d.csv") == ("csv", "c#d.csv", None, None)
    (tmp_path / "e [1]").mkdir()
    assert parse("hf:e [1]") == ("hf", "e [1]", None, None)
    assert parse("hf:e [1]#text") == ("hf", "e [1]", None, "text")


# ---- corpora -------------------------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("".join(f"line {number}, of many lines; é\n" for number in range(120_000)))
    return str(path)


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), "character"], ids=["byte", "character"])
def test_a_file_of_tokens_holds_what_memory_would(book, cache, tokenizer, monkeypatch):
    if tokenizer == "character":
        tokenizer = make_tokenizer("character", read_pieces(book))
    monkeypatch.setattr(corpus, "_EVERY", 2)
    small = read_corpus(book, tokenizer, progress=False)
    assert small.file is None
    assert not cache.exists()
    large = read_corpus(book, tokenizer, progress=False, small=1000)
    assert large.file is not None
    assert large.ids.equal(small.ids)
    assert large.text == small.text
    with open(book, encoding="utf-8") as file:
        assert tokenizer.decode(large.ids) == file.read()
    again = read_corpus(book, tokenizer, progress=False, small=1000)
    assert again.file == large.file


def test_reading_that_was_interrupted_is_gone_on_with(book, cache, monkeypatch):
    monkeypatch.setattr(corpus, "_EVERY", 1)
    expected = read_corpus(book, ByteTokenizer(), progress=False)
    read: list[int] = []

    class Stumbles(ByteTokenizer):
        stop = 3

        def encode(self, text):
            if len(read) == self.stop:
                raise KeyboardInterrupt
            read.append(len(text))
            return super().encode(text)

    with pytest.raises(KeyboardInterrupt):
        read_corpus(book, Stumbles(), progress=False, small=1000)
    (note,) = cache.glob("*.json")
    assert json.loads(note.read_text())["whole"] is False
    with note.with_suffix(".tokens").open("ab") as file:
        file.write(b"half a note")  # written and not noted
    Stumbles.stop = -1
    whole = read_corpus(book, Stumbles(), progress=False, small=1000)
    assert whole.ids.equal(expected.ids)
    assert whole.text == expected.text
    assert sum(read) == sum(map(len, read_pieces(book)))  # no piece was encoded twice


def test_another_text_or_tokenizer_has_another_file(book, cache):
    first = read_corpus(book, ByteTokenizer(), progress=False, small=1000)
    other = read_corpus(book, make_tokenizer("character", read_pieces(book)), progress=False, small=1000)
    with open(book, "a", encoding="utf-8") as file:
        file.write("one line more\n")
    longer = read_corpus(book, ByteTokenizer(), progress=False, small=1000)
    assert len({first.file, other.file, longer.file}) == 3
    assert len(longer.ids) == len(first.ids) + len("one line more\n")
    longer.file.write_bytes(b"1234")
    with pytest.raises(ValueError, match=r"damaged: expected .* tokens; remove it"):
        read_corpus(book, ByteTokenizer(), progress=False, small=1000)


def test_windows_of_a_file_are_those_of_memory(book):
    small = read_corpus(book, ByteTokenizer(), progress=False)
    large = read_corpus(book, ByteTokenizer(), progress=False, small=1000)
    one, other = (next(iter(RandomWindows(c.ids, 32, 4, seed=1))) for c in (small, large))
    assert one[0].dtype == torch.int64
    assert all(a.equal(b) for a, b in zip(one, other, strict=True))
    assert RandomWindows(large.ids, 32, 4).fingerprint() == RandomWindows(small.ids, 32, 4).fingerprint()


def test_tokenizers_by_a_word(book, tmp_path):
    assert isinstance(make_tokenizer("character", ["ab"]), CharacterTokenizer)
    learnt = make_tokenizer("bpe", read_pieces(book), 300)
    assert isinstance(learnt, BPETokenizer)
    learnt.save_pretrained(tmp_path / "kept")
    published = make_tokenizer(str(tmp_path / "kept"), iter(()))
    assert published.encode("line 5") == learnt.encode("line 5")
    cut = make_tokenizer("wordpiece", read_pieces(book), 100)
    assert isinstance(cut, WordPieceTokenizer)
    assert cut.vocab_size <= 100
    assert cut.decode(cut.encode("line 5, of many")) == "line 5, of many"
    cut.save_pretrained(tmp_path / "pieces")
    (tmp_path / "pieces" / "tokenizer.json").unlink()
    assert make_tokenizer(str(tmp_path / "pieces"), iter(())).encode("line 5") == cut.encode("line 5")
    with pytest.raises(ValueError, match="'bpe', 'wordpiece' or the place"):
        make_tokenizer("word", ["a"])
