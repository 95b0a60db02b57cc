"""Transforms of images: what they do, the same for the same seed, and what happens to bad input."""

import pytest
import torch
from ds_cnn.transforms import (
    CenterCrop,
    Compose,
    Cutout,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
)
from ds_core.data import DataLoader
from ds_core.verify.inputs import seeded

ALL = [
    CenterCrop(4),
    RandomCrop((5, 6), padding=1),
    Cutout(3),
    Normalize([0.5, 0.2, 0.1], [1.0, 2.0, 0.5]),
    RandomHorizontalFlip(),
    RandomVerticalFlip(0.3),
    Compose(RandomHorizontalFlip(), RandomCrop(8, 2)),
]


@pytest.fixture
def images():
    return torch.rand(40, 3, 8, 8, generator=seeded(1))


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_same_seed_same_bits_and_the_input_stays(transform, images):
    before = images.clone()
    first = transform(images, generator=seeded())
    assert torch.equal(first, transform(images, generator=seeded()))
    assert torch.equal(images, before)
    assert first.data_ptr() != images.data_ptr()
    one = transform(images[0], generator=seeded())
    assert torch.equal(one, transform(images[:1], generator=seeded())[0])


def test_flips_mirror_some_images_and_leave_the_others(images):
    for transform, dim in ((RandomHorizontalFlip(), 3), (RandomVerticalFlip(), 2)):
        flipped = transform(images, generator=seeded())
        mirrored = [torch.equal(a, b) for a, b in zip(flipped, images.flip(dim), strict=True)]
        same = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
        assert all(a != b for a, b in zip(mirrored, same, strict=True))
        assert 10 < sum(mirrored) < 30
    assert torch.equal(RandomHorizontalFlip(1.0)(images), images.flip(3))
    assert torch.equal(RandomHorizontalFlip(0.0)(images), images)


def test_crops_are_parts_of_the_images(images):
    assert torch.equal(CenterCrop(4)(images), images[:, :, 2:6, 2:6])
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), value=7.0)
    places = set()
    for image, crop in zip(padded, RandomCrop((5, 6), 1, fill=7.0)(images, generator=seeded()), strict=True):
        found = [
            (top, left)
            for top in range(6)
            for left in range(5)
            if torch.equal(image[:, top : top + 5, left : left + 6], crop)
        ]
        assert found
        places |= set(found)
    assert {top for top, _ in places} == set(range(6))
    assert {left for _, left in places} == set(range(5))


def test_cutout_hides_one_square_in_all_channels(images):
    hidden = Cutout(3, fill=-1.0)(images, generator=seeded()) == -1.0
    assert torch.equal(hidden[:, 0], hidden[:, 2])
    for mask in hidden[:, 0]:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        assert 1 <= len(rows) <= 3
        assert 1 <= len(columns) <= 3
        assert int(mask.sum()) == len(rows) * len(columns)
    untouched = Cutout(3, p=0.5, fill=-1.0)(images, generator=seeded()).flatten(1).min(1).values >= 0
    assert 8 < int(untouched.sum()) < 32


def test_normalize_and_back(images):
    transform = Normalize.of(images)
    result = transform(images)
    torch.testing.assert_close(result.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std((0, 2, 3), correction=0), torch.ones(3))
    torch.testing.assert_close(transform.inverse(result), images)


def test_a_data_loader_takes_them(images):
    target = torch.arange(40)
    loader = DataLoader(images, target, batch_size=16, shuffle=True, seed=3, transform=RandomCrop(8, 2))
    first, again = list(loader), list(loader)
    assert [len(x) for x, _ in first] == [16, 16, 8]
    assert not torch.equal(first[0][0], again[0][0])  # another epoch, other crops
    same = DataLoader(images, target, batch_size=16, shuffle=True, seed=3, transform=RandomCrop(8, 2))
    for (x, y), (other_x, other_y) in zip(first, same, strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


def test_bad_input(images):
    with pytest.raises(ValueError, match=r"RandomHorizontalFlip\(p=0.5\): expected images .* got \(8, 8\)"):
        RandomHorizontalFlip()(images[0, 0])
    with pytest.raises(TypeError, match=r"expected floating point images, got torch.uint8"):
        Cutout(3)(torch.zeros(3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"at least \(9, 9\) pixels, got \(40, 3, 8, 8\)"):
        RandomCrop(9)(images)
    with pytest.raises(ValueError, match=r"a probability p from 0 to 1, got 1\.5"):
        RandomVerticalFlip(1.5)
    with pytest.raises(ValueError, match=r"Cutout: size: expected a number of pixels from 1 to 65536"):
        Cutout(0)
    with pytest.raises(ValueError, match="standard deviations above 0, got"):
        Normalize([0.5], [0.0])
    with pytest.raises(ValueError, match="expected 1 channels"):
        Normalize([0.5], [1.0])(images)
