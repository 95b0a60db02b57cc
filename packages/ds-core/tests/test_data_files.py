"""Data sets from every other kind of file, whole and broken."""

import gzip
import io
import math
import struct
import sys

import datasets
import numpy as np
import pytest
import sklearn.datasets
import sklearn.preprocessing
import torch
from ds_core.data import (
    load,
    read_idx,
)
from hypothesis import settings
from PIL import Image

varied = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module", autouse=True)
def no_network():
    """Datasets are read from local files only, and draw no progress bars."""
    datasets.disable_progress_bars()


@pytest.fixture
def csv(tmp_path):
    """Writes a CSV file and returns its path."""

    def write(content, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


# ---- Hugging Face -------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """Saves columns as a local dataset and returns its folder."""

    def save(columns, features=None, name="saved"):
        data = datasets.Dataset.from_dict(columns, features=datasets.Features(features) if features else None)
        data.save_to_disk(tmp_path / name)
        return tmp_path / name

    return save


def test_hf_table_with_class_labels(saved):
    folder = saved(
        {"a": [1, 2, 3], "b": [0.5, None, math.nan], "s": ["x", "y", "x"], "label": [1, 0, 1]},
        {
            "a": datasets.Value("int64"),
            "b": datasets.Value("float64"),
            "s": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
        },
    )
    data = load(f"hf:{folder}", target="label", missing="mean", text="one_hot")
    assert data.feature_names == ["a", "b", "s=x", "s=y"]
    assert data.x.tolist() == [[1, 0.5, 1, 0], [2, 0.5, 0, 1], [3, 0.5, 1, 0]]
    assert data.y.tolist() == [1, 0, 1]
    assert data.y.dtype == torch.int64
    assert data.class_names == ["cat", "dog"]
    assert "b: filled 2 missing values with the mean, 0.5" in data.notes
    assert load(f"hf:{folder}", target="label", columns=["a"], classes=False).y.dtype == torch.float32
    with pytest.raises(ValueError, match=r"missing \(b 2\), the first one of 'b' in row 1"):
        load(f"hf:{folder}", target="label", columns=["b"])
    with pytest.raises(
        ValueError, match=r"target: no column 'labels'; did you mean 'label'\? The columns are a, b"
    ):
        load(f"hf:{folder}", target="labels")
    with pytest.raises(ValueError, match="has no splits; leave split out"):
        load(f"hf:{folder}", split="train")


def test_hf_a_label_of_minus_one_is_missing(saved):
    label = datasets.ClassLabel(names=["cat", "dog"])
    folder = saved({"a": [1, 2], "label": [1, -1]}, {"a": datasets.Value("int64"), "label": label})
    with pytest.raises(ValueError, match=r"missing \(label 1\), the first one of 'label' in row 1"):
        load(f"hf:{folder}", target="label")
    assert load(f"hf:{folder}", target="label", missing="drop").y.tolist() == [1]


def test_hf_splits(tmp_path):
    part = datasets.Dataset.from_dict({"a": [1, 2], "y": [3, 4]})
    other = datasets.Dataset.from_dict({"a": [5], "y": [6]})
    datasets.DatasetDict(train=part, test=other).save_to_disk(tmp_path / "both")
    assert load(f"hf:{tmp_path}/both", target="y", split="test").x.tolist() == [[5]]
    for split in (None, "val"):
        with pytest.raises(ValueError, match=f"split to be one of train, test, got {split!r}"):
            load(f"hf:{tmp_path}/both", target="y", split=split)
    datasets.DatasetDict(train=part).save_to_disk(tmp_path / "one")
    assert load(f"hf:{tmp_path}/one", target="y").x.tolist() == [[1], [2]]


def test_hf_images_and_arrays(saved, tmp_path):
    pixels = [np.full((4, 6, 3), shade, dtype=np.uint8) for shade in (0, 51, 255)]
    columns = {"image": [Image.fromarray(p) for p in pixels], "y": [0, 1, 0], "v": [[1.0, 2.0]] * 3}
    kinds = {
        "image": datasets.Image(),
        "y": datasets.ClassLabel(names=["dark", "light"]),
        "v": datasets.Sequence(datasets.Value("float32")),
    }
    folder = saved(columns, kinds)
    data = load(f"hf:{folder}", columns="image", target="y")
    assert data.x.shape == (3, 3, 4, 6)
    torch.testing.assert_close(data.x.amax((1, 2, 3)), torch.tensor([0, 0.2, 1]))
    assert data.class_names == ["dark", "light"]
    small = load(f"hf:{folder}", columns="image", target="y", size=(2, 3), mode="L")
    assert small.x.shape == (3, 1, 2, 3)
    assert load(f"hf:{folder}", columns=["v"], target="y").x.tolist() == [[1, 2]] * 3
    with pytest.raises(ValueError, match=r"'image' holds images or arrays, .* pass columns=\['image'\]"):
        load(f"hf:{folder}", target="y")
    with pytest.raises(ValueError, match="not made up: pass missing='drop'"):
        load(f"hf:{folder}", columns="image", missing="mean")

    ragged = saved({"v": [[1.0], [1.0, 2.0]]}, name="ragged")
    with pytest.raises(ValueError, match="arrays of numbers of one shape in column 'v'"):
        load(f"hf:{ragged}")
    uneven = saved(
        {"image": [Image.new("L", (2, 2)), Image.new("L", (3, 2))]},
        {"image": datasets.Image()},
        name="uneven",
    )
    with pytest.raises(
        ValueError, match=r"row 1: expected an image like the first one, \(3, 2, 2\), got \(3, 2, 3\)"
    ):
        load(f"hf:{uneven}")
    broken = saved({"image": [{"bytes": b"junk", "path": None}]}, {"image": datasets.Image()}, name="broken")
    with pytest.raises(ValueError, match=r"row 0: cannot be read as an image .* pass bad='skip'"):
        load(f"hf:{broken}")
    with pytest.raises(ValueError, match="expected images, got only rows whose image cannot be read: 0"):
        load(f"hf:{broken}", bad="skip")
    gap = saved({"image": [columns["image"][0], None]}, {"image": datasets.Image()}, name="gap")
    with pytest.raises(ValueError, match=r"missing \(image 1\), the first one of 'image' in row 1"):
        load(f"hf:{gap}")
    assert load(f"hf:{gap}", missing="drop").x.shape == (1, 3, 4, 6)


def test_hf_bad_images_are_skipped_if_asked(saved):
    def picture(shade, mode="RGB"):
        file = io.BytesIO()
        Image.new(mode, (2, 2), shade).save(file, "PNG")
        return file.getvalue()

    cut_off = picture((9, 9, 9))[:50]
    contents = [picture((51, 51, 51)), b"no picture", cut_off, picture(7, "I;16"), picture((255,) * 3), None]
    folder = saved(
        {"image": [c and {"bytes": c, "path": None} for c in contents], "y": [0, 1, 2, 3, 4, 5]},
        {"image": datasets.Image(), "y": datasets.Value("int64")},
    )
    with pytest.raises(ValueError, match=r"row 1: cannot be read as an image .* pass bad='skip'"):
        load(f"hf:{folder}", columns="image", target="y", missing="drop")
    data = load(f"hf:{folder}", columns="image", target="y", missing="drop", bad="skip")
    assert data.y.tolist() == [0, 4]
    torch.testing.assert_close(data.x.amax((1, 2, 3)), torch.tensor([0.2, 1]))
    assert "skipped 3 rows whose image cannot be read: 1, 2, 3" in data.notes
    with pytest.raises(ValueError, match=r"missing .* in row 5"):  # a gap is no bad image, and keeps its row
        load(f"hf:{folder}", columns="image", target="y", bad="skip")
    with pytest.raises(ValueError, match="bad: expected 'error' or 'skip', got 'ignore'"):
        load(f"hf:{folder}", bad="ignore")


def test_hf_that_cannot_be_loaded(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ValueError, match="hf:some/name: cannot be loaded: no network"):
        load("hf:some/name")


def test_hf_by_name_and_configuration(monkeypatch):
    asked = []

    def load_dataset(*arguments, data_files=None):
        asked.append((*arguments, data_files))
        return datasets.DatasetDict(train=datasets.Dataset.from_dict({"a": [1], "y": [2]}))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load("hf:org/name", config="small", target="y", split="train").y.tolist() == [2]
    assert asked == [("org/name", "small", None)]


# ---- image folders ------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    """A folder of two classes with images of one size, in different modes."""
    folder = tmp_path / "pictures"
    for name in ("dog", "cat"):
        (folder / name / "more").mkdir(parents=True)
    Image.new("RGB", (6, 4), (255, 0, 0)).save(folder / "cat" / "b.png")
    Image.new("L", (6, 4), 51).save(folder / "cat" / "a.PNG")
    Image.new("RGBA", (6, 4), (0, 0, 255, 255)).save(folder / "dog" / "more" / "c.png")
    Image.new("P", (6, 4)).save(folder / "dog" / "d.gif")
    return folder


def test_image_folder(pictures):
    (pictures / "cat" / "notes.txt").write_text("no image")
    (pictures / "cat" / ".hidden.png").write_text("not looked at")
    (pictures / ".cache").mkdir()
    data = load(f"imagefolder:{pictures}")
    assert data.x.shape == (4, 3, 4, 6)
    assert data.x.dtype == torch.float32
    assert data.class_names == ["cat", "dog"]
    assert data.y.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(data.x[0], torch.full((3, 4, 6), 0.2))  # a.PNG, grey
    assert data.x[1, :, 0, 0].tolist() == [1, 0, 0]  # b.png, red
    assert data.notes == ["left out 1 files that are not images"]
    grey = load(f"imagefolder:{pictures}", mode="L", size=3)
    assert grey.x.shape == (4, 1, 3, 3)


def test_image_pixels_and_camera_rotation(tmp_path):
    (tmp_path / "all" / "one").mkdir(parents=True)
    image = Image.new("L", (3, 2))
    image.putdata(range(0, 60, 10))
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held on its side: show it turned right
    image.save(tmp_path / "all" / "one" / "a.png", exif=turned)
    data = load(f"imagefolder:{tmp_path}/all", mode="L")
    upright = torch.tensor([[0, 10, 20], [30, 40, 50]]).rot90(-1)
    torch.testing.assert_close(data.x[0, 0] * 255, upright.float())


def test_image_folder_bad_images(pictures):
    (pictures / "dog" / "broken.jpg").write_bytes(b"junk")
    whole = (pictures / "cat" / "b.png").read_bytes()
    (pictures / "cat" / "short.png").write_bytes(whole[:40])
    Image.new("I;16", (6, 4)).save(pictures / "dog" / "deep.png")
    with pytest.raises(ValueError, match=r"short\.png: cannot be read as an image .* pass bad='skip'"):
        load(f"imagefolder:{pictures}")
    data = load(f"imagefolder:{pictures}", bad="skip")
    assert len(data) == 4
    (note,) = data.notes
    assert note.startswith("skipped 3 images that cannot be read")
    for name in ("short.png", "broken.jpg", "deep.png"):
        assert name in note
    (pictures / "cat" / "short.png").unlink()
    (pictures / "dog" / "broken.jpg").write_text("a text that calls itself a picture")
    with pytest.raises(ValueError, match=r"broken\.jpg: cannot be read as an image"):
        load(f"imagefolder:{pictures}")
    (pictures / "dog" / "broken.jpg").unlink()
    with pytest.raises(ValueError, match=r"deep\.png: .*more than 8 bits a channel \(mode I;16"):
        load(f"imagefolder:{pictures}")


def test_image_folder_of_bad_images_only(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "a" / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"got none that can be read: a.empty\.png, a.text\.png"):
        load(f"imagefolder:{tmp_path}", bad="skip")


def test_images_cut_off_anywhere_are_bad_not_black(tmp_path):
    (tmp_path / "a").mkdir()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (16, 16, 3), generator=generator, dtype=torch.uint8).numpy()
    for ending in ("png", "jpg", "bmp", "gif"):
        path = tmp_path / "a" / f"picture.{ending}"
        Image.fromarray(noise).save(path)
        whole = path.read_bytes()
        assert len(load(f"imagefolder:{tmp_path}")) == 1
        for share in (0.1, 0.5, 0.8):
            path.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(ValueError, match=rf"picture\.{ending}: cannot be read as an image"):
                load(f"imagefolder:{tmp_path}")
        path.unlink()


def test_what_is_transparent_shows_white(tmp_path):
    (tmp_path / "a").mkdir()
    half = Image.new("RGBA", (2, 1), (200, 0, 0, 0))  # red, under nothing one could see
    half.putpixel((1, 0), (0, 0, 255, 255))
    half.save(tmp_path / "a" / "1.png")
    half.convert("LA").save(tmp_path / "a" / "2.png")
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([200, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "a" / "3.png", transparency=0)
    images = load(f"imagefolder:{tmp_path}").x
    assert torch.equal(images[:, :, 0, 0], torch.ones(3, 3))
    assert images[0, :, 0, 1].tolist() == images[2, :, 0, 1].tolist() == [0, 0, 1]
    assert load(f"imagefolder:{tmp_path}", mode="L").x[:, 0, 0, 0].tolist() == [1, 1, 1]


def test_image_folder_refuses(pictures, tmp_path):
    Image.new("RGB", (5, 4)).save(pictures / "dog" / "z.png")
    with pytest.raises(
        ValueError, match=r"z\.png: expected an image of 4 x 6 pixels like the first .* got 4 x 5"
    ):
        load(f"imagefolder:{pictures}")
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        load(f"imagefolder:{tmp_path}/nowhere")
    with pytest.raises(FileNotFoundError, match="is a file, not a folder"):
        load(f"imagefolder:{pictures}/cat/b.png")
    with pytest.raises(ValueError, match="one subfolder of images for each class, got none"):
        load(f"imagefolder:{pictures}/cat/more")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"expected images \(.*\.png.*\) in the subfolders, got none"):
        load(f"imagefolder:{tmp_path}/empty")
    for options, words in [({"mode": "CMYK"}, "mode: expected"), ({"bad": "ignore"}, "bad: expected")]:
        with pytest.raises(ValueError, match=words):
            load(f"imagefolder:{pictures}", **options)


def test_image_folder_class_without_images_keeps_its_number(pictures):
    (pictures / "bird").mkdir()
    data = load(f"imagefolder:{pictures}")
    assert data.class_names == ["bird", "cat", "dog"]
    assert data.y.tolist() == [1, 1, 2, 2]
    assert data.notes == ["classes without images: bird"]


# ---- scikit-learn -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine"])
def test_sklearn_bundled(name):
    theirs = getattr(sklearn.datasets, f"load_{name}")()
    data = load(f"sklearn:{name}")
    np.testing.assert_array_equal(data.x, theirs.data.astype(np.float32))
    np.testing.assert_array_equal(data.y, theirs.target.astype(data.y.numpy().dtype))
    assert data.feature_names == [str(name) for name in theirs.feature_names]
    if name in ("diabetes", "linnerud"):
        assert data.y.dtype == torch.float32
        assert data.class_names is None
    else:
        assert data.y.dtype == torch.int64
        assert data.class_names == [str(name) for name in theirs.target_names]


def test_sklearn_columns_and_refusals():
    data = load("sklearn:wine", columns=["hue", "alcohol"])
    whole = load("sklearn:wine")
    assert torch.equal(data.x[:, 1], whole.x[:, 0])
    assert data.feature_names == ["hue", "alcohol"]
    with pytest.raises(ValueError, match="no column 'hew'; did you mean 'hue'"):
        load("sklearn:wine", columns=["hew"])
    with pytest.raises(ValueError, match=r"one of breast_cancer, .*, got 'irys'; did you mean 'iris'\?"):
        load("sklearn:irys")


# ---- IDX ----------------------------------------------------------------------------------------------


def idx(array, code=0x08):
    """Writes an array in IDX format."""
    header = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10


@pytest.fixture
def mnist(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for prefix, count in (("train", 2), ("t10k", 1)):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:count])))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.array([7, 1], dtype=np.uint8)[:count]))
    return folder


def test_idx_folder_and_file(mnist):
    train = load(f"idx:{mnist}")
    np.testing.assert_allclose(train.x[:, 0], IMAGES / np.float32(255))
    assert train.x.shape == (2, 1, 3, 4)
    assert train.y.tolist() == [7, 1]
    assert train.y.dtype == torch.int64
    assert load(f"idx:{mnist}", split="test").y.tolist() == [7]
    by_file = load(f"idx:{mnist}/t10k-images-idx3-ubyte.gz")
    assert by_file.y.tolist() == [7]
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    assert load(f"idx:{mnist}/t10k-images-idx3-ubyte.gz").y is None
    named = load(f"idx:{mnist}", class_names=[str(i) for i in range(8)])
    assert named.class_names[7] == "7"


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, "u1"), (9, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_idx_types(tmp_path, code, dtype):
    array = np.array([[1, 2, 3], [-4, 100, 0]]).astype(dtype)
    (tmp_path / "numbers").write_bytes(idx(array, code))
    read = read_idx(tmp_path / "numbers")
    np.testing.assert_array_equal(read, array)
    assert read.numpy().dtype == np.dtype(dtype)


def test_idx_broken_files(tmp_path):
    whole = idx(IMAGES)
    for content, words in [
        (whole[:-1], "data: cut off: expected 24 bytes for 2 x 3 x 4 numbers, got 23"),
        (whole + b"x", "data: too long: expected 24 bytes .* got 25"),
        (whole[:9], "data: cut off within its header"),
        (b"", "data: not an IDX file"),
        (b"\x89PNG", "data: not an IDX file"),
        (b"\0\0\x07\x01" + whole[4:], "data: not an IDX file"),
        (gzip.compress(whole)[:-12], "data: cut off or damaged"),
        (gzip.compress(whole)[:20] + b"junkjunkjunk", "data: cut off or damaged"),
    ]:
        (tmp_path / "data").write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_idx(tmp_path / "data")
    with pytest.raises(FileNotFoundError, match="nowhere: no such file"):
        read_idx(tmp_path / "nowhere")
    (tmp_path / "data").write_bytes(idx(IMAGES[:0]))
    assert read_idx(tmp_path / "data").shape == (0, 3, 4)


def test_idx_refuses(mnist, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected train-images-idx3-ubyte or .*gz in it, got mnist"):
        load(f"idx:{tmp_path}")
    with pytest.raises(ValueError, match="expected split 'train' or 'test', got 'val'"):
        load(f"idx:{mnist}", split="val")
    with pytest.raises(ValueError, match="split is for a folder"):
        load(f"idx:{mnist}/train-images-idx3-ubyte.gz", split="test")
    with pytest.raises(
        ValueError, match="labels-idx1-ubyte: expected images, N x height x width bytes, got 2"
    ):
        load(f"idx:{mnist}/train-labels-idx1-ubyte")
    with pytest.raises(ValueError, match="expected labels from 0 to 4, got 7"):
        load(f"idx:{mnist}", class_names=list("abcde"))
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, dtype=np.uint8)))
    with pytest.raises(ValueError, match="expected 2 labels, one for each image, got 3"):
        load(f"idx:{mnist}")
    (mnist / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="expected train-labels-idx1-ubyte"):
        load(f"idx:{mnist}")


# ---- load ---------------------------------------------------------------------------------------------


def test_load_by_kind(csv, tmp_path):
    path = csv("a\n1\n")
    for spec, words in [
        ("cvs:x", r"KIND one of csv, hf, idx, imagefolder, sklearn, got 'cvs:x'; did you mean 'csv:x'\?"),
        ("zip:x", "KIND one of csv, hf, idx, imagefolder, sklearn, got 'zip:x'$"),
        ("csv:", "got 'csv:'"),
        ("iris", "got 'iris'"),
        (str(path), "for a file write 'csv:.*data.csv'"),
        (str(tmp_path), "for a folder write 'imagefolder:"),
    ]:
        with pytest.raises(ValueError, match=words):
            load(spec)
    with pytest.raises(TypeError, match=r"load\('sklearn:...'\): no option 'missing'; it has columns"):
        load("sklearn:iris", missing="drop")
    with pytest.raises(TypeError, match="no option 'path'"):
        load(f"csv:{path}", path="other.csv")


@pytest.mark.parametrize(
    ("package", "module", "make"),
    [
        ("datasets", "datasets", lambda folder: f"hf:{folder}"),
        ("pillow", "PIL.Image", lambda folder: f"imagefolder:{folder}"),
        ("scikit-learn", "sklearn.datasets", lambda folder: "sklearn:iris"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path, package, module, make):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs the package {package}, of the extra ds-core\[data\]"):
        load(make(tmp_path))
