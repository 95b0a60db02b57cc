"""Game: a generator and a discriminator, and one round of their game, as the papers' algorithms have it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, final

import torch
from ds_cnn import BatchNorm2d
from ds_core import Module, Tanh, keep_for_second
from ds_core.checks import check_whole, shape
from ds_core.kernels import dispatch
from ds_core.module import evaluating
from ds_core.optimizers import Optimizer
from torch import Tensor

from ds_zoo import functional
from ds_zoo.gan.loss import AdversarialLoss, Goal

gradient_penalty, gradient_penalty_backward = dispatch(functional.gradient_penalty, half=torch.float32)


@final
class Noise(Module):
    """Draws what a generator begins with: z ~ N(0, 1).

    Args:
        latent: numbers for one example.
        generator: source of the numbers; None for torch's global one.
    """

    def __init__(self, latent: int, *, generator: torch.Generator | None = None) -> None:
        self.latent, self.generator = latent, generator

    def forward(self, count: int, like: Tensor) -> Tensor:
        return torch.randn(count, self.latent, generator=self.generator, device=like.device, dtype=like.dtype)

    def extra_repr(self) -> str:
        return str(self.latent)


@final
class Game(Module):
    """A generator that wants its examples taken for real, and a discriminator that wants to tell them apart.

    Args:
        generator: G, from noise ``(N, latent)`` and labels to examples.
        discriminator: D, from examples and labels to scores ``(N, 1)``.
        loss: what scores cost either.
        penalty: weight of the gradient penalty; 0 for none.
        penalty_at: where the penalty is taken: "between" real and made examples, where the gradient's length
            is to be 1 (WGAN-GP), or at the "real" ones, where it is to be 0 (R1).
        decay: d of the moving average of the generator's weights, M = d M + (1 - d) W after each round; at
            the beginning less, (1 + t) / (10 + t). The samples are those of the average.

    Raises:
        ValueError: if an argument is out of its range.

    Source: Goodfellow et al., Generative Adversarial Nets (2014), algorithm 1; Gulrajani et al., Improved
    Training of Wasserstein GANs (2017), algorithm 1; Yazici et al., The Unusual Effectiveness of Averaging in
    GAN Training (2019), for the average.
    """

    rounds: Tensor

    def __init__(
        self,
        generator: Any,
        discriminator: Any,
        loss: AdversarialLoss,
        *,
        penalty: float = 0.0,
        penalty_at: str = "between",
        decay: float = 0.999,
    ) -> None:
        if penalty < 0 or penalty_at not in ("between", "real"):
            raise ValueError(
                "Game: expected a penalty of at least 0, at 'between' or 'real', "
                f"got {penalty} at {penalty_at!r}"
            )
        if not 0 <= decay < 1:
            raise ValueError(f"Game: expected decay in [0, 1), got {decay}")
        self.generator = generator.requires_input_grad_(False)  # nobody wants the gradient of noise
        self.discriminator = discriminator
        self.loss = loss
        self.noise = Noise(generator.features[0])
        self.penalty, self.penalty_at, self.decay = penalty, penalty_at, decay
        self.average = generator.copy().requires_grad_(False).eval()
        self.register_buffer("rounds", torch.zeros((), dtype=torch.int64))

    # ---- one round -----------------------------------------------------------------------------------

    def play(
        self, batches: Sequence[Sequence[Any]], optimizers: Mapping[str, Optimizer]
    ) -> dict[str, Tensor]:
        """Improves the discriminator once for each batch, then the generator once.

        Args:
            batches: of real examples, each with the class of every example.
            optimizers: "discriminator" and "generator".

        Returns:
            ``loss`` (the discriminator's), ``generator_loss``, ``told`` (the share of scores on the right
            side of 0) and, if there is one, ``penalty``.

        Raises:
            ValueError: if there is no batch, or one holds no example, a single one, which batch norm cannot
                norm, NaN or infinity, or numbers outside [-1, 1] where the generator's are within; or an
                optimizer is missing. Nothing has changed then.
        """
        if not batches:
            raise ValueError("Game: expected at least one batch of real examples, got none")
        for real, _ in batches:
            self.check(real)
        if missing := {"discriminator", "generator"} - optimizers.keys():
            raise ValueError(
                "Game: expected the optimizers 'discriminator' and 'generator', got "
                f"{', '.join(map(repr, optimizers)) or 'none'}; lacks {' and '.join(sorted(missing))}"
            )
        for real, labels in batches:
            numbers = self.improve_discriminator(real, labels, optimizers["discriminator"])
        numbers["generator_loss"] = self.improve_generator(real, labels, optimizers["generator"])
        self.move_average()
        return numbers

    def check(self, real: Tensor) -> None:
        """Checks that real examples are what the players can take; :meth:`play` says what is raised."""
        if not real.numel():
            raise ValueError(f"Game: expected at least one real example, got shape {shape(real)}")
        if len(real) < 2 and self._has(BatchNorm2d):
            raise ValueError(
                f"Game: expected a batch of at least 2 examples, which batch norm compares, got {len(real)}; "
                "choose a batch size that leaves no single one over"
            )
        low, high = map(float, real.aminmax())
        if not math.isfinite(high - low):
            raise ValueError(f"Game: expected real examples of finite numbers, got {low:.3g} to {high:.3g}")
        if max(-low, high) > 1 and self._has(Tanh):
            raise ValueError(
                f"Game: expected real examples in [-1, 1], as the generator's are, got {low:.3g} to "
                f"{high:.3g}; images with numbers from 0 to 255 are scaled by x / 127.5 - 1"
            )

    def _has(self, kind: type[Module]) -> bool:
        """Says whether a player has a layer of a kind."""
        parts = *self.generator.modules(), *self.discriminator.modules()
        return any(isinstance(part, kind) for part in parts)

    def improve_discriminator(
        self, real: Tensor, labels: Tensor | None, optimizer: Optimizer
    ) -> dict[str, Tensor]:
        """Makes one step towards telling real examples, high, from made ones, low."""
        numbers = {}
        optimizer.zero_grad()
        fake = self.generator(self.noise(len(real), real), labels)
        self.generator.forget()  # this step is not the generator's
        if self.penalty:
            numbers["penalty"] = self.penalise(real, fake, labels)

        with input_unwanted(self.discriminator):
            if self.penalty:  # it asks that each example is scored by itself, so that one pass is enough
                twice = labels if labels is None else torch.cat([labels, labels])
                scores_real, scores_fake = self.discriminator(torch.cat([real, fake]), twice).chunk(2)
                loss_real, grad_real = self._cost(scores_real, "real")
                loss_fake, grad_fake = self._cost(scores_fake, "fake")
                self.discriminator.backward(torch.cat([grad_real, grad_fake]))
            else:  # batch norm does not mix the two
                scores_real = self.discriminator(real, labels)
                loss_real, grad_real = self._cost(scores_real, "real")
                self.discriminator.backward(grad_real)

                scores_fake = self.discriminator(fake, labels)
                loss_fake, grad_fake = self._cost(scores_fake, "fake")
                self.discriminator.backward(grad_fake)

        optimizer.step()
        told = ((scores_real > 0).sum() + (scores_fake < 0).sum()) / (2 * len(real))
        return {"loss": loss_real + loss_fake, **numbers, "told": told}

    def improve_generator(self, real: Tensor, labels: Tensor | None, optimizer: Optimizer) -> Tensor:
        """Makes one step towards examples that the discriminator takes for real."""
        optimizer.zero_grad()
        fake = self.generator(self.noise(len(real), real), labels)
        with parameters_unwanted(self.discriminator):
            loss, grad_scores = self._cost(self.discriminator(fake, labels), "fool")
            grad_fake = self.discriminator.backward(grad_scores)
        self.generator.backward(grad_fake)
        optimizer.step()
        return loss

    def _cost(self, scores: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
        """Returns what scores cost a player, and its gradient with respect to them."""
        cost: Tensor = self.loss(scores, goal)
        return cost, self.loss.backward()

    def penalise(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
        """Adds the gradient of the penalty on the gradient to the discriminator's.

        P = w mean (|dD(x)/dx| - c)^2;   its gradient goes through dD/dx, in the order of forward, and then
        through what that was computed from, in the order of backward.
        """
        goal, x = 0.0, real
        if self.penalty_at == "between":
            share = torch.rand(
                (len(real), *[1] * (real.dim() - 1)),
                generator=self.noise.generator,
                device=real.device,
                dtype=real.dtype,
            )
            goal, x = 1.0, share * real + (1 - share) * fake
        with keep_for_second():
            scores = self.discriminator(x, labels)
            with parameters_unwanted(self.discriminator):
                slope = self.discriminator.backward(torch.ones_like(scores))
            penalty, saved = gradient_penalty(slope, self.penalty, goal)
            self.discriminator.second_backward(gradient_penalty_backward(1.0, saved))
            if self.discriminator.owes_backward():
                with input_unwanted(self.discriminator):
                    self.discriminator.backward(torch.zeros_like(scores))
            self.discriminator.forget()
        result: Tensor = penalty
        return result

    @torch.no_grad()
    def move_average(self) -> None:
        """Moves the averaged generator a little towards the present one; running statistics are copied."""
        self.rounds += 1
        decay = min(self.decay, (1 + float(self.rounds)) / (10 + float(self.rounds)))
        for mean, now in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)
        for mean, now in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            mean.copy_(now)

    # ---- what it is good for -------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self, noise: Tensor | int, labels: Tensor | None = None, *, seed: int = 0, batch_size: int = 256
    ) -> Tensor:
        """Makes examples, by the averaged generator.

        Args:
            noise: z ``(N, latent)``, or N, for noise drawn here.
            labels: the class of each, ``(N,)``, if there are classes.
            seed: of the noise.
            batch_size: how many are made at a time.

        Returns:
            ``(N, ...)``.

        Raises:
            ValueError: if a class does not exist, or a number of examples is out of range.
        """
        like = next(self.average.parameters())
        if isinstance(noise, int):
            check_whole("Game.sample", 0, noise=noise)
            draw = torch.Generator().manual_seed(seed)
            noise = torch.randn(noise, self.noise.latent, generator=draw)
        z = noise.to(like)
        check_whole("Game.sample", batch_size=batch_size)
        known = [None] * len(z) if labels is None else labels.to(z.device)
        with evaluating(self.average):
            parts = [
                self.average(z[i : i + batch_size], None if labels is None else known[i : i + batch_size])
                for i in range(0, max(1, len(z)), batch_size)
            ]
        return torch.cat(parts)

    def train(self, mode: bool = True) -> Self:
        """Switches the two players; the average is never trained."""
        super().train(mode)
        self.average.eval()
        return self


@contextmanager
def input_unwanted(module: Module) -> Iterator[None]:
    """Computes no gradient of the input in the block."""
    module.requires_input_grad_(False)
    try:
        yield
    finally:
        module.requires_input_grad_()


@contextmanager
def parameters_unwanted(module: Module) -> Iterator[None]:
    """Computes no gradient of the parameters in the block, and leaves those there are."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()
