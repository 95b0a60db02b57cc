"""MiniViT: parity with Hugging Face's ViT, the files as they are in the world, other sizes, and errors."""

import json

import pytest
import torch
from ds_cnn.visualize import filters
from ds_core import engine
from ds_core.training.files import load_tensors, save_tensors
from ds_core.xray.observe import observe
from ds_zoo import MiniViT, MiniViTConfig, MiniViTForImageClassification, at_size
from ds_zoo.functional import resize_positions
from ds_zoo.vit.model import PatchEmbedding, patches
from ds_zoo.vit.visualize import (
    attention_rollout,
    draw_position_similarity,
    draw_rollout,
    position_similarity,
)
from torch import nn

SIZES = {
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "image_size": 8,
    "patch_size": 2,
    "num_channels": 3,
}
MODELS = {"ViTModel": MiniViT, "ViTForImageClassification": MiniViTForImageClassification}
VARIANTS = [
    ("ViTModel", {}),
    ("ViTModel", {"qkv_bias": False, "hidden_act": "gelu_new", "pooler_output_size": 7}),
    ("ViTForImageClassification", {"num_labels": 3, "hidden_act": "relu", "layer_norm_eps": 1e-3}),
    ("ViTForImageClassification", {"num_labels": 3, "problem_type": "multi_label_classification"}),
    ("ViTForImageClassification", {"num_labels": 1, "num_channels": 1}),
]
SHOWN = {"output_hidden_states": True, "output_attentions": True}


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-300)).item()


def pictures(high=8, wide=8, channels=3, dtype=torch.float32):
    draw = torch.Generator().manual_seed(5)
    return torch.randn(4, channels, high, wide, generator=draw, dtype=dtype)


def exact(module, query, key, value, mask, scaling=None, dropout=0.0, **_):
    """Attention whose softmax is in the type of its input; transformers' own is in float32, always."""
    weights = torch.softmax(query @ key.mT * scaling, -1)
    return (weights @ value).transpose(1, 2), weights


def vit(name, **options):
    """Hugging Face's model of random weights, none of them 0 or 1 as norms and biases begin."""
    transformers = pytest.importorskip("transformers")
    transformers.AttentionInterface.register("exact", exact)
    torch.manual_seed(0)
    config = transformers.ViTConfig(**(SIZES | options), attn_implementation="exact")
    model = getattr(transformers, name)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def on_disk(model, folder):
    """The tensors of a model under the names that files have for them."""
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
    scale = max(t.abs().max().item() for t in other.values())
    for name, expected in other.items():
        error = (mine[name] - expected).abs().max().item()
        assert error <= tolerance * max(expected.abs().max().item(), 1e-3 * scale), name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("size", [(8, 8), (12, 6)])
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_equals_transformers(tmp_path, name, options, size, dtype, tolerance):
    """Outputs, hidden states, attentions and every gradient, the images' too; at another size as well."""
    theirs = vit(name, **options)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MODELS[name].from_pretrained(tmp_path / "theirs").train().to(dtype)
    theirs.to(dtype).train()
    x = pictures(*size, options.get("num_channels", 3), dtype)
    other_size = {"interpolate_pos_encoding": size != (8, 8)}
    their_x = x.clone().requires_grad_()
    draw = torch.Generator().manual_seed(7)
    if name == "ViTModel":
        expected = theirs(their_x, **other_size, **SHOWN)
        parts = [expected.last_hidden_state, expected.pooler_output, expected.hidden_states[1]]
        weights = [torch.randn(t.shape, generator=draw, dtype=dtype) for t in parts]
        sum((w * t).sum() for w, t in zip(weights, parts, strict=True)).backward()
        with engine("manual"):
            output = ours(x, **other_size, **SHOWN)
            grad_x = ours.backward(*weights[:2], (None, weights[2], None, None))
        compared = ("last_hidden_state", "pooler_output")
    else:
        labels = torch.tensor([1, 0, 2, 1])
        if "problem_type" in options:
            labels = torch.rand(4, 3, generator=draw, dtype=dtype).round()
        elif options["num_labels"] == 1:
            labels = torch.rand(4, generator=draw, dtype=dtype)
        expected = theirs(their_x, labels=labels, **other_size, **SHOWN)
        expected.loss.backward()
        with engine("manual"):
            output = ours(x, labels, **other_size, **SHOWN)
            grad_x = ours.backward()
        compared = ("loss", "logits")
    for field in compared:
        assert relative(getattr(output, field), getattr(expected, field)) < tolerance, field
    for field in ("hidden_states", "attentions"):
        pairs = list(zip(getattr(output, field), getattr(expected, field), strict=True))
        assert all(relative(a, b) < tolerance for a, b in pairs), field
    assert relative(grad_x, their_x.grad) < tolerance
    assert_equal_gradients(ours, theirs, tmp_path, tolerance)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_weights_go_both_ways(tmp_path, name, options):
    transformers = pytest.importorskip("transformers")
    theirs = vit(name, **options)
    before = on_disk(theirs, tmp_path / "theirs")
    ours = MODELS[name].from_pretrained(tmp_path / "theirs")
    assert not ours.training
    after = on_disk(ours, tmp_path / "ours")
    assert after.keys() == before.keys()
    assert all(torch.equal(after[tensor], before[tensor]) for tensor in before)
    again, how = getattr(transformers, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="exact"
    )
    assert not how["missing_keys"]
    assert not how["unexpected_keys"]
    x = pictures(channels=options.get("num_channels", 3))
    with torch.no_grad():
        mine = [t for t in ours(x) if t is not None]
        expected = again.eval()(x).to_tuple()
    assert all(relative(a, b) < 1e-5 for a, b in zip(mine, expected, strict=True))
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert not {"pooling", "drop_path_rate", "stem"} & config.keys()  # transformers has no word for them
    assert again.config.num_labels == ours.config.num_labels


# ---- files as they are in the world --------------------------------------------------------------------


def test_files_with_and_without_pooler_head_and_prefix(tmp_path):
    whole, head = tmp_path / "whole", tmp_path / "head"
    vit("ViTModel").save_pretrained(whole)
    vit("ViTForImageClassification", num_labels=3).save_pretrained(head)
    assert MiniViT.from_pretrained(whole).pooler is not None
    encoder, model = MiniViT.from_pretrained(head), MiniViTForImageClassification.from_pretrained(head)
    assert encoder.pooler is None
    torch.testing.assert_close(
        encoder.features(pictures()), model.pool(model.vit(pictures()).last_hidden_state)
    )
    # as published: with pooler and head, and of another head the token of hidden patches
    tensors = load_tensors(head / "model.safetensors")[0]
    extra = {f"vit.{name}": t for name, t in load_tensors(whole / "model.safetensors")[0].items()}
    extra |= {"vit.embeddings.mask_token": torch.zeros(1, 1, 12), "decoder.0.bias": torch.zeros(3)}
    save_tensors(head / "model.safetensors", extra | tensors, {"format": "pt"})
    again = MiniViTForImageClassification.from_pretrained(head)
    assert torch.equal(again(pictures()).logits, model(pictures()).logits)
    assert MiniViT.from_pretrained(head).pooler is not None


def test_what_transformers_has_no_word_for_comes_back(tmp_path):
    config = MiniViTConfig(
        **SIZES, pooling="mean", stem="conv", drop_path_rate=0.2, labels=("cat", "dog", "cow")
    )
    model = MiniViTForImageClassification(config, generator=torch.Generator().manual_seed(0)).eval()
    model.save_pretrained(tmp_path)
    again = MiniViTForImageClassification.from_pretrained(tmp_path)
    assert again.config == config
    assert torch.equal(again(pictures()).logits, model(pictures()).logits)
    assert model.vit.embeddings.cls_token is None
    assert model.vit.embeddings.position_embeddings.shape == (1, 16, 12)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"hidden_act": "gelu_10"}, "expected hidden_act 'gelu'"),
        ({"image_size": [8, 8, 8]}, "expected image_size in pixels"),
        ({"image_size": 1}, "images of at least one patch, got image_size=1, patch_size=2"),
        ({"num_channels": 0}, "expected num_channels of at least 1"),
        ({"hidden_size": 16}, "num_attention_heads to divide hidden_size"),
        ({"pooling": "max"}, "expected pooling 'cls' or 'mean', got 'max'"),
        ({"stem": "resnet"}, "expected stem 'patch' or 'conv', got 'resnet'"),
        ({"stem": "conv", "patch_size": 3}, r"patch_size of 2, 4, 8 ... with stem='conv', got \(3, 3\)"),
        ({"stem": "conv", "image_size": 9}, "patch_size to divide image_size with stem='conv', got image_s"),
        ({"drop_path_rate": 1.0}, "drop_path_rate from 0 to below 1"),
        ({"use_mean_pooling": True}, "unknown setting use_mean_pooling=True"),
        ({"model_type": "deit"}, "expected model_type 'vit', got 'deit'"),
        ({"id2label": {"0": "a", "2": "b"}}, "labels from 0 on"),
    ],
)
def test_settings_are_refused_by_name(tmp_path, setting, said):
    MiniViT(MiniViTConfig(**SIZES)).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    with pytest.raises(ValueError, match=f"config.json: .*{said}"):
        MiniViT.from_pretrained(tmp_path)


def test_an_image_size_of_another_file(tmp_path):
    MiniViT(MiniViTConfig(**SIZES)).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_size": [8, 10]}))
    with pytest.raises(ValueError, match=r"position_embeddings, expected \(1, 21, 12\), got \(1, 17, 12\)"):
        MiniViT.from_pretrained(tmp_path)


def test_published_labels_of_one_name(tmp_path):
    """ImageNet has two cranes and two maillots; transformers has their names twice."""
    names = {0: "crane", 1: "ox", 2: "crane"}
    theirs = vit("ViTForImageClassification", id2label=names, label2id={"ox": 1, "crane": 2}).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MiniViTForImageClassification.from_pretrained(tmp_path / "theirs")
    assert ours.config.labels == ("crane (0)", "ox", "crane (2)")
    with torch.no_grad():
        assert relative(ours(pictures()).logits, theirs(pictures()).logits) < 1e-5
    ours.save_pretrained(tmp_path / "ours")
    assert MiniViTForImageClassification.from_pretrained(tmp_path / "ours").config == ours.config


# ---- patches, places, sizes ----------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "size"), [((8, 8), (2, 2)), ((7, 11), (2, 3)), ((4, 4), (4, 4))])
def test_the_convolution_is_one_product(image, size):
    """Forward and both gradients of the convolution are those of patches times the weight as a matrix."""
    layer = PatchEmbedding(3, 5, size, generator=torch.Generator().manual_seed(0)).to(torch.float64)
    x = pictures(*image, dtype=torch.float64)
    with engine("manual"):
        y = layer(x)
        grad = torch.randn(y.shape, dtype=torch.float64)
        grad_x = layer.backward(grad)
    rows, weight = patches(x, size), layer.projection.weight.detach().flatten(1)
    torch.testing.assert_close(y, rows @ weight.T + layer.projection.bias.detach())
    by_product = grad.flatten(0, 1).T @ rows.flatten(0, 1)
    torch.testing.assert_close(layer.projection.weight.grad.flatten(1), by_product)
    torch.testing.assert_close(patches(grad_x, size), grad @ weight)


@pytest.mark.parametrize("new", [(6, 3), (4, 4), (2, 9)])
@pytest.mark.parametrize("antialias", [False, True])
def test_positions_are_resized_as_torch_resizes_images(new, antialias):
    table = torch.randn(1, 2 + 16, 5, dtype=torch.float64)
    resized, _ = resize_positions(table, (4, 4), new, 2, antialias)
    image = table[:, 2:].mT.unflatten(2, (4, 4))
    expected = nn.functional.interpolate(image, new, mode="bicubic", antialias=antialias)
    assert torch.equal(resized[:, :2], table[:, :2])
    torch.testing.assert_close(resized[:, 2:], expected.flatten(2).mT, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_model_moves_to_another_size(pooling):
    config = MiniViTConfig(**SIZES, pooling=pooling)
    model = MiniViTForImageClassification(config, generator=torch.Generator().manual_seed(0)).eval()
    larger = at_size(model, (12, 10), antialias=False)
    assert larger.config.grid == (6, 5)
    assert not larger.training
    x = pictures(12, 10)
    torch.testing.assert_close(larger(x).logits, model(x, interpolate_pos_encoding=True).logits)
    model.vit.embeddings.requires_grad_(False)
    moved = at_size(model.double(), 12, antialias=False)
    assert [p.requires_grad for p in moved.parameters()] == [p.requires_grad for p in model.parameters()]
    x = pictures(12, 12, dtype=torch.float64)
    expected = model(x, interpolate_pos_encoding=True).logits
    torch.testing.assert_close(moved(x).logits, expected)
    half = at_size(model.bfloat16(), 12).vit.embeddings.position_embeddings
    assert half.dtype == torch.bfloat16
    model.float()
    smaller = at_size(model.vit, 4)
    assert smaller(pictures(4, 4)).last_hidden_state.shape == (4, 4 + (pooling == "cls"), 12)


def test_layers_are_left_out_more_and_more():
    config = MiniViTConfig(**SIZES, drop_path_rate=0.5)
    model = MiniViT(config, generator=torch.Generator().manual_seed(0))
    rates = [part.drop_prob for part in model.modules() if type(part).__name__ == "DropPath"]
    assert rates == [0.25, 0.25, 0.5, 0.5]
    x = pictures()
    assert not torch.equal(model(x).last_hidden_state, model(x).last_hidden_state)
    model.eval()
    assert torch.equal(model(x).last_hidden_state, model(x).last_hidden_state)


def test_presets():
    base = MiniViTConfig.preset("vit-base-16", labels=tuple(map(str, range(1000))))
    assert (base.hidden_size, base.num_hidden_layers, base.grid) == (768, 12, (14, 14))
    with torch.device("meta"):
        model = MiniViTForImageClassification(base)
    assert model.num_parameters() == 86_567_656  # as published
    assert MiniViTConfig.preset("tiny", image_size=28, num_channels=1).grid == (7, 7)
    with pytest.raises(ValueError, match="a preset of tiny, mini, small, vit-base-16, got 'huge'"):
        MiniViTConfig.preset("huge")


def test_mistakes():
    model = MiniViT(MiniViTConfig(**SIZES))
    with pytest.raises(ValueError, match=r"expected images \(B, 3, 8, 8\), got \(2, 1, 8, 8\)"):
        model(torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"expected images \(B, 3, 8, 8\), got \(3, 8, 8\)"):
        model(torch.zeros(3, 8, 8))
    with pytest.raises(
        ValueError, match=r"8 x 8 pixels, got \(1, 3, 9, 8\); .*interpolate_pos_encoding=True"
    ):
        model(torch.zeros(1, 3, 9, 8))
    with pytest.raises(ValueError, match=r"at least one patch of \(2, 2\), got \(1, 3, 9, 1\)"):
        model(torch.zeros(1, 3, 9, 1), interpolate_pos_encoding=True)
    with pytest.raises(TypeError, match=r"expected torch.float32 input .*got torch.uint8"):
        model(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    head = MiniViTForImageClassification.from_encoder(model.to(torch.float64))
    assert {parameter.dtype for parameter in head.parameters()} == {torch.float64}
    head = MiniViTForImageClassification.from_encoder(model.to(torch.float32), labels=("a", "b", "c"))
    with engine("manual"):
        with pytest.raises(IndexError, match="from 0 to 2"):
            head(pictures(), torch.tensor([0, 3, 1, 0]))
        head(pictures())
        with pytest.raises(ValueError, match="expected grad_logits alone: forward got no labels"):
            head.backward()
        model(pictures())
        with pytest.raises(ValueError, match="the gradient of last_hidden_state or pooler_output"):
            model.backward()
    with pytest.raises(ValueError, match="different labels"):
        MiniViTConfig(labels=())


# ---- what it looks at ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_attention_rollout_is_its_formula(pooling):
    config = MiniViTConfig(**SIZES, pooling=pooling, initializer_range=0.5)
    model = MiniViTForImageClassification(config, generator=torch.Generator().manual_seed(0))
    x = pictures(8, 12)
    seen = attention_rollout(model, x)
    assert seen.shape == (4, 4, 6)
    assert model.training
    torch.testing.assert_close(seen.sum((1, 2)), torch.ones(4))
    maps = model.vit.eval()(x, True, output_attentions=True).attentions
    tokens = 24 + (pooling == "cls")
    half = [0.5 * torch.eye(tokens) + 0.5 * attention.mean(1) for attention in maps]
    rolled = half[2] @ half[1] @ half[0]
    row = rolled[:, 0, 1:] if pooling == "cls" else rolled.mean(1)
    torch.testing.assert_close(seen.flatten(1), row / row.sum(1, keepdim=True))
    with pytest.raises(ValueError, match="residual from 0 to 1, got 2"):
        attention_rollout(model, x, residual=2)


def test_pictures(tmp_path):
    model = MiniViT(MiniViTConfig(**SIZES), generator=torch.Generator().manual_seed(0))
    x = torch.rand(2, 3, 8, 8)
    similar = position_similarity(model)
    assert similar.shape == (4, 4, 4, 4)
    torch.testing.assert_close(similar.flatten(2).flatten(0, 1).diagonal(), torch.ones(16))
    torch.testing.assert_close(similar, similar.permute(2, 3, 0, 1))
    draw_rollout(x, attention_rollout(model, x), path=tmp_path / "rollout.png")
    draw_position_similarity(model, path=tmp_path / "places.png")
    filters(model, "embeddings.patch_embeddings.projection").plot(tmp_path / "filters.png")
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in ("rollout", "places", "filters"))
    with pytest.raises(ValueError, match="as many images as maps, got 1 and 2"):
        draw_rollout(x[:1], torch.rand(2, 4, 4))


@pytest.mark.parametrize("size", [8, 10])
def test_what_nobody_reads_is_not_computed_and_changes_nothing(size):
    """With hidden states, every token is computed: the loss and all gradients are the same."""
    config = MiniViTConfig(**SIZES, labels=("cat", "dog", "cow"))
    labels, found, seen = torch.tensor([2, 0, 1, 1]), [], []
    for shown in (False, True):
        model = MiniViTForImageClassification(config, generator=torch.Generator().manual_seed(1)).double()
        images = pictures(size, size, dtype=torch.float64)
        with engine("manual"), observe(model.vit.layers[-1].linear1, lambda *x: seen.append(x[3].shape[1])):
            loss = model(images, labels, True, output_hidden_states=shown).loss
            found.append([loss, model.backward(), *(p.grad for p in model.parameters())])
    assert seen == [1, 1 + (size // 2) ** 2]
    assert all(relative(a, b) < 1e-12 for a, b in zip(*found, strict=True))


def test_a_head_computes_all_tokens_if_told_so():
    model, seen = MiniViTForImageClassification(MiniViTConfig(**SIZES)).eval(), []
    with torch.no_grad(), observe(model.vit.layers[-1].linear1, lambda *x: seen.append(x[3].shape[1])):
        model(pictures(), pooled_only=False)
    assert seen == [17]


def test_pooled_only_leaves_a_mean_of_patches_alone():
    model = MiniViT(MiniViTConfig(**SIZES, pooling="mean")).eval()
    with torch.no_grad():
        assert model(pictures(), pooled_only=True).last_hidden_state.shape == (4, 16, 12)


def test_without_memory_it_tells_its_shapes():
    model = MiniViTForImageClassification(MiniViTConfig(**SIZES, labels=("cat", "dog", "cow"))).to("meta")
    assert model(pictures().to("meta")).logits.shape == (4, 3)
