"""Bad values and types meet clear errors: the quick form of ``hatch run fuzz``."""

from pathlib import Path

import pytest
import torch
from ds_core import BatchNorm1d, Dense, Module, ModuleList, MSELoss, ReLU, Sequential, engine, keep_for_second
from ds_core.optimizers import SGD
from ds_core.schedulers import PolynomialLR
from ds_transformer import TransformerDecoderLayer

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    import fuzz

    return fuzz


def test_bad_values_meet_clear_errors(fuzz):
    outcomes = fuzz.fuzz(400, seed=1, folders="packages/ds-core/tests/cases")
    assert fuzz.passes(outcomes), fuzz.report(outcomes)


def test_the_judge(fuzz):
    def trial(run, reference=None, may_pass=False):
        return fuzz.judge(fuzz.Trial("it", run, reference, may_pass))

    assert trial(lambda: Dense(2, 3)(torch.ones(4, 5))).kind == "clear"
    assert trial(lambda: torch.ones(2) @ torch.ones(3)).kind == "raw"
    assert trial(lambda: None).kind == "nonsense"
    assert trial(lambda: None, lambda: None).kind == "as torch"
    assert trial(lambda: None, lambda: 1 / 0).kind == "nonsense"
    assert trial(lambda: None, may_pass=True) is None


def sgd():
    return SGD(Dense(2, 2).parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: Dense(8 / 2, 3), TypeError, r"Dense: expected in_features to be a whole number, got 4\.0"),
        (lambda: Dense(-1, 3), ValueError, "Dense: expected in_features of at least 0, got -1"),
        (lambda: Dense(3, 2, bias="no"), TypeError, "Dense: expected bias to be True or False, got 'no'"),
        (
            lambda: BatchNorm1d(3, eps=float("nan")),
            ValueError,
            "BatchNorm1d: expected eps to be a number, got nan",
        ),
        (
            lambda: PolynomialLR(sgd(), "5"),
            TypeError,
            "PolynomialLR: expected total_iters to be a whole number",
        ),
        (
            lambda: Dense(3, 2)([[1, 2, 3]]),
            TypeError,
            r"expected input to be a tensor, got .* torch\.as_tensor",
        ),
        (
            lambda: Dense(3, 2)(torch.ones(1, 3).numpy()),
            TypeError,
            "expected input to be a tensor, got an array",
        ),
        (
            lambda: TransformerDecoderLayer(4, 2)(torch.ones(2, 4), None),
            TypeError,
            r"TransformerDecoderLayer\(.*: expected memory to be a tensor, got None",
        ),
        (lambda: Sequential(ReLU())(torch.ones(2).numpy()), TypeError, "to be a tensor, got an array"),
        (
            lambda: MSELoss()(torch.ones(2), torch.ones(2).numpy()),
            TypeError,
            "expected target to be a tensor",
        ),
        (
            lambda: MSELoss()(torch.ones(2), torch.ones(2, device="meta")),
            ValueError,
            "on cpu like input, got meta",
        ),
        (
            lambda: Dense(3, 2)(torch.ones(1, 3, device="meta")),
            ValueError,
            "on cpu like its parameters, got meta",
        ),
    ],
)
def test_what_is_said(call, error, said):
    with pytest.raises(error, match=said), engine("manual"):
        call()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda g: g.numpy(), TypeError, "expected a gradient as a tensor of shape .4, 2."),
        (lambda g: g.tolist(), TypeError, "expected a gradient as a tensor of shape .4, 2."),
        (lambda g: 1.0, TypeError, "expected a gradient as a tensor of shape .4, 2.*, got 1.0"),
        (lambda g: g.double(), TypeError, r"expected a gradient of torch\.float32 like what forward gave"),
        (
            lambda g: g.to("meta"),
            ValueError,
            "expected a gradient on cpu like what forward gave, got one on meta",
        ),
        (
            lambda g: g.T,
            ValueError,
            "expected a gradient of the shape .4, 2. of what forward gave, got .2, 4.",
        ),
    ],
)
def test_what_is_said_of_gradients(change, error, said):
    layer = Dense(3, 2)
    with engine("manual"):
        y = layer(torch.ones(4, 3))
        with pytest.raises(error, match=said):
            layer.backward(change(torch.ones_like(y)))


class Pair(Module):
    """Gives its input twice, the second time to look at alone."""

    def forward(self, x):
        self.save()
        return x, x.detach()

    def backward(self, grad, *_):
        self.saved()
        return grad


def test_a_gradient_too_many_is_refused():
    module, x = Pair(), torch.ones(2)
    for grads, said in [
        ((x, x), r"Pair\(\): expected None as gradient 1 from 0: that output is for looking at"),
        ((x, None, None), r"Pair\(\): expected at most 2 gradients, one for each output of forward, got 3"),
    ]:
        with engine("manual"):
            module(x)
            with pytest.raises(ValueError, match=said):
                module.backward(*grads)
    with engine("manual"):
        module(x)
        assert module.backward(x, None) is x


def test_numbers_elsewhere_are_nothing_bad_where_all_are(fuzz):
    """Options beside the one tensor of a module without parameters are nowhere."""
    outcomes = fuzz.fuzz(match="forward(scores=<float32", folders="packages/ds-zoo/tests/cases")
    assert not [outcome for outcome in outcomes if outcome.kind == "nonsense"]


def test_a_sequential_of_nothing_is_the_identity_and_checks_what_it_is_given():
    module, x = Sequential(), torch.ones(2, 3)
    with engine("manual"), keep_for_second():
        assert module(x) is x
        assert module.backward(2 * x).equal(2 * x)
        assert module.second_backward(3 * x).equal(3 * x)
        assert module.backward(torch.zeros_like(x)).equal(torch.zeros_like(x))
        module(x)
        with pytest.raises(
            TypeError, match=r"expected a gradient as a tensor of shape .2, 3., .* got 'text'"
        ):
            module.backward("text")
    with pytest.raises(TypeError, match=r"ModuleList: expected modules as a list of them, got 2\.5"):
        ModuleList(2.5)
