"""MiniGPT, beside a model put together from torch.nn and beside transformers' GPT-2."""

import torch
from ds_core.verify import Case
from ds_zoo import MiniGPT, MiniGPTConfig
from torch import nn

SMALL = {"vocab_size": 11, "n_positions": 6, "n_embd": 8, "n_layer": 2, "n_head": 2}


class TorchGPT(nn.Module):
    """The same network from torch.nn's own layers, with MiniGPT's parameter names."""

    def __init__(self, tie=True, vocab_size=11, n_positions=6, n_embd=8, n_layer=2, n_head=2):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_positions, n_embd)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                n_embd, n_head, 4 * n_embd, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(n_layer)
        )
        self.norm = nn.LayerNorm(n_embd)
        self.head = nn.Linear(n_embd, vocab_size, bias=False)
        if tie:
            self.head.weight = self.wte.weight

    def forward(self, ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[-1]]
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[-1], dtype=x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))


CASES = [
    Case(
        name="MiniGPT",
        make=lambda: MiniGPT(MiniGPTConfig(**SMALL, activation_function="gelu")),
        inputs=lambda g: (torch.randint(11, (3, 6), generator=g),),
        namesake=TorchGPT,
    ),
    Case(
        name="MiniGPT(tie_word_embeddings=False), unbatched, short",
        make=lambda: MiniGPT(MiniGPTConfig(**SMALL, activation_function="gelu", tie_word_embeddings=False)),
        inputs=lambda g: (torch.randint(11, (4,), generator=g),),
        namesake=lambda: TorchGPT(tie=False),
    ),
    Case(
        name="MiniGPT(gelu_new, dropout)",
        make=lambda: MiniGPT(MiniGPTConfig(**SMALL, embd_pdrop=0.1, resid_pdrop=0.1, attn_pdrop=0.1)),
        inputs=lambda g: (torch.randint(11, (2, 5), generator=g),),
        no_namesake="torch draws dropout's numbers in another order",
    ),
]
