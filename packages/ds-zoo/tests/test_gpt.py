"""MiniGPT: parity with Hugging Face's GPT-2, generation, and errors."""

import json

import pytest
import torch
from ds_core import CrossEntropyLoss, engine
from ds_core.module import replaced
from ds_zoo import MiniGPT, MiniGPTConfig
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


def test_what_a_file_leaves_out_has_their_default(tmp_path, model):
    transformers = pytest.importorskip("transformers")
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    kept = ("model_type", "vocab_size", "n_embd", "n_layer", "n_head", "n_positions")
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k in kept}))
    theirs = transformers.GPT2Config.from_pretrained(tmp_path).to_dict()
    ours = MiniGPT.from_pretrained(tmp_path).to_config()
    assert {name: theirs[name] for name in ours} == ours
    assert {name: transformers.GPT2Config().to_dict()[name] for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"top_k": 3}, {"top_p": 0.8, "temperature": 1.3}])
def test_cache_changes_nothing(model, sampling):
    model.to(torch.float64)
    prompt = torch.tensor([[1, 2, 3], [4, 5, 6]])
    plain, cached = (
        model.generate(prompt, 20, use_cache=use, seed=3, **sampling)
        for use in (False, True)
    )
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
