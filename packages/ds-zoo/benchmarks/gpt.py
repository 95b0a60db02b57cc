"""One training step of MiniGPT beside the same model of torch.nn: time and peak memory.

The referee is written the way one writes a GPT in torch: torch.nn layers, its fused attention and
cross-entropy, torch.optim.AdamW and clip_grad_norm_. Both start from the same weights, and the gradients
are compared before anything is timed.
"""

import torch
from ds_core import AdamW, CrossEntropyLoss, clip_grad_norm_, engine
from ds_core.verify.benchmark import Comparison, compare, report
from ds_zoo import MiniGPT, MiniGPTConfig
from torch import nn


class TorchAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x):
        query, key, value = self.in_proj(x).split(x.shape[-1], -1)
        query, key, value = (
            t.view(*t.shape[:2], self.heads, -1).transpose(1, 2) for t in (query, key, value)
        )
        out = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
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


def measure(name: str, config: MiniGPTConfig, batch: int) -> Comparison:
    torch.manual_seed(0)
    model, referee = MiniGPT(config), TorchGPT(config)
    referee.load_state_dict({k.replace("in_proj_", "in_proj."): v for k, v in model.state_dict().items()})
    ids = torch.randint(config.vocab_size, (batch, config.n_positions + 1))
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    loss, their_loss = CrossEntropyLoss(dim=-1), nn.CrossEntropyLoss()
    options = {"lr": 1e-3, "betas": (0.9, 0.99), "weight_decay": 0.1}
    optimizer, their_optimizer = (
        AdamW(model.parameters(), **options),
        torch.optim.AdamW(referee.parameters(), **options),
    )

    def our_gradients() -> None:
        model.zero_grad()
        with engine("manual"):
            loss(model(x), y)
            model.backward(loss.backward())

    def their_gradients() -> None:
        their_optimizer.zero_grad()
        their_loss(referee(x).flatten(0, 1), y.flatten()).backward()

    our_gradients()
    their_gradients()
    theirs_by_name = {k.replace("in_proj.", "in_proj_"): p for k, p in referee.named_parameters()}
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs_by_name[key].grad, rtol=1e-3, atol=1e-5)

    def ours() -> None:
        our_gradients()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def theirs() -> None:
        their_gradients()
        nn.utils.clip_grad_norm_(referee.parameters(), 1.0)
        their_optimizer.step()

    return compare(name, ours, theirs, seconds=8, medium=True)


def main() -> None:
    rows = []
    for name, batch, config in (
        ("batch 12, context 64, width 128, 4 layers", 12, MiniGPTConfig(65, 64, 128, 4, 4)),
        ("batch 16, context 128, width 256, 4 layers", 16, MiniGPTConfig(256, 128, 256, 4, 4)),
    ):
        rows.append(measure(name, config, batch))
    report("MiniGPT training step: forward, backward, clip, AdamW", rows)


if __name__ == "__main__":
    main()
