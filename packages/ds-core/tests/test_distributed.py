"""Several processes that train one model find what one process finds with the same batches."""

import os
import pickle
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from ds_core import (
    SGD,
    BatchNorm1d,
    Callback,
    CrossEntropyLoss,
    CSVLog,
    Dense,
    Dropout,
    Embedding,
    GameTrainer,
    LayerNorm,
    Module,
    MSELoss,
    Parameter,
    Recompute,
    Sequential,
    SpectralNorm,
    Tanh,
    Trainer,
)
from ds_core.distributed import (
    GradientBuckets,
    ProcessLost,
    alone,
    gather_rows,
    gather_rows_backward,
    rows_of,
    world,
)
from ds_core.training import load_checkpoint, to_resume
from ds_core.training.batches import Batches, Named, part_of
from processes import started, together
from torch import Tensor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has imported torch")

DOUBLE = torch.float64
History = dict[str, Any]
Weights = dict[str, Tensor]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*size: int) -> Tensor:
    return torch.randn(*size, generator=draw(sum(size)), dtype=DOUBLE)


def weights_of(model: Module) -> Weights:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


def assert_same(found: Weights, expected: Weights, tolerance: float = 1e-9) -> None:
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=tolerance, atol=tolerance)


# ---- the same results ----------------------------------------------------------------------------------


class Tied(Module):
    """A layer used twice, and one weight in two layers."""

    def __init__(self) -> None:
        self.tokens = Embedding(11, 8, generator=draw())
        self.dense = Dense(8, 8, generator=draw())
        self.norm = LayerNorm(8)
        self.head = Dense(8, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.norm(self.dense(self.dense(self.tokens(ids)))))

    def backward(self, grad: Tensor) -> None:
        g = self.norm.backward(self.head.backward(grad))
        self.tokens.backward(self.dense.backward(self.dense.backward(g)))


def texts() -> tuple[Tensor, Tensor]:
    x, y = torch.randint(11, (45, 6), generator=draw(1)), torch.randint(11, (45, 6), generator=draw(2))
    return x, y.masked_fill(x == 3, -100)  # so many targets count that no two parts have the same number


def trained(options: dict[str, Any]) -> tuple[History, Weights]:
    model, (x, y) = Tied().to(DOUBLE), texts()
    options = {"clip_norm": 0.5, "lr": 1e-2, "progress": False, **options}
    trainer = Trainer(model, CrossEntropyLoss(dim=-1), "adamw", **options)
    history = trainer.fit(x, y, validation=(x, y), epochs=2, batch_size=11)  # the last one has a single text
    return history.to_dict(), weights_of(model)


@pytest.mark.parametrize(
    ("size", "options"), [(2, {}), (4, {}), (2, {"accumulate": 3}), (4, {"engine": "autograd"})]
)
def test_several_processes_do_what_one_does(size: int, options: dict[str, Any]) -> None:
    history, weights = trained(options)
    found = together(size, trained, options)
    for other_history, other_weights in found:
        for kind in ("train", "validation"):
            assert other_history[kind].keys() == history[kind].keys()
            for name, values in history[kind].items():
                assert other_history[kind][name] == pytest.approx(values, rel=1e-6)
        assert_same(other_weights, weights, 1e-6)
        assert_same(other_weights, found[0][1], 0)


def mixed_model() -> Sequential:
    """Layers whose gradients end in ways of their own."""
    again = Recompute(Sequential(Dense(6, 6, generator=draw(1)), Tanh()))
    return Sequential(
        Dense(5, 6, generator=draw()),
        again,
        again,
        SpectralNorm(Dense(6, 6, generator=draw(2)), generator=draw(3)),
        Dense(6, 2, generator=draw(4)),
    ).to(DOUBLE)


def regressed(batch_size: int) -> Weights:
    model = mixed_model()
    x, y = (
        torch.randn(12, 5, generator=draw(5), dtype=DOUBLE),
        torch.randn(12, 2, generator=draw(6), dtype=DOUBLE),
    )
    trainer = Trainer(model, "mse", SGD(model.parameters(), lr=0.1, momentum=0.9), progress=False)
    trainer.fit(x, y, steps=8, batch_size=batch_size)
    return weights_of(model)


def test_whatever_ends_a_gradient_it_is_complete() -> None:
    expected = regressed(6)
    for found in together(2, regressed, 6):
        assert_same(found, expected)


def summed(reduction: str) -> list[float]:
    model = Dense(3, 1, generator=draw()).to(DOUBLE)
    trainer = Trainer(model, MSELoss(reduction=reduction), "sgd", lr=0.01, progress=False)
    x = torch.randn(5, 3, generator=draw(1), dtype=DOUBLE)
    return trainer.fit(x, x.sum(1, keepdim=True), steps=4, batch_size=None)["loss"]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_more_processes_than_samples(reduction: str) -> None:
    expected = summed(reduction)
    for found in together(4, summed, reduction)[:1]:
        assert found == pytest.approx(expected, rel=1e-9)


class Thaw(Callback):
    """Thaws one layer and gives another to the optimizer, in the middle of a training."""

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == 2:
            trainer.model[1].requires_grad_()
            trainer.optimizer.add_param_group({"params": trainer.model[0].parameters(), "lr": 0.2})


def thawed() -> Weights:
    model = Sequential(*(Dense(3, 3, generator=draw(seed)) for seed in range(3))).to(DOUBLE)
    model[1].requires_grad_(False)
    optimizer = SGD([*model[1].parameters(), *model[2].parameters()], lr=0.1)
    Trainer(model, "mse", optimizer, callbacks=[Thaw()], progress=False).fit(
        normal(20, 3), normal(4, 15).view(20, 3), steps=6, batch_size=5
    )
    return weights_of(model)


def test_what_is_thawed_in_the_middle_is_trained_together() -> None:
    weights = thawed()
    for other in together(2, thawed):
        assert_same(other, weights)


# ---- games ---------------------------------------------------------------------------------------------


class Pull(Module):
    """Two players pull at one another's number; the data say how far away each sample is."""

    def __init__(self) -> None:
        self.left, self.right = Dense(2, 1, generator=draw()), Dense(2, 1, generator=draw(1))

    def play(self, batches: Any, optimizers: Any) -> dict[str, Tensor]:
        for name, sign in (("left", 1.0), ("right", -1.0)):
            for x, y in batches:
                optimizers[name].zero_grad()
                gap = self.left(x) - self.right(x) - y
                loss = gap.square().mean()
                grad = 2 * gap / gap.numel()
                (self.left if name == "left" else self.right).backward(grad if sign > 0 else -grad)
                self.forget()
                optimizers[name].step()
        return {"loss": loss, "gap": gap.mean()}


class GiveBias(Callback):
    """Gives a player's bias to its optimizer, in the middle of a training."""

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == 2:
            assert isinstance(trainer, GameTrainer)
            trainer.optimizers["left"].add_param_group({"params": [trainer.model.left.bias]})


def game_trainer(out: Path | None = None) -> GameTrainer:
    game = Pull().to(DOUBLE)
    optimizers = {
        "left": SGD([game.left.weight], lr=0.1, momentum=0.5),
        "right": SGD(game.right.parameters(), lr=0.05),
    }
    return GameTrainer(game, optimizers, batches=2, callbacks=[GiveBias()], progress=False, out=out)


def played(samples: int = 20) -> tuple[list[float], Weights]:
    trainer = game_trainer()
    x, y = (
        torch.randn(samples, 2, generator=draw(1), dtype=DOUBLE),
        torch.randn(samples, 1, generator=draw(2), dtype=DOUBLE),
    )
    history = trainer.fit(x, y, steps=5, batch_size=5)
    return history["gap"], weights_of(trainer.model)


def test_a_game_of_several_processes_is_that_of_one() -> None:
    gaps, weights = played()
    for other_gaps, other_weights in together(2, played):
        assert other_gaps == pytest.approx(gaps, rel=1e-9)
        assert_same(other_weights, weights)


def test_a_game_resumes_with_a_group_that_a_callback_has_added(tmp_path: Path) -> None:
    x, y = normal(20, 2), normal(20, 1)
    straight, resumed = game_trainer(), game_trainer(tmp_path)
    straight.fit(x, y, steps=6, batch_size=5)
    game_trainer(tmp_path).fit(x, y, steps=4, batch_size=5)
    resumed.fit(x, y, steps=6, batch_size=5, resume=True)
    assert_same(weights_of(resumed.model), weights_of(straight.model), 0)
    with pytest.raises(TypeError, match="expected a group in the optimizer of one player"):
        resumed.optimizer.add_param_group({"params": [Parameter(torch.ones(1))]})


def played_unevenly() -> str:
    with pytest.raises(ValueError, match=r"equally many samples, .* got 3 and 5") as error:
        played(18)
    return str(error.value)


def test_a_round_of_uneven_batches_is_refused() -> None:
    """Each process would weigh a batch by what it has of all of them."""
    assert len(set(together(2, played_unevenly))) == 1


# ---- when gradients leave ------------------------------------------------------------------------------


class Late(Module):
    """Adds to a weight of a layer after that layer's backward has ended."""

    def __init__(self) -> None:
        self.below, self.above = Dense(3, 3, generator=draw()), Dense(3, 3, generator=draw(1))
        self.never = Parameter(torch.ones(2))
        self.times = 1

    def forward(self, x: Tensor) -> Tensor:
        self.save()
        return self.above(self.below(x))

    def backward(self, grad: Tensor) -> Any:
        self.saved()
        grad_x = self.below.backward(self.above.backward(grad))
        self.above.add_grad("weight", torch.full((3, 3), float(self.times)))
        return grad_x


def sent(late: bool) -> tuple[list[tuple[bool, bool]], Weights, bool]:
    here = world()
    assert here is not None
    model: Any = Late() if late else Sequential(Dense(3, 3, generator=draw()), Dense(3, 3, generator=draw(1)))
    buckets, left = GradientBuckets(list(model.parameters()), [model], here, limit=1, first=1), []
    below, above = (model.below, model.above) if late else model
    send = buckets._send

    def noted() -> None:
        left.append((bool(above._stack), bool(below._stack)))
        send()

    buckets._send = noted  # type: ignore[method-assign]
    x = torch.full((2, 3), 1.0 + here.rank)
    with torch.no_grad(), buckets.listening():
        model.train()(x)
        model.backward(torch.ones(2, 3))
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    sums = {name: grad.clone() for name, grad in grads.items()}
    for grad in sums.values():
        here.sum_(grad)
    buckets.finish()
    assert_same({n: p.grad for n, p in model.named_parameters() if p.grad is not None}, sums, 1e-6)
    return left, sums, buckets._at_the_end


def test_gradients_leave_while_the_layers_below_compute() -> None:
    for left, sums, at_the_end in together(2, sent, False):
        # Those of the layer above, while the layer below still waits for its backward.
        assert left == [(False, True)] * 2 + [(False, False)] * 2
        assert len(sums) == 4
        assert not at_the_end


def test_a_gradient_that_changes_after_it_has_left_is_sent_again() -> None:
    for left, sums, at_the_end in together(2, sent, True):
        assert len(left) == 10  # each of five parameters, and once more
        assert sums.keys() == {
            f"{layer}.{name}" for layer in ("below", "above") for name in ("weight", "bias")
        }
        assert at_the_end


def one_sided() -> list[Tensor | None]:
    """A parameter has a gradient in process 1 alone, and another in none."""
    here = world()
    assert here is not None
    parameters = [Parameter(torch.zeros(2)) for _ in range(3)]
    buckets = GradientBuckets(parameters, [], here)
    parameters[0].grad = torch.ones(2)
    parameters[1].grad = torch.full((2,), 5.0) if here.rank else None
    sums = buckets.finish(1.0 + here.rank)
    assert sums == [3.0]
    return [parameter.grad for parameter in parameters]


def test_who_has_no_gradient_takes_part() -> None:
    for first, second, third in together(2, one_sided):
        assert first.tolist() == [2.0, 2.0]
        assert second.tolist() == [5.0, 5.0]
        assert third is None


def test_nothing_is_told_where_nobody_listens() -> None:
    from ds_core.engines import _blocks

    assert world() is None
    assert _blocks.listener is None


# ---- parts of a batch ----------------------------------------------------------------------------------


def test_rows_are_shared_out() -> None:
    for count in range(9):
        rows = [row for rank in range(4) for row in range(count)[rows_of(count, rank, 4)]]
        assert rows == list(range(count))
        sizes = [len(range(count)[rows_of(count, rank, 4)]) for rank in range(4)]
        assert max(sizes) - min(sizes) <= 1


def test_a_batch_is_divided_however_nested() -> None:
    x = torch.arange(6).view(3, 2)
    batch = [x, ({"boxes": [1, 2, 3], "x": x}, None, True), Named({"x": x}), torch.tensor(7)]
    part = Batches([]).part(batch, slice(1, 3))
    assert part[0].tolist() == [[2, 3], [4, 5]]
    assert part[1][0]["boxes"] == [2, 3]
    assert part[1][1:] == (None, True)
    assert isinstance(part[2], Named)
    assert part[3] == 7
    with pytest.raises(ValueError, match=r"a batch of 3 samples .* got 2; .* part\(batch, rows\)"):
        part_of([x, x], slice(0, 1), 3)


class OwnPart(list[Any]):
    """Batches that say how they are divided."""

    def part(self, batch: Any, rows: slice) -> Any:
        return [item[:, rows] for item in batch]


def test_data_may_divide_their_batches_themselves() -> None:
    x = torch.arange(6).view(2, 3)
    assert Batches(OwnPart()).part([x], slice(0, 1))[0].tolist() == [[0], [3]]


def gathered() -> tuple[Tensor, Tensor]:
    here = world()
    assert here is not None
    x = torch.arange(5.0)[rows_of(5, here.rank, here.size)][:, None]
    y, rows = gather_rows(x)
    with alone():
        assert gather_rows(x)[0] is x
    return y, gather_rows_backward(y * (1 + here.rank), rows)


def test_rows_are_gathered_and_their_gradients_come_back() -> None:
    y = torch.arange(5.0)[:, None]
    (first, back), (second, more) = together(2, gathered)
    assert torch.equal(first, y)
    assert torch.equal(second, y)
    assert torch.equal(torch.cat([back, more]), 3 * y)


def seen_beside_a_thread_that_is_alone() -> list[bool]:
    """Says whether there are others: beside a thread that is alone, alone too, and when both blocks ended."""
    inside, leave = threading.Event(), threading.Event()

    def validates() -> None:
        with alone():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=validates)
    thread.start()
    inside.wait(60)
    seen = [world() is not None]
    with alone():  # begins within the other's block, and ends after it
        leave.set()
        thread.join()
        seen.append(world() is not None)
    return [*seen, world() is not None]


def test_a_thread_is_alone_without_the_others() -> None:
    assert together(2, seen_beside_a_thread_that_is_alone) == [[True, False, True]] * 2


def joined_at(rank_that_is_slow: int) -> float:
    """Joins the others, which one process does more slowly than them, and says when it had."""
    join, slow = dist.init_process_group, []

    def joins_slowly(*args: Any, **options: Any) -> None:
        join(*args, **options)
        if dist.get_rank() == rank_that_is_slow:
            time.sleep(0.5)
            slow.append(time.monotonic())

    dist.init_process_group = joins_slowly
    assert world() is not None
    return slow[0] if slow else time.monotonic()


def test_a_process_that_has_joined_may_end_at_once() -> None:
    first, second = together(2, joined_at, 1)
    assert first >= second  # the first keeps what the others find each other by


def joins_beside_one_that_ends() -> str:
    """Ends in one process before all have joined; says in the other what it is told, and whether it left."""
    join = dist.init_process_group

    def joins_and_ends(*args: Any, **options: Any) -> None:
        join(*args, **options)
        if dist.get_rank() == 1:
            os._exit(0)

    dist.init_process_group = joins_and_ends
    with pytest.raises(ProcessLost) as told:
        world()
    assert not dist.is_initialized()
    return str(told.value)


def test_a_process_that_cannot_join_leaves() -> None:
    (_, answers), _ = started(2, joins_beside_one_that_ends)
    assert answers.poll(60)
    error, told = pickle.loads(answers.recv_bytes())
    assert error is None, error
    assert told.startswith("process 0 of 2: another process has ended")


# ---- random numbers, buffers, agreement ----------------------------------------------------------------


class Small(Module):
    """Draws, and keeps statistics."""

    def __init__(self) -> None:
        self.norm, self.drop = BatchNorm1d(4), Dropout(0.5, generator=draw(7))
        self.below, self.above = Dense(4, 4, generator=draw()), Dense(4, 1, generator=draw(1))
        self.masks: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(self.norm(self.below(x)))
        self.masks = [*self.masks, h == 0]
        return self.above(h)

    def backward(self, grad: Tensor) -> None:
        self.below.backward(self.norm.backward(self.drop.backward(self.above.backward(grad))))


def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(24, 4, generator=draw(3))
    return x, x.sum(1, keepdim=True)


def small(out: Path, steps: int, resume: bool = False, **options: Any) -> tuple[Weights, list[Tensor]]:
    model = Small()
    trainer = Trainer(model, "mse", "adam", lr=0.01, out=out, progress=False, **options)
    trainer.fit(*data(), steps=steps, batch_size=8, checkpoint_every=3, resume=resume)
    return weights_of(model), model.masks


def test_each_process_draws_for_itself_and_goes_on_where_it_was(tmp_path: Path) -> None:
    (straight, first), (other, second) = together(2, small, tmp_path / "a", 9)
    assert len(first) == 9
    assert not any(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert not torch.equal(second[0], second[1])
    assert_same(other, straight, 0)  # running statistics, too
    together(2, small, tmp_path / "b", 4)
    for weights, _ in together(2, small, tmp_path / "b", 9, True):
        assert_same(weights, straight, 0)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["checkpoint.safetensors"] * 2


class Notes(Callback):
    """Asks to stop in one process, by a word or by a signal; counts who is called."""

    def __init__(self, how: str) -> None:
        self.how = how

    def on_step_end(self, trainer: Trainer) -> None:
        here = world()
        assert here is not None
        if here.rank == 1 and trainer.step == 2:
            if self.how == "word":
                trainer.stop("enough")
            else:
                os.kill(os.getpid(), signal.SIGTERM)


def stopped(out: Path, how: str) -> tuple[int, str | None, bool]:
    trainer = Trainer(
        Small(), "mse", "adam", lr=0.01, out=out, callbacks=[Notes(how), CSVLog()], progress=True
    )
    history = trainer.fit(*data(), steps=20, batch_size=8)
    return trainer.step, history.stopped, trainer.leads


@pytest.mark.parametrize(("how", "why"), [("word", "enough"), ("signal", "interrupted")])
def test_all_stop_after_the_same_step(tmp_path: Path, how: str, why: str) -> None:
    assert together(2, stopped, tmp_path, how) == [(2, why, True), (2, why, False)]
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 2
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3


def wrong_order() -> str:
    here = world()
    assert here is not None
    x, y = data()
    batches = [(x[i : i + 8], y[i : i + 8]) for i in (0, 8, 16)]
    trainer = Trainer(Small(), "mse", "sgd", lr=0.01, progress=False)
    with pytest.raises(RuntimeError, match=r"process . of 2: got another batch than others") as error:
        trainer.fit(batches if here.rank else batches[::-1], steps=3)
    return str(error.value)


def test_other_batches_are_noticed() -> None:
    together(2, wrong_order)


# ---- a process that dies -------------------------------------------------------------------------------


def dies(out: Path, lasts: int) -> str:
    """Trains; process 1 ends without a word after so many steps."""

    class Ends(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            here = world()
            if here is not None and here.rank == 1 and trainer.step == lasts:
                os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ConnectionError) as error:
        small(out, 20, callbacks=[Ends()])
    return str(error.value)


def test_a_process_that_dies_ends_the_run_with_a_message(tmp_path: Path) -> None:
    (process, answers), (other, _) = started(2, dies, tmp_path, 5)
    other.join(100)
    assert other.exitcode == -signal.SIGKILL
    assert answers.poll(100)
    said = answers.recv_bytes().decode(errors="replace")
    assert "process 0 of 2: another process has ended" in said
    assert f"The checkpoint of step 3 is untouched: {tmp_path}" in said
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 3
    process.join(100)


def goes_on(out: Path, steps: int, every: int = 1) -> Weights:
    os.environ["TORCHELASTIC_RESTART_COUNT"] = "1"  # as torchrun says of what it has started again
    model = Small()
    trainer = Trainer(model, "mse", "adam", lr=0.01, out=out, progress=False)
    trainer.fit(*data(), steps=steps, batch_size=8, checkpoint_every=every, resume=to_resume(out))
    return weights_of(model)


def killed(folder: Path, times: int, steps: int) -> tuple[list[int], Weights]:
    """Kills one process or both of a run at random moments, again and again, and lets it end at last.

    Returns:
        The step of the checkpoint after each kill, and the weights in the end.
    """
    chance, path, reached = random.Random(times), folder / "checkpoint.safetensors", [0]
    a_step = 0.01
    for _ in range(times):
        pair = started(2, goes_on, folder, steps)
        began, written = time.monotonic(), chance.randrange(4)  # checkpoints to wait for
        seen = path.stat().st_mtime_ns if path.exists() else 0
        while written and time.monotonic() - began < 100 and any(one.is_alive() for one, _ in pair):
            time.sleep(0.001)
            if path.exists() and path.stat().st_mtime_ns != seen:
                seen, written = path.stat().st_mtime_ns, written - 1
                a_step, began = time.monotonic() - began, time.monotonic()
        time.sleep(chance.uniform(0.0, min(1.0, 2 * a_step)))
        for process, _ in chance.sample(pair, k=chance.choice([1, 2])):
            process.kill()
        for process, _ in pair:  # as torchrun does with those that are left
            process.terminate()
            process.join(30)
            process.kill()
            process.join()
        # A damaged one would be an error.
        reached.append(int(load_checkpoint(path)["step"]) if path.exists() else 0)
        assert reached[-1] >= reached[-2]
    weights, other = together(2, goes_on, folder, steps)
    assert_same(weights, other, 0)
    return reached[1:], weights


@pytest.mark.parametrize(
    ("times", "steps"), [(3, 40), pytest.param(100, 500, marks=pytest.mark.slow, id="hundred")]
)
def test_killed_at_random_moments_it_ends_with_the_same_weights(
    tmp_path: Path, times: int, steps: int
) -> None:
    expected, _ = together(2, goes_on, tmp_path / "straight", steps, steps)
    reached, weights = killed(tmp_path / "killed", times, steps)
    print(f"steps of the checkpoints after the kills: {reached}")
    assert reached[-1] < steps  # otherwise the last kills came too late
    assert_same(weights, expected, 0)
