"""The command line: it trains, goes on, translates, and explains mistakes."""

import json
import sys

import pytest
from ds_rnn.cli import command_line
from translator_commands import SENTENCES, losses_of_one_and_two, write_pairs
from typer.testing import CliRunner


@pytest.fixture
def data(tmp_path):
    return write_pairs(tmp_path / "data.csv", SENTENCES * 3)


def run(*arguments):
    return CliRunner().invoke(command_line(), [str(argument) for argument in arguments])


def train(data, out, *more):
    columns = ("--from", "en", "--to", "de", "--tokenizer", "word", "--test", data)
    size = ("--hidden", 32, "--embedding", 16, "--dropout", 0, "--batch-size", 8, "--lr", 0.01)
    return run("train", "translator", "--data", data, "--out", out, *columns, *size, *more)


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has imported torch")
def test_two_processes_train_as_one_does(tmp_path):
    one, two = losses_of_one_and_two(train, tmp_path)
    assert two == pytest.approx(one, rel=1e-4)


def test_it_trains_goes_on_and_translates(data, tmp_path):
    out = tmp_path / "run"
    result = train(data, out, "--epochs", 12)
    assert result.exit_code == 0, result.output
    assert "exactly right 100.0%" in result.output
    files = {path.name for path in out.iterdir()}
    assert files >= {"config.json", "model.safetensors", "source_tokenizer.json", "log.csv", "loss.png"}
    assert json.loads((out / "config.json").read_text())["attention"] == "additive"

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

    again = train(data, out, "--epochs", 12)
    assert again.exit_code == 2
    assert "holds a run already; continue it with --resume, start anew with --overwrite" in again.output
    result = train(data, out, "--epochs", 12, "--resume")
    assert result.exit_code == 0, result.output
    other = train(data, out, "--epochs", 13, "--resume")
    assert other.exit_code == 2
    assert "epochs = 12 in its checkpoint, 13 given" in other.output


def test_scheduled_sampling_and_no_attention_train(data, tmp_path):
    out = tmp_path / "run"
    more = (
        "--epochs",
        1,
        "--scheduled-sampling",
        0.3,
        "--attention",
        "none",
        "--cell",
        "lstm",
        "--layers",
        2,
    )
    assert train(data, out, *more).exit_code == 0
    result = run("translate", out, "the cat", "--heat-map", tmp_path / "map.png")
    assert result.exit_code == 2
    assert "has no attention" in result.output
    for wrong in ("map.xyz", "."):
        result = run("translate", out, "the cat", "--heat-map", tmp_path / wrong)
        assert result.exit_code == 2
        assert "expected the name of a picture" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--from", "fr"), "data.csv: languages: no column 'fr'"),
        (("--data", "nowhere.csv"), "nowhere.csv: no such file"),
        (("--tokenizer", "subword", "--vocab-size", "100"), "expected vocab_size of at least 260"),
        (("--hidden", "0"), "expected hidden_size of at least 1, got 0"),
        (("--lr", "-1"), "expected lr >= 0, got -1"),
    ],
)
def test_mistakes_are_explained(data, tmp_path, change, message):
    result = train(data, tmp_path / "run", *change)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_file_of_too_little_is_explained(tmp_path):
    path = tmp_path / "data.csv"
    for content, message in (
        ("", "data.csv: the file is empty"),
        ("en,de\n", "data.csv: expected rows below the header, got none"),
        ("en,de\na,b\n", "expected at least 2 pairs, one to learn from and one to measure on, got 1"),
        ("en,de\na,\n,b\n", "no row has a sentence in both 'en' and 'de'"),
        ("en,de\na,b,c\n", "line 2"),
    ):
        path.write_text(content)
        result = train(path, tmp_path / "run")
        assert result.exit_code == 2
        assert message in result.output
        assert "Traceback" not in result.output


def test_empty_lines_are_left_out_with_a_note(data, tmp_path):
    data.write_text(data.read_text() + "\nthe cat,\n")
    result = train(data, tmp_path / "run", "--epochs", 1)
    assert result.exit_code == 0
    assert "Note:" in result.output
    assert "data.csv: skipped 1 blank lines (line 98)" in result.output
    assert "skipped 1 rows without a sentence in 'en' or 'de' (line 99)" in result.output
    assert "cli.py" not in result.output  # the words, and not where Python warned


def test_what_is_no_folder_is_explained(data, tmp_path):
    result = train(data, data, "--epochs", 1)
    assert result.exit_code == 2
    assert "data.csv: is a file; expected a folder for the results" in result.output


def test_texts_and_runs_that_cannot_be_are_explained(data, tmp_path):
    out = tmp_path / "run"
    train(data, out, "--epochs", 1)
    for text in ("", "   "):
        result = run("translate", out, "the cat", text)
        assert result.exit_code == 2
        assert "text 1 has no tokens" in result.output
    (out / "config.json").write_text('{"model_type": "gpt2"}')
    result = run("translate", out, "the cat")
    assert result.exit_code == 2
    assert "config.json: not the configuration of a Seq2Seq" in result.output


def test_a_missing_or_unfinished_run_is_explained(tmp_path):
    assert "no such folder" in run("translate", tmp_path / "nowhere", "hello").output
    (tmp_path / "half").mkdir()
    result = run("translate", tmp_path / "half", "hello")
    assert result.exit_code == 2
    assert "holds no finished training" in result.output


def test_version_and_help():
    assert run("--version").output.startswith("ds-rnn ")
    assert "translate" in run("--help").output
