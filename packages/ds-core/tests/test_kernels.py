"""The rule that picks between a formula and its kernel, and what Module checks around both passes."""

import ast
import asyncio
import threading
from pathlib import Path

import pytest
import torch
from ds_core import (
    CrossEntropyLoss,
    Dense,
    Flatten,
    LayerNorm,
    LeakyReLU,
    Module,
    Parameter,
    ReLU,
    Sequential,
    Sigmoid,
    engine,
    keep_for_second,
)
from ds_core.kernels import declared, runs
from ds_core.layers import dense
from ds_core.verify import check_gradients


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def norm(*shape, dtype=torch.float64):
    layer = LayerNorm(shape, dtype=dtype)
    layer.weight.data.copy_(draw(*shape, seed=7))
    return layer


# ---- which side runs -------------------------------------------------------------------------------------


def step(layer, x, grad):
    return layer(x), layer.backward(grad)


def test_the_kernel_runs_under_the_manual_engine():
    with engine("manual"), runs() as ran:
        step(norm(5), draw(4, 5), draw(4, 5))
    assert ran == {"LayerNormKernel.forward": 1, "LayerNormKernel: rows": 1, "LayerNormKernel.backward": 1}


def test_the_formula_runs_where_kernels_are_off():
    with engine("manual", kernels=False), engine("manual"), runs() as ran:
        step(norm(5), draw(4, 5), draw(4, 5))
    assert ran == {"layer_norm": 1, "layer_norm_backward": 1}
    with engine("manual"), runs() as ran:
        norm(5)(draw(4, 5))
    assert ran == {"LayerNormKernel.forward": 1, "LayerNormKernel: rows": 1}


def test_the_formula_runs_under_autograd():
    with engine("autograd"), runs() as ran:
        norm(5)(draw(4, 5)).sum().backward()
    assert ran == {"layer_norm": 1}


def test_the_formula_runs_for_types_the_kernel_does_not_serve():
    with engine("manual"), runs() as ran:
        step(norm(5, dtype=torch.float16), draw(4, 5).half(), draw(4, 5).half())
    assert ran["LayerNormKernel.forward"] == 1  # it is computed in float32
    assert all(kernel.dtypes or kernel.backward is None for kernel in declared("ds_core"))


def test_a_backward_meets_the_side_of_its_forward():
    layer, x, grad = norm(5), draw(4, 5), draw(4, 5)
    with torch.no_grad(), runs() as ran:
        layer(x)
        with engine("manual", kernels=False):
            layer.backward(grad)
    assert ran == {"LayerNormKernel.forward": 1, "LayerNormKernel: rows": 1, "LayerNormKernel.backward": 1}


def test_nobody_computes_what_nobody_wants():
    layer = norm(5).requires_input_grad_(False)
    layer.weight.requires_grad_(False)
    for kernels in (True, False):
        with engine("manual", kernels=kernels):
            assert step(layer, draw(4, 5), draw(4, 5))[1] is None
        assert layer.weight.grad is None
        assert layer.bias.grad is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    layer, x = norm(64, dtype=dtype), (draw(8, 64) * 600).to(dtype)
    exact = norm(64)
    exact.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    for kernels in (True, False):
        layer.zero_grad()
        with engine("manual", kernels=kernels):
            y, grad_x = step(layer, x, draw(8, 64).to(dtype))
        with engine("manual"):
            expected, expected_grad = step(exact, x.double(), draw(8, 64).to(dtype).double())
        assert y.dtype == grad_x.dtype == layer.weight.grad.dtype == dtype
        eps = torch.finfo(dtype).eps
        assert (y - expected).abs().max() <= eps * expected.abs().max()
        assert (grad_x - expected_grad).abs().max() <= eps * expected_grad.abs().max()


# ---- second gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (2, 3)])
def test_second_gradients_are_those_of_autograd(shape):
    layer, x, grad, v = norm(*shape), draw(4, *shape), draw(4, *shape, seed=1), draw(4, *shape, seed=2)
    with engine("manual"), keep_for_second():
        step(layer, x, grad)
        layer.weight.grad = layer.bias.grad = None
        grad_of_grad = layer.second_backward(v)
        grad_weight = layer.weight.grad.clone()
        grad_x = layer.backward(torch.zeros_like(grad))
    assert not layer._stack
    assert not layer._second
    layer.zero_grad()
    with torch.enable_grad():
        x, grad = x.requires_grad_(), grad.requires_grad_()
        (first,) = torch.autograd.grad(layer(x), x, grad, create_graph=True)
        expected = torch.autograd.grad((first * v).sum(), [grad, x, layer.weight])
    for ours, theirs in zip((grad_of_grad, grad_x, grad_weight), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_second_gradients_of_a_critic_are_those_of_autograd():
    torch.manual_seed(0)
    critic = Sequential(Flatten(), Dense(6, 5), LayerNorm(5), LeakyReLU(0.2), Dense(5, 1)).to(torch.float64)
    x = draw(4, 2, 3)

    def penalty(grad_x):
        return ((grad_x.flatten(1).norm(dim=1) - 1) ** 2).mean()

    with engine("manual"), keep_for_second():
        score = critic(x)
        grad_x = critic.backward(torch.ones_like(score))
        for parameter in critic.parameters():
            parameter.grad = None
        norms = grad_x.flatten(1).norm(dim=1).view(-1, 1, 1)
        critic.second_backward(2 / len(x) * (norms - 1) * grad_x / norms)
        ours_x = critic.backward(torch.zeros_like(score))
    assert not any(layer._stack or layer._second for layer in critic.modules())
    ours = {name: p.grad for name, p in critic.named_parameters()}
    x.requires_grad_()
    with torch.enable_grad():
        (grad_x,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        theirs_x, *theirs = torch.autograd.grad(
            penalty(grad_x), [x, *critic.parameters()], allow_unused=True, materialize_grads=True
        )
    torch.testing.assert_close(ours_x, theirs_x, rtol=1e-10, atol=1e-12)
    for (name, mine), other in zip(ours.items(), theirs, strict=True):
        torch.testing.assert_close(
            mine, other, rtol=1e-10, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}"
        )


def test_a_wrong_second_gradient_is_seen(monkeypatch):
    def wrong(grad_grad, grad, saved):
        return grad_grad @ saved[1].weight.T, grad_grad.T @ grad  # the weight's is transposed

    assert check_gradients(Dense(3, 3), draw(4, 3), max_entries=4).ok
    monkeypatch.setattr(dense, "linear_second_backward", wrong)
    report = check_gradients(Dense(3, 3), draw(4, 3), max_entries=4)
    assert [name for name, _ in report.problems] == ["second: weight"]
    assert "transposed" in report.problems[0][1]


def test_a_frozen_weight_needs_no_second_gradient():
    critic = Sequential(Dense(3, 4), LeakyReLU(0.2), LayerNorm(4), Dense(4, 1))
    critic[0].requires_grad_(False)
    report = check_gradients(critic, draw(4, 3), max_entries=4)
    assert report.ok
    assert "second: 3.weight" in [row.name for row in report.rows]
    assert "second: 0.weight" not in [row.name for row in report.rows]


def test_a_backward_of_ones_own_inherits_no_second_gradients():
    class Twice(Sequential):
        def forward(self, input):
            return 2 * super().forward(input)

        def backward(self, grad):
            return super().backward(2 * grad)

    class Named(Sequential):
        pass

    assert check_gradients(Twice(Dense(3, 3)), draw(4, 3), max_entries=4).ok
    with engine("manual"), keep_for_second():
        layers = Twice(Dense(3, 3, dtype=torch.float64))
        step(layers, draw(4, 3), draw(4, 3))
        with pytest.raises(NotImplementedError, match=r"Twice\(\) offers no second gradients"):
            layers.second_backward(draw(4, 3))
    report = check_gradients(Named(Dense(3, 3)), draw(4, 3), max_entries=4)
    assert "second: g" in [row.name for row in report.rows]


def test_what_offers_no_second_gradients_says_so():
    with engine("manual"), keep_for_second():
        layer = Sigmoid()
        step(layer, draw(3), draw(3))
        with pytest.raises(NotImplementedError, match=r"Sigmoid.*offers no second gradients"):
            layer.second_backward(draw(3))
        layers = Sequential(Dense(3, 3, dtype=torch.float64), Sigmoid())
        step(layers, draw(3), draw(3))
        with pytest.raises(NotImplementedError, match=r"Sigmoid.*offers no second gradients"):
            layers.second_backward(draw(3))
        with pytest.raises(RuntimeError, match="second_backward without a backward"):
            norm(5).second_backward(draw(5))


def test_nothing_kept_for_a_second_backward_leaks():
    layer = norm(5)
    with engine("manual"), keep_for_second():
        step(layer, draw(4, 5), draw(4, 5))
        assert len(layer._second) == 1
    assert not layer._second


# ---- gradients of a wrong shape, and what was changed in place -------------------------------------------


@pytest.mark.parametrize(
    ("module", "shape", "wrong"),
    [
        (norm(3), (4, 3), (3, 4)),
        (ReLU(), (2, 3), ()),
        (Dense(3, 1).to(torch.float64), (4, 3), ()),
        (Dense(3, 1).to(torch.float64), (4, 3), (4,)),
        (Sequential(Dense(3, 1).to(torch.float64)), (4, 3), (1, 4)),
    ],
)
def test_a_gradient_of_another_shape_is_refused(module, shape, wrong):
    with engine("manual"):
        y = module(draw(*shape))
        with pytest.raises(ValueError, match=r"expected a gradient of the shape \(.*\) of what forward gave"):
            module.backward(draw(*wrong))
        module.backward(draw(*y.shape))  # nothing is lost


class Scale(Module):
    def __init__(self, grad):
        self.weight, self.grad = Parameter(torch.ones(3)), grad

    def forward(self, x):
        self.save(x)
        return self.weight * x

    def backward(self, grad):
        (x,) = self.saved()
        self.add_grad("weight", self.grad(x, grad))
        return self.weight * grad


@pytest.mark.parametrize(
    ("grad", "cause"),
    [
        (lambda x, g: x * g, "a row per example; sum over the batch"),
        (lambda x, g: (x * g).sum((0, 1), keepdim=True), "was a dimension of size 1 kept or dropped"),
        (lambda x, g: (x * g).sum(), "summed over too much"),
    ],
)
def test_a_parameters_gradient_of_another_shape_names_the_usual_cause(grad, cause):
    layer = Scale(grad)
    with engine("manual"):
        layer(torch.ones(2, 4, 3))
        with pytest.raises(ValueError, match=f"gradient of weight.*{cause}"):
            layer.backward(torch.ones(2, 4, 3))


def test_a_change_in_place_of_what_was_saved_is_noticed():
    layer = Sigmoid()
    with engine("manual"):
        y = layer(draw(4, 3))
        y += 1
        with pytest.raises(RuntimeError, match=r"Sigmoid.*changed in place since \(one of shape \(4, 3\)\)"):
            layer.backward(draw(4, 3))


# ---- each thread has engines of its own ------------------------------------------------------------------


def train(seed, steps=40):
    generator = torch.Generator().manual_seed(seed)
    model = Sequential(Dense(6, 16, generator=generator), ReLU(), Dense(16, 3, generator=generator))
    loss, x = CrossEntropyLoss(), torch.randn(32, 6, generator=generator)
    target = torch.randint(3, (32,), generator=generator)
    for _ in range(steps):
        with engine("manual"):
            loss(model(x), target)
            model.backward(loss.backward())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
        model.zero_grad()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("count", [2, 4])
def test_threads_give_the_bits_of_one_after_the_other(count):
    alone = [train(seed) for seed in range(count)]
    together = [None] * count

    def work(seed):
        together[seed] = train(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, expected in zip(together, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


def test_a_block_that_crosses_an_await_says_so():
    async def crossing(first, second):
        with engine("manual"):
            first.set()
            await second.wait()

    async def both():
        begun, release, never = asyncio.Event(), asyncio.Event(), asyncio.Event()
        outer = asyncio.create_task(crossing(begun, release))
        await begun.wait()
        inner = asyncio.create_task(crossing(asyncio.Event(), never))
        await asyncio.sleep(0)
        release.set()
        try:
            await outer
        finally:
            never.set()
            await asyncio.gather(inner, return_exceptions=True)

    def run():
        try:
            asyncio.run(both())
        except RuntimeError as error:
            caught.append(str(error))

    caught = []
    thread = threading.Thread(target=run)  # of its own: what the crossing leaves behind ends with it
    thread.start()
    thread.join()
    assert "may not cross an await" in caught[0]


def test_nothing_in_a_kernel_is_asked_for_by_a_formula():
    folder = Path(__import__("ds_core.functional").functional.__file__).parent
    for file in folder.glob("*.py"):
        imports = [
            node.module or ""
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        ]
        assert not any(".kernels" in name for name in imports), file


def test_counts_of_nested_blocks_are_kept_apart():
    with runs() as outer, engine("manual"):
        with runs() as inner:
            pass
        norm(5)(draw(4, 5))
    assert (dict(outer), dict(inner)) == ({"LayerNormKernel.forward": 1, "LayerNormKernel: rows": 1}, {})


@pytest.mark.parametrize("make", [lambda: Dense(5, 5), lambda: norm(5)], ids=["Dense", "LayerNorm"])
def test_a_parameter_keeps_no_gradient_that_a_formula_was_given(make):
    layer, grad = make().double(), draw(5, seed=1)
    given = grad.clone()
    with engine("manual", kernels=False):
        for _ in range(2):
            layer(draw(5))
            layer.backward(grad)
    assert torch.equal(grad, given)
    assert torch.equal(layer.bias.grad, 2 * given)
