"""The translator, beside the same put together from torch.nn's parts."""

import math

import torch
from ds_core.verify import Case
from ds_transformer import TransformerTranslator, TransformerTranslatorConfig
from torch import nn


class TorchTranslator(nn.Module):
    """Embeddings, torch.nn.Transformer and a last layer, under the same names."""

    def __init__(self, sources, targets, share, norm_first, activation):
        super().__init__()
        self.source_embedding = nn.Embedding(sources, 8)
        self.target_embedding = nn.Embedding(targets, 8)
        if share:
            self.target_embedding.weight = self.source_embedding.weight
        options = {"batch_first": True, "norm_first": norm_first, "activation": activation}
        self.transformer = nn.Transformer(8, 2, 1, 1, 12, 0.0, **options)
        self.head = nn.Linear(8, targets, bias=False)
        self.head.weight = self.target_embedding.weight

    def placed(self, x):
        like = {"dtype": x.dtype, "device": x.device}
        rates = 10000 ** -(torch.arange(0, 8, 2, device=x.device) / 8).to(x.dtype)
        angles = torch.arange(x.shape[1], **like)[:, None] * rates
        return x * math.sqrt(8) + torch.stack([angles.sin(), angles.cos()], -1).flatten(1)

    def forward(self, source, lengths, target):
        lengths = torch.as_tensor(lengths, device=source.device)
        hidden = torch.arange(source.shape[1], device=source.device) >= lengths[:, None]
        ahead = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=source.device).triu(1)
        y = self.transformer(
            self.placed(self.source_embedding(source)),
            self.placed(self.target_embedding(target)),
            tgt_mask=ahead,
            src_key_padding_mask=hidden,
            memory_key_padding_mask=hidden,
        )
        return self.head(y)


def sentences(generator, lengths=(5, 2, 4), target=4):
    """Sources of these lengths, and their targets; token 0 is padding."""
    lengths = torch.tensor(lengths)
    source = torch.randint(4, 9, (len(lengths), int(lengths.max())), generator=generator)
    source[torch.arange(source.shape[1]) >= lengths[:, None]] = 0
    return source, lengths, torch.randint(1, 9, (len(lengths), target), generator=generator)


def translator(
    name, inputs=sentences, sources=11, share=False, norm_first=True, activation="relu", dropout=0.0
):
    return Case(
        name=f"TransformerTranslator({name})",
        make=lambda: TransformerTranslator(
            TransformerTranslatorConfig(
                sources, 9, 8, 2, 1, 1, 12, dropout, activation, norm_first, share_embeddings=share
            )
        ),
        inputs=inputs,
        namesake=None if dropout else lambda: TorchTranslator(sources, 9, share, norm_first, activation),
        no_namesake="torch draws dropout's numbers in another order" if dropout else "",
    )


CASES = [
    translator("norm first"),
    translator("norm last, gelu", norm_first=False, activation="gelu"),
    translator("shared embeddings", sources=9, share=True),
    translator("shared embeddings, norm last", sources=9, share=True, norm_first=False),
    translator("one token", lambda g: sentences(g, (1,), 1)),
    translator("dropout", dropout=0.3),
]
