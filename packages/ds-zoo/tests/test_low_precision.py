"""Whole models in low precision: the way is float32's at first, and the end is as good, over three seeds."""

import statistics

import pytest
import torch
from ds_cnn import BasicBlock, ResNet
from ds_core import CrossEntropyLoss, Dense, ReLU, Sequential, Trainer
from ds_core.text import CharacterTokenizer, RandomWindows, sequential_windows
from ds_transformer import TransformerTranslator, TransformerTranslatorConfig
from ds_zoo import MiniGPT, MiniGPTConfig
from ds_zoo.data.text import read_pieces
from sklearn.datasets import load_digits


def digits(seed, flat):
    data = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    x, y = x.flatten(1) if flat else x, torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return (x[order[:1200]], y[order[:1200]]), (x[order[1200:]], y[order[1200:]])


def mlp(seed):
    g = torch.Generator().manual_seed(seed)
    model = Sequential(Dense(64, 64, generator=g), ReLU(), Dense(64, 10, generator=g))
    learn, rest = digits(seed, flat=True)
    return model, CrossEntropyLoss(), {"data": learn, "batch_size": 32, "steps": 400}, rest, 1e-2


def resnet(seed):
    g = torch.Generator().manual_seed(seed)
    options = {"widths": (8, 8, 16, 16), "stem": "small", "in_channels": 1, "generator": g}
    model = ResNet(BasicBlock, (1, 1, 1, 1), 10, **options)
    learn, rest = digits(seed, flat=False)
    return model, CrossEntropyLoss(), {"data": learn, "batch_size": 32, "steps": 200}, rest, 3e-3


def gpt(seed):
    text = next(read_pieces("bundled:python"))[:60_000]
    tokens = CharacterTokenizer.from_text(text)
    ids = torch.tensor(tokens.encode(text))
    config = MiniGPTConfig(tokens.vocab_size, 32, 48, 2, 4)
    model = MiniGPT(config, generator=torch.Generator().manual_seed(seed))
    windows = RandomWindows(ids[:50_000], 32, 16, seed)
    rest = sequential_windows(ids[50_000:], 32, 64)
    return model, CrossEntropyLoss(dim=-1), {"data": windows, "steps": 400}, rest, 3e-3


def translator(seed):
    """Turns a sequence around."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 7, (1400,), generator=draw)
    source = torch.randint(4, 10, (1400, 6), generator=draw)
    source[torch.arange(6) >= lengths[:, None]] = 0
    target = torch.zeros(1400, 8, dtype=torch.int64)
    for row, length in enumerate(lengths.tolist()):
        target[row, : length + 2] = torch.tensor([2, *source[row, :length].flip(0), 3])
    parts = source, lengths, target[:, :-1].contiguous(), target[:, 1:].contiguous()
    learn, rest = (tuple(part[rows] for part in parts) for rows in (slice(1200), slice(1200, None)))
    config = TransformerTranslatorConfig(10, 10, 32, 4, 1, 1, 64, dropout=0.0, share_embeddings=True)
    model = TransformerTranslator(config, generator=torch.Generator().manual_seed(seed))
    loss = CrossEntropyLoss(dim=-1, ignore_index=0)
    return model, loss, {"data": learn, "batch_size": 50, "steps": 400}, rest, 4e-3


MODELS = {"MLP": mlp, "ResNet": resnet, "MiniGPT": gpt, "translator": translator}


def train(name, seed, precision, steps=None, optimizer="adamw", **options):
    """Returns the history, and the loss on what was held out."""
    model, loss, fit, rest, lr = MODELS[name](seed)
    trainer = Trainer(
        *(model, loss, optimizer, "cosine"),
        **{"lr": lr, "precision": precision, "seed": seed, "progress": False, "clip_norm": 1.0, **options},
    )
    data, steps = fit.pop("data"), steps or fit.pop("steps")
    given = data if isinstance(data, tuple) else (data,)
    history = trainer.fit(*given, **{**fit, "steps": steps})
    return history, trainer.evaluate(*(rest if isinstance(rest, tuple) else (rest,)))["loss"]


@pytest.mark.parametrize("name", MODELS)
def test_the_first_steps_are_nearly_those_of_float32_under_both_engines(name):
    """By SGD: AdamW makes as much of a small gradient, whose sign rounding may change, as of a large one.

    In small steps where there is batch norm: in large ones, six make fifty times as much of the rounding.
    """
    options = {"steps": 6, "optimizer": "sgd", "lr": 0.01 if name == "ResNet" else 0.05}
    expected, _ = train(name, 0, "float32", **options)
    for precision, near in (("bf16", 4e-3), ("fp16", 1e-3)):
        found = {
            engine: train(name, 0, precision, engine=engine, **options)[0]
            for engine in ("manual", "autograd")
        }
        for history in found.values():
            assert history["loss"] == pytest.approx(expected["loss"], rel=near)
            assert history["loss"] != expected["loss"]
        assert found["manual"]["loss"] == pytest.approx(found["autograd"]["loss"], rel=near)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_end_is_as_good_as_float32s_within_what_seeds_make_of_it(name):
    reached = {
        precision: [train(name, seed, precision)[1] for seed in range(3)]
        for precision in ("float32", "bf16", "fp16")
    }
    print(name, {precision: [round(loss, 4) for loss in losses] for precision, losses in reached.items()})
    spread = max(reached["float32"]) - min(reached["float32"])
    for precision in ("bf16", "fp16"):
        between = statistics.mean(reached[precision]) - statistics.mean(reached["float32"])
        assert between < spread
