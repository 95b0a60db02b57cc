"""Generators, discriminators and the losses of their game."""

import torch
from ds_core import Module
from ds_core.kernels import dispatch
from ds_core.verify import Case
from ds_core.verify.inputs import normal
from ds_zoo import functional
from ds_zoo.gan import (
    AdversarialLoss,
    DCDiscriminator,
    DCGenerator,
    Discriminator,
    GANConfig,
    Generator,
    MiniDCGAN,
    MiniGAN,
)
from torch import nn
from torch.nn.functional import softplus

penalty, penalty_backward = dispatch(functional.gradient_penalty)


class Penalty(Module):
    def __init__(self, goal):
        self.goal = goal

    def forward(self, slope):
        value, saved = penalty(slope, 10.0, self.goal)
        self.save(saved)
        return value

    def backward(self, grad):
        (saved,) = self.saved()
        return penalty_backward(grad, saved)


def labelled(*shape, classes=3):
    def draw(g):
        return torch.randn(*shape, generator=g), torch.randint(classes, shape[:1], generator=g)

    return draw


def by_name(theirs):
    """Our weights stand under "layers."; theirs is a plain Sequential."""
    return {
        "namesake": theirs,
        "carry": lambda state: {k.removeprefix("layers."): v for k, v in state.items()},
    }


def dcgan_generator():
    return nn.Sequential(
        *(nn.Unflatten(1, (5, 1, 1)), nn.ConvTranspose2d(5, 4, 4, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh()),
    )


def dcgan_discriminator():
    return nn.Sequential(
        *(nn.Conv2d(1, 2, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(2, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(4, 1, 4), nn.Flatten()),
    )


def mlp_discriminator():
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(4, 5), nn.LayerNorm(5), nn.LeakyReLU(0.2), nn.Linear(5, 1)),
    )


REFERENCES = {
    ("non_saturating", "real"): lambda s: 0.9 * softplus(-s).mean() + 0.1 * softplus(s).mean(),
    ("non_saturating", "fake"): lambda s: softplus(s).mean(),
    ("non_saturating", "fool"): lambda s: softplus(-s).mean(),
    ("least_squares", "real"): lambda s: (s - 0.9).square().mean() / 2,
    ("least_squares", "fake"): lambda s: s.square().mean() / 2,
    ("least_squares", "fool"): lambda s: (s - 1).square().mean() / 2,
    ("hinge", "real"): lambda s: (1 - s).relu().mean(),
    ("hinge", "fake"): lambda s: (1 + s).relu().mean(),
    ("hinge", "fool"): lambda s: -s.mean(),
    ("wasserstein", "real"): lambda s: -s.mean(),
    ("wasserstein", "fake"): lambda s: s.mean(),
    ("wasserstein", "fool"): lambda s: -s.mean(),
}
SMOOTH = ("non_saturating", "least_squares")

CASES = [
    *(
        Case(
            name=f"AdversarialLoss({kind}), {goal}",
            make=lambda kind=kind: AdversarialLoss(kind, 0.1 if kind in SMOOTH else 0.0),
            inputs=lambda g, goal=goal: (torch.randn(6, 1, generator=g), goal),
            no_namesake="torch.nn has no losses of games",
            reference=lambda _, scores, goal, value=value: value(scores),
        )
        for (kind, goal), value in REFERENCES.items()
    ),
    *(
        Case(
            name=f"gradient penalty, goal {goal}",
            make=lambda goal=goal: Penalty(goal),
            inputs=normal((4, 2, 3)),
            no_namesake="torch.nn has no penalties",
            reference=lambda module, d: 10 * (d.flatten(1).norm(dim=1) - module.goal).square().mean(),
        )
        for goal in (0.0, 1.0)
    ),
    Case(
        name="Generator",
        make=lambda: Generator(3, (1, 2, 2), width=5, depth=1),
        inputs=normal((4, 3)),
        **by_name(
            lambda: nn.Sequential(
                *(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh(), nn.Unflatten(1, (1, 2, 2)))
            )
        ),
    ),
    Case(
        name="Generator, by class",
        make=lambda: Generator(3, (2,), width=5, depth=1, classes=3, bounded=False),
        inputs=labelled(4, 3),
        no_namesake="its parts have theirs",
    ),
    Case(
        name="Discriminator, layer norm",
        make=lambda: Discriminator((1, 2, 2), width=5, depth=1, norm="layer"),
        inputs=normal((4, 1, 2, 2)),
        **by_name(mlp_discriminator),
    ),
    Case(
        name="Discriminator, spectral norm, by class",
        make=lambda: Discriminator((2,), width=5, depth=1, classes=3, norm="spectral"),
        inputs=labelled(4, 2),
        no_namesake="its parts have theirs",
        no_differences="u and v are held fixed in the backward, and move with W in the forward",
    ),
    Case(
        name="DCGenerator",
        make=lambda: DCGenerator(5, size=8, width=4),
        inputs=normal((3, 5)),
        **by_name(dcgan_generator),
    ),
    Case(
        name="DCDiscriminator",
        make=lambda: DCDiscriminator(size=16, width=2),
        inputs=normal((3, 1, 16, 16)),
        **by_name(dcgan_discriminator),
    ),
    Case(
        name="MiniGAN",
        make=lambda: MiniGAN(GANConfig(3, 1, 2, 2, inner=5, depth=1)),
        inputs=normal((4, 3)),
        no_namesake="its players have theirs",
    ),
    Case(
        name="MiniDCGAN",
        make=lambda: MiniDCGAN(GANConfig(3, 1, 8, 8, inner=2)),
        inputs=normal((4, 3)),
        no_namesake="its players have theirs",
    ),
    Case(
        name="DCDiscriminator, layer norm, by class",
        make=lambda: DCDiscriminator(size=16, width=2, classes=3, norm="layer"),
        inputs=labelled(2, 1, 16, 16),
        no_namesake="its parts have theirs",
    ),
]
