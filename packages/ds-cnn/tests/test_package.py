from importlib.metadata import version

import ds_cnn


def test_installed_under_its_name_and_version() -> None:
    assert version("ds-cnn") == ds_cnn.__version__
