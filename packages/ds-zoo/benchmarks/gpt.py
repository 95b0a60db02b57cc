"""MiniGPT beside torch.nn and beside transformers' GPT-2: a training step, and writing a text.

One referee of the training step is written the way one writes a GPT in torch: torch.nn layers, its fused
attention and cross-entropy, torch.optim.AdamW and clip_grad_norm_. The other is GPT2LMHeadModel, with the
same loss and optimizer, and its fused attention. Both start from our weights, and the gradients are compared
before anything is timed. Texts are written greedily, with a cache, by ours and by GPT2LMHeadModel, and are
compared, too.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace

import torch
import transformers
from ds_core import AdamW, CrossEntropyLoss, clip_grad_norm_, engine
from ds_core.verify.benchmark import Comparison, compare, report
from ds_zoo import MiniGPT, MiniGPTConfig
from torch import Tensor, nn


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


Referee = tuple[nn.Module, Callable[[Tensor], Tensor], Callable[[str], Tensor]]


def torch_referee(model: MiniGPT) -> Referee:
    """Returns a model of torch.nn, what gives its logits, and its gradient of what we call so."""
    referee = TorchGPT(model.config)
    referee.load_state_dict({k.replace("in_proj_", "in_proj."): v for k, v in model.state_dict().items()})
    theirs = dict(referee.named_parameters())
    return referee, referee, lambda name: theirs[name.replace("in_proj_", "in_proj.")].grad


def gpt2_referee(model: MiniGPT) -> Referee:
    """Returns the model of transformers, and the same two."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        referee = transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation="sdpa").train()
    theirs = dict(referee.named_parameters())

    def gradient(name: str) -> Tensor:
        (stored,), transposed = model.hugging_face.stored(name)
        return theirs[stored].grad.mT if transposed else theirs[stored].grad

    return referee, lambda ids: referee(ids).logits, gradient


def measure(
    name: str, config: MiniGPTConfig, batch: int, make_referee: Callable[[MiniGPT], Referee]
) -> Comparison:
    """Measures a training step: forward, backward, clip, AdamW."""
    torch.manual_seed(0)
    model = MiniGPT(config)
    referee, logits, gradient = make_referee(model)
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
        their_loss(logits(x).flatten(0, 1), y.flatten()).backward()

    our_gradients()
    their_gradients()
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradient(key), rtol=1e-3, atol=1e-5)

    def ours() -> None:
        our_gradients()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def theirs() -> None:
        their_gradients()
        nn.utils.clip_grad_norm_(referee.parameters(), 1.0)
        their_optimizer.step()

    return compare(name, ours, theirs, seconds=6, medium=True)


def write(name: str, config: MiniGPTConfig, batch: int, new: int) -> Comparison:
    """Measures the writing of some tokens, with a cache, behind a prompt of 16."""
    torch.manual_seed(0)
    model = MiniGPT(replace(config, initializer_range=0.2)).eval()  # whose likeliest token stands out
    referee = gpt2_referee(model)[0].eval()
    prompt = torch.randint(config.vocab_size, (batch, 16))
    options = {"do_sample": False, "max_new_tokens": new, "eos_token_id": None, "pad_token_id": 0}

    def ours() -> Tensor:
        return model.generate(prompt, new, temperature=0)

    def theirs() -> Tensor:
        return referee.generate(prompt, attention_mask=torch.ones_like(prompt), **options)

    assert torch.equal(ours(), theirs())
    row = compare(name, ours, theirs, seconds=6)
    ours_rate, their_rate = (batch * new / ms * 1e3 for ms in (row.ours_ms, row.theirs_ms))
    return replace(row, note=f"{ours_rate:,.0f} beside {their_rate:,.0f} tokens/s")


def main() -> None:
    small, large = MiniGPTConfig(65, 64, 128, 4, 4), MiniGPTConfig(256, 128, 256, 4, 4)
    steps = (
        ("batch 12, context 64, width 128, 4 layers", 12, small),
        ("batch 16, context 128, width 256, 4 layers", 16, large),
    )
    for referee, make in (("torch.nn", torch_referee), ("transformers", gpt2_referee)):
        rows = [measure(name, config, batch, make) for name, batch, config in steps]
        report(f"MiniGPT training step beside {referee}: forward, backward, clip, AdamW", rows)
    published = MiniGPTConfig(50257, 256, 768, 12, 12)
    rows = [
        write("width 128, 4 layers, batch 1", small, 1, 48),
        write("width 256, 4 layers, batch 1", large, 1, 112),
        write("width 256, 4 layers, batch 8", large, 8, 112),
        write("GPT-2's size, batch 1", published, 1, 32),
    ]
    report("MiniGPT writes greedily with a cache, beside transformers", rows)


if __name__ == "__main__":
    main()
