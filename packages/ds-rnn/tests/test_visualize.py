"""What is seen is what was computed."""

import pytest
import torch
from ds_core.text import WordTokenizer
from ds_core.text.translation import Translator
from ds_rnn import GRU, LSTM, RNN, LSTMCell, Seq2Seq, Seq2SeqConfig
from ds_rnn.visualize import attention_map, gradient_norms, plot_gradient_norms


@pytest.mark.parametrize("layer", [RNN, GRU, LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_gradient_norms_are_the_tapes(layer, batch_first):
    net = layer(3, 4, batch_first=batch_first).to(torch.float64)
    x = (
        torch.randn(2, 6, 3, dtype=torch.float64)
        if batch_first
        else torch.randn(6, 2, 3, dtype=torch.float64)
    )
    norms = gradient_norms(net, x)
    assert all(p.grad is None for p in net.parameters())  # the layer stays as it was
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        last = net(leaf)[0].select(1 if batch_first else 0, -1)
        g = torch.randn(last.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        (last * g / g.norm(dim=-1, keepdim=True)).sum().backward()
    torch.testing.assert_close(norms, leaf.grad.norm(dim=-1).mean(0 if batch_first else 1))


def test_gradient_norms_ask_for_one_direction_and_a_batch():
    x = torch.randn(6, 2, 3)
    with pytest.raises(ValueError, match=r"one direction, got LSTM\(3, 4, bidirectional=True\)"):
        gradient_norms(LSTM(3, 4, bidirectional=True), x)
    with pytest.raises(ValueError, match=r"expected x \(L, N, 3\), got \(6, 3\)"):
        gradient_norms(LSTM(3, 4), x[:, 0])
    with pytest.raises(TypeError, match="expected an RNN, GRU or LSTM, got LSTMCell"):
        gradient_norms(LSTMCell(3, 4), x)


def test_the_plot_is_written(tmp_path):
    figure = plot_gradient_norms(
        {"RNN": gradient_norms(RNN(3, 4), torch.randn(6, 2, 3))}, tmp_path / "a" / "n.png"
    )
    assert (tmp_path / "a" / "n.png").stat().st_size > 1000
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["RNN"]


def translator(attention="general"):
    source, target = WordTokenizer.train(["a cat sees"]), WordTokenizer.train(["eine Katze sieht"])
    config = Seq2SeqConfig(source.vocab_size, target.vocab_size, 4, 6, attention=attention)
    return Translator(Seq2Seq(config, generator=torch.Generator().manual_seed(0)).eval(), source, target)


def test_the_map_shows_a_row_for_each_token_written(tmp_path):
    figure = attention_map(translator(), "a cat sees", "eine Katze", path=tmp_path / "map.png")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["eine", "Katze", "<end>"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "cat", "sees"]
    weights = torch.as_tensor(axes.images[0].get_array().data)
    torch.testing.assert_close(weights.sum(1), torch.ones(3), check_dtype=False)
    assert (tmp_path / "map.png").exists()
    with pytest.raises(ValueError, match="has no attention"):
        attention_map(translator(None), "a cat", "eine Katze")
