"""Pictures from files and into files; whole folders of them are tested in ds-core."""

import numpy as np
import pytest
import torch
from ds_cnn.images import load_image, save_image
from ds_core.data import load
from PIL import Image


@pytest.fixture
def noise():
    return torch.randint(0, 256, (3, 5, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_load_image_gives_numbers_from_0_to_1(noise, tmp_path):
    Image.fromarray(noise.permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    assert image.dtype == torch.float32
    torch.testing.assert_close(image * 255, noise.float())
    assert load_image(tmp_path / "a.png", size=4).shape == (3, 4, 4)
    assert load_image(tmp_path / "a.png", size=(2, 6), mode="L").shape == (1, 2, 6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_load_image_of_every_mode(mode, tmp_path):
    path = tmp_path / ("a.tiff" if mode in ("CMYK", "YCbCr") else "a.png")
    Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode).save(path)
    for channels, wanted in ((3, "RGB"), (1, "L")):
        image = load_image(path, mode=wanted)
        torch.testing.assert_close(image, torch.ones(channels, 3, 4), atol=0.01, rtol=0)


def test_load_image_turns_as_the_camera_was_held(tmp_path):
    pixels = np.arange(0, 60, 10, dtype=np.uint8).reshape(2, 3)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=turned)
    upright = torch.as_tensor(pixels).rot90(-1).float()
    torch.testing.assert_close(load_image(tmp_path / "a.png", mode="L")[0] * 255, upright)


def test_load_image_names_what_is_wrong(noise, tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(FileNotFoundError, match=r"a\.png: no such file"):
        load_image(path)
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load_image(tmp_path)
    save_image(noise / 255, path)
    whole = path.read_bytes()
    deep = tmp_path / "deep.png"
    Image.new("I;16", (2, 2)).save(deep)
    for content, words in [
        (b"", "cannot be read as an image"),
        (b"a text that calls itself a picture", "cannot be read as an image"),
        (whole[:20], "cannot be read as an image"),
        (whole[: len(whole) // 2], "cannot be read as an image"),
        (deep.read_bytes(), "more than 8 bits a channel"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.png: .*{words}"):
            load_image(path)
    with pytest.raises(ValueError, match="mode: expected 'RGB' or 'L', got 'CMYK'"):
        load_image(path, mode="CMYK")


@pytest.mark.parametrize("channels", [1, 3])
def test_save_image_and_back(noise, channels, tmp_path):
    image = noise[:channels] / 255
    save_image(image, tmp_path / "new" / "a.png")
    back = load_image(tmp_path / "new" / "a.png", mode="L" if channels == 1 else "RGB")
    torch.testing.assert_close(back, image)
    save_image(4 * image - 1, tmp_path / "a.png")  # what is beyond 0 and 1 is cut off
    torch.testing.assert_close(
        load_image(tmp_path / "a.png", mode="L" if channels == 1 else "RGB"),
        (4 * image - 1).clamp(0, 1),
        atol=0.5 / 255 + 1e-6,
        rtol=0,
    )


def test_save_image_refuses(tmp_path):
    for words, error, image in [
        (r"an image \(3 or 1, height, width\), got shape \(2, 4, 4\)", ValueError, torch.zeros(2, 4, 4)),
        (r"got shape \(4, 4\)", ValueError, torch.zeros(4, 4)),
        (r"got shape \(3, 0, 4\)", ValueError, torch.zeros(3, 0, 4)),
        ("from 0 to 1, got NaN", ValueError, torch.full((1, 2, 2), torch.nan)),
        ("floating point numbers from 0 to 1, got torch.uint8", TypeError, torch.zeros(3, 4, 4).byte()),
        ("expected a tensor, got an array of float32", TypeError, torch.zeros(3, 4, 4).numpy()),
    ]:
        with pytest.raises(error, match=words):
            save_image(image, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.picture: expected a name that ends with \.bmp"):
        save_image(torch.zeros(3, 4, 4), tmp_path / "a.picture")


def test_saved_images_make_a_folder_of_classes(noise, tmp_path):
    for label, name in enumerate(["cat", "dog"]):
        save_image(torch.full((3, 4, 4), label / 2), tmp_path / name / "1.png")
        (tmp_path / name / "2.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"cat.2\.png: cannot be read as an image .* bad='skip'"):
        load(f"imagefolder:{tmp_path}")
    data = load(f"imagefolder:{tmp_path}", bad="skip")
    assert data.class_names == ["cat", "dog"]
    torch.testing.assert_close(data.x.mean((1, 2, 3)), torch.tensor([0, 0.5]), atol=0.01, rtol=0)
    (note,) = data.notes
    assert "cat/2.png" in note.replace("\\", "/")
    assert "dog/2.png" in note.replace("\\", "/")
