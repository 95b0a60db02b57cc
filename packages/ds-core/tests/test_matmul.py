"""Products: both ways beside float64, which of them runs, and the tables that say so."""

import functools
import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from ds_core.kernels import matmul, tune
from ds_core.kernels.matmul import (
    Processor,
    addmm,
    baddbmm,
    bmm,
    linear,
    mm,
    table_in_force,
    tuned_path,
    use_table,
)
from torch.fx.experimental.proxy_tensor import make_fx

TABLES = ["torch", "onednn"]


@pytest.fixture(autouse=True)
def without_tape_and_own_folder(monkeypatch, tmp_path):
    """Kernels run without autograd; no table of this machine reaches the tests, and none of theirs stays."""
    monkeypatch.delenv("DS_PRODUCTS", raising=False)
    monkeypatch.setattr(matmul, "_cache_folder", lambda: tmp_path / "cache")
    before, setting = torch.get_float32_matmul_precision(), getattr(torch.backends.mkldnn, "matmul", None)
    if setting is not None:  # of torch 2.9 on
        found, setting.fp32_precision = setting.fp32_precision, "none"
    with use_table("torch"), torch.no_grad():
        yield
    torch.set_float32_matmul_precision(before)
    if setting is not None:
        setting.fp32_precision = found
    for asked in (matmul._exact, matmul.low):
        asked.cache_clear()


needs_onednn = pytest.mark.skipif(
    not matmul._exact(), reason="torch does not let oneDNN compute in full precision on this processor"
)


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def factors(form, n, k, m, batch=()):
    a = draw(*batch, *((k, n) if form[0] == "t" else (n, k)))
    b = draw(*batch, *((m, k) if form[1] == "t" else (k, m)), seed=1)
    return a.mT if form[0] == "t" else a, b.mT if form[1] == "t" else b


def ran_onednn(function, *args, **options):
    """Counts how often torch might take oneDNN, also where there is none."""
    with pytest.MonkeyPatch.context() as patch:
        entered = []
        patch.setattr(matmul._Permission, "__enter__", lambda _: entered.append(0))
        patch.setattr(matmul._Permission, "__exit__", lambda *_: None)
        function(*args, **options)
    return len(entered)


@pytest.fixture
def wherever(monkeypatch):
    """Which products are sent to oneDNN is tested also where torch computes none by it."""
    monkeypatch.setattr(matmul, "_exact", functools.cache(lambda: True))


# ---- right numbers -----------------------------------------------------------------------------------

SIZES = [(1, 1, 1), (1, 7, 5), (6, 1, 5), (6, 7, 1), (33, 65, 17)]


@needs_onednn
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("size", [*SIZES, (128, 784, 10), (64, 300, 48)])
def test_onednn_is_as_exact_as_torch(form, size):
    a, b = factors(form, *size)
    right = a.double() @ b.double()
    with use_table("onednn"):
        assert ran_onednn(mm, a, b) == 1
        result = mm(a, b)
    assert result.shape == right.shape
    assert result.dtype == torch.float32

    def error(y):
        return ((y - right).abs() / (a.double().abs() @ b.double().abs())).max()

    # Each rounds in its own order; a product in bfloat16 or TensorFloat-32 is off by 1e-4 and more.
    assert error(result) <= 3 * error(torch.mm(a, b)) + torch.finfo(torch.float32).eps


@needs_onednn
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("size", [(3, 33, 65, 17), (16, 128, 96, 64)])
def test_batches_by_onednn_are_as_exact_as_torchs(form, size):
    count, *sizes = size
    a, b = factors(form, *sizes, (count,))
    right = a.double() @ b.double()
    with use_table("onednn"):
        assert ran_onednn(bmm, a, b) == 1
        result = bmm(a, b)
        added = baddbmm(result, a, b, beta=-1)

    def error(y):
        return ((y - right).abs() / (a.double().abs() @ b.double().abs())).max()

    assert error(result) <= 3 * error(torch.bmm(a, b)) + torch.finfo(torch.float32).eps
    assert error(added + right) <= 3 * error(torch.bmm(a, b)) + 2 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("size", [*SIZES, (0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_plain_and_added(table, form, size):
    n, _, m = size
    a, b = factors(form, *size)
    bias, c = draw(m, seed=2), draw(n, m, seed=3)
    nothing = torch.full_like(c, torch.nan)
    with use_table(table):
        near(mm(a, b), torch.mm(a, b))
        near(linear(a, b.t().contiguous(), bias), torch.addmm(bias, a, b))
        near(linear(a, b.t()), torch.mm(a, b))
        near(addmm(bias, a, b), torch.addmm(bias, a, b))
        near(addmm(bias, a, b, alpha=0.5, beta=-2), torch.addmm(bias, a, b, alpha=0.5, beta=-2))
        near(addmm(c, a, b, alpha=0.5), torch.addmm(c, a, b, alpha=0.5))
        near(addmm(c[:, :1], a, b), torch.addmm(c[:, :1], a, b))
        near(addmm(nothing, a, b, alpha=0.5, beta=0), 0.5 * torch.mm(a, b))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("size", [(3, 5, 4, 6), (1, 1, 1, 1), (2, 1, 9, 1), (0, 2, 3, 4), (2, 3, 0, 4)])
def test_batches(table, form, size):
    count, n, k, m = size
    a, b = factors(form, n, k, m, (count,))
    c = draw(count, n, m, seed=3)
    with use_table(table):
        near(bmm(a, b), torch.bmm(a, b))
        near(baddbmm(c, a, b, alpha=0.5, beta=-1), torch.baddbmm(c, a, b, alpha=0.5, beta=-1))
        near(baddbmm(c[:, :1], a, b), torch.baddbmm(c[:, :1], a, b))
        near(baddbmm(torch.full_like(c, torch.nan), a, b, beta=0, alpha=2.0), 2 * torch.bmm(a, b))
        near(bmm(a, b.new_zeros(1, k, m).expand(count, k, m)), torch.zeros(count, n, m))


@pytest.mark.parametrize("table", TABLES)
def test_out_is_filled_and_returned_and_may_be_what_is_added(table):
    a, b = factors("nt", 6, 7, 5)
    batch_a, batch_b = factors("nt", 6, 7, 5, (3,))
    with use_table(table):
        for function, args, right in [
            (mm, (a, b), a @ b),
            (linear, (a, b.t()), a @ b),
            (linear, (a, b.t(), b[0].contiguous()), a @ b + b[0]),
            (bmm, (batch_a, batch_b), batch_a @ batch_b),
        ]:
            for out in (torch.empty_like(right), right.new_empty(*right.shape, 2)[..., 0]):
                assert function(*args, out=out) is out
                near(out, right)
        c, batch_c = draw(6, 5, seed=4), draw(3, 6, 5, seed=4)
        for function, start, left, right in [(addmm, c, a, b), (baddbmm, batch_c, batch_a, batch_b)]:
            expected = 2 * start + left @ right
            assert function(start, left, right, beta=2, out=start) is start
            near(start, expected)


@needs_onednn
@pytest.mark.parametrize("table", TABLES)
def test_views_of_larger_matrices(table):
    wide_a, wide_b = draw(20, 40), draw(30, 50, seed=1)
    views = [
        wide_a[:9, 3:14],
        wide_a[2:11, 5:16],
        wide_a[:11, :9].t(),
        wide_a[::2, :22:2][:9],
        wide_a[:1, :11].expand(9, 11),
    ]
    others = [
        wide_b[:11, 7:19],
        wide_b[4:16, 9:20].t(),
        wide_b[::2, ::4][:11, :12],
        wide_b[:11, :1].expand(11, 12),
    ]
    with use_table(table):
        for a, b in product(views, others):
            near(mm(a, b), (a.double() @ b.double()).float())


@needs_onednn
def test_same_inputs_same_bits():
    for form in ("nn", "nt", "tn"):
        a, b = factors(form, 65, 130, 96)
        with use_table("onednn"):
            first = mm(a, b)
            assert all(torch.equal(mm(a, b), first) for _ in range(5))
            assert torch.equal(mm(a.clone(), b.clone()), first)  # clones keep the layout


@needs_onednn
@pytest.mark.parametrize("chosen", [None, "highest", "high", "medium"])
def test_torch_settings_stay_as_they_are(chosen):
    if chosen is not None:
        torch.set_float32_matmul_precision(chosen)
    said = torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision
    with use_table("onednn"):
        mm(draw(8, 8), draw(8, 8))
        with pytest.raises(RuntimeError):
            mm(draw(8, 8), draw(9, 9))
    assert (torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision) == said


@needs_onednn
def test_threads_leave_the_settings_as_they_are():
    a, b = factors("nn", 64, 64, 64)
    with use_table("onednn"), ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: mm(a, b), range(400)))
    assert all(torch.equal(result, results[0]) for result in results)
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"
    assert not matmul.ONEDNN.inside


@needs_onednn
def test_a_setting_that_is_inherited_stays_so():
    a, b = factors("nn", 64, 64, 64)
    with use_table("onednn"), torch.backends.flags(fp32_precision="tf32"):
        mm(a, b)
        assert torch.backends.mkldnn.matmul.fp32_precision == "tf32"
        with torch.backends.flags(fp32_precision="ieee"):
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


@needs_onednn
def test_what_another_thread_sets_meanwhile_stays():
    with matmul.ONEDNN:
        torch.set_float32_matmul_precision("high")
    assert torch.backends.mkldnn.matmul.fp32_precision == "tf32"
    with matmul.ONEDNN, ThreadPoolExecutor(1) as pool:
        assert pool.submit(mm, *factors("nn", 64, 64, 64)).result().shape == (64, 64)
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"  # this thread is still there
    assert torch.backends.mkldnn.matmul.fp32_precision == "tf32"


@needs_onednn
@pytest.mark.parametrize("value", ["bf16", "none"])
@pytest.mark.parametrize("written", [False, True])
def test_ctrl_c_on_the_way_in_or_out_leaves_nothing(value, written):
    real = torch.backends.mkldnn.matmul
    interrupts = [KeyboardInterrupt()]

    class Setting:
        @property
        def fp32_precision(self):
            return real.fp32_precision

        @fp32_precision.setter
        def fp32_precision(self, new):
            now = interrupts.pop() if new == value and interrupts else None
            if written or now is None:
                real.fp32_precision = new
            if now is not None:
                raise now

    permission = matmul._Permission()
    permission.setting = Setting()
    with pytest.raises(KeyboardInterrupt), permission:
        assert value == "none"  # else it does not come in
    assert real.fp32_precision == "none"
    assert not permission.inside
    assert not permission.lock.locked()


@needs_onednn
@pytest.mark.parametrize("beta", [0, 0.5])
def test_nothing_times_a_product_is_nothing(beta):
    a, b = factors("nn", 100, 128, 100, (12,))
    c = draw(12, 100, 100, seed=3)
    with use_table("onednn"):
        for left, right, start, product in [(a, b, c, baddbmm), (a[0], b[0], c[0], addmm)]:
            out = torch.full_like(start, torch.nan)
            product(start, left, right, alpha=0, beta=beta, out=out)
            torch.testing.assert_close(out, beta * start)


@needs_onednn
def test_rows_into_turned_memory():
    for n, k, m in [(1, 200, 100), (100, 200, 1), (2, 200, 100)]:
        a, b = factors("nn", n, k, m, (12,))
        out = torch.full((12, m, n), torch.nan).mT
        with use_table("onednn"):
            for result in (bmm(a, b, out=out), bmm(a, b)):
                near(result, (a.double() @ b.double()).float())


@needs_onednn
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_forked_in_the_middle_of_a_product_has_no_permission():
    reading, writing = os.pipe()
    with matmul.ONEDNN, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that threads and fork do not go together
        child = os.fork()
        if not child:
            said = torch.backends.mkldnn.matmul.fp32_precision
            os.write(writing, f"{said} {matmul.ONEDNN.inside} {matmul.ONEDNN.lock.locked()}".encode())
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"none set() False"
    os.close(reading)
    os.close(writing)


def near(result, right):
    assert result.shape == right.shape
    torch.testing.assert_close(result, right, rtol=1e-5, atol=2e-5)


# ---- which of the two runs ---------------------------------------------------------------------------


@pytest.mark.usefixtures("wherever")
@pytest.mark.parametrize("form", ["nn", "nt", "tn"])
def test_a_rule_decides_by_form_and_size(form):
    rules = {"name": "mine", "onednn": {form: {"flops": 2 * 16 * 20 * 24, "side": 16}}}
    with use_table(rules):
        assert ran_onednn(mm, *factors(form, 16, 20, 24)) == 1
        assert ran_onednn(mm, *factors(form, 16, 19, 24)) == 0
        assert ran_onednn(mm, *factors(form, 15, 200, 24)) == 0
        assert ran_onednn(mm, *factors({"nn": "nt", "nt": "nn", "tn": "nt"}[form], 16, 20, 24)) == 0
        assert ran_onednn(bmm, *factors(form, 16, 20, 24, (2,))) == 0
    with use_table({"name": "mine", "onednn": {"batched": {"flops": 3 * 2 * 16 * 20 * 24, "side": 16}}}):
        assert ran_onednn(bmm, *factors(form, 16, 20, 24, (3,))) == 1
        assert ran_onednn(bmm, *factors(form, 16, 20, 24, (2,))) == 0
        assert ran_onednn(bmm, *factors(form, 16, 19, 24, (3,))) == 0
        assert ran_onednn(bmm, *factors(form, 15, 200, 24, (3,))) == 0
        assert ran_onednn(mm, *factors(form, 16, 200, 24)) == 0


@pytest.mark.usefixtures("wherever")
def test_factors_whose_numbers_do_not_lie_side_by_side_are_torchs():
    wide = draw(40, 80)
    with use_table("onednn"):
        for part in (wide[:, :24], wide[:24].mT, wide.expand(3, -1, -1)[..., :24]):
            product = bmm if part.dim() == 3 else mm
            assert ran_onednn(product, part.mT, part) == 1
        assert ran_onednn(mm, wide[:, ::2], wide) == 0
        assert ran_onednn(mm, wide.mT, wide.mT[::2].mT) == 0
        overlapping = torch.as_strided(wide, (20, 40), (8, 1))
        assert ran_onednn(mm, overlapping, wide) == 0
        near(mm(overlapping, wide), overlapping.clone() @ wide)


@pytest.mark.usefixtures("wherever")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_other_types_are_torchs(dtype):
    a, b = (factor.to(dtype) for factor in factors("nt", 8, 8, 8))
    with use_table("onednn"):
        assert ran_onednn(mm, a, b) == 0
        assert torch.equal(mm(a, b), torch.mm(a, b))
        assert mm(a.to("meta"), b.to("meta")).shape == (8, 8)


@needs_onednn
def test_the_tape_goes_through_them():
    a, b = (factor.clone().requires_grad_() for factor in factors("nn", 8, 8, 8))
    with use_table("onednn"), torch.enable_grad():
        mm(a, b).sum().backward()
        linear(a, b).sum().backward()
    assert torch.allclose(a.grad, (b.sum(1) + b.sum(0)).expand(8, 8), atol=1e-5)


@pytest.mark.parametrize("table", TABLES)
def test_wrong_shapes_are_errors(table):
    with use_table(table):
        for wrong in (
            lambda: mm(draw(4, 5), draw(6, 7)),
            lambda: linear(draw(4, 5), draw(6, 5), draw(7)),
            lambda: addmm(draw(2, 4, 6), draw(4, 5), draw(5, 6)),
            lambda: bmm(draw(2, 4, 5), draw(3, 5, 6)),
            lambda: baddbmm(draw(3, 4, 6), draw(2, 4, 5), draw(2, 5, 6)),
        ):
            with pytest.raises(RuntimeError):
                wrong()


@pytest.mark.usefixtures("wherever")
def test_inside_the_compiler_products_are_torchs():
    step = torch.compile(lambda a, b: mm(a, b) + 1, backend="eager", fullgraph=True)
    a, b = factors("nt", 8, 8, 8)
    with use_table("onednn"):
        assert torch.equal(step(a, b), torch.mm(a, b) + 1)


# ---- tables ------------------------------------------------------------------------------------------


def test_the_table_in_force_goes_through_json_and_back():
    rates = {"product": 70.0, "copy": 1.5, "narrow": 4.0, "block": 100.0}
    mine = {"name": "tuned:01234567", "onednn": {"nt": {"flops": 100.0, "side": 4}}, "rates": rates}
    with use_table("torch"):
        if matmul._exact():
            with use_table(json.loads(json.dumps(mine))):
                assert table_in_force() == mine
        of_an_unknown_machine = {"product": 50.0, "copy": 2.0, "narrow": 16.0, "block": 196_608.0}
        assert table_in_force() == {"name": "torch", "onednn": {}, "rates": of_an_unknown_machine}
    use_table({"name": "other", "onednn": {}})  # at once, and for good
    assert table_in_force()["name"] == "other"


def test_what_is_no_table_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"no table 'tuned:0' here; there are 'torch', 'onednn', 'AMD family"
    ):
        use_table("tuned:0")
    for wrong in (
        {"name": "x"},
        {"onednn": {}},
        {"name": "x", "onednn": {"sideways": {"flops": 1, "side": 1}}},
        {"name": "x", "onednn": {"nt": {"flops": 0, "side": 1}}},
        {"name": "x", "onednn": {"nt": {"flops": 1}}},
        {"name": "x", "onednn": {"nt": {"flops": "many", "side": 1}}},
        {"name": "x", "onednn": []},
        {"name": "x", "onednn": {}, "rates": {"product": 0}},
        {"name": "x", "onednn": {}, "rates": {"speed": 1}},
        {"name": "x", "onednn": {}, "rates": {"narrow": -1}},
        {"name": "x", "onednn": {}, "rates": {"narrow": "few"}},
        {"name": "x", "onednn": {}, "rates": {"block": 0}},
    ):
        with pytest.raises(ValueError, match="not a table of products"):
            use_table(wrong)
    assert table_in_force()["name"] == "torch"


@pytest.mark.parametrize(
    ("processor", "name"),
    [
        (Processor("AuthenticAMD", 26, 2, "AVX512"), "AMD family 26 with AVX-512 (shipped)"),
        (Processor("AuthenticAMD", 26, 2, "AVX2"), "torch"),
        (Processor("AuthenticAMD", 25, 1, "AVX2"), "AMD family 25 with AVX2 (shipped)"),
        (Processor("AuthenticAMD", 25, 17, "AVX512"), "AMD family 25 with AVX-512 (shipped)"),
        (Processor("AuthenticAMD", 23, 49, "AVX2"), "torch"),
        (Processor("GenuineIntel", 6, 143, "AVX512"), "Intel with AVX-512 (shipped)"),
        (Processor("GenuineIntel", 6, 143, "AVX2"), "torch"),
        (Processor("arm64", 0, 0, "DEFAULT"), "torch"),
    ],
)
@needs_onednn
def test_the_processor_chooses(monkeypatch, processor, name):
    monkeypatch.setattr(matmul, "processor", lambda: processor)
    use_table(None)
    assert table_in_force()["name"] == name


@pytest.mark.parametrize("table", [table for table, _ in matmul._shipped()], ids=lambda table: table.name)
def test_shipped_tables_can_be_had_by_name(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        use_table(table.name)
    assert table_in_force()["name"] in (table.name, "torch")


def test_this_machine_is_described():
    here = matmul.processor()
    assert here.capability == torch.backends.cpu.get_cpu_capability()
    assert str(torch.get_num_threads()) + "-threads" in tuned_path().name
    assert set(tuned_path().name) <= set("-._+") | set(map(chr, range(48, 123)))


def test_the_environment_fixes_the_table(monkeypatch, tmp_path):
    monkeypatch.setattr(matmul, "processor", lambda: Processor("AuthenticAMD", 26, 2, "AVX512"))
    monkeypatch.setenv("DS_PRODUCTS", "torch")
    use_table(None)
    assert table_in_force()["name"] == "torch"
    file = tmp_path / "mine.json"
    file.write_text('{"name": "tuned:12345678", "onednn": {}}')
    monkeypatch.setenv("DS_PRODUCTS", str(file))
    use_table(None)
    assert table_in_force()["name"] == "tuned:12345678"
    monkeypatch.setenv("DS_PRODUCTS", "mkl")
    with pytest.raises(
        ValueError, match="DS_PRODUCTS: expected 'torch', 'onednn' or a table's path, got mkl"
    ):
        use_table(None)
    file.write_text("{")
    monkeypatch.setenv("DS_PRODUCTS", str(file))
    with pytest.raises(ValueError, match=r"mine\.json: not a table of products"):
        use_table(None)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"name": "tuned:1"}', '{"name": "t", "onednn": {}, "rates": 3}']
)
def test_a_damaged_tuned_table_is_passed_over(text):
    tuned_path().parent.mkdir(parents=True)
    tuned_path().write_text(text)
    with pytest.warns(UserWarning, match=r"products-.*not a table of products.*passed over: delete it"):
        use_table(None)
    assert table_in_force()["name"]


def test_the_environment_is_read_with_the_first_product():
    code = (
        "import torch; from ds_core.kernels.matmul import mm, table_in_force\n"
        "with torch.no_grad(): mm(torch.ones(2, 2), torch.ones(2, 2))\n"
        "print(table_in_force()['name'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DS_PRODUCTS": "torch"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "torch"


# ---- where oneDNN cannot be used ---------------------------------------------------------------------


class Missing:
    def __getattr__(self, name):
        raise AttributeError(name)


def older(monkeypatch):
    monkeypatch.setattr(torch.ops, "mkldnn", Missing())


def without_the_instructions(monkeypatch):
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_bf16_supported=lambda: False))


def less_precise(monkeypatch):
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_bf16_supported=lambda: True))
    exact = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b, out=None: exact(a.bfloat16(), b.bfloat16()).float())


@pytest.mark.parametrize("where", [older, without_the_instructions, less_precise])
def test_elsewhere_products_are_torchs(monkeypatch, where):
    a, b = factors("nt", 256, 256, 256)
    right = torch.mm(a, b)
    for asked in (matmul._exact, matmul.low):
        asked.cache_clear()
    monkeypatch.setattr(matmul, "processor", lambda: Processor("AuthenticAMD", 26, 2, "AVX512"))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        where(patch)
        warnings.simplefilter("error")
        use_table(None)  # nobody asked for oneDNN: nothing to say
    assert table_in_force()["name"] == "torch"
    assert torch.equal(mm(a, b), right)
    with pytest.warns(
        UserWarning, match=r"'tuned:1' sends some to oneDNN, which this torch \(.*MKL computes"
    ):
        use_table({"name": "tuned:1", "onednn": {"nt": {"flops": 1, "side": 1}}})
    assert torch.equal(mm(a, b), right)


# ---- tuning ------------------------------------------------------------------------------------------


def measured(*rows):
    return [tune.Measured("nt", size, 100.0, 100.0 * ratio) for size, ratio in rows]


def test_the_rule_leaves_small_and_narrow_products_to_torch():
    rows = measured(((8, 8, 8), 4.0), ((1000, 1000, 4), 1.5), ((64, 64, 64), 0.9), ((512, 512, 512), 0.5))
    assert tune.rule_from(rows) == (2 * 64**3, 64)


def test_one_lucky_product_makes_no_rule():
    slow = [((size, size, size), 1.2) for size in (16, 32, 128, 256)]
    assert tune.rule_from(measured(*slow)) is None
    assert tune.rule_from(measured(((512, 512, 512), 0.97), *slow)) is None
    assert tune.rule_from(measured(((512, 512, 512), 0.5), *slow)) == (2 * 512**3, 512)


@needs_onednn
def test_tune_writes_the_table_that_is_used_from_then_on(monkeypatch, capsys):
    monkeypatch.setattr(tune, "SIZES", [(8, 8, 8), (24, 16, 16)])
    monkeypatch.setattr(tune, "BATCHES", [(2, 8, 8, 8)])
    monkeypatch.setattr(tune, "LARGE", 2 * 24 * 16 * 16)
    monkeypatch.setattr(tune, "share_of_processor", lambda: 0.95)
    times = {(8, 8, 8): 2.0, (24, 16, 16): 0.5, (2, 8, 8, 8): 3.0}
    real = tune.measure

    def measure(form, size, seconds):
        assert real(form, size, 0).torch_us > 0
        return tune.Measured(form, size, 1.0, times[size])

    monkeypatch.setattr(tune, "measure", measure)
    with use_table("torch"):
        assert tune.main(["--threads", str(torch.get_num_threads())]) == 0
    rule = {"flops": 2 * 24 * 16 * 16, "side": 16}
    use_table(None)
    here = table_in_force()
    assert here["onednn"] == dict.fromkeys(("nt", "nn", "tn"), rule)
    assert here["rates"]["product"] == 2 * 24 * 16 * 16 / 0.5 / 1e3
    assert here["rates"]["copy"] > 0
    assert 0 <= here["rates"]["narrow"] <= 64
    assert here["rates"]["block"] in (196_608, 393_216, 786_432)
    assert here["name"].startswith("tuned:")
    assert list(tuned_path().parent.iterdir()) == [tuned_path()]
    shown = capsys.readouterr().out
    assert here["name"] in shown
    assert "24 × 16 × 16" in shown
    assert "oneDNN" in shown
    use_table("torch")
    use_table(here["name"])  # while it is this machine's
    assert table_in_force() == here


def test_tune_looks_at_the_place_before_it_measures(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tune, "share_of_processor", lambda: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "table.json", tmp_path):
        with pytest.raises(SystemExit):
            tune.main(["--output", str(place)])
        assert "--output: [Errno" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@needs_onednn
def test_tune_shows_what_it_cannot_keep(monkeypatch, capsys):
    monkeypatch.setattr(tune, "SIZES", [(8, 8, 8)])
    monkeypatch.setattr(tune, "BATCHES", [(2, 8, 8, 8)])

    def full(*_):
        raise OSError(28, "cannot write it: no space")

    monkeypatch.setattr(tune, "write", full)
    assert tune.main(["--seconds", "0", "--anyway"]) == 1
    shown = capsys.readouterr()
    assert "8 × 8 × 8" in shown.out
    assert "Not kept: " in shown.err
    assert "no space" in shown.err


@needs_onednn
def test_tune_keeps_nothing_of_a_busy_machine(monkeypatch, capsys):
    monkeypatch.setattr(tune, "SIZES", [(8, 8, 8)])
    monkeypatch.setattr(tune, "BATCHES", [(2, 8, 8, 8)])
    assert 0 < tune.share_of_processor(0.02) < 1.5
    shares = iter([1.0, 0.3, 1.0, 0.3])
    monkeypatch.setattr(tune, "share_of_processor", lambda: next(shares))
    assert tune.main(["--seconds", "0"]) == 1
    assert "Nothing kept: others use the processor, a large product got 30% of" in capsys.readouterr().err
    assert not tuned_path().exists()
    assert tune.main(["--seconds", "0", "--anyway"]) == 0
    assert tuned_path().exists()


def test_tune_can_write_elsewhere_and_refuses_nonsense(tmp_path, capsys):
    with pytest.raises(SystemExit):
        tune.main(["--threads", "0"])
    assert "expected at least 1, got 0" in capsys.readouterr().err
    table = tune.write(tmp_path / "new" / "mine.json", {}, tune.Rates(), [])
    assert matmul._load(tmp_path / "new" / "mine.json") == table
    assert not tuned_path().exists()


# ---- what is remembered ------------------------------------------------------------------------------


@needs_onednn
def test_a_product_is_decided_on_once_for_its_sizes_and_layout(monkeypatch):
    rules = {"nn": {"flops": 1e5, "side": 4}}
    a, b = torch.randn(64, 48), torch.randn(48, 56)
    with use_table({"name": "mine", "onednn": rules}):
        assert ran_onednn(mm, a, b) == 1
        assert ran_onednn(mm, a, b.t().contiguous().t()) == 0  # of the same sizes, by column
        assert ran_onednn(mm, a[:, :40], b[:40]) == 1
        table = matmul._table
        assert len(table.known) == 3
        with monkeypatch.context() as patch:
            patch.setattr(matmul, "_form", lambda *_: pytest.fail("decided on again"))
            assert ran_onednn(mm, a, b) == 1
        monkeypatch.setattr(matmul, "KNOWN", 3)
        assert ran_onednn(mm, a[:60], b) == 1
        assert len(table.known) == 1  # what is remembered is bounded


@needs_onednn
def test_nothing_is_remembered_of_a_trace():
    a, b = torch.randn(64, 48), torch.randn(48, 56)
    with use_table("onednn"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = len(matmul._table.known)
        for _ in range(3):
            torch.jit.trace(lambda a, b: mm(a, b), (a, b))
        assert len(matmul._table.known) <= known + 1
        graph = make_fx(lambda a, b: mm(a, b), tracing_mode="symbolic")(a, b)
        torch.testing.assert_close(graph(a[:7], b), a[:7] @ b)
