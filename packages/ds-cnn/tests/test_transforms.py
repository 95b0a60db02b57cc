"""Augmentations before their referees: pillow, scipy, colorsys, torch's own sampling, and plain indexing."""

import colorsys
import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from ds_cnn.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    MixUp,
    Normalize,
    RandAugment,
    RandomAffine,
    RandomChoice,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
    Transform,
)
from ds_cnn.transforms.color import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    grey,
)
from ds_cnn.transforms.crop import crop
from ds_cnn.transforms.rand_augment import COLOUR, GEOMETRY, change
from ds_cnn.transforms.random_affine import affine, inverse_matrix
from ds_core import CrossEntropyLoss, Dense, Flatten, Sequential, Trainer
from ds_core.data import DataLoader
from ds_core.verify import ALLOWED, record_operations
from ds_core.verify.inputs import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from torch.nn import functional as F

varied = settings(deadline=None, max_examples=40)


def pictures(*shape, dtype=torch.float32, seed=0):
    return torch.rand(*shape, generator=seeded(seed), dtype=dtype)


ALL = [
    CenterCrop((5, 9)),
    ColorJitter(0.4, 0.4, 0.4, 0.2),
    Cutout(3, fill=(0.1, 0.2, 0.3)),
    Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
    RandomAffine(30, (0.1, 0.2), (0.8, 1.2), (-5, 5, -3, 3), "bilinear", fill=0.5),
    RandomAffine(30),
    RandomCrop((5, 4), padding=(1, 2)),
    RandomErasing(0.8),
    RandomErasing(0.8, value="random"),
    RandomHorizontalFlip(),
    RandomVerticalFlip(),
    Resize((4, 11)),
    Compose([RandomCrop(6), ColorJitter(hue=0.1), RandomHorizontalFlip()]),
]
each = pytest.mark.parametrize("transform", ALL, ids=repr)
# What draws numbers, and so must follow its generator.
random_ones = pytest.mark.parametrize(
    "transform", [t for t in ALL if not isinstance(t, (CenterCrop, Normalize, Resize))], ids=repr
)


# ---- what all have in common -----------------------------------------------------------------------------


@random_ones
def test_same_seed_same_bits_and_other_seeds_other_pictures(transform):
    images = pictures(8, 3, 7, 8)
    first, again = (transform(images, generator=seeded(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, transform(images, generator=seeded(4)))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        from_global = transform(images)
        torch.manual_seed(3)
        assert torch.equal(from_global, transform(images))


@random_ones
def test_a_generator_leaves_the_global_one_alone(transform):
    state = torch.random.get_rng_state()
    transform(pictures(4, 3, 7, 8), generator=seeded())
    assert torch.equal(torch.random.get_rng_state(), state)


@random_ones
def test_every_image_of_a_batch_draws_its_own_numbers(transform):
    changed = transform(pictures(1, 3, 7, 8).expand(32, -1, -1, -1), generator=seeded())
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 1


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_single_images_and_what_belongs_to_them(transform, dtype):
    images, labels = pictures(1, 3, 7, 8, dtype=dtype), torch.tensor([4])
    before = images.clone()
    batch, same_labels = transform(images, labels, generator=seeded())
    single = transform(images[0], generator=seeded())
    assert same_labels is labels
    assert single.dtype == dtype
    assert torch.equal(batch[0], single)
    assert torch.equal(images, before)  # the input is never written into
    assert transform(images[:0], generator=seeded()).shape == (0, *single.shape)


@pytest.mark.parametrize(
    ("plain", "of_numpy"),
    [
        (CenterCrop((3, 4)), lambda: CenterCrop(np.array([3, 4]))),
        (Resize(3), lambda: Resize(np.int64(3))),
        (RandomCrop(3, padding=1), lambda: RandomCrop(np.int32(3), padding=np.int64(1))),
        (Normalize([0.5], [0.25]), lambda: Normalize(np.array([0.5]), np.float32([0.25]))),
        (Cutout(2, fill=0.5), lambda: Cutout(np.int64(2), fill=np.float32(0.5))),
        (ColorJitter(0.5, hue=0.25), lambda: ColorJitter(np.float32(0.5), hue=np.float64(0.25))),
        (RandomErasing(1.0, value=[0.5]), lambda: RandomErasing(np.float64(1), value=np.array([0.5]))),
        (RandAugment(2, 0.5), lambda: RandAugment(np.int64(2), np.float32(0.5))),
        (RandomAffine(30, center=(1, 2)), lambda: RandomAffine(np.int64(30), center=np.array([1, 2]))),
        (RandomAffine(30, center=(1, 2)), lambda: RandomAffine(30.0, center=torch.tensor([1.0, 2.0]))),
    ],
)
def test_numbers_and_arrays_of_numpy_are_numbers(plain, of_numpy):
    images = pictures(4, 1, 7, 8)
    assert torch.equal(of_numpy()(images, generator=seeded()), plain(images, generator=seeded()))


@pytest.mark.parametrize(
    "transform",
    [
        RandomAffine(20, (0.3, 0.3)),
        RandomAffine(20, (0.3, 0.3), interpolation="bilinear"),
        RandAugment(4, 0.5),
        Resize((9, 290)),
        Resize((9, 700), "bicubic"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_pixels_and_not_places(transform, dtype):
    """600 pixels wide: bfloat16 has every other whole number from 256 on, and every fourth from 512 on."""
    images = pictures(3, 1, 8, 600).to(dtype)
    changed = transform(images, generator=seeded())
    assert changed.dtype == dtype
    expected = transform(images.float(), generator=seeded())
    torch.testing.assert_close(changed.float(), expected, atol=1e-2, rtol=1e-2)


@each
def test_images_that_are_none(transform):
    with pytest.raises(TypeError, match=r"expected a tensor, got an array of float64 and shape.*load_image"):
        transform(np.zeros((3, 7, 8)))
    with pytest.raises(ValueError, match=r"expected images with pixels, got \(3, 0, 8\)"):
        transform(torch.zeros(3, 0, 8))
    with pytest.raises(ValueError, match=r"expected images \(N, C, H, W\) or one \(C, H, W\), got \(7,"):
        transform(torch.zeros(7, 8))
    with pytest.raises(TypeError, match=r"got torch.uint8; bytes become numbers .* images.float\(\) / 255"):
        transform(torch.zeros(3, 7, 8, dtype=torch.uint8))


# Beside the list that layers keep to, what only moves, sorts or draws numbers.
MORE = "amin any argmax bitwise_and cos exp floor gt index index_put nonzero randn round sin sort tan"


@each
def test_only_elementary_operations_are_executed(transform):
    operations = record_operations(transform, pictures(4, 3, 7, 8), generator=seeded())
    assert operations.outside([*ALLOWED, *(f"aten.{name}" for name in MORE.split())]) == []


# ---- crops and flips -------------------------------------------------------------------------------------

NUMPY_MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


@varied
@given(st.data())
def test_crop_equals_padding_and_indexing(data):
    height, width = data.draw(st.integers(2, 6)), data.draw(st.integers(2, 6))
    pad = data.draw(st.integers(0, min(height, width) - 1))
    size = data.draw(st.integers(1, height + 2 * pad)), data.draw(st.integers(1, width + 2 * pad))
    mode = data.draw(st.sampled_from(list(NUMPY_MODES)))
    images = pictures(3, 2, height, width)
    top = torch.tensor([data.draw(st.integers(0, height + 2 * pad - size[0])) for _ in range(3)])
    left = torch.tensor([data.draw(st.integers(0, width + 2 * pad - size[1])) for _ in range(3)])
    options = {"constant_values": 0.25} if mode == "constant" else {}
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)), NUMPY_MODES[mode], **options)
    windows = crop(images, top - pad, left - pad, size, mode, torch.full((1, 1, 1), 0.25))
    for image, window, i, j in zip(padded, windows, top.tolist(), left.tolist(), strict=True):
        np.testing.assert_array_equal(window, image[:, i : i + size[0], j : j + size[1]])


def test_random_crop_finds_every_window_and_no_other():
    images = torch.arange(20.0).view(1, 1, 4, 5).expand(2000, -1, -1, -1)
    windows = RandomCrop((3, 3))(images, generator=seeded())
    found = {tuple(window.flatten().tolist()) for window in windows}
    whole = torch.arange(20.0).view(4, 5)
    assert found == {tuple(whole[i : i + 3, j : j + 3].flatten().tolist()) for i in (0, 1) for j in (0, 1, 2)}
    counts = torch.stack([(windows[:, 0, 0, 0] == whole[i, j]).sum() for i in (0, 1) for j in (0, 1, 2)])
    assert (counts - 2000 / 6).abs().max() < 75  # four standard deviations


def test_random_crop_padding():
    image = torch.ones(1, 1, 2, 2)
    everything = RandomCrop((7, 9), padding=(1, 2, 6, 3), fill=0.5)(image)  # left, top, right, bottom
    assert torch.equal(everything, F.pad(image, (1, 6, 2, 3), value=0.5))
    assert RandomCrop((4, 6), padding=(2, 1))(image).shape == (1, 1, 4, 6)
    colours = RandomCrop(4, padding=1, fill=(0.1, 0.2, 0.3))(torch.zeros(3, 2, 2))
    torch.testing.assert_close(colours[:, 0, 0], torch.tensor([0.1, 0.2, 0.3]))
    assert RandomCrop(5, pad_if_needed=True)(image).shape == (1, 1, 5, 5)


@varied
@given(*[st.integers(1, 9)] * 4)
def test_center_crop_takes_the_middle(height, width, rows, columns):
    image = pictures(1, height, width)
    cut = CenterCrop((rows, columns))(image)[0]
    padded = F.pad(image[0], (10, 10, 10, 10))
    top = round((height - rows) / 2) if height >= rows else -((rows - height) // 2)
    left = round((width - columns) / 2) if width >= columns else -((columns - width) // 2)
    assert torch.equal(cut, padded[top + 10 : top + 10 + rows, left + 10 : left + 10 + columns])


@pytest.mark.parametrize(("kind", "dim"), [(RandomHorizontalFlip, -1), (RandomVerticalFlip, -2)])
def test_flips(kind, dim):
    images = pictures(1000, 2, 3, 4)
    assert torch.equal(kind(1.0)(images), images.flip(dim))
    assert torch.equal(kind(0.0)(images), images)
    changed = kind(0.3)(images, generator=seeded())
    flipped = (changed == images.flip(dim)).all((1, 2, 3))
    assert torch.equal(changed[~flipped], images[~flipped])
    assert abs(flipped.sum() - 300) < 60  # four standard deviations


# ---- affine maps -----------------------------------------------------------------------------------------


def forward_matrix(angle, scale, shear_x, shear_y):
    a, x, y = (math.radians(value) for value in (angle, shear_x, shear_y))
    turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    return scale * turn @ np.array([[1, 0], [-math.tan(y), 1]]) @ np.array([[1, -math.tan(x)], [0, 1]])


amount = st.floats(-60, 60)


@varied
@given(amount, st.floats(0.3, 2), amount, amount, st.data())
def test_affine_equals_grid_sample_and_scipy(angle, scale, shear_x, shear_y, data):
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    move = [data.draw(st.floats(-3, 3)), data.draw(st.floats(-3, 3))]
    middle = [data.draw(st.floats(0, width)), data.draw(st.floats(0, height))]
    image = pictures(1, 2, height, width, dtype=torch.float64)
    inverse = inverse_matrix(
        *(torch.tensor([v], dtype=torch.float64) for v in (angle, scale, shear_x, shear_y))
    )
    matrix = forward_matrix(angle, scale, shear_x, shear_y)
    np.testing.assert_allclose(inverse[0].numpy() @ matrix, np.eye(2), atol=1e-9)

    ours = affine(
        image, inverse, torch.tensor([move], dtype=torch.float64), middle, "bilinear", torch.zeros(1, 1, 1)
    )

    # p = A^-1 (q - c - t) + c in pixels from the corner; grid_sample counts from -1 to 1 across the image.
    back = np.linalg.inv(matrix)
    shift = np.array(middle) - back @ (np.array(middle) + np.array(move))
    to_pixels, offset = np.diag([width / 2, height / 2]), np.array([width / 2, height / 2])
    from_pixels = np.linalg.inv(to_pixels)
    theta = np.column_stack([from_pixels @ back @ to_pixels, from_pixels @ (back @ offset + shift - offset)])
    grid = F.affine_grid(torch.tensor(theta)[None], [1, 2, height, width], align_corners=False)
    theirs = F.grid_sample(image, grid, "bilinear", "zeros", align_corners=False)
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)

    # scipy: rows before columns, and pixels counted by their middles.
    swapped, half = back[::-1, ::-1], np.array([0.5, 0.5])
    scipys = [
        scipy.ndimage.affine_transform(
            channel.numpy(), swapped, swapped @ half + shift[::-1] - half, order=1, mode="grid-constant"
        )
        for channel in image[0]
    ]
    np.testing.assert_allclose(ours[0], np.stack(scipys), atol=1e-9)


@varied
@given(st.integers(0, 3), st.integers(1, 6), st.integers(1, 6), st.sampled_from(["nearest", "bilinear"]))
def test_quarter_turns_are_exact(quarters, size, channels, interpolation):
    image = pictures(2, channels, size, size)
    turned = RandomAffine((90 * quarters,) * 2, interpolation=interpolation)(image)
    torch.testing.assert_close(turned, image.rot90(-quarters, (2, 3)), atol=1e-5, rtol=0)  # clockwise


def test_affine_nearest_takes_the_nearest_pixel():
    image = pictures(1, 1, 12, 10, dtype=torch.float64)
    inverse = inverse_matrix(*torch.tensor([[17.0], [1.3], [5.0], [-4.0]]).double())
    ours = affine(
        image, inverse, torch.zeros(1, 2).double(), (5.0, 6.0), "nearest", torch.full((1, 1, 1), 0.5).double()
    )
    for i in range(12):
        for j in range(10):
            x, y = inverse[0] @ torch.tensor([j + 0.5 - 5, i + 0.5 - 6]).double() + torch.tensor([5, 6])
            column, row = math.floor(x), math.floor(y)  # the pixel in which the point lies
            inside = 0 <= row < 12 and 0 <= column < 10
            assert ours[0, 0, i, j] == (image[0, 0, row, column] if inside else 0.5)


def test_affine_translates_by_whole_pixels_within_its_share():
    image = torch.zeros(500, 1, 11, 21)
    image[:, 0, 5, 10] = 1
    moved = RandomAffine(0, translate=(0.2, 0.3))(image, generator=seeded())
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(500))
    rows, columns = moved[:, 0].nonzero()[:, 1] - 5, moved[:, 0].nonzero()[:, 2] - 10
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (-3, 3, -4, 4)
    assert len(rows.unique()) == 7


def test_affine_fills_what_comes_into_view():
    images = torch.ones(1, 3, 5, 5)
    shrunk = RandomAffine(0, scale=(0.2, 0.2), fill=(0.1, 0.2, 0.3))(images)
    torch.testing.assert_close(shrunk[0, :, 0, 0], torch.tensor([0.1, 0.2, 0.3]))
    assert shrunk[0, :, 2, 2].tolist() == [1, 1, 1]
    plain = RandomAffine(45, scale=(0.5, 2), shear=20, interpolation="bilinear", fill=1)(images)
    torch.testing.assert_close(plain, images)  # white on white: the weights add up to 1


def test_affine_amounts_stay_in_their_ranges():
    """One bright column through the middle, turned by the angles of the range only."""
    transform = RandomAffine((20, 40))
    assert (transform.degrees, transform.shear_x) == ((20.0, 40.0), (0.0, 0.0))
    line = torch.zeros(64, 1, 41, 41)
    line[..., 20] = 1
    turned = transform(line, generator=seeded())
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(41.0) - 20, indexing="ij")
    moments = [(turned[:, 0] * product).sum((1, 2)) for product in (x * x, y * y, x * y)]
    angle = torch.rad2deg(0.5 * torch.atan2(-2 * moments[2], moments[1] - moments[0]))
    assert 19 < angle.min() < 23
    assert 37 < angle.max() < 41


# ---- colours ---------------------------------------------------------------------------------------------

PILLOW = [
    (adjust_brightness, ImageEnhance.Brightness),
    (adjust_contrast, ImageEnhance.Contrast),
    (adjust_saturation, ImageEnhance.Color),
]


@pytest.mark.parametrize(("ours", "theirs"), PILLOW)
@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.7])
def test_colours_equal_pillow_to_its_rounding(ours, theirs, factor):
    pixels = (pictures(3, 9, 7) * 255).byte()
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    expected = torch.as_tensor(np.array(theirs(picture).enhance(factor))).permute(2, 0, 1)
    changed = ours(pixels[None].double() / 255, torch.tensor([factor]))[0] * 255
    assert (changed - expected).abs().max() <= 1.0 + abs(
        1 - factor
    )  # pillow rounds, also the grey in between


def test_colours_of_each_image_follow_its_own_factor():
    images, factors = pictures(3, 3, 4, 5, dtype=torch.float64), torch.tensor([0.0, 1.0, 2.0])
    bright = adjust_brightness(images, factors)
    torch.testing.assert_close(bright, (images * factors.view(3, 1, 1, 1)).clamp(max=1))
    red, green, blue = images.unbind(1)
    brightness = (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]
    torch.testing.assert_close(grey(images), brightness)
    torch.testing.assert_close(adjust_saturation(images, factors)[0], brightness[0].expand(3, 4, 5))
    torch.testing.assert_close(
        adjust_contrast(images, factors)[2],
        (2 * images[2] - brightness[2].mean()).clamp(0, 1),
    )
    for adjust in (adjust_brightness, adjust_contrast, adjust_saturation):
        torch.testing.assert_close(adjust(images, factors)[1], images[1])


@varied
@given(st.tuples(*[st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0])] * 3), st.floats(-0.5, 0.5))
def test_hue_equals_colorsys(colour, turn):
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
    image = torch.tensor(colour, dtype=torch.float64).view(1, 3, 1, 1)
    ours = adjust_hue(image, torch.tensor([turn], dtype=torch.float64))
    torch.testing.assert_close(
        ours.flatten(), torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_color_jitter_draws_from_its_ranges_in_every_order():
    images = torch.full((500, 3, 1, 1), 0.4)
    images[:, 0] = 0.5
    factors = ColorJitter(brightness=(0.5, 1.5))(images, generator=seeded())[:, 0, 0, 0] / 0.5
    assert 0.5 <= factors.min() < 0.51
    assert 1.49 < factors.max() <= 1.5
    assert ColorJitter(brightness=2.0).ranges["brightness"] == (0.0, 3.0)
    assert ColorJitter(hue=0.1).ranges["hue"] == (-0.1, 0.1)
    # Twice the contrast and half the light: which comes first shows, and both come first sometimes.
    two = torch.tensor([0.2, 0.9]).view(1, 1, 1, 2).expand(200, 3, -1, -1)
    results = ColorJitter(brightness=(0.5, 0.5), contrast=(2, 2))(two, generator=seeded())
    light_first = adjust_contrast(adjust_brightness(two, torch.full((200,), 0.5)), torch.full((200,), 2.0))
    light_last = adjust_brightness(adjust_contrast(two, torch.full((200,), 2.0)), torch.full((200,), 0.5))
    is_first, is_last = ((results - r).abs().amax((1, 2, 3)) < 1e-6 for r in (light_first, light_last))
    assert bool((is_first ^ is_last).all())
    assert 60 < is_first.sum() < 140


def test_color_jitter_on_grey_images():
    images = pictures(4, 1, 5, 5)
    assert torch.equal(ColorJitter(saturation=0.5, hue=0.5)(images), images)
    assert not torch.equal(ColorJitter(contrast=0.5)(images), images)


# ---- erasing ---------------------------------------------------------------------------------------------


def test_cutout_hides_one_square_that_may_reach_beyond():
    images = torch.ones(2000, 2, 6, 7)
    hidden = Cutout(3, fill=(0.25, 0.5))(images, generator=seeded()) != 1
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    sizes = hidden[:, 0].sum((1, 2))
    assert sizes.min() == 4  # a corner
    assert sizes.max() == 9
    rows, columns = hidden[:, 0].any(2), hidden[:, 0].any(1)
    assert torch.equal(hidden[:, 0], rows[:, :, None] & columns[:, None, :])  # rectangles
    middle = [tuple(h.nonzero().double().mean(0).tolist()) for h in hidden[sizes == 9, 0]]
    assert set(middle) == {(float(i), float(j)) for i in range(1, 5) for j in range(1, 6)}
    assert Cutout((1, 7))(images[:1]).sum() <= 2 * 38
    untouched = (Cutout(3, p=0.3)(images, generator=seeded()) == 1).all(3).all(2).all(1)
    assert abs(untouched.sum() - 1400) < 85  # four standard deviations


def test_random_erasing_draws_area_and_ratio():
    images = torch.ones(3000, 1, 40, 40)
    transform = RandomErasing(0.5, scale=(0.1, 0.2), ratio=(0.5, 2.0), value=7.0)
    erased = transform(images, generator=seeded())[:, 0] == 7
    touched = erased.any(2).any(1)
    assert abs(touched.sum() - 1500) < 110  # four standard deviations
    height, width = erased[touched].any(2).sum(1), erased[touched].any(1).sum(1)
    area, ratio = height * width / 1600, height / width
    assert torch.equal(erased[touched].sum((1, 2)), height * width)  # rectangles
    assert 0.09 < area.min() < 0.11
    assert 0.19 < area.max() < 0.21
    assert 0.45 < ratio.min() < 0.55
    assert 1.8 < ratio.max() < 2.2
    assert (ratio > 1).sum() > 600  # as often tall as wide
    assert (ratio < 1).sum() > 600


def test_random_erasing_with_noise_and_where_nothing_fits():
    images = torch.zeros(400, 1, 8, 8)
    erased = RandomErasing(1.0, value="random")(images, generator=seeded())
    noise = erased[erased != 0]
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.1
    assert torch.equal(RandomErasing(1.0, scale=(1, 1), ratio=(1, 1), value=1.0)(images), images)


# ---- mixing, scaling, composing --------------------------------------------------------------------------


def test_mixup_mixes_images_and_labels_alike():
    labels = torch.arange(64) % 5
    images = labels.view(-1, 1, 1, 1).float() * torch.ones(1, 2, 3, 3)
    mixed, soft = MixUp(alpha=0.8, num_classes=5)(images, labels, generator=seeded())
    assert mixed.shape == images.shape
    assert soft.shape == (64, 5)
    torch.testing.assert_close(soft.sum(1), torch.ones(64))
    torch.testing.assert_close(mixed[:, 0, 0, 0], soft @ torch.arange(5.0))  # each mixed in one proportion
    assert (soft.max(1).values < 0.99).sum() > 20
    assert torch.equal(labels, torch.arange(64) % 5)
    again = MixUp(alpha=0.8)(images, torch.nn.functional.one_hot(labels).float(), generator=seeded())
    assert torch.equal(again[0], mixed)
    assert torch.equal(again[1], soft)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixup_shares_are_of_the_beta_distribution(alpha):
    count = 4000
    images = torch.arange(float(count)).view(-1, 1, 1, 1).double()
    labels = torch.eye(2, dtype=torch.float64)[torch.arange(count) % 2]
    _mixed, soft = MixUp(alpha=alpha)(images, labels, generator=seeded())
    partner_differs = (soft[:, 0] > 0) & (soft[:, 0] < 1)
    share = torch.where(labels[:, 0] == 1, soft[:, 0], soft[:, 1])[partner_differs].numpy()
    expected = scipy.stats.beta(alpha, alpha)
    assert scipy.stats.kstest(share, expected.cdf).pvalue > 1e-3


def test_cutmix_labels_say_how_much_of_each_image_is_there():
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 6, 9)  # the image number in every pixel
    labels = torch.arange(8)
    mixed, soft = CutMix(num_classes=8)(images, labels, generator=seeded())
    seen = torch.stack([(mixed == number).float().mean((1, 2, 3)) for number in range(8)], 1)
    torch.testing.assert_close(soft, seen)
    assert ((soft > 0).sum(1) <= 2).all()
    assert ((soft > 0).sum(1) == 2).any()
    for image, number in zip(mixed[:, 0], labels, strict=True):
        box = image != number  # a rectangle
        assert torch.equal(box, box.any(1, keepdim=True) & box.any(0, keepdim=True))
    again, _ = CutMix(num_classes=8)(images, labels, generator=seeded())
    assert torch.equal(again, mixed)


def test_cutmix_areas_are_of_the_beta_distribution():
    images = torch.zeros(4000, 1, 64, 64)
    images[::2] = 1
    _, soft = CutMix(num_classes=4000)(images, torch.arange(4000), generator=seeded())
    share = soft.diagonal()[soft.diagonal() < 1]
    # the box is cut off at the edges: of area a, sides s = sqrt(a), a mean of a (1 - s / 4)^2 is left
    side = torch.linspace(0, 1, 1001).sqrt()
    assert abs(1 - share.mean() - (side**2 * (1 - side / 4) ** 2).mean()) < 0.02


def test_a_choice_is_one_of_them():
    def add(amount):
        return lambda images, generator: images + amount

    choice, generator = RandomChoice(add(1.0), add(2.0)), seeded()
    seen = [choice(torch.zeros(1, 1, 1, 1), generator=generator).item() for _ in range(60)]
    assert set(seen) == {1.0, 2.0}
    assert 15 < seen.count(1.0) < 45
    with pytest.raises(ValueError, match="at least one transform"):
        RandomChoice()


@pytest.mark.parametrize("name", COLOUR + GEOMETRY)
def test_each_change_of_rand_augment(name):
    images = torch.rand(5, 3, 16, 16, generator=seeded())
    strength = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=torch.float64)
    changed = change(images, name, strength, torch.zeros(1, 1, 1)) if name != "identity" else images
    assert changed.shape == images.shape
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6
    if name not in ("identity", "autocontrast"):
        tolerance = 1 / 255 if name == "posterize" else 1e-5
        torch.testing.assert_close(changed[2], images[2], rtol=0, atol=tolerance)
        assert (changed[0] - images[0]).abs().mean() > 0.01
    pixel = images[4, 0, 3, 4]
    if name == "posterize":
        assert len(changed[4].unique()) == 16
    if name == "solarize":
        torch.testing.assert_close(changed[4], 1 - images[4])
    if name == "autocontrast":
        assert torch.equal(changed.amax((2, 3)), torch.ones(5, 3))
        assert torch.equal(
            change(torch.full((5, 3, 2, 2), 0.3), name, strength, None), torch.full((5, 3, 2, 2), 0.3)
        )
    if name == "translate_x":
        assert changed[4, 0, 3, 4 + 7] == pixel


def test_rand_augment():
    images = torch.rand(40, 1, 12, 12, generator=seeded())
    augment = RandAugment(2, 0.5)
    first, second = (augment(images, generator=seeded(seed)) for seed in (1, 2))
    assert torch.equal(first, augment(images, generator=seeded(1)))
    assert not torch.equal(first, second)
    assert 0 < sum(torch.equal(a, b) for a, b in zip(first, images, strict=True)) < 20
    assert torch.equal(RandAugment(0)(images), images)
    with pytest.raises(ValueError, match="magnitude from 0 to 1, got 9"):
        RandAugment(magnitude=9)
    with pytest.raises(ValueError, match=r"3 channels or 1, got \(40, 2, 3, 3\)"):
        augment(torch.zeros(40, 2, 3, 3))


def test_mixup_refuses():
    images, labels = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 2, 1])
    mix = MixUp(num_classes=3)
    for words, error, call in [
        ("alpha above 0 .* got inf", ValueError, lambda: MixUp(alpha=math.inf)),
        ("alpha above 0 .* got nan", ValueError, lambda: MixUp(alpha=math.nan)),
        (r"alpha above 0 .* got 1e\+300", ValueError, lambda: MixUp(alpha=1e300)),
        (r"num_classes from 1 to 1e\+06, got 1.5", ValueError, lambda: MixUp(num_classes=1.5)),
        ("alpha above 0 .* got 0", ValueError, lambda: MixUp(alpha=0)),
        ("num_classes from 1 to .* got 0", ValueError, lambda: MixUp(num_classes=0)),
        (r"expected a batch \(N, C, H, W\)", ValueError, lambda: mix(images[0], labels)),
        ("expected images and their labels, got 1 tensors", TypeError, lambda: mix(images)),
        (
            r"expected labels \(4,\) or \(4, classes\), got \(3,\)",
            ValueError,
            lambda: mix(images, labels[:3]),
        ),
        ("pass num_classes=", TypeError, lambda: MixUp()(images, labels)),
        (
            r"\(4,\), or probabilities \(4, 3\), got \(4, 1\)",
            ValueError,
            lambda: mix(images, labels.view(4, 1)),
        ),
        ("class indices 0 to 1, got 2", ValueError, lambda: MixUp(num_classes=2)(images, labels)),
    ]:
        with pytest.raises(error, match=words):
            call()


def test_normalize_and_back():
    images = pictures(50, 3, 6, 5) * torch.tensor([1.0, 3.0, 0.1]).view(3, 1, 1)
    normalize = Normalize(images.mean((0, 2, 3)), images.std((0, 2, 3)))
    scaled = normalize(images)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(3))
    torch.testing.assert_close(normalize.inverse(scaled), images)
    torch.testing.assert_close(normalize.inverse(scaled[0]), images[0])


def test_normalize_measures_what_it_can():
    images = pictures(3, 2, 4, 5)
    assert Normalize.of(images[0]).mean == Normalize.of(images[:1]).mean
    for words, error, bad in [
        ("Normalize.of: expected floating point images, got torch.uint8", TypeError, images.byte()),
        (r"Normalize.of: expected images, got \(0, 2, 4, 5\)", ValueError, images[:0]),
        (r"Normalize.of: expected images \(N, C, H, W\) or one .* got \(4, 5\)", ValueError, images[0, 0]),
        ("Normalize.of: expected a tensor, got an array of float32", TypeError, images.numpy()),
    ]:
        with pytest.raises(error, match=words):
            Normalize.of(bad)


@varied
@given(st.integers(1, 12), st.integers(2, 12), st.integers(1, 12), st.integers(2, 12), st.booleans())
def test_resize_equals_interpolate(height, width, rows, columns, antialias):
    """At least two pixels wide: of narrower images torch 2.13 repeats the first row."""
    images = pictures(2, 3, height, width, dtype=torch.float64)
    ours = Resize((rows, columns), antialias=antialias)(images)
    theirs = F.interpolate(images, (rows, columns), mode="bilinear", antialias=antialias)
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


def test_resize_of_the_shorter_side_keeps_proportions():
    assert Resize(4)(torch.rand(3, 8, 13)).shape == (3, 4, 6)
    assert Resize(4)(torch.rand(2, 3, 9, 3)).shape == (2, 3, 12, 4)


@varied
@given(*[st.integers(1, 12)] * 4)
def test_resize_equals_pillow(height, width, rows, columns):
    image = pictures(1, height, width)
    expected = np.array(Image.fromarray(image[0].numpy()).resize((columns, rows), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(Resize((rows, columns))(image)[0], expected, atol=1e-5)


@pytest.mark.parametrize("given", [lambda a, b: Compose([a, b]), Compose])
def test_compose_takes_a_list_or_one_after_the_other(given):
    images = pictures(2, 3, 6, 6)
    both = given(CenterCrop(4), Normalize([0.5] * 3, [2.0] * 3))
    torch.testing.assert_close(both(images), (images[:, :, 1:5, 1:5] - 0.5) / 2)


def test_compose_hands_on_whatever_comes():
    def count(images, labels, generator):
        return images + 1, labels + 1

    images, labels = torch.zeros(4, 1, 6, 6), torch.arange(4)
    mixed, soft = Compose([count, RandomCrop(4), MixUp(num_classes=5)])(images, labels, generator=seeded())
    assert mixed.shape == (4, 1, 4, 4)
    assert soft.shape == (4, 5)
    assert torch.equal(Compose([])(images), images)
    # One generator for all: the second draws on where the first one stopped.
    generator = seeded(5)
    crop, flip = RandomCrop(4), RandomHorizontalFlip()
    images = pictures(8, 1, 6, 6)
    by_hand = flip(crop(images, generator=generator), generator=generator)
    assert torch.equal(Compose([crop, flip])(images, generator=seeded(5)), by_hand)


# ---- in training -----------------------------------------------------------------------------------------


def test_a_loader_augments_and_a_trainer_takes_soft_labels():
    """Two kinds of pictures, bright above or bright below; what is learned from mixtures tells them apart."""
    labels = torch.arange(64) % 2
    images = pictures(64, 1, 6, 6) * 0.2
    images[labels == 0, :, :3] += 0.8
    images[labels == 1, :, 3:] += 0.8
    augment = Compose([RandomCrop(6, padding=1), RandomHorizontalFlip(), MixUp(alpha=0.4, num_classes=2)])

    def train(**options):
        loader = DataLoader(images, labels, batch_size=16, shuffle=True, transform=augment, **options)
        torch.manual_seed(0)
        model = Sequential(Flatten(), Dense(36, 2))
        trainer = Trainer(model, CrossEntropyLoss(), "adam", lr=0.02, metrics=["accuracy"], progress=False)
        history = trainer.fit(loader, epochs=10)
        return trainer.evaluate(images, labels)["accuracy"], history["loss"]

    accuracy, losses = train()
    assert accuracy == 1
    assert train(prefetch=2)[1] == losses  # to the bit, whichever thread prepares the batches
    assert train(seed=1)[1] != losses


# ---- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (
            r"RandomCrop: size: expected a number of pixels from 1 to 65536, or \(height, width\), got 0",
            lambda: RandomCrop(0),
        ),
        (
            r"RandomCrop: size: .* got \(1, 2, 3\)",
            lambda: RandomCrop((1, 2, 3)),
        ),
        ("expected padding of one, two or four numbers of pixels, got -1", lambda: RandomCrop(2, padding=-1)),
        (r"one, two or four .* got \(1, 2, 3\)", lambda: RandomCrop(2, padding=(1, 2, 3))),
        ("expected padding_mode among", lambda: RandomCrop(2, padding_mode="circular")),
        (
            r"RandomCrop\(\(9, 9\), padding=\(1, 1, 1, 1\)\): expected images of at least \(9, 9\) pixels, "
            r"got \(1, 3, 4, 9\) and padding \(1, 1, 1, 1\)",
            lambda: RandomCrop(9, padding=1)(torch.zeros(3, 4, 9)),
        ),
        (
            "as many pixels as are to be mirrored",
            lambda: RandomCrop(2, padding=3, padding_mode="reflect")(torch.zeros(1, 3, 3)),
        ),
        (
            "one number or one for each of the 1 channels",
            lambda: RandomCrop(2, fill=(0, 1))(torch.zeros(1, 3, 3)),
        ),
        ("CenterCrop: size", lambda: CenterCrop(-3)),
        (
            "RandomHorizontalFlip: expected a probability p from 0 to 1, got 1.5",
            lambda: RandomHorizontalFlip(1.5),
        ),
        ("RandomVerticalFlip: expected a probability", lambda: RandomVerticalFlip(-0.1)),
        ("degrees: expected a number from 0 on", lambda: RandomAffine(-5)),
        (r"degrees: expected \(low, high\) within -360 to 360", lambda: RandomAffine((30, 10))),
        ("translate of two shares from 0 to 1", lambda: RandomAffine(0, translate=(0.5, 1.5))),
        ("scale: expected", lambda: RandomAffine(0, scale=(0, 1))),
        ("shear: expected", lambda: RandomAffine(0, shear=(1, 2, 3))),
        (
            "interpolation 'nearest' or 'bilinear', got 'cubic'",
            lambda: RandomAffine(0, interpolation="cubic"),
        ),
        (r"expected center \(x, y\)", lambda: RandomAffine(0, center=(1, 2, 3))),
        ("brightness: expected a number from 0 to 1000", lambda: ColorJitter(brightness=-1)),
        ("hue: expected a number from 0 to 0.5", lambda: ColorJitter(hue=0.7)),
        (r"contrast: expected \(low, high\) within 0 to 1000", lambda: ColorJitter(contrast=(-1, 1))),
        ("expected 3 channels or 1", lambda: ColorJitter(0.5)(torch.zeros(4, 2, 2))),
        ("Cutout: size", lambda: Cutout(0)),
        (
            "fill: expected one number or one for each of the 3",
            lambda: Cutout(1, fill=(0, 1))(torch.zeros(3, 2, 2)),
        ),
        (r"scale: expected \(low, high\) within 0 to 1", lambda: RandomErasing(scale=(0.5, 2))),
        ("ratio: expected", lambda: RandomErasing(ratio=(0, 1))),
        ("value of numbers, or 'random'", lambda: RandomErasing(value="noise")),
        ("a mean and a std for each channel, got 2 and 1", lambda: Normalize([0, 0], [1])),
        ("standard deviations above 0", lambda: Normalize([0], [0])),
        (r"expected 1 channels, got \(1, 3, 2, 2\)", lambda: Normalize([0], [1])(torch.zeros(3, 2, 2))),
        ("Resize: size", lambda: Resize((3, 0))),
        ("expected images with pixels", lambda: Resize(3)(torch.zeros(1, 0, 4))),
    ],
)
def test_bad_arguments_say_what_is_wrong(words, call):
    with pytest.raises(ValueError, match=words):
        call()


def test_compose_and_transform_refuse():
    with pytest.raises(TypeError, match="expected transforms, got int"):
        Compose([3])
    with pytest.raises(NotImplementedError, match="Transform has no apply"):
        Transform()(torch.zeros(1, 2, 2))


def test_repr_shows_what_was_asked_for():
    augment = Compose([RandomCrop(28, padding=2), RandomHorizontalFlip(), Normalize([0.5], [0.25])])
    assert repr(augment) == (
        "Compose([RandomCrop((28, 28), padding=(2, 2, 2, 2)), RandomHorizontalFlip(p=0.5), "
        "Normalize(mean=[0.5], std=[0.25])])"
    )


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("CenterCrop: size: expected a number of pixels from 1 to 65536", lambda bad: CenterCrop(bad)),
        ("RandomCrop: size: expected a number of pixels", lambda bad: RandomCrop((4, bad))),
        ("RandomCrop: expected padding of one, two or four numbers", lambda bad: RandomCrop(4, padding=bad)),
        ("Cutout: size: expected a number of pixels", lambda bad: Cutout(bad)),
        ("Resize: size: expected a number of pixels", lambda bad: Resize(bad)),
        ("Normalize: expected a mean and a std", lambda bad: Normalize([bad], [1.0])),
        ("Normalize: expected a mean and a std", lambda bad: Normalize([0.5], [bad])),
        ("RandomAffine: degrees: expected", lambda bad: RandomAffine(bad)),
        ("RandomAffine: expected translate of two shares", lambda bad: RandomAffine(1, (0.1, bad))),
        ("RandomAffine: scale: expected", lambda bad: RandomAffine(1, scale=(0.5, bad))),
        (
            "RandomAffine: .*shear.* expected|RandomAffine: expected shear",
            lambda bad: RandomAffine(1, shear=bad),
        ),
        ("RandomAffine: expected center", lambda bad: RandomAffine(1, center=(1, bad))),
        ("ColorJitter: brightness: expected", lambda bad: ColorJitter(bad)),
        ("ColorJitter: hue: expected", lambda bad: ColorJitter(hue=(0, bad))),
        ("RandomErasing: expected a probability", lambda bad: RandomErasing(bad)),
        ("RandomErasing: scale: expected", lambda bad: RandomErasing(scale=(0.1, bad))),
        ("RandomErasing: ratio: expected", lambda bad: RandomErasing(ratio=(0.1, bad))),
        ("MixUp: expected alpha", lambda bad: MixUp(alpha=bad)),
        ("expected one number or one for each of the 1 channels", lambda bad: Cutout(1, fill=bad)),
        ("expected one number or one for each of the 1 channels", lambda bad: RandomErasing(1, value=[bad])),
    ],
)
@pytest.mark.parametrize("bad", [NAN, INF, -INF, 1e39, None, (), True, torch.tensor([NAN])], ids=repr)
def test_numbers_that_are_none_are_refused_by_name(words, make, bad):
    optional = ("padding", "shear")  # which may be left out
    if (bad is None and any(word in words for word in optional)) or (bad is True and "degrees" in words):
        return
    with pytest.raises(ValueError, match=words):
        make(bad)(pictures(2, 1, 8, 8), generator=seeded())
