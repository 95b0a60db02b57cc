"""The one list of operations that layers, losses, optimizers and models may execute, each with its reason.

Elementary means: one arithmetic step for every number, a sum, an extremum, a matrix product, or moving
numbers about. What has a name in a textbook (softmax, sigmoid, relu, gelu, convolution, normalisation,
dropout, embedding, losses, variance, norms, Fourier transforms, matrix decompositions, ...) is written in
this project instead. Nor are the forms here that do a whole list of tensors at once (``_foreach_add``): an
update rule is to be seen number by number.

What nothing executes is not here either: a new entry comes with the first code that needs it.
"""

from __future__ import annotations

_GROUPS: dict[str, str] = {
    "arithmetic": "abs add div mul neg pow reciprocal remainder rsub sign sub",
    "arithmetic in one step: a + s b c, a + s b / c, a + w (b - a)": "addcmul addcdiv lerp",
    "comparison": "eq equal ge gt le lt ne",
    "logic of true and false, or of bits": (
        "bitwise_and bitwise_not bitwise_or bitwise_right_shift bitwise_xor"
    ),
    "choice between numbers": "clamp masked_fill maximum minimum where",
    "exponential, logarithm and their kin": "cos erf exp exp2 expm1 log log1p log2 rsqrt sin sqrt tanh",
    "sum and mean": "cumsum mean sum",
    "extremum, and where it is": "amax aminmax any argmax",
    "matrix product": "addmm baddbmm bmm mm",
    "other view of the same numbers": (
        "_unsafe_view alias as_strided detach expand permute select slice split split_with_sizes squeeze t "
        "transpose unbind unfold unsqueeze view"
    ),
    "copy, layout and type": "_to_copy cat clone constant_pad_nd copy flip stack triu",
    "new tensor": (
        "arange empty empty_like fill full full_like lift_fresh new_empty new_full new_ones new_zeros ones "
        "ones_like scalar_tensor zeros zeros_like"
    ),
    "gather and scatter": "gather index index_add index_copy index_select scatter scatter_add",
    "order": "sort",
    "places where something is true": "nonzero",
    "random numbers": "normal rand randint uniform",
    "one number read by Python": "_local_scalar_dense",
}

# name -> reason
ALLOWED: dict[str, str] = {
    name if "." in name else f"aten.{name}": reason
    for reason, names in _GROUPS.items()
    for name in names.split()
}
