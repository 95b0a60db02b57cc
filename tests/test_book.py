"""The book is plain: what no formula may do, and how far a reader has to go for both passes of a layer."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOOK = sorted(ROOT.glob("packages/*/src/*/functional/**/*.py"))
SOURCES = sorted(ROOT.glob("packages/*/src/**/*.py"))
PACKAGES = ("core", "cnn", "rnn", "transformer", "zoo")

# Functions and arguments that plan memory, ask which engine runs, or read a number from the device.
NAMES = {
    "reuse",
    "taped",
    "is_grad_enabled",
    "set_grad_enabled",
    "no_grad",
    "is_compiling",
    "exp2",
    "item",
    "tolist",
}


def asks(tree: ast.AST) -> list[tuple[int, str]]:
    """Lists (line, what) of all that a formula may not do."""
    found = []
    made = new_tensors(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in NAMES:
                found.append((node.lineno, f"{name}()"))
            if name.endswith("_") and not name.endswith("__"):
                found.append((node.lineno, f"{name}() works in place"))
            if any(keyword.arg == "out" for keyword in node.keywords):
                found.append((node.lineno, "out="))
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Subscript) and root(target) not in made:
                    found.append((node.lineno, f"writes into {ast.unparse(target)}"))
        elif isinstance(node, ast.Name) and node.id == "taped":
            found.append((node.lineno, "taped"))
    return found


def root(node: ast.expr) -> str:
    """Returns the name that an expression like ``a.b[c][d]`` begins with."""
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return getattr(node, "id", "")


def new_tensors(tree: ast.AST) -> set[str]:
    """Names what a loop may write into, having just made it: new tensors, lists and dicts."""
    made = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            names = [
                name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)
            ]
            makers = ("new_zeros", "zeros_like", "zeros", "new_full", "full", "new_empty", "list", "dict")
            text = ast.unparse(node.value)
            if any(f"{maker}(" in text for maker in makers) or isinstance(
                node.value, (ast.List, ast.ListComp, ast.Dict)
            ):
                made |= set(names)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.value, (ast.List, ast.ListComp, ast.Dict)):
            made.add(root(node.target))
    return made


@pytest.mark.parametrize("file", BOOK, ids=lambda file: str(file.relative_to(ROOT / "packages")))
def test_a_formula_plans_no_memory_and_asks_for_no_engine(file):
    found = asks(ast.parse(file.read_text(encoding="utf-8")))
    assert not found, "\n".join(f"{file.relative_to(ROOT)}:{line}: {what}" for line, what in found)


@pytest.mark.parametrize(
    "code",
    [
        "y = torch.exp(x, out=z)",
        "x.mul_(2)",
        "y = reuse(x)",
        "if torch.is_grad_enabled(): pass",
        "x[0] = 1",
        "y = torch.exp2(x)",
        "n = x.sum().item()",
    ],
)
def test_what_is_not_plain_is_found(code):
    assert asks(ast.parse(code))


def test_a_loop_may_write_into_what_it_made():
    assert not asks(ast.parse("y = torch.zeros_like(x)\nfor i in range(3):\n    y[i] = x[i]\n    y[i] += 1"))


def test_only_module_engines_and_kernels_ask_whether_autograd_records():
    allowed = ("ds_core/module.py", "ds_core/engines.py")
    asking = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if "is_grad_enabled" in file.read_text(encoding="utf-8")
        and not str(file).endswith(allowed)
        and "kernels" not in file.parts
    ]
    assert not asking


# torch's products of matrices; a kernel calls those of ds_core.kernels.matmul, which chooses the faster one.
PRODUCTS = {"mm", "matmul", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "vdot", "inner", "outer", "ger"}
PRODUCTS |= {"addr", "addbmm", "linear", "einsum", "tensordot", "chain_matmul", "bilinear"}
KERNELS = sorted(set(ROOT.glob("packages/*/src/*/kernels/**/*.py")))


def products(tree: ast.AST) -> list[tuple[int, str]]:
    """Lists (line, what) of the products that do not go through ``matmul``."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.MatMult):
            found.append((node.lineno, "@"))
        elif isinstance(node, ast.Attribute) and node.attr.rstrip("_") in PRODUCTS:
            found += [(node.lineno, ast.unparse(node))] * (ast.unparse(node.value) != "matmul")
    return found


@pytest.mark.parametrize("file", KERNELS, ids=lambda file: str(file.relative_to(ROOT / "packages")))
def test_the_products_of_kernels_go_through_one_place(file):
    found = products(ast.parse(file.read_text(encoding="utf-8")))
    if str(file).endswith(("ds_core/kernels/matmul.py", "ds_core/kernels/low.py")):  # low: the formulas' own
        assert found
    else:
        assert not found, "\n".join(f"{file.relative_to(ROOT)}:{line}: {what}" for line, what in found)


@pytest.mark.parametrize("code", ["a @ b", "a @= b", "torch.mm(a, b)", "c.addmm_(a, b)", "f = torch.bmm"])
def test_a_product_past_that_place_is_found(code):
    assert products(ast.parse(code))
    assert not products(ast.parse("matmul.addmm(c, a, b)"))


# What has to be opened to see both passes of a layer, and the longest it may be.
DISTANCES = {
    "Dense": (["ds_core.layers.dense", "ds_core.functional.linear"], 130),
    "LayerNorm": (["ds_core.layers.layer_norm", "ds_core.functional.layer_norm"], 150),
    "CrossEntropyLoss": (["ds_core.losses.cross_entropy", "ds_core.functional.cross_entropy"], 150),
    "LSTM": (["ds_rnn.layers.lstm", "ds_rnn.functional.lstm", "ds_rnn.functional.recurrence"], 300),
    "Conv2d": (
        ["ds_cnn.layers.conv2d", "ds_cnn.functional.convolution", "ds_cnn.functional.geometry"],
        350,
    ),
    "MultiheadAttention": (
        [
            "ds_transformer.layers.multihead_attention",
            "ds_transformer.functional.attention",
            "ds_transformer.functional.projection",
        ],
        350,
    ),
}


@pytest.mark.parametrize("layer", DISTANCES)
def test_both_passes_of_a_layer_are_near_each_other(layer):
    modules, most = DISTANCES[layer]
    files = [Path(inspect.getfile(importlib.import_module(name))) for name in modules]
    lengths = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert sum(lengths.values()) <= most, lengths
    cls = getattr(importlib.import_module(modules[0]), layer)
    for method in ("forward", "backward"):
        assert method in vars(cls), f"{layer}.{method} stands in a base class"


@pytest.mark.parametrize(
    "file",
    [f for f in SOURCES if f.name != "__main__.py"],
    ids=lambda file: str(file.relative_to(ROOT / "packages")),
)
def test_no_pass_of_a_base_class_is_overridden(file):
    """A class that is a base of another in the same package has no forward of its own, or is left alone."""
    name = ".".join(
        file.relative_to(file.parents[len(file.relative_to(ROOT).parts) - 4]).with_suffix("").parts
    )
    module = importlib.import_module(name.removesuffix(".__init__"))
    for cls in vars(module).values():
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and is_layer(cls):
            for method in ("forward", "backward"):
                if method in vars(cls):
                    bases = [base for base in cls.__mro__[1:] if method in vars(base)]
                    concrete = [base.__name__ for base in bases if not abstract(vars(base)[method])]
                    assert not concrete, f"{cls.__name__}.{method} overrides that of {', '.join(concrete)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_xray_finds_the_equations_of_docstrings_whole(package):
    """Those of one clause on two lines, or behind a word of their own, would be torn or passed over."""
    from ds_core.xray.formula import formula_of

    for file in sorted((ROOT / f"packages/ds-{package}/src").rglob("*.py")):
        if file.stem == "__main__":
            continue
        parts = file.relative_to(ROOT / f"packages/ds-{package}/src").with_suffix("").parts
        module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
        for cls in vars(module).values():
            if not (inspect.isclass(cls) and cls.__module__ == module.__name__ and is_layer(cls)):
                continue
            forward, backward = formula_of(cls.__new__(cls))
            for clause in (*forward, *backward):
                torn = any(clause.count(a) != clause.count(b) for a, b in ("()", "[]"))
                assert not torn, f"{cls.__name__}: {clause}"
                assert " With " not in clause, f"{cls.__name__}: {clause}"
            written = inspect.cleandoc(cls.__doc__ or "").partition("\nArgs:")[0]
            gradient = re.search(r"\bdL/d\w+(\[.*?\])? \+?= ", written)
            assert backward or not gradient, f"{cls.__name__}: {gradient}"


def is_layer(cls: type) -> bool:
    from ds_core import Module

    return issubclass(cls, Module)


def abstract(method: object) -> bool:
    """Whether a method only says that a subclass has to write it."""
    code = getattr(inspect.unwrap(method), "__code__", None)
    return code is None or "NotImplementedError" in code.co_names
