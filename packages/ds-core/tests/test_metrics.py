"""Metrics against scikit-learn's, streamed and at once, and what they refuse."""

import math
import sys
import warnings

import numpy as np
import pytest
import sklearn.metrics as referee
import torch
from ds_core.metrics import (
    MAE,
    METRICS,
    MSE,
    R2,
    RMSE,
    ROCAUC,
    Accuracy,
    AveragePrecision,
    ConfusionMatrix,
    FBeta,
    LogLoss,
    Perplexity,
    Precision,
    Recall,
    as_metric,
)
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:sklearn")  # it warns of undefined cases
varied = settings(deadline=None, max_examples=60)


def equal(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=tolerance, atol=tolerance)


def streamed(metric, prediction, target, cuts):
    """Feeds a metric piece by piece, empty pieces among them."""
    metric.reset()
    for rows in torch.arange(len(target)).tensor_split(cuts):
        metric.update(prediction[rows], target[rows])
    return metric.compute()


@st.composite
def labels(draw, most_classes=5):
    """Pairs of class indices, in which classes may be absent from either."""
    classes = draw(st.integers(1, most_classes))
    size = draw(st.integers(1, 30))
    label = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    return torch.tensor(draw(label)), torch.tensor(draw(label)), draw(st.integers(1, 4))


@st.composite
def class_scores(draw, most_classes=5, values=8):
    """Scores of few different values, so with ties, and targets in which classes may be absent."""
    classes = draw(st.integers(2, most_classes))
    size = draw(st.integers(1, 30))
    numbers = st.lists(st.integers(-values, values), min_size=size * classes, max_size=size * classes)
    scores = torch.tensor(draw(numbers), dtype=torch.float64).view(size, classes) / 2
    target = torch.tensor(draw(st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)))
    return scores, target, draw(st.integers(1, 4))


# ---- counting ------------------------------------------------------------------------------------------


@varied
@given(labels())
def test_accuracy_and_confusion_matrix_of_labels(case):
    prediction, target, cuts = case
    equal(streamed(Accuracy(), prediction, target, cuts), referee.accuracy_score(target, prediction))
    classes = int(torch.maximum(prediction.max(), target.max())) + 1
    for normalize in (None, "true", "pred", "all"):
        ours = streamed(ConfusionMatrix(normalize), prediction, target, cuts)
        theirs = referee.confusion_matrix(target, prediction, labels=range(classes), normalize=normalize)
        equal(ours, theirs)
    assert ConfusionMatrix()(prediction, target).dtype == torch.int64


@varied
@given(labels(), st.sampled_from(["micro", "macro", "weighted", None]), st.floats(0, 4))
@example(
    (torch.tensor([2, 2]), torch.tensor([0, 1]), 1), "macro", 1.0
)  # nothing right, a class never a target
def test_precision_recall_f(case, average, beta):
    prediction, target, cuts = case
    known = {"average": average, "zero_division": 0}
    if average is None:
        known["labels"] = range(int(torch.maximum(prediction.max(), target.max())) + 1)
    ours = streamed(Precision(average), prediction, target, cuts)
    equal(ours, referee.precision_score(target, prediction, **known))
    ours = streamed(Recall(average), prediction, target, cuts)
    equal(ours, referee.recall_score(target, prediction, **known))
    ours = streamed(FBeta(beta, average), prediction, target, cuts)
    equal(ours, referee.fbeta_score(target, prediction, beta=beta, **known))


@varied
@given(labels(most_classes=2))
def test_binary_average(case):
    prediction, target, cuts = case
    equal(
        streamed(FBeta(2, "binary"), prediction, target, cuts),
        referee.fbeta_score(target, prediction, beta=2, zero_division=0),
    )
    equal(
        streamed(Precision("binary"), prediction, target, cuts),
        referee.precision_score(target, prediction, zero_division=0),
    )


def test_f_with_infinite_beta_is_recall():
    prediction, target = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2])
    assert FBeta(math.inf)(prediction, target) == Recall()(prediction, target)


@varied
@given(class_scores(), st.integers(1, 5))
def test_top_k_accuracy(case, k):
    """scikit-learn lets the higher of tied classes rank first, we the lower: count its classes backwards."""
    scores, target, cuts = case
    classes = scores.shape[1]
    assume(classes > 2)
    theirs = referee.top_k_accuracy_score(classes - 1 - target, scores.flip(1), k=k, labels=range(classes))
    equal(streamed(Accuracy(k), scores, target, cuts), theirs)


@varied
@given(class_scores())
def test_top_1_is_argmax_also_for_ties(case):
    scores, target, _ = case
    by_rank = Accuracy(1)._in_first_k(scores, target).double().mean()
    equal(Accuracy()(scores, target), by_rank)
    equal(Accuracy()(scores, target), referee.accuracy_score(target, scores.argmax(1)))


def test_classes_known_from_scores_or_given_have_a_row_even_if_absent():
    assert ConfusionMatrix()(torch.eye(4), torch.tensor([0, 1, 0, 1])).shape == (4, 4)
    assert ConfusionMatrix(classes=3)(torch.tensor([0]), torch.tensor([1])).tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [0, 0, 0],
    ]


def test_a_matrix_for_very_many_classes_must_be_asked_for():
    prediction = torch.tensor([50_000])
    with pytest.raises(ValueError, match=r"50001 classes need a matrix of 18\.6 GiB; pass classes=50001"):
        Precision()(prediction, prediction)
    assert Accuracy()(prediction, prediction) == 1.0  # needs two numbers only
    assert len(ConfusionMatrix(classes=4100)(torch.tensor([4099]), torch.tensor([0]))) == 4100


# ---- what a model returns, in one form -----------------------------------------------------------------


def test_more_dimensions_and_the_place_of_classes():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 4, 5, 6, generator=generator)  # (N, C, H, W)
    target = torch.randint(4, (3, 5, 6), generator=generator)
    expected = referee.accuracy_score(target.flatten(), scores.argmax(1).flatten())
    equal(Accuracy()(scores, target), expected)
    equal(Accuracy(dim=-1)(scores.movedim(1, -1), target), expected)
    equal(LogLoss()(scores, target), LogLoss(dim=-1)(scores.movedim(1, -1), target))
    assert Accuracy()(torch.tensor([0.0, 2.0, 1.0]), torch.tensor(1)) == 1.0  # one entry, no batch


@pytest.mark.parametrize(("threshold", "function"), [(0.0, lambda z: z), (0.5, torch.sigmoid)])
def test_single_scores_with_a_threshold(threshold, function):
    logits = torch.tensor([[-1.0], [0.5], [2.0], [0.0]])
    target = torch.tensor([[0.0], [1.0], [0.0], [1.0]])  # as BCEWithLogitsLoss takes it
    assert Accuracy(threshold=threshold)(function(logits), target) == 0.5
    assert Recall("binary", threshold=threshold)(function(logits), target) == 0.5


@pytest.mark.parametrize("metric", [Accuracy, ConfusionMatrix, FBeta, LogLoss, Perplexity, ROCAUC])
def test_ignored_targets_do_not_count(metric):
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    target = torch.randint(3, (40,), generator=generator)
    padded = target.clone()
    padded[::4] = -100
    kept = padded != -100
    equal(metric(ignore_index=-100)(scores, padded), metric()(scores[kept], target[kept]))


def test_no_gradient_is_recorded_or_needed():
    scores = torch.randn(4, 3, requires_grad=True)
    target = torch.tensor([0, 1, 2, 0])
    with torch.enable_grad():
        for name in ("accuracy", "log_loss", "f1", "roc_auc"):
            metric = METRICS[name]()
            metric.update(scores, target)
            assert isinstance(metric.compute(), float)
        loss = MSE()
        loss.update(scores, torch.zeros(4, 3))
        assert not loss.total.requires_grad


# ---- ranking -------------------------------------------------------------------------------------------


@varied
@given(class_scores(most_classes=2))
def test_ranking_of_two_classes(case):
    scores, target, cuts = case
    score = scores[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        auc, ap = referee.roc_auc_score(target, score), referee.average_precision_score(target, score)
    equal(streamed(ROCAUC(), score, target, cuts), auc)  # NaN where there is only one class
    equal(streamed(AveragePrecision(), score, target, cuts), ap)


@varied
@given(class_scores())
def test_ranking_of_several_classes_one_against_the_rest(case):
    scores, target, cuts = case
    classes = scores.shape[1]
    probabilities = torch.softmax(scores, 1)
    one_hot = np.eye(classes)[target.numpy()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aucs = [referee.roc_auc_score(one_hot[:, c], probabilities[:, c]) for c in range(classes)]
        aps = [referee.average_precision_score(one_hot[:, c], probabilities[:, c]) for c in range(classes)]
    for metric, theirs in ((ROCAUC, aucs), (AveragePrecision, aps)):
        given_probabilities = {"logits": False}
        equal(streamed(metric(None, **given_probabilities), probabilities, target, cuts), theirs)
        equal(streamed(metric(**given_probabilities), probabilities, target, cuts), np.mean(theirs))
    if len(target.unique()) == classes > 2:
        theirs = referee.roc_auc_score(target, probabilities, multi_class="ovr")
        equal(streamed(ROCAUC(logits=False), probabilities, target, cuts), theirs)


def test_logits_rank_as_their_probabilities():
    generator = torch.Generator().manual_seed(2)
    scores = 3 * torch.randn(200, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(4, (200,), generator=generator)
    probabilities = torch.softmax(scores, 1)
    for metric in (ROCAUC, AveragePrecision):
        equal(metric()(scores, target), metric(logits=False)(probabilities, target))
    # The scores themselves would rank entries otherwise: the test above would pass only by chance.
    assert ROCAUC()(scores, target) != ROCAUC(logits=False)(scores, target)


def test_auc_is_the_share_of_pairs_in_order():
    score, target = torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1])
    pairs = [(0.4, 0.1), (0.4, 0.4), (0.8, 0.1), (0.8, 0.4)]
    assert ROCAUC()(score, target) == sum((p > n) + 0.5 * (p == n) for p, n in pairs) / 4


# ---- log loss ------------------------------------------------------------------------------------------


@varied
@given(class_scores())
def test_log_loss_and_perplexity(case):
    scores, target, cuts = case
    probabilities = torch.softmax(scores, 1)
    theirs = referee.log_loss(target, probabilities, labels=range(scores.shape[1]))
    equal(streamed(LogLoss(), scores, target, cuts), theirs)
    equal(streamed(LogLoss(logits=False), probabilities, target, cuts), theirs)
    equal(streamed(Perplexity(), scores, target, cuts), math.exp(theirs))


@varied
@given(class_scores(most_classes=2))
def test_log_loss_of_single_scores(case):
    scores, target, cuts = case
    probability = torch.sigmoid(scores[:, 0])
    theirs = referee.log_loss(target, probability, labels=[0, 1])
    equal(streamed(LogLoss(), scores[:, 0], target, cuts), theirs)
    equal(streamed(LogLoss(logits=False), probability, target, cuts), theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_impossible_truths_cost_as_much_as_in_scikit_learn(dtype):
    probabilities = torch.tensor([[1.0, 0.0], [0.25, 0.75]], dtype=dtype)
    target = torch.tensor([1, 0])
    theirs = referee.log_loss(target, probabilities.numpy(), labels=[0, 1])
    equal(LogLoss(logits=False)(probabilities, target), theirs, 1e-6)


def test_extreme_logits():
    scores = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    assert LogLoss()(scores, torch.tensor([0, 1])) == 0.0
    assert LogLoss()(scores, torch.tensor([1, 0])) == 2e4
    assert Perplexity()(scores, torch.tensor([1, 0])) == math.inf
    masked = torch.tensor([[0.0, -math.inf, 0.0]])  # a class that is ruled out
    equal(LogLoss()(masked, torch.tensor([0])), math.log(2), 1e-6)


def test_perplexity_of_a_language_model():
    scores = torch.zeros(2, 3, 7)  # (B, T, V)
    target = torch.tensor([[1, 2, -100], [6, -100, -100]])
    equal(Perplexity(dim=-1)(scores, target), 7, 1e-6)


# ---- regression ----------------------------------------------------------------------------------------


@st.composite
def numbers(draw):
    size, outputs = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    offset = draw(st.sampled_from([0.0, 1e3, -1e6]))
    values = st.lists(st.integers(-50, 50), min_size=size * outputs, max_size=size * outputs)
    shape = (size, outputs) if outputs > 1 else (size,)
    both = [torch.tensor(draw(values), dtype=torch.float64).view(shape) / 8 + offset for _ in range(2)]
    return *both, draw(st.integers(1, 4))


@varied
@given(numbers())
def test_regression(case):
    prediction, target, cuts = case
    equal(streamed(MSE(), prediction, target, cuts), referee.mean_squared_error(target, prediction))
    equal(streamed(RMSE(), prediction, target, cuts), referee.root_mean_squared_error(target, prediction))
    equal(streamed(MAE(), prediction, target, cuts), referee.mean_absolute_error(target, prediction))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = referee.r2_score(target, prediction)  # NaN for one sample
    equal(streamed(R2(), prediction, target, cuts), theirs, 1e-9)


def test_r2_of_a_constant_target():
    constant = torch.full((7,), 0.1)
    assert R2()(constant, constant) == 1.0
    assert R2()(constant + 1, constant) == 0.0
    metric = R2()
    for rows in (slice(0, 3), slice(3, 7)):
        metric.update(constant[rows] + 1, constant[rows])
    assert metric.compute() == 0.0


def test_r2_keeps_its_digits_far_from_zero():
    generator = torch.Generator().manual_seed(3)
    target = 1e8 + torch.randn(10_000, generator=generator, dtype=torch.float64)
    prediction = target + 0.1 * torch.randn(10_000, generator=generator, dtype=torch.float64)
    equal(streamed(R2(), prediction, target, 7), referee.r2_score(target, prediction), 1e-9)


# ---- streams -------------------------------------------------------------------------------------------

SCORES = torch.randn(12, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
LABELS = torch.arange(12) % 3
REGRESSIONS = ("mse", "rmse", "mae", "r2")


def batch_for(name):
    return (SCORES, SCORES.flip(0)) if name in REGRESSIONS else (SCORES, LABELS)


@pytest.mark.parametrize("name", METRICS)
def test_a_call_measures_one_batch_and_leaves_the_stream_alone(name):
    metric = as_metric(name)
    x, y = batch_for(name)
    metric.update(x[:9], y[:9])
    before = metric.compute()
    alone = metric(x[6:], y[6:])
    equal(metric.compute(), before)
    metric.reset()
    metric.update(x[6:], y[6:])
    equal(metric.compute(), alone)
    metric.reset()
    metric.update(x[:9], y[:9])
    metric.update(x[9:], y[9:])
    equal(metric.compute(), as_metric(name)(x, y))


@pytest.mark.parametrize("name", METRICS)
def test_nothing_seen_is_an_error(name):
    metric = as_metric(name)
    with pytest.raises(RuntimeError, match="nothing to compute"):
        metric.compute()
    x, y = batch_for(name)
    metric.update(x[:0], y[:0])
    with pytest.raises(RuntimeError, match="nothing to compute"):
        metric.compute()
    metric.update(x, y)
    metric.compute()
    metric.reset()
    with pytest.raises(RuntimeError, match="nothing to compute"):
        metric.compute()


@pytest.mark.parametrize("name", METRICS)
def test_names(name):
    assert as_metric(name).name == name
    metric = as_metric(name)
    assert as_metric(metric) is metric
    assert type(metric).__name__ in repr(metric)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"one of accuracy, .* got 'acuracy'; did you mean 'accuracy'\?"):
        as_metric("acuracy")


# ---- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "prediction", "target", "error", "words"),
    [
        (Accuracy(), torch.zeros(4, 3), torch.zeros(5).long(), ValueError, r"\(4, 3\) and target \(5,\)"),
        (Accuracy(), torch.zeros(4, 1), torch.zeros(4, 2).long(), ValueError, "classes along dimension 1"),
        (Accuracy(), torch.zeros(4), torch.zeros(4).long(), TypeError, r"threshold=0\.0 if they are logits"),
        (Accuracy(), torch.zeros(4, 3), torch.full((4,), 3), ValueError, "each target class 0 to 2, got 3"),
        (Accuracy(), torch.zeros(4, 3), torch.full((4,), -1), ValueError, "class 0 to 2, got -1"),
        (Accuracy(), torch.zeros(4, 3), torch.full((4,), 0.5), TypeError, "class indices, got torch.float32"),
        (Accuracy(), torch.full((4, 3), math.nan), torch.zeros(4).long(), ValueError, "got NaN"),
        (Accuracy(2), torch.tensor([0, 1]), torch.tensor([0, 1]), ValueError, "scores of each class"),
        (FBeta(), torch.tensor([-1]), torch.tensor([0]), ValueError, "predicted class at least 0, got -1"),
        (FBeta(), torch.tensor([1]), torch.tensor([-1]), ValueError, "target class at least 0, got -1"),
        (ConfusionMatrix(classes=2), torch.tensor([2]), torch.tensor([0]), ValueError, "0 to 1, got 2"),
        (ConfusionMatrix(classes=2), torch.tensor([0]), torch.tensor([2]), ValueError, "0 to 1, got 2"),
        (ROCAUC(), torch.zeros(2), torch.tensor([0, 2]), ValueError, "class 0 to 1, got 2"),
        (LogLoss(), torch.tensor([0, 1]), torch.tensor([0, 1]), TypeError, "expected scores"),
        (LogLoss(), torch.full((1, 2), math.inf), torch.tensor([0]), ValueError, "finite logits"),
        (LogLoss(logits=False), torch.ones(1, 2), torch.tensor([0]), ValueError, "probabilities that sum"),
        (LogLoss(logits=False), torch.tensor([1.5]), torch.tensor([0]), ValueError, "probabilities that sum"),
        (MSE(), torch.zeros(4, 1), torch.zeros(4), ValueError, r"one shape, got \(4, 1\) and \(4,\)"),
        (R2(), torch.zeros(4).long(), torch.zeros(4).long(), TypeError, "floating point"),
    ],
)
def test_refusals(metric, prediction, target, error, words):
    with pytest.raises(error, match=words) as caught:
        metric(prediction, target)
    assert str(caught.value).startswith(metric.label())


def test_refusals_of_options():
    for build, words in [
        (lambda: Accuracy(0), "k of at least 1"),
        (lambda: FBeta(-1), "beta of at least 0"),
        (lambda: FBeta(math.nan), "beta to be a number, got nan"),
        (lambda: Precision("sum"), "expected average"),
        (lambda: ROCAUC("micro"), "expected average"),
        (lambda: ConfusionMatrix("rows"), "expected normalize"),
        (lambda: ConfusionMatrix(classes=0), "at least 1 class"),
    ]:
        with pytest.raises(ValueError, match=words):
            build()


def test_refusals_over_batches():
    metric = MSE()
    metric.update(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="3 outputs as before, got 2"):
        metric.update(torch.zeros(2, 2), torch.zeros(2, 2))
    ranking = ROCAUC()
    ranking.update(torch.zeros(2, 3), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="as many classes as the first"):
        ranking.update(torch.zeros(2, 4), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="expected two classes, got 3; choose average"):
        Precision("binary")(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))


# ---- the picture ---------------------------------------------------------------------------------------


def test_plot(tmp_path):
    matrix = ConfusionMatrix()
    matrix.update(torch.tensor([0, 1, 2, 2, 1]), torch.tensor([0, 1, 2, 1, 1]))
    figure = matrix.plot(tmp_path / "new" / "confusion.png", class_names=["ant", "bee", "cat"])
    written = (tmp_path / "new" / "confusion.png").read_bytes()
    assert written.startswith(b"\x89PNG")
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["ant", "bee", "cat"]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {
        (0, 0): "1",
        (1, 1): "2",
        (2, 1): "1",
        (2, 2): "1",
    }  # (predicted, true); zeros stay empty
    assert "4 of 5 right (80.0%)" in axes.get_title(loc="left")
    shares = ConfusionMatrix("true")
    shares.update(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
    assert {text.get_text() for text in shares.plot().axes[0].texts} == {"0.50", "1.00"}


def test_plot_refuses_wrong_names_and_does_without_matplotlib(monkeypatch):
    matrix = ConfusionMatrix()
    with pytest.raises(RuntimeError, match="nothing to compute"):
        matrix.plot()
    matrix.update(torch.tensor([0, 1]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="expected 2 class names, got 1"):
        matrix.plot(class_names=["one"])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"extra ds-core\[plot\]: pip install matplotlib"):
        matrix.plot()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_log_loss_of_many_scores_in_half_precision_does_not_overflow(dtype):
    g = torch.Generator().manual_seed(0)
    scores = (20 * torch.randn(70_000, 3, generator=g)).to(dtype)
    target = torch.randint(3, (70_000,), generator=g)
    log_loss = LogLoss()
    log_loss.update(scores, target)
    exact = torch.nn.functional.cross_entropy(scores.double(), target)
    assert log_loss.compute() == pytest.approx(float(exact), rel=1e-3)
