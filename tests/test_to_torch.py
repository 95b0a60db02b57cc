"""Models translated into torch.nn: every layer that has a namesake, beside that namesake and beside ours."""

from __future__ import annotations

import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import ds_cnn
import ds_core
import ds_rnn
import ds_transformer
import ds_zoo
import pytest
import torch
from ds_cnn import BatchNorm2d, Conv2d, GlobalAvgPool2d, MaxPool2d, Upsample
from ds_core import (
    Dense,
    Dropout,
    ModuleDict,
    ModuleList,
    ParameterDict,
    ParameterList,
    Recompute,
    ReLU,
    Sequential,
)
from ds_core.verify import load_cases
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]


def changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Changes floating point tensors, in tuples and lists, too."""
    if isinstance(value, Tensor):
        return change(value) if value.is_floating_point() else value
    return type(value)(changed(part, change) for part in value) if isinstance(value, (tuple, list)) else value


def tensors(value: Any) -> list[Tensor]:
    """Lists the tensors in tuples and lists."""
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in tensors(part)]
    return [value] if isinstance(value, Tensor) else []


def run(module: Any, inputs: tuple[Any, ...], call: Any = None) -> tuple[list[Tensor], list[Tensor | None]]:
    """Returns outputs, and the gradients that torch's autograd gives inputs and parameters."""
    leaves = changed(inputs, lambda x: x.detach().double().requires_grad_())
    torch.manual_seed(3)
    with torch.enable_grad():
        inputs = changed(leaves, torch.clone)  # some are replaced in place
        outputs = tensors(call(module, *inputs) if call else module(*inputs))
        total = sum((y * (1 + y.detach().cos())).sum() for y in outputs if y.is_floating_point())
        if isinstance(total, Tensor) and total.requires_grad:
            total.backward()
    floating = [x for x in (*tensors(leaves), *module.parameters()) if x.is_floating_point()]
    return [y.detach() for y in outputs], [x.grad for x in floating]


def cases(package: str) -> list[Any]:
    found = []
    for case in load_cases(ROOT / "packages" / package / "tests" / "cases"):
        theirs = getattr(case, "namesake", None)
        if type(case).__name__ != "Case" or theirs is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = theirs()
        if type(theirs).__module__.startswith("torch.nn.modules"):
            found.append((case, theirs))
    return found


@pytest.mark.parametrize("package", ["ds-core", "ds-cnn", "ds-rnn", "ds-transformer"])
def test_every_layer_becomes_its_namesake(package: str) -> None:
    problems, classes = [], set()
    for case, theirs in cases(package):
        ours = case.make().to(torch.float64)
        if type(ours).__name__.replace("Dense", "Linear") != type(theirs).__name__:
            continue  # several layers beside one
        if not type(ours).__module__.startswith("ds_"):
            ours.__class__ = type(ours).__base__  # it was called with options of the case
        made = ours.to_torch()
        classes.add(type(made))
        inputs = case.inputs(torch.Generator().manual_seed(0))
        if type(made) is not type(theirs) or made.training != ours.training:
            problems.append(f"{case.name}: {made}")
        state, other = ours.state_dict(), made.state_dict()
        if list(state) != list(other) or any(not torch.equal(state[name], other[name]) for name in state):
            problems.append(f"{case.name}: other weights")
        theirs.load_state_dict(state)
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.requires_grad_(mine.requires_grad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = run(theirs.to(torch.float64).train(ours.training), inputs, case.reference)
            got = run(made, inputs, case.reference)
        for ours_side, right in zip(got, expected, strict=True):
            same = len(ours_side) == len(right) and all(
                (a is None) == (b is None) and (a is None or torch.equal(a.nan_to_num(7), b.nan_to_num(7)))
                for a, b in zip(ours_side, right, strict=False)
            )
            if not same:
                problems.append(f"{case.name}: {made} is not {theirs}")
    assert not problems, "\n".join(problems)
    assert len(classes) >= {"ds-core": 50, "ds-cnn": 25, "ds-rnn": 6, "ds-transformer": 5}[package]


def network() -> Sequential:
    return Sequential(
        *(Conv2d(1, 4, 3, padding="same"), BatchNorm2d(4), ReLU(), MaxPool2d(2)),
        Sequential({"drop": Dropout(0.1), "flatten": ds_core.Flatten(), "last": Dense(16, 3)}),
    )


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_what_is_shared_frozen_and_in_eval_mode_stays_so() -> None:
    shared = Dense(3, 3)
    model = Sequential(shared, ReLU(), shared, Dense(3, 3), Dropout(0.5).eval())
    model[3].weight = model[0].weight
    model[3].bias.requires_grad_(False)
    made = model.to_torch()
    assert made[0] is made[2]
    assert made[3].weight is made[0].weight
    assert [p.requires_grad for p in made.parameters()] == [p.requires_grad for p in model.parameters()]
    assert [part.training for part in made] == [True] * 4 + [False]
    with torch.no_grad():
        made[0].weight.zero_()
    assert model[0].weight.any()  # a copy


@pytest.mark.parametrize("options", [{"add_bias_kv": True, "kdim": 5}, {"bias": False, "batch_first": True}])
def test_attention(options: dict[str, Any]) -> None:
    ours = ds_transformer.MultiheadAttention(8, 2, vdim=3, **options).eval()
    made = ours.to_torch()
    given = [torch.randn(2, 2, width) for width in (8, ours.kdim, 3)]
    torch.testing.assert_close(made(*given), ours(*given))
    assert list(made.state_dict()) == list(ours.state_dict())
    assert not made.out_proj.training
    assert type(made.out_proj) is type(nn.MultiheadAttention(8, 2).out_proj)


def test_containers() -> None:
    model = ModuleDict(
        {
            "list": ModuleList([Dense(2, 2), ReLU()]),
            "numbers": ParameterList([torch.ones(2), torch.zeros(3)]),
            "named": ParameterDict({"a": torch.ones(1)}),
        }
    )
    made = model.to_torch()
    assert repr(type(made)) == repr(nn.ModuleDict)
    assert list(made.state_dict()) == list(model.state_dict())
    assert len(made["numbers"]) == 2
    made["list"].append(nn.Identity())
    assert len(made["list"]) == 3


def test_a_class_of_ones_own_made_of_layers_in_a_row() -> None:
    class Net(Sequential):
        pass

    assert type(Net(Dense(2, 2)).to_torch()) is nn.Sequential


def test_a_model_in_half_precision() -> None:
    made = network().bfloat16().to_torch()
    assert {p.dtype for p in made.parameters()} == {torch.bfloat16}


def test_translated_models_are_exported(images: Tensor) -> None:
    model = network().eval()
    made = model.to_torch()
    program = torch.export.export(made, (images,))
    torch.testing.assert_close(program.module()(images), model(images))
    assert made.register_forward_hook(lambda *given: None)


def test_translated_models_become_onnx(images: Tensor) -> None:
    pytest.importorskip("onnxscript")
    file = io.BytesIO()
    torch.onnx.export(network().eval().to_torch(), (images,), file)
    assert file.getvalue()


def attention_of_two_heads_of_keys() -> ds_core.Module:
    return ds_transformer.MultiheadAttention(8, 4, num_kv_heads=2, batch_first=True)


class Twice(Sequential):
    """A forward of its own: it is not the class below it."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)

    def backward(self, grad: Tensor) -> Any:
        return super().backward(2 * grad)


@pytest.mark.parametrize(
    ("make", "shape", "by_formulas"),
    [
        (
            lambda: Sequential(Dense(4, 4), Sequential(ds_core.Residual(Dense(4, 4)), ReLU())),
            (3, 4),
            ["1.0", "1.0.module"],
        ),
        (lambda: Sequential(BatchNorm2d(2), GlobalAvgPool2d()), (3, 2, 5, 5), ["1"]),
        (lambda: Upsample(size=2, mode="bilinear", antialias=True), (1, 2, 5, 5), [""]),
        (attention_of_two_heads_of_keys, (2, 3, 8), ["", "out_proj"]),
        (
            lambda: ds_transformer.MultiheadAttention(8, 4, rotary=ds_transformer.RotaryPositions(2)),
            (2, 3, 8),
            3,
        ),
        (
            lambda: ds_transformer.TransformerEncoderLayer(
                8, 2, dropout=0.0, batch_first=True, drop_path=0.1
            ),
            (2, 3, 8),
            ["dropout1.1", "dropout2.1"],
        ),
        (lambda: Sequential(Dense(2, 3), ds_core.SpectralNorm(Dense(3, 3))), (4, 2), 2),
        (lambda: Twice(Dense(4, 4), ReLU()), (3, 4), 3),
        (lambda: Recompute(Sequential(Recompute(Dense(4, 4)), ReLU())), (3, 4), []),
        (lambda: Recompute(Twice(Recompute(Dense(4, 4)), ReLU())), (3, 4), 3),
        (lambda: ds_cnn.resnet18(num_classes=3), (2, 3, 32, 32), None),
    ],
)
def test_what_torch_has_not_runs_our_formulas(
    make: Callable[[], ds_core.Module], shape: tuple[int, ...], by_formulas: Any
) -> None:
    torch.manual_seed(0)
    ours = make().to(torch.float64)
    made, x = ours.to_torch(), (torch.randn(shape),)
    formulas = [path for path, part in made.named_modules() if type(part).__name__ == "Formulas"]
    assert by_formulas in (None, formulas, len(formulas)), formulas
    assert list(made.state_dict()) == list(ours.state_dict())
    torch.testing.assert_close(dict(made.state_dict()), dict(ours.state_dict()), rtol=0, atol=0)
    assert {id(p) for p in made.parameters()}.isdisjoint(map(id, ours.parameters()))
    for _ in range(2):  # buffers change from call to call
        for mine, theirs in zip(run(ours, x), run(made, x), strict=True):
            assert len(mine) == len(theirs)
            for a, b in zip(mine, theirs, strict=True):
                torch.testing.assert_close(a, b)
    torch.testing.assert_close(list(made.buffers()), list(ours.buffers()))


def test_formulas_take_weights_and_modes_like_any_module_of_torch() -> None:
    make = lambda: Sequential(ds_core.Residual(Sequential(Dense(4, 4), Dropout(0.5))))  # noqa: E731
    ours, made, x = make(), make().to_torch(), torch.randn(3, 4)
    made.load_state_dict(ours.state_dict())
    torch.testing.assert_close(made.eval()(x), ours.eval()(x))
    with torch.no_grad():
        made[0].module.get_submodule("0").weight.zero_()
        torch.testing.assert_close(made(x), x + ours[0].module[0].bias)
        assert made.double()(x.double()).dtype == torch.float64
        made.train()(x.double())  # nothing waits for a backward
    assert not [part for part in made[0]._ours.modules() if part._stack]
    assert "Residual()" in repr(made)
    made[0].module = nn.Linear(4, 4)
    with pytest.raises(
        TypeError, match=r"Residual\(\): expected its modules as to_torch\(\) made them, got Linear"
    ):
        made(x)


def test_what_is_shared_between_formulas_and_namesakes_stays_so() -> None:
    shared = Dense(4, 4)
    made = Sequential(shared, ds_core.Residual(shared), ds_core.Residual(shared)).to_torch()
    assert made[0].weight is made[1].module.weight
    assert made[1].module is made[2].module
    assert len(list(made.parameters())) == 2


MODELS = {
    "gpt": lambda: ds_zoo.MiniGPT(
        ds_zoo.MiniGPTConfig(vocab_size=11, n_positions=8, n_embd=8, n_layer=2, n_head=2)
    ),
    "vit": lambda: ds_zoo.MiniViT(
        ds_zoo.MiniViTConfig(
            **{"image_size": 8, "patch_size": 4, "num_channels": 1, "hidden_size": 8},
            **{"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8},
        )
    ),
    "lstm": lambda: ds_rnn.SequenceClassifier(None, 3, embedding_dim=4, hidden_size=5),
    "cnn": lambda: Sequential(
        Conv2d(1, 2, 3), ds_core.Residual(Sequential(ReLU(), BatchNorm2d(2))), GlobalAvgPool2d()
    ),
}
INPUTS = {
    "gpt": torch.arange(10).view(2, 5),
    "vit": torch.linspace(-1, 1, 128).view(2, 1, 8, 8),
    "lstm": torch.linspace(-1, 1, 24).view(2, 3, 4),
    "cnn": torch.linspace(-1, 1, 50).view(2, 1, 5, 5),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_by_formulas_are_exported(name: str, tmp_path: Path) -> None:
    ours, x = MODELS[name]().eval(), INPUTS[name]
    made = ours.to_torch()
    expected = tensors(ours(x))
    program = torch.export.export(made, (x,))
    torch.testing.assert_close(tensors(program.module()(x)), expected)
    torch.testing.assert_close(tensors(made(x)), expected)  # nothing of the export stays
    if importlib.util.find_spec("onnxscript") and importlib.util.find_spec("onnxruntime"):
        onnxruntime = importlib.import_module("onnxruntime")
        torch.onnx.export(made, (x,), tmp_path / "model.onnx", dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        got = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(got[0]), expected[0], rtol=1e-4, atol=1e-5)


LARGER = {
    "detr": lambda: ds_zoo.MiniDETR(ds_zoo.MiniDETRConfig.preset("tiny", labels=("a", "b"))),
    "maskformer": lambda: ds_zoo.MiniMaskFormer(
        ds_zoo.MiniMaskFormerConfig.preset("tiny", labels=("a", "b"))
    ),
    "clip": lambda: ds_zoo.MiniCLIP(
        ds_zoo.MiniCLIPConfig(
            ds_zoo.MiniCLIPTextConfig(
                **{"vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1},
                **{"num_attention_heads": 2, "max_position_embeddings": 4, "eos_token_id": 8},
            ),
            ds_zoo.MiniCLIPVisionConfig(
                **{"image_size": 8, "patch_size": 4, "hidden_size": 8, "intermediate_size": 8},
                **{"num_hidden_layers": 1, "num_attention_heads": 2},
            ),
            projection_dim=4,
        )
    ),
    "pools": lambda: Sequential(
        *(ds_core.Residual(made) for made in (ds_cnn.AvgPool2d(3, 1, 1), ds_cnn.MaxPool2d(3, 1, 1))),
        ds_cnn.ConvTranspose2d(1, 2, 3),
        ds_core.Residual(ds_cnn.InstanceNorm2d(2)),
    ),
}
GIVEN = {name: (x,) for name, x in INPUTS.items()} | {
    "detr": (torch.linspace(-1, 1, 6144).view(2, 3, 32, 32),),
    "maskformer": (torch.linspace(-1, 1, 6144).view(2, 3, 32, 32),),
    "clip": (torch.tensor([[1, 2, 3, 8], [4, 5, 8, 8]]), torch.linspace(-1, 1, 384).view(2, 3, 8, 8)),
    "pools": (INPUTS["cnn"],),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "maskformer" else ()) for name in GIVEN]
)
def test_models_by_formulas_are_exported_for_batches_of_any_size(name: str) -> None:
    ours, given = (MODELS | LARGER)[name]().eval(), GIVEN[name]
    batch = torch.export.Dim("batch", min=1, max=64)
    made, sizes = ours.to_torch(), tuple({0: batch} for _ in given)
    shapes = sizes if isinstance(made, nn.Sequential) else (sizes,)  # forward takes *args
    program = torch.export.export(made, given, dynamic_shapes=shapes).module()
    for size in (1, 3, 5):
        some = [x[torch.arange(size) % 2] for x in given]
        torch.testing.assert_close(tensors(program(*some)), tensors(ours(*some)), rtol=1e-4, atol=1e-5)


def test_what_is_refused_says_where_there_are_hooks() -> None:
    with pytest.raises(NotImplementedError, match=r"`observe` .* to_torch\(\) gives a torch\.nn\.Module"):
        Dense(2, 2).register_forward_hook(lambda *given: None)
    with pytest.raises(TypeError, match=r"Linear, which is not found here .* to_torch\(\)"):
        Sequential(nn.Linear(2, 2))  # type: ignore[arg-type]


def test_torch_nn_is_reached_for_only_when_asked(fresh: Any, tmp_path: Path) -> None:
    code = "import sys, ds_core\nassert 'ds_core.export' not in sys.modules\n"
    done: CompletedProcess[str] = fresh("code", code, tmp_path)
    assert done.returncode == 0, done.stderr
