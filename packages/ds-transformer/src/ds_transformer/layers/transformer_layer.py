"""What encoder and decoder share: the small network after attention, and layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from ds_core import GELU, Dense, Dropout, Module, ModuleList, ReLU
from ds_core.initializers import Init, Start
from torch import Tensor

from ds_transformer.layers.multihead_attention import MultiheadAttention

ACTIVATIONS: dict[str, type[Module]] = {"relu": ReLU, "gelu": GELU}


class TransformerOptions(Start, total=False):
    """What the layers of Transformers take by keyword, besides how the initial weights are drawn.

    Attributes:
        attention_dropout: share of attention weights set to zero; None for ``dropout``.
        activation_dropout: dropout inside the network at each position; None for ``dropout``.
        blockwise: see :class:`MultiheadAttention`.
    """

    attention_dropout: float | None
    activation_dropout: float | None
    blockwise: bool | None


def sorted_options(
    dropout: float,
    *,
    attention_dropout: float | None = None,
    activation_dropout: float | None = None,
    blockwise: bool | None = None,
    init: Init | None = None,
    generator: torch.Generator | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sorts :class:`TransformerOptions` by who takes them: attention, and the network at each position."""
    start = {"init": init, "generator": generator}
    attention = {"dropout": dropout if attention_dropout is None else attention_dropout}
    network = {"dropout": dropout if activation_dropout is None else activation_dropout}
    return {**attention, "blockwise": blockwise, **start}, {**network, **start}


class TransformerLayer(Module):
    """Base of encoder and decoder layers: how they end, with a small network at each position.

    f(x) = linear2(dropout(activation(linear1(x))))
    """

    norm_first: bool
    self_attn: MultiheadAttention
    linear1: Dense
    linear2: Dense
    dropout: Dropout
    activation: Module

    def add_feed_forward(
        self,
        d_model: int,
        dim_feedforward: int,
        activation: str | Module,
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
        *,
        dropout: float,
        init: Init | None,
        generator: torch.Generator | None,
    ) -> None:
        """Makes the small network.

        Raises:
            ValueError: if there is no activation of that name.
        """
        if isinstance(activation, str) and activation not in ACTIVATIONS:
            raise ValueError(
                f"{type(self).__name__}: expected activation {' or '.join(map(repr, ACTIVATIONS))} or a "
                f"Module, got {activation!r}"
            )
        self.linear1 = Dense(d_model, dim_feedforward, bias, device, dtype, init=init, generator=generator)
        self.dropout = Dropout(dropout, generator=generator)
        self.linear2 = Dense(dim_feedforward, d_model, bias, device, dtype, init=init, generator=generator)
        self.activation = ACTIVATIONS[activation]() if isinstance(activation, str) else activation.copy()

    def feed_forward(self, x: Tensor) -> Tensor:
        """Runs the small network."""
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def feed_forward_backward(self, grad: Tensor) -> Tensor:
        """Returns the gradient of its input."""
        # Nested, so that no name keeps a wide gradient alive longer than it is needed.
        return self.linear1.backward(
            self.activation.backward(self.dropout.backward(self.linear2.backward(grad)))
        )

    def _torch_options(self) -> dict[str, Any]:
        return {
            "d_model": self.linear1.in_features,
            "nhead": self.self_attn.num_heads,
            "dim_feedforward": self.linear1.out_features,
            "dropout": self.dropout.p,
            "batch_first": self.self_attn.batch_first,
            "bias": self.linear1.bias is not None,
        }

    def extra_repr(self) -> str:
        first = ", norm_first=True" if self.norm_first else ""
        return f"{self.linear1.in_features}, {self.self_attn.num_heads}, {self.linear1.out_features}{first}"


class TransformerStack(Module):
    """Base of encoder and decoder: equal layers, one after the other, and perhaps a norm at the end."""

    layers: ModuleList
    norm: Module | None

    def add_layers(self, layer: Module, num_layers: int, norm: Module | None) -> None:
        """Copies a layer: the copies begin with the same weights and draw from the same generator.

        Raises:
            ValueError: if ``num_layers`` is below 1.
        """
        if num_layers < 1:
            raise ValueError(f"{type(self).__name__}: expected num_layers of at least 1, got {num_layers}")
        self.num_layers = num_layers
        self.layers = ModuleList(layer.copy(share_generators=True) for _ in range(num_layers))
        self.norm = norm

    def with_caches(self, caches: list[Any] | None) -> Iterator[tuple[Module, Any]]:
        """Pairs each layer with its cache."""
        if caches is not None and len(caches) != self.num_layers:
            raise ValueError(
                f"{type(self).__name__}: expected {self.num_layers} caches, one for each layer, got "
                f"{len(caches)}"
            )
        yield from zip(self.layers, caches or [None] * self.num_layers, strict=True)
