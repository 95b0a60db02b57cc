"""Steps in bfloat16 beside float32, eager and compiled, ours beside torch.nn's: an MLP and MiniGPT.

A step is forward, backward, clipping and AdamW. ``python precision.py`` measures on the processor;
``--device cuda`` by the device's own events, and ``--preset gpt2`` a GPT of GPT-2's shape (124 million
weights, batch 8, context 1024). torch.nn's runs with ``torch.autocast``, fused attention and, on a CUDA
device, the fused AdamW. From the same weights, all ways must begin with the same loss, as far as their type
lets them.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from ds_core import AdamW, CrossEntropyLoss, Dense, Module, ReLU, Sequential, engine, precision
from ds_core.clipping import grad_norm, scale_to_norm_
from ds_core.verify.benchmark import Sides
from ds_zoo import MiniGPT, MiniGPTConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn


class TorchBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (t.view(shape).transpose(1, 2) for t in self.in_proj(self.norm1(x)).chunk(3, -1))
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out_proj(seen.transpose(1, 2).reshape(x.shape))
        inner = nn.functional.gelu(self.linear1(self.norm2(x)), approximate="tanh")
        return x + self.linear2(inner)


class TorchGPT(nn.Module):
    """A GPT as one writes it with torch.nn; its parameters are in the order of ours."""

    def __init__(self, config: MiniGPTConfig) -> None:
        super().__init__()
        width = config.n_embd
        self.wte = nn.Embedding(config.vocab_size, width)
        self.wpe = nn.Embedding(config.n_positions, width)
        self.blocks = nn.ModuleList(TorchBlock(width, config.n_head) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.head.weight = self.wte.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def carried(model: Module) -> dict[str, Tensor]:
    """Returns our weights by the names that torch.nn's model has for them."""
    return {
        name.replace("self_attn.", "").replace("in_proj_", "in_proj."): weight
        for name, weight in model.state_dict().items()
    }


Batch = tuple[Tensor, Tensor]


def mlp(sizes: list[int], batch: int) -> tuple[Module, nn.Module, Batch]:
    layers = [layer for i, o in pairwise(sizes) for layer in (Dense(i, o), ReLU())][:-1]
    theirs = nn.Sequential(
        *[layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())][:-1]
    )
    ours = Sequential(*layers)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs, (torch.randn(batch, sizes[0]), torch.randint(sizes[-1], (batch,)))


def gpt(config: MiniGPTConfig, batch: int) -> tuple[Module, nn.Module, Batch]:
    ours, theirs = MiniGPT(config), TorchGPT(config)
    theirs.load_state_dict(carried(ours))
    ids = torch.randint(config.vocab_size, (batch, config.n_positions + 1))
    return ours, theirs, (ids[:, :-1].contiguous(), ids[:, 1:].contiguous())


PRESETS: dict[str, dict[str, Callable[[], tuple[Module, nn.Module, Batch]]]] = {
    "steps": {
        "MLP 784-512-512-10, batch 128": lambda: mlp([784, 512, 512, 10], 128),
        "MLP 1024-1024-1024-1000, batch 256": lambda: mlp([1024, 1024, 1024, 1000], 256),
        "MiniGPT width 128, 4 layers, batch 12 of 64": lambda: gpt(MiniGPTConfig(65, 64, 128, 4, 4), 12),
        "MiniGPT width 256, 4 layers, batch 16 of 128": lambda: gpt(MiniGPTConfig(256, 128, 256, 4, 4), 16),
    },
    "gpt2": {
        "GPT-2, 124M weights, batch 8 of 1024": lambda: gpt(
            MiniGPTConfig(50257, 1024, 768, 12, 12, tie_word_embeddings=True), 8
        ),
    },
}


# ---- steps -----------------------------------------------------------------------------------------------


def our_step(model: Module, batch: Batch, kind: str, compiled: bool) -> Callable[[], Tensor]:
    (x, y), loss = batch, CrossEntropyLoss(dim=-1)
    model.requires_input_grad_(False)
    optimizer, parameters = AdamW(model.parameters(), lr=1e-4), list(model.parameters())

    def there_and_back(x: Tensor, y: Tensor) -> Tensor:
        value = loss(model(x), y)
        model.backward(loss.backward())
        return value

    run = torch.compile(there_and_back, fullgraph=True) if compiled else there_and_back

    def step() -> Tensor:
        model.zero_grad()
        with precision(kind), torch.no_grad() if compiled else engine("manual"):
            value = run(x, y)
        scale_to_norm_(parameters, 1.0, grad_norm(parameters))
        optimizer.step()
        return value

    return step


def their_step(model: nn.Module, batch: Batch, kind: str, compiled: bool) -> Callable[[], Tensor]:
    x, y = batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=x.is_cuda or None)
    run = torch.compile(model) if compiled else model

    def step() -> Tensor:
        optimizer.zero_grad()
        low = torch.autocast(x.device.type, torch.bfloat16) if kind == "bf16" else nullcontext()
        with low:
            scores = run(x)
            value = nn.functional.cross_entropy(scores.flatten(0, -2), y.flatten())
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return value.detach()

    return step


def sides(make: Callable[[], tuple[Module, nn.Module, Batch]], kind: str) -> Sides:
    """Returns a step of ours in a precision beside torch.nn's in float32."""
    ours, theirs, batch = make()
    return Sides(our_step(ours, batch, kind, False), their_step(theirs, batch, "float32", False))


ROWS = {
    f"{name}, ours in {kind}": partial(sides, make, kind)
    for name, make in PRESETS["steps"].items()
    for kind in ("float32", "bf16")
}


# ---- measuring -------------------------------------------------------------------------------------------


def milliseconds(step: Callable[[], Tensor], device: torch.device) -> float:
    """Returns how long a step took: of a CUDA device by its own events, three steps in a row."""
    if device.type != "cuda":
        start = time.perf_counter()
        step()
        return (time.perf_counter() - start) * 1e3
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(3):
        step()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 3


def measure(
    make: Callable[[], tuple[Module, nn.Module, Batch]], device: torch.device, ways: list[str], seconds: float
) -> dict[str, Any]:
    """Measures each way of one model, in turns; returns way -> milliseconds, GiB and the first loss."""
    found: dict[str, Any] = {}
    steps: dict[str, Callable[[], Tensor]] = {}
    torch.manual_seed(0)
    ours, theirs, batch = make()
    batch = tuple(part.to(device) for part in batch)
    weights = {"ours": ours.to(device), "torch": theirs.to(device)}
    start = {name: {k: v.clone() for k, v in m.state_dict().items()} for name, m in weights.items()}
    for way in ways:
        who, kind, *more = way.split()
        torch._dynamo.reset()
        if device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        weights[who].load_state_dict(start[who])
        step = (our_step if who == "ours" else their_step)(weights[who], batch, kind, bool(more))
        began = time.perf_counter()
        try:
            value = float(step())
        except Exception as error:  # the other ways are to be seen, too
            print(f"{way}: {type(error).__name__}: {str(error)[:2000]}")
            continue
        found[way] = {"loss": value, "first_s": time.perf_counter() - began}
        norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in weights[who].parameters()))
        found[way]["clipped"] = norm
        for _ in range(2):
            step()
        if device.type == "cuda":
            found[way]["gib"] = torch.cuda.max_memory_allocated() / 2**30
        once = milliseconds(step, device)
        rounds = max(5, min(200, int(seconds * 1e3 / once)))
        if device.type == "cuda":  # alone: each holds the optimizer's state
            found[way]["ms"] = statistics.median(milliseconds(step, device) for _ in range(rounds))
            weights[who].zero_grad()
            del step
        else:
            steps[way] = step
    taken: dict[str, list[float]] = {way: [] for way in steps}
    for _ in range(rounds if steps else 0):  # in turns: others use this machine, too
        for way, step in steps.items():
            taken[way].append(milliseconds(step, device))
    for way, times in taken.items():
        found[way]["ms"] = statistics.median(times)
    check(found)
    return found


def check(found: dict[str, Any]) -> None:
    """Checks that every way began with the same loss, as far as its type lets it."""
    expected = found[next(iter(found))]["loss"]
    for way, row in found.items():
        near = 2e-2 if "bf16" in way else 1e-4
        if not abs(row["loss"] - expected) <= near * max(1.0, abs(expected)):
            raise AssertionError(f"{way}: the first loss is {row['loss']}, expected about {expected}")


def show(title: str, found: dict[str, Any]) -> None:
    table = Table(
        title=title,
        title_justify="left",
        caption=f"torch {torch.__version__}, {torch.get_num_threads()} threads",
    )
    for column in ("", "ms", "of torch float32", "of torch, same way", "GiB", "first step s", "first loss"):
        table.add_column(column, justify="left" if not column else "right")
    base = found.get("torch float32")
    for way, row in found.items():
        same = found.get(way.replace("ours", "torch")) if way.startswith("ours") else None
        table.add_row(
            way,
            f"{row['ms']:.2f}",
            f"{row['ms'] / base['ms']:.2f}" if base else "",
            f"{row['ms'] / same['ms']:.2f}" if same else "",
            f"{row['gib']:.2f}" if "gib" in row else "",
            f"{row['first_s']:.1f}",
            f"{row['loss']:.4f}",
        )
    Console(width=None if Console().is_terminal else 120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--preset", choices=list(PRESETS), default="steps")
    parser.add_argument(
        "--compile", action="store_true", help="measure what torch.compile makes of both, too"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="for each way")
    parser.add_argument("--json", help="where to write the numbers")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    ways = [f"{who} {kind}" for who in ("torch", "ours") for kind in ("float32", "bf16")]
    if device.type != "cuda" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        print("This processor has no products of bfloat16: rounding alone is what bf16 costs here.")
        ways.remove("torch bf16")  # takes thirty times as long
    if options.compile:
        ways += [f"{way} compiled" for way in ways]
    results = {}
    for title, make in PRESETS[options.preset].items():
        results[title] = measure(make, device, ways, options.seconds)
        show(f"{title}, on {torch.cuda.get_device_name() if device.type == 'cuda' else 'the processor'}",
             results[title])  # fmt: skip
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
