"""MiniGAN and MiniDCGAN: two networks, one of which makes what the other tells from the real."""

from ds_zoo.gan.game import Game
from ds_zoo.gan.loss import AdversarialLoss
from ds_zoo.gan.model import (
    DCDiscriminator,
    DCGenerator,
    Discriminator,
    Generator,
    interpolate,
)
from ds_zoo.gan.pretrained import GANConfig, MiniDCGAN, MiniGAN
from ds_zoo.gan.quality import frechet_distance, precision_recall

__all__ = [
    "AdversarialLoss",
    "DCDiscriminator",
    "DCGenerator",
    "Discriminator",
    "GANConfig",
    "Game",
    "Generator",
    "MiniDCGAN",
    "MiniGAN",
    "frechet_distance",
    "interpolate",
    "precision_recall",
]
