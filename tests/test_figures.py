"""The schematic figures: as the scripts draw them, legible to machines, to people, and on dark pages."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "figures"
sys.path.insert(0, str(FOLDER))

from drawing import COLOURS, KINDS
from figures import FIGURES

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_what_the_script_draws(name):
    svg = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert svg == FIGURES[name]().svg(), "run python docs/figures/figures.py"


def test_no_figure_is_left_of_another_time():
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(FIGURES)
    assert len(FIGURES) >= 20


@pytest.mark.parametrize("name", FIGURES)
def test_it_says_what_it_shows_and_needs_nothing_else(name):
    svg = FIGURES[name]().svg()
    root = ElementTree.fromstring(svg)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert len(title.text) > 10
    assert len(description.text) > 60
    assert root.get("role") == "img"
    assert set(root.get("aria-labelledby").split()) == {title.get("id"), description.get("id")}
    assert not re.search(r"href|url\(|@import|<script|<image|http://(?!www\.w3\.org/2000/svg)", svg)


@pytest.mark.parametrize("name", FIGURES)
def test_words_and_boxes_stay_inside(name):
    root = ElementTree.fromstring(FIGURES[name]().svg())
    width, height = float(root.get("width")), float(root.get("height"))
    for text in root.iter(f"{SVG}text"):
        words, size = "".join(text.itertext()), float(text.get("font-size"))
        x, y, wide = float(text.get("x")), float(text.get("y")), 0.53 * size * len(words)
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[text.get("text-anchor")]
        assert left >= 0, words
        assert left + wide <= width, words
        assert size <= y <= height - 2, words
    for box in root.iter(f"{SVG}rect"):
        x, y = float(box.get("x", 0)), float(box.get("y", 0))
        assert 0 <= x <= x + float(box.get("width")) <= width
        assert 0 <= y <= y + float(box.get("height")) <= height


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [0, 1])
def test_words_have_contrast_in_light_and_in_dark(dark):
    of = {name: pair[dark] for name, pair in COLOURS.items()}
    for words in ("ink", "soft", *KINDS[1:]):
        assert contrast(of[words], of["paper"]) >= 4.5, words
    for pale in ("pale", *(f"{kind}-pale" for kind in KINDS[1:])):
        assert contrast(of["ink"], of[pale]) >= 4.5, pale
