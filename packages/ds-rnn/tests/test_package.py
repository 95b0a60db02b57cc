from importlib.metadata import version

import ds_rnn


def test_installed_under_its_name_and_version() -> None:
    assert version("ds-rnn") == ds_rnn.__version__
