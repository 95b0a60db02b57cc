"""The command line, end to end on a small text, and what it says about mistakes."""

import csv
import json
import re
import shutil
import subprocess
import sys

import pytest
import torch
from ds_core import Callback
from ds_core.text import CharacterTokenizer
from ds_core.training import RunFolder
from ds_zoo import MiniGPT, perplexity
from ds_zoo.cli import command_line
from ds_zoo.data.text import read_texts
from ds_zoo.gpt.train import Recipe, load, train
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


SIZES = {"layers": 1, "heads": 2, "width": 16, "context": 16, "batch_size": 4, "lr": 0.01}


def run(*arguments):
    return CliRunner().invoke(
        command_line(), [str(a) for a in arguments], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )


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
        "recipe.toml",
        "samples.txt",
    ):
        assert (out / name).exists(), name
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert len(rows) > 0
    assert json.loads((out / "config.json").read_text())["n_embd"] == 16
    assert "knowing the previous token" in output
    assert "everything needed to go on training" in output


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
    recipe = Recipe(str(data), steps=60, validate_every=10, **SIZES)
    train(recipe, tmp_path / "half", callbacks=[_StopAt(30)], progress=False)
    assert run("train", "gpt", "--out", tmp_path / "half", "--resume").exit_code == 0
    assert (tmp_path / "half" / "model.safetensors").read_bytes() == before


def everything(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else None


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"lr": 0.02}, ["lr = 0.01 in its checkpoint, 0.02 given"]),
        ({"heads": 4}, ["heads = 2 in its checkpoint, 4 given"]),
        ({"steps": 90, "seed": 1}, ["steps = 60 in its checkpoint, 90 given", "seed = 0 in its"]),
        ({"tokenizer": "byte"}, ["tokenizer = 'character' in its checkpoint, 'byte' given"]),
        ({"preset": "small"}, ["dropout = 0.0 in its checkpoint, 0.05 given"]),
        ({"data": TEXT.upper()}, ["was begun with another text than", "'T' at position 0"]),
        ({"data": TEXT.replace("fox", "dog")}, ["text: "]),
    ],
)
def test_a_run_is_not_continued_with_anything_else(trained, tmp_path, changed, named):
    """What differs is named, also where all sizes agree; and nothing is written."""
    out, _ = trained
    before = everything(out)
    data = tmp_path / "text.txt"
    data.write_text(changed.pop("data", TEXT))
    options = {"steps": 60, **TINY, **changed}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    result = run("train", "gpt", "--data", data, "--out", out, *words, "--resume")
    assert result.exit_code == 2
    assert all(name in result.output for name in named)
    assert everything(out) == before


@pytest.mark.parametrize(
    "wrong",
    [
        ["--overwrite", "--warmup", 99],
        ["--overwrite", "--heads", 3],
        ["--overwrite", "--context", 10_000],
        ["--overwrite", "--lr", -1],
        ["--overwrite", "--prompt", "é"],
        ["--overwrite", "--prompt", "A SHEEP?" * 8],
        ["--overwrite", "--resume"],
        [],
    ],
)
def test_a_refused_command_leaves_the_run_as_it_was(trained, tmp_path, wrong):
    out, _ = trained
    before = everything(out)
    (tmp_path / "other.txt").write_text("ONCE UPON A TIME, 12345 SHEEP? " * 80)
    options = [word for name, value in TINY.items() for word in (f"--{name}", value)]
    command = ["train", "gpt", "--data", tmp_path / "other.txt", "--out", out, "--steps", 60, *options]
    assert run(*command, *wrong).exit_code == 2
    assert everything(out) == before


def test_a_refused_command_makes_no_folder(trained, tmp_path):
    data = trained[0].parent / "text.txt"
    for wrong in (["--resume"], ["--warmup", 99_999], ["--lr", -1]):
        assert run("train", "gpt", "--data", data, "--out", tmp_path / "new", *wrong).exit_code == 2
        assert not (tmp_path / "new").exists()


def test_a_run_begun_anew_and_killed_is_not_the_old_one(trained, tmp_path):
    """From its first step on the folder is the new run's, and holds no finished training."""
    shutil.copytree(trained[0], tmp_path / "run")
    (tmp_path / "text.txt").write_text(TEXT.upper())
    recipe = Recipe(str(tmp_path / "text.txt"), steps=60, validate_every=1000, **SIZES)

    def begin(**options):
        return train(recipe, tmp_path / "run", progress=False, **options)

    with pytest.raises(RuntimeError, match="killed"):
        begin(overwrite=True, callbacks=[_StopAt(3, error=True)])
    there = ["checkpoint.safetensors", "log.csv", "recipe.toml", "vocabulary.json"]
    assert sorted(everything(tmp_path / "run")) == there
    assert "holds no finished training" in run("generate", tmp_path / "run").output
    resumed = begin(resume=True)
    shutil.rmtree(tmp_path / "run")
    straight = begin()
    assert resumed.history.to_dict() == straight.history.to_dict()
    assert resumed.tokenizer.vocabulary.tokens == straight.tokenizer.vocabulary.tokens


def test_nobody_begins_anew_where_another_process_trains(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    recipe = Recipe(str(trained[0].parent / "text.txt"), steps=60, validate_every=10, **SIZES)
    results = {"resume": False, "overwrite": True, "results": ()}
    with RunFolder(tmp_path / "run", **results) as other:
        other.on_validation_end(None)
        before = everything(tmp_path / "run")
        with pytest.raises(BlockingIOError, match="run: another process trains there at this moment"):
            train(recipe, tmp_path / "run", progress=False, overwrite=True)
        assert everything(tmp_path / "run") == before
        train(recipe, tmp_path / "run", progress=False, resume=True)
    train(recipe, tmp_path / "run", progress=False, overwrite=True)


def test_a_folder_with_a_model_of_somebody_else_is_not_filled(trained, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "model.safetensors").write_bytes(b"theirs")
    data = trained[0].parent / "text.txt"
    result = run("train", "gpt", "--data", data, "--out", tmp_path / "theirs")
    assert result.exit_code == 2
    assert "holds a run already" in result.output


@pytest.mark.parametrize("name", ["run [gpt]", "[/b]", "[red]"])
def test_a_folder_is_shown_by_its_name(trained, tmp_path, name):
    options = [word for option, value in TINY.items() for word in (f"--{option}", value)]
    command = [
        "train",
        "gpt",
        "--data",
        trained[0].parent / "text.txt",
        "--out",
        tmp_path / name,
        "--steps",
        2,
    ]
    result = run(*command, *options)
    assert result.exit_code == 0, result.output
    assert f"ds-zoo generate '{tmp_path / name}'" in result.output
    assert (tmp_path / name / "model.safetensors").exists()


class _StopAt(Callback):
    def __init__(self, step, error=False):
        self.step = step
        self.error = error

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            if self.error:
                raise RuntimeError("killed")
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
        (["train", "gpt", "--data", "{folder}", "--out", "{out}"], "is a folder without any .txt or .md"),
        (["train", "gpt", "--data", "{binary}", "--out", "{out}"], "not UTF-8"),
        (["train", "gpt", "--data", "{text}", "--out", "{out}", "--heads", "3"], "n_head to divide n_embd"),
        (
            ["train", "gpt", "--data", "{text}", "--out", "{out}", "--tokenizer", "word"],
            "expected 'character', 'byte', 'bpe', 'wordpiece' or the place of a published one",
        ),
        (["train", "gpt", "--data", "{text}", "--out", "{out}", "--wdith", "8"], "No such option"),
        (["train", "gtp", "--data", "{text}", "--out", "{out}"], "No such command 'gtp'"),
        (["generate", "{missing}"], "no such folder; expected one that `ds-zoo train` filled"),
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


def test_a_prompt_comes_from_the_standard_input(trained):
    app, words = command_line(), ["generate", str(trained[0]), "--prompt", "-", "--length", "3"]
    result = CliRunner().invoke(app, words, input="the fox\n")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("the fox")
    for content, message in ((b"", "expected a text, got nothing"), (b"\xff", "not UTF-8 text (byte 0)")):
        result = CliRunner().invoke(app, words, input=content)
        assert result.exit_code == 2
        assert f"standard input: {message}" in result.output
    assert "expected a prompt of 1 to 16 tokens" in run("generate", trained[0], "--prompt", "").output
    assert "a gpt, which has no `predict`" in run("predict", trained[0], "x").output


def test_several_prompts_go_side_by_side(trained, tmp_path):
    """Each gets what it would get alone, from a seed of its own."""
    (tmp_path / "prompts.txt").write_text("the fox\nbrown\n\nover the lazy\n")
    ask = ["--length", 12, "--min-p", 0.05, "--repetition-penalty", 1.1]
    together = run("generate", trained[0], "--prompts", tmp_path / "prompts.txt", *ask, "--seed", 5)
    assert together.exit_code == 0, together.output
    alone = [
        run("generate", trained[0], "--prompt", prompt, *ask, "--seed", 5 + number).output.removesuffix("\n")
        for number, prompt in enumerate(["the fox", "brown", "over the lazy"])
    ]
    assert together.output.removesuffix("\n").split("\n---\n") == alone
    words = ["generate", str(trained[0]), "--prompts", "-", *map(str, ask), "--seed", "5"]
    given = CliRunner().invoke(command_line(), words, input="the fox\nbrown\n\nover the lazy\n")
    assert given.output == together.output
    lines = "the fox\n猫\n\n" + "brown " * 9 + "\nover the lazy\n"
    given = CliRunner().invoke(command_line(), words, input=lines)
    assert given.exit_code == 2
    last = run("generate", trained[0], "--prompt", "over the lazy", *ask, "--seed", 5 + 3).stdout
    assert given.stdout == f"{alone[0]}\n---\n{last}"
    assert "2 of 4 could not be answered" in given.stderr
    assert "'猫': CharacterTokenizer: token '猫' at position 0" in given.stderr
    assert "expected a prompt of 1 to 16 tokens (the context), got 54" in given.stderr


def test_only_a_line_end_ends_a_prompt(tmp_path):
    """Whatever else ends a line elsewhere is a character of a text."""
    (tmp_path / "text.txt").write_text("a page\fand\u2028a\x85line, " * 40)
    recipe = Recipe(str(tmp_path / "text.txt"), steps=1, **{**SIZES, "context": 2})
    train(recipe, tmp_path / "out", progress=False)
    (tmp_path / "prompts.txt").write_bytes("e\f\r\n\u2028a\n".encode())
    ask = ["generate", str(tmp_path / "out"), "--length", "0", "--prompts"]
    for place, told in (
        (str(tmp_path / "prompts.txt"), None),
        ("-", (tmp_path / "prompts.txt").read_bytes()),
    ):
        result = CliRunner().invoke(command_line(), [*ask, place], input=told)
        assert result.output == "e\f\n---\n\u2028a\n"
    result = CliRunner().invoke(command_line(), [*ask[:-1], "--prompt", "-"], input=b"\x0ca\r\n")
    assert result.output == "\fa\n"


def test_a_text_ends_at_a_stop_string(trained):
    ask = ["generate", trained[0], "--prompt", "the quick", "--length", 60, "--temperature", 0]
    whole = run(*ask).output.removesuffix("\n")
    stops = [whole[20:22], "never written"]
    stopped = run(*ask, *(word for stop in stops for word in ("--stop", stop))).output.removesuffix("\n")
    assert stopped == whole[: whole.index(stops[0], len("the quick")) + 2]


def test_beams_find_a_likelier_text(trained):
    ask = ["generate", trained[0], "--prompt", "the", "--length", 10]
    found = run(*ask, "--beams", 4)
    assert found.exit_code == 0, found.output
    assert found.output == run(*ask, "--beams", 4, "--seed", 3).output
    assert "beams take no chance" in run(*ask, "--beams", 4, "--temperature", 0.5).output
    assert "must fit into the context of 16" in run(*ask[:-1], 30, "--beams", 4).output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--prompt", "the quick brown fox jumps"],
            "expected a prompt of 1 to 16 tokens (the context), got 25",
        ),
        (["--prompt", "ÄÖÜ 123"], "'Ä' at position 0 is not among the"),
        (["--prompt", "a", "--prompts", "file"], "either a prompt or a file of prompts, got both"),
        (["--prompts", "{missing}"], "no such file"),
        (["--prompts", "{empty}"], "expected a prompt in each line, got nothing"),
        (["--prompts", "{binary}"], "not UTF-8 text (byte 0)"),
        (["--top-p", "2"], "expected 0 < top_p <= 1, got 2.0"),
        (["--min-p", "-1"], "min_p"),
        (["--repetition-penalty", "0"], "expected a penalty above 0, got 0"),
        (["--beams", "0"], "num_beams"),
    ],
)
def test_what_cannot_be_continued_is_explained(trained, tmp_path, options, message):
    (tmp_path / "empty").write_text("\n\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    places = {name: tmp_path / name for name in ("missing", "empty", "binary")}
    result = run("generate", trained[0], *(option.format(**places) for option in options))
    assert result.exit_code == 2, result.output
    assert message in result.output


def test_what_is_measured_is_counted(trained, tmp_path):
    """Two windows of 16 tokens, each of which is predicted from those before it."""
    (tmp_path / "text.txt").write_text(TEXT[:40])
    for options, tokens in (([], 32), (["--stride", 16], 39)):
        said = run("eval", trained[0], "--data", tmp_path / "text.txt", *options)
        assert re.search(r"tokens +(\S+)", said.output)[1] == str(tokens)


def test_a_text_that_has_changed_is_not_measured_as_held_out(trained, tmp_path):
    data, out = tmp_path / "text.txt", tmp_path / "out"
    data.write_text(TEXT)
    train(Recipe(str(data), steps=1, **SIZES), out, progress=False)
    assert run("eval", out).exit_code == 0
    data.write_text(TEXT[::-1])
    said = run("eval", out)
    assert said.exit_code == 2
    assert "its data have changed since it was trained" in said.output
    assert run("eval", out, "--data", data).exit_code == 0
    (out / "checkpoint.safetensors").unlink()
    assert run("eval", out).exit_code == 0


def test_a_window_slides_by_the_stride(trained):
    said = run("eval", trained[0], "--data", trained[0].parent / "text.txt", "--stride", 2)
    assert said.exit_code == 0, said.output
    loaded = load(trained[0])
    expected = perplexity(loaded.model, torch.tensor(loaded.tokenizer.encode(TEXT)), stride=2)
    assert expected.tokens == len(TEXT) - 1
    for name, value in expected._asdict().items():
        (printed,) = re.findall(rf"{name} +(\S+)", said.output)
        assert float(printed) == pytest.approx(value, rel=1e-3), name


# ---- names on the hub ----------------------------------------------------------------------------------


def as_on_the_hub(folder, cache, name):
    """Puts the files of a folder where `huggingface_hub` keeps what it has fetched."""
    place, commit = cache / f"models--{name.replace('/', '--')}", "0123456789" * 4
    (place / "refs").mkdir(parents=True)
    (place / "blobs").mkdir()
    (place / "snapshots" / commit).mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, place / "blobs" / f"{number:040}")
        (place / "snapshots" / commit / file.name).symlink_to(place / "blobs" / f"{number:040}")


def test_a_name_on_the_hub_is_imported(trained, tmp_path, monkeypatch):
    """`huggingface_hub` itself finds the folder, in its cache: there is no hub here."""
    constants = pytest.importorskip("huggingface_hub.constants")
    assert run("export", trained[0], tmp_path / "there").exit_code == 0
    as_on_the_hub(tmp_path / "there", tmp_path / "cache", "somebody/small-gpt")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    result = run("import", "somebody/small-gpt", "--out", tmp_path / "back")
    assert result.exit_code == 0, result.output
    ask = ["--prompt", "the ", "--length", 20]
    assert run("generate", tmp_path / "back", *ask).output == run("generate", trained[0], *ask).output
    result = run("import", "somebody/another", "--out", tmp_path / "no")
    assert result.exit_code == 2
    assert "somebody/another: no such folder, and the hub did not give it" in result.output
    assert not (tmp_path / "no").exists()


def test_without_its_library_the_hub_is_explained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    result = run("import", "somebody/small-gpt", "--out", tmp_path / "no")
    assert result.exit_code == 2
    assert "extra ds-core[hub], pip install huggingface_hub" in result.output
    assert "git clone https://huggingface.co/somebody/small-gpt, and give its path" in result.output


def test_what_is_no_run_of_the_zoo_is_explained(trained, tmp_path):
    for name, change, message in (
        ("other", {"config.json": '{"model_type": "gpt_neo"}'}, "not the configuration of a MiniGPT"),
        ("model", {"recipe.toml": 'model = "gpd"'}, "expected a model of"),
        ("damaged", {"recipe.toml": "model = "}, "recipe.toml: not a recipe"),
        ("size", {"vocabulary.json": CharacterTokenizer.from_text("abc").file_text()}, "has 3 tokens, but"),
        (
            "shard",
            {"model.safetensors.index.json": '{"weight_map": {"a": "b"}}'},
            "files of weights named in",
        ),
    ):
        shutil.copytree(trained[0], tmp_path / name)
        if name == "shard":
            (tmp_path / name / "model.safetensors").unlink()
        for file, content in change.items():
            (tmp_path / name / file).write_text(content)
        result = run("generate", tmp_path / name)
        assert result.exit_code == 2, result.output
        assert message in result.output


def test_what_is_exported_is_imported(trained, tmp_path):
    assert run("export", trained[0], tmp_path / "there").exit_code == 0
    for used in (tmp_path / "there", trained[0]):
        before = {path: path.read_bytes() for path in used.iterdir()}
        again = run("export", trained[0], used)
        assert again.exit_code == 2
        assert "is there already; give a new folder" in again.output
        assert {path: path.read_bytes() for path in used.iterdir()} == before
    assert run("import", tmp_path / "there", "--out", tmp_path / "back").exit_code == 0
    ask = ["--prompt", "the ", "--length", 20]
    said = run("generate", tmp_path / "back", *ask).output
    assert said == run("generate", trained[0], *ask).output
    assert "is there already" in run("import", tmp_path / "there", "--out", tmp_path / "back").output
    assert "was not trained here; say on what" in run("eval", tmp_path / "back").output
    measured = run("eval", tmp_path / "back", "--data", trained[0].parent / "text.txt")
    assert "perplexity" in measured.output


def test_models_are_imported_when_they_are_used():
    code = "import sys, ds_zoo; assert not [m for m in sys.modules if m.startswith('ds_zoo.')], sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_reads_well():
    for arguments in (["--help"], ["train", "--help"], ["train", "gpt", "--help"], ["generate", "--help"]):
        result = run(*arguments)
        assert result.exit_code == 0
        assert "Usage" in result.output
    assert run("--version").output.startswith("ds-zoo ")


def test_demo_text_is_there_without_network():
    assert sum(map(len, read_texts("bundled:python"))) > 300_000
