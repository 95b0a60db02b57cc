"""Pictures as they come, before ViT and CLIP: every mode, sizes, damage."""

import io
from functools import partial

import pytest
import torch
from ds_core.checks import Partial
from ds_core.text import WordTokenizer
from ds_zoo import MiniViTConfig, MiniViTForImageClassification
from ds_zoo.clip import MiniCLIP, MiniCLIPConfig, MiniCLIPVisionConfig, MiniCLIPVisionModelWithProjection
from ds_zoo.clip import train as clip
from ds_zoo.data.processor import ImageProcessor
from ds_zoo.runs import pictures_in
from ds_zoo.vit.train import Loaded, predict
from PIL import Image

RED = (255, 0, 0)
PROCESSOR = ImageProcessor((8, 8), None, (0.5,) * 3, (0.5,) * 3)


def palette():
    image = Image.new("P", (10, 6), 1)
    image.putpalette([0, 0, 0, *RED])
    return image


def moving(path):
    first, *more = (Image.new("RGB", (10, 6), colour) for colour in (RED, (0, 0, 255)))
    first.save(path, save_all=True, append_images=more)


WAYS = {
    "palette.png": lambda path: palette().save(path),
    "cmyk.tiff": lambda path: Image.new("CMYK", (10, 6), (0, 255, 255, 0)).save(path),
    "alpha.png": lambda path: Image.new("RGBA", (10, 6), (*RED, 255)).save(path),
    "moving.gif": moving,
    "large.png": lambda path: Image.new("RGB", (301, 7), RED).save(path),
    "one.png": lambda path: Image.new("RGB", (1, 1), RED).save(path),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_picture_of_any_mode_and_size_is_read(tmp_path, name):
    WAYS[name](tmp_path / name)
    pixels = PROCESSOR([PROCESSOR.read(tmp_path / name)])
    assert pixels.shape == (1, 3, 8, 8)
    assert torch.allclose(pixels[0].mean((1, 2)), torch.tensor([1.0, -1, -1]), atol=0.02)


def test_grey_and_black_and_white(tmp_path):
    Image.new("L", (9, 9), 51).save(tmp_path / "grey.png")
    Image.new("1", (9, 9), 1).save(tmp_path / "white.png")
    assert PROCESSOR([PROCESSOR.read(tmp_path / "grey.png")]).unique().tolist() == pytest.approx([-0.6])
    grey = ImageProcessor((4, 4), None, (0.0,), (1.0,))
    assert grey([grey.read(tmp_path / "white.png")]).tolist() == torch.ones(1, 1, 4, 4).tolist()


def test_a_turned_camera(tmp_path):
    image = Image.new("RGB", (20, 10), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright: turn by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    pixels = PROCESSOR([PROCESSOR.read(tmp_path / "a.png")])[0, 0]
    assert pixels[:3].mean() > 0.9
    assert pixels[-3:].mean() < -0.9


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_damage_is_named(tmp_path, monkeypatch):
    config = MiniViTConfig(8, 1, 1, 8, 8, 4)
    loaded = Loaded(MiniViTForImageClassification(config), PROCESSOR, tmp_path)
    whole = io.BytesIO()
    noise = torch.randint(256, (64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    Image.fromarray(noise.numpy()).save(whole, "png")
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:2000])
    (tmp_path / "corrupt.png").write_bytes(whole.getvalue()[:1000] + bytes(40) + whole.getvalue()[1040:])
    (tmp_path / "words.png").write_text("no picture")
    Image.new("I;16", (9, 9)).save(tmp_path / "deep.png")
    Image.new("L", (1200, 1200)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    for name in ("cut", "corrupt", "words", "deep", "bomb"):
        with pytest.raises(ValueError, match=rf"{name}\.png: cannot be read as an image"):
            predict(loaded, [str(tmp_path / f"{name}.png")])
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="none: is a folder; expected an image file"):
        predict(loaded, [str(tmp_path / "none")])


def test_a_folder_stands_for_its_pictures(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.png", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), RED).save(tmp_path / name)
    (tmp_path / "a.txt").write_text("no picture")
    loaded = Loaded(MiniViTForImageClassification(MiniViTConfig(8, 1, 1, 8, 8, 4)), PROCESSOR, tmp_path)
    rows = predict(loaded, [str(tmp_path / "sub" / "c.png"), str(tmp_path)], top=1)
    assert [row["image"] for row in rows] == [
        str(tmp_path / name) for name in ("sub/c.png", "a.jpg", "b.PNG")
    ]
    assert pictures_in(["nowhere.png", ""]) == ["nowhere.png", ""]  # whoever reads them says so


@pytest.mark.parametrize("name", ["vit", "clip"])
def test_a_picture_that_the_model_cannot_take_costs_no_other(tmp_path, name):
    """The picture is in order, but of another size than the model's, and nobody resizes it."""
    as_it_is = ImageProcessor(None, None, (0.5,) * 3, (0.5,) * 3)
    if name == "vit":
        ask = partial(
            predict,
            Loaded(MiniViTForImageClassification(MiniViTConfig(8, 1, 1, 8, 8, 4)), as_it_is, tmp_path),
        )
    else:
        tokens = WordTokenizer.train(["red blue"])
        sizes = {"image_size": 8, "patch_size": 4, "width": 8, "layers": 1, "heads": 2}
        model = MiniCLIP(MiniCLIPConfig.of_size(tokens.vocab_size, **sizes, eos_token_id=tokens.eos_id))
        ask = partial(clip.predict, clip.Loaded(model, tokens, as_it_is, tmp_path), labels="red,blue")
    pictures = [str(tmp_path / f"{side}.png") for side in (9, 8, 10)]
    for side, picture in zip((9, 8, 10), pictures, strict=True):
        Image.new("RGB", (side, side), RED).save(picture)
    with pytest.raises(
        Partial, match=r"2 of 3 could not be answered\n.*9\.png: Mini.* expected images of 8 x 8"
    ) as told:
        ask(pictures)
    assert told.value.result == ask(pictures[1:2])
    with pytest.raises(ValueError, match=r"9\.png: Mini.*\n.*10\.png: Mini"):
        ask(pictures[::2])


@pytest.mark.parametrize(("terminal", "count"), [(True, 3), (True, 1), (False, 3)])
def test_a_terminal_shows_how_far_it_is_with_several(tmp_path, monkeypatch, capsys, terminal, count):
    monkeypatch.setattr("rich.console.Console.is_terminal", terminal)
    monkeypatch.setenv("TERM", "xterm")
    vit = MiniViTConfig(image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    loaded = Loaded(MiniViTForImageClassification(vit), PROCESSOR, tmp_path)
    Image.new("RGB", (8, 8), RED).save(tmp_path / "red.png")
    assert len(predict(loaded, [str(tmp_path / "red.png")] * count, top=1)) == count
    out, err = capsys.readouterr()
    assert out == ""
    assert ("Answering" in err and "100%" in err) if terminal and count > 1 else err == ""


def test_models_refuse_another_size():
    with pytest.raises(ValueError, match=r"images of 8 x 8 pixels, got \(1, 3, 9, 8\)"):
        MiniViTForImageClassification(MiniViTConfig(8, 1, 1, 8, 8, 4))(torch.zeros(1, 3, 9, 8))
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "image_size": 8}
    tower = MiniCLIPVisionModelWithProjection(MiniCLIPVisionConfig(**sizes, patch_size=4))
    with pytest.raises(ValueError, match="images of 8 x 8 pixels, got 9 x 8; resize them"):
        tower(torch.zeros(1, 3, 9, 8))
