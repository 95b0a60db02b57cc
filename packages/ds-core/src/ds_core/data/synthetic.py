"""Made-up data for examples: nothing here was measured, and each dataset says so."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ds_core.checks import check_number, check_whole, seeded
from ds_core.data.dataset import Dataset
from ds_core.data.table import Table, as_dataset


def make_moons(samples: int = 200, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Draws two half circles that reach into each other: two classes no straight line divides.

    Args:
        samples: how many, half of them in each class (one more in the first if odd).
        noise: standard deviation of the points around their half circle, whose radius is 1.
        seed: same seed, same points.

    Shape:
        x ``(samples, 2)``, y ``(samples,)``.

    Raises:
        ValueError: if there are fewer than 2 samples.
    """
    generator, labels = _begin("make_moons", samples, 2, noise, seed)
    angle = math.pi * torch.rand(samples, generator=generator)
    x, y = angle.cos(), angle.sin()
    upper = torch.stack([x, y], 1)
    lower = torch.stack([1 - x, 0.5 - y], 1)
    points = torch.where(labels[:, None] == 0, upper, lower)
    points = points + noise * torch.randn(samples, 2, generator=generator)
    return Dataset(points, labels, ["x1", "x2"], ["upper", "lower"], "synthetic: two moons")


def make_spirals(samples: int = 300, classes: int = 3, noise: float = 0.05, seed: int = 0) -> Dataset:
    """Draws spiral arms around one centre, one for each class.

    Args:
        samples: how many, as evenly as possible among the classes.
        classes: the number of arms.
        noise: standard deviation of the points around their arm, whose length outwards is 1.
        seed: same seed, same points.

    Shape:
        x ``(samples, 2)``, y ``(samples,)``.

    Raises:
        ValueError: if there is no class, or fewer samples than classes.
    """
    generator, labels = _begin("make_spirals", samples, classes, noise, seed)
    radius = torch.rand(samples, generator=generator).sqrt()
    angle = 2 * math.pi * (labels / classes + 0.75 * radius)
    points = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    points = points + noise * torch.randn(samples, 2, generator=generator)
    names = [f"arm {label}" for label in range(classes)]
    return Dataset(points, labels, ["x1", "x2"], names, f"synthetic: {classes} spiral arms")


def _begin(name: str, samples: int, classes: int, noise: float, seed: int) -> tuple[torch.Generator, Tensor]:
    """Returns a generator and shuffled labels."""
    check_whole(name, samples=samples, classes=classes)
    check_number(name, 0, noise=noise)
    if classes > samples:
        raise ValueError(f"{name}: expected at least one sample of each of {classes} classes, got {samples}")
    generator = seeded(name, seed)
    return generator, (torch.arange(samples) % classes)[torch.randperm(samples, generator=generator)]


def make_housing(samples: int = 2000, seed: int = 0) -> Dataset:
    """Invents a census of housing districts, in the columns of the California housing data of 1990.

    No row is real: two towns at a coast, incomes and houses are drawn at random, and the price follows from
    income, distance, age and crowding, with noise, cut off at 500,001 as in the real data. About one district
    in a hundred lacks its number of bedrooms, which is filled with the median. It lets an example run without
    a download; results say nothing about California.

    Args:
        samples: how many districts.
        seed: same seed, same districts.

    Shape:
        x ``(samples, 12)``: eight numbers, then ``ocean_proximity`` one-hot (there is no island), fewer
        columns if chance leaves a kind out; y ``(samples,)`` in dollars.

    Raises:
        ValueError: if there are fewer than 10 districts.
    """
    check_whole("make_housing", 10, samples=samples)
    generator = seeded("make_housing", seed)

    def normal() -> Tensor:
        return torch.randn(samples, generator=generator)

    in_south = torch.rand(samples, generator=generator) < 0.6
    to_town = normal().abs() * 0.6  # degrees from the middle of its town
    direction = 2 * math.pi * torch.rand(samples, generator=generator)
    longitude = torch.where(in_south, -118.2, -122.2) + to_town * direction.cos()
    latitude = torch.where(in_south, 34.0, 37.7) + to_town * direction.sin()
    to_coast = (longitude + latitude + 84.4).clamp(min=0)  # degrees, across a slanting coast

    age = (29 + 12 * normal() - 8 * to_town).clamp(1, 52).round()
    households = (6.0 + 0.7 * normal()).exp().clamp(5, 6000).round()
    people = (1.0 + 0.25 * normal()).exp().clamp(1, 10)  # in a household
    income = (1.25 - 0.15 * to_town + 0.45 * normal()).exp().clamp(0.5, 15)  # in 10,000 dollars
    rooms = (3.2 + 0.55 * income + 0.7 * normal()).clamp(1, 15)  # in a household
    bedrooms = (0.55 + 0.1 * rooms + 0.08 * normal()).clamp(0.4, 4)

    logarithm = 11.1 + 0.85 * income.log() - 0.35 * to_coast - 0.25 * to_town
    logarithm = logarithm + 0.006 * age - 0.12 * (people - 2.8) + 0.2 * normal()
    price = (100 * (logarithm.exp() / 100).round()).clamp(15_000, 500_001)

    near = torch.where(in_south, 0, 1).tolist()
    proximity = [
        ("NEAR OCEAN", "NEAR BAY")[bay] if coast < 0.1 else "<1H OCEAN" if coast < 0.6 else "INLAND"
        for bay, coast in zip(near, to_coast.tolist(), strict=True)
    ]
    unknown = torch.rand(samples, generator=generator) < 0.01
    columns: dict[str, list[Any]] = {
        "longitude": (longitude * 100).round().div(100).tolist(),
        "latitude": (latitude * 100).round().div(100).tolist(),
        "housing_median_age": age.tolist(),
        "total_rooms": (rooms * households).round().tolist(),
        "total_bedrooms": [
            None if gap else number
            for gap, number in zip(unknown.tolist(), (bedrooms * households).round().tolist(), strict=True)
        ],
        "population": (people * households).round().tolist(),
        "households": households.tolist(),
        "median_income": income.mul(1e4).round().div(1e4).tolist(),
        "median_house_value": price.tolist(),
        "ocean_proximity": proximity,
    }
    table = Table(columns, "synthetic: invented housing districts", lambda row: f"row {row}")
    return as_dataset(
        table, target="median_house_value", missing="median", text={"ocean_proximity": "one_hot"}
    )
