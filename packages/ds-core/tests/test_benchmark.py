"""Side-by-side measurement: ratios point the right way, and memory is counted."""

import pytest
import torch
from ds_core.verify import benchmark
from ds_core.verify.benchmark import Comparison, compare, peak_memory, report


def test_peak_memory_counts_what_lives_at_once():
    mebibyte = 2**20

    def one_after_the_other():
        for _ in range(3):
            torch.empty(mebibyte, dtype=torch.uint8)

    def together():
        return [torch.empty(mebibyte, dtype=torch.uint8) for _ in range(3)]

    assert peak_memory(one_after_the_other) == mebibyte
    assert peak_memory(together) == 3 * mebibyte


def test_ratios_are_ours_over_theirs(capsys, monkeypatch):
    clock = [0.0]  # a clock that only our two callables move

    def wait(seconds):
        clock[0] += seconds

    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: clock[0])
    seen = set()

    def theirs():
        medium = torch.get_float32_matmul_precision() == "medium"
        seen.add(medium)
        wait(0.0005 if medium else 0.001)

    row = compare("wait", lambda: wait(0.004), theirs, seconds=0.05)
    assert row.time_ratio == pytest.approx(4)
    assert row.medium_ms is None
    assert seen == {False}
    row = compare("wait", lambda: wait(0.004), theirs, seconds=0.05, medium=True)
    assert row.time_ratio == pytest.approx(4)
    assert row.medium_ms == pytest.approx(0.5)
    assert torch.get_float32_matmul_precision() == "highest"
    assert row.ours_ms == pytest.approx(4)
    assert Comparison("x", 1.0, 2.0, 3.0, 4.0).time_ratio == 0.5
    assert Comparison("x", 1.0, 2.0, 3.0, 4.0).memory_ratio == 0.75
    report("A table", [row])
    printed = capsys.readouterr().out
    assert "wait" in printed
    assert "to medium" in printed
    assert "8.00" in printed
    assert "OMP_NUM_THREADS" in printed
