"""The command line, end to end on a small text, and what it says about mistakes."""

import csv
import json

import pytest
from ds_core import Callback
from ds_zoo import MiniGPT
from ds_zoo.cli import app
from ds_zoo.cli.demo import python_documentation
from ds_zoo.gpt.train import GPTRecipe, train_gpt
from typer.testing import CliRunner

TEXT = "the quick brown fox jumps over the lazy dog. " * 60
TINY = {
    "layers": 1,
    "heads": 2,
    "width": 16,
    "context": 16,
    "batch-size": 4,
    "validate-every": 10,
    "lr": 0.01,
}


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    data = folder / "text.txt"
    data.write_text(TEXT)
    options = [word for name, value in TINY.items() for word in (f"--{name}", value)]
    result = run("train", "gpt", "--data", data, "--out", folder / "out", "--steps", 60, *options)
    assert result.exit_code == 0, result.output
    return folder / "out", result.output


def test_train_fills_the_run_folder(trained):
    out, output = trained
    for name in (
        "model.safetensors",
        "config.json",
        "vocabulary.json",
        "log.csv",
        "loss.png",
        "checkpoint.safetensors",
    ):
        assert (out / name).exists(), name
        assert name in output
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert len(rows) > 0
    assert json.loads((out / "config.json").read_text())["n_embd"] == 16
    assert "bigram" in output or "previous character" in output


def test_training_learns(trained):
    out, _ = trained
    rows = [r for r in csv.DictReader((out / "log.csv").open()) if r["val_loss"]]
    assert float(rows[-1]["val_loss"]) < 0.7 * float(rows[0]["val_loss"])


def test_a_run_is_continued_but_never_overwritten_by_accident(trained, tmp_path):
    out, _ = trained
    data = out.parent / "text.txt"
    before = (out / "model.safetensors").read_bytes()
    command = ["train", "gpt", "--data", data, "--out", out, "--steps", 60]
    command += [word for name, value in TINY.items() for word in (f"--{name}", value)]
    result = run(*command)
    assert result.exit_code == 2
    assert "continue it with --resume" in result.output
    assert (out / "model.safetensors").read_bytes() == before
    result = run(*command, "--resume")  # all 60 steps are made: nothing changes
    assert result.exit_code == 0, result.output
    assert (out / "model.safetensors").read_bytes() == before
    # Stopped halfway and continued: the same weights, bit for bit.
    half = [*command[:5], tmp_path / "half", *command[6:]]
    recipe = GPTRecipe(steps=60, batch_size=4, lr=0.01, validate_every=10)
    stop = _StopAt(30)
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 16, "tie_word_embeddings": False}
    train_gpt(TEXT, tmp_path / "half", recipe=recipe, callbacks=[stop], progress=False, **sizes)
    assert run(*half, "--resume").exit_code == 0
    assert (tmp_path / "half" / "model.safetensors").read_bytes() == before


class _StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            trainer.stop("interrupted")


def test_generate_continues_the_prompt(trained):
    out, _ = trained
    result = run("generate", out, "--prompt", "the q", "--length", 40, "--temperature", 0)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("the q")
    assert len(result.output.rstrip("\n")) == 45
    assert (
        result.output == run("generate", out, "--prompt", "the q", "--length", 40, "--temperature", 0).output
    )


def test_transformers_reads_the_run_folder(trained):
    transformers = pytest.importorskip("transformers")
    model = transformers.GPT2LMHeadModel.from_pretrained(trained[0])
    assert sum(p.numel() for p in model.parameters()) == MiniGPT.from_pretrained(trained[0]).num_parameters()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "gpt", "--data", "{missing}", "--out", "{out}"], "no such file"),
        (["train", "gpt", "--data", "{empty}", "--out", "{out}"], "the file is empty"),
        (["train", "gpt", "--data", "{short}", "--out", "{out}"], "give more text or a shorter context"),
        (["train", "gpt", "--data", "{folder}", "--out", "{out}"], "is a folder"),
        (["train", "gpt", "--data", "{binary}", "--out", "{out}"], "not UTF-8"),
        (["train", "gpt", "--data", "{text}", "--out", "{out}", "--heads", "3"], "n_head to divide n_embd"),
        (
            ["train", "gpt", "--data", "{text}", "--out", "{out}", "--tokenizer", "word"],
            "'word' is not one of",
        ),
        (["train", "gpt", "--data", "{text}", "--out", "{out}", "--wdith", "8"], "No such option"),
        (["train", "gtp", "--data", "{text}", "--out", "{out}"], "No such command 'gtp'"),
        (["generate", "{missing}"], "no such folder; train one with"),
        (["generate", "{folder}"], "holds no finished training"),
    ],
)
def test_mistakes_are_explained(tmp_path, arguments, message):
    places = {
        name: tmp_path / name for name in ("missing", "empty", "short", "folder", "binary", "text", "out")
    }
    places["folder"].mkdir()
    places["empty"].write_text("")
    places["short"].write_text("too short")
    places["binary"].write_bytes(b"\xff\xfe\x00\x80")
    places["text"].write_text(TEXT)
    result = run(*(argument.format(**places) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_unknown_characters_in_a_prompt_are_named(trained):
    result = run("generate", trained[0], "--prompt", "the é")
    assert result.exit_code == 2
    assert "'é' at position 4" in result.output


def test_help_reads_well():
    for arguments in (["--help"], ["train", "--help"], ["train", "gpt", "--help"], ["generate", "--help"]):
        result = run(*arguments)
        assert result.exit_code == 0
        assert "Usage" in result.output
    assert run("--version").output.startswith("ds-zoo ")


def test_demo_text_is_there_without_network():
    assert len(python_documentation()) > 300_000
