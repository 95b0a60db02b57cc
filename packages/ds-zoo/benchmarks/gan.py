"""One round of MiniDCGAN's game, and of WGAN-GP's, beside the same in torch.nn.

Both begin with the same weights, play with the same images and the same noise, and improve by Adam. The
referee of the penalty differentiates twice by torch.autograd, with ``create_graph``. The gradients are
compared before anything is timed.
"""

import copy
from collections.abc import Callable
from functools import partial

import torch
from ds_core import Adam, engine
from ds_core.verify.benchmark import Sides
from ds_zoo.gan import AdversarialLoss, DCDiscriminator, DCGenerator, Discriminator, Game, Generator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

LATENT, BATCH = 100, 64
RATE, BETAS, BETAS_OF_CRITIC = 2e-4, (0.5, 0.999), (0.0, 0.9)


class Turned(nn.Module):
    """Noise as an image of one pixel."""

    def forward(self, z: Tensor) -> Tensor:
        return z[:, :, None, None]


def dcgan(width: int) -> tuple[nn.Module, nn.Module]:
    """DCGAN for 28 x 28, as one writes it in torch."""
    generator = nn.Sequential(
        *(Turned(), nn.ConvTranspose2d(LATENT, 2 * width, 7, bias=False)),
        *(nn.BatchNorm2d(2 * width), nn.ReLU(True)),
        *(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)),
        *(nn.ConvTranspose2d(width, 1, 4, 2, 1), nn.Tanh()),
    )
    discriminator = nn.Sequential(
        *(nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2, True)),
        *(
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2, True),
        ),
        *(nn.Conv2d(2 * width, 1, 7), nn.Flatten()),
    )
    return generator, discriminator


def critic(width: int) -> nn.Module:
    """A critic of images, with layer norm: batch norm does not go with a penalty."""
    return nn.Sequential(
        *(nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2, True)),
        *(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LayerNorm((2 * width, 7, 7)), nn.LeakyReLU(0.2, True)),
        *(nn.Conv2d(2 * width, 1, 7), nn.Flatten()),
    )


def dense(width: int) -> tuple[nn.Module, nn.Module]:
    """Fully connected players."""
    generator = nn.Sequential(
        *(nn.Linear(LATENT, width), nn.ReLU(True), nn.Linear(width, width), nn.ReLU(True)),
        *(nn.Linear(width, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28))),
    )
    discriminator = nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, width), nn.LeakyReLU(0.2, True)),
        *(nn.Linear(width, width), nn.LeakyReLU(0.2, True), nn.Linear(width, 1)),
    )
    return generator, discriminator


def penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, weight: float) -> Tensor:
    """The gradient penalty, as one writes it in torch."""
    share = torch.rand(len(real), 1, 1, 1, dtype=real.dtype)
    x = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return weight * (slope.flatten(1).norm(dim=1) - 1).square().mean()


class Theirs:
    """One round of the game in torch.nn."""

    def __init__(
        self, players: tuple[nn.Module, nn.Module], weight: float, rate: float, betas: tuple[float, float]
    ) -> None:
        self.generator, self.discriminator = players
        self.weight, self.rate, self.betas = weight, rate, betas
        self.optimize(fused=None)
        self.average = [p.detach().clone() for p in self.generator.parameters()]

    def optimize(self, fused: bool | None) -> None:
        self.optimizers = [
            torch.optim.Adam(one.parameters(), self.rate, self.betas, fused=fused)
            for one in (self.generator, self.discriminator)
        ]

    def improve_discriminator(self, real: Tensor) -> Tensor:
        self.optimizers[1].zero_grad()
        with torch.no_grad():
            fake = self.generator(torch.randn(len(real), LATENT, dtype=real.dtype))
        loss = penalty(self.discriminator, real, fake, self.weight) if self.weight else torch.zeros(())
        loss = loss + self.cost(self.discriminator(real), 1.0) + self.cost(self.discriminator(fake), 0.0)
        loss.backward()
        return loss

    def improve_generator(self, real: Tensor) -> Tensor:
        self.optimizers[0].zero_grad()
        fake = self.generator(torch.randn(len(real), LATENT, dtype=real.dtype))
        self.discriminator.requires_grad_(False)
        loss = self.cost(self.discriminator(fake), 1.0)
        loss.backward()
        self.discriminator.requires_grad_(True)
        return loss

    def cost(self, scores: Tensor, goal: float) -> Tensor:
        if self.weight:
            return (1 - 2 * goal) * scores.mean()
        return binary_cross_entropy_with_logits(scores, torch.full_like(scores, goal))

    def play(self, batches: list[Tensor]) -> None:
        for real in batches:
            self.improve_discriminator(real)
            self.optimizers[1].step()
        self.improve_generator(batches[-1])
        self.optimizers[0].step()
        with torch.no_grad():
            for mean, now in zip(self.average, self.generator.parameters(), strict=True):
                mean.lerp_(now, 0.001)


class Noted:
    """An optimizer that only notes the gradients."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def zero_grad(self) -> None:
        self.module.zero_grad()

    def step(self) -> None:
        self.noted = [p.grad.clone() for p in self.module.parameters()]


def game(make: Callable[[], tuple[Game, Theirs]], critics: int, betas: tuple[float, float]) -> Sides:
    """One round: all passes and Adam of both players."""
    game, theirs = make()
    for mine, other in ((game.generator, theirs.generator), (game.discriminator, theirs.discriminator)):
        other.load_state_dict(
            {key.removeprefix("layers."): value for key, value in mine.state_dict().items()}
        )
    batches = [
        (torch.rand(BATCH, 1, 28, 28) * 2 - 1, torch.zeros(BATCH, dtype=torch.int64)) for _ in range(critics)
    ]
    check(game, theirs, batches[:1])
    players = {"discriminator": game.discriminator, "generator": game.generator}
    optimizers = {key: Adam(one.parameters(), RATE, betas) for key, one in players.items()}
    fused = copy.deepcopy(theirs)
    fused.optimize(fused=True)
    real = [one for one, _ in batches]

    def ours() -> None:
        with engine("manual"):
            game.play(batches, optimizers)

    return Sides(ours, lambda: theirs.play(real), [lambda: fused.play(real)])


def check(game: Game, theirs: Theirs, batches: list) -> None:
    """Compares the gradients of one round, in float64."""
    for one in (game, theirs.generator, theirs.discriminator):
        one.to(torch.float64)
    real = batches[0][0].double()
    ours = {"discriminator": Noted(game.discriminator), "generator": Noted(game.generator)}
    torch.manual_seed(1)
    with engine("manual"):
        game.play([(real, batches[0][1])], ours)
    torch.manual_seed(1)
    theirs.improve_discriminator(real)
    compare_all(ours["discriminator"].noted, theirs.discriminator)
    theirs.improve_generator(real)
    compare_all(ours["generator"].noted, theirs.generator)
    for one in (game, theirs.generator, theirs.discriminator):
        one.to(torch.float32)


def compare_all(mine: list[Tensor], theirs: nn.Module) -> None:
    for grad, other in zip(mine, theirs.parameters(), strict=True):
        torch.testing.assert_close(grad, other.grad, rtol=1e-6, atol=1e-10)


def dcgans(width: int) -> tuple[Game, Theirs]:
    ours = Game(DCGenerator(LATENT, width=width), DCDiscriminator(width=width), AdversarialLoss())
    return ours, Theirs(dcgan(width), 0.0, RATE, BETAS)


def critics() -> tuple[Game, Theirs]:
    players = DCGenerator(LATENT, width=32), DCDiscriminator(width=32, norm="layer")
    ours = Game(*players, AdversarialLoss("wasserstein"), penalty=10.0)
    return ours, Theirs((dcgan(32)[0], critic(32)), 10.0, RATE, BETAS_OF_CRITIC)


def dense_critics() -> tuple[Game, Theirs]:
    players = Generator(LATENT, (1, 28, 28), 256), Discriminator((1, 28, 28), 256)
    ours = Game(*players, AdversarialLoss("wasserstein"), penalty=10.0)
    return ours, Theirs(dense(256), 10.0, RATE, BETAS_OF_CRITIC)


ROWS = {
    "DCGAN, 28 x 28, width 32": partial(game, partial(dcgans, 32), 1, BETAS),
    "DCGAN, 28 x 28, width 64": partial(game, partial(dcgans, 64), 1, BETAS),
    "WGAN-GP, 28 x 28, width 32, 5 steps of the critic": partial(game, critics, 5, BETAS_OF_CRITIC),
    "WGAN-GP, fully connected, width 256, 5 steps of the critic": partial(
        game, dense_critics, 5, BETAS_OF_CRITIC
    ),
}
