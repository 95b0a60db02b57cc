"""The examples run, in their short setting."""

import re
from pathlib import Path

import pytest

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


def test_the_readme_lists_each():
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    examples = [*NOTEBOOKS, *EXAMPLES.glob("*.py")]
    assert NOTEBOOKS
    assert [path.name for path in examples if path.name not in readme] == []


def test_notebook_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("DS_SHORT", "1")
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
    # Nothing of the machine on which it ran.
    text = nbformat.writes(notebook)
    assert re.search(r"/(home|root|Users|tmp)/|site-packages|\\x1b\[|\\u001b\[", text) is None
