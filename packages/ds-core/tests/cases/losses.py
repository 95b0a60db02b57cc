"""The losses beside their torch.nn namesakes: all options, and shapes that are easily forgotten."""

import itertools

import ds_core as ds
import torch
from ds_core.verify import Case
from torch import nn

REDUCTIONS = ["mean", "sum", "none"]


def build(library, text):
    return eval(f"library.{text}", {"library": library, "torch": torch})


def case(text, inputs, shown="", **more):
    """Makes a case of the call that its name shows: ``HuberLoss(delta=0.3)``."""
    more = {"namesake": lambda: build(nn, text), **more}
    return Case(name=text + shown, make=lambda: build(ds, text), inputs=inputs, **more)


def with_options(name, inputs_of, shapes, *options):
    """Makes a case for each shape, for each reduction, and for each of the other options."""
    calls = [f"{name}({option})" for option in options]
    calls += [f"{name}(reduction={reduction!r})" for reduction in REDUCTIONS]
    cases = [case(call, inputs_of(shapes[0])) for call in calls]
    for shape in shapes[1:]:
        call = f"{name}()" if 0 not in shape else f"{name}(reduction='sum')"  # the mean of nothing is NaN
        cases.append(case(call, inputs_of(shape), f" on {shape}"))
    return cases


# ---- number against number -------------------------------------------------------------------------------

SHAPES = [(4, 5), (), (1,), (0, 3), (2, 3, 4)]


def shifted(shape):
    """Predictions from N(0, 1), and targets from N(3, 1)."""
    return lambda g: (torch.randn(shape, generator=g), torch.randn(shape, generator=g) + 3)


def off_kinks(*kinks):
    """Predictions and targets whose distance is none of the kinks of the loss."""

    def inputs_of(shape):
        def inputs(g):
            target = torch.randn(shape, generator=g)
            distance = torch.rand(shape, generator=g) * 2 + 0.1
            for kink in kinks:
                distance = torch.where((distance - kink).abs() < 0.05, kink + 0.05, distance)
            return target + distance * torch.randn(shape, generator=g).sign(), target

        return inputs

    return inputs_of


def probabilities(shape):
    return lambda g: (
        torch.rand(shape, generator=g) * 0.98 + 0.01,
        (torch.rand(shape, generator=g) * 2 - 0.5).clamp(0, 1),
    )


def scores(shape):
    return lambda g: (torch.randn(shape, generator=g) * 3, torch.rand(shape, generator=g))


def labels(shape):
    return lambda g: (torch.randn(shape, generator=g) * 3, torch.randint(0, 2, shape, generator=g).float())


def log_probabilities(shape, log_target=False):
    def inputs(g):
        x, t = torch.randn(2, *shape, generator=g).log_softmax(-1)
        return x, t if log_target else t.exp() * (torch.rand(shape, generator=g) > 0.3)

    return inputs


CASES = [
    *with_options("MSELoss", shifted, SHAPES),
    *with_options("L1Loss", off_kinks(), SHAPES),
    *with_options("SmoothL1Loss", off_kinks(1.0), SHAPES),
    case("SmoothL1Loss(beta=0.3)", off_kinks(0.3)((4, 5))),
    case("SmoothL1Loss(beta=0)", off_kinks()((4, 5))),
    *with_options("HuberLoss", off_kinks(1.0), SHAPES),
    case("HuberLoss(delta=0.3)", off_kinks(0.3)((4, 5))),
    *with_options("BCELoss", probabilities, SHAPES, "weight=torch.arange(1, 6) / 5"),
    *with_options(
        "BCEWithLogitsLoss",
        scores,
        SHAPES,
        "weight=torch.arange(1, 6) / 5",
        "pos_weight=torch.arange(1, 6) / 2",
        "torch.arange(4).view(4, 1) / 2, pos_weight=torch.tensor(3.0)",
    ),
    *with_options("KLDivLoss", log_probabilities, [(4, 5), (1,), (0, 3), (2, 3, 4)]),
    *[
        case(
            f"KLDivLoss(reduction={reduction!r}, log_target={log_target})",
            log_probabilities((4, 5), log_target),
        )
        for reduction in ["batchmean", "mean"]
        for log_target in [False, True]
    ],
]

# ---- classes ---------------------------------------------------------------------------------------------


def classes(shape, dim=1, ignored=-100):
    """Scores, and class indices of which one in four is ignored, but never all."""

    def inputs(g):
        place = 0 if len(shape) == 1 else dim % len(shape)
        rest = shape[:place] + shape[place + 1 :]
        target = torch.randint(0, shape[place], rest, generator=g)
        if target.numel() > 3:
            target = target.masked_fill(torch.rand(rest, generator=g) < 0.25, ignored)
        return torch.randn(shape, generator=g) * 3, target

    return inputs


def soft(shape):
    return lambda g: (torch.randn(shape, generator=g) * 3, torch.randn(shape, generator=g).softmax(1))


def moved(theirs, x, target):
    """The namesake has the classes in dimension 1."""
    return theirs(x.movedim(-1, 1).contiguous(), target)


LAYOUTS = [(6,), (4, 6), (1, 1), (4, 6, 3), (2, 6, 3, 2)]
WEIGHT = "weight=torch.arange(1, 7) / 6"

for name in ["NLLLoss", "CrossEntropyLoss"]:
    CASES += [case(f"{name}()", classes(shape), f" on {shape}") for shape in LAYOUTS]
    CASES += [case(f"{name}(reduction='sum')", classes((0, 6)), " on (0, 6)")]
    CASES += [
        case(
            f"{name}({WEIGHT}, ignore_index={ignored}, reduction={reduction!r})", classes((8, 6), 1, ignored)
        )
        for ignored, reduction in itertools.product([-100, 2], REDUCTIONS)
    ]
    CASES += [
        Case(
            name=f"{name}(dim=-1) on {shape}",
            make=lambda name=name: getattr(ds, name)(dim=-1),
            inputs=classes(shape, -1),
            namesake=getattr(nn, name),
            reference=moved,
        )
        for shape in [(4, 6), (3, 4, 6), (2, 3, 2, 6)]
    ]

CASES += [
    case(f"CrossEntropyLoss({options}label_smoothing=0.2, reduction={reduction!r})", inputs, shown)
    for options in ["", f"{WEIGHT}, "]
    for inputs, shown in [(classes((8, 6)), ""), (soft((4, 6)), " of probabilities")]
    for reduction in REDUCTIONS
]
CASES += [case("CrossEntropyLoss()", soft(shape), f" of probabilities {shape}") for shape in LAYOUTS[1:]]
CASES += [
    case(f"CrossEntropyLoss({WEIGHT}, label_smoothing=0.2)", soft((2, 6, 3)), " of probabilities (2, 6, 3)"),
    case(f"CrossEntropyLoss({WEIGHT}, label_smoothing=0.2)", classes((2, 6, 3)), " on (2, 6, 3)"),
]

# ---- several inputs --------------------------------------------------------------------------------------


def ranked(shape):
    return lambda g: (*off_kinks(0.5)(shape)(g), torch.randn(shape, generator=g).sign())


def vectors(count):
    return lambda shape: lambda g: tuple(torch.randn(shape, generator=g) for _ in range(count))


def directions(shape):
    return lambda g: (*vectors(2)(shape)(g), torch.randn(shape[:-1], generator=g).sign())


CASES += with_options("MarginRankingLoss", ranked, SHAPES, "margin=0.5")
CASES += with_options(
    "TripletMarginLoss",
    vectors(3),
    [(4, 5), (5,), (1, 1), (0, 5)],
    "margin=0.1",
    "p=1.0",
    "p=3.0",
    "p=float('inf')",
    "eps=0.1",
    "swap=True",
    "swap=True, p=1.0, margin=2.0",
)
CASES += with_options(
    "CosineEmbeddingLoss", directions, [(8, 5), (5,), (1, 3), (0, 5)], "margin=0.5", "margin=-0.5"
)

# ---- likelihoods -----------------------------------------------------------------------------------------


def counts(shape):
    """Logarithms of expected numbers, and counts from 0 on."""
    return lambda g: (torch.randn(shape, generator=g), torch.randint(0, 6, shape, generator=g).float())


def expected_numbers(shape):
    return lambda g: (torch.rand(shape, generator=g) * 3 + 0.2, counts(shape)(g)[1])


def with_variance(shape, of=None):
    return lambda g: (*shifted(shape)(g), torch.rand(shape if of is None else of, generator=g) + 0.1)


CASES += with_options("PoissonNLLLoss", counts, SHAPES, "full=True")
CASES += with_options(
    "PoissonNLLLoss", expected_numbers, [(4, 5)], "False", "log_input=False, full=True", "False, eps=0.1"
)[:3]
CASES += with_options("GaussianNLLLoss", with_variance, SHAPES, "full=True", "eps=0.01")
CASES += [
    case("GaussianNLLLoss(reduction='none')", with_variance(shape, of), f" of variances {of}")
    for shape, of in [((4, 5), (4,)), ((4, 5), (4, 1)), ((2, 3, 4), (2, 1, 4)), ((5,), ())]
]
CASES += [case("GaussianNLLLoss()", lambda g: (*shifted((4, 5))(g), 0.7), " of one variance")]

# ---- without namesake ------------------------------------------------------------------------------------


def focal_loss(loss, x, target):
    """Equations 4 and 5 of the paper, for targets of 0 and 1."""
    p = 1 / (1 + torch.exp(-x))
    p_right = torch.where(target == 1, p, 1 - p)
    alpha = 1 if loss.alpha is None else loss.alpha * target + (1 - loss.alpha) * (1 - target)
    values = -alpha * (1 - p_right) ** loss.gamma * p_right.log()
    return {"mean": values.mean, "sum": values.sum, "none": lambda: values}[loss.reduction]()


def dice_loss(loss, x, target):
    values = []
    for mask, truth in zip(x, target, strict=True):
        p = 1 / (1 + torch.exp(-mask))
        overlap = 2 * (p * truth).sum() + loss.smooth
        values.append(1 - overlap / (p.sum() + truth.sum() + loss.smooth))
    values = torch.stack(values)
    return {"mean": values.mean, "sum": values.sum, "none": lambda: values}[loss.reduction]()


def without(text, inputs, reference, shown="", why="torch.nn has none"):
    return case(text, inputs, shown, namesake=None, reference=reference, no_namesake=why)


CASES += [
    without(f"FocalLoss({options})", labels(shape), focal_loss, f" on {shape}")
    for options, shape in [
        ("", (4, 5)),
        ("", (1,)),
        ("alpha=None", (4, 5)),
        ("gamma=0", (4, 5)),
        ("gamma=0.5", (4, 5)),
        ("alpha=0.9, gamma=1.0, reduction='sum'", (2, 3, 4)),
        ("reduction='none'", (4, 5)),
        ("", (2, 1 << 16, 2)),
    ]
]
CASES += [
    Case(
        name="FocalLoss(gamma=3.0) of probabilities",
        make=lambda: ds.FocalLoss(gamma=3.0),
        inputs=scores((4, 5)),
        no_namesake="torch.nn has none, and the paper has targets of 0 and 1 only",
    )
]
CASES += [
    without(f"DiceLoss({options})", labels(shape), dice_loss, f" on {shape}")
    for options, shape in [
        ("", (4, 30)),
        ("", (1, 1)),
        ("", (2, 5, 6)),
        ("smooth=0.1", (4, 30)),
        ("'sum'", (4, 30)),
        ("'none'", (4, 30)),
    ]
]

# ---- labels in order -------------------------------------------------------------------------------------


def spoken(times, batch, labels, inputs, targets):
    """Log probabilities of 5 classes, labels of which none is 0, the blank, and both lengths."""

    def inputs_of(g):
        log_probs = torch.randn(times, batch, 5, generator=g).log_softmax(2)
        target = torch.randint(1, 5, (batch, labels), generator=g)
        return log_probs, target, torch.tensor(inputs), torch.tensor(targets)

    return inputs_of


CASES += [
    Case(
        name=f"CTCLoss({option}){shown}",
        make=lambda option=option: build(ds, f"CTCLoss({option})"),
        inputs=inputs,
        no_namesake="its gradient of log probabilities is meant for a log-softmax before it, see test_ctc.py",
    )
    for option, shown, inputs in [
        ("", "", spoken(6, 3, 2, [6, 5, 6], [2, 1, 2])),
        ("reduction='sum'", "", spoken(6, 3, 2, [6, 5, 6], [2, 1, 2])),
        ("reduction='none'", "", spoken(6, 3, 2, [6, 5, 6], [2, 1, 2])),
        ("zero_infinity=True", " of a target too long", spoken(4, 2, 4, [4, 3], [2, 4])),
        ("", " of no label", spoken(3, 2, 0, [3, 2], [0, 0])),
    ]
]
