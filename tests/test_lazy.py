"""Importing a package costs next to nothing: its names are imported when they are first asked for."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from ds_core.lazy import LazyPackage

PACKAGES = ("ds_core", "ds_cnn", "ds_rnn", "ds_transformer", "ds_zoo")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_tells_readers_of_types_what_it_has(name: str) -> None:
    """Its imports under TYPE_CHECKING, and the ``__all__`` of what it imports with a star."""
    package = importlib.import_module(name)
    (block,) = (
        node for node in ast.parse(Path(package.__file__).read_text()).body if isinstance(node, ast.If)
    )
    told = []
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        names = [alias.name for alias in line.names]
        told += importlib.import_module(line.module).__all__ if names == ["*"] else names
    assert sorted(told) == sorted(package.__all__)
    assert set(told) <= set(dir(package))


@pytest.mark.parametrize("name", PACKAGES)
def test_each_name_is_where_the_package_says(name: str) -> None:
    package = importlib.import_module(name)
    assert isinstance(package, LazyPackage)
    for public in package.__all__:
        assert getattr(package, public) is getattr(
            importlib.import_module(f"{name}.{package._homes[public]}"), public
        )


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import ds_core; ds_core.Dens"], stderr=subprocess.PIPE, text=True
    )
    assert done.stderr.splitlines()[-1] == (
        "AttributeError: module 'ds_core' has no attribute 'Dens'. Did you mean: 'Dense'?"
    )


def test_importing_loads_nothing_yet() -> None:
    code = f"""
import sys
import {", ".join(PACKAGES)}
def loaded(): return {{name for name in sys.modules if name.startswith(("ds_", "torch", "rich"))}}
assert loaded() == {{"ds_core.lazy", *{PACKAGES!r}}}, loaded()
from ds_core import Dense
late = ("ds_core.training", "ds_core.xray", "rich", "safetensors")
assert not any(name.startswith(late) for name in loaded())
from ds_core import Trainer, summary
from ds_zoo import MiniGPT
assert not any(name.startswith(("rich", "ds_zoo.bert", "PIL", "matplotlib")) for name in loaded())
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LazyPackage:
    """Returns a package whose public name ``said`` is also the name of one of its modules."""
    folder = tmp_path / "late"
    folder.mkdir()
    code = 'from ds_core.lazy import lazy\nlazy(__name__, {"words": "hello said"})\n'
    (folder / "__init__.py").write_text(code)
    (folder / "words.py").write_text("hello = 'hello'\ndef said(): return hello\n")
    (folder / "said.py").write_text("before = 1\n")
    (folder / "broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("late", "late.words", "late.said"):
        monkeypatch.setitem(sys.modules, name, None)  # taken away again at the end
        del sys.modules[name]
    return importlib.import_module("late")


def test_names_and_modules_come_when_asked_for(package: LazyPackage) -> None:
    assert package.__all__ == ["hello", "said"]
    assert "late.words" not in sys.modules
    assert {"hello", "said"} <= set(dir(package))
    assert package.hello == "hello"
    assert package.words.hello == "hello"
    assert "hello" in vars(package)


def test_a_public_name_goes_before_a_module_of_that_name(package: LazyPackage) -> None:
    module = importlib.import_module("late.said")
    assert module.before == 1
    assert package.said() == "hello"
    package.said = len  # a test may put something in its place
    assert package.said is len


def test_what_is_not_there_is_an_error(package: LazyPackage) -> None:
    with pytest.raises(AttributeError, match="module 'late' has no attribute 'nothing'"):
        _ = package.nothing
    assert not hasattr(package, "__wrapped__")
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        _ = package.broken


def test_a_model_without_memory_loads_no_compiler() -> None:
    """Weights from a file first meet such a model; to fill it torch would take seconds to get ready."""
    code = """
import sys
import torch
from ds_core import SpectralNorm, Dense
from ds_core.initializers import INITIALIZERS
from ds_rnn import LSTM
from ds_transformer import TransformerTranslator, TransformerTranslatorConfig
from ds_zoo import (
    GANConfig, MiniBERT, MiniBERTConfig, MiniDCGAN, MiniDETR, MiniDETRConfig, MiniGPT, MiniGPTConfig,
    MiniViT, MiniViTConfig
)
with torch.device("meta"):
    for init in INITIALIZERS.values():
        assert init(torch.empty(4, 4)).is_meta
    SpectralNorm(Dense(3, 4)), LSTM(3, 4), MiniDCGAN(GANConfig())
    TransformerTranslator(TransformerTranslatorConfig(9, 9, d_model=8, nhead=2))
    MiniBERT(MiniBERTConfig(vocab_size=9)), MiniGPT(MiniGPTConfig(vocab_size=9))
    MiniDETR(MiniDETRConfig.preset("tiny")), MiniViT(MiniViTConfig.preset("tiny"))
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
