"""What a command line shows of mistakes and warnings."""

import io
import sys
import warnings

import pytest
import torch
from ds_core import Dense
from ds_core.checks import check_whole
from ds_core.cli import clear_errors
from ds_core.cli.commands import function_command, show
from ds_core.training import Trainer


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, IndexError, ImportError])
def test_a_mistake_is_one_message_and_status_2(capsys, error):
    with pytest.raises(SystemExit) as stopped, clear_errors():
        raise error("hf:name[train]: expected [0, 1], got 2")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "Error: hf:name[train]: expected [0, 1], got 2\n"


def test_a_training_that_diverges_is_one_message(capsys):
    trainer = Trainer(Dense(1, 1), "mse", "sgd", lr=1e30, progress=False)
    with pytest.raises(SystemExit) as stopped, clear_errors():
        trainer.fit(torch.ones(4, 1), torch.zeros(4, 1), epochs=9)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("Error: step ")


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (MemoryError(), ""),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"),
            " for 2.00 GiB more",
        ),
        (None, f" for {2**52} bytes more"),
    ],
)
def test_what_needs_more_memory_than_there_is_is_one_message(capsys, error, wanted):
    def work() -> None:
        if error is not None:
            raise error
        torch.empty(2**50)

    with pytest.raises(SystemExit) as stopped, clear_errors():
        work()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"Error: there is not enough memory{wanted}; less at a time ")


def test_a_warning_is_a_note_every_time(capsys):
    for _ in range(2):
        with clear_errors():
            warnings.warn("skipped 1 line", stacklevel=1)
    assert capsys.readouterr().err == "Note: skipped 1 line\n" * 2


@pytest.mark.parametrize(
    "written", [b"a\x0cb\n\xe2\x80\xa8c\xc2\x85\n", b"a\x0cb\r\n\xe2\x80\xa8c\xc2\x85\r\n"]
)
def test_only_a_line_feed_ends_a_line_of_the_standard_input(monkeypatch, capsys, written):
    """Whatever else Python's splitlines knows may be a character of a text."""

    def count(loaded: None, texts: list[str]) -> list[str]:
        return [repr(text) for text in texts]

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(written)))
    command = function_command(count, lambda device: None, "count")
    command(["-"], standalone_mode=False)
    assert capsys.readouterr().out == "'a\\x0cb'\n'\\u2028c\\x85'\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(written)))
    command(["x", "-", "y"], standalone_mode=False)
    assert capsys.readouterr().out == "'x'\n'a\\x0cb'\n'\\u2028c\\x85'\n'y'\n"


def test_dicts_are_a_table(capsys):
    """Its columns have names; neither a name nor a text begins another column or line; no pixel is lost."""
    show(
        [
            {"image": "a\tb\r\n.png", "score": 0.123456, "left": 12345.6},
            {"image": "b", "score": 1.0, "left": -0.0},
        ]
    )
    assert capsys.readouterr().out == ("image\tscore\tleft\na\\tb\\r\\n.png\t0.1235\t12345.6\nb\t1\t0\n")
    show([])
    assert not capsys.readouterr().out


def test_a_pipe_that_is_closed_is_no_mistake():
    """As by head, which has read enough: the command line ends without a word."""
    with pytest.raises(BrokenPipeError), clear_errors():
        raise BrokenPipeError


def test_what_is_no_mistake_of_the_user_stays_a_traceback():
    with pytest.raises(RuntimeError), clear_errors():
        raise RuntimeError("a bug")


@pytest.mark.parametrize("name", ["run [/b]", "[red]x", "a:smile:b", "C:\\[x]", "[link=x]y[/link]"])
def test_a_name_is_shown_as_it_is(capsys, name):
    with clear_errors():
        warnings.warn(f"note {name}", stacklevel=1)
    with pytest.raises(SystemExit), clear_errors():
        raise ValueError(f"{name}: no such file")
    assert capsys.readouterr().err == f"Note: note {name}\nError: {name}: no such file\n"


def test_a_number_beyond_its_range_is_said_to_be_too_large():
    with pytest.raises(ValueError, match=r"who: expected seed below 2\^63, got 9223372036854775808"):
        check_whole("who", -(2**63), seed=2**63)
    with pytest.raises(ValueError, match="who: expected seed of at least 0, got -1"):
        check_whole("who", 0, seed=-1)
