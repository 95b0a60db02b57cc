"""Losses where it gets difficult: extremes, kinks, nothing to average, wrong targets, scaled gradients."""

import warnings

import ds_core as ds
import pytest
import torch
from ds_core import engine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

G = torch.Generator().manual_seed(0)

LIMITS = {torch.float32: 1e-5, torch.float64: 1e-11}
INF = float("inf")


def build(library, text):
    return eval(f"library.{text}", {"library": library, "torch": torch})


def manual(loss, inputs, grads, upstream=None):
    """Runs both ways; returns the value and the gradients of the first ``grads`` inputs."""
    with engine("manual"):
        value = loss(*inputs)
        returned = loss.backward() if upstream is None else loss.backward(upstream)
    return value, *(returned if grads > 1 else (returned,))


def taped(loss, inputs, grads, upstream=None):
    leaves = [x.detach().clone().requires_grad_() for x in inputs[:grads]]
    with engine("autograd"):
        value = loss(*leaves, *inputs[grads:])
        value.backward(torch.ones_like(value) if upstream is None else upstream)
    return value.detach(), *(leaf.grad for leaf in leaves)


def formula_only(loss, inputs, grads, upstream=None):
    with engine("manual", kernels=False):
        return manual(loss, inputs, grads, upstream)


RUNS = (manual, formula_only, taped)


def assert_like_namesake(text, inputs, grads=1, upstream=None, runs=RUNS, limit=None):
    limit = limit or LIMITS[inputs[0].dtype]
    expected = taped(build(nn, text), inputs, grads, upstream)
    for run in runs:
        result = run(build(ds, text), inputs, grads, upstream)
        torch.testing.assert_close(result, expected, rtol=limit, atol=limit, equal_nan=True)


# ---- extremes and kinks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", LIMITS)
def test_large_scores(dtype):
    rows = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [1e4, 1e4, 1e4]], dtype=dtype)
    for text in ["CrossEntropyLoss(label_smoothing=0.1)", "CrossEntropyLoss(reduction='none')"]:
        for target in [torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])]:
            assert_like_namesake(text, (rows, target))
    for target in [torch.zeros(3, 3, dtype=dtype), torch.ones(3, 3, dtype=dtype)]:
        assert_like_namesake("BCEWithLogitsLoss()", (rows, target))
        assert_like_namesake("BCEWithLogitsLoss(pos_weight=torch.tensor(2.0))", (rows, target))
        for gamma in [0.0, 0.5, 2.0]:
            for run in (manual, taped):
                assert all(t.isfinite().all() for t in run(ds.FocalLoss(gamma=gamma), (rows, target), 1))
        for run in (manual, taped):
            assert all(t.isfinite().all() for t in run(ds.DiceLoss(), (rows, target), 1))
    for text in ["L1Loss()", "MSELoss()", "HuberLoss()", "SmoothL1Loss()"]:
        assert_like_namesake(text, (rows, torch.zeros(3, 3, dtype=dtype)))
    for text in ["TripletMarginLoss()", "TripletMarginLoss(p=3, swap=True)"]:
        assert_like_namesake(text, (rows, rows.flip(0), -rows), 3)
    assert_like_namesake("CosineEmbeddingLoss()", (rows, rows.flip(1), torch.tensor([1, -1, 1])), 2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", LIMITS)
def test_certain_probabilities(dtype, reduction):
    p, truth = torch.tensor([[0, 1, 0, 1, 0, 1, 0.5], [1, 0, 0, 1, 0.5, 0.5, 1]], dtype=dtype).chunk(2)
    # torch.nn's 1e-12, the least x (1 - x), is a float32 also in float64.
    text = f"BCELoss(reduction={reduction!r})"
    assert_like_namesake(text, (p, truth), limit=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_kinks(reduction):
    x = torch.tensor([0.0, 1.0, -1.0, 0.5, -0.5, 2.0], dtype=torch.float64)
    zero, sign = torch.zeros_like(x), torch.tensor([1.0, 1, -1, 1, -1, 1], dtype=torch.float64)
    for text in ["L1Loss", "SmoothL1Loss", "HuberLoss"]:
        assert_like_namesake(f"{text}(reduction={reduction!r})", (x, zero))
    assert_like_namesake(f"SmoothL1Loss(beta=0.0, reduction={reduction!r})", (x, zero))
    for margin in [0.0, 0.5]:
        text = f"MarginRankingLoss(margin={margin}, reduction={reduction!r})"
        assert_like_namesake(text, (x, zero, sign), 2)


def test_distances_that_are_equal_or_0():
    a, b = torch.randn(2, 4, 3, dtype=torch.float64, generator=G)
    for p in [1.0, 2.0, 3.0, INF]:
        text = f"TripletMarginLoss(p=float('{p}'), eps=0, swap=True)"
        assert_like_namesake(text, (a, a, b), 3)  # d(a, n) = d(p, n)
        assert_like_namesake(text, (a, b, b), 3)  # d(p, n) = 0
        assert_like_namesake(text, (a, a, a), 3)
    ties = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64)
    assert_like_namesake("TripletMarginLoss(p=float('inf'), eps=0)", (ties, 0 * ties, -ties), 3)


def test_vectors_of_length_0_have_no_direction():
    x, target = torch.randn(2, 3, generator=G), torch.tensor([1, -1])
    assert_like_namesake("CosineEmbeddingLoss(margin=-0.5)", (x, torch.zeros(2, 3), target), 2)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_variance_that_is_too_small_can_grow_again(dtype, reduction):
    x, var = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=dtype), torch.tensor([0, 1e-9, 1e-3, 2.0], dtype=dtype)
    for eps in (1e-6, 0.5):
        loss, theirs = (
            library.GaussianNLLLoss(eps=eps, reduction=reduction, full=True) for library in (ds, nn)
        )
        leaves = [tensor.clone().requires_grad_() for tensor in (x, var)]
        expected = theirs(leaves[0], torch.zeros_like(x), leaves[1])
        expected.sum().backward()
        upstream = torch.ones_like(expected)
        for name in ("manual", "autograd"):
            mine = [tensor.clone().requires_grad_() for tensor in (x, var)]
            with engine(name):
                value = loss(mine[0], torch.zeros_like(x), mine[1])
                if name == "manual":
                    grad_x, none, grad_var = loss.backward(upstream)
                    assert none is None
                else:
                    value.backward(upstream)
                    grad_x, grad_var = (leaf.grad for leaf in mine)
            torch.testing.assert_close(
                (value.detach(), grad_x, grad_var), (expected.detach(), *(leaf.grad for leaf in leaves))
            )


@pytest.mark.parametrize("full", [False, True])
def test_counts_of_nothing_and_large_rates(full):
    x, t = torch.tensor([0.0, 0.0, 50.0, -1e4, 200.0]), torch.tensor([0.0, 1.0, 1e20, 3.0, 2.0])
    assert_like_namesake(f"PoissonNLLLoss(full={full}, reduction='none')", (x, t), upstream=torch.ones(5))
    x, t = torch.tensor([0.0, 0.0, 1e-12, 1e30]), torch.tensor([0.0, 2.0, 1.0, 1.5])
    text = f"PoissonNLLLoss(log_input=False, full={full}, reduction='none')"
    assert_like_namesake(text, (x, t), upstream=torch.ones(4))


def test_counts_may_be_integers():
    x, t = torch.randn(5, generator=G), torch.tensor([0, 1, 2, 7, 30])
    expected = manual(ds.PoissonNLLLoss(full=True), (x, t.float()), 1)
    torch.testing.assert_close(manual(ds.PoissonNLLLoss(full=True), (x, t), 1), expected)


def test_zero_probability_adds_nothing_to_a_divergence():
    x = torch.tensor([0.5, 0.25, 0.25]).log()
    assert_like_namesake("KLDivLoss(reduction='sum')", (x, torch.tensor([0.0, 1.0, 0.0])))


def test_classes_ruled_out_where_there_is_no_target():
    x = torch.tensor([[-INF, 1.0, 2.0], [-INF, 0.5, 0.0]])
    for ignored in [-100, 0]:
        target = torch.tensor([ignored, 1])
        for text in [f"CrossEntropyLoss(ignore_index={ignored})", f"NLLLoss(ignore_index={ignored})"]:
            assert_like_namesake(text, (x, target))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", ["", "label_smoothing=0.1, ", "weight=torch.tensor([1.0, 0.5, 2.0]), "])
def test_an_ignored_position_may_hold_any_scores(options, reduction):
    x = torch.tensor([[1.0, 2.0, 3.0], [-INF, -INF, -INF], [0.5, 0.0, -1.0]])
    loss = build(ds, f"CrossEntropyLoss({options}reduction={reduction!r})")
    upstream = torch.tensor([1.0, 2.0, 3.0]) if reduction == "none" else None
    for run in RUNS:
        value, grad = run(loss, (x, torch.tensor([2, -100, 0])), 1, upstream)
        others = None if upstream is None else upstream[::2]
        expected, rows = taped(loss, (x[::2], torch.tensor([2, 0])), 1, others)
        torch.testing.assert_close(value[::2] if reduction == "none" else value, expected)
        assert (value[1] == 0) if reduction == "none" else value.isfinite()
        assert grad[1].tolist() == [0, 0, 0]
        torch.testing.assert_close(grad[::2], rows)


def test_a_class_of_probability_0_may_be_ruled_out():
    x, q = torch.tensor([[-INF, 1.0, 2.0]]), torch.tensor([[0.0, 0.25, 0.75]])
    for run in RUNS:
        result = run(ds.CrossEntropyLoss(), (x, q), 1)
        known = run(ds.CrossEntropyLoss(), (x[:, 1:], q[:, 1:]), 1)
        torch.testing.assert_close((result[0], result[1][:, 1:]), known)
        assert result[1][0, 0] == 0


# ---- half precision --------------------------------------------------------------------------------------

HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ["MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "BCEWithLogitsLoss"])
def test_the_mean_of_many_does_not_overflow(name, dtype):
    x, target = torch.ones(100_000, dtype=dtype), torch.zeros(100_000, dtype=dtype)
    expected = taped(build(nn, f"{name}()"), (x.float(), target.float()), 1)
    for run in RUNS:
        value, grad = run(build(ds, f"{name}()"), (x, target), 1)
        assert (value.dtype, grad.dtype) == (dtype, dtype)
        torch.testing.assert_close((value, grad), tuple(t.to(dtype) for t in expected))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "text",
    [
        *("CrossEntropyLoss()", "CrossEntropyLoss(label_smoothing=0.1)", "NLLLoss()"),
        *("BCELoss()", "BCEWithLogitsLoss()", "KLDivLoss()", "CosineEmbeddingLoss()", "TripletMarginLoss()"),
        *("MarginRankingLoss(0.5)", "HuberLoss()", "MSELoss()", "L1Loss()"),
        "PoissonNLLLoss(full=True)",
    ],
)
def test_half_precision_is_that_of_float32_rounded(text, dtype):
    g = torch.Generator().manual_seed(0)
    x, y, z = (torch.randn(64, 20, generator=g).mul(4).to(dtype) for _ in range(3))
    classes, signs = torch.randint(20, (64,), generator=g), torch.randn(64, generator=g).sign()
    inputs, grads = {
        "C": ((x, classes), 1) if "Cross" in text else ((x, y, signs.to(dtype)), 2),
        "N": ((x, classes), 1),
        "B": ((x, y.sigmoid()) if "Logits" in text else (x.sigmoid().clamp(0.01, 0.99), y.sigmoid()), 1),
        "K": ((x.log_softmax(1), y.softmax(1)), 1),
        "T": ((x, y, z), 3),
        "M": ((x, y, z.sign()), 2) if "Margin" in text else ((x, y), 1),
    }.get(text[0], ((x, y), 1))
    wide = tuple(t.float() if t.is_floating_point() else t for t in inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.nn's advice about batchmean
        expected = taped(build(nn, text), wide, grads)
    for run in RUNS:
        result = run(build(ds, text), inputs, grads)
        eps = torch.finfo(dtype).eps
        for mine, theirs in zip(result, expected, strict=True):
            torch.testing.assert_close(
                mine.float(), theirs, rtol=2 * eps, atol=eps * theirs.abs().max().item()
            )


# ---- in a compiled step ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "inputs", "grads"),
    [
        ("CrossEntropyLoss()", (torch.randn(4, 3, generator=G), torch.tensor([0, 2, 1, -100])), 1),
        (
            "CrossEntropyLoss(label_smoothing=0.1)",
            (torch.randn(4, 3, generator=G), torch.tensor([0, 2, 1, 1])),
            1,
        ),
        ("NLLLoss()", (torch.randn(4, 3, generator=G), torch.tensor([0, 2, 1, -100])), 1),
        ("BCELoss()", (torch.rand(4, generator=G), torch.rand(4, generator=G)), 1),
        ("CosineEmbeddingLoss()", (*torch.randn(2, 4, 2, generator=G), torch.tensor([1, -1, -1, 1])), 2),
    ],
)
def test_a_compiled_step_has_no_break(text, inputs, grads):
    loss = build(ds, text)
    inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs)

    def step(*inputs):
        with torch.no_grad():
            return loss(*inputs), loss.backward()

    torch._dynamo.reset()
    value, grad = torch.compile(step, backend="aot_eager", fullgraph=True)(*inputs)
    expected = manual(loss, inputs, grads)
    result = (value, *(grad if grads > 1 else (grad,)))
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-10)


# ---- options ---------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    weighted=st.booleans(),
    probabilities=st.booleans(),
    ignore_index=st.integers(-2, 2),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 99),
)
def test_cross_entropy_with_any_options(
    shape, weighted, probabilities, ignore_index, reduction, smoothing, seed
):
    g = torch.Generator().manual_seed(seed)
    classes = shape[1] if len(shape) > 1 else shape[0]
    rest = [shape[0], *shape[2:]] if len(shape) > 1 else []
    x = torch.randn(shape, generator=g, dtype=torch.float64) * 5
    if probabilities:
        ignore_index = -100  # has no meaning then
        target = torch.rand(shape, generator=g, dtype=torch.float64)
    else:
        target = torch.randint(0, classes, rest, generator=g)
        target[torch.rand(rest, generator=g) < 0.3] = ignore_index
        target = target.clamp(max=classes - 1)
        if ignore_index >= 0:
            target = target.clamp(min=0)
    weight = torch.rand(classes, generator=g, dtype=torch.float64) + 0.1 if weighted else None
    options = {"weight": weight, "ignore_index": ignore_index, "reduction": reduction}
    options["label_smoothing"] = smoothing
    expected = taped(nn.CrossEntropyLoss(**options), (x, target), 1)
    for run in RUNS:
        result = run(ds.CrossEntropyLoss(**options), (x, target), 1)
        torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12, equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(
    text=st.sampled_from(
        [
            "BCELoss(weight={w})",
            "BCEWithLogitsLoss(weight={w}, pos_weight={w} + 1)",
            "HuberLoss(delta={s})",
            "KLDivLoss()",
            "KLDivLoss(log_target=True)",
            "L1Loss()",
            "MSELoss()",
            "PoissonNLLLoss(full=True)",
            "PoissonNLLLoss(log_input=False, eps={s})",
            "SmoothL1Loss(beta={s})",
        ]
    ),
    shape=st.lists(st.integers(1, 3), max_size=3),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    scale=st.floats(0.01, 5),
    seed=st.integers(0, 99),
)
def test_pointwise_losses_with_any_options(text, shape, reduction, scale, seed):
    g = torch.Generator().manual_seed(seed)
    x, target = torch.rand(2, *shape, generator=g, dtype=torch.float64)
    text = text.format(w=f"torch.tensor({scale}, dtype=torch.float64)", s=scale)
    between = ", " if text[-2] != "(" else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.nn's advice about batchmean
        assert_like_namesake(f"{text[:-1]}{between}reduction={reduction!r})", (x, target))


def test_a_language_model_need_not_move_its_classes():
    g = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 5, generator=g)  # (B, T, V)
    ids = torch.randint(0, 5, (2, 3), generator=g)
    value, grad = manual(ds.CrossEntropyLoss(dim=-1), (scores, ids), 1)
    rows, grad_rows = manual(ds.CrossEntropyLoss(), (scores.view(6, 5), ids.view(6)), 1)
    torch.testing.assert_close((value, grad), (rows, grad_rows.view(2, 3, 5)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_class_indices_of_any_integer_type(dtype):
    x, target = torch.randn(3, 4, generator=G), torch.tensor([0, 3, 1])
    value, _ = manual(ds.CrossEntropyLoss(), (x, target.to(dtype)), 1)
    torch.testing.assert_close(value, nn.CrossEntropyLoss()(x, target))


def test_labels_may_be_integers_or_booleans():
    x, labels = torch.randn(4, generator=G), torch.tensor([True, False, False, True])
    expected = manual(ds.BCEWithLogitsLoss(), (x, labels.float()), 1)
    for target in [labels, labels.int()]:
        torch.testing.assert_close(manual(ds.BCEWithLogitsLoss(), (x, target), 1), expected)


@pytest.mark.parametrize("text", ["CrossEntropyLoss()", "NLLLoss()", "BCELoss()", "BCEWithLogitsLoss()"])
def test_weights_are_saved_under_the_names_of_torch(text):
    weight = torch.tensor([1.0, 2.0])
    for options in [{}, {"weight": weight}]:
        ours, theirs = (getattr(library, text[:-2])(**options) for library in (ds, nn))
        assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert ours.to(torch.float64).weight.dtype == torch.float64


def test_focal_loss_without_focus_is_the_cross_entropy():
    x, target = torch.randn(5, generator=G), torch.tensor([1.0, 0, 1, 1, 0])
    focal = manual(ds.FocalLoss(alpha=None, gamma=0), (x, target), 1)
    torch.testing.assert_close(focal, taped(nn.BCEWithLogitsLoss(), (x, target), 1))


@pytest.mark.parametrize("pixels", [(6, 7), (300, 300)])  # of one block, and of several
@pytest.mark.parametrize("loss", ["DiceLoss('none')", "FocalLoss(reduction='none')"])
def test_losses_of_masks_in_another_layout(loss, pixels):
    x = torch.randn(4, 3, *pixels, generator=G)
    target = (torch.rand(4, 3, *pixels, generator=G) > 0.5).float()
    plain, (grad, *_) = manual(build(ds, loss), (x, target), 1)
    other = x.contiguous(memory_format=torch.channels_last)
    value, (grad_other, *_) = manual(build(ds, loss), (other, target), 1)
    torch.testing.assert_close(value, plain)
    torch.testing.assert_close(grad_other, grad)


def test_dice_loss_of_a_perfect_and_of_an_empty_mask():
    truth = torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0]])
    scores = torch.where(truth == 1, 100.0, -100.0)
    value, _ = manual(ds.DiceLoss("none"), (scores, truth), 1)
    torch.testing.assert_close(value, torch.zeros(2))


# ---- the gradient from above, and nothing to average -----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "inputs", "grads"),
    [
        ("CrossEntropyLoss({})", (torch.randn(4, 3, generator=G), torch.tensor([0, 2, 1, -100])), 1),
        ("NLLLoss({})", (torch.randn(4, 3, generator=G), torch.tensor([0, 2, 1, 0])), 1),
        ("MSELoss({})", (torch.randn(4, generator=G), torch.randn(4, generator=G)), 1),
        ("TripletMarginLoss({})", tuple(torch.randn(3, 4, 2, generator=G)), 3),
        ("CosineEmbeddingLoss({})", (*torch.randn(2, 4, 2, generator=G), torch.tensor([1, -1, -1, 1])), 2),
        ("MarginRankingLoss(0.1, {})", (*torch.randn(2, 4, generator=G), torch.tensor([1, -1, -1, 1])), 2),
    ],
)
def test_gradient_from_above(text, inputs, grads):
    assert_like_namesake(text.format("reduction='mean'"), inputs, grads, torch.tensor(-2.5))
    assert_like_namesake(text.format("reduction='none'"), inputs, grads, torch.randn(4, generator=G))
    loss = build(ds, text.format("reduction='sum'"))
    once, thrice = manual(loss, inputs, grads), manual(loss, inputs, grads, 3.0)
    torch.testing.assert_close(thrice[1], 3 * once[1])


def test_the_mean_of_nothing_is_nan_and_teaches_nothing():
    x = torch.randn(2, 3, generator=G)
    for text in ["CrossEntropyLoss()", "NLLLoss()", "CrossEntropyLoss(label_smoothing=0.1)"]:
        assert_like_namesake(text, (x, torch.tensor([-100, -100])))
        assert manual(build(ds, text), (x, torch.tensor([-100, -100])), 1)[1].tolist() == [[0] * 3] * 2
    empty = torch.empty(0, 3)
    for text in ["CrossEntropyLoss()", "NLLLoss()"]:
        assert_like_namesake(text, (empty, torch.empty(0, dtype=torch.int64)))
    for text in ["MSELoss()", "L1Loss()", "BCEWithLogitsLoss()", "BCELoss()"]:
        assert_like_namesake(text, (empty, empty))


def test_two_forwards_before_their_backwards():
    loss = ds.CrossEntropyLoss()
    first, second = ((torch.randn(2, 3, generator=G), torch.tensor(t)) for t in ([0, 1], [2, 2]))
    with engine("manual"):
        loss(*first)
        loss(*second)
        grads = loss.backward(), loss.backward()
    torch.testing.assert_close(grads, (manual(loss, second, 1)[1], manual(loss, first, 1)[1]))


def test_losses_say_what_probabilities_their_outputs_stand_for():
    x = torch.randn(2, 3, 4, generator=G)
    torch.testing.assert_close(ds.CrossEntropyLoss().probabilities(x), x.softmax(1))
    torch.testing.assert_close(ds.CrossEntropyLoss(dim=-1).probabilities(x), x.softmax(-1))
    torch.testing.assert_close(ds.NLLLoss().probabilities(x.log_softmax(1)), x.softmax(1))
    for loss in [ds.BCEWithLogitsLoss(), ds.FocalLoss()]:
        torch.testing.assert_close(loss.probabilities(x), x.sigmoid())
    assert torch.equal(ds.BCELoss().probabilities(x.sigmoid()), x.sigmoid())
    assert not hasattr(ds.MSELoss(), "probabilities")


# ---- errors ----------------------------------------------------------------------------------------------

ROWS = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("text", "inputs", "error", "message"),
    [
        ("CrossEntropyLoss()", (ROWS, torch.tensor([0, 3])), IndexError, "from 0 to 2, .* got 3"),
        ("CrossEntropyLoss()", (ROWS, torch.tensor([-1, 0])), IndexError, "from 0 to 2, .* got -1"),
        ("NLLLoss(ignore_index=1)", (ROWS, torch.tensor([1, -4])), IndexError, "no target; got -4"),
        ("CrossEntropyLoss()", (ROWS, torch.tensor([0])), ValueError, r"of shape \(2,\) .* got \(1,\)"),
        ("CrossEntropyLoss()", (ROWS, torch.zeros(2)), ValueError, r"probabilities .* \(2, 3\), got \(2,\)"),
        ("CrossEntropyLoss(ignore_index=0)", (ROWS, ROWS), ValueError, "no meaning for probabilities"),
        ("CrossEntropyLoss()", (ROWS, torch.tensor([True, True])), TypeError, "got torch.bool"),
        ("CrossEntropyLoss()", (ROWS.long(), torch.tensor([0, 0])), TypeError, "floating point input"),
        ("CrossEntropyLoss()", (torch.tensor(1.0), torch.tensor(0)), ValueError, r"got shape \(\)"),
        (
            "CrossEntropyLoss(torch.ones(2))",
            (ROWS, torch.tensor([0, 0])),
            ValueError,
            "each of the 3 classes",
        ),
        ("CrossEntropyLoss(label_smoothing=2)", (), ValueError, "from 0 to 1, got 2"),
        ("NLLLoss()", (ROWS, ROWS), TypeError, "integer type, got torch.float32"),
        ("MSELoss()", (ROWS, torch.zeros(3)), ValueError, r"one shape, got \(2, 3\) and \(3,\)"),
        ("MSELoss()", (ROWS, ROWS.double()), TypeError, "type torch.float32, got torch.float64; convert"),
        ("MSELoss('total')", (), ValueError, "'mean', 'sum', 'none', got 'total'"),
        ("L1Loss()", (ROWS.long(), ROWS), TypeError, "floating point input, got torch.int64"),
        ("BCELoss()", (ROWS - 1, ROWS), ValueError, "numbers from -1 to -1; .* BCEWithLogitsLoss"),
        ("BCELoss()", (ROWS * torch.nan, ROWS), ValueError, "numbers from nan"),
        ("HuberLoss(delta=0)", (), ValueError, "positive delta, got 0"),
        ("SmoothL1Loss(beta=-1)", (), ValueError, "0 or more, got -1"),
        ("PoissonNLLLoss()", (ROWS, ROWS[0]), ValueError, r"one shape, got \(2, 3\) and \(3,\)"),
        ("PoissonNLLLoss(eps=-1)", (), ValueError, "PoissonNLLLoss: expected eps to be 0 or more, got -1"),
        ("GaussianNLLLoss(eps=-1)", (), ValueError, "GaussianNLLLoss: expected eps to be 0 or more, got -1"),
        ("GaussianNLLLoss()", (ROWS, ROWS, ROWS[0]), ValueError, r"shape \(2, 3\), or .*, got \(3,\)"),
        ("GaussianNLLLoss()", (ROWS, ROWS, ROWS[:1, :1]), ValueError, r"shape \(2, 3\), or .*, got \(1, 1\)"),
        ("GaussianNLLLoss()", (ROWS, ROWS, ROWS - 2), ValueError, "variances of 0 or more, got -2"),
        ("GaussianNLLLoss()", (ROWS, ROWS, -0.5), ValueError, "a finite var of at least 0, got -0.5"),
        (
            "GaussianNLLLoss()",
            (ROWS, ROWS, ROWS.double()),
            TypeError,
            "type torch.float32, got torch.float64",
        ),
        ("FocalLoss(alpha=2)", (), ValueError, "from 0 to 1 or None, got 2"),
        ("FocalLoss(gamma=-1)", (), ValueError, "0 or more, got -1"),
        ("DiceLoss()", (torch.zeros(3), torch.zeros(3)), ValueError, r"\(N, ...\), got \(3,\)"),
        ("TripletMarginLoss(p=0.5)", (), ValueError, "1 or more, got 0.5"),
        ("TripletMarginLoss(margin=0)", (), ValueError, "positive margin, got 0"),
        ("TripletMarginLoss()", (ROWS, ROWS, ROWS[0]), ValueError, r"one shape, got .* \(3,\)"),
        (
            "TripletMarginLoss()",
            (ROWS[0, 0],) * 3,
            ValueError,
            r"vectors \(..., D\), got inputs of shape \(\)",
        ),
        ("MarginRankingLoss()", (ROWS, ROWS, ROWS[0]), ValueError, r"shape \(2, 3\), got \(3,\)"),
        ("MarginRankingLoss()", (ROWS, ROWS.double(), ROWS), TypeError, "one type, got torch.float32"),
        ("CosineEmbeddingLoss()", (ROWS, ROWS, torch.tensor([0, 1])), ValueError, r"1 or -1, got \[0, 1\]"),
        ("CosineEmbeddingLoss()", (ROWS, ROWS, torch.tensor(1)), ValueError, r"got \(2, 3\) and \(\)"),
    ],
)
def test_errors_say_what_was_expected(text, inputs, error, message):
    with pytest.raises(error, match=message):
        build(ds, text)(*inputs)
