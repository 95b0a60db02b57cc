"""Text files as they are read: without a byte order mark, and not if they are something else."""

import codecs

import pytest
from ds_core.text import CharacterTokenizer
from ds_zoo.gpt.train import read_text


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
