"""Scenes: picture, captions, boxes, masks and files of a scene say the same, and a seed decides them."""

import csv
import json
import math
import re
from collections import Counter

import pytest
import torch
from ds_core.data import DataLoader, load_image_folder
from ds_zoo.data.scenes import (
    ALL_PAIRS,
    COLOURS,
    COLUMNS,
    KINDS,
    Scenes,
    attribute_captions,
    captions,
    hold_out,
    write_scenes,
)

BUSY = {"size": (80, 112), "objects": (0, 5), "overlap": 0.6, "seed": 3}
NUMBERS = ("no", "one", "two", "three", "four", "five")
COLOUR, KIND = "|".join(COLOURS), "|".join(KINDS)


def pairs(scene):
    return [(shape.colour, shape.kind) for shape in scene.shapes]


def mentioned(words):
    """Counts what a caption lists: (colour or None, kind or None) -> how many."""
    found = Counter()
    for number, colour, kind in re.findall(
        rf"\b(an?|{'|'.join(NUMBERS[2:])}) (?:(?:small|large) )?(?:({COLOUR}) )?({KIND}|shape)(?:e?s)?\b",
        words,
    ):
        many = NUMBERS.index(number) if number in NUMBERS else 1
        found[colour or None, None if kind == "shape" else kind] += many
    return found


def test_a_scene_depends_on_seed_and_number_alone():
    scenes = Scenes(50, **BUSY)
    a, b = scenes[31], Scenes(20, **BUSY, start=30)[1]
    assert all(same(a[name], b[name]) for name in COLUMNS if name not in ("image", "caption"))
    assert a["caption"] == b["caption"]
    assert a["image"].tobytes() == b["image"].tobytes()
    assert scenes[31]["image"].tobytes() == a["image"].tobytes()
    others = [scenes[30], Scenes(50, **BUSY | {"seed": 4})[31]]
    assert all(other["image"].tobytes() != a["image"].tobytes() for other in others)


def same(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_boxes_masks_and_semantic_map_agree():
    hidden = 0
    for sample in Scenes(60, **BUSY):
        masks, boxes = sample["masks"], sample["boxes"]
        assert masks.shape[1:] == (80, 112)
        assert len(masks) == len(boxes) == len(sample["labels"])
        assert (masks.sum(0) <= 1).all()  # no pixel shows two shapes
        for mask, box in zip(masks, boxes.long().tolist(), strict=True):
            left, top, right, bottom = box
            assert mask.sum() == mask[top:bottom, left:right].sum() > 0
            inside = mask[top:bottom, left:right]
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()
        expected = (masks * (1 + sample["labels"])[:, None, None]).sum(0)
        assert torch.equal(sample["semantic"], expected)
        areas = masks.sum((1, 2))
        assert sample["label"] == (sample["labels"][areas.argmax()] if len(areas) else -1)
        hidden += len(masks) > 1
    assert hidden > 20


def test_masks_are_what_is_painted():
    """Without noise the inside of a visible part has exactly the shape's colour, and no other place has."""
    for number in range(25):
        scene = Scenes(25, noise=0.0, size=96, objects=4, overlap=0.6, textures=("plain",)).scene(number)
        pixels = Scenes(25, noise=0.0, size=96, objects=4, overlap=0.6, textures=("plain",))[number]["pixels"]
        for shape, mask in zip(scene.shapes, scene.masks, strict=True):
            rgb = torch.tensor(shape.rgb, dtype=torch.uint8)[:, None, None]
            painted = (pixels == rgb).all(0)
            assert not (painted & ~mask).any()
            assert painted.sum() > 0.25 * mask.sum()  # the rest is the rim


@pytest.mark.parametrize("kind", KINDS)
def test_areas_are_those_of_the_figures(kind):
    r, moon = 1.0, lens(1.0, 0.72, 0.5)
    areas = {
        "circle": math.pi,
        "square": 2 * r,
        "triangle": 3 * math.sqrt(3) / 4,
        "star": 10 * 0.5 * 0.42 * math.sin(math.pi / 5),
        "cross": 4 * 0.34 * (2 * 0.94 - 0.34),
        "ring": math.pi * (1 - 0.52**2),
        "moon": math.pi - moon,
        "heart": 180 * math.pi / 256,
    }
    scenes = Scenes(8, size=128, pairs=[("red", kind)], sizes=["large"], columns=["masks"])
    for number in range(len(scenes)):
        shape = scenes.scene(number).shapes[0]
        assert scenes[number]["masks"].sum().item() / shape.radius**2 == pytest.approx(areas[kind], rel=0.06)


def lens(a, b, d):
    """Area that two circles share."""
    x = (d * d + a * a - b * b) / (2 * d)
    y = math.sqrt(a * a - x * x)
    far = math.acos((d - x) / b)
    return a * a * math.acos(x / a) - x * y + b * b * far - (d - x) * y


def test_hidden_parts_are_left_out():
    """What lies in front takes its pixels from what lies behind: masks and boxes hold the rest."""
    scenes = Scenes(200, size=96, objects=2, overlap=0.6, columns=["masks"])
    found = 0
    for number in range(len(scenes)):
        scene = scenes.scene(number)
        if len(scene.shapes) == 2 and scene.overlapping(0, 1):
            found += 1
            behind, front = scene.shapes
            assert scene.masks[0].sum() < 1.05 * math.pi * behind.radius**2
            assert any("in front of" in c and c.startswith(a(front)) for c in captions(scene)) or (
                pairs(scene)[0] == pairs(scene)[1]
            )
    assert found > 30


def a(shape):
    return f"{'an' if shape.colour[0] in 'aeio' else 'a'} {shape.colour} {shape.kind}"


def test_captions_of_one_shape_are_true():
    wordings = set()
    scenes = Scenes(80, size=64)
    for number in range(len(scenes)):
        scene = scenes.scene(number)
        (shape,) = scene.shapes
        for caption in captions(scene):
            assert set(re.findall(rf"\b({COLOUR})\b", caption)) == {shape.colour}
            assert set(re.findall(rf"\b({KIND})\b", caption)) == {shape.kind}
            for size in ("small", "large"):
                assert size not in caption.split() or shape.size == size
            x, y = shape.x / 64, shape.y / 64
            for word, there in (("left", x < 1 / 3), ("right", x > 2 / 3), ("top", y < 1 / 3)):
                assert word not in caption.split() or there
            assert "bottom" not in caption.split() or y > 2 / 3
            assert "middle" not in caption.split() or (1 / 3 <= x <= 2 / 3 and 1 / 3 <= y <= 2 / 3)
            assert "background" not in caption or scene.texture in caption
            wordings.add(re.sub(rf"\b({COLOUR}|{KIND}|an?)\b", "_", caption))
        for caption in attribute_captions(scene):
            words = set(re.findall(rf"\b({COLOUR}|{KIND})\b", caption))
            assert words in ({shape.colour}, {shape.kind})
    assert len(wordings) >= 20


def test_captions_of_several_shapes_are_true():
    seen = Counter()
    scenes = Scenes(120, **BUSY)
    for number in range(len(scenes)):
        scene = scenes.scene(number)
        there = Counter(pairs(scene))
        for caption in captions(scene):
            if not there or len(scene.shapes) == 1:
                continue
            relation = re.search(r" (left of|right of|above|below|in front of|behind) ", caption)
            if relation is None:
                assert mentioned(caption.split(": ")[-1]) == there
                head = re.match(rf"({'|'.join(NUMBERS)}) shapes: ", caption)
                assert head is None or NUMBERS.index(head[1]) == len(scene.shapes)
                continue
            one, other = (
                mentioned(part) for part in (caption[: relation.start()], caption[relation.end() :])
            )
            i, j = (pairs(scene).index(next(iter(side))) for side in (one, other))
            a, b = scene.shapes[i], scene.shapes[j]
            assert {
                "left of": a.x < b.x,
                "right of": a.x > b.x,
                "above": a.y < b.y,
                "below": a.y > b.y,
                "in front of": i > j and scene.overlapping(j, i),
                "behind": i < j and scene.overlapping(i, j),
            }[relation[1]]
            seen[relation[1]] += 1
        for caption in attribute_captions(scene):
            if there:
                named = mentioned(caption)
                assert sum(named.values()) == len(scene.shapes)
                column = 1 if next(iter(named))[0] is None else 0
                assert Counter(key[column] for key in named.elements()) == Counter(
                    pair[column] for pair in pairs(scene)
                )
    assert len(seen) == 6
    assert min(seen.values()) > 5


def test_wordings_are_drawn_and_one_attribute_is_a_share():
    scenes = Scenes(300, one_attribute=0.4, columns=["caption"])
    given = scenes["caption"]
    full = [bool(re.search(COLOUR, c)) and bool(re.search(KIND, c)) for c in given]
    assert 0.5 < sum(full) / 300 < 0.7
    assert all(
        c in captions(scenes.scene(i)) + attribute_captions(scenes.scene(i)) for i, c in enumerate(given)
    )


def test_combinations_can_be_held_out():
    seen, unseen = hold_out(12, seed=1)
    assert len(seen) == 52
    assert len(unseen) == 12
    assert set(seen) | set(unseen) == set(ALL_PAIRS)
    for place in (0, 1):
        counts = Counter(pair[place] for pair in unseen)
        assert len(counts) == 8
        assert max(counts.values()) == 2
    assert hold_out(12, seed=1) == (seen, unseen) != hold_out(12, seed=2)
    for allowed in (seen, unseen):
        scenes = Scenes(150, size=32, pairs=allowed, objects=(1, 3))
        assert {p for i in range(150) for p in pairs(scenes.scene(i))} <= set(allowed)


def test_it_is_a_dataset():
    scenes = Scenes(10, columns=["pixels", "label"], size=32)
    assert len(scenes) == 10
    assert scenes.column_names == ["pixels", "label"]
    assert [s["label"] for s in scenes] == scenes["label"]
    assert torch.equal(scenes[-1]["pixels"], scenes[9]["pixels"])
    assert list(scenes.select_columns(["boxes"])[0]) == ["boxes"]
    pixels, labels = next(iter(DataLoader(scenes, batch_size=4)))
    assert pixels.shape == (4, 3, 32, 32)
    assert pixels.dtype == torch.uint8
    assert labels.tolist() == scenes["label"][:4]
    picture = scenes.select_columns(["image"])[3]["image"]
    assert picture.mode == "RGB"
    assert picture.size == (32, 32)


def test_files(tmp_path):
    scenes = Scenes(12, **BUSY)
    write_scenes(scenes, tmp_path)
    loaded = load_image_folder(tmp_path / "images")
    assert len(loaded) == 12
    named = ["nothing" if sample["label"] < 0 else KINDS[sample["label"]] for sample in scenes]
    with (tmp_path / "captions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    coco = json.loads((tmp_path / "coco.json").read_text())
    for number, image in enumerate(coco["images"]):
        sample = scenes[number]
        assert image["file_name"] == f"images/{named[number]}/{number:06d}.png"
        assert (tmp_path / image["file_name"]).is_file()
        given = [row["caption"] for row in rows if row["path"] == image["file_name"]]
        assert given == sample["captions"]
        found = [x for x in coco["annotations"] if x["image_id"] == image["id"]]
        assert len(found) == len(sample["boxes"])
        for one, box, mask, label in zip(
            found, sample["boxes"].tolist(), sample["masks"], sample["labels"], strict=True
        ):
            x, y, w, h = one["bbox"]
            assert [x, y, x + w, y + h] == box
            assert one["area"] == mask.sum()
            assert coco["categories"][label]["id"] == one["category_id"]
            assert coco["categories"][label]["name"] == KINDS[label]
            runs = one["segmentation"]["counts"]
            flat = torch.cat([torch.full((n,), k % 2 == 1) for k, n in enumerate(runs)])
            assert torch.equal(flat.view(112, 80).T, mask)
    assert len({x["id"] for x in coco["annotations"]}) == len(coco["annotations"])
    semantic = [read_map(tmp_path / "semantic" / f"{i:06d}.png") for i in range(12)]
    assert all(torch.equal(m, s["semantic"]) for m, s in zip(semantic, scenes, strict=True))
    with pytest.raises(FileExistsError, match=r"holds images, semantic, .*, classes\.csv already"):
        write_scenes(scenes, tmp_path)


@pytest.mark.parametrize("name", ["captions.csv", "coco.json", "classes.csv"])
def test_what_others_wrote_stays(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"holds {name} already"):
        write_scenes(Scenes(2, size=16), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    with pytest.raises(NotADirectoryError, match=f"{name}: is a file; expected a folder for scenes"):
        write_scenes(Scenes(2, size=16), tmp_path / name)


def read_map(path):
    from PIL import Image

    with Image.open(path) as image:
        return torch.tensor(list(image.tobytes())).view(image.height, image.width)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8}, "at least 16 pixels"),
        ({"pairs": [("red", "cube")]}, r"pairs: some of .* got \[\('red', 'cube'\)\]"),
        ({"pairs": []}, "pairs"),
        ({"objects": (3, 1)}, "fewest, most"),
        ({"noise": 2.0}, "noise: a number from 0 to 1, got 2.0"),
        ({"overlap": 1.0}, "overlap"),
        ({"columns": ["box"]}, "columns: some of image, .* got"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Scenes(10, **options)


def test_numbers_out_of_range():
    with pytest.raises(IndexError, match="from 0 to 9, got 10"):
        Scenes(10)[10]
    with pytest.raises(ValueError, match="from 0 to 56"):
        hold_out(60)
