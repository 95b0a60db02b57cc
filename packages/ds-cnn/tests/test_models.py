"""ResNet's names, files and feature maps, and models that learn."""

import json

import pytest
import torch
from ds_cnn import (
    BasicBlock,
    BatchNorm2d,
    Bottleneck,
    Conv2d,
    FrozenBatchNorm2d,
    LeNet5,
    ResNet,
    SmallVGG,
    resnet18,
    resnet50,
)
from ds_cnn.models.resnet_hugging_face import DEFAULTS
from ds_core import (
    SGD,
    CrossEntropyLoss,
    Dense,
    Dropout,
    GroupNorm,
    Identity,
    ReLU,
    Sequential,
    add_lora,
    engine,
    xray,
)
from ds_core.kernels import runs
from sklearn.datasets import load_digits
from transformers import ResNetConfig, ResNetForImageClassification

SMALL = {"widths": (4, 6, 8, 8)}


def torchvision_shapes(blocks, expansion, kernels):
    """Lists names and shapes of a ResNet's tensors by torchvision's rules, for 1000 classes."""

    def norm(name, channels):
        return {
            f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")
        } | {f"{name}.num_batches_tracked": ()}

    shapes = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    inputs = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for block in range(count):
            at, channels = f"layer{stage + 1}.{block}", inputs
            for i, (size, outputs) in enumerate(kernels(width), 1):
                shapes[f"{at}.conv{i}.weight"] = (outputs, channels, size, size)
                shapes |= norm(f"{at}.bn{i}", outputs)
                channels = outputs
            if block == 0 and (stage > 0 or inputs != width * expansion):
                shapes[f"{at}.downsample.0.weight"] = (width * expansion, inputs, 1, 1)
                shapes |= norm(f"{at}.downsample.1", width * expansion)
            inputs = width * expansion
    return shapes | {"fc.weight": (1000, inputs), "fc.bias": (1000,)}


@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        (resnet18, torchvision_shapes((2, 2, 2, 2), 1, lambda width: [(3, width), (3, width)])),
        (resnet50, torchvision_shapes((3, 4, 6, 3), 4, lambda w: [(1, w), (3, w), (1, 4 * w)])),
    ],
)
def test_names_and_shapes_are_torchvisions(model, shapes):
    assert {name: tuple(tensor.shape) for name, tensor in model().state_dict().items()} == shapes


@pytest.mark.parametrize("layer_type", ["basic", "bottleneck"])
def test_a_hugging_face_folder_is_read_and_written(tmp_path, layer_type):
    factor = 4 if layer_type == "bottleneck" else 1
    config = ResNetConfig(
        embedding_size=4,
        hidden_sizes=[factor * width for width in (4, 6, 8, 8)],
        depths=[1, 1, 2, 1],
        layer_type=layer_type,
        num_labels=7,
    )
    theirs = ResNetForImageClassification(config)
    for buffer in theirs.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    theirs.eval().save_pretrained(tmp_path / "theirs")
    ours = ResNet.from_pretrained(tmp_path / "theirs").eval()
    x = torch.randn(2, 3, 50, 64)
    expected = theirs(x).logits
    torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)
    ours.save_pretrained(tmp_path / "ours")
    again = ResNetForImageClassification.from_pretrained(tmp_path / "ours").eval()
    torch.testing.assert_close(again(x).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sharded_and_half_precision_folders_go_both_ways(tmp_path, dtype):
    model = ResNet(BasicBlock, (1, 1, 1, 1), 3, **SMALL).to(dtype)
    model.save_pretrained(tmp_path / "ours", max_file_bytes=2000)
    assert len(list((tmp_path / "ours").glob("*.safetensors"))) > 2
    theirs = ResNetForImageClassification.from_pretrained(tmp_path / "ours", dtype=dtype)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="2KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists()
    again = ResNet.from_pretrained(tmp_path / "theirs")
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor.to(again.state_dict()[name].dtype)), name


def test_what_a_file_leaves_out_has_their_default():
    theirs = ResNetConfig().to_dict()
    assert {name: theirs[name] for name in DEFAULTS} == DEFAULTS


@pytest.mark.slow
def test_resnet50_of_published_size_gives_the_logits_of_transformers(tmp_path):
    theirs = ResNetForImageClassification(ResNetConfig(num_labels=1000)).eval()
    theirs.save_pretrained(tmp_path)
    ours = ResNet.from_pretrained(tmp_path).eval()
    x = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(ours(x), theirs(x).logits, rtol=1e-4, atol=1e-4)


def test_files_that_do_not_fit(tmp_path):
    with pytest.raises(FileNotFoundError):
        ResNet.from_pretrained(tmp_path / "nowhere")
    model = ResNet(BasicBlock, (1, 1, 1, 1), 3, **SMALL)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for key, value, message in (
        ("model_type", "bert", "expected model_type 'resnet', got 'bert'"),
        ("hidden_act", "gelu", "expected hidden_act=relu, got 'gelu'"),
        ("layer_type", "dense", "expected layer_type basic or bottleneck, got 'dense'"),
        ("embedding_size", 5, "expected embedding_size 4"),
        ("depths", [1, 1, 1, 2], "layer4|stages.3"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
        with pytest.raises(ValueError, match=message):
            ResNet.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="stem 'imagenet' only"):
        ResNet(BasicBlock, (1, 1, 1, 1), 3, stem="small", **SMALL).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="up to four stages"):
        ResNet(BasicBlock, (1, 1, 1, 1, 1), 3)
    with pytest.raises(ValueError, match="stem 'imagenet' or 'small', got 'tiny'"):
        ResNet(BasicBlock, (1, 1, 1, 1), 3, stem="tiny")
    with pytest.raises(ValueError, match="activation 'tanh' or 'relu'"):
        LeNet5(activation="gelu")


def test_labels_stay_with_the_model(tmp_path):
    names = ("crane", "newt", "crane")  # ImageNet, too, has two of one name
    ResNet(BasicBlock, (1, 1, 1, 1), 3, labels=names, **SMALL).save_pretrained(tmp_path / "first")
    model = ResNet.from_pretrained(tmp_path / "first")
    assert model.labels == names
    model.save_pretrained(tmp_path / "second")
    assert ResNet.from_pretrained(tmp_path / "second").labels == names
    theirs = ResNetForImageClassification.from_pretrained(tmp_path / "second")
    assert theirs.config.id2label == dict(enumerate(names))
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    (tmp_path / "second" / "config.json").write_text(json.dumps(config | {"id2label": {"1": "a", "2": "b"}}))
    with pytest.raises(ValueError, match="expected id2label to number labels from 0 on"):
        ResNet.from_pretrained(tmp_path / "second")
    with pytest.raises(ValueError, match="ResNet: expected 3 labels, got 2"):
        ResNet(BasicBlock, (1, 1, 1, 1), 3, labels=("a", "b"), **SMALL)


def test_layers_that_were_replaced_are_written_too(tmp_path):
    model = ResNet(BasicBlock, (1, 1, 1, 1), 3, labels=("a", "b", "c"), **SMALL)
    model.conv1, model.fc = Conv2d(1, 4, 7, 2, 3, bias=False), Dense(8, 5)
    model.save_pretrained(tmp_path)
    again, x = ResNet.from_pretrained(tmp_path), torch.randn(2, 1, 40, 40)
    torch.testing.assert_close(again(x), model.eval()(x))
    assert again.labels == tuple(f"LABEL_{number}" for number in range(5))
    adapted = add_lora(model, 2, layers="fc")
    adapted.save_pretrained(tmp_path)
    torch.testing.assert_close(ResNet.from_pretrained(tmp_path)(x), adapted(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": FrozenBatchNorm2d}, r"has BatchNorm2d\(4\) for bn1, this one FrozenBatchNorm2d\(4\)"),
        ({"norm": lambda c: BatchNorm2d(c, eps=0.1)}, r"BatchNorm2d\(4\) for bn1, this one .*eps=0.1"),
        ({"norm": lambda c: GroupNorm(2, c)}, r"for bn1, this one GroupNorm\(2, 4\)"),
        ({"fc": Sequential(Dropout(0.1), Dense(8, 3))}, r"has Dense\(8, 3\) for fc, this one Sequential"),
        ({"fc": Dense(8, 3, bias=False)}, r"for fc, this one Dense\(8, 3, bias=False\)"),
        ({"layer4": Identity()}, r"has Sequential\(\) for layer4, this one Identity"),
    ],
)
def test_what_the_format_cannot_describe_is_not_written(change, message, tmp_path):
    norm = change.pop("norm", BatchNorm2d)
    model = ResNet(BasicBlock, (1, 1, 1, 1), 3, norm=norm, **SMALL)
    for name, layer in change.items():
        setattr(model, name, layer)
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_feature_maps_for_detectors():
    model = ResNet(BasicBlock, (1, 1, 1, 1), 3, norm=FrozenBatchNorm2d, **SMALL).to(torch.float64)
    x = torch.randn(2, 3, 64, 48, dtype=torch.float64)
    with engine("manual"):
        maps = model.features(x, [2, 3, 4])
        assert [tuple(level.shape) for level in maps] == [(2, 6, 8, 6), (2, 8, 4, 3), (2, 8, 2, 2)]
        grads = [torch.randn_like(level) for level in maps]
        grad_x = model.features_backward(grads)
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    tape_x = x.clone().requires_grad_()
    with engine("autograd"):
        maps = model.features(tape_x, [2, 3, 4])
        sum((level * grad).sum() for level, grad in zip(maps, grads, strict=True)).backward()
    torch.testing.assert_close(grad_x, tape_x.grad)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad)
    with pytest.raises(ValueError, match="levels from 1 to 4 in order"):
        model.features(x, [3, 2])


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
@pytest.mark.parametrize("change", ["as it is", "another layer in a projection", "stem frozen"])
def test_frozen_norms_are_part_of_the_convolutions_before_them(block, change):
    model = ResNet(block, (1, 2), 3, norm=FrozenBatchNorm2d, widths=(4, 6)).to(torch.float64)
    for name, numbers in model.named_buffers():
        numbers.uniform_(0.5, 2) if name.endswith("var") else numbers.normal_()
    if change == "another layer in a projection":
        model.layer2[0].downsample.append(ReLU())
    if change == "stem frozen":
        model.conv1.requires_grad_(False)
    x, grad = torch.randn(4, 3, 64, 64, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)

    def step(**options):
        model.zero_grad()
        with engine("manual", **options), runs() as ran:
            results = [model(x), model.backward(grad)]
        return results + [p.grad for p in model.parameters() if p.requires_grad], ran

    joined, ran = step()
    assert ran["FrozenBatchNormKernel.forward"] == (change == "another layer in a projection")
    apart, ran = step(kernels=False)
    norms = sum(isinstance(part, FrozenBatchNorm2d) for part in model.modules())
    assert ran["frozen_batch_norm"] == ran["frozen_batch_norm_backward"] == norms
    for one, other in zip(joined, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
    seen = {layer.path for layer in xray(model, x).root.walk()}  # each on its own, as it was made
    assert {path for path, _ in model.named_modules()} <= seen


@pytest.mark.parametrize(("grads", "got"), [(1, "got 1, of which 0 None"), (3, "got 3, of which 1 None")])
def test_every_feature_map_has_a_gradient(grads, got):
    model = ResNet(BasicBlock, (1, 1, 1), None, widths=(4, 6, 8))
    with engine("manual"):
        maps = model.features(torch.randn(2, 3, 32, 32))
        given = [torch.ones_like(maps[0]), None, torch.ones_like(maps[2])][:grads]
        with pytest.raises(ValueError, match=rf"each of the 3 maps of levels \[1, 2, 3\], .*{got}"):
            model.features_backward(given)


def test_a_backbone_has_fewer_stages_and_no_head():
    model = ResNet(BasicBlock, (1, 1), None, widths=(4, 6))
    maps = model.eval().features(torch.randn(2, 3, 32, 32))
    assert [tuple(level.shape) for level in maps] == [(2, 4, 8, 8), (2, 6, 4, 4)]
    assert not any(name.startswith(("fc", "layer3")) for name in model.state_dict())
    with pytest.raises(RuntimeError, match="no dense layer"):
        model(torch.randn(2, 3, 32, 32))
    with pytest.raises(ValueError, match="levels from 1 to 2 in order"):
        model.features(torch.randn(2, 3, 32, 32), [3])


def test_blocks_can_start_as_the_identity():
    model = resnet18(10, zero_init_residual=True)
    assert not model.layer2[1].bn2.weight.any()
    x = torch.randn(1, 128, 5, 5).abs()
    torch.testing.assert_close(model.layer2[1](x), x)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["vgg", "resnet"])
def test_they_learn_the_digits(name, seed):
    g = torch.Generator().manual_seed(seed)
    data = load_digits()
    x = torch.tensor(data.images[:400], dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(data.target[:400])
    options = {"in_channels": 1, "generator": g}
    if name == "vgg":
        model = SmallVGG(10, widths=(8, 16), depth=1, **options)
    else:
        model = ResNet(BasicBlock, (1, 1, 1, 1), 10, widths=(8, 8, 16, 16), stem="small", **options)
    model.requires_input_grad_(False)
    loss, optimizer = CrossEntropyLoss(), SGD(model.parameters(), lr=0.05, momentum=0.9)
    with engine("manual"):
        for _ in range(12):
            for batch in torch.randperm(len(x), generator=g).split(50):
                model.zero_grad()
                loss(model(x[batch]), y[batch])
                model.backward(loss.backward())
                optimizer.step()
    accuracy = float((model.eval()(x).argmax(1) == y).float().mean())
    assert accuracy >= 0.97
