"""Numbers, labels, texts and pictures that must not change on the way in, nor be let in by a back door."""

import csv as csv_format
import gzip
import io
import struct
import time
import warnings
import zlib
from contextlib import contextmanager

import datasets
import numpy as np
import pytest
import torch
from ds_core.data import DataLoader, load, load_csv, read_csv, read_idx
from ds_core.data.table import Table, as_dataset
from ds_core.text import load_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps


@pytest.fixture(scope="module", autouse=True)
def no_progress_bars():
    datasets.disable_progress_bars()


@pytest.fixture
def write(tmp_path):
    """Writes a file of text or bytes and returns its path."""

    def write(content, name="data.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# ---- numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["16777216", "16777218"], None),  # these float32 has
        (["16777217", "5"], "rounded 1 numbers to float32, by up to 1;"),
        (["16777217", "16777216"], "so that 1 different ones became equal"),
        (["1700000000.25", "1700000001.5"], "rounded 2 numbers"),  # what they differ by is lost
        (["0.1", "0.2"], None),  # rounded, too, but nobody minds
        (["0.1", "0.1"], None),  # they do not differ
        (["1e30", "2e30"], None),  # nothing that is counted
    ],
)
def test_numbers_that_float32_does_not_hold_are_noted(write, cells, words):
    path = write("a,t\n" + "".join(f"{cell},{cell}\n" for cell in cells))
    data = load_csv(path, target="t")
    for name in ("a", "t"):
        notes = [note for note in data.notes if note.startswith(f"{name}: rounded")]
        assert len(notes) == (words is not None)
        assert words is None or words in notes[0]


def test_arrays_of_a_dataset_are_finite_and_their_rounding_is_noted(tmp_path):
    kind = datasets.Features({"v": datasets.Sequence(datasets.Value("int64"))})
    datasets.Dataset.from_dict({"v": [[1, 2], [2**24 + 1, 3]]}, features=kind).save_to_disk(tmp_path / "a")
    assert "v: rounded 1 numbers to float32, by up to 1;" in load(f"hf:{tmp_path}/a").notes[0]
    for bad in (float("nan"), float("inf"), 1e39):
        datasets.Dataset.from_dict({"v": [[1.0, 2.0], [0.5, bad]]}).save_to_disk(tmp_path / str(bad))
        with pytest.raises(ValueError, match=r"finite float32 numbers in column 'v', got .* in row 1"):
            load(f"hf:{tmp_path}/{bad}")


def test_samples_of_several_types_are_stacked_only_if_nothing_is_lost():
    (numbers,) = next(iter(DataLoader([1, 2.5], batch_size=2)))
    assert numbers.tolist() == [1.0, 2.5]
    with pytest.raises(TypeError, match=r"one type throughout the samples, got torch.int64 among others"):
        next(iter(DataLoader([2**24 + 1, 2.5], batch_size=2)))
    (numbers,) = next(iter(DataLoader([torch.tensor(torch.nan), torch.tensor(0.1, dtype=torch.float64)])))
    assert numbers.isnan().tolist() == [True, False]  # NaN is not lost, if it equals nothing


# ---- labels --------------------------------------------------------------------------------------------


def test_one_number_is_one_class_however_it_is_written(write):
    path = write("x,y\n1,1\n2,1.0\n3,2\n4,01.0\n".replace("01.0", "1e0"))
    data = load_csv(path, target="y", classes=True)
    assert data.class_names == ["1", "2"]
    assert data.y.tolist() == [0, 0, 1, 0]
    assert "y: 1 and 1.0 and 1e0 are one number" in data.notes
    one_hot = load_csv(path, columns=["y"], text={"y": "one_hot"})
    assert one_hot.feature_names == ["y=1", "y=2"]


def test_codes_stay_apart_and_large_numbers_too(write):
    path = write("x,y\n1,007\n2,7\n3,7\n")
    assert load_csv(path, target="y", classes=True).class_names == ["007", "7"]
    path = write("x,y\n1,9007199254740993\n2,9007199254740992\n")  # one and the same as float64
    data = load_csv(path, target="y", classes=True)
    assert data.y.tolist() == [1, 0]
    assert data.class_names == ["9007199254740992", "9007199254740993"]


def idx(array, code):
    header = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize(
    ("labels", "code", "words"),
    [
        (np.array([0.5, 1.0], "f4"), 0x0D, "expected 2 labels, .* got 2 numbers of torch.float32"),
        (np.array([0, -1], "i1"), 9, "expected labels from 0 to inf, got -1"),
    ],
)
def test_idx_labels_are_whole_numbers_from_0_on(write, tmp_path, labels, code, words):
    write(idx(np.ones((2, 3, 3), "u1"), 8), "train-images-idx3-ubyte")
    write(idx(labels, code), "train-labels-idx1-ubyte")
    with pytest.raises(ValueError, match=f"train-labels-idx1-ubyte: {words}"):
        load(f"idx:{tmp_path}")


@pytest.mark.parametrize("label", [2, -2])
def test_class_labels_lie_among_their_names(label):
    table = Table({"x": [1, 2], "y": [0, label]}, "set", "row {}".format, {"y": ["cat", "dog"]})
    with pytest.raises(ValueError, match=f"set: expected classes from 0 to 1 in .*'y', got {label} in row 1"):
        as_dataset(table, target="y")


# ---- texts ---------------------------------------------------------------------------------------------

cell = st.text(st.sampled_from("\"ab ,;'«»|"), min_size=1).filter(lambda text: text == text.strip() != "")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(cell, cell), min_size=1, max_size=5))
def test_tab_files_hold_quotes_as_characters(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    path.write_text("en\tfr\n" + "".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    pairs = load_pairs(path, "en", "fr")
    assert list(zip(pairs.source, pairs.target, strict=True)) == rows
    table = read_csv(path, missing_cells=())
    assert list(zip(table.columns["en"], table.columns["fr"], strict=True)) == rows
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        csv_format.writer(file).writerows([("en", "fr"), *rows])
    assert read_csv(path.with_suffix(".csv"), missing_cells=()).columns == table.columns


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_a_name(write, encoding):
    assert list(read_csv(write("\ufeffa,b\n1,2\n"), encoding=encoding).columns) == ["a", "b"]


def test_csv_options_are_checked(write):
    path = write("a\n1\n")
    for options, words in [
        ({"delimiter": ",,"}, "delimiter: expected one character"),
        ({"delimiter": ""}, "delimiter: expected one character"),
        ({"delimiter": "\n"}, "delimiter: expected one character"),
        ({"encoding": "hex"}, "encoding: expected the name of one, .* got 'hex'"),
        ({"encoding": "utf-99"}, "encoding: expected the name of one, .* got 'utf-99'"),
    ]:
        with pytest.raises(ValueError, match=words):
            read_csv(path, **options)


# ---- pictures ------------------------------------------------------------------------------------------


def picture(mode="RGB", size=(6, 4), format="PNG", **options):
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(file, format, **options)
    return file.getvalue()


def chunk(kind, content):
    """Returns a part of a PNG, with its length and its sum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, bits=8, colour=2, rows=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def with_exif(jpeg, *entries, header=b"II*\0\x08\0\0\0"):
    """Puts EXIF tags, each (tag, type, count, value in 4 bytes), into a JPEG."""
    tags = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = b"Exif\0\0" + header + struct.pack("<H", len(entries)) + tags + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


TURNED = (0x0112, 3, 1, b"\x06\0\0\0")


def test_a_picture_is_turned_whatever_else_its_exif_holds(write, tmp_path):
    jpeg = picture(format="JPEG")
    write(jpeg, "in/cats/plain.jpg")
    expected = load(f"imagefolder:{tmp_path}/in").x.rot90(-1, (2, 3))
    for number, odd in enumerate(
        [
            (0x0100, 9, 1, struct.pack("<i", -5)),  # a signed width
            (0x010F, 2, 4, b"\xff\xfe\xfd\xfc"),  # a maker that is no text
            (0x8769, 3, 1, b"\1\0\0\0"),  # a pointer that is none
        ]
    ):
        write(with_exif(jpeg, TURNED, odd), f"odd{number}/cats/photo.jpg")
        assert torch.equal(load(f"imagefolder:{tmp_path}/odd{number}").x, expected)


@pytest.mark.parametrize("orientation", range(9))
def test_every_orientation_is_undone_as_pillow_does(write, tmp_path, orientation):
    path = write(
        with_exif(picture(format="JPEG"), (0x0112, 3, 1, bytes([orientation, 0, 0, 0]))), "a/b/c.jpg"
    )
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    got = (load(f"imagefolder:{tmp_path}/a").x[0] * 255).byte().permute(1, 2, 0)
    np.testing.assert_allclose(got.numpy().astype(int), expected.astype(int), atol=1)


def test_pictures_of_more_than_8_bits_a_channel_are_refused_in_any_mode(write, tmp_path):
    deep = {
        "rgb.png": png(2, 1, bits=16, rows=b"\0" + bytes(12)),
        "rgba.png": png(2, 1, bits=16, colour=6, rows=b"\0" + bytes(16)),
        "grey.png": png(2, 1, bits=16, colour=0, rows=b"\0" + bytes(4)),
        "rgb.ppm": b"P6 2 1 65535\n" + bytes(12),
        "plain.ppm": b"P3 1 1 1023\n1 2 3\n",
        "grey.pgm": b"P5 2 1 1023\n" + bytes(4),
    }
    for name, content in deep.items():
        write(content, f"{name}.d/a/{name}")
        with pytest.raises(ValueError, match=f"{name}: .*more than 8 bits a channel"):
            load(f"imagefolder:{tmp_path}/{name}.d")


def test_other_formats_are_no_pictures(write, tmp_path):
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    for name, content in {
        "script.png": postscript,
        "script.jpg": postscript,
        "old.bmp": picture(format="TGA"),
        "icon.gif": picture(format="ICO"),
    }.items():
        write(content, f"{name}.d/a/{name}")
        with pytest.raises(
            ValueError, match=f"{name}: cannot be read as an image .*expected a whole BMP, GIF"
        ):
            load(f"imagefolder:{tmp_path}/{name}.d")


def test_a_dataset_opens_no_other_formats_and_no_addresses_either(tmp_path):
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    stored = [
        {"bytes": picture(), "path": None},
        {"bytes": postscript, "path": None},
        {"bytes": None, "path": "https://example.com/a.png"},
    ]
    kinds = datasets.Features({"image": datasets.Image(), "y": datasets.Value("int64")})
    data = datasets.Dataset.from_dict({"image": stored, "y": [0, 1, 2]}, features=kinds)
    batches = iter(DataLoader(data, batch_size=1))
    image, y = next(batches)
    assert image.shape == (1, 3, 4, 6)
    assert image.dtype == torch.uint8
    assert y.tolist() == [0]
    with pytest.raises(ValueError, match="column 'image', sample 1: cannot be read as an image"):
        next(batches)
    with pytest.raises(ValueError, match="sample 1: expected an image's bytes or a local file, got 'https:"):
        next(iter(DataLoader(data.select([0, 2]), batch_size=2)))


def test_palettes_and_greys_of_a_dataset_become_colours_and_greys():
    pictures = [Image.new("P", (2, 1)), Image.new("1", (2, 1)), Image.new("RGBA", (2, 1))]
    shapes = []
    for image in pictures:
        data = datasets.Dataset.from_dict({"i": [image]}, features=datasets.Features({"i": datasets.Image()}))
        shapes.append(tuple(next(iter(DataLoader(data)))[0].shape))
    assert shapes == [(1, 3, 1, 2), (1, 1, 1, 2), (1, 3, 1, 2)]


# ---- bounds --------------------------------------------------------------------------------------------


@contextmanager
def quick():
    """Fails a test if what stands within takes longer than a second of this process."""
    begin = time.process_time()
    yield
    assert time.process_time() - begin < 1.0


@pytest.fixture
def bomb(write):
    """An IDX file of a quarter of a million bytes that says, and holds, 256 million."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        file.write(struct.pack(">HBBIII", 0, 8, 3, 1000, 500, 512))
        for _ in range(250):
            file.write(bytes(1024 * 1000))
    return write(packed.getvalue(), "images.gz")


def test_idx_does_not_unpack_a_bomb(bomb):
    with (
        quick(),
        pytest.raises(ValueError, match=r"images.gz: expected at most .* when its .* are unpacked, got more"),
    ):
        read_idx(bomb)


def test_idx_reads_no_more_than_the_header_says(write):
    content = struct.pack(">HBBI", 0, 8, 1, 4) + bytes(10**8)
    path = write(gzip.compress(content, 1), "data.gz")
    with quick(), pytest.raises(ValueError, match=r"data.gz: too long: expected 4 bytes .* got more"):
        read_idx(path)


def test_csv_does_not_unpack_a_bomb(write):
    lines = gzip.compress(b"a,b\n" + b"1,2\n" * 10**7, 1)
    path = write(lines, "bomb.csv.gz")
    with quick(), pytest.raises(ValueError, match=r"bomb.csv.gz: expected at most 33,554,432 bytes"):
        read_csv(path)
    for damaged in (gzip.compress(b"a,b\n1,2\n")[:-3], b"a,b\n1,2\n"):
        with pytest.raises(ValueError, match=r"small.csv.gz: cut off or damaged"):
            read_csv(write(damaged, "small.csv.gz"))
    assert read_csv(write(gzip.compress(b'a\tb\n"\t2\n'), "quotes.tsv.gz")).columns == {
        "a": ['"'],
        "b": ["2"],
    }


@pytest.mark.parametrize(
    "header",
    [
        struct.pack(">HBB", 0, 8, 3) + b"\xff" * 12,
        struct.pack(">HBB", 0, 8, 4) + bytes(4) + b"\xff" * 12,  # nothing of 2^96
        struct.pack(">HBB", 0, 8, 255) + b"\0\0\0\1" * 255,
    ],
)
def test_idx_of_sizes_that_make_no_tensor(write, header):
    for content in (header, gzip.compress(header)):
        with quick(), pytest.raises(ValueError, match="data: expected up to 16 dimensions"):
            read_idx(write(content, "data"))


def test_pictures_of_too_many_pixels_are_not_decoded(write, tmp_path):
    write(png(13000, 13000, rows=b"\0" + bytes(100)), "in/a/large.png")
    with quick(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"large\.png: .*13,000 x 13,000 pixels, more than PIL\.Image"):
            load(f"imagefolder:{tmp_path}/in")
        with pytest.raises(ValueError, match=r"got none that can be read: a.large\.png"):
            load(f"imagefolder:{tmp_path}/in", bad="skip")


@pytest.mark.parametrize("size", [0, -1, 2.5, (3,), (3, 0), (1, 2, 3), "3", True])
def test_the_size_of_pictures_is_checked_before_any_is_read(tmp_path, size):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match=r"size: expected \(height, width\) in pixels"):
        load(f"imagefolder:{tmp_path}", size=size)


def test_wide_tables_take_time_in_proportion(write):
    def seconds(columns):
        names = ",".join(f"c{i}" for i in range(columns))
        path = write(f"{names}\n" + (",".join("1" for _ in range(columns)) + "\n") * 2)
        begin = time.process_time()
        data = load_csv(path, target=[f"c{i}" for i in range(0, columns, 2)])
        assert data.x.shape == (2, columns // 2)
        return time.process_time() - begin

    seconds(100)
    few, many = (min(seconds(columns) for _ in range(4)) for columns in (2000, 40_000))
    assert many < 60 * few
    with pytest.raises(ValueError, match=r"no column 'zz'.* The columns are c0, c1, .*, c19 and 39980 more"):
        load_csv(write(",".join(f"c{i}" for i in range(40_000)) + "\n" + "1," * 39_999 + "1\n"), target="zz")


# ---- doors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.16.0", "3.6.0"])
def test_versions_of_datasets_that_run_scripts_are_refused(monkeypatch, version):
    def load_dataset(*_):
        raise AssertionError("a script could run here")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "__version__", version)
    with pytest.raises(ImportError, match=f"datasets from version 4 on, got {version}: older ones run a"):
        load("hf:some/name")
    with pytest.raises(
        ImportError, match=r"load_pairs\('hf:...'\) needs the package datasets from version 4"
    ):
        load_pairs("hf:some/name", "en", "fr")


def test_a_script_among_the_data_is_not_run(tmp_path):
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(ValueError, match="evil: cannot be loaded"):
        load(f"hf:{folder}")
    assert not (tmp_path / "ran").exists()
