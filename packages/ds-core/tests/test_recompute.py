"""Recompute: what the bare module gives, to the bit, from its inputs alone."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from ds_core import (
    GELU,
    BatchNorm1d,
    Dense,
    Dropout,
    LayerNorm,
    Module,
    Recompute,
    Residual,
    Sequential,
    engine,
    summary,
    xray,
)
from ds_core.finetuning import add_lora, merge_lora
from ds_core.random_state import random_state
from ds_core.verify.benchmark import peak_memory
from ds_core.xray.observe import tensors
from torch import Tensor


def mlp(generator: torch.Generator | None = None) -> Sequential:
    layers = [Dense(6, 8), Dropout(0.4, generator=generator), GELU(), LayerNorm(8), Dropout(0.2), Dense(8, 6)]
    return Sequential(*layers)


def deep(generator: torch.Generator | None = None) -> Sequential:
    return Sequential(*(Residual(mlp(generator)) for _ in range(3)))


def normalised(momentum: float | None = 0.1) -> Sequential:
    return Sequential(Dense(6, 8), BatchNorm1d(8, momentum=momentum), Dropout(0.5), Dense(8, 6))


def wrapped(module: Sequential) -> Sequential:
    """The same module with every part in a wrapper."""
    return Sequential(*(Recompute(part) for part in module.copy()))


def held(module: Module) -> list[Tensor]:
    """All tensors that wait on stacks for a backward."""
    return list(tensors([entry.values for part in module.modules() for entry in part._stack]))


def training_steps(module: Module, steps: int = 3) -> list[Tensor]:
    """Outputs, gradients, buffers and the next random numbers after some steps from one seed."""
    for part in module.modules():
        if isinstance(generator := vars(part).get("generator"), torch.Generator):
            generator.manual_seed(1)
    torch.manual_seed(2)
    seen = []
    for _ in range(steps):
        with engine("manual"):
            x, grad = torch.randn(5, 6), torch.randn(5, 6)
            output = module(x)
            seen += [output, module.backward(grad), torch.rand(3)]
            assert held(module) == []
    seen += [parameter.grad for parameter in module.parameters()]
    seen += list(module.buffers())
    seen += [
        v.get_state() for m in module.modules() for v in vars(m).values() if isinstance(v, torch.Generator)
    ]
    return seen


def assert_same_bits(module: Module, other: Module) -> None:
    ours, theirs = training_steps(other), training_steps(module)
    assert len(ours) == len(theirs) > 9
    assert all(map(torch.equal, ours, theirs))


# ---- the same bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap", [Recompute, wrapped, lambda m: Recompute(wrapped(m))], ids=["1", "n", "1 + n"]
)
@pytest.mark.parametrize(
    "make",
    [
        mlp,
        deep,
        lambda: mlp(torch.Generator()),
        lambda: deep(torch.Generator()),
        normalised,
        lambda: normalised(None),
    ],
    ids=["mlp", "deep", "mlp, generator", "deep, one generator for all", "batch norm", "batch norm, mean"],
)
def test_outputs_gradients_buffers_and_random_numbers_are_those_without_it(make, wrap):
    module = make()
    assert_same_bits(module, wrap(module.copy()))


def test_calls_pile_up_and_are_undone_last_first():
    """One wrapper three times in a row, with random numbers and running statistics that change in between."""

    def three_times(layer: Module) -> list[Tensor]:
        torch.manual_seed(0)
        with engine("manual"):
            x = torch.randn(5, 6)
            outputs = [x := layer(x) for _ in range(3)]
            grad = torch.ones(5, 6)
            grads = [grad := layer.backward(grad) for _ in range(3)]
        return [*outputs, *grads, *(p.grad for p in layer.parameters()), *layer.buffers()]

    layer = normalised()
    assert all(map(torch.equal, three_times(Recompute(layer.copy())), three_times(layer.copy())))


def test_calls_of_a_module_that_saves_nothing_itself_may_differ_in_size():
    """Only the parts inside save something: nothing of an earlier call is taken for the module's own."""
    layer = mlp()
    grads = []
    for wrap in (Recompute, lambda module: module):
        torch.manual_seed(0)
        layer.zero_grad()
        with engine("manual"):
            for rows in (3, 2):
                wrap(layer)(torch.ones(rows, 6))
            grads.append([wrap(layer).backward(torch.ones(rows, 6)) for rows in (2, 3)])
        grads[-1] += [p.grad for p in layer.parameters()]
    assert all(map(torch.equal, *grads))


def test_bare_and_wrapped_calls_of_one_module_mix():
    layer = mlp()
    both = Recompute(layer)
    grads = []
    for calls in ([layer] * 4, [layer, both, layer, both]):
        torch.manual_seed(0)
        layer.zero_grad()
        with engine("manual"):
            x = torch.randn(5, 6)
            for call in calls:
                x = call(x)
            for call in reversed(calls):
                x = call.backward(x)
        grads.append([x, *(p.grad for p in layer.parameters())])
    assert all(map(torch.equal, *grads))


class Counting(Module):
    """Its output depends on a buffer that every training forward changes, and on one that it makes."""

    def __init__(self) -> None:
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("made", None)
        self.register_buffer("constant", torch.ones(1000))

    def forward(self, x: Tensor) -> Tensor:
        if self.made is None:
            self.register_buffer("made", torch.rand(x.shape[-1]))
        if self.training:
            self.count += 1
        self.save(self.count.clone(), self.made)
        return x * self.count + self.made

    def backward(self, grad: Tensor) -> Tensor:
        count, _ = self.saved()
        return grad * count


def test_buffers_that_matter_to_the_output_are_as_they_were():
    bare = Counting()
    layer, x = Recompute(bare.copy()), torch.ones(2, 3)
    count = layer.module.count
    with engine("manual"):
        for module in (bare, layer):
            torch.manual_seed(0)
            module(x)
            module(x)
            assert module.backward(x).unique() == 2
            assert module.backward(x).unique() == 1
    assert layer.module.count is count
    assert count == 2
    assert torch.equal(layer.module.made, bare.made)


def test_a_buffer_under_two_names_stays_one():
    one, other = Counting(), Counting()
    other.count = one.count
    layer, x = Recompute(Sequential(one, other)), torch.ones(2, 3)
    with engine("manual"):
        layer(x)
        assert layer.backward(x).unique() == 2  # 1 times 2
    assert one.count is other.count
    assert one.count == 2


def test_python_s_random_numbers_are_drawn_again_too():
    class Skip(Module):
        """Leaves its module out, at random."""

        def __init__(self) -> None:
            self.module = Dense(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.save(skipped := random.random() < 0.5)
            return x if skipped else self.module(x)

        def backward(self, grad: Tensor) -> Tensor:
            (skipped,) = self.saved()
            return grad if skipped else self.module.backward(grad)

    layer, x, grad = Recompute(Skip()), torch.randn(2, 3), torch.randn(2, 3)
    seen = set()
    with engine("manual"):
        for _ in range(20):
            skipped = torch.equal(layer(x), x)
            before = random.getstate()
            assert torch.equal(layer.backward(grad), grad) == skipped
            assert random.getstate() == before
            seen.add(skipped)
    assert seen == {True, False}


class Mix(Module):
    """Two inputs, one of them by keyword, and two outputs."""

    def __init__(self) -> None:
        self.dense = Dense(3, 3)
        self.dropout = Dropout(0.5)

    def forward(self, x: Tensor, *, other: Tensor) -> tuple[Tensor, Tensor]:
        x = self.dropout(self.dense(x))
        self.save(x, other)
        return x * other, x + other

    def backward(self, grad: Tensor, grad_sum: Tensor) -> tuple[Tensor, Tensor]:
        x, other = self.saved()
        grad_x = grad * other + grad_sum
        return self.dense.backward(self.dropout.backward(grad_x)), grad * x + grad_sum


def test_several_inputs_by_position_and_keyword_and_several_outputs():
    bare = Mix()
    x, other, *grads = torch.randn(4, 2, 3)
    results = []
    for module in (bare, Recompute(bare.copy())):
        torch.manual_seed(0)
        with engine("manual"):
            outputs = module(x, other=other)
            returned = module.backward(grads[0], grad_sum=grads[1])
        results.append(
            [*outputs, *returned, module.state_dict()["dense.weight"], *map(grad_of, module.parameters())]
        )
    assert all(map(torch.equal, *results))


def grad_of(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


# ---- what is kept ------------------------------------------------------------------------------------


def test_between_forward_and_backward_only_the_inputs_are_kept():
    module = wrapped(deep())
    x = torch.randn(50, 6)
    with engine("manual"):
        module(x)
        kept = [t for t in held(module) if t.is_floating_point()]
        assert len(kept) == 3  # the input of each block
        assert kept[0] is x
        assert all(t.shape == x.shape for t in kept)
        assert all(not part._stack for block in module for part in list(block.modules())[1:])


def test_of_buffers_only_the_changed_ones_are_kept():
    module = Recompute(Counting())
    with engine("manual"):
        module(torch.ones(3))
        assert sorted(t.numel() for t in held(module) if t.is_floating_point()) == [1, 3]  # count, x


def test_a_deep_stack_takes_a_fraction_of_the_memory():
    def block() -> Residual:
        return Residual(Sequential(Dense(32, 128), GELU(), Dense(128, 32), Dropout(0.1)))

    x, depth = torch.randn(512, 32), 12
    bare = Sequential(*(block() for _ in range(depth)))
    sparing = wrapped(bare)

    def step(module: Module) -> None:
        with engine("manual"):
            module.backward(module(x))
        module.zero_grad()

    most, least = peak_memory(lambda: step(bare)), peak_memory(lambda: step(sparing))
    block_alone = peak_memory(lambda: step(Sequential(block())))
    weights = sum(p.numel() * p.element_size() for p in bare.parameters())
    assert least < most / 3
    # The inputs, the gradients of weights, and one block at work.
    assert least < depth * x.numel() * x.element_size() + weights + 1.5 * block_alone


@pytest.mark.parametrize("forget", [lambda m: m.zero_grad(), lambda m: m.eval(), lambda m: m.forget()])
def test_inputs_without_a_backward_are_forgotten(forget):
    for module in (Recompute(mlp()), Recompute(Recompute(mlp())), wrapped(mlp())):
        with torch.no_grad():
            module(torch.randn(5, 6))
        assert held(module) != []
        forget(module)
        assert held(module) == []
        with engine("manual"):
            module.train()(torch.randn(5, 6))
        assert held(module) == []


def test_pending_saves_of_the_module_are_left_alone():
    layer = Dense(3, 3)
    x, grad = torch.randn(2, 2, 3)
    with torch.no_grad():
        layer(x)
        Recompute(layer)(grad)
        Recompute(layer).backward(grad)
        assert len(layer._stack) == 1
        assert layer._stack[0].values[0].values.x is x
        assert torch.equal(layer.backward(grad), grad @ layer.weight)


def test_a_forward_that_fails_leaves_nothing():
    module = Recompute(Sequential(Dense(3, 4), Dense(3, 4)))
    with torch.no_grad(), pytest.raises(ValueError, match="expected last dimension 3"):
        module(torch.randn(2, 3))
    assert held(module) == []


# ---- as if it were not there -------------------------------------------------------------------------


def test_names_are_those_without_it():
    bare = Sequential(mlp(), normalised())
    module = Recompute(wrapped(bare))
    assert list(module.state_dict()) == list(bare.state_dict())
    assert [n for n, _ in module.named_parameters()] == [n for n, _ in bare.named_parameters()]
    assert [n for n, _ in module.named_buffers()] == [n for n, _ in bare.named_buffers()]
    assert [n for n, _ in module.named_modules()] == [n for n, _ in bare.named_modules()]
    assert random_state(m=module)["sources"].keys() == random_state(m=bare)["sources"].keys()
    for path, part in module.named_modules():
        assert module.get_submodule(path) is part
    for path, parameter in module.named_parameters():
        assert module.get_parameter(path) is parameter
    for path, buffer in module.named_buffers():
        assert module.get_buffer(path) is buffer
    bare.load_state_dict(Recompute(wrapped(mlp_pair())).state_dict())
    module.load_state_dict(bare.state_dict())
    assert all(map(torch.equal, module.parameters(), bare.parameters()))


def mlp_pair() -> Sequential:
    return Sequential(mlp(), normalised())


def test_modes_are_the_module_s():
    module = Recompute(mlp().eval())
    assert not module.training
    assert module.train().training
    assert all(part.training for part in module.module.modules())
    assert not module.eval().training
    x = torch.randn(2, 6)
    with torch.no_grad():
        assert torch.equal(module(x), module.module(x))
    assert held(module) == []


def test_types_change_with_the_module():
    module = Recompute(mlp()).to(torch.float64)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float64}


def test_torch_s_tape_sees_the_bare_module():
    bare = normalised()
    module = Recompute(bare.copy())
    grads = []
    for layer in (bare, module):
        torch.manual_seed(0)
        with engine("autograd"):
            layer(torch.randn(5, 6)).square().sum().backward()
        assert held(layer) == []
        grads.append([*(p.grad for p in layer.parameters()), *layer.buffers()])
    assert all(map(torch.equal, *grads))


def test_the_input_s_gradient_is_left_out_if_unwanted():
    module = Sequential(Recompute(Sequential(Dense(3, 4), Dense(4, 2)))).requires_input_grad_(False)
    assert not module[0].module[0].input_grad
    assert module[0].module[1].input_grad
    with engine("manual"):
        module(torch.randn(5, 3))
        assert module.backward(torch.randn(5, 2)) is None
    assert module[0].module[0].weight.grad is not None
    assert module.requires_input_grad_()[0].module[0].input_grad


def test_copies_are_independent():
    module = Recompute(mlp())
    for other in (module.copy(), copy.deepcopy(module)):
        assert other._stack is other.module._stack
        assert other._stack is not module._stack
        with torch.no_grad():
            other(torch.randn(5, 6))
        assert held(module) == []
        other.forget()
        assert_same_bits(module, other)
        module.zero_grad()


def test_tools_that_look_into_models_see_the_module():
    bare = deep()
    module = wrapped(bare)
    x = torch.randn(5, 6)
    assert str(summary(module, x)) == str(summary(bare, x))
    torch.manual_seed(0)
    view = xray(bare, x)
    torch.manual_seed(0)
    sparing = xray(module, x)
    assert [layer.path for layer in sparing.layers] == [layer.path for layer in view.layers]
    assert [layer.calls for layer in sparing.layers] == [layer.calls for layer in view.layers]
    assert sparing.forward_flops == view.forward_flops
    assert sparing.backward_flops == view.backward_flops + view.forward_flops  # forward runs again
    assert "Recompute" in repr(module)


def test_parts_are_replaced_by_the_names_they_have_without_it():
    module = Sequential(Recompute(Sequential(Dense(6, 8), GELU(), Dense(8, 6))))
    module.set_submodule("0.1", LayerNorm(8), strict=True)
    assert isinstance(module[0].module[1], LayerNorm)
    adapted = add_lora(module.copy(), 2, layers="0.0")
    assert [n for n, p in adapted.named_parameters() if p.requires_grad] == ["0.0.lora_A", "0.0.lora_B"]
    x = torch.randn(5, 6)
    assert torch.equal(merge_lora(adapted).eval()(x), module.eval()(x))
    assert "Recompute" in repr(adapted)


# ---- errors ------------------------------------------------------------------------------------------


def test_backward_without_forward_says_whose():
    module = Recompute(Dense(3, 4))
    message = r"Recompute\(Dense\(3, 4\)\): backward without a matching forward: each forward allows one"
    with torch.no_grad():
        module(torch.randn(2, 3))
        module.backward(torch.randn(2, 4))
        with pytest.raises(RuntimeError, match=message):
            module.backward(torch.randn(2, 4))


def test_only_modules_can_be_wrapped():
    with pytest.raises(TypeError, match=r"Recompute: expected module to be a Module of ds_core, got .Dense."):
        Recompute("Dense")
