"""MiniGPT: parity with Hugging Face's GPT-2, generation, and errors."""

import json
import math

import pytest
import torch
from ds_core import CrossEntropyLoss, engine
from ds_core.finetuning import add_lora
from ds_core.module import replaced
from ds_core.text import ByteTokenizer, CharacterTokenizer
from ds_core.training.files import load_tensors, save_tensors
from ds_zoo import MiniGPT, MiniGPTConfig, perplexity
from ds_zoo.gpt.decoder import Decoder
from ds_zoo.gpt.generate import holds
from ds_zoo.gpt.pretrained import DEFAULTS, to_hugging_face

SMALL = MiniGPTConfig(vocab_size=11, n_positions=8, n_embd=12, n_layer=2, n_head=3)


@pytest.fixture
def model():
    return MiniGPT(SMALL, generator=torch.Generator().manual_seed(0))


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("tie", [True, False])
def test_logits_and_gradients_equal_gpt2(tmp_path, dtype, tolerance, tie):
    transformers = pytest.importorskip("transformers")
    config = MiniGPTConfig(
        65, n_positions=64, n_embd=128, n_layer=4, n_head=4, initializer_range=0.1, tie_word_embeddings=tie
    )
    ours = MiniGPT(config, generator=torch.Generator().manual_seed(0))
    ours.save_pretrained(tmp_path)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path).to(dtype).train()
    ours.to(dtype)
    ids = torch.randint(65, (3, 65), generator=torch.Generator().manual_seed(1))
    x, y = ids[:, :-1], ids[:, 1:]

    expected = theirs(input_ids=x).logits
    their_loss = torch.nn.functional.cross_entropy(expected.flatten(0, 1), y.flatten())
    their_loss.backward()
    loss = CrossEntropyLoss(dim=-1)
    with engine("manual"):
        logits = ours(x)
        our_loss = loss(logits, y)
        ours.backward(loss.backward())

    assert relative(logits, expected) < tolerance
    assert relative(our_loss, their_loss) < tolerance
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        (their_name,), transposed = to_hugging_face(name)
        gradient = gradients[their_name]
        assert relative(parameter.grad, gradient.T if transposed else gradient) < tolerance, name


def test_pretrained_folder_round_trip(tmp_path, model):
    model.save_pretrained(tmp_path)
    again = MiniGPT.from_pretrained(tmp_path)
    ids = torch.randint(11, (2, 8))
    assert again.config == model.config
    assert again.head.weight is again.wte.weight
    assert torch.equal(again(ids), model(ids))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sharded_and_half_precision_folders_go_both_ways(tmp_path, model, dtype):
    transformers = pytest.importorskip("transformers")
    model.to(dtype).save_pretrained(tmp_path / "ours", max_file_bytes=4000)
    assert len(list((tmp_path / "ours").glob("*.safetensors"))) > 2
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "ours", dtype=dtype)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="4KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists()
    again = MiniGPT.from_pretrained(tmp_path / "theirs")
    expected = {name: tensor.float() for name, tensor in model.state_dict().items()}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())


def test_a_small_vocabulary_ends_with_no_token_of_gpt2(tmp_path):
    """GPT-2's end of text, 50256, is what transformers assumes where the configuration names none."""
    transformers = pytest.importorskip("transformers")
    for vocabulary, ends in ((80, None), (50257, 50256)):
        config = MiniGPTConfig(vocab_size=vocabulary, n_positions=8, n_embd=4, n_layer=1, n_head=1)
        MiniGPT(config).save_pretrained(tmp_path)
        theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
        assert theirs.config.eos_token_id == theirs.config.bos_token_id == ends
        assert MiniGPT.from_pretrained(tmp_path).config == config


def test_what_a_file_leaves_out_has_their_default(tmp_path, model):
    transformers = pytest.importorskip("transformers")
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    kept = ("model_type", "vocab_size", "n_embd", "n_layer", "n_head", "n_positions")
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k in kept}))
    theirs = transformers.GPT2Config.from_pretrained(tmp_path).to_dict()
    ours = MiniGPT.from_pretrained(tmp_path).to_config()
    del ours["bos_token_id"], ours["eos_token_id"]  # of which ours has none
    assert {name: theirs[name] for name in ours} == ours
    assert {name: transformers.GPT2Config().to_dict()[name] for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"top_k": 3}, {"top_p": 0.8, "temperature": 1.3}])
def test_cache_changes_nothing(model, sampling):
    model.to(torch.float64)
    prompt = torch.tensor([[1, 2, 3], [4, 5, 6]])
    plain, cached = (model.generate(prompt, 20, use_cache=use, seed=3, **sampling) for use in (False, True))
    assert plain.shape == (2, 23)
    # Without the cache every token reads the same window again, so texts longer than the context agree too.
    assert torch.equal(plain, cached)


def test_each_new_token_costs_one_position(model):
    seen = []
    forward = model.forward

    def watched(**options):
        seen.append(options["input_ids"].shape[1])
        return forward(**options)

    with replaced(model, forward=watched):  # by which the plain form serves, not the decoder
        model.generate(torch.tensor([1, 2, 3]), 6)
    assert seen == [3, 1, 1, 1, 1, 1]


def test_generate_leaves_the_mode(model):
    model.train()
    out = model.generate(torch.arange(8), 2, temperature=0)
    assert model.training
    assert out.shape == (10,)
    assert torch.equal(model.generate(torch.tensor([1]), 0), torch.tensor([1]))


def test_same_seed_same_weights_and_text():
    def text(seed):
        model = MiniGPT(SMALL, generator=torch.Generator().manual_seed(seed))
        return model.generate(torch.tensor([1]), 30, seed=seed)

    assert torch.equal(text(1), text(1))
    assert not torch.equal(text(1), text(2))


def test_errors(model, tmp_path):
    with pytest.raises(ValueError, match=r"T at most 8 \(the context\), got \(1, 9\)"):
        model(torch.zeros(1, 9, dtype=torch.int64))
    with pytest.raises(IndexError, match=r"token id 11 is outside the vocabulary"):
        model(torch.tensor([[1, 11]]))
    with pytest.raises(IndexError, match=r"-1"):
        model(torch.tensor([[1, -1]]))
    with pytest.raises(TypeError, match="int"):
        model(torch.ones(1, 4))
    with pytest.raises(ValueError, match="prompt of at least one token"):
        model.generate(torch.zeros(0, dtype=torch.int64), 3)
    with pytest.raises(RuntimeError, match="backward without a matching forward"), engine("manual"):
        model.backward(torch.zeros(1, 4, 11))
    with pytest.raises(ValueError, match="n_head to divide n_embd"):
        MiniGPTConfig(5, n_embd=10, n_head=3)
    with pytest.raises(ValueError, match="expected n_layer of at least 1, got 0"):
        MiniGPTConfig(5, n_layer=0)
    with pytest.raises(ValueError, match="'gelu' or 'gelu_new' or 'gelu_pytorch_tanh', got 'relu'"):
        MiniGPTConfig(5, activation_function="relu")
    with pytest.raises(FileNotFoundError):
        MiniGPT.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"scale_attn_weights": False}, "expected scale_attn_weights=True, got False"),
        (
            {"scale_attn_by_inverse_layer_idx": True},
            "expected scale_attn_by_inverse_layer_idx=False, got True",
        ),
        ({"add_cross_attention": True}, "expected add_cross_attention=False, got True"),
        ({"pruned_heads": {"0": [1]}}, "expected pruned_heads="),
        ({"rope_theta": 1e4}, "unknown setting rope_theta=10000.0: it may change what is computed"),
    ],
)
def test_settings_that_change_the_mathematics_are_refused_by_name(model, tmp_path, setting, said):
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    with pytest.raises(ValueError, match=f"config.json: .*{said}"):
        MiniGPT.from_pretrained(tmp_path)


def test_settings_of_use_are_let_through(model, tmp_path):
    transformers = pytest.importorskip("transformers")
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    ours = json.loads(path.read_text())
    theirs = transformers.GPT2Config(**ours).to_dict()
    published = {"n_ctx": 8, "task_specific_params": {"text-generation": {"do_sample": True}}}
    path.write_text(json.dumps(theirs | ours | published))
    MiniGPT.from_pretrained(tmp_path)


def test_damaged_files_are_named(model, tmp_path):
    model.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        MiniGPT.from_pretrained(tmp_path)
    weights.write_bytes(content)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(ValueError, match=r"config\.json: not the configuration of a MiniGPT.*'bert'"):
        MiniGPT.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not the configuration"):
        MiniGPT.from_pretrained(tmp_path)


# ---- called by names, beside transformers ---------------------------------------------------------------


def gpt2(dtype=torch.float64, **options):
    """Hugging Face's model of random weights, none of them 0 or 1 as norms and biases begin."""
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 11, "n_positions": 12, "n_embd": 12, "n_layer": 3, "n_head": 3}
    sizes |= {"embd_pdrop": 0, "resid_pdrop": 0, "attn_pdrop": 0, "bos_token_id": None, "eos_token_id": None}
    torch.manual_seed(0)
    config = transformers.GPT2Config(**(sizes | options), attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.to(dtype).eval()


def both(folder, dtype=torch.float64, **options):
    theirs = gpt2(dtype, **options)
    theirs.save_pretrained(folder)
    return MiniGPT.from_pretrained(folder).to(dtype), theirs


def on_disk(model, folder):
    """The tensors of a model under the names that files have for them."""
    model.save_pretrained(folder)
    return load_tensors(folder / "model.safetensors")[0]


def gradients_on_disk(model, folder):
    for parameter in model.parameters():
        parameter.data = parameter.grad.clone()
    return on_disk(model, folder)


VARIANTS = [
    {},
    {"tie_word_embeddings": False, "n_inner": 20, "activation_function": "gelu"},
    {"layer_norm_epsilon": 1e-3, "activation_function": "gelu_pytorch_tanh", "n_head": 1},
]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("padded", [False, True])
def test_everything_equals_gpt2(tmp_path, options, dtype, tolerance, padded):
    ours, theirs = both(tmp_path / "theirs", dtype, **options)
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(11, (3, 9), generator=draw)
    mask = torch.ones_like(ids)
    if padded:
        mask[0, :4] = mask[2, :1] = 0
    shown = {"output_hidden_states": True, "output_attentions": True}
    labels = torch.where(mask == 1, ids, -100)
    labels[1, 3] = -100
    labels[0, 4] = labels[2, 1] = -100  # what filling predicts is nobody's business
    expected = theirs(input_ids=ids, attention_mask=mask, labels=labels, **shown)
    mixes = [torch.randn(3, 9, 12, generator=draw, dtype=dtype) * mask[..., None] for _ in range(4)]
    # transformers takes the loss in float32, whatever the logits: so it is taken here.
    their_loss = torch.nn.functional.cross_entropy(
        expected.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    )
    total = 3 * their_loss + sum(
        (state * mix).sum() for state, mix in zip(expected.hidden_states, mixes, strict=True)
    )
    total.backward()
    ours.train()
    with engine("manual"):
        found = ours(input_ids=ids, attention_mask=mask if padded else None, labels=labels, **shown)
        ours.backward(3.0, None, None, mixes)

    real = mask == 1
    assert relative(found.loss, their_loss) < tolerance
    assert relative(found.loss, expected.loss) < 1e-5
    assert relative(found.logits[real], expected.logits[real]) < tolerance
    assert len(found.hidden_states) == len(expected.hidden_states) == 4
    for state, other in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert relative(state[real], other[real]) < tolerance
    for attention, other in zip(found.attentions, expected.attentions, strict=True):
        assert relative(attention.mT.transpose(1, 3)[real], other.mT.transpose(1, 3)[real]) < tolerance
    mine = gradients_on_disk(ours, tmp_path / "ours")
    other = gradients_on_disk(theirs, tmp_path / "others")
    assert mine.keys() == other.keys()
    scale = max(gradient.abs().max().item() for gradient in other.values())
    for name, gradient in other.items():
        assert (mine[name] - gradient).abs().max().item() < tolerance * scale, name


def test_weights_go_both_ways_unchanged(tmp_path):
    ours, theirs = both(tmp_path / "theirs", torch.float32)
    again = type(theirs).from_pretrained(save(ours, tmp_path / "ours"))
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def save(model, folder):
    model.save_pretrained(folder)
    return folder


def test_loss_alone_and_states_alone_and_autograd_agree(model):
    ids = torch.randint(11, (2, 8))
    model.to(torch.float64)

    def gradients(run):
        model.zero_grad()
        run()
        return [parameter.grad for parameter in model.parameters()]

    def manual():
        with engine("manual"):
            model(input_ids=ids, labels=ids)
            model.backward()

    def plain():
        loss = CrossEntropyLoss(dim=-1)
        with engine("manual"):
            loss(model(ids)[:, :-1], ids[:, 1:])
            grad = torch.zeros(2, 8, 11, dtype=torch.float64)
            grad[:, :-1] = loss.backward()
            model.backward(grad)

    expected = gradients(lambda: model(input_ids=ids, labels=ids).loss.backward())
    for run in (manual, plain):
        for mine, other in zip(gradients(run), expected, strict=True):
            assert relative(mine, other) < 1e-10

    def states():
        with engine("manual"):
            model(input_ids=ids, labels=ids, output_hidden_states=True)
            model.backward(grad_hidden_states=[None, torch.ones(2, 8, 12, dtype=torch.float64), None])

    def taped():
        model(input_ids=ids, output_hidden_states=True).hidden_states[1].sum().backward()

    model.zero_grad()
    states()
    mine = model.wte.weight.grad
    model.zero_grad()
    taped()
    assert relative(mine, model.wte.weight.grad) < 1e-10


# ---- generation beside transformers ----------------------------------------------------------------------


def padded_prompts(prompts):
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    return {"input_ids": ids, "attention_mask": mask, "pad_token_id": 0}


@pytest.mark.parametrize("penalty", [1.0, 1.4])
@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_tokens_equal_transformers(tmp_path, penalty, use_cache):
    ours, theirs = both(tmp_path)
    prompts = [[1, 2, 3, 4], [5, 6, 7, 9]]  # of one length: transformers would penalise the filling, too
    options = {"max_new_tokens": 8, "do_sample": False, "repetition_penalty": penalty}
    expected = theirs.generate(**padded_prompts(prompts), **options)
    found = ours.generate(
        torch.tensor(prompts), 8, temperature=0, repetition_penalty=penalty, use_cache=use_cache
    )
    assert torch.equal(found, expected)


def test_prompts_of_different_lengths_equal_transformers(tmp_path):
    ours, theirs = both(tmp_path)
    prompts = [[1, 2, 3, 4, 8], [5], [6, 7]]
    expected = theirs.generate(**padded_prompts(prompts), max_new_tokens=7, do_sample=False)
    found = ours.generate([torch.tensor(p) for p in prompts], 7, temperature=0)
    for row, prompt, other in zip(found, prompts, expected, strict=True):
        assert row.tolist() == prompt + other[5:].tolist()


@pytest.mark.parametrize("beams", [2, 5])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("stop", [[], [3], [2, 7]])
def test_beams_equal_transformers(tmp_path, beams, alpha, stop):
    ours, theirs = both(tmp_path)
    prompts = [[1, 2, 3], [5], [6, 7], [4, 4]]
    expected = theirs.generate(
        **padded_prompts(prompts),
        max_new_tokens=7,
        do_sample=False,
        num_beams=beams,
        length_penalty=alpha,
        early_stopping="never",
        eos_token_id=stop or None,
    )
    found = ours.generate(
        [torch.tensor(p) for p in prompts], 7, num_beams=beams, length_penalty=alpha, stop_tokens=stop
    )
    for row, prompt, other in zip(found, prompts, expected, strict=True):
        new = row[len(prompt) :].tolist()
        assert new == other[3 : 3 + len(new)].tolist()
        assert len(new) == 7 or new[-1] in stop


@pytest.mark.parametrize("watched", [False, True])
def test_the_decoder_scores_as_the_model_does(tmp_path, watched):
    ours, theirs = both(tmp_path)
    ids = torch.randint(11, (2, 7), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        caches = ours(input_ids=ids[:, :4], use_cache=True).past_key_values
        for place in range(4, 7):
            if watched:
                step = ours(input_ids=ids[:, place : place + 1], past_key_values=caches).logits[:, -1]
            else:
                step = Decoder(ours)(ids[:, place], torch.full((2,), place), caches, None)
            assert relative(step, theirs(ids[:, : place + 1]).logits[:, -1]) < 1e-9


def test_the_decoder_passes_over_nobody(model):
    assert Decoder.serves(model)
    with replaced(model.blocks[1].linear1, forward=model.blocks[1].linear1.forward):
        assert not Decoder.serves(model)
    with engine("manual", kernels=False):
        assert not Decoder.serves(model)
    assert not Decoder.serves(add_lora(model.copy(), layers="linear1"))
    assert not Decoder.serves(model.copy().to(torch.bfloat16))


@pytest.mark.parametrize(
    "options",
    [{}, {"top_k": 4}, {"top_p": 0.8}, {"min_p": 0.2}, {"temperature": 0, "repetition_penalty": 1.5}],
)
def test_a_sample_depends_on_its_seed_alone(tmp_path, options):
    ours, _ = both(tmp_path)  # in float64: rounding differs with the batch
    prompts = [torch.tensor(p) for p in ([1, 2, 3, 4, 5, 6], [7], [8, 9])]
    together = ours.generate(prompts, 25, seed=[5, 6, 7], **options)  # beyond the context
    for prompt, seed, text in zip(prompts, (5, 6, 7), together, strict=True):
        assert torch.equal(ours.generate(prompt, 25, seed=seed, **options), text)
    assert torch.equal(ours.generate(prompts, 25, seed=5, **options)[2], together[2])
    longer = ours.generate(prompts[1], 30, seed=6, **options)
    assert torch.equal(longer[:26], together[1])


def test_a_text_that_stops_leaves_the_others_alone(tmp_path):
    ours, _ = both(tmp_path)
    prompts = [torch.tensor(p) for p in ([1, 2, 3, 4, 5, 6, 8], [7], [8, 9])]
    free = ours.generate(prompts, 25, seed=1)
    stop = free[0][9].item()
    found = ours.generate(prompts, 25, seed=1, stop_tokens=[stop])
    for text, other, prompt in zip(found, free, prompts, strict=True):
        new = other[len(prompt) :].tolist()
        end = new.index(stop) + 1 if stop in new else 25
        assert text.tolist() == prompt.tolist() + new[:end]


def test_stop_strings_and_the_form_of_the_result(model):
    letters = CharacterTokenizer.from_text("abcdefghijk")
    ids = torch.tensor([[0, 1], [2, 3]])
    free = model.generate(ids, 6, seed=3)
    stop = letters.decode(free[0, 3:5])
    found = model.generate(ids, 6, seed=3, stop_strings=[stop], tokenizer=letters, pad_token=9)
    assert found[0, :5].tolist() == free[0, :5].tolist()
    assert (found[0, 5:] == 9).all()
    assert found.dtype == torch.int64
    assert [len(text) for text in model.generate([[1], [2, 3]], 2)] == [3, 4]
    assert model.generate([], 2) == []


@pytest.mark.parametrize(
    "stop", ["a", "d\u00e9j\u00e0 vu", "\u4f60\u597d\u5417\u518d\u89c1\u5427", "\U0001f642" * 9]
)
def test_a_stop_string_is_found_whatever_its_letters_cost(stop):
    """A byte is the shortest token that there is."""
    tokenizer = ByteTokenizer()
    tokens = tokenizer.encode(f"before it {stop}")
    assert holds(tokens, ["never written", stop], tokenizer)
    assert not holds(tokens[:-1], ["never written", stop], tokenizer)


def test_seeds_of_any_size(model):
    for seed in (0, -1, 2**63 - 1, [-(2**63)]):
        assert len(model.generate(torch.tensor([1]), 3, seed=seed)) == 4
    for seed in (2**63, 2**70, [2**64]):
        with pytest.raises(ValueError, match=r"expected seed below 2\^63, got"):
            model.generate(torch.tensor([1]), 3, seed=seed)
    with pytest.raises(TypeError, match="expected seed to be a whole number"):
        model.generate(torch.tensor([1]), 3, seed=1.5)


def test_stop_strings_are_a_list(model):
    with pytest.raises(TypeError, match=r"got one text; write \['ab'\]"):
        model.generate([[1]], 3, stop_strings="ab", tokenizer=ByteTokenizer())


@pytest.mark.parametrize(
    ("prompts", "options", "said"),
    [
        (torch.zeros(0, dtype=torch.int64), {}, "prompt of at least one token"),
        ([[1], []], {}, "prompt of at least one token"),
        (torch.zeros(9, dtype=torch.int64), {}, r"at most 8 \(the context\), got \(9,\)"),
        ([1, 2], {}, r"a list of prompts, got one of numbers; write \[prompt\]"),
        ([[1]], {"seed": [1, 2]}, "one seed or 1"),
        ([[1]], {"stop_strings": ["a"]}, "tokenizer="),
        ([[1]], {"num_beams": 2, "top_k": 3}, "beams take no chance"),
        ([[1]], {"length_penalty": 2.0}, "length_penalty is of beams"),
        ([[1] * 6], {"num_beams": 2}, "fit into the context of 8, got 6 and 3"),
        ([[1]], {"num_beams": 0}, "num_beams of at least 1|num_beams to be|expected num_beams"),
        ([[1]], {"temperature": -1}, "temperature of at least 0"),
        ([[1]], {"min_p": 2}, "min_p <= 1"),
        ([[1]], {"repetition_penalty": 0}, "penalty above 0"),
    ],
)
def test_what_cannot_be_continued_is_said(model, prompts, options, said):
    with pytest.raises(ValueError, match=said):
        model.generate(prompts, 3, **options)


def test_tokens_outside_the_vocabulary_are_named(model):
    with pytest.raises(IndexError, match="11"):
        model.generate([[11]], 3)
    with pytest.raises(IndexError, match="stop_tokens from 0 to 10, got 11"):
        model.generate([[1]], 3, stop_tokens=[11])
    with pytest.raises(TypeError, match=r"a list of stop_tokens, got one; write \[3\]"):
        model.generate([[1]], 3, stop_tokens=3)
    with pytest.raises(TypeError, match="integers"):
        model.generate(torch.ones(2), 3)
    for text in ("ab", ["ab"]):
        with pytest.raises(TypeError, match="expected token ids, as encode gives them, got a text"):
            model.generate(text, 3)
    with pytest.raises(IndexError, match="11"):
        model(input_ids=torch.tensor([[1, 2]]), labels=torch.tensor([[1, 11]]))
    for added in (torch.tensor([[0.0, -torch.inf]]), torch.tensor([[0, -10000]])):
        with pytest.raises(ValueError, match="MiniGPT: expected attention_mask of 1 where something is"):
            model(input_ids=torch.tensor([[1, 2]]), attention_mask=added)
    with pytest.raises(ValueError, match=r"labels of the shape \(1, 2\)"):
        model(input_ids=torch.tensor([[1, 2]]), labels=torch.tensor([[1]]))
    with pytest.raises(TypeError, match="once"):
        model()


def test_prompts_in_few_bytes_do_not_bound_what_comes():
    model = MiniGPT(MiniGPTConfig(vocab_size=400, n_positions=8, n_embd=8, n_layer=1, n_head=1))
    prompt = torch.tensor([1, 2])
    wanted = model.generate(prompt, 6, seed=0)
    assert wanted.max() > 255
    for prompts in (prompt.to(torch.uint8), prompt[None].to(torch.uint8)):
        found = model.generate(prompts, 6, seed=0)
        assert torch.equal(found, wanted.view(found.shape))


# ---- perplexity -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 8, 9, 10, 30])
@pytest.mark.parametrize("stride", [1, 3, 8, None])
def test_perplexity_predicts_every_token_once_with_enough_before_it(model, length, stride):
    model.to(torch.float64)
    ids = torch.randint(11, (length,), generator=torch.Generator().manual_seed(length))
    found = perplexity(model, ids, stride=stride, batch_size=2)
    step, expected = stride or 4, 0.0
    for place in range(1, length):  # one token at a time: the definition
        window = max(0, -(-(place - 8) // step)) * step  # the first window that reaches so far
        with torch.no_grad():
            logits = model(ids[window:place])
        expected -= torch.log_softmax(logits[-1], -1)[ids[place]].item()
    assert found.tokens == length - 1
    assert found.loss == pytest.approx(expected / (length - 1), rel=1e-12)
    assert found.perplexity == pytest.approx(torch.tensor(found.loss).exp().item(), rel=1e-5)


def test_a_loss_beyond_all_numbers_has_a_perplexity(model):
    with torch.no_grad():
        model.wte.weight.mul_(1e5)
    found = perplexity(model, torch.randint(11, (9,), generator=torch.Generator().manual_seed(0)))
    assert found.loss > 709
    assert found.perplexity == math.inf


def test_perplexity_says_what_it_cannot_measure(model):
    with pytest.raises(TypeError, match=r"perplexity: expected token ids \(T,\), a tensor, got list"):
        perplexity(model, [1, 2])
    for ids, options in ((torch.tensor([1]), {}), (torch.zeros(9, dtype=torch.int64), {"stride": 9})):
        with pytest.raises(ValueError, match=r"perplexity: expected"):
            perplexity(model, ids, **options)


# ---- files as they are in the world, and names on the hub -------------------------------------------------


def test_published_files_load(tmp_path):
    """No prefix, constant masks, no head: as GPT-2 lies on the hub."""
    ours, _ = both(tmp_path, torch.float32)
    tensors = load_tensors(tmp_path / "model.safetensors")[0]
    published = {name.removeprefix("transformer."): t for name, t in tensors.items() if "lm_head" not in name}
    for i in range(3):
        published[f"h.{i}.attn.bias"] = torch.ones(12, 12).tril().view(1, 1, 12, 12)
        published[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    save_tensors(tmp_path / "model.safetensors", published, {"format": "pt"})
    again = MiniGPT.from_pretrained(tmp_path)
    ids = torch.randint(11, (2, 5))
    assert torch.equal(again(ids), ours(ids))


def test_a_pickle_alone_is_refused_and_a_missing_shard_named(tmp_path, model):
    model.save_pretrained(tmp_path, max_file_bytes=4000)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    shards[1].unlink()
    with pytest.raises(FileNotFoundError, match=shards[1].name):
        MiniGPT.from_pretrained(tmp_path)
    for file in tmp_path.glob("model*"):
        file.unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"(?s)pickle.*GPT2LMHeadModel.from_pretrained"):
        MiniGPT.from_pretrained(tmp_path)


def test_vocabulary_and_embedding_of_different_size_are_named(tmp_path, model):
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 12}))
    with pytest.raises(ValueError, match=r"wte.weight, expected \(12, 12\), got \(11, 12\)"):
        MiniGPT.from_pretrained(tmp_path)


def test_presets():
    assert MiniGPTConfig.preset("gpt2").n_embd == 768
    assert MiniGPTConfig.preset("mini", vocab_size=5) == MiniGPTConfig(5)
    assert MiniGPTConfig.preset("small", vocab_size=5, n_layer=2).n_layer == 2
    with pytest.raises(ValueError, match="preset tiny, mini, small, gpt2, got 'large'"):
        MiniGPTConfig.preset("large")


@pytest.mark.parametrize("keep", [1, 3, 7, 9])
@pytest.mark.parametrize("size", [(3, 7), (7,)])
def test_the_last_logits_alone_equal_gpt2(tmp_path, keep, size):
    ours, theirs = both(tmp_path)
    ids = torch.randint(11, size, generator=torch.Generator().manual_seed(4))
    expected = theirs(input_ids=ids.view(-1, 7), logits_to_keep=keep).logits
    grad = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    expected.backward(grad)
    with engine("manual"):
        found = ours.train()(ids, logits_to_keep=keep)
        assert found.shape == (*size[:-1], min(keep, 7), 11)
        ours.backward(grad.view_as(found))
    assert relative(found, expected.view_as(found)) < 1e-12
    expected = gradients_on_disk(theirs, tmp_path / "theirs")
    found = gradients_on_disk(ours, tmp_path / "ours")
    assert found.keys() == expected.keys()
    assert all(relative(found[name], expected[name]) < 1e-9 for name in found)


def test_logits_to_keep_that_cannot_be(model):
    ids = torch.arange(5)[None]
    for options in ({"logits_to_keep": -1}, {"logits_to_keep": 2, "labels": ids}):
        with pytest.raises(ValueError, match="logits_to_keep of at least 0, and 0 with labels, got"):
            model(ids, **options)
