"""The playground: from the first click to a trained boundary in a browser; and whom its server refuses."""

import http.client
import json
import os
import subprocess
import sys
import time

import pytest
import torch
from browser import CHROMIUM, MISSING, Browser
from ds_core import Dense, Tanh
from ds_core.learn.play import Playground
from ds_core.learn.play.broken import Broken, ways_to_break
from ds_core.learn.play.session import ACTIVATIONS, DATA, DEFAULTS, LOSSES, OPTIMIZERS, Session, checked
from ds_core.verify import check_gradients

in_browser = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)


@pytest.fixture
def playground():
    with Playground() as running:
        yield running


def call(playground, method="GET", path="/", token=None, host=None, origin=None, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", playground.port, timeout=20)
    headers |= {"Host": host or f"127.0.0.1:{playground.port}"} | ({"Origin": origin} if origin else {})
    mark = "&" if "?" in path else "?"
    address = f"{path}{mark}token={playground.token if token is None else token}"
    connection.request(method, address, body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


# ---- the server -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "status", "words"), [("--help", 0, "--port"), ("--prot", 2, "--prot")])
def test_without_the_extra_it_takes_options_too(option, status, words):
    command = [sys.executable, "-m", "ds_core.learn.play", option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert words in done.stdout + done.stderr


def test_it_listens_on_the_loopback_address_alone(playground):
    assert playground._server.server_address[0] == "127.0.0.1"
    answer, text = call(playground)
    assert answer.status == 200
    assert "default-src 'none'" in answer.getheader("Content-Security-Policy")
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    assert playground.token not in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": ""},
        {"token": "another"},
        {"token": "é"},
        {"host": "evil.example"},
        {"host": "evil.example:80"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/frame"), ("POST", "/do")])
def test_it_refuses_what_does_not_come_from_its_page(playground, wrong, method, path):
    wrong = {name: "%C3%A9" if value == "é" else value for name, value in wrong.items()}
    body = json.dumps({"action": "run"}) if method == "POST" else None
    answer, text = call(playground, method, path, body=body, **wrong)
    assert answer.status == 403
    assert playground.token not in text
    assert not playground.session._running


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"action": "fly"}',
        '{"action": "break", "layer": 99, "how": "sign"}',
        '{"action": "break", "layer": 0, "how": "straight"}',
        '{"action": "draw"}',
        '{"action": "draw", "points": [[1]]}',
        '{"action": "draw", "points": [["a", 0, 1]]}',
        '{"action": "reset", "settings": {"layers": [99]}}',
        '{"action": "reset", "settings": {"lr": "much"}}',
        '{"action": "reset", "settings": {"data": "__import__"}}',
        '{"action": "reset", "settings": {"more": 1}}',
        "[" * 100_000,
    ],
)
def test_what_it_does_not_understand_is_an_error_and_changes_nothing(playground, body):
    before = playground.session.settings
    answer, text = call(playground, "POST", "/do", body=body)
    assert answer.status == 400
    assert json.loads(text)["error"]
    assert playground.session.settings == before


def test_too_long_a_request_is_not_read(playground):
    assert call(playground, "POST", "/do", body="x" * 300_000)[0].status == 413


# ---- what it trains -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "activation"), [*((loss, "Tanh") for loss in LOSSES), ("CrossEntropyLoss", "ReLU")]
)
def test_it_learns_with_every_loss(loss, activation):
    session = Session()
    session.reset({"loss": loss, "activation": activation, "seed": 3})
    for _ in range(300):
        session._step()
    session.step()
    frame = session.frame(0)
    session.close()
    assert frame["accuracy"] > 0.95
    assert frame["steps"] == 301
    assert len(frame["grid"]) == 48**2
    assert [len(layer["out"]) for layer in frame["layers"]] == [
        8,
        8,
        8,
        8,
        2 if loss == "CrossEntropyLoss" else 1,
    ]


@pytest.mark.parametrize("name", DATA)
def test_data_are_two_classes_in_the_picture(name):
    x, y = DATA[name](200, torch.Generator().manual_seed(0))
    assert x.shape == (200, 2)
    assert set(y.tolist()) == {0, 1}
    assert x.abs().max() < 1.6


def test_settings_are_checked():
    assert checked({}) == DEFAULTS
    for optimizer in OPTIMIZERS:
        assert checked({"optimizer": optimizer, "activation": next(iter(ACTIVATIONS))})
    with pytest.raises(ValueError, match="optimizer: expected one of SGD"):
        checked({"optimizer": "Newton"})


@pytest.mark.parametrize(
    ("layer", "how"), [(layer, how) for layer in (Dense(3, 3), Tanh()) for how in ways_to_break(layer)]
)
def test_every_break_is_found_by_the_referees(layer, how):
    x = torch.randn(4, 3)
    assert check_gradients(layer, x).ok
    assert not check_gradients(Broken(layer, how), x).ok


# ---- from the first click -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with Browser() as running:
        yield running


def spent(page):
    """Returns the seconds of the processor that a page has taken since they are counted."""
    metrics = page.call("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


@in_browser
def test_from_the_first_click_to_a_trained_boundary_and_a_broken_backward_caught(playground, browser):
    page = browser.open(playground.url)
    page.wait_for("frames_drawn() > 0")
    page.click("#more")  # a third hidden layer
    page.wait_for("frame.settings.layers.length === 3")
    page.click("#run")
    page.wait_for("frame.accuracy > 0.97", timeout=60)
    # Ten frames a second: by the processor's time always, by the clock where the machine is free.
    page.call("Performance.enable", timeDomain="threadTicks")
    drawn, page_time, clock = page.evaluate("frames_drawn()"), spent(page), time.perf_counter()
    page.wait_for(f"frames_drawn() > {drawn} + 15", timeout=120)
    frames, took = page.evaluate("frames_drawn()") - drawn, time.perf_counter() - clock
    assert (spent(page) - page_time) / frames < 0.05
    with playground.session._changed:
        start = time.thread_time()
        playground.session._show()
        assert time.thread_time() - start < 0.05
    if os.getloadavg()[0] < (os.cpu_count() or 1):
        assert frames / took >= 10
    page.click("#run")
    page.wait_for("!frame.running && document.getElementById('run').textContent === 'Train'")
    steps = page.evaluate("frame.steps")
    page.click("#step")
    page.wait_for(f"frame.steps === {steps} + 1")
    time.sleep(0.3)
    assert page.evaluate("frame.steps") == steps + 1
    # what the canvas shows is what the model says: the middle of each class has its colour
    model = playground.session.model
    grid = page.evaluate("frame.grid")
    with torch.no_grad():
        place = torch.tensor([[-1.6, 1.6]])  # the upper left corner
        chance = torch.softmax(model.eval()(place), 1)[0, 1].item()
    model.train()
    assert abs(grid[0] / 255 - chance) < 0.01
    # broken, and caught
    page.evaluate("(element('place').value = '2', showWays(), element('how').value = 'mean')")
    page.click("#break")
    page.wait_for("frame.layers[2].broken === 'mean'")
    page.click("#referee")
    page.wait_for("document.querySelectorAll('#verdict .no').length === 1", timeout=60)
    assert "2 Dense(8, 8): the referees object" in page.evaluate("element('verdict').textContent")
    assert "weight" in page.evaluate("document.querySelector('#verdict pre').textContent")
    assert page.barriers() == []
    page.click("#mend")
    page.wait_for("frame.layers.every(l => !l.broken)")
    page.click("#referee")
    page.wait_for("document.querySelectorAll('#verdict .ok').length === 7", timeout=60)
    assert page.problems == []
    assert all(url.startswith((playground.url.split("?")[0], "data:")) for url in page.requests)
    page.close()


@in_browser
@pytest.mark.parametrize("dark", [False, True])
def test_points_are_drawn_by_mouse_and_by_keyboard_on_a_small_screen(dark, playground, browser):
    page = browser.open(playground.url, width=400, height=800, dark=dark)
    page.wait_for("frames_drawn() > 0")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.barriers() == []
    page.click("#plane")  # one more, and the others stay
    page.wait_for("frame.points.length === 241 && frame.settings.data === 'drawn'")
    page.click("#clear")
    page.wait_for("frame.points.length === 0 && frame.settings.data === 'drawn'")
    page.click("#plane")
    page.wait_for("frame.points.length === 1")
    assert all(abs(v) < 0.05 for v in page.evaluate("frame.points[0]"))
    page.evaluate("plane.focus()")
    page.press("ArrowRight")
    page.press("b")
    page.wait_for("frame.points.length === 2")
    assert page.evaluate("frame.points[1]") == [0.1, 0, 1]
    page.evaluate("element('run').focus()")
    page.press("Enter")
    page.wait_for("frame.running && frame.steps > 5")
    page.press(" ")
    page.wait_for("!frame.running")
    assert page.problems == []
    page.close()
