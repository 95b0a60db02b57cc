"""Whatever has a namesake in torch takes the same arguments, or says why not."""

import sys
from pathlib import Path

import pytest
import torch
from ds_cnn import Upsample
from ds_core import Dense, Embedding, Sequential, clip_grad_norm_, clip_grad_value_
from ds_transformer import Transformer, TransformerEncoder, TransformerEncoderLayer
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
import signatures  # it lies at the root


def test_every_difference_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert signatures.main([]) == 0, capsys.readouterr().out
    last = capsys.readouterr().out.splitlines()[-1]
    assert int(last.split()[0]) > 400
    assert last.endswith(" 0 of them unexplained")


def test_differences_are_found() -> None:
    def theirs(a, b=1, c=2.0, *, d=None): ...

    def same(self, a, b=1.0, c=2, *, d=None, more=3): ...

    def other(a, c=2.0, b=2, *, e=None, f): ...

    def some(a, more, *, b=1): ...

    pair = signatures.Pair
    assert signatures.differences(pair("x", same, theirs)) == []
    assert signatures.differences(pair("x", other, theirs)) == [
        "no d",
        "b=1.0 in torch, 2.0 here",
        "other order: a, c, b",
    ]
    assert signatures.differences(pair("x", some, theirs)) == [
        "no c",
        "no d",
        "more besides",
        "b by keyword only",
    ]
    assert signatures.explanation("Dense.__init__: no bias") is None


def test_what_has_no_namesake_is_not_in_the_table() -> None:
    names = {pair.name for pair in signatures.pairs()}
    assert {"Dense.__init__", "Adam.__init__", "xavier_uniform_", "LSTM.forward"} <= names
    assert "Residual.__init__" not in names


# ---- what the table found ----------------------------------------------------------------------------------


def test_embedding_of_a_given_table() -> None:
    table = torch.randn(5, 3)
    layer, theirs = Embedding.from_pretrained(table, padding_idx=1), nn.Embedding.from_pretrained(table)
    ids = torch.tensor([[0, 4], [1, 1]])
    assert torch.equal(layer(ids), theirs(ids))
    assert layer.weight.data_ptr() == table.data_ptr()
    assert not layer.weight.requires_grad
    assert Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    assert repr(layer) == "Embedding(5, 3, padding_idx=1)"
    with pytest.raises(ValueError, match=r"Embedding\.from_pretrained: expected \(V, D\), got \(3,\)"):
        Embedding.from_pretrained(table[0])
    with pytest.raises(ValueError, match="max_norm is left out on purpose"):
        Embedding.from_pretrained(table, max_norm=1.0)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("recompute", [None, False, True])
def test_upsample_may_take_distances_from_the_sizes(mode: str, recompute: bool | None) -> None:
    x = torch.randn(1, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    arguments = (None, 1.7, mode, None, recompute)
    torch.testing.assert_close(Upsample(*arguments)(x), nn.Upsample(*arguments)(x))
    with pytest.raises(ValueError, match="expected recompute_scale_factor with scale_factor only"):
        Upsample(size=3, recompute_scale_factor=True)


def test_names_of_inputs_are_those_of_torch() -> None:
    layer, x = Dense(4, 4), torch.randn(2, 4)
    assert torch.equal(Sequential(layer)(input=x), layer(input=x))


def test_clipping_takes_foreach() -> None:
    weight = nn.Parameter(torch.ones(3))
    for foreach in (None, True, False):
        weight.grad = torch.tensor([3.0, 4.0, 0.0])
        assert float(clip_grad_norm_([weight], 1.0, foreach=foreach)) == 5
        clip_grad_value_([weight], 0.5, foreach=foreach)
        assert float(weight.grad.max()) == 0.5


def test_transformers_take_what_torch_asks_about_causes_and_padding() -> None:
    layer = TransformerEncoderLayer(8, 2, 12, batch_first=True)
    encoder = TransformerEncoder(layer, 1, enable_nested_tensor=False, mask_check=False).eval()
    x = torch.randn(2, 3, 8)
    assert torch.equal(encoder(x, is_causal=None), encoder(x))
    for options in ({}, {"dtype": torch.float64}, {"device": "cpu"}):
        ours = Transformer.generate_square_subsequent_mask(3, **options)
        assert torch.equal(ours, nn.Transformer.generate_square_subsequent_mask(3, **options))
