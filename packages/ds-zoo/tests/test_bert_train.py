"""MiniBERT's training: hidden words, then labels; LoRA and freezing; what is refused; a run's uses."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
import torch
from ds_core import Callback, load_lora
from ds_core.checks import Partial
from ds_core.text import WordPieceTokenizer
from ds_core.training import CheckpointError, load_checkpoint
from ds_zoo import (
    MiniBERTConfig,
    MiniBERTForNextSentencePrediction,
    MiniBERTForSequenceClassification,
)
from ds_zoo.bert import train as bert
from ds_zoo.bert.baselines import BagOfWords, FillIn
from ds_zoo.bert.batches import (
    LabelledBatches,
    MaskedBatches,
    cut_rows,
    labelled_rows,
    next_sentence_pairs,
)
from ds_zoo.cli import command_line
from ds_zoo.data.labelled import read_labelled
from ds_zoo.data.text import read_texts
from typer.testing import CliRunner

pytest.importorskip("tokenizers")

SIZES = {"vocab_size": 70, "layers": 1, "heads": 2, "width": 16, "inner": 32, "context": 16}
QUICK = {"steps": 6, "batch_size": 8, "validate_every": 3}
ANIMALS = ("cat", "dog", "bird", "horse")


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Texts, labelled texts, and a BERT that has learnt a little to read."""
    folder = tmp_path_factory.mktemp("world")
    texts = [
        f"the {a} sat on the {b}, and the {c} sat on it." for a in ANIMALS for b in ANIMALS for c in ANIMALS
    ]
    (folder / "texts.txt").write_text("\n\n".join(texts))
    rows = [
        (f"the {a} saw the {b}{end}", "purrs" if a == "cat" else "runs")
        for a in ANIMALS
        for b in ANIMALS
        for end in (".", ", and sat.", ", it sat on the mat.")
    ]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    recipe = bert.Recipe(data=str(folder / "texts.txt"), **SIZES, **QUICK)
    run = bert.train(recipe, folder / "words", progress=False)
    return folder, recipe, run


def labelling(folder, **changes):
    fields = {
        "data": f"csv:{folder / 'labels.csv'}",
        "task": "labels",
        "base": str(folder / "words"),
        **QUICK,
    }
    return bert.Recipe(**fields | changes)


# ---- data ----------------------------------------------------------------------------------------------


@pytest.fixture
def tokenizer(world):
    return WordPieceTokenizer.from_pretrained(world[0] / "words")


def test_rows_hold_the_whole_text(tokenizer):
    texts = ["the cat sat on the dog, and the bird sat on it. " * 3, "the dog"]
    rows = cut_rows(texts, tokenizer, 10)
    whole = [number for ids, _ in rows for number in ids[1:-1].tolist()]
    assert whole == [number for ids, _ in tokenizer.pieces(texts) for number in ids.tolist()]
    for ids, words in rows:
        assert (ids[0], ids[-1]) == (tokenizer.cls_id, tokenizer.sep_id)
        assert len(ids) == len(words) <= 10
        assert (words == -1).nonzero()[:, 0].tolist() == [0, len(ids) - 1]


def test_an_epoch_has_every_row_once_and_hides_anew(tokenizer):
    rows = cut_rows([f"the {a} sat on the {b}" for a in ANIMALS for b in ANIMALS], tokenizer, 16)
    batches = MaskedBatches(rows, tokenizer, 40, seed=3)
    first, second, again = list(batches), list(batches), list(MaskedBatches(rows, tokenizer, 40, seed=3))
    for epoch in (first, second):
        seen = []
        for hidden, mask, _, labels, _, target in epoch:
            assert hidden.numel() <= 40
            assert torch.equal(labels[labels >= 0], target)
            right = torch.where(labels >= 0, labels, hidden)
            seen += [tuple(row[: int(m.sum())].tolist()) for row, m in zip(right, mask, strict=True)]
        assert sorted(seen) == sorted(tuple(ids.tolist()) for ids, _ in rows)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not all(
        a[0].shape == b[0].shape and torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True)
    )


def test_rows_without_a_known_word_are_left_out(tokenizer):
    """There is nothing to hide: one that waits for a hidden token would wait for ever."""
    rows = cut_rows(["the cat", "\u4f60\u597d", "the \u4f60", "[SEP]"], tokenizer, 8)
    batches = MaskedBatches(rows, tokenizer, 8, shuffle=False)
    assert [row.tolist() for row in batches.rows] == [rows[0][0].tolist(), rows[2][0].tolist()]
    assert all((batch[3] >= 0).any() for batch in batches)
    with pytest.raises(ValueError, match="no word of them is known"):
        MaskedBatches(rows[1:2], tokenizer, 8)
    for probability in (0.0, 1.1):
        with pytest.raises(ValueError, match="expected a probability above 0 and at most 1"):
            MaskedBatches(rows, tokenizer, 8, probability=probability)


def test_labelled_rows_are_cut_and_counted(tokenizer):
    rows, cut = labelled_rows(["the cat", "the cat sat on the dog and on it"], tokenizer, 6)
    assert [len(row) for row in rows] == [4, 6]
    assert cut == 1
    with pytest.raises(ValueError, match="no word is known of the text '猫'"):
        labelled_rows(["the cat", "猫"], tokenizer, 6)
    with pytest.raises(ValueError, match="at least 3"):
        cut_rows(["the cat"], tokenizer, 2)
    with pytest.raises(ValueError, match="a text of 6 tokens is above max_tokens=3"):
        LabelledBatches(rows, [0, 1], 0, 3)


def test_the_bundled_sentences_come_in_two_parts():
    learned, held_out = read_labelled("bundled:sentiment").parts()
    assert not set(learned.texts) & set(held_out.texts)
    assert set(learned.labels) == set(held_out.labels) == {"negative", "positive"}
    assert list(read_texts("bundled:sentiment")) == learned.texts  # without labels, to read


def test_labelled_data_that_lack_something(tmp_path):
    (tmp_path / "a.csv").write_text("text,mood\nfine,good\n")
    with pytest.raises(ValueError, match="a column 'label'; the columns are text, mood"):
        read_labelled(f"csv:{tmp_path / 'a.csv'}")
    (tmp_path / "b.csv").write_text("text,label\nfine,good\n,bad\n")
    with pytest.raises(ValueError, match="line 3: expected a text and a label"):
        read_labelled(f"csv:{tmp_path / 'b.csv'}")
    (tmp_path / "c.csv").write_text("text,label,part\nfine,good,training\n")
    with pytest.raises(ValueError, match="some to learn from and some held out"):
        read_labelled(f"csv:{tmp_path / 'c.csv'}").parts()
    with pytest.raises(ValueError, match="expected labelled texts"):
        read_labelled("bundled:python")


# ---- baselines -----------------------------------------------------------------------------------------


def test_fill_in_counts():
    rows = [torch.tensor(row) for row in ([2, 5, 6, 3], [2, 5, 7, 3], [2, 5, 7, 8, 3], [2, 8, 7, 3])]
    fill_in = FillIn(rows, (0, 1, 2, 3, 4))
    assert fill_in.guesses(5, 8) == {"unigram": 5, "bigram": 7, "two bigrams": 7}
    assert fill_in.guesses(2, 6) == {"unigram": 5, "bigram": 5, "two bigrams": 5}
    assert fill_in.guesses(9, 9) == {"unigram": 5, "bigram": 5, "two bigrams": 5}  # never seen
    shares = fill_in.accuracies([torch.tensor([2, 5, 6, 3])], [torch.tensor([-100, 5, 6, -100])])
    assert shares == {"unigram": 0.5, "bigram": 0.5, "two bigrams": 0.5}


def test_a_bag_of_words_learns_words_and_no_order():
    rows = [torch.tensor(row) for row in ([1, 2], [1, 3], [4, 2], [4, 3])]
    assert BagOfWords(rows, [0, 0, 1, 1]).accuracy(rows, [0, 0, 1, 1]) == 1
    assert BagOfWords(rows, [0, 0, 1, 1]).predict([torch.tensor([4, 4, 9])]).tolist() == [1]
    order = [torch.tensor(row) for row in ([1, 2], [2, 1])]
    assert BagOfWords(order, [0, 1]).accuracy(order, [0, 1]) == 0.5


# ---- runs ----------------------------------------------------------------------------------------------


def test_hidden_words_are_learned(world, tmp_path):
    _, recipe, run = world
    assert set(run.baselines) == {"unigram", "bigram", "two bigrams"}
    there = set(files(run.out))
    assert there >= {
        "recipe.toml",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "vocab.txt",
        "log.csv",
    }
    longer = bert.Recipe(**vars(recipe) | {"steps": 120, "lr": 5e-3, "validate_every": 120})
    reached = bert.train(longer, tmp_path / "out", progress=False)
    assert reached.history["val_accuracy"][-1] > run.baselines["unigram"] + 0.2
    loaded = bert.load(tmp_path / "out")
    assert bert.evaluate(loaded)["accuracy"] == pytest.approx(reached.history["val_accuracy"][-1])
    guesses = bert.fill_mask(loaded, "the cat sat [MASK] the dog", top_k=3)
    assert guesses[0]["token"] == "on"


def test_a_published_tokenizer_is_taken(world, tmp_path):
    """And kept: the run can be resumed when it is gone."""
    folder, recipe, words = world
    tokenizer = words.tokenizer
    tokenizer.save_pretrained(tmp_path / "theirs")
    recipe = bert.Recipe(**vars(recipe) | {"tokenizer": str(tmp_path / "theirs"), "vocab_size": 4000})
    bert.train(recipe, tmp_path / "out", progress=False, callbacks=[Stop(4)])
    shutil.rmtree(tmp_path / "theirs")
    run = bert.train(recipe, tmp_path / "out", resume=True, progress=False)
    assert run.tokenizer.files() == tokenizer.files()
    assert len(run.history) == recipe.steps
    with pytest.raises(ValueError, match="tokenizer: has no effect here"):
        bert.check(bert.Recipe(base=str(folder / "words"), tokenizer="x"))


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_labels_are_learned(world, tmp_path, engine):
    folder, _, _ = world
    recipe = labelling(folder, steps=60, lr=1e-2, validate_every=60, engine=engine)
    run = bert.train(recipe, tmp_path / "out", progress=False)
    assert run.history["val_accuracy"][-1] == 1
    loaded = bert.load(tmp_path / "out")
    assert bert.evaluate(loaded)["accuracy"] == 1
    assert bert.evaluate(loaded, data=recipe.data)["accuracy"] == 1
    rows = bert.predict(loaded, ["the cat saw the dog.", "the dog saw the cat."])
    assert [row["label"] for row in rows] == ["purrs", "runs"]
    assert rows[0]["purrs"] + rows[0]["runs"] == pytest.approx(1)
    loaded.model.config = replace(loaded.model.config, labels=("text", "label"))
    named = bert.predict(loaded, ["the cat saw the dog."])[0]
    shares = [named["text (class)"], named["label (class)"]]
    assert shares == pytest.approx([rows[0]["purrs"], rows[0]["runs"]])
    assert (named["label"], named["text"]) == ("text", "the cat saw the dog.")


def test_lora_is_saved_alone_and_merged(world, tmp_path):
    folder, _, words = world
    run = bert.train(labelling(folder, lora_rank=2, lr=1e-2), tmp_path / "out", progress=False)
    loaded = bert.load(run.out)
    changed = [name for name, p in loaded.model.bert.named_parameters() if not name.startswith("pooler")]
    before = dict(words.model.bert.named_parameters())
    after = dict(loaded.model.bert.named_parameters())
    changed = {name for name in changed if not torch.equal(before[name], after[name])}
    assert changed == {f"layers.0.{name}.weight" for name in ("self_attn.out_proj", "linear1", "linear2")} | {
        "layers.0.self_attn.in_proj_weight"
    }
    fresh = MiniBERTForSequenceClassification.from_encoder(
        words.model.bert, labels=loaded.model.config.labels
    )
    adapted = load_lora(fresh, run.out / "adapter.safetensors").eval()
    ids, mask, types = loaded.tokenizer(["the cat saw the dog."])
    with torch.no_grad():
        torch.testing.assert_close(
            adapted(ids, mask, types).logits, loaded.model.eval()(ids, mask, types).logits
        )


def test_frozen_parameters_stay_and_lower_layers_learn_slower(world, tmp_path):
    folder, _, words = world
    run = bert.train(
        labelling(folder, freeze="embeddings", layer_decay=0.5), tmp_path / "out", progress=False
    )
    before, after = dict(words.model.bert.named_parameters()), dict(run.model.bert.named_parameters())
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith("embeddings.")}
    groups = load_checkpoint(run.out / "checkpoint.safetensors")["optimizer"]["param_groups"]
    assert {group["initial_lr"] for group in groups} == {1e-3, 5e-4}


# ---- next sentences --------------------------------------------------------------------------------------

SOUNDS = {"cat": "purrs", "dog": "barks", "bird": "sings", "horse": "neighs"}


@pytest.fixture(scope="module")
def stories(world):
    """Two sentences each; what the second one says tells of which animal the first one was."""
    places = ("mat", "bed", "roof", "lawn", "hill", "road")
    texts = [
        f"The {animal} was on the {here}. It {sound} when it sees the {there}."
        for here in places
        for there in places
        for animal, sound in SOUNDS.items()
    ]
    (world[0] / "stories.txt").write_text("\n\n".join(texts))
    return bert.Recipe(
        data=str(world[0] / "stories.txt"), task="next", **SIZES | {"context": 32, "vocab_size": 150}, **QUICK
    )


def test_pairs_of_sentences(stories):
    texts = next(iter(read_texts(stories.data))).split("\n\n")
    tokenizer = WordPieceTokenizer.train(texts, 150)
    rows, labels = next_sentence_pairs(texts, tokenizer, 32, seed=0)
    assert len(rows) == len(labels) == 2 * len(texts)
    assert labels[:4] == [0, 1, 0, 1]
    for number, text in enumerate(texts):
        assert tokenizer.decode(rows[2 * number]) == text.lower()
        first = text.lower().split(".")[0]
        other = tokenizer.decode(rows[2 * number + 1])
        assert other.startswith(first)
        assert other != tokenizer.decode(rows[2 * number])
    again, _ = next_sentence_pairs(texts, tokenizer, 32, seed=0)
    assert all(map(torch.equal, rows, again))
    batch = next(iter(LabelledBatches(rows, labels, 0, 200, shuffle=False, sep_id=tokenizer.sep_id)))
    for ids, mask, types in zip(*batch[:3], strict=True):
        ends = (ids == tokenizer.sep_id).nonzero()[:, 0].tolist()
        assert types.tolist() == [int(ends[0] < place <= ends[1]) for place in range(len(ids))], (
            "0 for the first text and what fills up"
        )
        assert mask.sum() == ends[1] + 1
    short, _ = next_sentence_pairs(texts, tokenizer, 11, seed=0)
    assert {len(row) for row in short} == {11}
    assert tokenizer.decode(short[0]) == "on the mat. it purrs when it"
    for wrong, context in ((texts, 4), (["one sentence only."], 32)):
        with pytest.raises(ValueError, match="next_sentence_pairs: expected"):
            next_sentence_pairs(wrong, tokenizer, context, seed=0)


def test_the_next_sentence_is_told(stories, tmp_path):
    """One in four of the others fits by chance, so nobody can be right more often than 7 times of 8."""
    changes = {"layers": 2, "width": 32, "batch_size": 16, "dropout": 0.0}
    changes |= {"steps": 400, "lr": 3e-3, "validate_every": 100}
    recipe = bert.Recipe(**vars(stories) | changes)
    run = bert.train(recipe, tmp_path / "out", progress=False)
    reached = run.history["val_accuracy"][-1]
    assert reached > 0.75
    assert run.baselines["tokens in common"] < 0.65
    loaded = bert.load(tmp_path / "out")
    assert type(loaded.model) is MiniBERTForNextSentencePrediction
    assert bert.evaluate(loaded)["accuracy"] == pytest.approx(reached)
    assert bert.evaluate(loaded, data=recipe.data)["accuracy"] > 0.75
    words = bert.Recipe(data=recipe.data, base=str(tmp_path / "out"), **QUICK)
    assert bert.train(words, tmp_path / "words", progress=False).model.config == run.model.config


class Stop(Callback):
    """Ends a training after a step, as Ctrl-C does."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            trainer.stop("interrupted")


@pytest.mark.parametrize("task", ["words", "next", "labels"])
def test_resumed_bit_for_bit(world, stories, tmp_path, task):
    folder, words, _ = world
    recipe = {"words": words, "next": stories, "labels": labelling(folder, lora_rank=2)}[task]
    whole = bert.train(recipe, tmp_path / "whole", progress=False)
    bert.train(recipe, tmp_path / "parts", progress=False, callbacks=[Stop(4)])
    parts = bert.train(recipe, tmp_path / "parts", progress=False, resume=True)
    assert parts.history.validation == whole.history.validation
    for name in ("model.safetensors", "tokenizer.json", "recipe.toml", "config.json"):
        assert (whole.out / name).read_bytes() == (parts.out / name).read_bytes()


def test_resume_with_other_data_or_another_tokenizer_changes_nothing(world, tmp_path):
    folder, _, _ = world
    base = tmp_path / "base"
    shutil.copytree(folder / "words", base)
    recipe = labelling(folder, base=str(base))
    bert.train(recipe, tmp_path / "out", progress=False, callbacks=[Stop(4)])
    before = files(tmp_path / "out")
    (tmp_path / "other.csv").write_text((folder / "labels.csv").read_text().replace("bird", "cat"))
    other = labelling(folder, base=str(base), data=f"csv:{tmp_path / 'other.csv'}")
    with pytest.raises(CheckpointError, match="texts: "):
        bert.train(other, tmp_path / "out", progress=False, resume=True)
    content = json.loads((base / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["tac"] = vocabulary.pop("cat")
    (base / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="tokenizer: "):
        bert.train(recipe, tmp_path / "out", progress=False, resume=True)
    with pytest.raises(FileExistsError, match="holds a run already"):
        bert.train(recipe, tmp_path / "out", progress=False)
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base": None}, "base: labels are learned by a BERT that can read"),
        ({"also": "bundled:sentiment"}, "also: more texts are for hidden words"),
        ({"width": 32}, "width: has no effect here"),
        ({"whole_words": False}, "whole_words: has no effect here"),
        ({"lora_rank": 2, "freeze": "layers"}, "freeze: with lora_rank everything is frozen already"),
        ({"lora_rank": -1}, "lora_rank: expected at least 0"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"freeze": "["}, r"freeze: '\[' is no regular expression"),
        ({"freeze": "no such path"}, "freeze: expected 'no such path'"),
        ({"layer_decay": 0.0}, "layer_groups: expected decay above 0"),
    ],
)
def test_options_that_do_not_go_together(world, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        bert.train(labelling(world[0], **changes), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_label_outside_the_range(world, tmp_path):
    folder, _, _ = world
    run = bert.train(labelling(folder), tmp_path / "out", progress=False)
    rows = "text,label,part\nthe cat,purrs,training\nthe dog,runs,training\nthe bird,sings,test\n"
    (tmp_path / "a.csv").write_text(rows)
    with pytest.raises(
        ValueError, match="expected one of the labels purrs, runs, got 'sings' for 'the bird'"
    ):
        bert.evaluate(bert.load(run.out), data=f"csv:{tmp_path / 'a.csv'}")
    recipe = labelling(folder, data=f"csv:{tmp_path / 'a.csv'}")
    with pytest.raises(ValueError, match="got 'sings'"):
        bert.train(recipe, tmp_path / "new", progress=False)
    ids, mask, types = run.tokenizer(["the cat"])
    with pytest.raises(IndexError, match="2"):
        run.model(ids, mask, types, torch.tensor([2]))


@pytest.mark.parametrize("task", ["words", "labels"])
def test_data_that_have_changed_are_not_measured_as_held_out(world, tmp_path, task):
    """The tenth that is held out of others was learned, most of it."""
    folder, words, _ = world
    data = tmp_path / ("labels.csv" if task == "labels" else "texts.txt")
    data.write_bytes((folder / data.name).read_bytes())
    recipe = labelling(folder, data=f"csv:{data}") if task == "labels" else replace(words, data=str(data))
    run = bert.train(replace(recipe, steps=2), tmp_path / "out", progress=False)
    before = bert.evaluate(bert.load(run.out))
    data.write_text(data.read_text() + ("the cat,runs\n" if task == "labels" else "\n\nthe cat and the mat."))
    with pytest.raises(ValueError, match="its data have changed since it was trained"):
        bert.evaluate(bert.load(run.out))
    assert bert.evaluate(bert.load(run.out), data=recipe.data)["loss"] > 0
    data.write_bytes((folder / data.name).read_bytes())
    assert bert.evaluate(bert.load(run.out)) == before


def test_uses_that_a_run_does_not_have(world, tmp_path):
    folder, _, _ = world
    words = bert.load(folder / "words")
    with pytest.raises(ValueError, match="expected a model that labels texts, got a MiniBERTForMaskedLM"):
        bert.predict(words, ["the cat"])
    with pytest.raises(ValueError, match="no word is known of the text '猫 犬'"):
        bert.fill_mask(words, "猫[MASK]犬")
    with pytest.raises(ValueError, match=r"expected \[MASK\]"):
        bert.fill_mask(words, "the cat")
    labels = bert.load(bert.train(labelling(folder), tmp_path / "out", progress=False).out)
    for text in ("猫", ""):
        with pytest.raises(ValueError, match="no word is known"):
            bert.predict(labels, [text])
        with pytest.raises(Partial, match=r"1 of 2 could not be answered\n.*no word is known") as told:
            bert.predict(labels, [text, "the cat"])
        assert told.value.result == bert.predict(labels, ["the cat"])
    with pytest.raises(ValueError, match="at least one text"):
        bert.predict(labels, [])
    with pytest.raises(ValueError, match="guesses hidden words"):
        bert.fill_mask(labels, "the [MASK]")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        bert.load(tmp_path / "nowhere")


def test_a_vocabulary_larger_than_the_embedding(world, tmp_path):
    folder = tmp_path / "words"
    shutil.copytree(world[0] / "words", folder)
    other = WordPieceTokenizer.train(["a quick brown fox jumps over the lazy dog " * 3], 90)
    more = WordPieceTokenizer.train([" ".join(map(chr, range(97, 1000)))], 500)
    assert other.vocab_size < more.vocab_size
    more.save_pretrained(folder)
    with pytest.raises(
        ValueError, match=rf"expected a tokenizer of at most \d+ tokens.* got one of {more.vocab_size}"
    ):
        bert.load(folder)


def test_presets_and_their_sizes():
    base = MiniBERTConfig.preset("bert-base")
    assert (base.hidden_size, base.num_hidden_layers, base.vocab_size) == (768, 12, 30522)
    assert MiniBERTConfig.preset("tiny", vocab_size=9).hidden_size == 64
    with pytest.raises(ValueError, match="expected preset tiny or mini or small or bert-base, got 'huge'"):
        MiniBERTConfig.preset("huge")
    for fields in bert.PRESETS.values():
        bert.Recipe(**fields)


def test_gradients_of_each_kind_are_right():
    for name, report in bert.verify():
        assert report.ok, f"{name}\n{report}"


def test_the_command_line(world, tmp_path):
    folder, _, _ = world

    def run(*words):
        return CliRunner().invoke(command_line(), [str(word) for word in words], catch_exceptions=False)

    words = ["--task", "labels", "--base", folder / "words", "--steps", 6, "--batch-size", 8, "--quiet"]
    out = tmp_path / "out"
    assert run("train", "bert", "--data", f"csv:{folder / 'labels.csv'}", "--out", out, *words).exit_code == 0
    assert run("train", "bert", "--out", out, "--resume", "--quiet").exit_code == 0
    said = run("predict", out, "the cat saw the dog.", "the dog.").output.splitlines()
    assert said[0] == "label\tpurrs\truns\ttext"
    assert [line.split("\t")[-1] for line in said[1:]] == ["the cat saw the dog.", "the dog."]
    partly = run("predict", out, "猫", "the dog.", "")
    assert (partly.exit_code, partly.stdout.splitlines()) == (2, [said[0], said[2]])
    assert "2 of 3 could not be answered" in partly.stderr
    assert "no word is known of the text '猫'" in partly.stderr
    assert "accuracy" in run("eval", out).output
    assert "expected --seed with --data alone" in run("eval", out, "--seed", 3).output
    assert "sat" in run("fill-mask", folder / "words", "the cat [MASK] on the dog", "--top-k", 5).output
    refused = run("predict", out, "猫")
    assert refused.exit_code != 0
    assert "no word is known" in refused.output
