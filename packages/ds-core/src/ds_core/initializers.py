"""Initial values of parameters: each function fills a tensor in place and returns it.

Every layer with weights takes ``init=``: a name of :data:`INITIALIZERS` or any function called as
``init(tensor, generator=generator)``, such as ``partial(he_normal_, nonlinearity="tanh")``.

A tensor on the device "meta" is returned as it is: to draw nothing, torch would load its compiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypedDict

import torch
from torch import Tensor

# A name of INITIALIZERS ("he_normal") or a function that fills a tensor in place.
Init = str | Callable[..., Tensor]
Mode = Literal["fan_in", "fan_out"]


class Start(TypedDict, total=False):
    """The keyword options for the initial values of a layer's parameters.

    Attributes:
        init: of the weights: a name or function of this module, or one like them, ``init(weight,
            generator=...)``, which fills the weight; None for the layer's default.
        generator: source of the initial values, and of dropout if there is some; None for torch's global one.
    """

    init: Init | None
    generator: torch.Generator | None


# ---- constants ---------------------------------------------------------------------------------------


@torch.no_grad()
def constant_(tensor: Tensor, val: float, generator: torch.Generator | None = None) -> Tensor:
    """Fills with one value."""
    return tensor.fill_(val)


def zeros_(tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Fills with 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Fills with 1."""
    return constant_(tensor, 1.0)


@torch.no_grad()
def eye_(tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Fills a matrix with ones on the diagonal and zeros elsewhere.

    Raises:
        ValueError: if the tensor is not a matrix.
    """
    _check_matrix("eye", tensor)
    tensor.zero_().diagonal().fill_(1.0)
    return tensor


# ---- distributions with given bounds -----------------------------------------------------------------


@torch.no_grad()
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Fills with U(a, b).

    Raises:
        ValueError: if the bounds are not finite or not in order.
    """
    _check_finite("uniform", a=a, b=b)
    if a > b:
        raise ValueError(f"uniform: expected bounds a <= b, got {a} and {b}")
    return tensor if tensor.is_meta else tensor.uniform_(a, b, generator=generator)


@torch.no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Fills with N(mean, std^2).

    Raises:
        ValueError: if a number is not finite, or the standard deviation is below 0.
    """
    _check_finite("normal", mean=mean, std=std)
    if std < 0:
        raise ValueError(f"normal: expected std of at least 0, got {std}")
    return tensor if tensor.is_meta else tensor.normal_(mean, std, generator=generator)


@torch.no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fills with N(mean, std^2) restricted to [a, b]: numbers outside are drawn again.

    Where less than 0.3 of the bell lies between the bounds that would take long; then numbers uniform in
    [a, b], or in the part of it where the bell has not yet fallen by e^-40, are kept with a probability in
    proportion to its height.

    Args:
        tensor: filled in place.
        mean: of the distribution before it is restricted.
        std: of the distribution before it is restricted.
        a: lower bound.
        b: upper bound.
        generator: source of the random numbers; None for torch's global one.

    Raises:
        ValueError: if the bounds are not in order, the mean is not finite, or the standard deviation is not
            above 0 or is too small to measure by it how far away the bounds are.
    """
    _check_finite("trunc_normal", mean=mean, std=std)
    if not a < b:
        raise ValueError(f"trunc_normal: expected bounds a < b, got {a} and {b}")
    if std <= 0:
        raise ValueError(f"trunc_normal: expected std above 0, got {std}")
    low, high = (a - mean) / std, (b - mean) / std  # in standard deviations
    top = max(low, min(0.0, high))  # where the bell is highest within the bounds
    if not math.isfinite(top):
        raise ValueError(f"trunc_normal: expected std of the size of the bounds {a} and {b}, got {std}")
    if tensor.is_meta:
        return tensor
    inside = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    reach = 80 / (math.sqrt(top**2 + 80) + abs(top))  # there (top + reach)^2 / 2 = top^2 / 2 + 40
    first, last = max(low - top, -reach), min(high - top, reach)
    pending = torch.ones_like(tensor, dtype=torch.bool)
    while pending.any():
        if inside > 0.3:
            drawn = torch.empty_like(tensor).normal_(mean, std, generator=generator)
            accepted = (drawn >= a) & (drawn <= b)
        else:
            away = torch.empty_like(tensor).uniform_(first, last, generator=generator)  # from the top
            fallen = away * (top + away / 2)  # of the logarithm of the height
            accepted = torch.empty_like(tensor).uniform_(generator=generator).log() <= -fallen
            drawn = (mean + std * (top + away)).clamp(a, b)
        tensor.copy_(torch.where(pending & accepted, drawn, tensor))
        pending &= ~accepted
    return tensor


@torch.no_grad()
def sparse_(
    tensor: Tensor, sparsity: float = 0.9, std: float = 0.01, generator: torch.Generator | None = None
) -> Tensor:
    """Fills a matrix with N(0, std^2), then sets ``ceil(sparsity * rows)`` random entries per column to 0.

    Args:
        tensor: filled in place, ``(out, in)``.
        sparsity: the share of each column that is zero.
        std: of the numbers that stay.
        generator: source of the random numbers; None for torch's global one.

    Raises:
        ValueError: if the tensor is not a matrix or the share is not between 0 and 1.

    Source: Martens, Deep learning via Hessian-free optimization (2010), section 5.
    """
    _check_matrix("sparse", tensor)
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse: expected sparsity from 0 to 1, got {sparsity}")
    zeros = math.ceil(sparsity * len(tensor))
    normal_(tensor, 0.0, std, generator)
    if tensor.is_meta:
        return tensor
    order = torch.rand(tensor.shape, generator=generator, device=tensor.device).argsort(0)
    return tensor.scatter_(0, order[:zeros], 0.0)


# ---- distributions scaled to the layer ---------------------------------------------------------------


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Returns by how much larger weights must start so that signals keep their size through a nonlinearity.

    Args:
        nonlinearity: "linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", or a convolution, which is
            linear: "conv1d" to "conv_transpose3d".
        param: the negative slope of leaky_relu; None for 0.01.

    Raises:
        ValueError: if the nonlinearity is not one of these, or the slope is not finite.

    Source: He et al., Delving Deep into Rectifiers (2015), equation 15, for the ReLU family. tanh's 5/3 and
    SELU's 3/4 are the empirical values that torch.nn.init uses.
    """
    slope = 0.01 if param is None else param
    _check_finite("calculate_gain", param=slope)
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2.0),
        "leaky_relu": math.sqrt(2.0 / (1 + slope**2)),
        "selu": 3 / 4,
    }
    gains |= {f"conv{transpose}{n}d": 1.0 for transpose in ("", "_transpose") for n in (1, 2, 3)}
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: expected one of {', '.join(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """Returns how many inputs each output sums up, and how many outputs each input reaches.

    Args:
        tensor: a weight ``(out, in, ...)``; the rest are a convolution's kernel sizes.

    Raises:
        ValueError: if the weight has fewer than two dimensions.
    """
    if tensor.dim() < 2:
        raise ValueError(
            "init: expected a weight of at least 2 dimensions (out, in, ...), "
            f"got shape {tuple(tensor.shape)}"
        )
    positions = math.prod(tensor.shape[2:])
    return tensor.shape[1] * positions, tensor.shape[0] * positions


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Fills with U(-r, r), r = gain sqrt(6 / (fan_in + fan_out)): signals and gradients keep their size.

    Source: Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks (2010),
    equation 16.
    """
    _check_gain(gain)
    std = gain * math.sqrt(2.0 / max(1, sum(fans(tensor))))
    return _uniform_of_std(tensor, std, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Fills with N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)).

    Source: as for :func:`xavier_uniform_`, equation 12.
    """
    _check_gain(gain)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(1, sum(fans(tensor)))), generator)


def he_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fills with U(-r, r), r = gain sqrt(3 / fan): signals keep their size through layers of ReLUs.

    Args:
        tensor: filled in place, ``(out, in, ...)``.
        a: the negative slope if the nonlinearity is leaky_relu; 0 is ReLU.
        mode: "fan_in" keeps the size of signals, "fan_out" that of gradients.
        nonlinearity: what follows the layer, as in :func:`calculate_gain`.
        generator: source of the random numbers; None for torch's global one.

    Source: He et al., Delving Deep into Rectifiers (2015), equations 10 and 14.
    """
    return _uniform_of_std(tensor, _he_std(tensor, a, mode, nonlinearity), generator)


def he_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fills with N(0, s^2), s = gain / sqrt(fan); arguments and source as for :func:`he_uniform_`."""
    return normal_(tensor, 0.0, _he_std(tensor, a, mode, nonlinearity), generator)


kaiming_uniform_, kaiming_normal_ = he_uniform_, he_normal_  # as torch.nn.init calls them


def lecun_uniform_(tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Fills with U(-r, r), r = sqrt(3 / fan_in): the sum of fan_in inputs keeps the size of one.

    Source: LeCun et al., Efficient BackProp (1998), equation 16.
    """
    return he_uniform_(tensor, nonlinearity="linear", generator=generator)


def lecun_normal_(tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Fills with N(0, 1 / fan_in), as SELU networks want it; source as for :func:`lecun_uniform_`."""
    return he_normal_(tensor, nonlinearity="linear", generator=generator)


def _he_std(tensor: Tensor, a: float, mode: Mode, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"he: expected mode 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fan))


def _uniform_of_std(tensor: Tensor, std: float, generator: torch.Generator | None) -> Tensor:
    bound = math.sqrt(3.0) * std  # U(-r, r) has the standard deviation r / sqrt(3)
    return uniform_(tensor, -bound, bound, generator)


def torch_linear_(tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Fills a weight ``(out, in, ...)`` with U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch.nn's default."""
    return torch_linear_bias_(tensor, fans(tensor)[0], generator)


def torch_linear_bias_(tensor: Tensor, fan_in: int, generator: torch.Generator | None = None) -> Tensor:
    """Fills a bias with U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch.nn's default."""
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return uniform_(tensor, -bound, bound, generator)


# ---- orthogonal --------------------------------------------------------------------------------------


@torch.no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Fills with a random matrix whose rows or columns, whichever are fewer, are orthonormal, times a gain.

    A matrix of N(0, 1) made orthonormal by Gram-Schmidt is uniform among all such matrices. A weight
    ``(out, in, ...)`` counts as the matrix ``(out, in ...)``.

    Args:
        tensor: filled in place, at least two dimensions.
        gain: the factor by which the map stretches.
        generator: source of the random numbers; None for torch's global one.

    Raises:
        ValueError: if the tensor has fewer than two dimensions.

    Source: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks (2013).
    """
    fans(tensor)  # at least two dimensions
    _check_finite("orthogonal", gain=gain)
    if tensor.numel() == 0 or tensor.is_meta:
        return tensor
    drawn = torch.empty_like(tensor).flatten(1).normal_(generator=generator)  # (out, in ...)
    tall = drawn if drawn.shape[0] >= drawn.shape[1] else drawn.T
    made = gain * _gram_schmidt(tall.double())
    return tensor.copy_((made if tall is drawn else made.T).view_as(tensor))


def _gram_schmidt(columns: Tensor) -> Tensor:
    """Returns orthonormal columns that span the same space, ``(rows, n)`` with n <= rows.

    Half of the columns are made orthonormal, the other half is freed of what lies in their span (twice,
    since rounding leaves a little), then made orthonormal itself: Gram-Schmidt as matrix products.
    """
    n = columns.shape[1]
    if n == 1:
        return columns / columns.square().sum().sqrt()
    done = _gram_schmidt(columns[:, : n // 2])
    rest = columns[:, n // 2 :]
    for _ in range(2):
        rest = rest - done @ (done.T @ rest)
    return torch.cat([done, _gram_schmidt(rest)], 1)


# ---- by name -----------------------------------------------------------------------------------------


INITIALIZERS: dict[str, Callable[..., Tensor]] = {
    "eye": eye_,
    "he_normal": he_normal_,
    "he_uniform": he_uniform_,
    "kaiming_normal": kaiming_normal_,
    "kaiming_uniform": kaiming_uniform_,
    "lecun_normal": lecun_normal_,
    "lecun_uniform": lecun_uniform_,
    "normal": normal_,
    "ones": ones_,
    "orthogonal": orthogonal_,
    "sparse": sparse_,
    "torch_linear": torch_linear_,
    "trunc_normal": trunc_normal_,
    "uniform": uniform_,
    "xavier_normal": xavier_normal_,
    "xavier_uniform": xavier_uniform_,
    "zeros": zeros_,
}


@torch.no_grad()
def initialize(tensor: Tensor, init: Init | None, generator: torch.Generator | None = None) -> Tensor:
    """Fills a weight by name, by function, or (None) with torch.nn's default for linear maps.

    Raises:
        ValueError: if the name is not in INITIALIZERS, lists those that are; or if the function returns a new
            tensor, and so may have left this one as it was.
    """
    if init is None:
        init = torch_linear_
    if isinstance(init, str):
        if init not in INITIALIZERS:
            raise ValueError(f"init: expected one of {', '.join(INITIALIZERS)}, got {init!r}")
        init = INITIALIZERS[init]
    filled = init(tensor, generator=generator)
    if isinstance(filled, Tensor) and filled.data_ptr() != tensor.data_ptr():
        raise ValueError(
            "init: expected a function that fills the weight it is given, got a new tensor from it"
        )
    return tensor


def _check_finite(name: str, **numbers: float) -> None:
    for argument, number in numbers.items():
        if not math.isfinite(number):
            raise ValueError(f"{name}: expected a finite {argument}, got {number}")


def _check_gain(gain: float) -> None:
    if not 0 <= gain < math.inf:
        raise ValueError(f"xavier: expected a finite gain of at least 0, got {gain}")


def _check_matrix(name: str, tensor: Tensor) -> None:
    if tensor.dim() != 2:
        raise ValueError(f"{name}: expected a matrix (out, in), got shape {tuple(tensor.shape)}")
