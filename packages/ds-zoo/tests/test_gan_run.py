"""Runs of games: from images to a folder, interrupted, resumed, measured and asked for pictures."""

import json
import warnings

import pytest
import torch
from ds_core import Callback
from ds_zoo.cli import command_line
from ds_zoo.gan import dcgan, train
from ds_zoo.gan.data import read_parts
from ds_zoo.gan.judge import Judge, load_judge, new_classifier, train_judge
from ds_zoo.gan.pictures import grid
from ds_zoo.gan.watch import Watch
from PIL import Image
from typer.testing import CliRunner

SMALL = {"steps": 8, "validate_every": 3, "batch_size": 16, "latent": 4, "width": 4, "judge": False}


def command(*arguments):
    return CliRunner().invoke(
        command_line(), [str(a) for a in arguments], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )


def folder_of_squares(folder, count=12, size=8):
    """Pictures of two classes: a light square on the left or on the right."""
    for name, left in (("left", 0), ("right", size // 2)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture = Image.new("L", (size, size), number)
            picture.paste(220, (left, 2, left + size // 2, size - 2))
            picture.save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run of a minute's worth of nothing: enough to see that all is there."""
    out = tmp_path_factory.mktemp("gan") / "run"
    recipe = dcgan.Recipe(**SMALL | {"judge": True, "steps": 20, "validate_every": 10})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # so young a generator makes no class
        return dcgan.train(recipe, out, progress=False)


def test_a_run_leaves_weights_pictures_an_animation_and_numbers(digits):
    names = {path.name for path in digits.out.iterdir()}
    assert names == {
        *("checkpoint.safetensors", "classifier.safetensors", "config.json", "log.csv", "loss.png"),
        *("model.safetensors", "recipe.toml", "samples", "training.gif"),
    }
    pictures = sorted(path.name for path in (digits.out / "samples").iterdir())
    assert pictures == ["step-0000010.png", "step-0000020.png"]
    with Image.open(digits.out / "training.gif") as animation:
        assert animation.n_frames == 2
    assert json.loads((digits.out / "config.json").read_text())["model_type"] == "dcgan"
    assert list(digits.history.validation) == ["step", "epoch", "variety", "frechet", "sure", "least"]
    assert digits.history.validation["step"] == [10, 20]


def test_what_a_run_is_asked(digits, tmp_path):
    loaded = dcgan.load(digits.out)
    assert torch.equal(train.samples(loaded, 4, seed=3), train.samples(dcgan.load(digits.out), 4, seed=3))
    dcgan.generate(loaded, out=tmp_path / "grid.png", count=6, columns=3)
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (3 * 58 + 2, 2 * 58 + 2)
    dcgan.generate(loaded, out=tmp_path / "walk.png", interpolate=5, count=10)
    with Image.open(tmp_path / "walk.png") as picture:
        assert picture.size == (5 * 58 + 2, 2 * 58 + 2)
    found = dcgan.evaluate(loaded, count=50)
    assert found["accuracy of the classifier"] > 0.9
    assert found["frechet of real images"] < found["frechet of noise"]
    assert sum(value for name, value in found.items() if name.startswith("share")) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"class: expected one of 0, 1, .*got 'shoe'"):
        dcgan.generate(loaded, out=tmp_path / "a.png", class_="shoe")
    with pytest.raises(ValueError, match="at least 1 image"):
        dcgan.generate(loaded, out=tmp_path / "a.png", count=0)
    with pytest.raises(ValueError, match=r"ends with \.png"):
        dcgan.generate(loaded, out=tmp_path / "a.txt")
    with pytest.raises(ValueError, match="--columns or --interpolate, whose 3 steps are a row, got both"):
        dcgan.generate(loaded, out=tmp_path / "a.png", interpolate=3, columns=2)
    with pytest.raises(ValueError, match="not told the classes"):
        dcgan.generate(loaded, out=tmp_path / "a.png", class_="1", interpolate=3)
    dcgan.save(loaded, tmp_path / "alone")
    with pytest.raises(
        ValueError, match=r"has no recipe\.toml, so nobody knows the images from which a class"
    ):
        dcgan.generate(dcgan.load(tmp_path / "alone"), out=tmp_path / "a.png", class_="1")
    assert not (tmp_path / "a.png").exists()


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("module", [train, dcgan])
def test_a_run_interrupted_and_resumed_has_the_same_bits(module, tmp_path, capsys):
    changed = (
        {"penalty": 0.5, "norm": "none", "penalty_at": "real"} if module is dcgan else {"by_class": True}
    )
    recipe = module.Recipe(**SMALL | changed)
    module.train(recipe, tmp_path / "whole", progress=False)
    module.train(recipe, tmp_path / "half", progress=False, callbacks=[StopAt(4)])
    assert "Interrupted after step 4" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match="--resume"):
        module.train(recipe, tmp_path / "half", progress=False)
    module.train(recipe, tmp_path / "half", progress=False, resume=True)
    files = [file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole").rglob("*.*")]
    assert len(files) == 10
    assert sorted(files) == sorted(f.relative_to(tmp_path / "half") for f in (tmp_path / "half").rglob("*.*"))
    for name in files:
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_the_command_line_trains_and_asks(tmp_path):
    images, out = folder_of_squares(tmp_path / "images", count=24), tmp_path / "run"
    words = [
        word
        for name, value in SMALL.items()
        if name != "judge"
        for word in (f"--{name.replace('_', '-')}", value)
    ]
    options = ["--data", f"imagefolder:{images}", "--channels", 1, "--by-class", "--no-judge"]
    result = command("train", "gan", "--out", out, *options, *words, "--batch-size", 8)
    assert result.exit_code == 0, result.output
    assert "Distance between samples" in result.output
    assert "ds-zoo generate" in result.output
    result = command("generate", out, "--out", tmp_path / "grid.png", "--class", "left", "--count", 4)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "grid.png").exists()
    result = command("generate", out, "--out", tmp_path / "no.png", "--class", "Left")
    assert result.exit_code == 2
    assert "expected one of left, right, got 'Left'; did you mean left?" in result.output
    result = command("eval", out, "--count", 20)
    assert result.exit_code == 0, result.output
    assert "share of right" in result.output
    assert (out / "classifier.safetensors").exists()
    next(images.rglob("*.png")).unlink()
    result = command("eval", out, "--count", 20)
    assert result.exit_code == 2
    assert "its data have changed since it was trained" in " ".join(result.output.split())
    assert command("export", out, tmp_path / "other").exit_code == 0
    assert command("import", tmp_path / "other", "--out", tmp_path / "third").exit_code == 0


def test_a_rate_of_zero_is_one(tmp_path):
    still = train.train(train.Recipe(**SMALL | {"lr_discriminator": 0.0}), tmp_path / "run", progress=False)
    initial = train.new_model(train.Recipe(**SMALL), train.parts_of(train.Recipe())[0])
    for name, weight in still.model.discriminator.state_dict().items():
        assert torch.equal(weight, initial.discriminator.state_dict()[name]), name


def test_a_classifier_that_a_run_has_is_not_written_again(digits):
    path = digits.out / "classifier.safetensors"
    written = path.stat().st_mtime_ns
    dcgan.evaluate(dcgan.load(digits.out), count=20)
    assert path.stat().st_mtime_ns == written


def test_other_images_are_told_from_those_that_the_generator_makes(digits, tmp_path):
    loaded, squares = dcgan.load(digits.out), folder_of_squares(tmp_path / "squares", size=10)
    with pytest.raises(ValueError, match=r"squares: expected images of \(1, 8, 8\), .* got \(3, 10, 10\)"):
        dcgan.evaluate(loaded, data=f"imagefolder:{squares}")
    few = folder_of_squares(tmp_path / "few")
    grey = train.Loaded(loaded.model, tmp_path)  # of no run, so that its size is that of the images
    with pytest.raises(ValueError, match=r"expected more than 3 images to measure samples by, .* got 3"):
        dcgan.evaluate(grey, data=f"imagefolder:{few}")


def test_interrupted_before_the_first_step_there_is_nothing_to_go_on_with(tmp_path, monkeypatch):
    def interrupt(watch, trainer):
        raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "on_fit_start", interrupt)
    result = command("train", "gan", "--no-judge", "--out", tmp_path / "run")
    assert "Interrupted after step 0. No checkpoint was written." in result.output
    assert "To go on" not in result.output
    assert not (tmp_path / "run").exists()


# ---- what is measured, and what is said of it ------------------------------------------------------------


def test_a_classifier_is_kept_and_read_again(tmp_path):
    learned, test = read_parts("sklearn:digits")
    judge = train_judge(learned, test)
    assert judge.accuracy > 0.95
    judge.save(tmp_path / "classifier.safetensors")
    again = load_judge(tmp_path / "classifier.safetensors", test)
    assert torch.equal(again.real, judge.real)
    _, others = read_parts("sklearn:digits", names="a,b,c,d,e,f,g,h,i,j")
    assert load_judge(tmp_path / "classifier.safetensors", others) is None
    images = torch.rand(20, 1, 8, 8) * 2 - 1
    assert judge.measure(images)["frechet"] > judge.measure(_centred(learned))["frechet"]
    with pytest.raises(ValueError, match="at least one image"):
        judge.look(images[:0])
    with pytest.raises(KeyboardInterrupt):
        train_judge(learned, test, callbacks=[StopAt(2)])


def _centred(images):
    return images.samples[0][:300].float() / 127.5 - 1


class Ended:
    """What a watch asks of a trainer."""

    def __init__(self, told):
        self.step, self.history = 100, {"told": [told] * 200}


@pytest.mark.parametrize(
    ("told", "variety", "least", "said"),
    [
        (0.99, 1.0, 0.1, "the discriminator has won: it tells 99 %"),
        (0.8, 0.2, 0.1, "modes are lost: samples resemble one another"),
        (0.8, 1.0, 0.001, "modes are lost: a class is hardly made"),
        (0.8, 1.0, 0.1, None),
    ],
)
def test_a_game_that_goes_wrong_is_warned_of_once(told, variety, least, said, tmp_path):
    recipe = train.Recipe(**SMALL)
    learned, test = train.parts_of(recipe)
    model = train.new_model(recipe, learned)
    game = train.Game(model.generator, model.discriminator, train.AdversarialLoss())
    network = new_classifier(test.shape(), 10, 0)
    judge = Judge(network, test.class_names, 0.9, torch.zeros(4, 64))
    watch = Watch(game, _centred(test)[:16], 10, tmp_path, judge)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            watch.warn(Ended(told), {"variety": variety, "least": least})
    assert [said in str(one.message) and "What may help" in str(one.message) for one in caught] == [
        True
    ] * bool(said)


def test_a_grid_has_every_image_in_its_place():
    images = torch.stack([torch.full((1, 60, 60), value) for value in (-1.0, 0.0, 1.0)])
    sheet = grid(images, 2)
    assert sheet.shape == (2 * 62 + 2, 2 * 62 + 2, 1)
    corners = [(10, 10, 0), (10, 80, 0), (80, 10, 0), (80, 80, 0), (0, 0, 0)]
    assert [int(sheet[corner]) for corner in corners] == [0, 128, 255, 255, 255]
    with pytest.raises(ValueError, match=r"expected images \(N, 1 or 3, H, W\)"):
        grid(torch.zeros(2, 4, 8, 8), 2)


# ---- bad input -------------------------------------------------------------------------------------------


def test_images_that_make_no_game_are_refused_and_nothing_is_written(tmp_path):
    one = folder_of_squares(tmp_path / "one", count=1)
    (one / "right" / "0.png").unlink()
    (one / "right").rmdir()
    small = folder_of_squares(tmp_path / "small", size=6)
    few = f"imagefolder:{folder_of_squares(tmp_path / 'few', count=3)}"
    squares = f"imagefolder:{folder_of_squares(tmp_path / 'squares')}"
    alike = f"imagefolder:{folder_of_squares(tmp_path / 'alike')}"
    for picture in (tmp_path / "alike").rglob("*.png"):
        picture.write_bytes((tmp_path / "one" / "left" / "0.png").read_bytes())
    for recipe, said in (
        (dcgan.Recipe(f"imagefolder:{one}"), "at least 2 images, which a game compares, got 1"),
        (dcgan.Recipe(f"imagefolder:{small}"), "side of at least 8 pixels"),
        (dcgan.Recipe(names="a,b"), "expected 10 different names"),
        (dcgan.Recipe(norm="batch", penalty=1.0, judge=False, steps=1), "norm 'layer' or 'none' with it"),
        (dcgan.Recipe(batch_size=1, judge=False), "at least 2 examples"),
        (train.Recipe(norm="batch", penalty=0.0), "norm 'none', 'layer' or 'spectral'"),
        (train.Recipe(validate_every=0), "validate_every"),
        (train.Recipe(few), "at least 2 images to measure samples by, .* got 1 beside 5"),
        (train.Recipe(alike, judge=False), "real images that differ, got 3 alike"),
        (train.Recipe(few, held_out=0.5, image_size=3), "at least 4 x 4 pixels, .*--no-judge"),
        (train.Recipe(squares, batch_size=8, rounds=3), "rounds: expected at most 2, .* got 3"),
        (train.Recipe(rounds=0), "rounds: expected at least 1, got 0"),
        (train.Recipe(squares, channels=2), "channels: expected 3 for colour or 1 for grey, got 2"),
        (train.Recipe("scenes", channels=2), "channels: expected 3 for colour or 1 for grey, got 2"),
        (train.Recipe(latent=0), "Generator: expected latent of at least 1, got 0"),
        (train.Recipe(width=0), "Generator: expected width of at least 1, got 0"),
        (dcgan.Recipe(squares, latent=0), "DCGenerator: expected latent of at least 1, got 0"),
        (train.Recipe("csv:a.csv"), "expected images"),
    ):
        with pytest.raises(ValueError, match=said):
            train.train(recipe, tmp_path / "out", progress=False)
        assert not (tmp_path / "out").exists()
    with pytest.raises(FileNotFoundError, match="train one with `ds-zoo train dcgan"):
        dcgan.load(tmp_path / "nowhere")


def idx(path, numbers):
    """Writes bytes as MNIST's files hold them."""
    sizes = b"".join(size.to_bytes(4, "big") for size in numbers.shape)
    path.write_bytes(bytes([0, 0, 8, numbers.dim()]) + sizes + bytes(numbers.flatten().tolist()))


def test_images_to_measure_by_are_never_those_that_are_learned(tmp_path):
    for name, count, classes in (("train", 40, 3), ("t10k", 20, 2)):
        idx(tmp_path / f"{name}-images-idx3-ubyte", torch.arange(count * 16).view(count, 4, 4) % 251)
        idx(tmp_path / f"{name}-labels-idx1-ubyte", torch.arange(count) % classes)
    learned, test = read_parts(f"idx:{tmp_path}")
    assert (len(learned), len(test)) == (40, 20)
    assert learned.class_names == test.class_names == ("0", "1", "2")  # though one part lacks the last
    file = f"idx:{tmp_path / 'train-images-idx3-ubyte'}"
    learned, test = read_parts(file)
    assert (len(learned), len(test)) == (36, 4)
    with pytest.raises(ValueError, match="split is for a folder; this is a file"):
        read_parts(f"{file}[test]")


def test_scenes_and_files_are_read_alike(tmp_path, monkeypatch):
    from ds_zoo.vit import data

    monkeypatch.setattr(data, "COUNT", 6)
    learned, test = read_parts("scenes", size=16, channels=1)
    assert learned.shape() == test.shape() == (1, 16, 16)
    assert not torch.equal(learned.samples[0], test.samples[0])
    assert "circle" in learned.class_names
    learned, test = read_parts(f"imagefolder:{folder_of_squares(tmp_path / 'images')}", held_out=0.25)
    assert (len(learned), len(test), learned.shape()) == (18, 6, (3, 8, 8))
