"""ViT from images to a run folder and back: training, predicting, measuring, and mistakes."""

import json
from dataclasses import replace

import pytest
import torch
from ds_core import AdamW, Callback, WarmupCosine, engine
from ds_core.training import CheckpointError
from ds_core.training.files import load_tensors
from ds_zoo import MiniViTConfig, MiniViTForImageClassification
from ds_zoo.cli import command_line
from ds_zoo.data.processor import ImageProcessor
from ds_zoo.vit import data
from ds_zoo.vit.data import LabelledImages, processor_of, read_images
from ds_zoo.vit.train import PRESETS, Recipe, evaluate, load, predict, save, train
from PIL import Image
from typer.testing import CliRunner

SMALL = {
    **{"patch": 4, "image_size": 8, "width": 16, "layers": 1, "heads": 2, "inner": 16, "lr": 5e-3},
    **{"epochs": 3, "batch_size": 8, "held_out": 0.25, "flip": True, "pad": 1, "mix": 0.2},
}


@pytest.fixture
def folder(tmp_path):
    """Bright and dark pictures of several kinds and sizes."""
    for name, low in (("bright", 160), ("dark", 0)):
        (tmp_path / "all" / name).mkdir(parents=True)
        for i in range(16):
            value = low + 5 * i
            mode, colour = (("RGB", (value, value, value)), ("L", value), ("RGBA", (value,) * 3 + (255,)))[
                i % 3
            ]
            Image.new(mode, (9 + i % 4, 12), colour).save(tmp_path / "all" / name / f"{i}.png")
    return tmp_path / "all"


@pytest.fixture
def run(folder, tmp_path):
    return train(Recipe(data=f"imagefolder:{folder}", **SMALL), tmp_path / "run", progress=False)


def test_a_run_is_trained_measured_and_asked(run, folder, tmp_path):
    assert run.accuracy is not None
    assert run.chance == 0.5
    names = {path.name for path in run.out.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "recipe.toml",
        "loss.png",
    } <= names
    loaded = load(run.out)
    assert loaded.model.config.labels == ("bright", "dark")
    assert loaded.processor == run.processor
    results = evaluate(loaded)
    assert results["images"] == 8
    assert results["accuracy"] == pytest.approx(run.accuracy)
    assert results["top-5"] == 1.0
    assert (run.out / "confusion.png").is_file()
    with pytest.raises(ValueError, match=r"a\.xyz: expected the name of a picture"):
        evaluate(load(run.out), picture="a.xyz", data="nowhere")  # before anything else
    picture = str(tmp_path / "other.png")
    whole = evaluate(loaded, data=f"imagefolder:{folder}", picture=picture)
    assert whole["images"] == 32
    assert Image.open(picture).size[0] > 100
    found = predict(loaded, [str(folder / "dark" / "0.png"), str(folder / "bright" / "15.png")], top=5)
    assert [answer["image"][-6:] for answer in found] == 2 * ["/0.png"] + 2 * ["15.png"]
    assert {answer["label"] for answer in found[:2]} == {"bright", "dark"}
    assert found[0]["score"] >= found[1]["score"]
    assert found[0]["score"] + found[1]["score"] == pytest.approx(1, abs=1e-3)
    save(loaded, tmp_path / "copy")
    assert predict(load(tmp_path / "copy"), [str(folder / "dark" / "0.png")], top=5) == found[:2]


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(run, folder, tmp_path):
    recipe = Recipe(data=f"imagefolder:{folder}", **SMALL)

    class End(Callback):
        def on_epoch_end(self, trainer):
            if trainer.epoch == 2:
                trainer.stop("enough")

    out = tmp_path / "parts"
    train(recipe, out, progress=False, callbacks=[End()])
    train(recipe, out, progress=False, resume=True)
    whole, parts = (load_tensors(folder / "model.safetensors")[0] for folder in (run.out, out))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    with pytest.raises(CheckpointError, match="label_smoothing"):
        train(replace(recipe, label_smoothing=0.0), out, progress=False, resume=True)
    with pytest.raises(FileExistsError, match="holds a run already"):
        train(recipe, out, progress=False)
    Image.new("RGB", (9, 9), (90, 3, 7)).save(folder / "dark" / "0.png")  # as many images, another one
    with pytest.raises(CheckpointError, match=r"settings\.data"):
        train(recipe, out, progress=False, resume=True)


def test_the_command_line(run, folder):
    runner, app = CliRunner(), command_line()
    said = runner.invoke(app, ["predict", str(run.out), str(folder / "dark" / "3.png"), "--top", "1"])
    assert said.exit_code == 0, said.output
    names, answer = said.output.splitlines()
    assert names.split("\t") == ["image", "label", "score"]
    path, label, score = answer.split("\t")
    assert (path, label in ("bright", "dark")) == (str(folder / "dark" / "3.png"), True)
    assert 0.5 <= float(score) <= 1
    said = runner.invoke(app, ["eval", str(run.out), "--data", f"imagefolder:{folder}"])
    assert said.exit_code == 0, said.output
    assert "accuracy" in said.output
    (folder / "dark" / "bad.png").write_bytes(b"junk")
    said = runner.invoke(app, ["predict", str(run.out), str(folder / "dark" / "bad.png")])
    assert said.exit_code != 0
    assert "bad.png: cannot be read as an image" in " ".join(said.output.split())
    asked = [str(folder / "dark" / name) for name in ("bad.png", "3.png")]
    said = runner.invoke(app, ["predict", str(run.out), *asked, "--top", "1"])
    assert said.exit_code == 2
    assert said.stdout.splitlines() == [names, answer]
    assert "1 of 2 could not be answered" in said.stderr
    assert "bad.png" in said.stderr


def test_scores_are_of_the_models_problem(run, folder):
    loaded, picture = load(run.out), str(folder / "dark" / "3.png")
    with torch.no_grad():
        logits = loaded.model(loaded.processor([loaded.processor.read(picture)])).logits[0]
    for problem, expected in (
        (None, logits.softmax(-1)),
        ("single_label_classification", logits.softmax(-1)),
        ("multi_label_classification", logits.sigmoid()),
        ("regression", logits),
    ):
        loaded.model.config = replace(loaded.model.config, problem_type=problem)
        found = {answer["label"]: answer["score"] for answer in predict(loaded, [picture])}
        assert [found[name] for name in ("bright", "dark")] == pytest.approx(expected.tolist(), abs=1e-4)
    with pytest.raises(ValueError, match="got a model of 2 labels and problem_type 'regression'"):
        evaluate(loaded)


def test_options_that_make_no_sense_are_refused(folder, tmp_path):
    recipe = Recipe(data=f"imagefolder:{folder}", **SMALL)
    for name, number, said in (
        ("images", -5, "images: expected at least 1, got -5"),
        ("images", 0, "images: expected at least 1, got 0"),
        ("accumulate", 0, "accumulate: expected at least 1, got 0"),
        ("channels", 2, "channels: expected 3 for colour or 1 for grey, got 2"),
    ):
        with pytest.raises(ValueError, match=said):
            train(replace(recipe, **{name: number}), tmp_path / "none", progress=False)
    for picture in (folder / "bright").iterdir():
        picture.unlink()
    with pytest.raises(ValueError, match="two classes at least, to tell them apart, got only 'dark'"):
        train(recipe, tmp_path / "none", progress=False)
    assert not (tmp_path / "none").exists()


def test_mean_and_deviation_are_those_of_all_images():
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (300, 3, 5, 4), generator=draw).to(torch.uint8)
    labels = torch.zeros(300, dtype=torch.int64)
    expected = pixels.double().transpose(0, 1).flatten(1) / 255
    for samples in ((pixels, labels), list(zip(pixels, labels.tolist(), strict=True))):
        processor = processor_of(LabelledImages(samples, labels, ("a",), ""), (5, 4))
        assert processor.mean == pytest.approx(expected.mean(1).tolist(), rel=1e-12)
        assert processor.std == pytest.approx(expected.std(1).tolist(), rel=1e-12)


def test_what_was_held_out_of_data_that_changed_is_unknown(run, folder):
    Image.new("L", (9, 9)).save(folder / "dark" / "new.png")
    with pytest.raises(ValueError, match="its data have changed since it was trained"):
        evaluate(load(run.out))
    assert evaluate(load(run.out), data=f"imagefolder:{folder}")["images"] == 33


def test_scenes_are_learned_from(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "COUNT", 24)
    recipe = Recipe(data="scenes", **SMALL | {"image_size": 16, "epochs": 1})
    made = train(recipe, tmp_path / "run", progress=False)
    assert "circle" in made.model.config.labels
    assert evaluate(load(made.out))["images"] == 6
    assert evaluate(load(made.out), data="scenes")["images"] == 24


def test_mistakes(run, folder, tmp_path):
    loaded = load(run.out)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png: no such file"):
        predict(loaded, [str(tmp_path / "nowhere.png")])
    with pytest.raises(ValueError, match="top: expected at least 1"):
        predict(loaded, [], top=0)
    with pytest.raises(ValueError, match="expected images: imagefolder:FOLDER"):
        read_images("csv:x.csv")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="lacks weights"):
        load(tmp_path / "empty")
    (folder / "other").mkdir()
    Image.new("L", (9, 9)).save(folder / "other" / "1.png")
    with pytest.raises(ValueError, match="expected classes among bright, dark, got other"):
        evaluate(loaded, data=f"imagefolder:{folder}")
    (folder / "other" / "1.png").unlink()
    with pytest.raises(ValueError, match=r"expected images of one size, got \(12, 9\) and .*--image-size"):
        train(
            Recipe(data=f"imagefolder:{folder}", **SMALL | {"image_size": None}),
            tmp_path / "a",
            progress=False,
        )
    path = run.out / "preprocessor_config.json"
    for fields, said in (
        ({"image_mean": [0.5]}, "three means and three deviations"),
        ({"image_mean": [0.5], "image_std": [0.5]}, r"expected image_mean for 3 channels, got \[0.5\]"),
    ):
        path.write_text(json.dumps(fields))
        with pytest.raises(ValueError, match=said):
            load(run.out)
    path.unlink()
    half = (0.5,) * 3
    assert load(run.out).processor == ImageProcessor((8, 8), None, half, half, 2, kind="ViTImageProcessor")
    (run.out / "recipe.toml").unlink()
    with pytest.raises(ValueError, match="nobody knows its images; give --data"):
        evaluate(load(run.out))


def test_every_preset_is_a_recipe():
    for changes in PRESETS.values():
        Recipe(**changes)


# ---- learning ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_learns_what_needs_places(seed):
    """Whether a bar stands or lies: the same patches in both classes, only their places tell."""
    draw = torch.Generator().manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = MiniViTConfig(**sizes, image_size=8, patch_size=2, num_channels=1, initializer_range=0.15)
    model = MiniViTForImageClassification(config, generator=draw).requires_input_grad_(False)
    optimizer = AdamW(model.parameters(), lr=4e-3)
    schedule = WarmupCosine(optimizer, 15, 400)

    def batch(size):
        images = 0.3 * torch.randn(size, 1, 8, 8, generator=draw)
        labels = torch.randint(2, (size,), generator=draw)
        starts = 2 * torch.randint(4, (size,), generator=draw)
        for image, label, start in zip(images[:, 0], labels.tolist(), starts.tolist(), strict=True):
            bar = image[start : start + 2] if label else image[:, start : start + 2]
            bar += 1
        return images, labels

    for _ in range(400):
        images, labels = batch(48)
        optimizer.zero_grad()
        with engine("manual"):
            model(images, labels)
            model.backward()
        optimizer.step()
        schedule.step()
    images, labels = batch(500)
    right = model.eval()(images).logits.argmax(1) == labels
    assert right.float().mean() >= 0.97


@pytest.mark.slow
def test_it_learns_the_digits(tmp_path):
    """Four fifths of scikit-learn's digits, three times another fifth held out."""
    pytest.importorskip("sklearn")
    reached = []
    for seed in range(3):
        recipe = Recipe(**PRESETS["digits"], held_out=0.2, seed=seed)
        reached.append(train(recipe, tmp_path / str(seed), progress=False).accuracy)
    assert sum(reached) / 3 >= 0.975
