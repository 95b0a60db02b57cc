"""MiniDETR: parity with Hugging Face's DETR, files by both names, matching, groups, anchors, and errors."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from ds_cnn import BasicBlock, FrozenBatchNorm2d
from ds_core import engine
from ds_core.training.files import load_tensors, save_tensors
from ds_zoo.backbone import BackboneConfig
from ds_zoo.detr import DETRLoss, MiniDETR, MiniDETRConfig, Target
from ds_zoo.detr.matching import box_costs, class_costs, match
from ds_zoo.detr.model import nearness, padding, places

transformers = pytest.importorskip("transformers")

SIZES = {
    "d_model": 12,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 20,
    "num_queries": 6,
    "dropout": 0.0,
}
STAGES = {"basic": [4, 6, 8, 10], "bottleneck": [16, 8, 12, 20]}
LABELS = ("cat", "dog", "cow")


def detr(layer_type="basic", **options):
    """Hugging Face's DETR of random weights and statistics, none of them 0 or 1 as they begin."""
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        embedding_size=4,
        hidden_sizes=STAGES[layer_type],
        depths=[1, 2, 1, 1],
        layer_type=layer_type,
        out_features=["stage4"],
    )
    config = transformers.DetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        attn_implementation="eager",
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
        **SIZES | options,
    )
    model = transformers.DetrForObjectDetection(config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(
                    0.1 * torch.rand_like(tensor) if "running_var" in name else 0.1 * torch.randn_like(tensor)
                )
    return model.requires_grad_(True)  # theirs freezes the whole backbone, by a slip in a name


def batch(dtype=torch.float32):
    """Three images of different sizes, their masks, and what is on them: nothing on the last one."""
    draw = torch.Generator().manual_seed(3)
    pixels, mask = torch.randn(3, 3, 70, 96, generator=draw, dtype=dtype), torch.zeros(3, 70, 96)
    for number, (height, width) in enumerate(((70, 96), (64, 50), (33, 96))):
        mask[number, :height, :width] = 1
    labels = [
        {"class_labels": torch.tensor(classes, dtype=torch.int64), "boxes": boxes.to(dtype)}
        for classes, boxes in (
            ([2, 0, 0], torch.tensor([[0.3, 0.4, 0.3, 0.5], [0.7, 0.6, 0.2, 0.3], [0.2, 0.8, 0.1, 0.1]])),
            ([1], torch.tensor([[0.5, 0.5, 0.9, 0.8]])),
            ([], torch.zeros(0, 4)),
        )
    ]
    return pixels * mask[:, None].to(dtype), mask.long(), labels


def with_auxiliary_loss(theirs, pixels, mask, labels):
    """The loss of all layers as the paper's authors add it: each layer's output is normed to be read.

    transformers' own forward, with auxiliary_loss on, hands the normed output to the next layer as well, so
    that its model then computes another thing than without, and than the one that was published.
    """
    given = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: given.append(output))
        for layer in theirs.model.decoder.layers
    ]
    found = theirs(pixels, pixel_mask=mask)
    for hook in hooks:
        hook.remove()
    states = torch.stack([theirs.model.decoder.layernorm(x) for x in given])
    logits, boxes = theirs.class_labels_classifier(states), theirs.bbox_predictor(states).sigmoid()
    torch.testing.assert_close(logits[-1], found.logits)
    config = transformers.DetrConfig(**theirs.config.to_dict() | {"auxiliary_loss": True})
    with default_type(pixels.dtype):
        loss, terms, _ = theirs.loss_function(
            logits[-1], labels, pixels.device, boxes[-1], config, outputs_class=logits, outputs_coord=boxes
        )
    return found, loss, terms, logits, boxes


@contextmanager
def default_type(dtype):
    """Their loss weighs classes in torch's default type, whatever the model's."""
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-300)).item()


def on_disk(model, folder):
    model.save_pretrained(folder)
    return load_tensors(folder / "model.safetensors")[0]


def assert_equal_gradients(ours, theirs, folder, tolerance):
    files = []
    for model in (ours, theirs):
        with torch.no_grad():
            for parameter in model.parameters():
                grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.data = grad.clone()
        files.append(on_disk(model, folder / f"grad{len(files)}"))
    mine, other = files
    assert mine.keys() == other.keys()
    scale = max(t.abs().max().item() for n, t in other.items() if "normalization" not in n)
    for name, expected in other.items():
        error = (mine[name] - expected).abs().max().item()
        assert error <= tolerance * max(expected.abs().max().item(), 1e-3 * scale), name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-8)])
@pytest.mark.parametrize("layer_type", ["basic", "bottleneck"])
@pytest.mark.parametrize("auxiliary", [False, True], ids=["last layer", "all layers"])
def test_equals_transformers(tmp_path, auxiliary, layer_type, dtype, tolerance):
    """Outputs, the loss and its terms, and every gradient, the images' too; images of different sizes."""
    theirs = detr(layer_type)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MiniDETR.from_pretrained(tmp_path / "theirs")
    ours = with_weights_of(ours, auxiliary_loss=auxiliary).train().to(dtype)
    theirs.to(dtype).train()
    pixels, mask, labels = batch(dtype)
    their_pixels = pixels.clone().requires_grad_()
    if auxiliary:
        expected, loss, terms, *layers = with_auxiliary_loss(theirs, their_pixels, mask, labels)
    else:
        with default_type(dtype):
            expected = theirs(their_pixels, pixel_mask=mask, labels=labels)
        loss, terms, layers = expected.loss, expected.loss_dict, []
    loss.backward()
    with engine("manual"):
        output = ours(pixels, mask, labels)
        grad_pixels = ours.backward()
    for name in ("logits", "pred_boxes", "last_hidden_state", "encoder_last_hidden_state"):
        assert relative(getattr(output, name), getattr(expected, name)) < tolerance, name
    assert relative(output.loss, loss) < tolerance
    assert ours.loss.terms.keys() == terms.keys()
    for name, term in terms.items():
        allowed = max(tolerance, 1e-6) if "cardinality" in name else tolerance  # theirs is float32, always
        assert abs(ours.loss.terms[name] - term) <= allowed * max(1, abs(term)), name
    for number, layer in enumerate(output.auxiliary_outputs or ()):
        for mine, other in zip(layer, layers, strict=True):
            assert relative(mine, other[number]) < tolerance
    assert relative(grad_pixels, their_pixels.grad) < tolerance
    assert_equal_gradients(ours, theirs, tmp_path, tolerance)


def with_weights_of(model, **changes):
    made = MiniDETR(replace(model.config, **changes))
    made.load_state_dict(model.state_dict())
    return made


def test_their_auxiliary_loss_changes_what_their_model_computes():
    """Why the referee for auxiliary losses is put together from their parts."""
    theirs = detr().eval()
    pixels, mask, _ = batch()
    with torch.no_grad():
        published = theirs(pixels, pixel_mask=mask).logits
        theirs.config.auxiliary_loss = True
        other = theirs(pixels, pixel_mask=mask).logits
    assert relative(other, published) > 1e-3


@pytest.mark.parametrize("layer_type", ["basic", "bottleneck"])
def test_weights_go_both_ways(tmp_path, layer_type):
    theirs = detr(layer_type)
    before = on_disk(theirs, tmp_path / "theirs")
    ours = MiniDETR.from_pretrained(tmp_path / "theirs")
    assert not ours.training
    assert ours.config.labels == LABELS
    after = on_disk(ours, tmp_path / "ours")
    assert after.keys() == before.keys()
    assert all(torch.equal(after[tensor], before[tensor]) for tensor in before)
    again, how = transformers.DetrForObjectDetection.from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not how["missing_keys"]
    assert not how["unexpected_keys"]
    pixels, mask, _ = batch()
    with torch.no_grad():
        mine, expected = ours(pixels, mask), again.eval()(pixels, pixel_mask=mask)
    assert relative(mine.logits, expected.logits) < 1e-5
    assert relative(mine.pred_boxes, expected.pred_boxes) < 1e-5
    assert again.config.id2label == dict(enumerate(LABELS))


def test_a_configuration_of_ours_is_one_of_theirs(tmp_path):
    """Whole numbers are written as such: theirs takes no 5.0 where it has 5."""
    backbone = BackboneConfig(embedding_size=4, hidden_sizes=(4, 6, 8), depths=(1, 1, 1), layer_type="basic")
    MiniDETR(MiniDETRConfig(backbone, **SIZES, labels=LABELS, giou_cost=3.0)).save_pretrained(tmp_path)
    theirs = transformers.DetrConfig.from_pretrained(tmp_path)
    assert (theirs.class_cost, theirs.bbox_cost, theirs.giou_cost, theirs.eos_coefficient) == (1, 5, 3, 0.1)
    assert MiniDETR.from_pretrained(tmp_path).config.giou_cost == 3.0


def test_files_that_name_the_backbone_as_timm_does(tmp_path):
    """As published: backbone="resnet50" and timm's names; here with narrow layers behind the backbone."""
    config = MiniDETRConfig(**SIZES, labels=LABELS, backbone_config=BackboneConfig())
    model = MiniDETR(config, generator=torch.Generator().manual_seed(0)).eval()
    tensors = on_disk(model, tmp_path)
    timm = {}
    for name, tensor in model.backbone.model.state_dict().items():
        timm[f"model.backbone.conv_encoder.model.{name}"] = tensor
    rest = {name: t for name, t in tensors.items() if ".conv_encoder." not in name}
    assert len(rest) + len(timm) == len(tensors)
    extra = {"model.backbone.conv_encoder.model.layer2.0.downsample.1.num_batches_tracked": torch.tensor(0)}
    save_tensors(tmp_path / "model.safetensors", rest | timm | extra, {"format": "pt"})
    content = json.loads((tmp_path / "config.json").read_text())
    published = {
        **content,
        "backbone": "resnet50",
        "use_timm_backbone": True,
        "use_pretrained_backbone": True,
        "backbone_config": None,
        "dilation": False,
        "position_embedding_type": "sine",
        "is_encoder_decoder": True,
        "scale_embedding": False,
        "num_hidden_layers": 6,
        "max_position_embeddings": 1024,
        "classifier_dropout": 0.0,
    }
    (tmp_path / "config.json").write_text(json.dumps(published))
    again = MiniDETR.from_pretrained(tmp_path)
    assert again.config == model.config
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(x).logits, model(x).logits)
    names = {"0": "N/A", "1": "person", "2": "N/A"}  # COCO's numbers have gaps
    gaps = published | {"id2label": names, "label2id": {"N/A": 2, "person": 1}}
    (tmp_path / "config.json").write_text(json.dumps(gaps))
    again = MiniDETR.from_pretrained(tmp_path)
    assert again.config.labels == ("N/A", "person", "N/A")
    assert again.to_config()["id2label"] == names
    newer = {"model_type": "timm_backbone", "backbone": "resnet50", "out_indices": [1, 2, 3, 4]}
    (tmp_path / "config.json").write_text(json.dumps(content | {"backbone_config": newer}))
    assert MiniDETR.from_pretrained(tmp_path).config == model.config


def test_what_transformers_has_no_word_for_comes_back(tmp_path):
    backbone = BackboneConfig(3, 4, (4, 8), (1, 1), "basic", "group")
    config = MiniDETRConfig(
        backbone, **SIZES, labels=LABELS, anchored=True, query_groups=2, auxiliary_loss=True
    )
    model = MiniDETR(config, generator=torch.Generator().manual_seed(0)).eval()
    model.save_pretrained(tmp_path)
    again = MiniDETR.from_pretrained(tmp_path)
    assert again.config == config
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(x).pred_boxes, model(x).pred_boxes)


# ---- matching and loss ---------------------------------------------------------------------------------


def test_the_matching_costs_least():
    """Beside all ways to pair two objects and three queries, costs by a plain loop."""
    draw = torch.Generator().manual_seed(0)
    p = torch.rand(3, 4, generator=draw).softmax(-1)
    boxes, targets = 0.2 + 0.3 * torch.rand(2, 3, 4, generator=draw)
    targets, labels = targets[:2], torch.tensor([3, 1])
    costs = class_costs(p, labels, 2.0) + box_costs(boxes, targets, 5.0, 0.0)
    for q in range(3):
        for n in range(2):
            expected = -2 * p[q, labels[n]] + 5 * (boxes[q] - targets[n]).abs().sum()
            torch.testing.assert_close(costs[q, n], expected)
    found = match(costs[None], [2])
    chosen = costs[found.queries, found.objects].sum()
    ways = [costs[i, 0] + costs[j, 1] for i in range(3) for j in range(3) if i != j]
    assert chosen == min(ways)
    assert sorted(found.objects.tolist()) == [0, 1]


def test_more_objects_than_queries_are_told():
    with pytest.warns(UserWarning, match="3 of 7 objects get no query: an image has 5, the model 2 queries"):
        found = match(torch.rand(2, 2, 5), [5, 2])[:2]
    assert found[0].tolist() == [0, 0, 1, 1]
    model = DETRLoss(3)
    labels = [Target(torch.tensor([0, 1, 2]), torch.rand(3, 4))]
    with pytest.warns(UserWarning, match="1 of 3 objects"):
        loss = model(torch.randn(1, 1, 2, 4), torch.rand(1, 1, 2, 4), labels)
    assert loss.isfinite()


def test_costs_that_are_no_numbers_are_matched_last():
    costs = torch.tensor([[[float("nan")], [3.0], [float("inf")]]])
    assert match(costs, [1]).queries.tolist() == [1]


def test_images_without_objects_and_objects_of_no_size():
    """A batch without objects teaches "nothing"; a point is an object like any other."""
    loss = DETRLoss(2)
    logits, boxes = torch.randn(2, 2, 3, 3), torch.rand(2, 2, 3, 4)
    nothing = Target(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4))
    with engine("manual"):
        found = loss(logits, boxes, [nothing, nothing])
        grad_logits, grad_boxes = loss.backward()
    expected = -torch.log_softmax(logits, -1)[..., -1].mean((1, 2)).sum()
    torch.testing.assert_close(found, expected)
    assert not grad_boxes.any()
    assert grad_logits.isfinite().all()
    point = Target(torch.tensor([1]), torch.tensor([[0.5, 0.5, 0.0, 0.0]]))
    with engine("manual"):
        found = loss(logits, boxes * torch.tensor([1.0, 1.0, 0.0, 0.0]), [point, nothing])
        grads = loss.backward()
    assert found.isfinite()
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize(
    ("labels", "error", "said"),
    [
        (
            [Target(torch.tensor([3]), torch.rand(1, 4))],
            IndexError,
            "image 0: expected classes from 0 to 2, got 3",
        ),
        ([Target(torch.tensor([-1]), torch.rand(1, 4))], IndexError, "got -1"),
        ([Target(torch.tensor([1]), torch.rand(2, 4))], ValueError, r"expected boxes \(1, 4\)"),
        ([Target(torch.tensor([1]), torch.tensor([[0.5, 0.5, -0.1, 0.1]]))], ValueError, "negative size"),
        ([Target(torch.tensor([0.7]), torch.rand(1, 4))], TypeError, "class_labels as whole numbers, got"),
        ([{"labels": torch.tensor([1])}], ValueError, "expected class_labels and boxes, got labels"),
        ([], ValueError, "expected labels for 1 images"),
        ([Target(torch.tensor([1]), torch.rand(1, 4))] * 2, ValueError, "got 2"),
    ],
)
def test_wrong_labels(labels, error, said):
    with pytest.raises(error, match=said):
        DETRLoss(3)(torch.randn(1, 1, 4, 4), torch.rand(1, 1, 4, 4), labels)


# ---- the model -----------------------------------------------------------------------------------------


def small(**changes):
    backbone = BackboneConfig(3, 4, (4, 6, 8), (1, 1, 1), "basic", "group")
    config = MiniDETRConfig(**{"backbone_config": backbone, "labels": LABELS} | SIZES | changes)
    return MiniDETR(config, generator=torch.Generator().manual_seed(0))


def test_what_lies_in_the_padding_does_not_show():
    """Nothing that is found depends on places that the mask hides."""
    model = small().eval()
    model.backbone.model.bn1 = FrozenBatchNorm2d(4)  # a group norm would see the whole image
    for block in model.backbone.model.modules():
        if isinstance(block, BasicBlock):
            block.bn1, block.bn2 = (
                FrozenBatchNorm2d(len(conv.weight)) for conv in (block.conv1, block.conv2)
            )
            if block.downsample is not None:
                block.downsample = block.downsample[0]
    images, mask = torch.randn(2, 3, 32, 256), torch.zeros(2, 32, 256)
    mask[:, :, :48] = 1
    other = images.clone()
    other[:, :, :, 160:] = torch.randn(2, 3, 32, 96)  # further than the backbone sees
    assert torch.equal(model(images, mask).pred_boxes, model(other, mask).pred_boxes)
    assert not torch.equal(model(images).pred_boxes, model(other).pred_boxes)


@pytest.mark.parametrize(("size", "grid"), [((70, 96), (3, 3)), ((33, 50), (2, 2)), ((64, 64), (4, 4))])
def test_masks_shrink_as_images_do(size, grid):
    mask = (torch.rand(2, *size, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    expected = torch.nn.functional.interpolate(mask[None], size=grid)[0].bool()
    assert torch.equal(padding(mask, grid), ~expected)


def test_groups_of_queries_only_learn():
    """In eval mode the first group answers, as if there were no other."""
    model = small(anchored=True, query_groups=3).eval()
    alone = small(anchored=True)
    alone.load_state_dict({n: t[:6] if n == "anchors" else t for n, t in model.state_dict().items()})
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(x).pred_boxes, alone.eval()(x).pred_boxes)
    with engine("manual"):
        assert model.train()(x).logits.shape == (2, 6, 4)
        model.backward(None, torch.ones(2, 6, 4))


def test_anchored_queries_begin_at_their_anchors():
    model = small(anchored=True)
    x = torch.randn(2, 3, 32, 32)
    anchors = torch.sigmoid(model.anchors).expand(2, -1, -1)
    torch.testing.assert_close(model.eval()(x).pred_boxes, anchors)


def test_modulated_queries_see_the_less_the_further_off_their_box():
    hidden = torch.zeros(2, 4, 5, dtype=torch.bool)
    hidden[1, :, 3:] = True  # the second image is 4 x 3
    at = places(torch.zeros(2, 8, 4, 5), hidden)
    torch.testing.assert_close(at[0].view(4, 5, 4)[1, 2], torch.tensor([0.5, 0.375, 0.2, 0.25]))
    torch.testing.assert_close(at[1].view(4, 5, 4)[1, 2], torch.tensor([2.5 / 3, 0.375, 1 / 3, 0.25]))
    torch.testing.assert_close(at[:1], places(torch.zeros(1, 8, 4, 5), None))

    boxes = torch.tensor([[0.5, 0.375, 0.4, 0.5], [0.5, 0.375, 1e-4, 1e-4]])
    scores = nearness(torch.logit(boxes).expand(2, 2, 4), at, hidden.flatten(1)).unflatten(2, (4, 5))
    wide, point = scores[0]
    torch.testing.assert_close(wide[1, 2], torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(wide[1, 1], torch.tensor(-0.5))  # the middle of its left side
    torch.testing.assert_close(wide[2, 2], torch.tensor(-0.5))
    torch.testing.assert_close(point[1, 3], torch.tensor(-2.0))  # no box is narrower than a place
    assert torch.equal(scores[1].isinf(), hidden[1].expand(2, 4, 5))


def test_a_modulated_query_takes_what_is_at_its_box():
    model = small(anchored=True, modulated=True, num_queries=2).eval()
    with torch.no_grad():
        model.anchors.copy_(torch.logit(torch.tensor([[0.1, 0.5, 0.05, 0.05], [0.9, 0.5, 0.05, 0.05]])))
    weights = []
    for layer in model.decoder:
        attend = layer.multihead_attn.forward

        def seen(*args, attend=attend, **options):
            weights.append(attend(*args, **options | {"need_weights": True})[1])
            return attend(*args, **options)

        layer.multihead_attn.forward = seen
    model(torch.randn(1, 3, 16, 128))
    assert len(weights) == len(model.decoder)
    for weight in weights:  # a row of eight places
        assert weight[0, 0, :2].sum() > 0.99
        assert weight[0, 1, -2:].sum() > 0.99


def test_wrong_calls():
    model = small()
    with pytest.raises(ValueError, match=r"expected images \(B, 3, H, W\), at least one, got \(2, 1, 32"):
        model(torch.randn(2, 1, 32, 32))
    with pytest.raises(ValueError, match=r"at least one, got \(0, 3, 32, 32\)"):
        model(torch.randn(0, 3, 32, 32))
    for added in (torch.zeros(2, 32, 32), torch.zeros(2, 32, 32, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="expected pixel_mask of 1 where something is"):
            model(torch.randn(2, 3, 32, 32), added)
    with pytest.raises(ValueError, match=r"expected pixel_mask \(2, 32, 32\)"):
        model(torch.randn(2, 3, 32, 32), torch.ones(2, 32, 31))
    with engine("manual"):
        model(torch.randn(2, 3, 32, 32))
        with pytest.raises(ValueError, match="forward got no labels"):
            model.backward()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"d_model": 10}, "encoder_attention_heads to divide"),
        ({"d_model": 6, "encoder_attention_heads": 2}, "multiple of 4"),
        ({"num_queries": 0}, "num_queries of at least 1"),
        ({"id2label": {}, "label2id": {}}, "at least one label, got none"),
        ({"modulated": True}, "expected anchored=True with modulated=True"),
        ({"dropout": 1.5}, "dropout from 0 to 1"),
        ({"activation_function": "swish"}, "expected activation_function"),
        ({"dilation": True}, "expected dilation=False, got True"),
        ({"position_embedding_type": "learned"}, "expected position_embedding_type=sine"),
        ({"model_type": "yolos"}, "expected model_type 'detr', got 'yolos'"),
        ({"backbone_config": None, "backbone": "swin"}, "backbone: expected resnet18"),
        ({"backbone_config": {"model_type": "swin"}}, "expected model_type 'resnet', got 'swin'"),
        ({"backbone_config": {"model_type": "resnet", "out_features": ["stage2"]}}, "expected out_features"),
    ],
)
def test_configurations_that_are_refused(tmp_path, setting, said):
    small().save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | setting))
    with pytest.raises(ValueError, match=said):
        MiniDETR.from_pretrained(tmp_path)
