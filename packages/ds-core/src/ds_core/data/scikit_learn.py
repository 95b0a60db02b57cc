"""The small classic datasets that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ds_core.checks import did_you_mean
from ds_core.data.dataset import Dataset
from ds_core.data.optional import needed
from ds_core.data.table import check_names, names_of

NAMES = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")


def load_sklearn(name: str, *, columns: Sequence[str] | None = None) -> Dataset:
    """Loads a dataset that scikit-learn brings along, without a network.

    Classes: iris (150 samples), wine (178), breast_cancer (569), digits (1,797 images of 8 x 8 pixels from 0
    to 16, as 64 columns). Numbers: diabetes (442), linnerud (20, three targets).

    Args:
        name: one of these.
        columns: the features, in this order; None for all.

    Raises:
        ValueError: if the name or a column is unknown; lists those known.
        ImportError: if scikit-learn is missing.
    """
    if name not in NAMES:
        known = ", ".join(NAMES)
        raise ValueError(f"sklearn: expected one of {known}, got {name!r}{did_you_mean(name, NAMES)}")
    data = getattr(needed("sklearn.datasets", "scikit-learn", "load('sklearn:...')"), f"load_{name}")()
    names = [str(feature) for feature in data.feature_names]
    x = torch.as_tensor(data.data).float()
    if columns is not None:
        columns = names_of(columns, f"sklearn:{name}: columns")
        check_names(columns, dict.fromkeys(names), f"sklearn:{name}: columns")
        x, names = x[:, [names.index(column) for column in columns]], columns
    y = torch.as_tensor(data.target)
    has_classes = not y.is_floating_point()
    return Dataset(
        x,
        y.long() if has_classes else y.float(),
        names,
        [str(label) for label in data.target_names] if has_classes else None,
        f"sklearn:{name}",
    )
