"""The pages that walk through a step, in a real browser: to the end and back, with the numbers Python has."""

import importlib.util
import json
import math
import struct
from pathlib import Path

import pytest
from browser import CHROMIUM, MISSING, Browser

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("step_examples", ROOT / "docs" / "steps" / "examples.py")
examples = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(examples)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)


@pytest.fixture(scope="module")
def browser():
    with Browser() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    made = {name: make() for name, make in examples.EXAMPLES.items()}
    for name, trace in made.items():
        trace.to_html(folder / f"{name}.html")
        trace.to_json(folder / f"{name}.json")
    return folder, made


def as_number(text):
    """Reads what a page shows as a number."""
    words = {"∞": math.inf, "−∞": -math.inf, "NaN": math.nan}
    return words[text] if text in words else float(text.replace("−", "-"))


def rounds_to(text, value):
    """Says whether a text of three digits, or two with a power of ten, is this number."""
    shown = as_number(text)
    if not math.isfinite(value) or value == 0:
        return shown == value or math.isnan(value)
    return abs(shown - value) <= abs(value) * (0.051 if "e" in text else 0.0051)


# At some positions of the way through the page: each grid that is shown, and one number in full.
WALK = """
(go => {
  const seen = [], end = document.getElementById(go);
  for (let n = 0; n < 12; n++) {
    const grids = [...document.querySelectorAll(".tensor")].map(t =>
      [+t.dataset.tensor,
       [...t.querySelectorAll(".cells.figures > i")].map(c => [+c.dataset.at, c.textContent])]);
    const result = document.querySelector(".tensor.result");
    let value = null;
    if (result) {
      const id = +result.dataset.tensor, at = (state.at * 7) % tensors[id].values.length;
      state.chosen = { part: "result", at }; draw();
      value = [id, at, document.getElementById("value").dataset.value];
    }
    seen.push({ at: state.at, grids, value });
    if (end.disabled) return { seen, over: true };
    end.click();
  }
  return { seen, over: false };
})
"""


def walk(page, way):
    seen, over = [], False
    while not over:
        part = page.evaluate(f"{WALK}('{way}')")
        seen, over = seen + part["seen"], part["over"]
    return seen


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_it_walks_to_the_end_and_back_and_shows_the_numbers_that_python_has(name, browser, pages):
    folder, traces = pages
    page = browser.open(folder / f"{name}.html")
    tensors = [tensor.flatten().tolist() for tensor in traces[name].numbers()]
    walked = walk(page, "next")
    lines = sum(len(stop.rows) for stop in traces[name].stops)
    assert [position["at"] for position in walked] == list(range(lines + 2))  # beginning, every line, end
    page.evaluate("choose('layers')")
    back = walk(page, "back")
    assert [position["at"] for position in back] == list(range(len(traces[name].stops) + 1, -1, -1))
    shown = 0
    for position in walked + back:
        for number, cells in position["grids"]:
            for at, text in cells:
                assert rounds_to(text, float(tensors[number][at])), (number, at, text, tensors[number][at])
                shown += 1
        if position["value"] is not None:
            number, at, text = position["value"]
            value = float(tensors[number][at])
            same = as_number(text) == value or struct.pack("f", as_number(text)) == struct.pack("f", value)
            assert same or math.isnan(value)
    assert shown > 500
    off, where = page.evaluate("stepsDiffer()")  # what the page computes from operands, and Python's result
    assert off < 1e-5, where
    assert page.problems == []
    assert all(url.startswith("file:") for url in page.requests)
    page.close()


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_small_screen_and_works_by_keyboard_alone(dark, browser, pages):
    page = browser.open(pages[0] / "mlp.html", width=400, height=800, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.barriers() == []
    page.press("ArrowRight")
    assert page.evaluate("document.querySelector('h2').textContent") == "forward0 Dense(2, 3)"
    page.press("3")  # number by number
    page.press("ArrowRight")
    assert page.evaluate("state.detail + state.at") == "numbers2"
    assert page.evaluate("document.querySelector('.why b').textContent") == "y[0, 1]"
    page.press("2")
    page.press("End")
    assert page.evaluate("document.querySelector('h2').textContent") == "The step is done"
    page.press("Home")
    for _ in range(40):  # tab to the first grid, and walk in it
        page.press("Tab")
        if page.evaluate("document.activeElement.dataset.grid === 'input0'"):
            break
    page.press("ArrowRight")
    page.press("ArrowDown")
    assert page.evaluate("[state.at, state.chosen.at]") == [0, 2]
    assert page.problems == []
    page.close()


def test_a_click_on_an_entry_of_a_gradient_lights_up_the_products_that_made_it(browser, pages):
    folder, traces = pages
    page = browser.open(folder / "mlp.html")
    page.evaluate("go(ways.lines.findIndex(p => data.stops[p.stop]?.rows[p.row]?.name === 'grad_weight'))")
    page.click(".tensor.result i[data-at='4']")  # row 1, column 1 of dW: g[n, 1] and x[n, 1] of each example
    hits = page.evaluate(
        "[...document.querySelectorAll('.tensor:not(.result)')].map(t => [t.querySelector('b').textContent,"
        " [...t.querySelectorAll('.hit')].map(c => +c.dataset.at)])"
    )
    assert hits == [["grad", [1, 3, 5]], ["x", [1, 4, 7]]]
    stop = next(s for s in traces["mlp"].stops if s.function == "linear_backward")
    row = next(row for row in stop.rows if row.name == "grad_weight")
    text = page.evaluate("document.querySelector('.why').textContent")
    assert text.startswith("grad_weight[1, 1]")
    assert text.count("·") == 3
    value = page.evaluate("document.getElementById('value').dataset.value")
    assert as_number(value) == pytest.approx(row.value[1, 1].item(), rel=1e-7)
    page.close()


@pytest.mark.parametrize(
    ("name", "function", "expected"),
    [
        ("cnn", "convolution", "window of x"),
        ("lstm", "lstm_step", "c′ = f c + i g"),
        ("lstm", "lstm_step_backward", "the gradient that reaches it"),
        ("gpt", "attention", "Who looks at whom: probabilities"),
        ("gpt", "attention_backward", "Who looks at whom: probabilities"),
    ],
)
def test_windows_cells_and_attention_have_views_of_their_own(name, function, expected, browser, pages):
    page = browser.open(pages[0] / f"{name}.html")
    page.evaluate(
        f"(() => {{ const s = data.stops.findIndex(s => s.function === '{function}'); go(ways.layers.length);"
        " choose('layers'); go(ways.layers.findIndex(p => p.stop === s));"
        " state.chosen = { part: 'result', at: 0 }; draw(); })()"
    )
    assert expected in page.evaluate("document.getElementById('stage').textContent")
    if name == "lstm":
        assert page.evaluate("document.querySelector('h2').textContent").endswith(f"{function}, call 1 of 4")
    assert page.problems == []
    page.close()


def test_the_page_of_the_tiny_gpt_is_small_and_ready_within_a_second(browser, pages):
    page_file = pages[0] / "gpt.html"
    assert page_file.stat().st_size < 2_000_000
    page = browser.open("about:blank")
    page.call("Performance.enable", timeDomain="threadTicks")  # seconds of the processor, not of the clock

    def spent():
        metrics = page.call("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    before = spent()
    page.go(page_file.as_uri())
    loaded = spent()
    page.evaluate("document.getElementById('next').click()")
    assert loaded - before < 1
    assert spent() - loaded < 0.2
    page.close()


@pytest.mark.parametrize("dark", [False, True])
def test_an_x_ray_fits_a_small_screen_and_keeps_nobody_out(dark, browser, tmp_path):
    page_file = examples.attention().to_html(tmp_path / "xray.html")
    assert page_file.stat().st_size < 2_000_000
    page = browser.open(page_file, width=400, height=800, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.barriers() == []
    assert page.problems == []
    page.close()


def test_json_holds_every_number_bit_for_bit(pages):
    folder, traces = pages
    data = json.loads((folder / "gpt.json").read_text(encoding="utf-8"))
    for stored, tensor in zip(data["tensors"], traces["gpt"].numbers(), strict=True):
        assert stored["shape"] == list(tensor.shape)
        values = [{"inf": math.inf, "-inf": -math.inf}.get(v, v) for v in stored["values"]]
        assert [struct.pack("f", v) for v in values] == [
            struct.pack("f", v) for v in tensor.flatten().tolist()
        ]
