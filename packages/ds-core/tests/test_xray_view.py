"""What an x-ray says of every kind of module: warnings, formulas, tables and pages."""

import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from ds_core import (
    Activation,
    CrossEntropyLoss,
    Dense,
    Module,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    engine,
    summary,
)
from ds_core.verify import Case, check_gradients, load_cases
from ds_core.xray import xray
from ds_core.xray.findings import DEAD_SHARE, EXPLODING, VANISHING
from ds_core.xray.formula import formula_of
from ds_core.xray.mathml import mathml
from ds_core.xray.page import environment, fragment
from ds_core.xray.sources import source_of
from ds_core.xray.statistics import amount, number


def mlp():
    torch.manual_seed(0)
    return Sequential(Dense(6, 8), ReLU(), Dense(8, 7), ReLU(), Dense(7, 3))


def batch(rows=32, columns=6, classes=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, columns, generator=generator)
    return x, torch.randint(0, classes, (rows,), generator=generator)


class Scale(Module):
    """Multiplies by a number.

    y = s x,   dL/dx = s g
    """

    def __init__(self, scale):
        self.scale = scale

    def forward(self, x):
        return self.scale * x

    def backward(self, grad):
        return self.scale * grad


def test_where_a_class_is_written_is_looked_up_once(monkeypatch):
    xray(Sequential(Dense(3, 2)), torch.ones(2, 3), inside=False)
    monkeypatch.setattr("inspect.getsourcelines", lambda cls: pytest.fail("parsed for every layer"))
    view = xray(Sequential(Dense(3, 4), Dense(4, 4), Dense(4, 2)), torch.ones(2, 3), inside=False)
    assert [layer.source for layer in view.root.children] == [source_of(Dense)] * 3


# ---- every kind of module -----------------------------------------------------------------------------


def one_case_of_each():
    cases = {}
    for case in load_cases(Path(__file__).parent / "cases"):
        if isinstance(case, Case) and "empty" not in case.name:
            cases.setdefault(case.name.split("(")[0].split(" ")[0], case)
    return list(cases.values())


@pytest.mark.parametrize("case", one_case_of_each(), ids=lambda case: case.name)
def test_every_layer_and_loss(case):
    module = case.make()
    inputs = case.inputs(torch.Generator().manual_seed(0))
    view = xray(module, inputs)
    assert view.root.output.count > 0
    assert view.root.output_grad.count == view.root.output.count
    assert view.num_parameters == module.num_parameters()
    shown = next(module.modules())  # itself, or what a wrapper such as Recompute stands for
    assert type(shown).__name__ in str(view)  # a long label goes on in the next line
    check_page(view._repr_html_())


def test_an_empty_batch_is_no_accident():
    view = xray(mlp(), torch.empty(0, 6))
    assert view.root.output.count == 0
    assert view.findings == []
    assert view["1"].dead == 0
    check_page(view._repr_html_())
    assert "(0, 3)" in str(view)


# ---- flags --------------------------------------------------------------------------------------------


def kinds(view):
    return [finding.kind for finding in view.findings]


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_network_has_no_flags(seed):
    torch.manual_seed(seed)
    model = Sequential(Dense(16, 64), ReLU(), Residual(Sequential(Dense(64, 64), ReLU())), Dense(64, 3))
    view = xray(model, *batch(columns=16))
    assert view.findings == []
    assert all(layer.flags == [] for layer in view.layers)
    assert "Nothing flagged" in str(view)


def test_deep_sigmoids_let_the_gradient_vanish():
    torch.manual_seed(0)
    model = Sequential(*[layer for _ in range(8) for layer in (Dense(16, 16), Sigmoid())], Dense(16, 3))
    view = xray(model, *batch(columns=16))
    (finding,) = view.findings
    assert finding.kind == "vanishing gradient"
    below = tuple(str(i) for i in range(17) if view[str(i)].gain < VANISHING)
    assert finding.paths == below
    assert below[0] == "0"
    assert "16" not in below
    assert view["0"].flags == ["vanishing gradient"]


def test_large_weights_let_the_gradient_explode():
    model = mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(200)
    view = xray(model, *batch())
    assert "exploding gradient" in kinds(view)
    assert view["0"].gain > EXPLODING


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (VANISHING * 1.01, []),
        (VANISHING * 0.99, ["vanishing gradient"]),
        (EXPLODING * 0.99, []),
        (EXPLODING * 1.01, ["exploding gradient"]),
        (0.0, ["no gradient"]),
    ],
)
def test_thresholds_of_the_gradient(scale, expected):
    view = xray(Sequential(Dense(6, 6), Scale(scale)), batch()[0])
    assert kinds(view) == expected
    assert view["0"].gain == pytest.approx(scale, rel=1e-6)
    assert view["1"].gain == 1
    assert all(finding.paths == ("0",) for finding in view.findings)


@pytest.mark.parametrize("dead", [0, 2, 3, 12])
def test_dead_units_are_counted_and_flagged_from_a_quarter_on(dead):
    model = Sequential(Dense(6, 12), ReLU(), Dense(12, 3))
    with torch.no_grad():
        model[0].bias.fill_(1)
        model[0].weight.mul_(0.01)
        model[0].bias[:dead] = -1
    view = xray(model, *batch())
    assert (view["1"].units, view["1"].dead) == (12, dead)
    assert ("dead units" in kinds(view)) == (dead >= DEAD_SHARE * 12)
    assert ("no gradient" in kinds(view)) == (dead == 12)


def test_few_examples_do_not_prove_a_unit_dead():
    model = Sequential(Dense(6, 12), ReLU(), Dense(12, 3))
    with torch.no_grad():
        model[0].bias.fill_(-100)
    assert "dead units" not in kinds(xray(model, *batch(rows=7)))
    assert "dead units" in kinds(xray(model, *batch(rows=8)))


def test_units_of_images_are_channels():
    x = torch.randn(2, 3, 5, 5)
    x[:, 1] = -1
    view = xray(ReLU(), x)
    assert (view.root.units, view.root.dead) == (3, 1)


def test_a_reused_rectifier_counts_its_units_at_each_width():
    relu = ReLU()

    class Both(Module):
        def __init__(self):
            self.relu = relu

        def forward(self, x):
            return torch.cat([self.relu(x), self.relu(x[:, :2])], -1)

        def backward(self, grad):
            narrow = self.relu.backward(grad[:, 6:])
            wide = self.relu.backward(grad[:, :6]).clone()
            wide[:, :2] += narrow
            return wide

    x = torch.ones(8, 6)
    x[:, 0] = -1
    layer = xray(Both(), x)["relu"]
    assert (layer.units, layer.dead, layer.calls, layer.backwards) == (8, 2, 2, 2)


def test_nan_is_flagged_where_it_appears():
    class Root(Module):
        def forward(self, x):
            self.save(x)
            return x.sqrt()

        def backward(self, grad):
            (x,) = self.saved()
            return grad / (2 * x.sqrt())

    model = Sequential(Scale(1.0), Root(), Dense(6, 3))
    view = xray(model, batch()[0])
    assert kinds(view)[0] == "not finite"
    assert view.findings[0].paths[:2] == ("0", "1")  # the gradient that comes back to 0 is NaN
    assert view["1"].output.nonfinite == int((batch()[0] < 0).sum())
    assert view["0"].output.nonfinite == 0


# ---- formulas -----------------------------------------------------------------------------------------


def test_formula_of_a_layer_is_read_from_its_docstring():
    formula = formula_of(Dense(2, 3))
    assert formula.forward == ["y = x W^T + b"]
    assert formula.backward == ["with g = dL/dy:", "dL/dW = g^T x", "dL/db = sum of g", "dL/dx = g W"]
    assert formula.short_backward == "dL/dx = g W"


def test_formula_of_a_readers_own_layer():
    class Given(Module):
        """Has an attribute.

        y = this is not used
        """

        formula = "y = x^2,   dL/dx = 2 x g"

        def forward(self, x):
            return x * x

    class Silent(Module):
        """Explains itself in words.

        The result = what comes out.

        Args:
            y = 3: not a formula.
        """

        def forward(self, x):
            return x

    class Bare(Module):
        def forward(self, x):
            return x

    class Heir(Dense):
        pass

    class Rewritten(Dense):
        def forward(self, x):
            return x

    class Long(Module):
        """Takes some lines.

        With u = x - 1, taken
        over two lines:

        y = u^2
          + u
        z = 3   (a remark)

        With g = dL/dy:   dL/dx = (2 u + 1) g
        """

        def forward(self, x):
            return x

    class Indexed(Module):
        """Adds up where several come together.

        y[c, i r + u] += x[c, i],   dL/dx[c, i] = the same the other way round
        """

        def forward(self, x):
            return x

    assert formula_of(Given()) == (["y = x^2"], ["dL/dx = 2 x g"])
    assert formula_of(Indexed()) == (
        ["y[c, i r + u] += x[c, i]"],
        ["dL/dx[c, i] = the same the other way round"],
    )
    assert formula_of(Silent()) == formula_of(Bare()) == formula_of(Rewritten(1, 1)) == ([], [])
    assert formula_of(Heir(2, 3)) == formula_of(Dense(2, 3))
    assert formula_of(Long()) == (
        ["With u = x - 1, taken over two lines:", "y = u^2 + u", "z = 3 (a remark)"],
        ["With g = dL/dy:", "dL/dx = (2 u + 1) g"],
    )


# ---- how it looks -------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Reads a page and notes unbalanced tags, anchors, links and text."""

    VOID = frozenset({"meta", "br", "wbr"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.attributes, self.text = [], [], [], set(), []
        self.formulas = []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.attributes |= {name for name, _ in attributes}
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("href", "src")]
        self.formulas += [value for name, value in attributes if name == "data-formula"]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check_page(html, folder=None):
    """Asserts that a page is whole, needs nothing else, runs nothing, and leads to places that exist."""
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    for link in page.links:
        file, _, anchor = link.partition("#")
        assert ((folder or Path.cwd()) / file).is_file() if file else anchor in page.ids
    assert not any(name.startswith("on") for name in page.attributes)
    assert not re.search(r"https?:|//\w|url\(|@import|<script|<link|<iframe|<img", html)
    return page


def test_the_page_is_one_whole_file(tmp_path):
    view = xray(mlp(), *batch())
    path = view.to_html(tmp_path / "xray.html")
    assert path == tmp_path / "xray.html"
    html = path.read_text(encoding="utf-8")
    page = check_page(html, tmp_path)
    assert html.startswith("<!DOCTYPE html>")
    assert fragment(view, tmp_path) in html
    text = "".join(page.text)
    for expected in ("Dense(6, 8)", "(32, 6)", f"{view.num_parameters:,}"):
        assert expected in text
    assert {"y = x W^T + b", "dL/dx = g W"} <= set(page.formulas)
    assert number(view["2"].output_grad.std) in text
    assert "prefers-color-scheme: dark" in html


def test_a_layer_leads_to_its_source_and_its_derivation(tmp_path):
    view = xray(mlp(), *batch())
    dense = view["0"]
    line = dense.source.file.read_text(encoding="utf-8").splitlines()[int(dense.source.anchor[1:]) - 1]
    assert line.startswith(("@final", "class Dense"))
    if not any((up / "theory").is_dir() for up in dense.source.file.parents):  # installed, without a checkout
        assert dense.theory is None
        assert "dense.md" not in view.to_html(tmp_path / "xray.html").read_text()
        return
    assert dense.theory.file.name == "dense.md"
    assert f"\n## {dense.theory.anchor.title()}\n" in dense.theory.file.read_text(encoding="utf-8")
    html = view.to_html(tmp_path / "xray.html", links="https://example.org/blob/main/").read_text()
    assert "https://example.org/blob/main/packages/ds-core/src/ds_core/layers/dense.py#L" in html
    assert 'href="https://example.org/blob/main/packages/ds-core/theory/dense.md#dense"' in html
    assert str(Path.home()) not in html


def test_each_line_of_a_formula_is_seen_with_its_numbers():
    model = mlp()
    x, y = batch()
    lines = {(line.way, line.name): line for line in xray(model, x, y)["0"].inside}
    assert lines["forward", "y"].code == "y = y if bias is None else y + bias"
    weight = lines["backward", "grad_weight"]
    assert weight.function == "linear"
    assert weight.code == "grad_weight = as_rows(grad).T @ as_rows(x)"
    with engine("autograd"):
        CrossEntropyLoss()(model(x), y).backward()
    assert torch.allclose(weight.numbers.values, model[0].weight.grad, atol=1e-6)
    assert xray(model, x, y, inside=False)["0"].inside == []


def test_small_tensors_are_shown_in_figures_and_larger_ones_as_shades():
    view = xray(Dense(3, 2), torch.tensor([[1.0, 2.0, -4.0]]))
    assert number(view.root.output.values[0, 0].item()).replace("-", "−") in view._repr_html_()
    assert xray(Dense(3, 2), torch.randn(2000, 3)).root.output.values is None
    shaded = xray(Dense(16, 16), torch.randn(9, 16))._repr_html_()
    assert "9 by 16</title>" in shaded


def test_without_jinja_a_notebook_shows_the_tables(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    environment.cache_clear()
    view = xray(mlp(), *batch())
    assert view._repr_html_() is None
    with pytest.raises(ImportError, match=r"ds-core\[xray\]: pip install jinja2"):
        view.to_html(tmp_path / "xray.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("x^2", "<msup><mi>x</mi><mrow><mn>2</mn></mrow></msup>"),
        ("W_ih", "<msub><mi>W</mi><mrow><mi>ih</mi></mrow></msub>"),
        ("sqrt(x)", "<msqrt><mrow><mi>x</mi></mrow></msqrt>"),
        ("With p = softmax(x), a target t", "</math> a target <math>"),
        ("c a exp(x)", "<mi>c</mi><mi>a</mi>"),
        ("1 / (x + 1)", "<mfrac><mn>1</mn><mrow><mi>x</mi><mo>+</mo><mn>1</mn></mrow></mfrac>"),
        ("sum_j x_j", '<msub><mo largeop="false">∑</mo><mrow><mi>j</mi></mrow></msub>'),
        ("W^T", '<msup><mi>W</mi><mrow><mi mathvariant="normal">T</mi></mrow></msup>'),
        ("x < y & z", "<mo>&lt;</mo>"),
    ],
)
def test_formulas_are_set_as_mathematics(formula, expected):
    assert expected in mathml(formula)


def test_a_derivative_is_a_fraction_and_words_stay_words():
    html = mathml("dL/dx = g where y > 0")
    assert html.count("<mfrac>") == 1
    assert "</math> where <math>" in html


@pytest.mark.parametrize("text", ["", "(", "x^", "x_", "((", "]", "1 /", "sqrt", "^", "_", "d/", "' '"])
def test_whatever_stands_in_a_formula_is_shown(text):
    page = Page()
    page.feed(mathml(text))
    assert page.open == []
    assert page.formulas == [text]


def test_the_page_of_flags_links_to_the_layers():
    view = xray(Sequential(Dense(6, 6), Scale(0.0)), batch()[0])
    page = check_page(view._repr_html_())
    assert "#layer-0" in page.links
    assert "no gradient" in page.text


def test_names_and_formulas_are_escaped():
    class Evil(Module):
        """Tries.

        y = x <script>alert("formula")</script> & more,   dL/dx = <b>g</b>
        """

        def __init__(self):
            self.register_parameter('"><i>', Parameter(torch.ones(1)))

        def forward(self, x):
            return x

        def backward(self, grad):
            return grad

        def extra_repr(self):
            return '<img src="x" onerror="alert(1)">'

    model = Sequential(Dense(6, 6))
    setattr(model, '1"><u onclick="x', Evil())
    html = xray(model, batch()[0])._repr_html_()
    page = check_page(html)
    text = "".join(page.text)
    assert 'y = x <script>alert("formula")</script> & more' in page.formulas
    assert '<img src="x" onerror="alert(1)">' in text
    assert '"><i>' in text


def test_the_tables_read_forward_then_backward():
    model = Sequential(Dense(6, 8), Sigmoid(), Dense(8, 3))
    text = str(xray(model, *batch()))
    forward, backward = text.index("Forward"), text.index("Backward")
    places = [m.start() for m in re.finditer(r"\(1\) Sigmoid\(\)", text)]
    assert forward < text.index("(0) Dense(6, 8)") < places[0] < text.index("(2) Dense(8, 3)") < backward
    assert (
        backward
        < text.index("(2) Dense(8, 3)", backward)
        < places[1]
        < text.index("(0) Dense(6, 8)", backward)
    )
    assert "y = 1 / (1 + exp(-x))" in text
    assert "(loss)" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.5, "0.500"),
        (-1.2345, "-1.23"),
        (123.4, "123"),
        (999.6, "1,000"),
        (12345.6, "12,346"),
        (1e7, "1.0e7"),
        (0.00012345, "1.2e-4"),
        (math.nan, "–"),
        (-math.inf, "-inf"),
        (None, ""),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (12_345, "12.3 k"), (123_456, "123 k"), (5e15, "5,000 T")],
)
def test_amounts_are_short(count, text):
    assert amount(count) == text


def test_activations_of_ones_own_are_searched_for_dead_units():
    class Step(Activation):
        def forward(self, x):
            return (x > 0).to(x.dtype)

        def backward(self, grad):
            return torch.zeros_like(grad)

    view = xray(Step(), -torch.ones(8, 2))
    assert (view.root.units, view.root.dead, view.root.flags) == (2, 2, ["dead units"])


class Named(Module):
    """A layer whose child, and whose label, have a name of one's choice."""

    def __init__(self, name):
        self.name = name
        setattr(self, name, Dense(2, 2))

    def forward(self, x):
        return getattr(self, self.name)(x)

    def backward(self, grad):
        return getattr(self, self.name).backward(grad)

    def extra_repr(self):
        return self.name


@pytest.mark.parametrize("name", ["[/]", "[/b]", "[red]", "[bold", "$x", "<b>"])
def test_names_are_shown_as_they_are(name):
    """Whatever a name looks like to those who lay out text."""
    model, x = Sequential(Dense(3, 2), Named(name)), torch.randn(4, 3)
    report = check_gradients(model, x, max_entries=1)
    shown = [str(xray(model, x)), str(summary(model, (4, 3))), str(report)]
    assert report.ok
    assert all(name in text for text in shown)
    assert f"1.{name}.weight" in shown[0]
    assert f"({name})" in str(check_gradients(model[1], torch.randn(4, 2), max_entries=1)).splitlines()[0]
