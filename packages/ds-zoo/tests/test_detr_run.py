"""MiniDETR from data to a run and to what a run is good for: training, measuring, finding, drawing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ds_core import AdamW, Callback, engine
from ds_zoo.cli import command_line
from ds_zoo.data.annotated import (
    AnnotatedImage,
    Part,
    SceneImages,
    average_precision,
    detection_batches,
)
from ds_zoo.data.annotated.average_precision import Found
from ds_zoo.data.annotated.drawing import enlarged
from ds_zoo.data.scenes import Scenes, write_scenes
from ds_zoo.detr import MiniDETR, Target
from ds_zoo.detr import train as detr_train
from ds_zoo.detr.detect import detect, detected, found_objects
from ds_zoo.detr.train import (
    PRESETS,
    Recipe,
    evaluate,
    load,
    make_model,
    make_preparation,
    parameter_groups,
    predict,
    save,
    scene_images,
    share_of_rate,
    split,
    train,
    verify,
)
from ds_zoo.detr.visualize import draw_matching, draw_query_attention, query_attention
from ds_zoo.maskformer import train as maskformer
from ds_zoo.runs import places_of
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("pycocotools")

SMALL = Recipe(
    **{"image_size": 32, "shapes": 2, "channels": 8, "stages": 2, "width": 16, "layers": 1, "inner": 16},
    **{"decoder_layers": 2, "queries": 4, "groups": 2, "steps": 4, "batch_size": 2, "validate_every": 2},
    **{"measured": 4, "warmup": 2, "heads": 2},
)


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            trainer.stop("enough")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(SMALL, tmp_path_factory.mktemp("runs") / "run", progress=False)


def weights(folder):
    return MiniDETR.from_pretrained(folder).state_dict()


def test_a_run_and_what_it_leaves(run, tmp_path):
    files = {path.name for path in run.out.iterdir()}
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "recipe.toml"} <= files
    assert {"log.csv", "measured.csv", "loss.png", "checkpoint.safetensors"} <= files
    assert Image.open(run.out / "matching.png").size == (480, 480)
    assert set(run.measured) >= {"AP", "AP50", "AP75"}
    lines = (run.out / "measured.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "2.0", "4.0"]
    train(SMALL, tmp_path / "part", progress=False, callbacks=[StopAt(2)])
    resumed = train(SMALL, tmp_path / "part", progress=False, resume=True)
    whole, parts = weights(run.out), weights(resumed.out)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_what_a_run_is_good_for(run, tmp_path):
    loaded = load(run.out)
    measured = evaluate(loaded, images=5)
    assert measured["images"] == 5
    assert 0 <= measured["AP"] <= 1
    picture = tmp_path / "a.png"
    scene_images(SMALL, 1, 5).scenes.scene(0).image.save(picture)
    files = {name: str(tmp_path / name) for name in ("found.png", "r.json", "attention.png")}
    out, json_path, attention = files.values()
    rows = predict(loaded, [str(picture)], threshold=0.0, out=out, json=json_path, attention=attention)
    assert Image.open(attention).size[0] > Image.open(attention).size[1]
    assert len(rows) == 4
    assert rows[0].keys() == {"image", "label", "score", "left", "top", "right", "bottom"}
    assert Image.open(tmp_path / "found.png").size == (480, 480)
    results = json.loads((tmp_path / "r.json").read_text())
    assert [result["image_id"] for result in results] == [0] * 4
    left, top, width, height = results[0]["bbox"]
    assert [left, top, left + width, top + height] == pytest.approx(
        [rows[0][side] for side in ("left", "top", "right", "bottom")], abs=0.1
    )
    with pytest.warns(
        UserWarning, match=r"surer than 1.0 on 1 of 1 pictures \(first: .*a.png, where .* with 0\."
    ):
        assert predict(loaded, [str(picture)], threshold=1.0) == []
    (tmp_path / "b").mkdir()
    scene_images(SMALL, 2, 5).scenes.scene(1).image.save(tmp_path / "b" / "a.png")  # of the same name
    predict(loaded, [str(picture), str(tmp_path / "b" / "a.png")], out=str(tmp_path / "all"))
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["a-1.png", "a-2.png"]
    pictures = ["x/p.png", "y/p.png", "p-2.png"]
    assert len(set(places_of(tmp_path / "all", pictures, {".png"}))) == 3
    for wrong in (tmp_path / "all", tmp_path / "found", tmp_path / "found.xyz"):
        for option in ("out", "attention"):
            with pytest.raises(ValueError, match=r"expected the name of a picture, as found\.png"):
                predict(loaded, [str(picture)], **{option: str(wrong)})
    with pytest.raises(NotADirectoryError, match="is a file; expected a folder for 2 pictures"):
        predict(loaded, [str(picture)] * 2, out=out)
    for number in ({"images": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="eval: expected at least 1, got images="):
            evaluate(loaded, **number)
    save(loaded, tmp_path / "copy")
    assert weights(tmp_path / "copy").keys() == weights(run.out).keys()


def test_files_are_learned_from_and_measured(tmp_path):
    """Scenes written as COCO's JSON, a model that begins with another's weights, a backbone that stays."""
    write_scenes(Scenes(6, size=32, objects=(1, 2), seed=1), tmp_path / "files")
    word = f"coco:{tmp_path / 'files' / 'coco.json'}"
    recipe = replace(SMALL, data=word, steps=2, flip=True, zoom=1.2, crop=0.8, colour=0.2, freeze=True)
    learned, held_out = split(recipe)
    assert (len(learned), len(held_out)) == (5, 1)
    first = train(recipe, tmp_path / "first", progress=False)
    before = make_model(recipe, learned.class_names).state_dict()
    after = weights(first.out)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith("backbone.")} <= same
    assert "encoder.0.linear1.weight" not in same
    again = train(replace(recipe, start=str(first.out), lr=0.0), tmp_path / "second", progress=False)
    assert torch.equal(weights(again.out)["anchors"], after["anchors"])
    options = replace(recipe, start=str(first.out), nothing=0.3, dropout=0.2)
    begun = make_model(options, learned.class_names).config
    assert (begun.eos_coefficient, begun.dropout) == (0.3, 0.2)
    sized = train(replace(recipe, longest=24), tmp_path / "sized", progress=False)
    assert load(sized.out).preparation == sized.preparation == make_preparation(replace(recipe, longest=24))
    on = make_preparation(replace(recipe, start=str(sized.out), shortest=16))
    assert (on.shortest, on.longest) == (16, 24)
    assert evaluate(load(again.out), data=word)["images"] == 6
    assert evaluate(load(again.out))["images"] == 1
    annotations = tmp_path / "files" / "coco.json"
    content = json.loads(annotations.read_text())
    content["images"] = content["images"][1:]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] in kept]
    annotations.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="its data have changed since it was trained"):
        evaluate(load(again.out))
    assert evaluate(load(again.out), data=word)["images"] == 5


def test_classes_of_data_are_those_of_the_same_name(run, tmp_path, monkeypatch):
    """As of COCO's pictures, where a published model knows numbers that no class has."""
    loaded = load(run.out)
    first, _, third, *_ = loaded.model.config.labels
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    categories = [{"id": 7, "name": third}, {"id": 3, "name": first}]
    boxes = [
        {"id": 1, "category_id": 7, "bbox": [2, 3, 10, 10]},
        {"id": 2, "category_id": 3, "bbox": [20, 5, 8, 9]},
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [{"image_id": 1, "area": 100, "iscrowd": 0} | box for box in boxes],
        "categories": categories,
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    corners = torch.tensor([[2.0, 3, 12, 13], [20, 5, 28, 14], [2, 3, 12, 13]])
    found = Found(torch.tensor([0.5, 0.6, 0.9]), torch.tensor([2, 0, 1]), corners)
    monkeypatch.setattr(detr_train, "detected", lambda model, preparation, images, size: [(images[0], found)])
    measured = evaluate(loaded, data=f"coco:{tmp_path / 'a.json'}")
    assert {name: n for name, n in measured.items() if name.startswith("AP of")} == {
        f"AP of {third}": pytest.approx(1.0),
        f"AP of {first}": pytest.approx(1.0),
    }
    categories[0]["name"] = "zebra"
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"expected classes of circle, .*, which the model knows, got zebra"):
        evaluate(loaded, data=f"coco:{tmp_path / 'a.json'}")


def test_what_is_learned_on_scenes_is_measured_on_the_images_that_are_given(tmp_path):
    write_scenes(Scenes(3, size=40, objects=(1, 2), seed=1), tmp_path / "files")
    recipe = replace(SMALL, validation=f"coco:{tmp_path / 'files' / 'coco.json'}", steps=2)
    learned, held_out = split(recipe)
    assert isinstance(learned, SceneImages)
    assert (len(held_out), held_out[0].size) == (3, (40, 40))
    run = train(recipe, tmp_path / "run", progress=False)
    assert evaluate(load(run.out))["images"] == 3


@pytest.mark.parametrize("crowds", [False, True])
def test_images_held_out_without_an_object_are_refused_at_once(tmp_path, crowds):
    """Before anything is written or learned, as nothing could be measured."""
    write_scenes(Scenes(4, size=32, objects=(1, 2), seed=1), tmp_path / "files")
    whole = tmp_path / "files" / "coco.json"
    content = json.loads(whole.read_text())
    content["annotations"] = [one | {"iscrowd": 1} for one in content["annotations"] if crowds]
    (tmp_path / "files" / "bare.json").write_text(json.dumps(content))
    bare = f"coco:{tmp_path / 'files' / 'bare.json'}"
    with pytest.raises(ValueError, match=r"bare.json: expected an object on at least one of the 4 images"):
        train(replace(SMALL, data=f"coco:{whole}", validation=bare), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_not_all_classes_need_be_on_the_images_held_out(tmp_path):
    """Where a folder has no list of classes, it has those of the images learned from."""
    for part, classes in (("train", ("ring", "cross")), ("test", ("ring",))):
        (tmp_path / part).mkdir()
        rows = []
        for number, name in enumerate(classes):
            Image.new("RGB", (20, 10)).save(tmp_path / part / f"{number}.png")
            objects = {"bbox": [[1, 1, 5, 5]], "categories": [name]}
            rows.append(json.dumps({"file_name": f"{number}.png", "objects": objects}))
        (tmp_path / part / "metadata.jsonl").write_text("\n".join(rows))
    words = {
        name: f"imagefolder:{tmp_path / part}" for name, part in (("data", "train"), ("validation", "test"))
    }
    learned, held_out = split(replace(SMALL, **words))
    assert learned.class_names == held_out.class_names == ("cross", "ring")
    assert held_out[0].labels.tolist() == [1]
    made = train(replace(SMALL, **words, steps=2), tmp_path / "run", progress=False)
    assert evaluate(load(made.out))["images"] == 1
    assert evaluate(load(made.out), data=words["validation"])["images"] == 1
    with pytest.raises(ValueError, match="expected classes of ring, got 'cross'"):
        split(replace(SMALL, data=words["validation"], validation=words["data"]))


@pytest.mark.parametrize("number", ["steps", "batch_size", "accumulate"])
def test_none_of_what_scenes_are_counted_by_may_be_zero(number):
    with pytest.raises(ValueError, match=f"train detr: expected {number} of at least 1, got 0"):
        split(Recipe(**{number: 0}))


@pytest.mark.parametrize("number", ["steps", "batch_size"])
def test_none_of_what_scenes_with_masks_are_counted_by_may_be_zero(number):
    with pytest.raises(ValueError, match=f"train maskformer: expected {number} of at least 1, got 0"):
        maskformer.open_images(maskformer.Recipe(**{number: 0}))


def test_rates_rise_stay_and_fall():
    recipe = replace(SMALL, steps=100, warmup=10, fall=0.25)
    shares = [share_of_rate(step, recipe) for step in (0, 4, 9, 50, 75, 88, 100)]
    assert shares == pytest.approx([0.1, 0.5, 1, 1, 1, 0.48, 0])


def test_the_backbone_has_its_own_rate():
    model = make_model(replace(SMALL, anchored=False), ("a",))
    groups = parameter_groups(model, replace(SMALL, lr=1.0, backbone_lr=0.1))
    count = sum(len(group["params"]) for group in groups)
    assert count == len(list(model.parameters()))
    assert {group["lr"] for group in groups} == {1.0, 0.1}
    spared = [id(p) for group in groups if not group["weight_decay"] for p in group["params"]]
    assert id(model.query_position_embeddings.weight) in spared


def test_pictures_of_queries(run, tmp_path):
    model = load(run.out).model
    x = torch.rand(2, 3, 32, 48)
    attention = query_attention(model, x)
    assert attention.shape == (2, 4, 4, 6)
    torch.testing.assert_close(attention.sum((2, 3)), torch.ones(2, 4))
    draw_query_attention(x[0], attention[0, :2], ["a", "b"], path=tmp_path / "queries.png")
    assert (tmp_path / "queries.png").is_file()
    with pytest.raises(ValueError, match="as many titles as queries"):
        draw_query_attention(x[0], attention[0], ["a"])
    targets = [Target(torch.tensor([1]), torch.tensor([[0.5, 0.5, 0.2, 0.2]]))] * 2
    boxes = model(x, None, targets).pred_boxes
    pixels = (255 * x[0]).to(torch.uint8)
    drawn = draw_matching(pixels, boxes[0].detach(), targets[0].boxes, model.loss.matched)
    assert drawn.size == (720, 480)
    blank = draw_matching(pixels, boxes[0].detach(), targets[0].boxes, model.loss.matched, image=99)
    assert drawn.tobytes() != blank.tobytes()


def test_found_objects_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    draw = torch.Generator().manual_seed(0)
    logits, boxes = 2 * torch.randn(3, 7, 5, generator=draw), torch.rand(3, 7, 4, generator=draw)
    sizes = [(40, 60), (100, 30), (7, 9)]
    processor = transformers.DetrImageProcessorPil()
    output = transformers.models.detr.modeling_detr.DetrObjectDetectionOutput(logits=logits, pred_boxes=boxes)
    for threshold in (0.0, 0.5, 0.9):
        expected = processor.post_process_object_detection(output, threshold, sizes)
        for mine, other in zip(found_objects(logits, boxes, sizes, threshold), expected, strict=True):
            torch.testing.assert_close(mine.scores, other["scores"])
            torch.testing.assert_close(mine.labels, other["labels"])
            torch.testing.assert_close(mine.boxes, other["boxes"])
    with pytest.raises(ValueError, match="expected 3 sizes"):
        found_objects(logits, boxes, sizes[:1])


def test_pictures_of_any_size_are_searched_together(run):
    loaded = load(run.out)
    images = [
        AnnotatedImage(
            torch.randint(256, (3, *size), dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0).long()
        )
        for size in ((32, 48), (40, 20))
    ]
    together = detect(loaded.model, loaded.preparation, images, 0.0)
    assert [len(found.scores) for found in together] == [4, 4]
    assert together[1].boxes[:, 2].max() <= 40


def learned_scenes(seed, steps=300):
    """Trains on eight scenes of one shape, and returns how well they are found then."""
    recipe = Recipe(
        **{"image_size": 48, "channels": 8, "stages": 3, "width": 32, "layers": 1, "decoder_layers": 2},
        **{"inner": 32, "queries": 4, "groups": 2, "heads": 4, "lr": 2e-3, "seed": seed},
    )
    images = SceneImages(Scenes(8, seed=seed, size=48, objects=1))
    model = make_model(recipe, images.class_names)
    preparation = make_preparation(recipe)
    ((pixels, _, targets),) = detection_batches(images, preparation, 8)
    optimizer = AdamW(parameter_groups(model, recipe), lr=2e-3)
    model.train().requires_input_grad_(False)
    with engine("manual"):
        for _ in range(steps):
            model.zero_grad()
            model(pixels, None, targets)
            model.backward()
            optimizer.step()
    return average_precision(detected(model, preparation, Part(images, list(range(8)))), images.class_names)


def test_it_learns_a_few_scenes():
    assert learned_scenes(0)["AP50"] >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_it_learns_a_few_scenes_from_other_seeds(seed):
    assert learned_scenes(seed)["AP50"] >= 0.9


def test_gradients_of_the_whole_are_right():
    for name, report in verify():
        assert report.ok, f"{name}: {report}"


def test_presets_and_mistakes(run, tmp_path):
    for fields in PRESETS.values():
        assert Recipe(**fields)
    with pytest.raises(FileExistsError, match="holds a run"):
        train(SMALL, run.out, progress=False)
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    content = {"file_name": "a.png", "objects": {"bbox": [[1, 1, 5, 5]], "categories": ["cat"]}}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"expected classes of circle, square, .*, got 'cat'"):
        evaluate(load(run.out), data=f"imagefolder:{tmp_path}")
    with pytest.raises(ValueError, match="two images at least"):
        split(replace(SMALL, data=f"imagefolder:{tmp_path}"))
    for wrong in ({"zoom": 0.0}, {"crop": 1.5}, {"measured": 0}, {"shortest": 0}, {"longest": -1}):
        with pytest.raises(ValueError, match="expected"):
            train(replace(SMALL, **wrong), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(FileNotFoundError, match="no such file"):
        predict(load(run.out), ["nowhere.png"])
    with pytest.raises(ValueError, match="threshold: expected"):
        predict(load(run.out), [], threshold=2.0)
    with pytest.raises(FileNotFoundError, match="holds no finished training"):
        load(tmp_path)


def test_a_picture_that_cannot_be_read_costs_no_other(run, tmp_path):
    good, broken, json_path = tmp_path / "ä b.png", tmp_path / "broken.png", tmp_path / "r.json"
    Image.new("RGB", (32, 32), "red").save(good)
    broken.write_text("no picture")
    (tmp_path / "none").mkdir()
    asked = ["predict", str(run.out), str(broken), str(good), str(tmp_path / "none"), "--threshold", "0"]
    files = ["--out", str(tmp_path / "all"), "--json", str(json_path)]
    told = CliRunner().invoke(command_line(), [*asked, *files])
    assert told.exit_code == 2
    names, *lines = told.stdout.splitlines()
    assert names.split("\t") == ["image", "label", "score", "left", "top", "right", "bottom"]
    assert len(lines) == 4
    assert all(line.startswith(str(good)) for line in lines)
    assert "2 of 3 could not be answered" in told.stderr
    assert str(broken) in told.stderr
    assert "is a folder" in told.stderr
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["ä b.png"]
    assert {result["image_id"] for result in json.loads(json_path.read_text())} == {1}
    before = json_path.read_bytes()
    with pytest.raises(ValueError, match="broken"):
        predict(load(run.out), [str(broken), str(tmp_path / "none")], json=str(json_path))
    assert json_path.read_bytes() == before


def test_no_picture_is_written_over(run, tmp_path):
    loaded, pictures = load(run.out), [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for picture in pictures:
        Image.new("RGB", (32, 32), "red").save(picture)
    before = [Path(picture).read_bytes() for picture in pictures]
    for option in ("out", "attention", "json"):
        with pytest.raises(FileExistsError, match="is one of the pictures"):
            predict(loaded, pictures[:1], **{option: pictures[0]})
    with pytest.raises(FileExistsError, match="is one of the pictures"):
        predict(loaded, pictures, out=str(tmp_path))
    assert [Path(picture).read_bytes() for picture in pictures] == before


def test_what_cannot_be_written_is_said_before_anything_is(run, tmp_path):
    loaded, pictures = load(run.out), [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for picture in pictures:
        Image.new("RGB", (32, 32), "red").save(picture)
    one, folder = str(tmp_path / "found.png"), str(tmp_path / "found")
    for places in ({"out": one, "attention": one}, {"out": one, "json": one}):
        with pytest.raises(ValueError, match=r"found\.png: would be written twice"):
            predict(loaded, pictures[:1], **places)
    with pytest.raises(ValueError, match=r"a\.png: would be written twice"):
        predict(loaded, pictures, out=folder, attention=folder)
    with pytest.raises(IsADirectoryError, match="is a folder; expected the name of a file"):
        predict(loaded, pictures, out=folder, json=str(tmp_path))
    assert sorted(tmp_path.iterdir()) == [Path(picture) for picture in pictures]


def test_a_thin_picture_is_not_drawn_larger_than_anybody_looks_at():
    """Until its shorter side can be read, it would have 720,000 x 480 pixels."""
    for size, expected in (((3000, 2), 1), ((1, 700), 6), ((64, 64), 8), ((1, 1), 480), ((900, 1200), 1)):
        assert enlarged(size) == expected


def test_the_command_line_finds_objects(run, tmp_path):
    picture = tmp_path / "a.png"
    Image.new("RGB", (32, 32), "red").save(picture)
    arguments = [str(run.out), str(picture), "--threshold", "0", "--out", str(tmp_path / "found.png")]
    result = CliRunner().invoke(command_line(), ["predict", *arguments])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "found.png").is_file()
    assert len(result.output.splitlines()) == 5
