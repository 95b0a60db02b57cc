"""The examples run: every notebook from top to bottom, and every script, in their short setting."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))

nbformat = pytest.importorskip("nbformat", reason="needs ds-core[notebook]")
nbclient = pytest.importorskip("nbclient", reason="needs ds-core[notebook]")
pytest.importorskip("ipykernel", reason="needs ds-core[notebook]")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks_and_the_readme_lists_each():
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    examples = [*NOTEBOOKS, *EXAMPLES.glob("*.py")]
    assert len(NOTEBOOKS) >= 9
    assert [path.name for path in examples if path.name not in readme] == []


def test_notebook_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("DS_SHORT", "1")
    for variable in ("HOUSING_CSV", "HOUSING_SEED"):
        monkeypatch.delenv(variable, raising=False)
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()  # raises CellExecutionError, which shows the cell and its traceback
    written = [o for cell in code_cells(notebook) for o in cell.outputs if o.get("name") == "stderr"]
    assert written == []  # no warnings either
    assert list(tmp_path.iterdir()) == []  # a reader's folder stays as it is


def test_notebook_is_committed_as_it_ran(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert pictures
    # A cell whose last line shows something has shown it.
    for cell in cells:
        if re.search(r"^(print\(|figure, |history\.plot)", cell.source, re.MULTILINE):
            assert cell.outputs, f"no output of the cell that begins {cell.source[:60]!r}"


def test_notebook_says_what_will_be_learned_and_what_is_needed(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "**You will learn**" in first.source
    opening = "\n".join(cell.source for cell in notebook.cells[:2])
    extras = re.search(r'pip install "ds-core\[([a-z,]+)\]"', opening)
    assert extras, "the opening names no pip install"
    assert "notebook" in extras[1]
    source = "\n".join(cell.source for cell in code_cells(notebook))
    assert ("sklearn:" in source) == ("data" in extras[1].split(","))


def test_notebook_reads_well_and_is_small(notebook):
    for cell in notebook.cells:
        assert len(cell.source.splitlines()) <= 40, cell.source[:80]
    text = nbformat.writes(notebook)
    assert len(text) < 320_000
    # Nothing of the machine on which it ran.
    assert re.search(r"/(home|root|Users|tmp)/|site-packages|\\x1b\[|\\u001b\[", text) is None


def write_idx(path, numbers):
    head = bytes([0, 0, 8, numbers.dim()]) + b"".join(size.to_bytes(4, "big") for size in numbers.shape)
    path.write_bytes(gzip.compress(head + bytes(numbers.flatten().tolist())))


def test_fashion_mnist_script_learns_from_a_folder_of_idx_files(tmp_path):
    """Each class is one bright row of pixels in noise, so a few steps are enough to tell them apart."""
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 300), ("t10k", 100)):
        labels = torch.arange(count) % 10
        images = torch.randint(0, 60, (count, 28, 28), generator=generator, dtype=torch.uint8)
        images[torch.arange(count), 2 * labels + 4] = 250
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels.to(torch.uint8))
    command = [sys.executable, str(EXAMPLES / "fashion_mnist.py"), "--data", str(tmp_path)]
    command += ["--epochs", "4", "--batch-size", "32", "--out", str(tmp_path / "out")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    accuracy = re.search(r"test accuracy ([\d.]+)% of 100 images", finished.stdout)
    assert accuracy, finished.stdout
    assert float(accuracy[1]) > 90
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["confusion.png", "loss.png"]
