"""Trainings killed at random moments: nothing is half written, and in the end the bits are those of peace."""

import multiprocessing
import random
import time

import pytest
from ds_core.training import load_checkpoint, save_checkpoint
from ds_core.training.files import CheckpointError
from ds_zoo.gpt.train import Recipe, load, train

TEXTS = {
    "old": "the quick brown fox jumps over the lazy dog. " * 40,
    "new": "ONCE UPON A TIME, 12345 SHEEP CROSSED 6 RIVERS? " * 40,
}
SIZES = {"layers": 1, "heads": 2, "width": 16, "context": 16, "dropout": 0.1}
FILES = (
    *("checkpoint.safetensors", "model.safetensors", "config.json", "vocabulary.json", "recipe.toml"),
    *("log.csv", "samples.txt"),
)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """Recipes that differ in their texts alone."""
    folder = tmp_path_factory.mktemp("texts")
    for which, text in TEXTS.items():
        (folder / f"{which}.txt").write_text(text)
    return {
        which: Recipe(
            str(folder / f"{which}.txt"), steps=40, batch_size=4, lr=0.01, validate_every=2, **SIZES
        )
        for which in TEXTS
    }


@pytest.fixture(scope="module")
def world():
    """Makes processes that have everything imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["ds_zoo.gpt.train", "matplotlib.figure", "matplotlib.backends.backend_agg"]
    )
    return context


def begin(world, recipe, folder, **options):
    """Starts a training in a process of its own."""
    process = world.Process(target=train, args=(recipe, folder), kwargs={"progress": False, **options})
    process.start()
    return process


def files(folder):
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def bits(folder):
    """The files, the checkpoint but for Python's and NumPy's own random numbers, which begin anywhere."""
    state = load_checkpoint(folder / "checkpoint.safetensors")
    state["random"] = {name: state["random"][name] for name in ("sources", "torch")}
    save_checkpoint(folder / "bits.safetensors", state)
    return files(folder) | {"checkpoint.safetensors": (folder / "bits.safetensors").read_bytes()}


@pytest.fixture(scope="module")
def peace(world, recipes, tmp_path_factory):
    """What trainings that nobody disturbs leave behind, and how long one takes."""
    made = {}
    for which in TEXTS:
        folder = tmp_path_factory.mktemp("peace") / which
        began = time.monotonic()
        process = begin(world, recipes[which], folder)
        process.join()
        assert process.exitcode == 0
        assert sorted(files(folder)) == sorted(FILES)
        made[which] = folder
    return made, time.monotonic() - began


def check_whole(folder):
    """Reads all there is; says whether there is a checkpoint."""
    if (folder / "checkpoint.safetensors").exists():
        load_checkpoint(folder / "checkpoint.safetensors")
    if (folder / "model.safetensors").exists() and (folder / "vocabulary.json").exists():
        load(folder)
    return (folder / "checkpoint.safetensors").exists()


KILLS = [3, pytest.param(100, marks=pytest.mark.slow)]


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_resumed(world, recipes, peace, tmp_path, kills, processes):
    """By one process, and by two that go on with the same run at the same time."""
    expected, seconds = peace
    draw, done, finished = random.Random(processes), 0, 0
    while done < kills:
        folder = tmp_path / f"run {finished}"
        there = check_whole(folder)
        running = [
            begin(world, recipes["old"], folder, resume=there) for _ in range(processes if there else 1)
        ]
        for process in running:
            process.join(draw.uniform(0, 0.7 * seconds))
            if process.is_alive():
                process.kill()
                done += 1
        for process in running:
            process.join()
        if all(process.exitcode == 0 for process in running):
            assert bits(folder) == bits(expected["old"])
            finished += 1
        else:
            assert all(process.exitcode in (0, -9) for process in running)
    there = check_whole(folder)
    process = begin(world, recipes["old"], folder, resume=there, overwrite=not there)
    process.join()
    assert bits(folder) == bits(expected["old"])


@pytest.mark.parametrize("kills", KILLS)
def test_begun_anew_and_killed(world, recipes, peace, tmp_path, kills):
    """The folder holds the old run, untouched, or the new one; no mixture, and never the one as the other."""
    expected, seconds = peace
    old = files(expected["old"])
    draw = random.Random(0)
    folder = tmp_path / "run"
    folder.mkdir()
    for _ in range(kills):
        for name, content in old.items():
            (folder / name).write_bytes(content)
        process = begin(world, recipes["new"], folder, overwrite=True)
        process.join(draw.uniform(0, 0.9 * seconds))
        process.kill()
        process.join()
        assert check_whole(folder)
        found = files(folder)
        if found == old:
            continue
        state = load_checkpoint(folder / "checkpoint.safetensors")
        if state["settings"]["settings"]["tokenizer"]["vocabulary"][-1].islower():  # the results went first
            assert all(found[name] == old[name] for name in found)
            with pytest.raises(CheckpointError, match=r"begun with another text|made with other settings"):
                train(recipes["new"], folder, progress=False, resume=True)
        else:
            if "model.safetensors" in found:
                assert found["model.safetensors"] == files(expected["new"])["model.safetensors"]
            process = begin(world, recipes["new"], folder, resume=True)
            process.join()
            assert bits(folder) == bits(expected["new"])
