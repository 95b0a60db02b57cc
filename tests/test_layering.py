"""Imports go only downwards, and nothing below them is ready-made."""

import ast
from pathlib import Path

import grimp
import pytest
from ds_core.verify.source import ready_made

ROOT = Path(__file__).parents[1]

# What each package may import. cnn, rnn and transformer do not know each other.
BELOW = {
    "ds_core": set(),
    "ds_cnn": {"ds_core"},
    "ds_rnn": {"ds_core"},
    "ds_transformer": {"ds_core"},
    "ds_zoo": {"ds_core", "ds_cnn", "ds_rnn", "ds_transformer"},
}

# The one file that calls an operator by its internal name: oneDNN's matrix product.
PRODUCTS = "packages/ds-core/src/ds_core/kernels/matmul.py"
# The one file that knows torch.nn: it translates finished models into it, and computes nothing.
EXPORT = "packages/ds-core/src/ds_core/export.py"
EXEMPT = {(PRODUCTS, "torch.ops"), (EXPORT, "torch.nn")}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*BELOW, cache_dir=None)


@pytest.mark.parametrize("package", BELOW)
def test_imports_go_only_downwards(graph: grimp.ImportGraph, package: str) -> None:
    modules = {package} | graph.find_descendants(package)
    imports = {
        (module, imported)
        for module in modules
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.split(".")[0] not in BELOW[package] | {package}
    }
    assert not imports, f"{package} may import only from {BELOW[package] or 'nothing'}: {imports}"


def test_there_are_no_circles_of_imports(graph: grimp.ImportGraph) -> None:
    """Those for the sake of types count, too; only a trainer and those it calls back know each other.

    Some of these it finds by name.
    """
    circles = circles_of({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
    callbacks = ("callbacks", "average_weights", "progress", "tensorboard")
    known = {f"ds_core.training.{name}" for name in ("trainer", "by_name", *callbacks)}
    assert [circle for circle in circles if not circle <= known] == []


def test_circles_are_found() -> None:
    imports = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a", "d"}, "g": set()}
    assert sorted(map(sorted, circles_of(imports))) == [["a", "b", "c"], ["d", "e"]]


def circles_of(imports: dict[str, set[str]]) -> list[set[str]]:
    """Returns the sets of modules that reach one another by imports."""
    reached = {}
    for module in imports:
        seen, waiting = set(), [module]
        while waiting:
            for imported in imports[waiting.pop()] - seen:
                seen.add(imported)
                waiting.append(imported)
        reached[module] = seen
    circles: list[set[str]] = []
    for module in imports:
        circle = {other for other in reached[module] if module in reached[other]}
        if circle and circle not in circles:
            circles.append(circle)
    return circles


def test_graph_holds_every_source_file(graph: grimp.ImportGraph) -> None:
    files = {
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for source in ROOT.glob("packages/*/src")
        for file in source.rglob("*.py")
    }
    assert files == graph.modules


@pytest.mark.parametrize("package", [name.replace("_", "-") for name in BELOW])
def test_nothing_ready_made_is_used(package: str) -> None:
    sources = sorted((ROOT / "packages" / package / "src").rglob("*.py"))
    assert sources
    uses = [
        f"{source.relative_to(ROOT)}:{line}: {name}"
        for source in sources
        for line, name in ready_made(source.read_text(encoding="utf-8"))
        if (str(source.relative_to(ROOT)), name) not in EXEMPT
    ]
    assert not uses, "\n".join(uses)


def test_no_operator_is_called_by_its_internal_name() -> None:
    tree = ast.parse((ROOT / PRODUCTS).read_text(encoding="utf-8"))
    chains = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert [chain for chain in chains if chain.startswith("torch.ops")] == ["torch.ops.mkldnn", "torch.ops"]
    names = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    asked = {name for name in names if str(name).startswith("_is_mkldnn_")}
    assert asked == {"_is_mkldnn_bf16_supported", "_is_mkldnn_fp16_supported"}  # a question, not a product


def test_translating_computes_nothing(graph: grimp.ImportGraph) -> None:
    """Of torch.nn it names classes alone, no function, and only ``Module.to_torch`` asks for it."""
    assert graph.find_modules_that_directly_import("ds_core.export") == {"ds_core.module"}
    tree = ast.parse((ROOT / EXPORT).read_text(encoding="utf-8"))
    names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "nn"}
    assert names
    assert all(name[0].isupper() for name in names)


@pytest.mark.parametrize(
    "code",
    [
        "import torch.nn",
        "import torch.nn as nn",
        "import torch.nn.functional as F",
        "from torch import Tensor, nn",
        "from torch.nn import functional",
        "from torch.optim.adam import Adam",
        "import torch\ny = torch.nn.functional.relu(x)",
        "import torch as t\ny = t.fft.rfft(x)",
        "import torch\nlinalg = getattr(torch, 'linalg')",
        "import importlib\nimportlib.import_module('torch.nn')",
        "from torch.autograd import Function",
        "import torch\ntorch.autograd.grad(y, x)",
        "import torch\ntorch.ops.aten.gelu(x)",
        "import torch\ntorch._C._nn.gelu(x)",
        "from torch.library import custom_op",
        "import torch\ny = torch.rms_norm(x, (3,))",
        "import torch as t\ny = t.einsum('ij,jk', a, b)",
        "from torch import conv1d",
        "import torch\ny = getattr(torch, 'softmax')(x, 0)",
    ],
)
def test_ready_made_is_found(code: str) -> None:
    assert list(ready_made(code))


def test_the_elementary_is_let_through() -> None:
    code = "import torch\nfrom torch import Tensor\ny = torch.exp(x)\nself.nn = 'as torch.nn does'"
    assert not list(ready_made(code))
