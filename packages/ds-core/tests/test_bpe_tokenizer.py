"""BPETokenizer beside transformers' GPT-2 tokenizer, and what it says about files that are none."""

import json
import random

import pytest
from ds_core.text import BPETokenizer, Tokenizer

TEXT = "The cat sat on the mat; the other cat saw the mat. Él, 1,000 times\n\n\tand  more.\n" * 20
MEAN = ["", " ", "cat", "  cat\n\n", "\ufeff<|endoftext|>x", "日本 🙂🏽 e\u0301", "\x00\x85\u2028"]


@pytest.fixture(scope="module")
def trained():
    return BPETokenizer.train([TEXT], 300)


def test_every_text_comes_back(trained):
    draw = random.Random(0)
    drawn = ["".join(chr(draw.choice([65, 32, 10, 233, 8232, 128578])) for _ in range(20)) for _ in range(50)]
    for text in [TEXT, *MEAN, *drawn]:
        assert trained.decode(trained.encode(text)) == text


def test_it_learns_pieces_and_no_end_from_a_text(trained):
    assert 257 < trained.vocab_size <= 300
    assert len(trained.encode(TEXT)) < 0.6 * len(TEXT.encode())
    assert trained.end_id is not None
    assert trained.end_id not in trained.encode("a<|endoftext|>b")


def test_files_of_all_forms_give_the_same(trained, tmp_path):
    trained.save(tmp_path / "ours.json")
    trained.save_pretrained(tmp_path / "theirs")
    (tmp_path / "old").mkdir()
    model = json.loads((tmp_path / "theirs" / "tokenizer.json").read_text())["model"]
    (tmp_path / "old" / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]]
    (tmp_path / "old" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    (tmp_path / "unnamed").mkdir()  # as GPT-2's own file is
    whole = json.loads((tmp_path / "theirs" / "tokenizer.json").read_text())
    del whole["model"]["type"]
    (tmp_path / "unnamed" / "tokenizer.json").write_text(json.dumps(whole))
    for other in (
        Tokenizer.load(tmp_path / "ours.json"),
        Tokenizer.from_file_text(trained.file_text(), "here"),
        BPETokenizer.from_pretrained(tmp_path / "theirs"),
        BPETokenizer.from_pretrained(tmp_path / "theirs" / "tokenizer.json"),
        BPETokenizer.from_pretrained(tmp_path / "old"),
        Tokenizer.from_pretrained(tmp_path / "theirs"),
        Tokenizer.from_pretrained(tmp_path / "unnamed"),
        Tokenizer.from_pretrained(tmp_path / "old"),
        Tokenizer.from_pretrained(tmp_path / "ours.json"),
    ):
        assert other.end_id == trained.end_id
        for text in (TEXT, *MEAN):
            assert other.encode(text) == trained.encode(text)


def test_transformers_reads_what_is_written(trained, tmp_path):
    transformers = pytest.importorskip("transformers")
    trained.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in (TEXT, "cat", "  cat\n\n", "日本 🙂🏽"):
        assert theirs(text)["input_ids"] == trained.encode(text)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no tokenizer: neither tokenizer.json nor vocab.json and merges.txt"),
        ({"vocab.json": "{}"}, "no tokenizer: neither"),
        ({"tokenizer.json": "["}, r"tokenizer\.json: not a tokenizer"),
        ({"tokenizer.json": "{}"}, r"tokenizer\.json: not a tokenizer \(expected BPE, got None"),
        ({"tokenizer.json": '{"model": {"type": "BPE"}}'}, r"not a tokenizer \(BPETokenizer: expected a"),
        ({"tokenizer.json": '{"model": {"type": "WordPiece"}}'}, "expected BPE, got 'WordPiece'"),
        ({"vocab.json": "{}", "merges.txt": "a b c"}, "expected two pieces a line, got 'a b c'"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "a b"}, "not the merges of vocab.json"),
        ({"vocab.json": '{"a": 0}', "merges.txt": ""}, "gives every text back as it was"),
    ],
)
def test_what_is_no_tokenizer_is_named(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        BPETokenizer.from_pretrained(tmp_path)


def without_alphabet(content):
    """Bytes that the text it was learnt from has not are left out without a word."""
    del content["model"]["vocab"]["\u00ff"], content["model"]["vocab"]["Z"]


@pytest.mark.parametrize(
    "change",
    [
        without_alphabet,
        lambda content: content["pre_tokenizer"].update(add_prefix_space=True),
        lambda content: content.update(normalizer={"type": "NFC"}),
        lambda content: content.update(normalizer={"type": "NFD"}),
        lambda content: content.update(normalizer={"type": "NFKC"}),
        lambda content: content.update(normalizer={"type": "Lowercase"}),
        lambda content: content.update(
            normalizer={"type": "Strip", "strip_left": False, "strip_right": True}
        ),
        lambda content: content.update(
            normalizer={"type": "Strip", "strip_left": True, "strip_right": False}
        ),
    ],
)
def test_one_that_loses_something_is_refused(trained, change):
    content = json.loads(trained.files()["tokenizer.json"])
    BPETokenizer(json.dumps(content))
    change(content)
    with pytest.raises(ValueError, match="gives every text back as it was"):
        BPETokenizer(json.dumps(content))


def test_mistakes_are_named(trained):
    with pytest.raises(TypeError, match="vocab_size to be a whole number, got 300"):
        BPETokenizer.train(["a"], 300.0)
    with pytest.raises(ValueError, match="min_count of at least 0, got -1"):
        BPETokenizer.train(["a"], 300, min_count=-1)
    with pytest.raises(ValueError, match="vocab_size of at least 257"):
        BPETokenizer.train(["a"], 100)
    with pytest.raises(ValueError, match="at position 1"):
        trained.encode("a\ud800")
    with pytest.raises(TypeError, match=r"BPETokenizer: expected a text, got \['a'\]"):
        trained.encode(["a"])
    with pytest.raises(ValueError, match="here: not a tokenizer file"):
        Tokenizer.from_file_text("{", "here")
    with pytest.raises(ValueError, match="damaged"):
        Tokenizer.from_file_text(trained.file_text().replace("cat", "dog"), "here")
