"""Side-by-side measurement: what is compared does the same work, memory is counted, a turn is fair."""

from functools import partial

import pytest
import torch
from ds_core import SGD, Dense, Module
from ds_core.verify import benchmark
from ds_core.verify.benchmark import Sides, layer, peak_memory, step
from torch import nn


def test_peak_memory_counts_what_lives_at_once():
    mebibyte = 2**20

    def one_after_the_other():
        for _ in range(3):
            torch.empty(mebibyte, dtype=torch.uint8)

    def together():
        return [torch.empty(mebibyte, dtype=torch.uint8) for _ in range(3)]

    assert peak_memory(one_after_the_other) == mebibyte
    assert peak_memory(together) == 3 * mebibyte


def test_a_turn_gives_the_least_time_of_each(monkeypatch):
    clock = [0.0]  # a clock that only the calls move

    def wait(seconds):
        clock[0] += seconds.pop(0) if len(seconds) > 1 else seconds[0]

    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(benchmark.time, name, lambda: clock[0])
    ours, theirs = partial(wait, [0.008, 0.004]), partial(wait, [0.003, 0.001])
    assert benchmark.turn([ours, theirs], 0.05) == pytest.approx([4, 1])


def test_a_turn_has_rounds_in_both_orders():
    seen = []
    benchmark.turn([partial(seen.append, "ours"), partial(seen.append, "theirs")], 0.0)
    assert seen == ["ours", "theirs", "theirs", "ours"]


def test_the_referee_at_its_best_multiplies_as_it_likes():
    seen = []
    note = lambda: seen.append(torch.get_float32_matmul_precision())  # noqa: E731
    for call in Sides(note, note, [note]).contenders():
        call()
    assert seen == ["highest", "highest", "medium"]
    assert torch.get_float32_matmul_precision() == "highest"
    assert len(Sides(note, note).contenders()) == 3


def test_a_layer_is_compared_with_float64():
    sides = layer(Dense(5, 3), nn.Linear(5, 3), torch.randn(4, 5))
    assert all(0 < error < 1e-5 for error in sides.errors())
    assert sides.flops() == 3 * 2 * 4 * 5 * 3  # forward, and the gradients of weights and input


@pytest.mark.parametrize(("wrong", "wanted"), [("weights", 0), ("input", 1)])
def test_sides_that_do_different_things_are_refused(wrong, wanted):
    def ours(module: Module, x: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
        module(x)
        grad_x = module.backward(grad * (2 if wrong == "weights" else 1))
        return grad_x * (2 if wrong == "input" else 1)

    def theirs(module: nn.Module, x: torch.Tensor, grad: torch.Tensor) -> None:
        module(x).backward(grad)

    model, referee = Dense(5, 3), nn.Linear(5, 3)
    referee.load_state_dict(model.state_dict())
    sides = step(model, referee, (torch.randn(4, 5), torch.randn(4, 3)), ours, theirs, wanted=wanted)
    with pytest.raises(ValueError, match="do not do the same"):
        sides.errors()


def test_a_step_updates_both_and_tries_the_fused_optimizer():
    def ours(module: Module, x: torch.Tensor) -> None:
        module.backward(torch.ones_like(module(x)))

    def theirs(module: nn.Module, x: torch.Tensor) -> None:
        module(x).sum().backward()

    model, referee = Dense(5, 3), nn.Linear(5, 3)
    referee.load_state_dict(model.state_dict())
    updates = partial(SGD, lr=0.1), partial(torch.optim.SGD, lr=0.1)
    clip = nn.utils.clip_grad_norm_
    sides = step(
        *(model, referee, (torch.randn(4, 5),), ours, theirs),
        update=updates[0],
        their_update=updates[1],
        their_clip=clip,
    )
    before = model.weight.clone()
    for call in (sides.ours, sides.theirs):
        call()
    assert not torch.equal(before, model.weight)
    torch.testing.assert_close(model.weight.detach(), referee.weight.detach())
    (fused,) = sides.best
    sides.ours(), fused()
    torch.testing.assert_close(model.weight.detach(), referee.weight.detach())


def test_operations_are_counted_for_one_call():
    x = torch.randn(8, 8)
    count, ms = benchmark.operations(lambda: (x @ x, x @ x), 0.01)["mm"]
    assert count == 2
    assert ms > 0
