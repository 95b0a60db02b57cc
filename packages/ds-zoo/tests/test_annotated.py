"""Annotated images: formats and their faults, changes that keep boxes right, batches, measures, pictures."""

import json
import math
import re
import warnings
from pathlib import Path

import pytest
import torch
from ds_zoo.data.annotated import (
    AnnotatedImage,
    CocoImages,
    Colour,
    Crop,
    Fit,
    Flip,
    MetadataImages,
    Pad,
    Preparation,
    Scale,
    SceneImages,
    VocImages,
    average_precision,
    detection_batches,
    draw_objects,
    open_annotated,
)
from ds_zoo.data.annotated.average_precision import Found
from ds_zoo.data.annotated.changes import cropped, padded, resized
from ds_zoo.data.annotated.coco import decoded, encoded, unpacked
from ds_zoo.data.annotated.image import box_of
from ds_zoo.data.scenes import Scenes, write_scenes
from PIL import Image


def scenes(count=4, **options):
    return Scenes(count, seed=3, size=(40, 56), objects=(1, 4), **options)


@pytest.fixture
def coco(tmp_path):
    """Two pictures of 20 x 10 pixels and their JSON, to be changed."""
    pytest.importorskip("pycocotools")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (20, 10), "white").save(tmp_path / name)
    square = [[2.0, 3.0, 8.0, 3.0, 8.0, 7.0, 2.0, 7.0]]
    content = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 20, "height": 10},
            {"id": 3, "file_name": "b.png", "width": 20, "height": 10},
        ],
        "categories": [{"id": 90, "name": "cat"}, {"id": 4, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 4, "bbox": [2, 3, 6, 4], "segmentation": square},
            {"id": 2, "image_id": 7, "category_id": 90, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
    }
    content["annotations"][1]["segmentation"] = {"size": [10, 20], "counts": [0, 5, 195]}

    def write(change=None):
        changed = json.loads(json.dumps(content))
        if change is not None:
            change(changed)
        (tmp_path / "coco.json").write_text(json.dumps(changed))
        return tmp_path / "coco.json"

    return write


# ---- COCO ----------------------------------------------------------------------------------------------


def test_coco(coco):
    images = CocoImages(coco(), masks=True)
    assert images.class_names == ("cat", "dog")
    assert images.category_ids == [90, 4]  # with gaps, in the file's order
    first, second = images[0], images[1]
    assert first.boxes.tolist() == [[2, 3, 8, 7], [0, 0, 5, 5]]
    assert first.labels.tolist() == [1, 0]
    assert first.crowd.tolist() == [False, True]
    assert first.masks[0].sum() == 24
    assert box_of(first.masks[0]) == [2, 3, 8, 7]
    assert first.masks[1].sum() == 5
    assert first.without_crowds().labels.tolist() == [1]
    assert (second.key, len(second.labels), second.masks.shape) == (3, 0, (0, 10, 20))


def test_scenes_written_as_coco_come_back(tmp_path):
    """Boxes and masks of files are those that were drawn."""
    pytest.importorskip("pycocotools")
    write_scenes(scenes(), tmp_path)
    images, drawn = CocoImages(tmp_path / "coco.json", masks=True), SceneImages(scenes(), ["masks"])
    assert images.class_names == drawn.class_names
    for number in range(4):
        mine, other = images[number], drawn[number]
        assert torch.equal(mine.pixels, other.pixels)
        assert torch.equal(mine.boxes, other.boxes)
        assert torch.equal(mine.labels, other.labels)
        assert torch.equal(mine.masks, other.masks)
        assert all(torch.equal(decoded(encoded(mask), (40, 56)), mask) for mask in mine.masks)


@pytest.mark.parametrize("seed", range(5))
def test_packed_runs_are_those_of_pycocotools(seed):
    mask_module = pytest.importorskip("pycocotools.mask")
    draw = torch.Generator().manual_seed(seed)
    mask = torch.rand(37, 71, generator=draw) > torch.rand((), generator=draw)
    mask[:, 5:60] = seed % 2 == 0  # long runs, too
    packed = encoded(mask)
    runs = unpacked(packed["counts"])
    again = mask_module.frPyObjects({"size": [37, 71], "counts": runs}, 37, 71)
    assert again["counts"].decode() == packed["counts"]
    assert (sum(runs), sum(runs[1::2])) == (37 * 71, mask.sum())


def test_a_turned_photograph_is_told(coco):
    """Boxes are those of the picture as it is shown; where the sizes are not, a message says why."""
    path = coco()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (20, 10)).save(path.parent / "a.png", exif=turned)
    with pytest.raises(
        ValueError, match=r"expected 20 x 10 pixels, as .*, got 10 x 20; the camera's rotation"
    ):
        CocoImages(path)[0]


def faults(change, said):
    return pytest.param(change, said, id=said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        faults(lambda c: c["annotations"][0].update(bbox=[2, 3, 0, 4]), "1 boxes without area are left out"),
        faults(
            lambda c: c["annotations"][0].update(bbox=[30, 3, 6, 4]), "1 boxes outside their image are left"
        ),
        faults(
            lambda c: c["annotations"][0].update(bbox=[15, 3, 9, 4]), "reach beyond their image are cut off"
        ),
        faults(
            lambda c: c["annotations"][0].update(image_id=99), "1 annotations of images that it does not list"
        ),
        faults(
            lambda c: c["images"].pop(), "1 pictures in its folder are not listed and left out (first: b.png)"
        ),
    ],
)
def test_coco_faults_that_are_told(coco, change, said):
    with pytest.warns(UserWarning, match=re.escape(said)):
        images = CocoImages(coco(change))
    first = images[0]
    assert len(first.boxes) == (2 if "cut off" in said or "pictures" in said else 1)
    if "cut off" in said:
        assert first.boxes[0].tolist() == [15, 3, 20, 7]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["annotations"][0].update(category_id=5), "annotation 1: unknown category_id 5"),
        (lambda c: c["annotations"][1].update(id=1), "two annotation entries have the id 1"),
        (lambda c: c["images"][1].update(id=7), "two image entries have the id 7"),
        (lambda c: c["categories"][1].update(name="cat"), "different names"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), "annotation 1: expected bbox"),
        (lambda c: c["annotations"][0].pop("image_id"), "annotation 1: has no image_id"),
        (lambda c: c["images"][0].update(file_name="../a.png"), "leads out of the folder"),
        (lambda c: c.pop("images"), "expected a list of images"),
        (
            lambda c: c["images"][0].update(height=None),
            "image 7: expected a whole number as height, got None",
        ),
    ],
)
def test_coco_faults_that_are_refused(coco, change, said):
    with pytest.raises(ValueError, match=said):
        CocoImages(coco(change))


def test_coco_pictures_and_masks_of_another_size(coco):
    with pytest.raises(FileNotFoundError, match="1 of 2 pictures are missing, the first c"):
        CocoImages(coco(lambda c: c["images"][0].update(file_name="c.png")))
    images = CocoImages(coco(lambda c: c["images"][0].update(width=21)))
    with pytest.raises(ValueError, match="expected 21 x 10 pixels"):
        images[0]
    runs = {"size": [10, 21], "counts": [0, 5, 205]}
    images = CocoImages(coco(lambda c: c["annotations"][0].update(segmentation=runs)), masks=True)
    with pytest.raises(ValueError, match=r"annotation 1: expected a mask of \[10, 20\], got \[10, 21\]"):
        images[0]
    runs = {"size": [10, 20], "counts": [0, 5]}
    images = CocoImages(coco(lambda c: c["annotations"][0].update(segmentation=runs)), masks=True)
    with pytest.raises(ValueError, match="expected runs of 200 pixels together, got 5"):
        images[0]
    packed = encoded(torch.ones(5, 20, dtype=torch.bool)) | {"size": [10, 20]}
    images = CocoImages(coco(lambda c: c["annotations"][0].update(segmentation=packed)), masks=True)
    with pytest.raises(ValueError, match="annotation 1: expected runs of 200 pixels together, got 100"):
        images[0]
    for points in ([2, 3, 8, 7], [2, 3, 8, 3, 8, 7, 2]):
        images = CocoImages(
            coco(lambda c, p=points: c["annotations"][0].update(segmentation=[p])), masks=True
        )
        with pytest.raises(ValueError, match="annotation 1: expected polygons of at least three points"):
            images[0]

    def more(content):  # a line has no area
        content["annotations"][0]["segmentation"].insert(0, [1, 1, 9, 9])

    assert CocoImages(coco(more), masks=True)[0].masks[0].sum() == 24
    images = CocoImages(coco(lambda c: c["annotations"][0].pop("segmentation")), masks=True)
    with pytest.raises(ValueError, match="annotation 1: expected a segmentation"):
        images[0]


# ---- other formats -------------------------------------------------------------------------------------

VOC = """<annotation><filename>a.png</filename><size><width>20</width><height>10</height></size>
<object><name>dog</name><difficult>0</difficult>
<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>8</xmax><ymax>7</ymax></bndbox></object>
<object><name>cat</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"""


def test_voc(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(VOC)
    with pytest.raises(FileNotFoundError, match="is missing"):
        VocImages(tmp_path)
    Image.new("RGB", (20, 10)).save(tmp_path / "JPEGImages" / "a.png")
    images = open_annotated(f"voc:{tmp_path}")
    assert images.class_names == ("cat", "dog")
    assert images[0].boxes.tolist() == [[2, 3, 8, 7], [0, 0, 5, 5]]  # pixels from 0, the end outside
    assert images[0].without_crowds().labels.tolist() == [1]
    with pytest.raises(ValueError, match="expected classes of dog, got 'cat'"):
        VocImages(tmp_path, ("dog",))
    (tmp_path / "Annotations" / "a.xml").write_text(VOC.replace(">4<", ">nan<"))
    with pytest.warns(UserWarning, match="1 boxes without area are left out"):
        assert VocImages(tmp_path)[0].boxes.tolist() == [[0, 0, 5, 5]]
    (tmp_path / "Annotations" / "a.xml").write_text(VOC.replace(">dog<", "> <"))
    with pytest.raises(ValueError, match=r"a.xml: not Pascal VOC's format \(no name\)"):
        VocImages(tmp_path)
    (tmp_path / "Annotations" / "a.xml").write_text(VOC.replace("<ymin>4</ymin>", ""))
    with pytest.raises(ValueError, match=r"a.xml: not Pascal VOC's format \(no bndbox/ymin\)"):
        VocImages(tmp_path)
    (tmp_path / "Annotations" / "a.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]>' + VOC)
    with pytest.raises(ValueError, match="defines entities"):
        VocImages(tmp_path)


def test_metadata(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (20, 10)).save(tmp_path / name)
    rows = [
        {
            "file_name": "a.png",
            "objects": {"bbox": [[2, 3, 6, 4], [1, 1, 0, 2]], "categories": ["dog", "cat"]},
        },
        {"file_name": "b.png", "objects": {"bbox": [], "categories": []}},
    ]
    path = tmp_path / "metadata.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    images = open_annotated(f"imagefolder:{tmp_path}")
    assert (images.class_names, len(images)) == (("cat", "dog"), 2)
    with pytest.warns(UserWarning, match="1 boxes without area are left out"):
        assert images[0].boxes.tolist() == [[2, 3, 8, 7]]
    assert len(images[1].labels) == 0
    path.write_text(json.dumps(rows[0]))
    with pytest.warns(UserWarning, match="not listed and left out"):
        MetadataImages(tmp_path)
    objects = {"bbox": [[2, 3, 6, 4], [math.nan, 1, 2, 2]], "label": ["1", 1], "iscrowd": [1, 0]}
    rows[0]["objects"] = objects
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8-sig")
    images = MetadataImages(tmp_path)
    assert images.class_names == ("1",)
    with pytest.warns(UserWarning, match="1 boxes without area are left out"):
        assert images[0].crowd.tolist() == [True]
    path.write_bytes(json.dumps({"file_name": "ä"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(ValueError, match=r"metadata.jsonl: expected UTF-8 text"):
        MetadataImages(tmp_path)
    for wrong in ("ca", [None, "a"], [1.0, 2.0], [["a"], ["b"]]):
        path.write_text(json.dumps({"file_name": "a.png", "objects": objects | {"label": wrong}}))
        with pytest.raises(ValueError, match=r"line 1: .* \(categories as names or numbers"):
            MetadataImages(tmp_path)
    for text, said in (
        (json.dumps(rows[0]) + "\n" + json.dumps(rows[0]), "'a.png' is listed twice"),
        ('{"file_name": "a.png", "objects": {"bbox": [[1, 2, 3, 4]]}}', "line 1: expected objects with"),
        ("{", "line 1: expected file_name"),
        ("", "expected lines, got none"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            MetadataImages(tmp_path)


def test_words_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a line of JSON for each picture"):
        open_annotated(f"imagefolder:{tmp_path}")
    with pytest.raises(FileNotFoundError, match="expected COCO's JSON"):
        open_annotated("coco:nowhere.json")
    with pytest.raises(ValueError, match="expected annotated images"):
        open_annotated("csv:table.csv")
    with pytest.raises(ValueError, match="expected masks"):
        open_annotated("voc:somewhere", masks=True)


# ---- label maps ----------------------------------------------------------------------------------------

NUMBERS = [[0, 0, 1, 1], [0, 2, 2, 255]]
COLOURS = {0: (0, 0, 0), 1: (200, 0, 0), 2: (0, 100, 50), 255: (224, 224, 192)}


def map_picture(kind, rows=NUMBERS):
    """A label map of numbers, with a palette, of colours, or with 16 bits a pixel."""
    size, numbers = (len(rows[0]), len(rows)), [number for row in rows for number in row]
    if kind == "colours":
        picture = Image.new("RGB", size)
        picture.putdata([COLOURS[number] for number in numbers])
        return picture
    picture = Image.new({"numbers": "L", "palette": "P", "deep": "I"}[kind], size)
    if kind == "palette":
        picture.putpalette([part for number in range(256) for part in COLOURS.get(number, (9, 9, 9))])
    picture.putdata(numbers)
    return picture.convert("I;16") if kind == "deep" else picture


@pytest.fixture
def maps(tmp_path):
    """A folder of one picture and its label map, to be changed."""

    def write(kind="numbers", table=None, rows=NUMBERS):
        for name in ("images", "labels"):
            (tmp_path / name).mkdir(exist_ok=True)
        Image.new("RGB", (4, 2), "white").save(tmp_path / "images" / "a.jpg")
        map_picture(kind, rows).save(tmp_path / "labels" / "a.png")
        (tmp_path / "classes.csv").unlink(missing_ok=True)
        if table is not None:
            (tmp_path / "classes.csv").write_text(table)
        return f"labelmaps:{tmp_path}"

    return write


BY_NUMBER = "name,id\nsky,1\nroad,0\nvoid,255\ncar,2\n"
BY_COLOUR = "name,red,green,blue\nsky,200,0,0\nroad,0,0,0\nVoid,224,224,192\ncar,0,100,50\n"


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        *[(kind, BY_NUMBER) for kind in ("numbers", "palette", "deep")],
        *[(kind, BY_COLOUR) for kind in ("colours", "palette")],
        ("colours", BY_COLOUR.replace("red,green,blue", "r, g, b")),
    ],
)
def test_label_maps(maps, kind, table):
    """Classes in the table's order, one region each; what is void belongs to none."""
    images = open_annotated(maps(kind, table), masks=True)
    assert images.class_names == ("sky", "road", "car")
    assert images.stuff == {0, 1, 2}
    image = images[0]
    by_class = dict(zip(image.labels.tolist(), image.masks.int().tolist(), strict=True))
    assert by_class == {
        0: [[0, 0, 1, 1], [0, 0, 0, 0]],
        1: [[1, 1, 0, 0], [1, 0, 0, 0]],
        2: [[0, 0, 0, 0], [0, 1, 1, 0]],
    }
    assert image.boxes[image.labels.tolist().index(2)].tolist() == [1, 1, 3, 2]


def test_label_maps_without_a_table(maps):
    images = open_annotated(maps(rows=[[7, 7, 3, 255], [3, 3, 3, 3]]), masks=True)
    assert images.class_names == ("3", "7")
    assert images[0].masks.sum() == 7
    with pytest.raises(ValueError, match="all pixels are void"):
        open_annotated(maps(rows=[[255] * 4] * 2), masks=True)


def test_a_table_of_other_data(maps, tmp_path):
    maps(table=BY_NUMBER)
    other = tmp_path / "other.csv"
    other.write_text("name,id\nall,0\nall,1\nall,2\nvoid,255\n")
    images = open_annotated(f"labelmaps:{tmp_path}", masks=True, classes=str(other))
    assert images.class_names == ("all",)
    assert images[0].masks.sum() == 7
    other.write_bytes("name,id\nstraße,0\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"other.csv: expected UTF-8 text"):
        open_annotated(f"labelmaps:{tmp_path}", masks=True, classes=str(other))
    with pytest.raises(ValueError, match="for label maps alone"):
        open_annotated(f"imagefolder:{tmp_path}", classes=str(other))
    with pytest.raises(FileNotFoundError, match="expected a table of classes"):
        open_annotated(f"labelmaps:{tmp_path}", masks=True, classes="nowhere.csv")


def test_label_maps_that_are_refused(maps, tmp_path):
    images = open_annotated(maps(table=BY_NUMBER.replace("car,2\n", "")), masks=True)
    with pytest.raises(ValueError, match=r"a.png: 2 pixels are 2, which no class is; name it"):
        images[0]
    images = open_annotated(maps("colours", BY_COLOUR.replace("car,0,100,50\n", "")), masks=True)
    with pytest.raises(ValueError, match=r"2 pixels are \[0, 100, 50\], which no class is"):
        images[0]
    images = open_annotated(maps("colours", BY_NUMBER), masks=True)
    with pytest.raises(ValueError, match=r"a.png: cannot be read as a label map \(it has colours"):
        images[0]
    images = open_annotated(maps(table=BY_NUMBER, rows=[[0, 1], [1, 0]]), masks=True)
    with pytest.raises(
        ValueError, match="expected a label map of 4 x 2 pixels, as its picture has, got 2 x 2"
    ):
        images[0]
    (tmp_path / "labels" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="cannot be read as a label map"):
        images[0]
    for table, said in (
        ("name,id\na,0\nb,0\n", "line 3: .* stands for two classes"),
        ("name,id\na,x\n", "line 2: expected a name and an id"),
        ("name,r,g,b\na,1,2,300\n", "line 2: expected a name and a colour"),
        ("class,id\na,1\n", "expected the columns name and id, or name, red, green and blue"),
        ("name,id\nvoid,1\n", "expected classes, got none"),
    ):
        word = maps(table=table)
        with pytest.raises(ValueError, match=said):
            open_annotated(word, masks=True)


def test_label_maps_and_pictures_that_do_not_pair(maps, tmp_path):
    word = maps(table=BY_NUMBER)
    Image.new("RGB", (4, 2)).save(tmp_path / "images" / "b.png")
    with pytest.warns(UserWarning, match=r"1 pictures without a label map are left out \(first: b.png\)"):
        assert len(open_annotated(word, masks=True)) == 1
    (tmp_path / "images" / "deeper").mkdir()
    Image.new("RGB", (4, 2)).save(tmp_path / "images" / "deeper" / "a.png")
    with pytest.raises(ValueError, match="two files are called a"):
        open_annotated(word, masks=True)
    (tmp_path / "images" / "deeper" / "a.png").unlink()
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"a.png: its picture is missing"):
        open_annotated(word, masks=True)
    (tmp_path / "labels" / "a.png").unlink()
    with pytest.raises(ValueError, match="expected label maps, got none"):
        open_annotated(word, masks=True)
    with pytest.raises(FileNotFoundError, match="expected a folder images or JPEGImages in it"):
        open_annotated(f"labelmaps:{tmp_path / 'images'}", masks=True)


def test_scenes_written_as_label_maps_come_back(tmp_path):
    write_scenes(scenes(), tmp_path)
    images, drawn = open_annotated(f"labelmaps:{tmp_path}", masks=True), SceneImages(scenes(), ["semantic"])
    assert images.class_names == ("background", *drawn.class_names)
    for number in range(4):
        mine, semantic = images[number], drawn[number].semantic
        assert torch.equal(mine.pixels, drawn[number].pixels)
        for label, mask in zip(mine.labels.tolist(), mine.masks, strict=True):
            assert torch.equal(mask, semantic == label)
        assert mine.masks.sum() == semantic.numel()


# ---- panoptic ------------------------------------------------------------------------------------------


@pytest.fixture
def panoptic(tmp_path):
    """A picture of 6 x 2 pixels cut into two things, one of them a crowd, and sky; one pixel is void."""
    Image.new("RGB", (6, 2), "white").save(tmp_path / "a.png")
    ids = [5, 5, 300, 300, 70000, 0, 5, 5, 300, 300, 70000, 70000]
    drawn = Image.new("RGB", (6, 2))
    drawn.putdata([(number & 255, number >> 8 & 255, number >> 16) for number in ids])
    (tmp_path / "panoptic").mkdir()
    drawn.save(tmp_path / "panoptic" / "a.png")
    segments = [
        {"id": 5, "category_id": 17},
        {"id": 300, "category_id": 17, "iscrowd": 1},
        {"id": 70000, "category_id": 3},
    ]
    content = {
        "images": [{"id": 9, "file_name": "a.png", "width": 6, "height": 2}],
        "categories": [{"id": 17, "name": "cat", "isthing": 1}, {"id": 3, "name": "sky", "isthing": 0}],
        "annotations": [{"image_id": 9, "file_name": "a.png", "segments_info": segments}],
    }

    def write(change=None):
        changed = json.loads(json.dumps(content))
        if change is not None:
            change(changed)
        (tmp_path / "panoptic.json").write_text(json.dumps(changed))
        return f"panoptic:{tmp_path / 'panoptic.json'}"

    return write


def test_panoptic(panoptic):
    images = open_annotated(panoptic(), masks=True)
    assert (images.class_names, images.stuff, images.sizes) == (("cat", "sky"), {1}, [(2, 6)])
    image = images[0]
    assert image.labels.tolist() == [0, 0, 1]
    assert image.crowd.tolist() == [False, True, False]
    assert image.masks.sum((1, 2)).tolist() == [4, 4, 3]
    assert image.boxes.tolist() == [[0, 0, 2, 2], [2, 0, 4, 2], [4, 0, 6, 2]]
    assert not image.masks[:, 0, 5].any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["annotations"][0]["segments_info"][0].update(category_id=5), "unknown category_id 5"),
        (
            lambda c: c["annotations"][0]["segments_info"][0].update(id=300),
            "two segment entries have the id 300",
        ),
        (lambda c: c["annotations"].append(c["annotations"][0]), "two annotations are of image 9"),
        (lambda c: c["annotations"][0].pop("segments_info"), "expected a list segments_info"),
        (lambda c: c["annotations"][0].update(file_name="../a.png"), "leads out of the folder"),
        (lambda c: c["annotations"][0].pop("file_name"), "has no file_name"),
        (lambda c: c["categories"][0].update(name="sky"), "different names"),
        (lambda c: c["annotations"].clear(), "expected annotations of its images, got none"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*without an annotation")
def test_panoptic_faults_that_are_refused(panoptic, change, said):
    word = panoptic(change)
    with pytest.raises(ValueError, match=said):
        open_annotated(word, masks=True)


def test_panoptic_faults_that_are_found_in_the_map(panoptic, tmp_path):
    images = open_annotated(panoptic(lambda c: c["annotations"][0]["segments_info"].pop()), masks=True)
    with pytest.raises(ValueError, match=r"3 pixels are of segment 70000, which .* does not list"):
        images[0]
    extra = {"id": 6, "category_id": 3}
    images = open_annotated(
        panoptic(lambda c: c["annotations"][0]["segments_info"].append(extra)), masks=True
    )
    with pytest.warns(UserWarning, match=r"1 segments have no pixel and are left out \(first: 6\)"):
        assert len(images[0].labels) == 3
    images = open_annotated(panoptic(lambda c: c["images"][0].update(width=7)), masks=True)
    with pytest.raises(ValueError, match="expected 7 x 2 pixels"):
        images[0]
    with pytest.warns(UserWarning, match="1 annotations of images that it does not list are left out"):
        open_annotated(panoptic(lambda c: c["annotations"].append({"image_id": 1})), masks=True)
    second = {"id": 2, "file_name": "b.png", "width": 6, "height": 2}
    with pytest.warns(UserWarning, match=r"1 images without an annotation are left out \(first: b.png\)"):
        open_annotated(panoptic(lambda c: c["images"].append(second)), masks=True)
    (tmp_path / "panoptic" / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 1 PNGs are missing"):
        open_annotated(panoptic(), masks=True)
    with pytest.raises(FileNotFoundError, match="expected COCO's panoptic JSON"):
        open_annotated("panoptic:nowhere.json", masks=True)


# ---- data sets of the package datasets -----------------------------------------------------------------


def stored(tmp_path, features, rows):
    """Writes a data set as `datasets` does, and returns its data word."""
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict(rows, datasets.Features(features(datasets)))
    made.save_to_disk(tmp_path / "set")
    return f"hf:{tmp_path / 'set'}"


@pytest.mark.parametrize("as_list", [False, True], ids=["lists of columns", "list of objects"])
def test_objects_of_a_data_set(tmp_path, as_list):
    def features(datasets):
        box, names = datasets.List(datasets.Value("float32"), 4), datasets.ClassLabel(names=["dog", "cat"])
        objects = {"bbox": box, "category": names}
        if as_list:
            objects = datasets.List(objects)
        else:
            objects = {name: datasets.List(feature) for name, feature in objects.items()}
        return {"image": datasets.Image(), "objects": objects}

    columns = [{"bbox": [[2, 3, 6, 4], [1, 1, 0, 2]], "category": [1, 0]}, {"bbox": [], "category": []}]
    objects = [
        [{"bbox": b, "category": c} for b, c in zip(one["bbox"], one["category"], strict=True)]
        for one in columns
    ]
    pictures = [Image.new("RGB", (20, 10), "red"), Image.new("L", (8, 8))]
    word = stored(tmp_path, features, {"image": pictures, "objects": objects if as_list else columns})
    images = open_annotated(word)
    assert (images.class_names, len(images)) == (("dog", "cat"), 2)
    with pytest.warns(UserWarning, match="1 boxes without area are left out"):
        first = images[0]
    assert (first.boxes.tolist(), first.labels.tolist()) == ([[2, 3, 8, 7]], [1])
    assert first.pixels[:, 0, 0].tolist() == [255, 0, 0]
    assert (images[1].size, len(images[1].labels)) == ((8, 8), 0)
    with pytest.raises(ValueError, match="expected a column of pictures and one of objects"):
        open_annotated(word + "#image")
    with pytest.raises(ValueError, match="expected a column of pictures and one of label maps"):
        open_annotated(word, masks=True)


def test_objects_of_a_data_set_whose_categories_are_numbers(tmp_path):
    def features(datasets):
        objects = {
            "bbox": datasets.List(datasets.List(datasets.Value("float32"))),
            "category": datasets.List(datasets.Value("int64")),
            "iscrowd": datasets.List(datasets.Value("int64")),
        }
        return {"image": datasets.Image(), "objects": objects}

    pictures = [Image.new("RGB", (20, 10))] * 2
    rows = [
        {"bbox": [[0, 0, 2, 2], [3, 3, 4, 4]], "category": [11, 5], "iscrowd": [0, 1]},
        {"bbox": [[0, 0, 1]], "category": [5], "iscrowd": [0]},
    ]
    word = stored(tmp_path, features, {"image": pictures[:1], "objects": rows[:1]})
    images = open_annotated(word)
    assert images.class_names == ("5", "11")  # with gaps
    assert images[0].labels.tolist() == [1, 0]
    assert images[0].crowd.tolist() == [False, True]
    known = open_annotated(word, names=("11", "7", "5"))
    assert known.class_names == ("11", "7", "5")
    assert known[0].labels.tolist() == [0, 2]
    word = stored(tmp_path / "bad", features, {"image": pictures, "objects": rows})
    with pytest.raises(ValueError, match="row 1: expected objects with bbox"):
        open_annotated(word)


@pytest.mark.parametrize("column", ["annotation", "label", "what"])
def test_label_maps_of_a_data_set(tmp_path, column):
    def features(datasets):
        return {"image": datasets.Image(), column: datasets.Image()}

    rows = {"image": [Image.new("RGB", (4, 2), "white")], column: [map_picture("numbers")]}
    word = stored(tmp_path, features, rows)
    images = open_annotated(word, masks=True)
    assert images.class_names == ("0", "1", "2")
    assert images[0].masks.sum((1, 2)).tolist() == [3, 2, 2]
    table = tmp_path / "classes.csv"
    table.write_text(BY_NUMBER)
    assert open_annotated(f"{word}#{column}", masks=True, classes=str(table)).class_names[0] == "sky"


# ---- changes -------------------------------------------------------------------------------------------


def drawn_image():
    """A picture whose objects are filled fields of their own colours: boxes and masks can be read off."""
    pixels = torch.zeros(3, 40, 60, dtype=torch.uint8)
    boxes = [[5, 4, 25, 20], [30, 10, 52, 36]]
    masks = torch.zeros(2, 40, 60, dtype=torch.bool)
    semantic = torch.zeros(40, 60, dtype=torch.int64)
    for number, (left, top, right, bottom) in enumerate(boxes):
        pixels[number, top:bottom, left:right] = 255
        masks[number, top:bottom, left:right] = True
        semantic[top:bottom, left:right] = number + 1
    return AnnotatedImage(pixels, torch.tensor(boxes).float(), torch.tensor([0, 1]), masks, None, semantic)


@pytest.mark.parametrize(
    "change",
    [Flip(1.0), Crop(0.7), Pad(1.6, 1.0), Scale(0.5, 1.7), Fit(30, 50), Fit([20, 80])],
    ids=lambda change: type(change).__name__,
)
@pytest.mark.parametrize("seed", range(4))
def test_boxes_follow_what_is_seen(change, seed):
    """After each change the boxes are around the fields that can be seen, and masks and classes on them."""
    image = change(drawn_image(), torch.Generator().manual_seed(seed))
    assert len(image.labels) == 2
    for number in range(2):
        seen = box_of(image.pixels[number] > 127)
        assert (image.boxes[number] - torch.tensor(seen)).abs().max() <= 1, number
        differ = (image.masks[number] != (image.pixels[number] > 127)).float().mean()
        assert differ < 0.02
        assert torch.equal(image.semantic == number + 1, image.masks[number])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Fit(0), "Fit: expected sides of at least 1 pixel, got shortest=0 and longest=None"),
        (lambda: Fit((8, -1)), "Fit: expected sides of at least 1"),
        (lambda: Fit(None, 0), "Fit: expected sides of at least 1"),
        (lambda: Scale(0.0, 2.0), "Scale: expected 0 < least <= most, got least=0.0 and most=2.0"),
        (lambda: Scale(2.0, 1.0), "Scale: expected 0 < least <= most"),
        (lambda: Crop(0.0), "Crop: expected a share above 0 and at most 1, got least=0.0"),
        (lambda: Crop(1.5), "Crop: expected a share above 0"),
        (lambda: Pad(0.5), "Pad: expected sides of at least 1 times"),
    ],
)
def test_changes_that_make_no_sense(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_changes_without_chance_change_nothing():
    image, draw = drawn_image(), torch.Generator().manual_seed(0)
    for change in (Flip(0.0), Crop(0.5, 0.0), Pad(2.0, 0.0), Fit(None, 100)):
        assert change(image, draw) is image


def test_what_a_crop_leaves_nothing_of_is_gone():
    image = cropped(drawn_image(), (0, 40), (0, 30))
    assert image.labels.tolist() == [0]
    assert image.boxes.tolist() == [[5, 4, 25, 20]]
    without_masks = AnnotatedImage(*(getattr(drawn_image(), n) for n in ("pixels", "boxes", "labels")))
    assert cropped(without_masks, (0, 40), (10, 60)).boxes.tolist() == [[0, 4, 15, 20], [20, 10, 42, 36]]


def test_colour_and_place():
    image = drawn_image()
    changed = Colour(0.5)(image, torch.Generator().manual_seed(0))
    assert torch.equal(changed.boxes, image.boxes)
    assert not torch.equal(changed.pixels, image.pixels)
    assert padded(image, (50, 70), (3, 7)).boxes[0].tolist() == [12, 7, 32, 23]
    assert resized(image, (80, 30)).boxes[0].tolist() == [2.5, 8, 12.5, 40]


def test_an_image_whose_parts_do_not_fit():
    with pytest.raises(ValueError, match=r"image 0: expected boxes \(1, 4\)"):
        AnnotatedImage(torch.zeros(3, 4, 4), torch.zeros(2, 4), torch.zeros(1))
    with pytest.raises(ValueError, match=r"expected masks \(1, 4, 4\)"):
        AnnotatedImage(torch.zeros(3, 4, 4), torch.zeros(1, 4), torch.zeros(1), torch.zeros(1, 4, 5))


# ---- batches -------------------------------------------------------------------------------------------


class Sizes:
    """Empty pictures, wide and tall by turns."""

    class_names = ("a",)
    print = "sizes"

    def __init__(self, count):
        self.sizes = [(20, 30) if number % 3 else (30, 20) for number in range(count)]

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, number):
        height, width = self.sizes[number]
        pixels = torch.full((3, height - number, width), 255, dtype=torch.uint8)
        return AnnotatedImage(pixels, torch.tensor([[2.0, 4.0, 8.0, 10.0]]), torch.tensor([0]), key=number)


def test_batches_are_padded_and_grouped():
    preparation = Preparation(mean=(0.5,) * 3, std=(0.5,) * 3)
    loader = detection_batches(Sizes(9), preparation, 2)
    batches = list(loader)
    assert [len(pixels) for pixels, *_ in batches] == [2, 2, 2, 2, 1]
    for pixels, mask, targets in batches:
        wide = pixels.shape[3] == 30
        assert pixels.shape[3] in (20, 30)
        assert (pixels == 1).all(1).eq(mask).all()
        assert not pixels[~mask[:, None].expand_as(pixels)].any()
        for row, target in enumerate(targets):
            height = int(mask[row].any(1).sum())
            x, y, w, h = target["boxes"][0].tolist()
            width = 30 if wide else 20
            assert [x * width, y * height, w * width, h * height] == pytest.approx([5, 7, 6, 6])
    again = [targets[0]["boxes"] for *_, targets in detection_batches(Sizes(9), preparation, 2, shuffle=True)]
    same = [targets[0]["boxes"] for *_, targets in detection_batches(Sizes(9), preparation, 2, shuffle=True)]
    assert all(torch.equal(a, b) for a, b in zip(again, same, strict=True))


def test_masks_are_padded_as_images_are():
    images = [drawn_image(), cropped(drawn_image(), (0, 30), (0, 60))]

    class Two:
        class_names, print, sizes = ("a", "b"), "two", None

        def __len__(self):
            return 2

        def __getitem__(self, number):
            return images[number]

    ((pixels, mask, targets),) = detection_batches(Two(), Preparation(multiple=16), 2)
    assert pixels.shape == (2, 3, 48, 64)
    assert [target["masks"].shape for target in targets] == [(2, 48, 64)] * 2
    assert not targets[1]["masks"][:, 30:].any()
    assert mask[1].sum() == 30 * 60


@pytest.mark.slow
def test_processes_read_the_same_batches():
    images, preparation = SceneImages(scenes(6)), Preparation()
    options = {"changes": [Flip(), Scale(0.8, 1.2)], "shuffle": True, "seed": 2}
    alone = list(detection_batches(images, preparation, 2, **options))
    loader = detection_batches(images, preparation, 2, workers=2, **options)
    for one, other in zip(alone, loader, strict=True):
        assert torch.equal(one[0], other[0])
        assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(one[2], other[2], strict=True))
    loader.close()


def test_preparation_is_read_back_and_as_transformers_has_it(tmp_path):
    transformers = pytest.importorskip("transformers")
    preparation = Preparation(32, 64, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    (tmp_path / "preprocessor_config.json").write_text(preparation.file_text())
    assert Preparation.load(tmp_path) == preparation
    theirs = transformers.DetrImageProcessorPil.from_pretrained(tmp_path)
    image = drawn_image()
    expected = theirs(image.pixels.permute(1, 2, 0).numpy(), return_tensors="pt")
    fitted = preparation.fit()(image, torch.Generator())
    pixels, mask = preparation.batch([fitted])
    assert expected["pixel_values"].shape == pixels.shape
    assert (expected["pixel_values"] - pixels).abs().mean() < 0.02  # resized by another program
    assert torch.equal(expected["pixel_mask"].bool(), mask)
    published = Preparation.load(tmp_path / "nowhere")
    assert (published.shortest, published.longest) == (800, 1333)
    for other in (Preparation(None, 64), Preparation(32, 64, multiple=8), Preparation()):
        (tmp_path / "preprocessor_config.json").write_text(other.file_text())
        assert Preparation.load(tmp_path) == other
    for wrong, said in (
        ({"image_mean": [1]}, "three channels"),
        ({"image_mean": ["a", 1, 2]}, "three channels"),
        ({"image_std": 1}, "three channels"),
        ({"image_std": [1, 0, 1]}, "above 0, got"),
        ({"size": {"shortest_edge": 0}}, "above 0, got"),
        ({"size": {"shortest_edge": "a"}}, "above 0, got"),
        ({"size": {"height": 5, "width": 6}}, "as short"),
    ):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=said):
            Preparation.load(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"do_rescale": False},
        {"do_normalize": False},
        {"rescale_factor": 1 / 127.5, "do_resize": False, "size": {"height": 4, "width": 4}},
    ],
)
def test_pictures_become_the_numbers_that_the_file_says(tmp_path, fields):
    transformers = pytest.importorskip("transformers")
    preparation, image = Preparation(40, 60, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)), drawn_image()
    fields = json.loads(preparation.file_text()) | fields
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(fields))
    theirs = transformers.DetrImageProcessorPil.from_pretrained(tmp_path)
    expected = theirs(image.pixels.permute(1, 2, 0).numpy(), return_tensors="pt")["pixel_values"]
    loaded = Preparation.load(tmp_path)
    pixels, _ = loaded.batch([loaded.fit()(image, torch.Generator())])
    torch.testing.assert_close(pixels, expected, rtol=1e-5, atol=1e-4)


# ---- measures ------------------------------------------------------------------------------------------


def test_average_precision_of_what_is_known():
    """All found: 1. One of two found: half of the recall. The wrong class: 0. A crowd counts for nothing."""
    pytest.importorskip("pycocotools")
    image = drawn_image()
    whole = Found(torch.tensor([0.9, 0.8]), image.labels, image.boxes, image.masks)
    names = ("a", "b")
    for masks in (False, True):
        measured = average_precision([(image, whole)], names, masks=masks)
        assert [measured[name] for name in ("AP", "AP50", "AP of a")] == pytest.approx([1, 1, 1])
    half = Found(whole.scores[:1], whole.labels[:1], whole.boxes[:1])
    assert average_precision([(image, half)], names)["AP"] == pytest.approx(0.5)
    wrong = Found(whole.scores, 1 - whole.labels, whole.boxes)
    assert average_precision([(image, wrong)], names)["AP"] == 0
    nothing = Found(torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4))
    assert average_precision([(image, nothing)], names)["AP"] == 0
    shifted = Found(whole.scores, whole.labels, whole.boxes + torch.tensor([3.0, 0.0, 3.0, 0.0]))
    measured = average_precision([(image, shifted)], names)
    # overlaps 17 / 23 and 19 / 25: right for 0.50 ... 0.70, and for 0.75 in the second class alone
    assert measured["AP of a"] == pytest.approx(0.5)
    assert measured["AP of b"] == pytest.approx(0.6)
    crowd = AnnotatedImage(image.pixels, image.boxes, image.labels, crowd=torch.tensor([False, True]))
    assert average_precision([(crowd, half)], names)["AP"] == pytest.approx(1)
    assert "AP of b" not in average_precision([(crowd, half)], names)
    empty = image.select(torch.tensor([], dtype=torch.int64))
    crowds = AnnotatedImage(image.pixels, image.boxes, image.labels, crowd=torch.tensor([True, True]))
    for bare in (empty, crowds):
        with pytest.raises(ValueError, match="at least one object"):
            average_precision([(bare, nothing)], names)


@pytest.mark.parametrize("masks", [False, True])
def test_average_precision_of_a_file_is_that_of_pycocotools(coco, masks):
    """By size, too, for which it takes the areas that the file gives; a crowd takes what is found in it."""
    from contextlib import redirect_stdout
    from io import StringIO

    from ds_zoo.data.annotated.average_precision import NAMES, coco_results
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def change(content):
        for one, area in zip(content["annotations"], (32.0**2 + 1, 5), strict=True):
            one.update(area=area, iscrowd=one.get("iscrowd", 0))

    path = coco(change)
    images = CocoImages(path, masks=masks)
    image = images[0]
    assert image.areas.tolist() == [1025, 5]
    assert resized(image, (20, 40)).areas is None
    boxes, seen = image.boxes + torch.tensor([0.0, 0.0, 1.0, 0.0]), CocoImages(path, masks=True)[0].masks
    found = Found(torch.tensor([0.9, 0.8]), image.labels, boxes, seen)
    with redirect_stdout(StringIO()):
        truth = COCO(str(path))
        results = truth.loadRes(coco_results(found, image.key, images.category_ids, masks=masks))
        official = COCOeval(truth, results, "segm" if masks else "bbox")
        official.params.imgIds = [image.key]
        official.evaluate()
        official.accumulate()
        official.summarize()
    expected = {n: v for n, v in zip(NAMES, official.stats.tolist(), strict=True) if v >= 0}
    measured = average_precision([(image, found)], images.class_names, masks=masks)
    assert {name: measured[name] for name in NAMES if name in measured} == pytest.approx(expected)
    assert "AP medium" in expected
    assert "AP small" not in expected


def test_a_drawn_picture_shows_its_boxes():
    image = drawn_image()
    drawn = draw_objects(image.pixels, image.boxes, [0, 1], ("cat", "dog"), [0.5, 0.75], image.masks)
    factor = drawn.width // 60
    assert drawn.size == (60 * factor, 40 * factor)
    assert min(drawn.size) >= 480
    from ds_zoo.data.annotated.drawing import COLOURS

    for number, box in enumerate(image.boxes.tolist()):
        bottom_right = (int(box[2] * factor), int(box[3] * factor))
        assert drawn.getpixel(bottom_right) == COLOURS[number]


def test_nothing_is_warned_of_what_is_right(coco):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CocoImages(coco())
    assert Path(coco()).is_file()
