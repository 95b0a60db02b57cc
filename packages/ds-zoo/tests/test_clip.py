"""MiniCLIP: parity with Hugging Face's CLIP, files as they are in the world, training in parts, errors."""

import json
import math

import pytest
import torch
from ds_core import AdamW, engine
from ds_core.training.files import load_tensors, save_tensors
from ds_core.xray.observe import observe
from ds_zoo.clip import (
    CLIPPairs,
    ContrastiveLoss,
    MiniCLIP,
    MiniCLIPConfig,
    MiniCLIPTextConfig,
    MiniCLIPTextModelWithProjection,
    MiniCLIPVisionConfig,
    MiniCLIPVisionModelWithProjection,
    Similarity,
)

TOWER = {
    "hidden_size": 12,
    "intermediate_size": 20,
    "projection_dim": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
}
TEXT = TOWER | {"vocab_size": 23, "max_position_embeddings": 10, "eos_token_id": 22, "bos_token_id": 21}
VISION = TOWER | {"image_size": 12, "patch_size": 4, "hidden_size": 8, "num_attention_heads": 2}
DTYPES = [(torch.float32, 1e-4), (torch.float64, 1e-9)]
SHOWN = {"output_hidden_states": True, "output_attentions": True}


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-300)).item()


@pytest.fixture
def exact(monkeypatch):
    """Lets transformers compute attention in the type it is given, not always in float32."""
    clip = pytest.importorskip("transformers.models.clip.modeling_clip")
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(clip.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim))


def theirs_of(name, text=(), vision=()):
    """Hugging Face's model of random weights, none of them 0 or 1 as norms and biases begin."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    text, vision = TEXT | dict(text), VISION | dict(vision)
    if name == "CLIPModel":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    elif "Text" in name:
        config = transformers.CLIPTextConfig(**text)
    else:
        config = transformers.CLIPVisionConfig(**vision)
    config._attn_implementation = "eager"
    model = getattr(transformers, name)(config)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def captions(rows=4, length=8, end=22):
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(1, 21, (rows, length), generator=draw)
    mask = (torch.arange(length) < length - torch.arange(rows)[:, None]).long()
    ids[torch.arange(rows), length - 1 - torch.arange(rows)] = end
    return ids * mask, mask


def images(rows=4, height=12, width=12, dtype=torch.float32):
    return torch.randn(rows, 3, height, width, generator=torch.Generator().manual_seed(6)).to(dtype)


def gradients_on_disk(model, folder):
    with torch.no_grad():
        for parameter in model.parameters():
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.data = grad.clone()
    model.save_pretrained(folder)
    return load_tensors(folder / "model.safetensors")[0]


def assert_equal_files(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    scale = max(t.abs().max().item() for t in theirs.values())
    for name in ours:
        error = (ours[name] - theirs[name]).abs().max().item()
        assert error <= tolerance * max(theirs[name].abs().max().item(), 1e-3 * scale), name


def assert_all(ours, theirs, tolerance):
    assert len(ours) == len(theirs)
    assert all(relative(a, b) < tolerance for a, b in zip(ours, theirs, strict=True))


# ---- parity --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_clip_equals_transformers(tmp_path, exact, act, dtype, tolerance):
    theirs = theirs_of("CLIPModel", {"hidden_act": act}, {"hidden_act": act})
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MiniCLIP.from_pretrained(tmp_path / "theirs").train().to(dtype)
    theirs.to(dtype).train()
    (ids, mask), pixels = captions(), images(dtype=dtype).requires_grad_()
    expected = theirs(ids, pixels, mask, return_loss=True, **SHOWN)
    expected.loss.backward()
    with engine("manual"):
        output = ours(ids, pixels.detach(), mask, return_loss=True, **SHOWN)
        _, grad = ours.backward()
    for field in ("loss", "logits_per_image", "logits_per_text", "text_embeds", "image_embeds"):
        assert relative(getattr(output, field), getattr(expected, field)) < tolerance, field
    for part in ("text_model_output", "vision_model_output"):
        a, b = getattr(output, part), getattr(expected, part)
        assert relative(a.last_hidden_state, b.last_hidden_state) < tolerance
        assert_all(a.hidden_states, b.hidden_states, tolerance)
        assert_all(a.attentions, b.attentions, tolerance)
    assert relative(grad, pixels.grad) < tolerance
    mine, other = (gradients_on_disk(m, tmp_path / f"grad{i}") for i, m in enumerate((ours, theirs)))
    assert_equal_files(mine, other, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("end", [22, 2])
def test_text_tower_equals_transformers(tmp_path, exact, end, dtype, tolerance):
    """With 2, as old files have it, a caption is read off at its highest id."""
    name = "CLIPTextModelWithProjection"
    theirs = theirs_of(name, {"eos_token_id": end})
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MiniCLIPTextModelWithProjection.from_pretrained(tmp_path / "theirs").train().to(dtype)
    theirs.to(dtype).train()
    ids, mask = captions()
    expected = theirs(ids, mask, **SHOWN)
    draw = torch.Generator().manual_seed(7)
    parts = (expected.text_embeds, expected.last_hidden_state, expected.hidden_states[1])
    weights = [torch.randn(t.shape, generator=draw, dtype=dtype) for t in parts]
    sum((w * t).sum() for w, t in zip(weights, parts, strict=True)).backward()
    with engine("manual"):
        output = ours(ids, mask, **SHOWN)
        ours.backward(weights[0], weights[1], (None, weights[2], None))
    assert relative(output.text_embeds, expected.text_embeds) < tolerance
    assert relative(output.last_hidden_state, expected.last_hidden_state) < tolerance
    assert_all(output.hidden_states, expected.hidden_states, tolerance)
    assert_all(output.attentions, expected.attentions, tolerance)
    mine, other = (gradients_on_disk(m, tmp_path / f"grad{i}") for i, m in enumerate((ours, theirs)))
    assert_equal_files(mine, other, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("size", [(12, 12), (20, 8), (9, 14)])
def test_image_tower_equals_transformers(tmp_path, exact, size, dtype, tolerance):
    """At another resolution, too: the vectors of the positions are stretched, and their gradient shrinks."""
    name = "CLIPVisionModelWithProjection"
    theirs = theirs_of(name)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MiniCLIPVisionModelWithProjection.from_pretrained(tmp_path / "theirs").train().to(dtype)
    theirs.to(dtype).train()
    pixels = images(2, *size, dtype=dtype).requires_grad_()
    expected = theirs(pixels, interpolate_pos_encoding=True, **SHOWN)
    draw = torch.Generator().manual_seed(7)
    parts = (expected.image_embeds, expected.last_hidden_state, expected.hidden_states[0])
    weights = [torch.randn(t.shape, generator=draw, dtype=dtype) for t in parts]
    sum((w * t).sum() for w, t in zip(weights, parts, strict=True)).backward()
    with engine("manual"):
        output = ours(pixels.detach(), interpolate_pos_encoding=True, **SHOWN)
        grad = ours.backward(weights[0], weights[1], (weights[2], None, None))
    assert relative(output.image_embeds, expected.image_embeds) < tolerance
    assert_all(output.hidden_states, expected.hidden_states, tolerance)
    assert_all(output.attentions, expected.attentions, tolerance)
    assert relative(grad, pixels.grad) < tolerance
    mine, other = (gradients_on_disk(m, tmp_path / f"grad{i}") for i, m in enumerate((ours, theirs)))
    assert_equal_files(mine, other, tolerance)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CLIPModel", MiniCLIP),
        ("CLIPTextModelWithProjection", MiniCLIPTextModelWithProjection),
        ("CLIPVisionModelWithProjection", MiniCLIPVisionModelWithProjection),
    ],
)
def test_weights_go_both_ways(tmp_path, name, kind):
    transformers = pytest.importorskip("transformers")
    theirs = theirs_of(name)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = kind.from_pretrained(tmp_path / "theirs")
    assert not ours.training
    ours.save_pretrained(tmp_path / "ours")
    again, how = getattr(transformers, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(how[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    first, second = theirs.state_dict(), again.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_one_tower_comes_out_of_a_whole_folder(tmp_path):
    theirs_of("CLIPModel").save_pretrained(tmp_path)
    whole = MiniCLIP.from_pretrained(tmp_path)
    text = MiniCLIPTextModelWithProjection.from_pretrained(tmp_path)
    image = MiniCLIPVisionModelWithProjection.from_pretrained(tmp_path)
    ids, mask = captions()
    with torch.no_grad():
        assert torch.equal(text(ids, mask).text_embeds, whole.text(ids, mask).text_embeds)
        assert torch.equal(image(images()).image_embeds, whole.vision(images()).image_embeds)


def test_old_files(tmp_path):
    """Positions were numbered in the weights, and each tower's settings stood there twice."""
    theirs_of("CLIPModel").save_pretrained(tmp_path)
    expected = MiniCLIP.from_pretrained(tmp_path)
    tensors = load_tensors(tmp_path / "model.safetensors")[0]
    tensors["text_model.embeddings.position_ids"] = torch.arange(10)[None]
    tensors["vision_model.embeddings.position_ids"] = torch.arange(10)[None]
    save_tensors(tmp_path / "model.safetensors", tensors, {"format": "pt"})
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    content["vision_config_dict"] = {**VISION, "dropout": 0.0}
    content["vision_config"]["hidden_size"] = 999  # what stands in the other comes first
    content["text_config_dict"] = None
    content["text_config"] |= {"pruned_heads": {}, "use_bfloat16": False, "add_cross_attention": False}
    path.write_text(json.dumps(content))
    read = MiniCLIP.from_pretrained(tmp_path)
    assert read.config == expected.config
    (ids, mask), pixels = captions(), images()
    with torch.no_grad():
        assert torch.equal(read(ids, pixels, mask)[1], expected(ids, pixels, mask)[1])


def test_a_setting_that_is_not_known_is_refused(tmp_path):
    theirs_of("CLIPModel").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    content["vision_config"]["window"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"vision_config: unknown setting window=7"):
        MiniCLIP.from_pretrained(tmp_path)


# ---- training in parts ---------------------------------------------------------------------------------


def pairs_of(dropout=0.0, **options):
    config = MiniCLIPConfig(
        MiniCLIPTextConfig(**TEXT, attention_dropout=dropout), MiniCLIPVisionConfig(**VISION | options), 8
    )
    return MiniCLIP(config, generator=torch.Generator().manual_seed(1)).to(torch.float64)


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 50])
@pytest.mark.parametrize("options", [{"stem": "patch"}, {"stem": "conv"}, {"tower": "resnet"}])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(chunk, options):
    ids, _ = captions(7, 9)
    pixels, numbers = images(7, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 3, 4, 5])
    found = []
    for size in (None, chunk):
        model = pairs_of(**options)
        pairs, loss = CLIPPairs(model, size), ContrastiveLoss()
        with engine("manual"):
            value = loss(pairs(pixels, ids), numbers)
            grad = pairs.backward(loss.backward())
        found.append([value, grad, *(p.grad for p in model.parameters())])
    assert all(relative(a, b) < 1e-9 for a, b in zip(*found, strict=True))


def test_a_resnet_comes_back_from_its_file_and_shows_no_attention(tmp_path):
    model = pairs_of(tower="resnet").float().eval()
    model.save_pretrained(tmp_path)
    again = MiniCLIP.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again.get_image_features(images(2)), model.get_image_features(images(2)))
        with pytest.raises(ValueError, match="neither hidden states of tokens nor attentions"):
            again.vision(images(2), output_attentions=True)


def test_between_the_passes_only_inputs_and_embeddings_are_kept():
    """What the towers keep for their backward is that of one part, not of the batch."""
    ids, _ = captions(8, 8)
    kept = {}
    for chunk in (None, 2):
        pairs = CLIPPairs(pairs_of(), chunk)
        with engine("manual"):
            pairs(images(8, dtype=torch.float64), ids)
            kept[chunk] = sum(len(part._stack) for part in pairs.modules())
    assert kept[2] < kept[None] / 3


def test_dropout_is_drawn_again_as_it_was():
    """Both passes drop the same numbers: two trainings that differ in nothing else stay equal."""
    ids, _ = captions(6, 8)
    steps = []
    for _ in range(2):
        pairs, loss = CLIPPairs(pairs_of(dropout=0.3), 2), ContrastiveLoss()
        with engine("manual"):
            first = loss(pairs(images(6, dtype=torch.float64), ids))
            pairs.backward(loss.backward())
        steps.append([first, *(p.grad for p in pairs.parameters())])
    assert all(map(torch.equal, *steps))


def test_the_scale_is_at_most_100():
    similarity = Similarity(4.0)
    similarity.clamp_()
    assert similarity.log_scale.item() == 4.0
    similarity = Similarity(9.0)
    similarity.clamp_()
    assert similarity.log_scale.exp().item() == pytest.approx(100, rel=1e-6)


def test_equal_captions_are_no_rivals():
    """Of pairs with one caption each image goes with each: perfect embeddings then have the least loss."""
    logits = 50 * torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    loss, numbers = ContrastiveLoss(), torch.tensor([5, 5, 9])
    with engine("manual"):
        shared, grad = loss(logits, numbers), loss.backward()
        apart, push = loss(logits), loss.backward()
    assert shared.item() == pytest.approx(2 / 3 * math.log(2))  # nobody can know which of the two it is
    assert grad.abs().max() < 1e-12
    assert apart.item() == pytest.approx(shared.item())
    assert push[0, 1] > 0.1  # and would push the equal ones apart


@pytest.mark.parametrize("seed", range(3))
def test_it_learns_which_colour_is_meant(seed):
    """Four colours and their names: every image finds its caption."""
    draw = torch.Generator().manual_seed(seed)
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    config = MiniCLIPConfig.of_size(
        6, image_size=8, patch_size=4, width=16, layers=1, heads=2, eos_token_id=5
    )
    model = MiniCLIP(config, generator=draw).train()
    optimizer = AdamW(list(model.parameters()), lr=5e-3)
    ids = torch.tensor([[k, 5] for k in range(4)])

    def batch():
        shift = 0.2 * torch.randn(4, 3, 8, 8, generator=draw)
        return colours[:, :, None, None] + shift

    for _ in range(40):
        optimizer.zero_grad()
        with engine("manual"):
            model(ids, batch(), return_loss=True)
            model.backward()
        optimizer.step()
        model.similarity.clamp_()
    model.eval()
    with torch.no_grad():
        assert model(ids, batch()).logits_per_image.argmax(1).tolist() == [0, 1, 2, 3]


# ---- mistakes ------------------------------------------------------------------------------------------


def small():
    return MiniCLIP(MiniCLIPConfig(MiniCLIPTextConfig(**TEXT), MiniCLIPVisionConfig(**VISION), 8)).eval()


def test_mistakes_in_what_it_is_given():
    model = small()
    ids, _ = captions()
    cases = [
        ((torch.zeros(2, 11, dtype=torch.long), images()), "T from 1 to 10 .*got \\(2, 11\\)"),
        ((ids, images(4, 16, 16)), "12 x 12 pixels, got 16 x 16; .*interpolate_pos_encoding"),
        ((ids, images()[:, :1]), r"expected pixel_values \(B, 3, H, W\), got"),
        ((ids, images(), torch.ones(4, 3)), "attention_mask of the shape"),
        ((ids, images(), torch.full(ids.shape, -1e9)), "attention_mask of 1 where something is"),
        ((ids, images(), torch.full(ids.shape, -10000)), "attention_mask of 1 where something is"),
        ((ids[:1], images(1), None, True), "at least 2 pairs, to tell one from the other, got 1"),
        ((ids, images(3), None, True), "as many images as texts"),
    ]
    for given, message in cases:
        with torch.no_grad(), pytest.raises(ValueError, match=message):
            model(*given)
    with torch.no_grad(), pytest.raises(IndexError):
        model(ids + 20, images())
    with torch.no_grad(), pytest.raises(ValueError, match="a caption for each image, got 4 images and 3"):
        CLIPPairs(model)(images(), ids[:3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MiniCLIPVisionConfig(image_size=4, patch_size=8), "image_size of at least patch_size"),
        (lambda: MiniCLIPVisionConfig(stem="resnet"), "stem 'patch' or 'conv', got 'resnet'"),
        (lambda: MiniCLIPVisionConfig(tower="cnn"), "tower 'vit' or 'resnet', got 'cnn'"),
        (lambda: MiniCLIPVisionConfig(tower="resnet", hidden_size=6, num_attention_heads=2), "multiple of 4"),
        (lambda: MiniCLIPVisionConfig(stem="conv", patch_size=6, image_size=12), "2, 4, 8"),
        (lambda: MiniCLIPTextConfig(vocab_size=5, hidden_size=10), "num_attention_heads to divide"),
        (
            lambda: MiniCLIPTextConfig(vocab_size=5, hidden_act="swish"),
            "hidden_act .*'quick_gelu' .*got 'swish'",
        ),
        (lambda: MiniCLIPTextConfig(vocab_size=0), "vocab_size of at least 1"),
        (lambda: CLIPPairs(small(), 0), "chunk of at least 1"),
    ],
)
def test_mistakes_in_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("end", [2, 22])
@pytest.mark.parametrize("masked", [False, True])
def test_pairs_compute_no_token_that_nobody_reads_and_change_nothing(end, masked):
    """The model computes them: its loss and all gradients are the same."""
    ids, mask = captions(5, 9)
    mask = mask if masked else None
    pixels, found, seen = images(5, dtype=torch.float64), [], []
    for shown in (False, True):
        text = MiniCLIPTextConfig(**TEXT | {"eos_token_id": end})
        config = MiniCLIPConfig(text, MiniCLIPVisionConfig(**VISION), 8)
        model = MiniCLIP(config, generator=torch.Generator().manual_seed(1)).double()
        text, image = (t.layers[-1].linear1 for t in (model.text.text_model, model.vision.vision_model))

        def look(path, module, inputs, output):
            seen.append(output.shape[1])

        with engine("manual"), observe(text, look), observe(image, look):
            if shown:
                loss = model(ids, pixels, mask, True).loss
                grad = model.backward()[1]
            else:
                pairs, compare = CLIPPairs(model), ContrastiveLoss()
                loss = compare(pairs(pixels, ids, mask))
                grad = pairs.backward(compare.backward())
        found.append([loss, grad, *(p.grad for p in model.parameters())])
    assert seen[:2] == [1, 1]
    assert min(seen[2:]) > 1
    assert all(relative(a, b) < 1e-12 for a, b in zip(*found, strict=True))
