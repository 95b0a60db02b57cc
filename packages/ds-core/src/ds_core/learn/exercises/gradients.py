"""Neurons, activations, losses, layers and norms: forwards, and the gradients that belong to them."""

from __future__ import annotations

from typing import Any

import torch

from ds_core.activations import Tanh
from ds_core.layers.dense import Dense
from ds_core.learn.exercise import Chapter, Exercise, Layer, Pair, Results
from ds_core.verify.inputs import normal


def _perceptron(kind: Any, g: torch.Generator) -> dict[str, Any]:
    x = torch.randn(20, 2, generator=g)
    target = (x[:, 0] - 2 * x[:, 1] > 0.1).long()
    found: dict[str, Any] = {}
    for epochs in (50, 2):
        learner = kind(2, lr=0.5).fit(x, target, epochs=epochs, generator=g)
        found |= {
            f"weight after {epochs} epochs at most": learner.weight,
            f"bias after {epochs}": learner.bias,
        }
        found[f"mistakes in each of {epochs} epochs at most"] = learner.mistakes
    return found


def _classes(g: torch.Generator) -> tuple[Any, ...]:
    return torch.randn(4, 3, generator=g), torch.tensor([2, 0, -100, 1]), torch.tensor([1.0, 0.5, 2.0])


def _one_by_one(g: torch.Generator) -> tuple[Any, ...]:
    return *_classes(g), -100, 0.1, "none"


def _classes_last(g: torch.Generator) -> tuple[Any, ...]:
    target = torch.tensor([[0, 2, 1, 1], [2, -100, 0, 0]])
    return torch.randn(2, 4, 3, generator=g), target, None, -100, 0.0, "none", 2


def _with_weights(g: torch.Generator) -> tuple[Any, ...]:
    return torch.randn(4, 5, generator=g), torch.randn(5, generator=g), torch.randn(5, generator=g), 1e-5


def _bare(g: torch.Generator) -> tuple[Any, ...]:
    return torch.randn(2, 3, 4, generator=g), None, None, 1e-3, (-2, -1)


def _without_bias(g: torch.Generator) -> tuple[Any, ...]:
    return torch.randn(2, 3, 5, generator=g), torch.randn(5, generator=g), None, 1e-5


def _batch(g: torch.Generator) -> tuple[Any, ...]:
    return torch.randn(4, 3, 2, generator=g), torch.randn(3, generator=g), torch.randn(3, generator=g), 1e-5


def _batch_without_bias(g: torch.Generator) -> tuple[Any, ...]:
    return torch.randn(4, 3, generator=g), torch.randn(3, generator=g), None, 1e-5


def _bare_batch(g: torch.Generator) -> tuple[Any, ...]:
    return torch.randn(4, 3, 2, generator=g), None, None, 1e-5


def _ids(g: torch.Generator) -> tuple[Any, ...]:
    return torch.tensor([[1, 3, 1], [0, 2, 3]]), torch.randn(5, 4, generator=g), 0


def _triplets(g: torch.Generator) -> tuple[Any, ...]:
    return torch.randn(4, 3, generator=g), torch.randn(4, 3, generator=g), torch.randn(4, 3, generator=g)


def _dropped(g: torch.Generator) -> tuple[Any, ...]:
    return torch.randn(4, 6, generator=g), torch.rand(4, 6, generator=g) >= 0.25, 0.25


_NEURON = Layer(
    lambda kind: kind(3, Tanh()), normal((4, 3)), also=[normal((2, 4, 3))], others=[lambda kind: kind(3)]
)

CHAPTERS = [
    Chapter(
        1,
        "One neuron",
        [
            Exercise(
                "neuron-forward",
                "a weighted sum and a bias",
                "ds_core.layers.neuron:Neuron.forward",
                _NEURON,
                hint="Keep what the backward will ask for: self.save(input). Then one number for each "
                "example.",
                theory="dense.md#One neuron",
                formula="s = sum_k x_k w_k + b over the last dimension; then the activation, if there is "
                "one.",
            ),
            Exercise(
                "neuron-backward",
                "the gradients of a single neuron",
                "ds_core.layers.neuron:Neuron.backward",
                _NEURON,
                hint="First back through the activation. Then: what does s change by if w_k grows a little? "
                "self.add_grad(name, gradient)\nhands a parameter its gradient; what is returned belongs "
                "to x.",
                theory="dense.md#One neuron",
                formula="dL/ds = g f'(s),   dL/dw = sum over examples of dL/ds x,   dL/db = sum of dL/ds,   "
                "dL/dx = dL/ds w",
            ),
            Exercise(
                "perceptron",
                "learning from mistakes alone",
                "ds_core.layers.neuron:Perceptron.fit",
                Results(_perceptron),
                hint="One example at a time, in an order drawn with torch.randperm(len(x), "
                "generator=generator).",
                theory="dense.md#One neuron",
                formula="After each example: w += lr (t - y) x, b += lr (t - y); an epoch's mistakes go on "
                "the list, "
                "and one without any is the last.",
            ),
        ],
    ),
    Chapter(
        2,
        "Activations",
        [
            Exercise(
                "relu-backward",
                "a gradient that passes or does not",
                "ds_core.functional.relu:relu_backward",
                Pair(normal((4, 5))),
                hint="Each number has a slope of its own: 1 or 0.",
                theory="activations.md#Straight lines",
            ),
            Exercise(
                "sigmoid-backward",
                "a slope told by the result",
                "ds_core.functional.sigmoid:sigmoid_backward",
                Pair(normal((4, 5))),
                hint="The slope can be written with y alone.",
                theory="activations.md#Exponentials",
            ),
            Exercise(
                "prelu-backward",
                "a slope that is learned",
                "ds_core.functional.leaky_relu:prelu_backward",
                Pair(normal((4, 5), (1,)), also=[normal((2, 3, 4), (3, 1))]),
                hint="w is used once for every number below zero; x passes on two sides, differently.",
                theory="activations.md#Straight lines",
            ),
            Exercise(
                "gelu-backward",
                "the product rule in an activation",
                "ds_core.functional.gelu:gelu_backward",
                Pair(normal((4, 5)), also=[lambda g: (torch.randn(4, 5, generator=g), "tanh")]),
                hint="y = x p, and p depends on x, too.",
                theory="activations.md#Gates",
            ),
            Exercise(
                "softmax-backward",
                "each result depends on every input",
                "ds_core.functional.softmax:softmax_backward",
                Pair(normal((4, 5)), also=[lambda g: (torch.randn(2, 3, 4, generator=g), 1)]),
                hint="If x_j grows, y_j grows and all other y_i shrink. Collect both for one x_j.",
                theory="softmax.md#Backward",
            ),
        ],
    ),
    Chapter(
        3,
        "Losses",
        [
            Exercise(
                "mse-backward",
                "the mean squared error",
                "ds_core.functional.mse:mse_backward",
                Pair(normal((4, 3), (4, 3)), also=[lambda g: (*normal((4, 3), (4, 3))(g), "none")]),
                hint="`share` is what one value counts in the mean. A square has a slope of two times.",
                theory="losses.md#Number against number (`mse.py`, `l1.py`, `huber.py`)",
            ),
            Exercise(
                "bce-backward",
                "yes or no, from a score",
                "ds_core.functional.bce_with_logits:bce_with_logits_backward",
                Pair(
                    lambda g: (torch.randn(4, 3, generator=g), torch.rand(4, 3, generator=g), None, 2.0),
                    also=[
                        lambda g: (*torch.rand(3, 4, 3, generator=g), 3.0),
                        lambda g: (*torch.rand(2, 4, 3, generator=g), None, None, "none"),
                    ],
                ),
                hint="softplus has the slope sigmoid; softplus(-x) goes down where x goes up.",
                theory="losses.md#Yes or no (`bce_with_logits.py`, `bce.py`)",
            ),
            Exercise(
                "cross-entropy-backward",
                "the probabilities less what they should be",
                "ds_core.functional.cross_entropy:cross_entropy_backward",
                Pair(_classes, also=[_one_by_one, _classes_last]),
                hint="p and t are saved, and so is the sum of t. Where does log sum exp lead?",
                theory="losses.md#One of several classes (`cross_entropy.py`)",
            ),
            Exercise(
                "triplet-backward",
                "nearer to its like than to another",
                "ds_core.functional.triplet_margin:triplet_margin_backward",
                Pair(
                    _triplets,
                    also=[lambda g: (*_triplets(g), 0.1, 2.0, 1e-6, True), lambda g: (*_triplets(g), -0.5)],
                ),
                hint="Where the gap is below 0 nothing flows. Elsewhere two distances change, each at both "
                "its ends; "
                "\npairwise_distance_backward goes through one.",
                theory="losses.md#Margins (`margin_ranking.py`, `triplet_margin.py`, `cosine_embedding.py`)",
            ),
        ],
    ),
    Chapter(
        4,
        "Layers",
        [
            Exercise(
                "linear-forward",
                "y = x W^T + b",
                "ds_core.functional.linear:linear",
                Pair(normal((2, 4, 5), (3, 5), (3,)), also=[normal((4, 5), (3, 5))]),
                hint="The last dimension of x meets the last of the weight. Return y and what the backward "
                "needs.",
                theory="dense.md#Dense",
                formula="y_o = sum_k x_k W_ok + b_o: a product with W^T. Saved(x, weight, bias) is kept.",
            ),
            Exercise(
                "linear-backward",
                "three gradients of y = x W^T + b",
                "ds_core.functional.linear:linear_backward",
                Pair(normal((2, 4, 5), (3, 5), (3,)), also=[normal((4, 5), (3, 5))]),
                hint="Three gradients, each of the shape of what it belongs to. Begin with the bias; "
                "as_rows makes "
                "a matrix of x.",
                theory="dense.md#Dense",
            ),
            Exercise(
                "embedding-backward",
                "what a lookup hands back",
                "ds_core.functional.embedding:embedding_backward",
                Pair(
                    _ids,
                    also=[lambda g: (torch.tensor([2, 0, 2]), torch.randn(4, 3, generator=g))],
                    entries=0,
                ),  # the padding's row counts as a constant, which differences do not know
                hint="A row read twice collects from both places; the row of the padding from none.",
                theory="embedding-and-dropout.md#Embedding",
            ),
            Exercise(
                "dropout-forward",
                "numbers that are dropped, and why the others grow",
                "ds_core.functional.dropout:dropout",
                Pair(_dropped, also=[lambda g: (torch.randn(4, generator=g), torch.zeros(4) > 0, 1.0)]),
                hint="A share p is lost: by how much must the rest grow so that the mean stays?",
                theory="embedding-and-dropout.md#Dropout",
                formula="y = x / (1 - p) where kept, else 0; (kept, scale) is saved.",
            ),
            Exercise(
                "dropout-backward",
                "the same mask once more",
                "ds_core.functional.dropout:dropout_backward",
                Pair(_dropped),
                hint="What was dropped had no part in the loss.",
                theory="embedding-and-dropout.md#Dropout",
            ),
            Exercise(
                "sequential-backward",
                "the chain rule as a loop",
                "ds_core.containers:Sequential.backward",
                Layer(lambda kind: kind(Dense(3, 4), Tanh(), Dense(4, 2)), normal((5, 3))),
                hint="Each module has a backward. In which order?",
                theory="engine.md#What a backward computes",
                formula="y = f3(f2(f1(x))):   dL/dx = f1'^T (f2'^T (f3'^T g)), from the last module to the "
                "first.",
            ),
            Exercise(
                "residual-backward",
                "two ways back",
                "ds_core.containers:Residual.backward",
                Layer(lambda kind: kind(Dense(4, 4)), normal((3, 4))),
                hint="x reaches y in two ways; self.input_grad says whether anybody wants dL/dx.",
                theory="engine.md#What a backward computes",
                formula="y = x + f(x):   dL/dx = g + f'(x)^T g",
            ),
            Exercise(
                "lora-backward",
                "low rank: two products in a row",
                "ds_core.functional.lora:lora_backward",
                Pair(
                    normal((4, 5), (2, 5), (3, 2)),
                    also=[normal((2, 3, 5), (2, 5), (3, 2))],
                    options={"scale": 0.5},
                ),
                hint="linear_backward goes through each of the two maps; begin with the last one.",
                theory="lora.md#Beside the layer",
            ),
            Exercise(
                "lora-weight-backward",
                "low rank, inside the weight",
                "ds_core.functional.lora:lora_weight_backward",
                Pair(normal((3, 5), (2, 5), (3, 2)), options={"scale": 0.5}),
                hint="W' = W + s B A. Write the shapes under each product.",
                theory="lora.md#Inside the layer",
            ),
        ],
    ),
    Chapter(
        5,
        "Norms",
        [
            Exercise(
                "layer-norm-forward",
                "mean 0 and variance 1 for each example",
                "ds_core.functional.layer_norm:layer_norm",
                Pair(_with_weights, also=[_bare, _without_bias]),
                hint="Centre, then divide by the root of variance plus eps. weight and bias may be None.",
                theory="normalization.md#Forward",
                formula="n = (x - mean x) / sqrt(mean (x - mean x)^2 + eps) over dims, with keepdim; y = n "
                "w + b; "
                "Saved(n, rstd, weight, bias, dims).",
            ),
            Exercise(
                "layer-norm-backward",
                "a gradient through mean and variance",
                "ds_core.functional.layer_norm:layer_norm_backward",
                Pair(_with_weights, also=[_bare, _without_bias]),
                hint="x reaches y in three ways: by itself, through the mean and through the variance.",
                theory="normalization.md#Backward",
            ),
            Exercise(
                "rms-norm-backward",
                "the same without the mean",
                "ds_core.functional.rms_norm:rms_norm_backward",
                Pair(
                    lambda g: (torch.randn(4, 5, generator=g), torch.randn(5, generator=g), 1e-5),
                    also=[
                        lambda g: (torch.randn(4, 5, generator=g), None, 1e-5),
                        lambda g: (*normal((2, 3, 4), (3, 4))(g), 1e-5, (-2, -1)),
                    ],
                ),
                hint="Two ways now: by itself, and through r.",
                theory="normalization.md#Backward",
            ),
            Exercise(
                "batch-norm-forward",
                "each channel over the batch",
                "ds_core.functional.batch_norm:batch_norm",
                Pair(_batch, also=[_bare_batch, _batch_without_bias], first=True),
                hint="all_but_channels(x) lists what is averaged over; over_channels views a number for "
                "each channel.",
                theory="normalization.md#Forward",
                formula="n = (x - mean x) / sqrt(var x + eps), y = n w + b; return (y, mean, var), the "
                "last two flat, "
                "and Saved(n, rstd, weight, bias).",
            ),
            Exercise(
                "batch-norm-backward",
                "each example changes all others",
                "ds_core.functional.batch_norm:batch_norm_backward",
                Pair(_batch, also=[_bare_batch, _batch_without_bias], first=True),
                hint="It is layer norm's, along other dimensions.",
                theory="normalization.md#Backward",
            ),
            Exercise(
                "group-norm-backward",
                "groups of channels",
                "ds_core.functional.group_norm:group_norm_backward",
                Pair(
                    lambda g: (torch.randn(2, 4, 3, generator=g), 2, *torch.randn(2, 4, generator=g), 1e-5),
                    also=[
                        lambda g: (torch.randn(2, 4, 3, generator=g), 2, None, None, 1e-5),
                        lambda g: (
                            torch.randn(3, 4, generator=g),
                            2,
                            torch.randn(4, generator=g),
                            None,
                            1e-5,
                        ),
                    ],
                ),
                hint="weight and bias are of channels, the mean is of groups: reshape between the two.",
                theory="normalization.md#Backward",
            ),
        ],
    ),
]
