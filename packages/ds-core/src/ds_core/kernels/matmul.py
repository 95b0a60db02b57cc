"""Matrix products: the one place through which every product of a kernel goes.

torch multiplies float32 matrices with MKL. The oneDNN in the same torch has another product, of the same
accuracy, which on some processors is twice as fast; torch takes it where it may (:class:`_Permission`). Which
of the two runs is not found out while a model trains: a fixed table says from which size on a product goes to
oneDNN, for each form it comes in.

    nt        A B^T, both row by row in memory: a layer's forward
    nn        A B: its input gradient
    tn        A^T B: its weight gradient
    batched   many products of one size

The tables of known processors lie beside this file in ``products.json``; ``hatch run tune`` measures another
for the machine at hand. The first of these decides, when the first product is computed:

1. the environment variable ``DS_PRODUCTS``: ``torch``, ``onednn`` or the path of a tuned table;
2. a tuned table for this processor, torch and number of threads;
3. the table for this kind of processor;
4. otherwise ``torch``: no product goes to oneDNN.

In low precision (:mod:`ds_core.precision`) the factors of a float32 product are rounded first, see
:mod:`ds_core.kernels.low`; then no table is asked.

Sums come in another order, so two tables differ in the last bits. A training that is to go on with the same
bits takes :func:`table_in_force` along and hands it to :func:`use_table`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import sys
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from threading import Lock, get_ident
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ds_core.kernels import switch
from ds_core.kernels.low import Low, low_product

__all__ = ["addmm", "baddbmm", "bmm", "linear", "low", "mm", "rates", "table_in_force", "use_table"]

FORMS = ("nt", "nn", "tn", "batched")
KNOWN = 4096  # products that a table keeps its decision of


# ---- products ------------------------------------------------------------------------------------------


def mm(a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns a b, ``(n, k)`` and ``(k, m)`` -> ``(n, m)``."""
    if switch.products is not None and a.dtype == torch.float32:
        return _widened(low_product(switch.products, torch.mm, a, b), None, 1, 1, out)
    with _way(a, b):
        return torch.mm(a, b, out=out)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
    """Returns x W^T + b, ``(n, k)``, ``(m, k)`` and ``(m,)`` -> ``(n, m)``."""
    if bias is None:
        return mm(x, weight.mT, out=out)
    return addmm(bias, x, weight.mT, out=out)


def addmm(
    c: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    alpha: float = 1,
    beta: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """Returns beta c + alpha a b, ``(n, k)`` and ``(k, m)`` -> ``(n, m)``; c is repeated to that shape.

    With ``beta`` 0 nothing is read from c. ``out`` may be c.
    """
    if switch.products is not None and a.dtype == torch.float32:
        return _widened(low_product(switch.products, torch.mm, a, b), c, alpha, beta, out)
    with _way(a, b, alpha):
        return torch.addmm(c, a, b, beta=beta, alpha=alpha, out=out)


def bmm(a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns a b for each of N pairs, ``(N, n, k)`` and ``(N, k, m)`` -> ``(N, n, m)``."""
    if switch.products is not None and a.dtype == torch.float32:
        return _widened(low_product(switch.products, torch.bmm, a, b), None, 1, 1, out)
    if _one(a, b):
        one = mm(a[0], b[0], out=None if out is None else out[0])
        return one.unsqueeze(0) if out is None else out
    with _way(a, b):
        return torch.bmm(a, b, out=out)


def baddbmm(
    c: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    alpha: float = 1,
    beta: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """Returns beta c + alpha a b for each of N pairs, ``(N, n, k)`` and ``(N, k, m)`` -> ``(N, n, m)``.

    c is repeated to that shape. With ``beta`` 0 nothing is read from c. ``out`` may be c.
    """
    if switch.products is not None and a.dtype == torch.float32:
        return _widened(low_product(switch.products, torch.bmm, a, b), c, alpha, beta, out)
    if _one(a, b):
        added = c[0] if c.dim() == 3 else c
        one = addmm(added, a[0], b[0], alpha=alpha, beta=beta, out=None if out is None else out[0])
        return one.unsqueeze(0) if out is None else out
    with _way(a, b, alpha):
        return torch.baddbmm(c, a, b, beta=beta, alpha=alpha, out=out)


@cache
def low(dtype: torch.dtype) -> Low:
    """Says what this machine has of products in low precision.

    Where its processor has none of a type, torch's way around that takes thirty times as long.

    Args:
        dtype: bfloat16 or float16.
    """
    name = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}[dtype]
    try:
        return Low(dtype, bool(getattr(torch.ops.mkldnn, name)()))
    except (AttributeError, RuntimeError):
        return Low(dtype, False)


def _widened(product: Tensor, c: Tensor | None, alpha: float, beta: float, out: Tensor | None) -> Tensor:
    """Returns beta c + alpha product as float32, from a product in low precision."""
    if c is None or beta == 0:
        wide = product.float() if out is None else out.copy_(product)
        return wide if alpha == 1 else wide.mul_(alpha)
    return torch.add((c if beta == 1 else c * beta).expand(product.shape), product, alpha=alpha, out=out)


# ---- which of the two ----------------------------------------------------------------------------------


class Rule(NamedTuple):
    """The size from which a product goes to oneDNN."""

    flops: float  # 2 n k m, of all products of a batch together
    side: int  # the least of n, k and m


class Rates(NamedTuple):
    """How fast a machine is, by which a kernel chooses between ways to do the same.

    Of an unknown machine they are those measured on an AMD EPYC of family 25.
    """

    product: float = 50.0  # operations of a product in a nanosecond
    copy: float = 2.0  # float32 numbers moved in a nanosecond
    narrow: float = 16.0  # columns of a product that runs at half of that rate, for it has so few
    block: float = 196_608.0  # numbers that are worked on several times at once: three quarters of a mebibyte


@dataclass(frozen=True)
class Table:
    """A rule for each form whose large products go to oneDNN, and the machine's rates."""

    name: str
    rules: Mapping[str, Rule] = field(default_factory=dict)
    rates: Rates = field(default_factory=Rates)

    @cached_property
    def least(self) -> float:
        """Returns the size below which no product goes to oneDNN, of whatever form; most are."""
        return min((rule.flops for rule in self.rules.values()), default=math.inf)

    @cached_property
    def known(self) -> dict[tuple[tuple[int, ...], ...], bool]:
        """Keeps the products that it has decided on; a model has few, again and again."""
        return {}

    def sends(self, a: Tensor, b: Tensor, flops: int) -> bool:
        """Says whether a product of matrices or batches goes to oneDNN, by its form and sizes."""
        if type(flops) is not int:  # sizes are symbols, where somebody traces what is computed
            return self._sends(a, b, flops)
        key = a.shape, a.stride(), b.shape, b.stride()
        sent = self.known.get(key)
        if sent is None:
            if len(self.known) >= KNOWN:
                self.known.clear()
            sent = self.known[key] = self._sends(a, b, flops)
        return sent

    def _sends(self, a: Tensor, b: Tensor, flops: int) -> bool:
        rule, side = self.rules.get(_form(a, b)), min(*a.shape[-2:], b.shape[-1])
        least = 1 if a.dim() == 2 else 2  # rows of one product of a batch go wrong where they lie turned
        return rule is not None and side >= max(least, rule.side) and flops >= rule.flops

    def content(self) -> dict[str, Any]:
        """Returns what it says as JSON knows it."""
        rules = {form: rule._asdict() for form, rule in self.rules.items()}
        return {"name": self.name, "onednn": rules, "rates": self.rates._asdict()}


def _way(a: Tensor, b: Tensor, alpha: float = 1) -> AbstractContextManager[object]:
    """Returns what alpha a b is to be computed in: oneDNN's permission if the table in force sends it there.

    Not with an alpha of 0: the result of a batch would not be written.
    """
    table = _table or _choose()
    if not table.rules or not 2 <= a.dim() == b.dim():
        return MKL
    flops = 2 * a.numel() * b.shape[-1]
    if flops < table.least or torch.compiler.is_compiling() or alpha == 0 or not table.sends(a, b, flops):
        return MKL
    plain = a.dtype == b.dtype == torch.float32 and a.is_cpu and b.is_cpu
    return ONEDNN if plain else MKL


def _one(a: Tensor, b: Tensor) -> bool:
    """Says whether a batch is one product: of many, oneDNN lays out the factors that are parts of others."""
    return a.dim() == b.dim() == 3 and len(a) == len(b) == 1


def _form(a: Tensor, b: Tensor) -> str:
    """Names the form of a product; empty if the numbers of a factor lie neither by row nor by column."""
    (n, k), m = a.shape[-2:], b.shape[-1]
    (down_a, right_a), (down_b, right_b) = a.stride()[-2:], b.stride()[-2:]
    rows_a, rows_b = right_a == 1 and down_a >= k, right_b == 1 and down_b >= m
    if not (rows_a or (down_a == 1 and right_a >= n)) or not (rows_b or (down_b == 1 and right_b >= k)):
        return ""
    if len(a.shape) == 3:
        return "batched"
    return ("nn" if rows_b else "nt") if rows_a else "tn"


# ---- oneDNN --------------------------------------------------------------------------------------------


class _Permission:
    """A block of code in which torch's products of float32 go to oneDNN.

    They do where torch is allowed to compute them with less precision. oneDNN makes use of that only where a
    processor has matrix units for bfloat16; elsewhere it computes them in full, as :func:`_exact` has tried.
    It is a setting of the process. While one thread is in the block, products of others may go there, too,
    and ``torch.get_float32_matmul_precision()`` in another is an error: torch finds old and new settings
    mixed. What another thread sets meanwhile stays. Ctrl-C at the wrong instant may leave the setting as
    it is in the block, until the next product.
    """

    def __init__(self) -> None:
        self.lock, self.inside = Lock(), set[int]()  # the threads in the block
        self.before = ""  # what to put back; empty for nothing

    @cached_property
    def setting(self) -> Any:
        """Which precision torch may use for products on the CPU."""
        return torch.backends.mkldnn.matmul  # type: ignore[attr-defined]

    def __enter__(self) -> None:
        try:
            with self.lock:
                self.inside.add(get_ident())
                found = self.setting.fp32_precision
                if found != ALLOWED:
                    # What is only inherited is to follow what it is inherited from.
                    inherited = found != "none" and found == torch.backends.mkldnn.fp32_precision
                    self.before = "none" if inherited else found
                    self.setting.fp32_precision = ALLOWED
        except BaseException:  # Ctrl-C
            self._leave()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._leave()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        with self.lock:
            self.inside.discard(get_ident())
            if not self.inside:
                self._put_back()

    def _put_back(self) -> None:
        if self.before and self.setting.fp32_precision == ALLOWED:  # else another has set it meanwhile
            self.setting.fp32_precision = self.before
        self.before = ""

    def forked(self) -> None:
        """Leaves the block in a new process, which has none of the threads that were in it."""
        self._put_back()
        self.lock, self.inside = Lock(), set()


ALLOWED = "bf16"
MKL = nullcontext()
ONEDNN = _Permission()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ONEDNN.forked)


@cache
def _exact() -> bool:
    """Says whether products can go to oneDNN here, and have full float32 accuracy there."""
    if not low(torch.bfloat16).on_processor:  # torch asks the same before it takes oneDNN
        return False
    try:
        a = torch.arange(-8192.0, 8192).sin().view(128, 128)
        right = a.double() @ a.double()
        with torch.no_grad(), ONEDNN:
            products = torch.mm(a, a), torch.bmm(a[None], a[None])[0]
    except (AttributeError, RuntimeError):  # an older torch, or one without oneDNN
        return False
    errors = [(product - right).abs().max() / right.abs().max() for product in products]
    return max(errors).item() < 1e-5  # of bfloat16 it is a thousand times as much


# ---- tables --------------------------------------------------------------------------------------------

TORCH = Table("torch")
ALL = Table("onednn", {form: Rule(1, 1) for form in FORMS})

_table: Table | None = None  # in force; None until the first product


def table_in_force() -> dict[str, Any]:
    """Returns the table that decides which products go to oneDNN, to be kept beside a training's state.

    Returns:
        Its name, its rules and its rates, as JSON knows them:
        ``{"name": "torch", "onednn": {}, "rates": {"product": 50.0, "copy": 2.0, "narrow": 16.0,
        "block": 196608.0}}``.
    """
    return (_table or _choose()).content()


def rates() -> Rates:
    """Returns the rates of the table in force."""
    return (_table or _choose()).rates


def use_table(table: str | Mapping[str, Any] | None) -> AbstractContextManager[object]:
    """Puts a table in force: at once, and for good unless the result is used in a ``with`` statement.

    Args:
        table: what :func:`table_in_force` returned, or a name: ``"torch"``, ``"onednn"``, or that of a table
            shipped or tuned here. None chooses as at the start.

    Returns:
        A context manager whose end puts back the table that was in force.

    Raises:
        ValueError: if there is no table of that name, or what is given is not a table.

    Warns:
        UserWarning: if the table sends products to oneDNN, which does not compute them here, or not in full
            precision: they are MKL's, then, and the last bits may differ.

    Example:
        >>> with use_table(checkpoint["products"]):
        ...     trainer.fit(data)
    """
    global _table
    before = _table
    if table is None:
        _choose()
    else:
        _table = _available(_named(table) if isinstance(table, str) else _read(table, "use_table"))
    after = ExitStack()
    after.callback(_put, before)
    return after


def _put(table: Table | None) -> None:
    global _table
    _table = table


def _choose() -> Table:
    """Puts this machine's table in force."""
    global _table
    choice = os.environ.get("DS_PRODUCTS")
    if choice in ("torch", "onednn"):
        _table = _available(_named(choice))
    elif choice:
        _table = _available(_load(Path(choice)))
    else:
        here = processor()
        table = _tuned() or next((table for table, key in _shipped() if here.fits(key)), TORCH)
        _table = table if not table.rules or _exact() else TORCH
    return _table


def _available(table: Table) -> Table:
    """Returns a table that was asked for, and warns if it cannot be used here."""
    if table.rules and not _exact():
        warnings.warn(
            f"products: the table {table.name!r} sends some to oneDNN, which this torch "
            f"({torch.__version__}) does not let compute them in full precision on this processor; MKL "
            "computes them, and the last bits may differ",
            stacklevel=3,
        )
        return TORCH
    return table


def _named(name: str) -> Table:
    tables = [TORCH, ALL, *(table for table, _ in _shipped()), _tuned()]
    known = {table.name: table for table in tables if table}
    if name not in known:
        raise ValueError(f"products: no table {name!r} here; there are {', '.join(map(repr, known))}")
    return known[name]


def _tuned() -> Table | None:
    path = tuned_path()
    if not os.path.isfile(path):
        return None
    try:
        return _load(path)
    except ValueError as error:
        again = "python -m ds_core.kernels.tune"
        warnings.warn(f"{error}; it is passed over: delete it, or measure anew: {again}", stacklevel=4)
        return None


def _load(path: Path) -> Table:
    """Reads a tuned table."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"DS_PRODUCTS: expected 'torch', 'onednn' or a table's path, got {path}: {error.strerror}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a table of products: {error}") from error
    return _read(content, str(path))


def _read(content: Any, where: str) -> Table:
    if not isinstance(content, Mapping) or not isinstance(content.get("name"), str):
        raise ValueError(f"{where}: not a table of products; expected a dict with 'name' and 'onednn'")
    return Table(content["name"], _rules(content, where), _rates(content, where))


def _rules(content: Mapping[str, Any], where: str) -> dict[str, Rule]:
    try:
        rules = {form: Rule(**rule) for form, rule in content["onednn"].items()}
        sound = all(rule.flops >= 1 and rule.side >= 1 for rule in rules.values())
    except (KeyError, TypeError, AttributeError):
        rules, sound = {}, False
    if not sound or not set(rules) <= set(FORMS):
        raise ValueError(
            f"{where}: not a table of products; expected 'onednn' with 'flops' and 'side', both at least 1, "
            f"for some of {', '.join(FORMS)}, got {content.get('onednn')!r}"
        )
    return rules


def _rates(content: Mapping[str, Any], where: str) -> Rates:
    try:
        read = Rates(**content.get("rates", {}))
        sound = all(0 < rate < math.inf for rate in (read.product, read.copy))
        sound = sound and 0 <= read.narrow < math.inf and 1 <= read.block < math.inf
    except TypeError:
        sound = False
    if not sound:
        raise ValueError(
            f"{where}: not a table of products; expected 'rates' with 'product' and 'copy', both above 0, "
            f"'narrow', at least 0, and 'block', at least 1, got {content['rates']!r}"
        )
    return read


def tuned_name(rules: Mapping[str, Rule], rates: Rates) -> str:
    """Names a tuned table by what it says."""
    said = json.dumps([{form: [float(rule.flops), rule.side] for form, rule in sorted(rules.items())}, rates])
    return f"tuned:{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def _shipped() -> list[tuple[Table, dict[str, Any]]]:
    """Returns the tables that come with this package, each with the processors it is for."""
    content = files("ds_core.kernels").joinpath("products.json").read_text(encoding="utf-8")
    return [
        (
            Table(f"{entry['name']} (shipped)", _rules(entry, entry["name"]), _rates(entry, entry["name"])),
            entry["processor"],
        )
        for entry in json.loads(content)
    ]


# ---- the machine ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Processor:
    """What a table is keyed by."""

    vendor: str
    family: int
    model: int
    capability: str  # the instructions torch uses: "AVX2", "AVX512", ...

    def fits(self, key: Mapping[str, Any]) -> bool:
        """Says whether this processor is of a kind: all that the key names is equal."""
        here = asdict(self)
        return all(here[name] == value for name, value in key.items())


@cache
def processor() -> Processor:
    """Describes this machine's processor; what is unknown is ``""`` or 0."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        vendor, family, model = said["vendor_id"], int(said["cpu family"]), int(said["model"])
    except (
        OSError,
        KeyError,
        ValueError,
    ):  # not Linux, or not x86: "AMD64 Family 25 Model 1 ..., AuthenticAMD"
        name = platform.processor() or platform.machine()
        numbers = re.search(r"Family (\d+) Model (\d+)", name)
        vendor = name.rpartition(", ")[2]
        family, model = map(int, numbers.groups()) if numbers else (0, 0)
    return Processor(vendor, family, model, torch.backends.cpu.get_cpu_capability())


def tuned_path() -> Path:
    """Returns where ``hatch run tune`` keeps the table for this processor, torch and number of threads."""
    here = processor()
    key = (
        f"{here.vendor}-{here.family}-{here.model}-{here.capability}-torch-{torch.__version__}"
        f"-{torch.get_num_threads()}-threads"
    )
    return _cache_folder() / f"products-{re.sub(r'[^A-Za-z0-9.+-]', '_', key)}.json"


def _cache_folder() -> Path:
    variable, folder = {
        "win32": ("LOCALAPPDATA", "~/AppData/Local"),
        "darwin": ("XDG_CACHE_HOME", "~/Library/Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    return Path(os.environ.get(variable) or os.path.expanduser(folder)) / "deepscratch"
