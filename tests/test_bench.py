"""`hatch run bench`: rows are measured in processes of their own; the docs keep what it wrote."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from ds_core.verify.benchmark import Sides

import bench

ROWS = """
import torch
from ds_core.verify.benchmark import Sides

x = torch.randn(256, 256)

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
    assert 0 < row.to_torch[0] <= row.to_torch[1] <= row.to_torch[2]  # how much is no matter of a test
    assert row.errors is None
    assert 0 < row.share < 2
    assert row.operations[0][0][0] == "mm"
    assert bench.cells(row)[0] == f"{row.to_torch[1]:.2f}"
    with pytest.raises(RuntimeError, match=r"products\.py"):
        list(bench.suite(["products"], "other", 0.1))


def test_a_process_that_times_a_row_does_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "products.py"
    file.write_text(ROWS.replace("1 / 0", "Sides(product(5), product(6))"))
    monkeypatch.setattr(bench, "benchmarks", lambda checkout: {"products": file})
    monkeypatch.setattr(bench, "TURN", 0.02)
    asked, ask = [], bench.Server.ask

    def noted(server, question, row=None):
        asked.append((server, question, row))
        return ask(server, question, row)

    monkeypatch.setattr(bench.Server, "ask", noted)
    assert [row.name for row in bench.suite(["products"], "", 0.1, 2)] == ["half", "other"]
    looking = asked[0][0]
    timed = {server: set() for server, *_ in asked if server is not looking}
    for server, question, row in asked:
        if server is looking:
            assert question != "turn"
        else:
            timed[server].add((question, row))
    rows = [("turn", "half")] * 2 + [("turn", "other")] * 2
    assert [list(heard) for heard in timed.values()] == [[heard] for heard in rows]


def test_a_benchmark_that_fails_does_not_take_the_others_with_it(tmp_path, monkeypatch, capfd):
    for name, rows in {"broken": ROWS, "products": ROWS}.items():
        (tmp_path / f"{name}.py").write_text(rows)
    files = {name: tmp_path / f"{name}.py" for name in ("broken", "products")}
    monkeypatch.setattr(bench, "benchmarks", lambda checkout: files)
    monkeypatch.setattr(bench, "TURN", 0.02)
    kept = tmp_path / "rows.json"
    arguments = ["bench.py", "--seconds", "0.1", "--processes", "1", "--json", str(kept)]
    monkeypatch.setattr(sys, "argv", arguments)
    (tmp_path / "products.py").write_text(ROWS.replace(', "other": lambda: 1 / 0', ""))
    with pytest.raises(SystemExit, match="failed: broken"):
        bench.main()
    rows = json.loads(kept.read_text())["rows"]  # also the one before what failed
    assert [(row["benchmark"], row["name"]) for row in rows] == [
        ("broken", "half"),
        ("products", "half"),
    ]
    assert "ZeroDivisionError" in capfd.readouterr().err
    before = kept.read_text()
    monkeypatch.setattr(sys, "argv", [*arguments, "--filter", "nothing", "--processes", "2"])
    with pytest.raises(SystemExit, match="no row contains 'nothing'"):
        bench.main()
    assert kept.read_text() == before  # also what it says of where the rows were measured


def test_both_sides_have_one_thread_or_as_many_as_asked_for(tmp_path, monkeypatch):
    file = tmp_path / "products.py"
    file.write_text(ROWS.replace('"half"', "str(torch.get_num_threads())"))
    for before, asked, threads in (("2", None, "2"), ("2", 1, "1"), ("", None, "1"), ("1", 2, "2")):
        monkeypatch.setenv("OMP_NUM_THREADS", before)
        bench.use_threads(asked)
        assert bench.os.environ["OMP_NUM_THREADS"] == threads
    server = bench.Server(file)
    server.close()
    assert server.rows == ["2", "other"]


def test_another_checkout_is_measured_in_turns(tmp_path, monkeypatch, capfd):
    file = tmp_path / "products.py"
    file.write_text(ROWS)
    monkeypatch.setattr(bench, "benchmarks", lambda checkout: {"products": file})
    monkeypatch.setattr(bench, "TURN", 0.02)
    monkeypatch.setattr(bench, "PROCESSES", 1)
    bench.beside(ROOT, ["products"], "half", 0.1)
    head, row = capfd.readouterr().out.split("\n")[1:3]
    assert head.split()[:2] == ["products", "ratio"]
    name, ratio, *_, here, other = row.split()
    assert name == "half"
    assert float(ratio) > 0
    assert here == other  # the same memory


def test_products_of_a_gradient_of_a_gradient_are_counted():
    layer, x = nn.Linear(3, 1), torch.randn(5, 3, requires_grad=True)

    def penalised() -> None:
        (slope,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
        slope.square().sum().backward()

    once = Sides(lambda: layer(x), lambda: None).flops()
    assert once == 2 * 5 * 3
    assert Sides(lambda: None, penalised).flops() > once


@pytest.mark.parametrize("name", ["results", "xeon"])
def test_the_page_of_results_is_what_was_measured(name):
    folder = ROOT / "docs" / "benchmarks"
    content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert (folder / f"{name}.md").read_text(encoding="utf-8") == bench.markdown(content, f"{name}.svg")
    assert (folder / f"{name}.svg").is_file()
    assert {row["benchmark"] for row in content["rows"]} <= set(bench.benchmarks(ROOT))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--beside", "nowhere"], "--beside: expected a checkout of this repository, got nowhere"),
        (["--json", "nowhere/rows.json"], "rows.json: there is no folder nowhere"),
        (["--processes", "0"], "--processes: expected at least 1, got 0"),
        (["--threads", "0"], "--threads: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_measured(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench.py", "mlp", *arguments])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert said in capsys.readouterr().err
