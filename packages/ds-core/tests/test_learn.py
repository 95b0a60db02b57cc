"""The course that marks itself: what is cut out, what is forbidden, and what a learner is told."""

import ast
import inspect
import io
import json
import random
import shlex

import pytest
import torch
from ds_core import learn
from ds_core.learn import cut
from ds_core.learn.bugs import draw, level_of
from ds_core.learn.cli import command_line
from ds_core.learn.course import exercise_named, exercises
from ds_core.learn.exercise import same
from ds_core.learn.folder import Folder, task_named
from ds_core.learn.judge import judge
from ds_core.learn.mutants import mutants
from ds_core.learn.process import Limits, judge_apart
from ds_core.learn.table import examine
from rich.console import Console
from typer.testing import CliRunner

LINEAR = exercise_named("linear-backward")
RIGHT = """
def linear_backward(grad, saved):
    x, weight, bias = saved
    rows = grad.reshape(-1, grad.shape[-1])
    grad_bias = None if bias is None else rows.sum(0)
    return grad @ weight, rows.T @ as_rows(x), grad_bias
"""


def marked(code, exercise=LINEAR):
    return judge(exercise, cut.put(exercise.given, exercise.path, code))


def said(verdict):
    return "\n".join(f"{about}: {what}" for about, what in verdict.problems)


# ---- cutting ---------------------------------------------------------------------------------------------

SOURCE = '''"""Many things."""

from __future__ import annotations

import math
import sys
from os import path, sep


LIMIT = 3


def helper(x):
    return x + LIMIT  # kept


def other(x):
    return sys.maxsize


def scaled(x):
    """Doubles."""
    return helper(x), x


def scaled_backward(grad, saved):
    """dL/dx = 2 g."""
    x = saved
    # Twice, because.
    y = 2 * grad
    return math.prod([y])
'''


def test_a_piece_stands_alone_with_what_it_needs_and_nothing_else():
    text = cut.cut(SOURCE, "scaled_backward")
    assert "def scaled(x)" in text
    assert "return x + LIMIT  # kept" in text
    assert "import math" in text
    assert "LIMIT = 3" in text
    assert not any(word in text for word in ("other", "sys", "sep", "Many things"))
    exec(compile(text, "cut", "exec"), names := {})
    assert names["scaled_backward"](3, 1) == 6


def test_an_open_body_keeps_what_unpacks_and_not_the_formula():
    text = cut.leave_open(cut.cut(SOURCE, "scaled_backward"), "scaled_backward", "Think.")
    body = cut.definition(text, "scaled_backward")
    assert "x = saved" in body
    assert "# Think." in body
    assert not any(word in body for word in ("2 g", "2 * grad", "Twice"))
    exec(compile(text, "cut", "exec"), names := {})
    with pytest.raises(NotImplementedError, match="scaled_backward is not written yet"):
        names["scaled_backward"](3, 1)


def test_what_is_put_back_is_what_was_there():
    for path in ("linear_backward", "linear"):
        assert cut.put(LINEAR.solution, path, cut.definition(LINEAR.solution, path)) == LINEAR.solution


def test_an_object_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="there is no nothing"):
        cut.cut(SOURCE, "nothing")


# ---- mistakes --------------------------------------------------------------------------------------------


def test_mistakes_of_every_kind_are_made_and_each_is_python():
    text = """
def f(self, grad, saved):
    x, y = saved
    if y is not None:
        x = x + 1
    z = (grad * x).sum(0) / 4 - y ** 2
    w = grad.T @ x if y is None else -x
    for one in reversed(self):
        z = one.backward(z)
    return torch.where(x > 0, z, w)
"""
    made = mutants(text, "f")
    assert {m.kind for m in made} == {
        *("sign", "term", "factor", "product", "sum", "axis", "case", "order", "save", "path", "number")
    }
    assert len({m.text for m in made}) == len(made)
    assert all(compile(m.text, "mutant", "exec") for m in made)
    words = {m.what for m in made}
    assert "the sum of `grad * x` is missing in z" in words
    assert "the factors of `grad.T @ x` are in the wrong order in w" in words
    assert "the division by `4` is missing in z" in words


# ---- marking ---------------------------------------------------------------------------------------------


def test_what_is_right_passes_however_it_is_written():
    verdict = marked(RIGHT)
    assert verdict.passed, said(verdict)
    assert {name for name, *_ in verdict.rows} == {"output", "x", "weight", "bias"}


@pytest.mark.parametrize(
    ("line", "wrong", "message", "cause"),
    [
        ("rows.sum(0)", "grad", "has a row per example: sum over the batch", "the sum of `grad` is missing"),
        (
            "rows.T @ as_rows(x)",
            "rows.T @ as_rows(x) / 8",
            "0.125 times what it should be: is it divided by 8",
            "",
        ),
        (
            "rows.T @ as_rows(x)",
            "8 * rows.T @ as_rows(x)",
            "8 times what it should be: is the mean over 8",
            "",
        ),
        ("rows.T @ as_rows(x)", "-rows.T @ as_rows(x)", "the sign is wrong", ""),
        ("rows.T @ as_rows(x)", "None", "weight: backward gives it no gradient", ""),
        ("return grad @ weight,", "return grad @ weight + 1,", "all its numbers are too large by 1", ""),
        ("return grad @ weight, rows", "return rows", "expected torch.float64 of shape (2, 4, 5)", ""),
        ("grad @ weight", "weight @ grad", "line 36", ""),
    ],
)
def test_a_learner_is_told_what_is_wrong(line, wrong, message, cause):
    assert line in RIGHT
    verdict = marked(RIGHT.replace(line, wrong))
    assert not verdict.passed
    if "line 36" in message:
        assert "`return weight @ grad" in said(verdict)
    else:
        assert message.replace("row per example: sum", "row per example; sum") in said(verdict)
    assert cause in verdict.looks_like


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("relu-backward", "grad = grad.clone()\n    grad[saved <= 0] = 0\n    return grad"),
        ("relu-backward", "return grad * torch.heaviside(saved, saved.new_zeros(()))"),
        (
            "softmax-backward",
            "y, dim = saved\n    y, g = y.movedim(dim, -1), grad.movedim(dim, -1)\n"
            "    jacobian = torch.diag_embed(y) - y[..., None] * y[..., None, :]\n"
            "    return (jacobian @ g[..., None])[..., 0].movedim(-1, dim)",
        ),
    ],
)
def test_numbers_may_be_moved_about_in_any_way(name, body):
    exercise = exercise_named(name)
    function = exercise.path
    verdict = marked(f"import torch\n\ndef {function}(grad, saved):\n    {body}\n", exercise)
    assert verdict.passed, said(verdict)


def test_numbers_tell_the_mistake_though_the_code_is_another():
    exercise = exercise_named("layer-norm-backward")
    code = """
def layer_norm_backward(grad, saved):
    n, rstd, weight, bias, dims = saved
    h = grad * weight if weight is not None else grad
    through_variance = torch.mean(h * n, dims, keepdim=True)
    grad_x = rstd * h - rstd * (n * through_variance)
    weight_grad = None if weight is None else (grad * n).sum_to_size(weight.shape)
    return grad_x, weight_grad, None if bias is None else grad.sum(0)
"""
    verdict = marked(code, exercise)
    assert verdict.looks_like == "the term `h.mean(dims, keepdim=True)` is missing in grad_x"
    good = code.replace("rstd * h -", "rstd * (h - torch.mean(h, dims, keepdim=True)) -")
    assert marked(good, exercise).passed


def test_two_mistakes_at_once_are_both_named():
    code = RIGHT.replace("rows.sum(0)", "grad").replace("return grad @ weight,", "return -(grad @ weight),")
    looks_like = marked(code).looks_like
    assert looks_like == "the sign is wrong in grad_x, and the sum of `grad` is missing in grad_bias"


def test_an_open_body_is_told_apart_from_a_wrong_one_and_an_empty_file():
    verdict = judge(LINEAR, LINEAR.given)
    assert not verdict.passed
    assert not verdict.written
    assert "is not in the file" in said(judge(LINEAR, ""))
    assert "line 1: Python does not understand it" in said(judge(LINEAR, "def f(:"))
    assert said(judge(LINEAR, "a\0")).startswith(
        "linear_backward: Python does not understand it: source code"
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import torch.nn\n" + RIGHT, "uses torch.nn"),
        (RIGHT.replace("    rows =", "    nn = __import__('torch').nn\n    rows ="), "uses __import__"),
        (RIGHT.replace("    rows =", "    nn = eval('torch.' + 'nn')\n    rows ="), "uses eval"),
        ("def helper(x):\n    return eval('torch.' + 'nn')\n\n" + RIGHT, "uses eval"),
        (RIGHT.replace("    rows =", "    nn = linear.__globals__\n    rows ="), "uses __globals__"),
        ("import numpy\n" + RIGHT, "numpy did not come with the file"),
        (
            "from ds_core.functional import linear_backward\n" + RIGHT,
            "linear_backward did not come with the file",
        ),
        (
            RIGHT.replace("    rows =", "    grad = torch._softmax(grad, 0, False)\n    rows ="),
            "executes aten._softmax",
        ),
    ],
)
def test_what_is_ready_made_is_refused(code, message):
    text = cut.put(LINEAR.given, LINEAR.path, code).replace("import math\n", "import math\nimport torch\n")
    assert message in said(judge(LINEAR, text))


AUTOGRAD = """
def linear_backward(grad, saved):
    with torch.set_grad_enabled(True):
        x, weight, bias = (None if t is None else t.detach().clone() for t in saved)
        leaves = [t for t in (x, weight, bias) if t is not None]
        for leaf in leaves:
            leaf.requires_grad = True
        linear(x, weight, bias)[0].backward(grad)
    return tuple(None if t is None else t.grad for t in (x, weight, bias))
"""


def test_autograd_in_hiding_is_refused():
    text = cut.put(LINEAR.given, LINEAR.path, AUTOGRAD).replace(
        "import math\n", "import math\nimport torch\n"
    )
    assert "set_grad_enabled" in said(judge(LINEAR, text))
    hidden = text.replace("torch.set_grad_enabled(True)", "getattr(torch, 'enable' + '_grad')()")
    assert "lets torch's autograd record" in said(judge(LINEAR, hidden))


@pytest.mark.parametrize("name", ["neuron-backward", "linear-forward", "adam", "one-hot"])
def test_the_librarys_code_passes_and_mistakes_are_named(name):
    row = examine(exercise_named(name))
    assert row.ok, (row.own.problems, [(m.what, v.problems) for m, v in row.mistakes])


# ---- a process of its own --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("while True: pass", "did not end within 2 seconds"),
        ("torch.os.kill(torch.os.getpid(), 9)", "ended by signal 9"),
        ("[0] * 10**10", "needs more memory than it may have"),
        ("torch.empty(10**10)", "needs more memory than it may have"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_whatever_code_does_is_a_result(line, message):
    code = RIGHT.replace("    rows =", f"    import torch\n    {line}\n    rows =")
    text = cut.put(LINEAR.given, LINEAR.path, code)
    verdict = judge_apart(LINEAR.name, text, Limits(2 if "while" in line else 20, 1024), fork=True)
    assert not verdict.passed
    assert message in said(verdict)


def test_what_code_prints_is_shown():
    text = cut.put(
        LINEAR.given, LINEAR.path, RIGHT.replace("    rows =", "    print('here', x.shape[0])\n    rows =")
    )
    verdict = judge_apart(LINEAR.name, text, Limits(), fork=True)
    assert verdict.passed
    assert verdict.printed.startswith("here 2")


def test_a_notebook_asks_a_new_process():
    def linear_backward(grad, saved):
        x, weight, bias = saved
        return grad @ weight, as_rows(grad).T @ as_rows(x), grad.sum_to_size(bias.shape) * 2  # noqa: F821

    shown = learn.check("linear-backward", linear_backward)
    assert not shown.passed
    assert "2 times what it should be" in str(shown)
    assert "# ---- your code here ----" in learn.start("linear-backward")
    assert "dL/dW = g^T x" in str(learn.hint("linear-backward", 2))
    assert "def linear_backward" in str(learn.solution("linear-backward"))


def test_a_gradient_of_what_was_not_given_is_named():
    always = RIGHT.replace("None if bias is None else ", "")
    assert always != RIGHT
    verdict = judge(LINEAR, cut.put(LINEAR.given, "linear_backward", always))
    ((_, said),) = verdict.problems
    assert "expected a gradient for each of x, weight, which is all that forward was given here" in said


@pytest.mark.parametrize(("given", "got"), [("[grad, grad, grad]", "list"), ("grad.sum().item()", "float")])
def test_a_gradient_that_is_no_tensor_is_named(given, got):
    code = f"def linear_backward(grad, saved):\n    return {given}\n"
    ((_, said),) = judge(LINEAR, cut.put(LINEAR.given, "linear_backward", code)).problems
    assert f"expected a gradient as a tensor, several as a tuple, got {got}" in said


def body(name, *lines):
    """Marks an exercise whose open body is these lines."""
    exercise = exercise_named(name)
    start = cut.definition(exercise.given, exercise.path).split(cut.TO_DO)[0].rstrip(" ")
    margin = " " * (8 if "." in exercise.path else 4)
    code = start + "".join(f"{margin}{one}\n" for one in lines)
    text = cut.put(exercise.given, exercise.path, code)
    return judge(exercise, text.replace("annotations\n", "annotations\n\nimport torch\n", 1))


def test_what_is_missing_looks_like_no_mistake_that_fails():
    verdict = body("relu-backward", "grad * (saved > 0)")  # the return is forgotten
    assert said(verdict) == "x: backward gives it no gradient"
    assert verdict.looks_like == ""


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("neuron-forward", "self.save(input); return input @ self.weight", "output: at [0] yours is"),
        ("neuron-forward", "self.save(input); return self.activation(input.sum(0))", "shape (4,), got (3,)"),
        (
            "linear-forward",
            "return x @ weight.T",
            "expected linear to return (result, what is saved), got a tensor",
        ),
        ("relu-backward", "return (grad * (saved > 0)).float()", "expected torch.float64 of shape (4, 5)"),
        ("attend", "return scores @ value, (scores, value)", "output: expected 2 tensors, got 1"),
    ],
)
def test_what_is_wrong_is_said_where_it_begins(name, line, message):
    if name == "attend":
        pytest.importorskip("ds_rnn")
    assert message in said(body(name, line))
    assert "dimension of size 1" not in said(body(name, line))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("neuron-forward", ["self.save(input)", "return self.activation(input @ self.weight + self.bias)"]),
        ("softmax-backward", ["y, _ = saved", "return y * (grad - (grad * y).sum(-1, keepdim=True))"]),
        ("mse-backward", ["return grad * 2 * saved[0] / saved[0].numel()"]),
        (
            "batch-norm-backward",
            [
                "n, rstd, w, _ = saved",
                "dims = all_but_channels(grad)",
                "h = grad if w is None else grad * over_channels(w, grad)",
                "x = (h - h.mean(dims, keepdim=True) - n * (h * n).mean(dims, keepdim=True)) * rstd",
                "return x, sum_per_channel(grad * n), sum_per_channel(grad)",
            ],
        ),
        ("xavier", ["r = gain * math.sqrt(6 / sum(fans(tensor)))", "return tensor.uniform_(-r, r)"]),
        (
            "xavier",
            [
                "r = gain * math.sqrt(6 / sum(fans(tensor)))",
                "return torch.empty_like(tensor).uniform_(-r, r, generator=generator)",
            ],
        ),
        (
            "clip-value",
            ["for p in parameters:", "    p.grad = p.grad and p.grad.clamp(-clip_value, clip_value)"],
        ),
    ],
)
def test_what_is_right_for_one_case_alone_does_not_pass(name, lines):
    assert not body(name, *lines).passed


def test_what_belongs_to_the_caller_stays_as_it_is():
    line = "logits[seen] = torch.where(logits > 0, logits / penalty, logits * penalty)[seen]; return logits"
    assert "penalize_repetition writes over logits" in said(body("repetition-penalty", line))
    assert "x itself, afterwards" in said(
        body("standard-scaler", "values -= values.mean(0); return values[0], values.square().mean(0).sqrt()")
    )


def test_numbers_are_shown_with_the_digits_in_which_they_differ():
    lines = [
        "t, (b1, b2) = state['step'] + 1, betas",
        "m = b1 * state['exp_avg'] + (1 - b1) * g",
        "v = b2 * state['exp_avg_sq'] + (1 - b2) * g**2",
        "new = {**state, 'step': t, 'exp_avg': m, 'exp_avg_sq': v}",
        "if amsgrad: v = new['max_exp_avg_sq'] = torch.maximum(state['max_exp_avg_sq'], v)",
        "return p - lr * m / (1 - b1**t) / ((v / (1 - b2**t)).sqrt() + eps), new",
    ]
    assert body("adam", *lines).passed  # whatever else a state holds goes on
    (_, what), *_ = body("adam", *lines[:-1], lines[-1].replace(".sqrt() + eps", " + eps).sqrt(")).problems
    yours, right = what.split("yours is ")[1].split(", it should be ")
    assert yours != right


@pytest.mark.parametrize(
    "given", ["{'momentum_buffer': 0}", "{'momentum_buffer': [g, g]}", "[g, g]", "g", "None"]
)
def test_a_result_of_any_kind_is_compared(given):
    assert "momentum_buffer" in said(body("sgd", f"return p - lr * g, {given}"))
    assert "it should be (5, 3)" in said(body("fans", "return torch.ones(2), torch.ones(2)"))
    assert body(
        "fans", "n = torch.tensor(tensor[0, 0].numel())", "a, b, *_ = tensor.shape", "return b * n, a * n"
    ).passed


def test_numbers_in_a_list_may_be_rounded_otherwise():
    assert same([0.1 + 0.2, 1.0], [0.3, 1.0])
    assert not same([0.3001, 1.0], [0.3, 1.0])
    assert not same([torch.ones(2)], ["a"])


def test_a_function_whose_text_is_not_known_is_refused():
    with pytest.raises(ValueError, match=r"learn\.check: expected a function or class"):
        learn.check("linear-backward", eval("lambda grad, saved: grad"))


def test_a_function_of_another_name_is_told_the_right_one():
    def backward(grad, _saved):
        return grad

    with pytest.raises(ValueError, match="linear-backward is about linear_backward, got backward"):
        learn.check("linear-backward", backward)


def test_a_narrow_terminal_cuts_off_no_code():
    page = io.StringIO()
    Console(file=page, width=60).print(learn.solution("linear-backward"))
    library = cut.definition(LINEAR.solution, "linear_backward")
    assert max(map(len, library.splitlines())) > 60
    assert "".join(page.getvalue().split()) == "".join(library.split())


# ---- bugs ------------------------------------------------------------------------------------------------


def test_a_bug_is_drawn_by_seed_and_level_and_the_referees_see_it():
    pool = [exercise_named("softmax-backward"), LINEAR]
    first, again = (draw(pool, random.Random(3), None) for _ in range(2))
    assert (first.exercise, first.number) == (again.exercise, again.number)
    assert level_of(draw(pool, random.Random(0), 1).verdict) == 1
    relu = exercise_named("relu-backward")
    levels = {m.what: level_of(judge(relu, m.text, explain=False)) for m in mutants(relu.solution, relu.path)}
    assert levels["the comparison `y <= 0` is the wrong way round in what is returned"] == 3
    assert (
        levels["the case `y <= 0` is forgotten in what is returned"] == 1
    )  # "... should be 0: is a case forgotten?"
    task = task_named(f"bug-{first.exercise.name}-{first.number}")
    assert task.mutant.text.count("\n") == first.exercise.solution.count("\n")
    assert not judge(first.exercise, task.file()).passed
    with pytest.raises(ValueError, match="expected 1, 2 or 3"):
        draw(pool, random.Random(0), 4)


# ---- the command line ------------------------------------------------------------------------------------


@pytest.fixture
def ds_learn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = command_line()

    def run(*arguments):
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.output

    return run


def test_the_way_of_a_learner(ds_learn, tmp_path):
    assert "Next: ds-learn start neuron-forward" in ds_learn("list")[1]
    status, shown = ds_learn("start", "linear-backward")
    assert status == 0
    assert "your code here" in shown
    assert ds_learn("start", "linear-backward")[0] == 2  # it is there already
    status, shown = ds_learn("check")
    assert status == 1
    assert "is not written yet" in shown
    assert "Begin with the bias" in shown
    assert "gradient of weight (3, 5)" in ds_learn("hint")[1]
    assert "dL/dW = g^T x" in ds_learn("hint")[1]
    assert "dense.md" in ds_learn("hint")[1]
    assert "sum_to_size" in ds_learn("solution")[1]
    file = tmp_path / "ds-learn" / "linear_backward.py"
    file.write_text(cut.put(file.read_text(), "linear_backward", RIGHT))
    status, shown = ds_learn("check", "linear-backward")
    assert status == 0, shown
    assert "linear-backward is done" in shown
    assert "+    grad_weight" in ds_learn("solution")[1]
    assert "1 of 9 " in ds_learn("list")[1]


def test_hints_repeat_the_folder(ds_learn, tmp_path):
    mine = ("--folder", "my files")

    def hinted(*arguments):
        commands = [line.split("ds-learn ")[1:] for line in ds_learn(*arguments, *mine)[1].splitlines()]
        found = [command.split("    ")[0].strip() for line in commands for command in line]
        assert all(command.endswith(" --folder 'my files'") for command in found)
        return [command.removesuffix(" --folder 'my files'") for command in found]

    assert hinted("list") == ["start neuron-forward"]
    assert hinted("check") == ["start"]
    assert hinted("check", "relu-backward") == ["start relu-backward"]
    assert hinted("start", "relu-backward") == ["check relu-backward", "check --watch"]
    assert hinted("start", "relu-backward") == ["start relu-backward --again"]
    assert hinted("check") == ["hint relu-backward"]
    file = tmp_path / "my files" / "relu_backward.py"
    assert "then run:  ds-learn check relu-backward --folder 'my files'\n" in file.read_text()
    file.write_text(exercise_named("relu-backward").solution)
    assert hinted("check") == ["solution relu-backward", "start"]
    file.write_text("")
    shown = " ".join(ds_learn("check", *mine)[1].split())
    assert "to begin with a new file: ds-learn start relu-backward --again --folder 'my files'" in shown
    file.unlink()
    (bug,) = {command.split()[1] for command in hinted("bug", "relu-backward") if "watch" not in command}
    assert f"ds-learn check {bug} --folder" in (file.parent / f"{bug.replace('-', '_')}.py").read_text()
    done = {"passed": True, "tries": 1, "hints": 0}
    progress = {exercise.name: done for exercise in exercises()}
    (file.parent / "progress.json").write_text(json.dumps(progress))
    assert hinted("start") == ["bug"]


@pytest.mark.parametrize("name", ["a" * 200, "anna's", 'a """ b', "C:\\Users"])
def test_a_folder_of_any_name_is_named_in_one_line_and_its_files_are_python(ds_learn, tmp_path, name):
    status, shown = ds_learn("start", "relu-backward", "--folder", name)
    assert status == 0, shown
    (line,) = (line for line in shown.splitlines() if line.startswith("Then: "))
    command = shlex.split(line.removeprefix("Then: ").split("    or")[0])
    assert command == ["ds-learn", "check", "relu-backward", "--folder", name]
    code = ast.parse((tmp_path / name / "relu_backward.py").read_text())
    assert shlex.quote(name) in ast.get_docstring(code)


def test_verdicts_for_a_grading_script(ds_learn, tmp_path):
    ds_learn("start", "relu-backward")
    ds_learn("start", "mse-backward")
    exercise = exercise_named("relu-backward")
    (tmp_path / "ds-learn" / "relu_backward.py").write_text(exercise.solution)
    status, shown = ds_learn("check", "--all", "--json")
    assert status == 1
    verdicts = {verdict["exercise"]: verdict for verdict in json.loads(shown)}
    assert verdicts["relu-backward"]["passed"]
    assert verdicts["mse-backward"]["written"] is False
    assert verdicts["mse-backward"]["tries"] == 1
    assert Folder(tmp_path / "ds-learn").progress["relu-backward"]["passed"]


def test_files_handed_in_are_marked_whatever_was_noted_of_them(ds_learn, tmp_path):
    folder = tmp_path / "ds-learn"
    folder.mkdir()
    (folder / "relu_backward.py").write_text(exercise_named("relu-backward").solution)
    (folder / "bug_softmax_backward_0.py").write_text(exercise_named("softmax-backward").solution)
    (folder / "old_name_1.py").write_text("")  # no exercise, or one of a package that is not installed
    noted = {"passed": False, "tries": 1, "hints": 0}
    (folder / "progress.json").write_text(json.dumps({"old-name-1": noted, "mse-backward": noted}))
    status, shown = ds_learn("check", "--all", "--json")
    assert status == 0, shown
    assert {verdict["exercise"] for verdict in json.loads(shown)} == {
        "relu-backward",
        "bug-softmax-backward-0",
    }


def test_what_another_terminal_notes_is_kept(tmp_path):
    watching, other = Folder(tmp_path), Folder(tmp_path)
    watching.note("relu-backward", tries=1)
    other.note("mse-backward", passed=True)
    other.note("relu-backward", hints=1)
    watching.note("relu-backward", tries=1)
    assert watching.progress["mse-backward"]["passed"]
    assert watching.progress["relu-backward"] == {"passed": False, "tries": 2, "hints": 1}


def test_a_verdict_is_shown_where_nothing_can_be_written(ds_learn, tmp_path, monkeypatch):
    ds_learn("start", "relu-backward")
    (tmp_path / "ds-learn" / "relu_backward.py").write_text(exercise_named("relu-backward").solution)

    def refuse(file, _text):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr("ds_core.learn.folder.write_text", refuse)
    status, shown = ds_learn("check")
    assert status == 0
    assert "relu-backward is done" in shown
    assert "this try is not remembered: [Errno 13] Permission denied" in shown


def test_a_file_that_is_no_text_costs_no_other_its_verdict(ds_learn, tmp_path):
    ds_learn("start", "relu-backward")
    ds_learn("start", "mse-backward")
    folder = tmp_path / "ds-learn"
    (folder / "relu_backward.py").write_text(exercise_named("relu-backward").solution)
    (folder / "mse_backward.py").write_bytes(b"# \xe9")
    (folder / "gelu_backward.py").mkdir()
    status, shown = ds_learn("check", "--all", "--json")
    assert status == 1
    verdicts = {verdict["exercise"]: verdict for verdict in json.loads(shown)}
    assert verdicts["relu-backward"]["passed"]
    assert "not UTF-8 text (byte 2)" in verdicts["mse-backward"]["problems"][0][1]
    assert len(verdicts) == 2


@pytest.mark.parametrize("text", [None, "", "def relu_backward(grad, saved:\n", "def other(): pass\n"])
def test_the_solution_is_shown_whatever_has_become_of_a_file_that_passed(ds_learn, tmp_path, text):
    ds_learn("start", "relu-backward")
    file = tmp_path / "ds-learn" / "relu_backward.py"
    file.write_text(exercise_named("relu-backward").solution)
    assert ds_learn("check")[0] == 0
    file.unlink()
    if text is not None:
        file.write_text(text)
    status, shown = ds_learn("solution", "relu-backward")
    assert status == 0, shown
    assert "return torch.where(y <= 0, 0, grad)" in shown


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"relu-backward": 3}', '{"relu-backward": {"passed": true}}', "\xe9"]
)
def test_damaged_progress_is_named_and_left_as_it_is(tmp_path, text):
    file = tmp_path / "progress.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"progress\.json: .* delete the file"):
        Folder(tmp_path).note("relu-backward", tries=1)
    assert file.read_text(encoding="latin-1") == text


def test_a_file_as_another_editor_saves_it(ds_learn, tmp_path):
    ds_learn("start", "relu-backward")
    file, code = tmp_path / "ds-learn" / "relu_backward.py", exercise_named("relu-backward").solution
    file.write_text(code, encoding="utf-8-sig")
    assert ds_learn("check")[0] == 0
    file.write_text("# \xe9\n" + code, encoding="latin-1")
    with pytest.raises(ValueError, match=r"relu_backward\.py: not UTF-8 text \(byte 2\)"):
        Folder(tmp_path / "ds-learn").read(task_named("relu-backward"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "relu-backward", "--all"], "or --all, got both"),
        (["check", "--watch", "--json"], "without --json"),
        (["check", "--seconds", "0"], "at least 1 second"),
        (["hint", "--step", "7"], "expected step 1, 2 or 3, got 7"),
        (["hint", "--step", "0"], "expected step 1, 2 or 3, got 0"),
        (["table", "--match", "zzz"], "no exercise with 'zzz'"),
        (["layer", "ds-learn/relu_backward.py", "3", "--input", "4xa"], "got '4xa'"),
        (["layer", "ds-learn/relu_backward.py", "3", "--input", "0x3"], "each above 0, got '0x3'"),
    ],
)
def test_nothing_that_is_asked_for_is_passed_over(ds_learn, arguments, message):
    ds_learn("start", "relu-backward")
    status, shown = ds_learn(*arguments)
    assert status == 2
    assert message in shown


def test_a_bug_to_find(ds_learn, tmp_path):
    status, shown = ds_learn("bug", "softmax-backward", "--seed", "1")
    assert status == 0
    assert "One thing is wrong in softmax_backward" in shown
    (file,) = (tmp_path / "ds-learn").glob("bug_softmax_backward_*.py")
    assert ds_learn("check")[0] == 1
    file.write_text(file.read_text() + "# what I have tried\n")
    status, shown = ds_learn("bug", "softmax-backward", "--seed", "1")
    assert (status, "is there already" in shown) == (2, True)
    assert "what I have tried" in file.read_text()
    file.write_text(exercise_named("softmax-backward").solution)
    assert ds_learn("check")[0] == 0
    assert "Bugs found" in ds_learn("list")[1]


def test_a_layer_of_ones_own(ds_learn, tmp_path):
    code = inspect.cleandoc("""
        import torch
        from ds_core import Module, Parameter

        class Scale(Module):
            def __init__(self, n):
                self.weight = Parameter(torch.ones(n))
            def forward(self, x):
                self.save(x)
                return self.weight * x
            def backward(self, grad):
                (x,) = self.saved()
                self.add_grad("weight", (grad * x).sum(0))
                return self.weight * grad
    """)
    file = tmp_path / "mine.py"
    file.write_text(code)
    status, shown = ds_learn("layer", "mine.py", "Scale(3)", "--input", "4x3")
    assert status == 0, shown
    file.write_text(code.replace("(grad * x).sum(0)", "(grad * x)"))
    status, shown = ds_learn("layer", "mine.py", "Scale(3)", "--input", "4x3")
    assert status == 1
    assert "it has a row per example; sum over the batch" in shown
    assert "to be a Module, got <class" in ds_learn("layer", "mine.py", "Scale", "--input", "4x3")[1]


def test_an_unknown_exercise_names_those_alike(ds_learn):
    status, shown = ds_learn("start", "linear-backwards")
    assert status == 2
    assert "linear-forward" in shown
    for name in ("softmax_backward", "ds-learn/softmax_backward.py", "Softmax-Backward"):
        assert "did you mean softmax-backward" in ds_learn("check", name)[1]


def test_torch_is_as_it_was():
    before = torch.random.get_rng_state()
    judge(LINEAR, LINEAR.solution)
    assert torch.equal(before, torch.random.get_rng_state())
