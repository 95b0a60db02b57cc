"""What sequence models do beyond their gradients: padding, sampling, scheduled sampling, decoding, moving
weights."""

import json
import re

import pytest
import torch
from ds_core import Adam, CrossEntropyLoss, Dense, FirstOutput, Sequential, Trainer, engine
from ds_core.text import RandomWindows, WordTokenizer, sequential_windows, text_streams
from ds_core.text.translation import Translator
from ds_core.verify import check_gradients
from ds_rnn import (
    GRU,
    RecurrentDecoder,
    RecurrentEncoder,
    RecurrentLanguageModel,
    Seq2Seq,
    Seq2SeqConfig,
    SequenceClassifier,
    SequenceTagger,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(seed=0, **options):
    options = {"embedding_dim": 6, "hidden_size": 8, **options}
    return Seq2Seq(Seq2SeqConfig(12, 10, **options), generator=generator(seed))


def batch(seed=0):
    lengths = torch.tensor([5, 2, 4])
    source = torch.randint(4, 12, (3, 5), generator=generator(seed))
    source[torch.arange(5) >= lengths[:, None]] = 0
    target = torch.randint(4, 10, (3, 4), generator=generator(seed + 1))
    target[:, 0] = 2
    return source, lengths, target


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_padding_changes_nothing(cell):
    tokens = torch.tensor([[3, 1, 4, 0, 0], [1, 5, 2, 6, 5]])
    classifier = SequenceClassifier(7, 3, 4, 5, cell=cell, generator=generator()).to(torch.float64).eval()
    tagger = SequenceTagger(7, 3, 4, 5, cell=cell, generator=generator()).to(torch.float64).eval()
    with torch.no_grad():
        both = classifier(tokens, torch.tensor([3, 5]))
        torch.testing.assert_close(both[:1], classifier(tokens[:1, :3]))
        torch.testing.assert_close(both[1:], classifier(tokens[1:]))
        tags = tagger(tokens, torch.tensor([3, 5]))
        torch.testing.assert_close(tags[:1, :3], tagger(tokens[:1, :3]))


def test_a_classifier_learns_what_stands_first():
    for seed in range(3):
        draw = generator(seed)
        tokens = torch.randint(0, 4, (400, 8), generator=draw)
        lengths = torch.randint(3, 9, (400,), generator=draw)
        labels = tokens[:, 0]
        model = SequenceClassifier(4, 4, 8, 16, generator=draw)
        optimizer, loss = Adam(model.parameters(), lr=0.02), CrossEntropyLoss()
        for _ in range(60):
            model.zero_grad()
            with engine("manual"):
                loss(model(tokens[:300], lengths[:300]), labels[:300])
                model.backward(loss.backward())
            optimizer.step()
        with torch.no_grad():
            right = model.eval()(tokens[300:], lengths[300:]).argmax(-1) == labels[300:]
        assert right.float().mean() > 0.95


def test_a_language_model_learns_a_loop_and_goes_on_with_it():
    loop = [1, 3, 0, 2, 2, 4]
    ids = torch.tensor(loop * 60)
    for seed in range(3):
        model = RecurrentLanguageModel(5, 8, 24, generator=generator(seed))
        optimizer, loss = Adam(model.parameters(), lr=0.02), CrossEntropyLoss(dim=-1)
        for _ in range(8):
            state = None
            for x, y in text_streams(ids, 4, 12):
                model.zero_grad()
                with engine("manual"):
                    logits, state = model(x, state)
                    value = loss(logits, y)
                    model.backward(loss.backward())
                optimizer.step()
        assert value < 0.1
        written = model.generate(torch.tensor([1, 3, 0]), 15, temperature=0)
        assert written.tolist() == (loop * 3)[:18]
        assert model.training  # as it was before


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_trainer_trains_a_language_model_without_its_state(cell, tmp_path):
    loop = [1, 3, 0, 2, 2, 4]
    ids = torch.tensor(loop * 40)

    def trainer(model, out=None):
        first = FirstOutput(model)
        return Trainer(first, CrossEntropyLoss(dim=-1), "adam", lr=0.02, progress=False, out=out)

    straight, resumed = (RecurrentLanguageModel(5, 8, 24, cell=cell, generator=generator()) for _ in range(2))
    windows = sequential_windows(ids, 12, 4)
    history = trainer(straight).fit(RandomWindows(ids, 12, 8), validation=windows, steps=80)
    assert history["val_loss"][-1] < 0.2
    assert straight.generate(torch.tensor([1, 3, 0]), 15, temperature=0).tolist() == (loop * 3)[:18]
    for steps, resume in ((30, False), (80, True)):
        trainer(resumed, tmp_path).fit(
            RandomWindows(ids, 12, 8), validation=windows, steps=steps, resume=resume
        )
    assert all(map(torch.equal, straight.parameters(), resumed.parameters()))


def test_the_first_output_stands_in_a_sequence():
    draw = generator()
    model = Sequential(FirstOutput(GRU(3, 4, generator=draw)), Dense(4, 2, generator=draw)).to(torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert check_gradients(model, x).ok
    assert model.requires_input_grad_(False)[0].module.input_grad is False
    with pytest.raises(TypeError, match=r"FirstOutput.*expected a module that returns a tuple, got a tensor"):
        FirstOutput(Dense(3, 2))(x.float())


def test_the_same_seed_writes_the_same_text():
    model = RecurrentLanguageModel(9, 4, 6, generator=generator())
    texts = [model.generate(torch.tensor([[1], [2]]), 20, generator=generator(5)) for _ in range(2)]
    assert texts[0].shape == (2, 21)
    assert torch.equal(*texts)
    assert not torch.equal(texts[0], model.generate(torch.tensor([[1], [2]]), 20, generator=generator(6)))


def test_text_streams_go_on_where_they_ended():
    chunks = list(text_streams(torch.arange(23), 2, 5))
    assert [x.tolist() for x, _ in chunks] == [
        [[0, 1, 2, 3, 4], [11, 12, 13, 14, 15]],
        [[5, 6, 7, 8, 9], [16, 17, 18, 19, 20]],
    ]
    assert all(torch.equal(y, x + 1) for x, y in chunks)
    for x, y in text_streams(torch.arange(23).to(torch.uint16), 2, 5):  # as a file of tokens has them
        assert x.dtype == y.dtype == torch.int64
    with pytest.raises(ValueError, match="expected at least 31 tokens for 6 streams of 5 steps, got 30"):
        next(text_streams(torch.arange(30), 6, 5))


@pytest.mark.parametrize("attention", ["additive", "general", None])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_step_by_step_is_all_at_once(cell, attention):
    model = small(cell=cell, attention=attention, num_layers=2).to(torch.float64).eval()
    source, lengths, target = batch()
    with torch.no_grad():
        whole = model(source, lengths, target)
        memory, state = model.encoder(source, lengths)
        carried = model.decoder.start(memory, state, torch.arange(5) >= lengths[:, None])
        for t in range(4):
            logits, carried = model.decoder.step(target[:, t], carried)
            torch.testing.assert_close(logits, whole[:, t])


@pytest.mark.parametrize("entries", [3, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("attention", ["additive", "general", None])
def test_the_whole_model_stands_before_finite_differences(attention, entries):
    model = small(attention=attention, cell="lstm")
    source, lengths, target = batch()
    report = check_gradients(model, source, lengths, target, max_entries=entries)
    assert report.ok, report


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_of_what_an_encoder_wrote_any_part_may_be_left_without_gradient(cell):
    encoder = RecurrentEncoder(9, 4, 6, 2, cell=cell, generator=generator())
    ids = torch.randint(0, 9, (2, 5), generator=generator(1))
    g = torch.randn(2, 5, 12, generator=generator(2))
    h, zeros = torch.randn(2, 2, 6, generator=generator(3)), torch.zeros(2, 2, 6)
    pairs = [((None, h), (zeros, h)), ((h, None), (h, zeros))] if cell == "lstm" else [(h, h)]
    full = (zeros, zeros) if cell == "lstm" else zeros
    for short, whole in (
        ((g,), (g, full)),
        *(((None, some), (torch.zeros_like(g), all_of_it)) for some, all_of_it in pairs),
    ):
        grads = []
        for above in (short, whole):
            encoder.zero_grad()
            with engine("manual"):
                encoder(ids)
                encoder.backward(*above)
            grads.append([p.grad for p in encoder.parameters()])
        for mine, other in zip(*grads, strict=True):
            torch.testing.assert_close(mine, other)


def test_a_decoder_asks_for_a_state():
    decoder, memory = RecurrentDecoder(9, 4, 6, 6), torch.zeros(2, 5, 6)
    hidden = torch.zeros(2, 5, dtype=torch.bool)
    for call in (
        lambda: decoder(torch.zeros(2, 3, dtype=torch.int64), memory, None),
        lambda: decoder.start(memory, None, hidden),
    ):
        with pytest.raises(
            TypeError, match=r"RecurrentDecoder\(\): expected a tensor as state, got NoneType"
        ):
            call()


def test_dot_attention_serves_a_decoder_as_wide_as_its_memory():
    decoder = RecurrentDecoder(9, 4, 6, 6, attention="dot", generator=generator()).to(torch.float64)
    ids = torch.randint(0, 9, (2, 3), generator=generator(1))
    start = [
        torch.randn(*size, generator=generator(2), dtype=torch.float64) for size in ((2, 5, 6), (1, 2, 6))
    ]
    g = torch.randn(2, 3, 9, generator=generator(3), dtype=torch.float64)
    with engine("manual"):
        decoder(ids, *start)
        ours = [*decoder.backward(g), *(p.grad for p in decoder.parameters())]
    decoder.zero_grad()
    leaves = [x.requires_grad_() for x in start]
    with engine("autograd"):
        (decoder(ids, *leaves) * g).sum().backward()
    for mine, other in zip(ours, [*leaves, *decoder.parameters()], strict=True):
        torch.testing.assert_close(mine, other.grad)


def test_lengths_may_be_a_list():
    model, (source, lengths, target) = small().eval(), batch()
    with torch.no_grad():
        assert torch.equal(model(source, lengths.tolist(), target), model(source, lengths, target))
    with pytest.raises(TypeError, match=r"expected source_lengths \(3,\), one for each source, got None"):
        model.generate(source, None)


def test_a_padded_source_is_translated_as_if_alone():
    model = small().to(torch.float64)
    source, lengths, _ = batch()
    for beam_size in (1, 3):
        together = model.generate(source, lengths, 9, beam_size)
        for row, length in enumerate(lengths.tolist()):
            alone = model.generate(source[row : row + 1, :length], lengths[row : row + 1], 9, beam_size)
            count = int(alone.lengths[0])
            assert together.tokens[row, :count].tolist() == alone.tokens[0, :count].tolist()
            torch.testing.assert_close(together.scores[row], alone.scores[0])


def test_attention_weights_look_only_at_words():
    weights = small().attention_weights(*batch())
    assert weights.shape == (3, 4, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))
    assert weights[1, :, 2:].eq(0).all()
    with pytest.raises(ValueError, match="has no attention"):
        small(attention=None).attention_weights(*batch())


def test_scheduled_sampling_replaces_tokens_by_the_models_own():
    source, lengths, target = batch()
    target[0, 3] = 0  # padding stays
    model = small()
    model.scheduled_sampling = 1.0
    seen = []
    original = model.decoder.forward
    model.decoder.forward = lambda ids, *rest: seen.append(ids) or original(ids, *rest)
    with engine("manual"):
        logits = model(source, lengths, target)
        assert torch.equal(seen[0][:, 0], target[:, 0])
        assert torch.equal(seen[0][1:, 1:], logits.argmax(-1)[1:, :-1])
        assert seen[0][0, 3] == 0
        model.backward(torch.ones_like(logits))  # what forward saved is still all there
    model.scheduled_sampling = 0.0
    with engine("manual"):
        model(source, lengths, target)
    assert torch.equal(seen[1], target)
    model.scheduled_sampling = 1.0
    with torch.no_grad():
        model.eval()(source, lengths, target)
    assert torch.equal(seen[2], target)  # only in training


@pytest.mark.parametrize(("sampling", "dropout", "layers"), [(0.5, 0.0, 1), (0.0, 0.4, 2), (0.5, 0.4, 2)])
def test_with_chance_in_it_both_engines_agree(sampling, dropout, layers):
    model = small(seed=3, dropout=dropout, num_layers=layers).to(torch.float64)
    model.scheduled_sampling = sampling
    grads = []
    for name in ("manual", "autograd"):
        model.zero_grad()
        model.generator.manual_seed(1)
        with engine(name):
            logits = model(*batch())
            if name == "manual":
                model.backward(torch.ones_like(logits))
            else:
                logits.sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("attention", ["additive", "general", None])
def test_seq2seq_learns_to_turn_sentences_around(attention):
    for seed in range(3):
        draw = generator(seed)
        source = torch.randint(4, 12, (256, 4), generator=draw)
        lengths = torch.randint(2, 5, (256,), generator=draw)
        source[torch.arange(4) >= lengths[:, None]] = 0
        target = torch.zeros(256, 6, dtype=torch.int64)
        for row, length in enumerate(lengths.tolist()):
            target[row, : length + 2] = torch.tensor([2, *source[row, :length].flip(0).tolist(), 3])
        model = Seq2Seq(
            Seq2SeqConfig(12, 12, embedding_dim=16, hidden_size=48, attention=attention), generator=draw
        )
        optimizer, loss = Adam(model.parameters(), lr=0.01), CrossEntropyLoss(dim=-1, ignore_index=0)
        for _ in range(120):
            model.zero_grad()
            with engine("manual"):
                loss(model(source, lengths, target[:, :-1]), target[:, 1:])
                model.backward(loss.backward())
            optimizer.step()
        decoded = model.generate(source, lengths, 6)
        width = decoded.tokens.shape[1]
        assert (decoded.tokens == target[:, 1 : 1 + width]).all(1).float().mean() > 0.95


def test_weights_come_back_from_a_folder(tmp_path):
    model = small(cell="lstm", attention="general")
    model.save_pretrained(tmp_path)
    back = Seq2Seq.from_pretrained(tmp_path)
    assert back.config == model.config
    assert not back.training
    with torch.no_grad():
        assert torch.equal(back(*batch()), model.eval()(*batch()))
    assert json.loads((tmp_path / "config.json").read_text())["cell"] == "lstm"
    with pytest.raises(FileNotFoundError, match="expected a folder written by save_pretrained"):
        Seq2Seq.from_pretrained(tmp_path / "nowhere")


def test_tokenizers_of_another_training_are_named(tmp_path):
    """One with more tokens would ask for rows that are not there, or have others written than were meant."""
    source, target = WordTokenizer.train(["a b c d e f g h"]), WordTokenizer.train(["a b c d e f"])
    Translator(small(), source, target).save(tmp_path)
    Translator.load(tmp_path, Seq2Seq)
    for name, own, other in (("source", source, target), ("target", target, source)):
        other.save(tmp_path / f"{name}_tokenizer.json")
        with pytest.raises(
            ValueError, match=rf"{name}_tokenizer.json: has \d+ tokens, but the model knows 1[02]"
        ):
            Translator.load(tmp_path, Seq2Seq)
        own.save(tmp_path / f"{name}_tokenizer.json")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_several_files_and_half_precision(tmp_path, dtype):
    model = small(cell="lstm", attention="general").to(dtype)
    model.save_pretrained(tmp_path, max_file_bytes=1000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    again = Seq2Seq.from_pretrained(tmp_path)
    assert all(tensor.dtype == torch.float32 for tensor in again.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor.float()), name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not the configuration of a Seq2Seq"),
        ("[]", "not the configuration of a Seq2Seq"),
        ('{"model_type": "gpt2"}', "expected model_type 'ds_rnn_seq2seq', got 'gpt2'"),
        ('{"model_type": "ds_rnn_seq2seq", "cell": "gru"}', "missing 2 required"),
        ('{"model_type": "ds_rnn_seq2seq", "width": 3}', "unknown setting width=3"),
    ],
)
def test_a_foreign_configuration_is_named(tmp_path, content, message):
    small().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=rf"(?s)config\.json: .*{message}"):
        Seq2Seq.from_pretrained(tmp_path)


def test_a_beginning_is_a_tensor_and_a_length_whole():
    model = RecurrentLanguageModel(5, 3, 4)
    with pytest.raises(
        TypeError, match=r"generate: expected tokens \(B, T\) or \(T,\) as a tensor, got \[1\]"
    ):
        model.generate([1], 3)
    with pytest.raises(TypeError, match=r"generate: expected length to be a whole number, got 3\.0"):
        model.generate(torch.tensor([1]), 3.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Seq2SeqConfig(5, 5, cell="tru"), "expected cell rnn or gru or lstm, got 'tru'"),
        (
            lambda: Seq2SeqConfig(5, 5, attention="luong"),
            "expected attention 'additive', 'general' or None, got 'luong'",
        ),
        (lambda: Seq2SeqConfig(5, 5, attention="dot"), "expected attention 'additive', 'general' or None"),
        (lambda: Seq2SeqConfig(0, 5), "expected source_vocab_size of at least 1, got 0"),
        (
            lambda: RecurrentDecoder(5, 4, 4, 8, attention="dot"),
            "expected queries as wide as keys for kind='dot'",
        ),
        (
            lambda: SequenceClassifier(5, 2, cell="x"),
            "SequenceClassifier: expected cell rnn or gru or lstm, got 'x'",
        ),
        (
            lambda: RecurrentEncoder(5, 4, 4, cell="x"),
            "RecurrentEncoder: expected cell rnn or gru or lstm, got 'x'",
        ),
        (
            lambda: RecurrentDecoder(5, 4, 4, 8, cell="x"),
            "RecurrentDecoder: expected cell rnn or gru or lstm, got 'x'",
        ),
        (
            lambda: SequenceClassifier(5, 2)(torch.tensor([1, 2])),
            "SequenceClassifier(): expected tokens (B, T), got (2,)",
        ),
        (
            lambda: SequenceClassifier(None, 2, 4)(torch.zeros(2, 4)),
            "SequenceClassifier(): expected x (B, T, 4), got (2, 4)",
        ),
        (
            lambda: SequenceClassifier(5, 2)(torch.tensor([[1, 2]]), torch.tensor([3])),
            "expected lengths from 1 to 2, the steps of the batch, got 3 for sequence 0",
        ),
        (
            lambda: SequenceTagger(None, 2, 4)(torch.zeros(1, 3, 5)),
            "expected input (N, L, 4), or (L, 4) without a batch, got (1, 3, 5)",
        ),
        (
            lambda: small()(batch()[0], torch.tensor([5, 0, 4]), batch()[2]),
            "expected lengths from 1 to 5, the steps of the batch, got 0 for sequence 1",
        ),
        (
            lambda: small()(*batch()[:2], batch()[2][:2]),
            "expected source (B, S) and target (B, T) of as many rows, got (3, 5) and (2, 4)",
        ),
        (
            lambda: RecurrentLanguageModel(5, 3, 4).generate(torch.tensor([1]), -1),
            "expected length of at least 0, got -1",
        ),
        (
            lambda: RecurrentLanguageModel(5, 3, 4, tie_weights=True),
            "to be equal for tied weights, got 3 and 4",
        ),
        (
            lambda: RecurrentLanguageModel(5, 3, 4).generate(torch.zeros(1, 0, dtype=torch.int64), 3),
            "expected at least one token to begin with",
        ),
    ],
)
def test_errors_say_what_was_expected(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_tied_weights_are_one_and_get_both_gradients():
    model = RecurrentLanguageModel(7, 5, 5, tie_weights=True, generator=generator()).to(torch.float64)
    assert model.head.weight is model.embedding.weight
    tokens = torch.randint(0, 7, (2, 4), generator=generator())
    grads = []
    for name in ("manual", "autograd"):
        model.zero_grad()
        with engine(name):
            logits, _ = model(tokens)
            if name == "manual":
                model.backward(logits.clone())
            else:
                ((logits * logits).sum() / 2).backward()
        grads.append(model.head.weight.grad.clone())
    torch.testing.assert_close(*grads)
