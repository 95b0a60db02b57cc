"""The command line: it trains, goes on, translates, and explains mistakes."""

import json
import sys

import pytest
from ds_transformer.cli import command_line
from translator_commands import SENTENCES, WORDS, losses_of_one_and_two, write_pairs
from typer.testing import CliRunner


@pytest.fixture
def data(tmp_path):
    return write_pairs(tmp_path / "data.csv", SENTENCES * 2)


def run(*arguments):
    return CliRunner().invoke(command_line(), [str(argument) for argument in arguments])


def train(data, out, *more):
    columns = ("--from", "en", "--to", "de", "--tokenizer", "word", "--test", data)
    size = ("--width", 32, "--layers", 1, "--inner", 64, "--dropout", 0, "--batch-size", 8)
    return run("train", "translator", "--data", data, "--out", out, *columns, *size, "--warmup", 20, *more)


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has imported torch")
def test_two_processes_train_as_one_does(tmp_path):
    one, two = losses_of_one_and_two(train, tmp_path)
    assert two == pytest.approx(one, rel=1e-4)


def test_it_trains_goes_on_and_translates(data, tmp_path):
    out = tmp_path / "run"
    result = train(data, out, "--epochs", 25, "--lr", 0.005)
    assert result.exit_code == 0, result.output
    assert "exactly right 100.0%" in result.output
    assert "Try it: ds-transformer translate" in result.output
    files = {path.name for path in out.iterdir()}
    assert files >= {"config.json", "model.safetensors", "source_tokenizer.json", "log.csv", "loss.png"}
    config = json.loads((out / "config.json").read_text())
    assert config["share_embeddings"] is True
    assert config["source_vocab_size"] == config["target_vocab_size"] == 4 + 2 * len(WORDS)

    picture = tmp_path / "map.png"
    translated = run("translate", out, "the cat hears a dog", "a dog sees the cat", "--heat-map", picture)
    assert translated.exit_code == 0, translated.output
    assert translated.stdout.splitlines()[:2] == ["die katze hört eine hündin", "eine hündin sieht die katze"]
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert run("translate", out, "the cat hears a dog", "--beam-size", 1).stdout.startswith("die katze")
    partly = run("translate", out, "", "the cat hears a dog", " ", "--heat-map", picture)
    assert (partly.exit_code, partly.stdout.split("\n")) == (2, ["", "die katze hört eine hündin", "", ""])
    assert "2 of 3 could not be translated" in partly.stderr
    assert "text 2 has no tokens: ' '" in partly.stderr

    again = train(data, out, "--epochs", 25)
    assert again.exit_code == 2
    assert "holds a run already; continue it with --resume, start anew with --overwrite" in again.output
    result = train(data, out, "--epochs", 25, "--lr", 0.005, "--resume")
    assert result.exit_code == 0, result.output
    (out / "recipe.toml").unlink()  # the checkpoint knows it all
    result = run("train", "translator", "--out", out, "--resume")
    assert result.exit_code == 0, result.output
    other = train(data, out, "--epochs", 26, "--lr", 0.005, "--resume")
    assert other.exit_code == 2
    assert "epochs = 25 in its checkpoint, 26 given" in other.output


def test_separate_vocabularies_and_norm_last_train(data, tmp_path):
    out = tmp_path / "run"
    assert train(data, out, "--epochs", 1, "--separate", "--norm-last").exit_code == 0
    config = json.loads((out / "config.json").read_text())
    assert config["share_embeddings"] is config["norm_first"] is False
    assert config["source_vocab_size"] == 4 + len(WORDS)


def test_what_is_too_long_is_left_out_with_a_note(data, tmp_path):
    data.write_text(data.read_text() + " ".join(["the cat"] * 20) + ",die katze\n", encoding="utf-8")
    out = tmp_path / "run"
    columns = ("--from", "en", "--to", "de", "--tokenizer", "word", "--max-length", 8, "--epochs", 1)
    size = ("--width", 8, "--heads", 2, "--layers", 1, "--inner", 8)
    result = run("train", "translator", "--data", data, "--out", out, "--validation", data, *columns, *size)
    assert result.exit_code == 0, result.output
    assert "left out 1 of 65 pairs, of more than 8 tokens on a side" in result.output
    result = run("translate", out, " ".join(["the cat"] * 20))
    assert result.exit_code == 2
    assert "text 0 has 40 tokens, expected at most 8, the context of the model: 'the cat the" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--from", "fr"), "data.csv: languages: no column 'fr'"),
        (("--data", "nowhere.csv"), "nowhere.csv: no such file"),
        (("--tokenizer", "subword", "--vocab-size", "100"), "expected vocab_size of at least 260"),
        (("--heads", "5"), "expected an even d_model that nhead divides, got d_model=32, nhead=5"),
        (("--layers", "0"), "expected num_encoder_layers of at least 1, got 0"),
        (("--max-length", "3"), "all 60 are longer than max_length=3"),
        (("--lr", "-1"), "expected lr >= 0"),
    ],
)
def test_mistakes_are_explained(data, tmp_path, change, message):
    result = train(data, tmp_path / "run", *change)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_runs_and_texts_that_cannot_be_are_explained(data, tmp_path):
    assert "no such folder" in run("translate", tmp_path / "nowhere", "hello").output
    out = tmp_path / "run"
    train(data, out, "--epochs", 1)
    result = run("translate", out, "the cat", "  ")
    assert result.exit_code == 2
    assert "text 1 has no tokens" in result.output
    (out / "config.json").write_text('{"model_type": "ds_rnn_seq2seq"}')
    result = run("translate", out, "the cat")
    assert result.exit_code == 2
    assert "config.json: not the configuration of a TransformerTranslator" in result.output


def test_version_and_help():
    assert run("--version").output.startswith("ds-transformer ")
    assert "translate" in run("--help").output
    assert "--norm-last" in run("train", "translator", "--help").output
