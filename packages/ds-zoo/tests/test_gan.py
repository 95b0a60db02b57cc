"""The game of generator and discriminator: its gradients, its trainer, what it learns and what it refuses."""

import numpy
import pytest
import scipy.linalg
import torch
from ds_core import Adam, Callback, CheckpointError, GameTrainer, engine
from ds_zoo.gan import (
    AdversarialLoss,
    DCDiscriminator,
    DCGenerator,
    Discriminator,
    Game,
    Generator,
    frechet_distance,
    interpolate,
    precision_recall,
)
from ds_zoo.gan.quality import square_root
from ds_zoo.gan.ring import found, ring


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small(kind="non_saturating", *, norm="none", classes=0, seed=0, **options):
    torch.manual_seed(seed)
    generator = Generator(3, (2,), 8, 1, classes, bounded=False)
    return Game(generator, Discriminator((2,), 8, 1, classes, norm), AdversarialLoss(kind), **options)


def trainer(game, lr=1e-3, **options):
    players = {"discriminator": game.discriminator, "generator": game.generator}
    optimizers = {name: Adam(one.parameters(), lr, (0.0, 0.99)) for name, one in players.items()}
    return GameTrainer(game, optimizers, progress=False, **options)


class Unmoved:
    """An optimizer that leaves the gradients to be looked at."""

    def __init__(self, module):
        self.module = module

    def zero_grad(self):
        self.module.zero_grad()

    def step(self):
        self.grads = {name: p.grad.clone() for name, p in self.module.named_parameters()}


# ---- gradients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["between", "real"])
def test_a_round_has_the_gradients_of_autograd(at):
    game = small("wasserstein", norm="layer", penalty=10.0, penalty_at=at).to(torch.float64)
    real, labels, goal = draw(5, 2), torch.zeros(5, dtype=torch.int64), 1.0 if at == "between" else 0.0
    players = {name: Unmoved(getattr(game, name)) for name in ("discriminator", "generator")}
    torch.manual_seed(1)
    with engine("manual"):
        numbers = game.play([(real, labels)], players)
    assert all(not part._stack and not part._second for part in game.modules())

    torch.manual_seed(1)
    with torch.enable_grad():
        fake = game.generator(game.noise(5, real)).detach()
        share = torch.rand(5, 1, dtype=real.dtype) if at == "between" else torch.ones(5, 1, dtype=real.dtype)
        x = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(game.discriminator(x).sum(), x, create_graph=True)
        penalty = 10 * (slope.norm(dim=1) - goal).square().mean()
        loss = game.discriminator(fake).mean() - game.discriminator(real).mean()
        theirs = torch.autograd.grad(loss + penalty, list(game.discriminator.parameters()))
        score = -game.discriminator(game.generator(game.noise(5, real))).mean()
        theirs_too = torch.autograd.grad(score, list(game.generator.parameters()))
    for value, expected in (("loss", loss), ("penalty", penalty), ("generator_loss", score)):
        torch.testing.assert_close(numbers[value], expected.detach())
    for player, expected in (("discriminator", theirs), ("generator", theirs_too)):
        for mine, other in zip(players[player].grads.values(), expected, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("penalty", [0.0, 10.0])
def test_examples_without_classes_need_no_labels(penalty):
    grads = []
    for labels in (torch.zeros(5, dtype=torch.int64), None):
        torch.manual_seed(0)
        game = small("wasserstein", norm="layer", penalty=penalty)
        players = {name: Unmoved(getattr(game, name)) for name in ("discriminator", "generator")}
        with engine("manual"):
            game.play([(draw(5, 2).float(), labels)], players)
        grads.append([grad for player in players.values() for grad in player.grads.values()])
    for one, other in zip(*grads, strict=True):
        assert torch.equal(one, other)


def test_a_penalty_needs_layers_with_second_gradients():
    game = Game(
        DCGenerator(4, size=8, width=2), DCDiscriminator(size=16, width=2), AdversarialLoss(), penalty=1.0
    )
    real = torch.zeros(2, 1, 16, 16)
    with (
        engine("manual"),
        pytest.raises(NotImplementedError, match=r"BatchNorm2d.*offers no second gradients"),
    ):
        game.penalise(real, real, torch.zeros(2, dtype=torch.int64))


def test_the_average_follows_the_generator():
    game = small(decay=0.5)
    weights = [game.generator.layers[0].weight.clone()]
    with torch.no_grad():
        for step in range(2):
            game.generator.layers[0].weight += 1.0
            game.move_average()
            decay = min(0.5, (2 + step) / (11 + step))
            weights.append(decay * weights[-1] + (1 - decay) * game.generator.layers[0].weight)
    torch.testing.assert_close(game.average.layers[0].weight, weights[-1])


# ---- training ----------------------------------------------------------------------------------------------


class Interrupt(Callback):
    def on_step_end(self, trainer):
        if trainer.step == 4:
            raise KeyboardInterrupt


def test_a_training_interrupted_and_resumed_is_one_never_interrupted(tmp_path, capsys):
    x, y = ring(40)
    data = {"steps": 8, "batch_size": 16, "checkpoint_every": 3}
    whole = small(penalty=0.1, classes=8)
    history = trainer(whole, batches=2).fit(x, y, **data)
    assert list(history.train) == ["step", "epoch", "loss", "penalty", "told", "generator_loss", "lr"]

    broken = trainer(small(penalty=0.1, classes=8), batches=2, out=tmp_path, callbacks=[Interrupt()])
    assert broken.fit(x, y, **data).stopped == "interrupted"
    assert "goes on from it" in capsys.readouterr().out
    resumed = small(penalty=0.1, classes=8, seed=5)
    again = trainer(resumed, batches=2, out=tmp_path).fit(x, y, **data, resume=True)
    assert again["generator_loss"] == history["generator_loss"]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="optimizer"):
        trainer(small(penalty=0.1, classes=8), lr=0.1, batches=2, out=tmp_path).fit(x, y, **data, resume=True)


class Counted(Callback):
    """Counts the steps of the discriminator before each of the generator."""

    def on_fit_start(self, trainer):
        self.rounds, self.steps = [], trainer.optimizers["discriminator"].step
        trainer.optimizers["discriminator"].step = self.step
        self.made = 0

    def step(self):
        self.made += 1
        self.steps()

    def on_step_end(self, trainer):
        self.rounds.append(self.made)
        self.made = 0


def test_each_round_has_as_many_batches_as_it_should_also_at_the_end_of_an_epoch():
    counted = Counted()
    playing = trainer(small(), batches=3, callbacks=[counted])
    history = playing.fit(*ring(40), epochs=3, batch_size=8)  # five batches in an epoch
    assert counted.rounds == [3, 3, 3]
    assert history["epoch"] == [1, 2, 3]
    assert playing.total_steps == 3
    with pytest.raises(ValueError, match="at least 3 batches in every epoch, as many as a step takes, got 2"):
        trainer(small(), batches=3).fit(*ring(40), steps=3, batch_size=20)


def test_a_game_takes_no_option_that_it_would_not_heed():
    for name, value in (
        ("clip_norm", 1.0),
        ("schedule", "cosine"),
        ("metrics", "accuracy"),
        ("engine", "autograd"),
    ):
        with pytest.raises(TypeError, match=f"GameTrainer: expected options of callbacks, .* got {name}"):
            trainer(small(), **{name: value})
    with pytest.raises(ValueError, match="batches of at least 1, got 0"):
        trainer(small(), batches=0)
    playing, counted = trainer(small()), Counted()
    playing.callbacks.append(counted)
    for name, value in (("validation", ring(8)), ("validation_split", 0.2)):
        with pytest.raises(TypeError, match="a game has no validation loss"):
            playing.fit(*ring(40), steps=2, **{name: value})
    assert not hasattr(counted, "rounds")  # refused before it began


def learned(seed, steps, decay):
    """Trains on the ring; returns how many of 2000 samples lie near each of the places, and their share."""
    torch.manual_seed(seed)
    players = Generator(8, (2,), 64, 2, bounded=False), Discriminator((2,), 64, 2)
    game = Game(*players, AdversarialLoss(), penalty=0.1, penalty_at="real", decay=decay)
    trainer(game, lr=3e-3, seed=seed).fit(*ring(8192, seed), steps=steps, batch_size=128)
    return found(game.sample(2000))


def test_the_ring_is_learned_with_all_its_modes():
    counts, share = learned(0, 500, 0.98)
    assert counts.min() > 60
    assert share > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nine_samples_of_ten_are_within_three_standard_deviations(seed):
    counts, share = learned(seed, 4000, 0.995)
    assert counts.min() > 100
    assert share >= 0.9


# ---- quality -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [12, 5])
def test_the_square_root_is_scipys(rank):
    half = draw(12, rank)
    matrix = half @ half.T
    expected = torch.from_numpy(numpy.real(scipy.linalg.sqrtm(matrix.numpy())))
    assert (square_root(matrix) - expected).abs().max() < 1e-5
    assert torch.equal(square_root(torch.zeros(3, 3)), torch.zeros(3, 3))


def test_the_frechet_distance_is_that_of_its_definition():
    real, made = draw(200, 6), 0.5 + draw(150, 6, seed=1) @ draw(6, 6, seed=2)
    s, s2 = (numpy.cov(x.numpy(), rowvar=False) for x in (real, made))
    root = numpy.real(scipy.linalg.sqrtm(s @ s2))
    expected = ((real.mean(0) - made.mean(0)) ** 2).sum() + numpy.trace(s + s2 - 2 * root)
    assert frechet_distance(real, made) == pytest.approx(float(expected), rel=1e-5)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-5)


def test_precision_falls_with_odd_samples_and_recall_with_lost_modes():
    real, labels = ring(400)
    made, _ = ring(400, seed=1)
    precision, recall = precision_recall(real, made)
    assert min(precision, recall) > 0.8
    precision, recall = precision_recall(real, real[labels < 4])
    assert precision == 1.0
    assert 0.4 < recall < 0.65
    precision, recall = precision_recall(real, torch.cat([made, 5 + torch.rand(400, 2)]))
    assert 0.4 < precision < 0.5
    assert recall > 0.8
    nearest = torch.cdist(real, real).topk(4, largest=False).values[:, -1]
    assert precision_recall(real, made)[0] == pytest.approx(
        float((torch.cdist(made, real) <= nearest).any(1).double().mean()), abs=0.005
    )


def test_interpolation_walks_on_the_circle():
    a, b = draw(50), draw(50, seed=1)
    walk = interpolate(a, b, 5)
    torch.testing.assert_close(walk[0], a)
    torch.testing.assert_close(walk[-1], b)
    assert walk[2].norm() == pytest.approx(float(a.norm() + b.norm()) / 2, rel=0.05)
    assert torch.equal(interpolate(a, a, 3)[1], a)
    assert torch.equal(interpolate(0 * a, b, 3)[1], b / 2)  # which has no direction
    with pytest.raises(ValueError, match=r"two points \(latent,\), got \(50,\) and \(1, 50\)"):
        interpolate(a, b[None], 3)


# ---- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 7, 9, 30])
def test_sides_that_cannot_be_halved_are_refused(size):
    with pytest.raises(ValueError, match=f"4, 5, 6 or 7 times a power of two.*got {size}"):
        DCDiscriminator(size=size)
    with pytest.raises(ValueError, match="at least 8 pixels"):
        DCGenerator(size=size)


def test_bad_input_is_refused():
    game = Game(DCGenerator(4, size=8, width=2), DCDiscriminator(size=8, width=2), AdversarialLoss())
    images, labels = torch.zeros(3, 1, 8, 8), torch.zeros(3, dtype=torch.int64)
    with engine("manual"):
        with pytest.raises(ValueError, match=r"DCDiscriminator.*\(N, 1, 8, 8\), got \(3, 1, 7, 7\)"):
            game.discriminator(images[..., :7, :7])
        with pytest.raises(ValueError, match="at least 2 examples, which batch norm compares, got 1"):
            game.play([(images[:1], labels[:1])], {})
        with pytest.raises(ValueError, match=r"in \[-1, 1\].*got 0 to 255"):
            game.play([(images + torch.tensor([0.0, 255, 0]).view(3, 1, 1, 1), labels)], {})
        with pytest.raises(ValueError, match="real examples of finite numbers, got nan to nan"):
            game.play([(images, labels), (images * torch.nan, labels)], {})
        with pytest.raises(ValueError, match="at least one batch of real examples, got none"):
            game.play([], {})
        with pytest.raises(ValueError, match=r"at least one real example, got shape \(0, 1, 8, 8\)"):
            game.play([(images, labels), (images[:0], labels[:0])], {})
        with pytest.raises(ValueError, match=r"optimizers 'discriminator' and 'generator', got 'G'; lacks"):
            game.play([(images, labels)], {"G": Unmoved(game.generator)})
        by_class = small(classes=3)
        with pytest.raises(TypeError, match=r"expected classes as whole numbers, got torch.float32"):
            by_class.sample(2, torch.tensor([0.5, 1]))
        with pytest.raises(ValueError, match="batch_size of at least 1, got 0"):
            by_class.sample(2, labels[:2], batch_size=0)
        assert by_class.sample(0, labels[:0]).shape == (0, 2)
        with pytest.raises(ValueError, match=r"classes from 0 to 2, got \[1, 3\]"):
            by_class.sample(2, torch.tensor([1, 3]))
        with pytest.raises(ValueError, match="a class for each of 2 examples, got none"):
            by_class.sample(2)
        with pytest.raises(ValueError, match="at least one score"):
            AdversarialLoss()(torch.zeros(0, 1), "real")
    with pytest.raises(TypeError, match="a game has no validation loss"):
        trainer(small()).evaluate(torch.zeros(3, 2), torch.zeros(3))
    for wrong, said in (
        ({"kind": "best"}, "kind"),
        ({"smoothing": 0.5}, "smoothing"),
        ({"kind": "hinge", "smoothing": 0.1}, "hinge"),
    ):
        with pytest.raises(ValueError, match=said):
            AdversarialLoss(**wrong)
    with pytest.raises(ValueError, match="penalty"):
        small(penalty=-1.0)
    with pytest.raises(ValueError, match="at least 4 rows"):
        precision_recall(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="neighbours of at least 1, got 0"):
        precision_recall(torch.zeros(3, 2), torch.zeros(3, 2), 0)
    with pytest.raises(ValueError, match="norm"):
        Discriminator((2,), norm="batch")
    with pytest.raises(ValueError, match="classes of at least 0, got -1"):
        Generator(3, (2,), classes=-1)
