"""Some three hundred damaged files: each is refused at once, by a line of ours that names the file.

The files are made here, from whole ones, by a seed: cut off, with bytes changed, lengthened, swapped for
another, or saying what cannot be. Only damage that a format can show is among them: a wrong digit in a CSV
is a number, and a wrong byte in a JPEG often a picture.
"""

import gzip
import io
import json
import random
import struct
import time
import traceback
import warnings
import zlib
from pathlib import Path

import ds_core
import pytest
import torch
from ds_core.data import load, load_csv, read_idx
from ds_core.layers import Dense
from ds_core.pretrained import Format, Pretrained
from ds_core.text import (
    ByteTokenizer,
    CharacterTokenizer,
    SubwordTokenizer,
    Tokenizer,
    WordTokenizer,
    load_pairs,
)
from PIL import Image

OURS = Path(ds_core.__file__).parent
LONGEST = 1.0  # second of this process


def refused(read, path):
    """Checks that reading a file fails as it should; returns the message."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            got = read(path)
        except Exception as error:
            took, caught = time.process_time() - begin, error
        else:
            pytest.fail(f"in silence: {got!r}")
    frame = traceback.extract_tb(caught.__traceback__)[-1]
    assert torch.is_grad_enabled()
    assert isinstance(caught, (ValueError, FileNotFoundError)), f"raw: {caught!r}"
    assert Path(frame.filename).is_relative_to(OURS), f"raw: {caught!r} in {frame.filename}"
    assert path.name in str(caught), f"does not name the file: {caught}"
    assert took < LONGEST, f"took {took:.1f} s"
    return str(caught)


def cut(content, draw):
    return content[: draw.randrange(len(content))]


def flip(content, draw):
    place = draw.randrange(8 * len(content))
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def scramble(content, draw):
    place = draw.randrange(len(content) - 4)
    noise = bytes(byte ^ draw.randrange(1, 256) for byte in content[place : place + 4])
    return content[:place] + noise + content[place + 4 :]


def hole(content, draw):
    place = draw.randrange(len(content) - 8)
    return content[:place] + content[place + draw.randrange(1, 8) :]


DAMAGES = {"cut": cut, "flip": flip, "scramble": scramble, "hole": hole}
FOREIGN = {
    "empty": b"",
    "a byte": b"\0",
    "zeros": bytes(5000),
    "text": b"This is no such file.\n" * 10,
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x02os\x8c\x06system\x93.",
    "zip": b"PK\x03\x04" + bytes(60),
    "noise": random.Random(0).randbytes(2000),
}


def damaged(whole, seed, each):
    """Yields (what, content): every kind of damage ``each`` times."""
    for name, damage in DAMAGES.items():
        draw = random.Random(f"{name} {seed}")
        made = set()
        while len(made) < each:
            content = damage(whole, draw)
            if content != whole and content not in made:
                made.add(content)
                yield f"{name} {len(made)}", content


# ---- images --------------------------------------------------------------------------------------------


def picture(format, mode="RGB", size=(24, 16), **options):
    noise = random.Random(1).randbytes(size[0] * size[1] * len(mode))
    file = io.BytesIO()
    Image.frombytes(mode, size, noise).save(file, format, **options)
    return file.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks, width=4, height=4, bits=8, colour=2):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def with_exif(exif):
    whole = picture("JPEG")
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif + whole[2:]


def orientation(value, kind=3, count=1):
    return tiff_of((0x0112, kind, count, value))


def tiff_of(*tags):
    """Returns a TIFF that is nothing but tags, each (tag, type, count, value)."""
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        + bytes(4)
    )


def images():
    yield from (("png", *case) for case in damaged(picture("PNG"), "png", 10))
    for format in ("JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        whole = picture(format)
        for share in (0.02, 0.3, 0.6, 0.9):
            yield format.lower(), f"cut at {share}", whole[: int(share * len(whole))]
    yield from (("png", *case) for case in FOREIGN.items())
    body = chunk(b"IDAT", zlib.compress(b"\0" + bytes(12)))
    for what, content in {
        "169 million pixels": png(body, width=13000, height=13000),
        "2^62 pixels": png(body, width=2**31 - 1, height=2**31 - 1),
        "no pixels": png(body, width=0, height=0),
        "48 bits": png(chunk(b"IDAT", zlib.compress((b"\0" + bytes(24)) * 4)), bits=16),
        "no data": png(),
        "not deflated": png(chunk(b"IDAT", b"nothing of that kind")),
        "an unknown filter": png(chunk(b"IDAT", zlib.compress((b"\x09" + bytes(12)) * 4))),
        "a bomb of a text": png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))), body),
        "a short header": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(3)),
        "a negative chunk": b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR" + bytes(30),
    }.items():
        yield "png", what, content
    for what, content in {
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        "an icon": picture("ICO", size=(16, 16)),
        "Targa": picture("TGA"),
        "a PDF": b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\n",
        "EXIF of noise": with_exif(random.Random(3).randbytes(40)),
        "EXIF that points nowhere": with_exif(b"II*\0\xff\xff\xff\xff"),
        "EXIF cut off": with_exif(b"MM\0*\0\0\0"),
        "EXIF of a thousand tags": with_exif(b"MM\0*\0\0\0\x08\x03\xe8" + bytes(60)),
        "an orientation of 9": with_exif(orientation(9)),
        "an orientation of texts": with_exif(orientation(0x41414141, kind=2, count=4)),
        "nothing but EXIF": b"\xff\xd8\xff\xe1\0\x10Exif\0\0II*\0\x08\0\0\0\xff\xd9",
    }.items():
        yield "jpg", what, content
    for what, content in {
        "no tags": tiff_of(),
        "no pixels": tiff_of((256, 4, 1, 0), (257, 4, 1, 0)),
        "2^60 pixels": tiff_of((256, 4, 1, 2**30), (257, 4, 1, 2**30), (258, 3, 1, 8), (262, 3, 1, 1)),
        "unknown compression": tiff_of((256, 4, 1, 4), (257, 4, 1, 4), (259, 3, 1, 999)),
        "text for a width": tiff_of((256, 2, 4, 0x41414141), (257, 4, 1, 4)),
    }.items():
        yield "tif", what, content
    for what, content in {
        "65,535 shades": b"P6 2 1 65535\n" + bytes(12),
        "no numbers": b"P6 x y z\n",
        "negative sizes": b"P6 -2 -2 255\n" + bytes(12),
        "endless": b"P6 " + b"9" * 5000 + b" 2 255\n",
    }.items():
        yield "ppm", what, content


IMAGES = list(images())


@pytest.mark.parametrize(("ending", "what", "content"), IMAGES, ids=[f"{e} {w}" for e, w, _ in IMAGES])
def test_images(tmp_path, ending, what, content):
    folder = tmp_path / "in" / "cats"
    folder.mkdir(parents=True)
    path = folder / f"photo.{ending}"
    path.write_bytes(content)
    said = refused(lambda _: load(f"imagefolder:{tmp_path}/in"), path)
    assert "cannot be read as an image" in said
    (folder / "whole.png").write_bytes(picture("PNG"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load(f"imagefolder:{tmp_path}/in", bad="skip")
    assert len(data) == 1
    assert path.name in data.notes[0]


# ---- IDX -----------------------------------------------------------------------------------------------


def idx(*sizes, kind=8, data=None):
    whole = 1
    for size in sizes:
        whole *= size
    header = struct.pack(">HBB", 0, kind, len(sizes)) + struct.pack(f">{len(sizes)}I", *sizes)
    return header + (random.Random(2).randbytes(whole) if data is None else data)


def idx_files():
    whole = idx(6, 5, 4)
    draw = random.Random("idx")
    for number in range(8):
        yield f"cut {number}", cut(whole, draw)
    for number in range(4):
        yield f"hole {number}", hole(whole, draw)
    for number in range(4):
        yield f"lengthened {number}", whole + draw.randbytes(1 + number**4)
    yield from ((f"packed, {what}", content) for what, content in damaged(gzip.compress(whole), "gz", 5))
    yield from FOREIGN.items()
    yield "packed nothing", gzip.compress(b"")
    yield "packed text", gzip.compress(b"This is no such file.")
    yield "packed a bomb", gzip.compress(idx(400, 1000, 1000, data=b"") + bytes(4 * 10**7), 1)
    yield "says 2^96", idx(2**32 - 1, 2**32 - 1, 2**32 - 1, data=bytes(50))
    yield "says 0 times 2^64", idx(0, 2**32 - 1, 2**32 - 1, data=b"")
    yield "255 dimensions", struct.pack(">HBB", 0, 8, 255) + bytes(1020)
    yield "unknown type", idx(2, 2, 2, kind=7)
    yield "says 8 GB", idx(8 * 10**9 // 4, kind=0x0C, data=bytes(100))


def sound(content, whole):
    """Says whether gzip gives the same bytes back: what it says of name and time does not matter."""
    try:
        return gzip.decompress(content) == whole
    except (EOFError, OSError, zlib.error):
        return False


IDX = [case for case in idx_files() if not sound(case[1], idx(6, 5, 4))]


@pytest.mark.parametrize(("what", "content"), IDX, ids=[what for what, _ in IDX])
def test_idx_files(tmp_path, what, content):
    path = tmp_path / "images-idx3"
    path.write_bytes(content)
    refused(read_idx, path)
    if not what.startswith("packed"):
        refused(lambda _: load(f"idx:{path}"), path)


# ---- CSV -----------------------------------------------------------------------------------------------

ROWS = "a,b,y\n" + "".join(f"{i},{i / 2},{i % 3}\n" for i in range(20))


def csv_files():
    draw = random.Random("csv")
    lines = ROWS.splitlines(keepends=True)
    for number in range(6):
        place = draw.randrange(1, len(lines))
        kind = number % 3
        bad = [lines[place].replace(",", "", 1), lines[place].strip() + ",7\n", '"' + lines[place]][kind]
        yield f"line {place + 1}, {kind}", "".join([*lines[:place], bad, *lines[place + 1 :]]).encode()
    for number in range(4):
        place = draw.randrange(len(ROWS))
        yield f"not UTF-8 {number}", ROWS.encode()[:place] + b"\xff\xfe" + ROWS.encode()[place:]
    for word in ("oops", "1_000", "inf", "1e400", "0x10", "1,5", "--1", "1 2"):
        yield word, ROWS.replace("\n7,", f'\n"{word}",').encode()
    yield "UTF-16", ROWS.encode("utf-16")
    yield "no rows", b"a,b,y\n"
    yield "numbers for names", b"1,2,3\n4,5,6\n"
    yield "a name twice", b"a,a,y\n1,2,3\n"
    yield "an open quote", b'a,b,y\n1,"2,3\n4,5,6\n'
    yield "a cell without end", b"a,b,y\n1," + b"2" * 200_000 + b",3\n"
    yield "one column", b"y\n1\n2\n"
    yield "tabs", ROWS.replace(",", "\t").encode()
    yield from FOREIGN.items()


CSV = list(csv_files())


@pytest.mark.parametrize(("what", "content"), CSV, ids=[what for what, _ in CSV])
def test_csv_files(tmp_path, what, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    refused(lambda path: load_csv(path, target="y"), path)
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress(content)[: -1 - len(what)])
    refused(lambda path: load_csv(path, target="y"), packed)


# ---- tokenizers ----------------------------------------------------------------------------------------

TEXTS = ["the cat sat on the mat", "a dog, too"]


def tokenizers():
    return {
        "char": CharacterTokenizer.from_text("".join(TEXTS)),
        "byte": ByteTokenizer(),
        "word": WordTokenizer.train(TEXTS),
        "character": CharacterTokenizer.train(TEXTS),
        "subword": SubwordTokenizer.train(TEXTS * 3, vocab_size=270),
    }


KINDS = ("char", "byte", "word", "character", "subword")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The files of all kinds, as they should be."""
    folder = tmp_path_factory.mktemp("tokenizers")
    for kind, tokenizer in tokenizers().items():
        tokenizer.save(folder / kind)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("damage", DAMAGES)
def test_tokenizers(saved, tmp_path, kind, number, damage):
    whole = (saved / kind).read_bytes()
    draw = random.Random(f"{kind} {damage} {number}")
    path = tmp_path / "tokenizer.json"
    content = DAMAGES[damage](whole, draw)
    path.write_bytes(content)
    try:
        if json.loads(content) == json.loads(whole):  # a space more, say
            return
    except ValueError:
        pass
    assert "not a tokenizer file" in refused(Tokenizer.load, path)


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_foreign_files_for_tokenizers(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    refused(Tokenizer.load, path)


def summed(kind, content):
    """Returns a tokenizer file whose sum is right, whatever else is wrong."""
    total = zlib.crc32(json.dumps([kind, content], sort_keys=True).encode())
    return json.dumps({"kind": kind, "content": content, "sum": total})


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"kind":' * 100_000,
        "[]",
        "null",
        '{"kind": "word", "content": NaN}',
        '{"kind": ["word"], "content": []}',
        summed("syllable", []),
        summed("character", {"tokens": [], "specials": False}),
        summed("character", {"tokens": ["ab", "c"], "specials": False}),
        summed("character", {"tokens": ["a", "a"], "specials": False}),
        summed("character", {"tokens": "abc", "specials": False}),
        summed("character", {"tokens": ["a"], "specials": 1}),
        summed("character", {"tokens": ["a"]}),
        summed("word", "abc"),
        summed("word", {"a": 1}),
        summed("word", {"tokens": ["a", 1], "specials": True}),
        summed("word", {"tokens": ["a", ""], "specials": True}),
        summed("word", {"tokens": ["a", "<eos>"], "specials": True}),
        summed("character", None),
        summed("subword", None),
        summed("subword", {}),
        summed("subword", {"model": {"type": "BPE"}}),
    ],
    ids=lambda content: content[:30],
)
def test_tokenizers_that_cannot_be(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    refused(Tokenizer.load, path)


@pytest.mark.parametrize("change", ["swapped", "lower", "no space"])
def test_a_subword_model_that_would_change_texts(saved, tmp_path, change):
    model = json.loads((saved / "subword").read_text(encoding="utf-8"))["content"]
    if change == "swapped":
        vocabulary = model["model"]["vocab"]
        vocabulary["<eos>"], vocabulary["a"] = vocabulary["a"], vocabulary["<eos>"]
        model["added_tokens"] = []
    elif change == "lower":
        model["normalizer"] = {"type": "Lowercase"}
    else:
        model["decoder"] = None
    path = tmp_path / "tokenizer.json"
    path.write_text(summed("subword", model), encoding="utf-8")
    refused(Tokenizer.load, path)


# ---- configurations ------------------------------------------------------------------------------------


class Small(Pretrained):
    """A model with a size, a number of layers and something that no file holds."""

    hugging_face = Format("small", ("size", "layers", "context"))

    def __init__(self, size, layers, context):
        for layer in range(layers):
            setattr(self, f"layer{layer}", Dense(size, size))
        self.register_buffer("positions", torch.empty(context, size), persistent=False)
        self.numbers = {"size": size, "layers": layers, "context": context}

    def to_config(self):
        return self.numbers

    @classmethod
    def from_config(cls, fields):
        return cls(**fields)


@pytest.fixture
def folder(tmp_path):
    Small(4, 2, 3).save_pretrained(tmp_path)
    assert Small.from_pretrained(tmp_path).numbers == {"size": 4, "layers": 2, "context": 3}
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"size": 10**9},
        {"size": 2**62},
        {"size": 10**5},
        {"size": -1},
        {"size": 5},
        {"size": "4"},
        {"size": None},
        {"size": [4]},
        {"layers": 10**9},
        {"layers": 3},
        {"layers": 1.5},
        {"context": 10**9},
        {"context": 2**62},
        {"context": None},
        {"model_type": "large"},
        {"model_type": None},
        {"width": 3},
    ],
    ids=str,
)
def test_configurations_that_cannot_be(folder, change):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refused(lambda _: Small.from_pretrained(folder), folder if change.keys() & {"size", "layers"} else path)


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"null", b"3", b'{"size":' * 100_000, b"[" * 100_000, b'{"size": NaN}', *FOREIGN.values()],
    ids=lambda content: str(content[:12]),
)
def test_damaged_configurations(folder, content):
    path = folder / "config.json"
    path.write_bytes(content)
    refused(lambda _: Small.from_pretrained(folder), path)


@pytest.mark.parametrize("number", range(12))
def test_configurations_cut_off(folder, number):
    path = folder / "config.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: number * (len(whole) - 2) // 12])
    refused(lambda _: Small.from_pretrained(folder), path)


# ---- data sets of the package `datasets` ---------------------------------------------------------------

WORDS = ["alpha", "beta", "gamma", "delta"]
OFFSETS = struct.pack("<5i", 0, 5, 9, 14, 19)  # where each of them begins, as Arrow keeps it


@pytest.fixture
def dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"a": [1, 2, 3, 4], "s": WORDS}).save_to_disk(tmp_path / "set")
    assert len(load(f"hf:{tmp_path}/set", text="index")) == 4
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"alpha", b"alp\xffa"),
        (b"delta", b"\x80elta"),
        (OFFSETS, struct.pack("<5i", 0, 5, 2**30, 14, 19)),
        (OFFSETS, struct.pack("<5i", 0, 5, -9, 14, 19)),
        (OFFSETS, struct.pack("<5i", -(2**31), 5, 9, 14, 19)),
        (OFFSETS, struct.pack("<5i", 0, 5, 9, 14, 2**31 - 1)),
    ],
    ids=str,
)
def test_damaged_columns(dataset, old, new):
    (path,) = dataset.glob("*.arrow")
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    refused(lambda path: load(f"hf:{path}", text="index"), dataset)
    refused(lambda path: load_pairs(f"hf:{path}", "s", "s"), dataset)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("file", ["*.arrow", "state.json", "dataset_info.json"])
def test_data_sets_cut_off(dataset, file, share):
    (path,) = dataset.glob(file)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(lambda path: load(f"hf:{path}", text="index"), dataset)
