"""Images that are read when they are asked for, from folders and datasets, also by other processes."""

import os
import signal
import sys
from subprocess import PIPE, Popen

import pytest
import torch
from ds_core.data import DataLoader, HuggingFaceImages, ImageFolder, load
from ds_core.data.read_image import read_image
from PIL import Image

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0)}


@pytest.fixture
def folder(tmp_path):
    """Two classes of five images each, of different sizes; image i has a blue of 10 i."""
    for name, (red, green, _) in COLOURS.items():
        (tmp_path / "all" / name).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (4 + i, 3), (red, green, 10 * i)).save(tmp_path / "all" / name / f"{i}.png")
    (tmp_path / "all" / "red" / "notes.txt").write_text("no image")
    return tmp_path / "all"


def brightened(images, labels, generator):
    return images.float() + torch.rand(len(images), 1, 1, 1, generator=generator), labels


def test_a_folder_is_a_dataset(folder):
    images = ImageFolder(folder, size=(2, 6))
    assert (len(images), images.class_names, images.others) == (10, ["green", "red"], 1)
    pixels, label = images[7]
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, 2, 6)
    assert label == 1
    assert pixels[:, 0, 0].tolist() == [255, 0, 20]
    whole = load(f"imagefolder:{folder}", size=(2, 6))
    (x, y), *_ = DataLoader(images, batch_size=10)
    assert torch.equal(x.float() / 255, whole.x)
    assert torch.equal(y, whole.y)
    assert ImageFolder(folder, mode="L")[0][0].shape == (1, 3, 4)


def test_other_processes_prepare_the_same_batches(folder):
    options = {"batch_size": 3, "shuffle": True, "seed": 4, "transform": brightened}
    images = ImageFolder(folder, size=4)
    alone, helped = DataLoader(images, **options), DataLoader(images, workers=2, **options)
    try:
        for _ in range(2):
            for ours, theirs in zip(alone, helped, strict=True):
                assert all(map(torch.equal, ours, theirs))
        iterator = iter(helped)
        next(iterator)
        position = helped.state_dict()
        expected = next(iterator)
        iterator.close()
        again = DataLoader(images, workers=1, **options)
        again.load_state_dict(position)
        assert torch.equal(next(iter(again))[0], expected[0])
        again.close()
        (folder / "green" / "3.png").write_bytes(b"junk")
        with pytest.raises(ValueError, match=r"3\.png: cannot be read as an image"):
            list(helped)  # what goes wrong over there is said here
    finally:
        helped.close()
    with pytest.raises(ValueError, match="workers"):
        DataLoader(images, workers=-1)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs groups of processes")
def test_other_processes_leave_ctrl_c_to_the_first(folder, tmp_path):
    script = tmp_path / "interrupted.py"  # what starts in another process is imported there
    script.write_text(
        f"""
import time
from ds_core.data import DataLoader, ImageFolder

if __name__ == "__main__":
    batches = iter(DataLoader(ImageFolder({str(folder)!r}, size=4), batch_size=1, workers=2, prefetch=2))
    next(batches)
    try:
        print("begun", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print(sum(1 for _ in batches), flush=True)
"""
    )
    child = Popen([sys.executable, script], stdout=PIPE, stderr=PIPE, text=True, start_new_session=True)
    assert child.stdout.readline() == "begun\n"
    os.killpg(child.pid, signal.SIGINT)  # a terminal tells all processes
    assert child.communicate(timeout=60) == ("9\n", "")


def test_a_file_that_lies_elsewhere(folder, tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    (folder / "red" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match=r"link\.png: leads out of the folder"):
        ImageFolder(folder)
    with pytest.raises(ValueError, match=r"link\.png: leads out of the folder"):
        load(f"imagefolder:{folder}", size=2)
    (folder / "red" / "link.png").unlink()
    (folder / "red" / "link.png").symlink_to(folder / "red" / "0.png")  # within it, it may
    assert len(ImageFolder(folder)) == 11


def test_a_dataset_is_read_row_by_row(tmp_path):
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features(
        {"image": datasets.Image(), "kind": datasets.ClassLabel(names=["dark", "light"])}
    )
    pictures = [Image.new("L", (3, 2), 60 * i) for i in range(4)]
    rows = {"image": pictures, "kind": [0, 0, 1, 1]}
    datasets.Dataset.from_dict(rows, features=kinds).save_to_disk(tmp_path / "shades")
    images = HuggingFaceImages(str(tmp_path / "shades"), size=2, mode="L")
    assert (len(images), images.class_names, images.labels) == (4, ["dark", "light"], [0, 0, 1, 1])
    assert torch.equal(images[3][0], torch.full((1, 2, 2), 180, dtype=torch.uint8))
    (x, y), *_ = DataLoader(images, batch_size=4)
    assert x.shape == (4, 1, 2, 2)
    assert y.tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="no column 'label'; the columns are image, kind"):
        HuggingFaceImages(str(tmp_path / "shades"), label="label")
    texts = datasets.Dataset.from_dict({"text": ["a"], "kind": [0]})
    texts.save_to_disk(tmp_path / "texts")
    with pytest.raises(ValueError, match="one column that can be the image, got none"):
        HuggingFaceImages(str(tmp_path / "texts"))
    gaps = datasets.Dataset.from_dict({"image": pictures[:2], "kind": [0, -1]}, features=kinds)
    gaps.save_to_disk(tmp_path / "gaps")
    with pytest.raises(ValueError, match="labels from 0 on in column 'kind', got -1 in row 1"):
        HuggingFaceImages(str(tmp_path / "gaps"))


# ---- pictures of any kind ------------------------------------------------------------------------------


def test_other_modes_become_colours(tmp_path):
    Image.new("CMYK", (2, 2), (255, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)  # cyan
    cyan = read_image(tmp_path / "a.jpg", "a.jpg")[:, 0, 0]
    assert cyan[0] < 20
    assert cyan[1:].min() > 230
    for mode, colour in (("1", 1), ("L", 200), ("LA", (200, 255)), ("RGBA", (200, 200, 200, 255))):
        Image.new(mode, (2, 2), colour).save(tmp_path / f"{mode}.png")
        bright = 255 if mode == "1" else 200
        expected = torch.full((3, 2, 2), bright, dtype=torch.uint8)
        assert torch.equal(read_image(tmp_path / f"{mode}.png", mode), expected)


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tiff"])
def test_of_pictures_that_move_the_first_one(tmp_path, ending):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("white", "black", "red")]
    path = tmp_path / f"moves.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(path) as image:
        assert image.n_frames == 3
    assert torch.equal(read_image(path, "moves"), torch.full((3, 4, 4), 255, dtype=torch.uint8))


@pytest.mark.parametrize(("side", "said"), [(1200, "1,200 x 1,200 pixels, more than"), (3000, "bomb")])
def test_a_bomb_of_pixels(tmp_path, monkeypatch, side, said):
    path = tmp_path / "many.png"
    Image.new("1", (side, side)).save(path)
    assert path.stat().st_size < 3000
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(ValueError, match=f"many: cannot be read as an image .*{said}"):
        read_image(path, "many")
