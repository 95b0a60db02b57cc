"""What a translator does beyond its gradients: searching, padding, tied weights, moving, drawing."""

import json
import re

import pytest
import torch
from ds_core import Adam, CrossEntropyLoss, Parameter, engine
from ds_core.verify import check_gradients
from ds_transformer import (
    MultiheadAttention,
    TransformerEncoderLayer,
    TransformerTranslator,
    TransformerTranslatorConfig,
    attention_maps,
)

SMALL = {
    "d_model": 8,
    "nhead": 2,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "dim_feedforward": 12,
    "dropout": 0.0,
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(seed=0, sources=12, targets=10, **options):
    config = TransformerTranslatorConfig(sources, targets, **SMALL | options)
    return TransformerTranslator(config, generator=generator(seed)).to(torch.float64)


def batch(seed=0):
    lengths = torch.tensor([5, 2, 4])
    source = torch.randint(4, 12, (3, 5), generator=generator(seed))
    source[torch.arange(5) >= lengths[:, None]] = 0
    target = torch.randint(4, 10, (3, 4), generator=generator(seed + 1))
    target[:, 0] = 2
    return source, lengths, target


def loss_and_backward(model, data, labels, name="manual"):
    """Fills the gradients of a model and returns the loss."""
    loss = CrossEntropyLoss(ignore_index=0, dim=-1)
    model.zero_grad()
    with engine(name):
        value = loss(model(*data), labels)
        if name == "manual":
            model.backward(loss.backward())
        else:
            value.backward()
    return value.item()


# ---- how it writes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("beam_size", [1, 2, 5])
@pytest.mark.parametrize("norm_first", [True, False])
def test_caches_change_nothing(norm_first, beam_size):
    for seed in range(3):
        model = small(seed, norm_first=norm_first)
        source, lengths, _ = batch(seed)
        cached, plain = (
            model.generate(source, lengths, 12, beam_size, use_cache=use_cache) for use_cache in (True, False)
        )
        assert torch.equal(cached.tokens, plain.tokens)
        assert torch.equal(cached.lengths, plain.lengths)
        torch.testing.assert_close(cached.scores, plain.scores)


def test_step_by_step_is_all_at_once():
    model, (source, lengths, target) = small(), batch()
    with torch.no_grad():
        whole = model.eval()(source, lengths, target)
    greedy = model.generate(source, lengths, 6)
    before = torch.cat([target[:, :1], greedy.tokens[:, :-1]], 1)  # <bos>, and what it wrote itself
    with torch.no_grad():
        own = model(source, lengths, before).argmax(-1)
    for row, length in enumerate(greedy.lengths.tolist()):
        assert greedy.tokens[row, :length].tolist() == own[row, :length].tolist()
    assert whole.shape == (3, 4, 10)


def test_greedy_scores_are_the_probabilities_of_the_sentence():
    model, (source, lengths, target) = small(), batch()
    written = model.generate(source, lengths, 6)
    before = torch.cat([target[:, :1], written.tokens[:, :-1]], 1)
    with torch.no_grad():
        log_p = model.eval()(source, lengths, before).log_softmax(-1)
    each = log_p.gather(2, written.tokens[:, :, None]).squeeze(2)
    each[torch.arange(each.shape[1]) >= written.lengths[:, None]] = 0
    torch.testing.assert_close(written.scores, each.sum(1))


def test_many_beams_find_the_best_sentence_of_all():
    source, lengths, _ = batch()
    for seed in range(3):
        model = small(seed)
        found = model.generate(source, lengths, 2, 100, length_penalty=0.0)
        with torch.no_grad():
            begun = torch.stack([torch.full((10,), 2), torch.arange(10)], 1)  # <bos> and each token
            for row in range(3):
                each = source[row].repeat(10, 1), lengths[row].repeat(10), begun
                log_p = model.eval()(*each).log_softmax(-1)  # (10, 2, V)
                ended = log_p[0, 0, 3], *(log_p[i, 0, i] + log_p[i, 1, 3] for i in range(10) if i != 3)
                torch.testing.assert_close(found.scores[row], max(ended))


def test_generating_leaves_the_mode_and_what_forwards_saved():
    model, data = small(dropout=0.2), batch()
    with engine("manual"):
        logits = model(*data)
        model.generate(*data[:2], 4, 2)
        assert model.training
        model.backward(torch.ones_like(logits))
    assert all(p.grad is not None for p in model.parameters())


# ---- padding -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_batch_is_each_sentence_alone(norm_first):
    model, (source, lengths, target) = small(norm_first=norm_first).eval(), batch()
    ends = [4, 3, 1]
    padded = target.clone()
    padded[torch.arange(4) >= torch.tensor(ends)[:, None]] = 0
    with torch.no_grad():
        together = model(source, lengths, padded)
        for row, (length, end) in enumerate(zip(lengths.tolist(), ends, strict=True)):
            alone = model(source[row : row + 1, :length], [length], target[row : row + 1, :end])
            torch.testing.assert_close(together[row, :end], alone[0])


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_padded_source_is_translated_as_if_alone(beam_size):
    model, (source, lengths, _) = small(), batch()
    together = model.generate(source, lengths, 9, beam_size)
    for row, length in enumerate(lengths.tolist()):
        alone = model.generate(source[row : row + 1, :length], lengths[row : row + 1], 9, beam_size)
        count = int(alone.lengths[0])
        assert together.tokens[row, :count].tolist() == alone.tokens[0, :count].tolist()
        torch.testing.assert_close(together.scores[row], alone.scores[0])


def test_gradients_of_a_batch_are_those_of_its_sentences():
    model, (source, lengths, target) = small(), batch()
    labels = torch.randint(4, 10, (3, 4), generator=generator(7))
    labels[1, 2:] = target[1, 2:] = 0
    loss_and_backward(model, (source, lengths, target), labels)
    together = [p.grad * 10 for p in model.parameters()]  # of the sum over 10 tokens, not the mean
    total = [torch.zeros_like(g) for g in together]
    for row, (length, end) in enumerate(zip(lengths.tolist(), (4, 2, 4), strict=True)):
        alone = source[row : row + 1, :length], [length], target[row : row + 1, :end]
        loss_and_backward(model, alone, labels[row : row + 1, :end])
        for sum_, p in zip(total, model.parameters(), strict=True):
            sum_ += p.grad * end
    for ours, theirs in zip(together, total, strict=True):
        torch.testing.assert_close(ours, theirs)


# ---- tied weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [False, True])
def test_tied_weights_are_one_and_get_the_sum_of_the_gradients(share):
    model = small(sources=10, share_embeddings=share)
    loose = small(sources=10)
    for part in (loose.source_embedding, loose.target_embedding, loose.head):
        del part.weight
    first = model.source_embedding.weight
    loose.source_embedding.weight = Parameter(first.detach().clone())
    for part in (loose.target_embedding, loose.head):
        part.weight = Parameter(model.head.weight.detach().clone())
    loose.transformer.load_state_dict(model.transformer.state_dict())
    source, lengths, target = batch()
    source = source.clamp(max=9)
    labels = torch.randint(4, 10, (3, 4), generator=generator(7))
    for each in (model, loose):
        loss_and_backward(each, (source, lengths, target), labels)
    assert model.head.weight is model.target_embedding.weight
    assert (model.head.weight is model.source_embedding.weight) == share
    parts = [loose.head.weight.grad, loose.target_embedding.weight.grad]
    parts += [loose.source_embedding.weight.grad] if share else []
    torch.testing.assert_close(model.head.weight.grad, sum(parts))
    assert loose.num_parameters() - model.num_parameters() == (2 if share else 1) * 10 * 8


def test_the_whole_model_stands_before_finite_differences():
    model = small(sources=10, share_embeddings=True, num_encoder_layers=1, norm_first=False)
    source, lengths, target = batch()
    report = check_gradients(model, source.clamp(max=9), lengths, target, max_entries=4)
    assert report.ok, report


def test_with_dropout_both_engines_agree():
    model = small(dropout=0.4)
    labels = torch.randint(4, 10, (3, 4), generator=generator(7))
    grads = []
    for name in ("manual", "autograd"):
        model.positions.dropout.generator.manual_seed(1)
        loss_and_backward(model, batch(), labels, name)
        grads.append([p.grad.clone() for p in model.parameters()])
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_frozen_embeddings_stay_without_gradient():
    model = small()
    model.source_embedding.requires_grad_(False)
    loss_and_backward(model, batch(), batch()[2])
    assert model.source_embedding.weight.grad is None
    assert model.head.weight.grad is not None


# ---- learning ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_it_learns_to_turn_a_sequence_around(seed):
    draw = generator(seed)
    lengths = torch.randint(2, 5, (400,), generator=draw)
    source = torch.randint(4, 8, (400, 4), generator=draw)
    source[torch.arange(4) >= lengths[:, None]] = 0
    target = torch.zeros(400, 6, dtype=torch.int64)
    for row, length in enumerate(lengths.tolist()):
        target[row, : length + 2] = torch.tensor([2, *source[row, :length].flip(0), 3])
    config = TransformerTranslatorConfig(8, 8, 32, 4, 1, 1, 64, dropout=0.0, share_embeddings=True)
    model = TransformerTranslator(config, generator=draw)
    optimizer = Adam(model.parameters(), lr=4e-3, betas=(0.9, 0.98))
    for _ in range(40):
        for rows in torch.randperm(350, generator=draw).split(50):
            loss_and_backward(model, (source[rows], lengths[rows], target[rows, :-1]), target[rows, 1:])
            optimizer.step()
    written = torch.zeros(50, 6, dtype=torch.int64)
    found = model.generate(source[350:], lengths[350:], 6, 3).tokens
    written[:, : found.shape[1]] = found
    assert (written[:, :5] == target[350:, 1:]).all(1).float().mean() > 0.8


# ---- where it looks ----------------------------------------------------------------------------------


def test_attention_weights_of_every_layer_and_head():
    model, (source, lengths, target) = small(), batch()
    maps = model.attention_weights(source, lengths, target)
    assert maps.encoder.shape == (3, 2, 2, 5, 5)
    assert maps.decoder.shape == (3, 2, 2, 4, 4)
    assert maps.cross.shape == (3, 2, 2, 4, 5)
    for weights in maps:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert maps.encoder[1, ..., 2:].eq(0).all()
    assert maps.cross[1, ..., 2:].eq(0).all()
    assert maps.decoder.triu(1).eq(0).all()
    assert model.training


def test_attention_maps_are_those_of_torch_and_vanish_afterwards():
    layer = TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True, blockwise=True).eval()
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict(layer.self_attn.state_dict())
    x = torch.randn(2, 5, 8, generator=generator())
    with torch.no_grad():
        plain = layer(x)
        with attention_maps(layer) as maps:
            torch.testing.assert_close(layer(x), plain)
        _, expected = theirs(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(maps[layer.self_attn], expected)
    assert "forward" not in vars(layer.self_attn)
    assert isinstance(next(iter(maps)), MultiheadAttention)


@pytest.mark.parametrize("more", [(), (None, True), (None, True, None, False), (None, False)])
def test_who_is_watched_gets_what_it_asks_for(more):
    attention = MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(2, 5, 8, generator=generator())
    with torch.no_grad():
        expected = attention(x, x, x, *more)
        with attention_maps(attention) as maps:
            torch.testing.assert_close(attention(x, x, x, *more), expected)
        _, by_head = attention(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(maps[attention], by_head)


# ---- how its weights move ----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [False, True])
def test_it_comes_back_as_it_was_saved(tmp_path, share):
    model = small(sources=10, share_embeddings=share, norm_first=False, activation="gelu").eval()
    model.save_pretrained(tmp_path)
    again = TransformerTranslator.from_pretrained(tmp_path).to(torch.float64)
    assert again.config == model.config
    assert not again.training
    source, lengths, target = batch()
    with torch.no_grad():
        data = source.clamp(max=9), lengths, target
        torch.testing.assert_close(again(*data), model(*data), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_several_files_and_half_precision(tmp_path, dtype):
    model = small(sources=10, share_embeddings=True).to(dtype)
    model.save_pretrained(tmp_path, max_file_bytes=1000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    again = TransformerTranslator.from_pretrained(tmp_path)
    assert all(tensor.dtype == torch.float32 for tensor in again.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor.float()), name


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder written by save_pretrained"):
        TransformerTranslator.from_pretrained(tmp_path)
    small().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    for change, message in (
        ({"model_type": "gpt2"}, "not the configuration of a TransformerTranslator"),
        ({"nhead": 3}, "expected an even d_model that nhead divides"),
        ({"wings": 2}, "wings"),
    ):
        path.write_text(json.dumps(saved | change))
        with pytest.raises(ValueError, match=message):
            TransformerTranslator.from_pretrained(tmp_path)
    path.write_text(json.dumps(saved | {"dim_feedforward": 13}))
    with pytest.raises(ValueError, match="wrong shape"):
        TransformerTranslator.from_pretrained(tmp_path)


# ---- what cannot be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 9, "nhead": 3}, "expected an even d_model that nhead divides, got d_model=9, nhead=3"),
        ({"nhead": 3}, "expected an even d_model that nhead divides, got d_model=8, nhead=3"),
        ({"num_decoder_layers": 0}, "expected num_decoder_layers of at least 1, got 0"),
        ({"dropout": 1.0}, "expected dropout from 0 to below 1, got 1.0"),
        ({"activation": "tanh"}, "expected activation 'relu' or 'gelu', got 'tanh'"),
        ({"share_embeddings": True}, "shared embeddings need one vocabulary, got 12 source and 10 target"),
        ({"max_length": 0}, "expected max_length of at least 1, got 0"),
    ],
)
def test_sizes_that_cannot_be_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        small(**options)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s, n, t: (s[:, :0], n, t), ValueError, "expected a source of 1 to 5 tokens"),
        (lambda s, n, t: (s, n, t[:, :0]), ValueError, "expected a target of 1 to 5 tokens"),
        (lambda s, n, t: (torch.cat([s, s], 1), n, t), ValueError, "1 to 5 tokens (the context), got 10"),
        (lambda s, n, t: (s, n, torch.cat([t, t], 1)), ValueError, "expected a target of 1 to 5 tokens"),
        (lambda s, n, t: (s, n, t[:2]), ValueError, "of as many rows, got (3, 5) and (2, 4)"),
        (lambda s, n, t: (s[0], n, t), ValueError, "expected source (B, S) and target (B, T)"),
        (lambda s, n, t: (s, n[:2], t), ValueError, "expected 3 source lengths, got (2,)"),
        (lambda s, n, t: (s, torch.tensor([5, 0, 4]), t), ValueError, "lengths of at least 1, got [5, 0, 4]"),
        (lambda s, n, t: (s, torch.tensor([6, 2, 4]), t), ValueError, "expected lengths from 0 to 5"),
        (lambda s, n, t: (s + 12, n, t), IndexError, "is outside the vocabulary 0..11"),
        (lambda s, n, t: (s, n, t - 10), IndexError, "is outside the vocabulary 0..9"),
        (lambda s, n, t: (s.double(), n, t), TypeError, "expected integer ids"),
    ],
)
def test_inputs_that_cannot_be_are_named(change, error, message):
    model = small(max_length=5)
    with pytest.raises(error, match=re.escape(message)):
        model(*change(*batch()))


def test_it_writes_no_more_than_the_context():
    source, lengths, _ = batch()
    model = small(max_length=5)
    model.head.weight.data[3] = 0  # never the end
    written = model.generate(source, lengths, 60)
    assert written.tokens.shape[1] <= 5
    with pytest.raises(ValueError, match="1 to 5 tokens"):
        model.generate(torch.cat([source, source], 1), lengths)
    with pytest.raises(ValueError, match="expected max_length of at least 1, got 0"):
        model.generate(source, lengths, 0)


def test_an_empty_batch_has_gradients_of_zero():
    model, empty = small(), torch.zeros(0, 3, dtype=torch.int64)
    with engine("manual"):
        logits = model(empty, torch.zeros(0, dtype=torch.int64), empty)
        assert logits.shape == (0, 3, 10)
        model.backward(logits)
    assert all(p.grad.eq(0).all() for p in model.parameters())
