"""Mixed precision: which products are low, both engines alike, and a loss scaled for float16."""

import threading

import pytest
import torch
from ds_core import (
    CrossEntropyLoss,
    Dense,
    GameTrainer,
    LayerNorm,
    LoRADense,
    Module,
    ReLU,
    Sequential,
    Trainer,
    engine,
    functional,
    precision,
)
from ds_core.kernels import low_pairs, switch
from ds_core.kernels.matmul import low
from ds_core.training import load_checkpoint
from ds_core.training.loss_scaling import LossScaling

LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}
ENGINES = [("manual", True), ("manual", False), ("autograd", True)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mlp(width=16, classes=4):
    g = seeded(1)
    return Sequential(
        Dense(6, width, generator=g), LayerNorm(width), ReLU(), Dense(width, classes, generator=g)
    )


def data(samples=64):
    x = torch.randn(samples, 6, generator=seeded())
    return x, (x[:, :4] + 0.3 * x[:, 2:]).argmax(1)


def bits(trainer):
    return [p.detach().clone() for p in trainer.model.parameters()]


# ---- what is low -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOW)
@pytest.mark.parametrize(("engine_name", "kernels"), ENGINES)
def test_dense_rounds_factors_and_adds_up_in_float32(name, engine_name, kernels):
    """The referee multiplies the rounded factors in float64: all that is left is the rounding of results."""
    layer = Dense(512, 8, generator=seeded())
    x, g = torch.randn(32, 512, generator=seeded(2)), torch.randn(32, 8, generator=seeded(3))

    def rounded(t):
        return t.detach().to(LOW[name])

    leaf = x.clone().requires_grad_(engine_name == "autograd")
    with precision(name), engine(engine_name, kernels=kernels):
        y = layer(leaf)
        grad_x = layer.backward(g) if engine_name == "manual" else y.backward(g) or leaf.grad
    wide = {key: rounded(t).double() for key, t in {"x": x, "w": layer.weight, "g": g}.items()}
    expected = {
        "y": rounded(wide["x"] @ wide["w"].T).float() + layer.bias.detach(),
        "x": rounded(wide["g"] @ wide["w"]).float(),
        "w": rounded(wide["g"].T @ wide["x"]).float(),
        "b": g.sum(0),
    }
    step = torch.finfo(LOW[name]).eps  # a sum in another order may be rounded to the neighbour
    found = {"y": y.detach(), "x": grad_x, "w": layer.weight.grad, "b": layer.bias.grad}
    for key, theirs in expected.items():
        assert found[key].dtype == torch.float32
        torch.testing.assert_close(found[key], theirs, rtol=step, atol=1e-5)
    plain = x @ layer.weight.detach().T + layer.bias.detach()
    assert not torch.allclose(y.detach(), plain, rtol=0, atol=1e-6)


def test_only_the_pairs_that_say_so_are_low():
    """Nothing but products of matrices: what sums, norms, and losses compute stays in float32."""
    assert {"linear", "bilinear", "lora"} <= low_pairs
    assert not low_pairs & {"layer_norm", "softmax", "cross_entropy", "gelu", "embedding", "lora_weight"}
    norm, x = LayerNorm(7), torch.randn(5, 7, generator=seeded())
    with precision("bf16"), engine("manual"):
        assert torch.equal(norm(x), functional.layer_norm(x, norm.weight, norm.bias, norm.eps, (1,))[0])


@pytest.mark.parametrize("name", LOW)
def test_both_engines_and_both_sides_give_the_same_gradients(name):
    x, y = data()
    found = []
    for engine_name, kernels in ENGINES:
        model, loss = (
            Sequential(LoRADense(Dense(6, 16, generator=seeded(4)), 2, generator=seeded()), mlp_head()),
            CrossEntropyLoss(),
        )
        with precision(name), engine(engine_name, kernels=kernels):
            value = loss(model(x), y)
            model.backward(loss.backward()) if engine_name == "manual" else value.backward()
        found.append([value.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=4 * torch.finfo(LOW[name]).eps, atol=1e-4)


def mlp_head():
    return Sequential(ReLU(), Dense(16, 4, generator=seeded(5)))


def test_float64_is_left_alone_and_so_is_another_thread():
    layer, x = Dense(6, 3, generator=seeded()).double(), data()[0].double()
    seen = []
    with precision("bf16"), engine("manual"):
        assert torch.equal(layer(x), x @ layer.weight.T + layer.bias)
        thread = threading.Thread(target=lambda: seen.append(switch.precision))
        thread.start()
        thread.join()
        with precision("float32"):
            assert switch.precision is None
        assert switch.precision == low(torch.bfloat16)
    assert seen == [None]
    assert switch.precision is None
    with (
        pytest.raises(ValueError, match="expected 'float32', 'bf16' or 'fp16', got 'half'"),
        precision("half"),
    ):
        pass


def test_autocast_gets_a_clear_answer():
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError, match=r"use ds_core.precision"):
        mlp()(data()[0])


# ---- in the trainer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine_name", ["manual", "autograd"])
@pytest.mark.parametrize("name", LOW)
def test_a_training_in_low_precision_reaches_what_float32_reaches(name, engine_name):
    """From three seeds: the loss differs less between types than between seeds."""
    x, y = data(128)
    reached = {}
    for kind in ("float32", name):
        for seed in range(3):
            trainer = Trainer(
                mlp(),
                "cross_entropy",
                "adamw",
                lr=1e-2,
                precision=kind,
                engine=engine_name,
                seed=seed,
                progress=False,
            )
            trainer.fit(x, y, epochs=8, batch_size=16)
            reached[kind, seed] = trainer.evaluate(x, y)["loss"]
            assert all(p.dtype == p.grad.dtype == torch.float32 for p in trainer.model.parameters())
    between = max(reached["float32", s] for s in range(3)) - min(reached["float32", s] for s in range(3))
    for seed in range(3):
        assert reached[name, seed] != reached["float32", seed]
        assert abs(reached[name, seed] - reached["float32", seed]) < max(between, 0.01)
        assert reached[name, seed] < 0.35


def test_float16_scales_the_loss_until_gradients_fit():
    """At 2^30 gradients overflow: the step is done again with half of it until they do not."""
    x, y = data()
    plain, scaled = (
        Trainer(mlp(), "cross_entropy", "sgd", lr=0.1, precision="fp16", clip_norm=1.0, progress=False)
        for _ in range(2)
    )
    scaled._scaling.scale = 2.0**30
    expected, history = plain.fit(x, y, epochs=4), scaled.fit(x, y, epochs=4)
    assert history["loss_scale"][0] < 2.0**30
    assert expected["loss_scale"] == [2.0**16] * 8
    assert history["loss"] == pytest.approx(expected["loss"], rel=2e-3)
    assert history["grad_norm"] == pytest.approx(expected["grad_norm"], rel=2e-2)


def test_a_scale_keeps_gradients_that_float16_alone_would_lose():
    x, y = data(4096)
    lost, kept = [], []
    for start, found in ((1.0, lost), (2.0**16, kept)):
        trainer = Trainer(mlp(), "cross_entropy", "sgd", lr=0.0, precision="fp16", progress=False)
        trainer._scaling.scale = start
        trainer.model[3].weight.data *= 1e-4  # small, and the mean of many: what comes below is tiny
        trainer.fit(x, y, steps=1, batch_size=None)
        found.append(trainer.model[0].weight.grad)
    with engine("manual"):
        model, loss = mlp(), CrossEntropyLoss()
        model[3].weight.data *= 1e-4
        loss(model(x), y)
        model.backward(loss.backward())
    right = model[0].weight.grad
    assert (kept[0] - right).norm() < 0.01 * right.norm()
    assert (lost[0] - right).norm() > 0.1 * right.norm()


def test_the_scale_adapts():
    scaling, p = LossScaling(8.0, patience=3), torch.zeros(2, requires_grad=True)
    p.grad = torch.tensor([8.0, torch.inf])
    assert not scaling.undo([p])
    assert (scaling.scale, scaling.clean) == (4.0, 0)
    for clean in (1, 2, 0):
        p.grad = torch.full((2,), scaling.scale)
        assert scaling.undo([p])
        assert p.grad.tolist() == [1.0, 1.0]
        assert scaling.clean == clean
    assert scaling.scale == 8.0
    scaling.scale, p.grad = 1.0, torch.full((2,), torch.nan)
    assert scaling.undo([p])  # it is not the scale's fault


@pytest.mark.parametrize("name", LOW)
def test_low_precision_resumes_bit_for_bit(tmp_path, name):
    def make(**options):
        trainer = Trainer(mlp(), "cross_entropy", "adamw", precision=name, progress=False, **options)
        if trainer._scaling:
            trainer._scaling.scale, trainer._scaling.patience = 2.0**26, 3
        return trainer

    x, y = data()
    whole, first, again = make(), make(out=tmp_path), make(out=tmp_path)
    expected = whole.fit(x, y, steps=9, batch_size=16)
    first.fit(x, y, steps=5, batch_size=16)
    if again._scaling:
        again._scaling.scale = 1.0
    assert again.fit(x, y, steps=9, batch_size=16, resume=True).to_dict() == expected.to_dict()
    assert all(map(torch.equal, bits(again), bits(whole)))
    if name == "fp16":
        assert len(set(expected["loss_scale"])) > 1
        state = load_checkpoint(tmp_path / "checkpoint.safetensors")["loss_scaling"]
        assert state == whole._scaling.state_dict()
    other = Trainer(mlp(), "cross_entropy", "adamw", progress=False, out=tmp_path)
    with pytest.raises(ValueError, match=f"precision: '{name}' in the checkpoint, 'float32' here"):
        other.fit(x, y, steps=9, batch_size=16, resume=True)


def test_what_precision_asks_for():
    with pytest.raises(TypeError, match=r"expected a model in float32.* got one in torch.float64"):
        Trainer(mlp().double(), "mse", "sgd", precision="bf16")
    with pytest.raises(ValueError, match="expected precision 'float32' or 'bf16' or 'fp16', got 'fp8'"):
        Trainer(mlp(), "mse", "sgd", precision="fp8")

    class Game(Module):
        pass

    with pytest.raises(ValueError, match="precision: expected 'float32' or 'bf16', got 'fp16'"):
        GameTrainer(Game(), {}, precision="fp16")


def test_a_loss_that_is_not_finite_is_not_blamed_on_the_scale():
    x, y = data()
    x[0, 0] = torch.inf
    trainer = Trainer(mlp(), "cross_entropy", "sgd", precision="fp16", progress=False)
    with pytest.raises(FloatingPointError, match=r"the loss is nan.* batch itself"):
        trainer.fit(x, y, steps=1, batch_size=None)


def test_numbers_beyond_float16_are_answered_with_the_type_that_has_them():
    x, y = data()
    trainer = Trainer(mlp(), "cross_entropy", "sgd", precision="fp16", progress=False)
    with pytest.raises(FloatingPointError, match=r"float16 ends at 65504: precision='bf16' goes as far"):
        trainer.fit(1e30 * x, y, steps=1, batch_size=None)
