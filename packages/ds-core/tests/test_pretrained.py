"""Weights to and from folders: one file or several, halves, ties, renamed and fused tensors, and mistakes."""

import json
import re
from dataclasses import asdict, dataclass

import pytest
import torch
from ds_core import Dense, Embedding
from ds_core.pretrained import Format, Pretrained, Stored, read_tensors
from ds_core.training import load_tensors, save_tensors


@dataclass(frozen=True)
class Config:
    tokens: int
    width: int = 4


def names(name: str) -> Stored:
    if name == "fused.weight":  # kept apart there, as query, key and value often are
        return Stored(("net.q.weight", "net.k.weight", "net.v.weight"))
    if name == "down.weight":
        return Stored(("net.down.weight",), transposed=True)
    return Stored((f"net.{name}",))


class Model(Pretrained):
    hugging_face = Format(
        "toy",
        ["tokens", "width"],
        architecture="ToyModel",
        names=names,
        fixed={"scale": True},
        unused_fields=("summary",),
        unused_tensors=r"\.mask$",
        prefix="net.",
    )

    def __init__(self, config):
        self.config = config
        self.embedding = Embedding(config.tokens, config.width)
        self.fused = Dense(config.width, 3 * config.width, bias=False)
        self.down = Dense(3 * config.width, config.width)
        self.head = Dense(config.width, config.tokens, bias=False)
        self.head.weight = self.embedding.weight

    def to_config(self):
        return asdict(self.config)

    @classmethod
    def from_config(cls, fields):
        return cls(Config(**fields))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model(Config(7))


def same(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def rewrite(folder, change):
    tensors, words = load_tensors(folder / "model.safetensors")
    change(tensors)
    save_tensors(folder / "model.safetensors", tensors, words)


def configure(folder, **change):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_what_was_written_comes_back(tmp_path, model):
    model.save_pretrained(tmp_path)
    assert files(tmp_path) == ["config.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {"model_type": "toy", "architectures": ["ToyModel"], "tokens": 7, "width": 4}
    again = Model.from_pretrained(tmp_path)
    assert same(again, model)
    assert again.head.weight is again.embedding.weight
    assert not again.training


def test_the_file_has_their_names(tmp_path, model):
    model.save_pretrained(tmp_path)
    tensors = read_tensors(tmp_path)
    fused = model.fused.weight
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "net.embedding.weight": (7, 4),  # once, though the head shares it
        "net.q.weight": (4, 4),
        "net.k.weight": (4, 4),
        "net.v.weight": (4, 4),
        "net.down.weight": (12, 4),
        "net.down.bias": (4,),
    }
    assert torch.equal(tensors["net.k.weight"], fused[4:8])
    assert torch.equal(tensors["net.down.weight"], model.down.weight.T)


@pytest.mark.parametrize("limit", [1, 130, 300])
def test_several_files(tmp_path, model, limit):
    model.save_pretrained(tmp_path, max_file_bytes=limit)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 1
    assert files(tmp_path) == ["config.json", *shards, "model.safetensors.index.json"]
    assert shards[-1] == f"model-{len(shards):05d}-of-{len(shards):05d}.safetensors"
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in read_tensors(tmp_path).values())
    for shard in shards:
        held, _ = load_tensors(tmp_path / shard)
        assert len(held) == 1 or sum(t.nbytes for t in held.values()) <= limit
        assert set(held) == {name for name, file in index["weight_map"].items() if file == shard}
    assert same(Model.from_pretrained(tmp_path), model)


def test_nothing_of_an_earlier_save_stays(tmp_path, model):
    (tmp_path / "model.txt").write_text("mine")
    for limit in (1, 300, 10**9, 130):
        model.save_pretrained(tmp_path, max_file_bytes=limit)
        assert same(Model.from_pretrained(tmp_path), model)
        kept = files(tmp_path)
        if limit == 10**9:
            assert kept == ["config.json", "model.safetensors", "model.txt"]
        else:
            counts = {name[-17:-12] for name in kept if "-of-" in name}
            assert "model.safetensors" not in kept
            assert len(counts) == 1
    with pytest.raises(ValueError, match="max_file_bytes: expected at least 1, got 0"):
        model.save_pretrained(tmp_path, max_file_bytes=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_become_the_models(tmp_path, model, dtype):
    model.to(dtype).save_pretrained(tmp_path)
    assert {tensor.dtype for tensor in read_tensors(tmp_path).values()} == {dtype}
    again = Model.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert same(again, model.to(torch.float32))


def test_files_without_the_prefix_or_with_what_is_not_needed(tmp_path, model):
    model.save_pretrained(tmp_path)

    def strip(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("net.")] = tensors.pop(name)
        tensors["h.0.mask"] = torch.ones(3)

    rewrite(tmp_path, strip)
    configure(tmp_path, summary=3, scale=True, transformers_version="5.0", use_cache=False, pruned_heads={})
    assert same(Model.from_pretrained(tmp_path), model)


def test_a_tied_weight_may_stand_there_twice_if_it_is_the_same(tmp_path, model):
    model.save_pretrained(tmp_path)
    rewrite(tmp_path, lambda t: t.update({"net.head.weight": t["net.embedding.weight"].clone()}))
    assert same(Model.from_pretrained(tmp_path), model)
    rewrite(tmp_path, lambda t: t["net.head.weight"].add_(1))
    with pytest.raises(
        ValueError, match=r"differs: net\.head\.weight from embedding\.weight, though .* ties"
    ):
        Model.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("net.k.weight"), "missing: net.k.weight"),
        (lambda t: t.update(other=torch.ones(2)), "no place for: other"),
        (
            lambda t: t.update({"net.down.weight": torch.ones(4, 12)}),
            "wrong shape: net.down.weight, expected (4, 12), got (12, 4) (as down.weight)",
        ),
        (
            lambda t: t.update({"net.down.bias": torch.ones(4, dtype=torch.int8)}),
            "wrong type: net.down.bias, expected floating point numbers, got torch.int8",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, model, change, message):
    model.save_pretrained(tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        Model.from_pretrained(tmp_path)
    assert "the weights of a Model, 1 problem" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "expected model_type 'toy', got 'gpt2'"),
        ({"scale": False}, "expected scale=True, got False"),
        ({"rope_theta": 1e4}, "unknown setting rope_theta=10000.0: it may change"),
        ({"quantization_config": {"bits": 4}}, "expected quantization_config=None, got {'bits': 4}"),
        ({"pruned_heads": {"0": [1]}}, "expected pruned_heads={}"),
        ({"add_cross_attention": True}, "expected add_cross_attention=False, got True"),
        ({"width": "wide"}, "not the configuration of a Model"),
    ],
)
def test_a_configuration_of_another_model_is_refused_by_name(tmp_path, model, change, message):
    model.save_pretrained(tmp_path)
    configure(tmp_path, **change)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        Model.from_pretrained(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", "3"])
def test_a_damaged_configuration(tmp_path, model, content):
    model.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json: not the configuration of a Model"):
        Model.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"])
def test_a_pickle_is_refused_with_the_way_out(tmp_path, model, name):
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / name)
    with pytest.raises(
        ValueError, match=f"only as {re.escape(name)}, a pickle; reading one can run any code"
    ) as e:
        Model.from_pretrained(tmp_path)
    assert "transformers.ToyModel.from_pretrained(folder).save_pretrained(folder)" in str(e.value)


def test_missing_files(tmp_path, model):
    with pytest.raises(FileNotFoundError, match=r"config\.json: no such file; expected a folder"):
        Model.from_pretrained(tmp_path / "nowhere")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"model\.safetensors: no such file, nor model\.safetensors\.ind"
    ):
        Model.from_pretrained(tmp_path)


def shard(tmp_path, model):
    model.save_pretrained(tmp_path, max_file_bytes=130)
    return tmp_path / "model.safetensors.index.json"


def test_a_missing_or_damaged_shard(tmp_path, model):
    index = shard(tmp_path, model)
    names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    first = tmp_path / names[0]
    content = first.read_bytes()
    first.unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"1 of {len(names)} files of weights .* missing: {names[0]}"
    ):
        Model.from_pretrained(tmp_path)
    first.write_bytes(content[:-3])
    with pytest.raises(ValueError, match=rf"{names[0]}: cut off"):
        Model.from_pretrained(tmp_path)
    first.write_bytes((tmp_path / names[1]).read_bytes())
    with pytest.raises(ValueError, match=rf"{names[0]}: does not fit .*lacks .*; holds besides "):
        Model.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged index"),
        ("[]", "damaged index"),
        ('{"metadata": {}}', "damaged index"),
        ('{"weight_map": {}}', "expected weight_map to name tensors"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "expected a file beside it for 'a'"),
        ('{"weight_map": {"a": 3}}', "expected a file beside it for 'a', got 3"),
    ],
)
def test_a_damaged_index(tmp_path, model, content, message):
    shard(tmp_path, model).write_text(content)
    with pytest.raises(ValueError, match=message):
        Model.from_pretrained(tmp_path)
