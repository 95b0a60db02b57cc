"""The exercises of all packages together: enough of each, hints for all, and theory that is there."""

import ast
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from ds_core.learn import chapters, cut, exercise_named, exercises
from ds_core.learn.judge import judge
from ds_core.learn.mutants import mutants
from ds_core.learn.show import theory
from ds_core.learn.table import examine

ROOT = Path(__file__).parents[1]
ALL = exercises()
PACKAGES = ("ds_core", "ds_cnn", "ds_rnn", "ds_transformer", "ds_zoo")
each = pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.name)


def test_there_are_enough_of_each_package_and_kind() -> None:
    assert len(ALL) >= 60
    counts = Counter(exercise.package for exercise in ALL)
    assert set(counts) == set(PACKAGES)
    assert min(counts.values()) >= 6
    sizes = {chapter.title: len(chapter.exercises) for chapter in chapters()}
    losses = sizes["Losses"] + sum(exercise.name == "contrastive" for exercise in ALL)
    assert sizes["Activations"] <= 5
    assert losses <= 5
    backwards = sum(cut.is_backward(exercise.path) for exercise in ALL)
    assert 25 <= backwards <= len(ALL) - 25


def test_each_package_says_where_its_exercises_are() -> None:
    for package in PACKAGES:
        settings = tomllib.loads((ROOT / f"packages/{package.replace('_', '-')}/pyproject.toml").read_text())
        (module,) = settings["project"]["entry-points"]["ds_core.learn"].values()
        assert module.startswith(f"{package}.learn")


@each
def test_an_exercise_has_hints_and_leaves_one_body_open(exercise) -> None:
    assert ast.dump(ast.parse(exercise.given)) != ast.dump(ast.parse(exercise.solution))
    assert cut.TO_DO in cut.definition(exercise.given, exercise.path)
    assert exercise.hint.splitlines()[0] in exercise.given
    assert exercise.formula_hint()
    page, section = theory(exercise)
    headings = [line.lstrip("# ") for line in Path(page).read_text().splitlines() if line.startswith("#")]
    assert section in headings


@each
def test_the_librarys_own_code_passes(exercise) -> None:
    verdict = judge(exercise, exercise.solution)
    assert verdict.passed, verdict.problems


@pytest.mark.parametrize(
    "name", ["positions", "rnn-step-backward", "causal-mask", "unit-length-backward", "contrastive"]
)
def test_the_librarys_code_passes_and_mistakes_are_named(name: str) -> None:
    (exercise,) = (one for one in ALL if one.name == name)
    assert examine(exercise).ok


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        (
            "neuron-forward",
            "the case that `self.activation is None` is false is forgotten in what is returned",
        ),
        ("neuron-forward", "the case `self.activation is None` is forgotten in what is returned"),
        ("perceptron", "the last of `range(epochs)` is left out"),
        ("bce-backward", "the factor `w` is missing in what is returned"),
        ("triplet-backward", "the case that `gap >= 0` is false is forgotten in grad"),
        ("dropout-forward", "the case that `p < 1` is false is forgotten in scale"),
        ("layer-norm-backward", "`bias` stands where `weight` belongs in h"),
        ("rms-norm-backward", "the case `weight is None` is forgotten in h"),
        ("batch-norm-forward", "the case `weight is None` is forgotten in y"),
        ("group-norm-backward", "the case `weight is None` is forgotten in h"),
        ("batch-norm-backward", "the case `bias is None` is forgotten in grad_bias"),
        ("batch-norm-backward", "`bias` stands where `weight` belongs in h"),
        ("lion", "the term `beta1 * m` is missing in step"),
        ("lion", "the factor `1 - beta1` is missing in step"),
        ("windows-of-text", "the term `1` is missing in count"),
        ("streams-of-text", "the term `1` is missing"),
        ("vocabulary", "the term `max_size` is missing in what is returned"),
        ("positions", "the factor `2` is missing in room"),
        ("residual-block-backward", "the backward of `self.downsample` is passed over in what is returned"),
        ("lstm-step", "`weights.hr` is not transposed in h_after"),
        ("lstm-step-backward", "the factor `o` is missing in grad_hr"),
        ("attention", "2 stands where 1 belongs in scale"),
        ("attention", "the factor `kept` is missing in weights"),
        ("attention-backward", "the factor `kept` is missing in grad_p"),
        ("projection-backward", "`of_linear` stands where `batch_first` belongs in g"),
        ("through-time", "the case `isinstance(grad_state, tuple)` is forgotten in (h, *others)"),
        ("intersection-backward", "the case that `free` is false is forgotten in grad_size"),
        ("contrastive", "`sum` goes along dimension 0 where 1 belongs in rows"),
    ],
)
def test_a_mistake_in_a_case_that_is_asked_for_does_not_pass(name: str, mistake: str) -> None:
    exercise = exercise_named(name)
    mutant = next(one for one in mutants(exercise.solution, exercise.path) if one.what == mistake)
    assert not judge(exercise, mutant.text, explain=False).passed


@pytest.mark.slow
@each
def test_every_exercise_marks_as_it_should(exercise) -> None:
    row = examine(exercise)
    assert row.ok, (row.own.problems, row.given.problems, [(m.what, v.problems) for m, v in row.mistakes])
