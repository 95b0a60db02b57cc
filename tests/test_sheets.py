"""The sheets of paper: their solutions are what torch's autograd finds for the numbers on the sheet."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("sheets", ROOT / "docs" / "course" / "sheets.py")
assert SPEC is not None
assert SPEC.loader is not None
sheets = sys.modules["sheets"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sheets)


def neuron(x: Tensor, w: Tensor, b: Tensor, t: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    y = (w * x).sum() + b
    return ((y - t) ** 2 / 2).sum(), {"y": y, "w": w, "b": b}


def two_layers(
    x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, t: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    a = w1 @ x + b1
    h = torch.relu(a)
    y = (w2 * h).sum() + b2
    return ((y - t) ** 2 / 2).sum(), {"a": a, "h": h, "y": y, "W₁": w1, "b₁": b1, "w₂": w2, "b₂": b2, "x": x}


def norm(x: Tensor, g: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    n = torch.nn.functional.layer_norm(x, x.shape, eps=0)
    return (n * g).sum(), {"n": n, "x": x}


def convolution(x: Tensor, w: Tensor, g: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    y = torch.nn.functional.conv2d(x[None, None], w[None, None])[0, 0]
    return (y * g).sum(), {"y": y, "W": w, "x": x}


def through_time(x: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    h = [torch.zeros(1, dtype=torch.float64)]
    for x_t in x:
        h.append(torch.relu(w * x_t + v * h[-1]))
    return h[-1].sum(), {"h": torch.cat(h[1:]), "x": x, "w": w, "v": v}


def attention(q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    a = q @ k.T
    p = a.softmax(1)
    y = p @ v
    return (y * g).sum(), {"A": a, "P": p, "Y": y, "V": v, "k": k}


REFEREES = {
    **{"neuron": neuron, "two-layers": two_layers, "layer-norm": norm, "convolution": convolution},
    **{"through-time": through_time, "attention": attention},
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", REFEREES)
def test_solutions_are_what_autograd_finds(name: str, seed: int) -> None:
    sheet = sheets.sheet(name, seed)
    with torch.enable_grad():
        given = [value.clone().requires_grad_() for value in sheet.given.values()]
        loss, named = REFEREES[name](*given)
        for value in named.values():
            value.retain_grad()
        loss.backward()
    seen = 0
    for label, answer in sheet.answers.items():
        if label == "L":
            expected = loss
        elif label.startswith("dL/d"):
            expected = named[label.removeprefix("dL/d")].grad
        elif label in named:
            expected = named[label]
        else:
            continue
        assert answer.flatten().tolist() == pytest.approx(expected.flatten().tolist(), abs=1e-12), label
        seen += 1
    assert seen >= 2


def test_scores_and_steps_downhill() -> None:
    sheet = sheets.sheet("classes", 3)
    z = sheet.given["z"].clone().requires_grad_()
    place = int(sheet.about.split("number ")[1][0]) - 1
    with torch.enable_grad():
        torch.nn.functional.cross_entropy(z[None], torch.tensor([place])).backward()
    assert z.grad is not None
    assert sheet.answers["dL/dz"].tolist() == pytest.approx(z.grad.tolist())
    sheet = sheets.sheet("momentum", 3)
    p, c = (float(sheet.given[name]) for name in "pc")
    b = 0.0
    for value in sheet.answers.values():
        b = 0.5 * b + (p - c)
        p -= 0.1 * b
        assert float(value) == pytest.approx(p)


@pytest.mark.parametrize("name", sheets.SHEETS)
def test_a_seed_gives_its_numbers_and_another_seed_others(name: str) -> None:
    assert sheets.page([name], [7], True) == sheets.page([name], [7], True)
    numbers = {
        tuple(value.flatten().tolist())
        for seed in range(9)
        for value in sheets.sheet(name, seed).given.values()
    }
    assert len(numbers) > 4


def test_what_is_to_be_found_is_on_the_solutions_alone() -> None:
    sheet = sheets.sheet("convolution", 0)
    shown = sheets.listed(sheet.answers)
    assert shown in sheets.page(["convolution"], [0], True)
    assert shown not in sheets.page(["convolution"], [0], False)


@pytest.mark.parametrize(("value", "text"), [(-3.0, "−3"), (2 / 3, "2/3"), (0.123456, "0.1235")])
def test_numbers_are_written_as_a_pencil_would(value: float, text: str) -> None:
    assert sheets.written(value) == text


def test_seeds_that_are_none_are_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["sheets.py", "neuron", "--seeds", "x"])
    with pytest.raises(SystemExit, match="2"):
        sheets.main()
    assert "--seeds: expected a number such as 7, or several such as 1-30, got 'x'" in capsys.readouterr().err


def test_a_range_without_seeds_is_refused(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(sys, "argv", ["sheets.py", "neuron", "--seeds", "3-1", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        sheets.main()
    assert "--seeds: expected the smaller number first, got '3-1'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sheets.SHEETS)
def test_no_sheet_comes_to_nothing_but_zeros(name: str) -> None:
    for seed in range(60):
        sheet = sheets.sheet(name, seed)
        slopes = [value for label, value in sheet.answers.items() if label.startswith("dL/d")]
        assert all(value.any() for value in slopes), seed
        if name == "momentum":
            assert sheet.given["p"] != sheet.given["c"], seed
