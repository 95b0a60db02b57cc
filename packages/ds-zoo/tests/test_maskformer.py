"""MiniMaskFormer: parity with Hugging Face's MaskFormer, files both ways, matching, segments, and errors."""

import json
from collections import defaultdict
from dataclasses import replace
from math import hypot
from typing import NamedTuple

import pytest
import torch
from ds_core import Callback, DiceLoss, FocalLoss, engine
from ds_core.checks import Partial
from ds_core.training.files import load_tensors
from ds_zoo.backbone import BackboneConfig
from ds_zoo.data.annotated import SceneImages
from ds_zoo.data.annotated.image import AnnotatedImage
from ds_zoo.data.scenes import Scenes, write_scenes
from ds_zoo.detr.matching import Matched
from ds_zoo.maskformer import DecoderConfig, MaskFormerLoss, MiniMaskFormer, MiniMaskFormerConfig
from ds_zoo.maskformer.data import VOID, class_maps, targets_of
from ds_zoo.maskformer.matching import mask_costs, nearest
from ds_zoo.maskformer.metrics import PanopticQuality, SemanticScores
from ds_zoo.maskformer.segments import Said, Segment, Segmentation, instances, panoptic, semantic
from ds_zoo.maskformer.train import (
    Recipe,
    evaluate,
    load,
    measure,
    open_images,
    predict,
    preparation_of,
    scenes,
    things_of,
    train,
)
from ds_zoo.maskformer.visualize import draw_matching, query_attention
from PIL import Image

transformers = pytest.importorskip("transformers")

STAGES = {"basic": [4, 6, 8, 10], "bottleneck": [16, 8, 12, 20]}
LABELS = ("cat", "dog", "cow")
SHOWN = (
    *("class_queries_logits", "masks_queries_logits", "transformer_decoder_last_hidden_state"),
    *("pixel_decoder_last_hidden_state", "encoder_last_hidden_state"),
)


def maskformer(layer_type="basic", width=12, **options):
    """Hugging Face's MaskFormer of random weights and statistics, none of them 0 or 1 as they begin."""
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        embedding_size=4,
        hidden_sizes=STAGES[layer_type],
        depths=[1, 2, 1, 1],
        layer_type=layer_type,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    decoder = transformers.DetrConfig(
        d_model=width,
        num_queries=6,
        decoder_layers=3,
        decoder_attention_heads=2,
        decoder_ffn_dim=20,
        dropout=0.0,
    )
    config = transformers.MaskFormerConfig(
        backbone_config=backbone,
        decoder_config=decoder,
        fpn_feature_size=32,
        mask_feature_size=9,
        attn_implementation="eager",
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
        **options,
    )
    model = transformers.MaskFormerForInstanceSegmentation(config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and "empty_weight" not in name:
                tensor.add_(0.5 * torch.rand_like(tensor) if "running_var" in name else 0.1)
                tensor.add_(0 if "running_var" in name else 0.1 * torch.randn_like(tensor))
    return model.eval()  # their batch norms are frozen, as published


def batch(dtype=torch.float32):
    """Three images of different sizes, with padding below and to the right, and their segments."""
    draw = torch.Generator().manual_seed(3)
    pixels = torch.randn(3, 3, 70, 96, generator=draw, dtype=dtype)
    masks, classes = [], []
    sizes, counts = ((70, 96), (64, 50), (33, 96)), (3, 1, 0)
    for number, ((height, width), count) in enumerate(zip(sizes, counts, strict=True)):
        pixels[number, :, height:] = 0
        pixels[number, :, :, width:] = 0
        drawn = torch.rand(count, height // 8 + 1, width // 8 + 1, generator=draw) > 0.6
        drawn = drawn.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width]
        masks.append(drawn.to(dtype))
        classes.append(torch.randint(0, 3, (count,), generator=draw))
    return pixels, masks, classes


def as_large_as(pixels, masks):
    """Masks with padding, as their image processor hands them over."""
    size = pixels.shape[2:]
    return [torch.nn.functional.pad(m, (0, size[1] - m.shape[2], 0, size[0] - m.shape[1])) for m in masks]


def with_auxiliary_loss(theirs, pixels, masks, classes):
    """The loss of all layers as the paper's authors add it: of what each layer's output, normed, says.

    transformers' own forward takes the input of the first layer and the others' outputs without their norm
    for it, so that only the last of its layers is told what will be read.
    """
    given = []
    parts = theirs.model.transformer_module.decoder
    hooks = [layer.register_forward_hook(lambda _, __, x: given.append(x)) for layer in parts.layers]
    found = theirs(pixels)
    for hook in hooks:
        hook.remove()
    states = torch.stack([parts.layernorm(x) for x in given])
    scores = theirs.class_predictor(states)
    embeddings = theirs.mask_embedder(states)
    drawn = torch.einsum("lbqc,bchw->lbqhw", embeddings, found.pixel_decoder_last_hidden_state)
    torch.testing.assert_close(drawn[-1], found.masks_queries_logits)
    others = [
        {"masks_queries_logits": m, "class_queries_logits": c}
        for m, c in zip(drawn[:-1], scores[:-1], strict=True)
    ]
    terms = theirs.get_loss_dict(drawn[-1], scores[-1], masks, classes, others)
    return found, sum(terms.values()), terms, scores, drawn


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-300)).item()


def on_disk(model, folder):
    model.save_pretrained(folder)
    tensors = load_tensors(folder / "model.safetensors")[0]
    tensors.pop("criterion.empty_weight", None)  # follows from the configuration
    return {name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")}


def assert_equal_gradients(ours, theirs, folder, tolerance, norms):
    """Compares the gradients of all parameters; of the backbone's norms only where they learn."""
    files = []
    for model in (ours, theirs):
        with torch.no_grad():
            for parameter in model.parameters():
                grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.data = grad.clone()
        files.append(on_disk(model, folder / f"grad{len(files)}"))
    mine, other = files
    assert mine.keys() == other.keys()
    learned = {n: t for n, t in other.items() if "normalization" not in n or (norms and "running" not in n)}
    scale = max(t.abs().max().item() for t in learned.values())
    for name, expected in learned.items():
        error = (mine[name] - expected).abs().max().item()
        assert error <= tolerance * max(expected.abs().max().item(), 1e-3 * scale), name


def with_weights_of(model, **changes):
    made = MiniMaskFormer(replace(model.config, **changes))
    made.load_state_dict(made.state_dict() | model.state_dict())
    return made


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-8)])
@pytest.mark.parametrize(
    ("layer_type", "width", "norm", "auxiliary"),
    [("basic", 12, "frozen", True), ("bottleneck", 20, "batch", False)],
)
def test_equals_transformers(tmp_path, layer_type, width, norm, auxiliary, dtype, tolerance):
    """Outputs, the loss and its terms, and every gradient, the images' too; images of different sizes."""
    theirs = maskformer(layer_type, width)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MiniMaskFormer.from_pretrained(tmp_path / "theirs")
    assert (ours.input_projection is None) == (layer_type == "bottleneck")
    backbone = replace(ours.config.backbone_config, norm=norm)
    ours = with_weights_of(ours, use_auxiliary_loss=auxiliary, backbone_config=backbone).train().to(dtype)
    theirs.to(dtype).train(norm == "batch")
    pixels, masks, classes = batch(dtype)
    their_pixels = pixels.clone().requires_grad_()
    expected, loss, terms, *layers = with_auxiliary_loss(
        theirs, their_pixels, as_large_as(pixels, masks), classes
    )
    if not auxiliary:
        expected = theirs(their_pixels, as_large_as(pixels, masks), classes)
        loss, layers = expected.loss, []
        terms = {name: term for name, term in terms.items() if not name[-1].isdigit()}
    loss.backward()
    with engine("manual"):
        output = ours(pixels, masks, classes)
        grad_pixels = ours.backward()
    for name in SHOWN:
        assert relative(getattr(output, name), getattr(expected, name)) < tolerance, name
    assert relative(output.loss, loss) < tolerance
    weights = {"loss_cross_entropy": 1.0, "loss_mask": 20.0, "loss_dice": 1.0}
    assert ours.loss.terms.keys() == terms.keys()
    for name, term in terms.items():
        weight = next(w for kind, w in weights.items() if name.startswith(kind))
        assert abs(weight * ours.loss.terms[name] - term) <= tolerance * abs(term), name
    for number, layer in enumerate(output.auxiliary_logits or ()):
        for mine, other in zip(layer, layers, strict=True):
            assert relative(mine, other[number]) < tolerance
    assert relative(grad_pixels, their_pixels.grad) < tolerance
    assert_equal_gradients(ours, theirs, tmp_path, tolerance, norm == "batch")


@pytest.mark.parametrize("layer_type", ["basic", "bottleneck"])
def test_weights_go_both_ways(tmp_path, layer_type):
    theirs = maskformer(layer_type)
    before = on_disk(theirs, tmp_path / "theirs")
    ours = MiniMaskFormer.from_pretrained(tmp_path / "theirs")
    assert not ours.training
    assert ours.config.labels == LABELS
    after = on_disk(ours, tmp_path / "ours")
    assert after.keys() == before.keys()
    assert all(torch.equal(after[tensor], before[tensor]) for tensor in before)
    again, how = transformers.MaskFormerForInstanceSegmentation.from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert {n for n in how["missing_keys"] if not n.endswith("num_batches_tracked")} <= {
        "criterion.empty_weight"  # they make it from the configuration
    }
    assert not how["unexpected_keys"]
    pixels, *_ = batch()
    with torch.no_grad():
        mine, expected = ours(pixels), again.eval()(pixels)
    assert relative(mine.class_queries_logits, expected.class_queries_logits) < 1e-5
    assert relative(mine.masks_queries_logits, expected.masks_queries_logits) < 1e-5
    assert again.config.id2label == dict(enumerate(LABELS))
    assert torch.allclose(again.criterion.empty_weight, torch.tensor([1.0, 1.0, 1.0, 0.1]))


def test_what_transformers_has_no_word_for_comes_back(tmp_path):
    model = small(masked_attention=True, multi_scale=True, finer_masks=2, use_auxiliary_loss=True).eval()
    model.save_pretrained(tmp_path)
    again = MiniMaskFormer.from_pretrained(tmp_path)
    assert again.config == model.config
    x = torch.randn(2, 3, 32, 32)
    assert again(x).masks_queries_logits.shape[2:] == (16, 16)
    assert torch.equal(again(x).masks_queries_logits, model(x).masks_queries_logits)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"fpn_feature_size": 40}, "fpn_feature_size to be a multiple of 32"),
        ({"mask_weight": -1.0}, "mask_weight of at least 0"),
        ({"decoder_config": {"model_type": "mask2former"}}, "expected model_type 'detr'"),
        ({"decoder_config": {"model_type": "detr", "d_model": 12}}, "decoder_attention_heads to divide"),
        ({"decoder_config": {"auxiliary_loss": True}}, "expected auxiliary_loss=False"),
        ({"backbone_config": {"model_type": "swin"}}, "expected model_type 'resnet', got 'swin'"),
        ({"backbone_config": None}, "expected backbone_config"),
        ({"feature_strides": [4, 8]}, "unknown setting feature_strides"),
        ({"id2label": {"1": "cat", "2": "dog"}}, "to number num_labels"),
    ],
)
def test_configurations_that_are_refused(tmp_path, setting, said):
    small().save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | setting))
    with pytest.raises(ValueError, match=said):
        MiniMaskFormer.from_pretrained(tmp_path)


# ---- matching and loss ---------------------------------------------------------------------------------


def test_costs_are_the_losses_of_each_pair():
    draw = torch.Generator().manual_seed(0)
    logits, masks = torch.randn(2, 3, 4, 5, generator=draw), torch.rand(2, 2, 4, 5, generator=draw).round()
    costs = mask_costs(logits, masks, 20.0, 2.0)
    for image in range(2):
        for q in range(3):
            for n in range(2):
                pair = logits[image, q][None], masks[image, n][None]
                expected = 20 * FocalLoss()(*pair) + 2 * DiceLoss()(*pair)
                torch.testing.assert_close(costs[image, q, n], expected)


@pytest.mark.parametrize(("old", "new"), [((70, 96), (18, 24)), ((33, 50), (9, 13)), ((6, 8), (13, 20))])
def test_masks_of_another_size(old, new):
    masks = torch.rand(3, *old, generator=torch.Generator().manual_seed(0)).round()
    expected = torch.nn.functional.interpolate(masks[:, None], size=new)[:, 0]
    assert torch.equal(nearest(masks, new), expected)


def test_images_without_segments_teach_nothing_but_nothing():
    loss, draw = MaskFormerLoss(2), torch.Generator().manual_seed(0)
    classes, masks = torch.randn(2, 2, 3, 3, generator=draw), torch.randn(2, 2, 3, 4, 4, generator=draw)
    none = {"class_labels": torch.zeros(0, dtype=torch.int64), "masks": torch.zeros(0, 8, 8)}
    with engine("manual"):
        found = loss(classes, masks, [none, none])
        grad_classes, grad_masks = loss.backward()
    torch.testing.assert_close(found, -torch.log_softmax(classes, -1)[..., -1].mean((1, 2)).sum())
    assert not grad_masks.any()
    assert grad_classes.isfinite().all()


def test_more_segments_than_queries_are_told():
    labels = [{"class_labels": torch.tensor([0, 1, 1]), "masks": torch.rand(3, 8, 8).round()}]
    with pytest.warns(UserWarning, match="1 of 3 objects get no query"):
        assert MaskFormerLoss(2)(torch.randn(1, 1, 2, 3), torch.randn(1, 1, 2, 4, 4), labels).isfinite()


def test_a_segment_without_a_pixel_is_a_segment_like_any_other():
    labels = [{"class_labels": torch.tensor([1]), "masks": torch.zeros(1, 8, 8, dtype=torch.bool)}]
    loss = MaskFormerLoss(2)
    with engine("manual"):
        assert loss(torch.randn(1, 1, 2, 3), torch.randn(1, 1, 2, 4, 4), labels).isfinite()
        assert all(grad.isfinite().all() for grad in loss.backward())


@pytest.mark.parametrize(
    ("labels", "error", "said"),
    [
        ([([3], (1, 8, 8))], IndexError, "image 0: expected classes from 0 to 2, got 3"),
        ([([-1], (1, 8, 8))], IndexError, "got -1"),
        ([([1], (2, 8, 8))], ValueError, r"expected masks \(1, H, W\)"),
        ([([1], (8, 8))], ValueError, r"expected masks \(1, H, W\)"),
        ([([0.5], (1, 8, 8))], TypeError, "class_labels as whole numbers, got torch.float32"),
        ([], ValueError, "expected labels of 1 images"),
        ([([1], (1, 8, 8))] * 2, ValueError, "got 2"),
    ],
)
def test_wrong_labels(labels, error, said):
    given = [{"class_labels": torch.tensor(c), "masks": torch.zeros(size)} for c, size in labels]
    with pytest.raises(error, match=said):
        MaskFormerLoss(3)(torch.randn(1, 1, 4, 4), torch.randn(1, 1, 4, 2, 2), given)


@pytest.mark.parametrize("colour", [255, -1, float("nan")])
def test_masks_are_no_pictures(colour):
    labels = [{"class_labels": torch.tensor([1]), "masks": torch.full((1, 8, 8), colour)}]
    with pytest.raises(ValueError, match=f"image 0: expected masks of 0 and 1, got {colour}"):
        MaskFormerLoss(3)(torch.randn(1, 1, 4, 4), torch.randn(1, 1, 4, 2, 2), labels)


# ---- the model -----------------------------------------------------------------------------------------


def small(**changes):
    config = MiniMaskFormerConfig(
        BackboneConfig(3, 8, (8, 8), (1, 1), "basic", "group"),
        DecoderConfig(8, 4, 2, 2, 12, dropout=0.0),
        *(32, 5),
        **{"labels": LABELS} | changes,
    )
    return MiniMaskFormer(config, generator=torch.Generator().manual_seed(0))


def test_wrong_calls():
    model, x = small(), torch.randn(2, 3, 32, 32)
    none = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"expected images \(B, 3, H, W\), at least one, got \(2, 1, 32"):
        model(torch.randn(2, 1, 32, 32))
    with pytest.raises(ValueError, match=r"at least one, got \(0, 3, 32, 32\)"):
        model(torch.randn(0, 3, 32, 32))
    with pytest.raises(ValueError, match="both mask_labels and class_labels"):
        model(x, [torch.zeros(0, 32, 32)] * 2)
    with pytest.raises(ValueError, match="of as many images, got 2 and 1"):
        model(x, [torch.zeros(0, 32, 32)] * 2, [none])
    with pytest.raises(ValueError, match=r"image 1: expected masks .* of at most \(32, 32\)"):
        model(x, [torch.zeros(0, 32, 32), torch.zeros(0, 33, 32)], [none, none])
    with engine("manual"):
        model(x)
        with pytest.raises(ValueError, match="forward got no labels"):
            model.backward()


# ---- segments ------------------------------------------------------------------------------------------


class Outputs(NamedTuple):
    class_queries_logits: torch.Tensor
    masks_queries_logits: torch.Tensor


def outputs(queries=7, seed=0):
    """What a model may say that is sure of most things: blobs of which some overlap."""
    draw = torch.Generator().manual_seed(seed)
    classes = 4 * torch.randn(2, queries, 4, generator=draw)
    owner = torch.randint(0, queries, (2, 1, 3, 4), generator=draw)
    coarse = torch.where(owner == torch.arange(queries)[:, None, None], 7.0, -7.0)
    coarse = coarse + 3 * torch.randn(coarse.shape, generator=draw)
    masks = torch.nn.functional.interpolate(coarse, size=(12, 16), mode="bilinear")
    return Outputs(classes, masks)


@pytest.fixture(scope="module")
def processor():
    return transformers.MaskFormerImageProcessor()


@pytest.mark.parametrize("sizes", [None, [(30, 41), (12, 9)]], ids=["map", "images"])
@pytest.mark.parametrize("seed", range(3))
def test_segments_are_those_of_transformers(processor, seed, sizes):
    found = outputs(seed=seed)
    for ours, theirs in zip(
        semantic(found, sizes), processor.post_process_semantic_segmentation(found, sizes), strict=True
    ):
        assert torch.equal(ours, theirs)
    for fuse in (set(), {0, 1, 2}):
        expected = processor.post_process_panoptic_segmentation(
            found, label_ids_to_fuse=fuse, target_sizes=sizes
        )
        mine = panoptic(found, sizes, label_ids_to_fuse=fuse)
        assert any(ours.segments for ours in mine)
        for ours, theirs in zip(mine, expected, strict=True):
            assert torch.equal(ours.segmentation, theirs["segmentation"].long().clamp(min=0))
            info = {segment["id"]: segment for segment in reversed(theirs["segments_info"])}
            for segment in ours.segments:  # theirs lists a fused segment again for each of its parts
                other = info.pop(segment.id)
                assert (segment.label_id, segment.was_fused) == (other["label_id"], other["was_fused"])
                assert segment.score == pytest.approx(other["score"], abs=2e-6)
                assert torch.equal(ours.masks[segment.id - 1], ours.segmentation == segment.id)
            assert not info
    expected = processor.post_process_instance_segmentation(
        found, target_sizes=sizes, return_binary_maps=True
    )
    for ours, theirs in zip(instances(found, sizes), expected, strict=True):
        assert len(ours.segments) == len(theirs["segments_info"]) > 0
        order = sorted(theirs["segments_info"], key=lambda segment: -segment["score"])
        for segment, other in zip(ours.segments, order, strict=True):
            assert segment.label_id == other["label_id"]
            assert segment.score == pytest.approx(other["score"], abs=2e-6)
            assert torch.equal(ours.masks[segment.id - 1], theirs["segmentation"][other["id"]].bool())
        scores = [segment.score for segment in ours.segments]
        assert scores == sorted(scores, reverse=True)
        top = torch.where(ours.masks.any(0), ours.masks.int().argmax(0) + 1, 0)
        assert torch.equal(ours.segmentation, top)  # the surest covers the others


def test_numbers_of_segments_are_their_own():
    """transformers goes on counting from the last fused segment, and gives two segments one number."""
    classes = torch.full((1, 4, 3), -9.0)
    for query, label in enumerate((0, 1, 0, 1)):
        classes[0, query, label] = 9.0
    masks = torch.full((1, 4, 4, 4), -9.0)
    for query in range(4):
        masks[0, query, query] = 9.0
    (found,) = panoptic(Outputs(classes, masks), label_ids_to_fuse={0})
    assert found.segmentation[:, 0].tolist() == [1, 2, 1, 3]
    assert [segment.label_id for segment in found.segments] == [0, 1, 1]
    assert [segment.was_fused for segment in found.segments] == [True, False, False]


def test_nothing_found():
    nothing = Outputs(torch.tensor([[[0.0, 0.0, 9.0]]]), torch.randn(1, 1, 4, 4))
    for found in (*panoptic(nothing), *instances(nothing), *panoptic(nothing, [(8, 6)])):
        assert not found.segmentation.any()
        assert found.segments == ()
        assert len(found.masks) == 0
    with pytest.raises(ValueError, match="sizes for 1 images, got 2"):
        semantic(nothing, [(4, 4), (4, 4)])


# ---- metrics -------------------------------------------------------------------------------------------


def maps(seed, size=(13, 17), count=4):
    """Two maps of classes that agree in part, and pixels nobody knows."""
    draw = torch.Generator().manual_seed(seed)
    target = torch.randint(0, count, (3, 4), generator=draw)
    target = target.repeat_interleave(5, 0).repeat_interleave(5, 1)[: size[0], : size[1]]
    prediction = target.roll(1, 0).where(torch.rand(size, generator=draw) > 0.1, target.roll(2, 1))
    return prediction, target.masked_fill(torch.rand(size, generator=draw) > 0.95, 255)


def test_the_score_of_a_class_is_its_mean_share():
    scores = torch.tensor([[[3.0, 1.0, 0.0]], [[1.0, 3.0, 2.0]], [[0.0, 0.0, 0.0]]])
    found = Segmentation.of_classes(scores)
    assert found.segmentation.tolist() == [[1, 2, 2]]
    assert [(s.label_id, s.score) for s in found.segments] == [(0, 0.75), (1, 0.875)]


def plain_semantic(pairs, classes):
    """Mean IoU, pixel accuracy and boundary F by sets of pixels."""
    sets = [[defaultdict(set), defaultdict(set)] for _ in pairs]
    right = known = 0
    for (prediction, target), (ours, theirs) in zip(pairs, sets, strict=True):
        for y, row in enumerate(target.tolist()):
            for x, label in enumerate(row):
                if label != 255:
                    ours[int(prediction[y, x])].add((y, x))
                    theirs[label].add((y, x))
                    right, known = right + (int(prediction[y, x]) == label), known + 1
    ious = []
    for label in range(classes):
        both = sum(len(ours[label] & theirs[label]) for ours, theirs in sets)
        either = sum(len(ours[label] | theirs[label]) for ours, theirs in sets)
        if either:
            ious.append(both / either)
    marks = []
    for ours, theirs in sets:
        everywhere = set().union(*theirs.values())
        of_image = []
        for label in range(classes):
            edges = [
                {
                    (y, x)
                    for y, x in pixels[label]
                    if {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)} & (everywhere - pixels[label])
                }
                for pixels in (ours, theirs)
            ]
            if ours[label] or theirs[label]:
                near = [
                    sum(any(hypot(y - v, x - u) <= 1 for v, u in other) for y, x in one) / max(1, len(one))
                    for one, other in (edges, edges[::-1])
                ]
                of_image.append(2 * near[0] * near[1] / sum(near) if sum(near) else 0.0)
        marks.append(sum(of_image) / len(of_image))
    return {
        "mean_iou": sum(ious) / len(ious),
        "pixel_accuracy": right / known,
        "boundary_f": sum(marks) / len(marks),
    }


def test_semantic_scores_equal_a_plain_count():
    pairs = [maps(seed) for seed in range(4)]
    scores = SemanticScores(5, void=255)
    for pair in pairs:
        scores.update(*pair)
    assert scores.compute() == pytest.approx(plain_semantic(pairs, 5))
    assert scores.iou().isnan().tolist() == [False] * 4 + [True]


def plain_panoptic(pairs, void):
    """PQ, SQ and RQ by sets of pixels."""
    counts = defaultdict(lambda: [0.0, 0, 0, 0])
    for prediction, segments, target, true in pairs:
        places = [(y, x) for y in range(target.shape[0]) for x in range(target.shape[1])]
        ours = {s: {p for p in places if prediction[p] == s.id} for s in segments}
        theirs = {s: {p for p in places if target[p] == s.id} for s in true}
        unknown = {p for p in places if target[p] == 0} if void else set()
        ours, theirs = ({s: p for s, p in sets.items() if p} for sets in (ours, theirs))
        left = set(theirs)
        for mine, pixels in ours.items():
            for other, wanted in theirs.items():
                iou = len(pixels & wanted) / len((pixels - unknown) | wanted)
                if mine.label_id == other.label_id and iou > 0.5:
                    counts[mine.label_id][0] += iou
                    counts[mine.label_id][1] += 1
                    left.remove(other)
                    break
            else:
                if len(pixels & unknown) <= len(pixels) / 2:
                    counts[mine.label_id][2] += 1
        for other in left:
            counts[other.label_id][3] += 1
    rows = []
    for iou, found, wrong, missed in counts.values():
        if found + wrong + missed:
            sq, rq = iou / max(1, found), found / (found + wrong / 2 + missed / 2)
            rows.append((sq * rq, sq, rq))
    return dict(zip(("pq", "sq", "rq"), (sum(c) / len(rows) for c in zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize("void", [True, False])
def test_panoptic_quality_equals_a_plain_count(void):
    pairs, quality = [], PanopticQuality(5, void=void)
    for seed in range(6):
        prediction, target = maps(seed, count=6)
        target = target.masked_fill(target == 255, 0)
        draw = torch.Generator().manual_seed(seed)
        classes = torch.randint(0, 4, (7,), generator=draw).tolist()
        wrong = torch.rand(7, generator=draw) > 0.8
        true = [Segment(i, classes[i], 1.0) for i in range(1, 7)]
        ours = [Segment(i, (classes[i] + int(wrong[i])) % 4, 0.9) for i in range(1, 7)]
        pairs.append((prediction, ours, target, true))
        quality.update(*pairs[-1])
    expected = plain_panoptic(pairs, void)
    assert quality.compute() == pytest.approx(expected)
    assert 0 < expected["pq"] < expected["sq"] < 1


def test_covered_segments_and_void_have_no_overlap():
    """What lies in the void is compared with a segment of its class of which nothing is to be seen."""
    quality, target = PanopticQuality(2), torch.zeros(4, 4, dtype=torch.int64)
    target[:2] = 2  # over all of segment 1
    prediction = torch.zeros(4, 4, dtype=torch.int64)
    prediction[3], prediction[:2] = 1, 2
    both = [Segment(1, 0, 1.0), Segment(2, 1, 1.0)]
    quality.update(prediction, both, target, both)
    assert quality.compute() == {"pq": 1.0, "sq": 1.0, "rq": 1.0}


def test_metrics_of_nothing_and_of_other_sizes():
    with pytest.raises(RuntimeError, match="no pixel"):
        SemanticScores(3).compute()
    with pytest.raises(RuntimeError, match="no segment"):
        PanopticQuality(3).compute()
    with pytest.raises(ValueError, match="of one size"):
        SemanticScores(3).update(torch.zeros(2, 3), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="of one size"):
        PanopticQuality(3).update(torch.zeros(2, 3), [], torch.zeros(3, 2), [])
    with pytest.raises(ValueError, match="predicted classes from 0 to 2, got 0 to 3"):
        SemanticScores(3).update(torch.tensor([[0, 3]]), torch.tensor([[0, 1]]))
    whole = SemanticScores(2)
    whole.update(torch.zeros(4, 4, dtype=torch.int64), torch.zeros(4, 4, dtype=torch.int64))
    assert whole.compute()["mean_iou"] == 1.0  # a class without an outline says nothing of outlines


# ---- a run ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    recipe = Recipe(
        image_size=32, objects=2, stem=8, stages=2, width=16, layers=2, heads=2, inner=16, queries=5
    )
    recipe = replace(recipe, pyramid=32, embedding=8, steps=4, batch_size=2, warmup=1, held_out_scenes=3)
    return recipe, train(recipe, folder, progress=False)


def test_a_run_can_be_used(run, tmp_path):
    _, made = run
    assert set(made.scores) == {"mean_iou", "pixel_accuracy", "boundary_f", "pq", "sq", "rq", "pq_things"}
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "loss.png", "found.png"} <= {
        path.name for path in made.out.iterdir()
    }
    loaded = load(made.out)
    assert loaded.model.config.labels[0] == "background"
    again = evaluate(loaded)
    assert again.pop("images") == 3
    assert 0 <= again["AP"] <= again["AP50"] <= 1
    of_classes = [value for name, value in again.items() if name.startswith("iou ")]
    assert "iou background" in again
    assert sum(of_classes) / len(of_classes) == again["mean_iou"]
    assert {name: again[name] for name in made.scores} == pytest.approx(made.scores, nan_ok=True)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (40, 30), "red").save(picture)
    for kind in ("panoptic", "instance", "semantic"):
        rows = predict(loaded, [str(picture)], kind=kind, out=str(tmp_path / f"{kind}.png"))
        assert {row["image"] for row in rows} <= {str(picture)}
        assert {row["label"] for row in rows} <= set(loaded.model.config.labels)
        assert sum(row["pixels"] for row in rows) <= 40 * 30
        with Image.open(tmp_path / f"{kind}.png") as drawn:
            assert min(drawn.size) >= 480
    assert sum(row["pixels"] for row in rows) == 40 * 30
    assert all(
        1 / len(loaded.model.config.labels) <= row["score"] < 1 for row in rows
    )  # of the largest share
    with pytest.raises(ValueError, match="threshold: expected a number from 0 to 1, got 2"):
        evaluate(loaded, threshold=2.0)
    for data in (None, "scenes"):
        with pytest.raises(ValueError, match="expected --classes with --data of label maps"):
            evaluate(loaded, data=data, classes="classes.csv")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        predict(loaded, [str(made.out / "config.json")])
    with pytest.raises(Partial, match=r"1 of 2 could not be answered\n.*config\.json") as told:
        predict(loaded, [str(made.out / "config.json"), str(picture)], kind="semantic")
    assert told.value.result == rows
    for option in ("out", "attention", "json"):
        with pytest.raises(FileExistsError, match="is one of the pictures"):
            predict(loaded, [str(picture)], **{option: str(picture)})
    with Image.open(made.out / "matching.png") as drawn:
        assert drawn.size == (2 * 480 + 8, 480)


def test_results_are_cocos(run, tmp_path):
    """Masks as run lengths that pycocotools reads, with the boxes around them."""
    mask_module = pytest.importorskip("pycocotools.mask")
    loaded = load(run[1].out)
    pictures = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for number, path in enumerate(pictures):
        scenes(run[0], 2, 99).scenes.scene(number).image.save(path)
    rows = predict(
        loaded,
        pictures,
        kind="instance",
        threshold=0.0,
        json=str(tmp_path / "r.json"),
        attention=str(tmp_path / "attention"),
    )
    results = json.loads((tmp_path / "r.json").read_text())
    assert len(rows) == len(results) > 0
    assert {result["image_id"] for result in results} == {0, 1}
    for result in results:
        mask = mask_module.decode(result["segmentation"])
        assert mask.shape == (32, 32)
        assert mask_module.toBbox(result["segmentation"]).tolist() == result["bbox"]
        assert 0 <= result["score"] <= 1
        assert 0 < result["category_id"] < len(loaded.model.config.labels)
    assert sorted(path.name for path in (tmp_path / "attention").iterdir()) == ["a.png", "b.png"]


def test_attention_of_queries_adds_up(run):
    attention = query_attention(run[1].model, torch.rand(2, 3, 32, 48))
    assert attention.shape == (2, 5, 8, 12)  # of two maps that the layers look at the larger one
    torch.testing.assert_close(attention.sum((2, 3)), torch.ones(2, 5))


def test_the_matching_is_drawn_in_the_colours_of_the_segments():
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, :4], masks[1, 4:] = True, True
    said = torch.full((3, 8, 8), -1.0)
    said[2, :4], said[0, 4:] = 1.0, 1.0
    matched = Matched(torch.tensor([0, 0, 1]), torch.tensor([2, 0, 1]), torch.tensor([0, 1, 0]))
    drawn = draw_matching(torch.zeros(3, 8, 8, dtype=torch.uint8), said, masks, matched)
    for x, y in ((10, 10), (10, 400)):  # away from the labels
        assert drawn.getpixel((x, y)) == drawn.getpixel((488 + x, y))
    assert drawn.getpixel((10, 10)) != drawn.getpixel((10, 400))


def test_a_run_goes_on_where_it_stopped(run, tmp_path):
    """With the same weights, bit for bit."""
    recipe, whole = run

    class Stop(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 2:
                trainer.stop("tested")

    train(recipe, tmp_path, progress=False, callbacks=[Stop()])
    again = train(recipe, tmp_path, progress=False, resume=True)
    expected = whole.model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.model.state_dict().items())


def test_what_is_learned_from():
    """Every pixel belongs to one segment; crowds to none; what is covered is not there."""
    masks = torch.zeros(4, 4, 6, dtype=torch.bool)
    masks[0, :, :2], masks[1, :2, :4], masks[2, 0, 5], masks[3, 3, 2:] = True, True, True, True
    masks = torch.cat([masks, masks[2:3]])  # the last one lies over the third
    image = AnnotatedImage(
        torch.zeros(3, 4, 6, dtype=torch.uint8),
        torch.zeros(5, 4),
        torch.tensor([2, 0, 1, 1, 0]),
        masks,
        torch.tensor([False, False, False, True, False]),
    )
    classes, numbers, segments = class_maps(image)
    assert classes.tolist() == [
        [1, 1, 1, 1, 0, 1],
        [1, 1, 1, 1, 0, 0],
        [3, 3, 0, 0, 0, 0],
        [3, 3, VOID, VOID, VOID, VOID],
    ]
    assert (numbers[classes == VOID] == 0).all()
    assert [segment.label_id for segment in segments] == [3, 1, 2, 1, 0]
    targets = targets_of(image, (5, 7))
    assert targets["class_labels"].tolist() == [3, 1, 1, 0]
    assert targets["masks"].shape == (4, 5, 7)
    assert targets["masks"].sum(0).max() == 1
    assert not targets["masks"][:, 4:].any()
    with pytest.raises(ValueError, match="expected masks, got boxes alone"):
        targets_of(replace(image, masks=None))


def test_where_every_pixel_has_a_class_there_is_no_background():
    """Stuff is one segment, things are counted, and what is of no segment is void."""
    masks = torch.zeros(3, 2, 4, dtype=torch.bool)
    masks[0, :, 0], masks[1, :, 1], masks[2, 0, 2:] = True, True, True
    image = AnnotatedImage(
        torch.zeros(3, 2, 4, dtype=torch.uint8), torch.zeros(3, 4), torch.tensor([0, 0, 1]), masks
    )
    classes, numbers, segments = class_maps(image, {1})
    assert classes.tolist() == [[0, 0, 1, 1], [0, 0, VOID, VOID]]
    assert numbers.tolist() == [[1, 2, 3, 3], [1, 2, 0, 0]]
    assert [(s.label_id, s.was_fused) for s in segments] == [(0, False), (0, False), (1, True)]
    assert targets_of(image, stuff={1})["class_labels"].tolist() == [0, 0, 1]


def test_what_is_learned_on_scenes_is_measured_on_the_images_that_are_given(tmp_path):
    write_scenes(Scenes(3, size=40, objects=(1, 2), seed=1), tmp_path / "files")
    given = Recipe(validation=f"coco:{tmp_path / 'files' / 'coco.json'}")
    learned, held_out = open_images(given)
    assert isinstance(learned, SceneImages)
    assert (len(held_out), held_out[0].size) == (3, (40, 40))
    with pytest.raises(ValueError, match="classes: a table of classes is for label maps alone, got scenes"):
        open_images(Recipe(classes="classes.csv"))


def test_label_maps_are_learned_from_and_measured(tmp_path):
    """A run on files: classes are the table's, void counts nowhere, and all is stuff."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in range(4):
        Image.effect_noise((32, 24), 50).convert("RGB").save(tmp_path / "images" / f"{number}.png")
        drawn = Image.new("L", (32, 24), 2)
        drawn.paste(0, (0, 0, 16, 24))
        drawn.paste(255, (0, 0, 4, 4))
        drawn.save(tmp_path / "labels" / f"{number}.png")
    (tmp_path / "classes.csv").write_text("name,id\nroad,0\nsky,2\nvoid,255\n")
    recipe = Recipe(
        **{"data": f"labelmaps:{tmp_path}", "image_size": 32, "stem": 8, "stages": 2, "width": 16},
        **{"layers": 1, "heads": 2, "inner": 16, "queries": 4, "pyramid": 32, "embedding": 8, "steps": 2},
        **{"batch_size": 1, "warmup": 1, "held_out": 0.25, "flip": True, "zoom": 0.2},
    )
    for wrong in ({"zoom": 1.0}, {"crop": 0.0}, {"held_out": 0.0}, {"image_size": 0}, {"validate_every": 0}):
        with pytest.raises(ValueError, match="expected"):
            train(replace(recipe, **wrong), tmp_path / "run", progress=False)
    made = train(recipe, tmp_path / "run", progress=False)
    assert len(made.history) == 2  # steps, though an epoch has three
    few = train(replace(recipe, batch_size=8), tmp_path / "few", progress=False)
    assert len(few.history) == 2  # of all three images each
    assert made.model.config.labels == ("road", "sky")
    assert made.model.config.label_ids_to_fuse == (0, 1)
    assert "pq_things" not in made.scores
    loaded = load(made.out)
    assert loaded.preparation == preparation_of(recipe)
    assert loaded.model.config.label_ids_to_fuse == (0, 1)
    assert evaluate(loaded, data=recipe.data)["images"] == 4
    assert evaluate(loaded)["images"] == 1
    next((tmp_path / "images").iterdir()).unlink()
    next((tmp_path / "labels").iterdir()).unlink()
    with pytest.raises(ValueError, match="its data have changed since it was trained"):
        evaluate(loaded)
    with pytest.raises(ValueError, match="expected the classes road, sky, got background, circle"):
        evaluate(loaded, data="scenes")
    with pytest.raises(ValueError, match="label_ids_to_fuse from 0 to 1"):
        replace(made.model.config, label_ids_to_fuse=(2,))


def test_things_are_found_where_there_are_none(run, monkeypatch):
    """They are made up, so the PQ of things is 0; a precision of none there is not."""
    pytest.importorskip("pycocotools")
    masks = torch.zeros(1, 4, 6, dtype=torch.bool)
    masks[:, :, :3] = True
    image = AnnotatedImage(
        torch.zeros(3, 4, 6, dtype=torch.uint8), torch.zeros(1, 4), torch.tensor([0]), masks
    )

    class One:
        class_names, stuff = ("circle",), None

        def __init__(self, image):
            self.image = image

        def __len__(self):
            return 1

        def __getitem__(self, number):
            return self.image

    logits = torch.full((1, 2, len(run[1].model.config.labels) + 1), -9.0)
    logits[0, [0, 1], [1, 0]] = 9.0  # a circle and the background
    said = Said(logits, torch.where(torch.cat([masks, ~masks]), 9.0, -9.0)[None])
    monkeypatch.setattr("ds_zoo.maskformer.train.look", lambda loaded, image: said)
    loaded = load(run[1].out)
    there = measure(loaded, One(image), masks=True)
    assert there["pq_things"] == pytest.approx(1)
    assert there["AP"] == pytest.approx(1)
    alone = measure(loaded, One(image.select(torch.zeros(1, dtype=torch.bool))), masks=True)
    assert alone["pq_things"] == 0
    assert "AP" not in alone
    unknown = measure(loaded, One(replace(image, crowd=torch.tensor([True]))), masks=True)
    assert "AP" not in unknown
    assert "pq_things" not in unknown  # what is found in a crowd is not made up


def test_average_precision_of_masks_counts_things_alone():
    """What is there is found perfectly: stuff, which has other numbers in the model, is left out of both."""
    masks = torch.zeros(3, 4, 6, dtype=torch.bool)
    masks[0, :, :2], masks[1, :, 2:4], masks[2, :, 4:] = True, True, True
    pixels, boxes = torch.zeros(3, 4, 6, dtype=torch.uint8), torch.zeros(3, 4)
    for stuff, labels in ((None, [1, 0, 1]), ({1}, [0, 2, 1])):
        image = AnnotatedImage(pixels, boxes, torch.tensor(labels), masks)
        _, painted, segments = class_maps(image, stuff)
        found = Segmentation(painted, tuple(segments), torch.stack([painted == s.id for s in segments]))
        truth, objects = things_of(image, found, stuff)
        assert objects.labels.tolist() == truth.labels.tolist() == ([1, 0, 1] if stuff is None else [0, 2])
        assert torch.equal(objects.masks, truth.masks)
