"""Fine-tuning: what is frozen, who learns how fast, and LoRA put on, trained, saved, read and merged."""

import pytest
import torch
from ds_core import (
    SGD,
    Dense,
    Embedding,
    LoRADense,
    LoRAWeight,
    Module,
    ModuleList,
    MSELoss,
    Recompute,
    Sequential,
    Tanh,
    add_lora,
    engine,
    freeze,
    layer_groups,
    load_lora,
    merge_lora,
    save_lora,
)


class Small(Module):
    def __init__(self, seed=0):
        g = torch.Generator().manual_seed(seed)
        self.embeddings = Embedding(7, 4, generator=g)
        self.layers = ModuleList(
            Sequential(Dense(4, 6, generator=g), Tanh(), Dense(6, 4, generator=g)) for _ in range(2)
        )
        self.head = Dense(4, 3, generator=g)

    def forward(self, ids):
        x = self.embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)

    def backward(self, grad):
        grad = self.head.backward(grad)
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        self.embeddings.backward(grad)


IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])


def train(model, steps=30):
    target = torch.linspace(-1, 1, 18).view(2, 3, 3)
    loss_fn = MSELoss()
    optimizer = SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        with engine("manual"):
            losses.append(loss_fn(model(IDS), target).item())
            model.backward(loss_fn.backward())
        optimizer.step()
    return losses


def test_lora_changes_nothing_at_first_and_only_its_own_later():
    model = Small()
    before, output = {n: p.clone() for n, p in model.named_parameters()}, model.eval()(IDS)
    add_lora(model.train(), 2, 4.0, layers=r"layers")
    assert torch.equal(model.eval()(IDS), output)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trained == [f"layers.{i}.{j}.lora_{part}" for i in (0, 1) for j in (0, 2) for part in "AB"]
    losses = train(model.train())
    assert losses[-1] < 0.8 * losses[0]
    for name, parameter in model.named_parameters():
        if "lora" not in name:
            assert torch.equal(parameter, before[name.replace(".base", "")]), name


def test_gradients_are_those_of_the_whole_weight():
    """dL/dA = s B^T G and dL/dB = s G A^T, G being what training W would have had; both ways of adapting."""
    x, g = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    for kind in (lambda layer: LoRADense(layer, 2, 3.0), lambda layer: LoRAWeight(layer, "weight", 2, 3.0)):
        adapted = kind(Dense(4, 3)).to(torch.float64)
        adapted.lora_B.data.normal_()
        a, b, scale = adapted.lora_A, adapted.lora_B, 1.5
        with engine("manual"):
            y = adapted(x)
            grad_x = adapted.backward(g)
        weight = adapted.base.weight + scale * b @ a
        torch.testing.assert_close(y, x @ weight.T + adapted.base.bias)
        torch.testing.assert_close(grad_x, g @ weight)
        torch.testing.assert_close(a.grad, scale * b.T @ (g.T @ x))
        torch.testing.assert_close(b.grad, scale * (g.T @ x) @ a.T)
        assert adapted.base.weight.grad is None


def test_merging_keeps_the_function():
    model = add_lora(Small(), 2, 4.0, layers=r"layers")
    train(model)
    output = model.eval()(IDS)
    assert merge_lora(model) is model
    assert not any(isinstance(part, LoRADense) for part in model.modules())
    assert model.state_dict().keys() == Small().state_dict().keys()
    torch.testing.assert_close(model(IDS), output)


def test_what_recomputes_a_layer_recomputes_the_adapted_one():
    model = Small()
    names = model.state_dict().keys()
    model.head = Recompute(model.head)
    add_lora(model, 2, layers="head")
    assert isinstance(model.head, Recompute)
    assert isinstance(model.head.module, LoRADense)
    train(model, steps=3)
    output = model.eval()(IDS)
    merge_lora(model)
    assert isinstance(model.head, Recompute)
    assert model.state_dict().keys() == names
    torch.testing.assert_close(model(IDS), output)


def test_adapters_are_saved_alone(tmp_path):
    model = add_lora(Small(), 2, 5.0, 0.1, layers=r"layers", whole=r"head")
    train(model)
    save_lora(model, tmp_path / "adapter.safetensors")
    assert (tmp_path / "adapter.safetensors").stat().st_size < 2500
    again = load_lora(Small(), tmp_path / "adapter.safetensors")
    assert torch.equal(again.eval()(IDS), model.eval()(IDS))
    assert again.layers[0][0].dropout.p == 0.1
    for (name, mine), (_, other) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert mine.requires_grad == other.requires_grad, name


def test_files_that_do_not_fit_change_nothing(tmp_path):
    path = tmp_path / "adapter.safetensors"
    save_lora(add_lora(Small(), 2, layers=r"layers\.1"), path)
    other = Sequential(Dense(4, 6))
    with pytest.raises(ValueError, match=r"no such layer: layers\.1\.0"):
        load_lora(other, path)
    assert other[0].weight.requires_grad
    wide = Small()
    setattr(wide.layers[1], "0", Dense(4, 8))
    with pytest.raises(
        ValueError, match=r"wrong shape: layers\.1\.0\.lora_B, expected \(8, 2\), got \(6, 2\)"
    ):
        load_lora(wide, path)
    with pytest.raises(ValueError, match="no LoRA"):
        save_lora(Small(), path)
    for name, other in (
        ("alpha", LoRADense(Dense(4, 3), 2, 3.0)),
        ("dropout", LoRADense(Dense(4, 3), 2, 16.0, 0.5)),
    ):
        model = add_lora(Small(), 2, alpha=16.0, layers=r"layers\.1")
        model.head = other
        with pytest.raises(ValueError, match=f"expected one {name} for all parts"):
            save_lora(model, path)


def test_mistakes_of_lora():
    with pytest.raises(ValueError, match=r"expected 'attn' in the path of a layer; they are layers\.0\.0"):
        add_lora(Small())
    with pytest.raises(ValueError, match="rank of at least 1, got 0"):
        LoRADense(Dense(2, 2), 0)
    with pytest.raises(ValueError, match=r"expected bias of Dense\(2, 2\) to be a matrix, got \(2,\)"):
        LoRAWeight(Dense(2, 2), "bias")
    model = add_lora(Small(), layers="head")
    with pytest.raises(ValueError, match="has LoRA already"):
        add_lora(model, layers="head")
    with pytest.raises(ValueError, match="merged"):
        merge_lora(LoRADense(Dense(2, 2)))
    tied = Small()
    tied.head = Dense(4, 7, bias=False)
    tied.head.weight = tied.embeddings.weight
    with pytest.raises(ValueError, match="expected 'head'"):
        add_lora(tied, layers="head")


def test_freezing():
    model = freeze(Small(), r"embeddings", r"layers\.0\.")
    assert [n for n, p in model.named_parameters() if p.requires_grad] == [
        *(f"layers.1.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")),
        "head.weight",
        "head.bias",
    ]
    assert all(p.requires_grad for p in freeze(model).parameters())
    with pytest.raises(ValueError, match="expected 'layer9' in the path"):
        freeze(model, "layer9")


def test_what_is_no_regular_expression_is_said():
    with pytest.raises(ValueError, match=r"freeze: '\[' is no regular expression \(unterminated"):
        freeze(Small(), "layers", "[")
    for words in ({"layers": "("}, {"whole": "("}):
        with pytest.raises(ValueError, match=r"add_lora: '\(' is no regular expression"):
            add_lora(Small(), **({"layers": "head"} | words))
    for words in ({"layers": "("}, {"bottom": "("}):
        with pytest.raises(ValueError, match=r"layer_groups: '\(' is no regular expression"):
            layer_groups(Small(), 0.1, **words)


def test_lower_layers_learn_slower():
    model = Small()
    groups = layer_groups(model, 1.0, 0.5, weight_decay=0.1)
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert {n: rates[id(p)] for n, p in model.named_parameters() if n.endswith("weight")} == {
        "embeddings.weight": (0.125, 0.1),
        "layers.0.0.weight": (0.25, 0.1),
        "layers.0.2.weight": (0.25, 0.1),
        "layers.1.0.weight": (0.5, 0.1),
        "layers.1.2.weight": (0.5, 0.1),
        "head.weight": (1.0, 0.1),
    }
    assert rates[id(model.head.bias)] == (1.0, 0.0)
    SGD(groups, lr=1.0)
    freeze(model, "embeddings")
    assert min(group["lr"] for group in layer_groups(model, 1.0, 0.5)) == 0.25
    with pytest.raises(ValueError, match=r"above 0 and at most 1, got 1\.5"):
        layer_groups(model, 1.0, 1.5)
    with pytest.raises(ValueError, match="in the path of a parameter; got weight, bias"):
        layer_groups(Dense(2, 2), 1.0)
