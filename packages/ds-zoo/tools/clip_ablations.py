"""Why a MiniCLIP errs on combinations it has never seen: trainings of one length that differ in one thing.

    python packages/ds-zoo/tools/clip_ablations.py --out runs/ablations

Each variant learns scenes of one shape, eight kinds by eight colours, twelve combinations held out, and then
names 1,000 scenes of combinations seen and 1,000 of those held out, among all 64 labels. The table tells
how often it is right, and how often colour and kind alone are. It is printed, and written to ``table.csv``
after each variant; those that are there already are not trained again.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

from ds_zoo.clip.train import Recipe, load, scene_accuracy, train

BASE: dict[str, Any] = {"batch_size": 64, "validate_every": 10**6}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "captions of both attributes only": {"one_attribute": 0.0},
    "2,000 pictures": {"images": 2000},
    "24 combinations held out": {"held_out": 24},
    "patches by one matrix": {"stem": "patch"},
    "a ResNet": {"tower": "resnet", "layers": 1},
    "channels lighter or darker": {"tint": 0.5},
    "colours exchanged": {"swap": 1.0},
}
COLUMNS = ("seen", "unseen", "unseen, colour", "unseen, kind")


def main() -> None:
    """Trains what is not in the table yet, and prints each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of the table")
    parser.add_argument("--steps", type=int, default=1000, help="optimizer steps of each variant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="where to compute")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), help="some of the variants")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    table = args.out / "table.csv"
    rows = read(table)
    for name, changes in VARIANTS.items():
        if name in rows or (args.only and name not in args.only):
            continue
        recipe = Recipe(**BASE | changes, steps=args.steps, seed=args.seed)
        begun = time.process_time()
        folder = args.out / name.replace(" ", "-").replace(",", "")
        train(recipe, folder, overwrite=True, progress=False, device=args.device)
        seconds = time.process_time() - begun
        found = scene_accuracy(load(folder), recipe)
        rows[name] = {column: f"{found[column]:.3f}" for column in COLUMNS} | {"seconds": f"{seconds:.0f}"}
        print(name, rows[name], flush=True)
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["variant", *COLUMNS, "seconds"])
            writer.writeheader()
            writer.writerows({"variant": variant} | row for variant, row in rows.items())


def read(table: Path) -> dict[str, dict[str, str]]:
    """Returns the rows that are there already, by variant."""
    if not table.is_file():
        return {}
    with table.open(newline="") as file:
        return {row.pop("variant"): row for row in csv.DictReader(file)}


if __name__ == "__main__":
    main()
