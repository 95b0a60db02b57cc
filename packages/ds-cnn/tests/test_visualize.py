"""Every map beside its definition, computed by torch's autograd through the same network."""

import sys

import pytest
import torch
from ds_cnn import (
    BatchNorm2d,
    Conv2d,
    Dropout2d,
    GlobalAvgPool2d,
    MaxPool2d,
    resnet18,
)
from ds_cnn.visualize import feature_maps, filters, grad_cam, saliency
from ds_core import BatchNorm1d, Dense, Dropout, Flatten, Module, ReLU, Sequential, Trainer
from ds_core.module import replaced
from PIL import Image
from torch.nn import functional as F


def small(in_channels=1, inplace=False):
    """A network with everything that behaves otherwise in training, after some of it."""
    torch.manual_seed(0)
    model = Sequential(
        Conv2d(in_channels, 6, 3, padding=1),
        BatchNorm2d(6),
        ReLU(inplace=inplace),
        Dropout2d(0.3),
        MaxPool2d(2),
        Conv2d(6, 5, 3, padding=1),
        ReLU(),
        Flatten(),
        Dense(5 * 16, 12),
        BatchNorm1d(12),
        ReLU(),
        Dropout(0.5),
        Dense(12, 4),
    )
    with torch.no_grad():  # running averages, weights and shifts that matter
        for _ in range(5):
            model(2 * torch.rand(20, in_channels, 8, 8) + 0.5)
        for layer in (model[1], model[9]):
            layer.weight.copy_(torch.randn(layer.weight.shape))
            layer.bias.copy_(torch.randn(layer.bias.shape))
    return model.train()


def pictures(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def resnet():
    torch.manual_seed(0)
    return resnet18(4)


NETWORKS = {
    "grey": (lambda: small(1), (5, 1, 8, 8), "5"),
    "colour, in place": (lambda: small(3, inplace=True), (3, 3, 8, 8), "2"),
    "one image": (lambda: small(1), (1, 8, 8), "6"),
    "residual": (resnet, (2, 3, 40, 40), "layer3"),
    "used twice": (resnet, (2, 3, 40, 40), "layer4.1.relu"),
}
networks = pytest.mark.parametrize(("make", "shape", "layer"), NETWORKS.values(), ids=NETWORKS)


def on_the_tape(model, images, layer, classes=None):
    """Returns scores, dy/dx, A and dy/dA of a layer, by autograd, in evaluation."""
    model.eval()
    x = images.clone().reshape(-1, *images.shape[-3:]).requires_grad_()
    kept = []
    part = dict(model.named_modules())[layer]
    original = part.forward

    def forward(inputs):
        output = original(inputs)
        output.retain_grad()
        kept.append(output)
        return output * 1.0  # so that a layer in place cannot write into what is kept

    with replaced(part, forward=forward):
        scores = model(x)
    classes = scores.argmax(1) if classes is None else classes
    scores[torch.arange(len(x)), classes].sum().backward()
    return scores.detach(), x.grad, kept[-1].detach(), kept[-1].grad


def copy_of_state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


# ---- the maps are what their definitions say -------------------------------------------------------------


@networks
def test_saliency_equals_the_gradient_of_the_tape(make, shape, layer):
    images = pictures(*shape)
    seen = saliency(make(), images)
    scores, grad, _, _ = on_the_tape(make(), images, layer)
    torch.testing.assert_close(seen.scores, scores, atol=1e-4, rtol=1e-4)
    assert torch.equal(seen.classes, scores.argmax(1))
    torch.testing.assert_close(seen.grad, grad, atol=1e-5 * float(grad.abs().max()), rtol=1e-4)
    assert torch.equal(seen.map, seen.grad.abs().amax(1))
    assert float(grad.abs().max()) > 0


@networks
def test_grad_cam_equals_its_definition(make, shape, layer):
    images = pictures(*shape)
    seen = grad_cam(make(), images, layer)
    _, _, maps, grad = on_the_tape(make(), images, layer)
    weights = grad.mean((2, 3))
    expected = torch.relu(torch.einsum("nk,nkij->nij", weights, maps))
    torch.testing.assert_close(seen.weights, weights, atol=1e-5 * float(weights.abs().max()), rtol=1e-4)
    torch.testing.assert_close(seen.map, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)
    large = F.interpolate(expected[:, None], shape[-2:], mode="bilinear")[:, 0]
    peak = large.amax((1, 2), keepdim=True)
    torch.testing.assert_close(seen.heat, large / peak.where(peak > 0, torch.ones(())), atol=1e-4, rtol=0)


@pytest.mark.parametrize("target", [2, [0, 3, 1], torch.tensor([1, 1, 0])])
def test_maps_of_the_class_asked_for(target):
    images = pictures(3, 1, 8, 8)
    wanted = torch.as_tensor(target).expand(3)
    _, grad, _, _ = on_the_tape(small(), images, "0", wanted)
    seen = saliency(small(), images, target)
    assert torch.equal(seen.classes, wanted)
    torch.testing.assert_close(seen.grad, grad, atol=1e-6, rtol=1e-4)
    assert torch.equal(grad_cam(small(), images, "5", target).classes, wanted)


def test_images_of_a_batch_do_not_see_each_other():
    images = pictures(4, 1, 8, 8)
    together = saliency(small(), images)
    for number in range(4):
        alone = saliency(small(), images[number])
        torch.testing.assert_close(together.grad[number], alone.grad[0])


@networks
def test_feature_maps_are_the_outputs_in_evaluation(make, shape, layer):
    images = pictures(*shape)
    seen = feature_maps(make(), images, layer)
    _, _, maps, _ = on_the_tape(make(), images, layer)
    torch.testing.assert_close(seen.maps[layer], maps)


def test_feature_maps_of_several_layers_in_the_order_asked_for():
    seen = feature_maps(small(), pictures(2, 1, 8, 8), ["6", "0", "8"])
    assert list(seen.maps) == ["6", "0", "8"]
    assert [tuple(maps.shape) for maps in seen.maps.values()] == [(2, 5, 4, 4), (2, 6, 8, 8), (2, 12)]
    assert seen.labels["8"] == "Dense(80, 12)"


def test_filters_are_a_copy_of_the_weights():
    model = small()
    seen = filters(model)
    assert (seen.layer, tuple(seen.weight.shape)) == ("0", (6, 1, 3, 3))
    assert torch.equal(seen.weight, model[0].weight)
    seen.weight.zero_()
    assert float(model[0].weight.detach().abs().sum()) > 0
    assert torch.equal(filters(model, "5").weight, model[5].weight)
    assert filters(Conv2d(3, 2, 3)).layer == ""


def test_nothing_of_the_model_changes():
    model = small()
    model.zero_grad()
    model.requires_input_grad_(False)
    before, state = copy_of_state(model), torch.random.get_rng_state()
    images = pictures(2, 1, 8, 8)
    untouched = images.clone()
    for call in (
        lambda: saliency(model, images),
        lambda: grad_cam(model, images, "5"),
        lambda: feature_maps(model, images, ["2"]),
        lambda: filters(model),
    ):
        call()
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
        assert all(module.training for module in model.modules())
        assert not model[0].input_grad
        assert not any(module._stack or "forward" in vars(module) for module in model.modules())
    assert torch.equal(images, untouched)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_network_looks_where_the_thing_is():
    """A bright square in the left or right half decides the class; that half is what the network looks at."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 2
    images = 0.1 * torch.rand(60, 1, 8, 16, generator=generator)
    for number, label in enumerate(labels.tolist()):
        top, left = (int(torch.randint(0, 5, (), generator=generator)) for _ in range(2))
        kind = torch.eye(3) if label else torch.ones(3, 3)  # a diagonal, or a square
        images[number, 0, top : top + 3, left + 8 * (number % 4 > 1) :][:3, :3] += kind
    torch.manual_seed(0)
    model = Sequential(
        Conv2d(1, 8, 3, padding=1), ReLU(), Conv2d(8, 8, 3, padding=1), ReLU(), GlobalAvgPool2d(), Dense(8, 2)
    )

    trainer = Trainer(model, "cross_entropy", "adam", lr=0.02, metrics=["accuracy"], progress=False)
    trainer.fit(images, labels, epochs=40)
    assert trainer.evaluate(images, labels)["accuracy"] == 1
    on_the_right = torch.arange(60) % 4 > 1
    squares = labels == 0
    for seen in (saliency(model, images).map, grad_cam(model, images, "3", 0).heat):
        right = seen[squares][:, :, 8:].sum((1, 2)) > seen[squares][:, :, :8].sum((1, 2))
        assert (right == on_the_right[squares]).float().mean() > 0.9


# ---- what is refused -------------------------------------------------------------------------------------


def test_unknown_layers_list_those_known():
    model, images = small(), pictures(1, 1, 8, 8)
    known = r"there are 0, 1, 2, .*, 12$"
    for call in (feature_maps, grad_cam):
        with pytest.raises(ValueError, match=rf"{call.__name__}: no layer 'conv1'; .*{known}"):
            call(model, images, "conv1")
    with pytest.raises(ValueError, match=r"no layer 'layer3\.2'; did you mean 'layer3"):
        grad_cam(resnet(), pictures(1, 3, 40, 40), "layer3.2")
    with pytest.raises(ValueError, match=rf"expected at least one layer; {known}"):
        feature_maps(model, images, [])
    with pytest.raises(ValueError, match=r"filters: layer '2' is not a Conv2d; there are 0, 5$"):
        filters(model, "2")
    with pytest.raises(ValueError, match=rf"filters: no layer 'x'; {known}"):
        filters(model, "x")
    with pytest.raises(ValueError, match="expected a model with a Conv2d, got Dense without"):
        filters(Dense(2, 2))


def test_what_has_no_maps_or_scores_is_refused():
    model, images = small(), pictures(2, 1, 8, 8)
    for words, call in [
        (
            r"a layer with maps \(N, channels, h, w\), got \(2, 12\) from '8'",
            lambda: grad_cam(model, images, "8"),
        ),
        (r"gives scores \(2, classes\), got \(2, 6, 8, 8\)", lambda: saliency(model[:1], images)),
        ("target classes from 0 to 3, got 4", lambda: saliency(model, images, 4)),
        ("target classes from 0 to 3, got -1", lambda: saliency(model, images, -1)),
        ("a class, or one for each of 2 images", lambda: saliency(model, images, [0, 1, 2])),
        ("a class, or one for each of 2 images", lambda: saliency(model, images, 0.5)),
        (r"images \(N, C, H, W\) or one \(C, H, W\), got \(8, 8\)", lambda: saliency(model, images[0, 0])),
        (r"got \(0, 1, 8, 8\)", lambda: feature_maps(model, images[:0], "0")),
        ("saliency: expected finite scores, got NaN", lambda: saliency(model, images * torch.nan)),
        ("target to be a class, or one .* got True", lambda: saliency(model, images, True)),
        (r"grad_cam: expected one layer, got \['0', '5'\]", lambda: grad_cam(model, images, ["0", "5"])),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    for words, call in [
        ("target to be a class, or one .* got cat", lambda: saliency(model, images, "cat")),
        ("saliency: expected a tensor, got an array", lambda: saliency(model, images.numpy())),
        (
            r"feature_maps: expected floating point .*\.float\(\)",
            lambda: feature_maps(model, images.int(), "0"),
        ),
        ("expected the path of a layer, .* got Conv2d", lambda: feature_maps(model, images, model[0])),
        ("expected the path of a layer, .* got 0", lambda: grad_cam(model, images, 0)),
    ]:
        with pytest.raises(TypeError, match=words):
            call()


class Idle(Module):
    """Has a layer that it never calls, and another life in training."""

    def __init__(self, moody):
        self.dense = Dense(4, 3)
        self.unused = Conv2d(1, 1, 1)
        self.moody = moody

    def forward(self, x):
        scores = self.dense(x.reshape(len(x), -1))
        return 2 * scores if self.moody and self.training else scores

    def backward(self, grad):
        return self.dense.backward(grad).reshape(-1, 1, 2, 2)


def test_layers_never_called_and_networks_with_two_lives():
    images = pictures(2, 1, 2, 2)
    for call in (feature_maps, grad_cam):
        with pytest.raises(ValueError, match="the model never calls its layer 'unused'"):
            call(Idle(False), images, "unused")
    assert saliency(Idle(False), images).grad.shape == images.shape
    with pytest.raises(ValueError, match="compute otherwise in evaluation than in training"):
        saliency(Idle(True), images)


def test_networks_whose_gradient_ends_before_it_is_wanted():
    class Forgetful(Idle):
        def forward(self, x):
            self.unused(x)  # and what it gives is for nothing
            return super().forward(x)

        def backward(self, grad):
            super().backward(grad)

    images = pictures(2, 1, 2, 2)
    with pytest.raises(ValueError, match=r"Forgetful\.backward to return the gradient of the images"):
        saliency(Forgetful(False), images)
    with pytest.raises(ValueError, match="the scores have no gradient for what the model's layer 'unused'"):
        grad_cam(Forgetful(False), images, "unused")


# ---- pictures --------------------------------------------------------------------------------------------


def drawn(figure, path):
    """Checks that a file is a picture of the figure's size which shows something; returns its pixels."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        width, height = (round(float(inches) * figure.dpi) for inches in figure.get_size_inches())
        assert abs(image.width - width) <= 1
        assert abs(image.height - height) <= 1
        assert len(image.convert("RGB").getcolors(10**6)) > 20
    assert figure._repr_png_().startswith(b"\x89PNG")  # how a notebook shows it
    return width, height


def test_pictures_are_written(tmp_path):
    images, names = pictures(3, 3, 8, 8), ["cat", "dog", "cow", "hen"]
    model = small(3)
    path = tmp_path / "new" / "picture.png"
    assert drawn(feature_maps(model, images, ["0", "5"]).plot(path, image=2), path)[0] == 1170
    assert drawn(filters(model).plot(path), path)[0] == 1170
    assert drawn(filters(model, "5").plot(path, most=4), path)[0] == 1170
    assert drawn(saliency(model, images).plot(path, class_names=names), path) == (845, 585)
    assert drawn(grad_cam(model, images, "5").plot(path), path) == (845, 585)
    assert drawn(saliency(model, pictures(11, 3, 8, 8)).plot(path), path)[0] == 1170  # two bands


def test_pictures_of_the_odd(tmp_path):
    path = tmp_path / "picture.png"
    dark = torch.zeros(1, 1, 8, 8) - 3  # normalised images are shown, too
    drawn(saliency(small(), dark).plot(path), path)
    silent = small()
    with torch.no_grad():
        silent[5].weight.zero_()
        silent[5].bias.fill_(-1)
    seen = grad_cam(silent, pictures(1, 1, 8, 8), "6")
    assert not seen.heat.any()
    drawn(seen.plot(path), path)
    drawn(feature_maps(silent, pictures(1, 1, 8, 8), ["6"]).plot(path), path)
    drawn(filters(Sequential(Conv2d(1, 3, (1, 5)))).plot(path), path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_pictures_of_every_type(dtype, tmp_path):
    model, images, path = small().to(dtype), pictures(2, 1, 8, 8).to(dtype), tmp_path / "picture.png"
    for seen in (
        saliency(model, images),
        grad_cam(model, images, "5"),
        feature_maps(model, images, "0"),
        filters(model),
    ):
        drawn(seen.plot(path), path)


def test_long_titles_go_on_in_a_second_line():
    model = Sequential(resnet())
    pictures_of = [
        filters(model, "0.layer1.0.conv1").plot(most=4),
        grad_cam(model, pictures(1, 3, 40, 40), "0.layer1.0.conv1").plot(),
        *feature_maps(model, pictures(1, 3, 40, 40), "0.layer2.0.downsample.0").plot().subfigs[1].subfigs,
    ]
    for picture in pictures_of:
        picture.figure.draw_without_rendering()
        title = picture._suptitle
        assert title.get_window_extent().x1 <= picture.bbox.x1, title.get_text()


def test_pictures_that_cannot_be_drawn(monkeypatch):
    model, images = small(), pictures(2, 1, 8, 8)
    maps = feature_maps(model, images, ["0"])
    with pytest.raises(TypeError, match="filters: expected most to be a whole number, got"):
        filters(model).plot(most=2.5)
    for words, call in [
        ("expected an image from 0 to 1, got 2", lambda: maps.plot(image=2)),
        ("expected an image from 0 to 1, got 0.5", lambda: maps.plot(image=0.5)),
        ("expected most of at least 1, got 0", lambda: maps.plot(most=0)),
        ("expected most of at least 1, got 0", lambda: filters(model).plot(most=0)),
        ("to draw, got none", lambda: feature_maps(model, images, ["8"]).plot()),
        ("expected 4 class names, got 2", lambda: saliency(model, images).plot(class_names=["a", "b"])),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for call in (
        maps.plot,
        filters(model).plot,
        saliency(model, images).plot,
        grad_cam(model, images, "0").plot,
    ):
        with pytest.raises(ImportError, match=r"matplotlib, of the extra ds-core\[plot\]"):
            call()
