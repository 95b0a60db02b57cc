"""Pictures: what is drawn is what was given, and every name is where it belongs."""

import itertools
import subprocess
import sys

import pytest
import torch
from ds_transformer.masks import causal_mask, padding_mask, prefix_mask, sliding_window_mask
from ds_transformer.positions import (
    ALiBi,
    LearnedPositions,
    RelativePositionBias,
    RotaryPositions,
    Sine2DPositions,
    SinusoidalPositions,
    sinusoidal_table,
)
from ds_transformer.visualize import draw_attention, draw_mask, draw_masks, draw_positions


def shown(axes):
    """Reads back the numbers that a panel shows."""
    return torch.as_tensor(axes.images[0].get_array().data).double()


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def panels(figure):
    """Lists the panels that are no bars of shades."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


# ---- masks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask", [causal_mask(5), causal_mask(1), sliding_window_mask(40, 6), causal_mask(2, past=3)]
)
def test_a_mask_is_drawn_as_it_is(mask, tmp_path):
    figure = draw_mask(mask, path=tmp_path / "a" / "mask.png")
    assert (tmp_path / "a" / "mask.png").stat().st_size > 1000
    (axes,) = figure.axes
    assert torch.equal(shown(axes).bool(), mask)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["seen", "hidden (True)"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("key", "query")


def test_tokens_stand_on_both_sides_of_a_square_mask():
    words = ["the", "cat", "sat"]
    axes = draw_mask(causal_mask(3), tokens=words).axes[0]
    assert labels(axes.xaxis) == labels(axes.yaxis) == words
    axes = draw_mask(padding_mask([3, 1]), tokens=words, rows="sequence").axes[0]
    assert labels(axes.xaxis) == words
    assert labels(axes.yaxis) == ["0", "1"]
    assert axes.get_ylabel() == "sequence"


@pytest.mark.parametrize("word", ["$x_{$", "a$^b$", "[/]", "%", "\\frac"])
def test_tokens_are_no_formulas(word, tmp_path):
    draw_mask(causal_mask(3), tokens=[word, "b", word], path=tmp_path / "mask.png")
    assert (tmp_path / "mask.png").read_bytes().startswith(b"\x89PNG")


def test_a_batch_of_masks_stands_side_by_side():
    masks = prefix_mask(4, [1, 2, 4])
    figure = draw_mask(masks)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["mask 0", "mask 1", "mask 2"]
    for axes, mask in zip(figure.axes, masks, strict=True):
        assert torch.equal(shown(axes).bool(), mask)


@pytest.mark.parametrize("length", [4, 13])
def test_the_sheet_of_masks_shows_what_the_calls_above_them_give(length, tmp_path):
    figure = draw_masks(length, path=tmp_path / "masks.png")
    assert (tmp_path / "masks.png").exists()
    assert len(figure.axes) == 6
    names = {
        "causal_mask": causal_mask,
        "padding_mask": padding_mask,
        "prefix_mask": prefix_mask,
        "sliding_window_mask": sliding_window_mask,
    }
    called = []
    for axes in figure.axes:
        call = axes.texts[0].get_text()
        called.append(call.partition("(")[0])
        assert torch.equal(shown(axes).bool(), eval(call, dict(names)))
    assert set(called) == set(names)


def test_wrong_masks():
    with pytest.raises(
        TypeError, match=r"draw_mask: expected a mask of torch.bool, True = hidden, got torch.float"
    ):
        draw_mask(torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"expected a mask \(T, S\) or \(B, T, S\).* got shape \(3,\)"):
        draw_mask(torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"not empty, got shape \(0, 0\)"):
        draw_mask(causal_mask(0))
    with pytest.raises(ValueError, match="draw_mask: expected 3 tokens, got 2"):
        draw_mask(causal_mask(3), tokens=["a", "b"])
    with pytest.raises(ValueError, match="draw_masks: expected a length from 4 to 16, got 3"):
        draw_masks(3)


# ---- attention ---------------------------------------------------------------------------------------


def weights(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).softmax(-1)


def test_a_map_for_every_head_and_layer_in_one_scale(tmp_path):
    given = weights(2, 3, 4, 5)
    source, target = list("abcde"), ["w", "x", "y", "z"]
    figure = draw_attention(given, source, target, path=tmp_path / "attention.png")
    assert (tmp_path / "attention.png").exists()
    grid = panels(figure)
    assert len(grid) == 6
    for axes, one in zip(grid, given.flatten(0, 1), strict=True):
        torch.testing.assert_close(shown(axes), one.double())
        assert axes.images[0].get_clim() == (0, given.amax().item())  # any two can be compared
        assert axes.images[0].get_cmap().name == "Blues"
    assert [axes.get_title() for axes in grid] == ["head 0", "head 1", "head 2", "", "", ""]
    assert [axes.get_ylabel() for axes in grid] == ["", "", "layer 0", "", "", "layer 1"]
    assert labels(grid[3].xaxis) == source
    assert labels(grid[0].yaxis) == labels(grid[3].yaxis) == target


def test_names_do_not_run_into_one_another():
    words = [f"token-{i}" for i in range(24)]
    figure = draw_attention(weights(2, 24, 24), words)
    figure.draw_without_rendering()
    left, bottom = panels(figure)[0], panels(figure)[0]
    for tick_labels, low, high in (
        (left.get_yticklabels(), "y0", "y1"),
        (bottom.get_xticklabels(), "x0", "x1"),
    ):
        boxes = [label.get_window_extent() for label in tick_labels]
        spans = sorted((getattr(box, low), getattr(box, high)) for box in boxes)
        assert len(spans) == 24
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))


def test_one_layer_and_self_attention():
    given = weights(2, 3, 3)
    grid = panels(draw_attention(given, ["a", "b", "c"]))
    assert len(grid) == 2
    assert labels(grid[0].yaxis) == labels(grid[0].xaxis) == ["a", "b", "c"]
    assert all(axes.get_ylabel() == "" for axes in grid)  # no layer to tell from another
    (only,) = panels(draw_attention(torch.zeros(1, 1, 1), ["a"]))
    assert shown(only).tolist() == [[0]]


def test_wrong_weights():
    with pytest.raises(ValueError, match=r"expected weights \(layers, H, T, S\) .* got shape \(2, 2\)"):
        draw_attention(torch.ones(2, 2), ["a", "b"])
    with pytest.raises(ValueError, match=r"not empty, got shape \(0, 2, 2\)"):
        draw_attention(torch.ones(0, 2, 2), ["a", "b"])
    with pytest.raises(ValueError, match="expected 2 target and 3 source tokens, got 3 and 3"):
        draw_attention(torch.ones(1, 2, 3), ["a", "b", "c"])


# ---- positions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module",
    [
        SinusoidalPositions(16),
        LearnedPositions(9, 5),
        RotaryPositions(2),
        ALiBi(1),
        RelativePositionBias(12, bidirectional=False),
        Sine2DPositions(2, normalize=False),
    ],
    ids=lambda module: module.label(),
)
def test_every_kind_of_positions_has_its_picture(module, tmp_path):
    draw_positions(module, 12, path=tmp_path / "positions.png")
    assert (tmp_path / "positions.png").stat().st_size > 5000
    assert all(part.training and not part._stack for part in module.modules())  # left as it was


def test_the_table_and_how_alike_its_rows_are():
    table, _, alike = panels(draw_positions(SinusoidalPositions(16), 20))
    expected = sinusoidal_table(20, 16, dtype=torch.float64)
    torch.testing.assert_close(shown(table), expected)
    torch.testing.assert_close(shown(alike), expected @ expected.T / 8)
    module = LearnedPositions(7, 4)
    table, alike = panels(draw_positions(module, 20))
    torch.testing.assert_close(shown(table), module.weight.detach().double())
    assert shown(alike).shape == (7, 7)
    torch.testing.assert_close(shown(alike).diagonal(), torch.ones(7, dtype=torch.float64))


def test_rotary_hands_and_matches():
    clocks, match = panels(draw_positions(RotaryPositions(2), 30))
    torch.testing.assert_close(
        torch.as_tensor(match.lines[1].get_ydata()), torch.arange(30, dtype=torch.float64).cos()
    )
    assert labels(clocks.yaxis) == ["pair 0\n57.3° a step"]


@pytest.mark.parametrize(
    "module", [ALiBi(4), RelativePositionBias(4), RelativePositionBias(2, bidirectional=False)]
)
def test_biases_over_the_distance_and_as_a_map(module):
    bias = module.eval()(10, 10).detach().double()
    *_, curves, heat = panels(draw_positions(module, 10))
    torch.testing.assert_close(shown(heat), bias[0])
    for line, head in zip(curves.lines, bias, strict=True):
        for distance, value in zip(line.get_xdata(), line.get_ydata(), strict=True):
            assert head.diagonal(int(distance))[0].item() == pytest.approx(float(value))
    if isinstance(module, RelativePositionBias):
        assert torch.equal(shown(panels(draw_positions(module, 10))[0]).long(), module.buckets(10, 10))


def test_an_image_is_most_alike_to_itself_at_the_cross():
    *_, alike = panels(draw_positions(Sine2DPositions(16), 12))
    (x,), (y,) = alike.lines[0].get_data()
    values = shown(alike)
    assert values[y, x].item() == pytest.approx(1)
    assert values.amax().item() == pytest.approx(1)
    assert divmod(int(values.argmax()), 12) == (y, x)


def test_positions_that_have_no_picture():
    with pytest.raises(TypeError, match=r"expected one of SinusoidalPositions, .*, got Dropout"):
        draw_positions(SinusoidalPositions(2).dropout)
    with pytest.raises(ValueError, match="draw_positions: expected a length of at least 2, got 1"):
        draw_positions(ALiBi(2), 1)


def test_matplotlib_is_loaded_only_for_a_picture():
    code = """
import sys
import ds_transformer.visualize
assert "matplotlib" not in sys.modules
sys.modules["matplotlib"] = sys.modules["matplotlib.figure"] = None
try:
    ds_transformer.visualize.draw_masks()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs the package matplotlib" in done.stdout
