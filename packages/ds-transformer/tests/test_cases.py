"""Everything public in this package before every referee that applies: see the folder ``cases``."""

from pathlib import Path

import pytest
import torch
from ds_core.verify import load_cases
from ds_core.verify.runner import package_of, run, unproven, without_case

FOLDER = Path(__file__).parent / "cases"
CASES = load_cases(FOLDER)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case, dtype):
    assert run(case, dtype, in_all=64).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_with_all_its_differences(case):
    assert run(case).problems == []


def test_nothing_public_is_left_out():
    assert without_case(package_of(FOLDER), CASES) == []


def test_no_formula_and_no_kernel_is_left_out():
    assert unproven(package_of(FOLDER), CASES) == []
