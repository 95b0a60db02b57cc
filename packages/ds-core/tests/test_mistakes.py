"""check_gradients: mistakes that everybody makes once, each caught with a message that names the cause."""

import pytest
import torch
from ds_core import Dense, Module, Parameter, Sequential
from ds_core.losses import Loss
from ds_core.verify import check_gradients


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X = draw(4, 3, seed=5)


def layer(forward, backward, **parameters):
    """Makes a layer of two functions; ``backward(self, grad, *saved)``."""

    made = type("Layer", (Module,), {"forward": forward, "backward": backward})()
    for name, value in parameters.items():
        setattr(made, name, value if isinstance(value, Module) else Parameter(value))
    return made


# ---- an affine map: y = w x + b, w and b of 3 numbers, and a product: y = x W^T ---------------------------


def affine(backward, forward=None):
    def plain(self, x):
        self.save(x)
        return self.weight * x + self.bias

    return layer(forward or plain, backward, weight=draw(3, seed=2), bias=draw(3, seed=3))


def product(backward, forward=None, size=3):
    def plain(self, x):
        self.save(x)
        return x @ self.weight.T

    return layer(forward or plain, backward, weight=draw(size, 3, seed=2))


def function(forward, backward):
    """Makes a layer without parameters; backward gets what ``forward(x)`` returns second."""

    def run(self, x):
        y, saved = forward(x)
        self.save(saved)
        return y

    return layer(run, lambda self, grad: backward(grad, *self.saved()))


def affine_backward(sign=1.0, weight=None, bias=True, x=None):
    def backward(self, grad):
        (saved,) = self.saved()
        if weight is not False:
            self.add_grad("weight", lambda: (grad * saved).sum(0) if weight is None else weight(grad, saved))
        if bias:
            self.add_grad("bias", lambda: grad.sum(0))
        return sign * (self.weight * grad if x is None else x(self, grad))

    return backward


def product_backward(weight=None, x=None):
    def backward(self, grad):
        (saved,) = self.saved()
        self.add_grad("weight", lambda: grad.T @ saved if weight is None else weight(grad, saved))
        return grad @ self.weight if x is None else x(self, grad)

    return backward


class Half(Loss):
    """L = mean of x^2 / 2, with a backward that may be wrong."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, input):
        self.save(input)
        return (input * input / 2).mean()

    def backward(self, grad=1.0):
        (x,) = self.saved()
        return self.change(grad, x)


def residual(backward):
    def forward(self, x):
        return x + self.inner(x)

    return layer(forward, backward, inner=Dense(3, 3, generator=torch.Generator().manual_seed(0)))


def branches(backward):
    def forward(self, x):
        return self.left(x) + self.right(x)

    g = torch.Generator().manual_seed(0)
    return layer(forward, backward, left=Dense(3, 3, generator=g), right=Dense(3, 3, generator=g))


def halves(backward):
    """Adds two inputs, one of them doubled."""

    def forward(self, a, b):
        self.save()
        return a + 2 * b

    return layer(forward, backward)


def overwriting(self, x):
    y = x.sigmoid()
    self.save(y)
    return y


def overwriting_backward(self, grad):
    (y,) = self.saved()
    return y.mul_(1 - y).mul_(grad)  # writes over y, which forward returned


def through_data(self, x):
    self.save(x)
    return self.weight.data * x + self.bias


def assigned(self, grad):
    (x,) = self.saved()
    if self.weight.requires_grad:
        self.weight.grad = (grad * x).sum(0)
    self.add_grad("bias", lambda: grad.sum(0))
    return self.weight * grad


def to_attribute(self, x):
    self.kept = x
    self.save()
    return self.weight * x + self.bias


def from_attribute(self, grad):
    self.saved()
    self.add_grad("weight", lambda: (grad * self.kept).sum(0))
    self.add_grad("bias", lambda: grad.sum(0))
    return self.weight * grad


def thawed(self, grad):
    (x,) = self.saved()
    self.weight.grad = (grad * x).sum(0) + (0 if self.weight.grad is None else self.weight.grad)
    self.add_grad("bias", lambda: grad.sum(0))
    return self.weight * grad


def silent(self, grad):
    affine_backward()(self, grad)


def normalise(x):
    centred = x - x.mean(1, keepdim=True)
    return centred, None


def rows_backward(grad, ids):
    grad_table = torch.zeros(3, 3, dtype=grad.dtype)
    grad_table[ids] = grad  # the last one wins
    return grad_table


def lookup(backward):
    def forward(self, ids):
        self.save(ids)
        return self.weight[ids]

    def run(self, grad):
        (ids,) = self.saved()
        self.add_grad("weight", lambda: backward(grad, ids))

    return layer(forward, run, weight=draw(3, 3, seed=2)).requires_input_grad_(False)


def softmax(x):
    y = x.exp() / x.exp().sum(1, keepdim=True)
    return y, y


MASK = torch.tensor([[1.0, 0.0, 1.0]] * 4, dtype=torch.float64)
POSITIONS = torch.arange(1.0, 4.0, dtype=torch.float64)

MISTAKES = {
    "the sign": (affine(affine_backward(sign=-1.0)), X, "x", "the sign is wrong"),
    "a mean for a sum": (
        affine(affine_backward(weight=lambda g, x: (g * x).mean(0))),
        X,
        "weight",
        "0.25 times what it should be: is it divided by 4 once too often?",
    ),
    "a sum for a mean": (
        Half(lambda g, x: g * x / 3),
        X,
        "input",
        "4 times what it should be: is the mean over 4 missing?",
    ),
    "a factor 2": (Half(lambda g, x: 2 * g * x / 12), X, "input", "2 times what it should be"),
    "a matrix transposed": (
        product(product_backward(weight=lambda g, x: x.T @ g)),
        X,
        "weight",
        "transposed",
    ),
    "a matrix not transposed": (
        product(product_backward(x=lambda m, g: g @ m.weight.T), size=3),
        X,
        "x",
        "torch's autograd says",
    ),
    "a bias forgotten": (affine(affine_backward(bias=False)), X, "bias", "backward gives it no gradient"),
    "one example's": (affine(affine_backward(weight=lambda g, x: g[0] * x[0])), X, "weight", "says"),
    "zeros": (affine(affine_backward(x=lambda m, g: 0 * g)), X, "x", "it is all zeros"),
    "the gradient from above forgotten": (
        function(lambda x: (x * x, x), lambda g, x: 2 * x),
        X,
        "x",
        "the gradient from above is not multiplied into it",
    ),
    "a mask forgotten": (
        function(lambda x: (x * MASK.to(x), x), lambda g, x: g),
        X,
        "x",
        "should be 0: is a mask or a case forgotten?",
    ),
    "a relu that lets all through": (
        function(lambda x: (x.clamp(min=0), x), lambda g, x: g),
        X,
        "x",
        "is a mask or a case forgotten?",
    ),
    "a part forgotten": (
        function(lambda x: (2 * x, x), lambda g, x: 2 * torch.cat([g[:, :2], 0 * g[:, 2:]], 1)),
        X,
        "x",
        "are 0 and should not be: is a case forgotten?",
    ),
    "a shortcut forgotten": (
        residual(lambda self, grad: self.inner.backward(grad)),
        X,
        "x",
        "was a shortcut, x + f(x), forgotten?",
    ),
    "a shortcut twice": (
        residual(lambda self, grad: 2 * grad + self.inner.backward(grad)),
        X,
        "x",
        "once too often",
    ),
    "a branch forgotten": (
        branches(lambda self, grad: self.left.backward(grad)),
        X,
        "backward",
        "1 left in Dense(3, 3): was a branch forgotten",
    ),
    "a branch's gradient not added": (
        branches(lambda self, grad: (self.right.backward(grad), self.left.backward(grad))[1]),
        X,
        "x",
        "says",
    ),
    "a roll by one": (
        function(lambda x: (x.roll(1, 1), None), lambda g, _: g),
        X,
        "x",
        "shifted by one along dimension 1: an index or a padding is off by one",
    ),
    "not reversed": (
        function(lambda x: (x.flip(1) * 2, None), lambda g, _: 2 * g),
        X,
        "x",
        "runs backwards along dimension 1",
    ),
    "rows in another order": (
        function(lambda x: (x[[2, 0, 1, 3]], None), lambda g, _: g[[2, 0, 1, 3]]),
        X,
        "x",
        "in another order",
    ),
    "a wrong permute": (
        function(lambda x: (x.permute(1, 2, 0), None), lambda g, _: g.permute(1, 2, 0)),
        draw(3, 3, 3),
        "x",
        "its dimensions are in another order",
    ),
    "a wrong view": (
        function(lambda x: (x.T.reshape(4, 3), None), lambda g, _: g.clone()),
        X,
        "x",
        "in another order",
    ),
    "the way through the mean": (
        function(normalise, lambda g, _: g.clone()),
        X,
        "x",
        "its mean along dimension 1 should be 0: the way through a mean or a sum is missing",
    ),
    "summed along a dimension": (
        function(
            lambda x: (x * POSITIONS.to(x), x), lambda g, x: (g * POSITIONS).sum(1, keepdim=True).expand(4, 3)
        ),
        X,
        "x",
        "the same all along dimension 1",
    ),
    "the last of equal ids wins": (
        lookup(rows_backward),
        torch.tensor([0, 2, 0, 1]),
        "weight",
        "3 of 9 numbers are wrong, the others right",
    ),
    "signs here and there": (
        function(lambda x: (x.abs(), x), lambda g, x: g),
        X,
        "x",
        "the sign of ",
    ),
    "softmax as if it were elementwise": (
        function(softmax, lambda g, y: g * y),
        X,
        "x",
        "says",
    ),
    "half precision in between": (
        affine(affine_backward(x=lambda m, g: (m.weight * g).float())),
        X,
        "x",
        "torch.float32",
    ),
    "a state that is written over": (
        layer(overwriting, overwriting_backward),
        X,
        "the output",
        "wrote over it",
    ),
    "a parameter through .data": (
        affine(affine_backward(), through_data),
        X,
        "weight",
        "autograd sees nothing of it: does forward use its .data, or detach()?",
    ),
    "assigned, not added": (affine(assigned), X, "weight", "called twice before two backwards"),
    "kept in an attribute": (affine(from_attribute, to_attribute), X, "weight", "called twice before two"),
    "frozen and yet trained": (affine(thawed), X, "weight", "with all parameters frozen: it has a gradient"),
    "the input's gradient forgotten": (affine(silent), X, "x", "backward gives it no gradient"),
    "summed over the examples": (
        affine(affine_backward(x=lambda m, g: (m.weight * g).sum(0))),
        X,
        "x",
        "of shape (3,), expected torch.float64 of shape (4, 3)",
    ),
    "saved and never taken": (
        affine(
            affine_backward(), lambda self, x: (self.save(x), self.save(x))[0] or self.weight * x + self.bias
        ),
        X,
        "backward",
        "save() without its saved()",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_it_is_caught_and_the_cause_is_named(mistake):
    module, x, culprit, says = MISTAKES[mistake]
    report = check_gradients(module, x)
    assert not report.ok
    found = {}
    for name, what in report.problems:
        found.setdefault(name, what)
    assert culprit in found, report
    assert says in found[culprit]


def test_a_gradient_of_a_wrong_shape_stops_at_once_and_says_why():
    module = affine(affine_backward(weight=lambda g, x: g * x))
    with pytest.raises(ValueError, match="it has a row per example; sum over the batch"):
        check_gradients(module, X)


def test_a_parameter_that_neither_knows_of():
    module = affine(affine_backward(weight=False), through_data)
    report = check_gradients(module, X)
    assert "backward gives it no gradient, and autograd sees nothing" in dict(report.problems)["weight"]


def test_one_of_two_input_gradients_left_out():
    def one(self, grad):
        self.saved()
        return grad.clone()

    report = check_gradients(halves(one), X, X + 1)
    assert dict(report.problems)["b"] == "backward gives it no gradient: it returned one for 2 inputs"

    def by_design(self, grad):
        self.saved()
        return grad.clone(), None

    assert check_gradients(halves(by_design), X, X + 1).ok


def test_one_example_cannot_tell_a_sum():
    wrong = affine(affine_backward(weight=lambda g, x: (g * x).mean(0)))
    report = check_gradients(wrong, X[:1])
    assert report.ok
    assert "a mean over them cannot be told from a sum" in str(report)
    assert not check_gradients(wrong, X).notes


def test_a_layer_below_one_that_returns_no_gradient_says_where_to_look():
    def forgetful(self, grad, *saved):
        self.saved()

    model = Sequential(Dense(3, 3), affine(forgetful))
    with pytest.raises(TypeError, match=r"Dense\(3, 3\).*got None; does what its output goes to"):
        check_gradients(model, X)


def test_a_composite_that_needs_a_gradient_nobody_wants_says_so():
    class Skip(Sequential):
        def forward(self, input):
            return input + super().forward(input)

        def backward(self, grad):
            return grad + super().backward(grad)

    report = check_gradients(Skip(Dense(3, 3)), X)
    ((_, problem),) = report.problems
    assert "with the input gradient unwanted" in problem
    assert "nobody wants the gradient of its input (input_grad is False)" in problem
