"""Annotated images: formats and their faults, changes that keep boxes right, batches, measures, pictures."""

import json
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
from ds_zoo.data.annotated.coco import decoded, encoded
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
    for text, said in (
        (json.dumps(rows[0]) + "\n" + json.dumps(rows[0]), "'a.png' is listed twice"),
        ('{"file_name": "a.png", "objects": {"bbox": [[1, 2, 3, 4]]}}', "line 1: expected file_name"),
        ("{", "line 1"),
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
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [1]}')
    with pytest.raises(ValueError, match="three channels"):
        Preparation.load(tmp_path)


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
    with pytest.raises(ValueError, match="at least one object"):
        average_precision([(empty, nothing)], names)


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
