"""Checks on inputs, so that a wrong shape or type names the layer, what it expected and what it got."""

from __future__ import annotations

import difflib
import dis
import inspect
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Protocol, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

_MOST = 2**63  # no whole number reaches it
_DEVICES = 128  # of one kind, at most
_LONGEST = 60  # characters of a value in a message


class Labelled(Protocol):
    """What is needed here of a module."""

    input_grad: bool

    def forward(self, *args: Any, **kwargs: Any) -> Any: ...

    def label(self) -> str: ...

    def parameters(self) -> Iterator[Tensor]: ...


class Partial(ValueError):
    """Some of what was asked could be answered, and the rest could not: the message says why.

    Args:
        message: what could not.
        result: the answers there are; a command prints them first.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


# ---- arguments, by their annotations -----------------------------------------------------------------


def checked_constructor(init: Callable[..., None]) -> Callable[..., None]:
    """Makes a constructor check its arguments against their annotations.

    What fails inside nevertheless is explained, if an argument is to blame: a size below zero.

    Args:
        init: an ``__init__``.

    Raises:
        TypeError: names class and argument, if a value is not what the annotation says.
        ValueError: if it is NaN, beyond int64, or another word than those there are.
    """
    signature = inspect.signature(init)
    hints: dict[str, Any] = {}

    @wraps(init)
    def checked(self: Any, *args: Any, **options: Any) -> None:
        if not hints:
            hints.update(_hints(init), self=Any)
        try:
            given = signature.bind(self, *args, **options).arguments
        except TypeError:  # Python says it itself
            given = {}
        who = type(self).__name__
        for name, value in given.items():
            if name in hints:
                _check_argument(who, name, value, hints[name], signature.parameters[name])
        try:
            init(self, *args, **options)
        except Exception as error:
            if not _on_purpose(error):
                for name, value in given.items():
                    if name != "self" and _below_zero(value):
                        raise ValueError(
                            f"{who}: expected {name} of at least 0, got {shown(value)}"
                        ) from error
            raise

    return checked


def fits(value: Any, hint: Any) -> bool:
    """Says whether a value is what an annotation says; lists pass for tuples, of any length; NaN never."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(word) and value == word for word in parts)
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool) and abs(int(value)) < _MOST
    if hint is float:
        return (
            isinstance(value, Real)
            and not isinstance(value, bool)
            and not math.isnan(value)
            and (not isinstance(value, Integral) or abs(int(value)) < _MOST)
        )
    if hint is torch.device:
        return isinstance(value, torch.device) or (type(value) is int and 0 <= value < _DEVICES)
    if origin in (tuple, list):
        if not isinstance(value, (tuple, list)):
            return False
        return all(any(fits(one, part) for part in parts) for one in value)
    if origin is Sequence:
        if isinstance(value, (tuple, list)):
            return all(fits(one, parts[0]) for one in value)
        return isinstance(value, Sequence) and not isinstance(value, str)
    if origin is Iterable:  # what comes out of it, its user sees
        return True
    kind = origin or hint
    try:
        return isinstance(value, kind)
    except TypeError:  # it is none that can be asked for
        return True


def shown(value: Any) -> str:
    """Writes a value the way error messages show it; a tensor or an array by its type and shape.

    And what holds tensors by theirs.
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        kind = "a tensor" if isinstance(value, Tensor) else "an array"
        return f"{kind} of {value.dtype} and shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)) and any(isinstance(part, Tensor) for part in value):
        few = ", ".join(map(shown, value[:3])) + (", ..." if len(value) > 3 else "")
        return f"a {type(value).__name__} of {len(value)}: {few}"
    text = " ".join(line.strip() for line in repr(value).split("\n"))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({type(value).__name__})"


def described(hint: Any) -> str:
    """Says in words what an annotation lets pass."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        ordered = sorted(parts, key=lambda part: part is type(None))
        if float in parts:
            ordered = [part for part in ordered if part is not int]
        return " or ".join(dict.fromkeys(map(described, ordered)))
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if origin in (tuple, list, Sequence, Iterable):
        number = str(len(parts)) if origin is tuple and parts[-1] is not Ellipsis else "several"
        return f"{number} of: {described(parts[0])}"
    name = str(getattr(hint, "__name__", hint))
    name += " of ds_core" if name in ("Module", "Optimizer", "Scheduler") else ""  # torch has them, too
    return _WORDS.get(hint) or _WORDS.get(origin) or f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


_WORDS: dict[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    type(None): "None",
    Callable: "a function",
    Tensor: "a tensor",
    torch.dtype: "a dtype",
    torch.device: "a device",
    torch.Generator: "a torch.Generator",
}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns name -> annotation, without those that only a type checker can read."""
    found = {}
    for name, hint in inspect.unwrap(function).__annotations__.items():
        try:
            found[name] = eval(hint, inspect.unwrap(function).__globals__) if isinstance(hint, str) else hint
        except (NameError, TypeError):
            continue
    return found


def _check_argument(who: str, name: str, value: Any, hint: Any, parameter: inspect.Parameter) -> None:
    """Raises an error if a value is not what an annotation says."""
    several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    if several or value is parameter.default or fits(value, hint):
        return
    number = isinstance(value, Real) and not isinstance(value, bool)
    word = isinstance(value, str) and any(get_origin(part) is Literal for part in (hint, *get_args(hint)))
    kind = ValueError if word or (number and (value != value or abs(value) >= _MOST)) else TypeError
    to_be = "" if get_origin(hint) is Literal else "to be "
    raise kind(f"{who}: expected {name} {to_be}{described(hint)}, got {shown(value)}")


def _below_zero(value: Any) -> bool:
    """Says whether a value is a whole number below zero, or several of which one is."""
    if isinstance(value, (tuple, list)):
        return any(map(_below_zero, value))
    return isinstance(value, Integral) and value < 0


def _on_purpose(error: BaseException) -> bool:
    """Says whether a ``raise`` of this project raised an error, rather than something it called."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or not str(last.tb_frame.f_globals.get("__name__")).startswith("ds_"):
        return False
    return last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]


# ---- what a module is called with --------------------------------------------------------------------


def check_inputs(module: Labelled, args: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Checks what would be computed with in silence, of several inputs.

    Raises:
        TypeError, ValueError: see :func:`explain_call`.
    """
    kinds = set()
    for value in (*args, *options.values()):
        if isinstance(value, Tensor):
            kinds.add(value.is_meta)
            if value.is_complex():
                break
        elif hasattr(value, "__array__"):
            break
    else:
        if len(kinds) < 2:
            return
    explain_call(module, args, options)


def explain_call(
    module: Labelled, args: tuple[Any, ...], options: Mapping[str, Any], error: Exception | None = None
) -> None:
    """Raises an error that says which input of a forward is to blame, if one is.

    Args:
        module: whose forward it is.
        args: what it is called with.
        options: what it is called with.
        error: what was raised; what was raised on purpose says itself what is wrong.

    Raises:
        TypeError: if an input is not what the annotation says, or complex, or there are too many or too few.
        ValueError: if it lies on another device than the parameters, or than another input.
    """
    if error is not None and _on_purpose(error):
        return
    forward = type(module).forward
    signature = inspect.signature(forward)
    try:
        given = signature.bind(module, *args, **options).arguments
    except TypeError as wrong:
        if "forward" in vars(module):  # it was another that was called
            return
        takes = ", ".join([*signature.parameters][1:])
        got = [*map(shown, args), *(f"{name}={shown(value)}" for name, value in options.items())]
        raise TypeError(
            f"{module.label()}: forward takes {takes}; {wrong}: it was given {', '.join(got) or 'nothing'}"
        ) from error
    hints, like, whose = _hints(forward), next(module.parameters(), None), "its parameters"
    for name, values in list(given.items())[1:]:
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            continue
        for value in values if kind is inspect.Parameter.VAR_POSITIONAL else [values]:
            who = f"{module.label()}: expected {name}"
            if not fits(value, hint := hints.get(name, Any)):
                wanted = f"{who} to be {described(hint)}, got {shown(value)}"
                raise TypeError(wanted + how_to_get_a_tensor(value)) from error
            if not isinstance(value, Tensor):
                continue
            if value.is_complex():
                raise TypeError(f"{who} to hold real numbers, got {shown(value)}") from error
            if like is not None and value.device != like.device:
                raise ValueError(
                    f"{who} on {like.device} like {whose}, got {value.device}; move it with "
                    f"{name}.to({str(like.device)!r})"
                ) from error
            if like is None:
                like, whose = value, name


def explain_backward(module: Labelled, grads: tuple[Any, ...], error: Exception) -> None:
    """Raises a TypeError that says so, if an error came of a gradient that is no tensor.

    That is one from above, or, in a composite whose input's gradient nobody wants, one from below.

    Args:
        module: whose backward it is.
        grads: what it was given.
        error: what was raised; what was raised on purpose says itself what is wrong.
    """
    if _on_purpose(error):
        return
    for grad in grads:
        if not isinstance(grad, Tensor):
            advice = "; does what its output goes to return a gradient from backward?" if grad is None else ""
            raise TypeError(
                f"{module.label()}: expected a gradient as a tensor, got {shown(grad)}{advice}"
            ) from error
    if "NoneType" in str(error) and not module.input_grad:
        raise TypeError(
            f"{module.label()}.backward: {error}; nobody wants the gradient of its input (input_grad is "
            "False), so the modules that see it may return None: return None then, too"
        ) from error


def how_to_get_a_tensor(value: Any) -> str:
    """Says how a tensor comes of what was given in its place; empty if it does not."""
    if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) for part in value):
        return "; give one of these tensors, in a Sequential by FirstOutput, or torch.stack makes one of them"
    numbers = isinstance(value, (list, tuple, int, float)) or hasattr(value, "__array__")
    return "; torch.as_tensor makes a tensor of it" if numbers else ""


# ---- numbers on a device -----------------------------------------------------------------------------


class Doubt(NamedTuple):
    """Numbers that may be wrong; only the device knows as yet."""

    wrong: Tensor  # one boolean
    error: Callable[[], Exception]


class _Block(threading.local):
    """Of each thread: what the innermost :func:`checked_together` has collected; None outside."""

    doubts: list[Doubt] | None = None


_block = _Block()


@contextmanager
def checked_together() -> Iterator[list[Doubt]]:
    """Collects the doubts of :func:`check_numbers` in the block, to be read from the device all at once.

    At its end they are read, and the first error that is due is raised; what has been computed from wrong
    numbers meanwhile must not be used.
    """
    outer, _block.doubts = _block.doubts, []
    try:
        yield _block.doubts
    finally:
        _block.doubts = outer


def reads_at_once() -> bool:
    """Says whether :func:`check_numbers` reads its number from the device at once."""
    return _block.doubts is None


def check_numbers(wrong: Tensor, error: Callable[[], Exception]) -> bool:
    """Raises an error if numbers are wrong: at once, or at the end of :func:`checked_together`.

    Args:
        wrong: whether they are, one boolean on their device.
        error: makes the error.

    Returns:
        Whether the check is yet to come; what follows must survive wrong numbers then. While
        ``torch.compile`` traces, nobody can look.
    """
    if torch.compiler.is_compiling():
        return False
    if _block.doubts is None:
        if wrong:
            raise error()
        return False
    _block.doubts.append(Doubt(wrong, error))
    return True


def check_shows(who: str, name: str, mask: Tensor) -> None:
    """Checks that a mask of numbers says 1 where something is and 0 where there is filling.

    One that is added to scores, 0 and -inf or -10000, says the opposite; without filling it is 0 everywhere.

    Raises:
        ValueError: if it holds anything but 0 and 1, or no 1 at all.
    """
    if mask.dtype == torch.bool or not mask.numel():
        return
    if mask.dtype in (torch.int64, torch.int32, torch.uint8):
        least, largest = mask.aminmax()
        wrong = (least < 0) | (largest != 1)
    else:
        some = mask != 0
        wrong = (some & (mask != 1)).any() | ~some.any()
    check_numbers(
        wrong,
        lambda: ValueError(
            f"{who}: expected {name} of 1 where something is and 0 where there is filling, got numbers from "
            f"{mask.min().item():g} to {mask.max().item():g}; of one that is added to scores give mask == 0"
        ),
    )


def shape(x: Tensor) -> str:
    """Writes a shape the way error messages show it: ``(32, 28, 28)``."""
    return str(tuple(x.shape))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Returns ``; did you mean 'adam'?``, to end a message about an unknown name; "" if none is close."""
    close = difflib.get_close_matches(str(name).lower(), list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_whole(who: str, least: int = 1, **numbers: Any) -> None:
    """Checks that arguments are whole numbers, and not too small.

    Raises:
        TypeError: names function and argument, if it is not a whole number.
        ValueError: names them, if it is below ``least`` or beyond int64.
    """
    for name, number in numbers.items():
        whole = isinstance(number, Integral) and not isinstance(number, bool)
        if not whole:
            raise TypeError(f"{who}: expected {name} to be a whole number, got {number!r}")
        if number < least:
            raise ValueError(f"{who}: expected {name} of at least {least}, got {number}")
        if number >= 2**63:
            raise ValueError(f"{who}: expected {name} below 2^63, got {number}")


def check_number(who: str, least: float = -math.inf, **numbers: Any) -> None:
    """Checks that arguments are finite numbers, and not too small.

    Raises:
        TypeError: names function and argument, if it is not a number.
        ValueError: names them, if it is NaN, infinite or below ``least``.
    """
    for name, number in numbers.items():
        if not isinstance(number, Real) or isinstance(number, bool):
            raise TypeError(f"{who}: expected {name} to be a number, got {number!r}")
        if not (math.isfinite(number) and float(number) >= least):
            at_least = f" of at least {least:g}" if least > -math.inf else ""
            raise ValueError(f"{who}: expected a finite {name}{at_least}, got {number}")


def as_path(who: str, path: Any) -> Path:
    """Returns a path.

    Raises:
        TypeError: names the function, if it is not a path.
    """
    if not isinstance(path, (str, Path)):
        raise TypeError(f"{who}: expected the path of a file or folder, got {path!r}")
    return Path(path)


def seeded(who: str, seed: int) -> torch.Generator:
    """Returns a generator with a seed.

    Raises:
        TypeError, ValueError: if the seed is not a whole number, or does not fit into 64 bits.
    """
    check_whole(who, -(2**63), seed=seed)
    return torch.Generator().manual_seed(int(seed))


def check_fields(config: Any) -> None:
    """Checks that every field of a dataclass holds what its annotation says, and no NaN or infinity.

    Raises:
        TypeError: names the field.
        ValueError: names the field, if it is NaN or infinite.
    """
    name = type(config).__name__
    for field, kind in get_type_hints(type(config)).items():
        value = getattr(config, field)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: expected {field} to be finite, got {value}")
        if not fits(value, kind):
            raise TypeError(f"{name}: expected {field} to be {described(kind)}, got {value!r}")


def check_features(module: Labelled, x: Tensor, features: int, like: Tensor) -> None:
    """Checks that the last dimension of ``x`` is ``features`` and its type that of a parameter.

    Raises:
        TypeError: if ``x`` has another dtype than ``like`` (an integer where a float is needed, say).
        ValueError: if the last dimension is not ``features``.
    """
    if x.dim() == 0 or x.shape[-1] != features:
        raise ValueError(
            f"{module.label()}: expected last dimension {features}, got input of shape {shape(x)}"
        )
    check_dtype(module, x, like.dtype)


def check_dtype(module: Labelled, x: Tensor, dtype: torch.dtype) -> None:
    """Checks that ``x`` has a floating point type.

    Raises:
        TypeError: says the expected and the given type and how to convert.
    """
    if x.dtype != dtype:
        raise TypeError(
            f"{module.label()}: expected {dtype} input like its parameters, got {x.dtype} of shape "
            f"{shape(x)}; convert with x.to({dtype})"
        )
    if x.is_meta:  # some operations would go on in silence
        explain_call(module, (x,), {})


def check_floating(module: Labelled, x: Tensor) -> None:
    """Checks that ``x`` is floating point, for layers without parameters.

    Raises:
        TypeError: if ``x`` holds integers or booleans.
    """
    if not x.is_floating_point():
        raise TypeError(
            f"{module.label()}: expected floating point input, got {x.dtype} of shape {shape(x)}; "
            "convert with x.float()"
        )


def check_trailing(module: Labelled, x: Tensor, sizes: tuple[int, ...], like: Tensor | None) -> None:
    """Checks that ``x`` ends in some sizes, and is floating point, of a parameter's type if there is one.

    Raises:
        TypeError: if ``x`` has another dtype than ``like``, or is not floating point.
        ValueError: if its last dimensions are not ``sizes``.
    """
    if x.dim() < len(sizes) or x.shape[x.dim() - len(sizes) :] != sizes:
        raise ValueError(
            f"{module.label()}: expected trailing dimensions {sizes}, got input of shape {shape(x)}"
        )
    check_like(module, x, like)


def check_like(module: Labelled, x: Tensor, like: Tensor | None) -> None:
    """Checks that ``x`` is floating point, and of a parameter's type if there is one.

    Raises:
        TypeError: if it is not.
    """
    if like is None:
        check_floating(module, x)
    else:
        check_dtype(module, x, like.dtype)


def check_comparable(module: Labelled, x1: Tensor, x2: Tensor, dim: int) -> int:
    """Checks that vectors along a dimension can be compared; returns the dimension, counted from the end.

    Raises:
        ValueError: if the shapes do not broadcast, or differ in size along ``dim``.
        TypeError: if the inputs are not of one floating point type.
    """
    check_floating(module, x1)
    if x1.dtype != x2.dtype:
        raise TypeError(f"{module.label()}: expected inputs of one type, got {x1.dtype} and {x2.dtype}")
    dims = max(x1.dim(), x2.dim())
    place = dim - dims if dim >= 0 else dim
    sizes = list(zip(reversed(x1.shape), reversed(x2.shape), strict=False))
    if (
        not -min(x1.dim(), x2.dim()) <= place < 0
        or x1.shape[place] != x2.shape[place]
        or any(a != b and 1 not in (a, b) for a, b in sizes)
    ):
        raise ValueError(
            f"{module.label()}: expected inputs of shapes that broadcast, with vectors of one size along "
            f"dimension {dim}, got {shape(x1)} and {shape(x2)}"
        )
    return place
