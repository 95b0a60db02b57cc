"""Every model's command, begun by two processes, makes the steps that one makes, and one process writes."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ds_core.training import load_checkpoint
from ds_zoo.cli import command_line
from processes import together
from typer.testing import CliRunner

forks = pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has imported torch")

GAN = ["--steps", "3", "--validate-every", "2", "--batch-size", "15", "--latent", "4", "--width", "4"]
ATTENTION = ["--layers", "1", "--heads", "2", "--width", "16"]
SCENES = [*ATTENTION, "--image-size", "32", "--inner", "16", "--queries", "4", "--stages", "2"]
# Of each model: what makes it small, its batches uneven, and its steps few.
COMMANDS = {
    "gpt": [*ATTENTION, "--context", "16", "--steps", "4", "--batch-size", "5", "--validate-every", "2"],
    "bert": [
        *(*ATTENTION, "--inner", "32", "--vocab-size", "70", "--context", "16", "--dropout", "0"),
        *("--steps", "4", "--batch-size", "9", "--validate-every", "2"),
    ],
    "vit": [
        *(*ATTENTION, "--data", "sklearn:digits", "--patch", "4", "--inner", "16", "--epochs", "1"),
        *("--batch-size", "401", "--mix", "0.2"),
    ],
    "clip": [
        *(*ATTENTION, "--text-layers", "1", "--image-size", "16", "--batch-size", "7", "--steps", "3"),
        *("--validate-every", "2"),
    ],
    "detr": [
        *(*SCENES, "--shapes", "2", "--channels", "8", "--decoder-layers", "2", "--groups", "2"),
        *(
            "--steps",
            "2",
            "--batch-size",
            "3",
            "--accumulate",
            "2",
            "--validate-every",
            "2",
            "--measured",
            "4",
        ),
    ],
    "maskformer": [
        *(*SCENES, "--objects", "2", "--stem", "8", "--steps", "2", "--batch-size", "3", "--warmup", "1"),
        *("--pyramid", "32", "--embedding", "8", "--held-out-scenes", "3"),
    ],
    "gan": [*GAN, "--no-judge"],
    "dcgan": [*GAN, "--no-judge", "--norm", "batch"],
}
QUICK = ("gpt", "vit", "gan")
# Made of random numbers, which each process draws for itself; the first one those that one alone would draw.
DRAWING = ("gan", "dcgan")


def texts(folder: Path) -> Path:
    path = folder / "texts.txt"
    animals = ("cat", "dog", "bird", "horse")
    path.write_text(
        "\n\n".join(
            f"the {a} sat on the {b}, and the {c} sat too." for a in animals for b in animals for c in animals
        )
    )
    return path


def trained(model: str, out: Path, *more: str) -> str:
    """Runs ``ds-zoo train``; returns what it says."""
    arguments = ["train", model, "--out", str(out), *COMMANDS[model], *more]
    result = CliRunner().invoke(command_line(), arguments, env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return result.output


def column(out: Path, name: str) -> list[float]:
    with (out / "log.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


@forks
@pytest.mark.parametrize(
    "model", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS]
)
def test_two_processes_train_as_one_does(tmp_path: Path, model: str) -> None:
    more = ["--data", str(texts(tmp_path))] if model in ("gpt", "bert") else []
    one, two = tmp_path / "one", tmp_path / "two"
    said = trained(model, one, *more)  # here, so that the others find everything imported
    said_first, said_second = together(2, trained, model, two, *more)
    assert "Next: ds-zoo" in said
    assert "Next: ds-zoo" in said_first
    assert said_second == ""
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    tolerance = 0.5 if model in DRAWING else 1e-4
    assert column(two, "loss") == pytest.approx(column(one, "loss"), rel=tolerance)
    if model not in DRAWING:
        assert column(two, "val_loss") == pytest.approx(column(one, "val_loss"), rel=tolerance)


DYING = """
import os, signal, sys
from ds_core import Callback
from ds_core.distributed import restarted, world
from ds_core.training import Trainer
from ds_zoo.cli import main

step = Trainer._made

def dies(self, *args):
    step(self, *args)
    if self.step == 9 and world().rank == 1 and not restarted():
        os.kill(os.getpid(), signal.SIGKILL)

Trainer._made = dies
sys.argv[0] = "ds-zoo"
main()
"""


@pytest.mark.slow
def test_torchrun_starts_a_command_and_starts_it_again(tmp_path: Path) -> None:
    options = [*COMMANDS["gpt"], "--data", str(texts(tmp_path)), "--steps", "16", "--dropout", "0.1"]
    (tmp_path / "dying.py").write_text(DYING)
    ran = {}
    for name, script in (("straight", ["-m", "ds_zoo"]), ("died", [str(tmp_path / "dying.py")])):
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [*launch, "--max-restarts", "2", *script, "train", "gpt", "--out", str(tmp_path / name)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        ran[name] = subprocess.run(
            [*command, *options], capture_output=True, text=True, env=environment, timeout=600, check=False
        )
        assert ran[name].returncode == 0, ran[name].stderr
    assert "another process has ended" in ran["died"].stderr
    straight, died = (load_checkpoint(tmp_path / name / "checkpoint.safetensors") for name in ran)
    assert died["step"] == straight["step"] == 16
    for name, weight in straight["model"].items():
        assert weight.equal(died["model"][name])
    shutil.rmtree(tmp_path / "died")
