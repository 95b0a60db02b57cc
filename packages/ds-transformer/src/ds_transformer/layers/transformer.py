"""Transformer: an encoder reads one sequence, a decoder that looks at what it read writes another."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from ds_core import LayerNorm, Module
from ds_core.checks import shape
from ds_core.initializers import initialize, xavier_uniform_
from torch import Tensor

from ds_transformer.layers.decoder import TransformerDecoder, TransformerDecoderLayer
from ds_transformer.layers.encoder import TransformerEncoder, TransformerEncoderLayer
from ds_transformer.layers.transformer_layer import TransformerOptions
from ds_transformer.masks import causal_mask


class Transformer(Module):
    """Reads one sequence with an encoder and, looking at that, writes another with a decoder.

    memory = encoder(src),   y = decoder(tgt, memory)

    Between embeddings, which come before, and a last layer, which comes after: both are the model's that uses
    it.

    Args:
        d_model: C, the width.
        nhead: H, attention heads.
        num_encoder_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder.
        dim_feedforward: inner width of the network at each position.
        dropout: see :class:`TransformerEncoderLayer`.
        activation: "relu", "gelu" or a Module, which is copied.
        custom_encoder: used in place of the encoder.
        custom_decoder: used in place of the decoder.
        layer_norm_eps: added to the variance in the norms.
        batch_first: whether sequences are ``(B, T, C)`` and not ``(T, B, C)``.
        norm_first: whether each part normalises what it reads, and not the sum.
        bias: whether projections and norms have biases.
        device: of the parameters.
        dtype: of the parameters.
        options: see :class:`TransformerOptions`; ``init`` is of all matrices, Glorot's uniform one if None.

    Shape:
        src ``(B, S, C)``, tgt ``(B, T, C)``, or without B, or ``(S, B, C)`` unless ``batch_first`` -> like
        tgt; src_mask ``(S, S)``, tgt_mask ``(T, T)``, memory_mask ``(T, S)``, or ``(B H, ...)``; the key
        padding masks ``(B, S)`` or ``(B, T)``: True at what is hidden, or numbers added to the scores.
        ``backward`` returns the gradients of src and tgt.

    Raises:
        ValueError: if an option is out of range or a shape does not fit.

    Source: Vaswani et al., Attention Is All You Need (2017), figure 1.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Module = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[TransformerOptions],
    ) -> None:
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        common = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            device,
            dtype,
        )

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.encoder: Any = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*common, **options),
            num_encoder_layers,
            norm(),
        )
        self.decoder: Any = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*common, **options),
            num_decoder_layers,
            norm(),
        )
        init, generator = options.get("init") or xavier_uniform_, options.get("generator")
        for parameter in self.parameters():  # so that no two layers begin alike
            if parameter.dim() > 1:
                initialize(parameter, init, generator)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        for name, x in (("src", src), ("tgt", tgt)):
            if x.dim() not in (2, 3) or x.dim() != src.dim() or x.shape[-1] != self.d_model:
                raise ValueError(
                    f"{self.label()}: expected {name} of 2 or 3 dimensions, the last of them {self.d_model}, "
                    "and both "
                    f"alike, got src {shape(src)} and tgt {shape(tgt)}"
                )
        at = 0 if self.batch_first else 1
        if src.dim() == 3 and src.shape[at] != tgt.shape[at]:
            raise ValueError(
                f"{self.label()}: expected src and tgt of one batch size, got src {shape(src)} and tgt "
                f"{shape(tgt)}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
            tgt_is_causal,
            memory_is_causal,
        )

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        grad_tgt, grad_memory = self.decoder.backward(grad)
        return self.encoder.backward(grad_memory), grad_tgt

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Returns a causal mask to be added, ``(sz, sz)``: -inf ahead of each position, else 0."""
        zeros = torch.zeros(sz, sz, device=device, dtype=dtype)
        return zeros.masked_fill_(causal_mask(sz).to(zeros.device), -torch.inf)

    def _torch_options(self) -> dict[str, Any]:
        return {"num_encoder_layers": 0, "num_decoder_layers": 0}  # encoder and decoder follow

    def extra_repr(self) -> str:
        return f"{self.d_model}, batch_first=True" if self.batch_first else f"{self.d_model}"
