"""MiniBERT and its heads: parity with Hugging Face's BERT, the files as they are in the world, and errors."""

import json

import pytest
import torch
from ds_core import AdamW, LoRADense, LoRAWeight, WarmupCosine, add_lora, engine, load_lora, save_lora
from ds_core.training.files import load_tensors, save_tensors
from ds_core.xray.observe import observe
from ds_zoo import (
    MiniBERT,
    MiniBERTConfig,
    MiniBERTForMaskedLM,
    MiniBERTForNextSentencePrediction,
    MiniBERTForQuestionAnswering,
    MiniBERTForSequenceClassification,
    MiniBERTForTokenClassification,
)

SIZES = {
    "vocab_size": 23,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 10,
    "type_vocab_size": 2,
}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
MODELS = {
    "BertModel": MiniBERT,
    "BertForMaskedLM": MiniBERTForMaskedLM,
    "BertForNextSentencePrediction": MiniBERTForNextSentencePrediction,
    "BertForSequenceClassification": MiniBERTForSequenceClassification,
    "BertForTokenClassification": MiniBERTForTokenClassification,
    "BertForQuestionAnswering": MiniBERTForQuestionAnswering,
}
NONE = -100


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-300)).item()


def texts(rows=3, length=7, vocabulary=23):
    """Ids, mask and types of texts of different lengths, the first one full, each in two parts."""
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(1, vocabulary, (rows, length), generator=draw)
    mask = (torch.arange(length) < length - 2 * torch.arange(rows)[:, None]).long()
    types = (torch.arange(length) >= 3).long().expand(rows, -1) * mask
    return ids * mask, mask, types


def bert(name, **options):
    """Hugging Face's model of random weights, none of them 0 or 1 as norms and biases begin."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(**(SIZES | QUIET | options), attn_implementation="eager")
    model = getattr(transformers, name)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.base_model.embeddings.word_embeddings.weight[0] = 0.7
    return model


def on_disk(model, folder):
    """The tensors of a model under the names that files have for them."""
    model.save_pretrained(folder)
    return load_tensors(folder / "model.safetensors")[0]


def gradients_on_disk(model, folder):
    with torch.no_grad():
        for parameter in model.parameters():
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.data = grad.clone()
    return on_disk(model, folder)


def assert_equal_files(ours, theirs, tolerance):
    """Each of their tensors is ours; of two names of one bias, the decoder's is the one that is used."""
    extra = {"cls.predictions.bias", "cls.predictions.decoder.bias"}
    assert ours.keys() - extra == theirs.keys() - extra
    scale = max(t.abs().max().item() for t in theirs.values())
    for name in ours.keys() & theirs.keys():
        if name == "cls.predictions.bias" and "cls.predictions.decoder.bias" in theirs:
            continue
        error = (ours[name] - theirs[name]).abs().max().item()
        assert error <= tolerance * max(theirs[name].abs().max().item(), 1e-3 * scale), name


def labels_of(name, problem=None, many=3):
    draw = torch.Generator().manual_seed(6)
    if name == "BertForMaskedLM":
        labels = torch.randint(23, (3, 7), generator=draw)
        return labels.masked_fill(torch.rand(3, 7, generator=draw) < 0.6, NONE)
    if name == "BertForTokenClassification":
        return torch.tensor([[0, 1, 2, 2, NONE, 1, 0], [2, 1, 0, 0, 1, NONE, NONE], [0, 0, 1, *[NONE] * 4]])
    if name == "BertForQuestionAnswering":
        return torch.tensor([[1, 4], [0, 9], [2, 2]])  # the second answer ends where the text was cut off
    if name == "BertForSequenceClassification" and problem != "single_label_classification":
        return torch.rand(3, many, generator=draw).round() if many > 1 else torch.rand(3, generator=draw)
    return torch.tensor([1, 0, 1])


HEADS = [
    ("BertForMaskedLM", {}),
    ("BertForMaskedLM", {"tie_word_embeddings": False, "hidden_act": "relu", "pad_token_id": None}),
    ("BertForNextSentencePrediction", {"hidden_act": "gelu_new"}),
    ("BertForSequenceClassification", {"problem_type": "single_label_classification", "num_labels": 3}),
    ("BertForSequenceClassification", {"problem_type": "multi_label_classification", "num_labels": 3}),
    ("BertForSequenceClassification", {"problem_type": "regression", "num_labels": 3}),
    ("BertForSequenceClassification", {"num_labels": 1}),
    ("BertForTokenClassification", {"num_labels": 3}),
    ("BertForQuestionAnswering", {}),
]


def test_who_answers_questions_has_two_labels_whatever_it_was_given(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = MiniBERTConfig.preset("tiny", vocab_size=23, labels=("a", "b", "c"))
    ours = MiniBERTForQuestionAnswering(config).eval()
    ours.save_pretrained(tmp_path)
    theirs = transformers.BertForQuestionAnswering.from_pretrained(tmp_path).eval()
    ids, mask, types = texts()
    assert relative(ours(ids, mask, types).end_logits, theirs(ids, mask, types).end_logits) < 1e-4


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize(("name", "options"), HEADS)
def test_heads_equal_transformers(tmp_path, name, options, dtype, tolerance):
    theirs = bert(name, **options)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MODELS[name].from_pretrained(tmp_path / "theirs").train().to(dtype)
    theirs.to(dtype).train()
    ids, mask, types = texts()
    labels = labels_of(name, options.get("problem_type"), options.get("num_labels", 2))
    if name == "BertForQuestionAnswering":
        targets = {"start_positions": labels[:, 0], "end_positions": labels[:, 1]}
    else:
        targets = {"labels": labels.to(dtype) if labels.is_floating_point() else labels}
    shown = {"output_hidden_states": True, "output_attentions": True}

    expected = theirs(ids, mask, types, **targets, **shown)
    expected.loss.backward()
    with engine("manual"):
        output = ours(ids, mask, types, labels, **shown)
        ours.backward()

    compared = ("start_logits", "end_logits") if name == "BertForQuestionAnswering" else ("logits",)
    for field in ("loss", *compared):
        assert relative(getattr(output, field), getattr(expected, field)) < tolerance, field
    for field in ("hidden_states", "attentions"):
        pairs = zip(getattr(output, field), getattr(expected, field), strict=True)
        assert all(relative(a, b) < tolerance for a, b in pairs), field
    mine, other = (gradients_on_disk(m, tmp_path / f"grad{i}") for i, m in enumerate((ours, theirs)))
    assert_equal_files(mine, other, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_encoder_equals_transformers(tmp_path, dtype, tolerance):
    theirs = bert("BertModel")
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MiniBERT.from_pretrained(tmp_path / "theirs").train().to(dtype)
    theirs.to(dtype).train()
    ids, mask, types = texts()
    shown = {"output_hidden_states": True, "output_attentions": True}
    expected = theirs(ids, mask, types, **shown)
    draw = torch.Generator().manual_seed(7)
    weights = [
        torch.randn(t.shape, generator=draw, dtype=dtype)
        for t in (expected.last_hidden_state, expected.pooler_output, expected.hidden_states[1])
    ]
    parts = (expected.last_hidden_state, expected.pooler_output, expected.hidden_states[1])
    sum((w * t).sum() for w, t in zip(weights, parts, strict=True)).backward()
    with engine("manual"):
        output = ours(ids, mask, types, **shown)
        ours.backward(weights[0], weights[1], (None, weights[2], None))
    assert relative(output.last_hidden_state, expected.last_hidden_state) < tolerance
    assert relative(output.pooler_output, expected.pooler_output) < tolerance
    for field in ("hidden_states", "attentions"):
        pairs = zip(getattr(output, field), getattr(expected, field), strict=True)
        assert all(relative(a, b) < tolerance for a, b in pairs), field
    mine, other = (gradients_on_disk(m, tmp_path / f"grad{i}") for i, m in enumerate((ours, theirs)))
    assert_equal_files(mine, other, tolerance)


@pytest.mark.parametrize(("name", "options"), [("BertModel", {}), *HEADS])
def test_weights_go_both_ways(tmp_path, name, options):
    transformers = pytest.importorskip("transformers")
    theirs = bert(name, **options)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = MODELS[name].from_pretrained(tmp_path / "theirs")
    assert not ours.training
    ours.save_pretrained(tmp_path / "ours")
    again, how = getattr(transformers, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not how["missing_keys"]
    assert not how["unexpected_keys"]
    weights, before = again.state_dict(), theirs.state_dict()
    assert weights.keys() == before.keys()
    for tensor in before:
        if tensor != "cls.predictions.bias":  # of the two names of one bias, the one that is not used
            assert torch.equal(weights[tensor], before[tensor]), tensor
    with torch.no_grad():
        mine = [t for t in ours(*texts()) if t is not None]
        expected = theirs.eval()(*texts()).to_tuple()
    assert all(relative(a, b) < 1e-5 for a, b in zip(mine, expected, strict=True))
    if "num_labels" in options:
        assert again.config.num_labels == ours.config.num_labels == options["num_labels"]


# ---- files as they are in the world --------------------------------------------------------------------


def rewritten(folder, change, dtype=None):
    """Replaces the tensors of a folder."""
    tensors = load_tensors(folder / "model.safetensors")[0]
    tensors = {name: t if dtype is None else t.to(dtype) for name, t in change(tensors).items()}
    save_tensors(folder / "model.safetensors", tensors, {"format": "pt"})


def test_files_with_and_without_prefix(tmp_path):
    theirs = bert("BertModel")
    theirs.save_pretrained(tmp_path)
    plain = MiniBERT.from_pretrained(tmp_path).state_dict()
    rewritten(tmp_path, lambda tensors: {f"bert.{name}": t for name, t in tensors.items()})
    prefixed = MiniBERT.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(plain[name], prefixed[name]) for name in plain)
    # and a head's file without it
    theirs = bert("BertForSequenceClassification")
    theirs.save_pretrained(tmp_path)
    plain = MiniBERTForSequenceClassification.from_pretrained(tmp_path).state_dict()
    rewritten(tmp_path, lambda tensors: {name.removeprefix("bert."): t for name, t in tensors.items()})
    bare = MiniBERTForSequenceClassification.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(plain[name], bare[name]) for name in plain)


def test_files_of_2018(tmp_path):
    """gamma and beta, position_ids, a bias for each of two tasks, the tied decoder not written."""
    pytest.importorskip("transformers")
    model = bert("BertForPreTraining")
    model.save_pretrained(tmp_path)
    new = load_tensors(tmp_path / "model.safetensors")[0]

    def old(tensors):
        tensors = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
            for name, t in tensors.items()
        }
        tensors["bert.embeddings.position_ids"] = torch.arange(10)[None]
        tensors.pop("cls.predictions.decoder.weight", None)
        tensors.pop("cls.predictions.decoder.bias", None)
        return tensors

    rewritten(tmp_path, old)
    names = load_tensors(tmp_path / "model.safetensors")[0].keys()
    assert any("gamma" in name for name in names)
    assert "cls.seq_relationship.weight" in names
    ids, mask, types = texts()
    model.eval()
    expected = model(ids, mask, types)
    lm = MiniBERTForMaskedLM.from_pretrained(tmp_path)
    follows = MiniBERTForNextSentencePrediction.from_pretrained(tmp_path)
    encoder = MiniBERT.from_pretrained(tmp_path)
    torch.testing.assert_close(lm(ids, mask, types).logits, expected.prediction_logits)
    torch.testing.assert_close(follows(ids, mask, types).logits, expected.seq_relationship_logits)
    torch.testing.assert_close(encoder.embeddings.norm.weight, new["bert.embeddings.LayerNorm.weight"])
    assert lm.cls.decoder.weight is lm.bert.embeddings.word.weight
    assert encoder.pooler is not None


def test_a_decoder_with_its_own_bias(tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = bert("BertForMaskedLM")
    theirs.save_pretrained(tmp_path)

    def own(tensors):
        words = tensors["bert.embeddings.word_embeddings.weight"].clone()
        biases = {"cls.predictions.bias": torch.full((23,), 3.0)}
        biases["cls.predictions.decoder.bias"] = torch.arange(23.0)
        return tensors | biases | {"cls.predictions.decoder.weight": words}

    rewritten(tmp_path, own)
    ours = MiniBERTForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(ours.cls.decoder.bias, torch.arange(23.0))
    theirs = transformers.BertForMaskedLM.from_pretrained(tmp_path).eval()
    ids, mask, types = texts()
    torch.testing.assert_close(ours(ids, mask, types).logits, theirs(ids, mask, types).logits)
    # one that is not the table of words, though the configuration ties them
    rewritten(tmp_path, lambda t: t | {"cls.predictions.decoder.weight": torch.zeros(23, 12)})
    with pytest.raises(ValueError, match=r"differs: cls.predictions.decoder.weight .* ties them"):
        MiniBERTForMaskedLM.from_pretrained(tmp_path)


def test_an_encoder_out_of_a_file_without_pooler(tmp_path):
    theirs = bert("BertForMaskedLM")
    theirs.save_pretrained(tmp_path)
    encoder = MiniBERT.from_pretrained(tmp_path)
    assert encoder.pooler is None
    ids, mask, types = texts()
    output = encoder(ids, mask, types)
    assert output.pooler_output is None
    expected = theirs.eval().bert(ids, mask, types).last_hidden_state
    torch.testing.assert_close(output.last_hidden_state, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files(tmp_path, dtype):
    theirs = bert("BertModel")
    theirs.save_pretrained(tmp_path)
    rewritten(tmp_path, dict, dtype)
    model = MiniBERT.from_pretrained(tmp_path)
    assert model.embeddings.word.weight.dtype == torch.float32
    expected = theirs.embeddings.word_embeddings.weight.to(dtype).float()
    assert torch.equal(model.embeddings.word.weight, expected)


def test_shards(tmp_path):
    theirs = bert("BertForTokenClassification")
    theirs.save_pretrained(tmp_path, max_shard_size="4KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2
    ours = MiniBERTForTokenClassification.from_pretrained(tmp_path)
    assert torch.equal(ours.classifier.weight, theirs.classifier.weight)
    shards[1].unlink()
    with pytest.raises(FileNotFoundError, match=shards[1].name):
        MiniBERTForTokenClassification.from_pretrained(tmp_path)


def test_a_pickle_is_refused(tmp_path):
    theirs = bert("BertModel")
    theirs.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model.bin, a pickle.*run any code.*BertModel"):
        MiniBERT.from_pretrained(tmp_path)


@pytest.fixture
def folder(tmp_path):
    MiniBERT(MiniBERTConfig(**SIZES), generator=torch.Generator().manual_seed(0)).save_pretrained(tmp_path)
    return tmp_path


def set_fields(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"position_embedding_type": "relative_key"}, "expected position_embedding_type=absolute"),
        ({"is_decoder": True}, "expected is_decoder=False"),
        ({"hidden_act": "gelu_10"}, "expected hidden_act 'gelu'"),
        ({"embedding_size": 64}, "unknown setting embedding_size=64: it may change what is computed"),
        ({"model_type": "roberta"}, "expected model_type 'bert', got 'roberta'"),
        ({"hidden_size": 16}, "num_attention_heads to divide hidden_size"),
        ({"id2label": {"0": "a", "2": "b"}}, "labels from 0 on"),
        ({"vocab_size": "many"}, "expected vocab_size to be a whole number"),
    ],
)
def test_settings_that_change_the_mathematics_are_refused_by_name(folder, setting, said):
    set_fields(folder, **setting)
    with pytest.raises(ValueError, match=f"config.json: .*{said}"):
        MiniBERT.from_pretrained(folder)


def test_settings_of_use_are_let_through(folder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertConfig(**SIZES).to_dict()
    multilingual = {"directionality": "bidi", "pooler_type": "first_token_transform", "pooler_fc_size": 768}
    set_fields(folder, **theirs, **multilingual, position_embedding_type="absolute")
    MiniBERT.from_pretrained(folder)


def test_vocabulary_and_table_of_different_size(folder):
    set_fields(folder, vocab_size=24)
    with pytest.raises(ValueError, match=r"word_embeddings.weight, expected \(24, 12\), got \(23, 12\)"):
        MiniBERT.from_pretrained(folder)


# ---- use and mistakes ----------------------------------------------------------------------------------


def test_a_head_on_a_pretrained_encoder(folder):
    encoder = MiniBERT.from_pretrained(folder)
    labels = ("negative", "neutral", "positive")
    head = MiniBERTForSequenceClassification.from_encoder(encoder, labels=labels)
    assert head.training
    assert head.classifier.out_features == 3
    assert torch.equal(head.bert.pooler.dense.weight, encoder.pooler.dense.weight)
    assert head.bert.pooler.dense.weight is not encoder.pooler.dense.weight
    head.save_pretrained(folder / "head")
    again = MiniBERTForSequenceClassification.from_pretrained(folder / "head")
    assert again.config.labels == labels
    token = MiniBERTForTokenClassification.from_encoder(encoder.to(torch.float64))
    assert token.bert.pooler is None
    assert {parameter.dtype for parameter in token.parameters()} == {torch.float64}
    with pytest.raises(ValueError, match="wrong shape"):
        MiniBERTForTokenClassification.from_encoder(encoder, intermediate_size=21)


def test_padding_changes_nothing(folder):
    model = MiniBERT.from_pretrained(folder).to(torch.float64)
    ids, mask, types = texts()
    together = model(ids, mask, types).last_hidden_state
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = model(ids[row : row + 1, :length], token_type_ids=types[row : row + 1, :length])
        torch.testing.assert_close(alone.last_hidden_state[0], together[row, :length])


def test_the_vector_of_padding_is_not_trained(folder):
    model = MiniBERT.from_pretrained(folder).train()
    with engine("manual"):
        output = model(*texts())
        model.backward(torch.ones_like(output.last_hidden_state))
    assert model.embeddings.word.weight.grad[0].abs().max() == 0
    assert model.pooler.dense.weight.grad is None  # nobody used it


def test_mistakes(folder):
    model = MiniBERT.from_pretrained(folder).train()
    ids, mask, types = texts()
    with pytest.raises(ValueError, match=r"T from 1 to 10 \(max_position_embeddings\), got \(1, 11\)"):
        model(torch.ones(1, 11, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"got \(1, 0\)"):
        model(torch.ones(1, 0, dtype=torch.int64))
    with pytest.raises(IndexError, match="token id 23 is outside the vocabulary"):
        model(torch.full((1, 3), 23))
    with pytest.raises(IndexError, match=r"Embedding\(2, 12\): token id 2"):
        model(ids, mask, types + 1)
    minus = [torch.where(mask == 0, least, 0) for least in (-torch.inf, -1e9, -10000)]
    for added in (*minus, 0.0 * mask, 0 * mask):
        with pytest.raises(ValueError, match=r"MiniBERT: expected attention_mask of 1 .* give mask == 0"):
            model(ids, added)
    with pytest.raises(ValueError, match=r"expected attention_mask of the shape \(3, 7\)"):
        model(ids, mask[:, :5])
    head = MiniBERTForSequenceClassification.from_encoder(model)
    with engine("manual"):
        with pytest.raises(IndexError, match="from 0 to 1"):
            head(ids, mask, types, torch.tensor([0, 2, 1]))
        head(ids, mask, types)
        with pytest.raises(ValueError, match="expected grad_logits alone: forward got no labels"):
            head.backward()
        answers = MiniBERTForQuestionAnswering.from_encoder(model)
        with pytest.raises(ValueError, match=r"expected labels \(3, 2\)"):
            answers(ids, mask, types, torch.tensor([1, 2, 3]))
        answers(ids, mask, types)
        with pytest.raises(ValueError, match="grad_start_logits or grad_end_logits alone"):
            answers.backward()
    with pytest.raises(ValueError, match="different labels"):
        MiniBERTConfig(5, labels=("a", "a"))
    with pytest.raises(ValueError, match="expected num_hidden_layers of at least 1, got 0"):
        MiniBERTConfig(5, num_hidden_layers=0)


# ---- LoRA ----------------------------------------------------------------------------------------------


def adapted_bert(folder):
    """A BERT with a new head, LoRA on all its layers, and one step away from where it began."""
    encoder = MiniBERT.from_pretrained(folder)
    draw = torch.Generator().manual_seed(3)
    model = MiniBERTForSequenceClassification.from_encoder(encoder, generator=draw, **QUIET)
    add_lora(model, 2, 3.0, layers=r"layers", whole=r"^classifier", generator=draw)
    for _ in range(2):
        with engine("manual"):
            model(*texts(), torch.tensor([0, 1, 1]))
            model.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.5 * parameter.grad
                    parameter.grad = None
    return model


def test_lora_on_attention_and_mlps(folder):
    model = adapted_bert(folder)
    layer = model.bert.layers[0]
    assert isinstance(layer.self_attn, LoRAWeight)
    assert isinstance(layer.self_attn.out_proj, LoRADense)
    assert isinstance(layer.linear1, LoRADense)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in name or name.startswith("classifier") for name in trained)
    assert all(p.abs().max() > 0 for name, p in model.named_parameters() if "lora_" in name)
    output = model.eval()(*texts(), output_attentions=True)
    assert [t.shape for t in output.attentions] == [(3, 3, 7, 7)] * 2


def test_lora_is_merged_on_save(folder):
    model = adapted_bert(folder).eval()
    model.save_pretrained(folder / "merged")
    assert isinstance(model.bert.layers[0].linear1, LoRADense)  # the model itself stays as it is
    again = MiniBERTForSequenceClassification.from_pretrained(folder / "merged")
    torch.testing.assert_close(again(*texts()).logits, model(*texts()).logits)
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertForSequenceClassification.from_pretrained(folder / "merged").eval()
    torch.testing.assert_close(theirs(*texts()).logits, model(*texts()).logits, rtol=1e-4, atol=1e-5)


def test_adapters_alone(folder):
    model = adapted_bert(folder).eval()
    save_lora(model, folder / "adapter.safetensors")
    names = load_tensors(folder / "adapter.safetensors")[0].keys()
    assert "bert.layers.1.self_attn.out_proj.lora_A" in names
    assert "bert.layers.1.self_attn.lora_B" in names
    assert {n for n in names if "lora" not in n} == {"classifier.weight", "classifier.bias"}
    fresh = MiniBERTForSequenceClassification.from_encoder(MiniBERT.from_pretrained(folder))
    again = load_lora(fresh, folder / "adapter.safetensors").eval()
    assert torch.equal(again(*texts()).logits, model(*texts()).logits)


# ---- learning ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_learns_what_needs_order(seed):
    """Which of two words comes first, the same words in both classes: no bag of words can tell."""
    draw = torch.Generator().manual_seed(seed)
    # Initial weights of std 0.02 suit a width of 768; at 32, that of Dense's default is about 0.1.
    config = MiniBERTConfig(12, 32, 2, 2, 64, 8, initializer_range=0.1, **QUIET)
    model = MiniBERTForSequenceClassification(config, generator=draw)
    optimizer = AdamW(model.parameters(), lr=3e-3)
    schedule = WarmupCosine(optimizer, 25, 150)

    def batch(size):
        ids = torch.randint(4, 12, (size, 8), generator=draw)
        places = torch.rand(size, 7, generator=draw).argsort(1)[:, :2] + 1
        ids[:, 0] = 1
        ids.scatter_(1, places, torch.tensor([[2, 3]]).expand(size, -1))
        return ids, (places[:, 0] < places[:, 1]).long()

    for _ in range(150):
        ids, labels = batch(64)
        optimizer.zero_grad()
        with engine("manual"):
            model(ids, labels=labels)
            model.backward()
        optimizer.step()
        schedule.step()
    ids, labels = batch(500)
    right = model.eval()(ids).logits.argmax(1) == labels
    assert right.float().mean() >= 0.98


@pytest.mark.parametrize("kind", [MiniBERTForNextSentencePrediction, MiniBERTForSequenceClassification])
def test_what_nobody_reads_is_not_computed_and_changes_nothing(kind):
    """With hidden states, every token is computed: the loss and all gradients are the same."""
    ids, mask, types = texts()
    labels, found, seen = torch.tensor([1, 0, 1]), [], []
    for shown in (False, True):
        model = kind(MiniBERTConfig(**(SIZES | QUIET)), generator=torch.Generator().manual_seed(1)).double()
        with engine("manual"), observe(model.bert.layers[-1].linear1, lambda *x: seen.append(x[3].shape[1])):
            loss = model(ids, mask, types, labels, output_hidden_states=shown).loss
            model.backward()
            found.append([loss, *(p.grad for p in model.parameters())])
    assert seen == [1, 7]
    assert all(relative(a, b) < 1e-12 for a, b in zip(*found, strict=True))


def test_a_head_is_exported_for_batches_of_any_size():
    ids, mask, types = texts()
    model = MiniBERTForSequenceClassification(MiniBERTConfig(**(SIZES | {"num_hidden_layers": 1}))).eval()
    sizes = (({0: torch.export.Dim("batch")},) * 3,)  # of its *args
    made = torch.export.export(model.to_torch(), (ids, mask, types), dynamic_shapes=sizes).module()
    ids, mask, types = (torch.cat([x, x[:2]]) for x in (ids, mask, types))
    with torch.no_grad():
        torch.testing.assert_close(made(ids, mask, types).logits, model(ids, mask, types).logits)
