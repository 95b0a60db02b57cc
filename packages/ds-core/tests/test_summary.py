"""summary: shapes and counts that are right, and a module that does not notice."""

import pytest
import torch
from ds_core import (
    BatchNorm1d,
    Dense,
    Dropout,
    Embedding,
    Module,
    ReLU,
    Residual,
    Sequential,
    engine,
)
from ds_core.xray.summary import brief, in_bytes, summary


def by_path(table):
    return {layer.path: layer for layer in table.layers}


def mlp():
    return Sequential(Dense(6, 8), ReLU(), Residual(Sequential(Dense(8, 8), ReLU())), Dense(8, 3))


def test_shapes_and_parameters_of_every_layer():
    layers = by_path(summary(mlp(), (4, 6)))
    expected = {
        "": ((4, 3), 0),
        "0": ((4, 8), 6 * 8 + 8),
        "1": ((4, 8), 0),
        "2": ((4, 8), 0),
        "2.module": ((4, 8), 0),
        "2.module.0": ((4, 8), 8 * 8 + 8),
        "2.module.1": ((4, 8), 0),
        "3": ((4, 3), 8 * 3 + 3),
    }
    assert {path: (layer.shapes[0], layer.parameters) for path, layer in layers.items()} == expected
    assert [layer.depth for layer in layers.values()] == [0, 1, 1, 1, 2, 3, 3, 1]


def test_totals_equal_the_namesake():
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    ours = summary(Sequential(Dense(6, 8), ReLU(), Dense(8, 3)), (4, 6))
    assert ours.total == ours.trainable == sum(p.numel() for p in theirs.parameters())
    assert ours.bytes == 4 * ours.total


def test_a_tensor_and_its_shape_say_the_same():
    model = mlp()
    assert str(summary(model, torch.randn(4, 6))) == str(summary(model, (4, 6)))


def test_zeros_follow_the_type_of_the_parameters():
    assert by_path(summary(mlp().to(torch.float64), (4, 6)))[""].shapes == [(4, 3)]


def test_token_ids_by_shape():
    model = Sequential(Embedding(10, 4), Dense(4, 2))
    assert by_path(summary(model, (3, 5), dtype=torch.long))["0"].shapes == [(3, 5, 4)]


def test_without_input_there_are_counts_but_no_shapes():
    table = summary(mlp())
    assert table.total == mlp().num_parameters()
    assert "output shape" not in str(table)


def test_frozen_parameters_are_counted_apart():
    model = mlp()
    model[0].requires_grad_(False)
    model[3].bias.requires_grad_(False)
    table = summary(model, (4, 6))
    assert (table.trainable, table.frozen) == (8 * 8 + 8 + 8 * 3, 6 * 8 + 8 + 3)
    text = str(table)
    assert "frozen" in next(line for line in text.splitlines() if "Dense(6, 8)" in line)
    assert "3 frozen" in next(line for line in text.splitlines() if "Dense(8, 3)" in line)


def test_tied_parameters_count_once_and_are_marked():
    model = Sequential(Embedding(10, 4), Dense(4, 10, bias=False))
    model[1].weight = model[0].weight
    table = summary(model, torch.tensor([1, 2]))
    assert table.total == 40
    assert by_path(table)["1"].parameters == 0
    assert by_path(table)["1"].tied == {"weight": "0.weight"}
    assert "weight is 0.weight" in str(table)


def test_one_module_under_two_names():
    relu = ReLU()
    model = Sequential(Dense(4, 6), relu, Dense(6, 5), relu)
    layers = by_path(summary(model, (2, 4)))
    assert layers["1"].shapes == [(2, 6)]
    assert layers["3"].shapes == [(2, 5)]
    assert layers["1"].calls == layers["3"].calls == 1


class Twice(Module):
    """Calls one child twice and the other never."""

    def __init__(self):
        self.used = Dense(3, 3)
        self.unused = Dense(3, 3)

    def forward(self, x):
        return self.used(self.used(x)), x


def test_several_calls_several_outputs_and_a_layer_not_called():
    table = summary(Twice(), (2, 3))
    assert by_path(table)[""].shapes == [(2, 3), (2, 3)]
    text = str(table)
    assert "called 2 times" in next(line for line in text.splitlines() if "(used)" in line)
    assert "not called" in next(line for line in text.splitlines() if "(unused)" in line)


class Noisy(Module):
    """Draws random numbers even in eval mode, and writes into its input."""

    def forward(self, x):
        return x.add_(torch.randn(x.shape))


def test_nothing_changes():
    model = Sequential(Dense(4, 5), BatchNorm1d(5), Dropout(0.5), Noisy())
    model[2].eval()
    x = torch.randn(6, 4)
    with engine("manual"):
        model(x)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        modes, random_state, kept = [m.training for m in model.modules()], torch.get_rng_state(), x.clone()
        summary(model, x)
        summary(Noisy(), x)
        assert [m.training for m in model.modules()] == modes
        assert torch.equal(torch.get_rng_state(), random_state)
        assert torch.equal(x, kept)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert not any("forward" in vars(m) or "backward" in vars(m) for m in model.modules())
        model[0].backward(torch.ones(6, 5))  # the forward before is still waiting for it
    assert model[0].weight.grad is not None
    assert model[1].weight.grad is None


def test_an_error_comes_from_the_layer_and_leaves_nothing_behind():
    model = mlp()
    with pytest.raises(
        ValueError, match=r"Dense\(6, 8\): expected last dimension 6, got input of shape \(4, 7\)"
    ):
        summary(model, (4, 7))
    assert not any("forward" in vars(m) for m in model.modules())


def test_only_modules_of_ours_have_one():
    for module in (torch.nn.Linear(3, 2), ReLU):
        with pytest.raises(TypeError, match="summary: expected a Module, got"):
            summary(module, (4, 3))


def test_the_table_reads_well():
    lines = str(summary(mlp(), (4, 6))).splitlines()
    first = next(line for line in lines if "Dense(6, 8)" in line)
    assert first.split() == ["(0)", "Dense(6,", "8)", "(4,", "8)", "56"]
    assert lines[-1].strip() == "155 parameters: 155 trainable, 0 frozen; 620 bytes"
    assert "note" not in lines[1]


def test_a_long_label_stays_in_one_line():
    class Long(Dense):
        def extra_repr(self):
            return ", ".join(f"option_{i}=True" for i in range(6))

    (line,) = (line for line in str(summary(Sequential(Long(6, 8)), (4, 6))).splitlines() if "Long" in line)
    assert "option_5=True) " in line
    assert line.split()[-1] == "56"


def test_several_numbers_that_are_alike_are_written_as_one():
    label = "Conv2d(1, 8, kernel_size=(3, 3), stride=(2, 1), padding=(1, 1), dilation=(1, 12))"
    assert brief(label) == "Conv2d(1, 8, kernel_size=3, stride=(2, 1), padding=1, dilation=(1, 12))"
    assert brief("Pool(kernel_size=(2, 2, 2))") == "Pool(kernel_size=2)"


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 bytes"), (1500, "1.5 kB"), (4e9, "4 GB"), (5e12, "5 TB")]
)
def test_bytes(count, text):
    assert in_bytes(count) == text
