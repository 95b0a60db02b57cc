"""What stands around a translating model: texts in and out, files, scores, training."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ds_core import Dense, Embedding, Module
from ds_core.text import Decoded, Pairs, WordTokenizer
from ds_core.text.translation import (
    Translator,
    TranslatorRecipe,
    exact_share,
    sacre_bleu,
    train_translator,
)
from ds_core.training import CheckpointError

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier"}
TEXTS = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS]
PAIRS = Pairs(TEXTS, [" ".join(WORDS[word] for word in text.split()) for text in TEXTS], "numbers")


class WordByWord(Module):
    """Translates each word by itself: the smallest model a translator takes."""

    def __init__(self, sources, targets):
        self.sizes = sources, targets
        self.embedding = Embedding(sources, 8, generator=torch.Generator().manual_seed(0))
        self.head = Dense(8, targets, generator=torch.Generator().manual_seed(1))

    def forward(self, source, source_lengths, target):
        # The token at place t of the target is the source's; the one after the last word is <eos>, 3.
        padded = torch.nn.functional.pad(source, (0, target.shape[1]), value=0)
        return self.head(self.embedding(padded[:, : target.shape[1]]))

    def backward(self, grad):
        self.embedding.backward(self.head.backward(grad))

    def generate(self, source, source_lengths, max_length, beam_size, length_penalty):
        with torch.no_grad():
            tokens = self.head(self.embedding(source)).argmax(-1)
        tokens[torch.arange(source.shape[1]) >= source_lengths[:, None]] = 3
        return Decoded(tokens[:, :max_length], source_lengths, torch.zeros(len(source)))

    def save_pretrained(self, folder):
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "config.json").write_text(json.dumps(self.sizes))
        (Path(folder) / "model.safetensors").write_bytes(b"")

    @classmethod
    def from_pretrained(cls, folder):
        return cls(*json.loads((Path(folder) / "config.json").read_text()))


RECIPE = TranslatorRecipe(
    tokenizer="word", vocab_size=None, epochs=30, batch_size=8, lr=0.05, label_smoothing=0.0
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    return train_translator(PAIRS, WordByWord, out, recipe=RECIPE, progress=False)


def test_training_fills_the_folder_and_learns(trained):
    assert trained.translator.translate(["two four one", "three one one"]) == [
        "zwei vier eins",
        "drei eins eins",
    ]
    assert {path.name for path in trained.out.iterdir()} >= {
        "source_tokenizer.json",
        "target_tokenizer.json",
        "log.csv",
        "loss.png",
        "checkpoint.safetensors",
    }
    losses = trained.history.validation["val_loss"]
    assert len(losses) == RECIPE.epochs
    assert losses[-1] < 0.05 < losses[0]
    loaded = Translator.load(trained.out, WordByWord)
    assert loaded.source_tokenizer.encode("two") == trained.translator.source_tokenizer.encode("two")


def test_texts_go_where_the_model_is():
    seen = []

    class Elsewhere(WordByWord):
        def generate(self, source, source_lengths, *options):
            seen.extend([source.device.type, source_lengths.device.type])
            return Decoded(torch.full(source.shape, 3), source_lengths.new_empty(len(source)), torch.zeros(1))

    tokenizers = WordTokenizer.train(PAIRS.source), WordTokenizer.train(PAIRS.target)
    translator = Translator(Elsewhere(9, 9).to("meta"), *tokenizers)
    assert translator.translate(["one two", "three"]) == ["", ""]
    forced = translator.forced("one two", "eins zwei")
    seen += [part.device.type for part in (forced.source, forced.source_lengths, forced.target)]
    assert set(seen) == {"meta"}


def test_what_is_no_text_is_named(trained):
    with pytest.raises(TypeError, match="expected text 1 to be one, got None"):
        trained.translator.translate(["one", None])
    assert trained.translator.translate(text for text in ["one two"]) == ["eins zwei"]


def test_a_used_folder_is_not_overwritten_by_accident(trained):
    with pytest.raises(FileExistsError, match="holds a run already; continue it with --resume"):
        train_translator(PAIRS, WordByWord, trained.out, recipe=RECIPE, progress=False)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"recipe": replace(RECIPE, lr=RECIPE.lr * 2)}, "lr: "),
        ({"recipe": replace(RECIPE, epochs=RECIPE.epochs + 1)}, "epochs: "),
        ({"pairs": Pairs(PAIRS.source, [text.upper() for text in PAIRS.target])}, r"tokenizers\[1\]: "),
        ({"pairs": Pairs(PAIRS.source[::-1], PAIRS.target[::-1])}, r"tokenizers\[0\]: "),
    ],
)
def test_a_run_is_not_continued_with_anything_else(trained, changed, named):
    before = {path.name: path.read_bytes() for path in trained.out.iterdir()}
    options = {"pairs": PAIRS, "recipe": RECIPE} | changed
    with pytest.raises(CheckpointError, match=f"(?s)other settings:.*{named}"):
        train_translator(
            options["pairs"], WordByWord, trained.out, recipe=options["recipe"], resume=True, progress=False
        )
    assert {path.name: path.read_bytes() for path in trained.out.iterdir()} == before


def test_a_refused_resume_makes_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        train_translator(PAIRS, WordByWord, tmp_path / "new", recipe=RECIPE, resume=True, progress=False)
    assert not (tmp_path / "new").exists()


def test_a_recipe_without_epochs_is_refused():
    with pytest.raises(ValueError, match="TranslatorRecipe: expected epochs of at least 1, got 0"):
        TranslatorRecipe(epochs=0)


def test_too_little_to_learn_from_is_said(tmp_path):
    for pairs in (PAIRS[:1], Pairs([], [])):
        with pytest.raises(ValueError, match=f"expected at least 2 pairs.*got {len(pairs)}"):
            train_translator(pairs, WordByWord, tmp_path / "run", recipe=RECIPE, progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file; expected a folder"):
        train_translator(PAIRS, WordByWord, tmp_path / "file", recipe=RECIPE, progress=False)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "average_epochs"])
def test_a_training_of_nothing_leaves_a_run_as_it_is(name):
    with pytest.raises(ValueError, match=f"expected {name} of at least 1, got 0"):
        TranslatorRecipe(**{name: 0})


def test_the_order_of_texts_is_kept_whatever_their_length(trained):
    texts = ["one two three four one", "two", "three four", "one"] * 3
    expected = [" ".join(WORDS[word] for word in text.split()) for text in texts]
    assert trained.translator.translate(texts, batch_size=2) == expected
    assert trained.translator.translate([]) == []


def test_a_translation_does_not_depend_on_what_stands_beside_it(trained, monkeypatch):
    """Not even that of a model which never ends."""

    def endless(self, source, source_lengths, max_length, beam_size, length_penalty):
        n = torch.full((len(source),), max_length)
        return Decoded(torch.full((len(source), max_length), 4), n, torch.zeros(len(source)))

    monkeypatch.setattr(WordByWord, "generate", endless)
    texts = [" ".join(["one"] * n) for n in (3, 30, 1, 9, 8, 2)]
    alone = [trained.translator.translate([text])[0] for text in texts]
    assert trained.translator.translate(texts) == alone
    assert trained.translator.translate(texts, batch_size=2) == alone
    assert [len(text.split()) for text in alone] == [26, 74, 26, 42, 26, 26]
    assert [len(text.split()) for text in trained.translator.translate(texts, max_length=7)] == [7] * 6


def test_unknown_words_do_not_stop_it(trained):
    assert len(trained.translator.translate(["one five two"])) == 1


def test_bad_texts_are_named(trained):
    with pytest.raises(ValueError, match="text 1 has no tokens: '  '"):
        trained.translator.translate(["one", "  "])
    with pytest.raises(TypeError, match=r"expected a list of texts, got one text; write \[text\]"):
        trained.translator.translate("one")
    with pytest.raises(TypeError, match=r"Translator.translate: expected text 0 to be one, got \['one'\]"):
        trained.translator.translate([["one"]])
    for options in ({"batch_size": 0}, {"batch_size": -1}, {"max_length": 0}):
        with pytest.raises(ValueError, match=rf"Translator.translate: expected {next(iter(options))} of at"):
            trained.translator.translate(["one"], **options)


def test_a_folder_without_a_finished_training_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        Translator.load(tmp_path / "nowhere", WordByWord)
    with pytest.raises(FileNotFoundError, match="holds no finished training"):
        Translator.load(tmp_path, WordByWord)


@pytest.mark.parametrize("tokenizer", ["word", "character", "subword"])
@pytest.mark.parametrize("shared", [False, True])
def test_every_tokenizer_trains(tmp_path, tokenizer, shared):
    recipe = TranslatorRecipe(tokenizer=tokenizer, vocab_size=300, shared=shared, epochs=1)
    run = train_translator(PAIRS, WordByWord, tmp_path, recipe=recipe, validation=PAIRS[:4], progress=False)
    assert (run.translator.source_tokenizer is run.translator.target_tokenizer) == shared
    with pytest.raises(ValueError, match="tokenizer: expected word or character or subword, got 'syllable'"):
        TranslatorRecipe(tokenizer="syllable")


def test_the_vocabulary_knows_the_training_part_only(tmp_path):
    run = train_translator(
        Pairs(["a b"] * 20, ["c d"] * 20),
        WordByWord,
        tmp_path,
        recipe=RECIPE,
        validation=Pairs(["x"], ["y"]),
        progress=False,
    )
    tokenizer = run.translator.source_tokenizer
    assert isinstance(tokenizer, WordTokenizer)
    assert tokenizer.vocabulary.tokens == ["a", "b"]


def test_scores():
    same = ["Ein Mann mit einem roten Hut geht nach Hause.", "Zwei Hunde spielen."]
    assert sacre_bleu(same, same) == pytest.approx(100)
    assert sacre_bleu(["Ein Hund."], ["Die Frau singt im Park heute."]) < 10
    assert exact_share(["a", "b", "c"], ["a", "x", "c"]) == pytest.approx(2 / 3)
    for score in (sacre_bleu, exact_share):
        for texts in (("a b", ["a b"]), (["a b"], "a b")):
            with pytest.raises(TypeError, match=f"{score.__name__}: expected a list of texts, got one text"):
                score(*texts)
        with pytest.raises(ValueError, match="expected one reference for each translation"):
            score(["a"], [])
