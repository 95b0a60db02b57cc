"""MiniGPT beside torch.nn and beside transformers' GPT-2: a training step, and writing a text.

One referee of the training step is written the way one writes a GPT in torch: torch.nn layers, its fused
attention and cross-entropy, torch.optim.AdamW and clip_grad_norm_. The other is GPT2LMHeadModel, with the
same loss and optimizer, and its fused attention. Texts are written greedily, with a cache, by ours and by
GPT2LMHeadModel, and are compared, too.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import transformers
from ds_core import AdamW, CrossEntropyLoss
from ds_core.verify.benchmark import Sides, step, twin
from ds_zoo import MiniGPT, MiniGPTConfig
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, scaled_dot_product_attention


class TorchAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x):
        qkv = linear(x, self.in_proj_weight, self.in_proj_bias).split(x.shape[-1], -1)
        heads = [t.view(*t.shape[:2], self.heads, -1).transpose(1, 2) for t in qkv]
        out = scaled_dot_product_attention(*heads, is_causal=True)
        return self.out_proj(out.transpose(1, 2).reshape(x.shape))


class TorchBlock(nn.Module):
    def __init__(self, width: int, heads: int, approximate: str) -> None:
        super().__init__()
        self.self_attn = TorchAttention(width, heads)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.activation = nn.GELU(approximate)

    def forward(self, x):
        x = x + self.self_attn(self.norm1(x))
        return x + self.linear2(self.activation(self.linear1(self.norm2(x))))


class TorchGPT(nn.Module):
    def __init__(self, config: MiniGPTConfig) -> None:
        super().__init__()
        width = config.n_embd
        approximate = {"gelu": "none", "gelu_new": "tanh"}[config.activation_function]
        self.wte = nn.Embedding(config.vocab_size, width)
        self.wpe = nn.Embedding(config.n_positions, width)
        self.blocks = nn.ModuleList(
            TorchBlock(width, config.n_head, approximate) for _ in range(config.n_layer)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.head.weight = self.wte.weight

    def forward(self, ids):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def torch_gpt(model: MiniGPT) -> nn.Module:
    referee = TorchGPT(model.config)
    referee.load_state_dict(model.state_dict())
    return referee


def gpt2(model: MiniGPT) -> nn.Module:
    return twin(model, transformers.GPT2LMHeadModel, attn_implementation="sdpa")


def training(batch: int, config: MiniGPTConfig, make_referee: Callable[[MiniGPT], nn.Module]) -> Sides:
    model, loss = MiniGPT(config), CrossEntropyLoss(dim=-1)
    ids = torch.randint(config.vocab_size, (batch, config.n_positions + 1))

    def ours(model, x, y):
        loss(model(x), y)
        model.backward(loss.backward())

    def theirs(referee, x, y):
        logits = referee(x)
        logits = logits if isinstance(logits, Tensor) else logits.logits
        cross_entropy(logits.flatten(0, 1), y.flatten()).backward()

    options: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.99), "weight_decay": 0.1}
    return step(
        *(model, make_referee(model), (ids[:, :-1].contiguous(), ids[:, 1:].contiguous()), ours, theirs),
        update=partial(AdamW, **options),
        their_update=partial(torch.optim.AdamW, **options),
        their_clip=nn.utils.clip_grad_norm_,
    )


def writing(config: MiniGPTConfig, batch: int, new: int) -> Sides:
    """Writes some tokens, with a cache, behind a prompt of 16."""
    model = MiniGPT(replace(config, initializer_range=0.2)).eval()  # whose likeliest token stands out
    referee = gpt2(model).eval()
    prompt = torch.randint(config.vocab_size, (batch, 16))
    options = {"do_sample": False, "max_new_tokens": new, "eos_token_id": None, "pad_token_id": 0}

    def ours() -> Tensor:
        return model.generate(prompt, new, temperature=0)

    def theirs() -> Tensor:
        return referee.generate(prompt, attention_mask=torch.ones_like(prompt), **options)

    assert torch.equal(ours(), theirs())
    return Sides(ours, theirs)


SMALL, LARGE = MiniGPTConfig(65, 64, 128, 4, 4), MiniGPTConfig(256, 128, 256, 4, 4)
SIZES = {
    "batch 12, context 64, width 128, 4 layers": (12, SMALL),
    "batch 16, context 128, width 256, 4 layers": (16, LARGE),
}
REFEREES = {"torch.nn": torch_gpt, "transformers": gpt2}
ROWS = {
    **{
        f"step beside {referee}, {name}": partial(training, *size, make)
        for referee, make in REFEREES.items()
        for name, size in SIZES.items()
    },
    "writes, width 128, 4 layers, batch 1": partial(writing, SMALL, 1, 48),
    "writes, width 256, 4 layers, batch 1": partial(writing, LARGE, 1, 112),
    "writes, width 256, 4 layers, batch 8": partial(writing, LARGE, 8, 112),
    "writes, GPT-2's size, batch 1": partial(writing, MiniGPTConfig(50257, 256, 768, 12, 12), 1, 32),
}
