"""The schematic figures of the project: ``python docs/figures/figures.py`` writes them all beside this file."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from drawing import Figure, chain

FIGURES: dict[str, Callable[[], Figure]] = {}


def figure(function: Callable[[], Figure]) -> Callable[[], Figure]:
    """Adds a figure to those that are written."""
    FIGURES[function.__name__.replace("_", "-")] = function
    return function


@figure
def two_layers() -> Figure:
    f = Figure(
        "Two layers, forward and back",
        "x goes through Dense, ReLU and Dense to the loss; below, the gradient comes back through the same layers in the "
        "opposite order, and each Dense gets the gradient of its weights on the way.",
        760,
        250,
    )
    names = [
        ("Dense|*W*₁, *b*₁", "learned"),
        ("ReLU", "plain"),
        ("Dense|*W*₂, *b*₂", "learned"),
        ("loss", "plain"),
    ]
    for i, (name, kind) in enumerate(names):
        f.box(100 + 160 * i, 90, 100, 60, name, kind=kind)
    for i, word in enumerate(["*x*", "*h*", "*a*", "*y*"]):
        f.arrow((60 + 160 * i - (20 if i == 0 else -0), 105), (100 + 160 * i, 105), kind="forward")
        f.text(70 + 160 * i, 97, word, kind="forward")
    f.arrow((680, 105), (730, 105), kind="forward")
    f.text(705, 97, "*L*", kind="forward")
    f.arrow((730, 138), (680, 138), kind="backward")
    f.text(708, 158, "1", kind="backward")
    for i, word in enumerate(["d*L*/d*x*", "d*L*/d*h*", "d*L*/d*a*", "d*L*/d*y*"]):
        f.arrow((100 + 160 * i, 138), (60 + 160 * i - (20 if i == 0 else 0), 138), kind="backward")
        f.text(70 + 160 * i - (8 if i == 0 else 0), 158, word, kind="backward", size=13)
    for i, word in ((0, "d*L*/d*W*₁ = *g*ᵀ *x*"), (2, "d*L*/d*W*₂ = *g*ᵀ *a*")):
        f.arrow((150 + 160 * i, 150), (150 + 160 * i, 196), kind="backward")
        f.text(150 + 160 * i, 214, word, kind="backward", size=13)
    f.text(
        40, 40, "forward: each layer keeps what its backward will need", kind="forward", at="start", bold=True
    )
    f.text(
        40,
        62,
        "backward: the same layers, from the last to the first",
        kind="backward",
        at="start",
        bold=True,
    )
    return f


@figure
def weight_gradient() -> Figure:
    f = Figure(
        "dW = g transposed times x, as shapes",
        "The gradient g has one row per example and one column per output, x one row per example and one column per input. "
        "One entry of dW is the sum over the examples of g's column times x's column.",
        780,
        270,
    )
    f.grid(60, 90, 3, 5, 26, kind=lambda i, j: "backward" if i == 1 else "plain")
    f.text(125, 80, "*g*ᵀ   (out × batch)", kind="backward")
    f.text(215, 135, "·", size=22)
    f.grid(250, 64, 5, 4, 26, kind=lambda i, j: "forward" if j == 2 else "plain")
    f.text(302, 54, "*x*   (batch × in)", kind="forward")
    f.text(390, 135, "=", size=22)
    f.grid(430, 90, 3, 4, 26, kind=lambda i, j: "learned" if (i, j) == (1, 2) else "plain")
    f.text(482, 80, "d*L*/d*W*   (out × in)", kind="learned")
    f.text(
        60,
        225,
        "One entry: output 1 and input 2, multiplied for each example, added up over the batch.",
        at="start",
    )
    f.text(
        60,
        247,
        "The batch is gone; the shape is that of W. That is why dW needs both g and the x that forward kept.",
        at="start",
        kind="soft",
        size=13,
    )
    f.text(590, 135, "d*L*/d*W*₁₂ = ∑ₙ *g*ₙ₁ *x*ₙ₂", size=15)
    return f


@figure
def im2col() -> Figure:
    f = Figure(
        "A window, and all windows as rows",
        "A 3 by 3 window on a 5 by 5 image becomes one row of nine numbers; all nine windows together are a matrix, and the "
        "convolution is one product of it with the kernel as a column.",
        720,
        300,
    )
    f.grid(
        40,
        70,
        5,
        5,
        30,
        kind=lambda i, j: "forward" if 0 <= i < 3 and 1 <= j < 4 else "plain",
        words=lambda i, j: str(5 * i + j),
    )
    f.text(115, 58, "image *x*, 5 × 5")
    f.arrow((200, 110), (262, 110), words="lay flat", kind="forward")
    f.grid(
        275,
        62,
        9,
        9,
        22,
        kind=lambda i, j: "forward" if i == 1 else "plain",
        words=lambda i, j: str(5 * (i // 3 + j // 3) + i % 3 + j % 3),
        size=10,
    )
    f.text(374, 52, "windows *X*: a row for each position")
    f.text(492, 165, "·", size=22)
    f.grid(510, 62, 9, 1, 22, kind="learned")
    f.text(521, 52, "*w*", kind="learned")
    f.text(555, 165, "=", size=20)
    f.grid(585, 110, 3, 3, 30, kind=lambda i, j: "forward" if (i, j) == (0, 1) else "plain")
    f.text(630, 98, "*y*, 3 × 3")
    f.text(
        40,
        282,
        "Backward: *dw* = *X*ᵀ *g*, and each pixel collects the gradients of all its copies in *X*.",
        at="start",
        kind="backward",
    )
    return f


@figure
def norms() -> Figure:
    f = Figure(
        "Over what each norm takes its mean",
        "Four grids of examples by channels, each cell an image of its own. Batch norm takes one channel of all examples, "
        "layer norm all channels of one example, instance norm one channel of one example, group norm some channels of one.",
        820,
        250,
    )
    for k, (name, words, inside) in enumerate(
        [
            ("batch norm", "one channel,|all examples", lambda i, j: j == 1),
            ("layer norm", "one example,|all channels", lambda i, j: i == 1),
            ("instance norm", "one example,|one channel", lambda i, j: (i, j) == (1, 1)),
            ("group norm", "one example,|a group of channels", lambda i, j: i == 1 and j < 3),
        ]
    ):
        x = 50 + 178 * k
        f.text(x + 66, 40, name, bold=True)
        f.grid(x, 70, 4, 6, 22, kind=lambda i, j, inside=inside: "forward" if inside(i, j) else "plain")
        f.text(x + 66, 62, "channels C →", kind="soft", size=11)
        f.text(x - 8, 116, "N", kind="soft", size=11, at="end")
        for n, line in enumerate(words.split("|")):
            f.text(x + 66, 182 + 18 * n, line, size=13)
    f.text(
        50,
        236,
        "Each cell stands for all its pixels: a mean goes over them, too. Blue: what shares one mean and one variance.",
        at="start",
        kind="soft",
        size=13,
    )
    return f


@figure
def unrolled_rnn() -> Figure:
    f = Figure(
        "A recurrent network, unrolled",
        "The same cell with the same weights at four times; the state goes from left to right, and the gradient from right "
        "to left; every time adds its share to the gradient of the one weight matrix.",
        760,
        270,
    )
    for t in range(4):
        x = 100 + 165 * t
        f.box(x, 100, 90, 52, "cell|*W*", kind="learned")
        f.arrow((x + 45, 200), (x + 45, 152), kind="forward")
        f.text(x + 45, 218, f"*x*{'₁₂₃₄'[t]}", kind="forward")
        f.arrow((x + 45, 100), (x + 45, 62), kind="forward")
        f.text(x + 45, 54, f"*h*{'₁₂₃₄'[t]}", kind="forward")
        f.arrow((x - 75 if t else x - 60, 115), (x, 115), kind="forward")
        f.arrow((x, 138), (x - 75 if t else x - 60, 138), kind="backward")
    f.text(30, 120, "*h*₀", kind="forward")
    f.arrow((760 - 45, 138), (685, 138), kind="backward")
    f.text(40, 28, "d*L*/d*W* = the sum of the shares of all times", kind="backward", at="start", bold=True)
    f.text(
        40,
        256,
        "Each step back multiplies by the cell's Jacobian: many small factors vanish, many large ones explode.",
        at="start",
        kind="soft",
        size=13,
    )
    return f


def _cell(f: Figure, gates: list[tuple[float, str]], y: float) -> None:
    for x, name in gates:
        f.box(x - 38, y, 76, 40, name, kind="learned")


@figure
def lstm_cell() -> Figure:
    f = Figure(
        "The cell of an LSTM, and its gradients",
        "The state c runs along the top: times the forget gate, plus input gate times the new values. The output gate times "
        "tanh of it is h. The gradient of c comes back along the same line, multiplied by the forget gate alone.",
        760,
        330,
    )
    f.arrow((30, 70), (150, 70), kind="forward", words="*c*")
    f.circle(165, 70, 15, "×")
    f.arrow((180, 70), (322, 70), kind="forward")
    f.circle(337, 70, 15, "+")
    f.arrow((352, 70), (730, 70), kind="forward", words="*c*′ = *f* *c* + *i* *g*")
    f.circle(337, 140, 15, "×")
    f.arrow((337, 125), (337, 85), kind="forward")
    _cell(f, [(165, "*f* forget"), (297, "*i* input"), (400, "*g* new"), (540, "*o* output")], 200)
    f.arrow((165, 200), (165, 85), kind="forward")
    f.arrow((297, 200), (327, 152), kind="forward")
    f.arrow((400, 200), (348, 152), kind="forward")
    f.box(595, 110, 60, 30, "tanh")
    f.arrow((625, 70), (625, 110), kind="forward")
    f.circle(625, 175, 15, "×")
    f.arrow((625, 140), (625, 160), kind="forward")
    f.arrow((578, 212), (614, 186), kind="forward")
    f.arrow((640, 175), (730, 175), kind="forward", words="*h*′")
    f.line((60, 285), (540, 285), kind="forward")
    for x in (165, 297, 400, 540):
        f.arrow((x, 285), (x, 240), kind="forward")
    f.text(52, 290, "*x*, *h*", kind="forward", at="end")
    f.arrow((730, 48), (180, 48), kind="backward", dashed=True)
    f.arrow((150, 48), (30, 48), kind="backward", dashed=True)
    f.text(455, 38, "d*L*/d*c*′ comes back along the line of *c* …", kind="backward", size=13)
    f.text(92, 38, "… times *f*", kind="backward", size=13)
    f.text(
        40,
        318,
        "Where *f* is near 1 the gradient passes unharmed: d*L*/d*c* = *f* d*L*/d*c*′.",
        at="start",
        kind="soft",
        size=13,
    )
    return f


@figure
def gru_cell() -> Figure:
    f = Figure(
        "The cell of a GRU",
        "The update gate z mixes the old state with new values n; the reset gate r decides how much of the old state the new "
        "values see. The gradient passes to the old state times z.",
        760,
        290,
    )
    f.arrow((30, 60), (350, 60), kind="forward", words="*h*")
    f.circle(365, 60, 15, "×")
    f.arrow((380, 60), (545, 60), kind="forward", words="*z* *h*")
    f.circle(560, 60, 15, "+")
    f.arrow((575, 60), (730, 60), kind="forward", words="*h*′ = (1 − *z*) *n* + *z* *h*")
    _cell(f, [(150, "*r* reset"), (365, "*z* update"), (560, "*n* new")], 160)
    f.arrow((365, 160), (365, 75), kind="forward")
    f.circle(560, 115, 15, "×")
    f.arrow((560, 160), (560, 130), kind="forward")
    f.arrow((560, 100), (560, 75), kind="forward")
    f.arrow((403, 172), (546, 121), kind="forward")
    f.text(488, 132, "1 − *z*", kind="forward", size=13)
    f.arrow((188, 190), (300, 215), (522, 190), kind="forward")
    f.text(300, 232, "*r* times what *h* sends to *n*", kind="forward", size=13)
    f.line((60, 252), (560, 252), kind="forward")
    for x in (150, 365, 560):
        f.arrow((x, 252), (x, 200), kind="forward")
    f.text(52, 257, "*x*, *h*", kind="forward", at="end")
    f.arrow((730, 34), (30, 34), kind="backward", dashed=True)
    f.text(
        380, 24, "d*L*/d*h* = *z* d*L*/d*h*′ + what comes back through r, z and n", kind="backward", size=13
    )
    f.text(
        40,
        280,
        "No second state, no output gate: a quarter fewer weights than an LSTM.",
        at="start",
        kind="soft",
        size=13,
    )
    return f


@figure
def heads() -> Figure:
    f = Figure(
        "Queries, keys and values in heads, with their shapes",
        "x of T positions and C features is multiplied by three matrices, cut into H heads of D features; each head makes T "
        "by T scores, a softmax and a mean of the values; the heads are laid side by side and multiplied once more.",
        780,
        300,
    )
    f.grid(30, 110, 4, 6, 15, kind="forward")
    f.text(75, 100, "*x*  (T × C)", kind="forward")
    for k, name in enumerate("QKV"):
        y = 50 + 80 * k
        f.arrow((125, 140), (178, y + 22))
        f.box(180, y, 58, 42, f"*W*{'QKV'[k]}", kind="learned")
        f.arrow((238, y + 21), (268, y + 21))
        f.grid(272, y - 2, 4, 6, 12, kind=lambda i, j: "forward" if j < 3 else "plain")
        f.text(308, y + 62, f"*{name}*  (H, T, D)", size=12, kind="soft")
    f.arrow((350, 92), (412, 108))
    f.arrow((350, 132), (412, 124))
    f.grid(420, 86, 4, 4, 16, kind=lambda i, j: "forward" if j <= i else "plain")
    f.text(452, 76, "softmax(*Q K*ᵀ/√D)")
    f.text(452, 168, "(H, T, T)", size=12, kind="soft")
    f.arrow((488, 118), (540, 136))
    f.arrow((350, 228), (540, 150))
    f.grid(548, 118, 4, 6, 12, kind=lambda i, j: "forward" if j < 3 else "plain")
    f.text(584, 108, "*P V*, side by side")
    f.text(584, 182, "(T, H D)", size=12, kind="soft")
    f.arrow((624, 142), (652, 142))
    f.box(655, 121, 52, 42, "*W*O", kind="learned")
    f.arrow((707, 142), (745, 142), words="*y*", kind="forward")
    f.text(
        30,
        288,
        "Blue is one head of two: it sees D = C / H features of every position. All heads are computed at once.",
        at="start",
        kind="soft",
        size=13,
    )
    return f


@figure
def masks() -> Figure:
    f = Figure(
        "Who may look at whom",
        "Four grids of queries by keys: everybody sees everybody; causal, where each sees itself and what came before; padding, "
        "where the last two keys are hidden from all; and a window of the three nearest before.",
        760,
        240,
    )
    kinds = [
        ("none", "an encoder", lambda i, j: True),
        ("causal", "a decoder, a GPT", lambda i, j: j <= i),
        ("padding", "short texts in a batch", lambda i, j: j < 4),
        ("causal window", "the nearest only", lambda i, j: 0 <= i - j < 3),
    ]
    for k, (name, use, seen) in enumerate(kinds):
        x = 45 + 180 * k
        f.text(x + 66, 38, name, bold=True)
        f.grid(
            x,
            66,
            6,
            6,
            22,
            kind=lambda i, j, seen=seen: "forward" if seen(i, j) else "plain",
            words=lambda i, j, seen=seen: "" if seen(i, j) else "−∞",
            size=9,
        )
        f.text(x + 66, 58, "keys →", kind="soft", size=11)
        f.text(x + 66, 220, use, kind="soft", size=13)
    return f


@figure
def encoder_block() -> Figure:
    f = Figure(
        "An encoder block, the norm first",
        "From below: x goes through a norm and attention and is added to itself, then through a norm and an MLP and is added "
        "again. The gradient goes down the same two paths; the straight one carries it unchanged.",
        680,
        430,
    )
    f.arrow((200, 410), (200, 372), kind="forward")
    f.text(185, 405, "*x*", kind="forward", at="end")
    f.box(115, 338, 170, 34, "norm", kind="learned")
    f.arrow((200, 338), (200, 312))
    f.box(115, 268, 170, 44, "attention|each position looks at all", kind="learned")
    f.arrow((200, 268), (200, 245))
    f.circle(200, 232, 13, "+")
    f.line((200, 390), (70, 390), kind="forward")
    f.arrow((70, 390), (70, 232), (187, 232), kind="forward")
    f.arrow((200, 219), (200, 196))
    f.box(115, 162, 170, 34, "norm", kind="learned")
    f.arrow((200, 162), (200, 138))
    f.box(115, 94, 170, 44, "MLP|each position by itself", kind="learned")
    f.arrow((200, 94), (200, 71))
    f.circle(200, 58, 13, "+")
    f.line((200, 208), (70, 208), kind="forward")
    f.arrow((70, 208), (70, 58), (187, 58), kind="forward")
    f.arrow((200, 45), (200, 16), kind="forward")
    f.text(212, 26, "*y*", kind="forward", at="start")
    f.arrow((330, 30), (330, 400), kind="backward")
    f.text(345, 60, "backward, from the top down:", kind="backward", at="start", bold=True)
    for i, line in enumerate(
        [
            "at each + the gradient goes both ways,",
            "whole: once around the branch, once through it.",
            "Where two ways meet again, they are added.",
            "",
            "So a share of d*L*/d*y* reaches *x* unchanged,",
            "however many blocks there are.",
        ]
    ):
        f.text(345, 90 + 22 * i, line, at="start", size=12)
    return f


@figure
def decoder_block() -> Figure:
    f = Figure(
        "A decoder block beside its encoder",
        "The decoder looks at its own earlier positions, then with queries of its own at the keys and values of the encoder's "
        "output, then goes through an MLP. The gradient of the encoder's output is the sum over all decoder blocks.",
        700,
        390,
    )
    tops = chain(
        f,
        380,
        330,
        [
            ("causal attention", "learned"),
            ("add, norm", "plain"),
            ("cross-attention", "learned"),
            ("add, norm", "plain"),
            ("MLP, add, norm", "learned"),
        ],
        width=170,
    )
    y = tops[2] + 17
    f.box(60, y - 32, 160, 64, "encoder|memory  (S × C)", kind="learned")
    f.arrow((140, 350), (140, y + 32), kind="forward")
    f.text(140, 368, "source", kind="forward")
    f.arrow((465, 366), (465, 330), kind="forward")
    f.text(465, 382, "target, one position behind", kind="forward")
    f.arrow((465, tops[-1]), (465, 22), kind="forward")
    f.text(476, 32, "scores of the next token", kind="forward", at="start")
    f.arrow((220, y - 8), (380, y - 8), kind="forward")
    f.text(300, y - 18, "*K*, *V*", kind="forward")
    f.arrow((380, y + 8), (220, y + 8), kind="backward")
    f.text(300, y + 28, "d*L*/d(memory),", kind="backward", size=12)
    f.text(300, y + 44, "summed over all blocks", kind="backward", size=12)
    f.text(562, y + 22, "*Q*: the target's", at="start", size=12, kind="soft")
    return f


@figure
def cache() -> Figure:
    f = Figure(
        "What a cache saves",
        "Without a cache all keys and values are computed again for each new token; with one, only those of the new token "
        "are, and its query looks at all that are kept.",
        800,
        250,
    )
    for k, (name, new) in enumerate(
        [
            ("without a cache: token 6 computes all six", lambda j: True),
            ("with a cache: only its own", lambda j: j == 5),
        ]
    ):
        y = 50 + 100 * k
        f.text(40, y - 10, name, at="start", bold=True)
        for row, word in enumerate(["keys", "values"]):
            f.text(100, y + 22 + 30 * row, word, at="end", size=13, kind="soft")
            for j in range(6):
                f.box(
                    112 + 62 * j,
                    y + 6 + 30 * row,
                    54,
                    24,
                    f"{'kv'[row]}{'₁₂₃₄₅₆'[j]}",
                    kind="learned" if new(j) else "forward",
                    size=12,
                    radius=4,
                )
        f.box(540, y + 16, 54, 34, "q₆", kind="learned", size=13)
        f.arrow((540, y + 33), (492, y + 33))
        f.text(612, y + 38, "T products" if k == 0 else "1 product", at="start", size=13)
    f.text(
        40,
        238,
        "Green: computed now. Blue: kept from before. The query meets all six either way, so the result is the same.",
        at="start",
        kind="soft",
        size=13,
    )
    return f


@figure
def blockwise() -> Figure:
    f = Figure(
        "Scores block by block",
        "The matrix of scores is never held whole: for a block of queries one block of keys after the other is multiplied, and a "
        "running maximum, a running sum and the output so far are corrected each time.",
        810,
        270,
    )
    f.grid(
        60,
        60,
        8,
        8,
        21,
        kind=lambda i, j: (
            "forward" if i // 2 == 1 and j // 2 == 2 else "learned" if i // 2 == 1 and j // 2 < 2 else "plain"
        ),
    )
    f.text(144, 50, "keys →")
    f.text(50, 150, "queries", at="end", size=12)
    f.arrow((240, 113), (300, 113))
    f.box(305, 66, 380, 120)
    for i, line in enumerate(
        [
            "for each block of keys:",
            "*A* = *Q* *K*ᵀ of this block only   (blue)",
            "*m*′ = max(*m*, max *A*)",
            "*s* = *s* e^(*m* − *m*′) + ∑ e^(*A* − *m*′)",
            "*O* = *O* e^(*m* − *m*′) + e^(*A* − *m*′) *V*",
        ]
    ):
        f.text(322, 90 + 21 * i, line, at="start", size=13)
    f.text(
        305, 212, "At the end *O* / *s*, and log *s* + *m* is kept: with it the backward", at="start", size=13
    )
    f.text(
        305, 232, "makes each block of the weights again, instead of keeping T² numbers.", at="start", size=13
    )
    f.text(60, 255, "Green: done.", at="start", kind="soft", size=13)
    return f


@figure
def rope() -> Figure:
    f = Figure(
        "Rotary positions",
        "Two features of a vector are a point in a plane; at position t it is turned by t times an angle. The product of a turned "
        "query and a turned key depends on the difference of their positions alone.",
        790,
        270,
    )
    for k, (name, start, turn) in enumerate([("query at t = 1", 20, 25), ("key at s = 3", 60, 75)]):
        x, y, r = 150 + 230 * k, 150, 78
        f.circle(x, y, r)
        f.line((x - r - 12, y), (x + r + 12, y))
        f.line((x, y - r - 12), (x, y + r + 12))
        for angle, kind in ((start, ""), (start + turn, "forward")):
            a = math.radians(angle)
            f.arrow((x, y), (x + r * math.cos(a), y - r * math.sin(a)), kind=kind)
        middle = math.radians(start + turn / 2)
        f.text(
            x + 48 * math.cos(middle),
            y - 48 * math.sin(middle) + 5,
            "θ" if k == 0 else "3 θ",
            kind="forward",
            size=13,
        )
        f.text(x, 48, name, bold=True)
    f.text(500, 110, "*R*ₜ *q* · *R*ₛ *k* = *q* · *R*ₛ₋ₜ *k*", at="start", size=16)
    f.text(500, 140, "only the distance s − t is left", at="start", size=13)
    f.text(500, 170, "backward: the gradient turned back,", at="start", kind="backward", size=13)
    f.text(500, 190, "d*L*/d*q* = *R*ₜᵀ *g*", at="start", kind="backward", size=13)
    f.text(
        60,
        256,
        "Each pair of features turns at a speed of its own, from fast to slow.",
        at="start",
        kind="soft",
        size=13,
    )
    return f


@figure
def resnet_block() -> Figure:
    f = Figure(
        "A block of a ResNet",
        "x goes through convolution, batch norm, ReLU, convolution and batch norm, and is added to itself, or to a 1 by 1 "
        "convolution of itself where the size changes; then ReLU.",
        760,
        230,
    )
    names = [
        ("conv 3×3", "learned"),
        ("norm", "learned"),
        ("ReLU", "plain"),
        ("conv 3×3", "learned"),
        ("norm", "learned"),
    ]
    f.arrow((20, 140), (70, 140), kind="forward", words="*x*")
    for i, (name, kind) in enumerate(names):
        f.box(70 + 104 * i, 120, 82, 40, name, kind=kind)
        f.arrow((152 + 104 * i, 140), (174 + 104 * i if i < 4 else 592, 140))
    f.circle(606, 140, 13, "+")
    f.arrow((619, 140), (640, 140))
    f.box(640, 120, 60, 40, "ReLU")
    f.arrow((700, 140), (745, 140), kind="forward", words="*y*")
    f.arrow((45, 140), (45, 70), (606, 70), (606, 127), kind="forward")
    f.text(
        325, 62, "*x* itself, or a convolution 1×1 of it where width or size change", kind="forward", size=13
    )
    f.arrow((606, 153), (606, 196), (45, 196), (45, 150), kind="backward")
    f.text(325, 214, "d*L*/d*x* = *g* + what comes back through the branch", kind="backward", size=13)
    return f


@figure
def patches() -> Figure:
    f = Figure(
        "A picture as a row of patches",
        "An image is cut into patches, each laid flat and multiplied by one matrix; a learned vector for the whole image comes "
        "first, and a learned vector for each place is added.",
        760,
        240,
    )
    f.grid(
        40,
        70,
        3,
        3,
        40,
        kind=lambda i, j: "forward" if (i, j) == (0, 1) else "plain",
        words=lambda i, j: f"p{'₁₂₃₄₅₆₇₈₉'[3 * i + j]}",
        size=14,
    )
    f.text(100, 58, "image, 9 patches")
    f.arrow((168, 90), (212, 90), kind="forward", words="flat")
    f.grid(216, 82, 1, 6, 15, kind="forward")
    f.arrow((310, 90), (338, 90), kind="forward")
    f.box(342, 68, 56, 44, "*W*", kind="learned")
    f.arrow((398, 90), (430, 90), kind="forward")
    for j in range(6):
        f.box(
            434 + 50 * j,
            66,
            42,
            48,
            "class" if j == 0 else f"e{'₁₂₃₄₅'[j - 1]}" if j < 5 else "…",
            kind="learned" if j == 0 else "forward",
            size=12,
        )
        f.text(455 + 50 * j, 136, "+", size=15)
        f.box(434 + 50 * j, 144, 42, 34, f"E{'₀₁₂₃₄'[j]}" if j < 5 else "…", kind="learned", size=12)
    f.text(455, 56, "one for the whole", size=12, kind="soft")
    f.text(434, 200, "a vector for each place", at="start", size=12, kind="soft")
    f.text(
        40,
        226,
        "The product is a convolution with stride 16 and kernel 16: no two patches overlap.",
        at="start",
        kind="soft",
        size=13,
    )
    return f


@figure
def clip_matrix() -> Figure:
    f = Figure(
        "CLIP's matrix of similarities",
        "Four texts and four images, each made a vector of length 1. Their products are a 4 by 4 matrix; the diagonal are the true "
        "pairs. Cross-entropy goes along each row and along each column.",
        720,
        290,
    )
    for j in range(4):
        f.box(210 + 70 * j, 30, 62, 34, f"text {j + 1}", kind="forward", size=13)
        f.box(60, 76 + 48 * j, 92, 40, f"image {j + 1}", kind="backward", size=13)
    f.grid(
        210,
        76,
        4,
        4,
        48,
        kind=lambda i, j: "learned" if i == j else "plain",
        words=lambda i, j: f"*v*{'₁₂₃₄'[i]}·*t*{'₁₂₃₄'[j]}",
        size=13,
    )
    f.grid(210, 76, 0, 0)
    f.arrow((412, 100), (480, 100))
    f.text(488, 95, "each row: which text", at="start", size=13)
    f.text(488, 112, "belongs to this image?", at="start", size=13)
    f.arrow((306, 268), (306, 284))
    f.text(320, 284, "each column: which image belongs to this text?", at="start", size=13)
    f.text(488, 160, "*L* = the mean of both", at="start", size=15)
    f.text(488, 190, "gradient of the scores:", at="start", kind="backward", size=13)
    f.text(488, 210, "(softmax − 1 on the diagonal),", at="start", kind="backward", size=13)
    f.text(488, 230, "of rows and of columns, halved", at="start", kind="backward", size=13)
    return f


@figure
def detr_matching() -> Figure:
    f = Figure(
        "DETR's matching",
        "Five predictions and two true objects: a table of costs, from which the assignment with the least sum is chosen. Each "
        "object gets one prediction, the others must say that there is nothing.",
        790,
        290,
    )
    cost = [[0.9, 0.2], [0.3, 0.8], [0.7, 0.7], [0.4, 0.9], [0.8, 0.6]]
    f.text(175, 40, "predictions", bold=True)
    for i in range(5):
        f.box(110, 56 + 40 * i, 130, 32, f"query {i + 1}: class, box", kind="forward", size=12)
    f.text(335, 40, "cost", bold=True)
    f.grid(
        275,
        56,
        5,
        2,
        40,
        kind=lambda i, j: "learned" if (i, j) in ((0, 1), (1, 0)) else "plain",
        words=lambda i, j: f"{cost[i][j]}",
        size=13,
    )
    f.grid(275, 56, 0, 0)
    f.text(295, 276, "cat", size=13)
    f.text(335, 276, "dog", size=13)
    f.box(480, 62, 190, 34, "query 1 ↔ dog", kind="learned")
    f.box(480, 104, 190, 34, "query 2 ↔ cat", kind="learned")
    f.box(480, 146, 190, 34, "3, 4, 5 ↔ nothing")
    f.arrow((362, 120), (478, 120), words="least sum")
    f.text(480, 210, "The choice itself has no gradient. Class and", at="start", size=13)
    f.text(480, 228, "box of the chosen pairs have; for the others", at="start", size=13)
    f.text(480, 246, "only the class counts, with less weight.", at="start", size=13)
    return f


@figure
def maskformer() -> Figure:
    f = Figure(
        "MaskFormer's masks",
        "Pixels give a vector each, queries give a vector each; the product of both is a mask for every query, and each query "
        "says of what class its mask is. Their product is the map of classes.",
        760,
        260,
    )
    f.box(30, 50, 130, 44, "pixel decoder", kind="learned")
    f.arrow((160, 72), (200, 72))
    f.grid(205, 40, 4, 6, 16, kind="forward")
    f.text(253, 124, "*E*: a vector a pixel  (C, H, W)", size=12, kind="soft")
    f.box(30, 165, 130, 44, "queries", kind="learned")
    f.arrow((160, 187), (200, 187))
    f.grid(205, 163, 3, 6, 16, kind="backward")
    f.text(253, 228, "*q*: a vector a query  (Q, C)", size=12, kind="soft")
    f.circle(390, 128, 16, "·")
    f.arrow((305, 75), (378, 118))
    f.arrow((305, 185), (378, 138))
    f.arrow((406, 128), (448, 128))
    shapes = [lambda i, j: j < 2, lambda i, j: 2 <= j < 4 and i > 0, lambda i, j: j > 3 or (i == 0 and j > 1)]
    for k, inside in enumerate(shapes):
        f.grid(
            455,
            40 + 62 * k,
            4,
            6,
            13,
            kind=lambda i, j, inside=inside: "forward" if inside(i, j) else "plain",
        )
        f.text(548, 70 + 62 * k, ["tree", "cat", "sky"][k], at="start")
    f.text(494, 32, "a mask a query", size=12, kind="soft")
    f.arrow((600, 118), (640, 118))
    names = [
        ["t", "t", "s", "s", "s", "s"],
        ["t", "t", "c", "c", "s", "s"],
        ["t", "t", "c", "c", "s", "s"],
        ["t", "t", "c", "c", "s", "s"],
    ]
    f.grid(
        645,
        86,
        4,
        6,
        16,
        kind=lambda i, j: {"t": "learned", "c": "backward", "s": "forward"}[names[i][j]],
        words=lambda i, j: names[i][j],
        size=10,
    )
    f.text(693, 170, "classes", size=12, kind="soft")
    return f


@figure
def gan() -> Figure:
    f = Figure(
        "The game of a GAN",
        "The generator makes fakes from noise; the discriminator judges real and fake. Its own step learns to tell them apart; in "
        "the generator's step the gradient goes through the discriminator, whose weights stand still, into the generator.",
        760,
        260,
    )
    f.text(48, 158, "noise *z*", kind="forward")
    f.arrow((90, 153), (140, 153), kind="forward")
    f.box(140, 128, 120, 50, "generator", kind="learned")
    f.arrow((260, 153), (380, 153), kind="forward", words="fake *G*(*z*)")
    f.text(300, 62, "real *x*", kind="forward")
    f.arrow((335, 66), (440, 66), (440, 118), kind="forward")
    f.box(380, 118, 140, 60, "discriminator", kind="learned")
    f.arrow((520, 148), (600, 148), kind="forward", words="*D*")
    f.box(600, 123, 120, 50, "real or fake?")
    f.arrow((660, 173), (660, 206), (450, 206), (450, 178), kind="backward")
    f.text(560, 200, "its step: tell them apart", kind="backward", size=12)
    f.arrow((660, 173), (660, 232), (200, 232), (200, 178), kind="backward", dashed=True)
    f.text(330, 226, "the other's step: through D, which stands still", kind="backward", size=12)
    f.text(
        40,
        34,
        "Two losses, one step each in turn: what one learns, the other has to answer.",
        at="start",
        bold=True,
    )
    return f


def main(folder: Path) -> None:
    """Writes every figure."""
    for name, make in FIGURES.items():
        (folder / f"{name}.svg").write_text(make().svg(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
