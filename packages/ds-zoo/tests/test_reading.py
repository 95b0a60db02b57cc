"""Text files as they are read: without a byte order mark, and not if they are something else."""

import codecs
import gzip

import pytest
from ds_core.text import CharacterTokenizer, WordPieceTokenizer
from ds_zoo.data.text import read_pieces, read_text


def test_a_byte_order_mark_is_no_character(tmp_path):
    path = tmp_path / "book.txt"
    path.write_bytes(codecs.BOM_UTF8 + "Él: \ufeff".encode())
    assert read_text(path) == "Él: \ufeff"  # elsewhere it is one
    assert CharacterTokenizer.from_text(read_text(path)).vocabulary.tokens == list(" :lÉ\ufeff")
    path.write_bytes(codecs.BOM_UTF8)
    with pytest.raises(ValueError, match=r"book\.txt: the file is empty"):
        read_text(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_other_encodings_are_refused(tmp_path, encoding):
    path = tmp_path / "book.txt"
    path.write_bytes("Él".encode(encoding))
    with pytest.raises(ValueError, match=r"book\.txt: not UTF-8 text"):
        read_text(path)


def test_a_packed_file_that_is_damaged_is_named(tmp_path):
    whole, path = gzip.compress("Él. ".encode() * 900), tmp_path / "book.txt.gz"
    path.write_bytes(whole)
    assert read_text(path) == "".join(read_pieces(str(path))) == "Él. " * 900
    for content in (
        whole[: len(whole) // 2],
        b"no gzip",
        whole[:-8] + bytes(8),
        whole[:20] + b"\xff" + whole[21:],
    ):
        path.write_bytes(content)
        for read in (read_text, lambda path: list(read_pieces(str(path)))):
            with pytest.raises(ValueError, match=r"book\.txt\.gz: (cut off or damaged|not UTF-8)"):
                read(path)


# ---- BERT's vocabularies -------------------------------------------------------------------------------

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "\u2028", "\x85", "b"]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_word_is_what_a_line_feed_ends(tmp_path, mark, end):
    lines = "\r\n" if end == "\r\n" else "\n"
    (tmp_path / "vocab.txt").write_bytes((mark + lines.join(WORDS) + end).encode())
    tokenizer = WordPieceTokenizer.from_pretrained(tmp_path)
    assert tokenizer.vocab_size == len(WORDS)
    assert tokenizer(["b a"]).input_ids.tolist() == [[2, 8, 5, 3]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.txt", b""),
        ("vocab.txt", b"\xff\xfea\n"),
        ("vocab.txt", b"a\nb\n"),
        ("tokenizer.json", b""),
        ("tokenizer.json", b"[" * 100_000),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xff\xfe{}"),
        ("tokenizer.json", b'{"model": {"type": "WordPiece"}}'),
        ("tokenizer_config.json", b"["),
        ("tokenizer_config.json", b"null"),
    ],
)
def test_damaged_files_of_bert_are_named(tmp_path, name, content):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        WordPieceTokenizer.from_pretrained(tmp_path)
