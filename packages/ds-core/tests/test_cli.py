"""What a command line shows of mistakes and warnings."""

import warnings

import pytest
from ds_core.cli import clear_errors


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, IndexError, ImportError])
def test_a_mistake_is_one_message_and_status_2(capsys, error):
    with pytest.raises(SystemExit) as stopped, clear_errors():
        raise error("hf:name[train]: expected [0, 1], got 2")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "Error: hf:name[train]: expected [0, 1], got 2\n"


def test_a_warning_is_a_note_every_time(capsys):
    for _ in range(2):
        with clear_errors():
            warnings.warn("skipped 1 line", stacklevel=1)
    assert capsys.readouterr().err == "Note: skipped 1 line\n" * 2


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
