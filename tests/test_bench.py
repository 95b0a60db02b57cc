"""`hatch run bench`: rows are measured in processes of their own; the docs keep what it wrote."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import bench

ROWS = """
import torch
from ds_core.verify.benchmark import Sides

x = torch.randn(64, 64)

def product(times):
    def work():
        for _ in range(times):
            x @ x
    return work

ROWS = {"half": lambda: Sides(product(20), product(40)), "other": lambda: 1 / 0}
"""


def test_a_row_is_measured(tmp_path, monkeypatch):
    file = tmp_path / "products.py"
    file.write_text(ROWS)
    monkeypatch.setattr(bench, "benchmarks", lambda checkout: {"products": file})
    monkeypatch.setattr(bench, "TURN", 0.02)
    (row,) = bench.suite(["products"], "half", 0.1, 1)
    assert row.name == "half"
    assert 0.3 < row.to_torch[1] < 0.8
    assert row.errors is None
    assert 0 < row.share < 2
    assert row.operations[0][0][0] == "mm"
    assert bench.cells(row)[0] == f"{row.to_torch[1]:.2f}"
    with pytest.raises(RuntimeError, match=r"products\.py"):
        list(bench.suite(["products"], "other", 0.1))


def test_the_page_of_results_is_what_was_measured():
    folder = ROOT / "docs" / "benchmarks"
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert (folder / "results.md").read_text(encoding="utf-8") == bench.markdown(content)
    assert {row["benchmark"] for row in content["rows"]} <= set(bench.benchmarks(ROOT))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--beside", "nowhere"], "--beside: expected a checkout of this repository, got nowhere"),
        (["--json", "nowhere/rows.json"], "rows.json: there is no folder nowhere"),
        (["--processes", "0"], "--processes: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_measured(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench.py", "mlp", *arguments])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert said in capsys.readouterr().err
