"""Trainer: the numbers of plain loops, validation, and what surrounds them."""

import functools
import itertools
import math
import operator
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from ds_core import BatchNorm1d, Dense, Embedding, Module, MSELoss, Recompute, ReLU, Sequential, engines
from ds_core.data import Dataset
from ds_core.layers import Dropout
from ds_core.losses import BCEWithLogitsLoss, CrossEntropyLoss
from ds_core.metrics import MAE, R2, Accuracy
from ds_core.optimizers import SGD, Adam
from ds_core.schedulers import ReduceLROnPlateau, StepLR
from ds_core.training import Trainer, load_checkpoint
from torch.utils._python_dispatch import TorchDispatchMode


def data(samples=24, features=5):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(samples, features, generator=g)
    return x, x.sin().sum(1, keepdim=True)


def mlp(dropout=0.0, generator=None):
    g = torch.Generator().manual_seed(0)
    layers = [Dense(5, 7, generator=g), ReLU(), Dense(7, 1, generator=g)]
    return Sequential(*layers[:2], Dropout(dropout, generator=generator), layers[2])


def bits(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def train(*data, model=None, **options):
    """Trains with SGD and returns the model and its history."""
    names = ("engine", "clip_norm", "accumulate", "schedule", "callbacks", "metrics", "seed", "out")
    settings = {name: options.pop(name) for name in names if name in options}
    model = model or mlp()
    loss = options.pop("loss", "mse")
    optimizer = SGD(model.parameters(), lr=options.pop("lr", 0.05), momentum=0.9)
    history = Trainer(model, loss, optimizer, progress=False, **settings).fit(*data, **options)
    return model, history


# ---- the numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("batch_size", [None, 24, 7, 1])
def test_equals_a_hand_written_torch_loop(engine, batch_size):
    """Full-batch, mini-batch and one-sample training, with momentum, clipping and a schedule."""
    x, y = data()
    theirs = torch.nn.Sequential(
        torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Identity(), torch.nn.Linear(7, 1)
    )
    theirs.load_state_dict(mlp().state_dict())
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
    losses, norms, rates = [], [], []
    for _ in range(3):
        for inputs, target in zip(x.split(batch_size or 24), y.split(batch_size or 24), strict=True):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(theirs(inputs), target)
            loss.backward()
            norms.append(torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5).item())
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
            losses.append(loss.item())

    ours, history = train(
        x,
        y,
        engine=engine,
        clip_norm=0.5,
        schedule=lambda o: StepLR(o, step_size=5, gamma=0.5),
        epochs=3,
        batch_size=batch_size,
        shuffle=False,
    )
    assert history["loss"] == pytest.approx(losses, rel=1e-5)
    assert history["grad_norm"] == pytest.approx(norms, rel=1e-4)
    assert history["lr"] == rates
    assert history["step"] == list(range(1, len(losses) + 1))
    assert history["epoch"] == [e for e in (1, 2, 3) for _ in range(len(losses) // 3)]
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)


class Two(Module):
    """Two inputs, two outputs."""

    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.left, self.right = Dense(2, 3, generator=g), Dense(3, 3, generator=g)

    def forward(self, a, b):
        return self.left(a), self.right(b)

    def backward(self, grad_a, grad_b):
        right = self.right.backward(grad_b)
        return self.left.backward(grad_a), right


class Distance(MSELoss):
    """Takes both outputs, and hands a gradient to each and none to the target."""

    def forward(self, a, b, target):
        return super().forward(a + b, target)

    def backward(self, grad=1.0):
        grad = super().backward(grad)
        return grad, grad, None


def test_every_way_to_hand_over_data_gives_the_same_bits():
    x, y = data()
    batches = list(zip(x.split(8), y.split(8), strict=True))
    options = {"epochs": 3, "batch_size": 8, "shuffle": False}
    expected = bits(train(x, y, **options)[0])
    assert same(expected, bits(train((x, y), **options)[0]))
    assert same(expected, bits(train(batches, epochs=3)[0]))
    assert same(expected, bits(train([list(batch) for batch in batches], steps=9)[0]))
    assert same(expected, bits(train(itertools.cycle(batches), steps=9)[0]))

    assert same(expected, bits(train(Dataset(x, y), **options)[0]))

    a, b, target = x[:, :2], x[:, 2:], torch.randn(24, 3)
    two = [
        bits(train(*given, model=Two(), loss=Distance(), engine=engine, **options)[0])
        for engine in ("manual", "autograd")
        for given in ((a, b, target), ((a, b), target), ((a, b, target),), (((a, b), target),))
    ]
    assert all(same(two[0], other) for other in two[1:4])
    for name in two[0]:
        torch.testing.assert_close(two[0][name], two[4][name])


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("samples", [24, 22, 17])
def test_accumulation_is_the_big_batch(engine, reduction, samples):
    """Three batches of four make the step of one of twelve, also where the last are fewer."""
    x, y = data(samples)
    options = {
        "engine": engine,
        "loss": MSELoss(reduction),
        "lr": 0.01 if reduction == "mean" else 0.001,
        "epochs": 2,
    }
    big, expected = train(x, y, batch_size=12, clip_norm=1.0, shuffle=False, **options)
    small, history = train(x, y, batch_size=4, accumulate=3, clip_norm=1.0, shuffle=False, **options)
    assert len(history) == len(expected) == 4
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    for name in big.state_dict():
        torch.testing.assert_close(big.state_dict()[name], small.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_accumulation_with_batches_that_count_for_nothing(engine, reduction, weighted):
    """All targets ignored, or all of a class of weight 0: in one batch of four, in three, in the last."""
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(32, 5, generator=g), torch.randint(0, 3, (32,), generator=g)
    weight = torch.tensor([1.0, 2.0, 0.5, 0.0]) if weighted else None
    loss = CrossEntropyLoss(weight, reduction=reduction)
    for empty in ((8, 16), (0, 24), (24, 32), (3, 21)):
        target = y.clone()
        target[slice(*empty)] = 3 if weighted else -100
        options = {
            "loss": loss,
            "engine": engine,
            "lr": 0.01,
            "epochs": 2,
            "shuffle": False,
            "clip_norm": 5.0,
        }

        def model():
            return Sequential(Dense(5, 4, generator=torch.Generator().manual_seed(0)))

        big, expected = train(x, target, model=model(), batch_size=32, **options)
        small, history = train(x, target, model=model(), batch_size=8, accumulate=4, **options)
        assert history["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        for name, tensor in big.state_dict().items():
            torch.testing.assert_close(small.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)


def test_where_every_target_is_ignored_that_is_said():
    x, y = torch.randn(8, 5), torch.full((8,), -100)
    for accumulate in (1, 2):
        with pytest.raises(
            FloatingPointError,
            match=r"Every target is ignored by CrossEntropyLoss\(\).* Leave such batches out",
        ):
            train(
                x,
                y,
                model=Sequential(Dense(5, 4)),
                loss="cross_entropy",
                epochs=1,
                batch_size=4,
                accumulate=accumulate,
            )
    trainer = Trainer(Sequential(Dense(5, 4)), "cross_entropy", "sgd", progress=False)
    with pytest.raises(ValueError, match="evaluate: Every target is ignored by CrossEntropyLoss"):
        trainer.evaluate(x, y)
    y[3] = 1
    assert trainer.evaluate(x, y, batch_size=1)["loss"] == pytest.approx(trainer.evaluate(x, y)["loss"])


class Reads(TorchDispatchMode):
    """Counts how often a number is read back from the device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation is torch.ops.aten._local_scalar_dense.default
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_the_loop_reads_numbers_back_once_a_step(engine):
    """As a list, which is one transfer: no single number is read."""
    x, y = data()
    for accumulate in (1, 3):
        model = mlp(dropout=0.5)
        trainer = Trainer(
            model, "mse", "adamw", engine=engine, clip_norm=0.1, accumulate=accumulate, progress=False
        )
        trainer.fit(x, y, steps=1)
        with Reads() as reads:
            trainer.fit(x, y, steps=10, batch_size=4)
        assert reads.count == 0


@pytest.mark.parametrize("bad", [-1, 11])
@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_a_wrong_index_is_said_at_the_end_of_the_step_and_changes_nothing(engine, bad):
    ids = torch.randint(11, (4, 6), generator=torch.Generator().manual_seed(0))
    model = Sequential(Embedding(11, 3), Dense(3, 11))
    trainer = Trainer(model, CrossEntropyLoss(dim=-1), "adamw", engine=engine, progress=False)
    with Reads() as reads, engines.engine("manual", kernels=False):  # as on any other device
        trainer.fit([(ids, ids)], steps=2)
    assert reads.count == 0
    before = bits(model)
    with pytest.raises(IndexError, match=rf"expected class indices from 0 to 10, .*; got {bad}"):
        trainer.fit([(ids, torch.where(ids == 3, bad, ids))], steps=1)
    assert same(bits(model), before)
    wrong = ids.clone()
    wrong[2, 3] = bad
    with pytest.raises(IndexError, match=rf"Embedding.*: token id {bad} is outside the vocabulary 0\.\.10"):
        trainer.fit([(wrong, ids)], steps=1)
    assert same(bits(model), before)
    with pytest.raises(IndexError, match=f"token id {bad} is outside"), torch.no_grad():
        model(wrong)  # and at once, where nobody collects


def test_the_seed_decides_everything_and_the_world_nothing():
    x, y = data()

    def run(seed, world):
        torch.manual_seed(world)
        before = torch.get_rng_state()
        model, _ = train(x, y, model=mlp(dropout=0.5), seed=seed, epochs=3, batch_size=4)
        assert torch.equal(torch.get_rng_state(), before)
        return bits(model)

    assert same(run(seed=1, world=10), run(seed=1, world=20))
    assert not same(run(seed=1, world=10), run(seed=2, world=10))
    orders = [bits(train(x, y, seed=seed, epochs=1, batch_size=4)[0]) for seed in (0, 0, 1)]
    assert same(orders[0], orders[1])
    assert not same(orders[0], orders[2])


def noisy_mlp(seed):
    """A model that draws in three ways: dropout, dropout of its own generator, and what Recompute redoes."""
    g = torch.Generator().manual_seed(seed)
    block = Recompute(Sequential(Dense(7, 7, generator=g), Dropout(0.3), ReLU()))
    own = Dropout(0.2, generator=torch.Generator().manual_seed(seed))
    return Sequential(Dense(5, 7, generator=g), ReLU(), Dropout(0.5), block, own, Dense(7, 1, generator=g))


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_a_compiled_model_trains_with_the_global_generator(engine):
    """The lent generator would break the graph."""
    x, y = data()

    def run(world):
        torch.manual_seed(world)
        torch._dynamo.reset()
        model = mlp(dropout=0.5)
        compiled = torch.compile(model.forward, backend="eager", fullgraph=True)
        object.__setattr__(model, "forward", compiled)
        train(x, y, model=model, steps=3, engine=engine)
        return bits(model)

    assert same(run(1), run(2))


@pytest.mark.parametrize("threads", [2, 4])
def test_trainings_side_by_side_give_the_bits_of_one_after_the_other(threads, tmp_path):
    """With dropout, validation, checkpoints, resumes and either engine."""
    x, y = data()

    def training(number, folder):
        options = {"epochs": 6, "batch_size": 4, "validation": (x, y), "validate_every": 5}
        made = {"seed": number, "engine": ("manual", "autograd")[number % 2], "out": folder, "clip_norm": 1.0}
        train(x, y, model=noisy_mlp(number), steps=13, **made, **{**options, "epochs": None})
        model, history = train(x, y, model=noisy_mlp(number), resume=True, **made, **options)
        return bits(model), history.to_dict()

    numbers = range(threads)
    alone = [training(number, tmp_path / f"alone {number}") for number in numbers]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(training, number, tmp_path / f"together {number}") for number in numbers]
        while not all(one.done() for one in running):  # what the world draws meanwhile is its own affair
            torch.rand(1)
            time.sleep(0.001)
    together = [one.result() for one in running]
    for one, other in zip(alone, together, strict=True):
        assert same(one[0], other[0])
        assert one[1] == other[1]
    torch.set_rng_state(before)
    drawn = torch.rand(3)
    with ThreadPoolExecutor(1) as pool:
        torch.set_rng_state(before)
        pool.submit(training, 0, tmp_path / "once more").result()
        assert torch.equal(torch.rand(3), drawn)


def test_shuffling_visits_every_sample_once_an_epoch_in_ever_new_orders():
    seen = []

    class Spy(Module):
        def __init__(self):
            self.layer = Dense(1, 1)

        def forward(self, x):
            seen.append(x.flatten().tolist())
            return self.layer(x)

        def backward(self, grad):
            return self.layer.backward(grad)

    x = torch.arange(10.0)[:, None]
    trainer = Trainer(Spy(), "mse", "sgd", lr=0.0, progress=False)
    trainer.fit(x, x, epochs=3, batch_size=4)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 3
    epochs = [functools.reduce(operator.iadd, seen[i : i + 3], []) for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


# ---- validation and what surrounds it -----------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True])
def test_validation_changes_nothing_in_training(own):
    x, y = data()

    def run(**options):
        model = mlp(0.5, torch.Generator().manual_seed(4) if own else None)
        return bits(train(x, y, model=model, epochs=4, batch_size=8, **options)[0])

    class Draws:
        """Validation batches in an order of torch's global generator."""

        def __iter__(self):
            return iter([(x[torch.randperm(24)[:5]], y[:5])])

    plain = run()
    assert same(plain, run(validation=(x, y), validate_every=1))
    assert same(plain, run(validation=Draws(), validate_every=2, metrics=["r2"]))


def test_validation_when_it_is_due():
    x, y = data()
    options = {"batch_size": 8, "validation": (x, y)}
    assert train(x, y, epochs=3, **options)[1].validation["step"] == [3, 6, 9]
    assert train(x, y, epochs=3, **options)[1].validation["epoch"] == [1, 2, 3]
    assert train(x, y, epochs=2, validate_every=4, **options)[1].validation["step"] == [4, 6]
    assert train(x, y, steps=8, validate_every=3, **options)[1].validation["step"] == [3, 6, 8]
    endless = itertools.cycle([(x, y)])
    assert train(endless, steps=5, validation=[(x, y)])[1].validation["step"] == [5]
    assert train(x, y, steps=0, validation=[(x, y)])[1].validation["step"] == [0]


class Touchy(Module):
    """Records the modes it runs in; fails on demand."""

    def __init__(self):
        self.layer = Dense(5, 1)
        self.frozen = Dropout(0.5).eval()
        self.seen = []
        self.fail = lambda: False

    def forward(self, x):
        self.seen.append(
            (self.training, self.frozen.training, torch.is_grad_enabled(), self.layer.input_grad)
        )
        if self.fail():
            raise RuntimeError("the model fails")
        return self.layer(x)

    def backward(self, grad):
        return self.layer.backward(grad)

    def requires_input_grad_(self, requires_input_grad=True):
        self.input_grad = requires_input_grad
        self.layer.requires_input_grad_(requires_input_grad)
        return self


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_modes_in_training_and_validation_and_afterwards(engine):
    x, y = data(8)
    model = Touchy()
    trainer = Trainer(model, "mse", "sgd", engine=engine, progress=False)
    trainer.fit(x, y, epochs=1, batch_size=4, validation=(x, y), validate_every=1)
    training = (True, False, engine == "autograd", False)  # what the user froze stays so
    assert model.seen == [training, (False, False, False, False)] * 2
    assert (model.training, model.frozen.training, model.layer.input_grad) == (True, False, True)
    assert trainer.loss.training

    model.eval()
    trainer.evaluate(x, y)
    trainer.predict(x)
    assert (model.training, model.frozen.training) == (False, False)
    model.seen.clear()
    trainer.fit(x, y, epochs=1)  # a model in eval mode as a whole is meant to be trained as a whole
    assert model.seen == [(True, True, engine == "autograd", False)]
    assert (model.training, model.frozen.training) == (False, False)


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_layers_in_eval_mode_stay_so_and_let_the_gradient_through(engine):
    """Frozen batch norms and a silenced dropout: running averages stand still, the rest learns as torch's."""
    x, y = data()
    g = torch.Generator().manual_seed(0)
    ours = Sequential(
        Dense(5, 7, generator=g),
        Sequential(BatchNorm1d(7), ReLU()).eval(),
        Dropout(0.5).eval(),
        Recompute(Sequential(Dense(7, 7, generator=g), BatchNorm1d(7).eval())),
        Dense(7, 1, generator=g),
    )
    ours[1][0].running_mean.uniform_(-1, 1, generator=g)
    ours[1][0].running_var.uniform_(0.5, 2, generator=g)
    theirs = torch.nn.Sequential(
        torch.nn.Linear(5, 7),
        torch.nn.Sequential(torch.nn.BatchNorm1d(7), torch.nn.ReLU()).eval(),
        torch.nn.Dropout(0.5).eval(),
        torch.nn.Sequential(torch.nn.Linear(7, 7), torch.nn.BatchNorm1d(7).eval()),
        torch.nn.Linear(7, 1),
    )
    theirs.load_state_dict(ours.state_dict())
    averages = bits(ours[1])
    modes = [module.training for module in ours.modules()]
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for _ in range(4):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(theirs(x), y).backward()
        optimizer.step()
    train(x, y, model=ours, lr=0.1, engine=engine, steps=4, batch_size=None, validation=(x, y))
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)
    assert torch.equal(ours[1][0].running_mean, averages["0.running_mean"])
    assert not torch.equal(ours[1][0].weight, averages["0.weight"])
    assert [module.training for module in ours.modules()] == modes
    assert not any(module.recorded_eval or module._stack for module in ours.modules())


@pytest.mark.parametrize("where", ["training", "validation"])
def test_everything_is_put_back_after_an_error(where):
    x, y = data(8)
    model = Touchy()
    model.fail = lambda: model.training == (where == "training") and len(model.seen) > 2
    trainer = Trainer(model, "mse", "sgd", progress=True)
    state, handler = torch.get_rng_state(), signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="the model fails"):
        trainer.fit(x, y, epochs=4, batch_size=4, validation=(x, y))
    assert (model.training, model.frozen.training, model.layer.input_grad) == (True, False, True)
    assert torch.equal(torch.get_rng_state(), state)
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.is_grad_enabled()


def test_evaluate_is_the_loss_of_all_samples_together():
    x, y = data(23)
    model = mlp(dropout=0.5)
    trainer = Trainer(model, "mse", "sgd", metrics=["r2", MAE()], progress=False)
    expected = torch.nn.functional.mse_loss(model.eval()(x), y).item()
    error = (model(x) - y).abs().mean().item()
    for batch_size in (None, 1, 7):
        results = trainer.evaluate(x, y, batch_size=batch_size)
        assert results["loss"] == pytest.approx(expected, rel=1e-5)
        assert results["mae"] == pytest.approx(error, rel=1e-5)
    assert list(results) == ["loss", "r2", "mae"]
    total = Trainer(model, MSELoss("sum"), "sgd", progress=False).evaluate([(x[:9], y[:9]), (x[9:], y[9:])])
    assert total["loss"] == pytest.approx(expected * 23, rel=1e-5)


def test_metrics_reach_history_under_their_names():
    x, y = data()
    labels = (y[:, 0] > 0).long()
    model = Sequential(Dense(5, 2))
    trainer = Trainer(
        model,
        "cross_entropy",
        "adam",
        lr=0.1,
        metrics={"right": Accuracy(), "table": "confusion_matrix"},
        progress=False,
    )
    history = trainer.fit(x, labels, epochs=5, validation=(x, labels))
    assert list(history.validation) == ["step", "epoch", "val_loss", "val_right"]  # a matrix is no column
    final = trainer.evaluate(x, labels)
    assert history["val_right"][-1] == pytest.approx(final["right"])
    assert final["table"].shape == (2, 2)
    assert history.best("val_right", "max") == max(history["val_right"])


@pytest.mark.parametrize("metrics", ["accuracy", {"accuracy": "accuracy"}, ["accuracy", "perplexity"]])
def test_metrics_by_name_look_where_the_loss_does(metrics):
    """As many tokens as classes: the shapes alone do not say which dimension is which."""
    tokens = torch.randint(4, (20, 4), generator=torch.Generator().manual_seed(0))
    target = tokens.masked_fill(tokens == 3, 0)
    target[:, 0] = 4  # ignored
    model = Sequential(Embedding(4, 8), Dense(8, 4))
    loss = CrossEntropyLoss(dim=-1, ignore_index=4)
    trainer = Trainer(model, loss, "adam", lr=0.1, metrics=metrics, progress=False)
    numbers = trainer.evaluate(tokens, target)
    right = trainer.predict(tokens).argmax(-1) == target
    assert numbers["accuracy"] == pytest.approx(right[:, 1:].float().mean().item())
    if "perplexity" in numbers:
        assert numbers["perplexity"] == pytest.approx(math.exp(numbers["loss"]), rel=1e-5)
    with pytest.raises(ValueError, match="each target class 0 to 3, got 4"):  # an object is what it is made
        Trainer(model, loss, "adam", metrics=Accuracy(dim=-1), progress=False).evaluate(tokens, target)


def test_predict_and_predict_proba():
    x, _ = data(11)
    model = Sequential(Dropout(0.5), Dense(5, 3))
    model_eval = torch.nn.functional.linear(x, model[1].weight, model[1].bias).detach()
    trainer = Trainer(model, "cross_entropy", "sgd", progress=False)
    for batch_size in (None, 4, 1):
        torch.testing.assert_close(trainer.predict(x, batch_size=batch_size), model_eval)
        torch.testing.assert_close(trainer.predict_proba(x, batch_size=batch_size), model_eval.softmax(1))
    assert not trainer.predict(x).requires_grad
    for loss in (BCEWithLogitsLoss(), "focal"):
        torch.testing.assert_close(Trainer(model, loss, "sgd").predict_proba(x), model_eval.sigmoid())
    torch.testing.assert_close(Trainer(model, "nll", "sgd").predict_proba(x), model_eval.exp())
    torch.testing.assert_close(Trainer(model, "bce", "sgd").predict_proba(x), model_eval)
    with pytest.raises(TypeError, match=r"trained with MSELoss\(\) are not probabilities; use predict"):
        Trainer(model, "mse", "sgd").predict_proba(x)
    a, b = Trainer(Two(), Distance(), "sgd").predict(x[:, :2], x[:, 2:], batch_size=4)
    assert a.shape == b.shape == (11, 3)


def test_plateau_goes_by_the_validation_loss():
    x, y = data()
    schedule = {"schedule": lambda o: ReduceLROnPlateau(o, patience=0, factor=0.5)}
    _, history = train(x, y, lr=0.0, epochs=4, batch_size=None, validation=(x, y), **schedule)
    assert history["lr"] == [0.0] * 4
    _, history = train(
        x, y, lr=2.0, steps=6, batch_size=None, validation=(x, y), validate_every=1, **schedule
    )
    expected, best = [2.0], math.inf
    for loss in history["val_loss"]:
        expected.append(expected[-1] if loss < best * (1 - 1e-4) else expected[-1] / 2)
        best = min(best, loss)
    assert history["lr"] == expected[:6]
    assert len(set(history["lr"])) > 1
    with pytest.raises(ValueError, match="ReduceLROnPlateau goes by the validation loss; give validation="):
        train(x, y, epochs=1, **schedule)


def test_frozen_weights_stay_and_a_second_fit_goes_on():
    x, y = data()
    model = mlp()
    model[0].requires_grad_(False)
    frozen = bits(model[0])
    trainer = Trainer(model, "mse", "adam", lr=0.01, progress=False)
    first = trainer.fit(x, y, epochs=10)
    second = trainer.fit(x, y, epochs=10)
    assert same(frozen, bits(model[0]))
    assert second["step"] == first["step"] == list(range(1, 11))
    assert second["loss"][0] < first["loss"][0]
    assert second["loss"][-1] < first["loss"][-1]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_it_learns(seed, engine):
    torch.manual_seed(seed)  # of the first weights
    x, y = data(200)
    model = Sequential(Dense(5, 32), ReLU(), Dense(32, 1))
    trainer = Trainer(
        model,
        "mse",
        Adam(model.parameters(), lr=0.01),
        engine=engine,
        metrics=[R2()],
        progress=False,
        seed=seed,
    )
    trainer.fit(x, y, epochs=60)
    assert trainer.evaluate(x, y)["r2"] > 0.95


def test_an_interrupt_in_the_middle_of_a_step_writes_nothing_half_done(tmp_path, capsys):
    x, y = data()
    model = Touchy()
    trainer = Trainer(model, "mse", "sgd", out=tmp_path, progress=False)

    def interrupt():
        if len(model.seen) == 6:
            raise KeyboardInterrupt
        return False

    model.fail = interrupt
    trainer.fit(x, y, epochs=9, batch_size=8, checkpoint_every=2)
    assert "Interrupted after step 5. The checkpoint of step 4 is" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "kept"), [({}, 25), ({"checkpoint_every": 9}, 18)])
def test_a_training_on_endless_data_that_breaks_off_has_lost_a_tenth_at_most(tmp_path, options, kept):
    def batches():
        yield from itertools.islice(itertools.cycle([data()]), 26)
        raise OSError("the disk is gone")

    class Stream:
        def __iter__(self):
            return batches()

    trainer = Trainer(mlp(), "mse", "sgd", out=tmp_path, progress=False)
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(Stream(), steps=50, **options)
    assert load_checkpoint(trainer.checkpoint_path)["step"] == kept
