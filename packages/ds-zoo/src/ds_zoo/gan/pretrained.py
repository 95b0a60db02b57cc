"""MiniGAN and MiniDCGAN: both players of a game in one model, to and from a folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self, final

from ds_core import InputGrad
from ds_core.pretrained import Format, Pretrained
from torch import Tensor

from ds_zoo.gan.model import DCDiscriminator, DCGenerator, Discriminator, Generator, Norm
from ds_zoo.heads import LABELS, label_fields, labels_of

FIELDS = ("latent", "channels", "height", "width", "inner", "depth", "norm", "by_class")


@dataclass(frozen=True)
class GANConfig:
    """Size and shape of both players.

    Args:
        latent: numbers of noise for an image.
        channels: of the image.
        height: of the image, in pixels.
        width: of the image, in pixels.
        inner: width of the hidden layers; of convolutions, channels of the one next to the image.
        depth: hidden layers, if they are fully connected.
        norm: of the discriminator.
        by_class: whether both players are told the class of an image.
        labels: names of the classes.
    """

    latent: int = 64
    channels: int = 1
    height: int = 28
    width: int = 28
    inner: int = 32
    depth: int = 2
    norm: Norm = "none"
    by_class: bool = False
    labels: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Counts the classes that the players are told."""
        return len(self.labels) if self.by_class else 0

    def to_fields(self) -> dict[str, Any]:
        """Returns the fields of ``config.json``."""
        fields = asdict(self)
        return fields | label_fields(fields.pop("labels"))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Makes the configuration from the fields of ``config.json``.

        Raises:
            ValueError: if labels are not numbered from 0 on.
        """
        fields = dict(fields)
        return cls(
            labels=labels_of(fields), **{name: value for name, value in fields.items() if name in FIELDS}
        )


class Players(Pretrained):
    """Base of a generator and a discriminator that belong together; as a layer it is the generator.

    Args:
        config: size and shape.

    Shape:
        z ``(N, latent)``, labels ``(N,)`` or None -> images ``(N, channels, height, width)`` in [-1, 1].

    Raises:
        ValueError: if the input has another shape or a class does not exist.
    """

    generator: Generator | DCGenerator
    discriminator: Discriminator | DCDiscriminator

    def __init__(self, config: GANConfig) -> None:
        self.config = config
        self.generator, self.discriminator = self.players(config)

    @staticmethod
    def players(config: GANConfig) -> tuple[Any, Any]:
        """Makes both."""
        raise NotImplementedError

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Any:
        return self.generator(z, labels)

    def backward(self, grad: Tensor) -> InputGrad:
        return self.generator.backward(grad)

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        self.generator.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)

    def to_config(self) -> dict[str, Any]:
        return self.config.to_fields()

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(GANConfig.from_fields(fields))

    def extra_repr(self) -> str:
        return ""


@final
class MiniGAN(Players):
    """A generator and a discriminator of fully connected layers, see :class:`Generator`.

    Args:
        config: size and shape.

    Source: Goodfellow et al., Generative Adversarial Nets (2014).
    """

    hugging_face: ClassVar[Format] = Format("gan", (*FIELDS, *LABELS))

    @staticmethod
    def players(config: GANConfig) -> tuple[Any, Any]:
        shape = (config.channels, config.height, config.width)
        sizes: dict[str, Any] = {"width": config.inner, "depth": config.depth, "classes": config.classes}
        return Generator(config.latent, shape, **sizes), Discriminator(shape, **sizes, norm=config.norm)


@final
class MiniDCGAN(Players):
    """A generator and a discriminator of convolutions, see :class:`DCGenerator`.

    Args:
        config: size and shape; height and width are the same.

    Raises:
        ValueError: if height and width differ, or cannot be halved to 4, 5, 6 or 7 pixels.

    Source: Radford, Metz, Chintala, Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks (2016).
    """

    hugging_face: ClassVar[Format] = Format("dcgan", (*FIELDS, *LABELS))

    @staticmethod
    def players(config: GANConfig) -> tuple[Any, Any]:
        if config.height != config.width:
            raise ValueError(
                f"MiniDCGAN: expected images as high as wide, got {config.height} x {config.width}; resize "
                "them"
            )
        sizes: dict[str, Any] = {
            "channels": config.channels,
            "size": config.height,
            "width": config.inner,
            "classes": config.classes,
        }
        return DCGenerator(config.latent, **sizes), DCDiscriminator(**sizes, norm=config.norm)
